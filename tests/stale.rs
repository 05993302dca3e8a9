//! `stale`: no event goes on behind a newer one of its key, whatever happens in between. An event here is a parcel: its note names
//! what it is of, and its id is the version.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use support::live::{Job, LIMIT, Shape, both, id};
use support::lookup::{Reply, ScriptedServer};
use support::topics::{self, Read, Write};
use support::{eventually, live, wait};

const STALE: &str = "key: note, by: id, partitioned_by: record_key";
const EXACTLY_ONCE: &str = "delivery: exactly_once\n    transaction: { timeout: 5s }";
const DELIVERIES: [&str; 2] = ["delivery: at_least_once", EXACTLY_ONCE];

fn shape(then: &str) -> Shape {
    Shape {
        partitions: 2,
        stale: Some(format!("{{ {STALE}{then} }}")),
        ..Shape::default()
    }
}

fn write(job: &Job, of: &str, version: i64) -> Write {
    Write::new(of, job.parcel(version, of))
}

/// What a parcel is of.
fn of(read: &Read) -> String {
    let key = read.key.clone().expect("it has a key");
    String::from_utf8(key).expect("text")
}

/// The versions of each, in the order in which a reader of the topic finds them.
fn versions(job: &Job, topic: &str) -> BTreeMap<String, Vec<i64>> {
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for read in topics::consume_all(&job.client, topic) {
        found.entry(of(&read)).or_default().push(id(&read));
    }
    found
}

fn one(of: &str, versions: &[i64]) -> BTreeMap<String, Vec<i64>> {
    BTreeMap::from([(of.to_owned(), versions.to_vec())])
}

fn header(read: &Read, name: &str) -> Option<String> {
    let header = read.headers.iter().find(|(found, _)| found == name)?;
    let value = header.1.clone().expect("a value");
    Some(String::from_utf8(value).expect("text"))
}

#[test]
fn what_is_older_than_the_newest_is_dropped_also_after_a_restart() {
    both(|bed, embedded| {
        let job = Job::new(bed, embedded, shape(""));
        let produce = |versions: &[i64]| {
            let writes: Vec<Write> = versions.iter().map(|one| write(&job, "a", *one)).collect();
            topics::produce(&job.client, &job.source, &writes);
        };
        produce(&[3, 2, 3, 5, 4]);
        job.live(embedded, |live| {
            live.eventually("all of them", || job.committed(&job.source) == 5);
            assert_eq!(versions(&job, &job.sink), one("a", &[3, 3, 5]));
            produce(&[4, 5, 6]);
            live.eventually("those, too", || job.committed(&job.source) == 8);
            live.eventually("the stale ones are counted", || {
                let labels = [job.source.as_str(), "outcome=\"stale\""];
                live.metric("driftgate_records_total", &labels) == 3.0
            });
            live.eventually("the keys are counted", || {
                live.metric("driftgate_stale_keys", &[&job.source]) == 1.0
            });
        });
        produce(&[5, 6, 7]);
        job.live(embedded, |live| {
            live.eventually("all of them", || job.committed(&job.source) == 11);
        });
        assert_eq!(versions(&job, &job.sink), one("a", &[3, 3, 5, 5, 6, 6, 7]));
        assert_eq!(job.count(&job.dlq), 0);
        if embedded.is_none() {
            for command in ["audit", "check"] {
                let mut runs = job.start(command, command);
                let ended = runs.ended(LIMIT).expect("it ends");
                assert!(ended.success(), "{}", job.log(command));
            }
        }
    });
}

/// Copies first: one of the newest version is a duplicate, one of an older version as well.
#[test]
fn equal_versions_are_left_to_dedup() {
    let Some(bed) = live::real() else { return };
    let shape = Shape {
        dedup: Some("{ by: content, window: 1h }".to_owned()),
        ..shape("")
    };
    let job = Job::new(&bed, None, shape);
    let writes: Vec<Write> = [3, 2, 3, 4, 3, 2].map(|one| write(&job, "a", one)).into();
    topics::produce(&job.client, &job.source, &writes);
    job.live(None, |live| {
        live.eventually("all of them", || job.committed(&job.source) == 6);
        live.eventually("they are counted", || {
            let count = |outcome: &str| {
                let outcome = format!("outcome=\"{outcome}\"");
                live.metric("driftgate_records_total", &[&job.source, &outcome])
            };
            (count("duplicate"), count("stale")) == (2.0, 2.0)
        });
    });
    assert_eq!(versions(&job, &job.sink), one("a", &[3, 4]));
}

