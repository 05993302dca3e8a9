use std::time::{Duration, Instant};

use super::*;

fn check(of: &str, bytes: &[u8], expect: Result<Value, (&str, usize, &str)>) {
    let schema = Schema::parse(of, &[]).expect("schema");
    match (decode(&schema, bytes, &Limits::default()), expect) {
        (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{of}"),
        (Err(e), Err((path, offset, part))) => {
            assert_eq!(e.reason, Reason::MalformedData);
            assert_eq!(
                (e.path.as_str(), e.byte_offset),
                (path, Some(offset)),
                "{e}"
            );
            assert!(e.message.contains(part), "{e}");
        }
        (found, expect) => panic!("{of} {bytes:?}: {found:?}, expected {expect:?}"),
    }
}

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"long"},
    {"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[{"name":"price","type":"double"},{"name":"sku","type":"string"}]}}}]}"#;

#[test]
fn scalars_are_strict() {
    check("\"null\"", &[], Ok(Value::Null));
    check("\"boolean\"", &[1], Ok(Value::Boolean(true)));
    check("\"boolean\"", &[2], Err(("", 0, "found 0x02")));
    check("\"boolean\"", &[], Err(("", 0, "found the end")));
    check(
        "\"int\"",
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        Ok(Value::Int(i32::MIN)),
    );
    check(
        "\"int\"",
        &[0xff, 0xff, 0xff, 0xff, 0x1f],
        Err(("", 0, "32 bits")),
    );
    check(
        "\"int\"",
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0],
        Err(("", 0, "at most 5 bytes")),
    );
    check(
        "\"long\"",
        &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
        Ok(Value::Long(i64::MIN)),
    );
    check(
        "\"long\"",
        &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
        Err(("", 0, "64 bits")),
    );
    check("\"long\"", &[0x80; 11], Err(("", 0, "64 bits")));
    check("\"long\"", &[0x80], Err(("", 0, "found the end")));
    check("\"float\"", &[0, 0, 128, 63], Ok(Value::Float(1.0)));
    check("\"double\"", &[0; 7], Err(("", 0, "of 8 bytes")));
    check("\"bytes\"", &[4, 1, 255], Ok(Value::Bytes(vec![1, 255])));
    check(
        "\"bytes\"",
        &[4, 1],
        Err(("", 0, "of 2 bytes, found the end after 1")),
    );
    check("\"bytes\"", &[1], Err(("", 0, "negative length")));
    check("\"string\"", &[4, 0x61, 0xff], Err(("", 2, "UTF-8")));
    check(
        "\"string\"",
        &[2, 0x61, 0],
        Err(("", 2, "1 trailing bytes")),
    );
    check(
        r#"{"type":"fixed","name":"F","size":2}"#,
        &[7],
        Err(("", 0, "of 2 bytes")),
    );
    let symbols = r#"{"type":"enum","name":"E","symbols":["A","B"]}"#;
    check(symbols, &[2], Ok(Value::Enum(1)));
    check(symbols, &[4], Err(("", 0, "2 symbols of E, found index 2")));
    check(symbols, &[1], Err(("", 0, "found index -1")));
    check(
        r#"["null","int"]"#,
        &[2, 4],
        Ok(Value::Union(1, Box::new(Value::Int(2)))),
    );
    check(
        r#"["null","int"]"#,
        &[4],
        Err(("", 0, "2 branches of the union, found index 2")),
    );
    check(r#"["null","int"]"#, &[1], Err(("", 0, "found index -1")));
}

#[test]
fn a_length_beyond_the_bytes_allocates_nothing() {
    // 2^62 bytes, and 2^40 items of at least one byte each.
    check(
        "\"bytes\"",
        &[128, 128, 128, 128, 128, 128, 128, 128, 128, 1],
        Err(("", 0, "found the end")),
    );
    check(
        r#"{"type":"array","items":"int"}"#,
        &[128, 128, 128, 128, 128, 64],
        Err(("", 0, "1000000 elements")),
    );
}

#[test]
fn blocks_may_state_their_size_and_must_keep_it() {
    let longs = r#"{"type":"array","items":"long"}"#;
    let value = Value::Array(vec![Value::Long(3), Value::Long(27)]);
    check(longs, &[4, 6, 0x36, 0], Ok(value.clone()));
    check(longs, &[3, 4, 6, 0x36, 0], Ok(value.clone()));
    check(longs, &[2, 6, 1, 2, 0x36, 0], Ok(value));
    check(longs, &[3, 2, 6, 0x36, 0], Err(("", 0, "to end at byte 3")));
    check(longs, &[3, 6, 6, 0x36, 0], Err(("", 0, "to end at byte 5")));
    check(longs, &[3, 8, 6, 0x36, 0], Err(("", 1, "found the end")));
    check(longs, &[3, 1, 6, 0x36, 0], Err(("", 1, "negative length")));
    check(longs, &[4, 6, 0x36], Err(("", 3, "expected a block count")));
    let min = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0];
    check(longs, &min, Err(("", 0, "1000000 elements")));
    let map = r#"{"type":"map","values":"int"}"#;
    let entry = |v| ("k".to_owned(), Value::Int(v));
    check(
        map,
        &[2, 2, 0x6b, 2, 1, 6, 2, 0x6b, 4, 0],
        Ok(Value::Map(vec![entry(1), entry(2)])),
    );
}

