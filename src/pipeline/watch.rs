//! Values against the reviewed baseline, while records flow. Workers count records into fractions of parts; what fills a
//! part comes together here, one [`Watch`] for the workers of a pipeline. A thread beside them ([`Watch::turn`]) makes
//! windows of the parts, compares, and tells what began and what ended.
//!
//! A worker takes a lock with each fraction of a part, never with a record, and waits for nobody who compares.

mod look;
mod report;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

pub use self::look::Look;
pub use self::tell::Teller;
use crate::config::baseline::{Baseline, Field};
use crate::config::model::DriftAction;
use crate::error::{Reason, RecordError};
use crate::profile::{
    Change, Drifted, Glance, LEAST_VALUES, Layout, PART, PARTS, Profiler, Sliding, Verdict,
    Verdicts, Window, compare, glance,
};

/// Topics and writer schemas that are watched beyond a few for each source topic.
const SPARE_PAIRS: usize = 12;
/// Writer schemas of a topic that are watched side by side, on the average.
const PAIRS: usize = 4;

/// Fields that a text names; it counts the rest.
const NAMED: usize = 5;

/// What the values of a pipeline's records are held to.
#[derive(Debug)]
pub struct Reviewed {
    /// The fields that are looked at: those of the baseline.
    pub layout: Layout,
    /// The baseline.
    pub baseline: Baseline,
    /// Who owns each of its fields, in their order.
    pub owners: Vec<String>,
    /// When a window ends that has not had all of its records.
    pub window: Duration,
    /// Another one when the baseline or the contract's schema is another one.
    pub mark: u32,
}

impl Reviewed {
    /// The fields of a window, in the order of the baseline; nothing of one that the contract does not have.
    fn glances(&self, window: &Window) -> impl Iterator<Item = Option<Glance>> {
        let fields = self.baseline.fields.iter();
        fields.map(|field| {
            let place = self.layout.find(&field.path)?;
            let leaf = &self.layout.leaves[place];
            Some(glance(field, leaf, &window.fields[place]))
        })
    }
}

/// What began or ended.
#[derive(Debug)]
pub struct Told<'a> {
    /// Source topic.
    pub topic: &'a str,
    /// The writer schema's id.
    pub schema_id: u32,
    /// The field, as the baseline has it.
    pub field: &'a Field,
    /// Who owns it.
    pub owner: &'a str,
    /// The verdict that began, or ended.
    pub verdict: &'a Verdict,
    /// Whether it ended.
    pub is_over: bool,
    /// Writer schemas of the topic of which the field drifts now.
    pub standing: usize,
}

/// What [`Watch::turn`] has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted<'a> {
    /// A part of so many records of a topic, and whether there was a window to compare.
    Part {
        /// Source topic.
        topic: &'a str,
        /// Records that were counted.
        records: u64,
        /// Whether there was a window to compare.
        is_window: bool,
    },
    /// Records that were not looked at, since too many topics and writer schemas are watched.
    LeftOut(u64),
}

