//! Rules from both of their sources, keys under a contract, steps before the rules, and the example
//! `examples/numeric-status`: on the embedded broker and registry, and on a real Kafka with real registries.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use driftgate::build::{self, BuildError, Parts};
use driftgate::config;
use driftgate::config::model::Config;
use driftgate::contract::registry::RegistryClient;
use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::embedded::registry::EmbeddedRegistry;
use driftgate::instance::Instance;
use driftgate::produce::input::Input;
use driftgate::produce::run::{Counts, Job, Watch, run};
use driftgate::produce::source::Source;
use driftgate::produce::{BadRow, Format};
use rdkafka::ClientConfig;
use serde_json::{Value as Json, json};
use support::topics::{self, Read, Write};
use support::{Bed, Environment, http, unique};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;

/// Runs a body on the embedded bed, then on each real one.
fn beds_with(body: impl Fn(&Bed, Option<&EmbeddedBroker>)) {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let (bootstrap, url) = (broker.bootstrap_servers(), registry.url());
    let bed = Bed::of(Environment::Embedded, bootstrap, url, registry);
    body(&bed, Some(&broker));
    support::bed::each(Bed::real(), |bed| body(bed, None));
}

/// A configuration of one pipeline in a folder of its own.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        Files {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// `pipeline` is what stands below the pipeline's name.
    fn config(&self, bed: &Bed, pipeline: &str) -> Config {
        load(&self.path(bed, pipeline))
    }

    fn path(&self, bed: &Bed, pipeline: &str) -> PathBuf {
        let (bootstrap, registry) = (&bed.bootstrap, &bed.registry_url);
        let text = format!(
            "kafka: {{ bootstrap_servers: \"{bootstrap}\" }}\nregistry: {{ url: \"{registry}\" }}\n\
             admin: {{ listen: off }}\nshutdown_grace: 10s\npipelines:\n  p:\n    owner: {{ team: t }}\n{pipeline}"
        );
        self.write("driftgate.yaml", &text)
    }
}

fn load(path: &Path) -> Config {
    let loaded = config::load(path, &|_| None);
    loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config
}

/// Registers a schema with what belongs to it, and returns its id.
fn register(bed: &Bed, subject: &str, body: Json) -> u32 {
    let url = format!("{}/subjects/{subject}/versions", bed.registry_url);
    let (status, body) = http::post(url, body).send().expect("the registry answers");
    assert_eq!(status, 200, "{body}");
    let answer: Json = serde_json::from_str(&body).expect("JSON");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id")
}

fn compile(config: &Config) -> Result<Parts, BuildError> {
    let runtime = Runtime::new().expect("a runtime");
    let registry = RegistryClient::new(&config.registry).expect("a client");
    let compiled = build::compile(&config.pipelines[0], Some(&registry), &|_| None);
    let parts = runtime.block_on(compiled)?;
    Ok(parts.expect("with a registry every schema can be loaded"))
}

/// Runs an instance on this thread until `done` says so.
fn run_until(
    config: &Config,
    embedded: Option<&EmbeddedBroker>,
    done: impl Fn() -> bool + Send + Sync,
) {
    let runtime = Runtime::new().expect("a runtime");
    let shutdown = CancellationToken::new();
    let instance = Instance::new(shutdown.clone());
    let finished = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let _end = shutdown.clone().drop_guard();
            support::wait::within(LIMIT, || shutdown.is_cancelled() || done())
        });
        let result = runtime.block_on(instance.run(config, &|_| None, embedded));
        result.expect("the instance ends well");
        watch.join().expect("the broker answers")
    });
    assert!(finished.is_some(), "not done within {LIMIT:?}");
}

fn prepare(bed: &Bed, config: &Config, embedded: Option<&EmbeddedBroker>) {
    let pipeline = &config.pipelines[0];
    match embedded {
        Some(broker) => broker.create_topics(pipeline, PARTITIONS).expect("topics"),
        None => topics::create(&bed.client(), &pipeline.source_topics[0], PARTITIONS, &[]),
    }
}

fn count(client: &ClientConfig, topic: &str) -> i64 {
    let ends = topics::watermarks(client, topic);
    ends.iter().map(|(_, end)| end).sum()
}

