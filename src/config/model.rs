//! The configuration as the rest of the program uses it: validated, interpolated, with defaults filled in. Nothing in
//! here can be wrong any more, except what only the broker and the registry know.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::units::Rate;
use crate::error::Reason;

/// The most retry tiers. More than this only spread what one with the same delay would do.
pub const MAX_TIERS: usize = 16;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The whole file.
#[derive(Debug, Clone)]
pub struct Config {
    /// `kafka`
    pub kafka: Kafka,
    /// `registry`
    pub registry: Registry,
    /// `admin`
    pub admin: Admin,
    /// `memory_limit` in bytes: what librdkafka may hold in its consumer and producer queues, shared among the workers.
    pub memory_limit: u64,
    /// `state_dir`: where what is remembered is on disk.
    pub state_dir: Option<PathBuf>,
    /// `shutdown_grace`
    pub shutdown_grace: Duration,
    /// `pipelines`, in the order of the file.
    pub pipelines: Vec<Pipeline>,
}

/// `kafka`
#[derive(Debug, Clone)]
pub struct Kafka {
    /// `bootstrap_servers`
    pub bootstrap_servers: String,
    /// `properties`: librdkafka properties for every client; those that the guarantees rest on have been refused.
    /// Wrapped as secrets, since passwords are among them.
    pub properties: BTreeMap<String, Secret>,
    /// `group_instance_id`: static membership when set; the worker's slot is appended.
    pub group_instance_id: Option<String>,
}

/// `registry`
#[derive(Debug, Clone)]
pub struct Registry {
    /// `url`, without a trailing slash.
    pub url: String,
    /// `auth.basic` or `auth.bearer`
    pub auth: RegistryAuth,
    /// `auth.tls`
    pub tls: RegistryTls,
    /// `timeout` of one request.
    pub timeout: Duration,
    /// `cache_dir`: where the last known good answers are kept.
    pub cache_dir: Option<PathBuf>,
}

/// How the registry is told who asks.
#[derive(Debug, Clone)]
pub enum RegistryAuth {
    /// Not at all.
    None,
    /// User name and password.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// A bearer token.
    Bearer {
        /// The token.
        token: Secret,
    },
}

/// Certificates for the registry, PEM files.
#[derive(Debug, Clone, Default)]
pub struct RegistryTls {
    /// Authorities to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// Client certificate.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// `admin`
#[derive(Debug, Clone)]
pub struct Admin {
    /// `listen`; `None` when it is `off`.
    pub listen: Option<SocketAddr>,
    /// `token`, needed unless the address is a loopback one. `/healthz` and `/readyz` never ask for it.
    pub token: Option<Secret>,
    /// `public_url`, without a trailing slash: where alerts link to.
    pub public_url: Option<String>,
}

/// Who is told when something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// `team`
    pub team: String,
    /// `contact`
    pub contact: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.team.is_empty(), self.contact.is_empty()) {
            (false, false) => write!(f, "{} <{}>", self.team, self.contact),
            (false, true) => f.write_str(&self.team),
            (true, _) => f.write_str(&self.contact),
        }
    }
}

/// One entry of `pipelines`.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its key in the file.
    pub name: String,
    /// `owner`
    pub owner: Owner,
    /// `group`: the consumer group; the pipeline's name by default.
    pub group: String,
    /// `workers` in this instance.
    pub workers: usize,
    /// `delivery`
    pub delivery: Delivery,
    /// `provenance`
    pub provenance: Provenance,
    /// `source.topics`
    pub source_topics: Vec<String>,
    /// `contract`
    pub contract: Contract,
    /// `dedup`
    pub dedup: Option<Dedup>,
    /// `stale`
    pub stale: Option<Stale>,
    /// `ownership`
    pub ownership: Option<Ownership>,
    /// The steps of `transform` with `before: rules`, in order. They are the first ones of the list.
    pub prepare: Vec<Step>,
    /// The other steps of `transform`, in order.
    pub transform: Vec<Step>,
    /// `sink`
    pub sink: Sink,
    /// `failure`
    pub failure: Failure,
    /// `secrets`: what `hmac` and the like can name in expressions, in the order of the file.
    pub secrets: Vec<(String, Secret)>,
    /// `alerts`: the webhooks that are told.
    pub alerts: Vec<Alert>,
    /// `create_topics`: whether retry, dead-letter and sink topics that are missing are created.
    pub create_topics: bool,
}

