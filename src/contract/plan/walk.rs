//! The walk of a program over a record's bytes. Input: the bytes. Output: the reader's bytes, if they differ, and the
//! positions of the fields that were marked. It says that something is wrong, and not what: that is found out by
//! decoding the record again, once it is known to be bad.

use super::program::{NO_SYMBOL, Op, Program};
use crate::contract::decimal;
use crate::contract::decode::Limits;
use crate::contract::varint;

/// The position of a mark that was not met: the field lies in a record that is null.
pub const ABSENT: u32 = u32::MAX;

/// What a worker reuses from one record to the next, so that a walk allocates nothing once it has grown.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The reader's bytes, as far as they are assembled.
    pub(super) out: Vec<u8>,
    /// Positions of the marks in the reader's bytes.
    pub(super) marks: Vec<u32>,
    /// Ends of the pieces of the records that are being reordered.
    cuts: Vec<usize>,
    /// A record's pieces on their way into another order.
    pieces: Vec<u8>,
    /// The reader's bytes would be more than the limit.
    pub(super) too_large: bool,
}

/// What is kept from one record to the next; a larger one is made room for anew.
const KEPT: usize = 4 * 1024 * 1024;

impl Scratch {
    /// Bytes that it holds on to.
    pub fn capacity(&self) -> usize {
        self.out.capacity() + self.pieces.capacity() + 4 * self.marks.capacity()
    }
}

/// The record is bad, or has no counterpart in the reader schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad;

/// Walks all of `bytes`.
pub(super) fn walk(
    program: &Program,
    bytes: &[u8],
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<(), Bad> {
    if scratch.capacity() > KEPT {
        *scratch = Scratch::default();
    }
    scratch.too_large = false;
    scratch.out.clear();
    scratch.cuts.clear();
    scratch.marks.clear();
    scratch.marks.resize(program.marks, ABSENT);
    // Positions are kept in 32 bits.
    if bytes.len() > limits.bytes.min(u32::MAX as usize / 2) {
        return Err(Bad);
    }
    let mut walk = Walk {
        program,
        bytes,
        limits,
        scratch,
        run: 0,
        depth: 0,
        elements: 0,
    };
    let end = walk.run(0, program.main as usize, 0)?;
    if end != bytes.len() {
        return Err(Bad);
    }
    if !program.same {
        walk.flush(end);
    }
    Ok(())
}

struct Walk<'a> {
    program: &'a Program,
    bytes: &'a [u8],
    limits: &'a Limits,
    scratch: &'a mut Scratch,
    /// Where the run begins: what lies from here to the position is still to be copied.
    run: usize,
    /// Levels around the present procedure.
    depth: usize,
    elements: usize,
}

