//! `dedup`: what copies of a record are known by. Input: the checked tree. Output: its part of the model, and faults where keys do
//! not fit together.

use super::fault::Fault;
use super::kept;
use super::lower::Lowering;
use super::model::{Dedup, Failure, KeyBy, OnDead, PerKey};
use super::view::View;

pub(crate) fn lower(
    pipeline: &View<'_>,
    failure: &Failure,
    cx: &mut Lowering<'_>,
) -> Option<Dedup> {
    if !pipeline.has("dedup") {
        return None;
    }
    let view = pipeline.map("dedup");
    if !view.has("window") && !view.has("max_keys") && cx.complete {
        let message = "`dedup` does not say how long a key is remembered";
        let hint = "window: 24h, or max_keys: 1000000, or both";
        let fault = Fault::new(pipeline.place("dedup"), "dedup", message).hint(hint);
        cx.faults.push(fault);
    }
    let retry = pipeline.map("failure").map("retry");
    let bound = |key: &str| {
        let bound = retry.int(key).and_then(|count| usize::try_from(count).ok());
        bound.unwrap_or(usize::MAX)
    };
    Some(Dedup {
        by: by(&view, failure, cx),
        kept: kept::lower(&view, cx),
        then: kept::then(&view, cx),
        parked: PerKey {
            // A dead letter's key is free: its corrected copy shall pass.
            on_dead: OnDead::Release,
            max_keys: bound("max_parked_keys"),
            max_records: bound("max_parked_records"),
        },
    })
}

fn by(view: &View<'_>, failure: &Failure, cx: &mut Lowering<'_>) -> KeyBy {
    let asserted = view.scalar("partitioned_by") == Some("dedup_key");
    let Some(key) = kept::key(view, "copies", "dedup_key", cx) else {
        return match view.scalar("by") {
            Some("content") => KeyBy::Content,
            _ => KeyBy::RecordKey,
        };
    };
    if view.has("by") {
        let message = "`key` and `by` both say what copies have in common";
        cx.faults
            .push(Fault::new(view.place("by"), "by", message).hint("keep one of them"));
    }
    if asserted && failure.per_key.is_some() {
        let message = "with `ordering: per_key`, copies wait for each other by the record's key";
        let at = view.value_place("partitioned_by");
        cx.faults.push(
            Fault::new(at, "dedup_key", message)
                .hint("partitioned_by: record_key, or failure.retry.ordering: none"),
        );
    }
    key
}
