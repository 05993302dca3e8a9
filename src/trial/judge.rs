//! What is expected of a record against what became of it. Input: an [`Expect`] and a [`Fate`]. Output: every difference,
//! and both sides in their plainest form, for whoever puts the expectation right.

use serde_json::{Map, Value as Json, json};

use super::diff::{Difference, Value, diff};
use super::given::bytes;
use super::plain::{moment, plain, raw, shown, value_of, values_of};
use super::run::Ran;
use super::setup::{Setup, Writer};
use super::{Emitted, Failed, Fate, Written};
use crate::config::cases::{self, Bytes, Expect};
use crate::config::fault::Fault;
use crate::config::scalar::closest;
use crate::config::units::format_duration;
use crate::contract::decode::{Limits, decode};
use crate::contract::json::to_json;
use crate::contract::wire;
use crate::error::Reason;

/// How a case came out.
#[derive(Debug)]
pub struct Judgement {
    /// What differs; nothing for a case that passes.
    pub differences: Vec<Difference>,
    /// What was expected.
    pub expected: Json,
    /// The same expectation as it would have passed; `None` where it is not the expectation that is wrong.
    pub found: Option<Json>,
}

/// What can be known of an expectation to be wrong before its case has run.
pub fn faults(expect: &Expect, setup: &Setup) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(reason) = &expect.reason
        && Reason::parse(&reason.value).is_none()
    {
        let message = format!("there is no reason `{}`", reason.value);
        let names = || Reason::ALL.iter().map(|reason| reason.as_str());
        let hint = match closest(&reason.value, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the reasons are {}", names().collect::<Vec<_>>().join(", ")),
        };
        faults.push(Fault::new(&reason.place, &reason.value, message).hint(hint));
    }
    let written = expect.outputs.iter().flatten().chain([&expect.written]);
    for key in written.filter_map(|written| written.key.as_ref()) {
        faults.extend(bytes(key, setup.key.as_ref()).err());
    }
    faults
}

/// Holds an expectation against what became of the record. `unanswered` are lookups that the case has no answer for.
pub fn judge(expect: &Expect, fate: &Fate, setup: &Setup, unanswered: &[String]) -> Judgement {
    let mut sheet = Sheet {
        expect,
        keys: setup.key.as_ref(),
        expected: Map::new(),
        found: Map::new(),
        differences: Vec::new(),
        told: Vec::new(),
    };
    if !unanswered.is_empty() {
        for url in unanswered {
            sheet.add(
                "lookups",
                words(format!("an answer for {url}")),
                Value::Nothing,
            );
        }
        let differences = sheet.differences;
        return Judgement {
            differences,
            expected: Json::Null,
            found: None,
        };
    }
    sheet.judge(fate);
    let mut found = sheet.found;
    without_empty(&mut found);
    for output in found
        .get_mut("outputs")
        .and_then(Json::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(output) = output.as_object_mut() {
            without_empty(output);
        }
    }
    if let (true, Some(outcome)) = (found.is_empty(), fate.outcome()) {
        found.insert("outcome".to_owned(), outcome.as_str().into());
    }
    Judgement {
        differences: sheet.differences,
        expected: Json::Object(sheet.expected),
        found: Some(Json::Object(found)),
    }
}

/// A list of headers that names none says nothing, and may not stand in a case.
fn without_empty(found: &mut Map<String, Json>) {
    for name in ["headers", "no_headers"] {
        let empty = match found.get(name) {
            Some(Json::Object(entries)) => entries.is_empty(),
            Some(Json::Array(items)) => items.is_empty(),
            _ => false,
        };
        if empty {
            // `remove` alone would move the last key to the place of this one.
            found.shift_remove(name);
        }
    }
}

/// A case that came to no end.
pub fn unfinished(expect: &Expect, ran: &Ran) -> Judgement {
    let found = match ran {
        Ran::TimedOut(timeout) => format!("no end within {}", format_duration(*timeout)),
        _ => "a panic, which is a bug of driftgate".to_owned(),
    };
    let difference = Difference {
        path: "outcome".to_owned(),
        expected: words("an end"),
        found: words(found),
        note: None,
        line: expect.place.line,
    };
    Judgement {
        differences: vec![difference],
        expected: Json::Null,
        found: None,
    }
}

