//! Reviewed schema files against the versions before them. Input: files in dependency order, and a registry or other
//! schemas. Output: a verdict for each. What counts as a change and whom it breaks is
//! [`compat`](crate::contract::compat)'s to say; nothing is registered here.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{self, SchemaFile};
use crate::config::diagnose;
use crate::config::fault::Fault;
use crate::contract::compat::{self, Direction, Earlier, Level, Verdict};
use crate::contract::registry::{Fetched, RegistryClient, RegistryError, SchemaKind};
use crate::contract::schema::Schema;

/// Who said at which level a file is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LevelFrom {
    /// The command line.
    Option,
    /// `compatibility` of the rules file beside the schema.
    RulesFile,
    /// The registry, for the subject or for all.
    Registry,
    /// Nobody: `BACKWARD`, which is the registries' default.
    Default,
}

impl LevelFrom {
    /// For tables.
    pub const fn words(self) -> &'static str {
        match self {
            LevelFrom::Option => "as asked",
            LevelFrom::RulesFile => "rules file",
            LevelFrom::Registry => "registry",
            LevelFrom::Default => "default",
        }
    }
}

/// A version that cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Which.
    pub version: String,
    /// Why.
    pub why: String,
}

/// What a level forbids of a file, in one line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Against which version.
    pub version: String,
    /// Where.
    pub path: String,
    /// Which direction.
    pub direction: Direction,
    /// By the specification or by meaning.
    pub by: compat::By,
    /// What happens to a record.
    pub why: String,
}

/// A file and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The subject.
    pub subject: String,
    /// The file.
    pub file: PathBuf,
    /// Who said the level.
    pub level_from: LevelFrom,
    /// Whether nothing stands against it.
    pub compatible: bool,
    /// What does.
    pub findings: Vec<Finding>,
    /// Versions that the level is about and that cannot be compared, which stands against it too.
    pub unreadable: Vec<Unreadable>,
    /// The level, and all changes since each version that it is about.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// All files that were reached.
#[derive(Debug)]
pub struct Report {
    /// In the order of the plan.
    pub checked: Vec<Checked>,
    /// Why it ended before the last file: the registry could not be asked.
    pub stopped: Option<RegistryError>,
}

/// An earlier version, as it came.
#[derive(Debug, Clone)]
pub struct Known {
    /// What it is called.
    pub label: String,
    /// The schema, or why there is none.
    pub schema: Result<Schema, String>,
}

/// Parses a planned file with the files that it refers to. All of `plan` must be there, in its order.
pub fn parse(plan: &[SchemaFile], index: usize) -> Result<Schema, Fault> {
    let mut wanted = vec![false; plan.len()];
    wanted[index] = true;
    // Dependencies stand before those who need them.
    for at in (0..=index).rev() {
        if wanted[at] {
            plan[at]
                .needs
                .iter()
                .for_each(|(need, _)| wanted[*need] = true);
        }
    }
    let references: Vec<String> = (0..index)
        .filter(|at| wanted[*at])
        .map(|at| plan[at].text.clone())
        .collect();
    let file = &plan[index];
    Schema::parse(&file.text, &references)
        .map_err(|error| Fault::of_file(&file.path.display().to_string(), error.to_string()))
}

/// Checks each file against the versions that the registry has for its subject. `level` goes before the rules file's,
/// and that before the registry's. `schemas` are the plan's, parsed.
pub async fn against_registry(
    client: &RegistryClient,
    plan: &[SchemaFile],
    schemas: &[Schema],
    level: Option<Level>,
    mut progress: impl FnMut(&SchemaFile),
) -> Report {
    let mut report = Report {
        checked: Vec::new(),
        stopped: None,
    };
    for (file, schema) in plan.iter().zip(schemas) {
        progress(file);
        match one(client, file, schema, level).await {
            Ok(checked) => report.checked.push(checked),
            Err(error) => {
                report.stopped = Some(error);
                break;
            }
        }
    }
    report
}