/// Who is told.
pub trait Listener: Send + Sync {
    /// A verdict began or ended.
    fn told(&self, told: &Told<'_>);
    /// Records were counted, or not.
    fn counted(&self, counted: Counted<'_>);
}

/// The values of a pipeline's records, of all its workers in this instance.
pub struct Watch {
    reviewed: Arc<Reviewed>,
    workers: usize,
    most: usize,
    begun: Instant,
    pairs: Mutex<Vec<Arc<Pair>>>,
    /// Records that were not looked at since they were told last.
    left_out: AtomicU64,
    /// Changes with what [`Self::halting`] says.
    version: AtomicU64,
    /// Who compares.
    thread: OnceLock<Thread>,
    listener: Box<dyn Listener>,
}

/// A topic and a writer schema.
struct Pair {
    topic: String,
    schema_id: u32,
    open: Mutex<Open>,
    judged: Mutex<Judged>,
    halting: Mutex<Halting>,
    /// Why its records are dead letters, if they are.
    quarantine: Mutex<Option<RecordError>>,
    is_quarantined: AtomicBool,
    /// Set when another one has taken its place.
    is_gone: AtomicBool,
}

/// The fields of `then: halt` of a topic and writer schema, by their places in [`Reviewed::layout`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Halting {
    /// The writer schema's id.
    pub schema_id: u32,
    /// Those that drift now.
    pub drifted: Vec<usize>,
    /// Those that were right for a whole window.
    pub right: Vec<usize>,
}

/// The part that workers fill.
struct Open {
    part: Window,
    /// An empty one, unless it is being compared.
    spare: Option<Window>,
    /// A full one that waits to be compared.
    full: Option<Window>,
    /// Parts so far.
    number: u64,
    /// When the part began, and when something was added last, in milliseconds.
    since: i64,
    used: i64,
}

/// What was made of the parts.
struct Judged {
    sliding: Sliding,
    verdicts: Verdicts,
    /// The last windows, the oldest first: of each field, the part of nulls and the figure that tells most.
    past: VecDeque<Past>,
    /// Windows so far.
    windows: u64,
}

/// Of each field of a window, in the order of the baseline.
type Past = Vec<(f64, Option<f64>)>;

/// Windows that are kept for people.
const KEPT: usize = 24;

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({})", self.reviewed.baseline.subject)
    }
}

impl Watch {
    /// One for so many workers and source topics, that takes about so many bytes and no more; one topic and writer schema is
    /// watched in any case.
    pub fn new(
        reviewed: Arc<Reviewed>,
        workers: usize,
        topics: usize,
        bytes: usize,
        listener: impl Listener + 'static,
    ) -> Watch {
        let room = bytes / Pair::size(&reviewed.layout, workers);
        Watch {
            workers,
            most: room.clamp(1, PAIRS * topics + SPARE_PAIRS),
            begun: Instant::now(),
            pairs: Mutex::default(),
            left_out: AtomicU64::new(0),
            version: AtomicU64::new(1),
            thread: OnceLock::new(),
            listener: Box::new(listener),
            reviewed,
        }
    }

    /// Bytes that it may take.
    pub fn size(&self) -> usize {
        self.most * Pair::size(&self.reviewed.layout, self.workers)
    }

    /// Who is to be woken when there is something to compare.
    pub fn compared_by(&self, thread: Thread) {
        // A second one would be woken by its time alone.
        self.thread.get_or_init(|| thread);
    }

    /// What the verdicts are about: another one when the baseline or the contract's schema is another one.
    pub fn mark(&self) -> u32 {
        self.reviewed.mark
    }

    /// Changes whenever [`Self::halting`] says something else.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What is known of the fields of a topic that halt, of each writer schema.
    pub fn halting(&self, topic: &str) -> Vec<Halting> {
        let pairs = lock(&self.pairs).clone();
        let of_topic = pairs.iter().filter(|pair| pair.topic == topic);
        of_topic.map(|pair| lock(&pair.halting).clone()).collect()
    }

    /// Names of fields, by their places.
    pub fn named(&self, fields: &[usize]) -> String {
        let leaves = &self.reviewed.layout.leaves;
        let names = fields.iter().filter_map(|place| leaves.get(*place));
        let names: Vec<&str> = names.map(|leaf| leaf.path.as_str()).collect();
        match names.split_at_checked(NAMED) {
            Some((first, rest)) if !rest.is_empty() => {
                format!("{} and {} more", first.join(", "), rest.len())
            }
            _ => names.join(", "),
        }
    }

    fn millis(&self, now: Instant) -> i64 {
        let elapsed = now.saturating_duration_since(self.begun);
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }

    /// How long a part may take, in milliseconds.
    fn longest(&self) -> i64 {
        let part = self.reviewed.window / u32::try_from(PARTS).unwrap_or(u32::MAX);
        i64::try_from(part.as_millis()).unwrap_or(i64::MAX)
    }