impl Pipeline {
    /// `<group>.control`: pauses and resumes that operators ask for, read by every instance of the group.
    pub fn control_topic(&self) -> String {
        format!("{}.control", self.group)
    }

    /// `<source>.<group>.retry.<tier>`, tiers counted from 1.
    pub fn retry_topic(&self, source: &str, tier: usize) -> String {
        format!("{source}.{}.retry.{tier}", self.group)
    }

    /// The retry topics of a source topic that an earlier configuration with more tiers may have left behind, with what may
    /// still wait in them. Tiers counted from 1.
    pub fn former_retry_topics(&self, source: &str) -> impl Iterator<Item = (usize, String)> {
        let former = self.failure.tiers.len() + 1..=MAX_TIERS;
        former.map(move |tier| (tier, self.retry_topic(source, tier)))
    }

    /// The dead-letter topic of a source topic.
    pub fn dead_letter_topic(&self, source: &str) -> String {
        match &self.failure.dead_letter.topic {
            Some(topic) => topic.clone(),
            None => format!("{source}.{}.dlq", self.group),
        }
    }

    /// Whether some of what is remembered is on disk.
    pub fn is_on_disk(&self) -> bool {
        let dedup = self.dedup.as_ref().is_some_and(|dedup| dedup.kept.on_disk);
        dedup || self.stale.as_ref().is_some_and(|stale| stale.kept.on_disk)
    }

    /// Whether the ledger names the records that ended without an output.
    pub fn names_silent(&self) -> bool {
        self.provenance == Provenance::Header
    }

    /// The ledger of a source topic and its retry topics, if there is one.
    pub fn ledger_topic(&self, source: &str) -> Option<String> {
        let kept = self.provenance != Provenance::None;
        kept.then(|| format!("{source}.{}.ledger", self.group))
    }

    /// What is remembered of the records of a source topic, if anything is.
    pub fn state_topic(&self, source: &str) -> Option<String> {
        let kept = self.dedup.is_some() || self.stale.is_some();
        kept.then(|| format!("{source}.{}.state", self.group))
    }

    /// The topics that copies and stale events are set aside in, with what they are for.
    pub fn asides(&self) -> impl Iterator<Item = (&'static str, &Placed<String>)> {
        let dedup = self
            .dedup
            .as_ref()
            .map(|dedup| ("dedup.topic", &dedup.then));
        let stale = self
            .stale
            .as_ref()
            .map(|stale| ("stale.topic", &stale.then));
        let both = dedup.into_iter().chain(stale);
        both.filter_map(|(name, then)| Some((name, then.topic()?)))
    }

    /// What the records of a retry partition wait for each other by, and how much of it there may be.
    pub fn order(&self) -> Option<Order> {
        match (self.failure.per_key, &self.dedup) {
            (Some(per_key), _) => Some(Order {
                by: OrderBy::Key,
                per_key,
            }),
            (None, Some(dedup)) if !self.failure.tiers.is_empty() => Some(Order {
                by: OrderBy::Digest,
                per_key: dedup.parked,
            }),
            _ => None,
        }
    }

    /// Every sink: the pipeline's own, and then each other one that a `route` names, once.
    pub fn sinks(&self) -> Vec<&Sink> {
        let arms = self.transform.iter().flat_map(|step| match step {
            Step::Route(arms) => arms.as_slice(),
            _ => &[],
        });
        let mut sinks = vec![&self.sink];
        for arm in arms {
            if !sinks.iter().any(|sink| sink.is_same(&arm.sink)) {
                sinks.push(&arm.sink);
            }
        }
        sinks
    }

    /// Where a sink stands in [`Self::sinks`].
    pub fn sink_index(&self, sink: &Sink) -> Option<usize> {
        self.sinks().iter().position(|other| other.is_same(sink))
    }
}

