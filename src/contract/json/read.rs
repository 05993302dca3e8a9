//! JSON and table cells → [`Value`], strictly: types as the schema says, ranges checked, no rounding, every field
//! accounted for. Errors name the path and never hold the data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::input::Input;
use super::{FromJson, Unknown, logical};
use crate::contract::path::{Trail, closest};
use crate::contract::schema::{FixedType, Kind, Logical, NodeId, RecordType, Schema};
use crate::contract::value::Value;
use crate::contract::{decimal, default};
use crate::error::{Reason, RecordError};

/// Bound on values tried. Trying the branches of nested unions one after another could take time beyond all bounds.
const WORK_LIMIT: usize = 1_000_000;

pub(super) fn read(
    schema: &Schema,
    node: NodeId,
    input: &Input,
    options: FromJson,
) -> Result<Value, RecordError> {
    Reader::new(schema, options).node(node, input)
}

pub(super) fn cell(schema: &Schema, node: NodeId, text: &str) -> Result<Value, RecordError> {
    Reader::new(schema, FromJson::default()).cell(node, text)
}

struct Reader<'s> {
    schema: &'s Schema,
    options: FromJson,
    trail: Trail<'s>,
    work: usize,
}

impl<'s> Reader<'s> {
    fn new(schema: &'s Schema, options: FromJson) -> Self {
        Reader {
            schema,
            options,
            trail: Trail::default(),
            work: 0,
        }
    }

    fn error(&self, message: impl Into<String>) -> RecordError {
        RecordError::new(Reason::MalformedData, message).at(self.trail.render())
    }

    fn unexpected(&self, node: NodeId, input: &Input) -> RecordError {
        let expected = self.schema.describe(node);
        self.error(format!("expected {expected}, found {}", input.word()))
    }

    fn node(&mut self, id: NodeId, input: &Input) -> Result<Value, RecordError> {
        self.work += 1;
        if self.work > WORK_LIMIT {
            return Err(self.error("takes too many tries to fit to the schema's unions"));
        }
        let schema: &'s Schema = self.schema;
        let node = schema.node(id);
        let found = match (&node.kind, input) {
            (Kind::Union(branches), _) => return self.union(id, branches, input),
            (Kind::Null, Input::Null) => Ok(Value::Null),
            (Kind::Boolean, Input::Boolean(value)) => Ok(Value::Boolean(*value)),
            (Kind::String, Input::Text(text)) => string(node.logical, text),
            (Kind::Int | Kind::Long, Input::Number { text, .. }) => integer(&node.kind, text),
            (Kind::Int | Kind::Long, Input::Text(text)) if node.logical.is_some() => {
                moment(&node.kind, node.logical, text)
            }
            (Kind::Float | Kind::Double, Input::Number { text, .. }) => float(&node.kind, text),
            (Kind::Float | Kind::Double, Input::Text(text)) if not_finite(text) => {
                float(&node.kind, text)
            }
            (Kind::Bytes, Input::Text(text)) => bytes(node.logical, text),
            (Kind::Fixed(fixed), Input::Text(text)) => fixed_text(fixed, node.logical, text),
            (Kind::Bytes | Kind::Fixed(_), Input::Number { text, exact }) => {
                match (&node.kind, node.logical) {
                    (_, Some(Logical::Decimal { .. })) if !exact => Err(
                        "a number of more than 15 digits is not exact here; write it as a string"
                            .to_owned(),
                    ),
                    (Kind::Bytes, Some(Logical::Decimal { .. })) => bytes(node.logical, text),
                    (Kind::Fixed(fixed), Some(Logical::Decimal { .. })) => {
                        fixed_text(fixed, node.logical, text)
                    }
                    _ => return Err(self.unexpected(id, input)),
                }
            }
            (Kind::Fixed(_), Input::Object(parts)) if node.logical == Some(Logical::Duration) => {
                duration(parts)
            }
            (Kind::Enum(symbols), Input::Text(text)) => {
                match symbols.symbols.iter().position(|s| s == text) {
                    Some(position) => Ok(Value::Enum(position)),
                    None => {
                        let name = &symbols.name.full;
                        Err(format!(
                            "expected one of the symbols of {name}: {}",
                            listed(&symbols.symbols)
                        ))
                    }
                }
            }
            (Kind::Array(item), Input::Array(items)) => {
                let mut values = Vec::with_capacity(items.len());
                for (position, input) in items.iter().enumerate() {
                    self.trail.push_index(position);
                    let value = self.node(*item, input);
                    self.trail.pop();
                    values.push(value?);
                }
                return Ok(Value::Array(values));
            }
            (Kind::Map(item), Input::Object(entries)) => {
                let mut values = Vec::with_capacity(entries.len());
                for (position, (key, input)) in entries.iter().enumerate() {
                    self.trail.push_index(position);
                    let value = self.node(*item, input);
                    self.trail.pop();
                    values.push((key.clone(), value?));
                }
                return Ok(Value::Map(values));
            }
            (Kind::Record(record), Input::Object(entries)) => return self.record(record, entries),
            _ => return Err(self.unexpected(id, input)),
        };
        found.map_err(|message| self.error(message))
    }

