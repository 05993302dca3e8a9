//! Tables and JSON lines → Avro records on a topic. Input: a file of rows and a schema. Output: framed records, each
//! acknowledged or accounted for, and the rows that are none. Knows nothing of pipelines, contracts or rules.
//!
//! The way of a row: [`input`] (bytes, gzip or not) → [`rows`] (CSV or JSON lines against the schema) → [`extract`]
//! (key and timestamp) → [`send`] (frame, pace, acknowledge), or [`rejects`].

pub mod extract;
pub mod input;
pub mod rejects;
pub mod rows;
pub mod run;
pub mod send;
pub mod source;

use std::fmt;

/// How the rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A table with a header line.
    Csv {
        /// Between two cells.
        delimiter: u8,
        /// What stands for null in a column that can be null. Empty: only the empty cell does.
        nulls: Vec<String>,
    },
    /// One JSON object a line.
    JsonLines,
}

/// A row that is no record of the schema. Names places and types, never what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Line, from 1, on which the row begins.
    pub line: u64,
    /// Column, or field path; empty when the whole row is meant.
    pub path: String,
    /// What was expected.
    pub message: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.line)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Why nothing, or nothing more, was produced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// What was asked for cannot be: the columns, the schema, the topic. A line each.
    #[error("{}", .0.join("\n"))]
    Asked(Vec<String>),
    /// The file, the broker or the registry could not be read, reached or written.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    /// One thing that cannot be.
    pub fn asked(message: impl Into<String>) -> Failure {
        Failure::Asked(vec![message.into()])
    }
}
