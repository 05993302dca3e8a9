//! An Avro value as a tree. Positional: a record's fields stand in the order of its schema, and every value is read
//! together with the [`Schema`](super::schema::Schema) node that it belongs to.

/// One value. Logical types are not separate: their meaning is in the schema node.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `boolean`.
    Boolean(bool),
    /// `int`.
    Int(i32),
    /// `long`.
    Long(i64),
    /// `float`.
    Float(f32),
    /// `double`.
    Double(f64),
    /// `bytes`.
    Bytes(Vec<u8>),
    /// `string`.
    String(String),
    /// `fixed`, of the schema's size.
    Fixed(Vec<u8>),
    /// `enum`: index into the schema's symbols.
    Enum(usize),
    /// `array`.
    Array(Vec<Value>),
    /// `map`, in the order in which it was written; duplicate keys are kept as written.
    Map(Vec<(String, Value)>),
    /// `record`: one value per field of the schema, in its order.
    Record(Vec<Value>),
    /// `union`: branch index and the value.
    Union(usize, Box<Value>),
}

impl Value {
    /// The value itself, or the one inside a union (unions never nest directly).
    pub fn inner(&self) -> &Value {
        match self {
            Value::Union(_, value) => value,
            other => other,
        }
    }

    /// The word of its type in a schema.
    pub const fn word(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Boolean(_) => "boolean",
            Value::Int(_) => "int",
            Value::Long(_) => "long",
            Value::Float(_) => "float",
            Value::Double(_) => "double",
            Value::Bytes(_) => "bytes",
            Value::String(_) => "string",
            Value::Fixed(_) => "fixed",
            Value::Enum(_) => "enum",
            Value::Array(_) => "array",
            Value::Map(_) => "map",
            Value::Record(_) => "record",
            Value::Union(..) => "union",
        }
    }

    /// Whether the value, or the union branch it takes, is null.
    pub fn is_null(&self) -> bool {
        matches!(self.inner(), Value::Null)
    }
}
