//! One line for each value: bytes, path, type, value, how the contract takes it, and who looks at it. Input: the
//! writer's bytes and schema, the contract's schema, the lineage. Output: [`Line`]s, and where the bytes stop being a
//! value. What is tagged is masked in values and bytes alike.

use serde::Serialize;
use serde_json::Value as Json;

use super::lineage::{Lineage, Parts, written};
use super::pairing::{counterpart, pick};
use super::walk::{Span, Visitor, What, walk};
use crate::contract::decode::Limits;
use crate::contract::json::to_json;
use crate::contract::schema::{Field, Kind, NodeId, Schema};
use crate::contract::value::Value;
use crate::error::RecordError;

/// What stands in place of a masked value.
pub const MASK: &str = "***";
/// Bytes shown of one value.
const SHOWN: usize = 64;
/// Masked texts that are looked for in keys and headers.
const REMEMBERED: usize = 1000;

/// How the contract takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// As it is.
    Same,
    /// As a wider type.
    Promoted,
    /// Under another name.
    Renamed,
    /// Not at all: it has no such field.
    Unknown,
    /// The writer does not have it, and the contract has a default.
    Default,
    /// The writer does not have it, and the contract has no default.
    Missing,
    /// Its type has no such value.
    Unreadable,
}

/// One line of the explanation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Where the bytes begin in the record's value; none for what is not in the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// How many bytes.
    pub length: usize,
    /// They in hex, as many as are shown; none when they are masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// The writer's field, as `items[2].price`.
    pub path: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The value, or what the bytes are for.
    pub value: Json,
    /// How the contract takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
    /// In words, where there is more to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Rules and steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub touched_by: Vec<String>,
    /// Whether value and bytes are masked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

/// What is to be explained, and how.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The writer's schema.
    pub writer: &'a Schema,
    /// The contract's, if a pipeline reads the record.
    pub contract: Option<&'a Schema>,
    /// The pipeline's.
    pub lineage: &'a Lineage,
    /// Whether tagged fields are masked.
    pub mask: bool,
    /// Bytes of framing in front.
    pub framing: usize,
    /// Lines at most; the rest is counted.
    pub lines: usize,
}

/// The lines of a record.
#[derive(Debug, Default)]
pub struct Annotated {
    /// In the order of the bytes.
    pub lines: Vec<Line>,
    /// Lines left out.
    pub more: usize,
    /// Why the bytes are no value, with offsets counted like the lines'.
    pub stop: Option<RecordError>,
    /// The texts that were masked.
    pub secrets: Vec<String>,
    /// Bytes explained.
    pub covered: usize,
}

/// Explains the bytes behind the frame.
pub fn annotate(subject: Subject<'_>, payload: &[u8]) -> Annotated {
    let root = Frame {
        reader: subject.contract.map(|contract| contract.root),
        contract: subject.contract.map(|_| Parts::new()),
        taken: Taken::Same,
        shown: String::new(),
    };
    let mut annotator = Annotator {
        subject,
        payload,
        frames: vec![root],
        branch: None,
        out: Annotated::default(),
    };
    let walked = walk(subject.writer, payload, &Limits::default(), &mut annotator);
    annotator.flush();
    let mut out = annotator.out;
    out.stop = walked.err().map(|mut error| {
        error.byte_offset = error.byte_offset.map(|offset| offset + subject.framing);
        error
    });
    out
}

/// Bytes in hex, not more than are shown.
pub fn hex(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}"));
    let text = shown.collect::<Vec<_>>().join(" ");
    match bytes.len() > SHOWN {
        true => text + " …",
        false => text,
    }
}

struct Frame {
    /// The contract's type for what is written here.
    reader: Option<NodeId>,
    /// Its path in the contract.
    contract: Option<Parts>,
    taken: Taken,
    /// The writer's path.
    shown: String,
}

struct Annotator<'a> {
    subject: Subject<'a>,
    payload: &'a [u8],
    frames: Vec<Frame>,
    branch: Option<Span>,
    out: Annotated,
}

