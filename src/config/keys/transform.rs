//! The transform steps.

use super::{Key, Kind, TIMEOUT, Word, key, millis, secs, word};

pub(crate) const STEPS: &[Key] = &[
    key(
        "set",
        Kind::Named {
            what: "field",
            value: &Kind::Expression,
            pipeline: false,
        },
        "Sets fields to expressions: another field, a number, `true`, or a text constant in its own quotes (`\"'EUR'\"`).",
    ),
    key(
        "filter",
        Kind::Expression,
        "Keeps the records for which the expression is true. The others end as `filtered`, which is an outcome and is counted.",
    ),
    key(
        "mask",
        Kind::Map(MASK),
        "Replaces the text of a field by something that does not tell it.",
    ),
    key(
        "rename",
        Kind::Named {
            what: "field",
            value: &Kind::Expression,
            pipeline: false,
        },
        "`old: new`. The new name must be free.",
    ),
    key(
        "drop",
        Kind::List {
            item: &Kind::Expression,
            max: 1000,
        },
        "Leaves fields out.",
    ),
    key(
        "cast",
        Kind::Named {
            what: "field",
            value: &Kind::Expression,
            pipeline: false,
        },
        "`field: type`: an Avro primitive's name, `decimal(p,s)`, `date`, `timestamp-millis` and the like. A value that has \
         no exact counterpart in the new type is a dead letter, never a rounded value.",
    ),
    key(
        "lookup",
        Kind::Map(LOOKUP),
        "Asks an HTTP service, or a table that is kept from a topic, and puts the answer into a new field. docs/lookups.md says more.",
    ),
    key(
        "map_values",
        Kind::Map(MAP_VALUES),
        "Replaces values by a table. The field, whatever it was, is a text afterwards: a number is looked up as it is written \
         in decimal, an enum by its symbol. A null stays null.",
    ),
    key(
        "native",
        Kind::Map(NATIVE),
        "A step that the program brings along, in Rust. The plain `driftgate` program has none and refuses it; \
         docs/native.md says how to make one.",
    ),
    key(
        "before",
        Kind::Choice(BEFORE),
        "When the step beside it runs. Such steps are the first of the list; rules are then checked on what they leave, so \
         that a value that can be put right is put right first. A `lookup` cannot.",
    )
    .default_note("after the rules")
    .beside(),
    key(
        "move",
        Kind::Named {
            what: "field",
            value: &Kind::Expression,
            pipeline: false,
        },
        "`from.path: to.path`: takes a field out of its place and puts it into another. The records on the way to the new \
         place must be there, and its name must be free.",
    ),
    key(
        "keep",
        Kind::List {
            item: &Kind::Expression,
            max: 1000,
        },
        "Leaves out every field but these.",
    ),
    key(
        "default",
        Kind::Named {
            what: "field",
            value: &Kind::Expression,
            pipeline: false,
        },
        "`field: expression`: what a field that is null becomes. It is not nullable afterwards, unless the expression is.",
    ),
    key(
        "flatten",
        Kind::Map(FLATTEN),
        "Puts the fields of a record in its place, one level of them.",
    ),
    key(
        "nest",
        Kind::Map(NEST),
        "Puts fields into a new record. It is the reverse of `flatten`.",
    ),
    key(
        "explode",
        Kind::Map(EXPLODE),
        "Makes one record for each element of an array. All of them are emitted or none: the source record is `emitted` once \
         every one is acknowledged, and if one of them can never be written, the source record is a dead letter. Each carries the headers \
         `driftgate.index`, from 0, and `driftgate.count`. A record whose array is empty ends as `filtered`.",
    ),
    key(
        "header",
        Kind::Named {
            what: "header",
            value: &Kind::ExpressionOrNull,
            pipeline: false,
        },
        "`name: expression`: sets a header of the emitted record, in place of all that have this name; `null` takes them away. \
         The others stay. Names that begin with `driftgate.` are not yours to set.",
    ),
    key(
        "key",
        Kind::ExpressionOrNull,
        "The key of the emitted record: the UTF-8 bytes of a text. It goes to the partition that Java's producer would choose for \
         them. With null it has no key, and goes to any partition.",
    ),
    key(
        "timestamp",
        Kind::Expression,
        "The timestamp of the emitted record: a timestamp after 1970-01-01. Without this step it is the source record's.",
    ),
    key(
        "route",
        Kind::List {
            item: &Kind::Map(ROUTE),
            max: 64,
        },
        "Chooses the sink. The arms are asked from top to bottom, and the first whose `when` is true has the record; the last one is \
         `else: true`. It is the last step.",
    ),
];

