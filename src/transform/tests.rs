//! What the steps make of types and events.

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

#[test]
fn set_types_and_values() {
    for (field, text, ty, expect) in [
        ("new", "1", "long", json!(1)),
        ("new", "'x'", "string", json!("x")),
        ("new", "true", "boolean", json!(true)),
        ("new", "1.5", "double", json!(1.5)),
        ("new", "b'ab'", "bytes", json!("YWI=")),
        ("new", "note", "nullable string", json!("hi")),
        ("new", "count", "nullable long", json!(5)),
        (
            "new",
            "billing",
            "record shop.Address",
            json!({"city": "Köln", "zip": "50667"}),
        ),
        ("new", "shipping.city == 'x'", "", json!(null)),
        ("new", "either", "union of null, string, int", json!(4)),
        ("new", "date(2013, 1, 31)", "date", json!("2013-01-31")),
        ("quantity", "7", "int", json!(7)),
        ("quantity", "7.0", "int", json!(7)),
        ("quantity", "3000000000", "long", json!(3_000_000_000_i64)),
        ("quantity", "'many'", "string", json!("many")),
        ("quantity", "count == null ? 0 : 1", "int", json!(1)),
        ("amount", "5", "decimal(10,2)", json!("5.00")),
        ("amount", "5.25", "decimal(10,2)", json!("5.25")),
        ("amount", "5.255", "double", json!(5.255)),
        ("status", "'NEW'", "enum shop.Status", json!("NEW")),
        (
            "status",
            "quantity > 2 ? 'NEW' : 'PAID'",
            "enum shop.Status",
            json!("NEW"),
        ),
        ("status", "id", "string", json!("A-7")),
        ("note", "'x'", "nullable string", json!("x")),
        ("note", "null", "nullable string", json!(null)),
        ("note", "id", "nullable string", json!("A-7")),
        ("id", "note", "nullable string", json!("hi")),
        ("id", "note != null ? note : ''", "string", json!("hi")),
        ("count", "quantity", "nullable long", json!(3)),
        ("count", "null", "nullable long", json!(null)),
        ("quantity", "count", "nullable long", json!(5)),
        ("either", "null", "union of null, string, int", json!(null)),
        (
            "shipping",
            "billing",
            "nullable record shop.Address",
            json!({"city": "Köln", "zip": "50667"}),
        ),
        (
            "shipping",
            "null",
            "nullable record shop.Address",
            json!(null),
        ),
    ] {
        let steps = [set(&[(field, text)])];
        if ty.is_empty() {
            assert!(faults(&steps)[0].message.contains("may be null"));
            continue;
        }
        let transform = compile(&steps);
        assert_eq!(field_type(&transform, field), ty, "{field}: {text}");
        let output = done(&transform, event(&order()));
        assert_eq!(output[field], expect, "{field}: {text}");
    }
}

#[test]
fn one_set_sees_the_event_as_it_was() {
    let transform = compile(&[set(&[("id", "billing.city"), ("billing.city", "id")])]);
    let output = done(&transform, event(&order()));
    assert_eq!(output["id"], "Köln");
    assert_eq!(output["billing"]["city"], "A-7");
}

#[test]
fn nested_types_change_where_they_are_used_and_nowhere_else() {
    let transform = compile(&[
        drop(&["shipping.zip"]),
        rename(&[("billing.zip", "postcode"), ("note", "comment")]),
        cast(&[("billing.postcode", "int")]),
    ]);
    let output = done(&transform, event(&order()));
    assert_eq!(
        output["billing"],
        json!({"city": "Köln", "postcode": 50667})
    );
    assert_eq!(output["shipping"], json!({"city": "Bonn"}));
    assert_eq!(output["comment"], "hi");
    let mut without = order();
    without["shipping"] = Json::Null;
    without["billing"]["zip"] = Json::Null;
    let output = done(&transform, event(&without));
    assert_eq!(output["billing"], json!({"city": "Köln", "postcode": null}));
    assert_eq!(output["shipping"], Json::Null);
}

