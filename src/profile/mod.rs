//! What the fields of a topic look like: how many are null, which values and formats they have, how late they are. Input:
//! values of a contract, with the time of their records. Output: a [`Window`] of the last records, a [`Pool`] of many
//! windows, a baseline made of one, and what differs between a window and a baseline. Pure: time is an argument.
//!
//! There are two layers. On the record path, [`Profiler`] fills a [`Window`] of fixed size: counters, and a sample of hashes
//! and numbers. It allocates nothing, and keeps no value of a field that is tagged as personal. Beside it, a [`Pool`] brings
//! many windows together in sketches of bounded size.
//!
//! A window is of so many records ([`WINDOW`]) and moves on by a quarter of them ([`PART`]), or of a time: so what changes is
//! a whole window's content after [`WINDOW`] records, wherever it begins.

mod build;
mod compare;
mod glance;
mod labels;
mod layout;
mod measure;
mod pool;
mod sampling;
mod shape;
mod slide;
mod verdict;
mod volume;
mod window;

#[cfg(test)]
mod tests;

pub use self::build::{Builder, TooFew};
pub use self::compare::{Compared, Drifted, LEAST_VALUES, Test, compare};
pub use self::glance::{Glance, glance};
pub use self::layout::{Content, Layout, Leaf};
pub use self::pool::{Pool, PooledField};
pub use self::sampling::{EXACT_PER_SECOND, Sampler};
pub use self::slide::{Profiler, Sliding};
pub use self::verdict::{Change, Verdict, Verdicts};
pub use self::volume::Volume;
pub use self::window::{FieldWindow, Window};

/// Records of a window.
pub const WINDOW: usize = 2_000;
/// Records by which a window moves on.
pub const PART: usize = WINDOW / PARTS;
/// Parts of a window.
pub const PARTS: usize = 4;
/// Records of a part whose values are looked at closely.
pub const SAMPLE: usize = 128;

/// A short mark of some text, the same on every machine.
#[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
pub fn mark(text: &[u8]) -> u32 {
    measure::hash(text) as u32
}
