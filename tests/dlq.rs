//! `driftgate dlq`, as a command, on the embedded broker and registry and on the real ones: dead letters listed, counted,
//! shown, corrected and sent back.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use driftgate::embedded::broker::EmbeddedBroker;
use serde_json::{Value, json};
use support::live::{self, Job, LIMIT, Shape, both, real};
use support::process::Server;
use support::topics::{self, Read, Write};
use support::{eventually, http, unique};

const SECRET: &str = "ann@example.org";

/// What the command has said.
struct Told {
    code: i32,
    out: String,
    log: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|_| panic!("no JSON: {} {}", self.out, self.log))
    }
}

fn arguments(file: &Path, command: &str, more: &[&str]) -> Vec<String> {
    let file = file.to_str().expect("text");
    let first = ["--log-level", "error", "dlq", command, "-c", file];
    first
        .iter()
        .chain(more)
        .map(|word| (*word).to_owned())
        .collect()
}

fn dlq(job: &Job, command: &str, more: &[&str]) -> Told {
    let file = job.folder.path().join("driftgate.yaml");
    let output = Command::new(env!("CARGO_BIN_EXE_driftgate"))
        .args(arguments(&file, command, more))
        .output()
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Told {
        code: output.status.code().expect("no signal"),
        out: text(output.stdout),
        log: text(output.stderr),
    }
}

/// The JSON of a command that ends with this code.
#[track_caller]
fn ends(job: &Job, command: &str, more: &[&str], code: i32) -> Value {
    let told = dlq(job, command, &[more, &["--output", "json"]].concat());
    assert_eq!(
        told.code, code,
        "{command} {more:?}: {}{}",
        told.out, told.log
    );
    let json = told.json();
    if command == "redrive" {
        adds_up(&json);
    }
    json
}

#[track_caller]
fn adds_up(summary: &Value) {
    let number = |name: &str| summary[name].as_u64().expect("a number");
    let parts = [
        "redriven",
        "filtered",
        "elsewhere",
        "capped",
        "refused",
        "unacknowledged",
    ];
    let sum: u64 = parts.into_iter().map(number).sum();
    assert_eq!(sum, number("read"), "{summary:#}");
}

fn edit(job: &Job, file: &str, from: &str, to: &str) {
    let path = job.folder.path().join(file);
    let text = std::fs::read_to_string(&path).expect("the job's own file");
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).expect("the job's own folder");
}

fn ready(job: &Job, name: &str) {
    let url = format!("http://{}/readyz", job.admin(name));
    eventually(LIMIT, "ready", || {
        http::get(&url)
            .send()
            .is_ok_and(|(status, _)| status == 200)
    });
}

fn create(job: &Job, broker: Option<&EmbeddedBroker>, topic: &str, partitions: i32) {
    match broker {
        Some(broker) => broker.create_topic(topic, partitions).expect("a topic"),
        None => topics::create(&job.client, topic, partitions, &[]),
    }
}

/// The position at the source that each record of the sink came from.
fn positions(job: &Job) -> BTreeMap<String, Read> {
    let reads = topics::consume_all(&job.client, &job.sink).into_iter();
    let position = |read: Read| Some((read.header("driftgate.source")?.to_owned(), read));
    reads.filter_map(position).collect()
}

/// Two tiers, and dead letters that speak other dialects too.
fn two_tiers() -> Shape {
    Shape {
        retry: "{ tiers: [1s, 2s] }, dead_letter: { headers: [connect, spring, streams] }",
        steps: Some("      - map_values: { field: note, values: { small: SMALL } }\n".to_owned()),
        ..Shape::default()
    }
}

