//! `driftgate schema …`: reviewed schema files and the registry.

mod check;
mod diff;
mod lines;
mod register;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

pub use self::check::{CheckArgs, check};
pub use self::diff::{DiffArgs, diff};
pub use self::register::{RegisterArgs, register};
use crate::config::model::{Config, Registry, RegistryAuth, RegistryTls};
use crate::contract::registry::RegistryError;
use crate::review::files::{self, Target};

const FINDINGS: u8 = 1;
const USAGE: u8 = 2;
const COULD_NOT_RUN: u8 = 3;

/// The subcommands of `schema`.
#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Register schema files, in dependency order, with references and compatibility levels
    ///
    /// A file is registered under its name without `.avsc`. One that uses a named type which another file of its
    /// folder defines gets a reference to that file's subject, and that file is registered first. Where a
    /// `<subject>.rules.yaml` beside it states a `compatibility`, the subject gets that level. What is already
    /// registered stays as it is.
    Register(RegisterArgs),
    /// Hold schema files to the versions before them: each change by path, and whom it breaks
    ///
    /// Changes that the Avro specification lets pass and that change what a value means (milliseconds to
    /// microseconds, a date to a time of day) break both directions here. Nothing is registered.
    Check(CheckArgs),
    /// Show what differs between two schemas, by path, and whom each change breaks
    Diff(DiffArgs),
}

/// The form of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns.
    Table,
    /// One JSON array.
    Json,
}

/// Runs a `schema` command. `load_config` reads a configuration file; an error of it is a usage error.
pub fn run(
    command: SchemaCommand,
    load_config: impl FnOnce(&Path) -> anyhow::Result<Config>,
) -> anyhow::Result<ExitCode> {
    let path = match &command {
        SchemaCommand::Register(args) => args.config.as_deref(),
        SchemaCommand::Check(args) => args.config.as_deref(),
        SchemaCommand::Diff(args) => args.config.as_deref(),
    };
    let config = match path.map(load_config).transpose() {
        Ok(config) => config,
        Err(error) => {
            writeln!(io::stderr(), "{error:#}")?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    let (out, log) = (&mut io::stdout().lock(), &mut io::stderr());
    match command {
        SchemaCommand::Register(args) => register(&args, config.as_ref(), out, log),
        SchemaCommand::Check(args) => check(&args, config.as_ref(), out, log),
        SchemaCommand::Diff(args) => diff(&args, config.as_ref(), out, log),
    }
}

/// The files that a command is about: those named, those of a folder, those of a configuration, or those of `schemas`.
fn targets(
    named: &[PathBuf],
    dir: Option<&Path>,
    config: Option<&Config>,
) -> Result<Vec<Target>, Vec<String>> {
    match (dir, config) {
        _ if !named.is_empty() => Ok(named.iter().map(Target::of_file).collect()),
        (Some(dir), _) => files::of_dir(dir).map_err(|fault| vec![fault]),
        (None, Some(config)) => Ok(files::of_config(config)),
        (None, None) => files::of_dir(Path::new("schemas")).map_err(|fault| vec![fault]),
    }
}

/// The registry of the configuration or of the environment, at `url` if that is given.
fn registry(url: Option<&str>, config: Option<&Config>) -> Registry {
    let mut registry = match config {
        Some(config) => config.registry.clone(),
        None => Registry {
            url: std::env::var("SCHEMA_REGISTRY_URL")
                .unwrap_or_else(|_| "http://localhost:8081".to_owned()),
            auth: RegistryAuth::None,
            tls: RegistryTls::default(),
            cache_dir: None,
            timeout: Duration::from_secs(10),
        },
    };
    if let Some(url) = url {
        url.clone_into(&mut registry.url);
    }
    registry
}

/// A schema that the registry does not have was asked for in vain; anything else says nothing of the schema.
fn unanswered(error: &RegistryError, log: &mut dyn Write) -> anyhow::Result<ExitCode> {
    writeln!(log, "{error}")?;
    Ok(ExitCode::from(match error {
        RegistryError::UnknownId(_)
        | RegistryError::NoSuchSubject(_)
        | RegistryError::NoSuchVersion { .. } => USAGE,
        _ => COULD_NOT_RUN,
    }))
}
