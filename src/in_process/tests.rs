use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::error::Reason;
use crate::transform::native::{
    Bound, EventType, Input, NativeError, Output as Out, Params, Refusal, Work,
};

const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"id","type":"string"},
    {"name":"status","type":{"type":"enum","name":"Status","symbols":["PAID","SENT"]}},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
    {"name":"note","type":["null","string"],"default":null},
    {"name":"home","type":{"type":"record","name":"Home","fields":[{"name":"city","type":"string"},{"name":"zip","type":"string"}]}},
    {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[{"name":"sku","type":"string"},{"name":"n","type":"int"}]}}},
    {"name":"tags","type":{"type":"map","values":"string"}}]}"#;

/// A native step of closures.
struct Step<B>(B);

impl<B> Native for Step<B>
where
    B: Fn(&EventType<'_>, &Params<'_>) -> Result<Bound, Refusal> + Send + Sync,
{
    fn bind(&self, event: &EventType<'_>, params: &Params<'_>) -> Result<Bound, Refusal> {
        (self.0)(event, params)
    }
}

fn step<B>(bind: B) -> Step<B>
where
    B: Fn(&EventType<'_>, &Params<'_>) -> Result<Bound, Refusal> + Send + Sync,
{
    Step(bind)
}

type Result2 = Result<(), NativeError>;

/// Work that needs no state.
fn work(run: for<'a> fn(&Input<'_, 'a>, &mut Out<'a>) -> Result2) -> Bound {
    Bound::new(move || run)
}

fn order() -> Json {
    json!({"id": "o-1", "status": "SENT", "amount": "12.30", "note": null,
        "home": {"city": "Łódź", "zip": "00-001"},
        "lines": [{"sku": "a", "n": 2}, {"sku": "b", "n": 3}], "tags": {"x": "1"}})
}

fn sink(fields: &str) -> String {
    format!(
        r#"{{"type":"record","name":"Out","fields":[{{"name":"id","type":"string"}},{fields}]}}"#
    )
}

fn run(native: impl Native + 'static, steps: &str, fields: &str) -> Ended {
    let pipeline = InProcess::builder("orders")
        .contract(ORDER)
        .sink(&sink(fields))
        .steps(steps)
        .native("mine", native)
        .build();
    let mut pipeline = pipeline.unwrap_or_else(|error| panic!("{error}"));
    pipeline.process_json(&order()).expect("an order")
}

fn output(native: impl Native + 'static, steps: &str, fields: &str) -> Json {
    let ended = run(native, steps, fields);
    ended.output().unwrap_or_else(|| panic!("{ended:?}"))
}

fn error(native: impl Native + 'static, fields: &str) -> RecordError {
    let ended = run(native, "- native: { name: mine }", fields);
    let error = ended.error().cloned();
    error.unwrap_or_else(|| panic!("{ended:?}"))
}

