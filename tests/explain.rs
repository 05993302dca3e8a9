//! `driftgate explain`, as a command, on the embedded broker and registry and on the real ones.

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::embedded::registry::EmbeddedRegistry;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use serde_json::{Value, json};
use support::topics::{self, Write};
use support::{Bed, Environment, http, ports, unique};

const WRITER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"string"},{"name":"total","type":"int"},{"name":"currency","type":"string"},
    {"name":"email","type":["null","string"]},{"name":"extra","type":"string"}]}"#;
const CONTRACT: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"string"},{"name":"total","type":"long"},{"name":"currency","type":"string"},
    {"name":"email","type":["null","string"]},{"name":"source","type":"string","default":"web"}]}"#;
const SINK: &str = r#"{"type":"record","name":"Clean","fields":[
    {"name":"id","type":"string"},{"name":"total","type":"long"},{"name":"contact","type":["null","string"]},
    {"name":"source","type":"string"}]}"#;
const RULES: &str = "rules:\n  - { name: positive-total, field: total, range: { min: 0 } }\n\
    fields:\n  email: { tags: [PII] }\n";
const EMAIL: &str = "ann@example.org";

struct Job {
    folder: tempfile::TempDir,
    source: String,
    group: String,
}

impl Job {
    fn new(bootstrap: &str, registry: &str, steps: &str) -> Job {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, group) = (unique("orders"), unique("gate"));
        let text = format!(
            r##"
kafka: {{ bootstrap_servers: "{bootstrap}" }}
registry: {{ url: "{registry}", timeout: 2s }}
pipelines:
  clean-orders:
    owner: {{ team: shop, contact: "#shop" }}
    group: {group}
    source: {{ topics: [{source}] }}
    contract: {{ schema: order.avsc, rules: order.rules.yaml, drift: {{ unknown_subject: allow }} }}
    transform:
      - filter: "currency != 'TEST'"
{steps}
      - rename: {{ email: contact }}
      - drop: [currency]
    sink: {{ topic: "{source}.clean", schema: clean.avsc }}
    failure: {{ retry: {{ tiers: [5s, 1m] }} }}
"##
        );
        let job = Job {
            folder,
            source,
            group,
        };
        job.write("driftgate.yaml", &text);
        job.write("order.avsc", CONTRACT);
        job.write("order.rules.yaml", RULES);
        job.write("clean.avsc", SINK);
        job
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn explain(&self, arguments: &[&str]) -> Told {
        explain(&self.path("driftgate.yaml"), arguments, None)
    }

    fn at(&self, topic: &str, offset: usize, more: &[&str]) -> Told {
        let offset = offset.to_string();
        let place = ["--topic", topic, "--partition", "0", "--offset", &offset];
        self.explain(&[&place, more].concat())
    }

    fn json(&self, topic: &str, offset: usize, more: &[&str]) -> Value {
        let told = self.at(topic, offset, &[&["--output", "json"], more].concat());
        assert_eq!(told.code, 0, "{}", told.log);
        serde_json::from_str(&told.out).expect("JSON")
    }
}

struct Told {
    code: i32,
    out: String,
    log: String,
}

fn explain(config: &Path, arguments: &[&str], stdin: Option<&[u8]>) -> Told {
    let mut child = Command::new(env!("CARGO_BIN_EXE_driftgate"))
        .args(["--log-level", "error", "explain", "-c"])
        .arg(config)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("piped");
    // A command that refuses its arguments does not read it.
    input.write_all(stdin.unwrap_or_default()).ok();
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Told {
        code: output.status.code().expect("no signal"),
        out: text(output.stdout),
        log: text(output.stderr),
    }
}

fn order(schema: u32, id: &str, total: i64, currency: &str, email: &str) -> Vec<u8> {
    let mut value = vec![0];
    value.extend(schema.to_be_bytes());
    let text = |value: &mut Vec<u8>, text: &str| {
        value.push(u8::try_from(text.len() * 2).expect("short"));
        value.extend(text.as_bytes());
    };
    text(&mut value, id);
    value.push(u8::try_from((total << 1) ^ (total >> 63)).expect("small"));
    text(&mut value, currency);
    value.push(2);
    text(&mut value, email);
    text(&mut value, "hidden too");
    value
}

