//! Field paths: `customer.address.city`, `items[].price`. Schema and value are walked alike; a union of null and one
//! type is passed through as if it were that type. Errors of the record path spell their place with a [`Trail`].

use std::fmt::Write as _;

use super::schema::{Kind, NodeId, Schema};
use super::value::Value;

/// Where a walk stands. Steps are borrowed, so that nothing is built until an error asks for the text.
#[derive(Debug, Default, Clone)]
pub struct Trail<'s> {
    steps: Vec<Step<'s>>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'s> {
    Field(&'s str),
    Index(usize),
}

impl<'s> Trail<'s> {
    /// How many steps deep the walk is.
    pub fn depth(&self) -> usize {
        self.steps.len()
    }

    /// Goes into a field.
    pub fn push_field(&mut self, name: &'s str) {
        self.steps.push(Step::Field(name));
    }

    /// Goes into an item or a map entry. Entries are told by position, because a map's key is payload.
    pub fn push_index(&mut self, position: usize) {
        self.steps.push(Step::Index(position));
    }

    /// Goes back out. An error on the way leaves the trail as it stood, and nobody walks on.
    pub fn pop(&mut self) {
        self.steps.pop();
    }

    /// Goes on as another trail does.
    pub fn append(&mut self, other: &Trail<'s>) {
        self.steps.extend(&other.steps);
    }

    /// Runs `inside` one field deeper.
    pub fn field<R>(&mut self, name: &'s str, inside: impl FnOnce(&mut Self) -> R) -> R {
        self.push_field(name);
        let result = inside(self);
        self.pop();
        result
    }

    /// Runs `inside` one item or map entry deeper.
    pub fn index<R>(&mut self, position: usize, inside: impl FnOnce(&mut Self) -> R) -> R {
        self.push_index(position);
        let result = inside(self);
        self.pop();
        result
    }

    /// As text: `items[2].price`.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            match step {
                Step::Field(name) if text.is_empty() => text.push_str(name),
                Step::Field(name) => write!(text, ".{name}").expect("a String takes all text"),
                Step::Index(i) => write!(text, "[{i}]").expect("a String takes all text"),
            }
        }
        text
    }
}

/// A parsed field path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// A field of a record, or a key of a map.
    Name(String),
    /// `[]`: every item of an array or value of a map.
    Each,
}

impl Path {
    /// Parses `a.b[].c`. Names are joined by dots; `[]` after a name means every item of an array or value of a map.
    pub fn parse(text: &str) -> Result<Path, String> {
        let mut parts = Vec::new();
        for piece in text.split('.') {
            let name = piece.trim_end_matches("[]");
            if name.is_empty() || name.contains(['[', ']']) || name.contains(char::is_whitespace) {
                return Err(format!(
                    "{text:?} is not a field path such as a.b or items[].price"
                ));
            }
            parts.push(Part::Name(name.to_owned()));
            let each = (piece.len() - name.len()) / 2;
            parts.extend(std::iter::repeat_n(Part::Each, each));
        }
        Ok(Path {
            text: text.to_owned(),
            parts,
        })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The node that the path leads to, or in words why there is none.
    pub fn resolve(&self, schema: &Schema) -> Result<NodeId, String> {
        let mut node = schema.root;
        let mut seen = String::new();
        for part in &self.parts {
            let here = if seen.is_empty() { "the schema" } else { &seen };
            let Some(inner) = schema.non_null(node) else {
                return Err(format!("{here} is a {}", schema.describe(node)));
            };
            node = match (part, &schema.node(inner).kind) {
                (Part::Name(name), Kind::Record(record)) => match record.index.get(name) {
                    Some(position) => record.fields[*position].node,
                    None => {
                        let names = record.fields.iter().map(|f| f.name.as_str());
                        let hint = closest(name, names)
                            .map(|near| format!("; did you mean {near:?}?"))
                            .unwrap_or_default();
                        return Err(format!("{} has no field {name:?}{hint}", record.name.full));
                    }
                },
                (Part::Name(_), Kind::Map(value)) => *value,
                (Part::Each, Kind::Array(item) | Kind::Map(item)) => *item,
                (Part::Name(_), _) => {
                    return Err(format!(
                        "{here} is {}, not a record",
                        schema.describe(inner)
                    ));
                }
                (Part::Each, _) => {
                    return Err(format!(
                        "{here} is {}, not an array",
                        schema.describe(inner)
                    ));
                }
            };
            match part {
                Part::Name(name) if seen.is_empty() => seen.push_str(name),
                Part::Name(name) => write!(seen, ".{name}").expect("a String takes all text"),
                Part::Each => seen.push_str("[]"),
            }
        }
        Ok(node)
    }

    /// The values at the path inside `value`, which belongs to the root of `schema`. None where a null or a missing
    /// map key stands in the way.
    pub fn values<'v>(&self, schema: &Schema, value: &'v Value) -> Vec<&'v Value> {
        let mut found = Vec::new();
        collect(schema, schema.root, &self.parts, value, &mut found);
        found
    }
}

