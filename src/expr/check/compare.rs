//! Comparisons: which types can be compared, and what null tests establish. Literals are turned here into what the other
//! side is: a text into an enum's symbol, a number into a decimal.

use cel::common::ast::{Expr as Cel, operators};
use cel::parser::Expression;

use super::unify::{is_text, to_decimal};
use super::{Checker, Facts, Known, Typed};
use crate::contract::schema::{Kind, NodeId};
use crate::expr::ir::{Const, Ir, Op};
use crate::expr::number::Decimal;
use crate::expr::path::suggest;
use crate::expr::types::{Base, Class, Type};

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
        let equality = matches!(op, Op::Equal | Op::NotEqual);
        if equality {
            if b.ty.base == Base::Null {
                return Some(null_test(op, a));
            }
            if a.ty.base == Base::Null {
                return Some(null_test(op, b));
            }
        }
        // Where nulls are met at run time, a null is equal to null alone, which the evaluator knows.
        let (mut a, mut b) = match self.run_time && equality {
            true => (a, b),
            false => {
                let (a, b) = (self.present(left, a), self.present(right, b));
                (a?, b?)
            }
        };
        self.comparable((left, &mut a), (right, &mut b), op)?;
        let ir = Ir::Compare(op, Box::new((a.ir, b.ir)));
        Some(Typed::boolean(ir, Facts::default()))
    }

    /// `needle in list`
    pub(super) fn within(
        &mut self,
        needle: &Expression,
        list: &Expression,
        known: &Known,
    ) -> Option<Typed> {
        let wanted = self.check(needle, known);
        let wanted =
            wanted.and_then(
                |wanted| match self.run_time && wanted.ty.base != Base::Null {
                    // None of the elements is null, so a null is equal to none.
                    true => Some(wanted),
                    false => self.present(needle, wanted),
                },
            );
        let Cel::List(elements) = &list.expr else {
            return self.within_value((needle, wanted), list, known);
        };
        let wanted = wanted?;
        // A literal is turned into what each element is, so it is compared with them one by one.
        let constant = wanted.ir.constant().is_some();
        let mut choices = Vec::with_capacity(elements.elements.len());
        let mut pairs = Vec::new();
        let mut sound = true;
        for element in &elements.elements {
            let typed = self.check(element, known);
            let typed = typed.and_then(|typed| self.present(element, typed));
            let mut copy = Typed::new(wanted.ir.clone(), wanted.ty.clone());
            let choice = typed.and_then(|mut typed| {
                let (left, right) = ((needle, &mut copy), (element, &mut typed));
                self.comparable(left, right, Op::Equal)?;
                Some(typed.ir)
            });
            match choice {
                None => sound = false,
                Some(choice) if constant => pairs.push((copy.ir, choice)),
                Some(choice) => choices.push(choice),
            }
        }
        let ir = match constant {
            true => Ir::AnyEqual(pairs),
            false => Ir::In(Box::new(wanted.ir), choices),
        };
        sound.then(|| Typed::boolean(ir, Facts::default()))
    }

    /// The same, in a list or map that is not written out.
    fn within_value(
        &mut self,
        (needle, wanted): (&Expression, Option<Typed>),
        list: &Expression,
        known: &Known,
    ) -> Option<Typed> {
        let typed = self.check(list, known);
        let typed = typed.and_then(|typed| self.present(list, typed));
        let (mut wanted, typed) = (wanted?, typed?);
        let element = match self.class(&typed) {
            Class::List(Some(element)) => element,
            Class::Map(Some(_)) => Type::exactly(Base::String),
            Class::List(None) | Class::Map(None) => {
                let nothing = Ir::Const(Const::Bool(false));
                return Some(Typed::boolean(nothing, Facts::default()));
            }
            _ => {
                let what = typed.ty.describe(self.schema);
                let message = format!("`in` asks a list or a map; this is {what}");
                let fault = self.source.fault(list, message);
                return self.refuse(match self.class(&typed) {
                    Class::Text => fault.hint(format!(
                        "whether a text is part of another: `{}.contains(…)`",
                        self.written(list)
                    )),
                    _ => fault.hint("write the values as a list: `x in ['A', 'B']`"),
                });
            }
        };
        let mut element = Typed::exactly(Ir::Const(Const::Null), element.base);
        self.comparable((needle, &mut wanted), (list, &mut element), Op::Equal)?;
        let ir = Ir::Within(Box::new((wanted.ir, typed.ir)));
        Some(Typed::boolean(ir, Facts::default()))
    }

    /// Whether two operands can be compared. Literals are turned into what the other side is.
    pub(super) fn comparable(
        &mut self,
        (left, a): (&Expression, &mut Typed),
        (right, b): (&Expression, &mut Typed),
        op: Op,
    ) -> Option<()> {
        let equality = matches!(op, Op::Equal | Op::NotEqual);
        let classes = (self.class(a), self.class(b));
        match &classes {
            (Class::Foreign(what), _) => return self.foreign(left, what),
            (_, Class::Foreign(what)) => return self.foreign(right, what),
            (Class::Boolean, Class::Boolean)
            | (Class::Text, Class::Text)
            | (Class::Bytes, Class::Bytes)
            | (Class::Date, Class::Date)
            | (Class::Time, Class::Time)
            | (Class::Timestamp, Class::Timestamp)
            | (Class::Duration, Class::Duration)
            | (Class::Decimal, Class::Decimal | Class::Integer)
            | (Class::Integer, Class::Decimal)
            | (Class::Integer | Class::Floating, Class::Integer | Class::Floating) => {
                if a.ty.base.class(self.schema) == Class::Decimal {
                    to_decimal(b);
                } else if b.ty.base.class(self.schema) == Class::Decimal {
                    to_decimal(a);
                }
                self.align(a, b);
                self.align(b, a);
                return Some(());
            }
            (Class::Decimal, Class::Floating) if to_decimal(b) => {
                self.align(b, a);
                return Some(());
            }
            (Class::Floating, Class::Decimal) if to_decimal(a) => {
                self.align(a, b);
                return Some(());
            }
            (Class::Enum(_), Class::Enum(_))
                if equality && a.ty.base.same(&b.ty.base, self.schema) =>
            {
                return Some(());
            }
            (Class::Enum(node), Class::Text) if equality && is_text(b) => {
                return self.symbol(right, *node, b);
            }
            (Class::Text, Class::Enum(node)) if equality && is_text(a) => {
                return self.symbol(left, *node, a);
            }
            (Class::List(one), Class::List(other)) | (Class::Map(one), Class::Map(other))
                if equality && self.alike(one.as_ref(), other.as_ref()) =>
            {
                return Some(());
            }
            (Class::Record(_), Class::Record(_))
                if equality && a.ty.base.same(&b.ty.base, self.schema) =>
            {
                return Some(());
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
            (Class::Decimal, Class::Floating) | (Class::Floating, Class::Decimal) => fault.hint(
                "a floating-point field is not exact: cast one of them in an earlier step, or compare `double(…)` of \
                 the decimal",
            ),
            (Class::Text, Class::Integer | Class::Floating) => {
                fault.hint("quote the number, or cast the field in an earlier step")
            }
            (Class::Integer | Class::Floating, Class::Text) => {
                fault.hint("write the number without quotes, or make a number of the text: `int(…)`")
            }
            (Class::Text, Class::Decimal) | (Class::Decimal, Class::Text) => {
                fault.hint("make a decimal of the text: `decimal(…)`")
            }
            (Class::Text, Class::Date) | (Class::Date, Class::Text) => {
                fault.hint("write a date as `date('2026-01-31')`")
            }
            (Class::Text, Class::Timestamp) | (Class::Timestamp, Class::Text) => {
                fault.hint("write a timestamp as `timestamp('2026-01-31T12:00:00Z')`")
            }
            (Class::Text, Class::Duration) | (Class::Duration, Class::Text) => {
                fault.hint("write a duration as `duration('1h30m')`")
            }
            (Class::Date, Class::Timestamp) | (Class::Timestamp, Class::Date) => {
                fault.hint("a day and an instant are two things: make a day of the instant: `date(…, 'UTC')`")
            }
            (Class::List(_), Class::List(_)) | (Class::Map(_), Class::Map(_)) | (Class::Record(_), Class::Record(_)) => {
                fault.hint("those of one type are compared, by `==` and `!=`")
            }
            _ => fault,
        };
        self.refuse(fault)
    }

    /// Gives a constant decimal as many digits after the point as the other side has, so that nothing has to be scaled
    /// when they are compared.
    fn align(&self, constant: &mut Typed, other: &Typed) {
        let Ir::Const(Const::Decimal(bytes, scale)) = &constant.ir else {
            return;
        };
        let exact = Decimal::from_avro(bytes, *scale as usize);
        if let (_, Some(scale)) = other.ty.base.digits(self.schema)
            && (exact.scale + 1..=100).contains(&scale)
            && let Some(unscaled) = exact.at_scale(scale)
        {
            constant.ir = Ir::Const(Const::decimal(&Decimal { unscaled, scale }));
        }
    }

    /// What CEL has no meaning for.
    pub(super) fn foreign<T>(&mut self, at: &Expression, what: &str) -> Option<T> {
        let message = format!("an expression cannot work with a {what}");
        let fault = self.source.fault(at, message);
        self.refuse(fault.hint(match what {
            "duration" => "Avro's duration has months, which have no length; it can only be copied",
            _ => "it names no instant; it can only be copied, or cast to a timestamp with its zone in an earlier step",
        }))
    }

    /// Whether elements can be compared without being converted.
    fn alike(&self, one: Option<&Type>, other: Option<&Type>) -> bool {
        let (Some(one), Some(other)) = (one, other) else {
            return true;
        };
        let number = |class: &Class| matches!(class, Class::Integer | Class::Floating);
        match (one.base.class(self.schema), other.base.class(self.schema)) {
            (Class::Several | Class::Foreign(_), _) | (_, Class::Several | Class::Foreign(_)) => {
                false
            }
            (Class::List(one), Class::List(other)) | (Class::Map(one), Class::Map(other)) => {
                self.alike(one.as_ref(), other.as_ref())
            }
            (Class::Record(_), Class::Record(_)) | (Class::Enum(_), Class::Enum(_)) => {
                one.base.same(&other.base, self.schema)
            }
            (Class::Null, _) | (_, Class::Null) => true,
            (one, other) => one == other || (number(&one) && number(&other)),
        }
    }

    /// A text literal as the index of an enum's symbol.
    pub(super) fn symbol(
        &mut self,
        expr: &Expression,
        node: NodeId,
        typed: &mut Typed,
    ) -> Option<()> {
        let (Kind::Enum(named), Ir::Const(Const::Text(text))) =
            (&self.schema.node(node).kind, &typed.ir)
        else {
            return None;
        };
        if let Some(index) = named.symbols.iter().position(|symbol| **symbol == **text) {
            let index = u32::try_from(index).ok()?;
            *typed = Typed::exactly(Ir::Const(Const::Enum(index)), Base::Node(node));
            return Some(());
        }
        let message = format!("enum {} has no symbol `{text}`", named.name.full);
        let hint = match suggest(text, named.symbols.iter().map(String::as_str)) {
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
    let mut present = Known::new();
    if let Ir::Field(field) = &operand.ir {
        present.insert(field.spot.clone());
    }
    let test = Ir::IsNull(Box::new(operand.ir));
    match op {
        Op::NotEqual => Typed::boolean(
            Ir::Not(Box::new(test)),
            Facts {
                if_true: present,
                if_false: Known::new(),
            },
        ),
        _ => Typed::boolean(
            test,
            Facts {
                if_true: Known::new(),
                if_false: present,
            },
        ),
    }
}