/// What the program says on its standard output, whatever it ends with.
fn stdout(arguments: &[&str], path: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_driftgate"))
        .args(arguments)
        .arg(path)
        .output()
        .expect("the program runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const PAYMENT: &str = r#"{"type":"record","name":"Payment","namespace":"shop","fields":[
    {"name":"id","type":"long"},
    {"name":"currency","type":"string"},
    {"name":"note","type":["null","string"],"default":null,"confluent:tags":["FREE_TEXT"]}]}"#;

fn zigzag(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let length = zigzag(i64::try_from(text.len()).expect("short"));
    [length, text.as_bytes().to_vec()].concat()
}

fn framed(schema: u32, avro: &[Vec<u8>]) -> Vec<u8> {
    [vec![0], schema.to_be_bytes().to_vec(), avro.concat()].concat()
}

fn payment(schema: u32, id: i64, currency: &str, note: Option<&str>) -> Vec<u8> {
    let note = match note {
        Some(note) => [zigzag(1), text(note)].concat(),
        None => zigzag(0),
    };
    framed(schema, &[zigzag(id), text(currency), note])
}

fn rule(name: &str, mode: &str, kind: &str, expr: &str) -> Json {
    json!({"name": name, "kind": "CONDITION", "type": kind, "mode": mode, "expr": expr})
}

/// A rule set holds what is read and what is written, from a registry that keeps it; one that drops it has no rules.
#[test]
fn rule_sets_are_run_where_registries_keep_them() {
    beds_with(|bed, embedded| {
        let (topic, sink) = (unique("payments"), unique("clean"));
        let (subject, out) = (format!("{topic}-value"), format!("{sink}-value"));
        let mut warns = rule("small", "READ", "CEL", "message.id < 100");
        warns["onFailure"] = json!("NONE");
        let mut disabled = rule("never", "READ", "CEL", "message.id < 0");
        disabled["disabled"] = json!(true);
        let mut notes = rule(
            "no-shouting",
            "WRITEREAD",
            "CEL_FIELD",
            "value != null; value != 'NOW'",
        );
        notes["tags"] = json!(["FREE_TEXT"]);
        let id = register(
            bed,
            &subject,
            json!({
                "schema": PAYMENT,
                "ruleSet": {"domainRules": [
                    rule("positive-id", "READ", "CEL", "message.id > 0"),
                    warns, disabled, notes,
                    rule("producers-own", "WRITE", "CEL", "message.id < -5"),
                ]},
            }),
        );
        register(
            bed,
            &out,
            json!({
                "schema": PAYMENT,
                "ruleSet": {"domainRules": [
                    rule("known-currency", "WRITE", "CEL", "message.currency in ['EUR', 'USD']"),
                ]},
            }),
        );
        let files = Files::new();
        let config = files.config(bed, &format!(
            "    group: {}\n    source: {{ topics: [{topic}] }}\n    contract: {{ subject: {subject} }}\n    \
             transform: [ {{ set: {{ currency: \"currency == 'Euro' ? 'EUR' : currency\" }} }} ]\n    \
             sink: {{ topic: {sink}, subject: {out} }}\n    failure: {{ retry: {{ tiers: [] }} }}\n",
            unique("gate")
        ));
        let keeps = bed.environment != Environment::KafkaAndApicurio;
        let parts = compile(&config).unwrap_or_else(|error| panic!("{error:?}"));
        let listed: Vec<String> = parts
            .rules()
            .map(|line| {
                format!(
                    "{} {} {}: {}",
                    line.on, line.rule.rule, line.rule.origin, line.rule.does
                )
            })
            .collect();
        let expected = [
            format!("value positive-id {subject}@1: dead letter"),
            format!("value small {subject}@1: warn"),
            format!("value no-shouting {subject}@1: dead letter"),
            format!("value never {subject}@1: not run: disabled"),
            format!("value producers-own {subject}@1: not run: run by producers"),
            format!("output known-currency {out}@1: dead letter"),
        ];
        assert_eq!(listed, if keeps { &expected[..] } else { &[] });
        if embedded.is_some() {
            let said = stdout(
                &["check", "-c"],
                &files.folder.path().join("driftgate.yaml"),
            );
            let line = |rule: &str| {
                said.lines()
                    .find(|line| line.contains(rule))
                    .map(str::to_owned)
            };
            let line = line("no-shouting").unwrap_or_else(|| panic!("{said}"));
            let words: Vec<&str> = line.split_whitespace().collect();
            let origin = format!("{subject}@1");
            let expected = [
                "p",
                "value",
                "no-shouting",
                "dead",
                "letter",
                &origin,
                "WRITEREAD",
            ];
            assert_eq!(words[..7], expected, "{line}");
            assert!(line.ends_with("on note"), "{line}");
            let said = stdout(
                &["check", "--output", "json", "-c"],
                &files.folder.path().join("driftgate.yaml"),
            );
            let json: Json = serde_json::from_str(&said).expect("JSON");
            assert_eq!(json["rules"][5]["origin"], format!("{out}@1"), "{json}");
        }

        prepare(bed, &config, embedded);
        let records = [
            (payment(id, 1, "EUR", None), None),
            (payment(id, 2, "Euro", Some("soon")), None),
            (payment(id, 100, "USD", Some("later")), None),
            (payment(id, 0, "EUR", None), Some(("id", "positive-id"))),
            (
                payment(id, 3, "EUR", Some("NOW")),
                Some(("note", "no-shouting")),
            ),
            (
                payment(id, 4, "XXX", None),
                Some(("currency", "known-currency")),
            ),
        ];
        let writes = records
            .iter()
            .map(|(value, _)| Write::new("k", value.clone()));
        let client = bed.client();
        topics::produce(&client, &topic, &writes.collect::<Vec<_>>());
        let dlq = config.pipelines[0].dead_letter_topic(&topic);
        let all = i64::try_from(records.len()).expect("few");
        run_until(&config, embedded, || {
            count(&client, &sink) + count(&client, &dlq) == all
        });
        let dead = topics::consume_all(&client, &dlq);
        for (value, failing) in &records {
            let letter = dead
                .iter()
                .find(|letter| letter.value.as_ref() == Some(value));
            match failing.filter(|_| keeps) {
                None => assert_eq!(letter, None, "{}", bed.environment),
                Some((path, rule)) => {
                    let letter = letter.unwrap_or_else(|| panic!("{rule} stops a record"));
                    assert_eq!(letter.header("driftgate.reason"), Some("rule_violation"));
                    assert_eq!(letter.header("driftgate.path"), Some(path));
                    let error = letter.header("driftgate.error").unwrap_or_default();
                    assert!(error.contains(&format!("rule {rule} of ")), "{error}");
                    assert!(error.contains("-value@1"), "{error}");
                }
            }
        }
    });
}

/// The rules of a file's schema are those of the newest version that has it.
#[test]
fn a_contract_from_a_file_has_the_rules_of_its_registered_version() {
    beds_with(|bed, _| {
        if bed.environment == Environment::KafkaAndApicurio {
            return;
        }
        let subject = unique("payment");
        let files = Files::new();
        files.write(&format!("{subject}.avsc"), PAYMENT);
        files.write("sink.avsc", PAYMENT);
        let config = files.config(bed, &format!(
            "    source: {{ topics: [payments] }}\n    contract: {{ schema: {subject}.avsc }}\n    \
             sink: {{ topic: clean, schema: sink.avsc, subject: {} }}\n",
            unique("sink")
        ));
        let names = || {
            let parts = compile(&config).unwrap_or_else(|error| panic!("{error:?}"));
            let names = parts
                .rules()
                .map(|line| format!("{} {}", line.rule.rule, line.rule.origin));
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(), Vec::<String>::new(), "it is not registered");
        let set =
            |name: &str| json!({"domainRules": [rule(name, "READ", "CEL", "message.id > 0")]});
        register(
            bed,
            &subject,
            json!({"schema": PAYMENT, "ruleSet": set("one")}),
        );
        assert_eq!(names(), [format!("one {subject}@1")]);
        register(
            bed,
            &subject,
            json!({"schema": PAYMENT, "ruleSet": set("two")}),
        );
        assert_eq!(names(), [format!("two {subject}@2")]);
        let wider = PAYMENT
            .replace("\"default\":null", "\"default\":null,\"doc\":\"d\"")
            .replace(
                "\"type\":\"long\"}",
                "\"type\":\"long\"},{\"name\":\"more\",\"type\":\"int\",\"default\":0}",
            );
        register(
            bed,
            &subject,
            json!({"schema": wider, "ruleSet": set("three")}),
        );
        assert_eq!(
            names(),
            [format!("two {subject}@2")],
            "the third version has another schema"
        );
    });
}

/// What cannot be understood fails `check`, and `run` before it has read a record.
#[test]
fn a_rule_that_is_not_understood_fails_check_and_run() {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let (bootstrap, url) = (broker.bootstrap_servers(), registry.url());
    let bed = Bed::of(Environment::Embedded, bootstrap, url, registry);
    let transform =
        json!({"name": "encrypt", "kind": "TRANSFORM", "type": "ENCRYPT", "mode": "WRITEREAD"});
    let bad = rule("later", "READ", "CEL", "message.currency.matches('[A-Z]+')");
    let set = json!({"domainRules": [transform, bad]});
    register(
        &bed,
        "orders-value",
        json!({"schema": PAYMENT, "ruleSet": set}),
    );
    let files = Files::new();
    let path = files.path(
        &bed,
        "    source: { topics: [orders] }\n    contract: { subject: orders-value }\n    sink: { topic: out, subject: orders-value }\n",
    );
    let output = Command::new(env!("CARGO_BIN_EXE_driftgate"))
        .args(["check", "-c"])
        .arg(&path)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("rule `encrypt` of subject orders-value version 1: not available yet: the kind TRANSFORM"), "{said}");

    let config = load(&path);
    let runtime = Runtime::new().expect("a runtime");
    let instance = Instance::new(CancellationToken::new());
    let error = runtime.block_on(instance.run(&config, &|_| None, Some(&broker)));
    let error = error.expect_err("it does not start").to_string();
    assert!(
        error.contains("rule `encrypt` of subject orders-value version 1"),
        "{error}"
    );
}

const KEY: &str = r#"{"type":"record","name":"PaymentKey","namespace":"shop","fields":[
    {"name":"tenant","type":"string"},{"name":"id","type":"long"}]}"#;

