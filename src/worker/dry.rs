//! A worker's loop without a broker: batches from memory, outputs acknowledged as soon as they are asked for. What it costs
//! is what we add to librdkafka. Input: a pipeline and records. Output: counts, so that a run can be checked.
//! Nothing is committed anywhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rdkafka::types::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, Outside, Settings};
use super::ports::{
    Act, Event, Intake, Outlet, Positions, Reading, Records, Survey, System, Transactions,
};
use super::{Clock, Shared};
use crate::error::FatalError;
use crate::failure_log::FailureLog;
use crate::health::Health;
use crate::in_process::InProcess;
use crate::metrics::Metrics;
use crate::native::ClientError;
use crate::native::consumer::{Entry, Item, OFFSET_BEGINNING, OFFSET_INVALID};
use crate::native::producer::{Delivery, Produce};
use crate::native::transaction::{Member, TransactionError};
use crate::record::Record;

const GRACE: Duration = Duration::from_secs(5);

/// A record to be fed.
#[derive(Debug, Clone)]
pub struct Fed {
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value, framed.
    pub value: Vec<u8>,
}

/// A worker between a feed and nowhere.
pub struct DryLoop {
    engine: Engine,
    feed: Feed,
    sent: Arc<std::sync::Mutex<BTreeMap<String, Sent>>>,
}

/// What was produced to a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Records.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

impl DryLoop {
    /// A worker of the pipeline that takes batches of `batch` records, round and round over `records`, which lie in
    /// `partitions` partitions of its first source topic in turns.
    ///
    /// # Panics
    ///
    /// Without a record, or a partition.
    pub fn new(pipeline: InProcess, records: Vec<Fed>, partitions: usize, batch: usize) -> DryLoop {
        assert!(!records.is_empty() && partitions > 0 && batch > 0);
        let (stages, idle) = pipeline.into_stages();
        let topic = stages.config().source_topics[0].clone();
        let settings = Settings {
            state: None,
            slot: 0,
            batch,
            window: usize::MAX,
            room: usize::MAX,
            commit_interval: Duration::from_secs(1),
            revoke_grace: GRACE,
            shutdown_grace: GRACE,
            stuck_after: Duration::from_secs(30),
            start: OFFSET_BEGINNING,
            partitions: HashMap::new(),
            sizes: HashMap::new(),
            transaction: None,
        };
        let sent = Arc::default();
        let outside = Outside {
            judge: Box::new(stages),
            outlet: Box::new(Nowhere {
                sent: Arc::clone(&sent),
                copy: Vec::new(),
                ready: Vec::new(),
            }),
            time: Box::new(System),
            survey: Box::new(NoSurvey),
            random: SmallRng::seed_from_u64(0),
        };
        let shared = Shared {
            metrics: Metrics::new(),
            health: Health::new(),
            failures: Arc::new(FailureLog::new(Clock::read().now)),
            controls: Arc::default(),
            shutdown: CancellationToken::new(),
        };
        let mut engine = Engine::new(settings, outside, shared);
        let feed = Feed {
            topic: topic.clone(),
            records,
            partitions,
            batch,
            next: 0,
            wall: Clock::read().wall,
            _idle: idle,
        };
        let numbers = (0..partitions).map(|number| entry(&topic, number, OFFSET_INVALID));
        engine.assigned(&feed, &numbers.collect::<Vec<_>>());
        engine.after_poll();
        DryLoop { engine, feed, sent }
    }

    /// Takes one batch and has it acknowledged. How many records it was.
    pub fn turn(&mut self) -> Result<usize, FatalError> {
        self.engine.turn(&mut self.feed)?;
        Ok(self.feed.batch)
    }

    /// What was produced, by topic.
    pub fn sent(&self) -> BTreeMap<String, Sent> {
        let sent = self.sent.lock();
        sent.unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

fn entry(topic: &str, partition: usize, offset: i64) -> Entry {
    Entry {
        topic: topic.to_owned(),
        partition: i32::try_from(partition).unwrap_or(i32::MAX),
        offset,
        metadata: None,
    }
}

struct Feed {
    topic: String,
    records: Vec<Fed>,
    partitions: usize,
    batch: usize,
    /// Records handed out.
    next: usize,
    wall: i64,
    _idle: crate::in_process::Idle,
}

impl Records for Feed {
    fn len(&self) -> usize {
        self.batch
    }

    fn get(&self, index: usize) -> Item<'_> {
        let number = self.next + index;
        let record = &self.records[number % self.records.len()];
        Item::Record(Record {
            topic: &self.topic,
            partition: i32::try_from(number % self.partitions).unwrap_or(0),
            offset: i64::try_from(number / self.partitions).unwrap_or(0),
            timestamp: Some(self.wall),
            key: record.key.as_deref(),
            value: Some(&record.value),
            headers: Vec::new(),
        })
    }
}

impl Intake for Feed {
    fn poll(&mut self, _timeout: Duration, engine: &mut Engine, act: &mut Act<'_>) {
        act(engine, self, self);
        self.next += self.batch;
    }