    fn record(
        &mut self,
        record: &'s RecordType,
        entries: &[(String, Input)],
    ) -> Result<Value, RecordError> {
        let mut values: Vec<Option<Value>> = vec![None; record.fields.len()];
        for (key, input) in entries {
            let Some(position) = record.index.get(key).copied() else {
                if self.options.unknown_fields == Unknown::Allow {
                    continue;
                }
                let names = record.fields.iter().map(|f| f.name.as_str());
                let hint = closest(key, names)
                    .map(|near| format!("; did you mean {near:?}?"))
                    .unwrap_or_default();
                let name = &record.name.full;
                return Err(self.error(format!("{name} has no field {key:?}{hint}")));
            };
            self.trail.push_field(&record.fields[position].name);
            let value = if values[position].is_some() {
                Err(self.error("stands twice"))
            } else {
                self.node(record.fields[position].node, input)
            };
            self.trail.pop();
            values[position] = Some(value?);
        }
        let mut complete = Vec::with_capacity(values.len());
        for (field, value) in record.fields.iter().zip(values) {
            complete.push(match (value, &field.default) {
                (Some(value), _) => value,
                (None, Some(json)) => {
                    let value = default::value(self.schema, field.node, json);
                    value.map_err(|e| {
                        let error = self.error(format!("the default does not fit: {}", e.message));
                        error.at(self.path_of(&field.name))
                    })?
                }
                (None, None) => {
                    let error = self.error("is missing, and the schema gives no default");
                    return Err(error.at(self.path_of(&field.name)));
                }
            });
        }
        Ok(Value::Record(complete))
    }

    fn path_of(&self, field: &'s str) -> String {
        let mut trail = self.trail.clone();
        trail.push_field(field);
        trail.render()
    }

    fn union(
        &mut self,
        id: NodeId,
        branches: &'s [NodeId],
        input: &Input,
    ) -> Result<Value, RecordError> {
        if let Input::Object(entries) = input
            && let [(key, inner)] = entries.as_slice()
            && let Some(position) = self.branch_named(branches, key)
        {
            match self.node(branches[position], inner) {
                Ok(value) => return Ok(Value::Union(position, Box::new(value))),
                Err(e) if self.work > WORK_LIMIT => return Err(e),
                // The key may be a map's or a record's own.
                Err(_) => {}
            }
        }
        let mut only = None;
        for (position, branch) in branches.iter().enumerate() {
            match self.node(*branch, input) {
                Ok(value) => return Ok(Value::Union(position, Box::new(value))),
                Err(e) if self.work > WORK_LIMIT => return Err(e),
                Err(e) if self.schema.non_null(id) == Some(*branch) => only = Some(e),
                Err(_) => {}
            }
        }
        // With one type besides null there is no doubt what was meant, so its own error is the useful one.
        Err(only.unwrap_or_else(|| self.unexpected(id, input)))
    }

    fn branch_named(&self, branches: &[NodeId], key: &str) -> Option<usize> {
        branches.iter().position(|branch| {
            let kind = &self.schema.node(*branch).kind;
            match kind.name() {
                Some(name) => name.full == key || name.unqualified() == key,
                None => kind.word() == key,
            }
        })
    }

    fn cell(&mut self, id: NodeId, text: &str) -> Result<Value, RecordError> {
        let schema: &'s Schema = self.schema;
        let node = schema.node(id);
        let input = match &node.kind {
            Kind::Union(branches) => {
                let wanted = |null: bool| {
                    let is_null = move |b: &NodeId| schema.node(*b).kind == Kind::Null;
                    (branches.iter().enumerate()).filter(move |(_, b)| is_null(b) == null)
                };
                if let (true, Some((position, _))) = (text.is_empty(), wanted(true).next()) {
                    return Ok(Value::Union(position, Box::new(Value::Null)));
                }
                let mut only = None;
                for (position, branch) in wanted(false) {
                    match self.cell(*branch, text) {
                        Ok(value) => return Ok(Value::Union(position, Box::new(value))),
                        Err(e) if schema.non_null(id) == Some(*branch) => only = Some(e),
                        Err(_) => {}
                    }
                }
                let expected = || self.error(format!("expected {}", schema.describe(id)));
                return Err(only.unwrap_or_else(expected));
            }
            Kind::Null if text.is_empty() => Input::Null,
            Kind::Null => return Err(self.error("expected an empty cell")),
            Kind::Boolean => match text {
                "true" => Input::Boolean(true),
                "false" => Input::Boolean(false),
                _ => return Err(self.error("expected true or false")),
            },
            Kind::Int | Kind::Long => match text.parse::<i64>() {
                Err(_) if node.logical.is_some() => Input::Text(text.to_owned()),
                _ => number(text),
            },
            Kind::Float | Kind::Double if not_finite(text) => Input::Text(text.to_owned()),
            Kind::Float | Kind::Double => number(text),
            Kind::Array(_) | Kind::Map(_) | Kind::Record(_) => {
                Input::from_text(text).map_err(|e| {
                    self.error(format!("expected {} as JSON: {e}", schema.describe(id)))
                })?
            }
            Kind::Fixed(_) if node.logical == Some(Logical::Duration) => Input::from_text(text)
                .map_err(|e| self.error(format!("expected a duration as JSON: {e}")))?,
            Kind::String | Kind::Bytes | Kind::Enum(_) | Kind::Fixed(_) => {
                Input::Text(text.to_owned())
            }
        };
        self.node(id, &input)
    }
}

