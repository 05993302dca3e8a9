//! Lookups among the steps.

use super::*;

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
