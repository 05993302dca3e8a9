//! `driftgate audit` as a program, on instances that ran: what is right is said to be right, and what is taken away, doubled,
//! swapped or doctored in a copy of the topics is named.

mod support;

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::ingest::ledger::Entry;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use support::live::{self, Job, LIMIT, Live, Shape, both, real};
use support::process::Server;
use support::topics::{self, Read, Write};
use support::{Bed, LookupServer, wait};

/// What the program says, and how it ends.
fn audit(job: &Job, arguments: &[&str]) -> (i32, Value) {
    let output = run(job, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout);
    let json: Value = json.unwrap_or_else(|error| panic!("{error}: {said}"));
    (
        output.status.code().expect("an exit code"),
        json["pipelines"][0].clone(),
    )
}

fn run(job: &Job, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftgate"))
        .args(["audit", "--output", "json", "-c"])
        .arg(job.folder.path().join("driftgate.yaml"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program runs")
}

/// The audit finds nothing wrong.
#[track_caller]
fn right(job: &Job, arguments: &[&str]) -> Value {
    let (code, report) = audit(job, arguments);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["unaccounted"], 0);
    report
}

/// The audit finds exactly this: kinds with their offsets.
#[track_caller]
fn wrong(job: &Job, arguments: &[&str], expect: &[(&str, &[i64])]) -> Value {
    let (code, report) = audit(job, arguments);
    assert_eq!(code, 1, "{report:#}");
    let findings = report["findings"].as_array().expect("a list");
    let found: Vec<(&str, Vec<i64>)> = findings
        .iter()
        .map(|finding| {
            let offsets = finding["offsets"].as_array().expect("a list");
            let offsets = offsets.iter().filter_map(Value::as_i64).collect();
            (finding["kind"].as_str().expect("a word"), offsets)
        })
        .collect();
    let expect: Vec<(&str, Vec<i64>)> = expect
        .iter()
        .map(|(kind, offsets)| (*kind, offsets.to_vec()))
        .collect();
    assert_eq!(found, expect, "{report:#}");
    report
}

/// Of a hundred parcels: those of which the id is a multiple of ten break a rule, other multiples of five are filtered.
const STEPS: &str = "      - filter: \"id % 5 != 0\"";

fn shape() -> Shape {
    Shape {
        partitions: 2,
        steps: Some(STEPS.to_owned()),
        ..Shape::default()
    }
}

fn writes(job: &Job, count: i64) -> Vec<Write> {
    (0..count)
        .map(|n| {
            let id = if n % 10 == 0 { -1 - n } else { n };
            let mut write = Write::new(format!("key {n}"), job.parcel(id, &format!("note {n}")));
            write.timestamp = Some(1_700_000_000_000 + n);
            write.to(i32::try_from(n % 2).expect("small"))
        })
        .collect()
}

fn finish(live: &Live, job: &Job, records: i64) {
    live.eventually("all is committed", || job.committed(&job.source) == records);
}

/// A job that ran in several steps, so that its ledger has several entries of each partition.
fn ran(bed: &Bed, broker: Option<&EmbeddedBroker>, shape: Shape) -> Job {
    let job = Job::new(bed, broker, shape);
    let all = writes(&job, 100);
    job.live(broker, |live| {
        for (part, step) in all.chunks(20).zip(1..) {
            topics::produce(&job.client, &job.source, part);
            finish(live, &job, step * 20);
        }
    });
    job
}

#[test]
fn a_run_without_faults_is_right_in_both_modes() {
    both(|bed, broker| {
        for provenance in ["header", "ledger"] {
            let job = ran(
                bed,
                broker,
                Shape {
                    provenance,
                    ..shape()
                },
            );
            let report = right(&job, &[]);
            let lines = report["partitions"].as_array().expect("a list");
            assert_eq!(lines.len(), 2);
            for line in lines {
                assert_eq!(line["records"], 50, "{report:#}");
                assert_eq!(line["counted"], 50);
                assert!(line["entries"].as_i64() >= Some(5), "{report:#}");
            }
            for (line, count) in [(0, 80), (1, 10)] {
                assert_eq!(report["counts"][line]["found"], count, "{report:#}");
                assert_eq!(report["counts"][line]["standing"], "equal");
            }
            assert_eq!(report["notes"], Value::Array(Vec::new()), "{report:#}");
            let ledger = topics::consume_all(&job.client, &job.ledger());
            let named = ledger.iter().filter_map(|read| {
                let entry = Entry::from_json(read.value.as_deref()?);
                entry.expect("an entry").page.silent
            });
            assert_eq!(named.count() > 0, provenance == "header");
            // Of nothing, nothing is wrong: that is no proof, and said.
            let report = right(&job, &["--from", "1000000"]);
            let note = report["notes"][0].as_str().expect("a note");
            assert!(note.contains("no record of the source"), "{report:#}");
            if provenance == "header" {
                right(&job, &["--verify"]);
                right(&job, &["--partition", "1", "--from", "10", "--to", "30"]);
            }
        }
    });
}

/// A copy of everything that an audit looks at, under other names, with changes.
struct Copy {
    job: Job,
}

/// The topics of a job that ran, each record to be changed, left out or doubled.
struct Topics {
    sink: Vec<Read>,
    dead: Vec<Read>,
    ledger: Vec<Read>,
    /// Of the first tier, where there is one.
    retries: Vec<Read>,
}

fn number(read: &Read, name: &str) -> Option<i64> {
    read.header(name)?.parse().ok()
}

/// The offset that an output names, of partition 0.
fn named(read: &Read) -> Option<i64> {
    let (place, offset) = read.header("driftgate.source")?.split_once('@')?;
    place.ends_with("-0").then(|| offset.parse().ok())?
}

fn at(topics: &mut [Read], offset: i64) -> usize {
    let found = topics.iter().position(|read| named(read) == Some(offset));
    found.expect("it was emitted")
}

impl Copy {
    fn of(bed: &Bed, ran: &Job, change: impl FnOnce(&mut Topics)) -> Copy {
        let job = Job::new(bed, None, ran.shape.clone());
        live::register(bed, &job.sink);
        topics::create(&job.client, &job.sink, 4, &[]);
        topics::create(&job.client, &job.dlq, 2, &[]);
        topics::create(&job.client, &job.ledger(), 2, &[]);
        let tiers = ran.config.pipelines[0].failure.tiers.len();
        let retry = |job: &Job| (tiers > 0).then(|| job.retry_topic(1));
        if let Some(topic) = retry(&job) {
            topics::create(&job.client, &topic, 2, &[]);
        }
        let mut all = Topics {
            sink: topics::consume_all(&ran.client, &ran.sink),
            dead: topics::consume_all(&ran.client, &ran.dlq),
            ledger: topics::consume_all(&ran.client, &ran.ledger()),
            retries: retry(ran)
                .map_or_else(Vec::new, |topic| topics::consume_all(&ran.client, &topic)),
        };
        change(&mut all);
        let sources = topics::consume_all(&ran.client, &ran.source);
        for (reads, topic) in [
            (sources, Some(job.source.clone())),
            (all.sink, Some(job.sink.clone())),
            (all.dead, Some(job.dlq.clone())),
            (all.ledger, Some(job.ledger())),
            (all.retries, retry(&job)),
        ] {
            let Some(topic) = &topic else { continue };
            let writes: Vec<Write> = reads.iter().map(|read| renamed(read, ran, &job)).collect();
            topics::produce(&job.client, topic, &writes);
        }
        let mut config = job.client.clone();
        config.set("group.id", &job.group);
        let consumer: BaseConsumer = config.create().expect("a valid configuration");
        let mut list = TopicPartitionList::new();
        let sides = [
            Some((ran.source.clone(), job.source.clone())),
            retry(ran).zip(retry(&job)),
        ];
        for (from, to) in sides.iter().flatten() {
            let committed = topics::committed(&ran.client, &ran.group, from);
            for (partition, commit) in (0..).zip(committed) {
                let (offset, metadata) = commit.expect("all is committed");
                list.add_partition_offset(to, partition, Offset::Offset(offset))
                    .expect("a valid offset");
                let mut entry = list.find_partition(to, partition).expect("just added");
                entry.set_metadata(metadata);
            }
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the group is a copy and has no members"
        )]
        consumer.commit(&list, CommitMode::Sync).expect("committed");
        Copy { job }
    }
}

