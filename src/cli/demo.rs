//! `driftgate demo`: what Driftgate does, in a minute, with nothing installed.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{FINDINGS, Output, USAGE, complain, print};
use crate::config::units;
use crate::demo::recount::Summary;
use crate::demo::{self, Options, Screen};
use crate::words::counted;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  driftgate demo\n  driftgate demo --duration 20s --output json | tail -1

Exit codes: 0 every record has exactly one outcome, 1 the counts do not add up, 2 wrong usage, 3 it could not run."
)]
pub struct DemoArgs {
    /// How long it runs, 15s or more. Ctrl-C ends it sooner, with the same table.
    #[arg(long, default_value = "60s")]
    duration: String,
    /// Seed of the order stream: the same seed makes the same orders.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Orders a second, 1 to 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// With json, the last line on stdout is one object.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Runs the demo. Exit code 1 if the recount does not add up.
pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let duration = match units::parse_duration(&args.duration) {
        Ok(duration) if duration >= Duration::from_secs(15) => duration,
        Ok(_) => {
            complain("driftgate: --duration: 15s or more: the story needs its time");
            return Ok(ExitCode::from(USAGE));
        }
        Err(error) => {
            let hint = error
                .hint
                .map_or(String::new(), |hint| format!(" ({hint})"));
            complain(&format!("driftgate: --duration: {}{hint}", error.message));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let options = Options {
        duration,
        seed: args.seed,
        rate: args.rate,
    };
    let runtime = super::runtime()?;
    let summary = runtime.block_on(async {
        let stop = CancellationToken::new();
        let on_interrupt = stop.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                on_interrupt.cancel();
            }
        });
        demo::run(&options, Arc::new(Terminal), stop).await
    })?;
    runtime.shutdown_background();
    match args.output {
        Output::Table => print(&table(&summary))?,
        Output::Json => print(&format!("{}\n", serde_json::to_string(&summary)?))?,
    }
    if summary.adds_up() {
        return Ok(ExitCode::SUCCESS);
    }
    complain("driftgate: the counts do not add up");
    Ok(ExitCode::from(FINDINGS))
}

/// The story and the counts go to stderr: they are how it went, and the table is the result.
struct Terminal;

impl Screen for Terminal {
    fn tell(&self, at: Duration, text: &str) {
        complain(&format!("{:>6.1}s  ▸ {text}", at.as_secs_f64()));
    }

    fn counts(&self, at: Duration, summary: &Summary) {
        let mut line = format!(
            "{:>6.1}s    read {:>6}  emitted {:>6}  filtered {:>4}  retry {:>4}  dead-lettered {:>4}",
            at.as_secs_f64(),
            summary.read,
            summary.emitted,
            summary.filtered,
            summary.retry_pending,
            summary.dead_lettered,
        );
        if summary.recovered > 0 {
            line.push_str(&format!("  recovered {:>4}", summary.recovered));
        }
        complain(&line);
    }
}

fn table(summary: &Summary) -> String {
    let mut out = String::from("\nRecounted from the topics, by a consumer of its own:\n\n");
    let rows = [
        ("read", summary.read, "records in the source topic"),
        ("emitted", summary.emitted, "in the sink"),
        (
            "filtered",
            summary.filtered,
            "test orders, found nowhere else",
        ),
        ("duplicate", summary.duplicate, "this pipeline has no dedup"),
        ("stale", summary.stale, "nor a stale check"),
        (
            "dead_lettered",
            summary.dead_lettered,
            "in the dead-letter topic",
        ),
        (
            "retry_pending",
            summary.retry_pending,
            "in a retry topic, not through yet",
        ),
        ("unaccounted", summary.unaccounted, "must be 0"),
    ];
    for (name, count, what) in rows {
        writeln!(out, "  {name:<14} {count:>8}  {what}").expect("a String takes all text");
    }
    writeln!(
        out,
        "\n  {} of the emitted ones went through a retry topic first.",
        summary.recovered
    )
    .expect("a String takes all text");
    for (reason, count) in &summary.reasons {
        writeln!(out, "  {}: {reason}", counted(*count, "dead letter"))
            .expect("a String takes all text");
    }
    out
}
