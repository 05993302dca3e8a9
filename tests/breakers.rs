//! Pauses that stand until a person lifts them, on running instances: what trips a breaker, what of it outlasts a restart and
//! a rebalance, and how an operator's order reaches whoever owns the partition.

mod support;

use std::process::Command;

use serde_json::{Value as Json, json};
use support::job::{Job, LIMIT, Shape, beds_with, count, payment, prepare, register};
use support::topics::{self, Write};
use support::{Bed, Runner, bed, http, live, wait};

/// A job whose file has other words in the place of some.
fn job(bed: &Bed, shape: &Shape, changes: &[(&str, &str)]) -> Job {
    let job = Job::new(&bed.bootstrap, &bed.registry_url, shape);
    change(&job, "driftgate.yaml", changes);
    job
}

fn change(job: &Job, name: &str, changes: &[(&str, &str)]) {
    let file = job.folder.path().join(name);
    let mut text = std::fs::read_to_string(&file).expect("the file");
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in {text}");
        text = text.replace(from, to);
    }
    std::fs::write(&file, text).expect("written");
}

const BREAKER: (&str, &str) = (
    "failure: {",
    "failure: { dead_letter: { pause_above: { ratio: 20%, window: 10m, at_least: 20 } },",
);

/// Good payments have ids from 0, bad ones below.
fn writes(schema: u32, partition: i32, ids: impl IntoIterator<Item = i64>) -> Vec<Write> {
    let write = |id: i64| Write::new(format!("{id}"), payment(schema, id, "EUR")).to(partition);
    ids.into_iter().map(write).collect()
}

/// Exit code and JSON of an operator's command.
fn order(job: &Job, arguments: &[&str]) -> (i32, Json) {
    let file = job.folder.path().join("driftgate.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftgate"));
    command.args(arguments).args(["--output", "json", "-c"]);
    let done = command.arg(&file).output().expect("the program starts");
    let (out, error) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    let body = serde_json::from_str(&out)
        .unwrap_or_else(|_| panic!("{arguments:?}: no JSON: {out}\n{error}"));
    (done.status.code().expect("no signal"), body)
}

/// Topic, partition, cause and state of each row of an answer.
fn rows(answer: &Json) -> Vec<(String, i64, String, String)> {
    let text = |row: &Json, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = answer["partitions"].as_array().expect("a list").iter();
    let mut rows: Vec<_> = rows
        .map(|row| {
            let partition = row["partition"].as_i64().expect("a number");
            (
                text(row, "topic"),
                partition,
                text(row, "cause"),
                text(row, "state"),
            )
        })
        .collect();
    rows.sort();
    rows
}

/// Offset and metadata of a source partition's commit.
fn commit(bed: &Bed, job: &Job, partition: usize) -> (i64, String) {
    let committed = topics::committed(&bed.client(), &job.group, &job.source);
    committed[partition].clone().unwrap_or_default()
}

#[track_caller]
fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let done = wait::within(LIMIT, || probe().then_some(()));
    assert!(done.is_some(), "not seen: {what}");
}

/// Whether a partition shows as paused for a reason.
fn is_paused(runner: &mut Runner, topic: &str, partition: i32, reason: &str) -> bool {
    runner.metrics().iter().any(|sample| {
        sample.name == "driftgate_partition_paused"
            && sample.value > 0.5
            && sample.labels["topic"] == topic
            && sample.labels["partition"] == partition.to_string()
            && sample.labels["reason"] == reason
    })
}

