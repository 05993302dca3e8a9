//! A case file of `driftgate test` → [`CaseFile`]: read in the same manner as the configuration, but that nothing is
//! interpolated: what stands there is data. Knows nothing of schemas and pipelines; [`Datum`] is data that waits for its
//! schema.

mod datum;
mod lower;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::datum::Datum;
pub(crate) use self::datum::is_number;
#[cfg(test)]
pub(crate) use self::datum::json;
use super::amend;
use super::check::Checker;
use super::fault::Fault;
use super::keys::cases::ROOT;
use super::load::read_file;
use super::lower::Lowering;
use super::model::{Place, Placed};
use super::source::Source;
use super::tree;

/// A case file without faults.
#[derive(Debug)]
pub struct CaseFile {
    /// Its path.
    pub path: PathBuf,
    /// The configuration that is tested.
    pub config: PathBuf,
    /// Where that is said, or the file as a whole.
    pub config_place: Place,
    /// The pipeline; the only one for `None`.
    pub pipeline: Option<Placed<String>>,
    /// Variables for the configuration.
    pub env: BTreeMap<String, String>,
    /// Writer schemas by id: a file or a subject, as written.
    pub schemas: Vec<(u32, Placed<String>)>,
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
    /// What gives faults their lines.
    pub source: Source,
    text: String,
}

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: Placed<String>,
    /// The record.
    pub given: Given,
    /// What lookups are answered, the case's own in front of the file's.
    pub lookups: Vec<(String, Canned)>,
    /// What becomes of the record.
    pub expect: Expect,
}

/// A record.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its value.
    pub value: Content,
    /// Where the value stands.
    pub place: Place,
    /// The writer schema as written; the contract's for `None`.
    pub schema: Option<Placed<String>>,
    /// Its key.
    pub key: Bytes,
    /// Its headers.
    pub headers: Vec<(String, Bytes)>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The source topic; the pipeline's first for `None`.
    pub topic: Option<Placed<String>>,
}

/// The value of a record.
#[derive(Debug, Clone)]
pub enum Content {
    /// None.
    Tombstone,
    /// A value of the writer schema.
    Json(Datum),
    /// Avro without its frame.
    Payload(Vec<u8>),
    /// All bytes as they are.
    Whole(Vec<u8>),
}

/// A key or a header.
#[derive(Debug, Clone)]
pub enum Bytes {
    /// Kafka's null.
    Null,
    /// As they are.
    Plain(Vec<u8>),
    /// A value of the contract's key schema.
    Json(Datum),
}

/// What a lookup is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canned {
    /// A status without a body, and its `Retry-After`.
    Status(u16, Option<Duration>),
    /// 200 with this body.
    Body(String),
    /// Nothing, in time.
    Timeout,
}

/// The ends that a record can come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// To the sink.
    Emitted,
    /// A filter said no.
    Filtered,
    /// To the dead-letter topic.
    DeadLettered,
    /// To a retry topic.
    Retried,
    /// Its partition waits.
    Paused,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 5] = [
        Outcome::Emitted,
        Outcome::Filtered,
        Outcome::DeadLettered,
        Outcome::Retried,
        Outcome::Paused,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Emitted => "emitted",
            Outcome::Filtered => "filtered",
            Outcome::DeadLettered => "dead_lettered",
            Outcome::Retried => "retried",
            Outcome::Paused => "paused",
        }
    }

    /// From its word.
    pub fn parse(word: &str) -> Option<Outcome> {
        Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

/// What is expected of a record. At least one of it says something.
#[derive(Debug, Clone)]
pub struct Expect {
    /// Where it stands.
    pub place: Place,
    /// `outcome`; emitted where outputs are expected.
    pub outcome: Option<Outcome>,
    /// `outputs`, or the one `output`.
    pub outputs: Option<Vec<Written>>,
    /// Whether `outputs` is how it is written.
    pub many: bool,
    /// `reason`
    pub reason: Option<Placed<String>>,
    /// `path`
    pub path: Option<String>,
    /// `error`
    pub error: Option<String>,
    /// What is expected of the record that is written, whatever its value; with `outputs`, nothing.
    pub written: Written,
    pub(crate) node: tree::Node,
}

/// What is expected of a record that is written.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// Where it stands.
    pub place: Place,
    /// The value; a tombstone for `Some(None)`.
    pub value: Option<Option<Datum>>,
    /// The topic.
    pub topic: Option<String>,
    /// The key.
    pub key: Option<Bytes>,
    /// Headers that are there.
    pub headers: Vec<(String, Bytes)>,
    /// Headers that are not.
    pub no_headers: Vec<String>,
    /// The timestamp in milliseconds since the epoch; none for `Some(None)`.
    pub timestamp: Option<Option<i64>>,
}

impl Expect {
    /// Whether a key stands there.
    pub fn has(&self, name: &str) -> bool {
        self.node.entry(name).is_some()
    }

    /// The line of the key that a path begins with, or that of the whole.
    pub fn line_of(&self, path: &str) -> usize {
        let name = path.split(['.', '[']).next().unwrap_or_default();
        self.node
            .entry(name)
            .map_or(self.place.line, |entry| entry.key.place.line)
    }
}

impl CaseFile {
    /// The file's text with the expectations of some cases put as they were found: the index of the case, what was
    /// expected in its plainest form, and what was found. Nothing else of the text changes.
    pub fn amended(&self, found: &[(usize, serde_json::Value, serde_json::Value)]) -> String {
        let changes = found.iter().filter_map(|(index, expected, found)| {
            let case = self.cases.get(*index)?;
            Some((&case.expect.node, expected, found))
        });
        amend::amend(&self.text, changes)
    }
}

/// Reads a case file. Every fault at once.
pub fn load(path: &Path) -> Result<CaseFile, Vec<Fault>> {
    let name = path.display().to_string();
    let text = read_file(path, &name).map_err(|fault| vec![fault])?;
    load_text(&text, path)
}

/// Reads a case file from a text. `path` stands for the file in faults, and paths are resolved against its folder.
pub fn load_text(text: &str, path: &Path) -> Result<CaseFile, Vec<Fault>> {
    let name = path.display().to_string();
    let base = path.parent().unwrap_or(Path::new(""));
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut faults = Vec::new();
    let mut tree = tree::parse(bare, &name, &mut faults);
    let mut checker = Checker::new(base, ROOT, &tree);
    checker.root(&tree, &name);
    let mut cx = Lowering {
        base,
        has_state_dir: false,
        complete: tree.complete,
        faults: Vec::new(),
        warnings: Vec::new(),
        advice: Vec::new(),
    };
    let lowered = tree
        .root
        .as_ref()
        .map(|_| lower::lower(&tree, path, &mut cx));
    faults.extend(checker.faults);
    // What could not be read in a file that is cut short has been told already.
    if cx.complete {
        faults.extend(cx.faults);
    }
    let masks = [checker.masks, std::mem::take(&mut tree.masks)].concat();
    let source = Source::new(&name, bare, masks, !tree.complete)
        .rewritten(std::mem::take(&mut tree.rewritten));
    faults.sort_by_key(|fault| (fault.place.line, fault.place.column));
    faults.iter_mut().for_each(|fault| source.locate(fault));
    match lowered {
        Some(lowered) if faults.is_empty() => Ok(CaseFile {
            path: path.to_owned(),
            config: lowered.config,
            config_place: lowered.config_place,
            pipeline: lowered.pipeline,
            env: lowered.env,
            schemas: lowered.schemas,
            cases: lowered.cases,
            source,
            text: text.to_owned(),
        }),
        _ => Err(faults),
    }
}

#[cfg(test)]
mod tests;
