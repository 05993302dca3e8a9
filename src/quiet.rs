//! A client beside the record path whose reader tells what goes wrong, once and in its own words: what librdkafka tells the
//! client as a whole (the end of a partition, a broker that is away) comes out of its polls as well. It keeps the last of
//! those words, for a person who asks why no broker answered.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

/// The most events that are looked through for the reason of a failure.
const EVENTS: usize = 100;

/// Logs such words for a search after a bug, and for nobody else.
#[derive(Default)]
pub(crate) struct Quiet(Mutex<Option<String>>);

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
            *last = Some(reason.to_owned());
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
    // Each call serves one event, and returns nothing for a log line.
    for _ in 0..EVENTS {
        drop(client.poll(Duration::ZERO));
    }
    let mut last = client.context().0.lock();
    let last = last.as_mut().map_or(None, |last| last.take());
    last.unwrap_or_else(|| error.to_string())
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
