//! What a comparison with a baseline says, for a person and for a program.

use std::fmt::Write as _;

use serde::Serialize;

use crate::profile::Drifted;
use crate::words::{counted, grouped};

/// A range against a baseline.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Diff {
    /// The subject of the contract.
    pub subject: String,
    /// Topics and writer schemas that were read.
    pub groups: Vec<Group>,
    /// What drifted.
    pub findings: Vec<Finding>,
    /// What else is to be said.
    pub notes: Vec<String>,
}

/// A topic and a writer schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The topic.
    pub topic: String,
    /// Id of the writer schema.
    pub schema_id: u32,
    /// Records that pass the contract.
    pub records: u64,
    /// Windows of them.
    pub windows: u64,
}

/// Something that drifted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Finding {
    /// The topic; empty for all that were read.
    pub topic: String,
    /// Id of the writer schema.
    pub schema_id: Option<u32>,
    /// The field; empty for the topic as a whole.
    pub field: String,
    /// What was tested, as in docs/drift.md.
    pub test: &'static str,
    /// What the baseline says: `warn` is a finding, `allow` is none.
    pub then: &'static str,
    /// Windows in which it was so.
    pub windows: u64,
    /// Of how many.
    pub of_windows: u64,
    /// What was found in the worst of them.
    pub found: f64,
    /// What it may be.
    pub limit: f64,
    /// In words.
    pub what: String,
    /// When the first of those windows began, by its records.
    pub first: Option<String>,
}

impl Finding {
    pub(super) fn of(drifted: &Drifted, first: Option<i64>) -> Finding {
        let round = |number: f64| (number * 1e6).round() / 1e6;
        let time = first.and_then(|first| jiff::Timestamp::from_millisecond(first).ok());
        Finding {
            field: drifted.path.clone(),
            test: drifted.test.as_str(),
            then: drifted.then.as_str(),
            found: round(drifted.found),
            limit: round(drifted.limit),
            what: drifted.what.clone(),
            first: time.map(|time| time.to_string()),
            ..Finding::default()
        }
    }
}

impl Diff {
    /// For a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _infallible = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        for group in &self.groups {
            writeln!(
                out,
                "{}, schema {}: {} records in {}",
                group.topic,
                group.schema_id,
                grouped(group.records),
                counted(group.windows, "window")
            )?;
        }
        if self.findings.is_empty() && !self.groups.is_empty() {
            writeln!(out, "nothing drifted from the baseline of {}", self.subject)?;
        }
        let rows: Vec<[String; 5]> = self.findings.iter().map(Finding::row).collect();
        if !rows.is_empty() {
            let head = ["FIELD", "TEST", "THEN", "WINDOWS", "WHAT"].map(str::to_owned);
            let width = |column: usize| {
                let cells = rows
                    .iter()
                    .chain([&head])
                    .map(|row| row[column].chars().count());
                cells.max().unwrap_or_default()
            };
            let widths: Vec<usize> = (0..4).map(width).collect();
            writeln!(out)?;
            for row in [&head].into_iter().chain(&rows) {
                for (cell, width) in row.iter().zip(&widths) {
                    write!(out, "{cell:<width$}  ")?;
                }
                writeln!(out, "{}", row[4])?;
            }
        }
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        Ok(())
    }
}

impl Finding {
    fn row(&self) -> [String; 5] {
        let field = match self.field.as_str() {
            "" => "(records)".to_owned(),
            field => field.to_owned(),
        };
        let windows = match self.of_windows {
            0 => "-".to_owned(),
            of => format!("{} of {of}", self.windows),
        };
        let since = self.first.as_ref();
        let since = since.map_or_else(String::new, |first| format!(" (from {first})"));
        [
            field,
            self.test.to_owned(),
            self.then.to_owned(),
            windows,
            format!("{}{since}", self.what),
        ]
    }
}
