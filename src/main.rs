//! Arguments → command → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    driftgate::cli::main()
}
