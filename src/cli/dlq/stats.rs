//! `driftgate dlq stats`: dead letters, counted.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::list::tell_missing;
use super::select::Which;
use super::{bar, here};
use crate::cli::times::now;
use crate::cli::{Output, print};
use crate::config::model::Config;
use crate::dlq::Failure;
use crate::dlq::dialect;
use crate::dlq::read::{Next, Reader};
use crate::dlq::tally::Tally;
use crate::explain::moment;
use crate::words::counted;

/// Lines of one kind in the table; the JSON has all.
const LINES: usize = 20;
/// Characters of the longest bar.
const BAR: u64 = 30;

/// What most dead letters are like; a kind of which nothing else is to be said is left out.
const USUAL: [(&str, &str); 3] = [("path", "-"), ("dialect", "driftgate"), ("redriven", "0")];

/// Arguments of `dlq stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate dlq stats
  driftgate dlq stats --pipeline clean-orders --since 2026-11-21
  driftgate dlq stats --topic connect-errors --output json

Exit codes: 0 counted, 2 arguments, topic or configuration are wrong, 3 the broker failed.")]
pub struct StatsArgs {
    #[command(flatten)]
    pub(super) which: Which,
    /// Form of the counts
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) fn stats(args: &StatsArgs, config: &Config) -> Result<ExitCode, Failure> {
    let now = now();
    let filter = args.which.filter(now)?;
    let pipelines = args.which.pipelines(config)?;
    let topics = args.which.topics(&pipelines);
    let mut reader = Reader::open(&config.kafka, &topics, &filter, None, false)
        .map_err(|failure| args.which.missing(&pipelines, failure))?;
    tell_missing(reader.missing());
    let bar = bar(reader.total());
    let mut tally = Tally::default();
    let mut read = 0_u64;
    let (mut first, mut last) = (None, None);
    loop {
        let owned = match reader.next(Duration::from_millis(100))? {
            Next::End => break,
            Next::Nothing => continue,
            Next::Record(owned) => owned,
        };
        read += 1;
        if read.is_multiple_of(1_000) {
            bar.set_position(reader.passed());
        }
        let record = owned.record();
        let letter = dialect::read(&record);
        if filter.takes(&record, &letter) {
            let time = letter.moment(&record);
            first = first.into_iter().chain(time).min();
            last = last.into_iter().chain(time).max();
            tally.add(&letter, time, now);
        }
    }
    bar.finish_and_clear();
    let text = match args.output {
        Output::Json => {
            let mut json = json!({
                "topics": topics,
                "read": read,
                "matched": tally.total(),
                "first": first.map(moment),
                "last": last.map(moment),
            });
            if let Some(object) = json.as_object_mut() {
                object.extend(counts(&tally));
            }
            serde_json::to_string_pretty(&json).map_err(here)? + "\n"
        }
        Output::Table => {
            let mut text = format!(
                "{} in {}\n",
                counted(tally.total(), "dead letter"),
                topics.join(", ")
            );
            if let (Some(first), Some(last)) = (first, last) {
                text.push_str(&format!("from {} to {}\n", moment(first), moment(last)));
            }
            text + &histogram(&tally)
        }
    };
    print(&text).map_err(here)?;
    Ok(ExitCode::SUCCESS)
}

/// The counts as `by_reason`, `by_path` and so on.
pub(super) fn counts(tally: &Tally) -> Map<String, Json> {
    let kinds = tally.counts().into_iter();
    kinds
        .map(|(name, counts)| (format!("by_{name}"), json!(counts)))
        .collect()
}

/// The counts with bars. Kinds that tell nothing apart are left out.
pub(super) fn histogram(tally: &Tally) -> String {
    let mut text = String::new();
    if tally.total() == 0 {
        return text;
    }
    for (name, counts) in tally.counts() {
        let [first, rest @ ..] = counts.as_slice() else {
            continue;
        };
        if rest.is_empty() && USUAL.contains(&(name, first.value.as_str())) {
            continue;
        }
        let shown = &counts[..counts.len().min(LINES)];
        let width = shown.iter().map(|count| count.value.chars().count()).max();
        let width = width.unwrap_or(0);
        let digits = tally.total().to_string().len();
        writeln!(text, "\nby {}", name.replace('_', " ")).expect("a String takes all text");
        for count in shown {
            let bar = (count.count * BAR).div_ceil(tally.total());
            let bar = "▇".repeat(usize::try_from(bar).unwrap_or(0));
            writeln!(
                text,
                "  {:<width$}  {:>digits$}  {bar}",
                count.value, count.count
            )
            .expect("a String takes all text");
        }
        if counts.len() > LINES {
            writeln!(text, "  … {} more", counts.len() - LINES).expect("a String takes all text");
        }
    }
    text
}
