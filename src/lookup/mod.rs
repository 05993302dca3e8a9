//! Asks lookups: the questions of a batch in, their answers out, in the order of the batch. What a pipeline's workers
//! share stands here: caches, rate limits, the state of each server, tables kept from topics. Knows nothing of events:
//! a question is a URL or a key, an answer is Avro bytes of the lookup's type.
//!
//! | what happens | what the record gets |
//! |---|---|
//! | the server fails, throttles, or has failed so often that nobody asks it now | `lookup_unavailable` |
//! | the limit, or the batch's patience, has no room for the request | `lookup_unavailable` |
//! | the server answers what no record can cause; the table has a record that cannot be read | `lookup_misconfigured` |
//! | the table is not loaded | `lookup_not_loaded` |
//! | nothing is found | what `on_missing` says |

mod http;
mod limit;
mod members;
mod origin;
mod scripted;
mod share;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::http::Http;
use self::limit::Limit;
use self::members::Members;
pub use self::origin::Origins;
use self::scripted::Played;
pub use self::scripted::{Script, Scripted};
use self::table::Table;
use crate::beside::Beside;
use crate::config::model::LookupSource;
use crate::contract::cache::SchemaCache;
use crate::error::{FatalError, RecordError};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::transform::lookup::{Bytes, LookupSpec};

/// How long the requests of one batch may wait for a limit, a `Retry-After` or each other before they begin. Far below
/// `max.poll.interval.ms`, and below the time that a shutdown has.
const PATIENCE: Duration = Duration::from_secs(10);
/// kafka's default for `max.poll.interval.ms`.
const POLL_INTERVAL: Duration = Duration::from_secs(300);
/// How much of the patience a batch should need for its limit, so that other instances may come.
const LIMIT_TIME: f64 = 1.0;

/// An answer, `None` where nothing was found and that leaves null.
pub type Answer = Result<Option<Bytes>, RecordError>;

/// Something to ask.
#[derive(Clone)]
pub struct Question {
    /// Which of the pipeline's lookups, in the order of their steps.
    pub lookup: usize,
    /// The URL or key. It holds values of the event: never log it.
    pub what: String,
}

/// What the lookups of a pipeline need around them.
pub struct Around {
    /// The pipeline's name.
    pub pipeline: String,
    /// Properties of a consumer of the pipeline's group that joins nothing.
    pub kafka: BTreeMap<String, String>,
    /// The consumer group.
    pub group: String,
    /// Whether no other instance can be in the group: a broker of our own, or a tool.
    pub is_alone: bool,
    /// Schemas of the records in topics.
    pub schemas: Arc<SchemaCache>,
    /// The state of each server, shared by the pipelines of the instance.
    pub origins: Arc<Origins>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Readiness.
    pub health: Arc<Health>,
    /// Where requests run.
    pub runtime: Handle,
    /// Ends what runs beside the workers.
    pub shutdown: CancellationToken,
}

impl Around {
    /// For a tool that runs a few records and is nobody's member. What it counts and tells, nobody reads.
    pub fn tool(
        pipeline: &str,
        kafka: BTreeMap<String, String>,
        schemas: Arc<SchemaCache>,
        runtime: Handle,
    ) -> Around {
        Around {
            pipeline: pipeline.to_owned(),
            kafka,
            group: String::new(),
            is_alone: true,
            schemas,
            origins: Arc::default(),
            metrics: Metrics::new(),
            health: Health::new(),
            runtime,
            shutdown: CancellationToken::new(),
        }
    }
}

/// The lookups of a pipeline, shared by its workers.
pub struct Lookups {
    each: Vec<Lookup>,
    specs: Vec<Arc<LookupSpec>>,
    members: Option<Members>,
    runtime: Handle,
    patience: Duration,
    /// The threads beside the workers, which end with this.
    _beside: Beside,
}

enum Lookup {
    Http(Box<Http>),
    Table(Table),
    Scripted(Played),
}

impl Lookups {
    /// Lookups of a pipeline that has none.
    pub fn none(runtime: Handle) -> Lookups {
        Lookups {
            each: Vec::new(),
            specs: Vec::new(),
            members: None,
            runtime,
            patience: PATIENCE,
            _beside: Beside::new(CancellationToken::new()),
        }
    }

    /// Lookups that take their answers from a script and ask nobody.
    pub fn scripted(specs: &[Arc<LookupSpec>], script: &Script, runtime: Handle) -> Lookups {
        let played = specs.iter().map(|spec| {
            Lookup::Scripted(Played {
                spec: Arc::clone(spec),
                script: script.clone(),
            })
        });
        Lookups {
            each: played.collect(),
            specs: specs.to_vec(),
            ..Lookups::none(runtime)
        }
    }

