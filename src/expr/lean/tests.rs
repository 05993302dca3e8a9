//! Random small expressions over random events: the program's answer is the evaluator's, to the step, and where there is
//! none, the evaluator is asked.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::Lean;
use crate::contract::schema::{Kind, Schema};
use crate::contract::value::Value;
use crate::error::RecordError;
use crate::expr::cx::STEPS;
use crate::expr::scope::with_scope;
use crate::expr::testing::{Marked, placed, schema};
use crate::expr::{Cx, Expr, Val};

const EVENT: &str = r#"{"type":"record","name":"E","fields":[
    {"name":"name","type":"string"},
    {"name":"note","type":["null","string"]},
    {"name":"back","type":["string","null"]},
    {"name":"uid","type":{"type":"string","logicalType":"uuid"}},
    {"name":"n","type":"int"},
    {"name":"big","type":"long"},
    {"name":"some","type":["null","long"]},
    {"name":"paid","type":"boolean"},
    {"name":"status","type":{"type":"enum","name":"S","symbols":["NEW","PAID"]}},
    {"name":"rate","type":"double"},
    {"name":"list","type":["null",{"type":"array","items":"string"}]},
    {"name":"deep","type":["null",{"type":"record","name":"I","fields":[
        {"name":"text","type":"string"},
        {"name":"maybe","type":["null","string"]}]}]},
    {"name":"sub","type":{"type":"record","name":"J","fields":[{"name":"text","type":"string"}]}}]}"#;

/// Conditions and values that have programs.
const TESTS: &[&str] = &[
    "name == 'abc'",
    "name != 'é'",
    "name < 'b'",
    "name >= 'Zz'",
    "note != null && note == 'abc'",
    "note == null || note != 'abc'",
    "back == null || back == ''",
    "uid == '6d1b1b2c-98c0-4f4c-9d6f-0b54c7b8a111'",
    "sub.text != 'TEST'",
    "note != null && note > 'b'",
    "name.contains('@')",
    "name.startsWith('é')",
    "name.endsWith('c')",
    "note != null && note.contains('b')",
    "name in ['abc', 'é', '']",
    "note != null && note in ['abc', 'b']",
    "size(name) <= 3",
    "size(name) == 1",
    "n > 0",
    "n != 7",
    "big <= 9007199254740993",
    "some != null && some == 5",
    "some != null && some < -1",
    "status == 'PAID'",
    "status != 'NEW'",
    "paid",
    "!paid",
    "note == null",
    "list != null",
    "has(deep.text)",
    "deep != null && deep.maybe == null",
    "has(deep.maybe) && deep.maybe == 'abc'",
];

const MAKES: &[&str] = &[
    "'constant'",
    "name",
    "sub.text",
    "note.orValue('none')",
    "deep.text.orValue('none')",
    "sha256(name)",
    "sha256(name.lowerAscii())",
    "name.upperAscii()",
    "sub.text.lowerAscii().upperAscii()",
    "digits(name)",
    "digits(name, '+é')",
    "nfc(name)",
    "last4(sub.text)",
];

/// What the evaluator must be asked.
const OTHERS: &[&str] = &[
    "rate > 0.5",
    "n + 1 > 2",
    "name.contains('abc')",
    "name.matches('^a')",
    "'abc' in list.orValue(['abc'])",
    "size(list.orValue([])) > 1",
];

struct Draw(StdRng);

impl Draw {
    fn text(&mut self) -> String {
        const TEXTS: &[&str] = &[
            "",
            "a",
            "abc",
            "abd",
            "b",
            "é",
            "Zz",
            "TEST",
            "a@b.c",
            "+49 (30) 12",
            "٣",
            "½",
            "ﬀ",
            "\u{10ffff}",
            "none",
        ];
        let text = *TEXTS.choose(&mut self.0).expect("some");
        match self.0.random_range(0..8) {
            0 => text.repeat(self.0.random_range(1..40)),
            1 => text.repeat(self.0.random_range(1..4_000)),
            _ => text.to_owned(),
        }
    }

    fn number(&mut self) -> i64 {
        let edge = *[0, 5, 7, -1, -2, i64::MAX, i64::MIN, 9_007_199_254_740_993]
            .choose(&mut self.0)
            .expect("some");
        match self.0.random_bool(0.5) {
            true => edge,
            false => self.0.random(),
        }
    }

    fn value(&mut self, schema: &Schema, node: usize) -> Value {
        match &schema.node(node).kind {
            Kind::Union(branches) => {
                let branch = self.0.random_range(0..branches.len());
                Value::Union(branch, Box::new(self.value(schema, branches[branch])))
            }
            Kind::Record(record) => {
                let fields = record.fields.iter();
                Value::Record(fields.map(|field| self.value(schema, field.node)).collect())
            }
            Kind::Array(item) => {
                let items = 0..self.0.random_range(0..3);
                Value::Array(items.map(|_| self.value(schema, *item)).collect())
            }
            Kind::Null => Value::Null,
            Kind::String if schema.node(node).logical.is_some() => {
                Value::String("6d1b1b2c-98c0-4f4c-9d6f-0b54c7b8a111".to_owned())
            }
            Kind::String => Value::String(self.text()),
            #[expect(clippy::cast_possible_truncation, reason = "any int will do")]
            Kind::Int => Value::Int(self.number() as i32),
            Kind::Long => Value::Long(self.number()),
            Kind::Boolean => Value::Boolean(self.0.random()),
            Kind::Enum(_) => Value::Enum(self.0.random_range(0..2)),
            Kind::Double => Value::Double(self.0.random()),
            other => panic!("{other:?}"),
        }
    }

