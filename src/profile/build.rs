//! Windows into a baseline. What is usual is told by all of them, and how unusual a window may be by the most unusual one:
//! weekdays, bursts and bad weather are in the baseline, and page nobody.

use super::compare::{Category, categories, cells, choice_counts, count_parts, psi, shift};
use super::layout::{Content, Layout, Leaf};
use super::pool::{Pool, PooledField};
use super::shape;
use super::volume::Volume;
use super::window::{FieldWindow, Window};
use super::{PART, PARTS, SAMPLE};
use crate::config::baseline::{
    Baseline, Distinct, Field, Measure, Numbers, Share, Shares, rounded, share,
};
use crate::config::model::DriftAction;

/// Windows that are kept to tell how they differ; where there are more, evenly spread ones.
const KEPT: usize = 64;
/// Windows that tell how they differ. Where there are fewer, their parts do.
const ENOUGH: usize = 4;
/// Values that a baseline lists of a field.
const LISTED: usize = 32;
/// A value that is listed is at least this part.
const LEAST: f64 = 0.01;
/// What is listed together is at least this part, or the field has no few values.
const COVERED: f64 = 0.5;

/// Too few records for a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{records} records are too few for a baseline: it takes {PART} at the least, and says more with {}",
    10 * super::WINDOW
)]
pub struct TooFew {
    /// Those that there are.
    pub records: u64,
}

/// Makes a baseline of parts of windows.
#[derive(Debug)]
pub struct Builder {
    pool: Pool,
    /// Groups of parts, each a window.
    kept: Vec<Vec<Window>>,
    /// One group in so many is kept.
    every: usize,
    parts: usize,
}

impl Builder {
    /// An empty one.
    pub fn new(layout: &Layout) -> Builder {
        Builder {
            pool: Pool::new(layout),
            kept: Vec::new(),
            every: 1,
            parts: 0,
        }
    }

    /// Adds a part, in the order of time.
    pub fn add(&mut self, part: &Window) {
        self.pool.add(part);
        let group = self.parts / PARTS;
        self.parts += 1;
        if !group.is_multiple_of(self.every) {
            return;
        }
        if self.parts % PARTS == 1 {
            if self.kept.len() == KEPT {
                let mut nth = 0;
                self.kept.retain(|_| {
                    nth += 1;
                    nth % 2 == 1
                });
                self.every *= 2;
                if !group.is_multiple_of(self.every) {
                    return;
                }
            }
            self.kept.push(Vec::with_capacity(PARTS));
        }
        if let Some(last) = self.kept.last_mut()
            && last.len() < PARTS
        {
            last.push(part.clone());
        }
    }

    /// Without those that are the short rest of a topic, whose chance is large. Where there is nothing else, all as one.
    fn of_some_size(&self, mut windows: Vec<Window>, layout: &Layout) -> Vec<Window> {
        windows.retain(|window| window.records >= PART as u64);
        if windows.is_empty() {
            let mut all = Window::whole(layout);
            let parts = self.kept.iter().flatten();
            parts.for_each(|part| all.merge(part));
            windows.push(all);
        }
        windows
    }

    /// The baseline of what was added. `volume` has the times of all records.
    pub fn finish(
        &self,
        layout: &Layout,
        subject: &str,
        volume: &mut Volume,
    ) -> Result<Baseline, TooFew> {
        let records = self.pool.records;
        if records < PART as u64 {
            return Err(TooFew { records });
        }
        let whole: Vec<Window> = self
            .kept
            .iter()
            .filter(|group| group.len() == PARTS)
            .map(|group| {
                let mut window = Window::whole(layout);
                group.iter().for_each(|part| window.merge(part));
                window
            })
            .collect();
        let windows = match whole.len() >= ENOUGH {
            true => whole,
            false => self.kept.concat(),
        };
        let windows = self.of_some_size(windows, layout);
        let leaves = layout.leaves.iter().zip(&self.pool.fields).enumerate();
        let fields = leaves.filter(|(_, (_, pooled))| pooled.count > 0);
        let fields = fields.map(|(index, (leaf, pooled))| {
            let windows: Vec<&FieldWindow> =
                windows.iter().map(|window| &window.fields[index]).collect();
            field(leaf, pooled, &windows)
        });
        Ok(Baseline {
            subject: subject.to_owned(),
            records,
            windows: windows.len() as u64,
            then: DriftAction::Warn,
            from: self.pool.first.and_then(time),
            until: self.pool.last.and_then(time),
            per_minute: volume.per_minute(),
            fields: fields.collect(),
        })
    }
}

