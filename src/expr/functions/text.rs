//! Texts as integrations need them cleaned: padding, digits, Unicode, postal codes.

use bumpalo::collections::String as BumpString;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::args::{blamed, call, function, int, of_octets, of_text, text, utf8};
use super::{CallError, Example, Function, Ty};
use crate::expr::cx::Cx;
use crate::expr::value::Val;

/// The functions of this file.
pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "upper",
        group: "text",
        doc: "The text in upper case, as Unicode defines it: `ß` becomes `SS`. No language is assumed, so Turkish `i` \
              becomes `I`.",
        errors: "",
        forms: &[function(&[("text", Ty::Text)], Ty::Text, |_| {
            of_text(|cx, text| Ok(cx.arena.alloc_str(&text.to_uppercase())))
        })],
        examples: &[
            Example {
                expr: "upper('Müller')",
                result: "'MÜLLER'",
            },
            Example {
                expr: "upper('straße')",
                result: "'STRASSE'",
            },
        ],
    },
    Function {
        name: "lower",
        group: "text",
        doc: "The text in lower case, as Unicode defines it. No language is assumed, so Turkish `I` becomes `i`.",
        errors: "",
        forms: &[function(&[("text", Ty::Text)], Ty::Text, |_| {
            of_text(|cx, text| Ok(cx.arena.alloc_str(&text.to_lowercase())))
        })],
        examples: &[
            Example {
                expr: "lower('MÜLLER')",
                result: "'müller'",
            },
            Example {
                expr: "lower('A-1')",
                result: "'a-1'",
            },
        ],
    },
    Function {
        name: "padLeft",
        group: "text",
        doc: "The text with as many times `fill` in front as it takes to be `width` characters long; a longer one stays.",
        errors: "`fill` is not one character, or `width` is negative.",
        forms: &[function(
            &[("text", Ty::Text), ("width", Ty::Int), ("fill", Ty::Text)],
            Ty::Text,
            |constants| {
                if let Some(fill) = constants.text(2) {
                    one_character(fill).map_err(|error| (2, error.to_string()))?;
                }
                call(pad_left)
            },
        )],
        examples: &[
            Example {
                expr: "padLeft('42', 5, '0')",
                result: "'00042'",
            },
            Example {
                expr: "padLeft('123456', 5, '0')",
                result: "'123456'",
            },
            Example {
                expr: "padLeft('42', 5, '')",
                result: "error: one character",
            },
        ],
    },
    Function {
        name: "digits",
        group: "text",
        doc: "The digits `0` to `9` of a text, and nothing else; with `keep`, its characters too. \
              It says nothing of what the digits mean: for a phone number that is to be called, use `e164`.",
        errors: "The text holds digits of another script (`٣`) or numbers such as `½`, which would be lost.",
        forms: &[
            function(&[("text", Ty::Text)], Ty::Text, |_| {
                of_octets(|cx, text| digits(cx, text, ""))
            }),
            function(
                &[("text", Ty::Text), ("keep", Ty::Text)],
                Ty::Text,
                |constants| match constants.text(1).map(str::to_owned) {
                    Some(keep) => of_octets(move |cx, text| {
                        cx.spend_bytes(text.len().saturating_mul(keep.len()))?;
                        digits(cx, text, &keep)
                    }),
                    None => call(|cx, args| {
                        let (text, keep) = (text(args, 0)?, text(args, 1)?);
                        cx.spend_bytes(text.len().saturating_mul(1 + keep.len()))?;
                        digits(cx, text.as_bytes(), keep).map(|out| Val::Text(utf8(out)))
                    }),
                },
            ),
        ],
        examples: &[
            Example {
                expr: "digits('030 / 12-34')",
                result: "'0301234'",
            },
            Example {
                expr: "digits('+49 (30) 1234', '+')",
                result: "'+49301234'",
            },
            Example {
                expr: "digits('٣')",
                result: "error: another script",
            },
        ],
    },
    Function {
        name: "nfc",
        group: "text",
        doc: "The text in Unicode's normal form C: a letter and its combining marks become one character where there is \
              one. Two texts that look the same and differ in this compare as different, and are different keys.",
        errors: "",
        forms: &[function(&[("text", Ty::Text)], Ty::Text, |_| of_text(nfc))],
        examples: &[
            Example {
                expr: "nfc('e\\u0301') == '\\u00e9'",
                result: "true",
            },
            Example {
                expr: "nfc('Zoe\\u0308')",
                result: "'Zo\\u00eb'",
            },
        ],
    },
    Function {
        name: "zip",
        group: "text",
        doc: "A postal code of `width` digits, from a text or an integer, with the leading zeros that a spreadsheet or a \
              number column has dropped.",
        errors: "Anything but digits (also blanks and `02134-1000`), no digit at all, or more than `width` of them.",
        forms: &[
            function(&[("text", Ty::Text), ("width", Ty::Int)], Ty::Text, |_| {
                call(zip)
            }),
            function(&[("number", Ty::Int), ("width", Ty::Int)], Ty::Text, |_| {
                call(zip)
            }),
        ],
        examples: &[
            Example {
                expr: "zip('2134', 5)",
                result: "'02134'",
            },
            Example {
                expr: "zip('01067', 5)",
                result: "'01067'",
            },
            Example {
                expr: "zip(1067, 5)",
                result: "'01067'",
            },
            Example {
                expr: "zip('SW1A 1AA', 5)",
                result: "error: expected only digits",
            },
            Example {
                expr: "zip('123456', 5)",
                result: "error: more than 5 digits",
            },
        ],
    },
];

