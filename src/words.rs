//! Counts as they are told: a number with its noun.

use std::fmt::Display;

/// `1 record`, `2 records`. The noun is one whose plural takes an s.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    match count == N::from(1) {
        true => format!("{count} {noun}"),
        false => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_none_is_many() {
        let check = |count: u64, expect: &str| assert_eq!(counted(count, "dead letter"), expect);
        check(0, "0 dead letters");
        check(1, "1 dead letter");
        check(2, "2 dead letters");
    }
}
