//! Rules: what must hold of an event beyond its schema. Input: an event of the contract's schema. Output: nothing, or
//! the first violation as a [`RecordError`] that names the rule, the constraint and the field, never the value.
//!
//! A null satisfies every constraint but `required`. `required` on a field below a null record fails at that record;
//! below an empty or null array or map there is nothing to check. Paths are those of [`crate::expr::path`]; an
//! element is named by its index (`items[2].price`), an entry of a map by its position (`attributes[0]`), because its
//! key is payload.
//!
//! Rules come from the rules file ([`Rules::compile`]) and from a registry's rule set ([`Rules::of_subject`], under
//! Confluent's profile: `message` is the record, `guard ; condition`, nulls at run time). Both are the same rules from
//! then on.

mod compile;
mod fields;
mod near;
mod reach;
mod set;
mod tags;

pub use self::set::{Side, Subject};
pub use self::tags::Tags;

use self::reach::{Found, Reach};
use super::path::Trail;
use super::view;
use crate::config::fault::Fault;
use crate::config::model::{OnFail, Placed, RulesFile};
use crate::error::{Reason, RecordError};
use crate::expr::lean::field::Field;
use crate::expr::path::Path;
use crate::expr::scope::{Constant, Event, Profile, Variable, with_scope};
use crate::expr::value::compare_decimals;
use crate::expr::{Cx, Expr, Scope, Val};
use regex::Regex;
use std::fmt;

/// The tag of fields that are personal: they are not shown.
pub const TAG: &str = "PII";

/// The compiled rules of a contract.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Compiled>,
    listed: Vec<Listed>,
}

/// A rule for people: where it comes from and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub rule: String,
    /// The rules file, or `subject@version`.
    pub origin: String,
    /// What it checks.
    pub checks: String,
    /// What becomes of a record that fails it, or why it is not run.
    pub does: String,
}

#[derive(Debug)]
struct Compiled {
    name: String,
    /// Subject and version, for a rule of the registry.
    origin: Option<String>,
    on_fail: OnFail,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Expr(Expr),
    /// A rule of the registry on the record.
    Message {
        guard: Option<Expr>,
        expr: Expr,
    },
    /// A rule of the registry on fields.
    Fields(Vec<fields::Target>),
    Field {
        reach: Reach,
        /// The field, where it lies at a mark.
        near: Option<Field>,
        test: FieldTest,
    },
}

/// A constraint, for the type of its field.
#[derive(Debug)]
enum FieldTest {
    Required,
    /// Integers, and decimals by their unscaled number: bounds rounded inwards, as numbers of Avro's bytes.
    Whole {
        min: Option<Vec<u8>>,
        max: Option<Vec<u8>>,
        said: String,
    },
    /// Floating point: each bound as the field's own type would hold it, so that 0.1 is within a maximum of 0.1.
    Float {
        min: Option<f64>,
        max: Option<f64>,
        said: String,
    },
    OneOf {
        allowed: Vec<Allowed>,
        said: String,
    },
    Pattern(Regex, String),
    Length {
        min: Option<usize>,
        max: Option<usize>,
    },
}

/// A value that `one_of` allows.
#[derive(Debug, PartialEq)]
enum Allowed {
    Text(String),
    Boolean(bool),
    Symbol(u32),
    Whole(i64),
    /// As the field's type holds it.
    Floating(f64),
}

impl fmt::Display for FieldTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldTest::Required => f.write_str("required"),
            FieldTest::Whole { said, .. } | FieldTest::Float { said, .. } => {
                write!(f, "range {said}")
            }
            FieldTest::OneOf { said, .. } => write!(f, "one_of {said}"),
            FieldTest::Pattern(_, written) => write!(f, "pattern {written}"),
            FieldTest::Length { min, max } => {
                let min = min.map(|n| n.to_string());
                let max = max.map(|n| n.to_string());
                write!(f, "length {}", bounds(min.as_deref(), max.as_deref()))
            }
        }
    }
}

fn bounds(min: Option<&str>, max: Option<&str>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "any".to_owned(),
    }
}