fn renamed(read: &Read, from: &Job, to: &Job) -> Write {
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text
            .replace(&from.source, &to.source)
            .replace(&from.group, &to.group)
            .into_bytes(),
        Err(_) => bytes.to_vec(),
    };
    let headers = read.headers.iter();
    let is_json = read
        .value
        .as_deref()
        .is_some_and(|value| value.starts_with(b"{"));
    Write {
        partition: Some(read.partition),
        key: read.key.clone(),
        value: match is_json {
            true => read.value.as_deref().map(text),
            false => read.value.clone(),
        },
        headers: headers
            .map(|(name, value)| (name.clone(), value.as_deref().map(text)))
            .collect(),
        timestamp: read.timestamp,
    }
}

/// The first offset of partition 0 at which an output of the copy is expected: 1 is the parcel with id 2.
const SOME: i64 = 4;

#[test]
fn what_is_taken_doubled_swapped_or_doctored_is_named() {
    let Some(bed) = real() else { return };
    let ran = ran(
        &bed,
        None,
        Shape {
            provenance: "header",
            ..shape()
        },
    );
    let check = |change: &dyn Fn(&mut Topics), arguments: &[&str], expect: &[(&str, &[i64])]| {
        let copy = Copy::of(&bed, &ran, change);
        wrong(&copy.job, arguments, expect)
    };
    let untouched = Copy::of(&bed, &ran, |_| {});
    right(&untouched.job, &[]);
    right(&untouched.job, &["--verify"]);

    // An output is gone.
    let lost = |all: &mut Topics| {
        let index = at(&mut all.sink, SOME);
        all.sink.remove(index);
    };
    check(&lost, &[], &[("lost", &[SOME]), ("count", &[])]);

    // An output is there twice: allowed after a crash, and told.
    let copy = Copy::of(&bed, &ran, |all| {
        let index = at(&mut all.sink, SOME);
        let double = all.sink[index].clone();
        all.sink.push(double);
    });
    let report = right(&copy.job, &[]);
    assert_eq!(report["duplicates"][0]["offsets"][0], SOME, "{report:#}");
    assert_eq!(report["counts"][0]["standing"], "more");

    // Two outputs name each other's record.
    let headers = |all: &mut Topics| {
        let (a, b) = (at(&mut all.sink, SOME), at(&mut all.sink, SOME + 2));
        let headers = all.sink[a].headers.clone();
        all.sink[a].headers = all.sink[b].headers.clone();
        all.sink[b].headers = headers;
    };
    let report = check(&headers, &[], &[("altered", &[SOME, SOME + 2])]);
    let text = report["findings"][0]["text"]
        .as_str()
        .expect("text")
        .to_owned();
    assert!(
        text.contains(&format!("names {SOME} and looks like {}", SOME + 2)),
        "{text}"
    );

    // Two values changed places: only another run tells.
    let values = |all: &mut Topics| {
        let (a, b) = (at(&mut all.sink, SOME), at(&mut all.sink, SOME + 2));
        let value = all.sink[a].value.clone();
        all.sink[a].value = all.sink[b].value.clone();
        all.sink[b].value = value;
    };
    let copy = Copy::of(&bed, &ran, values);
    right(&copy.job, &[]);
    check(&values, &["--verify"], &[("altered", &[SOME, SOME + 2])]);

    // A dead letter is gone.
    let dead = |all: &mut Topics| {
        let is_it =
            |read: &Read| read.partition == 0 && number(read, "driftgate.source.offset") == Some(5);
        let index = all
            .dead
            .iter()
            .position(is_it)
            .expect("parcel 10 is a dead letter");
        all.dead.remove(index);
    };
    check(&dead, &[], &[("lost", &[5]), ("count", &[])]);

    // The ledger says that an emitted record was filtered.
    let claim = |all: &mut Topics| {
        doctor(all, 1, |entry| {
            entry["silent"]["filtered"] = Value::from("1");
        });
    };
    let differs: (&str, &[i64]) = ("ledger_differs", &[]);
    check(&claim, &[], &[differs]);
    check(&claim, &["--verify"], &[differs, ("ledger_claims", &[11])]);

    // Its sums are wrong.
    let sums = |all: &mut Topics| {
        doctor(all, 2, |entry| {
            let more = entry["counts"]["emitted"].as_u64().expect("a count") + 1;
            entry["counts"]["emitted"] = Value::from(more);
        });
    };
    check(&sums, &[], &[("ledger_differs", &[])]);

    // An entry is missing.
    let hole = |all: &mut Topics| {
        let index = entry(all, 2);
        all.ledger.remove(index);
    };
    let report = check(&hole, &[], &[("ledger_hole", &[])]);
    let text = report["findings"][0]["text"].as_str().expect("text");
    assert!(
        text.contains("no entry covers the offsets 20..30"),
        "{text}"
    );
}

