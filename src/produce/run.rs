//! One run of `produce`, in order: schema, columns, broker, registration, rows. Input: a [`Job`]. Output: a [`Report`]
//! whose counts add up. Whatever can be known is known before the first record is sent.

use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Handle;

use super::extract::{Key, Timestamp};
use super::input::Input;
use super::rejects::Rejects;
use super::rows::{Next, Rows};
use super::send::{Outgoing, Rate, Sender, Sent};
use super::source::{Loaded, Registered, Source};
use super::{BadRow, Failure, Format};
use crate::config::model::{Kafka, Registry};
use crate::contract::encode;
use crate::contract::registry::RegistryClient;
use crate::contract::value::Value;
use crate::contract::wire;
use crate::error::FatalError;
use crate::ingest::properties::{self, BROKER_MESSAGE_BYTES};
use crate::ingest::topics::Finding;
use crate::ingest::topics::admin::TopicAdmin;
use rdkafka::types::RDKafkaErrorCode;

/// How long the broker is asked about the topic.
const ASK: Duration = Duration::from_secs(10);
/// How long it is asked about the topic's largest record, which has a usual value.
const ASK_SIZE: Duration = Duration::from_secs(3);
/// How long one record may take to be acknowledged: Kafka's own default. A person waits, so unlike a pipeline's
/// producer this one gives up.
const GIVE_UP: Duration = Duration::from_secs(120);
/// What may wait in the client to be acknowledged, in bytes.
const MEMORY: u64 = 64 * 1024 * 1024;
/// The watcher hears of progress once per so many rows.
const TELL_EVERY: u64 = 1_000;

/// What is to be produced, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// The schema.
    pub schema: Source,
    /// Whether a schema file that is not registered is registered.
    pub register: bool,
    /// The topic.
    pub topic: String,
    /// Make the topic, with so many partitions, if it is not there.
    pub create_topic: Option<i32>,
    /// The largest record that the topic takes, in bytes; the broker is asked for `None`.
    pub largest: Option<u64>,
    /// The cluster.
    pub kafka: Kafka,
    /// The registry.
    pub registry: Registry,
    /// How the rows are written.
    pub format: Format,
    /// Field path of the key.
    pub key: Option<String>,
    /// Field path of the timestamp.
    pub timestamp: Option<String>,
    /// At most so many records in a time.
    pub rate: Option<Rate>,
    /// At most so many rows.
    pub limit: Option<u64>,
    /// Where bad rows go; without it the first one ends the run.
    pub rejects: Option<PathBuf>,
    /// Read and check every row and change nothing, neither at the broker nor in the registry.
    pub dry_run: bool,
}

/// What became of the rows: `read = produced + rejected + failed + valid`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows read.
    pub read: u64,
    /// Acknowledged by the broker.
    pub produced: u64,
    /// No record of the schema.
    pub rejected: u64,
    /// Sent, or about to be, and not acknowledged.
    pub failed: u64,
    /// Good, and not sent because of `dry_run`.
    pub valid: u64,
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The counts.
    pub counts: Counts,
    /// The schema's subject.
    pub subject: String,
    /// Its place in the registry; `None` in a dry run from a file.
    pub registered: Option<Registered>,
    /// Why it ended before the last row.
    pub stopped: Option<Stop>,
}

/// Why a run ended before the last row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A bad row, and nowhere to put it.
    BadRow,
    /// The broker did not take a record, the input could not be read on, or a rejected row could not be written.
    Failed(String),
    /// The watcher said so.
    Interrupted,
}

/// Who is told, and asked, while it runs.
pub trait Watch {
    /// A row is bad.
    fn bad(&mut self, row: &BadRow);
    /// So many rows are done.
    fn progress(&mut self, counts: Counts);
    /// Whether to stop reading. What was sent is still waited for.
    fn interrupted(&self) -> bool;
    /// Whether not to wait for it either.
    fn abandoned(&self) -> bool;
}

