//! Every cast, on values that fit and on values that do not.

use super::*;
use crate::config::model::Step;
use crate::contract::json::{from_json, to_json};
use crate::error::Reason;
use crate::expr::testing::{placed, schema};
use crate::transform::testing::{Progress, Trial};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// The field `x` of that type, cast: `Ok` with its JSON, or the message of a record error.
fn cast(from: &str, to: &str, value: Json) -> Result<Json, String> {
    let schema = schema(&format!(
        r#"{{"type":"record","name":"R","fields":[{{"name":"x","type":["null",{from}]}}]}}"#
    ));
    let event = from_json(&schema, schema.root, &json!({ "x": value })).expect("fits");
    let steps = [Step::Cast(vec![(placed("x"), placed(to))])];
    let transform = Trial::compile(&steps, &schema, &|_| Err(String::new()))
        .unwrap_or_else(|faults| panic!("{from} to {to}: {faults:?}"));
    let output = transform.output();
    match transform.run(event) {
        Ok(Progress::Done(value)) => Ok(to_json(output, output.root, &value)["x"].clone()),
        Ok(other) => panic!("not done: {other:?}"),
        Err(error) => {
            assert_eq!(error.reason, Reason::TransformFailed);
            assert_eq!(error.path, "x");
            Err(error.message)
        }
    }
}

const STRING: &str = r#""string""#;
const INT: &str = r#""int""#;
const LONG: &str = r#""long""#;
const FLOAT: &str = r#""float""#;
const DOUBLE: &str = r#""double""#;
const BOOLEAN: &str = r#""boolean""#;
const BYTES: &str = r#""bytes""#;
const DECIMAL: &str = r#"{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}"#;
const DATE: &str = r#"{"type":"int","logicalType":"date"}"#;
const MILLIS: &str = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
const MICROS: &str = r#"{"type":"long","logicalType":"timestamp-micros"}"#;
const ENUM: &str = r#"{"type":"enum","name":"E","symbols":["A","B"]}"#;
const FIXED: &str = r#"{"type":"fixed","name":"F","size":2}"#;

