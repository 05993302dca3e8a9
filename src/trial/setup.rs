//! From a case file to a pipeline that its records can be tried on, without a registry. A subject is the file of its
//! name in the configuration's folder `schemas`; ids are those that the case file gives, and any others that are free.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::build::{self, BuildError};
use crate::config::cases::CaseFile;
use crate::config::fault::Fault;
use crate::config::model::{
    Pipeline, Placed, Registry, RegistryAuth, RegistryTls, SchemaSource, Step,
};
use crate::config::{self, scalar::closest};
use crate::contract::cache::SchemaCache;
use crate::contract::registry::{Fetched, RegistryClient, SchemaKind};
use crate::contract::schema::Schema;
use crate::pipeline::Compiled;
use crate::review::files;
use crate::transform::native::Natives;

/// A schema that records are written by.
#[derive(Debug, Clone)]
pub struct Writer {
    /// Its id in frames.
    pub id: u32,
    /// The schema; `None` for an id that does not exist.
    pub schema: Option<Arc<Schema>>,
}

/// A pipeline that the cases of a file can be tried on.
pub struct Setup {
    /// The pipeline.
    pub compiled: Arc<Compiled>,
    /// Every schema that a case names.
    pub schemas: Arc<SchemaCache>,
    /// The contract's own.
    pub contract: Writer,
    /// That of keys.
    pub key: Option<Writer>,
    /// What a run would do and a test does not.
    pub remarks: Vec<String>,
    writers: BTreeMap<String, Writer>,
}

impl Setup {
    /// The schema that a case names; the contract's for `None`.
    pub fn writer(&self, named: Option<&Placed<String>>) -> &Writer {
        let named = named.and_then(|named| self.writers.get(&named.value));
        named.unwrap_or(&self.contract)
    }
}

/// Compiles the pipeline of a case file, and reads every schema that it names. All faults at once, but for those that
/// hide others. `environment` stands behind the file's own variables.
pub fn prepare(
    file: &CaseFile,
    environment: &dyn Fn(&str) -> Option<String>,
    natives: &Natives,
    runtime: &tokio::runtime::Handle,
) -> Result<Setup, Vec<Fault>> {
    let vars = |name: &str| file.env.get(name).cloned().or_else(|| environment(name));
    let loaded = config::load(&file.config, &vars)?;
    let mut pipeline = chosen(file, &loaded.config.pipelines).map_err(|fault| vec![fault])?;
    let mut remarks = Vec::new();
    offline(&mut pipeline, &file.config, &mut remarks)?;
    let parts = match runtime.block_on(build::compile_with(&pipeline, None, &vars, natives)) {
        Ok(Some(parts)) => parts,
        Ok(None) => {
            let message = "a schema of the pipeline can be had from the registry alone";
            return Err(vec![Fault::new(&file.config_place, "", message)]);
        }
        Err(BuildError::Faults(mut faults)) => {
            loaded.locate(&mut faults);
            return Err(faults);
        }
        Err(BuildError::Registry(error)) => {
            return Err(vec![Fault::new(&file.config_place, "", error.to_string())]);
        }
    };
    let mut shelf = Shelf::default();
    let mut faults = Vec::new();
    let folder = file.path.parent().unwrap_or(Path::new(""));
    let mut writers = BTreeMap::new();
    let named = file.schemas.iter().map(|(id, text)| (Some(*id), text));
    let given = file
        .cases
        .iter()
        .filter_map(|case| case.given.schema.as_ref());
    for (id, text) in named.chain(given.map(|text| (None, text))) {
        if let (None, Ok(id)) = (id, text.value.parse::<u32>()) {
            let schema = shelf.by_id.get(&id).map(|kept| Arc::clone(&kept.schema));
            writers.insert(text.value.clone(), Writer { id, schema });
            continue;
        }
        let path = match text.value.ends_with(".avsc") {
            true => folder.join(&text.value),
            false => subject_file(&file.config, &text.value),
        };
        match shelf.put(id, &path) {
            Ok(writer) => {
                writers.entry(text.value.clone()).or_insert(writer);
            }
            Err(why) => {
                let fault = Fault::new(&text.place, &text.value, why);
                faults.push(match text.value.ends_with(".avsc") {
                    true => fault,
                    false => fault.hint(format!("a subject is the file {} here", path.display())),
                });
            }
        }
    }
    let mut own = |source: &SchemaSource| match source {
        SchemaSource::File { path } => shelf.put(None, path).map_err(|why| {
            faults.push(Fault::of_file(&path.display().to_string(), why));
        }),
        SchemaSource::Subject { .. } => Err(()),
    };
    let contract = own(&pipeline.contract.schema);
    let key = pipeline.contract.key.as_ref().map(|key| own(&key.schema));
    let sinks = pipeline.sinks().into_iter();
    let sinks: Result<Vec<u32>, ()> = sinks
        .map(|sink| own(&sink.schema).map(|writer| writer.id))
        .collect();
    let (true, Ok(contract), Ok(sinks)) = (faults.is_empty(), contract, sinks) else {
        faults
            .iter_mut()
            .for_each(|fault| file.source.locate(fault));
        return Err(faults);
    };
    let compiled = parts.finish(&pipeline, &sinks);
    let client = RegistryClient::new(&nobody()).map_err(|error| {
        vec![Fault::of_file(
            &file.path.display().to_string(),
            error.to_string(),
        )]
    })?;
    let fetched = shelf.by_id.into_values().map(|kept| kept.fetched);
    Ok(Setup {
        compiled: Arc::new(compiled),
        schemas: Arc::new(SchemaCache::closed(client, runtime.clone(), fetched)),
        contract,
        key: key.and_then(Result::ok),
        remarks,
        writers,
    })
}

