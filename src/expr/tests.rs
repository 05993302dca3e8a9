//! What expressions accept, refuse and answer.

mod bounds;
mod cost;
mod functions;
mod instants;
mod language;
mod page;
mod profile;
mod support;

use super::*;
use crate::contract::value::Value;
use crate::expr::testing::schema;
use support::Bed;

const ORDER: &str = r#"{"type":"record","name":"shop.Order","fields":[
    {"name":"id","type":"string"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
    {"name":"quantity","type":"int"},
    {"name":"total","type":"long"},
    {"name":"rate","type":"double"},
    {"name":"factor","type":"float"},
    {"name":"note","type":["null","string"]},
    {"name":"discount","type":["null","int"]},
    {"name":"paid","type":"boolean"},
    {"name":"status","type":{"type":"enum","name":"shop.Status","symbols":["NEW","PAID","SHIPPED"]}},
    {"name":"customer","type":["null",{"type":"record","name":"shop.Customer","fields":[
        {"name":"email","type":["null","string"]},
        {"name":"age","type":"int"}]}]},
    {"name":"raw","type":"bytes"},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"day","type":{"type":"int","logicalType":"date"}},
    {"name":"tags","type":{"type":"array","items":"string"}},
    {"name":"either","type":["null","string","int"]}]}"#;

fn some(value: Value) -> Value {
    Value::Union(1, Box::new(value))
}

fn none() -> Value {
    Value::Union(0, Box::new(Value::Null))
}

/// amount 12.50, quantity 3, total 2^53 + 1, rate 0.1, factor 0.5, note "hi", discount null, status PAID.
fn order() -> Value {
    Value::Record(vec![
        Value::String("A-7".to_owned()),
        Value::Bytes(vec![0x04, 0xe2]),
        Value::Int(3),
        Value::Long(9_007_199_254_740_993),
        Value::Double(0.1),
        Value::Float(0.5),
        some(Value::String("hi".to_owned())),
        none(),
        Value::Boolean(true),
        Value::Enum(1),
        some(Value::Record(vec![none(), Value::Int(40)])),
        Value::Bytes(b"ab".to_vec()),
        Value::Long(0),
        Value::Int(15_706),
        Value::Array(vec![]),
        none(),
    ])
}

#[test]
fn conditions_answer() {
    let bed = Bed::new(schema(ORDER), &order());
    for (text, expect) in [
        ("quantity > 2", true),
        ("quantity >= 3 && quantity <= 3", true),
        ("quantity < 3", false),
        ("quantity == 3.0", true),
        ("quantity < 3.5", true),
        ("total == 9007199254740992.0", false),
        ("total > 9007199254740992.0", true),
        ("rate == 0.1", true),
        ("factor == 0.5", true),
        ("rate < factor", true),
        ("amount == 12.5", true),
        ("amount > 12.49", true),
        ("amount <= 12.50", true),
        ("amount > -0.1", true),
        ("amount > 12", true),
        ("12.5 == amount", true),
        ("amount < quantity", false),
        ("amount == amount", true),
        ("amount in [1, 12.50]", true),
        ("12.5 in [amount]", true),
        ("id == 'A-7'", true),
        ("id < 'B'", true),
        ("id in ['A', \"A-7\"]", true),
        ("'A-7' in [id]", true),
        ("id in []", false),
        ("!(id in ['A'])", true),
        ("status == 'PAID'", true),
        ("status != 'NEW'", true),
        ("status in ['NEW', 'SHIPPED']", false),
        ("'PAID' in [status]", true),
        ("paid", true),
        ("paid == true", true),
        ("raw == b'ab'", true),
        ("raw < b'b'", true),
        ("note == null", false),
        ("null != note", true),
        ("discount == null", true),
        ("quantity == null", false),
        ("either == null", true),
        ("customer.age > 1 || true", true),
        ("note != null && note == 'hi'", true),
        ("note == null || note == 'hi'", true),
        ("!(note == null) && note == 'hi'", true),
        ("discount != null && discount > 1", false),
        ("discount == null || discount > 1", true),
        ("discount == null ? true : discount > 1", true),
        ("customer != null && customer.age == 40", true),
        ("has(customer.email)", false),
        ("has(customer.age) && customer.age == 40", true),
        ("!has(customer.email) || customer.email == 'x'", true),
        ("customer != null && customer.email == null", true),
        ("quantity == 0x3", true),
        ("at != null", true),
    ] {
        // A guardless look into a nullable record is the one case that must not compile.
        if text.starts_with("customer.age") {
            assert!(bed.condition(text).is_err());
            continue;
        }
        let expr = bed
            .condition(text)
            .unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        assert_eq!(bed.eval_bool(&expr), Ok(expect), "{text}");
    }
}

