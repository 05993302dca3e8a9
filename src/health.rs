//! What the process knows of its own state: phase, workers, paused partitions, dependencies. The workers and clients
//! write it, the admin server and the status line read it. It holds no metrics and decides nothing about records.
//!
//! Two questions are answered apart, because a supervisor acts differently on them. *Ready*: would this instance take
//! its share of the records now? *Alive*: would a restart help? A registry outage makes an instance unready and never
//! dead: restarting it would only lose the caches.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A worker that has not beaten for this long hangs: its longest wait is one batch call of a second or so, and the
/// longest drain is `shutdown_grace`.
pub const WORKER_SILENCE: Duration = Duration::from_secs(60);

/// How many partitions a readiness reason names before it counts the rest.
const NAMED_PARTITIONS: usize = 3;

/// Why a partition is not being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PauseReason {
    /// The head of a retry partition is not due yet. Normal.
    RetryNotDue,
    /// The registry could not be asked, or answered with anything but the schema or "unknown id".
    RegistryUnavailable,
    /// A lookup could not be asked, and there is no retry tier to wait in.
    LookupUnavailable,
    /// A lookup answered in a way that no record can cause: wrong shape, 401, 403, a redirect.
    LookupMisconfigured,
    /// The table that a lookup asks is not loaded.
    LookupNotLoaded,
    /// A native step lacks something that it needs, and there is no retry tier to wait in.
    NativeUnavailable,
    /// A writer schema drifted from the contract, and the policy says to halt.
    Drift,
    /// The broker refused or lost an output for a reason that is not the record's own.
    BrokerRefused,
    /// The dead-letter topic did not take a dead letter.
    DeadLetterRefused,
    /// The group's next offset lies behind the end of the log: the topic was cut, or deleted and made again.
    LogTruncated,
    /// The producer's queue is full. Normal.
    Backpressure,
    /// With `ordering: per_key`: what is in retry is read first, to know which keys wait. Normal.
    Rebuilding,
    /// With `ordering: per_key`: a key that is written to fast is let catch up with its records in retry. Normal.
    KeyCatchesUp,
    /// With `ordering: per_key`: as many records or keys are in retry as may be.
    ParkedFull,
    /// A breaker has tripped: too many dead letters, or too many records in quarantine. Until a person resumes it.
    Breaker,
    /// An operator asked for it.
    Operator,
}

impl PauseReason {
    /// Every reason, for tables and metric labels.
    pub const ALL: [PauseReason; 16] = [
        PauseReason::RetryNotDue,
        PauseReason::RegistryUnavailable,
        PauseReason::LookupUnavailable,
        PauseReason::LookupMisconfigured,
        PauseReason::LookupNotLoaded,
        PauseReason::NativeUnavailable,
        PauseReason::Drift,
        PauseReason::BrokerRefused,
        PauseReason::DeadLetterRefused,
        PauseReason::LogTruncated,
        PauseReason::Backpressure,
        PauseReason::Rebuilding,
        PauseReason::KeyCatchesUp,
        PauseReason::ParkedFull,
        PauseReason::Breaker,
        PauseReason::Operator,
    ];

