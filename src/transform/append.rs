//! Appends the pieces of a value to the output, one after another, and counts what a record takes. Input: a record's bytes,
//! marks and registers. Output: bytes of the type that the pieces were made for.

use super::assemble::{Bound, Origins, Piece};
use super::native::Works;
use crate::contract::decode::Limits;
use crate::contract::plan::{ABSENT, Scratch};
use crate::contract::view;
use crate::error::{Reason, RecordError};
use crate::expr::cx::{BYTES_A_STEP, STEPS};
use crate::expr::value::write;
use crate::expr::{Cx, Val};

/// Buffers of an assembly, reused from one record to the next.
#[derive(Debug, Default)]
pub struct Buffers {
    scratch: Scratch,
    parts: Vec<u8>,
    /// Of an output that has been handed on.
    spare: Vec<u8>,
    /// What the record at hand has taken so far, of [`WORK`].
    spent: u64,
    /// The worker's own part of native steps.
    pub(super) works: Works,
}

/// Steps that all expressions and walks of one record may take. An expression has its own bound ([`STEPS`]), but an array
/// of a million elements evaluates it a million times.
///
/// [`STEPS`]: crate::expr::cx::STEPS
const WORK: u64 = 20_000_000;

/// Bytes that a record may take in memory beyond its own.
const MEMORY: usize = 512 * 1024 * 1024;

/// A spare buffer that is larger than this is not kept.
const SPARE: usize = 256 * 1024;

impl Buffers {
    /// Takes the memory of an output back that has been copied to where it goes.
    pub fn reuse(&mut self, mut value: Vec<u8>) {
        if value.capacity() <= SPARE && value.capacity() > self.spare.capacity() {
            value.clear();
            self.spare = value;
        }
    }

    /// An empty buffer with room for so many bytes.
    pub(super) fn output(&mut self, room: usize) -> Vec<u8> {
        let mut value = std::mem::take(&mut self.spare);
        value.reserve(room);
        value
    }

    /// The next record begins.
    pub(super) fn begin(&mut self) {
        self.spent = 0;
    }

    /// Counts so many bytes that are walked or made.
    pub(super) fn charge(&mut self, cx: &Cx<'_>, bytes: usize) -> Result<(), RecordError> {
        self.charge_steps(cx, (bytes / BYTES_A_STEP) as u64 + 1)
    }

    /// Counts what the expression took that has just been evaluated.
    pub(super) fn charge_expression(&mut self, cx: &Cx<'_>) -> Result<(), RecordError> {
        self.charge_steps(cx, STEPS.saturating_sub(cx.steps))
    }

    #[inline]
    fn charge_steps(&mut self, cx: &Cx<'_>, steps: u64) -> Result<(), RecordError> {
        self.spent = self.spent.saturating_add(steps);
        match () {
            () if self.spent > WORK => Err(stopped("take too long")),
            () if cx.arena.allocated_bytes() > MEMORY => Err(stopped("take too much memory")),
            () => Ok(()),
        }
    }
}

#[cold]
fn stopped(what: &str) -> RecordError {
    let message = format!("stopped: the steps would {what} on this record");
    RecordError::new(Reason::TransformFailed, message)
}

/// Appends a value to `out`.
pub(super) fn assemble<'a>(
    pieces: &[Piece],
    cx: &Cx<'a>,
    origins: &Origins,
    buffers: &mut Buffers,
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
    for piece in pieces {
        match piece {
            Piece::Run(start, end) => {
                let (start, end) = (bound(cx, *start), bound(cx, *end));
                out.extend_from_slice(cx.bytes.get(start..end).ok_or_else(broken)?);
            }
            Piece::Fields {
                register,
                positions,
                from,
                to,
            } => {
                let part = fields(cx, *register, positions, (*from, *to));
                out.extend_from_slice(part.ok_or_else(broken)?);
            }
            Piece::Value {
                register,
                node,
                text,
            } => {
                let value = cx.registers[*register as usize];
                match (text, value) {
                    (Some(text), Val::Unread(octets)) => {
                        text.put(octets, out);
                        continue;
                    }
                    (Some(text), Val::Text(value)) => {
                        text.put(value.as_bytes(), out);
                        continue;
                    }
                    _ => {}
                }
                write(cx.schema, *node, value, out).map_err(|why| {
                    let (step, path) = &origins.0[*register as usize];
                    let message = match step.as_str() {
                        "" => why,
                        step => format!("{step}: {why}"),
                    };
                    RecordError::new(Reason::TransformFailed, message).at(path)
                })?;
            }
            Piece::Constant(bytes) => out.extend_from_slice(bytes),
            Piece::Converted { pieces, plan, path } => {
                let mut parts = std::mem::take(&mut buffers.parts);
                parts.clear();
                let done = assemble(pieces, cx, origins, buffers, &mut parts).and_then(|()| {
                    let view = plan.run(&parts, &Limits::default(), &mut buffers.scratch);
                    let view = view.map_err(|error| RecordError {
                        reason: Reason::EncodeFailed,
                        // It counts in bytes that nobody has seen.
                        byte_offset: None,
                        path: joined_path(path, &error.path),
                        ..error
                    })?;
                    out.extend_from_slice(view.bytes);
                    Ok(())
                });
                buffers.parts = parts;
                done?;
            }
        }
    }
    Ok(())
}

fn joined_path(above: &str, below: &str) -> String {
    match (above, below) {
        ("", path) | (path, "") => path.to_owned(),
        (above, below) if below.starts_with('[') => format!("{above}{below}"),
        (above, below) => format!("{above}.{below}"),
    }
}

fn bound(cx: &Cx<'_>, bound: Bound) -> usize {
    match bound {
        Bound::Start => 0,
        Bound::Mark(mark) => cx
            .marks
            .get(mark as usize)
            .map_or(usize::MAX, |at| match *at {
                ABSENT => usize::MAX,
                at => at as usize,
            }),
        Bound::End => cx.bytes.len(),
    }
}

/// Where fields of a record in a register lie.
fn fields<'a>(
    cx: &Cx<'a>,
    register: u32,
    positions: &[usize],
    (from, to): (usize, usize),
) -> Option<&'a [u8]> {
    let Val::Avro(node, bytes) = cx.registers[register as usize] else {
        return None;
    };
    let (node, at) = view::descend(cx.schema, (node, 0), positions, bytes).ok()??;
    let start = view::field(cx.schema, node, from, bytes, at).ok()?;
    let mut end = start;
    for position in from..to {
        let field = view::field_type(cx.schema, node, position).ok()?;
        end = view::skip(cx.schema, field, bytes, end).ok()?;
    }
    bytes.get(start..end)
}

pub(super) fn broken() -> RecordError {
    let message = "the event is not where the steps expect it, which is a fault of this program";
    RecordError::new(Reason::TransformFailed, message)
}
