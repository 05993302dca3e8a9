//! Changes what a YAML text says in some places, and leaves the rest of it letter by letter as it is: comments, order,
//! blanks, quotes. Input: the text, nodes of its tree, what each says and what it shall say. Pure.

use std::ops::Range;

use serde_json::{Map, Value as Json};

use super::cases::is_number;
use super::tree::{Body, Entry, Node};

/// Columns that a mapping or list may take on one line.
const WIDTH: usize = 96;

/// What stands there in its plainest form is `expected` (a part that is equal in both stays as it is written), and what
/// shall stand there is `found`.
pub(super) fn amend<'a>(
    text: &str,
    changes: impl Iterator<Item = (&'a Node, &'a Json, &'a Json)>,
) -> String {
    let (mark, bare) = match text.strip_prefix('\u{feff}') {
        Some(bare) => ("\u{feff}", bare),
        None => ("", text),
    };
    let chars: Vec<char> = bare.chars().collect();
    let mut amender = Amender {
        chars: &chars,
        newline: if bare.contains("\r\n") { "\r\n" } else { "\n" },
        edits: Vec::new(),
    };
    for (node, expected, found) in changes {
        amender.node(node, Some(expected), found, false);
    }
    let mut edits = amender.edits;
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = String::from(mark);
    let mut at = 0;
    for (range, with) in edits {
        out.extend(&chars[at.min(range.start)..range.start]);
        out.push_str(&with);
        at = at.max(range.end);
    }
    out.extend(&chars[at..]);
    out
}

struct Amender<'t> {
    chars: &'t [char],
    newline: &'static str,
    edits: Vec<(Range<usize>, String)>,
}

