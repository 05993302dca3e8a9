//! The keys of one pipeline, its transform steps excepted.

use std::time::Duration;

use super::transform::STEPS;
use super::{DAY, Key, Kind, OWNER, RATIO_LIMIT, Word, key, secs, word};
use crate::config::model::MAX_TIERS;

const YEAR: u64 = 366 * DAY;

pub(crate) const PIPELINE: &[Key] = &[
    key(
        "owner",
        Kind::Map(OWNER),
        "Who is told when something is wrong here. Without one, a dead letter belongs to nobody, and loading warns of it.",
    ),
    key(
        "group",
        Kind::Group,
        "Consumer group, and part of the names of retry and dead-letter topics, so that two groups on one topic never \
         read each other's retries. Renaming it starts anew from `auto.offset.reset` and leaves the old retry topics unread.",
    )
    .default_note("the pipeline's name")
    .kafka("group.id"),
    key(
        "workers",
        Kind::Int { min: 1, max: 256 },
        "Threads in this instance, each with a consumer and a producer of its own; `memory_limit` is shared among them. \
         Those beyond the number of partitions, all instances counted, stand idle.",
    )
    .default("1"),
    key("delivery", Kind::Choice(DELIVERY), "What a crash may do to the outputs.").default("at_least_once"),
    key(
        "transaction",
        Kind::Map(TRANSACTION),
        "How transactions run, with `delivery: exactly_once`. Each worker has a producer with the `transactional.id` \
         `<group>-<instance>-<worker>`: the instance is `kafka.group_instance_id` with the pipeline's name, where that is \
         set, and else random for each start.",
    ),
    key(
        "provenance",
        Kind::Choice(PROVENANCE),
        "What `driftgate audit` can go by. See `docs/audit.md`.",
    )
    .default("ledger"),
    key(
        "create_topics",
        Kind::Bool,
        "Whether missing sink, retry and dead-letter topics are created, with the source's partition count and an explicit \
         retention. With `false`, `check` and `run` name each one that is missing before anything is read.",
    )
    .default("true"),
    key("source", Kind::Map(SOURCE), "Where the records come from.").required(),
    key("contract", Kind::Map(CONTRACT), "What a record must be to go on.").required(),
    key(
        "dedup",
        Kind::Map(DEDUP),
        "Drops copies: of the records of one key inside a window the first one that gets through wins. See [dedup](dedup.md).",
    )
    .default_note("none"),
    key(
        "stale",
        Kind::Map(STALE),
        "Keeps an event from going on behind a newer one of its key: late, resent or overtaken in retry. See [stale](stale.md).",
    )
    .default_note("none"),
    key(
        "ownership",
        Kind::Map(OWNERSHIP),
        "Holds sources to the fields that are theirs by the contract (`fields.<path>.owner` of `contract.rules`). Without it owners are \
         who is told of drift, and nothing more. See [ownership](ownership.md).",
    )
    .default_note("none"),
    key(
        "transform",
        Kind::List { item: &Kind::OneOf(STEPS), max: 256 },
        "The steps, in order; one step is one list item. A record that a step fails on is a dead letter.",
    )
    .default_note("none"),
    key(
        "secrets",
        Kind::Named { what: "secret", value: &Kind::Secret, pipeline: false },
        "Secrets by name, for expressions: `hmac(email, 'name')`. Write `${file:/run/secrets/…}`.",
    )
    .default_note("none"),
    key("sink", Kind::Map(SINK), "Where the records that pass are written to.").required(),
    key("failure", Kind::Map(FAILURE), "What becomes of a record that could not be processed."),
    key(
        "alerts",
        Kind::List { item: &Kind::Map(ALERT), max: 16 },
        "Webhooks that are told when something needs a person, and when it is over. docs/alerts.md says what is told and when. \
         Without one the log and the metrics alone tell, and `check` warns of it.",
    )
    .default_note("none"),
];

