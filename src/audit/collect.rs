//! Reading for an audit: commits, the ledger, sources, retries, dead letters and sinks. Input: a pipeline and a scope. Output:
//! what was found, by source partition, and what of it cannot be compared.
//!
//! The order makes it work while instances run. First the commits: outcomes of everything below them are acknowledged. Then
//! the ends of the topics, those of the retry topics last, so that no outcome comes from a retry that is not seen. What lies
//! behind a commit is in flight, and neither missing nor too much.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use super::chain;
use super::expired::{Front, Times, Witnesses};
use super::found::{Offsets, Stranger, print};
use super::judge::{Commit, Family, Seen, Side};
use super::verify::Again;
use super::{Bound, Progress, Scope, Verifier};
use crate::config::model::{Delivery, Kafka, Pipeline, Provenance, Step};
use crate::error::FatalError;
use crate::failure::envelope;
use crate::headers;
use crate::ingest::ledger::{Entry, Page, Ranges};
use crate::ingest::offsets::{Counts, ledger_begins};
use crate::quiet::UNSEEN;
use crate::record::{Outcome, Record};
use crate::scan::{HeldBack, Kept, PATIENCE, Place, Range, Scanner};
use crate::words::counted;

/// How much longer than its time-out a transaction may stay open: brokers look for those that are over every ten seconds.
const OVERDUE: Duration = Duration::from_secs(15);

/// How long an open transaction is waited for.
fn patience(pipeline: &Pipeline, scope: &Scope) -> Duration {
    let own = match &pipeline.delivery {
        Delivery::AtLeastOnce => PATIENCE,
        Delivery::ExactlyOnce(transaction) => PATIENCE.max(transaction.timeout + OVERDUE),
    };
    scope.wait.unwrap_or(own)
}

/// What was read.
pub(super) struct Collected {
    pub(super) families: Vec<Family>,
    pub(super) seen: Vec<Seen>,
    pub(super) notes: Vec<String>,
    /// Records in dead-letter topics that are nobody's.
    pub(super) foreign: BTreeMap<Place, Offsets>,
    /// Whether any outcome may be gone or not be shown yet; what retention takes is told by the families.
    pub(super) gaps: bool,
}

struct Collector<'a> {
    pipeline: &'a Pipeline,
    scope: &'a Scope,
    scanner: Rc<Scanner>,
    partitions: BTreeMap<String, i32>,
    kept: HashMap<String, Kept>,
    families: Vec<Family>,
    /// Family by source topic and partition.
    index: HashMap<Place, usize>,
    notes: Vec<String>,
    foreign: BTreeMap<Place, Offsets>,
    gaps: bool,
    /// Of shortened partitions with outcomes.
    witnesses: HashMap<Place, Witnesses>,
    /// What an open transaction hides.
    hidden: Vec<HeldBack>,
    /// Records found of each outcome, and in sinks those that name nothing of ours.
    outputs: Outputs,
    dead: u64,
    retried: u64,
}

#[derive(Default)]
struct Outputs {
    plain: u64,
    /// By how many of a set, and by index.
    parts: BTreeMap<(u32, u32), u64>,
    foreign: u64,
    unreadable: u64,
}

impl Outputs {
    /// How many records these are of, at the least: of a set that is written again, or being written, some are there more
    /// often than others.
    fn records(&self) -> u64 {
        let counts: BTreeSet<u32> = self.parts.keys().map(|(count, _)| *count).collect();
        let of = |count, index| self.parts.get(&(count, index)).copied().unwrap_or(0);
        let sets = counts.into_iter().map(|count| {
            let each = (0..count).map(|index| of(count, index));
            each.min().unwrap_or(0)
        });
        self.plain + sets.sum::<u64>()
    }
}

