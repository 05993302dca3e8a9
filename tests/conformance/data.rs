//! A value as the tests see it: between the conformance files, the `cel` crate, and our engine. Conversions to a schema
//! and to Avro's values.

use driftgate::contract::value::Value;

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Data>),
    /// In any order; keys are unique.
    Map(Vec<(Data, Data)>),
    /// A record, by its field names; CEL's conformance files have none.
    Record(Vec<(String, Data)>),
    /// Seconds since the epoch and nanoseconds.
    Timestamp(i64, u32),
    /// Nanoseconds.
    Duration(i128),
    /// One of the values that no Avro field has: what it is.
    Foreign(&'static str),
}

impl Data {
    /// The same value: a NaN is a NaN, zeros are told apart, maps have no order.
    pub(crate) fn is(&self, other: &Data) -> bool {
        match (self, other) {
            (Data::Null, Data::Null) => true,
            (Data::Bool(one), Data::Bool(other)) => one == other,
            (Data::Int(one), Data::Int(other)) => one == other,
            (Data::Double(one), Data::Double(other)) => {
                one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
            }
            (Data::Text(one), Data::Text(other)) => one == other,
            (Data::Bytes(one), Data::Bytes(other)) => one == other,
            (Data::Timestamp(one, nanos), Data::Timestamp(other, others)) => {
                (one, nanos) == (other, others)
            }
            (Data::Duration(one), Data::Duration(other)) => one == other,
            (Data::List(one), Data::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.is(b))
            }
            (Data::Map(one), Data::Map(other)) => {
                let holds = |entry: &(Data, Data)| {
                    other.iter().any(|(k, v)| k.is(&entry.0) && v.is(&entry.1))
                };
                one.len() == other.len() && one.iter().all(holds)
            }
            (Data::Record(one), Data::Record(other)) => {
                let same = |((name, a), (its, b)): (&(String, Data), &(String, Data))| {
                    name == its && a.is(b)
                };
                one.len() == other.len() && one.iter().zip(other).all(same)
            }
            _ => false,
        }
    }
}

/// An Avro type that a value can have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Null,
    Bool,
    Int,
    Double,
    Text,
    Bytes,
    /// `timestamp-nanos` where a microsecond is too coarse, or `timestamp-micros`.
    Timestamp {
        nanos: bool,
    },
    List(Box<Shape>),
    Map(Box<Shape>),
    Record(Vec<(String, Shape)>),
    /// A union of null and the type.
    Nullable(Box<Shape>),
}

impl Shape {
    /// Of a value, if there is one; `Err` says what has none. A list or map without elements is one of whole numbers.
    pub(crate) fn of(data: &Data) -> Result<Shape, &'static str> {
        let common = |values: &mut dyn Iterator<Item = &Data>| {
            let mut all: Vec<Shape> = Vec::new();
            for value in values {
                let shape = Shape::of(value)?;
                if !all.contains(&shape) {
                    all.push(shape);
                }
            }
            match all.len() {
                0 => Ok(Shape::Int),
                1 => Ok(all.remove(0)),
                _ => Err("mixed elements"),
            }
        };
        Ok(match data {
            Data::Null => Shape::Null,
            Data::Bool(_) => Shape::Bool,
            Data::Int(_) => Shape::Int,
            Data::Double(_) => Shape::Double,
            Data::Text(_) => Shape::Text,
            Data::Bytes(_) => Shape::Bytes,
            Data::Timestamp(_, nanos) => Shape::Timestamp {
                nanos: nanos % 1000 != 0,
            },
            Data::List(items) => Shape::List(Box::new(common(&mut items.iter())?)),
            Data::Map(entries) => {
                if !entries.iter().all(|(key, _)| matches!(key, Data::Text(_))) {
                    return Err("map keys other than text");
                }
                let mut values = entries.iter().map(|(_, value)| value);
                Shape::Map(Box::new(common(&mut values)?))
            }
            Data::Record(fields) => {
                let shaped = fields
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), Shape::of(value)?)));
                Shape::Record(shaped.collect::<Result<_, &'static str>>()?)
            }
            Data::Duration(_) => return Err("a duration, which no field has"),
            Data::Foreign(what) => return Err(what),
        })
    }

    /// As a schema's text. `names` counts the records, whose names must differ.
    pub(crate) fn schema(&self, names: &mut usize) -> String {
        match self {
            Shape::Null => "\"null\"".to_owned(),
            Shape::Bool => "\"boolean\"".to_owned(),
            Shape::Int => "\"long\"".to_owned(),
            Shape::Double => "\"double\"".to_owned(),
            Shape::Text => "\"string\"".to_owned(),
            Shape::Bytes => "\"bytes\"".to_owned(),
            Shape::Timestamp { nanos } => {
                let unit = if *nanos { "nanos" } else { "micros" };
                format!(r#"{{"type":"long","logicalType":"timestamp-{unit}"}}"#)
            }
            Shape::List(inner) => {
                format!(r#"{{"type":"array","items":{}}}"#, inner.schema(names))
            }
            Shape::Map(inner) => format!(r#"{{"type":"map","values":{}}}"#, inner.schema(names)),
            Shape::Nullable(inner) => format!(r#"["null",{}]"#, inner.schema(names)),
            Shape::Record(fields) => {
                *names += 1;
                let name = format!("R{names}");
                let fields = fields.iter().map(|(name, shape)| {
                    format!(r#"{{"name":"{name}","type":{}}}"#, shape.schema(names))
                });
                let fields: Vec<String> = fields.collect();
                format!(
                    r#"{{"type":"record","name":"{name}","fields":[{}]}}"#,
                    fields.join(",")
                )
            }
        }
    }

    /// The value as Avro has it.
    pub(crate) fn avro(&self, data: &Data) -> Value {
        match (self, data) {
            (Shape::Nullable(_), Data::Null) => Value::Union(0, Box::new(Value::Null)),
            (Shape::Nullable(inner), data) => Value::Union(1, Box::new(inner.avro(data))),
            (Shape::Null, Data::Null) => Value::Null,
            (Shape::Bool, Data::Bool(value)) => Value::Boolean(*value),
            (Shape::Int, Data::Int(value)) => Value::Long(*value),
            (Shape::Double, Data::Double(value)) => Value::Double(*value),
            (Shape::Text, Data::Text(value)) => Value::String(value.clone()),
            (Shape::Bytes, Data::Bytes(value)) => Value::Bytes(value.clone()),
            (Shape::Timestamp { nanos: false }, Data::Timestamp(seconds, nanos)) => {
                Value::Long(seconds * 1_000_000 + i64::from(nanos / 1000))
            }
            (Shape::Timestamp { nanos: true }, Data::Timestamp(seconds, nanos)) => {
                Value::Long(seconds * 1_000_000_000 + i64::from(*nanos))
            }
            (Shape::List(inner), Data::List(items)) => {
                Value::Array(items.iter().map(|item| inner.avro(item)).collect())
            }
            (Shape::Map(inner), Data::Map(entries)) => {
                let entries = entries.iter().map(|(key, value)| match key {
                    Data::Text(key) => (key.clone(), inner.avro(value)),
                    other => panic!("{other:?} is no key of a map"),
                });
                Value::Map(entries.collect())
            }
            (Shape::Record(shapes), Data::Record(fields)) => {
                let values = shapes.iter().zip(fields);
                Value::Record(
                    values
                        .map(|((_, shape), (_, value))| shape.avro(value))
                        .collect(),
                )
            }
            (shape, data) => panic!("{data:?} is no {shape:?}"),
        }
    }
}
