//! The benchmark's passthroughs in a program of their own, which does nothing about its allocator: as a program is that somebody
//! writes around librdkafka. `driftgate bench` starts it, and nobody else.

use std::process::ExitCode;

fn main() -> ExitCode {
    driftgate::cli::main()
}