    /// The stable word: metric label and JSON value.
    pub const fn as_str(self) -> &'static str {
        match self {
            PauseReason::RetryNotDue => "retry_not_due",
            PauseReason::RegistryUnavailable => "registry_unavailable",
            PauseReason::LookupUnavailable => "lookup_unavailable",
            PauseReason::LookupMisconfigured => "lookup_misconfigured",
            PauseReason::LookupNotLoaded => "lookup_not_loaded",
            PauseReason::NativeUnavailable => "native_unavailable",
            PauseReason::Drift => "drift",
            PauseReason::BrokerRefused => "broker_refused",
            PauseReason::DeadLetterRefused => "dead_letter_refused",
            PauseReason::LogTruncated => "log_truncated",
            PauseReason::Backpressure => "backpressure",
            PauseReason::Rebuilding => "rebuilding",
            PauseReason::KeyCatchesUp => "key_catches_up",
            PauseReason::ParkedFull => "parked_full",
            PauseReason::Breaker => "breaker",
            PauseReason::Operator => "operator",
        }
    }

    /// Whether someone has to act, or a dependency to come back. The other pauses are how the engine works.
    pub const fn is_fault(self) -> bool {
        match self {
            PauseReason::RetryNotDue
            | PauseReason::Backpressure
            | PauseReason::Rebuilding
            | PauseReason::KeyCatchesUp
            | PauseReason::Operator => false,
            PauseReason::RegistryUnavailable
            | PauseReason::LookupUnavailable
            | PauseReason::LookupMisconfigured
            | PauseReason::LookupNotLoaded
            | PauseReason::NativeUnavailable
            | PauseReason::Drift
            | PauseReason::BrokerRefused
            | PauseReason::DeadLetterRefused
            | PauseReason::ParkedFull
            | PauseReason::LogTruncated
            | PauseReason::Breaker => true,
        }
    }
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something outside the process that records need.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dependency {
    /// The Kafka cluster.
    Broker,
    /// The schema registry.
    Registry,
    /// A lookup's server, by its host and port; never a URL with values in it.
    Lookup(String),
    /// A table that a lookup asks, by its pipeline and the field that it fills. Down while it is not loaded.
    Table(String),
    /// A source topic or one of our retry topics, by its name. Down while it does not exist.
    Topic(String),
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dependency::Broker => f.write_str("broker"),
            Dependency::Registry => f.write_str("registry"),
            Dependency::Lookup(name) => write!(f, "lookup:{name}"),
            Dependency::Table(name) => write!(f, "table:{name}"),
            Dependency::Topic(name) => write!(f, "topic:{name}"),
        }
    }
}

/// One paused partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseEntry {
    /// Pipeline.
    pub pipeline: String,
    /// Topic: a source topic or one of our retry topics.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Why.
    pub reason: PauseReason,
    /// For a person: what the other side answered. No payloads.
    pub detail: String,
    /// Milliseconds since the epoch at which the pause began.
    pub since: i64,
    /// Milliseconds since the epoch at which it is tried again, if that is known.
    pub until: Option<i64>,
}

/// Whether this instance takes its share of the records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readiness {
    /// The answer.
    pub ready: bool,
    /// Why not, one sentence each. Bounded by the number of pipelines, workers and dependencies, not by partitions.
    pub reasons: Vec<String>,
    /// What is wrong, or wanted so, and does not make it unready, one sentence each: servers of lookups that fail, what an
    /// operator has paused.
    pub degraded: Vec<String>,
    /// Partitions paused by a fault.
    pub paused: usize,
}

/// Whether a restart would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// False: it would.
    pub alive: bool,
    /// Which worker hangs or died, one sentence each.
    pub reasons: Vec<String>,
}

#[derive(Debug, Clone)]
enum Phase {
    Starting(String),
    Running,
    ShuttingDown,
}

#[derive(Debug)]
struct Worker {
    last_beat: Instant,
    joined: bool,
    died: Option<String>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// By pipeline and slot.
    workers: BTreeMap<(String, usize), Worker>,
    /// By pipeline, topic and partition.
    pauses: BTreeMap<(String, String, i32), PauseEntry>,
    /// Pipeline, topic and partition of those that have lag and make no progress, for no reason that they know.
    stuck: BTreeSet<(String, String, i32)>,
    /// By pipeline, topic and partition: when the head of a retry partition failed first.
    retries: BTreeMap<(String, String, i32), i64>,
    dependencies: BTreeMap<Dependency, Known>,
    /// By pipeline, topic, writer schema and field.
    drifts: BTreeMap<(String, String, u32, String), Drift>,
}

/// Values of a field that look otherwise than in the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Source topic.
    pub topic: String,
    /// The writer schema's id.
    pub schema_id: u32,
    /// The field's path.
    pub field: String,
    /// Who owns the field.
    pub owner: String,
    /// What is done about it.
    pub action: &'static str,
    /// When it began, milliseconds since the epoch.
    pub since: i64,
    /// Each test that found it, with its figure and the limit.
    pub tests: Vec<(&'static str, f64, f64)>,
}

/// What is known of a dependency.
#[derive(Debug)]
struct Known {
    /// `None`: up. `Some`: what went wrong last.
    fault: Option<String>,
    /// Since when it is up, or down.
    since: Instant,
}

/// The shared state. Locked per batch or per event, never per record.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
}

