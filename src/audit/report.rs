//! What an audit says: what was looked at, what is wrong, what could not be proved. For a person and for a program.

use std::fmt::Write as _;

use serde::Serialize;

use super::found::Offsets;
use crate::words::counted;

/// The audit of one pipeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Its name.
    pub pipeline: String,
    /// Its `delivery`.
    pub delivery: &'static str,
    /// Its `provenance`.
    pub provenance: &'static str,
    /// Source and retry partitions.
    pub partitions: Vec<Line>,
    /// The counts of outcomes against what is found in topics.
    pub counts: Vec<CountLine>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is there more than once, where that is allowed.
    pub duplicates: Vec<Finding>,
    /// Records in dead-letter topics that carry nobody's headers: told, and not wrong, since they are nobody's outcome.
    pub foreign: Vec<Finding>,
    /// What could not be proved, and why.
    pub notes: Vec<String>,
    /// Records that are wrong, as far as they can be counted.
    pub unaccounted: u64,
    /// Records of which nothing is proved, as far as they can be counted: no outcome is found, and it may have been deleted or be
    /// held back; or there is a count alone, which cannot be compared.
    pub unproved: u64,
}

/// One partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Line {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// The first offset that was looked at.
    pub from: i64,
    /// The committed offset, or where the range ends before it.
    pub to: i64,
    /// Records that a committed reader is shown there.
    pub records: u64,
    /// Outcomes that the commit counts, since the group began.
    pub counted: u64,
    /// Entries of the ledger that lead to the commit.
    pub entries: usize,
    /// Records that wait in it behind the committed offset.
    pub waiting: u64,
}

/// How a count stands against what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As many.
    Equal,
    /// More are found: duplicates of a crash, or what is in flight.
    More,
    /// Not more than what has been counted meanwhile.
    InFlight,
    /// They differ as they must not.
    Wrong,
    /// They say nothing about each other.
    NotComparable,
}

/// One outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CountLine {
    /// The outcome.
    pub outcome: &'static str,
    /// The topics that were counted.
    pub topics: Vec<String>,
    /// By the commits.
    pub counted: u64,
    /// In the topics.
    pub found: u64,
    /// How they stand.
    pub standing: Standing,
    /// Why they cannot be compared.
    pub why: Option<String>,
}

/// What sort of thing a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A record without an outcome.
    Lost,
    /// A record with more than one.
    TwoOutcomes,
    /// A record of which some outputs are missing.
    Incomplete,
    /// An output or dead letter of a record that does not exist.
    Stray,
    /// An output that is not what its record comes to, or another record's.
    Altered,
    /// The ledger lacks a stretch.
    LedgerHole,
    /// The ledger contradicts itself or the commit.
    LedgerDiffers,
    /// The ledger names something that it cannot know, or that the pipeline does not do.
    LedgerClaims,
    /// A count and what is found differ.
    Count,
    /// An offset was committed by something else.
    ForeignCommit,
    /// A record in a retry or dead-letter topic that no instance wrote.
    Foreign,
}

impl Kind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Lost => "lost",
            Kind::TwoOutcomes => "two_outcomes",
            Kind::Incomplete => "incomplete",
            Kind::Stray => "stray",
            Kind::Altered => "altered",
            Kind::LedgerHole => "ledger_hole",
            Kind::LedgerDiffers => "ledger_differs",
            Kind::LedgerClaims => "ledger_claims",
            Kind::Count => "count",
            Kind::ForeignCommit => "foreign_commit",
            Kind::Foreign => "foreign",
        }
    }
}

/// Something that is wrong, or there more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its sort.
    pub kind: Kind,
    /// Topic.
    pub topic: String,
    /// Partition, if it is about one.
    pub partition: Option<i32>,
    /// What is wrong.
    pub text: String,
    /// How many records.
    pub count: u64,
    /// The first of their offsets.
    pub offsets: Vec<i64>,
}

impl Finding {
    /// About offsets of a partition; none for none.
    pub(super) fn of(
        kind: Kind,
        (topic, partition): (&str, i32),
        offsets: &Offsets,
        most: usize,
        text: &str,
    ) -> Option<Finding> {
        (!offsets.is_empty()).then(|| Finding {
            kind,
            topic: topic.to_owned(),
            partition: Some(partition),
            text: text.to_owned(),
            count: offsets.len(),
            offsets: offsets.first(most),
        })
    }

    /// `topic-partition`, or the topic.
    pub fn place(&self) -> String {
        match self.partition {
            Some(partition) => format!("{}-{partition}", self.topic),
            None => self.topic.clone(),
        }
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.findings.is_empty()
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out)
            .expect("writing to a text does not fail");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "pipeline {} ({}, provenance: {})\n",
            self.pipeline, self.delivery, self.provenance
        )?;
        let width = self
            .partitions
            .iter()
            .map(|line| line.topic.len() + 1 + line.partition.to_string().len())
            .max()
            .unwrap_or(0)
            .max("partition".len());
        writeln!(
            out,
            "{:width$}  {:>12}  {:>12}  {:>12}  {:>12}  {:>8}  {:>8}",
            "partition", "from", "to", "records", "counted", "entries", "waiting"
        )?;
        for line in &self.partitions {
            let place = format!("{}-{}", line.topic, line.partition);
            writeln!(
                out,
                "{place:width$}  {:>12}  {:>12}  {:>12}  {:>12}  {:>8}  {:>8}",
                line.from, line.to, line.records, line.counted, line.entries, line.waiting
            )?;
        }
        writeln!(out)?;
        for line in &self.counts {
            let how = match line.standing {
                Standing::Equal => "equal".to_owned(),
                Standing::More => format!(
                    "{} more: written again, or not committed yet",
                    line.found.saturating_sub(line.counted)
                ),
                Standing::InFlight => "equal, but for what has been committed meanwhile".to_owned(),
                Standing::Wrong => "WRONG".to_owned(),
                Standing::NotComparable => {
                    let why = line.why.as_deref().unwrap_or_default();
                    format!("not comparable: {why}")
                }
            };
            writeln!(
                out,
                "{:<13} counted {:>10}, found {:>10} in {}: {how}",
                line.outcome,
                line.counted,
                line.found,
                line.topics.join(", "),
            )?;
        }
        for note in &self.notes {
            writeln!(out, "\nnot proved: {note}")?;
        }
        for (what, findings) in [
            ("foreign", &self.foreign),
            ("again", &self.duplicates),
            ("WRONG", &self.findings),
        ] {
            for finding in findings {
                write!(
                    out,
                    "\n{what}: {} {}: {} ({})",
                    finding.kind.as_str(),
                    finding.place(),
                    finding.text,
                    finding.count
                )?;
                if !finding.offsets.is_empty() {
                    let offsets: Vec<_> = finding.offsets.iter().map(i64::to_string).collect();
                    write!(out, "\n  offsets {}", offsets.join(" "))?;
                    let more = finding.count.saturating_sub(finding.offsets.len() as u64);
                    if more > 0 {
                        write!(out, " and {more} more")?;
                    }
                }
                writeln!(out)?;
            }
        }
        let verdict = match self.is_right() {
            true => "nothing is wrong".to_owned(),
            false => format!(
                "{}, {} unaccounted for",
                counted(self.findings.len(), "finding"),
                counted(self.unaccounted, "record")
            ),
        };
        let unproved = match self.unproved {
            0 => String::new(),
            count => format!("; {} not proved", counted(count, "record")),
        };
        writeln!(out, "\n{verdict}{unproved}")
    }
}