impl Annotator<'_> {
    fn top(&self) -> &Frame {
        self.frames.last().expect("the root is never left")
    }

    /// Whether what stands here must not be shown. A field that the contract does not have may be a tagged one under
    /// another name.
    fn is_masked(&self, frame: &Frame) -> bool {
        let lineage = self.subject.lineage;
        self.subject.mask
            && match &frame.contract {
                Some(path) => lineage.is_tagged(path),
                None => lineage.has_tags(),
            }
    }

    fn bytes(&self, offset: usize, length: usize) -> String {
        hex(&self.payload[offset..offset + length])
    }

    fn push(&mut self, line: Line) {
        self.out.covered = self.out.covered.max(line.offset.unwrap_or(0) + line.length);
        match self.out.lines.len() < self.subject.lines {
            true => self.out.lines.push(line),
            false => self.out.more += 1,
        }
    }

    /// A branch that no value of its own line follows.
    fn flush(&mut self) {
        let Some(branch) = self.branch.take() else {
            return;
        };
        let What::Branch(index) = branch.what else {
            return;
        };
        let writer = self.subject.writer;
        let chosen = match &writer.node(branch.node).kind {
            Kind::Union(branches) => writer.describe(branches[index]),
            _ => String::new(),
        };
        let text = format!("branch {index}: {chosen}");
        self.structure(&branch, text);
    }

    /// A line about bytes that are no value of their own.
    fn structure(&mut self, span: &Span, text: String) {
        let frame = self.top();
        let masked = self.is_masked(frame);
        let writer = self.subject.writer;
        let line = Line {
            offset: Some(self.subject.framing + span.offset),
            length: span.length,
            bytes: (!masked).then(|| self.bytes(span.offset, span.length)),
            path: frame.shown.clone(),
            kind: writer.describe(span.node),
            value: text.into(),
            taken: self.subject.contract.map(|_| frame.taken),
            note: self.renamed(frame),
            touched_by: Vec::new(),
            masked,
        };
        self.push(line);
    }

    fn renamed(&self, frame: &Frame) -> String {
        match (frame.taken, &frame.contract) {
            (Taken::Renamed, Some(path)) => format!("{} in the contract", written(path)),
            (Taken::Unknown, _) => "the contract has no such field".to_owned(),
            _ => String::new(),
        }
    }

    fn value(&mut self, span: &Span, value: &Value, branch: Option<Span>) {
        let writer = self.subject.writer;
        let frame = self.top();
        let masked = self.is_masked(frame);
        let (offset, length) = match &branch {
            Some(branch) => (branch.offset, branch.length + span.length),
            None => (span.offset, span.length),
        };
        let json = to_json(writer, span.node, value);
        let (taken, note) = self.taken(frame, span.node, value);
        let touched_by = match &frame.contract {
            Some(path) => self.subject.lineage.touching(path),
            None => Vec::new(),
        };
        let line = Line {
            offset: Some(self.subject.framing + offset),
            length,
            bytes: (!masked).then(|| self.bytes(offset, length)),
            path: frame.shown.clone(),
            kind: writer.describe(span.node),
            value: if masked { MASK.into() } else { json.clone() },
            taken,
            note,
            touched_by,
            masked,
        };
        if masked {
            self.remember(&json);
        }
        self.push(line);
    }

    fn remember(&mut self, json: &Json) {
        let text = match json {
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => return,
        };
        if text.len() > 2 && self.out.secrets.len() < REMEMBERED {
            self.out.secrets.push(text);
        }
    }

    fn taken(&self, frame: &Frame, node: NodeId, value: &Value) -> (Option<Taken>, String) {
        let Some(contract) = self.subject.contract else {
            return (None, String::new());
        };
        let note = self.renamed(frame);
        let Some(declared) = frame.reader else {
            return (Some(frame.taken), note);
        };
        let writer = self.subject.writer;
        let unreadable = || {
            let text = format!("the contract has {}", contract.describe(declared));
            (Some(Taken::Unreadable), text)
        };
        let Some(reader) = pick(writer, node, contract, declared) else {
            return unreadable();
        };
        let (from, to) = (writer.node(node), contract.node(reader));
        if let (Kind::Enum(from), Kind::Enum(to), Value::Enum(index)) =
            (&from.kind, &to.kind, value)
        {
            let symbol = from.symbols.get(*index);
            if symbol.is_none_or(|symbol| !to.symbols.contains(symbol)) {
                return match to.default {
                    Some(default) => {
                        let text = format!("read as {}, the default", to.symbols[default]);
                        (Some(Taken::Default), text)
                    }
                    None => unreadable(),
                };
            }
        }
        match (from.logical, to.logical) {
            (Some(one), Some(other)) if one.word() != other.word() => return unreadable(),
            _ => {}
        }
        if from.kind.word() != to.kind.word() {
            let mut text = format!("read as {}", contract.describe(reader));
            if !note.is_empty() {
                text = format!("{note}, {text}");
            }
            return (Some(Taken::Promoted), text);
        }
        (Some(frame.taken), note)
    }

    /// The contract's type for a record, array or map of the writer at the present place.
    fn inner(&self, node: NodeId) -> Option<(NodeId, &Schema)> {
        let contract = self.subject.contract?;
        let reader = pick(self.subject.writer, node, contract, self.top().reader?)?;
        Some((reader, contract))
    }
}

