//! Alerts of whole instances, told to a real HTTP receiver that is also slow, refuses, hangs and is down.

mod support;

use std::time::{Duration, Instant};

use driftgate::config::model::{AlertFormat, Place, Placed, RatioLimit};
use driftgate::config::units::parse_rate;
use driftgate::control::desk::{Desk, Target};
use serde_json::{Value as Json, json};
use support::job::{PARTITIONS, payment};
use support::live::{Embedded, Job, LIMIT, Live, Shape};
use support::topics::{self, Write};
use support::{
    Bed, Hook, LookupServer, Options, Proxy, RealKafka, Registry, Reply, eventually, hook, http,
    wait,
};

/// A schema that no instance has met before.
const NEW: &str = r#"{"type":"record","name":"Parcel","fields":[
    {"name":"id","type":"long"},{"name":"note","type":"string"},
    {"name":"more","type":"string","default":""}]}"#;

fn shape(partitions: i32) -> Shape {
    Shape {
        partitions,
        ..Shape::default()
    }
}

/// A job whose alerts go to these webhooks.
fn job(embedded: &Embedded, shape: Shape, hooks: &[&Hook]) -> Job {
    let mut job = Job::new(&embedded.bed, Some(&embedded.broker), shape);
    let pipeline = &mut job.config.pipelines[0];
    pipeline.alerts = hooks.iter().map(|hook| hook.alert()).collect();
    job.config.admin.public_url = Some("https://gate.example".to_owned());
    job
}

fn write(job: &Job, ids: std::ops::Range<i64>) -> Vec<Write> {
    let partitions = i64::from(job.shape.partitions);
    ids.map(|id| {
        let partition = i32::try_from(id.rem_euclid(partitions)).expect("small");
        Write::new("key", job.parcel(id, "small")).to(partition)
    })
    .collect()
}

/// A record of [`NEW`] for each partition: nobody can read it without the registry.
fn unknown(job: &Job, registry: &str) -> Vec<Write> {
    let url = format!("{registry}/subjects/{}-value/versions", job.source);
    let answer = http::post(url, json!({ "schema": NEW })).send();
    let answer: Json = serde_json::from_str(&answer.expect("an answer").1).expect("JSON");
    let id = u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id");
    let mut value = job.parcel(1, "new");
    value[1..5].copy_from_slice(&id.to_be_bytes());
    value.push(0);
    (0..job.shape.partitions)
        .map(|partition| Write::new("key", value.clone()).to(partition))
        .collect()
}

fn told(live: &Live, hook: &Hook, state: &str, kind: &str) -> Json {
    let what = format!("{state} {kind}");
    live.eventually(&what, || hook.find(state, kind))
}

#[test]
fn a_registry_that_stops_is_told_once_with_owner_and_reason_and_once_more_when_it_is_back() {
    let (embedded, hook, chat) = (Embedded::start(), Hook::start(), Hook::start());
    let mut job = job(&embedded, shape(4), &[&hook, &chat]);
    job.config.pipelines[0].alerts[1].format = AlertFormat::Slack;
    job.live(Some(&embedded.broker), |live| {
        live.ready();
        let new = unknown(&job, &embedded.registry.url());
        embedded.registry.stop();
        topics::produce(&job.client, &job.source, &new);
        let open = told(live, &hook, "open", "registry");
        assert_eq!(open["pipeline"], "parcels");
        assert_eq!(
            open["owner"],
            json!({ "team": "depot", "contact": "#depot" })
        );
        assert_eq!(open["reason"], "registry_unavailable");
        assert_eq!(open["id"], "parcels/registry");
        assert_eq!(open["link"], "https://gate.example/?pipeline=parcels");
        assert_eq!(open["topic"], job.source.as_str());
        assert!(!open["instance"].as_str().expect("a name").is_empty());
        assert!(!open["detail"].as_str().expect("a text").is_empty());
        let first: jiff::Timestamp = open["first_seen"]
            .as_str()
            .expect("it")
            .parse()
            .expect("it");
        let last: jiff::Timestamp = open["last_seen"].as_str().expect("it").parse().expect("it");
        assert!(first <= last, "{open:#}");
        let health = &live.instance.health;
        live.eventually("each partition has met it", || {
            health.faults("parcels").pauses.len() == 4
        });
        // Long enough for more of them, if there were any.
        wait::throughout(Duration::from_secs(4), Duration::from_millis(100), || {
            let states = hook.states();
            assert!(
                states.iter().all(|state| state == "open registry"),
                "{states:?}"
            );
            assert!(states.len() <= 2, "with partitions or without: {states:?}");
        });
        embedded.registry.restart().expect("the same port");
        let over = told(live, &hook, "resolved", "registry");
        assert_eq!(
            over["partitions_in_all"], 4,
            "one incident of all partitions: {over:#}"
        );
        assert_eq!(over["first_seen"], open["first_seen"]);
        live.eventually("all is emitted", || job.count(&job.sink) == 4);
        live.eventually("the chat is told as often", || {
            chat.taken().len() == hook.taken().len()
        });
        let texts = chat.taken();
        let text = texts[0]["text"].as_str().expect("a text");
        for word in [
            "REGISTRY",
            "parcels",
            "depot &lt;#depot&gt;",
            "registry_unavailable",
        ] {
            assert!(text.contains(word), "{text}");
        }
        let sent = |result| live.metric("driftgate_alerts_sent_total", &["\"registry\"", result]);
        assert_eq!(sent("\"ok\""), 2.0 * hook.taken().len() as f64);
        assert_eq!(sent("\"failed\""), 0.0);
    });
    assert!(
        hook.states()
            .iter()
            .all(|state| state.ends_with(" registry"))
    );
}

