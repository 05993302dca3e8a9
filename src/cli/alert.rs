//! `driftgate alert test`: whether the webhooks take what they are sent, before something goes wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::{
    COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, complain_of, environment, print, runtime,
    warn_of,
};
use crate::alerts::{self, Tried};
use crate::config::{self, model};
use crate::instance;

/// Commands about alerts.
#[derive(Debug, clap::Subcommand)]
pub enum AlertCommand {
    /// Send a test alert to each webhook of the configuration, and say which took it.
    Test(TestArgs),
}

/// Arguments of `alert test`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  driftgate alert test -c driftgate.yaml\n  driftgate alert test --pipeline clean-orders --output json

A webhook goes by its number in the pipeline's `alerts`; its URL is a secret and is not printed.

Exit codes: 0 every webhook took it, 1 one answered and did not take it, 2 wrong usage, a configuration that `run`
refuses, or no webhook to try, 3 one did not answer."
)]
pub struct TestArgs {
    /// The configuration file.
    #[arg(short, long, default_value = "driftgate.yaml")]
    config: PathBuf,
    /// Only the webhooks of this pipeline.
    #[arg(long)]
    pipeline: Option<String>,
    /// With json, a list of objects.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Runs a command about alerts.
pub fn run(command: AlertCommand) -> anyhow::Result<ExitCode> {
    let AlertCommand::Test(args) = command;
    let loaded = match config::load(&args.config, &environment) {
        Ok(loaded) => loaded,
        Err(faults) => {
            complain_of(&faults);
            return Ok(ExitCode::from(USAGE));
        }
    };
    warn_of(&loaded.warnings);
    let config = &loaded.config;
    let chosen = match &args.pipeline {
        Some(name) => match model::named(&config.pipelines, name) {
            Ok(pipeline) => vec![pipeline],
            Err(text) => {
                complain(&format!("driftgate: {text}"));
                return Ok(ExitCode::from(USAGE));
            }
        },
        None => config.pipelines.iter().collect(),
    };
    let instance = instance::name(config, &environment);
    let now = instance::now();
    let tried = runtime()?.block_on(async {
        let tries = chosen.iter().flat_map(|pipeline| {
            let webhooks = 1..=pipeline.alerts.len();
            webhooks.map(|number| alerts::try_out(config, pipeline, number, &instance, now))
        });
        futures::future::try_join_all(tries).await
    })?;
    if tried.is_empty() {
        let hint = "alerts: [ { webhook: \"${ALERT_URL}\" } ], in a pipeline";
        complain(&format!("driftgate: there is no webhook to try: {hint}"));
        return Ok(ExitCode::from(USAGE));
    }
    match args.output {
        Output::Table => print(&table(&tried))?,
        Output::Json => {
            let list: Vec<_> = tried.iter().map(object).collect();
            print(&(serde_json::to_string_pretty(&list)? + "\n"))?;
        }
    }
    Ok(if tried.iter().any(|one| !one.is_reached) {
        ExitCode::from(COULD_NOT_RUN)
    } else if tried.iter().any(|one| one.refusal.is_some()) {
        ExitCode::from(FINDINGS)
    } else {
        ExitCode::SUCCESS
    })
}

fn object(tried: &Tried) -> serde_json::Value {
    json!({
        "pipeline": tried.pipeline,
        "webhook": tried.webhook,
        "format": tried.format.as_str(),
        "taken": tried.refusal.is_none(),
        "why": tried.refusal,
    })
}

fn table(tried: &[Tried]) -> String {
    let width = tried.iter().map(|one| one.pipeline.len()).max();
    let width = width.unwrap_or(0).max("pipeline".len());
    let mut out = format!("{:width$}  webhook  format  result\n", "pipeline");
    for one in tried {
        let result = one.refusal.as_deref();
        let result = result.map_or("taken".to_owned(), |why| format!("not taken: {why}"));
        out.push_str(&format!(
            "{:width$}  {:>7}  {:6}  {result}\n",
            one.pipeline,
            one.webhook,
            one.format.as_str()
        ));
    }
    out
}
