//! Evaluates checked expressions. Fields and constants are borrowed, nothing is made until a result needs it, and every
//! part that is evaluated takes a step.

mod compare;
mod each;
mod number;
mod truth;

use bumpalo::collections::Vec as ArenaVec;

use super::cx::{Cx, TooLong};
use super::functions::CallError;
use super::ir::{Called, Field, Index, Ir, Start};
use super::value::{self, Val};
use crate::contract::plan::ABSENT;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::view;

/// Why an expression has no value. The message holds no value.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) message: String,
    /// The field, if one is at fault.
    pub(super) path: String,
    /// Whether it was stopped, which nothing absorbs.
    pub(super) too_long: bool,
}

/// Boxed, so that what is usual stays small.
pub(super) type Evaluated<T> = Result<T, Box<Stop>>;

#[cold]
pub(super) fn stop(message: impl Into<String>) -> Box<Stop> {
    Box::new(Stop {
        message: message.into(),
        path: String::new(),
        too_long: false,
    })
}

#[cold]
pub(super) fn stop_at(path: &str, message: impl Into<String>) -> Box<Stop> {
    Box::new(Stop {
        path: path.to_owned(),
        ..*stop(message)
    })
}

impl From<TooLong> for Box<Stop> {
    #[cold]
    fn from(error: TooLong) -> Self {
        Box::new(Stop {
            message: error.to_string(),
            path: String::new(),
            too_long: true,
        })
    }
}

impl From<view::Broken> for Box<Stop> {
    #[cold]
    fn from(error: view::Broken) -> Self {
        stop(error.to_string())
    }
}

/// Only an event of another schema than the expression's gets here.
#[cold]
pub(super) fn mismatch() -> Box<Stop> {
    stop("the event is not of the type that the expression was checked against")
}

/// One evaluation.
pub(super) struct Run<'c, 'a> {
    pub(super) cx: &'c mut Cx<'a>,
    /// What the variables of the comprehensions around stand for.
    locals: ArenaVec<'a, Val<'a>>,
}

impl<'c, 'a> Run<'c, 'a> {
    pub(super) fn new(cx: &'c mut Cx<'a>) -> Run<'c, 'a> {
        let locals = ArenaVec::new_in(cx.arena);
        Run { cx, locals }
    }