impl Rules {
    /// Compiles a rules file against the contract's schema. Its `fields` must exist in the schema too.
    pub fn compile(file: &RulesFile, event: &dyn Event) -> Result<Rules, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut rules = Vec::with_capacity(file.rules.len());
        let mut listed = Vec::with_capacity(file.rules.len());
        for rule in &file.rules {
            match compile::compile(rule, event) {
                Ok(compiled) => {
                    listed.push(Listed {
                        rule: compiled.name.clone(),
                        origin: rule.name.place.file.clone(),
                        checks: compiled.test.to_string(),
                        does: does(compiled.on_fail).to_owned(),
                    });
                    rules.push(compiled);
                }
                Err(found) => faults.extend(found),
            }
        }
        for (field, doc) in &file.fields {
            let written = Placed {
                value: field.clone(),
                place: doc.place.clone(),
            };
            if let Err(fault) = Path::resolve_from(event.schema(), event.root(), &written) {
                faults.push(fault);
            }
        }
        match faults.is_empty() {
            true => Ok(Rules { rules, listed }),
            false => Err(faults),
        }
    }

    /// Compiles the rules of a registry's rule set that are run on this side. One that cannot be understood is a
    /// fault that names it.
    pub fn of_subject(
        rule_set: &serde_json::Value,
        subject: &Subject,
        side: Side,
        event: &dyn Event,
        tags: &Tags,
    ) -> Result<Rules, Vec<Fault>> {
        let set = set::read(rule_set, subject, side)?;
        let mut faults = Vec::new();
        let mut out = Rules::default();
        let origin = subject.text();
        for rule in &set.rules {
            let test = match &rule.kind {
                set::SetKind::Message => {
                    // `value` is the record too, for it is the value that the rule is about.
                    let place = event.locate(&[]).place;
                    let names = ["message", "value"].map(|name| Variable {
                        name: name.to_owned(),
                        node: event.root(),
                        place,
                    });
                    confluent(rule, subject, event, (&names, &[]))
                        .map(|(guard, expr)| Test::Message { guard, expr })
                }
                set::SetKind::Fields(wanted) => {
                    fields::compile(rule, wanted, subject, event, tags).map(Test::Fields)
                }
            };
            let test = match test {
                Ok(test) => test,
                Err(found) => {
                    faults.extend(found);
                    continue;
                }
            };
            let about = match &test {
                Test::Fields(targets) if targets.is_empty() => " on no field".to_owned(),
                Test::Fields(targets) => {
                    let paths: Vec<_> = targets.iter().map(fields::Target::path).collect();
                    format!(" on {}", paths.join(", "))
                }
                _ => String::new(),
            };
            let dlq = rule
                .dlq
                .as_ref()
                .filter(|_| rule.on_fail == OnFail::DeadLetter);
            let dlq = dlq.map_or_else(String::new, |topic| format!(" (not to {topic})"));
            out.listed.push(Listed {
                rule: rule.name.clone(),
                origin: origin.clone(),
                checks: format!("{} `{}`{about}", rule.mode, rule.text),
                does: format!("{}{dlq}", does(rule.on_fail)),
            });
            out.rules.push(Compiled {
                name: rule.name.clone(),
                origin: Some(origin.clone()),
                on_fail: rule.on_fail,
                test,
            });
        }
        out.listed.extend(set.idle.into_iter().map(|idle| Listed {
            rule: idle.name,
            origin: origin.clone(),
            checks: idle.mode,
            does: format!("not run: {}", idle.why),
        }));
        match faults.is_empty() {
            true => Ok(out),
            false => Err(faults),
        }
    }

    /// These rules, then those.
    #[must_use]
    pub fn and(mut self, more: Rules) -> Rules {
        self.rules.extend(more.rules);
        self.listed.extend(more.listed);
        self
    }

    /// The rules for people, those that are not run included.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// Whether there is nothing to check.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Checks the event in `cx`, in the order of the file. A rule that only warns is told to `warned` by its name.
    pub fn check(&self, cx: &mut Cx<'_>, warned: &mut dyn FnMut(&str)) -> Result<(), RecordError> {
        for rule in &self.rules {
            if rule.test.surely_holds(cx) {
                continue;
            }
            match (rule.violation(cx), rule.on_fail) {
                (None, _) => {}
                (Some(error), OnFail::DeadLetter) => return Err(error),
                (Some(_), OnFail::Warn) => warned(&rule.name),
            }
        }
        Ok(())
    }
}

/// What becomes of a record that fails.
fn does(on_fail: OnFail) -> &'static str {
    match on_fail {
        OnFail::DeadLetter => "dead letter",
        OnFail::Warn => "warn",
    }
}

/// Guard and condition of a registry's rule, over variables and constants.
fn confluent(
    rule: &set::SetRule,
    subject: &Subject,
    event: &dyn Event,
    (variables, constants): (&[Variable], &[(String, Constant)]),
) -> Result<(Option<Expr>, Expr), Vec<Fault>> {
    let compile = |text: &Placed<String>| {
        let compiled = with_scope(event, |scope| {
            let scope = Scope {
                root: None,
                variables: variables.to_vec(),
                constants: constants.to_vec(),
                profile: Profile::Confluent,
                ..scope
            };
            Expr::compile_condition(text, &scope)
        });
        compiled.map_err(|faults| {
            let named = faults.into_iter().map(|fault| Fault {
                message: subject.fault(&rule.name, &fault.message).message,
                ..fault
            });
            named.collect::<Vec<_>>()
        })
    };
    let guard = rule.guard.as_ref().map(compile).transpose()?;
    Ok((guard, compile(&rule.expr)?))
}

/// What is wrong with what a registry's rule is evaluated on, if anything. A guard that is an error is a guard that
/// does not hold, as with Confluent's clients; a condition that is an error has failed.
fn judge(guard: Option<&Expr>, expr: &Expr, cx: &mut Cx<'_>) -> Option<String> {
    if let Some(guard) = guard
        && !matches!(guard.eval_bool(cx), Ok(true))
    {
        return None;
    }
    match expr.eval_bool(cx) {
        Ok(true) => None,
        Ok(false) => Some(format!("`{}` is false", expr.text())),
        Err(error) => Some(format!("`{}` fails: {}", expr.text(), error.message)),
    }
}

