//! How many members a consumer group has, asked of its coordinator once a second and after each rebalance of our own
//! workers, on a thread beside the record path. Output: the share of each limit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio_util::sync::CancellationToken;

use super::Around;
use super::limit::Limit;
use super::share::{Part, Share};
use crate::beside::Beside;
use crate::error::FatalError;

const EVERY: Duration = Duration::from_secs(1);
/// Longer than another instance takes to see a new member: its interval, and an answer that is slow.
const SETTLE: Duration = Duration::from_secs(3);
const ASK: Duration = Duration::from_secs(3);
/// Rebalances that are not looked at yet: more than an instance has workers.
const EVENTS: usize = 4096;

pub(super) struct Members {
    rebalanced: SyncSender<usize>,
}

impl Members {
    pub(super) fn watch(
        around: &Around,
        limits: Vec<Arc<Limit>>,
        beside: &mut Beside,
    ) -> Result<Members, FatalError> {
        let start =
            |what: String| FatalError::Start(format!("members of {}: {what}", around.group));
        let mut config = ClientConfig::new();
        for (name, value) in &around.kafka {
            config.set(name, value);
        }
        let consumer: BaseConsumer = config.create().map_err(|error| start(error.to_string()))?;
        let (rebalanced, events) = sync_channel(EVENTS);
        let watch = Watch {
            consumer,
            group: around.group.clone(),
            pipeline: around.pipeline.clone(),
            workers: BTreeSet::new(),
            share: Share::new(SETTLE),
            limits,
            is_failing: false,
        };
        let name = format!("{}-members", around.pipeline);
        beside.spawn(name, move |end| watch.run(&events, end))?;
        Ok(Members { rebalanced })
    }

    /// Never waits. What finds no room tells of a worker that has been told of before.
    pub(super) fn rebalanced(&self, worker: usize) {
        if let Err(TrySendError::Disconnected(_)) = self.rebalanced.try_send(worker) {
            tracing::debug!("the group's members are not watched any more");
        }
    }
}

struct Watch {
    consumer: BaseConsumer,
    group: String,
    pipeline: String,
    /// Ours that have joined.
    workers: BTreeSet<usize>,
    share: Share,
    limits: Vec<Arc<Limit>>,
    is_failing: bool,
}

impl Watch {
    fn run(mut self, events: &Receiver<usize>, end: &CancellationToken) {
        while !end.is_cancelled() {
            match events.recv_timeout(EVERY) {
                Ok(worker) => {
                    self.workers.insert(worker);
                    self.workers.extend(events.try_iter());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Before we are in the group ourselves, its members say nothing about our part.
            if self.workers.is_empty() {
                continue;
            }
            if let Some(part) = self.seen()
                && let Some((own, all)) = self.share.see(part, Instant::now())
            {
                tracing::info!(
                    pipeline = self.pipeline,
                    own,
                    all,
                    "this instance's part of the lookups' limits"
                );
                self.limits.iter().for_each(|limit| limit.set(own, all));
            }
        }
    }

    fn seen(&mut self) -> Option<Part> {
        let answer = self.consumer.fetch_group_list(Some(&self.group), ASK);
        let list = match answer {
            Ok(list) => list,
            Err(error) => {
                // The part stays what it was: who comes now cannot join either, or will see us.
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(
                        pipeline = self.pipeline,
                        group = self.group,
                        "the group's members could not be asked for, so that limits of lookups stay as they are: {error}"
                    );
                }
                return None;
            }
        };
        self.is_failing = false;
        let group = list
            .groups()
            .iter()
            .find(|group| group.name() == self.group)?;
        let all = u32::try_from(group.members().len()).ok()?;
        let own = u32::try_from(self.workers.len()).ok()?.min(all);
        (all > 0).then_some((own, all))
    }
}
