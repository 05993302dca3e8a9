//! From the configuration to a compiled pipeline: schemas are loaded, rules and steps are checked against them, and the
//! last step's type against the sink. Both `check` and `run` do exactly this.
//!
//! A schema's subject may have a rule set in the registry. It is that of the version that the configuration names, or of
//! the newest version that has the schema of the file. A registry that keeps no rule sets has none to give.

use std::path::Path;
use std::sync::Arc;

use crate::alerts;
use crate::config::baseline;
use crate::config::fault::Fault;
use crate::config::model::{
    self, KeyBy, Pipeline, Place, Placed, RulesFile, SchemaSource, SourceBy, Step,
};
use crate::contract::registry::{RegistryClient, RegistryError, Version};
use crate::contract::rules::{Listed, Rules, Side, Subject, TAG, Tags};
use crate::contract::schema::Schema;
use crate::expr::scope::{Event, Plain, Secrets};
use crate::failure::dialect::Dialect;
use crate::failure::envelope::Stamp;
use crate::pipeline::{Checked, Compiled, Key, Ownership, Reviewed, Sink, keyed, ownership};
use crate::profile::{self, Layout};
use crate::review::files;
use crate::transform::native::Natives;
use crate::transform::{Arm, Builder, Transform, check_sink};

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
    /// The texts that it refers to.
    references: Vec<String>,
    /// Its version, where it came from the registry.
    version: Option<Version>,
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
                references: found.fetched.references.clone(),
                version: Some(found),
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
        references,
        version: None,
    })
}

/// The parts of a pipeline that need all of its schemas.
pub struct Parts {
    /// The contract's schema.
    pub contract: Loaded,
    /// The sinks, the pipeline's own first.
    pub sinks: Vec<SinkParts>,
    /// The schema of keys.
    pub key: Option<Loaded>,
    key_rules: Checked,
    ownership: Option<Ownership>,
    owners: Vec<Listed>,
    rules: Rules,
    dedup: Option<keyed::By>,
    stale: Option<keyed::Versions>,
    transform: Transform,
    types: Vec<(String, Schema)>,
    reviewed: Option<Reviewed>,
    /// What is legal in its files and likely not meant.
    pub warnings: Vec<Fault>,
}

/// A sink with its schema.
pub struct SinkParts {
    /// As configured.
    pub config: model::Sink,
    /// Its schema.
    pub schema: Loaded,
    rules: Checked,
}

/// A rule of a pipeline, for people.
#[derive(Debug)]
pub struct RuleLine<'a> {
    /// What it is checked on: `key`, `value` or `output`.
    pub on: &'static str,
    /// The rule.
    pub rule: &'a Listed,
}

impl Parts {
    /// The type after each step, in words, for `check --explain`.
    pub fn types(&self) -> impl Iterator<Item = (String, &Schema)> {
        let types = self.types.iter();
        types.map(|(label, schema)| (label.clone(), schema))
    }

    /// The rules, in the order in which they are checked; those that are not run too.
    pub fn rules(&self) -> impl Iterator<Item = RuleLine<'_>> {
        let all = [
            ("key", self.key_rules.rules.listed()),
            ("value", &self.owners),
            ("value", self.rules.listed()),
        ];
        let outputs = self.sinks.iter();
        let outputs = outputs.map(|sink| ("output", sink.rules.rules.listed()));
        all.into_iter().chain(outputs).flat_map(|(on, listed)| {
            let listed = listed.iter();
            listed.map(move |rule| RuleLine { on, rule })
        })
    }

    /// Takes the rules of the subjects of sinks with `auto_register` as they are now: a version that was just registered
    /// may have inherited those of the one before it.
    pub async fn output_rules_again(
        &mut self,
        registry: &RegistryClient,
    ) -> Result<(), BuildError> {
        for sink in self
            .sinks
            .iter_mut()
            .filter(|sink| sink.config.auto_register)
        {
            sink.rules = output_rules(&sink.config, &sink.schema, Some(registry)).await?;
        }
        Ok(())
    }

    /// The pipeline, with the ids that the sinks' schemas have in the registry, in the order of [`Self::sinks`]; one that
    /// is missing is 0.
    pub fn finish(self, config: &Pipeline, ids: &[u32]) -> Compiled {
        let ids = ids.iter().copied().chain(std::iter::repeat(0));
        let sinks: Vec<Sink> = self
            .sinks
            .into_iter()
            .zip(ids)
            .map(|(sink, id)| Sink {
                topic: sink.config.topic,
                schema: sink.schema.schema,
                id,
                rules: sink.rules,
            })
            .collect();
        Compiled {
            stamp: Stamp {
                pipeline: config.name.clone(),
                group: config.group.clone(),
                owner: config.owner.to_string(),
                contract: self.contract.name,
                dialects: dialects(&config.failure.dead_letter.headers),
            },
            config: config.clone(),
            contract: self.contract.schema,
            key: self
                .key
                .zip(config.contract.key.as_ref())
                .map(|(key, config)| Key {
                    schema: key.schema,
                    rules: self.key_rules,
                    required: config.required,
                }),
            ownership: self.ownership,
            rules: self.rules,
            dedup: self.dedup,
            stale: self.stale,
            transform: self.transform,
            sinks,
            reviewed: self.reviewed.map(Arc::new),
        }
    }
}

