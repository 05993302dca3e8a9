//! `driftgate dlq list`: a line for each dead letter.

use std::collections::BinaryHeap;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::select::{Which, may_be_tagged};
use super::{bar, here};
use crate::cli::times::now;
use crate::cli::{Output, complain, print, runtime};
use crate::config::model::Config;
use crate::dlq::Failure;
use crate::dlq::dialect::{self, Dialect, Letter};
use crate::dlq::read::{Next, Reader};
use crate::explain::{MASK, Shown, moment, shown};
use crate::quiet::UNSEEN;
use crate::words::counted;

/// Characters of a key in a line.
const KEY: usize = 24;
/// The most lines, whatever is asked for: they are held in memory.
const MOST: u64 = 1_000_000;

/// Arguments of `dlq list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate dlq list
  driftgate dlq list --pipeline clean-orders --reason rule_violation --since 2h
  driftgate dlq list --topic orders-dlt --key C-1 --output json

Keys are masked where fields of the pipeline are tagged as PII, unless --unmask is given.

Exit codes: 0 listed, 2 arguments, topic or configuration are wrong, 3 the broker failed.")]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) which: Which,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=MOST))]
    limit: u64,
    /// Show keys also where fields are tagged as PII
    #[arg(long)]
    unmask: bool,
    /// Form of the list
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// One dead letter, ordered by when it failed, the newest least: a heap gives up its greatest.
#[derive(Debug, Serialize)]
struct Row {
    /// `topic-partition@offset`: what `show` takes.
    at: String,
    /// RFC 3339.
    time: Option<String>,
    key: Shown,
    #[serde(flatten)]
    letter: Letter,
    /// In words, where it holds no payload: ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    order: (
        std::cmp::Reverse<i64>,
        std::cmp::Reverse<(String, i32, i64)>,
    ),
}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.order == other.order
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Row) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Row) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

pub(super) fn list(args: &ListArgs, config: &Config) -> Result<ExitCode, Failure> {
    let filter = args.which.filter(now())?;
    let pipelines = args.which.pipelines(config)?;
    let topics = args.which.topics(&pipelines);
    let runtime = runtime().map_err(here)?;
    let mask = !args.unmask && may_be_tagged(&pipelines, config, runtime.handle());
    runtime.shutdown_background();
    let mut reader = Reader::open(&config.kafka, &topics, &filter, None, false)
        .map_err(|failure| args.which.missing(&pipelines, failure))?;
    tell_missing(reader.missing());
    let bar = bar(reader.total());
    let mut rows = BinaryHeap::new();
    let (mut read, mut matched) = (0_u64, 0_u64);
    let mut masked = false;
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
        if !filter.takes(&record, &letter) {
            continue;
        }
        matched += 1;
        let time = letter.moment(&record);
        let key = match (mask, record.key) {
            (true, Some(_)) => {
                masked = true;
                Shown::Text(MASK.to_owned())
            }
            (_, key) => shown(key, &[]),
        };
        rows.push(Row {
            at: format!("{}-{}@{}", owned.topic, owned.partition, owned.offset),
            time: time.map(moment),
            key,
            error: letter
                .error
                .clone()
                .filter(|_| letter.dialect == Some(Dialect::Driftgate)),
            letter,
            order: (
                std::cmp::Reverse(time.unwrap_or(i64::MIN)),
                std::cmp::Reverse((owned.topic, owned.partition, owned.offset)),
            ),
        });
        if rows.len() as u64 > args.limit {
            rows.pop();
        }
    }
    bar.finish_and_clear();
    // In the order of the heap, the newest is the least.
    let mut rows = rows.into_sorted_vec();
    rows.reverse();
    let text = match args.output {
        Output::Json => {
            let json =
                serde_json::json!({ "read": read, "matched": matched, "dead_letters": rows });
            serde_json::to_string_pretty(&json).map_err(here)? + "\n"
        }
        Output::Table => table(&rows),
    };
    print(&text).map_err(here)?;
    if matched > rows.len() as u64 {
        complain(&format!(
            "the newest {} of {}; --limit shows more, `driftgate dlq stats` counts all",
            rows.len(),
            counted(matched, "dead letter")
        ));
    } else if matched == 0 {
        complain(&format!("no dead letter matches, of {read} that were read"));
    }
    if masked {
        complain("keys are masked, for what is tagged as PII may be in them; --unmask shows them");
    }
    Ok(ExitCode::SUCCESS)
}

/// A topic of several may not be there yet.
pub(super) fn tell_missing(topics: &[String]) {
    for topic in topics {
        complain(&format!("there is no topic {topic}, {UNSEEN}"));
    }
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header = [
        "AT",
        "FAILED",
        "KEY",
        "REASON",
        "PATH",
        "SCHEMA",
        "SENT BACK",
        "OWNER",
    ];
    let mut lines = vec![header.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    columns(&lines)
}

fn cells(row: &Row) -> [String; 8] {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let letter = &row.letter;
    [
        row.at.clone(),
        or_dash(&row.time),
        match &row.key {
            Shown::Null => "null".to_owned(),
            Shown::Text(text) => shorter(text),
            Shown::Bytes { hex, .. } => shorter(hex),
        },
        or_dash(&letter.reason),
        or_dash(&letter.path),
        letter.schema_id.map_or("-".to_owned(), |id| id.to_string()),
        match letter.redriven {
            0 => "-".to_owned(),
            times => format!("{times}×"),
        },
        or_dash(&letter.owner.clone().or(letter.pipeline.clone())),
    ]
}

fn shorter(text: &str) -> String {
    match text.char_indices().nth(KEY) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Cells in columns, nothing behind the last.
pub(super) fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
