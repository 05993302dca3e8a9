//! Exact numbers: decimals from text, rounding, division, units. Nothing passes through a float.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};

use super::args::{
    MAX_SCALE, Made, blamed, call, choice, decimal, declared, double, function, int,
};
use super::{CallError, Constants, Example, Function, Ty, money};
use crate::expr::cx::Cx;
use crate::expr::number::Decimal;
use crate::expr::value::{Val, compare_decimals};

/// The functions of this file.
pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "decimal",
        group: "numbers",
        doc: "A text as an exact decimal, or an integer as one. Without a style the text is plain: `12.50`, `-3`. \
              A style, a constant, says which signs stand between thousands and before the fraction: `'us'` 1,234.56; \
              `'eu'` 1.234,56; `'ch'` 1'234.56; `'space'` 1 234,56 (also no-break and thin spaces); `'plain'` 1234.56. \
              It is never guessed: `1.234` is 1234 under `eu` and 1.234 under `us`. \
              Thousands need no sign between them; where there is one, every group must be of three digits.",
        errors: "Anything else: groups of other lengths, a currency sign, blanks around the number, a `+`, an exponent. \
                 A constant text that is no number is an error at `check`.",
        forms: &[
            function(&[("text", Ty::Text)], Ty::Decimal, money::make),
            function(
                &[("text", Ty::Text), ("style", Ty::Text)],
                Ty::Decimal,
                money::make,
            ),
            function(&[("number", Ty::Int)], Ty::Decimal, |_| call(money::of_int)),
        ],
        examples: &[
            Example {
                expr: "decimal('12.50')",
                result: "decimal('12.5')",
            },
            Example {
                expr: "decimal('1.234,56', 'eu')",
                result: "decimal('1234.56')",
            },
            Example {
                expr: "decimal('1.234', 'us')",
                result: "decimal('1.234')",
            },
            Example {
                expr: "decimal(\"-1'234.50\", 'ch')",
                result: "decimal('-1234.5')",
            },
            Example {
                expr: "decimal('1 234,5', 'space')",
                result: "decimal('1234.5')",
            },
            Example {
                expr: "decimal(7)",
                result: "decimal('7')",
            },
            Example {
                expr: "decimal('1.23,45', 'eu')",
                result: "error: expected a number such as -1.234,56",
            },
            Example {
                expr: "decimal('€12', 'eu')",
                result: "error: expected a number such as",
            },
        ],
    },
    Function {
        name: "round",
        group: "numbers",
        doc: "A decimal with `scale` digits after the point, a constant. `mode`, a constant, says what becomes of the rest: \
              `'half_even'` to the nearest, and from the middle to the even digit, as banks do (the default); `'half_up'` \
              to the nearest, and from the middle away from zero, as in school; `'down'` towards zero; `'up'` away from it; \
              `'exact'` takes no number that would lose a digit other than 0. A number with fewer digits gets zeros.",
        errors: "With `'exact'`, more digits than `scale` after the point.",
        forms: &[
            function(
                &[("number", Ty::Decimal), ("scale", Ty::Int)],
                Ty::Decimal,
                round,
            ),
            function(
                &[
                    ("number", Ty::Decimal),
                    ("scale", Ty::Int),
                    ("mode", Ty::Text),
                ],
                Ty::Decimal,
                round,
            ),
        ],
        examples: &[
            Example {
                expr: "round(decimal('2.345'), 2)",
                result: "decimal('2.34')",
            },
            Example {
                expr: "round(decimal('2.345'), 2, 'half_up')",
                result: "decimal('2.35')",
            },
            Example {
                expr: "round(decimal('-2.341'), 2, 'up')",
                result: "decimal('-2.35')",
            },
            Example {
                expr: "round(decimal('2.349'), 2, 'down')",
                result: "decimal('2.34')",
            },
            Example {
                expr: "round(decimal('2.50'), 1, 'exact')",
                result: "decimal('2.5')",
            },
            Example {
                expr: "round(decimal('2.55'), 1, 'exact')",
                result: "error: more than 1 digit",
            },
        ],
    },
    Function {
        name: "divide",
        group: "numbers",
        doc: "`number / by` as a decimal with `scale` digits after the point, rounded as `round` does. Most quotients have \
              no end, so the scale must be said; there is no `/` for decimals.",
        errors: "Division by zero.",
        forms: &[
            function(
                &[
                    ("number", Ty::Decimal),
                    ("by", Ty::Decimal),
                    ("scale", Ty::Int),
                ],
                Ty::Decimal,
                divide,
            ),
            function(
                &[
                    ("number", Ty::Decimal),
                    ("by", Ty::Decimal),
                    ("scale", Ty::Int),
                    ("mode", Ty::Text),
                ],
                Ty::Decimal,
                divide,
            ),
        ],
        examples: &[
            Example {
                expr: "divide(decimal('10'), decimal('3'), 4)",
                result: "decimal('3.3333')",
            },
            Example {
                expr: "divide(decimal('1'), decimal('8'), 2, 'half_up')",
                result: "decimal('0.13')",
            },
            Example {
                expr: "divide(decimal('1'), decimal('0.00'), 2)",
                result: "error: division by zero",
            },
        ],
    },
    Function {
        name: "convert",
        group: "numbers",
        doc: "A number in another unit: `value` times `factor`, exactly. The factor is a constant text, such as `'0.01'` \
              for cents as euros or `'0.45359237'` for pounds as kilograms.",
        errors: "",
        forms: &[
            function(
                &[("value", Ty::Decimal), ("factor", Ty::Text)],
                Ty::Decimal,
                convert,
            ),
            function(
                &[("value", Ty::Int), ("factor", Ty::Text)],
                Ty::Decimal,
                convert,
            ),
        ],
        examples: &[
            Example {
                expr: "convert(1999, '0.01')",
                result: "decimal('19.99')",
            },
            Example {
                expr: "convert(decimal('2.5'), '0.45359237')",
                result: "decimal('1.133980925')",
            },
        ],
    },
    Function {
        name: "abs",
        group: "numbers",
        doc: "A number without its sign.",
        errors: "The smallest long, whose opposite is no long.",
        forms: &[
            function(&[("number", Ty::Int)], Ty::Int, |_| {
                call(|_, args| match int(args, 0)?.checked_abs() {
                    Some(number) => Ok(Val::Int(number)),
                    None => Err("overflow: the number has no opposite".into()),
                })
            }),
            function(&[("number", Ty::Double)], Ty::Double, |_| {
                call(|_, args| Ok(Val::Double(double(args, 0)?.abs())))
            }),
            function(&[("number", Ty::Decimal)], Ty::Decimal, |_| {
                call(|cx, args| {
                    let mut number = decimal(args, 0)?;
                    if number.unscaled.sign() == Sign::Minus {
                        number.unscaled = -number.unscaled;
                    }
                    Ok(cx.decimal(&number))
                })
            }),
        ],
        examples: &[
            Example {
                expr: "abs(-3)",
                result: "3",
            },
            Example {
                expr: "abs(decimal('-0.50'))",
                result: "decimal('0.5')",
            },
            Example {
                expr: "abs(-9223372036854775807 - 1)",
                result: "error: overflow",
            },
        ],
    },
    Function {
        name: "least",
        group: "numbers",
        doc: "The smaller of two values of the same type.",
        errors: "One of them is NaN.",
        forms: &[
            function(&[("a", Ty::Int), ("b", Ty::Int)], Ty::Int, |_| call(least)),
            function(&[("a", Ty::Double), ("b", Ty::Double)], Ty::Double, |_| {
                call(least)
            }),
            function(
                &[("a", Ty::Decimal), ("b", Ty::Decimal)],
                Ty::Decimal,
                |_| call(least),
            ),
            function(&[("a", Ty::Date), ("b", Ty::Date)], Ty::Date, |_| {
                call(least)
            }),
            function(
                &[("a", Ty::Timestamp), ("b", Ty::Timestamp)],
                Ty::Timestamp,
                |_| call(least),
            ),
            function(&[("a", Ty::Text), ("b", Ty::Text)], Ty::Text, |_| {
                call(least)
            }),
        ],
        examples: &[
            Example {
                expr: "least(3, 2)",
                result: "2",
            },
            Example {
                expr: "least(decimal('1.5'), decimal('1.50'))",
                result: "decimal('1.5')",
            },
        ],
    },
    Function {
        name: "greatest",
        group: "numbers",
        doc: "The larger of two values of the same type.",
        errors: "One of them is NaN.",
        forms: &[
            function(&[("a", Ty::Int), ("b", Ty::Int)], Ty::Int, |_| {
                call(greatest)
            }),
            function(&[("a", Ty::Double), ("b", Ty::Double)], Ty::Double, |_| {
                call(greatest)
            }),
            function(
                &[("a", Ty::Decimal), ("b", Ty::Decimal)],
                Ty::Decimal,
                |_| call(greatest),
            ),
            function(&[("a", Ty::Date), ("b", Ty::Date)], Ty::Date, |_| {
                call(greatest)
            }),
            function(
                &[("a", Ty::Timestamp), ("b", Ty::Timestamp)],
                Ty::Timestamp,
                |_| call(greatest),
            ),
            function(&[("a", Ty::Text), ("b", Ty::Text)], Ty::Text, |_| {
                call(greatest)
            }),
        ],
        examples: &[
            Example {
                expr: "greatest(3, 2)",
                result: "3",
            },
            Example {
                expr: "greatest('a', 'b')",
                result: "'b'",
            },
        ],
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    HalfEven,
    HalfUp,
    Down,
    Up,
    Exact,
}