fn time(millis: i64) -> Option<String> {
    Some(jiff::Timestamp::from_millisecond(millis).ok()?.to_string())
}

fn field(leaf: &Leaf, pooled: &PooledField, windows: &[&FieldWindow]) -> Field {
    let rate = |all: u64, of: fn(&FieldWindow) -> u64| {
        let each = windows.iter().filter(|window| window.count > 0);
        let each = each.map(|window| of(window) as f64 / window.count as f64);
        let all = all as f64 / pooled.count.max(1) as f64;
        Share {
            all: share(all),
            most: share(each.fold(all, f64::max)),
        }
    };
    let is_text = leaf.content == Content::Text && !leaf.personal;
    let formats = match (is_text, leaf.personal && leaf.content == Content::Text) {
        (true, _) => formats(windows),
        (_, true) => Some(by_choice(pooled, windows, &shape::CLASSES)),
        _ => None,
    };
    let values = match leaf.content {
        Content::Choice if !leaf.personal => Some(by_choice(pooled, windows, &leaf.symbols)),
        Content::Text if is_text => values(windows),
        _ => None,
    };
    Field {
        path: leaf.path.clone(),
        then: DriftAction::Warn,
        nulls: rate(pooled.nulls, |window| window.nulls),
        defaults: rate(pooled.defaults, |window| window.defaults),
        distinct: distinct(leaf, pooled, windows),
        values,
        formats,
        day_month: match is_text {
            true => day_month(windows),
            false => None,
        },
        numbers: numbers(leaf, pooled, windows),
    }
}

fn distinct(leaf: &Leaf, pooled: &PooledField, windows: &[&FieldWindow]) -> Option<Distinct> {
    let counted = matches!(leaf.content, Content::Text | Content::Number);
    if leaf.personal || !counted {
        return None;
    }
    // Of fewer values, more of them are different: all are told as of a whole window's sample.
    let each = windows.iter().filter_map(|window| {
        let values = window.hashes.len() as f64;
        let whole = values.max((SAMPLE * PARTS) as f64);
        Some(super::compare::different(window)? * values / whole)
    });
    Some(Distinct {
        all: pooled.distinct(),
        least: share(each.reduce(f64::min)?),
    })
}

fn by_choice<S: AsRef<str>>(
    pooled: &PooledField,
    windows: &[&FieldWindow],
    symbols: &[S],
) -> Shares {
    let all: u64 = pooled.choices.iter().sum();
    let part = |count: u64| share(count as f64 / all.max(1) as f64);
    let counts = symbols.iter().zip(&pooled.choices);
    let named = counts.map(|(name, count)| (name.as_ref().to_owned(), part(*count)));
    spread(named.collect(), windows, |window, shares| {
        choice_counts(window, symbols, shares)
    })
}

/// The values of a text that has few.
fn values(windows: &[&FieldWindow]) -> Option<Shares> {
    let named = listed(
        windows,
        |window| &window.hashes,
        |hash| {
            let mut known = windows.iter().flat_map(|window| window.tops.iter());
            let (_, text) = known.find(|(own, _)| *own == hash)?;
            let text = std::str::from_utf8(text).ok()?;
            // A text that was cut short is not the one that was counted.
            (super::measure::hash(text.as_bytes()) == hash).then(|| text.to_owned())
        },
    )?;
    Some(spread(named, windows, |window, shares| {
        cells(&window.hashes, categories(shares, Category::Value))
    }))
}

fn formats(windows: &[&FieldWindow]) -> Option<Shares> {
    let named = listed(
        windows,
        |window| &window.shapes,
        |hash| {
            let mut known = windows.iter().flat_map(|window| window.shape_names.iter());
            let (_, shape) = known.find(|(own, _)| *own == hash)?;
            Some(shape::shown(shape))
        },
    )?;
    Some(spread(named, windows, |window, shares| {
        cells(&window.shapes, categories(shares, Category::Format))
    }))
}

