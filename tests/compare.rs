//! `driftgate compare` as a program: two topics of parcels by key, on the embedded broker and the real one.

mod support;

use std::process::Command;

use driftgate::embedded::broker::EmbeddedBroker;
use serde_json::{Value, json};
use support::live::{Job, Shape, both};
use support::topics::{self, Write};
use support::{Bed, unique};

struct Two {
    job: Job,
    a: String,
    b: String,
}

impl Two {
    fn new(bed: &Bed, broker: Option<&EmbeddedBroker>) -> Two {
        let job = Job::new(bed, broker, Shape::default());
        let (a, b) = (unique("old"), unique("new"));
        for topic in [&a, &b] {
            match broker {
                Some(broker) => broker.create_topic(topic, 4).expect("a topic"),
                None => topics::create(&job.client, topic, 4, &[]),
            }
        }
        Two { job, a, b }
    }

    fn compare(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, out, said) = self.run(&[&["--output", "json"], arguments].concat());
        let json = serde_json::from_str(&out);
        (code, json.unwrap_or_else(|error| panic!("{error}: {said}")))
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_driftgate"))
            .args(["compare", &self.a, &self.b, "-c"])
            .arg(self.job.folder.path().join("driftgate.yaml"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .output()
            .expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let code = output.status.code().expect("an exit code");
        (code, text(output.stdout), text(output.stderr))
    }

    fn parcels(&self, ids: std::ops::Range<i64>) -> Vec<Write> {
        ids.map(|id| self.parcel(id, "note")).collect()
    }

    fn parcel(&self, id: i64, note: &str) -> Write {
        let mut write = Write::new(format!("key {id}"), self.job.parcel(id, note));
        write.timestamp = Some(1_700_000_000_000 + id * 1_000);
        write
    }
}

#[test]
fn the_same_in_another_order_is_the_same() {
    both(|bed, broker| {
        let two = Two::new(bed, broker);
        let mut writes = two.parcels(0..200);
        // What only the last of a key says counts, and a tombstone is nothing.
        writes.insert(0, two.parcel(7, "older"));
        let mut gone = two.parcel(1_000, "gone");
        gone.value = None;
        writes.push(gone);
        topics::produce(&two.job.client, &two.a, &writes);
        let mut other = two.parcels(0..200);
        other.reverse();
        topics::produce(&two.job.client, &two.b, &other);
        for key in ["key", "id"] {
            if key == "id" {
                // The tombstone has no value that could hold a key.
                let (_, report) = two.compare(&["--key", key]);
                assert_eq!(report["a"]["without_key"], 1);
                assert_eq!(report["same"], 200);
                continue;
            }
            let (code, report) = two.compare(&["--key", key]);
            assert_eq!(code, 0, "{report:#}");
            assert_eq!(report["same"], 200);
            assert_eq!(report["absent"], 1);
            assert_eq!(report["a"]["repeats"], 1);
            assert_eq!(report["a"]["records"], 202);
        }
    });
}

#[test]
fn what_is_missing_extra_or_differs_is_told_without_values() {
    both(|bed, broker| {
        let two = Two::new(bed, broker);
        topics::produce(&two.job.client, &two.a, &two.parcels(0..50));
        let mut new = two.parcels(3..55);
        new[0] = two.parcel(3, "another");
        new[1] = two.parcel(4, "secret!");
        new.push(Write::new("raw", b"no avro".to_vec()));
        topics::produce(&two.job.client, &two.b, &new);
        let (code, report) = two.compare(&["--key", "key", "--examples", "2"]);
        assert_eq!(code, 1, "{report:#}");
        let counts = ["same", "missing", "extra", "differing"].map(|name| report[name].clone());
        assert_eq!(counts, [json!(45), json!(3), json!(6), json!(2)]);
        assert_eq!(report["fields"], json!([{ "field": "note", "keys": 2 }]));
        assert_eq!(report["b"]["undecoded"], 1);
        assert_eq!(report["missing_examples"].as_array().map(Vec::len), Some(2));
        let example = &report["differing_examples"][0];
        assert_eq!(example["key"], Value::Null);
        assert_eq!(example["differences"][0]["path"], "note");
        assert_eq!(example["differences"][0]["a"], "a text of 4 characters");
        let (_, text, _) = two.run(&["--key", "key"]);
        assert!(
            !text.contains("secret") && !text.contains("key 4"),
            "{text}"
        );
        assert!(text.contains("note: 2 keys"), "{text}");
        let (_, text, _) = two.run(&["--key", "key", "--show-values"]);
        assert!(
            text.contains("\"secret!\"") && text.contains("key 4"),
            "{text}"
        );

        let (code, report) = two.compare(&["--key", "id", "--ignore", "note", "--ignore", "Note"]);
        assert_eq!((code, &report["differing"]), (1, &json!(0)), "{report:#}");
        assert_eq!(report["ignored_unseen"], json!(["Note"]), "it is misspelt");
        // From the tenth to the fortieth both have the same. The mock cluster knows no offsets by time.
        if broker.is_some() {
            return;
        }
        let (code, report) = two.compare(&[
            "--key",
            "key",
            "--since",
            "2023-11-14T22:13:30Z",
            "--until",
            "2023-11-14T22:14:00Z",
        ]);
        assert_eq!((code, &report["same"]), (0, &json!(30)), "{report:#}");
        // Nothing at all is no proof that it is the same.
        let (code, report) = two.compare(&["--key", "key", "--until", "2023-11-14T00:00:00Z"]);
        assert_eq!((code, &report["same"]), (1, &json!(0)), "{report:#}");
    });
}

#[test]
fn wrong_arguments_and_servers_that_are_away_have_their_exit_codes() {
    let embedded = support::live::Embedded::start();
    let mut two = Two::new(&embedded.bed, Some(&embedded.broker));
    for arguments in [
        &[][..],
        &["--key", "a..b"],
        &["--key", "key", "--since", "noon"],
        &[
            "--key",
            "key",
            "--since",
            "2026-01-02T00:00:00Z",
            "--until",
            "2026-01-01T00:00:00Z",
        ],
    ] {
        assert_eq!(two.run(arguments).0, 2, "{arguments:?}");
    }
    // A time that is fixed and one that moves are understood, and what is wrong with both is said.
    let (code, _, said) = two.run(&["--key", "key", "--since", "1h", "--until", "2023-01-01"]);
    assert!(
        code == 2 && said.contains("--since 1h is not before --until 2023-01-01"),
        "{said}"
    );
    // A misspelt key is in no record of either, and nothing is not the same.
    let parcels = two.parcels(0..10);
    for topic in [&two.a, &two.b] {
        topics::produce(&two.job.client, topic, &parcels);
    }
    let (code, text, _) = two.run(&["--key", "idd"]);
    for topic in [&two.a, &two.b] {
        let note = format!("not compared: no record of {topic} has the field idd");
        assert!(code == 1 && text.contains(&note), "{text}");
    }
    assert_eq!(two.run(&["--key", "id"]).0, 0);
    let b = std::mem::replace(&mut two.b, two.a.clone());
    let (code, _, said) = two.run(&["--key", "key"]);
    assert!(code == 2 && said.contains("the same as itself"), "{said}");
    two.b = b;
    let b = std::mem::replace(&mut two.b, "nowhere".to_owned());
    let (code, _, said) = two.run(&["--key", "key"]);
    assert!(
        code == 2 && said.contains("topic nowhere does not exist"),
        "{said}"
    );
    two.b = b;
    drop(embedded);
    let (code, _, said) = two.run(&["--key", "key"]);
    assert!(
        code == 3 && said.contains("the broker could not be reached at 127.0.0.1:"),
        "{said}"
    );
}