impl Amender<'_> {
    fn node(&mut self, node: &Node, expected: Option<&Json>, found: &Json, in_flow: bool) {
        if expected == Some(found) {
            return;
        }
        match (&node.body, found) {
            (Body::Map(entries), Json::Object(found)) if !entries.is_empty() => {
                let expected = expected.and_then(Json::as_object);
                self.map(node, entries, expected, found, in_flow);
            }
            (Body::List(items), Json::Array(found)) if !items.is_empty() => {
                let expected = expected.and_then(Json::as_array);
                self.list(node, items, expected, found, in_flow);
            }
            _ => self.replace(node, found, in_flow),
        }
    }

    fn map(
        &mut self,
        node: &Node,
        entries: &[Entry],
        expected: Option<&Map<String, Json>>,
        found: &Map<String, Json>,
        in_flow: bool,
    ) {
        let flow = in_flow || self.is_flow(node);
        let of = |entry: &Entry| found.get(entry.key.text().unwrap_or_default());
        let written = |name: &str| entries.iter().any(|entry| entry.key.text() == Some(name));
        // What a default stands for needs no words.
        let implied = |name: &str, value: &Json| {
            expected.and_then(|expected| expected.get(name)) == Some(value)
        };
        let new: Vec<(&String, &Json)> = found
            .iter()
            .filter(|(name, value)| !written(name) && !implied(name, value))
            .collect();
        let mut kept = entries.iter().filter(|entry| of(entry).is_some());
        let removes = entries.iter().any(|entry| of(entry).is_none());
        let Some(last) = kept.next_back() else {
            return self.replace(node, &Json::Object(found.clone()), in_flow);
        };
        // The first key of a list's item stands on the line of the dash.
        let behind_dash = of(&entries[0]).is_none() && !self.is_alone(entries[0].key.span.start);
        if (flow && (removes || !new.is_empty())) || behind_dash {
            return self.replace(node, &Json::Object(found.clone()), in_flow);
        }
        for entry in entries {
            match of(entry) {
                Some(value) => {
                    let name = entry.key.text().unwrap_or_default();
                    let expected = expected.and_then(|expected| expected.get(name));
                    match entry.value.body {
                        Body::Null if entry.value.raw.is_empty() => {
                            if expected != Some(value) {
                                let at = self.behind_colon(&entry.key);
                                let column = entry.key.place.column - 1;
                                let with = self.behind_key(value, column, flow);
                                self.edits.push((at..at, with));
                            }
                        }
                        _ => self.node(&entry.value, expected, value, flow),
                    }
                }
                None => {
                    let from = self.line_start(entry.key.span.start);
                    let to = self.line_end(self.end_of_entry(entry));
                    self.edits
                        .push((from..self.behind_newline(to), String::new()));
                }
            }
        }
        let at = self.line_end(self.end_of_entry(last));
        let column = last.key.place.column - 1;
        for (name, value) in new {
            let mut with = format!("{}{}{}:", self.newline, " ".repeat(column), text(name));
            with.push_str(&self.behind_key(value, column, false));
            self.edits.push((at..at, with));
        }
    }

    fn list(
        &mut self,
        node: &Node,
        items: &[Node],
        expected: Option<&Vec<Json>>,
        found: &[Json],
        in_flow: bool,
    ) {
        let flow = in_flow || self.is_flow(node);
        if found.is_empty() || (flow && items.len() != found.len()) {
            return self.replace(node, &Json::Array(found.to_vec()), in_flow);
        }
        for (index, (item, value)) in items.iter().zip(found).enumerate() {
            let expected = expected.and_then(|expected| expected.get(index));
            self.node(item, expected, value, flow);
        }
        let kept = items.len().min(found.len());
        let behind = self.line_end(self.end(&items[kept - 1]));
        if items.len() > kept {
            let to = self.line_end(self.end(&items[items.len() - 1]));
            self.edits.push((behind..to, String::new()));
        }
        // A list may stand no deeper than its key; the parser then takes it to begin elsewhere.
        let before = self.before_blanks(items[0].span.start);
        let column = match before.checked_sub(1) {
            Some(dash) if self.chars[dash] == '-' => dash - self.line_start(dash),
            _ => node.place.column - 1,
        };
        for value in &found[kept..] {
            let mut with = format!("{}{}- ", self.newline, " ".repeat(column));
            with.push_str(&self.inside(value, column + 2));
            self.edits.push((behind..behind, with));
        }
    }

    fn replace(&mut self, node: &Node, found: &Json, in_flow: bool) {
        let (start, end) = (self.start(node), self.end(node));
        let one_line = flow(found);
        let column = node.place.column - 1;
        let short = column + one_line.chars().count() <= WIDTH;
        let before = self.before_blanks(start);
        let behind_key = before > 0 && self.chars[before - 1] == ':';
        let (start, with) = if is_leaf(found) || in_flow {
            (start, one_line)
        } else if !self.is_flow(node) && self.begins_line(start) {
            (start, self.inside(found, column))
        } else if short || !behind_key {
            (start, one_line)
        } else {
            let line = &self.chars[self.line_start(start)..];
            let column = line.iter().take_while(|c| matches!(c, ' ' | '-')).count();
            (before, self.behind_key(found, column, false))
        };
        self.edits.push((start..end, with));
    }

    /// A value behind `key:`, with the blank or the line in front of it.
    fn behind_key(&self, value: &Json, column: usize, flow: bool) -> String {
        let one_line = self::flow(value);
        if flow || is_leaf(value) || column + one_line.chars().count() + 16 <= WIDTH {
            return format!(" {one_line}");
        }
        let column = column + 2;
        let newline = self.newline;
        format!(
            "{newline}{}{}",
            " ".repeat(column),
            self.inside(value, column)
        )
    }

    /// A value at a column where a line of its own may begin.
    fn inside(&self, value: &Json, column: usize) -> String {
        let joint = format!("{}{}", self.newline, " ".repeat(column));
        match value {
            Json::Object(entries) if !entries.is_empty() => {
                let line = |(name, value): (&String, &Json)| {
                    format!("{}:{}", text(name), self.behind_key(value, column, false))
                };
                entries.iter().map(line).collect::<Vec<_>>().join(&joint)
            }
            Json::Array(items) if !items.is_empty() => {
                let line = |value: &Json| format!("- {}", self.inside(value, column + 2));
                items.iter().map(line).collect::<Vec<_>>().join(&joint)
            }
            _ => flow(value),
        }
    }

    fn is_flow(&self, node: &Node) -> bool {
        matches!(node.body, Body::Map(_) | Body::List(_))
            && matches!(self.chars.get(node.span.start), Some('{' | '['))
    }

    /// Where a node begins. The parser begins a text behind `|` or `>` with its first line.
    fn start(&self, node: &Node) -> usize {
        let start = node.span.start;
        if !matches!(&node.body, Body::Scalar(scalar) if scalar.block) {
            return start;
        }
        let begins = |at: &usize| matches!(self.chars[*at], '|' | '>');
        if start < self.chars.len() && begins(&start) && !self.is_alone(start) {
            return start;
        }
        let blanks = self.chars[..start]
            .iter()
            .rev()
            .take_while(|c| c.is_whitespace())
            .count();
        let head = self.line_start(start - blanks);
        let comment = |at: &usize| self.chars[*at] == '#' && self.chars[at - 1] == ' ';
        let line = head..start - blanks;
        let to = line.clone().skip(1).find(comment).unwrap_or(line.end);
        (head..to).rev().find(begins).unwrap_or(start)
    }

    /// Where a node ends. The parser ends a block where the next token begins, behind comments that are not its own.
    fn end(&self, node: &Node) -> usize {
        let end = match &node.body {
            Body::Map(entries) if !self.is_flow(node) => {
                return entries
                    .last()
                    .map_or(node.span.start, |entry| self.end_of_entry(entry));
            }
            Body::List(items) if !self.is_flow(node) => {
                return items.last().map_or(node.span.start, |item| self.end(item));
            }
            Body::Map(entries) => {
                let last = entries.last().map(|entry| self.end_of_entry(entry));
                return self.behind_bracket(last.unwrap_or(node.span.start + 1));
            }
            Body::List(items) => {
                let last = items.last().map(|item| self.end(item));
                return self.behind_bracket(last.unwrap_or(node.span.start + 1));
            }
            Body::Scalar(scalar) if scalar.quoted => return self.behind_quote(node.span.start),
            Body::Scalar(scalar) if scalar.block => return self.behind_block(node),
            _ => node.span.end.min(self.chars.len()),
        };
        let blanks = self.chars[node.span.start..end].iter().rev();
        end - blanks.take_while(|c| c.is_whitespace()).count()
    }

    /// Behind a quoted text that begins here.
    fn behind_quote(&self, start: usize) -> usize {
        let quote = self.chars[start];
        let mut at = start + 1;
        while let Some(c) = self.chars.get(at) {
            let next = self.chars.get(at + 1);
            match c {
                '\\' if quote == '"' => at += 2,
                c if *c == quote && quote == '\'' && next == Some(&quote) => at += 2,
                c if *c == quote => return at + 1,
                _ => at += 1,
            }
        }
        at.min(self.chars.len())
    }

    /// Behind the last line of a text behind `|` or `>`: its lines are indented at least as its first one.
    fn behind_block(&self, node: &Node) -> usize {
        let mut end = self.line_end(self.start(node));
        let mut line = self.behind_newline(end);
        let mut least = None;
        while line < self.chars.len() {
            let to = self.line_end(line);
            let blanks = self.chars[line..to]
                .iter()
                .take_while(|c| **c == ' ')
                .count();
            if line + blanks < to {
                if blanks < *least.get_or_insert(blanks.max(1)) {
                    break;
                }
                end = to;
            }
            line = self.behind_newline(to);
        }
        end
    }

    /// Behind the bracket that closes what `at` is the end of; comments may stand in front of it.
    fn behind_bracket(&self, mut at: usize) -> usize {
        while let Some(c) = self.chars.get(at) {
            match c {
                '}' | ']' => return at + 1,
                '#' => at = self.line_end(at),
                _ => at += 1,
            }
        }
        at
    }

    fn end_of_entry(&self, entry: &Entry) -> usize {
        match entry.value.body {
            Body::Null if entry.value.raw.is_empty() => self.behind_colon(&entry.key),
            _ => self.end(&entry.value),
        }
    }

    fn behind_colon(&self, key: &Node) -> usize {
        let end = self.end(key);
        let colon = self.chars[end..].iter().position(|c| *c == ':');
        colon.map_or(end, |colon| end + colon + 1)
    }

    fn line_start(&self, at: usize) -> usize {
        let before = self.chars[..at].iter().rposition(|c| *c == '\n');
        before.map_or(0, |newline| newline + 1)
    }

    /// The end of a line, in front of what ends it.
    fn line_end(&self, at: usize) -> usize {
        let newline = self.chars[at..]
            .iter()
            .position(|c| matches!(c, '\r' | '\n'));
        newline.map_or(self.chars.len(), |newline| at + newline)
    }

    fn behind_newline(&self, at: usize) -> usize {
        let newline = self.chars[at..].iter().position(|c| *c == '\n');
        newline.map_or(self.chars.len(), |newline| at + newline + 1)
    }

    fn before_blanks(&self, at: usize) -> usize {
        let blanks = self.chars[..at]
            .iter()
            .rev()
            .take_while(|c| **c == ' ')
            .count();
        at - blanks
    }

    /// Whether only blanks stand in front of it on its line.
    fn is_alone(&self, at: usize) -> bool {
        self.chars[self.line_start(at)..at]
            .iter()
            .all(|c| *c == ' ')
    }

    /// Whether only blanks and the dashes of lists stand in front of it on its line.
    fn begins_line(&self, at: usize) -> bool {
        let before = &self.chars[self.line_start(at)..at];
        before.iter().all(|c| matches!(c, ' ' | '-'))
    }
}

