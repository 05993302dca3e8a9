//! What the steps make of types and events: helpers, and the events that the files below share.

mod faults;
mod handbook;
mod limits;
mod lookups;
mod map_values;
mod model;
mod nested;
mod properties;
mod values;
mod written;

use super::testing::{Progress, Trial};
use super::*;
use crate::config::model::{
    HttpLookup, Lookup, LookupSource, Mask, OnMissing, OnNull, Placed, Secret, TopicLookup,
};
use crate::contract::json::{from_json, to_json};
use crate::contract::value::Value;
use crate::error::Reason;
use crate::expr::path::type_name;
use crate::expr::testing::{place, placed, schema};
use serde_json::{Value as Json, json};
use std::time::Duration;

const ORDER: &str = r#"{"type":"record","name":"shop.Order","fields":[
    {"name":"id","type":"string"},
    {"name":"quantity","type":"int"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
    {"name":"status","type":{"type":"enum","name":"shop.Status","symbols":["NEW","PAID"]}},
    {"name":"note","type":["null","string"]},
    {"name":"count","type":["long","null"]},
    {"name":"billing","type":{"type":"record","name":"shop.Address","fields":[
        {"name":"city","type":"string"},
        {"name":"zip","type":["null","string"]}]}},
    {"name":"shipping","type":["null","shop.Address"]},
    {"name":"either","type":["null","string","int"]},
    {"name":"raw","type":"bytes"},
    {"name":"tags","type":{"type":"array","items":"string"}},
    {"name":"day","type":{"type":"int","logicalType":"date"}}]}"#;

const CUSTOMER: &str = r#"{"type":"record","name":"crm.Customer","fields":[
    {"name":"name","type":"string"},{"name":"home","type":["null",
        {"type":"record","name":"crm.Home","fields":[{"name":"city","type":"string"}]}]}]}"#;

fn order() -> Json {
    json!({
        "id": "A-7", "quantity": 3, "amount": "12.50", "status": "PAID", "note": "hi", "count": 5,
        "billing": {"city": "Köln", "zip": "50667"}, "shipping": {"city": "Bonn", "zip": null},
        "either": {"int": 4}, "raw": "YWI=", "tags": ["a"], "day": "2013-01-31"
    })
}

fn event(json: &Json) -> Value {
    let schema = schema(ORDER);
    from_json(&schema, schema.root, json).expect("the test's event fits")
}

fn pairs(entries: &[(&str, &str)]) -> Vec<(Placed<String>, Placed<String>)> {
    let placed = entries.iter().map(|(a, b)| (placed(a), placed(b)));
    placed.collect()
}

fn set(entries: &[(&str, &str)]) -> Step {
    Step::Set(pairs(entries))
}

fn cast(entries: &[(&str, &str)]) -> Step {
    Step::Cast(pairs(entries))
}

fn rename(entries: &[(&str, &str)]) -> Step {
    Step::Rename(pairs(entries))
}

fn drop(fields: &[&str]) -> Step {
    Step::Drop(fields.iter().map(|field| placed(field)).collect())
}

fn mask(field: &str, with: Mask) -> Step {
    Step::Mask {
        field: placed(field),
        with,
    }
}

fn http(url: &str) -> LookupSource {
    LookupSource::Http(HttpLookup {
        url: placed(url),
        timeout: Duration::from_secs(1),
        headers: Vec::new(),
        concurrency: 16,
        limit: None,
        cache: None,
    })
}

fn topic(key: &str) -> LookupSource {
    LookupSource::Topic(TopicLookup {
        topic: "customers".to_owned(),
        key: placed(key),
        max: 1 << 20,
    })
}

fn asking(from: LookupSource, on_missing: OnMissing, on_null: Option<OnNull>) -> Step {
    Step::Lookup(Box::new(Lookup {
        into: placed("customer"),
        from,
        answer: "customer.avsc".into(),
        answer_place: place(),
        on_missing,
        on_null,
    }))
}

fn lookup(url: &str, on_missing: OnMissing) -> Step {
    asking(http(url), on_missing, None)
}

fn schemas(path: &Path) -> Result<Schema, String> {
    match path.to_str() {
        Some("customer.avsc") => Ok(schema(CUSTOMER)),
        _ => Err("no such file".to_owned()),
    }
}

fn compile(steps: &[Step]) -> Trial {
    Trial::compile(steps, &schema(ORDER), &schemas)
        .unwrap_or_else(|faults| panic!("{steps:?}: {faults:#?}"))
}

fn faults(steps: &[Step]) -> Vec<Fault> {
    Trial::compile(steps, &schema(ORDER), &schemas).expect_err("there is a fault")
}

/// The output as JSON; every output must be of the type that was promised.
fn done(transform: &Trial, event: Value) -> Json {
    match transform.run(event) {
        Ok(Progress::Done(value)) => typed(transform, &value),
        other => panic!("not done: {other:?}"),
    }
}

fn typed(transform: &Trial, value: &Value) -> Json {
    let output = transform.output();
    let mut bytes = Vec::new();
    crate::contract::encode::encode(output, value, &mut bytes).expect("fits its type");
    to_json(output, output.root, value)
}

fn field_type(transform: &Trial, field: &str) -> String {
    let output = transform.output();
    let record = output.record().expect("a record");
    type_name(output, record.fields[record.index[field]].node)
}
