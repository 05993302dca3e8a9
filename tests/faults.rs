//! What goes wrong around an instance, on a real Kafka and real registries: the registry is away, the broker is away,
//! an instance joins, leaves or is killed while retries wait, two groups read one topic. Each time nothing is lost,
//! nothing is a dead letter that should not be, and what is committed says what became of every record.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::job::{LIMIT, PARTITIONS, SCHEMA, count, owned, payment, register, wait_for_count};
use support::topics::{self, Read, Write};
use support::{
    Bed, Job, LookupServer, Options, Proxy, RealKafka, Registry, Runner, Shape, eventually, wait,
};

const LATE_SCHEMA: &str = r#"{"type":"record","name":"Payment","fields":[
    {"name":"id","type":"long"},{"name":"currency","type":"string"},
    {"name":"note","type":["null","string"],"default":null}]}"#;

/// The shared broker with the first of the shared registries.
fn bed() -> Option<Bed> {
    Bed::real().into_iter().next()
}

fn payments(schema: u32, ids: std::ops::Range<i64>) -> Vec<Write> {
    ids.map(|id| Write::new(format!("{id}"), payment(schema, id, "EUR")))
        .collect()
}

/// Fails the first question for each id that `fails` picks.
fn fails_once(fails: impl Fn(i64) -> bool + Send + Sync + 'static) -> LookupServer {
    let seen = Mutex::new(HashSet::new());
    LookupServer::start(move |id| {
        !fails(id) || !seen.lock().expect("no panic while it is held").insert(id)
    })
}

/// These tests wait most of the time: what differs in one thing runs at once.
fn side_by_side<T: Copy + Send>(cases: [T; 2], body: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            let body = &body;
            scope.spawn(move || body(case));
        }
    });
}

// ---- the registry is away

#[test]
fn a_registry_away_for_twenty_seconds_pauses_only_what_needs_it() {
    side_by_side([Registry::axonops, Registry::apicurio], |start| {
        if let (Some(bed), Some(registry)) = (bed(), start()) {
            registry_outage(&bed, registry);
        }
    });
}

/// Partition 2 meets a writer schema id that nobody has asked for yet; the others know theirs.
fn registry_outage(bed: &Bed, mut registry: Registry) {
    let client = bed.client();
    // A registry of the tests keeps its schemas in memory and is told them again after its restart. The proxy refuses
    // connections until then, or an empty registry would truthfully say that it does not know the id.
    let proxy = Proxy::to(&registry.address());
    let url = registry
        .url()
        .replace(&registry.address(), &proxy.address());
    let job = Job::new(&bed.bootstrap, &url, &Shape::default());
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let subject = format!("{}-value", job.source);
    let known = registry.register(&subject, SCHEMA);
    let late = registry.register(&subject, LATE_SCHEMA);
    assert_ne!(known, late);
    let to = |partition, id| {
        Write::new(format!("key of {partition}"), payment(known, id, "EUR")).to(partition)
    };
    let mut runner = job.start("gate");
    topics::produce(
        &client,
        &job.source,
        &(0..PARTITIONS).map(|n| to(n, n.into())).collect::<Vec<_>>(),
    );
    let mut written = 4;
    job.wait_for_all(&client, written);
    job.settled(&client, &job.source);
    runner.wait_ready(200, &[]);

    proxy.refuse();
    registry.stop();
    let away = Instant::now();
    let mut uncached = to(2, 100);
    uncached.value = Some([payment(late, 100, "EUR"), vec![0]].concat());
    topics::produce(&client, &job.source, &[uncached, to(2, 101), to(2, 102)]);
    runner.wait_ready(
        503,
        &[
            "registry",
            "registry_unavailable",
            &format!("{}[2]", job.source),
        ],
    );
    let mut id = 200;
    let left = Duration::from_secs(20).saturating_sub(away.elapsed());
    wait::throughout(left, Duration::from_secs(1), || {
        let writes: Vec<_> = [0, 1, 3].map(|partition| to(partition, id)).into();
        id += 1;
        written += writes.len();
        topics::produce(&client, &job.source, &writes);
        // The others flow on while that one waits at its offset, in no other topic.
        job.wait_for_all(&client, written);
        assert_eq!(count(&client, &job.dlq()), 0);
        assert_eq!(count(&client, &job.retry(1)), 0);
        let committed = topics::committed(&client, &job.group, &job.source);
        assert_eq!(committed[2].as_ref().map(|(offset, _)| *offset), Some(1));
        let (status, reasons) = runner.page("/readyz").expect("an answer");
        assert_eq!(status, 503, "{reasons}");
        assert!(reasons.contains("registry_unavailable"), "{reasons}");
    });

    registry.start_again();
    proxy.pass();
    job.wait_for_all(&client, written + 3);
    job.settled(&client, &job.source);
    runner.wait_ready(200, &[]);
    runner.stop();
    assert_eq!(count(&client, &job.dlq()), 0);
    assert_eq!(count(&client, &job.retry(1)), 0);
    let clean = topics::consume_all(&client, &job.sink);
    let in_order = |partition: i32| {
        let start = format!("{}-{partition}@", job.source);
        let offsets = clean.iter().filter_map(|read| {
            read.header("driftgate.source")?
                .strip_prefix(&start)?
                .parse()
                .ok()
        });
        offsets.collect::<Vec<i64>>()
    };
    assert_eq!(in_order(2), [0, 1, 2, 3]);
    assert_eq!(clean.len(), written + 3, "and no copies");
}

