//! The state of a simulated world: time, the log, the group, what every producer has under way, and what is known of
//! every record. One lock around it; nobody calls an engine while holding it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rdkafka::types::RDKafkaErrorCode;

use super::facts::Facts;
use super::group::{Group, Member};
use super::log::{EPOCH, Log, Origin, Tp, source_record};
use super::outlet::Outbox;
use super::plan::{Micros, Op, Plan};
use super::sabotage::Bug;
use super::transactions::{Id, Transaction};
use crate::control::order::{Order, Subject};
use crate::control::state::Controls;

/// What happens at a time.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// An instance's turn.
    Wake(usize),
    /// A producer sends what is queued for a partition.
    Send(usize, Tp),
    /// A produce batch reaches the broker; an acknowledgement reaches the producer.
    Append(usize, Tp, u64),
    Ack(usize, Tp, u64),
    /// A commit reaches the coordinator; its answer reaches the member.
    CommitApply(usize, u64),
    CommitAnswer(usize, u64),
    /// A transaction has been open for too long; its end reaches the coordinator; the answer comes back.
    TransactionTimeout(usize),
    EndApply(usize, u64),
    EndAnswer(usize, u64),
    /// A member's session has timed out, if it is still silent.
    Kick(usize),
    /// The group's members have joined again.
    Round,
    /// Another program writes source records.
    Feed(usize),
    /// A fault of the plan.
    Op(Op),
    /// Somebody looks after the run.
    Operator,
    /// The pipeline goes on that an operator has paused.
    Lift,
    /// An instance reads what operators have asked for.
    Orders(usize),
    /// An instance is started again.
    Start,
    FaultsEnd,
}

#[derive(Debug)]
struct At(Micros, u64, Event);

impl PartialEq for At {
    fn eq(&self, other: &At) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for At {}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &At) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for At {
    /// The heap's greatest is the next.
    fn cmp(&self, other: &At) -> Ordering {
        (other.0, other.1).cmp(&(self.0, self.1))
    }
}

/// Partitions whose leader is away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    pub(super) topic: Option<usize>,
    pub(super) partition: Option<usize>,
    pub(super) until: Micros,
}

pub(super) struct Core {
    pub(super) now: Micros,
    pub(super) random: SmallRng,
    pub(super) plan: Plan,
    pub(super) bug: Option<Bug>,
    events: BinaryHeap<At>,
    sequence: u64,
    pub(super) log: Log,
    pub(super) origins: Vec<Origin>,
    /// Source records by their place.
    pub(super) places: HashMap<(Tp, i64), usize>,
    pub(super) appended: usize,
    pub(super) facts: Facts,
    pub(super) group: Group,
    pub(super) members: Vec<Member>,
    pub(super) outboxes: Vec<Outbox>,
    pub(super) transactions: Vec<Transaction>,
    pub(super) ids: Vec<Id>,
    /// What operators have asked for, in order.
    pub(super) orders: Vec<(Subject, Order)>,
    /// What each instance knows of that.
    pub(super) controls: Vec<Arc<Controls>>,
    /// Dead letters that were sent back.
    pub(super) redriven: HashSet<usize>,
    /// Whether faults still happen.
    pub(super) faults: bool,
    /// Whether the run is over: who leaves is not started again.
    pub(super) ending: bool,
    pub(super) outages: Vec<Outage>,
    pub(super) refusals: Vec<(usize, RDKafkaErrorCode, Micros)>,
    pub(super) coordinator_until: Micros,
    pub(super) commits_until: Micros,
    pub(super) registry_until: Micros,
    pub(super) lookups_until: Micros,
    pub(super) slow_until: Micros,
    /// Calls to the outside since time last went on.
    still: (Micros, u32),
    pub(super) violation: Option<String>,
    pub(super) trace: Option<Vec<String>>,
    /// Counts of what happened, by name: shows what the seeds reach.
    pub(super) seen: BTreeMap<&'static str, u64>,
}

