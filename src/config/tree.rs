//! YAML text → a tree of nodes that know where they stand. Input: the file's text. Output: the tree and the faults of
//! YAML itself (syntax, duplicate keys, aliases, tags). Knows no key's meaning.
//!
//! A syntax error ends the reading and not the checking: what was read until there is kept, so that one unclosed quote
//! at the end does not hide the faults above it.

use std::collections::BTreeSet;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::fault::Fault;
use super::model::Place;
use super::origin::Rewritten;

/// Deeper than any meaningful file, and shallow enough for the recursive walks over the tree.
const MAX_DEPTH: usize = 64;

/// The longest text that a fault repeats.
const MAX_SHOWN: usize = 80;

/// A file's content.
#[derive(Debug)]
pub(crate) struct Tree {
    /// `None` when the file holds nothing.
    pub(crate) root: Option<Node>,
    /// False when a syntax error cut it short: what is missing may well stand further down.
    pub(crate) complete: bool,
    /// Characters that are not shown, since what they are is unclear and a secret may be among them.
    pub(crate) masks: Vec<std::ops::Range<usize>>,
    /// Texts that do not stand in the file letter by letter.
    pub(crate) rewritten: Vec<Rewritten>,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it begins, the quote of a quoted text included.
    pub(crate) place: Place,
    /// Characters of the file that it covers.
    pub(crate) span: std::ops::Range<usize>,
    /// A scalar as written, on one line; empty for anything else.
    pub(crate) raw: String,
    pub(crate) body: Body,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something that has been reported already.
    Broken,
}

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// The text, after interpolation once that has run.
    pub(crate) text: String,
    pub(crate) quoted: bool,
    /// A block scalar (`|` or `>`): its text begins on a later line.
    pub(crate) block: bool,
    /// Whether an interpolation stood in it.
    pub(crate) reference: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Node,
    pub(crate) value: Node,
    /// The key stood in this mapping before; reported, and not used.
    pub(crate) duplicate: bool,
}

impl Node {
    /// A scalar's text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.body {
            Body::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The value of a key of this mapping; null counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name)
            .map(|entry| &entry.value)
            .filter(|value| !matches!(value.body, Body::Null))
    }

    /// The first entry of that name.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries()
            .iter()
            .find(|entry| entry.key.text() == Some(name))
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.body {
            Body::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.body {
            Body::List(items) => items,
            _ => &[],
        }
    }

    /// Null, `""`, `[]` or `{}`.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.body {
            Body::Null => true,
            Body::Scalar(scalar) => scalar.text.is_empty(),
            Body::List(items) => items.is_empty(),
            Body::Map(entries) => entries.is_empty(),
            Body::Broken => false,
        }
    }

    /// Where the text itself begins, inside the quote: what an offset into an expression is counted from.
    pub(crate) fn content_place(&self) -> Place {
        let mut place = self.place.clone();
        if matches!(&self.body, Body::Scalar(scalar) if scalar.quoted) {
            place.column += 1;
        }
        place
    }
}

/// Reads one document. Faults are added, never returned instead of the tree.
pub(crate) fn parse(text: &str, file: &str, faults: &mut Vec<Fault>) -> Tree {
    let chars: Vec<char> = text.chars().collect();
    let mut builder = Builder {
        file,
        chars: &chars,
        faults,
        open: Vec::new(),
        root: None,
        masks: Vec::new(),
        rewritten: Vec::new(),
    };
    let complete = builder.read(text);
    while !builder.open.is_empty() {
        builder.close(None);
    }
    Tree {
        root: builder.root.take(),
        complete,
        masks: builder.masks,
        rewritten: builder.rewritten,
    }
}

/// What a line that is no YAML was likely meant to be.
fn slip(line: &str) -> Option<&'static str> {
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    if line.contains("${") {
        // `{ token: ${TOKEN} }`, where YAML takes the inner brace for its own.
        Some("inside { } and [ ], write \"${…}\" in quotes")
    } else if indent.contains('\t') {
        Some("YAML is indented with spaces; here is a tab")
    } else {
        None
    }
}

struct Open {
    place: Place,
    start: usize,
    body: OpenBody,
}

enum OpenBody {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: BTreeSet<String>,
        key: Option<Node>,
    },
}

struct Builder<'a> {
    file: &'a str,
    chars: &'a [char],
    faults: &'a mut Vec<Fault>,
    open: Vec<Open>,
    root: Option<Node>,
    masks: Vec<std::ops::Range<usize>>,
    rewritten: Vec<Rewritten>,
}