const MODES: [(&str, Mode); 5] = [
    ("half_even", Mode::HalfEven),
    ("half_up", Mode::HalfUp),
    ("down", Mode::Down),
    ("up", Mode::Up),
    ("exact", Mode::Exact),
];

/// The constant scale at `at`, and the mode behind it.
fn rounding(constants: &Constants<'_>, at: usize) -> Result<(usize, Mode), (usize, String)> {
    let scale = constants.int(at).ok_or_else(|| {
        (
            at,
            "expected a constant: the number of digits after the point".to_owned(),
        )
    })?;
    if !(0..=MAX_SCALE).contains(&scale) {
        return Err((
            at,
            format!("expected 0 to {MAX_SCALE} digits after the point"),
        ));
    }
    let mode = match constants.args.len() > at + 1 {
        true => choice(constants, at + 1, "mode", &MODES)?,
        false => Mode::HalfEven,
    };
    Ok((usize::try_from(scale).unwrap_or(0), mode))
}

/// The unscaled number at a scale, from the middle to the even digit.
pub(super) fn half_even(number: &Decimal, scale: usize) -> BigInt {
    number.at_scale(scale).unwrap_or_else(|| {
        let rounded = quotient(
            &number.unscaled,
            &power(number.scale - scale),
            Mode::HalfEven,
        );
        rounded.expect("only `exact` refuses to round")
    })
}

