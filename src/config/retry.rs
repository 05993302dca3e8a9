//! `failure`: what becomes of records that could not be processed. Input: the checked tree. Output: its part of the
//! model, and faults where tiers, reasons and ordering do not fit together.

use std::time::Duration;

use super::fault::Fault;
use super::lower::{Lowering, can_be_exceeded, dialects, ratio_limit, sub};
use super::model::{DeadLetter, Failure, OnDead, Override, PerKey, Placed};
use super::scalar::closest;
use super::tree::{Entry, Node};
use super::units::format_duration;
use super::view::{View, placed};
use crate::error::Reason;
use crate::failure::classify::{Disposition, classify};

/// With `has_dedup`, copies wait in retry for the first of their key.
pub(crate) fn failure(view: View<'_>, has_dedup: bool, cx: &mut Lowering<'_>) -> Failure {
    let retry = view.map("retry");
    let tiers = retry.durations("tiers");
    rising(&tiers, cx);
    let tiers: Vec<Duration> = tiers.into_iter().map(|(delay, _)| delay).collect();
    let dead_letter = view.map("dead_letter");
    can_be_exceeded(&dead_letter, "pause_above", cx);
    budget(&retry, &tiers, cx);
    Failure {
        jitter: retry.ratio("jitter"),
        budget: retry.duration("budget"),
        attempts: attempts(&retry),
        reasons: reasons(&retry, &tiers, cx),
        per_key: per_key(&retry, &tiers, has_dedup, cx),
        tiers,
        dead_letter: DeadLetter {
            topic: dead_letter.text("topic"),
            retention: dead_letter.optional_duration("retention"),
            headers: dialects(dead_letter, cx),
            pause_above: ratio_limit(&dead_letter, "pause_above"),
            pause_after: dead_letter.int("pause_after"),
        },
    }
}

fn rising(tiers: &[(Duration, Option<&Node>)], cx: &mut Lowering<'_>) {
    for pair in tiers.windows(2) {
        if let [(before, _), (delay, Some(node))] = pair
            && delay < before
        {
            let message = "a tier is at least as long as the one before";
            cx.faults.push(
                Fault::new(&node.place, &node.raw, message).hint("put the delays in rising order"),
            );
        }
    }
}

/// A record whose first wait ends beyond its budget is tried once more, and an outage is over for it.
fn budget(retry: &View<'_>, tiers: &[Duration], cx: &mut Lowering<'_>) {
    let budget = retry.duration("budget");
    if let Some(first) = tiers.first().filter(|first| budget < **first)
        && cx.complete
    {
        let message = format!(
            "`budget` ends before the first wait of {}: an outage is retried once, and then makes dead letters",
            format_duration(*first)
        );
        cx.warnings.push(
            Fault::new(retry.value_place("budget"), retry.raw("budget"), message)
                .hint("a budget longer than the outages that are to be waited out"),
        );
    }
}

fn attempts(view: &View<'_>) -> Option<u32> {
    view.int("attempts")
        .and_then(|count| u32::try_from(count).ok())
}

fn per_key(
    retry: &View<'_>,
    tiers: &[Duration],
    has_dedup: bool,
    cx: &mut Lowering<'_>,
) -> Option<PerKey> {
    if retry.scalar("ordering") != Some("per_key") {
        for key in ["on_dead", "max_parked_keys", "max_parked_records"] {
            let is_bound = key != "on_dead" && has_dedup;
            if retry.has(key) && cx.complete && !is_bound {
                let message = format!("`{key}` has no effect without `ordering: per_key`");
                cx.warnings.push(
                    Fault::new(retry.place(key), key, message).hint("add it, or take this out"),
                );
            }
        }
        return None;
    }
    if tiers.is_empty() {
        let message = "`ordering: per_key` needs a retry tier for the records of a key to wait in";
        cx.faults.push(
            Fault::new(retry.value_place("ordering"), "per_key", message)
                .hint("tiers: [5s, 1m, 10m], or ordering: none"),
        );
    }
    let bound = |key: &str| {
        let bound = retry.int(key).and_then(|count| usize::try_from(count).ok());
        bound.unwrap_or(usize::MAX)
    };
    Some(PerKey {
        on_dead: match retry.scalar("on_dead") {
            Some("park") => OnDead::Park,
            Some("dead_letter_followers") => OnDead::DeadLetterFollowers,
            _ => OnDead::Release,
        },
        max_keys: bound("max_parked_keys"),
        max_records: bound("max_parked_records"),
    })
}

fn reasons(retry: &View<'_>, tiers: &[Duration], cx: &mut Lowering<'_>) -> Vec<(Reason, Override)> {
    let entries = retry.node("reasons").map_or(&[][..], Node::entries);
    entries
        .iter()
        .filter(|entry| !entry.duplicate)
        .filter_map(|entry| {
            let name = placed(&entry.key);
            let reason = reason(&name, entry, cx)?;
            let keys = retry.map("reasons").keys();
            let view = sub(&entry.value, keys, &entry.key.place);
            let word = entry.value.text().or_else(|| view.scalar("fate"));
            let changed = Override {
                retry: word != Some("dead_letter"),
                tiers: chosen(&view, tiers, cx),
                attempts: attempts(&view),
            };
            check(reason, &changed, &view, entry, tiers, cx);
            Some((reason, changed))
        })
        .collect()
}