fn collect<'v>(
    schema: &Schema,
    node: NodeId,
    parts: &[Part],
    value: &'v Value,
    found: &mut Vec<&'v Value>,
) {
    let Some((part, rest)) = parts.split_first() else {
        found.push(value);
        return;
    };
    let Some(inner) = schema.non_null(node) else {
        return;
    };
    match (part, &schema.node(inner).kind, value.inner()) {
        (Part::Name(name), Kind::Record(record), Value::Record(fields)) => {
            if let Some(position) = record.index.get(name) {
                let node = record.fields[*position].node;
                collect(schema, node, rest, &fields[*position], found);
            }
        }
        (Part::Name(name), Kind::Map(node), Value::Map(entries)) => {
            // Of duplicate keys the last one counts, as in Java's maps.
            if let Some((_, value)) = entries.iter().rev().find(|(key, _)| key == name) {
                collect(schema, *node, rest, value, found);
            }
        }
        (Part::Each, Kind::Array(node), Value::Array(items)) => {
            for item in items {
                collect(schema, *node, rest, item, found);
            }
        }
        (Part::Each, Kind::Map(node), Value::Map(entries)) => {
            for (_, value) in entries {
                collect(schema, *node, rest, value, found);
            }
        }
        _ => {}
    }
}

/// The known name that `name` was most likely meant to be.
pub fn closest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|candidate| (strsim::jaro_winkler(candidate, name), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

impl Schema {
    /// The node at a field path such as `items[].price`, through nullable unions.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        Path::parse(path).ok()?.resolve(self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{"type":"record","name":"shop.Order","fields":[
        {"name":"items","type":["null",{"type":"array","items":{"type":"record","name":"Item","fields":[{"name":"price","type":"double"}]}}]},
        {"name":"tags","type":{"type":"map","values":"string"}},
        {"name":"either","type":["null","int","string"]}]}"#;

    #[test]
    fn paths_lead_through_unions_arrays_and_maps() {
        let schema = Schema::parse(ORDER, &[]).expect("schema");
        let kind = |path| schema.find(path).map(|node| schema.describe(node));
        assert_eq!(kind("items[].price").as_deref(), Some("double"));
        assert_eq!(kind("items[]").as_deref(), Some("record shop.Item"));
        assert_eq!(kind("tags.color").as_deref(), Some("string"));
        assert_eq!(kind("tags[]").as_deref(), Some("string"));
        assert_eq!(
            kind("either").as_deref(),
            Some("union of null, int, string")
        );
        assert_eq!(kind("items.price"), None);
        let error = Path::parse("items[].prise").expect("path").resolve(&schema);
        assert_eq!(
            error.expect_err("refused"),
            r#"shop.Item has no field "prise"; did you mean "price"?"#
        );
        for bad in ["", "a..b", "a[", "a b", "[]"] {
            assert!(Path::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_are_found_where_the_schema_says() {
        let schema = Schema::parse(ORDER, &[]).expect("schema");
        let price = |p: f64| Value::Record(vec![Value::Double(p)]);
        let value = Value::Record(vec![
            Value::Union(1, Box::new(Value::Array(vec![price(1.0), price(2.0)]))),
            Value::Map(vec![("k".into(), Value::String("v".into()))]),
            Value::Union(0, Box::new(Value::Null)),
        ]);
        let at = |path: &str| Path::parse(path).expect("path").values(&schema, &value);
        assert_eq!(
            at("items[].price"),
            [&Value::Double(1.0), &Value::Double(2.0)]
        );
        assert_eq!(at("tags.k"), [&Value::String("v".into())]);
        assert!(at("tags.other").is_empty());
    }
}