/// Poison for two reasons, one corrected in the rules file and one in a table; then everything comes through, each
/// record as it was at its source.
#[test]
fn corrected_rules_and_a_table_plus_redrive_bring_every_record_through() {
    both(|bed, broker| {
        let job = Job::new(bed, broker, two_tiers());
        let mut writes = Vec::new();
        for n in 0..30_i64 {
            let (id, note) = match n % 3 {
                0 => (n, "small"),
                1 => (-n, "small"),
                _ => (n, "huge"),
            };
            let mut write = Write::new(format!("k{n}"), job.parcel(id, note))
                .header("traceparent", format!("00-{n}"))
                .header("driftgate.reason", "the source's own");
            write.timestamp = Some(1_700_000_000_000 + n);
            writes.push(write);
        }
        topics::produce(&job.client, &job.source, &writes);
        let mut program = job.start("run", "before");
        eventually(LIMIT, "all is committed", || {
            job.committed(&job.source) == 30
        });
        assert_eq!(job.count(&job.dlq), 20);
        assert!(program.runs());

        let stats = ends(&job, "stats", &[], 0);
        assert_eq!(stats["matched"], 20);
        let reasons = json!([{"value": "rule_violation", "count": 10}, {"value": "transform_failed", "count": 10}]);
        assert_eq!(stats["by_reason"], reasons);
        assert_eq!(
            stats["by_owner"],
            json!([{"value": "depot <#depot>", "count": 20}])
        );
        assert_eq!(
            stats["by_age"],
            json!([{"value": "under 1 h", "count": 20}])
        );
        let list = ends(&job, "list", &["--reason", "rule_violation"], 0);
        let letters = list["dead_letters"].as_array().expect("a list");
        assert_eq!((letters.len(), &list["read"]), (10, &json!(20)));
        for letter in letters {
            assert_eq!(letter["path"], "id");
            assert_eq!(letter["schema_id"], job.schema);
            assert_eq!(letter["dialect"], "driftgate");
            let at = letter["at"].as_str().expect("a position");
            assert!(at.starts_with(&format!("{}-", job.dlq)), "{at}");
        }
        let shown = ends(&job, "show", &[letters[0]["at"].as_str().expect("text")], 0);
        assert_eq!(shown["origin"]["reason"], "rule_violation");
        assert_eq!(shown["origin"]["expected"], "long");
        assert_eq!(shown["outcome"]["outcome"], "dead_lettered", "{shown:#}");
        let header = |name: &str| {
            let headers = shown["headers"].as_array().expect("headers");
            headers
                .iter()
                .find(|header| header[0] == name)
                .map(|header| header[1].clone())
        };
        let partition = header("driftgate.source.partition").expect("ours");
        assert_eq!(
            header("kafka_dlt-original-partition"),
            Some(partition),
            "decoded"
        );

        let dry = ends(&job, "redrive", &["--dry-run"], 0);
        assert_eq!(
            (&dry["redriven"], &dry["dry_run"]),
            (&json!(20), &json!(true))
        );
        assert_eq!(dry["by_reason"], reasons);
        assert_eq!(job.count(&job.retry_topic(1)), 0, "nothing was sent");
        assert_eq!(program.stop(LIMIT).code(), Some(0));

        edit(&job, "parcel.rules.yaml", "min: 0", "min: -1000");
        edit(
            &job,
            "driftgate.yaml",
            "small: SMALL",
            "small: SMALL, huge: HUGE",
        );
        let mut program = job.start("run", "after");
        ready(&job, "after");
        let done = ends(&job, "redrive", &[], 0);
        assert_eq!((&done["read"], &done["redriven"]), (&json!(20), &json!(20)));
        assert_eq!(done["resumed"], false);
        eventually(LIMIT, "every record is in the sink", || {
            positions(&job).len() == 30
        });
        assert_eq!(job.count(&job.dlq), 20, "none failed again");
        let found = positions(&job);
        let values: BTreeSet<_> = found
            .values()
            .map(|read| (live::id(read), read.key.clone()))
            .collect();
        assert_eq!(values.len(), 30);
        for read in found.values() {
            let n = read.timestamp.expect("a timestamp") - 1_700_000_000_000;
            assert_eq!(read.key, Some(format!("k{n}").into_bytes()));
            assert_eq!(live::id(read).abs(), n);
            assert_eq!(read.header("traceparent"), Some(format!("00-{n}").as_str()));
            let ours = ["driftgate.source"];
            let others = read.headers.iter().map(|(name, _)| name.as_str());
            let others: Vec<&str> = others.filter(|name| !ours.contains(name)).collect();
            assert_eq!(
                others,
                ["traceparent", "driftgate.reason"],
                "nothing of ours is left"
            );
        }
        let again = ends(&job, "redrive", &[], 0);
        assert_eq!(
            (&again["read"], &again["resumed"]),
            (&json!(0), &json!(true))
        );
        let anew = ends(&job, "redrive", &["--from-start", "--dry-run"], 0);
        assert_eq!(anew["redriven"], 20);
        assert!(program.runs());
        assert_eq!(program.stop(LIMIT).code(), Some(0));
    });
}

