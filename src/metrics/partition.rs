//! The handles of one partition, used by the worker that owns it: no lookup of a label, no lock and no allocation for
//! a record, except the first time that a reason, rule or schema id is met.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use prometheus::local::LocalHistogram;
use prometheus::{Gauge, IntCounter, IntGauge, IntGaugeVec};

use super::families::Families;
use super::{Key, Metrics, Totals, signed};
use crate::error::Reason;
use crate::health::PauseReason;

/// Counters of a partition; they outlive its assignment.
#[derive(Debug)]
pub(super) struct Counters {
    read: IntCounter,
    discarded: IntCounter,
    expired: IntCounter,
    emitted: IntCounter,
    filtered: IntCounter,
    duplicate: IntCounter,
    stale: IntCounter,
    retried: IntCounter,
    dead_lettered: IntCounter,
}

impl Counters {
    /// All outcomes exist from the start, at zero: a rate over a series that begins at its first count misses it.
    pub(super) fn resolve(families: &Families, (pipeline, topic, partition): &Key) -> Counters {
        let number = partition.to_string();
        let labels = [pipeline.as_str(), topic, &number];
        let outcome = |outcome: &str| {
            families
                .outcomes
                .with_label_values(&[pipeline.as_str(), topic, &number, outcome])
        };
        Counters {
            read: families.read.with_label_values(&labels),
            discarded: families.discarded.with_label_values(&labels),
            expired: families.expired.with_label_values(&labels),
            emitted: outcome("emitted"),
            filtered: outcome("filtered"),
            duplicate: outcome("duplicate"),
            stale: outcome("stale"),
            retried: outcome("retried"),
            dead_lettered: outcome("dead_lettered"),
        }
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        totals.read += self.read.get().saturating_sub(self.discarded.get());
        totals.emitted += self.emitted.get();
        totals.filtered += self.filtered.get();
        totals.duplicate += self.duplicate.get();
        totals.stale += self.stale.get();
        totals.retried += self.retried.get();
        totals.dead_lettered += self.dead_lettered.get();
    }
}

/// Gauges of a partition; they are this instance's to tell only while it owns the partition. Those that only a source
/// or only a retry partition has, or that say nothing before their first value, appear when they are first set.
#[derive(Debug)]
pub(super) struct Gauges {
    in_flight: IntGauge,
    stuck: IntGauge,
    lag: OnceLock<IntGauge>,
    retries_pending: OnceLock<IntGauge>,
    committed: OnceLock<IntGauge>,
    parked_keys: OnceLock<IntGauge>,
    parked_records: OnceLock<IntGauge>,
    seen_keys: OnceLock<IntGauge>,
    newest_keys: OnceLock<IntGauge>,
    state_remaining: OnceLock<IntGauge>,
    state_bytes: OnceLock<IntGauge>,
    paused: [OnceLock<IntGauge>; PAUSES],
    /// Set at the revoke: what its last owner still writes must not bring a series back.
    removed: AtomicBool,
}

impl Gauges {
    pub(super) fn resolve(families: &Families, (pipeline, topic, partition): &Key) -> Gauges {
        let number = partition.to_string();
        let labels = [pipeline.as_str(), topic, &number];
        Gauges {
            in_flight: families.in_flight.with_label_values(&labels),
            stuck: families.stuck.with_label_values(&labels),
            lag: OnceLock::new(),
            retries_pending: OnceLock::new(),
            committed: OnceLock::new(),
            parked_keys: OnceLock::new(),
            parked_records: OnceLock::new(),
            seen_keys: OnceLock::new(),
            newest_keys: OnceLock::new(),
            state_remaining: OnceLock::new(),
            state_bytes: OnceLock::new(),
            paused: Default::default(),
            removed: AtomicBool::new(false),
        }
    }

