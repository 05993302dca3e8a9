//! One running instance: everything that `driftgate run` starts, in order, and takes down again. Also what the demo and
//! the tests run, so that they run the same thing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::alerts::{Alerts, Watched};
use crate::beside::Beside;
use crate::build::{self, BuildError};
use crate::config::diagnose;
use crate::config::model::{Config, Delivery, DriftAction, Pipeline};
use crate::contract::cache::{CacheSettings, RegistryState, SchemaCache};
use crate::contract::registry::{RegistryClient, RegistryError};
use crate::control::desk::Desk;
use crate::control::state::Controls;
use crate::control::{self};
use crate::embedded::broker::EmbeddedBroker;
use crate::error::FatalError;
use crate::failure_log::FailureLog;
use crate::health::{Dependency, Health};
use crate::ingest::properties;
use crate::ingest::topics::admin::TopicAdmin;
use crate::ingest::topics::{self, Facts, Finding, Known};
use crate::lookup::{Around, Lookups, Origins};
use crate::metrics::Metrics;
use crate::pipeline::watch::Teller;
use crate::pipeline::{Compiled, Event, Gate, Look, Stages, Watch};
use crate::quiet::UNSEEN;
use crate::review;
use crate::state::disk::folder::StateDir;
use crate::transform::native::Natives;
use crate::words::counted;
use crate::worker::{Settings, Shared, TransactionSettings, Worker, wall_clock};

/// Records that a partition may have begun behind one that is not acknowledged: some 4 MB of books, and a tenth of a second
/// at full speed.
const WINDOW: usize = 100_000;
/// Records of one batch; fewer where lookups make each one slow, so that a batch stays far below
/// `max.poll.interval.ms`.
const BATCH: usize = 1000;
const BATCH_WITH_LOOKUPS: usize = 200;
/// How long the broker is asked at start before an attempt counts as failed.
const ASK: Duration = Duration::from_secs(10);
/// How long brokers may take to tell of topics that were made or have grown.
const TOLD: Duration = Duration::from_secs(30);
/// How long a start waits between attempts to reach the broker or the registry.
const AGAIN: Duration = Duration::from_secs(2);

/// What part of `memory_limit` may be taken for comparing values with baselines.
const WATCHED: u64 = 8;
/// How late a window that ends by its time may be compared, at most.
const COMPARED: Duration = Duration::from_millis(100);

/// Longer than a broker's restart and any rebalance.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// A pipeline, and what is known of its values.
type NamedWatch = (String, Arc<Watch>);

/// What an instance shares, made before anything else so that `/healthz` answers from the start.
pub struct Instance {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Readiness and liveness.
    pub health: Arc<Health>,
    /// How long a partition with lag may make no progress before the watchdog speaks: a minute.
    pub stuck_after: Duration,
    natives: Natives,
    controls: Arc<Controls>,
    failures: Arc<FailureLog>,
    /// By pipeline, once its workers run.
    watches: Arc<Mutex<Vec<NamedWatch>>>,
    shutdown: CancellationToken,
}

