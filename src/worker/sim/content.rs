//! Whether what an engine produces is what it should be: bytes, headers and destination, by the record's script. Here for
//! outputs; `failed` has retries and dead letters.

use super::core::Core;
use super::facts::Part;
use super::log::{Kind, Stored, Tp, output_value};
use super::plan::Script;
use crate::config::model::{OnDead, Provenance};
use crate::failure::parking::Control;
use crate::headers;

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
        let is_home = |of: usize| of == family && to.partition == expected_number;
        let control = said_by(record);
        let (part, wrong) = match kind {
            Kind::Sink(sink) => self.output(sink, record, &source),
            Kind::Retry { source: of, .. } if is_home(of) => {
                self.facts.failed.insert(at.uid);
                let is_extra = control.is_some() && !self.is_control(hand_out);
                record.control = control;
                match is_extra {
                    true => (Part::Extra, self.said(record, &source)),
                    false => (Part::Retry, self.failed(hand_out, record, &source, true)),
                }
            }
            Kind::Dead { source: of } if is_home(of) => {
                let (uid, origin) = (at.uid, at.origin);
                let in_retry = self.log.kind(at.tp) != Kind::Source;
                let wrong = self.failed(hand_out, record, &source, false);
                self.facts.failed.insert(uid);
                self.facts.dead.insert(origin);
                let is_held = self
                    .plan
                    .per_key
                    .is_some_and(|of| of.on_dead == OnDead::Park);
                if !(is_held && in_retry) {
                    self.facts.let_off.insert(origin);
                }
                (Part::Dead, wrong)
            }
            _ => (
                Part::Dead,
                Some("goes where it has nothing to do".to_owned()),
            ),
        };
        if let (Part::Retry | Part::Extra, None) = (part, &wrong) {
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
        let several = number(headers::INDEX).is_some();
        // What was corrected gives one output, as any other; until then, it is what its script says.
        let script = match &origin.script {
            script @ (Script::Explode { .. } | Script::TooLarge { .. }) if origin.corrected => {
                let plain = output_value(record.origin, 0, None);
                let is_plain = source.value.is_none() || record.value.as_ref() == Some(&plain);
                if is_plain && !several {
                    &Script::Emit
                } else {
                    script
                }
            }
            _ if origin.corrected => &Script::Emit,
            script => script,
        };
        let (index, count, large) = match script {
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
        let several = matches!(script, Script::Explode { .. });
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
        if self.plan.provenance == Provenance::Header {
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
}

/// What a record says of its key, if it is no record of the source.
fn said_by(record: &Stored) -> Option<Control> {
    let (_, value) = record
        .headers
        .iter()
        .find(|(name, _)| name == headers::CONTROL)?;
    Control::parse(value.as_deref()?)
}
