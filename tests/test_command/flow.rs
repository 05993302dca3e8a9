//! Cases of pipelines whose steps do more than change fields: several outputs of a record, routes, headers, keys,
//! timestamps, lookups at services and in tables, paths into nested values.

use std::path::Path;

use tempfile::TempDir;

use super::{driftgate, told};

const CONFIG: &str = r##"
pipelines:
  orders:
    owner: { team: shop, contact: "#shop" }
    group: gate
    provenance: header
    source: { topics: [orders] }
    contract: { schema: schemas/orders-value.avsc }
    secrets: { salt: pepper }
    transform:
      - lookup:
          into: customer
          url: "http://crm/customers/{buyer.id}"
          type: schemas/customer.avsc
          on_missing: "null"
          timeout: 2s
      - set: { buyer.region: "buyer.region.upperAscii()", "items[].sku": "this.sku.trim()" }
      - set: { "items[].label": "this.sku + '/' + string(this.n)" }
      - explode: { field: items, into: item }
      - filter: "item.n > 0"
      - lookup:
          into: product
          topic: products
          key: item.sku
          type: schemas/product.avsc
          on_missing: default
          default: '{"title":"?"}'
      - set: { per_piece: "100 / (item.n - 13)" }
      - header: { sku: "item.sku", trace: null, sig: "hmac(buyer.id, 'salt')", shop: "header('shop')" }
      - key: "buyer.id + '-' + item.sku"
      - timestamp: "at"
      - route:
          - { when: "product.title == '?'", topic: items.unknown }
          - { when: "item.n >= 10", topic: items.bulk, schema: schemas/items.bulk-value.avsc }
          - { else: true }
    sink: { topic: items, schema: schemas/items-value.avsc }
    failure: { retry: { tiers: [5s, 1m] } }
"##;

const BUYER: &str = r#"{"type":"record","name":"Buyer","fields":[
  {"name":"id","type":"string"},{"name":"region","type":"string"}]}"#;
const PRODUCT: &str =
    r#"{"type":"record","name":"Product","fields":[{"name":"title","type":"string"}]}"#;
const CUSTOMER: &str =
    r#"{"type":"record","name":"Customer","fields":[{"name":"name","type":"string"}]}"#;

