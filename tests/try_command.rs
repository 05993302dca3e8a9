//! `driftgate try`, as a person meets it: what is printed, where a fault is marked, and exit codes. Runs the binary.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const ORDER: &str = r#"{"order_id":"o-1","customer_id":"c-7","status":"Paid","quantity":2,"amount":"19.90","currency":"EUR","updated_at":0}"#;

/// What `init` writes, and a record of its contract.
fn bed() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (_, err, code) = driftgate(folder.path(), &["init"], "");
    assert_eq!(code, Some(0), "{err}");
    std::fs::write(folder.path().join("order.json"), ORDER).unwrap();
    folder
}

fn driftgate(folder: &Path, args: &[&str], stdin: &str) -> (String, String, Option<i32>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_driftgate"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone before it is written to.
    drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

#[track_caller]
fn check(args: &[&str], stdin: &str, code: i32, says: &[&str]) {
    let folder = bed();
    let (out, err, found) = driftgate(folder.path(), args, stdin);
    assert_eq!(found, Some(code), "{args:?}\n{out}{err}");
    let text = if code == 0 { &out } else { &err };
    for part in says {
        assert!(
            text.contains(part),
            "{args:?}: {part:?} is not in\n{out}{err}"
        );
    }
}

#[test]
fn a_value_is_printed_with_its_type() {
    let file = ["--record", "order.json"];
    let with = |expr: &'static str| [&["try", expr][..], &file].concat();
    check(
        &with("currency + '!'"),
        "",
        0,
        &["type   string\nvalue  \"EUR!\"\n"],
    );
    check(
        &with("amount"),
        "",
        0,
        &["type   decimal(12,2)\nvalue  \"19.90\"\n"],
    );
    check(
        &with("quantity > 1 && currency == 'EUR'"),
        "",
        0,
        &["type   boolean\nvalue  true\n"],
    );
    check(
        &["try", "quantity", "--record", "-"],
        ORDER,
        0,
        &["type   int\nvalue  2\n"],
    );
    let schema = ["--schema", "schemas/orders-value.avsc"];
    check(
        &[&with("quantity")[..], &schema].concat(),
        "",
        0,
        &["value  2"],
    );
    let named = [
        "-c",
        "driftgate.yaml",
        "--pipeline",
        "clean-orders",
        "--output",
        "json",
    ];
    let json = "{\"type\":\"int\",\"value\":2}\n";
    check(&[&with("quantity")[..], &named].concat(), "", 0, &[json]);
}

#[test]
fn without_a_record_a_constant_has_a_value_and_a_field_a_type() {
    check(&["try", "1 + 2"], "", 0, &["type   long\nvalue  3\n"]);
    check(
        &["try", "quantity"],
        "",
        0,
        &["type   int\nvalue  depends on the record"],
    );
    check(
        &["try", "quantity", "--output", "json"],
        "",
        0,
        &["{\"type\":\"int\"}\n"],
    );
    let folder = tempfile::tempdir().unwrap();
    let (out, err, code) = driftgate(folder.path(), &["try", "'a' == 'b'"], "");
    assert_eq!(
        (out.as_str(), code),
        ("type   boolean\nvalue  false\n", Some(0)),
        "{err}"
    );
}

#[test]
fn what_is_wrong_is_marked() {
    let file = ["--record", "order.json"];
    let with = |expr: &'static str| [&["try", expr][..], &file].concat();
    check(
        &with("quantity > 1 && curency == 'EUR'"),
        "",
        2,
        &[
            "expression:1:17: ",
            " 1 | quantity > 1 && curency == 'EUR'\n   |                 ^^^^^^^",
            "did you mean",
        ],
    );
    check(&with("quantity +"), "", 2, &["expression:1:"]);
    check(&with("quantity == 'x'"), "", 2, &["expression:1:"]);
    check(
        &with("1 / (quantity - 2)"),
        "",
        1,
        &["transform_failed: ", "zero"],
    );
    check(
        &["try", "quantity", "--record", "-"],
        "{}",
        2,
        &["as JSON: order_id: is missing"],
    );
    check(
        &["try", "quantity", "--record", "-"],
        "zz",
        2,
        &["neither JSON nor Avro"],
    );
    check(
        &["try", "quantity", "--record", "gone.json"],
        "",
        3,
        &["gone.json"],
    );
    check(
        &[&with("quantity")[..], &["--pipeline", "x"]].concat(),
        "",
        2,
        &["there is no pipeline x; the configuration has clean-orders"],
    );
    check(
        &[&with("quantity")[..], &["--schema", "gone.avsc"]].concat(),
        "",
        2,
        &["gone.avsc"],
    );
    check(
        &["try", "1", "--schema", "a", "-c", "b"],
        "",
        2,
        &["cannot be used with"],
    );
    let folder = tempfile::tempdir().unwrap();
    let (_, err, code) = driftgate(folder.path(), &["try", "a", "--record", "-"], "{}");
    assert_eq!(code, Some(2));
    assert!(err.contains("--schema or -c is needed"), "{err}");
}

#[test]
fn the_record_around_the_event_and_the_secrets_can_be_named() {
    let around = [
        "--key",
        "k-1",
        "--header",
        "tenant=acme",
        "--header",
        "tenant=b=c",
    ];
    let with = |expr: &'static str| [&["try", expr][..], &around].concat();
    check(
        &with("header('tenant')"),
        "",
        0,
        &["type   nullable string\nvalue  \"b=c\""],
    );
    check(
        &with("header('gone').orValue('none')"),
        "",
        0,
        &["value  \"none\""],
    );
    check(&with("keyText()"), "", 0, &["value  \"k-1\""]);
    check(&["try", "keyText()"], "", 0, &["value  null"]);
    check(&with("topic()"), "", 0, &["value  \"orders\""]);
    check(
        &["try", "topic()", "--topic", "other"],
        "",
        0,
        &["value  \"other\""],
    );
    check(&["try", "1", "--header", "tenant"], "", 2, &["NAME=TEXT"]);
    let folder = bed();
    let path = folder.path().join("driftgate.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    let config = config.replace(
        "    transform:\n",
        "    secrets: { salt: pepper }\n    transform:\n",
    );
    std::fs::write(path, config).unwrap();
    let (out, err, code) = driftgate(folder.path(), &["try", "hmac('u-1', 'salt')"], "");
    assert_eq!(code, Some(0), "{err}");
    let digest = "337504dab239fe5ff5d3b8f1286222185d9013cd0f4845660a1fc50e50a874a6";
    assert!(out.contains(digest), "{out}");
    let (_, err, code) = driftgate(folder.path(), &["try", "hmac('u-1', 'slat')"], "");
    assert_eq!(code, Some(2), "{err}");
    assert!(!err.contains("pepper"), "{err}");
}

#[test]
fn an_expression_sees_what_the_steps_before_it_leave() {
    let after = |count: &'static str| ["--record", "order.json", "--after", count];
    let with = |expr: &'static str, count| [&["try", expr][..], &after(count)].concat();
    check(
        &with("channel", "2"),
        "",
        0,
        &["type   string\nvalue  \"web\"\n"],
    );
    check(&with("channel", "1"), "", 2, &["expression:1:1: "]);
    check(&with("channel + amount", "2"), "", 2, &["expression:1:"]);
    check(
        &["try", "channel", "--after", "2"],
        "",
        0,
        &["type   string\nvalue  depends on the record"],
    );
    check(
        &[&["try"][..], &after("2")].concat(),
        "",
        0,
        &["type   record ", "\"channel\":\"web\""],
    );
    check(&["try", "--after", "2"], "", 0, &["depends on the record"]);
    check(
        &[&["try"][..], &after("99")].concat(),
        "",
        2,
        &["clean-orders has 5 steps"],
    );
    check(
        &[
            "try",
            "1",
            "--after",
            "1",
            "--schema",
            "schemas/orders-value.avsc",
        ],
        "",
        2,
        &["cannot be used with"],
    );
    check(&["try"], "", 2, &["required"]);
    let folder = bed();
    let test = ORDER.replace("EUR", "TEST");
    std::fs::write(folder.path().join("order.json"), test).unwrap();
    let (out, err, code) = driftgate(folder.path(), &with("1", "1"), "");
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(err.contains("a filter among the steps says no"), "{err}");
    let path = folder.path().join("driftgate.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    let config = config.replace(
        "      - drop: [tags]\n",
        "      - explode: { field: tags, into: tag }\n",
    );
    std::fs::write(path, config).unwrap();
    let (_, err, code) = driftgate(folder.path(), &with("tag", "5"), "");
    assert_eq!(code, Some(2), "{err}");
    assert!(
        err.contains("step 5 (explode) makes several events of one"),
        "{err}"
    );
}
