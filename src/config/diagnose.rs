//! Faults as a person reads them: place, line, underlining, hint, and a count. Plain text of our own rather than a
//! reporting crate's: secrets are out of the lines already, and each fault is as short as a compiler's.

use std::fmt::Write as _;

use super::fault::Fault;

struct Style {
    bold: &'static str,
    red: &'static str,
    blue: &'static str,
    off: &'static str,
}

const COLOR: Style = Style {
    bold: "\u{1b}[1m",
    red: "\u{1b}[1;31m",
    blue: "\u{1b}[34m",
    off: "\u{1b}[0m",
};

const PLAIN: Style = Style {
    bold: "",
    red: "",
    blue: "",
    off: "",
};

/// Every fault, then how many there are. Nothing for none.
pub fn render(faults: &[Fault], color: bool) -> String {
    render_as("fault", faults, color)
}

/// The same for warnings.
pub fn render_warnings(warnings: &[Fault], color: bool) -> String {
    render_as("warning", warnings, color)
}

fn render_as(what: &str, faults: &[Fault], color: bool) -> String {
    if faults.is_empty() {
        return String::new();
    }
    let style = if color { &COLOR } else { &PLAIN };
    let mut out = String::new();
    for fault in faults {
        // Writing to a String does not fail.
        let _infallible = one(&mut out, fault, what, style);
        out.push('\n');
    }
    let plural = if faults.len() == 1 { "" } else { "s" };
    out.push_str(&format!("{} {what}{plural}\n", faults.len()));
    out
}

fn one(out: &mut String, fault: &Fault, what: &str, style: &Style) -> std::fmt::Result {
    let Style {
        bold,
        red,
        blue,
        off,
    } = style;
    let tint = if what == "fault" { red } else { bold };
    match fault.place.line {
        0 => write!(out, "{bold}{}{off}: ", fault.place.file)?,
        _ => write!(out, "{bold}{}{off}: ", fault.place)?,
    }
    if what != "fault" {
        write!(out, "{tint}{what}:{off} ")?;
    }
    writeln!(out, "{tint}{}{off}", fault.message)?;
    let gutter = fault.place.line.to_string().len().max(2);
    match &fault.snippet {
        Some(snippet) => {
            // Leading blanks say nothing on one line alone.
            let indent = snippet
                .line
                .chars()
                .take_while(|c| *c == ' ')
                .count()
                .min(snippet.start);
            let line: String = snippet.line.chars().skip(indent).collect();
            let carets = "^".repeat(snippet.width);
            let blanks = " ".repeat(snippet.start - indent);
            writeln!(out, "{blue}{:>gutter$} |{off} {line}", fault.place.line)?;
            writeln!(
                out,
                "{blue}{:>gutter$} |{off} {blanks}{red}{carets}{off}",
                ""
            )?;
        }
        None if !fault.text.is_empty() => {
            writeln!(out, "{blue}{:>gutter$} |{off} {}", "", fault.text)?
        }
        None => {}
    }
    if let Some(hint) = &fault.hint {
        writeln!(out, "{blue}{:>gutter$} ={off} {hint}", "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Place;
    use crate::config::source::Source;

    #[test]
    fn one_fault() {
        let place = Place {
            file: "d.yaml".to_owned(),
            line: 2,
            column: 3,
        };
        let mut fault = Fault::new(&place, "usl", "unknown key `usl`").hint("did you mean `url`?");
        Source::new("d.yaml", "registry:\n  usl: x\n", vec![], false).locate(&mut fault);
        let text = render(std::slice::from_ref(&fault), false);
        assert_eq!(
            text,
            "d.yaml:2:3: unknown key `usl`\n 2 | usl: x\n   | ^^^\n   = did you mean `url`?\n\n1 fault\n"
        );
        assert!(render(&[fault], true).contains("\u{1b}[1;31m^^^\u{1b}[0m"));
        assert_eq!(render(&[], true), "");
    }
}
