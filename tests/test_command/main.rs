//! `driftgate test`, as a person and a CI meet it: what passes, what each wrong expectation says, exit codes, JUnit,
//! `--update`. Runs the binary; there is no broker and no registry.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod flow;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn driftgate(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftgate"));
    command
        .args(args)
        .current_dir(folder)
        // Nobody listens there.
        .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
        .env("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
        .env("NO_COLOR", "1");
    for name in ["RUST_LOG", "DRIFTGATE_LOG_FORMAT", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

const CONFIG: &str = r##"
pipelines:
  orders:
    owner: { team: shop, contact: "#shop" }
    group: gate
    provenance: ${PROVENANCE:-none}
    source: { topics: [orders, returns] }
    contract:
      schema: schemas/orders-value.avsc
      key: { schema: schemas/orders-key.avsc, required: false }
      drift: { removed: halt, unknown_subject: quarantine }
    transform:
      - filter: "currency != 'TEST'"
      - lookup: { into: customer, url: "http://crm/customers/{customer_id}?full=1", type: schemas/customer.avsc, timeout: 2s }
    sink: { topic: orders.clean, schema: schemas/orders.clean-value.avsc }
    failure: { retry: { tiers: [5s, 1m] } }
"##;

const CONTRACT: &str = r#"{"type":"record","name":"Order","fields":[
  {"name":"customer_id","type":"string"},
  {"name":"currency","type":"string"},
  {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
  {"name":"note","type":["null","string"],"default":null},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;

const CUSTOMER: &str =
    r#"{"type":"record","name":"Customer","fields":[{"name":"name","type":"string"}]}"#;

/// A configuration with its schemas, and a case file of this content.
fn bed(cases: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("driftgate.yaml", CONFIG);
    write("schemas/orders-value.avsc", CONTRACT);
    write("schemas/customer.avsc", CUSTOMER);
    write("schemas/orders-key.avsc", "\"string\"");
    let sink = CONTRACT.replace("\"Order\"", "\"Clean\"");
    let fields = sink.strip_suffix("]}").unwrap();
    let sink = format!("{fields},{{\"name\":\"customer\",\"type\":{CUSTOMER}}}]}}");
    write("schemas/orders.clean-value.avsc", &sink);
    let without_note = CONTRACT.replace(
        "  {\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null},\n",
        "",
    );
    assert_ne!(without_note, CONTRACT);
    write("old/orders-value.avsc", &without_note);
    write("schemas/foreign-value.avsc", CONTRACT);
    write("orders.test.yaml", cases);
    folder
}

/// A good order, with the answer that its lookup gets.
const GOOD: &str = "given:\n      key: { value: c-7 }\n      value: { customer_id: c 7, currency: EUR, amount: \"1.50\", at: 2026-05-01T08:00:00Z }\n      headers: { trace: t-1, bin: { hex: ff00 }, empty: null }\n      timestamp: 2026-05-01T08:00:00Z\n    lookups: { /customers/c%207?full=1: { name: Ada } }";
const OUTPUT: &str = "{ customer_id: c 7, currency: EUR, amount: 1.5, note: null, at: 1777622400000, customer: { name: Ada } }";

fn case(given: &str, expect: &str) -> String {
    format!("cases:\n  - name: a case\n    {given}\n    expect: {expect}\n")
}

/// Runs one case; stdout, stderr and the exit code.
fn run(given: &str, expect: &str) -> (String, String, Option<i32>) {
    let bed = bed(&case(given, expect));
    told(&driftgate(bed.path(), &["test"]))
}

fn told(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        text(&output.stdout),
        text(&output.stderr),
        output.status.code(),
    )
}

#[track_caller]
fn passes(given: &str, expect: &str) {
    let (out, err, code) = run(given, expect);
    assert_eq!(code, Some(0), "{expect}\n{out}{err}");
    assert!(out.contains("1 case in 1 file: 1 passed\n"), "{out}");
}

/// It fails, and says each of these.
#[track_caller]
fn fails(given: &str, expect: &str, says: &[&str]) {
    let (out, err, code) = run(given, expect);
    assert_eq!(code, Some(1), "{expect}\n{out}{err}");
    assert!(out.contains("FAILED  a case (line 2)"), "{out}");
    for part in says {
        assert!(out.contains(part), "{expect}: {part:?} is not in\n{out}");
    }
}

/// What is written is wrong, and it says each of these.
#[track_caller]
fn refused(given: &str, expect: &str, says: &[&str]) {
    let (out, err, code) = run(given, expect);
    assert_eq!(code, Some(2), "{expect}\n{out}{err}");
    for part in says {
        assert!(err.contains(part), "{part:?} is not in\n{err}");
    }
}

#[test]
fn each_expectation_of_an_output_passes_when_right_and_fails_when_wrong() {
    let header = "{ trace: t-1, bin: { hex: FF00 }, empty: null }";
    for expect in [
        format!("{{ output: {OUTPUT} }}"),
        format!(
            "{{ outcome: emitted, output: {OUTPUT}, topic: orders.clean, key: {{ value: c-7 }} }}"
        ),
        format!("{{ outputs: [{{ value: {OUTPUT}, topic: orders.clean, headers: {header} }}] }}"),
        format!("{{ headers: {header}, no_headers: [driftgate.source] }}"),
        "{ outcome: emitted }".to_owned(),
        "{ topic: orders.clean }".to_owned(),
        "{ timestamp: 2026-05-01T08:00:00Z }".to_owned(),
        "{ timestamp: 1777622400000 }".to_owned(),
    ] {
        passes(GOOD, &expect);
    }
    let output = |from: &str, to: &str| {
        assert!(OUTPUT.contains(from));
        format!("{{ output: {} }}", OUTPUT.replace(from, to))
    };
    for (expect, says) in [
        (
            output("1.5", "1.51"),
            "line 9: output.amount: expected \"1.51\", found \"1.50\"",
        ),
        (
            output("Ada", "Bob"),
            "output.customer.name: expected \"Bob\", found \"Ada\"",
        ),
        (
            output("note: null", "note: x"),
            "output.note: expected \"x\", found null",
        ),
        (
            output("1777622400000", "0"),
            "output.at: expected \"1970-01-01T00:00:00.000Z\", found \"2026-05-01T08:00:00.000Z\"",
        ),
        (
            output("currency: EUR, ", ""),
            "output.currency: expected a value of the sink's schema, found is missing",
        ),
        (
            output("note: null", "nte: null"),
            "Clean has no field \"nte\"; did you mean \"note\"?",
        ),
        (
            "{ output: null }".to_owned(),
            "line 9: output:\n            - null\n            + {\"customer_id\"",
        ),
        (
            format!("{{ outputs: [{{ value: {OUTPUT} }}, {{ value: {OUTPUT} }}] }}"),
            "outputs[1]",
        ),
        (
            "{ outputs: [{ topic: a }] }".to_owned(),
            "outputs[0].topic: expected \"a\", found \"orders.clean\"",
        ),
        (
            "{ outputs: [{ key: a }] }".to_owned(),
            "outputs[0].key: expected \"a\"",
        ),
        (
            "{ outputs: [{ timestamp: 1 }] }".to_owned(),
            "outputs[0].timestamp: expected \"1970-01-01T00:00:00.001Z\"",
        ),
        (
            "{ outputs: [{ no_headers: [trace] }] }".to_owned(),
            "outputs[0].headers.trace: expected nothing, found \"t-1\"",
        ),
        (
            "{ outputs: [{ headers: { trace: u } }] }".to_owned(),
            "outputs[0].headers.trace: expected \"u\", found \"t-1\"",
        ),
        (
            "{ outcome: filtered }".to_owned(),
            "outcome: expected filtered, found emitted",
        ),
        (
            "{ outcome: dead_lettered }".to_owned(),
            "outcome: expected dead_lettered, found emitted",
        ),
        (
            "{ reason: drift }".to_owned(),
            "outcome: expected a failure, found emitted",
        ),
        (
            "{ path: a }".to_owned(),
            "outcome: expected a failure, found emitted",
        ),
        (
            "{ error: a }".to_owned(),
            "outcome: expected a failure, found emitted",
        ),
        (
            "{ topic: orders }".to_owned(),
            "topic: expected \"orders\", found \"orders.clean\"",
        ),
        ("{ key: c-7 }".to_owned(), "key: expected \"c-7\""),
        (
            "{ key: { value: c-8 } }".to_owned(),
            "key.value: expected \"c-8\", found \"c-7\"",
        ),
        ("{ key: null }".to_owned(), "key: expected null"),
        (
            "{ timestamp: null }".to_owned(),
            "timestamp: expected null, found \"2026-05-01T08:00:00Z\"",
        ),
        (
            "{ headers: { trace: t-2 } }".to_owned(),
            "headers.trace: expected \"t-2\", found \"t-1\"",
        ),
        (
            "{ headers: { bin: { hex: ff } } }".to_owned(),
            "headers.bin",
        ),
        (
            "{ headers: { empty: \"\" } }".to_owned(),
            "headers.empty: expected \"\", found null",
        ),
        (
            "{ headers: { other: x } }".to_owned(),
            "headers.other: expected \"x\", found nothing",
        ),
        (
            "{ no_headers: [trace] }".to_owned(),
            "headers.trace: expected nothing, found \"t-1\"",
        ),
    ] {
        fails(GOOD, &expect, &[says]);
    }
}

const TORN: &str = "given: { hex: \"06 632d\", key: { value: a } }";

#[test]
fn each_expectation_of_a_failure_passes_when_right_and_fails_when_wrong() {
    let all = "{ outcome: dead_lettered, reason: malformed_data, path: customer_id, error: found, topic: orders.gate.dlq, headers: { driftgate.reason: malformed_data } }";
    passes(TORN, all);
    for expect in [
        "{ reason: malformed_data }",
        "{ path: customer_id }",
        "{ error: found }",
    ] {
        passes(TORN, expect);
    }
    fails(
        TORN,
        "{ reason: drift }",
        &["reason: expected \"drift\", found \"malformed_data\""],
    );
    fails(
        TORN,
        "{ path: at }",
        &["path: expected \"at\", found \"customer_id\""],
    );
    fails(
        TORN,
        "{ error: nonsense }",
        &["error: expected \"nonsense\", found \""],
    );
    fails(
        TORN,
        "{ topic: orders.clean }",
        &["topic: expected \"orders.clean\", found \"orders.gate.dlq\""],
    );
    fails(
        TORN,
        "{ headers: { driftgate.path: at } }",
        &["headers.driftgate.path: expected \"at\""],
    );
    fails(TORN, "{ key: null }", &["key: expected null"]);
    fails(
        TORN,
        "{ outcome: retried }",
        &[
            "outcome: expected retried, found dead_lettered",
            "malformed_data: customer_id: ",
        ],
    );
    fails(
        TORN,
        &format!("{{ output: {OUTPUT} }}"),
        &["outcome: expected emitted, found dead_lettered"],
    );
}

#[test]
fn every_outcome_can_be_reached() {
    passes(
        "given: { value: { customer_id: c, currency: TEST, amount: 1, at: 0 } }",
        "{ outcome: filtered }",
    );
    let order = "value: { customer_id: c, currency: EUR, amount: 1, at: 0 }";
    let asked = |answer: &str| {
        format!(
            "given: {{ {order} }}\n    lookups: {{ \"http://crm/customers/c?full=1\": {answer} }}"
        )
    };
    passes(
        &asked("503"),
        "{ outcome: retried, reason: lookup_unavailable, topic: orders.gate.retry.1 }",
    );
    passes(
        &asked("timeout"),
        "{ outcome: retried, error: no answer within 2s }",
    );
    passes(
        &asked("404"),
        "{ outcome: dead_lettered, reason: lookup_not_found }",
    );
    passes(
        &asked("401"),
        "{ outcome: paused, reason: lookup_misconfigured }",
    );
    passes(
        &asked("{ nme: Ada }"),
        "{ outcome: paused, reason: lookup_misconfigured, path: customer.name }",
    );
    passes(
        &asked("'no JSON'"),
        "{ outcome: paused, reason: lookup_misconfigured }",
    );
    fails(
        &asked("401"),
        "{ reason: lookup_misconfigured, topic: orders.clean }",
        &["its partition waits"],
    );
    passes(
        &format!("given: {{ schema: old/orders-value.avsc, {order} }}"),
        "{ outcome: paused, reason: drift_halted, path: note }",
    );
    passes(
        &format!("given: {{ schema: foreign-value, {order} }}"),
        "{ outcome: dead_lettered, reason: drift, error: unknown_subject }",
    );
    passes(
        "given: { schema: 77, hex: \"00\" }",
        "{ outcome: retried, reason: unknown_schema, headers: { driftgate.schema.id: \"77\" } }",
    );
    passes(
        "given: { framed_hex: \"00 0000004d 00\" }",
        "{ outcome: retried, reason: unknown_schema }",
    );
    passes(
        "given: { raw: '{}' }",
        "{ outcome: dead_lettered, reason: unframed_json, topic: orders.gate.dlq }",
    );
    passes(
        "given: { raw: '{}', topic: returns }",
        "{ topic: returns.gate.dlq }",
    );
    passes(
        "given: { value: null, key: { value: k } }",
        "{ output: null, key: { value: k } }",
    );
    passes(
        "given: { value: null, key: k }",
        "{ reason: unframed, path: key }",
    );
}

/// By the topic that a case is given, and by its headers.
#[test]
fn cases_say_what_becomes_of_fields_of_others() {
    let run = |ownership: &str, given: &str, expect: &str| {
        let bed = bed(&case(given, expect));
        let file = |name: &str| bed.path().join(name);
        let config = CONFIG.replace(
            "    transform:",
            &format!("    ownership: {{ {ownership} }}\n    transform:"),
        );
        let config = config.replace(
            "orders-value.avsc\n",
            "orders-value.avsc\n      rules: schemas/orders.rules.yaml\n",
        );
        std::fs::write(file("driftgate.yaml"), config).unwrap();
        let rules = "fields:\n  note: { owner: shop }\n";
        std::fs::write(file("schemas/orders.rules.yaml"), rules).unwrap();
        let (out, err, code) = told(&driftgate(bed.path(), &["test"]));
        assert_eq!(code, Some(0), "{out}{err}");
    };
    let order = "{ customer_id: c, currency: EUR, amount: 1, at: 0, note: hello }";
    let given = |more: &str| {
        format!(
            "given: {{ value: {order}{more} }}\n    lookups: {{ /customers/c?full=1: {{ name: Ada }} }}"
        )
    };
    let (shop, returns) = (given(""), given(", topic: returns"));
    let topics = "names: { orders: shop }";
    run(
        topics,
        &shop,
        "{ outcome: emitted, no_headers: [driftgate.foreign] }",
    );
    run(
        topics,
        &returns,
        "{ outcome: dead_lettered, reason: foreign_field, path: note, error: '`shop` owns this field, and the event is from `returns`' }",
    );
    let ignored = OUTPUT.replace("c 7", "c").replace("1.5,", "1,");
    let ignored = ignored.replace("1777622400000", "0");
    run(
        &format!("{topics}, then: ignore"),
        &returns,
        &format!("{{ output: {ignored} }}"),
    );
    run(
        &format!("{topics}, then: flag"),
        &returns,
        &format!(
            "{{ output: {}, headers: {{ driftgate.foreign: note }} }}",
            ignored.replace("note: null", "note: hello")
        ),
    );
    let header = "by: { header: x-system }";
    run(
        header,
        &given(", headers: { x-system: shop }"),
        "{ outcome: emitted }",
    );
    run(
        header,
        &shop,
        "{ reason: foreign_field, error: has no header }",
    );
}

#[test]
fn a_lookup_without_an_answer_fails_the_case_whatever_is_expected() {
    let given = "given: { value: { customer_id: c, currency: EUR, amount: 1, at: 0 } }";
    let says = "lookups: expected an answer for http://crm/customers/c?full=1, found nothing";
    fails(given, "{ outcome: retried }", &[says]);
    let bed = bed(&case(given, "{ outcome: filtered }"));
    let before = std::fs::read(bed.path().join("orders.test.yaml")).unwrap();
    let (out, _, code) = told(&driftgate(bed.path(), &["test", "--update"]));
    assert_eq!(code, Some(1), "{out}");
    assert_eq!(
        std::fs::read(bed.path().join("orders.test.yaml")).unwrap(),
        before
    );
}

#[test]
fn what_is_written_wrongly_is_told_with_its_place() {
    let good = "{ outcome: filtered }";
    refused(
        "given: { value: { customer_id: c, currency: 7, amount: 1, at: 0 } }",
        good,
        &[
            "orders.test.yaml:3:49: currency: expected string, found a number",
            "3 | given:",
            "^",
        ],
    );
    refused(
        "given: { schema: nowhere, raw: x }",
        good,
        &["`schema` says nothing beside `raw`"],
    );
    refused(
        "given: { schema: nowhere, value: 1 }",
        good,
        &["orders.test.yaml:3:22:", "a subject is the file"],
    );
    refused(
        "given: { schema: gone.avsc, value: 1 }",
        good,
        &["gone.avsc"],
    );
    refused(
        "given: { schema: 9, value: 1 }",
        good,
        &["`schemas` has no id 9"],
    );
    refused(
        "given: { topic: order, raw: x }",
        good,
        &[
            "orders does not read the topic order",
            "did you mean orders?",
        ],
    );
    refused(
        "given: { key: { value: 1 }, raw: x }",
        good,
        &["expected string"],
    );
    refused(
        "given: { raw: x }",
        "{ reason: malformed_dat }",
        &[
            "orders.test.yaml:4:23: there is no reason `malformed_dat`",
            "did you mean `malformed_data`?",
        ],
    );
    refused("given: { raw: x }", "{}", &["this case expects nothing"]);
    refused(
        "given: { raw: x }",
        "{ outcom: filtered }",
        &["did you mean `outcome`?"],
    );
}

#[test]
fn faults_around_the_cases_are_told() {
    let check = |cases: &str, says: &str| {
        let bed = bed(cases);
        let (out, err, code) = told(&driftgate(bed.path(), &["test"]));
        assert_eq!(code, Some(2), "{out}{err}");
        assert!(err.contains(says), "{says:?} is not in\n{err}");
    };
    let one = case("given: { raw: x }", "{ reason: unframed }");
    check(
        "cases: []\n",
        "orders.test.yaml:1:8: there is no case in this file",
    );
    check("", "the file holds nothing");
    check(
        &format!("pipeline: ordrs\n{one}"),
        "driftgate.yaml has no pipeline `ordrs`",
    );
    check(&format!("pipeline: ordrs\n{one}"), "did you mean `orders`?");
    check(&format!("config: other.yaml\n{one}"), "other.yaml");
    check(
        &format!("env: {{ PROVENANCE: nonsense }}\n{one}"),
        "driftgate.yaml:6:17: `provenance`: expected ledger, header or none",
    );
    check(
        &format!("schemas: {{ 7: gone.avsc }}\n{one}"),
        "orders.test.yaml:1:15:",
    );
    // A fault does not hide the other cases.
    let bed = bed(&one);
    std::fs::write(bed.path().join("bad.test.yaml"), "cases: []\n").unwrap();
    let (out, _, code) = told(&driftgate(bed.path(), &["test"]));
    assert_eq!(code, Some(2));
    assert!(
        out.contains("1 case in 1 file: 1 passed, 1 fault\n"),
        "{out}"
    );
}

#[test]
fn the_environment_of_a_file_stands_in_front_of_the_real_one() {
    let text = format!(
        "env: {{ PROVENANCE: header }}\n{}",
        case(GOOD, "{ headers: { driftgate.source: orders-0@0 } }")
    );
    let bed = bed(&text);
    assert_eq!(driftgate(bed.path(), &["test"]).status.code(), Some(0));
}

#[test]
fn paths_name_files_and_folders_and_what_matches_nothing_is_a_fault() {
    let one = case("given: { raw: x }", "{ reason: unframed }");
    let bed = bed(&one);
    let path = bed.path();
    let check = |args: &[&str], code: i32, says: &str| {
        let (out, err, found) = told(&driftgate(path, args));
        assert_eq!(found, Some(code), "{args:?}\n{out}{err}");
        let text = format!("{out}{err}");
        assert!(text.contains(says), "{args:?}: {says:?} is not in\n{text}");
    };
    std::fs::create_dir(path.join("empty")).unwrap();
    std::fs::create_dir(path.join(".hidden")).unwrap();
    std::fs::write(path.join(".hidden/x.test.yaml"), "nonsense").unwrap();
    std::fs::copy(path.join("orders.test.yaml"), path.join("plain.yaml")).unwrap();
    check(&["test"], 0, "1 case in 1 file");
    check(&["test", ".", "orders.test.yaml"], 0, "1 case in 1 file");
    check(
        &["test", "plain.yaml", "orders.test.yaml"],
        0,
        "2 cases in 2 files",
    );
    check(
        &["test", "empty"],
        2,
        "there is no case file below this folder",
    );
    check(
        &["test", "nowhere"],
        2,
        "nowhere: there is no such file or folder",
    );
    check(&["test", "--filter", "a cas"], 0, "1 case in 1 file");
    check(
        &["test", "--filter", "z"],
        2,
        "no case has \"z\" in its name",
    );
    check(&["test", "--timeout", "soon"], 2, "--timeout");
    check(
        &["test", "--timeout", "0s"],
        2,
        "no case can pass in no time",
    );
    check(&["test", "--junit", "/dev/null/x.xml"], 3, "/dev/null");
}

#[test]
fn a_subject_is_a_file_of_the_folder_schemas() {
    let one = case("given: { raw: x }", "{ reason: unframed }");
    let bed = bed(&one);
    let config = CONFIG.replace(
        "      schema: schemas/orders-value.avsc",
        "      subject: orders-value",
    );
    std::fs::write(bed.path().join("driftgate.yaml"), config).unwrap();
    let (out, err, code) = told(&driftgate(bed.path(), &["test"]));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        err.contains("rules that the registry keeps with it are not run"),
        "{err}"
    );
    let config = CONFIG.replace(
        "      schema: schemas/orders-value.avsc",
        "      subject: lost-value",
    );
    std::fs::write(bed.path().join("driftgate.yaml"), config).unwrap();
    let (out, err, code) = told(&driftgate(bed.path(), &["test"]));
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("schemas/lost-value.avsc"), "{err}");
}

