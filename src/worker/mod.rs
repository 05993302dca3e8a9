//! The poll loop: one thread, one consumer, one producer. Takes a batch, runs it through the pipeline, produces, and
//! commits what is acknowledged. Shutdown is a revoke of everything: stop taking, drain, commit, leave.

mod among;
mod aside;
mod assign;
#[doc(hidden)]
pub mod dry;
mod emit;
mod engine;
mod gone;
mod ledger;
mod parked;
mod ports;
mod refusal;
mod remember;
mod reorder;
mod rights;
mod settle;
#[cfg(test)]
mod sim;
mod standing;
mod survey;
mod take;
mod transaction;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rdkafka::types::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;

pub use self::engine::Settings;
use self::engine::{Engine, Outside};
use self::ports::{Intake, Positions, System};
pub use self::transaction::Settings as TransactionSettings;
use crate::control::state::Controls;
use crate::error::FatalError;
use crate::failure_log::FailureLog;
use crate::health::{Dependency, Health};
use crate::ingest::properties::Properties;
use crate::metrics::Metrics;
use crate::native::consumer::Consumer;
use crate::native::producer::Producer;
use crate::pipeline::Stages;

/// The longest wait for a record: how late a shutdown or a timer may be noticed.
const IDLE_WAIT: Duration = Duration::from_millis(250);
/// The wait for a record while deliveries are outstanding: how late an acknowledgement may be noticed.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// The wait for a record while what is in retry is being read: how late its end may be noticed.
const REBUILD_WAIT: Duration = Duration::from_millis(20);

