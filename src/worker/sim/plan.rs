//! What one seed stands for: the shape of the cluster and of the group, the records with what is to become of them, and
//! the faults with their times. Everything that is drawn before a run begins is drawn here.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rdkafka::types::RDKafkaErrorCode;

use crate::config::model::{OnDead, PerKey, Provenance, RatioLimit};
use crate::error::Reason;

/// Virtual time, in microseconds since the run began.
pub(super) type Micros = u64;

pub(super) const MILLI: Micros = 1_000;
pub(super) const SECOND: Micros = 1_000_000;

/// How long a member may be silent before the coordinator gives it up.
pub(super) const SESSION: Micros = 6 * SECOND;
/// The sink's size limit in bytes; what is larger is [`Script::TooLarge`].
pub(super) const SINK_LIMIT: usize = 1_500;
/// The limit of every other topic.
pub(super) const LIMIT: usize = 16_000;
/// Seeds below this one are short runs: as many of them as possible are tried with every `make test`.
pub(super) const SHORT: u64 = 10_000;
/// What the producer itself refuses to queue.
pub(super) const CLIENT_LIMIT: usize = 12_000;

/// What is to become of a source record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Script {
    /// One output.
    Emit,
    /// Dropped by a filter.
    Filter,
    /// Never passes.
    Poison(Reason),
    /// Fails so often, for a reason that goes through the tiers once and then to the dead letters.
    Flaky(u32),
    /// Asks a lookup, which may be down, and then goes through the tiers until the budget is used up.
    Lookup,
    /// So many outputs; one of them may be larger than its sink takes.
    Explode {
        outputs: usize,
        large: Option<usize>,
    },
    /// One output, larger than the sink takes, or than the producer does.
    TooLarge { client: bool },
    /// One output with a timestamp that no broker keeps.
    BadTime,
}

/// A fault, or a change that the engine has to live with.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// An instance more.
    Start,
    /// One leaves as it should.
    Stop,
    /// One dies between two turns.
    Crash,
    /// One stands still, as after SIGSTOP.
    Freeze(Micros),
    /// A wall clock is set.
    Skew(i64),
    /// Nothing can be written to, nor is anything acknowledged: everywhere, or of one topic, or of one partition.
    Outage {
        topic: Option<usize>,
        partition: Option<usize>,
        lasts: Micros,
    },
    /// A topic refuses everything.
    Refuse {
        topic: usize,
        code: RDKafkaErrorCode,
        lasts: Micros,
    },
    /// The group's coordinator does not answer.
    Coordinator(Micros),
    /// Some commits of the time are refused, or their answers are lost.
    Commits(Micros),
    /// The registry does not answer.
    Registry(Micros),
    /// What lookups ask does not answer.
    Lookups(Micros),
    /// Acknowledgements take long.
    Slow(Micros),
    /// A partition changes hands for no reason.
    Shuffle,
    /// An operator pauses the pipeline, and lifts that again.
    Pause(Micros),
    /// A consumer returns records twice.
    Regress,
    /// Consumers report an error.
    ConsumerError,
}

/// `delivery: exactly_once`
#[derive(Debug, Clone, Copy)]
pub(super) struct Transactions {
    pub(super) interval: Duration,
    pub(super) records: usize,
    pub(super) timeout: Duration,
    /// Whether ids are the same after a restart, and so may be taken over from one who still runs.
    pub(super) stable_ids: bool,
}

/// When breakers trip.
#[derive(Debug, Clone, Copy)]
pub(super) struct Breakers {
    pub(super) after: Option<u64>,
    pub(super) above: Option<RatioLimit>,
}

