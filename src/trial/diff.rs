//! What differs between two JSON values, path by path.

use serde::Serialize;
use serde_json::Value as Json;
use similar::{ChangeTag, TextDiff};

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// `output.items[2].price`.
    pub path: String,
    /// What was expected there.
    pub expected: Value,
    /// What was found.
    pub found: Value,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Line of the case file.
    pub line: usize,
}

/// A side of a difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// There is none.
    Nothing,
    /// In words.
    Words(String),
    /// This one.
    Json(Json),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Value::Nothing => "nothing".to_owned(),
            Value::Words(words) => words.clone(),
            Value::Json(json) => json.to_string(),
        }
    }
}

impl Difference {
    /// For a person; long texts line by line.
    pub fn lines(&self) -> Vec<String> {
        let at = format!("line {}: {}", self.line, self.path);
        /// Beyond it, two values do not stand side by side on a line.
        const LONG: usize = 60;
        let (expected, found) = (self.expected.text(), self.found.text());
        let mut lines = Vec::new();
        let long = expected.len() > LONG || found.len() > LONG;
        match (&self.expected, &self.found) {
            (Value::Json(Json::String(expected)), Value::Json(Json::String(found)))
                if expected.contains('\n') || found.contains('\n') =>
            {
                lines.push(format!("{at}:"));
                for change in TextDiff::from_lines(expected, found).iter_all_changes() {
                    let sign = match change.tag() {
                        ChangeTag::Delete => '-',
                        ChangeTag::Insert => '+',
                        ChangeTag::Equal => ' ',
                    };
                    lines.push(format!(
                        "  {sign} {}",
                        change.value().trim_end_matches(['\r', '\n'])
                    ));
                }
            }
            _ if long => {
                lines.push(format!("{at}:"));
                lines.push(format!("  - {expected}"));
                lines.push(format!("  + {found}"));
            }
            _ => lines.push(format!("{at}: expected {expected}, found {found}")),
        }
        lines.extend(self.note.iter().map(|note| format!("  {note}")));
        lines
    }
}

/// Adds what differs below `path`. `line` tells the line of a path below it.
pub(super) fn diff(
    path: &str,
    expected: &Json,
    found: &Json,
    line: &dyn Fn(&str) -> usize,
    out: &mut Vec<Difference>,
) {
    let mut add = |path: String, expected: Value, found: Value| {
        let line = line(&path);
        out.push(Difference {
            path,
            expected,
            found,
            note: None,
            line,
        });
    };
    match (expected, found) {
        _ if expected == found => {}
        (Json::Object(expected), Json::Object(found)) => {
            for (name, value) in expected {
                let path = join(path, name);
                match found.get(name) {
                    Some(other) => diff(&path, value, other, line, out),
                    None => {
                        let at = line(&path);
                        let (expected, found) = (Value::Json(value.clone()), Value::Nothing);
                        out.push(Difference {
                            path,
                            expected,
                            found,
                            note: None,
                            line: at,
                        });
                    }
                }
            }
            for (name, value) in found
                .iter()
                .filter(|(name, _)| !expected.contains_key(*name))
            {
                let path = join(path, name);
                let at = line(&path);
                let (expected, found) = (Value::Nothing, Value::Json(value.clone()));
                out.push(Difference {
                    path,
                    expected,
                    found,
                    note: None,
                    line: at,
                });
            }
        }
        (Json::Array(expected), Json::Array(found)) => {
            for index in 0..expected.len().max(found.len()) {
                let path = format!("{path}[{index}]");
                match (expected.get(index), found.get(index)) {
                    (Some(expected), Some(found)) => diff(&path, expected, found, line, out),
                    (expected, found) => {
                        let side =
                            |side: Option<&Json>| side.cloned().map_or(Value::Nothing, Value::Json);
                        let at = line(&path);
                        let (expected, found) = (side(expected), side(found));
                        out.push(Difference {
                            path,
                            expected,
                            found,
                            note: None,
                            line: at,
                        });
                    }
                }
            }
        }
        _ => add(
            path.to_owned(),
            Value::Json(expected.clone()),
            Value::Json(found.clone()),
        ),
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}