/// The time, read once per batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// For waits.
    pub(crate) now: Instant,
    /// For due times and headers: milliseconds since the epoch.
    pub(crate) wall: i64,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    pub(crate) fn read() -> Clock {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            now: Instant::now(),
            wall: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// Milliseconds since the epoch.
pub(crate) fn wall_clock() -> i64 {
    Clock::read().wall
}

/// What a worker shares with the rest of the instance.
#[derive(Clone)]
pub struct Shared {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Readiness and liveness.
    pub health: Arc<Health>,
    /// First occurrences and summaries of failures.
    pub failures: Arc<FailureLog>,
    /// What operators have asked for.
    pub controls: Arc<Controls>,
    /// Ends the worker.
    pub shutdown: CancellationToken,
}

/// A worker: runs until shutdown or a fatal error.
pub struct Worker {
    consumer: Consumer,
    engine: Engine,
    shutdown: CancellationToken,
}

impl Worker {
    /// Makes both clients and subscribes. `reader` are the properties of consumers beside the record path.
    pub fn new(
        settings: Settings,
        stages: Stages,
        consumer: &Properties,
        producer: &Properties,
        reader: &Properties,
        shared: Shared,
    ) -> Result<Worker, FatalError> {
        let topics = stages.config().source_topics.clone();
        let batch = settings.batch;
        let shutdown = shared.shutdown.clone();
        let outside = Outside {
            judge: Box::new(stages),
            outlet: Box::new(Producer::new(producer)?),
            time: Box::new(System),
            survey: Box::new(survey::Reader::new(reader)),
            random: SmallRng::from_os_rng(),
        };
        let engine = Engine::new(settings, outside, shared);
        Ok(Worker {
            consumer: Consumer::subscribe(consumer, &topics, batch)?,
            engine,
            shutdown,
        })
    }

    /// The life of the worker. Returns once everything that can be is acknowledged, committed and left.
    pub fn run(mut self) -> Result<(), FatalError> {
        let result = self
            .engine
            .start_transactions()
            .and_then(|()| self.turn_until_shutdown());
        self.engine.wind_up(&self.consumer, result.is_ok());
        let patience = self.engine.leave_patience();
        let Worker {
            consumer,
            mut engine,
            ..
        } = self;
        consumer.close(&mut engine, patience);
        let left = engine.in_flight();
        if left > 0 {
            tracing::warn!(
                pipeline = engine.judge.config().name,
                in_flight = left,
                "not everything was acknowledged in time; these records will be read again"
            );
        }
        result
    }

    fn turn_until_shutdown(&mut self) -> Result<(), FatalError> {
        while !self.shutdown.is_cancelled() {
            self.engine.turn(&mut self.consumer)?;
        }
        Ok(())
    }
}

impl Engine {
    /// Takes nothing more and waits for what is under way. What is acknowledged is committed, unless an error ended it.
    fn wind_up(&mut self, consumer: &dyn Positions, clean: bool) {
        let clock = self.time.read();
        self.stop_taking(clock);
        self.drain(self.settings.shutdown_grace);
        if clean {
            let patience = self.commit_patience();
            self.commit(consumer, patience);
        } else {
            // Under exactly_once, who reads what is committed does not have to wait for the time-out.
            self.abort(clock);
        }
    }

    /// One round: timers, a batch, the acknowledgements that have come in.
    fn turn(&mut self, consumer: &mut dyn Intake) -> Result<(), FatalError> {
        let clock = self.time.read();
        self.judge.turn(clock.now);
        self.obey(clock);
        self.heed(clock);
        self.write_again(clock);
        self.surveyed(consumer, clock);
        self.mend(clock);
        self.timers(consumer, clock);
        self.let_older_go(consumer, clock);
        let timeout = self.wait(clock);
        consumer.poll(timeout, self, &mut |engine, batch, positions| {
            if batch.len() > 0 {
                let clock = engine.time.read();
                engine.take(batch, positions, clock);
            }
            engine.settle(positions);
        });
        self.after_poll();
        for error in consumer.take_errors() {
            self.client_error(error.code, &error.message)?;
        }
        for (error, entries) in consumer.take_commits() {
            self.committed(error, &entries);
        }
        for error in self.outlet.take_errors() {
            let ended = matches!(
                error.code,
                RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced
            );
            if self.transaction.is_none() || !ended {
                self.client_error(error.code, &error.message)?;
            }
        }
        if let Some(error) = self.outlet.fatal_error() {
            if self.transaction.is_some() {
                self.producer_ended(&error);
                return self.fatal.take().map_or(Ok(()), Err);
            }
            return Err(FatalError::Kafka(format!(
                "the producer was given up: {}",
                error.message
            )));
        }
        match self.fatal.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn wait(&self, clock: Clock) -> Duration {
        let longest = if self.in_flight() > 0 || self.writing.is_busy() {
            BUSY_WAIT
        } else if self.families.is_coming_back() {
            REBUILD_WAIT
        } else {
            IDLE_WAIT
        };
        let due = self.transaction.as_ref().and_then(|open| open.due());
        let longest = match due {
            Some(due) => longest.min(due.saturating_duration_since(clock.now).max(BUSY_WAIT)),
            None => longest,
        };
        let wake = self
            .assignment
            .next_wake()
            .into_iter()
            .chain(self.rows.due());
        match wake.min() {
            // Never a busy loop, should a pause that is over not be lifted at once.
            Some(wake) => longest.min(wake.saturating_duration_since(clock.now).max(BUSY_WAIT)),
            None => longest,
        }
    }

    /// What librdkafka says about the cluster as a whole.
    fn client_error(&mut self, code: RDKafkaErrorCode, message: &str) -> Result<(), FatalError> {
        match code {
            RDKafkaErrorCode::AllBrokersDown => {
                self.shared
                    .health
                    .dependency(Dependency::Broker, Err(message.to_owned()));
                if !std::mem::replace(&mut self.unreachable, true) {
                    tracing::warn!(
                        pipeline = self.judge.config().name,
                        worker = self.settings.slot,
                        "no broker could be reached: {message}"
                    );
                }
            }
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed => self.not_let_in(message),
            RDKafkaErrorCode::Fatal
            | RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                return Err(FatalError::Kafka(message.to_owned()));
            }
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                self.topic_gone(message);
            }
            _ => tracing::debug!(pipeline = self.judge.config().name, %code, "{message}"),
        }
        Ok(())
    }
}
