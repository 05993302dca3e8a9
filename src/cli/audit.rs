//! `driftgate audit`: arguments → a report for each pipeline → text or JSON. With `--watch` again and again, for Prometheus.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, load_config, natives, print, times};
use crate::audit::{self, Bound, Progress, Report, Scope, Verifier};
use crate::config::model::{Config, Pipeline, Provenance, Step, named};
use crate::config::units;
use crate::contract::cache::{CacheSettings, SchemaCache};
use crate::contract::registry::RegistryClient;
use crate::control::desk::Desk;
use crate::error::FatalError;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::{admin, instance};

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate audit -c driftgate.yaml
  driftgate audit --pipeline clean-orders --topic orders --partition 3 --from 2026-11-01T00:00:00Z
  driftgate audit --verify --output json
  driftgate audit --watch --interval 5m --listen 127.0.0.1:9601

Looks at what is committed as it begins, also while instances run. What it can prove is said in docs/audit.md.

Exit codes: 0 nothing is wrong, 1 something is, 2 arguments or configuration are wrong, or a topic does not exist, 3 broker or
registry could not be asked.")]
pub struct AuditArgs {
    /// The configuration file
    #[arg(short, long, default_value = "driftgate.yaml")]
    config: PathBuf,
    /// One pipeline alone
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// One source topic alone
    #[arg(long)]
    topic: Option<String>,
    /// One partition of the source alone
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// From this offset, or from the first record of this time: 2026-11-21T08:00:00Z, 2026-11-21 (UTC), or 2h for two hours
    /// ago
    #[arg(long, value_name = "OFFSET|TIME")]
    from: Option<String>,
    /// Up to this offset or time, and without it
    #[arg(long, value_name = "OFFSET|TIME")]
    to: Option<String>,
    /// Run each record through the pipeline once more, and compare what it comes to (provenance: header)
    #[arg(long)]
    verify: bool,
    /// A sink that others write to as well
    #[arg(long, value_name = "TOPIC")]
    shared_sink: Vec<String>,
    /// Offsets that are listed of each finding
    #[arg(long, value_name = "N", default_value_t = 20)]
    examples: usize,
    /// How long an open transaction is waited for [default: 30s, or 15s more than the pipeline's transaction.timeout]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wait: Option<Duration>,
    /// Form of the report
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Audit again and again until it is stopped
    #[arg(long)]
    watch: bool,
    /// How long to wait between two audits
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "watch", value_parser = duration)]
    interval: Duration,
    /// Where /metrics is served while watching
    #[arg(long, value_name = "ADDR", requires = "watch")]
    listen: Option<SocketAddr>,
}

/// `--from` and `--to`: each an offset or a time. Between them must be something.
fn bounds(args: &AuditArgs, now: i64) -> Result<(Option<Bound>, Option<Bound>), String> {
    let read = |name: &str, text: &Option<String>| match text.as_deref() {
        None => Ok(None),
        Some(text) => match (text.parse::<i64>(), times::moment(text, now)) {
            (Ok(offset), _) if offset >= 0 => Ok(Some(Bound::Offset(offset))),
            (Err(_), Some(time)) => Ok(Some(Bound::Time(time))),
            _ => Err(format!(
                "--{name} {text:?} is neither an offset nor a time: write 1200, or for a time {}",
                times::FORMS.trim_start_matches("write ")
            )),
        },
    };
    let (from, to) = (read("from", &args.from)?, read("to", &args.to)?);
    let is_empty = match (from, to) {
        (Some(Bound::Offset(from)), Some(Bound::Offset(to)))
        | (Some(Bound::Time(from)), Some(Bound::Time(to))) => from >= to,
        _ => false,
    };
    match is_empty {
        true => Err(format!(
            "--from {} is not before --to {}: there is nothing between them",
            args.from.as_deref().unwrap_or_default(),
            args.to.as_deref().unwrap_or_default()
        )),
        false => Ok((from, to)),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = units::parse_duration(text)
        .map_err(|_| "write a duration, such as 30s or 5m".to_owned())?;
    match duration.is_zero() {
        true => Err("at least 1s".to_owned()),
        false => Ok(duration),
    }
}

/// Audits.
pub fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    let config = match load_config(&args.config) {
        Ok(config) => config,
        Err(error) => return Ok(usage(&format!("{error:#}"))),
    };
    let chosen = match chosen(&config, &args) {
        Ok(chosen) => chosen,
        Err(text) => return Ok(usage(&text)),
    };
    let runtime = super::runtime()?;
    let audits = Audits {
        args: &args,
        config: &config,
        chosen,
        runtime: runtime.handle(),
    };
    let code = match args.watch {
        true => audits.watch(),
        false => audits.once(),
    };
    runtime.shutdown_background();
    code
}