    fn take_errors(&mut self) -> Vec<ClientError> {
        Vec::new()
    }

    fn take_commits(&mut self) -> Vec<(Option<RDKafkaErrorCode>, Vec<Entry>)> {
        Vec::new()
    }
}

impl Positions for Feed {
    fn committed(
        &self,
        partitions: &[(String, i32)],
        _timeout: Duration,
    ) -> Result<Vec<Entry>, RDKafkaErrorCode> {
        let found = partitions.iter().map(|(topic, partition)| Entry {
            topic: topic.clone(),
            partition: *partition,
            offset: OFFSET_INVALID,
            metadata: None,
        });
        Ok(found.collect())
    }

    fn commit(&self, _entries: &[Entry], _wait: Option<Duration>) -> Result<(), RDKafkaErrorCode> {
        Ok(())
    }

    fn reachable(&self, _timeout: Duration) -> bool {
        true
    }

    fn has_topic(&self, _topic: &str, _timeout: Duration) -> Option<bool> {
        Some(true)
    }

    fn pause(&self, _partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        Ok(())
    }

    fn resume(&self, _partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        Ok(())
    }

    fn seek(&self, _partitions: &[Entry], _timeout: Duration) -> Result<(), ClientError> {
        Ok(())
    }

    fn restart(&self, _partitions: &[Entry]) -> Result<(), ClientError> {
        Ok(())
    }

    fn range(&self, _topic: &str, _partition: i32, _timeout: Duration) -> Option<(i64, i64)> {
        None
    }

    fn watermarks(&self, _topic: &str, _partition: i32) -> Option<(i64, i64)> {
        None
    }

    fn position(&self, _topic: &str, _partition: i32) -> Option<i64> {
        None
    }

    fn joined(&self) -> bool {
        true
    }

    fn member(&self) -> Option<Member> {
        None
    }
}

/// Copies what it is given, as librdkafka does, and says yes.
struct Nowhere {
    sent: Arc<std::sync::Mutex<BTreeMap<String, Sent>>>,
    copy: Vec<u8>,
    ready: Vec<Delivery>,
}

impl Outlet for Nowhere {
    fn send(&mut self, record: &Produce<'_>, token: usize) -> Result<(), RDKafkaErrorCode> {
        self.copy.clear();
        for part in [record.key, record.value].into_iter().flatten() {
            self.copy.extend_from_slice(part);
        }
        let mut sent = self
            .sent
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !sent.contains_key(record.topic) {
            sent.insert(record.topic.to_owned(), Sent::default());
        }
        if let Some(sent) = sent.get_mut(record.topic) {
            sent.records += 1;
            sent.bytes += record.value.map_or(0, |value| value.len() as u64);
        }
        self.ready.push(Delivery {
            token,
            error: None,
            offset: -1,
        });
        Ok(())
    }

    fn poll(&mut self, _timeout: Duration, out: &mut Vec<Delivery>) {
        out.append(&mut self.ready);
    }

    fn flush(&mut self, _timeout: Duration, out: &mut Vec<Delivery>) {
        out.append(&mut self.ready);
    }

    fn fatal_error(&self) -> Option<ClientError> {
        None
    }

    fn take_errors(&mut self) -> Vec<ClientError> {
        Vec::new()
    }
}

impl Transactions for Nowhere {
    fn init(&mut self, _timeout: Duration) -> Result<(), TransactionError> {
        Ok(())
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        Ok(())
    }

    fn send_offsets(
        &mut self,
        _entries: &[Entry],
        _member: &Member,
        _timeout: Duration,
    ) -> Result<(), TransactionError> {
        Ok(())
    }

    fn commit(
        &mut self,
        _timeout: Duration,
        out: &mut Vec<Delivery>,
    ) -> Result<(), TransactionError> {
        out.append(&mut self.ready);
        Ok(())
    }

    fn abort(
        &mut self,
        timeout: Duration,
        out: &mut Vec<Delivery>,
    ) -> Result<(), TransactionError> {
        self.commit(timeout, out)
    }

    fn failure(&mut self) -> Option<TransactionError> {
        None
    }

    fn renew(&mut self) -> Result<(), FatalError> {
        Ok(())
    }
}

struct NoSurvey;

impl Survey for NoSurvey {
    fn begin(&mut self, _reading: Reading) {}

    fn poll(&mut self) -> Vec<Event> {
        Vec::new()
    }
}
