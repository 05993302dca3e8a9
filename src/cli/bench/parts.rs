//! `driftgate bench PART`: arguments → one part of the benchmark → table, JSON, section of the page.

use std::process::ExitCode;
use std::time::Duration;

use super::super::{FINDINGS, Output, complain, print};
use super::{Bar, Common, duration, system, today, write_section};
use crate::bench::ground::Place;
use crate::bench::section::{Circumstances, Part, Section};
use crate::bench::{Progress, burst, idle, scale, soak, start, wide};
use crate::error::FatalError;

/// One part of the benchmark.
#[derive(Debug, clap::Subcommand)]
pub(super) enum PartCommand {
    /// Workers 1, 2 and 4, partitions 1, 2 and 4, two instances: whether a record costs more with them.
    #[command(after_help = "Example:
  driftgate bench scale --records 3000000 --rounds 5

Five layouts in turns, each verified. What counts is the processor time of a record, compared to one worker on one partition.")]
    Scale(ScaleArgs),
    /// 1,000 partitions in 100 topics, and 10,000 schema ids, in one instance: memory, processor time, cost at rest.
    #[command(after_help = "Example:
  driftgate bench wide --topics 20 --partitions 50

It makes retry, dead-letter and ledger topics of each source topic, some thousands of partitions in all, and removes them.")]
    Wide(WideArgs),
    /// Ten times the usual rate for a minute: memory, latencies, the time to recover, and that nothing is lost.
    #[command(after_help = "Example:
  driftgate bench burst --rate 20000 --burst-for 30s")]
    Burst(BurstArgs),
    /// An hour's backlog and then a steady rate for a long time: memory must not grow.
    #[command(after_help = "Example:
  driftgate bench soak --soak-for 1h

The backlog is what comes in an hour at the default rate. Topics are kept until the end, some 400 bytes a record.")]
    Soak(SoakArgs),
    /// An instance with nothing to do: processor time and wake-ups, by thread.
    #[command(after_help = "Example:
  driftgate bench idle --idle-for 5m

It needs Linux: the kernel tells there what each thread uses.")]
    Idle(IdleArgs),
    /// From the start of a process to its first output, by stages, with a contract of 13 fields and with one of 200.
    #[command(after_help = "Example:
  driftgate bench start --starts 20 --output json | jq .figures")]
    Start(StartArgs),
}