/// Checks and compiles everything of a pipeline but the sinks' ids. `Ok(None)`: a subject was needed and `--offline`
/// forbids to ask.
pub async fn compile(
    config: &Pipeline,
    registry: Option<&RegistryClient>,
    vars: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Parts>, BuildError> {
    compile_with(config, registry, vars, &Natives::default()).await
}

/// The same with the native steps of a program. See [`compile`].
pub async fn compile_with(
    config: &Pipeline,
    registry: Option<&RegistryClient>,
    vars: &dyn Fn(&str) -> Option<String>,
    natives: &Natives,
) -> Result<Option<Parts>, BuildError> {
    let key = match &config.contract.key {
        Some(key) => Some(load_schema(&key.schema, registry).await),
        None => None,
    };
    let configured = config.sinks();
    let sources = configured.iter().map(|sink| &sink.schema);
    let mut results = Vec::new();
    for source in [&config.contract.schema].into_iter().chain(sources) {
        results.push(load_schema(source, registry).await);
    }
    results.extend(key);
    let wanted = results.len();
    let mut faults = alerts::condition_faults(config);
    let mut loaded = Vec::new();
    for result in results {
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
    let placed = config
        .contract
        .baseline
        .as_deref()
        .map(baseline::load_placed);
    let placed = placed.transpose().unwrap_or_else(|more| {
        faults.extend(more);
        None
    });
    if !faults.is_empty() {
        return Err(BuildError::Faults(faults));
    }
    if loaded.len() < wanted {
        return Ok(None);
    }
    let mut loaded = loaded.into_iter();
    let contract = loaded
        .next()
        .expect("the contract's schema was asked for first");
    let sinks: Vec<Loaded> = loaded.by_ref().take(configured.len()).collect();
    let steps = !config.prepare.is_empty() || !config.transform.is_empty();
    if contract.schema.record().is_none() && steps {
        let found = contract.schema.describe(contract.schema.root);
        let message = format!("steps change fields, and this schema has none: it is {found}");
        let fault = Fault::of_file(&contract.name, message);
        let hint = "a contract with `transform` is a record";
        return Err(BuildError::Faults(vec![fault.hint(hint)]));
    }
    let key = loaded.next();
    let load = |path: &Path| match load_file(path) {
        Ok(loaded) => Ok(loaded.schema.as_ref().clone()),
        Err(faults) => {
            let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Err(lines.join("; "))
        }
    };
    let mut builder = Builder::new(&contract.schema, secrets(config)).with_natives(natives);
    // Who owns a field is about what the source sends.
    let owned = owned(config, &rules_file, &contract, &mut builder);
    let owned = owned.map_err(|more| faults.extend(more));
    // Rules and later steps are about what these leave.
    if let Err(more) = builder.steps(&config.prepare, &load) {
        faults.extend(more);
        return Err(BuildError::Faults(faults));
    }
    builder.rules_here();
    let rules = builder.for_rules(|event| Rules::compile(&rules_file, event));
    let rules = rules.map_err(|more| {
        // A field that is not there is told by both.
        let more = more.into_iter().filter(|fault| !faults.contains(fault));
        let more: Vec<Fault> = more.collect();
        faults.extend(more);
    });
    let dedup = config.dedup.as_ref();
    let dedup = dedup.map(|dedup| keyed_by(&dedup.by, &mut builder));
    let dedup = dedup.transpose().map_err(|more| faults.extend(more));
    let stale = config.stale.as_ref();
    let stale = stale.map(|stale| versions(stale, &mut builder));
    let stale = stale.transpose().map_err(|more| faults.extend(more));
    let steps = builder.steps(&config.transform, &load);
    let steps = steps.map_err(|more| faults.extend(more));
    let (Ok(owned), Ok(rules), Ok(dedup), Ok(stale), Ok(())) = (owned, rules, dedup, stale, steps)
    else {
        return Err(BuildError::Faults(faults));
    };
    let (ownership, mut warnings) = owned;
    let types = builder.types();
    let types = types
        .map(|(label, schema)| (label.to_owned(), schema))
        .collect();
    let arms = arms(config, &sinks, &builder).map_err(BuildError::Faults)?;
    // Last, so that what is wrong in the files is told although the registry is away.
    let subject = config.contract.schema.subject();
    let of_value = rule_set(&subject, &contract, registry).await?;
    let of_key = match (&key, &config.contract.key) {
        (Some(key), Some(config)) => rule_set(&config.schema.subject(), key, registry).await?,
        _ => None,
    };
    let mut outputs = Vec::with_capacity(sinks.len());
    for (config, schema) in configured.iter().zip(sinks.iter().cloned()) {
        match output_rules(config, &schema, registry).await {
            Ok(rules) => outputs.push(SinkParts {
                config: (*config).clone(),
                schema,
                rules,
            }),
            Err(BuildError::Faults(more)) => faults.extend(more),
            Err(error) => return Err(error),
        }
    }
    let more = builder.for_rules(|event| {
        registered(
            of_value.as_ref(),
            &contract,
            (Side::Read, event),
            &rules_file,
        )
    });
    let more = more.map_err(|more| faults.extend(more));
    let key_rules = match &key {
        Some(key) => checked(of_key.as_ref(), key, Side::Read),
        None => Ok(Checked::default()),
    };
    let key_rules = key_rules.map_err(|more| faults.extend(more));
    let (Ok(more), Ok(key_rules), true) = (more, key_rules, faults.is_empty()) else {
        return Err(BuildError::Faults(faults));
    };
    let reviewed = match placed {
        Some(placed) => {
            let personal = personal(&contract, &config.contract.schema, &rules_file, registry);
            let reviewed = reviewed(config, &contract, &rules_file, &placed, &personal.await?);
            let has = |path: &str| reviewed.layout.find(path).is_some();
            warnings.extend(placed.misfits(&subject, &has));
            Some(reviewed)
        }
        None => None,
    };
    Ok(Some(Parts {
        contract,
        sinks: outputs,
        key,
        key_rules,
        owners: ownership.as_ref().map_or_else(Vec::new, |ownership| {
            let file = config.contract.rules.as_ref();
            ownership.listed(&file.map_or_else(String::new, |file| file.display().to_string()))
        }),
        ownership,
        rules: rules.and(more),
        dedup,
        stale,
        transform: builder.finish(&arms).map_err(BuildError::Faults)?,
        types,
        reviewed,
        warnings,
    }))
}

/// Which source may set which field, and what is likely not meant of it. Must come before any step.
fn owned(
    config: &Pipeline,
    rules: &RulesFile,
    contract: &Loaded,
    builder: &mut Builder,
) -> Result<(Option<Ownership>, Vec<Fault>), Vec<Fault>> {
    let Some(ownership) = &config.ownership else {
        return Ok((None, Vec::new()));
    };
    let by = match &ownership.by {
        SourceBy::Topic => ownership::By::Topic,
        SourceBy::Header(Placed { value, .. }) => ownership::By::Header(value.clone()),
        SourceBy::Field(text) => ownership::By::Field(builder.source(text)?, text.value.clone()),
    };
    let topics = &config.source_topics;
    let mut mark = |positions: &[usize]| builder.mark(positions);
    let schema = &contract.schema;
    let compiled = Ownership::compile(ownership, topics, rules, schema, by, &mut mark);
    let (compiled, warnings) = compiled?;
    Ok((Some(compiled), warnings))
}

/// What records of one key have in common.
fn keyed_by(by: &KeyBy, builder: &mut Builder) -> Result<keyed::By, Vec<Fault>> {
    Ok(match by {
        KeyBy::RecordKey => keyed::By::RecordKey,
        KeyBy::Content => keyed::By::Content,
        KeyBy::Expression {
            text,
            with_record_key,
        } => keyed::By::Expression {
            expr: builder.common_key(text)?,
            with_record_key: *with_record_key,
        },
    })
}

/// What says how old an event is.
fn versions(stale: &model::Stale, builder: &mut Builder) -> Result<keyed::Versions, Vec<Fault>> {
    let by = keyed_by(&stale.by, builder);
    let version = builder.version(&stale.version);
    match (by, version) {
        (Ok(by), Ok(version)) => Ok(keyed::Versions { by, version }),
        (by, version) => Err([by.err(), version.err()]
            .into_iter()
            .flatten()
            .flatten()
            .collect()),
    }
}

/// What the values of a pipeline's records are held to.
fn reviewed(
    config: &Pipeline,
    contract: &Loaded,
    rules: &RulesFile,
    placed: &baseline::Placed,
    personal: &[String],
) -> Reviewed {
    let baseline = placed.baseline.clone();
    let layout = Layout::new(&contract.schema, personal);
    let owner = rules.owner.as_ref().unwrap_or(&config.owner);
    let owners = baseline.fields.iter().map(|field| {
        // What is said of a record holds for what is in it.
        let above = field
            .path
            .rmatch_indices('.')
            .map(|(end, _)| &field.path[..end]);
        let mut paths = std::iter::once(field.path.as_str()).chain(above);
        let named = paths.find_map(|path| rules.fields.get(path)?.owner.clone());
        named.unwrap_or_else(|| owner.to_string())
    });
    let owners = owners.collect();
    let text = baseline.text() + &contract.schema.fingerprint();
    Reviewed {
        layout: layout.only(&|leaf| baseline.field(&leaf.path).is_some()),
        owners,
        window: config.contract.drift_window,
        mark: profile::mark(text.as_bytes()),
        baseline,
    }
}

/// What expressions of the pipeline can name.
pub fn secrets(config: &Pipeline) -> Secrets {
    let secrets = config.secrets.iter();
    Secrets::new(secrets.map(|(name, secret)| (name.clone(), secret.expose().as_bytes().to_vec())))
}

/// Where events go: the arms of a `route`, or the pipeline's own sink alone.
fn arms<'c>(
    config: &'c Pipeline,
    sinks: &'c [Loaded],
    builder: &Builder,
) -> Result<Vec<Arm<'c>>, Vec<Fault>> {
    let to = |sink: &model::Sink, when| -> Result<Arm<'c>, Vec<Fault>> {
        let index = config
            .sink_index(sink)
            .expect("every sink of an arm is listed");
        let schema: &'c Schema = &sinks[index].schema;
        let written = sink.schema.subject();
        let resolution = check_sink(builder, schema, &sink.place, &written)?;
        Ok(Arm {
            when,
            sink: index,
            schema,
            resolution,
        })
    };
    let Some(Step::Route(arms)) = config.transform.last() else {
        return Ok(vec![to(&config.sink, None)?]);
    };
    let mut faults = Vec::new();
    let mut out = Vec::with_capacity(arms.len());
    for arm in arms {
        match to(&arm.sink, arm.when.as_ref()) {
            Ok(arm) => out.push(arm),
            Err(more) => faults.extend(more),
        }
    }
    match faults.is_empty() {
        true => Ok(out),
        false => Err(faults),
    }
}

