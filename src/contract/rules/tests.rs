//! What rules accept, refuse and say.

use super::*;
use crate::config::model::{Check, Constraint, Rule};
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use crate::expr::testing::Marked;
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

/// Rules with the event that they were compiled for.
struct Bound {
    event: Marked,
    rules: Rules,
}

impl std::ops::Deref for Bound {
    type Target = Rules;

    fn deref(&self) -> &Rules {
        &self.rules
    }
}

impl Bound {
    fn of(
        schema: Schema,
        compile: impl FnOnce(&dyn Event) -> Result<Rules, Vec<Fault>>,
    ) -> Result<Bound, Vec<Fault>> {
        let event = Marked::new(schema);
        let rules = compile(&event)?;
        Ok(Bound { event, rules })
    }

    fn check(&self, event: &Value, warned: &mut dyn FnMut(&str)) -> Result<(), RecordError> {
        self.event.with(event, |cx| self.rules.check(cx, warned))
    }
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.rules.fmt(f)
    }
}

fn compile(file: &RulesFile) -> Result<Bound, Vec<Fault>> {
    Bound::of(schema(ORDER), |event| Rules::compile(file, event))
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
    let rules =
        compile(&field(path, constraint)).unwrap_or_else(|faults| panic!("{said}: {faults:?}"));
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
    let rules = compile(&field("id", pattern("[0-9]+"))).expect("compiles");
    let error = rules.check(&order(), &mut |_| {}).expect_err("fails");
    assert_eq!(error.message, "rule the-rule: id fails pattern `[0-9]+`");
    let check = Check::Expr(placed("amount < 12"));
    let rules = compile(&rule(check, OnFail::DeadLetter)).expect("compiles");
    let error = rules.check(&order(), &mut |_| {}).expect_err("fails");
    assert_eq!(
        error.to_string(),
        "amount: rule the-rule: `amount < 12` is false"
    );
}

#[test]
fn a_warning_lets_the_record_pass() {
    let check = Check::Expr(placed("status == 'NEW'"));
    let rules = compile(&rule(check, OnFail::Warn)).expect("compiles");
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
        let faults = compile(&field(path, constraint)).expect_err(&said);
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
    let faults = compile(&file).expect_err("two are missing");
    assert_eq!(faults.len(), 2);
    assert_eq!(faults[1].hint.as_deref(), Some("did you mean `email`?"));
}

mod registered {
    //! Rules of a registry.

    use super::*;
    use serde_json::{Value as Json, json};

    fn subject() -> Subject {
        Subject {
            name: "orders-value".to_owned(),
            version: 3,
        }
    }

    fn set(rules: &Json) -> Json {
        json!({ "domainRules": rules })
    }

    fn cel(expr: &str) -> Json {
        json!([{"name": "the-rule", "kind": "CONDITION", "type": "CEL", "mode": "READ", "expr": expr}])
    }

    fn compiled(rules: &Json, side: Side, tags: &Tags) -> Result<Bound, Vec<Fault>> {
        Bound::of(schema(ORDER), |event| {
            Rules::of_subject(&set(rules), &subject(), side, event, tags)
        })
    }

    fn verdict(rules: &Json, event: &Value) -> Option<String> {
        let rules = compiled(rules, Side::Read, &Tags::default());
        let rules = rules.unwrap_or_else(|faults| panic!("{faults:?}"));
        let error = rules.check(event, &mut |name| panic!("{name} does not warn"));
        error.err().map(|error| {
            assert_eq!(error.reason, Reason::RuleViolation);
            assert!(error.message.contains("the-rule"), "{error}");
            error.path
        })
    }