/// Nothing is corrected: each round fails again, keeps its count, and ends at the cap.
#[test]
fn what_fails_again_counts_up_and_the_cap_holds() {
    both(|bed, broker| {
        let job = Job::new(bed, broker, two_tiers());
        let writes: Vec<Write> = (1..=4)
            .map(|n| Write::new(format!("k{n}"), job.parcel(-n, "small")))
            .collect();
        topics::produce(&job.client, &job.source, &writes);
        let mut program = job.start("run", "run");
        let returns = |job: &Job| {
            let reads = topics::consume_all(&job.client, &job.dlq);
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for read in reads {
                assert!(
                    read.count("driftgate.redriven") <= 1,
                    "counted up, not piled up"
                );
                let times = read.header("driftgate.redriven").unwrap_or("0");
                assert_eq!(
                    read.header("driftgate.attempt"),
                    Some("1"),
                    "each time anew"
                );
                *counts.entry(times.to_owned()).or_default() += 1;
            }
            counts.into_values().collect::<Vec<_>>()
        };
        let cap = ["--max-redriven", "2"];
        for round in 1..=3 {
            let expect = vec![4; round];
            eventually(LIMIT, "the dead letters", || returns(&job) == expect);
            let code = if round == 3 { 1 } else { 0 };
            let summary = ends(&job, "redrive", &cap, code);
            assert_eq!(summary["read"], 4, "what came since: {summary:#}");
            let (sent, capped) = if round == 3 { (0, 4) } else { (4, 0) };
            assert_eq!(
                (&summary["redriven"], &summary["capped"]),
                (&json!(sent), &json!(capped))
            );
        }
        let stats = ends(&job, "stats", &[], 0);
        let redriven = json!([{"value": "0", "count": 4}, {"value": "1", "count": 4}, {"value": "2", "count": 4}]);
        assert_eq!(stats["by_redriven"], redriven);
        assert!(program.runs());
        assert_eq!(program.stop(LIMIT).code(), Some(0));
        assert_eq!(job.count(&job.sink), 0);
    });
}

/// A dead letter as this pipeline would have written it.
fn letter(job: &Job, partition: i32, offset: i64, value: Vec<u8>) -> Write {
    Write::new(format!("k{offset}"), value)
        .to(partition)
        .header("driftgate.reason", "rule_violation")
        .header("driftgate.path", "id")
        .header("driftgate.source.topic", job.source.as_str())
        .header("driftgate.source.partition", partition.to_string())
        .header("driftgate.source.offset", offset.to_string())
        .header("driftgate.group", job.group.as_str())
        .header("driftgate.pipeline", "parcels")
        .header(
            "driftgate.failed_at",
            (1_700_000_000_000 + offset).to_string(),
        )
}

/// What stands in a retry topic, by position at the source.
fn sent(job: &Job) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for read in topics::consume_all(&job.client, &job.retry_topic(1)) {
        let part = |name| read.header(name).expect("kept").to_owned();
        let at = format!(
            "{}@{}",
            part("driftgate.source.partition"),
            part("driftgate.source.offset")
        );
        assert_eq!(
            part("driftgate.source.partition"),
            read.partition.to_string()
        );
        *found.entry(at).or_default() += 1;
    }
    found
}

fn prepare(bed: &support::Bed, broker: Option<&EmbeddedBroker>) -> Job {
    let job = Job::new(bed, broker, two_tiers());
    if broker.is_none() {
        for topic in [job.dlq.clone(), job.retry_topic(1)] {
            topics::create(&job.client, &topic, job.shape.partitions, &[]);
        }
    }
    job
}

#[test]
fn a_redrive_that_is_killed_half_way_goes_on_and_leaves_none_out() {
    const LETTERS: i64 = 3_000;
    both(|bed, broker| {
        let job = prepare(bed, broker);
        let partitions = i64::from(job.shape.partitions);
        let writes: Vec<Write> = (0..LETTERS)
            .map(|n| {
                letter(
                    &job,
                    i32::try_from(n % partitions).expect("few"),
                    n,
                    job.parcel(-n, "small"),
                )
            })
            .collect();
        topics::produce(&job.client, &job.dlq, &writes);
        let file = job.folder.path().join("driftgate.yaml");
        let slowly = arguments(&file, "redrive", &["--rate", "400/s"]);
        let mut server = Server::start(
            Path::new(env!("CARGO_BIN_EXE_driftgate")),
            &slowly,
            &[],
            &job.folder.path().join("redrive.log"),
        );
        eventually(LIMIT, "half of them are sent", || {
            job.count(&job.retry_topic(1)) > 1_200
        });
        assert!(server.runs(), "{}", server.tail());
        server.kill();
        let before = job.count(&job.retry_topic(1));
        assert!(before < LETTERS, "it was killed before its end");
        let group = format!("{}.redrive", job.group);
        let committed = topics::committed(&job.client, &group, &job.dlq);
        let committed: i64 = committed.iter().flatten().map(|(offset, _)| offset).sum();
        assert!(
            0 < committed && committed <= before,
            "{committed} of {before}: behind what is acknowledged"
        );

        let rest = ends(&job, "redrive", &[], 0);
        assert_eq!(rest["resumed"], true);
        assert_eq!(rest["read"], LETTERS - committed, "{rest:#}");
        let found = sent(&job);
        assert_eq!(
            found.len(),
            usize::try_from(LETTERS).expect("few"),
            "none is left out"
        );
        let copies: usize = found.values().sum();
        assert_eq!(
            i64::try_from(copies).expect("few"),
            before + LETTERS - committed
        );
    });
}

