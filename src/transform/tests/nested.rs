//! Every step wherever a field can be: in records, behind nulls, in elements, in elements of elements, in maps.

use super::written::{outcome, steps};
use super::*;

const BASKET: &str = r#"{"type":"record","name":"shop.Basket","fields":[
    {"name":"id","type":"string"},
    {"name":"items","type":{"type":"array","items":{"type":"record","name":"shop.Item","fields":[
        {"name":"sku","type":"string"},
        {"name":"price","type":["null","long"]},
        {"name":"size","type":["null",{"type":"record","name":"shop.Size","fields":[
            {"name":"cm","type":"long"},{"name":"label","type":["null","string"]}]}]}]}}},
    {"name":"maybe","type":["null",{"type":"array","items":["null","shop.Item"]}]},
    {"name":"grid","type":{"type":"array","items":{"type":"array","items":"shop.Item"}}},
    {"name":"by_name","type":{"type":"map","values":"shop.Item"}},
    {"name":"tags","type":{"type":"array","items":["null","string"]}},
    {"name":"home","type":["null","shop.Size"]},
    {"name":"one","type":["shop.Size"]},
    {"name":"either","type":["string","long"]},
    {"name":"box","type":["null",{"type":"record","name":"shop.Box","fields":[
        {"name":"either","type":["string","long"]}]}]},
    {"name":"next","type":["null","shop.Basket"]}]}"#;

fn item(sku: &str, price: Option<i64>) -> Json {
    json!({"sku": sku, "price": price, "size": {"cm": 4, "label": "S"}})
}

fn basket() -> Json {
    let bare = json!({"sku": "d", "price": 7, "size": null});
    json!({
        "id": "B-1", "items": [item("a", Some(1)), item("b", None), bare],
        "maybe": [null, item("m", Some(2))], "grid": [[item("g", Some(3))], [], [item("h", None)]],
        "by_name": {"k": item("v", Some(5))}, "tags": ["x", null, "30"], "home": {"cm": 9, "label": null},
        "one": {"cm": 1, "label": "one"}, "either": {"long": 4}, "box": {"either": {"long": 8}}, "next": null
    })
}

/// Steps, then some of the outputs' fields as JSON pointers with what they are; or the error.
fn check(yaml: &str, expect: &[(&str, Json)]) {
    let outputs = outcome(&schema(BASKET), &steps(yaml), &basket());
    let outputs = Json::Array(outputs.unwrap_or_else(|error| panic!("{yaml}: {error}")));
    for (pointer, wanted) in expect {
        let found = outputs.pointer(pointer).unwrap_or(&Json::Null);
        assert_eq!(found, wanted, "{yaml}: {pointer}\n{outputs:#}");
    }
}

