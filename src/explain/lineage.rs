//! Which rule or step reads a field of the contract, and which fields of the contract an output field comes from.
//! Input: the configured rules and steps with the type before each. Output: names, and whether a path has to be masked.
//! Sees the configuration and never a value; where it cannot tell, it takes everything for the source.

use crate::config::model::{Check, Placed, RulesFile, Step};
pub use crate::contract::rules::TAG;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::expr::Expr;
use crate::expr::scope::{Plain, with_scope};

/// A field path in its parts: names, `[]` for items, `{}` for a map's values.
pub type Parts = Vec<String>;

/// What is known of a pipeline's fields.
#[derive(Debug, Default)]
pub struct Lineage {
    tagged: Vec<Parts>,
    rules: Vec<(String, Vec<Parts>)>,
    steps: Vec<StepUse>,
}

#[derive(Debug)]
struct StepUse {
    name: String,
    /// Of the type before the step.
    touched: Vec<Parts>,
    effect: Effect,
}

#[derive(Debug)]
enum Effect {
    /// Fields stay under their names.
    None,
    /// From, to.
    Renamed(Vec<(Parts, Parts)>),
    /// The field, and what its value is made of.
    Written(Vec<(Parts, Vec<Parts>)>),
}

impl Lineage {
    /// Of a pipeline. `types` is the type before the first step and after each; the first `prepared` steps run before
    /// the rules, whose paths are those of the type that these leave. `tagged` are further paths of the contract that
    /// are tagged, beside those of the rules file.
    pub fn new(
        rules: &RulesFile,
        (steps, prepared): (&[Step], usize),
        types: &[&Schema],
        tagged: &[String],
    ) -> Lineage {
        let is_tagged = |tags: &[String]| tags.iter().any(|tag| tag.eq_ignore_ascii_case(TAG));
        let in_file = rules.fields.iter();
        let in_file = in_file.filter(|(_, doc)| is_tagged(&doc.tags));
        let rule = |check: &Check| match (check, types.get(prepared)) {
            (Check::Field { field, .. }, _) => vec![parts(&field.value)],
            (Check::Expr(text), Some(schema)) => reads(text, schema),
            (Check::Expr(_), None) => vec![Parts::new()],
        };
        let named = rules.rules.iter();
        let mut lineage = Lineage {
            tagged: tagged.iter().map(|path| parts(path)).collect(),
            rules: Vec::new(),
            steps: steps
                .iter()
                .zip(types)
                .enumerate()
                .map(|(index, (step, before))| used(index, step, before))
                .collect(),
        };
        let of_contract = |paths: &mut dyn Iterator<Item = Parts>| -> Vec<Parts> {
            paths
                .flat_map(|path| lineage.origins(&path, prepared.min(lineage.steps.len())))
                .collect()
        };
        let in_file = of_contract(&mut in_file.map(|(path, _)| parts(path)));
        let rules = named
            .map(|named| {
                let fields = of_contract(&mut rule(&named.check).into_iter());
                (format!("rule {}", named.name.value), fields)
            })
            .collect();
        lineage.tagged.extend(in_file);
        lineage.rules = rules;
        lineage
    }

    /// Whether any field is tagged.
    pub fn has_tags(&self) -> bool {
        !self.tagged.is_empty()
    }

    /// Whether the values at a path of the contract are tagged.
    pub fn is_tagged(&self, path: &[String]) -> bool {
        self.tagged.iter().any(|tag| path.starts_with(tag))
    }

    /// Whether an output field may hold a part of a tagged one, under any of its names.
    pub fn is_tainted(&self, path: &[String]) -> bool {
        let origins = self.origins(path, self.steps.len());
        let related = |tag: &Parts| origins.iter().any(|origin| overlap(tag, origin));
        self.tagged.iter().any(related)
    }

    /// The rules and steps that read or change a field of the contract.
    pub fn touching(&self, path: &[String]) -> Vec<String> {
        let rules = self.rules.iter().filter_map(|(name, fields)| {
            let touches = fields.iter().any(|field| overlap(field, path));
            touches.then(|| name.clone())
        });
        let steps = self.steps.iter().enumerate().filter_map(|(index, step)| {
            let mut origins = step.touched.iter().flat_map(|at| self.origins(at, index));
            let touches = origins.any(|origin| overlap(&origin, path));
            touches.then(|| step.name.clone())
        });
        rules.chain(steps).collect()
    }

