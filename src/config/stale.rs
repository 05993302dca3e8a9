//! `stale`: what is older than the newest of its key. Input: the checked tree. Output: its part of the model, and faults.

use super::fault::Fault;
use super::kept;
use super::lower::Lowering;
use super::model::{Failure, KeyBy, Reorder, Stale};
use super::view::View;

pub(crate) fn lower(
    pipeline: &View<'_>,
    failure: &Failure,
    cx: &mut Lowering<'_>,
) -> Option<Stale> {
    if !pipeline.has("stale") {
        return None;
    }
    let view = pipeline.map("stale");
    let by = kept::key(&view, "versions", "stale_key", cx);
    Some(Stale {
        by: by.unwrap_or(KeyBy::RecordKey),
        version: view.placed("by"),
        kept: kept::lower(&view, cx),
        then: kept::then(&view, cx),
        reorder: reorder(&view, failure, cx),
    })
}

fn reorder(view: &View<'_>, failure: &Failure, cx: &mut Lowering<'_>) -> Option<Reorder> {
    if !view.has("reorder") {
        return None;
    }
    if failure.per_key.is_some() {
        let message = "`ordering: per_key` keeps the order of the source, and this one changes it";
        let fault = Fault::new(view.place("reorder"), "reorder", message);
        cx.faults.push(fault.hint("keep one of them"));
    }
    let view = view.map("reorder");
    let most = view.int("max_records").unwrap_or_default();
    Some(Reorder {
        wait: view.optional_duration("wait")?,
        max_records: usize::try_from(most).unwrap_or(usize::MAX),
    })
}
