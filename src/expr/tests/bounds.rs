//! No expression runs for long or takes much memory, whatever it is and whatever the record holds.

use bumpalo::Bump;
use proptest::prelude::*;

use super::language::trip;
use super::support::Bed;
use crate::contract::value::Value;
use crate::expr::Cx;
use crate::expr::testing::schema;

fn long_list() -> Bed {
    let schema = schema(
        r#"{"type":"record","name":"R","fields":[
            {"name":"xs","type":{"type":"array","items":"int"}},
            {"name":"text","type":"string"},
            {"name":"nothing","type":{"type":"array","items":"null"}},
            {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":4000,"scale":2}}]}"#,
    );
    let event = Value::Record(vec![
        Value::Array((0..2_000).map(Value::Int).collect()),
        Value::String("abc ".repeat(10_000)),
        Value::Array(vec![]),
        Value::Bytes(vec![0x7f; 900]),
    ]);
    Bed::new(schema, &event)
}

/// What an expression takes: its answer or error, bytes, steps that are left.
fn cost(bed: &Bed, text: &str) -> Option<(Result<(), String>, usize)> {
    let expr = bed.compile(text).ok()?;
    let arena = Bump::new();
    let mut cx = Cx {
        schema: &bed.schema,
        arena: &arena,
        bytes: &bed.bytes,
        marks: &bed.marks,
        registers: &mut [],
        record: None,
        steps: 0,
    };
    let answer = expr
        .eval(&mut cx)
        .map(|_| ())
        .map_err(|error| error.message);
    Some((answer, arena.allocated_bytes()))
}

/// A million steps can make lists of that size, with what growing them leaves behind.
const MEMORY: usize = 128 << 20;

#[test]
fn what_would_take_long_is_stopped() {
    let bed = long_list();
    for text in [
        "xs.exists(a, xs.exists(b, a + b < 0))",
        "xs.map(a, xs.map(b, xs.map(c, a * b * c)))",
        "xs.all(a, xs.all(b, xs.all(c, xs.all(d, true))))",
        "xs.map(a, text + text)",
        "xs.map(a, text + string(a)).exists(t, t.contains('z'))",
        "xs.map(a, xs + xs)",
        "xs.filter(a, a in xs.filter(b, b > a))",
        "xs.map(a, xs) == [[1]] || xs.map(a, xs) == xs.map(b, xs)",
        "xs.map(a, text.matches('(a|b|c| )*z' + string(a)))",
        "xs.map(a, amount + amount)",
        "xs.map(a, text.size())",
    ] {
        let (answer, memory) =
            cost(&bed, text).unwrap_or_else(|| panic!("{text}: {:?}", bed.compile(text).err()));
        assert!(
            answer
                .as_ref()
                .is_err_and(|error| error.contains("stopped")),
            "{text}: {answer:?}"
        );
        assert!(memory < MEMORY, "{text}: {memory}");
    }
}

#[test]
fn decimals_do_not_grow_without_end() {
    let bed = long_list();
    let product = vec!["amount"; 20].join(" * ");
    let (answer, _) = cost(&bed, &product).expect("compiles");
    assert!(answer.is_err_and(|error| error.contains("digits")));
}

/// An array of nulls takes no bytes for each, so that a record of few bytes can say that it has any number.
#[test]
fn elements_without_bytes_take_steps() {
    let mut bed = long_list();
    let Some(at) = bed.marks.get(2).map(|at| *at as usize) else {
        panic!("three fields");
    };
    // A block of 2^40 elements.
    let mut block = Vec::new();
    crate::contract::varint::write(1 << 40, &mut block);
    block.push(0);
    bed.bytes.splice(at..=at, block);
    for text in [
        "size(nothing)",
        "nothing.all(x, x == null)",
        "nothing[1099511627775] == null",
    ] {
        let (answer, _) =
            cost(&bed, text).unwrap_or_else(|| panic!("{text}: {:?}", bed.compile(text).err()));
        assert!(
            answer
                .as_ref()
                .is_err_and(|error| error.contains("stopped")),
            "{text}: {answer:?}"
        );
    }
}

#[test]
fn deep_comprehensions_are_refused() {
    let bed = trip();
    let nest = |n: usize| format!("{}true{}", "tags.all(x, ".repeat(n), ")".repeat(n));
    assert!(bed.compile(&nest(8)).is_ok());
    let faults = bed.compile(&nest(9)).expect_err("nine");
    assert!(faults[0].message.contains("comprehensions"), "{faults:?}");
    let path = format!("guest{}", ".home".repeat(1_000));
    assert!(bed.compile(&path).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Comprehensions over comprehensions end, within the bound, with bounded memory.
    #[test]
    fn hostile_comprehensions_end(
        kinds in prop::collection::vec(0usize..6, 1..7),
        body in prop::sample::select(vec!["a", "text", "xs", "[xs]", "amount", "text + text", "{'k': xs}"]),
    ) {
        let bed = long_list();
        let mut text = format!("[{body}]");
        for (nth, kind) in kinds.iter().enumerate() {
            let name = if nth == 0 { "a" } else { "b" };
            text = match kind {
                0 => format!("xs.map({name}, {text})"),
                1 => format!("xs.map({name}, {name} > 7, {text})"),
                2 => format!("xs.filter({name}, size({text}) > 0)"),
                3 => format!("[xs.all({name}, size({text}) > 0)]"),
                4 => format!("({text} + {text})"),
                _ => format!("[xs.exists({name}, {text} == {text} && false)]"),
            };
        }
        let text = text.replace("[a]", "[xs.map(a, a)]");
        if let Some((answer, memory)) = cost(&bed, &text) {
            prop_assert!(memory < MEMORY, "{}: {}", text, memory);
            if let Err(error) = answer {
                prop_assert!(error.contains("stopped") || error.contains("digits"), "{}: {}", text, error);
            }
        }
    }

    /// Whatever is written ends as an expression that can be evaluated, or as faults.
    #[test]
    fn no_text_panics(parts in prop::collection::vec(prop::sample::select(vec![
        "n", "price", "rate", "note", "class", "tags", "legs", "props", "scores", "guest", ".age", ".email", "[0]", "['k']",
        ".miles", ".map(x, ", ".all(x, ", ".filter(n, ", "x", "at", "day", "local", "duration('1h')", "1", "-2.5", "'A'",
        "null", "true", "==", "<", "&&", "||", "!", "?", ":", "(", ")", "[", "]", "{", "}", ",", " in ", "has(", "size(",
        "+", "-", "*", "/", "%", ".orValue(", "string(", "int(", ".contains(", "é",
    ]), 1..10)) {
        let bed = trip();
        if let Ok(expr) = bed.compile(&parts.concat()) {
            let message = bed.eval(&expr).err().map(|error| error.message).unwrap_or_default();
            prop_assert!(!message.contains("that was checked") && !message.contains("was checked against"), "{}: {}", parts.concat(), message);
        }
    }
}
