//! The walk through a collection, or into what may be null, that does something to each record there. Input: its bytes.
//! Output: its bytes with those records as they are afterwards; whatever lies around them is copied.

use super::append::{assemble, broken};
use super::run::{Each, Machine};
use crate::contract::schema::{Kind, NodeId};
use crate::contract::varint;
use crate::contract::view;
use crate::error::{Reason, RecordError};
use crate::expr::Val;
use crate::expr::path::{Segment, peel};
use crate::expr::value::read;

impl<'a> Machine<'_, 'a> {
    pub(super) fn each(
        &mut self,
        each: &'a Each,
        node: NodeId,
        bytes: &'a [u8],
    ) -> Result<Val<'a>, RecordError> {
        self.buffers.charge(self.cx, bytes.len())?;
        let mut out = Vec::with_capacity(bytes.len() + 32);
        let mut trail = Vec::new();
        let mut walk = Walk {
            machine: self,
            each,
            bytes,
            out: &mut out,
            trail: &mut trail,
        };
        let done = walk.at(&each.segments, node, 0);
        if let Err(error) = done {
            let (_, container) = &self.origins.0[each.into as usize];
            let path = numbered(&of_event(&error.path, container), &trail);
            return Err(error.at(path));
        }
        let retyped = peel(self.cx.schema, each.retyped).node;
        Ok(Val::Avro(retyped, self.cx.arena.alloc_slice_copy(&out)))
    }
}

/// What an expression inside of a collection calls `this.price`, as a path of the event: `items[].price`.
fn of_event(path: &str, container: &str) -> String {
    match path.strip_prefix("this") {
        // A field that is called so is in the container's path already.
        Some(rest)
            if !path.starts_with(container)
                && (rest.is_empty() || rest.starts_with(['.', '['])) =>
        {
            format!("{container}{rest}")
        }
        _ => path.to_owned(),
    }
}

/// `items[].price` with the indices of the element that it is about.
fn numbered(path: &str, trail: &[usize]) -> String {
    let mut out = String::with_capacity(path.len() + 8);
    let mut rest = path;
    for index in trail {
        let Some(at) = rest.find("[]").into_iter().chain(rest.find("{}")).min() else {
            break;
        };
        out.push_str(&rest[..at]);
        out.push_str(&format!("[{index}]"));
        rest = &rest[at + 2..];
    }
    out.push_str(rest);
    out
}

struct Walk<'w, 'm, 'a> {
    machine: &'w mut Machine<'m, 'a>,
    each: &'a Each,
    bytes: &'a [u8],
    out: &'w mut Vec<u8>,
    /// The indices of the collections that the walk is inside of; left as it stood by an error.
    trail: &'w mut Vec<usize>,
}

impl<'a> Walk<'_, '_, 'a> {
    fn copy(&mut self, from: usize, to: usize) -> Result<(), RecordError> {
        let run = self.bytes.get(from..to).ok_or_else(broken)?;
        self.out.extend_from_slice(run);
        Ok(())
    }

    /// Rewrites the value of `node` at `at`; the position after it.
    fn at(
        &mut self,
        segments: &'a [Segment],
        node: NodeId,
        at: usize,
    ) -> Result<usize, RecordError> {
        let schema = self.machine.cx.schema;
        let Some((segment, rest)) = segments.split_first() else {
            if self.each.leaf {
                return self.element(node, at);
            }
            return match &schema.node(node).kind {
                Kind::Union(branches) => {
                    let (branch, next) = view::index(self.bytes, at).map_err(|_| broken())?;
                    let branch = *branches.get(branch).ok_or_else(broken)?;
                    self.copy(at, next)?;
                    match schema.node(branch).kind {
                        Kind::Null => Ok(next),
                        _ => self.element(branch, next),
                    }
                }
                _ => self.element(node, at),
            };
        };
        if let Kind::Union(branches) = &schema.node(node).kind {
            let (branch, next) = view::index(self.bytes, at).map_err(|_| broken())?;
            let branch = *branches.get(branch).ok_or_else(broken)?;
            self.copy(at, next)?;
            return match schema.node(branch).kind {
                Kind::Null => Ok(next),
                _ => self.at(segments, branch, next),
            };
        }
        match (segment, &schema.node(node).kind) {
            (Segment::Field(position, _), Kind::Record(record)) => {
                let start =
                    view::field(schema, node, *position, self.bytes, at).map_err(|_| broken())?;
                self.copy(at, start)?;
                let end = self.at(rest, record.fields[*position].node, start)?;
                let mut last = end;
                for field in &record.fields[position + 1..] {
                    last =
                        view::skip(schema, field.node, self.bytes, last).map_err(|_| broken())?;
                }
                self.copy(end, last)?;
                Ok(last)
            }
            (Segment::Elements, Kind::Array(_)) | (Segment::Values, Kind::Map(_)) => {
                self.elements(rest, node, at)
            }
            _ => Err(broken()),
        }
    }

    /// The elements of a collection, as one block.
    fn elements(
        &mut self,
        rest: &'a [Segment],
        node: NodeId,
        at: usize,
    ) -> Result<usize, RecordError> {
        let schema = self.machine.cx.schema;
        let keyed = matches!(schema.node(node).kind, Kind::Map(_));
        let mut elements =
            view::Elements::new(schema, node, self.bytes, at).map_err(|_| broken())?;
        // The count stands in front of what is not made yet.
        let before = std::mem::take(self.out);
        let mut count = 0usize;
        let mut rewritten = Ok(());
        while let Some(element) = elements.next().map_err(|_| broken())? {
            if keyed {
                varint::write(
                    i64::try_from(element.key.len()).unwrap_or(i64::MAX),
                    self.out,
                );
                self.out.extend_from_slice(element.key);
            }
            self.trail.push(count);
            rewritten = self.at(rest, elements.node(), element.start).map(|_| ());
            if rewritten.is_err() {
                break;
            }
            self.trail.pop();
            count += 1;
        }
        let inside = std::mem::replace(self.out, before);
        rewritten?;
        if count > 0 {
            varint::write(i64::try_from(count).unwrap_or(i64::MAX), self.out);
            self.out.extend_from_slice(&inside);
        }
        self.out.push(0);
        Ok(elements.end())
    }

    fn element(&mut self, node: NodeId, at: usize) -> Result<usize, RecordError> {
        let schema = self.machine.cx.schema;
        let (value, next) = read(schema, node, self.bytes, at)
            .map_err(|why| RecordError::new(Reason::TransformFailed, why))?;
        self.machine.cx.registers[self.each.this as usize] = value;
        self.machine.run(&self.each.ops)?;
        let Machine {
            cx,
            origins,
            buffers,
        } = &mut *self.machine;
        let before = self.out.len();
        assemble(&self.each.pieces, cx, origins, buffers, self.out)?;
        buffers.charge(cx, self.out.len() - before)?;
        Ok(next)
    }
}