#[test]
fn a_flood_stops_at_the_limit_and_the_pause_outlasts_a_restart() {
    beds_with(|bed, embedded| {
        let job = job(bed, &Shape::quick(), &[BREAKER]);
        let client = bed.client();
        prepare(bed, &job, embedded);
        let schema = register(bed, &job.source);
        // 25 dead letters are 20% of 125 records; one more is too many.
        let flood = (0..100).chain(-400..0).chain(1000..1050);
        topics::produce(&client, &job.source, &writes(schema, 0, flood));
        for partition in 1..4 {
            let good = writes(schema, partition, 0..200);
            topics::produce(&client, &job.source, &good);
        }

        let mut runner = job.start("one");
        let reason = runner.wait_ready(503, &["breaker", &job.source, "driftgate resume"]);
        assert!(
            reason.contains("26 of 126 records would be dead letters"),
            "{reason}"
        );
        eventually("all others", || count(&client, &job.sink) >= 700);
        eventually("the pause is committed", || {
            commit(bed, &job, 0).1.contains("paused=breaker@")
        });
        eventually("the offset is committed", || commit(bed, &job, 0).0 == 125);
        let (_, metadata) = commit(bed, &job, 0);
        assert!(
            metadata.contains("emitted=100 ") && metadata.contains("dead_lettered=25 "),
            "{metadata}"
        );
        let (source, retry) = (job.source.clone(), job.retry(1));
        assert!(is_paused(&mut runner, &source, 0, "breaker"));
        assert!(
            is_paused(&mut runner, &retry, 0, "breaker"),
            "the whole family"
        );
        assert!(!is_paused(&mut runner, &source, 1, "breaker"));
        let told = runner.log();
        assert_eq!(told.matches("a breaker has tripped").count(), 1, "{told}");
        assert_eq!(count(&client, &job.dlq()), 25);
        runner.stop();

        // Another one stays paused, though it has counted nothing itself; the others flow.
        let mut runner = job.start("two");
        runner.wait_ready(503, &["breaker", "too many dead letters"]);
        topics::produce(&client, &job.source, &writes(schema, 1, 200..250));
        eventually("the other partitions", || count(&client, &job.sink) >= 750);
        assert_eq!(count(&client, &job.dlq()), 25);
        assert_eq!(commit(bed, &job, 0).0, 125);

        // The flood goes on: half of the usual records tell.
        let (_, answer) = order(&job, &["resume", "payments", "--reason", "a try"]);
        let found = rows(&answer);
        let resumed = (
            source.clone(),
            0,
            "breaker".to_owned(),
            "resumed".to_owned(),
        );
        assert!(found.contains(&resumed), "{found:?}");
        runner.wait_ready(503, &["breaker", "10 of 10 records would be dead letters"]);
        assert_eq!(commit(bed, &job, 0).1.matches("paused=").count(), 1);
        eventually("nine more", || count(&client, &job.dlq()) == 34);
        runner.stop();

        // What was wrong is put right, and only then somebody resumes.
        change(&job, "payment.rules.yaml", &[("min: 0", "min: -400")]);
        let mut runner = job.start("three");
        runner.wait_ready(503, &["breaker"]);
        let (code, answer) = order(
            &job,
            &["resume", "payments", "--topic", &source, "--partition", "0"],
        );
        assert_eq!((code, rows(&answer)), (0, vec![resumed]));
        eventually("the rest", || {
            count(&client, &job.sink) == 750 + 400 - 34 + 50
        });
        runner.wait_ready(200, &[]);
        assert!(!is_paused(&mut runner, &source, 0, "breaker"));
        let totals = job.settled(&client, &source);
        assert_eq!((totals["emitted"], totals["dead_lettered"]), (1166, 34));
        assert!(!commit(bed, &job, 0).1.contains("paused"));
        runner.stop();
    });
}

/// Ids that a reader of committed records finds in a topic.
fn seen(bed: &Bed, topic: &str) -> Vec<i64> {
    let reads = topics::consume_all(&bed.client(), topic);
    let mut ids: Vec<_> = reads.iter().map(live::id).collect();
    ids.sort_unstable();
    ids
}

/// How many dead letters the commit of a source partition counts.
fn dead_letters(bed: &Bed, job: &Job, partition: usize) -> usize {
    let (_, metadata) = commit(bed, job, partition);
    let mut words = metadata.split(' ');
    let count = words.find_map(|word| word.strip_prefix("dead_lettered="));
    count.map_or(0, |count| count.parse().expect("a count"))
}

