//! The checked tree of a case file → cases, and what keys mean together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Bytes, Canned, Case, Content, Datum, Expect, Given, Outcome, Written, datum};
use crate::config::fault::Fault;
use crate::config::keys::cases::{OUTPUT, ROOT};
use crate::config::keys::{Key, Kind};
use crate::config::lower::{Lowering, sub};
use crate::config::model::{Place, Placed};
use crate::config::tree::{Body, Entry, Node, Tree};
use crate::config::units::parse_duration;
use crate::config::view::{View, placed};

/// All of a file but its text.
pub(super) struct Lowered {
    pub(super) config: PathBuf,
    pub(super) config_place: Place,
    pub(super) pipeline: Option<Placed<String>>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) schemas: Vec<(u32, Placed<String>)>,
    pub(super) cases: Vec<Case>,
}

pub(super) fn lower(tree: &Tree, path: &Path, cx: &mut Lowering<'_>) -> Lowered {
    let start = Place {
        file: path.display().to_string(),
        line: 0,
        column: 0,
    };
    let root = View::new(tree.root.as_ref(), ROOT, &start);
    let config = root.path("config", cx.base);
    let default = cx.base.join("driftgate.yaml");
    if config.is_none() && !default.is_file() {
        let fault = Fault::of_file(&start.file, "there is no driftgate.yaml beside this file");
        cx.faults
            .push(fault.hint("say `config: …`, the configuration that is tested"));
    }
    let mut lookups = Vec::new();
    answers(root.node("lookups"), &mut lookups, cx);
    let case_keys = keys_of(ROOT, "cases");
    let mut cases: Vec<Case> = Vec::new();
    for item in root.items("cases") {
        let Some(case) = case(sub(item, case_keys, &item.place), &lookups, cx) else {
            continue;
        };
        let first = cases
            .iter()
            .find(|first| first.name.value == case.name.value);
        if let Some(first) = first.filter(|first| !first.name.value.is_empty()) {
            let message = format!("a second case named `{}`", case.name.value);
            let hint = format!("the first is on line {}", first.name.place.line);
            cx.faults
                .push(Fault::new(&case.name.place, &case.name.value, message).hint(hint));
        }
        cases.push(case);
    }
    if let Some(node) = root.node("cases")
        && matches!(&node.body, Body::List(items) if items.is_empty())
    {
        let fault = Fault::new(&node.place, "", "there is no case in this file");
        cx.faults
            .push(fault.hint("a file that tests nothing would pass for ever"));
    }
    let entries = |name| root.node(name).map_or(&[][..], Node::entries);
    let mut schemas = Vec::new();
    for entry in entries("schemas") {
        match entry.key.text().unwrap_or_default().parse::<u32>() {
            Ok(id) => schemas.push((id, placed(&entry.value))),
            Err(_) => {
                let fault = Fault::new(&entry.key.place, &entry.key.raw, "not a schema id");
                cx.faults
                    .push(fault.hint("ids are whole numbers: `schemas: { 7: old.avsc }`"));
            }
        }
    }
    let variable =
        |entry: &Entry| Some((entry.key.text()?.to_owned(), entry.value.text()?.to_owned()));
    Lowered {
        config: config.unwrap_or(default),
        config_place: match root.has("config") {
            true => root.value_place("config").clone(),
            false => start.clone(),
        },
        pipeline: root.has("pipeline").then(|| root.placed("pipeline")),
        env: entries("env").iter().filter_map(variable).collect(),
        schemas,
        cases,
    }
}