/// The `which`th entry of partition 0.
fn entry(all: &Topics, which: usize) -> usize {
    let of_it = all
        .ledger
        .iter()
        .enumerate()
        .filter(|(_, read)| read.partition == 0);
    of_it.map(|(index, _)| index).nth(which).expect("an entry")
}

fn doctor(all: &mut Topics, which: usize, change: impl FnOnce(&mut Value)) {
    let index = entry(all, which);
    let value = all.ledger[index].value.as_deref().expect("an entry");
    let mut json: Value = serde_json::from_slice(value).expect("JSON");
    change(&mut json);
    all.ledger[index].value = Some(json.to_string().into_bytes());
}

/// Starts `audit --watch`. Returns it, and how its metrics are asked for: nothing while it does not answer.
fn watched(job: &Job) -> (Server, impl Fn() -> Option<String>) {
    let watch = [
        "audit",
        "--watch",
        "--interval",
        "200ms",
        "--listen",
        "127.0.0.1:0",
    ];
    let server = job.start_with(&watch, "watch");
    let url = format!("http://{}/metrics", job.admin("watch"));
    let page = move || {
        let (status, body) = support::http::get(url.clone()).send().ok()?;
        (status == 200).then_some(body)
    };
    (server, page)
}

const HOUR: i64 = 3_600_000;

