//! One run: the input, then the contestants in turns, each on topics of its own, verified before the next; then their
//! latencies. In each round somebody else begins, so that none always has the broker in the same state.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::contestant::{Contestant, Ran, Running, Task};
use super::latency::{self, Latency};
use super::topics::Topics;
use super::verify::{self, Expected, Verdict};
use super::{Options, Progress, input};
use crate::config::model::{Kafka, Registry, RegistryAuth, RegistryTls, Secret};
use crate::contract::registry::RegistryClient;
use crate::embedded::registry::EmbeddedRegistry;
use crate::error::FatalError;

const WRITER: &str = include_str!("files/orders-value.avsc");

/// One run of one contestant.
#[derive(Debug, Clone)]
pub struct Round {
    /// Which round, from 0.
    pub round: usize,
    /// Who.
    pub contestant: Contestant,
    /// What it used.
    pub ran: Ran,
    /// Whether its outputs are right.
    pub verdict: Verdict,
}

/// Everything that was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// In the order in which they ran.
    pub rounds: Vec<Round>,
    /// By contestant.
    pub latencies: BTreeMap<Contestant, Latency>,
}

/// Runs the benchmark.
pub fn run(options: &Options, progress: &mut dyn Progress) -> Result<Measured, FatalError> {
    let prefix = format!(
        "driftgate-bench-{:08x}",
        SmallRng::from_os_rng().random::<u32>()
    );
    let mut client = options.properties.clone();
    client.insert("bootstrap.servers".into(), options.brokers.clone());
    let topics = Topics::new(&client, &options.brokers, &prefix, options.keep)?;
    let own_registry =
        match options.registry {
            Some(_) => None,
            None => Some(EmbeddedRegistry::start().map_err(|error| {
                FatalError::Start(format!("a registry in this process: {error}"))
            })?),
        };
    let registry = match (&options.registry, &own_registry) {
        (Some(url), _) => url.clone(),
        (None, Some(own)) => own.url(),
        (None, None) => unreachable!("one of them is there"),
    };
    let schema = register(&registry, &topics.name("orders-value"))?;
    let stage = Stage {
        options,
        client,
        topics,
        registry,
        source: format!("{prefix}.orders"),
        schema,
    };
    stage.topics.create(&stage.source, options.partitions)?;
    let seeded = (options.seed, options.records);
    input::write(&stage.client, &stage.source, seeded, schema, progress)?;
    let expected = Expected::of(options.seed, options.records, schema);
    let mut rounds = Vec::new();
    let mut plant = options.plant;
    for round in 0..options.rounds {
        for index in 0..options.contestants.len() {
            let turn = (index + round) % options.contestants.len();
            let contestant = options.contestants[turn];
            let plant = !contestant.is_passthrough() && std::mem::take(&mut plant);
            let (ran, verdict) = stage.play(round, contestant, &expected, plant, progress)?;
            rounds.push(Round {
                round,
                contestant,
                ran,
                verdict,
            });
        }
    }
    drop(expected);
    let mut latencies = BTreeMap::new();
    if options.rate_for > Duration::ZERO {
        for &contestant in &options.contestants {
            latencies.insert(contestant, stage.time(contestant, progress)?);
        }
    }
    Ok(Measured { rounds, latencies })
}

/// What all contestants share.
struct Stage<'o> {
    options: &'o Options,
    client: BTreeMap<String, String>,
    topics: Topics,
    registry: String,
    source: String,
    schema: u32,
}

impl Stage<'_> {
    fn task(&self, contestant: Contestant, group: &str, source: &str) -> Task {
        Task {
            contestant,
            brokers: self.options.brokers.clone(),
            properties: self.options.properties.clone(),
            registry: self.registry.clone(),
            source: source.to_owned(),
            sink: format!("{group}.out"),
            group: group.to_owned(),
            records: None,
            linger: self.options.linger,
            workers: self.options.workers,
        }
    }

    fn play(
        &self,
        round: usize,
        contestant: Contestant,
        expected: &Expected,
        plant: bool,
        progress: &mut dyn Progress,
    ) -> Result<(Ran, Verdict), FatalError> {
        let name = format!("round-{}.{}", round + 1, contestant.name());
        let group = self.topics.name(&name);
        let mut task = self.task(contestant, &group, &self.source);
        task.records = Some(self.options.records);
        self.topics.create(&task.sink, self.options.partitions)?;
        let title = format!(
            "round {} of {}: {}",
            round + 1,
            self.options.rounds,
            contestant.title()
        );
        progress.part(&title, 0);
        let ran = Running::start(&self.options.program, &task)?.wait()?;
        let verdict = verify::verify(&self.kafka(), &task, &ran, expected, plant, progress)?;
        self.topics.remove(&group);
        Ok((ran, verdict))
    }

    fn time(
        &self,
        contestant: Contestant,
        progress: &mut dyn Progress,
    ) -> Result<Latency, FatalError> {
        let group = self.topics.name(&format!("rate.{}", contestant.name()));
        let mut task = self.task(contestant, &group, &format!("{group}.in"));
        task.linger = self.options.rate_linger;
        for topic in [&task.source, &task.sink] {
            self.topics.create(topic, self.options.partitions)?;
        }
        let (options, client) = (self.options, &self.client);
        let latency = latency::measure(options, client, &task, self.schema, progress)?;
        self.topics.remove(&group);
        Ok(latency)
    }

    fn kafka(&self) -> Kafka {
        let properties = self.options.properties.iter();
        let properties = properties.map(|(name, value)| (name.clone(), Secret::new(value.clone())));
        Kafka {
            bootstrap_servers: self.options.brokers.clone(),
            properties: properties.collect(),
            group_instance_id: None,
        }
    }
}

/// Registers the writer schema.
fn register(url: &str, subject: &str) -> Result<u32, FatalError> {
    let client = RegistryClient::new(&Registry {
        url: url.to_owned(),
        auth: RegistryAuth::None,
        tls: RegistryTls::default(),
        cache_dir: None,
        timeout: Duration::from_secs(10),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| FatalError::Start(format!("a runtime: {error}")))?;
    runtime
        .block_on(client.register(subject, WRITER, &[]))
        .map_err(|error| FatalError::Start(format!("the registry at {url}: {error}")))
}
