//! The engine against brokers that refuse, registries that are away and topics that are missing: nothing is lost, and
//! what is wrong is said where an operator looks.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use driftgate::error::FatalError;
use driftgate::ingest::properties;
use driftgate::ingest::topics::{Facts, Finding, Known, largest_batch};
use rand::SeedableRng;
use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::SmallRng;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use support::live::{self, Embedded, Job, LIMIT, Shape, both, real};
use support::topics::{self, Read, Write};
use support::{eventually, http, ports};

const SINGLE: i32 = 1;

fn single() -> Shape {
    Shape {
        partitions: SINGLE,
        ..Shape::default()
    }
}

/// Text that no codec makes smaller: brokers look at the compressed size.
fn noise(length: usize) -> String {
    Alphanumeric.sample_string(&mut SmallRng::from_os_rng(), length)
}

fn small(job: &Job, ids: std::ops::Range<i64>) -> Vec<Write> {
    ids.map(|id| Write::new("key", job.parcel(id, "small")))
        .collect()
}

// --- what a broker refuses ---------------------------------------------------------------------------------------

/// A broker refuses a batch whole. Which record of it was too large shows only when each is sent alone.
#[test]
fn a_batch_refused_for_its_size_makes_no_dead_letter_of_its_records() {
    let embedded = Embedded::start();
    let job = Job::new(&embedded.bed, Some(&embedded.broker), single());
    topics::produce(&job.client, &job.source, &small(&job, 0..50));
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE];
    let cluster = embedded.broker.cluster();
    cluster.request_errors(RDKafkaApiKey::Produce, &refused);
    job.live(Some(&embedded.broker), |live| {
        live.eventually("all is committed", || job.committed(&job.source) == 50);
        assert!(
            live.metric("driftgate_records_discarded_total", &[]) >= 50.0,
            "the batch was refused and read again"
        );
    });
    assert_eq!(job.emitted(), (0..50).collect::<Vec<_>>());
    assert_eq!(job.count(&job.dlq), 0);
}

/// The limit is lowered while the instance runs, so that it cannot know; or known from the start.
#[test]
fn a_record_too_large_for_the_sink_is_a_dead_letter_and_the_others_keep_their_order() {
    let Some(bed) = real() else { return };
    for known in [false, true] {
        let job = Job::new(&bed, None, single());
        topics::create(&job.client, &job.sink, SINGLE, &[]);
        if known {
            live::limit(&job.client, &job.sink, 3_000);
        }
        let large = [7, 20, 21, 59];
        let writes: Vec<Write> = (0..60)
            .map(|id| {
                let length = if large.contains(&id) { 5_000 } else { 100 };
                Write::new("key", job.parcel(id, &noise(length)))
            })
            .collect();
        job.live(None, |live| {
            live.ready();
            live::limit(&job.client, &job.sink, 3_000);
            topics::produce(&job.client, &job.source, &writes);
            live.eventually("all is committed", || job.committed(&job.source) == 60);
            live.ready();
        });
        let rest: Vec<i64> = (0..60).filter(|id| !large.contains(id)).collect();
        assert_eq!(in_order(&job.emitted()), rest, "known beforehand: {known}");
        let dead = topics::consume_all(&job.client, &job.dlq);
        let ids: Vec<i64> = dead.iter().map(live::id).collect();
        assert_eq!(in_order(&ids), large, "known beforehand: {known}");
        for letter in &dead {
            assert_eq!(letter.header("driftgate.reason"), Some("record_too_large"));
        }
    }
}

/// A batch larger than a topic takes is refused whole: none is made where the limits are known.
#[test]
fn no_batch_is_larger_than_the_smallest_limit_of_its_topics() {
    let embedded = Embedded::start();
    let job = Job::new(&embedded.bed, Some(&embedded.broker), single());
    let pipeline = &job.config.pipelines[0];
    let facts = |limit: u64| Facts {
        partitions: SINGLE,
        max_message_bytes: Some(limit),
        forgets: None,
        untold: None,
    };
    let known: Known = [
        (job.source.clone(), facts(100)),
        (job.sink.clone(), facts(3_000)),
        (job.dlq.clone(), facts(1_100_000)),
    ]
    .into();
    let check = |known: &Known, expect: &str| {
        let batch = largest_batch(pipeline, known);
        let found = properties::producer(&job.config.kafka, pipeline, 0, 1, 1, batch);
        assert_eq!(found["batch.size"], expect);
    };
    check(&known, "3000");
    check(&Known::new(), "1000000");
}

/// Records that were written again after a refusal are repeats: what counts is the order of the first ones.
fn in_order(ids: &[i64]) -> Vec<i64> {
    let mut seen = BTreeSet::new();
    ids.iter().copied().filter(|id| seen.insert(*id)).collect()
}

