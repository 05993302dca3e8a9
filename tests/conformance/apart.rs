//! Lists of cases by reason: `apart.txt` for those that do not apply, `stricter.txt` for those that hold under CEL's rules
//! and not under ours. Their form: a reason's line is `word: what it is`, below it, set in, `file/section: name name …`,
//! with `*` for all names of the section, or `file: *`.

use std::collections::BTreeMap;

use super::cases::Case;

/// A reason and the cases that stand under it.
#[derive(Debug)]
pub(crate) struct Reason {
    pub(crate) word: &'static str,
    /// For a person.
    pub(crate) text: &'static str,
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    /// `file` or `file/section`.
    of: &'static str,
    /// `None` stands for all.
    name: Option<&'static str>,
}

impl Pattern {
    fn matches(&self, case: &str) -> bool {
        let rest = case
            .strip_prefix(self.of)
            .and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| self.name.is_none_or(|name| name == rest))
    }
}

/// Reads a list.
pub(crate) fn reasons(list: &'static str) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    for line in list.lines() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (head, tail) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
        if !line.starts_with(' ') {
            let patterns = Vec::new();
            reasons.push(Reason {
                word: head,
                text: tail,
                patterns,
            });
            continue;
        }
        let reason = reasons.last_mut().expect("a reason stands first");
        for name in tail.split_whitespace() {
            let (of, name) = (head.trim(), (name != "*").then_some(name));
            reason.patterns.push(Pattern { of, name });
        }
    }
    reasons
}

/// For each case that is listed its reason's number; panics on a pattern that names none, and on a case named twice.
pub(crate) fn assign<'c>(reasons: &[Reason], cases: &'c [Case]) -> BTreeMap<&'c str, usize> {
    let mut assigned = BTreeMap::new();
    let mut faults = Vec::new();
    for (number, reason) in reasons.iter().enumerate() {
        for pattern in &reason.patterns {
            let matched = cases.iter().filter(|case| pattern.matches(&case.name));
            let matched: Vec<&Case> = matched.collect();
            if matched.is_empty() {
                faults.push(format!("{}: {pattern:?} matches no case", reason.word));
            }
            for case in matched {
                if assigned.insert(case.name.as_str(), number).is_some() {
                    faults.push(format!("{}: {} is listed twice", reason.word, case.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assigned
}
