//! When each record is due: phases of fixed rates, one after the other. Latencies count from there, so a sender that is late
//! makes nothing look better. Pure.

use std::time::Duration;

/// A fixed rate for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// What a person calls it.
    pub name: &'static str,
    /// Records a second.
    pub rate: u64,
    /// For so long.
    pub length: Duration,
}

/// Phases, and what is there before they begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Records that are written before anybody reads.
    pub before: u64,
    /// One after the other.
    pub phases: Vec<Phase>,
}

impl Schedule {
    /// Records by the end of each phase, those before included.
    fn ends(&self) -> impl Iterator<Item = (&Phase, u64, u64)> {
        self.phases.iter().scan(self.before, |from, phase| {
            let first = *from;
            *from += records(phase, phase.length);
            Some((phase, first, *from))
        })
    }

    /// All records.
    pub fn total(&self) -> u64 {
        self.ends().last().map_or(self.before, |(_, _, end)| end)
    }

    /// How long all phases are.
    pub fn length(&self) -> Duration {
        self.phases.iter().map(|phase| phase.length).sum()
    }

    /// When a phase ends.
    pub fn end_of(&self, index: usize) -> Duration {
        self.phases[..=index].iter().map(|phase| phase.length).sum()
    }

    /// Which phase it is at a time; `None` behind all of them.
    pub fn phase_at(&self, elapsed: Duration) -> Option<usize> {
        (0..self.phases.len()).find(|index| elapsed < self.end_of(*index))
    }

    /// Records that are due by then, those before included.
    pub fn due_by(&self, elapsed: Duration) -> u64 {
        let mut left = elapsed;
        let mut due = self.before;
        for phase in &self.phases {
            due += records(phase, left.min(phase.length));
            left = left.saturating_sub(phase.length);
        }
        due
    }

    /// The phase of a record, and when it is due; `None` for those before, and for those that there are not.
    pub fn of(&self, number: u64) -> Option<(usize, Duration)> {
        let mut began = Duration::ZERO;
        for (index, (phase, from, to)) in self.ends().enumerate() {
            if (from..to).contains(&number) {
                let nanos = u128::from(number - from + 1) * 1_000_000_000 / u128::from(phase.rate);
                let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
                return Some((index, began + Duration::from_nanos(nanos)));
            }
            began += phase.length;
        }
        None
    }
}

fn records(phase: &Phase, time: Duration) -> u64 {
    u64::try_from(u128::from(phase.rate) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        let phase = |name, rate, seconds| Phase {
            name,
            rate,
            length: Duration::from_secs(seconds),
        };
        Schedule {
            before: 5,
            phases: vec![phase("steady", 10, 2), phase("burst", 100, 1)],
        }
    }

    #[test]
    fn records_are_due_by_their_phase() {
        let schedule = schedule();
        assert_eq!((schedule.total(), schedule.length().as_secs()), (125, 3));
        let due = |millis| schedule.due_by(Duration::from_millis(millis));
        assert_eq!(
            [due(0), due(1000), due(2000), due(2500), due(9000)],
            [5, 15, 25, 75, 125]
        );
        assert_eq!(schedule.of(4), None);
        assert_eq!(schedule.of(5), Some((0, Duration::from_millis(100))));
        assert_eq!(schedule.of(25), Some((1, Duration::from_millis(2010))));
        assert_eq!(schedule.of(125), None);
        let at = |millis| schedule.phase_at(Duration::from_millis(millis));
        assert_eq!(
            [at(0), at(1999), at(2000), at(3000)],
            [Some(0), Some(0), Some(1), None]
        );
    }

    #[test]
    fn each_record_is_due_when_it_says_so() {
        let schedule = schedule();
        for number in 5..125 {
            let (_, due) = schedule.of(number).expect("it is one");
            assert!(schedule.due_by(due) > number, "{number}");
            assert!(
                schedule.due_by(due - Duration::from_micros(1)) <= number,
                "{number}"
            );
        }
    }
}
