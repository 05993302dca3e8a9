//! `registry.cache_dir`: the last known good answers of the registry, so that a restart during an outage still flows.
//! Input: an answer, or the name of one. Output: the answer as it was kept, or nothing. Knows nothing of HTTP and does
//! not decide when a kept answer is used: that is only when the registry could not be asked.
//!
//! Each registry has a folder of its own, named by a digest of its URL, and each answer a file there: one line with a
//! version and the SHA-256 of the rest, then JSON that names the registry and the question again. A file that is
//! damaged, or that answers another registry's question, is told and ignored. Only what the registry gave is kept:
//! "does not exist" removes the file.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::contract::registry::{Fetched, SchemaKind, Version};
use crate::error::FatalError;

/// Bytes of all files of one registry.
const BYTES: u64 = 128 * 1024 * 1024;
/// One file: a schema larger than this is not kept.
const FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Files of one registry.
const FILES: usize = 20_000;
const HEAD: &str = "driftgate-schema 2 ";
const UNFINISHED: &str = ".unfinished-";
/// Age of an unfinished file after which nobody is still writing it.
const ABANDONED_SECONDS: u64 = 600;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// The schema of an id.
    Id(u32),
    /// A version of a subject; the latest for `None`.
    Version(&'a str, Option<u32>),
    /// The numbers of a subject's versions.
    Versions(&'a str),
    /// The version under which a subject has a schema, by the request's body.
    Find(&'a str, &'a str),
}

impl Question<'_> {
    fn text(&self) -> String {
        match self {
            Question::Id(id) => format!("id {id}"),
            Question::Version(subject, Some(version)) => format!("version {version} of {subject}"),
            Question::Version(subject, None) => format!("latest version of {subject}"),
            Question::Versions(subject) => format!("versions of {subject}"),
            Question::Find(subject, body) => format!("{} in {subject}", digest(body.as_bytes())),
        }
    }

    fn file(&self) -> String {
        match self {
            Question::Id(id) => format!("id-{id}"),
            Question::Version(..) => format!("version-{}", &digest(self.text().as_bytes())[..32]),
            Question::Versions(..) => {
                format!("versions-{}", &digest(self.text().as_bytes())[..32])
            }
            Question::Find(..) => format!("find-{}", &digest(self.text().as_bytes())[..32]),
        }
    }
}

/// An answer as a file has it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    registry: String,
    question: String,
    id: u32,
    kind: String,
    text: String,
    references: Vec<String>,
    subjects: Option<Vec<String>>,
    subject: Option<String>,
    version: Option<u32>,
    rule_set: Option<serde_json::Value>,
    metadata: Option<serde_json::Value>,
    versions: Option<Vec<u32>>,
}

/// The folder of one registry.
pub struct Disk {
    registry: String,
    folder: PathBuf,
    index: Mutex<Index>,
    bytes: u64,
    files: usize,
}

/// Size of each file, and the turn in which it was written: the lowest goes first.
#[derive(Debug, Default)]
struct Index {
    files: HashMap<String, (u64, u64)>,
    bytes: u64,
    turn: u64,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({})", self.folder.display())
    }
}

impl Disk {
    /// Opens or makes the folder of the registry at `url`, which carries no credentials, below `root`. Only this user
    /// may read or write it: whoever could put files there could decide what records mean.
    pub fn open(root: &Path, url: &str) -> Result<Disk, FatalError> {
        Disk::bounded(root, url, BYTES, FILES)
    }

    fn bounded(root: &Path, url: &str, bytes: u64, files: usize) -> Result<Disk, FatalError> {
        let folder = root.join(&digest(url.as_bytes())[..16]);
        let open = || -> io::Result<Index> {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
            // What cannot be written is told now and not in an outage.
            tempfile::Builder::new()
                .prefix(UNFINISHED)
                .tempfile_in(&folder)?;
            listed(&folder)
        };
        let index = open().map_err(|error| {
            FatalError::Start(format!("registry.cache_dir: {}: {error}", folder.display()))
        })?;
        let disk = Disk {
            registry: url.to_owned(),
            folder,
            index: Mutex::new(index),
            bytes,
            files,
        };
        disk.make_room(&mut disk.index());
        Ok(disk)
    }

