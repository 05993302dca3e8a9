//! The ends of what timestamps can be: "valid for ever" is often the last second of the year 9999.

use super::support::Bed;
use crate::contract::value::Value;
use crate::expr::testing::schema;
use crate::expr::value;

const SCHEMA: &str = r#"{"type":"record","name":"air.Fare","fields":[
    {"name":"until","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"millis","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"old","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"beyond","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"day","type":{"type":"int","logicalType":"date"}}]}"#;

fn fare() -> Bed {
    let event = Value::Record(vec![
        Value::Long(253_402_300_799_999_999),
        Value::Long(253_402_300_799_000),
        // -0009-01-01T00:00:00Z
        Value::Long(-62_451_216_000_000),
        Value::Long(253_402_300_800_000),
        Value::Int(2_932_896),
    ]);
    Bed::new(schema(SCHEMA), &event)
}

#[test]
fn the_last_second_of_9999_is_a_timestamp() {
    let bed = fare();
    for (text, expect) in [
        ("until", "9999-12-31T23:59:59.999999Z"),
        ("string(millis)", "'9999-12-31T23:59:59Z'"),
        ("millis == timestamp('9999-12-31T23:59:59Z')", "true"),
        (
            "until < timestamp('9999-12-31T23:59:59.999999999Z')",
            "true",
        ),
        ("until > millis && old < millis", "true"),
        (
            "timestamp('9999-12-31T23:59:59.999999999+02:00')",
            "9999-12-31T21:59:59.999999999Z",
        ),
        ("timestamp(253402300799)", "9999-12-31T23:59:59Z"),
        ("int(until)", "253402300799"),
        ("epoch(millis, 'ms')", "253402300799000"),
        ("fromEpoch(253402300799, 's') == millis", "true"),
        (
            "millis - duration('1h') + duration('1h')",
            "9999-12-31T23:59:59Z",
        ),
        ("millis + duration('999ms')", "9999-12-31T23:59:59.999Z"),
        ("(until - millis).getMilliseconds()", "999"),
        ("until.getFullYear() * 100 + until.getDate()", "999931"),
        ("until.getHours('America/New_York')", "18"),
        ("date(until, 'UTC') == day", "true"),
        (
            "localTime(day, 1859, 'America/New_York')",
            "9999-12-31T23:59:00Z",
        ),
        ("localTime(day, 2359, 'UTC')", "9999-12-31T23:59:00Z"),
        ("localTime(day, 0, 'Europe/Berlin')", "9999-12-30T23:00:00Z"),
        (
            "parseTimestamp('9999-12-31 23:59:59', '%F %T', 'UTC') == millis",
            "true",
        ),
        (
            "parseTimestamp('9999-12-31 23:59:59 +0000', '%F %T %z') == millis",
            "true",
        ),
        ("formatDate(day, '%d.%m.%Y')", "'31.12.9999'"),
        (
            "formatDate(until, '%F %T%:z', 'America/New_York')",
            "'9999-12-31 18:59:59-05:00'",
        ),
        (
            "greatest(until, timestamp('9999-12-31T23:59:59.999999999Z'))",
            "9999-12-31T23:59:59.999999999Z",
        ),
        // What is only read and written may be older than CEL's calendar.
        ("old", "-000009-01-01T00:00:00Z"),
        ("string(old)", "'-000009-01-01T00:00:00Z'"),
    ] {
        let expr = bed
            .compile(text)
            .unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let found = bed.eval(&expr);
        assert_eq!(found.as_deref().ok(), Some(expect), "{text}: {found:?}");
    }
}

#[test]
fn behind_the_end_is_an_error() {
    let bed = fare();
    for (text, part) in [
        ("millis + duration('1s')", "the years 1 to 9999"),
        ("until + duration('1us')", "the years 1 to 9999"),
        ("millis - duration('-1s')", "the years 1 to 9999"),
        ("old + duration('1s')", "the years 1 to 9999"),
        ("fromEpoch(epoch(millis, 's') + 1, 's')", "-9999 to 9999"),
        ("timestamp(epoch(millis, 's') + 1)", "the years 1 to 9999"),
        ("until.getFullYear('Europe/Berlin')", "no year"),
        ("formatDate(until, '%F', 'Europe/Berlin')", "no year"),
        ("localTime(day, 2400, 'UTC')", "out of range"),
        ("localTime(day, 2330, 'America/New_York')", "out of range"),
        ("beyond", "-9999 to 9999"),
    ] {
        let expr = bed
            .compile(text)
            .unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let error = bed.eval(&expr).expect_err(text);
        assert!(error.message.contains(part), "{text}: {error}");
    }
}

#[test]
fn what_is_copied_is_the_same() {
    let bed = fare();
    for (field, mark) in [("until", 0), ("millis", 1), ("old", 2)] {
        let expr = bed.compile(field).expect("a field");
        bed.with_cx(|cx| {
            let found = expr.eval(cx).expect("in range");
            let at = bed.marks[mark] as usize;
            let node = match &bed.schema.root().kind {
                crate::contract::schema::Kind::Record(record) => record.fields[mark].node,
                _ => panic!("a record"),
            };
            let mut out = Vec::new();
            value::write(&bed.schema, node, found, &mut out).expect("it was read from there");
            assert_eq!(out, bed.bytes[at..at + out.len()], "{field}");
        });
    }
}