pub(crate) const DEDUP: &[Key] = &[
    key(
        "key",
        Kind::Expression,
        "What copies have in common, as a text or bytes: `event_id`, `order_id + '/' + string(version)`. An event for which it is \
         null is nobody's copy.",
    )
    .default_note("`by` says it"),
    key("by", Kind::Choice(DEDUP_BY), "Without `key`: what copies have in common.").default("record_key"),
    key(
        "partitioned_by",
        Kind::Choice(PARTITIONED_BY),
        "With `key`: why copies come to one partition. Each partition remembers its own keys, and copies that come to two of them are \
         both passed on. `check` asks for it where it is not said.",
    )
    .default("record_key"),
    key(
        "window",
        Kind::Duration { min: secs(1), max: secs(YEAR) },
        "How long a key is remembered, by the times of the partition's records: a backlog of a week is still within a window of an \
         hour where its copies are. Up to an eighth longer. Without it `max_keys` alone says how long.",
    )
    .default_note("none, and then `max_keys` has to be given"),
    key(
        "max_keys",
        Kind::Int { min: 8, max: 1_000_000_000 },
        "How many keys of a source partition are remembered, in memory 28 to 56 bytes each and on disk 27. With `window`, keys that \
         were forgotten for want of room and before their time are told in the log and counted.",
    )
    .default("1000000"),
    STORE,
    ON_MISSING_STATE,
    key("then", Kind::Choice(DEDUP_THEN), "What becomes of a copy.").default("drop"),
    ASIDE,
];

pub(crate) const STALE: &[Key] = &[
    key(
        "key",
        Kind::Expression,
        "What the versions of one entity have in common, as a text or bytes: `order_id`. An event for which it is null is never stale.",
    )
    .default_note("the record's key"),
    key(
        "by",
        Kind::Expression,
        "The version of the event: a whole number, a timestamp or a date that grows with each change, such as `updated_at`. An event for \
         which it is null is never stale.",
    )
    .required(),
    key("then", Kind::Choice(STALE_THEN), "What becomes of an event that is older than the newest of its key.").default("drop"),
    ASIDE,
    key(
        "partitioned_by",
        Kind::Choice(STALE_PARTITIONED_BY),
        "With `key`: why the versions of one entity come to one partition. Each partition remembers its own keys. `check` asks for it \
         where it is not said.",
    )
    .default("record_key"),
    key(
        "window",
        Kind::Duration { min: secs(1), max: secs(YEAR) },
        "How long the newest version of a key is remembered after its event, by the times of the partition's records. Up to an eighth \
         longer.",
    )
    .default_note("`max_keys` alone says how long"),
    key(
        "max_keys",
        Kind::Int { min: 8, max: 1_000_000_000 },
        "How many keys of a source partition are remembered, in memory 37 to 74 bytes each. Those that were changed least recently are \
         forgotten first, which is counted and told in the log.",
    )
    .default("1000000"),
    key(
        "reorder",
        Kind::Map(REORDER),
        "Lets events wait for a moment, so that an older version which is late by less goes in front of the newer one and is not stale. Under \
         exactly_once as well; not with `ordering: per_key`.",
    )
    .default_note("none"),
    STORE,
    ON_MISSING_STATE,
];

const REORDER: &[Key] = &[
    key(
        "wait",
        Kind::Duration { min: Duration::from_millis(1), max: secs(60) },
        "How long an event waits for older ones of its key: so much later it is written and committed.",
    )
    .required(),
    key(
        "max_records",
        Kind::Int { min: 1, max: 1_000_000 },
        "How many records of a source partition wait at most. Beyond it the first ones go on before their time. All that waits may take as \
         much memory again as the producer's queue.",
    )
    .default("10000"),
];

pub(crate) const OWNERSHIP: &[Key] = &[
    key(
        "by",
        Kind::MapOr { short: &Kind::Choice(OWNERSHIP_BY), keys: OWNERSHIP_BY_KEYS },
        "By what the source of an event is told: `topic`, or `{ header: x-system }`, or `{ field: origin }`.",
    )
    .default("topic"),
    key(
        "names",
        Kind::Named { what: "source", value: &Kind::Text, pipeline: false },
        "What is found by `by`, to the source's name in the contract: `{ crm.customers: crm }`. What has no entry is the name itself.",
    )
    .default_note("none"),
    key(
        "then",
        Kind::Choice(ON_FOREIGN),
        "What becomes of an event that sets a field which another source owns. `on_foreign` in the rules file says it for single fields.",
    )
    .default("reject"),
];

const OWNERSHIP_BY: &[Word] = &[word(
    "topic",
    "the source topic, also of what comes back from retry or the dead-letter topic",
)];