/// A first Ctrl-C waits for what is on its way, commits, and says so.
#[test]
fn an_interrupted_redrive_repeats_nothing() {
    both(|bed, broker| {
        let job = prepare(bed, broker);
        let writes: Vec<Write> = (0..1_000)
            .map(|n| letter(&job, 0, n, job.parcel(-n, "")))
            .collect();
        topics::produce(&job.client, &job.dlq, &writes);
        let file = job.folder.path().join("driftgate.yaml");
        let slowly = arguments(&file, "redrive", &["--rate", "200/s"]);
        let mut server = Server::start(
            Path::new(env!("CARGO_BIN_EXE_driftgate")),
            &slowly,
            &[],
            &job.folder.path().join("redrive.log"),
        );
        eventually(LIMIT, "some of them are sent", || {
            job.count(&job.retry_topic(1)) > 200
        });
        server.signal(rustix::process::Signal::INT);
        let status = server.ended(LIMIT).expect("it ends");
        assert_eq!(status.code(), Some(3), "{}", server.tail());
        assert!(server.tail().contains("interrupted"), "{}", server.tail());
        let rest = ends(&job, "redrive", &[], 0);
        let found = sent(&job);
        assert_eq!(
            (found.len(), found.values().sum()),
            (1_000, 1_000),
            "{rest:#}"
        );
    });
}

/// Two people send the same dead letters back. One of them is told, and little is sent twice.
#[test]
fn a_second_redrive_beside_the_first_ends_and_says_why() {
    const LETTERS: usize = 3_000;
    both(|bed, broker| {
        let job = prepare(bed, broker);
        let writes: Vec<Write> = (0..LETTERS)
            .map(|n| {
                let n = i64::try_from(n).expect("few");
                letter(&job, 0, n, job.parcel(-n, ""))
            })
            .collect();
        topics::produce(&job.client, &job.dlq, &writes);
        let file = job.folder.path().join("driftgate.yaml");
        let slowly = arguments(&file, "redrive", &["--rate", "300/s"]);
        let start = |name: &str| {
            Server::start(
                Path::new(env!("CARGO_BIN_EXE_driftgate")),
                &slowly,
                &[],
                &job.folder.path().join(name),
            )
        };
        let mut servers = [start("first.log"), start("second.log")];
        let ended = eventually(LIMIT, "one of them ends", || {
            servers.iter_mut().position(|server| !server.runs())
        });
        let one = &mut servers[ended];
        assert!(one.tail().contains("another redrive"), "{}", one.tail());
        assert_eq!(one.ended(LIMIT).expect("it ends").code(), Some(3));
        let other = &mut servers[1 - ended];
        let code = other.ended(LIMIT).expect("it ends").code();
        // Where both commit within the same moment, each finds the other's.
        assert!(code == Some(0) || other.tail().contains("another redrive"));
        ends(&job, "redrive", &[], 0);
        let found = sent(&job);
        assert_eq!(found.len(), LETTERS, "none is left out");
        let copies: usize = found.values().sum();
        assert!(copies < 2 * LETTERS - 500, "{copies}");
    });
}