fn register(bed: &Bed, subject: &str) -> u32 {
    let url = format!("{}/subjects/{subject}/versions", bed.registry_url);
    let (status, body) = http::post(url, json!({ "schema": WRITER }))
        .send()
        .expect("the registry answers");
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id")
}

fn beds_with(body: impl Fn(&Bed, Option<&EmbeddedBroker>)) {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let (bootstrap, url) = (broker.bootstrap_servers(), registry.url());
    let bed = Bed::of(Environment::Embedded, bootstrap, url, registry);
    body(&bed, Some(&broker));
    support::bed::each(Bed::real(), |bed| body(bed, None));
}

fn create(bed: &Bed, embedded: Option<&EmbeddedBroker>, topic: &str) {
    match embedded {
        Some(broker) => broker.create_topic(topic, 1).expect("a topic"),
        None => topics::create(&bed.client(), topic, 1, &[]),
    }
}

#[test]
fn each_outcome_is_explained_and_what_is_tagged_is_masked() {
    beds_with(|bed, embedded| {
        let job = Job::new(&bed.bootstrap, &bed.registry_url, "");
        let (source, client) = (job.source.as_str(), bed.client());
        create(bed, embedded, source);
        let id = register(bed, &format!("{source}-value"));
        let good = order(id, "o-1", 7, "EUR", EMAIL);
        let mut tombstone = Write::new("gone", "");
        tombstone.value = None;
        let headed = [vec![0], id.to_be_bytes().to_vec()].concat();
        let writes = [
            Write::new(format!("user {EMAIL}"), good.clone()).header("traceparent", "00-1-2-01"),
            Write::new("k", order(id, "o-2", 7, "TEST", EMAIL)),
            Write::new("k", order(id, "o-3", -1, "EUR", EMAIL)),
            Write::new("k", good[..good.len() - 20].to_vec()),
            Write::new("k", [good.clone(), vec![9, 9]].concat()),
            Write::new("k", r#"{"email":"ann@example.org"}"#),
            Write::new("k", order(1_999_999_999, "o-6", 7, "EUR", EMAIL)),
            tombstone,
            Write::new("k", good[5..].to_vec()).header("__value_schema_id", headed),
        ];
        topics::produce(&client, source, &writes);
        let dead_letters = format!("{source}.{}.dlq", job.group);
        let expected = [
            ("emitted", None),
            ("filtered", None),
            ("dead_lettered", Some("rule_violation")),
            ("dead_lettered", Some("malformed_data")),
            ("dead_lettered", Some("malformed_data")),
            ("dead_lettered", Some("unframed_json")),
            ("retried", Some("unknown_schema")),
            ("emitted", None),
            ("emitted", None),
        ];
        let hex: Vec<String> = EMAIL.bytes().map(|byte| format!("{byte:02x}")).collect();
        for (offset, (outcome, reason)) in expected.into_iter().enumerate() {
            let report = job.json(source, offset, &[]);
            let found = &report["outcome"];
            assert_eq!(found["outcome"], outcome, "{offset}: {report:#}");
            assert_eq!(found["reason"].as_str(), reason, "{offset}: {report:#}");
            if outcome == "dead_lettered" {
                assert_eq!(found["topic"], dead_letters.as_str(), "{offset}");
            }
            for told in [report.to_string(), job.at(source, offset, &[]).out] {
                assert!(!told.contains(EMAIL), "{offset}: {told}");
                assert!(!told.contains(&hex[..4].join(" ")), "{offset}: {told}");
            }
        }

        let report = job.json(source, 0, &[]);
        assert_eq!(report["key"], "***", "the key repeats what is tagged");
        assert_eq!(report["headers"][0], json!(["traceparent", "00-1-2-01"]));
        assert_eq!(report["writer"]["schema_id"], id);
        // Real registries are shared, and the schema may stand under another test's subject too.
        let subjects = report["writer"]["subjects"].as_array().expect("subjects");
        assert!(
            subjects.contains(&json!(format!("{source}-value"))),
            "{subjects:?}"
        );
        let line = |path: &str| {
            let lines = report["lines"].as_array().expect("lines");
            let found = lines.iter().find(|line| line["path"] == path);
            found
                .unwrap_or_else(|| panic!("no {path}: {report:#}"))
                .clone()
        };
        assert_eq!(
            line("total"),
            json!({"offset": 9, "length": 1, "bytes": "0e", "path": "total", "type": "int", "value": 7,
                "taken": "promoted", "note": "read as long", "touched_by": ["rule positive-total"]})
        );
        assert_eq!(line("extra")["taken"], "unknown");
        assert_eq!(line("source")["taken"], "default");
        assert_eq!(
            (&line("email")["value"], &line("email")["bytes"]),
            (&json!("***"), &Value::Null)
        );
        assert_eq!(
            line("currency")["touched_by"],
            json!(["step 1 (filter)", "step 3 (drop)"])
        );
        let emitted = json!({"id": "o-1", "total": 7, "contact": "***", "source": "web"});
        assert_eq!(report["outcome"]["value"], emitted);
        let lines = report["lines"].as_array().expect("lines");
        let mut next = 0;
        for line in lines.iter().filter(|line| line["offset"].is_u64()) {
            assert_eq!(line["offset"], next, "every byte once");
            next += line["length"].as_u64().expect("a length");
        }
        assert_eq!(next, report["value_bytes"].as_u64().expect("a size"));

        let open = job.json(source, 0, &["--unmask"]);
        assert_eq!(open["outcome"]["value"]["contact"], EMAIL);
        assert_eq!(open["key"], format!("user {EMAIL}"));
        let cut = job.json(source, 3, &["--unmask"]);
        assert_eq!(cut["stop"]["path"], "email", "{cut:#}");
        assert_eq!(cut["stop"]["offset"], cut["outcome"]["offset"]);
        let trailing = job.json(source, 4, &[]);
        assert_eq!(trailing["stop"]["offset"], good.len(), "{trailing:#}");
        assert_eq!(
            job.json(source, 8, &[])["lines"][0]["path"],
            "id",
            "no frame"
        );
        let text = job.at(source, 3, &[]).out;
        assert!(
            text.contains(">>> stops at byte") && text.contains("email"),
            "{text}"
        );
        let few = job.json(source, 0, &["--lines", "2"]);
        assert_eq!(
            (
                &few["lines_left_out"],
                few["lines"].as_array().map(Vec::len)
            ),
            (&json!(6), Some(2))
        );
    });
}

#[test]
fn a_dead_letter_shows_its_origin_and_what_would_become_of_it_now() {
    beds_with(|bed, embedded| {
        let job = Job::new(&bed.bootstrap, &bed.registry_url, "");
        let (dlq, retry) = (
            format!("{}.{}.dlq", job.source, job.group),
            format!("{}.{}.retry.1", job.source, job.group),
        );
        create(bed, embedded, &dlq);
        create(bed, embedded, &retry);
        let id = register(bed, &format!("{}-value", job.source));
        let failed = |value: Vec<u8>, attempt: &str| {
            Write::new("k", value)
                .header("driftgate.source.topic", job.source.as_str())
                .header("driftgate.source.partition", "3")
                .header("driftgate.source.offset", "99")
                .header("driftgate.reason", "rule_violation")
                .header(
                    "driftgate.error",
                    "rule positive-total: total fails range at least 0",
                )
                .header("driftgate.pipeline", "clean-orders")
                .header("driftgate.attempt", attempt)
                .header("driftgate.prior.driftgate.x", "kept")
        };
        let good = order(id, "o-1", 7, "EUR", EMAIL);
        topics::produce(&bed.client(), &dlq, &[failed(good, "1")]);
        let unknown = order(1_999_999_999, "o-2", 7, "EUR", EMAIL);
        topics::produce(&bed.client(), &retry, &[failed(unknown, "1")]);
        let report = job.json(&dlq, 0, &[]);
        let origin = &report["origin"];
        assert_eq!(origin["position"], format!("{}-3@99", job.source));
        assert_eq!(
            (&origin["reason"], &origin["attempt"]),
            (&json!("rule_violation"), &json!(1))
        );
        assert_eq!(report["outcome"]["outcome"], "emitted", "{report:#}");
        let text = report["outcome"]["text"].as_str().expect("a text");
        assert!(text.starts_with("if it were sent back now: "), "{text}");
        let report = job.json(&retry, 0, &[]);
        assert_eq!(
            report["record"]["role"],
            format!("retry tier 1 of {}", job.source)
        );
        // It has failed once, so it goes to the next tier.
        let next = format!("{}.{}.retry.2", job.source, job.group);
        assert_eq!(report["outcome"]["topic"], next, "{report:#}");
    });
}

#[test]
fn without_a_pipeline_nothing_is_shown_that_may_be_tagged() {
    beds_with(|bed, embedded| {
        let job = Job::new(&bed.bootstrap, &bed.registry_url, "");
        let other = unique("other");
        create(bed, embedded, &other);
        let id = register(bed, &format!("{other}-value"));
        let value = order(id, "o-1", 7, "EUR", EMAIL);
        let write = Write::new(format!("user {EMAIL}"), value);
        topics::produce(&bed.client(), &other, &[write]);
        let report = job.json(&other, 0, &[]);
        assert_eq!(report["outcome"]["outcome"], "not_read");
        assert!(!report.to_string().contains(EMAIL), "{report:#}");
        let open = job.json(&other, 0, &["--unmask"]);
        assert!(open.to_string().contains(EMAIL), "{open:#}");
        let named = job.json(&other, 0, &["--pipeline", "clean-orders"]);
        assert_eq!(named["outcome"]["outcome"], "emitted", "{named:#}");
    });
}

#[test]
fn an_offset_without_a_record_says_why() {
    beds_with(|bed, embedded| {
        let job = Job::new(&bed.bootstrap, &bed.registry_url, "");
        let source = job.source.as_str();
        create(bed, embedded, source);
        let id = register(bed, &format!("{source}-value"));
        let good = order(id, "o-1", 7, "EUR", EMAIL);
        topics::produce(&bed.client(), source, &[Write::new("k", good.clone())]);
        let told = job.at(source, 1, &[]);
        assert_eq!(told.code, 1);
        assert!(told.log.contains("is not written yet"), "{}", told.log);
        let told = job.at("no-such-topic", 0, &[]);
        assert_eq!(told.code, 2);
        assert!(told.log.contains("there is no topic"), "{}", told.log);
        let told = job.explain(&["--topic", source, "--partition", "5", "--offset", "0"]);
        assert_eq!(told.code, 2);
        assert!(told.log.contains("has 1 partition,"), "{}", told.log);
        if embedded.is_some() {
            return;
        }
        // Offset 1 is an aborted record, 2 the marker, 3 a record; then the first one is deleted.
        let mut client = bed.client();
        client.set("transactional.id", unique("writer"));
        let producer: ThreadedProducer<DefaultProducerContext> =
            client.create().expect("a producer");
        let wait = Duration::from_secs(20);
        producer.init_transactions(wait).expect("a transaction");
        producer.begin_transaction().expect("begins");
        let record = BaseRecord::to(source).partition(0).key("k").payload(&good);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("sends");
        producer.flush(wait).expect("flushes");
        producer.abort_transaction(wait).expect("aborts");
        topics::produce(&bed.client(), source, &[Write::new("k", good.clone())]);
        let aborted = job.json(source, 1, &[]);
        let remark = aborted["remarks"][0].as_str().expect("a remark");
        assert!(remark.contains("aborted"), "{remark}");
        let told = job.at(source, 2, &[]);
        assert_eq!(told.code, 1);
        assert!(
            told.log.contains("the next record is at offset 3"),
            "{}",
            told.log
        );
        topics::delete_before(&bed.client(), source, &[3]);
        let told = job.at(source, 0, &[]);
        assert_eq!(told.code, 1);
        assert!(told.log.contains("begins at offset 3"), "{}", told.log);
        assert_eq!(job.json(source, 3, &[])["outcome"]["outcome"], "emitted");
    });
}

#[test]
fn files_and_stdin_are_records_too_and_lookups_wait() {
    let registry = EmbeddedRegistry::start().expect("starts");
    let nobody = format!("http://127.0.0.1:{}", ports::free());
    let lookup = format!(
        "      - lookup: {{ into: crm, url: \"{nobody}/c/{{id}}\", type: crm.avsc, timeout: 1s }}\n      - drop: [crm]"
    );
    let job = Job::new("127.0.0.1:1", &registry.url(), &lookup);
    let crm = r#"{"type":"record","name":"Crm","fields":[{"name":"name","type":"string"}]}"#;
    job.write("crm.avsc", crm);
    let bed = Bed::of(Environment::Embedded, String::new(), registry.url(), ());
    let id = register(&bed, "orders-value");
    let good = order(id, "o-1", 7, "EUR", EMAIL);
    std::fs::write(job.path("value.bin"), &good).expect("a file");
    let file = job.path("value.bin").display().to_string();
    let parse = |told: Told| -> Value {
        assert_eq!(told.code, 0, "{}", told.log);
        serde_json::from_str(&told.out).expect("JSON")
    };
    let report = parse(job.explain(&["--file", &file, "--output", "json"]));
    assert_eq!(
        report["outcome"]["outcome"], "waits_for_lookup",
        "{report:#}"
    );
    let text = report["outcome"]["text"].as_str().expect("a text");
    assert!(
        text.contains("step 2 (lookup)") && !text.contains("o-1"),
        "{text}"
    );
    let asked = parse(job.explain(&["--file", &file, "--with-lookups", "--output", "json"]));
    assert_eq!(
        asked["outcome"]["reason"], "lookup_unavailable",
        "{asked:#}"
    );
    let config = job.path("driftgate.yaml");
    let bare = [
        "--file",
        "-",
        "--schema-id",
        &id.to_string(),
        "--output",
        "json",
    ];
    let report = parse(explain(&config, &bare, Some(&good[5..])));
    assert_eq!(report["lines"][0]["path"], "id", "{report:#}");

    // The registry is away: what can be said is said, and the exit code tells.
    registry.stop();
    let told = job.explain(&["--file", &file, "--output", "json"]);
    assert_eq!(told.code, 3, "{}", told.log);
    let report: Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!(report["outcome"]["outcome"], "paused");
    assert_eq!(report["outcome"]["reason"], "registry_unavailable");
    assert!(!told.out.contains(EMAIL));
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let job = Job::new("127.0.0.1:1", "http://127.0.0.1:1", "");
    for (arguments, code, text) in [
        (vec!["--topic", "t"], 2, "--partition"),
        (
            vec!["--topic", "t", "--partition", "0", "--offset", "-1"],
            2,
            "offset",
        ),
        (vec![], 2, "--topic"),
        (
            vec![
                "--file",
                "-",
                "--topic",
                "t",
                "--partition",
                "0",
                "--offset",
                "1",
            ],
            2,
            "cannot be used with",
        ),
        (
            vec!["--file", "-", "--pipeline", "none"],
            2,
            "there is no pipeline none",
        ),
        (vec!["--file", "/nowhere/at-all"], 3, "/nowhere/at-all"),
        (
            vec!["--topic", "t", "--partition", "0", "--offset", "1"],
            3,
            "broker",
        ),
    ] {
        let told = job.explain(&arguments);
        assert_eq!(told.code, code, "{arguments:?}: {}", told.log);
        assert!(told.log.contains(text), "{arguments:?}: {}", told.log);
    }
}

#[test]
fn help() {
    let told = explain(Path::new("x"), &["--help"], None);
    assert_eq!(told.code, 0);
    insta::assert_snapshot!("help", told.out);
}