/// Under exactly_once the transaction in which a breaker trips is aborted: of its dead letters, and of what other partitions
/// had in it, a reader of committed records sees nothing twice and misses nothing; the pause is committed all the same.
#[test]
fn a_breaker_that_trips_in_a_transaction_takes_it_back() {
    bed::each(live::real().into_iter().collect(), |bed| {
        let shape = Shape {
            delivery: "delivery: exactly_once\n    transaction: { interval: 2s, timeout: 10s }"
                .to_owned(),
            ..Shape::quick()
        };
        let job = job(bed, &shape, &[BREAKER]);
        let client = bed.client();
        prepare(bed, &job, None);
        let schema = register(bed, &job.source);
        topics::produce(&client, &job.source, &writes(schema, 0, 0..100));
        let mut runner = job.start("one");
        eventually("what is good is committed", || {
            commit(bed, &job, 0).0 == 100
        });
        assert_eq!(seen(bed, &job.sink), (0..100).collect::<Vec<_>>());

        // Of these, 25 would be within the limit.
        let flood = (-400..0).chain(1000..1050);
        topics::produce(&client, &job.source, &writes(schema, 0, flood));
        let ids = |partition: i64| 2000 + 300 * partition..2300 + 300 * partition;
        for partition in 1..4 {
            let good = writes(schema, partition, ids(partition.into()));
            topics::produce(&client, &job.source, &good);
        }
        runner.wait_ready(503, &["breaker", &job.source, "driftgate resume"]);
        let mut good: Vec<i64> = (0..100).chain(ids(1)).chain(ids(2)).chain(ids(3)).collect();
        eventually("the other partitions flow", || {
            seen(bed, &job.sink).len() == good.len()
        });
        assert_eq!(seen(bed, &job.sink), good, "each once");
        // The pause outlasts the transaction that it ended.
        let paused = |words: usize| {
            eventually("the pause is committed", || {
                commit(bed, &job, 0).1.matches("paused=breaker@").count() == words
            });
        };
        paused(1);
        // A commit that was due in the midst of the flood stands, with what it counts.
        let adds_up = |at_most: usize| {
            let (offset, _) = commit(bed, &job, 0);
            let dead = dead_letters(bed, &job, 0);
            assert_eq!(offset, 100 + i64::try_from(dead).expect("few"));
            let first = (-400..0).take(dead).collect::<Vec<i64>>();
            assert_eq!(seen(bed, &job.dlq()), first);
            assert!(dead <= at_most, "{dead} dead letters");
            dead
        };
        let first = adds_up(25);
        let log = runner.log();
        assert_eq!(log.matches("a breaker has tripped").count(), 1, "{log}");

        // Killed, it leaves the pause to its successor. Nobody has put anything right, so it trips again after a resume.
        runner.kill();
        let mut runner = job.start("two");
        runner.wait_ready(503, &["breaker", "too many dead letters"]);
        assert_eq!(adds_up(25), first);
        order(&job, &["resume", "payments", "--reason", "a try"]);
        runner.wait_ready(503, &["breaker", "10 of 10 records would be dead letters"]);
        paused(1);
        adds_up(first + 9);
        runner.stop();

        change(&job, "payment.rules.yaml", &[("min: 0", "min: -400")]);
        let mut runner = job.start("three");
        runner.wait_ready(503, &["breaker"]);
        let (code, answer) = order(&job, &["resume", "payments"]);
        assert_eq!(code, 0, "{answer:#}");
        let totals = job.settled(&client, &job.source);
        runner.wait_ready(200, &[]);
        runner.stop();
        let dead = seen(bed, &job.dlq());
        good.extend((-400..0).filter(|id| !dead.contains(id)));
        good.extend(1000..1050);
        good.sort_unstable();
        assert_eq!(seen(bed, &job.sink), good, "each once");
        let count = |outcome: &str| usize::try_from(totals[outcome]).expect("few");
        let counted = (count("emitted"), count("dead_lettered"));
        assert_eq!(counted, (good.len(), dead.len()));
        let (code, report) = order(&job, &["audit"]);
        assert_eq!(code, 0, "{report:#}");
    });
}

