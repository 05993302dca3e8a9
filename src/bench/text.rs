//! Tables as text and as markdown. Pure.

use std::fmt::Write as _;

use crate::words::grouped;

/// One line.
pub(super) fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a String takes all text");
}

/// Rows with their columns one below the other: the first to the left, the others to the right.
pub(super) fn columns(out: &mut String, rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for row in &rows {
        let mut text = String::new();
        for (column, cell) in row.iter().enumerate() {
            let room = width(column) - cell.chars().count();
            match column {
                0 => text.push_str(&format!("{cell}{}", " ".repeat(room))),
                _ => text.push_str(&format!("  {}{cell}", " ".repeat(room))),
            }
        }
        line(out, text.trim_end());
    }
}

/// The same as markdown.
pub(super) fn markdown<R: AsRef<[String]>>(out: &mut String, head: &[&str], rows: &[R]) {
    line(out, &format!("| {} |", head.join(" | ")));
    line(out, &format!("|---|{}", "---:|".repeat(head.len() - 1)));
    for row in rows {
        line(out, &format!("| {} |", row.as_ref().join(" | ")));
    }
}

/// As a whole number, with a comma between each three digits.
pub(super) fn thousands(value: f64) -> String {
    grouped(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let mut out = String::new();
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["bcd".into(), "23".into()],
        ];
        columns(&mut out, rows.iter().cloned());
        assert_eq!(out, "a     1\nbcd  23\n");
        let mut out = String::new();
        markdown(&mut out, &["x", "y"], &rows);
        assert_eq!(out, "| x | y |\n|---|---:|\n| a | 1 |\n| bcd | 23 |\n");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
    }
}