#[test]
fn a_lookup_that_fails_and_the_partitions_that_wait_for_it_are_told() {
    let (embedded, hook) = (Embedded::start(), Hook::start());
    let up = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_up = std::sync::Arc::clone(&up);
    let lookup = LookupServer::start(move |_| is_up.load(std::sync::atomic::Ordering::SeqCst));
    let shape = Shape {
        lookup: Some(lookup.url()),
        ..shape(2)
    };
    let job = job(&embedded, shape, &[&hook]);
    topics::produce(&job.client, &job.source, &write(&job, 0..10));
    job.live(Some(&embedded.broker), |live| {
        let server = told(live, &hook, "open", "lookup");
        let host = lookup.url().replace("http://", "");
        assert_eq!(server["id"], format!("parcels/lookup/{host}"));
        let paused = told(live, &hook, "open", "paused");
        assert_eq!(paused["reason"], "lookup_unavailable");
        assert!(
            paused["partitions_in_all"].as_u64() >= Some(1),
            "{paused:#}"
        );
        up.store(true, std::sync::atomic::Ordering::SeqCst);
        told(live, &hook, "resolved", "paused");
        told(live, &hook, "resolved", "lookup");
        live.eventually("all is emitted", || job.count(&job.sink) == 10);
    });
}

#[test]
fn more_dead_letters_than_the_rate_are_told_with_their_reason() {
    let (embedded, hook) = (Embedded::start(), Hook::start());
    let mut job = job(&embedded, shape(2), &[&hook]);
    job.config.pipelines[0].alerts[0].dead_letters_above = parse_rate("10/h").expect("a rate");
    job.live(Some(&embedded.broker), |live| {
        live.ready();
        topics::produce(&job.client, &job.source, &write(&job, -10..10));
        live.eventually("10 dead letters", || job.count(&job.dlq) == 10);
        wait::throughout(Duration::from_secs(3), Duration::from_millis(100), || {
            assert_eq!(
                hook.states(),
                Vec::<String>::new(),
                "10 are not more than 10"
            );
        });
        topics::produce(&job.client, &job.source, &write(&job, -5..0));
        let open = told(live, &hook, "open", "dead_letters");
        assert_eq!(open["reason"], "dead_letters_above");
        let detail = open["detail"].as_str().expect("a text");
        assert!(
            detail.contains("rule_violation") && detail.contains(&job.source),
            "{open:#}"
        );
        assert!(open["count"].as_u64() > Some(10), "{open:#}");
    });
}

