//! One record through a pipeline as a worker would run it, without a broker: nothing is written and nobody is told.
//! Input: a compiled pipeline and a record. Output: its [`Fate`]. `explain` tells it in words, `test` holds it against
//! what is expected.

mod diff;
mod evaluate;
mod given;
mod judge;
mod plain;
mod run;
mod setup;

use std::sync::Arc;

pub use self::diff::{Difference, Value as Shown};
pub use self::evaluate::{Answer, Around, Event, NoAnswer, evaluate, steps};
pub use self::given::{GivenRecord, record};
pub use self::judge::{Judgement, faults, judge, unfinished};
pub use self::run::{Ran, run};
pub use self::setup::{Setup, Writer, prepare, subject_file};
use crate::config::cases::Outcome;
use crate::config::model::Pipeline;
use crate::contract::cache::SchemaCache;
use crate::contract::schema::Schema;
use crate::error::RecordError;
use crate::failure::classify::{self, Next};
use crate::failure::envelope::{Envelope, Origin};
use crate::lookup::Lookups;
use crate::pipeline::{
    Added, Compiled, ForeignField, Gate, Output, Part, Stages, Verdict, Work, policy,
};
use crate::record::Record;

/// A pipeline that records are tried on. Each trial is the first of its pipeline: no plan and no verdict of an earlier
/// one is kept.
#[derive(Clone)]
pub struct Trial {
    compiled: Arc<Compiled>,
    lookups: Arc<Lookups>,
    schemas: Arc<SchemaCache>,
}

/// What becomes of a record.
#[derive(Debug)]
pub enum Fate {
    /// To the sinks; at least one.
    Emitted(Vec<Emitted>),
    /// A filter said no.
    Filtered,
    /// It waits for this lookup, which was not to be asked.
    Waits(usize),
    /// It failed.
    Failed(Box<Failed>),
}

impl Fate {
    /// Its word; none for what waits for a lookup.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Fate::Emitted(_) => Some(Outcome::Emitted),
            Fate::Filtered => Some(Outcome::Filtered),
            Fate::Waits(_) => None,
            Fate::Failed(failed) => Some(match failed.next {
                Next::DeadLetter => Outcome::DeadLettered,
                Next::Tier(_) => Outcome::Retried,
                Next::Pause => Outcome::Paused,
            }),
        }
    }
}

/// What a trial came to.
#[derive(Debug)]
pub struct Tried {
    /// The record's fate.
    pub fate: Fate,
    /// The fields that it sets and its source does not own.
    pub foreign: Vec<ForeignField>,
}

/// A header with bytes of its own.
pub type OwnHeader = (String, Option<Vec<u8>>);

/// A record as it would be written.
#[derive(Debug, Clone)]
pub struct Written {
    /// To this topic.
    pub topic: String,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<OwnHeader>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
}

/// A record as it would be written to the sink.
#[derive(Debug, Clone)]
pub struct Emitted {
    /// All of it but the value.
    pub written: Written,
    /// The value with its frame; none for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The value's schema.
    pub schema: Arc<Schema>,
    /// Its id in the registry; 0 where nobody knows it.
    pub schema_id: u32,
}

/// A record that failed.
#[derive(Debug, Clone)]
pub struct Failed {
    /// Why.
    pub error: RecordError,
    /// Where it goes.
    pub next: Next,
    /// As it would be written there; none for what waits.
    pub written: Option<Written>,
}

impl Trial {
    /// Over a compiled pipeline.
    pub fn new(compiled: Arc<Compiled>, lookups: Arc<Lookups>, schemas: Arc<SchemaCache>) -> Trial {
        Trial {
            compiled,
            lookups,
            schemas,
        }
    }

    /// The pipeline.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// What becomes of a record of a source topic, or of one of its retry or dead-letter topics, whose own headers
    /// `record` has. Lookups are asked only if `ask` says so.
    pub fn run(&self, source: &str, record: &Record<'_>, origin: &Origin, ask: bool) -> Tried {
        if origin.control.is_some() {
            // It stands for a dead letter in front of those that wait for it, and comes to nothing.
            return Tried {
                fate: Fate::Filtered,
                foreign: Vec::new(),
            };
        }
        let contract = &self.compiled.config.contract;
        let gate = Gate::new(contract.drift, contract.schema.subject(), |_| {});
        let mut stages = Stages::new(
            Arc::clone(&self.compiled),
            Arc::clone(&self.schemas),
            Arc::clone(&self.lookups),
            Arc::new(gate),
        );
        // Steps see the record's place and time at its source, as a worker shows them.
        let shown = Record {
            topic: &origin.topic,
            partition: origin.partition,
            offset: origin.offset,
            timestamp: origin.timestamp,
            ..record.clone()
        };
        let verdict = stages.process(source, &shown, None);
        let mut work = [Work { tag: (), verdict }];
        if ask {
            stages.look_up(&mut work, &mut |(), again| again(source, &shown, None));
        }
        let [Work { verdict, .. }] = work;
        Tried {
            fate: self.fate(source, record, origin, verdict),
            foreign: stages.foreign(),
        }
    }

