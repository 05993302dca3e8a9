//! `dedup`: of the records with one key the first that gets through wins, whatever happens in between. Each test counts by the
//! ids that were written what a reader of the sink finds.

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use support::live::{Job, LIMIT, Shape, both, id};
use support::lookup::{Reply, ScriptedServer};
use support::topics::{self, Write};
use support::{eventually, http, live, wait};

/// By an expression, as webhooks have it: an id of the event, and a record key beside it.
const BY_ID: &str = "{ key: string(id), partitioned_by: record_key, window: 1h }";
const RETRY: &str = "{ tiers: [1s, 2s], reasons: { lookup_not_found: { attempts: 1000 } } }";
const EXACTLY_ONCE: &str = "delivery: exactly_once\n    transaction: { timeout: 5s }";
const DELIVERIES: [&str; 2] = ["delivery: at_least_once", EXACTLY_ONCE];

fn shape(dedup: &str) -> Shape {
    Shape {
        partitions: 2,
        dedup: Some(dedup.to_owned()),
        ..Shape::default()
    }
}

/// Copies share their record key, as those of one producer do.
fn write(job: &Job, id: i64, note: &str) -> Write {
    Write::new(format!("{}", id % 20), job.parcel(id, note))
}

fn writes(job: &Job, ids: impl Iterator<Item = i64>) -> Vec<Write> {
    ids.map(|id| write(job, id, "a note")).collect()
}

/// How often each id is in the sink, for a reader of what is committed.
fn emitted(job: &Job) -> BTreeMap<i64, usize> {
    let mut found = BTreeMap::new();
    for read in topics::consume_all(&job.client, &job.sink) {
        *found.entry(id(&read)).or_default() += 1;
    }
    found
}

fn each_once(ids: std::ops::Range<i64>) -> BTreeMap<i64, usize> {
    ids.map(|id| (id, 1)).collect()
}

/// Of all partitions, what the commits count of an outcome.
fn outcome(job: &Job, word: &str) -> i64 {
    let retries = (1..=2).map(|tier| job.retry_topic(tier));
    let all = std::iter::once(job.source.clone()).chain(retries);
    let of_topic = |topic: String| -> i64 {
        let offsets = topics::committed(&job.client, &job.group, &topic);
        let metadata = offsets.into_iter().flatten().map(|(_, metadata)| metadata);
        let words = metadata.flat_map(|metadata| {
            let words = metadata.split(' ');
            let count =
                words.filter_map(|one| one.strip_prefix(word)?.strip_prefix('=')?.parse().ok());
            count.collect::<Vec<i64>>()
        });
        words.sum()
    };
    all.map(of_topic).sum()
}

/// A service that fails for the ids that it is told, until it is mended.
fn service(
    fails: impl Fn(i64) -> bool + Send + Sync + 'static,
) -> (ScriptedServer, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let server = ScriptedServer::start(move |asked| {
        let id = asked.path.trim_start_matches('/').parse().expect("an id");
        match fails(id) && !is_mended.load(Ordering::SeqCst) {
            true => Reply::status(404),
            false => Reply::customer("known"),
        }
    });
    (server, mended)
}

/// Waits until nothing is in retry, as an instance tells that has all partitions.
fn nothing_waits(job: &Job, name: &str) {
    let url = format!("http://{}/metrics", job.admin(name));
    eventually(LIMIT, "nothing waits", || {
        let (_, page) = http::get(url.clone()).send().expect("it answers");
        live::sum(&page, "driftgate_parked_records", &[&job.source]) == 0.0
    });
}

