//! The program `driftgate` with a step of our own: `run`, `check`, `test` and all other commands know it.
//!
//!     cargo run --example native-step -- test examples/native-step/native.cases.yaml
//!     cargo run --example native-step -- run -c examples/native-step/driftgate.yaml

mod iban;

fn main() -> std::process::ExitCode {
    driftgate::cli::main_with(iban::natives())
}
