//! A client beside the record path whose reader tells what goes wrong, once and in its own words: what librdkafka tells the
//! client as a whole (the end of a partition, a broker that is away) comes out of its polls as well.

use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

/// Logs such words for a search after a bug, and for nobody else.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
    }
}

impl ConsumerContext for Quiet {}
