//! Who may know what, as tables with reasons. A rule for a module holds for those below it.

use crate::reader::UNSAFE;

/// A wall: only these modules may name this path, and why. Where several walls fit, the longest path counts.
pub(crate) struct Wall {
    pub(crate) what: &'static str,
    pub(crate) only: &'static [&'static str],
    pub(crate) why: &'static str,
}

pub(crate) const WALLS: &[Wall] = &[
    Wall {
        what: UNSAFE,
        only: &["native"],
        why: "unsafe code stands in one module, each block with its proof",
    },
    Wall {
        what: "rdkafka_sys",
        only: &["native"],
        why: "librdkafka's C interface is called in one module",
    },
    Wall {
        what: "rdkafka",
        only: &[
            "native",
            // The admin client, which is not in the record path.
            "ingest::topics",
            // Asks librdkafka which properties there are.
            "config::properties",
            // The mock cluster, and clients that stand outside of what they show.
            "embedded",
            "demo",
            "cli::version",
            // Reads one record of a topic.
            "cli::explain::fetch",
            // Reads dead letters, and keeps how far a redrive has come.
            "dlq::read",
            // Reads whole topics for tools, beside the record path.
            "scan",
            // Ask for the members of a group and read a table's topic, on threads beside the record path.
            "lookup::members",
            "lookup::table::load",
            // Reads what is in retry when partitions are assigned, on a thread beside the record path.
            "worker::survey",
            // Follows the control topic on a thread beside the record path, and reads committed offsets for an operator.
            "control::follow",
            "control::desk",
            // The context of such readers.
            "quiet",
            // Measures rdkafka's clients, makes topics and reads what came out, in processes of its own.
            "bench",
        ],
        why: "the record path has handles of its own; rdkafka's consumer is in event mode and loses rebalances",
    },
    Wall {
        what: "rdkafka::types",
        only: &[
            "native",
            "config::properties",
            "embedded",
            "ingest",
            "worker",
            "produce",
            "dlq::send",
            "bench::input",
        ],
        why: "error codes are the words in which a broker refuses; they end where a reason has been made of them",
    },
    Wall {
        what: "schema_registry_converter",
        only: &["contract::registry"],
        why: "one file speaks with the registry, so that an outage is told from a missing schema in one place",
    },
    Wall {
        what: "reqwest",
        only: &[
            "alerts::deliver",
            "alerts::hook",
            // Asks running instances.
            "cli::drift::show",
            "contract::registry",
            "transform::lookup::client",
        ],
        why: "HTTP is asked by the registry client and by lookups, whose failures are classified there, and by alerts, \
              whose failures change nothing",
    },
    Wall {
        what: "reqwest_middleware",
        only: &["contract::registry"],
        why: "it is how the registry's crate takes a client",
    },
    Wall {
        what: "moka",
        only: &["lookup::http"],
        why: "answers of a service are kept in one place, where what may be kept is decided",
    },
    Wall {
        what: "governor",
        only: &["lookup::limit"],
        why: "a limit is held in one place, for all workers",
    },
    Wall {
        what: "datasketches",
        only: &["profile::pool"],
        why: "sketches are for many windows together; the record path counts in windows of fixed size",
    },
    Wall {
        what: "axum",
        only: &["admin", "embedded::registry", "demo::crm"],
        why: "HTTP is served to operators, and by what the demo brings along",
    },
    Wall {
        what: "prometheus",
        only: &["metrics"],
        why: "names and labels of metrics are promises: they are made in one module",
    },
    Wall {
        what: "anyhow",
        only: &["cli", "demo"],
        why: "elsewhere an error has a type, because someone decides by it; the demo is a command that outgrew its file",
    },
    Wall {
        what: "apache_avro",
        only: &["embedded::registry", "demo"],
        why: "an Avro tree per record is too slow and wrong in known ways: it is an oracle beside the record path",
    },
    Wall {
        what: "cel",
        only: &["expr"],
        why: "the syntax of expressions is known to their module alone",
    },
    Wall {
        what: "phonenumber",
        only: &["expr::functions::phones"],
        why: "its parser takes what is no number; only its numbering plans are used",
    },
    Wall {
        what: "saphyr_parser",
        only: &["config::tree", "config::origin"],
        why: "everything behind the tree sees values with places, not YAML",
    },
    Wall {
        what: "clap",
        only: &["cli", "telemetry::LogFormat"],
        why: "arguments end in the commands",
    },
    Wall {
        what: "clap_complete",
        only: &["cli"],
        why: "arguments end in the commands",
    },
    Wall {
        what: "indicatif",
        only: &["cli"],
        why: "only commands draw",
    },
    Wall {
        what: "std::process::exit",
        only: &["cli"],
        why: "a process that ends itself elsewhere drains nothing",
    },
    Wall {
        what: "std::env",
        only: &["cli", "telemetry", "review"],
        why: "the environment is handed on by the commands, so that a test can give one",
    },
    Wall {
        what: "std::time::SystemTime",
        // Files have ages.
        only: &["worker", "contract::cache::disk"],
        why: "the wall clock is read once a batch and handed on as `now`",
    },
];