fn usage(text: &str) -> ExitCode {
    complain(&format!("driftgate: {text}"));
    ExitCode::from(USAGE)
}

/// The pipelines that are audited.
fn chosen<'c>(config: &'c Config, args: &AuditArgs) -> Result<Vec<&'c Pipeline>, String> {
    let reads = |pipeline: &&Pipeline| {
        let topic = args.topic.as_ref();
        topic.is_none_or(|topic| pipeline.source_topics.contains(topic))
    };
    let by_name = match &args.pipeline {
        Some(name) => vec![named(&config.pipelines, name)?],
        None => config.pipelines.iter().collect(),
    };
    let chosen: Vec<_> = by_name.iter().copied().filter(reads).collect();
    if let (Some(topic), true) = (&args.topic, chosen.is_empty()) {
        let sources = by_name.iter().flat_map(|one| &one.source_topics);
        let known: Vec<_> = sources.map(String::as_str).collect();
        return Err(format!(
            "no pipeline reads the topic {topic}; source topics are {}",
            known.join(", ")
        ));
    }
    for shared in &args.shared_sink {
        let sinks = || chosen.iter().flat_map(|pipeline| pipeline.sinks());
        if !sinks().any(|sink| sink.topic == *shared) {
            let known: Vec<_> = sinks().map(|sink| sink.topic.as_str()).collect();
            return Err(format!(
                "--shared-sink {shared} is no sink; those are {}",
                known.join(", ")
            ));
        }
    }
    bounds(args, times::now())?;
    if !args.verify {
        return Ok(chosen);
    }
    for pipeline in &chosen {
        let name = &pipeline.name;
        if pipeline.provenance != Provenance::Header {
            return Err(format!(
                "--verify pairs outputs with their records: pipeline {name} needs `provenance: header`"
            ));
        }
        if let Some(why) = audit::unverifiable(pipeline) {
            return Err(format!("--verify cannot run pipeline {name} again: {why}"));
        }
    }
    Ok(chosen)
}

struct Audits<'a> {
    args: &'a AuditArgs,
    config: &'a Config,
    chosen: Vec<&'a Pipeline>,
    runtime: &'a tokio::runtime::Handle,
}

/// Why there is no report.
enum Failed {
    Usage(String),
    /// A topic or a partition is not there.
    Topics(String),
    CouldNotRun(String),
}