struct Sheet<'e> {
    expect: &'e Expect,
    keys: Option<&'e Writer>,
    expected: Map<String, Json>,
    found: Map<String, Json>,
    differences: Vec<Difference>,
    /// Paths about which all is told: what is no value has no parts to be compared.
    told: Vec<String>,
}

impl Sheet<'_> {
    fn judge(&mut self, fate: &Fate) {
        let expect = self.expect;
        let of_failure = expect.reason.is_some() || expect.path.is_some() || expect.error.is_some();
        let failed = matches!(fate, Fate::Failed(_));
        let outcome = fate.outcome();
        let as_expected = match expect.outcome {
            Some(expected) => outcome == Some(expected),
            None => failed || !of_failure,
        };
        if !as_expected {
            let expected = expect.outcome.map_or("a failure", cases::Outcome::as_str);
            let found = outcome.map_or("a lookup that is waited for", cases::Outcome::as_str);
            self.add("outcome", words(expected), words(found));
            if let Some(last) = self.differences.last_mut() {
                last.note = note(fate);
            }
            return self.anew(fate);
        }
        if let (Some(outcome), true) = (expect.outcome, self.is_written("outcome")) {
            self.both("outcome", outcome.as_str().into(), outcome.as_str().into());
        }
        match fate {
            Fate::Emitted(outputs) => self.emitted(outputs),
            Fate::Failed(failed) => self.failed(failed),
            Fate::Filtered | Fate::Waits(_) => {}
        }
        let (expected, found) = (self.expected.clone(), self.found.clone());
        let line = |path: &str| line(expect, path);
        let mut differences = Vec::new();
        let (expected, found) = (Json::Object(expected), Json::Object(found));
        diff("", &expected, &found, &line, &mut differences);
        let told = |path: &str| {
            self.told.iter().any(|told| {
                let below = path.strip_prefix(told.as_str());
                below.is_some_and(|below| below.is_empty() || below.starts_with(['.', '[']))
            })
        };
        differences.retain(|difference| !told(&difference.path));
        self.differences.extend(differences);
    }

    fn emitted(&mut self, outputs: &[Emitted]) {
        let expect = self.expect;
        match (&expect.outputs, outputs) {
            (Some(expected), _) if expect.many => {
                let mut sides = (Vec::new(), Vec::new());
                for (index, output) in outputs.iter().enumerate() {
                    match expected.get(index) {
                        Some(expected) => {
                            let path = format!("outputs[{index}]");
                            let (expected, found) = self.output(expected, output, "value", &path);
                            sides.0.push(Json::Object(expected));
                            sides.1.push(Json::Object(found));
                        }
                        None => sides.1.push(json!({ "value": value_of(output) })),
                    }
                }
                for more in expected.iter().skip(outputs.len()) {
                    let value = more.value.as_ref().map(|value| raw(value.as_ref()));
                    sides.0.push(json!({ "value": value }));
                }
                self.expected
                    .insert("outputs".to_owned(), Json::Array(sides.0));
                self.found
                    .insert("outputs".to_owned(), Json::Array(sides.1));
            }
            (Some(expected), [output]) => {
                for expected in expected {
                    let (expected, found) = self.output(expected, output, "output", "");
                    self.expected.extend(expected);
                    self.found.extend(found);
                }
            }
            (None, [output]) => {
                let (expected, found) = self.output(&expect.written, output, "output", "");
                self.expected.extend(expected);
                self.found.extend(found);
            }
            (None, _) if !says_anything(&expect.written) => {}
            (_, outputs) => {
                let found = words(format!("{} outputs", outputs.len()));
                self.add("output", words("one output"), found);
                self.found.insert("outputs".to_owned(), values_of(outputs));
            }
        }
    }

    fn failed(&mut self, failed: &Failed) {
        let expect = self.expect;
        let error = &failed.error;
        if let Some(reason) = &expect.reason {
            self.both(
                "reason",
                reason.value.clone().into(),
                error.reason.as_str().into(),
            );
        }
        if let Some(path) = &expect.path {
            self.both("path", path.clone().into(), error.path.clone().into());
        }
        if let Some(part) = &expect.error {
            let holds = error.to_string().contains(part.as_str());
            let found = if holds {
                part.clone()
            } else {
                error.message.clone()
            };
            self.both("error", part.clone().into(), found.into());
        }
        match &failed.written {
            Some(written) => {
                let (expected, found) = self.written(&expect.written, written, "");
                self.expected.extend(expected);
                self.found.extend(found);
            }
            None if says_anything(&expect.written) => {
                self.add("topic", words("a record that is written"), Value::Nothing);
                if let Some(last) = self.differences.last_mut() {
                    last.note = Some("its partition waits, and nothing is written".to_owned());
                }
            }
            None => {}
        }
    }

    /// What is written of an output, and what was found of the same.
    fn output(
        &mut self,
        expected: &cases::Written,
        output: &Emitted,
        name: &str,
        path: &str,
    ) -> (Map<String, Json>, Map<String, Json>) {
        let (mut left, mut right) = (Map::new(), Map::new());
        if let Some(value) = &expected.value {
            let found = value_of(output);
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            let expected = match value {
                None => Json::Null,
                Some(datum) => match plain(datum, &output.schema) {
                    Ok(plain) => plain,
                    Err((below, message)) => {
                        self.misfit(&path, &below, &message);
                        self.told.push(path);
                        raw(Some(datum))
                    }
                },
            };
            left.insert(name.to_owned(), expected);
            right.insert(name.to_owned(), found);
        }
        let (more_left, more_right) = self.written(expected, &output.written, path);
        left.extend(more_left);
        right.extend(more_right);
        (left, right)
    }

    fn written(
        &mut self,
        expected: &cases::Written,
        found: &Written,
        path: &str,
    ) -> (Map<String, Json>, Map<String, Json>) {
        let (mut left, mut right) = (Map::new(), Map::new());
        let mut both = |name: &str, expected: Json, found: Json| {
            left.insert(name.to_owned(), expected);
            right.insert(name.to_owned(), found);
        };
        if let Some(topic) = &expected.topic {
            both("topic", topic.clone().into(), found.topic.clone().into());
        }
        if let Some(key) = &expected.key {
            let (expected, found) = self.key(key, found.key.as_deref());
            both("key", expected, found);
        }
        if let Some(timestamp) = expected.timestamp {
            both("timestamp", moment(timestamp), moment(found.timestamp));
        }
        let of_name = |name: &str| found.headers.iter().rev().find(|(found, _)| found == name);
        if !expected.headers.is_empty() {
            let (mut wanted, mut there) = (Map::new(), Map::new());
            for (name, value) in &expected.headers {
                let value = bytes(value, None).unwrap_or_default();
                wanted.insert(name.clone(), shown(value.as_deref()));
                if let Some((_, value)) = of_name(name) {
                    there.insert(name.clone(), shown(value.as_deref()));
                }
            }
            both("headers", Json::Object(wanted), Json::Object(there));
        }
        if !expected.no_headers.is_empty() {
            let absent = expected
                .no_headers
                .iter()
                .filter(|name| of_name(name).is_none());
            let absent: Vec<Json> = absent.map(|name| Json::from(name.as_str())).collect();
            let all = expected
                .no_headers
                .iter()
                .map(|name| Json::from(name.as_str()));
            both("no_headers", all.collect(), absent.into());
            let at = |name: &str| match path {
                "" => name.to_owned(),
                path => format!("{path}.{name}"),
            };
            self.told.push(at("no_headers"));
            for name in &expected.no_headers {
                if let Some((_, value)) = of_name(name) {
                    let value = Value::Json(shown(value.as_deref()));
                    self.add(&at(&format!("headers.{name}")), Value::Nothing, value);
                }
            }
        }
        (left, right)
    }

    /// A key in the form in which it is expected.
    fn key(&self, expected: &Bytes, found: Option<&[u8]>) -> (Json, Json) {
        let schema = self.keys.and_then(|keys| keys.schema.as_ref());
        if let (Bytes::Json(datum), Some(schema)) = (expected, schema)
            && let Ok(expected) = plain(datum, schema)
        {
            let payload = found.and_then(|found| found.get(wire::HEADER_LEN..));
            let value =
                payload.and_then(|payload| decode(schema, payload, &Limits::default()).ok());
            let found = match value {
                Some(value) => json!({ "value": to_json(schema, schema.root, &value) }),
                None => shown(found),
            };
            return (json!({ "value": expected }), found);
        }
        let expected = bytes(expected, self.keys).unwrap_or_default();
        (shown(expected.as_deref()), shown(found))
    }

    /// The whole expectation as it would have been written for this fate.
    fn anew(&mut self, fate: &Fate) {
        let mut found = Map::new();
        let outcome = fate.outcome().map_or("", cases::Outcome::as_str);
        let one = match fate {
            Fate::Emitted(outputs) => {
                if self.is_written("outcome") {
                    found.insert("outcome".to_owned(), outcome.into());
                }
                match outputs.as_slice() {
                    [output] => {
                        found.insert("output".to_owned(), value_of(output));
                        Some(&output.written)
                    }
                    outputs => {
                        found.insert("outputs".to_owned(), values_of(outputs));
                        None
                    }
                }
            }
            Fate::Failed(failed) => {
                found.insert("outcome".to_owned(), outcome.into());
                found.insert("reason".to_owned(), failed.error.reason.as_str().into());
                if !failed.error.path.is_empty() || self.expect.path.is_some() {
                    found.insert("path".to_owned(), failed.error.path.clone().into());
                }
                if self.expect.error.is_some() {
                    found.insert("error".to_owned(), failed.error.message.clone().into());
                }
                failed.written.as_ref()
            }
            Fate::Filtered | Fate::Waits(_) => {
                found.insert("outcome".to_owned(), outcome.into());
                None
            }
        };
        if let (Some(written), false) = (one, self.expect.many) {
            let top = match self.expect.outputs.as_deref() {
                Some([one]) => one,
                _ => &self.expect.written,
            };
            let (_, more) = self.written(top, written, "");
            found.extend(more);
        }
        self.expected = Map::new();
        self.found = found;
    }

    fn misfit(&mut self, path: &str, below: &str, message: &str) {
        let path = match (below, below.starts_with('[')) {
            ("", _) => path.to_owned(),
            (_, true) => format!("{path}{below}"),
            (_, false) => format!("{path}.{below}"),
        };
        self.add(&path, words("a value of the sink's schema"), words(message));
    }

    fn both(&mut self, name: &str, expected: Json, found: Json) {
        self.expected.insert(name.to_owned(), expected);
        self.found.insert(name.to_owned(), found);
    }

    fn add(&mut self, path: &str, expected: Value, found: Value) {
        let line = line(self.expect, path);
        let path = path.to_owned();
        self.differences.push(Difference {
            path,
            expected,
            found,
            note: None,
            line,
        });
    }

    fn is_written(&self, name: &str) -> bool {
        self.expect.has(name)
    }
}

