use std::time::Duration;

use super::*;
use crate::config::model::{
    Admin, Contract, DeadLetter, Delivery, Failure, Kafka, Owner, Pipeline, Provenance, Registry,
    RegistryAuth, RegistryTls, Sink,
};

const MONEY: &str = r#"{"type":"fixed","name":"Money","namespace":"shop","size":8}"#;
const LINE: &str =
    r#"{"type":"record","name":"shop.Line","fields":[{"name":"price","type":"Money"}]}"#;
const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"lines","type":{"type":"array","items":"shop.Line"}},
    {"name":"total","type":["null",{"type":"Money"}]},
    {"name":"parent","type":["null","Order"]}]}"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("written");
    }
    dir
}

fn order(files: &[SchemaFile]) -> Vec<(&str, Vec<&str>)> {
    let needs = |file: &SchemaFile| {
        file.needs
            .iter()
            .map(|(index, _)| files[*index].subject.clone())
            .collect()
    };
    let needs: Vec<Vec<String>> = files.iter().map(needs).collect();
    let name = |need: &String| {
        files
            .iter()
            .find(|file| file.subject == *need)
            .map(|file| file.subject.as_str())
    };
    let named = needs
        .iter()
        .map(|needs| needs.iter().filter_map(name).collect());
    files
        .iter()
        .map(|file| file.subject.as_str())
        .zip(named)
        .collect()
}

#[test]
fn dependencies_come_first_even_unasked() {
    let dir = folder(&[
        ("a-order.avsc", ORDER),
        ("line.avsc", LINE),
        ("money.avsc", MONEY),
        (
            "other.avsc",
            r#"{"type":"record","name":"Other","fields":[{"name":"x","type":"Nowhere"}]}"#,
        ),
        ("notes.txt", "no schema"),
    ]);
    let target = Target::of_file(dir.path().join("a-order.avsc"));
    let files = plan(&[target]).expect("a plan");
    assert_eq!(
        order(&files),
        [
            ("money", vec![]),
            ("line", vec!["money"]),
            ("a-order", vec!["line", "money"])
        ]
    );
    assert_eq!(
        files[2].needs,
        [(1, "shop.Line".to_owned()), (0, "shop.Money".to_owned())]
    );
}