#[test]
fn so_many_in_a_row_are_the_most() {
    beds_with(|bed, embedded| {
        let limit = "failure: { dead_letter: { pause_after: 7 },";
        let job = job(bed, &Shape::quick(), &[("failure: {", limit)]);
        let client = bed.client();
        prepare(bed, &job, embedded);
        let schema = register(bed, &job.source);
        let records = (-7..0).chain([1]).chain(-50..0);
        topics::produce(&client, &job.source, &writes(schema, 2, records));
        let mut runner = job.start("gate");
        runner.wait_ready(503, &["breaker", "8 dead letters in a row"]);
        eventually("what came before", || commit(bed, &job, 2).0 == 15);
        assert_eq!(count(&client, &job.dlq()), 14);
        // The limit of the time after a resume is told as that, beside the configured one.
        order(&job, &["resume", "payments"]);
        let half = "5 dead letters in a row would be too many (careful after a resume, up to ";
        runner.wait_ready(503, &["breaker", half, "half of pause_after, which is 7"]);
        runner.stop();
    });
}

#[test]
fn a_pause_travels_with_its_partition_and_any_instance_takes_the_order() {
    bed::each(live::real().into_iter().collect(), |bed| {
        let job = job(bed, &Shape::quick(), &[BREAKER]);
        let client = bed.client();
        prepare(bed, &job, None);
        let schema = register(bed, &job.source);
        topics::produce(&client, &job.source, &writes(schema, 0, -100..0));
        let mut one = job.start("one");
        one.wait_ready(503, &["breaker"]);
        let mut two = job.start("two");
        eventually("they share", || {
            let owned = (one.owned(&job.source).len(), two.owned(&job.source).len());
            owned == (2, 2)
        });
        // Whoever has it says so, and the other does not.
        let (mut owner, mut other) = match one.owned(&job.source).contains(&0) {
            true => (one, two),
            false => (two, one),
        };
        owner.wait_ready(503, &["breaker", "[0]"]);
        other.wait_ready(200, &[]);
        assert_eq!(count(&client, &job.dlq()), 19);

        // Killed, it can hand over nothing but what it has committed.
        owner.kill();
        eventually("all are the other's", || {
            other.owned(&job.source).len() == 4
        });
        other.wait_ready(503, &["breaker", "[0]"]);
        assert_eq!(count(&client, &job.dlq()), 19);

        // An order that answers another pause lifts nothing: what it says is what a later one says of itself.
        let mut third = job.start("three");
        eventually("they share again", || {
            third.owned(&job.source).len() == 2 && other.owned(&job.source).len() == 2
        });
        let (mut owner, mut asked) = match third.owned(&job.source).contains(&0) {
            true => (third, other),
            false => (other, third),
        };
        let key = format!("flow/payments/{}/0", job.source);
        let old = json!({ "layout": 1, "action": "resume", "answers": 5, "by": "old", "at": 6 });
        let write = Write::new(key, old.to_string()).to(0);
        topics::produce(&client, &format!("{}.control", job.group), &[write]);

        // One more way to ask: the admin API, and of an instance that does not own the partition.
        let (_, body) = asked.page("/status").expect("an answer");
        assert!(!body.contains("breaker"), "{body}");
        change(&job, "payment.rules.yaml", &[("min: 0", "min: -400")]);
        let address = asked.address();
        let url = format!("http://{address}/api/resume");
        let request = json!({ "pipeline": "payments", "by": "ada", "reason": "a look" });
        assert_eq!(
            count(&client, &job.dlq()),
            19,
            "the old order has lifted nothing"
        );
        owner.wait_ready(503, &["breaker", "[0]"]);
        let (status, body) = http::post(url, request).send().expect("an answer");
        assert_eq!(status, 202, "{body}");
        let answer: Json = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer["paused"][0]["cause"], "breaker", "{body}");
        // The owner still has the old rule, so its fresh breaker trips again, by half of the records.
        eventually("resumed by the owner", || {
            owner.log().contains("resumed by ada: a look")
        });
        eventually("nine more", || count(&client, &job.dlq()) == 28);
        let log = owner.log();
        assert!(
            !log.contains("resumed by old"),
            "orders come in sequence: {log}"
        );
        owner.stop();
        asked.stop();
    });
}

