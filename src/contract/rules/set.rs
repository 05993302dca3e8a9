//! A `ruleSet` as a registry serves it with a subject's version. Input: its JSON. Output: the rules of one side, read
//! and understood, or a fault for each that is not. A rule is never skipped because it is not understood: what it would
//! have kept out would pass.
//!
//! Which rules are run: of `domainRules`, those of the mode `READ` or `WRITEREAD` on a contract, `WRITE` or `WRITEREAD`
//! on a sink. The others are the work of producers and readers, and are listed as such. `migrationRules` and
//! `encodingRules` change records; one that is for this side is a fault.
//!
//! What becomes of a record that fails one: `ERROR` (also where nothing is said) and `DLQ` make it a dead letter, for
//! there is no application here to throw at, and one record never stops the others; `NONE` counts it and lets it pass.
//! A dead letter goes to the pipeline's own topic, whatever `dlq.topic` says, and is listed so.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::config::fault::Fault;
use crate::config::model::{OnFail, Place, Placed};

/// A subject's version that has rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
}

impl Subject {
    /// `subject@version`.
    pub fn text(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    pub(super) fn place(&self) -> Place {
        Place {
            file: self.text(),
            line: 1,
            column: 1,
        }
    }

    /// A fault about a rule, which names rule, subject and version.
    pub(super) fn fault(&self, rule: &str, message: impl std::fmt::Display) -> Fault {
        let Subject { name, version } = self;
        let message = format!("rule `{rule}` of subject {name} version {version}: {message}");
        Fault::new(&self.place(), rule, message)
    }
}

/// Whose rules are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The contract's: records that are read.
    Read,
    /// The sink's: records that are written.
    Write,
}

/// One rule to run.
#[derive(Debug)]
pub(super) struct SetRule {
    pub(super) name: String,
    pub(super) kind: SetKind,
    pub(super) mode: String,
    /// The condition that says whether the rule is about a record.
    pub(super) guard: Option<Placed<String>>,
    pub(super) expr: Placed<String>,
    /// The whole expression as written.
    pub(super) text: String,
    pub(super) on_fail: OnFail,
    /// `dlq.topic`, which is not written to.
    pub(super) dlq: Option<String>,
}

/// What a rule is about.
#[derive(Debug)]
pub(super) enum SetKind {
    /// `CEL`: the record.
    Message,
    /// `CEL_FIELD`: the values of fields with one of these tags; of all, if there are none.
    Fields(Vec<String>),
}

/// A rule that is not run, with the reason.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) name: String,
    pub(super) mode: String,
    pub(super) why: String,
}

/// The rules of one side.
#[derive(Debug, Default)]
pub(super) struct RuleSet {
    pub(super) rules: Vec<SetRule>,
    pub(super) idle: Vec<Idle>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default, rename = "type")]
    language: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    params: Option<BTreeMap<String, Json>>,
    #[serde(default)]
    expr: Option<String>,
    #[serde(default)]
    on_success: Option<String>,
    #[serde(default)]
    on_failure: Option<String>,
    #[serde(default)]
    disabled: Option<bool>,
    #[serde(flatten)]
    others: BTreeMap<String, Json>,
}

/// Reads a rule set for one side.
pub(super) fn read(set: &Json, subject: &Subject, side: Side) -> Result<RuleSet, Vec<Fault>> {
    let mut out = RuleSet::default();
    let mut faults = Vec::new();
    let whole = |message: String| {
        let Subject { name, version } = subject;
        let message = format!("the rule set of subject {name} version {version}: {message}");
        Fault::new(&subject.place(), "ruleSet", message)
    };
    let parts = match set {
        Json::Null => return Ok(out),
        Json::Object(parts) => parts,
        _ => return Err(vec![whole("it is not a JSON object".to_owned())]),
    };
    for (part, rules) in parts {
        let rules = match rules {
            Json::Null => continue,
            Json::Array(rules) => rules,
            _ => {
                faults.push(whole(format!("`{part}` cannot be understood")));
                continue;
            }
        };
        for (index, rule) in rules.iter().enumerate() {
            let read = match part.as_str() {
                "domainRules" => domain(rule, index, subject, side, &mut out),
                "migrationRules" | "encodingRules" => other(rule, index, part, subject, side),
                _ => Err(whole(format!("`{part}` cannot be understood"))),
            };
            match read {
                Ok(Some(idle)) => out.idle.push(idle),
                Ok(None) => {}
                Err(fault) => faults.push(fault),
            }
        }
    }
    match faults.is_empty() {
        true => Ok(out),
        false => Err(faults),
    }
}

fn parse(rule: &Json, index: usize, subject: &Subject) -> Result<(String, Written), Fault> {
    let name = match rule.get("name") {
        Some(Json::String(name)) if !name.is_empty() => name.clone(),
        _ => format!("number {}", index + 1),
    };
    let written: Written = serde_json::from_value(rule.clone())
        .map_err(|error| subject.fault(&name, format!("it cannot be understood: {error}")))?;
    Ok((name, written))
}