fn faults(native: impl Native + 'static, steps: &str) -> String {
    let built = InProcess::builder("orders")
        .contract(ORDER)
        .steps(steps)
        .native("mine", native)
        .build();
    match built {
        Ok(_) => panic!("it compiles"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_native_step_reads_and_writes_values_of_every_kind() {
    let native = step(|_: &EventType<'_>, _: &Params<'_>| {
        let bound = work(|input, output| {
            let total: i64 = input
                .get(0)
                .elements()
                .iter()
                .filter_map(|line| line.field("n")?.int())
                .sum();
            output.set(0, crate::expr::Val::Int(total));
            let (status, amount) = (input.get(1).text(), input.get(2).decimal());
            output.set_text(
                1,
                &format!("{} {}", status.unwrap_or("?"), amount.unwrap_or_default()),
            );
            let doubled = output
                .decimal("24.6")
                .ok_or(NativeError::record("no number"))?;
            output.set(2, doubled);
            let entries = input.get(3).entries();
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| (*key, value.val()))
                .collect();
            let map = output.map(&entries);
            output.set(3, map);
            let list = output.list(&[input.get(4).val(), output.text("ż")]);
            output.set(4, list);
            output.set_text(5, "PAID");
            output.set(6, crate::expr::Val::Null);
            Ok(())
        });
        Ok(bound
            .reads("lines")
            .reads("status")
            .reads("amount")
            .reads("tags")
            .reads("home.city")
            .writes("pieces", "int")
            .writes("words", "string")
            .writes(
                "amount",
                r#"{"type":"bytes","logicalType":"decimal","precision":12,"scale":3}"#,
            )
            .writes("labels", r#"{"type":"map","values":"string"}"#)
            .writes("home.names", r#"{"type":"array","items":"string"}"#)
            .writes(
                "status",
                r#"{"type":"enum","name":"S","symbols":["SENT","PAID"]}"#,
            )
            .writes("note", r#"["null","long"]"#))
    });
    let fields = r#"{"name":"pieces","type":"int"},{"name":"words","type":"string"},
        {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":3}},
        {"name":"labels","type":{"type":"map","values":"string"}},{"name":"names","type":{"type":"array","items":"string"}},
        {"name":"status","type":"string"},{"name":"note","type":["null","long"]}"#;
    let steps =
        "- native: { name: mine }\n- move: { home.names: names }\n- cast: { status: string }";
    assert_eq!(
        output(native, steps, fields),
        json!({"id": "o-1", "pieces": 5, "words": "SENT 12.30", "amount": "24.600", "labels": {"x": "1"},
            "names": ["Łódź", "ż"], "status": "PAID", "note": null})
    );
}

#[test]
fn it_sees_what_the_steps_before_it_made_and_passes_records_through() {
    let native = step(|_: &EventType<'_>, _: &Params<'_>| {
        let bound = work(|input, output| {
            output.set(0, input.get(0).val());
            output.set(1, input.get(1).val());
            Ok(())
        });
        let home = r#"{"type":"record","name":"Home","namespace":"shop","fields":[{"name":"city","type":"string"},{"name":"zip","type":"string"}]}"#;
        Ok(bound
            .reads("loud")
            .reads("home")
            .writes("copy", "string")
            .writes("where", format!(r#"["null",{home}]"#)))
    });
    let fields = r#"{"name":"copy","type":"string"},{"name":"where","type":["null",
        {"type":"record","name":"Home","fields":[{"name":"city","type":"string"},{"name":"zip","type":"string"}]}]}"#;
    let steps =
        "- set: { loud: 'id.upperAscii()', home.city: \"'Warszawa'\" }\n- native: { name: mine }";
    let found = output(native, steps, fields);
    assert_eq!(found["copy"], json!("O-1"));
    assert!(found["where"].to_string().contains("Warszawa"), "{found}");
}

#[test]
fn what_does_not_fit_the_declared_type_is_a_dead_letter_with_its_path() {
    type Run = for<'a> fn(&Input<'_, 'a>, &mut Out<'a>) -> Result2;
    let cases: [(&str, Run, &str); 6] = [
        (
            "int",
            |_, output| {
                output.set_text(0, "x");
                Ok(())
            },
            "expected int, found string",
        ),
        (
            "int",
            |_, output| {
                output.set(0, crate::expr::Val::Int(1 << 40));
                Ok(())
            },
            "out of the range of an int",
        ),
        ("int", |_, _| Ok(()), "left this field unset"),
        (
            "string",
            |_, output| {
                output.set(0, crate::expr::Val::Null);
                Ok(())
            },
            "expected string, found null",
        ),
        (
            // Fields of the same bytes under other names.
            r#"{"type":"record","name":"Home","namespace":"shop","fields":[{"name":"zip","type":"string"},{"name":"city","type":"string"}]}"#,
            |input, output| {
                output.set(0, input.get(0).val());
                Ok(())
            },
            "found another record",
        ),
        (
            r#"{"type":"record","name":"Home","namespace":"shop","fields":[{"name":"city","type":"string"},{"name":"zip","type":"string"}]}"#,
            |input, output| {
                let crate::expr::Val::Avro(node, _) = input.get(0).val() else {
                    return Err(NativeError::record("no record"));
                };
                output.set(0, crate::expr::Val::Avro(node, &[2, 0xff, 0]));
                Ok(())
            },
            "no value of its type",
        ),
    ];
    for (avro, run, expect) in cases {
        let native = step(move |_: &EventType<'_>, _: &Params<'_>| {
            Ok(work(run).reads("home").writes("made", avro))
        });
        let found = error(native, r#"{"name":"note","type":["null","string"]}"#);
        assert_eq!(found.reason, Reason::TransformFailed, "{expect}");
        assert_eq!(found.path, "made", "{expect}");
        assert!(found.message.contains(expect), "{}", found.message);
        assert!(
            found.message.starts_with("step 1 (native mine): "),
            "{}",
            found.message
        );
    }
}

#[test]
fn an_error_says_whether_the_record_may_pass_later() {
    let fields = r#"{"name":"note","type":["null","string"]}"#;
    let native = step(|_: &EventType<'_>, _: &Params<'_>| {
        Ok(work(|_, _| Err(NativeError::record("no such shop").at("id"))).reads("id"))
    });
    let found = error(native, fields);
    assert_eq!(
        (found.reason, found.path.as_str()),
        (Reason::TransformFailed, "id")
    );
    let native = step(|_: &EventType<'_>, _: &Params<'_>| {
        Ok(work(|_, _| {
            let wait = Some(Duration::from_secs(7));
            Err(NativeError::unavailable("not loaded yet", wait))
        }))
    });
    let ended = run(native, "- native: { name: mine }", fields);
    let Ended::Failed { error, disposition } = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(disposition, Disposition::RetryUntilBudget);
    assert_eq!(error.reason, Reason::NativeUnavailable);
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
}

/// Counts its records, and panics on every third.
struct Third(usize);

impl Work for Third {
    fn run<'a>(&mut self, input: &Input<'_, 'a>, output: &mut Out<'a>) -> Result2 {
        self.0 += 1;
        assert!(
            self.0 < 3,
            "the third: {}",
            input.get(0).text().unwrap_or_default()
        );
        output.set(0, crate::expr::Val::Int(i64::try_from(self.0).unwrap_or(0)));
        Ok(())
    }
}

#[test]
fn a_panic_fails_its_record_and_the_next_one_gets_new_work() {
    let made = Arc::new(AtomicUsize::new(0));
    let native = {
        let made = Arc::clone(&made);
        step(move |_: &EventType<'_>, _: &Params<'_>| {
            let made = Arc::clone(&made);
            let bound = Bound::new(move || {
                made.fetch_add(1, Ordering::Relaxed);
                Third(0)
            });
            Ok(bound.reads("id").writes("n", "int"))
        })
    };
    let pipeline = InProcess::builder("orders")
        .contract(ORDER)
        .sink(&sink(r#"{"name":"n","type":"int"}"#))
        .steps("- native: { name: mine }")
        .native("mine", native)
        .build();
    let mut pipeline = pipeline.expect("it compiles");
    let mut ends = Vec::new();
    for _ in 0..5 {
        let ended = pipeline.process_json(&order()).expect("an order");
        ends.push(match ended.error() {
            Some(error) => {
                assert_eq!(error.message, "step 1 (native mine): the step panicked");
                assert_eq!(error.reason, Reason::TransformFailed);
                None
            }
            None => ended.output().and_then(|output| output["n"].as_i64()),
        });
    }
    assert_eq!(ends, [Some(1), Some(2), None, Some(1), Some(2)]);
    assert_eq!(made.load(Ordering::Relaxed), 2);
}

#[test]
fn what_is_wrong_with_a_step_is_told_before_the_first_record() {
    let reads = |path: &'static str| {
        step(move |_: &EventType<'_>, _: &Params<'_>| Ok(work(|_, _| Ok(())).reads(path)))
    };
    let writes = |path: &'static str, avro: &'static str| {
        step(move |_: &EventType<'_>, _: &Params<'_>| Ok(work(|_, _| Ok(())).writes(path, avro)))
    };
    let plain = "- native: { name: mine }";
    for (found, expect) in [
        (faults(reads("idd"), plain), "did you mean `id`?"),
        (faults(reads("lines[].sku"), plain), "there many times"),
        (faults(writes("x", "strng"), plain), "no Avro type"),
        (
            faults(writes("lines.x", "string"), plain),
            "no record that is always there",
        ),
        (
            faults(writes("no-name", "string"), plain),
            "cannot be the name of a field",
        ),
        (
            faults(reads("id"), "- native: { name: mind }"),
            "did you mean `mine`?",
        ),
        (faults(reads("id"), "- native: { nam: mine }"), "name"),
    ] {
        assert!(found.contains(expect), "{expect}: {found}");
    }
    let twice = step(|_: &EventType<'_>, _: &Params<'_>| {
        Ok(work(|_, _| Ok(()))
            .writes("home", "string")
            .writes("home.city", "string"))
    });
    assert!(faults(twice, plain).contains("writes `home` and `home.city`"));
    let picky = || {
        step(|event: &EventType<'_>, params: &Params<'_>| {
            params.only(&["size"])?;
            let size: u32 = params.parsed("size", 3)?;
            match event.field("note").as_deref() {
                Some("string") => Ok(work(|_, _| Ok(()))),
                other => Err(Refusal::new(format!("`note` is {other:?}, size {size}"))
                    .hint("default it first")),
            }
        })
    };
    for (params, expect) in [
        ("{ sise: 4 }", "there is no parameter `sise`"),
        ("{ size: many }", "`size` is no u32"),
        ("{ size: 4 }", "size 4"),
    ] {
        let found = faults(
            picky(),
            &format!("- native: {{ name: mine, params: {params} }}"),
        );
        assert!(found.contains(expect), "{expect}: {found}");
    }
}

#[test]
fn the_plain_program_has_no_native_steps() {
    let built = InProcess::builder("orders")
        .contract(ORDER)
        .steps("- native: { name: mine }")
        .build();
    let message = built.map(|_| ()).expect_err("no such step").to_string();
    assert!(
        message.contains("this program has no native step `mine`"),
        "{message}"
    );
    assert!(message.contains("docs/native.md"), "{message}");
}

#[test]
fn a_later_step_is_checked_against_what_a_native_step_writes() {
    let native =
        step(|_: &EventType<'_>, _: &Params<'_>| Ok(work(|_, _| Ok(())).writes("made", "long")));
    let found = faults(
        native,
        "- native: { name: mine }\n- filter: \"made == 'x'\"",
    );
    assert!(found.contains("made == 'x'"), "{found}");
}

#[test]
fn records_end_as_a_worker_would_end_them() {
    let pipeline = InProcess::builder("orders")
        .contract(ORDER)
        .rules("rules:\n  - { name: has-lines, field: lines, length: { min: 1 } }\n")
        .steps("- filter: \"status != 'PAID'\"\n- header: { seen: id }\n- key: id")
        .writer(7, r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"int"}]}"#)
        .build();
    let mut pipeline = pipeline.unwrap_or_else(|error| panic!("{error}"));
    let ended = pipeline.process_json(&order()).expect("an order");
    let Ended::Emitted(emitted) = &ended else {
        panic!("{ended:?}");
    };
    assert_eq!(emitted[0].json(), order());
    assert_eq!(emitted[0].key.as_deref(), Some(&b"o-1"[..]));
    assert_eq!(
        emitted[0].headers,
        [("seen".to_owned(), Some(b"o-1".to_vec()))]
    );
    let with = |key: &str, value: Json| {
        let mut order = order();
        order[key] = value;
        order
    };
    let ended = pipeline
        .process_json(&with("status", json!("PAID")))
        .expect("an order");
    assert!(matches!(ended, Ended::Filtered), "{ended:?}");
    let ended = pipeline
        .process_json(&with("lines", json!([])))
        .expect("an order");
    assert_eq!(
        ended.error().map(|error| error.reason),
        Some(Reason::RuleViolation)
    );
    let framed = pipeline.frame(7, &json!({"id": 3})).expect("a value");
    let tombstone = pipeline.process(&Record::default());
    assert!(
        matches!(tombstone, Ended::Emitted(ref one) if one[0].value.is_none()),
        "{tombstone:?}"
    );
    for (value, expect) in [
        (&framed[..], Reason::IncompatibleSchema),
        (&[0, 0, 0, 0, 99, 2], Reason::UnknownSchema),
        (b"{}", Reason::UnframedJson),
    ] {
        let ended = pipeline.process(&Record {
            value: Some(value),
            ..Record::default()
        });
        assert_eq!(
            ended.error().map(|error| error.reason),
            Some(expect),
            "{ended:?}"
        );
    }
    let not_an_order = pipeline.process_json(&json!({"id": 1}));
    assert!(not_an_order.is_err());
}
