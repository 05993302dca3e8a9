//! A pipeline of a test's own, run in this process or as the program, and its broker's topics changed under it.

use std::path::PathBuf;
use std::time::Duration;

use driftgate::config;
use driftgate::config::model::Config;
use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::embedded::registry::EmbeddedRegistry;
use driftgate::error::FatalError;
use driftgate::instance::Instance;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::process::{Server, program};
use super::topics::{self, Read};
use super::{Bed, Environment, http, unique, wait};

/// How long anything here may take before it is a failure.
pub const LIMIT: Duration = Duration::from_secs(60);

const SCHEMA: &str = r#"{"type":"record","name":"Parcel","fields":[
    {"name":"id","type":"long"},{"name":"note","type":"string"}]}"#;

/// [`Shape::properties`] where a topic that is deleted is to be missed at once: a client waits half a minute by default, since
/// brokers may tell of a new topic late. And a killed member after 6 s, as otherwise.
pub const MISSES_TOPICS: &str =
    "session.timeout.ms: 6000, heartbeat.interval.ms: 500, topic.metadata.propagation.max.ms: 2000";

/// What differs from one test's pipeline to the next.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Partitions of the source.
    pub partitions: i32,
    /// The source topic, which is there already; one of its own without.
    pub source: Option<String>,
    /// `failure.retry`, in YAML.
    pub retry: &'static str,
    /// A URL to look up at, by `{id}`.
    pub lookup: Option<String>,
    /// Steps as lines of YAML, in the place of `lookup`.
    pub steps: Option<String>,
    /// Entries of `kafka.properties`, in YAML.
    pub properties: &'static str,
    /// `create_topics`.
    pub create_topics: bool,
    /// `shutdown_grace`.
    pub grace: &'static str,
    /// `workers`.
    pub workers: usize,
    /// `delivery`, and what goes with it, in one line.
    pub delivery: &'static str,
    /// `provenance`.
    pub provenance: &'static str,
    /// `dedup`, in YAML.
    pub dedup: Option<String>,
    /// `stale`, in YAML.
    pub stale: Option<String>,
    /// `ownership`, in YAML, where `SOURCE` is the source topic.
    pub ownership: Option<String>,
    /// A second source topic, made as the first one is.
    pub beside: Option<String>,
    /// Writer schema, contract and sink's schema.
    pub schema: &'static str,
    /// The rules file.
    pub rules: &'static str,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            partitions: 4,
            source: None,
            retry: "{ tiers: [] }",
            lookup: None,
            steps: None,
            // A group that misses a killed member for 45 seconds, as it does by default, makes long tests.
            properties: "session.timeout.ms: 6000, heartbeat.interval.ms: 500",
            create_topics: true,
            grace: "10s",
            workers: 1,
            delivery: "delivery: at_least_once",
            provenance: "header",
            dedup: None,
            stale: None,
            ownership: None,
            beside: None,
            schema: SCHEMA,
            rules: "rules:\n  - { name: positive-id, field: id, range: { min: 0 } }\n",
        }
    }
}

/// A configuration in a folder of its own, with topics and a group that no other test uses.
pub struct Job {
    pub folder: tempfile::TempDir,
    pub source: String,
    pub sink: String,
    pub group: String,
    pub dlq: String,
    pub shape: Shape,
    pub config: Config,
    pub client: ClientConfig,
    /// Registry id of the writer schema.
    pub schema: u32,
}

impl Job {
    /// A job whose source topic exists and whose writer schema is registered. With `embedded`, every topic exists.
    pub fn new(bed: &Bed, embedded: Option<&EmbeddedBroker>, shape: Shape) -> Job {
        let job = Job::without_topics(bed, shape);
        match embedded {
            Some(broker) => broker
                .create_topics(&job.config.pipelines[0], job.shape.partitions)
                .expect("topics"),
            None if job.shape.source.is_none() => {
                topics::create(&job.client, &job.source, job.shape.partitions, &[]);
            }
            None => {}
        }
        if let (Some(beside), None) = (&job.shape.beside, embedded) {
            topics::create(&job.client, beside, job.shape.partitions, &[]);
        }
        job
    }

    /// The same on an embedded broker, where only the source topic exists.
    pub fn on_mock_with_source_only(embedded: &Embedded, shape: Shape) -> Job {
        let job = Job::without_topics(&embedded.bed, shape);
        embedded
            .broker
            .create_topic(&job.source, job.shape.partitions)
            .expect("a topic");
        job
    }

