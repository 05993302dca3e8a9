//! `CEL_FIELD`: a rule that is about the values of fields, by tag. Input: a rule and the contract's schema. Output: a
//! [`Target`] for each field that it is about, found once; a value is walked to them by position.
//!
//! As with Confluent's clients, it is about values of primitive types (enums and fixed are passed over), each element
//! of an array and each value of a map by itself, null included; a rule without tags is about every field.

use std::collections::BTreeSet;

use super::reach::{Found, Reach, Step};
use super::set::{SetRule, Subject};
use super::tags::Tags;
use crate::config::fault::Fault;
use crate::contract::path::Trail;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::error::RecordError;
use crate::expr::path::{peel, type_name};
use crate::expr::scope::{Constant, Event, Profile, Variable, with_scope};
use crate::expr::{Cx, Expr, Place, Scope};

/// A field that a rule is about, with the rule compiled for its type and names.
#[derive(Debug)]
pub(super) struct Target {
    reach: Reach,
    guard: Option<Expr>,
    expr: Expr,
    /// Where the value is put for them.
    register: u32,
}

/// What is said of a value that fails, without the value.
pub(super) struct Violation {
    pub(super) path: String,
    pub(super) message: String,
}

/// Finds the fields.
pub(super) fn compile(
    rule: &SetRule,
    wanted: &[String],
    subject: &Subject,
    event: &dyn Event,
    tags: &Tags,
) -> Result<Vec<Target>, Vec<Fault>> {
    let schema = event.schema();
    let mut finder = Finder {
        rule,
        wanted,
        subject,
        event,
        schema,
        tags,
        steps: Vec::new(),
        above: Vec::new(),
        recursive: BTreeSet::new(),
        found: Vec::new(),
        faults: Vec::new(),
    };
    finder.find(event.root(), "", None);
    let Finder {
        recursive,
        found,
        mut faults,
        ..
    } = finder;
    let endless = found
        .iter()
        .find_map(|(_, above)| above.iter().find(|node| recursive.contains(node)));
    if let Some(node) = endless {
        let what = type_name(schema, *node);
        let message = format!("not available yet: CEL_FIELD inside of a recursive type ({what})");
        faults.push(subject.fault(&rule.name, message));
    }
    match faults.is_empty() {
        true => Ok(found.into_iter().map(|(target, _)| target).collect()),
        false => Err(faults),
    }
}

/// A field on the way down.
#[derive(Clone)]
struct Field {
    name: String,
    full_name: String,
    path: String,
}

struct Finder<'a> {
    rule: &'a SetRule,
    wanted: &'a [String],
    subject: &'a Subject,
    event: &'a dyn Event,
    schema: &'a Schema,
    tags: &'a Tags,
    steps: Vec<Step>,
    /// The records on the way.
    above: Vec<NodeId>,
    recursive: BTreeSet<NodeId>,
    found: Vec<(Target, Vec<NodeId>)>,
    faults: Vec<Fault>,
}

