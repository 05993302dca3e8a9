//! Whether what an engine produces is what it should be: bytes, headers and destination, by the record's script.

use super::core::Core;
use super::facts::Part;
use super::log::{Headers, Kind, Stored, Tp, output_value};
use super::plan::Script;
use crate::error::Reason;
use crate::headers;

/// What a failed record carries at most once, and always.
const ALWAYS: [&str; 12] = [
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
    headers::FIRST_FAILED_AT,
    headers::FAILED_AT,
];

impl Core {
    /// The hand-out is the one that its record's outcome is about now.
    pub(super) fn noted(&mut self, id: usize, hand_out: usize) {
        let facts = &self.facts.hand_outs[hand_out];
        let (tp, offset, epoch) = (facts.tp, facts.offset, facts.epoch);
        if let Some(owned) = self.members[id].owned.get_mut(&tp)
            && owned.epoch == epoch
        {
            owned.latest.insert(offset, hand_out);
        }
    }

    /// Holds a produced record against its script, and says what it is.
    pub(super) fn check_produced(
        &mut self,
        id: usize,
        hand_out: usize,
        to: Tp,
        record: &mut Stored,
    ) -> Part {
        let origin = &self.origins[record.origin];
        let source = self.log.partition(origin.tp);
        let source = source.records[source.at(origin.offset)].clone();
        let kind = self.log.kind(to);
        let at = &self.facts.hand_outs[hand_out];
        let family = match self.log.kind(at.tp) {
            Kind::Retry { source, .. } => source,
            _ => at.tp.topic,
        };
        let expected_number = at.tp.partition;
        let (part, wrong) = match kind {
            Kind::Sink(sink) => self.output(sink, record, &source),
            Kind::Retry { source: of, .. } if of == family && to.partition == expected_number => {
                self.facts.failed.insert(at.uid);
                (Part::Retry, self.failed(hand_out, record, &source, true))
            }
            Kind::Dead { source: of } if of == family && to.partition == expected_number => {
                self.facts.failed.insert(at.uid);
                (Part::Dead, self.failed(hand_out, record, &source, false))
            }
            _ => (
                Part::Dead,
                Some("goes where it has nothing to do".to_owned()),
            ),
        };
        if let (Part::Retry, None) = (part, &wrong) {
            self.check_due(id, to, record.due_at);
        }
        if let Some(wrong) = wrong {
            let name = self.log.name(to);
            let origin = record.origin;
            let script = &self.origins[origin].script;
            let what =
                format!("content: record {origin} ({script:?}) on its way to {name}: {wrong}");
            self.violated(what);
        }
        part
    }