/// One entry of `alerts`.
#[derive(Debug, Clone)]
pub struct Alert {
    /// `webhook`
    pub webhook: Secret,
    /// `format`
    pub format: AlertFormat,
    /// `kinds`, every one unless the file says which.
    pub kinds: Vec<AlertKind>,
    /// `when`: the condition; `None` is always.
    pub when: Option<Placed<String>>,
    /// `after`: how long something must last before it is told.
    pub after: Duration,
    /// `dead_letters_above`
    pub dead_letters_above: Rate,
    /// `remind_every`; `None` is never.
    pub remind_every: Option<Duration>,
}

/// `alerts[].format`: what a webhook is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertFormat {
    /// Our own object.
    Json,
    /// `{"text": …}`
    Slack,
    /// A message with an adaptive card.
    Teams,
}

impl AlertFormat {
    /// Every format.
    pub const ALL: [AlertFormat; 3] = [AlertFormat::Json, AlertFormat::Slack, AlertFormat::Teams];

    /// Its word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertFormat::Json => "json",
            AlertFormat::Slack => "slack",
            AlertFormat::Teams => "teams",
        }
    }
}

/// `alerts[].kinds`: what an alert is about, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// The instance ended with an error.
    Stopped,
    /// A breaker has tripped.
    Breaker,
    /// No broker can be reached, or a topic is gone.
    Broker,
    /// The registry cannot be asked.
    Registry,
    /// Partitions are paused by a fault that has no kind of its own.
    Paused,
    /// Partitions make no progress, and nobody knows why.
    Stuck,
    /// A lookup's server fails, or its table is not loaded.
    Lookup,
    /// Records wait in retry for longer than their budget.
    Retries,
    /// More dead letters than a rate.
    DeadLetters,
    /// A writer schema drifted.
    Drift,
}

impl AlertKind {
    /// Every kind, the gravest first.
    pub const ALL: [AlertKind; 10] = [
        AlertKind::Stopped,
        AlertKind::Breaker,
        AlertKind::Broker,
        AlertKind::Registry,
        AlertKind::Paused,
        AlertKind::Stuck,
        AlertKind::Lookup,
        AlertKind::Retries,
        AlertKind::DeadLetters,
        AlertKind::Drift,
    ];

    /// Its word in the configuration, in metrics and in what is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertKind::Breaker => "breaker",
            AlertKind::Paused => "paused",
            AlertKind::DeadLetters => "dead_letters",
            AlertKind::Drift => "drift",
            AlertKind::Registry => "registry",
            AlertKind::Lookup => "lookup",
            AlertKind::Broker => "broker",
            AlertKind::Stuck => "stuck",
            AlertKind::Retries => "retries",
            AlertKind::Stopped => "stopped",
        }
    }
}

/// `delivery`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Outputs are acknowledged before the offset is committed; a crash may repeat some.
    AtLeastOnce,
    /// Outputs and offsets commit in one transaction.
    ExactlyOnce(Transaction),
}

/// `transaction`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// `interval`: how long one is open.
    pub interval: Duration,
    /// `records`: the most that are produced or filtered in one.
    pub records: usize,
    /// `timeout`: when the coordinator gives one up.
    pub timeout: Duration,
}

/// `provenance`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// No ledger, and nothing is added to emitted records.
    None,
    /// A ledger of outcome counts.
    Ledger,
    /// A ledger that also names what was filtered, and emitted records carry `driftgate.source`.
    Header,
}

/// `contract`
#[derive(Debug, Clone)]
pub struct Contract {
    /// `schema`, or `subject` and `at`: the reader schema.
    pub schema: SchemaSource,
    /// `rules`: path of the rules file, relative paths resolved against the configuration file.
    pub rules: Option<PathBuf>,
    /// `baseline`: path of the baseline file, relative paths resolved against the configuration file.
    pub baseline: Option<PathBuf>,
    /// `drift_window`: when a window of records ends that has not had all of its records.
    pub drift_window: Duration,
    /// `drift`
    pub drift: Drift,
    /// `drift.pause_above`: past it a partition pauses instead of putting one record more into quarantine.
    pub quarantine_above: RatioLimit,
    /// `key`: what the record's key must be; `None` leaves keys alone.
    pub key: Option<KeyContract>,
}

/// `contract.key`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyContract {
    /// `schema`, or `subject` and `at`: the reader schema of keys.
    pub schema: SchemaSource,
    /// `required`: whether a record without a key is a dead letter.
    pub required: bool,
}

