//! Which schema files are registered, under which subject, in which order. A file that uses a named type which another
//! `.avsc` file of its folder defines depends on that file: it is registered first, and referred to. Reads files only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config;
use crate::config::model::{Config, SchemaSource};

/// The levels that a registry knows.
pub const LEVELS: [&str; 7] = [
    "NONE",
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
];

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
pub fn of_dir(dir: &Path) -> Result<Vec<Target>, String> {
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
        if let SchemaSource::File { path } = &pipeline.sink.schema {
            let subject = pipeline.sink.subject.clone();
            targets.push(Target {
                path: path.clone(),
                subject,
                rules: None,
            });
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
/// refers to. All faults at once, a line each.
pub fn plan(targets: &[Target]) -> Result<Vec<SchemaFile>, Vec<String>> {
    let mut faults = Vec::new();
    let mut read: Vec<Read> = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        let twin = targets[..index]
            .iter()
            .find(|other| other.subject == target.subject);
        match twin {
            Some(twin) if twin.path == target.path => continue,
            Some(twin) => {
                let (one, other) = (twin.path.display(), target.path.display());
                faults.push(format!(
                    "{other}: subject {} is that of {one} too",
                    target.subject
                ));
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
            faults.push(format!(
                "{}: refers to itself: {}",
                read[index].path.display(),
                names.join(" -> ")
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
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(files)
    } else {
        Err(faults)
    }
}

/// A schema file's text, and those of the files that it takes types from, dependencies first.
pub fn read(path: &Path) -> Result<(String, Vec<String>), String> {
    let mut files = plan(&[Target::of_file(path)]).map_err(|faults| faults.join("\n"))?;
    let last = files
        .pop()
        .ok_or_else(|| format!("{}: nothing to read", path.display()))?;
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
    fn new(target: &Target) -> Result<Read, String> {
        let shown = target.path.display();
        let text =
            std::fs::read_to_string(&target.path).map_err(|error| format!("{shown}: {error}"))?;
        let json: Value =
            serde_json::from_str(&text).map_err(|error| format!("{shown}: not JSON: {error}"))?;
        if target.subject.is_empty() {
            return Err(format!("{shown}: has no subject"));
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
fn read_siblings(
    read: &mut Vec<Read>,
    targets: &[Target],
    faults: &mut Vec<String>,
) -> Vec<String> {
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
fn provider(read: &[Read], user: &Read, name: &str) -> Result<Option<usize>, String> {
    let defines =
        |file: &&(usize, &Read)| file.1.folder() == user.folder() && file.1.defines.contains(name);
    let all: Vec<(usize, &Read)> = read.iter().enumerate().collect();
    let found: Vec<_> = all.iter().filter(defines).collect();
    match found.as_slice() {
        [] => Ok(None),
        [(index, first), rest @ ..] => {
            match rest.iter().find(|(_, other)| other.path != first.path) {
                None => Ok(Some(*index)),
                Some((_, other)) => Err(format!(
                    "{}: type {name} is defined in {} and in {}",
                    user.path.display(),
                    first.path.display(),
                    other.path.display()
                )),
            }
        }
    }
}

fn undefined(file: &Read, name: &str, unreadable: &[String]) -> String {
    let mut fault = format!(
        "{}: type {name} is defined neither here nor in another .avsc file of the folder",
        file.path.display()
    );
    if !unreadable.is_empty() {
        fault.push_str(&format!(" (not readable: {})", unreadable.join("; ")));
    }
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

fn avsc_files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let fault = |error: std::io::Error| format!("{}: {error}", dir.display());
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
fn level_of(target: &Target) -> Result<Option<String>, String> {
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
    match config::rules::load(&path, &|name| std::env::var(name).ok()) {
        Ok((rules, _)) => Ok(rules.compatibility),
        Err(faults) => Err(config::diagnose::render(&faults, false)),
    }
}

const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// The full name that a definition gives itself inside a namespace.
fn full_name(definition: &Value, enclosing: &str) -> Option<String> {
    let name = definition.get("name")?.as_str()?;
    let namespace = definition
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or(enclosing);
    Some(qualified(name, namespace))
}

fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

/// The named types of a schema, defined and used, as the Avro specification resolves names.
#[derive(Default)]
struct Names {
    defines: BTreeSet<String>,
    uses: BTreeSet<String>,
}

impl Names {
    fn walk(&mut self, schema: &Value, namespace: &str) {
        match schema {
            Value::String(name) if !PRIMITIVES.contains(&name.as_str()) => {
                self.uses.insert(qualified(name, namespace));
            }
            Value::Array(branches) => branches
                .iter()
                .for_each(|branch| self.walk(branch, namespace)),
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => match kind.as_str() {
                    "record" | "error" | "enum" | "fixed" => self.define(schema, namespace),
                    "array" => object
                        .get("items")
                        .into_iter()
                        .for_each(|items| self.walk(items, namespace)),
                    "map" => object
                        .get("values")
                        .into_iter()
                        .for_each(|values| self.walk(values, namespace)),
                    _ => self.walk(&object["type"], namespace),
                },
                Some(nested) => self.walk(nested, namespace),
                None => {}
            },
            _ => {}
        }
    }

    fn define(&mut self, definition: &Value, enclosing: &str) {
        let Some(full) = full_name(definition, enclosing) else {
            return;
        };
        let namespace = full
            .rsplit_once('.')
            .map_or("", |(namespace, _)| namespace)
            .to_owned();
        self.defines.insert(full);
        for field in definition
            .get("fields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            field
                .get("type")
                .into_iter()
                .for_each(|kind| self.walk(kind, &namespace));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::model::{
        Admin, Contract, DeadLetter, Delivery, Failure, Kafka, Owner, Pipeline, Provenance,
        Registry, RegistryAuth, RegistryTls, Sink,
    };

    const MONEY: &str = r#"{"type":"fixed","name":"Money","namespace":"shop","size":8}"#;
    const LINE: &str =
        r#"{"type":"record","name":"shop.Line","fields":[{"name":"price","type":"Money"}]}"#;
    const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
        {"name":"lines","type":{"type":"array","items":"shop.Line"}},
        {"name":"total","type":["null",{"type":"Money"}]},
        {"name":"parent","type":["null","Order"]}]}"#;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        dir
    }

    fn order(files: &[SchemaFile]) -> Vec<(&str, Vec<&str>)> {
        let needs = |file: &SchemaFile| {
            file.needs
                .iter()
                .map(|(index, _)| files[*index].subject.clone())
                .collect()
        };
        let needs: Vec<Vec<String>> = files.iter().map(needs).collect();
        let name = |need: &String| {
            files
                .iter()
                .find(|file| file.subject == *need)
                .map(|file| file.subject.as_str())
        };
        let named = needs
            .iter()
            .map(|needs| needs.iter().filter_map(name).collect());
        files
            .iter()
            .map(|file| file.subject.as_str())
            .zip(named)
            .collect()
    }

    #[test]
    fn dependencies_come_first_even_unasked() {
        let dir = folder(&[
            ("a-order.avsc", ORDER),
            ("line.avsc", LINE),
            ("money.avsc", MONEY),
            (
                "other.avsc",
                r#"{"type":"record","name":"Other","fields":[{"name":"x","type":"Nowhere"}]}"#,
            ),
            ("notes.txt", "no schema"),
        ]);
        let target = Target::of_file(dir.path().join("a-order.avsc"));
        let files = plan(&[target]).expect("a plan");
        assert_eq!(
            order(&files),
            [
                ("money", vec![]),
                ("line", vec!["money"]),
                ("a-order", vec!["line", "money"])
            ]
        );
        assert_eq!(
            files[2].needs,
            [(1, "shop.Line".to_owned()), (0, "shop.Money".to_owned())]
        );
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let record = |name: &str, kind: &str| {
            format!(
                r#"{{"type":"record","name":"{name}","fields":[{{"name":"x","type":"{kind}"}}]}}"#
            )
        };
        let dir = folder(&[
            ("one.avsc", &record("One", "Missing")),
            ("two.avsc", "{"),
            ("three.avsc", &record("Three", "Money")),
            ("m1.avsc", r#"{"type":"fixed","name":"Money","size":8}"#),
            ("m2.avsc", r#"{"type":"fixed","name":"Money","size":9}"#),
            ("m2.rules.yaml", "compatibility: SIDEWAYS\n"),
        ]);
        let faults = plan(&of_dir(dir.path()).expect("targets"))
            .expect_err("faults")
            .join("\n");
        for expect in [
            "type Missing is defined neither",
            "two.avsc: not JSON",
            "type Money is defined in",
            "expected NONE",
        ] {
            assert!(faults.contains(expect), "{expect} in {faults}");
        }
    }

    #[test]
    fn a_circle_is_named() {
        let dir = folder(&[
            (
                "a.avsc",
                r#"{"type":"record","name":"A","fields":[{"name":"b","type":"B"}]}"#,
            ),
            (
                "b.avsc",
                r#"{"type":"record","name":"B","fields":[{"name":"a","type":["null","A"]}]}"#,
            ),
        ]);
        let faults = plan(&of_dir(dir.path()).expect("targets")).expect_err("a circle");
        assert!(faults[0].contains("a -> b -> a"), "{faults:?}");
    }

    #[test]
    fn the_level_is_that_of_the_rules_file() {
        let dir = folder(&[
            ("money.avsc", MONEY),
            (
                "money.rules.yaml",
                "owner: {team: shop}\ncompatibility: FULL\n",
            ),
        ]);
        let files = plan(&of_dir(dir.path()).expect("targets")).expect("a plan");
        assert_eq!(files[0].level.as_deref(), Some("FULL"));
        let elsewhere = Target {
            rules: Some(dir.path().join("gone.yaml")),
            ..Target::of_file(dir.path().join("money.avsc"))
        };
        let faults = plan(&[elsewhere]).expect_err("the file is missing");
        assert!(faults[0].contains("gone.yaml"), "{faults:?}");
    }

    #[test]
    fn one_subject_is_one_file() {
        let dir = folder(&[("a.avsc", MONEY), ("b.avsc", MONEY)]);
        let target = |name: &str| Target {
            subject: "same".to_owned(),
            ..Target::of_file(dir.path().join(name))
        };
        assert_eq!(
            plan(&[target("a.avsc"), target("a.avsc")])
                .expect("twice the same")
                .len(),
            1
        );
        assert!(
            plan(&[target("a.avsc"), target("b.avsc")]).expect_err("two files")[0]
                .contains("subject same")
        );
    }

    #[test]
    fn a_configuration_names_contracts_by_file_and_sinks_by_subject() {
        let file = |path: &str| SchemaSource::File { path: path.into() };
        let pipeline = |contract: SchemaSource, rules: Option<&str>, sink: SchemaSource| Pipeline {
            name: "p".to_owned(),
            owner: Owner::default(),
            group: "p".to_owned(),
            workers: 1,
            delivery: Delivery::AtLeastOnce,
            provenance: Provenance::None,
            source_topics: vec!["orders".to_owned()],
            contract: Contract {
                schema: contract,
                rules: rules.map(PathBuf::from),
                drift: crate::config::model::Drift::default(),
            },
            transform: Vec::new(),
            sink: Sink {
                place: Default::default(),
                topic: "clean".to_owned(),
                schema: sink,
                subject: "clean-value".to_owned(),
                auto_register: false,
            },
            failure: Failure {
                tiers: Vec::new(),
                jitter: 0.0,
                budget: Duration::ZERO,
                dead_letter: DeadLetter {
                    topic: None,
                    retention: None,
                },
            },
            alerts: Vec::new(),
            create_topics: true,
        };
        let subject = SchemaSource::Subject {
            subject: "s".to_owned(),
            version: None,
        };
        let config = Config {
            kafka: Kafka {
                bootstrap_servers: String::new(),
                properties: BTreeMap::new(),
                group_instance_id: None,
            },
            registry: Registry {
                url: String::new(),
                auth: RegistryAuth::None,
                tls: RegistryTls::default(),
                cache_dir: None,
                timeout: Duration::ZERO,
            },
            admin: Admin {
                listen: None,
                token: None,
            },
            memory_limit: 0,
            shutdown_grace: Duration::ZERO,
            pipelines: vec![
                pipeline(file("s/orders-value.avsc"), None, file("s/out.avsc")),
                pipeline(file("s/orders-value.avsc"), Some("r.yaml"), subject.clone()),
                pipeline(subject, None, file("s/out.avsc")),
            ],
        };
        let orders = Target {
            rules: Some("r.yaml".into()),
            ..Target::of_file("s/orders-value.avsc")
        };
        let out = Target {
            path: "s/out.avsc".into(),
            subject: "clean-value".to_owned(),
            rules: None,
        };
        assert_eq!(orders.subject, "orders-value");
        assert_eq!(of_config(&config), [orders, out]);
    }
}