    fn fate(&self, source: &str, record: &Record<'_>, origin: &Origin, verdict: Verdict) -> Fate {
        let outputs = match verdict {
            Verdict::Emit(output) => vec![(output, None)],
            Verdict::EmitAll(outputs) => {
                let count = outputs.len();
                let parts = (0..count).map(|index| Some(Part { index, count }));
                outputs.into_iter().zip(parts).collect()
            }
            Verdict::Filtered => return Fate::Filtered,
            Verdict::LookUp(questions) => {
                return Fate::Waits(questions.first().map_or(0, |first| first.lookup));
            }
            Verdict::Failed(error) => return self.failed(source, record, origin, error),
        };
        if let Some(error) = outputs.iter().find_map(|(output, _)| output.fault()) {
            return self.failed(source, record, origin, error);
        }
        let outputs = outputs.into_iter();
        let emitted = outputs.map(|(output, part)| self.emitted(record, origin, output, part));
        Fate::Emitted(emitted.collect())
    }

    fn emitted(
        &self,
        record: &Record<'_>,
        origin: &Origin,
        output: Output,
        part: Option<Part>,
    ) -> Emitted {
        let provenance = self.compiled.config.provenance;
        let added = Added::new(provenance, || origin.position(), part);
        let added = added.foreign(output.foreign.as_deref());
        let sink = &self.compiled.sinks[output.sink];
        Emitted {
            written: Written {
                topic: sink.topic.clone(),
                key: output.key(record.key).map(<[u8]>::to_vec),
                headers: own(&output.merged(&record.headers, &added)),
                timestamp: output.timestamp.or(origin.timestamp),
            },
            schema_id: sink.id,
            schema: Arc::clone(&sink.schema),
            value: output.value,
        }
    }

    fn failed(
        &self,
        source: &str,
        record: &Record<'_>,
        origin: &Origin,
        error: RecordError,
    ) -> Fate {
        let pipeline = &self.compiled.config;
        let failure = &pipeline.failure;
        // How old it is cannot be told without a clock of the run's own: as if it had failed just now.
        let now = origin.first_failed_at.unwrap_or(0);
        let failed = classify::Failed {
            before: origin.attempt,
            first_at: now,
            now,
            retry_after: error.retry_after,
        };
        let policy = policy(failure, error.reason);
        let next = classify::next(policy, &failure.tiers, failure.budget, failed);
        let written = place(pipeline, source, next).map(|(topic, due_at)| {
            let stamp = &self.compiled.stamp;
            let headers = &record.headers;
            let envelope = Envelope::new(stamp, origin, &error, headers, now, due_at);
            Written {
                topic,
                key: record.key.map(<[u8]>::to_vec),
                headers: own(&envelope.headers()),
                timestamp: origin.timestamp,
            }
        });
        Fate::Failed(Box::new(Failed {
            error,
            next,
            written,
        }))
    }
}

/// Topic and, of a retry, when it is due after 0.
fn place(pipeline: &Pipeline, source: &str, next: Next) -> Option<(String, Option<i64>)> {
    match next {
        Next::DeadLetter => Some((pipeline.dead_letter_topic(source), None)),
        Next::Tier(tier) => {
            let delay = pipeline
                .failure
                .tiers
                .get(tier)
                .copied()
                .unwrap_or_default();
            let due = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
            Some((pipeline.retry_topic(source, tier + 1), Some(due)))
        }
        Next::Pause => None,
    }
}

fn own<N: AsRef<str>>(headers: &[(N, Option<&[u8]>)]) -> Vec<OwnHeader> {
    let own =
        |(name, value): &(N, Option<&[u8]>)| (name.as_ref().to_owned(), value.map(<[u8]>::to_vec));
    headers.iter().map(own).collect()
}