/// `contract.drift`: what a writer schema does that differs from the contract, by class of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// `added_optional`: the writer has a field more.
    pub added_optional: DriftAction,
    /// `removed`: the writer lacks a field, and the contract has a default for it.
    pub removed: DriftAction,
    /// `type_changed`: the writer may send values that the contract does not have.
    pub type_changed: DriftAction,
    /// `unit_changed`: the same number means something else.
    pub unit_changed: DriftAction,
    /// `unknown_subject`: the writer schema is registered, and under no subject of this topic.
    pub unknown_subject: DriftAction,
}

impl Drift {
    /// Whether any difference sends records to quarantine.
    pub fn may_quarantine(&self) -> bool {
        let Drift {
            added_optional,
            removed,
            type_changed,
            unit_changed,
            unknown_subject,
        } = *self;
        [
            added_optional,
            removed,
            type_changed,
            unit_changed,
            unknown_subject,
        ]
        .contains(&DriftAction::Quarantine)
    }
}

impl Default for Drift {
    fn default() -> Self {
        Drift {
            added_optional: DriftAction::Allow,
            removed: DriftAction::Warn,
            type_changed: DriftAction::Warn,
            unit_changed: DriftAction::Halt,
            unknown_subject: DriftAction::Warn,
        }
    }
}

/// What is done about a writer schema, or about values, that drifted, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum DriftAction {
    /// It is told and goes on.
    Allow,
    /// It is told as a warning, and to the owner.
    #[default]
    Warn,
    /// Its records are dead letters.
    Quarantine,
    /// Its partitions pause until somebody has looked.
    Halt,
}

impl DriftAction {
    /// Every action, from the least to the most.
    pub const ALL: [DriftAction; 4] = [
        DriftAction::Allow,
        DriftAction::Warn,
        DriftAction::Quarantine,
        DriftAction::Halt,
    ];

    /// Its word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            DriftAction::Allow => "allow",
            DriftAction::Warn => "warn",
            DriftAction::Quarantine => "quarantine",
            DriftAction::Halt => "halt",
        }
    }
}

/// Where a schema comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaSource {
    /// An `.avsc` file. Its subject is the file's name without the extension.
    File {
        /// Its path, resolved against the configuration file.
        path: PathBuf,
    },
    /// A subject of the registry.
    Subject {
        /// Its name.
        subject: String,
        /// Its version; `None` is the latest at start.
        version: Option<u32>,
    },
}

impl SchemaSource {
    /// The registry subject that the schema is registered under.
    pub fn subject(&self) -> String {
        match self {
            SchemaSource::File { path } => path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            SchemaSource::Subject { subject, .. } => subject.clone(),
        }
    }
}

/// `sink`
#[derive(Debug, Clone)]
pub struct Sink {
    /// `topic`
    pub topic: String,
    /// `schema`, or `subject` and `at`.
    pub schema: SchemaSource,
    /// `subject` that the file's schema is registered under: `<topic>-value` unless given.
    pub subject: String,
    /// Where `sink` stands.
    pub place: Place,
    /// `auto_register`: register the schema at start when the subject lacks it.
    pub auto_register: bool,
}

impl Sink {
    /// Whether records that go to the other one go to this one, under the same schema.
    pub fn is_same(&self, other: &Sink) -> bool {
        (&self.topic, &self.schema, &self.subject) == (&other.topic, &other.schema, &other.subject)
    }
}

/// `failure`
#[derive(Debug, Clone)]
pub struct Failure {
    /// `retry.tiers`: delays, each at least as long as the one before; empty means no retries.
    pub tiers: Vec<Duration>,
    /// `retry.jitter`, 0 to 1: up to this part of the delay is added.
    pub jitter: f64,
    /// `retry.budget`: an outage of a dependency is retried on the last tier until a record is this old in failure.
    pub budget: Duration,
    /// `retry.attempts`: how often a record is tried at most, whatever the tiers and the budget say.
    pub attempts: Option<u32>,
    /// `retry.reasons`
    pub reasons: Vec<(Reason, Override)>,
    /// `retry.ordering`, with what belongs to it; `None` is `none`.
    pub per_key: Option<PerKey>,
    /// `dead_letter`
    pub dead_letter: DeadLetter,
}