    fn test(&mut self, depth: usize) -> String {
        let one = |draw: &mut Draw| draw.test(depth - 1);
        match self.0.random_range(0..5) {
            0 if depth > 0 => format!("({}) && ({})", one(self), one(self)),
            1 if depth > 0 => format!("({}) || ({})", one(self), one(self)),
            2 if depth > 0 => format!("!({})", one(self)),
            _ => (*TESTS.choose(&mut self.0).expect("some")).to_owned(),
        }
    }

    fn make(&mut self, depth: usize) -> String {
        match self.0.random_range(0..3) {
            0 if depth > 0 => {
                let (yes, no) = (self.make(depth - 1), self.make(depth - 1));
                format!("(({}) ? {yes} : {no})", self.test(1))
            }
            1 if depth > 0 => format!("(note == null ? null : {})", self.make(0)),
            _ => (*MAKES.choose(&mut self.0).expect("some")).to_owned(),
        }
    }
}

fn compiled(event: &Marked, text: &str) -> Expr {
    let expr = with_scope(event, |scope| Expr::compile(&placed(text), &scope));
    expr.unwrap_or_else(|faults| panic!("{text}: {faults:#?}"))
}

/// Both ways, as text; the steps with them.
fn told<T: std::fmt::Debug, E: std::fmt::Debug>(
    result: Result<T, E>,
    cx: &Cx<'_>,
) -> (String, u64) {
    (format!("{result:?}"), STEPS - cx.steps)
}

/// What the program says, which must be what the evaluator says; whether it says anything.
fn agree(expr: &Expr, cx: &mut Cx<'_>) -> bool {
    let whole = told(expr.eval(cx), cx);
    let into = expr.eval_into(cx, 0);
    assert_eq!(
        told(into.map(|()| cx.register(0).expect("UTF-8")), cx).0,
        whole.0,
        "{}",
        expr.text()
    );
    let Some(lean) = &expr.lean else {
        return false;
    };
    // Whether something is null is known without the rest of it.
    let exact = !expr.text().contains("null") && !expr.text().contains("has(");
    let same = |found: (String, u64), whole: &(String, u64)| {
        assert_eq!(found.0, whole.0, "{}", expr.text());
        assert!(
            found.1 <= whole.1 && (found.1 == whole.1 || !exact),
            "{} {found:?} {whole:?}",
            expr.text()
        );
    };
    cx.steps = STEPS;
    cx.registers[0] = Val::Bool(true);
    let said = lean.put(cx, 0);
    if said {
        same(
            told(Ok::<_, RecordError>(cx.register(0).expect("UTF-8")), cx),
            &whole,
        );
    }
    if let Lean::Test(_) = lean {
        let whole = told(expr.evaluated_bool(cx), cx);
        same(told(expr.eval_bool(cx), cx), &whole);
        assert_eq!(expr.surely_holds(cx), whole.0 == "Ok(true)");
    }
    said
}

proptest! {
    #[test]
    fn programs_say_what_the_evaluator_says(seed: u64) {
        let mut draw = Draw(StdRng::seed_from_u64(seed));
        let event = Marked::new(schema(EVENT));
        let texts = [draw.test(2), draw.make(2), draw.test(0)];
        let exprs = texts.each_ref().map(|text| compiled(&event, text));
        let schema = schema(EVENT);
        for _ in 0..8 {
            let value = draw.value(&schema, schema.root);
            event.with(&value, |cx| {
                for expr in &exprs {
                    agree(expr, cx);
                }
            });
        }
    }
}

#[test]
fn the_usual_has_a_program_that_answers() {
    let event = Marked::new(schema(EVENT));
    let plain = ["'constant'", "name", "sub.text", "paid"];
    let exprs: Vec<Expr> = TESTS
        .iter()
        .chain(MAKES)
        .map(|text| compiled(&event, text))
        .collect();
    let others: Vec<Expr> = OTHERS.iter().map(|text| compiled(&event, text)).collect();
    let schema = schema(EVENT);
    let mut draw = Draw(StdRng::seed_from_u64(7));
    let mut answered = vec![0; exprs.len()];
    for _ in 0..200 {
        let value = draw.value(&schema, schema.root);
        event.with(&value, |cx| {
            for (count, expr) in answered.iter_mut().zip(&exprs) {
                *count += usize::from(agree(expr, cx));
            }
            for expr in &others {
                assert!(!agree(expr, cx), "{}", expr.text());
            }
        });
    }
    for (count, expr) in answered.iter().zip(&exprs) {
        let has = !plain.contains(&expr.text());
        assert_eq!(*count > 100, has, "{}: {count}", expr.text());
    }
}

/// A text that no expression could read to its end within its steps.
#[test]
fn what_takes_too_long_is_the_evaluators_to_say() {
    let event = Marked::new(schema(
        r#"{"type":"record","name":"E","fields":[{"name":"name","type":"string"}]}"#,
    ));
    let value = Value::Record(vec![Value::String("a".repeat(33 * 1_000_000))]);
    for text in ["name.contains('@')", "sha256(name)"] {
        let expr = compiled(&event, text);
        event.with(&value, |cx| {
            assert!(!agree(&expr, cx), "{text}");
            let error = expr.eval_into(cx, 0).expect_err("too long");
            assert!(error.message.starts_with("stopped: "), "{}", error.message);
        });
    }
}
