//! Schemas by id, shared by all workers. Input: an id from a frame. Output: the schema, "unknown", or "not now", at
//! once; the fetch runs on the runtime. Does not parse schemas and knows nothing of records.
//!
//! What is kept: a schema for as long as there is room, "unknown id" for a time (registries replicate late). A failed
//! fetch is never an answer about its id: it only starts a pause, shared by all ids, so that a registry that is down is
//! asked once a pause and not once a record. With `registry.cache_dir`, what was kept there ([`disk`]) stands in for a
//! registry that cannot be asked, and is compared with what the registry says as soon as it answers again.

mod confirm;
pub mod disk;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::runtime::Handle;

use self::confirm::confirm;
use self::disk::Question;
use super::registry::{Fetched, RegistryClient, RegistryError};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A `Retry-After` beyond this is taken for a mistake.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// Fetches under way at once: records with made-up ids must not become a flood of requests.
const MAX_IN_FLIGHT: usize = 16;

/// What the cache keeps.
#[derive(Debug, Clone, Copy)]
pub struct CacheSettings {
    /// How long "unknown id" is believed.
    pub unknown_ttl: Duration,
    /// Ids kept, known and unknown.
    pub capacity: usize,
    /// Bytes of schema text kept.
    pub bytes: usize,
    /// Whether the subjects of an id are asked for with its schema.
    pub subjects: bool,
    /// How long after the registry may be asked again, and nobody has, [`SchemaCache::probe`] asks. Longer than any partition
    /// waits between two tries.
    pub probe_after: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        CacheSettings {
            unknown_ttl: Duration::from_secs(30),
            capacity: 10_000,
            bytes: 64 * 1024 * 1024,
            subjects: false,
            probe_after: Duration::from_secs(15),
        }
    }
}

/// What is known of an id now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The schema.
    Ready(Arc<Fetched>),
    /// The registry said that the id does not exist.
    Unknown,
    /// It is being asked.
    Pending,
    /// The registry could not be asked; this says nothing about the id.
    Unavailable {
        /// What happened.
        message: String,
        /// When it is asked again, if someone asks here.
        retry_at: Instant,
    },
}

/// Whether the registry answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryState {
    /// The last call was answered, or none was made.
    Up,
    /// Calls fail.
    Down {
        /// Since when.
        since: Instant,
        /// The last failure.
        message: String,
    },
}

/// Counts since start, and the present size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Questions answered from the cache.
    pub hits: u64,
    /// Questions that were not.
    pub misses: u64,
    /// Requests for an id sent to the registry.
    pub fetches: u64,
    /// Of them, those that failed (an unknown id is not a failure).
    pub failures: u64,
    /// Ids dropped for want of room.
    pub evictions: u64,
    /// Ids held, known and unknown.
    pub entries: u64,
}

/// The cache. Cheap to clone; clones are the same cache.
#[derive(Debug, Clone)]
pub struct SchemaCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: RegistryClient,
    runtime: Handle,
    settings: CacheSettings,
    state: Mutex<State>,
    changed: Condvar,
    hits: AtomicU64,
    misses: AtomicU64,
    fetches: AtomicU64,
    failures: AtomicU64,
    evictions: AtomicU64,
    /// Kept schemas that the registry turned out to have otherwise.
    replaced: AtomicU64,
}

#[derive(Debug)]
struct State {
    entries: HashMap<u32, Entry>,
    /// Of the schemas among them.
    bytes: usize,
    in_flight: usize,
    /// Counts questions: the age of an entry for eviction.
    clock: u64,
    registry: RegistryState,
    /// Pauses since the last answer.
    pauses: u32,
    retry_at: Option<Instant>,
    /// Ids answered from the disk, which the registry has yet to confirm.
    unconfirmed: BTreeSet<u32>,
    /// Whether somebody is on the way to ask for them.
    confirming: bool,
    /// Whether a probe is under way.
    probing: bool,
    /// What is not among the entries does not exist, and nobody is asked.
    closed: bool,
}

#[derive(Debug)]
enum Entry {
    Ready { schema: Arc<Fetched>, used: u64 },
    Unknown { until: Instant, used: u64 },
    Pending,
}

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Entry::Ready { schema, .. } => schema.bytes(),
            Entry::Unknown { .. } | Entry::Pending => 0,
        }
    }
}

enum Looked {
    Known(Answer),
    Fetch,
    /// The registry cannot be asked now, and there is a file.
    Kept,
}