const BEFORE: &[Word] = &[word("rules", "between the contract's schema and its rules")];

const NATIVE: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "The name that the program gave the step.",
    )
    .required(),
    key(
        "params",
        Kind::Named {
            what: "parameter",
            value: &Kind::Literal,
            pipeline: false,
        },
        "What the step is to know, `name: value`. Which there are is the step's own matter. No log shows a value.",
    ),
];

const MAP_VALUES: &[Key] = &[
    key(
        "field",
        Kind::Expression,
        "Path of the field: a text, whole number, boolean or enum, or a union of those.",
    )
    .required(),
    key(
        "values",
        Kind::Named {
            what: "value",
            value: &Kind::Literal,
            pipeline: false,
        },
        "The table, `value: text`. In a union, `3` stands for the number and for the text `3` alike.",
    )
    .required(),
    key(
        "otherwise",
        Kind::Choice(OTHERWISE),
        "What becomes of a value that the table lacks.",
    )
    .default("dead_letter"),
];

const OTHERWISE: &[Word] = &[
    word(
        "dead_letter",
        "the record is a dead letter with reason `transform_failed`",
    ),
    word("keep", "it stays, as text"),
    word("null", "the field is null, and nullable from then on"),
];

const MASK: &[Key] = &[
    key(
        "field",
        Kind::Expression,
        "Path of the field, which is a text.",
    )
    .required(),
    key("with", Kind::Choice(MASKS), "How it is masked.").required(),
    key(
        "secret",
        Kind::Secret,
        "Key of `hmac`. Write `${file:/run/secrets/…}`; a new one changes every masked value.",
    ),
    key("value", Kind::Text, "The constant of `fixed`."),
];

const MASKS: &[Word] = &[
    word(
        "sha256",
        "hexadecimal SHA-256; pseudonymous only: who can guess the text can confirm it",
    ),
    word(
        "hmac",
        "hexadecimal HMAC-SHA-256 under `secret`: equal texts stay equal, and guessing needs the secret",
    ),
    word("fixed", "the constant `value`"),
    word("last4", "`*` for all but the last four characters"),
];

const LOOKUP: &[Key] = &[
    key("into", Kind::Expression, "The new field, whose name must be free.").required(),
    key(
        "url",
        Kind::Url { base: false },
        "URL with `{field}` for values of the event, percent-encoded when they are filled in. Either this or `topic` is \
         needed.",
    ),
    key(
        "topic",
        Kind::Topic,
        "Compacted topic that every instance reads whole and keeps as a table, its values in Confluent's framing. Records \
         wait until it is loaded, and `/readyz` says so.",
    ),
    key(
        "key",
        Kind::Expression,
        "Of a `topic`: path of the field whose value, as text, is the key in the table. Keys in the topic are UTF-8 text, or \
         Avro strings and whole numbers in Confluent's framing.",
    ),
    key("type", Kind::File, "Avro schema file of the answer. An answer that does not fit it is the dependency's fault: the partition pauses.")
        .required(),
    key("on_missing", Kind::Choice(ON_MISSING), "What a 404 does, or a key that the table lacks.").default("dead_letter"),
    key(
        "default",
        Kind::Text,
        "The answer of `on_missing: default`, as JSON of its type.",
    ),
    key(
        "on_null",
        Kind::Choice(ON_NULL),
        "What a null in the URL or key does.",
    )
    .default_note("none; needed where such a field may be null"),
    key(
        "headers",
        Kind::Named {
            what: "header",
            value: &Kind::Secret,
            pipeline: false,
        },
        "Of a `url`: headers of each request, such as `Authorization: \"Bearer ${file:/run/secrets/crm}\"`. Their values \
         are secrets, which are never logged.",
    ),
    key(
        "timeout",
        TIMEOUT,
        "Time for one request. Running into it sends the record to a retry tier; the worker waits meanwhile, so keep it short.",
    )
    .default("2s"),
    key(
        "concurrency",
        Kind::Int { min: 1, max: 1000 },
        "Requests that a worker has under way at once. Records keep their order.",
    )
    .default("16"),
    key(
        "limit",
        Kind::Rate,
        "Requests in a second, minute or hour, for the whole consumer group: each instance takes the part of its own members. \
         Records wait for it; one that would hold up its worker for too long goes to a retry tier.",
    )
    .default_note("none"),
    key(
        "cache",
        Kind::MapOr {
            short: &CACHE_TTL,
            keys: CACHE,
        },
        "Keeps answers and uses them again, shared by the workers of the instance. Without a mapping it is the `ttl`. A 404 \
         is kept too where `on_missing` is `null` or `default`; failures never are.",
    )
    .default_note("none: every record asks"),
    key(
        "max",
        Kind::Size { min: 1 << 10 },
        "Of a `topic`: the most that the table may take. Past it the table is given up, its records wait, and `/readyz` says so.",
    )
    .default("64MiB"),
];

