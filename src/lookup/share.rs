//! Which part of a group's limits is ours, from what is seen of its members. Pure: the clock is an argument.
//!
//! A smaller part counts at once. A larger one counts only when it has been seen for longer than any other instance
//! takes to see the same: until then, somebody may still ask by his old, larger part.

use std::time::{Duration, Instant};

/// Our members, and all of the group.
pub(super) type Part = (u32, u32);

pub(super) struct Share {
    settle: Duration,
    now: Option<Part>,
    larger: Option<(Part, Instant)>,
}

impl Share {
    pub(super) fn new(settle: Duration) -> Share {
        Share {
            settle,
            now: None,
            larger: None,
        }
    }

    /// What was seen. Returns the part that counts from now on, if it is another than before.
    pub(super) fn see(&mut self, seen: Part, now: Instant) -> Option<Part> {
        let is_larger = self.now.is_none_or(|part| is_larger(seen, part));
        if !is_larger {
            self.larger = None;
            return (self.now.replace(seen) != Some(seen)).then_some(seen);
        }
        match self.larger {
            Some((part, since)) if part == seen => {
                if now.saturating_duration_since(since) < self.settle {
                    return None;
                }
                self.larger = None;
                self.now = Some(seen);
                Some(seen)
            }
            _ => {
                self.larger = Some((seen, now));
                None
            }
        }
    }
}

fn is_larger((own, all): Part, (old, of): Part) -> bool {
    u64::from(own) * u64::from(of) > u64::from(old) * u64::from(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTLE: Duration = Duration::from_secs(3);

    #[test]
    fn less_counts_at_once_and_more_when_it_has_settled() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut share = Share::new(SETTLE);
        for (second, seen, counts) in [
            (0, (1, 1), None),
            (2, (1, 1), None),
            (3, (1, 1), Some((1, 1))),
            (4, (1, 1), None),
            (5, (1, 2), Some((1, 2))),
            (6, (2, 3), None),
            // Another than the one that was settling: it begins anew.
            (9, (1, 1), None),
            (11, (1, 1), None),
            (12, (1, 1), Some((1, 1))),
            (13, (2, 2), Some((2, 2))),
            (14, (2, 3), Some((2, 3))),
        ] {
            assert_eq!(share.see(seen, at(second)), counts, "at {second}");
        }
    }

    proptest! {
        /// Instances that look once a second never have more than the whole together, whatever comes and goes.
        #[test]
        fn parts_never_add_up_to_more_than_the_whole(
            live in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 1..12),
            offsets in prop::collection::vec(0u64..1000, 4),
        ) {
            let start = Instant::now();
            let mut shares: Vec<Share> = (0..4).map(|_| Share::new(SETTLE)).collect();
            let mut parts: Vec<Option<Part>> = vec![None; 4];
            for (era, members) in live.iter().enumerate() {
                let all = members.iter().filter(|live| **live).count() as u32;
                for (who, is_live) in members.iter().enumerate() {
                    if !is_live {
                        shares[who] = Share::new(SETTLE);
                        parts[who] = None;
                    }
                }
                for second in 0..8u64 {
                    for (who, is_live) in members.iter().enumerate() {
                        if *is_live {
                            let millis = (era as u64 * 8 + second) * 1000 + offsets[who];
                            let now = start + Duration::from_millis(millis);
                            if let Some(part) = shares[who].see((1, all), now) {
                                parts[who] = Some(part);
                            }
                        }
                    }
                    // Within the first round of an era, some have not looked yet; they still have their old part, and
                    // those who came have none.
                    let sum: f64 = parts.iter().flatten()
                        .map(|(own, all)| f64::from(*own) / f64::from(*all)).sum();
                    prop_assert!(sum < 1.0 + 1e-9, "{parts:?}");
                }
            }
        }
    }
}
