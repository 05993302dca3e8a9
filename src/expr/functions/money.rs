//! `decimal(text, style)`: numbers as people and spreadsheets write them. The style is declared, never guessed: `1.234`
//! is one and a bit, or a thousand and more, and nothing in the text says which.

use num_bigint::BigInt;

use super::args::{MAX_SCALE, Made, call, choice, int, text};
use super::{CallError, Constants};
use crate::expr::cx::Cx;
use crate::expr::number::Decimal;
use crate::expr::value::Val;

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Us,
    Eu,
    Ch,
    Space,
}

const STYLES: [(&str, Style); 5] = [
    ("plain", Style::Plain),
    ("us", Style::Us),
    ("eu", Style::Eu),
    ("ch", Style::Ch),
    ("space", Style::Space),
];

impl Style {
    const fn point(self) -> char {
        match self {
            Style::Plain | Style::Us | Style::Ch => '.',
            Style::Eu | Style::Space => ',',
        }
    }

    /// What may stand between groups of three digits.
    pub(super) const fn separators(self) -> &'static [char] {
        match self {
            Style::Plain => &[],
            Style::Us => &[','],
            Style::Eu => &['.'],
            Style::Ch => &['\'', '\u{2019}'],
            // As typed; no-break; narrow no-break and thin, as typeset.
            Style::Space => &[' ', '\u{a0}', '\u{202f}', '\u{2009}'],
        }
    }

    const fn sample(self) -> &'static str {
        match self {
            Style::Plain => "expected a number such as -1234.56",
            Style::Us => "expected a number such as -1,234.56 (style 'us')",
            Style::Eu => "expected a number such as -1.234,56 (style 'eu')",
            Style::Ch => "expected a number such as -1'234.56 (style 'ch')",
            Style::Space => "expected a number such as -1 234,56 (style 'space')",
        }
    }
}

/// `decimal(text)` and `decimal(text, style)`.
pub(super) fn make(constants: &Constants<'_>) -> Made {
    let style = match constants.args.len() {
        1 => Style::Plain,
        _ => choice(constants, 1, "style", &STYLES)?,
    };
    // `decimal('12.5O')` would fail on every record.
    if let Some(text) = constants.text(0) {
        parse(text, style).ok_or_else(|| (0, style.sample().to_owned()))?;
    }
    call(move |cx, args| {
        let text = text(args, 0)?;
        cx.spend_bytes(text.len())?;
        match parse(text, style) {
            Some(number) => Ok(number.on(cx)),
            None => Err(style.sample().into()),
        }
    })
}

/// `decimal(int)`.
pub(super) fn of_int<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    Ok(small(cx, i128::from(int(args, 0)?), 0))
}

/// An unscaled number and its scale. Nearly all fit 128 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Number {
    Small(i128, u32),
    Big(Decimal),
}

impl Number {
    fn on<'a>(&self, cx: &Cx<'a>) -> Val<'a> {
        match self {
            Number::Small(unscaled, scale) => small(cx, *unscaled, *scale),
            Number::Big(number) => cx.decimal(number),
        }
    }
}

/// A decimal with the shortest bytes.
pub(super) fn small<'a>(cx: &Cx<'a>, unscaled: i128, scale: u32) -> Val<'a> {
    let bytes = unscaled.to_be_bytes();
    let sign = if unscaled < 0 { 0xff } else { 0 };
    let surplus = bytes
        .windows(2)
        .take_while(|pair| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0)
        .count();
    Val::Decimal(cx.arena.alloc_slice_copy(&bytes[surplus..]), scale)
}