/// The rules that outputs are held to.
async fn output_rules(
    config: &model::Sink,
    sink: &Loaded,
    registry: Option<&RegistryClient>,
) -> Result<Checked, BuildError> {
    let found = rule_set(&config.subject, sink, registry).await?;
    checked(found.as_ref(), sink, Side::Write).map_err(BuildError::Faults)
}

/// What the registry keeps with a version of a schema.
struct RuleSet {
    subject: Subject,
    rules: serde_json::Value,
    metadata: Option<serde_json::Value>,
}

/// The rules that the registry keeps with a schema.
async fn rule_set(
    subject: &str,
    loaded: &Loaded,
    registry: Option<&RegistryClient>,
) -> Result<Option<RuleSet>, BuildError> {
    let version = match (&loaded.version, registry) {
        (Some(version), _) => version.clone(),
        (None, None) => return Ok(None),
        (None, Some(registry)) => match newest(registry, subject, &loaded.schema).await? {
            Some(version) => version,
            None => return Ok(None),
        },
    };
    Ok(version.rule_set.map(|rules| RuleSet {
        subject: Subject {
            name: version.subject,
            version: version.version,
        },
        rules,
        metadata: version.metadata,
    }))
}

/// Such rules over a value by itself.
fn checked(found: Option<&RuleSet>, loaded: &Loaded, side: Side) -> Result<Checked, Vec<Fault>> {
    let event = Plain::new(&loaded.schema);
    let rules = registered(found, loaded, (side, &event), &RulesFile::default())?;
    Ok(Checked {
        rules,
        registers: event.registers(),
    })
}