    /// An output of a sink.
    fn output(&self, sink: usize, record: &Stored, source: &Stored) -> (Part, Option<String>) {
        let number = |name: &str| {
            let header = record.headers.iter().rev().find(|(other, _)| other == name);
            let text = header.and_then(|(_, value)| value.as_deref());
            text.and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok())
        };
        let origin = &self.origins[record.origin];
        let (index, count, large) = match &origin.script {
            Script::Emit | Script::Flaky(_) | Script::Lookup => (0, 1, None),
            Script::TooLarge { client } => (0, 1, Some(*client)),
            Script::Explode { outputs, large } => {
                let Some(index) = number(headers::INDEX).filter(|index| index < outputs) else {
                    let part = Part::Output { index: 0, count: 1 };
                    return (part, Some("which output it is, is not said".to_owned()));
                };
                let is_large = *large == Some(index);
                let alone = self.plan.sizes_known && self.plan.transactions.is_none();
                if large.is_some() && !is_large && alone {
                    let part = Part::Output {
                        index,
                        count: *outputs,
                    };
                    let what = "a sibling of an output that can never be written".to_owned();
                    return (part, Some(what));
                }
                (index, *outputs, is_large.then_some(false))
            }
            Script::Filter | Script::Poison(_) | Script::BadTime => {
                let part = Part::Output { index: 0, count: 1 };
                return (part, Some("it must not be emitted".to_owned()));
            }
        };
        let part = Part::Output { index, count };
        let several = matches!(origin.script, Script::Explode { .. });
        let value = source
            .value
            .as_ref()
            .map(|_| output_value(record.origin, index, large));
        let key = match several {
            true => Some(format!("k{}", (record.origin + index) % 8).into_bytes()),
            false => source.key.clone(),
        };
        let value = if several {
            Some(output_value(record.origin, index, large))
        } else {
            value
        };
        let mut own = source.headers.clone();
        if several {
            own.push((
                headers::INDEX.to_owned(),
                Some(index.to_string().into_bytes()),
            ));
            own.push((
                headers::COUNT.to_owned(),
                Some(count.to_string().into_bytes()),
            ));
        }
        if self.plan.provenance {
            let at = own.len() - if several { 2 } else { 0 };
            let place = format!("{}@{}", self.log.name(origin.tp), origin.offset);
            own.insert(at, (headers::SOURCE.to_owned(), Some(place.into_bytes())));
        }
        let wrong = if record.value != value {
            Some("another value")
        } else if record.key != key {
            Some("another key")
        } else if record.timestamp != source.timestamp {
            Some("another timestamp")
        } else if record.headers != own {
            Some("other headers")
        } else if sink != if several { index % 2 } else { 0 } {
            Some("another sink")
        } else {
            None
        };
        (part, wrong.map(str::to_owned))
    }

    /// A retry or a dead letter.
    fn failed(
        &self,
        hand_out: usize,
        record: &mut Stored,
        source: &Stored,
        is_retry: bool,
    ) -> Option<String> {
        let facts = &self.facts.hand_outs[hand_out];
        let origin = &self.origins[record.origin];
        if (&record.key, &record.value, record.timestamp)
            != (&source.key, &source.value, source.timestamp)
        {
            return Some("other bytes than the source's".to_owned());
        }
        let is_ours =
            |name: &str| name.starts_with(headers::PREFIX) && !name.starts_with(headers::PRIOR);
        let own: Headers = source
            .headers
            .iter()
            .map(|(name, value)| match name.strip_prefix(headers::PREFIX) {
                Some(rest) => (format!("{}{rest}", headers::PRIOR), value.clone()),
                None => (name.clone(), value.clone()),
            })
            .collect();
        let found: Headers = record
            .headers
            .iter()
            .filter(|(name, _)| !is_ours(name))
            .cloned()
            .collect();
        if own != found {
            return Some("headers: its own are not what they were".to_owned());
        }
        let ours: Vec<&(String, Option<Vec<u8>>)> = record
            .headers
            .iter()
            .filter(|(name, _)| is_ours(name))
            .collect();
        for (name, _) in &ours {
            if ours.iter().filter(|(other, _)| other == name).count() > 1 {
                return Some(format!("headers: {name} is there twice"));
            }
        }
        let text = |name: &str| {
            let (_, value) = ours.iter().find(|(other, _)| other == name)?;
            std::str::from_utf8(value.as_deref()?).ok()
        };
        if let Some(name) = ALWAYS.into_iter().find(|name| text(name).is_none()) {
            return Some(format!("headers: {name} is missing"));
        }
        let number = |name: &str| text(name).and_then(|text| text.parse::<i64>().ok());
        let place = (
            text(headers::SOURCE_TOPIC),
            number(headers::SOURCE_PARTITION),
            number(headers::SOURCE_OFFSET),
        );
        let partition = i64::try_from(origin.tp.partition).expect("a few");
        let topic = &self.log.topics[origin.tp.topic].name;
        if place != (Some(topic), Some(partition), Some(origin.offset)) {
            return Some(format!("headers: it comes from {place:?}"));
        }
        let attempt = number(headers::ATTEMPT);
        if attempt != Some(i64::from(facts.attempt) + 1) {
            return Some(format!(
                "headers: attempt {attempt:?} behind {}",
                facts.attempt
            ));
        }
        record.attempt = facts.attempt + 1;
        if is_retry {
            let Some(due_at) = number(headers::DUE_AT) else {
                return Some("headers: a retry without a due time".to_owned());
            };
            record.due_at = due_at;
        }
        let reason = text(headers::REASON).and_then(Reason::parse);
        let age = number(headers::FAILED_AT)? - number(headers::FIRST_FAILED_AT)?;
        let budget = i64::try_from(self.plan.budget.as_millis()).expect("minutes");
        let tiers = self.plan.tiers.len();
        let may = match (&origin.script, reason) {
            (Script::Poison(expected), Some(reason)) => reason == *expected && !is_retry,
            (Script::Flaky(_), Some(Reason::UnknownSchema)) => {
                is_retry == ((facts.attempt as usize) < tiers) || (!is_retry && age >= budget)
            }
            (Script::Lookup, Some(Reason::LookupUnavailable)) => is_retry == (age < budget),
            (Script::TooLarge { .. }, Some(Reason::RecordTooLarge)) => !is_retry,
            (Script::Explode { large: Some(_), .. }, Some(Reason::RecordTooLarge)) => !is_retry,
            (Script::BadTime, Some(Reason::TransformFailed)) => !is_retry,
            _ => false,
        };
        (!may).then(|| format!("{reason:?} after {} failures", facts.attempt))
    }
}