    /// The same condition from a rules file and from a rule set: the same verdict and path.
    #[test]
    fn a_rule_means_the_same_wherever_it_stands() {
        for (file, registry) in [
            ("amount > 12", "message.amount > 12"),
            ("amount > 12.5", "message.amount > 12.5"),
            ("amount == 12.5", "value.amount == 12.5"),
            ("status == 'PAID'", "message.status == 'PAID'"),
            ("status in ['NEW']", "message.status in ['NEW']"),
            (
                "rate >= 0.2 || id == 'Äb-1'",
                "message.rate >= 0.2 || message.id == 'Äb-1'",
            ),
            ("!(id == 'Äb-1')", "!(message.id == 'Äb-1')"),
            (
                "quantity == null || quantity > 2",
                "message.quantity == null || message.quantity > 2",
            ),
            (
                "quantity != null && quantity > 3",
                "message.quantity != null && message.quantity > 3",
            ),
            (
                "quantity == null || quantity > 3",
                "message.quantity != null ; message.quantity > 3",
            ),
            (
                "customer == null || customer.email == null",
                "message.customer == null || message.customer.email == null",
            ),
            ("has(customer.email)", "has(message.customer.email)"),
            (
                "quantity != null && quantity in [3, 4]",
                "message.quantity in [3, 4]",
            ),
            ("quantity == null || quantity != 3", "message.quantity != 3"),
            (
                "rate > 0.05 ? id != '' : false",
                "message.rate > 0.05 ? message.id != '' : false",
            ),
        ] {
            let events = [
                order(),
                with(1, Value::Bytes(vec![0x00])),
                with(2, none()),
                with(3, Value::Double(f64::NAN)),
                with(5, Value::Enum(0)),
                with(6, none()),
                with(6, some(Value::Record(vec![some(text("a@b"))]))),
            ];
            for event in events {
                let check = Check::Expr(placed(file));
                let from_file = compile(&rule(check, OnFail::DeadLetter))
                    .unwrap_or_else(|faults| panic!("{file}: {faults:?}"))
                    .check(&event, &mut |_| {})
                    .err()
                    .map(|error| error.path);
                let from_registry = verdict(&cel(registry), &event);
                assert_eq!(from_file, from_registry, "{file} {event:?}");
            }
        }
    }

    #[test]
    fn nulls_are_met_at_run_time() {
        let null = with(2, none());
        let bare = with(6, none());
        for (expr, event, fails) in [
            // An order of null is an error, and the rule fails.
            ("message.quantity > 1", &null, true),
            ("message.quantity > 1", &order(), false),
            ("!(message.quantity > 1)", &null, true),
            // Equality knows null.
            ("message.quantity == 1", &null, true),
            ("message.quantity != 1", &null, false),
            ("message.quantity == message.quantity", &null, false),
            ("message.quantity in [1]", &null, true),
            ("!(message.quantity in [1])", &null, false),
            // An error on one side counts only if the other does not decide.
            ("message.quantity > 1 || message.rate > 0.0", &null, false),
            ("message.rate > 0.0 || message.quantity > 1", &null, false),
            ("message.quantity > 1 && message.rate > 0.0", &null, true),
            (
                "!(message.quantity > 1 && message.rate < 0.0)",
                &null,
                false,
            ),
            // Below a null record there is nothing.
            ("message.customer.email == null", &bare, true),
            ("message.customer.email == 'x'", &bare, true),
            ("message.customer == null", &bare, false),
            ("message.customer.email != 'x'", &order(), false),
            // A guard that is an error does not hold.
            ("message.quantity > 1; message.rate < 0.0", &null, false),
            ("message.quantity > 1; message.rate < 0.0", &order(), true),
            ("message.quantity < 1; message.rate < 0.0", &order(), false),
            ("; message.rate < 0.0", &order(), true),
        ] {
            assert_eq!(
                verdict(&cel(expr), event).is_some(),
                fails,
                "{expr} {event:?}"
            );
        }
    }

    fn fields(tags: &[&str], expr: &str) -> Json {
        json!([{"name": "the-rule", "kind": "CONDITION", "type": "CEL_FIELD", "mode": "WRITEREAD",
            "tags": tags, "expr": expr}])
    }

