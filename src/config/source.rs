//! A file as a person is shown it: its lines, with what is secret taken out. Faults get their [`Snippet`] here.

use std::ops::Range;

use super::fault::{Fault, Snippet};
use super::origin::Rewritten;

const REDACTED: &str = "[redacted]";

/// What a terminal line can hold beside the gutter.
const MAX_WIDTH: usize = 140;

/// Words in a name that make its value a secret.
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "jaas",
    "credential",
    "sasl.oauthbearer.config",
    "api_key",
    "authorization",
    "cookie",
    "webhook",
];

/// Whether a value of that name is never shown. `key` counts as a whole word only: `keystore` is a place, not a key.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
        || name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| matches!(word, "key" | "pem"))
}

/// `https://user:password@host` → `https://host`, wherever it stands in the text.
pub fn strip_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail
            .find(['/', '?', '#', ',', ' ', '"', '\''])
            .unwrap_or(tail.len());
        // A password with one of these in it is not legal in a URL, and is not shown for all that.
        let end = match tail[end..].find('@') {
            Some(_) if !tail[..end].contains('@') && tail[..end].contains(':') => {
                tail.rfind('@').map_or(end, |at| at + 1)
            }
            _ => end,
        };
        let authority = &tail[..end];
        out.push_str(
            authority
                .rsplit_once('@')
                .map_or(authority, |(_, host)| host),
        );
        rest = &tail[end..];
    }
    out.push_str(rest);
    out
}

/// One file.
#[derive(Clone, Default)]
pub struct Source {
    /// Its name, as in [`Place::file`](super::model::Place::file).
    pub name: String,
    chars: Vec<char>,
    /// Index of the first character of each line.
    lines: Vec<usize>,
    masks: Vec<Range<usize>>,
    /// Its syntax is broken, so that which texts are secret is a guess from each line alone.
    guess: bool,
    rewritten: Vec<Rewritten>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Source {
    pub(crate) fn new(name: &str, text: &str, masks: Vec<Range<usize>>, guess: bool) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut lines = vec![0];
        for (index, c) in chars.iter().enumerate() {
            let crlf = *c == '\r' && chars.get(index + 1) == Some(&'\n');
            if matches!(c, '\n' | '\r') && !crlf {
                lines.push(index + 1);
            }
        }
        Source {
            name: name.to_owned(),
            chars,
            lines,
            masks,
            guess,
            rewritten: Vec::new(),
        }
    }

    /// The same file, with the places of the texts that YAML rewrote.
    pub(crate) fn rewritten(mut self, rewritten: Vec<Rewritten>) -> Self {
        self.rewritten = rewritten;
        self
    }

    /// Gives a fault of this file its line; leaves others as they are.
    pub fn locate(&self, fault: &mut Fault) {
        if fault.place.file == self.name && fault.snippet.is_none() {
            self.settle(fault);
            fault.snippet = self.snippet(fault).map(Box::new);
        }
    }

    /// The place of a character of a text that the file writes in another way.
    fn settle(&self, fault: &mut Fault) {
        let Some((text, offset)) = fault.within.as_deref() else {
            return;
        };
        let rewritten = self.rewritten.iter().find(|other| other.place == *text);
        let Some(origins) = rewritten.map(|rewritten| &rewritten.origins) else {
            return;
        };
        if let Some(index) = origins.get(*offset).or(origins.last()) {
            let row = self.lines.partition_point(|start| start <= index);
            fault.place.line = row;
            fault.place.column = index - self.lines[row - 1] + 1;
        }
    }

    fn snippet(&self, fault: &Fault) -> Option<Snippet> {
        let row = fault.place.line.checked_sub(1)?;
        let from = *self.lines.get(row)?;
        let to = self.lines.get(row + 1).copied().unwrap_or(self.chars.len());
        let mut line: Vec<char> = self.chars[from..to]
            .iter()
            .copied()
            .take_while(|c| !matches!(c, '\n' | '\r'))
            .collect();
        let mut start = (fault.place.column.max(1) - 1).min(line.len());
        let text: Vec<char> = fault.text.chars().collect();
        let mut width = if !text.is_empty() && line[start..].starts_with(&text) {
            text.len()
        } else {
            1
        };
        for mask in self.masks_on(&line, from).into_iter().rev() {
            let shown: Vec<char> = REDACTED.chars().collect();
            if start >= mask.end {
                start = start - (mask.end - mask.start) + shown.len();
            } else if start >= mask.start {
                start = mask.start;
                width = shown.len();
            } else if start + width > mask.start {
                width = mask.start - start;
            }
            line.splice(mask, shown);
        }
        // A tab is one column for the parser and several on a terminal.
        for c in &mut line {
            if c.is_control() {
                *c = ' ';
            }
        }
        let (line, start) = crop(line, start);
        let width = width.min(line.len().saturating_sub(start)).max(1);
        Some(Snippet {
            line: line.into_iter().collect(),
            start,
            width,
        })
    }