impl Builder<'_> {
    /// Takes events until the end or the first syntax error; whether it came to the end.
    fn read(&mut self, text: &str) -> bool {
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let place = self.place(error.marker());
                    let message = format!("not YAML: {}", error.info());
                    let fault = Fault::new(&place, "", message);
                    let line = text.lines().nth(place.line.saturating_sub(1));
                    self.faults.push(match line.and_then(slip) {
                        Some(hint) => fault.hint(hint),
                        None => fault,
                    });
                    return false;
                }
            };
            match event {
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let place = self.place(&span.start);
                        self.faults.push(
                            Fault::new(&place, "---", "a second document in one file")
                                .hint("everything goes into one document; remove this line"),
                        );
                        return true;
                    }
                }
                Event::Alias(_) => {
                    let node = self.node(span, Body::Broken);
                    self.faults.push(
                        Fault::new(
                            &node.place,
                            self.slice(span),
                            "YAML aliases are not supported",
                        )
                        .hint("write the value out here"),
                    );
                    self.add(node);
                }
                Event::Scalar(text, style, _, tag) => {
                    let forced_text = self.tag(tag.as_deref(), span);
                    let quoted =
                        matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
                    let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                    let null = matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                    let body = if null && !quoted && !block && !forced_text {
                        Body::Null
                    } else {
                        Body::Scalar(Scalar {
                            text: text.into_owned(),
                            quoted,
                            block,
                            reference: false,
                        })
                    };
                    let mut node = self.node(span, body);
                    if style == ScalarStyle::Plain
                        && span.start.line() < span.end.line()
                        && self.folds(span)
                    {
                        node.body = Body::Broken;
                        self.masks.push(node.span.clone());
                        // Nearly always a `: ` that is missing, and then a value holds the keys behind it.
                        self.faults.push(
                            Fault::new(
                                &node.place,
                                "",
                                "a text over several lines, without quotes",
                            )
                            .hint("is a `: ` missing? If not, put it in quotes or behind `>`"),
                        );
                    } else {
                        node.raw = self.slice(span);
                        self.rewritten
                            .extend(Rewritten::of(&node, style, self.chars));
                    }
                    self.add(node);
                }
                Event::SequenceStart(_, tag) => {
                    self.tag(tag.as_deref(), span);
                    if !self.begin(span, OpenBody::List(Vec::new())) {
                        return false;
                    }
                }
                Event::MappingStart(_, tag) => {
                    self.tag(tag.as_deref(), span);
                    let body = OpenBody::Map {
                        entries: Vec::new(),
                        seen: BTreeSet::new(),
                        key: None,
                    };
                    if !self.begin(span, body) {
                        return false;
                    }
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(Some(span.end.index())),
            }
        }
        true
    }

    fn place(&self, marker: &Marker) -> Place {
        Place {
            file: self.file.to_owned(),
            line: marker.line(),
            column: marker.col() + 1,
        }
    }

    fn node(&self, span: Span, body: Body) -> Node {
        Node {
            place: self.place(&span.start),
            span: span.start.index()..span.end.index(),
            raw: String::new(),
            body,
        }
    }

    /// The text of a span as written: its first line, bounded.
    fn slice(&self, span: Span) -> String {
        let end = span.end.index().min(self.chars.len());
        let start = span.start.index().min(end);
        let line: String = self.chars[start..end]
            .iter()
            .take_while(|c| !matches!(c, '\n' | '\r'))
            .take(MAX_SHOWN)
            .collect();
        line.trim_end().to_owned()
    }

    /// Whether a span holds text on more than one line.
    fn folds(&self, span: Span) -> bool {
        let end = span.end.index().min(self.chars.len());
        let start = span.start.index().min(end);
        let text: String = self.chars[start..end].iter().collect();
        text.trim().contains(['\n', '\r'])
    }

    /// Reports a tag that means nothing here; whether it says that the scalar is a text.
    fn tag(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag else { return false };
        if tag.is_yaml_core_schema() {
            return tag.suffix == "str";
        }
        let place = self.place(&span.start);
        let text = format!("{}{}", tag.handle, tag.suffix);
        self.faults
            .push(Fault::new(&place, text, "YAML tags are not supported"));
        false
    }

    fn begin(&mut self, span: Span, body: OpenBody) -> bool {
        let place = self.place(&span.start);
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            self.faults.push(Fault::new(&place, "", message));
            return false;
        }
        self.open.push(Open {
            place,
            start: span.start.index(),
            body,
        });
        true
    }

    /// Ends the innermost collection; without an end, the file broke off inside it.
    fn close(&mut self, end: Option<usize>) {
        let Some(open) = self.open.pop() else { return };
        let body = match open.body {
            OpenBody::List(items) => Body::List(items),
            OpenBody::Map {
                mut entries, key, ..
            } => {
                if let Some(key) = key {
                    let value = Node {
                        place: key.place.clone(),
                        span: key.span.clone(),
                        raw: String::new(),
                        body: Body::Broken,
                    };
                    entries.push(Entry {
                        key,
                        value,
                        duplicate: false,
                    });
                }
                Body::Map(entries)
            }
        };
        let node = Node {
            span: open.start..end.unwrap_or(self.chars.len()),
            place: open.place,
            raw: String::new(),
            body,
        };
        self.add(node);
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node) {
        match self.open.last_mut().map(|open| &mut open.body) {
            None => {
                if self.root.is_none() && !matches!(node.body, Body::Null) {
                    self.root = Some(node);
                }
            }
            Some(OpenBody::List(items)) => items.push(node),
            Some(OpenBody::Map { entries, seen, key }) => match key.take() {
                None => {
                    if node.text().is_none() {
                        self.faults
                            .push(Fault::new(&node.place, "", "a key must be a text"));
                    }
                    *key = Some(node);
                }
                Some(name) => {
                    let duplicate = match name.text() {
                        Some(text) => !seen.insert(text.to_owned()),
                        None => false,
                    };
                    if duplicate {
                        let text = name.text().unwrap_or_default();
                        let first = entries
                            .iter()
                            .find(|entry| entry.key.text() == Some(text))
                            .map_or(0, |entry| entry.key.place.line);
                        let message = format!("`{text}` stands here twice");
                        self.faults.push(
                            Fault::new(&name.place, text, message)
                                .hint(format!("it is on line {first} already")),
                        );
                    }
                    entries.push(Entry {
                        key: name,
                        value: node,
                        duplicate,
                    });
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(usize, usize, &str)]) -> Tree {
        let mut faults = Vec::new();
        let tree = parse(text, "f", &mut faults);
        let found: Vec<_> = faults
            .iter()
            .map(|fault| (fault.place.line, fault.place.column, fault.message.as_str()))
            .collect();
        assert_eq!(found, expect, "{text:?}");
        tree
    }

    #[test]
    fn positions_count_characters_from_one() {
        let tree = check("ä: 'ö'\nb:\n  - c d  # note\n", &[]);
        let root = tree.root.expect("a mapping");
        let first = root.get("ä").expect("ä");
        assert_eq!(
            (first.place.line, first.place.column, first.raw.as_str()),
            (1, 4, "'ö'")
        );
        assert_eq!(first.content_place().column, 5);
        let item = &root.get("b").expect("b").items()[0];
        assert_eq!(
            (item.place.line, item.place.column, item.raw.as_str()),
            (3, 5, "c d")
        );
    }

    #[test]
    fn faults_of_yaml_itself() {
        check("a: 1\nb: 2\na: 3\n", &[(3, 1, "`a` stands here twice")]);
        check(
            "a: &x 1\nb: *x\n",
            &[(2, 4, "YAML aliases are not supported")],
        );
        check("a: !env X\n", &[(1, 4, "YAML tags are not supported")]);
        check(
            "a: 1\n---\nb: 2\n",
            &[(2, 1, "a second document in one file")],
        );
        check("[1]: 2\n", &[(1, 1, "a key must be a text")]);
        check("a: !!str null\n", &[]);
        check(
            "a: b\n  c:d\n",
            &[(1, 4, "a text over several lines, without quotes")],
        );
        check("a: >\n  b\n  c\nd: 'e\n  f'\n", &[]);
    }

    #[test]
    fn a_syntax_error_keeps_what_stood_before_it() {
        let mut faults = Vec::new();
        let tree = parse("a: 1\nb:\n  c: 2\nd: \"open\n", "f", &mut faults);
        assert_eq!(faults.len(), 1);
        assert!(!tree.complete);
        let root = tree.root.expect("the part before the error");
        assert_eq!(root.get("a").and_then(Node::text), Some("1"));
        assert_eq!(
            root.get("b").and_then(|b| b.get("c")).and_then(Node::text),
            Some("2")
        );
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100);
        let mut faults = Vec::new();
        parse(&deep, "f", &mut faults);
        assert_eq!(faults[0].message, "nested more than 64 levels deep");
        // Far beyond it the parser gives up first.
        parse(&"[".repeat(100_000), "f", &mut faults);
        parse(&"- ".repeat(100_000), "f", &mut faults);
        assert_eq!(faults.len(), 3);
    }

    #[test]
    fn null_in_its_spellings() {
        let tree = check("a:\nb: ~\nc: null\nd: ''\n", &[]);
        let root = tree.root.expect("a mapping");
        for name in ["a", "b", "c"] {
            assert!(root.get(name).is_none(), "{name}");
        }
        assert_eq!(root.get("d").and_then(Node::text), Some(""));
    }
}