#[test]
fn nan_equals_nothing() {
    let Value::Record(mut fields) = order() else {
        panic!("an order is a record")
    };
    fields[4] = Value::Double(f64::NAN);
    let bed = Bed::new(schema(ORDER), &Value::Record(fields));
    for (text, expect) in [
        ("rate == rate", false),
        ("rate != rate", true),
        ("rate < 1", false),
        ("rate >= 1", false),
    ] {
        let expr = bed.compile(text).expect("compiles");
        assert_eq!(bed.eval_bool(&expr), Ok(expect), "{text}");
    }
}

/// The first fault of each: column, text, part of the message, part of the hint.
#[test]
fn faults_point_at_the_spot() {
    let bed = Bed::new(schema(ORDER), &order());
    for (text, column, spot, message, hint) in [
        (
            "quantity > 1 && amout > 2",
            21,
            "amout",
            "no field `amout`",
            "`amount`",
        ),
        (
            "customer != null && customer.emial == null",
            25,
            "customer.emial",
            "no field `emial`",
            "`email`",
        ),
        (
            "status == 'SHIPED'",
            15,
            "'SHIPED'",
            "no symbol `SHIPED`",
            "`SHIPPED`",
        ),
        ("status == id", 15, "id", "cannot be compared", "symbols"),
        ("status < 'NEW'", 14, "'NEW'", "cannot be compared", "=="),
        (
            "id > 1",
            10,
            "1",
            "string and long cannot be compared",
            "quote",
        ),
        (
            "discount > 1",
            5,
            "discount",
            "`discount` may be null",
            "discount != null &&",
        ),
        (
            "note == 'x'",
            5,
            "note",
            "`note` may be null",
            "note != null &&",
        ),
        (
            "note in ['x']",
            5,
            "note",
            "`note` may be null",
            "note != null",
        ),
        (
            "note != null || note == 'x'",
            21,
            "note",
            "may be null",
            "guard",
        ),
        (
            "customer.age > 1",
            5,
            "customer.age",
            "`customer` may be null",
            "customer != null",
        ),
        ("amount > rate", 14, "rate", "cannot be compared", "cast"),
        ("id.length == 3", 5, "id.length", "`id` is string", ""),
        (
            "either == 'x'",
            15,
            "'x'",
            "union of null, string, int and string cannot be compared",
            "",
        ),
        (
            "at > 1",
            10,
            "1",
            "timestamp-millis and long cannot be compared",
            "",
        ),
        (
            "day == '2026-01-31'",
            12,
            "'2026-01-31'",
            "date and string cannot",
            "date('2026-01-31')",
        ),
        (
            "size(quantity) > 2",
            5,
            "size(quantity)",
            "does not take int",
            "size(text",
        ),
        (
            "sise(id) > 2",
            5,
            "sise(id)",
            "no function `sise`",
            "`size`",
        ),
        (
            "id.startsWith(1)",
            19,
            "1",
            "must be a string; this is long",
            "string(",
        ),
        ("quantity == 3u", 17, "3u", "no unsigned", "`u`"),
        ("id in id", 11, "id", "`in` asks a list", "id.contains"),
        (
            "quantity",
            5,
            "quantity",
            "must be true or false; this is int",
            "",
        ),
        (
            "quantity && paid",
            5,
            "quantity",
            "must be true or false here; this is int",
            "",
        ),
        ("paid = true", 10, "= true", "not CEL", "=="),
        ("id == 'abc", 11, "'abc", "not CEL", "quote"),
        ("quantity >", 15, "", "ends where", ""),
        ("", 5, "", "empty", ""),
        (
            "quantity == 99999999999999999999",
            17,
            "99999999999999999999",
            "invalid int",
            "",
        ),
        (
            "quantity == 18446744073709551615u",
            17,
            "18446744073709551615u",
            "no unsigned",
            "",
        ),
        (
            "paid ? 1 : 'a'",
            5,
            "paid ? 1 : 'a'",
            "differ in type: long and string",
            "",
        ),
        (
            "localTime(day, 1260, 'UTC') == null",
            20,
            "1260",
            "not a time of day",
            "",
        ),
        (
            "localTime(day, 1, 'Mars/Base') == null",
            23,
            "'Mars/Base'",
            "no time zone",
            "",
        ),
        (
            "localTime(quantity, 1, 'UTC') == null",
            15,
            "quantity",
            "date must be a date; this is int",
            "",
        ),
        (
            "localTime(day, discount, 'UTC') == null",
            20,
            "discount",
            "may be null",
            "guard",
        ),
        (
            "localTime(day) == null",
            5,
            "localTime(day)",
            "takes 3 arguments; here are 1",
            "localTime(date: date, hhmm: int, zone: string)",
        ),
        (
            "localtime(day, 1, 'UTC') == null",
            5,
            "localtime(day, 1, 'UTC')",
            "no function",
            "`localTime`",
        ),
    ] {
        let faults = bed.condition(text).expect_err(text);
        let fault = &faults[0];
        assert_eq!(fault.place.column, column, "{text}: {fault:?}");
        assert_eq!(fault.place.line, 3, "{text}");
        if !spot.is_empty() {
            assert_eq!(fault.text, spot, "{text}");
        }
        assert!(fault.message.contains(message), "{text}: {fault:?}");
        let given = fault.hint.as_deref().unwrap_or_default();
        assert!(given.contains(hint), "{text}: {fault:?}");
    }
}