/// The fronts of sink, retry and dead-letter topics have expired, the retry topic's whole. What is missing behind them is lost;
/// what may have gone with them is no finding, and counted.
#[test]
fn what_is_lost_behind_what_expired_is_named() {
    let Some(bed) = real() else { return };
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let server = LookupServer::start(move |id| id > 3 || is_mended.load(Ordering::SeqCst));
    let shape = Shape {
        provenance: "header",
        retry: "{ tiers: [3s] }",
        lookup: Some(server.url()),
        partitions: 2,
        ..Shape::default()
    };
    // Five steps of ten records of each partition. Of the first, 1 to 3 are retried.
    let job = Job::new(&bed, None, shape);
    let all = writes(&job, 100);
    job.live(None, |live| {
        for (part, step) in all.chunks(20).zip(1..) {
            topics::produce(&job.client, &job.source, part);
            finish(live, &job, step * 20);
            let retry = job.retry_topic(1);
            live.eventually("they wait", || job.count(&retry) == 3);
            mended.store(true, Ordering::SeqCst);
            live.eventually("they are through", || job.committed(&retry) == 3);
        }
    });
    right(&job, &[]);

    // Each step takes an hour, and the retries end within the second.
    let hours = |all: &mut Topics| {
        for read in &mut all.ledger {
            let value = read.value.as_deref().expect("an entry");
            let mut json: Value = serde_json::from_slice(value).expect("JSON");
            let is_retry = json["topic"]
                .as_str()
                .is_some_and(|topic| topic.contains("retry"));
            let to = json["to"].as_i64().expect("an offset");
            let time = match is_retry {
                true => HOUR + HOUR / 2,
                false => (to + 9) / 10 * HOUR,
            };
            json["time"] = Value::from(1_700_000_000_000 + time);
            read.value = Some(json.to_string().into_bytes());
        }
    };
    // What the first two steps left in each partition, and how many records that was the outcome of.
    let front = |reads: &[Read], partitions: usize| -> Vec<i64> {
        let mut fronts = vec![0; partitions];
        for read in reads {
            let named = read
                .header("driftgate.source")
                .and_then(|place| place.split_once('@'));
            let offset = match named {
                Some((_, offset)) => offset.parse().ok(),
                None => number(read, "driftgate.source.offset"),
            };
            let partition = usize::try_from(read.partition).expect("a partition");
            fronts[partition] += i64::from(offset.expect("a place") < 20);
        }
        fronts
    };
    let expire = |change: &dyn Fn(&mut Topics)| {
        let mut fronts = Vec::new();
        let copy = Copy::of(&bed, &job, |all| {
            hours(all);
            change(all);
            fronts = vec![
                front(&all.sink, 4),
                front(&all.dead, 2),
                front(&all.retries, 2),
            ];
        });
        let retry = copy.job.retry_topic(1);
        for (topic, at) in [&copy.job.sink, &copy.job.dlq, &retry]
            .into_iter()
            .zip(&fronts)
        {
            topics::delete_before(&copy.job.client, topic, at);
        }
        assert_eq!(fronts[2].iter().sum::<i64>(), 3);
        let expired = fronts[0].iter().sum::<i64>() + fronts[1].iter().sum::<i64>();
        assert_eq!(expired, 40, "all of two steps");
        (copy, expired)
    };
    let (copy, expired) = expire(&|_| {});
    let report = right(&copy.job, &[]);
    assert_eq!(report["unproved"], expired, "{report:#}");
    let report = right(&copy.job, &["--from", "30"]);
    assert_eq!(report["unproved"], 0, "{report:#}");

    // An output and a dead letter of the last step, and an output that may have been written before the fronts were.
    let is_dead =
        |read: &Read| read.partition == 0 && number(read, "driftgate.source.offset") == Some(45);
    let (copy, expired) = expire(&|all| {
        for offset in [42, 22] {
            let index = at(&mut all.sink, offset);
            all.sink.remove(index);
        }
        all.dead.retain(|read| !is_dead(read));
    });
    let report = wrong(&copy.job, &[], &[("lost", &[42, 45])]);
    assert_eq!(report["unaccounted"], 2);
    assert_eq!(report["unproved"], expired + 1, "{report:#}");
    let report = wrong(&copy.job, &["--from", "30"], &[("lost", &[42, 45])]);
    assert_eq!(report["unproved"], 0, "{report:#}");

    // A watch says both.
    let (server, page) = watched(&copy.job);
    for (family, count) in [
        ("driftgate_unaccounted_records", 2.0),
        ("driftgate_unproved_records", 41.0),
    ] {
        support::eventually(LIMIT, family, || {
            page().is_some_and(|page| live::sum(&page, family, &["parcels"]) == count)
        });
    }
    let log = copy.job.log("watch");
    assert!(log.contains("nothing is proved of some records"), "{log}");
    assert_eq!(server.stop(LIMIT).code(), Some(1));
}

#[test]
fn without_headers_counts_tell_that_something_is_wrong() {
    let Some(bed) = real() else { return };
    let ran = ran(
        &bed,
        None,
        Shape {
            provenance: "ledger",
            ..shape()
        },
    );
    let count = |change: &dyn Fn(&mut Topics), text: &str| {
        let copy = Copy::of(&bed, &ran, change);
        let report = wrong(&copy.job, &[], &[("count", &[])]);
        assert_eq!(
            report["findings"][0]["text"]
                .as_str()
                .map(|found| found.contains(text)),
            Some(true),
            "{report:#}"
        );
        assert_eq!(report["unaccounted"], 1);
    };
    count(
        &|all| drop(all.sink.pop()),
        "80 records counted as emitted, and 79 found",
    );
    count(
        &|all| drop(all.dead.pop()),
        "10 records counted as dead_lettered, and 9 found",
    );
    let copy = Copy::of(&bed, &ran, |all| {
        let double = all.sink[0].clone();
        all.sink.push(double);
    });
    let report = right(&copy.job, &[]);
    assert_eq!(report["counts"][0]["standing"], "more");
    // Somebody else writes there, and it is said.
    let report = right(&copy.job, &["--shared-sink", &copy.job.sink]);
    assert_eq!(report["counts"][0]["standing"], "not_comparable");
    // The ledger has counted one more than there is, all along.
    let copy = Copy::of(&bed, &ran, |all| {
        doctor(all, 2, |entry| {
            let more = entry["delta"]["emitted"].as_u64().expect("a count") + 1;
            entry["delta"]["emitted"] = Value::from(more);
        });
    });
    wrong(&copy.job, &[], &[("ledger_differs", &[]), ("count", &[])]);
}