    pub(super) fn remove(&self, families: &Families, (pipeline, topic, partition): &Key) {
        self.removed.store(true, Ordering::Relaxed);
        let number = partition.to_string();
        let labels = [pipeline.as_str(), topic, &number];
        let plain = [
            &families.lag,
            &families.in_flight,
            &families.retries_pending,
            &families.stuck,
            &families.committed,
            &families.parked_keys,
            &families.parked_records,
            &families.seen_keys,
            &families.newest_keys,
            &families.state_remaining,
            &families.state_bytes,
        ];
        for family in plain {
            // An error says that there is no such series, as for a partition that never committed.
            family.remove_label_values(&labels).ok();
        }
        for reason in PauseReason::ALL {
            let labels = [pipeline.as_str(), topic, &number, reason.as_str()];
            families.paused.remove_label_values(&labels).ok();
        }
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        let unsigned = |gauge: &IntGauge| u64::try_from(gauge.get()).unwrap_or(0);
        totals.in_flight += unsigned(&self.in_flight);
        totals.lag += self.lag.get().map_or(0, unsigned);
        totals.retries_pending += self.retries_pending.get().map_or(0, unsigned);
    }

    fn set(&self, gauge: &OnceLock<IntGauge>, family: &IntGaugeVec, labels: &[&str], value: i64) {
        if !self.removed.load(Ordering::Relaxed) {
            gauge
                .get_or_init(|| family.with_label_values(labels))
                .set(value);
        }
    }
}

/// Where a failed record went.
#[derive(Debug, Clone, Copy)]
enum Disposition {
    Retried,
    DeadLettered,
}

const REASONS: usize = Reason::ALL.len();
const PAUSES: usize = PauseReason::ALL.len();

/// The handles of one assigned partition. Belongs to one worker: it may move to another thread and is not shared.
#[derive(Debug)]
pub struct PartitionMetrics {
    metrics: Arc<Metrics>,
    key: Key,
    assignment: u64,
    /// The partition as a label.
    number: String,
    counters: Arc<Counters>,
    gauges: Arc<Gauges>,
    /// What was counted since the last [`Self::flush`].
    local: Local,
    dead_letter_last: OnceCell<Gauge>,
    failures: [[OnceCell<IntCounter>; REASONS]; 2],
    paused_for: Cell<Option<PauseReason>>,
    outputs: RefCell<Vec<Option<(IntCounter, u64)>>>,
    rules: RefCell<HashMap<String, IntCounter>>,
    schemas: RefCell<SchemaCounters>,
}

/// Counts of records, which would each be an atomic operation: they are told once a batch.
#[derive(Debug)]
struct Local {
    is_dirty: Cell<bool>,
    read: Cell<u64>,
    emitted: Cell<u64>,
    filtered: Cell<u64>,
    emit_latency: LocalHistogram,
}

impl Local {
    fn add(&self, count: &Cell<u64>, n: u64) {
        count.set(count.get() + n);
        self.is_dirty.set(true);
    }
}

/// Records come in long runs of one writer schema: the last id is kept at hand, with what was counted since the last
/// flush.
#[derive(Debug, Default)]
struct SchemaCounters {
    last: Option<(u32, IntCounter, u64)>,
    known: HashMap<u32, IntCounter>,
    other: Option<IntCounter>,
}

