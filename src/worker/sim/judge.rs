//! The pipeline of the simulation: does with each record what its script says. And its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log::{FROM, output_value};
use super::plan::Script;
use super::sabotage::Bug;
use super::scene::Scene;
use super::world::World;
use crate::config::model;
use crate::error::{Reason, RecordError};
use crate::failure::envelope::Stamp;
use crate::metrics::PartitionMetrics;
use crate::pipeline::{Again, Edition, Output, OutputKey, Sink, Verdict};
use crate::record::Record;
use crate::state::digest::Digest;
use crate::state::noted::Version;
use crate::worker::Clock;
use crate::worker::engine::Taken;
use crate::worker::ports::{Judge, Time, Waiting};

pub(super) struct SimJudge {
    pub(super) world: Arc<World>,
    pub(super) id: usize,
    pub(super) scene: Arc<Scene>,
    pub(super) digest: Option<Digest>,
    pub(super) edition: Option<Edition>,
}

impl Judge for SimJudge {
    fn config(&self) -> &model::Pipeline {
        &self.scene.config
    }

    fn stamp(&self) -> &Stamp {
        &self.scene.stamp
    }

    fn sinks(&self) -> &[Sink] {
        &self.scene.sinks
    }

    fn process(
        &mut self,
        source: &str,
        record: &Record<'_>,
        _: Option<&PartitionMetrics>,
    ) -> Verdict {
        self.world.step(self.id);
        (self.digest, self.edition) = (None, None);
        let mut core = self.world.core();
        let from = record
            .header(FROM)
            .and_then(|from| std::str::from_utf8(from).ok());
        let Some(hand_out) = from.and_then(|from| from.parse::<usize>().ok()) else {
            core.violated("headers: a record without its own came to the pipeline".to_owned());
            return Verdict::Filtered;
        };
        core.noted(self.id, hand_out);
        core.check_paused(self.id, hand_out);
        core.decided(self.id, hand_out, None);
        let facts = &core.facts.hand_outs[hand_out];
        let (number, tp, offset, due_at) = (facts.origin, facts.tp, facts.offset, facts.not_before);
        // A clock may be set back within a batch: what was due as it began is.
        let read = core.members[self.id].wall_read;
        if due_at > read {
            let name = core.log.name(tp);
            core.violated(format!(
                "early: {name}@{offset} is due at {due_at}, and it is {read}"
            ));
        }
        let origin = &core.origins[number];
        let place = (
            core.log.topics[origin.tp.topic].name.as_str(),
            origin.offset,
        );
        if (record.topic, record.offset) != place || source != place.0 {
            core.violated(format!(
                "content: record {number} is shown at another place"
            ));
        }
        if core.registry_until > core.now && number % 3 > 0 {
            core.count("registry outages met");
            let reason = match core.is(Bug::OutageIsPoison) {
                true => Reason::MalformedData,
                false => Reason::RegistryUnavailable,
            };
            return Verdict::Failed(RecordError::new(reason, "it is away"));
        }
        let down = core.lookups_until > core.now;
        // Sometimes longer than the longest tier.
        let retry_after = match number % 6 {
            0 => Some(Duration::from_secs(20)),
            2 | 4 => Some(Duration::from_millis(700)),
            _ => None,
        };
        let has_value = record.value.is_some();
        let emit = |large: Option<bool>| {
            Verdict::Emit(Output::of(
                has_value.then(|| output_value(number, 0, large)),
            ))
        };
        let is_on = core.plan.copies.is_some() && has_value && !core.is(Bug::NoDedup);
        let is_versioned = core.plan.versions.is_some() && has_value && !core.is(Bug::NoStale);
        let origin = &mut core.origins[number];
        let group = origin.group;
        let script = match origin.corrected {
            true => Script::Emit,
            false => origin.script.clone(),
        };
        // What is wrong with a record itself is found before its key.
        let is_read = match script {
            Script::Poison(_) => false,
            Script::Flaky(_) => origin.failures_left == 0,
            _ => true,
        };
        if is_on && is_read {
            self.digest = Some(Digest::of(&[Some(&group.to_le_bytes())]));
        }
        if is_versioned && is_read {
            self.edition = Some(Edition {
                digest: Digest::of(&[Some(&origin.entity.to_le_bytes())]),
                version: Version(origin.version),
                time: None,
            });
        }
        match script {
            Script::Emit => emit(None),
            Script::TooLarge { client } if has_value => emit(Some(client)),
            Script::TooLarge { .. } => {
                Verdict::Failed(RecordError::new(Reason::RecordTooLarge, "by its script"))
            }
            Script::Filter => {
                core.facts.hand_outs[hand_out].filtered = true;
                core.decided(self.id, hand_out, Some(false));
                Verdict::Filtered
            }
            Script::Poison(reason) => Verdict::Failed(RecordError::new(reason, "by its script")),
            Script::Flaky(_) if origin.failures_left > 0 => {
                origin.failures_left -= 1;
                Verdict::Failed(RecordError::new(Reason::UnknownSchema, "not there yet"))
            }
            Script::Lookup if down => {
                let mut error = RecordError::new(Reason::LookupUnavailable, "it is down");
                error.retry_after = retry_after;
                Verdict::Failed(error)
            }
            Script::Flaky(_) | Script::Lookup => emit(None),
            Script::Explode { outputs, large } => {
                if outputs == 0 {
                    core.facts.hand_outs[hand_out].filtered = true;
                    core.decided(self.id, hand_out, Some(false));
                }
                let outputs = (0..outputs).map(|index| Output {
                    sink: index % 2,
                    value: Some(output_value(
                        number,
                        index,
                        (large == Some(index)).then_some(false),
                    )),
                    key: OutputKey::Other(Some(format!("k{}", (number + index) % 8).into_bytes())),
                    ..Output::default()
                });
                Verdict::EmitAll(outputs.collect())
            }
            Script::BadTime => Verdict::Emit(Output {
                timestamp: Some(-1),
                ..Output::of(Some(Vec::new()))
            }),
        }
    }

    fn digest(&self) -> Option<Digest> {
        self.digest
    }

    fn edition(&self) -> Option<Edition> {
        self.edition
    }

    /// A place where a batch may take long, between the verdicts and what is made of them.
    fn look_up(&mut self, _: &mut [Waiting], _: &mut dyn FnMut(&(usize, Taken), &mut Again<'_>)) {
        self.world.step(self.id);
    }

    fn rebalanced(&self, _: usize) {}
}

pub(super) struct SimTime {
    pub(super) world: Arc<World>,
    pub(super) id: usize,
    pub(super) start: Instant,
}

impl Time for SimTime {
    fn read(&self) -> Clock {
        let mut core = self.world.core();
        let wall = core.wall(self.id);
        let member = &mut core.members[self.id];
        member.wall_read = member.wall_read.max(wall);
        Clock {
            now: self.start + Duration::from_micros(core.now),
            wall,
        }
    }
}