/// The reason that a key names, if it is one whose fate can be chosen.
fn reason(name: &Placed<String>, entry: &Entry, cx: &mut Lowering<'_>) -> Option<Reason> {
    let mut refuse = |message: String, hint: Option<String>| {
        let fault = Fault::new(&name.place, &entry.key.raw, message);
        cx.faults.push(match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        });
        None
    };
    let free = || Reason::ALL.into_iter().filter(|reason| is_free(*reason));
    let Some(reason) = Reason::parse(&name.value) else {
        let hint = match closest(&name.value, free().map(Reason::as_str)) {
            Some(known) => format!("did you mean {known}?"),
            None => format!(
                "one of: {}",
                free().map(Reason::as_str).collect::<Vec<_>>().join(", ")
            ),
        };
        let message = format!("`{}` is not a reason for which a record fails", name.value);
        return refuse(message, Some(hint));
    };
    match classify(reason) {
        Disposition::Pause => refuse(
            format!("`{reason}` cannot be retried or dead-lettered: its partition pauses"),
            Some(
                "nothing is wrong with the record, and the next one would fail as well: they wait where they are, and no \
                 outage becomes a heap of dead letters"
                    .to_owned(),
            ),
        ),
        Disposition::Follow => refuse(
            format!("`{reason}` is no failure: the record waits for another one of its key"),
            Some("see `ordering`".to_owned()),
        ),
        Disposition::SetAside => refuse(
            format!("`{reason}` is no failure: the record stands behind another one of its key"),
            Some("see `dedup.then` and `stale.then`".to_owned()),
        ),
        _ if reason == Reason::PredecessorDeadLettered => refuse(
            format!("`{reason}` is what `on_dead: dead_letter_followers` asks for"),
            Some("on_dead: release, or park".to_owned()),
        ),
        Disposition::DeadLetter | Disposition::Retry | Disposition::RetryUntilBudget => Some(reason),
    }
}

fn is_free(reason: Reason) -> bool {
    let is_none = |fate| {
        matches!(
            fate,
            Disposition::Pause | Disposition::Follow | Disposition::SetAside
        )
    };
    !is_none(classify(reason)) && reason != Reason::PredecessorDeadLettered
}

/// The tiers that an entry names, as their indices.
fn chosen(view: &View<'_>, tiers: &[Duration], cx: &mut Lowering<'_>) -> Vec<usize> {
    let named = view.durations("tiers");
    rising(&named, cx);
    if view.node("tiers").is_some_and(Node::is_empty) && cx.complete {
        cx.faults.push(
            Fault::new(view.place("tiers"), "tiers", "no tier is named here")
                .hint("fate: dead_letter, if it is not to be retried"),
        );
    }
    let mut found: Vec<usize> = Vec::new();
    for (delay, node) in named {
        // Two tiers of one delay are named one after the other.
        let from = found.last().map_or(0, |last| last + 1);
        let is_it = |index: &usize| tiers[*index] == delay;
        // One that is out of order has been reported as that.
        let index = (from..tiers.len())
            .find(is_it)
            .or_else(|| (0..from).find(is_it));
        match (index, node) {
            (Some(index), _) => found.push(index),
            (None, Some(node)) if cx.complete => {
                let all: Vec<_> = tiers.iter().map(|tier| format_duration(*tier)).collect();
                let message = format!("{} is not one of `failure.retry.tiers`", node.raw);
                cx.faults
                    .push(
                        Fault::new(&node.place, &node.raw, message).hint(match all.is_empty() {
                            true => "there are none".to_owned(),
                            false => format!("they are: {}", all.join(", ")),
                        }),
                    );
            }
            _ => {}
        }
    }
    found
}

/// What the keys of one entry mean together.
fn check(
    reason: Reason,
    changed: &Override,
    view: &View<'_>,
    entry: &Entry,
    tiers: &[Duration],
    cx: &mut Lowering<'_>,
) {
    let at = &entry.key.place;
    if changed.retry {
        if tiers.is_empty() && cx.complete {
            let message = format!("there is no tier to retry `{reason}` on");
            cx.faults
                .push(Fault::new(at, &entry.key.raw, message).hint("tiers: [5s, 1m, 10m]"));
        }
        return;
    }
    if classify(reason) == Disposition::RetryUntilBudget {
        let message = format!("`{reason}` is an outage, and an outage is no dead letter at once");
        cx.faults.push(
            Fault::new(at, &entry.key.raw, message).hint(
                "fewer `tiers`, or `attempts`; without any tiers its partition pauses instead",
            ),
        );
    }
    for key in ["tiers", "attempts"] {
        if view.has(key) {
            let message = format!("`{key}` has no effect on a dead letter");
            cx.faults.push(
                Fault::new(view.place(key), key, message).hint("fate: retry, or take it out"),
            );
        }
    }
}
