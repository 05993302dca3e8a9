//! Expressions of any text over bytes of any kind: refused, an error, or a value.

use std::sync::OnceLock;

use bumpalo::Bump;
use driftgate::config::model::{Place as Written, Placed};
use driftgate::contract::decode::{Limits, decode};
use driftgate::contract::plan::{Plan, Scratch};
use driftgate::contract::schema::Schema;
use driftgate::expr::scope::{Located, Profile, Secrets, Variable};
use driftgate::expr::{Cx, Expr, Place, Scope, cx};

/// Every kind of type, and one record of it.
const SCHEMA: &str = r#"{"type":"record","name":"t.R","fields":[
    {"name":"i","type":"long"},
    {"name":"n","type":["null","int"]},
    {"name":"d","type":"double"},
    {"name":"s","type":"string"},
    {"name":"ns","type":["null","string"]},
    {"name":"b","type":"bytes"},
    {"name":"p","type":"boolean"},
    {"name":"f","type":{"type":"fixed","name":"t.F","size":2}},
    {"name":"e","type":{"type":"enum","name":"t.E","symbols":["A","B"]}},
    {"name":"m","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"day","type":{"type":"int","logicalType":"date"}},
    {"name":"u","type":["string","long","t.E"]},
    {"name":"l","type":{"type":"array","items":"long"}},
    {"name":"o","type":{"type":"array","items":{"type":"record","name":"t.O","fields":[
        {"name":"q","type":"int"},{"name":"r","type":["null","t.O"]}]}}},
    {"name":"k","type":{"type":"map","values":"string"}}]}"#;

const RECORD: &[u8] = &[
    0x54, 0x02, 0x07, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x06, b'a', b'b', b'c', 0x00, 0x04, 0xff, 0x00,
    0x01, 0x0a, 0x0b, 0x02, 0x04, 0x01, 0xf4, 0x80, 0x80, 0x80, 0x80, 0x01, 0x90, 0x9c, 0x02, 0x02,
    0x0e, 0x04, 0x02, 0x04, 0x00, 0x02, 0x06, 0x00, 0x00, 0x02, 0x02, b'x', 0x02, b'y', 0x00,
];

/// Words of the language and of the schema; each byte of a soup is one of them.
const WORDS: [&str; 128] = [
    "i",
    "n",
    "d",
    "s",
    "ns",
    "b",
    "p",
    "f",
    "e",
    "m",
    "at",
    "day",
    "u",
    "l",
    "o",
    "k",
    "x",
    "y",
    "o[0].q",
    "o[0].r.q",
    "k['x']",
    "k.x",
    "l[0]",
    "message",
    "value",
    "0",
    "1",
    "-1",
    "2",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "1e308",
    "0.1",
    "1u",
    "'a'",
    "'abc'",
    "''",
    "'A'",
    "b'a'",
    "r'\\d'",
    "'''x'''",
    "true",
    "false",
    "null",
    "decimal('1.50')",
    "timestamp('2026-01-01T00:00:00Z')",
    "duration('1h')",
    "date('2026-01-31')",
    "'Europe/Berlin'",
    "(",
    "(",
    "(",
    ")",
    ")",
    ")",
    "[",
    "[",
    "]",
    "]",
    "{",
    "}",
    ",",
    ",",
    ":",
    "?",
    ".",
    ".",
    "+",
    "-",
    "*",
    "/",
    "%",
    "<",
    "<=",
    ">",
    ">=",
    "==",
    "!=",
    "in",
    "&&",
    "||",
    "!",
    ".all(x, ",
    ".exists(x, ",
    ".exists_one(x, ",
    ".filter(x, ",
    ".map(x, ",
    ".map(y, ",
    ".size()",
    "size(",
    "has(",
    "int(",
    "double(",
    "string(",
    "bytes(",
    "bool(",
    ".contains(",
    ".startsWith(",
    ".endsWith(",
    ".matches(",
    ".matches('(a{500}){500}')",
    ".matches('(a*)*$')",
    ".split(",
    ".join(",
    ".replace(",
    ".substring(",
    ".indexOf(",
    ".charAt(",
    ".trim()",
    ".lowerAscii()",
    ".upperAscii()",
    ".getFullYear()",
    ".getHours(",
    ".round(",
    "sha256(",
    ".orValue(",
    ".format(",
    "dyn(",
    "type(",
    "optional.of(",
    ".?",
    "[?",
    "R{i: 1}",
    ".padLeft(1000000000, '0')",
    ".padLeft(",
    "s + s",
    "parseDate(",
];

