//! Field paths: `customer.email`, `items[].price` (every element), `attributes{}` (every value of a map). Resolved
//! against a schema once, walked by position afterwards.

use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, Logical, NodeId, RecordType, Schema};

/// A node without the nullable union around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peeled {
    /// The type itself: the one branch that is not null, or the union where there are several.
    pub node: NodeId,
    /// Whether null is allowed.
    pub nullable: bool,
    /// Whether a union of several types remains.
    pub several: bool,
}

/// Takes a nullable union off a type.
pub fn peel(schema: &Schema, node: NodeId) -> Peeled {
    let Kind::Union(branches) = &schema.node(node).kind else {
        return Peeled {
            node,
            nullable: matches!(schema.node(node).kind, Kind::Null),
            several: false,
        };
    };
    let mut others = branches
        .iter()
        .copied()
        .filter(|branch| !matches!(schema.node(*branch).kind, Kind::Null));
    let nullable = branches
        .iter()
        .any(|branch| matches!(schema.node(*branch).kind, Kind::Null));
    match (others.next(), others.next()) {
        (Some(only), None) => Peeled {
            node: only,
            nullable,
            several: false,
        },
        (first, _) => Peeled {
            node,
            nullable,
            several: first.is_some(),
        },
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// The field at this position, with its name for messages.
    Field(usize, String),
    /// `[]`: every element.
    Elements,
    /// `{}`: every value of a map.
    Values,
}

impl Segment {
    /// The same without the name, for comparing.
    #[must_use]
    pub fn unnamed(self) -> Segment {
        match self {
            Segment::Field(position, _) => Segment::Field(position, String::new()),
            other => other,
        }
    }
}

/// A path that exists in a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// As written.
    pub text: String,
    /// Its steps.
    pub segments: Vec<Segment>,
    /// The field's node as declared, with its union.
    pub declared: NodeId,
    /// Whether something above the last step may be null.
    pub optional_parent: bool,
}

impl Path {
    /// The positions, if the path has no `[]` or `{}`.
    pub fn positions(&self) -> Option<Vec<usize>> {
        self.segments
            .iter()
            .map(|segment| match segment {
                Segment::Field(position, _) => Some(*position),
                Segment::Elements | Segment::Values => None,
            })
            .collect()
    }

    /// Finds the path in a schema, or says what is wrong with it.
    pub fn resolve(schema: &Schema, text: &Placed<String>) -> Result<Path, Fault> {
        Path::resolve_from(schema, schema.root, text)
    }

    /// The same from another top than the schema's.
    pub fn resolve_from(
        schema: &Schema,
        root: NodeId,
        text: &Placed<String>,
    ) -> Result<Path, Fault> {
        let fault = |message: String| Fault::new(&text.place, text.value.clone(), message);
        let written = text.value.as_str();
        let mut path = Path {
            text: written.to_owned(),
            segments: Vec::new(),
            declared: root,
            optional_parent: false,
        };
        for (index, part) in written.split('.').enumerate() {
            let end = part.find(['[', '{']).unwrap_or(part.len());
            let (name, mut suffix) = part.split_at(end);
            if name.is_empty() {
                return Err(fault(format!("`{written}` is not a field path"))
                    .hint("write `field`, `record.field`, `items[].field` or `attributes{}`"));
            }
            let holder = peel(schema, path.declared);
            path.optional_parent |= index > 0 && holder.nullable;
            let Kind::Record(record) = &schema.node(holder.node).kind else {
                let what = type_name(schema, holder.node);
                let above = path.shown();
                let out = fault(format!("`{above}` is {what}; it has no field `{name}`"));
                return Err(match &schema.node(holder.node).kind {
                    Kind::Array(_) => out.hint(format!("write `{above}[].{name}`")),
                    Kind::Map(_) => out.hint(format!("write `{above}{{}}.{name}`")),
                    _ => out,
                });
            };
            let Some(position) = record.index.get(name) else {
                return Err(no_field(fault, record, name));
            };
            path.segments
                .push(Segment::Field(*position, name.to_owned()));
            path.declared = record.fields[*position].node;
            while !suffix.is_empty() {
                let inside = peel(schema, path.declared);
                path.optional_parent |= inside.nullable;
                let above = path.shown();
                let what = type_name(schema, inside.node);
                let segment = if let Some(rest) = suffix.strip_prefix("[]") {
                    let Kind::Array(element) = schema.node(inside.node).kind else {
                        return Err(fault(format!("`{above}` is {what}, not an array")));
                    };
                    (Segment::Elements, element, rest)
                } else if let Some(rest) = suffix.strip_prefix("{}") {
                    let Kind::Map(value) = schema.node(inside.node).kind else {
                        return Err(fault(format!("`{above}` is {what}, not a map")));
                    };
                    (Segment::Values, value, rest)
                } else {
                    return Err(fault(format!("`{written}` is not a field path")).hint(
                        "every element is `items[]`, every value of a map is `attributes{}`",
                    ));
                };
                path.segments.push(segment.0);
                path.declared = segment.1;
                suffix = segment.2;
            }
        }
        Ok(path)
    }

