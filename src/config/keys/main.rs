//! The keys of `driftgate.yaml` outside its pipelines.

use super::pipeline::PIPELINE;
use super::{Key, Kind, TIMEOUT, key, secs};

pub(crate) const ROOT: &[Key] = &[
    key("kafka", Kind::Map(KAFKA), "The cluster. Every pipeline reads from it and writes to it."),
    key("registry", Kind::Map(REGISTRY), "The schema registry: anything that speaks Confluent's REST API."),
    key("admin", Kind::Map(ADMIN), "The HTTP server of this instance: `/metrics`, `/healthz`, `/readyz`."),
    key(
        "memory_limit",
        Kind::Size { min: 16 << 20 },
        "What records may take that are on their way, shared among all workers of this instance: a third for those that were \
         fetched, one for the fetch under way, and one for those that no broker has acknowledged yet, with their keys and \
         headers. A lower limit makes the fetches smaller and throughput fall; a higher one lets more records wait in memory. \
         The process itself takes some 50 MiB beyond it, and up to twice that behind a sink that is slow for long.",
    )
    .default("256MiB")
    .kafka("queued.max.messages.kbytes, fetch.max.bytes, queue.buffering.max.kbytes"),
    key(
        "state_dir",
        Kind::Text,
        "Folder for what `dedup` and `stale` remember with `store: disk`, relative to this file. Each instance needs one of its own, \
         which is locked while it runs. What is in it is a copy of the state topics: an instance that finds it again reads only what \
         came since, and one that does not reads all of it, so in Kubernetes a volume of each pod saves time and nothing else. Only \
         this user can read it. See [dedup](dedup.md#on-disk).",
    )
    .default_note("none"),
    key(
        "shutdown_grace",
        Kind::Duration { min: secs(1), max: secs(3600) },
        "How long SIGTERM may take: stop taking, wait for acknowledgements, commit, leave the group. What is not \
         acknowledged by then is read again by the next owner. The default stays below the 30 s after which Kubernetes \
         kills; set `terminationGracePeriodSeconds` above it.",
    )
    .default("25s"),
    key(
        "pipelines",
        Kind::Named { what: "pipeline", value: &Kind::Map(PIPELINE), pipeline: true },
        "The pipelines by name. A name is `[a-z0-9][a-z0-9._-]*`; it is a metric label, and the consumer group unless \
         `group` says otherwise.",
    )
    .required(),
];

const KAFKA: &[Key] = &[
    key(
        "bootstrap_servers",
        Kind::Text,
        "Brokers to begin with, `host:port`, separated by commas. Two or three are enough: the rest is learnt from them, \
         and one alone is a single point of failure at start.",
    )
    .default("localhost:9092")
    .kafka("bootstrap.servers"),
    key(
        "properties",
        Kind::Properties,
        "Any librdkafka property, given to every client: `security.protocol`, `sasl.*`, `ssl.*`, `linger.ms`, \
         `compression.type`. Those that the guarantees rest on are refused, each with its reason. Producers send records up to \
         `message.max.bytes` or up to what the topics take, whichever is more: set it where brokers do not tell what topics take \
         (no `DescribeConfigs`). Take secrets from `${file:…}` or the environment.",
    )
    .default_note("none"),
    key(
        "group_instance_id",
        Kind::Text,
        "Static membership: an instance that is back within `session.timeout.ms` keeps its partitions, and a rolling \
         restart causes no rebalance. Must differ between instances (`${HOSTNAME}` in a StatefulSet); two with the same \
         id fence each other off. The number of the worker is appended.",
    )
    .default_note("none: dynamic membership")
    .kafka("group.instance.id"),
];

const REGISTRY: &[Key] = &[
    key(
        "url",
        Kind::Url { base: true },
        "Base URL, with the path that the registry serves Confluent's API under (Apicurio: `/apis/ccompat/v7`). \
         `user:password@` in it counts as `auth.basic`.",
    )
    .default("http://localhost:8081"),
    key("auth", Kind::Map(AUTH), "How the registry is told who asks: `basic` or `bearer`; `tls` goes with either.")
        .default_note("none"),
    key(
        "timeout",
        TIMEOUT,
        "Time for one request, connection included. A request that runs into it is an outage: the partition pauses and \
         asks again with backoff, and no record is blamed for it.",
    )
    .default("5s"),
    key(
        "cache_dir",
        Kind::Text,
        "Folder for the last known good schemas, relative to this file, so that a restart while the registry is down \
         still flows for the schema ids that were met before; ids that were not still pause their partition. Only this \
         user can read it, it takes at most 128 MiB, and it has to outlive the process: a volume, in Kubernetes. What is \
         kept stands in only for a registry that cannot be asked: what the registry says later wins, and \"unknown id\" \
         is never answered from it.",
    )
    .default_note("none: a start waits for the registry"),
];

const AUTH: &[Key] = &[
    key(
        "basic",
        Kind::Map(BASIC),
        "User name and password (HTTP basic authentication).",
    ),
    key(
        "bearer",
        Kind::Map(BEARER),
        "A token, sent as `Authorization: Bearer`.",
    ),
    key("tls", Kind::Map(TLS), "Certificates, PEM files."),
];

const BASIC: &[Key] = &[
    key(
        "username",
        Kind::Text,
        "User name, or the API key of a hosted registry.",
    )
    .required(),
    key(
        "password",
        Kind::Secret,
        "Password, or the API secret. Write `${file:/run/secrets/…}`.",
    )
    .required(),
];

const BEARER: &[Key] = &[key(
    "token",
    Kind::Secret,
    "The token. It is read once, at start; one that expires needs a restart.",
)
.required()];

const TLS: &[Key] = &[
    key(
        "ca",
        Kind::File,
        "Authorities to trust besides the system's.",
    ),
    key("cert", Kind::File, "Client certificate; needs `key`."),
    key(
        "key",
        Kind::File,
        "Private key of the client certificate; needs `cert`.",
    ),
];

const ADMIN: &[Key] = &[
    key(
        "listen",
        Kind::Listen,
        "IP address and port, or `off`. Only this machine by default, since metrics name topics and owners: any other \
         address needs `token`.",
    )
    .default("127.0.0.1:9600"),
    key(
        "token",
        Kind::Secret,
        "Asked for as `Authorization: Bearer` on everything but `/healthz` and `/readyz`, which an orchestrator has to \
         reach without one.",
    )
    .default_note("none"),
    key(
        "public_url",
        Kind::Url { base: true },
        "Where people reach this server, or a proxy in front of it: alerts link there. It says nothing about where it listens.",
    )
    .default_note("none: alerts have no link"),
];
