//! A transaction that failed since a topic may not be written to. Input: what was not acknowledged by then. Output: pauses for the
//! partitions that write to that topic; the others go on.
//!
//! The transaction's coordinator refuses a topic before anything is written to it, librdkafka gives all up that is queued, and its
//! error names no topic. So the topic is inferred. One that was the only one not acknowledged is refused for certain, until it
//! takes something. Else it is the one that has taken nothing for the longest. Should that be a wrong guess, the next transaction
//! has one topic less to doubt, and fails as well; the partitions that were wronged have waited for one backoff.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use rdkafka::types::RDKafkaErrorCode;

use crate::emit::in_flight::InFlight;
use crate::health::PauseReason;
use crate::ingest::assignment::Rewind;
use crate::native::transaction::TransactionError;
use crate::record::Outcome;
use crate::worker::engine::Engine;
use crate::worker::ports::Judge;
use crate::worker::refusal;

/// Where an outcome is written to, for one source topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Place {
    Dead,
    /// Of copies.
    Copies,
    /// Of stale events.
    Stale,
    Tier(usize),
    Sink(usize),
}

impl Place {
    fn of(sent: &InFlight) -> Place {
        match sent.outcome {
            _ if sent.extra => Place::Tier(sent.tier),
            Outcome::DeadLettered => Place::Dead,
            Outcome::Retried => Place::Tier(sent.tier),
            Outcome::Duplicate => Place::Copies,
            Outcome::Stale => Place::Stale,
            Outcome::Emitted | Outcome::Filtered => Place::Sink(sent.sink),
        }
    }
}

/// Where something was written to, and what the pause is for if that does not take it.
pub(in crate::worker) fn destination(
    judge: &dyn Judge,
    source: &str,
    sent: &InFlight,
) -> (PauseReason, String) {
    let config = judge.config();
    let aside = |of: &str| {
        let topic = config.asides().find(|(name, _)| *name == of);
        let topic = topic.map_or_else(String::new, |(_, topic)| topic.value.clone());
        (PauseReason::BrokerRefused, topic)
    };
    match Place::of(sent) {
        Place::Copies => aside("dedup.topic"),
        Place::Stale => aside("stale.topic"),
        Place::Dead => (
            PauseReason::DeadLetterRefused,
            config.dead_letter_topic(source),
        ),
        Place::Tier(tier) => (
            PauseReason::BrokerRefused,
            config.retry_topic(source, tier + 1),
        ),
        Place::Sink(sink) => (
            PauseReason::BrokerRefused,
            judge.sinks()[sink].topic.clone(),
        ),
    }
}

/// What is known of a topic, by the numbers of transactions; 0 is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Known {
    /// It took something last.
    taken: u64,
    /// It was found to be refused, and has taken nothing since.
    refused: u64,
}

/// What is known of the topics that a worker's transactions write to.
#[derive(Debug)]
pub(super) struct Topics {
    /// The number of the transaction under way, or to come.
    number: u64,
    /// Whether it is known why it failed.
    is_explained: bool,
    sinks: Vec<Known>,
    /// By source topic: of its dead letters, of what is set aside, and of its tiers.
    others: HashMap<String, Vec<Known>>,
}

impl Topics {
    pub(super) fn new() -> Topics {
        Topics {
            number: 1,
            is_explained: false,
            sinks: Vec::new(),
            others: HashMap::new(),
        }
    }

    /// The transaction is over.
    pub(super) fn next(&mut self) {
        self.number += 1;
        self.is_explained = false;
    }

    /// A topic has taken a record. For each record, so it is no more than an index for a sink.
    pub(super) fn took(&mut self, source: &str, sent: &InFlight) {
        let taken = self.number;
        *self.known_mut(source, Place::of(sent)) = Known { taken, refused: 0 };
    }

    /// A broker has said of this record that its topic may not be written to.
    pub(super) fn refused(&mut self, source: &str, sent: &InFlight) {
        self.is_explained = true;
        self.known_mut(source, Place::of(sent)).refused = self.number;
    }

