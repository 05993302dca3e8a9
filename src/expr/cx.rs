//! What is at hand while the expressions of one record are evaluated.

use bumpalo::Bump;

use super::value::Val;
use crate::contract::schema::Schema;
use crate::record::Record;

/// Steps that one expression may take: each part of it that is evaluated is one, each element of a comprehension runs its
/// parts again, and a function takes one for each [`BYTES_A_STEP`] bytes that it reads or makes.
pub const STEPS: u64 = 1_000_000;
/// See [`STEPS`].
pub const BYTES_A_STEP: usize = 32;

/// The record being worked on, as expressions see it.
#[derive(Debug)]
pub struct Cx<'a> {
    /// Every type that an expression or a value names.
    pub schema: &'a Schema,
    /// Where text, bytes and lists that are made live until the record is done.
    pub arena: &'a Bump,
    /// The event in the contract's bytes, validated.
    pub bytes: &'a [u8],
    /// Where in `bytes` the marked fields begin; [`ABSENT`](crate::contract::plan::ABSENT) below a null.
    pub marks: &'a [u32],
    /// What was computed so far.
    pub registers: &'a mut [Val<'a>],
    /// The record around the event, if there is one.
    pub record: Option<&'a Record<'a>>,
    /// What is left of [`STEPS`]; set anew for each expression.
    pub steps: u64,
}

/// An expression was stopped because it would take too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped: it would take more than {STEPS} steps on this record")]
pub struct TooLong;

impl<'a> Cx<'a> {
    /// For expressions that name nothing.
    pub fn of_constants(schema: &'a Schema, arena: &'a Bump) -> Cx<'a> {
        Cx {
            schema,
            arena,
            bytes: &[],
            marks: &[],
            registers: &mut [],
            record: None,
            steps: STEPS,
        }
    }

    /// What a register holds; nothing if there is none of that number.
    #[inline]
    pub fn register(&self, register: u32) -> Option<Val<'a>> {
        match *self.registers.get(register as usize)? {
            Val::Unread(octets) => Some(Val::Text(std::str::from_utf8(octets).ok()?)),
            value => Some(value),
        }
    }

    /// Takes steps, if there are any left.
    #[inline]
    pub fn spend(&mut self, steps: u64) -> Result<(), TooLong> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(TooLong)
            }
        }
    }

    /// Takes the steps for so many bytes that are read or made.
    #[inline]
    pub fn spend_bytes(&mut self, bytes: usize) -> Result<(), TooLong> {
        self.spend((bytes / BYTES_A_STEP) as u64)
    }

    /// A text that lives as long as the record.
    pub fn text(&self, text: &str) -> Val<'a> {
        Val::Text(self.arena.alloc_str(text))
    }

    /// Bytes that live as long as the record.
    pub fn bytes(&self, bytes: &[u8]) -> Val<'a> {
        Val::Bytes(self.arena.alloc_slice_copy(bytes))
    }

    /// A decimal that lives as long as the record.
    pub fn decimal(&self, number: &crate::expr::number::Decimal) -> Val<'a> {
        let unscaled = number.unscaled.to_signed_bytes_be();
        let scale = u32::try_from(number.scale).unwrap_or(u32::MAX);
        Val::Decimal(self.arena.alloc_slice_copy(&unscaled), scale)
    }

    /// A list that lives as long as the record.
    pub fn list(&self, items: &[Val<'a>]) -> Val<'a> {
        Val::List(self.arena.alloc_slice_copy(items))
    }
}
