use bumpalo::Bump;
use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::contract::schema::Schema;
use crate::expr::cx::STEPS;
use crate::expr::instant::Instant;
use crate::record::Record;

/// A text of such a type as a value, made from one text and one number so that every kind of argument is arbitrary.
fn argument<'a>(ty: Ty, text: &'a str, number: i64, arena: &'a Bump) -> Val<'a> {
    match ty {
        Ty::Bool => Val::Bool(number > 0),
        Ty::Int => Val::Int(number),
        Ty::Double => Val::Double(f64::from_bits(number.cast_unsigned())),
        Ty::Decimal => Val::Decimal(text.as_bytes(), u32::from(number.to_le_bytes()[0])),
        Ty::Text | Ty::NullableText => Val::Text(text),
        Ty::Bytes => Val::Bytes(text.as_bytes()),
        Ty::Date => Val::Date(i32::from_le_bytes(
            number.to_le_bytes()[..4].try_into().expect("4"),
        )),
        Ty::Timestamp | Ty::TimestampMillis | Ty::NullableTimestamp => {
            let last = Instant::from_nanosecond(253_402_300_799_999_999_999);
            let instant = Instant::from_microsecond(number).or(last);
            Val::Timestamp(instant.expect("the last is one"))
        }
        Ty::Duration => Val::Duration(SignedDuration::from_nanos(number)),
        Ty::Time => Val::Time(number),
        Ty::Enum => Val::Enum(0),
        Ty::Texts | Ty::List => {
            Val::List(arena.alloc_slice_copy(&[Val::Text(text), Val::Text("")]))
        }
        Ty::Map => Val::Map(arena.alloc_slice_copy(&[(Val::Text(text), Val::Int(number))])),
    }
}

fn is_of(ty: Ty, value: &Val<'_>) -> bool {
    match ty {
        Ty::NullableText => matches!(value, Val::Null | Val::Text(_)),
        Ty::NullableTimestamp => matches!(value, Val::Null | Val::Timestamp(_)),
        Ty::Bool => matches!(value, Val::Bool(_)),
        Ty::Int => matches!(value, Val::Int(_)),
        Ty::Double => matches!(value, Val::Double(_)),
        Ty::Decimal => matches!(value, Val::Decimal(..)),
        Ty::Text => matches!(value, Val::Text(_)),
        Ty::Bytes => matches!(value, Val::Bytes(_)),
        Ty::Date => matches!(value, Val::Date(_)),
        Ty::Timestamp | Ty::TimestampMillis => matches!(value, Val::Timestamp(_)),
        Ty::Duration => matches!(value, Val::Duration(_)),
        Ty::Time => matches!(value, Val::Time(_)),
        Ty::Texts | Ty::List => matches!(value, Val::List(_)),
        Ty::Enum => matches!(value, Val::Enum(_)),
        Ty::Map => matches!(value, Val::Map(_)),
    }
}

/// Words that some function wants as a constant; others are drawn at random.
const WORDS: &[&str] = &[
    "eu",
    "space",
    "half_up",
    "up",
    "%d/%m/%Y",
    "%F %T",
    "%FT%T%.f%:z",
    "%s %Q %A",
    "Europe/Berlin",
    "later",
    "DE",
    "us",
    "alpha3",
    "ms",
    "0.01",
    "key",
    "dns",
    "%% %s and %s",
    "%f",
    "%.3e",
    "%X",
];

