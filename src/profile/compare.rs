//! A window against a baseline. Each test has a limit of its own: what is large by itself, more than the most unusual window
//! of the baseline was, and more than a window of this size comes to by chance. All three must be passed.
//!
//! A window that ended by its time has fewer records than those of the baseline. What varies by itself, by the hour or in
//! bursts, varies more in it, and its limits are wider by the root of how much smaller it is.

use super::WINDOW;
use super::layout::Layout;
use super::measure::hash;
use super::shape;
use super::window::{FieldWindow, Window};
use crate::config::baseline::{Baseline, Field, Measure, Numbers, Shares};
use crate::config::model::DriftAction;

/// Fewer values than this say nothing.
pub const LEAST_VALUES: u64 = 100;
/// A population stability index that is large by itself: the usual rule of thumb.
const PSI: f64 = 0.25;
/// A shift of a decile that is large by itself, as a part of the values.
const SHIFT: f64 = 0.2;
/// A part of nulls or defaults that is large by itself.
const SHARE: f64 = 0.01;
/// How much more than the most unusual window of the baseline.
const MARGIN: f64 = 1.5;
/// The same for nulls and defaults.
const SHARE_MARGIN: f64 = 2.0;
/// Standard deviations that chance is given.
const SIGMAS: f64 = 4.0;
/// A way to write days that was as good as never seen, and one that is there now.
const NEVER: f64 = 0.002;
/// How much of a window has to be in a form that was never seen.
const NOW: f64 = 0.05;
/// Seconds of a quarter of an hour, which all offsets between time zones are made of.
const QUARTER: f64 = 900.0;
/// How far from a whole quarter an offset may lie, and how much the age of records may vary in the baseline.
const SLACK: f64 = 120.0;
/// The widest offset between two time zones.
const WIDEST: f64 = 26.0 * 3_600.0;

/// What was tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// The part of nulls.
    Nulls,
    /// The part of defaults.
    Defaults,
    /// Which values there are.
    Values,
    /// Which formats.
    Formats,
    /// The order of day and month.
    DayMonth,
    /// Where the numbers lie.
    Numbers,
    /// How many values are different.
    Distinct,
    /// An offset of a time by whole quarters of an hour.
    TimeZone,
    /// Records a minute.
    Volume,
}

impl Test {
    /// All of them.
    pub const ALL: [Test; 9] = [
        Test::Nulls,
        Test::Defaults,
        Test::Values,
        Test::Formats,
        Test::DayMonth,
        Test::Numbers,
        Test::Distinct,
        Test::TimeZone,
        Test::Volume,
    ];

    /// Its word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Test::Nulls => "nulls",
            Test::Defaults => "defaults",
            Test::Values => "values",
            Test::Formats => "formats",
            Test::DayMonth => "day_month",
            Test::Numbers => "numbers",
            Test::Distinct => "distinct",
            Test::TimeZone => "time_zone",
            Test::Volume => "volume",
        }
    }
}

/// One thing that drifted.
#[derive(Debug, Clone, PartialEq)]
pub struct Drifted {
    /// The field; empty for the topic as a whole.
    pub path: String,
    /// What was tested.
    pub test: Test,
    /// What the window has.
    pub found: f64,
    /// What it may have.
    pub limit: f64,
    /// What the baseline says is to be done.
    pub then: DriftAction,
    /// What it is, for a person. Names values that the contract does not tag as personal.
    pub what: String,
}

impl Drifted {
    /// Test and figures, without any value: for logs and alerts.
    pub fn figures(&self) -> String {
        let (found, limit) = (short(self.found), short(self.limit));
        format!("{} {found}, limit {limit}", self.test.as_str())
    }
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Compared {
    /// What drifted, in the order of the baseline.
    pub drifted: Vec<Drifted>,
    /// Tests that were made, by the place of their field in the baseline.
    pub tests: Vec<(usize, Test)>,
    /// Fields of the baseline that the contract does not have.
    pub unknown: Vec<String>,
}

/// Compares.
pub fn compare(baseline: &Baseline, layout: &Layout, window: &Window) -> Compared {
    let mut compared = Compared::default();
    for (place, field) in baseline.fields.iter().enumerate() {
        match layout.find(&field.path) {
            None => compared.unknown.push(field.path.clone()),
            Some(index) => {
                let leaf = &layout.leaves[index];
                let mut test = Tester {
                    place,
                    field,
                    wider: wider(window.records),
                    found: &mut compared,
                };
                test.all(&leaf.symbols, leaf.personal, &window.fields[index]);
            }
        }
    }
    compared
}

/// How much wider the limits of a window are that has so many records.
fn wider(records: u64) -> f64 {
    (WINDOW as f64 / records.max(1) as f64).sqrt().max(1.0)
}

struct Tester<'a> {
    place: usize,
    field: &'a Field,
    wider: f64,
    found: &'a mut Compared,
}