/// The alert of a breaker stays open until somebody has resumed its partition.
#[test]
fn a_breaker_that_trips_is_told_and_resolved_when_somebody_resumes() {
    let (embedded, hook) = (Embedded::start(), Hook::start());
    let mut job = job(&embedded, shape(2), &[&hook]);
    job.config.pipelines[0].failure.dead_letter.pause_above = Some(RatioLimit {
        ratio: 0.2,
        window: Duration::from_secs(600),
        at_least: 10,
    });
    job.live(Some(&embedded.broker), |live| {
        live.ready();
        // Few enough that what is left does not trip it again.
        let bad: Vec<Write> = (-12..0)
            .map(|id| Write::new("key", job.parcel(id, "small")).to(1))
            .collect();
        topics::produce(&job.client, &job.source, &bad);
        let open = told(live, &hook, "open", "breaker");
        assert_eq!(open["reason"], "breaker");
        assert_eq!(open["pipeline"], "parcels");
        assert_eq!(open["partitions"][0]["topic"], job.source);
        assert_eq!(open["partitions"][0]["partition"], 1);
        assert_eq!(open["partitions"].as_array().map(Vec::len), Some(1));
        assert!(open["link"].as_str().is_some(), "{open:#}");
        assert_eq!(hook.find("resolved", "breaker"), None);
        let target = Target {
            pipeline: "parcels".to_owned(),
            topic: None,
            partition: None,
            by: "somebody".to_owned(),
            reason: "looked".to_owned(),
        };
        let found = Desk::new(&job.config).resume(&target).expect("it answers");
        assert_eq!(found.paused.len(), 1, "{found:?}");
        told(live, &hook, "resolved", "breaker");
    });
}

/// Nine dead letters are too many, and the condition comes true at eleven and speaks of all of them. Another is false for one
/// and overflows for more, which counts as true.
#[test]
fn a_webhook_is_told_only_what_its_condition_is_true_of() {
    let (embedded, all, some) = (Embedded::start(), Hook::start(), Hook::start());
    let unsure = Hook::start();
    let mut job = job(&embedded, shape(2), &[&all, &some, &unsure]);
    let alerts = &mut job.config.pipelines[0].alerts;
    for alert in alerts.iter_mut() {
        alert.dead_letters_above = parse_rate("5/h").expect("a rate");
    }
    alerts[1].when = Some(condition("kind == 'dead_letters' && count > 10"));
    alerts[2].when = Some(condition("count * 9223372036854775807 < 0"));
    job.live(Some(&embedded.broker), |live| {
        live.ready();
        let new = unknown(&job, &embedded.registry.url());
        topics::produce(&job.client, &job.source, &write(&job, -9..0));
        told(live, &all, "open", "dead_letters");
        told(live, &unsure, "open", "dead_letters");
        embedded.registry.stop();
        topics::produce(&job.client, &job.source, &new);
        told(live, &all, "open", "registry");
        assert_eq!(some.states(), Vec::<String>::new());
        embedded.registry.restart().expect("the same port");
        told(live, &all, "resolved", "registry");
        topics::produce(&job.client, &job.source, &write(&job, -2..0));
        let open = told(live, &some, "open", "dead_letters");
        assert_eq!(open["count"], 11, "also of those before: {open:#}");
    });
    for hook in [&some, &unsure] {
        let states = hook.states();
        assert!(
            states.iter().all(|state| state.ends_with(" dead_letters")),
            "{states:?}"
        );
    }
}

#[test]
fn an_instance_does_not_start_with_a_condition_that_means_nothing() {
    let (embedded, hook) = (Embedded::start(), Hook::start());
    let mut job = job(&embedded, shape(1), &[&hook]);
    job.config.pipelines[0].alerts[0].when = Some(condition("kind == 'dirft'"));
    let ((), result) = job.run(Some(&embedded.broker), |live| {
        eventually(LIMIT, "its end", || live.shutdown.is_cancelled());
    });
    let error = result.expect_err("it cannot run").to_string();
    assert!(
        error.contains("driftgate.yaml:7:21") && error.contains("dirft"),
        "{error}"
    );
}

fn condition(text: &str) -> Placed<String> {
    let file = "driftgate.yaml".to_owned();
    let (line, column) = (7, 13);
    Placed {
        value: text.to_owned(),
        place: Place { file, line, column },
    }
}

#[test]
fn a_broker_that_is_away_and_one_that_is_back_are_told() {
    let (embedded, hook) = (Embedded::start(), Hook::start());
    let job = job(&embedded, shape(1), &[&hook]);
    job.live(Some(&embedded.broker), |live| {
        live.ready();
        live.broker(|broker| broker.cluster().broker_down(1).expect("the one broker"));
        let open = told(live, &hook, "open", "broker");
        assert_eq!(open["reason"], "broker_unavailable");
        live.broker(|broker| broker.cluster().broker_up(1).expect("the one broker"));
        told(live, &hook, "resolved", "broker");
    });
}