#[test]
fn drops_and_swaps() {
    let transform = compile(&[
        drop(&["id", "amount", "shipping", "billing.city"]),
        rename(&[("note", "tags"), ("tags", "note")]),
    ]);
    let output = done(&transform, event(&order()));
    let keys: Vec<&String> = output.as_object().expect("a record").keys().collect();
    assert_eq!(
        keys,
        [
            "quantity", "status", "tags", "count", "billing", "either", "raw", "note", "day"
        ]
    );
    assert_eq!(output["tags"], "hi");
    assert_eq!(output["note"], json!(["a"]));
    assert_eq!(output["billing"], json!({"zip": "50667"}));
}

#[test]
fn a_filter_keeps_what_is_true() {
    let transform = compile(&[Step::Filter(placed("quantity > 3"))]);
    assert_eq!(transform.run(event(&order())), Ok(Progress::Filtered));
    let transform = compile(&[Step::Filter(placed("quantity >= 3"))]);
    assert_eq!(done(&transform, event(&order()))["id"], "A-7");
}

#[test]
fn masks() {
    let secret = || Mask::Hmac(Secret::new("key"));
    for (field, with, value, expect) in [
        // echo -n ab | sha256sum
        (
            "id",
            Mask::Sha256,
            "ab",
            json!("fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603"),
        ),
        (
            "raw",
            Mask::Sha256,
            "YWI=",
            json!("fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603"),
        ),
        // The well-known example of HMAC-SHA-256.
        (
            "id",
            secret(),
            "The quick brown fox jumps over the lazy dog",
            json!("f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"),
        ),
        (
            "note",
            Mask::Fixed("***".to_owned()),
            "secret",
            json!("***"),
        ),
        ("note", Mask::Last4, "1234567890", json!("******7890")),
        ("note", Mask::Last4, "1234", json!("****")),
        ("note", Mask::Last4, "äöüßé", json!("*öüßé")),
        ("note", Mask::Last4, "", json!("")),
    ] {
        let mut input = order();
        input[field] = json!(value);
        let transform = compile(&[mask(field, with.clone())]);
        assert_eq!(
            done(&transform, event(&input))[field],
            expect,
            "{field} {with:?}"
        );
    }
    let mut input = order();
    input["note"] = Json::Null;
    let transform = compile(&[mask("note", Mask::Fixed("x".to_owned()))]);
    assert_eq!(done(&transform, event(&input))["note"], Json::Null);
}

#[test]
fn steps_name_themselves_in_errors() {
    let transform = compile(&[drop(&["tags"]), cast(&[("id", "int")])]);
    let error = transform.run(event(&order())).expect_err("A-7 is no int");
    assert_eq!(error.reason, Reason::TransformFailed);
    assert_eq!(error.path, "id");
    assert_eq!(
        error.message,
        "step 2 (cast): cannot be cast to int: not a whole number in plain digits"
    );
    let names: Vec<String> = transform.types().map(|(name, _)| name).collect();
    assert_eq!(names, ["contract", "step 1 (drop)", "step 2 (cast)"]);
}