#[test]
fn an_operators_pause_holds_until_it_is_lifted() {
    beds_with(|bed, embedded| {
        let job = job(bed, &Shape::quick(), &[]);
        let client = bed.client();
        prepare(bed, &job, embedded);
        let schema = register(bed, &job.source);
        let all = |ids: std::ops::Range<i64>| {
            let ids = |partition| writes(schema, partition, ids.clone());
            (0..4).flat_map(ids).collect::<Vec<_>>()
        };
        topics::produce(&client, &job.source, &all(0..10));
        let mut runner = job.start("one");
        runner.wait_ready(200, &[]);
        job.settled(&client, &job.source);

        let (code, answer) = order(&job, &["pause", "payments", "--reason", "a move"]);
        let row = |partition, state: &str| {
            let cause = "operator".to_owned();
            (job.source.clone(), partition, cause, state.to_owned())
        };
        let paused: Vec<_> = (0..4).map(|number| row(number, "paused")).collect();
        assert_eq!((code, rows(&answer)), (0, paused), "{}", runner.log());
        let page = runner.wait_ready(200, &["degraded", "operator", "a move"]);
        assert!(page.contains("more paused"), "all four: {page}");
        topics::produce(&client, &job.source, &all(10..20));
        runner.stop();

        let mut runner = job.start("two");
        runner.wait_ready(200, &["degraded", "operator"]);
        assert_eq!(count(&client, &job.sink), 40);
        let one = ["--topic", &job.source, "--partition", "2"];
        let (code, answer) = order(&job, &[["resume", "payments"].as_slice(), &one].concat());
        assert_eq!((code, rows(&answer)), (0, vec![row(2, "resumed")]));
        eventually("that one flows", || count(&client, &job.sink) == 50);
        eventually("and is committed", || commit(bed, &job, 2).0 == 20);
        for number in [0, 1, 3] {
            assert_eq!(commit(bed, &job, number).0, 10, "{number}");
        }
        let (code, answer) = order(&job, &["resume", "payments"]);
        let resumed = [0, 1, 3].map(|number| row(number, "resumed"));
        assert_eq!((code, rows(&answer)), (0, resumed.to_vec()));
        eventually("all flow", || count(&client, &job.sink) == 80);
        job.settled(&client, &job.source);
        let page = runner.wait_ready(200, &[]);
        assert!(!page.contains("degraded"), "{page}");
        runner.stop();

        // Nobody is there to obey: the order stands for who comes.
        let (code, answer) = order(&job, &["pause", "payments", "--timeout", "1s"]);
        let states = rows(&answer).into_iter().map(|(.., state)| state);
        assert_eq!(
            (code, states.collect::<Vec<_>>()),
            (1, vec!["not paused yet".to_owned(); 4])
        );
        let mut runner = job.start("three");
        runner.wait_ready(200, &["degraded", "operator"]);
        runner.stop();
        for (arguments, text) in [
            (vec!["resume", "payment"], "there is no pipeline payment"),
            (
                vec!["pause", "payments", "--topic", "x", "--partition", "1"],
                "no source topic",
            ),
            (
                vec![
                    "pause",
                    "payments",
                    "--topic",
                    &job.source,
                    "--partition",
                    "9",
                ],
                "no partition 9",
            ),
            (
                vec!["pause", "payments", "--topic", &job.source],
                "--partition",
            ),
        ] {
            let file = job.folder.path().join("driftgate.yaml");
            let mut command = Command::new(env!("CARGO_BIN_EXE_driftgate"));
            let done = command.args(&arguments).arg("-c").arg(&file).output();
            let done = done.expect("the program starts");
            let error = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(2), "{arguments:?}: {error}");
            assert!(error.contains(text), "{arguments:?}: {error}");
        }
    });
}

/// The schema of payments with so many texts behind them; one is the contract.
fn schema(texts: usize) -> String {
    let names = ["note", "extra"];
    let text = |name: &&str| format!(r#",{{"name":"{name}","type":"string","default":""}}"#);
    let texts: String = names[..texts].iter().map(text).collect();
    format!(
        r#"{{"type":"record","name":"Payment","fields":[{{"name":"id","type":"long"}},
            {{"name":"currency","type":"string"}}{texts}]}}"#
    )
}

