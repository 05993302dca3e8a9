//! Values, keys and headers as JSON, each in one form, so that what is expected and what was found can be compared.

use serde_json::{Value as Json, json};

use super::Emitted;
use crate::config::cases::Datum;
use crate::contract::decode::{Limits, decode};
use crate::contract::json::{FromJson, to_json};
use crate::contract::schema::Schema;
use crate::contract::wire;
use crate::expr::instant::Instant;

/// Data as the JSON writer has it, or where it does not fit the schema, and why.
pub(super) fn plain(datum: &Datum, schema: &Schema) -> Result<Json, (String, String)> {
    let value = FromJson::default().text(schema, schema.root, &datum.json());
    let value = value.map_err(|error| (error.path, error.message))?;
    Ok(to_json(schema, schema.root, &value))
}

/// Data as it is written.
pub(super) fn raw(datum: Option<&Datum>) -> Json {
    let json = datum.map(|datum| serde_json::from_str(&datum.json()));
    json.and_then(Result::ok).unwrap_or_default()
}

pub(super) fn value_of(output: &Emitted) -> Json {
    let Some(value) = &output.value else {
        return Json::Null;
    };
    let payload = value.get(wire::HEADER_LEN..).unwrap_or_default();
    match decode(&output.schema, payload, &Limits::default()) {
        Ok(value) => to_json(&output.schema, output.schema.root, &value),
        Err(_) => shown(Some(value)),
    }
}

pub(super) fn values_of(outputs: &[Emitted]) -> Json {
    outputs
        .iter()
        .map(|output| json!({ "value": value_of(output) }))
        .collect()
}

/// Bytes of a key or a header.
pub(super) fn shown(bytes: Option<&[u8]>) -> Json {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Json::Null,
        Some((_, Ok(text))) if !text.contains(|c: char| c.is_control()) => text.into(),
        Some((bytes, _)) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}

pub(super) fn moment(millis: Option<i64>) -> Json {
    let instant = millis.and_then(Instant::from_millisecond);
    match instant {
        Some(instant) => instant.to_string().into(),
        None => millis.into(),
    }
}
