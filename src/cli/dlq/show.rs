//! `driftgate dlq show`: one dead letter, explained: what its headers say, its bytes by the schema that it was written
//! with, and what would become of it now.

use std::path::PathBuf;
use std::process::ExitCode;

use super::refuse;
use crate::cli::explain::{self, ExplainArgs};
use crate::cli::{Output, runtime};
use crate::config::model::{self, Config};
use crate::dlq::Failure;

/// Arguments of `dlq show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate dlq show orders.orders-gate.dlq-3@42
  driftgate dlq show 3@42 --pipeline clean-orders --with-lookups
  driftgate dlq show orders-dlt-0@7 --output json

Fields that the rules file tags as PII are masked, in values, bytes, headers and the key.

Exit codes: 0 shown, 1 there is no record at this position, 2 arguments, topic or configuration
are wrong, 3 the broker or the registry failed.")]
pub struct ShowArgs {
    /// Where it is, as `driftgate dlq list` tells it; without the topic, in the pipeline's
    #[arg(value_name = "[TOPIC-]PARTITION@OFFSET")]
    at: String,
    /// The configuration file
    #[arg(short, long, default_value = "driftgate.yaml")]
    pub(super) config: PathBuf,
    /// The pipeline whose dead letter it is [default: the one whose topic it is, or the only one]
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Show the values of fields that are tagged as PII
    #[arg(long)]
    unmask: bool,
    /// Call the lookups of the pipeline, as `run` would [default: stop before the first]
    #[arg(long)]
    with_lookups: bool,
    /// Lines at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    lines: usize,
    /// Form of the explanation
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) fn show(args: ShowArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let (topic, partition, offset) = match place(&args, config) {
        Ok(place) => place,
        Err(failure) => return Ok(refuse(&failure)),
    };
    let runtime = runtime()?;
    let output = args.output;
    let asked = ExplainArgs {
        config: args.config,
        topic: Some(topic),
        partition: Some(partition),
        offset: Some(offset),
        file: None,
        schema_id: None,
        pipeline: args.pipeline,
        unmask: args.unmask,
        with_lookups: args.with_lookups,
        lines: args.lines,
        output,
    };
    let explained = explain::explain(&asked, config, true, runtime.handle());
    // A request that hangs is not waited for.
    runtime.shutdown_background();
    explain::conclude(explained, output)
}

fn place(args: &ShowArgs, config: &Config) -> Result<(String, i32, i64), Failure> {
    let at = &args.at;
    let wrong = || {
        Failure::Asked(format!(
            "{at:?} is no position: write TOPIC-PARTITION@OFFSET, as `driftgate dlq list` does, or PARTITION@OFFSET"
        ))
    };
    let (topic, partition, offset) = parse(at).ok_or_else(wrong)?;
    if let Some(topic) = topic {
        return Ok((topic.to_owned(), partition, offset));
    }
    let mut topics: Vec<String> = Vec::new();
    let pipelines = match &args.pipeline {
        Some(name) => vec![model::named(&config.pipelines, name).map_err(Failure::Asked)?],
        None => config.pipelines.iter().collect(),
    };
    for pipeline in pipelines {
        for source in &pipeline.source_topics {
            let topic = pipeline.dead_letter_topic(source);
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
    }
    match topics.as_slice() {
        [topic] => Ok((topic.clone(), partition, offset)),
        [] => Err(Failure::Asked("no pipeline has a source".to_owned())),
        many => Err(Failure::Asked(format!(
            "dead letters are in {}: write the topic in front, as {}-{at}",
            many.join(", "),
            many[0]
        ))),
    }
}

/// `[topic-]partition@offset`.
fn parse(text: &str) -> Option<(Option<&str>, i32, i64)> {
    let (place, offset) = text.rsplit_once('@')?;
    let (topic, partition) = match place.rsplit_once('-') {
        Some((topic, partition)) => (Some(topic), partition),
        None => (None, place),
    };
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !number(partition) || !number(offset) || topic == Some("") {
        return None;
    }
    Some((topic, partition.parse().ok()?, offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_from_their_end() {
        let check = |text: &str, expect| assert_eq!(parse(text), expect, "{text}");
        check(
            "orders.gate.dlq-3@42",
            Some((Some("orders.gate.dlq"), 3, 42)),
        );
        check("a-b-0@7", Some((Some("a-b"), 0, 7)));
        check("3@42", Some((None, 3, 42)));
        for wrong in [
            "",
            "42",
            "orders@42",
            "-3@42",
            "a-+3@42",
            "a-3@-1",
            "a-3@",
            "a-@1",
        ] {
            check(wrong, None);
        }
    }
}