fn keyed(files: &Files, bed: &Bed, more: &str) -> Config {
    files.write("key.avsc", KEY);
    files.write("payment.avsc", PAYMENT);
    files.config(bed, &format!(
        "    group: {}\n    source: {{ topics: [{}] }}\n    contract: {{ schema: payment.avsc, key: {{ schema: key.avsc{more} }} }}\n    \
         sink: {{ topic: {}, schema: payment.avsc, auto_register: true }}\n    failure: {{ retry: {{ tiers: [] }} }}\n",
        unique("gate"), unique("payments"), unique("clean")
    ))
}

#[test]
fn keys_are_held_to_their_contract_and_passed_on_byte_for_byte() {
    beds_with(|bed, embedded| {
        let files = Files::new();
        let required = [", required: true", ""];
        for more in required {
            let config = keyed(&files, bed, more);
            let pipeline = &config.pipelines[0];
            let (topic, sink) = (
                pipeline.source_topics[0].clone(),
                pipeline.sink.topic.clone(),
            );
            let value_id = register(bed, &format!("{topic}-value"), json!({"schema": PAYMENT}));
            // The writer's key has a field in another place, and one that the contract lacks.
            let writer = r#"{"type":"record","name":"PaymentKey","namespace":"shop","fields":[
                {"name":"id","type":"int"},{"name":"tenant","type":"string"},{"name":"shard","type":"int"}]}"#;
            let subject = format!("{topic}-key");
            let key_id = register(bed, &subject, json!({"schema": writer}));
            let other_id = register(bed, &unique("other-key"), json!({"schema": "\"string\""}));
            prepare(bed, &config, embedded);

            let good = framed(key_id, &[zigzag(7), text("acme"), zigzag(3)]);
            let cut = framed(key_id, &[zigzag(7), vec![0x10, b'a']]);
            let trailing = [good.clone(), vec![1]].concat();
            let string = framed(other_id, &[text("acme")]);
            let value = |id| payment(value_id, id, "EUR", None);
            let mut tombstone = Write::new(cut.clone(), "");
            tombstone.value = None;
            let mut no_key = Write::new("", value(6));
            no_key.key = None;
            let mut gone = Write::new(good.clone(), "");
            gone.value = None;
            let null_fails = !more.is_empty();
            let cases = [
                (Write::new(good.clone(), value(1)), None),
                (
                    Write::new(cut, value(2)),
                    Some(("malformed_data", "key.tenant")),
                ),
                (
                    Write::new(trailing, value(3)),
                    Some(("malformed_data", "key")),
                ),
                (Write::new("plain", value(4)), Some(("unframed", "key"))),
                (
                    Write::new(string, value(5)),
                    Some(("incompatible_schema", "key")),
                ),
                (tombstone, Some(("malformed_data", "key.tenant"))),
                (gone, None),
                (no_key, null_fails.then_some(("rule_violation", "key"))),
                (
                    Write::new(framed(1_999_999_999, &[]), value(8)),
                    Some(("unknown_schema", "key")),
                ),
            ];
            let writes: Vec<Write> = cases.iter().map(|(write, _)| write.clone()).collect();
            let client = bed.client();
            topics::produce(&client, &topic, &writes);
            let dlq = pipeline.dead_letter_topic(&topic);
            run_until(&config, embedded, || {
                count(&client, &sink) + count(&client, &dlq) == 9
            });

            let dead = topics::consume_all(&client, &dlq);
            let clean = topics::consume_all(&client, &sink);
            let find = |reads: &[Read], write: &Write| {
                let same = |read: &&Read| {
                    let tail = |value: &Option<Vec<u8>>| {
                        value.as_ref().and_then(|v| v.get(5..).map(<[u8]>::to_vec))
                    };
                    read.key == write.key && tail(&read.value) == tail(&write.value)
                };
                reads.iter().find(same).cloned()
            };
            for (write, failing) in &cases {
                let letter = find(&dead, write);
                match failing {
                    None => assert!(
                        find(&clean, write).is_some() && letter.is_none(),
                        "{write:?}"
                    ),
                    Some((reason, path)) => {
                        let letter = letter.unwrap_or_else(|| panic!("{reason}: {dead:?}"));
                        assert_eq!(letter.value, write.value);
                        assert_eq!(
                            letter.header("driftgate.reason"),
                            Some(*reason),
                            "{letter:?}"
                        );
                        assert_eq!(letter.header("driftgate.path"), Some(*path), "{letter:?}");
                    }
                }
            }
        }
    });
}