struct Subject {
    schema: Schema,
    plan: Plan,
    secrets: Secrets,
}

fn subject() -> &'static Subject {
    static SUBJECT: OnceLock<Subject> = OnceLock::new();
    SUBJECT.get_or_init(|| {
        let schema = Schema::parse(SCHEMA, &[]).expect("a schema");
        decode(&schema, RECORD, &Limits::default()).expect("a record of it");
        let fields: Vec<Vec<usize>> = (0..16).map(|field| vec![field]).collect();
        let plan = Plan::compile(&schema, &schema, &fields).expect("compatible");
        Subject {
            schema,
            plan,
            secrets: Secrets::new([("key".to_owned(), b"secret".to_vec())]),
        }
    })
}

/// A text, ended by a zero byte, and bytes that a plan has let pass, or has not.
pub(crate) fn expression(data: &[u8]) {
    let (text, bytes) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    if let Ok(text) = std::str::from_utf8(text) {
        hold(text, bytes);
    }
}

/// Each byte is a word.
pub(crate) fn soup(data: &[u8]) {
    let words = data
        .iter()
        .map(|byte| WORDS[usize::from(*byte) % WORDS.len()]);
    hold(&words.collect::<Vec<_>>().join(" "), data);
}

fn hold(text: &str, bytes: &[u8]) {
    let Subject {
        schema,
        plan,
        secrets,
    } = subject();
    let written = Written {
        file: "fuzz".into(),
        line: 1,
        column: 1,
    };
    let text = Placed {
        value: text.to_owned(),
        place: written,
    };
    let locate = |positions: &[usize]| Located {
        place: Place::Mark(u32::try_from(positions[0]).expect("few fields")),
        depth: 1,
    };
    for profile in [Profile::Checked, Profile::Confluent] {
        let message = Variable {
            name: "message".to_owned(),
            node: schema.root,
            place: Place::Mark(16),
        };
        let scope = Scope {
            schema,
            root: (profile == Profile::Checked).then_some(schema.root),
            locate: &locate,
            variables: vec![message],
            constants: Vec::new(),
            secrets,
            profile,
            record: false,
        };
        let expr = match Expr::compile(&text, &scope) {
            Ok(expr) => expr,
            Err(faults) => {
                assert!(!faults.is_empty(), "a refusal says why");
                continue;
            }
        };
        let mut scratch = Scratch::default();
        for record in [RECORD, bytes] {
            let view = plan.run(record, &Limits::default(), &mut scratch);
            let valid = view.is_ok();
            // Bytes that no plan has seen, and marks that lie anywhere, are no reason to panic either.
            let (bytes, mut marks) = match view {
                Ok(view) => (view.bytes, view.marks.to_vec()),
                Err(_) => (record, (0..16).map(|nth| nth * 3).collect()),
            };
            marks.push(0);
            let arena = Bump::new();
            let mut cx = Cx {
                schema,
                arena: &arena,
                bytes,
                marks: &marks,
                registers: &mut [],
                record: None,
                steps: cx::STEPS,
            };
            if let Err(error) = expr.eval(&mut cx) {
                let fault = error.to_string().contains("fault of this program");
                assert!(!(fault && valid), "{error}: {}", text.value);
            }
        }
    }
}
