//! What a configuration or a record may do to an instance that nobody meant to: records that a topic refuses for what they
//! are, due times that no clock can have meant, tiers that are gone, topics that forget what they must keep.

mod support;

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use support::live::{self, Embedded, Job, LIMIT, Shape, both, real};
use support::topics::{self, Read, Write};
use support::wait;

const YEAR_MS: i64 = 365 * 86_400_000;

fn single() -> Shape {
    Shape {
        partitions: 1,
        ..Shape::default()
    }
}

fn small(job: &Job, ids: std::ops::Range<i64>) -> Vec<Write> {
    ids.map(|id| Write::new("key", job.parcel(id, "small")))
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "due times are written as an instance would have done"
)]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("not that late")
}

fn reason(letter: &Read) -> &str {
    letter.header("driftgate.reason").expect("ours")
}

/// As an instance writes it that has failed a record before.
fn retried(job: &Job, id: i64, offset: i64, due: i64) -> Write {
    let failed = (now() - 60_000).to_string();
    Write::new("key", job.parcel(id, "again"))
        .header("driftgate.reason", "lookup_unavailable")
        .header("driftgate.source.topic", job.source.as_str())
        .header("driftgate.source.partition", "0")
        .header("driftgate.source.offset", offset.to_string())
        .header("driftgate.group", job.group.as_str())
        .header("driftgate.attempt", "1")
        .header("driftgate.first_failed_at", failed)
        .header("driftgate.due_at", due.to_string())
}

const BOTH: [&str; 2] = [
    "delivery: at_least_once",
    "delivery: exactly_once\n    transaction: { timeout: 5s }",
];

/// Records 0..10 are in the sink, in their order and once under exactly_once. Otherwise those that went with a refused record
/// may be there twice: the batch behind theirs may be written before they are read again.
#[track_caller]
fn each_there(job: &Job) {
    let mut ids = job.emitted();
    if job.shape.delivery == BOTH[0] {
        ids.sort_unstable();
        ids.dedup();
    }
    assert_eq!(ids, (0..10).collect::<Vec<_>>(), "{}", job.shape.delivery);
}

// --- records that a topic refuses for what they are ---------------------------------------------------------------

/// A compacted topic takes no record without a key. That is the record's own fault, and no reason to stop the others.
#[test]
fn a_record_without_a_key_for_a_compacted_sink_is_a_dead_letter_and_the_others_go_on() {
    let Some(bed) = real() else { return };
    for delivery in BOTH {
        let job = Job::new(
            &bed,
            None,
            Shape {
                delivery,
                ..single()
            },
        );
        let compact = [("cleanup.policy", "compact")];
        topics::create(&job.client, &job.sink, 1, &compact);
        let mut writes = small(&job, 0..5);
        let mut bare = Write::new("", job.parcel(99, "no key"));
        bare.key = None;
        writes.push(bare);
        writes.extend(small(&job, 5..10));
        topics::produce(&job.client, &job.source, &writes);
        job.live(None, |live| {
            live.eventually("all is committed", || job.committed(&job.source) >= 11);
            live.ready();
        });
        each_there(&job);
        let dead = topics::consume_all(&job.client, &job.dlq);
        let found: Vec<_> = dead
            .iter()
            .map(|one| (live::id(one), reason(one)))
            .collect();
        assert_eq!(found, [(99, "record_refused")], "{delivery}");
    }
}

/// Brokers refuse timestamps that are too far ahead of their clock, an hour by default. A source that took such a record
/// does not stop a pipeline: what goes on to the sink is a dead letter, and what is one is written all the same.
#[test]
fn a_record_of_another_century_is_a_dead_letter_and_the_others_go_on() {
    let Some(bed) = real() else { return };
    for delivery in BOTH {
        let shape = Shape {
            delivery,
            retry: "{ tiers: [1s] }",
            ..single()
        };
        let job = Job::new(&bed, None, shape);
        let forever = i64::MAX.to_string();
        live::set(
            &job.client,
            &job.source,
            "message.timestamp.after.max.ms",
            &forever,
        );
        let late = now() + 70 * YEAR_MS;
        let at = |id: i64| Write {
            timestamp: Some(late),
            ..Write::new("key", job.parcel(id, "late"))
        };
        let mut unknown = at(97);
        unknown.value.as_mut().expect("a value")[1..5]
            .copy_from_slice(&1_999_999_999_u32.to_be_bytes());
        let mut writes = small(&job, 0..5);
        // One for the sink, one that is a dead letter anyhow, and one that is by way of a retry topic.
        writes.extend([at(98), at(-1), unknown]);
        writes.extend(small(&job, 5..10));
        topics::produce(&job.client, &job.source, &writes);
        job.live(None, |live| {
            live.eventually("all is committed", || job.committed(&job.source) >= 13);
            live.eventually("all are dead letters", || {
                topics::consume_all(&job.client, &job.dlq).len() >= 3
            });
            live.ready();
        });
        each_there(&job);
        let dead = topics::consume_all(&job.client, &job.dlq);
        let mut found: Vec<_> = dead.iter().map(reason).collect();
        found.sort_unstable();
        if delivery == BOTH[0] {
            // What is behind a refused one may be written again.
            found.dedup();
        }
        assert_eq!(
            found,
            ["record_refused", "rule_violation", "unknown_schema"],
            "{delivery}"
        );
        for letter in &dead {
            let said = letter.header("driftgate.source.timestamp");
            assert_eq!(
                said,
                Some(late.to_string().as_str()),
                "its own time is kept"
            );
        }
    }
}