// ---- the broker is away

#[test]
fn a_broker_that_is_restarted_or_killed_costs_nothing() {
    side_by_side([false, true], broker_outage);
}

fn broker_outage(kill: bool) {
    const RECORDS: i64 = 3000;
    let Some(bed) = bed() else { return };
    let Some(mut kafka) = RealKafka::start(Options::default()) else {
        return;
    };
    let client = kafka.client();
    let lookup = fails_once(|id| id % 7 == 0);
    let shape = Shape {
        lookup: Some(lookup.url()),
        ..Shape::default()
    };
    let job = Job::new(&kafka.bootstrap(), &bed.registry_url, &shape);
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let schema = register(&bed, &job.source);
    let mut runner = job.start("gate");
    runner.wait_ready(200, &[]);
    std::thread::scope(|scope| {
        let (client, job) = (&client, &job);
        let writer = scope.spawn(move || {
            let mut next = 0;
            wait::within(LIMIT, || {
                topics::produce(client, &job.source, &payments(schema, next..next + 100));
                next += 100;
                next == RECORDS
            })
        });
        wait_for_count(client, &job.sink, RECORDS / 10);
        eventually(LIMIT, "a record in retry", || {
            count(client, &job.retry(1)) > 0
        });
        match kill {
            true => kafka.kill(),
            false => kafka.stop(),
        }
        runner.wait_ready(503, &["broker is unavailable"]);
        kafka.start_again();
        assert!(writer.join().expect("the broker comes back").is_some());
    });
    job.wait_for_all(&client, RECORDS as usize);
    job.settled(&client, &job.source);
    job.settled(&client, &job.retry(1));
    assert_eq!(count(&client, &job.dlq()), 0);
    runner.wait_ready(200, &[]);

    // Once more, with nothing to read and nothing to commit: that the broker is back must be noticed all the same.
    kafka.stop();
    runner.wait_ready(503, &["broker is unavailable"]);
    kafka.start_again();
    runner.wait_ready(200, &[]);
    runner.stop();
}

// ---- a rebalance while retries wait

#[test]
fn a_retry_that_waits_outlives_a_join_and_a_leave_or_a_kill() {
    side_by_side([false, true], rebalance_in_retry);
}

