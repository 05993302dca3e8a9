//! Which schema files are registered, under which subject, in which order. A file that uses a named type which another
//! `.avsc` file of its folder defines depends on that file: it is registered first, and referred to. Reads files only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::names::{Names, PRIMITIVES, full_name};
use crate::config;
use crate::config::fault::{Fault, cannot};
use crate::config::model::{Config, Place, SchemaSource};
use crate::config::scalar::closest;
use crate::config::source::Source;

/// A file that is to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The `.avsc` file.
    pub path: PathBuf,
    /// The subject.
    pub subject: String,
    /// The rules file that states the subject's compatibility; `<file>.rules.yaml` beside it, where there is one, for
    /// `None`.
    pub rules: Option<PathBuf>,
}

impl Target {
    /// A file whose name is its subject.
    pub fn of_file(path: impl Into<PathBuf>) -> Target {
        let path = path.into();
        let subject = SchemaSource::File { path: path.clone() }.subject();
        Target {
            path,
            subject,
            rules: None,
        }
    }
}

/// A schema file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFile {
    /// Where it stands.
    pub path: PathBuf,
    /// Its subject.
    pub subject: String,
    /// Its text, as it is registered.
    pub text: String,
    /// The compatibility level that its rules file states.
    pub level: Option<String>,
    /// Positions, in the plan, of the files that it refers to, with the name of the type.
    pub needs: Vec<(usize, String)>,
}

/// The files of a folder, not of those below it, each under its name.
pub fn of_dir(dir: &Path) -> Result<Vec<Target>, Fault> {
    Ok(avsc_files(dir)?.into_iter().map(Target::of_file).collect())
}

/// The files of a configuration: contracts under the file's name, sinks under the sink's subject.
pub fn of_config(config: &Config) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for pipeline in &config.pipelines {
        if let SchemaSource::File { path } = &pipeline.contract.schema {
            let rules = pipeline.contract.rules.clone();
            targets.push(Target {
                rules,
                ..Target::of_file(path)
            });
        }
        let key = pipeline.contract.key.as_ref().map(|key| &key.schema);
        if let Some(SchemaSource::File { path }) = key {
            targets.push(Target::of_file(path));
        }
        for sink in pipeline.sinks() {
            if let SchemaSource::File { path } = &sink.schema {
                targets.push(Target {
                    path: path.clone(),
                    subject: sink.subject.clone(),
                    rules: None,
                });
            }
        }
    }
    let mut merged: Vec<Target> = Vec::new();
    for target in targets {
        let same =
            |other: &&mut Target| other.path == target.path && other.subject == target.subject;
        match merged.iter_mut().find(same) {
            Some(other) => other.rules = other.rules.take().or(target.rules),
            None => merged.push(target),
        }
    }
    merged
}