    /// The place of a topic and writer schema; nothing if there is no room for it. One that had no record for a whole window
    /// makes room, unless a verdict stands on it.
    fn pair(&self, topic: &str, schema_id: u32, now: i64) -> Option<Arc<Pair>> {
        let mut pairs = lock(&self.pairs);
        let is_it = |pair: &&Arc<Pair>| pair.schema_id == schema_id && pair.topic == topic;
        if let Some(known) = pairs.iter().find(is_it) {
            return Some(Arc::clone(known));
        }
        if pairs.len() >= self.most {
            let idle = pairs.iter().enumerate().filter(|(_, pair)| {
                // One that is being compared is not idle.
                let is_free = pair
                    .judged
                    .try_lock()
                    .is_ok_and(|judged| judged.verdicts.standing().next().is_none());
                is_free && now - lock(&pair.open).used > self.longest() * PARTS as i64
            });
            let oldest = idle.min_by_key(|(_, pair)| lock(&pair.open).used);
            let place = oldest.map(|(place, _)| place)?;
            let gone = pairs.swap_remove(place);
            gone.is_gone.store(true, Ordering::Relaxed);
        }
        let pair = Arc::new(Pair::new(&self.reviewed, topic, schema_id, now));
        pairs.push(Arc::clone(&pair));
        Some(pair)
    }

    /// Adds what a worker has of a part. The number of the part that is filled now.
    fn add(&self, pair: &Pair, fraction: &Window, now: i64) -> u64 {
        let mut open = lock(&pair.open);
        if open.part.records == 0 {
            open.since = now;
        }
        open.part.merge(fraction);
        open.used = now;
        if open.ends(now, self.longest())
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
        open.number
    }

    /// Compares what there is to compare. `wall` is the time in milliseconds since the epoch. For one thread.
    pub fn turn(&self, now: Instant, wall: i64) {
        let pairs: Vec<Arc<Pair>> = lock(&self.pairs).clone();
        for pair in &pairs {
            let full = {
                let mut open = lock(&pair.open);
                open.ends(self.millis(now), self.longest());
                open.full.take()
            };
            if let Some(mut full) = full {
                self.judge(pair, &full, wall);
                full.clear();
                lock(&pair.open).spare = Some(full);
            }
        }
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            self.listener.counted(Counted::LeftOut(left_out));
        }
    }

    fn judge(&self, pair: &Pair, part: &Window, wall: i64) {
        let Reviewed {
            layout, baseline, ..
        } = &*self.reviewed;
        let mut judged = lock(&pair.judged);
        judged.sliding.push(part);
        let is_window = judged.sliding.is_full();
        self.listener.counted(Counted::Part {
            topic: &pair.topic,
            records: part.records,
            is_window,
        });
        if !is_window {
            return;
        }
        judged.windows += 1;
        if judged.past.len() == KEPT {
            judged.past.pop_front();
        }
        let past = self.reviewed.glances(judged.sliding.window());
        let past = past.map(|seen| {
            let figure = |seen: &Glance| (seen.nulls, seen.figure.map(|(_, number)| number));
            seen.as_ref().map_or((0.0, None), figure)
        });
        let past = past.collect();
        judged.past.push_back(past);
        let compared = compare(baseline, layout, judged.sliding.window());
        let changes = judged.verdicts.take(baseline, &compared, wall);
        let begun: Vec<Verdict> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Begun(place) => judged.verdicts.of(*place).cloned(),
                Change::Ended(..) => None,
            })
            .collect();
        let halting = self.halting_of(pair.schema_id, &judged.verdicts);
        let quarantine = self.quarantine_of(pair.schema_id, &judged.verdicts);
        drop(judged);
        let is_quarantined = quarantine.is_some();
        *lock(&pair.quarantine) = quarantine;
        pair.is_quarantined.store(is_quarantined, Ordering::Release);
        if std::mem::replace(&mut *lock(&pair.halting), halting.clone()) != halting {
            self.version.fetch_add(1, Ordering::Release);
        }
        let mut begun = begun.iter();
        for change in &changes {
            let (place, verdict, is_over) = match change {
                Change::Begun(place) => (*place, begun.next().expect("it begins"), false),
                Change::Ended(place, verdict) => (*place, verdict, true),
            };
            let field = &baseline.fields[place];
            if field.then == DriftAction::Allow {
                continue;
            }
            self.listener.told(&Told {
                topic: &pair.topic,
                schema_id: pair.schema_id,
                field,
                owner: self.reviewed.owners.get(place).map_or("", String::as_str),
                verdict,
                is_over,
                standing: self.standing(&pair.topic, place),
            });
        }
    }

    fn halting_of(&self, schema_id: u32, verdicts: &Verdicts) -> Halting {
        let fields = self.reviewed.baseline.fields.iter().enumerate();
        let fields = fields.filter(|(_, field)| field.then == DriftAction::Halt);
        let mut halting = Halting {
            schema_id,
            ..Halting::default()
        };
        for (place, field) in fields {
            let Some(leaf) = self.reviewed.layout.find(&field.path) else {
                continue;
            };
            if verdicts.of(place).is_some() {
                halting.drifted.push(leaf);
            } else if verdicts.is_right(place) {
                halting.right.push(leaf);
            }
        }
        halting
    }

    /// The error of each record that passes, where a field says so.
    fn quarantine_of(&self, schema_id: u32, verdicts: &Verdicts) -> Option<RecordError> {
        let fields = &self.reviewed.baseline.fields;
        let mut standing = verdicts
            .standing()
            .filter(|(place, _)| fields[*place].then == DriftAction::Quarantine);
        let (place, verdict) = standing.next()?;
        let figures: Vec<String> = verdict.drifted.iter().map(Drifted::figures).collect();
        let more = match standing.count() {
            0 => String::new(),
            count => format!("; and those of {}", more_fields(count)),
        };
        let text = format!(
            "the values of this field have drifted from the baseline (then: quarantine): {}{more}",
            figures.join("; ")
        );
        let error = RecordError::new(Reason::ValueDrift, text);
        Some(error.at(&fields[place].path).with_schema(schema_id))
    }

    fn standing(&self, topic: &str, place: usize) -> usize {
        let pairs = lock(&self.pairs).clone();
        let of_topic = pairs.iter().filter(|pair| pair.topic == topic);
        of_topic
            .filter(|pair| lock(&pair.judged).verdicts.of(place).is_some())
            .count()
    }
}