/// A topic that somebody deletes under a running instance: its partition pauses, names it, and goes on with it.
fn survives_without(which: fn(&Job) -> String, id: impl Fn(i64) -> i64, reason: &str) {
    let Some(bed) = real() else { return };
    let job = Job::new(&bed, None, single());
    let topic = which(&job);
    let write = |ids: std::ops::Range<i64>| {
        let writes: Vec<Write> = ids
            .map(|n| Write::new("key", job.parcel(id(n), "")))
            .collect();
        topics::produce(&job.client, &job.source, &writes);
    };
    let mut program = job.start("run", "program");
    let ready = format!("http://{}/readyz", job.admin("program"));
    let readiness = || http::get(&ready).send().ok();
    eventually(LIMIT, "ready", || {
        readiness().is_some_and(|(status, _)| status == 200)
    });
    write(0..10);
    eventually(LIMIT, "the first are committed", || {
        job.committed(&job.source) == 10
    });
    live::delete(&job.client, &topic);
    write(10..20);
    eventually(LIMIT, "/readyz names the topic", || {
        readiness().is_some_and(|(status, body)| {
            let says = [topic.as_str(), reason, "restart with create_topics: true"];
            status == 503 && says.iter().all(|says| body.contains(says))
        })
    });
    assert_eq!(job.committed(&job.source), 10, "nothing is passed over");
    let log = job.log("program");
    let line = log.lines().find(|line| line.contains("partition paused"));
    assert!(line.is_some_and(|line| line.contains(&topic)), "{log}");
    topics::create(&job.client, &topic, SINGLE, &[]);
    eventually(LIMIT, "everything is committed", || {
        job.committed(&job.source) == 20
    });
    eventually(LIMIT, "ready again", || {
        readiness().is_some_and(|(status, _)| status == 200)
    });
    let found = topics::consume_all(&job.client, &topic);
    let ids: Vec<i64> = found.iter().map(live::id).collect();
    assert_eq!(in_order(&ids), (10..20).map(id).collect::<Vec<_>>());
    assert!(program.runs());
    assert_eq!(program.stop(LIMIT).code(), Some(0));
}

#[test]
fn a_missing_sink_topic_pauses_and_is_named_until_it_is_there() {
    survives_without(|job| job.sink.clone(), |n| n, "broker_refused");
}

#[test]
fn a_missing_dead_letter_topic_pauses_and_is_named_until_it_is_there() {
    survives_without(|job| job.dlq.clone(), |n| -1 - n, "dead_letter_refused");
}

#[test]
fn a_dead_letter_topic_that_is_too_small_pauses_and_drops_nothing() {
    let Some(bed) = real() else { return };
    let job = Job::new(&bed, None, single());
    job.live(None, |live| {
        live.ready();
        live::limit(&job.client, &job.dlq, 2_000);
        let mut writes = small(&job, 0..5);
        writes.push(Write::new("key", job.parcel(-1, &noise(4_000))));
        writes.extend(small(&job, 5..10));
        topics::produce(&job.client, &job.source, &writes);
        let hint = "raise its max.message.bytes";
        live.not_ready(&["dead_letter_refused", &job.dlq, hint]);
        live.eventually("those before it are committed", || {
            job.committed(&job.source) == 5
        });
        assert_eq!(job.count(&job.dlq), 0);
        live::limit(&job.client, &job.dlq, 1_100_000);
        live.eventually("all is committed", || job.committed(&job.source) == 11);
        live.ready();
    });
    assert_eq!(in_order(&job.emitted()), (0..10).collect::<Vec<_>>());
    let dead = topics::consume_all(&job.client, &job.dlq);
    assert_eq!(dead.iter().map(live::id).collect::<Vec<_>>(), [-1]);
}

