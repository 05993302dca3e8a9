use std::collections::BTreeMap;

use super::*;
use crate::alerts::incidents::{Incidents, Now};
use crate::alerts::notice::Place;
use crate::alerts::signs::Sign;
use crate::config::model::{AlertKind, Owner};
use std::time::Duration;

fn from(link: bool) -> From {
    From {
        pipeline: "clean-orders".to_owned(),
        owner: Owner {
            team: "order-platform".to_owned(),
            contact: "#orders-oncall".to_owned(),
        },
        instance: "gate-0/1".to_owned(),
        link: link.then(|| "https://gate.example/?pipeline=clean-orders".to_owned()),
    }
}

/// As the incidents make one of so many paused partitions.
fn paused(partitions: i32) -> Notice {
    let places = (0..partitions).map(|partition| {
        let topic = "orders".to_owned();
        (Place { topic, partition }, 1_699_999_999_000)
    });
    let sign = Sign {
        key: (AlertKind::Paused, "broker_refused".to_owned()),
        reason: "broker_refused".to_owned(),
        text: "partitions wait because of broker_refused".to_owned(),
        detail: "clean: not acknowledged: <!channel> & co".to_owned(),
        places: places.collect::<BTreeMap<_, _>>(),
        happened: None,
        count: 1,
        topic: None,
        details: serde_json::Map::new(),
    };
    let mut incidents = Incidents::new(Duration::ZERO, None);
    let now = Now {
        wall: 1_700_000_000_000,
        at: Duration::ZERO,
    };
    incidents.look(now, vec![sign], &|_| true);
    incidents.next(now).expect("it is open").1
}

fn test() -> Notice {
    let plain = Notice::plain(
        AlertKind::Paused,
        "",
        "test",
        "nothing is wrong",
        1_700_000_000_000,
    );
    Notice {
        state: State::Test,
        ..plain
    }
}

#[test]
fn json_has_every_fact_in_a_field() {
    let body = body(AlertFormat::Json, &from(true), &paused(25));
    insta::assert_snapshot!("json", format!("{body:#}\n"));
}

#[test]
fn json_without_link_and_partitions() {
    let body = body(AlertFormat::Json, &from(false), &test());
    insta::assert_snapshot!("json_plain", format!("{body:#}\n"));
}

#[test]
fn slack_is_one_text_that_mentions_nobody() {
    let body = body(AlertFormat::Slack, &from(true), &paused(25));
    let text = body["text"].as_str().expect("a text");
    assert_eq!(body.as_object().expect("an object").len(), 1);
    assert!(!text.contains("<!"), "{text}");
    insta::assert_snapshot!("slack", text);
}

#[test]
fn teams_gets_a_card() {
    let body = body(AlertFormat::Teams, &from(true), &paused(2));
    insta::assert_snapshot!("teams", format!("{body:#}\n"));
    let without = super::body(AlertFormat::Teams, &from(false), &test());
    assert_eq!(without["attachments"][0]["content"]["actions"], json!([]));
}

#[test]
fn each_state_says_what_it_is() {
    let states = [
        State::Open,
        State::Reminder,
        State::Resolved,
        State::Released,
        State::Event,
        State::Test,
    ];
    let titles = states.map(|state| title(&Notice { state, ..paused(1) }));
    insta::assert_snapshot!("titles", titles.join("\n"));
}

/// A thousand partitions make a message of a chat's size.
#[test]
fn a_message_is_bounded() {
    let notice = Notice {
        detail: crate::alerts::notice::bounded(&"x\n".repeat(100_000)),
        ..paused(1000)
    };
    for format in AlertFormat::ALL {
        let length = body(format, &from(true), &notice).to_string().len();
        assert!(length < 8_000, "{format:?}: {length}");
    }
}