/// Arguments of `scale`.
#[derive(Debug, clap::Args)]
pub(super) struct ScaleArgs {
    #[command(flatten)]
    common: Common,
    /// Records of the input
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    records: u64,
    /// How often each layout runs, in turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// Arguments of `wide`.
#[derive(Debug, clap::Args)]
pub(super) struct WideArgs {
    #[command(flatten)]
    common: Common,
    /// Records of each input
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    records: u64,
    /// How often each runs, in turns
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Source topics
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    topics: u32,
    /// Partitions of each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
    /// Schema ids
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    schemas: u32,
    /// How long nothing happens then
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    idle_for: Duration,
}

/// Arguments of `burst`.
#[derive(Debug, clap::Args)]
pub(super) struct BurstArgs {
    #[command(flatten)]
    common: Common,
    /// Records a second before and after; ten times as many in the burst
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// How long the burst is
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    burst_for: Duration,
    /// How long it is steady before, and after
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    steady_for: Duration,
    /// Partitions of each topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
    /// Workers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Doctor one output before it is verified: for the test of the verifier
    #[arg(long, hide = true)]
    plant: bool,
}

/// Arguments of `soak`.
#[derive(Debug, clap::Args)]
pub(super) struct SoakArgs {
    #[command(flatten)]
    common: Common,
    /// Records that are there at the beginning: 18,000,000 come in an hour at the default rate
    #[arg(long, default_value_t = 18_000_000, value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    backlog: u64,
    /// Records a second then
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// For so long
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    soak_for: Duration,
    /// Partitions of each topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
    /// Workers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
}

/// Arguments of `idle`.
#[derive(Debug, clap::Args)]
pub(super) struct IdleArgs {
    #[command(flatten)]
    common: Common,
    /// For so long
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    idle_for: Duration,
    /// Partitions of the source
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
    /// Workers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
}

/// Arguments of `start`.
#[derive(Debug, clap::Args)]
pub(super) struct StartArgs {
    #[command(flatten)]
    common: Common,
    /// Starts of each kind, in turns
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    starts: u32,
    /// Partitions of each topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl PartCommand {
    /// Runs it.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            PartCommand::Scale(args) => {
                let options = scale::Options {
                    records: args.records,
                    rounds: count(args.rounds),
                };
                let words = format!("--records {} --rounds {}", args.records, args.rounds);
                measure(args.common, Part::Scale, &words, |place, bar| {
                    scale::run(place, &options, bar)
                })
            }
            PartCommand::Wide(args) => {
                let options = wide::Options {
                    records: args.records,
                    rounds: count(args.rounds),
                    topics: count(args.topics),
                    partitions: args.partitions,
                    schemas: count(args.schemas),
                    idle: args.idle_for,
                };
                let words = format!(
                    "--records {} --rounds {} --topics {} --partitions {} --schemas {}",
                    args.records, args.rounds, args.topics, args.partitions, args.schemas
                );
                measure(args.common, Part::Wide, &words, |place, bar| {
                    wide::run(place, &options, bar)
                })
            }
            PartCommand::Burst(args) => {
                let options = burst::Options {
                    partitions: args.partitions,
                    workers: count(args.workers),
                    rate: args.rate,
                    length: args.burst_for,
                    steady: args.steady_for,
                    plant: args.plant,
                };
                let words = format!(
                    "--rate {} --burst-for {}s --partitions {} --workers {}",
                    args.rate,
                    args.burst_for.as_secs(),
                    args.partitions,
                    args.workers
                );
                measure(args.common, Part::Burst, &words, |place, bar| {
                    burst::run(place, &options, bar)
                })
            }
            PartCommand::Soak(args) => {
                let options = soak::Options {
                    partitions: args.partitions,
                    workers: count(args.workers),
                    backlog: args.backlog,
                    rate: args.rate,
                    length: args.soak_for,
                };
                let words = format!(
                    "--backlog {} --rate {} --soak-for {}s --partitions {} --workers {}",
                    args.backlog,
                    args.rate,
                    args.soak_for.as_secs(),
                    args.partitions,
                    args.workers
                );
                measure(args.common, Part::Soak, &words, |place, bar| {
                    soak::run(place, &options, bar)
                })
            }
            PartCommand::Idle(args) => {
                let options = idle::Options {
                    partitions: args.partitions,
                    workers: count(args.workers),
                    length: args.idle_for,
                };
                let words = format!(
                    "--idle-for {}s --partitions {} --workers {}",
                    args.idle_for.as_secs(),
                    args.partitions,
                    args.workers
                );
                measure(args.common, Part::Idle, &words, |place, bar| {
                    idle::run(place, &options, bar)
                })
            }
            PartCommand::Start(args) => {
                let options = start::Options {
                    partitions: args.partitions,
                    starts: count(args.starts),
                };
                let words = format!("--starts {} --partitions {}", args.starts, args.partitions);
                measure(args.common, Part::Start, &words, |place, bar| {
                    start::run(place, &options, bar)
                })
            }
        }
    }
}

fn measure(
    common: Common,
    part: Part,
    words: &str,
    run: impl FnOnce(&Place, &mut dyn Progress) -> Result<Section, FatalError>,
) -> anyhow::Result<ExitCode> {
    let place = Place {
        brokers: common.bootstrap_servers,
        broker_name: common.broker_name,
        properties: common.property.into_iter().collect(),
        registry: common.registry,
        seed: common.seed,
        keep: common.keep,
        program: std::env::current_exe()?,
    };
    let mut bar = Bar::new();
    let section = run(&place, &mut bar);
    bar.0.finish_and_clear();
    let section = section?;
    let command = format!("driftgate bench {} {words}", part.name());
    let around = Circumstances::look(&place, system(), today()?, command);
    if let Some(path) = &common.page {
        write_section(path, part.name(), &section.markdown(&around))?;
    }
    match common.output {
        Output::Table => print(&section.table(&around))?,
        Output::Json => print(&format!("{}\n", section.json(&around)))?,
    }
    if section.holds() {
        return Ok(ExitCode::SUCCESS);
    }
    complain(match section.verified {
        true => "driftgate: a figure exceeds what it may be: see `holds`",
        false => "driftgate: the outputs are not what they must be: see `findings`",
    });
    Ok(ExitCode::from(FINDINGS))
}
