//! Maps every reason to a disposition. One `match` without a catch-all arm: a new reason does not compile until
//! somebody has decided its fate.

use std::time::Duration;

use super::backoff::millis;
use crate::error::Reason;

/// The fate of a failed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It can never pass as it is: to the dead-letter topic, at once.
    DeadLetter,
    /// It may pass soon: once through the retry tiers, then dead letter.
    Retry,
    /// A dependency is down for this record: through the retry tiers, then again and again on the last one until the
    /// retry budget is used up.
    RetryUntilBudget,
    /// Not the record's fault, and the next record would fail as well: its partition pauses, keeping its offset.
    Pause,
    /// It has not failed: it goes where the record of its key is that it follows.
    Follow,
    /// It has not failed: it goes where `dedup.then` or `stale.then` says.
    SetAside,
}

/// The fate of a record that failed for `reason`.
pub fn classify(reason: Reason) -> Disposition {
    match reason {
        Reason::Unframed
        | Reason::UnframedJson
        | Reason::UnsupportedFraming
        | Reason::UnsupportedSchema
        | Reason::IncompatibleSchema
        | Reason::Drift
        | Reason::ValueDrift
        | Reason::MalformedData
        | Reason::UnresolvableValue
        | Reason::RuleViolation
        | Reason::ForeignField
        | Reason::TransformFailed
        | Reason::EncodeFailed
        | Reason::RecordTooLarge
        | Reason::RecordRefused
        | Reason::LookupNotFound
        | Reason::PredecessorDeadLettered => Disposition::DeadLetter,
        // Registries replicate late: an id that a producer got a moment ago may reach our replica in a moment.
        Reason::UnknownSchema => Disposition::Retry,
        Reason::LookupUnavailable | Reason::NativeUnavailable => Disposition::RetryUntilBudget,
        // A drift that halts waits for a person, and the records wait with it.
        Reason::DriftHalted
        | Reason::LookupMisconfigured
        | Reason::LookupNotLoaded
        | Reason::RegistryUnavailable
        | Reason::BrokerUnavailable => Disposition::Pause,
        Reason::Parked => Disposition::Follow,
        Reason::Duplicate | Reason::Stale => Disposition::SetAside,
    }
}

/// What is done about a reason: its fate, or what the configuration makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy<'a> {
    /// The fate.
    pub disposition: Disposition,
    /// The tiers to go through, counted from 0; empty: all.
    pub tiers: &'a [usize],
    /// How often a record is tried at most.
    pub attempts: Option<u32>,
}

impl<'a> Policy<'a> {
    /// As nobody has said anything else.
    pub fn of(reason: Reason, attempts: Option<u32>) -> Policy<'a> {
        Policy {
            disposition: classify(reason),
            tiers: &[],
            attempts,
        }
    }

    /// The same, for a reason that is to be retried or not, on other tiers or so many times. A pause stays one.
    #[must_use]
    pub fn changed(self, retry: bool, tiers: &'a [usize], attempts: Option<u32>) -> Policy<'a> {
        let disposition = match (self.disposition, retry) {
            (Disposition::DeadLetter, true) => Disposition::Retry,
            (Disposition::Retry, false) => Disposition::DeadLetter,
            (disposition, _) => disposition,
        };
        Policy {
            disposition,
            tiers,
            attempts: attempts.or(self.attempts),
        }
    }
}

/// What is known of a record that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// How often it had failed before.
    pub before: u32,
    /// When it failed first, milliseconds since the epoch.
    pub first_at: i64,
    /// Now.
    pub now: i64,
    /// How long the other side asked to wait.
    pub retry_after: Option<Duration>,
}

/// Where a record goes that is to be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Retry tier, counted from 0.
    Tier(usize),
    /// Dead letter: tiers, attempts or budget are used up.
    DeadLetter,
    /// There are no tiers: the partition pauses instead.
    Pause,
}

