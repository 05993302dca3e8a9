//! A baseline as a file.

use std::fmt::Write as _;

use super::{Baseline, Field, Numbers, Share, Shares};
use crate::config::model::DriftAction;
use crate::config::units::format_ratio;

const HEAD: &str = "\
# What the records of this contract look like: the reviewed baseline that `driftgate drift diff` compares with.
# Written by `driftgate drift baseline`. What each key means, and how it is compared, is in docs/drift.md.
# Shares are of the records that have the field. `most` and `spread` are those of the most unusual window: raise them for
# what is fine although it was not seen, lower them after an incident that should not pass for normal.
";

impl Baseline {
    /// The text of the file.
    pub fn text(&self) -> String {
        let mut out = HEAD.to_owned();
        // Writing to a String does not fail.
        let _infallible = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "subject: {}", quoted(&self.subject))?;
        writeln!(out, "records: {}", self.records)?;
        writeln!(out, "windows: {}", self.windows)?;
        if self.then != DriftAction::default() {
            writeln!(out, "then: {}", self.then.as_str())?;
        }
        for (name, time) in [("from", &self.from), ("until", &self.until)] {
            if let Some(time) = time {
                writeln!(out, "{name}: {}", quoted(time))?;
            }
        }
        if let Some((least, most)) = self.per_minute {
            writeln!(out, "per_minute: {{ least: {least}, most: {most} }}")?;
        }
        writeln!(out, "fields:")?;
        for field in &self.fields {
            field.write(self.then, out)?;
        }
        Ok(())
    }
}

impl Field {
    fn write(&self, then: DriftAction, out: &mut String) -> std::fmt::Result {
        writeln!(out, "  {}:", quoted(&self.path))?;
        if self.then != then {
            writeln!(out, "    then: {}", self.then.as_str())?;
        }
        for (name, share) in [("nulls", self.nulls), ("defaults", self.defaults)] {
            if share != Share::default() {
                let (all, most) = (format_ratio(share.all), format_ratio(share.most));
                writeln!(out, "    {name}: {{ all: {all}, most: {most} }}")?;
            }
        }
        if let Some(distinct) = self.distinct {
            let least = format_ratio(distinct.least);
            writeln!(
                out,
                "    distinct: {{ all: {}, least: {least} }}",
                distinct.all
            )?;
        }
        let shares = [
            ("values", &self.values),
            ("formats", &self.formats),
            ("day_month", &self.day_month),
        ];
        for (name, shares) in shares {
            if let Some(shares) = shares {
                write_shares(name, shares, out)?;
            }
        }
        match &self.numbers {
            Some(numbers) => write_numbers(numbers, out),
            None => Ok(()),
        }
    }
}

fn write_shares(name: &str, shares: &Shares, out: &mut String) -> std::fmt::Result {
    writeln!(out, "    {name}:")?;
    writeln!(out, "      spread: {}", shares.spread)?;
    writeln!(out, "      of:")?;
    for (name, share) in &shares.of {
        writeln!(out, "        {}: {}", quoted(name), format_ratio(*share))?;
    }
    Ok(())
}

fn write_numbers(numbers: &Numbers, out: &mut String) -> std::fmt::Result {
    writeln!(out, "    {}:", numbers.of.key())?;
    if let Some(mean) = numbers.mean {
        writeln!(out, "      mean: {mean}")?;
    }
    writeln!(out, "      spread: {}", format_ratio(numbers.spread))?;
    let deciles: Vec<String> = numbers.deciles.iter().map(f64::to_string).collect();
    writeln!(out, "      deciles: [{}]", deciles.join(", "))
}

/// A text that YAML takes for itself and nothing else: plain where that is certain, and in quotes otherwise.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain);
    let known = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if word && !known.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
