//! `driftgate compare`: arguments → a comparison of two topics → text or JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::{COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, load_config, print, times};
use crate::compare::{self, KeyBy, Options, Progress};
use crate::contract::cache::{CacheSettings, SchemaCache};
use crate::contract::registry::RegistryClient;
use crate::error::FatalError;

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate compare orders.clean orders.clean.v2 --key order_id
  driftgate compare orders.old orders.new --key key --since 2026-11-01T00:00:00Z --ignore processed_at
  driftgate compare orders.old orders.new --key key --show-values --output json

Of each key the last record counts, as in a table. Values are not shown unless asked for; see docs/compare.md.

Exit codes: 0 every key has the same value in both, 1 something differs, 2 arguments or configuration are wrong, or a topic
does not exist, 3 broker or registry could not be asked.")]
pub struct CompareArgs {
    /// The first topic: what should be
    a: String,
    /// The second topic: what is held against it
    b: String,
    /// What records are told apart by: `key` for the record's key, or a field of the value by its path
    #[arg(long, value_name = "KEY")]
    key: String,
    /// The configuration file, for broker and registry
    #[arg(short, long, default_value = "driftgate.yaml")]
    config: PathBuf,
    /// Only records of this time or later: 2026-11-21T08:00:00Z, 2026-11-21 (UTC), or 2h for two hours ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only records before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Leave out a field, by its path; may be repeated
    #[arg(long, value_name = "PATH")]
    ignore: Vec<String>,
    /// Examples of each sort
    #[arg(long, value_name = "N", default_value_t = 10)]
    examples: usize,
    /// Show keys and values of the examples, also of fields that are tagged as PII
    #[arg(long)]
    show_values: bool,
    /// Form of the comparison
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

/// Compares.
pub fn run(args: CompareArgs) -> anyhow::Result<ExitCode> {
    let config = match load_config(&args.config) {
        Ok(config) => config,
        Err(error) => return Ok(refuse(&format!("{error:#}"), USAGE)),
    };
    let paths = std::iter::once(&args.key).chain(&args.ignore);
    if let Some(bad) = paths
        .into_iter()
        .find(|text| path(text).iter().any(String::is_empty))
    {
        return Ok(refuse(&format!("{bad:?} is no field path"), USAGE));
    }
    if args.a == args.b {
        let text = format!("A and B are both {}: a topic is the same as itself", args.a);
        return Ok(refuse(&text, USAGE));
    }
    let (since, until) = (args.since.as_deref(), args.until.as_deref());
    let (since, until) = match times::range(since, until, times::now()) {
        Ok(range) => range,
        Err(text) => return Ok(refuse(&text, USAGE)),
    };
    let runtime = super::runtime()?;
    let registry = RegistryClient::lasting(&config.registry)?;
    let schemas = SchemaCache::new(registry, runtime.handle().clone(), CacheSettings::default());
    let options = Options {
        key: match args.key.as_str() {
            "key" => KeyBy::Record,
            field => KeyBy::Field(path(field)),
        },
        since,
        until,
        examples: args.examples,
        ignore: args.ignore.iter().map(|text| path(text)).collect(),
        show_values: args.show_values,
        a: args.a,
        b: args.b,
    };
    let mut bar = Bar::new();
    let compared = compare::compare(&config.kafka, &options, &schemas, &mut bar);
    bar.0.finish_and_clear();
    runtime.shutdown_background();
    match compared {
        Ok(comparison) => {
            print(&match args.output {
                Output::Table => comparison.text(),
                Output::Json => serde_json::to_string_pretty(&comparison)? + "\n",
            })?;
            Ok(match comparison.is_same() {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(FINDINGS),
            })
        }
        Err(error @ FatalError::Topics(_)) => Ok(refuse(&error.to_string(), USAGE)),
        Err(error) => Ok(refuse(&error.to_string(), COULD_NOT_RUN)),
    }
}

fn refuse(text: &str, code: u8) -> ExitCode {
    complain(&format!("driftgate: {text}"));
    ExitCode::from(code)
}

struct Bar(ProgressBar);

impl Bar {
    fn new() -> Bar {
        let style = "{wide_bar} {human_pos}/{human_len} offsets, {eta} left";
        let bar = ProgressBar::new(0);
        bar.set_style(
            ProgressStyle::with_template(style).expect("the template is one that indicatif knows"),
        );
        Bar(bar)
    }
}

impl Progress for Bar {
    fn more(&mut self, offsets: u64) {
        self.0.inc_length(offsets);
    }

    fn advance(&mut self, offsets: u64) {
        self.0.inc(offsets);
    }
}
