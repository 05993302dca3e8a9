//! A table kept from a compacted topic: the newest value of each key, as Avro bytes of the lookup's type. [`load`] reads
//! the topic on a thread of its own; workers ask here. Nothing is answered until all is loaded that was there at the
//! start. What cannot be read is never passed over: a key whose newest value cannot be read has no answer, and as long as
//! there is a record whose key cannot be read, no key is known to be missing.

mod load;
mod read;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::{Answer, Around};
use crate::beside::Beside;
use crate::config::model::TopicLookup;
use crate::error::{FatalError, Reason, RecordError};
use crate::metrics::TableMetrics;
use crate::transform::lookup::{Bytes, LookupSpec};

/// What an entry takes beside its key and value, roughly.
const ENTRY: usize = 96;
/// How long a record waits before it asks again whether the table is loaded.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Table {
    spec: Arc<LookupSpec>,
    shared: Arc<Shared>,
}

/// What the loader writes and the workers read.
struct Shared {
    rows: RwLock<Rows>,
    loaded: (Mutex<bool>, Condvar),
}

/// The table.
struct Rows {
    phase: Phase,
    by_key: HashMap<Box<str>, Row>,
    /// Keys that cannot be read, as they are in the topic. An empty one stands for records without a key.
    unreadable: HashSet<Box<[u8]>>,
    /// Values that cannot be read.
    broken: usize,
    /// Bytes that all of it takes, roughly.
    size: usize,
    max: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// With what is being done, for people.
    Loading(String),
    Loaded,
    /// It has outgrown its bound.
    TooLarge,
}

enum Row {
    Value(Bytes),
    /// Why it cannot be read. Its bytes are kept where the registry may yet come to know their schema.
    Broken(String, Option<Box<[u8]>>),
}

impl Row {
    fn size(&self) -> usize {
        match self {
            Row::Value(bytes) => bytes.len(),
            Row::Broken(why, bytes) => why.len() + bytes.as_ref().map_or(0, |bytes| bytes.len()),
        }
    }
}

impl Rows {
    fn new(max: usize) -> Rows {
        Rows {
            phase: Phase::Loading("it has not begun yet".to_owned()),
            by_key: HashMap::new(),
            unreadable: HashSet::new(),
            broken: 0,
            size: 0,
            max,
        }
    }

    /// Puts a row in the place of the one before it, or takes that one out.
    fn put(&mut self, key: &str, row: Option<Row>) {
        let old = match row {
            Some(row) => {
                self.broken += usize::from(matches!(row, Row::Broken(..)));
                self.size += key.len() + row.size() + ENTRY;
                self.by_key.insert(key.into(), row)
            }
            None => self.by_key.remove(key),
        };
        if let Some(old) = old {
            self.broken -= usize::from(matches!(old, Row::Broken(..)));
            self.size -= key.len() + old.size() + ENTRY;
        }
        self.bound();
    }

    /// Notes a key that cannot be read, or that its record is gone.
    fn unreadable(&mut self, key: &[u8], is_there: bool) {
        let changed = match is_there {
            true => self.unreadable.insert(key.into()),
            false => self.unreadable.remove(key),
        };
        match (changed, is_there) {
            (true, true) => self.size += key.len() + ENTRY,
            (true, false) => self.size -= key.len() + ENTRY,
            (false, _) => {}
        }
        self.bound();
    }

    /// A table that has outgrown its bound holds nothing, and never will.
    fn bound(&mut self) {
        if self.size > self.max {
            *self = Rows {
                phase: Phase::TooLarge,
                ..Rows::new(self.max)
            };
        }
    }

    fn get(&self, spec: &LookupSpec, key: &str) -> Result<Option<Bytes>, RecordError> {
        let not_loaded = |what: &str| RecordError {
            retry_after: Some(AGAIN),
            ..spec.error(Reason::LookupNotLoaded, what)
        };
        match &self.phase {
            Phase::Loading(what) => {
                return Err(not_loaded(&format!("the table is being loaded: {what}")));
            }
            Phase::TooLarge => {
                let what = format!("the table is larger than its `max` of {} bytes", self.max);
                return Err(not_loaded(&what));
            }
            Phase::Loaded => {}
        }
        let broken = |what: &str| Err(spec.error(Reason::LookupMisconfigured, what));
        match self.by_key.get(key) {
            Some(Row::Value(bytes)) => Ok(Some(Arc::clone(bytes))),
            Some(Row::Broken(why, _)) => broken(&format!(
                "the newest value of this key cannot be read: {why}"
            )),
            None if self.unreadable.is_empty() => Ok(None),
            None => broken(&format!(
                "{} records of the topic have keys that cannot be read, so that nobody can say that this one is missing",
                self.unreadable.len()
            )),
        }
    }

    fn tell(&self, metrics: &TableMetrics) {
        metrics.rows(self.by_key.len(), self.size);
        metrics.unreadable(self.broken + self.unreadable.len());
    }
}

impl Table {
    /// Begins to load it.
    pub(super) fn start(
        spec: Arc<LookupSpec>,
        config: &TopicLookup,
        around: &Around,
        beside: &mut Beside,
    ) -> Result<Table, FatalError> {
        let shared = Arc::new(Shared {
            rows: RwLock::new(Rows::new(usize::try_from(config.max).unwrap_or(usize::MAX))),
            loaded: (Mutex::new(false), Condvar::new()),
        });
        load::start(&spec, config, around, Arc::clone(&shared), beside)?;
        Ok(Table { spec, shared })
    }

    pub(super) fn get(&self, key: &str) -> Answer {
        let rows = self.shared.rows.read();
        let found = rows
            .unwrap_or_else(PoisonError::into_inner)
            .get(&self.spec, key)?;
        match found {
            Some(bytes) => Ok(Some(bytes)),
            None => self.spec.when_missing(),
        }
    }

    pub(super) fn loaded(&self, deadline: Instant) -> bool {
        let (loaded, changed) = &self.shared.loaded;
        let wait = deadline.saturating_duration_since(Instant::now());
        let guard = loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(guard, wait, |loaded| !*loaded);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Shared {
    /// Changes the table. A loader that panicked has ended, and what it left are whole rows.
    fn change<T>(&self, change: impl FnOnce(&mut Rows) -> T) -> T {
        change(&mut self.rows.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_phase(&self, phase: Phase) {
        let is_loaded = phase == Phase::Loaded;
        self.change(|rows| {
            if rows.phase != Phase::TooLarge {
                rows.phase = phase;
            }
        });
        let (loaded, changed) = &self.loaded;
        *loaded.lock().unwrap_or_else(PoisonError::into_inner) = is_loaded;
        changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
