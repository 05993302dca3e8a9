//! [`Ir`] → program, for the shapes that there are programs for. What has none is the evaluator's.

use super::field::{Field, Shape};
use super::{Called, Lean, Make, Test};
use crate::contract::schema::Schema;
use crate::expr::cx::BYTES_A_STEP;
use crate::expr::functions::Call;
use crate::expr::ir::{self, Const, Ir, Op, Start, TextTest};

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
                // Looked for as text, longer parts are found in fewer steps than one has bytes.
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
            Ir::Const(value) | Ir::Number(value, _) => match value {
                Const::Null
                | Const::Bool(_)
                | Const::Int(_)
                | Const::Double(_)
                | Const::Enum(_)
                | Const::Text(_) => Make::Const(value.clone()),
                _ => return None,
            },
            Ir::Field(_) => Make::Field(
                self.field(ir)
                    .filter(|field| field.shape() != Shape::Other)?,
            ),
            Ir::Choose(parts) => Make::Choose(Box::new((
                self.test(&parts.test)?,
                self.make(&parts.yes)?,
                self.make(&parts.no)?,
            ))),
            Ir::OrValue(parts) => Make::OrValue(Box::new((
                self.make(&parts.value)?,
                self.make(&parts.default)?,
            ))),
            Ir::Call(called) => Make::Call(Box::new(self.called(called)?)),
            _ => return None,
        })
    }

    fn called(&self, called: &ir::Called) -> Option<Called> {
        let (first, others) = called.args.split_first()?;
        match &called.call {
            Call::Text(_) | Call::Octets(_) => {}
            Call::Args(_) => return None,
        }
        let mut steps = 1;
        for other in others {
            let size = match other.constant()? {
                Const::Text(text) => text.len(),
                Const::Bytes(bytes) | Const::Decimal(bytes, _) => bytes.len(),
                _ => 0,
            };
            steps += 1 + (size / BYTES_A_STEP) as u64;
        }
        let of = self.make(first)?;
        if let Make::Field(field) = &of
            && field.shape() != Shape::Text
        {
            return None;
        }
        Some(Called {
            call: called.call.clone(),
            of,
            steps,
        })
    }
}
