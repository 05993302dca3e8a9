//! The headers around a failed record: what a retry or a dead letter carries, and what is read back from a retry.
//! The record's own headers go through byte for byte; ours are replaced at each hop and never pile up.

use std::fmt::Display;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::{is_meant, millis};
use super::dialect::{self, Dialect};
use super::parking::Control;
use crate::error::{Reason, RecordError};
use crate::headers::{self, cut};
use crate::record::{Header, Record};
use crate::state::digest::Digest;

/// Where a record came from first, and how often it has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Source topic.
    pub topic: Arc<str>,
    /// Source partition.
    pub partition: i32,
    /// Source offset.
    pub offset: i64,
    /// Timestamp of the source record, milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// Failures so far.
    pub attempt: u32,
    /// When it failed first, milliseconds since the epoch.
    pub first_failed_at: Option<i64>,
    /// When it is due again, milliseconds since the epoch; 0 when it says nothing.
    pub due_at: i64,
    /// When it may be tried again at the earliest, if that is later than it is due; else 0.
    pub not_before: i64,
    /// How often it came back from the dead-letter topic.
    pub redriven: u32,
    /// Whether its place in the source is known: it was read there, or a retry's headers say it.
    pub is_placed: bool,
    /// It is no record of the source, but says something about a key.
    pub control: Option<Control>,
    /// With `dedup`: the key by which copies of it are known, once it was read that far.
    pub digest: Option<Digest>,
}

impl Origin {
    /// Of a record read from a source topic.
    pub fn of_source(record: &Record<'_>) -> Origin {
        Origin::read_from(record.topic.into(), record)
    }

    /// The same, of the topic that it was read from.
    pub fn read_from(topic: Arc<str>, record: &Record<'_>) -> Origin {
        Origin {
            topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            attempt: 0,
            first_failed_at: None,
            due_at: 0,
            not_before: 0,
            redriven: 0,
            is_placed: true,
            control: None,
            digest: None,
        }
    }

    /// Of a record read from one of our retry topics, whose headers are trusted. What is missing is filled in from
    /// the record itself: somebody else may have written to the topic, and nothing is lost over it.
    pub fn of_retry(record: &Record<'_>, source: &str) -> Origin {
        Origin {
            topic: text(record, headers::SOURCE_TOPIC).unwrap_or(source).into(),
            partition: number(record, headers::SOURCE_PARTITION).unwrap_or(record.partition),
            offset: number(record, headers::SOURCE_OFFSET).unwrap_or(record.offset),
            timestamp: match record.header(headers::SOURCE_TOPIC) {
                Some(_) => number(record, headers::SOURCE_TIMESTAMP).filter(|time| *time >= 0),
                None => record.timestamp,
            },
            attempt: number(record, headers::ATTEMPT).unwrap_or(0),
            first_failed_at: number(record, headers::FIRST_FAILED_AT),
            due_at: number(record, headers::DUE_AT).unwrap_or(0),
            not_before: number(record, headers::NOT_BEFORE).unwrap_or(0),
            redriven: number(record, headers::REDRIVEN).unwrap_or(0),
            is_placed: number::<i64>(record, headers::SOURCE_OFFSET).is_some(),
            control: record.header(headers::CONTROL).and_then(Control::parse),
            digest: record.header(headers::DEDUP_KEY).and_then(Digest::from_hex),
        }
    }

    /// Forgets times that no clock can have meant, when `longest` is the most that is ever waited: the record would never
    /// be too old, or never be tried.
    pub fn distrust(&mut self, now: i64, longest: Duration) {
        if !is_meant(self.not_before, now.saturating_add(millis(longest))) {
            self.not_before = 0;
        }
        self.first_failed_at = self.first_failed_at.filter(|at| is_meant(*at, now));
    }

    /// `topic-partition@offset`.
    pub fn position(&self) -> String {
        let mut digits = itoa::Buffer::new();
        let mut text = String::with_capacity(self.topic.len() + 2 * digits.format(i64::MIN).len());
        text.push_str(&self.topic);
        text.push('-');
        text.push_str(digits.format(self.partition));
        text.push('@');
        text.push_str(digits.format(self.offset));
        text
    }
}

