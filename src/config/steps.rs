//! The transform steps, from the checked tree to [`Step`]. Expressions and field paths stay texts with their places:
//! their parser, which knows the schema, is another's.

use super::fault::Fault;
use super::keys::transform::STEPS;
use super::lower::{Lowering, pairs, sub};
use super::model::{Lookup, MapValues, Mask, OnMissing, Otherwise, Secret, Step};
use super::tree::Node;
use super::view::{View, placed};

/// The steps before the rules, and those after.
pub(crate) fn lower(items: &[Node], cx: &mut Lowering<'_>) -> (Vec<Step>, Vec<Step>) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for item in items {
        let Some(step) = step(item, cx) else {
            continue;
        };
        let Some(entry) = item.entry("before") else {
            after.push(step);
            continue;
        };
        let place = &entry.key.place;
        if !after.is_empty() {
            let message = "a step before the rules stands behind one after them";
            let fault = Fault::new(place, "before", message);
            cx.faults
                .push(fault.hint("steps run from top to bottom: put it in front of the others"));
        }
        if let Step::Lookup(_) = step {
            let message = "not available yet: a lookup before the rules";
            cx.faults.push(Fault::new(place, "before", message));
        }
        before.push(step);
    }
    (before, after)
}

fn step(item: &Node, cx: &mut Lowering<'_>) -> Option<Step> {
    let entry = item.entries().iter().find(|entry| {
        let mut steps = STEPS.iter().filter(|key| !key.beside);
        steps.any(|key| Some(key.name) == entry.key.text())
    })?;
    let (name, value) = (entry.key.text()?, &entry.value);
    let key = STEPS.iter().find(|key| key.name == name)?;
    let view = sub(value, key.kind.keys(), &entry.key.place);
    let step = match name {
        "set" => Step::Set(pairs(value)),
        "rename" => Step::Rename(pairs(value)),
        "cast" => Step::Cast(pairs(value)),
        "filter" => Step::Filter(placed(value)),
        "drop" => {
            if value.items().is_empty() && value.is_empty() {
                cx.faults.push(Fault::new(
                    &entry.key.place,
                    "drop",
                    "no field is named here",
                ));
            }
            Step::Drop(value.items().iter().map(placed).collect())
        }
        "mask" => Step::Mask {
            field: view.placed("field"),
            with: mask(view, cx),
        },
        "map_values" => Step::MapValues(map_values(view)),
        "lookup" => Step::Lookup(lookup(view, cx)),
        // Refused by the check: not available yet.
        _ => return None,
    };
    Some(step)
}

fn mask(view: View<'_>, cx: &mut Lowering<'_>) -> Mask {
    let with = view.scalar("with").unwrap_or_default();
    for (key, needed_by) in [("secret", "hmac"), ("value", "fixed")] {
        if with == needed_by && !view.has(key) && cx.complete {
            let message = format!("`with: {with}` needs `{key}`");
            cx.faults.push(Fault::new(
                view.value_place("with"),
                view.raw("with"),
                message,
            ));
        }
        if !with.is_empty() && with != needed_by && view.has(key) {
            let message = format!("`{key}` belongs to `with: {needed_by}`");
            cx.faults.push(Fault::new(view.place(key), key, message));
        }
    }
    match with {
        "hmac" => Mask::Hmac(view.secret("secret").unwrap_or_else(|| Secret::new(""))),
        "fixed" => Mask::Fixed(view.text("value").unwrap_or_default()),
        "last4" => Mask::Last4,
        _ => Mask::Sha256,
    }
}

fn map_values(view: View<'_>) -> MapValues {
    // Unquoted, YAML reads the word as no value at all.
    let otherwise = match view.scalar("otherwise") {
        _ if view.is_null_word("otherwise") => Otherwise::Null,
        Some("null") => Otherwise::Null,
        Some("keep") => Otherwise::Keep,
        _ => Otherwise::DeadLetter,
    };
    MapValues {
        field: view.placed("field"),
        values: view.node("values").map(pairs).unwrap_or_default(),
        otherwise,
    }
}

fn lookup(view: View<'_>, cx: &mut Lowering<'_>) -> Lookup {
    let url = view.placed("url");
    let plain = url.value.replace(['{', '}'], "");
    if url::Url::parse(&plain)
        .is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
    {
        cx.faults.push(
            Fault::new(view.value_place("url"), "", "credentials in the URL of a lookup")
                .hint("credentials for lookups are not available yet; let a proxy beside this instance add them"),
        );
    }
    // Unquoted, YAML reads the word as no value at all.
    let on_missing = match view.scalar("on_missing") {
        _ if view.is_null_word("on_missing") => OnMissing::Null,
        Some("null") => OnMissing::Null,
        _ => OnMissing::DeadLetter,
    };
    Lookup {
        into: view.placed("into"),
        url,
        answer: view.path("type", cx.base).unwrap_or_default(),
        answer_place: view.value_place("type").clone(),
        timeout: view.duration("timeout"),
        on_missing,
    }
}
