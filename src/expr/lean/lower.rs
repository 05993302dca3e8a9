//! [`Ir`] → program, for the shapes that there are programs for. What has none is the evaluator's.

use std::sync::Arc;

use super::field::{Field, Shape};
use super::{Lean, Make, Test, Text};
use crate::contract::schema::Schema;
use crate::expr::cx::BYTES_A_STEP;
use crate::expr::functions::Call;
use crate::expr::ir::{Const, Ir, Op, Start, TextTest};

/// The program of an expression, if it has one.
pub(in crate::expr) fn lower(ir: &Ir, schema: &Schema) -> Option<Lean> {
    let lowering = Lowering { schema };
    match ir {
        // A bare field, and what is known already, is no work for anybody.
        Ir::Field(_) | Ir::Const(_) | Ir::Number(..) => None,
        ir => lowering
            .test(ir)
            .map(Lean::Test)
            .or_else(|| lowering.make(ir).map(Lean::Make)),
    }
}

struct Lowering<'s> {
    schema: &'s Schema,
}

impl Lowering<'_> {
    fn field(&self, ir: &Ir) -> Option<Field> {
        match ir {
            Ir::Field(field) if field.walk.is_empty() => match field.start {
                Start::Mark(mark, node) => Field::of(self.schema, mark, node),
                Start::Register(_) | Start::Local(_) => None,
            },
            _ => None,
        }
    }

    fn of(&self, ir: &Ir, shape: Shape) -> Option<Field> {
        self.field(ir).filter(|field| field.shape() == shape)
    }

    fn test(&self, ir: &Ir) -> Option<Test> {
        Some(match ir {
            Ir::Compare(op, sides) => self.compare(*op, &sides.0, sides.1.constant()?)?,
            Ir::TextTest(test, sides) => match sides.1.constant()? {
                // A longer part is looked for in a text, for which there are better ways than byte by byte.
                Const::Text(part) if *test == TextTest::Contains && part.len() != 1 => return None,
                Const::Text(part) => {
                    Test::Part(self.of(&sides.0, Shape::Text)?, *test, part.clone())
                }
                _ => return None,
            },
            Ir::In(needle, choices) => {
                let text = |choice: &Ir| match choice.constant()? {
                    Const::Text(text) => Some(text.clone()),
                    _ => None,
                };
                let choices: Option<Box<[_]>> = choices.iter().map(text).collect();
                Test::OneOf(self.of(needle, Shape::Text)?, choices?)
            }
            Ir::IsNull(operand) => Test::IsNull(self.field(operand)?),
            Ir::Field(_) => Test::Flag(self.of(ir, Shape::Flag)?),
            Ir::Not(operand) => Test::Not(Box::new(self.test(operand)?)),
            Ir::And(sides) => Test::Both(self.both(sides)?),
            Ir::Or(sides) => Test::Either(self.both(sides)?),
            _ => return None,
        })
    }

    fn both(&self, sides: &(Ir, Ir)) -> Option<Box<(Test, Test)>> {
        Some(Box::new((self.test(&sides.0)?, self.test(&sides.1)?)))
    }

    fn compare(&self, op: Op, of: &Ir, constant: &Const) -> Option<Test> {
        let equality = matches!(op, Op::Equal | Op::NotEqual);
        Some(match (of, constant) {
            (Ir::Size(text), Const::Int(number)) => {
                Test::Size(self.of(text, Shape::Text)?, op, *number)
            }
            (of, Const::Text(text)) => Test::Text(self.of(of, Shape::Text)?, op, text.clone()),
            (of, Const::Int(number)) => Test::Whole(self.of(of, Shape::Whole)?, op, *number),
            (of, Const::Enum(symbol)) if equality => {
                Test::Symbol(self.of(of, Shape::Symbol)?, op, *symbol)
            }
            _ => return None,
        })
    }

    fn make(&self, ir: &Ir) -> Option<Make> {
        Some(match ir {
            Ir::Const(value) | Ir::Number(value, _)
                if matches!(
                    value,
                    Const::Null
                        | Const::Bool(_)
                        | Const::Int(_)
                        | Const::Double(_)
                        | Const::Enum(_)
                ) =>
            {
                Make::Const(value.clone())
            }
            Ir::Choose(parts) => Make::Choose(Box::new((
                self.test(&parts.test)?,
                self.make(&parts.yes)?,
                self.make(&parts.no)?,
            ))),
            _ => Make::Text(self.text(ir)?),
        })
    }

    fn text(&self, ir: &Ir) -> Option<Text> {
        Some(match ir {
            Ir::Const(Const::Text(text)) => Text::Const(text.clone()),
            Ir::Field(_) => Text::Field(self.of(ir, Shape::Text)?),
            Ir::OrValue(parts) => {
                let default = self.text(&parts.default)?;
                Text::OrValue(self.of(&parts.value, Shape::Text)?, Box::new(default))
            }
            Ir::Call(called) => {
                let (of, others) = called.args.split_first()?;
                let steps = others.iter().map(constant_steps).sum::<Option<u64>>()? + 1;
                let of = Box::new(self.text(of)?);
                match &called.call {
                    Call::Octets(run) => Text::OfOctets(of, Arc::clone(run), steps),
                    Call::Text(run) => Text::Of(of, Arc::clone(run), steps),
                    Call::Args(_) => return None,
                }
            }
            _ => return None,
        })
    }
}

/// The evaluator's steps for an argument that is a constant.
fn constant_steps(ir: &Ir) -> Option<u64> {
    let size = match ir.constant()? {
        Const::Text(text) => text.len(),
        Const::Bytes(bytes) | Const::Decimal(bytes, _) => bytes.len(),
        _ => 0,
    };
    Some(1 + (size / BYTES_A_STEP) as u64)
}