impl Walk<'_> {
    /// Runs the instructions from `pc` to `end` at a position; the position after them.
    fn run(&mut self, mut pc: usize, end: usize, mut at: usize) -> Result<usize, Bad> {
        let program = self.program;
        let bytes = self.bytes;
        let code = &program.code[..end];
        while let Some(op) = code.get(pc) {
            pc += 1;
            match *op {
                Op::Boolean => {
                    if *bytes.get(at).ok_or(Bad)? > 1 {
                        return Err(Bad);
                    }
                    at += 1;
                }
                Op::Int => at = int(bytes, at)?.1,
                Op::Long => at = long(bytes, at)?.1,
                Op::Skip(count) => {
                    at += count as usize;
                    if at > bytes.len() {
                        return Err(Bad);
                    }
                }
                Op::Text => at = text(bytes, at)?,
                Op::Bytes => at = sized(bytes, at)?.1,
                Op::Decimal(precision) => {
                    let (number, next) = sized(bytes, at)?;
                    if !decimal::fits(number, precision as usize) {
                        return Err(Bad);
                    }
                    at = next;
                }
                Op::DecimalAhead(precision) => {
                    if !decimal::fits(sized(bytes, at)?.0, precision as usize) {
                        return Err(Bad);
                    }
                }
                Op::FixedDecimal { size, precision } => {
                    let next = at + size as usize;
                    if !decimal::fits(bytes.get(at..next).ok_or(Bad)?, precision as usize) {
                        return Err(Bad);
                    }
                    at = next;
                }
                Op::Enum(count) => {
                    let (index, next) = index(bytes, at)?;
                    if index >= count {
                        return Err(Bad);
                    }
                    at = next;
                }
                Op::Nullable { null, over } => {
                    let (index, next) = index(bytes, at)?;
                    if index > 1 {
                        return Err(Bad);
                    }
                    if index == u32::from(null) {
                        pc += over as usize;
                    }
                    at = next;
                }
                Op::Union { table, count } => {
                    let (index, next) = index(bytes, at)?;
                    if index >= count {
                        return Err(Bad);
                    }
                    pc = program.tables[(table + index) as usize] as usize;
                    at = next;
                }
                Op::Array { body, same, depth } => {
                    let body = (pc, pc + body as usize);
                    at = self.blocks(body, at, same, usize::from(depth), false)?;
                    pc = body.1;
                }
                Op::Map { body, same, depth } => {
                    let body = (pc, pc + body as usize);
                    at = self.blocks(body, at, same, usize::from(depth), true)?;
                    pc = body.1;
                }
                Op::Record(depth) => self.enter(usize::from(depth))?,
                Op::Empty(count) => self.count(u64::from(count))?,
                Op::Call { procedure, depth } => {
                    let (first, last) = program.procedures[procedure as usize];
                    self.depth += usize::from(depth);
                    at = self.run(first as usize, last as usize, at)?;
                    self.depth -= usize::from(depth);
                }
                Op::Jump(target) => pc = target as usize,
                Op::Mark(mark) => self.mark(mark, at, 0),
                Op::MarkInside(mark, inside) => self.mark(mark, at, inside),
                Op::Flush => self.flush(at),
                Op::Resume => self.run = at,
                Op::Constant(from, to) => {
                    self.flush(at);
                    let constant = &program.constants[from as usize..to as usize];
                    self.scratch.out.extend_from_slice(constant);
                    self.run = at;
                    // A few bytes may claim many items, each of which gets a default.
                    if self.scratch.out.len() > self.limits.bytes {
                        self.scratch.too_large = true;
                        return Err(Bad);
                    }
                }
                Op::IntFloat => {
                    let (value, next) = int(bytes, at)?;
                    at = self.put(&to_float(i64::from(value)).to_le_bytes(), at, next);
                }
                Op::IntDouble => {
                    let (value, next) = int(bytes, at)?;
                    at = self.put(&f64::from(value).to_le_bytes(), at, next);
                }
                Op::LongFloat => {
                    let (value, next) = long(bytes, at)?;
                    at = self.put(&to_float(value).to_le_bytes(), at, next);
                }
                Op::LongDouble => {
                    let (value, next) = long(bytes, at)?;
                    at = self.put(&to_double(value).to_le_bytes(), at, next);
                }
                Op::FloatDouble => {
                    let float = bytes.get(at..at + 4).ok_or(Bad)?;
                    let float = f32::from_le_bytes(float.try_into().map_err(|_| Bad)?);
                    at = self.put(&f64::from(float).to_le_bytes(), at, at + 4);
                }
                Op::Symbol { table, count } => {
                    let (index, next) = index(bytes, at)?;
                    if index >= count {
                        return Err(Bad);
                    }
                    let symbol = program.symbols[(table + index) as usize];
                    if symbol == NO_SYMBOL {
                        return Err(Bad);
                    }
                    self.flush(at);
                    varint::write(i64::from(symbol), &mut self.scratch.out);
                    self.run = next;
                    at = next;
                }
                Op::Cut => {
                    self.flush(at);
                    self.scratch.cuts.push(self.scratch.out.len());
                    self.run = at;
                }
                Op::Reorder(order) => self.reorder(order as usize),
                Op::Refuse => return Err(Bad),
            }
        }
        Ok(at)
    }

    fn enter(&self, depth: usize) -> Result<(), Bad> {
        if self.depth + depth > self.limits.depth {
            return Err(Bad);
        }
        Ok(())
    }

    fn count(&mut self, more: u64) -> Result<(), Bad> {
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        self.elements = self.elements.saturating_add(more);
        if self.elements > self.limits.elements {
            return Err(Bad);
        }
        Ok(())
    }

    /// Where the present position is in the reader's bytes.
    fn mark(&mut self, mark: u32, at: usize, inside: u32) {
        let position = self.scratch.out.len() + (at - self.run);
        self.scratch.marks[mark as usize] =
            u32::try_from(position).map_or(ABSENT, |position| position.saturating_add(inside));
    }

    fn flush(&mut self, at: usize) {
        let run = &self.bytes[self.run..at];
        self.scratch.out.extend_from_slice(run);
        self.run = at;
    }

    /// Puts other bytes in the place of those from `at` to `next`.
    fn put(&mut self, instead: &[u8], at: usize, next: usize) -> usize {
        self.flush(at);
        self.scratch.out.extend_from_slice(instead);
        self.run = next;
        next
    }

    /// The blocks of an array or map: a count and that many elements, until a count of 0. A negative count is followed
    /// by the size of the block in bytes, which must be right.
    fn blocks(
        &mut self,
        (first, last): (usize, usize),
        mut at: usize,
        same: bool,
        depth: usize,
        keyed: bool,
    ) -> Result<usize, Bad> {
        self.enter(depth)?;
        loop {
            let start = at;
            let (count, next) = long(self.bytes, at)?;
            at = next;
            if count == 0 {
                return Ok(at);
            }
            let mut end = None;
            if count < 0 {
                let (size, next) = long(self.bytes, at)?;
                at = next;
                let size = usize::try_from(size).map_err(|_| Bad)?;
                let after = at.checked_add(size).filter(|end| *end <= self.bytes.len());
                end = Some(after.ok_or(Bad)?);
            }
            let count = count.unsigned_abs();
            self.count(count)?;
            if !same && end.is_some() {
                // Its size will be another: the block goes on without one.
                self.flush(start);
                varint::write(count.cast_signed(), &mut self.scratch.out);
                self.run = at;
            }
            for _ in 0..count {
                if keyed {
                    at = text(self.bytes, at)?;
                }
                at = self.run(first, last, at)?;
            }
            if end.is_some_and(|end| end != at) {
                return Err(Bad);
            }
        }
    }

    /// Puts the last pieces that were cut into the reader's order.
    fn reorder(&mut self, order: usize) {
        let order = &self.program.orders[order];
        let scratch = &mut *self.scratch;
        // One more cut than pieces: the first is where the record began.
        let first = scratch.cuts.len() - order.pieces.len() - 1;
        let cuts = &scratch.cuts[first..];
        scratch.pieces.clear();
        for (mark, piece) in &order.marks {
            let mark = &mut scratch.marks[*mark as usize];
            if *mark != ABSENT {
                let piece = *piece as usize;
                let before = order
                    .pieces
                    .iter()
                    .take_while(|other| **other as usize != piece);
                let shift: usize = before
                    .map(|other| cuts[*other as usize + 1] - cuts[*other as usize])
                    .sum();
                let moved = cuts[0] + shift + (*mark as usize - cuts[piece]);
                *mark = u32::try_from(moved).unwrap_or(ABSENT);
            }
        }
        for piece in &order.pieces {
            let (from, to) = (cuts[*piece as usize], cuts[*piece as usize + 1]);
            scratch.pieces.extend_from_slice(&scratch.out[from..to]);
        }
        scratch.out.truncate(cuts[0]);
        scratch.out.extend_from_slice(&scratch.pieces);
        scratch.cuts.truncate(first);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the specification promotes long to float as it is"
)]
fn to_float(value: i64) -> f32 {
    value as f32
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the specification promotes long to double as it is"
)]
fn to_double(value: i64) -> f64 {
    value as f64
}

