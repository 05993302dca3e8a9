//! Dead letters counted by what they have in common. Input: letters, and now. Output: counts. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::dialect::Letter;

/// Different values of one kind that are counted apart; what comes later is counted together.
const KINDS: usize = 1_000;
/// What that is called.
const OTHERS: &str = "(others)";
/// A letter without such a value.
const NONE: &str = "-";

/// Counts of one kind: value to number, the greatest first once [`Tally::counts`] gives them.
type Counts = BTreeMap<String, u64>;

/// Dead letters by reason, path, schema id, owner, pipeline, dialect, age, and how often they were sent back.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    total: u64,
    kinds: [Counts; 8],
}

/// The kinds, in the order in which they are told.
pub const KIND_NAMES: [&str; 8] = [
    "reason",
    "path",
    "schema_id",
    "owner",
    "pipeline",
    "dialect",
    "age",
    "redriven",
];

/// One value and how many have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The value.
    pub value: String,
    /// How many.
    pub count: u64,
}

impl Tally {
    /// Counts a letter that failed at `moment`; both times in milliseconds since the epoch.
    pub fn add(&mut self, letter: &Letter, moment: Option<i64>, now: i64) {
        self.total += 1;
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| NONE.to_owned());
        let values = [
            text(&letter.reason),
            letter.path.as_deref().map_or(NONE.to_owned(), general),
            letter
                .schema_id
                .map_or(NONE.to_owned(), |id| id.to_string()),
            text(&letter.owner),
            text(&letter.pipeline),
            letter
                .dialect
                .map_or(NONE, |dialect| dialect.as_str())
                .to_owned(),
            age(moment.map(|moment| now.saturating_sub(moment))).to_owned(),
            letter.redriven.to_string(),
        ];
        for (counts, value) in self.kinds.iter_mut().zip(values) {
            let value = match counts.len() < KINDS || counts.contains_key(&value) {
                true => value,
                false => OTHERS.to_owned(),
            };
            *counts.entry(value).or_default() += 1;
        }
    }

    /// How many letters.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The counts of each kind, the greatest first; ages and returns in their own order.
    pub fn counts(&self) -> Vec<(&'static str, Vec<Count>)> {
        let kinds = KIND_NAMES.into_iter().zip(&self.kinds);
        kinds
            .map(|(name, counts)| {
                let count = |(value, count): (&String, &u64)| Count {
                    value: value.clone(),
                    count: *count,
                };
                let mut counts: Vec<Count> = counts.iter().map(count).collect();
                match name {
                    "age" => counts
                        .sort_by_key(|count| AGES.iter().position(|(age, _)| *age == count.value)),
                    "redriven" => counts.sort_by_key(|count| count.value.parse::<u32>().ok()),
                    _ => counts.sort_by(|a, b| b.count.cmp(&a.count).then(a.value.cmp(&b.value))),
                }
                (name, counts)
            })
            .collect()
    }
}

const HOUR: i64 = 3_600_000;
const AGES: [(&str, i64); 6] = [
    ("under 1 h", HOUR),
    ("1 h to 1 d", 24 * HOUR),
    ("1 d to 7 d", 7 * 24 * HOUR),
    ("7 d to 30 d", 30 * 24 * HOUR),
    ("over 30 d", i64::MAX),
    (NONE, i64::MAX),
];

fn age(age: Option<i64>) -> &'static str {
    let Some(age) = age else { return NONE };
    let found = AGES.iter().find(|(_, limit)| age < *limit);
    found.map_or(AGES[4].0, |(name, _)| *name)
}

/// A path without the numbers of items: those of one array belong together.
pub fn general(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if inside && c.is_ascii_digit() => continue,
            _ => {}
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(reason: &str, path: &str) -> Letter {
        Letter {
            reason: Some(reason.to_owned()),
            path: (!path.is_empty()).then(|| path.to_owned()),
            ..Letter::default()
        }
    }

    fn of(tally: &Tally, kind: &str) -> Vec<(String, u64)> {
        let counts = tally.counts();
        let (_, counts) = counts
            .iter()
            .find(|(name, _)| *name == kind)
            .expect("a kind");
        counts
            .iter()
            .map(|count| (count.value.clone(), count.count))
            .collect()
    }

    #[test]
    fn letters_are_counted_by_each_kind_and_add_up() {
        let mut tally = Tally::default();
        let now = 100 * 24 * HOUR;
        let letters = [
            (letter("rule_violation", "items[2].price"), Some(now - 1)),
            (
                letter("rule_violation", "items[17].price"),
                Some(now - HOUR),
            ),
            (letter("unframed", ""), Some(now - 8 * 24 * HOUR)),
            (letter("unframed", ""), Some(0)),
            (letter("unframed", ""), None),
            // Another clock than ours.
            (letter("unframed", ""), Some(now + HOUR)),
        ];
        for (letter, moment) in &letters {
            tally.add(letter, *moment, now);
        }
        let check = |kind: &str, expect: &[(&str, u64)]| {
            let expect: Vec<_> = expect
                .iter()
                .map(|(value, count)| ((*value).to_owned(), *count))
                .collect();
            assert_eq!(of(&tally, kind), expect);
        };
        check("reason", &[("unframed", 4), ("rule_violation", 2)]);
        check("path", &[("-", 4), ("items[].price", 2)]);
        check(
            "age",
            &[
                ("under 1 h", 2),
                ("1 h to 1 d", 1),
                ("7 d to 30 d", 1),
                ("over 30 d", 1),
                ("-", 1),
            ],
        );
        for (kind, counts) in tally.counts() {
            let sum: u64 = counts.iter().map(|count| count.count).sum();
            assert_eq!(sum, tally.total(), "{kind}");
        }
    }

    #[test]
    fn many_different_values_take_bounded_memory() {
        let mut tally = Tally::default();
        for n in 0..3_000 {
            tally.add(&letter("unframed", &format!("field{n}")), None, 0);
        }
        let paths = of(&tally, "path");
        assert_eq!(paths.len(), KINDS + 1);
        assert_eq!(paths[0], (OTHERS.to_owned(), 2_000));
    }
}