fn words(words: impl Into<String>) -> Value {
    Value::Words(words.into())
}

fn says_anything(written: &cases::Written) -> bool {
    let headers = !written.headers.is_empty() || !written.no_headers.is_empty();
    let said = written.topic.is_some() || written.key.is_some() || written.timestamp.is_some();
    headers || said
}

/// What a record came to, for whoever expected something else.
fn note(fate: &Fate) -> Option<String> {
    match fate {
        Fate::Emitted(outputs) => match outputs.as_slice() {
            [output] => Some(format!("it is {}", value_of(output))),
            outputs => Some(format!("there are {} outputs", outputs.len())),
        },
        Fate::Failed(failed) => Some(format!("{}: {}", failed.error.reason, failed.error)),
        Fate::Filtered | Fate::Waits(_) => None,
    }
}

/// The line of the case file on which a part of an expectation stands.
fn line(expect: &Expect, path: &str) -> usize {
    let outputs = expect.outputs.as_deref().unwrap_or_default();
    let (written, name, path) = match path
        .strip_prefix("outputs[")
        .and_then(|rest| rest.split_once(']'))
    {
        Some((index, rest)) => {
            let written = index
                .parse()
                .ok()
                .and_then(|index: usize| outputs.get(index));
            (written, "value", rest.trim_start_matches('.'))
        }
        None => (outputs.first(), "output", path),
    };
    let Some(written) = written else {
        return expect.line_of(path);
    };
    let below = path
        .strip_prefix(name)
        .map(|below| below.trim_start_matches('.'));
    match (&written.value, below) {
        (Some(Some(datum)), Some(below)) => datum.place_of(below).line,
        _ if expect.many => written.place.line,
        _ => expect.line_of(path),
    }
}
