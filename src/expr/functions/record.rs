//! What is around the event: headers, key, topic. Only where an expression is evaluated on a record.

use super::args::{call, function, text};
use super::{CallError, Example, Function, Ty};
use crate::expr::cx::Cx;
use crate::expr::instant::Instant;
use crate::expr::value::Val;
use crate::record::Record;

/// The functions of this file.
pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "header",
        group: "record",
        doc: "The value of the record's last header of that name; null if there is none, or its value is null.",
        errors: "The value is no UTF-8.",
        forms: &[function(&[("name", Ty::Text)], Ty::NullableText, |_| {
            call(|cx, args| {
                let name = text(args, 0)?;
                let record = around(cx)?;
                cx.spend(record.headers.len() as u64)?;
                let last = record.headers.iter().rev().find(|(own, _)| *own == name);
                nullable(
                    cx,
                    last.and_then(|(_, value)| *value),
                    "the header is not UTF-8",
                )
            })
        })],
        examples: &[
            Example {
                expr: "header('source')",
                result: "'web'",
            },
            Example {
                expr: "header('nowhere')",
                result: "null",
            },
            Example {
                expr: "header('binary')",
                result: "error: the header is not UTF-8",
            },
        ],
    },
    Function {
        name: "topic",
        group: "record",
        doc: "The topic that the record was read from.",
        errors: "",
        forms: &[function(&[], Ty::Text, |_| {
            call(|cx, _| Ok(Val::Text(around(cx)?.topic)))
        })],
        examples: &[
            Example {
                expr: "topic()",
                result: "'orders'",
            },
            Example {
                expr: "topic() + '-clean'",
                result: "'orders-clean'",
            },
        ],
    },
    Function {
        name: "partition",
        group: "record",
        doc: "The number of the partition that the record was read from.",
        errors: "",
        forms: &[function(&[], Ty::Int, |_| {
            call(|cx, _| Ok(Val::Int(i64::from(around(cx)?.partition))))
        })],
        examples: &[
            Example {
                expr: "partition()",
                result: "3",
            },
            Example {
                expr: "partition() < 8",
                result: "true",
            },
        ],
    },
    Function {
        name: "offset",
        group: "record",
        doc: "The record's offset in its partition.",
        errors: "",
        forms: &[function(&[], Ty::Int, |_| {
            call(|cx, _| Ok(Val::Int(around(cx)?.offset)))
        })],
        examples: &[
            Example {
                expr: "offset()",
                result: "42",
            },
            Example {
                expr: "offset() % 10",
                result: "2",
            },
        ],
    },
    Function {
        name: "recordTime",
        group: "record",
        doc: "The record's timestamp, as the producer or the broker has set it; null if it has none.",
        errors: "The timestamp is outside of the years -9999 to 9999.",
        forms: &[function(&[], Ty::NullableTimestamp, |_| {
            call(|cx, _| match around(cx)?.timestamp {
                None => Ok(Val::Null),
                Some(millis) => Instant::from_millisecond(millis)
                    .map(Val::Timestamp)
                    .ok_or_else(|| {
                        "the record's timestamp is outside of the years -9999 to 9999".into()
                    }),
            })
        })],
        examples: &[
            Example {
                expr: "recordTime()",
                result: "timestamp('2026-01-01T00:00:00Z')",
            },
            Example {
                expr: "recordTime() != null",
                result: "true",
            },
        ],
    },
    Function {
        name: "keyText",
        group: "record",
        doc: "The record's key as text; null if it has none. A key that was written with a schema holds more than text: \
              its frame makes it no UTF-8, or begins it with a zero character.",
        errors: "The key is no UTF-8.",
        forms: &[function(&[], Ty::NullableText, |_| {
            call(|cx, _| {
                let key = around(cx)?.key;
                nullable(cx, key, "the key is not UTF-8")
            })
        })],
        examples: &[
            Example {
                expr: "keyText()",
                result: "'k-1'",
            },
            Example {
                expr: "keyText().orValue('') == 'k-1'",
                result: "true",
            },
        ],
    },
];

fn around<'a>(cx: &Cx<'a>) -> Result<&'a Record<'a>, CallError> {
    cx.record
        .ok_or_else(|| "there is no record around this event".into())
}

fn nullable<'a>(
    cx: &mut Cx<'a>,
    bytes: Option<&'a [u8]>,
    wrong: &str,
) -> Result<Val<'a>, CallError> {
    let Some(bytes) = bytes else {
        return Ok(Val::Null);
    };
    cx.spend_bytes(bytes.len())?;
    std::str::from_utf8(bytes)
        .map(Val::Text)
        .map_err(|_| wrong.into())
}
