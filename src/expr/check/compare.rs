//! Comparisons: which types can be compared, how, and what null tests establish. Literals are turned here into what
//! the other side is: a text into an enum's symbol, a number into a decimal.

use super::{Checker, Comparison, Facts, Ir, Kinds, Known, Op, Typed};
use crate::contract::schema::{Kind, NodeId};
use crate::contract::value::Value;
use crate::expr::number;
use crate::expr::path;
use crate::expr::types::{Base, Class};
use crate::expr::variables;
use cel::common::ast::{Expr as Cel, operators};
use cel::parser::Expression;

impl Checker<'_> {
    pub(super) fn compare(
        &mut self,
        op: Op,
        left: &Expression,
        right: &Expression,
        known: &Known,
    ) -> Option<Typed> {
        let a = self.check(left, known);
        let b = self.check(right, known);
        let (a, b) = (a?, b?);
        if matches!(op, Op::Equal | Op::NotEqual) {
            if b.ty.base == Base::Null {
                return Some(null_test(op, a));
            }
            if a.ty.base == Base::Null {
                return Some(null_test(op, b));
            }
        }
        if self.run_time && matches!(op, Op::Equal | Op::NotEqual) {
            return self.equality(op, (left, a), (right, b));
        }
        let (a, b) = (self.present(left, a), self.present(right, b));
        let (mut a, mut b) = (a?, b?);
        let kinds = self.comparable((left, &mut a), (right, &mut b), op)?;
        let ir = Ir::Compare(Comparison { op, kinds }, Box::new((a.ir, b.ir)));
        Some(Typed::boolean(ir, Facts::default()))
    }

    /// `==` and `!=` where nulls are met at run time: a null is equal to null alone.
    fn equality(
        &mut self,
        op: Op,
        (left, mut a): (&Expression, Typed),
        (right, mut b): (&Expression, Typed),
    ) -> Option<Typed> {
        let kinds = self.comparable((left, &mut a), (right, &mut b), op)?;
        let comparison = Comparison {
            op: Op::Equal,
            kinds,
        };
        let sides = (a.ir, b.ir);
        let compared = Ir::Compare(comparison, Box::new(sides.clone()));
        let equal = variables::equal(compared, sides, (a.ty.nullable, b.ty.nullable));
        let ir = match op {
            Op::NotEqual => Ir::Not(Box::new(equal)),
            _ => equal,
        };
        Some(Typed::boolean(ir, Facts::default()))
    }

    pub(super) fn within(
        &mut self,
        needle: &Expression,
        list: &Expression,
        known: &Known,
    ) -> Option<Typed> {
        let wanted = self.check(needle, known);
        let mut optional = None;
        let wanted = wanted.and_then(|wanted| {
            if self.run_time && wanted.ty.nullable && wanted.ty.base != Base::Null {
                optional = Some(wanted.ir.clone());
            }
            self.present(needle, wanted)
        });
        let Cel::List(elements) = &list.expr else {
            return self.later(
                list,
                "`in` with anything but a list, as in `x in ['A', 'B']`",
            );
        };
        if !elements.optional_indices.is_empty() {
            return self.later(list, "optional elements");
        }
        let wanted = wanted?;
        // A literal is turned into what each element is, so it is compared with them one by one.
        let constant = matches!(wanted.ir, Ir::Const(_) | Ir::Number(..));
        let mut choices = Vec::with_capacity(elements.elements.len());
        let mut pairs = Vec::new();
        let mut sound = true;
        for element in &elements.elements {
            let typed = self.check(element, known);
            let typed = typed.and_then(|typed| self.present(element, typed));
            let mut copy = Typed::new(wanted.ir.clone(), wanted.ty.clone());
            let pair = typed.and_then(|mut typed| {
                let (left, right) = ((needle, &mut copy), (element, &mut typed));
                let kinds = self.comparable(left, right, Op::Equal)?;
                Some((kinds, typed.ir))
            });
            let Some((kinds, choice)) = pair else {
                sound = false;
                continue;
            };
            match constant {
                true => pairs.push((kinds, copy.ir, choice)),
                false => choices.push((kinds, choice)),
            }
        }
        let ir = match constant {
            true => Ir::AnyEqual(pairs),
            false => Ir::In(Box::new(wanted.ir), choices),
        };
        // None of the elements is null: those would have been an error.
        let ir = match optional {
            Some(needle) => variables::equal(ir, (needle, Ir::Const(Value::Null)), (true, false)),
            None => ir,
        };
        sound.then(|| Typed::boolean(ir, Facts::default()))
    }

    /// Whether two operands can be compared, and how. Literals are turned into what the other side is.
    fn comparable(
        &mut self,
        (left, a): (&Expression, &mut Typed),
        (right, b): (&Expression, &mut Typed),
        op: Op,
    ) -> Option<Kinds> {
        let equality = matches!(op, Op::Equal | Op::NotEqual);
        let classes = (a.ty.base.class(self.schema), b.ty.base.class(self.schema));
        match classes {
            (Class::Temporal(what), _) => {
                return self.later(left, &format!("comparing a {what}"));
            }
            (_, Class::Temporal(what)) => {
                return self.later(right, &format!("comparing a {what}"));
            }
            (Class::Boolean, Class::Boolean)
            | (Class::Text, Class::Text)
            | (Class::Bytes, Class::Bytes) => return Some(Kinds::Same),
            (Class::Integer | Class::Floating, Class::Integer | Class::Floating) => {
                return Some(Kinds::Numbers);
            }
            (Class::Decimal { scale }, Class::Decimal { scale: other }) => {
                return Some(Kinds::Decimals(scale, other));
            }
            (Class::Decimal { scale }, Class::Integer | Class::Floating)
                if let Some(other) = decimal_side(b) =>
            {
                return Some(Kinds::Decimals(scale, other));
            }
            (Class::Integer | Class::Floating, Class::Decimal { scale })
                if let Some(other) = decimal_side(a) =>
            {
                return Some(Kinds::Decimals(other, scale));
            }
            (Class::Enum(_), Class::Enum(_))
                if equality && a.ty.base.same(&b.ty.base, self.schema) =>
            {
                return Some(Kinds::Same);
            }
            (Class::Enum(node), Class::Text) if equality && is_text(b) => {
                return self.symbol(right, node, b);
            }
            (Class::Text, Class::Enum(node)) if equality && is_text(a) => {
                return self.symbol(left, node, a);
            }
            _ => {}
        }
        let (one, other) = (
            a.ty.base.describe(self.schema),
            b.ty.base.describe(self.schema),
        );
        let fault = self
            .source
            .fault(right, format!("{one} and {other} cannot be compared"));
        let fault = match classes {
            (Class::Enum(_), _) | (_, Class::Enum(_)) => {
                fault.hint("an enum is compared with one of its symbols by `==`, `!=` or `in`")
            }
            (Class::Decimal { .. }, Class::Floating) | (Class::Floating, Class::Decimal { .. }) => {
                fault.hint(
                    "cast one of them in an earlier step: a floating-point field is not exact",
                )
            }
            (Class::Text, Class::Integer | Class::Floating) => {
                fault.hint("quote the number, or cast the field in an earlier step")
            }
            _ => fault,
        };
        self.refuse(fault)
    }

    /// A text literal as the index of an enum's symbol.
    fn symbol(&mut self, expr: &Expression, node: NodeId, typed: &mut Typed) -> Option<Kinds> {
        let (Kind::Enum(named), Ir::Const(Value::String(text))) =
            (&self.schema.node(node).kind, &typed.ir)
        else {
            return None;
        };
        if let Some(index) = named.symbols.iter().position(|symbol| symbol == text) {
            typed.ir = Ir::Const(Value::Enum(index));
            return Some(Kinds::Same);
        }
        let message = format!("enum {} has no symbol `{text}`", named.name.full);
        let hint = match path::suggest(text, named.symbols.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its symbols are {}", named.symbols.join(", ")),
        };
        let fault = self.source.fault(expr, message).hint(hint);
        self.refuse(fault)
    }
}

