//! `driftgate completions SHELL`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  driftgate completions bash > /etc/bash_completion.d/driftgate

Exit codes: 0 printed, 2 wrong usage."
)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
pub fn run(args: CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut super::Args::command(),
        "driftgate",
        &mut script,
    );
    super::print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
