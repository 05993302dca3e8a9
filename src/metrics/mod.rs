//! Metrics: what Prometheus scrapes and the status line prints. Workers write through handles that are resolved when a
//! partition is assigned, so that counting a record is one atomic addition. It knows nothing of records, only numbers.
//!
//! **Outcomes partition the input.** For each pipeline, topic and partition, at any moment between two batches,
//!
//! ```text
//! driftgate_records_read_total = sum over outcomes of driftgate_records_total
//!                              + driftgate_records_discarded_total + driftgate_records_in_flight
//! ```
//!
//! An outcome is counted when a broker has acknowledged it, or at once for those that produce nothing (filtered,
//! duplicate, stale). A record discarded after a pause, a rewind or a revoke has no outcome: it is read, and counted as
//! read, again. A record that goes through retries is read once from its source and once from each retry topic: the
//! equation holds for each of them. `tests` below hold it.

mod alerts;
mod families;
mod lookup;
mod partition;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::{Histogram, IntCounter, Registry, TextEncoder};

use crate::contract::cache::CacheStats;
use crate::health::{Dependency, Health};
pub use alerts::{AlertMetrics, DeadLetters};
use families::Families;
pub use lookup::{Breaker, LookupMetrics, LookupResult, NotAsked, TableMetrics};
pub use partition::PartitionMetrics;
use partition::{Counters, Gauges};

/// Writer schema ids told apart per pipeline and topic. A topic has a handful in practice; bytes that only look framed
/// must not fill the scraper's memory.
const MAX_SCHEMA_IDS: usize = 1000;

/// Pipeline, topic, partition.
type Key = (String, String, i32);

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<Key, Series>,
    /// Assignments so far. The number tells a partition's present owner from one that let go of it late.
    assignments: u64,
    schema_ids: BTreeMap<(String, String), BTreeSet<u32>>,
}

#[derive(Debug)]
struct Series {
    counters: Arc<Counters>,
    /// `None` while nobody here owns the partition.
    gauges: Option<(u64, Arc<Gauges>)>,
}

/// Sums over everything, for the status line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Records taken from source and retry partitions, less those discarded to be read again.
    pub read: u64,
    /// Outcome: acknowledged on the sink topic.
    pub emitted: u64,
    /// Outcome: dropped by a filter.
    pub filtered: u64,
    /// Outcome: a duplicate.
    pub duplicate: u64,
    /// Outcome: older than what was seen.
    pub stale: u64,
    /// Outcome: acknowledged on a retry topic.
    pub retried: u64,
    /// Outcome: acknowledged on the dead-letter topic.
    pub dead_lettered: u64,
    /// Records whose outcome is not acknowledged yet.
    pub in_flight: u64,
    /// Records between the positions and the ends of the partitions owned now.
    pub lag: u64,
    /// Records that wait in the retry partitions owned now.
    pub retries_pending: u64,
}

impl Totals {
    /// The records that have an outcome; `read` less this is in flight.
    pub fn outcomes(&self) -> u64 {
        self.emitted
            + self.filtered
            + self.duplicate
            + self.stale
            + self.retried
            + self.dead_lettered
    }
}