fn chosen(file: &CaseFile, pipelines: &[Pipeline]) -> Result<Pipeline, Fault> {
    let names = || pipelines.iter().map(|pipeline| pipeline.name.as_str());
    let listed = || names().collect::<Vec<_>>().join(", ");
    let mut fault = match (&file.pipeline, pipelines) {
        (Some(name), _) => {
            if let Some(found) = pipelines.iter().find(|found| found.name == name.value) {
                return Ok(found.clone());
            }
            let message = format!("{} has no pipeline `{}`", file.config.display(), name.value);
            let hint = match closest(&name.value, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", listed()),
            };
            Fault::new(&name.place, &name.value, message).hint(hint)
        }
        (None, [only]) => return Ok(only.clone()),
        (None, _) => {
            let message = format!("{} has several pipelines", file.config.display());
            Fault::new(&file.config_place, "", message)
                .hint(format!("say `pipeline:`, one of {}", listed()))
        }
    };
    file.source.locate(&mut fault);
    Err(fault)
}

/// Takes every subject of the pipeline from a file.
fn offline(
    pipeline: &mut Pipeline,
    config: &Path,
    remarks: &mut Vec<String>,
) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    let name = pipeline.name.clone();
    let mut from_file = |source: &mut SchemaSource| {
        let SchemaSource::Subject { subject, .. } = source else {
            return;
        };
        let path = subject_file(config, subject);
        if path.is_file() {
            let remark = format!(
                "pipeline {name}: the subject {subject} is taken from {}; rules that the registry keeps with it are \
                 not run",
                path.display()
            );
            if !remarks.contains(&remark) {
                remarks.push(remark);
            }
            *source = SchemaSource::File { path };
        } else {
            let message = format!("pipeline {name}: the subject {subject} has no file");
            let fault = Fault::of_file(&config.display().to_string(), message);
            let hint = format!(
                "a test asks no registry: put its schema into {}",
                path.display()
            );
            faults.push(fault.hint(hint));
        }
    };
    from_file(&mut pipeline.contract.schema);
    if let Some(key) = &mut pipeline.contract.key {
        from_file(&mut key.schema);
    }
    from_file(&mut pipeline.sink.schema);
    for step in &mut pipeline.transform {
        if let Step::Route(arms) = step {
            arms.iter_mut()
                .for_each(|arm| from_file(&mut arm.sink.schema));
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults),
    }
}

/// Where the schema of a subject lies beside a configuration file, for whoever asks no registry.
pub fn subject_file(config: &Path, subject: &str) -> PathBuf {
    let base = config.parent().unwrap_or(Path::new(""));
    base.join("schemas").join(format!("{subject}.avsc"))
}

#[derive(Default)]
struct Shelf {
    by_id: BTreeMap<u32, Kept>,
    free: BTreeMap<PathBuf, u32>,
}

struct Kept {
    fetched: Fetched,
    schema: Arc<Schema>,
}

impl Shelf {
    /// Reads a file, under this id or the one that it has already.
    fn put(&mut self, id: Option<u32>, path: &Path) -> Result<Writer, String> {
        let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let known = self.free.get(&canonical).copied();
        if let (None, Some(id)) = (id, known) {
            let schema = self.by_id.get(&id).map(|kept| Arc::clone(&kept.schema));
            return Ok(Writer { id, schema });
        }
        let (text, references) = files::read(path).map_err(|faults| one_line(&faults))?;
        let schema = Schema::parse(&text, &references).map_err(|error| error.to_string())?;
        let schema = Arc::new(schema);
        let mut next = 1..;
        let free = next.find(|id| !self.by_id.contains_key(id));
        let id = id.or(free).ok_or("there is no schema id left")?;
        self.free.entry(canonical).or_insert(id);
        let subject = SchemaSource::File {
            path: path.to_owned(),
        }
        .subject();
        let fetched = Fetched {
            id,
            kind: SchemaKind::Avro,
            text,
            references,
            subjects: Some(Arc::from([subject])),
        };
        let kept = Kept {
            fetched,
            schema: Arc::clone(&schema),
        };
        self.by_id.insert(id, kept);
        Ok(Writer {
            id,
            schema: Some(schema),
        })
    }
}

fn one_line(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// The cache wants a client, which is never asked.
fn nobody() -> Registry {
    Registry {
        url: "http://nobody.invalid".to_owned(),
        auth: RegistryAuth::None,
        tls: RegistryTls::default(),
        cache_dir: None,
        timeout: Duration::from_secs(1),
    }
}