#[test]
fn a_stale_event_goes_where_the_configuration_says() {
    let Some(bed) = live::real() else { return };
    for delivery in DELIVERIES {
        for then in ["dead_letter", "topic", "pass"] {
            let aside = support::unique("late");
            let topic = match then {
                "topic" => format!(", topic: {aside}"),
                _ => String::new(),
            };
            let shape = Shape {
                delivery,
                ..shape(&format!(", then: {then}{topic}"))
            };
            let job = Job::new(&bed, None, shape);
            let writes: Vec<Write> = [3, 2, 4].map(|one| write(&job, "a", one)).into();
            topics::produce(&job.client, &job.source, &writes);
            job.live(None, |live| {
                live.eventually("all of them", || job.committed(&job.source) == 3);
            });
            let place = match then {
                "dead_letter" => &job.dlq,
                "topic" => &aside,
                _ => &job.sink,
            };
            let read = topics::consume_all(&job.client, place);
            let stale = read.iter().find(|read| id(read) == 2).expect("it is there");
            let newest = topics::consume_all(&job.client, &job.source);
            let newest = newest
                .iter()
                .find(|read| id(read) == 3)
                .expect("it is there");
            let newest = format!("{}-{}@{}", job.source, newest.partition, newest.offset);
            if then == "pass" {
                assert_eq!(header(stale, "driftgate.stale"), Some(newest));
                assert_eq!(versions(&job, &job.sink), one("a", &[3, 2, 4]));
                continue;
            }
            assert_eq!(read.len(), 1, "{then}");
            assert_eq!(versions(&job, &job.sink), one("a", &[3, 4]));
            assert_eq!(header(stale, "driftgate.reason").as_deref(), Some("stale"));
            let error = header(stale, "driftgate.error").expect("it says why");
            assert!(error.contains(&newest), "{error}");
            let mut audit = job.start_with(&["audit", "--verify"], "audit");
            let ended = audit.ended(LIMIT).expect("it ends");
            assert!(ended.success(), "{delivery}, {then}: {}", job.log("audit"));
        }
    }
}

/// Copies can be set aside, too.
#[test]
fn copies_are_set_aside_in_a_topic() {
    let Some(bed) = live::real() else { return };
    let aside = support::unique("copies");
    let shape = Shape {
        dedup: Some(format!(
            "{{ by: content, window: 1h, then: topic, topic: {aside} }}"
        )),
        stale: None,
        ..shape("")
    };
    let job = Job::new(&bed, None, shape);
    let writes: Vec<Write> = [1, 1, 2, 1].map(|one| write(&job, "a", one)).into();
    topics::produce(&job.client, &job.source, &writes);
    job.live(None, |live| {
        live.eventually("all of them", || job.committed(&job.source) == 4);
    });
    assert_eq!(versions(&job, &job.sink), one("a", &[1, 2]));
    assert_eq!(versions(&job, &aside), one("a", &[1, 1]));
    let read = topics::consume_all(&job.client, &aside);
    assert_eq!(
        header(&read[0], "driftgate.reason").as_deref(),
        Some("duplicate")
    );
    assert_eq!(job.count(&job.dlq), 0);
}