#[test]
fn copies_are_duplicates_in_a_batch_later_and_after_a_restart() {
    both(|bed, embedded| {
        for dedup in [
            BY_ID,
            "{ by: content, window: 1h }",
            "{ key: string(id), partitioned_by: record_key, max_keys: 100000 }",
        ] {
            let job = Job::new(bed, embedded, shape(dedup));
            let mut ids: Vec<i64> = (0..3).flat_map(|_| 0..100).collect();
            ids.shuffle(&mut SmallRng::seed_from_u64(1));
            topics::produce(&job.client, &job.source, &writes(&job, ids.into_iter()));
            job.live(embedded, |live| {
                live.eventually("all of them", || job.committed(&job.source) == 300);
                assert_eq!(emitted(&job), each_once(0..100), "{dedup}");
                topics::produce(&job.client, &job.source, &writes(&job, 50..150));
                live.eventually("those, too", || job.committed(&job.source) == 400);
                assert_eq!(emitted(&job), each_once(0..150), "{dedup}");
                live.eventually("the duplicates are counted", || {
                    let labels = [job.source.as_str(), "outcome=\"duplicate\""];
                    live.metric("driftgate_records_total", &labels) == 250.0
                });
                live.eventually("the keys are counted", || {
                    live.metric("driftgate_dedup_keys", &[&job.source]) == 150.0
                });
            });
            topics::produce(&job.client, &job.source, &writes(&job, 100..200));
            job.live(embedded, |live| {
                live.eventually("all of them", || job.committed(&job.source) == 500);
            });
            assert_eq!(emitted(&job), each_once(0..200), "{dedup}, after a restart");
            if embedded.is_none() {
                // A copy that is run once more would be emitted: that is no wrong claim of the ledger.
                let mut audit = job.start_with(&["audit", "--verify"], "audit");
                let ended = audit.ended(LIMIT).expect("it ends");
                assert!(ended.success(), "{}", job.log("audit"));
                let mut check = job.start("check", "check");
                let ended = check.ended(LIMIT).expect("it ends");
                let told = job.log("check");
                assert!(ended.success() && told.contains(".state"), "{told}");
            }
            assert_eq!(outcome(&job, "duplicate"), 300, "{dedup}");
            assert_eq!(job.count(&job.dlq), 0);
        }
    });
}

/// By the record's key, where that names the event. What has none is nobody's copy.
#[test]
fn records_with_one_key_are_copies_and_records_without_one_are_not() {
    both(|bed, embedded| {
        let job = Job::new(bed, embedded, shape("{ window: 1h }"));
        let with_key = |id: i64| Write::new("one", job.parcel(id, "a note"));
        let without = |id: i64| Write {
            key: None,
            ..with_key(id)
        };
        let mut all = vec![with_key(1), with_key(2), without(3), without(3)];
        // A tombstone is no copy, and has none.
        all.push(Write {
            value: None,
            ..with_key(0)
        });
        topics::produce(&job.client, &job.source, &all);
        job.live(embedded, |live| {
            live.eventually("all of them", || job.committed(&job.source) == 5);
        });
        let read = topics::consume_all(&job.client, &job.sink);
        let found: Vec<i64> = read
            .iter()
            .filter(|read| read.value.is_some())
            .map(id)
            .collect();
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [1, 3, 3]);
        assert_eq!(read.len(), 4, "and the tombstone");
    });
}