    /// A value that is only looked at: constants are not copied.
    #[inline]
    fn look<'v>(&mut self, ir: &'v Ir) -> Evaluated<Val<'v>>
    where
        'a: 'v,
    {
        match ir {
            Ir::Const(value) | Ir::Number(value, _) => Ok(value.val()),
            _ => self.eval(ir),
        }
    }

    /// A value that lives as long as the record.
    pub(super) fn eval(&mut self, ir: &Ir) -> Evaluated<Val<'a>> {
        self.cx.spend(1)?;
        Ok(match ir {
            Ir::Const(value) | Ir::Number(value, _) => return self.keep(value.val()),
            Ir::Field(at) => return self.field(at),
            Ir::IsNull(_)
            | Ir::Not(_)
            | Ir::And(_)
            | Ir::Or(_)
            | Ir::Absorbing(..)
            | Ir::Compare(..)
            | Ir::In(..)
            | Ir::AnyEqual(_)
            | Ir::Within(_)
            | Ir::TextTest(..) => return self.truth(ir).map(Val::Bool),
            Ir::Choose(parts) => {
                let side = match self.truth(&parts.test)? {
                    true => &parts.yes,
                    false => &parts.no,
                };
                return self.eval(side);
            }
            Ir::OrValue(parts) => match self.eval(&parts.value)? {
                Val::Null => return self.eval(&parts.default),
                value => value,
            },
            Ir::Arith(parts) => {
                let left = self.look(&parts.left)?;
                let right = self.look(&parts.right)?;
                return number::arithmetic(self.cx, parts.op, left, right)
                    .map_err(|stop| placed(stop, &parts.path));
            }
            Ir::Join(sides) => {
                let left = self.eval(&sides.0)?;
                let right = self.eval(&sides.1)?;
                return number::join(self.cx, left, right);
            }
            Ir::Negate(parts) => {
                let value = self.look(&parts.0)?;
                return number::negate(self.cx, value).map_err(|stop| placed(stop, &parts.1));
            }
            Ir::Size(operand) => {
                let value = self.look(operand)?;
                Val::Int(each::size(self.cx, value)?)
            }
            Ir::Call(called) => return self.call(called),
            Ir::Select(of, position) => {
                let of = self.eval(of)?;
                return self.below(of, &[*position]);
            }
            Ir::Index(parts) => return self.index(parts),
            Ir::List(parts) => {
                let mut items = ArenaVec::with_capacity_in(parts.len(), self.cx.arena);
                for part in parts {
                    self.cx.spend(1)?;
                    items.push(self.eval(part)?);
                }
                Val::List(items.into_bump_slice())
            }
            Ir::Map(parts) => return self.map(parts),
            Ir::Each(each) => return self.each(each),
            Ir::Symbol(operand, node) => {
                let Val::Enum(index) = self.look(operand)? else {
                    return Err(mismatch());
                };
                let schema: &'a Schema = self.cx.schema;
                let Kind::Enum(named) = &schema.node(*node).kind else {
                    return Err(mismatch());
                };
                let symbol = named.symbols.get(index as usize);
                Val::Text(symbol.ok_or_else(mismatch)?)
            }
            Ir::Made(operand) => {
                let value = self.eval(operand)?;
                each::made(self.cx, value)?
            }
            Ir::Present(operand, message) => match self.eval(operand)? {
                Val::Null => return Err(stop(message)),
                value => value,
            },
            Ir::Below(parts) => match self.eval(&parts.0)? {
                Val::Null => return Err(stop(&parts.2)),
                _ => return self.eval(&parts.1),
            },
        })
    }

    /// A constant, copied to where the record's values are.
    fn keep(&mut self, value: Val<'_>) -> Evaluated<Val<'a>> {
        let size = match value {
            Val::Text(text) => text.len(),
            Val::Bytes(bytes) | Val::Decimal(bytes, _) => bytes.len(),
            _ => 0,
        };
        self.cx.spend_bytes(size)?;
        Ok(match value {
            Val::Text(text) => self.cx.text(text),
            Val::Bytes(bytes) => self.cx.bytes(bytes),
            Val::Decimal(bytes, scale) => {
                Val::Decimal(self.cx.arena.alloc_slice_copy(bytes), scale)
            }
            Val::Bool(b) => Val::Bool(b),
            Val::Int(i) => Val::Int(i),
            Val::Double(d) => Val::Double(d),
            Val::Timestamp(at) => Val::Timestamp(at),
            Val::Duration(length) => Val::Duration(length),
            Val::Date(days) => Val::Date(days),
            Val::Time(nanos) => Val::Time(nanos),
            Val::Enum(index) => Val::Enum(index),
            // No constant is one of these.
            Val::Null | Val::Unread(_) | Val::Avro(..) | Val::List(_) | Val::Map(_) => Val::Null,
        })
    }

    fn field(&mut self, at: &Field) -> Evaluated<Val<'a>> {
        match at.start {
            Start::Mark(mark, node) => {
                let start = self.cx.marks.get(mark as usize).copied().unwrap_or(ABSENT);
                if start == ABSENT {
                    return Ok(Val::Null);
                }
                let bytes: &'a [u8] = self.cx.bytes;
                self.walk(node, bytes, start as usize, &at.walk)
                    .map_err(|stop| placed(stop, &at.shown))
            }
            Start::Register(register) => {
                let value = self.cx.register(register).ok_or_else(mismatch)?;
                self.below(value, &at.walk)
            }
            Start::Local(slot) => {
                let value = *self.locals.get(slot).ok_or_else(mismatch)?;
                self.below(value, &at.walk)
            }
        }
    }

    /// What lies below a value; null below null.
    fn below(&mut self, value: Val<'a>, positions: &[usize]) -> Evaluated<Val<'a>> {
        match value {
            value if positions.is_empty() => Ok(value),
            Val::Null => Ok(Val::Null),
            Val::Avro(node, bytes) => self.walk(node, bytes, 0, positions),
            _ => Err(mismatch()),
        }
    }

    fn walk(
        &mut self,
        node: NodeId,
        bytes: &'a [u8],
        start: usize,
        positions: &[usize],
    ) -> Evaluated<Val<'a>> {
        let schema: &'a Schema = self.cx.schema;
        let Some((node, at)) = view::descend(schema, (node, start), positions, bytes)? else {
            return Ok(Val::Null);
        };
        let (value, end) = value::read(schema, node, bytes, at).map_err(stop)?;
        self.cx.spend_bytes(end - start)?;
        Ok(value)
    }

    fn call(&mut self, called: &Called) -> Evaluated<Val<'a>> {
        let mut few = [Val::Null; 4];
        let many;
        let args: &[Val<'a>] = match few.get_mut(..called.args.len()) {
            Some(args) => {
                for (slot, arg) in args.iter_mut().zip(&called.args) {
                    *slot = self.eval(arg)?;
                }
                args
            }
            None => {
                let args = called.args.iter().map(|arg| self.eval(arg));
                many = args.collect::<Evaluated<Vec<_>>>()?;
                &many
            }
        };
        called.call.run(self.cx, args).map_err(|error| {
            let paths = || called.args.iter().filter_map(Ir::path);
            let (message, path) = match error {
                CallError::TooLong => return TooLong.into(),
                CallError::Failed(message) => (message, paths().next()),
                CallError::Argument(nth, message) => {
                    (message, called.args.get(nth).and_then(Ir::path))
                }
            };
            stop_at(
                path.unwrap_or_default(),
                format!("{}: {message}", called.name),
            )
        })
    }

    fn index(&mut self, parts: &Index) -> Evaluated<Val<'a>> {
        let of = self.eval(&parts.of)?;
        let by = self.look(&parts.by)?;
        match by {
            Val::Int(index) => each::element(self.cx, of, index)?
                .ok_or_else(|| stop_at(&parts.path, "the list has no element with that index")),
            key => each::value_of(self.cx, of, key)?
                .ok_or_else(|| stop_at(&parts.path, "the map has no such key")),
        }
    }

    fn map(&mut self, parts: &[(Ir, Ir)]) -> Evaluated<Val<'a>> {
        let mut entries: ArenaVec<'a, (Val<'a>, Val<'a>)> =
            ArenaVec::with_capacity_in(parts.len(), self.cx.arena);
        for (key, value) in parts {
            let key = self.eval(key)?;
            self.cx.spend(entries.len() as u64 + 2)?;
            for (other, _) in &entries {
                if compare::equal(self.cx, key, *other)? {
                    return Err(stop("a key occurs twice in the map"));
                }
            }
            let value = self.eval(value)?;
            entries.push((key, value));
        }
        Ok(Val::Map(entries.into_bump_slice()))
    }
}

/// The same, about a field if it is about none.
fn placed(mut stop: Box<Stop>, path: &str) -> Box<Stop> {
    if stop.path.is_empty() {
        path.clone_into(&mut stop.path);
    }
    stop
}
