//! The strings extension of CEL: methods of texts. Positions count characters (Unicode code points), from 0.

use bumpalo::collections::Vec as BumpVec;

use super::args::{call, function, int, list, method, of_octets, of_text, text};
use super::{CallError, Example, Function, Ty};
use crate::expr::cx::Cx;
use crate::expr::value::Val;

const OUTSIDE: &str = "the position is outside of the text";

/// The functions of this file.
pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "charAt",
        group: "text",
        doc: "The character at a position; the empty text right behind the last one.",
        errors: "A position outside of the text.",
        forms: &[method(
            &[("text", Ty::Text), ("position", Ty::Int)],
            Ty::Text,
            |_| call(char_at),
        )],
        examples: &[
            Example {
                expr: "'Łódź'.charAt(1)",
                result: "'ó'",
            },
            Example {
                expr: "'abc'.charAt(3)",
                result: "''",
            },
            Example {
                expr: "'abc'.charAt(4)",
                result: "error: outside of the text",
            },
        ],
    },
    Function {
        name: "indexOf",
        group: "text",
        doc: "The position of the first occurrence of `part`, or of the first at `from` or later; -1 if there is none.",
        errors: "`from` is negative, or not inside of the text.",
        forms: &[
            method(&[("text", Ty::Text), ("part", Ty::Text)], Ty::Int, |_| {
                call(index_of)
            }),
            method(
                &[("text", Ty::Text), ("part", Ty::Text), ("from", Ty::Int)],
                Ty::Int,
                |_| call(index_of),
            ),
        ],
        examples: &[
            Example {
                expr: "'ab-12-x'.indexOf('-')",
                result: "2",
            },
            Example {
                expr: "'ab-12-x'.indexOf('-', 3)",
                result: "5",
            },
            Example {
                expr: "'ab'.indexOf('z')",
                result: "-1",
            },
            Example {
                expr: "'ab'.indexOf('a', -1)",
                result: "error: outside of the text",
            },
        ],
    },
    Function {
        name: "lastIndexOf",
        group: "text",
        doc: "The position of the last occurrence of `part`, or of the last at `from` or earlier; -1 if there is none, \
              and if `from` is behind the last character.",
        errors: "`from` is negative, or not inside of the text.",
        forms: &[
            method(&[("text", Ty::Text), ("part", Ty::Text)], Ty::Int, |_| {
                call(last_index_of)
            }),
            method(
                &[("text", Ty::Text), ("part", Ty::Text), ("from", Ty::Int)],
                Ty::Int,
                |_| call(last_index_of),
            ),
        ],
        examples: &[
            Example {
                expr: "'ab-12-x'.lastIndexOf('-')",
                result: "5",
            },
            Example {
                expr: "'ab-12-x'.lastIndexOf('-', 4)",
                result: "2",
            },
            Example {
                expr: "'ab'.lastIndexOf('a', -1)",
                result: "error: outside of the text",
            },
        ],
    },
    Function {
        name: "join",
        group: "text",
        doc: "The texts of a list as one, with `separator` between them if there is one.",
        errors: "",
        forms: &[
            method(&[("texts", Ty::Texts)], Ty::Text, |_| call(join)),
            method(
                &[("texts", Ty::Texts), ("separator", Ty::Text)],
                Ty::Text,
                |_| call(join),
            ),
        ],
        examples: &[
            Example {
                expr: "['a', 'b'].join(', ')",
                result: "'a, b'",
            },
            Example {
                expr: "['a', 'b'].join()",
                result: "'ab'",
            },
        ],
    },
    Function {
        name: "split",
        group: "text",
        doc: "The parts of a text between occurrences of `separator`; its characters, if that is empty. With a `limit`, at \
              most so many parts, of which the last holds the rest; none for 0, all for a negative one.",
        errors: "",
        forms: &[
            method(
                &[("text", Ty::Text), ("separator", Ty::Text)],
                Ty::Texts,
                |_| call(split),
            ),
            method(
                &[
                    ("text", Ty::Text),
                    ("separator", Ty::Text),
                    ("limit", Ty::Int),
                ],
                Ty::Texts,
                |_| call(split),
            ),
        ],
        examples: &[
            Example {
                expr: "'a,b,c'.split(',')",
                result: "['a', 'b', 'c']",
            },
            Example {
                expr: "'a,b,c'.split(',', 2)",
                result: "['a', 'b,c']",
            },
        ],
    },
    Function {
        name: "replace",
        group: "text",
        doc: "The text with every occurrence of `old` replaced by `new`; with a `limit`, only the first so many, and all \
              for a negative one.",
        errors: "",
        forms: &[
            method(
                &[("text", Ty::Text), ("old", Ty::Text), ("new", Ty::Text)],
                Ty::Text,
                |_| call(replace),
            ),
            method(
                &[
                    ("text", Ty::Text),
                    ("old", Ty::Text),
                    ("new", Ty::Text),
                    ("limit", Ty::Int),
                ],
                Ty::Text,
                |_| call(replace),
            ),
        ],
        examples: &[
            Example {
                expr: "'1 234 567'.replace(' ', '')",
                result: "'1234567'",
            },
            Example {
                expr: "'a-b-c'.replace('-', '/', 1)",
                result: "'a/b-c'",
            },
        ],
    },
    Function {
        name: "substring",
        group: "text",
        doc: "The part of a text from position `start` to its end, or up to and without position `end`.",
        errors: "A position outside of the text, or `end` before `start`.",
        forms: &[
            method(&[("text", Ty::Text), ("start", Ty::Int)], Ty::Text, |_| {
                call(substring)
            }),
            method(
                &[("text", Ty::Text), ("start", Ty::Int), ("end", Ty::Int)],
                Ty::Text,
                |_| call(substring),
            ),
        ],
        examples: &[
            Example {
                expr: "'tacocat'.substring(4)",
                result: "'cat'",
            },
            Example {
                expr: "'Zürich'.substring(0, 2)",
                result: "'Zü'",
            },
            Example {
                expr: "'abc'.substring(2, 1)",
                result: "error: outside of the text",
            },
        ],
    },
    Function {
        name: "strings.quote",
        group: "text",
        doc: "The text in double quotes, as it is written in an expression: with `\\` before quotes and backslashes, and line \
              breaks, tabs and the like as `\\n`, `\\t`.",
        errors: "",
        forms: &[function(&[("text", Ty::Text)], Ty::Text, |_| {
            of_text(quote)
        })],
        examples: &[
            Example {
                expr: r#"strings.quote('a "b"')"#,
                result: r#"'"a \\"b\\""'"#,
            },
            Example {
                expr: r"strings.quote('a\tb')",
                result: r#"'"a\\tb"'"#,
            },
        ],
    },
    Function {
        name: "trim",
        group: "text",
        doc: "The text without white space at its ends, as Unicode defines it: also no-break spaces.",
        errors: "",
        forms: &[method(&[("text", Ty::Text)], Ty::Text, |_| {
            of_text(|_, text| Ok(text.trim()))
        })],
        examples: &[
            Example {
                expr: "'  a b\\t\\n'.trim()",
                result: "'a b'",
            },
            Example {
                expr: "'\\u00a0x\\u2003'.trim()",
                result: "'x'",
            },
        ],
    },
    Function {
        name: "upperAscii",
        group: "text",
        doc: "The text with `a` to `z` as `A` to `Z`; other letters stay (see `upper`).",
        errors: "",
        forms: &[method(&[("text", Ty::Text)], Ty::Text, |_| {
            of_octets(|cx, text| {
                let own = cx.arena.alloc_slice_copy(text);
                own.make_ascii_uppercase();
                Ok(own)
            })
        })],
        examples: &[
            Example {
                expr: "'eur'.upperAscii()",
                result: "'EUR'",
            },
            Example {
                expr: "'é1'.upperAscii()",
                result: "'é1'",
            },
        ],
    },
    Function {
        name: "lowerAscii",
        group: "text",
        doc: "The text with `A` to `Z` as `a` to `z`; other letters stay (see `lower`).",
        errors: "",
        forms: &[method(&[("text", Ty::Text)], Ty::Text, |_| {
            of_octets(|cx, text| {
                let own = cx.arena.alloc_slice_copy(text);
                own.make_ascii_lowercase();
                Ok(own)
            })
        })],
        examples: &[
            Example {
                expr: "'Ab@X.ORG'.lowerAscii()",
                result: "'ab@x.org'",
            },
            Example {
                expr: "'É'.lowerAscii()",
                result: "'É'",
            },
        ],
    },
    Function {
        name: "reverse",
        group: "text",
        doc: "The characters of a text in the opposite order. A combining mark is a character of its own: `nfc` first.",
        errors: "",
        forms: &[method(&[("text", Ty::Text)], Ty::Text, |_| {
            of_text(|cx, text| {
                let mut out = bumpalo::collections::String::with_capacity_in(text.len(), cx.arena);
                out.extend(text.chars().rev());
                Ok(out.into_bump_str())
            })
        })],
        examples: &[
            Example {
                expr: "'abc'.reverse()",
                result: "'cba'",
            },
            Example {
                expr: "'añb'.reverse()",
                result: "'bña'",
            },
        ],
    },
];

