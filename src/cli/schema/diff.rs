//! `driftgate schema diff`: what differs between two schemas, wherever they lie.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Output, USAGE, lines, registry};
use crate::config::model::Config;
use crate::contract::compat::{self, Direction};
use crate::contract::registry::RegistryClient;
use crate::review::check::Source;

/// `schema diff`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftgate schema diff main/orders-value.avsc schemas/orders-value.avsc
  driftgate schema diff orders-value@1 orders-value@latest --registry http://localhost:8081
  driftgate schema diff 17 schemas/orders-value.avsc --output json

Exit codes: 0 shown, 2 one of them cannot be read, 3 the registry could not be reached.")]
pub struct DiffArgs {
    /// The old schema: a file, `subject@version`, `subject@latest`, or a schema id
    #[arg(value_name = "OLD")]
    pub old: String,
    /// The new one
    #[arg(value_name = "NEW")]
    pub new: String,
    /// The configuration, for its registry
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The registry's URL [default: the configuration's, $SCHEMA_REGISTRY_URL, or http://localhost:8081]
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Form of the result on stdout
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// `schema diff`, with its outputs: results on `out`, all else on `log`.
pub fn diff(
    args: &DiffArgs,
    config: Option<&Config>,
    out: &mut dyn Write,
    log: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let sources = [Source::parse(&args.old), Source::parse(&args.new)];
    let mut client = None;
    if sources.iter().any(Source::is_remote) {
        match RegistryClient::new(&registry(config, args.registry.as_deref())) {
            Ok(made) => client = Some(made),
            Err(error) => {
                writeln!(log, "{error}")?;
                return Ok(ExitCode::from(USAGE));
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut labels = Vec::new();
    let mut schemas = Vec::new();
    for source in &sources {
        match runtime.block_on(source.load(client.as_ref())) {
            Ok(known) => {
                labels.push(known.label);
                match known.schema {
                    Ok(schema) => schemas.push(schema),
                    Err(why) => writeln!(log, "{why}")?,
                }
            }
            Err(error) => return super::unanswered(&error, log),
        }
    }
    let ([old, new], [old_label, new_label]) = (schemas.as_slice(), labels.as_slice()) else {
        return Ok(ExitCode::from(USAGE));
    };
    let changes = compat::diff(old, new);
    let breaks = |direction| changes.iter().any(|change| change.breaks(direction));
    let (backward, forward) = (breaks(Direction::Backward), breaks(Direction::Forward));
    if args.output == Output::Json {
        let report = json!({
            "old": old_label,
            "new": new_label,
            "backward": !backward,
            "forward": !forward,
            "changes": changes,
        });
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{old_label} -> {new_label}")?;
    if changes.is_empty() {
        writeln!(out, "  no change")?;
        return Ok(ExitCode::SUCCESS);
    }
    lines::changes(&changes, None, out)?;
    let word = |broken| if broken { "breaks" } else { "compatible" };
    let (backward, forward) = (word(backward), word(forward));
    writeln!(out, "  backward: {backward}, forward: {forward}")?;
    Ok(ExitCode::SUCCESS)
}