impl Health {
    /// Starting, with nothing known.
    pub fn new() -> Arc<Health> {
        Arc::new(Health {
            state: Mutex::new(State {
                phase: Phase::Starting("starting".to_owned()),
                workers: BTreeMap::new(),
                pauses: BTreeMap::new(),
                stuck: BTreeSet::new(),
                retries: BTreeMap::new(),
                dependencies: BTreeMap::new(),
                drifts: BTreeMap::new(),
            }),
        })
    }

    /// Tells what start-up is doing, such as "checking topics".
    pub fn start_up(&self, phase: impl Into<String>) {
        let phase = phase.into();
        tracing::debug!("start: {phase}");
        self.lock().phase = Phase::Starting(phase);
    }

    /// Start-up is over: the workers have been spawned.
    pub fn set_running(&self) {
        tracing::debug!("start: running");
        let mut state = self.lock();
        // A signal may arrive during start-up: shutting down is never taken back.
        if !matches!(state.phase, Phase::ShuttingDown) {
            state.phase = Phase::Running;
        }
    }

    /// From here on nothing is taken any more.
    pub fn shutting_down(&self) {
        self.lock().phase = Phase::ShuttingDown;
    }

    /// Registers a worker, or notes that it is alive. Call it before the thread is spawned, so that a thread that
    /// never gets going is missed, and then once a loop.
    pub fn worker_alive(&self, pipeline: &str, slot: usize) {
        self.worker_alive_at(pipeline, slot, Instant::now());
    }

    /// The worker's group has answered: it has an assignment, which may be empty.
    pub fn worker_joined(&self, pipeline: &str, slot: usize) {
        if let Some(worker) = self.lock().workers.get_mut(&(pipeline.to_owned(), slot)) {
            worker.joined = true;
        }
    }

    /// The worker's thread has ended: as it should, or by an error or panic.
    pub fn worker_ended(&self, pipeline: &str, slot: usize, how: Result<(), String>) {
        let key = (pipeline.to_owned(), slot);
        let mut state = self.lock();
        match how {
            Ok(()) => {
                state.workers.remove(&key);
            }
            Err(error) => {
                let worker = state.workers.entry(key).or_insert_with(|| Worker {
                    last_beat: Instant::now(),
                    joined: false,
                    died: None,
                });
                worker.died = Some(error);
            }
        }
    }

    /// A partition was paused, is paused for another reason than before, or was tried again in vain: then its pause goes
    /// on, and began when it did.
    pub fn pause(&self, mut entry: PauseEntry) {
        let key = (entry.pipeline.clone(), entry.topic.clone(), entry.partition);
        let mut state = self.lock();
        if let Some(before) = state.pauses.get(&key)
            && before.reason == entry.reason
        {
            entry.since = before.since;
        }
        state.pauses.insert(key, entry);
    }

    /// The partition is read again.
    pub fn resume(&self, pipeline: &str, topic: &str, partition: i32) {
        self.lock()
            .pauses
            .remove(&(pipeline.to_owned(), topic.to_owned(), partition));
    }

    /// The partition was revoked: whoever owns it now speaks for it.
    pub fn release(&self, pipeline: &str, topic: &str, partition: i32) {
        self.resume(pipeline, topic, partition);
        self.unstuck(pipeline, topic, partition);
        self.retry_waits(pipeline, topic, partition, None);
    }

    /// The partition has lag and has made no progress for longer than the watchdog allows.
    pub fn stuck(&self, pipeline: &str, topic: &str, partition: i32) {
        let key = (pipeline.to_owned(), topic.to_owned(), partition);
        self.lock().stuck.insert(key);
    }

    /// It moves again.
    pub fn unstuck(&self, pipeline: &str, topic: &str, partition: i32) {
        let key = (pipeline.to_owned(), topic.to_owned(), partition);
        self.lock().stuck.remove(&key);
    }

    /// Values of a field have begun to drift.
    pub fn drifts(&self, pipeline: &str, drift: Drift) {
        let key = drift_key(pipeline, &drift.topic, drift.schema_id, &drift.field);
        self.lock().drifts.insert(key, drift);
    }

    /// They look right again.
    pub fn drifts_no_more(&self, pipeline: &str, topic: &str, schema_id: u32, field: &str) {
        let key = drift_key(pipeline, topic, schema_id, field);
        self.lock().drifts.remove(&key);
    }

    /// What the last use of a dependency showed.
    pub fn dependency(&self, name: Dependency, result: Result<(), String>) {
        let fault = result.err();
        let mut state = self.lock();
        let known = state.dependencies.entry(name).or_insert_with(|| Known {
            fault: fault.clone(),
            since: Instant::now(),
        });
        if known.fault.is_some() != fault.is_some() {
            known.since = Instant::now();
        }
        known.fault = fault;
    }