/// No fault explains it: the client itself tries again and again.
#[test]
fn a_partition_that_stands_still_is_told() {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    let (embedded, hook) = (Embedded::start(), Hook::start());
    let job = job(&embedded, shape(1), &[&hook]);
    topics::produce(&job.client, &job.source, &write(&job, 0..20));
    let busy = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 2_000];
    let cluster = embedded.broker.cluster();
    cluster.request_errors(RDKafkaApiKey::Produce, &busy);
    job.live(Some(&embedded.broker), |live| {
        let open = told(live, &hook, "open", "stuck");
        let partition = json!([{ "topic": job.source, "partition": 0 }]);
        assert_eq!(open["partitions"], partition);
        live.broker(|broker| {
            let cluster = broker.cluster();
            cluster.clear_request_errors(RDKafkaApiKey::Produce);
        });
        told(live, &hook, "resolved", "stuck");
    });
}

/// The worker tells since when the head of a retry partition waits; one that is far over its budget is an alert.
#[test]
fn a_retry_that_is_older_than_its_budget_is_told() {
    let (embedded, hook) = (Embedded::start(), Hook::start());
    let lookup = LookupServer::start(|_| false);
    let shape = Shape {
        lookup: Some(lookup.url()),
        retry: "{ tiers: [30s], jitter: 0%, budget: 1h }",
        ..shape(1)
    };
    let job = job(&embedded, shape, &[&hook]);
    job.live(Some(&embedded.broker), |live| {
        live.ready();
        let health = &live.instance.health;
        assert_eq!(health.faults("parcels").retries, []);
        topics::produce(&job.client, &job.source, &write(&job, 0..3));
        let waiting = live.eventually("a retry waits", || {
            let retries = health.faults("parcels").retries;
            (!retries.is_empty()).then_some(retries)
        });
        let reads = topics::consume_all(&job.client, &job.retry_topic(1));
        let first = reads[0].header("driftgate.first_failed_at").expect("it");
        let since: i64 = first.parse().expect("a number");
        assert_eq!(waiting, [(job.retry_topic(1), 0, since)]);
        assert_eq!(hook.find("open", "retries"), None);
        // As if it were one of yesterday: nobody here writes to this partition's place.
        health.retry_waits("parcels", &job.retry_topic(1), 99, Some(since - 86_400_000));
        let open = told(live, &hook, "open", "retries");
        assert_eq!(open["reason"], "retry_over_budget");
        assert_eq!(open["partitions"][0]["partition"], 99);
        health.retry_waits("parcels", &job.retry_topic(1), 99, None);
        // Nobody here owns that partition, so this instance only stops to watch it.
        told(live, &hook, "released", "retries");
    });
}

/// The receiver is down while faults come and go: afterwards it is told of the one that is left, and of nothing else.
#[test]
fn a_receiver_that_was_down_is_told_how_things_stand_once() {
    let (embedded, hook) = (Embedded::start(), Hook::start());
    let job = job(&embedded, shape(2), &[&hook]);
    hook.proxy.refuse();
    job.live(Some(&embedded.broker), |live| {
        live.ready();
        let up = || live.metric("driftgate_alert_webhook_up", &["parcels", "\"1\""]);
        let waiting = || live.metric("driftgate_alerts_waiting", &["parcels", "\"1\""]);
        live.broker(|broker| broker.cluster().broker_down(1).expect("the one broker"));
        live.eventually("an alert waits", || waiting() > 0.5);
        live.broker(|broker| broker.cluster().broker_up(1).expect("the one broker"));
        live.ready();
        live.eventually("what is over is not worth telling", || waiting() < 0.5);
        let new = unknown(&job, &embedded.registry.url());
        embedded.registry.stop();
        topics::produce(&job.client, &job.source, &new);
        live.not_ready(&["registry_unavailable", &job.source]);
        live.eventually("another waits", || waiting() > 0.5);
        live.eventually("that is seen", || {
            live.metric("driftgate_alerts_sent_total", &["failed"]) > 0.5
        });
        assert_eq!(up(), 0.0);
        assert_eq!(hook.asked(), 0);
        hook.proxy.pass();
        told(live, &hook, "open", "registry");
        wait::throughout(Duration::from_secs(3), Duration::from_millis(100), || {
            assert_eq!(hook.states(), ["open registry"]);
        });
        assert_eq!((up(), waiting()), (1.0, 0.0));
        embedded.registry.restart().expect("the same port");
        told(live, &hook, "resolved", "registry");
    });
    assert_eq!(hook.states(), ["open registry", "resolved registry"]);
}

