//! Runs every example of every function, as it stands in the documentation.

use bumpalo::Bump;

use super::{Example, Function, all};
use crate::contract::schema::Schema;
use crate::expr::scope::{Located, Place, Profile, Scope, Secrets};
use crate::expr::testing::placed;
use crate::expr::value::{Val, compare_decimals};
use crate::expr::{Cx, Expr};
use crate::record::Record;

/// What the documentation says that the examples of the group `record` are run on.
fn record() -> Record<'static> {
    Record {
        topic: "orders",
        partition: 3,
        offset: 42,
        timestamp: Some(1_767_225_600_000),
        key: Some(b"k-1"),
        value: None,
        headers: vec![
            ("source", Some(b"shop")),
            ("source", Some(b"web")),
            ("binary", Some(&[0xff, 0xfe])),
        ],
    }
}

/// Compiles and evaluates; the message, if either fails.
fn evaluate<R>(text: &str, then: impl FnOnce(Result<Val<'_>, String>) -> R) -> R {
    let schema = Schema::parse("\"null\"", &[]).expect("a schema");
    let secrets = Secrets::new([("example".to_owned(), b"key".to_vec())]);
    let nowhere = |_: &[usize]| Located {
        place: Place::Register(0),
        depth: 1,
    };
    let scope = Scope {
        schema: &schema,
        root: None,
        locate: &nowhere,
        variables: Vec::new(),
        constants: Vec::new(),
        secrets: &secrets,
        profile: Profile::Checked,
        record: true,
    };
    let expr = match Expr::compile(&placed(text), &scope) {
        Ok(expr) => expr,
        Err(faults) => {
            let all: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
            return then(Err(all.join("; ")));
        }
    };
    let (arena, record) = (Bump::new(), record());
    let mut cx = Cx {
        schema: &schema,
        arena: &arena,
        bytes: &[],
        marks: &[],
        registers: &mut [],
        record: Some(&record),
        steps: 0,
    };
    let result = expr.eval(&mut cx).map_err(|error| error.to_string());
    then(result)
}

/// As `==` has it.
fn same(left: &Val<'_>, right: &Val<'_>) -> bool {
    match (left, right) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Int(a), Val::Int(b)) => a == b,
        (Val::Double(a), Val::Double(b)) => a == b,
        (Val::Text(a), Val::Text(b)) => a == b,
        (Val::Bytes(a), Val::Bytes(b)) => a == b,
        (Val::Decimal(a, scale), Val::Decimal(b, other)) => {
            compare_decimals((a, *scale), (b, *other)).is_eq()
        }
        (Val::Timestamp(a), Val::Timestamp(b)) => a == b,
        (Val::Duration(a), Val::Duration(b)) => a == b,
        (Val::Date(a), Val::Date(b)) => a == b,
        (Val::Time(a), Val::Time(b)) => a == b,
        (Val::List(a), Val::List(b)) => {
            a.len() == b.len() && a.iter().zip(*b).all(|(a, b)| same(a, b))
        }
        (Val::Map(a), Val::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(*b)
                    .all(|(a, b)| same(&a.0, &b.0) && same(&a.1, &b.1))
        }
        _ => false,
    }
}

fn check(function: &Function, example: &Example) -> Result<(), String> {
    let Example { expr, result } = example;
    let told = |what: String| Err(format!("{}: `{expr}`: {what}", function.name));
    evaluate(expr, |found| {
        match (found, result.strip_prefix("error: ")) {
            (Err(error), Some(part)) if error.contains(part) => Ok(()),
            (Err(error), _) => told(format!("fails with {error:?}, expected {result}")),
            (Ok(found), Some(_)) => told(format!("gives {found:?}, expected {result}")),
            (Ok(found), None) => evaluate(result, |expect| match expect {
                Ok(expect) if same(&found, &expect) => Ok(()),
                expect => told(format!("gives {found:?}, expected {expect:?}")),
            }),
        }
    })
}

#[test]
fn every_example_is_true() {
    let mut wrong = Vec::new();
    for function in all() {
        for example in function.examples {
            wrong.extend(check(function, example).err());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