/// A key's schema that cannot be fetched pauses, as a value's does.
#[test]
fn a_registry_outage_is_no_dead_letter_for_a_key_either() {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let (bootstrap, url) = (broker.bootstrap_servers(), registry.url());
    let bed = Bed::of(Environment::Embedded, bootstrap, url, ());
    let files = Files::new();
    let config = keyed(&files, &bed, "");
    let pipeline = &config.pipelines[0];
    let (topic, sink) = (
        pipeline.source_topics[0].clone(),
        pipeline.sink.topic.clone(),
    );
    let dlq = pipeline.dead_letter_topic(&topic);
    let value_id = register(&bed, &format!("{topic}-value"), json!({"schema": PAYMENT}));
    let key_id = register(&bed, &format!("{topic}-key"), json!({"schema": KEY}));
    prepare(&bed, &config, Some(&broker));
    let client = bed.client();
    let key = framed(key_id, &[text("acme"), zigzag(7)]);
    // The first has no key: once it is through, the value's schema is known, and the key's is not.
    let mut first = Write::new("", payment(value_id, 1, "EUR", None));
    first.key = None;
    topics::produce(&client, &topic, &[first]);
    let state = AtomicU8::new(0);
    run_until(&config, Some(&broker), || {
        match state.load(Relaxed) {
            0 if count(&client, &sink) == 1 => {
                registry.stop();
                let write = Write::new(key.clone(), payment(value_id, 2, "EUR", None));
                topics::produce(&client, &topic, &[write]);
                state.store(1, Relaxed);
            }
            1..=20 => {
                assert_eq!(count(&client, &sink) + count(&client, &dlq), 1);
                state.fetch_add(1, Relaxed);
            }
            21 => {
                registry.restart().expect("the same port");
                state.store(22, Relaxed);
            }
            _ => {}
        }
        count(&client, &sink) == 2
    });
    assert_eq!(count(&client, &dlq), 0);
}