/// One record of each partition waits in a retry topic; a second instance joins, the first one goes.
fn rebalance_in_retry(kill: bool) {
    let Some(bed) = bed() else { return };
    let client = bed.client();
    let lookup = fails_once(|_| true);
    let shape = Shape {
        tiers: "[14s]".into(),
        lookup: Some(lookup.url()),
        ..Shape::quick()
    };
    let job = Job::new(&bed.bootstrap, &bed.registry_url, &shape);
    topics::create(&client, &job.source, PARTITIONS, &[]);
    // The broker notes when it got a record, by the clock that due times are read from.
    let appended = [("message.timestamp.type", "LogAppendTime")];
    topics::create(&client, &job.sink, PARTITIONS, &appended);
    let schema = register(&bed, &job.source);
    let mut first = job.start("first");
    first.wait_ready(200, &[]);
    let writes: Vec<_> = (0..PARTITIONS)
        .map(|n| Write::new(format!("{n}"), payment(schema, n.into(), "EUR")).to(n))
        .collect();
    topics::produce(&client, &job.source, &writes);
    let retries = topics::wait_for(&client, &job.retry(1), writes.len(), LIMIT);
    let due: BTreeMap<i32, i64> = retries
        .iter()
        .map(|read| (read.partition, header(read, "driftgate.due_at")))
        .collect();
    assert_eq!(due.len(), writes.len(), "one in each partition");
    job.settled(&client, &job.source);

    let mut second = job.start("second");
    travels(&job, &mut [&mut first, &mut second]);
    match kill {
        true => first.kill(),
        false => first.stop(),
    }
    assert_eq!(
        count(&client, &job.sink),
        0,
        "both rebalances began before anything was due"
    );
    travels(&job, &mut [&mut second]);

    job.wait_for_all(&client, writes.len());
    assert_eq!(
        job.settled(&client, &job.retry(1))["emitted"],
        i64::from(PARTITIONS)
    );
    let clean = topics::consume_all(&client, &job.sink);
    assert_eq!(clean.len(), writes.len(), "each of them once");
    for read in &clean {
        let id = i32::from(read.value.as_ref().expect("a value")[5] >> 1);
        let at = read.timestamp.expect("the broker's");
        assert!(
            at >= due[&id],
            "partition {id} came {} ms early",
            due[&id] - at
        );
    }
    // The one that owns the source partitions did it.
    let emitted = counted(&mut second, &job.retry(1), "emitted");
    assert_eq!(emitted, (0..PARTITIONS).map(|n| (n, 1)).collect());
    second.stop();
    assert_eq!(count(&client, &job.dlq()), 0);
    assert_eq!(count(&client, &job.retry(1)), i64::from(PARTITIONS));
}

fn header(read: &Read, name: &str) -> i64 {
    let text = read.header(name);
    text.and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{name}: {text:?}"))
}

/// Records by partition that ended so on an instance.
fn counted(runner: &mut Runner, topic: &str, outcome: &str) -> BTreeMap<i32, i64> {
    let samples = runner.metrics().into_iter();
    let mine = samples.filter(|sample| {
        sample.name == "driftgate_records_total"
            && sample.labels["topic"] == topic
            && sample.labels["outcome"] == outcome
    });
    mine.filter(|sample| sample.value > 0.0)
        .map(|sample| {
            (
                sample.labels["partition"].parse().expect("a partition"),
                sample.value as i64,
            )
        })
        .collect()
}

/// Waits until these instances, and no other, share the source's partitions, and each has the retry partitions of
/// exactly its own. Returns who has what.
#[track_caller]
fn travels(job: &Job, runners: &mut [&mut Runner]) -> Vec<BTreeSet<i32>> {
    let tiers = job.config.pipelines[0].failure.tiers.len();
    let mut last = Vec::new();
    let found = wait::within(LIMIT, || {
        let snapshots: Vec<_> = runners.iter_mut().map(|runner| runner.metrics()).collect();
        let sources: Vec<_> = snapshots
            .iter()
            .map(|samples| owned(samples, &job.source))
            .collect();
        let retries: Vec<Vec<_>> = (1..=tiers)
            .map(|tier| {
                snapshots
                    .iter()
                    .map(|samples| owned(samples, &job.retry(tier)))
                    .collect()
            })
            .collect();
        let all: BTreeSet<_> = sources.iter().flatten().copied().collect();
        let shared = sources.iter().map(BTreeSet::len).sum::<usize>() == all.len()
            && sources.iter().all(|mine| !mine.is_empty());
        let complete = all.len() == PARTITIONS as usize;
        let done = shared && complete && retries.iter().all(|tier| *tier == sources);
        last = vec![format!("{sources:?}"), format!("{retries:?}")];
        done.then_some(sources)
    });
    found.unwrap_or_else(|| panic!("source and retry partitions do not go together: {last:?}"))
}