fn bed(cases: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("schemas")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let item = |more: &str| {
        format!(
            r#"{{"type":"record","name":"Item","fields":[{{"name":"sku","type":"string"}},{{"name":"n","type":"int"}}{more}]}}"#
        )
    };
    let at = r#"{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}"#;
    let record = |name: &str, fields: &str| {
        format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
    };
    let order = format!(
        r#"{{"name":"buyer","type":{BUYER}}},{{"name":"items","type":{{"type":"array","items":{}}}}},{at}"#,
        item("")
    );
    let labelled = item(r#",{"name":"label","type":"string"}"#);
    let whole = format!(
        r#"{{"name":"buyer","type":{BUYER}}},{{"name":"item","type":{labelled}}},{at},
           {{"name":"customer","type":["null",{CUSTOMER}],"default":null}},
           {{"name":"product","type":{PRODUCT}}},{{"name":"per_piece","type":"long"}}"#
    );
    write("driftgate.yaml", CONFIG);
    write("schemas/orders-value.avsc", &record("Order", &order));
    write("schemas/items-value.avsc", &record("Sold", &whole));
    let bulk = format!(r#"{{"name":"item","type":{labelled}}}"#);
    write("schemas/items.bulk-value.avsc", &record("Bulk", &bulk));
    write("schemas/customer.avsc", CUSTOMER);
    write("schemas/product.avsc", PRODUCT);
    write("flow.test.yaml", cases);
    folder
}

const RECORD: &str = "{ value: { buyer: { id: u-1, region: eu }, at: 2026-05-01T08:00:00Z, items: [ITEMS] }, key: k, headers: { trace: t, shop: web, driftgate.index: mine }, timestamp: 2026-01-01T00:00:00Z }";
const THREE: &str = "{ sku: ' a ', n: 2 }, { sku: b, n: 0 }, { sku: c, n: 12 }";
const ANSWERS: &str = "{ http://crm/customers/u-1: { name: Ada }, products/a: { title: Apple }, products/c: { title: Cherry } }";
const FIRST: &str = "{ buyer: { id: u-1, region: EU }, item: { sku: a, n: 2, label: a/2 }, at: 2026-05-01T08:00:00Z, customer: { name: Ada }, product: { title: Apple }, per_piece: -9 }";
const SECOND: &str = "{ item: { sku: c, n: 12, label: c/12 } }";

/// What is printed, and whether the case passed.
fn tried(items: &str, answers: &str, expect: &str) -> (String, bool) {
    let given = RECORD.replace("ITEMS", items);
    let case = format!(
        "cases:\n  - name: a case\n    given: {given}\n    lookups: {answers}\n    expect: {expect}\n"
    );
    let bed = bed(&case);
    let (out, err, code) = told(&driftgate(bed.path(), &["test"]));
    assert!(matches!(code, Some(0 | 1)), "{expect}\n{out}{err}");
    (out, code == Some(0))
}

#[track_caller]
fn passes(items: &str, answers: &str, expect: &str) {
    let (out, passed) = tried(items, answers, expect);
    assert!(passed, "{expect}\n{out}");
}

#[track_caller]
fn fails(items: &str, answers: &str, expect: &str, says: &str) {
    let (out, passed) = tried(items, answers, expect);
    assert!(!passed, "{expect}\n{out}");
    assert!(out.contains(says), "{expect}: {says:?} is not in\n{out}");
}

/// Both outputs, the second with these expectations besides its value.
fn both(first: &str, second: &str) -> String {
    format!("{{ outputs: [{{ value: {FIRST}{first} }}, {{ value: {SECOND}{second} }}] }}")
}

#[test]
fn each_output_of_a_record_is_held_to_all_that_is_expected_of_it() {
    let first = ", topic: items, key: u-1-a, timestamp: 2026-05-01T08:00:00Z, no_headers: [trace], headers: { sku: a, shop: web, driftgate.index: \"0\", driftgate.count: \"2\", driftgate.prior.index: mine, driftgate.source: orders-0@0, sig: 337504dab239fe5ff5d3b8f1286222185d9013cd0f4845660a1fc50e50a874a6 }";
    let second = ", topic: items.bulk, key: u-1-c, headers: { sku: c, driftgate.index: \"1\", driftgate.count: \"2\" }";
    passes(THREE, ANSWERS, &both(first, second));
    let other = first.replace("sig: 3", "sig: 4");
    let says = "outputs[0].headers.sig:\n            - \"4375";
    fails(THREE, ANSWERS, &both(&other, second), says);
    for (from, to, says) in [
        (
            "topic: items.bulk",
            "topic: items",
            "outputs[1].topic: expected \"items\", found \"items.bulk\"",
        ),
        (
            "key: u-1-c",
            "key: u-1-a",
            "outputs[1].key: expected \"u-1-a\", found \"u-1-c\"",
        ),
        (
            "index: \"1\"",
            "index: \"2\"",
            "outputs[1].headers.driftgate.index: expected \"2\", found \"1\"",
        ),
        (
            "count: \"2\"",
            "count: \"3\"",
            "outputs[1].headers.driftgate.count: expected \"3\", found \"2\"",
        ),
        (
            "sku: c",
            "sku: a",
            "outputs[1].headers.sku: expected \"a\", found \"c\"",
        ),
    ] {
        assert!(second.contains(from));
        fails(THREE, ANSWERS, &both("", &second.replace(from, to)), says);
    }
    for (from, to, says) in [
        (
            "label: a/2",
            "label: a/3",
            "outputs[0].value.item.label: expected \"a/3\", found \"a/2\"",
        ),
        (
            "region: EU",
            "region: eu",
            "outputs[0].value.buyer.region: expected \"eu\", found \"EU\"",
        ),
        (
            "name: Ada",
            "name: Bob",
            "outputs[0].value.customer.name: expected \"Bob\", found \"Ada\"",
        ),
        (
            "title: Apple",
            "title: Pear",
            "outputs[0].value.product.title: expected \"Pear\", found \"Apple\"",
        ),
        (
            "sku: a,",
            "sku: ' a ',",
            "outputs[0].value.item.sku: expected \" a \", found \"a\"",
        ),
        (
            "per_piece: -9",
            "per_piece: 9",
            "outputs[0].value.per_piece: expected 9, found -9",
        ),
    ] {
        assert!(FIRST.contains(from));
        fails(THREE, ANSWERS, &both("", "").replace(from, to), says);
    }
    fails(
        THREE,
        ANSWERS,
        &both(", timestamp: 2026-01-01T00:00:00Z", ""),
        "outputs[0].timestamp: expected \"2026-01-01T00:00:00Z\", found \"2026-05-01T08:00:00Z\"",
    );
    fails(
        THREE,
        ANSWERS,
        &both(", no_headers: [shop]", ""),
        "outputs[0].headers.shop: expected nothing, found \"web\"",
    );
    fails(
        THREE,
        ANSWERS,
        "{ outputs: [{ topic: items }] }",
        "outputs[1]",
    );
    fails(
        THREE,
        ANSWERS,
        &format!("{{ output: {FIRST} }}"),
        "output: expected one output, found 2 outputs",
    );
    fails(
        THREE,
        ANSWERS,
        "{ topic: items }",
        "expected one output, found 2 outputs",
    );
    passes(THREE, ANSWERS, "{ outcome: emitted }");
}

#[test]
fn update_writes_every_output() {
    let given = RECORD.replace("ITEMS", THREE);
    let bed = bed(&format!(
        "cases:\n  - name: a case\n    given: {given}\n    lookups: {ANSWERS}\n    expect:\n      outputs:\n        - topic: x\n          key: y\n"
    ));
    let (out, err, code) = told(&driftgate(bed.path(), &["test", "--update"]));
    assert_eq!(code, Some(0), "{out}{err}");
    let text = std::fs::read_to_string(bed.path().join("flow.test.yaml")).unwrap();
    assert!(text.contains("topic: items\n"), "{text}");
    assert!(text.contains("c/12"), "{text}");
    let (out, err, code) = told(&driftgate(bed.path(), &["test"]));
    assert_eq!(code, Some(0), "{out}{err}\n{text}");
}

#[test]
fn what_no_row_and_no_answer_do_is_shown() {
    let one = "{ sku: a, n: 2 }";
    let with = |customer: &str, product: &str| {
        format!("{{ /customers/u-1: {customer}, products/a: {product} }}")
    };
    let title = "{ title: Apple }";
    let (customer, unknown) = (
        FIRST.replace("{ name: Ada }", "null"),
        FIRST.replace("Apple", "'?'"),
    );
    // One element is one of one, and carries the headers that say so.
    for (answers, expect) in [
        (
            with("404", title),
            format!("{{ output: {customer}, topic: items }}"),
        ),
        (
            with("{ name: Ada }", "404"),
            format!(
                "{{ output: {unknown}, topic: items.unknown, headers: {{ driftgate.count: \"1\" }} }}"
            ),
        ),
        (
            with("503", title),
            "{ outcome: retried, reason: lookup_unavailable, topic: orders.gate.retry.1, key: k }"
                .to_owned(),
        ),
        (
            with("503 retry-after 30s", title),
            "{ outcome: retried, error: answered 503, topic: orders.gate.retry.2 }".to_owned(),
        ),
        (
            with("timeout", title),
            "{ outcome: retried, error: no answer within 2s }".to_owned(),
        ),
        (
            with("301", title),
            "{ outcome: paused, reason: lookup_misconfigured, error: redirects are not followed }"
                .to_owned(),
        ),
        (
            with("{ name: Ada }", "timeout"),
            "{ outcome: paused, reason: lookup_not_loaded, error: topic products }".to_owned(),
        ),
        (
            with("{ name: Ada }", "{ titel: Apple }"),
            "{ outcome: paused, reason: lookup_misconfigured, path: product.title }".to_owned(),
        ),
        (
            with("{ name: Ada }", "500"),
            "{ outcome: paused, reason: lookup_misconfigured, error: never answers 500 }"
                .to_owned(),
        ),
    ] {
        passes(one, &answers, &expect);
    }
    fails(
        one,
        &with("404", title),
        &format!("{{ output: {FIRST} }}"),
        "output.customer",
    );
    fails(
        one,
        &with("503 retry-after 30s", title),
        "{ topic: orders.gate.retry.1 }",
        "found \"orders.gate.retry.2\"",
    );
    fails(
        one,
        &with("{ name: Ada }", "404"),
        "{ topic: items }",
        "topic: expected \"items\", found \"items.unknown\"",
    );
    fails(
        one,
        "{ /customers/u-1: 404 }",
        "{ outcome: emitted }",
        "lookups: expected an answer for products/a, found nothing",
    );
    fails(
        one,
        "{ products/a: 404 }",
        "{ outcome: emitted }",
        "lookups: expected an answer for http://crm/customers/u-1, found nothing",
    );
}

#[test]
fn one_element_that_fails_fails_the_record_and_none_leaves_nothing() {
    let answers = ANSWERS;
    passes("", answers, "{ outcome: filtered }");
    passes("{ sku: a, n: 0 }", answers, "{ outcome: filtered }");
    fails(
        "",
        answers,
        "{ outcome: emitted }",
        "outcome: expected emitted, found filtered",
    );
    let torn = "{ sku: a, n: 2 }, { sku: c, n: 13 }";
    let expect = "{ outcome: dead_lettered, reason: transform_failed, topic: orders.gate.dlq, key: k, headers: { trace: t, driftgate.reason: transform_failed }, error: zero }";
    passes(torn, answers, expect);
    fails(
        torn,
        answers,
        &expect.replace("error: zero", "error: overflow"),
        "error: expected \"overflow\"",
    );
    fails(
        torn,
        answers,
        &expect.replace("trace: t,", "trace: u,"),
        "headers.trace: expected \"u\", found \"t\"",
    );
    fails(
        torn,
        answers,
        "{ no_headers: [driftgate.count, driftgate.reason] }",
        "headers.driftgate.reason: expected nothing",
    );
}

#[test]
fn a_timestamp_that_no_broker_keeps_is_a_dead_letter() {
    let given = RECORD
        .replace("ITEMS", "{ sku: a, n: 2 }")
        .replace("2026-05-01T08:00:00Z", "0");
    let bed = bed(&format!(
        "cases:\n  - name: a case\n    given: {given}\n    lookups: {ANSWERS}\n    expect: {{ reason: transform_failed, error: later than 1970-01-01 }}\n"
    ));
    let (out, err, code) = told(&driftgate(bed.path(), &["test"]));
    assert_eq!(code, Some(0), "{out}{err}");
}

#[test]
fn the_schema_of_every_arm_is_read_from_a_file() {
    let case = "cases:\n  - { name: a case, given: { value: null }, expect: { output: null, topic: items } }\n";
    let bed = bed(case);
    let config = CONFIG.replace(
        "schema: schemas/items.bulk-value.avsc",
        "subject: items.bulk-value",
    );
    std::fs::write(bed.path().join("driftgate.yaml"), config).unwrap();
    let (out, err, code) = told(&driftgate(bed.path(), &["test"]));
    assert_eq!(code, Some(0), "{out}{err}");
    std::fs::remove_file(bed.path().join(Path::new("schemas/items.bulk-value.avsc"))).unwrap();
    let (out, err, code) = told(&driftgate(bed.path(), &["test"]));
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("items.bulk-value has no file"), "{err}");
}
