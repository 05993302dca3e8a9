//! What is wrong with one pipeline now, for whoever tells people of it.

use super::{Dependency, Drift, Health, PauseEntry};

/// What is wrong, as it stands at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// Partitions of the pipeline that a fault pauses; the normal pauses are not among them.
    pub pauses: Vec<PauseEntry>,
    /// Topic and partition of those that have lag and make no progress.
    pub stuck: Vec<(String, i32)>,
    /// Topic, partition, and when the record at the head of that retry partition failed first, in milliseconds since the
    /// epoch.
    pub retries: Vec<(String, i32, i64)>,
    /// Dependencies of the whole instance that failed when they were used last, and how.
    pub down: Vec<(Dependency, String)>,
    /// Fields whose values have drifted from the baseline.
    pub drifts: Vec<Drift>,
}

impl Health {
    /// What is wrong with a pipeline.
    pub fn faults(&self, pipeline: &str) -> Faults {
        let state = self.lock();
        let from = (pipeline.to_owned(), String::new(), i32::MIN);
        let pauses = state.pauses.range(from.clone()..).map(|(_, entry)| entry);
        let pauses = pauses
            .take_while(|entry| entry.pipeline == pipeline)
            .filter(|entry| entry.reason.is_fault());
        let stuck = state
            .stuck
            .range(from.clone()..)
            .take_while(|(name, ..)| name == pipeline)
            .map(|(_, topic, partition)| (topic.clone(), *partition));
        let retries = state
            .retries
            .range(from..)
            .take_while(|((name, ..), _)| name == pipeline)
            .map(|((_, topic, partition), since)| (topic.clone(), *partition, *since));
        let first = (pipeline.to_owned(), String::new(), 0, String::new());
        let drifts = state.drifts.range(first..);
        let drifts = drifts.take_while(|((name, ..), _)| name == pipeline);
        let down = state.dependencies.iter();
        let down = down.filter_map(|(name, known)| Some((name.clone(), known.fault.clone()?)));
        Faults {
            pauses: pauses.cloned().collect(),
            stuck: stuck.collect(),
            retries: retries.collect(),
            down: down.collect(),
            drifts: drifts.map(|(_, drift)| drift.clone()).collect(),
        }
    }

    /// When the record at the head of a retry partition failed first, in milliseconds since the epoch; `None` if nothing
    /// waits there.
    pub fn retry_waits(&self, pipeline: &str, topic: &str, partition: i32, since: Option<i64>) {
        let key = (pipeline.to_owned(), topic.to_owned(), partition);
        let mut state = self.lock();
        match since {
            Some(since) => state.retries.insert(key, since),
            None => state.retries.remove(&key),
        };
    }
}
