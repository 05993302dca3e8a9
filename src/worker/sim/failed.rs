//! Whether retries, dead letters and what stands for them are what they should be: the source's bytes, our headers once,
//! and a fate that the record's script leads to.

use super::core::Core;
use super::log::{Headers, Kind, Stored};
use super::plan::Script;
use crate::config::model::OnDead;
use crate::error::Reason;
use crate::failure::parking::{Control, Dead};
use crate::headers;

/// What a record in retry or in the dead letters carries at most once, and always.
const ALWAYS: [&str; 10] = [
    headers::REASON,
    headers::ERROR,
    headers::PATH,
    headers::SOURCE_TOPIC,
    headers::SOURCE_PARTITION,
    headers::SOURCE_OFFSET,
    headers::PIPELINE,
    headers::GROUP,
    headers::OWNER,
    headers::ATTEMPT,
];

fn is_ours(name: &str) -> bool {
    name.starts_with(headers::PREFIX) && !name.starts_with(headers::PRIOR)
}

/// The headers that are ours, by name.
struct Ours<'a>(Vec<&'a (String, Option<Vec<u8>>)>);

impl<'a> Ours<'a> {
    fn of(record: &'a Stored) -> Result<Ours<'a>, String> {
        let ours = record.headers.iter().filter(|(name, _)| is_ours(name));
        let ours: Vec<_> = ours.collect();
        for (name, _) in &ours {
            if ours.iter().filter(|(other, _)| other == name).count() > 1 {
                return Err(format!("headers: {name} is there twice"));
            }
        }
        let ours = Ours(ours);
        match ALWAYS.into_iter().find(|name| ours.text(name).is_none()) {
            Some(name) => Err(format!("headers: {name} is missing")),
            None => Ok(ours),
        }
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(other, _)| other == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }
}

impl Core {
    /// Whether a hand-out is no record of the source.
    pub(super) fn is_control(&self, hand_out: usize) -> bool {
        self.read(hand_out)
            .is_some_and(|record| record.control.is_some())
    }

    /// The record that was handed out.
    fn read(&self, hand_out: usize) -> Option<&Stored> {
        let of = &self.facts.hand_outs[hand_out];
        let partition = self.log.partition(of.tp);
        let record = partition.records.get(partition.at(of.offset))?;
        Some(record)
    }

    /// A retry or a dead letter: what is wrong with it.
    pub(super) fn failed(
        &self,
        hand_out: usize,
        record: &mut Stored,
        source: &Stored,
        is_retry: bool,
    ) -> Option<String> {
        self.is_failed(hand_out, record, source, is_retry).err()
    }

    fn is_failed(
        &self,
        hand_out: usize,
        record: &mut Stored,
        source: &Stored,
        is_retry: bool,
    ) -> Result<(), String> {
        let facts = &self.facts.hand_outs[hand_out];
        let attempt = facts.attempt;
        let ours = Ours::of(record)?;
        self.is_placed(record, &ours)?;
        let not_before = ours.number(headers::NOT_BEFORE).unwrap_or(0);
        let told = ours.number(headers::ATTEMPT);
        let due_at = ours.number(headers::DUE_AT);
        if is_retry && due_at.is_none() {
            return Err("headers: a retry without a due time".to_owned());
        }
        let is_hop = is_retry && told == Some(i64::from(attempt));
        if is_hop {
            self.is_hop(hand_out, record, source, &ours)?;
        } else {
            same_as(record, source)?;
            if told != Some(i64::from(attempt) + 1) {
                return Err(format!("headers: attempt {told:?} behind {attempt}"));
            }
            self.may_fail(hand_out, &ours, is_retry)?;
        }
        record.attempt = attempt + u32::from(!is_hop);
        record.due_at = due_at.unwrap_or(0);
        record.not_before = not_before;
        Ok(())
    }

    /// A record that goes round without having been tried, or goes behind another one of its key.
    fn is_hop(
        &self,
        hand_out: usize,
        record: &Stored,
        source: &Stored,
        ours: &Ours<'_>,
    ) -> Result<(), String> {
        let of = &self.facts.hand_outs[hand_out];
        let in_order =
            self.plan.per_key.is_some() && source.key.is_some() || self.plan.copies.is_some();
        if self.log.kind(of.tp) == Kind::Source {
            same_as(record, source)?;
            let reason = ours.text(headers::REASON).and_then(Reason::parse);
            return match (in_order, reason) {
                (true, Some(Reason::Parked)) => Ok(()),
                _ => Err(format!("{reason:?} without a failure")),
            };
        }
        let Some(before) = self.read(hand_out) else {
            return Err("it was not read".to_owned());
        };
        // Whoever was asked to wait longer than the longest tier rests there.
        if !in_order && before.not_before == 0 {
            return Err("it goes round and is in no order".to_owned());
        }
        let rest = |headers: &Headers| {
            let mut rest = headers.clone();
            rest.retain(|(name, _)| name != headers::DUE_AT);
            rest
        };
        let same = (&before.key, &before.value, before.timestamp)
            == (&record.key, &record.value, record.timestamp);
        match same && rest(&before.headers) == rest(&record.headers) {
            true => Ok(()),
            false => Err("it is not what it was before it went round".to_owned()),
        }
    }

