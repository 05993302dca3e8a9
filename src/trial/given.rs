//! The record of a case, from what is written to bytes.

use std::sync::Arc;

use super::OwnHeader;
use super::setup::{Setup, Writer};
use crate::config::cases::{Bytes, Content, Datum, Given};
use crate::config::fault::Fault;
use crate::config::scalar::closest;
use crate::contract::encode::encode;
use crate::contract::json::FromJson;
use crate::contract::schema::Schema;
use crate::contract::wire;
use crate::record::Record;

/// A record with bytes of its own.
#[derive(Debug, Clone, Default)]
pub struct GivenRecord {
    topic: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnHeader>,
    timestamp: Option<i64>,
}

impl GivenRecord {
    /// As a pipeline takes it: offset 0 of partition 0.
    pub fn record(&self) -> Record<'_> {
        let headers = self.headers.iter();
        Record {
            topic: &self.topic,
            partition: 0,
            offset: 0,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: headers
                .map(|(name, value)| (name.as_str(), value.as_deref()))
                .collect(),
        }
    }
}

/// The record of a case, or all that is wrong with what is written.
pub fn record(given: &Given, setup: &Setup) -> Result<GivenRecord, Vec<Fault>> {
    let config = &setup.compiled.config;
    let mut faults = Vec::new();
    let topic = match &given.topic {
        Some(topic) if !config.source_topics.contains(&topic.value) => {
            let topics = config.source_topics.iter().map(String::as_str);
            let message = format!("{} does not read the topic {}", config.name, topic.value);
            let hint = match closest(&topic.value, topics) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("it reads {}", config.source_topics.join(", ")),
            };
            faults.push(Fault::new(&topic.place, &topic.value, message).hint(hint));
            topic.value.clone()
        }
        Some(topic) => topic.value.clone(),
        None => config.source_topics.first().cloned().unwrap_or_default(),
    };
    let writer = setup.writer(given.schema.as_ref());
    let value = match &given.value {
        Content::Tombstone => None,
        Content::Whole(bytes) => Some(bytes.clone()),
        Content::Payload(payload) => Some(framed(writer.id, payload)),
        Content::Json(datum) => match &writer.schema {
            Some(schema) => avro(datum, schema)
                .map(|avro| framed(writer.id, &avro))
                .map_or_else(
                    |fault| {
                        faults.push(fault);
                        None
                    },
                    Some,
                ),
            None => {
                let message = format!("`schemas` has no id {}", writer.id);
                let (place, text) = given.schema.as_ref().map_or((&given.place, ""), |schema| {
                    (&schema.place, schema.value.as_str())
                });
                let hint = "JSON needs a schema to be written by; bytes in `hex` do not";
                faults.push(Fault::new(place, text, message).hint(hint));
                None
            }
        },
    };
    let mut bytes = |written: &Bytes| match self::bytes(written, setup.key.as_ref()) {
        Ok(bytes) => bytes,
        Err(fault) => {
            faults.push(fault);
            None
        }
    };
    let key = bytes(&given.key);
    let headers = given
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), bytes(value)))
        .collect();
    match faults.is_empty() {
        true => Ok(GivenRecord {
            topic,
            key,
            value,
            headers,
            timestamp: given.timestamp,
        }),
        false => Err(faults),
    }
}

/// A key or a header as bytes.
pub(super) fn bytes(written: &Bytes, of_keys: Option<&Writer>) -> Result<Option<Vec<u8>>, Fault> {
    let datum = match written {
        Bytes::Null => return Ok(None),
        Bytes::Plain(bytes) => return Ok(Some(bytes.clone())),
        Bytes::Json(datum) => datum,
    };
    match of_keys {
        Some(Writer {
            id,
            schema: Some(schema),
        }) => {
            let avro = avro(datum, schema)?;
            Ok(Some(framed(*id, &avro)))
        }
        _ => {
            let message = "the contract says nothing of keys, so `value` has no schema here";
            Err(Fault::new(datum.place(), "", message)
                .hint("write the key as a text or { hex: … }"))
        }
    }
}

fn avro(datum: &Datum, schema: &Arc<Schema>) -> Result<Vec<u8>, Fault> {
    let value = FromJson::default().text(schema, schema.root, &datum.json());
    let mut out = Vec::new();
    let written = value.and_then(|value| encode(schema, &value, &mut out));
    written.map_err(|error| {
        let message = match error.path.as_str() {
            "" => error.message.clone(),
            path => format!("{path}: {}", error.message),
        };
        let fault = Fault::new(datum.place_of(&error.path), "", message);
        fault.hint(format!(
            "the writer schema is {}",
            schema.describe(schema.root)
        ))
    })?;
    Ok(out)
}

fn framed(id: u32, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(wire::HEADER_LEN + payload.len());
    wire::write_header(id, &mut value);
    value.extend_from_slice(payload);
    value
}
