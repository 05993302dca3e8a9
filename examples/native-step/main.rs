//! `driftgate run` with a step of our own.
//!
//!     cargo run --example native-step -- examples/native-step/driftgate.yaml

mod iban;

use std::path::PathBuf;
use std::process::ExitCode;

use driftgate::config::{self, diagnose};
use driftgate::instance::Instance;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let path = path.unwrap_or_else(|| "driftgate.yaml".into());
    let vars = |name: &str| std::env::var(name).ok();
    let config = match config::load(&path, &vars) {
        Ok(loaded) => loaded.config,
        Err(faults) => {
            eprintln!("{}", diagnose::render(&faults, false));
            return ExitCode::from(2);
        }
    };
    // Whoever cancels it ends the instance with a drain.
    let shutdown = CancellationToken::new();
    let end = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            end.cancel();
        }
    });
    let instance = Instance::new(shutdown).with_natives(iban::natives());
    match instance.run(&config, &vars, None).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(3)
        }
    }
}