impl Test {
    /// Whether it is seen at once that it holds.
    #[inline]
    fn surely_holds(&self, cx: &mut Cx<'_>) -> bool {
        match self {
            Test::Expr(expr) => expr.surely_holds(cx),
            Test::Field {
                near: Some(field),
                test,
                ..
            } => test.surely_holds(*field, cx),
            _ => false,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Test::Expr(expr) | Test::Message { expr, .. } => write!(f, "`{}`", expr.text()),
            Test::Field { reach, test, .. } => write!(f, "{} {test}", reach.text),
            Test::Fields(_) => f.write_str("fields"),
        }
    }
}

impl Compiled {
    fn violation(&self, cx: &mut Cx<'_>) -> Option<RecordError> {
        let fail = |what: &str, path: &str| {
            let message = match &self.origin {
                Some(origin) => format!("rule {} of {origin}: {what}", self.name),
                None => format!("rule {}: {what}", self.name),
            };
            RecordError::new(Reason::RuleViolation, message).at(path)
        };
        let only = |expr: &Expr| match expr.fields() {
            [only] => only.clone(),
            _ => String::new(),
        };
        match &self.test {
            Test::Expr(expr) => match expr.eval_bool(cx) {
                Ok(true) => None,
                Ok(false) => Some(fail(&format!("`{}` is false", expr.text()), &only(expr))),
                Err(error) => Some(fail(&error.message, &error.path)),
            },
            Test::Message { guard, expr } => {
                judge(guard.as_ref(), expr, cx).map(|wrong| fail(&wrong, &only(expr)))
            }
            Test::Fields(targets) => {
                let wrong = targets.iter().find_map(|target| target.violation(cx));
                wrong.map(|wrong| fail(&wrong.message, &wrong.path))
            }
            Test::Field { reach, test, .. } => {
                let required = matches!(test, FieldTest::Required);
                let mut trail = Trail::default();
                let failed = reach.visit(cx, &mut trail, &mut |cx, found| match found {
                    Found::Value(value) => test.fails(cx, value).then(String::new),
                    // Nothing to check, unless a field that is required is missing with it.
                    Found::Missing => required.then(String::new),
                });
                failed.map(|why| match why.as_str() {
                    "" => fail(&format!("{} fails {test}", reach.text), &reach.path(&trail)),
                    why => fail(why, &reach.path(&trail)),
                })
            }
        }
    }
}

impl FieldTest {
    fn fails(&self, cx: &Cx<'_>, value: Val<'_>) -> bool {
        if value.is_null() {
            return matches!(self, FieldTest::Required);
        }
        match self {
            FieldTest::Required => matches!(value, Val::Text("")),
            FieldTest::Whole { min, max, .. } => {
                let buffer;
                let number: &[u8] = match value {
                    Val::Int(int) => {
                        buffer = int.to_be_bytes();
                        &buffer
                    }
                    Val::Decimal(unscaled, _) => unscaled,
                    _ => return true,
                };
                !within(number, min.as_deref(), max.as_deref())
            }
            FieldTest::Float { min, max, .. } => {
                let Val::Double(number) = value else {
                    return true;
                };
                // NaN is in no range.
                number.is_nan()
                    || min.is_some_and(|min| number < min)
                    || max.is_some_and(|max| number > max)
            }
            FieldTest::OneOf { allowed, .. } => {
                !allowed.iter().any(|allowed| match (allowed, value) {
                    (Allowed::Text(allowed), Val::Text(text)) => allowed == text,
                    (Allowed::Boolean(allowed), Val::Bool(boolean)) => *allowed == boolean,
                    (Allowed::Symbol(allowed), Val::Enum(index)) => *allowed == index,
                    (Allowed::Whole(allowed), Val::Int(number)) => *allowed == number,
                    (Allowed::Floating(allowed), Val::Double(number)) => *allowed == number,
                    _ => false,
                })
            }
            FieldTest::Pattern(regex, _) => match value {
                Val::Text(text) => !regex.is_match(text),
                _ => true,
            },
            FieldTest::Length { min, max } => {
                let length = match value {
                    Val::Text(text) => text.chars().count(),
                    Val::Bytes(bytes) => bytes.len(),
                    Val::List(items) => items.len(),
                    Val::Map(entries) => entries.len(),
                    Val::Avro(node, bytes) => match view::count(cx.schema, node, bytes) {
                        Ok(count) => count,
                        Err(_) => return true,
                    },
                    _ => return true,
                };
                min.is_some_and(|min| length < min) || max.is_some_and(|max| length > max)
            }
        }
    }
}

/// Whether a whole number lies within bounds, all as Avro has decimals.
fn within(number: &[u8], min: Option<&[u8]>, max: Option<&[u8]>) -> bool {
    let against = |bound: &[u8]| compare_decimals((number, 0), (bound, 0));
    min.is_none_or(|min| against(min).is_ge()) && max.is_none_or(|max| against(max).is_le())
}

#[cfg(test)]
mod tests;