#[test]
fn every_step_everywhere() {
    for (yaml, expect) in [
        (
            "- set: { \"items[].price\": 5 }",
            &[("/0/items/1/price", json!(5))][..],
        ),
        (
            "- set: { \"items[].both\": \"this.sku + '!'\", \"items[].sku\": \"'z'\" }",
            &[
                ("/0/items/0/both", json!("a!")),
                ("/0/items/2/sku", json!("z")),
            ],
        ),
        (
            "- set: { \"maybe[].new\": this.sku }",
            &[("/0/maybe/0", json!(null)), ("/0/maybe/1/new", json!("m"))],
        ),
        (
            "- set: { \"grid[][].new\": \"this.sku + id\" }",
            &[("/0/grid/2/0/new", json!("hB-1"))],
        ),
        (
            "- set: { \"by_name{}.new\": this.sku }",
            &[("/0/by_name/k/new", json!("v"))],
        ),
        (
            "- set: { \"tags[]\": \"this.orValue('none')\" }",
            &[("/0/tags", json!(["x", "none", "30"]))],
        ),
        (
            "- set: { \"one.cm\": \"2\" }",
            &[("/0/one/cm", json!(2)), ("/0/one/label", json!("one"))],
        ),
        (
            "- rename: { \"items[].sku\": code, home.cm: width, \"grid[][].sku\": g, \"by_name{}.sku\": v }",
            &[
                ("/0/items/0/code", json!("a")),
                ("/0/home/width", json!(9)),
                ("/0/grid/0/0/g", json!("g")),
                ("/0/by_name/k/v", json!("v")),
            ],
        ),
        (
            "- rename: { \"items[].sku\": price, \"items[].price\": sku }",
            &[(
                "/0/items/0",
                json!({"price": "a", "sku": 1, "size": {"cm": 4, "label": "S"}}),
            )],
        ),
        (
            "- drop: [\"items[].size.cm\", \"items[].price\", \"maybe[].sku\", \"grid[][].size\", home.label, one.cm, id]",
            &[
                ("/0/items/0", json!({"sku": "a", "size": {"label": "S"}})),
                ("/0/items/2", json!({"sku": "d", "size": null})),
                (
                    "/0/maybe/1",
                    json!({"price": 2, "size": {"cm": 4, "label": "S"}}),
                ),
                ("/0/home", json!({"cm": 9})),
                ("/0/one", json!({"label": "one"})),
                ("/0/grid/0/0", json!({"sku": "g", "price": 3})),
            ],
        ),
        (
            "- keep: [id, \"items[].size.cm\", \"tags[]\"]",
            &[(
                "/0",
                json!({"id": "B-1", "items": [{"size": {"cm": 4}}, {"size": {"cm": 4}}, {"size": null}], "tags": ["x", null, "30"]}),
            )],
        ),
        (
            "- cast: { \"items[].price\": string, home.cm: string, \"by_name{}.size.cm\": string, \"maybe[].price\": int }",
            &[
                ("/0/items/0/price", json!("1")),
                ("/0/items/1/price", json!(null)),
                ("/0/home/cm", json!("9")),
                ("/0/by_name/k/size/cm", json!("4")),
            ],
        ),
        (
            "- mask: { field: \"items[].size.label\", with: last4 }",
            &[("/0/items/0/size/label", json!("*"))],
        ),
        (
            "- mask: { field: \"tags[]\", with: fixed, value: \"#\" }",
            &[("/0/tags", json!(["#", null, "#"]))],
        ),
        (
            "- default: { \"items[].price\": 0, \"tags[]\": \"'?'\" }",
            &[
                ("/0/items/1/price", json!(0)),
                ("/0/items/2/price", json!(7)),
                ("/0/tags/1", json!("?")),
            ],
        ),
        (
            "- default: { \"items[].price\": \"this.size == null ? 3 : this.size.cm\" }",
            &[("/0/items/1/price", json!(4))],
        ),
        (
            "- map_values: { field: \"items[].price\", values: { 1: one }, otherwise: keep }",
            &[
                ("/0/items/0/price", json!("one")),
                ("/0/items/1/price", json!(null)),
                ("/0/items/2/price", json!("7")),
            ],
        ),
        (
            "- map_values: { field: either, values: { 4: four } }",
            &[("/0/either", json!("four"))],
        ),
        (
            "- flatten: { field: home }",
            &[("/0/home_cm", json!(9)), ("/0/home_label", json!(null))],
        ),
        (
            "- nest: { into: n, fields: [id, home.cm] }",
            &[
                ("/0/n", json!({"id": "B-1", "cm": 9})),
                ("/0/home", json!({"label": null})),
            ],
        ),
        (
            "- move: { home.cm: cm, id: one_id }",
            &[("/0/cm", json!(9)), ("/0/one_id", json!("B-1"))],
        ),
        // The branch of a union is another one once null stands in front.
        ("- move: { box.either: e }", &[("/0/e", json!(8))]),
        (
            "- nest: { into: n, fields: [box.either] }",
            &[("/0/n", json!({"either": 8}))],
        ),
    ] {
        check(yaml, expect);
    }
}

