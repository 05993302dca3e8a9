//! `driftgate dlq …`: triage of dead letters, and sending them back.

mod list;
mod redrive;
mod select;
mod show;
mod stats;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::{COULD_NOT_RUN, USAGE, complain};
use crate::config::model::Config;
use crate::dlq::Failure;

/// The subcommands of `dlq`.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters: a line each, the newest last
    ///
    /// Joins no consumer group and commits nothing. Dead letters of Kafka Connect, Kafka Streams, share groups, Spring and
    /// Confluent's rules are understood too: name their topic with --topic.
    List(list::ListArgs),
    /// Count dead letters by reason, path, schema id, owner and age
    ///
    /// Joins no consumer group and commits nothing.
    Stats(stats::StatsArgs),
    /// Show one dead letter: why it failed, its headers and its value decoded, what the contract expected
    Show(show::ShowArgs),
    /// Send dead letters back to the first retry topic of the pipeline that failed them
    ///
    /// There they are judged anew, as any retry: by the contract, rules and tables that the instance runs with by then. The
    /// source topic is never written to. Dead letters stay where they are; how far a redrive has come is kept in a consumer
    /// group of its own, so that one that was stopped goes on where it was, and one that is repeated sends what has come
    /// since.
    Redrive(Box<redrive::RedriveArgs>),
}

/// Runs a `dlq` command. `load_config` reads the configuration file; an error of it is a usage error.
pub fn run(
    command: DlqCommand,
    load_config: impl FnOnce(&Path) -> anyhow::Result<Config>,
) -> anyhow::Result<ExitCode> {
    let path = match &command {
        DlqCommand::List(args) => &args.which.config,
        DlqCommand::Stats(args) => &args.which.config,
        DlqCommand::Show(args) => &args.config,
        DlqCommand::Redrive(args) => &args.which.config,
    };
    let config = match load_config(path) {
        Ok(config) => config,
        Err(error) => {
            complain(&format!("{error:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let result = match command {
        DlqCommand::List(args) => list::list(&args, &config),
        DlqCommand::Stats(args) => stats::stats(&args, &config),
        DlqCommand::Show(args) => return show::show(args, &config),
        DlqCommand::Redrive(args) => redrive::redrive(&args, &config),
    };
    match result {
        Ok(code) => Ok(code),
        Err(failure) => Ok(refuse(&failure)),
    }
}

fn refuse(failure: &Failure) -> ExitCode {
    complain(&format!("driftgate: {failure}"));
    ExitCode::from(match failure {
        Failure::Asked(_) | Failure::Missing(_) => USAGE,
        Failure::Unreachable(_) => COULD_NOT_RUN,
    })
}

/// Something of this machine failed: a pipe, a thread.
fn here(error: impl std::fmt::Display) -> Failure {
    Failure::Unreachable(error.to_string())
}

/// Draws on stderr, and only on a terminal.
fn bar(total: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} offsets {eta} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}
