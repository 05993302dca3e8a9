//! A [`Report`] as text: what the record is, one line a value, what becomes of it.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::{Line, MASK, Report, Shown, Taken};

/// Bytes in a line; the JSON has more.
const BYTES: usize = 12;
/// Characters of a value in a line.
const VALUE: usize = 60;

/// The report for a person.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    head(report, &mut out).expect("a String takes all text");
    table(report, &mut out).expect("a String takes all text");
    foot(report, &mut out).expect("a String takes all text");
    out
}

fn head(report: &Report, out: &mut String) -> std::fmt::Result {
    let place = &report.record;
    match (&place.topic, place.partition, place.offset) {
        (Some(topic), Some(partition), Some(offset)) => {
            write!(out, "record    {topic}-{partition}@{offset}")?;
        }
        _ => write!(out, "record    from a file")?,
    }
    if let Some(timestamp) = &place.timestamp {
        write!(out, "  {timestamp}")?;
    }
    if let Some(role) = &place.role {
        write!(out, "  ({role})")?;
    }
    writeln!(out)?;
    if let Some(origin) = &report.origin {
        write!(out, "origin    {}", origin.position)?;
        if let Some(timestamp) = &origin.timestamp {
            write!(out, "  {timestamp}")?;
        }
        // Another tool may not say.
        if origin.attempt > 0 {
            write!(out, "  attempt {}", origin.attempt)?;
        }
        if origin.redriven > 0 {
            let times = if origin.redriven == 1 {
                "time"
            } else {
                "times"
            };
            write!(out, "  sent back {} {times}", origin.redriven)?;
        }
        if let Some(dialect) = &origin.dialect {
            write!(out, "  (headers of {dialect})")?;
        }
        writeln!(out)?;
        if let Some(reason) = &origin.reason {
            write!(out, "failed    {reason}")?;
            if let Some(pipeline) = &origin.pipeline {
                write!(out, " in {pipeline}")?;
            }
            if let Some(error) = &origin.error {
                write!(out, ": {error}")?;
            }
            writeln!(out)?;
        }
        match (&origin.path, &origin.expected) {
            (Some(path), Some(expected)) => {
                writeln!(out, "          the contract expects {expected} at {path}")?;
            }
            (Some(path), None) => writeln!(out, "          at {path}")?,
            (None, _) => {}
        }
        if let Some(owner) = &origin.owner {
            writeln!(out, "owner     {owner}")?;
        }
        if let Some(first) = &origin.first_failed_at {
            writeln!(out, "          first at {first}")?;
        }
        if let Some(last) = &origin.failed_at {
            writeln!(out, "          last at {last}")?;
        }
        if let Some(due) = &origin.due_at {
            writeln!(out, "          due at {due}")?;
        }
    }
    writeln!(out, "key       {}", told(&report.key))?;
    for (name, value) in &report.headers {
        writeln!(out, "header    {name}: {}", told(value))?;
    }
    if let Some(writer) = &report.writer {
        write!(
            out,
            "writer    schema {} ({})",
            writer.schema_id, writer.framing
        )?;
        if !writer.schema.is_empty() {
            write!(out, ", {}", writer.schema)?;
        }
        if let Some(subjects) = &writer.subjects {
            write!(out, ", registered under {}", subjects.join(", "))?;
        }
        writeln!(out)?;
    }
    if let Some(pipeline) = &report.pipeline {
        writeln!(out, "pipeline  {pipeline}")?;
    }
    if let Some(contract) = &report.contract {
        writeln!(out, "contract  {contract}")?;
    }
    match report.value_bytes {
        Some(bytes) => writeln!(out, "value     {bytes} bytes"),
        None => writeln!(out, "value     null: a tombstone"),
    }
}

fn told(shown: &Shown) -> String {
    match shown {
        Shown::Null => "null".to_owned(),
        Shown::Text(text) if text == MASK => MASK.to_owned(),
        Shown::Text(text) => format!("{text:?}"),
        Shown::Bytes { hex, length } => format!("{hex}  ({length} bytes)"),
    }
}

fn table(report: &Report, out: &mut String) -> std::fmt::Result {
    if report.lines.is_empty() {
        return Ok(());
    }
    let header = [
        "OFFSET",
        "BYTES",
        "PATH",
        "TYPE",
        "VALUE",
        "CONTRACT",
        "TOUCHED BY",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(report.lines.iter().map(row));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    writeln!(out)?;
    for row in &rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Numbers to the right, and nothing behind the last cell.
            match index {
                0 => write!(line, "{cell:>width$}  ")?,
                _ => write!(line, "{cell:<width$}  ")?,
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    if report.lines_left_out > 0 {
        writeln!(
            out,
            "… {} lines more; --lines shows more of them",
            report.lines_left_out
        )?;
    }
    Ok(())
}

fn row(line: &Line) -> [String; 7] {
    let bytes = match &line.bytes {
        Some(hex) => match line.length > BYTES {
            true => format!("{} …", &hex[..3 * BYTES - 1]),
            false => hex.clone(),
        },
        None if line.masked && line.length > 0 => MASK.to_owned(),
        None => String::new(),
    };
    let value = match &line.value {
        Json::String(text) if line.kind.is_empty() || is_structure(line) => text.clone(),
        Json::String(text) if text == MASK => MASK.to_owned(),
        other => other.to_string(),
    };
    let taken = match (line.taken, line.note.as_str()) {
        (None, _) => String::new(),
        (Some(taken), "") => word(taken).to_owned(),
        (Some(Taken::Default | Taken::Missing), note) => note.to_owned(),
        (Some(taken), note) => format!("{}: {note}", word(taken)),
    };
    [
        line.offset
            .map(|offset| offset.to_string())
            .unwrap_or_default(),
        bytes,
        line.path.clone(),
        shorter(&line.kind, 40),
        shorter(&value, VALUE),
        taken,
        line.touched_by.join(", "),
    ]
}

/// Whether the value says what the bytes are for.
fn is_structure(line: &Line) -> bool {
    let parts = ["array", "map", "union"];
    line.offset.is_some() && parts.iter().any(|part| line.kind.starts_with(part))
}

const fn word(taken: Taken) -> &'static str {
    match taken {
        Taken::Same => "same",
        Taken::Promoted => "promoted",
        Taken::Renamed => "renamed",
        Taken::Unknown => "dropped",
        Taken::Default => "default",
        Taken::Missing => "missing",
        Taken::Unreadable => "cannot be read",
    }
}

fn shorter(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn foot(report: &Report, out: &mut String) -> std::fmt::Result {
    if let Some(stop) = &report.stop {
        let path = match stop.path.as_str() {
            "" => String::new(),
            path => format!("{path}: "),
        };
        writeln!(
            out,
            "\n>>> stops at byte {}: {path}{}",
            stop.offset, stop.message
        )?;
        match &stop.bytes {
            Some(hex) if hex.is_empty() => writeln!(out, "    no bytes are left")?,
            Some(hex) => writeln!(out, "    {hex}")?,
            None => writeln!(out, "    {MASK}")?,
        }
    }
    writeln!(out)?;
    for remark in &report.remarks {
        writeln!(out, "note      {remark}")?;
    }
    let outcome = &report.outcome;
    writeln!(out, "outcome   {}: {}", outcome.outcome, outcome.text)?;
    if let Some(value) = &outcome.value {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        writeln!(out, "{text}")?;
    }
    Ok(())
}
