//! What each step makes of values and types.

use super::*;

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
