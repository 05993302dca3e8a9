//! Prometheus' configuration, the alerts and their tests, and the dashboard, against what the program exports.

use std::collections::{BTreeMap, BTreeSet};

use driftgate::contract::cache::CacheStats;
use driftgate::error::Reason;
use driftgate::health::{Dependency, Health, PauseReason};
use driftgate::metrics::Metrics;
use regex::Regex;
use serde_json::Value;

use crate::compose::configuration;
use crate::{file, text, yaml};

/// Every series name on a page where each family has a sample, with its labels.
fn exported() -> BTreeMap<String, BTreeSet<String>> {
    let metrics = Metrics::new();
    let orders = metrics.partition("p", "orders", 0);
    orders.read(1);
    orders.emitted(1);
    orders.retried(Reason::LookupUnavailable);
    orders.dead_lettered(Reason::MalformedData);
    orders.discarded(1);
    orders.schema(7);
    orders.rule_warned("r");
    orders.foreign_field("email", "shop", "reject");
    orders.emit_latency(0.1);
    orders.set_lag(1);
    orders.set_in_flight(1);
    orders.set_committed(1);
    orders.set_paused(Some(&PauseReason::RegistryUnavailable));
    orders.set_stuck(false);
    orders.set_last_dead_letter(1.0);
    orders.set_retries_pending(1);
    let pipeline = metrics.pipeline("p");
    pipeline.batch(0.1, 1);
    pipeline.rebalance();
    pipeline.commit(true);
    pipeline.commit(false);
    metrics.value_drift("p", "orders", "amount", 1);
    metrics.expect_profiles("p", "orders");
    metrics.set_schema_cache(&CacheStats::default());
    let webhook = metrics.alert("p", 1, &["drift"]);
    webhook.sent("drift", true);
    webhook.waiting(0);
    let health = Health::new();
    health.dependency(Dependency::Registry, Ok(()));
    metrics.observe_health(&health);

    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let label = Regex::new(r#"([a-z_]+)=""#).expect("a pattern");
    for line in metrics.render().lines() {
        if line.starts_with('#') {
            continue;
        }
        let end = line.find(['{', ' ']).expect("a value");
        let labels = series.entry(line[..end].to_owned()).or_default();
        labels.extend(label.captures_iter(line).map(|found| found[1].to_owned()));
        // Prometheus adds these two.
        labels.extend(["job", "instance"].map(str::to_owned));
    }
    series
}

/// The expressions of the alerts, their tests and the dashboard, each with where it stands.
fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for rule in rules() {
        let name = rule["alert"].as_str().expect("a name");
        all.push((name.to_owned(), text_of(&rule["expr"])));
        for annotation in ["description", "runbook"] {
            let text = text_of(&rule["annotations"][annotation]);
            all.push((format!("{name}, {annotation}"), text));
        }
    }
    let tests = yaml::read(&file("deploy/alerts_test.yml"));
    for test in tests["tests"].as_array().expect("tests") {
        for series in test["input_series"].as_array().expect("series") {
            all.push((text_of(&test["name"]), text_of(&series["series"])));
        }
    }
    let dashboard = dashboard();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            all.push((text_of(&panel["title"]), text_of(&target["expr"])));
        }
    }
    for variable in dashboard["templating"]["list"]
        .as_array()
        .expect("variables")
    {
        if let Some(query) = variable["query"]["query"].as_str() {
            all.push((text_of(&variable["name"]), query.to_owned()));
        }
    }
    all
}

