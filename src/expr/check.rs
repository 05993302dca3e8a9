//! The type checker: walks CEL's syntax tree against the schema and lowers it to [`Ir`], in which every field is a
//! position and every comparison knows its kind. All faults are collected.

mod compare;

use super::functions::{self, Function};
use super::number::Decimal;
use super::path::{self, listed, peel, type_name};
use super::source::Source;
use super::types::{Base, Type};
use super::variables::Variables;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, Schema};
use crate::contract::value::Value;
use cel::common::ast::{CallExpr, Expr as Cel, LiteralValue, SelectExpr, operators};
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

    /// `has(a.b)`: neither `a` nor `a.b` is null.
    fn has(&mut self, expr: &Expression, select: &SelectExpr) -> Option<Typed> {
        let plain = Expression {
            id: expr.id,
            expr: Cel::Select(SelectExpr {
                test: false,
                ..select.clone()
            }),
        };
        let typed = self.field(&plain, &Known::new(), true)?;
        let (Ir::Field(positions) | Ir::Whole(positions)) = typed.ir else {
            return self.later(expr, "`has()` of anything but a field");
        };
        let facts = Facts {
            if_true: (1..=positions.len())
                .map(|end| positions[..end].to_vec())
                .collect(),
            if_false: Known::new(),
        };
        let absent = Ir::IsNull(Box::new(Ir::Field(positions)));
        Some(Typed::boolean(Ir::Not(Box::new(absent)), facts))
    }

    /// A field, through nested records. With `testing`, nullable records on the way need no guard.
    fn field(&mut self, expr: &Expression, known: &Known, testing: bool) -> Option<Typed> {
        let Some(chain) = chain(expr) else {
            return self.later(expr, "selecting from anything but a field");
        };
        let mut positions = Vec::with_capacity(chain.len());
        let mut node = self.schema.root;
        let mut shown = String::new();
        let mut optional = None;
        for (index, (name, at)) in chain.into_iter().enumerate() {
            let holder = peel(self.schema, node);
            let guarded = positions.is_empty() || testing || known.contains(&positions);
            if holder.nullable && !guarded && self.run_time {
                optional = Some((positions.clone(), format!("`{shown}` is null")));
            } else if holder.nullable && !guarded {
                let fault = self.source.fault(
                    at,
                    format!("`{shown}` may be null, so it may have no `{name}`"),
                );
                return self.refuse(fault.hint(format!(
                    "guard it: `{shown} != null && …`, or `has({shown}.{name})` in a condition"
                )));
            }
            let Kind::Record(record) = &self.schema.node(holder.node).kind else {
                let what = type_name(self.schema, holder.node);
                if matches!(self.schema.node(holder.node).kind, Kind::Map(_)) {
                    return self.later(at, "looking up keys of a map");
                }
                let fault = self
                    .source
                    .fault(at, format!("`{shown}` is {what}; it has no field `{name}`"));
                return self.refuse(fault);
            };
            let Some(position) = record.index.get(name) else {
                let near = path::suggest(name, record.fields.iter().map(|f| f.name.as_str()));
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its fields are {}", listed(record)),
                };
                let message = format!("{} has no field `{name}`", record.name.full);
                let fault = self.source.fault(at, message).hint(hint);
                return self.refuse(fault);
            };
            // A variable is the value that the expression is evaluated on.
            if index > 0 || !self.run_time {
                positions.push(*position);
            }
            node = record.fields[*position].node;
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(name);
        }
        let path = match (self.run_time, shown.split_once('.')) {
            (false, _) => shown,
            (true, Some((_, below))) => below.to_owned(),
            (true, None) => String::new(),
        };
        if !self.fields.contains(&path) && !path.is_empty() {
            self.fields.push(path);
        }
        let peeled = peel(self.schema, node);
        let base = Base::of(self.schema, peeled.node);
        if peeled.several {
            return Some(Typed::new(Ir::Whole(positions), Type::exactly(base)));
        }
        let ty = Type {
            base,
            nullable: peeled.nullable && !known.contains(&positions),
        };
        let field = Ir::Field(positions);
        let ir = match optional {
            None => field,
            Some((above, message)) => Ir::Below(above, Box::new(field), message),
        };
        Some(Typed::new(ir, ty))
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

    /// An operand that must be true or false.
    fn condition(&mut self, expr: &Expression, known: &Known) -> Option<Typed> {
        let typed = self.check(expr, known)?;
        let typed = self.present(expr, typed)?;
        if typed.ty.base == Base::Boolean {
            return Some(typed);
        }
        let what = typed.ty.describe(self.schema);
        let fault = self
            .source
            .fault(expr, format!("must be true or false here; this is {what}"));
        self.refuse(fault)
    }

    /// An operand that must not be null.
    fn present(&mut self, expr: &Expression, typed: Typed) -> Option<Typed> {
        if !typed.ty.nullable {
            return Some(typed);
        }
        let fault = self.source.fault(expr, "this may be null");
        let written = fault.text.clone();
        if self.run_time && typed.ty.base != Base::Null {
            let ir = Ir::Present(Box::new(typed.ir), format!("`{written}` is null"));
            return Some(Typed::new(ir, Type::exactly(typed.ty.base)));
        }
        self.refuse(match typed.ir {
            Ir::Field(_) => Fault {
                message: format!("`{written}` may be null"),
                ..fault
            }
            .hint(format!(
                "guard it: `{written} != null && …`, or `{written} == null || …` where null is to pass"
            )),
            _ => fault,
        })
    }

    fn and_or(
        &mut self,
        left: &Expression,
        right: &Expression,
        known: &Known,
        and: bool,
    ) -> Option<Typed> {
        let left = self.condition(left, known);
        // The right side is looked at even if the left is wrong, so that its faults are listed too; what the left
        // would have established is then unknown, and complaints about nulls would only mislead.
        let Some(left) = left else {
            let before = self.faults.len();
            let _known_wrong = self.condition(right, known);
            let late = self.faults.split_off(before);
            self.faults.extend(
                late.into_iter()
                    .filter(|f| !f.message.contains("may be null")),
            );
            return None;
        };
        let given = match and {
            true => &left.facts.if_true,
            false => &left.facts.if_false,
        };
        // Where errors are absorbed, the right side may run although the left established nothing.
        let given = match self.run_time {
            true => &Known::new(),
            false => given,
        };
        let inside = known.union(given).cloned().collect();
        let right = self.condition(right, &inside)?;
        let (a, b) = (left.facts, right.facts);
        let both = |a: &Known, b: &Known| a.union(b).cloned().collect();
        let either = |a: &Known, b: &Known| a.intersection(b).cloned().collect();
        if self.run_time {
            let ir = Ir::Absorbing(and, Box::new((left.ir, right.ir)));
            return Some(Typed::boolean(ir, Facts::default()));
        }
        let operands = (Box::new(left.ir), Box::new(right.ir));
        Some(match and {
            true => Typed::boolean(
                Ir::And(operands.0, operands.1),
                Facts {
                    if_true: both(&a.if_true, &b.if_true),
                    if_false: either(&a.if_false, &b.if_false),
                },
            ),
            false => Typed::boolean(
                Ir::Or(operands.0, operands.1),
                Facts {
                    if_true: either(&a.if_true, &b.if_true),
                    if_false: both(&a.if_false, &b.if_false),
                },
            ),
        })
    }

    fn choose(
        &mut self,
        expr: &Expression,
        [test, yes, no]: [&Expression; 3],
        known: &Known,
    ) -> Option<Typed> {
        let test = self.condition(test, known)?;
        let with = |facts: &Known| known.union(facts).cloned().collect();
        let yes = self.check(yes, &with(&test.facts.if_true));
        let no = self.check(no, &with(&test.facts.if_false));
        let (mut yes, mut no) = (yes?, no?);
        let nullable = yes.ty.nullable || no.ty.nullable;
        let base = if yes.ty.base.same(&no.ty.base, self.schema) || no.ty.base == Base::Null {
            yes.ty.base
        } else if yes.ty.base == Base::Null {
            no.ty.base
        } else if yes.ty.base == Base::Int && no.ty.base == Base::Long {
            yes.ir = Ir::Widen(Box::new(yes.ir));
            Base::Long
        } else if yes.ty.base == Base::Long && no.ty.base == Base::Int {
            no.ir = Ir::Widen(Box::new(no.ir));
            Base::Long
        } else {
            let message = format!(
                "the two sides differ in type: {} and {}",
                yes.ty.base.describe(self.schema),
                no.ty.base.describe(self.schema)
            );
            let fault = self.source.fault(expr, message);
            return self.refuse(fault);
        };
        let ir = Ir::Choose(Box::new((test.ir, yes.ir, no.ir)));
        Some(Typed::new(ir, Type { base, nullable }))
    }

    fn function(
        &mut self,
        expr: &Expression,
        function: Function,
        args: &[Expression],
        known: &Known,
    ) -> Option<Typed> {
        let wanted = function.arguments();
        if args.len() != wanted.len() {
            let message = format!(
                "`{}` takes {} arguments; here are {}",
                function.name(),
                wanted.len(),
                args.len()
            );
            let fault = self.source.fault(expr, message);
            return self.refuse(fault.hint(format!("write `{}`", function.signature())));
        }
        let mut lowered = Vec::with_capacity(args.len());
        let mut path = String::new();
        for (arg, wanted) in args.iter().zip(wanted) {
            let typed = self.check(arg, known);
            let Some(typed) = typed.and_then(|typed| self.present(arg, typed)) else {
                continue;
            };
            if !wanted.takes(&typed.ty.base) {
                let message = format!(
                    "{} must be {}; this is {}",
                    wanted.name(),
                    wanted.type_name(),
                    typed.ty.describe(self.schema)
                );
                let fault = self.source.fault(arg, message);
                self.faults.push(fault);
                continue;
            }
            if let Err(message) = function.check_constant(*wanted, &typed.ir) {
                let fault = self.source.fault(arg, message);
                self.faults.push(fault);
                continue;
            }
            if let Ir::Field(_) = typed.ir
                && (path.is_empty() || wanted.name_of_failure())
            {
                path = self.source.fault(arg, "").text;
            }
            lowered.push(typed.ir);
        }
        if lowered.len() < args.len() {
            return None;
        }
        let ty = Type::exactly(function.result());
        Some(Typed::new(Ir::Call(function, lowered, path), ty))
    }
}

fn integer(value: i64) -> Typed {
    let ir = Ir::Number(Value::Long(value), Decimal::integer(value));
    Typed::new(ir, Type::exactly(Base::Long))
}

/// The names of `a.b.c` and the part of the expression that ends with each.
fn chain(expr: &Expression) -> Option<Vec<(&str, &Expression)>> {
    let mut parts = Vec::new();
    let mut at = expr;
    loop {
        match &at.expr {
            Cel::Ident(name) => {
                parts.push((name.as_str(), at));
                parts.reverse();
                return Some(parts);
            }
            Cel::Select(select) if !select.test => {
                parts.push((select.field.as_str(), at));
                at = &select.operand;
            }
            _ => return None,
        }
    }
}
