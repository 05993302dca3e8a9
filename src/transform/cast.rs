//! `cast: { field: type }` changes a field's type. Exact: a value that has no counterpart in the new type (out of
//! range, digits that would be lost, text that is not exactly that) is a record error, never a nearby value. Nullable
//! stays nullable.
//!
//! | to | from |
//! |---|---|
//! | `string` | anything that is text or one value: numbers in plain digits, dates as ISO, timestamps as RFC 3339 in UTC, enums as their symbol, bytes that are UTF-8 |
//! | `int`, `long` | each other, float and double without a fraction, decimals without one, text (`-?` digits, no leading zeros); a date is an `int` of days, a timestamp a `long` of its unit |
//! | `float`, `double` | numbers and decimals that survive the way back; text of a number, likewise |
//! | `boolean` | the texts `true` and `false` |
//! | `bytes` | text as UTF-8, fixed |
//! | `decimal(p,s)` | numbers, decimals, text such as `-12.50`; a float or double stands for its shortest decimal text |
//! | `date` | text `YYYY-MM-DD`; an `int` of days |
//! | `timestamp-millis`, `timestamp-micros` | each other, text in RFC 3339 with its offset, a `long` of that unit |
//!
//! A date becomes a timestamp, and the reverse, only by saying in which zone: `localTime()` in a `set`.

use super::convert::{self, Conversion};
use super::flow::Flow;
use super::leaf::Leaf;
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, Logical, Node, NodeId, Schema};
use crate::error::{Reason, RecordError};
use crate::expr::path::{peel, suggest, type_name};
use crate::expr::{Base, Cx, Val};

#[derive(Debug)]
pub(super) struct Cast {
    to: String,
    conversion: Conversion,
}

/// What a field can be cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    String,
    Int,
    Long,
    Float,
    Double,
    Boolean,
    Bytes,
    Decimal { precision: usize, scale: usize },
    Date,
    TimestampMillis,
    TimestampMicros,
}

const NAMES: [&str; 11] = [
    "string",
    "int",
    "long",
    "float",
    "double",
    "boolean",
    "bytes",
    "decimal(p,s)",
    "date",
    "timestamp-millis",
    "timestamp-micros",
];

pub(super) fn compile(
    entries: &[(Placed<String>, Placed<String>)],
    flow: &mut Flow,
    faults: &mut Vec<Fault>,
) {
    let mut casts = Vec::with_capacity(entries.len());
    for (field, to) in entries {
        let (found, target) = match (flow.target(field), Target::parse(to)) {
            (Ok(found), Ok(target)) => (found, target),
            (found, target) => {
                faults.extend(found.err());
                faults.extend(target.err());
                continue;
            }
        };
        let from = peel(&flow.schema, found.declared).node;
        match convert::find(flow.schema.node(from), target) {
            Ok(conversion) => casts.push((field, found, to, target, conversion)),
            Err(hint) => {
                let what = type_name(&flow.schema, from);
                let message = format!("{what} cannot be cast to {}", to.value);
                let fault = Fault::new(&to.place, to.value.clone(), message);
                faults.push(match hint {
                    Some(hint) => fault.hint(hint),
                    None => fault,
                });
                // Whatever follows is about the type that was meant.
                let node = target.node(&mut flow.schema);
                let declared = shape::retyped(&mut flow.schema, found.declared, node);
                flow.retype(&found, declared);
            }
        }
    }
    let touched: Vec<_> = casts
        .iter()
        .map(|(field, found, ..)| (*field, found))
        .collect();
    shape::overlap(&touched, faults);
    for (_, found, to, target, conversion) in casts {
        let node = target.node(&mut flow.schema);
        let declared = shape::retyped(&mut flow.schema, found.declared, node);
        let cast = Cast {
            to: to.value.clone(),
            conversion,
        };
        flow.change(&found, declared, Leaf::Cast(cast));
    }
}

impl Cast {
    pub(super) fn apply<'a>(&self, cx: &Cx<'a>, value: Val<'a>) -> Result<Val<'a>, RecordError> {
        self.conversion.apply(cx, value).map_err(|why| {
            let message = format!("cannot be cast to {}: {why}", self.to);
            RecordError::new(Reason::TransformFailed, message)
        })
    }
}

impl Target {
    pub(super) fn parse(text: &Placed<String>) -> Result<Target, Fault> {
        let written = text.value.trim();
        let fault = |message: String| Fault::new(&text.place, text.value.clone(), message);
        Ok(match written {
            "string" => Target::String,
            "int" => Target::Int,
            "long" => Target::Long,
            "float" => Target::Float,
            "double" => Target::Double,
            "boolean" => Target::Boolean,
            "bytes" => Target::Bytes,
            "date" => Target::Date,
            "timestamp-millis" => Target::TimestampMillis,
            "timestamp-micros" => Target::TimestampMicros,
            _ => {
                if let Some(arguments) = written.strip_prefix("decimal") {
                    return decimal(arguments).map_err(|why| {
                        fault(why.to_owned())
                            .hint("write `decimal(precision,scale)`, as in `decimal(12,2)`")
                    });
                }
                let fault = fault(format!("there is no cast to `{written}`"));
                return Err(match suggest(written, NAMES.into_iter()) {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault.hint(format!("there are {}", NAMES.join(", "))),
                });
            }
        })
    }

    fn node(self, schema: &mut Schema) -> NodeId {
        let (kind, logical) = match self {
            Target::String => return shape::plain(schema, &Base::String),
            Target::Int => return shape::plain(schema, &Base::Int),
            Target::Long => return shape::plain(schema, &Base::Long),
            Target::Float => return shape::plain(schema, &Base::Float),
            Target::Double => return shape::plain(schema, &Base::Double),
            Target::Boolean => return shape::plain(schema, &Base::Boolean),
            Target::Bytes => return shape::plain(schema, &Base::Bytes),
            Target::Date => return shape::plain(schema, &Base::Date),
            Target::TimestampMillis => return shape::plain(schema, &Base::TimestampMillis),
            Target::TimestampMicros => (Kind::Long, Logical::TimestampMicros),
            Target::Decimal { precision, scale } => {
                (Kind::Bytes, Logical::Decimal { precision, scale })
            }
        };
        schema.nodes.push(Node {
            kind,
            logical: Some(logical),
        });
        schema.nodes.len() - 1
    }
}

fn decimal(arguments: &str) -> Result<Target, &'static str> {
    let malformed = "a decimal needs its precision and scale";
    let inside = arguments.trim().strip_prefix('(');
    let inside = inside.and_then(|rest| rest.strip_suffix(')'));
    let (precision, scale) = inside
        .and_then(|both| both.split_once(','))
        .ok_or(malformed)?;
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| malformed);
    let (precision, scale) = (number(precision)?, number(scale)?);
    match precision {
        0 => Err("the precision must be at least 1"),
        // Far above what any warehouse takes; a bound on work.
        500.. => Err("the precision must be below 500"),
        _ if scale > precision => Err("the scale must not be above the precision"),
        _ => Ok(Target::Decimal { precision, scale }),
    }
}
