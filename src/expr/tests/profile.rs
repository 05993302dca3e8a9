//! Confluent's profile: variables, nulls at run time, errors that the other side absorbs.

use super::language::trip;
use super::support::Bed;
use crate::expr::scope::{Constant, Located, Place, Profile, Scope, Secrets, Variable};
use crate::expr::testing::placed;
use crate::expr::{Cx, Expr, Val};
use bumpalo::Bump;

/// `message` is the trip, in a register.
fn answer(bed: &Bed, text: &str) -> Result<bool, String> {
    let nowhere = |_: &[usize]| Located {
        place: Place::Register(9),
        depth: 0,
    };
    let secrets = Secrets::default();
    let variable = |name: &str| Variable {
        name: name.to_owned(),
        node: bed.schema.root,
        place: Place::Register(0),
    };
    let scope = Scope {
        schema: &bed.schema,
        root: None,
        locate: &nowhere,
        variables: vec![variable("message"), variable("value")],
        constants: vec![
            ("name".to_owned(), Constant::Text("note".to_owned())),
            ("tags".to_owned(), Constant::Texts(vec!["PII".to_owned()])),
            (
                "typeName".to_owned(),
                Constant::UnlessNull("RECORD".to_owned(), "NULL".to_owned()),
            ),
        ],
        secrets: &secrets,
        profile: Profile::Confluent,
        record: false,
    };
    let expr = Expr::compile_condition(&placed(text), &scope)
        .map_err(|faults| format!("check: {}", faults[0]))?;
    let arena = Bump::new();
    let mut registers = [Val::Avro(bed.schema.root, &bed.bytes)];
    let mut cx = Cx {
        schema: &bed.schema,
        arena: &arena,
        bytes: &[],
        marks: &[],
        registers: &mut registers,
        record: None,
        steps: 0,
    };
    expr.eval_bool(&mut cx).map_err(|error| error.message)
}

#[test]
fn conditions_answer() {
    let bed = trip();
    for (text, expect) in [
        ("message.n == 3", Ok(true)),
        ("message.n == 3u", Ok(true)),
        ("message.note == 'hi'", Ok(true)),
        ("message.seats == 1", Ok(false)),
        ("message.seats != 1", Ok(true)),
        (
            "message.seats == message.n || message.seats == message.seats",
            Ok(true),
        ),
        ("message.seats in [1, 2]", Ok(false)),
        ("message.note in ['hi']", Ok(true)),
        ("message.seats > 1", Err("`message.seats` is null")),
        ("message.seats > 1 || message.n == 3", Ok(true)),
        ("message.n == 3 || message.seats > 1", Ok(true)),
        ("message.seats > 1 && message.n == 4", Ok(false)),
        ("message.seats > 1 && message.n == 3", Err("is null")),
        ("message.flag", Err("`message.flag` is null")),
        ("message.nobody.age == 4", Err("`message.nobody` is null")),
        ("message.nobody.age == 4 || true", Ok(true)),
        ("message.guest.home.city == 'Ulm'", Ok(true)),
        ("has(message.nobody.email)", Ok(false)),
        ("message.legs.all(l, l.miles > 0)", Ok(true)),
        ("message.legs.exists(l, l.gate.startsWith('B'))", Ok(true)),
        (
            "message.legs.all(l, l.gate.startsWith('B'))",
            Err("is null"),
        ),
        ("message.scores.exists(s, s > 2)", Ok(true)),
        (
            "message.nothing.all(x, x == 'y')",
            Err("`message.nothing` is null"),
        ),
        ("size(message.note) == 2", Ok(true)),
        (
            "name == 'note' && 'PII' in tags && typeName == 'RECORD'",
            Ok(true),
        ),
        ("message.tags.exists(name, name == 'b')", Ok(true)),
        ("message.n / 0 == 1 || true", Ok(true)),
        ("n == 3", Err("check: t.yaml:3:5: there is no variable `n`")),
        (
            "message.n",
            Err("check: t.yaml:3:5: a condition must be true or false; this is int"),
        ),
    ] {
        match (answer(&bed, text), expect) {
            (Ok(got), Ok(expect)) => assert_eq!(got, expect, "{text}"),
            (Err(got), Err(expect)) => assert!(got.contains(expect), "{text}: {got}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }
}

/// Being stopped is no error that another side makes up for.
#[test]
fn being_stopped_is_not_absorbed() {
    let bed = trip();
    let long = "message.tags.exists(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, \
                [1,2,3,4,5,6,7,8,9].all(e, [1,2,3,4,5,6,7,8,9].all(f, [1,2,3,4,5,6,7,8,9].all(g, true))))))) || true";
    let answer = answer(&bed, long);
    assert!(
        answer
            .as_ref()
            .is_err_and(|error| error.contains("stopped")),
        "{answer:?}"
    );
}