/// The first fault of each: text, message, hint.
#[test]
fn faults_of_steps() {
    for (step, text, message, hint) in [
        (
            set(&[("status", "'PAYD'")]),
            "'PAYD'",
            "no symbol `PAYD`",
            "`PAID`",
        ),
        (
            set(&[("x", "amout")]),
            "amout",
            "no field `amout`",
            "`amount`",
        ),
        (set(&[("x", "null")]), "null", "always be null", ""),
        (set(&[("id", "null")]), "null", "never null", "drop"),
        (set(&[("a-b", "1")]), "a-b", "cannot be the name", "letters"),
        (
            set(&[("billing.town", "'x'")]),
            "billing.town",
            "no field `town`",
            "",
        ),
        (
            set(&[("shipping.city", "'x'")]),
            "shipping.city",
            "may be null",
            "",
        ),
        (
            set(&[("billing", "billing"), ("billing.city", "'x'")]),
            "billing.city",
            "overlap",
            "two steps",
        ),
        (
            rename(&[("nothing", "x")]),
            "nothing",
            "no field `nothing`",
            "",
        ),
        (rename(&[("id", "note")]), "note", "already", "first"),
        (
            rename(&[("billing.zip", "billing.code")]),
            "billing.code",
            "cannot be the name",
            "last name only",
        ),
        (drop(&["tag"]), "tag", "no field `tag`", "`tags`"),
        (drop(&["tags[]"]), "tags[]", "are elements", "filter"),
        (
            drop(&["billing", "billing.city"]),
            "billing.city",
            "overlap",
            "",
        ),
        (
            cast(&[("id", "integer")]),
            "integer",
            "no cast to `integer`",
            "",
        ),
        (
            cast(&[("id", "strng")]),
            "strng",
            "no cast to `strng`",
            "`string`",
        ),
        (
            cast(&[("id", "decimal(2,3)")]),
            "decimal(2,3)",
            "scale must not be above",
            "",
        ),
        (
            cast(&[("id", "decimal")]),
            "decimal",
            "precision and scale",
            "decimal(12,2)",
        ),
        (
            cast(&[("status", "int")]),
            "int",
            "enum shop.Status cannot be cast",
            "",
        ),
        (
            cast(&[("tags", "string")]),
            "string",
            "array of string cannot be cast",
            "",
        ),
        (
            cast(&[("day", "timestamp-millis")]),
            "timestamp-millis",
            "date cannot be cast",
            "localTime",
        ),
        (
            cast(&[("either", "string")]),
            "string",
            "cannot be cast",
            "not available yet",
        ),
        (
            mask("quantity", Mask::Sha256),
            "quantity",
            "is int; this mask needs a string or bytes",
            "cast",
        ),
        (
            mask("raw", Mask::Last4),
            "raw",
            "is bytes; this mask needs a string",
            "",
        ),
        (
            Step::Filter(placed("id")),
            "id",
            "must be true or false",
            "",
        ),
        (
            lookup("http://crm/{idd}", OnMissing::Null),
            "idd",
            "no field `idd`",
            "`id`",
        ),
        (
            lookup("http://crm/{amount}", OnMissing::Null),
            "amount",
            "is decimal(10,2)",
            "cast",
        ),
        (
            lookup("http://crm/{note}", OnMissing::Null),
            "note",
            "may be null",
            "on_null: missing",
        ),
        (
            lookup("http://crm/{shipping.city}", OnMissing::Null),
            "shipping.city",
            "may be null",
            "on_null: missing",
        ),
        (
            asking(topic("count"), OnMissing::Null, None),
            "count",
            "may be null",
            "on_null: missing",
        ),
        (
            asking(topic("raw"), OnMissing::Null, None),
            "raw",
            "a lookup asks with text",
            "cast",
        ),
        (
            lookup(
                "http://crm/{id}",
                OnMissing::Default(placed("{\"name\": 3}")),
            ),
            "{\"name\": 3}",
            "not of the answer's type: name: expected",
            "",
        ),
        (
            lookup(
                "http://crm/{id}",
                OnMissing::Default(placed("{\"name\": \"x\", \"nam\": 1}")),
            ),
            "{\"name\": \"x\", \"nam\": 1}",
            "not of the answer's type",
            "",
        ),
        (
            lookup("http://crm/{id", OnMissing::Null),
            "{",
            "no partner",
            "",
        ),
        (
            lookup("http://crm/id}", OnMissing::Null),
            "}",
            "no partner",
            "",
        ),
        (
            lookup("http://{id}/x", OnMissing::Null),
            "url",
            "may not choose the host",
            "",
        ),
        (
            lookup("http://crm:{quantity}/x", OnMissing::Null),
            "url",
            "may not choose the host",
            "",
        ),
        (
            lookup("http://crm{id}", OnMissing::Null),
            "url",
            "may not choose the host",
            "",
        ),
        (
            lookup("ftp://crm/{id}", OnMissing::Null),
            "url",
            "http://",
            "",
        ),
        (lookup("crm/{id}", OnMissing::Null), "url", "not a URL", ""),
        (
            lookup("http://u:p@crm/{id}", OnMissing::Null),
            "url",
            "credentials",
            "",
        ),
    ] {
        let said = format!("{step:?}");
        let faults = faults(&[step]);
        assert_eq!(faults.len(), 1, "{said}: {faults:#?}");
        let fault = &faults[0];
        assert_eq!(fault.text, text, "{said}");
        assert!(fault.message.contains(message), "{said}: {fault:?}");
        let given = fault.hint.as_deref().unwrap_or_default();
        assert!(given.contains(hint), "{said}: {fault:?}");
    }
}

#[test]
fn one_mistake_is_told_once_and_later_ones_too() {
    let faults = faults(&[
        set(&[("total", "amout")]),
        Step::Filter(placed("total > 1 && quantity > 'x'")),
        cast(&[("total", "string")]),
        drop(&["tagz"]),
    ]);
    let texts: Vec<&str> = faults.iter().map(|fault| fault.text.as_str()).collect();
    assert_eq!(texts, ["amout", "'x'", "tagz"]);
}

