//! When a retry is due, and how long a paused partition waits. Pure: the clock and the random number are arguments.

use std::time::Duration;

/// Between these a retry partition sleeps at least; see [`retry_sleep`].
const SHORTEST_SLEEP: Duration = Duration::from_millis(200);
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// When a record that goes to a retry tier is due: milliseconds since the epoch.
///
/// Due times that one owner writes to a tier partition never decrease, so that its head is the next due: `previous` is the last
/// one that it has written there. `unit` is a random number in 0..1, of which `jitter` (0..1) of the delay is added.
///
/// What an earlier owner has written last may be due later, by the jitter at most: what is written behind that waits for it. To
/// begin where that can have ended would have everything that fails in the first delay after a restart come back at one moment.
pub fn due_at(previous: i64, now: i64, delay: Duration, jitter: f64, unit: f64) -> i64 {
    previous.max(now.saturating_add(jittered(delay, jitter, unit)))
}

/// The latest due time that anybody can have written to the tier partition before `now`, clocks agreeing.
pub fn latest_due(now: i64, delay: Duration, jitter: f64) -> i64 {
    now.saturating_add(jittered(delay, jitter, 1.0))
}

/// How far apart the clocks may be of those who write and read one retry partition.
const SKEW: i64 = 3_600_000;

/// Whether a time in a record can have been meant, when nothing is written that lies later than `latest`. One that lies much
/// further ahead was written by a clock that was wrong for a moment: what it says would hold up everything behind it, for
/// years if need be.
pub fn is_meant(time: i64, latest: i64) -> bool {
    time <= latest.saturating_add(SKEW)
}

/// In milliseconds, as times are written.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn jittered(delay: Duration, jitter: f64, unit: f64) -> i64 {
    let delay = delay.as_millis() as f64;
    (delay + delay * jitter * unit) as i64
}

/// How long a retry partition sleeps whose head is due in `remaining`, in a tier of that delay. At least 200 ms, and a fifth
/// of the delay up to 5 s: each pause throws the prefetch away, so a tier that is always nearly due would fetch thousands
/// of records again and again for the few that have come due.
pub fn retry_sleep(remaining: Duration, delay: Duration) -> Duration {
    remaining.max((delay / 5).clamp(SHORTEST_SLEEP, LONGEST_SLEEP))
}

/// The wait before a paused partition is tried again: 200 ms, doubling to 10 s.
pub fn pause(tries: u32) -> Duration {
    Duration::from_millis(200u64 << tries.min(10)).min(Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn due_times_never_decrease(
            start in 0i64..1_000_000,
            steps in proptest::collection::vec((-5_000i64..60_000, 0.0f64..1.0), 1..100),
            delay_ms in 1_000u64..600_000,
            jitter in 0.0f64..1.0,
        ) {
            let delay = Duration::from_millis(delay_ms);
            let (mut now, mut previous) = (start, 0);
            for (step, unit) in steps {
                now += step; // clocks also go back
                let due = due_at(previous, now, delay, jitter, unit);
                prop_assert!(due >= previous);
                prop_assert!(due >= now + delay_ms as i64);
                prop_assert!(due <= previous.max(latest_due(now, delay, jitter)));
                previous = due;
            }
        }
    }

    #[test]
    fn a_time_that_no_tier_reaches_is_not_meant() {
        let latest = latest_due(1_000, Duration::from_secs(60), 0.5);
        assert_eq!(latest, 91_000);
        for (time, expect) in [
            (i64::MIN, true),
            (0, true),
            (91_000, true),
            (91_000 + SKEW, true),
            (91_001 + SKEW, false),
            (i64::MAX, false),
        ] {
            assert_eq!(is_meant(time, latest), expect, "{time}");
        }
        assert!(is_meant(i64::MAX, i64::MAX));
    }

    #[test]
    fn a_tier_sleeps_until_its_head_is_due_and_never_too_briefly() {
        for (remaining, delay, expect) in [
            (30_000, 60_000, 30_000),
            (1, 60_000, 5_000),
            (1, 3_600_000, 5_000),
            (1, 5_000, 1_000),
            (1, 100, 200),
            (1, 0, 200),
        ] {
            let [remaining, delay, expect] = [remaining, delay, expect].map(Duration::from_millis);
            assert_eq!(retry_sleep(remaining, delay), expect);
        }
    }

    #[test]
    fn pauses_double_to_a_bound() {
        assert_eq!(pause(0), Duration::from_millis(200));
        assert_eq!(pause(3), Duration::from_millis(1600));
        assert_eq!(pause(6), Duration::from_secs(10));
        assert_eq!(pause(u32::MAX), Duration::from_secs(10));
    }
}
