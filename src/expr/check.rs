//! The type checker: walks CEL's syntax tree against the schema and lowers it to [`Ir`], in which every field is a
//! position and every comparison knows its kind. All faults are collected.

mod call;
mod compare;
mod field;
mod logic;

use super::functions::{self, Function};
use super::number::Decimal;
use super::path;
use super::source::Source;
use super::types::{Base, Type};
use super::variables::Variables;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use cel::common::ast::{CallExpr, Expr as Cel, LiteralValue, operators};
use cel::parser::Expression;
use std::collections::BTreeSet;

/// A checked expression.
#[derive(Debug, Clone)]
pub(super) enum Ir {
    Const(Value),
    /// A number as it is written, for the one that it is coerced to.
    Number(Value, Decimal),
    Field(Vec<usize>),
    /// A field that is a union of several types, with the branch that it takes.
    Whole(Vec<usize>),
    IsNull(Box<Ir>),
    Not(Box<Ir>),
    And(Box<Ir>, Box<Ir>),
    Or(Box<Ir>, Box<Ir>),
    Choose(Box<(Ir, Ir, Ir)>),
    Compare(Comparison, Box<(Ir, Ir)>),
    In(Box<Ir>, Vec<(Kinds, Ir)>),
    /// A literal `in` a list: one pair an element, the literal turned into what that is.
    AnyEqual(Vec<(Kinds, Ir, Ir)>),
    /// `int` as `long`.
    Widen(Box<Ir>),
    Call(Function, Vec<Ir>, /* path for errors */ String),
    /// What is an error when it is null, with its words.
    Present(Box<Ir>, String),
    /// What lies below a record, which is an error when that is null.
    Below(Vec<usize>, Box<Ir>, String),
    /// `&&` (true) or `||`, where an error on one side counts only if the other does not decide.
    Absorbing(bool, Box<(Ir, Ir)>),
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison {
    pub(super) op: Op,
    pub(super) kinds: Kinds,
}

/// What stands on either side.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kinds {
    /// Booleans, texts, bytes, enum indices of one type: as they are.
    Same,
    /// Integers and floating point.
    Numbers,
    /// At least one decimal; the scale of each side, 0 for an integer.
    Decimals(usize, usize),
}

pub(super) struct Checked {
    pub(super) ir: Ir,
    pub(super) ty: Type,
    pub(super) fields: Vec<String>,
}

/// Paths that are known not to be null at a point.
type Known = BTreeSet<Vec<usize>>;

/// What is known once a condition is true, and once it is false.
#[derive(Default)]
struct Facts {
    if_true: Known,
    if_false: Known,
}

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

    fn boolean(ir: Ir, facts: Facts) -> Typed {
        Typed {
            facts,
            ..Typed::new(ir, Type::exactly(Base::Boolean))
        }
    }
}

struct Checker<'a> {
    source: Source<'a>,
    schema: &'a Schema,
    fields: Vec<String>,
    faults: Vec<Fault>,
    depth: usize,
    /// Fields are below variables, and nulls are met at run time.
    run_time: bool,
}

/// Bound on operators inside one another, so that neither checking nor evaluating can exhaust a stack. `&&` and `||`
/// chains do not nest, however long; brackets alone are bounded by [`Source`].
const MAX_DEPTH: usize = 48;

pub(super) fn compile(text: &Placed<String>, schema: &Schema) -> Result<Checked, Vec<Fault>> {
    compile_in(text, schema, None)
}

/// The same over variables.
pub(super) fn compile_over(
    text: &Placed<String>,
    variables: &Variables,
) -> Result<Checked, Vec<Fault>> {
    compile_in(text, &variables.schema, Some(variables))
}

