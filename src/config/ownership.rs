//! `ownership`: by what the source of an event is told, and what becomes of one that sets what it does not own. Input: the checked
//! tree. Output: its part of the model, and faults.

use super::fault::Fault;
use super::lower::Lowering;
use super::model::{NamedSource, OnForeign, Ownership, Placed, SourceBy};
use super::scalar::closest;
use super::tree::{Body, Node};
use super::view::{View, placed};

pub(crate) fn lower(
    pipeline: &View<'_>,
    topics: &[String],
    cx: &mut Lowering<'_>,
) -> Option<Ownership> {
    if !pipeline.has("ownership") {
        return None;
    }
    let view = pipeline.map("ownership");
    let by = by(&view, cx);
    let names = names(&view);
    if by == SourceBy::Topic && cx.complete {
        for NamedSource { found, .. } in &names {
            if !topics.contains(&found.value) {
                let message = format!("`{}` is no source topic of the pipeline", found.value);
                let fault = Fault::new(&found.place, &found.value, message);
                let near = closest(&found.value, topics.iter().map(String::as_str));
                cx.faults.push(match near {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault.hint(format!("it reads {}", topics.join(", "))),
                });
            }
        }
    }
    Some(Ownership {
        by,
        names,
        then: then(view.scalar("then")).unwrap_or(OnForeign::Reject),
        place: pipeline.place("ownership").clone(),
    })
}

fn by(view: &View<'_>, cx: &mut Lowering<'_>) -> SourceBy {
    let by = view.map("by");
    let is_empty = view
        .node("by")
        .is_some_and(|node| matches!(&node.body, Body::Map(keys) if keys.is_empty()));
    let both = "`header` and `field` both say by what a source is told";
    let none = "`by` says nothing";
    let (text, message) = match (by.has("header"), by.has("field")) {
        (true, false) => return SourceBy::Header(by.placed("header")),
        (false, true) => return SourceBy::Field(by.placed("field")),
        (true, true) => ("field", both),
        // A word, or none, is the default. A key that is not known has been told.
        (false, false) if !is_empty => return SourceBy::Topic,
        (false, false) => ("by", none),
    };
    if cx.complete {
        let place = if text == "by" {
            view.place("by")
        } else {
            by.place(text)
        };
        let fault = Fault::new(place, text, message);
        cx.faults
            .push(fault.hint("by: topic, by: { header: x-system } or by: { field: origin }"));
    }
    SourceBy::Topic
}

fn names(view: &View<'_>) -> Vec<NamedSource> {
    let entries = view.node("names").map_or(&[][..], Node::entries);
    let entries = entries.iter().filter(|entry| !entry.duplicate);
    let named = entries.filter_map(|entry| {
        entry.key.text()?;
        let name: Placed<String> = placed(&entry.value);
        (!name.value.is_empty()).then(|| NamedSource {
            found: placed(&entry.key),
            name,
        })
    });
    named.collect()
}

/// The word of `then` or of a field's `on_foreign`.
pub(crate) fn then(word: Option<&str>) -> Option<OnForeign> {
    match word? {
        "reject" => Some(OnForeign::Reject),
        "ignore" => Some(OnForeign::Ignore),
        "flag" => Some(OnForeign::Flag),
        _ => None,
    }
}
