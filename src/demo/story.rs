//! What goes wrong when: fractions of the demo's duration, so that every duration tells the whole story.

use std::time::Duration;

/// Something that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Good orders.
    Calm,
    /// A producer writes with a schema that has one more optional field.
    OptionalField,
    /// A producer turns the status into a number.
    NumericStatus,
    /// A producer cuts payloads short.
    Truncated,
    /// The CRM server stops.
    LookupDown,
    /// The CRM server is back.
    LookupUp,
}

/// One of them, with its time and words.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// After the first order.
    pub at: Duration,
    /// What changes.
    pub event: Event,
    /// What the screen says.
    pub text: &'static str,
}

/// The chapters in order.
#[derive(Debug)]
pub struct Story {
    chapters: Vec<Chapter>,
    end: Duration,
}

const PLOT: [(f64, Event, &str); 9] = [
    (
        0.00,
        Event::Calm,
        "orders flow: contract, filter, mask, lookup, sink",
    ),
    (
        0.12,
        Event::OptionalField,
        "a producer deploys schema 2 with a new optional field `coupon`: it flows on, nobody has to act",
    ),
    (
        0.24,
        Event::NumericStatus,
        "a producer deploys schema 3: `status` turns from SHIPPED to 2. Its records are dead letters, named, not guessed",
    ),
    (0.34, Event::Calm, "the producer rolls schema 3 back"),
    (
        0.42,
        Event::Truncated,
        "a proxy cuts payloads short: dead letters, with the byte where they end",
    ),
    (0.48, Event::Calm, "the proxy is repaired"),
    (
        0.54,
        Event::LookupDown,
        "the CRM server stops: its records go to retry topics, the others flow",
    ),
    (
        0.68,
        Event::LookupUp,
        "the CRM server is back: the retries are due one after the other",
    ),
    (
        0.80,
        Event::Calm,
        "no more orders; the rest of the time is for what is still in retry",
    ),
];

impl Story {
    /// The story, stretched to `duration`. Orders are made for the first four fifths of it.
    pub fn new(duration: Duration) -> Story {
        let chapters = PLOT.iter().map(|(part, event, text)| Chapter {
            at: duration.mul_f64(*part),
            event: *event,
            text,
        });
        Story {
            chapters: chapters.collect(),
            end: duration.mul_f64(0.80),
        }
    }

    /// In order of time.
    pub fn chapters(&self) -> &[Chapter] {
        &self.chapters
    }

    /// When the last order is made.
    pub fn end(&self) -> Duration {
        self.end
    }
}