/// Such rules, compiled for the event that they are checked on.
fn registered(
    found: Option<&RuleSet>,
    loaded: &Loaded,
    (side, event): (Side, &dyn Event),
    file: &RulesFile,
) -> Result<Rules, Vec<Fault>> {
    let Some(RuleSet {
        subject,
        rules,
        metadata,
    }) = found
    else {
        return Ok(Rules::default());
    };
    let texts = loaded.references.iter().chain([&loaded.text]);
    let mut tags = Tags::of_schema(texts.map(String::as_str));
    if let Some(metadata) = metadata {
        tags.add_metadata(metadata).map_err(|message| {
            let place = Place {
                file: subject.text(),
                line: 1,
                column: 1,
            };
            let message = format!(
                "subject {} version {}: {message}",
                subject.name, subject.version
            );
            vec![Fault::new(&place, "metadata", message)]
        })?;
    }
    tags.add_file(file);
    Rules::of_subject(rules, subject, side, event, &tags)
}

fn dialects(words: &[model::HeaderDialect]) -> Vec<Dialect> {
    let dialect = |word: &model::HeaderDialect| match word {
        model::HeaderDialect::Connect => Dialect::Connect,
        model::HeaderDialect::Spring => Dialect::Spring,
        model::HeaderDialect::Streams => Dialect::Streams,
    };
    words.iter().map(dialect).collect()
}

