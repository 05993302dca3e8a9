//! The type checker: walks CEL's syntax tree against the types of a [`Scope`] and lowers it to [`Ir`], in which every
//! field is a place and every literal of the type that it is used with. All faults are collected.

mod arith;
mod call;
mod collect;
mod compare;
mod each;
mod field;
mod format;
mod logic;
mod unify;

use std::collections::BTreeSet;

use bumpalo::Bump;
use cel::common::ast::{CallExpr, Expr as Cel, LiteralValue, operators};
use cel::parser::Expression;

use super::cx::{Cx, STEPS};
use super::eval::Run;
use super::ir::{Const, Ir, Spot, Sum};
use super::scope::{Profile, Scope};
use super::source::Source;
use super::types::{Base, Class, Type};
use super::variables;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::Schema;
use crate::expr::number::Decimal;

/// What an expression was found to be.
pub(super) struct Checked {
    pub(super) ir: Ir,
    pub(super) ty: Type,
    pub(super) fields: Vec<String>,
}

/// Paths that are known not to be null at a point.
type Known = BTreeSet<Spot>;

/// What is known once a condition is true, and once it is false.
#[derive(Debug, Clone, Default)]
struct Facts {
    if_true: Known,
    if_false: Known,
}

#[derive(Debug, Clone)]
struct Typed {
    ir: Ir,
    ty: Type,
    facts: Facts,
}

impl Typed {
    fn new(ir: Ir, ty: Type) -> Typed {
        Typed {
            ir,
            ty,
            facts: Facts::default(),
        }
    }

    fn exactly(ir: Ir, base: Base) -> Typed {
        Typed::new(ir, Type::exactly(base))
    }

    fn boolean(ir: Ir, facts: Facts) -> Typed {
        Typed {
            facts,
            ..Typed::exactly(ir, Base::Boolean)
        }
    }
}

/// A variable of a comprehension.
struct Local {
    name: String,
    ty: Type,
    /// Which of all there are in the expression.
    id: usize,
}

struct Checker<'a> {
    source: Source<'a>,
    scope: &'a Scope<'a>,
    schema: &'a Schema,
    fields: Vec<String>,
    faults: Vec<Fault>,
    depth: usize,
    /// The variables of the comprehensions around.
    locals: Vec<Local>,
    /// How many there were so far.
    comprehensions: usize,
    /// Nulls are met at run time.
    run_time: bool,
}

/// Bound on operators inside one another, so that neither checking nor evaluating can exhaust a stack. `&&` and `||`
/// chains do not nest, however long; brackets alone are bounded by [`Source`].
const MAX_DEPTH: usize = 48;

pub(super) fn compile(text: &Placed<String>, scope: &Scope<'_>) -> Result<Checked, Vec<Fault>> {
    let source = Source::parse(text)?;
    let mut root = source.root().clone();
    if !scope.constants.is_empty() {
        variables::fill_in(&scope.constants, &mut root);
    }
    let mut checker = Checker {
        source,
        scope,
        schema: scope.schema,
        fields: Vec::new(),
        faults: Vec::new(),
        depth: 0,
        locals: Vec::new(),
        comprehensions: 0,
        run_time: scope.profile == Profile::Confluent,
    };
    match checker.check(&root, &Known::new()) {
        Some(typed) if checker.faults.is_empty() => Ok(Checked {
            ir: typed.ir,
            ty: typed.ty,
            fields: checker.fields,
        }),
        _ => Err(checker.faults),
    }
}

