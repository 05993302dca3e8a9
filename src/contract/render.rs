//! [`Schema`] → text: a short description of a type, Avro JSON, and a fingerprint.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::schema::{Kind, Logical, Name, Node, NodeId, Schema};

impl Schema {
    /// A type in a few words: `union of null, string`, `long timestamp-millis`, `record shop.Item`.
    pub fn describe(&self, id: NodeId) -> String {
        let node = self.node(id);
        let base = match &node.kind {
            Kind::Array(item) => format!("array of {}", self.describe(*item)),
            Kind::Map(value) => format!("map of {}", self.describe(*value)),
            Kind::Union(branches) => {
                let branches: Vec<_> = branches.iter().map(|b| self.describe(*b)).collect();
                format!("union of {}", branches.join(", "))
            }
            kind => match kind.name() {
                Some(name) => format!("{} {}", kind.word(), name.full),
                None => kind.word().to_owned(),
            },
        };
        match node.logical {
            Some(Logical::Decimal { precision, scale }) => {
                format!("{base} decimal({precision},{scale})")
            }
            Some(logical) => format!("{base} {}", logical.word()),
            None => base,
        }
    }

    /// The schema as Avro JSON. It parses back to an equal schema, and needs no references.
    pub fn to_json(&self) -> Json {
        Writer::new(self, true).node(self.root, "")
    }

    /// SHA-256, in hex, of a normal form that keeps all that can change a value's meaning: logical types, defaults
    /// and aliases, which Avro's own canonical form drops. Docs are left out.
    pub fn fingerprint(&self) -> String {
        let normal = sorted(Writer::new(self, false).node(self.root, ""));
        let digest = Sha256::digest(normal.to_string());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Keys in one order, so that the order in which a default's keys were typed does not count.
fn sorted(json: Json) -> Json {
    match json {
        Json::Object(object) => {
            let mut entries: Vec<_> = object.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(entries.into_iter().map(|(k, v)| (k, sorted(v))).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

struct Writer<'s> {
    schema: &'s Schema,
    docs: bool,
    written: HashSet<NodeId>,
    names: HashSet<&'s str>,
}

impl<'s> Writer<'s> {
    fn new(schema: &'s Schema, docs: bool) -> Self {
        let names = schema.nodes.iter().filter_map(|node| node.kind.name());
        Writer {
            schema,
            docs,
            written: HashSet::new(),
            names: names.map(|name| name.full.as_str()).collect(),
        }
    }

    fn node(&mut self, id: NodeId, space: &str) -> Json {
        let node = self.schema.node(id);
        if let Some(name) = node.kind.name() {
            if !self.written.insert(id) {
                return Json::String(self.reference(&name.full, space));
            }
            return self.named(node, name);
        }
        let mut object = Map::new();
        match &node.kind {
            Kind::Union(branches) => {
                return Json::Array(branches.iter().map(|b| self.node(*b, space)).collect());
            }
            Kind::Array(item) => {
                object.insert("type".into(), "array".into());
                object.insert("items".into(), self.node(*item, space));
            }
            Kind::Map(value) => {
                object.insert("type".into(), "map".into());
                object.insert("values".into(), self.node(*value, space));
            }
            kind if node.logical.is_none() => return kind.word().into(),
            kind => {
                object.insert("type".into(), kind.word().into());
            }
        }
        put_logical(node, &mut object);
        Json::Object(object)
    }

    fn named(&mut self, node: &Node, name: &Name) -> Json {
        let space = name.full.rsplit_once('.').map_or("", |(space, _)| space);
        let mut object = Map::new();
        object.insert("type".into(), node.kind.word().into());
        object.insert("name".into(), name.unqualified().into());
        object.insert("namespace".into(), space.into());
        if !name.aliases.is_empty() {
            let relative = |alias: &String| match alias.contains('.') || space.is_empty() {
                true => alias.clone(),
                false => format!(".{alias}"),
            };
            let aliases: Vec<String> = name.aliases.iter().map(relative).collect();
            object.insert("aliases".into(), json!(aliases));
        }
        match &node.kind {
            Kind::Record(record) => {
                self.put_doc(record.doc.as_ref(), &mut object);
                let mut fields = Vec::with_capacity(record.fields.len());
                for field in &record.fields {
                    let mut entry = Map::new();
                    entry.insert("name".into(), field.name.as_str().into());
                    if !field.aliases.is_empty() {
                        entry.insert("aliases".into(), json!(field.aliases));
                    }
                    self.put_doc(field.doc.as_ref(), &mut entry);
                    entry.insert("type".into(), self.node(field.node, space));
                    if let Some(default) = &field.default {
                        entry.insert("default".into(), default.clone());
                    }
                    fields.push(Json::Object(entry));
                }
                object.insert("fields".into(), Json::Array(fields));
            }
            Kind::Enum(symbols) => {
                self.put_doc(symbols.doc.as_ref(), &mut object);
                object.insert("symbols".into(), json!(symbols.symbols));
                if let Some(default) = symbols.default {
                    object.insert("default".into(), symbols.symbols[default].as_str().into());
                }
            }
            Kind::Fixed(fixed) => {
                self.put_doc(fixed.doc.as_ref(), &mut object);
                object.insert("size".into(), fixed.size.into());
            }
            _ => {}
        }
        put_logical(node, &mut object);
        Json::Object(object)
    }

    /// A name without a namespace is read in the enclosing one first, so it needs a leading dot where that has a
    /// type of the same name.
    fn reference(&self, full: &str, space: &str) -> String {
        let shadowed = !full.contains('.')
            && !space.is_empty()
            && self.names.contains(format!("{space}.{full}").as_str());
        if shadowed {
            format!(".{full}")
        } else {
            full.to_owned()
        }
    }

    fn put_doc(&self, doc: Option<&String>, object: &mut Map<String, Json>) {
        if let (true, Some(doc)) = (self.docs, doc) {
            object.insert("doc".into(), doc.as_str().into());
        }
    }
}

fn put_logical(node: &Node, object: &mut Map<String, Json>) {
    let Some(logical) = node.logical else { return };
    object.insert("logicalType".into(), logical.word().into());
    if let Logical::Decimal { precision, scale } = logical {
        object.insert("precision".into(), precision.into());
        object.insert("scale".into(), scale.into());
    }
}
