//! The example `examples/native-step`: its step in process, and in an instance on the embedded broker.

mod support;

#[path = "../examples/native-step/iban.rs"]
mod iban;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use driftgate::Natives;
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
use driftgate::transform::native::{
    Bound, EventType, Input as Given, Native, NativeError, Output, Params, Refusal,
};
use serde_json::{Value, json};
use support::topics::{self, Read};
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
        &Natives::new(),
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
    let accounts = [
        "DE89370400440532013000",
        "DE00370400440532013000",
        "PL61109010140000071219812874",
    ];
    let ends = run_embedded(iban::natives(), &accounts, (2, 1, 0));
    let letter = &ends.dead[0];
    assert_eq!(header(letter, "driftgate.reason"), "transform_failed");
    assert_eq!(header(letter, "driftgate.path"), "account");
    assert!(header(letter, "driftgate.error").contains("step 1 (native iban)"));
}

/// The example's program has all commands, each with the step.
#[test]
fn the_program_of_the_example_checks_and_tests_its_pipeline() {
    // `cargo test --test native_step` builds no examples.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--example", "native-step"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.expect("cargo runs").success());
    let test = std::env::current_exe().expect("this program");
    let folder = test.parent().and_then(Path::parent).expect("its folder");
    let program = folder.join("examples/native-step");
    let config = example("driftgate.yaml");
    let cases = example("native.cases.yaml");
    let check = ["check", "--offline", "-c"].map(PathBuf::from);
    for arguments in [
        check.into_iter().chain([config]).collect::<Vec<_>>(),
        vec!["test".into(), cases],
    ] {
        let output = Command::new(&program).args(&arguments).output();
        let output = output.expect("cargo builds the examples for the tests");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
    }
}

/// A step of moods, under the example's name.
struct Moody;

impl Native for Moody {
    fn bind(&self, _: &EventType<'_>, _: &Params<'_>) -> Result<Bound, Refusal> {
        Ok(Bound::new(|| moody)
            .reads("account")
            .writes("account_country", "string"))
    }
}

fn moody<'a>(input: &Given<'_, 'a>, output: &mut Output<'a>) -> Result<(), NativeError> {
    match input.get(0).text() {
        Some("panic") => panic!("a panic of the test"),
        Some("later") => Err(NativeError::unavailable("the table is being read", None)),
        _ => {
            output.set_text(0, "DE");
            Ok(())
        }
    }
}

#[test]
fn a_panic_is_a_dead_letter_what_is_unavailable_is_retried_and_the_worker_goes_on() {
    let natives = Natives::new().with("iban", Moody);
    let ends = run_embedded(
        natives,
        &["panic", "later", "fine", "panic", "fine"],
        (2, 2, 1),
    );
    for letter in &ends.dead {
        assert_eq!(header(letter, "driftgate.reason"), "transform_failed");
        let error = header(letter, "driftgate.error");
        assert!(
            error.contains("step 1 (native iban): the step panicked"),
            "{error}"
        );
        assert!(!error.contains("a panic of the test"), "{error}");
    }
    assert_eq!(
        header(&ends.retried[0], "driftgate.reason"),
        "native_unavailable"
    );
}

struct Ends {
    dead: Vec<Read>,
    retried: Vec<Read>,
}

/// Payments of these accounts through the example's pipeline, until so many were emitted, are dead letters and wait in the
/// first retry tier.
fn run_embedded(natives: Natives, accounts: &[&str], expect: (i64, i64, i64)) -> Ends {
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
    // What waits is not to come back while the test looks.
    config.pipelines[0].failure.tiers = vec![Duration::from_secs(3600)];
    let pipeline = &config.pipelines[0];
    broker.create_topics(pipeline, 2).expect("topics");
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let rows = folder.path().join("payments.jsonl");
    let lines: Vec<String> = accounts
        .iter()
        .map(|account| payment(account).to_string())
        .collect();
    std::fs::write(&rows, lines.join("\n")).expect("written");
    publish(&config, &rows, accounts.len() as u64, &runtime);

    let shutdown = CancellationToken::new();
    let instance = Instance::new(shutdown.clone()).with_natives(natives);
    let client = topics::client(&broker.bootstrap_servers());
    let (source, sink) = (&pipeline.source_topics[0], &pipeline.sink.topic);
    let (dead, retry) = (
        pipeline.dead_letter_topic(source),
        pipeline.retry_topic(source, 1),
    );
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let _end = shutdown.clone().drop_guard();
            let count = |topic: &str| -> i64 {
                let ends = topics::watermarks(&client, topic);
                ends.iter().map(|(_, end)| end).sum()
            };
            let counts = || (count(sink), count(&dead), count(&retry));
            support::wait::within(LIMIT, || shutdown.is_cancelled() || counts() == expect)
        });
        let result = runtime.block_on(instance.run(&config, &|_| None, Some(&broker)));
        result.expect("the instance ends well");
        assert!(
            watch.join().expect("the broker answers").is_some(),
            "within {LIMIT:?}"
        );
    });
    Ends {
        dead: topics::consume_all(&client, &dead),
        retried: topics::consume_all(&client, &retry),
    }
}

fn header(record: &Read, name: &str) -> String {
    let mut headers = record.headers.iter();
    let found = headers.find(|(own, _)| own == name).expect("the header");
    String::from_utf8_lossy(found.1.as_deref().unwrap_or_default()).into_owned()
}

fn publish(config: &config::model::Config, rows: &Path, count: u64, runtime: &Runtime) {
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
    assert_eq!(report.counts.produced, count);
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