/// A copy of one in retry waits for it, also for one that comes later, and after a kill; when that gets through, it is a
/// duplicate.
#[test]
fn copies_of_one_in_retry_wait_for_it() {
    let Some(bed) = live::real() else { return };
    for delivery in DELIVERIES {
        for ordering in ["", ", ordering: per_key"] {
            let (server, mended) = service(|id| id % 10 == 3);
            let retry = format!(
                "{{ tiers: [1s, 2s]{ordering}, reasons: {{ lookup_not_found: {{ attempts: 1000 }} }} }}"
            );
            let shape = Shape {
                delivery,
                retry: Box::leak(retry.into_boxed_str()),
                lookup: Some(server.url()),
                ..shape(BY_ID)
            };
            let job = Job::new(&bed, None, shape);
            let ids = || (0..3).flat_map(|_| 0..40);
            topics::produce(&job.client, &job.source, &writes(&job, ids()));
            let waiting = if ordering.is_empty() { 36 } else { 24 };
            let first = job.start("run", "first");
            eventually(LIMIT, "the others", || emitted(&job).len() >= waiting);
            first.kill();
            topics::produce(&job.client, &job.source, &writes(&job, ids()));
            let second = job.start("run", "second");
            eventually(LIMIT, "the source is not held up", || {
                job.committed(&job.source) == 240
            });
            let held = emitted(&job);
            assert!(
                held.keys().all(|id| id % 10 != 3),
                "{delivery}{ordering}: {held:?}"
            );
            mended.store(true, Ordering::SeqCst);
            eventually(LIMIT, "all of them", || emitted(&job).len() == 40);
            nothing_waits(&job, "second");
            assert!(second.stop(LIMIT).success());
            let found = emitted(&job);
            assert_eq!(found.len(), 40);
            if delivery == EXACTLY_ONCE {
                assert_eq!(found, each_once(0..40), "{ordering}");
                assert_eq!(outcome(&job, "duplicate"), 200, "{ordering}");
            }
            assert_eq!(job.count(&job.dlq), 0);
        }
    }
}

/// A dead letter has not got through: its corrected copy passes, and the dead letter that is sent back then is a duplicate.
/// One that nothing came for is none, and no copy of itself.
#[test]
fn a_dead_letter_frees_its_key() {
    let Some(bed) = live::real() else { return };
    for delivery in DELIVERIES {
        let (server, mended) = service(|id| id == 3 || id == 4);
        let shape = Shape {
            delivery,
            retry: "{ tiers: [1s, 1s], reasons: { lookup_not_found: { attempts: 2 } } }",
            lookup: Some(server.url()),
            ..shape(BY_ID)
        };
        let job = Job::new(&bed, None, shape);
        topics::produce(&job.client, &job.source, &writes(&job, 0..10));
        let runs = job.start("run", "runs");
        eventually(LIMIT, "two dead letters", || {
            topics::consume_all(&job.client, &job.dlq).len() == 2
        });
        mended.store(true, Ordering::SeqCst);
        topics::produce(&job.client, &job.source, &writes(&job, std::iter::once(3)));
        eventually(LIMIT, "the corrected one", || emitted(&job).len() == 9);
        let mut redrive = job.start_with(&["dlq", "redrive"], "redrive");
        let ended = redrive.ended(LIMIT).expect("it ends");
        assert!(ended.success(), "{}", job.log("redrive"));
        eventually(LIMIT, "the other one", || emitted(&job).len() == 10);
        eventually(LIMIT, "a duplicate", || outcome(&job, "duplicate") == 1);
        topics::produce(&job.client, &job.source, &writes(&job, 0..10));
        eventually(LIMIT, "ten more", || outcome(&job, "duplicate") == 11);
        assert!(runs.stop(LIMIT).success());
        assert_eq!(emitted(&job), each_once(0..10), "{delivery}");
    }
}