fn with_cx<R>(record: Option<&Record<'_>>, steps: u64, run: impl FnOnce(&mut Cx<'_>) -> R) -> R {
    let schema = Schema::parse("\"null\"", &[]).expect("a schema");
    let arena = Bump::new();
    run(&mut Cx {
        schema: &schema,
        arena: &arena,
        bytes: &[],
        marks: &[],
        registers: &mut [],
        record,
        steps,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every form of every function takes what it says and gives what it says or an error, whatever the values are.
    #[test]
    fn no_function_panics(
        texts in prop::collection::vec("\\PC{0,40}|[0-9+(). ,'-]{0,20}|[a-z]{2,3}|.{0,8}", 4),
        numbers in prop::collection::vec(prop_oneof![any::<i64>(), -3i64..40], 4),
        constants in prop::collection::vec(prop_oneof![Just(None), (0..WORDS.len()).prop_map(Some)], 4),
    ) {
        let secrets = Secrets::new([("key".to_owned(), b"secret".to_vec())]);
        let key = texts[0].clone();
        let record = Record { key: Some(key.as_bytes()), timestamp: Some(numbers[0]), ..Record::default() };
        for function in all() {
            for form in function.forms {
                with_cx(Some(&record), STEPS, |cx| {
                    let arena = cx.arena;
                    let mut args = Vec::new();
                    let mut known = Vec::new();
                    for (at, (_, ty)) in form.params.iter().enumerate() {
                        let word = constants[at].filter(|_| *ty == Ty::Text).map(|word| WORDS[word]);
                        let text = arena.alloc_str(word.unwrap_or(&texts[at]));
                        let value = argument(*ty, text, numbers[at], arena);
                        args.push(value);
                        // A scale must be a constant.
                        known.push((word.is_some() || *ty == Ty::Int).then_some(value));
                    }
                    if let Ok(run) = (form.make)(&Constants { args: &known, secrets: &secrets }) {
                        match run.run(cx, &args) {
                            Ok(value) => assert!(is_of(form.result, &value), "{}: {value:?}", function.name),
                            Err(error) => assert!(!error.to_string().is_empty()),
                        }
                    }
                });
            }
        }
    }
}

fn forms_of(name: &str) -> &'static [Form] {
    named(name).expect("a function").forms
}

/// Calls the form with as many parameters, its constants among the arguments.
fn call<'a>(cx: &mut Cx<'a>, name: &str, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let known: Vec<Option<Val<'_>>> = args.iter().copied().map(Some).collect();
    let form = forms_of(name)
        .iter()
        .find(|form| form.params.len() == args.len())
        .expect("a form");
    let made = (form.make)(&Constants {
        args: &known,
        secrets: &Secrets::default(),
    });
    made.map_err(|(_, why)| CallError::Failed(why))?
        .run(cx, args)
}

/// Whatever reads or makes much takes steps, before it makes it.
#[test]
fn long_texts_take_steps() {
    let long = "é1 ".repeat(20_000);
    for function in all() {
        for form in function.callable() {
            let [(_, Ty::Text | Ty::Texts), ..] = form.params else {
                continue;
            };
            // These refuse a long text before they read it, or do not read it at all.
            if matches!(
                function.name,
                "redact" | "e164" | "header" | "uuidv5" | "format"
            ) {
                continue;
            }
            with_cx(None, STEPS, |cx| {
                let arena = cx.arena;
                let secrets = Secrets::new([("key".to_owned(), b"secret".to_vec())]);
                let mut args = vec![argument(form.params[0].1, arena.alloc_str(&long), 0, arena)];
                let mut known = vec![None];
                for (at, (_, ty)) in form.params.iter().enumerate().skip(1) {
                    let word = match (function.name, at) {
                        ("decimal", _) => "eu",
                        ("hmac", _) => "key",
                        ("country", _) => "alpha3",
                        ("parseDate", _) => "%F",
                        ("parseTimestamp", 1) if form.params.len() == 2 => "%F %T%z",
                        ("parseTimestamp", 1) => "%F %T",
                        ("parseTimestamp", 2) => "UTC",
                        ("parseTimestamp", _) => "later",
                        ("least" | "greatest", _) => arena.alloc_str(&long),
                        _ => "x",
                    };
                    args.push(argument(*ty, word, 2, arena));
                    known.push(args.last().copied());
                }
                let run = (form.make)(&Constants {
                    args: &known,
                    secrets: &secrets,
                })
                .expect(function.name);
                let _either = run.run(cx, &args);
                assert!(
                    STEPS - cx.steps >= (long.len() / 64) as u64,
                    "{} took {}",
                    function.name,
                    STEPS - cx.steps
                );
            });
        }
    }
}