    #[test]
    fn a_field_rule_is_about_the_fields_with_its_tags() {
        let tagged = |patterns: &[&str]| {
            let tags = patterns
                .iter()
                .map(|pattern| ((*pattern).to_owned(), json!(["T"])));
            let mut all = Tags::default();
            all.add_metadata(&json!({"tags": tags.collect::<serde_json::Map<_, _>>()}))
                .expect("understood");
            all
        };
        for (patterns, expr, expect) in [
            (&["shop.Order.id"][..], "value == 'Äb-1'", None),
            (&["shop.Order.id"], "value != 'Äb-1'", Some("id")),
            // An enum is passed over.
            (&["shop.Order.status"], "value == 'x'", None),
            (&["shop.Item.price"], "value < 6", Some("items[1].price")),
            (
                &["shop.Item.sku"],
                "fullName == 'shop.Item.sku'; value == 'A'",
                Some("items[1].sku"),
            ),
            (
                &["shop.Item.sku"],
                "fullName == 'shop.Item.price'; value == 'B'",
                None,
            ),
            (
                &["shop.Item.sku"],
                "typeName == 'STRING'; value == 'A'",
                None,
            ),
            (
                &["shop.Item.sku"],
                "typeName == 'NULL'; value != null",
                Some("items[1].sku"),
            ),
            (
                &["**"],
                "typeName == 'STRING' && name == 'sku'; value == 'B'",
                Some("items[0].sku"),
            ),
            (&["shop.Item.*"], "name == 'price'; value > 4", None),
            (
                &["shop.Item.*"],
                "name == 'price' ? value != null : true",
                None,
            ),
            (&["shop.Item.*"], "value != null", Some("items[1].sku")),
            (
                &["shop.Item.sku", "**.id"],
                "'T' in tags; value == 'x'",
                Some("id"),
            ),
            (
                &["shop.Item.sku", "**.id"],
                "'U' in tags; value == 'x'",
                None,
            ),
            (&["**.email"], "value != null", Some("customer.email")),
            (&["**.attributes"], "value == 'blue'", Some("attributes[0]")),
            (&[], "value == 'x'", None),
        ] {
            let rules = compiled(
                &fields(&["T", "never"], expr),
                Side::Read,
                &tagged(patterns),
            );
            let rules = rules.unwrap_or_else(|faults| panic!("{expr}: {faults:?}"));
            let error = rules.check(&order(), &mut |_| panic!("does not warn"));
            let path = error.err().map(|error| error.path);
            assert_eq!(path.as_deref(), expect, "{patterns:?} {expr}");
        }
        // A field of another type than the condition takes is a fault that names both.
        let tags = tagged(&["shop.Item.*"]);
        let faults = compiled(&fields(&["T"], "value == 'A'"), Side::Read, &tags);
        let faults = faults.expect_err("a price is no text");
        assert!(
            faults[0]
                .message
                .contains("rule `the-rule` of subject orders-value version 3")
        );
        assert!(faults[0].message.contains("items[].price"), "{faults:?}");
        // Without tags it is about every field, and a union of several types is not there yet.
        let faults = compiled(&fields(&[], "value != null"), Side::Read, &tags);
        let faults = faults.expect_err("`either` is a union");
        assert!(faults[0].message.contains("(`either`)"), "{faults:?}");
    }

