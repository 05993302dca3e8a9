//! `driftgate audit`: whether every record has exactly one outcome, and how much of that can be proved. Input: a pipeline's
//! topics and its group's committed offsets, read from beside. Output: a [`Report`]. `collect` reads, `judge` is pure.
//!
//! It believes nobody: the ledger's counts must equal what is found in the topics, and with `provenance: header` each output
//! is paired with its record.

mod chain;
mod collect;
mod expired;
mod found;
mod judge;
mod report;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use self::collect::Collected;
use self::judge::Terms;
pub use self::report::{CountLine, Finding, Kind, Line, Report, Standing};
pub use self::verify::unverifiable;
use crate::config::model::{Delivery, Kafka, Pipeline, Provenance};
use crate::contract::cache::SchemaCache;
use crate::error::FatalError;
use crate::pipeline::Compiled;

/// Where a range begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// An offset of each partition.
    Offset(i64),
    /// The first record that is at least this old: milliseconds since the epoch.
    Time(i64),
}

/// What is audited.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// One source topic alone.
    pub topic: Option<String>,
    /// One partition of it alone.
    pub partition: Option<i32>,
    /// From here on.
    pub from: Option<Bound>,
    /// Up to, and without.
    pub to: Option<Bound>,
    /// Sinks that others write to as well.
    pub shared_sinks: Vec<String>,
    /// How many offsets are listed of each finding.
    pub examples: usize,
    /// How long an open transaction is waited for; by the pipeline's own transactions if nothing is said.
    pub wait: Option<Duration>,
}

impl Scope {
    /// Whether it is less than all of the pipeline.
    fn is_part(&self) -> bool {
        self.topic.is_some() || self.partition.is_some() || self.from.is_some() || self.to.is_some()
    }
}

/// A pipeline that records can be run through once more.
#[derive(Clone)]
pub struct Verifier {
    /// As `run` compiles it.
    pub compiled: Arc<Compiled>,
    /// Writer schemas.
    pub schemas: Arc<SchemaCache>,
    /// Where schemas are fetched.
    pub runtime: tokio::runtime::Handle,
}

/// Is told how many offsets there are to read, and how many more have been.
pub trait Progress {
    /// There are so many.
    fn total(&mut self, offsets: u64);
    /// So many more are behind.
    fn advance(&mut self, offsets: u64);
}

/// Audits a pipeline. Reads up to what is committed as it begins; instances may run meanwhile. `others` are the pipelines of
/// the same configuration, which may write to the same sinks. Blocks.
pub fn audit(
    kafka: &Kafka,
    pipeline: &Pipeline,
    others: &[Pipeline],
    scope: &Scope,
    verifier: Option<&Verifier>,
    progress: &mut dyn Progress,
) -> Result<Report, FatalError> {
    let Collected {
        families,
        seen,
        notes,
        foreign,
        gaps,
    } = collect::collect(kafka, pipeline, others, scope, verifier, progress)?;
    let mut report = Report {
        pipeline: pipeline.name.clone(),
        delivery: match exactly_once(pipeline) {
            false => "at_least_once",
            true => "exactly_once",
        },
        provenance: match pipeline.provenance {
            Provenance::None => "none",
            Provenance::Ledger => "ledger",
            Provenance::Header => "header",
        },
        ..Report::default()
    };
    let terms = Terms {
        exactly_once: exactly_once(pipeline),
        header: pipeline.provenance == Provenance::Header,
        ledger: pipeline.provenance != Provenance::None,
        examples: scope.examples,
        gaps,
    };
    judge::judge(&families, &seen, terms, &mut report);
    report.notes.extend(notes);
    for ((topic, partition), offsets) in foreign {
        let text = "no dead letter of ours (its headers name no group and no place in a source): nobody's outcome";
        let place = (topic.as_str(), partition);
        let found = Finding::of(Kind::Foreign, place, &offsets, scope.examples, text);
        report.foreign.extend(found);
    }
    let is_source = |line: &&Line| pipeline.source_topics.contains(&line.topic);
    let mut sources = report.partitions.iter().filter(is_source);
    if scope.is_part() && sources.all(|line| line.records == 0) {
        let note = "anything: no record of the source that is committed lies in this part";
        report.notes.push(note.to_owned());
    }
    Ok(report)
}

fn exactly_once(pipeline: &Pipeline) -> bool {
    match pipeline.delivery {
        Delivery::AtLeastOnce => false,
        Delivery::ExactlyOnce(_) => true,
    }
}
