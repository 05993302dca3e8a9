//! What a pipeline's configuration makes of a reason.

use crate::config::model::Failure;
use crate::error::Reason;
use crate::failure::classify::Policy;

/// What is done about a record that failed for `reason`.
pub fn policy(failure: &Failure, reason: Reason) -> Policy<'_> {
    let policy = Policy::of(reason, failure.attempts);
    let changed = failure.reasons.iter().find(|(named, _)| *named == reason);
    match changed {
        Some((_, changed)) => policy.changed(changed.retry, &changed.tiers, changed.attempts),
        None => policy,
    }
}