impl SchemaCache {
    /// An empty cache; fetches run on `runtime`.
    pub fn new(client: RegistryClient, runtime: Handle, settings: CacheSettings) -> SchemaCache {
        let state = State {
            entries: HashMap::new(),
            bytes: 0,
            in_flight: 0,
            clock: 0,
            registry: RegistryState::Up,
            pauses: 0,
            retry_at: None,
            unconfirmed: BTreeSet::new(),
            confirming: false,
            probing: false,
            closed: false,
        };
        SchemaCache {
            shared: Arc::new(Shared {
                client,
                runtime,
                settings,
                state: Mutex::new(state),
                changed: Condvar::new(),
                hits: AtomicU64::new(0),
                misses: AtomicU64::new(0),
                fetches: AtomicU64::new(0),
                failures: AtomicU64::new(0),
                evictions: AtomicU64::new(0),
                replaced: AtomicU64::new(0),
            }),
        }
    }

    /// A cache of these schemas, for which no other id exists: nobody is ever asked.
    pub fn closed(
        client: RegistryClient,
        runtime: Handle,
        schemas: impl IntoIterator<Item = Fetched>,
    ) -> SchemaCache {
        let cache = SchemaCache::new(client, runtime, CacheSettings::default());
        let mut state = cache.shared.lock();
        state.closed = true;
        for schema in schemas {
            let (id, schema) = (schema.id, Arc::new(schema));
            state.bytes += schema.bytes();
            state.entries.insert(id, Entry::Ready { schema, used: 0 });
        }
        drop(state);
        cache
    }

    /// What is known of `id`; starts a fetch when nothing is. Never waits for the registry.
    pub fn get(&self, id: u32) -> Answer {
        let is_kept = || {
            let disk = self.shared.client.disk();
            disk.is_some_and(|disk| disk.has(id))
        };
        let looked = self.shared.lock().look(id, Instant::now(), &is_kept);
        let known = match looked {
            Looked::Known(answer) => answer,
            Looked::Fetch => {
                self.fetch(id);
                Answer::Pending
            }
            Looked::Kept => {
                self.read_kept(id);
                Answer::Pending
            }
        };
        let counter = match known {
            Answer::Ready(_) | Answer::Unknown => &self.shared.hits,
            Answer::Pending | Answer::Unavailable { .. } => &self.shared.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        known
    }

    /// As [`get`](Self::get), but waits for a fetch under way, at most for `timeout`; then still `Pending`. Not for
    /// async code.
    pub fn wait(&self, id: u32, timeout: Duration) -> Answer {
        let deadline = Instant::now() + timeout;
        loop {
            let answer = self.get(id);
            if answer != Answer::Pending {
                return answer;
            }
            let mut state = self.shared.lock();
            // The fetch may have ended between `get` and this lock; its notice is then already gone.
            while state.is_waiting(id) {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Answer::Pending;
                }
                let waited = self.shared.changed.wait_timeout(state, left);
                state = waited.expect(NO_PANIC).0;
            }
        }
    }

    /// Whether the registry answers, for readiness.
    pub fn registry_state(&self) -> RegistryState {
        self.shared.lock().registry.clone()
    }

    /// Asks a registry that is down, and that nobody asks any more, whether it is back: what wanted it may be another
    /// instance's now, and nothing else would ever tell. One probe at a time. For whoever looks at
    /// [`Self::registry_state`] again and again.
    pub fn probe(&self) {
        let mut state = self.shared.lock();
        if !state.is_unasked(Instant::now(), self.shared.settings.probe_after) {
            return;
        }
        state.probing = true;
        drop(state);
        let shared = Arc::clone(&self.shared);
        self.shared.runtime.spawn(async move {
            let said = shared.client.ping().await;
            let mut state = shared.lock();
            state.probing = false;
            match said {
                Ok(()) => state.answered(),
                Err(failure) => state.failed(&failure, Instant::now()),
            }
        });
    }

    /// Counts.
    pub fn stats(&self) -> CacheStats {
        let state = self.shared.lock();
        let shared = &self.shared;
        CacheStats {
            hits: shared.hits.load(Ordering::Relaxed),
            misses: shared.misses.load(Ordering::Relaxed),
            fetches: shared.fetches.load(Ordering::Relaxed),
            failures: shared.failures.load(Ordering::Relaxed),
            evictions: shared.evictions.load(Ordering::Relaxed),
            entries: state.settled() as u64,
        }
    }

    /// Spawned without the lock: on a runtime that is shutting down, `spawn` drops the future at once, and with it
    /// the guard, which takes the lock.
    fn fetch(&self, id: u32) {
        let flight = self.flight(id);
        self.shared.fetches.fetch_add(1, Ordering::Relaxed);
        self.shared.runtime.spawn(async move {
            let fetched = flight.shared.ask(id).await;
            let kept = match &fetched {
                Err(RegistryError::Unavailable { .. }) => flight.shared.kept(id).await,
                _ => None,
            };
            flight.land(Some(fetched), kept);
        });
    }