    /// In a file that does not parse: whether the line that begins at `from` belongs to a mapping whose key is a secret's
    /// name, as below `secrets:`, where names are the user's own. By indentation, or by a bracket that is open.
    fn below_secrets(&self, from: usize) -> bool {
        let row = self.lines.partition_point(|start| *start < from);
        // Indentation of the mapping's key, and the brackets that are open.
        let mut inside: Option<(usize, i32)> = None;
        for (index, start) in self.lines[..row].iter().enumerate() {
            let end = self.lines.get(index + 1).copied();
            let line: String = self.chars[*start..end.unwrap_or(self.chars.len())]
                .iter()
                .collect();
            if line.trim().is_empty() {
                continue;
            }
            let indent = line.chars().take_while(|c| c.is_whitespace()).count();
            let opened: i32 = line
                .chars()
                .map(|c| match c {
                    '{' | '[' => 1,
                    '}' | ']' => -1,
                    _ => 0,
                })
                .sum();
            inside = match inside {
                Some((key, open)) if open > 0 || indent > key => Some((key, open + opened)),
                _ => {
                    let key = line.split(':').next().unwrap_or_default();
                    may_be_secret(key.trim()).then_some((indent, opened))
                }
            };
        }
        let indent = self.chars[from..]
            .iter()
            .take_while(|c| c.is_whitespace())
            .count();
        inside.is_some_and(|(key, open)| open > 0 || indent > key)
    }

    /// The secret parts of a line that begins at character `from`, in order and disjoint.
    fn masks_on(&self, line: &[char], from: usize) -> Vec<Range<usize>> {
        let to = from + line.len();
        let mut found: Vec<Range<usize>> = self
            .masks
            .iter()
            .filter(|mask| mask.start < to && mask.end > from)
            .map(|mask| mask.start.max(from) - from..mask.end.min(to) - from)
            .collect();
        if self.guess {
            match self.below_secrets(from) {
                true => found.push(0..line.len()),
                false => found.extend(guessed_secret(line)),
            }
        }
        found.sort_by_key(|mask| mask.start);
        let mut disjoint: Vec<Range<usize>> = Vec::new();
        for mask in found {
            match disjoint.last_mut() {
                Some(last) if mask.start <= last.end => last.end = last.end.max(mask.end),
                _ => disjoint.push(mask),
            }
        }
        disjoint.retain(|mask| !mask.is_empty());
        disjoint
    }
}

/// In a file that does not parse: everything behind a name that may be a secret's, and every line without a name,
/// which may be the rest of one.
fn guessed_secret(line: &[char]) -> Option<Range<usize>> {
    let text: String = line.iter().collect();
    let indent = text.chars().take_while(|c| c.is_whitespace()).count();
    if text.trim_start().starts_with('#') || text.trim().is_empty() {
        return None;
    }
    let Some(first) = line.iter().position(|c| *c == ':') else {
        let structural = text.trim().chars().all(|c| "[]{}-,".contains(c));
        return (!structural).then_some(indent..line.len());
    };
    // Something stands in front of the first name: the rest of a value that began on the line before.
    if line[..first].contains(&',') {
        return Some(indent..line.len());
    }
    // user:password@host, or a token in a query: it may stand in front of a name that is a secret's.
    if text.contains('@') || (text.contains("://") && text.contains('?')) {
        return Some(first + 1..line.len());
    }
    let mut name = String::new();
    for (index, c) in line.iter().enumerate() {
        if *c == ':' {
            let word = name.trim_matches(|c: char| !c.is_alphanumeric());
            if may_be_secret(word) {
                return Some(index + 1..line.len());
            }
        }
        if c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '"' | '\'') {
            name.push(*c);
        } else if !c.is_whitespace() {
            name.clear();
        }
    }
    None
}