fn keys_of(keys: &'static [Key], name: &str) -> &'static [Key] {
    let key = keys.iter().find(|key| key.name == name);
    key.map_or(&[], |key| match key.kind {
        Kind::List { item, .. } => item.keys(),
        kind => kind.keys(),
    })
}

/// `None` where nothing can be said of it; that has been reported then.
fn case(view: View<'_>, shared: &[(String, Canned)], cx: &mut Lowering<'_>) -> Option<Case> {
    let mut lookups = Vec::new();
    answers(view.node("lookups"), &mut lookups, cx);
    lookups.extend_from_slice(shared);
    let given = given(view.map("given"), cx);
    let expect = expect(view.map("expect"), view.node("expect"), cx);
    Some(Case {
        name: view.placed("name"),
        given: given?,
        lookups,
        expect: expect?,
    })
}

fn given(view: View<'_>, cx: &mut Lowering<'_>) -> Option<Given> {
    if !view.is_present() {
        return None;
    }
    let forms = ["value", "hex", "framed_hex", "raw"];
    let mut written = forms
        .iter()
        .filter_map(|name| Some((*name, view.entry(name)?)));
    let Some((form, entry)) = written.next() else {
        let fault = Fault::new(view.at(), "given", "no record is given here");
        cx.faults
            .push(fault.hint("say `value: …` as JSON, or `hex`, `framed_hex` or `raw`"));
        return None;
    };
    if let Some((second, entry)) = written.next() {
        let message = format!("`{form}` and `{second}` are two values of one record");
        cx.faults
            .push(Fault::new(&entry.key.place, second, message));
        return None;
    }
    let node = &entry.value;
    if matches!(form, "framed_hex" | "raw") && view.has("schema") {
        let message = format!("`schema` says nothing beside `{form}`");
        let hint = match form {
            "raw" => "what is raw has no frame, so no schema either",
            _ => "the frame names its schema; `hex` is Avro without a frame",
        };
        cx.faults
            .push(Fault::new(view.place("schema"), "schema", message).hint(hint));
    }
    let value = match (form, &node.body) {
        ("value", Body::Null) => Content::Tombstone,
        ("value", _) => Content::Json(Datum(node.clone())),
        (_, Body::Scalar(scalar)) if form == "raw" => {
            Content::Whole(scalar.text.clone().into_bytes())
        }
        ("raw", _) => {
            let fault = Fault::new(&node.place, "", "`raw`: expected a text");
            cx.faults
                .push(fault.hint("put it in quotes; JSON of a schema is `value`"));
            return None;
        }
        (_, Body::Null) => {
            let message = format!("nothing stands behind `{form}`");
            let fault = Fault::new(&entry.key.place, form, message);
            cx.faults.push(fault.hint("a tombstone is `value: null`"));
            return None;
        }
        (_, Body::Scalar(scalar)) => {
            let bytes = hex(&scalar.text, node, cx)?;
            match form {
                "hex" => Content::Payload(bytes),
                _ => Content::Whole(bytes),
            }
        }
        // Of the wrong shape, which has been reported.
        _ => return None,
    };
    let timestamp = view.node("timestamp").and_then(|node| moment(node, cx));
    Some(Given {
        value,
        place: node.place.clone(),
        schema: view.has("schema").then(|| view.placed("schema")),
        key: view
            .node("key")
            .and_then(|node| bytes(node, "key", true, cx))
            .unwrap_or(Bytes::Null),
        headers: headers(view.node("headers"), cx),
        timestamp,
        topic: view.has("topic").then(|| view.placed("topic")),
    })
}

fn expect(view: View<'_>, node: Option<&Node>, cx: &mut Lowering<'_>) -> Option<Expect> {
    if !view.is_present() {
        return None;
    }
    let Some(node) = node.filter(|node| !node.entries().is_empty()) else {
        let fault = Fault::new(view.at(), "expect", "this case expects nothing");
        cx.faults.push(
            fault.hint("say what is emitted (`output: …`) or what becomes of it (`outcome: …`)"),
        );
        return None;
    };
    let outcome = view
        .node("outcome")
        .and_then(Node::text)
        .and_then(Outcome::parse);
    let mut written = written(view, "output", cx);
    let many = view.entry("outputs").is_some();
    let single = view.entry("output").is_some();
    let mut refuse = |name: &str, message: String, hint: &str| {
        cx.faults
            .push(Fault::new(view.place(name), name, message).hint(hint));
    };
    if many && single {
        let message = "`output` and `outputs` exclude each other".to_owned();
        refuse(
            "outputs",
            message,
            "`output` is for one, `outputs` for any number of them",
        );
    }
    let of_failures = ["reason", "path", "error"]
        .into_iter()
        .filter(|name| view.entry(name).is_some());
    let of_written = ["topic", "key", "headers", "no_headers", "timestamp"];
    let of_written = of_written
        .into_iter()
        .filter(|name| view.entry(name).is_some());
    let emitted = many || single;
    if let (true, Some(other)) = (emitted, outcome)
        && other != Outcome::Emitted
    {
        let message = format!(
            "an output is expected, and the outcome `{}`",
            other.as_str()
        );
        refuse("outcome", message, "a record with an output is `emitted`");
    }
    let outcome = outcome.or(emitted.then_some(Outcome::Emitted));
    for name in of_failures {
        if let Some(Outcome::Emitted | Outcome::Filtered) = outcome {
            let message = format!("`{name}` is about a failure, and none is expected");
            refuse(
                name,
                message,
                "take it out, or say `outcome: dead_lettered`",
            );
        }
    }
    for name in of_written {
        if many {
            let message = format!("`{name}` beside `outputs`");
            refuse(name, message, "it belongs into each item of `outputs`");
        } else if let Some(Outcome::Filtered | Outcome::Paused) = outcome {
            let message =
                format!("`{name}` is about a record that is written, and none is expected");
            refuse(
                name,
                message,
                "a record that is filtered or waits is written nowhere",
            );
        }
    }
    for name in ["error", "topic", "reason", "outcome"] {
        if view
            .entry(name)
            .is_some_and(|entry| matches!(entry.value.body, Body::Null))
        {
            refuse(
                name,
                format!("nothing stands behind `{name}`"),
                "take it out, or say what is expected",
            );
        }
    }
    let outputs = match (view.entry("outputs"), single) {
        (Some(entry), _) => Some(outputs(entry, cx)),
        (None, true) => Some(vec![std::mem::take(&mut written)]),
        (None, false) => None,
    };
    Some(Expect {
        place: view.at().clone(),
        outcome,
        outputs,
        many,
        reason: view.has("reason").then(|| view.placed("reason")),
        path: view
            .entry("path")
            .map(|entry| entry.value.text().unwrap_or_default().to_owned()),
        error: view.text("error"),
        written,
        node: node.clone(),
    })
}

fn outputs(entry: &Entry, cx: &mut Lowering<'_>) -> Vec<Written> {
    let items = entry.value.items();
    if items.is_empty() {
        let fault = Fault::new(&entry.key.place, "outputs", "no output is expected");
        cx.faults
            .push(fault.hint("what is emitted nowhere is `outcome: filtered`"));
    }
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        if item.entries().is_empty() && !matches!(item.body, Body::Broken) {
            cx.faults.push(Fault::new(
                &item.place,
                "",
                "nothing is expected of this output",
            ));
        }
        found.push(written(
            View::new(Some(item), OUTPUT, &item.place),
            "value",
            cx,
        ));
    }
    found
}