#[test]
fn update_writes_what_was_found_and_nothing_else() {
    let text = format!(
        "# head\ncases:\n  # about it\n  - name: a case # one\n    {GOOD}\n    expect: # why\n      topic: orders.clean # right\n      output: # all of it\n        customer_id: \"c 7\" # stays in quotes\n        currency: USD # wrong\n        # in between\n        amount: 1.5 # as written\n        at: 1777622400000\n        customer: {{name:   Bob}} # odd blanks\n      headers: {{ trace: t-2 }}\n  # behind\n  - name: another\n    given: {{ raw: x }}\n    expect:\n      output: {{ a: 1 }}\n"
    );
    let bed = bed(&text);
    let file = bed.path().join("orders.test.yaml");
    let (out, err, code) = told(&driftgate(bed.path(), &["test", "--update"]));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        out.contains("2 cases in 1 file: 0 passed, 2 updated"),
        "{out}"
    );
    let after = std::fs::read_to_string(&file).unwrap();
    let expect = text
        .replace("currency: USD # wrong", "currency: EUR # wrong")
        .replace("{name:   Bob}", "{name:   Ada}")
        .replace("t-2", "t-1")
        .replace(
            "      output: { a: 1 }\n",
            "      outcome: dead_lettered\n      reason: unframed\n",
        );
    assert_eq!(after, expect);
    for args in [&["test"][..], &["test", "--update"]] {
        let (out, _, code) = told(&driftgate(bed.path(), args));
        assert_eq!(code, Some(0), "{out}");
        assert!(out.contains("2 cases in 1 file: 2 passed\n"), "{out}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), after);
    }
}