impl Checker<'_> {
    /// `None` when a fault was noted.
    fn check(&mut self, expr: &Expression, known: &Known) -> Option<Typed> {
        self.deeper(expr, |checker| checker.check_inside(expr, known))
    }

    fn deeper<T>(
        &mut self,
        expr: &Expression,
        then: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            let message = format!("nests deeper than {MAX_DEPTH} operators");
            let fault = self.source.fault(expr, message);
            return self.refuse(fault.hint("compute parts of it in an earlier `set`"));
        }
        self.depth += 1;
        let out = then(self);
        self.depth -= 1;
        out
    }

    fn check_inside(&mut self, expr: &Expression, known: &Known) -> Option<Typed> {
        match &expr.expr {
            Cel::Literal(literal) => self.literal(expr, literal),
            Cel::Ident(_) => self.field(expr, known, false),
            Cel::Select(select) if select.test => self.has(expr, select, known),
            Cel::Select(_) => self.field(expr, known, false),
            Cel::Call(call) => self.call(expr, call, known),
            Cel::List(list) => self.list(expr, list, known),
            Cel::Map(map) => self.map(expr, map, known),
            Cel::Comprehension(each) => self.each(expr, each, known),
            Cel::Struct(_) => {
                let fault = self.source.fault(expr, "an expression makes no records");
                self.refuse(
                    fault.hint("set its fields one by one, or make a map: `{'name': value}`"),
                )
            }
            Cel::Unspecified => {
                let fault = self
                    .source
                    .fault(expr, "this form of CEL is not known here");
                self.refuse(fault)
            }
        }
    }

    fn refuse<T>(&mut self, fault: Fault) -> Option<T> {
        self.faults.push(fault);
        None
    }

    fn class(&self, typed: &Typed) -> Class {
        typed.ty.base.class(self.schema)
    }

    /// As it is written.
    fn written(&self, expr: &Expression) -> String {
        self.source.fault(expr, "").text
    }

    fn literal(&mut self, expr: &Expression, literal: &LiteralValue) -> Option<Typed> {
        let (value, base) = match literal {
            LiteralValue::Null => {
                let ty = Type {
                    base: Base::Null,
                    nullable: true,
                };
                return Some(Typed::new(Ir::Const(Const::Null), ty));
            }
            LiteralValue::Boolean(b) => (Const::Bool(*b.inner()), Base::Boolean),
            LiteralValue::String(s) => (Const::Text(s.inner().into()), Base::String),
            LiteralValue::Bytes(b) => (Const::Bytes(b.inner().into()), Base::Bytes),
            LiteralValue::Int(i) => return Some(integer(*i.inner())),
            LiteralValue::UInt(u) if self.run_time => match i64::try_from(*u.inner()) {
                Ok(i) => return Some(integer(i)),
                Err(_) => {
                    let message = "no long is as large as this number";
                    let fault = self.source.fault(expr, message);
                    return self.refuse(fault);
                }
            },
            LiteralValue::UInt(_) => {
                let fault = self.source.fault(expr, "Avro has no unsigned numbers");
                return self.refuse(fault.hint("leave the `u` away"));
            }
            LiteralValue::Double(d) => {
                let double = *d.inner();
                // As written where that can be read, so that 0.1 against a decimal is a tenth.
                let mut exact = Decimal::parse(&self.source.literal(expr));
                if double.is_sign_negative()
                    && let Some(exact) = &mut exact
                {
                    exact.unscaled = -&exact.unscaled;
                }
                let exact = exact.or_else(|| Decimal::parse(&double.to_string()));
                let Some(exact) = exact else {
                    let fault = self.source.fault(expr, "this number is out of range");
                    return self.refuse(fault);
                };
                return Some(floating(double, exact));
            }
        };
        Some(Typed::exactly(Ir::Const(value), base))
    }

    fn call(&mut self, expr: &Expression, call: &CallExpr, known: &Known) -> Option<Typed> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => self.and_or(left, right, known, true),
            (operators::LOGICAL_OR, [left, right]) => self.and_or(left, right, known, false),
            (operators::LOGICAL_NOT, [operand]) => {
                let typed = self.condition(operand, known)?;
                Some(Typed::boolean(
                    Ir::Not(Box::new(typed.ir)),
                    Facts {
                        if_true: typed.facts.if_false,
                        if_false: typed.facts.if_true,
                    },
                ))
            }
            (operators::CONDITIONAL, [test, yes, no]) => self.choose(expr, [test, yes, no], known),
            (operators::IN, [needle, list]) => self.within(needle, list, known),
            (operators::INDEX, [of, by]) => self.index(of, by, known),
            (operators::NEGATE, [operand]) => self.negate(expr, operand, known),
            (name, [left, right]) if let Some(op) = compare::operator(name) => {
                self.compare(op, left, right, known)
            }
            (name, [left, right]) if let Some(op) = sum(name) => {
                self.arithmetic(expr, op, left, right, known)
            }
            ("orValue", [default]) if let Some(target) = &call.target => {
                self.or_value(expr, target, default, known)
            }
            ("format", [values]) if let Some(target) = &call.target => {
                self.format(target, values, known)
            }
            _ => self.function(expr, call, known),
        }
    }

    /// What it comes to, if all that it needs is known already; otherwise itself. What fails stays as it is, since it
    /// may stand where it is never evaluated.
    fn fold(&self, ir: Ir) -> Ir {
        let arena = Bump::new();
        let mut cx = Cx {
            schema: self.schema,
            arena: &arena,
            bytes: &[],
            marks: &[],
            registers: &mut [],
            record: None,
            steps: STEPS,
        };
        let value = Run::new(&mut cx).eval(&ir);
        let folded = value.ok().and_then(Const::of);
        folded.map_or(ir, Ir::Const)
    }
}

fn sum(name: &str) -> Option<Sum> {
    Some(match name {
        operators::ADD => Sum::Add,
        operators::SUBSTRACT => Sum::Subtract,
        operators::MULTIPLY => Sum::Multiply,
        operators::DIVIDE => Sum::Divide,
        operators::MODULO => Sum::Remainder,
        _ => return None,
    })
}

fn integer(value: i64) -> Typed {
    let exact = Box::new(Decimal::integer(value));
    Typed::exactly(Ir::Number(Const::Int(value), exact), Base::Long)
}

fn floating(value: f64, exact: Decimal) -> Typed {
    Typed::exactly(
        Ir::Number(Const::Double(value), Box::new(exact)),
        Base::Double,
    )
}
