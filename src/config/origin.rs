//! Where in the file each character of a text stands, for texts that YAML rewrites: blocks behind `|` and `>`, quoted
//! texts that are folded or have escapes. Pure.

use saphyr_parser::ScalarStyle;

use super::model::Place;
use super::tree::Node;

/// A text that does not stand in the file letter by letter.
#[derive(Debug, Clone)]
pub(crate) struct Rewritten {
    /// Where it begins, as [`Node::content_place`] says.
    pub(crate) place: Place,
    /// For each of its characters the index of that character in the file, and last the index behind it.
    pub(crate) origins: Vec<usize>,
}

impl Rewritten {
    /// `None` when the text stands there as it is, or cannot be found. An interpolated text has no such places.
    pub(crate) fn of(node: &Node, style: ScalarStyle, file: &[char]) -> Option<Rewritten> {
        let text: Vec<char> = node.text()?.chars().collect();
        let quote = usize::from(matches!(
            style,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted
        ));
        let start = node.span.start + quote;
        let written = file.get(start..)?;
        if written.starts_with(&text) || text.windows(2).any(|pair| pair == ['$', '{']) {
            return None;
        }
        let origins = origins(&text, written, style)?;
        Some(Rewritten {
            place: node.content_place(),
            origins: origins.into_iter().map(|index| start + index).collect(),
        })
    }
}

/// Folding turns blanks into blanks and nothing else, so what is not blank follows in the same order in both.
fn origins(text: &[char], written: &[char], style: ScalarStyle) -> Option<Vec<usize>> {
    let mut origins = Vec::with_capacity(text.len() + 1);
    let mut at = 0;
    let mut index = 0;
    while index < text.len() {
        let blanks = text[index..]
            .iter()
            .take_while(|c| c.is_whitespace())
            .count();
        let from = at;
        while let Some(length) = blank(written.get(at..)?, style) {
            at += length;
        }
        if index + blanks == text.len() {
            // The end: what is behind the last letter is not told apart.
            origins.extend((0..blanks).map(|nth| (from + nth).min(at)));
            at = from;
            break;
        }
        // The last blank of a run stands before the next letter, on its line.
        origins.extend((0..blanks).map(|nth| at.saturating_sub(blanks - nth).max(from)));
        index += blanks;
        let length = letter(text[index], written.get(at..)?, style)?;
        origins.push(at);
        at += length;
        index += 1;
    }
    origins.push(at);
    Some(origins)
}

/// The length of the blank, or what stands for one, that a text begins with.
fn blank(written: &[char], style: ScalarStyle) -> Option<usize> {
    match written {
        [c, ..] if c.is_whitespace() => Some(1),
        ['\\', c, ..] if style == ScalarStyle::DoubleQuoted && "ntr \t\r\n".contains(*c) => Some(2),
        _ => None,
    }
}

/// How many characters are written for this letter, if it is the next.
fn letter(letter: char, written: &[char], style: ScalarStyle) -> Option<usize> {
    match (style, written) {
        (ScalarStyle::SingleQuoted, ['\'', '\'', ..]) => (letter == '\'').then_some(2),
        (ScalarStyle::DoubleQuoted, ['\\', escape, ..]) => Some(match escape {
            'x' => 4,
            'u' => 6,
            'U' => 10,
            _ => 2,
        }),
        (_, [c, ..]) => (*c == letter).then_some(1),
        (_, []) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::super::tree;
    use crate::config::fault::Fault;

    /// The place of the `@` in the value of `k`, found by way of the text that YAML makes of it.
    fn check(file: &str) {
        let line = file
            .lines()
            .position(|line| line.contains('@'))
            .expect("an @");
        let column = file.lines().nth(line).and_then(|line| line.find('@'));
        let expect = (line + 1, column.expect("the line has it") + 1);
        let mut faults = Vec::new();
        let tree = tree::parse(file, "f", &mut faults);
        let node = tree
            .root
            .as_ref()
            .and_then(|root| root.get("k"))
            .expect("k");
        let text = node.text().expect("a text");
        let offset = text
            .chars()
            .position(|c| c == '@')
            .expect("it is in the text");
        let mut fault =
            Fault::new(&node.content_place(), "@", "").within(&node.content_place(), offset);
        if tree.rewritten.is_empty() {
            fault.place.column += offset;
        }
        let source = Source::new("f", file, vec![], false).rewritten(tree.rewritten);
        source.locate(&mut fault);
        assert_eq!((fault.place.line, fault.place.column), expect, "{file}");
        assert_eq!(fault.snippet.expect("a line").width, 1);
    }

    #[test]
    fn each_character_has_its_place() {
        check("k: a @ b\n");
        check("k: 'a @ b'\n");
        check("k: |\n  a b\n  c @ d\n");
        check("k: |\n  a b\n    c @ d\n");
        check("k: >\n  a b\n  c @ d\n");
        check("k: >-\n\n    a b\n\n    c\n    && @ d\n");
        check("k: >\n  a b\n    c\n  @ d\n");
        check("k: |2\n    a b\n  @ d\n");
        check("k: >+\n  a\n  b @\n\n\n");
        check("k: 'it''s a ''@'' b'\n");
        check("k: \"a \\\"b\\\" @\"\n");
        check("k: \"\\u0061\\x62 \\n \\t @ c\"\n");
        check("k: \"a b\n  c\n\n  @ d\"\n");
        check("k: \"a b\\\n  c\\\n  @ d\"\n");
        check("x:\n  - 1\nk: >\r\n  a b\r\n  c @\r\n");
    }
}
