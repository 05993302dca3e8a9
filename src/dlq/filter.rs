//! Which dead letters are meant. Input: a record and what its headers say. Output: yes or no. Pure.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::dialect::Letter;
use crate::record::Record;

/// Offsets from the first to before the second; one that is missing has no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offsets {
    /// The first.
    pub from: Option<i64>,
    /// The one behind the last.
    pub to: Option<i64>,
}

impl Offsets {
    /// Parses `10..20`, `10..` or `..20`. The end does not belong to it.
    pub fn parse(text: &str) -> Result<Offsets, String> {
        let wrong = || {
            format!(
                "{text:?} is no range of offsets; write 10..20, 10.. or ..20, where 20 is left out"
            )
        };
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let bound = |text: &str| match text.trim() {
            "" => Ok(None),
            number => match number.parse::<i64>() {
                Ok(number) if number >= 0 => Ok(Some(number)),
                _ => Err(wrong()),
            },
        };
        let (from, to) = (bound(from)?, bound(to)?);
        match (from, to) {
            (None, None) => Err(wrong()),
            (Some(from), Some(to)) if from >= to => {
                Err(format!("{text:?} is an empty range of offsets"))
            }
            _ => Ok(Offsets { from, to }),
        }
    }
}

/// Which dead letters are meant: those that pass all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these reasons.
    pub reasons: Vec<String>,
    /// Failed at this moment or later, milliseconds since the epoch.
    pub since: Option<i64>,
    /// Failed before this moment.
    pub until: Option<i64>,
    /// Has this key.
    pub key: Option<Vec<u8>>,
    /// Was written with one of these schemas.
    pub schema_ids: Vec<u32>,
    /// Stands between these offsets of its dead-letter partition.
    pub offsets: Offsets,
    /// Stands in this partition.
    pub partition: Option<i32>,
}

impl Filter {
    /// Whether a dead letter passes.
    pub fn takes(&self, record: &Record<'_>, letter: &Letter) -> bool {
        let moment = letter.moment(record);
        let reason = letter.reason.as_ref();
        (self.reasons.is_empty() || reason.is_some_and(|reason| self.reasons.contains(reason)))
            && self
                .since
                .is_none_or(|since| moment.is_some_and(|moment| moment >= since))
            && self
                .until
                .is_none_or(|until| moment.is_some_and(|moment| moment < until))
            && self
                .key
                .as_deref()
                .is_none_or(|key| record.key == Some(key))
            && (self.schema_ids.is_empty()
                || letter
                    .schema_id
                    .is_some_and(|id| self.schema_ids.contains(&id)))
            && self.offsets.from.is_none_or(|from| record.offset >= from)
            && self.offsets.to.is_none_or(|to| record.offset < to)
            && self
                .partition
                .is_none_or(|partition| record.partition == partition)
    }

    /// Eight digits that differ where a filter differs; none where nothing is filtered. `more` is what else decides.
    pub fn fingerprint(&self, more: &[(&str, String)]) -> Option<String> {
        let mut text = String::new();
        if *self != Filter::default() {
            // Written as a list of what there is, so that a new field changes no fingerprint of the others.
            let mut reasons = self.reasons.clone();
            reasons.sort();
            let mut ids = self.schema_ids.clone();
            ids.sort_unstable();
            let mut add = |name: &str, value: String| {
                write!(text, "{name}={value:?};").expect("a String takes all text");
            };
            if !reasons.is_empty() {
                add("reasons", format!("{reasons:?}"));
            }
            if !ids.is_empty() {
                add("schema_ids", format!("{ids:?}"));
            }
            let numbers = [
                ("since", self.since),
                ("until", self.until),
                ("from", self.offsets.from),
                ("to", self.offsets.to),
                ("partition", self.partition.map(i64::from)),
            ];
            for (name, number) in numbers {
                if let Some(number) = number {
                    add(name, number.to_string());
                }
            }
            if let Some(key) = &self.key {
                add("key", format!("{key:?}"));
            }
        }
        for (name, value) in more {
            write!(text, "{name}={value:?};").expect("a String takes all text");
        }
        if text.is_empty() {
            return None;
        }
        let digest = Sha256::digest(text.as_bytes());
        Some(digest[..4].iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes all text");
            hex
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_leave_their_end_out() {
        let check = |text: &str, expect: Option<(Option<i64>, Option<i64>)>| {
            let found = Offsets::parse(text)
                .ok()
                .map(|found| (found.from, found.to));
            assert_eq!(found, expect, "{text}");
        };
        check("10..20", Some((Some(10), Some(20))));
        check("10..", Some((Some(10), None)));
        check("..20", Some((None, Some(20))));
        for wrong in [
            "", "..", "10", "20..10", "10..10", "-1..5", "a..b", "1..2..3",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_letter_passes_when_all_of_it_fits() {
        let letter = Letter {
            reason: Some("rule_violation".to_owned()),
            schema_id: Some(7),
            failed_at: Some(1_000),
            ..Letter::default()
        };
        let record = Record {
            partition: 2,
            offset: 50,
            timestamp: Some(5),
            key: Some(b"k"),
            ..Record::default()
        };
        let check = |change: &dyn Fn(&mut Filter), expect: bool| {
            let mut filter = Filter::default();
            change(&mut filter);
            assert_eq!(filter.takes(&record, &letter), expect, "{filter:?}");
        };
        check(&|_| {}, true);
        check(
            &|f| f.reasons = vec!["x".into(), "rule_violation".into()],
            true,
        );
        check(&|f| f.reasons = vec!["x".into()], false);
        check(&|f| f.since = Some(1_000), true);
        check(&|f| f.since = Some(1_001), false);
        check(&|f| f.until = Some(1_000), false);
        check(&|f| f.until = Some(1_001), true);
        check(&|f| f.key = Some(b"k".to_vec()), true);
        check(&|f| f.key = Some(b"K".to_vec()), false);
        check(&|f| f.schema_ids = vec![7], true);
        check(&|f| f.schema_ids = vec![8], false);
        check(&|f| f.partition = Some(2), true);
        check(&|f| f.partition = Some(0), false);
        let offsets = |from, to| move |f: &mut Filter| f.offsets = Offsets { from, to };
        check(&offsets(Some(50), Some(51)), true);
        check(&offsets(Some(51), None), false);
        check(&offsets(None, Some(50)), false);
        // Without a time of failure the record's own stands in, and without either nothing is within a time.
        let mut other = letter.clone();
        other.failed_at = None;
        let until = Filter {
            until: Some(6),
            ..Filter::default()
        };
        assert!(until.takes(&record, &other));
        let timeless = Record {
            timestamp: None,
            ..record.clone()
        };
        assert!(!until.takes(&timeless, &other));
    }

    #[test]
    fn a_fingerprint_tells_filters_apart_and_not_their_spelling() {
        let filter = |reasons: &[&str], since| Filter {
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            since,
            ..Filter::default()
        };
        let print = |filter: Filter| filter.fingerprint(&[]);
        assert_eq!(print(Filter::default()), None);
        assert_eq!(
            print(filter(&["a", "b"], None)),
            print(filter(&["b", "a"], None))
        );
        assert_ne!(
            print(filter(&["a", "b"], None)),
            print(filter(&["a\", \"b"], None))
        );
        assert_ne!(print(filter(&["a"], None)), print(filter(&["a"], Some(1))));
        let more = Filter::default().fingerprint(&[("max", "9".to_owned())]);
        assert_eq!(more.as_ref().map(String::len), Some(8));
        assert_ne!(
            more,
            Filter::default().fingerprint(&[("max", "8".to_owned())])
        );
    }
}
