//! Exact numbers: decimals of any size, and comparisons between integers and floating point without a lossy cast.

use num_bigint::{BigInt, Sign};
use std::cmp::Ordering;

/// Digits (and decimal exponent) beyond which a text is not taken as a number: a bound on work, far beyond any
/// decimal that a schema declares.
const MAX_DIGITS: usize = 1_000;

/// `unscaled / 10^scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    /// The digits.
    pub unscaled: BigInt,
    /// Digits after the point.
    pub scale: usize,
}

impl Decimal {
    /// Reads an Avro decimal: two's complement, big-endian. No bytes are zero.
    pub fn from_avro(bytes: &[u8], scale: usize) -> Decimal {
        Decimal {
            unscaled: BigInt::from_signed_bytes_be(bytes),
            scale,
        }
    }

    /// Reads `-12`, `12.50`, `1.5e3`; nothing else (no `+` in front, no `.5`, no `5.`, no spaces).
    pub fn parse(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let mut out = Decimal::parse_plain(mantissa)?;
        if exponent.unsigned_abs() as usize > MAX_DIGITS {
            return None;
        }
        if exponent < 0 {
            out.scale += exponent.unsigned_abs() as usize;
        } else {
            let exponent = exponent as usize;
            let taken = exponent.min(out.scale);
            out.scale -= taken;
            out.unscaled *= power(exponent - taken);
        }
        Some(out)
    }

    /// The same without an exponent: `-12`, `12.50`.
    pub fn parse_plain(text: &str) -> Option<Decimal> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let valid = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !valid(whole) || !valid(fraction) || text.len() > MAX_DIGITS {
            return None;
        }
        let magnitude: BigInt = format!("{whole}{fraction}").parse().ok()?;
        Some(Decimal {
            unscaled: if digits.len() < text.len() {
                -magnitude
            } else {
                magnitude
            },
            scale: fraction.len(),
        })
    }

    /// From an integer.
    pub fn integer(value: i64) -> Decimal {
        Decimal {
            unscaled: value.into(),
            scale: 0,
        }
    }

    /// The unscaled number at another scale, if no digit other than zero is lost.
    pub fn at_scale(&self, scale: usize) -> Option<BigInt> {
        if scale >= self.scale {
            return Some(&self.unscaled * power(scale - self.scale));
        }
        let divisor = power(self.scale - scale);
        let whole = &self.unscaled / &divisor;
        (&whole * divisor == self.unscaled).then_some(whole)
    }

    /// The least unscaled number at that scale that is not below this one.
    pub fn ceiling_at(&self, scale: usize) -> BigInt {
        -Decimal {
            unscaled: -&self.unscaled,
            scale: self.scale,
        }
        .floor_at(scale)
    }

    /// The greatest unscaled number at that scale that is not above this one.
    pub fn floor_at(&self, scale: usize) -> BigInt {
        if let Some(exact) = self.at_scale(scale) {
            return exact;
        }
        // Division drops the fraction, which is upwards for what is negative.
        let towards_zero = &self.unscaled / power(self.scale - scale);
        match self.unscaled.sign() {
            Sign::Minus => towards_zero - 1,
            _ => towards_zero,
        }
    }

    /// By value: `1.0` equals `1`.
    pub fn compare(&self, other: &Decimal) -> Ordering {
        let scale = self.scale.max(other.scale);
        let left = &self.unscaled * power(scale - self.scale);
        let right = &other.unscaled * power(scale - other.scale);
        left.cmp(&right)
    }

    /// Plain digits with exactly `scale` after the point.
    pub fn to_text(&self) -> String {
        let digits = self.unscaled.magnitude().to_string();
        let padded = format!("{digits:0>width$}", width = self.scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - self.scale);
        let sign = if self.unscaled.sign() == Sign::Minus {
            "-"
        } else {
            ""
        };
        match fraction {
            "" => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{fraction}"),
        }
    }
}

/// Digits of a number, without its sign; zero has one.
pub fn digits(number: &BigInt) -> usize {
    number.magnitude().to_string().len()
}

/// An Avro decimal's bytes; for a fixed, sign-extended to `size`, if it fits.
pub fn to_avro(number: &BigInt, size: Option<usize>) -> Option<Vec<u8>> {
    let bytes = number.to_signed_bytes_be();
    let Some(size) = size else {
        return Some(bytes);
    };
    let fill = if number.sign() == Sign::Minus {
        0xff
    } else {
        0
    };
    let missing = size.checked_sub(bytes.len())?;
    let mut out = vec![fill; missing];
    out.extend(bytes);
    Some(out)
}

