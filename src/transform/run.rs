//! What the steps of a pipeline come down to when a record runs through them: operations that fill registers. The one that
//! goes through arrays, maps and what may be null is in `walk`.

use super::append::{Buffers, assemble, broken};
use super::assemble::{Origins, Piece};
use super::leaf::Leaf;
use super::native::Call;
use crate::contract::schema::NodeId;
use crate::contract::view;
use crate::error::{Reason, RecordError};
use crate::expr::path::{Segment, peel};
use crate::expr::value::{read, write};
use crate::expr::{Cx, Expr, Place, Val};

/// Where an operation finds a value.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) place: Place,
    /// Its type as declared, with its union.
    pub(super) node: NodeId,
    /// Fields from what a register holds down to it.
    pub(super) rest: Vec<usize>,
}

/// An operation.
#[derive(Debug)]
pub(super) enum Op {
    /// Puts a value together.
    Build {
        pieces: Vec<Piece>,
        node: NodeId,
        into: u32,
    },
    /// Evaluates an expression.
    Set { expr: Expr, into: u32 },
    /// Ends the record unless the expression is true; the text names the step.
    Filter(Expr, String),
    /// Makes a value of another.
    Leaf {
        source: Source,
        leaf: Leaf,
        into: u32,
    },
    /// Does what a program brought along.
    Native(Box<Call>),
    /// Does something to each record of a collection, or to the one behind a null.
    Each(Box<Each>),
}

/// See [`Op::Each`].
#[derive(Debug)]
pub(super) struct Each {
    /// The collection, or the nullable record.
    pub(super) source: Source,
    /// Its type afterwards.
    pub(super) retyped: NodeId,
    /// The way from there to each of them.
    pub(super) segments: Vec<Segment>,
    /// Whether an element is the value as declared, and not the record behind its union.
    pub(super) leaf: bool,
    /// Where an element is put.
    pub(super) this: u32,
    /// What is done to it.
    pub(super) ops: Vec<Op>,
    /// Out of what it is put together afterwards.
    pub(super) pieces: Vec<Piece>,
    pub(super) into: u32,
}

/// Whether a record goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goes {
    On,
    Filtered,
}

/// Runs operations over a record.
pub(super) struct Machine<'m, 'a> {
    pub(super) cx: &'m mut Cx<'a>,
    pub(super) origins: &'a Origins,
    pub(super) buffers: &'m mut Buffers,
}

impl<'a> Machine<'_, 'a> {
    pub(super) fn run(&mut self, ops: &'a [Op]) -> Result<Goes, RecordError> {
        for op in ops {
            if self.op(op)? == Goes::Filtered {
                return Ok(Goes::Filtered);
            }
        }
        Ok(Goes::On)
    }

    pub(super) fn op(&mut self, op: &'a Op) -> Result<Goes, RecordError> {
        match op {
            Op::Build { pieces, node, into } => {
                let built = self
                    .build(pieces, *node)
                    .map_err(|error| self.explain(*into, error))?;
                self.cx.registers[*into as usize] = built;
            }
            Op::Set { expr, into } => {
                expr.eval_into(self.cx, *into)
                    .map_err(|error| self.explain(*into, error))?;
                self.charge_expression()?;
            }
            Op::Filter(expr, step) => {
                let keeps = expr
                    .eval_bool(self.cx)
                    .map_err(|error| within(step, error))?;
                self.charge_expression()?;
                if !keeps {
                    return Ok(Goes::Filtered);
                }
            }
            Op::Leaf { source, leaf, into } => {
                let value = find(self.cx, source).map_err(|error| self.explain(*into, error))?;
                let made = leaf.apply(self.cx, value);
                let made = made.map_err(|error| self.explain(*into, error))?;
                if let Leaf::Default(_) = leaf {
                    self.charge_expression()?;
                }
                self.cx.registers[*into as usize] = made;
            }
            Op::Native(call) => call.run(self.cx, &mut self.buffers.works)?,
            Op::Each(each) => {
                let value = find(self.cx, &each.source)?;
                self.cx.registers[each.into as usize] = match value {
                    Val::Avro(node, bytes) => self.each(each, node, bytes)?,
                    Val::Null => Val::Null,
                    // What an expression made has no bytes yet.
                    Val::List(_) | Val::Map(_) => {
                        let node = peel(self.cx.schema, each.source.node).node;
                        let mut out = Vec::new();
                        let written = write(self.cx.schema, node, value, &mut out);
                        written.map_err(|why| {
                            let error = RecordError::new(Reason::TransformFailed, why);
                            self.explain(each.into, error)
                        })?;
                        let bytes = self.cx.arena.alloc_slice_copy(&out);
                        self.each(each, node, bytes)?
                    }
                    _ => return Err(broken()),
                };
            }
        }
        Ok(Goes::On)
    }

    /// A value of a node from its parts, in the arena.
    pub(super) fn build(&mut self, pieces: &[Piece], node: NodeId) -> Result<Val<'a>, RecordError> {
        let mut out = Vec::new();
        assemble(pieces, self.cx, self.origins, self.buffers, &mut out)?;
        self.buffers.charge(self.cx, out.len())?;
        let bytes = self.cx.arena.alloc_slice_copy(&out);
        let (value, _) = read(self.cx.schema, node, bytes, 0)
            .map_err(|why| RecordError::new(Reason::TransformFailed, why))?;
        Ok(value)
    }

    fn charge_expression(&mut self) -> Result<(), RecordError> {
        self.buffers.charge_expression(self.cx)
    }

    fn explain(&self, register: u32, error: RecordError) -> RecordError {
        let (step, path) = &self.origins.0[register as usize];
        let error = within(step, error);
        match error.path.is_empty() {
            true => error.at(path),
            false => error,
        }
    }
}

pub(super) fn within(step: &str, error: RecordError) -> RecordError {
    match step {
        "" => error,
        step => RecordError {
            message: format!("{step}: {}", error.message),
            ..error
        },
    }
}

/// A value, wherever it lies.
pub(super) fn find<'a>(cx: &Cx<'a>, source: &Source) -> Result<Val<'a>, RecordError> {
    let failed = |why: String| RecordError::new(Reason::TransformFailed, why);
    match source.place {
        Place::Mark(mark) => match cx.marks.get(mark as usize) {
            Some(&crate::contract::plan::ABSENT) => Ok(Val::Null),
            Some(at) => {
                let read = read(cx.schema, source.node, cx.bytes, *at as usize);
                Ok(read.map_err(failed)?.0)
            }
            None => Err(broken()),
        },
        Place::Register(register) => {
            let value = cx.register(register).ok_or_else(broken)?;
            if source.rest.is_empty() {
                return Ok(value);
            }
            let Val::Avro(node, bytes) = value else {
                return match value {
                    Val::Null => Ok(Val::Null),
                    _ => Err(broken()),
                };
            };
            let found = view::descend(cx.schema, (node, 0), &source.rest, bytes);
            let Some((node, at)) = found.map_err(|_| broken())? else {
                return Ok(Val::Null);
            };
            Ok(read(cx.schema, node, bytes, at).map_err(failed)?.0)
        }
    }
}