    fn without_topics(bed: &Bed, shape: Shape) -> Job {
        let folder = tempfile::tempdir().expect("a folder");
        let source = shape.source.clone().unwrap_or_else(|| unique("parcels"));
        let (group, sink) = (unique("gate"), unique("clean"));
        let (bootstrap, registry) = (&bed.bootstrap, &bed.registry_url);
        let Shape {
            retry,
            properties,
            create_topics,
            grace,
            workers,
            delivery,
            provenance,
            ..
        } = &shape;
        let steps = match (&shape.steps, &shape.lookup) {
            (Some(steps), _) => format!("\n{steps}"),
            (None, Some(url)) => format!(
                r#"
      - lookup: {{ into: found, url: "{url}/{{id}}", type: found.avsc, timeout: 1s }}
      - drop: [found]"#
            ),
            (None, None) => " []".to_owned(),
        };
        let part = |name: &str, text: &Option<String>| {
            let line = |text| format!("    {name}: {text}\n");
            text.as_ref().map_or(String::new(), line)
        };
        let ownership = shape.ownership.as_ref();
        let ownership = ownership.map(|text| text.replace("SOURCE", &source));
        let kept = part("dedup", &shape.dedup)
            + &part("stale", &shape.stale)
            + &part("ownership", &ownership);
        let beside = shape.beside.as_ref();
        let beside = beside.map_or(String::new(), |topic| format!(", {topic}"));
        let state_dir = match kept.contains("store: disk") {
            true => "state_dir: state\n",
            false => "",
        };
        let text = format!(
            r##"
kafka: {{ bootstrap_servers: "{bootstrap}", properties: {{ {properties} }} }}
registry: {{ url: "{registry}" }}
admin: {{ listen: "127.0.0.1:0" }}
shutdown_grace: {grace}
{state_dir}pipelines:
  parcels:
    owner: {{ team: depot, contact: "#depot" }}
    group: {group}
    workers: {workers}
    {delivery}
    create_topics: {create_topics}
    provenance: {provenance}
    source: {{ topics: [{source}{beside}] }}
    contract: {{ schema: parcel.avsc, rules: parcel.rules.yaml }}
{kept}    transform:{steps}
    sink: {{ topic: {sink}, schema: parcel.avsc, auto_register: true }}
    failure: {{ retry: {retry} }}
"##
        );
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        write("driftgate.yaml", &text);
        write("parcel.avsc", shape.schema);
        write(
            "found.avsc",
            r#"{"type":"record","name":"Found","fields":[{"name":"name","type":"string"}]}"#,
        );
        write("parcel.rules.yaml", shape.rules);
        let loaded = config::load(&folder.path().join("driftgate.yaml"), &|_| None);
        let config = loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config;
        let dlq = config.pipelines[0].dead_letter_topic(&source);
        let client = bed.client();
        Job {
            schema: register_text(bed, &source, shape.schema),
            folder,
            source,
            sink,
            group,
            dlq,
            shape,
            config,
            client,
        }
    }

    /// The name of a retry topic, counted from 1.
    pub fn retry_topic(&self, tier: usize) -> String {
        self.config.pipelines[0].retry_topic(&self.source, tier)
    }

    /// The name of the ledger.
    pub fn ledger(&self) -> String {
        format!("{}.{}.ledger", self.source, self.group)
    }

    /// A framed record value. Ids below zero break the contract's rule.
    pub fn parcel(&self, id: i64, note: &str) -> Vec<u8> {
        let mut value = vec![0];
        value.extend(self.schema.to_be_bytes());
        long(&mut value, id);
        long(
            &mut value,
            i64::try_from(note.len()).expect("a short enough note"),
        );
        value.extend(note.as_bytes());
        value
    }

    /// What the broker counts in a topic.
    pub fn count(&self, topic: &str) -> i64 {
        let ends = topics::watermarks(&self.client, topic);
        ends.iter().map(|(_, end)| end).sum()
    }

    /// The sum of the committed offsets of a topic.
    pub fn committed(&self, topic: &str) -> i64 {
        let offsets = topics::committed(&self.client, &self.group, topic);
        offsets.iter().flatten().map(|(offset, _)| offset).sum()
    }

    /// The ids that are in the sink, in the order of each partition.
    pub fn emitted(&self) -> Vec<i64> {
        topics::consume_all(&self.client, &self.sink)
            .iter()
            .map(id)
            .collect()
    }

    /// The program with this configuration; its log is `<name>.log` in the folder.
    pub fn start(&self, command: &str, name: &str) -> Server {
        self.start_with(&[command], name)
    }