    /// Whether there is a file for the schema of this id. Reads nothing.
    pub fn has(&self, id: u32) -> bool {
        self.index().files.contains_key(&Question::Id(id).file())
    }

    /// The schema of an id as it was kept.
    pub fn schema(&self, id: u32) -> Option<Fetched> {
        self.read(Question::Id(id)).map(fetched)
    }

    /// A version as it was kept.
    pub fn version(&self, question: Question<'_>) -> Option<Version> {
        let mut kept = self.read(question)?;
        Some(Version {
            subject: kept.subject.take()?,
            version: kept.version?,
            id: kept.id,
            rule_set: kept.rule_set.take(),
            metadata: kept.metadata.take(),
            fetched: fetched(kept),
        })
    }

    /// The numbers of a subject's versions as they were kept; none for a subject that there was not.
    pub fn versions(&self, subject: &str) -> Option<Vec<u32>> {
        self.read(Question::Versions(subject))?.versions
    }

    /// Keeps the numbers of a subject's versions.
    pub fn keep_versions(&self, subject: &str, versions: &[u32]) {
        let kept = Kept {
            registry: self.registry.clone(),
            versions: Some(versions.to_vec()),
            ..Kept::default()
        };
        self.write(Question::Versions(subject), kept);
    }

    /// Keeps the schema of an id.
    pub fn keep(&self, schema: &Fetched) {
        self.write(Question::Id(schema.id), self.kept(schema));
    }

    /// Keeps a version.
    pub fn keep_version(&self, question: Question<'_>, version: &Version) {
        let kept = Kept {
            id: version.id,
            subject: Some(version.subject.clone()),
            version: Some(version.version),
            rule_set: version.rule_set.clone(),
            metadata: version.metadata.clone(),
            ..self.kept(&version.fetched)
        };
        self.write(question, kept);
    }

    /// Removes what the registry says does not exist.
    pub fn forget(&self, question: Question<'_>) {
        let file = question.file();
        let mut index = self.index();
        if index.remove(&file) {
            self.delete(&file);
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, schema: &Fetched) -> Kept {
        Kept {
            registry: self.registry.clone(),
            id: schema.id,
            kind: schema.kind.as_str().to_owned(),
            text: schema.text.clone(),
            references: schema.references.clone(),
            subjects: schema.subjects.as_deref().map(<[String]>::to_vec),
            ..Kept::default()
        }
    }

    fn read(&self, question: Question<'_>) -> Option<Kept> {
        let path = self.folder.join(question.file());
        let kept = self.load(&path, question).unwrap_or_else(|why| {
            let file = path.display();
            tracing::error!(%file, "registry.cache_dir: a kept schema is ignored: {why}");
            None
        });
        if kept.is_none() {
            // Told once, and not read again for every record.
            self.index().remove(&question.file());
        }
        kept
    }

    fn load(&self, path: &Path, question: Question<'_>) -> Result<Option<Kept>, String> {
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        if !meta.is_file() || meta.len() > FILE_BYTES {
            return Err("it is not a plain file, or too large to be one of ours".to_owned());
        }
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let kept = parsed(&bytes)?;
        if kept.registry != self.registry {
            return Err("it is the answer of another registry".to_owned());
        }
        if kept.question != question.text() {
            return Err("it is the answer to another question".to_owned());
        }
        Ok(Some(kept))
    }

    /// A file that cannot be written is told, and nothing else fails over it.
    fn write(&self, question: Question<'_>, mut kept: Kept) {
        let file = question.file();
        kept.question = question.text();
        let body = serde_json::to_string(&kept).expect("texts and numbers are JSON");
        let text = format!("{HEAD}{}\n{body}\n", digest(body.as_bytes()));
        let size = text.len() as u64;
        if size > FILE_BYTES {
            return;
        }
        let mut index = self.index();
        // Written whole, on the disk, and then under its name: a crash leaves the old file or the new one.
        let written = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.folder)
            .and_then(|mut unfinished| {
                unfinished.write_all(text.as_bytes())?;
                unfinished.as_file().sync_all()?;
                unfinished.persist(self.folder.join(&file))?;
                fs::File::open(&self.folder)?.sync_all()
            });
        match written {
            Ok(()) => {
                index.insert(file, size);
                self.make_room(&mut index);
            }
            Err(error) => tracing::error!(
                folder = %self.folder.display(),
                "registry.cache_dir: a schema could not be kept: {error}"
            ),
        }
    }

