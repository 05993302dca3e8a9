//! Decimals: the unscaled number as big-endian two's complement bytes ↔ text such as `-12.50`. Exact at any size;
//! nothing here passes through a float.

/// Bound on digits and exponents of a decimal in text, against `1e999999999`.
const DIGIT_LIMIT: usize = 4096;

/// Whether the unscaled number has at most `precision` digits.
pub fn fits(bytes: &[u8], precision: usize) -> bool {
    if let Some(number) = small(bytes) {
        // 2¹²⁷ has 39 digits.
        return precision >= 39
            || number.unsigned_abs() < 10_u128.pow(u32::try_from(precision).unwrap_or(38));
    }
    let (_, magnitude) = magnitude(bytes);
    // A byte holds at least 2.4 digits, so a number this long cannot fit; this keeps hostile lengths cheap.
    magnitude.len() <= precision.saturating_add(1) && digits(magnitude).len() <= precision
}

/// The number as text with `scale` digits after the point. None if it is absurdly long.
pub fn to_text(bytes: &[u8], scale: usize) -> Option<String> {
    let (negative, magnitude) = magnitude(bytes);
    if magnitude.len() > DIGIT_LIMIT || scale > DIGIT_LIMIT {
        return None;
    }
    let mut text = digits(magnitude);
    if text.len() <= scale {
        text = format!("{}{text}", "0".repeat(scale + 1 - text.len()));
    }
    if scale > 0 {
        text.insert(text.len() - scale, '.');
    }
    if negative {
        text.insert(0, '-');
    }
    Some(text)
}

/// The unscaled number of a text such as `12.5`, `-3` or `1.2e3`, as the shortest two's complement bytes. An error
/// if it is no number, or has more digits than `precision` and `scale` allow: it is never rounded.
pub fn from_text(text: &str, precision: usize, scale: usize) -> Result<Vec<u8>, String> {
    let wrong = || "expected a decimal number".to_owned();
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| wrong())?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let dangling = mantissa.ends_with('.') || whole.is_empty();
    if dangling || !all_digits(whole) || !all_digits(fraction) {
        return Err(wrong());
    }
    if mantissa.len() > DIGIT_LIMIT || exponent.unsigned_abs() as usize > DIGIT_LIMIT {
        return Err(format!(
            "expected a decimal of at most {precision} digits, found more"
        ));
    }
    let mut number = format!("{whole}{fraction}");
    // How many digits of `number` stand after the point, once the exponent is counted in.
    let after = i64::try_from(fraction.len()).unwrap_or(i64::MAX) - i64::from(exponent);
    let missing = i64::try_from(scale)
        .unwrap_or(i64::MAX)
        .saturating_sub(after);
    if missing >= 0 {
        let zeros = usize::try_from(missing).unwrap_or(usize::MAX);
        if number.bytes().all(|b| b == b'0') {
            number = "0".to_owned();
        } else if zeros > DIGIT_LIMIT {
            return Err(format!(
                "expected a decimal of at most {precision} digits, found more"
            ));
        } else {
            number.push_str(&"0".repeat(zeros));
        }
    } else {
        let surplus = usize::try_from(-missing).unwrap_or(usize::MAX);
        let kept = number.len().saturating_sub(surplus);
        if number[kept..].bytes().any(|b| b != b'0') {
            return Err(format!(
                "expected at most {scale} digits after the point, found more"
            ));
        }
        number.truncate(kept);
    }
    let number = number.trim_start_matches('0');
    if number.len() > precision {
        return Err(format!(
            "expected a decimal of at most {precision} digits, found more"
        ));
    }
    Ok(bytes(number, negative))
}

/// The same number in `size` bytes, for a fixed. None if it does not fit.
pub fn extend(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let fill = if bytes.first().is_some_and(|b| b & 0x80 != 0) {
        0xFF
    } else {
        0
    };
    let padding = size.checked_sub(bytes.len())?;
    let mut extended = vec![fill; padding];
    extended.extend_from_slice(bytes);
    Some(extended)
}

/// The number, if 128 bits hold it: nearly all do, and then nothing is allocated.
fn small(bytes: &[u8]) -> Option<i128> {
    let fill = match bytes.first() {
        Some(first) if first & 0x80 != 0 => 0xFF,
        _ => 0,
    };
    let (padding, last) = bytes.split_at(bytes.len().saturating_sub(16));
    let mut number = [fill; 16];
    number[16 - last.len()..].copy_from_slice(last);
    let number = i128::from_be_bytes(number);
    let padded = padding.iter().all(|byte| *byte == fill) && (number < 0) == (fill == 0xFF);
    padded.then_some(number)
}

/// Sign and magnitude, big endian without leading zero bytes. No bytes at all is zero.
fn magnitude(bytes: &[u8]) -> (bool, Vec<u8>) {
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if negative {
        negate(&mut magnitude);
    }
    let zeros = magnitude.iter().take_while(|b| **b == 0).count();
    magnitude.drain(..zeros);
    (negative, magnitude)
}

fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes.iter_mut().rev() {
        let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
        (*byte, carry) = (sum, over);
    }
}

/// Decimal digits of a big-endian magnitude; `0` for none.
fn digits(mut magnitude: Vec<u8>) -> String {
    const CHUNK: u64 = 1_000_000_000;
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < magnitude.len() {
        let mut rest = 0u64;
        for byte in &mut magnitude[start..] {
            let number = (rest << 8) | u64::from(*byte);
            *byte = u8::try_from(number / CHUNK).expect("rest < CHUNK, so the quotient is a byte");
            rest = number % CHUNK;
        }
        chunks.push(rest);
        while start < magnitude.len() && magnitude[start] == 0 {
            start += 1;
        }
    }
    let mut chunks = chunks.into_iter().rev();
    let mut text = chunks.next().unwrap_or(0).to_string();
    for chunk in chunks {
        text.push_str(&format!("{chunk:09}"));
    }
    text
}

/// Shortest two's complement bytes of decimal digits.
fn bytes(digits: &str, negative: bool) -> Vec<u8> {
    let mut little: Vec<u8> = vec![0];
    for digit in digits.bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in &mut little {
            let [low, high] = (u16::from(*byte) * 10 + carry).to_le_bytes();
            *byte = low;
            carry = u16::from(high);
        }
        if carry > 0 {
            little.push(carry.to_le_bytes()[0]);
        }
    }
    // One more byte for the sign; surplus ones go below.
    little.push(0);
    little.reverse();
    if negative {
        negate(&mut little);
    }
    let surplus = little.windows(2).take_while(|pair| match pair[0] {
        0x00 => pair[1] & 0x80 == 0,
        0xFF => pair[1] & 0x80 != 0,
        _ => false,
    });
    let surplus = surplus.count();
    little.drain(..surplus);
    little
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, precision: usize, scale: usize, expect: Result<i128, &str>) {
        match (from_text(text, precision, scale), expect) {
            (Ok(bytes), Ok(number)) => {
                let wide = extend(&bytes, 16).expect("fits 16 bytes");
                let found = i128::from_be_bytes(wide.try_into().expect("16 bytes"));
                assert_eq!(found, number, "{text}");
            }
            (Err(e), Err(part)) => assert!(e.contains(part), "{text}: {e}"),
            (found, expect) => panic!("{text}: {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn text_is_exact_or_refused() {
        check("12.5", 4, 2, Ok(1250));
        check("-12.50", 4, 2, Ok(-1250));
        check("12.500", 4, 2, Ok(1250));
        check("12.501", 4, 2, Err("at most 2 digits after the point"));
        check("123.45", 4, 2, Err("at most 4 digits"));
        check("0.00", 1, 0, Ok(0));
        check("-0", 1, 0, Ok(0));
        check("1.2e3", 6, 1, Ok(12_000));
        check("120e-1", 4, 1, Ok(120));
        check("1e-3", 4, 2, Err("after the point"));
        check("0e9999", 4, 2, Err("at most 4 digits"));
        check("1e4000", 4, 2, Err("at most 4 digits"));
        check("128", 3, 0, Ok(128));
        check("-128", 3, 0, Ok(-128));
        check(
            "12345678901234567890123.45",
            25,
            2,
            Ok(1_234_567_890_123_456_789_012_345),
        );
        for bad in [
            "", ".", "1.", ".5", "1,5", " 1", "0x1", "1e", "--1", "NaN", "1e1.5", "é",
        ] {
            check(bad, 9, 2, Err("expected a decimal number"));
        }
    }

    #[test]
    fn bytes_are_the_shortest() {
        for (text, expect) in [
            ("0", &[0u8][..]),
            ("127", &[127]),
            ("128", &[0, 128]),
            ("-128", &[128]),
            ("-129", &[255, 127]),
            ("-1", &[255]),
        ] {
            assert_eq!(from_text(text, 9, 0).as_deref(), Ok(expect), "{text}");
        }
        assert_eq!(to_text(&[], 2).as_deref(), Some("0.00"));
        assert_eq!(to_text(&[255], 3).as_deref(), Some("-0.001"));
        assert!(fits(&[99], 2) && !fits(&[100], 2) && fits(&[157], 2) && fits(&[], 1));
        assert!(!fits(&vec![1; 1 << 20], 38));
    }

    proptest! {
        #[test]
        fn text_and_bytes_agree(number: i128, scale in 0usize..40) {
            let text = to_text(&number.to_be_bytes(), scale).expect("16 bytes");
            let back = extend(&from_text(&text, 60, scale).expect("own text"), 16).expect("16 bytes");
            prop_assert_eq!(i128::from_be_bytes(back.try_into().expect("16")), number);
            let plain = number.unsigned_abs().to_string();
            prop_assert!(fits(&number.to_be_bytes(), plain.len()));
            prop_assert!(!fits(&number.to_be_bytes(), plain.len() - 1));
        }
    }
}