/// A receiver that answers 500 is asked again, later and later, until it takes it.
#[test]
fn a_receiver_that_refuses_is_asked_again_and_one_that_is_slow_is_waited_for() {
    let (embedded, refusing, slow) = (Embedded::start(), Hook::start(), Hook::start());
    refusing.answers(Reply::status(500));
    slow.answers(Reply::status(200).after(Duration::from_secs(2)));
    let job = job(&embedded, shape(1), &[&refusing, &slow]);
    job.live(Some(&embedded.broker), |live| {
        live.ready();
        let new = unknown(&job, &embedded.registry.url());
        embedded.registry.stop();
        topics::produce(&job.client, &job.source, &new);
        live.eventually("three tries", || refusing.asked() == 3);
        refusing.answers(Reply::status(200));
        told(live, &refusing, "open", "registry");
        told(live, &slow, "open", "registry");
        embedded.registry.restart().expect("the same port");
        told(live, &refusing, "resolved", "registry");
        told(live, &slow, "resolved", "registry");
    });
}

/// What a run with alerts and one without come to, and how long each took.
fn flow(embedded: &Embedded, hook: Option<&Hook>) -> (Vec<i64>, usize, Duration) {
    const RECORDS: i64 = 20_000;
    let hooks: Vec<&Hook> = hook.into_iter().collect();
    let mut job = job(embedded, shape(4), &hooks);
    for alert in &mut job.config.pipelines[0].alerts {
        alert.after = Duration::ZERO;
        alert.dead_letters_above = parse_rate("1/m").expect("a rate");
    }
    topics::produce(&job.client, &job.source, &write(&job, -1000..RECORDS));
    let begin = Instant::now();
    let took = job.live(Some(&embedded.broker), |live| {
        live.eventually("all is committed", || {
            job.committed(&job.source) == 1000 + RECORDS
        });
        begin.elapsed()
    });
    let mut emitted = job.emitted();
    emitted.sort_unstable();
    let dead = topics::consume_all(&job.client, &job.dlq).len();
    (emitted, dead, took)
}

#[test]
fn records_flow_on_while_a_receiver_never_answers() {
    let (embedded, hook) = (Embedded::start(), Hook::start());
    hook.proxy.hold();
    let (without, dead, alone) = flow(&embedded, None);
    let (with, dead_with, beside) = flow(&embedded, Some(&hook));
    assert_eq!(without, (0..20_000).collect::<Vec<_>>());
    assert_eq!((with, dead_with), (without, dead));
    assert_eq!(hook.taken(), Vec::<Json>::new(), "it never answered");
    // A worker that waited for it would have lost its five seconds and more, at each alert.
    assert!(
        beside < alone * 5 + Duration::from_secs(5),
        "{beside:?} against {alone:?}"
    );
}

/// SIGTERM while an alert waits: it is told on the way out, and what is left is said to be watched no longer.
#[test]
fn what_waits_is_told_on_the_way_out_in_bounded_time() {
    for is_down in [false, true] {
        let (embedded, hook) = (Embedded::start(), Hook::start());
        let job = job(&embedded, shape(1), &[&hook]);
        hook.proxy.refuse();
        let stopped = job.live(Some(&embedded.broker), |live| {
            live.ready();
            let new = unknown(&job, &embedded.registry.url());
            embedded.registry.stop();
            topics::produce(&job.client, &job.source, &new);
            // Refused a few times, so that the next try by itself is some seconds away.
            live.eventually("it waits", || {
                live.metric("driftgate_alerts_sent_total", &["failed"]) > 2.5
            });
            if !is_down {
                hook.proxy.pass();
            }
            Instant::now()
        });
        let took = stopped.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
        match is_down {
            true => assert_eq!(hook.asked(), 0),
            false => assert_eq!(hook.states(), ["open registry", "released registry"]),
        }
    }
}