/// What is drawn for a seed.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) sources: usize,
    pub(super) partitions: usize,
    pub(super) sink_partitions: usize,
    pub(super) records: usize,
    pub(super) tiers: Vec<Duration>,
    pub(super) jitter: f64,
    pub(super) budget: Duration,
    pub(super) provenance: Provenance,
    pub(super) batch: usize,
    pub(super) instances: usize,
    pub(super) commit_interval: Duration,
    /// Records that the producer queues before it is full.
    pub(super) capacity: usize,
    /// Bytes that it may hold, by the worker's own count.
    pub(super) room: usize,
    pub(super) linger: Micros,
    pub(super) round_trip: Micros,
    /// Records of a produce batch.
    pub(super) produce_batch: usize,
    /// Whether the topics' limits are known at start.
    pub(super) sizes_known: bool,
    /// When faults stop.
    pub(super) faults_until: Micros,
    /// Out of a million calls to the outside, how many end the instance and how many freeze it.
    pub(super) crashes: u32,
    pub(super) freezes: u32,
    /// Over how long the records come.
    pub(super) feed: Micros,
    pub(super) ops: Vec<(Micros, Op)>,
    /// How far apart wall clocks may be.
    pub(super) skew: i64,
    /// Under exactly_once: how transactions run.
    pub(super) transactions: Option<Transactions>,
    /// `ordering: per_key`
    pub(super) per_key: Option<PerKey>,
    pub(super) breakers: Option<Breakers>,
    /// Whether a person sends dead letters back.
    pub(super) redrives: bool,
    /// `dedup`: out of a hundred records, how many are copies of one before them in their partition.
    pub(super) copies: Option<u32>,
    /// `stale`: out of a hundred records, how many are of the entity of one before them in their partition.
    pub(super) versions: Option<u32>,
    /// `stale.reorder.wait`
    pub(super) reorder: Option<Duration>,
    mix: [u32; 9],
}

impl Plan {
    pub(super) fn of(seed: u64) -> Plan {
        let random = &mut SmallRng::seed_from_u64(seed);
        // One seed in eight has no faults at all: there, nothing may happen twice.
        let calm = random.random_ratio(1, 8);
        let sources = random.random_range(1..=2);
        let tiers: Vec<Duration> = match random.random_range(0..6) {
            0 => Vec::new(),
            1 => vec![Duration::from_secs(1)],
            2 => vec![Duration::from_millis(300), Duration::from_secs(2)],
            3 => vec![Duration::from_secs(2), Duration::from_secs(2)],
            _ => vec![1, 3, 8].into_iter().map(Duration::from_secs).collect(),
        };
        let is_short = seed < SHORT;
        let faults_until = random.random_range(3..=if is_short { 10 } else { 25 }) * SECOND;
        let mut mix = [0; 9];
        for weight in &mut mix {
            *weight = match random.random_range(0..3) {
                0 => 0,
                1 => 1,
                _ => random.random_range(2..10),
            };
        }
        mix[0] = mix[0].max(4);
        let mut plan = Plan {
            seed,
            sources,
            partitions: random.random_range(1..=3),
            sink_partitions: random.random_range(1..=3),
            records: *match is_short {
                true => [5, 10, 20, 40, 80],
                false => [10, 40, 80, 150, 300],
            }
            .choose(random)
            .expect("not empty"),
            tiers,
            jitter: *[0.0, 0.2, 0.5].choose(random).expect("not empty"),
            budget: Duration::from_secs(random.random_range(60..=120)),
            provenance: match random.random_bool(0.5) {
                true => Provenance::Header,
                false => Provenance::None,
            },
            batch: *[1, 2, 5, 16, 64].choose(random).expect("not empty"),
            instances: random.random_range(1..=3),
            commit_interval: Duration::from_millis(*[100, 1000].choose(random).expect("not empty")),
            capacity: *[3, 20, 100, 1000].choose(random).expect("not empty"),
            room: usize::MAX,
            linger: *[0, 5 * MILLI, 50 * MILLI]
                .choose(random)
                .expect("not empty"),
            round_trip: *[MILLI, 10 * MILLI, 80 * MILLI]
                .choose(random)
                .expect("not empty"),
            produce_batch: *[1, 3, 20].choose(random).expect("not empty"),
            sizes_known: random.random_bool(0.6),
            faults_until,
            crashes: 0,
            freezes: 0,
            feed: random.random_range(0..=faults_until),
            ops: Vec::new(),
            skew: 0,
            transactions: None,
            per_key: None,
            breakers: None,
            redrives: false,
            copies: None,
            versions: None,
            reorder: None,
            mix,
        };
        if random.random_bool(0.5) {
            plan.transactions = Some(Transactions {
                interval: Duration::from_millis(random.random_range(10..=500)),
                records: *[1, 10, 1000].choose(random).expect("not empty"),
                timeout: Duration::from_secs(random.random_range(3..=15)),
                stable_ids: random.random_bool(0.5),
            });
        }
        if seed.is_multiple_of(3) {
            // Less than the queue's count of records allows, and sometimes less than one record.
            plan.room = plan.capacity.min(100) * 300;
        }
        let more = &mut SmallRng::seed_from_u64(seed ^ 0x0bea_d5ed);
        plan.extras(more);
        if !calm {
            plan.faults(random);
            plan.pauses(more);
        }
        let last = &mut SmallRng::seed_from_u64(seed ^ 0x0c0b_1e55);
        if last.random_bool(0.3) {
            plan.copies = Some(*[10, 50, 90].choose(last).expect("not empty"));
        }
        let latest = &mut SmallRng::seed_from_u64(seed ^ 0x57a1_e000);
        if latest.random_bool(0.3) {
            plan.versions = Some(*[50, 90].choose(latest).expect("not empty"));
            if plan.per_key.is_none() && latest.random_bool(0.5) {
                let wait = *[5, 100, 2000].choose(latest).expect("not empty");
                plan.reorder = Some(Duration::from_millis(wait));
            }
        }
        if plan.has_state() {
            // A duplicate ends a row of dead letters, and nobody out here sees when.
            plan.breakers = None;
            plan.ops.retain(|(_, op)| !matches!(op, Op::Pause(_)));
        }
        plan
    }