    fn make_room(&self, index: &mut Index) {
        while index.files.len() > self.files || index.bytes > self.bytes {
            let Some(oldest) = index.oldest() else { return };
            index.remove(&oldest);
            self.delete(&oldest);
        }
    }

    fn delete(&self, file: &str) {
        match fs::remove_file(self.folder.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(file, "registry.cache_dir: cannot be removed: {error}");
            }
            _ => {}
        }
    }
}

impl Index {
    fn insert(&mut self, file: String, size: u64) {
        self.remove(&file);
        self.turn += 1;
        self.bytes += size;
        self.files.insert(file, (size, self.turn));
    }

    fn remove(&mut self, file: &str) -> bool {
        let removed = self.files.remove(file);
        self.bytes -= removed.map_or(0, |(size, _)| size);
        removed.is_some()
    }

    /// Schemas by id before versions: without the versions nothing starts.
    fn oldest(&self) -> Option<String> {
        let rank = |file: &str, turn: u64| (!file.starts_with("id-"), turn);
        let files = self.files.iter();
        let oldest = files.min_by_key(|(file, (_, turn))| rank(file, *turn));
        oldest.map(|(file, _)| file.clone())
    }
}

/// The files of a folder, oldest first. What a crash left unfinished goes.
fn listed(folder: &Path) -> io::Result<Index> {
    let mut found: Vec<(SystemTime, String, u64)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Another instance may have removed it since.
        let Ok(meta) = entry.metadata() else { continue };
        let ours = ["id-", "version-", "versions-", "find-"];
        if name.starts_with(UNFINISHED) {
            // Another instance may be writing one at this moment.
            let age = meta.modified().ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age.as_secs() > ABANDONED_SECONDS) {
                fs::remove_file(entry.path())?;
            }
        } else if meta.is_file() && ours.iter().any(|prefix| name.starts_with(prefix)) {
            found.push((meta.modified()?, name, meta.len()));
        }
    }
    found.sort();
    let mut index = Index::default();
    for (_, name, size) in found {
        index.insert(name, size);
    }
    Ok(index)
}

fn parsed(bytes: &[u8]) -> Result<Kept, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let (head, body) = text.split_once('\n').ok_or("it was cut short")?;
    let sum = head.strip_prefix(HEAD).ok_or("it is not one of ours")?;
    let body = body.strip_suffix('\n').ok_or("it was cut short")?;
    if sum != digest(body.as_bytes()) {
        return Err("its checksum does not agree with it");
    }
    serde_json::from_str(body).map_err(|_| "it has another form")
}

fn fetched(kept: Kept) -> Fetched {
    Fetched {
        id: kept.id,
        kind: SchemaKind::parse(&kept.kind),
        text: kept.text,
        references: kept.references,
        subjects: kept.subjects.map(Into::into),
    }
}

fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://registry:8081";

    fn schema(id: u32, text: &str) -> Fetched {
        Fetched {
            id,
            kind: SchemaKind::Avro,
            text: text.to_owned(),
            references: vec![r#""int""#.to_owned()],
            subjects: Some(vec!["orders-value".to_owned()].into()),
        }
    }

    fn file_of(disk: &Disk, id: u32) -> PathBuf {
        disk.folder.join(Question::Id(id).file())
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_only_for_this_user() {
        let root = tempfile::tempdir().expect("a folder");
        let (one, version) = (schema(7, r#""long""#), Question::Version("s", None));
        let found = Version {
            subject: "s".to_owned(),
            version: 3,
            id: 7,
            rule_set: Some(serde_json::json!({"domainRules": []})),
            metadata: None,
            fetched: schema(7, r#""long""#),
        };
        {
            let disk = Disk::open(root.path(), URL).expect("opens");
            disk.keep(&one);
            disk.keep_version(version, &found);
        }
        let disk = Disk::open(root.path(), URL).expect("opens");
        assert!(disk.has(7) && !disk.has(8));
        assert_eq!(disk.schema(7), Some(one));
        assert_eq!(disk.schema(8), None);
        assert_eq!(disk.version(version), Some(found));
        assert_eq!(disk.version(Question::Version("s", Some(3))), None);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&disk.folder), 0o700);
        assert_eq!(mode(&file_of(&disk, 7)), 0o600);
        let elsewhere = Disk::open(root.path(), "http://other:8081").expect("opens");
        assert_eq!(elsewhere.schema(7), None, "ids belong to their registry");
        disk.forget(Question::Id(7));
        assert_eq!((disk.schema(7), disk.has(7)), (None, false));
    }

    #[test]
    fn damaged_and_foreign_files_are_ignored() {
        let root = tempfile::tempdir().expect("a folder");
        let disk = Disk::open(root.path(), URL).expect("opens");
        let good = schema(7, r#""long""#);
        let other = Disk::open(root.path(), "http://other:8081").expect("opens");
        other.keep(&good);
        disk.keep(&good);
        let file = file_of(&disk, 7);
        let bytes = fs::read(&file).expect("there");
        // Every byte that flips, and every place where it may be cut.
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x04;
            fs::write(&file, &flipped).expect("written");
            assert_eq!(
                (disk.schema(7), disk.has(7)),
                (None, false),
                "byte {at} flipped"
            );
            fs::write(&file, &bytes[..at]).expect("written");
            assert_eq!(disk.schema(7), None, "cut at {at}");
        }
        fs::copy(file_of(&other, 7), &file).expect("copied");
        assert_eq!(disk.schema(7), None, "another registry's");
        disk.keep(&schema(8, r#""int""#));
        fs::copy(file_of(&disk, 8), &file).expect("copied");
        assert_eq!(disk.schema(7), None, "another id's");
        fs::remove_file(&file).expect("removed");
        fs::create_dir(&file).expect("made");
        assert_eq!(disk.schema(7), None, "a folder");
        fs::remove_dir(&file).expect("removed");
        std::os::unix::fs::symlink(file_of(&disk, 8), &file).expect("linked");
        assert_eq!(disk.schema(7), None, "a link");
        disk.keep(&good);
        assert_eq!(disk.schema(7), Some(good), "and it is written anew");
    }

    #[test]
    fn the_numbers_of_versions_are_kept_and_so_is_that_there_are_none() {
        let root = tempfile::tempdir().expect("a folder");
        let disk = Disk::open(root.path(), URL).expect("opens");
        assert_eq!(disk.versions("s"), None);
        disk.keep_versions("s", &[1, 3]);
        disk.keep_versions("t", &[]);
        let disk = Disk::open(root.path(), URL).expect("opens");
        assert_eq!(disk.versions("s"), Some(vec![1, 3]));
        assert_eq!(disk.versions("t"), Some(vec![]));
    }

    #[test]
    fn the_folder_keeps_its_bound_and_versions_go_last() {
        let root = tempfile::tempdir().expect("a folder");
        let disk = Disk::bounded(root.path(), URL, u64::MAX, 4).expect("opens");
        let version = Question::Find("s", "{}");
        let found = Version {
            subject: "s".to_owned(),
            version: 1,
            id: 1,
            rule_set: None,
            metadata: None,
            fetched: schema(1, r#""long""#),
        };
        disk.keep_version(version, &found);
        for id in 1..=6 {
            disk.keep(&schema(id, r#""long""#));
        }
        let kept: Vec<u32> = (1..=6).filter(|id| disk.has(*id)).collect();
        assert_eq!(kept, [4, 5, 6]);
        assert!(disk.version(version).is_some());
        let count = fs::read_dir(&disk.folder).expect("there").count();
        assert_eq!(count, 4, "the others' files are gone");
        let size = fs::metadata(file_of(&disk, 6)).expect("there").len();
        drop(disk);
        let disk = Disk::bounded(root.path(), URL, 2 * size + size / 2, 100).expect("opens");
        assert!(disk.index().bytes <= 2 * size + size / 2, "also at start");
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_told_at_start() {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("file");
        fs::write(&file, "").expect("written");
        let error = Disk::open(&file, URL).expect_err("a file is no folder");
        assert!(error.to_string().contains("registry.cache_dir"), "{error}");
    }
}
