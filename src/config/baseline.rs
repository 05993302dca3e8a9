//! `<subject>.baseline.yaml` ↔ [`Baseline`]: what the data of a contract looked like when people reviewed it. Read in the
//! same manner as the configuration, but that nothing is interpolated: what stands there is data. Written so that two
//! versions of a file differ where the data does.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use self::read::load_source;
pub use self::read::{Placed, load, load_placed, load_text};
use super::model::DriftAction;
use super::units::{format_ratio, parse_ratio};

/// What the data of a contract looks like.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Baseline {
    /// The contract's subject.
    pub subject: String,
    /// Records that it was made of.
    pub records: u64,
    /// Windows of them.
    pub windows: u64,
    /// What becomes of a drift of a field that does not say it itself.
    pub then: DriftAction,
    /// Time of the first record, RFC 3339.
    pub from: Option<String>,
    /// Time of the last record.
    pub until: Option<String>,
    /// Records a minute, of the slowest and of the fastest window.
    pub per_minute: Option<(f64, f64)>,
    /// The fields, in the order of the schema.
    pub fields: Vec<Field>,
}

/// What a field looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its path.
    pub path: String,
    /// What becomes of a drift of it.
    pub then: DriftAction,
    /// Nulls.
    pub nulls: Share,
    /// Values that are the contract's default.
    pub defaults: Share,
    /// How many different values there are.
    pub distinct: Option<Distinct>,
    /// Its values, where there are few.
    pub values: Option<Shares>,
    /// Formats of its texts.
    pub formats: Option<Shares>,
    /// How large the first two numbers of two digits in its texts are.
    pub day_month: Option<Shares>,
    /// Its numbers.
    pub numbers: Option<Numbers>,
}

/// A part of the records.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Share {
    /// Of all.
    pub all: f64,
    /// The most of any window.
    pub most: f64,
}

/// How many values are different.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distinct {
    /// In all, estimated.
    pub all: u64,
    /// The least part of a window's values that were different from each other.
    pub least: f64,
}

/// Parts of the values, by what they are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shares {
    /// The largest population stability index of any window against all.
    pub spread: f64,
    /// The parts, by name; what is missing to 1 is all others.
    pub of: Vec<(String, f64)>,
}

/// What the numbers of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The values themselves.
    Value,
    /// Seconds from the value to its record's time.
    Age,
    /// Characters of a text.
    Length,
    /// Bytes, elements or entries.
    Size,
}

/// How numbers lie.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// What they are.
    pub of: Measure,
    /// The mean of all values, where they are values.
    pub mean: Option<f64>,
    /// The largest shift of a decile of any window, as a part of the values.
    pub spread: f64,
    /// From the least to the greatest in ten steps.
    pub deciles: Vec<f64>,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 4] = [Measure::Value, Measure::Age, Measure::Length, Measure::Size];

    /// Its key in the file.
    pub const fn key(self) -> &'static str {
        match self {
            Measure::Value => "value",
            Measure::Age => "age_seconds",
            Measure::Length => "length",
            Measure::Size => "size",
        }
    }
}

impl Baseline {
    /// Takes what becomes of drifts from an earlier one.
    pub fn decide_as(&mut self, before: &Baseline) {
        self.then = before.then;
        for field in &mut self.fields {
            let known = before.field(&field.path);
            field.then = known.map_or(before.then, |known| known.then);
        }
    }

    /// The field of that path.
    pub fn field(&self, path: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.path == path)
    }
}

/// A share as the file has it: rounded to what is written.
pub fn share(part: f64) -> f64 {
    let percent = (part.clamp(0.0, 1.0) * 1e5).round() / 1e3;
    parse_ratio(&format_ratio(percent / 100.0)).expect("a percentage")
}

/// A number as the file has it: six digits.
pub fn rounded(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return 0.0;
    }
    format!("{number:.5e}").parse().expect("a number")
}