/// The next place of a failed record. A `Retry-After` picks the first of its tiers that is at least that long, or the last.
pub fn next(policy: Policy<'_>, tiers: &[Duration], budget: Duration, failed: Failed) -> Next {
    let repeat = match policy.disposition {
        Disposition::DeadLetter | Disposition::SetAside => return Next::DeadLetter,
        Disposition::Pause => return Next::Pause,
        Disposition::Retry | Disposition::Follow => false,
        Disposition::RetryUntilBudget => true,
    };
    let Some(all) = tiers.len().checked_sub(1) else {
        // Without tiers a record that may pass soon waits where it is; an unknown id would wait for ever.
        return if repeat {
            Next::Pause
        } else {
            Next::DeadLetter
        };
    };
    let last = policy.tiers.len().checked_sub(1).unwrap_or(all);
    let tier = |index: usize| policy.tiers.get(index).copied().unwrap_or(index).min(all);
    let over_budget = failed.now.saturating_sub(failed.first_at) >= millis(budget);
    let used_up = match policy.attempts {
        Some(most) => failed.before.saturating_add(1) >= most,
        None => !repeat && failed.before as usize > last,
    };
    if over_budget || used_up {
        return Next::DeadLetter;
    }
    let asked = failed.retry_after.map_or(0, |wait| {
        (0..=last)
            .find(|index| tiers[tier(*index)] >= wait)
            .unwrap_or(last)
    });
    Next::Tier(tier((failed.before as usize).min(last).max(asked)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIERS: [Duration; 3] = [
        Duration::from_secs(5),
        Duration::from_secs(60),
        Duration::from_secs(600),
    ];
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn outages_never_dead_letter_at_once() {
        for reason in [
            Reason::RegistryUnavailable,
            Reason::BrokerUnavailable,
            Reason::LookupMisconfigured,
            Reason::LookupNotLoaded,
        ] {
            assert_eq!(classify(reason), Disposition::Pause);
        }
        assert_eq!(
            classify(Reason::LookupUnavailable),
            Disposition::RetryUntilBudget
        );
    }

    #[test]
    fn every_reason_has_a_fate_and_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> =
            Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
    }

    const ALL: Policy<'static> = Policy {
        disposition: Disposition::Retry,
        tiers: &[],
        attempts: None,
    };
    const OUTAGE: Policy<'static> = Policy {
        disposition: Disposition::RetryUntilBudget,
        ..ALL
    };

    #[track_caller]
    fn check(
        policy: Policy<'_>,
        before: u32,
        age_s: i64,
        retry_after: impl Into<Option<u64>>,
        expect: Next,
    ) {
        let now = 1_000_000_000;
        let failed = Failed {
            before,
            first_at: now - age_s * 1000,
            now,
            retry_after: retry_after.into().map(Duration::from_secs),
        };
        let found = next(policy, &TIERS, DAY, failed);
        assert_eq!(found, expect, "{policy:?} {failed:?}");
    }

    #[test]
    fn tiers_then_dead_letter_or_the_last_tier_until_the_budget_ends() {
        check(ALL, 0, 0, None, Next::Tier(0));
        check(ALL, 2, 70, None, Next::Tier(2));
        check(ALL, 3, 700, None, Next::DeadLetter);
        check(ALL, 1, 86_400, None, Next::DeadLetter);
        check(OUTAGE, 3, 700, None, Next::Tier(2));
        check(OUTAGE, 90, 86_399, None, Next::Tier(2));
        check(OUTAGE, 90, 86_400, None, Next::DeadLetter);
        check(OUTAGE, 0, 0, 6, Next::Tier(1));
        check(OUTAGE, 0, 0, 6000, Next::Tier(2));
        for (disposition, expect) in [
            (Disposition::DeadLetter, Next::DeadLetter),
            (Disposition::Pause, Next::Pause),
        ] {
            let policy = Policy { disposition, ..ALL };
            check(policy, 0, 0, None, expect);
        }
    }

    #[test]
    fn attempts_end_what_tiers_and_budget_would_let_go_on() {
        let most = |policy: Policy<'static>, attempts| Policy {
            attempts: Some(attempts),
            ..policy
        };
        for policy in [most(ALL, 2), most(OUTAGE, 2)] {
            check(policy, 0, 0, None, Next::Tier(0));
            check(policy, 1, 0, None, Next::DeadLetter);
        }
        // More than there are tiers: round on the last one.
        check(most(ALL, 6), 4, 0, None, Next::Tier(2));
        check(most(ALL, 6), 5, 0, None, Next::DeadLetter);
        check(most(OUTAGE, 1000), 5, 86_400, None, Next::DeadLetter);
    }

    #[test]
    fn a_reason_has_tiers_and_a_fate_of_its_own() {
        let on = |reason, tiers| Policy::of(reason, None).changed(true, tiers, None);
        check(
            on(Reason::LookupUnavailable, &[1, 2]),
            0,
            0,
            None,
            Next::Tier(1),
        );
        check(
            on(Reason::LookupUnavailable, &[1, 2]),
            1,
            0,
            None,
            Next::Tier(2),
        );
        check(
            on(Reason::LookupUnavailable, &[1]),
            9,
            0,
            None,
            Next::Tier(1),
        );
        check(
            on(Reason::LookupUnavailable, &[0, 1]),
            0,
            0,
            600,
            Next::Tier(1),
        );
        check(
            on(Reason::RuleViolation, &[0, 2]),
            1,
            0,
            None,
            Next::Tier(2),
        );
        check(
            on(Reason::RuleViolation, &[0, 2]),
            2,
            0,
            None,
            Next::DeadLetter,
        );
        let never = Policy::of(Reason::UnknownSchema, Some(9)).changed(false, &[], None);
        check(never, 0, 0, None, Next::DeadLetter);
        // Whatever is said, an outage stays one.
        for retry in [true, false] {
            let policy = |reason| {
                Policy::of(reason, None)
                    .changed(retry, &[], None)
                    .disposition
            };
            assert_eq!(policy(Reason::RegistryUnavailable), Disposition::Pause);
            let lookup = policy(Reason::LookupUnavailable);
            assert_eq!(lookup, Disposition::RetryUntilBudget);
        }
    }

    #[test]
    fn without_tiers_an_outage_pauses() {
        let failed = Failed {
            before: 0,
            first_at: 0,
            now: 0,
            retry_after: None,
        };
        assert_eq!(next(OUTAGE, &[], DAY, failed), Next::Pause);
        assert_eq!(next(ALL, &[], DAY, failed), Next::DeadLetter);
    }
}
