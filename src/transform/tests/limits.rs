//! No event makes the steps hang or take memory without end, and large types compile.

use std::time::{Duration, Instant};

use super::written::{outcome, steps};
use super::*;

const LIST: &str = r#"{"type":"record","name":"L","fields":[
    {"name":"text","type":"string"},
    {"name":"numbers","type":{"type":"array","items":"long"}},
    {"name":"nulls","type":{"type":"array","items":"null"}},
    {"name":"empty","type":{"type":"array","items":{"type":"record","name":"E","fields":[]}}}]}"#;

fn list(text: usize, count: usize) -> Json {
    json!({
        "text": "x".repeat(text), "numbers": vec![1; count], "nulls": vec![Json::Null; count],
        "empty": vec![json!({}); count],
    })
}

#[test]
fn work_and_memory_have_an_end() {
    for (yaml, event, expect) in [
        (
            "- explode: { field: numbers }",
            list(1000, 60_000),
            "explodes into more than",
        ),
        (
            "- header: { h: text }\n- explode: { field: numbers }\n- keep: [numbers]",
            list(100_000, 2_000),
            "explodes into more than",
        ),
        (
            "- explode: { field: numbers, into: n }\n- set: { n: \"size(nulls.filter(x, x == null))\" }\n- keep: [n]",
            list(0, 20_000),
            "take too long",
        ),
        (
            "- set: { \"numbers[]\": \"size(nulls.filter(x, x == null))\" }",
            list(0, 20_000),
            "take too long",
        ),
        (
            "- set: { \"nulls[]\": \"text + text\" }",
            list(1_000_000, 2_000),
            "stopped: ",
        ),
        (
            "- set: { \"empty[].t\": text }",
            list(1_000_000, 2_000),
            "stopped: ",
        ),
    ] {
        let began = Instant::now();
        let error = outcome(&schema(LIST), &steps(yaml), &event).expect_err(yaml);
        assert!(error.contains(expect), "{yaml}: {error}");
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{yaml}: {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn elements_without_bytes_are_elements() {
    for (yaml, count) in [
        (
            "- set: { \"empty[].a\": 1, \"nulls[]\": \"'x'\" }\n- explode: { field: empty }\n- drop: [nulls, numbers]",
            2_000,
        ),
        ("- explode: { field: nulls }\n- keep: [text]", 2_000),
    ] {
        let found = outcome(&schema(LIST), &steps(yaml), &list(1, 2_000)).expect(yaml);
        assert_eq!(found.len(), count, "{yaml}");
    }
    let nothing = schema(r#"{"type":"record","name":"N","fields":[]}"#);
    let found = outcome(
        &nothing,
        &steps("- set: { a: 1 }\n- drop: [a]\n- set: { b: \"'x'\" }"),
        &json!({}),
    );
    assert_eq!(found, Ok(vec![json!({"b": "x"})]));
}

#[test]
fn three_hundred_fields_with_a_step_each() {
    let field = |at: usize| format!(r#"{{"name":"f{at}","type":"long"}}"#);
    let fields: Vec<String> = (0..300).map(field).collect();
    let wide = schema(&format!(
        r#"{{"type":"record","name":"W","fields":[{{"name":"r","type":{{"type":"record","name":"I","fields":[{}]}}}}]}}"#,
        fields.join(",")
    ));
    let path = |at: usize| format!("r.f{at}");
    let steps: Vec<Step> = (0..300)
        .map(|at| set(&[(&path(at), &format!("r.f{at} + 1"))]))
        .collect();
    let event: serde_json::Map<_, _> = (0..300).map(|at| (format!("f{at}"), json!(at))).collect();
    let began = Instant::now();
    let found = outcome(&wide, &steps, &json!({ "r": event })).expect("runs");
    assert_eq!(found[0]["r"]["f299"], 300);
    // All of it in a sink of another type: every field is told, with the step that broke it.
    let mut builder = Builder::new(&wide, Secrets::default());
    let casts: Vec<Step> = (0..300).map(|at| cast(&[(&path(at), "string")])).collect();
    builder.steps(&casts, &schemas).expect("compiles");
    let faults = check_sink(&builder, &wide, &place(), "w.avsc").expect_err("no longs");
    assert_eq!(faults.len(), 300);
    assert_eq!(
        faults[7].hint.as_deref(),
        Some("it did fit before step 8 (cast)")
    );
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}