    /// Whether a record's script leads to this failure.
    fn may_fail(&self, hand_out: usize, ours: &Ours<'_>, is_retry: bool) -> Result<(), String> {
        let facts = &self.facts.hand_outs[hand_out];
        let origin = &self.origins[facts.origin];
        let reason = ours.text(headers::REASON).and_then(Reason::parse);
        let times = (
            ours.number(headers::FAILED_AT),
            ours.number(headers::FIRST_FAILED_AT),
        );
        let (Some(failed_at), Some(first)) = times else {
            return Err("headers: when it failed is missing".to_owned());
        };
        let age = failed_at - first;
        let budget = i64::try_from(self.plan.budget.as_millis()).expect("minutes");
        let tiers = self.plan.tiers.len();
        let may = match (&origin.script, reason) {
            (Script::Poison(expected), Some(reason)) if reason == *expected => !is_retry,
            (Script::Flaky(_), Some(Reason::UnknownSchema)) => {
                is_retry == ((facts.attempt as usize) < tiers) || (!is_retry && age >= budget)
            }
            (Script::Lookup, Some(Reason::LookupUnavailable)) => is_retry == (age < budget),
            (Script::TooLarge { .. }, Some(Reason::RecordTooLarge)) => !is_retry,
            (Script::Explode { large: Some(_), .. }, Some(Reason::RecordTooLarge)) => !is_retry,
            (Script::BadTime, Some(Reason::TransformFailed)) => !is_retry,
            (_, Some(Reason::PredecessorDeadLettered)) => !is_retry && self.is_doomed(facts.origin),
            _ => false,
        };
        match may {
            true => Ok(()),
            false => Err(format!("{reason:?} after {} failures", facts.attempt)),
        }
    }

    /// Whether a record of its key in front of it became a dead letter, and takes its followers along.
    fn is_doomed(&self, origin: usize) -> bool {
        let of = &self.origins[origin];
        let takes = self
            .plan
            .per_key
            .is_some_and(|of| of.on_dead == OnDead::DeadLetterFollowers);
        takes
            && of.key.is_some()
            && self.facts.dead.iter().any(|other| {
                let other = &self.origins[*other];
                (other.tp, &other.key) == (of.tp, &of.key) && other.offset < of.offset
            })
    }

    /// What is produced beside an outcome, for those that wait behind its record: what is wrong with it.
    pub(super) fn said(&self, record: &mut Stored, source: &Stored) -> Option<String> {
        self.is_said(record, source).err()
    }

    fn is_said(&self, record: &mut Stored, source: &Stored) -> Result<(), String> {
        let ours = Ours::of(record)?;
        self.is_placed(record, &ours)?;
        let Some(due_at) = ours.number(headers::DUE_AT) else {
            return Err("headers: a retry without a due time".to_owned());
        };
        let on_dead = self.plan.per_key.map(|of| of.on_dead);
        let may = match record.control {
            Some(Control::Dead(Dead::Held) | Control::Released) => on_dead == Some(OnDead::Park),
            Some(Control::Dead(Dead::Doomed(last))) => {
                let offset = self.origins[record.origin].offset;
                on_dead == Some(OnDead::DeadLetterFollowers) && last > offset
            }
            None => false,
        };
        if !may || record.key != source.key || record.value.is_some() || source.key.is_none() {
            return Err(format!("{:?} is not to be said there", record.control));
        }
        let attempt = ours.number(headers::ATTEMPT).unwrap_or(0);
        record.attempt = u32::try_from(attempt).unwrap_or(0);
        record.due_at = due_at;
        Ok(())
    }

    /// Our headers say where it comes from.
    fn is_placed(&self, record: &Stored, ours: &Ours<'_>) -> Result<(), String> {
        let origin = &self.origins[record.origin];
        let place = (
            ours.text(headers::SOURCE_TOPIC),
            ours.number(headers::SOURCE_PARTITION),
            ours.number(headers::SOURCE_OFFSET),
        );
        let partition = i64::try_from(origin.tp.partition).expect("a few");
        let topic = &self.log.topics[origin.tp.topic].name;
        match place == (Some(topic), Some(partition), Some(origin.offset)) {
            true => Ok(()),
            false => Err(format!("headers: it comes from {place:?}")),
        }
    }
}

/// Key, value, timestamp and headers are those of the source.
fn same_as(record: &Stored, source: &Stored) -> Result<(), String> {
    if (&record.key, &record.value, record.timestamp)
        != (&source.key, &source.value, source.timestamp)
    {
        return Err("other bytes than the source's".to_owned());
    }
    let own = source
        .headers
        .iter()
        .map(|(name, value)| match name.strip_prefix(headers::PREFIX) {
            Some(rest) => (format!("{}{rest}", headers::PRIOR), value.clone()),
            None => (name.clone(), value.clone()),
        });
    let found = record.headers.iter().filter(|(name, _)| !is_ours(name));
    match own.eq(found.cloned()) {
        true => Ok(()),
        false => Err("headers: its own are not what they were".to_owned()),
    }
}