/// Two tiers, and each member that comes or goes takes the retry partitions of its source partitions along.
#[test]
fn retry_partitions_travel_with_their_source_partition() {
    let Some(bed) = bed() else { return };
    let client = bed.client();
    let lookup = fails_once(|_| true);
    let shape = Shape {
        tiers: "[1s, 2s]".into(),
        lookup: Some(lookup.url()),
        ..Shape::quick()
    };
    let job = Job::new(&bed.bootstrap, &bed.registry_url, &shape);
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let schema = register(&bed, &job.source);
    let one_each = |start: i64| -> Vec<Write> {
        (0..PARTITIONS)
            .map(|n| Write::new(format!("{n}"), payment(schema, start + i64::from(n), "EUR")).to(n))
            .collect()
    };
    let (mut first, mut second) = (job.start("first"), job.start("second"));
    let shares = travels(&job, &mut [&mut first, &mut second]);
    topics::produce(&client, &job.source, &one_each(0));
    job.wait_for_all(&client, 4);
    // Each retried record was taken up again by the owner of its source partition.
    for (runner, share) in [&mut first, &mut second].into_iter().zip(&shares) {
        for (topic, outcome) in [(job.source.clone(), "retried"), (job.retry(1), "emitted")] {
            eventually(LIMIT, "its own partitions and no others", || {
                counted(runner, &topic, outcome) == share.iter().map(|n| (*n, 1)).collect()
            });
        }
    }
    let mut third = job.start("third");
    travels(&job, &mut [&mut first, &mut second, &mut third]);
    first.kill();
    travels(&job, &mut [&mut second, &mut third]);
    second.stop();
    travels(&job, &mut [&mut third]);
    topics::produce(&client, &job.source, &one_each(100));
    let copies = job.wait_for_all(&client, 8);
    assert_eq!(copies, 8);
    for topic in [job.source.clone(), job.retry(1), job.retry(2)] {
        job.settled(&client, &topic);
    }
    third.stop();
}

// ---- two groups

/// Both read all of it, and each keeps its failures to itself. What they commit tells exactly what became of what.
#[test]
fn two_groups_on_one_topic_keep_apart() {
    let Some(bed) = bed() else { return };
    let client = bed.client();
    let (recovering, down) = (
        fails_once(|id| id % 3 == 0),
        LookupServer::start(|id| id % 3 != 1),
    );
    let first = Job::new(
        &bed.bootstrap,
        &bed.registry_url,
        &Shape {
            lookup: Some(recovering.url()),
            tiers: "[1s, 1s]".into(),
            ..Shape::default()
        },
    );
    // The second group's lookup never answers for another third, so that its retry topic is never empty.
    let second = Job::new(
        &bed.bootstrap,
        &bed.registry_url,
        &Shape {
            lookup: Some(down.url()),
            tiers: "[1h]".into(),
            source: Some(first.source.clone()),
            ..Shape::default()
        },
    );
    let source = &first.source;
    topics::create(&client, source, PARTITIONS, &[]);
    let schema = register(&bed, source);
    let mut writes = payments(schema, 0..300);
    writes.extend((0..20).map(|n| Write::new(format!("t{n}"), payment(schema, 1000 + n, "TEST"))));
    writes.extend((0..10).map(|n| Write::new(format!("p{n}"), format!("not Avro {n}"))));
    let (mut a, mut b) = (first.start("a"), second.start("b"));
    topics::produce(&client, source, &writes);

    assert_eq!(first.wait_for_all(&client, 300), 300);
    assert_eq!(second.wait_for_all(&client, 200), 200);
    let only = |pairs: &[(&str, i64)]| {
        let mut all: BTreeMap<String, i64> = [
            "emitted",
            "filtered",
            "duplicate",
            "stale",
            "retried",
            "dead_lettered",
        ]
        .map(|outcome| (outcome.to_owned(), 0))
        .into();
        all.extend(
            pairs
                .iter()
                .map(|(outcome, count)| ((*outcome).to_owned(), *count)),
        );
        all
    };
    let emitted = only(&[
        ("emitted", 200),
        ("filtered", 20),
        ("retried", 100),
        ("dead_lettered", 10),
    ]);
    assert_eq!(first.settled(&client, source), emitted);
    assert_eq!(
        first.settled(&client, &first.retry(1)),
        only(&[("emitted", 100)])
    );
    assert_eq!(second.settled(&client, source), emitted);
    a.stop();
    b.stop();
    for (mine, other) in [(&first, &second), (&second, &first)] {
        let (retry, dlq) = (mine.retry(1), mine.dlq());
        for (topic, records) in [(&retry, 100), (&dlq, 10)] {
            let reads = topics::consume_all(&client, topic);
            assert_eq!(reads.len(), records, "{topic}");
            assert!(
                reads
                    .iter()
                    .all(|read| read.header("driftgate.group") == Some(&mine.group)),
                "{topic}"
            );
        }
        // A group that never read a topic has committed nothing for it.
        let foreign = topics::committed(&client, &other.group, &retry);
        assert_eq!(foreign, vec![None; PARTITIONS as usize]);
        let foreign = topics::committed(&client, &mine.group, &dlq);
        assert_eq!(foreign, vec![None; PARTITIONS as usize]);
    }
}

