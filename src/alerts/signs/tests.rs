use super::*;
use crate::config;
use crate::health::PauseEntry;

const NOW: i64 = 1_700_000_000_000;

/// A pipeline that looks up at one server and in one table.
fn concern() -> Concern {
    let dependencies = [
        Dependency::Lookup("crm:8080".to_owned()),
        Dependency::Table("orders.country".to_owned()),
        Dependency::Topic("orders".to_owned()),
    ];
    Concern {
        uses: dependencies.into(),
        budget: Duration::from_secs(3600),
        grace: Duration::from_secs(600),
    }
}

fn pause(partition: i32, reason: PauseReason) -> PauseEntry {
    PauseEntry {
        pipeline: "orders".to_owned(),
        topic: "orders".to_owned(),
        partition,
        reason,
        detail: "connection refused".to_owned(),
        since: NOW - 5_000,
        until: None,
    }
}

/// Kind, subject, reason and number of partitions of each sign.
fn seen(faults: &Faults, too_many: Option<TooMany>) -> Vec<(AlertKind, String, String, usize)> {
    let rate = Rate {
        count: 10,
        per: Duration::from_secs(60),
    };
    let found = signs(&concern(), faults, too_many.map(|found| (rate, found)), NOW);
    let seen = found.into_iter();
    seen.map(|sign| (sign.key.0, sign.key.1, sign.reason, sign.places.len()))
        .collect()
}

fn check(faults: Faults, expect: &[(AlertKind, &str, &str, usize)]) {
    let expect: Vec<_> = expect
        .iter()
        .map(|(kind, subject, reason, places)| {
            (*kind, (*subject).to_owned(), (*reason).to_owned(), *places)
        })
        .collect();
    assert_eq!(seen(&faults, None), expect);
}

#[test]
fn nothing_wrong_is_no_sign() {
    check(Faults::default(), &[]);
}

#[test]
fn a_thousand_partitions_behind_one_registry_are_one_sign_of_it() {
    let faults = Faults {
        pauses: (0..1000)
            .map(|number| pause(number, PauseReason::RegistryUnavailable))
            .collect(),
        down: vec![(Dependency::Registry, "timed out".to_owned())],
        ..Faults::default()
    };
    check(
        faults.clone(),
        &[(AlertKind::Registry, "", "registry_unavailable", 1000)],
    );
    let found = signs(&concern(), &faults, None, NOW);
    assert_eq!(
        found[0].detail, "timed out",
        "the registry's own words first"
    );
}

/// A reason that is new comes through by its word: nothing here has to know it.
#[test]
fn every_pause_for_a_fault_has_a_sign() {
    for reason in PauseReason::ALL
        .into_iter()
        .filter(|reason| reason.is_fault())
    {
        let faults = Faults {
            pauses: vec![pause(0, reason), pause(3, reason)],
            ..Faults::default()
        };
        let word = reason.as_str();
        let (kind, subject) = match word {
            "registry_unavailable" => (AlertKind::Registry, ""),
            "breaker" => (AlertKind::Breaker, ""),
            word => (AlertKind::Paused, word),
        };
        check(faults, &[(kind, subject, word, 2)]);
    }
}

#[test]
fn pauses_of_several_reasons_are_told_apart() {
    let faults = Faults {
        pauses: vec![
            pause(0, PauseReason::BrokerRefused),
            pause(1, PauseReason::Drift),
            pause(2, PauseReason::BrokerRefused),
        ],
        ..Faults::default()
    };
    check(
        faults,
        &[
            (AlertKind::Paused, "broker_refused", "broker_refused", 2),
            (AlertKind::Paused, "drift", "drift", 1),
        ],
    );
}

#[test]
fn a_dependency_concerns_the_pipelines_that_use_it() {
    let down = [
        Dependency::Broker,
        Dependency::Registry,
        Dependency::Lookup("crm:8080".to_owned()),
        Dependency::Lookup("another:8080".to_owned()),
        Dependency::Table("orders.country".to_owned()),
        Dependency::Table("another.country".to_owned()),
        Dependency::Topic("orders".to_owned()),
        Dependency::Topic("another".to_owned()),
    ];
    let faults = Faults {
        down: down.map(|name| (name, "refused".to_owned())).into(),
        ..Faults::default()
    };
    check(
        faults,
        &[
            (AlertKind::Broker, "", "broker_unavailable", 0),
            (AlertKind::Broker, "orders", "topic_gone", 0),
            (AlertKind::Registry, "", "registry_unavailable", 0),
            (AlertKind::Lookup, "crm:8080", "lookup_unavailable", 0),
            (AlertKind::Lookup, "orders.country", "lookup_not_loaded", 0),
        ],
    );
}