/// Which of our modules a module may name, besides itself and what is below it. One that is not in the table may name
/// nothing of ours. A line for a module adds to those of the modules above it.
pub(crate) const MAY_NAME: &[(&str, &[&str])] = &[
    // The words that all share know of nothing.
    ("error", &[]),
    ("record", &[]),
    ("headers", &[]),
    // Reasons for which records fail are named there, and some may be given another fate than `classify` does.
    ("config", &["error"]),
    ("config::retry", &["failure::classify"]),
    // Threads beside the workers, and their end.
    ("beside", &["error"]),
    // Seen from outside: what is told about the others, without knowing them.
    ("health", &[]),
    ("metrics", &["error", "health", "contract::cache"]),
    ("telemetry", &["error"]),
    ("failure_log", &["config", "error"]),
    ("status", &["health", "metrics", "telemetry", "words"]),
    (
        "admin",
        &["config", "control::desk", "error", "health", "metrics"],
    ),
    ("alerts", &["config", "error", "health", "metrics"]),
    // A webhook's `when` is an expression like any other, over the bytes of what a notice says.
    (
        "alerts::condition",
        &[
            "contract::encode",
            "contract::schema",
            "contract::value",
            "expr",
        ],
    ),
    // The stages. None knows the one beside it, nor who calls it.
    ("native", &["error", "record"]),
    (
        "ingest",
        &["config", "error", "health", "metrics", "native", "record"],
    ),
    // What is decided, and which keys count, goes back with its partition when that is rewound.
    ("ingest::assignment", &["failure::breaker", "state"]),
    // Operators' orders. Orders and their state are plain data, which the record path asks; desk and reader stand beside it.
    ("control", &["error"]),
    (
        "control::follow",
        &["beside", "config", "ingest::properties"],
    ),
    (
        "control::desk",
        &[
            "config",
            "ingest::properties",
            "ingest::standing",
            "native::producer",
        ],
    ),
    ("contract", &["config", "error", "record"]),
    // Rules are expressions over a contract's fields. So expressions and contract know each other, by these two doors.
    ("contract::rules", &["expr"]),
    // Knows schemas and the bytes of values, and the record around them.
    (
        "expr",
        &[
            "config",
            "contract::decimal",
            "contract::plan",
            "contract::schema",
            "contract::utc",
            "contract::varint",
            "contract::view",
            "error",
            "record",
        ],
    ),
    // Steps hold expressions, and hand each what it sees: the contract's bytes, registers and the record around them.
    ("transform", &["config", "contract", "error", "expr"]),
    // Asks what transforms want to know: what a batch's records share stands here, and no event comes in.
    (
        "lookup",
        &[
            "beside",
            "config",
            "contract",
            "error",
            "health",
            "metrics",
            "record",
            "transform::lookup",
        ],
    ),
    // What is in flight carries the tracker's tokens, and gives them back.
    ("emit", &["error", "ingest::offsets", "record"]),
    // A retry carries the key that its copies are known by.
    ("failure", &["error", "headers", "record", "state::digest"]),
    // What is remembered of records that are through: numbers and digests, and nothing of where they come from.
    ("state", &[]),
    // Who names the stages in order.
    (
        "pipeline",
        &[
            "alerts",
            "config",
            "contract",
            // Which writer schemas an operator has accepted.
            "control::state",
            "error",
            // What rules and steps see of a record is put together here.
            "expr",
            "failure",
            "headers",
            // Which values drift is a part of the state that alerts are made of.
            "health",
            "lookup",
            "metrics",
            // What values look like, which is held against the baseline beside the record path.
            "profile",
            "record",
            "state::digest",
            "state::noted",
            "transform",
        ],
    ),
    // Looks at values of a contract, and holds them against a baseline as it is reviewed.
    (
        "profile",
        &[
            "config::baseline",
            "config::model",
            "contract::default",
            "contract::encode",
            "contract::schema",
            "contract::view",
        ],
    ),
    (
        "worker",
        &[
            // Which partitions an operator has paused, and which pauses are answered.
            "control::state",
            "emit",
            "error",
            "failure",
            "failure_log",
            "health",
            "ingest",
            "metrics",
            "native",
            "pipeline",
            "record",
            "state",
        ],
    ),
    // Readers beside the record path, whose clients say nothing of their own.
    ("quiet", &[]),
    ("audit::collect", &["quiet"]),
    ("cli::check", &["quiet"]),
    ("cli::dlq", &["quiet"]),
    ("cli::explain::fetch", &["quiet"]),
    ("compare", &["quiet"]),
    ("control::desk", &["quiet"]),
    ("control::follow", &["quiet"]),
    ("dlq", &["quiet"]),
    ("ingest::topics", &["quiet"]),
    ("instance", &["quiet"]),
    // One folder for all workers, locked before they start.
    ("instance", &["state::disk::folder"]),
    ("lookup::table::load", &["quiet"]),
    ("scan", &["quiet"]),
    ("worker::survey", &["quiet"]),
    // Counts with their nouns, wherever a person reads one.
    ("words", &[]),
    ("alerts::signs", &["words"]),
    ("audit", &["words"]),
    ("bench", &["words"]),
    ("cli", &["words"]),
    ("compare", &["words"]),
    ("dlq", &["words"]),
    ("instance", &["words"]),
    // A worker without a broker, to measure: of a pipeline that is built without one.
    ("worker::dry", &["in_process"]),
    // Judges tell their pipeline's configuration.
    ("worker::ports", &["config::model"]),
    // What is one key in retry is chosen there.
    ("worker::among", &["config::model"]),
    ("worker::reorder", &["config::model"]),
    ("worker::parked", &["config::model"]),
    // What becomes of those that waited for a dead letter is chosen there.
    ("worker::parked::hop", &["config::model"]),
    // Limits as they are written, and told in the same form.
    ("worker::standing", &["config::model", "config::units"]),
    // A record for people: schemas, values and the configuration of rules and steps, with the fields that their expressions
    // read, no topics.
    ("explain", &["config", "contract", "error", "expr"]),
    // One record through the pipeline, beside the record path.
    (
        "trial",
        &[
            "build",
            "config",
            "contract",
            "error",
            "expr",
            "failure",
            "lookup",
            "pipeline",
            "record",
            "review",
            "transform",
        ],
    ),
    // Reads ranges of topics for tools.
    ("scan", &["config", "error", "ingest::properties", "record"]),
    // Holds the topics of a pipeline against its ledger, and runs records once more to compare.
    (
        "audit",
        &[
            "config", "contract", "error", "failure", "headers", "ingest", "lookup", "pipeline",
            "record", "scan",
        ],
    ),
    // Decodes what it compares, and knows no pipeline.
    (
        "compare",
        &["config", "contract", "error", "record", "scan"],
    ),
    // Takes records through a contract, and looks at what is in them.
    (
        "drift",
        &[
            "config", "contract", "error", "profile", "quiet", "record", "scan", "words",
        ],
    ),
    // The same for a program that uses the library.
    (
        "in_process",
        &[
            "build",
            "config",
            "contract",
            "error",
            "failure",
            "lookup",
            "pipeline",
            "record",
            "review",
            "transform::native",
        ],
    ),
    (
        "build",
        &[
            // The conditions of webhooks are checked with the pipeline's other expressions.
            "alerts",
            "config",
            "contract",
            // Secrets and plain values that expressions may name, and the event that rules on keys see.
            "expr::scope",
            "failure",
            "pipeline",
            // Which fields of the contract the baseline is of.
            "profile",
            "review",
            "transform",
        ],
    ),
    (
        "instance",
        &[
            "admin",
            "beside",
            "build",
            "alerts",
            "control",
            "config",
            "contract",
            "embedded::broker",
            "error",
            "failure_log",
            "health",
            "ingest",
            "lookup",
            "metrics",
            "pipeline",
            "review",
            // The steps that a program brings along.
            "transform::native",
            "worker",
        ],
    ),
    // The tools: beside the record path, and unknown to it.
    ("embedded", &["config", "error", "ingest::topics"]),
    ("review", &["config", "contract"]),
    (
        "produce",
        &["config", "contract", "error", "ingest", "native", "review"],
    ),
    // Reads what failure wrote, and writes what ingest reads: knows the words of both, and none of the stages.
    (
        "dlq",
        &[
            "config",
            "contract::wire",
            "error",
            "failure",
            "headers",
            "ingest::properties",
            "native",
            "produce::send",
            "record",
        ],
    ),
    (
        "demo",
        &[
            "config", "contract", "embedded", "headers", "instance", "worker",
        ],
    ),
    // Runs an instance as it is, and other programs beside it. Its verifier knows no stage: what came out is read by hand.
    (
        "bench",
        &[
            "config",
            "contract::registry",
            "embedded::registry",
            "error",
            "headers",
            "instance",
            "metrics",
            "native",
            "record",
            "scan",
        ],
    ),
    (
        "cli",
        &[
            "alerts",
            "build",
            "config",
            "contract",
            "control::desk",
            "demo",
            "embedded",
            "error",
            "expr::functions",
            "ingest",
            "instance",
            "produce",
            "review",
            "status",
            "telemetry",
            // The steps that a program brings along.
            "transform::native",
        ],
    ),
    // Runs one record through the pipeline, and looks at it on the way.
    (
        "cli::explain",
        &[
            "dlq", "explain", "failure", "headers", "lookup", "pipeline", "record", "trial",
        ],
    ),
    ("cli::dlq", &["dlq", "explain"]),
    // Compiles as an instance does, and serves what it found.
    (
        "cli::audit",
        &["admin", "audit", "control::desk", "health", "metrics"],
    ),
    ("cli::bench", &["bench"]),
    ("cli::compare", &["compare"]),
    ("cli::drift", &["drift"]),
    ("cli::test", &["trial"]),
    ("cli::evaluate", &["record", "trial"]),
    ("main", &["cli"]),
];