    /// The same with further arguments.
    pub fn start_with(&self, arguments: &[&str], name: &str) -> Server {
        let file = self.folder.path().join("driftgate.yaml");
        let config = ["-c", file.to_str().expect("text")];
        let arguments = arguments.iter().chain(&config);
        Server::start(&program(), arguments, &[], &self.log_file(name))
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// What the program has said so far, without colours.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.log_file(name)).unwrap_or_default()
    }

    /// Where the program's admin server listens, once it does.
    pub fn admin(&self, name: &str) -> String {
        wait::eventually(LIMIT, "the admin address in the log", || {
            let log = self.log(name);
            let (_, rest) = log.split_once("address=")?;
            let address: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
            Some(address).filter(|_| rest.contains(char::is_whitespace))
        })
    }

    /// Runs an instance on this thread while `body` runs on another; it ends when `body` does. What both came to.
    pub fn run<T: Send>(
        &self,
        embedded: Option<&EmbeddedBroker>,
        body: impl FnOnce(&Live) -> T + Send,
    ) -> (T, Result<(), FatalError>) {
        let shutdown = CancellationToken::new();
        let mut instance = Instance::new(shutdown.clone());
        instance.stuck_after = Duration::from_secs(1);
        let (faults, mut inbox) = tokio::sync::mpsc::channel::<Fault>(16);
        let live = Live {
            instance,
            shutdown: shutdown.clone(),
            faults,
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        std::thread::scope(|scope| {
            let body = scope.spawn(|| {
                // Should this thread panic, the instance must not run for ever.
                let _end = shutdown.clone().drop_guard();
                body(&live)
            });
            // The embedded broker stays on the thread where it was made.
            let faults = async {
                while let (Some(broker), Some(fault)) = (embedded, inbox.recv().await) {
                    fault(broker);
                }
                std::future::pending::<()>().await;
            };
            let result = runtime.block_on(async {
                tokio::select! {
                    result = live.instance.run(&self.config, &|_| None, embedded) => result,
                    () = faults => unreachable!("never ends"),
                }
            });
            match body.join() {
                Ok(value) => (value, result),
                Err(panic) => {
                    if let Err(error) = result {
                        eprintln!("the instance ended with: {error}");
                    }
                    std::panic::resume_unwind(panic)
                }
            }
        })
    }

    /// The same where the instance is to end well.
    pub fn live<T: Send>(
        &self,
        embedded: Option<&EmbeddedBroker>,
        body: impl FnOnce(&Live) -> T + Send,
    ) -> T {
        let (value, result) = self.run(embedded, body);
        result.expect("the instance ends well");
        value
    }
}

type Fault = Box<dyn FnOnce(&EmbeddedBroker) + Send>;

/// An instance that runs.
pub struct Live {
    pub instance: Instance,
    pub shutdown: CancellationToken,
    faults: tokio::sync::mpsc::Sender<Fault>,
}

impl Live {
    /// Polls with a deadline; panics as well when the instance has ended.
    #[track_caller]
    pub fn eventually<A: wait::Answer>(
        &self,
        what: &str,
        mut probe: impl FnMut() -> A,
    ) -> A::Value {
        wait::eventually(LIMIT, what, || {
            assert!(
                !self.shutdown.is_cancelled(),
                "the instance ended before: {what}"
            );
            probe().answer()
        })
    }

    /// Does something to the embedded broker, on its own thread.
    pub fn broker(&self, fault: impl FnOnce(&EmbeddedBroker) + Send + 'static) {
        self.faults
            .blocking_send(Box::new(fault))
            .expect("the broker's thread listens");
    }

    /// Waits until the instance takes its share.
    pub fn ready(&self) {
        self.eventually("ready", || self.instance.health.readiness().ready);
    }

    /// Waits until a reason why the instance is not ready says all of this.
    pub fn not_ready(&self, words: &[&str]) {
        let what = format!("not ready because of {words:?}");
        self.eventually(&what, || {
            let reasons = self.instance.health.readiness().reasons;
            reasons
                .iter()
                .any(|reason| words.iter().all(|word| reason.contains(word)))
        });
    }