#[test]
fn a_retry_counts_as_old_behind_its_budget_and_the_longest_wait() {
    let retry = |age_seconds: i64| ("orders.g.retry.1".to_owned(), 2, NOW - age_seconds * 1000);
    for (age, is_old) in [(3600, false), (4200, false), (4201, true)] {
        let faults = Faults {
            retries: vec![retry(age)],
            ..Faults::default()
        };
        let expect = [(AlertKind::Retries, "", "retry_over_budget", 1)];
        check(faults, if is_old { &expect } else { &[] });
    }
}

#[test]
fn stuck_partitions_and_dead_letters_have_signs() {
    let faults = Faults {
        stuck: vec![("orders".to_owned(), 1), ("orders".to_owned(), 2)],
        ..Faults::default()
    };
    check(faults, &[(AlertKind::Stuck, "", "stuck", 2)]);
    let found = TooMany {
        count: 12,
        most: vec!["12 rule_violation on orders".to_owned()],
        new: 7,
    };
    let rate = Rate {
        count: 10,
        per: Duration::from_secs(60),
    };
    let signs = signs(&concern(), &Faults::default(), Some((rate, found)), NOW);
    assert_eq!(signs[0].text, "12 dead letters, more than 10/m");
    assert_eq!(signs[0].detail, "most of them: 12 rule_violation on orders");
    assert_eq!(signs[0].happened, Some(7));
}

/// The names under which `lookup` tells of its servers and tables.
#[test]
fn what_concerns_a_pipeline_is_read_from_its_steps() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.avsc"), "{}").expect("a file");
    let text = r#"
pipelines:
  orders:
    owner: { team: a }
    source: { topics: [orders] }
    contract: { schema: a.avsc }
    transform:
      - lookup: { into: customer, url: "http://crm:8080/c/{id}?v={v}", type: a.avsc }
      - lookup: { into: tax, url: "https://tax.example/{id}", type: a.avsc }
      - lookup: { into: country, topic: countries, key: code, type: a.avsc }
    sink: { topic: clean, schema: a.avsc }
    failure: { retry: { tiers: [5s, 10m], jitter: 20%, budget: 2h } }
"#;
    let loaded = config::load_text(text, "driftgate.yaml", folder.path(), &|_| None);
    let config = loaded.expect("a configuration").config;
    let concern = Concern::of(&config.pipelines[0]);
    let names: Vec<_> = concern.uses.iter().map(Dependency::to_string).collect();
    assert_eq!(
        names,
        [
            "lookup:crm:8080",
            "lookup:tax.example",
            "table:orders.country",
            "topic:orders",
            "topic:orders.orders.retry.1",
            "topic:orders.orders.retry.2"
        ]
    );
    assert_eq!(concern.budget, Duration::from_secs(7200));
    assert_eq!(concern.grace, Duration::from_secs(720 + 60));
}

fn drift(field: &str) -> Drift {
    Drift {
        topic: "orders".to_owned(),
        schema_id: 7,
        field: field.to_owned(),
        owner: "crm".to_owned(),
        action: "quarantine",
        since: NOW - 5_000,
        tests: vec![("values", 0.8, 0.25)],
    }
}

#[test]
fn each_field_that_drifts_is_a_sign_with_its_figures_and_its_owner() {
    let faults = Faults {
        drifts: vec![drift("amount"), drift("status")],
        ..Faults::default()
    };
    let kind = AlertKind::Drift;
    check(
        faults.clone(),
        &[
            (kind, "orders/7/amount", "values", 0),
            (kind, "orders/7/status", "values", 0),
        ],
    );
    let sign = signs(&concern(), &faults, None, NOW).remove(0);
    assert_eq!(sign.topic.as_deref(), Some("orders"));
    assert_eq!(
        sign.detail,
        "values 0.800, limit 0.250; owner of the field: crm"
    );
    let details = Value::from(sign.details);
    assert_eq!(
        details["tests"],
        json!([{ "test": "values", "found": 0.8, "limit": 0.25 }])
    );
    assert_eq!(
        (&details["field_owner"], &details["action"]),
        (&json!("crm"), &json!("quarantine"))
    );
    // A whole record that shifts is no reason for hundreds of alerts.
    let many = Faults {
        drifts: (0..300)
            .map(|number| drift(&format!("f{number}")))
            .collect(),
        ..Faults::default()
    };
    let signs = signs(&concern(), &many, None, NOW);
    assert_eq!(signs.len(), MOST_DRIFTS + 1);
    assert!(
        signs
            .iter()
            .any(|sign| sign.text.contains("280 more fields"))
    );
}
