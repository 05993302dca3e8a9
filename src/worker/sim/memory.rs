//! Nothing that an engine keeps may grow with the length of a fault.

use super::core::Core;
use super::instance::Instance;
use super::log::{Kind, Tp};
use crate::health::PauseReason;

/// Batches that a partition may have begun and not finished.
pub(super) const WINDOW: usize = 8;

impl Instance {
    pub(super) fn check_memory(&mut self, id: usize, core: &mut Core) {
        let (batch, capacity) = (core.plan.batch, core.plan.capacity);
        let in_flight = self.engine.in_flight();
        if in_flight > capacity {
            core.violated(format!("memory: {in_flight} in flight of {capacity}"));
        }
        let (held, room) = (self.engine.held(), core.plan.room);
        if held > room && in_flight > 1 {
            core.violated(format!("memory: {held} bytes in flight of {room}"));
        }
        let most = WINDOW * batch + batch;
        for partition in self.engine.assignment.iter() {
            let kept = partition.tracker.in_flight();
            let doubts =
                partition.suspects.len() + partition.refused.len() + partition.doubted.len();
            // Of a transaction that is aborted, what is known of single records stays known.
            let together = core.plan.transactions.map_or(0, |of| of.records);
            if kept > most || doubts > 3 * (capacity + most + together) {
                core.violated(format!(
                    "memory: {}-{} keeps {kept} records and {doubts} doubts",
                    partition.topic, partition.number
                ));
            }
        }
        if core.plan.per_key.is_some() {
            self.check_parked(id, core);
        }
    }

    /// What is known of records in retry, with an order per key: within its bounds, but for what was found there and what
    /// somebody else has written there since. After a rewind a record is read again that had gone.
    fn check_parked(&self, id: usize, core: &mut Core) {
        let Some(per_key) = core.plan.per_key else {
            return;
        };
        let owned: Vec<Tp> = core.members[id].owned.keys().copied().collect();
        let log = &core.log;
        let sources = owned.iter().copied();
        let sources: Vec<Tp> = sources.filter(|tp| log.kind(*tp) == Kind::Source).collect();
        for home in sources {
            let topic = &core.log.topics[home.topic].name;
            let number = i32::try_from(home.partition).expect("a few");
            let Some((keys, records)) = self.engine.families.parked(topic, number) else {
                continue;
            };
            let slot = self.engine.assignment.find(topic, number);
            let partition = slot.and_then(|slot| self.engine.assignment.get(slot));
            if partition.is_some_and(|one| one.is_paused_for(PauseReason::ParkedFull)) {
                core.count("turns with all room taken");
            }
            let (found_keys, found) = core.members[id]
                .surveyed
                .get(&home)
                .copied()
                .unwrap_or_default();
            let facts = &core.facts;
            let (mut more, mut again) = (0, false);
            for tp in owned.iter().filter(|tp| core.log.home(**tp) == Some(home)) {
                more += core.members[id].owned[tp].strangers;
                again |= facts.excused.contains(tp) || facts.refused.contains(tp);
            }
            // What was in flight at a change of hands is read again, and may go into retry now, whatever is found there.
            if found > 0 && core.plan.transactions.is_none() {
                more += (WINDOW + 1) * core.plan.batch;
            }
            if again {
                more += (WINDOW + 1) * core.plan.batch * core.plan.tiers.len();
            }
            let most = (
                per_key.max_keys.max(found_keys) + more,
                per_key.max_records.max(found) + more,
            );
            if keys > most.0 || records > most.1 {
                core.violated(format!(
                    "memory: {records} records of {keys} keys are parked for {}, and {most:?} are the most",
                    core.log.name(home)
                ));
            }
        }
    }
}
