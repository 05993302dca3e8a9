//! The ledger: the history of a partition's outcome counts, one small record in `<source>.<group>.ledger` for each commit
//! that moves a partition. Input: outcomes in offset order. Output: pages, and the records that they are written as.
//!
//! An entry says: from this offset (the one where the entry before it ended) up to that one (the next to read), so many
//! records ended so. `counts` are the sums since the group began with the partition, the very ones that the commit of `to`
//! carries in its metadata. An entry is acknowledged before its offset is committed, so after a crash there may be one whose
//! commit never happened; whoever reads the ledger goes back from the committed offset, entry by entry, and leaves those
//! aside that do not lead there.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::offsets::Counts;
use crate::record::Outcome;

/// Names the layout of an entry. Another one is another layout.
pub const LAYOUT: &str = "driftgate.ledger/1";

/// The most ranges of one page. An entry stays far below what any topic takes, and a commit of more becomes several.
const MOST_RANGES: usize = 4096;

/// The outcomes that leave nothing in any topic.
pub const SILENT: [Outcome; 3] = [Outcome::Filtered, Outcome::Duplicate, Outcome::Stale];

/// Offsets in ascending order, neighbours put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range<i64>>);

impl Ranges {
    /// Adds an offset above all that are there.
    pub fn push(&mut self, offset: i64) {
        match self.0.last_mut() {
            Some(last) if last.end == offset => last.end += 1,
            _ => self.0.push(offset..offset + 1),
        }
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Range<i64>> {
        self.0.iter()
    }

    /// How many offsets there are.
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .map(|range| u64::try_from(range.end - range.start).unwrap_or(0))
            .sum()
    }

    /// `0,3-7`: relative to `from`, both ends included.
    fn write(&self, from: i64) -> String {
        let texts = self.0.iter().map(|range| {
            let (first, last) = (range.start - from, range.end - 1 - from);
            match first == last {
                true => first.to_string(),
                false => format!("{first}-{last}"),
            }
        });
        texts.collect::<Vec<_>>().join(",")
    }

    /// What [`Self::write`] wrote, where it lies within `from..to` and in order.
    fn read(text: &str, from: i64, to: i64) -> Option<Ranges> {
        let mut ranges = Vec::new();
        let mut end = from;
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let start = from.checked_add(first.parse().ok()?)?;
            let stop = from.checked_add(last.parse().ok()?)?.checked_add(1)?;
            if start < end || stop <= start || stop > to {
                return None;
            }
            ranges.push(start..stop);
            end = stop;
        }
        Some(Ranges(ranges))
    }
}

/// What ended without an output, by outcome.
pub type Silent = BTreeMap<&'static str, Ranges>;

/// A stretch of a partition: what one entry tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// First offset: where the page before it ended.
    pub from: i64,
    /// Next offset to read behind it.
    pub to: i64,
    /// Outcomes since the group began, up to `to`.
    pub counts: Counts,
    /// Outcomes of this stretch.
    pub delta: Counts,
    /// Offsets that ended without an output, by outcome; `None` unless the provenance is `header`.
    pub silent: Option<Silent>,
}

/// Keeps the pages of a partition that are not written yet.
#[derive(Debug, Clone)]
pub struct Book {
    names_silent: bool,
    begins: Option<i64>,
    from: Option<i64>,
    to: i64,
    base: Counts,
    counts: Counts,
    silent: Silent,
    ranges: usize,
    full: Vec<Page>,
}

impl Book {
    /// A book that goes on from the committed offset, or, without one, from the first record. `counts` are the outcomes
    /// below; `begins` is where the ledger does, if it is older than this book.
    pub fn new(
        start: Option<i64>,
        counts: Counts,
        begins: Option<i64>,
        names_silent: bool,
    ) -> Book {
        Book {
            names_silent,
            begins: begins.or(start),
            from: start,
            to: start.unwrap_or(0),
            base: counts,
            counts,
            silent: Silent::new(),
            ranges: 0,
            full: Vec::new(),
        }
    }

    /// Back to where the last entry ended: nothing since is to be told. `written`: there is an entry, or a commit.
    pub fn restart(&mut self, offset: i64, counts: Counts, written: bool) {
        let begins = self.begins.filter(|_| written);
        *self = Book::new(written.then_some(offset), counts, begins, self.names_silent);
    }