impl Pair {
    fn new(reviewed: &Reviewed, topic: &str, schema_id: u32, now: i64) -> Pair {
        let layout = &reviewed.layout;
        Pair {
            topic: topic.to_owned(),
            schema_id,
            open: Mutex::new(Open {
                part: Window::part(layout),
                spare: Some(Window::part(layout)),
                full: None,
                number: 0,
                since: now,
                used: now,
            }),
            judged: Mutex::new(Judged {
                sliding: Sliding::new(layout),
                verdicts: Verdicts::new(&reviewed.baseline),
                past: VecDeque::new(),
                windows: 0,
            }),
            halting: Mutex::new(Halting {
                schema_id,
                ..Halting::default()
            }),
            quarantine: Mutex::default(),
            is_quarantined: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
        }
    }

    /// Bytes that one takes, with what so many workers have of it.
    fn size(layout: &Layout, workers: usize) -> usize {
        let of_worker = Profiler::shared(layout, workers, 0, 0).size();
        let verdicts = 1024 + (512 + KEPT * size_of::<(f64, Option<f64>)>()) * layout.leaves.len();
        size_of::<Pair>()
            + verdicts
            + 2 * Window::part(layout).size()
            + Sliding::new(layout).size()
            + workers * of_worker
    }
}

impl Open {
    /// Ends the part, if it has its records, or has run for its time and says something. While the one before it waits to be
    /// compared, it goes on.
    fn ends(&mut self, now: i64, longest: i64) -> bool {
        let is_full = self.part.records >= PART as u64;
        let least = LEAST_VALUES.div_ceil(PARTS as u64);
        let is_over = now.saturating_sub(self.since) >= longest && self.part.records >= least;
        if !(is_full || is_over) {
            return false;
        }
        let Some(spare) = self.spare.take() else {
            return false;
        };
        self.full = Some(std::mem::replace(&mut self.part, spare));
        self.number += 1;
        self.since = now;
        true
    }
}

fn more_fields(count: usize) -> String {
    match count {
        1 => "1 more field".to_owned(),
        count => format!("{count} more fields"),
    }
}

/// Plain data: who panicked under the lock has left numbers that are a little off.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