    #[test]
    fn what_is_not_run_is_listed_and_what_is_not_understood_is_a_fault() {
        let rule = |change: &[(&str, Json)]| {
            let mut rule = cel("message.rate < 0.0");
            for (key, value) in change {
                rule[0][*key] = value.clone();
            }
            rule
        };
        let no_tags = Tags::default();
        for (side, change, does) in [
            (Side::Read, &[][..], "dead letter"),
            (Side::Read, &[("onFailure", json!("ERROR"))], "dead letter"),
            (
                Side::Read,
                &[
                    ("onFailure", json!("DLQ")),
                    ("params", json!({"dlq.topic": "x"})),
                ],
                "dead letter (not to x)",
            ),
            (Side::Read, &[("onFailure", json!("NONE"))], "warn"),
            (
                Side::Read,
                &[
                    ("mode", json!("WRITEREAD")),
                    ("onFailure", json!("ERROR,NONE")),
                ],
                "warn",
            ),
            (
                Side::Write,
                &[
                    ("mode", json!("WRITEREAD")),
                    ("onFailure", json!("ERROR,NONE")),
                ],
                "dead letter",
            ),
            (
                Side::Write,
                &[("mode", json!("WRITE")), ("onSuccess", json!("NONE"))],
                "dead letter",
            ),
            (Side::Write, &[], "not run: run by readers"),
            (
                Side::Read,
                &[("mode", json!("WRITE"))],
                "not run: run by producers",
            ),
            (
                Side::Read,
                &[("disabled", json!(true)), ("type", json!("XYZ"))],
                "not run: disabled",
            ),
            (
                Side::Read,
                &[("disabled", json!(false)), ("doc", json!("why"))],
                "dead letter",
            ),
        ] {
            let rules = compiled(&rule(change), side, &no_tags);
            let rules = rules.unwrap_or_else(|faults| panic!("{change:?}: {faults:?}"));
            let [listed] = rules.listed() else {
                panic!("{change:?}")
            };
            assert_eq!(
                (&*listed.does, &*listed.origin),
                (does, "orders-value@3"),
                "{change:?}"
            );
            let mut warned = 0;
            let result = rules.check(&order(), &mut |_| warned += 1);
            assert_eq!(result.is_err(), does.starts_with("dead"), "{change:?}");
            assert_eq!(warned == 1, does == "warn", "{change:?}");
        }
        for (change, message) in [
            (
                &[("kind", json!("TRANSFORM"))][..],
                "not available yet: the kind TRANSFORM",
            ),
            (
                &[("kind", json!("CONDITIONAL"))],
                "the kind CONDITIONAL cannot be understood",
            ),
            (&[("kind", Json::Null)], "it has no kind"),
            (
                &[("type", json!("JSONATA"))],
                "the type JSONATA cannot be understood",
            ),
            (&[("type", Json::Null)], "it has no type"),
            (&[("mode", json!("UPGRADE"))], "the mode UPGRADE"),
            (&[("mode", Json::Null)], "it has no mode"),
            (&[("onFailure", json!("RETRY"))], "onFailure RETRY"),
            (
                &[("onFailure", json!("ERROR,NONE"))],
                "onFailure ERROR,NONE",
            ),
            (
                &[("onSuccess", json!("DLQ"))],
                "not available yet: onSuccess DLQ",
            ),
            (&[("newKey", json!(1))], "`newKey` cannot be understood"),
            (&[("tags", json!("PII"))], "cannot be understood"),
            (
                &[("expr", json!("message.id.matches('a(')"))],
                "regular expression",
            ),
            (&[("expr", json!("message.id.matche('a')"))], "matche"),
            (&[("expr", json!("amount > 3"))], "amount"),
            (
                &[("expr", json!("message.amuont > 3"))],
                "no field `amuont`",
            ),
            (&[("expr", json!("message.id"))], "must be true or false"),
            (&[("expr", json!("message.id > 3"))], "cannot be compared"),
            (&[("expr", Json::Null)], "the expression is empty"),
        ] {
            let faults = compiled(&rule(change), Side::Read, &no_tags).expect_err(message);
            let [fault] = faults.as_slice() else {
                panic!("{faults:?}")
            };
            let named = "rule `the-rule` of subject orders-value version 3: ";
            assert!(fault.message.starts_with(named), "{fault:?}");
            assert!(fault.message.contains(message), "{message}: {fault:?}");
            assert_eq!(fault.place.file, "orders-value@3");
        }
        let read = |set: Json| {
            Bound::of(schema(ORDER), |event| {
                Rules::of_subject(&set, &subject(), Side::Read, event, &no_tags)
            })
        };
        let migration =
            json!([{"name": "m", "kind": "TRANSFORM", "type": "JSONATA", "mode": "UPGRADE"}]);
        let faults =
            read(json!({"migrationRules": migration, "domainRules": null})).expect_err("no");
        assert!(faults[0].message.contains("rule `m`"), "{faults:?}");
        assert!(faults[0].message.contains("`migrationRules`"), "{faults:?}");
        assert!(read(json!({"strangeRules": [{}]})).is_err());
        assert!(read(json!(["x"])).is_err());
        assert!(read(json!({"domainRules": []})).is_ok_and(|rules| rules.is_empty()));
    }