#[test]
fn results_for_programs_are_json_and_junit() {
    let mut text = case(GOOD, "{ topic: \"orders\" }");
    text.push_str("  - { name: \"<b> & 'c'\", given: { raw: x }, expect: { reason: unframed } }\n");
    text.push_str("  - { name: broken, given: { value: 1 }, expect: { reason: unframed } }\n");
    let bed = bed(&text);
    let args = ["test", "--output", "json", "--junit", "out/junit.xml"];
    let (out, err, code) = told(&driftgate(bed.path(), &args));
    assert_eq!(code, Some(2), "{out}{err}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let summary = serde_json::json!({"cases": 3, "passed": 1, "failed": 1, "updated": 0, "broken": 1, "faults": 1});
    assert_eq!(report["summary"], summary);
    let failed = &report["files"][0]["cases"][0];
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["differences"][0]["path"], "topic");
    assert_eq!(failed["differences"][0]["expected"]["json"], "orders");
    assert_eq!(failed["differences"][0]["found"]["json"], "orders.clean");
    assert_eq!(report["faults"][0]["file"], "orders.test.yaml");
    let xml = std::fs::read_to_string(bed.path().join("out/junit.xml")).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    assert_eq!((junit.tests, junit.failures, junit.errors), (4, 1, 2));
    let suite = &junit.test_suites[0];
    assert_eq!(suite.name.as_str(), "orders.test.yaml");
    let names: Vec<_> = suite
        .test_cases
        .iter()
        .map(|case| case.name.as_str())
        .collect();
    assert_eq!(names[..3], ["a case", "<b> & 'c'", "broken"]);
    assert!(xml.contains("topic: expected"), "{xml}");
}

