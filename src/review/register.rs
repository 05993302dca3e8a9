//! Registering schema files. Input: files in dependency order. Output: what became of each. Running it twice changes
//! nothing the second time. Reused wherever a schema has to be known before records are written with it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{self, SchemaFile, Target};
use crate::config::fault::Fault;
use crate::contract::registry::{Reference, RegistryClient, RegistryError, Version};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The subject had this schema already.
    Exists,
    /// It is a new version now.
    Registered,
    /// It would be one (dry run).
    WouldRegister,
    /// It breaks the subject's compatibility level.
    Incompatible,
    /// The registry does not take it for another reason.
    Refused,
    /// A file that it refers to could not be registered.
    Skipped,
}

impl Action {
    /// The word for tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Exists => "exists",
            Action::Registered => "registered",
            Action::WouldRegister => "would register",
            Action::Incompatible => "incompatible",
            Action::Refused => "refused",
            Action::Skipped => "skipped",
        }
    }

    /// Whether the file is not as it should be in the registry, and will not be without a change.
    pub const fn is_finding(self) -> bool {
        matches!(
            self,
            Action::Incompatible | Action::Refused | Action::Skipped
        )
    }
}

/// One file's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The subject.
    pub subject: String,
    /// The file.
    pub file: PathBuf,
    /// What became of it.
    pub action: Action,
    /// Its id, where it has one.
    pub id: Option<u32>,
    /// Its version, where it has one.
    pub version: Option<u32>,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// The level that its rules file states.
    pub compatibility: Option<String>,
    /// The level that the subject had before, when that was another one.
    pub compatibility_before: Option<String>,
    /// Why it is not registered, or what could not be checked.
    pub reasons: Vec<String>,
}

/// What became of all files that were reached.
#[derive(Debug)]
pub struct Report {
    /// In the order of the plan.
    pub outcomes: Vec<Outcome>,
    /// Why it ended before the last file: the registry could not be asked.
    pub stopped: Option<RegistryError>,
}

/// A schema's place in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ensured {
    /// Its id.
    pub id: u32,
    /// Its version in the subject.
    pub version: u32,
    /// Whether it was there before.
    pub existed: bool,
}

/// The id of an Avro schema in a subject, after registering it if it is not there.
pub async fn ensure(
    client: &RegistryClient,
    subject: &str,
    text: &str,
    references: &[Reference],
) -> Result<u32, RegistryError> {
    Ok(ensure_version(client, subject, text, references).await?.id)
}

/// As [`ensure`], with the version.
pub async fn ensure_version(
    client: &RegistryClient,
    subject: &str,
    text: &str,
    references: &[Reference],
) -> Result<Ensured, RegistryError> {
    if let Some(found) = client.find(subject, text, references).await? {
        return Ok(Ensured {
            id: found.id,
            version: found.version,
            existed: true,
        });
    }
    let id = client.register(subject, text, references).await?;
    let version = match client.find(subject, text, references).await? {
        Some(found) if found.id == id => found.version,
        // A registry that rewrites schemas does not find the text again; what was just registered is the latest.
        _ => client.version(subject, None).await?.version,
    };
    Ok(Ensured {
        id,
        version,
        existed: false,
    })
}

/// Registers files in the order given and sets the levels that their rules files state. A file that is refused does not
/// stop the others; a registry that cannot be asked does. With `dry_run` nothing is changed. `done` hears of each file.
pub async fn register(
    client: &RegistryClient,
    files: &[SchemaFile],
    dry_run: bool,
    mut done: impl FnMut(&Outcome),
) -> Report {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for file in files {
        let mut outcome = Outcome {
            subject: file.subject.clone(),
            file: file.path.clone(),
            action: Action::Skipped,
            id: None,
            version: None,
            references: Vec::new(),
            compatibility: file.level.clone(),
            compatibility_before: None,
            reasons: Vec::new(),
        };
        let mut unregistered = Vec::new();
        for (index, name) in &file.needs {
            let need = &outcomes[*index];
            match need.version {
                Some(version) => {
                    let (name, subject) = (name.clone(), need.subject.clone());
                    outcome.references.push(Reference {
                        name,
                        subject,
                        version,
                    });
                }
                None => unregistered.push(need),
            }
        }
        let told = if let Some(failed) = unregistered.iter().find(|need| need.action.is_finding()) {
            outcome.reasons.push(format!(
                "refers to {}, which is not registered",
                failed.subject
            ));
            Ok(())
        } else if let Some(new) = unregistered.first() {
            // Only in a dry run: without a version there is nothing to refer to, so the registry cannot be asked.
            outcome.action = Action::WouldRegister;
            outcome.reasons.push(format!(
                "not checked: refers to {}, which would be registered first",
                new.subject
            ));
            Ok(())
        } else if dry_run {
            preview(client, file, &mut outcome).await
        } else {
            apply(client, file, &mut outcome).await
        };
        if let Err(error) = told {
            return Report {
                outcomes,
                stopped: Some(error),
            };
        }
        done(&outcome);
        outcomes.push(outcome);
    }
    Report {
        outcomes,
        stopped: None,
    }
}