/// A secret's name, or one that is a slip of the pen away from it.
pub(crate) fn may_be_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    is_secret_name(&name)
        || name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|part| {
                ["password", "secret", "token"]
                    .iter()
                    .any(|word| strsim::damerau_levenshtein(part, word) <= 2)
            })
}

/// A window of a long line around `start`.
fn crop(line: Vec<char>, start: usize) -> (Vec<char>, usize) {
    if line.len() <= MAX_WIDTH {
        return (line, start);
    }
    let from = start.saturating_sub(MAX_WIDTH / 2);
    let to = (from + MAX_WIDTH).min(line.len());
    let mut window = line[from..to].to_vec();
    if to < line.len() {
        window.push('…');
    }
    if from == 0 {
        return (window, start);
    }
    window.insert(0, '…');
    (window, start - from + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Place;

    #[test]
    fn secret_names() {
        for name in [
            "sasl.password",
            "ssl.key.pem",
            "ssl.keystore.password",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.client.secret",
            "sasl.jaas.config",
            "token",
            "API_KEY",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "security.protocol",
            "sasl.username",
            "ssl.keystore.location",
            "topic.metadata.x",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn userinfo() {
        for (text, expect) in [
            ("http://u:p@h:8081/x", "http://h:8081/x"),
            ("http://h/x@y", "http://h/x@y"),
            ("a=http://u:p@h, b=https://v@i", "a=http://h, b=https://i"),
            ("http://u:p/w@h/x", "http://h/x"),
            ("h:9092", "h:9092"),
        ] {
            assert_eq!(strip_userinfo(text), expect);
        }
    }

    fn check(
        text: &str,
        masks: &[(usize, usize)],
        guess: bool,
        at: (usize, usize, &str),
        expect: (&str, usize, usize),
    ) {
        let source = Source::new(
            "f",
            text,
            masks.iter().map(|(from, to)| *from..*to).collect(),
            guess,
        );
        let place = Place {
            file: "f".to_owned(),
            line: at.0,
            column: at.1,
        };
        let mut fault = Fault::new(&place, at.2, "wrong");
        source.locate(&mut fault);
        let snippet = fault.snippet.expect("the line exists");
        assert_eq!(
            (snippet.line.as_str(), snippet.start, snippet.width),
            expect
        );
    }

    #[test]
    fn snippets() {
        check("a\nb: cd e\n", &[], false, (2, 4, "cd"), ("b: cd e", 3, 2));
        check("a\r\nb: cd\r\n", &[], false, (2, 4, "x"), ("b: cd", 3, 1));
        // What stands behind a secret moves with it.
        check(
            "{p: abc, q: x}",
            &[(4, 7)],
            false,
            (1, 10, "q"),
            ("{p: [redacted], q: x}", 16, 1),
        );
        check(
            "{p: abcdefghijklmn}",
            &[(4, 18)],
            false,
            (1, 5, "abcdefghijklmn"),
            ("{p: [redacted]}", 4, 10),
        );
    }

    #[test]
    fn a_broken_file_shows_no_value_that_may_be_secret() {
        check(
            "  pasword: \"hun",
            &[],
            true,
            (1, 12, ""),
            ("  pasword:[redacted]", 10, 10),
        );
        check("  hunter2", &[], true, (1, 3, ""), ("  [redacted]", 2, 10));
        check(
            "{user: a, token: b",
            &[],
            true,
            (1, 2, ""),
            ("{user: a, token:[redacted]", 1, 1),
        );
        check("topics: [a", &[], true, (1, 9, ""), ("topics: [a", 8, 1));
    }

    #[test]
    fn long_lines_are_cropped_around_the_fault() {
        let text = format!("{}bad{}", "x".repeat(500), "y".repeat(500));
        let source = Source::new("f", &text, vec![], false);
        let place = Place {
            file: "f".to_owned(),
            line: 1,
            column: 501,
        };
        let mut fault = Fault::new(&place, "bad", "wrong");
        source.locate(&mut fault);
        let snippet = fault.snippet.expect("the line exists");
        let shown: String = snippet
            .line
            .chars()
            .skip(snippet.start)
            .take(snippet.width)
            .collect();
        assert_eq!(shown, "bad");
        assert!(snippet.line.chars().count() <= MAX_WIDTH + 2);
    }
}
