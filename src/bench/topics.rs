//! The topics of a run: names that no other run has, made before it and removed after it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::measure;
use crate::error::FatalError;

/// How long the brokers may take for one question.
const ASK: Duration = Duration::from_secs(10);
/// How long a topic may take to be known everywhere.
const KNOWN: Duration = Duration::from_secs(30);
/// How long is between two questions for what is not known yet.
const AGAIN: Duration = Duration::from_millis(50);

/// Makes and removes topics whose names begin with the run's own.
pub struct Topics {
    admin: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
    prefix: String,
    keep: bool,
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> FatalError {
    FatalError::Kafka(format!("{what}: {error}"))
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ASK))
        .operation_timeout(Some(ASK))
}

impl Topics {
    /// Connects. An error says that no broker answers, and where.
    pub fn new(
        client: &BTreeMap<String, String>,
        brokers: &str,
        prefix: &str,
        keep: bool,
    ) -> Result<Topics, FatalError> {
        let mut config = ClientConfig::new();
        for (name, value) in client {
            config.set(name, value);
        }
        let admin: AdminClient<DefaultClientContext> = config
            .create()
            .map_err(|error| failed("a client", &error))?;
        admin
            .inner()
            .fetch_metadata(None, ASK)
            .map_err(|error| failed(&format!("no broker answers at {brokers}"), &error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| FatalError::Start(format!("a runtime: {error}")))?;
        Ok(Topics {
            admin,
            runtime,
            prefix: prefix.to_owned(),
            keep,
        })
    }

    /// A topic's full name.
    pub fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Makes a topic and waits until it is known.
    pub fn create(&self, topic: &str, partitions: i32) -> Result<(), FatalError> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let results = self
            .runtime
            .block_on(self.admin.create_topics([&new], &options()))
            .map_err(|error| failed(topic, &error))?;
        for result in results {
            result.map_err(|(topic, code)| failed(&topic, &code))?;
        }
        let until = Instant::now() + KNOWN;
        while !self.all()?.iter().any(|(name, count)| {
            name == topic && i32::try_from(*count).is_ok_and(|count| count == partitions)
        }) {
            if Instant::now() > until {
                return Err(failed(topic, &"made, and not known to the brokers"));
            }
        }
        Ok(())
    }

    /// Removes the topics of the run that have `group` in their name, and the group; all topics with nothing. What cannot be
    /// removed is told and left.
    pub fn remove(&self, group: &str) {
        if self.keep {
            return;
        }
        let prefix = &self.prefix;
        let topics: Vec<String> = match self.all() {
            Ok(all) => all
                .into_iter()
                .map(|(topic, _)| topic)
                .filter(|topic| topic.contains(group))
                .collect(),
            Err(error) => return tracing::warn!("topics of {prefix} are left: {error}"),
        };
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        if !names.is_empty()
            && let Err(error) = self
                .runtime
                .block_on(self.admin.delete_topics(&names, &options()))
        {
            tracing::warn!("topics of {prefix} are left: {error}");
        }
        if !group.is_empty()
            && let Err(error) = self
                .runtime
                .block_on(self.admin.delete_groups(&[group], &options()))
        {
            tracing::debug!("{group} is left: {error}");
        }
    }

    /// Offsets of topics that are written, all partitions together. Those that are not there have none.
    pub fn written(&self, topics: &[String]) -> Result<u64, FatalError> {
        let mut written = 0;
        for (topic, partitions) in self.all()? {
            if !topics.contains(&topic) {
                continue;
            }
            for partition in 0..i32::try_from(partitions).unwrap_or(0) {
                let (low, high) = self.ends(&topic, partition)?;
                written += u64::try_from(high - low).unwrap_or(0);
            }
        }
        Ok(written)
    }

    /// Where a partition begins and ends. One that has just been made may have no leader for a moment.
    fn ends(&self, topic: &str, partition: i32) -> Result<(i64, i64), FatalError> {
        let until = Instant::now() + KNOWN;
        loop {
            match self.admin.inner().fetch_watermarks(topic, partition, ASK) {
                Ok(ends) => return Ok(ends),
                Err(error) if Instant::now() > until => return Err(failed(topic, &error)),
                Err(_) => measure::wait(AGAIN),
            }
        }
    }

    fn all(&self) -> Result<Vec<(String, usize)>, FatalError> {
        let metadata = self
            .admin
            .inner()
            .fetch_metadata(None, ASK)
            .map_err(|error| failed("the list of topics", &error))?;
        let topics = metadata.topics().iter();
        let topics = topics.filter(|topic| topic.name().starts_with(&self.prefix));
        Ok(topics
            .map(|topic| (topic.name().to_owned(), topic.partitions().len()))
            .collect())
    }
}

impl Drop for Topics {
    /// However a run ends, it leaves nothing.
    fn drop(&mut self) {
        self.remove("");
    }
}
