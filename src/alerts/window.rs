//! How many dead letters there were in a sliding time. Pure: the counts and the clock are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::units::Rate;
use crate::metrics::DeadLetters;

/// Samples that a window is made of: its edge slides in steps of this part.
const STEPS: u32 = 60;
/// The most frequent reasons that are named.
const NAMED: usize = 3;

/// What a look found, where there were too many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TooMany {
    /// In the window.
    pub(super) count: u64,
    /// The most frequent, the first one most: `83 rule_violation on orders`.
    pub(super) most: Vec<String>,
    /// Since the look before, or all in the window where it had not been too many then.
    pub(super) new: u64,
}

/// A sliding window over counters that only grow.
#[derive(Debug)]
pub(super) struct Window {
    limit: Rate,
    samples: VecDeque<(Duration, DeadLetters)>,
    /// The total at the last look that found too many.
    above: Option<u64>,
}

impl Window {
    pub(super) fn new(limit: Rate) -> Window {
        Window {
            limit,
            samples: VecDeque::new(),
            above: None,
        }
    }

    /// Takes the counts of now; `None` if there were no more than the limit allows.
    pub(super) fn look(&mut self, at: Duration, counts: DeadLetters) -> Option<TooMany> {
        let start = at.saturating_sub(self.limit.per);
        // The newest sample at or before the window's start is its base; without one, the oldest there is.
        while self.samples.get(1).is_some_and(|(when, _)| *when <= start) {
            self.samples.pop_front();
        }
        let base = self.samples.front().map_or(&counts, |(_, base)| base);
        let mut grown: Vec<(&(String, String), u64)> = counts
            .iter()
            .map(|(key, now)| {
                let before = base.get(key).copied();
                (key, now.saturating_sub(before.unwrap_or(0)))
            })
            .filter(|(_, grown)| *grown > 0)
            .collect();
        let count: u64 = grown.iter().map(|(_, grown)| grown).sum();
        let total: u64 = counts.values().sum();
        let found = (count > u64::from(self.limit.count)).then(|| {
            grown.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
            let most = grown.iter().take(NAMED);
            let most = most.map(|((topic, reason), count)| format!("{count} {reason} on {topic}"));
            let new = self
                .above
                .map_or(count, |before| total.saturating_sub(before));
            TooMany {
                count,
                most: most.collect(),
                new,
            }
        });
        self.above = found.as_ref().map(|_| total);
        let step = self.limit.per / STEPS;
        if self
            .samples
            .back()
            .is_none_or(|(when, _)| *when + step <= at)
        {
            self.samples.push_back((at, counts));
        }
        found
    }

    /// What the last look found was told to nobody: it is all new to whoever is told next.
    pub(super) fn untold(&mut self) {
        self.above = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rule: u64, wire: u64) -> DeadLetters {
        let key = |reason: &str| ("orders".to_owned(), reason.to_owned());
        DeadLetters::from([(key("rule_violation"), rule), (key("framing"), wire)])
    }

    fn rate(count: u32, secs: u64) -> Rate {
        Rate {
            count,
            per: Duration::from_secs(secs),
        }
    }

    #[test]
    fn more_than_the_limit_within_the_time_is_too_many_and_says_of_what() {
        let mut window = Window::new(rate(10, 60));
        let mut look = |at, rule, wire| window.look(Duration::from_secs(at), counts(rule, wire));
        assert_eq!(
            look(0, 500, 0),
            None,
            "what was before the start is not new"
        );
        assert_eq!(look(1, 505, 5), None, "10 are not more than 10");
        let found = look(2, 507, 5).expect("12");
        assert_eq!((found.count, found.new), (12, 12));
        assert_eq!(
            found.most,
            ["7 rule_violation on orders", "5 framing on orders"]
        );
        let found = look(30, 520, 5).expect("25");
        assert_eq!((found.count, found.new), (25, 13), "13 since the last look");
        let found = look(62, 520, 5).expect("the 13 of second 30");
        assert_eq!((found.count, found.new), (13, 0));
        assert_eq!(look(95, 520, 5), None, "they have left the window");
        let found = look(96, 540, 5).expect("20 at once");
        assert_eq!(found.new, 20, "anew");
        window.untold();
        let found = window.look(Duration::from_secs(97), counts(541, 5));
        assert_eq!(found.expect("21").new, 21, "nobody knows of the 20");
    }

    #[test]
    fn a_window_keeps_few_samples_however_often_and_long_it_looks() {
        let mut window = Window::new(rate(1, 3600));
        for tenths in 0..72_000u64 {
            window.look(Duration::from_millis(tenths * 100), counts(tenths, 0));
        }
        assert!(window.samples.len() <= 62, "{}", window.samples.len());
    }

    #[test]
    fn a_steady_stream_at_the_limit_is_never_too_many_and_one_twice_as_fast_always_is() {
        for (per_second, too_many) in [(1, false), (2, true)] {
            let mut window = Window::new(rate(62, 60));
            let found = (0..600).filter(|second| {
                let look =
                    window.look(Duration::from_secs(*second), counts(second * per_second, 0));
                look.is_some()
            });
            assert_eq!(found.count() > 500, too_many, "{per_second}/s");
        }
    }
}
