//! The group's coordinator: members, generations, and who owns which source partition. Cooperative: a member keeps what
//! it has through a rebalance, is told what to give up, and only then does another one get it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::Rng;
use rdkafka::types::RDKafkaErrorCode;

use super::core::{Core, Event};
use super::log::{Kind, Tp};
use super::plan::{MILLI, Micros, SECOND};
use super::sabotage::Bug;
use crate::native::consumer::Entry;
use crate::record::Outcome;

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) generation: u64,
    /// Whether a round is under way.
    rounds: bool,
    /// A partition that the next round takes from its owner.
    shuffle: bool,
}

/// A partition that a consumer reads.
#[derive(Debug)]
pub(super) struct Owned {
    /// The next offset to return.
    pub(super) position: i64,
    pub(super) start: i64,
    /// Before that there is nothing in the prefetch.
    pub(super) ready_at: Micros,
    /// The end as last seen in a fetch.
    pub(super) seen: Option<i64>,
    /// Unique for each assignment of it.
    pub(super) epoch: u64,
    /// Up to here commits were found right, and with these counts.
    pub(super) verified: i64,
    pub(super) counts: [u64; Outcome::ALL.len()],
    /// The last hand-out that something was made of, by offset.
    pub(super) latest: BTreeMap<i64, usize>,
    /// Records that somebody else has written to it since.
    pub(super) strangers: usize,
}

#[derive(Debug)]
pub(super) struct Commit {
    pub(super) number: u64,
    pub(super) entries: Vec<Entry>,
    generation: u64,
    pub(super) waited_for: bool,
    result: Option<Result<(), RDKafkaErrorCode>>,
}

/// An instance as the group and its own client see it.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// In the group, as far as the coordinator knows.
    pub(super) joined: bool,
    pub(super) generation: u64,
    /// Neither crashed nor left.
    pub(super) alive: bool,
    pub(super) frozen_until: Micros,
    /// Source partitions given by the last round.
    pub(super) assigned: BTreeSet<Tp>,
    /// Source partitions that the engine was told of.
    pub(super) held: BTreeSet<Tp>,
    /// Partitions that its consumer reads, retries among them.
    pub(super) owned: BTreeMap<Tp, Owned>,
    /// Partitions that its client was told to pause: it remembers that through a change of hands.
    pub(super) paused: BTreeSet<Tp>,
    /// When it began to leave.
    pub(super) leaving: Option<Micros>,
    pub(super) skew: i64,
    /// The latest that its wall clock was read to be since its batch began.
    pub(super) wall_read: i64,
    pub(super) commits: VecDeque<Commit>,
    pub(super) commit_number: u64,
    pub(super) last_apply: Micros,
    pub(super) answers: Vec<(Option<RDKafkaErrorCode>, Vec<Entry>)>,
    /// Answers to commits that are waited for.
    pub(super) awaited: BTreeMap<u64, Result<(), RDKafkaErrorCode>>,
    pub(super) consumer_error: bool,
    pub(super) stopping: bool,
    pub(super) turns: u64,
    /// How many of the operators' orders it has read, and for each source partition that is paused the first hand-out since.
    pub(super) orders: usize,
    pub(super) paused_from: BTreeMap<Tp, usize>,
    /// Keys and records that were in retry of a source partition when that was read.
    pub(super) surveyed: BTreeMap<Tp, (usize, usize)>,
}

impl Core {
    pub(super) fn join(&mut self, id: usize) {
        self.members[id].joined = true;
        self.members[id].generation = 0;
        self.members[id].assigned.clear();
        self.rebalance();
    }

    /// The member has left, or was given up.
    pub(super) fn part(&mut self, id: usize) {
        if std::mem::take(&mut self.members[id].joined) {
            self.members[id].assigned.clear();
            self.tell(|| format!("group: {id} is out"));
            self.rebalance();
        }
    }

    /// A round begins, unless one is under way.
    pub(super) fn rebalance(&mut self) {
        if !std::mem::replace(&mut self.group.rounds, true) {
            let wait = self.some(100 * MILLI);
            self.after(wait, Event::Round);
        }
    }