fn text<'r>(record: &'r Record<'_>, name: &str) -> Option<&'r str> {
    record
        .header(name)
        .and_then(|value| std::str::from_utf8(value).ok())
}

fn number<T: std::str::FromStr>(record: &Record<'_>, name: &str) -> Option<T> {
    text(record, name).and_then(|text| text.parse().ok())
}

/// When a retry is due, without the rest of its origin.
pub fn due_at(record: &Record<'_>) -> i64 {
    number(record, headers::DUE_AT).unwrap_or(0)
}

/// Why a record went into retry.
pub fn reason(record: &Record<'_>) -> Option<Reason> {
    text(record, headers::REASON).and_then(Reason::parse)
}

/// When a record in retry failed first, without the rest of its origin.
pub fn first_failed_at(record: &Record<'_>) -> Option<i64> {
    number(record, headers::FIRST_FAILED_AT)
}

/// The headers that the source record had, from a record of one of our retry or dead-letter topics: ours removed, those
/// of other dialects that we added behind ours removed too, and what the source itself carried under our prefix under its
/// own name again.
pub fn own_headers<'r>(record: &Record<'r>) -> Vec<(std::borrow::Cow<'r, str>, Option<&'r [u8]>)> {
    let ours = first_of_ours(&record.headers);
    record
        .headers
        .iter()
        .enumerate()
        .filter_map(
            |(index, (name, value))| match name.strip_prefix(headers::PRIOR) {
                Some(rest) => Some((format!("{}{rest}", headers::PREFIX).into(), *value)),
                None if name.starts_with(headers::PREFIX) => None,
                None if index > ours && dialect::is_foreign(name) => None,
                None => Some(((*name).into(), *value)),
            },
        )
        .collect()
}

/// Where the headers that an envelope added begin: the record's own come first.
pub fn first_of_ours(headers: &[Header<'_>]) -> usize {
    let ours = |(name, _): &Header<'_>| {
        name.starts_with(headers::PREFIX) && !name.starts_with(headers::PRIOR)
    };
    headers.iter().position(ours).unwrap_or(headers.len())
}

/// Shows a record of one of our retry topics as it was at its source, so that a step which reads the record's place, time
/// or headers comes to the same each time. A record of a source is shown as it is.
pub fn at_source<R>(
    record: &Record<'_>,
    origin: &Origin,
    is_retry: bool,
    show: impl FnOnce(&Record<'_>) -> R,
) -> R {
    if !is_retry {
        return show(record);
    }
    let own = own_headers(record);
    let headers = own.iter().map(|(name, value)| (name.as_ref(), *value));
    show(&Record {
        topic: &origin.topic,
        partition: origin.partition,
        offset: origin.offset,
        timestamp: origin.timestamp,
        key: record.key,
        value: record.value,
        headers: headers.collect(),
    })
}

/// What is the same in every record of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Stamp {
    /// Pipeline name.
    pub pipeline: String,
    /// Consumer group.
    pub group: String,
    /// Owner: `team <contact>`.
    pub owner: String,
    /// The contract: `subject@version` or `file#fingerprint`.
    pub contract: String,
    /// Dialects that dead letters speak besides ours.
    pub dialects: Vec<Dialect>,
}

/// What the headers tell of failures so far.
struct Failures {
    count: u32,
    first_at: Option<i64>,
    last_at: Option<i64>,
}
/// The last step of [`Envelope::shortened`].
pub const SHORTEST: u8 = 2;
/// Bytes of an error and of a path that are shortened.
const SHORT_TEXT: usize = 128;
/// What stays in the end: why, from where, and what a redrive needs.
const KEPT: [&str; 9] = [
    headers::REASON,
    headers::SOURCE_TOPIC,
    headers::SOURCE_PARTITION,
    headers::SOURCE_OFFSET,
    headers::SOURCE_TIMESTAMP,
    headers::PIPELINE,
    headers::GROUP,
    headers::FAILED_AT,
    headers::REDRIVEN,
];

