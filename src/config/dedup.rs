//! `dedup`: what copies of a record are known by. Input: the checked tree. Output: its part of the model, and faults where keys do
//! not fit together.

use super::fault::Fault;
use super::lower::Lowering;
use super::model::{Dedup, DedupBy, Failure, OnDead, PerKey};
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
    let window = view.optional_duration("window");
    if window.is_none() && !view.has("max_keys") && cx.complete {
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
    let max_keys = view.int("max_keys").unwrap_or_default();
    Some(Dedup {
        by: by(&view, failure, cx),
        window,
        max_keys: usize::try_from(max_keys).unwrap_or(usize::MAX),
        begin_empty: view.scalar("on_missing_state") == Some("begin_empty"),
        parked: PerKey {
            // A dead letter's key is free: its corrected copy shall pass.
            on_dead: OnDead::Release,
            max_keys: bound("max_parked_keys"),
            max_records: bound("max_parked_records"),
        },
    })
}

fn by(view: &View<'_>, failure: &Failure, cx: &mut Lowering<'_>) -> DedupBy {
    let asserted = view.scalar("partitioned_by") == Some("dedup_key");
    let Some(text) = view.has("key").then(|| view.placed("key")) else {
        if view.has("partitioned_by") && cx.complete {
            let message = "`partitioned_by` says why copies with one `key` come to one partition, and there is no `key`";
            let at = view.place("partitioned_by");
            cx.faults.push(
                Fault::new(at, "partitioned_by", message).hint("name the key, or take this out"),
            );
        }
        return match view.scalar("by") {
            Some("content") => DedupBy::Content,
            _ => DedupBy::RecordKey,
        };
    };
    if view.has("by") {
        let message = "`key` and `by` both say what copies have in common";
        cx.faults
            .push(Fault::new(view.place("by"), "by", message).hint("keep one of them"));
    }
    if !view.has("partitioned_by") && cx.complete {
        let message = "only what has the same record key as well is known as a copy by this key";
        cx.advice.push(
            Fault::new(view.value_place("key"), text.value.clone(), message).hint(
                "say partitioned_by: record_key if that is so, or dedup_key where producers partition by this key",
            ),
        );
    }
    if asserted && failure.per_key.is_some() {
        let message = "with `ordering: per_key`, copies wait for each other by the record's key";
        let at = view.value_place("partitioned_by");
        cx.faults.push(
            Fault::new(at, "dedup_key", message)
                .hint("partitioned_by: record_key, or failure.retry.ordering: none"),
        );
    }
    DedupBy::Expression {
        text,
        with_record_key: !asserted,
    }
}
