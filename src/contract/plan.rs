//! What is compiled once for a writer schema and a contract, and run for each record. Input: Avro bytes. Output: a
//! value of the reader schema. At present it decodes to a tree and resolves that; a walk that copies byte runs can
//! take its place behind the same two calls.

use std::fmt::Write as _;

use super::decode::{self, Limits};
use super::resolve::{Mismatch, Resolution};
use super::schema::Schema;
use super::value::Value;
use crate::error::{Reason, RecordError};

/// Mismatches told in one error; the rest is counted.
const TOLD: usize = 5;
/// Bound of one mismatch in the text.
const TEXT_LIMIT: usize = 300;

/// The way from one writer schema to one reader schema.
#[derive(Debug, Clone)]
pub struct Plan {
    writer: Schema,
    resolution: Resolution,
    identity: bool,
}

impl Plan {
    /// Compiles the pair, or says what can never work.
    pub fn compile(writer: &Schema, reader: &Schema) -> Result<Plan, RecordError> {
        let resolution = Resolution::compile(writer, reader).map_err(|m| incompatible(&m))?;
        Ok(Plan {
            writer: writer.clone(),
            identity: resolution.is_identity(),
            resolution,
        })
    }

    /// Decodes all of `payload` and resolves it. Offsets in errors count from its beginning.
    pub fn run(&self, payload: &[u8], limits: &Limits) -> Result<Value, RecordError> {
        let value = decode::decode(&self.writer, payload, limits)?;
        if self.identity {
            return Ok(value);
        }
        self.resolution.apply(value)
    }

    /// Whether valid bytes of the writer are the reader's bytes as they stand.
    pub const fn is_identity(&self) -> bool {
        self.identity
    }
}

fn incompatible(mismatches: &[Mismatch]) -> RecordError {
    let mut text = String::from("the writer schema can never be read as the contract's: ");
    for (position, mismatch) in mismatches.iter().take(TOLD).enumerate() {
        let mut part = match mismatch.path.as_str() {
            "" => mismatch.message.clone(),
            path => format!("{path}: {}", mismatch.message),
        };
        if part.len() > TEXT_LIMIT {
            part.truncate(part.floor_char_boundary(TEXT_LIMIT));
            part.push('…');
        }
        let comma = if position > 0 { "; " } else { "" };
        write!(text, "{comma}{part}").expect("a String takes all text");
    }
    if mismatches.len() > TOLD {
        write!(text, "; and {} more", mismatches.len() - TOLD).expect("a String takes all text");
    }
    let path = mismatches.first().map_or("", |m| m.path.as_str());
    RecordError::new(Reason::IncompatibleSchema, text).at(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::encode::encode;

    fn schema(fields: &str) -> Schema {
        let text = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        Schema::parse(&text, &[]).expect("schema")
    }

    #[test]
    fn a_plan_decodes_and_resolves() {
        let writer = schema(r#"{"name":"a","type":"int"},{"name":"gone","type":"string"}"#);
        let reader = schema(
            r#"{"name":"n","type":"string","default":"x"},{"name":"b","aliases":["a"],"type":"long"}"#,
        );
        let mut bytes = Vec::new();
        let value = Value::Record(vec![Value::Int(7), Value::String("s".into())]);
        encode(&writer, &value, &mut bytes).expect("fits");
        let plan = Plan::compile(&writer, &reader).expect("compatible");
        assert!(!plan.is_identity());
        let limits = Limits::default();
        assert_eq!(
            plan.run(&bytes, &limits),
            Ok(Value::Record(vec![
                Value::String("x".into()),
                Value::Long(7)
            ]))
        );
        bytes.push(0);
        let error = plan.run(&bytes, &limits).expect_err("refused");
        assert_eq!(
            (error.reason, error.byte_offset),
            (Reason::MalformedData, Some(3))
        );
        assert!(Plan::compile(&writer, &writer).expect("same").is_identity());
    }

    #[test]
    fn an_incompatible_pair_lists_what_differs_in_bounded_text() {
        let fields: Vec<_> = (0..9)
            .map(|i| format!(r#"{{"name":"f{i}","type":"int"}}"#))
            .collect();
        let error = Plan::compile(&schema(""), &schema(&fields.join(","))).expect_err("refused");
        assert_eq!(error.reason, Reason::IncompatibleSchema);
        assert_eq!(error.path, "f0");
        assert!(
            error.message.contains("f4: ") && !error.message.contains("f5: "),
            "{error}"
        );
        assert!(error.message.ends_with("; and 4 more"), "{error}");
        let long = "x".repeat(500);
        let wide = schema(&format!(r#"{{"name":"{long}","type":"int"}}"#));
        assert!(
            Plan::compile(&schema(""), &wide)
                .expect_err("refused")
                .message
                .len()
                < 400
        );
    }
}