fn rules() -> Vec<Value> {
    let alerts = yaml::read(&file("deploy/alerts.yml"));
    let groups = alerts["groups"].as_array().expect("groups");
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules").clone())
        .collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/dashboards/driftgate.json")).expect("JSON")
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

/// Names, labels in `{…}` and `by (…)`, and the words that a label is compared with.
#[test]
fn every_metric_and_label_that_is_asked_for_is_exported() {
    let exported = exported();
    let all_labels: BTreeSet<&String> = exported.values().flatten().collect();
    let name = Regex::new(r"\b((?:driftgate|process)_[a-z_]+)(?:\{([^}]*)\})?").expect("a pattern");
    let by = Regex::new(r"\bby \(([^)]*)\)").expect("a pattern");
    let matcher = Regex::new(r#"([a-z_]+)(?:=|!=|=~|!~)"([^"]*)""#).expect("a pattern");
    let mut asked = BTreeSet::new();
    for (place, expression) in expressions() {
        for found in name.captures_iter(&expression) {
            // In words, a histogram goes by its family's name.
            let in_words = || exported.get(&format!("{}_count", &found[1]));
            let labels = exported
                .get(&found[1])
                .or_else(|| in_words().filter(|_| place.contains(", ")))
                .unwrap_or_else(|| panic!("{place}: {} is not exported", &found[1]));
            asked.insert(found[1].to_owned());
            let selector = found.get(2).map_or("", |found| found.as_str());
            for condition in matcher.captures_iter(selector) {
                let (label, value) = (&condition[1], &condition[2]);
                assert!(
                    labels.contains(label),
                    "{place}: {} has no {label}",
                    &found[1]
                );
                for word in value.split('|') {
                    assert!(known(label, word), "{place}: no {label} is ever {word}");
                }
            }
        }
        for found in by.captures_iter(&expression) {
            for label in found[1].split(',').map(str::trim) {
                let known = label == "le" || all_labels.contains(&label.to_owned());
                assert!(known, "{place}: by ({label})");
            }
        }
    }
    // A family that nobody looks at is either missing on the dashboard or not worth exporting.
    let unseen: Vec<&String> = exported
        .keys()
        .filter(|name| name.starts_with("driftgate_") && !asked.contains(*name))
        .filter(|name| !name.ends_with("_bucket") && !name.ends_with("_sum"))
        .collect();
    assert_eq!(
        unseen,
        [
            "driftgate_batch_seconds_count",
            "driftgate_build_info",
            "driftgate_committed_offset",
            "driftgate_emit_latency_seconds_count",
            "driftgate_partition_pauses_total",
            "driftgate_schema_cache_evictions_total",
            "driftgate_schema_cache_hits_total",
            "driftgate_schema_cache_misses_total",
        ]
    );
}

/// Whether a label may have this value, where the values are words of the program's.
fn known(label: &str, word: &str) -> bool {
    let outcomes = [
        "emitted",
        "filtered",
        "duplicate",
        "stale",
        "retried",
        "dead_lettered",
    ];
    match label {
        "reason" => {
            PauseReason::ALL
                .iter()
                .any(|reason| reason.as_str() == word)
                || Reason::parse(word).is_some()
        }
        "outcome" => outcomes.contains(&word),
        "disposition" => ["retried", "dead_lettered"].contains(&word),
        "result" => ["ok", "failed"].contains(&word),
        "dependency" => ["broker", "registry"].contains(&word) || word.starts_with("lookup:"),
        "job" => scrape_jobs().iter().any(|job| job["job_name"] == word),
        _ => true,
    }
}

fn scrape_jobs() -> Vec<Value> {
    let prometheus = yaml::read(&file("deploy/prometheus.yml"));
    prometheus["scrape_configs"]
        .as_array()
        .expect("jobs")
        .clone()
}

#[test]
fn every_alert_says_what_to_do_and_is_shown_firing() {
    let tests = text("deploy/alerts_test.yml");
    let rules = rules();
    assert!(rules.len() >= 10);
    for rule in &rules {
        let name = text_of(&rule["alert"]);
        assert!(rule["for"].is_string(), "{name}");
        let severity = text_of(&rule["labels"]["severity"]);
        assert!(
            ["critical", "warning", "info"].contains(&severity.as_str()),
            "{name}"
        );
        for annotation in ["summary", "description", "runbook"] {
            assert!(
                text_of(&rule["annotations"][annotation]).len() > 20,
                "{name}: {annotation}"
            );
        }
        let fires = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\",severity=\"");
        assert!(tests.contains(&fires), "{name} is not shown firing");
        let silent = format!("alertname=\"{name}\",alertstate=\"firing\"}}', exp_samples: [] }}");
        assert!(tests.contains(&silent), "{name} is not shown silent");
    }
}

#[test]
fn prometheus_scrapes_both_instances_with_their_token() {
    let compose = yaml::read(&file("docker-compose.yml"));
    let service = &compose["services"]["prometheus"];
    let config = configuration();
    let port = config.admin.listen.expect("an address").port();
    let jobs = scrape_jobs();
    let job = jobs
        .iter()
        .find(|job| job["job_name"] == "driftgate")
        .expect("a job");
    let targets = &job["static_configs"][0]["targets"];
    let expected = [1, 2].map(|number| format!("driftgate-{number}:{port}"));
    assert_eq!(targets, &Value::from(expected.to_vec()));
    for target in expected {
        let (name, _) = target.split_once(':').expect("a port");
        assert!(compose["services"][name].is_object(), "{name}");
    }
    // Paths in prometheus.yml are relative to it, on this machine and in the container.
    let token = text_of(&job["authorization"]["credentials_file"]);
    assert!(file("deploy").join(&token).is_file());
    assert_eq!(
        text(&format!("deploy/{token}")).trim_end(),
        config.admin.token.as_ref().expect("a token").expose()
    );
    assert_eq!(
        service["secrets"][0]["target"],
        format!("/etc/prometheus/{token}")
    );
    let rule_files = yaml::read(&file("deploy/prometheus.yml"))["rule_files"].clone();
    assert_eq!(rule_files, Value::from(vec!["alerts.yml"]));
    let mounted = service["volumes"].as_array().expect("volumes");
    assert!(mounted.contains(&Value::from(
        "./deploy/alerts.yml:/etc/prometheus/alerts.yml:ro"
    )));
}

#[test]
fn grafana_finds_its_data_source_and_dashboard() {
    let folder = "deploy/grafana/provisioning";
    let sources = yaml::read(&file(&format!("{folder}/datasources/prometheus.yml")));
    assert_eq!(sources["datasources"][0]["url"], "http://prometheus:9090");
    let providers = yaml::read(&file(&format!("{folder}/dashboards/driftgate.yml")));
    let path = text_of(&providers["providers"][0]["options"]["path"]);
    let compose = yaml::read(&file("docker-compose.yml"));
    let grafana = &compose["services"]["grafana"];
    let volumes = grafana["volumes"].as_array().expect("volumes");
    let mount = format!("./deploy/grafana/dashboards:{path}:ro");
    assert!(volumes.contains(&Value::from(mount)));
    assert_eq!(
        grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"],
        format!("{path}/driftgate.json")
    );

    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            panel["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
    }
    let variables: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    assert_eq!(variables, ["datasource", "pipeline"]);
}