/// A rule of `migrationRules` or `encodingRules`.
fn other(
    rule: &Json,
    index: usize,
    part: &str,
    subject: &Subject,
    side: Side,
) -> Result<Option<Idle>, Fault> {
    let (name, written) = parse(rule, index, subject)?;
    let mode = written.mode.unwrap_or_default();
    let idle = |why: &str| {
        Ok(Some(Idle {
            name: name.clone(),
            mode: mode.clone(),
            why: why.to_owned(),
        }))
    };
    if written.disabled == Some(true) {
        return idle("disabled");
    }
    match (side, mode.as_str()) {
        (Side::Read, "WRITE") => idle("run by producers"),
        (Side::Write, "READ" | "UPGRADE" | "DOWNGRADE" | "UPDOWN") => idle("run by readers"),
        _ => Err(subject.fault(&name, format!("not available yet: `{part}`"))),
    }
}

/// A rule of `domainRules`: to run, idle, or a fault.
fn domain(
    rule: &Json,
    index: usize,
    subject: &Subject,
    side: Side,
    out: &mut RuleSet,
) -> Result<Option<Idle>, Fault> {
    let (name, written) = parse(rule, index, subject)?;
    let fault = |message: String| Err(subject.fault(&name, message));
    let mode = written.mode.clone().unwrap_or_default();
    let idle = |why: &str| {
        Ok(Some(Idle {
            name: name.clone(),
            mode: mode.clone(),
            why: why.to_owned(),
        }))
    };
    if written.disabled == Some(true) {
        return idle("disabled");
    }
    match (side, mode.as_str()) {
        (_, "WRITEREAD") | (Side::Read, "READ") | (Side::Write, "WRITE") => {}
        (Side::Read, "WRITE") => return idle("run by producers"),
        (Side::Write, "READ") => return idle("run by readers"),
        (_, "") => return fault("it has no mode".to_owned()),
        (_, other) => {
            let known = "READ, WRITE or WRITEREAD";
            return fault(format!(
                "the mode {other} cannot be understood here; expected {known}"
            ));
        }
    }
    // A name and words for people; nothing else may hang on what is not known here.
    let mut others = written.others.iter();
    let strange =
        others.find(|(key, value)| !value.is_null() && !["name", "doc"].contains(&key.as_str()));
    if let Some((key, _)) = strange {
        return fault(format!("`{key}` cannot be understood"));
    }
    match written.kind.as_deref() {
        Some("CONDITION") => {}
        Some("TRANSFORM") => return fault("not available yet: the kind TRANSFORM".to_owned()),
        Some(other) => return fault(format!("the kind {other} cannot be understood")),
        None => return fault("it has no kind".to_owned()),
    }
    let kind = match written.language.as_deref() {
        Some("CEL") => SetKind::Message,
        Some("CEL_FIELD") => SetKind::Fields(written.tags.unwrap_or_default()),
        Some(other) => {
            return fault(format!(
                "the type {other} cannot be understood; expected CEL or CEL_FIELD"
            ));
        }
        None => return fault("it has no type".to_owned()),
    };
    let action = |actions: &Option<String>| chosen(actions.as_deref(), &mode, side);
    let on_fail = match action(&written.on_failure).as_str() {
        "" | "ERROR" | "DLQ" => OnFail::DeadLetter,
        "NONE" => OnFail::Warn,
        other => return fault(format!("onFailure {other} cannot be understood")),
    };
    match action(&written.on_success).as_str() {
        "" | "NONE" => {}
        other => return fault(format!("not available yet: onSuccess {other}")),
    }
    let text = written.expr.unwrap_or_default();
    let placed = |text: &str| Placed {
        value: text.trim().to_owned(),
        place: subject.place(),
    };
    // At the first one, in quotes or not, as Confluent's clients do.
    let (guard, expr) = match text.split_once(';') {
        Some((guard, expr)) => (Some(guard).filter(|guard| !guard.trim().is_empty()), expr),
        None => (None, text.as_str()),
    };
    let dlq = written.params.iter().flatten();
    let mut dlq = dlq.filter(|(key, _)| *key == "dlq.topic");
    out.rules.push(SetRule {
        guard: guard.map(placed),
        expr: placed(expr),
        dlq: dlq
            .next()
            .map(|(_, topic)| topic.as_str().unwrap_or_default().to_owned()),
        text: one_line(&text),
        name,
        kind,
        mode,
        on_fail,
    });
    Ok(None)
}

/// The action of this side: `WRITEREAD` may name two, the writer's first.
fn chosen(actions: Option<&str>, mode: &str, side: Side) -> String {
    let actions = actions.unwrap_or_default();
    match (mode, actions.split_once(','), side) {
        ("WRITEREAD", Some((write, _)), Side::Write) => write.trim().to_owned(),
        ("WRITEREAD", Some((_, read)), Side::Read) => read.trim().to_owned(),
        _ => actions.trim().to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