/// A varint of at most ten bytes; the position after it.
#[inline]
pub(super) fn long(bytes: &[u8], at: usize) -> Result<(i64, usize), Bad> {
    let (number, next) = varint(bytes, at, 10)?;
    Ok((
        (number >> 1).cast_signed() ^ -(number & 1).cast_signed(),
        next,
    ))
}

/// A varint of at most five bytes that 32 bits hold.
#[inline]
pub(super) fn int(bytes: &[u8], at: usize) -> Result<(i32, usize), Bad> {
    let (number, next) = varint(bytes, at, 5)?;
    let number = u32::try_from(number).map_err(|_| Bad)?;
    Ok((
        (number >> 1).cast_signed() ^ -(number & 1).cast_signed(),
        next,
    ))
}

/// An int that is not negative.
#[inline]
fn index(bytes: &[u8], at: usize) -> Result<(u32, usize), Bad> {
    let (number, next) = int(bytes, at)?;
    Ok((u32::try_from(number).map_err(|_| Bad)?, next))
}

#[inline]
fn varint(bytes: &[u8], at: usize, limit: usize) -> Result<(u64, usize), Bad> {
    match bytes.get(at) {
        Some(byte) if *byte < 0x80 => Ok((u64::from(*byte), at + 1)),
        Some(_) => long_varint(bytes, at, limit),
        None => Err(Bad),
    }
}

#[inline]
fn long_varint(bytes: &[u8], at: usize, limit: usize) -> Result<(u64, usize), Bad> {
    let mut number = 0;
    let rest = &bytes[at..];
    for (nth, byte) in rest.iter().take(limit).enumerate() {
        if nth == 9 && *byte > 1 {
            return Err(Bad);
        }
        number |= u64::from(byte & 0x7f) << (7 * nth);
        if *byte < 0x80 {
            return Ok((number, at + nth + 1));
        }
    }
    Err(Bad)
}

/// A length and that many bytes.
#[inline]
fn sized(bytes: &[u8], at: usize) -> Result<(&[u8], usize), Bad> {
    let (length, start) = long(bytes, at)?;
    let length = usize::try_from(length).map_err(|_| Bad)?;
    let end = start.checked_add(length).ok_or(Bad)?;
    Ok((bytes.get(start..end).ok_or(Bad)?, end))
}

#[inline]
fn text(bytes: &[u8], at: usize) -> Result<usize, Bad> {
    let (text, end) = sized(bytes, at)?;
    if !text.is_ascii() && std::str::from_utf8(text).is_err() {
        return Err(Bad);
    }
    Ok(end)
}
