//! [`Value`] → Avro bytes. Input: a value and its schema. Output: bytes appended to a buffer, or `encode_failed` with
//! the field path if the value does not fit. Knows nothing of frames or schema ids.

use super::decimal;
use super::path::Trail;
use super::schema::{Kind, Logical, NodeId, Schema};
use super::value::Value;
use super::varint;
use crate::error::{Reason, RecordError};

/// Appends `value` as the root of `schema`. On an error `out` is as it was.
pub fn encode(schema: &Schema, value: &Value, out: &mut Vec<u8>) -> Result<(), RecordError> {
    encode_node(schema, schema.root, value, out)
}

/// Appends `value` as a value of one node. On an error `out` is as it was.
pub fn encode_node(
    schema: &Schema,
    node: NodeId,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
    let before = out.len();
    let mut encoder = Encoder {
        schema,
        out,
        trail: Trail::default(),
    };
    let result = encoder.node(node, value);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

struct Encoder<'s, 'o> {
    schema: &'s Schema,
    out: &'o mut Vec<u8>,
    trail: Trail<'s>,
}

impl<'s> Encoder<'s, '_> {
    fn error<T>(&self, message: String) -> Result<T, RecordError> {
        Err(RecordError::new(Reason::EncodeFailed, message).at(self.trail.render()))
    }

    fn node(&mut self, id: NodeId, value: &Value) -> Result<(), RecordError> {
        let schema: &'s Schema = self.schema;
        let node = schema.node(id);
        if let (Some(Logical::Decimal { precision, .. }), Value::Bytes(bytes) | Value::Fixed(bytes)) =
            (node.logical, value)
            && !decimal::fits(bytes, precision)
        {
            return self.error(format!(
                "expected a decimal of at most {precision} digits, found more"
            ));
        }
        match (&node.kind, value) {
            (Kind::Null, Value::Null) => {}
            (Kind::Boolean, Value::Boolean(value)) => self.out.push(u8::from(*value)),
            (Kind::Int, Value::Int(value)) => self.long(i64::from(*value)),
            (Kind::Long, Value::Long(value)) => self.long(*value),
            (Kind::Float, Value::Float(value)) => self.out.extend_from_slice(&value.to_le_bytes()),
            (Kind::Double, Value::Double(value)) => {
                self.out.extend_from_slice(&value.to_le_bytes())
            }
            (Kind::Bytes, Value::Bytes(bytes)) => self.sized(bytes),
            (Kind::String, Value::String(text)) => self.sized(text.as_bytes()),
            (Kind::Fixed(fixed), Value::Fixed(bytes)) => {
                if bytes.len() != fixed.size {
                    return self.error(format!(
                        "expected {} bytes, found {}",
                        fixed.size,
                        bytes.len()
                    ));
                }
                self.out.extend_from_slice(bytes);
            }
            (Kind::Enum(symbols), Value::Enum(index)) => {
                if *index >= symbols.symbols.len() {
                    let count = symbols.symbols.len();
                    return self.error(format!(
                        "expected one of {count} symbols, found index {index}"
                    ));
                }
                self.count(*index);
            }
            (Kind::Union(branches), Value::Union(index, value)) => {
                let Some(branch) = branches.get(*index) else {
                    let count = branches.len();
                    return self.error(format!(
                        "expected one of {count} branches, found index {index}"
                    ));
                };
                self.count(*index);
                self.node(*branch, value)?;
            }
            (Kind::Record(record), Value::Record(values)) => {
                if values.len() != record.fields.len() {
                    let count = record.fields.len();
                    return self.error(format!("expected {count} fields, found {}", values.len()));
                }
                for (field, value) in record.fields.iter().zip(values) {
                    self.trail.push_field(&field.name);
                    self.node(field.node, value)?;
                    self.trail.pop();
                }
            }
            (Kind::Array(item), Value::Array(items)) => {
                self.block(items.len());
                for (position, value) in items.iter().enumerate() {
                    self.trail.push_index(position);
                    self.node(*item, value)?;
                    self.trail.pop();
                }
                self.end_blocks(items.len());
            }
            (Kind::Map(item), Value::Map(entries)) => {
                self.block(entries.len());
                for (position, (key, value)) in entries.iter().enumerate() {
                    self.trail.push_index(position);
                    self.sized(key.as_bytes());
                    self.node(*item, value)?;
                    self.trail.pop();
                }
                self.end_blocks(entries.len());
            }
            (_, value) => {
                return self.error(format!(
                    "expected {}, found {}",
                    schema.describe(id),
                    value.word()
                ));
            }
        }
        Ok(())
    }

    fn long(&mut self, value: i64) {
        varint::write(value, self.out);
    }

    fn count(&mut self, count: usize) {
        self.long(i64::try_from(count).expect("no slice is longer than isize::MAX"));
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn block(&mut self, count: usize) {
        self.count(count);
    }

    /// An empty collection's only count is its end already.
    fn end_blocks(&mut self, count: usize) {
        if count > 0 {
            self.out.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(of: &str, value: &Value, expect: Result<&[u8], &str>) {
        let schema = Schema::parse(of, &[]).expect("schema");
        let mut out = vec![0xEE];
        match (encode(&schema, value, &mut out), expect) {
            (Ok(()), Ok(expect)) => assert_eq!(&out[1..], expect, "{of}"),
            (Err(e), Err(part)) => {
                assert_eq!(e.reason, Reason::EncodeFailed);
                assert!(e.to_string().contains(part), "{e}");
                assert_eq!(out, [0xEE], "nothing is left behind");
            }
            (found, expect) => panic!("{of}: {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn the_bytes_of_the_specification() {
        for (value, bytes) in [
            (0, &[0u8][..]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
        ] {
            check("\"long\"", &Value::Long(value), Ok(bytes));
        }
        check(
            "\"string\"",
            &Value::String("foo".into()),
            Ok(&[6, 0x66, 0x6f, 0x6f]),
        );
        check(
            r#"{"type":"record","name":"test","fields":[{"name":"a","type":"long"},{"name":"b","type":"string"}]}"#,
            &Value::Record(vec![Value::Long(27), Value::String("foo".into())]),
            Ok(&[0x36, 0x06, 0x66, 0x6f, 0x6f]),
        );
        check(
            r#"{"type":"array","items":"long"}"#,
            &Value::Array(vec![Value::Long(3), Value::Long(27)]),
            Ok(&[4, 6, 0x36, 0]),
        );
        check(
            r#"{"type":"array","items":"long"}"#,
            &Value::Array(vec![]),
            Ok(&[0]),
        );
        check(
            r#"["null","string"]"#,
            &Value::Union(1, Box::new(Value::String("a".into()))),
            Ok(&[2, 2, 0x61]),
        );
        check(
            "\"long\"",
            &Value::Long(i64::MIN),
            Ok(&[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let record = r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"int"}}]}"#;
        let bad = Value::Record(vec![Value::Array(vec![
            Value::Int(1),
            Value::String("x".into()),
        ])]);
        check(record, &bad, Err("a[1]: expected int, found string"));
        check(
            record,
            &Value::Record(vec![]),
            Err("expected 1 fields, found 0"),
        );
        check("\"long\"", &Value::Int(1), Err("expected long, found int"));
        check(
            r#"["null"]"#,
            &Value::Union(1, Box::new(Value::Null)),
            Err("branches"),
        );
        check(
            r#"["null"]"#,
            &Value::Null,
            Err("expected union of null, found null"),
        );
        let symbols = r#"{"type":"enum","name":"E","symbols":["A"]}"#;
        check(symbols, &Value::Enum(1), Err("expected one of 1 symbols"));
        let fixed = r#"{"type":"fixed","name":"F","size":2}"#;
        check(fixed, &Value::Fixed(vec![1]), Err("expected 2 bytes"));
        let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":1}"#;
        check(decimal, &Value::Bytes(vec![99]), Ok(&[2, 99]));
        check(decimal, &Value::Bytes(vec![100]), Err("at most 2 digits"));
    }
}