    /// The record at `offset` ended, and everything below it; `counts` include it.
    pub fn add(&mut self, offset: i64, outcome: Outcome, counts: Counts) {
        self.from.get_or_insert(offset);
        self.begins.get_or_insert(offset);
        self.to = offset + 1;
        self.counts = counts;
        if self.names_silent && SILENT.contains(&outcome) {
            let ranges = self.silent.entry(outcome.as_str()).or_default();
            let before = ranges.0.len();
            ranges.push(offset);
            self.ranges += ranges.0.len() - before;
            if self.ranges >= MOST_RANGES {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let Some(from) = self.from.filter(|from| *from < self.to) else {
            return;
        };
        self.full.push(Page {
            from,
            to: self.to,
            counts: self.counts,
            delta: self.counts.since(self.base),
            silent: self.names_silent.then(|| std::mem::take(&mut self.silent)),
        });
        self.from = Some(self.to);
        self.base = self.counts;
        self.ranges = 0;
    }

    /// Whether it names what ended without an output.
    pub fn names_silent(&self) -> bool {
        self.names_silent
    }

    /// The first offset that the ledger tells of.
    pub fn begins(&self) -> Option<i64> {
        self.begins
    }

    /// The pages up to the last record that ended, and begins the next one there. None when nothing has moved.
    pub fn take(&mut self) -> Vec<Page> {
        self.close();
        std::mem::take(&mut self.full)
    }
}

/// A ledger record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Source or retry topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The stretch.
    pub page: Page,
    /// The group's member that wrote it.
    pub instance: String,
    /// When, in milliseconds since the epoch: everything below `to` had ended.
    pub time: i64,
    /// The next offset to be taken at that time: nothing from there on had an outcome of this instance's. `None` of an entry
    /// that was written before entries told of it.
    pub taken: Option<i64>,
}

/// As JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    layout: String,
    topic: String,
    partition: i32,
    from: i64,
    to: i64,
    counts: BTreeMap<String, u64>,
    delta: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    silent: Option<BTreeMap<String, String>>,
    instance: String,
    time: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken: Option<i64>,
}

fn written(counts: Counts) -> BTreeMap<String, u64> {
    let all = Outcome::ALL.into_iter();
    all.map(|outcome| (outcome.as_str().to_owned(), counts.of(outcome)))
        .collect()
}

fn read(counts: &BTreeMap<String, u64>) -> Option<Counts> {
    let known = |name: &str| Outcome::ALL.iter().any(|outcome| outcome.as_str() == name);
    if !counts.keys().all(|name| known(name)) {
        return None;
    }
    let of = |outcome: Outcome| counts.get(outcome.as_str()).copied().unwrap_or(0);
    Some(Counts::of_each(of))
}

impl Entry {
    /// The record's key: `topic-partition`.
    pub fn key(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }

    /// The record's value.
    pub fn to_json(&self) -> String {
        let page = &self.page;
        let texts = |silent: &Silent| {
            let all = silent.iter();
            all.map(|(name, ranges)| ((*name).to_owned(), ranges.write(page.from)))
                .collect()
        };
        let written = Written {
            layout: LAYOUT.to_owned(),
            topic: self.topic.clone(),
            partition: self.partition,
            from: page.from,
            to: page.to,
            counts: written(page.counts),
            delta: written(page.delta),
            silent: page.silent.as_ref().map(texts),
            instance: self.instance.clone(),
            time: self.time,
            taken: self.taken,
        };
        serde_json::to_string(&written).expect("texts and numbers are JSON")
    }

