//! Compatibility: what differs between two schemas, and whom it breaks. Input: two parsed schemas, or one and the
//! versions before it. Output: changes by path, each with the directions it breaks and why, or a verdict at a level.
//! Knows nothing of registries, files or records.
//!
//! - [`reading`] finds what a reader of one schema cannot read of the other's data, as [`resolve`](super::resolve)
//!   would meet it, and apart from that what it would read and misunderstand.
//! - [`diff`] walks both schemas for a person, and hangs each finding on the change that causes it.
//! - [`level`] holds a schema to its earlier versions.

mod attach;
mod change;
mod diff;
mod level;
mod reading;
mod text;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use self::change::{Break, By, Change, ChangeKind, Class, Direction};
pub use self::level::{Comparison, Earlier, Level, UnknownLevel, Verdict, check};

use super::schema::Schema;

/// What changes from `old` to `new`, in the order of the new schema's text; fields and branches that are gone stand
/// behind the ones that are there.
pub fn diff(old: &Schema, new: &Schema) -> Vec<Change> {
    attach::changes(old, new)
}