pub(super) fn operator(name: &str) -> Option<Op> {
    Some(match name {
        operators::EQUALS => Op::Equal,
        operators::NOT_EQUALS => Op::NotEqual,
        operators::LESS => Op::Less,
        operators::LESS_EQUALS => Op::LessOrEqual,
        operators::GREATER => Op::Greater,
        operators::GREATER_EQUALS => Op::GreaterOrEqual,
        _ => return None,
    })
}

fn null_test(op: Op, operand: Typed) -> Typed {
    let mut absent = Known::new();
    if let Ir::Field(positions) = &operand.ir {
        absent.insert(positions.clone());
    }
    let test = Ir::IsNull(Box::new(operand.ir));
    match op {
        Op::NotEqual => Typed::boolean(
            Ir::Not(Box::new(test)),
            Facts {
                if_true: absent,
                if_false: Known::new(),
            },
        ),
        _ => Typed::boolean(
            test,
            Facts {
                if_true: Known::new(),
                if_false: absent,
            },
        ),
    }
}

fn is_text(typed: &Typed) -> bool {
    matches!(typed.ir, Ir::Const(Value::String(_)))
}

/// The scale of an operand that is compared with a decimal: a number as written, or an integer field. A
/// floating-point field has none.
fn decimal_side(typed: &mut Typed) -> Option<usize> {
    match &typed.ir {
        Ir::Number(_, exact) => {
            let scale = exact.scale;
            let bytes = number::to_avro(&exact.unscaled, None)?;
            typed.ir = Ir::Const(Value::Bytes(bytes));
            Some(scale)
        }
        _ if matches!(typed.ty.base, Base::Int | Base::Long) => Some(0),
        _ => None,
    }
}
