//! `format` of the strings extension of CEL: a text with clauses such as `%s` and `%.2f`, in whose places values are
//! written. Its values are of several types, which only the checker can take apart: it asks here what each clause takes,
//! and hands them over one by one.

use std::fmt::Write;
use std::sync::Arc;

use super::args::{Made, blamed, call, decimal, declared, list, method};
use super::standard::convert;
use super::{Call, CallError, Constants, Example, Function, Ty, numbers};
use crate::expr::cx::Cx;
use crate::expr::number::Decimal;
use crate::expr::types::Class;
use crate::expr::value::Val;

/// Digits after the point that can be asked for.
const MAX_DIGITS: usize = 100;
const KNOWN: &str = "there are `%s`, `%d`, `%f`, `%e`, `%b`, `%o`, `%x` and `%X`, `%.2f` and `%.2e` for digits after the \
                     point, and `%%` for a percent sign";

/// The functions of this file.
pub(super) static FUNCTIONS: &[Function] = &[Function {
    name: "format",
    group: "text",
    doc: "The format, a constant, with values in the places of its clauses, in order. The values are written out as a list, \
          and may be of several types. `%s` takes texts and what `string` takes, and lists and maps of it (of enums, lists, \
          maps and records not); `%d` a number; `%f` a number and `%e` an integer or double, with 6 digits after the point \
          (`%.2f`: 2; from the middle to the even digit); `%b` an integer, or true and false as 1 and 0, and `%o` an integer, \
          in binary and octal; `%x` and `%X` an integer, a text or bytes in hexadecimal. `%%` is a percent sign.",
    errors: "Bytes that are no UTF-8. At `check`: a clause that there is not, too few or too many values, one that its \
             clause does not take.",
    forms: &[method(
        &[("format", Ty::Text), ("values", Ty::List)],
        Ty::Text,
        format,
    )],
    examples: &[
        Example {
            expr: "'%s: %.2f (%d%%)'.format(['net', 12.345, 19])",
            result: "'net: 12.35 (19%)'",
        },
        Example {
            expr: "'%.1f'.format([decimal('0.25')])",
            result: "'0.2'",
        },
        Example {
            expr: "'%s is %x'.format([['a', 'b'], 255])",
            result: "'[a, b] is ff'",
        },
        Example {
            expr: "'%d'.format(['12'])",
            result: "error: `%d` takes a number",
        },
        Example {
            expr: "'%s %s'.format(['a'])",
            result: "error: 2 places",
        },
    ],
}];

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::expr) enum Clause {
    Text,
    Number,
    Fixed(usize),
    Scientific(usize),
    Binary,
    Octal,
    Hex,
    UpperHex,
}

impl Clause {
    /// Whether it takes values of a class.
    pub(in crate::expr) fn takes(self, class: &Class) -> bool {
        match self {
            Clause::Text => match class {
                Class::List(of) | Class::Map(of) => of.is_none(),
                Class::Record(_) | Class::Foreign(_) | Class::Several => false,
                _ => true,
            },
            Clause::Number | Clause::Fixed(_) => {
                matches!(class, Class::Integer | Class::Floating | Class::Decimal)
            }
            Clause::Scientific(_) => matches!(class, Class::Integer | Class::Floating),
            Clause::Binary => matches!(class, Class::Integer | Class::Boolean),
            Clause::Octal => matches!(class, Class::Integer),
            Clause::Hex | Clause::UpperHex => {
                matches!(class, Class::Integer | Class::Text | Class::Bytes)
            }
        }
    }

    /// For a person.
    pub(in crate::expr) const fn word(self) -> &'static str {
        match self {
            Clause::Text => "`%s` takes what can be written as a text",
            Clause::Number => "`%d` takes a number",
            Clause::Fixed(_) => "`%f` takes a number",
            Clause::Scientific(_) => "`%e` takes an integer or a double",
            Clause::Binary => "`%b` takes an integer, or true or false",
            Clause::Octal => "`%o` takes an integer",
            Clause::Hex | Clause::UpperHex => "`%x` takes an integer, a text or bytes",
        }
    }
}

/// A format that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::expr) struct Format {
    /// The clauses, and the text before each.
    clauses: Vec<(String, Clause)>,
    /// The text behind the last.
    rest: String,
}

impl Format {
    pub(in crate::expr) fn parse(text: &str) -> Result<Format, String> {
        let (mut clauses, mut before) = (Vec::new(), String::new());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                before.push(c);
                continue;
            }
            let mut written = String::from("%");
            let letter = loop {
                let Some(next) = chars.next() else {
                    return Err(format!("`{written}` is no clause; {KNOWN}"));
                };
                written.push(next);
                if next != '.' && !next.is_ascii_digit() {
                    break next;
                }
            };
            let between = written[1..].trim_end_matches(letter);
            let digits = match between.strip_prefix('.') {
                None if between.is_empty() => None,
                Some(digits) if matches!(letter, 'f' | 'e') => {
                    let digits = digits.parse().ok().filter(|digits| *digits <= MAX_DIGITS);
                    Some(digits.ok_or_else(|| {
                        format!("`{written}` has no number of digits from 0 to {MAX_DIGITS}")
                    })?)
                }
                _ => return Err(format!("there is no clause `{written}`; {KNOWN}")),
            };
            let clause = match letter {
                '%' => {
                    before.push('%');
                    continue;
                }
                's' => Clause::Text,
                'd' => Clause::Number,
                'f' => Clause::Fixed(digits.unwrap_or(6)),
                'e' => Clause::Scientific(digits.unwrap_or(6)),
                'b' => Clause::Binary,
                'o' => Clause::Octal,
                'x' => Clause::Hex,
                'X' => Clause::UpperHex,
                _ => return Err(format!("there is no clause `{written}`; {KNOWN}")),
            };
            clauses.push((std::mem::take(&mut before), clause));
        }
        Ok(Format {
            clauses,
            rest: before,
        })
    }

    /// The clauses in order.
    pub(in crate::expr) fn clauses(&self) -> impl ExactSizeIterator<Item = Clause> {
        self.clauses.iter().map(|(_, clause)| *clause)
    }

    /// A call whose arguments are the format and then each value.
    pub(in crate::expr) fn call(self) -> Call {
        Call::Args(Arc::new(move |cx, args| {
            self.write(cx, args.get(1..).unwrap_or_default())
        }))
    }

    fn write<'a>(&self, cx: &mut Cx<'a>, values: &[Val<'a>]) -> Result<Val<'a>, CallError> {
        let mut out = String::new();
        for (nth, (before, clause)) in self.clauses.iter().enumerate() {
            out.push_str(before);
            let value = values.get(nth).ok_or("the list has too few values")?;
            let written = one(cx, *clause, *value, &mut out);
            written.map_err(|error| match error {
                CallError::Failed(message) => CallError::Argument(nth + 1, message),
                other => other,
            })?;
        }
        out.push_str(&self.rest);
        cx.spend_bytes(out.len())?;
        Ok(cx.text(&out))
    }
}