/// Its headers are what is too large: they are shortened, the value never is. What is cut is our text alone.
#[test]
fn a_dead_letter_that_its_topic_takes_with_shorter_headers_is_written_with_those() {
    let Some(bed) = real() else { return };
    for (long, limit, steps) in [("contact", 5_300, 2), ("rule", 5_300, 1)] {
        let shape = Shape {
            retry: "{ tiers: [] }, dead_letter: { headers: [connect, spring] }",
            ..single()
        };
        let job = Job::new(&bed, None, shape);
        let edit = |file: &str, from: &str, to: &str| {
            let path = job.folder.path().join(file);
            let text = std::fs::read_to_string(&path).expect("the job's own file");
            std::fs::write(path, text.replace(from, to)).expect("the job's own folder");
        };
        match long {
            "contact" => edit("driftgate.yaml", "#depot", &noise(1_200)),
            _ => edit("parcel.rules.yaml", "positive-id", &noise(1_200)),
        }
        let value = job.parcel(-1, &noise(4_000));
        let program = job.start("run", "program");
        let ready = format!("http://{}/readyz", job.admin("program"));
        eventually(LIMIT, "ready", || {
            http::get(&ready)
                .send()
                .is_ok_and(|(status, _)| status == 200)
        });
        live::limit(&job.client, &job.dlq, limit);
        let mut writes = small(&job, 0..5);
        let large = Write::new("key", value.clone()).header("traceparent", "00-1");
        writes.push(large);
        writes.extend(small(&job, 5..10));
        topics::produce(&job.client, &job.source, &writes);
        eventually(LIMIT, "all is committed", || {
            job.committed(&job.source) == 11
        });
        let dead = topics::consume_all(&job.client, &job.dlq);
        assert_eq!(dead.len(), 1, "{long}");
        let letter = &dead[0];
        assert_eq!(letter.value, Some(value), "never a truncated value");
        assert_eq!(letter.header("traceparent"), Some("00-1"));
        assert_eq!(letter.header("driftgate.reason"), Some("rule_violation"));
        assert_eq!(letter.header("driftgate.source.offset"), Some("5"));
        assert_eq!(letter.count("__connect.errors.topic"), 0);
        let error = letter.header("driftgate.error").map(str::len);
        assert_eq!(error, (steps == 1).then_some(128), "{long}");
        assert_eq!(letter.header("driftgate.owner").is_some(), steps == 1);
        assert_eq!(in_order(&job.emitted()), (0..10).collect::<Vec<_>>());
        assert_eq!(program.stop(LIMIT).code(), Some(0));
    }
}

/// The retry topic was made smaller after the start. The record is not to blame for what it was to be retried for, and can
/// wait nowhere: a dead letter says both, and its partition goes on.
#[test]
fn a_retry_that_its_topic_does_not_take_becomes_a_dead_letter() {
    let Some(bed) = real() else { return };
    let shape = Shape {
        retry: "{ tiers: [1s] }",
        ..single()
    };
    let job = Job::new(&bed, None, shape);
    let retry = job.retry_topic(1);
    let unknown = |length| {
        let mut value = job.parcel(1, &noise(length));
        value[1..5].copy_from_slice(&1_999_999_999_u32.to_be_bytes());
        value
    };
    let (large, little) = (unknown(5_000), unknown(10));
    job.live(None, |live| {
        live.ready();
        live::limit(&job.client, &retry, 3_000);
        let mut writes = small(&job, 0..5);
        writes.push(Write::new("key", large.clone()));
        writes.push(Write::new("key", little.clone()));
        writes.extend(small(&job, 5..10));
        topics::produce(&job.client, &job.source, &writes);
        live.eventually("all is committed", || job.committed(&job.source) == 12);
        live.eventually("both have their outcome", || job.count(&job.dlq) == 2);
        live.ready();
    });
    assert_eq!(in_order(&job.emitted()), (0..10).collect::<Vec<_>>());
    let dead = topics::consume_all(&job.client, &job.dlq);
    let reason = |value: &Vec<u8>| {
        let letter = dead
            .iter()
            .find(|letter| letter.value.as_ref() == Some(value));
        let letter = letter.expect("byte for byte");
        let header = |name| letter.header(name).expect("ours").to_owned();
        (header("driftgate.reason"), header("driftgate.error"))
    };
    let (word, error) = reason(&large);
    assert_eq!(word, "record_too_large");
    assert!(
        error.contains(&retry) && error.contains("unknown_schema"),
        "{error}"
    );
    assert_eq!(reason(&little).0, "unknown_schema");
}

// --- what is seen from outside -----------------------------------------------------------------------------------

#[test]
fn the_watchdog_tells_of_a_partition_that_has_lag_and_stands_still() {
    let embedded = Embedded::start();
    let job = Job::new(&embedded.bed, Some(&embedded.broker), single());
    topics::produce(&job.client, &job.source, &small(&job, 0..20));
    // The client itself tries these again and again, so no record fails and no partition pauses.
    let busy = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 2_000];
    let cluster = embedded.broker.cluster();
    cluster.request_errors(RDKafkaApiKey::Produce, &busy);
    job.live(Some(&embedded.broker), |live| {
        let stuck = || live.metric("driftgate_partition_stuck", &[&job.source]);
        live.not_ready(&[&job.source, "make no progress"]);
        assert_eq!(stuck(), 1.0);
        assert_eq!(
            live.metric("driftgate_lag_records", &[&job.source]),
            20.0,
            "lag counts what is not committed"
        );
        live.broker(|broker| {
            let cluster = broker.cluster();
            cluster.clear_request_errors(RDKafkaApiKey::Produce);
        });
        live.eventually("all is committed", || job.committed(&job.source) == 20);
        live.ready();
        assert_eq!(stuck(), 0.0);
    });
    assert_eq!(job.emitted(), (0..20).collect::<Vec<_>>());
}

