//! The commands, one file each. Exit codes: 0 ok, 1 findings, 2 usage or a configuration that `run` refuses, 3 could
//! not run. Results go to stdout, logs and messages to stderr.

pub mod alert;
pub mod audit;
pub mod bench;
pub mod check;
pub mod compare;
pub mod completions;
pub mod control;
pub mod demo;
pub mod dlq;
pub mod drift;
pub mod evaluate;
pub mod explain;
pub mod flow;
pub mod functions;
pub mod init;
pub mod produce;
pub mod run;
pub mod schema;
pub mod test;
mod times;

use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::model::{Config, Registry, RegistryAuth, RegistryTls};
use crate::config::{diagnose, fault::Fault};
use crate::telemetry::{self, LogFormat};
use crate::transform::native::Natives;

/// Something is wrong with what was checked.
pub const FINDINGS: u8 = 1;
/// Usage, or a configuration that `run` refuses.
pub const USAGE: u8 = 2;
/// Broker, registry or another part that is needed could not be reached.
pub const COULD_NOT_RUN: u8 = 3;

/// Holds every record to an Avro contract, and loses none.
#[derive(Debug, Parser)]
#[command(
    name = "driftgate",
    version,
    about,
    long_about = None,
    max_term_width = 100,
    after_help = "Examples:
  driftgate demo
  driftgate init orders && driftgate check --offline -c orders/driftgate.yaml
  driftgate test orders
  driftgate run -c orders/driftgate.yaml

Exit codes: 0 ok, 1 something is wrong with what was checked, registered or produced, 2 wrong usage, or a configuration
that `run` refuses, 3 it could not run: broker, registry or a file could not be reached.
Results go to stdout, logs and messages to stderr."
)]
struct Args {
    /// How logs are written to stderr.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        env = "DRIFTGATE_LOG_FORMAT"
    )]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `driftgate=debug,librdkafka=warn`.
    #[arg(long, global = true, default_value = "info", env = "RUST_LOG")]
    log_level: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the pipelines.
    Run(run::RunArgs),
    /// Find what is wrong before start: configuration, contracts, expressions, topics, registry.
    Check(check::CheckArgs),
    /// The whole thing in a minute: broker, registry and a stream of orders in which things go wrong.
    Demo(demo::DemoArgs),
    /// Run test cases: records through a pipeline, against what is expected of them.
    Test(test::TestArgs),
    /// Evaluate one expression on one record.
    Try(evaluate::TryArgs),
    /// Write a commented starting point.
    Init(init::InitArgs),
    /// Explain one record: its bytes value by value, writer against contract, and what becomes of it.
    Explain(Box<explain::ExplainArgs>),
    /// Triage of dead letters: list, count and show them, and send them back.
    #[command(
        subcommand,
        after_help = "Examples:
  driftgate dlq stats
  driftgate dlq list --since 2h
  driftgate dlq show 0@42
  driftgate dlq redrive --dry-run

Each has its own --help, with its exit codes."
    )]
    Dlq(dlq::DlqCommand),
    /// Prove that every record has exactly one outcome, from the topics and the group's offsets.
    Audit(Box<audit::AuditArgs>),
    /// Compare two topics by key: a parallel run of an old and a new flow.
    Compare(Box<compare::CompareArgs>),
    /// What the values of a source look like: write a baseline of them for review, and compare with it.
    #[command(
        subcommand,
        after_help = "Examples:
  driftgate drift baseline
  driftgate drift diff --from 2h

Each has its own --help, with its exit codes."
    )]
    Drift(drift::DriftCommand),
    /// Measure the benchmark's job beside a plain passthrough, on a broker, with outputs that are verified.
    Bench(Box<bench::BenchArgs>),
    /// Register and review schemas.
    #[command(
        subcommand,
        after_help = "Examples:
  driftgate schema register -c driftgate.yaml
  driftgate schema check -c driftgate.yaml

Each has its own --help, with its exit codes."
    )]
    Schema(schema::SchemaCommand),
    /// Publish rows of CSV or JSON lines as Avro records.
    Produce(Box<produce::ProduceArgs>),
    /// Try out the webhooks that alerts go to.
    #[command(
        subcommand,
        after_help = "Examples:
  driftgate alert test -c driftgate.yaml

