//! Changes as lines for a person.

use std::io::{self, Write};

use crate::contract::compat::{Break, By, Change, Level};

/// Writes one comparison, indented by two levels. With a level, what it does not ask for is told and does not count.
pub(super) fn changes(
    changes: &[Change],
    level: Option<Level>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let counts = |found: &Break| level.is_none_or(|level| level.asks(found.direction));
    let shown = |change: &Change| match change.path.as_str() {
        "" => "(top)".to_owned(),
        path => path.to_owned(),
    };
    let width = changes
        .iter()
        .map(|c| shown(c).chars().count())
        .max()
        .unwrap_or(0);
    for change in changes {
        let mark = match change.breaks.iter().any(counts) {
            true => "BREAKS",
            false => "fine",
        };
        writeln!(
            out,
            "    {mark:6}  {:width$}  {}",
            shown(change),
            change.describe()
        )?;
        for found in &change.breaks {
            let direction = found.direction.word();
            let by = match found.by {
                By::Specification => "",
                By::Meaning => " (by meaning: the specification lets it pass)",
            };
            let aside = match level {
                Some(level) if !counts(found) => format!(", which {level} does not ask for"),
                _ => String::new(),
            };
            writeln!(out, "            {direction}{aside}: {}{by}", found.why)?;
        }
        if let Some(effect) = &change.effect {
            writeln!(out, "            {effect}")?;
        }
    }
    Ok(())
}
