//! Maps every reason to a disposition. One `match` without a catch-all arm: a new reason does not compile until
//! somebody has decided its fate.

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
        | Reason::MalformedData
        | Reason::UnresolvableValue
        | Reason::RuleViolation
        | Reason::TransformFailed
        | Reason::EncodeFailed
        | Reason::RecordTooLarge
        | Reason::LookupNotFound => Disposition::DeadLetter,
        // Registries replicate late: an id that a producer got a moment ago may reach our replica in a moment.
        Reason::UnknownSchema => Disposition::Retry,
        Reason::LookupUnavailable | Reason::NativeUnavailable => Disposition::RetryUntilBudget,
        // A drift that halts waits for a person, and the records wait with it.
        Reason::DriftHalted
        | Reason::LookupMisconfigured
        | Reason::LookupNotLoaded
        | Reason::RegistryUnavailable
        | Reason::BrokerUnavailable => Disposition::Pause,
    }
}

/// Where a record goes that is to be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Retry tier, counted from 0.
    Tier(usize),
    /// Dead letter: tiers or budget are used up.
    DeadLetter,
    /// There are no tiers: the partition pauses instead.
    Pause,
}

/// The next place of a record that failed with `disposition`.
///
/// `attempt` counts its failures before this one, `first_failed_at` and `now` are milliseconds since the epoch, and
/// `retry_after` picks the first tier that is at least that long.
pub fn next(
    disposition: Disposition,
    tiers: &[std::time::Duration],
    attempt: u32,
    first_failed_at: i64,
    now: i64,
    budget: std::time::Duration,
    retry_after: Option<std::time::Duration>,
) -> Next {
    let repeat = match disposition {
        Disposition::DeadLetter => return Next::DeadLetter,
        Disposition::Pause => return Next::Pause,
        Disposition::Retry => false,
        Disposition::RetryUntilBudget => true,
    };
    let Some(last) = tiers.len().checked_sub(1) else {
        // Without tiers a record that may pass soon waits where it is; an unknown id would wait for ever.
        return if repeat {
            Next::Pause
        } else {
            Next::DeadLetter
        };
    };
    let attempt = attempt as usize;
    let over_budget = now.saturating_sub(first_failed_at)
        >= i64::try_from(budget.as_millis()).unwrap_or(i64::MAX);
    if over_budget || (attempt > last && !repeat) {
        return Next::DeadLetter;
    }
    let tier = attempt.min(last);
    let asked = retry_after.map_or(0, |wait| {
        tiers
            .iter()
            .position(|delay| *delay >= wait)
            .unwrap_or(last)
    });
    Next::Tier(tier.max(asked))
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

    #[test]
    fn tiers_then_dead_letter_or_the_last_tier_until_the_budget_ends() {
        let check = |disposition, attempt, age_s: i64, retry_after: Option<u64>, expect| {
            let now = 1_000_000_000;
            let found = next(
                disposition,
                &TIERS,
                attempt,
                now - age_s * 1000,
                now,
                DAY,
                retry_after.map(Duration::from_secs),
            );
            assert_eq!(
                found, expect,
                "{disposition:?} attempt {attempt} age {age_s} after {retry_after:?}"
            );
        };
        check(Disposition::Retry, 0, 0, None, Next::Tier(0));
        check(Disposition::Retry, 2, 70, None, Next::Tier(2));
        check(Disposition::Retry, 3, 700, None, Next::DeadLetter);
        check(Disposition::RetryUntilBudget, 3, 700, None, Next::Tier(2));
        check(
            Disposition::RetryUntilBudget,
            90,
            86_399,
            None,
            Next::Tier(2),
        );
        check(
            Disposition::RetryUntilBudget,
            90,
            86_400,
            None,
            Next::DeadLetter,
        );
        check(Disposition::RetryUntilBudget, 0, 0, Some(6), Next::Tier(1));
        check(
            Disposition::RetryUntilBudget,
            0,
            0,
            Some(6000),
            Next::Tier(2),
        );
        check(Disposition::DeadLetter, 0, 0, None, Next::DeadLetter);
        check(Disposition::Pause, 0, 0, None, Next::Pause);
    }

    #[test]
    fn without_tiers_an_outage_pauses() {
        assert_eq!(
            next(Disposition::RetryUntilBudget, &[], 0, 0, 0, DAY, None),
            Next::Pause
        );
        assert_eq!(
            next(Disposition::Retry, &[], 0, 0, 0, DAY, None),
            Next::DeadLetter
        );
    }
}