#[test]
fn a_lookup_waits_for_its_answer() {
    let url = "http://crm:81/c/{id}/{quantity}?s={status}&n={note}&d={day}";
    let transform = compile(&[
        set(&[("id", "'a/b ü'")]),
        asking(http(url), OnMissing::Null, Some(OnNull::DeadLetter)),
        set(&[("name", "customer == null ? 'nobody' : customer.name")]),
    ]);
    assert_eq!(transform.lookups()[0].origin, "http://crm:81");
    let ask = || match transform.run(event(&order())) {
        Ok(Progress::Lookup(pending)) => pending,
        other => panic!("not a lookup: {other:?}"),
    };
    assert_eq!(
        ask().question,
        "http://crm:81/c/a%2Fb%20%C3%BC/3?s=PAID&n=hi&d=2013-01-31"
    );
    let customer = schema(CUSTOMER);
    let answer = json!({"name": "Ada", "home": {"city": "Ulm"}});
    let answer = from_json(&customer, customer.root, &answer).expect("fits");
    let finish = |answer| match transform.resume(ask(), answer) {
        Ok(Progress::Done(value)) => typed(&transform, &value),
        other => panic!("not done: {other:?}"),
    };
    let output = finish(Some(answer));
    assert_eq!(output["name"], "Ada");
    assert_eq!(output["customer"]["home"]["city"], "Ulm");
    let output = finish(None);
    assert_eq!(output["name"], "nobody");
    assert_eq!(output["customer"], Json::Null);
}

#[test]
fn a_missing_answer_can_be_an_error() {
    let transform = compile(&[lookup("http://crm/{id}", OnMissing::DeadLetter)]);
    let Ok(Progress::Lookup(pending)) = transform.run(event(&order())) else {
        panic!("not a lookup")
    };
    let error = transform.resume(pending, None).expect_err("404");
    assert_eq!(error.reason, Reason::LookupNotFound);
    assert!(
        error
            .message
            .starts_with("step 1 (lookup): lookup into customer (http://crm)"),
        "{error}"
    );
}

#[test]
fn values_cannot_break_out_of_the_url() {
    let transform = compile(&[asking(
        http("http://crm/{id}{note}/x"),
        OnMissing::Null,
        Some(OnNull::DeadLetter),
    )]);
    for (id, note, path) in [("..", "a", "id"), (".", ".", "id"), ("", "a", "id")] {
        let mut input = order();
        input["id"] = json!(id);
        input["note"] = json!(note);
        let error = transform.run(event(&input)).expect_err("refused");
        assert_eq!(error.reason, Reason::TransformFailed);
        assert_eq!(error.path, path, "{id} {note}");
    }
    let mut input = order();
    input["note"] = Json::Null;
    let error = transform.run(event(&input)).expect_err("null");
    assert_eq!(error.path, "note");
}

#[test]
fn a_key_of_a_table_is_the_text_as_it_is() {
    for (key, asked) in [
        ("id", "a/b ü."),
        ("quantity", "3"),
        ("status", "PAID"),
        ("day", "2013-01-31"),
    ] {
        let transform = compile(&[
            set(&[("id", "'a/b ü.'")]),
            asking(topic(key), OnMissing::Null, None),
        ]);
        let Ok(Progress::Lookup(pending)) = transform.run(event(&order())) else {
            panic!("not a lookup")
        };
        assert_eq!(pending.question, asked);
        assert_eq!(transform.lookups()[0].origin, "topic customers");
    }
}

#[test]
fn a_uuid_is_asked_for_as_text_whatever_it_is_made_of() {
    let input = schema(
        r#"{"type":"record","name":"E","fields":[{"name":"id","type":
            {"type":"fixed","name":"U","size":16,"logicalType":"uuid"}}]}"#,
    );
    let steps = [asking(http("http://crm/{id}"), OnMissing::Null, None)];
    let transform = Trial::compile(&steps, &input, &schemas).expect("compiles");
    let text = "00112233-4455-6677-8899-aabbccddeeff";
    let event = from_json(&input, input.root, &json!({ "id": text })).expect("fits");
    let Ok(Progress::Lookup(pending)) = transform.run(event) else {
        panic!("not a lookup")
    };
    assert_eq!(pending.question, format!("http://crm/{text}"));
}

