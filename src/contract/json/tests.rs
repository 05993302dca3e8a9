use serde_json::json;

use super::*;

fn schema(text: &str) -> Schema {
    Schema::parse(text, &[]).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn compare(
    of: &str,
    input: &str,
    found: Result<Value, RecordError>,
    expect: Result<Value, (&str, &str)>,
) {
    match (found, expect) {
        (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{of} {input}"),
        (Err(e), Err((path, part))) => {
            assert_eq!(e.path, path, "{of} {input}: {e}");
            assert!(e.message.contains(part), "{of} {input}: {e}");
        }
        (found, expect) => panic!("{of} {input}: {found:?}, expected {expect:?}"),
    }
}

fn check(of: &str, text: &str, expect: Result<Value, (&str, &str)>) {
    let schema = schema(of);
    compare(
        of,
        text,
        FromJson::default().text(&schema, schema.root, text),
        expect.clone(),
    );
    if let Ok(json) = serde_json::from_str(text) {
        compare(of, text, from_json(&schema, schema.root, &json), expect);
    }
}

fn check_cell(of: &str, cell: &str, expect: Result<Value, (&str, &str)>) {
    let schema = schema(of);
    compare(of, cell, from_text(&schema, schema.root, cell), expect);
}

fn logical(base: &str, word: &str) -> String {
    format!(r#"{{"type":"{base}","logicalType":"{word}"}}"#)
}

const DECIMAL: &str = r#"{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}"#;
const RECORD: &str = r#"{"type":"record","name":"R","fields":[{"name":"price","type":"double"},
    {"name":"note","type":["null","string"],"default":null},{"name":"tags","type":{"type":"array","items":"string"},"default":["a"]}]}"#;

fn union(branch: usize, value: Value) -> Value {
    Value::Union(branch, Box::new(value))
}

#[test]
fn types_and_ranges_are_strict() {
    check("\"int\"", "2147483647", Ok(Value::Int(i32::MAX)));
    check("\"int\"", "2147483648", Err(("", "32 bits")));
    check("\"int\"", "1.0", Err(("", "whole number")));
    check(
        "\"int\"",
        "\"1\"",
        Err(("", "expected int, found a string")),
    );
    check("\"long\"", "9223372036854775807", Ok(Value::Long(i64::MAX)));
    check(
        "\"long\"",
        "9223372036854775808",
        Err(("", "within the range of long")),
    );
    check(
        "\"long\"",
        "true",
        Err(("", "expected long, found a boolean")),
    );
    check("\"double\"", "7", Ok(Value::Double(7.0)));
    check(
        "\"double\"",
        "\"-Infinity\"",
        Ok(Value::Double(f64::NEG_INFINITY)),
    );
    check("\"double\"", "\"inf\"", Err(("", "found a string")));
    check("\"float\"", "1e300", Err(("", "within the range of float")));
    check(
        "\"boolean\"",
        "0",
        Err(("", "expected boolean, found a number")),
    );
    check(
        "\"string\"",
        "7",
        Err(("", "expected string, found a number")),
    );
    check("\"null\"", "null", Ok(Value::Null));
    check("\"bytes\"", "\"/w==\"", Ok(Value::Bytes(vec![255])));
    check("\"bytes\"", "\"é\"", Err(("", "base64")));
    check(
        r#"{"type":"fixed","name":"F","size":1}"#,
        "\"AAA=\"",
        Err(("", "expected 1 bytes, found 2")),
    );
    let symbols = r#"{"type":"enum","name":"E","symbols":["A","B"]}"#;
    check(symbols, "\"B\"", Ok(Value::Enum(1)));
    check(symbols, "\"C\"", Err(("", "symbols of E: A, B")));
    check("\"int\"", "{", Err(("", "expected JSON: ")));
    check(
        r#"{"type":"array","items":"int"}"#,
        "[1,null]",
        Err(("[1]", "found null")),
    );
}

#[test]
fn fields_are_accounted_for() {
    let full = |note| {
        let tags = Value::Array(vec![Value::String("a".into())]);
        Value::Record(vec![Value::Double(1.5), note, tags])
    };
    check(RECORD, r#"{"price":1.5}"#, Ok(full(union(0, Value::Null))));
    check(
        RECORD,
        r#"{"note":"x","price":1.5}"#,
        Ok(full(union(1, Value::String("x".into())))),
    );
    check(RECORD, "{}", Err(("price", "is missing")));
    check(
        RECORD,
        r#"{"price":1,"nota":"x"}"#,
        Err(("", "R has no field \"nota\"; did you mean \"note\"?")),
    );
    check(
        RECORD,
        r#"{"price":"1"}"#,
        Err(("price", "expected double, found a string")),
    );
    check(
        RECORD,
        r#"{"price":1,"note":7}"#,
        Err(("note", "expected string, found a number")),
    );
    check(
        RECORD,
        r#"{"price":1,"tags":["a",1]}"#,
        Err(("tags[1]", "expected string")),
    );
    let schema = schema(RECORD);
    let allow = FromJson {
        unknown_fields: Unknown::Allow,
    };
    let json = json!({"price": 1.5, "other": {"deep": 1}});
    assert_eq!(
        allow.value(&schema, schema.root, &json),
        Ok(full(union(0, Value::Null)))
    );
    let twice = allow
        .text(&schema, schema.root, r#"{"price":1,"price":2}"#)
        .expect_err("refused");
    assert_eq!(
        (twice.path.as_str(), twice.message.as_str()),
        ("price", "stands twice")
    );
}

#[test]
fn unions_take_the_first_branch_that_fits() {
    let of = r#"["null","int","double","string",{"type":"map","values":"int"}]"#;
    check(of, "null", Ok(union(0, Value::Null)));
    check(of, "7", Ok(union(1, Value::Int(7))));
    check(of, "3000000000", Ok(union(2, Value::Double(3e9))));
    check(of, "\"x\"", Ok(union(3, Value::String("x".into()))));
    check(of, r#"{"double":7}"#, Ok(union(2, Value::Double(7.0))));
    check(of, r#"{"int":7}"#, Ok(union(1, Value::Int(7))));
    check(
        of,
        r#"{"k":7}"#,
        Ok(union(4, Value::Map(vec![("k".into(), Value::Int(7))]))),
    );
    // The wrapped form is only taken if it fits.
    let entry = Value::Map(vec![("string".into(), Value::Int(7))]);
    check(of, r#"{"string":7}"#, Ok(union(4, entry)));
    check(of, "true", Err(("", "found a boolean")));
    let named = r#"["null",{"type":"record","name":"a.R","fields":[{"name":"x","type":"int"}]}]"#;
    let value = union(1, Value::Record(vec![Value::Int(1)]));
    check(named, r#"{"x":1}"#, Ok(value.clone()));
    check(named, r#"{"a.R":{"x":1}}"#, Ok(value));
    check(named, r#"{"x":"1"}"#, Err(("x", "expected int")));
}

#[test]
fn trying_branches_of_nested_unions_ends() {
    let of = r#"{"type":"record","name":"A","fields":[{"name":"n","type":["null","A",
        {"type":"record","name":"B","fields":[{"name":"n","type":["null","A","B","int"]}]}]}]}"#;
    let deep = format!("{}\"x\"{}", r#"{"n":"#.repeat(60), "}".repeat(60));
    let schema = schema(of);
    let error = FromJson::default()
        .text(&schema, schema.root, &deep)
        .expect_err("refused");
    assert!(error.message.contains("too many tries"), "{error}");
}

#[test]
fn decimals_are_exact() {
    let unscaled = |n: i64| {
        let text = crate::contract::decimal::from_text(&n.to_string(), 20, 0);
        Ok(Value::Bytes(text.expect("number")))
    };
    check(DECIMAL, "\"12.5\"", unscaled(1250));
    check(DECIMAL, "12.5", unscaled(1250));
    check(DECIMAL, "-7", unscaled(-700));
    check(DECIMAL, "1e2", unscaled(10_000));
    check(
        DECIMAL,
        "12.345",
        Err(("", "at most 2 digits after the point")),
    );
    check(DECIMAL, "\"1,5\"", Err(("", "decimal number")));
    check(
        DECIMAL,
        "\"1234567890123456789.00\"",
        Err(("", "at most 20 digits")),
    );
    // A double would have made 90071992547409.93 of it, and of the next one 0.1.
    let schema = schema(DECIMAL);
    let read = |text: &str| FromJson::default().text(&schema, schema.root, text);
    compare(
        DECIMAL,
        "",
        read("90071992547409931.25"),
        unscaled(9_007_199_254_740_993_125),
    );
    assert!(read("0.1000000000000000000001").is_err());
    let json = serde_json::from_str("90071992547409.9312").expect("json");
    let error = from_json(&schema, schema.root, &json).expect_err("refused");
    assert!(error.message.contains("more than 15 digits"), "{error}");
    let fixed =
        r#"{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":9,"scale":1}"#;
    check(fixed, "-0.1", Ok(Value::Fixed(vec![255; 4])));
}

#[test]
fn dates_and_times_are_text_or_integers() {
    let day = 19_844;
    let at = 1_714_551_300;
    check(
        &logical("int", "date"),
        "\"2024-05-01\"",
        Ok(Value::Int(day)),
    );
    check(
        &logical("int", "date"),
        "\"1969-12-31\"",
        Ok(Value::Int(-1)),
    );
    check(&logical("int", "date"), "7", Ok(Value::Int(7)));
    check(
        &logical("int", "date"),
        "\"2024-02-30\"",
        Err(("", "expected a date")),
    );
    check(
        &logical("int", "date"),
        "\"2024-05-01T00:00:00\"",
        Err(("", "expected a date")),
    );
    check(
        &logical("int", "time-millis"),
        "\"08:15:00.123\"",
        Ok(Value::Int(29_700_123)),
    );
    check(
        &logical("int", "time-millis"),
        "\"08:15:00.1234\"",
        Err(("", "at most 3 digits")),
    );
    check(
        &logical("long", "time-micros"),
        "\"08:15:00.000001\"",
        Ok(Value::Long(29_700_000_001)),
    );
    check(
        &logical("long", "time-micros"),
        "\"08:15:00Z\"",
        Err(("", "expected a time")),
    );
    let millis = logical("long", "timestamp-millis");
    check(
        &millis,
        "\"2024-05-01T08:15:00Z\"",
        Ok(Value::Long(at * 1000)),
    );
    check(
        &millis,
        "\"2024-05-01T10:15:00+02:00\"",
        Ok(Value::Long(at * 1000)),
    );
    check(
        &millis,
        "\"2024-05-01T08:15:00\"",
        Err(("", "expected a timestamp")),
    );
    check(
        &millis,
        "\"2024-05-01T08:15:00.0001Z\"",
        Err(("", "at most 3 digits")),
    );
    check(
        &logical("long", "timestamp-micros"),
        "\"2024-05-01T08:15:00Z\"",
        Ok(Value::Long(at * 1_000_000)),
    );
    check(
        &logical("long", "timestamp-nanos"),
        "\"2024-05-01T08:15:00.000000001Z\"",
        Ok(Value::Long(at * 1_000_000_000 + 1)),
    );
    check(
        &logical("long", "timestamp-nanos"),
        "\"2924-05-01T08:15:00Z\"",
        Err(("", "fits 64 bits")),
    );
    check(
        &millis,
        "\"9999-12-31T23:59:59.999Z\"",
        Ok(Value::Long(253_402_300_799_999)),
    );
    check(
        &logical("int", "date"),
        "\"9999-12-31\"",
        Ok(Value::Int(2_932_896)),
    );
    let local = logical("long", "local-timestamp-millis");
    check(
        &local,
        "\"9999-12-31T23:59:59\"",
        Ok(Value::Long(253_402_300_799_000)),
    );
    check(
        &local,
        "\"2024-05-01T08:15:00\"",
        Ok(Value::Long(at * 1000)),
    );
    check(
        &local,
        "\"2024-05-01T08:15:00Z\"",
        Err(("", "without a zone")),
    );
    check(
        &local,
        "\"2024-05-01T08:15:00+02:00\"",
        Err(("", "without a zone")),
    );
    // Without a logical type text is not a number.
    check(
        "\"long\"",
        "\"2024-05-01T08:15:00Z\"",
        Err(("", "expected long, found a string")),
    );
}

#[test]
fn uuids_and_durations() {
    let id = "00112233-4455-6677-8899-aabbccddeeff";
    let text = format!("\"{id}\"");
    check(
        &logical("string", "uuid"),
        &text,
        Ok(Value::String(id.into())),
    );
    check(
        &logical("string", "uuid"),
        "\"00112233445566778899aabbccddeeff\"",
        Err(("", "UUID")),
    );
    let fixed = r#"{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}"#;
    let bytes = (0..16).map(|i| i * 17).collect();
    check(fixed, &text, Ok(Value::Fixed(bytes)));
    let duration = r#"{"type":"fixed","name":"D","size":12,"logicalType":"duration"}"#;
    let value = Value::Fixed(vec![1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
    check(duration, r#"{"months":1,"days":2,"millis":3}"#, Ok(value));
    check(
        duration,
        r#"{"months":1,"days":2}"#,
        Err(("", "\"millis\"")),
    );
    check(
        duration,
        r#"{"months":-1,"days":2,"millis":3}"#,
        Err(("", "\"months\"")),
    );
}

#[test]
fn values_are_written_readably() {
    let write = |of: &str, value: Value| {
        let schema = schema(of);
        to_json(&schema, schema.root, &value)
    };
    assert_eq!(write(DECIMAL, Value::Bytes(vec![4, 226])), json!("12.50"));
    assert_eq!(
        write(&logical("int", "date"), Value::Int(19_844)),
        json!("2024-05-01")
    );
    assert_eq!(
        write(&logical("int", "date"), Value::Int(i32::MAX)),
        json!(i32::MAX)
    );
    assert_eq!(
        write(&logical("int", "time-millis"), Value::Int(29_700_000)),
        json!("08:15:00.000")
    );
    assert_eq!(
        write(&logical("int", "time-millis"), Value::Int(-1)),
        json!(-1)
    );
    let at = Value::Long(1_714_551_300_123);
    assert_eq!(
        write(&logical("long", "timestamp-millis"), at.clone()),
        json!("2024-05-01T08:15:00.123Z")
    );
    assert_eq!(
        write(&logical("long", "local-timestamp-millis"), at),
        json!("2024-05-01T08:15:00.123")
    );
    let end = 253_402_300_799_999;
    for (word, last, beyond) in [
        (
            "timestamp-millis",
            json!("9999-12-31T23:59:59.999Z"),
            json!(end + 1),
        ),
        (
            "local-timestamp-millis",
            json!("9999-12-31T23:59:59.999"),
            json!(end + 1),
        ),
    ] {
        assert_eq!(write(&logical("long", word), Value::Long(end)), last);
        assert_eq!(write(&logical("long", word), Value::Long(end + 1)), beyond);
    }
    assert_eq!(
        write(&logical("int", "date"), Value::Int(2_932_896)),
        json!("9999-12-31")
    );
    assert_eq!(write("\"float\"", Value::Float(0.1)), json!(0.1));
    assert_eq!(write("\"double\"", Value::Double(f64::NAN)), json!("NaN"));
    assert_eq!(write("\"bytes\"", Value::Bytes(vec![255])), json!("/w=="));
    assert_eq!(
        write(r#"["null","int"]"#, union(1, Value::Int(7))),
        json!(7)
    );
    let record = Value::Record(vec![
        Value::Double(1.0),
        union(0, Value::Null),
        Value::Array(vec![]),
    ]);
    assert_eq!(
        write(RECORD, record),
        json!({"price": 1.0, "note": null, "tags": []})
    );
}

#[test]
fn cells_are_text() {
    check_cell(r#"["null","int"]"#, "", Ok(union(0, Value::Null)));
    check_cell(r#"["null","int"]"#, "7", Ok(union(1, Value::Int(7))));
    check_cell(
        r#"["null","int"]"#,
        "x",
        Err(("", "expected a whole number")),
    );
    check_cell(r#"["null","string"]"#, "", Ok(union(0, Value::Null)));
    check_cell("\"string\"", "", Ok(Value::String(String::new())));
    check_cell("\"string\"", "007", Ok(Value::String("007".into())));
    check_cell("\"int\"", "", Err(("", "expected a whole number")));
    check_cell("\"int\"", " 7", Err(("", "expected a whole number")));
    check_cell("\"boolean\"", "true", Ok(Value::Boolean(true)));
    check_cell("\"boolean\"", "1", Err(("", "expected true or false")));
    check_cell("\"double\"", "1.5", Ok(Value::Double(1.5)));
    check_cell("\"double\"", "inf", Err(("", "expected a number")));
    check_cell("\"double\"", "NaN1", Err(("", "expected a number")));
    check_cell(DECIMAL, "12.50", Ok(Value::Bytes(vec![4, 226])));
    check_cell(
        &logical("int", "date"),
        "2024-05-01",
        Ok(Value::Int(19_844)),
    );
    check_cell(&logical("int", "date"), "19844", Ok(Value::Int(19_844)));
    check_cell(
        r#"["null","int","string"]"#,
        "x",
        Ok(union(2, Value::String("x".into()))),
    );
    check_cell(
        r#"{"type":"array","items":"int"}"#,
        "[1]",
        Ok(Value::Array(vec![Value::Int(1)])),
    );
    check_cell(
        r#"{"type":"array","items":"int"}"#,
        "1;2",
        Err(("", "array of int as JSON")),
    );
    check_cell(
        r#"{"type":"enum","name":"E","symbols":["A"]}"#,
        "A",
        Ok(Value::Enum(0)),
    );
}
