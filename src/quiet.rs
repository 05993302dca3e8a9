//! A client beside the record path whose reader tells what goes wrong, once and in its own words: what librdkafka tells the
//! client as a whole (the end of a partition, a broker that is away) comes out of its polls as well. It keeps the last of
//! those words, for a person who asks why no broker answered.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

/// The most events that are looked through for the reason of a failure.
const EVENTS: usize = 100;
/// How long the first question for commits may take.
const FIRST_STEP: Duration = Duration::from_secs(1);

/// Logs such words for a search after a bug, and for nobody else.
#[derive(Default)]
pub(crate) struct Quiet(Mutex<Option<(KafkaError, String)>>);

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        // That all brokers are down says less than what the last of them did.
        let says_nothing = match error {
            KafkaError::PartitionEOF(_) => true,
            _ => error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown),
        };
        if !says_nothing {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some((error, reason.to_owned()));
        }
    }

    fn log(&self, _: RDKafkaLogLevel, fac: &str, text: &str) {
        tracing::debug!(target: "librdkafka", "{fac} {text}");
    }
}

impl ConsumerContext for Quiet {}

/// What to say of a topic that brokers do not name: they name none that we may not describe.
pub(crate) const UNSEEN: &str = "or no right to see it (Describe)";

/// What librdkafka said last, if it was more than that time is over. The client has no assignment yet: it is polled for the
/// reason.
pub(crate) fn why(client: &BaseConsumer<Quiet>, error: &KafkaError) -> String {
    serve(client);
    let mut last = client.context().0.lock();
    let last = last.as_mut().map_or(None, |last| last.take());
    let (error, text) = last.unwrap_or_else(|| (error.clone(), error.to_string()));
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
            let text = text.trim_end_matches('.');
            format!(
                "{text}: the principal has no right to the group (Describe, which Read implies)"
            )
        }
        _ => text,
    }
}

fn serve(client: &BaseConsumer<Quiet>) {
    // Each call serves one event, and returns nothing for a log line.
    for _ in 0..EVENTS {
        drop(client.poll(Duration::ZERO));
    }
}

/// What the group has committed. librdkafka goes on asking while a right to the group is missing, and at the end says only that
/// time is over: so it is asked in steps, and a refusal ends it. The client has no assignment yet.
pub(crate) fn committed(
    client: &BaseConsumer<Quiet>,
    asked: &TopicPartitionList,
    limit: Duration,
) -> Result<TopicPartitionList, KafkaError> {
    let until = Instant::now() + limit;
    // Longer each time, so that an answer that is merely slow is waited for.
    let mut step = FIRST_STEP;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let error = match client.committed_offsets(asked.clone(), step.min(left)) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        serve(client);
        let last = client.context().0.lock();
        let last = last.unwrap_or_else(PoisonError::into_inner);
        let refused = last.as_ref().map(|(error, _)| error).filter(|error| {
            error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
        });
        if let Some(refused) = refused {
            return Err(refused.clone());
        }
        let is_over = error.rdkafka_error_code() != Some(RDKafkaErrorCode::OperationTimedOut);
        if is_over || Instant::now() >= until {
            return Err(error);
        }
        step *= 2;
    }
}

/// Every topic of the cluster, since one that is asked for by its name may be created by that; or why no broker answered. The
/// client has no assignment yet.
pub(crate) fn cluster(
    client: &BaseConsumer<Quiet>,
    servers: &str,
    patience: Duration,
) -> Result<Metadata, String> {
    client.fetch_metadata(None, patience).map_err(|error| {
        let reason = why(client, &error);
        format!("the broker could not be reached at {servers} (kafka.bootstrap_servers): {reason}")
    })
}
