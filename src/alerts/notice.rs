//! What is told: one notice, and who tells it. Plain data between the incidents, which make it, and the formats.

use serde_json::{Map, Value};

use crate::config::model::{AlertKind, Owner};

/// Partitions that a notice names; it counts the rest.
pub(super) const NAMED: usize = 20;
/// Characters of a text from outside, such as what a server answered.
const TEXT: usize = 2000;

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// What a notice says of its incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has begun, or has come to hold up partitions.
    Open,
    /// It goes on.
    Reminder,
    /// It is over.
    Resolved,
    /// This instance watches it no longer: it ends, or the partitions are another's.
    Released,
    /// It happened, and has no end of its own.
    Event,
    /// Somebody tries the webhook out.
    Test,
}

impl State {
    /// The word of our JSON.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Reminder => "reminder",
            State::Resolved => "resolved",
            State::Released => "released",
            State::Event => "event",
            State::Test => "test",
        }
    }
}

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Notice {
    pub(super) state: State,
    pub(super) kind: AlertKind,
    /// What of its kind it is about, such as a lookup's server; empty where there is only one.
    pub(super) subject: String,
    /// The stable word of the cause.
    pub(super) reason: String,
    /// What is wrong, in one line.
    pub(super) text: String,
    /// What the other side answered, or what else helps; may be empty.
    pub(super) detail: String,
    /// The topic, where there is only one.
    pub(super) topic: Option<String>,
    /// The first partitions of those that it is about.
    pub(super) partitions: Vec<Place>,
    pub(super) partitions_in_all: usize,
    /// Milliseconds since the epoch.
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    /// How often it has happened since the first time.
    pub(super) count: u64,
    /// What belongs to the kind, for programs.
    pub(super) details: Map<String, Value>,
}

impl Notice {
    /// One that is about no partition and has happened once, now.
    pub(super) fn plain(
        kind: AlertKind,
        subject: &str,
        reason: &str,
        text: &str,
        now: i64,
    ) -> Notice {
        Notice {
            state: State::Open,
            kind,
            subject: subject.to_owned(),
            reason: reason.to_owned(),
            text: bounded(text),
            detail: String::new(),
            topic: None,
            partitions: Vec::new(),
            partitions_in_all: 0,
            first_seen: now,
            last_seen: now,
            count: 1,
            details: Map::new(),
        }
    }

    /// The word of its kind; a test has none of ours.
    pub(super) fn kind(&self) -> &'static str {
        match self.state {
            State::Test => State::Test.as_str(),
            _ => self.kind.as_str(),
        }
    }

    /// The same for a receiver that tells incidents of one instance and pipeline apart.
    pub(super) fn id(&self, pipeline: &str) -> String {
        match self.subject.as_str() {
            "" => format!("{pipeline}/{}", self.kind()),
            subject => format!("{pipeline}/{}/{subject}", self.kind()),
        }
    }

    /// `orders[0], orders[1] and 3 more`, with so many names at most; empty without partitions.
    pub(super) fn places(&self, most: usize) -> String {
        let names: Vec<_> = self
            .partitions
            .iter()
            .take(most)
            .map(Place::to_string)
            .collect();
        match self.partitions_in_all.saturating_sub(names.len()) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

/// Who tells it: the same for all notices of a pipeline's webhook.
#[derive(Debug, Clone)]
pub(super) struct From {
    pub(super) pipeline: String,
    pub(super) owner: Owner,
    pub(super) instance: String,
    /// To the console.
    pub(super) link: Option<String>,
}

/// On one line, and not for ever.
pub(super) fn bounded(text: &str) -> String {
    let mut out: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT)
        .collect();
    if text.chars().nth(TEXT).is_some() {
        out.push('…');
    }
    out
}
