//! Compiles rules against the contract's schema: a constraint on a field that does not exist, or whose type it does
//! not fit, is a fault.

use super::reach::{self, Reach};
use super::{Allowed, Compiled, FieldTest, Test, bounds};
use crate::config::fault::Fault;
use crate::config::model::{Check, Constraint, Placed, Rule};
use crate::contract::schema::{EnumType, Kind, Logical, NodeId, Schema};
use crate::expr::Expr;
use crate::expr::number::Decimal;
use crate::expr::path::{Path, peel, suggest, type_name};
use crate::expr::scope::{Event, with_scope};
use regex::Regex;

pub(super) fn compile(rule: &Rule, event: &dyn Event) -> Result<Compiled, Vec<Fault>> {
    let schema = event.schema();
    let test = match &rule.check {
        Check::Expr(text) => Test::Expr(with_scope(event, |scope| {
            Expr::compile_condition(text, &scope)
        })?),
        Check::Field { field, constraint } => {
            let path =
                Path::resolve_from(schema, event.root(), field).map_err(|fault| vec![fault])?;
            let target = Target {
                schema,
                field,
                node: peel(schema, path.declared).node,
                several: peel(schema, path.declared).several,
            };
            let test = target.compile(constraint).map_err(|fault| vec![fault])?;
            let steps = path.segments.iter().map(reach::Step::of).collect();
            // A field that is missing because a record above it is null is told at that record, so the way to it is walked.
            let walked = matches!(test, FieldTest::Required);
            let reach = Reach::new(event, &path.text, steps, walked);
            let near = reach.near(schema);
            Test::Field { reach, near, test }
        }
    };
    Ok(Compiled {
        name: rule.name.value.clone(),
        origin: None,
        on_fail: rule.on_fail,
        test,
    })
}

/// The field that a constraint is about.
struct Target<'a> {
    schema: &'a Schema,
    field: &'a Placed<String>,
    node: NodeId,
    several: bool,
}