fn written(view: View<'_>, value: &str, cx: &mut Lowering<'_>) -> Written {
    let value = view.entry(value).map(|entry| match entry.value.body {
        Body::Null => None,
        _ => Some(Datum(entry.value.clone())),
    });
    let null = |entry: &Entry| matches!(entry.value.body, Body::Null);
    let key = view.entry("key").and_then(|entry| match null(entry) {
        true => Some(Bytes::Null),
        false => bytes(&entry.value, "key", true, cx),
    });
    let timestamp = view.entry("timestamp").and_then(|entry| match null(entry) {
        true => Some(None),
        false => moment(&entry.value, cx).map(Some),
    });
    for name in ["headers", "no_headers"] {
        if let Some(entry) = view.entry(name)
            && entry.value.is_empty()
        {
            let message = format!("`{name}` names no header");
            cx.faults.push(Fault::new(&entry.key.place, name, message));
        }
    }
    let texts = view.items("no_headers").iter().filter_map(Node::text);
    Written {
        place: view.at().clone(),
        value,
        topic: view.text("topic"),
        key,
        headers: headers(view.node("headers"), cx),
        no_headers: texts.map(str::to_owned).collect(),
        timestamp,
    }
}

fn headers(node: Option<&Node>, cx: &mut Lowering<'_>) -> Vec<(String, Bytes)> {
    let Some(node) = node else {
        return Vec::new();
    };
    if !matches!(node.body, Body::Map(_) | Body::Broken) {
        let fault = Fault::new(&node.place, "", "`headers`: expected a mapping");
        cx.faults.push(fault.hint("write { name: text }"));
    }
    let mut found = Vec::new();
    for entry in node.entries() {
        let name = entry.key.text().unwrap_or_default().to_owned();
        let value = match entry.value.body {
            Body::Null => Some(Bytes::Null),
            _ => bytes(&entry.value, "header", false, cx),
        };
        found.extend(value.map(|value| (name, value)));
    }
    found
}