#[test]
fn steps_follow_one_another_in_the_same_place() {
    for (yaml, expect) in [
        (
            "- cast: { \"items[].price\": string }\n- set: { \"items[].price\": \"this.price.orValue('') + '!'\" }\n- rename: { \"items[].price\": p }\n- drop: [\"items[].size\"]",
            &[(
                "/0/items",
                json!([{"sku": "a", "p": "1!"}, {"sku": "b", "p": "!"}, {"sku": "d", "p": "7!"}]),
            )][..],
        ),
        // What an expression made has no bytes yet.
        (
            "- set: { items: \"items.filter(i, i.price != null && i.price > 1)\" }\n- drop: [\"items[].size\"]",
            &[("/0/items", json!([{"sku": "d", "price": 7}]))],
        ),
        (
            "- set: { tags: \"['a', 'b']\" }\n- mask: { field: \"tags[]\", with: fixed, value: \"#\" }\n- explode: { field: tags, into: tag }",
            &[("/0/tag", json!("#")), ("/1/tag", json!("#"))],
        ),
        (
            "- set: { m: \"{'x': 'y'}\" }\n- set: { \"m{}\": \"this + '!'\" }",
            &[("/0/m", json!({"x": "y!"}))],
        ),
        // A whole record, then something inside of it.
        (
            "- set: { home: one }\n- set: { copy: \"home != null ? home : one\" }\n- drop: [home.label]\n- set: { copy.cm: 3 }",
            &[
                ("/0/home", json!({"cm": 1})),
                ("/0/copy", json!({"cm": 3, "label": "one"})),
            ],
        ),
        // Types of one name that steps made different.
        (
            "- drop: [home.label]\n- set: { one: home }",
            &[("/0/one", json!({"cm": 9}))],
        ),
        // The event as it was, whichever place is changed first.
        (
            "- set: { \"items[].price\": 100, first: \"items[0].price\", id: \"'new'\", old: id, \"grid[][].sku\": id }",
            &[
                ("/0/first", json!(1)),
                ("/0/old", json!("B-1")),
                ("/0/grid/0/0/sku", json!("B-1")),
                ("/0/items/0/price", json!(100)),
            ],
        ),
        (
            "- set: { one: \"'text'\", copy: one }",
            &[("/0/copy", json!({"cm": 1, "label": "one"}))],
        ),
        (
            "- explode: { field: items, into: item }\n- filter: \"item.price != null\"\n- set: { item.price: \"item.price.orValue(0) * 2\" }\n- keep: [item.price, id]",
            &[(
                "",
                json!([{"id": "B-1", "item": {"price": 2}}, {"id": "B-1", "item": {"price": 14}}]),
            )],
        ),
        (
            "- explode: { field: grid }\n- explode: { field: grid }\n- keep: [grid.sku]",
            &[("", json!([{"grid": {"sku": "g"}}, {"grid": {"sku": "h"}}]))],
        ),
        (
            "- explode: { field: maybe }\n- keep: [maybe]\n- drop: [maybe.size, maybe.price]",
            &[("", json!([{"maybe": null}, {"maybe": {"sku": "m"}}]))],
        ),
        (
            "- header: { a: id }\n- explode: { field: items }\n- key: items.sku\n- header: { a: null, b: items.sku }\n- filter: \"items.sku != 'a'\"\n- keep: [items.sku]",
            &[(
                "",
                json!([
                {"key": "b", "headers": {"a": null, "b": "b"}, "value": {"items": {"sku": "b"}}},
                {"key": "d", "headers": {"a": null, "b": "d"}, "value": {"items": {"sku": "d"}}}]),
            )],
        ),
        (
            "- explode: { field: items }\n- timestamp: \"timestamp('2026-01-01T00:00:00Z')\"\n- keep: [items.sku]\n- route:\n    - { when: \"items.sku == 'a'\", topic: first, subject: x-value }\n    - { else: true }",
            &[(
                "",
                json!([
                {"topic": "first", "timestamp": 1_767_225_600_000_i64, "value": {"items": {"sku": "a"}}},
                {"topic": "out", "timestamp": 1_767_225_600_000_i64, "value": {"items": {"sku": "b"}}},
                {"topic": "out", "timestamp": 1_767_225_600_000_i64, "value": {"items": {"sku": "d"}}}]),
            )],
        ),
    ] {
        check(yaml, expect);
    }
}