impl Audits<'_> {
    fn once(&self) -> anyhow::Result<ExitCode> {
        let mut reports = Vec::new();
        for pipeline in &self.chosen {
            match self.audit(pipeline, indicatif::ProgressDrawTarget::stderr()) {
                Ok(report) => reports.push(report),
                Err(Failed::Usage(text) | Failed::Topics(text)) => return Ok(usage(&text)),
                Err(Failed::CouldNotRun(text)) => {
                    complain(&format!("driftgate: {text}"));
                    return Ok(ExitCode::from(COULD_NOT_RUN));
                }
            }
        }
        self.print(&reports)?;
        let right = reports.iter().all(Report::is_right);
        Ok(if right {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FINDINGS)
        })
    }

    fn print(&self, reports: &[Report]) -> anyhow::Result<()> {
        match self.args.output {
            Output::Json => print(&format!("{:#}\n", json!({ "pipelines": reports }))),
            Output::Table => {
                let texts: Vec<_> = reports.iter().map(Report::text).collect();
                print(&texts.join("\n"))
            }
        }
    }

    fn audit(
        &self,
        pipeline: &Pipeline,
        target: indicatif::ProgressDrawTarget,
    ) -> Result<Report, Failed> {
        let verifier = match self.args.verify {
            true => Some(self.verifier(pipeline)?),
            false => None,
        };
        let (from, to) = bounds(self.args, times::now()).map_err(Failed::Usage)?;
        let scope = Scope {
            topic: self.args.topic.clone(),
            partition: self.args.partition,
            from,
            to,
            shared_sinks: self.args.shared_sink.clone(),
            examples: self.args.examples,
            wait: self.args.wait,
        };
        let mut bar = Bar::new(&pipeline.name, target);
        let report = audit::audit(
            &self.config.kafka,
            pipeline,
            &self.config.pipelines,
            &scope,
            verifier.as_ref(),
            &mut bar,
        );
        bar.0.finish_and_clear();
        report.map_err(|error| {
            let text = format!("pipeline {}: {error}", pipeline.name);
            match error {
                FatalError::Topics(_) => Failed::Topics(text),
                _ => Failed::CouldNotRun(text),
            }
        })
    }

    /// The pipeline as `run` compiles it now.
    fn verifier(&self, pipeline: &Pipeline) -> Result<Verifier, Failed> {
        let could_not = |error: &dyn std::fmt::Display| {
            Failed::CouldNotRun(format!("pipeline {}: {error}", pipeline.name))
        };
        let mut pipeline = pipeline.clone();
        // An audit looks for the sink's schema, and registers nothing.
        pipeline.sink.auto_register = false;
        for step in &mut pipeline.transform {
            if let Step::Route(arms) = step {
                arms.iter_mut()
                    .for_each(|arm| arm.sink.auto_register = false);
            }
        }
        let registry =
            RegistryClient::lasting(&self.config.registry).map_err(|error| could_not(&error))?;
        let compiled = self.runtime.block_on(instance::compile(
            &pipeline,
            &registry,
            &super::environment,
            natives(),
        ));
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(crate::build::BuildError::Registry(error)) => return Err(could_not(&error)),
            Err(crate::build::BuildError::Faults(faults)) => {
                let text = crate::config::diagnose::render(&faults, crate::telemetry::coloured());
                return Err(Failed::Usage(text));
            }
        };
        let settings = CacheSettings {
            subjects: true,
            ..CacheSettings::default()
        };
        Ok(Verifier {
            compiled: Arc::new(compiled),
            schemas: Arc::new(SchemaCache::new(registry, self.runtime.clone(), settings)),
            runtime: self.runtime.clone(),
        })
    }

    /// Audits until SIGTERM or SIGINT. What goes wrong with the broker is told and tried again.
    fn watch(&self) -> anyhow::Result<ExitCode> {
        let (metrics, health) = (Metrics::new(), Health::new());
        health.set_running();
        let shutdown = CancellationToken::new();
        if let Some(listen) = self.args.listen {
            let token = self.config.admin.token.clone();
            let (metrics, health) = (Arc::clone(&metrics), Arc::clone(&health));
            let serve = admin::serve(
                listen,
                token,
                metrics,
                health,
                // No values are looked at here.
                (
                    Desk::new(self.config),
                    Arc::new(|| json!({ "pipelines": [] })),
                ),
                shutdown.clone(),
            );
            let (address, _) = self.runtime.block_on(serve)?;
            tracing::info!(%address, "audit: /metrics");
        }
        let stop = shutdown.clone();
        self.runtime
            .block_on(async { super::run::listen_for_signals(stop) })?;
        let mut right = true;
        while !shutdown.is_cancelled() {
            for pipeline in &self.chosen {
                match self.audit(pipeline, indicatif::ProgressDrawTarget::hidden()) {
                    Ok(report) => {
                        right &= report.is_right();
                        metrics.audited(
                            &pipeline.name,
                            report.unaccounted,
                            report.unproved,
                            report.is_right(),
                        );
                        tell(&report);
                    }
                    Err(Failed::Usage(text)) => return Ok(usage(&text)),
                    // A topic may be made again while it watches.
                    Err(Failed::CouldNotRun(text) | Failed::Topics(text)) => {
                        metrics.not_audited(&pipeline.name);
                        tracing::warn!("{text}; tried again in {:?}", self.args.interval);
                    }
                }
                if shutdown.is_cancelled() {
                    break;
                }
            }
            let wait = async {
                tokio::select! {
                    () = tokio::time::sleep(self.args.interval) => {}
                    () = shutdown.cancelled() => {}
                }
            };
            self.runtime.block_on(wait);
        }
        Ok(if right {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FINDINGS)
        })
    }
}

fn tell(report: &Report) {
    for finding in &report.findings {
        tracing::error!(
            pipeline = report.pipeline,
            kind = finding.kind.as_str(),
            place = finding.place(),
            records = finding.count,
            offsets = ?finding.offsets,
            "audit: {}",
            finding.text
        );
    }
    if report.unproved > 0 {
        tracing::warn!(
            pipeline = report.pipeline,
            records = report.unproved,
            why = ?report.notes,
            "audit: nothing is proved of some records"
        );
    }
    let records: u64 = report.partitions.iter().map(|line| line.records).sum();
    tracing::info!(
        pipeline = report.pipeline,
        records,
        unaccounted = report.unaccounted,
        unproved = report.unproved,
        "audited"
    );
}

struct Bar(ProgressBar);

impl Bar {
    fn new(pipeline: &str, target: indicatif::ProgressDrawTarget) -> Bar {
        let style = "{msg} {wide_bar} {human_pos}/{human_len} offsets, {eta} left";
        let bar = ProgressBar::with_draw_target(Some(0), target);
        bar.set_style(
            ProgressStyle::with_template(style).expect("the template is one that indicatif knows"),
        );
        bar.set_message(pipeline.to_owned());
        Bar(bar)
    }
}

impl Progress for Bar {
    fn total(&mut self, offsets: u64) {
        self.0.set_length(offsets);
    }

    fn advance(&mut self, offsets: u64) {
        self.0.inc(offsets);
    }
}
