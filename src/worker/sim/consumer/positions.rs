//! A consumer's calls that may be made at any time: offsets, pauses, seeks, questions to the broker.

use std::time::Duration;

use rand::Rng;
use rdkafka::types::RDKafkaErrorCode;

use super::SimConsumer;
use crate::native::ClientError;
use crate::native::consumer::{Entry, OFFSET_INVALID};
use crate::native::transaction::Member;
use crate::worker::ports::Positions;
use crate::worker::sim::core::Core;
use crate::worker::sim::log::{GROUP, Tp};
use crate::worker::sim::plan::MILLI;
use crate::worker::sim::sabotage::Bug;
use crate::worker::sim::world::micros;

impl Positions for SimConsumer {
    fn committed(
        &self,
        partitions: &[(String, i32)],
        timeout: Duration,
    ) -> Result<Vec<Entry>, RDKafkaErrorCode> {
        self.world.step(self.id);
        let known: Vec<Option<Tp>> = {
            let core = self.world.core();
            let tps = partitions.iter();
            tps.map(|(topic, partition)| core.log.tp(topic, *partition))
                .collect()
        };
        // Offsets within an open transaction are not told, nor what they were before.
        let answers =
            |core: &Core| core.answers() && !known.iter().flatten().any(|tp| core.is_unstable(*tp));
        self.world.wait(self.id, micros(timeout), &answers);
        let core = self.world.core();
        if !answers(&core) {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let entry = |(topic, partition): &(String, i32)| {
            let tp = core.log.tp(topic, *partition);
            let found = tp.and_then(|tp| core.log.partition(tp).committed.clone());
            let (offset, metadata) = match found {
                Some((offset, mut metadata)) => {
                    if core.is(Bug::ForgetPause) {
                        let words = metadata.split(' ');
                        let words = words.filter(|word| !word.starts_with("paused="));
                        metadata = words.collect::<Vec<_>>().join(" ");
                    }
                    (offset, Some(metadata))
                }
                None => (OFFSET_INVALID, None),
            };
            Entry {
                topic: topic.clone(),
                partition: *partition,
                offset,
                metadata,
            }
        };
        Ok(partitions.iter().map(entry).collect())
    }

    fn commit(&self, entries: &[Entry], wait: Option<Duration>) -> Result<(), RDKafkaErrorCode> {
        self.world.step(self.id);
        if entries.is_empty() {
            return Ok(());
        }
        let number = {
            let mut core = self.world.core();
            core.send_commit(self.id, entries, wait.is_some())
        };
        let Some(wait) = wait else {
            return Ok(());
        };
        let id = self.id;
        self.world.wait(id, micros(wait), &|core| {
            core.members[id].awaited.contains_key(&number)
        });
        let mut core = self.world.core();
        let answer = core.members[id].awaited.remove(&number);
        let result = answer.unwrap_or(Err(RDKafkaErrorCode::OperationTimedOut));
        if result.is_err() {
            for entry in entries {
                let tp = core.log.tp(&entry.topic, entry.partition);
                core.facts.excused.extend(tp);
            }
        }
        result
    }

    fn reachable(&self, timeout: Duration) -> bool {
        self.world.step(self.id);
        self.world
            .wait(self.id, micros(timeout), &|core| !core.dark());
        !self.world.core().dark()
    }

    fn pause(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        self.held(partitions, true)
    }

    fn resume(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        self.held(partitions, false)
    }

    fn seek(&self, partitions: &[Entry], _: Duration) -> Result<(), ClientError> {
        self.world.step(self.id);
        let mut core = self.world.core();
        let fails = core.faults && core.random.random_ratio(1, 50);
        let wait = core.some(50 * MILLI);
        let core = &mut *core;
        for entry in partitions {
            let tp = core.log.tp(&entry.topic, entry.partition);
            let owned = tp.and_then(|tp| core.members[self.id].owned.get_mut(&tp));
            let (Some(owned), false) = (owned, fails) else {
                return Err(ClientError {
                    code: RDKafkaErrorCode::State,
                    message: "erroneous state".to_owned(),
                });
            };
            if core.bug == Some(Bug::SeekNowhere) {
                continue;
            }
            owned.position = entry.offset.max(0);
            owned.start = owned.start.min(owned.position);
            owned.ready_at = core.now + wait;
            core.tell(|| {
                format!(
                    "{} seeks {}-{}@{}",
                    self.id, entry.topic, entry.partition, entry.offset
                )
            });
        }
        Ok(())
    }

    fn has_topic(&self, topic: &str, _: Duration) -> Option<bool> {
        let core = self.world.core();
        (!core.dark()).then(|| core.log.number(topic).is_some())
    }

    fn restart(&self, partitions: &[Entry]) -> Result<(), ClientError> {
        self.seek(partitions, Duration::ZERO)
    }

    fn range(&self, topic: &str, partition: i32, _: Duration) -> Option<(i64, i64)> {
        let core = self.world.core();
        let tp = core.log.tp(topic, partition)?;
        core.away(tp)
            .is_none()
            .then(|| (0, core.log.partition(tp).end))
    }

    fn watermarks(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let core = self.world.core();
        let tp = core.log.tp(topic, partition)?;
        let seen = core.members[self.id].owned.get(&tp)?.seen?;
        Some((0, seen))
    }

    fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let core = self.world.core();
        let tp = core.log.tp(topic, partition)?;
        let owned = core.members[self.id].owned.get(&tp)?;
        owned.seen?;
        let partition = core.log.partition(tp);
        let mut left = partition.records[partition.at(owned.position)..].iter();
        let end = partition.stable_end();
        let more = left.any(|record| record.offset < end && core.visible(record));
        Some(if more {
            owned.position
        } else {
            owned.position.max(end)
        })
    }

    fn member(&self) -> Option<Member> {
        let core = self.world.core();
        let member = &core.members[self.id];
        (member.joined && member.generation > 0).then(|| Member {
            group: GROUP.to_owned(),
            generation: i32::try_from(member.generation).expect("a few"),
            id: self.id.to_string(),
            instance: None,
        })
    }

    fn joined(&self) -> bool {
        let core = self.world.core();
        let member = &core.members[self.id];
        member.joined && member.generation > 0
    }
}

impl SimConsumer {
    fn held(&self, partitions: &[Entry], paused: bool) -> Result<(), RDKafkaErrorCode> {
        self.world.step(self.id);
        let mut core = self.world.core();
        let wait = core.some(20 * MILLI);
        let now = core.now;
        for entry in partitions {
            let tp = core.log.tp(&entry.topic, entry.partition);
            let Some(tp) = tp else {
                return Err(RDKafkaErrorCode::UnknownPartition);
            };
            let member = &mut core.members[self.id];
            match paused {
                true => member.paused.insert(tp),
                false => member.paused.remove(&tp),
            };
            // It may be about to go: then only the pause is lifted, which the client would keep otherwise.
            if let Some(owned) = member.owned.get_mut(&tp) {
                owned.ready_at = now + wait;
            }
            core.tell(|| {
                format!(
                    "{} is paused: {paused}, {}-{}",
                    self.id, entry.topic, entry.partition
                )
            });
        }
        Ok(())
    }
}