    fn shown(&self) -> String {
        let mut out = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Field(_, name) => {
                    if !out.is_empty() {
                        out.push('.');
                    }
                    out.push_str(name);
                }
                Segment::Elements => out.push_str("[]"),
                Segment::Values => out.push_str("{}"),
            }
        }
        out
    }
}

fn no_field(fault: impl Fn(String) -> Fault, record: &RecordType, name: &str) -> Fault {
    let out = fault(format!("{} has no field `{name}`", record.name.full));
    match suggest(name, record.fields.iter().map(|field| field.name.as_str())) {
        Some(meant) => out.hint(format!("did you mean `{meant}`?")),
        None => out.hint(format!("its fields are {}", listed(record))),
    }
}

/// The fields of a record type, for a hint.
pub(crate) fn listed(record: &RecordType) -> String {
    let names: Vec<&str> = record.fields.iter().map(|f| f.name.as_str()).collect();
    match names.len() {
        0 => "none".to_owned(),
        1..=12 => names.join(", "),
        more => format!("{}, … ({more} in all)", names[..12].join(", ")),
    }
}

/// The candidate that was most likely meant, if one is near.
pub fn suggest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| {
            let length = candidate.chars().count().max(lower.chars().count());
            *distance <= (length / 3).max(1) && *distance < length
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A type in the words of the schema, with an article where one is needed: `string`, `decimal(10,2)`,
/// `enum shop.Status`, `nullable long`.
pub fn type_name(schema: &Schema, node: NodeId) -> String {
    let written = schema.node(node);
    if let Some(logical) = written.logical {
        return match logical {
            Logical::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            other => other.word().to_owned(),
        };
    }
    match &written.kind {
        Kind::Null => "null".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Int => "int".to_owned(),
        Kind::Long => "long".to_owned(),
        Kind::Float => "float".to_owned(),
        Kind::Double => "double".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Array(element) => format!("array of {}", type_name(schema, *element)),
        Kind::Map(value) => format!("map of {}", type_name(schema, *value)),
        Kind::Record(record) => format!("record {}", record.name.full),
        Kind::Enum(named) => format!("enum {}", named.name.full),
        Kind::Fixed(fixed) => format!("fixed {}", fixed.name.full),
        Kind::Union(branches) => {
            let peeled = peel(schema, node);
            if !peeled.several && peeled.node != node {
                let inner = type_name(schema, peeled.node);
                return match peeled.nullable {
                    true => format!("nullable {inner}"),
                    false => inner,
                };
            }
            let names: Vec<String> = branches.iter().map(|b| type_name(schema, *b)).collect();
            format!("union of {}", names.join(", "))
        }
    }
}