/// Modules that compute and nothing else: no clock (`now` is an argument), no input or output, no chance.
pub(crate) const PURE: &[&str] = &[
    "alerts::condition",
    "alerts::incidents",
    "alerts::notice",
    "alerts::render",
    "alerts::signs",
    "alerts::window",
    "audit::chain",
    "audit::found",
    "audit::judge",
    "audit::report",
    "contract::decimal",
    "contract::decode",
    "contract::default",
    "contract::encode",
    "contract::json",
    "contract::parse",
    "contract::path",
    "contract::plan",
    "contract::render",
    "contract::resolve",
    "contract::rules",
    "contract::schema",
    "contract::utc",
    "contract::varint",
    "contract::value",
    "contract::wire",
    "dlq::decide",
    "dlq::dialect",
    "dlq::filter",
    "dlq::progress",
    "dlq::tally",
    "emit",
    "explain",
    "expr",
    "control::order",
    "failure",
    "profile",
    "ingest::assignment",
    "ingest::standing",
    "ingest::ledger",
    "record",
    // What is on disk is in `state::disk` and `state::local`, which those know as something that keeps entries.
    "state::block",
    "state::digest",
    "state::keys",
    "state::memory",
    "state::noted",
    "state::seen",
    "transform",
];

/// What a pure module may do all the same.
pub(crate) const EXEMPT: &[(&str, &str, &str)] = &[(
    "expr::source",
    "std::thread",
    "cel's parser needs a deep stack, which only a thread of its own can have; it is waited for at once",
)];

/// What makes a module impure.
pub(crate) const IMPURE: &[&str] = &[
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "rand",
    "rdkafka",
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant::now",
    "std::time::SystemTime",
    "tokio",
    "tracing",
];