#[test]
fn errors_name_path_and_offset_and_no_payload() {
    let mut bytes = vec![2, 4];
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[2, b'a']);
    bytes.extend_from_slice(&[0; 3]);
    check(
        ORDER,
        &bytes,
        Err((
            "items[1].price",
            12,
            "expected a double of 8 bytes, found the end after 3",
        )),
    );
    let schema = Schema::parse(r#"{"type":"map","values":"boolean"}"#, &[]).expect("schema");
    let error =
        decode(&schema, b"\x02\x0csecret\x07\x00", &Limits::default()).expect_err("refused");
    assert_eq!(error.path, "[0]");
    assert!(!error.to_string().contains("secret"));
}

#[test]
fn ten_million_empty_records_fail_at_once() {
    let empty = r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#;
    let schema = Schema::parse(empty, &[]).expect("schema");
    // Zig-zag of 10,000,000 in one block.
    let bomb = [0x80, 0xda, 0xc4, 0x09, 0];
    let start = Instant::now();
    let error = decode(&schema, &bomb, &Limits::default()).expect_err("refused");
    assert!(start.elapsed() < Duration::from_millis(100));
    assert_eq!((error.byte_offset, error.path.as_str()), (Some(0), ""));
    assert!(error.message.contains("1000000 elements"), "{error}");
}

#[test]
fn what_takes_no_bytes_counts_wherever_it_stands() {
    // 100,000 records of 20 nulls are 2.1 million values in four bytes; the records are counted first.
    let fields: Vec<_> = (0..20)
        .map(|i| format!(r#"{{"name":"f{i}","type":"null"}}"#))
        .collect();
    let text = format!(
        r#"{{"type":"array","items":{{"type":"record","name":"E","fields":[{}]}}}}"#,
        fields.join(",")
    );
    check(
        &text,
        &[0xc0, 0x9a, 0x0c, 0],
        Err(("[45000].f0", 3, "1000000 elements")),
    );
    // Honest data of the same count passes.
    let bytes = [&[0xc0, 0x9a, 0x0c][..], &[0; 100_000], &[0]].concat();
    let schema = Schema::parse(r#"{"type":"array","items":"int"}"#, &[]).expect("schema");
    assert!(decode(&schema, &bytes, &Limits::default()).is_ok());
}

#[test]
fn depth_and_size_are_bounded() {
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let schema = Schema::parse(list, &[]).expect("schema");
    let nested = |levels: usize| [vec![2; levels - 1], vec![0]].concat();
    assert!(decode(&schema, &nested(64), &Limits::default()).is_ok());
    let error = decode(&schema, &nested(65), &Limits::default()).expect_err("refused");
    assert!(error.message.contains("at most 64 levels"), "{error}");
    let endless = r#"{"type":"record","name":"A","fields":[{"name":"a","type":"A"}]}"#;
    let schema = Schema::parse(endless, &[]).expect("schema");
    assert!(decode(&schema, &[], &Limits::default()).is_err());
    let limits = Limits {
        bytes: 3,
        ..Limits::default()
    };
    let schema = Schema::parse("\"bytes\"", &[]).expect("schema");
    assert!(decode(&schema, &[4, 0, 0], &limits).is_ok());
    assert!(decode(&schema, &[6, 0, 0, 0], &limits).is_err());
}