/// Reads the targets and what they need from their folders, in an order in which each file stands after those that it
/// refers to. All faults at once.
pub fn plan(targets: &[Target]) -> Result<Vec<SchemaFile>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut read: Vec<Read> = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        let twin = targets[..index]
            .iter()
            .find(|other| other.subject == target.subject);
        match twin {
            Some(twin) if twin.path == target.path => continue,
            Some(twin) => {
                let message = format!(
                    "subject {} is that of {} too",
                    target.subject,
                    twin.path.display()
                );
                faults.push(of_file(&target.path, message));
            }
            None => match Read::new(target) {
                Ok(file) => read.push(file),
                Err(fault) => faults.push(fault),
            },
        }
    }
    let asked = read.len();
    let unreadable = read_siblings(&mut read, targets, &mut faults);

    let mut needs: Vec<Vec<(usize, String)>> = Vec::new();
    for file in &read {
        let mut of_file: BTreeMap<usize, String> = BTreeMap::new();
        for name in &file.uses {
            match provider(&read, file, name) {
                Ok(Some(index)) => {
                    // One reference a file, under the name of its top type where it has one.
                    let name = read[index].top.as_ref().unwrap_or(name);
                    of_file.insert(index, name.clone());
                }
                Ok(None) if needs.len() < asked => faults.push(undefined(file, name, &unreadable)),
                Ok(None) => {}
                Err(fault) => faults.push(fault),
            }
        }
        needs.push(of_file.into_iter().collect());
    }

    let mut order = Order {
        needs: &needs,
        placed: Vec::new(),
        open: Vec::new(),
    };
    for index in 0..asked {
        if let Err(circle) = order.place(index) {
            let names: Vec<_> = circle
                .iter()
                .map(|index| read[*index].subject.as_str())
                .collect();
            let message = format!("refers to itself: {}", names.join(" -> "));
            let fault = of_file(&read[index].path, message);
            faults.push(fault.hint(
                "a registry takes no schemas that refer to each other: define both types in one file",
            ));
            break;
        }
    }
    let placed = order.placed;
    let mut files = Vec::new();
    for index in &placed {
        let file = &read[*index];
        if *index >= asked {
            let missing = file
                .uses
                .iter()
                .filter(|name| matches!(provider(&read, file, name), Ok(None)));
            faults.extend(missing.map(|name| undefined(file, name, &unreadable)));
        }
        let position = |need: usize| placed.iter().position(|index| *index == need);
        let needs = needs[*index].iter();
        let needs = needs.filter_map(|(need, name)| Some((position(*need)?, name.clone())));
        match level_of(&file.target) {
            Ok(level) => files.push(SchemaFile {
                path: file.target.path.clone(),
                subject: file.subject.clone(),
                text: file.text.clone(),
                level,
                needs: needs.collect(),
            }),
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() {
        Ok(files)
    } else {
        Err(faults)
    }
}

/// A schema file's text, and those of the files that it takes types from, dependencies first.
pub fn read(path: &Path) -> Result<(String, Vec<String>), Vec<Fault>> {
    let mut files = plan(&[Target::of_file(path)])?;
    let last = files
        .pop()
        .ok_or_else(|| vec![of_file(path, "nothing to read")])?;
    Ok((last.text, files.into_iter().map(|file| file.text).collect()))
}

/// A file and the named types in it.
#[derive(Debug)]
struct Read {
    target: Target,
    path: PathBuf,
    subject: String,
    text: String,
    /// The top type's full name.
    top: Option<String>,
    defines: BTreeSet<String>,
    /// Used and not defined here.
    uses: BTreeSet<String>,
}

impl Read {
    fn new(target: &Target) -> Result<Read, Fault> {
        let path = &target.path;
        let text = std::fs::read(path).map_err(|error| of_file(path, cannot("read", &error)))?;
        let text = String::from_utf8(text).map_err(|_| {
            let fault = of_file(path, "the file is not UTF-8 text");
            fault.hint("save it as UTF-8")
        })?;
        let json: Value = serde_json::from_str(&text).map_err(|error| {
            let said = error.to_string();
            let what = said.split(" at line ").next().unwrap_or_default();
            let message = match text.trim() {
                "" => "the file holds nothing; expected an Avro schema".to_owned(),
                _ => format!("not JSON: {what}"),
            };
            at(path, &text, (error.line(), error.column()), "", message)
        })?;
        if target.subject.is_empty() {
            return Err(of_file(path, "has no subject"));
        }
        let mut names = Names::default();
        names.walk(&json, "");
        let uses = names.uses.difference(&names.defines).cloned().collect();
        Ok(Read {
            target: target.clone(),
            path: target.path.clone(),
            subject: target.subject.clone(),
            text,
            top: full_name(&json, "").filter(|name| names.defines.contains(name)),
            defines: names.defines,
            uses,
        })
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// Adds the other files of the folders in which a target needs something. The names of those that cannot be read.
fn read_siblings(read: &mut Vec<Read>, targets: &[Target], faults: &mut Vec<Fault>) -> Vec<Fault> {
    let folders: BTreeSet<PathBuf> = read
        .iter()
        .filter(|file| !file.uses.is_empty())
        .map(|file| file.folder().to_path_buf())
        .collect();
    let mut unreadable = Vec::new();
    for folder in folders {
        let siblings = match avsc_files(&folder) {
            Ok(siblings) => siblings,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        for path in siblings {
            if targets.iter().any(|target| target.path == path) {
                continue;
            }
            match Read::new(&Target::of_file(&path)) {
                Ok(file) => read.push(file),
                Err(fault) => unreadable.push(fault),
            }
        }
    }
    unreadable
}

/// The file of the same folder that defines a type. A file that stands under two subjects is meant under its first.
fn provider(read: &[Read], user: &Read, name: &str) -> Result<Option<usize>, Fault> {
    let defines =
        |file: &&(usize, &Read)| file.1.folder() == user.folder() && file.1.defines.contains(name);
    let all: Vec<(usize, &Read)> = read.iter().enumerate().collect();
    let found: Vec<_> = all.iter().filter(defines).collect();
    match found.as_slice() {
        [] => Ok(None),
        [(index, first), rest @ ..] => {
            match rest.iter().find(|(_, other)| other.path != first.path) {
                None => Ok(Some(*index)),
                Some((_, other)) => Err(of_file(
                    &user.path,
                    format!(
                        "type {name} is defined in {} and in {}",
                        first.path.display(),
                        other.path.display()
                    ),
                )),
            }
        }
    }
}

fn undefined(file: &Read, name: &str, unreadable: &[Fault]) -> Fault {
    let short = name.rsplit('.').next().unwrap_or(name);
    let message =
        format!("type {name} is defined neither here nor in another .avsc file of the folder");
    // Where it is written first, with its namespace or without.
    let quoted = [name, short].map(|name| format!("\"{name}\""));
    let found = quoted
        .iter()
        .find_map(|quoted| Some((file.text.find(quoted)?, quoted.as_str())));
    let fault = match found {
        Some((offset, quoted)) => {
            let before = &file.text[..offset];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            at(&file.path, &file.text, (line, column), quoted, message)
        }
        None => of_file(&file.path, message),
    };
    if let [first, ..] = unreadable {
        return fault.hint(format!("it may be in a file that is not readable: {first}"));
    }
    let kinds = PRIMITIVES.iter().copied();
    let known = kinds.chain(["record", "enum", "array", "map", "fixed"]);
    fault.hint(match closest(short, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("without a definition there are {}", PRIMITIVES.join(", ")),
    })
}

/// A fault of a file as a whole.
fn of_file(path: &Path, message: impl Into<String>) -> Fault {
    Fault::of_file(&path.display().to_string(), message)
}

/// A fault at a line and column of a file, with that line.
fn at(
    path: &Path,
    text: &str,
    (line, column): (usize, usize),
    written: &str,
    message: String,
) -> Fault {
    let file = path.display().to_string();
    let place = Place {
        file: file.clone(),
        line,
        column: column.max(1),
    };
    let mut fault = Fault::new(&place, written, message);
    Source::new(&file, text, Vec::new(), false).locate(&mut fault);
    fault
}

/// Depth first, dependencies before dependents.
struct Order<'a> {
    needs: &'a [Vec<(usize, String)>],
    placed: Vec<usize>,
    open: Vec<usize>,
}

impl Order<'_> {
    fn place(&mut self, index: usize) -> Result<(), Vec<usize>> {
        if self.placed.contains(&index) {
            return Ok(());
        }
        if let Some(start) = self.open.iter().position(|open| *open == index) {
            let mut circle = self.open[start..].to_vec();
            circle.push(index);
            return Err(circle);
        }
        self.open.push(index);
        for (need, _) in &self.needs[index] {
            self.place(*need)?;
        }
        self.open.pop();
        self.placed.push(index);
        Ok(())
    }
}

fn avsc_files(dir: &Path) -> Result<Vec<PathBuf>, Fault> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let fault = |error: std::io::Error| of_file(dir, cannot("list", &error));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "avsc")
            && path.is_file()
        {
            // As a path given without a folder is written, so that the two are recognised as one.
            paths.push(
                path.strip_prefix("./")
                    .map(Path::to_path_buf)
                    .unwrap_or(path),
            );
        }
    }
    paths.sort();
    Ok(paths)
}

/// `compatibility` of the rules file.
fn level_of(target: &Target) -> Result<Option<String>, Vec<Fault>> {
    let path = match &target.rules {
        Some(path) => path.clone(),
        None => {
            let beside = target.path.with_extension("rules.yaml");
            if !beside.exists() {
                return Ok(None);
            }
            beside
        }
    };
    let (rules, _) = config::rules::load(&path, &|name| std::env::var(name).ok())?;
    Ok(rules.compatibility)
}

#[cfg(test)]
mod tests;
