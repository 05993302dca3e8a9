//! A record's key and timestamp, taken from fields of its value. Input: the schema and a value. Output: bytes and
//! milliseconds. Pure.

use crate::contract::path::Path;
use crate::contract::schema::{Kind, Logical, Schema};
use crate::contract::value::Value;

/// Where the key comes from. It is written as Kafka's own serializers for text do: a string as it is, an integer in
/// digits, bytes as they are; null is no key.
#[derive(Debug)]
pub struct Key {
    path: Path,
    symbols: Vec<String>,
}

/// Where the timestamp comes from.
#[derive(Debug)]
pub struct Timestamp {
    path: Path,
    unit: Unit,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Days,
    Millis,
    Micros,
    Nanos,
}

const DAY: i64 = 86_400_000;

impl Key {
    /// The field at `path`, which must be one value of text, bytes, a whole number, a boolean or an enum.
    pub fn new(schema: &Schema, path: &str) -> Result<Key, String> {
        let (found, kind, _) = field(schema, path).map_err(|why| format!("--key {path}: {why}"))?;
        let symbols = match kind {
            Kind::Enum(symbols) => symbols.symbols.clone(),
            Kind::String
            | Kind::Bytes
            | Kind::Fixed(_)
            | Kind::Int
            | Kind::Long
            | Kind::Boolean => Vec::new(),
            other => {
                return Err(format!(
                    "--key {path}: a key is text, bytes, a whole number, a boolean or an enum; this is {}",
                    other.word()
                ));
            }
        };
        Ok(Key {
            path: found,
            symbols,
        })
    }

    /// The field it is taken from.
    pub fn name(&self) -> &str {
        self.path.as_str()
    }

    /// Writes the key to `out`. `false`: the field, or a record above it, is null, and there is no key.
    pub fn write(&self, schema: &Schema, value: &Value, out: &mut Vec<u8>) -> bool {
        out.clear();
        let found = self.path.values(schema, value);
        match found.first().map(|value| value.inner()) {
            Some(Value::String(text)) => out.extend_from_slice(text.as_bytes()),
            Some(Value::Bytes(bytes) | Value::Fixed(bytes)) => out.extend_from_slice(bytes),
            Some(Value::Int(number)) => out.extend_from_slice(number.to_string().as_bytes()),
            Some(Value::Long(number)) => out.extend_from_slice(number.to_string().as_bytes()),
            Some(Value::Boolean(value)) => out.extend_from_slice(value.to_string().as_bytes()),
            Some(Value::Enum(index)) => {
                let symbol = self.symbols.get(*index).map(String::as_str);
                out.extend_from_slice(symbol.unwrap_or_default().as_bytes());
            }
            _ => return false,
        }
        true
    }
}

impl Timestamp {
    /// The field at `path`: a timestamp, a date (its midnight in UTC) or a `long` of milliseconds.
    pub fn new(schema: &Schema, path: &str) -> Result<Timestamp, String> {
        let (found, kind, logical) =
            field(schema, path).map_err(|why| format!("--timestamp {path}: {why}"))?;
        let unit = match (kind, logical) {
            (_, Some(Logical::TimestampMillis)) | (Kind::Long, None) => Unit::Millis,
            (_, Some(Logical::TimestampMicros)) => Unit::Micros,
            (_, Some(Logical::TimestampNanos)) => Unit::Nanos,
            (_, Some(Logical::Date)) => Unit::Days,
            (kind, logical) => {
                let what = logical.map_or(kind.word(), Logical::word);
                return Err(format!(
                    "--timestamp {path}: expected a timestamp, a date or a long of milliseconds; this is {what}"
                ));
            }
        };
        Ok(Timestamp { path: found, unit })
    }

    /// The field it is taken from.
    pub fn name(&self) -> &str {
        self.path.as_str()
    }

    /// Milliseconds since the epoch. Nothing less than that is guessed: null and a time before 1970, which Kafka has
    /// no timestamp for, are the row's fault.
    pub fn millis(&self, schema: &Schema, value: &Value) -> Result<i64, &'static str> {
        let found = self.path.values(schema, value);
        let millis = match (found.first().map(|value| value.inner()), self.unit) {
            (Some(Value::Int(days)), Unit::Days) => i64::from(*days) * DAY,
            (Some(Value::Long(millis)), Unit::Millis) => *millis,
            (Some(Value::Long(micros)), Unit::Micros) => micros.div_euclid(1_000),
            (Some(Value::Long(nanos)), Unit::Nanos) => nanos.div_euclid(1_000_000),
            _ => return Err("expected the record's timestamp, found null"),
        };
        match millis {
            0.. => Ok(millis),
            _ => Err("expected the record's timestamp, found a time before 1970"),
        }
    }
}