/// An entry of `retry.reasons`. What it does not say is as for every reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Override {
    /// `fate`: whether a record is retried (`true`) or a dead letter at once.
    pub retry: bool,
    /// `tiers` that it goes through, counted from 0; empty: all.
    pub tiers: Vec<usize>,
    /// `attempts`
    pub attempts: Option<u32>,
}

/// `retry.ordering: per_key`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerKey {
    /// `on_dead`
    pub on_dead: OnDead,
    /// `max_parked_keys` of a source partition.
    pub max_keys: usize,
    /// `max_parked_records` of a source partition.
    pub max_records: usize,
}

/// See [`Pipeline::order`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// What is one key.
    pub by: OrderBy,
    /// Its bounds, and what a dead letter does.
    pub per_key: PerKey,
}

/// What is one key in retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderBy {
    /// The record's key: `retry.ordering: per_key`.
    Key,
    /// The key of `dedup`: its copies wait for the first one.
    Digest,
}

/// `dedup`
#[derive(Debug, Clone, PartialEq)]
pub struct Dedup {
    /// What copies have in common.
    pub by: KeyBy,
    /// How much is remembered.
    pub kept: Kept,
    /// What becomes of a copy.
    pub then: Then,
    /// The bounds of what waits for a first one in retry.
    pub parked: PerKey,
}

/// `stale`
#[derive(Debug, Clone, PartialEq)]
pub struct Stale {
    /// What the versions of one entity have in common.
    pub by: KeyBy,
    /// `by`: an expression over the event as the rules see it, for its version.
    pub version: Placed<String>,
    /// How much is remembered.
    pub kept: Kept,
    /// What becomes of an event that is older than the newest.
    pub then: Then,
    /// `reorder`
    pub reorder: Option<Reorder>,
}

/// `stale.reorder`: how long events wait for older ones of their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reorder {
    /// `wait`
    pub wait: Duration,
    /// `max_records` of a source partition.
    pub max_records: usize,
}

/// `ownership`
#[derive(Debug, Clone, PartialEq)]
pub struct Ownership {
    /// By what the source of an event is told.
    pub by: SourceBy,
    /// `names`: what is found, and the source's name in the contract.
    pub names: Vec<NamedSource>,
    /// What becomes of an event that sets a field of another source's.
    pub then: OnForeign,
    /// Where it stands.
    pub place: Place,
}

/// By what the source of an event is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceBy {
    /// The source topic.
    Topic,
    /// The last header of that name.
    Header(Placed<String>),
    /// An expression over the event as the contract has it: a text.
    Field(Placed<String>),
}

/// An entry of `names`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSource {
    /// The topic, or what the header or field says.
    pub found: Placed<String>,
    /// Its name in the contract.
    pub name: Placed<String>,
}

/// What becomes of an event that sets a field which its source does not own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnForeign {
    /// It is a dead letter.
    Reject,
    /// It goes on without the field's value.
    Ignore,
    /// It goes on as it is, with a header.
    Flag,
}

impl OnForeign {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            OnForeign::Reject => "reject",
            OnForeign::Ignore => "ignore",
            OnForeign::Flag => "flag",
        }
    }
}

/// How much is remembered of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// `window`: how long a key is remembered, in the time of its partition; `None`: `max_keys` alone says it.
    pub window: Option<Duration>,
    /// `max_keys` of a source partition.
    pub max_keys: usize,
    /// `store: disk`
    pub on_disk: bool,
    /// `on_missing_state: begin_empty`
    pub begin_empty: bool,
}

/// What becomes of a record that is not to go on for those of its key.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// It is counted, and that is all.
    Drop,
    /// It is set aside in the dead-letter topic.
    DeadLetter,
    /// It is set aside in a topic of its own.
    Topic(Placed<String>),
    /// It goes on, with a header that says so.
    Pass,
}

impl Then {
    /// The topic of its own.
    pub fn topic(&self) -> Option<&Placed<String>> {
        match self {
            Then::Topic(topic) => Some(topic),
            Then::Drop | Then::DeadLetter | Then::Pass => None,
        }
    }

    /// Whether it is a dead letter.
    pub fn is_dead_letter(&self) -> bool {
        *self == Then::DeadLetter
    }

