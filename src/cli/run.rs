//! `driftgate run`: the pipelines, until a signal or a fatal error.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{COULD_NOT_RUN, USAGE, complain, environment};
use crate::config::{self, diagnose, model::Config};
use crate::embedded::broker::EmbeddedBroker;
use crate::embedded::registry::EmbeddedRegistry;
use crate::error::FatalError;
use crate::instance::Instance;
use crate::status;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  driftgate run -c driftgate.yaml\n  driftgate run --embedded -c driftgate.yaml   # no Kafka needed: a broker and a registry in this process"
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
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let loaded = match config::load(&args.config, &environment) {
        Ok(loaded) => loaded,
        Err(faults) => {
            complain(&diagnose::render(&faults, false));
            return Ok(ExitCode::from(USAGE));
        }
    };
    if !loaded.warnings.is_empty() {
        complain(&diagnose::render(&loaded.warnings, false));
    }
    let runtime = super::runtime()?;
    let result = runtime.block_on(live(loaded.config, args.embedded));
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

async fn live(mut config: Config, embedded: bool) -> Result<(), FatalError> {
    let shutdown = CancellationToken::new();
    listen_for_signals(shutdown.clone())?;
    let parts = match embedded {
        true => Some(embed(&mut config).await?),
        false => None,
    };
    tracing::info!("{}", config::redacted(&config));
    let instance = Instance::new(shutdown.clone());
    let status = status::spawn(instance.metrics.clone(), instance.health.clone(), shutdown);
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