/// Reads a number of a style. Nothing is skipped: no blanks around it, no currency sign, no `+`.
pub(super) fn parse(text: &str, style: Style) -> Option<Number> {
    let magnitude = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match magnitude.split_once(style.point()) {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (magnitude, ""),
    };
    let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !numeric(fraction) || text.len() > 1_000 {
        return None;
    }
    let separator = whole
        .chars()
        .find(|character| style.separators().contains(character));
    match separator {
        None if !numeric(whole) => return None,
        None => {}
        Some(separator) => {
            let mut groups = whole.split(separator);
            let first = groups.next()?;
            // `0.123` in the style `eu` is a number of another style, not a grouped one.
            if first.is_empty() || first.len() > 3 || first.starts_with('0') || !numeric(first) {
                return None;
            }
            if !groups.all(|group| group.len() == 3 && numeric(group)) {
                return None;
            }
        }
    }
    let digits = || {
        whole
            .bytes()
            .chain(fraction.bytes())
            .filter(u8::is_ascii_digit)
    };
    let negative = magnitude.len() < text.len();
    let scale = fraction.len();
    if i64::try_from(scale).ok()? > MAX_SCALE {
        return None;
    }
    let mut unscaled = 0i128;
    for digit in digits() {
        let next = unscaled
            .checked_mul(10)
            .and_then(|number| number.checked_add(i128::from(digit - b'0')));
        match next {
            Some(next) => unscaled = next,
            None => {
                let digits: Vec<u8> = digits().collect();
                let number = BigInt::parse_bytes(&digits, 10)?;
                let unscaled = if negative { -number } else { number };
                return Some(Number::Big(Decimal { unscaled, scale }));
            }
        }
    }
    let unscaled = if negative { -unscaled } else { unscaled };
    Some(Number::Small(unscaled, u32::try_from(scale).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, style: &str, expect: Option<(i128, u32)>) {
        let (_, style) = STYLES
            .iter()
            .find(|(word, _)| *word == style)
            .expect("a style");
        let expect = expect.map(|(unscaled, scale)| Number::Small(unscaled, scale));
        assert_eq!(parse(text, *style), expect, "{text}");
    }

    #[test]
    fn the_style_alone_decides() {
        check("1.234", "eu", Some((1234, 0)));
        check("1.234", "us", Some((1234, 3)));
        check("1,234", "eu", Some((1234, 3)));
        check("1,234", "us", Some((1234, 0)));
        check("1,234", "plain", None);
    }

    #[test]
    fn numbers_are_well_formed_or_refused() {
        check("1.234,56", "eu", Some((123_456, 2)));
        check("-1.234.567,8", "eu", Some((-12_345_678, 1)));
        check("1234,56", "eu", Some((123_456, 2)));
        check("1.23,45", "eu", None);
        check("1234.567,8", "eu", None);
        check("1.234567", "eu", None);
        check("0.123", "eu", None);
        check("1.234.56", "eu", None);
        check("1,234.56", "eu", None);
        check("1,234.56", "us", Some((123_456, 2)));
        check(",234", "us", None);
        check("1,,234", "us", None);
        check("1'234.56", "ch", Some((123_456, 2)));
        check("1\u{2019}234.56", "ch", Some((123_456, 2)));
        check("1'234\u{2019}567", "ch", None);
        check("1 234,56", "space", Some((123_456, 2)));
        check("1\u{a0}234,56", "space", Some((123_456, 2)));
        check("1\u{202f}234\u{202f}567", "space", Some((1_234_567, 0)));
        check("12 34", "space", None);
        check("12.50", "plain", Some((1250, 2)));
        check("-0.05", "plain", Some((-5, 2)));
        check("007", "plain", Some((7, 0)));
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "+1",
            " 1",
            "1 ",
            "1e3",
            "€1",
            "1 €",
            "$1",
            "1-",
            "(1)",
            "NaN",
            "--1",
            "\u{2212}1",
            "١",
        ] {
            for (style, _) in STYLES {
                if !(style == "eu" && text == "1.") {
                    check(text, style, None);
                }
            }
        }
    }

    #[test]
    fn a_long_number_stays_exact() {
        let text = "9".repeat(60);
        let Some(Number::Big(number)) = parse(&text, Style::Plain) else {
            panic!("a big number");
        };
        assert_eq!(number.to_text(), text);
        assert_eq!(parse(&"9".repeat(1001), Style::Plain), None);
    }

    /// The number written in a style.
    fn written(unscaled: i128, scale: usize, style: Style, separator: Option<char>) -> String {
        let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let mut out = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at) % 3 == 0 {
                out.extend(separator);
            }
            out.push(digit);
        }
        if scale > 0 {
            out.push(style.point());
            out.push_str(fraction);
        }
        if unscaled < 0 { format!("-{out}") } else { out }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(unscaled in -(1i128 << 100)..(1i128 << 100), scale in 0usize..20, pick: usize, grouped: bool) {
            for (_, style) in STYLES {
                let separators = style.separators();
                let separator = (grouped && !separators.is_empty()).then(|| separators[pick % separators.len()]);
                let text = written(unscaled, scale, style, separator);
                let expect = Number::Small(unscaled, u32::try_from(scale).expect("small"));
                prop_assert_eq!(parse(&text, style), Some(expect), "{}", text);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-0-9.,' \u{a0}€e]{0,12}|.*") {
            for (_, style) in STYLES {
                // What is taken is digits and declared separators, in an order that gives the number back.
                if let Some(Number::Small(unscaled, scale)) = parse(&text, style) {
                    let plain: String = text.chars().filter(char::is_ascii_digit).collect();
                    prop_assert_eq!(unscaled.unsigned_abs(), plain.parse::<u128>().expect("digits"));
                    prop_assert!(scale as usize <= text.len());
                }
            }
        }
    }
}