/// A filter before the rules keeps a record away from them.
#[test]
fn steps_before_the_rules_run_before_them() {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let (bootstrap, url) = (broker.bootstrap_servers(), registry.url());
    let bed = Bed::of(Environment::Embedded, bootstrap, url, registry);
    let (topic, sink) = (unique("payments"), unique("clean"));
    let files = Files::new();
    files.write("payment.avsc", PAYMENT);
    files.write(
        "rules.yaml",
        "rules:\n  - { name: id-text, field: id, pattern: \"[0-9]\" }\n  - { name: euro, field: currency, one_of: [EUR] }\n",
    );
    let config = files.config(&bed, &format!(
        "    source: {{ topics: [{topic}] }}\n    contract: {{ schema: payment.avsc, rules: rules.yaml }}\n    transform:\n      \
         - filter: \"currency != 'TEST'\"\n        before: rules\n      - cast: {{ id: string }}\n        before: rules\n      \
         - cast: {{ id: long }}\n    sink: {{ topic: {sink}, schema: payment.avsc, auto_register: true }}\n"
    ));
    prepare(&bed, &config, Some(&broker));
    let id = register(&bed, &format!("{topic}-value"), json!({"schema": PAYMENT}));
    let client = bed.client();
    let writes = [(5, "EUR"), (12, "EUR"), (6, "TEST"), (7, "USD")]
        .map(|(number, currency)| Write::new("k", payment(id, number, currency, None)));
    topics::produce(&client, &topic, &writes);
    let dlq = config.pipelines[0].dead_letter_topic(&topic);
    let group = &config.pipelines[0].group;
    run_until(&config, Some(&broker), || {
        let offsets = topics::committed(&client, group, &topic);
        offsets
            .iter()
            .flatten()
            .map(|(offset, _)| offset)
            .sum::<i64>()
            == 4
    });
    let mut errors: Vec<String> = topics::consume_all(&client, &dlq)
        .iter()
        .map(|letter| {
            letter
                .header("driftgate.error")
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    errors.sort();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("rule euro"), "{errors:?}");
    assert!(
        errors[1].contains("rule id-text: id fails pattern"),
        "{errors:?}"
    );
    let clean = topics::consume_all(&client, &sink);
    assert_eq!(clean.len(), 1);
    assert_eq!(
        clean[0].value.as_ref().map(|v| &v[5..]),
        Some(&payment(id, 5, "EUR", None)[5..])
    );
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/numeric-status")
        .join(file)
}

/// A configuration of the example on this bed, under names that no other test uses.
fn configuration(bed: &Bed, file: &str, [source, group, sink]: [&str; 3]) -> Config {
    let vars = |name: &str| match name {
        "KAFKA_BOOTSTRAP_SERVERS" => Some(bed.bootstrap.clone()),
        "SCHEMA_REGISTRY_URL" => Some(bed.registry_url.clone()),
        _ => None,
    };
    let loaded = config::load(&example(file), &vars);
    let mut config = loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config;
    config.admin.listen = None;
    let pipeline = &mut config.pipelines[0];
    pipeline.source_topics = vec![source.to_owned()];
    pipeline.group = group.to_owned();
    pipeline.sink.topic = sink.to_owned();
    pipeline.sink.subject = format!("{sink}-value");
    config
}

struct Silent;

impl Watch for Silent {
    fn bad(&mut self, row: &BadRow) {
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

fn publish(config: &Config, schema: &str, subject: &str, rows: &str) {
    let topic = config.pipelines[0].source_topics[0].clone();
    let job = Job {
        schema: Source::File {
            path: example(schema),
            subject: subject.to_owned(),
        },
        register: true,
        topic,
        create_topic: None,
        largest: Some(1_000_000),
        kafka: config.kafka.clone(),
        registry: config.registry.clone(),
        format: Format::JsonLines,
        key: Some("order_id".to_owned()),
        timestamp: None,
        rate: None,
        limit: None,
        rejects: None,
        dry_run: false,
    };
    let input = Input::open(&example(rows)).expect("the rows");
    let runtime = Runtime::new().expect("a runtime");
    let report = run(&job, input, runtime.handle(), &mut Silent).expect("a run");
    assert_eq!(report.stopped, None);
}

/// Key and status of the clean orders.
fn orders(reads: &[Read]) -> Vec<(String, String)> {
    let mut orders: Vec<_> = reads
        .iter()
        .map(|read| {
            let key = String::from_utf8(read.key.clone().expect("a key")).expect("text");
            let value = read.value.as_ref().expect("a value");
            // The order's number comes first, then the status, each behind its length.
            let after = 5 + 1 + usize::from(value[5] / 2);
            let status = &value[after + 1..][..usize::from(value[after] / 2)];
            (key, String::from_utf8(status.to_vec()).expect("text"))
        })
        .collect();
    orders.sort();
    orders
}

/// The example: the number is stopped, the contract takes both, a table puts it right before the rules, and the dead
/// letters go through again.
#[test]
fn a_numeric_status_is_stopped_put_right_and_sent_through_again() {
    beds_with(|bed, embedded| {
        let (source, group, sink) = (
            unique("orders"),
            unique("orders-gate"),
            unique("orders.clean"),
        );
        let names = [source.as_str(), group.as_str(), sink.as_str()];
        let before = configuration(bed, "driftgate.yaml", names);
        let client = bed.client();
        prepare(bed, &before, embedded);
        publish(
            &before,
            "schemas/orders-value.avsc",
            &format!("{source}-value"),
            "orders.jsonl",
        );
        publish(
            &before,
            "shipping/orders.avsc",
            &unique("shipping-orders"),
            "orders-from-shipping.jsonl",
        );
        let dlq = before.pipelines[0].dead_letter_topic(&source);
        run_until(&before, embedded, || {
            count(&client, &sink) == 2 && count(&client, &dlq) == 3
        });
        for letter in topics::consume_all(&client, &dlq) {
            assert_eq!(
                letter.header("driftgate.reason"),
                Some("incompatible_schema")
            );
            assert!(
                letter
                    .header("driftgate.error")
                    .is_some_and(|error| error.contains("status"))
            );
        }

        // Sent back to the retry topic, where the instance that is put right finds them.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("driftgate.yaml");
        let text = std::fs::read_to_string(example("driftgate-put-right.yaml")).expect("the file");
        let text = text
            .replace("topics: [orders]", &format!("topics: [{source}]"))
            .replace("group: orders-gate", &format!("group: {group}"))
            .replace("topic: orders.clean", &format!("topic: {sink}"))
            .replace(
                "put-right/",
                &format!("{}/", example("put-right").display()),
            )
            .replace(" schemas/", &format!(" {}/", example("schemas").display()));
        std::fs::write(&file, text).expect("a file");
        let output = Command::new(env!("CARGO_BIN_EXE_driftgate"))
            .env("KAFKA_BOOTSTRAP_SERVERS", &bed.bootstrap)
            .env("SCHEMA_REGISTRY_URL", &bed.registry_url)
            .args(["--log-level", "error", "dlq", "redrive", "-c"])
            .arg(&file)
            .output()
            .expect("the program runs");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(
            told.starts_with("read                    3\nsent back               3\n"),
            "{told}"
        );

        // And what comes from shipping now takes no detour.
        let after = configuration(bed, "driftgate-put-right.yaml", names);
        publish(
            &after,
            "shipping/orders.avsc",
            &unique("shipping-orders"),
            "orders-from-shipping.jsonl",
        );
        run_until(&after, embedded, || {
            count(&client, &sink) == 6 && count(&client, &dlq) == 5
        });

        let clean = orders(&topics::consume_all(&client, &sink));
        let expected = [
            ("A-1", "Placed"),
            ("A-2", "Paid"),
            ("B-1", "Shipped"),
            ("B-1", "Shipped"),
            ("B-2", "Paid"),
            ("B-2", "Paid"),
        ];
        assert_eq!(
            clean,
            expected.map(|(key, status)| (key.to_owned(), status.to_owned()))
        );
        // The status that is in no table has failed again, and once more among the new ones.
        let letters = topics::consume_all(&client, &dlq);
        let rule = |read: &&Read| read.header("driftgate.reason") == Some("rule_violation");
        let left: Vec<&Read> = letters.iter().filter(rule).collect();
        let mut redriven: Vec<_> = left
            .iter()
            .map(|read| read.header("driftgate.redriven"))
            .collect();
        redriven.sort();
        assert_eq!(redriven, [None, Some("1")]);
        for letter in left {
            assert_eq!(letter.key.as_deref(), Some(&b"B-3"[..]));
            let error = letter.header("driftgate.error");
            assert!(error.is_some_and(|error| error.contains("known-status")));
        }
    });
}
