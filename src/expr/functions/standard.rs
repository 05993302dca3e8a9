//! CEL's own functions: what the language itself has, beyond operators. Of text and collections here, the conversions and
//! what timestamps are made of beside it.

pub(super) mod convert;
pub(super) mod time;

use regex::{Regex, RegexBuilder};

use super::args::{Made, call, function, method, text};
use super::{CallError, Constants, Example, Function, Ty};
use crate::expr::value::Val;

/// Bytes of a pattern that is no constant, and of what it becomes: making one takes far longer than using it.
const PATTERN_BYTES: usize = 1_024;
const COMPILED_BYTES: usize = 1 << 18;
/// Steps that making one takes.
const PATTERN_STEPS: u64 = 10_000;

/// The functions of this file.
pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "size",
        group: "collections",
        doc: "Characters of a text (Unicode code points), bytes, elements of a list, entries of a map.",
        errors: "",
        forms: &[
            function(&[("text", Ty::Text)], Ty::Int, |_| call(size)),
            function(&[("bytes", Ty::Bytes)], Ty::Int, |_| call(size)),
            function(&[("list", Ty::List)], Ty::Int, |_| call(size)),
            function(&[("map", Ty::Map)], Ty::Int, |_| call(size)),
            method(&[("text", Ty::Text)], Ty::Int, |_| call(size)),
            method(&[("bytes", Ty::Bytes)], Ty::Int, |_| call(size)),
            method(&[("list", Ty::List)], Ty::Int, |_| call(size)),
            method(&[("map", Ty::Map)], Ty::Int, |_| call(size)),
        ],
        examples: &[
            Example {
                expr: "size('Łódź')",
                result: "4",
            },
            Example {
                expr: "size(b'abc')",
                result: "3",
            },
            Example {
                expr: "[1, 2, 3].size()",
                result: "3",
            },
            Example {
                expr: "size({'a': 1})",
                result: "1",
            },
        ],
    },
    Function {
        name: "contains",
        group: "text",
        doc: "Whether a text has `part` in it.",
        errors: "",
        forms: &[method(
            &[("text", Ty::Text), ("part", Ty::Text)],
            Ty::Bool,
            |_| test(|text, part| text.contains(part)),
        )],
        examples: &[
            Example {
                expr: "'a@example.org'.contains('@')",
                result: "true",
            },
            Example {
                expr: "'abc'.contains('B')",
                result: "false",
            },
        ],
    },
    Function {
        name: "startsWith",
        group: "text",
        doc: "Whether a text begins with `part`.",
        errors: "",
        forms: &[method(
            &[("text", Ty::Text), ("part", Ty::Text)],
            Ty::Bool,
            |_| test(|text, part| text.starts_with(part)),
        )],
        examples: &[
            Example {
                expr: "'ORD-7'.startsWith('ORD-')",
                result: "true",
            },
            Example {
                expr: "'ORD-7'.startsWith('ord-')",
                result: "false",
            },
        ],
    },
    Function {
        name: "endsWith",
        group: "text",
        doc: "Whether a text ends with `part`.",
        errors: "",
        forms: &[method(
            &[("text", Ty::Text), ("part", Ty::Text)],
            Ty::Bool,
            |_| test(|text, part| text.ends_with(part)),
        )],
        examples: &[
            Example {
                expr: "'photo.jpg'.endsWith('.jpg')",
                result: "true",
            },
            Example {
                expr: "'photo.jpg'.endsWith('.png')",
                result: "false",
            },
        ],
    },
    Function {
        name: "matches",
        group: "text",
        doc: "Whether the regular expression is found in a text, anywhere in it: `^` and `$` bind it to the ends. The syntax \
              is RE2's, without look-around and back references, so that no text can make it slow. `r'\\d+'` is a text \
              in which a backslash is one.",
        errors: "A pattern that is no regular expression (at `check`, if it is a constant).",
        forms: &[
            method(
                &[("text", Ty::Text), ("pattern", Ty::Text)],
                Ty::Bool,
                matches,
            ),
            function(
                &[("text", Ty::Text), ("pattern", Ty::Text)],
                Ty::Bool,
                matches,
            ),
        ],
        examples: &[
            Example {
                expr: r"'A-17'.matches(r'^[A-Z]-\d+$')",
                result: "true",
            },
            Example {
                expr: "'A-17'.matches('^[0-9]+$')",
                result: "false",
            },
            Example {
                expr: "matches('x', '(')",
                result: "error: no regular expression",
            },
        ],
    },
];

/// An argument is not of the type that was checked.
fn wrong() -> CallError {
    "an argument is not of the type that was checked".into()
}

fn size<'a>(cx: &mut crate::expr::Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let size = match args {
        [Val::Text(text)] => {
            cx.spend_bytes(text.len())?;
            text.chars().count()
        }
        [Val::Bytes(bytes)] => bytes.len(),
        [Val::List(items)] => items.len(),
        [Val::Map(entries)] => entries.len(),
        _ => return Err(wrong()),
    };
    Ok(Val::Int(i64::try_from(size).map_err(|_| wrong())?))
}

fn test(holds: fn(&str, &str) -> bool) -> Made {
    call(move |cx, args| {
        let (text, part) = (text(args, 0)?, text(args, 1)?);
        cx.spend_bytes(text.len())?;
        Ok(Val::Bool(holds(text, part)))
    })
}

fn matches(constants: &Constants<'_>) -> Made {
    if let Some(pattern) = constants.text(1) {
        let regex = Regex::new(pattern).map_err(|error| (1, no_pattern(&error)))?;
        return call(move |cx, args| {
            let text = text(args, 0)?;
            // A search takes time by the text and by the pattern.
            cx.spend_bytes(text.len().saturating_mul(1 + regex.as_str().len() / 16))?;
            Ok(Val::Bool(regex.is_match(text)))
        });
    }
    call(|cx, args| {
        let (text, pattern) = (text(args, 0)?, text(args, 1)?);
        cx.spend(PATTERN_STEPS)?;
        cx.spend_bytes(text.len().saturating_mul(1 + pattern.len() / 16))?;
        if pattern.len() > PATTERN_BYTES {
            return Err(CallError::Argument(1, "the pattern is too long".to_owned()));
        }
        let mut builder = RegexBuilder::new(pattern);
        builder
            .size_limit(COMPILED_BYTES)
            .dfa_size_limit(COMPILED_BYTES);
        let regex = builder.build().map_err(|_| {
            CallError::Argument(1, "the pattern is no regular expression".to_owned())
        })?;
        Ok(Val::Bool(regex.is_match(text)))
    })
}

/// What is wrong with a pattern that the author wrote, on one line.
fn no_pattern(error: &regex::Error) -> String {
    let why = error.to_string();
    let why = why.lines().last().unwrap_or_default();
    let why = why.trim_start_matches("error: ");
    format!("this is no regular expression: {why}")
}
