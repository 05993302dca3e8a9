//! The table of functions for people: signatures, and the page `docs/functions.md`.

use super::{Constants, Form, Function, Ty, all, format};
use crate::expr::scope::Secrets;

const INTRODUCTION: &str = "# Functions

This page is generated from the table of functions that expressions are checked against. `driftgate functions` prints it,
`driftgate functions NAME` one of them.

A function's result depends on its arguments alone. Where arguments can be known before any record is read (a format, a
scale, the name of a zone), they are checked then, by `driftgate check`. A failure on a record is that record's error, with
the step and the field, never with the value.

None takes a null: test for it first (`note != null ? upper(note) : ''`).

Each example is run as a test. Those of the group `record` are run on a record of the topic `orders`, partition 3, offset 42,
with the key `k-1`, the time 2026-01-01T00:00:00Z, and the headers `source: web` and `binary` (bytes that are no text); where
a secret is named, `example` is the text `key`.
";

/// The groups in their order, each with its title.
pub const GROUPS: [(&str, &str); 9] = [
    ("text", "Text"),
    ("numbers", "Numbers and money"),
    ("dates", "Dates and times"),
    ("phones", "Phone numbers"),
    ("codes", "Codes and identifiers"),
    ("privacy", "Privacy"),
    ("collections", "Collections"),
    ("conversions", "Conversions"),
    ("record", "The record around the event"),
];

impl Ty {
    /// How the type is called in signatures.
    pub const fn word(self) -> &'static str {
        match self {
            Ty::Bool => "boolean",
            Ty::Int => "int",
            Ty::Double => "double",
            Ty::Decimal => "decimal",
            Ty::Text => "string",
            Ty::Bytes => "bytes",
            Ty::Date => "date",
            Ty::Timestamp | Ty::TimestampMillis => "timestamp",
            Ty::Duration => "duration",
            Ty::Time => "time",
            Ty::Texts => "list of strings",
            Ty::Enum => "enum",
            Ty::List => "list",
            Ty::Map => "map",
            Ty::NullableText => "string or null",
            Ty::NullableTimestamp => "timestamp or null",
        }
    }
}

impl Function {
    /// The forms that can be called. The others are there so that a call of them is told what to write instead.
    pub fn callable(&self) -> impl Iterator<Item = &'static Form> {
        let nothing = Secrets::default();
        self.forms.iter().filter(move |form| {
            let args = vec![None; form.params.len()];
            let made = (form.make)(&Constants {
                args: &args,
                secrets: &nothing,
            });
            !matches!(made, Err((place, _)) if place >= form.params.len())
        })
    }

    /// How each form is called: `round(number: decimal, scale: int) -> decimal`.
    pub fn signatures(&self) -> Vec<String> {
        self.callable()
            .map(|form| signature(self.name, form))
            .collect()
    }
}

fn signature(name: &str, form: &Form) -> String {
    let shown = |(name, ty): &(&str, Ty)| format!("{name}: {}", ty.word());
    let (receiver, params) = match (form.method, form.params) {
        (true, [receiver, params @ ..]) => (format!("({}).", shown(receiver)), params),
        (_, params) => (String::new(), params),
    };
    let params: Vec<String> = params.iter().map(shown).collect();
    format!(
        "{receiver}{name}({}) -> {}",
        params.join(", "),
        form.result.word()
    )
}

/// The title of a group; its name, if it has none.
pub fn title(group: &'static str) -> &'static str {
    let known = GROUPS.iter().find(|(name, _)| *name == group);
    known.map_or(group, |(_, title)| title)
}

/// Every function, group by group.
pub fn by_group() -> impl Iterator<Item = (&'static str, Vec<&'static Function>)> {
    let of = |group: &str| all().filter(|function| function.group == group).collect();
    GROUPS
        .iter()
        .map(move |(group, title)| -> (&str, Vec<&Function>) { (title, of(group)) })
        .filter(|(_, functions)| !functions.is_empty())
}

/// What the documentation of a function means by *Formats of dates*.
pub fn formats() -> String {
    format!(
        "Texts are read by: {}.\n\nYears of two digits (`%y`), abbreviations of zones (`%Z`) and directives that leave a guess \
         are refused at `check`, and so is a format that lacks the year, the month or the day.\n\nDates and times are written \
         by the same, and by `%y` year in two digits, `%e` day with a blank in front, `%q` quarter, `%G`, `%V`, `%u` year, \
         week and day of ISO 8601, `%s` seconds since 1970, `%Q` name of the zone, `%Z` its abbreviation. `%-d` drops \
         leading zeros.",
        format::READ
    )
}

/// The page of Markdown.
pub fn reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    for (title, functions) in by_group() {
        out.push_str(&format!("\n## {title}\n"));
        for function in functions {
            one(&mut out, function);
        }
        if title == "Dates and times" {
            out.push_str(&format!("\n### Formats of dates\n\n{}\n", formats()));
        }
    }
    out
}

fn one(out: &mut String, function: &Function) {
    out.push_str(&format!("\n### `{}`\n\n```\n", function.name));
    for signature in function.signatures() {
        out.push_str(&signature);
        out.push('\n');
    }
    out.push_str(&format!("```\n\n{}\n\n", function.doc));
    match function.errors {
        "" => out.push_str("*Never fails.*\n\n"),
        errors => out.push_str(&format!("*Fails on:* {errors}\n\n")),
    }
    out.push_str("| example | result |\n|---|---|\n");
    for example in function.examples {
        // A bar would end the cell.
        let cell = |text: &str| text.replace('|', "\\|");
        let result = match example.result.strip_prefix("error: ") {
            Some(error) => format!("an error: {}", cell(error)),
            None => format!("`{}`", cell(example.result)),
        };
        out.push_str(&format!("| `{}` | {result} |\n", cell(example.expr)));
    }
}
