//! An Avro schema as a flat arena of nodes: recursive types are indices, so that walking one needs no reference
//! counting and no look-up by name.

use std::collections::BTreeMap;

/// Index of a node in its [`Schema`].
pub type NodeId = usize;

/// A parsed schema with all names resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// All nodes; a named type stands here once.
    pub nodes: Vec<Node>,
    /// The top one.
    pub root: NodeId,
}

/// One type.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The type and its parts.
    pub kind: Kind,
    /// The logical type, if it is one that is known and valid for `kind`; others are ignored, as the specification says.
    pub logical: Option<Logical>,
}

/// The type of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `null`
    Null,
    /// `boolean`
    Boolean,
    /// `int`
    Int,
    /// `long`
    Long,
    /// `float`
    Float,
    /// `double`
    Double,
    /// `bytes`
    Bytes,
    /// `string`
    String,
    /// `array` of the node.
    Array(NodeId),
    /// `map` with values of the node.
    Map(NodeId),
    /// `union` of the nodes, in order.
    Union(Vec<NodeId>),
    /// `record`
    Record(RecordType),
    /// `enum`
    Enum(EnumType),
    /// `fixed`
    Fixed(FixedType),
}

/// The name of a record, enum or fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// With namespace: `shop.Order`.
    pub full: String,
    /// Full names of its aliases.
    pub aliases: Vec<String>,
}

impl Name {
    /// Without the namespace.
    pub fn unqualified(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or(&self.full)
    }
}

/// A record type.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordType {
    /// Its name.
    pub name: Name,
    /// Its doc.
    pub doc: Option<String>,
    /// Fields in order.
    pub fields: Vec<Field>,
    /// Field name → position.
    pub index: BTreeMap<String, usize>,
}

/// A field of a record type.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its aliases.
    pub aliases: Vec<String>,
    /// Its doc.
    pub doc: Option<String>,
    /// Its type.
    pub node: NodeId,
    /// Its default as JSON, as written in the schema.
    pub default: Option<serde_json::Value>,
}

/// An enum type.
#[derive(Debug, Clone, PartialEq)]
pub struct EnumType {
    /// Its name.
    pub name: Name,
    /// Its doc.
    pub doc: Option<String>,
    /// Symbols in order.
    pub symbols: Vec<String>,
    /// Position of the default symbol.
    pub default: Option<usize>,
}

/// A fixed type.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedType {
    /// Its name.
    pub name: Name,
    /// Its doc.
    pub doc: Option<String>,
    /// Length in bytes.
    pub size: usize,
}

/// The logical types of Avro 1.12.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logical {
    /// `decimal` on bytes or fixed.
    Decimal {
        /// Digits in all.
        precision: usize,
        /// Digits after the point.
        scale: usize,
    },
    /// `uuid` on string or fixed(16).
    Uuid,
    /// `date` on int: days since the epoch.
    Date,
    /// `time-millis` on int.
    TimeMillis,
    /// `time-micros` on long.
    TimeMicros,
    /// `timestamp-millis` on long.
    TimestampMillis,
    /// `timestamp-micros` on long.
    TimestampMicros,
    /// `timestamp-nanos` on long.
    TimestampNanos,
    /// `local-timestamp-millis` on long.
    LocalTimestampMillis,
    /// `local-timestamp-micros` on long.
    LocalTimestampMicros,
    /// `local-timestamp-nanos` on long.
    LocalTimestampNanos,
    /// `duration` on fixed(12).
    Duration,
}

impl Logical {
    /// Its word in a schema.
    pub const fn word(self) -> &'static str {
        match self {
            Logical::Decimal { .. } => "decimal",
            Logical::Uuid => "uuid",
            Logical::Date => "date",
            Logical::TimeMillis => "time-millis",
            Logical::TimeMicros => "time-micros",
            Logical::TimestampMillis => "timestamp-millis",
            Logical::TimestampMicros => "timestamp-micros",
            Logical::TimestampNanos => "timestamp-nanos",
            Logical::LocalTimestampMillis => "local-timestamp-millis",
            Logical::LocalTimestampMicros => "local-timestamp-micros",
            Logical::LocalTimestampNanos => "local-timestamp-nanos",
            Logical::Duration => "duration",
        }
    }
}

impl Kind {
    /// The word of the type in a schema: `long`, `record`, `union`.
    pub const fn word(&self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Bytes => "bytes",
            Kind::String => "string",
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
            Kind::Record(_) => "record",
            Kind::Enum(_) => "enum",
            Kind::Fixed(_) => "fixed",
        }
    }

    /// The name of a record, enum or fixed.
    pub const fn name(&self) -> Option<&Name> {
        match self {
            Kind::Record(record) => Some(&record.name),
            Kind::Enum(symbols) => Some(&symbols.name),
            Kind::Fixed(fixed) => Some(&fixed.name),
            _ => None,
        }
    }
}

/// Why a text is not a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct SchemaError {
    /// Where: the type's name and JSON keys, as `shop.Order.fields.items.type`; empty for the whole text.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl Schema {
    /// Parses a schema. `references` are the texts of the schemas it refers to by name, dependencies first.
    pub fn parse(text: &str, references: &[String]) -> Result<Schema, SchemaError> {
        super::parse::parse(text, references)
    }

    /// The type a union takes apart from null: the node itself if it is no union, the other branch if the union is of
    /// null and one more type, nothing if there are several.
    pub fn non_null(&self, id: NodeId) -> Option<NodeId> {
        let Kind::Union(branches) = &self.node(id).kind else {
            return Some(id);
        };
        let mut others = (branches.iter().copied()).filter(|b| self.node(*b).kind != Kind::Null);
        match (others.next(), others.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Whether null is a value of the node.
    pub fn is_nullable(&self, id: NodeId) -> bool {
        match &self.node(id).kind {
            Kind::Null => true,
            Kind::Union(branches) => branches.iter().any(|b| self.node(*b).kind == Kind::Null),
            _ => false,
        }
    }

    /// Bytes that it takes, roughly.
    pub fn size(&self) -> usize {
        let name = |name: &Name| name.full.len() + 48 * name.aliases.len();
        let parts = self.nodes.iter().map(|node| match &node.kind {
            Kind::Record(record) => {
                let fields = record.fields.iter().map(|field| {
                    let default = field
                        .default
                        .as_ref()
                        .map_or(0, |json| json.to_string().len());
                    let doc = field.doc.as_ref().map_or(0, String::len);
                    // The name stands in the index once more.
                    3 * field.name.len() + doc + default + 48 * field.aliases.len() + 64
                });
                name(&record.name)
                    + fields.sum::<usize>()
                    + size_of::<Field>() * record.fields.capacity()
            }
            Kind::Enum(symbols) => {
                let texts = symbols.symbols.iter().map(|symbol| symbol.len() + 24);
                name(&symbols.name) + texts.sum::<usize>()
            }
            Kind::Fixed(fixed) => name(&fixed.name),
            Kind::Union(branches) => 8 * branches.capacity(),
            _ => 0,
        });
        parts.sum::<usize>() + size_of::<Node>() * self.nodes.capacity()
    }

    /// The node at `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The top node.
    pub fn root(&self) -> &Node {
        &self.nodes[self.root]
    }

    /// The top record type, if the schema is a record.
    pub fn record(&self) -> Option<&RecordType> {
        match &self.root().kind {
            Kind::Record(record) => Some(record),
            _ => None,
        }
    }
}