const OWNERSHIP_BY_KEYS: &[Key] = &[
    key(
        "header",
        Kind::Text,
        "The last header of that name. Whoever may write to the source topic may write anything there.",
    ),
    key(
        "field",
        Kind::Expression,
        "A field of the contract, or an expression over its fields, that is a text or bytes; enums by `string(origin)`.",
    ),
];

pub(crate) const ON_FOREIGN: &[Word] = &[
    word(
        "reject",
        "it is a dead letter with the reason `foreign_field`",
    ),
    word(
        "ignore",
        "it goes on as if it did not have the field: with its default, or null. That is counted",
    ),
    word(
        "flag",
        "it goes on as it is, with the fields in the header `driftgate.foreign`, and is counted",
    ),
];

const STORE: Key = key(
    "store",
    Kind::Choice(STORES),
    "Where keys are kept by the instance that has their partition. The state topic has them either way.",
)
.default("memory");

const STORES: &[Word] = &[
    word("memory", "in memory, all of them"),
    word(
        "disk",
        "in files below `state_dir`, but for those that came last: some two bytes each are left in memory, and a restart with the same \
         `state_dir` reads only what came since",
    ),
];

const ON_MISSING_STATE: Key = key(
    "on_missing_state",
    Kind::Choice(MISSING_STATE),
    "What to do when the state topic of a partition that has kept state is empty: it was deleted, or made again.",
)
.default("refuse");

const ASIDE: Key = key(
    "topic",
    Kind::Topic,
    "With `then: topic`: where it is set aside, as it came, with the headers of a dead letter that say where from and why. Several \
     pipelines may share it.",
)
.default_note("none");

const DEDUP_THEN: &[Word] = &[
    word(
        "drop",
        "it is counted as `duplicate`, and nothing is written",
    ),
    word("topic", "the same, and it is set aside in `topic`"),
];

const STALE_THEN: &[Word] = &[
    word("drop", "it is counted as `stale`, and nothing is written"),
    word("topic", "the same, and it is set aside in `topic`"),
    word("dead_letter", "it is a dead letter with the reason `stale`"),
    word(
        "pass",
        "it goes on, with the newest version in the header `driftgate.stale`, and is counted",
    ),
];

const STALE_PARTITIONED_BY: &[Word] = &[
    word(
        "record_key",
        "producers partition by the record's key, as they do by default, and the versions of one entity have the same one: what has \
         another record key is another entity",
    ),
    word(
        "stale_key",
        "you assert that producers put records with one such key into one partition, whatever their record keys are",
    ),
];

const DEDUP_BY: &[Word] = &[
    word(
        "record_key",
        "their record key; records without one are nobody's copies",
    ),
    word(
        "content",
        "their key and value, byte for byte; headers do not count",
    ),
];

const PARTITIONED_BY: &[Word] = &[
    word(
        "record_key",
        "producers partition by the record's key, as they do by default, and copies have the same one: what has another record \
         key is no copy",
    ),
    word(
        "dedup_key",
        "you assert that producers put records with one dedup key into one partition, whatever their record keys are",
    ),
];

const MISSING_STATE: &[Word] = &[
    word(
        "refuse",
        "the partition waits, and says so: a copy of what was forgotten would pass",
    ),
    word("begin_empty", "it begins with nothing remembered"),
];

