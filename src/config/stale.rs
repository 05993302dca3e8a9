//! `stale`: what is older than the newest of its key. Input: the checked tree. Output: its part of the model, and faults.

use super::kept;
use super::lower::Lowering;
use super::model::{KeyBy, Stale};
use super::view::View;

pub(crate) fn lower(pipeline: &View<'_>, cx: &mut Lowering<'_>) -> Option<Stale> {
    if !pipeline.has("stale") {
        return None;
    }
    let view = pipeline.map("stale");
    let by = kept::key(&view, "versions", "stale_key", cx);
    Some(Stale {
        by: by.unwrap_or(KeyBy::RecordKey),
        version: view.placed("by"),
        kept: kept::lower(&view),
        then: kept::then(&view, cx),
    })
}
