//! The table of keys as a page of Markdown: `docs/configuration.md` is this text.

use std::fmt::Write as _;

use super::keys::{Key, Kind, Word, baseline, main, rules};
use super::properties;
use super::units::{format_duration, format_size};

const INTRODUCTION: &str = "# Configuration

This page is generated from the table of keys that the program itself checks against.

One YAML file. Unknown keys are faults, and every fault is listed at once, with line, column and a hint. Durations are
written as `500ms`, `5s`, `1m`, `2h`, `7d` or `1h30m`, sizes as `512KiB`, `4MiB` or `10MB`, ratios as `5%`. Paths are
resolved against the file's folder.

In every value, `${NAME}` is an environment variable, `${NAME:-default}` the same with a default for when it is unset or
empty, `${file:/run/secrets/x}` a file's content without its last line end, and `$$` a dollar sign. Values are filled in
after the YAML has been read, so they cannot change its structure. A value that comes out empty counts as absent
(`token: ${TOKEN:-}`); inside `{ }` and `[ ]` an interpolation needs quotes. A missing variable or file is a fault at its place.

`driftgate check --print-schema` prints the same as a JSON Schema for editors.
";

/// The reference page.
pub fn reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    out.push_str("\n## `driftgate.yaml`\n");
    keys(&mut out, main::ROOT, "", 3);
    out.push_str("\n## Refused Kafka properties\n\n");
    out.push_str("Of librdkafka's properties these are refused under `kafka.properties`, since a guarantee rests on each:\n\n");
    out.push_str("| property | reason |\n|---|---|\n");
    for (name, promise) in properties::refused() {
        out.push_str(&format!("| `{name}` | {promise} |\n"));
    }
    out.push_str("| `max.in.flight` | above 5, the idempotent producer could reorder |\n");
    out.push_str("\n## Rules files (`<subject>.rules.yaml`)\n\n");
    out.push_str("Beside the schema that they belong to, and reviewed with it.\n");
    keys(&mut out, rules::ROOT, "", 3);
    out.push_str("\n## Baseline files (`<subject>.baseline.yaml`)\n\n");
    out.push_str("Beside the schema too; `driftgate drift baseline` writes them, and nothing is filled in. See [drift.md](drift.md).\n");
    keys(&mut out, baseline::ROOT, "", 3);
    out
}

fn keys(out: &mut String, table: &'static [Key], prefix: &str, level: usize) {
    for key in table {
        let path = format!("{prefix}{}", key.name);
        // Writing to a String does not fail.
        let _infallible = one(out, key, &path, level);
        let below = match key.kind {
            Kind::Named { what, .. } => format!("{path}.<{what}>."),
            Kind::List { .. } => format!("{path}[]."),
            _ => format!("{path}."),
        };
        keys(out, key.kind.keys(), &below, (level + 1).min(5));
    }
}

fn one(out: &mut String, key: &Key, path: &str, level: usize) -> std::fmt::Result {
    writeln!(out, "\n{} `{path}`\n", "#".repeat(level))?;
    writeln!(out, "{}\n", key.doc)?;
    let mut facts = vec![kind(&key.kind)];
    if key.beside {
        facts.push("stands beside a step".to_owned());
    }
    if key.required {
        facts.push("required".to_owned());
    }
    if let Some(default) = key.default {
        facts.push(format!("default `{default}`"));
    }
    if let Some(note) = key.default_note {
        facts.push(format!("default: {note}"));
    }
    if let Some(property) = key.kafka {
        facts.push(format!("Kafka: `{property}`"));
    }
    writeln!(out, "*{}*", facts.join(" · "))?;
    match key.kind {
        Kind::Choice(words) => choices(out, words),
        Kind::List {
            item: Kind::Choice(words),
            ..
        } => choices(out, words),
        _ => Ok(()),
    }
}

fn choices(out: &mut String, words: &[Word]) -> std::fmt::Result {
    writeln!(out)?;
    for word in words {
        writeln!(out, "- `{}`: {}", word.word, word.doc)?;
    }
    Ok(())
}

fn kind(kind_of: &Kind) -> String {
    match kind_of {
        Kind::Int { min, max } => format!("whole number from {min} to {max}"),
        Kind::Duration { min, max } => {
            format!(
                "duration from {} to {}",
                format_duration(*min),
                format_duration(*max)
            )
        }
        Kind::Size { min } => format!("size, at least {}", format_size(*min)),
        Kind::Choice(_) => "one word of".to_owned(),
        Kind::MapOr {
            short: Kind::Choice(words),
            ..
        } => {
            let words: Vec<_> = words
                .iter()
                .map(|word| format!("`{}`", word.word))
                .collect();
            format!("{}, or a mapping", words.join(", "))
        }
        Kind::MapOr { short, .. } => format!("{}, or a mapping", kind(short)),
        Kind::Secret => "secret text".to_owned(),
        Kind::SecretUrl => "HTTP URL, a secret".to_owned(),
        Kind::File => "path of an existing file".to_owned(),
        Kind::Properties => "mapping of property to value".to_owned(),
        Kind::OneOf(_) => "mapping with exactly one of the keys below".to_owned(),
        Kind::Named { what, value, .. } => format!("mapping of {what} to {}", kind(value)),
        Kind::List { item, max } => format!("list of at most {max}, each {}", kind(item)),
        other => other.expected().to_owned(),
    }
}
