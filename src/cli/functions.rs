//! `driftgate functions [NAME]`: what expressions can call.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Output, USAGE, complain, print};
use crate::expr::functions::reference::{by_group, formats, title};
use crate::expr::functions::{Function, all, named};

/// Arguments of `functions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  driftgate functions\n  driftgate functions parseDate\n  driftgate functions --output json | jq '.[].name'

Exit codes: 0 printed, 2 wrong usage, or no function of that name."
)]
pub struct FunctionsArgs {
    /// The function to print everything about; without it, a line for each.
    name: Option<String>,
    /// With json, a list of objects, or one object.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Prints the list, or one function. Exit code 2 if there is none of that name.
pub fn run(args: FunctionsArgs) -> anyhow::Result<ExitCode> {
    let Some(name) = &args.name else {
        match args.output {
            Output::Table => print(&table())?,
            Output::Json => print(&json_text(&all().map(object).collect())?)?,
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some(function) = named(name) else {
        let hint = match nearest(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`driftgate functions` lists them".to_owned(),
        };
        complain(&format!("driftgate: there is no function `{name}`; {hint}"));
        return Ok(ExitCode::from(USAGE));
    };
    match args.output {
        Output::Table => print(&page(function))?,
        Output::Json => print(&json_text(&object(function))?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn json_text(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn object(function: &'static Function) -> Value {
    let examples: Vec<Value> = function
        .examples
        .iter()
        .map(|example| match example.result.strip_prefix("error: ") {
            Some(error) => json!({ "expr": example.expr, "error": error }),
            None => json!({ "expr": example.expr, "result": example.result }),
        })
        .collect();
    json!({
        "name": function.name,
        "group": function.group,
        "signatures": function.signatures(),
        "doc": function.doc,
        "errors": function.errors,
        "examples": examples,
    })
}

/// A line for each signature, group by group.
fn table() -> String {
    let mut out = String::new();
    for (title, functions) in by_group() {
        out.push_str(&format!("{title}\n"));
        for function in functions {
            for signature in function.signatures() {
                out.push_str(&format!("  {signature}\n"));
            }
        }
        out.push('\n');
    }
    out.push_str(
        "`driftgate functions NAME` says what one does, when it fails, and gives examples.\n",
    );
    out
}

fn page(function: &'static Function) -> String {
    let mut out = format!("{} ({})\n\n", function.name, title(function.group));
    for signature in function.signatures() {
        out.push_str(&format!("  {signature}\n"));
    }
    out.push_str(&format!("\n{}\n", wrapped(function.doc)));
    match function.errors {
        "" => out.push_str("\nNever fails.\n"),
        errors => out.push_str(&format!("\nFails on: {}\n", wrapped(errors))),
    }
    if function.doc.contains("*Formats of dates*") {
        let formats: Vec<String> = formats().split("\n\n").map(wrapped).collect();
        out.push_str(&format!("\nFormats of dates: {}\n", formats.join("\n\n")));
    }
    out.push_str("\nExamples:\n");
    for example in function.examples {
        let result = match example.result.strip_prefix("error: ") {
            Some(error) => format!("an error: {error}"),
            None => example.result.to_owned(),
        };
        out.push_str(&format!("  {}\n      {result}\n", example.expr));
    }
    out
}

/// The text in lines of at most 100 characters, without Markdown's emphasis.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.replace("**", "").split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > 100 {
            out.push('\n');
            width = 0;
        } else if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out
}

/// The name that was likely meant: nearly spelt so, in any case, or a part of it.
fn nearest(name: &str) -> Option<&'static str> {
    let meant = name.to_lowercase();
    let distance = |function: &&'static Function| {
        strsim::damerau_levenshtein(&meant, &function.name.to_lowercase())
    };
    let near = all()
        .min_by_key(distance)
        .filter(|function| distance(function) <= meant.chars().count() / 3);
    let part =
        || all().find(|function| meant.len() >= 3 && function.name.to_lowercase().contains(&meant));
    near.or_else(part).map(|function| function.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_likely_meant() {
        for (name, expect) in [
            ("parsedate", Some("parseDate")),
            ("praseDate", Some("parseDate")),
            ("trims", Some("trim")),
            ("curency", Some("currency")),
            ("Epoch", Some("epoch")),
            ("ascii", Some("upperAscii")),
            ("frobnicate", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name), expect, "{name}");
        }
    }

    #[test]
    fn lines_are_wrapped() {
        let long = "word ".repeat(60);
        assert!(wrapped(&long).lines().all(|line| line.len() <= 100));
        assert_eq!(wrapped("**a** b"), "a b");
    }

    #[test]
    fn a_form_that_only_explains_is_not_listed() {
        let text = table();
        assert!(text.contains("parseDate(text: string, format: string) -> date"));
        assert!(!text.contains("parseDate(text: string) ->"));
        assert!(text.contains("(text: string).trim() -> string"));
    }
}