fn day_month(windows: &[&FieldWindow]) -> Option<Shares> {
    let sum = |place: usize| -> u64 {
        let each = windows.iter();
        each.map(|window| u64::from(window.parts[place])).sum()
    };
    let counts: Vec<u64> = (0..shape::PARTS.len()).map(sum).collect();
    let all: u64 = counts.iter().sum();
    let none = counts[shape::PARTS.len() - 1];
    // Texts that are mostly something else tell no days from months.
    if all == 0 || none * 10 > all {
        return None;
    }
    let named = shape::PARTS.iter().zip(&counts);
    let named = named.filter(|(_, count)| **count > 0);
    let named = named.map(|(name, count)| ((*name).to_owned(), share(*count as f64 / all as f64)));
    Some(spread(named.collect(), windows, count_parts))
}

/// The frequent ones, by name. `None` where those that are frequent are few of all.
fn listed(
    windows: &[&FieldWindow],
    of: fn(&FieldWindow) -> &Vec<u64>,
    name: impl Fn(u64) -> Option<String>,
) -> Option<Vec<(String, f64)>> {
    let mut all: Vec<u64> = windows
        .iter()
        .flat_map(|window| of(window))
        .copied()
        .collect();
    all.sort_unstable();
    let total = all.len().max(1) as f64;
    let mut counts: Vec<(usize, u64)> = all
        .chunk_by(|one, other| one == other)
        .map(|run| (run.len(), run[0]))
        .collect();
    counts.sort_unstable_by(|one, other| other.cmp(one));
    let frequent = counts.into_iter().take(LISTED);
    let frequent = frequent.filter(|(count, _)| *count as f64 / total >= LEAST);
    let frequent = frequent.filter_map(|(count, hash)| Some((name(hash)?, count as f64 / total)));
    let frequent: Vec<(String, f64)> = frequent.collect();
    let covered: f64 = frequent.iter().map(|(_, part)| part).sum();
    let rounded = frequent.into_iter().map(|(name, part)| (name, share(part)));
    (covered >= COVERED).then(|| rounded.collect())
}

/// How far the windows lie from what is listed.
fn spread(
    mut of: Vec<(String, f64)>,
    windows: &[&FieldWindow],
    counts: impl Fn(&FieldWindow, &Shares) -> Vec<u64>,
) -> Shares {
    of.sort_by(|one, other| one.0.cmp(&other.0));
    let mut shares = Shares { spread: 0.0, of };
    let each = windows.iter().filter_map(|window| {
        let counts = counts(window, &shares);
        psi(&shares, &counts)
    });
    shares.spread = round_up(each.fold(0.0, f64::max));
    shares
}

fn round_up(psi: f64) -> f64 {
    rounded((psi * 1_000.0).ceil() / 1_000.0)
}

fn numbers(leaf: &Leaf, pooled: &PooledField, windows: &[&FieldWindow]) -> Option<Numbers> {
    let of = measure(leaf)?;
    let mut all: Vec<f64> = windows
        .iter()
        .flat_map(|window| &window.values)
        .copied()
        .collect();
    if all.is_empty() {
        return None;
    }
    all.sort_unstable_by(f64::total_cmp);
    let last = all.len() - 1;
    let deciles: Vec<f64> = (0..=10)
        .map(|tenth| rounded(all[last * tenth / 10]))
        .collect();
    let mut numbers = Numbers {
        of,
        mean: (leaf.content == Content::Number).then(|| rounded(pooled.mean())),
        spread: 0.0,
        deciles,
    };
    let each = windows
        .iter()
        .filter_map(|window| shift(&numbers, &window.values));
    numbers.spread = share(each.fold(0.0, f64::max));
    Some(numbers)
}

/// What is looked at of a field's numbers.
fn measure(leaf: &Leaf) -> Option<Measure> {
    if leaf.personal {
        return None;
    }
    match leaf.content {
        Content::Number => Some(Measure::Value),
        Content::Time { .. } => Some(Measure::Age),
        Content::Text => Some(Measure::Length),
        Content::Size => Some(Measure::Size),
        Content::Choice => None,
    }
}