// --- due times and tiers -------------------------------------------------------------------------------------------

/// A clock that was years ahead for a moment has written a due time. What is behind it waits no longer than its tier.
#[test]
fn a_due_time_that_no_tier_can_have_meant_holds_nobody_up() {
    both(|bed, embedded| {
        for retry in ["{ tiers: [1s] }", "{ tiers: [1s], ordering: per_key }"] {
            let job = Job::new(bed, embedded, Shape { retry, ..single() });
            if embedded.is_none() {
                let room = [("max.message.bytes", "2000000")];
                topics::create(&job.client, &job.retry_topic(1), 1, &room);
            }
            // So that the offsets which the records name are there.
            let before: Vec<Write> = small(&job, 0..2);
            topics::produce(&job.client, &job.source, &before);
            let waiting = [
                retried(&job, 50, 0, now() + 10 * YEAR_MS),
                retried(&job, 51, 1, now()),
            ];
            topics::produce(&job.client, &job.retry_topic(1), &waiting);
            job.live(embedded, |live| {
                live.eventually("both got through", || {
                    job.committed(&job.retry_topic(1)) == 2
                });
                // Nor do those that come now inherit it.
                let mut unknown = job.parcel(60, "new");
                unknown[1..5].copy_from_slice(&1_999_999_999_u32.to_be_bytes());
                topics::produce(&job.client, &job.source, &[Write::new("key", unknown)]);
                live.eventually("the new one has its end", || job.count(&job.dlq) == 1);
            });
        }
    });
}

/// A tier is taken out of the configuration while records wait in it: they are read all the same.
#[test]
fn records_in_a_tier_that_is_no_longer_configured_are_read() {
    let Some(bed) = real() else { return };
    for retry in [
        "{ tiers: [1s] }",
        "{ tiers: [1s], ordering: per_key }",
        "{ tiers: [] }",
    ] {
        let shape = Shape {
            retry,
            partitions: 2,
            ..Shape::default()
        };
        let job = Job::new(&bed, None, shape);
        // It was there before the source had two partitions.
        topics::create(&job.client, &job.retry_topic(3), 1, &[]);
        let key = "key";
        let to = |id| Write::new(key, job.parcel(id, "")).to(0);
        topics::produce(&job.client, &job.source, &[to(0), to(1)]);
        let mut waiting = retried(&job, 50, 0, now() + 2_000).to(0);
        let mut unknown = retried(&job, 51, 1, now() + 2_000).to(0);
        waiting.key = Some(b"other".to_vec());
        unknown.key = Some(b"other".to_vec());
        unknown.value.as_mut().expect("a value")[1..5]
            .copy_from_slice(&1_999_999_999_u32.to_be_bytes());
        topics::produce(&job.client, &job.retry_topic(3), &[waiting, unknown]);
        job.live(None, |live| {
            live.eventually("what was left there is read", || {
                job.committed(&job.retry_topic(3)) == 2
            });
            live.eventually("and fails further", || job.count(&job.dlq) == 1);
            live.ready();
        });
        let mut ids = job.emitted();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 50], "{retry}");
    }
}

// --- where a group begins -------------------------------------------------------------------------------------------

