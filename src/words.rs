//! Counts as they are told: a number with its noun, and its digits in groups.

use std::fmt::Display;

/// `1 record`, `2 records`. The noun is one whose plural takes an s.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    match count == N::from(1) {
        true => format!("{count} {noun}"),
        false => format!("{count} {noun}s"),
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_threes() {
        let check = |number: u64, expect: &str| assert_eq!(grouped(number), expect);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(1_234_567, "1,234,567");
        check(u64::MAX, "18,446,744,073,709,551,615");
    }

    #[test]
    fn one_is_one_and_none_is_many() {
        let check = |count: u64, expect: &str| assert_eq!(counted(count, "dead letter"), expect);
        check(0, "0 dead letters");
        check(1, "1 dead letter");
        check(2, "2 dead letters");
    }
}