impl Metrics {
    /// A registry of its own, so that tests and embedded uses do not share counts.
    pub fn new() -> Arc<Metrics> {
        let registry = Registry::new();
        let families = Families::register(&registry);
        families
            .build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        // The process figures come from /proc.
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(
                prometheus::process_collector::ProcessCollector::for_self(),
            ))
            .expect("no other family is named process_");
        Arc::new(Metrics {
            registry,
            families,
            state: Mutex::default(),
        })
    }

    /// The handles for one partition; call it when the partition is assigned. Counters go on where they were if this
    /// process owned it before.
    pub fn partition(
        self: &Arc<Self>,
        pipeline: &str,
        topic: &str,
        partition: i32,
    ) -> PartitionMetrics {
        let key = (pipeline.to_owned(), topic.to_owned(), partition);
        let mut state = self.lock();
        state.assignments += 1;
        let assignment = state.assignments;
        let series = state.partitions.entry(key.clone()).or_insert_with(|| {
            let counters = Counters::resolve(&self.families, &key);
            Series {
                counters: Arc::new(counters),
                gauges: None,
            }
        });
        let counters = Arc::clone(&series.counters);
        if let Some((_, late)) = series.gauges.take() {
            // Its owner has not let go of it yet: what that one saw is not ours to repeat.
            late.remove(&self.families, &key);
        }
        let gauges = Arc::new(Gauges::resolve(&self.families, &key));
        series.gauges = Some((assignment, Arc::clone(&gauges)));
        drop(state);
        PartitionMetrics::new(Arc::clone(self), key, assignment, counters, gauges)
    }

    /// Removes the gauges of a partition that was revoked: a lag that nobody here works on is not this instance's to
    /// tell. The counters stay. Does nothing if the partition has been assigned again since (a worker that lost its
    /// assignment may learn of it after another worker of this process was given it).
    pub fn forget_partition(&self, handles: &PartitionMetrics) {
        handles.flush();
        let mut state = self.lock();
        let Some(series) = state.partitions.get_mut(handles.key()) else {
            return;
        };
        let present = series
            .gauges
            .take_if(|(assignment, _)| *assignment == handles.assignment());
        if let Some((_, gauges)) = present {
            gauges.remove(&self.families, handles.key());
        }
    }

    /// A writer schema differs from the contract. Once per schema id and topic.
    pub fn drift(&self, pipeline: &str, topic: &str, class: &str, action: &str) {
        let family = &self.families.drift;
        family
            .with_label_values(&[pipeline, topic, class, action])
            .inc();
    }

    /// Of how many writer schemas of a topic a field's values have drifted now.
    pub fn value_drift(&self, pipeline: &str, topic: &str, field: &str, schemas: usize) {
        let family = &self.families.value_drift;
        let gauge = family.with_label_values(&[pipeline, topic, field]);
        gauge.set(signed(schemas as u64));
    }

    /// A field's values have begun to drift.
    pub fn value_drift_begun(&self, pipeline: &str, topic: &str, action: &str) {
        let family = &self.families.value_drifts;
        family.with_label_values(&[pipeline, topic, action]).inc();
    }

    /// Makes the series of a topic whose values are compared exist, at zero: a rate over one that begins at its first count
    /// misses that one.
    pub fn expect_profiles(&self, pipeline: &str, topic: &str) {
        self.profiled(pipeline, topic, 0, false);
        self.not_profiled(pipeline, 0);
        for action in ["warn", "quarantine", "halt"] {
            let family = &self.families.value_drifts;
            family.with_label_values(&[pipeline, topic, action]);
        }
    }

    /// Values of records of a topic were counted, and perhaps a window of them compared.
    pub fn profiled(&self, pipeline: &str, topic: &str, records: u64, is_window: bool) {
        let families = &self.families;
        let labels = [pipeline, topic];
        families.profiled.with_label_values(&labels).inc_by(records);
        let windows = families.profile_windows.with_label_values(&labels);
        windows.inc_by(u64::from(is_window));
    }

    /// Values of records were not looked at.
    pub fn not_profiled(&self, pipeline: &str, records: u64) {
        let family = &self.families.not_profiled;
        family.with_label_values(&[pipeline]).inc_by(records);
    }

    /// An audit has ended.
    pub fn audited(&self, pipeline: &str, unaccounted: u64, unproved: u64, right: bool) {
        let result = if right { "right" } else { "findings" };
        let families = &self.families;
        families
            .unaccounted
            .with_label_values(&[pipeline])
            .set(signed(unaccounted));
        families
            .unproved
            .with_label_values(&[pipeline])
            .set(signed(unproved));
        families.audits.with_label_values(&[pipeline, result]).inc();
    }

    /// An audit could not be made; what the last one found stands.
    pub fn not_audited(&self, pipeline: &str) {
        let audits = &self.families.audits;
        audits.with_label_values(&[pipeline, "failed"]).inc();
    }

    /// The handles for one pipeline.
    pub fn pipeline(&self, name: &str) -> PipelineMetrics {
        let families = &self.families;
        PipelineMetrics {
            batch_seconds: families.batch_seconds.with_label_values(&[name]),
            batch_records: families.batch_records.with_label_values(&[name]),
            rebalances: families.rebalances.with_label_values(&[name]),
            commits_ok: families.commits.with_label_values(&[name, "ok"]),
            commits_failed: families.commits.with_label_values(&[name, "failed"]),
        }
    }

    /// Publishes the schema cache's figures. They only ever grow, but for the number of entries.
    pub fn set_schema_cache(&self, stats: &CacheStats) {
        let _one_writer_at_a_time = self.lock();
        let families = &self.families;
        let raise = |counter: &IntCounter, to: u64| {
            counter.inc_by(to.saturating_sub(counter.get()));
        };
        raise(&families.cache_hits, stats.hits);
        raise(&families.cache_misses, stats.misses);
        raise(&families.cache_fetches, stats.fetches);
        raise(&families.cache_failures, stats.failures);
        raise(&families.cache_evictions, stats.evictions);
        families.cache_entries.set(signed(stats.entries));
    }

    /// Whether the last use of a dependency succeeded. The admin server calls this from [`Health`] at each scrape.
    pub fn set_dependency(&self, dependency: &Dependency, up: bool) {
        self.families
            .dependency_up
            .with_label_values(&[dependency.to_string()])
            .set(i64::from(up));
    }

    /// Copies what [`Health`] knows into its gauges; the admin server does this at each scrape.
    pub fn observe_health(&self, health: &Health) {
        for (dependency, up) in health.dependencies() {
            self.set_dependency(&dependency, up);
        }
        let ready = health.readiness().ready;
        self.families.ready.set(if ready { 1.0 } else { 0.0 });
    }

    /// The sums over all partitions.
    pub fn totals(&self) -> Totals {
        let state = self.lock();
        let mut totals = Totals::default();
        for series in state.partitions.values() {
            series.counters.add_to(&mut totals);
            if let Some((_, gauges)) = &series.gauges {
                gauges.add_to(&mut totals);
            }
        }
        totals
    }

    /// All families in the Prometheus text format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("writing to a string does not fail, and every gathered family has a sample")
    }

    /// The counter for a writer schema id, or `None` if the topic has had too many of them.
    fn schema_counter(&self, pipeline: &str, topic: &str, id: u32) -> Option<IntCounter> {
        let mut state = self.lock();
        let ids = state
            .schema_ids
            .entry((pipeline.to_owned(), topic.to_owned()))
            .or_default();
        if !ids.contains(&id) {
            if ids.len() >= MAX_SCHEMA_IDS {
                return None;
            }
            ids.insert(id);
        }
        let id = id.to_string();
        Some(
            self.families
                .schemas
                .with_label_values(&[pipeline, topic, &id]),
        )
    }

    /// Plain data: a thread that panicked under the lock has left nothing half done that counts.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handles for one pipeline, cheap to clone.
#[derive(Debug, Clone)]
pub struct PipelineMetrics {
    batch_seconds: Histogram,
    batch_records: Histogram,
    rebalances: IntCounter,
    commits_ok: IntCounter,
    commits_failed: IntCounter,
}

impl PipelineMetrics {
    /// One batch: how long the worker had it, and how many records it held.
    pub fn batch(&self, seconds: f64, records: usize) {
        self.batch_seconds.observe(seconds);
        self.batch_records.observe(records as f64);
    }

    /// A rebalance callback was served.
    pub fn rebalance(&self) {
        self.rebalances.inc();
    }

    /// A commit was answered.
    pub fn commit(&self, ok: bool) {
        if ok {
            self.commits_ok.inc();
        } else {
            self.commits_failed.inc();
        }
    }
}

/// Prometheus' integer gauges are signed.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
