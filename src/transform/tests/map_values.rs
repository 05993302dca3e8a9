//! `map_values`: values by their text, in every type that has a table.

use super::*;
use crate::config::model::{MapValues, Otherwise};

const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
    {"name":"status","type":["string","int","boolean",{"type":"enum","name":"E","symbols":["A","B"]}]},
    {"name":"code","type":["int","null"]},
    {"name":"plain","type":"long"},
    {"name":"rate","type":["null","double"]},
    {"name":"day","type":{"type":"int","logicalType":"date"}}]}"#;

fn table(field: &str, values: &[(&str, &str)], otherwise: Otherwise) -> Step {
    Step::MapValues(MapValues {
        field: placed(field),
        values: pairs(values),
        otherwise,
    })
}

fn event(status: Value, code: Option<i32>) -> Value {
    let code = match code {
        Some(code) => Value::Union(0, Box::new(Value::Int(code))),
        None => Value::Union(1, Box::new(Value::Null)),
    };
    let rate = Value::Union(0, Box::new(Value::Null));
    Value::Record(vec![status, code, Value::Long(7), rate, Value::Int(0)])
}

/// The field afterwards as text, `null`, or the path of the error.
fn check(step: &Step, event: Value, field: &str, expect: Result<Option<&str>, &str>) {
    let steps = std::slice::from_ref(step);
    let trial = Trial::compile(steps, &schema(SCHEMA), &schemas).expect("compiles");
    let result = match trial.run(event) {
        Ok(Progress::Done(value)) => Ok(typed(&trial, &value)[field].clone()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.path),
    };
    let result = result.as_ref().map(Json::as_str).map_err(String::as_str);
    assert_eq!(result, expect, "{step:?}");
}

#[test]
fn values_are_looked_up_by_their_text() {
    use Otherwise::{DeadLetter, Keep, Null};
    let status = |branch, value| Value::Union(branch, Box::new(value));
    let text = |t: &str| status(0, Value::String(t.to_owned()));
    let values = [("3", "Shipped"), ("true", "yes"), ("B", "Bee")];
    for (value, otherwise, expect) in [
        (status(1, Value::Int(3)), DeadLetter, Ok(Some("Shipped"))),
        (text("3"), DeadLetter, Ok(Some("Shipped"))),
        (status(2, Value::Boolean(true)), DeadLetter, Ok(Some("yes"))),
        (status(3, Value::Enum(1)), DeadLetter, Ok(Some("Bee"))),
        (status(3, Value::Enum(0)), Keep, Ok(Some("A"))),
        (text("Paid"), Keep, Ok(Some("Paid"))),
        (status(1, Value::Int(4)), Keep, Ok(Some("4"))),
        (status(1, Value::Int(4)), Null, Ok(None)),
        (status(1, Value::Int(3)), Null, Ok(Some("Shipped"))),
        (status(1, Value::Int(4)), DeadLetter, Err("status")),
    ] {
        check(
            &table("status", &values, otherwise),
            event(value, None),
            "status",
            expect,
        );
    }
    for (code, otherwise, expect) in [
        (Some(1), DeadLetter, Ok(Some("one"))),
        (None, DeadLetter, Ok(None)),
        (Some(2), Keep, Ok(Some("2"))),
        (Some(2), DeadLetter, Err("code")),
    ] {
        check(
            &table("code", &[("1", "one")], otherwise),
            event(text(""), code),
            "code",
            expect,
        );
    }
    let plain = table("plain", &[("7", "seven")], DeadLetter);
    check(&plain, event(text(""), None), "plain", Ok(Some("seven")));
}

#[test]
fn what_has_no_table_is_a_fault() {
    for (field, values, message) in [
        ("rate", &[("1", "x")][..], "values of double have no table"),
        ("day", &[("1", "x")], "values of date have no table"),
        ("nothing", &[("1", "x")], "no field `nothing`"),
        ("plain", &[], "without values"),
    ] {
        let steps = [table(field, values, Otherwise::Keep)];
        let faults = Trial::compile(&steps, &schema(SCHEMA), &schemas).expect_err("a fault");
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].message.contains(message), "{faults:?}");
    }
}