impl Target<'_> {
    fn fault(&self, message: String) -> Fault {
        Fault::new(&self.field.place, self.field.value.clone(), message)
    }

    fn unfit(&self, constraint: &str, wants: &str) -> Fault {
        let what = type_name(self.schema, self.node);
        let field = &self.field.value;
        self.fault(format!("`{field}` is {what}; {constraint} needs {wants}"))
    }

    fn compile(&self, constraint: &Constraint) -> Result<FieldTest, Fault> {
        if self.several && *constraint != Constraint::Required {
            let what = type_name(self.schema, self.node);
            let field = &self.field.value;
            let message = format!("not available yet: constraints on a {what} (`{field}`)");
            return Err(self.fault(message));
        }
        match constraint {
            Constraint::Required => Ok(FieldTest::Required),
            Constraint::Range { min, max } => self.range(min.as_deref(), max.as_deref()),
            Constraint::OneOf(allowed) => self.one_of(allowed),
            Constraint::Pattern(pattern) => self.pattern(pattern),
            Constraint::Length { min, max } => self.length(*min, *max),
        }
    }

    fn range(&self, min: Option<&str>, max: Option<&str>) -> Result<FieldTest, Fault> {
        let read = |bound: Option<&str>| {
            bound
                .map(|text| {
                    Decimal::parse(text)
                        .ok_or_else(|| self.fault(format!("`{text}` is not a number")))
                })
                .transpose()
        };
        let (low, high) = (read(min)?, read(max)?);
        if let (Some(low), Some(high)) = (&low, &high)
            && low.compare(high).is_gt()
        {
            return Err(self.fault("the range is empty: min is above max".to_owned()));
        }
        let said = bounds(min, max);
        let node = self.schema.node(self.node);
        let scale = match (&node.kind, node.logical) {
            (_, Some(Logical::Decimal { scale, .. })) => scale,
            (Kind::Int | Kind::Long, None) => 0,
            (Kind::Float | Kind::Double, _) => {
                // Through f32 for a float: the bound is then what the field would hold.
                let narrow = matches!(node.kind, Kind::Float);
                let held = |bound: Decimal| {
                    let text = bound.to_text();
                    let held = match narrow {
                        true => text.parse::<f32>().map(f64::from),
                        false => text.parse::<f64>(),
                    };
                    held.expect("plain digits parse as a float")
                };
                let (min, max) = (low.map(held), high.map(held));
                return Ok(FieldTest::Float { min, max, said });
            }
            (_, Some(_)) => {
                let what = type_name(self.schema, self.node);
                return Err(self.fault(format!("not available yet: range on a {what}")));
            }
            _ => return Err(self.unfit("range", "a number")),
        };
        Ok(FieldTest::Whole {
            min: low.map(|bound| bound.ceiling_at(scale).to_signed_bytes_be()),
            max: high.map(|bound| bound.floor_at(scale).to_signed_bytes_be()),
            said,
        })
    }

    fn one_of(&self, allowed: &[String]) -> Result<FieldTest, Fault> {
        let node = self.schema.node(self.node);
        if let Kind::Enum(named) = &node.kind {
            self.symbols_exist(named, allowed)?;
        }
        let value = |text: &String| -> Option<Allowed> {
            let decimal = || Decimal::parse(text);
            Some(match (&node.kind, node.logical) {
                (Kind::String, _) => Allowed::Text(text.clone()),
                (Kind::Boolean, _) => Allowed::Boolean(text.parse().ok()?),
                (Kind::Enum(named), _) => {
                    let symbol = named.symbols.iter().position(|symbol| symbol == text)?;
                    Allowed::Symbol(u32::try_from(symbol).ok()?)
                }
                (Kind::Int, None) => {
                    Allowed::Whole(i32::try_from(&decimal()?.at_scale(0)?).ok()?.into())
                }
                (Kind::Long, None) => Allowed::Whole(i64::try_from(&decimal()?.at_scale(0)?).ok()?),
                (Kind::Float, _) => {
                    Allowed::Floating(decimal()?.to_text().parse::<f32>().ok()?.into())
                }
                (Kind::Double, _) => Allowed::Floating(decimal()?.to_text().parse().ok()?),
                _ => return None,
            })
        };
        let takes = matches!(
            (&node.kind, node.logical),
            (
                Kind::String | Kind::Boolean | Kind::Enum(_) | Kind::Float | Kind::Double,
                _
            ) | (Kind::Int | Kind::Long, None)
        );
        if !takes {
            return Err(self.unfit("one_of", "a string, enum, number or boolean"));
        }
        let values = allowed.iter().map(|text| {
            value(text).ok_or_else(|| {
                let what = type_name(self.schema, self.node);
                self.fault(format!("`{text}` is not a value of type {what}"))
            })
        });
        Ok(FieldTest::OneOf {
            allowed: values.collect::<Result<_, _>>()?,
            said: format!("[{}]", allowed.join(", ")),
        })
    }

    fn symbols_exist(&self, named: &EnumType, allowed: &[String]) -> Result<(), Fault> {
        let Some(unknown) = allowed.iter().find(|text| !named.symbols.contains(text)) else {
            return Ok(());
        };
        let fault = self.fault(format!(
            "enum {} has no symbol `{unknown}`",
            named.name.full
        ));
        Err(
            match suggest(unknown, named.symbols.iter().map(String::as_str)) {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault.hint(format!("its symbols are {}", named.symbols.join(", "))),
            },
        )
    }

    fn pattern(&self, pattern: &str) -> Result<FieldTest, Fault> {
        if !matches!(self.schema.node(self.node).kind, Kind::String) {
            return Err(self.unfit("pattern", "a string"));
        }
        // Alone first: an error in it should not show the anchors, nor `a)|(b` pass because of them.
        let regex = Regex::new(pattern)
            .and_then(|_| Regex::new(&format!(r"\A(?:{pattern})\z")))
            .map_err(|error| {
                let last = error.to_string();
                let last = last.lines().last().unwrap_or_default();
                self.fault(format!("the pattern is not a regular expression: {last}"))
            })?;
        Ok(FieldTest::Pattern(regex, format!("`{pattern}`")))
    }

    fn length(&self, min: Option<usize>, max: Option<usize>) -> Result<FieldTest, Fault> {
        let node = self.schema.node(self.node);
        let takes = matches!(
            (&node.kind, node.logical),
            (Kind::String | Kind::Array(_) | Kind::Map(_), _)
                | (Kind::Bytes | Kind::Fixed(_), None)
        );
        if !takes {
            return Err(self.unfit("length", "a string, bytes, an array or a map"));
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(self.fault("the length is impossible: min is above max".to_owned()));
        }
        Ok(FieldTest::Length { min, max })
    }
}
