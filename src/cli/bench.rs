//! `driftgate bench`: arguments → a run of the benchmark → table, JSON, page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

mod parts;

use super::{FINDINGS, Output, complain, print};
use crate::bench::contestant::{Contestant, Task};
use crate::bench::machine::Machine;
use crate::bench::report::Report;
use crate::bench::{Options, Progress, page, run as bench};
use crate::config::units;
use crate::instance;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  driftgate bench --bootstrap-servers localhost:9092
  driftgate bench --records 5000000 --rounds 5 --output json | tail -1
  driftgate bench --contestants naive,job --latency-for 0s
  driftgate bench scale                  # one part: scale, wide, burst, soak, idle, start
  driftgate bench start --help           # what it measures

It writes its input and its outputs to topics whose names begin with `driftgate-bench-`, and removes them in the end. Ratios are
taken within a run: figures of two runs, or of two machines, do not compare.

Exit codes: 0 every output is right, 1 one is not, and the figures say nothing, or a part exceeds what it may, 2 wrong usage, 3 the broker could not be reached, or a
contestant could not run."
)]
pub struct BenchArgs {
    #[command(subcommand)]
    part: Option<parts::PartCommand>,
    #[command(flatten)]
    common: Common,
    /// Records of the input
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    records: u64,
    /// Partitions of each topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
    /// How often each contestant runs, in turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Who runs: naive, best, job, exactly_once, header
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = contestant)]
    contestants: Vec<Contestant>,
    /// `linger.ms` of every contestant
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=1000))]
    linger: u64,
    /// Workers of the job
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Records a second while latencies are measured
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    latency_rate: u64,
    /// How long latencies are measured for each contestant; 0s leaves them out
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    latency_for: Duration,
    /// `linger.ms` of every contestant then
    #[arg(long, value_name = "MS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=1000))]
    latency_linger: u64,
    /// Be a contestant: what it does comes on standard input
    #[arg(long, hide = true)]
    contestant: bool,
    /// Doctor one output before it is verified: for the test of the verifier
    #[arg(long, hide = true)]
    plant: bool,
}

/// Arguments of every part.
#[derive(Debug, clap::Args)]
struct Common {
    /// Where the brokers are
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "KAFKA_BOOTSTRAP_SERVERS",
        default_value = "localhost:9092"
    )]
    bootstrap_servers: String,
    /// What the report calls the broker, such as "Apache Kafka 4.1.1"
    #[arg(long, value_name = "TEXT")]
    broker_name: Option<String>,
    /// A librdkafka property for every client, for security; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    property: Vec<(String, String)>,
    /// A schema registry; without one, a registry in this process. Subjects that the run registers stay there
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Seed of the input: the same seed makes the same records
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Leave the topics where they are
    #[arg(long)]
    keep: bool,
    /// Write the tables to their section of a page, such as BENCHMARKS.md, too; other sections stay
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// With json, the last line on stdout is one object
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn contestant(text: &str) -> Result<Contestant, String> {
    Contestant::of_name(text).ok_or_else(|| {
        let names = Contestant::ALL.map(Contestant::name);
        format!("there are {}", names.join(", "))
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).map_err(|error| error.message)
}

/// Runs the benchmark, or one contestant of it.
pub fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    if args.contestant {
        let ran = Task::receive()?.run()?;
        print(&format!("{}\n", serde_json::to_string(&ran)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(part) = args.part {
        return part.run();
    }
    let mut contestants = args.contestants;
    contestants.sort_unstable();
    contestants.dedup();
    if contestants.is_empty() {
        contestants = Contestant::ALL.to_vec();
    }
    let options = Options {
        brokers: args.common.bootstrap_servers,
        broker_name: args.common.broker_name,
        properties: args.common.property.into_iter().collect::<BTreeMap<_, _>>(),
        registry: args.common.registry,
        records: args.records,
        seed: args.common.seed,
        partitions: args.partitions,
        rounds: usize::try_from(args.rounds)?,
        contestants,
        linger: args.linger,
        workers: usize::try_from(args.workers)?,
        rate: args.latency_rate,
        rate_for: args.latency_for,
        rate_linger: args.latency_linger,
        keep: args.common.keep,
        plant: args.plant,
        program: std::env::current_exe()?,
    };
    let mut bar = Bar::new();
    let measured = bench::run(&options, &mut bar);
    bar.0.finish_and_clear();
    let machine = Machine::look(system(), options.broker_name.clone());
    let report = Report::new(&options, &measured?, machine, today()?);
    if let Some(path) = &args.common.page {
        write_section(path, "job", &report.markdown())?;
    }
    match args.common.output {
        Output::Table => print(&report.table())?,
        Output::Json => print(&format!("{}\n", serde_json::to_string(&report)?))?,
    }
    if report.verified {
        return Ok(ExitCode::SUCCESS);
    }
    complain("driftgate: the outputs are not what they must be: see `findings`");
    Ok(ExitCode::from(FINDINGS))
}

fn system() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}

fn today() -> anyhow::Result<String> {
    let today = jiff::Timestamp::from_millisecond(instance::now())?;
    Ok(today.strftime("%Y-%m-%d").to_string())
}

/// Writes a section of the page; the others stay as they are.
fn write_section(path: &Path, key: &str, text: &str) -> anyhow::Result<()> {
    let failed = |error: std::io::Error| anyhow::anyhow!("{}: {error}", path.display());
    let before = match std::fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    std::fs::write(path, page::put(&before, key, text)).map_err(failed)
}

struct Bar(ProgressBar);

impl Bar {
    fn new() -> Bar {
        let style = "{msg} {wide_bar} {human_pos}/{human_len}";
        let bar = ProgressBar::new(0);
        bar.set_style(
            ProgressStyle::with_template(style).expect("the template is one that indicatif knows"),
        );
        Bar(bar)
    }
}

impl Progress for Bar {
    fn part(&mut self, name: &str, steps: u64) {
        self.0.set_message(name.to_owned());
        self.0.set_position(0);
        self.0.set_length(steps);
        self.0.enable_steady_tick(Duration::from_millis(200));
    }

    fn done(&mut self, steps: u64) {
        self.0.inc(steps);
    }
}