/// Whether a record of a retry topic was written there by a redrive, and not by a worker: no worker writes one that has been
/// sent back, was not tried again, follows nobody and has not hopped.
pub fn is_sent_back(record: &Record<'_>) -> bool {
    let redriven: Option<u32> = number(record, headers::REDRIVEN);
    redriven.is_some_and(|times| times > 0)
        && number(record, headers::ATTEMPT) == Some(0_u32)
        && reason(record) != Some(Reason::Parked)
        && !has_hopped(record)
}

/// Whether what a redrive sent, or what says something about a key, was written once more by [`Envelope::again`]: the due
/// time is its last header only then.
pub fn has_hopped(record: &Record<'_>) -> bool {
    let last = record.headers.last();
    last.is_some_and(|(name, _)| *name == headers::DUE_AT)
}

/// Headers of a retry or dead letter, ready to be produced. All of them lie in two buffers: a failed record should not cost
/// the others an allocation for each.
pub struct Envelope {
    own: Vec<(Name, Option<Span>)>,
    /// Names that are not ours, one behind another.
    names: String,
    /// Values, one behind another.
    values: Vec<u8>,
}

enum Name {
    Ours(&'static str),
    Carried(Span),
}

/// What a header usually takes, in bytes, and how many are ours.
const USUAL: (usize, usize) = (32, 20);

type Span = std::ops::Range<usize>;

impl Envelope {
    fn with_room(headers: usize) -> Envelope {
        let headers = headers + USUAL.1;
        Envelope {
            own: Vec::with_capacity(headers),
            names: String::new(),
            values: Vec::with_capacity(headers * USUAL.0),
        }
    }

    fn value(&mut self, value: &[u8]) -> Span {
        let from = self.values.len();
        self.values.extend_from_slice(value);
        from..self.values.len()
    }

    fn add(&mut self, name: &'static str, value: &str) {
        let value = self.value(value.as_bytes());
        self.own.push((Name::Ours(name), Some(value)));
    }

    fn add_number(&mut self, name: &'static str, number: impl itoa::Integer) {
        self.add(name, itoa::Buffer::new().format(number));
    }

    /// What is written out here, up to `limit` bytes of it.
    fn add_text(&mut self, name: &'static str, text: &impl Display, limit: usize) {
        let from = self.values.len();
        if write!(self.values, "{text}").is_err() {
            self.values.truncate(from);
        }
        let written = std::str::from_utf8(&self.values[from..]).unwrap_or_default();
        let to = from + cut(written, limit).len();
        self.values.truncate(to);
        self.own.push((Name::Ours(name), Some(from..to)));
    }

    /// One that is not ours; its name is that of `parts` together.
    fn carry(&mut self, parts: [&str; 2], value: Option<&[u8]>) {
        let from = self.names.len();
        self.names.extend(parts);
        let value = value.map(|value| self.value(value));
        self.own
            .push((Name::Carried(from..self.names.len()), value));
    }

    fn name(&self, name: &Name) -> &str {
        match name {
            Name::Ours(name) => name,
            Name::Carried(span) => self.names.get(span.clone()).unwrap_or_default(),
        }
    }

