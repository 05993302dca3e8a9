use std::path::Path;

use super::*;

const HEAD: &str = "config: Cargo.toml\ncases:\n";

fn load_one(case: &str) -> Result<CaseFile, Vec<Fault>> {
    load_text(&format!("{HEAD}{case}"), Path::new("x.test.yaml"))
}

/// `line:column: message (hint)` of each fault.
fn faults(text: &str) -> Vec<String> {
    let faults = load_text(text, Path::new("x.test.yaml"))
        .err()
        .unwrap_or_default();
    faults.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(text: &str, expect: &[&str]) {
    let found = faults(text);
    assert_eq!(found.len(), expect.len(), "{found:#?}");
    for (found, expect) in found.iter().zip(expect) {
        assert!(found.contains(expect), "{found:?} has no {expect:?}");
    }
}

#[track_caller]
fn check_case(given: &str, expect: &str, faults: &[&str]) {
    check(
        &format!("{HEAD}  - name: a\n    given: {given}\n    expect: {expect}\n"),
        faults,
    );
}

#[test]
fn what_says_nothing_is_a_fault() {
    check("", &["the file holds nothing"]);
    check("config: Cargo.toml\n", &["`cases` is missing"]);
    check(
        "config: Cargo.toml\ncases: []\n",
        &["2:8: there is no case in this file"],
    );
    check(
        "cases:\n  - { name: a, given: { raw: x }, expect: { outcome: filtered } }\n",
        &["there is no driftgate.yaml beside this file"],
    );
    check_case("{ raw: x }", "{}", &["5:5: this case expects nothing"]);
    check_case("{}", "{ outcome: filtered }", &["4:5: no record is given"]);
    check_case("{ raw: x }", "{ outputs: [] }", &["no output is expected"]);
    check_case(
        "{ raw: x }",
        "{ outputs: [{}] }",
        &["nothing is expected of this output"],
    );
    check_case(
        "{ raw: x }",
        "{ headers: {} }",
        &["`headers` names no header"],
    );
    check_case(
        "{ raw: x }",
        "{ no_headers: [] }",
        &["`no_headers` names no header"],
    );
    check_case(
        "{ raw: x }",
        "{ outcome: }",
        &["nothing stands behind `outcome`"],
    );
    check(
        &format!("{HEAD}  - name: a\n"),
        &["`given` is missing", "`expect` is missing"],
    );
}

#[test]
fn what_is_not_known_is_a_fault_with_what_was_likely_meant() {
    check(
        "config: Cargo.toml\ncase: []\n",
        &[
            "`cases` is missing",
            "2:1: unknown key `case` (did you mean `cases`?)",
        ],
    );
    check_case(
        "{ raw: x, headrs: {} }",
        "{ outcome: filtered }",
        &["did you mean `headers`?"],
    );
    check_case(
        "{ raw: x }",
        "{ outcom: filtered }",
        &["did you mean `outcome`?"],
    );
    check_case(
        "{ raw: x }",
        "{ outcome: filterd }",
        &["did you mean filtered?"],
    );
    check_case(
        "{ raw: x }",
        "{ outputs: [{ valeu: 1 }] }",
        &["did you mean `value`?"],
    );
}

#[test]
fn what_contradicts_itself_is_a_fault() {
    check_case(
        "{ raw: x, hex: '00' }",
        "{ outcome: filtered }",
        &["`hex` and `raw` are two values"],
    );
    check_case(
        "{ raw: x, schema: 7 }",
        "{ outcome: filtered }",
        &["`schema` says nothing beside `raw`"],
    );
    check_case(
        "{ raw: x }",
        "{ output: 1, outputs: [{ value: 1 }] }",
        &["exclude each other"],
    );
    check_case(
        "{ raw: x }",
        "{ output: 1, outcome: filtered }",
        &["an output is expected, and the outcome `filtered`"],
    );
    check_case(
        "{ raw: x }",
        "{ output: 1, reason: drift }",
        &["`reason` is about a failure"],
    );
    check_case(
        "{ raw: x }",
        "{ outcome: filtered, path: a }",
        &["`path` is about a failure"],
    );
    check_case(
        "{ raw: x }",
        "{ outcome: filtered, topic: a }",
        &["`topic` is about a record that is written"],
    );
    check_case(
        "{ raw: x }",
        "{ outcome: paused, key: a }",
        &["`key` is about a record that is written"],
    );
    check_case(
        "{ raw: x }",
        "{ outputs: [{ value: 1 }], topic: a }",
        &["`topic` beside `outputs`"],
    );
    let twice = "  - { name: a, given: { raw: x }, expect: { outcome: filtered } }\n";
    check(
        &format!("{HEAD}{twice}{twice}"),
        &["4:13: a second case named `a` (the first is on line 3)"],
    );
}

#[test]
fn what_cannot_be_read_is_a_fault_at_its_place() {
    check_case("{ hex: 0g }", "{ outcome: filtered }", &["4:19: not hex"]);
    check_case("{ hex: '012' }", "{ outcome: filtered }", &["half a byte"]);
    check_case(
        "{ raw: [x] }",
        "{ outcome: filtered }",
        &["`raw`: expected a text"],
    );
    check_case(
        "{ raw: x, timestamp: yesterday }",
        "{ outcome: filtered }",
        &["not a timestamp"],
    );
    check_case(
        "{ raw: x, key: { hax: '00' } }",
        "{ outcome: filtered }",
        &["a key is a text"],
    );
    check_case(
        "{ raw: x, headers: { a: { value: 1 } } }",
        "{ outcome: filtered }",
        &["a header is a text"],
    );
    check_case(
        "{ raw: x, headers: a }",
        "{ outcome: filtered }",
        &["`headers`: expected a mapping"],
    );
    check(
        &format!(
            "schemas: {{ x: a.avsc }}\n{HEAD}  - {{ name: a, given: {{ raw: x }}, expect: {{ outcome: filtered }} }}\n"
        ),
        &["1:12: not a schema id"],
    );
    for answer in [
        "maybe",
        "99",
        "600",
        "",
        "503 later",
        "503 retry-after",
        "503 retry-after soon",
        "99 retry-after 1s",
    ] {
        let case = format!(
            "  - name: a\n    lookups: {{ /x: {answer} }}\n    given: {{ raw: x }}\n    expect: {{ outcome: filtered }}\n"
        );
        check(&format!("{HEAD}{case}"), &["not an answer"]);
    }
}

#[test]
fn data_is_taken_as_it_is_written() {
    let file = load_one(
        "  - name: a\n    lookups: { /a: 404, /b: timeout, /c: { x: 1 }, /d: 'no JSON', /e: 503 retry-after 1m30s }\n    given:\n      value: { a: 1.50, b: '1', c: true, d: yes, e: null, f: [1, { g: '${HOME}' }], h: 2026-05-01 }\n      key: k\n      timestamp: 1970-01-01T00:00:01Z\n    expect: { output: null }\n",
    );
    let file = file.expect("no faults");
    let case = &file.cases[0];
    let Content::Json(datum) = &case.given.value else {
        panic!("{case:?}");
    };
    let json = r#"{"a":1.50,"b":"1","c":true,"d":"yes","e":null,"f":[1,{"g":"${HOME}"}],"h":"2026-05-01"}"#;
    assert_eq!(datum.json(), json);
    assert_eq!(datum.place_of("f[1].g").column, datum.place().column + 57);
    assert_eq!(datum.place_of("nowhere"), datum.place());
    assert_eq!(case.given.timestamp, Some(1000));
    let answers: Vec<_> = case
        .lookups
        .iter()
        .map(|(_, canned)| canned.clone())
        .collect();
    assert_eq!(
        answers,
        [
            Canned::Status(404, None),
            Canned::Timeout,
            Canned::Body(r#"{"x":1}"#.to_owned()),
            Canned::Body("no JSON".to_owned()),
            Canned::Status(503, Some(Duration::from_secs(90))),
        ]
    );
    let outputs = case.expect.outputs.as_deref().expect("an output");
    assert!(
        matches!(
            outputs,
            [Written {
                value: Some(None),
                ..
            }]
        ),
        "a tombstone"
    );
}

#[test]
fn every_key_is_documented() {
    fn check(keys: &[crate::config::keys::Key]) {
        let page = include_str!("../../../docs/testing.md");
        for key in keys {
            assert!(page.contains(&format!("`{}`", key.name)), "{}", key.name);
            check(key.kind.keys());
        }
    }
    check(ROOT);
}