pub(crate) const ALERT: &[Key] = &[
    key(
        "webhook",
        Kind::SecretUrl,
        "Takes a POST for each alert. Asked again, with growing waits, until it answers with 2xx; it never holds up a record. The \
         URL is a secret and is not printed.",
    )
    .required(),
    key(
        "format",
        Kind::Choice(FORMAT),
        "What the webhook is sent. It is not guessed from the URL; where a chat's URL stands without it, loading warns.",
    )
    .default("json"),
    key(
        "kinds",
        Kind::List { item: &Kind::Choice(KINDS), max: 16 },
        "What this webhook is told of.",
    )
    .default_note("all"),
    key(
        "when",
        Kind::Expression,
        "Tells this webhook only what the condition is true of: `kind == 'drift' || (kind == 'dead_letters' && count > 1000)`. It \
         can name `kind`, `reason`, `subject`, `topic` (may be null), `partitions` (how many) and `count`, as docs/alerts.md says. \
         A condition that cannot be evaluated counts as true.",
    )
    .default_note("everything of `kinds`"),
    key(
        "after",
        Kind::Duration { min: secs(0), max: secs(3600) },
        "How long something must last before it is told, and be gone before that is told. What comes and goes within this time, \
         such as a broker's restart, wakes nobody. Drift and an instance that ends are told at once.",
    )
    .default("10s"),
    key(
        "dead_letters_above",
        Kind::Rate,
        "More dead letters than this, of all partitions that this instance has of the pipeline, are an alert: so many in a \
         sliding second, minute or hour. A few are everyday life, which `driftgate_failures_total` counts.",
    )
    .default("100/m"),
    key(
        "remind_every",
        Kind::Duration { min: secs(60), max: secs(30 * DAY) },
        "How often what goes on is told again.",
    )
    .default_note("never: once, and once when it is over"),
];

const FORMAT: &[Word] = &[
    word(
        "json",
        "Driftgate's own object, with every fact in a field of its own",
    ),
    word(
        "slack",
        "`{\"text\": …}`, which Slack, Mattermost, Rocket.Chat and Google Chat take",
    ),
    word(
        "teams",
        "a message with an adaptive card, which a workflow of Microsoft Teams takes",
    ),
];

const KINDS: &[Word] = &[
    word(
        "breaker",
        "a breaker has tripped: partitions wait until somebody has looked",
    ),
    word("paused", "partitions are paused by any other fault"),
    word(
        "dead_letters",
        "more dead letters than `dead_letters_above`",
    ),
    word(
        "drift",
        "a writer schema differs, and `contract.drift` does not allow it; or values have drifted from `contract.baseline`",
    ),
    word(
        "registry",
        "the registry cannot be asked, or partitions wait for it",
    ),
    word(
        "lookup",
        "a server that a lookup asks fails, or a lookup's table is not loaded",
    ),
    word(
        "broker",
        "no broker can be reached, or a topic that is read does not exist any more",
    ),
    word(
        "stuck",
        "partitions have records to read and make no progress",
    ),
    word(
        "retries",
        "records wait in retry for longer than `failure.retry.budget`",
    ),
    word("stopped", "the instance has ended with an error"),
];

const DELIVERY: &[Word] = &[
    word(
        "at_least_once",
        "outputs are acknowledged before the offset is committed; after a crash some may be written a second time",
    ),
    word(
        "exactly_once",
        "outputs, retries, dead letters and offsets commit in one Kafka transaction: a reader with \
         `isolation.level=read_committed` never sees a record twice nor misses one. It costs latency, `transaction.interval` \
         on the average half of it; see `docs/exactly-once.md`",
    ),
];

const TRANSACTION: &[Key] = &[
    key(
        "interval",
        Kind::Duration { min: Duration::from_millis(10), max: secs(5) },
        "How long a transaction is open before it is committed. Readers of committed records see an output up to this long \
         after it was written; each commit costs the worker some milliseconds in which it reads nothing. At most a fifth of \
         `timeout`.",
    )
    .default("100ms"),
    key(
        "records",
        Kind::Int { min: 1, max: 1_000_000 },
        "A transaction with so many produced or filtered records is committed before its `interval` is over, so that a large \
         batch is split over several. The outputs of one record are never split.",
    )
    .default("100000"),
    key(
        "timeout",
        Kind::Duration { min: secs(5), max: secs(120) },
        "When the brokers give a transaction up whose owner is gone. After a crash, readers of committed records wait for it \
         at the first record that the crashed instance had not committed, up to this long; with `kafka.group_instance_id`, \
         only until the instance is back. A worker tries for two thirds of it to end a transaction, so it must not be near \
         the time of a slow commit.",
    )
    .default("15s")
    .kafka("transaction.timeout.ms"),
];

const PROVENANCE: &[Word] = &[
    word(
        "ledger",
        "the topic `<source>.<group>.ledger` has the history of the outcome counts, one small record for each commit of a \
         partition; nothing is added to emitted records",
    ),
    word(
        "header",
        "that, and emitted records carry `driftgate.source` (`topic-partition@offset`), so that each can be paired; some 40 \
         bytes a record. The ledger then names what was filtered as well",
    ),
    word(
        "none",
        "neither: the audit has the counts of the last commit alone, and cannot tell where one is wrong",
    ),
];

