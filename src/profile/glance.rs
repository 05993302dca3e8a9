//! A field of a window in a few figures, for people who look at it while records flow.

use super::compare::{Category, categories, cells, choice_counts, psi};
use super::layout::Leaf;
use super::shape;
use super::window::FieldWindow;
use crate::config::baseline::{Field, Measure, share};

/// What a field of a window looks like.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Glance {
    /// Records that have the field.
    pub count: u64,
    /// The part of nulls.
    pub nulls: f64,
    /// The figure that tells most: the median of what is compared of a number, time or size; of values or kinds of texts how far
    /// they lie from the baseline, as a population stability index. Its name comes with it.
    pub figure: Option<(&'static str, f64)>,
    /// The most frequent value, and its part. Of a personal field, the most frequent kind of text.
    pub top: Option<(String, f64)>,
}

/// Looks at a field.
pub fn glance(field: &Field, leaf: &Leaf, window: &FieldWindow) -> Glance {
    let nulls = match window.count {
        0 => 0.0,
        count => share(window.nulls as f64 / count as f64),
    };
    let shares = match leaf.personal {
        true => field.formats.as_ref(),
        false => field.values.as_ref(),
    };
    let classes = || shape::CLASSES.iter().map(|name| (*name).to_owned());
    let symbols: Vec<String> = match leaf.personal {
        true => classes().collect(),
        false => leaf.symbols.clone(),
    };
    let distance = shares.and_then(|shares| {
        let counts = match symbols.is_empty() {
            true => cells(&window.hashes, categories(shares, Category::Value)),
            false => choice_counts(window, &symbols, shares),
        };
        psi(shares, &counts)
    });
    let median = field.numbers.as_ref().and_then(|numbers| {
        let name = match numbers.of {
            Measure::Value => "median",
            Measure::Age => "median_age_seconds",
            Measure::Length => "median_length",
            Measure::Size => "median_size",
        };
        Some((name, median(&window.values)?))
    });
    Glance {
        count: window.count,
        nulls,
        figure: distance.map(|psi| ("psi", psi)).or(median),
        top: shares.and_then(|_| top(&symbols, window)),
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

fn top(symbols: &[String], window: &FieldWindow) -> Option<(String, f64)> {
    let of = |count: u64, all: u64| share(count as f64 / all.max(1) as f64);
    if !symbols.is_empty() {
        let all: u64 = window.choices.iter().sum();
        let counts = symbols.iter().zip(&window.choices);
        let (name, count) = counts.max_by_key(|(_, count)| **count)?;
        return (all > 0).then(|| (name.clone(), of(*count, all)));
    }
    let mut hashes = window.hashes.clone();
    hashes.sort_unstable();
    let most = hashes
        .chunk_by(|one, other| one == other)
        .max_by_key(|run| run.len())?;
    let (_, text) = window.tops.iter().find(|(hash, _)| *hash == most[0])?;
    let text = String::from_utf8_lossy(text).into_owned();
    Some((text, of(most.len() as u64, hashes.len() as u64)))
}
