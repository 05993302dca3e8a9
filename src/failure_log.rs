//! Failures in the log: a class of failures is told in full the first time it occurs, and from then on as a count
//! every 30 seconds. A flood of bad records must not become a flood of lines, and the first of a kind must not drown.
//!
//! In: each failed record's position and error. Out: `tracing` events. It takes the time from its caller, holds no
//! payload and keeps a bounded number of classes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::model::Owner;
use crate::error::{Reason, RecordError};

/// Time between two summaries.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// Classes told apart; the rest are counted as `other`. A field path may hold a map's keys, so there is no end to them.
const MAX_CLASSES: usize = 1000;

/// Lines of one summary, those with the most records; the rest are one line more.
const MAX_LINES: usize = 20;

/// A class that has been quiet for this long is told in full again when it comes back: by then it is news.
const QUIET: Duration = Duration::from_secs(3600);

/// Longest error text in a line, in bytes.
const MAX_ERROR: usize = 512;

/// A record that failed, for the log.
#[derive(Debug, Clone, Copy)]
pub struct FailedRecord<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Topic that it was read from.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Who is to be told.
    pub owner: &'a Owner,
    /// What became of it: `retried`, `dead_lettered`, `paused`.
    pub disposition: &'a str,
}

/// The classes of failures met so far. One for the process, shared by its workers: a class that all of them meet is
/// told once. Locked for a failed record only.
#[derive(Debug)]
pub struct FailureLog {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    classes: HashMap<String, Class>,
    /// Beyond [`MAX_CLASSES`].
    other: Option<Class>,
    last_summary: Instant,
    /// The key being looked up, kept so that counting allocates nothing.
    key: String,
}

/// A class and what is counted of it.
#[derive(Debug, Clone)]
struct Class {
    pipeline: String,
    topic: String,
    /// `None`: the classes counted as `other`.
    reason: Option<Reason>,
    path: String,
    owner: String,
    total: u64,
    /// Not told yet.
    untold: u64,
    last_seen: Instant,
    last_partition: i32,
    last_offset: i64,
}

/// What one more failure is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    First,
    Overflow,
    Counted,
}

#[derive(Debug)]
struct Summary {
    seconds: u64,
    /// The largest first.
    classes: Vec<Class>,
    more_classes: usize,
    more_records: u64,
}

impl FailureLog {
    /// No failures yet; the first summary is due [`INTERVAL`] from `now`.
    pub fn new(now: Instant) -> FailureLog {
        FailureLog {
            state: Mutex::new(State {
                classes: HashMap::new(),
                other: None,
                last_summary: now,
                key: String::new(),
            }),
        }
    }

    /// One more failure: told in full if it is the first of its class (pipeline, topic, reason and path), else counted.
    pub fn record(&self, now: Instant, record: &FailedRecord<'_>, error: &RecordError) {
        match self.note(now, record, error) {
            Kind::First => tracing::warn!(
                pipeline = record.pipeline,
                topic = record.topic,
                partition = record.partition,
                offset = record.offset,
                reason = error.reason.as_str(),
                path = some(&error.path),
                error = bounded(&error.message),
                byte_offset = error.byte_offset,
                schema_id = error.schema_id,
                disposition = record.disposition,
                owner = some(&record.owner.to_string()),
                "a record failed; further ones like it are counted"
            ),
            Kind::Overflow => tracing::warn!(
                classes = MAX_CLASSES,
                "too many kinds of failure to tell apart; new ones are counted together as other"
            ),
            Kind::Counted => {}
        }
    }

    /// Tells the counts, if [`INTERVAL`] has passed since the last time; otherwise cheap. Call it once a loop.
    pub fn summarise(&self, now: Instant) {
        let due = now.saturating_duration_since(self.lock().last_summary) >= INTERVAL;
        if due {
            self.flush(now);
        }
    }

    /// Tells the counts now, as at shutdown.
    pub fn flush(&self, now: Instant) {
        let summary = self.take_summary(now);
        for class in &summary.classes {
            tracing::warn!(
                pipeline = some(&class.pipeline),
                topic = some(&class.topic),
                reason = class.reason.map_or("other", Reason::as_str),
                path = some(&class.path),
                records = class.untold,
                seconds = summary.seconds,
                total = class.total,
                last_partition = class.last_partition,
                last_offset = class.last_offset,
                owner = some(&class.owner),
                "more records failed"
            );
        }
        if summary.more_classes > 0 {
            tracing::warn!(
                classes = summary.more_classes,
                records = summary.more_records,
                seconds = summary.seconds,
                "more records failed, of other kinds"
            );
        }
    }

