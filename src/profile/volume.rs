//! Records an hour, by their own times. Input: the time of each record, in any order. Output: the slowest hour and the
//! fastest, and what of it a baseline has not seen.

use std::collections::BTreeMap;

use super::compare::{Drifted, Test, short};
use crate::config::baseline::{Baseline, rounded};
use crate::config::model::DriftAction;

const HOUR: i64 = 3_600_000;
/// Hours that are kept, the latest of them: six weeks.
const KEPT: usize = 1_008;
/// Fewer whole hours say nothing.
const ENOUGH: usize = 3;
/// How many times more, or less.
const FACTOR: f64 = 3.0;
/// An hour of fewer records is no hour of too many.
const LEAST: f64 = 100.0;

/// Counts records by the hour.
#[derive(Debug, Clone, Default)]
pub struct Volume {
    hours: BTreeMap<i64, u64>,
    /// The hour that was counted last, and what is not in `hours` yet.
    current: (i64, u64),
}

impl Volume {
    /// Counts a record of this time, in milliseconds since the epoch.
    #[inline]
    pub fn add(&mut self, time: i64) {
        let hour = time.div_euclid(HOUR);
        if hour != self.current.0 {
            self.turn(hour);
        }
        self.current.1 += 1;
    }

    fn turn(&mut self, hour: i64) {
        let (last, count) = std::mem::replace(&mut self.current, (hour, 0));
        if count > 0 {
            *self.hours.entry(last).or_default() += count;
        }
        while self.hours.len() > KEPT {
            self.hours.pop_first();
        }
    }

    /// The hours between the first and the last one, of which all is known; with those that had no record.
    fn whole(&mut self) -> Vec<(i64, f64)> {
        self.turn(self.current.0);
        let (Some((first, _)), Some((last, _))) =
            (self.hours.first_key_value(), self.hours.last_key_value())
        else {
            return Vec::new();
        };
        let count = |hour| self.hours.get(&hour).map_or(0.0, |count| *count as f64);
        // What lies so far before the last that it would not be kept has been dropped, or came from a wrong clock.
        let first = (*first).max(last - i64::try_from(KEPT).unwrap_or(i64::MAX));
        (first + 1..*last).map(|hour| (hour, count(hour))).collect()
    }

    /// Records a minute, of the slowest hour and of the fastest.
    pub fn per_minute(&mut self) -> Option<(f64, f64)> {
        let hours = self.whole();
        if hours.len() < ENOUGH {
            return None;
        }
        let paces = || hours.iter().map(|(_, count)| count / 60.0);
        let (least, most) = (paces().reduce(f64::min)?, paces().reduce(f64::max)?);
        Some((rounded(least), rounded(most)))
    }

    /// The hour that is furthest from what the baseline has seen, if it is far.
    pub fn judge(&mut self, baseline: &Baseline) -> Option<Drifted> {
        let (least, most) = baseline.per_minute?;
        let (low, high) = (least / FACTOR, most * FACTOR);
        let off = |count: f64| {
            let pace = count / 60.0;
            match pace < low {
                true => (low - pace) / low,
                false if pace > high && count > LEAST => pace / high,
                false => 0.0,
            }
        };
        let hours = self.whole().into_iter();
        let hours = hours.map(|(hour, count)| (off(count), hour, count));
        let (off, hour, count) = hours.max_by(|one, other| one.0.total_cmp(&other.0))?;
        if off == 0.0 {
            return None;
        }
        let pace = count / 60.0;
        let at = jiff::Timestamp::from_millisecond(hour * HOUR);
        let at = at.map_or_else(|_| String::new(), |at| at.to_string());
        Some(Drifted {
            path: String::new(),
            test: Test::Volume,
            found: pace,
            limit: if pace < low { low } else { high },
            then: DriftAction::Warn,
            what: format!(
                "{} records a minute in the hour from {at}, where there were {} to {}",
                short(pace),
                short(least),
                short(most)
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(hours: &[u64]) -> Volume {
        let mut volume = Volume::default();
        for (hour, count) in hours.iter().enumerate() {
            let start = i64::try_from(hour).unwrap() * HOUR;
            (0..*count).for_each(|_| volume.add(start));
        }
        volume
    }

    fn baseline(hours: &[u64]) -> Baseline {
        Baseline {
            per_minute: volume(hours).per_minute(),
            ..Baseline::default()
        }
    }

    #[test]
    fn an_hour_far_from_all_is_told_and_a_broken_one_is_not() {
        let usual = baseline(&[1, 600, 1_200, 900, 1]);
        assert_eq!(usual.per_minute, Some((10.0, 20.0)));
        for (hours, found) in [
            (&[1, 600, 700, 1][..], None),
            // The first hour and the last are parts of one.
            (&[0, 600, 700, 0], None),
            (&[600, 300, 3_500, 600], None),
            (&[600, 600, 0, 600], Some(0.0)),
            (&[600, 600, 100, 600], Some(100.0 / 60.0)),
            (&[600, 4_200, 600, 600], Some(70.0)),
        ] {
            let told = volume(hours).judge(&usual).map(|drifted| drifted.found);
            assert_eq!(told, found, "{hours:?}");
        }
        assert_eq!(baseline(&[5, 5, 5, 5]).per_minute, None, "two whole hours");
    }

    #[test]
    fn hours_are_bounded() {
        let mut volume = Volume::default();
        for hour in 0..100_000 {
            volume.add(hour * HOUR);
            volume.add(-hour * HOUR);
        }
        volume.add(i64::MAX);
        assert!(volume.hours.len() <= KEPT + 1);
        assert!(volume.whole().len() <= KEPT);
    }
}