impl Core {
    pub(super) fn new(plan: Plan, bug: Option<Bug>, traced: bool) -> Core {
        let mut random = SmallRng::seed_from_u64(plan.seed ^ 0x5117_ab1e);
        let log = Log::new(&plan);
        let mut core = Core {
            now: 0,
            bug,
            events: BinaryHeap::new(),
            sequence: 0,
            log,
            origins: Vec::new(),
            places: HashMap::new(),
            appended: 0,
            facts: Facts::default(),
            group: Group::default(),
            members: Vec::new(),
            outboxes: Vec::new(),
            transactions: Vec::new(),
            ids: Vec::new(),
            orders: Vec::new(),
            controls: Vec::new(),
            redriven: HashSet::new(),
            faults: true,
            ending: false,
            outages: Vec::new(),
            refusals: Vec::new(),
            coordinator_until: 0,
            commits_until: 0,
            registry_until: 0,
            lookups_until: 0,
            slow_until: 0,
            still: (0, 0),
            violation: None,
            trace: traced.then(Vec::new),
            seen: BTreeMap::new(),
            random: SmallRng::seed_from_u64(random.random()),
            plan,
        };
        let mut left = core.plan.records;
        while left > 0 {
            let some = random.random_range(1..=left.min(40));
            left -= some;
            let at = match core.plan.feed {
                0 => 0,
                feed => random.random_range(0..feed),
            };
            core.after(at, Event::Feed(some));
        }
        core.tell_plan();
        for (at, op) in std::mem::take(&mut core.plan.ops) {
            core.after(at, Event::Op(op));
        }
        for _ in 0..core.plan.instances {
            core.after(random.random_range(0..100_000), Event::Start);
        }
        core.after(core.plan.faults_until, Event::FaultsEnd);
        if core.needs_operator() {
            core.after(super::plan::SECOND, Event::Operator);
        }
        core
    }

    fn tell_plan(&mut self) {
        if self.trace.is_some() {
            let plan = format!("{:?}", self.plan);
            self.tell(|| plan);
        }
    }

    /// Puts an event `wait` from now.
    pub(super) fn after(&mut self, wait: Micros, event: Event) {
        self.sequence += 1;
        self.events.push(At(self.now + wait, self.sequence, event));
    }

    /// The next event up to a time, which it then is; without one, it is that time.
    pub(super) fn next(&mut self, until: Micros) -> Option<Event> {
        if self.events.peek().is_some_and(|at| at.0 <= until) {
            let At(at, _, event) = self.events.pop()?;
            self.now = self.now.max(at);
            return Some(event);
        }
        self.now = self.now.max(until);
        None
    }

    /// A call to the outside: somebody who makes ever more of them while no time passes never comes to an end.
    pub(super) fn called(&mut self, id: usize) {
        self.still = match self.still {
            (at, calls) if at == self.now => (at, calls + 1),
            _ => (self.now, 0),
        };
        if self.still.1 > 100_000 {
            self.violated(format!(
                "progress: {id} calls and calls, and no time passes"
            ));
        }
    }

    /// A random time up to `most`, at least one.
    pub(super) fn some(&mut self, most: Micros) -> Micros {
        self.random.random_range(1..=most.max(1))
    }

    /// Whether something that happens so many times in a million happens now.
    pub(super) fn chance(&mut self, in_a_million: u32) -> bool {
        in_a_million > 0 && self.random.random_range(0..1_000_000) < in_a_million
    }

    /// An instance's wall clock.
    pub(super) fn wall(&self, id: usize) -> i64 {
        let now = i64::try_from(self.now / 1000).expect("some minutes");
        EPOCH + now + self.members[id].skew
    }