pub(super) fn collect(
    kafka: &Kafka,
    pipeline: &Pipeline,
    others: &[Pipeline],
    scope: &Scope,
    verifier: Option<&Verifier>,
    progress: &mut dyn Progress,
) -> Result<Collected, FatalError> {
    let scanner = Scanner::new(kafka, "driftgate-audit", &pipeline.group)?
        .with_patience(patience(pipeline, scope));
    let mut topics = crate::ingest::topics::names(pipeline);
    topics.extend(crate::ingest::topics::former(pipeline));
    let partitions = scanner.partitions(&topics)?;
    topics.retain(|topic| partitions.contains_key(topic));
    let mut collector = Collector {
        pipeline,
        scope,
        partitions,
        kept: scanner.kept(&topics)?,
        scanner: Rc::new(scanner),
        families: Vec::new(),
        index: HashMap::new(),
        notes: Vec::new(),
        foreign: BTreeMap::new(),
        gaps: false,
        witnesses: HashMap::new(),
        hidden: Vec::new(),
        outputs: Outputs::default(),
        dead: 0,
        retried: 0,
    };
    collector.families()?;
    let before = collector.commits()?;
    collector.set_commits(&before);
    collector.bounds()?;
    let mut sinks = collector.ranges(&collector.sinks())?;
    let mut dead = collector.ranges(&collector.dead_letter_topics())?;
    let mut retries = collector.retry_ranges()?;
    let ledgers = collector.ranges(&collector.ledger_topics())?;
    let sources = collector.source_ranges();
    let all = [&ledgers, &sources, &retries, &dead, &sinks];
    let total = all.iter().flat_map(|ranges| ranges.iter());
    progress.total(
        total
            .map(|range| u64::try_from(range.to - range.from).unwrap_or(0))
            .sum(),
    );
    collector.read_ledger(&ledgers, progress)?;
    collector.read_sources(&sources, verifier, progress)?;
    collector.read_retries(&retries, progress)?;
    collector.shorten(&mut retries)?;
    collector.retry_fronts(&retries);
    collector.read_dead_letters(&dead, progress)?;
    collector.read_sinks(&sinks, verifier.is_some(), progress)?;
    collector.shorten(&mut dead)?;
    collector.shorten(&mut sinks)?;
    collector.fronts(&dead, &sinks);
    let gone = [&sinks, &dead, &retries].map(|ranges| collector.whole(ranges));
    let after = collector.commits()?;
    let seen = collector.seen((&before, &after), others, gone);
    Ok(Collected {
        families: collector.families,
        seen,
        notes: collector.notes,
        foreign: collector.foreign,
        gaps: collector.gaps,
    })
}

/// When an entry of the ledger was written, and what had been taken by then.
type Written = (i64, Option<i64>);

type Commits = HashMap<Place, crate::scan::Committed>;