fn field<'s>(schema: &'s Schema, path: &str) -> Result<(Path, &'s Kind, Option<Logical>), String> {
    let found = Path::parse(path)?;
    if path.contains(['[', '{']) {
        return Err("expected a field that every record has once".to_owned());
    }
    let node = found.resolve(schema)?;
    let Some(node) = schema.non_null(node) else {
        return Err("expected one type, found a union of several".to_owned());
    };
    let node = schema.node(node);
    Ok((found, &node.kind, node.logical))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
        {"name":"text","type":["null","string"]},
        {"name":"number","type":"long"},
        {"name":"state","type":{"type":"enum","name":"S","symbols":["ON","OFF"]}},
        {"name":"inside","type":["null",{"type":"record","name":"I","fields":[
            {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
            {"name":"day","type":{"type":"int","logicalType":"date"}}]}]},
        {"name":"ratio","type":"double"},
        {"name":"tags","type":{"type":"array","items":"string"}}]}"#;

    fn schema() -> Schema {
        Schema::parse(SCHEMA, &[]).expect("schema")
    }

    fn row(text: Option<&str>, number: i64, at: Option<i64>) -> Value {
        let null = || Value::Union(0, Box::new(Value::Null));
        let some = |value| Value::Union(1, Box::new(value));
        Value::Record(vec![
            text.map_or_else(null, |text| some(Value::String(text.into()))),
            Value::Long(number),
            Value::Enum(1),
            at.map_or_else(null, |at| {
                some(Value::Record(vec![Value::Long(at), Value::Int(2)]))
            }),
            Value::Double(0.5),
            Value::Array(vec![]),
        ])
    }

    #[test]
    fn keys_are_text() {
        let schema = schema();
        let key = |path: &str, value: &Value| {
            let mut out = b"left over".to_vec();
            let key = Key::new(&schema, path).expect("a key");
            key.write(&schema, value, &mut out)
                .then(|| String::from_utf8(out).expect("text"))
        };
        let value = row(Some("N14228"), -7, Some(1_500));
        assert_eq!(key("text", &value).as_deref(), Some("N14228"));
        assert_eq!(key("number", &value).as_deref(), Some("-7"));
        assert_eq!(key("state", &value).as_deref(), Some("OFF"));
        assert_eq!(key("inside.at", &value).as_deref(), Some("1500"));
        let value = row(None, 0, None);
        assert_eq!(key("text", &value), None);
        assert_eq!(key("inside.at", &value), None);
        assert_eq!(key("text", &row(Some(""), 0, None)).as_deref(), Some(""));
    }

    #[test]
    fn timestamps_are_milliseconds() {
        let schema = schema();
        let at = |path: &str, value: &Value| {
            Timestamp::new(&schema, path)
                .expect("a timestamp")
                .millis(&schema, value)
        };
        let value = row(None, 12, Some(1_999));
        assert_eq!(at("number", &value), Ok(12));
        assert_eq!(at("inside.at", &value), Ok(1));
        assert_eq!(at("inside.day", &value), Ok(2 * DAY));
        assert!(at("number", &row(None, -1, None)).is_err());
        assert!(at("inside.at", &row(None, 0, None)).is_err());
    }

    #[test]
    fn what_cannot_serve_is_told_before_the_first_row() {
        let schema = schema();
        for (path, part) in [
            ("ratio", "this is double"),
            ("tags", "this is array"),
            ("tags[]", "every record has once"),
            ("inside", "this is record"),
            ("txet", "did you mean \"text\"?"),
        ] {
            let error = Key::new(&schema, path).expect_err(path);
            assert!(error.contains(part), "{error}");
        }
        for (path, part) in [("text", "this is string"), ("ratio", "this is double")] {
            let error = Timestamp::new(&schema, path).expect_err(path);
            assert!(error.contains(part), "{error}");
        }
    }
}
