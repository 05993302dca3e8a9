//! Steps about the record around the event: `header: { name: expression }`, `key: expression`, `timestamp: expression`.
//! They change what is emitted; the source's own stays what expressions read.

use super::flow::Flow;
use super::run::within;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::Kind;
use crate::error::{Reason, RecordError};
use crate::expr::{Base, Cx, Expr, Val};

/// What the emitted record has otherwise than the source's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The key; `Some(None)` is no key.
    pub key: Option<Option<Vec<u8>>>,
    /// Headers that are set, replacing all of that name, or taken away.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
}

impl Attributes {
    /// Bytes that they take, roughly.
    pub(super) fn size(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
        headers.sum::<usize>() + self.key.iter().flatten().map(Vec::len).sum::<usize>()
    }
}

/// A step about them.
#[derive(Debug)]
pub(super) struct Assign {
    what: What,
    /// The step, for errors.
    label: String,
}

#[derive(Debug)]
enum What {
    /// `None` takes the header away.
    Header(String, Option<Expr>),
    Key(Expr),
    Timestamp(Expr),
}

/// Names that are ours: nobody else may write them, since retries and dead letters are told by them.
const OWN: &str = "driftgate.";

pub(super) fn headers(
    entries: &[(Placed<String>, Option<Placed<String>>)],
    flow: &Flow,
    faults: &mut Vec<Fault>,
) -> Vec<Assign> {
    let mut out = Vec::with_capacity(entries.len());
    for (name, text) in entries {
        if name.value.is_empty() || name.value.starts_with(OWN) {
            let message = match name.value.as_str() {
                "" => "a header without a name",
                _ => {
                    "headers that begin with `driftgate.` are written by retries and dead letters alone"
                }
            };
            faults.push(Fault::new(&name.place, name.value.clone(), message));
            continue;
        }
        let expr = match text {
            None => None,
            Some(text) => match compiled(
                text,
                flow,
                faults,
                "a header is a text or bytes",
                &[Class::Text],
            ) {
                Some(expr) => Some(expr),
                None => continue,
            },
        };
        out.push(Assign {
            what: What::Header(name.value.clone(), expr),
            label: flow.label.clone(),
        });
    }
    out
}

pub(super) fn key(text: &Placed<String>, flow: &Flow, faults: &mut Vec<Fault>) -> Option<Assign> {
    let expr = compiled(
        text,
        flow,
        faults,
        "a key is a text or bytes",
        &[Class::Text],
    )?;
    Some(Assign {
        what: What::Key(expr),
        label: flow.label.clone(),
    })
}

/// The key that copies of an event are known by, or its versions.
pub(super) fn common_key(
    text: &Placed<String>,
    flow: &Flow,
    faults: &mut Vec<Fault>,
) -> Option<Expr> {
    compiled(
        text,
        flow,
        faults,
        "what records of one key have in common is a text or bytes",
        &[Class::Text],
    )
}

/// What says which source an event is from.
pub(super) fn source(text: &Placed<String>, flow: &Flow, faults: &mut Vec<Fault>) -> Option<Expr> {
    compiled(
        text,
        flow,
        faults,
        "what a source is told by is a text or bytes",
        &[Class::Text],
    )
}

/// The version of an event.
pub(super) fn version(text: &Placed<String>, flow: &Flow, faults: &mut Vec<Fault>) -> Option<Expr> {
    compiled(
        text,
        flow,
        faults,
        "a version is a whole number, a timestamp or a date",
        &[Class::Timestamp, Class::Version],
    )
}

pub(super) fn timestamp(
    text: &Placed<String>,
    flow: &Flow,
    faults: &mut Vec<Fault>,
) -> Option<Assign> {
    let expr = compiled(
        text,
        flow,
        faults,
        "the record's timestamp is a timestamp",
        &[Class::Timestamp],
    )?;
    if expr.ty().nullable {
        let message = "the record's timestamp cannot be null";
        let fault = Fault::new(&text.place, text.value.clone(), message);
        faults.push(
            fault.hint("`….orValue(timestamp('2026-01-01T00:00:00Z'))` says what it is then"),
        );
        return None;
    }
    Some(Assign {
        what: What::Timestamp(expr),
        label: flow.label.clone(),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Text,
    Timestamp,
    /// What else may count up.
    Version,
}

fn compiled(
    text: &Placed<String>,
    flow: &Flow,
    faults: &mut Vec<Fault>,
    wants: &str,
    classes: &[Class],
) -> Option<Expr> {
    let expr = flow
        .with_scope(Vec::new(), |scope| Expr::compile(text, scope))
        .map_err(|found| faults.extend(found))
        .ok()?;
    let ty = expr.ty();
    let fits = classes.iter().any(|class| match class {
        Class::Text => match ty.base {
            Base::String | Base::Bytes | Base::Null => true,
            Base::Node(node) => matches!(
                (&flow.schema.node(node).kind, flow.schema.node(node).logical),
                (Kind::String, _) | (Kind::Bytes | Kind::Fixed(_), None)
            ),
            _ => false,
        },
        Class::Timestamp => matches!(
            ty.base,
            Base::TimestampMillis | Base::TimestampMicros | Base::TimestampNanos
        ),
        Class::Version => matches!(ty.base, Base::Int | Base::Long | Base::Date),
    });
    if fits {
        return Some(expr);
    }
    let is = ty.describe(&flow.schema);
    let fault = Fault::new(
        &text.place,
        text.value.clone(),
        format!("{wants}; this is {is}"),
    );
    faults.push(match classes {
        [Class::Text] => fault.hint("`string(…)` makes a text of it"),
        [_, Class::Version] if matches!(ty.base, Base::String) => {
            fault.hint("`timestamp(…)` or `int(…)` makes one of a text")
        }
        _ => fault,
    });
    None
}

impl Assign {
    pub(super) fn apply<'a>(
        &'a self,
        cx: &mut Cx<'a>,
        attributes: &mut Attributes,
    ) -> Result<(), RecordError> {
        let explain = |error| within(&self.label, error);
        match &self.what {
            What::Header(name, None) => attributes.headers.push((name.clone(), None)),
            What::Header(name, Some(expr)) => {
                let value = expr.eval(cx).map_err(explain)?;
                attributes.headers.push((name.clone(), bytes(value)));
            }
            What::Key(expr) => {
                attributes.key = Some(bytes(expr.eval(cx).map_err(explain)?));
            }
            What::Timestamp(expr) => {
                let Val::Timestamp(instant) = expr.eval(cx).map_err(explain)? else {
                    return Err(super::append::broken());
                };
                let millis = instant.as_millisecond();
                if millis < 0 {
                    let message = "a record's timestamp cannot be before 1970";
                    let error = RecordError::new(Reason::TransformFailed, message);
                    return Err(explain(error));
                }
                attributes.timestamp = Some(millis);
            }
        }
        Ok(())
    }
}

fn bytes(value: Val<'_>) -> Option<Vec<u8>> {
    match value {
        Val::Text(text) => Some(text.as_bytes().to_vec()),
        Val::Bytes(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}