#[test]
fn types_that_contain_themselves() {
    let inner = basket();
    let mut outer = basket();
    outer["next"] = inner;
    let yaml = "- drop: [id, next.tags]\n- set: { \"next.items[].sku\": \"'n'\" }\n- move: { next.id: inner }\n- keep: [next.items, next.home, inner, one]";
    let found = outcome(&schema(BASKET), &steps(yaml), &outer).expect("runs");
    assert_eq!(found[0]["inner"], "B-1");
    assert_eq!(
        found[0]["next"]["items"][2],
        json!({"sku": "n", "price": 7, "size": null})
    );
}

#[test]
fn errors_name_the_element() {
    for (yaml, expect) in [
        (
            "- cast: { \"tags[]\": boolean }",
            "tags[0]: step 1 (cast): cannot be cast to boolean",
        ),
        (
            "- set: { \"items[].n\": \"10 / (this.price.orValue(0) - 7)\" }",
            "items[2].n: step 1 (set): ",
        ),
        (
            "- set: { \"grid[][].n\": \"10 / (this.price.orValue(0))\" }",
            "grid[2][0].n: step 1 (set): ",
        ),
        (
            "- explode: { field: tags }\n- default: { tags: \"'?'\" }\n- cast: { tags: long }",
            "tags: step 3 (cast): ",
        ),
    ] {
        let error = outcome(&schema(BASKET), &steps(yaml), &basket()).expect_err(yaml);
        assert!(error.starts_with(expect), "{yaml}: {error}");
    }
}

#[test]
fn what_overlaps_and_what_has_no_fields_is_told() {
    for (yaml, message) in [
        ("- set: { items: tags, \"items[].total\": 1 }", "overlap"),
        (
            "- set: { \"items[]\": this, \"items[].sku\": \"'x'\" }",
            "overlap",
        ),
        ("- set: { home.cm: 1 }", "may be null"),
        ("- drop: [id]\n- filter: \"id == ''\"", "no field `id`"),
        ("- explode: { field: \"items[].size\" }", "there many times"),
        ("- explode: { field: id }", "not an array"),
        ("- flatten: { field: \"items[]\" }", "not always there once"),
        ("- move: { \"items[].sku\": sku }", "part of each element"),
        ("- move: { next: next.next.inner }", "may be null or many"),
        ("- nest: { into: id, fields: [one] }", "already"),
        ("- default: { id: \"'x'\" }", "never null"),
        ("- default: { home.label: \"'x'\" }", "may be null"),
        (
            "- default: { \"items[].price\": \"'x'\" }",
            "the default is string",
        ),
        ("- key: one", "a key is a text or bytes"),
        ("- timestamp: id", "the record's timestamp is a timestamp"),
    ] {
        let mut builder = Builder::new(&schema(BASKET), Secrets::default());
        let faults = builder.steps(&steps(yaml), &schemas).expect_err(yaml);
        assert!(
            faults.iter().any(|fault| fault.message.contains(message)),
            "{yaml}: {faults:#?}"
        );
    }
    // What a step took away is told with the step.
    for (yaml, hint) in [
        ("- drop: [id]\n- filter: \"id == ''\"", "step 1 (drop)"),
        (
            "- set: { a: 1 }\n- rename: { one.cm: width }\n- cast: { one.cm: string }",
            "step 2 (rename)",
        ),
        ("- keep: [id]\n- drop: [\"items[].price\"]", "step 1 (keep)"),
    ] {
        let mut builder = Builder::new(&schema(BASKET), Secrets::default());
        let faults = builder.steps(&steps(yaml), &schemas).expect_err(yaml);
        let given = faults[0].hint.as_deref().unwrap_or_default();
        assert!(given.contains(hint), "{yaml}: {faults:#?}");
    }
    for top in [
        r#""string""#,
        r#"["null",{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}]"#,
    ] {
        for yaml in [
            "- set: { b: 1 }",
            "- drop: [a]",
            "- nest: { into: n, fields: [a] }",
        ] {
            let mut builder = Builder::new(&schema(top), Secrets::default());
            let faults = builder.steps(&steps(yaml), &schemas).expect_err(yaml);
            assert!(
                faults[0].message.contains("the event has none"),
                "{faults:?}"
            );
        }
    }
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
