//! The keys of a rules file.

use super::pipeline::ON_FOREIGN;
use super::{Key, Kind, OWNER, Word, key, word};

pub(crate) const ROOT: &[Key] = &[
    key("owner", Kind::Map(OWNER), "Who answers for the contract."),
    key(
        "compatibility",
        Kind::Choice(COMPATIBILITY),
        "Compatibility that the subject is to have in the registry; `driftgate schema register` sets it.",
    )
    .default_note("the registry's"),
    key("rules", Kind::List { item: &Kind::Map(RULE), max: 1000 }, "The rules, checked in this order.")
        .default_note("none"),
    key(
        "fields",
        Kind::Named { what: "field", value: &Kind::Map(FIELD), pipeline: false },
        "What is said of fields, by path: documentation for people, tags for masking, and owners. It refuses nothing, unless the pipeline has \
         `ownership`.",
    )
    .default_note("none"),
];

const COMPATIBILITY: &[Word] = &[
    word("NONE", "anything goes"),
    word("BACKWARD", "a new schema reads data of the last one"),
    word(
        "BACKWARD_TRANSITIVE",
        "a new schema reads data of all before it",
    ),
    word("FORWARD", "the last schema reads data of a new one"),
    word(
        "FORWARD_TRANSITIVE",
        "all schemas before it read data of a new one",
    ),
    word("FULL", "both, towards the last one"),
    word("FULL_TRANSITIVE", "both, towards all"),
];

const RULE: &[Key] = &[
    key(
        "name",
        Kind::Text,
        "Its name in metrics and dead letters; unique in the file.",
    )
    .required(),
    key(
        "expr",
        Kind::Expression,
        "An expression that must be true. This, or `field` and one constraint.",
    ),
    key(
        "field",
        Kind::Expression,
        "Path of a field; `items[].price` means every element. A null value satisfies every constraint but `required`.",
    ),
    key("required", Kind::Bool, "Not null, and a text not empty."),
    key(
        "range",
        Kind::Map(RANGE),
        "Bounds of a number, both inclusive, compared exactly.",
    ),
    key(
        "one_of",
        Kind::List {
            item: &Kind::Literal,
            max: 10_000,
        },
        "The values that it may have, compared as text.",
    ),
    key(
        "pattern",
        Kind::Regex,
        "Regular expression that must match the whole text. Linear time: no look-around, no back-references.",
    ),
    key(
        "length",
        Kind::Map(LENGTH),
        "Characters of a text, bytes of bytes, elements of an array or map.",
    ),
    key(
        "on_fail",
        Kind::Choice(ON_FAIL),
        "What becomes of a record that fails it.",
    )
    .default("dead_letter"),
];

/// The constraints, of which a rule with `field` has exactly one.
pub(crate) const CONSTRAINTS: [&str; 5] = ["required", "range", "one_of", "pattern", "length"];

const RANGE: &[Key] = &[
    key("min", Kind::Number, "The least value that passes."),
    key("max", Kind::Number, "The greatest value that passes."),
];

const LENGTH: &[Key] = &[
    key(
        "min",
        Kind::Int {
            min: 0,
            max: u32::MAX as u64,
        },
        "The least length that passes.",
    ),
    key(
        "max",
        Kind::Int {
            min: 0,
            max: u32::MAX as u64,
        },
        "The greatest length that passes.",
    ),
];

const ON_FAIL: &[Word] = &[
    word(
        "dead_letter",
        "the record is a dead letter with reason `rule_violation`",
    ),
    word("warn", "counted and logged; the record goes on"),
];

const FIELD: &[Key] = &[
    key(
        "tags",
        Kind::List {
            item: &Kind::Text,
            max: 100,
        },
        "Tags, such as `PII`.",
    ),
    key(
        "owner",
        Kind::Text,
        "The source that owns the field, and who is told of its drift. With a pipeline's `ownership` no other source may set it.",
    ),
    key(
        "on_foreign",
        Kind::Choice(ON_FOREIGN),
        "What becomes of an event of another source that sets it, where a pipeline has `ownership`.",
    )
    .default_note("`ownership.then` of the pipeline"),
    key("doc", Kind::Text, "What it means, in words."),
];