fn format(constants: &Constants<'_>) -> Made {
    let text = declared(constants, 0, "a format such as '%s: %.2f'")?;
    let format = Format::parse(text).map_err(|why| (0, why))?;
    call(move |cx, args| format.write(cx, list(args, 1)?))
}

fn one<'a>(
    cx: &mut Cx<'a>,
    clause: Clause,
    value: Val<'a>,
    out: &mut String,
) -> Result<(), CallError> {
    let wrong = || blamed(0, clause.word());
    match (clause, value) {
        (Clause::Text, value) => return written(cx, value, out),
        (Clause::Number, Val::Int(_) | Val::Double(_) | Val::Decimal(..)) => {
            return written(cx, value, out);
        }
        (Clause::Fixed(_) | Clause::Scientific(_), Val::Double(number)) if !number.is_finite() => {
            out.push_str(infinite(number));
        }
        (Clause::Fixed(digits), Val::Double(number)) => {
            out.push_str(&format!("{number:.digits$}"));
        }
        (Clause::Fixed(digits), Val::Int(_) | Val::Decimal(..)) => {
            if let Val::Decimal(unscaled, _) = value {
                cx.spend_bytes(unscaled.len().saturating_mul(8))?;
            }
            let number = decimal(&[value], 0)?;
            let rounded = Decimal {
                unscaled: numbers::half_even(&number, digits),
                scale: digits,
            };
            out.push_str(&rounded.to_text());
        }
        (Clause::Scientific(digits), Val::Double(number)) => scientific(number, digits, out),
        #[expect(clippy::cast_precision_loss, reason = "digits are cut off anyway")]
        (Clause::Scientific(digits), Val::Int(number)) => scientific(number as f64, digits, out),
        (Clause::Binary, Val::Bool(truth)) => out.push(if truth { '1' } else { '0' }),
        (_, Val::Int(number)) => {
            let (sign, size) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
            out.push_str(&match clause {
                Clause::Binary => format!("{sign}{size:b}"),
                Clause::Octal => format!("{sign}{size:o}"),
                Clause::Hex => format!("{sign}{size:x}"),
                Clause::UpperHex => format!("{sign}{size:X}"),
                _ => return Err(wrong()),
            });
        }
        (Clause::Hex | Clause::UpperHex, Val::Text(_) | Val::Bytes(_)) => {
            let bytes = super::args::octets(&[value], 0)?;
            cx.spend_bytes(bytes.len())?;
            for byte in bytes {
                // Writing to a text does not fail.
                let _ok = match clause {
                    Clause::Hex => write!(out, "{byte:02x}"),
                    _ => write!(out, "{byte:02X}"),
                };
            }
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

const fn infinite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// `1.052033e+03`
fn scientific(number: f64, digits: usize, out: &mut String) {
    let written = format!("{number:.digits$e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    out.push_str(&format!("{mantissa}e{sign}{exponent:0>2}"));
}

/// A value as `%s` has it: what `string` makes of it; lists and maps with their parts, maps by their keys.
fn written<'a>(cx: &mut Cx<'a>, value: Val<'a>, out: &mut String) -> Result<(), CallError> {
    match value {
        Val::Null => out.push_str("null"),
        Val::Double(number) if !number.is_finite() => out.push_str(infinite(number)),
        Val::Double(number) => out.push_str(&number.to_string()),
        Val::List(items) => {
            out.push('[');
            for (nth, item) in items.iter().enumerate() {
                cx.spend(1)?;
                out.push_str(if nth > 0 { ", " } else { "" });
                written(cx, *item, out)?;
            }
            out.push(']');
        }
        Val::Map(entries) => {
            cx.spend((entries.len() as u64).saturating_mul(8))?;
            let mut sorted: Vec<(&str, Val<'a>)> = entries
                .iter()
                .filter_map(|(key, value)| match key {
                    Val::Text(key) => Some((*key, *value)),
                    _ => None,
                })
                .collect();
            sorted.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (nth, (key, value)) in sorted.into_iter().enumerate() {
                cx.spend_bytes(key.len())?;
                out.push_str(if nth > 0 { ", " } else { "" });
                out.push_str(key);
                out.push_str(": ");
                written(cx, value, out)?;
            }
            out.push('}');
        }
        value => {
            if let Val::Text(text) = convert::string(cx, &[value])? {
                out.push_str(text);
            }
        }
    }
    Ok(())
}
