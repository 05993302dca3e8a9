//! What a comparison says, for a person and for a program.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Options, Position};
use crate::words::counted;

/// One topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its name.
    pub topic: String,
    /// Records read.
    pub records: u64,
    /// Different keys.
    pub keys: u64,
    /// Keys with more than one record.
    pub repeated_keys: u64,
    /// Records beyond the first of their key.
    pub repeats: u64,
    /// Records without a value.
    pub tombstones: u64,
    /// Records that are not told apart, since they lack the key.
    pub without_key: u64,
    /// Records that are no Avro of a schema that the registry has: compared byte for byte.
    pub undecoded: u64,
}

/// How many keys differ in a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldCount {
    /// Field of the value.
    pub field: String,
    /// Keys.
    pub keys: u64,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its path; empty for the whole value.
    pub path: String,
    /// In the first topic.
    pub a: String,
    /// In the second.
    pub b: String,
}

/// A key that is missing, extra or differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Its last record in the first topic: `topic-partition@offset`.
    pub a: Option<String>,
    /// In the second.
    pub b: Option<String>,
    /// The key, if values are shown.
    pub key: Option<String>,
    /// What differs.
    pub differences: Vec<Difference>,
}

impl Example {
    pub(super) fn one(topic: &str, at: Position) -> Example {
        let place = format!("{topic}-{}@{}", at.partition, at.offset);
        let (a, b) = match at.first {
            true => (Some(place), None),
            false => (None, Some(place)),
        };
        Example {
            a,
            b,
            key: None,
            differences: Vec::new(),
        }
    }
}

/// The comparison of two topics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The first topic.
    pub a: Side,
    /// The second.
    pub b: Side,
    /// Keys whose last values are the same.
    pub same: u64,
    /// Keys that the second topic lacks.
    pub missing: u64,
    /// Keys that the first topic lacks.
    pub extra: u64,
    /// Keys whose last values differ.
    pub differing: u64,
    /// Keys that have no value in either.
    pub absent: u64,
    /// Fields that differ, the most frequent first.
    pub fields: Vec<FieldCount>,
    /// Some of the missing keys.
    pub missing_examples: Vec<Example>,
    /// Some of the extra keys.
    pub extra_examples: Vec<Example>,
    /// Some of the keys that differ.
    pub differing_examples: Vec<Example>,
    /// What was left out.
    pub notes: Vec<String>,
    /// Fields to be left out that no record had: perhaps misspelt.
    pub ignored_unseen: Vec<String>,
}

impl Comparison {
    pub(super) fn new(options: &Options) -> Comparison {
        let side = |topic: &String| Side {
            topic: topic.clone(),
            ..Side::default()
        };
        Comparison {
            a: side(&options.a),
            b: side(&options.b),
            ..Comparison::default()
        }
    }

    pub(super) fn side(&mut self, first: bool) -> &mut Side {
        match first {
            true => &mut self.a,
            false => &mut self.b,
        }
    }

    /// Whether every key has the same value in both. Records that lack the key are not compared, so none may.
    pub fn is_same(&self) -> bool {
        self.missing + self.extra + self.differing == 0
            && self.a.without_key == self.b.without_key
            && self.notes.is_empty()
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out)
            .expect("writing to a text does not fail");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let width = self.a.topic.len().max(self.b.topic.len()).max(12);
        let (a, b) = (&self.a, &self.b);
        writeln!(out, "{:15} {:>width$}  {:>width$}", "", a.topic, b.topic)?;
        for (name, a, b) in [
            ("records", a.records, b.records),
            ("keys", a.keys, b.keys),
            ("repeated keys", a.repeated_keys, b.repeated_keys),
            ("repeats", a.repeats, b.repeats),
            ("tombstones", a.tombstones, b.tombstones),
            ("without key", a.without_key, b.without_key),
            ("not decoded", a.undecoded, b.undecoded),
        ] {
            writeln!(out, "{name:15} {a:>width$}  {b:>width$}")?;
        }
        writeln!(
            out,
            "\nsame {}, missing in {} {}, extra in {} {}, differing {}",
            self.same, self.b.topic, self.missing, self.b.topic, self.extra, self.differing
        )?;
        for field in &self.fields {
            writeln!(out, "  {}: {}", field.field, counted(field.keys, "key"))?;
        }
        for (name, examples) in [
            ("missing", &self.missing_examples),
            ("extra", &self.extra_examples),
            ("differing", &self.differing_examples),
        ] {
            for (number, example) in examples.iter().enumerate() {
                // A line each, unless more is to be said of them.
                if number == 0 || !example.differences.is_empty() {
                    writeln!(out)?;
                }
                let places: Vec<_> = [&example.a, &example.b]
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect();
                write!(out, "{name}: {}", places.join(" against "))?;
                if let Some(key) = &example.key {
                    write!(out, ", key {key}")?;
                }
                writeln!(out)?;
                for difference in &example.differences {
                    let path = match difference.path.is_empty() {
                        true => "(value)",
                        false => &difference.path,
                    };
                    writeln!(out, "  {path}: {} against {}", difference.a, difference.b)?;
                }
            }
        }
        for note in &self.notes {
            writeln!(out, "\nnot compared: {note}")?;
        }
        for field in &self.ignored_unseen {
            writeln!(
                out,
                "\nno record has the field {field}, which --ignore names"
            )?;
        }
        Ok(())
    }
}