/// Every record comes three times, at random distances, with instances that join, leave and are killed meanwhile.
fn storm(delivery: &'static str) {
    const RECORDS: i64 = 1_500;
    let Some(bed) = live::real() else { return };
    let asked: Mutex<BTreeMap<i64, usize>> = Mutex::default();
    // Some get through at the second or third question.
    let server = ScriptedServer::start(move |request| {
        let id: i64 = request.path.trim_start_matches('/').parse().expect("an id");
        let mut asked = asked.lock().expect("no panic while it is held");
        let times = asked.entry(id).or_default();
        *times += 1;
        let patience = match id % 13 {
            0 => 1,
            5 => 2,
            _ => 0,
        };
        match *times <= patience {
            true => Reply::status(404),
            false => Reply::customer("known"),
        }
    });
    let shape = Shape {
        partitions: 4,
        delivery,
        retry: RETRY,
        lookup: Some(server.url()),
        ..shape(BY_ID)
    };
    let job = Job::new(&bed, None, shape);
    let seed = SmallRng::from_os_rng().random::<u64>();
    eprintln!("moments by seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    // A copy comes up to 500 records behind the one before it.
    let mut places: Vec<(i64, i64)> = Vec::new();
    for id in 0..RECORDS {
        let mut place = id * 3;
        for _ in 0..3 {
            places.push((place, id));
            place += random.random_range(1..500);
        }
    }
    places.sort_unstable();
    let ids: Vec<i64> = places.into_iter().map(|(_, id)| id).collect();
    let last = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for some in ids.chunks(100) {
                topics::produce(
                    &job.client,
                    &job.source,
                    &writes(&job, some.iter().copied()),
                );
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
    let all = usize::try_from(RECORDS).expect("positive");
    eventually(LIMIT, "each of them", || emitted(&job).len() == all);
    nothing_waits(&job, "last");
    assert!(last.stop(LIMIT).success());
    let found = emitted(&job);
    assert_eq!(found.len(), all, "none is lost");
    assert_eq!(job.count(&job.dlq), 0);
    let copies: usize = found.values().sum::<usize>() - all;
    match delivery {
        EXACTLY_ONCE => assert_eq!(copies, 0, "{found:?}"),
        // Only what was under way at the two kills.
        _ => assert!(copies < all / 2, "{copies} copies"),
    }
    eprintln!("{copies} copies of {all}");
}

#[test]
fn kills_and_rebalances_under_exactly_once_leave_each_once() {
    storm(EXACTLY_ONCE);
}

#[test]
fn kills_and_rebalances_under_at_least_once_lose_nothing() {
    storm(DELIVERIES[0]);
}

/// What was seen is gone: copies would pass, and nobody would know.
#[test]
fn a_state_topic_that_was_made_again_is_no_empty_one() {
    let Some(bed) = live::real() else { return };
    let shape = Shape {
        partitions: 1,
        ..shape(BY_ID)
    };
    let job = Job::new(&bed, None, shape);
    topics::produce(&job.client, &job.source, &writes(&job, 0..20));
    let first = job.start("run", "first");
    eventually(LIMIT, "all of them", || job.committed(&job.source) == 20);
    assert!(first.stop(LIMIT).success());
    let state = format!("{}.{}.state", job.source, job.group);
    live::delete(&job.client, &state);
    topics::produce(&job.client, &job.source, &writes(&job, 0..30));
    let second = job.start("run", "second");
    eventually(LIMIT, "it says why it waits", || {
        let log = job.log("second");
        log.contains("is empty, although") && log.contains("on_missing_state: begin_empty")
    });
    assert_eq!(job.committed(&job.source), 20);
    assert!(second.stop(LIMIT).success());
    assert_eq!(emitted(&job), each_once(0..20));
    let file = job.folder.path().join("driftgate.yaml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let text = text.replace(
        "window: 1h }",
        "window: 1h, on_missing_state: begin_empty }",
    );
    std::fs::write(&file, text).expect("a file");
    let third = job.start("run", "third");
    eventually(LIMIT, "it goes on", || job.committed(&job.source) == 50);
    assert!(third.stop(LIMIT).success());
    assert_eq!(emitted(&job).len(), 30);
}

/// What a later release has written is not taken for nothing.
#[test]
fn blocks_of_another_layout_are_refused() {
    let Some(bed) = live::real() else { return };
    let shape = Shape {
        partitions: 1,
        ..shape(BY_ID)
    };
    let job = Job::new(&bed, None, shape);
    let state = format!("{}.{}.state", job.source, job.group);
    topics::create(&job.client, &state, 1, &[("cleanup.policy", "compact")]);
    let key = [&b"d"[..], &[0; 16]].concat();
    topics::produce(&job.client, &state, &[Write::new(key, vec![2, 0, 0])]);
    topics::produce(&job.client, &job.source, &writes(&job, 0..5));
    let runs = job.start("run", "runs");
    eventually(LIMIT, "it says why it waits", || {
        job.log("runs")
            .contains("has the layout 2, and this release reads 1")
    });
    assert_eq!(job.count(&job.sink), 0);
    assert!(runs.stop(LIMIT).success());
}

const ON_DISK: &str = "{ key: string(id), partitioned_by: record_key, window: 1h, store: disk }";

/// What the metrics of a run say of the source, once they say anything of it.
fn state_metric(job: &Job, name: &str, metric: &str) -> f64 {
    let url = format!("http://{}/metrics", job.admin(name));
    let (_, page) = http::get(url).send().expect("it answers");
    live::sum(&page, metric, &[&job.source])
}

/// The files of the partitions.
fn state_files(job: &Job, ends: &str) -> Vec<PathBuf> {
    let state = format!("{}.{}.state", job.source, job.group);
    let folder = job.folder.path().join("state").join(state);
    let mut found = Vec::new();
    for partition in std::fs::read_dir(folder).into_iter().flatten() {
        let files = std::fs::read_dir(partition.expect("an entry").path()).expect("a folder");
        let files = files.map(|file| file.expect("an entry").path());
        found.extend(files.filter(|file| file.to_string_lossy().ends_with(ends)));
    }
    found
}

/// An instance that was stopped reads only what came since, and after a kill no more than that; one whose files are gone, or
/// broken, or of another topic, reads all of it. Nothing is forgotten by any of that.
#[test]
fn what_is_on_disk_is_read_no_more_where_it_is_of_use() {
    let Some(bed) = live::real() else { return };
    for delivery in DELIVERIES {
        let shape = Shape {
            delivery,
            ..shape(ON_DISK)
        };
        let job = Job::new(&bed, None, shape);
        let mut end = 0;
        let mut number = 0;
        let mut round = |ids: std::ops::Range<i64>, kills: bool| {
            number += 1;
            let name = format!("run-{number}");
            let server = job.start("run", &name);
            end += ids.end - ids.start;
            topics::produce(&job.client, &job.source, &writes(&job, ids));
            eventually(LIMIT, "all of them", || job.committed(&job.source) == end);
            let read = state_metric(&job, &name, "driftgate_state_restored_keys_total");
            match kills {
                true => server.kill(),
                false => assert!(server.stop(LIMIT).success()),
            }
            (read, job.log(&name))
        };
        round(0..100, false);
        assert_eq!(state_files(&job, "manifest").len(), 2, "{delivery}");
        let (read, _) = round(0..150, false);
        assert_eq!(read, 0.0, "{delivery}: all of it is on disk");
        let (read, _) = round(100..200, true);
        assert_eq!(read, 0.0, "{delivery}: all of it is on disk");
        let (read, log) = round(0..200, false);
        assert_eq!(read, 50.0, "{delivery}: what came after the files\n{log}");
        std::fs::remove_dir_all(job.folder.path().join("state")).expect("it can be removed");
        let (read, _) = round(0..200, false);
        assert_eq!(read, 200.0, "{delivery}: the files are gone");
        let (read, _) = round(0..200, false);
        assert_eq!(read, 0.0, "{delivery}: they are there again");
        for (broken, says) in [
            (".run", "is not what was written"),
            ("manifest", "is broken"),
        ] {
            for path in state_files(&job, broken) {
                let mut bytes = std::fs::read(&path).expect("a file");
                bytes.truncate(bytes.len() - 1);
                std::fs::write(path, bytes).expect("a file");
            }
            let (read, log) = round(0..200, false);
            assert_eq!(read, 200.0, "{delivery}: {broken}");
            assert!(
                log.contains(says) && log.contains("all of the state topic is read"),
                "{log}"
            );
        }
        assert_eq!(emitted(&job), each_once(0..200), "{delivery}");
        // The block that they end with is not where it was.
        let state = format!("{}.{}.state", job.source, job.group);
        live::delete(&job.client, &state);
        let text = job.folder.path().join("driftgate.yaml");
        let config = std::fs::read_to_string(&text).expect("a file");
        let config = config.replace("window: 1h", "window: 1h, on_missing_state: begin_empty");
        std::fs::write(text, config).expect("a file");
        let (read, log) = round(0..200, false);
        assert_eq!(read, 0.0, "{delivery}");
        assert!(log.contains("of another state topic, or too old"), "{log}");
        let twice: BTreeMap<i64, usize> = (0..200).map(|id| (id, 2)).collect();
        assert_eq!(
            emitted(&job),
            twice,
            "{delivery}: nothing was seen of the new topic's"
        );
    }
}

/// Something that is on disk alone cannot be read while records flow: it is read from the topic, and the disk is left out if it
/// takes nothing.
#[test]
fn a_file_that_breaks_is_read_from_the_topic_while_it_runs() {
    const KEYS: i64 = 17_000;
    let Some(bed) = live::real() else { return };
    for delivery in DELIVERIES {
        let shape = Shape {
            delivery,
            partitions: 1,
            // Complete with 16,384 keys.
            dedup: Some(
                "{ key: string(id), partitioned_by: record_key, max_keys: 131072, store: disk }"
                    .to_owned(),
            ),
            ..Shape::default()
        };
        let job = Job::new(&bed, None, shape);
        let server = job.start("run", "runs");
        for first in (0..KEYS).step_by(1000) {
            topics::produce(&job.client, &job.source, &writes(&job, first..first + 1000));
        }
        eventually(LIMIT, "all of them", || job.committed(&job.source) == KEYS);
        topics::produce(&job.client, &job.source, &writes(&job, KEYS..KEYS + 1));
        eventually(LIMIT, "they are on disk", || {
            state_metric(&job, "runs", "driftgate_state_disk_bytes") > 1e5
        });
        for path in state_files(&job, ".run") {
            let file = std::fs::OpenOptions::new().write(true).open(path);
            let file = file.expect("a file");
            for page in 0..90 {
                file.write_all_at(b"broken", page * 4096 + 1000)
                    .expect("a file");
            }
        }
        topics::produce(&job.client, &job.source, &writes(&job, 0..2000));
        eventually(LIMIT, "copies", || {
            job.committed(&job.source) == KEYS + 2001
        });
        assert!(state_metric(&job, "runs", "driftgate_state_disk_failures_total") > 0.0);
        let log = job.log("runs");
        assert!(
            log.contains("is thrown away and read from the state topic"),
            "{log}"
        );
        assert!(server.stop(LIMIT).success());
        assert_eq!(outcome(&job, "duplicate"), 2000, "{delivery}");
        assert_eq!(emitted(&job), each_once(0..KEYS + 1), "{delivery}");
    }
}

/// Where nothing can be written, it is kept in memory, and told.
#[test]
fn a_second_instance_and_a_folder_that_takes_nothing_are_told() {
    let Some(bed) = live::real() else { return };
    let job = Job::new(&bed, None, shape(ON_DISK));
    let first = job.start("run", "first");
    topics::produce(&job.client, &job.source, &writes(&job, 0..10));
    eventually(LIMIT, "all of them", || job.committed(&job.source) == 10);
    let mut second = job.start("run", "second");
    let ended = second.ended(LIMIT).expect("it ends");
    assert!(!ended.success());
    let log = job.log("second");
    assert!(log.contains("another process has it"), "{log}");
    // The folders of its partitions are gone from under it.
    let state = job.folder.path().join("state");
    for entry in std::fs::read_dir(&state).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).expect("it can be removed");
        }
    }
    assert!(first.stop(LIMIT).success());
    let log = job.log("first");
    assert!(log.contains("what is remembered stays in memory"), "{log}");
    topics::produce(&job.client, &job.source, &writes(&job, 0..20));
    let third = job.start("run", "third");
    eventually(LIMIT, "all of them", || job.committed(&job.source) == 30);
    assert!(third.stop(LIMIT).success());
    assert_eq!(emitted(&job), each_once(0..20));
}