    /// As it is written.
    pub fn as_str(&self) -> &'static str {
        match self {
            Then::Drop => "drop",
            Then::DeadLetter => "dead_letter",
            Then::Topic(_) => "topic",
            Then::Pass => "pass",
        }
    }
}

/// What records of one key have in common.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyBy {
    /// The record's key.
    RecordKey,
    /// Key and value, byte for byte.
    Content,
    /// An expression over the event as the rules see it.
    Expression {
        /// As written.
        text: Placed<String>,
        /// `partitioned_by: record_key`: they have the same record key too.
        with_record_key: bool,
    },
}

/// `retry.on_dead`: what becomes of the followers of a record in retry that is dead-lettered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDead {
    /// They go on without it.
    Release,
    /// They wait until a person has dealt with it.
    Park,
    /// Those that wait at that time are dead letters, too.
    DeadLetterFollowers,
}

impl OnDead {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            OnDead::Release => "release",
            OnDead::Park => "park",
            OnDead::DeadLetterFollowers => "dead_letter_followers",
        }
    }
}

/// `failure.dead_letter`
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// `topic`: another name than `<source>.<group>.dlq`.
    pub topic: Option<String>,
    /// `retention` of a dead-letter topic that we create; `None` is for ever. Brokers delete by the record's timestamp,
    /// which dead letters keep, so any retention deletes dead letters of old events sooner than they were written.
    pub retention: Option<Duration>,
    /// `headers`: dialects of other tools that dead letters speak besides ours, each once.
    pub headers: Vec<HeaderDialect>,
    /// `pause_above`: past it a partition pauses instead of writing one dead letter more.
    pub pause_above: Option<RatioLimit>,
    /// `pause_after`: so many dead letters in a row are the most.
    pub pause_after: Option<u64>,
}

/// A word of `failure.dead_letter.headers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderDialect {
    /// `connect`: Kafka Connect's `__connect.errors.*`.
    Connect,
    /// `spring`: Spring's `kafka_dlt-*`.
    Spring,
    /// `streams`: Kafka Streams' `__streams.errors.*`.
    Streams,
}

impl HeaderDialect {
    /// Its word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            HeaderDialect::Connect => "connect",
            HeaderDialect::Spring => "spring",
            HeaderDialect::Streams => "streams",
        }
    }
}

/// What part of the records may end in some way, within a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatioLimit {
    /// `ratio`, 0 to 1: more than this is too many.
    pub ratio: f64,
    /// `window`
    pub window: Duration,
    /// `at_least`: fewer records say nothing.
    pub at_least: u64,
}

/// A piece of the configuration file, for messages: where an expression or a path stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// File as given on the command line.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A text of the configuration and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// One entry of `transform`.
#[derive(Debug, Clone)]
pub enum Step {
    /// `set: { field: expression }`
    Set(Vec<(Placed<String>, Placed<String>)>),
    /// `filter: expression`: keeps what is true.
    Filter(Placed<String>),
    /// `mask: { field, with }`
    Mask {
        /// Field path.
        field: Placed<String>,
        /// How.
        with: Mask,
    },
    /// `rename: { old: new }`
    Rename(Vec<(Placed<String>, Placed<String>)>),
    /// `drop: [field]`
    Drop(Vec<Placed<String>>),
    /// `cast: { field: type }`: an Avro primitive's name, `decimal(p,s)`, `date`, `timestamp-millis`, …
    Cast(Vec<(Placed<String>, Placed<String>)>),
    /// `map_values: { field, values, otherwise }`
    MapValues(MapValues),
    /// `lookup: { into, url, type, timeout }`, or with a `topic` and `key`
    Lookup(Box<Lookup>),
    /// `native: { name, params }`: a step of the program's own.
    Native(NativeStep),
    /// `move: { from.path: to.path }`
    Move(Vec<(Placed<String>, Placed<String>)>),
    /// `keep: [field]`: every other field is left out.
    Keep(Vec<Placed<String>>),
    /// `default: { field: expression }`: for a field that is null.
    Default(Vec<(Placed<String>, Placed<String>)>),
    /// `flatten: { field, prefix, separator }`: the fields of a record take its place.
    Flatten {
        /// Field path of the record.
        field: Placed<String>,
        /// `prefix`: what stands in front of each name; without one it is the record's own name and `separator`.
        prefix: Option<String>,
        /// `separator`, used where there is no `prefix`.
        separator: String,
    },
    /// `nest: { into, fields }`: fields become a record.
    Nest {
        /// The new field.
        into: Placed<String>,
        /// The fields that go into it.
        fields: Vec<Placed<String>>,
    },
    /// `explode: { field, into }`: one record for each element of an array.
    Explode {
        /// Field path of the array.
        field: Placed<String>,
        /// The field that has the element in the array's place; the array's own name without one.
        into: Option<Placed<String>>,
    },
    /// `header: { name: expression }`; `None` takes the headers of that name away.
    Header(Vec<(Placed<String>, Option<Placed<String>>)>),
    /// `key: expression`: the UTF-8 bytes of the text; null is no key.
    Key(Placed<String>),
    /// `timestamp: expression`
    Timestamp(Placed<String>),
    /// `route: [{ when, topic, schema }, …, { else: true }]`; the last arm, and no other, has no condition.
    Route(Vec<RouteArm>),
}