/// With nothing to read and nothing to commit, nothing else would tell that the broker is back.
#[test]
fn an_idle_instance_learns_that_its_broker_is_back() {
    let embedded = Embedded::start();
    let shape = Shape {
        properties: "reconnect.backoff.max.ms: 200",
        ..single()
    };
    let job = Job::new(&embedded.bed, Some(&embedded.broker), shape);
    job.live(Some(&embedded.broker), |live| {
        live.ready();
        live.broker(|broker| broker.cluster().broker_down(1).expect("the one broker"));
        live.not_ready(&["broker is unavailable"]);
        live.broker(|broker| broker.cluster().broker_up(1).expect("the one broker"));
        live.ready();
    });
}

#[test]
fn the_program_tells_how_it_stands_and_its_counts_add_up() {
    let embedded = Embedded::start();
    let shape = Shape {
        retry: "{ tiers: [1h] }",
        ..Shape::default()
    };
    let job = Job::new(&embedded.bed, Some(&embedded.broker), shape);
    embedded.registry.stop();
    let mut program = job.start("run", "program");
    let address = job.admin("program");
    let get = |path: &str| http::get(format!("http://{address}{path}")).send().ok();
    eventually(LIMIT, "503, for want of the registry", || {
        get("/readyz").is_some_and(|(status, body)| {
            status == 503 && body.contains("registry is unavailable") && body.contains("starting")
        })
    });
    assert_eq!(get("/healthz").map(|(status, _)| status), Some(200));
    embedded.registry.restart().expect("the same port");
    eventually(LIMIT, "ready once the registry answers", || {
        get("/readyz").is_some_and(|(status, _)| status == 200)
    });
    let page = || get("/metrics").expect("the program answers").1;
    let failures =
        |page: &str, labels: &[&str]| live::sum(page, "driftgate_failures_total", labels);
    let before = page();
    let series = |reason: &str| {
        let found = before
            .lines()
            .filter(|line| line.starts_with("driftgate_failures_total{"))
            .filter(|line| line.contains(&format!("reason=\"{reason}\"")));
        found.count()
    };
    assert_eq!(failures(&before, &[]), 0.0);
    // Source and retry topic; a schema that is unknown may be retried and dead-lettered. An outage is neither.
    assert_eq!(
        ["rule_violation", "unknown_schema", "registry_unavailable"].map(series),
        [2, 4, 0]
    );

    let mut unknown = job.parcel(1, "");
    unknown[1..5].copy_from_slice(&1_999_999_999_u32.to_be_bytes());
    let mut writes = small(&job, 0..100);
    for n in 1..=7 {
        writes.push(Write::new(format!("{n}"), job.parcel(-n, "")));
    }
    for n in 0..3 {
        writes.push(Write::new(format!("{n}"), unknown.clone()));
    }
    topics::produce(&job.client, &job.source, &writes);
    let page = eventually(LIMIT, "the outcomes of all records", || {
        let page = page();
        let done = live::sum(&page, "driftgate_records_total", &[&job.source]) == 110.0;
        let told = live::sum(&page, "driftgate_retries_pending_records", &[]) == 3.0
            && live::sum(&page, "driftgate_lag_records", &[]) == 0.0;
        (done && told).then_some(page)
    });
    let source = format!("topic=\"{}\"", job.source);
    let sum = |family: &str, labels: &[&str]| {
        let labels: Vec<&str> = labels.iter().copied().chain([source.as_str()]).collect();
        live::sum(&page, family, &labels)
    };
    let outcome = |name: &str| sum("driftgate_records_total", &[&format!("outcome=\"{name}\"")]);
    assert_eq!(
        ["emitted", "dead_lettered", "retried", "filtered"].map(outcome),
        [100.0, 7.0, 3.0, 0.0]
    );
    assert_eq!(
        sum("driftgate_records_read_total", &[]),
        sum("driftgate_records_total", &[])
            + sum("driftgate_records_discarded_total", &[])
            + sum("driftgate_records_in_flight", &[])
    );
    assert_eq!(sum("driftgate_emit_latency_seconds_count", &[]), 100.0);
    let of_writer = format!("schema_id=\"{}\"", job.schema);
    assert_eq!(sum("driftgate_schema_records_total", &[&of_writer]), 107.0);
    assert_eq!(
        sum("driftgate_schema_records_total", &["\"1999999999\""]),
        3.0
    );
    let last = sum("driftgate_dead_letter_last_timestamp_seconds", &[]);
    assert!(last > 1_700_000_000.0, "{last}");
    assert_eq!(
        sum(
            "driftgate_failures_total",
            &["\"rule_violation\"", "\"dead_lettered\""]
        ),
        7.0
    );
    assert_eq!(
        sum(
            "driftgate_failures_total",
            &["\"unknown_schema\"", "\"retried\""]
        ),
        3.0
    );
    assert!(program.runs());
    assert_eq!(program.stop(LIMIT).code(), Some(0));
    assert!(
        http::get(format!("http://{address}/healthz"))
            .send()
            .is_err()
    );
}

