//! The example `examples/native-step`: its step in process, and in an instance on the embedded broker.

mod support;

#[path = "../examples/native-step/iban.rs"]
mod iban;

use std::path::{Path, PathBuf};
use std::time::Duration;

use driftgate::config;
use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::embedded::registry::EmbeddedRegistry;
use driftgate::error::Reason;
use driftgate::in_process::{Ended, InProcess};
use driftgate::instance::Instance;
use driftgate::produce::Format;
use driftgate::produce::input::Input;
use driftgate::produce::run::{Counts, Job, Watch, run};
use driftgate::produce::source::Source;
use serde_json::{Value, json};
use support::topics;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/native-step")
        .join(file)
}

fn payment(account: &str) -> Value {
    json!({"payment_id": "p-1", "account": account, "amount_cents": 1999})
}

#[test]
fn in_process_each_account_ends_in_one_form_or_as_an_error_with_its_field() {
    let pipeline = InProcess::load(
        &example("driftgate.yaml"),
        "payments",
        &iban::natives(),
        &|_| None,
    );
    let mut pipeline = pipeline.unwrap_or_else(|error| panic!("{error}"));
    let mut process =
        |account: &str| -> Ended { pipeline.process_json(&payment(account)).expect("a payment") };
    for (account, country) in [
        ("DE89370400440532013000", "DE"),
        ("de89 3704 0044 0532 0130 00", "DE"),
        ("PL61 1090 1014 0000 0712 1981 2874", "PL"),
    ] {
        let output = process(account).output().expect("it is emitted");
        let compact: String = account.split_whitespace().collect();
        assert_eq!(output["account"], json!(compact.to_uppercase()));
        assert_eq!(output["account_country"], json!(country));
    }
    for (account, expect) in [
        ("DE88370400440532013000", "the check digits are wrong"),
        ("DE893704004405320130O0", "the check digits are wrong"),
        ("", "15 to 34"),
        ("8937040044053201", "a country, two check digits"),
        ("DE89-3704-0044-0532-0130-00", "letters and digits"),
        ("GB82 WEST 1234 5698 7654 32", "another country"),
    ] {
        let ended = process(account);
        let error = ended.error().expect("it fails");
        assert_eq!(
            (error.reason, error.path.as_str()),
            (Reason::TransformFailed, "account")
        );
        assert!(
            error.message.contains(expect),
            "{account}: {}",
            error.message
        );
        let compact = &account[..account.len().min(12)];
        let tells = !compact.is_empty() && error.message.contains(compact);
        assert!(!tells, "no error holds a value: {}", error.message);
    }
}

#[test]
fn the_plain_program_refuses_the_step_with_its_line() {
    let refused = InProcess::load(
        &example("driftgate.yaml"),
        "payments",
        &driftgate::Natives::new(),
        &|_| None,
    );
    let message = refused.map(|_| ()).expect_err("no such step").to_string();
    for part in [
        "no native step `iban`",
        "driftgate.yaml:15",
        "docs/native.md",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn on_the_embedded_broker_a_bad_account_is_a_dead_letter_and_the_others_come_through() {
    let broker = EmbeddedBroker::start().expect("a broker");
    let registry = EmbeddedRegistry::start().expect("a registry");
    let vars = |name: &str| match name {
        "KAFKA_BOOTSTRAP_SERVERS" => Some(broker.bootstrap_servers()),
        "SCHEMA_REGISTRY_URL" => Some(registry.url()),
        _ => None,
    };
    let loaded = config::load(&example("driftgate.yaml"), &vars);
    let mut config = loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config;
    config.admin.listen = None;
    let pipeline = &config.pipelines[0];
    broker.create_topics(pipeline, 2).expect("topics");
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let rows = folder.path().join("payments.jsonl");
    let accounts = [
        "DE89370400440532013000",
        "DE00370400440532013000",
        "PL61109010140000071219812874",
    ];
    let lines: Vec<String> = accounts
        .iter()
        .map(|account| payment(account).to_string())
        .collect();
    std::fs::write(&rows, lines.join("\n")).expect("written");
    publish(&config, &rows, &runtime);

    let shutdown = CancellationToken::new();
    let instance = Instance::new(shutdown.clone()).with_natives(iban::natives());
    let client = topics::client(&broker.bootstrap_servers());
    let (source, sink) = (&pipeline.source_topics[0], &pipeline.sink.topic);
    let dead = pipeline.dead_letter_topic(source);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let _end = shutdown.clone().drop_guard();
            let count = |topic: &str| -> i64 {
                let ends = topics::watermarks(&client, topic);
                ends.iter().map(|(_, end)| end).sum()
            };
            let done = || shutdown.is_cancelled() || (count(sink) == 2 && count(&dead) == 1);
            support::wait::within(LIMIT, done)
        });
        let result = runtime.block_on(instance.run(&config, &|_| None, Some(&broker)));
        result.expect("the instance ends well");
        assert!(
            watch.join().expect("the broker answers").is_some(),
            "within {LIMIT:?}"
        );
    });
    let letters = topics::consume_all(&client, &dead);
    assert_eq!(letters.len(), 1);
    let header = |name: &str| {
        let mut headers = letters[0].headers.iter();
        let found = headers.find(|(own, _)| own == name).expect("the header");
        String::from_utf8_lossy(found.1.as_deref().unwrap_or_default()).into_owned()
    };
    assert_eq!(header("driftgate.reason"), "transform_failed");
    assert_eq!(header("driftgate.path"), "account");
    assert!(header("driftgate.error").contains("step 1 (native iban)"));
}

fn publish(config: &config::model::Config, rows: &Path, runtime: &Runtime) {
    let job = Job {
        schema: Source::File {
            path: example("schemas/payments-value.avsc"),
            subject: "payments-value".to_owned(),
        },
        register: true,
        topic: "payments".to_owned(),
        create_topic: None,
        largest: Some(1_000_000),
        kafka: config.kafka.clone(),
        registry: config.registry.clone(),
        format: Format::JsonLines,
        key: None,
        timestamp: None,
        rate: None,
        limit: None,
        rejects: None,
        dry_run: false,
    };
    let input = Input::open(rows).expect("the rows");
    let report = run(&job, input, runtime.handle(), &mut Silent).expect("a run");
    assert_eq!(report.counts.produced, 3);
}

struct Silent;

impl Watch for Silent {
    fn bad(&mut self, row: &driftgate::produce::BadRow) {
        panic!("a bad row: {row}");
    }
    fn progress(&mut self, _counts: Counts) {}
    fn interrupted(&self) -> bool {
        false
    }
    fn abandoned(&self) -> bool {
        false
    }
}