    fn read_kept(&self, id: u32) {
        let flight = self.flight(id);
        self.shared.runtime.spawn(async move {
            let kept = flight.shared.kept(id).await;
            flight.land(None, kept);
        });
    }

    fn flight(&self, id: u32) -> Flight {
        Flight {
            shared: Arc::clone(&self.shared),
            id,
            landed: false,
        }
    }

    /// How many kept schemas the registry turned out to have otherwise, or not at all: whoever holds on to what was
    /// answered here asks again when this has changed.
    pub fn replaced(&self) -> u64 {
        self.shared.replaced.load(Ordering::Acquire)
    }
}

const NO_PANIC: &str = "no code panics while it holds the cache";

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NO_PANIC)
    }

    /// The registry's answer, with the subjects if they are wanted; a schema goes to the disk.
    async fn ask(&self, id: u32) -> Result<Fetched, RegistryError> {
        let fetched = self.ask_registry(id).await;
        let disk = self.client.disk().cloned();
        let (Some(disk), Ok(_) | Err(RegistryError::UnknownId(_))) = (disk, &fetched) else {
            return fetched;
        };
        let write = tokio::task::spawn_blocking(move || {
            match &fetched {
                Ok(schema) => disk.keep(schema),
                Err(_) => disk.forget(Question::Id(id)),
            }
            fetched
        });
        write.await.unwrap_or_else(|_| Err(given_up()))
    }

    async fn ask_registry(&self, id: u32) -> Result<Fetched, RegistryError> {
        let mut schema = self.client.schema_by_id(id).await?;
        if self.settings.subjects {
            schema.subjects = self.client.subjects_of(id).await?.map(Arc::from);
        }
        Ok(schema)
    }

    async fn kept(&self, id: u32) -> Option<Fetched> {
        let disk = Arc::clone(self.client.disk()?);
        let read = tokio::task::spawn_blocking(move || disk.schema(id));
        read.await.ok().flatten()
    }

    /// Puts a settled answer in its place, and makes room for it.
    fn put(&self, state: &mut State, id: u32, entry: Entry) {
        state.insert(id, entry);
        let settings = &self.settings;
        while (state.settled() > settings.capacity.max(1)
            || state.bytes > settings.bytes && state.settled() > 1)
            && state.evict()
        {
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn given_up() -> RegistryError {
    RegistryError::Unavailable {
        message: "the fetch was given up".to_owned(),
        retry_after: None,
    }
}

/// A fetch under way. Dropped without landing (the runtime went away, the fetch panicked), it counts as failed, so that
/// no id stays pending for ever.
struct Flight {
    shared: Arc<Shared>,
    id: u32,
    landed: bool,
}

impl Flight {
    fn land(mut self, asked: Option<Result<Fetched, RegistryError>>, kept: Option<Fetched>) {
        self.landed = true;
        self.settle(asked, kept);
    }

    /// `asked` is what the registry said, if it was asked; `kept` what there is in its place.
    fn settle(&self, asked: Option<Result<Fetched, RegistryError>>, kept: Option<Fetched>) {
        let now = Instant::now();
        let shared = &self.shared;
        let mut state = shared.lock();
        state.in_flight -= 1;
        let used = state.clock;
        let ready = |schema| Entry::Ready {
            schema: Arc::new(schema),
            used,
        };
        let entry = match asked {
            Some(Ok(schema)) => {
                state.answered();
                Some(ready(schema))
            }
            Some(Err(RegistryError::UnknownId(_))) => {
                state.answered();
                Some(Entry::Unknown {
                    until: now + shared.settings.unknown_ttl,
                    used,
                })
            }
            failure => {
                if let Some(Err(failure)) = failure {
                    shared.failures.fetch_add(1, Ordering::Relaxed);
                    state.failed(&failure, now);
                }
                state.remove(self.id);
                kept.map(|schema| {
                    tracing::warn!(
                        schema = self.id,
                        "the registry cannot be asked: going on with what was kept in registry.cache_dir"
                    );
                    state.unconfirmed.insert(self.id);
                    ready(schema)
                })
            }
        };
        if let Some(entry) = entry {
            shared.put(&mut state, self.id, entry);
        }
        let confirm_now = !state.unconfirmed.is_empty() && !state.confirming;
        state.confirming |= confirm_now;
        drop(state);
        shared.changed.notify_all();
        if confirm_now {
            shared.runtime.spawn(confirm(Arc::downgrade(shared)));
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.settle(Some(Err(given_up())), None);
        }
    }
}

impl State {
    /// `is_kept` is asked only where the registry cannot be.
    fn look(&mut self, id: u32, now: Instant, is_kept: &dyn Fn() -> bool) -> Looked {
        self.clock += 1;
        let clock = self.clock;
        match self.entries.get_mut(&id) {
            Some(Entry::Ready { schema, used }) => {
                *used = clock;
                return Looked::Known(Answer::Ready(Arc::clone(schema)));
            }
            Some(Entry::Unknown { until, used }) if *until > now => {
                *used = clock;
                return Looked::Known(Answer::Unknown);
            }
            Some(Entry::Pending) => return Looked::Known(Answer::Pending),
            Some(Entry::Unknown { .. }) | None => {}
        }
        if self.closed {
            return Looked::Known(Answer::Unknown);
        }
        if let (RegistryState::Down { message, .. }, Some(retry_at)) =
            (&self.registry, self.retry_at)
            && retry_at > now
        {
            if is_kept() {
                self.entries.insert(id, Entry::Pending);
                self.in_flight += 1;
                return Looked::Kept;
            }
            let message = message.clone();
            return Looked::Known(Answer::Unavailable { message, retry_at });
        }
        if self.in_flight >= self.limit() {
            return Looked::Known(Answer::Pending);
        }
        self.entries.insert(id, Entry::Pending);
        self.in_flight += 1;
        Looked::Fetch
    }

    /// After a failure, one question at a time until one is answered.
    fn limit(&self) -> usize {
        match self.registry {
            RegistryState::Up => MAX_IN_FLIGHT,
            RegistryState::Down { .. } => 1,
        }
    }

    /// Whether the registry is down, could have been asked for so long, and was not.
    fn is_unasked(&self, now: Instant, after: Duration) -> bool {
        let is_down = matches!(self.registry, RegistryState::Down { .. });
        let is_quiet = self.in_flight == 0 && !self.probing && self.unconfirmed.is_empty();
        is_down && is_quiet && self.retry_at.is_none_or(|at| at + after <= now)
    }

    fn is_waiting(&self, id: u32) -> bool {
        match self.entries.get(&id) {
            Some(Entry::Pending) => true,
            Some(_) => false,
            // Held back by the limit: nothing can change before a fetch lands.
            None => self.in_flight >= self.limit(),
        }
    }

    fn answered(&mut self) {
        self.registry = RegistryState::Up;
        self.pauses = 0;
        self.retry_at = None;
    }

    fn failed(&mut self, failure: &RegistryError, now: Instant) {
        let asked = match failure {
            RegistryError::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        };
        // Fetches that were under way together fail together: that is one pause, not sixteen doublings.
        if self.retry_at.is_none_or(|at| at <= now) {
            self.retry_at = Some(now + pause(self.pauses, SmallRng::from_os_rng().random()));
            self.pauses = self.pauses.saturating_add(1);
        }
        let asked = asked.map(|wait| now + wait.min(LONGEST_RETRY_AFTER));
        self.retry_at = self.retry_at.max(asked);
        let since = match &self.registry {
            RegistryState::Down { since, .. } => *since,
            RegistryState::Up => now,
        };
        let message = failure.to_string();
        self.registry = RegistryState::Down { since, message };
    }

    fn settled(&self) -> usize {
        self.entries.len() - self.in_flight
    }

    fn insert(&mut self, id: u32, entry: Entry) {
        self.bytes += entry.bytes();
        if let Some(before) = self.entries.insert(id, entry) {
            self.bytes -= before.bytes();
        }
    }

    fn remove(&mut self, id: u32) -> bool {
        let removed = self.entries.remove(&id);
        self.bytes -= removed.as_ref().map_or(0, Entry::bytes);
        removed.is_some()
    }

    /// Drops the least recently used entry, unknown ids first: made-up ids must not push out real schemas.
    fn evict(&mut self) -> bool {
        let oldest = self.entries.iter().filter_map(|(id, entry)| match entry {
            Entry::Ready { used, .. } => Some((true, *used, *id)),
            Entry::Unknown { used, .. } => Some((false, *used, *id)),
            Entry::Pending => None,
        });
        match oldest.min() {
            Some((_, _, id)) => self.remove(id),
            None => false,
        }
    }
}

/// The pause after `earlier` pauses without an answer: doubling, and between three quarters and all of it, so that
/// instances do not ask in step. `random` is from 0 to 1.
fn pause(earlier: u32, random: f64) -> Duration {
    let full = FIRST_PAUSE * 2_u32.pow(earlier.min(10));
    full.min(LONGEST_PAUSE)
        .mul_f64(0.75 + 0.25 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