/// What failed together does not come back together: `jitter` adds up to its part of the tier's delay, at random.
#[test]
fn what_fails_together_is_due_apart() {
    const DELAY: i64 = 1_000_000;
    let Some(bed) = real() else { return };
    let shape = Shape {
        partitions: 12,
        retry: "{ tiers: [1000s], jitter: 50% }",
        lookup: Some(format!("http://127.0.0.1:{}", ports::free())),
        ..Shape::default()
    };
    let job = Job::new(&bed, None, shape);
    let writes: Vec<Write> = (0..12)
        .map(|to| Write::new("key", job.parcel(1, "small")).to(to))
        .collect();
    topics::produce(&job.client, &job.source, &writes);
    job.live(None, |live| {
        live.eventually("all are retried", || job.count(&job.retry_topic(1)) == 12);
    });
    let waits: Vec<i64> = topics::consume_all(&job.client, &job.retry_topic(1))
        .iter()
        .map(|read| {
            let time = |name| read.header(name).and_then(|text| text.parse::<i64>().ok());
            let (due, failed) = (time("driftgate.due_at"), time("driftgate.failed_at"));
            due.expect("a due time") - failed.expect("a time")
        })
        .collect();
    let (least, most) = (waits.iter().min(), waits.iter().max());
    let (least, most) = (*least.expect("some"), *most.expect("some"));
    // It failed a moment before it was written.
    let slack = 10_000;
    assert!(least >= DELAY, "{waits:?}");
    assert!(most <= DELAY + DELAY / 2 + slack, "{waits:?}");
    // That twelve numbers of a range lie within a fifth of it happens once in some million times.
    assert!(most - least > DELAY / 10, "{waits:?}");
}

/// The figure is a ratio of two instances that idle at the same time on the same machine.
#[test]
fn a_retry_that_is_due_in_an_hour_costs_no_cpu() {
    let embedded = Embedded::start();
    let jobs = [0, 1].map(|records| {
        let shape = Shape {
            retry: "{ tiers: [1h] }",
            ..single()
        };
        let job = Job::new(&embedded.bed, Some(&embedded.broker), shape);
        let mut unknown = job.parcel(1, "");
        unknown[1..5].copy_from_slice(&1_999_999_999_u32.to_be_bytes());
        let writes = vec![Write::new("key", unknown); records];
        topics::produce(&job.client, &job.source, &writes);
        job
    });
    let programs = jobs.each_ref().map(|job| job.start("run", "program"));
    for job in &jobs {
        let url = format!("http://{}/readyz", job.admin("program"));
        eventually(LIMIT, "ready", || {
            http::get(&url)
                .send()
                .is_ok_and(|(status, _)| status == 200)
        });
    }
    let waiting = jobs[1].retry_topic(1);
    eventually(LIMIT, "the record waits in its retry topic", || {
        jobs[1].count(&waiting) == 1 && jobs[1].committed(&jobs[1].source) == 1
    });
    let url = format!("http://{}/status", jobs[1].admin("program"));
    eventually(LIMIT, "its partition is paused", || {
        http::get(&url)
            .send()
            .is_ok_and(|(_, body)| body.contains("retry_not_due"))
    });
    let before = programs.each_ref().map(|program| cpu(program.id()));
    let over = std::time::Instant::now() + Duration::from_secs(8);
    eventually(LIMIT, "some seconds of idling", || {
        std::time::Instant::now() >= over
    });
    let after = programs.each_ref().map(|program| cpu(program.id()));
    let [empty, far] = [after[0] - before[0], after[1] - before[1]];
    eprintln!(
        "CPU in 8 s idle: {empty} ticks with an empty retry topic, {far} with one due in 1 h"
    );
    // A thread that polls without waiting takes a hundred ticks a second.
    let ratio = (far + 10) as f64 / (empty + 10) as f64;
    assert!(ratio < 3.0, "{far} ticks against {empty}");
    assert_eq!(jobs[1].count(&waiting), 1, "and it still waits");
}

/// User and system time of a process, in clock ticks of 10 ms.
fn cpu(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(") ").expect("the name in brackets");
    let fields: Vec<&str> = rest.split(' ').collect();
    let field = |index: usize| fields[index].parse::<u64>().expect("a number");
    field(11) + field(12)
}

// --- topics before start -----------------------------------------------------------------------------------------

