//! Lookups in whole instances on a real Kafka: a limit that two of them share, and a table kept from a topic.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use driftgate::contract::wire;
use rdkafka::ClientConfig;
use serde_json::json;
use support::job::{LIMIT, PARTITIONS, count, payment, register, wait_for_count};
use support::lookup::{Reply, ScriptedServer};
use support::topics::{self, Write};
use support::{Bed, Job, Runner, Shape, eventually, http, unique};

const CUSTOMER: &str =
    r#"{"type":"record","name":"Customer","fields":[{"name":"name","type":"string"}]}"#;

fn bed() -> Option<Bed> {
    Bed::real().into_iter().next()
}

fn share(runner: &mut Runner) -> f64 {
    let samples = runner.metrics();
    let mut shares = samples
        .iter()
        .filter(|sample| sample.name == "driftgate_lookup_limit_share");
    shares.next().map_or(0.0, |sample| sample.value)
}

fn gauge(runner: &mut Runner, name: &str) -> Option<f64> {
    let samples = runner.metrics();
    samples
        .iter()
        .find(|sample| sample.name == name)
        .map(|sample| sample.value)
}

#[test]
fn two_instances_share_a_limit_and_one_that_is_left_has_all_of_it() {
    const PER_SECOND: usize = 20;
    let Some(bed) = bed() else { return };
    let client = bed.client();
    let server = ScriptedServer::start(|asked| Reply::customer(&asked.path));
    let step = format!(
        "      - lookup: {{ into: customer, url: \"{}/{{id}}\", type: customer.avsc, limit: {PER_SECOND}/s }}\n      - drop: [customer]\n",
        server.url()
    );
    let shape = Shape {
        steps: Some(step),
        ..Shape::quick()
    };
    let job = Job::new(&bed.bootstrap, &bed.registry_url, &shape);
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let schema = register(&bed, &job.source);
    let write = |from: i64, to: i64| {
        let writes: Vec<_> = (from..to)
            .map(|id| {
                let partition = i32::try_from(id % i64::from(PARTITIONS)).expect("small");
                Write::new(id.to_string(), payment(schema, id, "EUR")).to(partition)
            })
            .collect();
        topics::produce(&client, &job.source, &writes);
    };
    // Records are there from the beginning: the joins, with all that goes wrong in them, happen under load.
    write(0, 400);
    let mut first = job.start("first");
    eventually(LIMIT, "requests", || server.asked().len() > 20);
    let whole = share(&mut first);
    assert_eq!(whole, PER_SECOND as f64);
    let mut second = job.start("second");
    eventually(LIMIT, "each has half", || {
        (share(&mut first), share(&mut second)) == (whole / 2.0, whole / 2.0)
    });
    let (shared, before) = (Instant::now(), server.asked().len());
    eventually(LIMIT, "both ask for a while", || {
        server.asked().len() > before + 100
    });
    let took = shared.elapsed().as_secs_f64();
    // Two halves make about a whole, and no less than a half.
    assert!(100.0 / took > whole * 0.6, "{took} s for 100 requests");
    wait_for_count(&client, &job.sink, 350);

    second.stop();
    eventually(LIMIT, "the first has all of it", || {
        share(&mut first) == whole
    });
    write(400, 500);
    job.wait_for_all(&client, 500);
    assert_eq!(count(&client, &job.dlq()), 0);
    first.stop();

    let asked: Vec<Instant> = server.asked().iter().map(|asked| asked.at).collect();
    for first in 0..asked.len() {
        let window = asked[first..].iter();
        let window =
            window.take_while(|at| at.duration_since(asked[first]) < Duration::from_secs(2));
        // One at the edge for each instance, and what the network held up and let go together.
        let most = 2 * PER_SECOND + 4;
        let window = window.count();
        assert!(window <= most, "{window} requests in two seconds");
    }
}

fn register_as(bed: &Bed, subject: &str, schema: &str) -> u32 {
    let url = format!("{}/subjects/{subject}/versions", bed.registry_url);
    let (status, body) = http::post(url, json!({ "schema": schema }))
        .send()
        .expect("answers");
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id")
}

fn framed(schema: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::write_header(schema, &mut bytes);
    bytes.extend(payload);
    bytes
}

/// A text as Avro has it.
fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() * 2).expect("short");
    [vec![length], text.as_bytes().to_vec()].concat()
}

fn tombstone(key: &str) -> Write {
    Write {
        key: Some(key.into()),
        value: None,
        ..Write::default()
    }
}

/// What arrived in the sink, by id: the newest currency, which is the customer's name here.
fn names(client: &ClientConfig, job: &Job) -> BTreeMap<String, String> {
    let reads = topics::consume_all(client, &job.sink);
    let read = |read: topics::Read| {
        let key = String::from_utf8(read.key.expect("a key")).expect("text");
        let value = read.value.expect("a value");
        // The last field: a text of one byte of length.
        let at = value
            .iter()
            .rposition(|byte| usize::from(*byte) < 64 && *byte > 0);
        let name = at.map_or(&[][..], |at| &value[at + 1..]);
        (key, String::from_utf8_lossy(name).into_owned())
    };
    reads.into_iter().map(read).collect()
}

fn table_job(bed: &Bed, topic: &str, more: &str) -> Job {
    let step = format!(
        "      - lookup: {{ into: customer, topic: {topic}, key: id, type: customer.avsc{more} }}\n      - set: {{ currency: customer.name }}\n      - drop: [customer]\n"
    );
    let shape = Shape {
        steps: Some(step),
        ..Shape::quick()
    };
    Job::new(&bed.bootstrap, &bed.registry_url, &shape)
}

