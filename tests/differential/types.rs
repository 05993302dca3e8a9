//! Schemas as the generator builds, changes and writes them. Independent of the code under test: nothing here parses.

use serde_json::{Map, Value as Json, json};

/// Index of a node in its [`Schema`].
pub(crate) type Id = usize;

/// A schema; recursive types are indices.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub nodes: Vec<Node>,
    pub root: Id,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub kind: Kind,
    pub logical: Option<Logical>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(Id),
    Map(Id),
    Union(Vec<Id>),
    Record(Name, Vec<Field>),
    Enum(Name, Vec<String>, Option<String>),
    Fixed(Name, usize),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Name {
    pub full: String,
    pub aliases: Vec<String>,
}

impl Name {
    pub(crate) fn short(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or(&self.full)
    }

    /// Aliases with their namespace; a short one has that of the name.
    pub(crate) fn full_aliases(&self) -> Vec<String> {
        let full = |alias: &String| match (alias.contains('.'), self.space()) {
            (true, _) | (_, "") => alias.clone(),
            (false, space) => format!("{space}.{alias}"),
        };
        self.aliases.iter().map(full).collect()
    }

    pub(crate) fn space(&self) -> &str {
        self.full.rsplit_once('.').map_or("", |(space, _)| space)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub node: Id,
    pub default: Option<Json>,
}

/// A logical type's word; `money` is none that anybody knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Logical {
    pub word: &'static str,
    pub precision: usize,
    pub scale: usize,
}

impl Logical {
    pub(crate) fn known(self) -> bool {
        self.word != "money"
    }
}