/// With `create_topics: false` both `check` and `run` name each topic that is missing, before anything is read.
#[test]
fn every_missing_topic_is_named_before_anything_is_read() {
    let check = |job: &Job| {
        topics::produce(&job.client, &job.source, &small(job, 0..3));
        let control = job.config.pipelines[0].control_topic();
        let missing = [
            &job.sink,
            &job.dlq,
            &job.retry_topic(1),
            &job.retry_topic(2),
            &control,
        ];
        let mut programs = [("check", 1), ("run", 2)].map(|(command, code)| {
            let program = job.start(command, command);
            (command, code, program)
        });
        for (command, code, program) in &mut programs {
            let status = program.ended(LIMIT).expect("it ends");
            let log = job.log(command);
            assert_eq!(status.code(), Some(*code), "{log}");
            for topic in missing {
                let named = log.contains(&format!("topic {topic} does not exist"));
                assert!(named, "{command} does not name {topic}:\n{log}");
            }
        }
        for topic in missing {
            assert_eq!(topics::partitions(&job.client, topic), 0, "{topic}");
        }
        assert_eq!(job.committed(&job.source), 0);
    };
    let shape = || Shape {
        retry: "{ tiers: [1s, 2s] }",
        create_topics: false,
        ..Shape::default()
    };
    let embedded = Embedded::start();
    check(&Job::on_mock_with_source_only(&embedded, shape()));
    if let Some(bed) = real() {
        check(&Job::new(&bed, None, shape()));
    }
}

#[test]
fn topics_with_too_few_partitions_are_grown_and_ones_that_are_too_small_refused() {
    let Some(bed) = real() else { return };
    let shape = Shape {
        retry: "{ tiers: [1h] }",
        ..Shape::default()
    };
    let job = Job::new(&bed, None, shape);
    let retries = job.retry_topic(1);
    topics::create(
        &job.client,
        &retries,
        2,
        &[("max.message.bytes", "1100000")],
    );
    let grow = Finding::Grow {
        topic: retries.clone(),
        from: 2,
        to: 4,
    };
    // With `create_topics: false` it is told as it is to be done.
    let told = driftgate::instance::refusal(&grow, false).expect("not ours to do");
    let does = format!("kafka-topics.sh --alter --topic {retries} --partitions 4");
    assert!(told.contains(&does), "{told}");
    job.live(None, |live| live.ready());
    assert_eq!(topics::partitions(&job.client, &retries), 4);

    live::limit(&job.client, &job.dlq, 500_000);
    for (command, code) in [("check", 1), ("run", 2)] {
        let status = job.start(command, command).ended(LIMIT).expect("it ends");
        let log = job.log(command);
        assert_eq!(status.code(), Some(code), "{log}");
        let said = format!("topic {} has max.message.bytes=500000", job.dlq);
        assert!(log.contains(&said), "{command}: {log}");
    }
}

/// Brokers tell of what was just made or has just grown a moment late. Who took their first word for it would end at the
/// first partition that is new.
#[test]
fn what_was_made_or_has_grown_is_waited_for_until_brokers_tell_of_it() {
    use driftgate::ingest::topics::{names, told};
    let embedded = Embedded::start();
    let shape = Shape {
        retry: "{ tiers: [1h] }",
        ..Shape::default()
    };
    let mut job = Job::new(&embedded.bed, Some(&embedded.broker), shape);
    let pipeline = job.config.pipelines.remove(0);
    let facts = |partitions| Facts {
        partitions,
        max_message_bytes: None,
        forgets: None,
        untold: None,
    };
    let mut whole: Known = names(&pipeline)
        .into_iter()
        .map(|topic| (topic, facts(4)))
        .collect();
    whole.insert(pipeline.control_topic(), facts(1));
    let retry = pipeline.retry_topic(&job.source, 1);
    let mut without = whole.clone();
    without.remove(&job.dlq);
    let mut small = whole.clone();
    small.insert(retry.clone(), facts(2));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let wait = |answers: &[&Known], there: &[String], limit: Duration| {
        let mut asked = 0;
        let result = runtime.block_on(told(&pipeline, there, limit, async || {
            let answer = answers.get(asked).or(answers.last());
            asked += 1;
            Ok((**answer.expect("one at least")).clone())
        }));
        (result.map_err(|error| error.to_string()), asked)
    };
    assert_eq!(
        wait(&[&without, &small, &whole], &[], LIMIT),
        (Ok(whole), 3)
    );
    let found = std::slice::from_ref(&job.dlq);
    for (late, there, says) in [
        (&without, &[][..], format!("topic {} was created", job.dlq)),
        (&without, found, format!("topic {} is there (", job.dlq)),
        (&small, &[], format!("topic {retry} was given 4 partitions")),
    ] {
        let (result, _) = wait(&[late], there, Duration::from_millis(150));
        let error = result.expect_err("nobody tells of it");
        assert!(error.contains(&says), "{error}");
    }
}