/// Where in the text, in bytes, the character at a position begins; its end is a position too.
fn byte_at(text: &str, position: i64) -> Result<usize, CallError> {
    let outside = || CallError::from(OUTSIDE);
    let position = usize::try_from(position).map_err(|_| outside())?;
    if text.is_ascii() {
        return (position <= text.len())
            .then_some(position)
            .ok_or_else(outside);
    }
    let starts = text.char_indices().map(|(at, _)| at);
    starts.chain([text.len()]).nth(position).ok_or_else(outside)
}

/// The position of what begins at this byte.
fn position_of(text: &str, byte: usize) -> Result<i64, CallError> {
    let before = text.get(..byte).map_or(0, |before| before.chars().count());
    i64::try_from(before).map_err(|_| OUTSIDE.into())
}

fn char_at<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let text = text(args, 0)?;
    cx.spend_bytes(text.len())?;
    let start = byte_at(text, int(args, 1)?)?;
    let rest = text.get(start..).unwrap_or("");
    let width = rest.chars().next().map_or(0, char::len_utf8);
    Ok(Val::Text(rest.get(..width).unwrap_or("")))
}

/// Where a search that begins at a position begins, in bytes. CEL's own library has it at the end for an empty part, and
/// nothing to search there for any other.
fn search_from(whole: &str, part: &str, position: i64) -> Result<usize, CallError> {
    match byte_at(whole, position) {
        Ok(start) if start < whole.len() || part.is_empty() => Ok(start),
        Err(_) if position > 0 && part.is_empty() => Ok(whole.len()),
        _ => Err(OUTSIDE.into()),
    }
}