const SOURCE: &[Key] = &[key(
    "topics",
    Kind::List { item: &Kind::Topic, max: 1000 },
    "Topics to read, by their full names. No patterns: each has retry and dead-letter topics of its own.",
)
.required()];

const CONTRACT: &[Key] = &[
    key(
        "schema",
        Kind::File,
        "Reader schema: an `.avsc` file that is reviewed beside the code. Its subject is its name without the extension. \
         This or `subject`.",
    ),
    key(
        "subject",
        Kind::Text,
        "Reader schema: a subject of the registry. Fetched once, at start. This or `schema`.",
    ),
    key(
        "at",
        Kind::Version,
        "Version of `subject`: a number, or `latest` at start, which a restart may change.",
    )
    .default("latest"),
    key(
        "rules",
        Kind::File,
        "Rules file (`<subject>.rules.yaml`) that holds beyond types. The `ruleSet` that the registry keeps with the contract's \
         subject and version holds as well, whether there is a file or not.",
    )
    .default_note("none"),
    key(
        "baseline",
        Kind::File,
        "Baseline file (`<subject>.baseline.yaml`): what the values of the contract's records looked like when people reviewed \
         it. Workers profile a sample of the records that pass the contract's schema, and hold windows of them against it; the \
         file says what becomes of a drift. See `docs/drift.md`.",
    )
    .default_note("none: values are not compared"),
    key(
        "drift_window",
        Kind::Duration { min: secs(1), max: secs(DAY) },
        "With `baseline`: a window of records ends after so long, if it has not had its 2,000 records before. One of fewer than \
         100 records waits for them.",
    )
    .default("10m"),
    key(
        "drift",
        Kind::Map(DRIFT),
        "What is done about a writer schema that is not as the contract was reviewed. Judged once for each schema id and \
         topic, on its first record, and told then: in the log, in `driftgate_drift_total`, and to `alerts`.",
    ),
    key(
        "key",
        Kind::Map(KEY),
        "A contract for the record's key, held to a schema as the value is. Without one nothing is asked of keys. With one or \
         without, the emitted key is the source's, byte for byte: written anew under another schema id it would go to another \
         partition, and be another key to compaction.",
    ),
];

const KEY: &[Key] = &[
    key(
        "schema",
        Kind::File,
        "Reader schema of keys: an `.avsc` file. It may be of any type, `\"string\"` too. This or `subject`.",
    ),
    key(
        "subject",
        Kind::Text,
        "Reader schema of keys: a subject of the registry. Fetched once, at start. This or `schema`.",
    ),
    key(
        "at",
        Kind::Version,
        "Version of `subject`: a number, or `latest` at start.",
    )
    .default("latest"),
    key(
        "required",
        Kind::Bool,
        "Whether a record without a key is a dead letter, with the reason `rule_violation`. Off: such a record passes.",
    )
    .default("false"),
];

const DRIFT: &[Key] = &[
    key(
        "added_optional",
        Kind::Choice(DRIFT_ACTION),
        "The writer has a field that the contract lacks. Its values are left out.",
    )
    .default("allow"),
    key(
        "removed",
        Kind::Choice(DRIFT_ACTION),
        "The writer lacks a field of the contract, whose default then stands in every record: the quiet kind of loss. \
         (Without a default no record can be read, and each is a dead letter.)",
    )
    .default("warn"),
    key(
        "type_changed",
        Kind::Choice(DRIFT_ACTION),
        "The writer may send values that the contract does not have: another type, null, a symbol more. What the contract \
         reads by promotion (`int` as its `long`) is no change.",
    )
    .default("warn"),
    key(
        "unit_changed",
        Kind::Choice(DRIFT_ACTION),
        "The same number means something else: milliseconds for microseconds, another scale, local for global time. It \
         halts, because every record is wrong and none looks it.",
    )
    .default("halt"),
    key(
        "pause_above",
        Kind::MapOr { short: &Kind::RatioIn, keys: RATIO_LIMIT },
        "Pauses a partition instead of writing one record more to quarantine, when more than this part of its records would \
         be there: a writer schema that nearly everybody uses is no exception to be put aside. As `50%/1m`, or a mapping. \
         `100%/1m` never pauses. Apart from `failure.dead_letter.pause_above`, which leaves these records out.",
    )
    .default("50%/1m"),
    key(
        "unknown_subject",
        Kind::Choice(DRIFT_ACTION),
        "The schema is registered, and under none of the subjects that belong to this topic: `<topic>-value`, the \
         contract's subject, or the record's name. Not judged where the registry does not tell an id's subjects.",
    )
    .default("warn"),
];