#[test]
fn a_table_is_kept_from_a_topic_through_updates_tombstones_and_a_restart() {
    let Some(bed) = bed() else { return };
    let client = bed.client();
    let customers = unique("customers");
    let nobody = r#", on_missing: default, default: '{"name": "nobody"}'"#;
    let job = table_job(&bed, &customers, nobody);
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let schema = register(&bed, &job.source);
    let writer = register_as(&bed, &format!("{customers}-value"), CUSTOMER);
    // One field more than is wanted, and in another order.
    let newer = r#"{"type":"record","name":"Customer","fields":[
        {"name":"city","type":"string"},{"name":"name","type":"string"}]}"#;
    let newer = register_as(&bed, &format!("{}-value", unique("newer")), newer);
    let long_key = register_as(&bed, &format!("{}-key", unique("long")), r#""long""#);
    let pay = |ids: &[i64]| {
        let write = |id: &i64| Write::new(id.to_string(), payment(schema, *id, "EUR"));
        let writes: Vec<_> = ids.iter().map(write).collect();
        topics::produce(&client, &job.source, &writes);
    };
    let expect = |expected: &[(&str, &str)]| {
        let expected: BTreeMap<String, String> = expected
            .iter()
            .map(|(key, name)| ((*key).to_owned(), (*name).to_owned()))
            .collect();
        let mut last = BTreeMap::new();
        let found = support::wait::within(LIMIT, || {
            last = names(&client, &job);
            (last == expected).then_some(())
        });
        assert!(found.is_some(), "{last:?}, expected {expected:?}");
    };

    // Without the topic there is no table: records wait where they are.
    pay(&[1, 2]);
    let mut gate = job.start("gate");
    gate.wait_ready(503, &["payments.customer", "there is no topic"]);
    gate.wait_ready(503, &["lookup_not_loaded"]);
    assert_eq!(gauge(&mut gate, "driftgate_lookup_table_loaded"), Some(0.0));
    let compacted = [("cleanup.policy", "compact")];
    topics::create(&client, &customers, 3, &compacted);
    gate.wait_ready(200, &[]);
    expect(&[("1", "nobody"), ("2", "nobody")]);

    // 3 in the newer schema, 4 behind a key that is an Avro long.
    let key = framed(long_key, &[8]);
    let writes = [
        Write::new("1", framed(writer, &text("Ada"))),
        Write::new("2", framed(writer, &text("Bob"))),
        Write::new("3", framed(newer, &[text("Ulm"), text("Cyd")].concat())),
        Write::new(key, framed(writer, &text("Dan"))),
        Write::new("1", framed(writer, &text("Ann"))),
        tombstone("2"),
    ];
    topics::produce(&client, &customers, &writes);
    eventually(LIMIT, "three customers", || {
        gauge(&mut gate, "driftgate_lookup_table_rows") == Some(3.0)
    });
    pay(&[1, 2, 3, 4]);
    let all = [("1", "Ann"), ("2", "nobody"), ("3", "Cyd"), ("4", "Dan")];
    expect(&all);

    gate.stop();
    topics::produce(
        &client,
        &customers,
        &[Write::new("2", framed(writer, &text("Eve")))],
    );
    let mut gate = job.start("again");
    gate.wait_ready(200, &[]);
    pay(&[2]);
    expect(&[("1", "Ann"), ("2", "Eve"), ("3", "Cyd"), ("4", "Dan")]);

    // A value that cannot be read is not the one before it: its partition waits until it has been put right.
    topics::produce(
        &client,
        &customers,
        &[Write::new("3", b"{\"name\": \"x\"}".as_slice())],
    );
    eventually(LIMIT, "it is seen", || {
        gauge(&mut gate, "driftgate_lookup_table_unreadable_records") == Some(1.0)
    });
    pay(&[3]);
    gate.wait_ready(503, &["lookup_misconfigured", "cannot be read"]);
    topics::produce(
        &client,
        &customers,
        &[Write::new("3", framed(writer, &text("Cy")))],
    );
    gate.wait_ready(200, &[]);
    expect(&[("1", "Ann"), ("2", "Eve"), ("3", "Cy"), ("4", "Dan")]);
    eventually(LIMIT, "no lag", || {
        gauge(&mut gate, "driftgate_lookup_table_lag_records") == Some(0.0)
    });
    assert_eq!(count(&client, &job.dlq()), 0);
    assert_eq!(count(&client, &job.retry(1)), 0);
    gate.stop();
}

#[test]
fn a_table_that_is_too_large_is_given_up_and_nothing_is_emitted_without_it() {
    let Some(bed) = bed() else { return };
    let client = bed.client();
    let customers = unique("customers");
    topics::create(&client, &customers, 1, &[("cleanup.policy", "compact")]);
    let job = table_job(&bed, &customers, ", max: 2KiB");
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let schema = register(&bed, &job.source);
    let writer = register_as(&bed, &format!("{customers}-value"), CUSTOMER);
    let writes: Vec<_> = (0..50)
        .map(|id| Write::new(id.to_string(), framed(writer, &text("Ada"))))
        .collect();
    topics::produce(&client, &customers, &writes);
    topics::produce(
        &client,
        &job.source,
        &[Write::new("1", payment(schema, 1, "EUR"))],
    );
    let mut gate = job.start("gate");
    gate.wait_ready(503, &["larger than its `max`", "lookup_not_loaded"]);
    assert_eq!(count(&client, &job.sink), 0);
    assert_eq!(count(&client, &job.dlq()), 0);
    gate.stop();
}
