//! `driftgate bench` and its parts as a program, with few records on the real Kafka: it verifies, its JSON has what is promised, and a
//! wrong output fails it. What it measures is not looked at.

mod support;

use std::process::Command;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::Value;
use std::time::Duration;

fn bench(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_driftgate"))
        .arg("bench")
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("an exit code");
    (code, text(output.stdout), text(output.stderr))
}

fn small(kafka: &str, more: &[&str]) -> (i32, Value, String) {
    let usual = [
        "--bootstrap-servers",
        kafka,
        "--records",
        "2000",
        "--rounds",
        "1",
        "--output",
        "json",
    ];
    let (code, out, said) = bench(&[&usual, more].concat());
    let last = out.lines().last().unwrap_or_default();
    let json = serde_json::from_str(last);
    (
        code,
        json.unwrap_or_else(|error| panic!("{error}: {out}{said}")),
        said,
    )
}

#[test]
fn a_small_run_verifies_has_every_key_and_leaves_nothing() {
    let Some(kafka) = support::kafka() else {
        return;
    };
    let page = tempfile::NamedTempFile::new().expect("a file");
    let path = page.path().to_str().expect("a path");
    let rate = [
        "--latency-rate",
        "200",
        "--latency-for",
        "1s",
        "--page",
        path,
    ];
    let (code, json, said) = small(&kafka, &rate);
    assert_eq!(
        (code, &json["verified"]),
        (0, &Value::Bool(true)),
        "{json:#}{said}"
    );
    for key in [
        "job_cpu_vs_naive",
        "job_cpu_vs_best",
        "exactly_once_cpu",
        "provenance_header_cpu",
        "throughput_vs_naive",
        "throughput_vs_best",
        "best_cpu_vs_naive",
    ] {
        assert!(
            json["ratios"][key]
                .as_f64()
                .is_some_and(|ratio| ratio > 0.0),
            "{key}: {json:#}"
        );
    }
    assert!(
        json["peak_memory_mb"]
            .as_f64()
            .is_some_and(|size| size > 1.0)
    );
    assert!(json["valid"].is_boolean());
    for contestant in ["naive", "best", "job", "exactly_once", "header"] {
        let figures = &json["contestants"][contestant];
        for key in [
            "/cpu_seconds_per_million/median",
            "/cpu_seconds_per_million/minimum",
            "/records_per_second/median",
            "/peak_memory_mb",
            "/latency_ms/p50",
            "/latency_ms/p99",
            "/latency_ms/p99_9",
            "/rounds/0/seconds",
            "/rounds/0/cpu_seconds",
        ] {
            let figure = figures.pointer(key).and_then(Value::as_f64);
            assert!(
                figure.is_some_and(|figure| figure > 0.0),
                "{contestant}{key}: {figures:#}"
            );
        }
        let outputs = &figures["rounds"][0]["outputs"];
        assert_eq!(
            outputs["checksum"], outputs["expected_checksum"],
            "{contestant}"
        );
        let dead = outputs["dead_lettered"].as_object().expect("an object");
        let dead: u64 = dead.values().filter_map(Value::as_u64).sum();
        let all = outputs["emitted"].as_u64().unwrap_or(0)
            + outputs["filtered"].as_u64().unwrap_or(0)
            + dead;
        assert_eq!(all, 2000, "{contestant}: {outputs:#}");
    }
    let written = std::fs::read_to_string(page.path()).expect("the page");
    assert!(
        written.contains("| CPU per record, the job / naive passthrough |"),
        "{written}"
    );
    let topics = topics(&kafka);
    let left = topics
        .iter()
        .filter(|topic| topic.starts_with("driftgate-bench-"));
    // Another test of this file may be running.
    assert!(
        left.clone().all(|topic| !topic.contains("rate.")),
        "{topics:?}"
    );
}

#[test]
fn a_wrong_output_is_named_and_fails_the_run() {
    let Some(kafka) = support::kafka() else {
        return;
    };
    let only = ["--contestants", "job", "--latency-for", "0s", "--plant"];
    let (code, json, said) = small(&kafka, &only);
    assert_eq!(
        (code, &json["verified"]),
        (1, &Value::Bool(false)),
        "{json:#}"
    );
    assert!(
        said.contains("the outputs are not what they must be"),
        "{said}"
    );
    let findings = &json["contestants"]["job"]["rounds"][0]["outputs"]["findings"];
    let first = findings[0].as_str().expect("a finding");
    assert!(
        first.contains(".round-1.job.out-") && first.contains('@'),
        "{findings:#}"
    );
}

#[test]
fn a_broker_that_is_away_is_told() {
    let (code, out, said) = bench(&["--bootstrap-servers", "127.0.0.1:1", "--records", "10"]);
    assert_eq!((code, out.as_str()), (3, ""), "{said}");
    assert!(said.contains("no broker answers at 127.0.0.1:1"), "{said}");
}

#[test]
fn a_contestant_that_there_is_not_is_told() {
    let (code, _, said) = bench(&["--contestants", "naive,fastest"]);
    assert_eq!(code, 2);
    assert!(
        said.contains("naive, best, job, exactly_once, header"),
        "{said}"
    );
}