    /// What pipelines may have besides: a ledger, an order per key, breakers.
    fn extras(&mut self, random: &mut SmallRng) {
        if self.provenance == Provenance::None && random.random_bool(0.5) {
            self.provenance = Provenance::Ledger;
        }
        if random.random_bool(0.4) && !self.tiers.is_empty() {
            self.per_key(random);
        }
        if random.random_bool(0.25) {
            let after = random.random_bool(0.6);
            let above = !after || random.random_bool(0.5);
            self.breakers = Some(Breakers {
                after: after.then(|| *[2, 5, 12].choose(random).expect("not empty")),
                above: above.then(|| RatioLimit {
                    ratio: *[0.1, 0.3, 0.6].choose(random).expect("not empty"),
                    window: Duration::from_secs(random.random_range(1..60)),
                    at_least: *[3, 10, 30].choose(random).expect("not empty"),
                }),
            });
        }
    }

    fn per_key(&mut self, random: &mut SmallRng) {
        let bound =
            |random: &mut SmallRng| *[1, 2, 5, 20, 1000, 1000].choose(random).expect("not empty");
        let per_key = PerKey {
            on_dead: match random.random_range(0..4) {
                0 | 1 => OnDead::Release,
                2 => OnDead::Park,
                _ => OnDead::DeadLetterFollowers,
            },
            max_keys: bound(random),
            max_records: bound(random),
        };
        self.redrives = per_key.on_dead == OnDead::Park || random.random_bool(0.3);
        if self.is_tight(per_key) {
            // One after the other: that shall not take hours.
            self.records = self.records.min(80);
            for tier in &mut self.tiers {
                *tier = (*tier).min(Duration::from_secs(1));
            }
        }
        self.per_key = Some(per_key);
    }

    fn is_tight(&self, per_key: PerKey) -> bool {
        per_key.max_keys.min(per_key.max_records) < 20
    }

    fn pauses(&mut self, random: &mut SmallRng) {
        for _ in 0..random.random_range(0..6_usize).saturating_sub(3) {
            let at = random.random_range(0..self.faults_until);
            let longest = (self.faults_until - at).max(1);
            let lasts = random.random_range(1..=5 * SECOND).min(longest);
            self.ops.push((at, Op::Pause(lasts)));
        }
    }