impl PartitionMetrics {
    pub(super) fn new(
        metrics: Arc<Metrics>,
        key: Key,
        assignment: u64,
        counters: Arc<Counters>,
        gauges: Arc<Gauges>,
    ) -> PartitionMetrics {
        let emit_latency = metrics
            .families
            .emit_latency
            .with_label_values(&[&key.0, &key.1]);
        PartitionMetrics {
            metrics,
            number: key.2.to_string(),
            key,
            assignment,
            counters,
            gauges,
            local: Local {
                is_dirty: Cell::new(false),
                read: Cell::new(0),
                emitted: Cell::new(0),
                filtered: Cell::new(0),
                emit_latency: emit_latency.local(),
            },
            dead_letter_last: OnceCell::new(),
            failures: Default::default(),
            paused_for: Cell::new(None),
            outputs: RefCell::default(),
            rules: RefCell::default(),
            schemas: RefCell::default(),
        }
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn assignment(&self) -> u64 {
        self.assignment
    }

    /// Tells what was counted since the last time. Once a batch; dropping does it too.
    pub fn flush(&self) {
        let local = &self.local;
        if !local.is_dirty.replace(false) {
            return;
        }
        let tell = |counter: &IntCounter, count: u64| {
            if count > 0 {
                counter.inc_by(count);
            }
        };
        // Outcomes last, so that there are never more of them than records read.
        tell(&self.counters.read, local.read.take());
        tell(&self.counters.emitted, local.emitted.take());
        tell(&self.counters.filtered, local.filtered.take());
        for (counter, count) in self.outputs.borrow_mut().iter_mut().flatten() {
            tell(counter, std::mem::take(count));
        }
        if let Some((_, counter, count)) = &mut self.schemas.borrow_mut().last {
            tell(counter, std::mem::take(count));
        }
        local.emit_latency.flush();
    }

    /// Records taken from the partition, also those that are discarded afterwards.
    pub fn read(&self, n: u64) {
        self.local.add(&self.local.read, n);
    }

    /// Records whose output was acknowledged; tombstones too.
    pub fn emitted(&self, n: u64) {
        self.local.add(&self.local.emitted, n);
    }

    /// An output was acknowledged on the topic of a sink, which is the pipeline's one of that number.
    pub fn output(&self, sink: usize, topic: &str) {
        let mut outputs = self.outputs.borrow_mut();
        if outputs.len() <= sink {
            outputs.resize(sink + 1, None);
        }
        let (_, count) = outputs[sink].get_or_insert_with(|| {
            let labels = [self.key.0.as_str(), &self.key.1, topic];
            (self.metrics.families.outputs.with_label_values(&labels), 0)
        });
        *count += 1;
        self.local.is_dirty.set(true);
    }

    /// Records dropped by a filter.
    pub fn filtered(&self, n: u64) {
        self.local.add(&self.local.filtered, n);
    }

    /// Records that were duplicates.
    pub fn duplicate(&self, n: u64) {
        self.counters.duplicate.inc_by(n);
    }

    /// Records older than what was seen.
    pub fn stale(&self, n: u64) {
        self.counters.stale.inc_by(n);
    }

    /// Makes the series of a failure that may come exist, at zero: a rate over one that begins at its first count
    /// misses that one.
    pub fn expect_failure(&self, reason: Reason, retried: bool) {
        let disposition = match retried {
            true => Disposition::Retried,
            false => Disposition::DeadLettered,
        };
        self.failure(reason, disposition);
    }

    /// A record was acknowledged on a retry topic.
    pub fn retried(&self, reason: Reason) {
        self.flush();
        self.counters.retried.inc();
        self.failure(reason, Disposition::Retried).inc();
    }

    /// A record was acknowledged on the dead-letter topic. Say when, too: [`Self::set_last_dead_letter`].
    pub fn dead_lettered(&self, reason: Reason) {
        self.flush();
        self.counters.dead_lettered.inc();
        self.failure(reason, Disposition::DeadLettered).inc();
    }

    /// Records read and dropped without an outcome, to be read again: behind a pause or rewind, or of a revoked
    /// partition.
    pub fn discarded(&self, n: u64) {
        self.flush();
        self.counters.discarded.inc_by(n);
    }

    /// Offsets that retention deleted before they were read.
    pub fn expired(&self, n: u64) {
        self.counters.expired.inc_by(n);
    }

    /// A record's writer schema id.
    pub fn schema(&self, id: u32) {
        let mut schemas = self.schemas.borrow_mut();
        self.local.is_dirty.set(true);
        if let Some((last, _, count)) = &mut schemas.last
            && *last == id
        {
            *count += 1;
            return;
        }
        let (pipeline, topic, _) = &self.key;
        let counter = match schemas.known.get(&id) {
            Some(counter) => counter.clone(),
            None => match self.metrics.schema_counter(pipeline, topic, id) {
                Some(counter) => {
                    schemas.known.insert(id, counter.clone());
                    counter
                }
                None => {
                    let family = &self.metrics.families.schemas;
                    let labels = [pipeline.as_str(), topic, "other"];
                    let other = &mut schemas.other;
                    other
                        .get_or_insert_with(|| family.with_label_values(&labels))
                        .clone()
                }
            },
        };
        if let Some((_, before, count)) = schemas.last.replace((id, counter, 1)) {
            before.inc_by(count);
        }
    }

    /// So many plans were dropped for want of room.
    pub fn plan_evictions(&self, count: u64) {
        if count > 0 {
            let family = &self.metrics.families.plan_evictions;
            family
                .with_label_values(&[self.key.0.as_str()])
                .inc_by(count);
        }
    }

    /// A record failed a rule of `on_fail: warn` and went on. Rule names come from the reviewed file: few.
    pub fn rule_warned(&self, rule: &str) {
        let mut rules = self.rules.borrow_mut();
        if let Some(counter) = rules.get(rule) {
            counter.inc();
            return;
        }
        let (pipeline, topic, _) = &self.key;
        let family = &self.metrics.families.rule_warnings;
        let counter = family.with_label_values(&[pipeline.as_str(), topic, rule]);
        counter.inc();
        rules.insert(rule.to_owned(), counter);
    }

    /// An event set a field which its source does not own. Fields and sources are those of the reviewed files: few.
    pub fn foreign_field(&self, field: &str, source: &str, then: &str) {
        let (pipeline, topic, _) = &self.key;
        let family = &self.metrics.families.foreign_fields;
        family
            .with_label_values(&[pipeline.as_str(), topic, field, source, then])
            .inc();
    }

    /// Seconds from the source record's timestamp to the acknowledged emit. A clock ahead of ours counts as zero.
    pub fn emit_latency(&self, seconds: f64) {
        self.local.emit_latency.observe(seconds.max(0.0));
        self.local.is_dirty.set(true);
    }

    /// Records between the position and the end of a source partition. Negative, unknown, counts as zero.
    pub fn set_lag(&self, records: i64) {
        let family = &self.metrics.families.lag;
        self.gauges
            .set(&self.gauges.lag, family, &self.labels(), records.max(0));
    }

    /// Records read whose outcome is not acknowledged.
    pub fn set_in_flight(&self, records: usize) {
        self.gauges.in_flight.set(signed(records as u64));
    }

    /// The offset committed last.
    pub fn set_committed(&self, offset: i64) {
        let family = &self.metrics.families.committed;
        self.gauges
            .set(&self.gauges.committed, family, &self.labels(), offset);
    }

    /// With an order per key: keys and records of a source partition that are in retry.
    pub fn set_parked(&self, keys: usize, records: usize) {
        let (gauges, families) = (&self.gauges, &self.metrics.families);
        for (gauge, family, count) in [
            (&gauges.parked_keys, &families.parked_keys, keys),
            (&gauges.parked_records, &families.parked_records, records),
        ] {
            gauges.set(gauge, family, &self.labels(), signed(count as u64));
        }
    }

    /// With `dedup`: keys of a source partition that are remembered.
    pub fn set_seen(&self, keys: usize) {
        let family = &self.metrics.families.seen_keys;
        let keys = signed(keys as u64);
        self.gauges
            .set(&self.gauges.seen_keys, family, &self.labels(), keys);
    }

    /// So many of them were forgotten for want of room, before their time.
    pub fn forgotten_early(&self, keys: u64) {
        let (pipeline, topic, _) = &self.key;
        let family = &self.metrics.families.forgotten_early;
        family.with_label_values(&[pipeline, topic]).inc_by(keys);
    }

    /// With `stale`: keys of a source partition whose newest version is remembered.
    pub fn set_newest(&self, keys: usize) {
        let family = &self.metrics.families.newest_keys;
        let keys = signed(keys as u64);
        self.gauges
            .set(&self.gauges.newest_keys, family, &self.labels(), keys);
    }

    /// So many of those were forgotten for want of room, before their time.
    pub fn newest_forgotten_early(&self, keys: u64) {
        let (pipeline, topic, _) = &self.key;
        let family = &self.metrics.families.newest_forgotten_early;
        family.with_label_values(&[pipeline, topic]).inc_by(keys);
    }

    /// With `stale.reorder`: events that went on in front of a newer one that had come before them.
    pub fn reordered(&self, events: u64) {
        let (pipeline, topic, _) = &self.key;
        let family = &self.metrics.families.reordered;
        family.with_label_values(&[pipeline, topic]).inc_by(events);
    }

    /// With `dedup` or `stale`: so many offsets of the state topic are to be read yet.
    pub fn set_state_remaining(&self, offsets: i64) {
        let family = &self.metrics.families.state_remaining;
        let gauge = &self.gauges.state_remaining;
        self.gauges.set(gauge, family, &self.labels(), offsets);
    }

    /// So many keys were read from it.
    pub fn state_restored(&self, keys: u64) {
        let (pipeline, topic, _) = &self.key;
        let family = &self.metrics.families.state_restored;
        family.with_label_values(&[pipeline, topic]).inc_by(keys);
    }

    /// With `store: disk`: bytes of the files.
    pub fn set_state_bytes(&self, bytes: u64) {
        let family = &self.metrics.families.state_bytes;
        let gauge = &self.gauges.state_bytes;
        let bytes = signed(bytes);
        self.gauges.set(gauge, family, &self.labels(), bytes);
    }

    /// Something could not be written there, or not be read.
    pub fn state_disk_failed(&self) {
        let (pipeline, topic, _) = &self.key;
        let family = &self.metrics.families.state_failures;
        family.with_label_values(&[pipeline, topic]).inc();
    }

    /// An event went on although it is stale.
    pub fn stale_passed(&self) {
        let (pipeline, topic, _) = &self.key;
        let family = &self.metrics.families.stale_passed;
        family.with_label_values(&[pipeline, topic]).inc();
    }

    /// Why the partition is not read, or `None` when it is. The same reason again is the same pause.
    pub fn set_paused(&self, reason: Option<&PauseReason>) {
        let reason = reason.copied();
        let before = self.paused_for.replace(reason);
        if before == reason {
            return;
        }
        if let Some(before) = before {
            self.tell_paused(before, 0);
        }
        if let Some(reason) = reason {
            self.tell_paused(reason, 1);
            let (pipeline, topic, _) = &self.key;
            let labels = [pipeline.as_str(), topic, reason.as_str()];
            self.metrics
                .families
                .pauses
                .with_label_values(&labels)
                .inc();
        }
    }

    /// Whether the watchdog sees lag without progress.
    pub fn set_stuck(&self, stuck: bool) {
        self.gauges.stuck.set(i64::from(stuck));
    }

    /// Records that wait in this retry partition. Use this for retry partitions and [`Self::set_lag`] for source
    /// partitions: the totals would count a record twice that is told as both.
    pub fn set_retries_pending(&self, records: i64) {
        let gauge = &self.gauges.retries_pending;
        let family = &self.metrics.families.retries_pending;
        self.gauges
            .set(gauge, family, &self.labels(), records.max(0));
    }

    /// When the newest dead letter was acknowledged, in seconds since the epoch. The partitions of a topic share it.
    pub fn set_last_dead_letter(&self, unix_seconds: f64) {
        let (pipeline, topic, _) = &self.key;
        let family = &self.metrics.families.dead_letter_last;
        let gauge = self
            .dead_letter_last
            .get_or_init(|| family.with_label_values(&[pipeline, topic]));
        if unix_seconds > gauge.get() {
            gauge.set(unix_seconds);
        }
    }

    fn failure(&self, reason: Reason, disposition: Disposition) -> &IntCounter {
        self.failures[disposition as usize][reason as usize].get_or_init(|| {
            let (pipeline, topic, _) = &self.key;
            let disposition = match disposition {
                Disposition::Retried => "retried",
                Disposition::DeadLettered => "dead_lettered",
            };
            let labels = [pipeline.as_str(), topic, reason.as_str(), disposition];
            self.metrics.families.failures.with_label_values(&labels)
        })
    }

    fn tell_paused(&self, reason: PauseReason, value: i64) {
        let [pipeline, topic, partition] = self.labels();
        let labels = [pipeline, topic, partition, reason.as_str()];
        let gauge = &self.gauges.paused[reason as usize];
        let family = &self.metrics.families.paused;
        self.gauges.set(gauge, family, &labels, value);
    }

    fn labels(&self) -> [&str; 3] {
        [&self.key.0, &self.key.1, &self.number]
    }
}

impl Drop for PartitionMetrics {
    fn drop(&mut self) {
        self.flush();
    }
}
