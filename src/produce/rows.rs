//! Rows → values of the schema. Input: decompressed bytes. Output: a value per row, or a [`BadRow`]. Pure but for the
//! reader it is given.
//!
//! A CSV file's header names fields of the schema, in any order; a field without a column takes its default. Every row
//! stands for itself: one that is bad says so, and the next one is read.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use csv::ByteRecord;

use super::input::Bytes;
use super::{BadRow, Failure, Format};
use crate::contract::default;
use crate::contract::json::{self, FromJson};
use crate::contract::path::closest;
use crate::contract::schema::{Kind, NodeId, RecordType, Schema};
use crate::contract::value::Value;
use crate::error::RecordError;

/// Bound on one line of JSON: far above what a broker takes as one record.
const LINE_LIMIT: usize = 64 * 1024 * 1024;
/// Columns of a file of rejected rows; a file that is corrected and given back still has them.
pub(super) const REJECT_COLUMNS: [&str; 3] =
    ["driftgate_line", "driftgate_path", "driftgate_reason"];

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// A row as a value of the schema's root.
    Row {
        /// Line, from 1, on which it begins.
        line: u64,
        /// The value.
        value: Value,
    },
    /// A row that is none.
    Bad(BadRow),
    /// There are no more.
    End,
}

/// The row last read, as it stands in the input.
#[derive(Debug, Clone, Copy)]
pub enum Raw<'a> {
    /// Cells of a table.
    Cells(&'a ByteRecord),
    /// A line without its end.
    Line(&'a [u8]),
}

/// Reads rows of one input against one schema.
pub struct Rows<'s> {
    schema: &'s Schema,
    name: String,
    kind: Reader<'s>,
}

enum Reader<'s> {
    Csv(Box<Table<'s>>),
    JsonLines(Lines),
}

struct Table<'s> {
    reader: csv::Reader<Numbered>,
    header: ByteRecord,
    columns: Vec<Column>,
    cells: ByteRecord,
    nulls: Vec<String>,
    record: &'s RecordType,
    /// What a field without a column takes.
    template: Vec<Value>,
}

enum Column {
    Field { position: usize },
    Ignored,
}

struct Lines {
    reader: Bytes,
    line: Vec<u8>,
    number: u64,
}

impl<'s> Rows<'s> {
    /// Reads the header of a table. Every column and field that does not fit is told at once.
    pub fn new(
        schema: &'s Schema,
        format: &Format,
        name: &str,
        bytes: Bytes,
    ) -> Result<Rows<'s>, Failure> {
        let Some(record) = schema.record() else {
            let what = schema.describe(schema.root);
            return Err(Failure::asked(format!(
                "rows become records, and the schema is {what}"
            )));
        };
        let kind = match format {
            Format::Csv { delimiter, nulls } => {
                let table = Table::new(schema, record, *delimiter, nulls, name, bytes)?;
                Reader::Csv(Box::new(table))
            }
            Format::JsonLines => Reader::JsonLines(Lines {
                reader: bytes,
                line: Vec::new(),
                number: 0,
            }),
        };
        let name = name.to_owned();
        Ok(Rows { schema, name, kind })
    }

    /// The next row. An error means that the input cannot be read on.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend the raw row of what it has just returned"
    )]
    pub fn next(&mut self) -> Result<Next, Failure> {
        let next = match &mut self.kind {
            Reader::Csv(table) => table.next(self.schema),
            Reader::JsonLines(lines) => lines.next(self.schema),
        };
        next.map_err(|error| Failure::Unreachable(format!("{}: {error}", self.name)))
    }

    /// The row that [`Rows::next`] has just given.
    pub fn raw(&self) -> Raw<'_> {
        match &self.kind {
            Reader::Csv(table) => Raw::Cells(&table.cells),
            Reader::JsonLines(lines) => Raw::Line(&lines.line),
        }
    }

    /// The header line of a table.
    pub fn header(&self) -> Option<&ByteRecord> {
        match &self.kind {
            Reader::Csv(table) => Some(&table.header),
            Reader::JsonLines(_) => None,
        }
    }
}

