//! What rules accept, refuse and say.

use super::*;
use crate::config::model::{Check, Constraint, Rule};
use crate::expr::testing::{place, placed, schema};

const ORDER: &str = r#"{"type":"record","name":"shop.Order","fields":[
    {"name":"id","type":"string"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
    {"name":"quantity","type":["null","int"]},
    {"name":"rate","type":"double"},
    {"name":"factor","type":"float"},
    {"name":"status","type":{"type":"enum","name":"shop.Status","symbols":["NEW","PAID"]}},
    {"name":"customer","type":["null",{"type":"record","name":"shop.Customer","fields":[
        {"name":"email","type":["null","string"]}]}]},
    {"name":"items","type":["null",{"type":"array","items":{"type":"record","name":"shop.Item","fields":[
        {"name":"price","type":"long"},
        {"name":"sku","type":["null","string"]}]}}]},
    {"name":"attributes","type":{"type":"map","values":"string"}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"either","type":["null","string","int"]}]}"#;

fn some(value: Value) -> Value {
    Value::Union(1, Box::new(value))
}

fn none() -> Value {
    Value::Union(0, Box::new(Value::Null))
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn item(price: i64, sku: Option<&str>) -> Value {
    let sku = sku.map_or_else(none, |sku| some(text(sku)));
    Value::Record(vec![Value::Long(price), sku])
}

/// id "Äb-1", amount 12.50, quantity 3, rate 0.1, factor 0.1, status PAID, no e-mail, items 5/"A" and 7/null, one
/// attribute "red".
fn order() -> Value {
    Value::Record(vec![
        text("Äb-1"),
        Value::Bytes(vec![0x04, 0xe2]),
        some(Value::Int(3)),
        Value::Double(0.1),
        Value::Float(0.1),
        Value::Enum(1),
        some(Value::Record(vec![none()])),
        some(Value::Array(vec![item(5, Some("A")), item(7, None)])),
        Value::Map(vec![("colour".to_owned(), text("red"))]),
        Value::Long(0),
        some(text("x")),
    ])
}

fn with(position: usize, value: Value) -> Value {
    let Value::Record(mut fields) = order() else {
        panic!("an order is a record")
    };
    fields[position] = value;
    Value::Record(fields)
}

fn rule(check: Check, on_fail: OnFail) -> RulesFile {
    RulesFile {
        rules: vec![Rule {
            name: placed("the-rule"),
            check,
            on_fail,
        }],
        ..RulesFile::default()
    }
}

fn field(path: &str, constraint: Constraint) -> RulesFile {
    let check = Check::Field {
        field: placed(path),
        constraint,
    };
    rule(check, OnFail::DeadLetter)
}

fn range(min: &str, max: &str) -> Constraint {
    let bound = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Constraint::Range {
        min: bound(min),
        max: bound(max),
    }
}

fn one_of(allowed: &[&str]) -> Constraint {
    Constraint::OneOf(allowed.iter().map(|text| (*text).to_owned()).collect())
}

fn pattern(text: &str) -> Constraint {
    Constraint::Pattern(text.to_owned())
}

fn length(min: usize, max: usize) -> Constraint {
    Constraint::Length {
        min: Some(min),
        max: Some(max),
    }
}

/// The path that fails, if any.
fn fails(path: &str, constraint: Constraint, event: &Value) -> Option<String> {
    let said = format!("{path} {constraint:?}");
    let rules = Rules::compile(&field(path, constraint), &schema(ORDER))
        .unwrap_or_else(|faults| panic!("{said}: {faults:?}"));
    let error = rules.check(event, &mut |name| panic!("{name} does not warn"));
    let error = error.err()?;
    assert_eq!(error.reason, Reason::RuleViolation);
    assert!(error.message.contains("rule the-rule"), "{error}");
    Some(error.path)
}

#[test]
fn constraints_hold_or_name_the_path() {
    use Constraint::Required;
    for (path, constraint, expect) in [
        ("id", Required, None),
        ("customer.email", Required, Some("customer.email")),
        ("items[].sku", Required, Some("items[1].sku")),
        ("items[].price", range("", "6"), Some("items[1].price")),
        ("items[].price", range("5", "7"), None),
        ("quantity", range("3", "3"), None),
        ("quantity", range("3.1", ""), Some("quantity")),
        ("quantity", range("", "2.9"), Some("quantity")),
        ("amount", range("12.5", "12.500"), None),
        ("amount", range("12.501", ""), Some("amount")),
        ("amount", range("", "12.499"), Some("amount")),
        ("amount", range("-1e30", "1e30"), None),
        ("rate", range("0.1", "0.1"), None),
        ("factor", range("0.1", "0.1"), None),
        ("rate", range("0.2", ""), Some("rate")),
        ("status", one_of(&["PAID"]), None),
        ("status", one_of(&["NEW"]), Some("status")),
        ("quantity", one_of(&["1", "3.0"]), None),
        ("rate", one_of(&["0.1"]), None),
        ("factor", one_of(&["0.1"]), None),
        ("id", one_of(&["x"]), Some("id")),
        ("attributes{}", one_of(&["red"]), None),
        ("attributes{}", one_of(&["blue"]), Some("attributes[0]")),
        ("id", pattern("..-[0-9]"), None),
        ("id", pattern("b"), Some("id")),
        ("id", pattern("Ä|b-1"), Some("id")),
        ("customer.email", pattern("nothing"), None),
        ("id", length(4, 4), None),
        ("id", length(5, 9), Some("id")),
        ("items", length(1, 2), None),
        ("items", length(3, 9), Some("items")),
        ("attributes", length(0, 0), Some("attributes")),
        ("either", Required, None),
    ] {
        let said = format!("{path} {constraint:?}");
        assert_eq!(
            fails(path, constraint, &order()).as_deref(),
            expect,
            "{said}"
        );
    }
}

#[test]
fn nulls_and_empty_things() {
    use Constraint::Required;
    for (path, position, value, expect) in [
        ("id", 0, text(""), Some("id")),
        ("customer.email", 6, none(), Some("customer")),
        (
            "customer.email",
            6,
            some(Value::Record(vec![some(text(""))])),
            Some("customer.email"),
        ),
        ("items[].sku", 7, none(), None),
        ("items[].sku", 7, some(Value::Array(vec![])), None),
        ("items", 7, none(), Some("items")),
        ("either", 10, none(), Some("either")),
    ] {
        let event = with(position, value);
        assert_eq!(fails(path, Required, &event).as_deref(), expect, "{path}");
    }
    let event = with(2, none());
    assert_eq!(fails("quantity", range("1", "2"), &event), None);
    let event = with(3, Value::Double(f64::NAN));
    assert_eq!(
        fails("rate", range("0", ""), &event).as_deref(),
        Some("rate")
    );
}

#[test]
fn messages_say_the_rule_and_never_the_value() {
    let rules = Rules::compile(&field("id", pattern("[0-9]+")), &schema(ORDER)).expect("compiles");
    let error = rules.check(&order(), &mut |_| {}).expect_err("fails");
    assert_eq!(error.message, "rule the-rule: id fails pattern `[0-9]+`");
    let check = Check::Expr(placed("amount < 12"));
    let rules = Rules::compile(&rule(check, OnFail::DeadLetter), &schema(ORDER)).expect("compiles");
    let error = rules.check(&order(), &mut |_| {}).expect_err("fails");
    assert_eq!(
        error.to_string(),
        "amount: rule the-rule: `amount < 12` is false"
    );
}

#[test]
fn a_warning_lets_the_record_pass() {
    let check = Check::Expr(placed("status == 'NEW'"));
    let rules = Rules::compile(&rule(check, OnFail::Warn), &schema(ORDER)).expect("compiles");
    let mut names = Vec::new();
    let passed = rules.check(&order(), &mut |name| names.push(name.to_owned()));
    assert_eq!(passed, Ok(()));
    assert_eq!(names, ["the-rule"]);
}

#[test]
fn what_cannot_hold_is_a_fault() {
    for (path, constraint, message, hint) in [
        (
            "amout",
            Constraint::Required,
            "no field `amout`",
            "`amount`",
        ),
        (
            "items.price",
            Constraint::Required,
            "`items` is array",
            "items[].price",
        ),
        ("id[]", Constraint::Required, "not an array", ""),
        (
            "items[0].price",
            Constraint::Required,
            "not a field path",
            "items[]",
        ),
        (
            "id",
            range("1", ""),
            "`id` is string; range needs a number",
            "",
        ),
        ("quantity", range("one", ""), "`one` is not a number", ""),
        ("quantity", range("2", "1"), "range is empty", ""),
        (
            "at",
            range("0", ""),
            "not available yet: range on a timestamp-millis",
            "",
        ),
        ("status", one_of(&["PAI"]), "no symbol `PAI`", "`PAID`"),
        (
            "quantity",
            one_of(&["1.5"]),
            "`1.5` is not a value of type int",
            "",
        ),
        (
            "customer",
            one_of(&["x"]),
            "is record shop.Customer; one_of needs",
            "",
        ),
        (
            "quantity",
            pattern("x"),
            "`quantity` is int; pattern needs a string",
            "",
        ),
        ("id", pattern("a)|(b"), "not a regular expression", ""),
        ("quantity", length(1, 2), "length needs", ""),
        ("id", length(2, 1), "impossible", ""),
        (
            "either",
            length(1, 2),
            "not available yet: constraints on a union",
            "",
        ),
    ] {
        let said = format!("{path} {constraint:?}");
        let faults = Rules::compile(&field(path, constraint), &schema(ORDER)).expect_err(&said);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].message.contains(message), "{said}: {faults:?}");
        let given = faults[0].hint.as_deref().unwrap_or_default();
        assert!(given.contains(hint), "{said}: {faults:?}");
    }
}

#[test]
fn documented_fields_must_exist() {
    let doc = || crate::config::model::FieldDoc {
        place: place(),
        ..Default::default()
    };
    let mut file = field("nothing", Constraint::Required);
    file.fields.insert("customer.emial".to_owned(), doc());
    file.fields.insert("items[].sku".to_owned(), doc());
    let faults = Rules::compile(&file, &schema(ORDER)).expect_err("two are missing");
    assert_eq!(faults.len(), 2);
    assert_eq!(faults[1].hint.as_deref(), Some("did you mean `email`?"));
}