fn is_leaf(value: &Json) -> bool {
    match value {
        Json::Object(entries) => entries.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => true,
    }
}

/// On one line.
fn flow(value: &Json) -> String {
    match value {
        Json::Object(entries) if !entries.is_empty() => {
            let entry =
                |(name, value): (&String, &Json)| format!("{}: {}", text(name), flow(value));
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Json::String(words) => text(words),
        other => other.to_string(),
    }
}

/// A text, in quotes where YAML could take it for something else.
fn text(words: &str) -> String {
    let begins = words.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | '+' | '@');
    let lower = words.to_ascii_lowercase();
    let word = matches!(
        lower.as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if begins && words.chars().all(plain) && !word && !is_number(words) {
        return words.to_owned();
    }
    let mut out = String::from("\"");
    for c in words.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // What is not printed, the byte order mark and the separators of lines among it.
            c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::cases::json as read;
    use crate::config::tree;

    fn parsed(text: &str) -> Node {
        let mut faults = Vec::new();
        let bare = text.trim_start_matches('\u{feff}');
        let tree = tree::parse(bare, "t.yaml", &mut faults);
        assert!(faults.is_empty(), "{faults:?}\n{text}");
        tree.root.expect("not empty")
    }

    fn value(text: &str) -> Json {
        serde_json::from_str(&read(&parsed(text))).expect("JSON")
    }

    fn amended(text: &str, found: &Json) -> String {
        let (root, expected) = (parsed(text), value(text));
        amend(text, [(&root, &expected, found)].into_iter())
    }

    #[track_caller]
    fn check(text: &str, found: Json, expect: &str) {
        assert_eq!(amended(text, &found), expect);
        assert_eq!(amended(expect, &found), expect, "twice is once");
    }

    #[test]
    fn only_what_differs_changes() {
        check(
            "a: 1 # one\nb: 2\n",
            json!({"a": 1, "b": 3}),
            "a: 1 # one\nb: 3\n",
        );
        check(
            "# x\na: 'x' # one\n",
            json!({"a": "y z"}),
            "# x\na: \"y z\" # one\n",
        );
        check(
            "a:\n  # c\n  b: 1 # d\n  e: 2\n# f\n",
            json!({"a": {"b": 1, "g": {"h": [1, "x"]}}}),
            "a:\n  # c\n  b: 1 # d\n  g: { h: [1, x] }\n# f\n",
        );
        check(
            "a: {b: 1, c: 2} # d\n",
            json!({"a": {"b": 1}}),
            "a: { b: 1 } # d\n",
        );
        check(
            "a: {b: 1, # b\n c: 2} # d\n",
            json!({"a": {"b": 1, "c": 3}}),
            "a: {b: 1, # b\n c: 3} # d\n",
        );
        check(
            "a:\n  - 1 # x\n  - 2\nb: 1\n",
            json!({"a": [1], "b": 1}),
            "a:\n  - 1 # x\nb: 1\n",
        );
        check(
            "a:\n- 1 # x\nb: 1\n",
            json!({"a": [1, 2], "b": 1}),
            "a:\n- 1 # x\n- 2\nb: 1\n",
        );
        check("a:\nb: 1\n", json!({"a": "x", "b": 1}), "a: x\nb: 1\n");
        check(
            "a: |\n  x\n  y\nb: 1\n",
            json!({"a": "x", "b": 1}),
            "a: x\nb: 1\n",
        );
        check(
            "a: 1\r\nb: 2\r\n",
            json!({"a": 1, "c": 2}),
            "a: 1\r\nc: 2\r\n",
        );
        check("\u{feff}a: 1", json!({"a": "true"}), "\u{feff}a: \"true\"");
        check(
            "- a: 1\n  b: 2\n- c\n",
            json!([{"b": 2}, "c"]),
            "- b: 2\n- c\n",
        );
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i32>().prop_map(Json::from),
            "[a-z]{0,3}|[ -~]{0,8}|[\\PC\n\t\u{0}\u{85}]{0,6}".prop_map(Json::from),
        ];
        let name = "[a-z]{1,3}|[ -~]{1,4}";
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::vec((name, inner), 0..4)
                    .prop_map(|entries| Json::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// A text in blocks or on one line, with comments that must stay.
    fn written(value: &Json, blocks: bool) -> String {
        let amender = Amender {
            chars: &[],
            newline: "\n",
            edits: Vec::new(),
        };
        let inside = match blocks {
            true => format!("\n    {}", amender.inside(value, 4)),
            false => format!(" {}", flow(value)),
        };
        format!("# head\nbefore: 1 # one\nroot:{inside} # behind\n# between\nafter: 2 # two\n")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn any_value_becomes_any_other(from in any_json(), to in any_json(), blocks: bool) {
            let text = written(&from, blocks);
            prop_assert_eq!(&value(&text)["root"], &from, "{}", text);
            let found = json!({"before": 1, "root": to, "after": 2});
            let after = amended(&text, &found);
            prop_assert_eq!(value(&after), found.clone(), "{}\n{}", text, after);
            prop_assert_eq!(amended(&after, &found), after.clone());
            for comment in ["# head", "before: 1 # one\n", "\n# between\nafter: 2 # two\n"] {
                prop_assert!(after.contains(comment), "{}\n{}", text, after);
            }
        }
    }
}
