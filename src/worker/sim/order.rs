//! In which order what was produced may come to be in its topic: by partition, by key, by due time.

use std::collections::HashMap;

use super::core::Core;
use super::facts::{Child, Part};
use super::log::{Kind, Tp};

impl Core {
    /// A record was appended to a sink: the first deliveries of a partition keep its order.
    pub(super) fn check_order(&mut self, child: usize, sink: Tp, keyed: bool) {
        let child = &self.facts.children[child];
        let Part::Output { index, .. } = child.part else {
            return;
        };
        if self.plan.transactions.is_some() {
            return; // what is aborted does not count: looked at in the end
        }
        let hand_out = &self.facts.hand_outs[child.hand_out];
        let (tp, offset, uid) = (hand_out.tp, hand_out.offset, hand_out.uid);
        let origin = hand_out.origin;
        self.check_key_order(origin, index, sink);
        let first = self.facts.delivered.insert((uid, index));
        let promised = keyed
            && self.log.kind(tp) == Kind::Source
            && self.plan.reorder.is_none()
            && !self.facts.refused.contains(&tp)
            && !self.facts.failed.contains(&uid);
        if !first || !promised {
            return;
        }
        let last = self.facts.order.entry((tp, sink)).or_insert(offset);
        if *last > offset {
            let last = *last;
            let (tp, sink) = (self.log.name(tp), self.log.name(sink));
            return self.violated(format!(
                "order: {tp}@{offset} is first delivered to {sink} behind {last}"
            ));
        }
        *last = offset;
    }

    /// With an order per key: the first deliveries of a key's source positions are in their order, through retries and
    /// whoever owns the partition. Not held: a record that became a dead letter for which nobody had to wait, and what was
    /// behind an output that a sink refused.
    fn check_key_order(&mut self, origin: usize, index: usize, sink: Tp) {
        let of = &self.origins[origin];
        let (tp, offset) = (of.tp, of.offset);
        let Some(key) = of.key.clone().filter(|_| self.plan.per_key.is_some()) else {
            return;
        };
        let facts = &mut self.facts;
        let home = (tp, key);
        let first = facts.delivered_by_key.insert((origin, index));
        if !first || facts.let_off.contains(&origin) || facts.refused_keys.contains(&home) {
            return;
        }
        let (tp, key) = home;
        let last = facts.order_of_keys.entry((tp, key, sink)).or_insert(offset);
        if *last <= offset {
            *last = offset;
            return;
        }
        let last = *last;
        let (tp, sink) = (self.log.name(tp), self.log.name(sink));
        self.violated(format!(
            "key order: {tp}@{offset} is first delivered to {sink} behind {last} of its key"
        ));
    }

    /// A retry is handed to the producer: its due times do not decrease, and leave the tier's delay.
    pub(super) fn check_due(&mut self, id: usize, retry: Tp, due_at: i64) {
        let epoch = self.members[id]
            .owned
            .get(&retry)
            .map_or(0, |owned| owned.epoch);
        if self.plan.transactions.is_some() {
            return; // what is aborted does not count: looked at in the end
        }
        let last = self.facts.due.entry((id, retry, epoch)).or_insert(due_at);
        let (before, name) = (*last, self.log.name(retry));
        *last = due_at;
        if before > due_at {
            self.violated(format!("due: {name}: {due_at} behind {before}"));
        }
    }

    /// Under exactly_once, what is committed is in order, whatever was aborted on the way.
    pub(super) fn check_order_in_the_end(&self, wrong: &mut Vec<String>) {
        let by: HashMap<usize, &Child> = self
            .facts
            .children
            .iter()
            .filter_map(|child| Some((child.uid?, child)))
            .collect();
        for to in self.log.all() {
            let mut last: HashMap<Tp, i64> = HashMap::new();
            let mut last_of_keys: HashMap<(Tp, &[u8]), i64> = HashMap::new();
            let mut due: HashMap<(usize, u64), i64> = HashMap::new();
            let records = self.log.partition(to).records.iter();
            for record in records.filter(|record| self.visible(record)) {
                let Some(child) = by.get(&record.uid) else {
                    continue;
                };
                let from = &self.facts.hand_outs[child.hand_out];
                let origin = &self.origins[from.origin];
                let name = self.log.name(to);
                if let (Part::Output { .. }, Some(key), true) =
                    (child.part, &origin.key, self.plan.per_key.is_some())
                    && !self.facts.let_off.contains(&from.origin)
                {
                    let before = last_of_keys.insert((origin.tp, key), origin.offset);
                    if let Some(before) = before.filter(|before| *before > origin.offset) {
                        let tp = self.log.name(origin.tp);
                        wrong.push(format!(
                            "key order: {tp}@{} is in {name} behind {before} of its key",
                            origin.offset
                        ));
                    }
                }
                match child.part {
                    Part::Output { .. }
                        if record.key.is_some()
                            && self.plan.reorder.is_none()
                            && self.log.kind(from.tp) == Kind::Source =>
                    {
                        let before = last.insert(from.tp, from.offset).unwrap_or(-1);
                        if before > from.offset {
                            let tp = self.log.name(from.tp);
                            wrong.push(format!(
                                "order: {tp}@{} is in {name} behind {before}",
                                from.offset
                            ));
                        }
                    }
                    Part::Retry | Part::Extra => {
                        let before = due.insert(record.writer, record.due_at).unwrap_or(0);
                        if before > record.due_at {
                            wrong.push(format!("due: {name}: {} behind {before}", record.due_at));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
