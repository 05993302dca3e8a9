//! When a drift begins and when it ends. Input: what each window of a topic and writer schema came to. Output: the verdicts
//! that stand, by field, and what changed.
//!
//! A verdict begins with the first window that drifts. It ends when as many windows in a row were right as a window has parts:
//! then nothing of one that drifted is in them, and a fault at the edge of its limit does not begin and end with each part.

use super::PARTS;
use super::compare::{Compared, Drifted, Test};
use crate::config::baseline::Baseline;

/// A field that looks otherwise than in the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// When it began, milliseconds since the epoch.
    pub since: i64,
    /// What drifts, each test as it was made last. Never empty.
    pub drifted: Vec<Drifted>,
}

/// What a window changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The field at this place of the baseline drifts from now on.
    Begun(usize),
    /// It did, and does not any more.
    Ended(usize, Verdict),
}

/// The verdicts on the fields of a topic and writer schema, in the order of the baseline.
#[derive(Debug, Clone, Default)]
pub struct Verdicts {
    fields: Vec<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    verdict: Option<Verdict>,
    /// Windows in a row that were right.
    right: usize,
}

impl Verdicts {
    /// None, on the fields of a baseline.
    pub fn new(baseline: &Baseline) -> Verdicts {
        Verdicts {
            fields: vec![State::default(); baseline.fields.len()],
        }
    }

    /// Takes what the next window came to. A field of which too few values were in it stays as it was.
    pub fn take(&mut self, baseline: &Baseline, compared: &Compared, now: i64) -> Vec<Change> {
        let mut changes = Vec::new();
        for (place, (state, field)) in self.fields.iter_mut().zip(&baseline.fields).enumerate() {
            let of_field = |drifted: &&Drifted| drifted.path == field.path;
            let drifted: Vec<Drifted> = compared.drifted.iter().filter(of_field).cloned().collect();
            let is_made = |test: Test| compared.tests.contains(&(place, test));
            if !drifted.is_empty() {
                state.right = 0;
                match &mut state.verdict {
                    Some(verdict) => {
                        verdict.drifted.retain(|before| !is_made(before.test));
                        verdict.drifted.extend(drifted);
                    }
                    None => {
                        state.verdict = Some(Verdict {
                            since: now,
                            drifted,
                        });
                        changes.push(Change::Begun(place));
                    }
                }
                continue;
            }
            let is_seen = match &state.verdict {
                Some(verdict) => verdict.drifted.iter().all(|before| is_made(before.test)),
                None => compared.tests.iter().any(|(own, _)| *own == place),
            };
            if is_seen {
                state.right = (state.right + 1).min(PARTS);
            }
            if state.right == PARTS
                && let Some(verdict) = state.verdict.take()
            {
                changes.push(Change::Ended(place, verdict));
            }
        }
        changes
    }

    /// The verdict on the field at this place of the baseline.
    pub fn of(&self, place: usize) -> Option<&Verdict> {
        self.fields.get(place)?.verdict.as_ref()
    }

    /// Whether the field at this place of the baseline was right in as many windows in a row as end a verdict.
    pub fn is_right(&self, place: usize) -> bool {
        let state = self.fields.get(place);
        state.is_some_and(|state| state.right == PARTS)
    }

    /// Those that stand, by the place of their field.
    pub fn standing(&self) -> impl Iterator<Item = (usize, &Verdict)> {
        let fields = self.fields.iter().enumerate();
        fields.filter_map(|(place, state)| Some((place, state.verdict.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::baseline::load_text;
    use crate::config::model::DriftAction;

    fn baseline() -> Baseline {
        let text = "subject: s\nrecords: 1\nwindows: 1\nfields:\n  a: {}\n  b: {}\n";
        load_text(text, "b.yaml").expect("a baseline")
    }

    fn drifted(path: &str, test: Test) -> Drifted {
        Drifted {
            path: path.to_owned(),
            test,
            found: 1.0,
            limit: 0.5,
            then: DriftAction::Warn,
            what: String::new(),
        }
    }

    /// A window in which `a` is looked at by two tests, of which these drift.
    fn window(tests: &[Test]) -> Compared {
        Compared {
            drifted: tests.iter().map(|test| drifted("a", *test)).collect(),
            tests: vec![(0, Test::Nulls), (0, Test::Values)],
            unknown: Vec::new(),
        }
    }

    #[test]
    fn a_verdict_begins_once_and_ends_after_a_whole_window_without_it() {
        let (baseline, mut verdicts) = (baseline(), Verdicts::new(&baseline()));
        let mut take = |tests: &[Test], now| {
            let changes = verdicts.take(&baseline, &window(tests), now);
            let standing = verdicts.standing().map(|(place, one)| (place, one.since));
            (changes, standing.collect::<Vec<_>>())
        };
        assert_eq!(take(&[], 1), (vec![], vec![]));
        assert_eq!(
            take(&[Test::Values], 2),
            (vec![Change::Begun(0)], vec![(0, 2)])
        );
        assert_eq!(take(&[Test::Values], 3), (vec![], vec![(0, 2)]));
        // At the edge of its limit it goes on.
        for now in 4..4 + PARTS as i64 - 1 {
            assert_eq!(take(&[], now), (vec![], vec![(0, 2)]));
        }
        assert_eq!(take(&[Test::Nulls], 8), (vec![], vec![(0, 2)]));
        for now in 9..9 + PARTS as i64 - 1 {
            assert_eq!(take(&[], now), (vec![], vec![(0, 2)]));
        }
        let (changes, standing) = take(&[], 20);
        let ended = Verdict {
            since: 2,
            drifted: vec![drifted("a", Test::Nulls)],
        };
        assert_eq!((changes, standing), (vec![Change::Ended(0, ended)], vec![]));
        assert!(verdicts.is_right(0) && !verdicts.is_right(1));
        let mut take = |tests: &[Test], now| verdicts.take(&baseline, &window(tests), now);
        // And may begin again.
        assert_eq!(take(&[Test::Values], 21), [Change::Begun(0)]);
        assert!(!verdicts.is_right(0));
    }

    #[test]
    fn a_window_that_says_nothing_of_a_test_ends_no_verdict_of_it() {
        let (baseline, mut verdicts) = (baseline(), Verdicts::new(&baseline()));
        verdicts.take(&baseline, &window(&[Test::Values]), 1);
        // All nulls: no values to be looked at, and the part of nulls is as it was.
        let nulls = Compared {
            tests: vec![(0, Test::Nulls)],
            ..Compared::default()
        };
        for now in 0..100 {
            assert_eq!(verdicts.take(&baseline, &nulls, now), []);
        }
        assert!(verdicts.of(0).is_some() && verdicts.of(1).is_none());
        // Too many nulls, now: both tests stand, since nothing is known of the one.
        let drifts = Compared {
            drifted: vec![drifted("a", Test::Nulls)],
            ..nulls
        };
        assert_eq!(verdicts.take(&baseline, &drifts, 100), []);
        let tests = |verdicts: &Verdicts| {
            let drifted = verdicts.of(0).map(|verdict| &verdict.drifted);
            let tests = drifted.map(|all| all.iter().map(|one| one.test).collect::<Vec<_>>());
            tests.unwrap_or_default()
        };
        assert_eq!(tests(&verdicts), [Test::Values, Test::Nulls]);
        verdicts.take(&baseline, &window(&[Test::Nulls]), 101);
        assert_eq!(
            tests(&verdicts),
            [Test::Nulls],
            "the values are right again"
        );
    }
}