    pub(super) fn shuffle(&mut self) {
        self.group.shuffle = true;
        self.rebalance();
    }

    /// Every member has joined again, or the round waits for the one that has not.
    pub(super) fn round(&mut self) {
        let silent = self
            .members
            .iter()
            .any(|member| member.joined && (!member.alive || member.frozen_until > self.now));
        if silent || self.coordinator_until > self.now || self.dark() {
            return self.after(100 * MILLI, Event::Round);
        }
        self.group.rounds = false;
        self.group.generation += 1;
        let generation = self.group.generation;
        let mut members: Vec<usize> = (0..self.members.len())
            .filter(|id| self.members[*id].joined)
            .collect();
        if members.is_empty() {
            return;
        }
        // Not always the same one keeps more.
        let by = self.random.random_range(0..members.len());
        members.rotate_left(by);
        let all: BTreeSet<Tp> = self
            .log
            .all()
            .filter(|tp| self.log.kind(*tp) == Kind::Source)
            .collect();
        let most = all.len().div_ceil(members.len());
        let mut free = all;
        let mut short = false;
        for id in &members {
            let member = &mut self.members[*id];
            let claims: BTreeSet<Tp> = member.assigned.union(&member.held).copied().collect();
            for tp in &claims {
                free.remove(tp);
            }
            // What it was not told of yet, it does not have to give up.
            short |= claims.iter().skip(most).any(|tp| !member.held.contains(tp));
            member.assigned = claims.into_iter().take(most).collect();
            member.generation = generation;
        }
        if std::mem::take(&mut self.group.shuffle) {
            let member = &mut self.members[members[0]];
            short |= member
                .assigned
                .pop_last()
                .is_some_and(|tp| !member.held.contains(&tp));
        }
        for tp in free {
            let least = members
                .iter()
                .min_by_key(|id| self.members[**id].assigned.len());
            let least = *least.expect("not empty");
            self.members[least].assigned.insert(tp);
        }
        if short {
            self.rebalance();
        }
        self.count("rounds");
        if self.trace.is_some() {
            let told: Vec<String> = members
                .iter()
                .map(|id| {
                    let assigned = self.members[*id].assigned.iter();
                    let names: Vec<_> = assigned.map(|tp| self.log.name(*tp)).collect();
                    format!("{id}: {}", names.join(" "))
                })
                .collect();
            self.tell(|| format!("group: generation {generation}: {}", told.join("; ")));
        }
    }

    /// A commit goes to the coordinator. Returns its number.
    pub(super) fn send_commit(&mut self, id: usize, entries: &[Entry], waited_for: bool) -> u64 {
        let mut sent = entries.to_vec();
        if self.strikes(Bug::CommitAhead) {
            for entry in &mut sent {
                entry.offset += 1;
            }
        }
        if self.strikes(Bug::CommitBack) {
            for entry in &mut sent {
                entry.offset = 0;
            }
        }
        if self.strikes(Bug::WrongCounts) {
            for entry in &mut sent {
                let text = entry.metadata.take().unwrap_or_default();
                entry.metadata = Some(text.replace("emitted=", "emitted=1"));
            }
        }
        if self.plan.transactions.is_some() {
            self.violated("commit: outside of a transaction".to_owned());
        }
        for entry in &sent {
            if let Some((tp, counts)) = self.check_commit(id, entry) {
                self.settled(id, tp, entry.offset, counts);
            }
        }
        self.tell(|| {
            let told: Vec<String> = sent
                .iter()
                .map(|entry| format!("{}-{}@{}", entry.topic, entry.partition, entry.offset))
                .collect();
            format!("{id} commits {}", told.join(" "))
        });
        let wait = self.some(self.plan.round_trip);
        let member = &mut self.members[id];
        member.commit_number += 1;
        let number = member.commit_number;
        let at = (self.now + wait).max(member.last_apply);
        member.last_apply = at;
        member.commits.push_back(Commit {
            number,
            entries: sent,
            generation: member.generation,
            waited_for,
            result: None,
        });
        self.after(at - self.now, Event::CommitApply(id, number));
        if self.is(Bug::AnswerEarly) && !waited_for {
            self.members[id].answers.push((None, entries.to_vec()));
        }
        number
    }

