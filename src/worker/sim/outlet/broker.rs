//! What becomes of what is queued: it is sent in batches, appended by a broker or refused by the batch, and answered.

use std::sync::Arc;

use rand::Rng;
use rdkafka::types::RDKafkaErrorCode;

use super::{Batch, IN_FLIGHT, Of, Sent};
use crate::failure::parking::{Control, Dead};
use crate::native::producer::Delivery;
use crate::worker::sim::core::{Core, Event};
use crate::worker::sim::facts::Part;
use crate::worker::sim::log::{Kind, Stored, Tp, size};
use crate::worker::sim::plan::{CLIENT_LIMIT, MILLI, SECOND, SINK_LIMIT};
use crate::worker::sim::sabotage::Bug;

impl Core {
    /// A batch of what is queued goes to the broker.
    pub(in crate::worker::sim) fn send(&mut self, id: usize, tp: Tp) {
        let frozen = self.members[id].frozen_until;
        if frozen > self.now {
            let wait = frozen - self.now;
            return self.after(wait, Event::Send(id, tp));
        }
        let wait = self.some(self.plan.round_trip);
        let most = self.plan.produce_batch;
        let limit = match self.plan.sizes_known {
            true => SINK_LIMIT,
            false => CLIENT_LIMIT,
        };
        let outbox = &mut self.outboxes[id];
        let Some(lane) = outbox.lanes.get_mut(&tp) else {
            return;
        };
        if lane.flight.len() >= IN_FLIGHT {
            return self.after(MILLI, Event::Send(id, tp));
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some(next) = lane.queue.front() {
            let record = &next.record;
            bytes += size(
                record.key.as_deref(),
                record.value.as_deref(),
                &record.headers,
            );
            if records.len() >= most || (!records.is_empty() && bytes > limit) {
                break;
            }
            records.extend(lane.queue.pop_front());
        }
        lane.due = !lane.queue.is_empty();
        let more = lane.due;
        outbox.number += 1;
        let (number, epoch) = (outbox.number, outbox.producer.epoch);
        let at = (self.now + wait).max(lane.last_append + 1);
        lane.last_append = at;
        if !records.is_empty() {
            lane.flight.push_back(Batch {
                number,
                epoch,
                mute: false,
                records,
                result: None,
            });
            self.after(at - self.now, Event::Append(id, tp, number));
        }
        if more {
            self.after(MILLI / 5, Event::Send(id, tp));
        }
    }

    /// A batch reaches its broker.
    pub(in crate::worker::sim) fn append(&mut self, id: usize, tp: Tp, number: u64) {
        if let Some(until) = self.away(tp) {
            let wait = until - self.now;
            return self.after(wait, Event::Append(id, tp, number));
        }
        let Some(lane) = self.outboxes[id].lanes.get(&tp) else {
            return;
        };
        let Some(at) = lane.flight.iter().position(|batch| batch.number == number) else {
            return;
        };
        // The batch in front of it was held up by an outage.
        if lane
            .flight
            .iter()
            .take(at)
            .any(|batch| batch.result.is_none())
        {
            return self.after(1, Event::Append(id, tp, number));
        }
        let records = lane.flight[at].records.clone();
        let bytes: usize = records
            .iter()
            .map(|sent| &sent.record)
            .map(|record| {
                size(
                    record.key.as_deref(),
                    record.value.as_deref(),
                    &record.headers,
                )
            })
            .sum();
        let refusal = self
            .refusals
            .iter()
            .find(|(topic, _, until)| *topic == tp.topic && *until > self.now)
            .map(|(_, code, _)| *code);
        let too_large = bytes > self.log.topics[tp.topic].limit;
        let epoch = lane.flight[at].epoch;
        let stale = self.is_stale(id, epoch);
        let refusal = stale
            .then_some(RDKafkaErrorCode::InvalidProducerEpoch)
            .or(refusal);
        let error = refusal.or(too_large.then_some(RDKafkaErrorCode::MessageSizeTooLarge));
        for sent in records {
            match error {
                Some(_) => self.refuse(tp, &sent),
                None => self.appended(id, tp, sent),
            }
        }
        if error.is_some() {
            self.count("batches refused");
        }
        let name = self.log.name(tp);
        self.tell(|| format!("{name}: batch {number} of {id}: {error:?}"));
        let wait = match self.slow_until > self.now {
            true => self.some(8 * SECOND),
            false => self.some(self.plan.round_trip),
        };
        let now = self.now;
        let lane = self.outboxes[id].lanes.get_mut(&tp).expect("seen above");
        lane.flight[at].result = Some(error);
        let at = (now + wait).max(lane.last_ack + 1);
        lane.last_ack = at;
        self.after(at - now, Event::Ack(id, tp, number));
    }

    fn refuse(&mut self, to: Tp, sent: &Sent) {
        let child = match sent.of {
            Of::Child(child) => &self.facts.children[child],
            Of::Entry(entry) => {
                let entry = &mut self.facts.entries[entry];
                entry.failed = true;
                let tp = entry.tp;
                self.facts.excused.insert(tp);
                return;
            }
            Of::Block => {
                let Kind::State { source } = self.log.kind(to) else {
                    unreachable!("blocks go there");
                };
                let home = Tp {
                    topic: source,
                    ..to
                };
                return self.excuse_family(home);
            }
        };
        let hand_out = &self.facts.hand_outs[child.hand_out];
        let tp = hand_out.tp;
        let origin = &self.origins[hand_out.origin];
        if let (Part::Output { .. }, Some(key)) = (child.part, &origin.key) {
            let refused = (origin.tp, key.clone());
            self.facts.refused_keys.insert(refused);
        }
        self.facts.excused.insert(tp);
        self.facts.refused.insert(tp);
    }

    fn appended(&mut self, id: usize, tp: Tp, sent: Sent) {
        let child = match sent.of {
            Of::Child(child) => child,
            Of::Entry(entry) => return self.entry_appended(id, tp, entry, sent.record),
            Of::Block if self.strikes(Bug::DropBlock) => return,
            Of::Block => return self.beside_appended(id, tp, sent.record),
        };
        if self.strikes(Bug::DropAppend) {
            return;
        }
        let times = match self.strikes(Bug::AppendTwice) {
            true => 2,
            false => 1,
        };
        for _ in 0..times {
            let mut record = sent.record.clone();
            record.uid = self.appended;
            self.appended += 1;
            let facts = &mut self.facts.children[child];
            facts.appended += 1;
            if facts.appended > 1 {
                self.violated("duplicate: a record was appended twice".to_owned());
            }
            self.facts.children[child].uid = Some(record.uid);
            if let Kind::Sink(_) = self.log.kind(tp) {
                self.check_order(child, tp, record.key.is_some());
            }
            if let Kind::Retry { .. } = self.log.kind(tp) {
                self.strange(tp, Some(id));
                let others = self.members.iter().enumerate();
                let mut others = others.filter(|(_, one)| one.alive);
                // Under exactly_once what it says so late is fenced.
                let is_held = self.plan.transactions.is_none()
                    && record.control == Some(Control::Dead(Dead::Held));
                if is_held && others.any(|(other, one)| other != id && one.owned.contains_key(&tp))
                {
                    self.facts.held_late.insert(record.origin);
                }
            }
            record.transaction = match self.strikes(Bug::OutsideTransaction) {
                true => None,
                false => self.enlisted(id, tp),
            };
            self.facts.children[child].transaction = record.transaction;
            let partition = self.log.partition_mut(tp);
            record.offset = partition.end;
            partition.end += 1;
            partition.records.push(Arc::new(record));
        }
    }

    fn entry_appended(&mut self, id: usize, tp: Tp, entry: usize, record: Stored) {
        if self.strikes(Bug::DropEntry) {
            return;
        }
        let transaction = self.enlisted(id, tp);
        let known = &mut self.facts.entries[entry];
        known.appended = true;
        known.transaction = transaction;
        self.beside_appended(id, tp, record);
    }

    /// What is no outcome is in its topic.
    fn beside_appended(&mut self, id: usize, tp: Tp, mut record: Stored) {
        record.transaction = self.enlisted(id, tp);
        record.uid = self.appended;
        self.appended += 1;
        let partition = self.log.partition_mut(tp);
        record.offset = partition.end;
        partition.end += 1;
        partition.records.push(Arc::new(record));
    }

    /// An answer reaches the producer.
    pub(in crate::worker::sim) fn acknowledge(&mut self, id: usize, tp: Tp, number: u64) {
        if let Some(until) = self.away(tp) {
            let wait = until - self.now;
            return self.after(wait, Event::Ack(id, tp, number));
        }
        let frozen = self.members[id].frozen_until;
        if frozen > self.now {
            let wait = frozen - self.now;
            return self.after(wait, Event::Ack(id, tp, number));
        }
        let loses = self.strikes(Bug::LoseReport);
        let outbox = &mut self.outboxes[id];
        let Some(lane) = outbox.lanes.get_mut(&tp) else {
            return;
        };
        let Some(at) = lane.flight.iter().position(|batch| batch.number == number) else {
            return;
        };
        if at > 0 {
            return self.after(1, Event::Ack(id, tp, number));
        }
        let Some(batch) = lane.flight.pop_front() else {
            return;
        };
        if batch.mute {
            return;
        }
        let error = batch.result.flatten();
        if let (Some(code), true) = (error, self.plan.transactions.is_some()) {
            self.outboxes[id].producer.failed.get_or_insert(code);
        }
        for sent in batch.records {
            if error.is_none() {
                match sent.of {
                    Of::Child(child) => self.facts.children[child].acknowledged = true,
                    Of::Entry(entry) => self.facts.entries[entry].acknowledged = true,
                    Of::Block => {}
                }
            }
            if !loses {
                self.outboxes[id].ready.push(Delivery {
                    token: sent.token,
                    error,
                    offset: -1,
                });
            }
        }
    }

    /// The producer is gone: what was not sent is lost, and of what was, the first so many batches of each partition
    /// still arrive.
    pub(in crate::worker::sim) fn abandon(&mut self, id: usize) {
        let lanes: Vec<Tp> = self.outboxes[id].lanes.keys().copied().collect();
        for tp in lanes {
            let sent = self.outboxes[id].lanes[&tp].flight.len();
            let arrive = self.random.random_range(0..=sent);
            let lane = self.outboxes[id].lanes.get_mut(&tp).expect("just listed");
            lane.queue.clear();
            let appended = lane.flight.iter().filter(|batch| batch.result.is_some());
            let keep = arrive.max(appended.count());
            lane.flight.truncate(keep);
        }
    }

    /// Another producer takes the place of the one that there was.
    pub(in crate::worker::sim) fn replace(&mut self, id: usize) {
        self.abandon(id);
        let outbox = &mut self.outboxes[id];
        for lane in outbox.lanes.values_mut() {
            for batch in &mut lane.flight {
                batch.mute = true;
            }
        }
        outbox.ready.clear();
        outbox.outstanding = 0;
    }

    /// What is queued and not sent is given up.
    pub(in crate::worker::sim) fn purge(&mut self, id: usize) {
        let outbox = &mut self.outboxes[id];
        for lane in outbox.lanes.values_mut() {
            for sent in lane.queue.drain(..) {
                outbox.ready.push(Delivery {
                    token: sent.token,
                    error: Some(RDKafkaErrorCode::PurgeQueue),
                    offset: -1,
                });
            }
        }
    }

    /// What waits for its linger time is sent now.
    pub(in crate::worker::sim) fn send_all(&mut self, id: usize) {
        let lanes = self.outboxes[id].lanes.iter();
        let waiting: Vec<Tp> = lanes
            .filter(|(_, lane)| !lane.queue.is_empty())
            .map(|(tp, _)| *tp)
            .collect();
        for tp in waiting {
            self.send(id, tp);
        }
    }

    /// Whether something that was produced is yet to reach its broker.
    pub(in crate::worker::sim) fn is_sending(&self) -> bool {
        let outboxes = self.outboxes.iter();
        let mut lanes = outboxes.flat_map(|outbox| outbox.lanes.values());
        lanes.any(|lane| {
            let mut flight = lane.flight.iter();
            !lane.queue.is_empty() || flight.any(|batch| batch.result.is_none())
        })
    }

    /// Whether everything that an instance has produced is answered.
    pub(in crate::worker::sim) fn flushed(&self, id: usize) -> bool {
        let outbox = &self.outboxes[id];
        outbox.outstanding == outbox.ready.len()
    }
}