#[test]
fn every_fault_is_listed() {
    let bed = Bed::new(schema(ORDER), &order());
    let text = "amout > 1 && statis == 'NEW' || status in ['A', 'NEW', 'B']";
    let faults = bed.compile(text).expect_err("three names are wrong");
    let columns: Vec<usize> = faults.iter().map(|fault| fault.place.column).collect();
    assert_eq!(columns, [5, 18, 48, 60]);
}

#[test]
fn further_lines_are_counted() {
    let bed = Bed::new(schema(ORDER), &order());
    let faults = bed.compile("paid &&\n amout > 1").expect_err("amout");
    assert_eq!((faults[0].place.line, faults[0].place.column), (4, 2));
}

#[test]
fn values_have_types() {
    let bed = Bed::new(schema(ORDER), &order());
    for (text, ty, value) in [
        ("'x'", "string", "'x'"),
        ("1", "long", "1"),
        ("-1.5", "double", "-1.5"),
        ("null", "null", "null"),
        ("id", "string", "'A-7'"),
        ("note", "nullable string", "'hi'"),
        ("discount", "nullable int", "null"),
        ("amount", "decimal(10,2)", "12.50"),
        ("status", "enum shop.Status", "#1"),
        ("paid ? quantity : 7", "long", "3"),
        ("paid ? 7 : quantity", "long", "7"),
        ("paid ? null : quantity", "nullable int", "null"),
        ("discount == null ? 0 : discount", "long", "0"),
        ("note == null ? id : note", "string", "'hi'"),
        ("date(2013, 1, 31)", "date", "2013-01-31"),
        (
            "localTime(day, 517, 'America/New_York')",
            "timestamp-millis",
            "2013-01-01T10:17:00Z",
        ),
        (
            "discount == null ? null : localTime(day, discount, 'UTC')",
            "nullable timestamp-millis",
            "null",
        ),
    ] {
        let expr = bed
            .compile(text)
            .unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        assert_eq!(expr.ty().describe(&bed.schema), ty, "{text}");
        assert_eq!(bed.eval(&expr), Ok(value.to_owned()), "{text}");
    }
}

