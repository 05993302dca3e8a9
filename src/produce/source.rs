//! The schema of the rows, and its place in the registry. Input: an `.avsc` file or a subject. Output: the parsed schema
//! and, once it is asked for, the id that frames carry.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::contract::registry::{Reference, RegistryClient, RegistryError};
use crate::contract::schema::Schema;
use crate::review::files::{self, SchemaFile, Target};
use crate::review::register;

/// Where the schema comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An `.avsc` file, registered under this subject. Types that it takes from files beside it are registered too.
    File {
        /// The file.
        path: PathBuf,
        /// The subject.
        subject: String,
    },
    /// A schema that is registered already.
    Subject {
        /// The subject.
        subject: String,
        /// The version; the latest for `None`.
        version: Option<u32>,
    },
}

/// A schema and what is known of its registration.
#[derive(Debug)]
pub struct Loaded {
    /// The schema.
    pub schema: Schema,
    /// Its subject.
    pub subject: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Files in dependency order, the schema's own last.
    Files(Vec<SchemaFile>),
    Registered(Registered),
}

/// Where a schema stands in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub id: u32,
    /// Its version in the subject.
    pub version: u32,
}

impl Loaded {
    /// Reads a schema file and the files beside it that it needs. Asks nobody.
    pub fn file(path: &Path, subject: &str) -> Result<Loaded, Failure> {
        let target = Target {
            path: path.to_owned(),
            subject: subject.to_owned(),
            rules: None,
        };
        let files = files::plan(&[target])
            .map_err(|faults| Failure::Asked(faults.iter().map(ToString::to_string).collect()))?;
        let Some((own, needed)) = files.split_last() else {
            return Err(Failure::asked(format!("{}: no schema", path.display())));
        };
        let references: Vec<String> = needed.iter().map(|file| file.text.clone()).collect();
        let schema = parse(&path.display().to_string(), &own.text, &references)?;
        Ok(Loaded {
            schema,
            subject: subject.to_owned(),
            place: Place::Files(files),
        })
    }

    /// Fetches a version of a subject.
    pub async fn subject(
        client: &RegistryClient,
        subject: &str,
        version: Option<u32>,
    ) -> Result<Loaded, Failure> {
        let found = client.version(subject, version).await.map_err(told)?;
        let name = format!("{subject} version {}", found.version);
        let schema = parse(&name, &found.fetched.text, &found.fetched.references)?;
        let place = Registered {
            id: found.id,
            version: found.version,
        };
        Ok(Loaded {
            schema,
            subject: subject.to_owned(),
            place: Place::Registered(place),
        })
    }

    /// Where the schema stands in the registry, as far as that is known without asking.
    pub fn known(&self) -> Option<Registered> {
        match &self.place {
            Place::Registered(place) => Some(*place),
            Place::Files(_) => None,
        }
    }

    /// Where the schema stands in the registry, after registering it if `register` allows that and it is not there. A
    /// subject's compatibility level is left as it is: `driftgate schema register` sets those.
    pub async fn registered(
        &self,
        client: &RegistryClient,
        register: bool,
    ) -> Result<Registered, Failure> {
        let files = match &self.place {
            Place::Registered(place) => return Ok(*place),
            Place::Files(files) => files,
        };
        let mut places: Vec<Registered> = Vec::with_capacity(files.len());
        for file in files {
            let references: Vec<Reference> = file
                .needs
                .iter()
                .map(|(index, name)| Reference {
                    name: name.clone(),
                    subject: files[*index].subject.clone(),
                    version: places[*index].version,
                })
                .collect();
            places.push(place(client, file, &references, register).await?);
        }
        let own = places.last().copied();
        own.ok_or_else(|| Failure::asked("there is no schema to register"))
    }
}

async fn place(
    client: &RegistryClient,
    file: &SchemaFile,
    references: &[Reference],
    register: bool,
) -> Result<Registered, Failure> {
    let SchemaFile { subject, text, .. } = file;
    if register {
        let ensured = register::ensure_version(client, subject, text, references).await;
        let ensured = ensured.map_err(|error| match error {
            RegistryError::Incompatible { message } => Failure::asked(format!(
                "{} is not compatible with what subject {subject} has: {message}",
                file.path.display()
            )),
            error => told(error),
        })?;
        return Ok(Registered {
            id: ensured.id,
            version: ensured.version,
        });
    }
    match client.find(subject, text, references).await.map_err(told)? {
        Some(found) => Ok(Registered {
            id: found.id,
            version: found.version,
        }),
        None => Err(Failure::asked(format!(
            "{} is not registered under {subject}, and --no-register forbids to do it",
            file.path.display()
        ))),
    }
}

fn parse(name: &str, text: &str, references: &[String]) -> Result<Schema, Failure> {
    Schema::parse(text, references).map_err(|error| Failure::asked(format!("{name}: {error}")))
}

fn told(error: RegistryError) -> Failure {
    match error {
        RegistryError::Unavailable { message, .. } => Failure::Unreachable(message),
        error => Failure::asked(error.to_string()),
    }
}