const CACHE_TTL: Kind = Kind::Duration {
    min: millis(1),
    max: secs(7 * 86_400),
};

const CACHE: &[Key] = &[
    key("ttl", CACHE_TTL, "How long an answer is used.").required(),
    key(
        "max",
        Kind::Size { min: 1 << 10 },
        "The most that the answers may take; those of least use go first.",
    )
    .default("64MiB"),
];

const ON_MISSING: &[Word] = &[
    word(
        "dead_letter",
        "the record is a dead letter with reason `lookup_not_found`",
    ),
    word("null", "the field is null"),
    word("default", "the field is `default`"),
];

const ON_NULL: &[Word] = &[
    word(
        "dead_letter",
        "the record is a dead letter with reason `transform_failed`",
    ),
    word("missing", "nobody is asked, and `on_missing` says the rest"),
];

const FLATTEN: &[Key] = &[
    key("field", Kind::Expression, "Path of the record. Where it may be null, its fields may be.").required(),
    key(
        "prefix",
        Kind::Literal,
        "What is put in front of each of its fields' names, `''` for nothing. The names must be free.",
    )
    .default_note("the record's name and `separator`"),
    key(
        "separator",
        Kind::Literal,
        "What stands between the record's name and those of its fields, where no `prefix` is given.",
    )
    .default("_"),
];

const NEST: &[Key] = &[
    key(
        "into",
        Kind::Expression,
        "The new field, whose name must be free.",
    )
    .required(),
    key(
        "fields",
        Kind::List {
            item: &Kind::Expression,
            max: 1000,
        },
        "The fields that go into it, under the names that they have.",
    )
    .required(),
];

const EXPLODE: &[Key] = &[
    key(
        "field",
        Kind::Expression,
        "Path of the array. One that is null has no elements.",
    )
    .required(),
    key(
        "into",
        Kind::Expression,
        "The field that has the element, in the array's place.",
    )
    .default_note("the array's own name"),
];

pub(crate) const ROUTE: &[Key] = &[
    key(
        "when",
        Kind::Expression,
        "The records that this arm has: those for which it is true, of those that no arm before it has.",
    ),
    key(
        "else",
        Kind::Bool,
        "`true` for the last arm, which has every other record. `{ else: true }` alone is the pipeline's own sink.",
    ),
    key("topic", Kind::Topic, "Topic to write for the records of this arm.").default_note("that of `sink`"),
    key(
        "schema",
        Kind::File,
        "Writer schema of this arm's records, as in `sink`. This, or `subject` alone.",
    )
    .default_note("that of `sink`"),
    key(
        "subject",
        Kind::Text,
        "Subject that the file is registered under; without `schema`, the subject that the schema is taken from. Whether \
         it is registered at start is as in `sink`.",
    )
    .default_note("`<topic>-value`"),
    key("at", Kind::Version, "Version of `subject`, when there is no `schema` file.").default("latest"),
];
