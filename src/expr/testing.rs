//! For tests: a schema from its JSON text.

use crate::config::model::{Place, Placed};
use crate::contract::schema::{
    EnumType, Field, FixedType, Kind, Logical, Name, Node, NodeId, RecordType, Schema,
};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A text at line 3, column 5 of `t.yaml`.
pub(crate) fn placed(text: &str) -> Placed<String> {
    Placed {
        value: text.to_owned(),
        place: place(),
    }
}

pub(crate) fn place() -> Place {
    Place {
        file: "t.yaml".to_owned(),
        line: 3,
        column: 5,
    }
}

/// Builds a schema; names have no namespace unless written in full.
pub(crate) fn schema(json: &str) -> Schema {
    let json: Json = serde_json::from_str(json).expect("the test's schema is JSON");
    let mut builder = Builder::default();
    let root = builder.node(&json);
    Schema {
        nodes: builder.nodes,
        root,
    }
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    named: BTreeMap<String, NodeId>,
}

impl Builder {
    fn push(&mut self, kind: Kind, logical: Option<Logical>) -> NodeId {
        self.nodes.push(Node { kind, logical });
        self.nodes.len() - 1
    }

    fn node(&mut self, json: &Json) -> NodeId {
        if let Some(branches) = json.as_array() {
            let branches = branches.iter().map(|b| self.node(b)).collect();
            return self.push(Kind::Union(branches), None);
        }
        let word = json.as_str().or(json["type"].as_str());
        let word = word.expect("a type is a word or has one");
        let name = Name {
            full: json["name"].as_str().unwrap_or_default().to_owned(),
            aliases: Vec::new(),
        };
        let number = |key: &str| json[key].as_u64().unwrap_or_default() as usize;
        let logical = match json["logicalType"].as_str() {
            Some("decimal") => Some(Logical::Decimal {
                precision: number("precision"),
                scale: number("scale"),
            }),
            Some("date") => Some(Logical::Date),
            Some("uuid") => Some(Logical::Uuid),
            Some("timestamp-millis") => Some(Logical::TimestampMillis),
            Some("timestamp-micros") => Some(Logical::TimestampMicros),
            _ => None,
        };
        let kind = match word {
            "null" => Kind::Null,
            "boolean" => Kind::Boolean,
            "int" => Kind::Int,
            "long" => Kind::Long,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "bytes" => Kind::Bytes,
            "string" => Kind::String,
            "array" => Kind::Array(self.node(&json["items"])),
            "map" => Kind::Map(self.node(&json["values"])),
            "enum" => Kind::Enum(EnumType {
                name: name.clone(),
                doc: None,
                symbols: json["symbols"]
                    .as_array()
                    .expect("symbols")
                    .iter()
                    .map(|s| s.as_str().expect("a symbol is text").to_owned())
                    .collect(),
                default: None,
            }),
            "fixed" => Kind::Fixed(FixedType {
                name: name.clone(),
                doc: None,
                size: number("size"),
            }),
            "record" => {
                let id = self.push(Kind::Null, None);
                self.named.insert(name.full.clone(), id);
                let fields: Vec<Field> = json["fields"]
                    .as_array()
                    .expect("fields")
                    .iter()
                    .map(|field| Field {
                        name: field["name"].as_str().expect("name").to_owned(),
                        aliases: Vec::new(),
                        doc: None,
                        node: self.node(&field["type"]),
                        default: None,
                    })
                    .collect();
                let index = fields
                    .iter()
                    .enumerate()
                    .map(|(at, field)| (field.name.clone(), at))
                    .collect();
                self.nodes[id].kind = Kind::Record(RecordType {
                    name,
                    doc: None,
                    fields,
                    index,
                });
                return id;
            }
            known => return self.named[known],
        };
        let id = self.push(kind, logical);
        if !name.full.is_empty() {
            self.named.insert(name.full, id);
        }
        id
    }
}