#[test]
fn a_function_that_fails_names_the_field_and_not_its_value() {
    let bed = Bed::new(schema(ORDER), &order());
    let expr = bed
        .compile("localTime(day, total, 'UTC')")
        .expect("compiles");
    let error = bed.eval(&expr).expect_err("no such time");
    assert_eq!(error.reason, Reason::TransformFailed);
    assert_eq!(error.path, "total");
    assert!(!error.message.contains("9007"), "{error}");
    let expr = bed.compile("date(2013, 2, 30)").expect("compiles");
    assert!(bed.eval(&expr).is_err());
}

#[test]
fn fields_are_listed_once() {
    let bed = Bed::new(schema(ORDER), &order());
    let text = "quantity > 1 && quantity < total && has(customer.age)";
    let expr = bed.compile(text).expect("compiles");
    assert_eq!(expr.fields(), ["quantity", "total", "customer.age"]);
}

#[test]
fn deep_and_long_expressions_end() {
    let bed = Bed::new(schema(ORDER), &order());
    let nested = |n: usize| format!("{}paid{}", "(".repeat(n), ")".repeat(n));
    for (text, message) in [
        (nested(33), "brackets"),
        (nested(4_000), "brackets"),
        ("[".repeat(33), "brackets"),
        ("x".repeat(5_000), "longer than"),
        (vec!["paid"; 100].join(" == "), "nests deeper than"),
        (vec!["1"; 2_000].join("+"), "nests deeper than"),
        (
            format!("{}paid", "paid ? paid : ".repeat(60)),
            "nests deeper than",
        ),
        (format!("{}paid", "paid ? paid : ".repeat(250)), "not CEL"),
    ] {
        let faults = bed.compile(&text).expect_err(message);
        assert!(faults[0].message.contains(message), "{faults:?}");
    }
    let many = vec!["1"; 500].join(", ");
    for text in [
        nested(32),
        vec!["paid"; 500].join(" && "),
        format!("{}paid", "paid ? paid : ".repeat(40)),
        format!("{}paid", "!".repeat(500)),
        format!("!(2 in [{many}])"),
    ] {
        let expr = bed.compile(&text).expect("compiles");
        assert_eq!(bed.eval_bool(&expr), Ok(true), "{text}");
    }
}

proptest::proptest! {
    /// Whatever is written ends as an expression that can be evaluated, or as faults.
    #[test]
    fn no_expression_panics(parts in proptest::collection::vec(proptest::sample::select(vec![
        "quantity", "amount", "note", "status", "customer", ".age", ".email", "either", "day", "paid", "1", "-2.5",
        "'NEW'", "null", "true", "b'x'", "==", "!=", "<", ">=", "&&", "||", "!", "?", ":", "(", ")", "[", "]", ",",
        "in", "has(", "date(", "localTime(", "+", "é", "'", "\n", "{", "}",
    ]), 1..9)) {
        let bed = Bed::new(schema(ORDER), &order());
        if let Ok(expr) = bed.compile(&parts.join(" ")) {
            let result = bed.eval(&expr);
            let message = result.err().map(|error| error.message).unwrap_or_default();
            proptest::prop_assert!(!message.contains("type that"), "{}", message);
        }
    }
}
