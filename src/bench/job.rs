//! The job: a configuration file as anybody would write it, run by the instance that `driftgate run` runs. What it does is
//! seen by its metrics alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::contestant::{Contestant, Outcomes, Ran, Stop, Task};
use super::measure::Window;
use crate::config::{self, diagnose, model::Config, model::Secret};
use crate::error::FatalError;
use crate::instance::Instance;
use crate::metrics::{Metrics, Totals};

/// How often it is looked whether a first record is there.
const FIRST: Duration = Duration::from_millis(2);
/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_millis(5);

/// The files of the job.
pub const FILES: [(&str, &str); 4] = [
    ("driftgate.yaml", include_str!("files/driftgate.yaml")),
    (
        "orders-contract.avsc",
        include_str!("files/orders-contract.avsc"),
    ),
    ("orders.rules.yaml", include_str!("files/orders.rules.yaml")),
    (
        "orders.clean-value.avsc",
        include_str!("files/orders.clean-value.avsc"),
    ),
];

/// The dead-letter topic of a source of the job.
pub fn dead_letters(source: &str, group: &str) -> String {
    format!("{source}.{group}.dlq")
}

/// Runs it.
pub fn run(task: &Task, stop: &Stop) -> Result<Ran, FatalError> {
    let folder = tempfile::tempdir()
        .map_err(|error| FatalError::Start(format!("a temporary folder: {error}")))?;
    let config = configuration(task, folder.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| FatalError::Start(format!("a runtime: {error}")))?;
    let ran = runtime.block_on(watch(task, &config, stop));
    runtime.shutdown_background();
    ran
}

async fn watch(task: &Task, config: &Config, stop: &Stop) -> Result<Ran, FatalError> {
    let shutdown = CancellationToken::new();
    let instance = Instance::new(shutdown.clone());
    let metrics = Arc::clone(&instance.metrics);
    let running = instance.run(config, &|_| None, None);
    tokio::pin!(running);
    let measured = tokio::select! {
        ended = &mut running => {
            ended?;
            return Err(FatalError::Start("the instance ended before its work was done".into()));
        }
        measured = measure(&metrics, task, stop) => measured,
    };
    shutdown.cancel();
    running.await?;
    measured
}

async fn measure(metrics: &Metrics, task: &Task, stop: &Stop) -> Result<Ran, FatalError> {
    let mut window = Window::new();
    loop {
        let totals = metrics.totals();
        if totals.read > 0 {
            window.open();
        }
        window.through(totals.outcomes(), task.records)?;
        let is_done = task
            .records
            .is_some_and(|records| totals.outcomes() >= records);
        if is_done || stop.is_asked() {
            return Ok(window.close(Some(outcomes(&totals))));
        }
        tokio::time::sleep(if window.is_open() { LOOK } else { FIRST }).await;
    }
}

fn outcomes(totals: &Totals) -> Outcomes {
    Outcomes {
        emitted: totals.emitted,
        filtered: totals.filtered,
        dead_lettered: totals.dead_lettered,
        retried: totals.retried,
    }
}

fn configuration(task: &Task, folder: &Path) -> Result<Config, FatalError> {
    for (name, text) in FILES {
        std::fs::write(folder.join(name), text)
            .map_err(|error| FatalError::Start(format!("writing {name}: {error}")))?;
    }
    let vars = |name: &str| {
        let value = match name {
            "BENCH_BROKERS" => task.brokers.clone(),
            "BENCH_REGISTRY" => task.registry.clone(),
            "BENCH_GROUP" => task.group.clone(),
            "BENCH_SOURCE" => task.source.clone(),
            "BENCH_SINK" => task.sink.clone(),
            "BENCH_LINGER" => task.linger.to_string(),
            "BENCH_WORKERS" => task.workers.to_string(),
            "BENCH_DELIVERY" => match task.contestant {
                Contestant::ExactlyOnce => "exactly_once".to_owned(),
                _ => "at_least_once".to_owned(),
            },
            "BENCH_PROVENANCE" => match task.contestant {
                Contestant::Header => "header".to_owned(),
                _ => "ledger".to_owned(),
            },
            _ => return None,
        };
        Some(value)
    };
    let loaded = config::load(&folder.join("driftgate.yaml"), &vars)
        .map_err(|faults| FatalError::Contract(diagnose::render(&faults, false)))?;
    let mut config = loaded.config;
    for pipeline in &mut config.pipelines {
        pipeline.source_topics.extend(task.beside.iter().cloned());
    }
    let given = task.properties.iter();
    let given = given.map(|(name, value)| (name.clone(), Secret::new(value.clone())));
    config.kafka.properties.extend(given);
    Ok(config)
}