impl Collector<'_> {
    fn sources(&self) -> Vec<String> {
        let all = self.pipeline.source_topics.iter();
        all.filter(|source| {
            self.scope
                .topic
                .as_ref()
                .is_none_or(|topic| topic == *source)
        })
        .cloned()
        .collect()
    }

    fn retry_topics(&self, source: &str) -> Vec<String> {
        let former = self.pipeline.former_retry_topics(source);
        let former = former.map(|(_, topic)| topic);
        (1..=self.pipeline.failure.tiers.len())
            .map(|tier| self.pipeline.retry_topic(source, tier))
            .chain(former.filter(|topic| self.partitions.contains_key(topic)))
            .collect()
    }

    fn dead_letter_topics(&self) -> Vec<String> {
        let sources = self.sources();
        let all = sources
            .iter()
            .map(|source| self.pipeline.dead_letter_topic(source));
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn ledger_topics(&self) -> Vec<String> {
        let sources = self.sources();
        let all = sources
            .iter()
            .filter_map(|source| self.pipeline.ledger_topic(source));
        all.collect()
    }

    fn sinks(&self) -> Vec<String> {
        let all = self
            .pipeline
            .sinks()
            .into_iter()
            .map(|sink| sink.topic.clone());
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// One family for each source partition of the scope.
    fn families(&mut self) -> Result<(), FatalError> {
        for source in self.sources() {
            let Some(count) = self.partitions.get(&source).copied() else {
                return Err(FatalError::Topics(format!(
                    "source topic {source} does not exist, {UNSEEN}"
                )));
            };
            for number in 0..count {
                if self.scope.partition.is_some_and(|only| only != number) {
                    continue;
                }
                let side = |topic: &str| Side {
                    topic: topic.to_owned(),
                    partition: number,
                    compacted: self.kept.get(topic).is_some_and(|kept| kept.compacted),
                    ..Side::default()
                };
                let retries = self.retry_topics(&source);
                let there = |topic: &&String| {
                    let count = self.partitions.get(*topic);
                    count.is_some_and(|count| *count > number)
                };
                let family = Family {
                    source: side(&source),
                    retries: retries
                        .iter()
                        .filter(there)
                        .map(|topic| side(topic))
                        .collect(),
                    ..Family::default()
                };
                self.index
                    .insert((source.clone(), number), self.families.len());
                self.families.push(family);
            }
        }
        match (self.families.is_empty(), self.scope.partition) {
            (true, Some(partition)) => Err(FatalError::Topics(format!(
                "no source topic of the pipeline has a partition {partition}"
            ))),
            _ => Ok(()),
        }
    }

    fn sides(&self) -> impl Iterator<Item = &Side> {
        let families = self.families.iter();
        families.flat_map(|family| std::iter::once(&family.source).chain(&family.retries))
    }

    fn commits(&self) -> Result<Commits, FatalError> {
        let places: Vec<Place> = self
            .sides()
            .map(|side| (side.topic.clone(), side.partition))
            .collect();
        self.scanner.committed(&places)
    }

    fn set_commits(&mut self, commits: &Commits) {
        for family in &mut self.families {
            for side in std::iter::once(&mut family.source).chain(&mut family.retries) {
                let commit = commits.get(&(side.topic.clone(), side.partition));
                side.commit = commit.map(|commit| Commit {
                    offset: commit.offset,
                    counts: Counts::from_metadata(&commit.metadata),
                    begins: ledger_begins(&commit.metadata),
                });
            }
        }
    }

    /// What is looked at of each partition.
    fn bounds(&mut self) -> Result<(), FatalError> {
        let places: Vec<Place> = self
            .families
            .iter()
            .map(|family| (family.source.topic.clone(), family.source.partition))
            .collect();
        let at = |bound: Option<Bound>| -> Result<HashMap<Place, i64>, FatalError> {
            match bound {
                Some(Bound::Time(time)) => self.scanner.at_time(&places, time),
                Some(Bound::Offset(offset)) => {
                    let all = places.iter().cloned();
                    Ok(all.map(|place| (place, offset)).collect())
                }
                None => Ok(HashMap::new()),
            }
        };
        let (from, to) = (at(self.scope.from)?, at(self.scope.to)?);
        for family in &mut self.families {
            for side in std::iter::once(&mut family.source).chain(&mut family.retries) {
                (side.low, side.end) = self.scanner.watermarks(&side.topic, side.partition)?;
                let committed = side.commit.map_or(side.low, |commit| commit.offset);
                (side.from, side.to) = (side.low, committed);
            }
            let side = &mut family.source;
            let place = (side.topic.clone(), side.partition);
            let from = from.get(&place).copied().unwrap_or(side.low);
            let to = to.get(&place).copied().unwrap_or(side.to);
            side.from = from.max(side.low);
            side.to = to.min(side.to).max(side.from);
        }
        Ok(())
    }

    /// All of these topics; of those with partitions like the source's, only what the scope has.
    fn ranges(&self, topics: &[String]) -> Result<Vec<Range>, FatalError> {
        let sinks = self.sinks();
        let mut ranges = Vec::new();
        for topic in topics {
            if !self.partitions.contains_key(topic) {
                return Err(FatalError::Topics(format!(
                    "topic {topic} does not exist, {UNSEEN}: an instance of the pipeline makes it when it starts, or whoever creates topics here"
                )));
            }
            for number in 0..self.partitions.get(topic).copied().unwrap_or(0) {
                let ours =
                    sinks.contains(topic) || self.scope.partition.is_none_or(|only| only == number);
                if ours {
                    let (from, to) = self.scanner.watermarks(topic, number)?;
                    ranges.push(Range {
                        topic: topic.clone(),
                        partition: number,
                        from,
                        to,
                    });
                }
            }
        }
        Ok(ranges)
    }

    fn retry_ranges(&mut self) -> Result<Vec<Range>, FatalError> {
        let mut ranges = Vec::new();
        for family in &mut self.families {
            for side in &mut family.retries {
                (side.low, side.end) = self.scanner.watermarks(&side.topic, side.partition)?;
                ranges.push(Range {
                    topic: side.topic.clone(),
                    partition: side.partition,
                    from: side.low,
                    to: side.end,
                });
            }
        }
        Ok(ranges)
    }

    fn source_ranges(&self) -> Vec<Range> {
        let families = self.families.iter();
        families
            .map(|Family { source, .. }| Range {
                topic: source.topic.clone(),
                partition: source.partition,
                from: source.from,
                to: source.to,
            })
            .collect()
    }

    /// Reads ranges; what of them may be missing becomes a note.
    fn scan(
        &mut self,
        ranges: &[Range],
        progress: &mut dyn Progress,
        mut take: impl FnMut(&mut Self, &Record<'_>, bool),
    ) -> Result<(), FatalError> {
        let scanner = Rc::clone(&self.scanner);
        let result = scanner.read(
            ranges,
            &mut |offsets| progress.advance(offsets),
            &mut |record, log_append| take(self, record, log_append),
        );
        for held in result? {
            self.gaps = true;
            self.notes.push(format!(
                "{}-{}: an open transaction hides everything from offset {} on; nothing behind it could be counted",
                held.topic, held.partition, held.at
            ));
            self.hidden.push(held);
        }
        Ok(())
    }

    /// Why what is found in these topics says less than there is, where an open transaction hides a part of it.
    fn hides(&self, topics: &[String]) -> Option<String> {
        let mut hidden = self.hidden.iter();
        let held = hidden.find(|held| topics.contains(&held.topic))?;
        Some(format!(
            "an open transaction hides a part of {}-{}",
            held.topic, held.partition
        ))
    }

    /// Says of topics with outcomes whether some may be gone.
    fn whole(&mut self, ranges: &[Range]) -> Option<String> {
        let mut why = None;
        let topics: BTreeSet<&str> = ranges.iter().map(|range| range.topic.as_str()).collect();
        for topic in topics {
            if self.kept.get(topic).is_some_and(|kept| kept.compacted) {
                // Any of them may be, old or new.
                self.gaps = true;
                why = Some(format!("{topic} is compacted"));
            }
            let mut of_topic = ranges.iter().filter(|range| range.topic == topic);
            if let Some(range) = of_topic.find(|range| range.from > 0) {
                let at = range.from;
                why = Some(format!(
                    "{topic}-{} begins at offset {at} by now (retention)",
                    range.partition
                ));
            }
        }
        if let Some(why) = &why {
            self.notes
                .push(format!("{why}: outcomes may be gone from it"));
        }
        why
    }

    /// Ranges that begin where their partitions do by now: while they were read, more may have been deleted.
    fn shorten(&self, ranges: &mut [Range]) -> Result<(), FatalError> {
        for range in ranges {
            let (low, _) = self.scanner.watermarks(&range.topic, range.partition)?;
            range.from = range.from.max(low);
        }
        Ok(())
    }

    /// What is gone from retry partitions. What a later entry leads beyond had been written by then, so that nobody has to be
    /// left who says so.
    fn retry_fronts(&mut self, ranges: &[Range]) {
        let lows: HashMap<(&str, i32), i64> = ranges
            .iter()
            .map(|range| ((range.topic.as_str(), range.partition), range.from))
            .collect();
        for family in &mut self.families {
            let sides = family.retries.iter();
            let fronts = sides.map(|side| {
                let low = lows.get(&(side.topic.as_str(), side.partition));
                let low = low.copied().unwrap_or(side.low);
                Front::of(low, |low| side.times.below(low))
            });
            family.retried = fronts.fold(Front::Whole, Front::and);
        }
    }

    /// What is gone from dead-letter topics and sinks.
    fn fronts(&mut self, dead: &[Range], sinks: &[Range]) {
        let front = |range: &Range| {
            let place = (range.topic.clone(), range.partition);
            let witnesses = self.witnesses.get(&place);
            Front::of(range.from, |low| witnesses?.before(low))
        };
        // Nobody can tell beforehand which of them a record goes to.
        let gone = sinks.iter().map(front).fold(Front::Whole, Front::and);
        let dead: HashMap<(&str, i32), Front> = dead
            .iter()
            .map(|range| ((range.topic.as_str(), range.partition), front(range)))
            .collect();
        for family in &mut self.families {
            let topic = self.pipeline.dead_letter_topic(&family.source.topic);
            let front = dead.get(&(topic.as_str(), family.source.partition));
            family.dead = front.copied().unwrap_or(Front::Unknown);
            family.sinks = gone;
        }
    }

    /// Looks for witnesses in those of these partitions that are shortened.
    fn watch_fronts(&mut self, ranges: &[Range]) {
        if !self.header() {
            return;
        }
        for range in ranges.iter().filter(|range| range.from > 0) {
            let place = (range.topic.clone(), range.partition);
            self.witnesses.entry(place).or_default();
        }
    }

    /// Notes by when an outcome of `offset` had been written, which its topic still has.
    fn witness(&mut self, record: &Record<'_>, appended: bool, of: Option<(usize, i64, Outcome)>) {
        if self.witnesses.is_empty() {
            return;
        }
        let place = (record.topic.to_owned(), record.partition);
        let Some(witnesses) = self.witnesses.get_mut(&place) else {
            return;
        };
        let exactly_once = matches!(self.pipeline.delivery, Delivery::ExactlyOnce(_));
        let time = match (appended, of) {
            (true, _) => record.timestamp,
            (false, None) => None,
            (false, Some((index, offset, outcome))) => self
                .families
                .get(index)
                .filter(|family| family.ends_at_once(offset, outcome, exactly_once))
                .and_then(|family| family.source.times.until(offset)),
        };
        if let Some(time) = time {
            witnesses.add(record.offset, time);
        }
    }

    fn read_ledger(
        &mut self,
        ranges: &[Range],
        progress: &mut dyn Progress,
    ) -> Result<(), FatalError> {
        let mut pages: HashMap<Place, (Vec<Page>, Vec<Written>)> = HashMap::new();
        let mut unreadable = Vec::new();
        self.scan(ranges, progress, |_, record, _| {
            match record.value.and_then(Entry::from_json) {
                Some(entry) => {
                    let (pages, written) = pages.entry((entry.topic, entry.partition)).or_default();
                    pages.push(entry.page);
                    written.push((entry.time, entry.taken));
                }
                None => {
                    let place = (record.topic, record.partition, record.offset);
                    unreadable.push(format!("{}-{}@{}", place.0, place.1, place.2));
                }
            }
        })?;
        if let Some(first) = unreadable.first() {
            let count = unreadable.len();
            self.notes.push(format!(
                "{} of the ledger of another version, or by somebody else, the first at {first}",
                counted(count, "record")
            ));
        }
        if let Some(range) = ranges.iter().find(|range| range.from > 0) {
            let at = range.from;
            self.notes.push(format!(
                "{}-{} begins at offset {at} by now (retention): older entries are gone",
                range.topic, range.partition
            ));
        }
        let trimmed = ranges.iter().any(|range| range.from > 0);
        for family in &mut self.families {
            let ledger = self.pipeline.ledger_topic(&family.source.topic);
            let is_hidden = |held: &HeldBack| {
                Some(&held.topic) == ledger.as_ref() && held.partition == family.source.partition
            };
            let is_hidden = self.hidden.iter().any(is_hidden);
            for side in std::iter::once(&mut family.source).chain(&mut family.retries) {
                let place = (side.topic.clone(), side.partition);
                let (all, written) = pages.remove(&place).unwrap_or_default();
                side.is_hidden = is_hidden;
                if let Some(commit) = &mut side.commit {
                    side.chain = chain::lead(&all, commit.offset, commit.counts);
                    let which = side.chain.which.iter();
                    let led = side.chain.pages.iter().zip(which);
                    side.times = Times::of(led.filter_map(|(page, which)| {
                        let (time, taken) = written.get(*which)?;
                        Some((page, *time, *taken))
                    }));
                    if trimmed {
                        // Where it begins is not where it began.
                        commit.begins = commit.begins.and_then(|_| side.chain.begins());
                    }
                }
            }
            // What ended without an output, by the ledger of the source partition.
            for page in &family.source.chain.pages {
                for (outcome, ranges) in page.silent.iter().flatten() {
                    for offset in ranges.iter().cloned().flatten() {
                        family.found.silent.add(offset);
                        if stands_behind(outcome) {
                            family.found.outrun.insert(offset);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether key and timestamp of an output are those of its source.
    fn carried(&self) -> (bool, bool) {
        let steps = self.pipeline.prepare.iter().chain(&self.pipeline.transform);
        let (mut key, mut time) = (true, true);
        for step in steps {
            match step {
                Step::Key(_) => key = false,
                Step::Timestamp(_) => time = false,
                _ => {}
            }
        }
        let own = self.sinks().iter().any(|sink| {
            let kept = self.kept.get(sink);
            kept.is_some_and(|kept| kept.log_append_time)
        });
        (key, time && !own)
    }

    fn header(&self) -> bool {
        self.pipeline.provenance == Provenance::Header
    }

    fn read_sources(
        &mut self,
        ranges: &[Range],
        verifier: Option<&Verifier>,
        progress: &mut dyn Progress,
    ) -> Result<(), FatalError> {
        let (keyed, timed) = self.carried();
        let header = self.header();
        let mut again = verifier.map(Again::new);
        // With the outputs' own timestamps, by which a `timestamp` step says so; not where the broker sets them.
        let stamped = self.stamped();
        self.scan(ranges, progress, |this, record, _| {
            let place = (record.topic.to_owned(), record.partition);
            let Some(index) = this.index.get(&place) else {
                return;
            };
            let found = &mut this.families[*index].found;
            found.universe.insert(record.offset);
            match &mut again {
                Some(again) => again.note(record, stamped, found),
                None if header && (keyed || timed) => {
                    let print = carried_print(record, keyed, timed);
                    found.prints.set(record.offset, 0, print);
                }
                None => {}
            }
        })
    }

    /// Whether brokers leave the timestamps of outputs as they are.
    fn stamped(&self) -> bool {
        let sinks = self.sinks();
        let kept = sinks.iter().filter_map(|sink| self.kept.get(sink));
        !kept.into_iter().any(|kept| kept.log_append_time)
    }

    fn read_retries(
        &mut self,
        ranges: &[Range],
        progress: &mut dyn Progress,
    ) -> Result<(), FatalError> {
        let mut homes: HashMap<Place, (usize, usize)> = HashMap::new();
        for (index, family) in self.families.iter().enumerate() {
            for (tier, side) in family.retries.iter().enumerate() {
                homes.insert((side.topic.clone(), side.partition), (index, tier));
            }
        }
        self.scan(ranges, progress, |this, record, _| {
            let Some((index, tier)) = homes.get(&(record.topic.to_owned(), record.partition))
            else {
                return;
            };
            let family = &mut this.families[*index];
            let side = &mut family.retries[*tier];
            side.universe.insert(record.offset);
            if record.header(headers::CONTROL).is_some() {
                // No record of the source, and written as a part of another one's outcome. From then on it hops.
                this.retried += u64::from(envelope::has_hopped(record));
                return;
            }
            let named = source_of(record)
                .filter(|(topic, number, _)| {
                    (*topic, *number) == (family.source.topic.as_str(), family.source.partition)
                })
                .map(|(_, _, offset)| offset);
            let Some(offset) = named else {
                side.foreign.insert(record.offset);
                return;
            };
            let is_sent_back = envelope::is_sent_back(record);
            this.retried += u64::from(!is_sent_back);
            let found = &mut family.found;
            let redriven: u32 = number(record, headers::REDRIVEN).unwrap_or(0);
            if redriven > 0 {
                let entry = found.redriven.entry(offset).or_default();
                entry.times = entry.times.max(redriven);
                entry.sent += u32::from(is_sent_back);
            } else {
                found.retried.add(offset);
            }
            let committed = side.commit.map_or(side.low, |commit| commit.offset);
            if record.offset >= committed {
                found.pending.insert(offset);
                return;
            }
            let page = side.chain.page_of(record.offset);
            match page.and_then(|page| page.silent.as_ref()) {
                None => drop(found.blind.insert(offset)),
                Some(silent) => {
                    let is_in = |ranges: &Ranges| {
                        let mut ranges = ranges.iter();
                        ranges.any(|range| range.contains(&record.offset))
                    };
                    let mut behind = silent.iter().filter(|(outcome, _)| stands_behind(outcome));
                    if behind.any(|(_, ranges)| is_in(ranges)) {
                        found.outrun.insert(offset);
                    }
                    if silent.values().any(is_in) {
                        match found.redriven.get_mut(&offset).filter(|_| redriven > 0) {
                            Some(entry) => entry.silent += 1,
                            None => found.silent.add(offset),
                        }
                    }
                }
            }
        })
    }

    fn read_dead_letters(
        &mut self,
        ranges: &[Range],
        progress: &mut dyn Progress,
    ) -> Result<(), FatalError> {
        self.watch_fronts(ranges);
        self.scan(ranges, progress, |this, record, appended| {
            let of = this.is_dead_letter_of(record);
            this.witness(record, appended, of);
            let group = record.header(headers::GROUP);
            let source = source_of(record);
            let (Some(group), Some((topic, partition, offset))) = (group, source) else {
                let place = (record.topic.to_owned(), record.partition);
                let foreign = this.foreign.entry(place).or_default();
                foreign.insert(record.offset);
                return;
            };
            // Several pipelines may share the topic.
            if group != this.pipeline.group.as_bytes() {
                return;
            }
            let Some(index) = this.index.get(&(topic.to_owned(), partition)) else {
                return;
            };
            this.dead += 1;
            let found = &mut this.families[*index].found;
            match number::<u32>(record, headers::REDRIVEN).unwrap_or(0) {
                0 => found.dead.add(offset),
                times => {
                    let entry = found.redriven.entry(offset).or_default();
                    entry.times = entry.times.max(times);
                    entry.dead += 1;
                }
            }
        })
    }

    /// Whose dead letter of this pipeline's a record is, from before a redrive; asked where it may be a witness.
    fn is_dead_letter_of(&self, record: &Record<'_>) -> Option<(usize, i64, Outcome)> {
        let group = record.header(headers::GROUP)?;
        let is_ours = group == self.pipeline.group.as_bytes() && !self.witnesses.is_empty();
        let is_first = number::<u32>(record, headers::REDRIVEN).unwrap_or(0) == 0;
        let (topic, partition, offset) = source_of(record).filter(|_| is_ours && is_first)?;
        let index = self.index.get(&(topic.to_owned(), partition))?;
        Some((*index, offset, Outcome::DeadLettered))
    }

    fn read_sinks(
        &mut self,
        ranges: &[Range],
        verified: bool,
        progress: &mut dyn Progress,
    ) -> Result<(), FatalError> {
        let header = self.header();
        let (keyed, timed) = self.carried();
        let stamped = self.stamped();
        self.watch_fronts(ranges);
        self.scan(ranges, progress, |this, record, appended| {
            let of = record
                .header(headers::SOURCE)
                .filter(|_| !this.witnesses.is_empty())
                .and_then(position);
            let of = of.and_then(|(topic, partition, offset)| {
                let index = this.index.get(&(topic.to_owned(), partition))?;
                Some((*index, offset, Outcome::Emitted))
            });
            this.witness(record, appended, of);
            let part = match (
                number(record, headers::INDEX),
                number(record, headers::COUNT),
            ) {
                (Some(index), Some(count)) if index < count && count <= MOST_PARTS => {
                    Some((index, count))
                }
                (None, None) => None,
                _ => {
                    this.outputs.unreadable += 1;
                    None
                }
            };
            let mut count = || match part {
                None => this.outputs.plain += 1,
                Some((index, of)) => *this.outputs.parts.entry((of, index)).or_default() += 1,
            };
            if !header {
                return count();
            }
            let named = record.header(headers::SOURCE).and_then(position);
            let place = named.map(|(topic, partition, _)| (topic.to_owned(), partition));
            let (Some((topic, _, offset)), Some(place)) = (named, place) else {
                this.outputs.foreign += 1;
                return;
            };
            let Some(index) = this.index.get(&place).copied() else {
                // Of a source topic or partition that is not looked at, or of another pipeline.
                this.outputs.foreign +=
                    u64::from(!this.pipeline.source_topics.iter().any(|one| one == topic));
                return;
            };
            count();
            let found = &mut this.families[index].found;
            found.output(offset, part);
            let index = part.map_or(0, |(index, _)| index);
            let (expected, print) = match verified {
                true => {
                    let time = record.timestamp.map(i64::to_be_bytes);
                    let time = time.as_ref().map(<[u8; 8]>::as_slice);
                    let print = print(&[record.key, time.filter(|_| stamped), record.value]);
                    (found.prints.get(offset, index), print)
                }
                false => (
                    found.prints.get(offset, 0),
                    carried_print(record, keyed, timed),
                ),
            };
            if expected.is_some_and(|expected| expected != print) {
                let at = format!("{}-{}@{}", record.topic, record.partition, record.offset);
                found.stranger(Stranger {
                    at,
                    names: offset,
                    print,
                });
            }
        })?;
        if self.outputs.foreign > 0 {
            let count = self.outputs.foreign;
            self.notes.push(format!(
                "{} in the sinks without the name of a record of this pipeline: others write there too, or they are older than \
                 `provenance: header`",
                counted(count, "record")
            ));
        }
        if self.outputs.unreadable > 0 {
            let count = self.outputs.unreadable;
            self.notes.push(format!(
                "{} in the sinks with a driftgate.index or driftgate.count that cannot be",
                counted(count, "record")
            ));
        }
        Ok(())
    }

    /// Counts against what was found.
    fn seen(
        &self,
        (before, after): (&Commits, &Commits),
        others: &[Pipeline],
        gone: [Option<String>; 3],
    ) -> Vec<Seen> {
        let sum = |commits: &Commits, outcome| -> u64 {
            let all = commits.values();
            all.filter_map(|commit| Counts::from_metadata(&commit.metadata))
                .map(|counts| counts.of(outcome))
                .sum()
        };
        let part = self.scope.is_part();
        let sinks = self.sinks();
        let dead = self.dead_letter_topics();
        let retries: Vec<String> = self
            .sources()
            .iter()
            .flat_map(|source| self.retry_topics(source))
            .collect();
        let ranged = self.scope.from.is_some() || self.scope.to.is_some();
        let range = ranged.then(|| "only a part of the offsets is looked at".to_owned());
        let shared = |sink: &String| {
            self.scope.shared_sinks.contains(sink)
                || others
                    .iter()
                    .filter(|other| other.name != self.pipeline.name)
                    .any(|other| other.sinks().iter().any(|theirs| theirs.topic == *sink))
        };
        let many = sinks.iter().find(|sink| shared(sink));
        let many = many.map(|sink| format!("others write to {sink} as well"));
        let foreign = many.filter(|_| !self.header());
        let some =
            (part && !self.header()).then(|| "only a part of the pipeline is looked at".to_owned());
        let [gone_sinks, gone_dead, gone_retries] = gone;
        let line = |outcome, topics: Vec<String>, found, why| Seen {
            outcome: Some(outcome),
            topics,
            before: sum(before, outcome),
            after: sum(after, outcome),
            found,
            why,
        };
        let emitted = self.outputs.records();
        let hidden = self.hides(&sinks);
        let why = range.clone().or(foreign).or(some).or(gone_sinks).or(hidden);
        let mut seen = vec![line(Outcome::Emitted, sinks, emitted, why)];
        if !retries.is_empty() {
            let hidden = self.hides(&retries);
            let why = range.clone().or(gone_retries).or(hidden);
            seen.push(line(Outcome::Retried, retries, self.retried, why));
        }
        let why = range.or(gone_dead).or_else(|| self.hides(&dead));
        seen.push(line(Outcome::DeadLettered, dead, self.dead, why));
        seen
    }
}

impl Family {
    /// Whether a record came to this outcome when it was read from its source, and never went to a retry topic.
    fn ends_at_once(&self, offset: i64, outcome: Outcome, exactly_once: bool) -> bool {
        let found = &self.found;
        if found.retried.once.contains(offset) || found.redriven.contains_key(&offset) {
            return false;
        }
        // Its retry would still be there.
        if self.retried.keeps(self.source.times.since(offset)) {
            return true;
        }
        // Or there was none: but what was done twice over a crash may have gone one way each time.
        let page = self.source.chain.page_of(offset);
        exactly_once
            && page.is_some_and(|page| {
                let of = |outcome| page.delta.of(outcome);
                let is_dead = outcome == Outcome::DeadLettered;
                of(Outcome::Retried) == 0 && (is_dead || of(Outcome::DeadLettered) == 0)
            })
    }
}

/// More outputs of one record than any worker makes.
const MOST_PARTS: u32 = 1_000_000;

/// What an output has of its source record: key and timestamp.
fn carried_print(record: &Record<'_>, keyed: bool, timed: bool) -> u32 {
    let time = record.timestamp.map(i64::to_be_bytes);
    let time = time.as_ref().map(<[u8; 8]>::as_slice);
    print(&[record.key.filter(|_| keyed), time.filter(|_| timed)])
}

fn number<T: std::str::FromStr>(record: &Record<'_>, name: &str) -> Option<T> {
    std::str::from_utf8(record.header(name)?).ok()?.parse().ok()
}

/// Where a retry or a dead letter comes from.
fn source_of<'r>(record: &'r Record<'_>) -> Option<(&'r str, i32, i64)> {
    let topic = std::str::from_utf8(record.header(headers::SOURCE_TOPIC)?).ok()?;
    let partition = number(record, headers::SOURCE_PARTITION)?;
    Some((topic, partition, number(record, headers::SOURCE_OFFSET)?))
}

/// `topic-partition@offset`
fn position(text: &[u8]) -> Option<(&str, i32, i64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (place, offset) = text.rsplit_once('@')?;
    let (topic, partition) = place.rsplit_once('-')?;
    Some((topic, partition.parse().ok()?, offset.parse().ok()?))
}

/// Whether a record of that outcome is a copy of another one, or older.
fn stands_behind(outcome: &str) -> bool {
    [Outcome::Duplicate, Outcome::Stale]
        .iter()
        .any(|one| one.as_str() == outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_from_behind() {
        assert_eq!(position(b"a-b-3@17"), Some(("a-b", 3, 17)));
        for text in ["a-3", "a@17", "a-x@17", "a-3@", ""] {
            assert_eq!(position(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn outputs_are_counted_as_the_records_that_they_are_of() {
        let mut outputs = Outputs {
            plain: 3,
            ..Outputs::default()
        };
        for (part, count) in [((2, 0), 5), ((2, 1), 4), ((3, 0), 1)] {
            outputs.parts.insert(part, count);
        }
        assert_eq!(outputs.records(), 3 + 4);
    }
}