    fn faults(&mut self, random: &mut SmallRng) {
        let rate = |random: &mut SmallRng, most: u32| match random.random_range(0..3) {
            0 => 0,
            _ => random.random_range(1..=most),
        };
        self.crashes = rate(random, 800);
        self.freezes = rate(random, 400);
        self.skew = *[0, 0, 2_000, 20_000].choose(random).expect("not empty");
        let topics = self.topics();
        // Each seed has some kinds of fault only, so that what one of them hides shows in another.
        let kinds: Vec<u32> = (0..14).filter(|_| random.random_bool(0.35)).collect();
        if kinds.is_empty() {
            return;
        }
        for _ in 0..random.random_range(1..12) {
            let at = random.random_range(0..self.faults_until);
            let longest = (self.faults_until - at).max(1);
            let mut lasts = |most: Micros| random.random_range(1..=most).min(longest);
            let (short, long) = (lasts(2 * SECOND), lasts(15 * SECOND));
            let op = match kinds.choose(random).expect("not empty") {
                0 => Op::Start,
                1 => Op::Stop,
                2 => Op::Crash,
                3 => Op::Freeze(if random.random_bool(0.5) { short } else { long }),
                4 if self.skew > 0 => Op::Skew(random.random_range(-self.skew..=self.skew)),
                4 | 5 => Op::Outage {
                    topic: random
                        .random_bool(0.7)
                        .then(|| random.random_range(0..topics)),
                    partition: random.random_bool(0.6).then(|| random.random_range(0..3)),
                    lasts: if random.random_bool(0.5) { short } else { long },
                },
                6 => Op::Refuse {
                    topic: random.random_range(0..topics),
                    code: *[
                        RDKafkaErrorCode::UnknownTopicOrPartition,
                        RDKafkaErrorCode::TopicAuthorizationFailed,
                        RDKafkaErrorCode::NotEnoughReplicas,
                    ]
                    .choose(random)
                    .expect("not empty"),
                    lasts: short,
                },
                7 => Op::Coordinator(long),
                8 => Op::Commits(long),
                9 => Op::Registry(long),
                10 => Op::Lookups(long),
                11 => Op::Slow(long),
                12 => Op::Shuffle,
                _ => match random.random_range(0..2) {
                    0 => Op::Regress,
                    _ => Op::ConsumerError,
                },
            };
            self.ops.push((at, op));
        }
    }

    /// Whether there are ledgers.
    pub(super) fn has_ledger(&self) -> bool {
        self.provenance != Provenance::None
    }

    /// Whether there are state topics.
    pub(super) fn has_state(&self) -> bool {
        self.copies.is_some() || self.versions.is_some()
    }

    /// Topics in all: the sources, their tiers, dead letters, ledgers and states, and two sinks.
    pub(super) fn topics(&self) -> usize {
        let ledgers = usize::from(self.has_ledger());
        let states = usize::from(self.has_state());
        self.sources * (2 + self.tiers.len() + ledgers + states) + 2
    }

    /// The script of a record.
    pub(super) fn script(&self, random: &mut SmallRng) -> Script {
        let mut at = random.random_range(0..self.mix.iter().sum());
        let kind = self
            .mix
            .iter()
            .position(|weight| match at < *weight {
                true => true,
                false => {
                    at -= weight;
                    false
                }
            })
            .expect("within the sum");
        match kind {
            0 | 1 => Script::Emit,
            2 => Script::Filter,
            3 => Script::Poison(
                *[
                    Reason::RuleViolation,
                    Reason::MalformedData,
                    Reason::Unframed,
                ]
                .choose(random)
                .expect("not empty"),
            ),
            4 => Script::Flaky(random.random_range(1..6)),
            5 => Script::Lookup,
            6 => {
                let outputs = random.random_range(0..4);
                let large = random.random_ratio(1, 6).then(|| random.random_range(0..4));
                Script::Explode {
                    outputs,
                    large: large.filter(|large| *large < outputs),
                }
            }
            7 => Script::TooLarge {
                client: random.random_bool(0.3),
            },
            _ => match random.random_bool(0.2) {
                true => Script::BadTime,
                false => Script::Emit,
            },
        }
    }

    /// How long after the end of faults everything must be done.
    pub(super) fn patience(&self) -> Micros {
        let tiers: u128 = self.tiers.iter().map(Duration::as_micros).sum();
        let budget = self.budget.as_micros() + 4 * tiers;
        let skew = 4 * self.skew.unsigned_abs() * MILLI;
        let records = u64::try_from(self.records).expect("hundreds") * SECOND;
        let in_turn = match self.per_key {
            Some(per_key) if self.is_tight(per_key) => 5 * records,
            Some(_) => records,
            None if self.copies.is_some() => records,
            None => 0,
        };
        let resumed = self.breakers.map_or(0, |_| 2 * records);
        // Each record that is too large aborts its transaction once or twice, and waits.
        let aborted = self.transactions.map_or(0, |_| 4 * records);
        let budget = u64::try_from(budget).expect("minutes");
        2 * budget + skew + in_turn + resumed + aborted + 120 * SECOND
    }
}