/// `auto.offset.reset: latest` says where a group begins, once. What comes after that is read, though nothing had been read
/// of its partition before a restart.
#[test]
fn a_group_that_begins_at_the_end_misses_nothing_after_that() {
    both(|bed, embedded| {
        let shape = Shape {
            properties: "auto.offset.reset: latest",
            ..Shape::default()
        };
        let job = Job::new(bed, embedded, shape);
        let to = |id, partition| Write::new("key", job.parcel(id, "")).to(partition);
        // Before it began, in one partition of four.
        topics::produce(&job.client, &job.source, &[to(0, 0), to(1, 0)]);
        job.live(embedded, |live| {
            live.ready();
            live.eventually("it has begun", || {
                let found = topics::committed(&job.client, &job.group, &job.source);
                found.iter().all(Option::is_some)
            });
        });
        let later: Vec<_> = (10..18)
            .map(|id| to(id, i32::try_from(id % 4).expect("small")))
            .collect();
        topics::produce(&job.client, &job.source, &later);
        job.live(embedded, |live| {
            live.eventually("all that came since is there", || job.count(&job.sink) >= 8);
        });
        let mut ids = job.emitted();
        ids.sort_unstable();
        assert_eq!(ids, (10..18).collect::<Vec<_>>());
    });
}

/// `auto.offset.reset: latest` is for what was there when the group began. The group's commits say of how many partitions that
/// was, here two of four.
#[test]
fn a_partition_that_was_added_after_the_group_began_is_read_whole() {
    both(|bed, embedded| {
        let shape = Shape {
            properties: "auto.offset.reset: latest",
            ..Shape::default()
        };
        let job = Job::new(bed, embedded, shape);
        let to = |id, partition| Write::new("key", job.parcel(id, "")).to(partition);
        let before: Vec<_> = (0..4).map(|n| to(i64::from(n), n)).collect();
        topics::produce(&job.client, &job.source, &before);
        let mut config = job.client.clone();
        config
            .set("group.id", &job.group)
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().expect("a valid configuration");
        let mut commits = TopicPartitionList::new();
        for partition in 0..2 {
            commits
                .add_partition_offset(&job.source, partition, Offset::Offset(1))
                .expect("an offset");
            let mut added = commits
                .find_partition(&job.source, partition)
                .expect("just added");
            added.set_metadata("driftgate/1 began=2");
        }
        #[expect(clippy::disallowed_methods, reason = "the group has no members yet")]
        wait::eventually(LIMIT, "it is committed", || {
            consumer.commit(&commits, CommitMode::Sync).is_ok()
        });
        job.live(embedded, |live| {
            live.eventually("what was added is read", || job.count(&job.sink) >= 2);
        });
        let mut ids = job.emitted();
        ids.sort_unstable();
        assert_eq!(ids, [2, 3]);
    });
}

/// The same with a topic that grows while its instance is down, as it ends when it meets a partition for which there is no
/// retry topic.
#[test]
fn records_of_a_partition_that_was_added_before_the_restart_are_read() {
    let Some(bed) = real() else { return };
    let shape = Shape {
        properties: "auto.offset.reset: latest",
        partitions: 2,
        ..Shape::default()
    };
    let job = Job::new(&bed, None, shape);
    let to = |id, partition| Write::new("key", job.parcel(id, "")).to(partition);
    topics::produce(&job.client, &job.source, &[to(0, 0), to(1, 1)]);
    job.live(None, |live| {
        live.ready();
        live.eventually("it has begun", || {
            let found = topics::committed(&job.client, &job.group, &job.source);
            found.iter().all(Option::is_some)
        });
    });
    live::grow(&job.client, &job.source, 4);
    let added: Vec<_> = (0..4).map(|n| to(10 + i64::from(n), n)).collect();
    wait::eventually(LIMIT, "brokers know of the new partitions", || {
        topics::watermarks(&job.client, &job.source).len() == 4
    });
    topics::produce(&job.client, &job.source, &added);
    job.live(None, |live| {
        live.eventually("all that came since is there", || job.count(&job.sink) >= 4);
    });
    let mut ids = job.emitted();
    ids.sort_unstable();
    assert_eq!(ids, [10, 11, 12, 13]);
}

// --- topics that forget --------------------------------------------------------------------------------------------

/// A compacted topic keeps one record of a key: retries and dead letters would be gone without a word.
#[test]
fn topics_that_would_forget_retries_or_dead_letters_are_refused() {
    let Some(bed) = real() else { return };
    let shape = Shape {
        retry: "{ tiers: [1h] }",
        ..single()
    };
    let job = Job::new(&bed, None, shape);
    job.live(None, |live| live.ready());
    live::set(&job.client, &job.dlq, "cleanup.policy", "compact,delete");
    live::set(
        &job.client,
        &job.retry_topic(1),
        "cleanup.policy",
        "compact",
    );
    live::set(&job.client, &job.ledger(), "cleanup.policy", "compact");
    for (command, code) in [("check", 1), ("run", 2)] {
        let status = job.start(command, command).ended(LIMIT).expect("it ends");
        let log = job.log(command);
        assert_eq!(status.code(), Some(code), "{log}");
        for topic in [&job.dlq, &job.retry_topic(1), &job.ledger()] {
            let said = format!("topic {topic} is compacted");
            assert!(
                log.contains(&said),
                "{command} does not name {topic}: {log}"
            );
        }
    }
}

