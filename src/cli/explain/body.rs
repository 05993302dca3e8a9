//! What a record's value says: its frame, its writer's schema, and its bytes one by one.

use std::time::Duration;

use crate::contract::cache::{Answer, SchemaCache};
use crate::contract::registry::SchemaKind;
use crate::contract::schema::Schema;
use crate::contract::wire;
use crate::explain::{Line, Lineage, Stop, Subject, Writer, annotate, hex};
use crate::record::Record;

/// How long the registry may take for the writer's schema.
const FETCH: Duration = Duration::from_secs(15);

/// What the value's bytes say.
#[derive(Default)]
pub(super) struct Body {
    pub(super) lines: Vec<Line>,
    pub(super) more: usize,
    pub(super) stop: Option<Stop>,
    pub(super) writer: Option<Writer>,
    pub(super) secrets: Vec<String>,
    /// The key may repeat what is masked, and nobody can tell.
    pub(super) hide_key: bool,
    pub(super) registry_down: bool,
    pub(super) remarks: Vec<String>,
}

impl Body {
    pub(super) fn explain(
        record: &Record<'_>,
        schemas: &SchemaCache,
        contract: Option<&Schema>,
        lineage: &Lineage,
        mask: bool,
        lines: usize,
    ) -> Body {
        let mut body = Body::default();
        let Some(value) = record.value else {
            return body;
        };
        let hidden = mask && lineage.has_tags();
        let rest = |offset: usize| (!hidden).then(|| hex(&value[offset.min(value.len())..]));
        let (id, payload) = match wire::read(value, &record.headers) {
            Ok(read) => read,
            Err(error) => {
                body.hide_key = hidden;
                body.stop = Some(Stop {
                    offset: 0,
                    bytes: rest(0),
                    path: String::new(),
                    message: error.message,
                });
                return body;
            }
        };
        let framing = value.len() - payload.len();
        let mut writer = Writer {
            schema_id: id,
            framing: match framing {
                0 => format!("id in the header {}", wire::VALUE_HEADER),
                _ => "id in front".to_owned(),
            },
            ..Writer::default()
        };
        if framing > 0 {
            body.frame(id, value);
        }
        let refuse = |body: &mut Body, text: String| {
            body.hide_key = hidden;
            body.stop = Some(Stop {
                offset: framing,
                bytes: rest(framing),
                path: String::new(),
                message: text,
            });
        };
        let schema = match schemas.wait(id, FETCH) {
            Answer::Ready(fetched) => {
                writer.subjects = fetched.subjects.as_deref().map(<[String]>::to_vec);
                match fetched.kind {
                    SchemaKind::Avro => Schema::parse(&fetched.text, &fetched.references)
                        .map_err(|error| format!("the writer schema does not parse: {error}")),
                    kind => Err(format!("the writer schema is {}, not Avro", kind.as_str())),
                }
            }
            Answer::Unknown => Err("the registry knows no schema of this id".to_owned()),
            Answer::Pending => {
                body.registry_down = true;
                Err("the registry did not answer in time".to_owned())
            }
            Answer::Unavailable { message, .. } => {
                body.registry_down = true;
                Err(message)
            }
        };
        match schema {
            Ok(schema) => {
                writer.schema = schema.describe(schema.root);
                let subject = Subject {
                    writer: &schema,
                    contract,
                    lineage,
                    mask,
                    framing,
                    lines: lines.saturating_sub(body.lines.len()),
                };
                let found = annotate(subject, payload);
                body.lines.extend(found.lines);
                body.more = found.more;
                body.secrets = found.secrets;
                if let Some(error) = found.stop {
                    let offset = error.byte_offset.unwrap_or(framing);
                    body.hide_key = hidden;
                    body.stop = Some(Stop {
                        offset,
                        bytes: rest(offset),
                        path: error.path,
                        message: error.message,
                    });
                }
            }
            Err(text) => refuse(&mut body, text),
        }
        body.writer = Some(writer);
        body
    }

    /// The five bytes in front.
    fn frame(&mut self, id: u32, value: &[u8]) {
        let line =
            |offset: usize, length: usize, kind: &str, value: serde_json::Value, bytes: &[u8]| {
                Line {
                    offset: Some(offset),
                    length,
                    bytes: Some(hex(&bytes[offset..offset + length])),
                    path: String::new(),
                    kind: kind.to_owned(),
                    value,
                    taken: None,
                    note: String::new(),
                    touched_by: Vec::new(),
                    masked: false,
                }
            };
        self.lines.push(line(0, 1, "magic byte", 0.into(), value));
        self.lines
            .push(line(1, wire::HEADER_LEN - 1, "schema id", id.into(), value));
    }
}