fn one_character(fill: &str) -> Result<char, CallError> {
    let mut characters = fill.chars();
    match (characters.next(), characters.next()) {
        (Some(fill), None) => Ok(fill),
        _ => Err(blamed(2, "expected one character to fill with")),
    }
}

fn width(args: &[Val<'_>]) -> Result<usize, CallError> {
    usize::try_from(int(args, 1)?).map_err(|_| blamed(1, "the width is negative"))
}

fn pad_left<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let whole = text(args, 0)?;
    let fill = one_character(text(args, 2)?)?;
    cx.spend_bytes(whole.len())?;
    let missing = width(args)?.saturating_sub(whole.chars().count());
    if missing == 0 {
        return Ok(args[0]);
    }
    let size = missing.saturating_mul(fill.len_utf8());
    cx.spend_bytes(size)?;
    let mut out = BumpString::with_capacity_in(size + whole.len(), cx.arena);
    out.extend(std::iter::repeat_n(fill, missing));
    out.push_str(whole);
    Ok(Val::Text(out.into_bump_str()))
}

/// Of a text in UTF-8.
fn digits<'a>(cx: &Cx<'a>, whole: &[u8], keep: &str) -> Result<&'a [u8], CallError> {
    if whole.is_ascii() {
        let out = cx.arena.alloc_slice_fill_copy(whole.len(), 0);
        let mut end = 0;
        for byte in whole {
            // Without a branch: nobody can foresee which characters are digits.
            let kept = keep.bytes().fold(false, |kept, one| kept | (one == *byte));
            out[end] = *byte;
            end += usize::from(byte.is_ascii_digit() | kept);
        }
        return Ok(&out[..end]);
    }
    let mut out = BumpString::with_capacity_in(whole.len(), cx.arena);
    for character in utf8(whole).chars() {
        if character.is_ascii_digit() || keep.contains(character) {
            out.push(character);
        } else if !character.is_ascii() && character.is_numeric() {
            return Err("expected digits 0 to 9, found those of another script".into());
        }
    }
    Ok(out.into_bump_str().as_bytes())
}

fn nfc<'a>(cx: &mut Cx<'a>, text: &'a str) -> Result<&'a str, CallError> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Ok(text);
    }
    // Ten times the steps: a table is looked up for each character.
    cx.spend_bytes(text.len().saturating_mul(10))?;
    let mut out = BumpString::with_capacity_in(text.len(), cx.arena);
    out.extend(text.nfc());
    Ok(out.into_bump_str())
}

fn zip<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let mut own = [0u8; 20];
    let given = match args.first() {
        Some(Val::Int(number)) => {
            let number =
                u64::try_from(*number).map_err(|_| "expected only digits, found a sign")?;
            decimal_digits(number, &mut own)
        }
        _ => text(args, 0)?,
    };
    cx.spend_bytes(given.len())?;
    let width = width(args)?;
    if given.is_empty() || !given.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("expected only digits".into());
    }
    let Some(missing) = width.checked_sub(given.len()) else {
        return Err(format!("found more than {width} digits").into());
    };
    cx.spend_bytes(width)?;
    let mut out = BumpString::with_capacity_in(width, cx.arena);
    out.extend(std::iter::repeat_n('0', missing));
    out.push_str(given);
    Ok(Val::Text(out.into_bump_str()))
}

fn decimal_digits(mut number: u64, out: &mut [u8; 20]) -> &str {
    let mut at = out.len();
    loop {
        at -= 1;
        out[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    std::str::from_utf8(&out[at..]).expect("digits are ASCII")
}
