//! A pipeline to test with: payments, held to a contract and a rule, filtered, perhaps looked up, and emitted. Its
//! configuration file lies in a folder of its own; topics and group are names that no other test uses.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use driftgate::config;
use driftgate::config::model::Config;
use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::embedded::registry::EmbeddedRegistry;
use driftgate::instance::Instance;
use rdkafka::ClientConfig;
use rustix::process::Signal;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::process::{Server, program};
use super::topics::{self, Read};
use super::{Bed, Environment, bed, eventually, http, unique, wait};

/// Partitions of a source topic.
pub const PARTITIONS: i32 = 4;
/// How long anything may take before it is a failure.
pub const LIMIT: Duration = Duration::from_secs(90);
/// The contract, and what producers write.
pub const SCHEMA: &str = r#"{"type":"record","name":"Payment","fields":[
    {"name":"id","type":"long"},{"name":"currency","type":"string"}]}"#;

const CUSTOMER: &str =
    r#"{"type":"record","name":"Customer","fields":[{"name":"name","type":"string"}]}"#;

/// What may differ from one job to the next.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Entries of `kafka.properties`.
    pub properties: Vec<(String, String)>,
    /// `kafka.group_instance_id`.
    pub instance: Option<String>,
    /// `registry.auth`, as YAML.
    pub registry_auth: String,
    /// Workers of the pipeline.
    pub workers: usize,
    /// Retry tiers, as YAML.
    pub tiers: String,
    /// Base URL of a lookup: the pipeline asks `<base>/<id>`, and drops the answer.
    pub lookup: Option<String>,
    /// Steps behind the filter, as lines of YAML, in the place of `lookup`.
    pub steps: Option<String>,
    /// The source topic; one of its own without.
    pub source: Option<String>,
    /// `delivery`, and what goes with it, in one line.
    pub delivery: String,
    /// `memory_limit`.
    pub memory: &'static str,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            properties: Vec::new(),
            instance: None,
            registry_auth: "{}".into(),
            workers: 2,
            tiers: "[1s]".into(),
            lookup: None,
            steps: None,
            source: None,
            delivery: "delivery: at_least_once".into(),
            memory: "256MiB",
        }
    }
}

impl Shape {
    /// One worker that notices a lost member of its group within seconds.
    pub fn quick() -> Shape {
        let properties = [
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "500"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Shape {
            properties: properties.into(),
            workers: 1,
            ..Shape::default()
        }
    }
}

/// A configuration file in a folder of its own, with topics and group that no other test uses.
pub struct Job {
    /// Where the file is, and the logs of its instances.
    pub folder: tempfile::TempDir,
    /// Source topic.
    pub source: String,
    /// Consumer group.
    pub group: String,
    /// Sink topic.
    pub sink: String,
    /// The file as loaded, without an admin server.
    pub config: Config,
}

/// A job on a bed, in its usual shape.
pub fn job(bed: &Bed) -> Job {
    Job::new(&bed.bootstrap, &bed.registry_url, &Shape::default())
}

impl Job {
    /// Writes the files and loads them.
    pub fn new(bootstrap: &str, registry: &str, shape: &Shape) -> Job {
        let folder = tempfile::tempdir().expect("a folder");
        let (group, sink) = (unique("gate"), unique("clean"));
        let source = shape.source.clone().unwrap_or_else(|| unique("payments"));
        let properties: Vec<_> = shape
            .properties
            .iter()
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        let properties = properties.join(", ");
        let instance = shape.instance.as_ref().map_or(String::new(), |instance| {
            format!(", group_instance_id: {instance}")
        });
        let lookup = shape.lookup.as_ref().map_or(String::new(), |base| {
            format!("      - lookup: {{ into: customer, url: \"{base}/{{id}}\", type: customer.avsc, timeout: 2s }}\n      - drop: [customer]\n")
        });
        let lookup = shape.steps.as_ref().unwrap_or(&lookup);
        let Shape {
            registry_auth,
            workers,
            tiers,
            delivery,
            memory,
            ..
        } = shape;
        let text = format!(
            r##"
kafka: {{ bootstrap_servers: "{bootstrap}", properties: {{ {properties} }}{instance} }}
registry: {{ url: "{registry}", auth: {registry_auth} }}
admin: {{ listen: "${{ADMIN_LISTEN:-off}}" }}
shutdown_grace: 10s
memory_limit: {memory}
pipelines:
  payments:
    owner: {{ team: billing, contact: "#billing" }}
    group: {group}
    workers: {workers}
    {delivery}
    provenance: header
    source: {{ topics: [{source}] }}
    contract: {{ schema: payment.avsc, rules: payment.rules.yaml }}
    transform:
      - filter: "currency != 'TEST'"
{lookup}    sink: {{ topic: {sink}, schema: payment.avsc, auto_register: true }}
    failure: {{ retry: {{ tiers: {tiers} }} }}
"##
        );
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        write("driftgate.yaml", &text);
        write("payment.avsc", SCHEMA);
        write("customer.avsc", CUSTOMER);
        write(
            "payment.rules.yaml",
            "rules:\n  - { name: positive-id, field: id, range: { min: 0 } }\n",
        );
        let loaded = config::load(&folder.path().join("driftgate.yaml"), &|_| None);
        let config = loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config;
        Job {
            folder,
            source,
            group,
            sink,
            config,
        }
    }

