//! The way of a file: read → parse → interpolate → check → lower. Input: a path or a text. Output: a [`Config`] with its
//! warnings, or every fault that there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::baseline;
use super::check::Checker;
use super::fault::Fault;
use super::interpolate::{Env, interpolate};
use super::keys::{Key, main};
use super::lower::{self, Lowering};
use super::model::{Config, RulesFile};
use super::rules;
use super::source::Source;
use super::tree::{self, Tree};

/// No configuration that a person wrote is larger.
const MAX_FILE: u64 = 4 << 20;

/// A configuration without faults.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is legal and likely not meant.
    pub warnings: Vec<Fault>,
    /// What `check` warns of besides, and a running instance does not.
    pub advice: Vec<Fault>,
    /// The rules files that the pipelines name, by [`Contract::rules`](super::model::Contract::rules).
    pub rules: BTreeMap<PathBuf, RulesFile>,
    /// The configuration file, then the rules files and the baselines: what gives faults their lines.
    pub sources: Vec<Source>,
}

impl Loaded {
    /// Gives faults that were found later (in an expression, in a schema) the lines that they stand on.
    pub fn locate(&self, faults: &mut [Fault]) {
        for fault in faults {
            for source in &self.sources {
                source.locate(fault);
            }
        }
    }
}

/// Reads a configuration file and the rules files and baselines that it names. `vars` are the environment variables.
pub fn load(path: &Path, vars: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Vec<Fault>> {
    let name = path.display().to_string();
    let text = read_file(path, &name).map_err(|fault| vec![fault])?;
    let base = path.parent().unwrap_or(Path::new(""));
    load_text(&text, &name, base, vars)
}

/// Reads a configuration from a text. `name` stands for the file in faults, `base` is what paths are resolved against.
pub fn load_text(
    text: &str,
    name: &str,
    base: &Path,
    vars: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Fault>> {
    let input = Input {
        text,
        name,
        base,
        vars,
    };
    let (mut config, mut advice) = (None, Vec::new());
    let (source, mut warnings, mut faults) = input.read(main::ROOT, &mut |tree, cx| {
        config = Some(lower::lower(tree, name, cx));
        advice = std::mem::take(&mut cx.advice);
    });
    advice.iter_mut().for_each(|fault| source.locate(fault));
    let mut sources = vec![source];
    let mut rules_files = BTreeMap::new();
    for pipeline in config.iter().flat_map(|config| &config.pipelines) {
        let Some(path) = &pipeline.contract.rules else {
            continue;
        };
        // A path that leads nowhere has been reported at its place.
        if rules_files.contains_key(path) || !path.is_file() {
            continue;
        }
        let (source, outcome) = rules::load_source(path, vars);
        sources.extend(source);
        let file = match outcome {
            Ok((file, more)) => {
                warnings.extend(more);
                file
            }
            Err(more) => {
                faults.extend(more);
                RulesFile::default()
            }
        };
        rules_files.insert(path.clone(), file);
    }
    let mut baselines = BTreeSet::new();
    for pipeline in config.iter().flat_map(|config| &config.pipelines) {
        if let Some(path) = &pipeline.contract.baseline
            && path.is_file()
            && baselines.insert(path)
        {
            let (source, read) = baseline::load_source(path);
            sources.extend(source);
            faults.extend(read.err().unwrap_or_default());
        }
    }
    match config {
        Some(config) if faults.is_empty() => Ok(Loaded {
            config,
            warnings,
            advice,
            rules: rules_files,
            sources,
        }),
        _ => Err(faults),
    }
}

/// A text and what surrounds it.
pub(crate) struct Input<'a> {
    pub(crate) text: &'a str,
    pub(crate) name: &'a str,
    pub(crate) base: &'a Path,
    pub(crate) vars: &'a dyn Fn(&str) -> Option<String>,
}

impl Input<'_> {
    /// Runs every check, then `lower`; the source, the warnings and the faults, both in the file's order.
    pub(crate) fn read(
        &self,
        table: &'static [Key],
        lower: &mut dyn FnMut(&Tree, &mut Lowering<'_>),
    ) -> (Source, Vec<Fault>, Vec<Fault>) {
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(self.text);
        let mut faults = Vec::new();
        let mut tree = tree::parse(text, self.name, &mut faults);
        if let Some(root) = &mut tree.root {
            let env = Env {
                vars: self.vars,
                base: self.base,
            };
            interpolate(root, &env, &mut faults);
        }
        let mut checker = Checker::new(self.base, table, &tree);
        checker.root(&tree, self.name);
        let mut cx = Lowering {
            base: self.base,
            has_state_dir: false,
            complete: tree.complete,
            faults: Vec::new(),
            warnings: checker.warnings,
            advice: Vec::new(),
        };
        if tree.root.is_some() {
            lower(&tree, &mut cx);
        }
        faults.extend(checker.faults);
        faults.extend(cx.faults);
        let source = Source::new(
            self.name,
            text,
            [checker.masks, tree.masks].concat(),
            !tree.complete,
        )
        .rewritten(std::mem::take(&mut tree.rewritten));
        let mut warnings = cx.warnings;
        for list in [&mut faults, &mut warnings] {
            list.sort_by_key(|fault| (fault.place.line, fault.place.column));
            list.iter_mut().for_each(|fault| source.locate(fault));
        }
        (source, warnings, faults)
    }
}

pub(crate) fn read_file(path: &Path, name: &str) -> Result<String, Fault> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::of_file(name, "there is no such file")
            .hint("`driftgate init` writes one to begin with"),
        std::io::ErrorKind::PermissionDenied => Fault::of_file(name, "the file may not be read")
            .hint("its permissions keep this user out"),
        _ => Fault::of_file(name, format!("cannot read the file: {error}")),
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        let fault = Fault::of_file(name, "this is a folder, not a file");
        let inside = path.join("driftgate.yaml");
        return Err(match inside.is_file() {
            true => fault.hint(format!("did you mean {}?", inside.display())),
            false => fault,
        });
    }
    if metadata.len() > MAX_FILE {
        return Err(Fault::of_file(name, "the file is larger than 4 MiB"));
    }
    String::from_utf8(std::fs::read(path).map_err(failed)?).map_err(|error| {
        let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = sound.iter().filter(|byte| **byte == b'\n').count() + 1;
        Fault::of_file(
            name,
            format!("the file is not UTF-8 text, from line {line} on"),
        )
        .hint("save it as UTF-8")
    })
}
