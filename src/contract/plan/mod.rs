//! What is compiled once for a writer schema and a contract, and run for each record. Input: Avro bytes of the writer.
//! Output: Avro bytes of the reader schema, and where in them the wanted fields lie. No tree of values is made.
//!
//! The bytes are walked once. Every value is validated; what stays as it is gathers in runs that are copied whole, and
//! where the reader's schema is the writer's, nothing is copied at all. A record that does not pass is decoded again,
//! by [`decode`], to say where and why: bad records are few, and the walk of the good ones carries no burden for them.

mod lower;
mod program;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt::Write as _;
use std::sync::Arc;

use super::decode::{self, Limits};
use super::resolve::{Mismatch, Resolution};
use super::schema::Schema;
use crate::error::{Reason, RecordError};
pub use lower::copies;
use program::Program;
pub use walk::{ABSENT, Scratch};

/// Mismatches told in one error; the rest is counted.
const TOLD: usize = 5;
/// Bound of one mismatch in the text.
const TEXT_LIMIT: usize = 300;

/// The way from one writer schema to one reader schema.
#[derive(Debug, Clone)]
pub struct Plan {
    program: Program,
    /// For saying what is wrong with a record.
    writer: Arc<Schema>,
    resolution: Resolution,
}

/// A record in the reader's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View<'a> {
    /// A value of the reader schema; the record's own bytes where the schemas agree.
    pub bytes: &'a [u8],
    /// For each wanted field, where in `bytes` it begins, with its union's index if it has one. [`ABSENT`] when a
    /// record above it is null.
    pub marks: &'a [u32],
}

impl Plan {
    /// Compiles the pair, or says what can never work. `wanted` are the reader's fields whose positions are needed:
    /// positions in the records from the top one down, through unions of null and one record.
    pub fn compile(
        writer: &Schema,
        reader: &Schema,
        wanted: &[Vec<usize>],
    ) -> Result<Plan, RecordError> {
        Plan::compile_shared(Arc::new(writer.clone()), reader, wanted)
    }

    /// The same for a writer schema that others hold too.
    pub fn compile_shared(
        writer: Arc<Schema>,
        reader: &Schema,
        wanted: &[Vec<usize>],
    ) -> Result<Plan, RecordError> {
        let resolution = Resolution::compile(&writer, reader).map_err(|m| incompatible(&m))?;
        Ok(Plan::of(writer, reader, resolution, wanted))
    }

    /// The plan of a pair that is resolved already.
    pub fn of(
        writer: Arc<Schema>,
        reader: &Schema,
        resolution: Resolution,
        wanted: &[Vec<usize>],
    ) -> Plan {
        Plan {
            program: lower::lower(&writer, reader, &resolution, wanted),
            writer,
            resolution,
        }
    }

    /// Validates all of `payload` and resolves it. Offsets in errors count from its beginning.
    pub fn run<'a>(
        &self,
        payload: &'a [u8],
        limits: &Limits,
        scratch: &'a mut Scratch,
    ) -> Result<View<'a>, RecordError> {
        match walk::walk(&self.program, payload, limits, scratch) {
            Ok(()) => Ok(View {
                bytes: match self.program.same {
                    true => payload,
                    false => &scratch.out,
                },
                marks: &scratch.marks,
            }),
            Err(walk::Bad) if scratch.too_large => Err(RecordError::new(
                Reason::UnresolvableValue,
                format!(
                    "in the contract's schema, with its defaults, the value has more than {} bytes",
                    limits.bytes
                ),
            )),
            Err(walk::Bad) => Err(self.explain(payload, limits)),
        }
    }

    /// Whether valid bytes of the writer are the reader's bytes as they stand.
    pub const fn is_same(&self) -> bool {
        self.program.same
    }

    /// Bytes that it takes, roughly.
    pub fn size(&self) -> usize {
        self.program.size() + self.resolution.size()
    }

    #[cold]
    fn explain(&self, payload: &[u8], limits: &Limits) -> RecordError {
        let resolved = decode::decode(&self.writer, payload, limits)
            .and_then(|value| self.resolution.apply(value));
        match resolved {
            Err(error) => error,
            // Closed, not open: two readings of one record that disagree are no reading.
            Ok(_) => RecordError::new(
                Reason::MalformedData,
                "two checks of these bytes disagree, which is a fault of this program",
            ),
        }
    }
}

fn incompatible(mismatches: &[Mismatch]) -> RecordError {
    let mut text = String::from("the writer schema can never be read as the contract's: ");
    for (position, mismatch) in mismatches.iter().take(TOLD).enumerate() {
        let mut part = match mismatch.path.as_str() {
            "" => mismatch.message.clone(),
            path => format!("{path}: {}", mismatch.message),
        };
        if part.len() > TEXT_LIMIT {
            part.truncate(part.floor_char_boundary(TEXT_LIMIT));
            part.push('…');
        }
        let comma = if position > 0 { "; " } else { "" };
        write!(text, "{comma}{part}").expect("a String takes all text");
    }
    if mismatches.len() > TOLD {
        write!(text, "; and {} more", mismatches.len() - TOLD).expect("a String takes all text");
    }
    let path = mismatches.first().map_or("", |m| m.path.as_str());
    RecordError::new(Reason::IncompatibleSchema, text).at(path)
}