// ---- a kill between the retry write and the commit

/// Everything goes to retry while the instance is killed again and again. Retries that were written and not committed
/// are written again; that shows that the kills struck there. Nothing is lost.
#[test]
fn a_kill_between_the_retry_write_and_the_commit_only_repeats() {
    const RECORDS: i64 = 3600;
    const KILLS: i64 = 3;
    let Some(bed) = bed() else { return };
    let client = bed.client();
    let answers = Arc::new(AtomicBool::new(false));
    let lookup = LookupServer::start({
        let answers = Arc::clone(&answers);
        move |_| answers.load(Ordering::Relaxed)
    });
    // The producer sits on each retry for longer than from one commit to the next: a commit that does not wait for the
    // broker's answer comes before the write, and a kill then loses the record.
    let shape = Shape {
        properties: vec![("linger.ms".into(), "2500".into())],
        instance: Some("the-one".into()),
        tiers: "[20s]".into(),
        lookup: Some(lookup.url()),
        workers: 1,
        ..Shape::default()
    };
    let job = Job::new(&bed.bootstrap, &bed.registry_url, &shape);
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let schema = register(&bed, &job.source);
    let part = RECORDS / KILLS;
    for turn in 0..KILLS {
        let mut runner = job.start(&format!("turn-{turn}"));
        runner.wait_ready(200, &[]);
        let committed = || -> i64 {
            let offsets = topics::committed(&client, &job.group, &job.source);
            offsets.iter().flatten().map(|(offset, _)| offset).sum()
        };
        let (written_before, committed_before) = (count(&client, &job.retry(1)), committed());
        // In two halves, so that the second is still on its way when the first has been written.
        for half in [0, part / 2] {
            let start = turn * part + half;
            topics::produce(
                &client,
                &job.source,
                &payments(schema, start..start + part / 2),
            );
            eventually(LIMIT, "retries written and not committed", || {
                let written = count(&client, &job.retry(1)) - written_before;
                written > half && written > committed() - committed_before
            });
        }
        runner.kill();
    }
    answers.store(true, Ordering::Relaxed);
    let mut last = job.start("last");
    let copies = job.wait_for_all(&client, RECORDS as usize);
    job.settled(&client, &job.source);
    job.settled(&client, &job.retry(1));
    last.stop();
    assert_eq!(count(&client, &job.dlq()), 0);
    let retries = topics::consume_all(&client, &job.retry(1));
    let first: Vec<_> = retries
        .iter()
        .filter(|read| read.header("driftgate.attempt") == Some("1"))
        .map(position)
        .collect();
    let distinct: BTreeSet<_> = first.iter().collect();
    assert!(
        first.len() > distinct.len(),
        "no kill struck between a retry's write and its commit"
    );
    assert!(copies >= RECORDS as usize);
    let sources = topics::consume_all(&client, &job.source);
    assert_eq!(sources.len(), RECORDS as usize);
}

fn position(read: &Read) -> (i64, i64) {
    (
        header(read, "driftgate.source.partition"),
        header(read, "driftgate.source.offset"),
    )
}
