//! The transform steps, from the checked tree to [`Step`]. Expressions and field paths stay texts with their places:
//! their parser, which knows the schema, is another's.

use super::fault::Fault;
use super::keys::transform::STEPS;
use super::lower::{Lowering, pairs, sub};
use super::model::{
    HttpLookup, Lookup, LookupCache, LookupSource, MapValues, Mask, NativeStep, OnMissing, OnNull,
    Otherwise, Placed, Secret, Sink, Step, TopicLookup,
};
use super::route;
use super::tree::{Body, Node};
use super::units::{parse_duration, parse_rate};
use super::view::{View, placed};

/// The steps before the rules, and those after. `sink` is the pipeline's own.
pub(crate) fn lower(items: &[Node], sink: &Sink, cx: &mut Lowering<'_>) -> (Vec<Step>, Vec<Step>) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for item in items {
        if let Some(Step::Route(_)) = after.last() {
            let fault = Fault::new(&item.place, "", "a step stands behind `route`");
            let hint = "`route` is the last step: put this one in front of it";
            cx.faults.push(fault.hint(hint));
        }
        let Some(step) = step(item, sink, cx) else {
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
        if let Some(name) = of_output(&step) {
            let message =
                format!("`{name}` is about what is emitted, and rules about what is read");
            let fault = Fault::new(place, "before", message);
            cx.faults.push(fault.hint("take `before` out"));
        }
        before.push(step);
    }
    (before, after)
}

/// The name of a step that is about the emitted record and not about fields.
fn of_output(step: &Step) -> Option<&'static str> {
    match step {
        Step::Explode { .. } => Some("explode"),
        Step::Header(_) => Some("header"),
        Step::Key(_) => Some("key"),
        Step::Timestamp(_) => Some("timestamp"),
        Step::Route(_) => Some("route"),
        Step::Set(_)
        | Step::Filter(_)
        | Step::Mask { .. }
        | Step::Rename(_)
        | Step::Drop(_)
        | Step::Cast(_)
        | Step::MapValues(_)
        | Step::Lookup(_)
        | Step::Native(_)
        | Step::Move(_)
        | Step::Keep(_)
        | Step::Default(_)
        | Step::Flatten { .. }
        | Step::Nest { .. } => None,
    }
}

fn step(item: &Node, sink: &Sink, cx: &mut Lowering<'_>) -> Option<Step> {
    let entry = item.entries().iter().find(|entry| {
        let mut steps = STEPS.iter().filter(|key| !key.beside);
        steps.any(|key| Some(key.name) == entry.key.text())
    })?;
    let (name, value) = (entry.key.text()?, &entry.value);
    let key = STEPS.iter().find(|key| key.name == name)?;
    let view = sub(value, key.kind.keys(), &entry.key.place);
    let at = &entry.key;
    let step = match name {
        "set" => Step::Set(pairs(value)),
        "rename" => Step::Rename(pairs(value)),
        "cast" => Step::Cast(pairs(value)),
        "move" => Step::Move(pairs(value)),
        "default" => Step::Default(pairs(value)),
        "filter" => Step::Filter(placed(value)),
        "drop" => Step::Drop(fields(value, at, cx)),
        "keep" => Step::Keep(fields(value, at, cx)),
        "mask" => Step::Mask {
            field: view.placed("field"),
            with: mask(view, cx),
        },
        "map_values" => Step::MapValues(map_values(view)),
        "lookup" => Step::Lookup(Box::new(lookup(view, cx))),
        "native" => Step::Native(NativeStep {
            name: view.placed("name"),
            params: view.node("params").map(pairs).unwrap_or_default(),
        }),
        "flatten" => {
            if view.has("prefix") && view.has("separator") {
                let message = "`separator` is for where no `prefix` is given";
                let fault = Fault::new(view.place("separator"), "separator", message);
                cx.faults.push(fault.hint("keep one of them"));
            }
            Step::Flatten {
                field: view.placed("field"),
                prefix: view.text("prefix"),
                separator: view.text("separator").unwrap_or_default(),
            }
        }
        "nest" => Step::Nest {
            into: view.placed("into"),
            fields: match view.node("fields") {
                Some(node) => fields(node, at, cx),
                None => Vec::new(),
            },
        },
        "explode" => Step::Explode {
            field: view.placed("field"),
            into: view.node("into").map(placed),
        },
        "header" => Step::Header(headers(value, cx)),
        "key" => Step::Key(match value.body {
            Body::Null => Placed {
                value: "null".to_owned(),
                place: value.place.clone(),
            },
            _ => placed(value),
        }),
        "timestamp" => Step::Timestamp(placed(value)),
        "route" => Step::Route(route::lower(value, at, sink, cx)),
        _ => unreachable!("the check refuses what is not in the table"),
    };
    Some(step)
}

/// A list of field paths. `at` is the step's name.
fn fields(node: &Node, at: &Node, cx: &mut Lowering<'_>) -> Vec<Placed<String>> {
    if node.items().is_empty() && node.is_empty() {
        let message = "no field is named here";
        cx.faults.push(Fault::new(&at.place, &at.raw, message));
    }
    node.items().iter().map(placed).collect()
}

fn headers(node: &Node, cx: &mut Lowering<'_>) -> Vec<(Placed<String>, Option<Placed<String>>)> {
    let mut headers = Vec::new();
    for entry in node.entries().iter().filter(|entry| !entry.duplicate) {
        let name = placed(&entry.key);
        if name.value.starts_with(RESERVED) {
            let message = format!("names that begin with `{RESERVED}` are Driftgate's own");
            let fault = Fault::new(&entry.key.place, &entry.key.raw, message);
            cx.faults.push(fault.hint("choose another name"));
        } else if name.value == SCHEMA_ID {
            let message = "this header names the schema of a value, and that of the sink's stands in front of it";
            cx.faults
                .push(Fault::new(&entry.key.place, &entry.key.raw, message));
        } else if name.value.trim().is_empty() {
            let message = "a header's name is empty";
            cx.faults
                .push(Fault::new(&entry.key.place, &entry.key.raw, message));
        }
        let value = match entry.value.body {
            Body::Null => None,
            _ => Some(placed(&entry.value)),
        };
        headers.push((name, value));
    }
    headers
}

/// How the headers begin whose meaning is ours.
const RESERVED: &str = "driftgate.";
/// In which Confluent's clients look for a schema id.
const SCHEMA_ID: &str = "__value_schema_id";

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
        headers: credentials(view, cx),
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

fn credentials(view: View<'_>, cx: &mut Lowering<'_>) -> Vec<(String, Secret)> {
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