    pub(super) fn violated(&mut self, what: String) {
        let at = self.now;
        self.tell(|| format!("VIOLATION {what}"));
        self.violation
            .get_or_insert_with(|| format!("at {:.3} s: {what}", at as f64 / 1e6));
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>12.6} {}", self.now as f64 / 1e6, what()));
        }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub(super) fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// A bug that shows now and then, so that the run goes far enough to be caught by what it breaks.
    pub(super) fn strikes(&mut self, bug: Bug) -> bool {
        self.is(bug) && self.random.random_ratio(1, 6)
    }

    /// Until when nothing can be written to a partition.
    pub(super) fn away(&self, tp: Tp) -> Option<Micros> {
        self.outages
            .iter()
            .filter(|outage| outage.until > self.now)
            .filter(|outage| outage.topic.is_none_or(|topic| topic == tp.topic))
            .filter(|outage| outage.partition.is_none_or(|part| part == tp.partition))
            .map(|outage| outage.until)
            .max()
    }

    /// Whether the whole cluster is away.
    pub(super) fn dark(&self) -> bool {
        let all = |outage: &&Outage| outage.topic.is_none() && outage.partition.is_none();
        self.outages
            .iter()
            .filter(all)
            .any(|outage| outage.until > self.now)
    }

    /// Another program appends source records, and compaction may have left gaps between them.
    pub(super) fn feed(&mut self, count: usize) {
        for _ in 0..count {
            let tp = Tp {
                topic: self.random.random_range(0..self.plan.sources),
                partition: self.random.random_range(0..self.plan.partitions),
            };
            let script = self.plan.script(&mut self.random);
            let origin = self.origins.len();
            let wall = EPOCH + i64::try_from(self.now / 1000).expect("some minutes");
            let mut record = source_record(&mut self.random, origin, wall);
            let group = self.copied(tp).unwrap_or(origin);
            let (entity, version) = match group != origin {
                true => (self.origins[group].entity, self.origins[group].version),
                false => self.of_entity(tp).unwrap_or((origin, 5)),
            };
            if group != origin {
                record.key = self.origins[group].key.clone();
            } else if entity != origin {
                record.key = self.origins[entity].key.clone();
            }
            let gap = match self.random.random_range(0..10) {
                0 => self.random.random_range(1..4),
                _ => 0,
            };
            let partition = self.log.partition_mut(tp);
            record.offset = partition.end + gap;
            record.uid = self.appended;
            partition.end = record.offset + 1;
            self.places.insert((tp, record.offset), origin);
            self.origins.push(Origin {
                tp,
                offset: record.offset,
                key: record.key.clone(),
                group,
                entity,
                version,
                corrected: false,
                failures_left: match script {
                    super::plan::Script::Flaky(times) => times,
                    _ => 0,
                },
                script,
            });
            partition.records.push(record.into());
            self.appended += 1;
        }
    }

    /// Entity and version of the next record of a partition, if it is of one that was there.
    fn of_entity(&mut self, tp: Tp) -> Option<(usize, i64)> {
        let versions = self.plan.versions?;
        if !self.random.random_ratio(versions, 100) {
            return None;
        }
        let records = &self.log.partition(tp).records;
        let last = records.len().checked_sub(1)?;
        let behind = self.random.random_range(0..=last.min(20));
        let of = &self.origins[records[last - behind].origin];
        let (entity, version) = (of.entity, of.version);
        // Mostly newer, sometimes the same or older.
        Some((entity, version + self.random.random_range(-3..=4)))
    }

    /// A record before the next one of a partition that this one is a copy of, if it is one.
    fn copied(&mut self, tp: Tp) -> Option<usize> {
        let copies = self.plan.copies?;
        if !self.random.random_ratio(copies, 100) {
            return None;
        }
        let records = &self.log.partition(tp).records;
        let last = records.len().checked_sub(1)?;
        let behind = self.random.random_range(0..=last.min(20));
        Some(self.origins[records[last - behind].origin].group)
    }

    /// Everything that waits for a broker goes on.
    pub(super) fn faults_end(&mut self) {
        self.faults = false;
        let now = self.now;
        for outage in &mut self.outages {
            outage.until = outage.until.min(now);
        }
        for refusal in &mut self.refusals {
            refusal.2 = refusal.2.min(now);
        }
        for until in [
            &mut self.coordinator_until,
            &mut self.commits_until,
            &mut self.registry_until,
            &mut self.lookups_until,
            &mut self.slow_until,
        ] {
            *until = now.min(*until);
        }
    }
}