const DRIFT_ACTION: &[Word] = &[
    word("allow", "records go on; it is told in the log"),
    word(
        "warn",
        "records go on; it is told as a warning, and to `alerts`",
    ),
    word(
        "quarantine",
        "records of that schema are dead letters with the reason `drift`",
    ),
    word(
        "halt",
        "partitions with such a record pause until somebody accepts the schema with `driftgate resume`, or the policy or the \
         contract is changed and the instance restarted",
    ),
];

const SINK: &[Key] = &[
    key("topic", Kind::Topic, "Topic to write. Key, timestamp and headers are the source record's, unless a step sets them.").required(),
    key(
        "schema",
        Kind::File,
        "Writer schema of the output: an `.avsc` file, registered beforehand with `driftgate schema register`, or by \
         `auto_register`. This, or `subject` alone.",
    ),
    key(
        "subject",
        Kind::Text,
        "Subject that the file is registered under; without `schema`, the subject that the schema is taken from.",
    )
    .default_note("`<topic>-value`"),
    key("at", Kind::Version, "Version of `subject`, when there is no `schema` file.").default("latest"),
    key(
        "auto_register",
        Kind::Bool,
        "Register the file at start when the subject lacks it. Off, since a schema in production is a decision: it should \
         have been reviewed and registered before the deployment that needs it.",
    )
    .default("false"),
];

const FAILURE: &[Key] = &[
    key(
        "retry",
        Kind::Map(RETRY),
        "For what fails for a passing reason, such as a lookup that is down.",
    ),
    key(
        "dead_letter",
        Kind::Map(DEAD_LETTER),
        "For what can never pass: kept byte for byte, with the cause in its headers.",
    ),
];

const RETRY: &[Key] = &[
    key(
        "tiers",
        Kind::List { item: &Kind::Duration { min: secs(1), max: secs(30 * DAY) }, max: MAX_TIERS },
        "Delays, each at least as long as the one before; one retry topic each. The defaults ride out a hiccup, a restart \
         and a short outage. With `[]` nothing is retried: a lookup \
         that is down pauses the partition, and a schema id that the registry does not know is a dead letter at once.",
    )
    .default("[5s, 1m, 10m]"),
    key(
        "jitter",
        Kind::Ratio,
        "Up to this part of the delay is added, so that what failed together does not come back together.",
    )
    .default("20%"),
    key(
        "attempts",
        Kind::Int { min: 2, max: 1_000_000 },
        "How often a record is tried over all, the first time included; then it is a dead letter, whatever is left of `budget`. \
         Past the tiers it goes round on the last one. It counts outages too: a number that an outage outlasts turns it into \
         dead letters, so that `budget` alone is the better bound for those.",
    )
    .default_note("once for each tier and once before; during an outage of a dependency as often as `budget` allows"),
    key(
        "budget",
        Kind::Duration { min: secs(1), max: secs(YEAR) },
        "During an outage of a dependency, records go round on the last tier until they have been failing for this long. \
         Retry topics are kept for longer than this. A day outlasts most outages; less turns a long one into dead letters.",
    )
    .default("24h"),
    key(
        "reasons",
        Kind::Named { what: "reason", value: &Kind::MapOr { short: &Kind::Choice(FATE), keys: OVERRIDE }, pipeline: false },
        "What differs for single reasons (the words of the `driftgate.reason` header): `retry`, `dead_letter`, or the keys \
         below. Reasons for which a partition pauses cannot be named: nothing is wrong with their records, and the next ones \
         would fail as well. An outage of a lookup or native step cannot be made a dead letter at once.",
    )
    .default_note("none"),
    key("ordering", Kind::Choice(ORDERING), "What the followers of a record in retry do. See [retries](retries.md).").default("none"),
    key(
        "on_dead",
        Kind::Choice(ON_DEAD),
        "With `ordering: per_key`: what becomes of the records that wait behind a record in retry when that is dead-lettered.",
    )
    .default("release"),
    key(
        "max_parked_keys",
        Kind::Int { min: 1, max: 100_000_000 },
        "With `ordering: per_key`: how many keys of a source partition may have records in retry. Some 100 bytes each. One more, \
         and the source partition pauses (`parked_full`) until a tenth of them is through.",
    )
    .default("10000"),
    key(
        "max_parked_records",
        Kind::Int { min: 1, max: 1_000_000_000 },
        "With `ordering: per_key`: how many records of a source partition may be in retry, those that wait included. Some 60 \
         bytes each; the records themselves are in the retry topics. One more, and the source partition pauses.",
    )
    .default("100000"),
];

