//! `driftgate drift` as a program: a baseline of parcels, and what differs from it, on the embedded broker and the real one.

mod support;

use std::path::PathBuf;
use std::process::Command;

use driftgate::embedded::broker::EmbeddedBroker;
use serde_json::{Value, json};
use support::Bed;
use support::live::{Job, Shape, both};
use support::topics::{self, Write};

const NOTES: [&str; 4] = ["fragile", "heavy", "return", "plain"];

struct Depot {
    job: Job,
}

impl Depot {
    fn new(bed: &Bed, broker: Option<&EmbeddedBroker>) -> Depot {
        Depot {
            job: Job::new(bed, broker, Shape::default()),
        }
    }

    fn file(&self) -> PathBuf {
        self.job.folder.path().join("parcel.baseline.yaml")
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_driftgate"))
            .arg("drift")
            .args(arguments)
            .arg("-c")
            .arg(self.job.folder.path().join("driftgate.yaml"))
            .env("NO_COLOR", "1")
            .output()
            .expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let code = output.status.code().expect("an exit code");
        (code, text(output.stdout), text(output.stderr))
    }

    fn diff(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, out, said) = self.run(&[&["diff", "--output", "json"], arguments].concat());
        let json = serde_json::from_str(&out);
        (code, json.unwrap_or_else(|error| panic!("{error}: {said}")))
    }

    /// Parcels a second apart, a few notes in turns; `heavy` may be called otherwise.
    fn write(&self, ids: std::ops::Range<i64>, heavy: &str) {
        let parcels = ids.map(|id| {
            let note = NOTES[usize::try_from(id * 7 % 11 % 4).expect("one of four")];
            let note = if note == "heavy" { heavy } else { note };
            let mut write = Write::new(format!("key {id}"), self.job.parcel(1_000_000 - id, note));
            write.timestamp = Some(1_700_000_000_000 + id * 1_000);
            write
        });
        let parcels: Vec<Write> = parcels.collect();
        topics::produce(&self.job.client, &self.job.source, &parcels);
    }
}

#[test]
fn what_changed_is_told_and_what_did_not_is_not() {
    both(|bed, broker| {
        let depot = Depot::new(bed, broker);
        depot.write(0..4_000, "heavy");
        let (code, out, said) = depot.run(&["baseline"]);
        assert_eq!(code, 0, "{said}");
        assert!(
            out.contains("4000 records in ") && out.contains("Review it"),
            "{out}"
        );
        let file = std::fs::read_to_string(depot.file()).expect("the file");
        assert!(file.contains("subject: parcel\nrecords: 4000\n"), "{file}");
        assert!(
            file.contains("        heavy: ") && file.contains("        \"a…\": 100%"),
            "{file}"
        );

        // What was reviewed is not written over by mistake.
        let (code, _, said) = depot.run(&["baseline"]);
        assert!(
            code == 2 && said.contains("--force writes over it"),
            "{code} {said}"
        );
        assert_eq!(depot.run(&["baseline", "--force"]).0, 0);
        assert_eq!(
            std::fs::read_to_string(depot.file()).ok(),
            Some(file.clone())
        );

        let (code, diff) = depot.diff(&[]);
        assert_eq!((code, &diff["findings"]), (0, &json!([])), "{diff:#}");
        let group = &diff["groups"][0];
        assert_eq!(group["topic"], json!(depot.job.source));
        assert_eq!(
            (&group["records"], &group["windows"]),
            (&json!(4_000), &json!(5))
        );

        depot.write(4_000..6_000, "3");
        let garbage = Write::new("key", b"no avro".to_vec());
        topics::produce(&depot.job.client, &depot.job.source, &[garbage]);
        let (code, diff) = depot.diff(&["--last", "2000"]);
        assert_eq!(code, 1, "{diff:#}");
        let findings = diff["findings"].as_array().expect("findings");
        let of_note = findings.iter().filter(|finding| finding["field"] == "note");
        let tests: Vec<&Value> = of_note.map(|finding| &finding["test"]).collect();
        assert_eq!(tests, ["values", "formats", "numbers"], "{diff:#}");
        let told = diff.to_string();
        assert!(
            told.contains("1 record of ") && told.contains("do not pass the contract"),
            "{told}"
        );
        let (code, text, _) = depot.run(&["diff", "--last", "2000"]);
        assert!(
            code == 1 && text.contains("FIELD") && text.contains("others, such as \"3\": "),
            "{text}"
        );

        // A field that is taken out is not compared, and one that is allowed to is no finding.
        let start = file.find("  id:\n").expect("the field");
        let next = file.find("  note:\n").expect("the field");
        let quiet = format!(
            "{}  note:\n    then: allow\n{}",
            &file[..start],
            &file[next + 8..]
        );
        std::fs::write(depot.file(), &quiet).expect("a file");
        let (code, diff) = depot.diff(&["--last", "2000"]);
        assert_eq!(
            (code, &diff["findings"][0]["then"]),
            (0, &json!("allow")),
            "{diff:#}"
        );
        assert!(
            diff["notes"][0]
                .as_str()
                .is_some_and(|note| note.ends_with("not compared: id")),
            "{diff:#}"
        );

        // The mock cluster knows no offsets by time.
        if broker.is_none() {
            let until = "2023-11-14T22:30:00Z";
            let (code, diff) = depot.diff(&["--from", "2023-11-14T22:14:00Z", "--until", until]);
            assert_eq!(
                (code, &diff["groups"][0]["records"]),
                (0, &json!(960)),
                "{diff:#}"
            );
        }
    });
}