#[test]
fn what_would_fill_the_memory_is_stopped() {
    for (name, args) in [
        (
            "padLeft",
            vec![Val::Text("x"), Val::Int(i64::MAX), Val::Text("é")],
        ),
        (
            "padLeft",
            vec![Val::Text("x"), Val::Int(1 << 40), Val::Text("é")],
        ),
        ("zip", vec![Val::Text("1"), Val::Int(1 << 40)]),
    ] {
        let stopped = with_cx(None, STEPS, |cx| call(cx, name, &args).map(|_| ()));
        assert_eq!(stopped, Err(CallError::TooLong), "{name}");
    }
    let text = "a".repeat(100_000);
    let stopped = with_cx(None, STEPS, |cx| {
        let text = Val::Text(cx.arena.alloc_str(&text));
        call(cx, "replace", &[text, Val::Text("a"), text]).map(|_| ())
    });
    assert_eq!(stopped, Err(CallError::TooLong));
}

#[test]
fn a_number_of_a_million_digits_is_refused_at_once() {
    let bytes = vec![1u8; 1 << 20];
    with_cx(None, STEPS, |cx| {
        let long = Val::Decimal(cx.arena.alloc_slice_copy(&bytes), 2);
        for args in [
            vec![long, Val::Int(2)],
            vec![long, long, Val::Int(2)],
            vec![long],
        ] {
            let name = ["abs", "round", "divide"][args.len() - 1];
            let form = forms_of(name)
                .iter()
                .find(|form| form.params[0].1 == Ty::Decimal)
                .expect("a form");
            let known: Vec<Option<Val<'_>>> = args.iter().copied().map(Some).collect();
            let run = (form.make)(&Constants {
                args: &known,
                secrets: &Secrets::default(),
            })
            .expect("made");
            let error = run.run(cx, &args).expect_err("too long");
            assert!(
                error.to_string().contains("1,000 digits"),
                "{name}: {error}"
            );
        }
    });
}

#[test]
fn the_table_is_complete() {
    let mut names = std::collections::BTreeSet::new();
    for function in all() {
        assert!(
            names.insert(function.name),
            "{} is there twice",
            function.name
        );
        assert!(
            reference::GROUPS
                .iter()
                .any(|(group, _)| *group == function.group),
            "{}: no such group",
            function.name
        );
        assert!(
            !function.doc.is_empty() && !function.forms.is_empty(),
            "{}",
            function.name
        );
        assert!(
            function.examples.len() >= 2,
            "{} has too few examples",
            function.name
        );
        assert!(
            function.callable().next().is_some(),
            "{} cannot be called",
            function.name
        );
        for example in function.examples {
            assert!(
                example.expr.contains(function.name),
                "{}: {}",
                function.name,
                example.expr
            );
        }
    }
}

/// A constant that can never do is told at `check`, with what there is instead.
#[test]
fn constants_are_checked() {
    for (name, args, place, expect) in [
        ("decimal", &["1", "german"][..], 1, "'eu'"),
        ("decimal", &["1.2.3"], 0, "expected a number"),
        ("parseDate", &["x", "%d/%m/%y"], 1, "century"),
        ("parseDate", &["03/04/2026"], 1, "declare the format"),
        ("parseTimestamp", &["x"], 1, "declare the format"),
        (
            "parseTimestamp",
            &["x", "%F %T", "Europe/Belrin"],
            2,
            "no time zone",
        ),
        (
            "parseTimestamp",
            &["x", "%F %T", "UTC", "first"],
            3,
            "'earlier', 'later'",
        ),
        ("e164", &["x", "GERMANY"], 1, "no region"),
        ("hmac", &["x", "other"], 1, "there are a, key"),
        ("convert", &["x", "1,5"], 1, "factor"),
        ("country", &["x", "alpha4"], 1, "'alpha3'"),
        ("uuidv5", &["shop", "x"], 0, "no namespace"),
        ("padLeft", &["x", "2", "ab"], 2, "one character"),
    ] {
        let known: Vec<Option<Val<'_>>> = args.iter().map(|text| Some(Val::Text(text))).collect();
        let secrets = Secrets::new([("key".to_owned(), vec![1]), ("a".to_owned(), vec![2])]);
        let form = forms_of(name)
            .iter()
            .find(|form| form.params.len() == args.len())
            .expect("a form");
        let Err((at, why)) = (form.make)(&Constants {
            args: &known,
            secrets: &secrets,
        }) else {
            panic!("{name}{args:?} is taken");
        };
        assert!(
            at == place && why.contains(expect),
            "{name}{args:?}: {at} {why}"
        );
    }
}