const FATE: &[Word] = &[
    word("retry", "through the retry tiers, then a dead letter"),
    word("dead_letter", "a dead letter at once"),
];

const OVERRIDE: &[Key] = &[
    key(
        "fate",
        Kind::Choice(FATE),
        "What becomes of a record that fails for this reason.",
    )
    .default("retry"),
    key(
        "tiers",
        Kind::List {
            item: &Kind::Duration {
                min: secs(1),
                max: secs(30 * DAY),
            },
            max: MAX_TIERS,
        },
        "Which of the tiers above it goes through: their delays, in rising order.",
    )
    .default_note("all of them"),
    key(
        "attempts",
        Kind::Int {
            min: 2,
            max: 1_000_000,
        },
        "As above, for this reason.",
    )
    .default_note("as above"),
];

const ORDERING: &[Word] = &[
    word("none", "they overtake it"),
    word(
        "per_key",
        "those with its key follow it into retry, unprocessed, and come out in the order of the source; other keys go on. \
         Records without a key are in no order",
    ),
];

const ON_DEAD: &[Word] = &[
    word("release", "they go on without it"),
    word(
        "park",
        "they wait, and so does every later record of the key, until the dead letter is redriven and gets through, or until \
         the pipeline is started with another `on_dead`",
    ),
    word(
        "dead_letter_followers",
        "those that wait at that time become dead letters too, with the reason `predecessor_dead_lettered`",
    ),
];

const DEAD_LETTER: &[Key] = &[
    key("topic", Kind::Topic, "Another topic than the default. Several pipelines may share it.")
        .default_note("`<source>.<group>.dlq`"),
    key(
        "retention",
        Kind::Duration { min: secs(60), max: secs(10 * YEAR) },
        "Retention of a dead-letter topic that Driftgate creates. Brokers delete by a record's timestamp, which dead \
         letters keep: with a retention of 14d, the dead letter of an event that is 15 days old is gone at once. So there \
         is none unless you set one. Existing topics are left as they are.",
    )
    .default_note("for ever")
    .kafka("retention.ms"),
    key(
        "pause_above",
        Kind::MapOr { short: &Kind::RatioIn, keys: RATIO_LIMIT },
        "Pauses a partition instead of writing one dead letter more, when more than this part of its records would be dead \
         letters, as `20%/1m`: a flood of bad records has one cause, which somebody should see before the topic has \
         gone to the dead-letter topic. The pause outlasts restarts, until `driftgate resume`. A record counts once, when its \
         fate is final, retries with the partition that they came from. Records in quarantine are left out. docs/breakers.md says \
         more.",
    )
    .default_note("never"),
    key(
        "pause_after",
        Kind::Int { min: 1, max: 1_000_000 },
        "Pauses a partition instead of writing one dead letter more after so many in a row, however slowly they come.",
    )
    .default_note("never"),
    key(
        "headers",
        Kind::List { item: &Kind::Choice(DIALECTS), max: 3 },
        "Header dialects of other tools that dead letters speak besides `driftgate.*`, for what already reads theirs. A reason \
         stands where they name an exception's class. They are taken off again when a dead letter is sent back.",
    )
    .default("[]"),
];

const DIALECTS: &[Word] = &[
    word("connect", "Kafka Connect's `__connect.errors.*`"),
    word(
        "spring",
        "Spring's `kafka_dlt-*`, with its binary partition, offset and timestamp",
    ),
    word("streams", "Kafka Streams' `__streams.errors.*`"),
];
