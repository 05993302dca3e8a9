//! `lookup` asks an HTTP service (`url`) or a table kept from a topic (`topic`) and puts the answer into a new field. This
//! file is the pure part: the question that an event asks, and the field that an answer becomes; [`crate::lookup`] asks.
//!
//! `{field}` in the URL is the value of a field, percent-encoded, so that it can never become a path or a query of its
//! own. The scheme, host and port are constant: no event chooses whom we ask. An empty value, or one that would step up
//! the path (`.`, `..`), is a record error; of one that may be null, `on_null` has to say what happens.
//!
//! The answer's type is a record, and an answer is handed around as Avro bytes of it. With `on_missing: null` the field is
//! nullable and nothing found leaves null; with `on_missing: default` it leaves the default.

mod client;
mod template;

pub use client::LookupClient;
pub use template::{Piece, QuestionField};

use super::shape;
use crate::config::fault::Fault;
use crate::config::model::{HttpLookup, Lookup, LookupSource, OnMissing, OnNull, TopicLookup};
use crate::contract::encode::encode;
use crate::contract::json::{FromJson, Unknown};
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use crate::error::{Reason, RecordError};
use crate::expr::Val;
use std::path::Path;
use std::sync::Arc;
use template::Template;

/// An answer: Avro bytes of the lookup's type.
pub type Bytes = Arc<[u8]>;

/// A lookup as it was compiled.
#[derive(Debug, Clone)]
pub struct LookupSpec {
    /// The field that takes the answer.
    pub into: String,
    /// Who is asked, for messages: scheme, host and port, or `topic <name>`.
    pub origin: String,
    /// Who is asked.
    pub from: LookupSource,
    /// The type of the answer.
    pub answer: Arc<Schema>,
    /// What becomes of an event for which nothing is found.
    pub missing: Missing,
    question: Template,
}

/// What becomes of an event for which nothing is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// It is a dead letter.
    DeadLetter,
    /// The field is null.
    Null,
    /// The field is this.
    Default(Bytes),
}

pub(super) fn compile(
    config: &Lookup,
    input: &Schema,
    schemas: &dyn Fn(&Path) -> Result<Schema, String>,
    faults: &mut Vec<Fault>,
) -> Option<LookupSpec> {
    let before = faults.len();
    let into = &config.into;
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
    let question = question(&config.from, config.on_null, input)
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
    let missing = answer
        .as_ref()
        .and_then(|answer| missing(&config.on_missing, answer, faults));
    let (Some((question, origin)), Some(answer), Some(missing), true) =
        (question, answer, missing, faults.len() == before)
    else {
        return None;
    };
    Some(LookupSpec {
        into: into.value.clone(),
        origin,
        from: config.from.clone(),
        answer: Arc::new(answer),
        missing,
        question,
    })
}

/// A value of the event as a part of a question.
pub(super) fn piece(value: Val<'_>) -> Piece<'_> {
    match value {
        Val::Text(text) => Piece::Text(text),
        Val::Enum(index) => Piece::Symbol(index as usize),
        Val::Int(number) => Piece::Whole(number),
        Val::Bool(boolean) => Piece::Boolean(boolean),
        Val::Date(days) => Piece::Date(days),
        Val::Bytes(bytes) => bytes.try_into().map_or(Piece::Null, Piece::Uuid),
        _ => Piece::Null,
    }
}

/// What is asked, and who, for messages.
fn question(
    from: &LookupSource,
    on_null: Option<OnNull>,
    input: &Schema,
) -> Result<(Template, String), Vec<Fault>> {
    match from {
        LookupSource::Http(HttpLookup { url, .. }) => Template::url(url, on_null, input),
        LookupSource::Topic(TopicLookup { topic, key, .. }) => Ok((
            Template::key(key, on_null, input)?,
            format!("topic {topic}"),
        )),
    }
}

fn missing(config: &OnMissing, answer: &Schema, faults: &mut Vec<Fault>) -> Option<Missing> {
    let text = match config {
        OnMissing::DeadLetter => return Some(Missing::DeadLetter),
        OnMissing::Null => return Some(Missing::Null),
        OnMissing::Default(text) => text,
    };
    let strict = FromJson::default();
    let read = strict.text(answer, answer.root, &text.value);
    let encoded = read.and_then(|value| encoded(answer, &value));
    match encoded {
        Ok(bytes) => Some(Missing::Default(bytes)),
        Err(error) => {
            let at = match error.path.as_str() {
                "" => String::new(),
                path => format!("{path}: "),
            };
            let message = format!(
                "the default is not of the answer's type: {at}{}",
                error.message
            );
            faults.push(Fault::new(&text.place, text.value.clone(), message));
            None
        }
    }
}

fn encoded(answer: &Schema, value: &Value) -> Result<Bytes, RecordError> {
    let mut bytes = Vec::with_capacity(128);
    encode(answer, value, &mut bytes)?;
    Ok(bytes.into())
}

impl LookupSpec {
    /// The fields that the question is made of.
    pub fn fields(&self) -> impl Iterator<Item = &QuestionField> {
        self.question.fields()
    }

    /// What to ask, with the values of [`fields`](Self::fields): the URL, or the key of the table. `None`: a value is null and
    /// `on_null: missing`, so nobody is asked and [`when_missing`](Self::when_missing) says the rest. It holds values of
    /// the event: never log it.
    pub fn question<'v>(
        &self,
        piece: &mut dyn FnMut(&QuestionField) -> Piece<'v>,
    ) -> Result<Option<String>, RecordError> {
        self.question.fill(piece)
    }

    /// The answer for an event for which nothing was found.
    pub fn when_missing(&self) -> Result<Option<Bytes>, RecordError> {
        match &self.missing {
            Missing::DeadLetter => Err(self.not_found()),
            Missing::Null => Ok(None),
            Missing::Default(bytes) => Ok(Some(Arc::clone(bytes))),
        }
    }

    /// An answer in JSON as Avro bytes. Fields that the type lacks are left out.
    pub fn from_json(&self, text: &str) -> Result<Bytes, RecordError> {
        let reader = FromJson {
            unknown_fields: Unknown::Allow,
        };
        let read = reader.text(&self.answer, self.answer.root, text);
        read.and_then(|value| encoded(&self.answer, &value))
            .map_err(|error| {
                let what = format!("the answer is not of its declared type: {}", error.message);
                let path = match error.path.as_str() {
                    "" => self.into.clone(),
                    path => format!("{}.{path}", self.into),
                };
                self.misconfigured(&what).at(path)
            })
    }

    /// The error of an event for which nothing was found.
    pub fn not_found(&self) -> RecordError {
        self.error(
            Reason::LookupNotFound,
            match self.from {
                LookupSource::Http(_) => "answered 404",
                LookupSource::Topic(_) => "has no such key",
            },
        )
    }

    fn misconfigured(&self, what: &str) -> RecordError {
        self.error(Reason::LookupMisconfigured, what)
    }

    /// An error that names the lookup and its origin; the rest of the question holds values of the event.
    pub fn error(&self, reason: Reason, what: &str) -> RecordError {
        let message = format!("lookup into {} ({}): {what}", self.into, self.origin);
        RecordError::new(reason, message)
    }
}
