use std::collections::BTreeMap;

use super::*;
use crate::alerts::notice::Place;
use crate::config::model;

fn condition(text: &str) -> Result<Condition, Vec<Fault>> {
    Condition::compile(&Placed {
        value: text.to_owned(),
        place: model::Place {
            file: "driftgate.yaml".to_owned(),
            line: 7,
            column: 12,
        },
    })
}

fn about(kind: AlertKind) -> About<'static> {
    About {
        kind,
        reason: "",
        subject: "",
        topic: None,
        partitions: 0,
        count: 1,
    }
}

/// The kinds of those notices that the condition is true of.
fn told(text: &str) -> Vec<&'static str> {
    let condition = condition(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    let notices = [
        About {
            reason: "halt",
            subject: "orders/7",
            topic: Some("orders"),
            ..about(AlertKind::Drift)
        },
        About {
            reason: "dead_letters_above",
            count: 1001,
            ..about(AlertKind::DeadLetters)
        },
        About {
            reason: "lookup_unavailable",
            subject: "lookup_unavailable",
            topic: Some("payments"),
            partitions: 3,
            ..about(AlertKind::Paused)
        },
    ];
    let told = notices.iter().filter(|about| {
        let holds = condition.holds(about);
        holds.unwrap_or_else(|error| panic!("{text}: {error}"))
    });
    told.map(|about| about.kind.as_str()).collect()
}

#[test]
fn what_a_condition_is_true_of_is_told() {
    let rows: &[(&str, &[&str])] = &[
        ("true", &["drift", "dead_letters", "paused"]),
        ("kind == 'drift'", &["drift"]),
        (
            "kind == 'drift' || (kind == 'dead_letters' && count > 1000)",
            &["drift", "dead_letters"],
        ),
        ("kind == 'dead_letters' && count > 1001", &[]),
        ("kind in ['paused', 'stuck']", &["paused"]),
        ("reason != 'halt'", &["dead_letters", "paused"]),
        ("subject.startsWith('orders/')", &["drift"]),
        ("topic == null", &["dead_letters"]),
        ("topic.orValue('') == 'payments'", &["paused"]),
        ("partitions > 2", &["paused"]),
        ("partitions == 0", &["drift", "dead_letters"]),
    ];
    for (text, expect) in rows {
        assert_eq!(told(text), *expect, "{text}");
    }
}

#[test]
fn every_kind_is_known_by_its_word() {
    for kind in AlertKind::ALL {
        let condition = condition(&format!("kind == '{}'", kind.as_str())).expect("a kind");
        for other in AlertKind::ALL {
            let holds = condition.holds(&about(other)).expect("an answer");
            assert_eq!(holds, kind == other, "{other:?}");
        }
    }
}

#[test]
fn what_a_condition_gets_wrong_is_told_where_it_stands() {
    let rows = [
        ("kind == 'dirft'", 20, "dirft"),
        ("kinds == 'drift'", 12, "kinds"),
        ("count > 'many'", 20, "long and string"),
        ("count", 12, "true or false"),
        ("topic.startsWith('a')", 12, "null"),
        ("header('a') == 'b'", 12, "header"),
    ];
    for (text, column, says) in rows {
        let faults = condition(text).expect_err(text);
        let shown = format!("{faults:?}");
        assert!(shown.contains(says), "{text}: {shown}");
        let place = &faults[0].place;
        assert_eq!((place.line, place.column), (7, column), "{text}: {shown}");
    }
}

#[test]
fn what_cannot_be_computed_is_an_error_and_no_answer() {
    let condition = condition("count * 9223372036854775807 > 0").expect("it compiles");
    let holds = |count| {
        condition.holds(&About {
            count,
            ..about(AlertKind::DeadLetters)
        })
    };
    assert!(holds(1).expect("it fits"));
    assert!(holds(2).is_err());
}

#[test]
fn a_sign_has_a_topic_where_all_its_partitions_do() {
    let sign = |topics: &[&str]| {
        let places = topics.iter().zip(0..).map(|(topic, partition)| {
            let topic = (*topic).to_owned();
            (Place { topic, partition }, 1)
        });
        Sign {
            key: (AlertKind::Stuck, String::new()),
            reason: "stuck".to_owned(),
            text: String::new(),
            detail: String::new(),
            places: places.collect::<BTreeMap<_, _>>(),
            happened: None,
            count: 1,
            topic: None,
            details: serde_json::Map::new(),
        }
    };
    let rows: &[(&[&str], Option<&str>)] = &[
        (&[], None),
        (&["a"], Some("a")),
        (&["a", "a"], Some("a")),
        (&["a", "b"], None),
    ];
    for (topics, expect) in rows {
        let sign = sign(topics);
        let about = About::sign(&sign);
        assert_eq!((about.topic, about.partitions), (*expect, topics.len()));
    }
}
