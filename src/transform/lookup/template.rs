//! The URL of a lookup with `{field}` in it.

use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, Schema};
use crate::contract::value::Value;
use crate::error::{Reason, RecordError};
use crate::expr::path::{peel, type_name};
use crate::transform::shape;
use std::fmt::Write;
use url::{Position, Url};

/// A checked template.
#[derive(Debug, Clone)]
pub(super) struct Template {
    origin: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Field {
        name: String,
        positions: Vec<usize>,
        /// Of an enum.
        symbols: Vec<String>,
    },
}

impl Template {
    pub(super) fn compile(text: &Placed<String>, schema: &Schema) -> Result<Template, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut parts = Vec::new();
        let mut rest = text.value.as_str();
        let mut offset = 0;
        while let Some(open) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(open);
            let at = offset + before.chars().count();
            let close = after.find('}');
            let (Some(close), true) = (close, after.starts_with('{')) else {
                let fault = at_column(text, at, &after[..1], "this brace has no partner");
                return Err(vec![
                    fault.hint("a brace that is meant is written %7B or %7D"),
                ]);
            };
            parts.push(Part::Text(before.to_owned()));
            let name = Placed {
                value: after[1..close].to_owned(),
                place: at_column(text, at + 1, "", "").place,
            };
            match field(&name, schema) {
                Ok(part) => parts.push(part),
                Err(fault) => faults.push(fault),
            }
            offset = at + after[..=close].chars().count();
            rest = &after[close + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        if !faults.is_empty() {
            return Err(faults);
        }
        let origin = origin(text, &parts).map_err(|fault| vec![fault])?;
        Ok(Template { origin, parts })
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn fill(&self, event: &Value) -> Result<String, RecordError> {
        let mut url = String::with_capacity(128);
        for part in &self.parts {
            match part {
                Part::Text(text) => url.push_str(text),
                Part::Field {
                    name,
                    positions,
                    symbols,
                } => {
                    let fail = |what: &str| {
                        let message = format!("the lookup's URL needs a value; this is {what}");
                        Err(RecordError::new(Reason::TransformFailed, message).at(name))
                    };
                    match at(event, positions) {
                        Some(Value::String(text)) if text.is_empty() => return fail("empty"),
                        Some(Value::String(text)) if matches!(text.as_str(), "." | "..") => {
                            return fail("a step in a path");
                        }
                        Some(Value::String(text)) => encode(text, &mut url),
                        Some(Value::Int(int)) => url.push_str(&int.to_string()),
                        Some(Value::Long(long)) => url.push_str(&long.to_string()),
                        Some(Value::Boolean(boolean)) => url.push_str(&boolean.to_string()),
                        Some(Value::Enum(index)) => match symbols.get(*index) {
                            Some(symbol) => encode(symbol, &mut url),
                            None => return fail("no symbol of its enum"),
                        },
                        _ => return fail("null"),
                    }
                }
            }
        }
        // Values that stand side by side could make up what neither is alone.
        let path = url.split(['?', '#']).next().unwrap_or_default();
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(RecordError::new(
                Reason::TransformFailed,
                "the lookup's URL would have a step in its path",
            ));
        }
        Ok(url)
    }
}

fn at<'a>(event: &'a Value, positions: &[usize]) -> Option<&'a Value> {
    let mut at = event.inner();
    for position in positions {
        let Value::Record(fields) = at else {
            return None;
        };
        at = fields.get(*position)?.inner();
    }
    Some(at)
}

/// All but the unreserved characters of RFC 3986.
fn encode(text: &str, url: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(byte));
            }
            _ => write!(url, "%{byte:02X}").expect("writing to a String never fails"),
        }
    }
}

fn field(name: &Placed<String>, schema: &Schema) -> Result<Part, Fault> {
    let (path, positions) = shape::plain_path(schema, name)?;
    let node = schema.node(peel(schema, path.declared).node);
    let symbols = match (&node.kind, node.logical) {
        (Kind::String, _) | (Kind::Int | Kind::Long | Kind::Boolean, None) => Vec::new(),
        (Kind::Enum(named), _) => named.symbols.clone(),
        _ => {
            let what = type_name(schema, peel(schema, path.declared).node);
            let message = format!(
                "`{}` is {what}; a URL takes text and whole numbers",
                name.value
            );
            let fault = Fault::new(&name.place, name.value.clone(), message);
            return Err(fault.hint("cast it to string in an earlier step"));
        }
    };
    Ok(Part::Field {
        name: name.value.clone(),
        positions,
        symbols,
    })
}

/// Checks that this is an HTTP URL whose authority is constant, and returns scheme, host and port.
fn origin(text: &Placed<String>, parts: &[Part]) -> Result<String, Fault> {
    // The whole URL may hold a key; faults show no more of it than the user's own braces.
    let fault = |message: &str| Fault::new(&text.place, "url", message);
    let filled = |with: &str| -> String {
        let parts = parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Field { .. } => with,
        });
        parts.collect()
    };
    let parse = |with: &str| {
        Url::parse(&filled(with)).map_err(|error| fault(&format!("this is not a URL: {error}")))
    };
    let (one, other) = (parse("1")?, parse("2")?);
    if !matches!(one.scheme(), "http" | "https") {
        return Err(fault("a lookup's URL begins with http:// or https://"));
    }
    if one[..Position::BeforePath] != other[..Position::BeforePath] {
        let fault = fault("a field may not choose the host: fields belong into the path or query");
        return Err(fault);
    }
    if !one.username().is_empty() || one.password().is_some() {
        return Err(fault("not available yet: credentials for lookups")
            .hint("a URL is no place for a password: it ends up in logs along the way"));
    }
    Ok(one.origin().ascii_serialization())
}

fn at_column(text: &Placed<String>, offset: usize, written: &str, message: &str) -> Fault {
    let mut fault = Fault::new(&text.place, written, message);
    fault.place.column += offset;
    fault
}