Exit codes: see `driftgate alert test --help`."
    )]
    Alert(alert::AlertCommand),
    /// List the functions that expressions can call, or explain one.
    Functions(functions::FunctionsArgs),
    /// Take no more records of a pipeline or a partition, until `resume`.
    Pause(control::PauseArgs),
    /// Go on after a breaker, a pause or a drift that halted, once a person has looked.
    Resume(control::ResumeArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
    /// Print the version, also of librdkafka.
    #[command(
        after_help = "Example:\n  driftgate version\n\nExit codes: 0 printed, 2 wrong usage."
    )]
    Version,
}

/// Parses the arguments, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    main_with(Natives::new())
}

/// The same for a program that brings native steps along: `run`, `check`, `test` and `explain` know them. Called once, as
/// the program's own `main`.
pub fn main_with(natives: Natives) -> ExitCode {
    NATIVES.get_or_init(|| natives);
    let args = Args::parse();
    if let Err(error) = telemetry::init(args.log_format, &args.log_level) {
        complain(&format!("driftgate: {error}"));
        return ExitCode::from(USAGE);
    }
    let result = match args.command {
        Command::Run(run) => run::run(run, args.log_format),
        Command::Check(args) => check::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Test(args) => test::run(args),
        Command::Try(args) => evaluate::run(args),
        Command::Init(args) => init::run(args),
        Command::Explain(args) => explain::run(*args, load_config),
        Command::Dlq(command) => dlq::run(command, load_config),
        Command::Audit(args) => audit::run(*args),
        Command::Compare(args) => compare::run(*args),
        Command::Drift(command) => drift::run(command),
        Command::Bench(args) => bench::run(*args),
        Command::Schema(command) => schema::run(command, load_config),
        Command::Produce(args) => produce::run(*args, load_config),
        Command::Alert(command) => alert::run(command),
        Command::Functions(args) => functions::run(args),
        Command::Pause(args) => control::pause(args),
        Command::Resume(args) => control::resume(args),
        Command::Completions(args) => completions::run(args),
        Command::Version => version(),
    };
    result.unwrap_or_else(|error| {
        complain(&format!("driftgate: {error:#}"));
        ExitCode::from(COULD_NOT_RUN)
    })
}

fn version() -> anyhow::Result<ExitCode> {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    print(&format!(
        "driftgate {} (librdkafka {librdkafka})\n",
        env!("CARGO_PKG_VERSION")
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a result to stdout. A reader that has gone away (`| head`) ends the command quietly.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// Writes a message for a person to stderr. One that cannot be written has nowhere else to go.
pub(crate) fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Faults of the configuration, for a person.
pub(crate) fn complain_of(faults: &[Fault]) {
    let text = diagnose::render(faults, telemetry::coloured());
    complain(text.trim_end());
}

/// What is legal there and likely not meant; nothing for none.
pub(crate) fn warn_of(warnings: &[Fault]) {
    if !warnings.is_empty() {
        let text = diagnose::render_warnings(warnings, telemetry::coloured());
        complain(text.trim_end());
    }
}

/// The form of a result on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For a person.
    Table,
    /// For a program.
    Json,
}

/// The registry of a command that may do without a configuration: the one of `--registry`, of the configuration, of the
/// environment, or the usual one here.
pub(crate) fn registry(config: Option<&Config>, url: Option<&str>) -> Registry {
    let mut registry = match config {
        Some(config) => config.registry.clone(),
        None => Registry {
            url: environment("SCHEMA_REGISTRY_URL")
                .unwrap_or_else(|| "http://localhost:8081".to_owned()),
            auth: RegistryAuth::None,
            tls: RegistryTls::default(),
            cache_dir: None,
            timeout: Duration::from_secs(10),
        },
    };
    if let Some(url) = url {
        url.clone_into(&mut registry.url);
    }
    registry
}

/// The native steps of the program, as [`main_with`] was told.
pub(crate) fn natives() -> &'static Natives {
    NATIVES.get_or_init(Natives::new)
}

static NATIVES: OnceLock<Natives> = OnceLock::new();

/// The environment, as the configuration interpolates it.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A runtime for commands that ask the broker or the registry.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

/// The configuration of a command that only borrows addresses and schemas from it.
fn load_config(path: &std::path::Path) -> anyhow::Result<Config> {
    match crate::config::load(path, &environment) {
        Ok(loaded) => {
            warn_of(&loaded.warnings);
            Ok(loaded.config)
        }
        Err(faults) => {
            let text = diagnose::render(&faults, telemetry::coloured());
            Err(anyhow::anyhow!("{}", text.trim_end()))
        }
    }
}