fn topics(kafka: &str) -> Vec<String> {
    let consumer: BaseConsumer = support::topics::client(kafka).create().expect("a client");
    let metadata = consumer
        .fetch_metadata(None, Duration::from_secs(10))
        .expect("an answer");
    let topics = metadata.topics().iter();
    topics.map(|topic| topic.name().to_owned()).collect()
}

/// Runs a part with few records. What it measures is not looked at, so neither is whether that holds.
fn part(kafka: &str, arguments: &[&str]) -> (Value, String) {
    let page = tempfile::NamedTempFile::new().expect("a file");
    let path = page.path().to_str().expect("a path");
    let usual = [
        "--bootstrap-servers",
        kafka,
        "--output",
        "json",
        "--page",
        path,
    ];
    let (code, out, said) = bench(&[arguments, &usual].concat());
    assert!(matches!(code, 0 | 1), "{code}: {said}");
    let last = out.lines().last().unwrap_or_default();
    let json: Value =
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {out}{said}"));
    assert_eq!(json["part"], arguments[0]);
    assert_eq!(code == 0, json["holds"] == true, "{json:#}");
    let written = std::fs::read_to_string(path).expect("the page");
    assert!(
        written.contains(&format!("<!-- bench: {} -->", arguments[0])),
        "{written}"
    );
    (json, said)
}

fn measured(json: &Value, keys: &[&str]) {
    assert_eq!(json["verified"], true, "{json:#}");
    for key in keys {
        let figure = &json["figures"][key]["measured"];
        assert!(figure.is_f64() || figure.is_u64(), "{key}: {json:#}");
    }
}

#[test]
fn more_workers_partitions_and_instances_verify() {
    let Some(kafka) = support::kafka() else {
        return;
    };
    let (json, _) = part(&kafka, &["scale", "--records", "3000", "--rounds", "1"]);
    measured(
        &json,
        &["partitions_4", "workers_2", "workers_4", "instances_2"],
    );
    let rounds = json["raw"]["rounds"].as_array().expect("rounds");
    assert_eq!(rounds.len(), 5);
    for round in rounds {
        let records = round["records"].as_array().expect("of each instance");
        let all: u64 = records.iter().filter_map(Value::as_u64).sum();
        assert_eq!(all, 3000, "{round:#}");
    }
}

#[test]
fn many_topics_and_schemas_verify() {
    let Some(kafka) = support::kafka() else {
        return;
    };
    let few = [
        "wide",
        "--records",
        "2000",
        "--rounds",
        "1",
        "--topics",
        "3",
        "--partitions",
        "2",
        "--schemas",
        "20",
        "--idle-for",
        "1s",
    ];
    let (json, _) = part(&kafka, &few);
    measured(
        &json,
        &[
            "partitions_cpu_ratio",
            "milliseconds_per_schema",
            "partitions_peak_memory_mb",
            "schemas_peak_memory_mb",
            "idle_cpu_percent",
        ],
    );
}

#[test]
fn a_burst_loses_nothing_and_a_lost_output_is_named() {
    let Some(kafka) = support::kafka() else {
        return;
    };
    let short = [
        "burst",
        "--rate",
        "100",
        "--burst-for",
        "1s",
        "--steady-for",
        "1s",
    ];
    let (json, _) = part(&kafka, &short);
    measured(
        &json,
        &["memory_ratio", "peak_memory_mb", "recovered_seconds"],
    );
    assert_eq!(json["raw"]["phases"].as_array().map(Vec::len), Some(4));
    let (json, said) = part(&kafka, &[&short[..], &["--plant"]].concat());
    assert_eq!(json["verified"], false, "{json:#}");
    assert!(
        json["findings"][0]
            .as_str()
            .is_some_and(|found| found.contains('@'))
    );
    assert!(
        said.contains("the outputs are not what they must be"),
        "{said}"
    );
}

#[test]
fn an_instance_at_rest_and_its_starts_are_measured() {
    let Some(kafka) = support::kafka() else {
        return;
    };
    let (json, _) = part(&kafka, &["idle", "--idle-for", "1s"]);
    measured(&json, &["cpu_percent", "wakes_per_second", "memory_mb"]);
    let threads = json["raw"]["threads"].as_array().expect("threads");
    assert!(
        threads.iter().any(|thread| thread["name"] == "rdk:broker"),
        "{json:#}"
    );
    let (json, _) = part(&kafka, &["start", "--starts", "1"]);
    measured(
        &json,
        &[
            "fields_ratio",
            "own_ms",
            "own_fields_ms",
            "join_ms",
            "first_ms",
        ],
    );
}

/// With `make soak` a backlog of a million records, and then as long as `DRIFTGATE_TEST_SOAK_FOR` says.
#[test]
fn memory_does_not_grow() {
    let Some(kafka) = support::kafka() else {
        return;
    };
    let is_soak = std::env::var_os("DRIFTGATE_TEST_SOAK").is_some();
    let soak_for = std::env::var("DRIFTGATE_TEST_SOAK_FOR");
    let (backlog, length) = match is_soak {
        true => ("1000000", soak_for.as_deref().unwrap_or("1m")),
        false => ("2000", "3s"),
    };
    let arguments = [
        "soak",
        "--backlog",
        backlog,
        "--rate",
        "500",
        "--soak-for",
        length,
    ];
    let (json, said) = part(&kafka, &arguments);
    measured(&json, &["growth_mb", "peak_memory_mb"]);
    assert!(!is_soak || json["holds"] == true, "{json:#}{said}");
}