/// The paths of a contract's fields that its schema's text or its version in the registry gives a tag.
pub async fn tagged(
    contract: &Loaded,
    source: &SchemaSource,
    registry: &RegistryClient,
    tag: &str,
) -> Result<Vec<String>, BuildError> {
    let texts = contract.references.iter().chain([&contract.text]);
    let mut tags = Tags::of_schema(texts.map(String::as_str));
    let version = match &contract.version {
        Some(version) => Some(version.clone()),
        None => newest(registry, &source.subject(), &contract.schema).await?,
    };
    let metadata = version.and_then(|version| version.metadata);
    if let Some(metadata) = metadata {
        tags.add_metadata(&metadata)
            .map_err(|message| BuildError::Faults(vec![Fault::of_file(&contract.name, message)]))?;
    }
    Ok(tags.paths_with(&contract.schema, tag))
}

/// The paths of a contract's fields that are personal: by its schema, its version in the registry, and its rules file.
pub async fn personal(
    contract: &Loaded,
    source: &SchemaSource,
    rules: &RulesFile,
    registry: Option<&RegistryClient>,
) -> Result<Vec<String>, BuildError> {
    let mut paths = match registry {
        Some(registry) => tagged(contract, source, registry, TAG).await?,
        None => {
            let texts = contract.references.iter().chain([&contract.text]);
            let tags = Tags::of_schema(texts.map(String::as_str));
            tags.paths_with(&contract.schema, TAG)
        }
    };
    let is_tagged = |tags: &[String]| tags.iter().any(|tag| tag.eq_ignore_ascii_case(TAG));
    let fields = rules.fields.iter().filter(|(_, doc)| is_tagged(&doc.tags));
    paths.extend(fields.map(|(path, _)| path.clone()));
    Ok(paths)
}

/// The newest version of a subject that has this schema.
async fn newest(
    registry: &RegistryClient,
    subject: &str,
    schema: &Schema,
) -> Result<Option<Version>, BuildError> {
    let missing = |error: &RegistryError| {
        matches!(
            error,
            RegistryError::NoSuchSubject(_) | RegistryError::NoSuchVersion { .. }
        )
    };
    let versions = match registry.versions(subject).await {
        Ok(versions) => versions,
        Err(error) if missing(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let wanted = schema.fingerprint();
    for number in versions.into_iter().rev() {
        let version = match registry.version(subject, Some(number)).await {
            Ok(version) => version,
            // Deleted in between.
            Err(error) if missing(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        // What does not parse is not the schema of a file that does.
        let has_it = Schema::parse(&version.fetched.text, &version.fetched.references)
            .is_ok_and(|found| found.fingerprint() == wanted);
        if has_it {
            return Ok(Some(version));
        }
    }
    Ok(None)
}
