//! The transform steps, from the checked tree to [`Step`]. Expressions and field paths stay texts with their places:
//! their parser, which knows the schema, is another's.

use super::fault::Fault;
use super::keys::transform::STEPS;
use super::lower::{Lowering, pairs, sub};
use super::model::{
    HttpLookup, Lookup, LookupCache, LookupSource, MapValues, Mask, OnMissing, OnNull, Otherwise,
    Secret, Step, TopicLookup,
};
use super::tree::Node;
use super::units::{parse_duration, parse_rate};
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
        "lookup" => Step::Lookup(Box::new(lookup(view, cx))),
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
    let from = match (view.has("topic"), view.has("url")) {
        (true, false) => LookupSource::Topic(from_topic(view, cx)),
        (is_topic, is_url) => {
            if cx.complete && is_topic == is_url {
                let message = match is_url {
                    true => "a lookup asks a `url` or a `topic`, not both",
                    false => "a lookup needs a `url` or a `topic` to ask",
                };
                cx.faults.push(Fault::new(view.at(), "", message));
            }
            LookupSource::Http(from_url(view, cx))
        }
    };
    // Unquoted, YAML reads the word as no value at all.
    let word = match view.is_null_word("on_missing") {
        true => "null",
        false => view.scalar("on_missing").unwrap_or_default(),
    };
    let wants_default = word == "default";
    if wants_default != view.has("default") && cx.complete {
        let (key, message) = match wants_default {
            true => ("on_missing", "`on_missing: default` needs `default`"),
            false => ("default", "`default` belongs to `on_missing: default`"),
        };
        cx.faults.push(Fault::new(view.place(key), key, message));
    }
    Lookup {
        into: view.placed("into"),
        from,
        answer: view.path("type", cx.base).unwrap_or_default(),
        answer_place: view.value_place("type").clone(),
        on_missing: match word {
            "null" => OnMissing::Null,
            "default" => OnMissing::Default(view.placed("default")),
            _ => OnMissing::DeadLetter,
        },
        on_null: view.scalar("on_null").map(|word| match word {
            "missing" => OnNull::Missing,
            _ => OnNull::DeadLetter,
        }),
    }
}

fn from_topic(view: View<'_>, cx: &mut Lowering<'_>) -> TopicLookup {
    for key in ["headers", "timeout", "concurrency", "limit", "cache"] {
        foreign(view, key, "url", cx);
    }
    if !view.has("key") && cx.complete {
        let fault = Fault::new(
            view.place("topic"),
            "topic",
            "a lookup in a topic needs `key`",
        );
        cx.faults
            .push(fault.hint("key: the field whose value is the key in the topic"));
    }
    TopicLookup {
        topic: view.text("topic").unwrap_or_default(),
        key: view.placed("key"),
        max: view.size("max"),
    }
}

fn from_url(view: View<'_>, cx: &mut Lowering<'_>) -> HttpLookup {
    for key in ["key", "max"] {
        foreign(view, key, "topic", cx);
    }
    let url = view.placed("url");
    let plain = url.value.replace(['{', '}'], "");
    if url::Url::parse(&plain)
        .is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
    {
        let message = "credentials in the URL of a lookup";
        cx.faults.push(Fault::new(view.value_place("url"), "", message).hint(
            "a URL ends up in logs along the way: write headers: { Authorization: \"Basic ${file:…}\" }",
        ));
    }
    let (cache, short) = view.map_or("cache");
    let cache = view.has("cache").then(|| LookupCache {
        ttl: match short {
            Some(ttl) => parse_duration(ttl).unwrap_or_default(),
            None => cache.optional_duration("ttl").unwrap_or_default(),
        },
        max: cache.size("max"),
    });
    HttpLookup {
        url,
        timeout: view.duration("timeout"),
        headers: headers(view, cx),
        concurrency: usize::try_from(view.int("concurrency").unwrap_or(1)).unwrap_or(1),
        limit: view.scalar("limit").and_then(|text| parse_rate(text).ok()),
        cache,
    }
}

/// A key that belongs to the other kind of lookup.
fn foreign(view: View<'_>, key: &str, of: &str, cx: &mut Lowering<'_>) {
    if view.has(key) {
        let message = format!("`{key}` belongs to a lookup with `{of}`");
        cx.faults.push(Fault::new(view.place(key), key, message));
    }
}

/// What the connection itself says, or the answer's shape.
const OWN_HEADERS: [&str; 7] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "upgrade",
];

fn headers(view: View<'_>, cx: &mut Lowering<'_>) -> Vec<(String, Secret)> {
    let entries = view.node("headers").map(Node::entries).unwrap_or_default();
    let mut headers: Vec<(String, Secret)> = Vec::with_capacity(entries.len());
    for entry in entries.iter().filter(|entry| !entry.duplicate) {
        let (Some(name), Some(value)) = (entry.key.text(), entry.value.text()) else {
            continue;
        };
        let name = name.to_ascii_lowercase();
        let mut fault = |message: &str| {
            cx.faults
                .push(Fault::new(&entry.key.place, name.clone(), message));
        };
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            continue; // The check has said so, without the name: it may hold the value.
        }
        if OWN_HEADERS.contains(&name.as_str()) {
            fault("this header is set by the request itself");
        } else if headers.iter().any(|(other, _)| *other == name) {
            fault("this header stands here twice");
        } else if http::HeaderValue::from_str(value).is_err() {
            // Not the value: it is a secret.
            fault("its value cannot stand in a header: visible ASCII, in one line");
        } else {
            headers.push((name, Secret::new(value)));
        }
    }
    headers
}
