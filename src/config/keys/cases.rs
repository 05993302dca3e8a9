//! The keys of a case file of `driftgate test`.

use super::{Key, Kind, Word, key, word};

pub(crate) const ROOT: &[Key] = &[
    key(
        "config",
        Kind::File,
        "The configuration whose pipeline is tested, relative to this file.",
    )
    .default_note("driftgate.yaml beside it"),
    key("pipeline", Kind::Text, "The pipeline that is tested.").default_note("the only one"),
    key(
        "env",
        Kind::Named { what: "variable", value: &Kind::Literal, pipeline: false },
        "Variables that the configuration interpolates; they stand in front of those of the environment.",
    )
    .default_note("none"),
    key(
        "schemas",
        Kind::Named { what: "schema id", value: &Kind::Text, pipeline: false },
        "Writer schemas by their id: a file relative to this one, or a subject, whose file lies in the configuration's \
         folder `schemas`.",
    )
    .default_note("none"),
    key(
        "lookups",
        Kind::Anything,
        "What lookups are answered, for all cases; those of a case stand in front of these.",
    )
    .default_note("none"),
    key(
        "cases",
        Kind::List { item: &Kind::Map(CASE), max: 10_000 },
        "The cases, each a record and what is expected of it.",
    )
    .required(),
];

const CASE: &[Key] = &[
    key("name", Kind::Text, "What it shows; unique in the file.").required(),
    key("given", Kind::Map(GIVEN), "The record.").required(),
    key(
        "lookups",
        Kind::Anything,
        "What lookups are answered: URL, or its part from the path on, or `<topic>/<key>` of a table, to a JSON object, \
         a status such as 404 or `503 retry-after 30s`, or `timeout`.",
    )
    .default_note("none"),
    key("expect", Kind::Map(EXPECT), "What becomes of it.").required(),
];

const GIVEN: &[Key] = &[
    key(
        "value",
        Kind::Anything,
        "The value as JSON, a value of the writer schema; `null` is a tombstone.",
    ),
    key(
        "hex",
        Kind::Text,
        "The value as Avro bytes in hex; the frame with the schema's id is put in front.",
    ),
    key(
        "framed_hex",
        Kind::Text,
        "The whole value in hex, frame included, as it lies in the topic.",
    ),
    key(
        "raw",
        Kind::Anything,
        "The whole value as a text, without a frame: what was never Avro.",
    ),
    key(
        "schema",
        Kind::Text,
        "The writer schema: a file, a subject whose file lies in the folder `schemas`, or an id of `schemas`.",
    )
    .default_note("the contract's own"),
    key(
        "key",
        Kind::Anything,
        "The record's key: a text, `{ hex: … }`, or `{ value: … }` of the contract's key schema.",
    )
    .default_note("none"),
    key(
        "headers",
        Kind::Anything,
        "Headers by name: a text, null or `{ hex: … }`.",
    )
    .default_note("none"),
    key(
        "timestamp",
        Kind::Text,
        "The record's timestamp, as `2026-05-01T08:00:00Z` or in milliseconds.",
    )
    .default_note("none"),
    key("topic", Kind::Topic, "The source topic that it is read from.")
        .default_note("the pipeline's first"),
];

const EXPECT: &[Key] = &[
    key(
        "output",
        Kind::Anything,
        "The one value that is emitted, all of it, as JSON of the sink's schema; `null` is a tombstone.",
    ),
    key(
        "outputs",
        Kind::List {
            item: &Kind::Map(OUTPUT),
            max: 10_000,
        },
        "The values that are emitted, in their order.",
    ),
    key(
        "outcome",
        Kind::Choice(OUTCOME),
        "What becomes of the record.",
    )
    .default_note("emitted, where an output is expected"),
    key("reason", Kind::Text, "Why it failed, one of the reasons."),
    key(
        "path",
        Kind::Anything,
        "The field that failed; empty for the whole record.",
    ),
    key("error", Kind::Text, "A part of the error's text."),
    key(
        "topic",
        Kind::Topic,
        "The topic that it goes to: sink, retry or dead letters.",
    ),
    key(
        "key",
        Kind::Anything,
        "The key that is written, as in `given`; `null` for none.",
    ),
    key(
        "headers",
        Kind::Anything,
        "Headers that are written, by name; others are not looked at.",
    ),
    key(
        "no_headers",
        Kind::List {
            item: &Kind::Text,
            max: 1000,
        },
        "Headers that are not written.",
    ),
    key(
        "timestamp",
        Kind::Anything,
        "The timestamp that is written; `null` for none.",
    ),
];

pub(crate) const OUTPUT: &[Key] = &[
    key(
        "value",
        Kind::Anything,
        "The value, all of it, as JSON of the sink's schema; `null` is a tombstone.",
    ),
    key("topic", Kind::Topic, "The topic that it goes to."),
    key(
        "key",
        Kind::Anything,
        "Its key, as in `given`; `null` for none.",
    ),
    key(
        "headers",
        Kind::Anything,
        "Headers that it has, by name; others are not looked at.",
    ),
    key(
        "no_headers",
        Kind::List {
            item: &Kind::Text,
            max: 1000,
        },
        "Headers that it does not have.",
    ),
    key(
        "timestamp",
        Kind::Anything,
        "Its timestamp; `null` for none.",
    ),
];

const OUTCOME: &[Word] = &[
    word("emitted", "to the sink"),
    word("filtered", "a filter said no"),
    word("dead_lettered", "to the dead-letter topic"),
    word("retried", "to a retry topic"),
    word("paused", "its partition waits"),
];