fn compile_in(
    text: &Placed<String>,
    schema: &Schema,
    variables: Option<&Variables>,
) -> Result<Checked, Vec<Fault>> {
    let source = Source::parse(text)?;
    let mut root = source.root().clone();
    if let Some(variables) = variables {
        variables.fill_in(&mut root);
    }
    let mut checker = Checker {
        source,
        schema,
        fields: Vec::new(),
        faults: Vec::new(),
        depth: 0,
        run_time: variables.is_some(),
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
        if self.depth >= MAX_DEPTH {
            let message = format!("nests deeper than {MAX_DEPTH} operators");
            let fault = self.source.fault(expr, message);
            return self.refuse(fault.hint("compute parts of it in an earlier `set`"));
        }
        self.depth += 1;
        let typed = self.check_inside(expr, known);
        self.depth -= 1;
        typed
    }

    fn check_inside(&mut self, expr: &Expression, known: &Known) -> Option<Typed> {
        match &expr.expr {
            Cel::Literal(literal) => self.literal(expr, literal),
            Cel::Ident(_) => self.field(expr, known, false),
            Cel::Select(select) if select.test => self.has(expr, select),
            Cel::Select(_) => self.field(expr, known, false),
            Cel::Call(call) => self.call(expr, call, known),
            Cel::List(_) => self.later(expr, "a list outside of `in [ … ]`"),
            Cel::Map(_) | Cel::Struct(_) => self.later(expr, "making maps and records"),
            Cel::Comprehension(_) => {
                self.later(expr, "`all`, `exists`, `exists_one`, `filter` and `map`")
            }
            Cel::Unspecified => self.later(expr, "this form"),
        }
    }

    fn refuse<T>(&mut self, fault: Fault) -> Option<T> {
        self.faults.push(fault);
        None
    }

    fn later<T>(&mut self, expr: &Expression, what: &str) -> Option<T> {
        let fault = self
            .source
            .fault(expr, format!("not available yet: {what}"));
        self.refuse(fault)
    }

    fn literal(&mut self, expr: &Expression, literal: &LiteralValue) -> Option<Typed> {
        let (value, base) = match literal {
            LiteralValue::Null => {
                return Some(Typed::new(
                    Ir::Const(Value::Null),
                    Type {
                        base: Base::Null,
                        nullable: true,
                    },
                ));
            }
            LiteralValue::Boolean(b) => (Value::Boolean(*b.inner()), Base::Boolean),
            LiteralValue::String(s) => (Value::String(s.inner().to_owned()), Base::String),
            LiteralValue::Bytes(b) => (Value::Bytes(b.inner().to_vec()), Base::Bytes),
            LiteralValue::Int(i) => return Some(integer(*i.inner())),
            LiteralValue::UInt(u) => match i64::try_from(*u.inner()) {
                Ok(i) => return Some(integer(i)),
                Err(_) => {
                    let fault = self
                        .source
                        .fault(expr, "no long is as large as this number");
                    return self.refuse(fault);
                }
            },
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
                let ir = Ir::Number(Value::Double(double), exact);
                return Some(Typed::new(ir, Type::exactly(Base::Double)));
            }
        };
        Some(Typed::new(Ir::Const(value), Type::exactly(base)))
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
            (name, [left, right]) if let Some(op) = compare::operator(name) => {
                self.compare(op, left, right, known)
            }
            (operators::ADD, _) => self.later(expr, "`+`"),
            (operators::SUBSTRACT | operators::NEGATE, _) => self.later(expr, "`-`"),
            (operators::MULTIPLY, _) => self.later(expr, "`*`"),
            (operators::DIVIDE, _) => self.later(expr, "`/`"),
            (operators::MODULO, _) => self.later(expr, "`%`"),
            (operators::INDEX | operators::OPT_INDEX, _) => self.later(expr, "indexing"),
            (name, args) => match Function::named(name) {
                Some(function) if call.target.is_none() => {
                    self.function(expr, function, args, known)
                }
                Some(function) => {
                    let fault = self.source.fault(expr, format!("`{name}` is not a method"));
                    self.refuse(fault.hint(format!("write `{}`", function.signature())))
                }
                None => {
                    let message = format!("not available yet: the function `{name}`");
                    let names = functions::ALL.iter().map(|function| function.name());
                    let hint = match path::suggest(name, names) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "there are: date, localTime, has".to_owned(),
                    };
                    let fault = self.source.fault(expr, message).hint(hint);
                    self.refuse(fault)
                }
            },
        }
    }
}

fn integer(value: i64) -> Typed {
    let ir = Ir::Number(Value::Long(value), Decimal::integer(value));
    Typed::new(ir, Type::exactly(Base::Long))
}