    /// `headers` are the source record's own; `due_at` is set for a retry only. Times in milliseconds since the epoch.
    pub fn new(
        stamp: &Stamp,
        origin: &Origin,
        error: &RecordError,
        headers: &[Header<'_>],
        failed_at: i64,
        due_at: Option<i64>,
    ) -> Self {
        let failures = Failures {
            count: origin.attempt.saturating_add(1),
            first_at: Some(origin.first_failed_at.unwrap_or(failed_at)),
            last_at: Some(failed_at),
        };
        Envelope::of(stamp, origin, error, headers, failures, due_at)
    }

    /// Of a record that has not failed and goes where another one of its key is: no attempt is spent.
    pub fn following(
        stamp: &Stamp,
        origin: &Origin,
        error: &RecordError,
        headers: &[Header<'_>],
        due_at: i64,
    ) -> Self {
        let failures = Failures {
            count: origin.attempt,
            first_at: origin.first_failed_at,
            last_at: None,
        };
        Envelope::of(stamp, origin, error, headers, failures, Some(due_at))
    }

    /// Of a record that goes from one retry topic to another, or round on the same one, without having been tried: all
    /// that it carries, and another due time.
    pub fn again(record: &Record<'_>, due_at: i64) -> Self {
        let mut again = Envelope::with_room(record.headers.len());
        for (name, value) in &record.headers {
            if *name != headers::DUE_AT {
                again.carry([name, ""], *value);
            }
        }
        again.add_number(headers::DUE_AT, due_at);
        again
    }

    /// The same, not to be tried again before `at`.
    #[must_use]
    pub fn not_before(mut self, at: i64) -> Self {
        self.add_number(headers::NOT_BEFORE, at);
        self
    }

    /// The same, on what is no record of the source.
    #[must_use]
    pub fn saying(mut self, control: Control) -> Self {
        self.add(headers::CONTROL, &control.to_text());
        self
    }

    fn of(
        stamp: &Stamp,
        origin: &Origin,
        error: &RecordError,
        headers: &[Header<'_>],
        failures: Failures,
        due_at: Option<i64>,
    ) -> Self {
        let mut all = Envelope::with_room(headers.len());
        for (name, value) in headers {
            match name.strip_prefix(headers::PREFIX) {
                Some(rest) => all.carry([headers::PRIOR, rest], *value),
                None => all.carry([name, ""], *value),
            }
        }
        all.add(headers::REASON, error.reason.as_str());
        all.add_text(headers::ERROR, error, headers::ERROR_LIMIT);
        all.add(headers::PATH, cut(&error.path, headers::ERROR_LIMIT));
        all.add(headers::SOURCE_TOPIC, &origin.topic);
        all.add_number(headers::SOURCE_PARTITION, origin.partition);
        all.add_number(headers::SOURCE_OFFSET, origin.offset);
        if let Some(timestamp) = origin.timestamp {
            all.add_number(headers::SOURCE_TIMESTAMP, timestamp);
        }
        all.add(headers::PIPELINE, &stamp.pipeline);
        all.add(headers::GROUP, &stamp.group);
        all.add(headers::OWNER, &stamp.owner);
        if let Some(id) = error.schema_id {
            all.add_number(headers::SCHEMA_ID, id);
        }
        all.add(headers::CONTRACT, &stamp.contract);
        all.add_number(headers::ATTEMPT, failures.count);
        if let Some(at) = failures.first_at {
            all.add_number(headers::FIRST_FAILED_AT, at);
        }
        if let Some(at) = failures.last_at {
            all.add_number(headers::FAILED_AT, at);
        }
        if let Some(due_at) = due_at {
            if let Some(digest) = origin.digest {
                all.add(headers::DEDUP_KEY, &digest.to_hex());
            }
            all.add_number(headers::DUE_AT, due_at);
        }
        if origin.redriven > 0 {
            all.add_number(headers::REDRIVEN, origin.redriven);
        }
        if due_at.is_none() {
            for dialect in &stamp.dialects {
                for (name, value) in dialect.headers(stamp, origin, error) {
                    all.carry([&name, ""], Some(&value));
                }
            }
        }
        all
    }

    /// The same in less room, for a dead letter that its topic does not take otherwise: shorter with each step, up to
    /// [`SHORTEST`]. First other dialects are left out and the error is cut; then all goes that is no reason, no place and
    /// no group. The record's own headers stay as they are, as do key and value.
    #[must_use]
    pub fn shortened(mut self, steps: u8) -> Self {
        let first = self
            .own
            .iter()
            .position(|(name, _)| matches!(name, Name::Ours(_)));
        let Some(first) = first.filter(|_| steps > 0) else {
            return self;
        };
        for (name, value) in self.own.split_off(first) {
            let Name::Ours(name) = name else { continue };
            if steps >= SHORTEST && !KEPT.contains(&name) {
                continue;
            }
            let is_text = name == headers::ERROR || name == headers::PATH;
            let value = value.map(
                |span| match std::str::from_utf8(&self.values[span.clone()]) {
                    Ok(text) if is_text => span.start..span.start + cut(text, SHORT_TEXT).len(),
                    _ => span,
                },
            );
            self.own.push((Name::Ours(name), value));
        }
        self
    }

    /// As the producer takes them.
    pub fn headers(&self) -> Vec<Header<'_>> {
        self.own
            .iter()
            .map(|(name, value)| {
                let value = value
                    .as_ref()
                    .and_then(|span| self.values.get(span.clone()));
                (self.name(name), value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Record<'static> {
        Record {
            topic: "orders",
            partition: 3,
            offset: 42,
            timestamp: Some(1_700_000_000_000),
            key: None,
            value: None,
            headers: vec![
                ("traceparent", Some(b"00-abc-def-01")),
                ("binary", Some(&[0xff, 0x00, 0xfe])),
                ("null", None),
                ("driftgate.reason", Some(b"not ours")),
                ("traceparent", Some(b"second of that name")),
            ],
        }
    }

    #[test]
    fn a_retry_is_shown_as_it_was_at_its_source() {
        let origin = Origin::of_source(&source());
        let retry = Record {
            topic: "orders.g.retry.1",
            partition: 3,
            offset: 7,
            timestamp: Some(1),
            headers: vec![
                ("driftgate.reason", Some(b"lookup_unavailable")),
                ("driftgate.prior.reason", Some(b"not ours")),
                ("binary", Some(&[0xff])),
            ],
            ..source()
        };
        for is_retry in [true, false] {
            at_source(&retry, &origin, is_retry, |record| {
                let place = (record.topic, record.offset, record.timestamp);
                let reason = record.header("driftgate.reason");
                match is_retry {
                    true => {
                        assert_eq!(place, ("orders", 42, Some(1_700_000_000_000)));
                        assert_eq!(reason, Some(&b"not ours"[..]));
                        assert_eq!(record.headers.len(), 2);
                    }
                    false => assert_eq!(place, ("orders.g.retry.1", 7, Some(1))),
                }
            });
        }
    }

    #[test]
    fn many_hops_keep_the_own_headers_and_replace_ours() {
        let stamp = Stamp {
            pipeline: "p".into(),
            group: "g".into(),
            owner: "team <#chan>".into(),
            contract: "orders-value@3".into(),
            dialects: Vec::new(),
        };
        let error = RecordError::new(Reason::LookupUnavailable, "time-out after 2s")
            .at("customer")
            .with_schema(7);
        let record = source();
        let first = Envelope::new(
            &stamp,
            &Origin::of_source(&record),
            &error,
            &record.headers,
            1000,
            Some(6000),
        );
        let count = first.headers().len();
        let mut carried = first;
        for hop in 2..=30u32 {
            let retry = Record {
                topic: "orders.g.retry.1",
                offset: i64::from(hop),
                headers: carried.headers(),
                ..source()
            };
            let origin = Origin::of_retry(&retry, "orders");
            assert_eq!(
                (&*origin.topic, origin.partition, origin.offset),
                ("orders", 3, 42)
            );
            assert_eq!(
                (origin.attempt, origin.first_failed_at),
                (hop - 1, Some(1000))
            );
            let own = own_headers(&retry);
            let own: Vec<Header<'_>> = own
                .iter()
                .map(|(name, value)| (name.as_ref(), *value))
                .collect();
            assert_eq!(own, source().headers);
            let next = Envelope::new(
                &stamp,
                &origin,
                &error,
                &own,
                i64::from(hop) * 1000,
                Some(0),
            );
            assert_eq!(next.headers().len(), count, "headers grow");
            carried = next;
        }
    }

    #[test]
    fn what_a_redrive_wrote_is_told_from_what_a_worker_wrote() {
        let sent = [
            (headers::REASON, "rule_violation"),
            (headers::ATTEMPT, "0"),
            (headers::DUE_AT, "7"),
            (headers::REDRIVEN, "2"),
        ];
        let sent = Record {
            headers: sent
                .iter()
                .map(|(name, value)| (*name, Some(value.as_bytes())))
                .collect(),
            ..source()
        };
        assert!(is_sent_back(&sent));
        fn as_record(envelope: &Envelope) -> Record<'_> {
            Record {
                headers: envelope.headers(),
                ..source()
            }
        }
        let hopped = Envelope::again(&sent, 9);
        assert!(has_hopped(&as_record(&hopped)) && !is_sent_back(&as_record(&hopped)));
        let origin = Origin::of_retry(&sent, "orders");
        let (stamp, error) = (
            Stamp::default(),
            RecordError::new(Reason::LookupUnavailable, ""),
        );
        let failed = Envelope::new(&stamp, &origin, &error, &[], 10, Some(20));
        assert!(!is_sent_back(&as_record(&failed)));
        let parked = RecordError::new(Reason::Parked, "follows orders-3@41");
        let parked = Envelope::following(&stamp, &origin, &parked, &[], 30);
        assert!(!is_sent_back(&as_record(&parked)) && !has_hopped(&as_record(&parked)));
        let said = parked.saying(Control::Released);
        let hopped = Envelope::again(&as_record(&said), 40);
        assert!(!has_hopped(&as_record(&said)) && has_hopped(&as_record(&hopped)));
        assert!(!is_sent_back(&source()));
    }

    #[test]
    fn a_hop_without_a_try_spends_no_attempt_and_keeps_what_was_told() {
        let number = |record: &Record<'_>, name| number::<i64>(record, name);
        let parked = RecordError::new(Reason::Parked, "follows orders-3@41");
        let origin = Origin::of_source(&source());
        let (stamp, own) = (Stamp::default(), source().headers);
        let followed = Envelope::following(&stamp, &origin, &parked, &own, 100);
        let follower = Record {
            headers: followed.headers(),
            ..source()
        };
        assert_eq!(number(&follower, headers::ATTEMPT), Some(0));
        assert_eq!(number(&follower, headers::FIRST_FAILED_AT), None);
        assert_eq!(number(&follower, headers::FAILED_AT), None);
        let origin = Origin::of_retry(&follower, "orders");
        assert!(origin.is_placed && origin.control.is_none());
        let error = RecordError::new(Reason::LookupUnavailable, "503");
        let failed = Envelope::new(&stamp, &origin, &error, &own, 200, Some(300)).not_before(9000);
        let failed = Record {
            headers: failed.headers(),
            ..source()
        };
        let again = Envelope::again(&failed, 400);
        assert_eq!(again.headers().len(), failed.headers.len());
        let again = Record {
            headers: again.headers(),
            ..source()
        };
        for (name, value) in [
            (headers::ATTEMPT, 1),
            (headers::FIRST_FAILED_AT, 200),
            (headers::FAILED_AT, 200),
            (headers::DUE_AT, 400),
            (headers::NOT_BEFORE, 9000),
        ] {
            assert_eq!(number(&again, name), Some(value), "{name}");
        }
        assert_eq!(
            again.header(headers::REASON),
            Some(&b"lookup_unavailable"[..])
        );
        // Once it has been tried, nothing of that is left.
        let origin = Origin::of_retry(&again, "orders");
        let own = own_headers(&again);
        let own: Vec<_> = own
            .iter()
            .map(|(name, value)| (name.as_ref(), *value))
            .collect();
        let next = Envelope::new(&stamp, &origin, &error, &own, 500, Some(600));
        let names = next.headers();
        assert!(names.iter().all(|(name, _)| *name != headers::NOT_BEFORE));
    }

    #[test]
    fn a_dead_letter_names_its_cause_and_source() {
        let record = source();
        let long = "é".repeat(2000);
        let error = RecordError::new(Reason::RuleViolation, long)
            .at("items[2].price")
            .with_schema(7);
        let envelope = Envelope::new(
            &Stamp::default(),
            &Origin::of_source(&record),
            &error,
            &[],
            5,
            None,
        );
        let find = |name: &str| {
            let headers = envelope.headers();
            let value = headers
                .iter()
                .find(|(n, _)| *n == name)
                .and_then(|(_, value)| *value);
            value.map(|value| String::from_utf8(value.to_vec()).expect("UTF-8"))
        };
        assert_eq!(find(headers::REASON).as_deref(), Some("rule_violation"));
        assert_eq!(find(headers::PATH).as_deref(), Some("items[2].price"));
        assert_eq!(find(headers::SOURCE_PARTITION).as_deref(), Some("3"));
        assert_eq!(find(headers::SOURCE_OFFSET).as_deref(), Some("42"));
        assert_eq!(
            find(headers::SOURCE_TIMESTAMP).as_deref(),
            Some("1700000000000")
        );
        assert_eq!(find(headers::SCHEMA_ID).as_deref(), Some("7"));
        assert_eq!(find(headers::ATTEMPT).as_deref(), Some("1"));
        assert_eq!(find(headers::DUE_AT), None);
        let error = find(headers::ERROR).expect("always there");
        assert!(error.len() <= headers::ERROR_LIMIT && error.starts_with("items[2].price: é"));
    }

    #[test]
    fn a_dead_letter_that_has_little_room_keeps_reason_place_and_its_own_headers() {
        let stamp = Stamp {
            group: "gate".into(),
            owner: "team <#chan>".into(),
            dialects: vec![Dialect::Connect, Dialect::Spring],
            ..Stamp::default()
        };
        let mut origin = Origin::of_source(&source());
        origin.redriven = 3;
        let error = RecordError::new(Reason::RuleViolation, "é".repeat(2000)).at("p".repeat(300));
        let envelope = |steps| {
            let own = &source().headers;
            Envelope::new(&stamp, &origin, &error, own, 5, None).shortened(steps)
        };
        let full = envelope(0);
        let own = &full.headers()[..source().headers.len()];
        let mut size = usize::MAX;
        for steps in 0..=SHORTEST {
            let found = envelope(steps);
            let found = found.headers();
            let value = |name: &str| {
                let value = found.iter().find(|(n, _)| *n == name)?.1?;
                Some(std::str::from_utf8(value).expect("UTF-8"))
            };
            let bytes = |(name, value): &Header<'_>| name.len() + value.map_or(0, <[u8]>::len);
            let bytes: usize = found.iter().map(bytes).sum();
            assert!(bytes < size, "{steps}");
            size = bytes;
            assert_eq!(&found[..own.len()], own, "{steps}");
            assert_eq!(value(headers::REASON), Some("rule_violation"));
            assert_eq!(value(headers::SOURCE_OFFSET), Some("42"));
            assert_eq!(value(headers::GROUP), Some("gate"));
            assert_eq!(value(headers::REDRIVEN), Some("3"));
            assert_eq!(value("__connect.errors.topic").is_some(), steps == 0);
            let error = value(headers::ERROR).map(str::len);
            let path = value(headers::PATH).map(str::len);
            match steps {
                0 => assert_eq!((error, path), (Some(headers::ERROR_LIMIT), Some(300))),
                1 => assert_eq!((error, path), (Some(128), Some(128))),
                _ => assert_eq!((error, path), (None, None)),
            }
        }
    }

    #[test]
    fn times_that_no_clock_can_have_meant_are_forgotten() {
        const DAY: Duration = Duration::from_secs(86_400);
        let check = |first, not_before, expect| {
            let mut origin = Origin::of_source(&source());
            (origin.first_failed_at, origin.not_before) = (Some(first), not_before);
            origin.distrust(1_000_000, DAY);
            assert_eq!((origin.first_failed_at, origin.not_before), expect);
        };
        check(5, 0, (Some(5), 0));
        check(1_000_500, 86_400_000, (Some(1_000_500), 86_400_000));
        check(900_000_000, 900_000_000, (None, 0));
        check(i64::MIN, i64::MIN, (Some(i64::MIN), i64::MIN));
    }

    #[test]
    fn a_foreign_record_on_a_retry_topic_is_due_now() {
        let record = Record {
            headers: vec![("driftgate.due_at", Some(b"soon"))],
            ..source()
        };
        let origin = Origin::of_retry(&record, "orders");
        assert_eq!((origin.due_at, origin.attempt, origin.offset), (0, 0, 42));
    }
}