    /// Reads what [`Self::to_json`] wrote; `None` for anything else.
    pub fn from_json(value: &[u8]) -> Option<Entry> {
        let written: Written = serde_json::from_slice(value).ok()?;
        if written.layout != LAYOUT || written.from > written.to {
            return None;
        }
        let silent = match &written.silent {
            None => None,
            Some(named) => {
                let mut silent = Silent::new();
                for (name, ranges) in named {
                    let mut known = SILENT.into_iter();
                    let outcome = known.find(|outcome| outcome.as_str() == name)?;
                    let ranges = Ranges::read(ranges, written.from, written.to)?;
                    silent.insert(outcome.as_str(), ranges);
                }
                Some(silent)
            }
        };
        Some(Entry {
            topic: written.topic,
            partition: written.partition,
            page: Page {
                from: written.from,
                to: written.to,
                counts: read(&written.counts)?,
                delta: read(&written.delta)?,
                silent,
            },
            instance: written.instance,
            time: written.time,
            taken: written.taken,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(outcomes: &[Outcome]) -> Counts {
        let of = |outcome| outcomes.iter().filter(|other| **other == outcome).count() as u64;
        Counts::of_each(of)
    }

    fn named(page: &Page) -> &Silent {
        page.silent.as_ref().expect("provenance: header")
    }

    /// Adds outcomes at these offsets.
    fn add(book: &mut Book, base: Counts, ended: &[(i64, Outcome)]) {
        for index in 0..ended.len() {
            let so_far: Vec<_> = ended[..=index]
                .iter()
                .map(|(_, outcome)| *outcome)
                .collect();
            let counts = base.plus(counted(&so_far));
            book.add(ended[index].0, ended[index].1, counts);
        }
    }

    #[test]
    fn pages_follow_each_other_and_carry_the_sums() {
        use Outcome::{DeadLettered, Emitted, Filtered};
        let base = counted(&[Emitted, Emitted]);
        let mut book = Book::new(Some(10), base, None, true);
        assert_eq!(book.take(), []);
        add(
            &mut book,
            base,
            &[(10, Emitted), (12, Filtered), (13, Filtered)],
        );
        let pages = book.take();
        assert_eq!(pages.len(), 1);
        assert_eq!((pages[0].from, pages[0].to), (10, 14));
        assert_eq!(pages[0].delta, counted(&[Emitted, Filtered, Filtered]));
        let ranges: Vec<_> = named(&pages[0])["filtered"].iter().cloned().collect();
        assert_eq!((ranges.len(), ranges[0].clone()), (1, 12..14));
        let base = pages[0].counts;
        add(&mut book, base, &[(20, DeadLettered)]);
        let next = book.take();
        assert_eq!(
            (next[0].from, next[0].to),
            (14, 21),
            "a gap belongs to the page behind it"
        );
        assert_eq!(next[0].counts.since(next[0].delta), base);
        assert!(named(&next[0]).is_empty());
    }

    #[test]
    fn without_a_commit_the_first_record_begins_the_book() {
        let mut book = Book::new(None, Counts::default(), None, false);
        add(&mut book, Counts::default(), &[(7, Outcome::Filtered)]);
        let pages = book.take();
        assert_eq!(book.begins(), Some(7));
        assert_eq!((pages[0].from, pages[0].to), (7, 8));
        assert_eq!(pages[0].silent, None, "not with provenance: ledger");
    }

    #[test]
    fn a_page_of_too_many_ranges_is_closed_and_the_next_follows_it() {
        let mut book = Book::new(Some(0), Counts::default(), None, true);
        let ended: Vec<_> = (0..10_000).map(|n| (n * 2, Outcome::Stale)).collect();
        let mut counts = Counts::default();
        for (offset, outcome) in &ended {
            counts = counts.plus(counted(&[*outcome]));
            book.add(*offset, *outcome, counts);
        }
        let pages = book.take();
        assert_eq!(pages.len(), 3);
        assert!(pages.windows(2).all(|pair| pair[0].to == pair[1].from));
        let silent: u64 = pages.iter().map(|page| named(page)["stale"].count()).sum();
        assert_eq!((silent, pages[2].to), (10_000, 19_999));
        let entry = |page: &Page| Entry {
            topic: "orders".to_owned(),
            partition: 0,
            page: page.clone(),
            instance: "i".to_owned(),
            time: 0,
            taken: None,
        };
        assert!(
            pages
                .iter()
                .all(|page| entry(page).to_json().len() < 64 * 1024)
        );
    }

    #[test]
    fn an_entry_reads_back_as_it_was_written() {
        let mut silent = Silent::new();
        let mut ranges = Ranges::default();
        for offset in [100, 103, 104, 105, 199] {
            ranges.push(offset);
        }
        silent.insert("filtered", ranges);
        let entry = Entry {
            topic: "orders.gate.retry.1".to_owned(),
            partition: 3,
            page: Page {
                from: 100,
                to: 200,
                counts: counted(&[Outcome::Emitted, Outcome::Filtered]),
                delta: counted(&[Outcome::Filtered]),
                silent: Some(silent),
            },
            instance: "driftgate-1".to_owned(),
            time: 1_700_000_000_000,
            taken: Some(230),
        };
        let json = entry.to_json();
        insta::assert_snapshot!(json, @r#"{"layout":"driftgate.ledger/1","topic":"orders.gate.retry.1","partition":3,"from":100,"to":200,"counts":{"dead_lettered":0,"duplicate":0,"emitted":1,"filtered":1,"retried":0,"stale":0},"delta":{"dead_lettered":0,"duplicate":0,"emitted":0,"filtered":1,"retried":0,"stale":0},"silent":{"filtered":"0,3-5,99"},"instance":"driftgate-1","time":1700000000000,"taken":230}"#);
        let older = json.replace(",\"taken\":230", "");
        let untold = Entry {
            taken: None,
            ..entry.clone()
        };
        assert_eq!(Entry::from_json(older.as_bytes()), Some(untold));
        assert_eq!(Entry::from_json(json.as_bytes()), Some(entry));
        for (old, new) in [
            ("ledger/1", "ledger/2"),
            ("0,3-5,99", "0,3-5,100"),
            ("0,3-5,99", "3-5,0"),
            ("0,3-5,99", "x"),
            ("\"stale\"", "\"late\""),
            ("\"time\"", "\"hour\""),
            ("\"to\":200", "\"to\":99"),
        ] {
            let other = json.replace(old, new);
            assert_ne!(other, json);
            assert_eq!(Entry::from_json(other.as_bytes()), None, "{old} → {new}");
        }
    }
}