impl<'s> Table<'s> {
    fn new(
        schema: &Schema,
        record: &'s RecordType,
        delimiter: u8,
        nulls: &[String],
        name: &str,
        bytes: Bytes,
    ) -> Result<Table<'s>, Failure> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            // A row with too few or too many cells is that row's fault and not the file's.
            .flexible(true)
            .buffer_capacity(8 * 1024)
            .from_reader(Numbered::new(bytes));
        let mut header = ByteRecord::new();
        let read = reader.read_byte_record(&mut header);
        let read = read.map_err(|error| Failure::Unreachable(format!("{name}: {error}")))?;
        if !read {
            return Err(Failure::asked(format!(
                "{name}: is empty; expected a header line"
            )));
        }
        let mut faults = Vec::new();
        let mut given = vec![false; record.fields.len()];
        let mut columns = Vec::with_capacity(header.len());
        for cell in &header {
            columns.push(column(cell, record, &mut given, &mut faults));
        }
        if columns.len() == 1 && faults.len() == 1 && record.fields.len() > 1 {
            faults.push(format!(
                "the header has one column; is {:?} the delimiter?",
                char::from(delimiter)
            ));
        }
        let mut template = Vec::with_capacity(given.len());
        for (field, given) in record.fields.iter().zip(given) {
            let value = match &field.default {
                _ if given => Value::Null,
                Some(json) => default::value(schema, field.node, json).unwrap_or(Value::Null),
                None => {
                    faults.push(format!(
                        "no column {:?}, and the field has no default",
                        field.name
                    ));
                    Value::Null
                }
            };
            template.push(value);
        }
        if !faults.is_empty() {
            let line = |fault| format!("{name}:1: {fault}");
            return Err(Failure::Asked(faults.into_iter().map(line).collect()));
        }
        Ok(Table {
            reader,
            header,
            columns,
            cells: ByteRecord::new(),
            nulls: nulls.to_vec(),
            record,
            template,
        })
    }

    fn next(&mut self, schema: &Schema) -> Result<Next, String> {
        let read = self.reader.read_byte_record(&mut self.cells);
        if !read.map_err(|error| error.to_string())? {
            return Ok(Next::End);
        }
        let begin = self.cells.position().map_or(0, csv::Position::byte);
        let line = self.reader.get_mut().line_at(begin);
        Ok(match self.value(schema) {
            Ok(value) => Next::Row { line, value },
            Err((path, message)) => Next::Bad(BadRow {
                line,
                path,
                message,
            }),
        })
    }

    fn value(&self, schema: &Schema) -> Result<Value, (String, String)> {
        if self.cells.len() != self.columns.len() {
            let (expected, found) = (self.columns.len(), self.cells.len());
            let message = format!("expected {expected} cells as in the header, found {found}");
            return Err((String::new(), message));
        }
        let mut values = self.template.clone();
        for (cell, column) in self.cells.iter().zip(&self.columns) {
            let Column::Field { position } = column else {
                continue;
            };
            let field = &self.record.fields[*position];
            let text = std::str::from_utf8(cell)
                .map_err(|_| (field.name.clone(), "expected UTF-8 text".to_owned()))?;
            values[*position] = self
                .cell(schema, field.node, text)
                .map_err(|error| (join(&field.name, &error.path), error.message))?;
        }
        Ok(Value::Record(values))
    }

    fn cell(&self, schema: &Schema, node: NodeId, text: &str) -> Result<Value, RecordError> {
        let Kind::Union(branches) = &schema.node(node).kind else {
            return json::from_text(schema, node, text);
        };
        if self.nulls.is_empty() {
            return json::from_text(schema, node, text);
        }
        let null = branches
            .iter()
            .position(|branch| schema.node(*branch).kind == Kind::Null);
        match null {
            Some(null) if self.nulls.iter().any(|written| written == text) => {
                Ok(Value::Union(null, Box::new(Value::Null)))
            }
            // What stands for null was said, and it is not the empty cell: so that one is an empty text, or an error.
            Some(_) if text.is_empty() => {
                let mut last = None;
                for (index, branch) in branches.iter().enumerate() {
                    if schema.node(*branch).kind == Kind::Null {
                        continue;
                    }
                    match json::from_text(schema, *branch, text) {
                        Ok(value) => return Ok(Value::Union(index, Box::new(value))),
                        Err(error) => last = Some(error),
                    }
                }
                match last {
                    Some(error) => Err(error),
                    None => json::from_text(schema, node, text),
                }
            }
            _ => json::from_text(schema, node, text),
        }
    }
}

