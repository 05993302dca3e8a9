//! The gate on a running instance: each writer schema is judged on its first record, told once to log, metrics and
//! webhook, and its records meet the policy.

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Json as Body;
use axum::routing::post;
use serde_json::{Value as Json, json};
use support::job::{Job, LIMIT, beds_with, count, job, prepare};
use support::topics::{self, Write};
use support::{Bed, http, unique, wait};
use tokio::runtime::Runtime;

const NOTE: &str = r#",{"name":"note","type":"string","default":""}"#;
const EXTRA: &str = r#",{"name":"extra","type":"string","default":""}"#;

fn schema(unit: &str, more: &str) -> String {
    format!(
        r#"{{"type":"record","name":"Payment","fields":[{{"name":"id","type":"long"}},
            {{"name":"currency","type":"string"}},
            {{"name":"at","type":{{"type":"long","logicalType":"timestamp-{unit}"}}}}{more}]}}"#
    )
}

/// A webhook that keeps what it is told.
struct Hook {
    told: Arc<Mutex<Vec<Json>>>,
    url: String,
    _runtime: Runtime,
}

impl Hook {
    fn start() -> Hook {
        let told: Arc<Mutex<Vec<Json>>> = Arc::default();
        let runtime = Runtime::new().expect("a runtime");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(listener).expect("a free port");
        let url = format!(
            "http://{}/hook?token=s3cret",
            listener.local_addr().expect("it")
        );
        let keep = Arc::clone(&told);
        let route = post(move |Body(alert): Body<Json>| async move {
            keep.lock().expect("no panic").push(alert);
        });
        let routes = Router::new().route("/hook", route);
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Hook {
            told,
            url,
            _runtime: runtime,
        }
    }

    /// Class and action of every finding that it was told of.
    fn findings(&self) -> Vec<(u64, String, String)> {
        let told = self.told.lock().expect("no panic");
        let mut found: Vec<_> = told
            .iter()
            .flat_map(|alert| {
                let id = alert["schema_id"].as_u64().expect("an id");
                let text = |json: &Json| json.as_str().expect("text").to_owned();
                let findings = alert["findings"].as_array().expect("a list").iter();
                findings.map(move |one| (id, text(&one["class"]), text(&one["action"])))
            })
            .collect();
        found.sort();
        found
    }
}

/// The pipeline of the other tests, with a contract that has more to drift from.
fn drifting(bed: &Bed, workers: usize, hook: &Hook) -> Job {
    let job = job(bed);
    let file = job.folder.path().join("driftgate.yaml");
    let text = std::fs::read_to_string(&file).expect("the file");
    let text = text.replace(
        "rules: payment.rules.yaml }",
        "rules: payment.rules.yaml, drift: { added_optional: warn, removed: quarantine, \
         type_changed: quarantine, unit_changed: halt, unknown_subject: warn } }",
    );
    let text = text.replace("workers: 2", &format!("workers: {workers}"));
    let text = format!("{text}    alerts: [ {{ webhook: \"{}\" }} ]\n", hook.url);
    std::fs::write(&file, text).expect("written");
    let contract = schema("millis", NOTE);
    std::fs::write(job.folder.path().join("payment.avsc"), contract).expect("written");
    job
}

fn register(bed: &Bed, subject: &str, schema: &str) -> u32 {
    let url = format!("{}/subjects/{subject}/versions", bed.registry_url);
    let answer = http::post(url, json!({ "schema": schema })).send();
    let (status, body) = answer.expect("the registry answers");
    assert_eq!(status, 200, "{body}");
    let answer: Json = serde_json::from_str(&body).expect("JSON");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id")
}

/// A payment of 0, with `texts` empty texts behind it.
fn value(schema: u32, id: u8, texts: usize) -> Vec<u8> {
    let payment = [vec![id * 2, 6], b"EUR".to_vec(), vec![0], vec![0; texts]].concat();
    [vec![0], schema.to_be_bytes().to_vec(), payment].concat()
}

/// The same with its first two fields swapped.
fn swapped(schema: u32, id: u8) -> Vec<u8> {
    let payment = [vec![6], b"EUR".to_vec(), vec![id * 2, 0, 0]].concat();
    [vec![0], schema.to_be_bytes().to_vec(), payment].concat()
}