/// `native`
#[derive(Clone)]
pub struct NativeStep {
    /// `name` that the program gave it.
    pub name: Placed<String>,
    /// `params`, for it alone to understand.
    pub params: Vec<(Placed<String>, Placed<String>)>,
}

impl fmt::Debug for NativeStep {
    /// Without the values of parameters, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.params.iter().map(|(name, _)| &name.value).collect();
        f.debug_struct("NativeStep")
            .field("name", &self.name.value)
            .field("params", &names)
            .finish()
    }
}

/// An arm of `route`.
#[derive(Debug, Clone)]
pub struct RouteArm {
    /// `when`: the expression; `None` is the `else`.
    pub when: Option<Placed<String>>,
    /// Where its records go; what the arm does not say is as in the pipeline's own sink.
    pub sink: Sink,
}

/// `map_values`
#[derive(Debug, Clone)]
pub struct MapValues {
    /// Field path.
    pub field: Placed<String>,
    /// `values`: from the text of a value to what stands for it.
    pub values: Vec<(Placed<String>, Placed<String>)>,
    /// `otherwise`: what becomes of a value that the table lacks.
    pub otherwise: Otherwise,
}

/// What a table of values does with one that it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// The record is a dead letter.
    DeadLetter,
    /// The value stays, as text.
    Keep,
    /// The field is null.
    Null,
}

/// How a field is masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mask {
    /// Hexadecimal SHA-256 of the text. Pseudonymous, not anonymous.
    Sha256,
    /// Hexadecimal HMAC-SHA-256 of the text under a secret.
    Hmac(Secret),
    /// A constant.
    Fixed(String),
    /// `*` for all but the last four characters.
    Last4,
}

/// `lookup`
#[derive(Debug, Clone)]
pub struct Lookup {
    /// `into`: the new field.
    pub into: Placed<String>,
    /// `url` or `topic`: who is asked.
    pub from: LookupSource,
    /// `type`: schema file of the answer.
    pub answer: PathBuf,
    /// Where `type` stands.
    pub answer_place: Place,
    /// `on_missing`: what a 404 does, or a key that a table lacks.
    pub on_missing: OnMissing,
    /// `on_null`: what a null in the question does.
    pub on_null: Option<OnNull>,
}

impl Lookup {
    /// The paths of the fields that the question is made of.
    pub fn fields(&self) -> Vec<&str> {
        match &self.from {
            LookupSource::Topic(topic) => vec![&topic.key.value],
            LookupSource::Http(http) => {
                let braces = http.url.value.split('{').skip(1);
                braces
                    .filter_map(|rest| Some(rest.split_once('}')?.0))
                    .collect()
            }
        }
    }
}

/// Who a lookup asks.
#[derive(Debug, Clone)]
pub enum LookupSource {
    /// An HTTP service.
    Http(HttpLookup),
    /// A table kept from a topic.
    Topic(TopicLookup),
}

/// A lookup at an HTTP service.
#[derive(Clone)]
pub struct HttpLookup {
    /// `url`, with `{field}` for values of the event, percent-encoded when filled in.
    pub url: Placed<String>,
    /// `timeout` of one request.
    pub timeout: Duration,
    /// `headers` of each request.
    pub headers: Vec<(String, Secret)>,
    /// `concurrency`: requests of one batch under way at once.
    pub concurrency: usize,
    /// `limit`, for the whole consumer group.
    pub limit: Option<Rate>,
    /// `cache`
    pub cache: Option<LookupCache>,
}

