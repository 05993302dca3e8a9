//! The people around a run: an operator who pauses the pipeline and lifts that, who resumes what a breaker has stopped,
//! and who corrects dead letters and sends them back.

use std::sync::Arc;

use rand::Rng;

use super::core::{Core, Event};
use super::log::{EPOCH, Headers, Kind, Stored, Tp};
use super::plan::SECOND;
use super::sabotage::Bug;
use crate::control::order::{Action, Order, Subject};
use crate::headers;
use crate::ingest::standing::{Cause, Standing};

/// The name of the pipeline.
pub(super) const PIPELINE: &str = "p";
/// Who redrives, among those who write retries.
const REDRIVER: usize = usize::MAX;
/// So long after the last fault somebody looks for keys that are held.
const HELD_FOR: u64 = 30 * SECOND;
/// So often a record is sent back.
const MAX_REDRIVEN: u32 = 5;

impl Core {
    /// Whether somebody has to look after the run.
    pub(super) fn needs_operator(&self) -> bool {
        self.plan.breakers.is_some() || self.plan.redrives
    }

    /// Somebody looks.
    pub(super) fn look_after(&mut self) {
        if self.ending {
            return;
        }
        let wait = self.some(if self.faults { 6 * SECOND } else { SECOND / 2 });
        self.after(wait, Event::Operator);
        if self.dark() || !self.answers() {
            return;
        }
        self.resume_tripped();
        if self.plan.redrives {
            if self.now > self.plan.faults_until + HELD_FOR {
                self.look_for_held();
            }
            self.redrive();
        }
    }

    /// Somebody sees that a key is held whose dead letter was sent back already, since an instance that had stood still said
    /// so once more, and sends it back again.
    fn look_for_held(&mut self) {
        let held = std::mem::take(&mut self.facts.held_late);
        for topic in &self.log.topics {
            if !matches!(topic.kind, Kind::Dead { .. }) {
                continue;
            }
            for letter in topic.partitions.iter().flat_map(|one| &one.records) {
                if held.contains(&letter.origin) {
                    self.redriven.remove(&letter.uid);
                }
            }
        }
    }

    fn order(&mut self, subject: Subject, action: Action, answers: Option<i64>) {
        let now = i64::try_from(self.now / 1000).expect("some minutes");
        let order = Order {
            action,
            answers,
            by: "ada".to_owned(),
            at: EPOCH + now,
            reason: String::new(),
        };
        self.tell(|| format!("order: {action:?} {}", subject.to_key()));
        self.orders.push((subject, order));
        for id in 0..self.members.len() {
            if self.members[id].alive {
                let wait = self.some(SECOND / 2);
                self.after(wait, Event::Orders(id));
            }
        }
    }

    /// An instance reads the orders that there are.
    pub(super) fn read_orders(&mut self, id: usize, at_start: bool) {
        if self.is(Bug::LoseOrders) && !at_start {
            return;
        }
        let read = self.members[id].orders;
        for (offset, (subject, order)) in self.orders.iter().enumerate().skip(read) {
            let is_deaf = self.bug == Some(Bug::DeafToPause) && order.action == Action::Pause;
            if !is_deaf {
                let offset = i64::try_from(offset).expect("a few");
                self.controls[id].apply(offset, subject.clone(), Some(order.clone()));
            }
        }
        self.members[id].orders = self.orders.len();
    }

    /// An instance's turn begins: from here on it knows what it was told.
    pub(super) fn note_orders(&mut self, id: usize) {
        if self.orders.is_empty() {
            return;
        }
        let from = self.facts.hand_outs.len();
        for tp in self.log.all() {
            if self.log.kind(tp) != Kind::Source {
                continue;
            }
            let paused = self.is_paused(tp, self.members[id].orders);
            let known = &mut self.members[id].paused_from;
            if paused {
                known.entry(tp).or_insert(from);
            } else {
                known.remove(&tp);
            }
        }
    }

    /// Whether a source partition is paused, by the first so many orders: the newest of those for it and for its pipeline
    /// counts.
    fn is_paused(&self, tp: Tp, read: usize) -> bool {
        let wide = Subject::Pipeline(PIPELINE.to_owned());
        let narrow = self.narrow(tp);
        let mut known = self.orders[..read].iter().rev();
        let newest = known.find(|(subject, _)| *subject == wide || *subject == narrow);
        newest.is_some_and(|(_, order)| order.action == Action::Pause)
    }

    /// The pipeline is paused, or goes on.
    pub(super) fn pause_all(&mut self, pause: bool) {
        let action = match pause {
            true => Action::Pause,
            false => Action::Resume,
        };
        self.count("operator's pauses");
        self.order(Subject::Pipeline(PIPELINE.to_owned()), action, None);
    }