/// Retry topics have the partitions of their own source, a dead-letter topic that sources share those of the largest. What
/// waits is kept for longer than it can wait.
#[test]
fn sources_with_different_partition_counts_get_topics_that_fit() {
    let embedded = Embedded::start();
    let shape = Shape {
        retry: "{ tiers: [1m, 20d], budget: 1h }",
        ..Shape::default()
    };
    let mut pipeline = Job::new(&embedded.bed, Some(&embedded.broker), shape)
        .config
        .pipelines
        .remove(0);
    pipeline.source_topics = vec!["few".to_owned(), "many".to_owned()];
    pipeline.failure.dead_letter.topic = Some("dead".to_owned());
    let facts = |partitions| Facts {
        partitions,
        max_message_bytes: None,
        forgets: None,
        untold: None,
    };
    let known: Known = [("few", 2), ("many", 5)]
        .map(|(topic, partitions)| (topic.to_owned(), facts(partitions)))
        .into();
    let findings = driftgate::ingest::topics::findings(&pipeline, &known);
    let created = |wanted: &str| {
        findings.iter().find_map(|finding| match finding {
            Finding::Create {
                topic,
                partitions,
                config,
            } if topic == wanted => Some((*partitions, config.clone())),
            _ => None,
        })
    };
    for (topic, partitions) in [
        (pipeline.retry_topic("few", 1), 2),
        (pipeline.retry_topic("few", 2), 2),
        (pipeline.retry_topic("many", 1), 5),
        ("dead".to_owned(), 5),
    ] {
        let (found, config) = created(&topic).unwrap_or_else(|| panic!("{topic}"));
        assert_eq!(found, partitions, "{topic}");
        let retention = config.iter().find(|(name, _)| *name == "retention.ms");
        let retention: i64 = retention.expect("always set").1.parse().expect("a number");
        let longest = 20 * 24 * 3_600_000;
        assert!(
            retention == -1 || retention > longest,
            "{topic}: {retention}"
        );
    }
}

/// A new partition has no retry and dead-letter partitions yet: the instance ends, says so, and a start puts it right.
#[test]
fn a_source_that_grows_ends_the_instance_and_a_restart_reads_all_of_it() {
    let Some(bed) = real() else { return };
    let shape = Shape {
        partitions: 2,
        properties: "topic.metadata.refresh.interval.ms: 500",
        ..Shape::default()
    };
    let job = Job::new(&bed, None, shape);
    let write = |ids: std::ops::Range<i64>, partitions: i32| {
        let writes: Vec<Write> = ids
            .map(|id| {
                let partition = i32::try_from(id).expect("small") % partitions;
                Write::new("key", job.parcel(id, "")).to(partition)
            })
            .collect();
        topics::produce(&job.client, &job.source, &writes);
    };
    write(0..20, 2);
    let ((), result) = job.run(None, |live| {
        live.eventually("the first are committed", || {
            job.committed(&job.source) == 20
        });
        live::grow(&job.client, &job.source, 4);
        write(20..60, 4);
        eventually(LIMIT, "the instance ends", || live.shutdown.is_cancelled());
    });
    let Err(FatalError::Topics(message)) = result else {
        panic!("{result:?}");
    };
    assert!(
        message.contains(&job.source) && message.contains("Restart"),
        "{message}"
    );
    job.live(None, |live| {
        live.eventually("everything is committed", || {
            job.committed(&job.source) == 60
        });
    });
    let ids: BTreeSet<i64> = job.emitted().into_iter().collect();
    assert_eq!(ids, (0..60).collect());
    assert_eq!(topics::partitions(&job.client, &job.dlq), 4);
}

// --- the record's own bytes --------------------------------------------------------------------------------------