/// A newer event has overtaken it while it was in retry: when its turn comes, it is too late.
#[test]
fn one_that_was_overtaken_in_retry_is_stale() {
    let Some(bed) = live::real() else { return };
    for delivery in DELIVERIES {
        let mended = Arc::new(AtomicBool::new(false));
        let is_mended = Arc::clone(&mended);
        let server = ScriptedServer::start(move |asked| {
            let fails = asked.path.ends_with("/3") && !is_mended.load(Ordering::SeqCst);
            match fails {
                true => Reply::status(404),
                false => Reply::customer("known"),
            }
        });
        let shape = Shape {
            delivery,
            retry: "{ tiers: [1s, 2s], reasons: { lookup_not_found: { attempts: 1000 } } }",
            lookup: Some(server.url()),
            ..shape("")
        };
        let job = Job::new(&bed, None, shape);
        let mut writes: Vec<Write> = [3, 4].map(|one| write(&job, "a", one)).into();
        // Nobody has overtaken this one.
        writes.push(write(&job, "b", 3));
        topics::produce(&job.client, &job.source, &writes);
        let first = job.start("run", "first");
        eventually(LIMIT, "the newer one", || job.committed(&job.source) == 3);
        first.kill();
        mended.store(true, Ordering::SeqCst);
        let second = job.start("run", "second");
        eventually(LIMIT, "the other one", || {
            versions(&job, &job.sink).len() == 2
        });
        let retried = || -> i64 {
            (1..=2)
                .map(|tier| job.committed(&job.retry_topic(tier)))
                .sum()
        };
        let written = || -> i64 { (1..=2).map(|tier| job.count(&job.retry_topic(tier))).sum() };
        eventually(LIMIT, "nothing waits", || {
            // Markers of transactions are offsets, too.
            retried() >= written() - if delivery == EXACTLY_ONCE { 20 } else { 0 }
        });
        assert!(second.stop(LIMIT).success());
        let mut expected = one("a", &[4]);
        expected.insert("b".to_owned(), vec![3]);
        assert_eq!(versions(&job, &job.sink), expected, "{delivery}");
        assert_eq!(job.count(&job.dlq), 0);
    }
}

/// With `reorder`, what is late by less than the wait goes in front of what is newer, and all that is not late goes on as well.
#[test]
fn what_is_a_little_late_is_put_in_its_place() {
    both(|bed, embedded| {
        for delivery in DELIVERIES {
            if embedded.is_some() && delivery == EXACTLY_ONCE {
                continue;
            }
            let shape = Shape {
                partitions: 1,
                delivery,
                ..shape(", reorder: { wait: 3s }")
            };
            let job = Job::new(bed, embedded, shape);
            let produce = |of: &str, versions: &[i64]| {
                let writes: Vec<Write> = versions.iter().map(|one| write(&job, of, *one)).collect();
                topics::produce(&job.client, &job.source, &writes);
            };
            job.live(embedded, |live| {
                produce("a", &[3, 5]);
                produce("b", &[1, 2]);
                produce("a", &[4, 1]);
                live.eventually("all of them", || job.committed(&job.source) == 6);
                let mut expected = one("a", &[1, 3, 4, 5]);
                expected.insert("b".to_owned(), vec![1, 2]);
                assert_eq!(versions(&job, &job.sink), expected, "{delivery}");
                live.eventually("it is counted", || {
                    live.metric("driftgate_reordered_total", &[&job.source]) == 2.0
                });
                produce("a", &[2]);
                live.eventually("too late", || job.committed(&job.source) == 7);
                assert_eq!(versions(&job, &job.sink), expected, "{delivery}");
                // What waits at a stop is read again.
                produce("b", &[4, 3]);
            });
            job.live(embedded, |live| {
                live.eventually("those, too", || job.committed(&job.source) == 9);
            });
            assert_eq!(versions(&job, &job.sink)["b"], [1, 2, 3, 4], "{delivery}");
            assert_eq!(job.count(&job.dlq), 0);
        }
    });
}

/// One event of a wrong clock does not make all that comes after it stale.
#[test]
fn a_version_far_ahead_of_the_clock_counts_for_nobody() {
    let Some(bed) = live::real() else { return };
    let shape = Shape {
        partitions: 1,
        stale: Some("{ by: timestamp(note) }".to_owned()),
        ..Shape::default()
    };
    let job = Job::new(&bed, None, shape);
    let times = [
        "2026-01-01T00:00:02Z",
        "2926-01-01T00:00:00Z",
        "2026-01-01T00:00:01Z",
        "2026-01-01T00:00:03Z",
    ];
    let writes: Vec<Write> = (0..)
        .zip(times)
        .map(|(id, time)| Write::new("a", job.parcel(id, time)))
        .collect();
    topics::produce(&job.client, &job.source, &writes);
    job.live(None, |live| {
        live.eventually("all of them", || job.committed(&job.source) == 4);
    });
    assert_eq!(versions(&job, &job.sink), one("a", &[0, 1, 3]));
}