fn round(constants: &Constants<'_>) -> Made {
    let (scale, mode) = rounding(constants, 1)?;
    call(move |cx, args| {
        let number = decimal(args, 0)?;
        let unscaled = match number.at_scale(scale) {
            Some(exact) => exact,
            None => quotient(&number.unscaled, &power(number.scale - scale), mode)
                .ok_or_else(|| too_many(scale))?,
        };
        Ok(cx.decimal(&Decimal { unscaled, scale }))
    })
}

fn divide(constants: &Constants<'_>) -> Made {
    let (scale, mode) = rounding(constants, 2)?;
    call(move |cx, args| {
        let (number, by) = (decimal(args, 0)?, decimal(args, 1)?);
        if by.unscaled.sign() == Sign::NoSign {
            return Err(blamed(1, "division by zero"));
        }
        let above = number.unscaled * power(scale + by.scale);
        let below = by.unscaled * power(number.scale);
        let unscaled = quotient(&above, &below, mode).ok_or_else(|| too_many(scale))?;
        Ok(cx.decimal(&Decimal { unscaled, scale }))
    })
}

fn convert(constants: &Constants<'_>) -> Made {
    let text = declared(constants, 1, "a factor such as '0.01'")?;
    let factor = Decimal::parse_plain(text)
        .ok_or_else(|| (1, "expected a factor such as '0.01'".to_owned()))?;
    call(move |cx, args| {
        let value = decimal(args, 0)?;
        Ok(cx.decimal(&Decimal {
            unscaled: value.unscaled * &factor.unscaled,
            scale: value.scale + factor.scale,
        }))
    })
}

fn power(exponent: usize) -> BigInt {
    let exponent = u32::try_from(exponent).expect("scales are bounded");
    BigInt::from(10).pow(exponent)
}

fn too_many(scale: usize) -> CallError {
    let digits = if scale == 1 { "digit" } else { "digits" };
    format!("found more than {scale} {digits} after the point").into()
}

/// `above / below`, rounded to an integer, if that is allowed.
fn quotient(above: &BigInt, below: &BigInt, mode: Mode) -> Option<BigInt> {
    let (whole, rest) = (above / below, above % below);
    if rest.sign() == Sign::NoSign {
        return Some(whole);
    }
    let middle = (rest.magnitude() * 2u8).cmp(below.magnitude());
    let away = match mode {
        Mode::Exact => return None,
        Mode::Down => false,
        Mode::Up => true,
        Mode::HalfUp => middle != Ordering::Less,
        Mode::HalfEven => {
            middle == Ordering::Greater || (middle == Ordering::Equal && whole.bit(0))
        }
    };
    Some(match (away, above.sign() == below.sign()) {
        (false, _) => whole,
        (true, true) => whole + 1,
        (true, false) => whole - 1,
    })
}

fn order(cx: &mut Cx<'_>, args: &[Val<'_>]) -> Result<Ordering, CallError> {
    Ok(match args {
        [Val::Int(a), Val::Int(b)] => a.cmp(b),
        [Val::Double(a), Val::Double(b)] => a.partial_cmp(b).ok_or("NaN has no order")?,
        [Val::Decimal(a, scale), Val::Decimal(b, other)] => {
            // Bounded, before it is compared.
            let _within_bounds = (decimal(args, 0)?, decimal(args, 1)?);
            compare_decimals((a, *scale), (b, *other))
        }
        [Val::Date(a), Val::Date(b)] => a.cmp(b),
        [Val::Timestamp(a), Val::Timestamp(b)] => a.cmp(b),
        [Val::Text(a), Val::Text(b)] => {
            cx.spend_bytes(a.len().min(b.len()))?;
            a.cmp(b)
        }
        _ => return Err("an argument is not of the type that was checked".into()),
    })
}

fn least<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    match order(cx, args)? {
        Ordering::Greater => Ok(args[1]),
        _ => Ok(args[0]),
    }
}

fn greatest<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    match order(cx, args)? {
        Ordering::Less => Ok(args[1]),
        _ => Ok(args[0]),
    }
}

#[cfg(test)]
mod tests;