    #[test]
    fn a_field_rule_inside_of_a_recursive_type_is_not_there_yet() {
        let tree = r#"{"type":"record","name":"Tree","fields":[{"name":"name","type":"string"},
            {"name":"left","type":["null","Tree"]}]}"#;
        let rules = |tags: &[&str]| {
            let set = set(&fields(tags, "value != ''"));
            Bound::of(schema(tree), |event| {
                Rules::of_subject(&set, &subject(), Side::Read, event, &Tags::default())
            })
        };
        let faults = rules(&[]).expect_err("endless");
        assert!(faults[0].message.contains("recursive"), "{faults:?}");
        assert!(rules(&["X"]).is_ok(), "nothing in it has the tag");
    }
}

/// What is found good at once is what the walk finds good, and all of it.
#[test]
fn a_field_at_a_mark_is_judged_as_the_walk_judges_it() {
    use Constraint::Required;
    const FIELDS: &str = r#"{"type":"record","name":"E","fields":[
        {"name":"text","type":"string"},
        {"name":"maybe","type":["null","string"]},
        {"name":"in","type":["null",{"type":"record","name":"I","fields":[{"name":"text","type":"string"}]}]},
        {"name":"n","type":"int"},
        {"name":"big","type":["long","null"]},
        {"name":"status","type":{"type":"enum","name":"S","symbols":["NEW","PAID"]}},
        {"name":"list","type":["null",{"type":"array","items":"string"}]}]}"#;
    let texts = ["", "a", "EUR", "é", "éé", "USDX"];
    let long = "é".repeat(100);
    let numbers = [0, 3, -4, i64::MAX, i64::MIN];
    let mut events = Vec::new();
    for (nth, value) in texts.iter().copied().chain([long.as_str()]).enumerate() {
        for number in numbers {
            let own = || text(value);
            let null = |value: Value, place| match (nth + usize::from(number > 0)) % 3 {
                0 => Value::Union(1 - place, Box::new(Value::Null)),
                _ => Value::Union(place, Box::new(value)),
            };
            events.push(Value::Record(vec![
                own(),
                null(own(), 1),
                null(Value::Record(vec![own()]), 1),
                Value::Int(i32::try_from(number).unwrap_or(-1)),
                null(Value::Long(number), 0),
                Value::Enum(nth % 2),
                null(Value::Array(vec![]), 1),
            ]));
        }
    }
    for (path, constraint) in [
        ("text", Required),
        ("maybe", Required),
        ("list", Required),
        ("n", Required),
        ("text", one_of(&["EUR", "", "é"])),
        ("maybe", one_of(&["EUR", "a"])),
        ("in.text", one_of(&["EUR", "a"])),
        ("text", length(1, 2)),
        ("maybe", length(0, 3)),
        ("in.text", length(2, 100)),
        ("n", range("0", "3")),
        ("big", range("-4", "")),
        ("big", range("", "9223372036854775806.5")),
        ("n", one_of(&["0", "3"])),
        ("big", one_of(&["9223372036854775807"])),
        ("status", one_of(&["PAID"])),
    ] {
        let said = format!("{path} {constraint:?}");
        let file = field(path, constraint);
        let bound = Bound::of(schema(FIELDS), |event| Rules::compile(&file, event));
        let bound = bound.expect("compiles");
        let rule = &bound.rules.rules[0];
        let mut good = 0;
        for event in &events {
            bound.event.with(event, |cx| {
                let holds = rule.violation(cx).is_none();
                assert_eq!(rule.test.surely_holds(cx), holds, "{said}: {event:?}");
                good += usize::from(holds);
            });
        }
        assert!(good > 0, "{said}");
    }
}
