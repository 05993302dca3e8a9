//! `driftgate run`: the pipelines, until a signal or a fatal error.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{COULD_NOT_RUN, USAGE, complain, complain_of, environment, natives, warn_of};
use crate::build::{self, BuildError};
use crate::config::model::Delivery;
use crate::config::{self, Loaded, fault::Fault, model::Config};
use crate::embedded::broker::EmbeddedBroker;
use crate::embedded::registry::EmbeddedRegistry;
use crate::error::FatalError;
use crate::instance::Instance;
use crate::status;
use crate::telemetry::LogFormat;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  driftgate run -c driftgate.yaml\n  driftgate run --embedded -c driftgate.yaml   # no Kafka needed: a broker and a registry in this process

Exit codes: 0 it drained after SIGTERM or SIGINT, 2 wrong usage, or the configuration, a schema or a topic is refused,
3 the broker or a part of this process could not be had, 130 a second signal ended it without a drain."
)]
pub struct RunArgs {
    /// The configuration file.
    #[arg(short, long, default_value = "driftgate.yaml")]
    config: PathBuf,
    /// Start a broker and a registry in this process and use those. Nothing of it outlives the process.
    #[arg(long)]
    embedded: bool,
}

/// Runs the pipelines.
pub fn run(args: RunArgs, format: LogFormat) -> anyhow::Result<ExitCode> {
    let loaded = match config::load(&args.config, &environment) {
        Ok(loaded) => loaded,
        Err(faults) => {
            complain_of(&faults);
            return Ok(ExitCode::from(USAGE));
        }
    };
    warn_of(&loaded.warnings);
    let runtime = super::runtime()?;
    let faults = runtime.block_on(local_faults(&loaded));
    if !faults.is_empty() {
        complain_of(&faults);
        return Ok(ExitCode::from(USAGE));
    }
    let result = runtime.block_on(live(loaded.config, args.embedded, format));
    // Worker threads have ended; what the runtime still does (a request that hangs) is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            complain(&format!("driftgate: {error}"));
            let code = match error {
                FatalError::Contract(_) | FatalError::Topics(_) => USAGE,
                FatalError::Kafka(_) | FatalError::Start(_) => COULD_NOT_RUN,
            };
            Ok(ExitCode::from(code))
        }
    }
}

/// What is wrong with schemas, rules and steps as far as files tell. Looked at here, before anybody is asked, since here
/// the faults still get their lines; what needs the registry is compiled by the instance.
async fn local_faults(loaded: &Loaded) -> Vec<Fault> {
    let mut faults = Vec::new();
    for pipeline in &loaded.config.pipelines {
        if let Err(BuildError::Faults(more)) =
            build::compile_with(pipeline, None, &environment, natives()).await
        {
            faults.extend(more);
        }
    }
    loaded.locate(&mut faults);
    faults
}

async fn live(mut config: Config, embedded: bool, format: LogFormat) -> Result<(), FatalError> {
    let shutdown = CancellationToken::new();
    listen_for_signals(shutdown.clone())?;
    let parts = match embedded {
        true => Some(embed(&mut config).await?),
        false => None,
    };
    tracing::info!("{}", config::redacted(&config));
    let instance = Instance::new(shutdown.clone()).with_natives(natives().clone());
    let (metrics, health) = (instance.metrics.clone(), instance.health.clone());
    let status = status::spawn(metrics, health, format, shutdown);
    let result = instance
        .run(
            &config,
            &environment,
            parts.as_ref().map(|(broker, _)| broker),
        )
        .await;
    if let Some(status) = status {
        status.abort();
    }
    result
}

/// Points the configuration at a broker and a registry in this process. Sink schemas are registered there, since
/// nobody can have done it beforehand.
async fn embed(config: &mut Config) -> Result<(EmbeddedBroker, EmbeddedRegistry), FatalError> {
    let broker = EmbeddedBroker::start()?;
    let registry = EmbeddedRegistry::start()
        .map_err(|error| FatalError::Start(format!("embedded registry: {error}")))?;
    config.kafka.bootstrap_servers = broker.bootstrap_servers();
    config.kafka.properties.clear();
    config.registry.url = registry.url();
    config.registry.auth = crate::config::model::RegistryAuth::None;
    config.registry.tls = Default::default();
    // A registry that is empty at each start has no last known good answers.
    config.registry.cache_dir = None;
    for pipeline in &mut config.pipelines {
        pipeline.sink.auto_register = true;
        if matches!(pipeline.delivery, Delivery::ExactlyOnce(_)) {
            pipeline.delivery = Delivery::AtLeastOnce;
            tracing::warn!(
                pipeline = pipeline.name,
                "the embedded broker keeps no offsets of transactions: this run is at_least_once"
            );
        }
    }
    tracing::info!(
        bootstrap_servers = config.kafka.bootstrap_servers,
        registry = config.registry.url,
        "embedded broker and registry: nothing of them outlives this process"
    );
    Ok((broker, registry))
}

/// The first SIGTERM or SIGINT drains; a second one ends the process at once. Offsets are committed only behind
/// acknowledged outcomes, so even that loses nothing.
fn listen_for_signals(shutdown: CancellationToken) -> Result<(), FatalError> {
    let fail = |error: std::io::Error| FatalError::Start(format!("signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    tokio::spawn(async move {
        for turn in 0.. {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if turn > 0 {
                complain(
                    "driftgate: second signal: ending at once; what was not acknowledged is read again at the next start",
                );
                #[expect(clippy::exit, reason = "the operator asked for an end without a drain")]
                std::process::exit(130);
            }
            tracing::info!(signal = name, "draining; a second signal ends at once");
            shutdown.cancel();
        }
    });
    Ok(())
}