/// Topics that somebody made by hand delete old events before anybody has looked at them: that is said, with what to do.
#[test]
fn topics_that_delete_what_is_still_needed_are_told() {
    let Some(bed) = real() else { return };
    let shape = Shape {
        retry: "{ tiers: [1h] }",
        ..single()
    };
    let job = Job::new(&bed, None, shape);
    let control = job.config.pipelines[0].control_topic();
    let room = [
        ("max.message.bytes", "2000000"),
        ("retention.ms", "604800000"),
    ];
    let ledger = job.ledger();
    for topic in [&job.retry_topic(1), &job.dlq, &ledger, &control] {
        topics::create(&job.client, topic, 1, &room);
    }
    let expected = [
        (job.retry_topic(1), "message.timestamp.type=LogAppendTime"),
        (job.dlq.clone(), "retention.ms=-1"),
        (ledger, "retention.ms=-1"),
        (control, "cleanup.policy=compact"),
    ];
    let told = |log: &str| {
        expected.iter().all(|(topic, what)| {
            let mut lines = log.lines();
            lines.any(|line| line.contains(topic) && line.contains(what))
        })
    };
    // A broker that is slow to tell how topics are kept says nothing about them.
    wait::eventually(LIMIT, "`check` tells", || {
        let status = job.start("check", "check").ended(LIMIT).expect("it ends");
        let log = job.log("check");
        assert_eq!(status.code(), Some(0), "{log}");
        told(&log)
    });
    let program = job.start("run", "run");
    wait::eventually(LIMIT, "it is told", || told(&job.log("run")));
    assert_eq!(program.stop(LIMIT).code(), Some(0));
}

// --- garbage in our own topics -------------------------------------------------------------------------------------

/// Whoever may write to a retry topic is trusted with what he says, and may still be wrong in every way: each record ends
/// somewhere, the others go on, and nothing goes round for ever.
#[test]
fn garbage_in_retry_topics_comes_to_an_end() {
    const NAMES: [&str; 12] = [
        "driftgate.reason",
        "driftgate.source.topic",
        "driftgate.source.partition",
        "driftgate.source.offset",
        "driftgate.source.timestamp",
        "driftgate.attempt",
        "driftgate.first_failed_at",
        "driftgate.due_at",
        "driftgate.not_before",
        "driftgate.redriven",
        "driftgate.control",
        "driftgate.group",
    ];
    for retry in [
        "{ tiers: [1s, 1s] }",
        "{ tiers: [1s, 1s], ordering: per_key, on_dead: release }",
        "{ tiers: [1s, 1s], ordering: per_key, on_dead: dead_letter_followers }",
    ] {
        let embedded = Embedded::start();
        let shape = Shape { retry, ..single() };
        let job = Job::new(&embedded.bed, Some(&embedded.broker), shape);
        let mut random = SmallRng::seed_from_u64(11);
        let soon = (now() + 500).to_string();
        let values: [&[u8]; 16] = [
            b"",
            b"0",
            b"-1",
            b"1",
            b"7",
            b"9223372036854775807",
            b"-9223372036854775808",
            b"18446744073709551616",
            b"abc",
            b"\xff\x00",
            b"held",
            b"released",
            b"doomed 9223372036854775807",
            b"doomed -9223372036854775808",
            job.source.as_bytes(),
            soon.as_bytes(),
        ];
        for tier in 1..=2 {
            let mut garbage = Vec::new();
            for number in 0..400 {
                let mut value = job.parcel(random.random_range(-3..20), "garbage");
                if random.random_ratio(1, 5) {
                    value[1..5].copy_from_slice(&1_999_999_999_u32.to_be_bytes());
                }
                let mut write = Write {
                    key: Some(vec![random.random_range(0..4)]),
                    value: (number % 9 > 0).then_some(value),
                    ..Write::default()
                };
                write.key = write.key.filter(|_| random.random_ratio(9, 10));
                for name in NAMES {
                    if random.random_ratio(1, 2) {
                        let value = values[random.random_range(0..values.len())];
                        let value = (!random.random_ratio(1, 9)).then(|| value.to_vec());
                        write.headers.push((name.to_owned(), value));
                    }
                }
                // Most are such as an instance writes them, wrong in a few places.
                if random.random_ratio(1, 2) {
                    let offset = random.random_range(0..30);
                    let right = retried(&job, 1, offset, now());
                    write.headers.splice(0..0, right.headers);
                }
                garbage.push(write);
            }
            topics::produce(&job.client, &job.retry_topic(tier), &garbage);
        }
        job.live(Some(&embedded.broker), |live| {
            topics::produce(&job.client, &job.source, &small(&job, 100..130));
            live.eventually("all of it has come to an end", || {
                let topics = [job.source.clone(), job.retry_topic(1), job.retry_topic(2)];
                topics
                    .iter()
                    .all(|topic| job.committed(topic) == job.count(topic))
            });
            live.ready();
        });
        let mut emitted = topics::consume_all(&job.client, &job.sink);
        emitted.retain(|read| read.value.is_some());
        let ids: Vec<i64> = emitted.iter().map(live::id).collect();
        assert!((100..130).all(|id| ids.contains(&id)), "{retry}");
    }
}

