//! From the configuration to a compiled pipeline: schemas are loaded, rules and steps are checked against them, and the
//! last step's type against the sink. Both `check` and `run` do exactly this. Asks the registry only for what the
//! configuration says lies there.

use std::path::Path;
use std::sync::Arc;

use crate::config::fault::Fault;
use crate::config::model::{Pipeline, Place, SchemaSource};
use crate::contract::registry::{RegistryClient, RegistryError};
use crate::contract::resolve::Resolution;
use crate::contract::rules::Rules;
use crate::contract::schema::Schema;
use crate::failure::envelope::Stamp;
use crate::pipeline::Compiled;
use crate::review::files;
use crate::transform::{Transform, check_sink, sink_resolution};

/// A schema with what it is called.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The schema.
    pub schema: Arc<Schema>,
    /// `subject@version`, or `file#fingerprint`.
    pub name: String,
    /// Its text, for registration.
    pub text: String,
    /// The registry's id, where it came from there.
    pub id: Option<u32>,
}

/// Why a pipeline could not be compiled.
#[derive(Debug)]
pub enum BuildError {
    /// What is written is wrong.
    Faults(Vec<Fault>),
    /// The registry could not be asked, or does not have what it is asked for.
    Registry(RegistryError),
}

impl From<RegistryError> for BuildError {
    fn from(error: RegistryError) -> Self {
        BuildError::Registry(error)
    }
}

/// Loads a schema. `registry` is `None` with `--offline`: a subject then cannot be loaded.
pub async fn load_schema(
    source: &SchemaSource,
    registry: Option<&RegistryClient>,
) -> Result<Option<Loaded>, BuildError> {
    match source {
        SchemaSource::File { path } => load_file(path).map(Some).map_err(BuildError::Faults),
        SchemaSource::Subject { subject, version } => {
            let Some(registry) = registry else {
                return Ok(None);
            };
            let found = registry.version(subject, *version).await?;
            let name = format!("{}@{}", found.subject, found.version);
            let schema =
                Schema::parse(&found.fetched.text, &found.fetched.references).map_err(|error| {
                    let place = Place {
                        file: name.clone(),
                        line: 1,
                        column: 1,
                    };
                    BuildError::Faults(vec![Fault::new(&place, "", error.to_string())])
                })?;
            Ok(Some(Loaded {
                schema: Arc::new(schema),
                name,
                text: found.fetched.text.clone(),
                id: Some(found.id),
            }))
        }
    }
}

/// Loads an `.avsc` file with the named types that it takes from its neighbours.
pub fn load_file(path: &Path) -> Result<Loaded, Vec<Fault>> {
    let (text, references) = files::read(path)?;
    let schema = Schema::parse(&text, &references).map_err(|error| {
        let file = path.display().to_string();
        vec![Fault::of_file(&file, error.to_string())]
    })?;
    let stem = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = format!("{stem}#{}", &schema.fingerprint()[..12]);
    Ok(Loaded {
        schema: Arc::new(schema),
        name,
        text,
        id: None,
    })
}

/// The parts of a pipeline that need both of its schemas.
pub struct Parts {
    /// The contract's schema.
    pub contract: Loaded,
    /// The sink's schema.
    pub sink: Loaded,
    rules: Rules,
    transform: Transform,
    to_sink: Resolution,
}

impl Parts {
    /// The type after each step, in words, for `check --explain`.
    pub fn types(&self) -> impl Iterator<Item = (String, &Schema)> {
        self.transform
            .types()
            .map(|(step, schema)| (step.to_string(), schema))
    }

    /// The pipeline, with the id that the sink's schema has in the registry.
    pub fn finish(self, config: &Pipeline, sink_id: u32) -> Compiled {
        Compiled {
            stamp: Stamp {
                pipeline: config.name.clone(),
                group: config.group.clone(),
                owner: config.owner.to_string(),
                contract: self.contract.name,
            },
            config: config.clone(),
            contract: self.contract.schema,
            rules: self.rules,
            transform: self.transform,
            sink: self.sink.schema,
            to_sink: self.to_sink,
            sink_id,
        }
    }
}

/// Checks and compiles everything of a pipeline but the sink's id. `Ok(None)`: a subject was needed and `--offline`
/// forbids to ask.
pub async fn compile(
    config: &Pipeline,
    registry: Option<&RegistryClient>,
    vars: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Parts>, BuildError> {
    let (contract, sink) = (
        load_schema(&config.contract.schema, registry).await,
        load_schema(&config.sink.schema, registry).await,
    );
    let mut faults = Vec::new();
    let mut loaded = Vec::new();
    for result in [contract, sink] {
        match result {
            Ok(Some(schema)) => loaded.push(schema),
            Ok(None) => {}
            Err(BuildError::Faults(more)) => faults.extend(more),
            Err(error) => return Err(error),
        }
    }
    let rules_file = match &config.contract.rules {
        Some(path) => match crate::config::rules::load(path, vars) {
            Ok((file, _)) => file,
            Err(more) => {
                faults.extend(more);
                Default::default()
            }
        },
        None => Default::default(),
    };
    if !faults.is_empty() {
        return Err(BuildError::Faults(faults));
    }
    let Ok([contract, sink]) = <[Loaded; 2]>::try_from(loaded) else {
        return Ok(None);
    };
    if contract.schema.record().is_none() && !config.transform.is_empty() {
        let found = contract.schema.describe(contract.schema.root);
        let message = format!("steps change fields, and this schema has none: it is {found}");
        let fault = Fault::of_file(&contract.name, message);
        let hint = "a contract with `transform` is a record";
        return Err(BuildError::Faults(vec![fault.hint(hint)]));
    }
    let rules = Rules::compile(&rules_file, &contract.schema).map_err(|more| faults.extend(more));
    let load = |path: &Path| match load_file(path) {
        Ok(loaded) => Ok(loaded.schema.as_ref().clone()),
        Err(faults) => {
            let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Err(lines.join("; "))
        }
    };
    let transform = Transform::compile(&config.transform, &contract.schema, &load)
        .map_err(|more| faults.extend(more));
    let (Ok(rules), Ok(transform)) = (rules, transform) else {
        return Err(BuildError::Faults(faults));
    };
    let written = config.sink.schema.subject();
    check_sink(&transform, &sink.schema, &config.sink.place, &written)
        .map_err(BuildError::Faults)?;
    let to_sink = sink_resolution(transform.output(), &sink.schema).map_err(|mismatches| {
        let faults = mismatches
            .iter()
            .map(|mismatch| Fault::new(&config.sink.place, &mismatch.path, &mismatch.message));
        BuildError::Faults(faults.collect())
    })?;
    Ok(Some(Parts {
        contract,
        sink,
        rules,
        transform,
        to_sink,
    }))
}