/// Two pipelines of one group share a dead-letter topic. What one of them leaves to the other has not been sent.
#[test]
fn pipelines_that_share_group_and_dead_letters_have_a_progress_each() {
    both(|bed, broker| {
        let dead = unique("dead");
        let retry = format!("{{ tiers: [1s] }}, dead_letter: {{ topic: {dead} }}");
        let shape = Shape {
            retry: Box::leak(retry.into_boxed_str()),
            ..Shape::default()
        };
        let job = Job::new(bed, broker, shape);
        let path = job.folder.path().join("driftgate.yaml");
        let text = std::fs::read_to_string(&path).expect("the job's own file");
        let (_, first) = text.split_once("pipelines:\n").expect("its pipeline");
        let other = unique("returns");
        let second = first
            .replace("  parcels:", "  returns:")
            .replace(&job.source, &other)
            .replace(&job.sink, &unique("clean"));
        std::fs::write(&path, format!("{text}{second}")).expect("the job's own folder");
        let count = job.shape.partitions;
        let retries = [job.retry_topic(1), format!("{other}.{}.retry.1", job.group)];
        create(&job, broker, &other, count);
        if broker.is_none() {
            for topic in retries.iter().chain([&dead]) {
                create(&job, broker, topic, count);
            }
        } else {
            create(&job, broker, &retries[1], count);
        }
        let mut writes: Vec<Write> = (0..6).map(|n| letter(&job, 0, n, vec![1])).collect();
        for write in &mut writes[3..] {
            let source = write
                .headers
                .iter_mut()
                .find(|(name, _)| name == "driftgate.source.topic");
            source.expect("it names its source").1 = Some(other.clone().into_bytes());
        }
        topics::produce(&job.client, &dead, &writes);
        for (pipeline, retry) in ["parcels", "returns"].iter().zip(&retries) {
            let found = ends(&job, "redrive", &["--pipeline", pipeline], 0);
            assert_eq!(found["redriven"], 3, "{found:#}");
            assert_eq!(found["elsewhere"], 3, "{found:#}");
            assert_eq!(job.count(retry), 3);
            assert_eq!(
                ends(&job, "redrive", &["--pipeline", pipeline], 0)["read"],
                0
            );
        }
    });
}

#[test]
fn filters_limits_and_refusals_add_up() {
    both(|bed, broker| {
        let job = prepare(bed, broker);
        let mut writes: Vec<Write> = (0..10)
            .map(|n| letter(&job, 0, n, job.parcel(-n, "")))
            .collect();
        writes.extend((10..20).map(|n| letter(&job, 1, n, job.parcel(-n, ""))));
        let elsewhere = |mut write: Write, name: &str, value: &str| {
            write.headers.retain(|(known, _)| known != name);
            match value {
                "" => write,
                value => write.header(name, value),
            }
        };
        let base = |n| letter(&job, 2, n, job.parcel(-n, ""));
        writes.push(elsewhere(base(20), "driftgate.group", "another-group"));
        writes.push(elsewhere(base(21), "driftgate.group", ""));
        writes.push(elsewhere(base(22), "driftgate.source.topic", "no-more"));
        writes.push(elsewhere(base(23), "driftgate.source.partition", "99"));
        writes.push(base(24).header("driftgate.redriven", "5"));
        writes.push(elsewhere(base(25), "driftgate.reason", "unframed"));
        topics::produce(&job.client, &job.dlq, &writes);

        let check = |arguments: &[&str], code: i32, expect: &[(&str, u64)]| {
            let summary = ends(&job, "redrive", &[&["--dry-run"], arguments].concat(), code);
            for (name, count) in expect {
                assert_eq!(summary[*name], *count, "{arguments:?} {name}: {summary:#}");
            }
        };
        check(
            &[],
            1,
            &[
                ("read", 26),
                ("redriven", 21),
                ("elsewhere", 1),
                ("refused", 3),
                ("capped", 1),
            ],
        );
        check(
            &["--max-redriven", "6"],
            1,
            &[("redriven", 22), ("capped", 0)],
        );
        check(&["--partition", "1"], 0, &[("read", 10), ("redriven", 10)]);
        check(
            &["--partition", "0", "--offsets", "2..5"],
            0,
            &[("read", 3), ("redriven", 3)],
        );
        check(&["--offsets", "9.."], 0, &[("read", 2), ("redriven", 2)]);
        check(
            &["--reason", "unframed"],
            0,
            &[("redriven", 1), ("filtered", 25)],
        );
        check(
            &[
                "--reason",
                "unframed",
                "--reason",
                "rule_violation",
                "--partition",
                "0",
            ],
            0,
            &[("redriven", 10)],
        );
        check(&["--key", "k7"], 0, &[("redriven", 1), ("filtered", 25)]);
        check(&["--key", "hex:6b37"], 0, &[("redriven", 1)]);
        check(
            &["--schema-id", &job.schema.to_string(), "--key", "k7"],
            0,
            &[("redriven", 1)],
        );
        check(
            &["--schema-id", "1999999999"],
            0,
            &[("redriven", 0), ("filtered", 26)],
        );
        // 2023-11-14T22:13:20Z and so many milliseconds.
        check(
            &[
                "--since",
                "2023-11-14T22:13:20.004Z",
                "--until",
                "2023-11-14T22:13:20.006Z",
            ],
            0,
            &[("redriven", 2)],
        );
        check(&["--since", "1h"], 0, &[("redriven", 0), ("filtered", 26)]);
        check(
            &["--limit", "3", "--partition", "0"],
            0,
            &[("read", 3), ("redriven", 3)],
        );
        assert_eq!(job.count(&job.retry_topic(1)), 0);

        let told = dlq(&job, "list", &["--limit", "2"]);
        let lines: Vec<&str> = told.out.lines().collect();
        assert_eq!(lines.len(), 3, "{}", told.out);
        assert!(lines[0].starts_with("AT "), "{}", told.out);
        // The newest two, the newest last.
        let place = |line: &str, offset: i64| {
            let at = format!("{}-2@{offset}", job.dlq);
            line.starts_with(&at) && line.contains(&format!("k{}", 20 + offset))
        };
        assert!(place(lines[1], 4) && place(lines[2], 5), "{}", told.out);
        assert!(lines[1].contains("5×"), "{}", told.out);
        assert!(told.log.contains("the newest 2 of 26"), "{}", told.log);
        let told = dlq(&job, "stats", &[]);
        assert!(told.out.starts_with("26 dead letters in "), "{}", told.out);
        for words in [
            "by reason\n  rule_violation  25  ▇",
            "by age\n  over 30 d  26",
        ] {
            assert!(told.out.contains(words), "{words}: {}", told.out);
        }

        // A limit is for one run: the next goes on behind it, and a filter of its own has a progress of its own.
        let part =
            |more: &[&str]| ends(&job, "redrive", &[&["--partition", "0"], more].concat(), 0);
        assert_eq!(part(&["--limit", "3"])["redriven"], 3);
        assert_eq!(part(&["--limit", "4"])["redriven"], 4);
        assert_eq!(part(&[])["redriven"], 3);
        assert_eq!(part(&[])["read"], 0);
        assert!(sent(&job).values().all(|copies| *copies == 1));
        assert_eq!(sent(&job).len(), 10);
        let told = dlq(&job, "redrive", &[]);
        assert_eq!(told.code, 1, "{}", told.log);
        if broker.is_none() {
            let warned = told
                .log
                .contains("redrives with other filters have gone before");
            assert!(warned, "{}", told.log);
        }
        for words in [
            "no header says which consumer group",
            "does not read",
            "partition 99",
            "gone back 5 times",
        ] {
            assert!(told.log.contains(words), "{words}: {}", told.log);
        }
        assert!(told.out.contains("of other pipelines"), "{}", told.out);

        // Headers and bytes of what has gone back.
        let back = topics::consume_all(&job.client, &job.retry_topic(1));
        let read = back
            .iter()
            .find(|read| read.partition == 1)
            .expect("one of partition 1");
        for name in ["driftgate.first_failed_at", "driftgate.failed_at"] {
            assert_eq!(
                read.header(name).is_some(),
                name == "driftgate.failed_at",
                "{name}"
            );
        }
        assert_eq!(read.header("driftgate.attempt"), Some("0"));
        assert_eq!(read.header("driftgate.redriven"), Some("1"));
        let letters = topics::consume_all(&job.client, &job.dlq);
        let same = letters
            .iter()
            .find(|letter| letter.key == read.key)
            .expect("its dead letter");
        assert_eq!((&same.value, same.timestamp), (&read.value, read.timestamp));
    });
}