/// What a source may hold: nothing at all, no key, our own header names, headers by the hundred or of nearly a megabyte. Each
/// record has one end, and dead letters are what their source was, byte for byte.
#[test]
fn whatever_a_source_holds_has_one_end_and_stays_what_it_was() {
    let Some(bed) = real() else { return };
    for delivery in BOTH {
        for retry in [
            "{ tiers: [1s] }",
            "{ tiers: [1s], ordering: per_key, on_dead: park }",
        ] {
            let shape = Shape {
                delivery,
                retry,
                ..single()
            };
            let job = Job::new(&bed, None, shape);
            let poison = |key: Option<&[u8]>, value: Option<Vec<u8>>| Write {
                key: key.map(<[u8]>::to_vec),
                value,
                ..Write::default()
            };
            let bad = || Some(job.parcel(-5, "bad"));
            let mut noise = vec![0_u8; 900_000];
            SmallRng::seed_from_u64(5).fill_bytes(&mut noise);
            let ours = [
                ("driftgate.control", "doomed 9223372036854775807"),
                ("driftgate.due_at", "9223372036854775807"),
                ("driftgate.source.offset", "-1"),
                ("driftgate.redriven", "4294967295"),
                ("driftgate.prior.reason", "x"),
                ("driftgate.source", "somewhere-0@1"),
            ];
            let mut posing = poison(Some(b"k"), bad());
            for (name, value) in ours {
                posing = posing.header(name, value);
            }
            let mut many = poison(Some(b"k"), bad());
            for number in 0..500 {
                many = many.header("again", format!("{number}"));
            }
            let mut unknown = posing.clone();
            unknown.value.as_mut().expect("a value")[1..5]
                .copy_from_slice(&1_999_999_999_u32.to_be_bytes());
            let dead = [
                poison(None, Some(Vec::new())),
                poison(Some(b""), Some(vec![0])),
                poison(None, bad()),
                posing,
                many,
                poison(Some(b"k"), bad()).header("large", noise.clone()),
                unknown,
            ];
            let mut good = Write::new("k", job.parcel(1, "good")).header("large", noise.clone());
            for (name, value) in ours {
                good = good.header(name, value);
            }
            let mut writes = vec![good];
            writes.extend(dead.iter().cloned());
            writes.push(poison(Some(b"k"), None));
            writes.push(poison(None, None));
            writes.extend(small(&job, 2..12));
            topics::produce(&job.client, &job.source, &writes);
            let all = i64::try_from(writes.len()).expect("few");
            job.live(None, |live| {
                live.eventually("all is committed", || job.committed(&job.source) >= all);
                live.eventually("all that is dead is a dead letter", || {
                    topics::consume_all(&job.client, &job.dlq).len() >= dead.len()
                });
                live.ready();
            });
            let found = topics::consume_all(&job.client, &job.dlq);
            assert_eq!(found.len(), dead.len(), "{delivery} {retry}");
            for write in &dead {
                let is_it = |read: &&Read| {
                    let headers = read.headers.iter();
                    let own = headers.filter_map(|(name, value)| {
                        let name = match name.strip_prefix("driftgate.prior.") {
                            Some(rest) => format!("driftgate.{rest}"),
                            None if name.starts_with("driftgate.") => return None,
                            None => name.clone(),
                        };
                        Some((name, value.clone()))
                    });
                    let own: Vec<_> = own.collect();
                    read.key == write.key && read.value == write.value && own == write.headers
                };
                assert!(
                    found.iter().any(|read| is_it(&read)),
                    "{delivery} {retry}: {:?}",
                    write.key
                );
            }
            let emitted = topics::consume_all(&job.client, &job.sink);
            let values = emitted.iter().filter(|read| read.value.is_some());
            assert_eq!(values.count(), 11, "{delivery} {retry}");
        }
    }
}
