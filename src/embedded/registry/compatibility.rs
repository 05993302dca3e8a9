//! Whether a schema may follow another at a compatibility level. What is checked is what
//! `apache_avro::schema_compatibility` checks, once all named types are written out in place (it takes two references
//! of one name for equal without looking): types, promotions, missing defaults, enum symbols, sizes. "May fail for some
//! values" counts as incompatible. It does not look at logical types with the same underlying type nor at aliases, and
//! JSON Schema and protobuf are not compared at all: a strict registry may refuse what this one takes.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{Name, UnionSchema};
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

/// Nodes of a schema with its types written out; beyond it the remaining names stay names.
const MAX_NODES: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Level {
    None,
    #[default]
    Backward,
    BackwardTransitive,
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

impl Level {
    const ALL: [Level; 7] = [
        Level::None,
        Level::Backward,
        Level::BackwardTransitive,
        Level::Forward,
        Level::ForwardTransitive,
        Level::Full,
        Level::FullTransitive,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Level::None => "NONE",
            Level::Backward => "BACKWARD",
            Level::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Level::Forward => "FORWARD",
            Level::ForwardTransitive => "FORWARD_TRANSITIVE",
            Level::Full => "FULL",
            Level::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Level> {
        Level::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text))
    }

    pub(super) fn is_transitive(self) -> bool {
        matches!(
            self,
            Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive
        )
    }
}

#[derive(Debug)]
pub(super) enum Parsed {
    Avro(Schema),
    Uncompared(String),
}

pub(super) fn parse(kind: &str, text: &str, references: &[String]) -> Result<Parsed, String> {
    match kind {
        "AVRO" => {
            let (schema, others) =
                Schema::parse_str_with_list(text, references).map_err(|error| error.to_string())?;
            let mut types = HashMap::new();
            others
                .iter()
                .chain([&schema])
                .for_each(|schema| gather(schema, &mut types));
            let (mut whole, mut left) = (schema.clone(), MAX_NODES);
            write_out(&mut whole, &types, &mut Vec::new(), &mut left);
            Ok(Parsed::Avro(whole))
        }
        "JSON" => match serde_json::from_str::<serde_json::Value>(text) {
            Ok(_) => Ok(Parsed::Uncompared(kind.to_owned())),
            Err(error) => Err(error.to_string()),
        },
        "PROTOBUF" => Ok(Parsed::Uncompared(kind.to_owned())),
        other => Err(format!("unknown schema type {other}")),
    }
}

/// What speaks against `new` after `old`.
pub(super) fn reasons(level: Level, old: &Parsed, new: &Parsed) -> Vec<String> {
    let (old, new) = match (old, new) {
        (Parsed::Avro(old), Parsed::Avro(new)) => (old, new),
        (Parsed::Uncompared(old), Parsed::Uncompared(new)) if old == new => return Vec::new(),
        _ if level == Level::None => return Vec::new(),
        _ => return vec!["the schema type differs".to_owned()],
    };
    let backward = || cannot_read(old, new, "the new schema cannot read data of the old one");
    let forward = || cannot_read(new, old, "the old schema cannot read data of the new one");
    match level {
        Level::None => Vec::new(),
        Level::Backward | Level::BackwardTransitive => backward().into_iter().collect(),
        Level::Forward | Level::ForwardTransitive => forward().into_iter().collect(),
        Level::Full | Level::FullTransitive => backward().into_iter().chain(forward()).collect(),
    }
}

fn cannot_read(writer: &Schema, reader: &Schema, what: &str) -> Option<String> {
    match SchemaCompatibility::can_read(writer, reader) {
        Ok(Compatibility::Full) => None,
        Ok(Compatibility::Partial) => Some(format!(
            "{what}: some values would fail (a union branch or an enum symbol is gone)"
        )),
        Err(error) => Some(format!("{what}: {error}")),
    }
}