/// Runs it. An error means that nothing was sent. `runtime` serves the requests to the registry; the calling thread must
/// not be one of its own.
pub fn run(
    job: &Job,
    input: Input,
    runtime: &Handle,
    watch: &mut dyn Watch,
) -> Result<Report, Failure> {
    let registry = || RegistryClient::new(&job.registry).map_err(failure);
    let loaded = match &job.schema {
        Source::File { path, subject } => Loaded::file(path, subject)?,
        Source::Subject { subject, version } => {
            runtime.block_on(Loaded::subject(&registry()?, subject, *version))?
        }
    };
    let schema = &loaded.schema;
    let (key, timestamp) = extracted(job, &loaded)?;
    let name = input.name.clone();
    let rows = Rows::new(schema, &job.format, &name, input.bytes()?)?;

    let (registered, sender) = match job.dry_run {
        true => (loaded.known(), None),
        false => {
            let largest = runtime.block_on(topic(job))?;
            let registered = runtime.block_on(loaded.registered(&registry()?, job.register))?;
            if let Some(partitions) = job.create_topic.filter(|_| largest.is_none()) {
                runtime.block_on(create(job, partitions))?;
            }
            let sender = sender(job, largest.or(job.largest).unwrap_or(BROKER_MESSAGE_BYTES))?;
            (Some(registered), Some(sender))
        }
    };
    let rejects = match &job.rejects {
        Some(path) => {
            let delimiter = match &job.format {
                Format::Csv { delimiter, .. } => *delimiter,
                Format::JsonLines => b',',
            };
            Some(Rejects::create(path, delimiter, rows.header())?)
        }
        None => None,
    };
    let pass = Pass {
        job,
        loaded: &loaded,
        key,
        timestamp,
        id: registered.map(|place| place.id),
        sender,
        rejects,
        counts: Counts::default(),
        key_bytes: Vec::new(),
        value_bytes: Vec::new(),
    };
    let (counts, stopped) = pass.run(rows, watch);
    Ok(Report {
        counts,
        subject: loaded.subject,
        registered,
        stopped,
    })
}

fn extracted(job: &Job, loaded: &Loaded) -> Result<(Option<Key>, Option<Timestamp>), Failure> {
    let schema = &loaded.schema;
    let key = job.key.as_deref().map(|path| Key::new(schema, path));
    let timestamp = job.timestamp.as_deref();
    let timestamp = timestamp.map(|path| Timestamp::new(schema, path));
    match (key.transpose(), timestamp.transpose()) {
        (Ok(key), Ok(timestamp)) => Ok((key, timestamp)),
        (key, timestamp) => {
            let faults = [key.err(), timestamp.err()];
            Err(Failure::Asked(faults.into_iter().flatten().collect()))
        }
    }
}

/// The largest record that the topic takes; nothing if it does not exist and is to be created.
async fn topic(job: &Job) -> Result<Option<u64>, Failure> {
    let names = std::slice::from_ref(&job.topic);
    let ask = |patience| TopicAdmin::new(&properties::admin(&job.kafka), patience).map_err(failure);
    let admin = ask(ASK)?;
    let there = tokio::task::block_in_place(|| admin.partitions(names)).map_err(|error| {
        let servers = &job.kafka.bootstrap_servers;
        Failure::Unreachable(format!("{servers}: {error}"))
    })?;
    match (there.is_empty(), job.create_topic, job.largest) {
        (true, None, _) => Err(Failure::asked(format!(
            "topic {} does not exist; create it, or say --create-topic with a number of partitions",
            job.topic
        ))),
        (true, Some(_), _) => Ok(None),
        (false, _, Some(largest)) => Ok(Some(largest)),
        (false, _, None) => {
            // Not every principal may ask, and not every broker answers.
            let known = ask(ASK_SIZE)?.known(names).await.unwrap_or_default();
            let largest = known
                .get(&job.topic)
                .and_then(|facts| facts.max_message_bytes);
            Ok(Some(largest.unwrap_or(BROKER_MESSAGE_BYTES)))
        }
    }
}

async fn create(job: &Job, partitions: i32) -> Result<(), Failure> {
    let admin = TopicAdmin::new(&properties::admin(&job.kafka), ASK).map_err(failure)?;
    let create = Finding::Create {
        topic: job.topic.clone(),
        partitions,
        config: Vec::new(),
    };
    admin.apply(&[create]).await.map(drop).map_err(failure)
}

fn sender(job: &Job, largest: u64) -> Result<Sender, Failure> {
    let mut properties =
        properties::plain_producer(&job.kafka, "driftgate-produce", MEMORY, largest);
    let give_up = GIVE_UP.as_millis().to_string();
    properties.insert("message.timeout.ms".to_owned(), give_up);
    Sender::new(&properties, &job.topic, job.rate).map_err(failure)
}

fn failure(error: FatalError) -> Failure {
    match error {
        FatalError::Kafka(_) | FatalError::Start(_) => Failure::Unreachable(error.to_string()),
        FatalError::Topics(_) | FatalError::Contract(_) => Failure::asked(error.to_string()),
    }
}

/// The rows, one after the other.
struct Pass<'a> {
    job: &'a Job,
    loaded: &'a Loaded,
    key: Option<Key>,
    timestamp: Option<Timestamp>,
    id: Option<u32>,
    sender: Option<Sender>,
    rejects: Option<Rejects>,
    counts: Counts,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