    /// The dead-letter topic.
    pub fn ledger(&self) -> String {
        format!("{}.{}.ledger", self.source, self.group)
    }

    /// The dead-letter topic.
    pub fn dlq(&self) -> String {
        format!("{}.{}.dlq", self.source, self.group)
    }

    /// A retry topic; tiers count from 1.
    pub fn retry(&self, tier: usize) -> String {
        format!("{}.{}.retry.{tier}", self.source, self.group)
    }

    /// Starts an instance as a process, with an admin server on a free port.
    pub fn start(&self, name: &str) -> Runner {
        let log = self.folder.path().join(format!("{name}.log"));
        let file = self.folder.path().join("driftgate.yaml");
        let arguments = ["run", "-c", file.to_str().expect("text")];
        let environment = [
            ("ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("RUST_LOG", "warn,driftgate=debug".to_owned()),
        ];
        let server = Server::start(&program(), arguments, &environment, &log);
        Runner {
            server: Some(server),
            log,
            admin: None,
        }
    }

    /// Waits until the group has committed all of a topic. What was committed says what became of every record below:
    /// the counts in the metadata add up to the offset. Returns them, summed over the partitions, by outcome.
    #[track_caller]
    pub fn settled(&self, client: &ClientConfig, topic: &str) -> BTreeMap<String, i64> {
        let mut last = String::new();
        let done = wait::within(LIMIT, || {
            let ends: Vec<i64> = topics::watermarks(client, topic)
                .iter()
                .map(|(_, end)| *end)
                .collect();
            let committed = topics::committed(client, &self.group, topic);
            last = format!("{ends:?} {committed:?}");
            let same = ends.len() == committed.len()
                && ends
                    .iter()
                    .zip(&committed)
                    .all(|(end, found)| found.as_ref().map_or(0, |(offset, _)| *offset) == *end);
            same.then_some(committed)
        });
        let committed =
            done.unwrap_or_else(|| panic!("{topic} is not committed to its end: {last}"));
        let mut totals = BTreeMap::new();
        for (offset, metadata) in committed.into_iter().flatten() {
            let mut words = metadata.split(' ');
            assert_eq!(words.next(), Some("driftgate/1"), "{topic}: {metadata}");
            let mut sum = 0;
            let outcomes = driftgate::record::Outcome::ALL.map(|outcome| outcome.as_str());
            // Where the ledger begins and which pauses stand is said there too.
            let counts = words
                .filter_map(|word| word.split_once('='))
                .filter(|(word, _)| outcomes.contains(word));
            for (outcome, count) in counts {
                let count: i64 = count.parse().expect("a count");
                sum += count;
                *totals.entry(outcome.to_owned()).or_insert(0) += count;
            }
            assert_eq!(sum, offset, "{topic}: {metadata}");
        }
        totals
    }

    /// The positions in the source that the sink's records come from, and how many records there are in it.
    pub fn arrived(&self, client: &ClientConfig) -> (BTreeSet<String>, usize) {
        let clean = topics::consume_all(client, &self.sink);
        let positions = clean
            .iter()
            .filter_map(|read| read.header("driftgate.source").map(str::to_owned));
        (positions.collect(), clean.len())
    }

    /// Waits until every one of `records` is in the sink, at least once; returns how many copies there are.
    #[track_caller]
    pub fn wait_for_all(&self, client: &ClientConfig, records: usize) -> usize {
        let mut last = (0, 0);
        let found = wait::within(LIMIT, || {
            if count(client, &self.sink) < i64::try_from(records).expect("few") {
                return None;
            }
            let (positions, copies) = self.arrived(client);
            last = (positions.len(), copies);
            (positions.len() == records).then_some(copies)
        });
        found.unwrap_or_else(|| panic!("{last:?} of {records} records arrived"))
    }
}

/// An instance that runs as a process.
pub struct Runner {
    server: Option<Server>,
    log: PathBuf,
    admin: Option<String>,
}

/// One line of `/metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name of the metric.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Runner {
    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("not stopped yet")
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.server().runs()
    }