/// The dead-letter topics of other tools are read by their own dialects; ours goes back only to its own group.
#[test]
fn dead_letters_of_other_tools_are_listed_counted_and_shown() {
    both(|bed, broker| {
        let job = prepare(bed, broker);
        let other = unique("others");
        create(&job, broker, &other, 1);
        let value = || job.parcel(1, "small");
        let spring = |group: &str| {
            Write::new("s", value())
                .header("traceparent", "00")
                .header("kafka_dlt-original-topic", job.source.as_str())
                .header("kafka_dlt-original-partition", 3_i32.to_be_bytes())
                .header("kafka_dlt-original-offset", 77_i64.to_be_bytes())
                .header("kafka_dlt-original-consumer-group", group)
                .header(
                    "kafka_dlt-exception-fqcn",
                    "java.lang.IllegalStateException",
                )
                .header("kafka_dlt-exception-message", "no such customer")
        };
        let writes = [
            Write::new("c", value())
                .header("__connect.errors.topic", "raw")
                .header("__connect.errors.partition", "1")
                .header("__connect.errors.offset", "5")
                .header("__connect.errors.connector.name", "jdbc")
                .header("__connect.errors.exception.class.name", "DataException"),
            Write::new("t", b"not Avro".to_vec())
                .header("__streams.errors.exception", "NullPointerException")
                .header("__streams.errors.topic", "raw")
                .header("__streams.errors.partition", "1")
                .header("__streams.errors.offset", "6"),
            spring("another"),
            spring(&job.group),
            Write::new("r", value()).header("__rule.name", "positive"),
            Write::new("nobody", value()),
        ];
        let writes = writes.map(|write| write.to(0));
        topics::produce(&job.client, &other, &writes);
        let topic = ["--topic", other.as_str()];
        let list = ends(&job, "list", &topic, 0);
        let letters = list["dead_letters"].as_array().expect("a list");
        let found: Vec<_> = letters
            .iter()
            .map(|letter| (letter["dialect"].clone(), letter["reason"].clone()))
            .collect();
        let expect = [
            (json!("connect"), json!("DataException")),
            (json!("streams"), json!("NullPointerException")),
            (
                json!("spring_dlt"),
                json!("java.lang.IllegalStateException"),
            ),
            (
                json!("spring_dlt"),
                json!("java.lang.IllegalStateException"),
            ),
            (json!("confluent_rule"), json!("positive")),
            (Value::Null, Value::Null),
        ];
        assert_eq!(found, expect, "{list:#}");
        assert_eq!(
            (&letters[2]["partition"], &letters[2]["offset"]),
            (&json!(3), &json!(77))
        );
        let stats = ends(&job, "stats", &topic, 0);
        assert_eq!(
            stats["by_dialect"][0],
            json!({"value": "spring_dlt", "count": 2})
        );
        let shown = ends(
            &job,
            "show",
            &[&format!("{other}-0@2"), "--pipeline", "parcels"],
            0,
        );
        assert_eq!(shown["origin"]["position"], format!("{}-3@77", job.source));
        assert_eq!(shown["origin"]["dialect"], "spring_dlt");
        assert_eq!(shown["origin"]["error"], "no such customer");
        assert!(
            shown["headers"]
                .as_array()
                .expect("headers")
                .contains(&json!(["kafka_dlt-original-offset", "77"]))
        );
        assert_eq!(shown["outcome"]["outcome"], "emitted", "{shown:#}");
        // Bytes where there is no schema to decode them by.
        let shown = ends(
            &job,
            "show",
            &[&format!("{other}-0@1"), "--pipeline", "parcels"],
            0,
        );
        assert_eq!(shown["stop"]["offset"], 0, "{shown:#}");
        assert!(shown["stop"]["bytes"].is_string());

        let summary = ends(&job, "redrive", &topic, 1);
        let counts = ["read", "redriven", "elsewhere", "refused"].map(|name| summary[name].clone());
        assert_eq!(
            counts,
            [json!(6), json!(1), json!(1), json!(4)],
            "{summary:#}"
        );
        let back = topics::consume_all(&job.client, &job.retry_topic(1));
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].partition, 3, "the partition of its source");
        let names: BTreeSet<&str> = back[0]
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert!(
            names.contains("traceparent")
                && !names.iter().any(|name| name.starts_with("kafka_dlt"))
        );
        assert_eq!(back[0].header("driftgate.source.offset"), Some("77"));
    });
}