impl Tester<'_> {
    fn all(&mut self, symbols: &[String], personal: bool, window: &FieldWindow) {
        let field = self.field;
        let nulls = (window.nulls, field.nulls.most);
        let defaults = (window.defaults, field.defaults.most);
        self.share(Test::Nulls, nulls, window.count, "null");
        self.share(Test::Defaults, defaults, window.count, "the default");
        if window.present() < LEAST_VALUES {
            return;
        }
        if let Some(shares) = &field.values {
            let counts = match symbols.is_empty() {
                true => cells(&window.hashes, categories(shares, Category::Value)),
                false => choice_counts(window, symbols, shares),
            };
            self.shares(Test::Values, shares, &counts, newcomer(window, shares));
        }
        if let Some(shares) = &field.formats {
            let counts = match personal {
                true => choice_counts(window, &shape::CLASSES, shares),
                false => cells(&window.shapes, categories(shares, Category::Format)),
            };
            self.shares(Test::Formats, shares, &counts, new_format(window, shares));
        }
        if let Some(shares) = &field.day_month {
            self.day_month(shares, window);
        }
        if let Some(numbers) = &field.numbers {
            self.numbers(numbers, window);
        }
        if let Some(distinct) = field.distinct {
            self.distinct(distinct.least, window);
        }
    }

    fn found(&mut self, test: Test, found: f64, limit: f64, what: impl FnOnce() -> String) {
        self.found.tests.push((self.place, test));
        if found > limit {
            self.found.drifted.push(Drifted {
                path: self.field.path.clone(),
                test,
                found,
                limit,
                then: self.field.then,
                what: what(),
            });
        }
    }

    fn share(&mut self, test: Test, (part, most): (u64, f64), of: u64, what: &str) {
        if of < LEAST_VALUES {
            return;
        }
        let found = part as f64 / of as f64;
        let usual = (most * SHARE_MARGIN).max(most + SHARE) * self.wider;
        let usual = usual.min(1.0);
        let limit = usual + SIGMAS * (usual * (1.0 - usual) / of as f64).sqrt();
        self.found(test, found, limit, || {
            format!(
                "{} {what}, where {} was the most",
                percent(found),
                percent(most)
            )
        });
    }

    fn shares(&mut self, test: Test, shares: &Shares, counts: &[u64], new: Option<String>) {
        let n: u64 = counts.iter().sum();
        let (true, Some(found)) = (n >= LEAST_VALUES, psi(shares, counts)) else {
            return;
        };
        let chance = 3.0 * (counts.len() - 1) as f64 / n as f64;
        let limit = PSI.max(shares.spread * MARGIN) * self.wider + chance;
        self.found(test, found, limit, || told(shares, counts, new));
    }

    fn day_month(&mut self, shares: &Shares, window: &FieldWindow) {
        let n: u64 = window.parts.iter().map(|count| u64::from(*count)).sum();
        if n < LEAST_VALUES {
            return;
        }
        let known = |name: &str| {
            let found = shares.of.iter().find(|(own, _)| own == name);
            found.map_or(0.0, |(_, share)| *share)
        };
        let cells = shape::PARTS.iter().zip(window.parts);
        // What is no date is for the formats to tell.
        let dates = cells.take(shape::PARTS.len() - 1);
        let never = dates.filter(|(name, _)| known(name) < NEVER);
        let never: u32 = never.map(|(_, count)| count).sum();
        let found = f64::from(never) / n as f64;
        self.found(Test::DayMonth, found, NOW, || {
            format!(
                "{} of the dates have their day and month in an order that was not there",
                percent(found)
            )
        });
    }

    fn numbers(&mut self, numbers: &Numbers, window: &FieldWindow) {
        let n = window.values.len();
        if n < usize::try_from(LEAST_VALUES).unwrap_or(usize::MAX) {
            return;
        }
        if let (Measure::Age, Some(usual), Some(median)) =
            (numbers.of, numbers.deciles.get(5), median(&window.values))
        {
            self.time_zone(numbers, *usual, median);
        }
        let Some(found) = shift(numbers, &window.values) else {
            return;
        };
        let limit = SHIFT.max(numbers.spread * MARGIN) * self.wider + 1.0 / (n as f64).sqrt();
        let usual = numbers.deciles.get(5).copied().unwrap_or_default();
        self.found(Test::Numbers, found, limit, || {
            let median = median(&window.values).unwrap_or_default();
            let named = match numbers.of {
                Measure::Value => "the median is",
                Measure::Age => "the median age in seconds is",
                Measure::Length => "the median length is",
                Measure::Size => "the median size is",
            };
            format!(
                "{named} {}, and was {}; {} of the values lie elsewhere",
                short(median),
                short(usual),
                percent(found)
            )
        });
    }

    /// Where records are all about as old, an age that differs by whole quarters of an hour is a zone that was lost.
    fn time_zone(&mut self, numbers: &Numbers, usual: f64, median: f64) {
        let (Some(low), Some(high)) = (numbers.deciles.get(1), numbers.deciles.get(9)) else {
            return;
        };
        if high - low > SLACK {
            return;
        }
        let offset = median - usual;
        let quarters = (offset / QUARTER).round();
        let is_offset = (offset - quarters * QUARTER).abs() <= SLACK && offset.abs() <= WIDEST;
        let found = if is_offset { quarters.abs() } else { 0.0 };
        self.found(Test::TimeZone, found, 0.5, || {
            let hours = quarters / 4.0;
            let way = if hours > 0.0 { "earlier" } else { "later" };
            format!("the times are {} hours {way} than they were", hours.abs())
        });
    }

    fn distinct(&mut self, least: f64, window: &FieldWindow) {
        let (true, Some(different)) = (least > 0.05, different(window)) else {
            return;
        };
        // The other way round, so that less is more.
        self.found(Test::Distinct, 1.0 - different, 1.0 - least / 4.0, || {
            format!(
                "{} of the values are different ones, where {} was the least",
                percent(different),
                percent(least)
            )
        });
    }
}