    /// Answers the pauses of breakers that the group has committed.
    fn resume_tripped(&mut self) {
        let sources: Vec<Tp> = self
            .log
            .all()
            .filter(|tp| self.log.kind(*tp) == Kind::Source)
            .collect();
        for tp in sources {
            let committed = self.log.partition(tp).committed.as_ref();
            let standing = committed.map_or_else(Vec::new, |(_, text)| Standing::of_metadata(text));
            for trip in standing {
                if trip.cause != Cause::Breaker || self.is_answered(tp, trip.since) {
                    continue;
                }
                self.count("breakers resumed");
                self.facts.tripped.remove(&tp);
                self.count_anew(tp);
                self.order(self.narrow(tp), Action::Resume, Some(trip.since));
            }
        }
    }

    /// The partition, as the subject of an order.
    fn narrow(&self, tp: Tp) -> Subject {
        let number = i32::try_from(tp.partition).expect("a few");
        let topic = self.log.topics[tp.topic].name.clone();
        Subject::Partition(PIPELINE.to_owned(), topic, number)
    }

    /// Whether the newest order for a partition answers the breaker's pause that began then. An older one may have answered
    /// one of the same time: clocks are set back.
    pub(super) fn is_answered(&self, tp: Tp, since: i64) -> bool {
        if self.orders.is_empty() {
            return false;
        }
        let subject = self.narrow(tp);
        let mut orders = self.orders.iter().rev();
        let newest = orders.find(|(of, _)| *of == subject);
        newest.is_some_and(|(_, order)| order.answers == Some(since))
    }

    /// Sends dead letters back, whose fault has been corrected, as `driftgate dlq redrive` does.
    fn redrive(&mut self) {
        for topic in 0..self.log.topics.len() {
            let Kind::Dead { source } = self.log.topics[topic].kind else {
                continue;
            };
            for partition in 0..self.plan.partitions {
                let tp = Tp { topic, partition };
                let to = Tp {
                    topic: self.plan.sources + source * self.per_source(),
                    partition,
                };
                if self.away(tp).is_some() || self.away(to).is_some() {
                    continue;
                }
                let stable = self.log.partition(tp).stable_end();
                let letters: Vec<Arc<Stored>> = self
                    .log
                    .partition(tp)
                    .records
                    .iter()
                    .filter(|letter| letter.offset < stable && self.visible(letter))
                    .filter(|letter| !self.redriven.contains(&letter.uid))
                    .filter(|letter| redriven(letter) < MAX_REDRIVEN)
                    .cloned()
                    .collect();
                for letter in letters {
                    if self.faults && self.random.random_bool(0.5) {
                        continue;
                    }
                    self.redriven.insert(letter.uid);
                    self.send_back(&letter, to);
                }
            }
        }
    }

    /// Topics that belong to each source.
    fn per_source(&self) -> usize {
        let beside = [self.plan.has_ledger(), self.plan.has_state()];
        let beside = beside.iter().filter(|there| **there).count();
        self.plan.tiers.len() + 1 + beside
    }

    fn send_back(&mut self, letter: &Stored, to: Tp) {
        const ANEW: [&str; 4] = [
            headers::ATTEMPT,
            headers::FIRST_FAILED_AT,
            headers::DUE_AT,
            headers::REDRIVEN,
        ];
        let now = EPOCH + i64::try_from(self.now / 1000).expect("some minutes");
        let count = redriven(letter) + 1;
        let mut own: Headers = letter.headers.clone();
        own.retain(|(name, _)| !ANEW.contains(&name.as_str()));
        for (name, value) in [
            (headers::ATTEMPT, "0".to_owned()),
            (headers::DUE_AT, now.to_string()),
            (headers::REDRIVEN, count.to_string()),
        ] {
            own.push((name.to_owned(), Some(value.into_bytes())));
        }
        self.origins[letter.origin].corrected = true;
        self.count("redriven");
        let mut record = Stored {
            uid: self.appended,
            headers: own,
            attempt: 0,
            due_at: now,
            not_before: 0,
            transaction: None,
            writer: (REDRIVER, 0),
            ..letter.clone()
        };
        self.appended += 1;
        self.strange(to, None);
        let partition = self.log.partition_mut(to);
        record.offset = partition.end;
        partition.end += 1;
        partition.records.push(Arc::new(record));
        self.tell(|| format!("record {} is sent back", letter.origin));
    }

    /// Somebody else than the owner of a retry partition has written to it.
    pub(super) fn strange(&mut self, tp: Tp, by: Option<usize>) {
        for (id, member) in self.members.iter_mut().enumerate() {
            if Some(id) != by
                && let Some(owned) = member.owned.get_mut(&tp)
            {
                owned.strangers += 1;
            }
        }
    }
}

/// How often a dead letter has been sent back.
fn redriven(letter: &Stored) -> u32 {
    let mut all = letter.headers.iter();
    let count = all.find(|(name, _)| name == headers::REDRIVEN);
    count
        .and_then(|(_, value)| std::str::from_utf8(value.as_deref()?).ok()?.parse().ok())
        .unwrap_or(0)
}