/// A text, `{ hex: … }`, or, of a key, `{ value: … }`.
fn bytes(node: &Node, what: &str, of_schema: bool, cx: &mut Lowering<'_>) -> Option<Bytes> {
    let forms = match of_schema {
        true => "a text, { hex: … } or { value: … }",
        false => "a text, null or { hex: … }",
    };
    match (&node.body, node.entries()) {
        (Body::Broken, _) => return None,
        (Body::Null, _) => return Some(Bytes::Null),
        (Body::Scalar(scalar), _) => {
            return Some(Bytes::Plain(scalar.text.clone().into_bytes()));
        }
        (Body::Map(_), [entry]) => match entry.key.text() {
            Some("hex") => {
                if let Some(text) = entry.value.text() {
                    return hex(text, &entry.value, cx).map(Bytes::Plain);
                }
            }
            Some("value") if of_schema => return Some(Bytes::Json(Datum(entry.value.clone()))),
            _ => {}
        },
        _ => {}
    }
    let message = format!("a {what} is {forms}");
    cx.faults.push(Fault::new(&node.place, &node.raw, message));
    None
}

fn hex(text: &str, node: &Node, cx: &mut Lowering<'_>) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let Some(digits) = digits else {
        let fault = Fault::new(&node.place, &node.raw, "not hex");
        cx.faults
            .push(fault.hint("two digits of 0-9 and a-f for each byte; blanks do not matter"));
        return None;
    };
    if digits.len() % 2 == 1 {
        let message = format!("{} hex digits, which is half a byte too many", digits.len());
        cx.faults.push(Fault::new(&node.place, &node.raw, message));
        return None;
    }
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

fn moment(node: &Node, cx: &mut Lowering<'_>) -> Option<i64> {
    let text = node.text()?;
    let instant = text
        .parse::<jiff::Timestamp>()
        .map(|instant| instant.as_millisecond())
        .ok();
    let found = text.parse::<i64>().ok().or(instant);
    if found.is_none() {
        let fault = Fault::new(&node.place, &node.raw, "not a timestamp");
        cx.faults
            .push(fault.hint("write 2026-05-01T08:00:00Z, or milliseconds since 1970"));
    }
    found
}

fn answers(node: Option<&Node>, found: &mut Vec<(String, Canned)>, cx: &mut Lowering<'_>) {
    let Some(node) = node else { return };
    if !matches!(node.body, Body::Map(_) | Body::Broken) {
        let fault = Fault::new(&node.place, "", "`lookups`: expected a mapping");
        cx.faults
            .push(fault.hint("write { \"http://crm/customers/7\": { name: Ada } }"));
    }
    for entry in node.entries() {
        let url = entry.key.text().unwrap_or_default();
        let canned = match &entry.value.body {
            Body::Map(_) | Body::List(_) => Some(Canned::Body(datum::json(&entry.value))),
            Body::Scalar(scalar) if scalar.quoted || scalar.block => {
                Some(Canned::Body(scalar.text.clone()))
            }
            Body::Scalar(scalar) => match scalar.text.as_str() {
                "timeout" => Some(Canned::Timeout),
                text => status(text),
            },
            Body::Null => None,
            Body::Broken => continue,
        };
        match canned {
            Some(canned) => found.push((url.to_owned(), canned)),
            None => {
                let fault = Fault::new(&entry.value.place, &entry.value.raw, "not an answer");
                cx.faults.push(fault.hint(
                    "a JSON object, an HTTP status such as 404 or `503 retry-after 30s`, `timeout`, or a body in quotes",
                ));
            }
        }
    }
}

/// `404`, or `503 retry-after 30s`.
fn status(text: &str) -> Option<Canned> {
    let mut words = text.split_whitespace();
    let status = words.next()?.parse().ok()?;
    let wait = match (words.next(), words.next(), words.next()) {
        (None, _, _) => None,
        (Some("retry-after"), Some(wait), None) => Some(parse_duration(wait).ok()?),
        _ => return None,
    };
    (100..=599)
        .contains(&status)
        .then_some(Canned::Status(status, wait))
}