fn power(exponent: usize) -> BigInt {
    let exponent =
        u32::try_from(exponent).expect("scales are bounded by the schema and MAX_DIGITS");
    BigInt::from(10).pow(exponent)
}

/// An integer against a floating-point number, by value. `None` for NaN.
pub fn compare_integer(integer: i64, float: f64) -> Option<Ordering> {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return None;
    }
    if float >= TWO_63 {
        return Some(Ordering::Less);
    }
    if float < -TWO_63 {
        return Some(Ordering::Greater);
    }
    // In range, so the cast only drops the fraction.
    let whole = float.trunc();
    let order = integer.cmp(&(whole as i64));
    Some(order.then_with(|| whole.partial_cmp(&float).unwrap_or(Ordering::Equal)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_decimals() {
        for (text, back) in [
            ("0", Some("0")),
            ("-0.05", Some("-0.05")),
            ("12.50", Some("12.50")),
            ("1.5e3", Some("1500")),
            ("1.25e1", Some("12.5")),
            ("25e-3", Some("0.025")),
            ("+1", None),
            (".5", None),
            ("5.", None),
            ("1 ", None),
            ("", None),
            ("-", None),
            ("1,5", None),
            ("1e999999999", None),
            ("NaN", None),
        ] {
            let read = Decimal::parse(text).map(|decimal| decimal.to_text());
            assert_eq!(read.as_deref(), back, "{text}");
        }
    }

    #[test]
    fn rounds_to_a_scale() {
        for (text, scale, floor, ceiling) in [
            ("1.25", 1, 12, 13),
            ("-1.25", 1, -13, -12),
            ("-0.5", 0, -1, 0),
            ("3", 2, 300, 300),
            ("1.20", 1, 12, 12),
        ] {
            let number = Decimal::parse(text).expect("a number");
            assert_eq!(number.floor_at(scale), floor.into(), "{text}");
            assert_eq!(number.ceiling_at(scale), ceiling.into(), "{text}");
        }
    }

    #[test]
    fn integers_and_floats_compare_by_value() {
        for (integer, float, expect) in [
            (1, 1.0, Some(Ordering::Equal)),
            (1, 1.5, Some(Ordering::Less)),
            (-1, -1.5, Some(Ordering::Greater)),
            (
                9_007_199_254_740_993,
                9_007_199_254_740_992.0,
                Some(Ordering::Greater),
            ),
            (i64::MAX, 9_223_372_036_854_775_808.0, Some(Ordering::Less)),
            (
                i64::MIN,
                -9_223_372_036_854_775_808.0,
                Some(Ordering::Equal),
            ),
            (0, f64::NEG_INFINITY, Some(Ordering::Greater)),
            (0, f64::NAN, None),
        ] {
            assert_eq!(compare_integer(integer, float), expect, "{integer} {float}");
        }
    }

    proptest! {
        #[test]
        fn avro_bytes_come_back(value: i128, scale in 0usize..30) {
            let number = BigInt::from(value);
            let bytes = to_avro(&number, Some(17)).expect("17 bytes hold any i128");
            prop_assert_eq!(Decimal::from_avro(&bytes, scale).unscaled, number.clone());
            let text = Decimal { unscaled: number.clone(), scale }.to_text();
            prop_assert_eq!(Decimal::parse(&text), Some(Decimal { unscaled: number, scale }));
        }

        #[test]
        fn comparing_agrees_with_a_common_scale(a in -10_000i64..10_000, b in -10_000i64..10_000, s in 0usize..4, t in 0usize..4) {
            let left = Decimal { unscaled: a.into(), scale: s };
            let right = Decimal { unscaled: b.into(), scale: t };
            let common = |n: i64, scale: usize| n * 10i64.pow(4 - scale as u32);
            prop_assert_eq!(left.compare(&right), common(a, s).cmp(&common(b, t)));
        }

        #[test]
        fn integer_order_agrees_with_i128(a: i64, b: i64) {
            let float = b as f64;
            // 2^63 as a double fits i128 exactly.
            let expect = i128::from(a).cmp(&(float as i128));
            prop_assert_eq!(compare_integer(a, float), Some(expect));
        }
    }
}