async fn preview(
    client: &RegistryClient,
    file: &SchemaFile,
    outcome: &mut Outcome,
) -> Result<(), RegistryError> {
    note_level(client, file, outcome).await?;
    if let Some(found) = client
        .find(&file.subject, &file.text, &outcome.references)
        .await?
    {
        outcome.action = Action::Exists;
        (outcome.id, outcome.version) = (Some(found.id), Some(found.version));
        return Ok(());
    }
    match client
        .check_compatible(&file.subject, &file.text, &outcome.references)
        .await
    {
        Ok(reasons) if reasons.is_empty() => {
            outcome.action = Action::WouldRegister;
            if let Some(before) = &outcome.compatibility_before {
                outcome
                    .reasons
                    .push(format!("checked at {before}, the level before"));
            }
        }
        Ok(reasons) => {
            outcome.action = Action::Incompatible;
            outcome.reasons = reasons;
        }
        Err(error) => return judge(error, outcome),
    }
    Ok(())
}

async fn apply(
    client: &RegistryClient,
    file: &SchemaFile,
    outcome: &mut Outcome,
) -> Result<(), RegistryError> {
    note_level(client, file, outcome).await?;
    // Before the schema, so that it is held to the level which was reviewed with it.
    if let (Some(level), Some(_)) = (&file.level, &outcome.compatibility_before)
        && let Err(error) = client.set_compatibility(&file.subject, level).await
    {
        return judge(error, outcome);
    }
    match ensure_version(client, &file.subject, &file.text, &outcome.references).await {
        Ok(ensured) => {
            outcome.action = if ensured.existed {
                Action::Exists
            } else {
                Action::Registered
            };
            (outcome.id, outcome.version) = (Some(ensured.id), Some(ensured.version));
        }
        Err(RegistryError::Incompatible { message }) => {
            outcome.action = Action::Incompatible;
            // The refusal often says only that; the check says why.
            let reasons = client
                .check_compatible(&file.subject, &file.text, &outcome.references)
                .await;
            outcome.reasons = match reasons {
                Ok(reasons) if !reasons.is_empty() => reasons,
                _ => vec![message],
            };
            return Ok(());
        }
        Err(error) => return judge(error, outcome),
    }
    Ok(())
}

async fn note_level(
    client: &RegistryClient,
    file: &SchemaFile,
    outcome: &mut Outcome,
) -> Result<(), RegistryError> {
    if let Some(level) = &file.level {
        let before = client.compatibility(&file.subject).await?;
        outcome.compatibility_before = (before != *level).then_some(before);
    }
    Ok(())
}

/// What the registry says of the file is the file's outcome; all else ends the run.
fn judge(error: RegistryError, outcome: &mut Outcome) -> Result<(), RegistryError> {
    outcome.action = match error {
        RegistryError::Incompatible { .. } => Action::Incompatible,
        RegistryError::Refused { .. }
        | RegistryError::NoSuchSubject(_)
        | RegistryError::NoSuchVersion { .. } => Action::Refused,
        RegistryError::Unavailable { .. } | RegistryError::UnknownId(_) => return Err(error),
    };
    outcome.reasons.push(error.to_string());
    Ok(())
}

/// The id of a reviewed file under `subject`, if it is registered there with the files that it refers to.
pub async fn find_file(
    client: &RegistryClient,
    subject: &str,
    path: &Path,
) -> Result<Option<u32>, RegistryError> {
    let files = planned(subject, path)?;
    let mut versions: Vec<Version> = Vec::with_capacity(files.len());
    for file in &files {
        let references = referred(file, &versions);
        match client.find(&file.subject, &file.text, &references).await? {
            Some(version) => versions.push(version),
            None => return Ok(None),
        }
    }
    Ok(versions.last().map(|version| version.id))
}

/// Registers a reviewed file under `subject`, and before it the files that it refers to. Idempotent.
pub async fn ensure_file(
    client: &RegistryClient,
    subject: &str,
    path: &Path,
) -> Result<u32, RegistryError> {
    let files = planned(subject, path)?;
    let mut versions: Vec<Version> = Vec::with_capacity(files.len());
    for file in &files {
        let references = referred(file, &versions);
        ensure(client, &file.subject, &file.text, &references).await?;
        let found = client.find(&file.subject, &file.text, &references).await?;
        versions.push(found.ok_or_else(|| RegistryError::NoSuchSubject(file.subject.clone()))?);
    }
    let last = versions.last().map(|version| version.id);
    last.ok_or_else(|| RegistryError::NoSuchSubject(subject.to_owned()))
}

/// What the registry has against a reviewed file as the next version of `subject`: empty when it would take it.
pub async fn check_file(
    client: &RegistryClient,
    subject: &str,
    path: &Path,
) -> Result<Vec<String>, RegistryError> {
    let files = planned(subject, path)?;
    let mut versions: Vec<Version> = Vec::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let references = referred(file, &versions);
        if index + 1 == files.len() {
            return client
                .check_compatible(&file.subject, &file.text, &references)
                .await;
        }
        match client.find(&file.subject, &file.text, &references).await? {
            Some(version) => versions.push(version),
            // Not registered either: registering brings both, in order.
            None => return Ok(Vec::new()),
        }
    }
    Ok(Vec::new())
}

fn one_line(faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

fn planned(subject: &str, path: &Path) -> Result<Vec<SchemaFile>, RegistryError> {
    let target = Target {
        path: path.to_path_buf(),
        subject: subject.to_owned(),
        rules: None,
    };
    // The status that registries answer to a schema that cannot be read.
    files::plan(&[target]).map_err(|faults| RegistryError::Refused {
        status: 422,
        message: one_line(&faults),
    })
}

fn referred(file: &SchemaFile, versions: &[Version]) -> Vec<Reference> {
    let needs = file
        .needs
        .iter()
        .filter_map(|(index, name)| Some((versions.get(*index)?, name)));
    needs
        .map(|(version, name)| Reference {
            name: name.clone(),
            subject: version.subject.clone(),
            version: version.version,
        })
        .collect()
}