    /// The names of the steps of a kind.
    pub fn steps(&self, kind: &str) -> Vec<&str> {
        let suffix = format!("({kind})");
        let names = self.steps.iter().map(|step| step.name.as_str());
        names.filter(|name| name.ends_with(&suffix)).collect()
    }

    /// Paths of the contract that a path before the step at `index` comes from.
    fn origins(&self, path: &[String], index: usize) -> Vec<Parts> {
        let Some(index) = index.checked_sub(1) else {
            return vec![path.to_vec()];
        };
        match &self.steps[index].effect {
            Effect::None => self.origins(path, index),
            Effect::Renamed(pairs) => {
                let renamed = pairs.iter().find(|(_, to)| path.starts_with(to));
                match renamed {
                    Some((from, to)) => {
                        let old: Parts = from.iter().chain(&path[to.len()..]).cloned().collect();
                        self.origins(&old, index)
                    }
                    None => self.origins(path, index),
                }
            }
            Effect::Written(targets) => {
                let mut found = Vec::new();
                let mut replaced = false;
                for (target, sources) in targets.iter().filter(|(to, _)| overlap(to, path)) {
                    replaced |= path.starts_with(target);
                    found.extend(sources.iter().flat_map(|from| self.origins(from, index)));
                }
                if !replaced {
                    found.extend(self.origins(path, index));
                }
                found
            }
        }
    }
}

/// A path as it is written, in its parts.
pub fn parts(path: &str) -> Parts {
    let mut parts = Parts::new();
    for piece in path.split('.').filter(|piece| !piece.is_empty()) {
        let end = piece.find(['[', '{']).unwrap_or(piece.len());
        let (name, suffix) = piece.split_at(end);
        parts.push(name.to_owned());
        for open in suffix.chars() {
            match open {
                '[' => parts.push("[]".to_owned()),
                '{' => parts.push("{}".to_owned()),
                _ => {}
            }
        }
    }
    parts
}

/// Parts as they are written.
pub fn written(parts: &[String]) -> String {
    let mut text = String::new();
    for part in parts {
        if !text.is_empty() && !matches!(part.as_str(), "[]" | "{}") {
            text.push('.');
        }
        text.push_str(part);
    }
    text
}