#[test]
fn personal_texts_are_classes_and_nothing_else() {
    both(|bed, broker| {
        let depot = Depot::new(bed, broker);
        let rules = "fields:\n  note: { tags: [pii] }\n";
        std::fs::write(depot.job.folder.path().join("parcel.rules.yaml"), rules).expect("a file");
        depot.write(0..1_000, "heavy");
        let (code, _, said) = depot.run(&["baseline"]);
        assert_eq!(code, 0, "{said}");
        let file = std::fs::read_to_string(depot.file()).expect("the file");
        assert!(NOTES.iter().all(|note| !file.contains(note)), "{file}");
        assert!(
            file.contains("        letters: 100%") && !file.contains("length"),
            "{file}"
        );
        depot.write(1_000..3_000, "heavy goods, 3 of them");
        let (code, out, _) = depot.run(&["diff", "--last", "2000"]);
        assert!(
            code == 1 && out.contains("formats") && !out.contains("goods"),
            "{out}"
        );
    });
}

#[test]
fn what_cannot_be_done_has_its_exit_code() {
    both(|bed, broker| {
        let depot = Depot::new(bed, broker);
        let check = |arguments: &[&str], expect: i32, says: &str| {
            let (code, _, said) = depot.run(arguments);
            assert_eq!(code, expect, "{arguments:?}: {said}");
            assert!(said.contains(says), "{arguments:?}: {said}");
        };
        check(&["diff"], 2, "`driftgate drift baseline` writes one");
        check(&["baseline"], 2, "0 records are too few for a baseline");
        check(
            &["baseline", "--topic", "nope"],
            2,
            "nope is no source of parcels",
        );
        check(&["baseline", "nope"], 2, "nope");
        check(
            &["baseline", "--from", "soon"],
            2,
            "--from \"soon\" is no time",
        );
        let broken = "subject: parcel\nrecords: 1\nwindows: 1\nfields:\n  note: { nils: 3 }\n";
        std::fs::write(depot.file(), broken).expect("a file");
        check(&["diff"], 2, "5:11");
        std::fs::write(depot.file(), broken.replace("nils: 3", "")).expect("a file");
        let (code, diff) = depot.diff(&[]);
        assert_eq!(
            (code, &diff["groups"]),
            (1, &json!([])),
            "nothing was compared: {diff:#}"
        );
    });
}
