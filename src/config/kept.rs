//! What `dedup` and `stale` have in common: the key that records are known by, how much is remembered of it, and what becomes of a
//! record that does not go on. Input: their part of the checked tree. Output: parts of the model, and faults.

use super::fault::Fault;
use super::lower::Lowering;
use super::model::{Kept, KeyBy, Then};
use super::view::View;

pub(crate) fn lower(view: &View<'_>, cx: &mut Lowering<'_>) -> Kept {
    if view.scalar("store") == Some("disk") && !cx.has_state_dir && cx.complete {
        let message = "`store: disk` needs a `state_dir`, at the top of the file: a folder of this instance's own";
        let fault = Fault::new(view.value_place("store"), "disk", message);
        cx.faults.push(fault.hint("state_dir: /var/lib/driftgate"));
    }
    let max_keys = view.int("max_keys").unwrap_or_default();
    Kept {
        window: view.optional_duration("window"),
        max_keys: usize::try_from(max_keys).unwrap_or(usize::MAX),
        on_disk: view.scalar("store") == Some("disk"),
        begin_empty: view.scalar("on_missing_state") == Some("begin_empty"),
    }
}

/// The expression that `what` have in common, if there is one. `asserted` is the word of `partitioned_by` by which its values alone
/// say which partition that is.
pub(crate) fn key(
    view: &View<'_>,
    what: &str,
    asserted: &str,
    cx: &mut Lowering<'_>,
) -> Option<KeyBy> {
    if !view.has("key") {
        if view.has("partitioned_by") && cx.complete {
            let message = format!(
                "`partitioned_by` says why {what} with one `key` come to one partition, and there is no `key`"
            );
            let fault = Fault::new(view.place("partitioned_by"), "partitioned_by", message);
            cx.faults.push(fault.hint("name the key, or take this out"));
        }
        return None;
    }
    let text = view.placed("key");
    if !view.has("partitioned_by") && cx.complete {
        let message = format!(
            "{what} by this key are only known where they have the same record key as well"
        );
        let fault = Fault::new(view.value_place("key"), text.value.clone(), message);
        cx.advice.push(fault.hint(format!(
            "say partitioned_by: record_key if that is so, or {asserted} where producers partition by this key"
        )));
    }
    Some(KeyBy::Expression {
        text,
        with_record_key: view.scalar("partitioned_by") != Some(asserted),
    })
}

pub(crate) fn then(view: &View<'_>, cx: &mut Lowering<'_>) -> Then {
    let then = match view.scalar("then") {
        Some("topic") if view.has("topic") => return Then::Topic(view.placed("topic")),
        Some("topic") => {
            let at = view.value_place("then");
            let message = "`then: topic` needs a `topic`";
            cx.faults
                .push(Fault::new(at, "topic", message).hint("topic: orders.aside"));
            return Then::Drop;
        }
        Some("dead_letter") => Then::DeadLetter,
        Some("pass") => Then::Pass,
        _ => Then::Drop,
    };
    if view.has("topic") && cx.complete {
        let message = "nothing is written to this topic";
        let fault = Fault::new(view.value_place("topic"), view.raw("topic"), message);
        cx.faults.push(fault.hint("then: topic, or take this out"));
    }
    then
}