impl fmt::Debug for HttpLookup {
    /// The URL without its query, where tokens tend to stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLookup")
            .field("url", &super::bare_url(&self.url.value))
            .field("timeout", &self.timeout)
            .field("limit", &self.limit)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// A lookup in a table that is kept from a topic.
#[derive(Debug, Clone)]
pub struct TopicLookup {
    /// `topic`
    pub topic: String,
    /// `key`: path of the field whose value is the key.
    pub key: Placed<String>,
    /// `max`: bytes that the table may take.
    pub max: u64,
}

/// `lookup.cache`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupCache {
    /// `ttl`: how long an answer is used.
    pub ttl: Duration,
    /// `max`: bytes that the answers may take.
    pub max: u64,
}

/// What a lookup's 404 does, or a key that its table lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnMissing {
    /// The record is a dead letter.
    DeadLetter,
    /// The field is null.
    Null,
    /// The field is this, as JSON.
    Default(Placed<String>),
}

/// What a null in a lookup's question does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNull {
    /// The record is a dead letter.
    DeadLetter,
    /// Nobody is asked; `on_missing` says the rest.
    Missing,
}

/// A rules file (`<subject>.rules.yaml`).
#[derive(Debug, Clone, Default)]
pub struct RulesFile {
    /// `owner` of the contract.
    pub owner: Option<Owner>,
    /// `compatibility` that the subject is to have in the registry.
    pub compatibility: Option<String>,
    /// `rules`, in order.
    pub rules: Vec<Rule>,
    /// `fields`: path → what is said of it.
    pub fields: BTreeMap<String, FieldDoc>,
}

/// What the rules file says of a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldDoc {
    /// `tags`, such as `PII`.
    pub tags: Vec<String>,
    /// `owner`: the source that owns it.
    pub owner: Option<String>,
    /// `on_foreign`: what becomes of an event of another source that sets it, if not what the pipeline says.
    pub on_foreign: Option<OnForeign>,
    /// `doc`
    pub doc: Option<String>,
    /// Where the path stands.
    pub place: Place,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// `name`, unique in the file.
    pub name: Placed<String>,
    /// What must hold.
    pub check: Check,
    /// `on_fail`
    pub on_fail: OnFail,
}

/// What a rule checks.
#[derive(Debug, Clone)]
pub enum Check {
    /// `expr`: an expression that must be true.
    Expr(Placed<String>),
    /// `field` and one constraint. A null value satisfies every constraint but `required`.
    Field {
        /// Field path; `items[].price` means every element.
        field: Placed<String>,
        /// The constraint.
        constraint: Constraint,
    },
}

/// A constraint on one field.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// `required: true`: not null, and text not empty.
    Required,
    /// `range: { min, max }`, both inclusive, either may be missing. Decimal text, compared exactly.
    Range {
        /// Lower bound.
        min: Option<String>,
        /// Upper bound.
        max: Option<String>,
    },
    /// `one_of: [ … ]`: text, enum symbol, number or boolean, compared as text.
    OneOf(Vec<String>),
    /// `pattern`: a regular expression that must match the whole text.
    Pattern(String),
    /// `length: { min, max }`: characters of a text, bytes of bytes, elements of an array or map.
    Length {
        /// Least.
        min: Option<usize>,
        /// Most.
        max: Option<usize>,
    },
}

/// What a failed rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFail {
    /// Dead letter.
    DeadLetter,
    /// Counted and logged; the record goes on.
    Warn,
}

/// The pipeline of this name, or what to say of there being none.
pub fn named<'p>(pipelines: &'p [Pipeline], name: &str) -> Result<&'p Pipeline, String> {
    let found = pipelines.iter().find(|pipeline| pipeline.name == name);
    found.ok_or_else(|| {
        let known: Vec<&str> = pipelines.iter().map(|one| one.name.as_str()).collect();
        format!(
            "there is no pipeline {name}; the configuration has {}",
            known.join(", ")
        )
    })
}