impl Kind {
    pub(crate) fn word(&self) -> &'static str {
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
            Kind::Record(..) => "record",
            Kind::Enum(..) => "enum",
            Kind::Fixed(..) => "fixed",
        }
    }

    pub(crate) fn name(&self) -> Option<&Name> {
        match self {
            Kind::Record(name, _) | Kind::Enum(name, ..) | Kind::Fixed(name, _) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn name_mut(&mut self) -> Option<&mut Name> {
        match self {
            Kind::Record(name, _) | Kind::Enum(name, ..) | Kind::Fixed(name, _) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn parts(&self) -> Vec<Id> {
        match self {
            Kind::Array(part) | Kind::Map(part) => vec![*part],
            Kind::Union(branches) => branches.clone(),
            Kind::Record(_, fields) => fields.iter().map(|f| f.node).collect(),
            _ => Vec::new(),
        }
    }
}

impl Schema {
    pub(crate) fn kind(&self, id: Id) -> &Kind {
        &self.nodes[id].kind
    }

    /// The label by which a union tells its branches apart.
    pub(crate) fn label(&self, id: Id) -> &str {
        let kind = self.kind(id);
        kind.name()
            .map_or_else(|| kind.word(), |name| name.full.as_str())
    }

    /// The nodes that the root reaches, in the order of the text.
    pub(crate) fn reached(&self) -> Vec<Id> {
        let (mut order, mut seen) = (Vec::new(), vec![false; self.nodes.len()]);
        let mut open = vec![self.root];
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut seen[id], true) {
                order.push(id);
                open.extend(self.kind(id).parts().into_iter().rev());
            }
        }
        order
    }

    /// Whether a record contains itself.
    pub(crate) fn is_recursive(&self) -> bool {
        self.reached().into_iter().any(|id| {
            let inside = |part| {
                Schema {
                    nodes: self.nodes.clone(),
                    root: part,
                }
                .reached()
            };
            (self.kind(id).parts().into_iter()).any(|part| inside(part).contains(&id))
        })
    }

    /// Whether both sides must take it for a schema, apart from its defaults.
    pub(crate) fn valid(&self) -> bool {
        let reached = self.reached();
        let mut names: Vec<_> = (reached.iter())
            .filter_map(|id| self.kind(*id).name().map(|n| n.full.as_str()))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        names.len() == count
            && reached.iter().all(|id| match self.kind(*id) {
                Kind::Union(branches) => {
                    let mut labels: Vec<_> = branches.iter().map(|b| self.label(*b)).collect();
                    labels.sort_unstable();
                    labels.dedup();
                    !branches.is_empty()
                        && labels.len() == branches.len()
                        && !(branches.iter()).any(|b| matches!(self.kind(*b), Kind::Union(_)))
                }
                Kind::Enum(_, symbols, _) => {
                    let mut sorted = symbols.clone();
                    sorted.sort_unstable();
                    sorted.dedup();
                    sorted.len() == symbols.len()
                }
                Kind::Record(_, fields) => {
                    let mut names: Vec<_> = fields.iter().map(|f| &f.name).collect();
                    names.sort_unstable();
                    names.dedup();
                    names.len() == fields.len()
                }
                _ => true,
            })
    }

    /// The schema's text.
    pub(crate) fn text(&self) -> String {
        self.json(true).to_string()
    }

    /// The text without aliases, docs and defaults of enums, for Java's notion of equal schemas.
    pub(crate) fn shape(&self) -> String {
        self.json(false).to_string()
    }

    fn json(&self, whole: bool) -> Json {
        let mut defined = vec![false; self.nodes.len()];
        self.write(self.root, "", &mut defined, whole)
    }

    fn write(&self, id: Id, space: &str, defined: &mut [bool], whole: bool) -> Json {
        let node = &self.nodes[id];
        if let Some(name) = node.kind.name()
            && std::mem::replace(&mut defined[id], true)
        {
            // Both ways to refer to a name.
            return match name.space() == space && id.is_multiple_of(2) {
                true => json!(name.short()),
                false => json!(name.full),
            };
        }
        let mut object = Map::new();
        object.insert("type".into(), json!(node.kind.word()));
        let mut inner = space;
        if let Some(name) = node.kind.name() {
            inner = name.space();
            // Inherited, apart, or in the name itself.
            if inner == space {
                object.insert("name".into(), json!(name.short()));
            } else if id.is_multiple_of(2) {
                object.insert("name".into(), json!(name.short()));
                object.insert("namespace".into(), json!(inner));
            } else {
                object.insert("name".into(), json!(name.full));
            }
            if whole {
                object.insert("doc".into(), json!("a \"quoted\" {doc}"));
                if !name.aliases.is_empty() {
                    object.insert("aliases".into(), json!(name.aliases));
                }
            }
        }
        match &node.kind {
            Kind::Array(item) => {
                object.insert("items".into(), self.write(*item, inner, defined, whole));
            }
            Kind::Map(value) => {
                object.insert("values".into(), self.write(*value, inner, defined, whole));
            }
            Kind::Union(branches) => {
                let branch = |b: &Id| self.write(*b, space, &mut *defined, whole);
                return Json::Array(branches.iter().map(branch).collect());
            }
            Kind::Record(_, fields) => {
                let mut list = Vec::new();
                for field in fields {
                    let mut item = Map::new();
                    item.insert("name".into(), json!(field.name));
                    let of = self.write(field.node, inner, defined, whole);
                    item.insert("type".into(), of);
                    if whole && !field.aliases.is_empty() {
                        item.insert("aliases".into(), json!(field.aliases));
                    }
                    if whole && field.node.is_multiple_of(3) {
                        item.insert("doc".into(), json!("é"));
                    }
                    if let Some(default) = &field.default {
                        item.insert("default".into(), default.clone());
                    }
                    list.push(Json::Object(item));
                }
                object.insert("fields".into(), Json::Array(list));
            }
            Kind::Enum(_, symbols, default) => {
                object.insert("symbols".into(), json!(symbols));
                if let Some(default) = default
                    && whole
                {
                    object.insert("default".into(), json!(default));
                }
            }
            Kind::Fixed(_, size) => {
                object.insert("size".into(), json!(size));
            }
            _ => {}
        }
        if let Some(logical) = node.logical {
            object.insert("logicalType".into(), json!(logical.word));
            if logical.word == "decimal" {
                object.insert("precision".into(), json!(logical.precision));
                if logical.scale > 0 {
                    object.insert("scale".into(), json!(logical.scale));
                }
            }
        }
        match object.len() {
            1 => json!(node.kind.word()),
            _ => Json::Object(object),
        }
    }
}