    pub(super) fn commit_applies(&mut self, id: usize, number: u64) {
        let until = self.coordinator_until;
        if until > self.now || self.dark() {
            let wait = until.saturating_sub(self.now).max(50 * MILLI);
            return self.after(wait, Event::CommitApply(id, number));
        }
        let troubled = self.commits_until > self.now;
        let refused = troubled && self.random.random_bool(0.4);
        let lost = troubled && self.random.random_bool(0.3);
        let member = &mut self.members[id];
        let Some(at) = member
            .commits
            .iter()
            .position(|commit| commit.number == number)
        else {
            return;
        };
        // On one connection, they arrive in the order in which they were sent.
        if member
            .commits
            .iter()
            .take(at)
            .any(|commit| commit.result.is_none())
        {
            return self.after(MILLI, Event::CommitApply(id, number));
        }
        let commit = &mut member.commits[at];
        let fenced = !member.joined || commit.generation != self.group.generation;
        let result = match (fenced, refused) {
            (true, _) if member.joined => Err(RDKafkaErrorCode::IllegalGeneration),
            (true, _) => Err(RDKafkaErrorCode::UnknownMemberId),
            (_, true) => Err(RDKafkaErrorCode::RebalanceInProgress),
            _ => Ok(()),
        };
        let entries = match result {
            Ok(()) => commit.entries.clone(),
            Err(_) => Vec::new(),
        };
        commit.result = Some(match result {
            Ok(()) if lost => Err(RDKafkaErrorCode::RequestTimedOut),
            other => other,
        });
        if result.is_err() {
            self.count("commits refused");
            self.tell(|| format!("{id}'s commit is refused: {result:?}"));
        }
        for entry in entries {
            let Some(tp) = self.log.tp(&entry.topic, entry.partition) else {
                continue;
            };
            self.committed(tp, entry.offset, entry.metadata.unwrap_or_default());
        }
        let wait = self.some(self.plan.round_trip);
        self.after(wait, Event::CommitAnswer(id, number));
    }

    /// The group's offset of a partition.
    pub(super) fn committed(&mut self, tp: Tp, offset: i64, metadata: String) {
        self.note_pauses(tp, &metadata);
        let partition = self.log.partition_mut(tp);
        let before = partition
            .committed
            .as_ref()
            .map_or(0, |(offset, _)| *offset);
        partition.committed = Some((offset, metadata));
        if offset < before {
            let name = self.log.name(tp);
            self.violated(format!(
                "commit: {name}'s committed offset goes back from {before} to {offset}"
            ));
        }
    }

    pub(super) fn commit_answered(&mut self, id: usize, number: u64) {
        let now = self.now;
        let member = &mut self.members[id];
        let Some(at) = member
            .commits
            .iter()
            .position(|commit| commit.number == number)
        else {
            return;
        };
        if member.frozen_until > now {
            let wait = member.frozen_until - now;
            return self.after(wait, Event::CommitAnswer(id, number));
        }
        let Some(commit) = member.commits.remove(at) else {
            return;
        };
        let result = commit
            .result
            .unwrap_or(Err(RDKafkaErrorCode::RequestTimedOut));
        if commit.waited_for {
            member.awaited.insert(number, result);
        } else if self.bug != Some(Bug::AnswerEarly) {
            member.answers.push((result.err(), commit.entries));
        }
    }

    /// The client of a member that stands still or has died says nothing any more.
    pub(super) fn silent(&mut self, id: usize, lasts: Micros) {
        if lasts >= super::plan::SESSION {
            let slack = self.some(SECOND);
            self.after(super::plan::SESSION + slack, Event::Kick(id));
        }
    }

    pub(super) fn kick(&mut self, id: usize) {
        let member = &self.members[id];
        if !member.alive || member.frozen_until > self.now {
            self.count("members given up");
            self.excuse_all(id);
            self.part(id);
        }
    }

    /// Everything that an instance reads may be repeated by the next owner.
    pub(super) fn excuse_all(&mut self, id: usize) {
        let all: Vec<Tp> = self.members[id].owned.keys().copied().collect();
        self.facts.excused.extend(all);
    }
}