#[test]
fn what_is_tagged_is_neither_listed_nor_shown() {
    both(|bed, broker| {
        let job = prepare(bed, broker);
        edit(
            &job,
            "parcel.rules.yaml",
            "rules:",
            "fields:\n  note: { tags: [PII] }\nrules:",
        );
        let tagged = || job.parcel(-1, SECRET);
        let mut ours = letter(&job, 0, 0, tagged());
        ours.key = Some(format!("user {SECRET}").into_bytes());
        let mut cut = tagged();
        cut.truncate(cut.len() - 3);
        let theirs = Write::new("k", cut)
            .to(0)
            .header("kafka_dlt-original-topic", job.source.as_str())
            .header(
                "kafka_dlt-exception-message",
                format!("bad {}", &SECRET[..4]),
            );
        topics::produce(&job.client, &job.dlq, &[ours, theirs]);
        let list = dlq(&job, "list", &[]);
        assert!(
            list.code == 0 && list.out.contains("***") && !list.out.contains(SECRET),
            "{}",
            list.out
        );
        let open = dlq(&job, "list", &["--unmask"]);
        assert!(open.out.contains("user ann@"), "{}", open.out);
        for at in ["0@0", "0@1"] {
            for more in [&["--output", "json"][..], &[]] {
                let shown = dlq(&job, "show", &[&[at], more].concat());
                assert_eq!(shown.code, 0, "{}", shown.log);
                assert!(!shown.out.contains(&SECRET[..4]), "{at}: {}", shown.out);
            }
            let open = dlq(&job, "show", &[at, "--unmask"]);
            assert!(open.out.contains(&SECRET[..4]), "{at}: {}", open.out);
        }
    });
}