fn index_of<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let (whole, part) = (text(args, 0)?, text(args, 1)?);
    cx.spend_bytes(whole.len().saturating_add(part.len()))?;
    let start = match args.len() {
        2 => 0,
        _ => search_from(whole, part, int(args, 2)?)?,
    };
    match whole.get(start..).and_then(|rest| rest.find(part)) {
        Some(found) => Ok(Val::Int(position_of(whole, start + found)?)),
        None => Ok(Val::Int(-1)),
    }
}

fn last_index_of<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let (whole, part) = (text(args, 0)?, text(args, 1)?);
    cx.spend_bytes(whole.len().saturating_add(part.len()))?;
    let end = match args.len() {
        2 => whole.len(),
        _ => {
            let start = search_from(whole, part, int(args, 2)?)?;
            start.saturating_add(part.len()).min(whole.len())
        }
    };
    // An occurrence that begins at `from` or earlier ends here or earlier. Cut between characters: what is cut off
    // was not part of one.
    let end = (0..=end)
        .rev()
        .find(|at| whole.is_char_boundary(*at))
        .unwrap_or(0);
    match whole.get(..end).and_then(|front| front.rfind(part)) {
        Some(found) => Ok(Val::Int(position_of(whole, found)?)),
        None => Ok(Val::Int(-1)),
    }
}

