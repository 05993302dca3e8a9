//! Every example of every function, as the pages show them.

use bumpalo::Bump;

use super::support::shown;
use crate::contract::schema::Schema;
use crate::expr::functions::all;
use crate::expr::scope::{Located, Place, Profile, Scope, Secrets};
use crate::expr::testing::placed;
use crate::expr::value::{Val, compare_decimals};
use crate::expr::{Cx, Expr};
use crate::record::Record;

fn answer(schema: &Schema, text: &str) -> Result<String, String> {
    let nowhere = |_: &[usize]| Located {
        place: Place::Register(0),
        depth: 0,
    };
    let secrets = Secrets::new([("example".to_owned(), b"key".to_vec())]);
    let scope = Scope {
        schema,
        root: None,
        locate: &nowhere,
        variables: Vec::new(),
        constants: Vec::new(),
        secrets: &secrets,
        profile: Profile::Checked,
        record: true,
    };
    let expr = Expr::compile(&placed(text), &scope).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        faults.join("; ")
    })?;
    let record = Record {
        topic: "orders",
        partition: 3,
        offset: 42,
        timestamp: Some(1_767_225_600_000),
        key: Some(b"k-1"),
        value: None,
        headers: vec![("source", Some(b"web")), ("binary", Some(&[0xff]))],
    };
    let arena = Bump::new();
    let mut cx = Cx {
        schema,
        arena: &arena,
        bytes: &[],
        marks: &[],
        registers: &mut [],
        record: Some(&record),
        steps: 0,
    };
    let value = expr.eval(&mut cx).map_err(|error| error.to_string())?;
    Ok(match value {
        // Decimals are the same by value.
        Val::Decimal(unscaled, scale) => {
            let text = shown(schema, value);
            let trimmed = text.trim_end_matches('0').trim_end_matches('.');
            let shorter = crate::expr::number::Decimal::parse_plain(trimmed);
            match shorter.filter(|_| text.contains('.')) {
                Some(shorter) => {
                    let bytes = shorter.unscaled.to_signed_bytes_be();
                    let places = u32::try_from(shorter.scale).expect("a short text");
                    let order = compare_decimals((&bytes, places), (unscaled, scale));
                    assert!(order.is_eq(), "{text}");
                    shorter.to_text()
                }
                None => text,
            }
        }
        value => shown(schema, value),
    })
}

#[test]
fn examples_are_true() {
    let schema = Schema::parse("\"null\"", &[]).expect("a schema");
    let mut wrong = Vec::new();
    for function in all() {
        for example in function.examples {
            let answered = answer(&schema, example.expr);
            match example.result.strip_prefix("error: ") {
                Some(part) if answered.as_ref().is_err_and(|error| error.contains(part)) => {}
                None if answered.is_ok() && answered == answer(&schema, example.result) => {}
                _ => wrong.push(format!("{}: {answered:?}", example.expr)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