/// The limit of the retry topic was lowered: what it does not take is told, and the others go back.
#[test]
fn a_dead_letter_too_large_for_its_retry_topic_is_refused_and_the_others_go_back() {
    let Some(bed) = real() else { return };
    let job = prepare(&bed, None);
    let noise: String = {
        use rand::SeedableRng;
        use rand::distr::{Alphanumeric, SampleString};
        Alphanumeric.sample_string(&mut rand::rngs::SmallRng::from_os_rng(), 8_000)
    };
    let writes: Vec<Write> = (0..20)
        .map(|n| letter(&job, 0, n, job.parcel(-n, if n == 7 { &noise } else { "" })))
        .collect();
    topics::produce(&job.client, &job.dlq, &writes);
    live::limit(&job.client, &job.retry_topic(1), 4_000);
    let summary = ends(&job, "redrive", &[], 1);
    assert_eq!(
        (&summary["redriven"], &summary["refused"]),
        (&json!(19), &json!(1))
    );
    let why = summary["refusals"][0]["why"].as_str().expect("text");
    assert!(why.contains("larger than"), "{why}");
    assert_eq!(sent(&job).len(), 19);
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let embedded = live::Embedded::start();
    let job = Job::new(&embedded.bed, Some(&embedded.broker), two_tiers());
    let check = |command: &str, arguments: &[&str], code: i32, words: &str| {
        let told = dlq(&job, command, arguments);
        assert_eq!(told.code, code, "{command} {arguments:?}: {}", told.log);
        assert!(
            told.log.contains(words),
            "{command} {arguments:?}: {}",
            told.log
        );
    };
    check(
        "list",
        &["--reason", "rule_violatoin"],
        2,
        "did you mean rule_violation?",
    );
    check("list", &["--since", "yesterday"], 2, "is no time");
    check(
        "list",
        &["--pipeline", "none"],
        2,
        "the configuration has parcels",
    );
    check(
        "list",
        &["--topic", "no-such-topic"],
        2,
        &format!(
            ": without --topic, the dead letters in {} are read",
            job.dlq
        ),
    );
    check(
        "list",
        &["--since", "1h", "--until", "2h"],
        2,
        "--since 1h is not before --until 2h",
    );
    check("list", &["--partition", "9"], 2, "has 4 partitions");
    check("stats", &["--offsets", "5..2"], 2, "empty range");
    check("stats", &["--key", "hex:0"], 2, "two hexadecimal digits");
    check("show", &["somewhere"], 2, "is no position");
    check("show", &["0@5"], 1, "is not written yet");
    check("redrive", &["--until", "1h"], 2, "write the time itself");
    check("redrive", &["--rate", "fast"], 2, "is no rate");
    // What waits there is tried when it is due; sent back, it would be there twice.
    for (topic, what) in [
        (job.retry_topic(1), "is a retry topic"),
        (job.retry_topic(3), "is a retry topic"),
        (job.source.clone(), "is a source"),
        (job.sink.clone(), "is a sink"),
        (job.ledger(), "is the ledger"),
    ] {
        check("redrive", &["--topic", &topic], 2, what);
    }
    check("redrive", &["--max-redriven", "0"], 2, "0");
    check("list", &[], 0, "no dead letter matches");

    edit(&job, "driftgate.yaml", "tiers: [1s, 2s]", "tiers: []");
    check("redrive", &[], 2, "has no retry tier");
    edit(&job, "driftgate.yaml", "tiers: []", "tiers: [1s]");
    edit(
        &job,
        "driftgate.yaml",
        "pipelines:\n",
        "pipelines:\n  another:\n    group: another-group\n    source: { topics: [in] }\n    contract: { schema: parcel.avsc }\n    sink: { topic: out, schema: parcel.avsc }\n",
    );
    check("redrive", &[], 2, "--pipeline is needed");
    check(
        "redrive",
        &["--pipeline", "another"],
        2,
        "there is no topic in",
    );
    // The topic of a pipeline that has never run is left out, and said so.
    check("stats", &[], 0, "there is no topic in.another-group.dlq");
    check("show", &["0@0"], 2, "write the topic in front");
    let bootstrap = job.config.kafka.bootstrap_servers.clone();
    edit(&job, "driftgate.yaml", &bootstrap, "127.0.0.1:1");
    let away = "the broker could not be reached at 127.0.0.1:1 (kafka.bootstrap_servers)";
    check("list", &[], 3, away);
    check("redrive", &["--pipeline", "parcels"], 3, away);
    // Once, in our words.
    assert!(!dlq(&job, "stats", &[]).log.contains("librdkafka"));
}