#[test]
fn nobody_is_asked_about_null_where_that_is_said() {
    let default = OnMissing::Default(placed(r#"{"name": "nobody", "home": null}"#));
    for (on_missing, expect) in [
        (OnMissing::Null, Ok(Json::Null)),
        (default, Ok(json!({"name": "nobody", "home": null}))),
        (OnMissing::DeadLetter, Err(Reason::LookupNotFound)),
    ] {
        let from = http("http://crm/{note}");
        let transform = compile(&[asking(from, on_missing, Some(OnNull::Missing))]);
        let mut input = order();
        input["note"] = Json::Null;
        let found = match transform.run(event(&input)) {
            Ok(Progress::Done(value)) => Ok(typed(&transform, &value)["customer"].clone()),
            Ok(other) => panic!("asked: {other:?}"),
            Err(error) => Err(error.reason),
        };
        assert_eq!(found, expect);
        assert!(matches!(
            transform.run(event(&order())),
            Ok(Progress::Lookup(_))
        ));
    }
}

#[test]
fn the_output_is_checked_against_the_sink() {
    let sink = |fields: &str| {
        schema(&format!(
            r#"{{"type":"record","name":"clean.Order","fields":[{fields}]}}"#
        ))
    };
    let steps = [
        drop(&["tags"]),
        set(&[("quantity", "'many'")]),
        set(&[("id", "'x'")]),
    ];
    let mut builder = Builder::new(&schema(ORDER), Default::default());
    builder.steps(&steps, &schemas).expect("compiles");
    let fits = sink(r#"{"name":"id","type":"string"},{"name":"quantity","type":"string"}"#);
    let resolution = check_sink(&builder, &fits, &place(), "s.avsc").expect("fits");
    let other = sink(
        r#"{"name":"id","type":"string"},{"name":"quantity","type":"int"},{"name":"missing","type":"int"}"#,
    );
    let faults = check_sink(&builder, &other, &place(), "s.avsc").expect_err("two do not fit");
    assert_eq!(faults.len(), 2, "{faults:#?}");
    let quantity = faults
        .iter()
        .find(|fault| fault.message.contains("`quantity`"));
    let hint = quantity.and_then(|fault| fault.hint.as_deref());
    assert_eq!(hint, Some("it did fit before step 2 (set)"));
    let missing = faults
        .iter()
        .find(|fault| fault.message.contains("missing"));
    assert_eq!(missing.expect("named").hint, None);
    let transform = compile(&steps);
    let Ok(Progress::Done(value)) = transform.run(event(&order())) else {
        panic!("not done")
    };
    let value = resolution.apply(value).expect("resolves");
    assert_eq!(
        to_json(&fits, fits.root, &value),
        json!({"id": "x", "quantity": "many"})
    );
}

#[test]
fn an_error_over_an_element_names_the_element() {
    const LINES: &str = r#"{"type":"record","name":"L","fields":[{"name":"lines","type":{"type":"array","items":
        {"type":"record","name":"Line","fields":[{"name":"n","type":"int"},{"name":"deep","type":{"type":"map","values":
            {"type":"record","name":"D","fields":[{"name":"text","type":"string"}]}}}]}}}]}"#;
    let schema = schema(LINES);
    let none = |_: &Path| Err("no lookups here".to_owned());
    let line =
        |n: i32, text: &str| json!({"n": n, "deep": {"a": {"text": "1"}, "b": {"text": text}}});
    for (field, text, lines, path) in [
        (
            "lines[].n",
            "this.n / (this.n - 2)",
            [line(1, "1"), line(2, "1")],
            "lines[1].n",
        ),
        (
            "lines[].deep{}.text",
            "string(int(this.text))",
            [line(1, "x"), line(2, "1")],
            "lines[0].deep[1].text",
        ),
    ] {
        let trial = Trial::compile(&[set(&[(field, text)])], &schema, &none);
        let trial = trial.unwrap_or_else(|faults| panic!("{faults:?}"));
        let event = from_json(&schema, schema.root, &json!({"lines": lines})).expect("it fits");
        let error = trial.run(event).expect_err("it fails");
        assert_eq!(error.path, path, "{error}");
    }
}
