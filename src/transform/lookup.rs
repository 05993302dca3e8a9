//! `lookup: { into, url, type, timeout, on_missing }` asks an HTTP service and puts its answer into a new field. This
//! file is the pure part: the URL of an event and the field of an answer; [`LookupClient`] asks.
//!
//! `{field}` in the URL is the value of a field, percent-encoded, so that it can never become a path or a query of its
//! own. The scheme, host and port are constant: no event chooses whom we ask. A null or empty value, or one that
//! would step up the path (`.`, `..`), is a record error.
//!
//! The answer's type is a record. With `on_missing: null` the field is nullable and a 404 leaves null.

mod client;
mod scripted;
mod template;

pub use client::LookupClient;
pub use scripted::{Script, Scripted};

use super::{Outcome, shape};
use crate::config::fault::Fault;
use crate::config::model::{Lookup, OnMissing};
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use crate::error::{Reason, RecordError};
use crate::expr::types;
use std::path::Path;
use std::time::Duration;
use template::Template;

/// A lookup as it was compiled.
#[derive(Debug, Clone)]
pub struct LookupSpec {
    /// The field that takes the answer.
    pub into: String,
    /// Scheme, host and port, for messages.
    pub origin: String,
    /// The type of the answer.
    pub answer: Schema,
    /// Time-out of one request, connecting and reading included.
    pub timeout: Duration,
    /// What a 404 does.
    pub on_missing: OnMissing,
    template: Template,
}

pub(super) fn compile(
    config: &Lookup,
    input: &Schema,
    schemas: &dyn Fn(&Path) -> Result<Schema, String>,
    faults: &mut Vec<Fault>,
) -> Outcome<LookupSpec> {
    let before = faults.len();
    let into = &config.into;
    let mut output = input.clone();
    let fault = |message: String| Fault::new(&into.place, into.value.clone(), message);
    if let Err(fault) = shape::check_name(into) {
        faults.push(fault);
    } else if input
        .record()
        .is_some_and(|record| record.index.contains_key(&into.value))
    {
        let message = format!("there is a field `{}` already", into.value);
        faults.push(fault(message).hint("drop or rename that one first"));
    }
    let template = Template::compile(&config.url, input)
        .map_err(|found| faults.extend(found))
        .ok();
    let answer = schemas(&config.answer).and_then(|answer| match answer.record() {
        Some(_) => Ok(answer),
        None => Err("the type of a lookup's answer must be a record".to_owned()),
    });
    let answer = answer
        .map_err(|why| {
            let written = config.answer.display().to_string();
            faults.push(Fault::new(&config.answer_place, written, why));
        })
        .ok();
    let (Some(template), Some(answer), true) = (template, answer, faults.len() == before) else {
        return Outcome {
            untyped: vec![into.value.clone()],
            ..Outcome::failed(output)
        };
    };
    let mut node = shape::import(&mut output, &answer);
    if config.on_missing == OnMissing::Null {
        node = types::nullable(&mut output, node);
    }
    shape::append(&mut output, &into.value, node);
    let spec = LookupSpec {
        into: into.value.clone(),
        origin: template.origin().to_owned(),
        answer,
        timeout: config.timeout,
        on_missing: config.on_missing,
        template,
    };
    Outcome::new(spec, output)
}

impl LookupSpec {
    /// What to ask for an event.
    pub(super) fn url(&self, event: &Value) -> Result<String, RecordError> {
        self.template.fill(event)
    }

    /// Appends the answer.
    pub(super) fn fill(&self, event: &mut Value, answer: Option<Value>) -> Result<(), RecordError> {
        let value = match (answer, self.on_missing) {
            (Some(answer), OnMissing::DeadLetter) => answer,
            // `[null, T]`, as types::nullable makes it.
            (Some(answer), OnMissing::Null) => Value::Union(1, Box::new(answer)),
            (None, OnMissing::Null) => Value::Union(0, Box::new(Value::Null)),
            (None, OnMissing::DeadLetter) => return Err(self.not_found()),
        };
        match event {
            Value::Record(fields) => fields.push(value),
            _ => {
                return Err(RecordError::new(
                    Reason::TransformFailed,
                    "the event is not a record",
                ));
            }
        }
        Ok(())
    }

    fn not_found(&self) -> RecordError {
        self.error(Reason::LookupNotFound, "answered 404")
    }

    /// An error that names the lookup and its origin; the rest of the URL holds values of the event.
    fn error(&self, reason: Reason, what: &str) -> RecordError {
        let message = format!("lookup into {} ({}): {what}", self.into, self.origin);
        RecordError::new(reason, message)
    }
}
