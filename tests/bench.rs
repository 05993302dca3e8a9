//! `driftgate bench` as a program, with few records on the real Kafka: it verifies, its JSON has what is promised, and a
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
