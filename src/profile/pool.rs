//! Many windows together, in bounded memory: how many values are different in all, which a window's sample cannot tell.

use datasketches::hll::{HllSketch, HllType};

use super::layout::Layout;
use super::window::Window;

/// 2^11 registers: a standard error of 2.3 %.
const REGISTERS: u8 = 11;

/// What many windows come to.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Records that were counted.
    pub records: u64,
    /// Time of the first one, in milliseconds since the epoch.
    pub first: Option<i64>,
    /// Time of the last one.
    pub last: Option<i64>,
    /// The fields, in the order of the layout.
    pub fields: Vec<PooledField>,
}

/// A field of many windows.
#[derive(Debug, Clone)]
pub struct PooledField {
    /// Records that have the field.
    pub count: u64,
    /// Nulls among them.
    pub nulls: u64,
    /// Values that are the contract's default.
    pub defaults: u64,
    /// The symbols of a choice.
    pub choices: Vec<u64>,
    sum: f64,
    distinct: HllSketch,
}

impl Pool {
    /// An empty one.
    pub fn new(layout: &Layout) -> Pool {
        let empty = PooledField {
            count: 0,
            nulls: 0,
            defaults: 0,
            choices: Vec::new(),
            sum: 0.0,
            distinct: HllSketch::new(REGISTERS, HllType::Hll8).expect("registers in its range"),
        };
        Pool {
            records: 0,
            first: None,
            last: None,
            fields: vec![empty; layout.leaves.len()],
        }
    }

    /// Adds the records of a window.
    pub fn add(&mut self, window: &Window) {
        self.records += window.records;
        self.first = [self.first, window.first].into_iter().flatten().min();
        self.last = self.last.max(window.last);
        for (own, other) in self.fields.iter_mut().zip(&window.fields) {
            own.count += other.count;
            own.nulls += other.nulls;
            own.defaults += other.defaults;
            own.choices.resize(other.choices.len(), 0);
            for (own, other) in own.choices.iter_mut().zip(&other.choices) {
                *own += other;
            }
            own.sum += other.sum;
            other
                .hashes
                .iter()
                .for_each(|hash| own.distinct.update(hash));
        }
    }
}

impl PooledField {
    /// Values that are there.
    pub fn present(&self) -> u64 {
        self.count - self.nulls
    }

    /// The mean of all numbers.
    pub fn mean(&self) -> f64 {
        self.sum / self.present().max(1) as f64
    }

    /// About how many different values were looked at.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of a count: not negative, and far below 2^64"
    )]
    pub fn distinct(&self) -> u64 {
        self.distinct.estimate().round() as u64
    }
}