    /// The sum of a metric's samples whose labels contain all of these texts.
    pub fn metric(&self, family: &str, labels: &[&str]) -> f64 {
        sum(&self.instance.metrics.render(), family, labels)
    }
}

/// The sum of a family's samples in Prometheus' text, of those whose labels contain all of these.
pub fn sum(page: &str, family: &str, labels: &[&str]) -> f64 {
    page.lines()
        .filter(|line| line.starts_with(&format!("{family}{{")))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// The `id` of a parcel.
pub fn id(read: &Read) -> i64 {
    let value = read.value.as_deref().expect("a value");
    let (mut number, mut shift) = (0_u64, 0);
    for byte in &value[5..] {
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn long(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Registers the schema of parcels for the values of a topic.
pub fn register(bed: &Bed, topic: &str) -> u32 {
    register_text(bed, topic, SCHEMA)
}

fn register_text(bed: &Bed, topic: &str, schema: &str) -> u32 {
    let url = format!("{}/subjects/{topic}-value/versions", bed.registry_url);
    let (status, body) = http::post(url, json!({ "schema": schema }))
        .send()
        .expect("the registry answers");
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id")
}

/// An embedded broker and registry.
pub struct Embedded {
    pub broker: EmbeddedBroker,
    pub registry: EmbeddedRegistry,
    pub bed: Bed,
}

impl Embedded {
    pub fn start() -> Embedded {
        let broker = EmbeddedBroker::start().expect("an embedded broker");
        let registry = EmbeddedRegistry::start().expect("an embedded registry");
        let bed = Bed::of(
            Environment::Embedded,
            broker.bootstrap_servers(),
            registry.url(),
            (),
        );
        Embedded {
            broker,
            registry,
            bed,
        }
    }
}

/// The shared Kafka with one registry: for what is about the broker alone. A skip where there is none.
pub fn real() -> Option<Bed> {
    Bed::real().into_iter().next()
}

/// Runs a test body embedded, and on the shared Kafka with one registry.
pub fn both(body: impl Fn(&Bed, Option<&EmbeddedBroker>)) {
    let embedded = Embedded::start();
    body(&embedded.bed, Some(&embedded.broker));
    drop(embedded);
    super::bed::each(real().into_iter().collect(), |bed| body(bed, None));
}

fn admin(client: &ClientConfig) -> (AdminClient<DefaultClientContext>, AdminOptions) {
    let admin = client.create().expect("a valid configuration");
    let options = AdminOptions::new()
        .operation_timeout(Some(LIMIT))
        .request_timeout(Some(LIMIT));
    (admin, options)
}

/// Deletes a topic and waits until the broker tells of it no more.
pub fn delete(client: &ClientConfig, topic: &str) {
    let (admin, options) = admin(client);
    let done = futures::executor::block_on(admin.delete_topics(&[topic], &options));
    done.expect("the broker answers")[0]
        .as_ref()
        .unwrap_or_else(|(_, code)| panic!("{topic} was not deleted: {code}"));
    wait::eventually(LIMIT, "the topic is gone", || {
        topics::partitions(client, topic) == 0
    });
}

/// Adds partitions to a topic.
pub fn grow(client: &ClientConfig, topic: &str, partitions: i32) {
    let (admin, options) = admin(client);
    let new = NewPartitions::new(topic, usize::try_from(partitions).expect("a count"));
    let done = futures::executor::block_on(admin.create_partitions([&new], &options));
    done.expect("the broker answers")[0]
        .as_ref()
        .unwrap_or_else(|(_, code)| panic!("{topic} did not grow: {code}"));
    wait::eventually(LIMIT, "the topic has grown", || {
        topics::partitions(client, topic) == partitions
    });
}

/// Sets a topic's `max.message.bytes`.
pub fn limit(client: &ClientConfig, topic: &str, bytes: u32) {
    set(client, topic, "max.message.bytes", &bytes.to_string());
}

/// Changes a topic's configuration, and waits until the broker tells of it: it answers before it has taken it up.
pub fn set(client: &ClientConfig, topic: &str, name: &str, value: &str) {
    let (admin, options) = admin(client);
    let resource = ResourceSpecifier::Topic(topic);
    let change = AlterConfig::new(resource).set(name, value);
    let done = futures::executor::block_on(admin.alter_configs([&change], &options));
    done.expect("the broker answers")[0]
        .as_ref()
        .unwrap_or_else(|(_, code)| panic!("{topic} was not changed: {code}"));
    wait::eventually(LIMIT, "the change is in force", || {
        let described = admin.describe_configs([&resource], &options);
        let described = futures::executor::block_on(described).expect("the broker answers");
        let described = described[0].as_ref().expect("the topic is there");
        described.get(name).and_then(|entry| entry.value.as_deref()) == Some(value)
    });
}