    /// Every dependency that was used so far, with its state, for `/healthz`: a dependency that is down is no reason to
    /// restart, but who looks there wants to know.
    pub fn dependency_report(&self) -> Vec<Value> {
        dependency_report(&self.lock(), Instant::now())
    }

    /// Every dependency that was used so far, and whether it answered last time.
    pub fn dependencies(&self) -> Vec<(Dependency, bool)> {
        let state = self.lock();
        let known = state.dependencies.iter();
        known
            .map(|(name, known)| (name.clone(), known.fault.is_none()))
            .collect()
    }

    /// Whether this instance takes its share of the records now.
    pub fn readiness(&self) -> Readiness {
        let state = self.lock();
        let (mut reasons, mut degraded) = (Vec::new(), Vec::new());
        match &state.phase {
            Phase::Starting(phase) => reasons.push(format!("starting: {phase}")),
            Phase::Running => {}
            Phase::ShuttingDown => reasons.push("shutting down".to_owned()),
        }
        for ((pipeline, slot), worker) in &state.workers {
            if let Some(error) = &worker.died {
                reasons.push(format!("worker {slot} of {pipeline} ended: {error}"));
            } else if !worker.joined {
                reasons.push(format!(
                    "worker {slot} of {pipeline} has not joined its consumer group yet"
                ));
            }
        }
        for (dependency, known) in &state.dependencies {
            match (dependency, &known.fault) {
                (Dependency::Broker | Dependency::Registry, Some(fault)) => {
                    reasons.push(format!("{dependency} is unavailable: {fault}"));
                }
                // Every record that needs it waits.
                (Dependency::Table(name), Some(fault)) => {
                    reasons.push(format!("lookup {name}: {fault}"));
                }
                (Dependency::Topic(name), Some(fault)) => {
                    reasons.push(format!("topic {name}: {fault}"));
                }
                // A server that is down sends its records to the retry tiers; the rest flows on, so the instance is
                // ready.
                (Dependency::Lookup(_), Some(fault)) => {
                    degraded.push(format!("{dependency}: {fault}"));
                }
                (_, None) => {}
            }
        }
        let is_fault = |entry: &PauseEntry| entry.reason.is_fault();
        let paused = pause_reasons(&state, is_fault, &mut reasons);
        // As somebody wants it: an orchestrator has nothing to wait for.
        let is_asked = |entry: &PauseEntry| entry.reason == PauseReason::Operator;
        pause_reasons(&state, is_asked, &mut degraded);
        stuck_reasons(&state, &mut reasons);
        Readiness {
            ready: reasons.is_empty(),
            reasons,
            degraded,
            paused,
        }
    }

    /// Whether a restart would help.
    pub fn liveness(&self) -> Liveness {
        self.liveness_at(Instant::now())
    }

    /// Everything, for `/status`.
    pub fn report(&self) -> Value {
        let readiness = self.readiness();
        let liveness = self.liveness();
        let state = self.lock();
        let now = Instant::now();
        let phase = match &state.phase {
            Phase::Starting(phase) => format!("starting: {phase}"),
            Phase::Running => "running".to_owned(),
            Phase::ShuttingDown => "shutting down".to_owned(),
        };
        let workers: Vec<Value> = state
            .workers
            .iter()
            .map(|((pipeline, slot), worker)| {
                json!({
                    "pipeline": pipeline,
                    "slot": slot,
                    "joined": worker.joined,
                    "silent_seconds": now.saturating_duration_since(worker.last_beat).as_secs(),
                    "died": worker.died,
                })
            })
            .collect();
        let paused: Vec<Value> = state
            .pauses
            .values()
            .map(|entry| {
                json!({
                    "pipeline": entry.pipeline,
                    "topic": entry.topic,
                    "partition": entry.partition,
                    "reason": entry.reason.as_str(),
                    "fault": entry.reason.is_fault(),
                    "detail": entry.detail,
                    "since": timestamp(entry.since),
                    "until": entry.until.map(timestamp),
                })
            })
            .collect();
        let stuck: Vec<Value> = state
            .stuck
            .iter()
            .map(|(pipeline, topic, partition)| {
                json!({ "pipeline": pipeline, "topic": topic, "partition": partition })
            })
            .collect();
        let dependencies = dependency_report(&state, now);
        json!({
            "phase": phase,
            "ready": readiness.ready,
            "reasons": readiness.reasons,
            "alive": liveness.alive,
            "workers": workers,
            "paused": paused,
            "stuck": stuck,
            "dependencies": dependencies,
        })
    }