#[test]
fn retries_are_followed_to_their_end_and_what_waits_is_pending() {
    both(|bed, broker| {
        let server = LookupServer::start(|_| false);
        let shape = Shape {
            partitions: 1,
            retry: "{ tiers: [1s, 1h] }",
            lookup: Some(server.url()),
            provenance: "header",
            ..Shape::default()
        };
        let job = Job::new(bed, broker, shape);
        topics::produce(&job.client, &job.source, &writes_to_one(&job, 0..10));
        job.live(broker, |live| {
            finish(live, &job, 10);
            live.eventually("all on the second tier", || {
                job.count(&job.retry_topic(2)) == 9
            });
            live.eventually("the first is committed", || {
                job.committed(&job.retry_topic(1)) == 9
            });
        });
        let report = right(&job, &[]);
        assert_eq!(report["counts"][1]["outcome"], "retried");
        assert_eq!(report["counts"][1]["found"], 18, "{report:#}");
        assert_eq!(report["partitions"][2]["waiting"], 9, "{report:#}");
        // Verified it cannot be: a lookup may say something else.
        let output = run(&job, &["--verify"]);
        assert_eq!(output.status.code(), Some(2));
    });
}

/// What somebody else writes into our topics is named by its offsets. In a dead-letter topic it is nobody's outcome, and another
/// pipeline's dead letters are not foreign; in a retry topic instances take it for a retry.
#[test]
fn what_others_write_into_retry_and_dead_letter_topics_is_named() {
    both(|bed, broker| {
        for provenance in ["header", "ledger"] {
            let shape = Shape {
                partitions: 1,
                provenance,
                retry: "{ tiers: [1s] }",
                ..shape()
            };
            let job = Job::new(bed, broker, shape);
            let writes: Vec<_> = writes(&job, 20).into_iter().map(|w| w.to(0)).collect();
            topics::produce(&job.client, &job.source, &writes);
            job.live(broker, |live| finish(live, &job, 20));
            assert_eq!(right(&job, &[])["foreign"], Value::Array(Vec::new()));

            let bytes = || Write::new("key", b"anything".to_vec()).to(0);
            let others = [
                ("driftgate.group", "another"),
                ("driftgate.source.topic", "elsewhere"),
                ("driftgate.source.partition", "0"),
                ("driftgate.source.offset", "5"),
            ];
            let others = others
                .iter()
                .fold(bytes(), |write, (name, value)| write.header(name, *value));
            topics::produce(&job.client, &job.dlq, &[bytes(), others, bytes(), bytes()]);
            let report = right(&job, &["--examples", "2"]);
            let foreign = &report["foreign"][0];
            let place = (&foreign["topic"], &foreign["partition"]);
            assert_eq!(place, (&Value::from(job.dlq.as_str()), &Value::from(0)));
            assert_eq!(foreign["kind"], "foreign");
            assert_eq!(foreign["count"], 3, "{report:#}");
            assert_eq!(foreign["offsets"], serde_json::json!([2, 4]));

            let retry = job.retry_topic(1);
            topics::produce(&job.client, &retry, &[bytes(), bytes()]);
            let report = wrong(&job, &[], &[("foreign", &[0, 1])]);
            assert_eq!(report["findings"][0]["topic"], retry.as_str());
            assert_eq!(report["unaccounted"], 0, "{report:#}");
            job.live(broker, |live| {
                live.eventually("they are taken", || job.committed(&retry) == 2);
            });
            let (code, report) = audit(&job, &[]);
            assert_eq!(code, 1, "{report:#}");
            assert_eq!(report["findings"][0]["kind"], "foreign", "{report:#}");
            assert_eq!(report["findings"][0]["offsets"], serde_json::json!([0, 1]));
        }
    });
}

/// Ids from a range, 0 of them breaking the rule.
fn writes_to_one(job: &Job, ids: std::ops::Range<i64>) -> Vec<Write> {
    ids.map(|id| {
        let id = if id == 0 { -1 } else { id };
        Write::new(format!("key {id}"), job.parcel(id, "note"))
    })
    .collect()
}

/// Another producer, with a transaction of its own.
fn producer(job: &Job) -> BaseProducer {
    let mut config = job.client.clone();
    config
        .set("transactional.id", support::unique("other"))
        .set("transaction.timeout.ms", "60000");
    let producer: BaseProducer = config.create().expect("a valid configuration");
    producer
        .init_transactions(LIMIT)
        .expect("the broker answers");
    producer.begin_transaction().expect("none is open");
    producer
}

fn flushed(producer: &BaseProducer, topic: &str) {
    let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).payload("{}").partition(0);
    assert!(producer.send(record).is_ok(), "room");
    producer.flush(LIMIT).expect("written");
}