#[test]
fn a_schema_that_drifts_is_told_once_and_meets_the_policy() {
    beds_with(|bed, embedded| {
        let hook = Hook::start();
        // The embedded broker takes most of a minute to share partitions out among two.
        let workers = if embedded.is_some() { 1 } else { 2 };
        let (job, client) = (drifting(bed, workers, &hook), bed.client());
        prepare(bed, &job, embedded);
        let subject = format!("{}-value", job.source);
        let reviewed = register(bed, &subject, &schema("millis", NOTE));
        let more = register(bed, &subject, &schema("millis", &format!("{NOTE}{EXTRA}")));
        let less = register(bed, &subject, &schema("millis", ""));
        // Another order of fields is no drift, but another schema; a doc alone is not, to some registries.
        let (id, currency) = (
            r#"{"name":"id","type":"long"}"#,
            r#"{"name":"currency","type":"string"}"#,
        );
        let elsewhere = schema("millis", NOTE)
            .replace(id, "FIRST")
            .replace(currency, id)
            .replace("FIRST", currency);
        let elsewhere = register(bed, &format!("{}-value", unique("refunds")), &elsewhere);
        let mut writes: Vec<Write> = (0..3)
            .flat_map(|partition| {
                [
                    value(reviewed, 1, 1),
                    value(more, 2, 2),
                    value(less, 3, 0),
                    swapped(elsewhere, 4),
                ]
                .map(|value| Write::new("k", value).to(partition))
            })
            .collect();
        let unit = register(
            bed,
            &format!("{}-micros", job.source),
            &schema("micros", NOTE),
        );
        writes.push(Write::new("k", value(reviewed, 5, 1)).to(3));
        writes.push(Write::new("k", value(unit, 6, 1)).to(3));
        writes.push(Write::new("k", value(reviewed, 7, 1)).to(3));
        topics::produce(&client, &job.source, &writes);

        let mut runner = job.start("drift");
        let reason = runner.wait_ready(503, &["drift", &job.source]);
        assert!(reason.contains("unit_changed"), "{reason}");
        // 3 partitions with 3 that pass and one in quarantine; of the halted partition only what was before.
        let done = || {
            let existing = topics::partitions(&client, &job.dlq()) > 0
                && topics::partitions(&client, &job.sink) > 0;
            (existing && count(&client, &job.sink) >= 10 && count(&client, &job.dlq()) >= 3)
                .then_some(())
        };
        wait::within(LIMIT, done).unwrap_or_else(|| panic!("not done:\n{}", runner.log()));
        let told = wait::within(LIMIT, || {
            let classes: BTreeSet<_> = hook
                .findings()
                .into_iter()
                .map(|(_, class, _)| class)
                .collect();
            (classes.len() >= 4).then_some(())
        });
        assert!(told.is_some(), "{:?}\n{}", hook.findings(), runner.log());

        for letter in topics::consume_all(&client, &job.dlq()) {
            assert_eq!(letter.header("driftgate.reason"), Some("drift"));
            assert_eq!(letter.header("driftgate.path"), Some("note"));
            assert_eq!(letter.value, Some(value(less, 3, 0)), "byte for byte");
        }
        let passed = topics::consume_all(&client, &job.sink);
        let id = |read: &topics::Read| read.value.as_ref().expect("a value")[5] / 2;
        let mut ids: Vec<_> = passed.iter().map(id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 1, 1, 2, 2, 2, 4, 4, 4, 5]);

        let text = |word: &str| word.to_owned();
        let mut expected = vec![
            (u64::from(more), text("added_optional"), text("warn")),
            (u64::from(less), text("removed"), text("quarantine")),
            (u64::from(elsewhere), text("unknown_subject"), text("warn")),
            (u64::from(unit), text("unit_changed"), text("halt")),
            (u64::from(unit), text("unknown_subject"), text("warn")),
        ];
        expected.sort();
        assert_eq!(
            hook.findings(),
            expected,
            "each once, though two workers met them"
        );
        let counted: Vec<_> = runner
            .metrics()
            .into_iter()
            .filter(|sample| sample.name == "driftgate_drift_total")
            .map(|sample| (sample.labels["class"].clone(), sample.value))
            .collect();
        let total: f64 = counted.iter().map(|(_, value)| value).sum();
        assert!(total > 4.9 && total < 5.1, "{counted:?}");
        let log = runner.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("drift: writer schema"))
            .count();
        assert!((4..=5).contains(&lines), "{lines} lines:\n{log}");
        assert!(!log.contains("s3cret"), "the webhook's query is a secret");
        runner.stop();
    });
}