async fn one(
    client: &RegistryClient,
    file: &SchemaFile,
    schema: &Schema,
    level: Option<Level>,
) -> Result<Checked, RegistryError> {
    let (level, from) = match stated(file, level) {
        Some(stated) => stated,
        None => {
            let word = client.compatibility(&file.subject).await?;
            let level = word.parse().map_err(|error| RegistryError::Unavailable {
                message: format!(
                    "registry {}: subject {}: {error}",
                    client.url(),
                    file.subject
                ),
                retry_after: None,
            })?;
            (level, LevelFrom::Registry)
        }
    };
    let mut versions = match client.versions(&file.subject).await {
        Ok(versions) => versions,
        Err(RegistryError::NoSuchSubject(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    if !level.is_transitive() {
        versions.drain(..versions.len().saturating_sub(1));
    }
    let mut earlier = Vec::with_capacity(versions.len());
    for number in versions {
        let version = client.version(&file.subject, Some(number)).await?;
        earlier.push(Known {
            label: format!("version {number} (id {})", version.id),
            schema: parse_fetched(&version.fetched),
        });
    }
    Ok(judge(file, schema, level, from, &earlier))
}

fn stated(file: &SchemaFile, level: Option<Level>) -> Option<(Level, LevelFrom)> {
    let rules = || Some((file.level.as_ref()?.parse().ok()?, LevelFrom::RulesFile));
    level.map(|level| (level, LevelFrom::Option)).or_else(rules)
}

/// Checks a file against given schemas, oldest first, without a registry.
pub fn against(
    file: &SchemaFile,
    schema: &Schema,
    level: Option<Level>,
    earlier: &[Known],
) -> Checked {
    let (level, from) = stated(file, level).unwrap_or((Level::Backward, LevelFrom::Default));
    judge(file, schema, level, from, earlier)
}

fn judge(
    file: &SchemaFile,
    schema: &Schema,
    level: Level,
    from: LevelFrom,
    earlier: &[Known],
) -> Checked {
    let about = match level.is_transitive() {
        true => earlier,
        false => &earlier[earlier.len().saturating_sub(1)..],
    };
    let mut readable = Vec::new();
    let mut unreadable = Vec::new();
    for known in about {
        match &known.schema {
            Ok(schema) => readable.push(Earlier {
                label: &known.label,
                schema,
            }),
            Err(_) if level == Level::None => {}
            Err(why) => unreadable.push(Unreadable {
                version: known.label.clone(),
                why: why.clone(),
            }),
        }
    }
    let verdict = compat::check(level, schema, &readable);
    let findings: Vec<Finding> = (verdict.findings())
        .map(|(version, change, found)| Finding {
            version: version.to_owned(),
            path: change.path.clone(),
            direction: found.direction,
            by: found.by,
            why: found.why.clone(),
        })
        .collect();
    Checked {
        subject: file.subject.clone(),
        file: file.path.clone(),
        level_from: from,
        compatible: findings.is_empty() && unreadable.is_empty(),
        findings,
        unreadable,
        verdict,
    }
}

fn parse_fetched(fetched: &Fetched) -> Result<Schema, String> {
    match fetched.kind {
        SchemaKind::Avro => {
            Schema::parse(&fetched.text, &fetched.references).map_err(|error| error.to_string())
        }
        _ => Err("is not Avro".to_owned()),
    }
}

/// Where a schema is to be found, as a person writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// `subject@3`, `subject@latest`.
    Version(String, Option<u32>),
    /// A schema id.
    Id(u32),
}

impl Source {
    /// A file if there is one of that name; else digits are an id, and what ends in `@number` or `@latest` a version.
    pub fn parse(text: &str) -> Source {
        if Path::new(text).exists() {
            return Source::File(text.into());
        }
        if let Ok(id) = text.parse() {
            return Source::Id(id);
        }
        match text.rsplit_once('@') {
            Some((subject, "latest")) if !subject.is_empty() => {
                Source::Version(subject.to_owned(), None)
            }
            Some((subject, number)) if !subject.is_empty() && number.parse::<u32>().is_ok() => {
                Source::Version(subject.to_owned(), number.parse().ok())
            }
            _ => Source::File(text.into()),
        }
    }

    /// Whether a registry has to be asked.
    pub const fn is_remote(&self) -> bool {
        !matches!(self, Source::File(_))
    }

    /// The schema and what to call it. The outer error is the registry's.
    pub async fn load(&self, client: Option<&RegistryClient>) -> Result<Known, RegistryError> {
        let (label, fetched) = match (self, client) {
            (Source::File(path), _) => {
                let file = path.display().to_string();
                let schema = files::read(path).and_then(|(text, references)| {
                    let parsed = Schema::parse(&text, &references);
                    parsed.map_err(|error| vec![Fault::of_file(&file, error.to_string())])
                });
                let schema = schema.map_err(|faults| {
                    let text = diagnose::render(&faults, false);
                    text.trim_end().to_owned()
                });
                return Ok(Known {
                    label: file,
                    schema,
                });
            }
            (_, None) => {
                return Ok(Known {
                    label: format!("{self:?}"),
                    schema: Err("needs a registry".to_owned()),
                });
            }
            (Source::Version(subject, number), Some(client)) => {
                let version = client.version(subject, *number).await?;
                let label = format!("{subject}@{} (id {})", version.version, version.id);
                (label, version.fetched)
            }
            (Source::Id(id), Some(client)) => (format!("id {id}"), client.schema_by_id(*id).await?),
        };
        let schema = parse_fetched(&fetched).map_err(|why| format!("{label}: {why}"));
        Ok(Known { label, schema })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_named_as_a_person_writes_it() {
        let version = |subject: &str, number| Source::Version(subject.to_owned(), number);
        let file = |path: &str| Source::File(path.into());
        for (text, expect) in [
            ("17", Source::Id(17)),
            ("orders-value@3", version("orders-value", Some(3))),
            ("orders-value@latest", version("orders-value", None)),
            ("a@b@2", version("a@b", Some(2))),
            ("orders-value", file("orders-value")),
            ("@3", file("@3")),
            ("orders@next", file("orders@next")),
            ("schemas/none.avsc", file("schemas/none.avsc")),
            ("Cargo.toml", file("Cargo.toml")),
        ] {
            assert_eq!(Source::parse(text), expect, "{text}");
        }
    }
}