    fn known(&self, source: &str, place: Place) -> Known {
        let found = match place {
            Place::Sink(sink) => self.sinks.get(sink),
            _ => self.others.get(source).and_then(|of| of.get(index(place))),
        };
        found.copied().unwrap_or_default()
    }

    fn known_mut(&mut self, source: &str, place: Place) -> &mut Known {
        if !matches!(place, Place::Sink(_)) && !self.others.contains_key(source) {
            self.others.insert(source.to_owned(), Vec::new());
        }
        let row = match place {
            Place::Sink(_) => &mut self.sinks,
            _ => self.others.get_mut(source).expect("it is there by now"),
        };
        let index = index(place);
        if row.len() <= index {
            row.resize(index + 1, Known::default());
        }
        &mut row[index]
    }
}

fn index(place: Place) -> usize {
    match place {
        Place::Sink(sink) => sink,
        Place::Dead => 0,
        Place::Copies => 1,
        Place::Stale => 2,
        Place::Tier(tier) => tier + 3,
    }
}

/// Whether a transaction has failed since a topic may not be written to.
pub(in crate::worker) fn is_barred(failure: &TransactionError) -> bool {
    failure.code == RDKafkaErrorCode::TopicAuthorizationFailed
}

impl Engine {
    /// Why the open transaction has failed, if that is since a topic may not be written to.
    pub(in crate::worker) fn barred_from_a_topic(&mut self) -> Option<String> {
        let failure = self.outlet.failure().filter(is_barred)?;
        Some(failure.message)
    }

    /// Finds the topic for which the transaction has failed, which dooms it, and has the partitions wait that write to it. `given_up`: what was
    /// reported as that, beside what is in flight. Whether it is known by now which topic it was.
    pub(in crate::worker) fn blame_topic(&mut self, given_up: &[InFlight], why: &str) -> bool {
        let Some(transaction) = &mut self.transaction else {
            return false;
        };
        transaction.doomed = true;
        if transaction.topics.is_explained {
            return true;
        }
        let mut seen = HashSet::new();
        let mut topics: BTreeMap<String, (Known, Place, Vec<Write>)> = BTreeMap::new();
        for sent in given_up.iter().copied().chain(self.in_flights.iter()) {
            let place = Place::of(&sent);
            let partition = self.assignment.get(sent.slot);
            let Some(partition) = partition.filter(|partition| partition.epoch == sent.epoch)
            else {
                continue;
            };
            if !seen.insert((sent.slot, place)) {
                continue;
            }
            let source = partition.source();
            let (reason, topic) = destination(&*self.judge, source, &sent);
            let known = transaction.topics.known(source, place);
            let (latest, first, writes) = topics.entry(topic).or_insert((known, place, Vec::new()));
            latest.taken = latest.taken.max(known.taken);
            latest.refused = latest.refused.max(known.refused);
            *first = place.min(*first);
            writes.push(Write {
                slot: sent.slot,
                source: source.to_owned(),
                place,
                reason,
            });
        }
        let is_alone = topics.len() == 1;
        // Of those that are refused for certain the last that was found: another one may have got its right back since.
        let suspect = topics.into_iter().min_by_key(|(_, (known, place, _))| {
            let is_certain = known.refused > 0;
            (!is_certain, Reverse(known.refused), known.taken, *place)
        });
        let Some((topic, (.., writes))) = suspect else {
            return false;
        };
        transaction.topics.is_explained = true;
        for write in writes {
            if is_alone {
                let number = transaction.topics.number;
                let known = transaction.topics.known_mut(&write.source, write.place);
                known.refused = number;
            }
            if let Some(partition) = self.assignment.get_mut(write.slot) {
                let why = refusal::barred(why);
                let pause = Some((write.reason, format!("{topic}: not acknowledged: {why}")));
                partition.rewind.get_or_insert(Rewind { pause });
            }
        }
        true
    }
}

/// That a partition writes to a topic.
struct Write {
    slot: usize,
    source: String,
    place: Place,
    reason: PauseReason,
}