impl Instance {
    /// An instance that ends when `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        Instance {
            metrics: Metrics::new(),
            health: Health::new(),
            stuck_after: STUCK_AFTER,
            natives: Natives::default(),
            controls: Arc::default(),
            watches: Arc::default(),
            failures: Arc::new(FailureLog::new(Instant::now())),
            shutdown,
        }
    }

    /// The same, with the native steps that the program has.
    #[must_use]
    pub fn with_natives(mut self, natives: Natives) -> Self {
        self.natives = natives;
        self
    }

    /// Starts everything, runs until shutdown or a fatal error, and takes everything down. With `embedded`, topics are
    /// made there instead of asked for. A broker or registry that is down at start is waited for.
    pub async fn run(
        &self,
        config: &Config,
        vars: &dyn Fn(&str) -> Option<String>,
        embedded: Option<&EmbeddedBroker>,
    ) -> Result<(), FatalError> {
        self.health.start_up("admin server and webhooks");
        let admin = match config.admin.listen {
            Some(listen) => {
                let token = config.admin.token.clone();
                let (metrics, health) = (Arc::clone(&self.metrics), Arc::clone(&self.health));
                let (address, task) = admin::serve(
                    listen,
                    token,
                    metrics,
                    health,
                    (Desk::new(config), self.drift_report()),
                    self.shutdown.clone(),
                )
                .await?;
                tracing::info!(%address, "admin: /metrics /healthz /readyz");
                Some(task)
            }
            None => None,
        };
        let watched = Watched {
            health: Arc::clone(&self.health),
            metrics: Arc::clone(&self.metrics),
            instance: name(config, vars),
            wall: wall_clock,
            shutdown: self.shutdown.clone(),
        };
        // What was begun above ends with it.
        let alerts = Alerts::start(config, &watched, &Handle::current())
            .inspect_err(|_| self.shutdown.cancel())?;
        let result = self.run_pipelines(config, vars, embedded, &alerts).await;
        self.shutdown.cancel();
        alerts.finish(result.as_ref().err()).await;
        self.failures.flush(Instant::now());
        if let Some(task) = admin
            && let Err(error) = task.await
        {
            tracing::warn!("admin server: {error}");
        }
        result
    }

    async fn run_pipelines(
        &self,
        config: &Config,
        vars: &dyn Fn(&str) -> Option<String>,
        embedded: Option<&EmbeddedBroker>,
        alerts: &Alerts,
    ) -> Result<(), FatalError> {
        let registry = RegistryClient::lasting(&config.registry)?;
        // One for all pipelines: it has connected when the second one asks.
        let admin = match embedded {
            Some(_) => None,
            None => Some(TopicAdmin::new(&properties::admin(&config.kafka), ASK)?),
        };
        let around = match (embedded, &admin) {
            (Some(broker), _) => Cluster::Embedded(broker),
            (None, Some(admin)) => Cluster::Real(admin),
            (None, None) => unreachable!("made where there is no embedded one"),
        };
        let Some(prepared) = self.prepare(config, &registry, vars, &around).await? else {
            return Ok(()); // shut down while it waited
        };
        // Its end takes a tenth of a second, which nobody has to wait for at a start.
        let admin_ends = tokio::task::spawn_blocking(move || drop(admin));
        let cache = Arc::new(SchemaCache::new(
            registry,
            Handle::current(),
            CacheSettings {
                subjects: config
                    .pipelines
                    .iter()
                    .any(|pipeline| pipeline.contract.drift.unknown_subject != DriftAction::Allow),
                ..CacheSettings::default()
            },
        ));
        let observer = tokio::spawn(observe(
            Arc::clone(&self.metrics),
            Arc::clone(&self.health),
            Arc::clone(&cache),
            Arc::clone(&self.failures),
            self.shutdown.clone(),
        ));
        // Dropped last: its threads end when the instance does.
        let mut beside = Beside::new(self.shutdown.clone());
        if !self.follow_controls(config, &mut beside).await? {
            return Ok(());
        }
        self.health.start_up("workers");
        let watches = self.watches(config, &prepared, &mut beside)?;
        let around = (alerts, watches.as_slice());
        let workers = self.start_workers(config, prepared, &cache, embedded.is_some(), around)?;
        self.health.set_running();
        let result = self.join(workers).await;
        observer.abort();
        if admin_ends.await.is_err() {
            tracing::debug!("the client that looked at the topics did not end well");
        }
        result
    }

    /// Compiles the pipelines and makes their topics ready. `None`: shutdown came first.
    async fn prepare(
        &self,
        config: &Config,
        registry: &RegistryClient,
        vars: &dyn Fn(&str) -> Option<String>,
        cluster: &Cluster<'_>,
    ) -> Result<Option<Vec<(Compiled, Known)>>, FatalError> {
        let mut prepared = Vec::new();
        for pipeline in &config.pipelines {
            self.health
                .start_up(format!("pipeline {}: contract", pipeline.name));
            let Some(compiled) = self.compile(pipeline, registry, vars).await? else {
                return Ok(None);
            };
            self.health
                .start_up(format!("pipeline {}: topics", pipeline.name));
            let Some(known) = self.topics(config, pipeline, cluster).await? else {
                return Ok(None);
            };
            prepared.push((compiled, known));
        }
        Ok(Some(prepared))
    }

    async fn compile(
        &self,
        pipeline: &Pipeline,
        registry: &RegistryClient,
        vars: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Compiled>, FatalError> {
        loop {
            let error = match compile(pipeline, registry, vars, &self.natives).await {
                Ok(compiled) => {
                    self.health.dependency(Dependency::Registry, Ok(()));
                    return Ok(Some(compiled));
                }
                Err(BuildError::Faults(faults)) => {
                    return Err(FatalError::Contract(diagnose::render(&faults, false)));
                }
                Err(BuildError::Registry(RegistryError::Unavailable { message, .. })) => message,
                Err(BuildError::Registry(error)) => {
                    return Err(FatalError::Contract(format!(
                        "pipeline {}: {error}",
                        pipeline.name
                    )));
                }
            };
            tracing::warn!(
                pipeline = pipeline.name,
                "waiting for the registry: {error}"
            );
            self.health.dependency(Dependency::Registry, Err(error));
            if !self.pause().await {
                return Ok(None);
            }
        }
    }

    async fn topics(
        &self,
        config: &Config,
        pipeline: &Pipeline,
        cluster: &Cluster<'_>,
    ) -> Result<Option<Known>, FatalError> {
        let admin = match cluster {
            Cluster::Real(admin) => admin,
            Cluster::Embedded(broker) => return embedded_topics(pipeline, broker).map(Some),
        };
        let mut names = topics::names(pipeline);
        names.push(pipeline.control_topic());
        names.extend(topics::former(pipeline));
        let known = loop {
            match admin.known(&names).await {
                Ok(known) => break known,
                Err(error) => {
                    tracing::warn!(pipeline = pipeline.name, "waiting for the broker: {error}");
                    self.health
                        .dependency(Dependency::Broker, Err(error.to_string()));
                }
            }
            if !self.pause().await {
                return Ok(None);
            }
        };
        self.health.dependency(Dependency::Broker, Ok(()));
        for topic in topics::former(pipeline) {
            if known.contains_key(&topic) {
                tracing::info!(
                    pipeline = pipeline.name,
                    topic,
                    "the topic is of a retry tier that is no longer configured: what waits in it is read"
                );
            }
        }
        let all = tokio::task::block_in_place(|| admin.all()).unwrap_or_default();
        let all: Vec<String> = all.into_keys().collect();
        for topic in topics::unread(&all, &config.pipelines, &pipeline.group) {
            tracing::warn!(pipeline = pipeline.name, topic, "{}", topics::UNREAD);
        }
        for text in topics::untold(&known) {
            tracing::warn!(pipeline = pipeline.name, "{text}");
        }
        let findings = topics::findings(pipeline, &known);
        for finding in &findings {
            if let Finding::Forgets { topic, why } = finding {
                tracing::warn!(pipeline = pipeline.name, topic, "{why}");
            }
        }
        let refused: Vec<String> = findings
            .iter()
            .filter_map(|finding| refusal(finding, pipeline.create_topics))
            .collect();
        if !refused.is_empty() {
            return Err(FatalError::Topics(format!(
                "pipeline {}:\n  {}",
                pipeline.name,
                refused.join("\n  ")
            )));
        }
        let is_change =
            |finding: &Finding| matches!(finding, Finding::Create { .. } | Finding::Grow { .. });
        if !findings.iter().any(is_change) {
            return Ok(Some(known));
        }
        let there = tokio::select! {
            there = admin.apply(&findings) => there?,
            () = self.shutdown.cancelled() => return Ok(None),
        };
        let told = topics::told(pipeline, &there, TOLD, async || admin.known(&names).await);
        tokio::select! {
            known = told => known.map(Some),
            () = self.shutdown.cancelled() => Ok(None),
        }
    }

    /// Reads what operators have asked for, to its end, and goes on following it. `false`: shutdown came.
    async fn follow_controls(
        &self,
        config: &Config,
        beside: &mut Beside,
    ) -> Result<bool, FatalError> {
        for (index, pipeline) in config.pipelines.iter().enumerate() {
            // Pipelines of one group have one topic: its orders name the pipeline.
            let mut before = config.pipelines[..index].iter();
            if before.any(|other| other.group == pipeline.group) {
                continue;
            }
            let topic = pipeline.control_topic();
            self.health.start_up(format!("reading {topic}"));
            let controls = Arc::clone(&self.controls);
            let loaded = control::follow::start(&config.kafka, pipeline, controls, beside)?;
            tokio::select! {
                result = loaded => {
                    // Without an answer the thread has ended, which it does at a shutdown.
                    result.unwrap_or(Ok(()))?;
                }
                () = self.shutdown.cancelled() => {}
            }
            if self.shutdown.is_cancelled() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits before another attempt. `false`: shutdown came.
    async fn pause(&self) -> bool {
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => true,
            () = self.shutdown.cancelled() => false,
        }
    }

    fn start_workers(
        &self,
        config: &Config,
        prepared: Vec<(Compiled, Known)>,
        cache: &Arc<SchemaCache>,
        is_alone: bool,
        (alerts, watches): (&Alerts, &[Option<Arc<Watch>>]),
    ) -> Result<Vec<Running>, FatalError> {
        let origins = Arc::new(Origins::default());
        let total: usize = config
            .pipelines
            .iter()
            .map(|pipeline| pipeline.workers)
            .sum();
        let watched: usize = watches.iter().flatten().map(|watch| watch.size()).sum();
        let left = config.memory_limit.saturating_sub(watched as u64);
        let share = left / total.max(1) as u64;
        let on_disk = config.pipelines.iter().any(Pipeline::is_on_disk);
        let state = config.state_dir.as_ref().filter(|_| on_disk);
        let state = state.map(|folder| StateDir::open(folder)).transpose();
        let state = state.map_err(|why| FatalError::Start(format!("state_dir: {why}")))?;
        let mut workers = Vec::new();
        for ((compiled, known), watch) in prepared.into_iter().zip(watches) {
            let compiled = Arc::new(compiled);
            let pipeline = &compiled.config;
            let around = Around {
                pipeline: pipeline.name.clone(),
                kafka: properties::reader(&config.kafka, pipeline),
                group: pipeline.group.clone(),
                is_alone,
                schemas: Arc::clone(cache),
                origins: Arc::clone(&origins),
                metrics: Arc::clone(&self.metrics),
                health: Arc::clone(&self.health),
                runtime: Handle::current(),
                shutdown: self.shutdown.clone(),
            };
            let lookups = Arc::new(Lookups::start(compiled.transform.lookups(), &around)?);
            let partitions: HashMap<String, i32> = known
                .iter()
                .map(|(topic, facts)| (topic.clone(), facts.partitions))
                .collect();
            let sizes: HashMap<String, u64> = known
                .iter()
                .filter_map(|(topic, facts)| Some((topic.clone(), facts.max_message_bytes?)))
                .collect();
            // Each source partition comes with one of each tier.
            let sources = pipeline.source_topics.iter();
            let sources = sources.filter_map(|topic| usize::try_from(*partitions.get(topic)?).ok());
            let assigned = sources.sum::<usize>() * (1 + pipeline.failure.tiers.len());
            let gate = Arc::new(self.gate(pipeline, alerts));
            // Of this pipeline in this process, and nobody else's: two may share a group.
            let random = format!("{:016x}", SmallRng::from_os_rng().random::<u64>());
            for slot in 0..pipeline.workers {
                let transaction = match pipeline.delivery {
                    Delivery::AtLeastOnce => None,
                    Delivery::ExactlyOnce(transaction) => {
                        let (id, exclusive) =
                            properties::transactional_id(&config.kafka, pipeline, slot, &random);
                        Some(TransactionSettings {
                            id,
                            exclusive,
                            interval: transaction.interval,
                            records: transaction.records,
                            timeout: transaction.timeout,
                            poll_interval: properties::poll_interval(&config.kafka),
                        })
                    }
                };
                let settings = Settings {
                    slot,
                    batch: lookups.batch(BATCH, BATCH_WITH_LOOKUPS, pipeline.workers),
                    window: WINDOW,
                    room: usize::try_from(share / 3).unwrap_or(usize::MAX),
                    commit_interval: Duration::from_secs(1),
                    revoke_grace: config.shutdown_grace.min(Duration::from_secs(10)),
                    shutdown_grace: config
                        .shutdown_grace
                        .saturating_sub(Duration::from_secs(2))
                        .max(Duration::from_secs(1)),
                    stuck_after: self.stuck_after,
                    start: properties::start(&config.kafka),
                    partitions: partitions.clone(),
                    sizes: sizes.clone(),
                    transaction,
                    state: state.clone(),
                };
                // A third for what was fetched, one for what a fetch may bring on top of it, and one for what waits to be
                // acknowledged.
                let consumer =
                    properties::consumer(&config.kafka, pipeline, slot, share / 3, assigned);
                let mut producer = properties::producer(
                    &config.kafka,
                    pipeline,
                    slot,
                    share / 3,
                    topics::largest(pipeline, &known),
                    topics::largest_batch(pipeline, &known),
                );
                if let Some(transaction) = &settings.transaction {
                    properties::transactional(
                        &mut producer,
                        &config.kafka,
                        &transaction.id,
                        transaction.interval,
                        transaction.timeout,
                    );
                }
                let stages = Stages::new(
                    Arc::clone(&compiled),
                    Arc::clone(cache),
                    Arc::clone(&lookups),
                    Arc::clone(&gate),
                );
                let stages = match watch {
                    Some(watch) => {
                        let seed = u32::try_from(slot).unwrap_or(0) + 1;
                        stages.with_look(Look::new(Arc::clone(watch), seed))
                    }
                    None => stages,
                };
                let (reader, shared) = (&around.kafka, self.shared());
                let worker = Worker::new(settings, stages, &consumer, &producer, reader, shared)?;
                workers.push(Running::spawn(
                    pipeline.name.clone(),
                    slot,
                    worker,
                    Arc::clone(&self.health),
                )?);
            }
        }
        Ok(workers)
    }

    /// What holds the values of each pipeline to its baseline, where it has one: a thread beside its workers compares.
    fn watches(
        &self,
        config: &Config,
        prepared: &[(Compiled, Known)],
        beside: &mut Beside,
    ) -> Result<Vec<Option<Arc<Watch>>>, FatalError> {
        let all = || prepared.iter().map(|(compiled, _)| compiled);
        let count = all().filter(|one| one.reviewed.is_some()).count();
        let room = config.memory_limit / WATCHED / count.max(1) as u64;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let mut watches = Vec::new();
        for compiled in all() {
            let Some(reviewed) = &compiled.reviewed else {
                watches.push(None);
                continue;
            };
            let pipeline = &compiled.config;
            let (metrics, health) = (Arc::clone(&self.metrics), Arc::clone(&self.health));
            let teller = Teller::new(pipeline, reviewed, metrics, health);
            let (workers, topics) = (pipeline.workers, pipeline.source_topics.len());
            let watch = Watch::new(Arc::clone(reviewed), workers, topics, room, teller);
            let watch = Arc::new(watch);
            let own = Arc::clone(&watch);
            beside.spawn(format!("{}-values", pipeline.name), move |end| {
                own.compared_by(std::thread::current());
                while !end.is_cancelled() {
                    std::thread::park_timeout(COMPARED);
                    own.turn(Instant::now(), wall_clock());
                }
            })?;
            let known = (pipeline.name.clone(), Arc::clone(&watch));
            lock(&self.watches).push(known);
            watches.push(Some(watch));
        }
        Ok(watches)
    }

    /// What is known of values, for `/api/drift`.
    fn drift_report(&self) -> admin::Report {
        let watches = Arc::clone(&self.watches);
        Arc::new(move || {
            let watches = lock(&watches).clone();
            let pipelines = watches.iter().map(|(pipeline, watch)| {
                let mut report = watch.report();
                report["pipeline"] = pipeline.as_str().into();
                report
            });
            serde_json::json!({ "pipelines": pipelines.collect::<Vec<_>>() })
        })
    }

    /// What judges the writer schemas of a pipeline, and tells what it finds.
    fn gate(&self, pipeline: &Pipeline, alerts: &Alerts) -> Gate {
        let alerts = alerts.teller(&pipeline.name);
        let metrics = Arc::clone(&self.metrics);
        let (name, owner) = (pipeline.name.clone(), pipeline.owner.to_string());
        let contract = &pipeline.contract;
        let tell = move |event: &Event<'_>| event.tell(&name, &owner, &metrics, &alerts);
        let gate = Gate::new(contract.drift, contract.schema.subject(), tell);
        gate.with_controls(Arc::clone(&self.controls), &pipeline.name)
    }

    fn shared(&self) -> Shared {
        Shared {
            metrics: Arc::clone(&self.metrics),
            health: Arc::clone(&self.health),
            failures: Arc::clone(&self.failures),
            controls: Arc::clone(&self.controls),
            shutdown: self.shutdown.clone(),
        }
    }

    /// Waits for every worker. The first that fails ends the others; its error is the result.
    async fn join(&self, workers: Vec<Running>) -> Result<(), FatalError> {
        let mut result = Ok(());
        let mut ends: futures::stream::FuturesUnordered<_> =
            workers.into_iter().map(|running| running.end).collect();
        while let Some(end) = futures::StreamExt::next(&mut ends).await {
            let end = end
                .unwrap_or_else(|_| Err(FatalError::Start("a worker ended without a word".into())));
            if let Err(error) = end {
                self.shutdown.cancel();
                result = result.and(Err(error));
            }
            if self.shutdown.is_cancelled() {
                self.health.shutting_down();
            }
        }
        result
    }
}

/// A list that only grows.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the topics are.
enum Cluster<'a> {
    /// On brokers that are asked.
    Real(&'a TopicAdmin),
    /// In this process, where they are made without a question.
    Embedded(&'a EmbeddedBroker),
}

fn embedded_topics(pipeline: &Pipeline, broker: &EmbeddedBroker) -> Result<Known, FatalError> {
    let mut known = Known::new();
    broker.create_topic(&pipeline.control_topic(), 1)?;
    for topic in topics::asked(pipeline) {
        broker.create_topic(&topic, EMBEDDED_PARTITIONS)?;
    }
    for topic in topics::names(pipeline) {
        broker.create_topic(&topic, EMBEDDED_PARTITIONS)?;
        let facts = Facts {
            partitions: EMBEDDED_PARTITIONS,
            max_message_bytes: None,
            forgets: None,
            untold: None,
        };
        known.insert(topic, facts);
    }
    Ok(known)
}

/// What people know this instance by: its static membership, or the machine's name and the process's number.
pub fn name(config: &Config, vars: &dyn Fn(&str) -> Option<String>) -> String {
    if let Some(id) = &config.kafka.group_instance_id {
        return id.clone();
    }
    let host = vars("HOSTNAME").filter(|name| !name.is_empty());
    // The variable is not exported everywhere; where neither is there, the number has to do.
    let host = host.or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let host = host.map(|name| name.trim().to_owned()).unwrap_or_default();
    format!("{host}/{}", std::process::id())
}

/// The wall clock: milliseconds since the epoch.
pub fn now() -> i64 {
    wall_clock()
}

/// Partitions of each topic on the embedded broker.
const EMBEDDED_PARTITIONS: i32 = 4;

/// A worker's thread, and how it ended.
struct Running {
    end: tokio::sync::oneshot::Receiver<Result<(), FatalError>>,
}

impl Running {
    fn spawn(
        pipeline: String,
        slot: usize,
        worker: Worker,
        health: Arc<Health>,
    ) -> Result<Running, FatalError> {
        let (send, end) = tokio::sync::oneshot::channel();
        let _thread: JoinHandle<()> = std::thread::Builder::new()
            .name(format!("{pipeline}-{slot}"))
            .spawn(move || {
                let caught =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.run()));
                let result = caught.unwrap_or_else(|panic| {
                    Err(FatalError::Start(format!(
                        "a worker panicked: {}",
                        panic_text(&*panic)
                    )))
                });
                health.worker_ended(
                    &pipeline,
                    slot,
                    result.clone().map_err(|error| error.to_string()),
                );
                // Nobody listens any more when the instance was dropped; the worker has ended all the same.
                drop(send.send(result));
            })
            .map_err(|error| {
                FatalError::Start(format!("a worker thread could not be started: {error}"))
            })?;
        Ok(Running { end })
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

/// A pipeline as it runs, with the schemas that the registry has now.
pub async fn compile(
    pipeline: &Pipeline,
    registry: &RegistryClient,
    vars: &dyn Fn(&str) -> Option<String>,
    natives: &Natives,
) -> Result<Compiled, BuildError> {
    let parts = build::compile_with(pipeline, Some(registry), vars, natives).await?;
    let mut parts = parts.expect("with a registry every schema can be loaded");
    let mut ids = Vec::with_capacity(parts.sinks.len());
    for sink in &parts.sinks {
        ids.push(match sink.schema.id {
            Some(id) => id,
            None => sink_id(sink, registry).await?,
        });
    }
    parts.output_rules_again(registry).await?;
    for warning in &parts.warnings {
        tracing::warn!(pipeline = pipeline.name, "{warning}");
    }
    Ok(parts.finish(pipeline, &ids))
}

/// The id of the sink's reviewed schema file: registered beforehand, or now with `auto_register`.
async fn sink_id(sink: &build::SinkParts, registry: &RegistryClient) -> Result<u32, BuildError> {
    let subject = &sink.config.subject;
    let crate::config::model::SchemaSource::File { path } = &sink.config.schema else {
        unreachable!("a schema without an id came from a file");
    };
    if sink.config.auto_register {
        return Ok(review::register::ensure_file(registry, subject, path).await?);
    }
    match review::register::find_file(registry, subject, path).await? {
        Some(id) => Ok(id),
        None => Err(BuildError::Registry(RegistryError::Refused {
            status: 404,
            message: format!(
                "the sink's schema {} is not registered under {subject}: run `driftgate schema register`, or set sink.auto_register: true",
                sink.schema.name
            ),
        })),
    }
}

/// Why a finding cannot be put right here.
pub fn refusal(finding: &Finding, create_topics: bool) -> Option<String> {
    match finding {
        Finding::MissingSource(topic) => Some(format!(
            "source topic {topic} does not exist, {UNSEEN}: its producers' team has to create it"
        )),
        Finding::TooSmall { topic, has, needs } => Some(format!(
            "topic {topic} has max.message.bytes={has} and needs {needs} (the source's largest record with our headers): raise it"
        )),
        Finding::Compacted { topic } => Some(format!(
            "topic {topic} is compacted, and would keep only the last record of each key: set its cleanup.policy to delete, \
             or name another topic"
        )),
        Finding::Create {
            topic,
            partitions,
            config,
        } if !create_topics => {
            let settings = config
                .iter()
                .map(|(name, value)| format!(", {name}={value}"));
            Some(format!(
                "topic {topic} does not exist, {UNSEEN} (create_topics is false): create it with {}{}",
                counted(*partitions, "partition"),
                settings.collect::<String>()
            ))
        }
        Finding::Grow { topic, from, to } if !create_topics => Some(format!(
            "topic {topic} has {} and its source {to} (create_topics is false): give it {to}, as `kafka-topics.sh --alter --topic \
             {topic} --partitions {to}` does",
            counted(*from, "partition")
        )),
        Finding::Create { .. } | Finding::Grow { .. } | Finding::Forgets { .. } => None,
    }
}

/// Carries what others count to the metrics, once a second.
async fn observe(
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    cache: Arc<SchemaCache>,
    failures: Arc<FailureLog>,
    shutdown: CancellationToken,
) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = shutdown.cancelled() => return,
        }
        metrics.set_schema_cache(&cache.stats());
        cache.probe();
        match cache.registry_state() {
            RegistryState::Up => health.dependency(Dependency::Registry, Ok(())),
            RegistryState::Down { message, .. } => {
                health.dependency(Dependency::Registry, Err(message))
            }
        }
        metrics.observe_health(&health);
        failures.summarise(Instant::now());
    }
}