fn number(text: &str) -> Input {
    Input::Number {
        text: text.to_owned(),
        exact: true,
    }
}

fn listed(symbols: &[String]) -> String {
    let mut text = symbols
        .iter()
        .take(10)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if symbols.len() > 10 {
        text.push_str(", …");
    }
    text
}

fn integer(kind: &Kind, text: &str) -> Result<Value, String> {
    match (kind, text.parse::<i64>()) {
        (Kind::Int, Ok(number)) => (i32::try_from(number).map(Value::Int))
            .map_err(|_| "expected an int of 32 bits, found a larger number".to_owned()),
        (_, Ok(number)) => Ok(Value::Long(number)),
        (_, Err(_)) if !text.is_empty() && text.bytes().skip(1).all(|b| b.is_ascii_digit()) => {
            Err(format!(
                "expected a whole number within the range of {}",
                kind.word()
            ))
        }
        _ => Err("expected a whole number".to_owned()),
    }
}

fn moment(kind: &Kind, logical: Option<Logical>, text: &str) -> Result<Value, String> {
    let number = logical.and_then(|logical| logical::from_text(logical, text));
    match (kind, number) {
        (_, None) => Err("expected a whole number, found a string".to_owned()),
        (_, Some(Err(e))) => Err(e),
        (Kind::Int, Some(Ok(number))) => (i32::try_from(number).map(Value::Int))
            .map_err(|_| "expected a value that fits 32 bits".to_owned()),
        (_, Some(Ok(number))) => Ok(Value::Long(number)),
    }
}

fn not_finite(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
}

fn float(kind: &Kind, text: &str) -> Result<Value, String> {
    let wrong = |_| "expected a number".to_owned();
    // Rust also reads words such as "inf"; only JSON's digits and the three words of the module's table pass.
    let digits = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if !digits && !not_finite(text) {
        return Err("expected a number".to_owned());
    }
    let (value, finite) = match kind {
        Kind::Float => {
            let number = text.parse::<f32>().map_err(wrong)?;
            (Value::Float(number), number.is_finite())
        }
        _ => {
            let number = text.parse::<f64>().map_err(wrong)?;
            (Value::Double(number), number.is_finite())
        }
    };
    if finite || not_finite(text) {
        return Ok(value);
    }
    Err(format!(
        "expected a number within the range of {}",
        kind.word()
    ))
}

fn string(logical: Option<Logical>, text: &str) -> Result<Value, String> {
    if logical == Some(Logical::Uuid) {
        uuid_of(text)?;
    }
    Ok(Value::String(text.to_owned()))
}

fn uuid_of(text: &str) -> Result<uuid::Uuid, String> {
    let id = uuid::Uuid::try_parse(text)
        .ok()
        .filter(|_| text.len() == 36);
    id.ok_or_else(|| "expected a UUID with hyphens".to_owned())
}

fn base64_of(text: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text)
        .map_err(|_| "expected base64 text".to_owned())
}

fn bytes(logical: Option<Logical>, text: &str) -> Result<Value, String> {
    let bytes = match logical {
        Some(Logical::Decimal { precision, scale }) => decimal::from_text(text, precision, scale)?,
        _ => base64_of(text)?,
    };
    Ok(Value::Bytes(bytes))
}

fn fixed_text(fixed: &FixedType, logical: Option<Logical>, text: &str) -> Result<Value, String> {
    let bytes = match logical {
        Some(Logical::Decimal { precision, scale }) => {
            let bytes = decimal::from_text(text, precision, scale)?;
            decimal::extend(&bytes, fixed.size)
                .ok_or_else(|| format!("expected a decimal of {} bytes, found more", fixed.size))?
        }
        Some(Logical::Uuid) => uuid_of(text)?.into_bytes().to_vec(),
        Some(Logical::Duration) => {
            return Err("expected an object of months, days and millis".to_owned());
        }
        _ => base64_of(text)?,
    };
    if bytes.len() == fixed.size {
        return Ok(Value::Fixed(bytes));
    }
    Err(format!(
        "expected {} bytes, found {}",
        fixed.size,
        bytes.len()
    ))
}

fn duration(parts: &[(String, Input)]) -> Result<Value, String> {
    let mut bytes = Vec::with_capacity(12);
    for name in ["months", "days", "millis"] {
        let part = parts.iter().find(|(key, _)| key == name);
        let number = match part {
            Some((_, Input::Number { text, .. })) => text.parse::<u32>().ok(),
            _ => None,
        };
        let number =
            number.ok_or_else(|| format!("expected {name:?} as a whole number of 32 bits"))?;
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    if parts.len() != 3 {
        return Err("expected months, days and millis, found more".to_owned());
    }
    Ok(Value::Fixed(bytes))
}