/// Whether one is the other or lies inside it.
fn overlap(one: &[String], other: &[String]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// The names of the fields of the record at a path, if there is one.
fn names(schema: &Schema, path: &[String]) -> Vec<String> {
    let mut nodes = vec![schema.root];
    for part in path {
        let below = nodes.into_iter().flat_map(|node| fields(schema, node));
        let found = below.filter(|(name, _)| name == part);
        nodes = found.map(|(_, node)| node).collect();
    }
    let fields = nodes.into_iter().flat_map(|node| fields(schema, node));
    fields.map(|(name, _)| name).collect()
}

/// The fields of a record, or of the records of a union.
fn fields(schema: &Schema, node: NodeId) -> Vec<(String, NodeId)> {
    match &schema.nodes[node].kind {
        Kind::Record(record) => record
            .fields
            .iter()
            .map(|field| (field.name.clone(), field.node))
            .collect(),
        Kind::Union(branches) => branches
            .iter()
            .flat_map(|branch| fields(schema, *branch))
            .collect(),
        _ => Vec::new(),
    }
}

fn reads(text: &Placed<String>, schema: &Schema) -> Vec<Parts> {
    let event = Plain::new(schema);
    match with_scope(&event, |scope| Expr::compile(text, &scope)) {
        Ok(expr) => expr.fields().iter().map(|field| parts(field)).collect(),
        // The whole event, to be on the safe side.
        Err(_) => vec![Parts::new()],
    }
}

fn used(index: usize, step: &Step, before: &Schema) -> StepUse {
    let one = |field: &Placed<String>| parts(&field.value);
    let (kind, touched, effect) = match step {
        Step::Set(entries) => {
            let written: Vec<_> = entries
                .iter()
                .map(|(field, text)| (one(field), reads(text, before)))
                .collect();
            let touched = written.iter().flat_map(|(field, sources)| {
                std::iter::once(field.clone()).chain(sources.iter().cloned())
            });
            ("set", touched.collect(), Effect::Written(written))
        }
        Step::Filter(text) => ("filter", reads(text, before), Effect::None),
        Step::Mask { field, .. } => ("mask", vec![one(field)], Effect::None),
        Step::Rename(entries) => {
            let renamed: Vec<_> = entries
                .iter()
                .map(|(old, new)| {
                    let from = one(old);
                    let mut to = from.clone();
                    to.pop();
                    to.push(new.value.clone());
                    (from, to)
                })
                .collect();
            let touched = renamed.iter().map(|(from, _)| from.clone()).collect();
            ("rename", touched, Effect::Renamed(renamed))
        }
        Step::Drop(fields) => ("drop", fields.iter().map(one).collect(), Effect::None),
        Step::Cast(entries) => {
            let touched = entries.iter().map(|(field, _)| one(field)).collect();
            ("cast", touched, Effect::None)
        }
        Step::MapValues(table) => ("map_values", vec![one(&table.field)], Effect::None),
        Step::Lookup(lookup) => {
            let asked: Vec<Parts> = lookup.fields().into_iter().map(parts).collect();
            let written = vec![(one(&lookup.into), asked.clone())];
            ("lookup", asked, Effect::Written(written))
        }
        // What it reads and writes only the program knows: anything may come from anything.
        Step::Native(_) => {
            let whole = Parts::new();
            let written = vec![(whole.clone(), vec![whole.clone()])];
            ("native", vec![whole], Effect::Written(written))
        }
        Step::Move(entries) => {
            let moved = entries.iter().map(|(from, to)| (one(to), vec![one(from)]));
            let touched = entries.iter().map(|(from, _)| one(from)).collect();
            ("move", touched, Effect::Written(moved.collect()))
        }
        Step::Keep(fields) => ("keep", fields.iter().map(one).collect(), Effect::None),
        Step::Default(entries) => {
            // The field keeps what it has, where it has something.
            let written: Vec<_> = entries
                .iter()
                .map(|(field, text)| {
                    let sources = std::iter::once(one(field)).chain(reads(text, before));
                    (one(field), sources.collect::<Vec<_>>())
                })
                .collect();
            let touched = written.iter().flat_map(|(_, sources)| sources.clone());
            ("default", touched.collect(), Effect::Written(written))
        }
        Step::Flatten {
            field,
            prefix,
            separator,
        } => {
            let from = one(field);
            let (own, above) = from
                .split_last()
                .map_or(("", &[][..]), |(own, above)| (own, above));
            let prefix = match prefix {
                Some(prefix) => prefix.clone(),
                None => format!("{own}{separator}"),
            };
            let lifted = names(before, &from).into_iter().map(|name| {
                let mut to = above.to_vec();
                to.push(format!("{prefix}{name}"));
                let mut source = from.clone();
                source.push(name);
                (to, vec![source])
            });
            let written = lifted.collect();
            ("flatten", vec![from], Effect::Written(written))
        }
        Step::Nest { into, fields } => {
            let nested = fields.iter().map(|field| {
                let from = one(field);
                let mut to = one(into);
                to.extend(from.last().cloned());
                (to, vec![from])
            });
            let touched = fields.iter().map(one).collect();
            ("nest", touched, Effect::Written(nested.collect()))
        }
        Step::Explode { field, into } => {
            let array = one(field);
            let to = into.as_ref().map_or_else(|| array.clone(), one);
            let written = vec![(to, vec![array.clone()])];
            ("explode", vec![array], Effect::Written(written))
        }
        Step::Header(entries) => {
            let read = entries.iter().filter_map(|(_, text)| text.as_ref());
            let touched = read.flat_map(|text| reads(text, before)).collect();
            ("header", touched, Effect::None)
        }
        Step::Key(text) => ("key", reads(text, before), Effect::None),
        Step::Timestamp(text) => ("timestamp", reads(text, before), Effect::None),
        Step::Route(arms) => {
            let asked = arms.iter().filter_map(|arm| arm.when.as_ref());
            let touched = asked.flat_map(|text| reads(text, before)).collect();
            ("route", touched, Effect::None)
        }
    };
    StepUse {
        name: format!("step {} ({kind})", index + 1),
        touched,
        effect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{FieldDoc, Mask, Place};
    use crate::transform::testing::Trial;

    fn placed(text: &str) -> Placed<String> {
        Placed {
            value: text.to_owned(),
            place: Place::default(),
        }
    }

    fn pair(one: &str, other: &str) -> (Placed<String>, Placed<String>) {
        (placed(one), placed(other))
    }

    fn lineage(steps: &[Step], tagged: &[&str]) -> Lineage {
        let text = r#"{"type":"record","name":"R","fields":[
            {"name":"email","type":"string"},{"name":"name","type":"string"},{"name":"n","type":"long"},
            {"name":"home","type":{"type":"record","name":"H","fields":[
                {"name":"street","type":"string"},{"name":"city","type":"string"}]}}]}"#;
        let schema = Schema::parse(text, &[]).expect("a schema");
        let none = |_: &std::path::Path| Err("no lookups here".to_owned());
        let transform = Trial::compile(steps, &schema, &none).expect("compiles");
        let types: Vec<&Schema> = transform.types().map(|(_, schema)| schema).collect();
        let mut rules = RulesFile::default();
        for path in tagged {
            let doc = FieldDoc {
                tags: vec!["pii".to_owned()],
                ..FieldDoc::default()
            };
            rules.fields.insert((*path).to_owned(), doc);
        }
        Lineage::new(&rules, (steps, 0), &types, &[])
    }

    #[test]
    fn what_comes_from_a_tagged_field_is_tainted_through_every_step() {
        let steps = [
            Step::Rename(vec![pair("email", "name"), pair("name", "email")]),
            Step::Set(vec![pair("copy", "name"), pair("number", "n")]),
            Step::Mask {
                field: placed("copy"),
                with: Mask::Sha256,
            },
            Step::Set(vec![pair("name", "'nobody'")]),
        ];
        let lineage = lineage(&steps, &["email", "home.street"]);
        for (path, tainted) in [
            ("copy", true),
            ("email", false),
            // Written anew from a constant.
            ("name", false),
            ("number", false),
            ("home.street", true),
            ("home.city", false),
            // A whole that holds a part.
            ("home", true),
        ] {
            assert_eq!(lineage.is_tainted(&parts(path)), tainted, "{path}");
        }
        assert_eq!(
            lineage.touching(&parts("email")),
            [
                "step 1 (rename)",
                "step 2 (set)",
                "step 3 (mask)",
                "step 4 (set)"
            ]
        );
        assert_eq!(lineage.touching(&parts("n")), ["step 2 (set)"]);
        assert!(lineage.touching(&parts("home.city")).is_empty());
        assert!(lineage.is_tagged(&parts("home.street")));
        assert!(!lineage.is_tagged(&parts("home")));
    }

    #[test]
    fn a_tag_behind_an_early_step_is_one_of_what_it_came_from() {
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"email","type":"string"},{"name":"n","type":"long"}]}"#;
        let schema = Schema::parse(schema, &[]).expect("a schema");
        let steps = [Step::Rename(vec![pair("email", "mail")])];
        let none = |_: &std::path::Path| Err("no lookups here".to_owned());
        let transform = Trial::compile(&steps, &schema, &none).expect("compiles");
        let types: Vec<&Schema> = transform.types().map(|(_, schema)| schema).collect();
        let mut rules = RulesFile::default();
        let doc = FieldDoc {
            tags: vec!["PII".to_owned()],
            ..FieldDoc::default()
        };
        rules.fields.insert("mail".to_owned(), doc);
        let lineage = Lineage::new(&rules, (&steps, 1), &types, &["n".to_owned()]);
        assert!(lineage.is_tagged(&parts("email")) && lineage.is_tainted(&parts("mail")));
        assert!(lineage.is_tagged(&parts("n")), "tagged by the registry");
    }

    #[test]
    fn paths_are_read_and_written() {
        for path in ["a", "a.b", "items[].price", "tags{}.x", "a[][].b{}"] {
            assert_eq!(written(&parts(path)), path);
        }
    }
}