/// Numbers the lines that pass through it. The CSV reader's own number is that of the first blank line in front of a
/// row, and counts a carriage return and its line feed as they fall.
struct Numbered {
    from: Bytes,
    offset: u64,
    line: u64,
    at: At,
    /// Offset of the first byte, and number, of every line that is not blank and not yet asked for.
    lines: VecDeque<(u64, u64)>,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Begin,
    Inside,
    /// Behind a carriage return, which a line feed may still belong to.
    Return,
}

impl Numbered {
    fn new(from: Bytes) -> Numbered {
        Numbered {
            from,
            offset: 0,
            line: 1,
            at: At::Begin,
            lines: VecDeque::new(),
        }
    }

    /// The number of the line with the first row that begins at or behind `offset`.
    fn line_at(&mut self, offset: u64) -> u64 {
        while self.lines.front().is_some_and(|(at, _)| *at < offset) {
            self.lines.pop_front();
        }
        self.lines.front().map_or(self.line, |(_, line)| *line)
    }
}

impl Read for Numbered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        for byte in &buffer[..read] {
            self.at = match (byte, self.at) {
                (b'\n', At::Return) => At::Begin,
                (b'\n', _) => {
                    self.line += 1;
                    At::Begin
                }
                (b'\r', _) => {
                    self.line += 1;
                    At::Return
                }
                (_, At::Inside) => At::Inside,
                _ => {
                    self.lines.push_back((self.offset, self.line));
                    At::Inside
                }
            };
            self.offset += 1;
        }
        Ok(read)
    }
}

fn column(
    cell: &[u8],
    record: &RecordType,
    given: &mut [bool],
    faults: &mut Vec<String>,
) -> Column {
    let Ok(name) = std::str::from_utf8(cell) else {
        faults.push("a column's name is not UTF-8 text".to_owned());
        return Column::Ignored;
    };
    if REJECT_COLUMNS.contains(&name) {
        return Column::Ignored;
    }
    let Some(position) = record.index.get(name).copied() else {
        let fields = record.fields.iter().map(|field| field.name.as_str());
        let hint = match closest(name, fields) {
            Some(near) => format!("; did you mean {near:?}?"),
            None => String::new(),
        };
        let of = record.name.unqualified();
        faults.push(format!("column {name:?} is no field of {of}{hint}"));
        return Column::Ignored;
    };
    if given[position] {
        faults.push(format!("column {name:?} stands there twice"));
    }
    given[position] = true;
    Column::Field { position }
}

fn join(field: &str, below: &str) -> String {
    match below.is_empty() {
        true => field.to_owned(),
        false if below.starts_with('[') => format!("{field}{below}"),
        false => format!("{field}.{below}"),
    }
}

impl Lines {
    fn next(&mut self, schema: &Schema) -> Result<Next, String> {
        loop {
            self.line.clear();
            let mut bounded = self.reader.by_ref().take(LINE_LIMIT as u64 + 1);
            let read = bounded.read_until(b'\n', &mut self.line);
            if read.map_err(|error| error.to_string())? == 0 {
                return Ok(Next::End);
            }
            self.number += 1;
            while matches!(self.line.last(), Some(b'\n' | b'\r')) {
                self.line.pop();
            }
            if self.line.len() > LINE_LIMIT {
                return Err(format!(
                    "line {} is longer than {LINE_LIMIT} bytes; expected one JSON object a line",
                    self.number
                ));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(self.value(schema));
            }
        }
    }

    fn value(&self, schema: &Schema) -> Next {
        let line = self.number;
        let bad = |path: String, message: String| {
            Next::Bad(BadRow {
                line,
                path,
                message,
            })
        };
        let Ok(text) = std::str::from_utf8(&self.line) else {
            return bad(String::new(), "expected UTF-8 text".to_owned());
        };
        match FromJson::default().text(schema, schema.root, text) {
            Ok(value) => Next::Row { line, value },
            // The parser counts lines inside the text it is given, which is one line.
            Err(error) => bad(
                error.path,
                error.message.replace(" line 1 column ", " column "),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