#[test]
fn an_instance_that_ends_with_an_error_says_so() {
    let (embedded, hook) = (Embedded::start(), Hook::start());
    let mut job = job(&embedded, shape(1), &[&hook]);
    let missing = job.folder.path().join("missing.avsc");
    job.config.pipelines[0].contract.schema =
        driftgate::config::model::SchemaSource::File { path: missing };
    let ((), result) = job.run(Some(&embedded.broker), |live| {
        eventually(LIMIT, "its end", || live.shutdown.is_cancelled());
    });
    assert!(result.is_err());
    assert_eq!(hook.states(), ["event stopped"]);
    assert!(
        hook.taken()[0]["detail"]
            .as_str()
            .expect("a text")
            .contains("missing.avsc")
    );
}

// ---- on a real Kafka, as a process

/// The configuration file with an entry of `alerts` behind its only pipeline.
fn with_alerts(job: &support::Job, entry: &str) {
    let file = job.folder.path().join("driftgate.yaml");
    let text = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(file, format!("{text}    alerts:\n      - {entry}\n")).expect("written");
}

#[test]
fn outages_of_a_real_registry_and_a_real_broker_are_told_and_resolved() {
    let (Some(mut kafka), Some(mut registry)) =
        (RealKafka::start(Options::default()), Registry::axonops())
    else {
        return;
    };
    let hook = Hook::start();
    let client = kafka.client();
    let proxy = Proxy::to(&registry.address());
    let url = registry
        .url()
        .replace(&registry.address(), &proxy.address());
    let job = support::Job::new(&kafka.bootstrap(), &url, &support::Shape::default());
    let entry = format!(
        "{{ webhook: \"{}\", after: 1s, dead_letters_above: 5/h }}",
        hook.url()
    );
    with_alerts(&job, &entry);
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let subject = format!("{}-value", job.source);
    let known = registry.register(&subject, support::job::SCHEMA);
    let late = support::job::SCHEMA.replace(
        "\"currency\",\"type\":\"string\"}",
        "\"currency\",\"type\":\"string\"},{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null}",
    );
    let late = registry.register(&subject, &late);
    let mut runner = job.start("gate");
    runner.wait_ready(200, &[]);
    eventually(LIMIT, "both workers have their share", || {
        let log = runner.log();
        (0..2).all(|worker| log.contains(&format!("worker={worker} partitions=")))
    });

    proxy.refuse();
    registry.stop();
    let uncached = |partition: i32| {
        let value = [payment(late, i64::from(partition), "EUR"), vec![0]].concat();
        Write::new("key", value).to(partition)
    };
    let writes: Vec<Write> = (0..PARTITIONS).map(uncached).collect();
    topics::produce(&client, &job.source, &writes);
    let open = eventually(LIMIT, "registry", || hook.find("open", "registry"));
    assert_eq!(
        open["owner"],
        json!({ "team": "billing", "contact": "#billing" })
    );
    assert_eq!(open["reason"], "registry_unavailable");
    assert_eq!(open["link"], Json::Null, "without admin.public_url");
    registry.start_again();
    proxy.pass();
    let over = eventually(LIMIT, "its end", || hook.find("resolved", "registry"));
    assert_eq!(over["partitions_in_all"], PARTITIONS);
    job.wait_for_all(&client, writes.len());

    let poison: Vec<Write> = (1..=6)
        .map(|id| Write::new("key", payment(known, -id, "EUR")))
        .collect();
    topics::produce(&client, &job.source, &poison);
    let letters = eventually(LIMIT, "dead letters", || hook.find("open", "dead_letters"));
    assert!(
        letters["detail"]
            .as_str()
            .expect("a text")
            .contains("6 rule_violation"),
        "{letters:#}"
    );

    kafka.stop();
    eventually(LIMIT, "broker", || hook.find("open", "broker"));
    kafka.start_again();
    eventually(LIMIT, "its end", || hook.find("resolved", "broker"));
    runner.wait_ready(200, &[]);
    runner.stop();
    assert!(
        hook.find("released", "dead_letters").is_some(),
        "{:?}",
        hook.states()
    );
    assert!(
        !runner.log().contains(hook::TOKEN),
        "the webhook's query is a secret"
    );
}

