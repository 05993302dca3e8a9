//! What every part of the benchmark stands on: the broker, topics that no other run has, a registry, and the writer schema.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rand::Rng as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::topics::Topics;
use crate::config::model::{Kafka, Registry, RegistryAuth, RegistryTls, Secret};
use crate::contract::registry::RegistryClient;
use crate::embedded::registry::EmbeddedRegistry;
use crate::error::FatalError;

/// The schema that orders are written with.
pub const WRITER: &str = include_str!("files/orders-value.avsc");

/// Where a part runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where the brokers are, `host:port,…`.
    pub brokers: String,
    /// What the report calls them.
    pub broker_name: Option<String>,
    /// librdkafka properties for every client: security.
    pub properties: BTreeMap<String, String>,
    /// The registry; one in this process without.
    pub registry: Option<String>,
    /// Seed of the input.
    pub seed: u64,
    /// Whether topics stay.
    pub keep: bool,
    /// This program, which instances and contestants are run by.
    pub program: PathBuf,
}

/// The ground of one run.
pub struct Ground {
    /// Where it is.
    pub place: Place,
    /// Properties of every client.
    pub client: BTreeMap<String, String>,
    /// Its topics.
    pub topics: Topics,
    /// The registry's address.
    pub registry: String,
    /// What its names begin with.
    pub prefix: String,
    /// The registry of this process, if it is that; it ends with this.
    _own: Option<EmbeddedRegistry>,
}

impl Ground {
    /// Looks whether a broker is there, and starts what is missing.
    pub fn new(place: &Place) -> Result<Ground, FatalError> {
        let prefix = format!(
            "driftgate-bench-{:08x}",
            SmallRng::from_os_rng().random::<u32>()
        );
        let mut client = place.properties.clone();
        client.insert("bootstrap.servers".into(), place.brokers.clone());
        let topics = Topics::new(&client, &place.brokers, &prefix, place.keep)?;
        let (registry, own) = match &place.registry {
            Some(url) => (url.clone(), None),
            None => {
                let own = EmbeddedRegistry::start().map_err(|error| {
                    FatalError::Start(format!("a registry in this process: {error}"))
                })?;
                (own.url(), Some(own))
            }
        };
        Ok(Ground {
            place: place.clone(),
            client,
            topics,
            registry,
            prefix,
            _own: own,
        })
    }

    /// Registers schemas under a subject, in this order. Their ids.
    pub fn register<'s>(
        &self,
        subject: &str,
        schemas: impl IntoIterator<Item = &'s str>,
    ) -> Result<Vec<u32>, FatalError> {
        let url = &self.registry;
        let client = RegistryClient::new(&Registry {
            url: url.clone(),
            auth: RegistryAuth::None,
            tls: RegistryTls::default(),
            cache_dir: None,
            timeout: Duration::from_secs(10),
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| FatalError::Start(format!("a runtime: {error}")))?;
        let schemas = schemas.into_iter();
        let ids = schemas.map(|schema| {
            runtime
                .block_on(client.register(subject, schema, &[]))
                .map_err(|error| FatalError::Start(format!("the registry at {url}: {error}")))
        });
        ids.collect()
    }

    /// Registers the writer schema of orders. Its id.
    pub fn register_orders(&self) -> Result<u32, FatalError> {
        let ids = self.register(&self.topics.name("orders-value"), [WRITER])?;
        Ok(ids[0])
    }

    /// The brokers, for those who read what came out.
    pub fn kafka(&self) -> Kafka {
        let properties = self.place.properties.iter();
        let properties = properties.map(|(name, value)| (name.clone(), Secret::new(value.clone())));
        Kafka {
            bootstrap_servers: self.place.brokers.clone(),
            properties: properties.collect(),
            group_instance_id: None,
        }
    }
}
