//! The format of a text: `99/99/9999`, `+99…`, `Aa…`. Input: a text. Output: a few bytes that say how it is built, and which
//! of a few classes it is of. Neither allocates.

/// Bytes of a shape at most.
pub(super) const LONGEST: usize = 24;
/// Digits in a row that are counted; more of them are any number.
const DIGITS: usize = 4;
/// Letters in a row that are counted.
const LETTERS: usize = 3;
/// Stands for "and so on", until the shape is written.
const ON: u8 = 1;

/// What a text is built of: each digit is `9`, each letter `a` or `A`, runs beyond a few are cut short, and what is neither
/// stays. Letters beyond ASCII are `u`.
pub(super) fn shape<'b>(text: &[u8], out: &'b mut [u8; LONGEST]) -> &'b [u8] {
    let mut length = 0;
    let mut at = 0;
    while at < text.len() {
        let kind = kind(text[at]);
        let run = text[at..]
            .iter()
            .take_while(|byte| self::kind(**byte) == kind);
        let run = run.count();
        at += run;
        let most = match kind {
            b'9' => DIGITS,
            b'a' | b'A' | b'u' => LETTERS,
            // Of anything else, one after another may mean something: `--`, `//`.
            _ => 2,
        };
        let (shown, on) = match run > most {
            true => (1, 1),
            false => (run, 0),
        };
        if length + shown + on >= LONGEST {
            out[length] = ON;
            return &out[..=length];
        }
        out[length..length + shown].fill(kind);
        length += shown;
        if on == 1 {
            out[length] = ON;
            length += 1;
        }
    }
    &out[..length]
}

fn kind(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => b'9',
        b'a'..=b'z' => b'a',
        b'A'..=b'Z' => b'A',
        0..=31 | 127 => b'?',
        128.. => b'u',
        other => other,
    }
}

/// A shape as it is shown.
pub(super) fn shown(shape: &[u8]) -> String {
    let each = shape.iter().map(|byte| match *byte {
        ON => '…',
        byte => char::from(byte),
    });
    each.collect()
}

/// A shape from how it is shown.
pub(super) fn written(shown: &str) -> Vec<u8> {
    let each = shown.chars().map(|c| match c {
        '…' => ON,
        c => u8::try_from(c).unwrap_or(b'?'),
    });
    each.collect()
}

/// What is told of a personal text: nothing but what kind of thing it is.
pub(super) const CLASSES: [&str; 8] = [
    "empty", "digits", "letters", "words", "code", "e-mail", "phone", "other",
];

/// The class of a text, as an index into [`CLASSES`].
pub(super) fn class(text: &[u8]) -> usize {
    if text.is_empty() {
        return 0;
    }
    let [
        mut digits,
        mut letters,
        mut spaces,
        mut at,
        mut phone,
        mut other,
    ] = [0_usize; 6];
    for byte in text {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'z' | b'A'..=b'Z' | 128.. => letters += 1,
            b' ' => spaces += 1,
            b'@' => at += 1,
            b'+' | b'-' | b'(' | b')' | b'/' | b'.' => phone += 1,
            _ => other += 1,
        }
    }
    match () {
        () if at == 1 && letters > 0 && spaces == 0 => 5,
        () if other + at > 0 => 7,
        () if digits == text.len() => 1,
        () if letters == text.len() => 2,
        () if letters == 0 && digits > 4 => 6,
        () if digits == 0 => 3,
        () if spaces + phone == 0 => 4,
        () => 7,
    }
}

/// The names of [`parts`].
pub(super) const PARTS: [&str; 10] = [
    "≤12 ≤12",
    "≤12 ≤31",
    "≤12 >31",
    "≤31 ≤12",
    "≤31 ≤31",
    "≤31 >31",
    ">31 ≤12",
    ">31 ≤31",
    ">31 >31",
    "none",
];

/// How large the first two numbers of two digits are: what tells a day from a month, which have the same shape. An index
/// into [`PARTS`].
pub(super) fn parts(text: &[u8]) -> usize {
    let mut found = [0_usize; 2];
    let mut count = 0;
    let mut at = 0;
    while at < text.len() && count < 2 {
        let run = text[at..].iter().take_while(|byte| byte.is_ascii_digit());
        let run = run.count();
        if run == 2 {
            let number = (text[at] - b'0') * 10 + (text[at + 1] - b'0');
            found[count] = match number {
                0..=12 => 0,
                13..=31 => 1,
                _ => 2,
            };
            count += 1;
        }
        at += run.max(1);
    }
    match count {
        2 => found[0] * 3 + found[1],
        _ => PARTS.len() - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        for (text, expect) in [
            ("", ""),
            ("22/11/2026", "99/99/9999"),
            ("2026-11-22T08:00:00Z", "9999-99-99A99:99:99A"),
            ("+4915112345678", "+9…"),
            ("+49 151 123456", "+99 999 9…"),
            ("Shipped", "Aa…"),
            ("3", "9"),
            ("N793JB", "A999AA"),
            ("1.234,56", "9.999,99"),
            ("a\u{fc}b", "auua"),
            ("tab\there", "aaa?a…"),
            ("------", "-…"),
            ("1 2 3 4 5 6 7 8 9 0 1 2 3 4 5", "9 9 9 9 9 9 9 9 9 9 9 9…"),
        ] {
            let mut out = [0; LONGEST];
            assert_eq!(shown(shape(text.as_bytes(), &mut out)), expect, "{text:?}");
        }
    }

    #[test]
    fn classes() {
        for (text, expect) in [
            ("", "empty"),
            ("123456", "digits"),
            ("Meier", "letters"),
            ("Anna Meier", "words"),
            ("AB12", "code"),
            ("anna@example.org", "e-mail"),
            ("+49 (151) 12-34", "phone"),
            ("12 Main St #4", "other"),
            ("a@b@c", "other"),
        ] {
            assert_eq!(CLASSES[class(text.as_bytes())], expect, "{text:?}");
        }
    }

    #[test]
    fn a_day_is_told_from_a_month() {
        for (text, expect) in [
            ("22/11/2026", "≤31 ≤12"),
            ("11/22/2026", "≤12 ≤31"),
            ("11/12/2026", "≤12 ≤12"),
            ("2026-11-22", "≤12 ≤31"),
            ("2026-22-11", "≤31 ≤12"),
            ("99-01", ">31 ≤12"),
            ("12", "none"),
            ("", "none"),
        ] {
            assert_eq!(PARTS[parts(text.as_bytes())], expect, "{text:?}");
        }
    }
}
