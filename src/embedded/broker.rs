//! librdkafka's mock cluster: a Kafka in this process, over loopback, for the demo, `run --embedded` and tests.
//!
//! It keeps at most 5 MiB or 100,000 batches a partition and then drops the oldest, writes nothing to disk, and does
//! not filter aborted transactions.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::config::model::Pipeline;
use crate::error::FatalError;
use crate::ingest::topics;

/// An embedded cluster of one broker. Stops when dropped.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts it on a free port.
    pub fn start() -> Result<Self, FatalError> {
        let cluster = MockCluster::new(1)
            .map_err(|error| FatalError::Start(format!("embedded broker: {error}")))?;
        Ok(EmbeddedBroker { cluster })
    }

    /// `host:port`.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Creates a topic. One that exists already is left as it is.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), FatalError> {
        match self.cluster.create_topic(name, partitions, 1) {
            Ok(()) => Ok(()),
            Err(error)
                if error.rdkafka_error_code()
                    == Some(rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists) =>
            {
                Ok(())
            }
            Err(error) => Err(FatalError::Start(format!(
                "embedded broker: topic {name}: {error}"
            ))),
        }
    }

    /// Creates every topic of a pipeline, each with `partitions` partitions.
    pub fn create_topics(&self, pipeline: &Pipeline, partitions: i32) -> Result<(), FatalError> {
        self.create_topic(&pipeline.control_topic(), 1)?;
        topics::names(pipeline)
            .iter()
            .try_for_each(|topic| self.create_topic(topic, partitions))
    }

    /// The cluster, for tests that inject faults.
    pub fn cluster(&self) -> &MockCluster<'static, DefaultProducerContext> {
        &self.cluster
    }
}