    fn note(&self, now: Instant, record: &FailedRecord<'_>, error: &RecordError) -> Kind {
        let mut guard = self.lock();
        let state = &mut *guard;
        write_key(&mut state.key, record, error);
        if let Some(class) = state.classes.get_mut(&state.key) {
            class.count(now, record);
            return Kind::Counted;
        }
        if state.classes.len() < MAX_CLASSES {
            let class = Class::first(now, record, error);
            state.classes.insert(state.key.clone(), class);
            return Kind::First;
        }
        match &mut state.other {
            Some(other) => {
                other.count(now, record);
                Kind::Counted
            }
            None => {
                let mut other = Class::first(now, record, error);
                other.pipeline.clear();
                other.topic.clear();
                other.path.clear();
                other.owner.clear();
                other.reason = None;
                // The line about the overflow does not tell this record.
                other.untold = 1;
                state.other = Some(other);
                Kind::Overflow
            }
        }
    }

    /// What is untold, and forgets it; forgets the classes that have gone quiet, too.
    fn take_summary(&self, now: Instant) -> Summary {
        let mut state = self.lock();
        let seconds = now.saturating_duration_since(state.last_summary).as_secs();
        state.last_summary = now;
        let mut untold = Vec::new();
        let mut take = |class: &mut Class| {
            if class.untold > 0 {
                untold.push(class.clone());
                class.untold = 0;
            }
            now.saturating_duration_since(class.last_seen) < QUIET
        };
        state.classes.retain(|_, class| take(class));
        if !state.other.as_mut().is_none_or(&mut take) {
            state.other = None;
        }
        drop(state);
        // By name where the counts are equal, so that the same state gives the same lines.
        untold.sort_by(|a, b| {
            let name = |class: &Class| {
                (
                    class.pipeline.clone(),
                    class.topic.clone(),
                    class.reason,
                    class.path.clone(),
                )
            };
            b.untold.cmp(&a.untold).then_with(|| name(a).cmp(&name(b)))
        });
        let more = untold.split_off(untold.len().min(MAX_LINES));
        Summary {
            seconds,
            classes: untold,
            more_classes: more.len(),
            more_records: more.iter().map(|class| class.untold).sum(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Class {
    fn first(now: Instant, record: &FailedRecord<'_>, error: &RecordError) -> Class {
        Class {
            pipeline: record.pipeline.to_owned(),
            topic: record.topic.to_owned(),
            reason: Some(error.reason),
            path: without_indices(&error.path).collect(),
            owner: record.owner.to_string(),
            total: 1,
            untold: 0,
            last_seen: now,
            last_partition: record.partition,
            last_offset: record.offset,
        }
    }

    fn count(&mut self, now: Instant, record: &FailedRecord<'_>) {
        self.total += 1;
        self.untold += 1;
        self.last_seen = now;
        self.last_partition = record.partition;
        self.last_offset = record.offset;
    }
}

fn write_key(key: &mut String, record: &FailedRecord<'_>, error: &RecordError) {
    key.clear();
    for part in [record.pipeline, record.topic, error.reason.as_str()] {
        key.push_str(part);
        // Neither a topic nor a reason nor a YAML key that is one word holds it.
        key.push('\0');
    }
    key.extend(without_indices(&error.path));
}

/// `items[2].price` as `items[].price`: the tenth element is no other kind of failure than the second.
fn without_indices(path: &str) -> impl Iterator<Item = char> + '_ {
    let mut inside = false;
    path.chars().filter(move |c| {
        if *c == ']' {
            inside = false;
        }
        let kept = !inside;
        if *c == '[' {
            inside = true;
        }
        kept
    })
}

/// Left out of the line when empty.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ERROR)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::captured;

    fn owner() -> Owner {
        Owner {
            team: "order-platform".into(),
            contact: "#orders-oncall".into(),
        }
    }

    fn fail(log: &FailureLog, now: Instant, offset: i64, error: &RecordError) {
        log.record(
            now,
            &FailedRecord {
                pipeline: "gate",
                topic: "orders",
                partition: 3,
                offset,
                owner: &owner(),
                disposition: "dead_lettered",
            },
            error,
        );
    }

    fn malformed(path: &str) -> RecordError {
        RecordError::new(
            Reason::MalformedData,
            "expected a string, found 3 bytes less",
        )
        .at(path)
        .at_byte(17)
        .with_schema(42)
    }

    #[test]
    fn the_first_is_told_in_full_and_the_rest_are_counted() {
        let start = Instant::now();
        let log = FailureLog::new(start);
        let lines = captured(|| {
            for offset in 100..1_100 {
                fail(&log, start, offset, &malformed("items[2].price"));
            }
            log.summarise(start + Duration::from_secs(29));
            log.summarise(start + Duration::from_secs(30));
            log.summarise(start + Duration::from_secs(31));
            log.summarise(start + Duration::from_secs(90));
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        let first = &lines[0];
        let expected = serde_json::json!({
            "timestamp": first["timestamp"], "level": "WARN", "target": "driftgate::failure_log",
            "message": "a record failed; further ones like it are counted",
            "pipeline": "gate", "topic": "orders", "partition": 3, "offset": 100,
            "reason": "malformed_data", "path": "items[2].price", "error": "expected a string, found 3 bytes less",
            "byte_offset": 17, "schema_id": 42, "disposition": "dead_lettered",
            "owner": "order-platform <#orders-oncall>",
        });
        assert_eq!(first, &expected);
        let summary = &lines[1];
        let expected = serde_json::json!({
            "timestamp": summary["timestamp"], "level": "WARN", "target": "driftgate::failure_log",
            "message": "more records failed", "pipeline": "gate", "topic": "orders", "reason": "malformed_data",
            "path": "items[].price", "records": 999, "seconds": 30, "total": 1000, "last_partition": 3,
            "last_offset": 1099, "owner": "order-platform <#orders-oncall>",
        });
        assert_eq!(summary, &expected);
    }

    #[test]
    fn classes_differ_by_reason_and_path_not_by_index_or_message() {
        let start = Instant::now();
        let log = FailureLog::new(start);
        let firsts = |error: RecordError, expect: usize| {
            let lines = captured(|| fail(&log, start, 0, &error));
            assert_eq!(lines.len(), expect, "{error}");
        };
        firsts(malformed("items[2].price"), 1);
        firsts(malformed("items[10].price"), 0);
        firsts(malformed("items[2].name"), 1);
        firsts(malformed(""), 1);
        firsts(RecordError::new(Reason::MalformedData, "another text"), 0);
        firsts(RecordError::new(Reason::RuleViolation, "another text"), 1);
    }

    #[test]
    fn classes_lines_and_texts_are_bounded_and_no_record_goes_uncounted() {
        let start = Instant::now();
        let log = FailureLog::new(start);
        let told = captured(|| {
            for round in 0..2 {
                for class in 0..MAX_CLASSES + 500 {
                    fail(
                        &log,
                        start,
                        round,
                        &malformed(&format!("attributes.k{class}")),
                    );
                }
            }
        });
        // The first of each, and once that there are too many.
        assert_eq!(told.len(), MAX_CLASSES + 1);
        assert_eq!(told[MAX_CLASSES]["classes"], MAX_CLASSES);
        assert_eq!(log.lock().classes.len(), MAX_CLASSES);

        let summary = captured(|| log.flush(start + INTERVAL));
        assert_eq!(summary.len(), MAX_LINES + 1);
        assert_eq!(summary[0]["reason"], "other");
        assert_eq!(summary[0]["records"], 1000);
        let records = |line: &serde_json::Value| line["records"].as_u64().expect("a count");
        let counted: u64 = summary.iter().map(records).sum();
        assert_eq!(counted + MAX_CLASSES as u64, 2 * (MAX_CLASSES as u64 + 500));

        let long = RecordError::new(Reason::LookupUnavailable, "ä".repeat(5_000));
        let told = captured(|| fail(&FailureLog::new(start), start, 0, &long));
        assert_eq!(told[0]["error"].as_str().expect("text").len(), MAX_ERROR);
    }

    #[test]
    fn a_class_that_was_quiet_for_long_is_news_again() {
        let start = Instant::now();
        let log = FailureLog::new(start);
        let check = |after: Duration, expect: usize| {
            let lines = captured(|| {
                log.summarise(start + after);
                fail(&log, start + after, 0, &malformed("price"));
                log.flush(start + after);
            });
            let firsts = lines.iter().filter(|l| l["disposition"] == "dead_lettered");
            assert_eq!(firsts.count(), expect, "{after:?}");
        };
        check(Duration::ZERO, 1);
        check(QUIET / 2, 0);
        check(QUIET + QUIET / 4, 0);
        check(QUIET * 3, 1);
        assert_eq!(log.lock().classes.len(), 1);
    }

    #[test]
    fn workers_share_one_log() {
        let start = Instant::now();
        let log = FailureLog::new(start);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for offset in 0..250 {
                        fail(&log, start, offset, &malformed("price"));
                    }
                });
            }
        });
        let summary = captured(|| log.flush(start + INTERVAL));
        assert_eq!(summary.len(), 1);
        assert_eq!(summary[0]["total"], 1000);
        assert_eq!(summary[0]["records"], 999);
    }
}