fn join<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let items = list(args, 0)?;
    let separator = match args.len() {
        1 => "",
        _ => text(args, 1)?,
    };
    let mut size = 0usize;
    for at in 0..items.len() {
        size = size
            .saturating_add(text(items, at)?.len())
            .saturating_add(separator.len());
    }
    cx.spend(items.len() as u64)?;
    cx.spend_bytes(size)?;
    let mut out = bumpalo::collections::String::with_capacity_in(size, cx.arena);
    for at in 0..items.len() {
        if at > 0 {
            out.push_str(separator);
        }
        out.push_str(text(items, at)?);
    }
    Ok(Val::Text(out.into_bump_str()))
}

/// A limit as CEL has it: none for a negative one.
fn limit(args: &[Val<'_>], at: usize) -> Result<usize, CallError> {
    match args.get(at) {
        None => Ok(usize::MAX),
        Some(_) => Ok(usize::try_from(int(args, at)?).unwrap_or(usize::MAX)),
    }
}

fn split<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let (whole, separator) = (text(args, 0)?, text(args, 1)?);
    cx.spend_bytes(whole.len())?;
    let limit = limit(args, 2)?;
    let mut parts = BumpVec::new_in(cx.arena);
    let mut rest = Some(whole);
    while let Some(left) = rest {
        if parts.len() == limit || (separator.is_empty() && left.is_empty()) {
            break;
        }
        cx.spend(1)?;
        let cut = match separator {
            _ if parts.len() + 1 == limit => None,
            "" => {
                let width = left.chars().next().map_or(0, char::len_utf8);
                left.split_at_checked(width)
                    .filter(|(_, rest)| !rest.is_empty())
            }
            _ => left.split_once(separator),
        };
        let (part, left) = cut.map_or((left, None), |(part, left)| (part, Some(left)));
        parts.push(Val::Text(part));
        rest = left;
    }
    Ok(Val::List(parts.into_bump_slice()))
}

fn replace<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let (whole, old, new) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    cx.spend_bytes(whole.len())?;
    let limit = limit(args, 3)?;
    let mut out = bumpalo::collections::String::with_capacity_in(whole.len(), cx.arena);
    let mut copied = 0;
    for (at, found) in whole.match_indices(old).take(limit) {
        // Before it is made: a long text in place of each character could fill the memory.
        cx.spend(1)?;
        cx.spend_bytes(new.len())?;
        out.push_str(whole.get(copied..at).unwrap_or(""));
        out.push_str(new);
        copied = at + found.len();
    }
    if copied == 0 && out.is_empty() {
        return Ok(args[0]);
    }
    out.push_str(whole.get(copied..).unwrap_or(""));
    Ok(Val::Text(out.into_bump_str()))
}

fn quote<'a>(cx: &mut Cx<'a>, text: &'a str) -> Result<&'a str, CallError> {
    let mut out = bumpalo::collections::String::with_capacity_in(text.len() + 2, cx.arena);
    out.push('"');
    for c in text.chars() {
        let escape = match c {
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\\' | '"' => c,
            _ => {
                out.push(c);
                continue;
            }
        };
        out.push('\\');
        out.push(escape);
    }
    out.push('"');
    cx.spend_bytes(out.len())?;
    Ok(out.into_bump_str())
}

fn substring<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let whole = text(args, 0)?;
    cx.spend_bytes(whole.len())?;
    let start = byte_at(whole, int(args, 1)?)?;
    let end = match args.len() {
        2 => whole.len(),
        _ => byte_at(whole, int(args, 2)?)?,
    };
    whole
        .get(start..end)
        .map(Val::Text)
        .ok_or_else(|| OUTSIDE.into())
}