#[test]
fn exact_values_are_cast() {
    for (from, to, value, expect) in [
        (INT, "string", json!(-7), json!("-7")),
        (DOUBLE, "string", json!(0.1), json!("0.1")),
        (
            DOUBLE,
            "string",
            json!(4_611_686_018_427_387_904.0),
            json!("4611686018427387904"),
        ),
        (FLOAT, "string", json!(0.1), json!("0.1")),
        (BOOLEAN, "string", json!(true), json!("true")),
        (DECIMAL, "string", json!("-0.50"), json!("-0.50")),
        (DATE, "string", json!("2013-01-31"), json!("2013-01-31")),
        (
            MILLIS,
            "string",
            json!(1_357_035_420_001_i64),
            json!("2013-01-01T10:17:00.001Z"),
        ),
        (
            MICROS,
            "string",
            json!(-1),
            json!("1969-12-31T23:59:59.999999Z"),
        ),
        (ENUM, "string", json!("B"), json!("B")),
        (BYTES, "string", json!("w6Q="), json!("ä")),
        (STRING, "string", json!("x"), json!("x")),
        (STRING, "int", json!("-2147483648"), json!(i32::MIN)),
        (STRING, "int", json!("0"), json!(0)),
        (LONG, "int", json!(2_147_483_647), json!(i32::MAX)),
        (DOUBLE, "int", json!(3.0), json!(3)),
        (DECIMAL, "int", json!("3.00"), json!(3)),
        (DATE, "int", json!("1970-01-02"), json!(1)),
        (
            STRING,
            "long",
            json!("9223372036854775807"),
            json!(i64::MAX),
        ),
        (INT, "long", json!(5), json!(5)),
        (MILLIS, "long", json!(5), json!(5)),
        (STRING, "double", json!("0.1"), json!(0.1)),
        (STRING, "double", json!("1e23"), json!(1e23)),
        (
            LONG,
            "double",
            json!(4_611_686_018_427_387_904_i64),
            json!(4_611_686_018_427_387_904.0),
        ),
        (DECIMAL, "double", json!("12.50"), json!(12.5)),
        (FLOAT, "double", json!(0.5), json!(0.5)),
        (DOUBLE, "float", json!(0.5), json!(0.5)),
        (LONG, "float", json!(16_777_216), json!(16_777_216.0)),
        (STRING, "boolean", json!("false"), json!(false)),
        (STRING, "bytes", json!("ab"), json!("YWI=")),
        (FIXED, "bytes", json!("YWI="), json!("YWI=")),
        (STRING, "decimal(5,2)", json!("-12.5"), json!("-12.50")),
        (STRING, "decimal(5,2)", json!("12.500"), json!("12.50")),
        (INT, "decimal(5,2)", json!(999), json!("999.00")),
        (DOUBLE, "decimal(5,2)", json!(19.99), json!("19.99")),
        (FLOAT, "decimal(5,2)", json!(19.99), json!("19.99")),
        (DECIMAL, "decimal(20,1)", json!("1.50"), json!("1.5")),
        (STRING, "date", json!("2024-02-29"), json!("2024-02-29")),
        (INT, "date", json!(0), json!("1970-01-01")),
        (
            STRING,
            "timestamp-millis",
            json!("2013-01-01T05:17:00-05:00"),
            json!("2013-01-01T10:17:00.000Z"),
        ),
        (
            STRING,
            "timestamp-millis",
            json!("1969-12-31T23:59:59.999Z"),
            json!("1969-12-31T23:59:59.999Z"),
        ),
        (
            STRING,
            "timestamp-micros",
            json!("2013-01-01T10:17:00.000001Z"),
            json!("2013-01-01T10:17:00.000001Z"),
        ),
        (
            LONG,
            "timestamp-millis",
            json!(0),
            json!("1970-01-01T00:00:00.000Z"),
        ),
        (
            MILLIS,
            "timestamp-micros",
            json!(-1),
            json!("1969-12-31T23:59:59.999000Z"),
        ),
        (
            MICROS,
            "timestamp-millis",
            json!(-1000),
            json!("1969-12-31T23:59:59.999Z"),
        ),
        (
            STRING,
            "timestamp-millis",
            json!("9999-12-31T23:59:59.999Z"),
            json!("9999-12-31T23:59:59.999Z"),
        ),
        (
            MILLIS,
            "string",
            json!("9999-12-31T23:59:59Z"),
            json!("9999-12-31T23:59:59Z"),
        ),
        (STRING, "timestamp-millis", Json::Null, Json::Null),
    ] {
        let said = format!("{from} {value} to {to}");
        assert_eq!(cast(from, to, value), Ok(expect), "{said}");
    }
}