/// Each tells of its own partitions. One that leaves does not call its incident over: the other has the partitions then.
#[test]
fn two_instances_tell_each_of_its_own_and_one_that_leaves_lets_go() {
    let Some(bed) = Bed::real().into_iter().next() else {
        return;
    };
    let hook = Hook::start();
    let client = bed.client();
    let address = bed.registry_url.replace("http://", "");
    let proxy = Proxy::to(&address);
    let url = format!("http://{}", proxy.address());
    let job = support::Job::new(&bed.bootstrap, &url, &support::Shape::quick());
    with_alerts(
        &job,
        &format!("{{ webhook: \"{}\", after: 1s }}", hook.url()),
    );
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let schema = support::job::register(&bed, &job.source);
    let mut runners = [job.start("first"), job.start("second")];
    eventually(support::job::LIMIT, "each has partitions", || {
        let owned = runners.each_mut().map(|runner| runner.owned(&job.source));
        let all: usize = owned.iter().map(|owned| owned.len()).sum();
        all == 4 && owned.iter().all(|owned| !owned.is_empty())
    });
    proxy.refuse();
    let writes: Vec<Write> = (0..PARTITIONS)
        .map(|number| Write::new("key", payment(schema, i64::from(number), "EUR")).to(number))
        .collect();
    topics::produce(&client, &job.source, &writes);
    let of = |state: &str| -> Vec<Json> {
        let taken = hook.taken().into_iter();
        taken.filter(|told| told["state"] == state).collect()
    };
    let instances = || -> std::collections::BTreeSet<String> {
        let open = of("open").into_iter();
        open.map(|told| told["instance"].to_string()).collect()
    };
    eventually(LIMIT, "both tell of it", || instances().len() == 2);
    runners[0].stop();
    let released = eventually(LIMIT, "one lets go", || of("released").first().cloned());
    assert!(
        released["partitions_in_all"].as_u64() < Some(4),
        "{released:#}"
    );
    runners[1].wait_ready(503, &["registry_unavailable", "1 more"]);
    // Long enough for the alerts, which look once a second, to have seen them too.
    wait::throughout(Duration::from_secs(3), Duration::from_millis(100), || {
        assert_eq!(of("resolved"), Vec::<Json>::new());
    });
    proxy.pass();
    let resolved = eventually(LIMIT, "its end", || of("resolved").first().cloned());
    assert_ne!(resolved["instance"], released["instance"]);
    assert_eq!(
        resolved["partitions_in_all"], 4,
        "it took the other's over: {resolved:#}"
    );
    job.wait_for_all(&client, writes.len());
    runners[1].stop();
}

// ---- trying it out

#[test]
fn webhooks_are_tried_out_before_something_goes_wrong() {
    let embedded = Embedded::start();
    let hooks = [Hook::start(), Hook::start(), Hook::start()];
    let run = |entries: &[String]| {
        let job = support::Job::new(
            &embedded.bed.bootstrap,
            &embedded.bed.registry_url,
            &support::Shape::default(),
        );
        with_alerts(&job, &entries.join("\n      - "));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_driftgate"));
        command.current_dir(job.folder.path());
        let output = command.args(["alert", "test", "--output", "json"]).output();
        let output = output.expect("it runs");
        let printed = String::from_utf8(output.stdout).expect("text");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(
            !printed.contains(hook::TOKEN) && !said.contains(hook::TOKEN),
            "{printed}{said}"
        );
        (
            output.status.code(),
            serde_json::from_str::<Json>(&printed).expect("JSON"),
        )
    };
    let entry =
        |hook: &Hook, format: &str| format!("{{ webhook: \"{}\", format: {format} }}", hook.url());
    let one = entry(&hooks[0], "json");
    let expected = json!([
        { "pipeline": "payments", "webhook": 1, "format": "json", "taken": true, "why": null },
    ]);
    assert_eq!(run(std::slice::from_ref(&one)), (Some(0), expected));
    assert_eq!(hooks[0].states(), ["test test"]);
    hooks[1].answers(Reply::status(404));
    let two = entry(&hooks[1], "slack");
    let (code, answer) = run(&[one.clone(), two.clone()]);
    assert_eq!(code, Some(1));
    assert_eq!(answer[1]["why"], "it answered HTTP 404");
    hooks[2].proxy.refuse();
    let (code, answer) = run(&[one, two, entry(&hooks[2], "teams")]);
    assert_eq!(code, Some(3));
    assert_eq!(answer[0]["taken"], true, "each is tried");
    assert_eq!(answer[2]["why"], "it cannot be reached");
}
