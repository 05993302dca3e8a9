//! Ten deliberate bugs, one at a time: the engine with its schemas, its answer or its refusal tampered with.

use driftgate::contract::decode::{Limits, decode};
use driftgate::contract::encode::encode;
use driftgate::contract::schema::Schema;
use driftgate::contract::value::Value;
use serde_json::{Value as Json, json};

use super::subject::{Engine, Refusal, Run, engine};

type Compiled = Result<Run, Refusal>;

/// Name and engine.
pub(crate) const MUTANTS: [Engine; 10] = [
    ("trailing bytes are not seen", &trailing),
    ("an int is read as a long", &wide_int),
    ("the index of wide unions is off by one", &union_index),
    ("UTF-8 is not checked", &utf8),
    ("aliases are lost", &aliases),
    ("float to double by way of text", &float_text),
    ("a default is taken from the next field", &wrong_default),
    ("the default of an enum is ignored", &enum_default),
    ("of equal keys the last is kept", &equal_keys),
    ("the last field is left out", &last_field),
];

/// Calls `change` for each type and each field of a schema's text, never for a default.
fn rewritten(text: &str, change: &dyn Fn(&mut Json)) -> String {
    fn walk(json: &mut Json, change: &dyn Fn(&mut Json)) {
        match json {
            Json::Array(branches) => branches.iter_mut().for_each(|b| walk(b, change)),
            Json::Object(object) => {
                for key in ["type", "items", "values"] {
                    // The word of an object's own type belongs to it; a type inside stands on its own.
                    if let Some(part) = object.get_mut(key)
                        && (key != "type" || !part.is_string())
                    {
                        walk(part, change);
                    }
                }
                if let Some(Json::Array(fields)) = object.get_mut("fields") {
                    for field in fields {
                        if let Some(of) = field.get_mut("type") {
                            walk(of, change);
                        }
                        change(field);
                    }
                }
            }
            _ => {}
        }
        change(json);
    }
    let mut json = serde_json::from_str(text).expect("generated schemas are JSON");
    walk(&mut json, change);
    json.to_string()
}

/// A word of a type replaced where it stands alone or in an object.
fn word(from: &'static str, to: &'static str) -> impl Fn(&mut Json) {
    move |json| {
        let json = match json {
            Json::Object(object) if !object.contains_key("name") => match object.get_mut("type") {
                Some(inner) => inner,
                None => return,
            },
            other => other,
        };
        if *json == from {
            *json = json!(to);
        }
    }
}

fn trailing(writer: &str, reader: &str) -> Compiled {
    let run = engine(writer, reader)?;
    Ok(Box::new(move |bytes| {
        run(bytes).or_else(|refusal| {
            let shorter = (0..bytes.len())
                .rev()
                .find_map(|end| run(&bytes[..end]).ok());
            shorter.ok_or(refusal)
        })
    }))
}

fn wide_int(writer: &str, reader: &str) -> Compiled {
    let both = [writer, reader].map(|text| rewritten(text, &word("int", "long")));
    // Where a union has both already there is nothing to confuse.
    engine(&both[0], &both[1]).or_else(|_| engine(writer, reader))
}

fn union_index(writer: &str, reader: &str) -> Compiled {
    let writer = rewritten(writer, &|json| match json {
        // A branch that is defined must stay before those that name it.
        Json::Array(branches) if branches.len() > 2 && branches.iter().all(Json::is_string) => {
            branches.rotate_left(1);
        }
        _ => {}
    });
    engine(&writer, reader)
}

fn utf8(writer: &str, reader: &str) -> Compiled {
    let both = [writer, reader].map(|text| rewritten(text, &word("string", "bytes")));
    engine(&both[0], &both[1]).or_else(|_| engine(writer, reader))
}

fn without(reader: &str, key: &'static str, of_enum: bool) -> String {
    rewritten(reader, &|json| {
        if let Json::Object(object) = json
            && (!of_enum || object.contains_key("symbols"))
        {
            object.shift_remove(key);
        }
    })
}

fn aliases(writer: &str, reader: &str) -> Compiled {
    engine(writer, &without(reader, "aliases", false))
}

fn enum_default(writer: &str, reader: &str) -> Compiled {
    engine(writer, &without(reader, "default", true))
}

fn wrong_default(writer: &str, reader: &str) -> Compiled {
    let mixed = rewritten(reader, &|json| {
        let Some(Json::Array(fields)) = json.get_mut("fields") else {
            return;
        };
        for i in 1..fields.len() {
            let (before, after) = fields.split_at_mut(i);
            let (left, right) = (&mut before[i - 1], &mut after[0]);
            if left["type"] == right["type"]
                && left["default"] != Json::Null
                && right["default"] != Json::Null
            {
                left["default"] = right["default"].clone();
            }
        }
    });
    engine(writer, &mixed)
}

fn last_field(writer: &str, reader: &str) -> Compiled {
    let mut json: Json = serde_json::from_str(reader).expect("generated schemas are JSON");
    if let Some(Json::Array(fields)) = json.get_mut("fields") {
        fields.pop();
    }
    engine(writer, &json.to_string()).or_else(|_| engine(writer, reader))
}

/// The engine with its answer changed.
fn changed(writer: &str, reader: &str, change: fn(&mut Value)) -> Compiled {
    let run = engine(writer, reader)?;
    let schema = Schema::parse(reader, &[]).map_err(|_| Refusal::Schema)?;
    Ok(Box::new(move |bytes| {
        let good = run(bytes)?;
        let mut value = decode(&schema, &good, &Limits::default()).map_err(|_| Refusal::Datum)?;
        walk(&mut value, change);
        let mut out = Vec::new();
        encode(&schema, &value, &mut out).map_err(|_| Refusal::Datum)?;
        Ok(out)
    }))
}

fn walk(value: &mut Value, change: fn(&mut Value)) {
    match value {
        Value::Array(items) | Value::Record(items) => {
            items.iter_mut().for_each(|v| walk(v, change))
        }
        Value::Map(entries) => entries.iter_mut().for_each(|(_, v)| walk(v, change)),
        Value::Union(_, inner) => walk(inner, change),
        _ => {}
    }
    change(value);
}

#[expect(clippy::cast_possible_truncation, reason = "that is the bug")]
fn float_text(writer: &str, reader: &str) -> Compiled {
    changed(writer, reader, |value| {
        if let Value::Double(d) = value
            && f64::from(*d as f32) == *d
            && let Ok(parsed) = (*d as f32).to_string().parse()
        {
            *d = parsed;
        }
    })
}

fn equal_keys(writer: &str, reader: &str) -> Compiled {
    changed(writer, reader, |value| {
        if let Value::Map(entries) = value {
            let all = std::mem::take(entries);
            for (key, value) in all {
                match entries.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, slot)) => *slot = value,
                    None => entries.push((key, value)),
                }
            }
        }
    })
}
