//! What a lookup asks, with values of the event in it: a URL with `{field}` in it, or the key of a table.

use crate::config::fault::Fault;
use crate::config::model::{OnNull, Placed};
use crate::contract::schema::{Kind, Logical, NodeId, Schema};
use crate::error::{Reason, RecordError};
use crate::expr::path::{Path, peel, type_name};
use jiff::civil;
use std::fmt::Write;
use url::{Position, Url};

/// A checked template.
#[derive(Debug, Clone)]
pub(super) struct Template {
    parts: Vec<Part>,
    /// Whether values are percent-encoded.
    is_url: bool,
    on_null: OnNull,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Field(QuestionField),
}

/// A field whose value is part of what a lookup asks.
#[derive(Debug, Clone)]
pub struct QuestionField {
    /// Its path.
    pub name: String,
    /// The path as positions.
    pub positions: Vec<usize>,
    /// Its type without the union with null, in the schema that the lookup was compiled against.
    pub node: NodeId,
    /// Of an enum.
    pub symbols: Vec<String>,
}

/// The value of a [`QuestionField`], whatever it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Null, or something above it is.
    Null,
    /// A text, or the text of a UUID.
    Text(&'a str),
    /// The symbol of an enum, by its position.
    Symbol(usize),
    /// A whole number.
    Whole(i64),
    /// A boolean.
    Boolean(bool),
    /// Days since the epoch.
    Date(i32),
    /// A UUID that is a fixed.
    Uuid([u8; 16]),
}

impl Template {
    /// A URL, and its scheme, host and port.
    pub(super) fn url(
        text: &Placed<String>,
        on_null: Option<OnNull>,
        schema: &Schema,
    ) -> Result<(Template, String), Vec<Fault>> {
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
            match field(&name, on_null, schema) {
                Ok(field) => parts.push(Part::Field(field)),
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
        let template = Template {
            parts,
            is_url: true,
            on_null: on_null.unwrap_or(OnNull::DeadLetter),
        };
        Ok((template, origin))
    }

    /// The key of a table.
    pub(super) fn key(
        name: &Placed<String>,
        on_null: Option<OnNull>,
        schema: &Schema,
    ) -> Result<Template, Vec<Fault>> {
        let field = field(name, on_null, schema).map_err(|fault| vec![fault])?;
        Ok(Template {
            parts: vec![Part::Field(field)],
            is_url: false,
            on_null: on_null.unwrap_or(OnNull::DeadLetter),
        })
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &QuestionField> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Field(field) => Some(field),
        })
    }

    /// `None`: a value is null, and `on_null: missing` says that nobody is asked then.
    pub(super) fn fill<'v>(
        &self,
        piece: &mut dyn FnMut(&QuestionField) -> Piece<'v>,
    ) -> Result<Option<String>, RecordError> {
        let mut out = String::with_capacity(if self.is_url { 128 } else { 24 });
        for part in &self.parts {
            let field = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Field(field) => field,
            };
            let fail = |what: &str| {
                let place = if self.is_url { "URL" } else { "key" };
                let message = format!("the lookup's {place} needs a value; this is {what}");
                Err(RecordError::new(Reason::TransformFailed, message).at(&field.name))
            };
            match piece(field) {
                Piece::Null if self.on_null == OnNull::Missing => return Ok(None),
                Piece::Null => return fail("null"),
                Piece::Text("") => return fail("empty"),
                Piece::Symbol(index) => match field.symbols.get(index) {
                    Some(symbol) => out.push_str(symbol),
                    None => return fail("no symbol of its enum"),
                },
                Piece::Text(text) if !self.is_url => out.push_str(text),
                Piece::Text("." | "..") => return fail("a step in a path"),
                Piece::Text(text) => encode(text, &mut out),
                Piece::Whole(number) => out.push_str(&number.to_string()),
                Piece::Boolean(boolean) => out.push_str(&boolean.to_string()),
                Piece::Date(days) => match date(days) {
                    Some(date) => out.push_str(&date),
                    None => return fail("no date of the calendar"),
                },
                Piece::Uuid(bytes) => out.push_str(&uuid::Uuid::from_bytes(bytes).to_string()),
            }
        }
        // Values that stand side by side could make up what neither is alone.
        let path = out.split(['?', '#']).next().unwrap_or_default();
        let steps = |path: &str| path.split('/').any(|part| matches!(part, "." | ".."));
        if self.is_url && steps(path) {
            return Err(RecordError::new(
                Reason::TransformFailed,
                "the lookup's URL would have a step in its path",
            ));
        }
        Ok(Some(out))
    }
}

fn date(days: i32) -> Option<String> {
    let epoch = civil::date(1970, 1, 1);
    let date = epoch.checked_add(jiff::Span::new().try_days(days).ok()?);
    date.ok().map(|date| date.to_string())
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

fn field(
    name: &Placed<String>,
    on_null: Option<OnNull>,
    schema: &Schema,
) -> Result<QuestionField, Fault> {
    let path = Path::resolve(schema, name)?;
    let Some(positions) = path.positions() else {
        let message = format!("`{}` is many values, and a question takes one", name.value);
        return Err(Fault::new(&name.place, name.value.clone(), message));
    };
    let peeled = peel(schema, path.declared);
    let node = schema.node(peeled.node);
    let fault = |message: String| Fault::new(&name.place, name.value.clone(), message);
    let symbols = match (&node.kind, node.logical) {
        (Kind::String, _)
        | (Kind::Int | Kind::Long | Kind::Boolean, None)
        | (Kind::Int, Some(Logical::Date))
        | (Kind::Fixed(_), Some(Logical::Uuid)) => Vec::new(),
        (Kind::Enum(named), _) => named.symbols.clone(),
        _ => {
            let what = type_name(schema, peeled.node);
            let message = format!(
                "`{}` is {what}; a lookup asks with text, whole numbers, enums, dates and UUIDs",
                name.value
            );
            return Err(fault(message).hint("cast it to string in an earlier step"));
        }
    };
    if (peeled.nullable || path.optional_parent) && on_null.is_none() {
        let message = format!(
            "`{}` may be null, and nothing says what the lookup does then",
            name.value
        );
        return Err(fault(message).hint(
            "on_null: missing asks nobody and does what on_missing says; on_null: dead_letter makes a dead letter of the record",
        ));
    }
    Ok(QuestionField {
        name: name.value.clone(),
        positions,
        node: peeled.node,
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
            Part::Field(_) => with,
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
        return Err(fault("credentials in the URL of a lookup")
            .hint("a URL ends up in logs along the way: `headers` is the place for them"));
    }
    Ok(one.origin().ascii_serialization())
}

fn at_column(text: &Placed<String>, offset: usize, written: &str, message: &str) -> Fault {
    let mut fault = Fault::new(&text.place, written, message);
    fault.place.column += offset;
    fault
}