fn register_schema(bed: &Bed, subject: &str, schema: &str) -> u32 {
    let url = format!("{}/subjects/{subject}/versions", bed.registry_url);
    let answer = http::post(url, json!({ "schema": schema })).send();
    let (status, body) = answer.expect("the registry answers");
    assert_eq!(status, 200, "{body}");
    let answer: Json = serde_json::from_str(&body).expect("JSON");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id")
}

fn noted(schema: u32, id: i64, texts: usize) -> Vec<u8> {
    [payment(schema, id, "EUR"), vec![0; texts]].concat()
}

#[test]
fn resuming_a_halt_accepts_the_schema_and_quarantine_has_its_own_limit() {
    beds_with(|bed, embedded| {
        let drift = "rules: payment.rules.yaml, drift: { removed: quarantine, added_optional: halt, pause_above: \
                     { ratio: 50%, window: 10m, at_least: 10 } } }";
        let changes = [("rules: payment.rules.yaml }", drift), BREAKER];
        let job = job(bed, &Shape::quick(), &changes);
        std::fs::write(job.folder.path().join("payment.avsc"), schema(1)).expect("written");
        let client = bed.client();
        prepare(bed, &job, embedded);
        let subject = format!("{}-value", job.source);
        let good = register_schema(bed, &subject, &schema(1));
        let less = register_schema(bed, &subject, &schema(0));
        let more = register_schema(bed, &subject, &schema(2));
        let write = |id: i64, schema: u32, texts, partition| {
            Write::new(format!("{id}"), noted(schema, id, texts)).to(partition)
        };
        // Partition 0 halts at its 6th record. Partition 1 is half in quarantine and then more than half; its one dead
        // letter counts to the other limit.
        let mut all: Vec<_> = (0..5).map(|id| write(id, good, 1, 0)).collect();
        all.extend((5..10).map(|id| write(id, more, 2, 0)));
        all.extend((0..9).map(|id| write(id, good, 1, 1)));
        all.push(write(-1, good, 1, 1));
        all.extend((10..40).map(|id| write(id, less, 0, 1)));
        topics::produce(&client, &job.source, &all);

        let mut runner = job.start("one");
        runner.wait_ready(503, &["drift", "added_optional"]);
        runner.wait_ready(503, &["breaker", "11 of 21 records would be in quarantine"]);
        eventually("what is committed", || {
            let (first, second) = (commit(bed, &job, 0), commit(bed, &job, 1));
            first.0 == 5
                && first.1.contains(&format!(" paused=drift:{more}@"))
                && second.0 == 20
                && second.1.contains(" paused=quarantine@")
        });
        assert_eq!(count(&client, &job.dlq()), 11);

        let one = ["--topic", &job.source, "--partition", "0"];
        let (code, answer) = order(&job, &[["resume", "payments"].as_slice(), &one].concat());
        let resumed = (
            job.source.clone(),
            0,
            "drift".to_owned(),
            "resumed".to_owned(),
        );
        assert_eq!(
            (code, rows(&answer)),
            (0, vec![resumed]),
            "{}",
            runner.log()
        );
        assert_eq!(answer["partitions"][0]["schema_id"], more);
        eventually("it goes on", || commit(bed, &job, 0).0 == 10);
        runner.stop();

        // Accepted for good, on this topic, on all partitions.
        topics::produce(
            &client,
            &job.source,
            &[write(50, more, 2, 0), write(51, more, 2, 2)],
        );
        let mut runner = job.start("two");
        eventually("accepted after a restart", || {
            commit(bed, &job, 0).0 == 11 && commit(bed, &job, 2).0 == 1
        });
        // 5 more of quarantine: by half of the records, after a look.
        runner.wait_ready(503, &["breaker", "too many records in quarantine"]);
        let (_, answer) = order(&job, &["resume", "payments"]);
        assert_eq!(rows(&answer)[0].2, "quarantine");
        runner.wait_ready(503, &["breaker", "5 of 5 records would be in quarantine"]);
        eventually("four more", || count(&client, &job.dlq()) == 15);
        runner.stop();
    });
}