/// Over many hops through real tiers: our headers are replaced each time, the record's own stay as they were.
#[test]
fn many_hops_through_the_tiers_pile_up_no_headers() {
    both(|bed, embedded| {
        let shape = Shape {
            // A number of attempts, and no budget: how many hops fit into a time is the machine's affair.
            retry: "{ tiers: [1s, 1s], jitter: 0%, attempts: 7 }",
            lookup: Some(format!("http://127.0.0.1:{}", ports::free())),
            ..Shape::default()
        };
        let job = Job::new(bed, embedded, shape);
        let mut write = Write::new(b"\0\0\0\0\x07key".to_vec(), job.parcel(1, "a note"))
            .to(3)
            .header("traceparent", "00-abc-def-01")
            .header("twice", "first")
            .header("twice", "second")
            .header("driftgate.reason", "the source's own")
            .header("bytes", [0xff, 0x00, 0xfe]);
        write.headers.push(("null".to_owned(), None));
        write.timestamp = Some(1_700_000_000_000);
        topics::produce(&job.client, &job.source, std::slice::from_ref(&write));
        let retried = [job.retry_topic(1), job.retry_topic(2)];
        job.live(embedded, |live| {
            live.ready();
            live.eventually("a dead letter", || job.count(&job.dlq) == 1);
        });
        let hops: Vec<Read> = retried
            .iter()
            .flat_map(|topic| topics::consume_all(&job.client, topic))
            .chain(topics::consume_all(&job.client, &job.dlq))
            .collect();
        assert_eq!(hops.len(), 7);
        let ours = hops[0].headers.len();
        let mut attempts = BTreeSet::new();
        for hop in &hops {
            assert_eq!((&hop.key, &hop.value), (&write.key, &write.value));
            assert_eq!(hop.partition, 3);
            let own: Vec<_> = hop
                .headers
                .iter()
                .filter(|(name, _)| !name.starts_with("driftgate.") || name.contains(".prior."))
                .map(|(name, value)| (name.replace(".prior.", "."), value.clone()))
                .collect();
            assert_eq!(own, write.headers);
            // A dead letter has no due time.
            let due = hop.count("driftgate.due_at");
            assert_eq!(hop.headers.len() + 1 - due, ours);
            for (name, _) in hop.headers.iter().filter(|(name, _)| name != "twice") {
                assert_eq!(hop.count(name), 1, "{name}");
            }
            let number = |name: &str| {
                let text = hop.header(name).expect("a header of ours");
                text.parse::<i64>().expect("a number")
            };
            attempts.insert(number("driftgate.attempt"));
            assert_eq!(number("driftgate.source.partition"), 3);
            assert_eq!(number("driftgate.source.offset"), 0);
            assert_eq!(number("driftgate.source.timestamp"), 1_700_000_000_000);
            assert!(number("driftgate.failed_at") >= number("driftgate.first_failed_at"));
        }
        let hops = i64::try_from(hops.len()).expect("a few");
        assert_eq!(attempts, (1..=hops).collect());
    });
}

/// Poison on every partition at once: each dead letter says where it came from, keys of every kind come back, and the
/// good records in between flow on.
#[test]
fn poison_on_every_partition_is_told_with_the_right_numbers() {
    const EACH: i64 = 30;
    both(|bed, embedded| {
        let shape = Shape {
            workers: 2,
            ..Shape::default()
        };
        let job = Job::new(bed, embedded, shape);
        let keys: [Option<Vec<u8>>; 4] = [
            None,
            Some(Vec::new()),
            Some(b"\0\0\0\0\x09\x06abc".to_vec()),
            Some(vec![0xff, 0xfe]),
        ];
        let mut writes = Vec::new();
        for partition in 0..4 {
            for n in 0..EACH {
                let number = i64::from(partition) * EACH + n;
                // Every third is good, so offsets and counts differ.
                let id = if n % 3 == 0 { number } else { -1 - number };
                let mut write = Write::new("", job.parcel(id, "")).to(partition);
                write.key = keys[usize::try_from(n).expect("small") % keys.len()].clone();
                writes.push(write.header("bytes", [0xff, 0x00]));
            }
            let mut tombstone = Write::new("gone", "").to(partition);
            tombstone.value = None;
            writes.push(tombstone);
        }
        topics::produce(&job.client, &job.source, &writes);
        job.live(embedded, |live| {
            live.eventually("all is committed", || {
                job.committed(&job.source) == 4 * (EACH + 1)
            });
        });
        let source = topics::consume_all(&job.client, &job.source);
        let dead = topics::consume_all(&job.client, &job.dlq);
        assert_eq!(dead.len(), 4 * 20);
        for letter in &dead {
            let number = |name: &str| {
                let text = letter.header(name).expect("a header of ours");
                text.parse::<i64>().expect("a number")
            };
            assert_eq!(
                i64::from(letter.partition),
                number("driftgate.source.partition")
            );
            let offset = number("driftgate.source.offset");
            let origin = source
                .iter()
                .find(|read| (read.partition, read.offset) == (letter.partition, offset));
            let origin = origin.expect("it is where the header says");
            assert_eq!(
                (&letter.key, &letter.value, letter.timestamp),
                (&origin.key, &origin.value, origin.timestamp)
            );
            let bytes = letter.headers.iter().find(|(name, _)| name == "bytes");
            assert_eq!(bytes, origin.headers.first());
        }
        let clean = topics::consume_all(&job.client, &job.sink);
        let tombstones = clean.iter().filter(|read| read.value.is_none());
        assert_eq!((tombstones.count(), clean.len()), (4, 4 * 11));
    });
}
