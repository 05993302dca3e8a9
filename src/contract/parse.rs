//! Schema text → [`Schema`]. Input: a schema and the texts it refers to. Output: an arena in the order in which a
//! reader of the text meets the types, without what the root does not reach. Knows nothing of registries.
//!
//! Strict where the specification is (names, duplicates, union branches, defaults), and lenient where it says so:
//! unknown attributes and logical types that are unknown or invalid for their base are ignored.

mod compact;
mod logical;
mod names;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value as Json};

use self::compact::compact;
use self::logical::logical;
use self::names::{check_word, name, qualify};
use super::default;
use super::path::closest;
use super::schema::{
    EnumType, Field, FixedType, Kind, Logical, Name, Node, NodeId, RecordType, Schema, SchemaError,
};

/// Bound on one schema text. Registries refuse far smaller ones; ours only keeps a hostile text from taking memory.
const TEXT_LIMIT: usize = 4 * 1024 * 1024;
/// Digits of a decimal on bytes: far above any number in use, and few enough to be checked in no time.
const PRECISION_LIMIT: usize = 4096;
/// Bound on the nesting of brackets in a text, so that neither the parser nor anything that walks a schema can
/// exhaust the stack.
const DEPTH_LIMIT: usize = 64;
/// Bound on types in one schema with its references.
const NODE_LIMIT: usize = 100_000;

pub(super) fn parse(text: &str, references: &[String]) -> Result<Schema, SchemaError> {
    let mut parser = Parser::default();
    for (position, reference) in references.iter().enumerate() {
        (parser.text(reference)).map_err(|e| SchemaError {
            path: format!("reference {}: {}", position + 1, e.path),
            message: e.message,
        })?;
    }
    let root = parser.text(text)?;
    let whole = Schema {
        nodes: parser.nodes,
        root,
    };
    compact(&whole)
}

fn error<T>(path: &str, message: impl Into<String>) -> Result<T, SchemaError> {
    Err(SchemaError {
        path: path.to_owned(),
        message: message.into(),
    })
}