impl Finder<'_> {
    fn find(&mut self, node: NodeId, path: &str, field: Option<&Field>) {
        let peeled = peel(self.schema, node);
        if peeled.several {
            return self.several(node, path, field);
        }
        match &self.schema.node(peeled.node).kind {
            Kind::Record(record) => {
                if self.above.contains(&peeled.node) {
                    self.recursive.insert(peeled.node);
                    return;
                }
                self.above.push(peeled.node);
                for (position, below) in record.fields.iter().enumerate() {
                    let point = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{point}{}", below.name);
                    let field = Field {
                        name: below.name.clone(),
                        full_name: format!("{}.{}", record.name.full, below.name),
                        path: path.clone(),
                    };
                    self.step(Step::Field(position, below.name.clone()), |finder| {
                        finder.find(below.node, &path, Some(&field));
                    });
                }
                self.above.pop();
            }
            Kind::Array(element) => self.step(Step::Elements, |finder| {
                finder.find(*element, &format!("{path}[]"), field);
            }),
            Kind::Map(value) => self.step(Step::Values, |finder| {
                finder.find(*value, &format!("{path}{{}}"), field);
            }),
            kind => {
                if let (Some(word), Some(field)) = (word(kind), field) {
                    self.target(node, word, path, field);
                }
            }
        }
    }

    fn step(&mut self, step: Step, below: impl FnOnce(&mut Self)) {
        self.steps.push(step);
        below(self);
        self.steps.pop();
    }

    /// The branches of a union of several types: records and collections are walked into.
    fn several(&mut self, node: NodeId, path: &str, field: Option<&Field>) {
        let Kind::Union(branches) = &self.schema.node(node).kind else {
            return;
        };
        let kinds = branches
            .iter()
            .map(|branch| &self.schema.node(*branch).kind);
        let words: Vec<&str> = kinds.filter_map(word).collect();
        for (index, branch) in branches.iter().enumerate() {
            let kind = &self.schema.node(*branch).kind;
            if word(kind).is_none() {
                self.step(Step::Branch(index), |finder| {
                    finder.find(*branch, path, field);
                });
            } else if let Some(field) = field
                && !matches!(kind, Kind::Null)
                && let Some(tags) = self.matching(path, field)
                && !self.kept_away(field, &tags, &words)
            {
                let what = type_name(self.schema, node);
                let message = format!("not available yet: CEL_FIELD on a {what} (`{path}`)");
                self.faults
                    .push(self.subject.fault(&self.rule.name, message));
                return;
            }
        }
    }

    /// The tags of a field that the rule is about.
    fn matching(&self, path: &str, field: &Field) -> Option<BTreeSet<String>> {
        let tags = self.tags.of(&field.full_name, [&field.path, path]);
        let meant = self.wanted.is_empty() || self.wanted.iter().any(|tag| tags.contains(tag));
        meant.then_some(tags)
    }

    fn constants(field: &Field, tags: &BTreeSet<String>, type_name: Constant) -> Constants {
        let named = |name: &str, constant| (name.to_owned(), constant);
        vec![
            named("name", Constant::Text(field.name.clone())),
            named("fullName", Constant::Text(field.full_name.clone())),
            named("tags", Constant::Texts(tags.iter().cloned().collect())),
            named("typeName", type_name),
        ]
    }

    /// Whether a guard that asks for names, types and tags alone says no, whatever the value is: the condition then
    /// need not fit the field.
    fn kept_away(&self, field: &Field, tags: &BTreeSet<String>, words: &[&str]) -> bool {
        let Some(guard) = &self.rule.guard else {
            return false;
        };
        words.iter().all(|word| {
            let type_name = Constant::Text((*word).to_owned());
            let constants = Self::constants(field, tags, type_name);
            let compiled = with_scope(self.event, |scope| {
                let scope = Scope {
                    root: None,
                    constants,
                    profile: Profile::Confluent,
                    ..scope
                };
                // One that asks for the value does not compile here.
                Expr::compile_condition(guard, &scope)
            });
            compiled.is_ok_and(|guard| !matches!(constant(&guard, self.schema), Ok(true)))
        })
    }

    fn target(&mut self, node: NodeId, word: &str, path: &str, field: &Field) {
        let Some(tags) = self.matching(path, field) else {
            return;
        };
        let nullable = peel(self.schema, node).nullable && word != "NULL";
        let words = [word, "NULL"];
        if self.kept_away(field, &tags, &words[..1 + usize::from(nullable)]) {
            return;
        }
        let type_name = match nullable {
            true => Constant::UnlessNull(word.to_owned(), "NULL".to_owned()),
            false => Constant::Text(word.to_owned()),
        };
        let constants = Self::constants(field, &tags, type_name);
        let register = self.event.register();
        let value = Variable {
            name: "value".to_owned(),
            node,
            place: Place::Register(register),
        };
        let compiled =
            super::confluent(self.rule, self.subject, self.event, (&[value], &constants));
        match compiled {
            Ok((guard, expr)) => {
                let target = Target {
                    reach: Reach::new(self.event, path, self.steps.clone(), false),
                    guard,
                    expr,
                    register,
                };
                self.found.push((target, self.above.clone()));
            }
            Err(faults) => self.faults.extend(faults.into_iter().map(|fault| Fault {
                message: format!("{} (for the field `{path}`)", fault.message),
                ..fault
            })),
        }
    }
}

type Constants = Vec<(String, Constant)>;

/// The answer of a condition over constants alone.
fn constant(condition: &Expr, schema: &Schema) -> Result<bool, RecordError> {
    let arena = bumpalo::Bump::new();
    condition.eval_bool(&mut Cx::of_constants(schema, &arena))
}

/// The type's name as rules see it; `None` for what they are not about.
fn word(kind: &Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Null => "NULL",
        Kind::Boolean => "BOOLEAN",
        Kind::Int => "INT",
        Kind::Long => "LONG",
        Kind::Float => "FLOAT",
        Kind::Double => "DOUBLE",
        Kind::Bytes => "BYTES",
        Kind::String => "STRING",
        Kind::Array(_)
        | Kind::Map(_)
        | Kind::Union(_)
        | Kind::Record(_)
        | Kind::Enum(_)
        | Kind::Fixed(_) => return None,
    })
}

impl Target {
    /// Its path, as in `items[].sku`.
    pub(super) fn path(&self) -> &str {
        &self.reach.text
    }

    pub(super) fn violation(&self, cx: &mut Cx<'_>) -> Option<Violation> {
        let mut trail = Trail::default();
        let wrong = self
            .reach
            .visit(cx, &mut trail, &mut |cx, found| match found {
                Found::Value(value) => {
                    cx.registers[self.register as usize] = value;
                    super::judge(self.guard.as_ref(), &self.expr, cx)
                }
                // There is no field.
                Found::Missing => None,
            });
        wrong.map(|message| Violation {
            path: self.reach.path(&trail),
            message,
        })
    }
}