impl Pass<'_> {
    fn run(mut self, mut rows: Rows<'_>, watch: &mut dyn Watch) -> (Counts, Option<Stop>) {
        let mut stopped = self.read(&mut rows, watch).err();
        let (mut counts, sender) = (self.counts, self.sender.take());
        if let Some(mut sender) = sender {
            while !sender.finished() {
                if watch.abandoned() {
                    sender.abandon();
                }
                sender.wait();
                counts.produced = sender.acknowledged();
                watch.progress(counts);
            }
            counts.produced = sender.acknowledged();
            counts.failed += sender.failed();
            if let Some(why) = refused(&mut sender) {
                stopped = Some(Stop::Failed(why));
            }
        }
        if let Some(Err(error)) = self.rejects.take().map(Rejects::finish) {
            stopped = Some(Stop::Failed(error.to_string()));
        }
        watch.progress(counts);
        (counts, stopped)
    }

    fn read(&mut self, rows: &mut Rows<'_>, watch: &mut dyn Watch) -> Result<(), Stop> {
        while self.job.limit.is_none_or(|limit| self.counts.read < limit) {
            if watch.interrupted() {
                return Err(Stop::Interrupted);
            }
            let next = rows.next();
            let next = next.map_err(|error| Stop::Failed(error.to_string()))?;
            let bad = match next {
                Next::End => break,
                Next::Row { line, value } => {
                    self.counts.read += 1;
                    self.good(line, &value, watch)?
                }
                Next::Bad(bad) => {
                    self.counts.read += 1;
                    Some(bad)
                }
            };
            if let Some(bad) = bad {
                self.bad(&bad, rows, watch)?;
            }
            if self.counts.read.is_multiple_of(TELL_EVERY) {
                let produced = self.sender.as_ref().map_or(0, Sender::acknowledged);
                let counts = Counts {
                    produced,
                    ..self.counts
                };
                watch.progress(counts);
            }
        }
        Ok(())
    }

    /// Sends a row, unless it turns out to be bad after all.
    fn good(
        &mut self,
        line: u64,
        value: &Value,
        watch: &dyn Watch,
    ) -> Result<Option<BadRow>, Stop> {
        let schema = &self.loaded.schema;
        let bad = |path: &str, message: String| {
            Ok(Some(BadRow {
                line,
                path: path.to_owned(),
                message,
            }))
        };
        let timestamp = match &self.timestamp {
            Some(timestamp) => match timestamp.millis(schema, value) {
                Ok(millis) => Some(millis),
                Err(message) => return bad(timestamp.name(), message.to_owned()),
            },
            None => None,
        };
        let key = self.key.as_ref();
        let keyed = key.is_some_and(|key| key.write(schema, value, &mut self.key_bytes));
        self.value_bytes.clear();
        wire::write_header(self.id.unwrap_or_default(), &mut self.value_bytes);
        if let Err(error) = encode::encode(schema, value, &mut self.value_bytes) {
            return bad(&error.path, error.message);
        }
        let Some(sender) = &mut self.sender else {
            self.counts.valid += 1;
            return Ok(None);
        };
        let record = Outgoing {
            line,
            key: keyed.then_some(self.key_bytes.as_slice()),
            timestamp,
            value: &self.value_bytes,
        };
        match sender.send(record, &|| watch.interrupted()) {
            Ok(Sent::Queued) => {}
            Ok(Sent::Stopped) => {
                // Read, and neither sent nor bad: it goes back, so that the counts add up.
                self.counts.read -= 1;
                return Err(Stop::Interrupted);
            }
            Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                let size = self.value_bytes.len() + self.key_bytes.len();
                let message = format!(
                    "expected a record that topic {} takes (its max.message.bytes), found one of {size} bytes",
                    self.job.topic
                );
                return bad("", message);
            }
            Err(code) => {
                self.counts.failed += 1;
                let topic = &self.job.topic;
                return Err(Stop::Failed(format!(
                    "line {line} could not be sent to {topic}: {code}"
                )));
            }
        }
        // What follows a record that failed is not sent after it.
        match refused(sender) {
            Some(why) => Err(Stop::Failed(why)),
            None => Ok(None),
        }
    }

    fn bad(&mut self, bad: &BadRow, rows: &Rows<'_>, watch: &mut dyn Watch) -> Result<(), Stop> {
        self.counts.rejected += 1;
        watch.bad(bad);
        match &mut self.rejects {
            Some(rejects) => {
                let added = rejects.add(bad, rows.raw(), rows.header());
                added.map_err(|error| Stop::Failed(error.to_string()))
            }
            // A dry run is for seeing all of them.
            None if self.job.dry_run => Ok(()),
            None => Err(Stop::BadRow),
        }
    }
}

/// Why records were not acknowledged, if any were not.
fn refused(sender: &mut Sender) -> Option<String> {
    let failed = sender.first_failure()?;
    let mut why = format!("line {}: not acknowledged: {}", failed.line, failed.code);
    if let Some(error) = sender.last_error() {
        why.push_str(&format!(" ({error})"));
    }
    Some(why)
}

#[cfg(test)]
mod tests;