impl Visitor for Annotator<'_> {
    fn span(&mut self, span: Span) {
        match &span.what {
            What::Value(value) => {
                let branch = self.branch.take();
                self.value(&span, value, branch);
                return;
            }
            What::Branch(_) => {
                self.flush();
                self.branch = Some(span);
                return;
            }
            _ => self.flush(),
        }
        let what = match &self.subject.writer.node(span.node).kind {
            Kind::Map(_) => "entries",
            _ => "items",
        };
        match &span.what {
            What::Block(count, None) => self.structure(&span, format!("{count} {what}")),
            What::Block(count, Some(size)) => {
                self.structure(&span, format!("{count} {what} in {size} bytes"));
            }
            What::End => self.structure(&span, format!("no more {what}")),
            What::Key(key) => {
                let masked = self.is_masked(self.top());
                if masked {
                    self.remember(&Json::String(key.clone()));
                }
                let text = if masked {
                    MASK.to_owned()
                } else {
                    format!("key {key:?}")
                };
                self.structure(&span, text);
            }
            What::Value(_) | What::Branch(_) => {}
        }
    }

    fn field(&mut self, node: NodeId, position: usize) {
        self.flush();
        let writer = self.subject.writer;
        let Kind::Record(record) = &writer.node(node).kind else {
            return;
        };
        let field = &record.fields[position];
        let found = self.inner(node).and_then(|(reader, contract)| {
            let Kind::Record(to) = &contract.node(reader).kind else {
                return None;
            };
            let found = counterpart(record, to, &field.name)?;
            Some((found.node, found.name.clone()))
        });
        let top = self.top();
        let shown = match top.shown.as_str() {
            "" => field.name.clone(),
            above => format!("{above}.{}", field.name),
        };
        let frame = match (found, &top.contract) {
            (Some((reader, name)), Some(above)) => Frame {
                reader: Some(reader),
                taken: match name == field.name {
                    true => Taken::Same,
                    false => Taken::Renamed,
                },
                contract: Some(above.iter().cloned().chain([name]).collect()),
                shown,
            },
            _ => Frame {
                reader: None,
                taken: Taken::Unknown,
                contract: None,
                shown,
            },
        };
        self.frames.push(frame);
    }

    fn item(&mut self, node: NodeId, position: usize) {
        self.flush();
        let inner =
            self.inner(node)
                .and_then(|(reader, contract)| match &contract.node(reader).kind {
                    Kind::Array(item) => Some((*item, "[]")),
                    Kind::Map(value) => Some((*value, "{}")),
                    _ => None,
                });
        let top = self.top();
        let shown = format!("{}[{position}]", top.shown);
        let below = |part: &str| {
            let above = top.contract.iter().flatten().cloned();
            above.chain([part.to_owned()]).collect()
        };
        let frame = match inner {
            Some((reader, part)) => Frame {
                reader: Some(reader),
                contract: Some(below(part)),
                taken: Taken::Same,
                shown,
            },
            None => Frame {
                reader: None,
                contract: None,
                taken: Taken::Unknown,
                shown,
            },
        };
        self.frames.push(frame);
    }

    fn leave(&mut self) {
        self.flush();
        self.frames.pop();
    }

    fn done(&mut self, node: NodeId) {
        self.flush();
        let Kind::Record(from) = &self.subject.writer.node(node).kind else {
            return;
        };
        let mut lines = Vec::new();
        if let Some((reader, contract)) = self.inner(node)
            && let Kind::Record(to) = &contract.node(reader).kind
        {
            let filled = |field: &&Field| {
                let mut names = from.fields.iter().map(|field| field.name.as_str());
                !names.any(|name| counterpart(from, to, name).is_some_and(|f| f.name == field.name))
            };
            let top = self.top();
            for field in to.fields.iter().filter(filled) {
                let above = top.contract.iter().flatten().cloned();
                let path: Parts = above.chain([field.name.clone()]).collect();
                let masked = self.subject.mask && self.subject.lineage.is_tagged(&path);
                let (taken, value) = match &field.default {
                    Some(default) => (Taken::Default, default.clone()),
                    None => (Taken::Missing, Json::Null),
                };
                lines.push(Line {
                    offset: None,
                    length: 0,
                    bytes: None,
                    path: match top.shown.as_str() {
                        "" => field.name.clone(),
                        above => format!("{above}.{}", field.name),
                    },
                    kind: contract.describe(field.node),
                    value: if masked { MASK.into() } else { value },
                    taken: Some(taken),
                    note: match taken {
                        Taken::Default => "default of the contract".to_owned(),
                        _ => "the writer lacks it, and the contract has no default".to_owned(),
                    },
                    touched_by: self.subject.lineage.touching(&path),
                    masked,
                });
            }
        }
        for line in lines {
            self.push(line);
        }
    }
}