/// The part of a window's values that are different from each other.
pub(super) fn different(window: &FieldWindow) -> Option<f64> {
    if (window.hashes.len() as u64) < LEAST_VALUES {
        return None;
    }
    let mut hashes = window.hashes.clone();
    hashes.sort_unstable();
    hashes.dedup();
    Some(hashes.len() as f64 / window.hashes.len() as f64)
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Which hash a listed name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Category {
    Value,
    Format,
}

/// The hashes of what is listed.
pub(super) fn categories(shares: &Shares, category: Category) -> Vec<u64> {
    let each = shares.of.iter().map(|(name, _)| match category {
        Category::Value => hash(name.as_bytes()),
        Category::Format => hash(&shape::written(name)),
    });
    each.collect()
}

/// How many there are of each, and of all others.
pub(super) fn cells(found: &[u64], listed: Vec<u64>) -> Vec<u64> {
    let mut counts = vec![0; listed.len() + 1];
    for hash in found {
        let place = listed.iter().position(|own| own == hash);
        counts[place.unwrap_or(listed.len())] += 1;
    }
    counts
}

/// The same of a choice, whose symbols the contract names.
pub(super) fn choice_counts<S: AsRef<str>>(
    window: &FieldWindow,
    symbols: &[S],
    shares: &Shares,
) -> Vec<u64> {
    by_name(&window.choices, symbols, shares)
}

/// The same of the order of day and month.
pub(super) fn count_parts(window: &FieldWindow, shares: &Shares) -> Vec<u64> {
    let counts: Vec<u64> = window.parts.iter().map(|count| u64::from(*count)).collect();
    by_name(&counts, &shape::PARTS, shares)
}

fn by_name<S: AsRef<str>>(found: &[u64], names: &[S], shares: &Shares) -> Vec<u64> {
    let mut counts = vec![0; shares.of.len() + 1];
    for (place, count) in found.iter().enumerate() {
        let name = names.get(place);
        let listed = shares.of.iter();
        let mut listed = listed.map(|(own, _)| own.as_str());
        let known = name.and_then(|name| listed.position(|own| own == name.as_ref()));
        counts[known.unwrap_or(shares.of.len())] += count;
    }
    counts
}

/// The population stability index of counts against what is listed. Nothing of no counts.
pub(super) fn psi(shares: &Shares, counts: &[u64]) -> Option<f64> {
    let n: u64 = counts.iter().sum();
    if n == 0 {
        return None;
    }
    let n = n as f64;
    let listed: f64 = shares.of.iter().map(|(_, share)| share).sum();
    let all = shares.of.iter().map(|(_, share)| *share);
    let all = all.chain([(1.0 - listed).max(0.0)]);
    let parts = counts.iter().zip(all).map(|(count, usual)| {
        // A part of which there is none is taken for half a record, on both sides.
        let least = 0.5 / n;
        let (found, usual) = ((*count as f64 / n).max(least), usual.max(least));
        (found - usual) * (found / usual).ln()
    });
    Some(parts.sum())
}

/// How far the deciles have moved: the largest part of the values that lies on the other side of one. Values that are the
/// same may stand for several deciles, and then lie on both sides.
pub(super) fn shift(numbers: &Numbers, values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let deciles = &numbers.deciles;
    let each = deciles.iter().map(|decile| {
        // Deciles are rounded to six digits, and values are not.
        let slack = decile.abs() * 1e-5;
        let below = sorted.partition_point(|value| *value < decile - slack) as f64 / n;
        let up_to = sorted.partition_point(|value| *value <= decile + slack) as f64 / n;
        let lowest = deciles.partition_point(|other| other < decile) as f64 / 10.0;
        let highest = (deciles.partition_point(|other| other <= decile) - 1) as f64 / 10.0;
        (highest - up_to).max(below - lowest)
    });
    Some(each.fold(0.0, f64::max))
}

/// The value that is frequent now and was not listed.
fn newcomer(window: &FieldWindow, shares: &Shares) -> Option<String> {
    let listed = categories(shares, Category::Value);
    let hash = most_frequent(&window.hashes, &listed)?;
    let (_, text) = window.tops.iter().find(|(own, _)| *own == hash)?;
    Some(format!("{:?}", std::str::from_utf8(text).ok()?))
}

fn new_format(window: &FieldWindow, shares: &Shares) -> Option<String> {
    let listed = categories(shares, Category::Format);
    let hash = most_frequent(&window.shapes, &listed)?;
    let (_, shape) = window.shape_names.iter().find(|(own, _)| *own == hash)?;
    Some(shape::shown(shape))
}

fn most_frequent(found: &[u64], listed: &[u64]) -> Option<u64> {
    let others = found.iter().filter(|hash| !listed.contains(hash));
    let mut others: Vec<u64> = others.copied().collect();
    others.sort_unstable();
    let runs = others.chunk_by(|one, other| one == other);
    runs.max_by_key(|run| run.len()).map(|run| run[0])
}

/// What changed most of what is listed, for a person.
fn told(shares: &Shares, counts: &[u64], new: Option<String>) -> String {
    let n: f64 = counts.iter().sum::<u64>() as f64;
    let listed: f64 = shares.of.iter().map(|(_, share)| share).sum();
    let named = shares
        .of
        .iter()
        .map(|(name, share)| (name.as_str(), *share));
    let others = match &new {
        Some(new) => format!("others, such as {new}"),
        None => "others".to_owned(),
    };
    let all = named.chain([(others.as_str(), 1.0 - listed)]);
    let changes = all.zip(counts).map(|((name, usual), count)| {
        let found = *count as f64 / n;
        (name, usual.max(0.0), found)
    });
    let most = changes.max_by(|one, other| {
        let change = |(_, usual, found): &(&str, f64, f64)| (usual - found).abs();
        change(one).total_cmp(&change(other))
    });
    most.map_or_else(String::new, |(name, usual, found)| {
        let name = match name {
            "" => "the empty text",
            name => name,
        };
        format!(
            "{name}: {} of the values, where it was {}",
            percent(found),
            percent(usual)
        )
    })
}

fn percent(part: f64) -> String {
    match part * 100.0 {
        percent if percent >= 10.0 => format!("{percent:.0}%"),
        percent if percent >= 1.0 || percent == 0.0 => format!("{percent:.1}%"),
        percent => format!("{percent:.2}%"),
    }
}

pub(super) fn short(number: f64) -> String {
    let number = crate::config::baseline::rounded(number);
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 1.0 => format!("{number:.1}"),
        _ => format!("{number:.3}"),
    }
}