/// Every named type, by full name.
fn gather(schema: &Schema, types: &mut HashMap<Name, Schema>) {
    if let (Some(name), false) = (schema.name(), matches!(schema, Schema::Ref { .. })) {
        types.insert(name.clone(), schema.clone());
    }
    match schema {
        Schema::Record(record) => record
            .fields
            .iter()
            .for_each(|field| gather(&field.schema, types)),
        Schema::Array(array) => gather(&array.items, types),
        Schema::Map(map) => gather(&map.types, types),
        Schema::Union(union) => union
            .variants()
            .iter()
            .for_each(|branch| gather(branch, types)),
        _ => {}
    }
}

/// Puts each named type in the place of its name, except inside itself.
fn write_out(
    schema: &mut Schema,
    types: &HashMap<Name, Schema>,
    inside: &mut Vec<Name>,
    left: &mut usize,
) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    if let Schema::Ref { name } = schema {
        match types.get(name) {
            Some(definition) if !inside.contains(name) => *schema = definition.clone(),
            _ => return,
        }
    }
    match schema {
        Schema::Record(record) => {
            inside.push(record.name.clone());
            for field in &mut record.fields {
                write_out(&mut field.schema, types, inside, left);
            }
            inside.pop();
        }
        Schema::Array(array) => write_out(&mut array.items, types, inside, left),
        Schema::Map(map) => write_out(&mut map.types, types, inside, left),
        Schema::Union(union) => {
            let mut branches = union.variants().to_vec();
            for branch in &mut branches {
                write_out(branch, types, inside, left);
            }
            // Writing a name out makes no two branches alike that were not; if it ever did, the names would stay.
            if let Ok(written) = UnionSchema::new(branches) {
                *union = written;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(level: &str, old: &str, new: &str, compatible: bool) {
        let level = Level::parse(level).expect("a level");
        let parse = |text: &str| parse("AVRO", text, &[]).expect("a schema");
        let reasons = reasons(level, &parse(old), &parse(new));
        assert_eq!(
            reasons.is_empty(),
            compatible,
            "{level:?}: {old} -> {new}: {reasons:?}"
        );
    }

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
    }

    #[test]
    fn levels_look_the_right_way() {
        let one = record(r#"{"name":"a","type":"string"}"#);
        let optional = record(
            r#"{"name":"a","type":"string"},{"name":"b","type":["null","int"],"default":null}"#,
        );
        let required = record(r#"{"name":"a","type":"string"},{"name":"b","type":"int"}"#);
        for (level, new, compatible) in [
            ("BACKWARD", &one, true),
            ("FULL", &one, true),
            ("FULL", &optional, true),
            ("BACKWARD", &required, false),
            ("FORWARD", &required, true),
            ("FULL_TRANSITIVE", &required, false),
            ("NONE", &required, true),
        ] {
            check(level, &one, new, compatible);
        }
        check("BACKWARD", r#""int""#, r#""long""#, true);
        check("BACKWARD", r#""long""#, r#""int""#, false);
    }

    #[test]
    fn what_may_fail_for_some_values_is_incompatible() {
        let symbols =
            |symbols: &str| format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]}}"#);
        check("BACKWARD", &symbols(r#""A""#), &symbols(r#""A","B""#), true);
        check("FORWARD", &symbols(r#""A""#), &symbols(r#""A","B""#), false);
        check("BACKWARD", r#"["null","string"]"#, r#""string""#, false);
    }

    #[test]
    fn a_type_may_move_to_where_it_is_used_first_but_not_change() {
        let money = |kind: &str| {
            format!(r#"{{"type":"record","name":"M","fields":[{{"name":"v","type":"{kind}"}}]}}"#)
        };
        let old = record(&format!(
            r#"{{"name":"a","type":{}}},{{"name":"b","type":"M"}}"#,
            money("int")
        ));
        let moved = record(&format!(
            r#"{{"name":"b","type":{}}},{{"name":"a","type":"M"}}"#,
            money("int")
        ));
        let changed = record(&format!(
            r#"{{"name":"b","type":{}}},{{"name":"a","type":"M"}}"#,
            money("string")
        ));
        check("FULL", &old, &moved, true);
        check("BACKWARD", &old, &changed, false);
        let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
        check("FULL", list, list, true);
    }
}