    /// Makes what asks, and begins to load the tables.
    pub fn start(specs: &[Arc<LookupSpec>], around: &Around) -> Result<Lookups, FatalError> {
        let mut beside = Beside::new(around.shutdown.child_token());
        let mut limits = Vec::new();
        let mut each = Vec::with_capacity(specs.len());
        for spec in specs {
            each.push(match &spec.from {
                LookupSource::Topic(config) => {
                    Lookup::Table(Table::start(Arc::clone(spec), config, around, &mut beside)?)
                }
                LookupSource::Http(config) => {
                    let metrics = around.metrics.lookup(&around.pipeline, &spec.into);
                    let limit = config.limit.map(|rate| {
                        let limit = Arc::new(Limit::new(rate, metrics.clone()));
                        limits.push(Arc::clone(&limit));
                        limit
                    });
                    let origin = around
                        .origins
                        .of(&spec.origin, &around.health, &around.metrics);
                    Lookup::Http(Box::new(Http::new(
                        Arc::clone(spec),
                        config,
                        origin,
                        limit,
                        metrics,
                    )?))
                }
            });
        }
        let servers = each
            .iter()
            .filter(|lookup| matches!(lookup, Lookup::Http(_)));
        let servers = servers.count();
        let members = match (limits.is_empty(), around.is_alone) {
            (true, _) => None,
            (false, true) => {
                limits.iter().for_each(|limit| limit.set(1, 1));
                None
            }
            (false, false) => Some(Members::watch(around, limits, &mut beside)?),
        };
        Ok(Lookups {
            each,
            specs: specs.to_vec(),
            members,
            runtime: around.runtime.clone(),
            patience: patience(around.kafka.get("max.poll.interval.ms"), servers),
            _beside: beside,
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// The lookups as they were compiled.
    pub fn specs(&self) -> &[Arc<LookupSpec>] {
        &self.specs
    }

    /// A worker of this instance has an assignment, which may be empty: the group's members have changed. Never waits.
    pub fn rebalanced(&self, worker: usize) {
        if let Some(members) = &self.members {
            members.rebalanced(worker);
        }
    }

    /// How many records a batch of a worker should have at most: `plain` where no request is made, less where a limit
    /// is so low that a batch would have to wait for long.
    pub fn batch(&self, plain: usize, with_requests: usize, workers: usize) -> usize {
        let rates = self.each.iter().filter_map(|lookup| match lookup {
            Lookup::Http(http) => Some(http.rate()),
            Lookup::Table(_) | Lookup::Scripted(_) => None,
        });
        rates.fold(plain, |most, rate| {
            let fits = rate.map_or(f64::INFINITY, |rate| {
                rate.per_second() * LIMIT_TIME / workers.max(1) as f64
            });
            most.min(with_requests).min((fits as usize).max(1))
        })
    }

    /// Waits until every table is loaded, for tools; `false` when that takes longer than `timeout`.
    pub fn loaded(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.each.iter().all(|lookup| match lookup {
            Lookup::Http(_) | Lookup::Scripted(_) => true,
            Lookup::Table(table) => table.loaded(deadline),
        })
    }

    /// Asks all of it, several at once, and blocks until every question has its answer. The answers stand in the order of
    /// the questions. Not for async code.
    pub fn ask(&self, questions: &[Question]) -> Vec<Answer> {
        let deadline = Instant::now() + self.patience;
        let mut answers: Vec<Option<Answer>> = Vec::with_capacity(questions.len());
        let mut requests: Vec<Vec<usize>> = vec![Vec::new(); self.each.len()];
        for (index, question) in questions.iter().enumerate() {
            answers.push(match &self.each[question.lookup] {
                Lookup::Table(table) => Some(table.get(&question.what)),
                Lookup::Scripted(played) => Some(played.ask(&question.what)),
                Lookup::Http(_) => {
                    requests[question.lookup].push(index);
                    None
                }
            });
        }
        let asked = self
            .each
            .iter()
            .zip(&requests)
            .filter_map(|(lookup, indices)| {
                let Lookup::Http(http) = lookup else {
                    return None;
                };
                let ask = indices
                    .iter()
                    .map(async |index| (*index, http.ask(&questions[*index].what, deadline).await));
                let ask = futures::stream::iter(ask).buffer_unordered(http.concurrency());
                (!indices.is_empty()).then(|| ask.collect::<Vec<_>>())
            });
        let asked: Vec<_> = asked.collect();
        if !asked.is_empty() {
            let found = self.runtime.block_on(futures::future::join_all(asked));
            for (index, answer) in found.into_iter().flatten() {
                answers[index] = Some(answer);
            }
        }
        answers
            .into_iter()
            .map(|answer| answer.expect("every question was asked"))
            .collect()
    }
}

/// Lookups that are asked one after the other, since one may need the answer of another, share what a batch has: the last
/// one is to have its part too.
fn patience(poll_interval: Option<&String>, servers: usize) -> Duration {
    let written = poll_interval.and_then(|millis| millis.parse().ok());
    let interval = written.map_or(POLL_INTERVAL, Duration::from_millis);
    let servers = u32::try_from(servers.max(1)).unwrap_or(u32::MAX);
    PATIENCE.min(interval / 4) / servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_stays_far_below_the_poll_interval() {
        assert_eq!(patience(None, 0), Duration::from_secs(10));
        assert_eq!(patience(None, 4), Duration::from_millis(2500));
        assert_eq!(
            patience(Some(&"6000".to_owned()), 1),
            Duration::from_millis(1500)
        );
        assert_eq!(
            patience(Some(&"86400000".to_owned()), 1),
            Duration::from_secs(10)
        );
    }
}
