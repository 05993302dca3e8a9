//! What is fuzzed: each takes any bytes and must neither panic nor run long nor take much memory, whatever they are.
//! Beside that, each checks what can be checked without knowing the input.

use std::sync::{Arc, OnceLock};

use driftgate::contract::decode::{Limits, decode};
use driftgate::contract::encode::encode;
use driftgate::contract::plan::{ABSENT, Plan, Scratch};
use driftgate::contract::schema::Schema;
use driftgate::contract::wire;

#[path = "expressions.rs"]
mod expressions;
pub(crate) use expressions::{expression, soup};

/// A target, its name, and how many inputs are tried without more time: parsing an expression takes half a millisecond.
pub(crate) type Target = (&'static str, fn(&[u8]), usize);

/// All targets; `fuzz/fuzz_targets/` has a program for each.
pub(crate) const TARGETS: [Target; 5] = [
    ("wire", framing, 20_000),
    ("compile", compile, 20_000),
    ("run", run, 20_000),
    ("expression", expression, 4_000),
    ("soup", soup, 4_000),
];

/// Smaller than in production, so that a bomb shows in a test's memory.
const LIMITS: Limits = Limits {
    depth: 64,
    elements: 100_000,
    bytes: 1024 * 1024,
};

/// A value, with what may stand in its schema headers: the frame is read, or refused.
pub(crate) fn framing(data: &[u8]) {
    let (header, value) = data.split_at(data.len().min(17));
    for headers in [
        Vec::new(),
        vec![(wire::VALUE_HEADER, Some(header))],
        vec![(wire::VALUE_HEADER, None)],
    ] {
        if let Ok((_, payload)) = wire::read(value, &headers) {
            assert!(
                value.ends_with(payload),
                "a payload is the end of its value"
            );
        }
    }
}

/// Two schema texts and a record, each ended by a zero byte: they compile, or say why not; and then the plan runs.
pub(crate) fn compile(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let (Some(writer), Some(reader)) = (text(), text()) else {
        return;
    };
    let schema = |text: &str| Schema::parse(text, &[]);
    if let (Ok(writer), Ok(reader)) = (schema(writer), schema(reader))
        && let Ok(plan) = Plan::compile(&writer, &reader, &[vec![0], vec![1, 0]])
    {
        hold(&plan, &writer, &reader, parts.next().unwrap_or_default());
    }
}

/// The number of a pair of schemas, and a record's bytes.
pub(crate) fn run(data: &[u8]) {
    static PAIRS: OnceLock<Vec<(Arc<Schema>, Schema, Plan)>> = OnceLock::new();
    let pairs = PAIRS.get_or_init(|| {
        let texts = include_str!("schemas.jsonl").lines().collect::<Vec<_>>();
        let schema = |text: &str| Schema::parse(text, &[]).expect("a schema");
        let pair = |pair: &[&str]| {
            let (writer, reader) = (Arc::new(schema(pair[0])), schema(pair[1]));
            let wanted = [vec![0], vec![1], vec![2, 0]];
            let plan = Plan::compile(&writer, &reader, &wanted).expect("compatible");
            (writer, reader, plan)
        };
        texts.chunks_exact(2).map(pair).collect()
    });
    let Some((number, record)) = data.split_first() else {
        return;
    };
    let (writer, reader, plan) = &pairs[usize::from(*number) % pairs.len()];
    hold(plan, writer, reader, record);
}

/// A record passes or is refused; what passes is a value of the reader, and the tree reads the same.
fn hold(plan: &Plan, writer: &Schema, reader: &Schema, record: &[u8]) {
    let mut scratch = Scratch::default();
    match plan.run(record, &LIMITS, &mut scratch) {
        Ok(view) => {
            let value = decode(reader, view.bytes, &LIMITS).expect("bytes of the reader");
            let mut again = Vec::new();
            encode(reader, &value, &mut again).expect("a value of the reader");
            for mark in view.marks {
                assert!(*mark == ABSENT || *mark as usize <= view.bytes.len());
            }
            assert!(
                decode(writer, record, &LIMITS).is_ok(),
                "the tree reads it too"
            );
        }
        Err(error) => assert!(
            !error.message.contains("fault of this program"),
            "plan and tree disagree: {error}"
        ),
    }
}
