//! Where an integration test runs: one test body, several pairs of broker and registry.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rdkafka::ClientConfig;

use super::{kafka, skip, topics};

/// Which pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// librdkafka's mock cluster and Driftgate's own in-memory registry, in this process.
    Embedded,
    /// The shared Apache Kafka and AxonOps Schema Registry.
    KafkaAndAxonOps,
    /// The shared Apache Kafka and Apicurio Registry.
    KafkaAndApicurio,
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Environment::Embedded => "embedded broker and registry",
            Environment::KafkaAndAxonOps => "Apache Kafka and AxonOps",
            Environment::KafkaAndApicurio => "Apache Kafka and Apicurio",
        })
    }
}

/// A broker and a registry to run on. The shared ones are used by other tests at the same time, so every topic, group and
/// subject needs a [`unique`](super::unique) name.
pub struct Bed {
    /// Which pair this is.
    pub environment: Environment,
    /// Bootstrap servers.
    pub bootstrap: String,
    /// Base URL of the registry, without a trailing slash.
    pub registry_url: String,
    /// What must live as long as the bed does.
    _keep: Box<dyn Any>,
}

impl Bed {
    /// A bed of given parts; `keep` is dropped with it.
    pub fn of(
        environment: Environment,
        bootstrap: String,
        registry_url: String,
        keep: impl Any,
    ) -> Bed {
        Bed {
            environment,
            bootstrap,
            registry_url,
            _keep: Box::new(keep),
        }
    }

    /// The shared Kafka with each of the registries that `make test` started; a skip for each that is missing.
    pub fn real() -> Vec<Bed> {
        let Some(bootstrap) = kafka() else {
            return Vec::new();
        };
        [
            (Environment::KafkaAndAxonOps, "DRIFTGATE_TEST_AXONOPS"),
            (Environment::KafkaAndApicurio, "DRIFTGATE_TEST_APICURIO"),
        ]
        .into_iter()
        .filter_map(|(environment, variable)| match std::env::var(variable) {
            Ok(url) => Some(Bed::of(environment, bootstrap.clone(), url, ())),
            Err(_) => {
                skip(&format!("not on {environment}: `make test` starts them"));
                None
            }
        })
        .collect()
    }

    /// A client configuration for the broker.
    pub fn client(&self) -> ClientConfig {
        topics::client(&self.bootstrap)
    }
}

/// Runs a test body on each bed, and says on which one it failed.
pub fn each(beds: Vec<Bed>, body: impl Fn(&Bed)) {
    for bed in beds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&bed))) {
            eprintln!("failed on: {}", bed.environment);
            resume_unwind(panic);
        }
    }
}
