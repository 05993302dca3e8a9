//! The plan against the tree, and what its bytes are.

use proptest::prelude::*;

use super::program::Op;
use super::*;
use crate::contract::arbitrary::{ANY, Evolution, Generator, sized_blocks};
use crate::contract::encode::{encode, encode_node};
use crate::contract::schema::Kind;
use crate::contract::value::Value;

fn schema(fields: &str) -> Schema {
    let text = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    Schema::parse(&text, &[]).expect("schema")
}

#[test]
fn a_plan_validates_resolves_and_says_where_it_stopped() {
    let writer = schema(r#"{"name":"a","type":"int"},{"name":"gone","type":"string"}"#);
    let reader = schema(
        r#"{"name":"n","type":"string","default":"x"},{"name":"b","aliases":["a"],"type":"long"}"#,
    );
    let mut bytes = Vec::new();
    let value = Value::Record(vec![Value::Int(7), Value::String("s".into())]);
    encode(&writer, &value, &mut bytes).expect("fits");
    let plan = Plan::compile(&writer, &reader, &[vec![1]]).expect("compatible");
    assert!(!plan.is_same());
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let view = plan.run(&bytes, &limits, &mut scratch).expect("valid");
    assert_eq!((view.bytes, view.marks), (&[2, b'x', 14][..], &[2][..]));
    bytes.push(0);
    let error = plan
        .run(&bytes, &limits, &mut scratch)
        .expect_err("refused");
    assert_eq!(
        (error.reason, error.byte_offset),
        (Reason::MalformedData, Some(3))
    );
}

#[test]
fn an_incompatible_pair_lists_what_differs_in_bounded_text() {
    let fields: Vec<_> = (0..9)
        .map(|i| format!(r#"{{"name":"f{i}","type":"int"}}"#))
        .collect();
    let error = Plan::compile(&schema(""), &schema(&fields.join(",")), &[]).expect_err("refused");
    assert_eq!(error.reason, Reason::IncompatibleSchema);
    assert_eq!(error.path, "f0");
    assert!(
        error.message.contains("f4: ") && !error.message.contains("f5: "),
        "{error}"
    );
    assert!(error.message.ends_with("; and 4 more"), "{error}");
    let long = "x".repeat(500);
    let wide = schema(&format!(r#"{{"name":"{long}","type":"int"}}"#));
    assert!(
        Plan::compile(&schema(""), &wide, &[])
            .expect_err("refused")
            .message
            .len()
            < 400
    );
}

fn parsed(text: &str) -> Schema {
    Schema::parse(text, &[]).expect("schema")
}

fn field(name: &str, of: &str) -> String {
    format!(r#"{{"name":"{name}","type":{of}}}"#)
}

fn rec(name: &str, fields: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
}

fn symbols(name: &str, symbols: &str, more: &str) -> String {
    format!(r#"{{"type":"enum","name":"{name}","symbols":{symbols}{more}}}"#)
}

#[test]
fn same_means_that_nothing_is_copied() {
    let same = |w: &str, r: &str| {
        Plan::compile(&parsed(w), &parsed(r), &[])
            .expect("compatible")
            .is_same()
    };
    let list = rec(
        "L",
        &format!(
            "{},{}",
            field("v", "\"int\""),
            field("next", r#"["null","L"]"#)
        ),
    );
    assert!(same(&list, &list));
    assert!(same(
        r#"{"type":"long","logicalType":"time-micros"}"#,
        "\"long\""
    ));
    assert!(same(
        &symbols("E", r#"["A"]"#, ""),
        &symbols("E", r#"["A","B"]"#, "")
    ));
    assert!(same(r#"["null","int"]"#, r#"["null","int","string"]"#));
    // An int and a long of the same value are the same bytes, and so are a string and its bytes.
    assert!(same("\"int\"", "\"long\""));
    assert!(same("\"bytes\"", "\"string\""));
    // What would be refused leaves no bytes.
    assert!(same(r#"["null","int","string"]"#, r#"["null","int"]"#));
    for (w, r) in [
        ("\"int\"", "\"double\""),
        ("\"int\"", r#"["int"]"#),
        (r#"["int"]"#, "\"int\""),
        (r#"["null","int"]"#, r#"["int","null"]"#),
        (
            r#"{"type":"array","items":"int"}"#,
            r#"{"type":"array","items":"float"}"#,
        ),
    ] {
        assert!(!same(w, r), "{w} {r}");
    }
    assert!(!same(
        &symbols("E", r#"["A","B"]"#, ""),
        &symbols("E", r#"["B","A"]"#, "")
    ));
    let (a, b) = (field("a", "\"int\""), field("b", "\"int\""));
    assert!(!same(
        &rec("R", &format!("{a},{b}")),
        &rec("R", &format!("{b},{a}"))
    ));
    assert!(!same(&rec("R", &format!("{a},{b}")), &rec("R", &a)));
    let longer = list.replacen("\"int\"", "\"float\"", 1);
    assert!(!same(&list, &longer));
}

/// The plan and the tree, on the same bytes: both refuse, or the plan's bytes are the tree's value and its marks lie
/// where the fields are.
fn agree(writer: &Schema, reader: &Schema, bytes: &[u8], limits: &Limits) -> bool {
    let paths = paths(reader);
    let (plan, resolution) = match (
        Plan::compile(writer, reader, &paths),
        Resolution::compile(writer, reader),
    ) {
        (Ok(plan), Ok(resolution)) => (plan, resolution),
        (Err(_), Err(_)) => return false,
        (plan, _) => panic!("only one of them compiles: {plan:?}"),
    };
    let mut scratch = Scratch::default();
    let tree = decode::decode(writer, bytes, limits).and_then(|value| resolution.apply(value));
    match (plan.run(bytes, limits, &mut scratch), tree) {
        (Ok(view), Ok(value)) => {
            let again = decode::decode(reader, view.bytes, limits).expect("the reader's bytes");
            let (mut one, mut other) = (Vec::new(), Vec::new());
            encode(reader, &again, &mut one).expect("fits");
            encode(reader, &value, &mut other).expect("fits");
            assert_eq!(one, other);
            for (path, mark) in paths.iter().zip(view.marks) {
                marked(reader, &value, path, *mark, view.bytes);
            }
            true
        }
        (Err(error), Err(expect)) => {
            assert_eq!(error, expect);
            false
        }
        (found, expect) => panic!("the plan says {found:?}, the tree {expect:?}"),
    }
}

/// The paths of all fields down to the third record.
fn paths(reader: &Schema) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    let mut open = vec![(reader.root, Vec::new())];
    while let Some((node, path)) = open.pop() {
        let inner = reader.non_null(node);
        if let Some(Kind::Record(record)) = inner.map(|inner| &reader.node(inner).kind)
            && path.len() < 3
        {
            for (position, field) in record.fields.iter().enumerate() {
                let path = [path.clone(), vec![position]].concat();
                found.push(path.clone());
                open.push((field.node, path));
            }
        }
    }
    found
}

fn marked(reader: &Schema, value: &Value, path: &[usize], mark: u32, bytes: &[u8]) {
    let (mut node, mut value) = (reader.root, value);
    for position in path {
        node = reader.non_null(node).expect("a path goes through records");
        let Kind::Record(record) = &reader.node(node).kind else {
            unreachable!("a path goes through records");
        };
        let Value::Record(fields) = value.inner() else {
            assert_eq!(mark, ABSENT, "{path:?}");
            return;
        };
        (node, value) = (record.fields[*position].node, &fields[*position]);
    }
    let field = &bytes[mark as usize..];
    let (found, _) = decode::prefix(reader, node, field, &Limits::default()).expect("a value");
    // By their bytes: a number that is none is not equal to itself.
    let encoded = |value: &Value| {
        let mut bytes = Vec::new();
        encode_node(reader, node, value, &mut bytes).expect("fits");
        bytes
    };
    assert_eq!(
        encoded(&found),
        encoded(value),
        "{path:?} at {mark}: {found:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn plan_and_tree_agree(seed: u64, at: usize, flip in 1u8.., cut: usize) {
        let (text, writer, value) = Generator::pair(seed, ANY);
        let mut evolution = Evolution::new(seed);
        let mut bytes = Vec::new();
        encode(&writer, &value, &mut bytes).expect("fits");
        let limits = Limits { elements: 10_000, ..Limits::default() };
        let mut sized = Vec::new();
        sized_blocks(&writer, writer.root, &value, &mut sized);
        for _ in 0..3 {
            let reader = evolution.evolve(&text);
            let Ok(reader) = Schema::parse(&reader, &[]) else { continue };
            agree(&writer, &reader, &bytes, &limits);
            if !bytes.is_empty() {
                let mut corrupt = bytes.clone();
                corrupt[at % bytes.len()] ^= flip;
                agree(&writer, &reader, &corrupt, &limits);
                agree(&writer, &reader, &bytes[..cut % bytes.len()], &limits);
            }
            corrupt_varint(&writer, &reader, &bytes, at, &limits);
            agree(&writer, &reader, &sized, &limits);
        }
    }
}

/// A byte too many somewhere, with its continuation bit set.
fn corrupt_varint(writer: &Schema, reader: &Schema, bytes: &[u8], at: usize, limits: &Limits) {
    let mut longer = bytes.to_vec();
    longer.insert(at % (bytes.len() + 1), 0x80);
    agree(writer, reader, &longer, limits);
}

#[test]
fn the_random_pairs_cover_what_a_plan_does() {
    let mut seen = [0; 4];
    for seed in 0..3000 {
        let (text, writer, value) = Generator::pair(seed, ANY);
        let reader = Evolution::new(seed).evolve(&text);
        let Ok(reader) = Schema::parse(&reader, &[]) else {
            continue;
        };
        let mut bytes = Vec::new();
        encode(&writer, &value, &mut bytes).expect("fits");
        if let Ok(plan) = Plan::compile(&writer, &reader, &[]) {
            seen[0] += usize::from(plan.is_same());
            seen[1] += usize::from(!plan.program.orders.is_empty());
            seen[2] += usize::from(!plan.program.procedures.is_empty());
            seen[3] += usize::from(agree(&writer, &reader, &bytes, &Limits::default()));
        }
    }
    assert!(seen.iter().all(|count| *count > 30), "{seen:?}");
}

/// A deliberate bug: changes the first instruction that it can, and says whether there was one.
type Bug = fn(&mut Op) -> bool;

fn swap(op: &mut Op, from: impl Fn(Op) -> Option<Op>) -> bool {
    let Some(to) = from(*op) else { return false };
    *op = to;
    true
}

const BUGS: &[(&str, Bug)] = &[
    ("any byte is a boolean", |op| {
        swap(op, |op| (op == Op::Boolean).then_some(Op::Skip(1)))
    }),
    ("an int of 64 bits", |op| {
        swap(op, |op| (op == Op::Int).then_some(Op::Long))
    }),
    ("a text of any bytes", |op| {
        swap(op, |op| (op == Op::Text).then_some(Op::Bytes))
    }),
    ("a symbol too many", |op| {
        swap(op, |op| match op {
            Op::Enum(count) => Some(Op::Enum(count + 1)),
            _ => None,
        })
    }),
    ("the other branch is the null one", |op| {
        swap(op, |op| match op {
            Op::Nullable { null, over } => Some(Op::Nullable {
                null: 1 - null,
                over,
            }),
            _ => None,
        })
    }),
    ("a block that keeps the size it had", |op| {
        swap(op, |op| match op {
            Op::Array {
                body,
                same: false,
                depth,
            } => Some(Op::Array {
                body,
                same: true,
                depth,
            }),
            _ => None,
        })
    }),
    ("a float where a double should be", |op| {
        swap(op, |op| (op == Op::IntDouble).then_some(Op::IntFloat))
    }),
    ("a dropped field that stays", |op| {
        swap(op, |op| (op == Op::Resume).then_some(Op::Empty(0)))
    }),
    ("a default cut short", |op| {
        swap(op, |op| match op {
            Op::Constant(from, to) if to > from => Some(Op::Constant(from, to - 1)),
            _ => None,
        })
    }),
    ("fields in the writer's order", |op| {
        swap(op, |op| match op {
            Op::Reorder(_) => Some(Op::Empty(0)),
            _ => None,
        })
    }),
    ("a symbol by the writer's index", |op| {
        swap(op, |op| match op {
            Op::Symbol { count, .. } => Some(Op::Enum(count)),
            _ => None,
        })
    }),
    ("a decimal of any length", |op| {
        swap(op, |op| match op {
            Op::Decimal(_) => Some(Op::Bytes),
            _ => None,
        })
    }),
    ("a fixed that is a byte short", |op| {
        swap(op, |op| match op {
            Op::Skip(size) if size > 0 => Some(Op::Skip(size - 1)),
            _ => None,
        })
    }),
    ("a position one instruction late", |op| {
        swap(op, |op| match op {
            Op::Mark(mark) => Some(Op::MarkInside(mark, 1)),
            _ => None,
        })
    }),
    ("a value that is refused passes", |op| {
        swap(op, |op| (op == Op::Refuse).then_some(Op::Empty(0)))
    }),
];

/// What `agree` looks at, without a word.
fn differs(plan: &Plan, reader: &Schema, paths: &[Vec<usize>], bytes: &[u8]) -> bool {
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let tree =
        decode::decode(&plan.writer, bytes, &limits).and_then(|value| plan.resolution.apply(value));
    let run =
        std::panic::AssertUnwindSafe(|| match (plan.run(bytes, &limits, &mut scratch), tree) {
            (Ok(view), Ok(value)) => {
                if decode::decode(reader, view.bytes, &limits).as_ref() != Ok(&value) {
                    return true;
                }
                for (path, mark) in paths.iter().zip(view.marks) {
                    marked(reader, &value, path, *mark, view.bytes);
                }
                false
            }
            (Err(one), Err(other)) => one != other,
            _ => true,
        });
    // A bug that makes the walk run out of its bounds shows itself.
    std::panic::catch_unwind(run).unwrap_or(true)
}

#[test]
fn deliberate_bugs_in_a_plan_are_each_caught() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let missed: Vec<_> = BUGS
        .iter()
        .filter(|(_, bug)| !(0..6000).any(|seed| catches(seed, *bug)))
        .map(|(name, _)| *name)
        .collect();
    std::panic::set_hook(quiet);
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

fn catches(seed: u64, bug: Bug) -> bool {
    let (text, writer, value) = Generator::pair(seed, ANY);
    let Ok(reader) = Schema::parse(&Evolution::new(seed).evolve(&text), &[]) else {
        return false;
    };
    let paths = paths(&reader);
    let Ok(mut plan) = Plan::compile(&writer, &reader, &paths) else {
        return false;
    };
    if !plan.program.code.iter_mut().any(bug) {
        return false;
    }
    let mut bytes = Vec::new();
    encode(&writer, &value, &mut bytes).expect("fits");
    let mut sized = Vec::new();
    sized_blocks(&writer, writer.root, &value, &mut sized);
    let flipped = |at: usize| {
        let mut corrupt = bytes.clone();
        corrupt[at / 4] ^= [0x01, 0x02, 0x80, 0xFF][at % 4];
        corrupt
    };
    let corrupt = (0..4 * bytes.len().min(20)).map(flipped);
    [bytes.clone(), sized]
        .into_iter()
        .chain(corrupt)
        .any(|bytes| differs(&plan, &reader, &paths, &bytes))
}

/// Schemas that a registry may hold, and that no worker may fall over.
#[test]
fn hostile_schemas_are_refused_or_bounded() {
    let digits = |precision: u64| {
        format!(r#"{{"type":"bytes","logicalType":"decimal","precision":{precision}}}"#)
    };
    assert!(Schema::parse(&digits(4096), &[]).is_ok());
    for precision in [4097, 1 << 32, u64::MAX] {
        assert!(
            Schema::parse(&digits(precision), &[]).is_err(),
            "{precision}"
        );
    }
    // A default of more digits than its type has is no default, and nothing to fall over.
    let writer = schema("");
    let decimal = |default: &str| {
        let of = r#"{"type":"bytes","logicalType":"decimal","precision":2}"#;
        format!(r#"{{"name":"d","type":{of},"default":"{default}"}}"#)
    };
    let text = |default: &str| {
        format!(
            r#"{{"type":"record","name":"R","fields":[{}]}}"#,
            decimal(default)
        )
    };
    assert!(Plan::compile(&writer, &parsed(&text("c")), &[]).is_ok());
    let reader = Schema::parse(&text("\\u007f\\u00ff"), &[]);
    assert!(reader.is_err() || Plan::compile(&writer, &reader.expect("a schema"), &[]).is_err());

    // Types that are defined one after the other nest as deep as they like, without a deep text.
    let chain = |length: usize| {
        let mut types = vec![
            r#"{"type":"record","name":"R0","fields":[{"name":"v","type":"int"}]}"#.to_owned(),
        ];
        for i in 1..length {
            let of = i - 1;
            types.push(format!(
                r#"{{"type":"record","name":"R{i}","fields":[{{"name":"x","type":"R{of}"}}]}}"#
            ));
        }
        format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"defs","type":["null",{}]}}]}}"#,
            types.join(",")
        )
    };
    let deep = parsed(&chain(150));
    assert!(Plan::compile(&deep, &schema(""), &[]).is_ok());
    assert!(Schema::parse(&chain(20_000), &[]).is_err());
}

#[test]
fn values_without_bytes_count_alike_in_plan_and_tree() {
    let writer = parsed(
        r#"{"type":"array","items":{"type":"record","name":"T","fields":[{"name":"s","type":
            {"type":"record","name":"S","fields":[
                {"name":"x","type":{"type":"record","name":"N","fields":[{"name":"n","type":"null"}]}},
                {"name":"y","type":"N"}]}}]}}"#,
    );
    let limits = Limits {
        elements: 60,
        ..Limits::default()
    };
    for items in 1..20_u8 {
        agree(&writer, &writer, &[2 * items, 0], &limits);
    }
}

#[test]
fn defaults_of_many_items_have_a_bound() {
    let writer = parsed(r#"{"type":"array","items":{"type":"record","name":"I","fields":[]}}"#);
    let text = "x".repeat(300);
    let reader = parsed(&format!(
        r#"{{"type":"array","items":{{"type":"record","name":"I","fields":[{{"name":"t","type":"string","default":"{text}"}}]}}}}"#
    ));
    let plan = Plan::compile(&writer, &reader, &[]).expect("compatible");
    let limits = Limits {
        bytes: 100_000,
        ..Limits::default()
    };
    let mut scratch = Scratch::default();
    let mut items = Vec::new();
    crate::contract::varint::write(900_000, &mut items);
    items.push(0);
    let error = plan
        .run(&items, &limits, &mut scratch)
        .expect_err("too large");
    assert_eq!(error.reason, Reason::UnresolvableValue);
    assert!(error.message.contains("100000 bytes"), "{error}");
    assert!(scratch.capacity() < 1_000_000);
    assert!(
        plan.run(&[20, 0], &limits, &mut scratch).is_ok(),
        "and the next one passes"
    );
}