/// Every record comes three times, at random distances, and some are older than what came before, with instances that join, leave
/// and are killed meanwhile, and records that go through retry.
fn storm(delivery: &'static str, reorder: &str) {
    const RECORDS: i64 = 1_500;
    const THINGS: i64 = 60;
    let Some(bed) = live::real() else { return };
    let asked: Mutex<BTreeMap<i64, usize>> = Mutex::default();
    // Each copy of some waits once, and those around it go by.
    let server = ScriptedServer::start(move |request| {
        let id: i64 = request.path.trim_start_matches('/').parse().expect("an id");
        let mut asked = asked.lock().expect("no panic while it is held");
        let times = asked.entry(id).or_default();
        *times += 1;
        match id % 11 == 0 && *times % 2 == 1 {
            true => Reply::status(404),
            false => Reply::customer("known"),
        }
    });
    let shape = Shape {
        partitions: 4,
        delivery,
        retry: "{ tiers: [1s, 2s], reasons: { lookup_not_found: { attempts: 1000 } } }",
        lookup: Some(server.url()),
        dedup: Some("{ by: content, window: 1h }".to_owned()),
        ..shape(reorder)
    };
    let job = Job::new(&bed, None, shape);
    let seed = SmallRng::from_os_rng().random::<u64>();
    eprintln!("moments by seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut places: Vec<(i64, i64)> = Vec::new();
    for version in 0..RECORDS {
        // One in ten is late.
        let late = if random.random_ratio(1, 10) { 300 } else { 0 };
        let mut place = version * 3 + late;
        for _ in 0..3 {
            places.push((place, version));
            place += random.random_range(1..500);
        }
    }
    places.shuffle(&mut random);
    places.sort_by_key(|(place, _)| *place);
    let all: Vec<Write> = places
        .iter()
        .map(|(_, version)| write(&job, &format!("thing {}", version % THINGS), *version))
        .collect();
    let last = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for some in all.chunks(100) {
                topics::produce(&job.client, &job.source, some);
            }
        });
        let mut flows = || {
            let from = job.committed(&job.source);
            let more = random.random_range(1..RECORDS / 4);
            eventually(LIMIT, "it goes on", || {
                job.committed(&job.source) >= (from + more).min(3 * RECORDS)
            });
            wait::within(Duration::from_millis(random.random_range(0..200)), || false);
        };
        let first = job.start("run", "first");
        flows();
        let second = job.start("run", "second");
        flows();
        first.kill();
        flows();
        let third = job.start("run", "third");
        flows();
        assert!(second.stop(LIMIT).success());
        flows();
        third.kill();
        let last = job.start("run", "last");
        writer.join().expect("it writes");
        last
    });
    eventually(LIMIT, "all of the source", || {
        job.committed(&job.source) == 3 * RECORDS
    });
    let newest = |of: &str| {
        let of: i64 = of.trim_start_matches("thing ").parse().expect("a number");
        RECORDS - THINGS + of
    };
    eventually(LIMIT, "the newest of each", || {
        let found = versions(&job, &job.sink);
        let mut found = found
            .iter()
            .filter(|(of, versions)| versions.contains(&newest(of)));
        found.by_ref().count() == usize::try_from(THINGS).expect("a few")
    });
    assert!(last.stop(LIMIT).success());
    assert_eq!(job.count(&job.dlq), 0);
    let found = versions(&job, &job.sink);
    let mut behind = 0;
    for (of, versions) in &found {
        match delivery {
            EXACTLY_ONCE => assert!(versions.is_sorted_by(|a, b| a < b), "{of}: {versions:?}"),
            // What was under way at a kill is written once more, and with it what had been newer.
            _ => {
                behind += versions
                    .windows(2)
                    .filter(|pair| pair[0] >= pair[1])
                    .count()
            }
        }
        assert_eq!(versions.iter().max(), Some(&newest(of)), "{of}");
        assert_eq!(versions.last(), Some(&newest(of)), "{of}: {versions:?}");
    }
    assert!(behind < 200, "{behind} behind newer ones");
    eprintln!("{behind} behind newer ones");
}

#[test]
fn kills_and_rebalances_under_exactly_once_leave_nothing_behind_a_newer_one() {
    storm(EXACTLY_ONCE, "");
}

#[test]
fn kills_and_rebalances_amid_what_waits_for_older_versions_leave_nothing_behind_a_newer_one() {
    storm(EXACTLY_ONCE, ", reorder: { wait: 300ms }");
}

#[test]
fn kills_and_rebalances_under_at_least_once_end_with_the_newest() {
    storm(DELIVERIES[0], "");
}