#[test]
fn a_case_that_takes_too_long_is_told_and_the_next_one_runs() {
    let notes = "x".repeat(3_000_000);
    let text = format!(
        "cases:\n  - name: long\n    given: {{ value: {{ customer_id: c, currency: TEST, amount: 1, at: 0, note: {notes} }} }}\n    expect: {{ outcome: filtered }}\n  - name: short\n    given: {{ raw: x }}\n    expect: {{ reason: unframed }}\n"
    );
    let bed = bed(&text);
    let slow = "note.orValue('').upperAscii().lowerAscii().upperAscii() == ''";
    let config = CONFIG.replace("currency != 'TEST'", slow);
    std::fs::write(bed.path().join("driftgate.yaml"), config).unwrap();
    let (out, err, code) = told(&driftgate(bed.path(), &["test", "--timeout", "1ms"]));
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(
        out.contains("outcome: expected an end, found no end within 1ms"),
        "{out}"
    );
    assert!(out.contains("2 cases in 1 file"), "{out}");
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

#[test]
fn the_examples_pass() {
    let (out, err, code) = told(&driftgate(&examples(), &["test", "."]));
    assert_eq!(code, Some(0), "{out}{err}");
    for file in [
        "flights/driftgate.test.yaml",
        "numeric-status/put-right.test.yaml",
    ] {
        assert!(out.contains(file), "{out}");
    }
}

#[test]
fn what_init_writes_passes() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(driftgate(folder.path(), &["init"]).status.code(), Some(0));
    let (out, err, code) = told(&driftgate(folder.path(), &["test"]));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("4 cases in 1 file: 4 passed"), "{out}");
}

#[test]
fn what_the_documentation_shows_passes() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(driftgate(folder.path(), &["init"]).status.code(), Some(0));
    let page = include_str!("../../docs/testing.md");
    let example = page.split("```yaml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    std::fs::write(folder.path().join("page.test.yaml"), example).unwrap();
    let (out, err, code) = told(&driftgate(folder.path(), &["test", "page.test.yaml"]));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("4 cases in 1 file: 4 passed"), "{out}");
}