    /// Where its admin server listens.
    #[track_caller]
    pub fn address(&mut self) -> String {
        wait::eventually(LIMIT, "the admin server answers", || self.page("/healthz"));
        self.admin.clone().expect("known, since it has answered")
    }

    /// Status and body of a page of its admin server; `None` while it does not answer.
    pub fn page(&mut self, path: &str) -> Option<(u16, String)> {
        if self.admin.is_none() {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("admin: /metrics"))?;
            let (_, rest) = line.split_once("address=")?;
            self.admin = Some(rest.split_whitespace().next()?.to_owned());
        }
        let url = format!("http://{}{path}", self.admin.as_ref()?);
        http::get(url).send().ok()
    }

    /// Waits until `/readyz` answers so, and its reasons contain all of `words`.
    #[track_caller]
    pub fn wait_ready(&mut self, status: u16, words: &[&str]) -> String {
        let mut last = None;
        let found = wait::within(LIMIT, || {
            last = self.page("/readyz");
            let (code, body) = last.as_ref()?;
            (*code == status && words.iter().all(|word| body.contains(word))).then(|| body.clone())
        });
        found.unwrap_or_else(|| panic!("/readyz does not say {status} {words:?}: {last:?}"))
    }

    /// Its metrics; none while it does not answer.
    pub fn metrics(&mut self) -> Vec<Sample> {
        let body = self
            .page("/metrics")
            .map(|(_, body)| body)
            .unwrap_or_default();
        body.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(sample)
            .collect()
    }

    /// The partitions of a topic that are this instance's, by the gauges that it tells while it owns them.
    pub fn owned(&mut self, topic: &str) -> BTreeSet<i32> {
        owned(&self.metrics(), topic)
    }

    /// The most memory that it has ever had resident, in bytes.
    pub fn peak_memory(&mut self) -> u64 {
        self.server().peak_memory()
    }

    /// How long its threads have been on a processor.
    pub fn processor_time(&mut self) -> Duration {
        self.server().processor_time()
    }

    /// SIGTERM; it must drain and end with 0.
    #[track_caller]
    pub fn stop(&mut self) {
        let status = self.server().ended(Duration::ZERO);
        assert_eq!(status, None, "it has ended by itself");
        self.server().signal(Signal::TERM);
        let status = self.server().ended(Duration::from_secs(30));
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(0),
            "SIGTERM drains and ends with 0: {status:?}"
        );
        self.server = None;
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.server().signal(signal);
    }

    /// SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        assert!(self.runs(), "it has ended by itself");
        self.server().signal(Signal::KILL);
        assert!(self.server().ended(LIMIT).is_some(), "killed");
        self.server = None;
    }

    /// Waits for its end by itself; the exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.server().ended(LIMIT).and_then(|status| status.code())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            // Short enough that what the test has said can be seen before it where only the end of an output is kept.
            eprintln!(
                "--- the end of {}:\n{}",
                self.log.display(),
                lines[lines.len().saturating_sub(60)..].join("\n")
            );
        }
    }
}