#[test]
fn every_fault_is_told_at_once() {
    let record = |name: &str, kind: &str| {
        format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"x","type":"{kind}"}}]}}"#)
    };
    let dir = folder(&[
        ("one.avsc", &record("One", "Missing")),
        ("two.avsc", "{"),
        ("three.avsc", &record("Three", "Money")),
        ("m1.avsc", r#"{"type":"fixed","name":"Money","size":8}"#),
        ("m2.avsc", r#"{"type":"fixed","name":"Money","size":9}"#),
        ("m2.rules.yaml", "compatibility: SIDEWAYS\n"),
    ]);
    let faults = plan(&of_dir(dir.path()).expect("targets"))
        .expect_err("faults")
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    for expect in [
        "one.avsc:1:60: type Missing is defined neither",
        "two.avsc:1:1: not JSON",
        "type Money is defined in",
        "expected NONE",
    ] {
        assert!(faults.contains(expect), "{expect} in {faults}");
    }
}

#[test]
fn a_circle_is_named() {
    let dir = folder(&[
        (
            "a.avsc",
            r#"{"type":"record","name":"A","fields":[{"name":"b","type":"B"}]}"#,
        ),
        (
            "b.avsc",
            r#"{"type":"record","name":"B","fields":[{"name":"a","type":["null","A"]}]}"#,
        ),
    ]);
    let faults = plan(&of_dir(dir.path()).expect("targets")).expect_err("a circle");
    assert!(faults[0].to_string().contains("a -> b -> a"), "{faults:?}");
}

#[test]
fn the_level_is_that_of_the_rules_file() {
    let dir = folder(&[
        ("money.avsc", MONEY),
        (
            "money.rules.yaml",
            "owner: {team: shop}\ncompatibility: FULL\n",
        ),
    ]);
    let files = plan(&of_dir(dir.path()).expect("targets")).expect("a plan");
    assert_eq!(files[0].level.as_deref(), Some("FULL"));
    let elsewhere = Target {
        rules: Some(dir.path().join("gone.yaml")),
        ..Target::of_file(dir.path().join("money.avsc"))
    };
    let faults = plan(&[elsewhere]).expect_err("the file is missing");
    assert!(faults[0].to_string().contains("gone.yaml"), "{faults:?}");
}

#[test]
fn one_subject_is_one_file() {
    let dir = folder(&[("a.avsc", MONEY), ("b.avsc", MONEY)]);
    let target = |name: &str| Target {
        subject: "same".to_owned(),
        ..Target::of_file(dir.path().join(name))
    };
    assert_eq!(
        plan(&[target("a.avsc"), target("a.avsc")])
            .expect("twice the same")
            .len(),
        1
    );
    assert!(
        plan(&[target("a.avsc"), target("b.avsc")]).expect_err("two files")[0]
            .to_string()
            .contains("subject same")
    );
}

#[test]
fn a_configuration_names_contracts_by_file_and_sinks_by_subject() {
    let file = |path: &str| SchemaSource::File { path: path.into() };
    let pipeline = |contract: SchemaSource, rules: Option<&str>, sink: SchemaSource| Pipeline {
        name: "p".to_owned(),
        owner: Owner::default(),
        group: "p".to_owned(),
        workers: 1,
        delivery: Delivery::AtLeastOnce,
        provenance: Provenance::None,
        source_topics: vec!["orders".to_owned()],
        contract: Contract {
            schema: contract,
            rules: rules.map(PathBuf::from),
            baseline: None,
            drift_window: Duration::from_secs(600),
            drift: crate::config::model::Drift::default(),
            quarantine_above: crate::config::model::RatioLimit {
                ratio: 0.5,
                window: Duration::from_secs(60),
                at_least: 20,
            },
            key: None,
        },
        dedup: None,
        stale: None,
        ownership: None,
        prepare: Vec::new(),
        transform: Vec::new(),
        sink: Sink {
            place: Default::default(),
            topic: "clean".to_owned(),
            schema: sink,
            subject: "clean-value".to_owned(),
            auto_register: false,
        },
        failure: Failure {
            tiers: Vec::new(),
            jitter: 0.0,
            budget: Duration::ZERO,
            attempts: None,
            reasons: Vec::new(),
            per_key: None,
            dead_letter: DeadLetter {
                topic: None,
                retention: None,
                headers: Vec::new(),
                pause_above: None,
                pause_after: None,
            },
        },
        secrets: Vec::new(),
        alerts: Vec::new(),
        create_topics: true,
    };
    let subject = SchemaSource::Subject {
        subject: "s".to_owned(),
        version: None,
    };
    let config = Config {
        kafka: Kafka {
            bootstrap_servers: String::new(),
            properties: BTreeMap::new(),
            group_instance_id: None,
        },
        registry: Registry {
            url: String::new(),
            auth: RegistryAuth::None,
            tls: RegistryTls::default(),
            cache_dir: None,
            timeout: Duration::ZERO,
        },
        admin: Admin {
            listen: None,
            token: None,
            public_url: None,
        },
        memory_limit: 0,
        state_dir: None,
        shutdown_grace: Duration::ZERO,
        pipelines: vec![
            pipeline(file("s/orders-value.avsc"), None, file("s/out.avsc")),
            pipeline(file("s/orders-value.avsc"), Some("r.yaml"), subject.clone()),
            pipeline(subject, None, file("s/out.avsc")),
        ],
    };
    let orders = Target {
        rules: Some("r.yaml".into()),
        ..Target::of_file("s/orders-value.avsc")
    };
    let out = Target {
        path: "s/out.avsc".into(),
        subject: "clean-value".to_owned(),
        rules: None,
    };
    assert_eq!(orders.subject, "orders-value");
    assert_eq!(of_config(&config), [orders, out]);
}