fn check_text(text: &str) -> Result<(), SchemaError> {
    if text.len() > TEXT_LIMIT {
        return error("", format!("is larger than {TEXT_LIMIT} bytes"));
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > DEPTH_LIMIT {
                    return error("", format!("nests deeper than {DEPTH_LIMIT} levels"));
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Node>,
    /// Full name → node, over all texts so far.
    names: HashMap<String, NodeId>,
    /// Names that the present text defined itself. A second definition in one text is an error, in another it may
    /// be the same type once more.
    defined: HashSet<String>,
    /// Record fields with defaults, checked when all types of the text are known.
    defaults: Vec<(NodeId, usize, String)>,
}

impl Parser {
    fn text(&mut self, text: &str) -> Result<NodeId, SchemaError> {
        check_text(text)?;
        // A bare word such as `string` is how registries may hand out a primitive type.
        let json = match serde_json::from_str(text) {
            Ok(json) => json,
            Err(_) if primitive(text.trim()).is_some() => Json::String(text.trim().to_owned()),
            Err(e) => return error("", format!("is not JSON: {e}")),
        };
        self.defined.clear();
        let root = self.node(&json, "", "")?;
        let schema = Schema {
            nodes: std::mem::take(&mut self.nodes),
            root,
        };
        for (record, position, path) in std::mem::take(&mut self.defaults) {
            let Kind::Record(record) = &schema.node(record).kind else {
                continue;
            };
            let field = &record.fields[position];
            if let Some(json) = &field.default {
                default::value(&schema, field.node, json).or_else(|e| {
                    let message = format!(
                        "the default does not fit the type: {}{}",
                        if e.path.is_empty() {
                            String::new()
                        } else {
                            format!("{}: ", e.path)
                        },
                        e.message
                    );
                    error(&format!("{path}.default"), message)
                })?;
            }
        }
        self.nodes = schema.nodes;
        Ok(root)
    }

    fn push(
        &mut self,
        kind: Kind,
        logical: Option<Logical>,
        path: &str,
    ) -> Result<NodeId, SchemaError> {
        if self.nodes.len() >= NODE_LIMIT {
            return error(path, format!("has more than {NODE_LIMIT} types"));
        }
        self.nodes.push(Node { kind, logical });
        Ok(self.nodes.len() - 1)
    }

    fn node(&mut self, json: &Json, space: &str, path: &str) -> Result<NodeId, SchemaError> {
        match json {
            Json::String(word) => self.word(word, space, path),
            Json::Array(branches) => self.union(branches, space, path),
            Json::Object(object) => match object.get("type") {
                Some(Json::String(word)) => self.object(word, object, space, path),
                // `{"type": {"type": "long"}}`: the inner one is the type.
                Some(inner) => self.node(inner, space, &join(path, "type")),
                None => error(path, "has no \"type\""),
            },
            _ => error(
                path,
                "is not a type: expected a name, an object or an array",
            ),
        }
    }

    fn word(&mut self, word: &str, space: &str, path: &str) -> Result<NodeId, SchemaError> {
        if let Some(kind) = primitive(word) {
            return self.push(kind, None, path);
        }
        let full = qualify(word, space);
        // As Java does it: the enclosing namespace first, then none.
        let found =
            (self.names.get(&full)).or_else(|| self.names.get(word.trim_start_matches('.')));
        if let Some(id) = found {
            return Ok(*id);
        }
        let names = self.names.keys().map(String::as_str);
        let close = closest(word, names.chain(PRIMITIVES));
        match close {
            Some(known) => error(
                path,
                format!("unknown type {full:?}; did you mean {known:?}?"),
            ),
            None => error(path, format!("unknown type {full:?}")),
        }
    }

    fn union(&mut self, branches: &[Json], space: &str, path: &str) -> Result<NodeId, SchemaError> {
        if branches.is_empty() {
            return error(path, "is a union without branches");
        }
        let id = self.push(Kind::Null, None, path)?;
        let mut ids = Vec::with_capacity(branches.len());
        let mut seen = HashSet::new();
        for (position, branch) in branches.iter().enumerate() {
            let at = format!("{path}[{position}]");
            let branch = self.node(branch, space, &at)?;
            let kind = &self.nodes[branch].kind;
            if matches!(kind, Kind::Union(_)) {
                return error(&at, "is a union directly inside a union");
            }
            let label = kind.name().map_or(kind.word(), |name| &name.full);
            if !seen.insert(label.to_owned()) {
                return error(&at, format!("is a second {label} in one union"));
            }
            ids.push(branch);
        }
        self.nodes[id].kind = Kind::Union(ids);
        Ok(id)
    }

    fn object(
        &mut self,
        word: &str,
        object: &Map<String, Json>,
        space: &str,
        path: &str,
    ) -> Result<NodeId, SchemaError> {
        match word {
            "array" | "map" => {
                let key = if word == "array" { "items" } else { "values" };
                let Some(part) = object.get(key) else {
                    return error(path, format!("is of type {word} and has no {key:?}"));
                };
                let id = self.push(Kind::Null, None, path)?;
                let part = self.node(part, space, &join(path, key))?;
                self.nodes[id].kind = if word == "array" {
                    Kind::Array(part)
                } else {
                    Kind::Map(part)
                };
                Ok(id)
            }
            "record" | "error" | "enum" | "fixed" => self.named(word, object, space, path),
            _ => match primitive(word) {
                Some(kind) => {
                    let logical = logical(&kind, object);
                    // Not ignored: without its scale it would be taken for a decimal of another.
                    if let Some(Logical::Decimal { precision, .. }) = logical
                        && precision > PRECISION_LIMIT
                    {
                        let text = format!("a decimal of more than {PRECISION_LIMIT} digits");
                        return error(&join(path, "precision"), text);
                    }
                    self.push(kind, logical, path)
                }
                None => self.word(word, space, &join(path, "type")),
            },
        }
    }

    fn named(
        &mut self,
        word: &str,
        object: &Map<String, Json>,
        space: &str,
        path: &str,
    ) -> Result<NodeId, SchemaError> {
        let name = name(object, space, path)?;
        let full = name.full.clone();
        let at = if path.is_empty() {
            full.clone()
        } else {
            format!("{path}({full})")
        };
        if !self.defined.insert(full.clone()) {
            return error(&at, "is defined twice");
        }
        let earlier = self.names.get(&full).copied();
        // The name stands before its parts are read, so that a record can refer to itself, and a union inside can
        // tell it from its other branches by name.
        let unfinished = Kind::Fixed(FixedType {
            name: name.clone(),
            doc: None,
            size: 0,
        });
        let id = self.push(unfinished, None, &at)?;
        self.names.entry(full.clone()).or_insert(id);
        let inner = full
            .rsplit_once('.')
            .map_or("", |(space, _)| space)
            .to_owned();
        let doc = (object.get("doc").and_then(Json::as_str)).map(str::to_owned);
        let kind = match word {
            "enum" => Kind::Enum(enumeration(object, name, doc, &at)?),
            "fixed" => Kind::Fixed(fixed(object, name, doc, &at)?),
            _ => Kind::Record(self.record(object, name, doc, &inner, &at, id)?),
        };
        let logical = logical(&kind, object);
        self.nodes[id] = Node { kind, logical };
        let Some(earlier) = earlier else {
            return Ok(id);
        };
        if !self.same_definition(id, earlier) {
            return error(&at, "is defined differently in a referenced schema");
        }
        Ok(earlier)
    }

    fn record(
        &mut self,
        object: &Map<String, Json>,
        name: Name,
        doc: Option<String>,
        space: &str,
        path: &str,
        id: NodeId,
    ) -> Result<RecordType, SchemaError> {
        let Some(Json::Array(items)) = object.get("fields") else {
            return error(path, "is a record without an array of \"fields\"");
        };
        let mut fields: Vec<Field> = Vec::with_capacity(items.len());
        let mut index = BTreeMap::new();
        for (position, item) in items.iter().enumerate() {
            let at = format!("{path}.fields[{position}]");
            let Some(field_name) = item.get("name").and_then(Json::as_str) else {
                return error(&at, "has no \"name\"");
            };
            let at = format!("{path}.fields.{field_name}");
            check_word(field_name, &at)?;
            if index.insert(field_name.to_owned(), position).is_some() {
                return error(&at, "is a second field of that name");
            }
            let Some(json) = item.get("type") else {
                return error(&at, "has no \"type\"");
            };
            let node = self.node(json, space, &join(&at, "type"))?;
            let aliases = strings(item.get("aliases"), &join(&at, "aliases"))?;
            for alias in &aliases {
                check_word(alias, &join(&at, "aliases"))?;
            }
            if item.get("default").is_some() {
                self.defaults.push((id, position, at));
            }
            fields.push(Field {
                name: field_name.to_owned(),
                aliases,
                doc: (item.get("doc").and_then(Json::as_str)).map(str::to_owned),
                node,
                default: item.get("default").cloned(),
            });
        }
        Ok(RecordType {
            name,
            doc,
            fields,
            index,
        })
    }

    /// Whether two definitions of one name say the same. Named types inside were merged when they were read, so
    /// they are equal exactly when they are the same node; a doc is no part of a type.
    fn same_definition(&self, a: NodeId, b: NodeId) -> bool {
        let (left, right) = (&self.nodes[a], &self.nodes[b]);
        left.logical == right.logical
            && match (&left.kind, &right.kind) {
                (Kind::Record(l), Kind::Record(r)) => {
                    l.name == r.name
                        && l.fields.len() == r.fields.len()
                        && l.fields.iter().zip(&r.fields).all(|(l, r)| {
                            (&l.name, &l.aliases, &l.default) == (&r.name, &r.aliases, &r.default)
                                && self.same_type(l.node, r.node)
                        })
                }
                (Kind::Enum(l), Kind::Enum(r)) => {
                    (&l.name, &l.symbols, l.default) == (&r.name, &r.symbols, r.default)
                }
                (Kind::Fixed(l), Kind::Fixed(r)) => (&l.name, l.size) == (&r.name, r.size),
                _ => false,
            }
    }

    fn same_type(&self, a: NodeId, b: NodeId) -> bool {
        let (left, right) = (&self.nodes[a], &self.nodes[b]);
        left.logical == right.logical
            && match (&left.kind, &right.kind) {
                (Kind::Array(l), Kind::Array(r)) | (Kind::Map(l), Kind::Map(r)) => {
                    self.same_type(*l, *r)
                }
                (Kind::Union(l), Kind::Union(r)) => {
                    l.len() == r.len() && l.iter().zip(r).all(|(l, r)| self.same_type(*l, *r))
                }
                (l, r) if l.name().is_some() || r.name().is_some() => a == b,
                (l, r) => l == r,
            }
    }
}

fn enumeration(
    object: &Map<String, Json>,
    name: Name,
    doc: Option<String>,
    path: &str,
) -> Result<EnumType, SchemaError> {
    let at = join(path, "symbols");
    if !object.contains_key("symbols") {
        return error(path, "is an enum without \"symbols\"");
    }
    let symbols = strings(object.get("symbols"), &at)?;
    let mut seen = HashSet::new();
    for symbol in &symbols {
        check_word(symbol, &at)?;
        if !seen.insert(symbol) {
            return error(&at, format!("{symbol:?} stands twice"));
        }
    }
    let default = match object.get("default") {
        None => None,
        Some(json) => {
            let position = (json.as_str()).and_then(|d| symbols.iter().position(|s| s == d));
            if position.is_none() {
                return error(&join(path, "default"), "is not one of the symbols");
            }
            position
        }
    };
    Ok(EnumType {
        name,
        doc,
        symbols,
        default,
    })
}

fn fixed(
    object: &Map<String, Json>,
    name: Name,
    doc: Option<String>,
    path: &str,
) -> Result<FixedType, SchemaError> {
    let size = (object.get("size").and_then(Json::as_u64))
        .and_then(|size| i32::try_from(size).ok())
        .and_then(|size| usize::try_from(size).ok());
    match size {
        Some(size) => Ok(FixedType { name, doc, size }),
        None => error(path, "is a fixed without a \"size\" of 0 to 2147483647"),
    }
}

fn strings(json: Option<&Json>, path: &str) -> Result<Vec<String>, SchemaError> {
    let Some(json) = json else {
        return Ok(Vec::new());
    };
    let texts = (json.as_array()).and_then(|items| {
        items
            .iter()
            .map(|i| i.as_str().map(str::to_owned))
            .collect()
    });
    match texts {
        Some(texts) => Ok(texts),
        None => error(path, "is not an array of strings"),
    }
}

const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

fn primitive(word: &str) -> Option<Kind> {
    Some(match word {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests;