    fn worker_alive_at(&self, pipeline: &str, slot: usize, now: Instant) {
        let mut state = self.lock();
        let worker = state
            .workers
            .entry((pipeline.to_owned(), slot))
            .or_insert_with(|| Worker {
                last_beat: now,
                joined: false,
                died: None,
            });
        worker.last_beat = now;
    }

    fn liveness_at(&self, now: Instant) -> Liveness {
        let state = self.lock();
        let mut reasons = Vec::new();
        for ((pipeline, slot), worker) in &state.workers {
            let silence = now.saturating_duration_since(worker.last_beat);
            if let Some(error) = &worker.died {
                reasons.push(format!("worker {slot} of {pipeline} ended: {error}"));
            } else if silence > WORKER_SILENCE {
                reasons.push(format!(
                    "worker {slot} of {pipeline} has been silent for {} s",
                    silence.as_secs()
                ));
            }
        }
        Liveness {
            alive: reasons.is_empty(),
            reasons,
        }
    }

    /// A thread that panicked while it held the lock left plain data behind: every write above is a single insert or
    /// assignment. The health page must go on answering then, more than ever.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drift_key(pipeline: &str, topic: &str, id: u32, field: &str) -> (String, String, u32, String) {
    (pipeline.to_owned(), topic.to_owned(), id, field.to_owned())
}

fn dependency_report(state: &State, now: Instant) -> Vec<Value> {
    let known = state.dependencies.iter();
    known
        .map(|(name, known)| {
            let seconds = now.saturating_duration_since(known.since).as_secs();
            json!({
                "name": name.to_string(),
                "up": known.fault.is_none(),
                "for_seconds": seconds,
                "error": known.fault,
            })
        })
        .collect()
}

/// Adds one sentence for each pipeline and reason, so that a thousand partitions behind one registry read as one
/// fact. Returns the number of partitions.
fn pause_reasons(
    state: &State,
    which: impl Fn(&PauseEntry) -> bool,
    reasons: &mut Vec<String>,
) -> usize {
    let mut faults: BTreeMap<(&str, PauseReason), Vec<&PauseEntry>> = BTreeMap::new();
    for entry in state.pauses.values().filter(|entry| which(entry)) {
        faults
            .entry((&entry.pipeline, entry.reason))
            .or_default()
            .push(entry);
    }
    let mut count = 0;
    for ((pipeline, reason), entries) in faults {
        count += entries.len();
        let places = entries
            .iter()
            .map(|entry| (entry.topic.as_str(), entry.partition));
        let places = named(places.collect());
        // Any entry will do for the detail: partitions paused for one reason wait for one thing.
        let detail = entries.first().map_or("", |entry| entry.detail.as_str());
        reasons.push(format!("{pipeline}: {places} paused, {reason}: {detail}"));
    }
    count
}

/// Adds one sentence for each pipeline.
fn stuck_reasons(state: &State, reasons: &mut Vec<String>) {
    let mut pipelines: BTreeMap<&str, Vec<(&str, i32)>> = BTreeMap::new();
    for (pipeline, topic, partition) in &state.stuck {
        pipelines
            .entry(pipeline)
            .or_default()
            .push((topic, *partition));
    }
    for (pipeline, places) in pipelines {
        reasons.push(format!(
            "{pipeline}: {} have records to read and make no progress",
            named(places)
        ));
    }
}

/// The first few partitions by name, and how many more there are.
fn named(partitions: Vec<(&str, i32)>) -> String {
    let mut places: Vec<String> = partitions
        .iter()
        .take(NAMED_PARTITIONS)
        .map(|(topic, number)| format!("{topic}[{number}]"))
        .collect();
    if partitions.len() > NAMED_PARTITIONS {
        places.push(format!("{} more", partitions.len() - NAMED_PARTITIONS));
    }
    places.join(", ")
}

fn timestamp(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => millis.to_string(),
    }
}

mod faults;
pub use faults::Faults;

#[cfg(test)]
mod tests;