/// Somebody's transaction is open. It is waited for as long as it may; then what it hides is told and judged no further, and
/// nothing is called wrong that is only hidden.
#[test]
fn an_open_transaction_is_waited_for_and_what_it_hides_is_told() {
    let Some(bed) = real() else { return };
    let shape = Shape {
        delivery: EXACTLY_ONCE,
        ..shape()
    };
    let job = ran(&bed, None, shape);
    let report = right(&job, &[]);
    assert_eq!(report["notes"], Value::Array(Vec::new()), "{report:#}");

    // What the job writes next stands behind these.
    let other = producer(&job);
    for topic in [&job.sink, &job.dlq, &job.ledger()] {
        flushed(&other, topic);
    }
    let more: Vec<Write> = writes(&job, 120).split_off(100);
    topics::produce(&job.client, &job.source, &more);
    job.live(None, |live| finish(live, &job, 120));
    let report = right(&job, &["--wait", "1s"]);
    let notes = report["notes"].to_string();
    for topic in [&job.sink, &job.dlq, &job.ledger()] {
        let hidden = format!("{topic}-0: an open transaction hides everything from offset");
        assert!(notes.contains(&hidden), "{hidden}: {report:#}");
    }
    assert!(notes.contains("an open transaction hides entries of its ledger"));
    for line in report["counts"].as_array().expect("a list") {
        assert_eq!(line["standing"], "not_comparable", "{report:#}");
        let why = line["why"].as_str().expect("a reason");
        assert!(
            why.starts_with("an open transaction hides a part of"),
            "{why}"
        );
    }

    // It ends while an audit waits for it.
    let report = right_once_aborted(&job, &other);
    assert_eq!(report["notes"], Value::Array(Vec::new()), "{report:#}");
    for (line, count) in [(0, 96), (1, 12)] {
        assert_eq!(report["counts"][line]["found"], count, "{report:#}");
        assert_eq!(report["counts"][line]["standing"], "equal");
    }

    // The group's offsets are part of one: nobody is told where the group stands.
    let other = producer(&job);
    let mut config = job.client.clone();
    config.set("group.id", &job.group);
    let member: BaseConsumer = config.create().expect("a valid configuration");
    let group = member.group_metadata().expect("a group");
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(&job.source, 0, Offset::Offset(1))
        .expect("a valid offset");
    other
        .send_offsets_to_transaction(&offsets, &group, LIMIT)
        .expect("the group has no members");
    let output = run(&job, &["--wait", "1s"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("a transaction that holds them was still open"),
        "{said}"
    );
    right_once_aborted(&job, &other);
}

/// What an audit says that waits for the producer's transaction, which ends while it does.
fn right_once_aborted(job: &Job, other: &BaseProducer) -> Value {
    std::thread::scope(|scope| {
        let audit = scope.spawn(|| right(job, &[]));
        wait::throughout(Duration::from_secs(3), Duration::from_millis(200), || {
            assert!(!audit.is_finished(), "it waits");
        });
        other.abort_transaction(LIMIT).expect("aborted");
        audit.join().expect("no panic")
    })
}

const EXACTLY_ONCE: &str = "delivery: exactly_once\n    transaction: { timeout: 5s }";

/// What an operator's command says in JSON; it must end with this code.
#[track_caller]
fn redrive(job: &Job, arguments: &[&str], code: i32) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_driftgate"))
        .args(["dlq", "redrive", "--output", "json", "-c"])
        .arg(job.folder.path().join("driftgate.yaml"))
        .args(arguments)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// How many are found of an outcome, which must be as many as are counted.
#[track_caller]
fn found(report: &Value, outcome: &str) -> i64 {
    let lines = report["counts"].as_array().expect("a list");
    let line = lines.iter().find(|line| line["outcome"] == outcome);
    let line = line.unwrap_or_else(|| panic!("no {outcome}: {report:#}"));
    assert_eq!(line["standing"], "equal", "{report:#}");
    line["found"].as_i64().expect("a count")
}

/// Dead letters are sent back and fail again, wait, and get through at last: each stretch of that adds up. One that is sent
/// back twice is emitted twice, and that is told as the redrive's doing.
#[test]
fn redriven_records_are_followed_and_add_up() {
    let Some(bed) = real() else { return };
    for (provenance, delivery) in [
        ("header", EXACTLY_ONCE),
        ("ledger", EXACTLY_ONCE),
        ("header", "delivery: at_least_once"),
    ] {
        let shape = Shape {
            provenance,
            delivery,
            retry: "{ tiers: [1s, 1s] }",
            ..shape()
        };
        let job = Job::new(&bed, None, shape);
        topics::produce(&job.client, &job.source, &writes(&job, 100));
        let settled = |live: &Live, dead: usize, emitted: usize| {
            live.eventually("all is committed", || {
                let retry = job.retry_topic(1);
                let ends = topics::watermarks(&job.client, &retry);
                let committed = topics::committed(&job.client, &job.group, &retry);
                let all = ends.iter().zip(&committed).all(|((_, end), commit)| {
                    commit.as_ref().map_or(0, |(offset, _)| *offset) == *end
                });
                all && topics::consume_all(&job.client, &job.dlq).len() == dead
                    && topics::consume_all(&job.client, &job.sink).len() == emitted
            });
        };
        job.live(None, |live| {
            finish(live, &job, 100);
            settled(live, 10, 80);
            right(&job, &[]);
            // Nothing is put right: they fail again, and the second time too.
            for round in 1..=2 {
                assert_eq!(redrive(&job, &[], 0)["redriven"], 10);
                right(&job, &[]);
                settled(live, 10 + 10 * round, 80);
            }
        });
        let report = right(&job, &[]);
        assert_eq!(found(&report, "dead_lettered"), 30);
        assert_eq!(found(&report, "retried"), 0, "they went back to be tried");
        assert_eq!(found(&report, "emitted"), 80);

        // Sent back while nobody reads: they wait.
        assert_eq!(redrive(&job, &[], 0)["redriven"], 10);
        let report = right(&job, &[]);
        let waiting = |report: &Value| -> i64 {
            let lines = report["partitions"].as_array().expect("a list").iter();
            lines.filter_map(|line| line["waiting"].as_i64()).sum()
        };
        assert_eq!(waiting(&report), 10, "{report:#}");
        let rules = job.folder.path().join("parcel.rules.yaml");
        let text = std::fs::read_to_string(&rules).expect("the job's own file");
        std::fs::write(&rules, text.replace("min: 0", "min: -1000")).expect("written");
        job.live(None, |live| settled(live, 30, 90));
        let report = right(&job, &[]);
        assert_eq!(found(&report, "emitted"), 90);
        assert_eq!(found(&report, "retried"), 0);
        assert_eq!(report["duplicates"], Value::Array(Vec::new()));
        if provenance == "header" {
            right(&job, &["--verify"]);
        }

        // All of the dead letters once more, of which each record has three.
        let again = redrive(&job, &["--from-start"], 0);
        assert_eq!(again["redriven"], 30, "{again:#}");
        job.live(None, |live| settled(live, 30, 120));
        let report = right(&job, &[]);
        assert_eq!(found(&report, "emitted"), 120);
        assert_eq!(found(&report, "retried"), 0);
        if provenance == "header" {
            let duplicates = report["duplicates"].as_array().expect("a list");
            let count: i64 = duplicates
                .iter()
                .filter_map(|one| one["count"].as_i64())
                .sum();
            assert_eq!(count, 10, "{report:#}");
            for one in duplicates {
                let text = one["text"].as_str().expect("text");
                assert!(text.contains("sent back"), "{text}");
            }
        }
    }
}

/// With an order per key, what stands for a dead letter in a retry topic is no record and no outcome.
#[test]
fn what_stands_for_a_dead_letter_is_no_outcome() {
    let Some(bed) = real() else { return };
    for (on_dead, delivery) in [
        ("park", EXACTLY_ONCE),
        ("park", "delivery: at_least_once"),
        ("dead_letter_followers", EXACTLY_ONCE),
    ] {
        let mended = Arc::new(AtomicBool::new(false));
        let is_mended = Arc::clone(&mended);
        let server = LookupServer::start(move |id| id != 3 || is_mended.load(Ordering::SeqCst));
        let retry =
            format!("{{ tiers: [1s, 1s], ordering: per_key, on_dead: {on_dead}, attempts: 2 }}");
        let shape = Shape {
            partitions: 1,
            retry: Box::leak(retry.into_boxed_str()),
            lookup: Some(server.url()),
            delivery,
            ..Shape::default()
        };
        let job = Job::new(&bed, None, shape);
        let writes: Vec<Write> = (0..20)
            .map(|id| Write::new(format!("key {}", id % 4), job.parcel(id, "note")))
            .collect();
        topics::produce(&job.client, &job.source, &writes);
        let dead = || topics::consume_all(&job.client, &job.dlq).len();
        let emitted = || topics::consume_all(&job.client, &job.sink).len();
        let is_park = on_dead == "park";
        job.live(None, |live| {
            finish(live, &job, 20);
            let expect = if is_park { (1, 15) } else { (5, 15) };
            live.eventually("the key's first is a dead letter", || {
                (dead(), emitted()) == expect
            });
            // It goes round as long as it stands for one.
            if is_park {
                let hops = || job.count(&job.retry_topic(2));
                let before = hops();
                live.eventually("it goes round", || hops() > before + 3);
            }
        });
        let report = right(&job, &[]);
        assert_eq!(found(&report, "dead_lettered"), if is_park { 1 } else { 5 });
        found(&report, "retried");
        if !is_park {
            continue;
        }
        mended.store(true, Ordering::SeqCst);
        redrive(&job, &[], 0);
        job.live(None, |live| {
            live.eventually("all of them", || emitted() == 20);
            live.eventually("nothing waits", || {
                live.metric("driftgate_parked_keys", &[&job.source]) == 0.0
            });
        });
        let report = right(&job, &[]);
        assert_eq!(found(&report, "emitted"), 20);
        found(&report, "retried");
        assert_eq!(report["duplicates"], Value::Array(Vec::new()), "{report:#}");
    }
}

/// Sets of outputs, in both modes.
#[test]
fn several_outputs_of_a_record_count_once() {
    both(|bed, broker| {
        for provenance in ["header", "ledger"] {
            let steps = "      - set: { parts: \"[0, 1, 2]\" }\n      - explode: { field: parts, into: part }\n      - drop: [part]";
            let shape = Shape {
                partitions: 1,
                steps: Some(steps.to_owned()),
                provenance,
                ..Shape::default()
            };
            let job = Job::new(bed, broker, shape);
            topics::produce(&job.client, &job.source, &writes_to_one(&job, 1..11));
            job.live(broker, |live| finish(live, &job, 10));
            let report = right(&job, &[]);
            assert_eq!(report["counts"][0]["found"], 10, "{report:#}");
            if provenance == "header" {
                right(&job, &["--verify"]);
            }
        }
    });
}

/// A restart goes on with the ledger where it ended, and audits while records flow are right.
#[test]
fn restarts_and_running_instances_are_audited() {
    both(|bed, broker| {
        let job = Job::new(
            bed,
            broker,
            Shape {
                provenance: "header",
                ..shape()
            },
        );
        let all = writes(&job, 4_000);
        job.live(broker, |live| {
            topics::produce(&job.client, &job.source, &all[..1_000]);
            finish(live, &job, 1_000);
        });
        job.live(broker, |live| {
            std::thread::scope(|scope| {
                let feed = scope.spawn(|| {
                    for part in all[1_000..].chunks(100) {
                        topics::produce(&job.client, &job.source, part);
                    }
                });
                while !feed.is_finished() {
                    right(&job, &[]);
                }
            });
            finish(live, &job, 4_000);
        });
        let report = right(&job, &["--verify"]);
        assert_eq!(report["partitions"][0]["records"], 2_000);
        assert_eq!(report["duplicates"], Value::Array(Vec::new()));
    });
}

/// The ledger's topic is gone: the partition pauses, nothing is committed, and with the topic everything goes on.
#[test]
fn a_ledger_that_cannot_be_written_pauses_and_loses_nothing() {
    let Some(bed) = real() else { return };
    let job = Job::new(
        &bed,
        None,
        Shape {
            provenance: "header",
            partitions: 1,
            properties: live::MISSES_TOPICS,
            ..shape()
        },
    );
    let first = writes_to_one(&job, 1..11);
    let second = writes_to_one(&job, 11..21);
    job.live(None, |live| {
        topics::produce(&job.client, &job.source, &first);
        finish(live, &job, 10);
        live::delete(&job.client, &job.ledger());
        topics::produce(&job.client, &job.source, &second);
        let named = || {
            let reasons = live.instance.health.readiness().reasons;
            reasons.iter().any(|reason| reason.contains(&job.ledger()))
        };
        support::eventually(2 * LIMIT, "a pause that names the ledger", named);
        assert_eq!(
            job.committed(&job.source),
            10,
            "nothing is committed without its entry"
        );
        topics::create(&job.client, &job.ledger(), 1, &[]);
        support::eventually(2 * LIMIT, "it goes on", || job.committed(&job.source) == 20);
        live.ready();
    });
    // What was deleted with the topic is missed.
    let report = wrong(&job, &[], &[("ledger_hole", &[])]);
    let text = report["findings"][0]["text"].as_str().expect("text");
    assert!(text.contains("0..10"), "{text}");
}

#[test]
fn a_watch_exports_what_is_unaccounted_for() {
    let Some(bed) = real() else { return };
    let ran = ran(
        &bed,
        None,
        Shape {
            provenance: "header",
            ..shape()
        },
    );
    let copy = Copy::of(&bed, &ran, |all| {
        let index = at(&mut all.sink, SOME);
        all.sink.remove(index);
    });
    let job = &copy.job;
    let (server, page) = watched(job);
    support::eventually(LIMIT, "two audits", || {
        page().is_some_and(|page| live::sum(&page, "driftgate_audits_total", &["findings"]) >= 2.0)
    });
    let page = page().expect("it answers");
    assert_eq!(
        live::sum(&page, "driftgate_unaccounted_records", &["parcels"]),
        1.0
    );
    assert!(job.log("watch").contains("no outcome is found"));
    assert_eq!(server.stop(LIMIT).code(), Some(1), "something was wrong");
}

#[test]
fn a_broker_that_is_away_and_wrong_arguments_have_their_exit_codes() {
    let embedded = live::Embedded::start();
    let job = Job::new(&embedded.bed, Some(&embedded.broker), shape());
    for arguments in [
        &["--pipeline", "other"][..],
        &["--topic", "other"],
        &["--from", "yesterday"],
        &["--from", "-1"],
        &["--from", "10", "--to", "10"],
        &["--from", "1h", "--to", "2h"],
        &["--shared-sink", "other"],
        &["--partition", "99"],
        &["--interval", "5s"],
        &["--partition", "-1"],
    ] {
        assert_eq!(run(&job, arguments).status.code(), Some(2), "{arguments:?}");
    }
    drop(embedded);
    let output = run(&job, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("the broker could not be reached at 127.0.0.1:"),
        "{said}"
    );
}