#[test]
fn what_is_not_exact_is_an_error() {
    for (from, to, value, expect) in [
        (STRING, "int", json!("2147483648"), RANGE),
        (STRING, "int", json!("007"), "leading zeros"),
        (STRING, "int", json!("-"), "plain digits"),
        (STRING, "int", json!(""), "plain digits"),
        (STRING, "int", json!("+1"), "plain digits"),
        (STRING, "int", json!("1 "), "plain digits"),
        (STRING, "int", json!("1.0"), "plain digits"),
        (STRING, "int", json!("1e3"), "plain digits"),
        (STRING, "int", json!("١"), "plain digits"),
        (STRING, "long", json!("9223372036854775808"), RANGE),
        (LONG, "int", json!(2_147_483_648_i64), RANGE),
        (DOUBLE, "int", json!(1.5), FRACTION),
        (DOUBLE, "long", json!(9_223_372_036_854_775_808.0), RANGE),
        (DOUBLE, "long", json!("NaN"), RANGE),
        (DECIMAL, "long", json!("1.01"), FRACTION),
        (DOUBLE, "string", json!("Infinity"), "finite"),
        (BYTES, "string", json!("/w=="), "not UTF-8"),
        (LONG, "double", json!(9_007_199_254_740_993_i64), PRECISION),
        (LONG, "float", json!(16_777_217), PRECISION),
        (INT, "float", json!(16_777_217), PRECISION),
        (DOUBLE, "float", json!(0.1), PRECISION),
        (DOUBLE, "float", json!(1e300), PRECISION),
        (
            STRING,
            "double",
            json!("0.1000000000000000000001"),
            PRECISION,
        ),
        (STRING, "double", json!("1e999"), RANGE),
        (STRING, "double", json!("NaN"), "plain number"),
        (STRING, "double", json!("1,5"), "plain number"),
        (STRING, "boolean", json!("True"), "neither"),
        (STRING, "boolean", json!("1"), "neither"),
        (STRING, "decimal(5,2)", json!("1.234"), FRACTION),
        (STRING, "decimal(5,2)", json!("1234"), "precision"),
        (STRING, "decimal(5,2)", json!("1e2"), "plain number"),
        (STRING, "decimal(5,2)", json!("00.5"), "plain number"),
        (STRING, "decimal(5,2)", json!("1.234,56"), "plain number"),
        (INT, "decimal(5,2)", json!(1000), "precision"),
        (DOUBLE, "decimal(5,2)", json!(0.125), FRACTION),
        (DOUBLE, "decimal(5,2)", json!("NaN"), "finite"),
        (STRING, "date", json!("2023-02-29"), "YYYY-MM-DD"),
        (STRING, "date", json!("03/04/2026"), "YYYY-MM-DD"),
        (STRING, "date", json!("20230101"), "YYYY-MM-DD"),
        (STRING, "date", json!("2023-01-01T00:00:00Z"), "YYYY-MM-DD"),
        (
            STRING,
            "timestamp-millis",
            json!("2013-01-01T10:17:00"),
            "RFC 3339",
        ),
        (
            STRING,
            "timestamp-millis",
            json!("2013-01-01 10:17:00Z"),
            "RFC 3339",
        ),
        (
            STRING,
            "timestamp-millis",
            json!("2013-01-01T10:17Z"),
            "RFC 3339",
        ),
        (
            STRING,
            "timestamp-millis",
            json!("2013-01-01T10:17:60Z"),
            "RFC 3339",
        ),
        (
            STRING,
            "timestamp-millis",
            json!("2013-02-30T10:17:00Z"),
            "RFC 3339",
        ),
        (
            STRING,
            "timestamp-millis",
            json!("2013-01-01T10:17:00+01:00[Europe/Paris]"),
            "RFC 3339",
        ),
        (
            STRING,
            "timestamp-millis",
            json!("2013-01-01T10:17:00.0001Z"),
            "would be lost",
        ),
        (
            STRING,
            "timestamp-millis",
            json!("ä013-01-01T10:17:00Z"),
            "RFC 3339",
        ),
        (MICROS, "timestamp-millis", json!(1), "microseconds"),
        (
            MILLIS,
            "timestamp-micros",
            json!(i64::MAX),
            "outside of the years",
        ),
    ] {
        let said = format!("{from} {value} to {to}");
        let message = cast(from, to, value).expect_err(&said);
        assert!(message.contains(expect), "{said}: {message}");
    }
}

#[test]
fn senseless_casts_are_refused() {
    for (from, to) in [
        (BOOLEAN, "int"),
        (ENUM, "long"),
        (INT, "boolean"),
        (INT, "bytes"),
        (DECIMAL, "bytes"),
        (DATE, "long"),
        (DATE, "timestamp-millis"),
        (MILLIS, "date"),
        (MILLIS, "int"),
        (DOUBLE, "timestamp-millis"),
        (LONG, "date"),
        (FIXED, "string"),
    ] {
        let schema = schema(from);
        let target = crate::transform::cast::Target::parse(&placed(to)).expect("a target");
        assert!(find(schema.root(), target).is_err(), "{from} to {to}");
    }
}

proptest! {
    #[test]
    fn text_and_back(value: i64) {
        let text = cast(LONG, "string", json!(value)).expect("always");
        prop_assert_eq!(cast(STRING, "long", text), Ok(json!(value)));
    }

    #[test]
    fn a_double_that_was_a_long_is_that_long(value: i64) {
        if let Ok(double) = cast(LONG, "double", json!(value)) {
            prop_assert_eq!(cast(DOUBLE, "long", double), Ok(json!(value)));
        }
    }

    #[test]
    fn doubles_survive_text(value in proptest::num::f64::NORMAL) {
        let text = plain_double(value);
        prop_assert_eq!(cast(STRING, "double", json!(text)), Ok(json!(value)));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        for to in ["int", "double", "decimal(9,3)", "date", "timestamp-micros", "boolean"] {
            let _either: Result<Json, String> = cast(STRING, to, json!(text));
        }
    }
}