/// As [`Runner::owned`], of metrics at hand.
pub fn owned(samples: &[Sample], topic: &str) -> BTreeSet<i32> {
    let mine = samples
        .iter()
        .filter(|sample| sample.name == "driftgate_partition_stuck");
    mine.filter(|sample| sample.labels["topic"] == topic)
        .map(|sample| sample.labels["partition"].parse().expect("a partition"))
        .collect()
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels
        .trim_end_matches('}')
        .split("\",")
        .filter_map(|label| {
            let (name, value) = label.split_once("=\"")?;
            Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
        });
    Some(Sample {
        name: name.to_owned(),
        labels: labels.collect(),
        value: value.parse().ok()?,
    })
}

/// Registers the writer schema and returns its id.
pub fn register(bed: &Bed, topic: &str) -> u32 {
    let url = format!("{}/subjects/{topic}-value/versions", bed.registry_url);
    let (status, body) = http::post(url, json!({ "schema": SCHEMA }))
        .send()
        .expect("the registry answers");
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id")
}

/// A payment in Confluent framing.
pub fn payment(schema: u32, id: i64, currency: &str) -> Vec<u8> {
    let mut value = vec![0];
    value.extend(schema.to_be_bytes());
    let mut rest = ((id << 1) ^ (id >> 63)).cast_unsigned();
    while rest >= 0x80 {
        value.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    value.push(rest as u8);
    value.push(u8::try_from(currency.len() * 2).expect("short"));
    value.extend(currency.as_bytes());
    value
}

/// Runs an instance on this thread until `done` says so.
pub fn run_until(
    job: &Job,
    embedded: Option<&EmbeddedBroker>,
    done: impl Fn() -> bool + Send + Sync,
) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let shutdown = CancellationToken::new();
    let instance = Instance::new(shutdown.clone());
    let finished = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let _end = shutdown.clone().drop_guard();
            wait::within(LIMIT, || shutdown.is_cancelled() || done())
        });
        let result = runtime.block_on(instance.run(&job.config, &|_| None, embedded));
        result.expect("the instance ends well");
        watch.join().expect("the broker answers")
    });
    assert!(finished.is_some(), "not done within {LIMIT:?}");
}

/// Runs a test body on the embedded broker and registry, and on each real pair.
pub fn beds_with(body: impl Fn(&Bed, Option<&EmbeddedBroker>)) {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let (bootstrap, url) = (broker.bootstrap_servers(), registry.url());
    let bed = Bed::of(Environment::Embedded, bootstrap, url, registry);
    body(&bed, Some(&broker));
    bed::each(Bed::real(), |bed| body(bed, None));
}

/// Creates what must be there before a job starts.
pub fn prepare(bed: &Bed, job: &Job, embedded: Option<&EmbeddedBroker>) {
    match embedded {
        Some(broker) => broker
            .create_topics(&job.config.pipelines[0], PARTITIONS)
            .expect("topics"),
        None => topics::create(&bed.client(), &job.source, PARTITIONS, &[]),
    }
}

/// How many records were written to a topic.
pub fn count(client: &ClientConfig, topic: &str) -> i64 {
    let ends = topics::watermarks(client, topic);
    ends.iter().map(|(_, end)| end).sum()
}

/// Waits until a topic has so many records.
#[track_caller]
pub fn wait_for_count(client: &ClientConfig, topic: &str, records: i64) {
    eventually(LIMIT, &format!("{records} records in {topic}"), || {
        count(client, topic) >= records
    });
}

/// The one record of that value.
pub fn find<'r>(reads: &'r [Read], value: &[u8]) -> &'r Read {
    let found: Vec<_> = reads
        .iter()
        .filter(|read| read.value.as_deref() == Some(value))
        .collect();
    assert_eq!(found.len(), 1, "one record of that value");
    found[0]
}
