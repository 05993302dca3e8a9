//! `driftgate init`: a commented starting point that loads without a fault. Input: a folder. Output: five files in it.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

/// Path below the folder, content.
const FILES: [(&str, &str); 5] = [
    ("driftgate.yaml", include_str!("init/driftgate.yaml")),
    (
        "driftgate.test.yaml",
        include_str!("init/driftgate.test.yaml"),
    ),
    (
        "schemas/orders-value.avsc",
        include_str!("init/orders-value.avsc"),
    ),
    (
        "schemas/orders-value.rules.yaml",
        include_str!("init/orders-value.rules.yaml"),
    ),
    (
        "schemas/orders.clean-value.avsc",
        include_str!("init/orders.clean-value.avsc"),
    ),
];

/// Writes a commented starting point: a configuration, a contract with rules, the schema of the output, and
/// tests of the pipeline.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  driftgate init orders && driftgate check --offline -c orders/driftgate.yaml\n  driftgate test orders

Exit codes: 0 the files are written, 2 wrong usage, or a file exists, 3 a file could not be written."
)]
pub struct InitArgs {
    /// Folder to write into; made if it is not there.
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Replace files that exist.
    #[arg(long)]
    pub force: bool,
}

/// Writes the files, or, when any of them exists and `--force` is not given, none of them.
pub fn run(args: InitArgs) -> anyhow::Result<ExitCode> {
    let existing: Vec<PathBuf> = FILES
        .iter()
        .map(|(name, _)| args.dir.join(name))
        .filter(|path| path.symlink_metadata().is_ok())
        .collect();
    if !existing.is_empty() && !args.force {
        let mut stderr = std::io::stderr().lock();
        for path in &existing {
            writeln!(stderr, "{} exists", path.display())?;
        }
        writeln!(
            stderr,
            "nothing was written; --force replaces what is there"
        )?;
        return Ok(ExitCode::from(2));
    }
    let mut stdout = std::io::stdout().lock();
    for (name, content) in FILES {
        let path = args.dir.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(stdout, "{}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
