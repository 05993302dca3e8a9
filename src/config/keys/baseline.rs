//! The keys of a baseline file.

use super::{Key, Kind, Word, key, word};

pub(crate) const ROOT: &[Key] = &[
    key("subject", Kind::Text, "The subject of the contract that it belongs to.").required(),
    key("records", COUNT, "Records that it was made of.").required(),
    key("windows", COUNT, "Windows of those records.").required(),
    key(
        "then",
        Kind::Choice(THEN),
        "What becomes of a drift of a field that does not say it itself.",
    )
    .default("warn"),
    key("from", Kind::Text, "Time of the first record.").default_note("not known"),
    key("until", Kind::Text, "Time of the last record.").default_note("not known"),
    key(
        "per_minute",
        Kind::Map(SPAN),
        "Records a minute, by their own times. Less than a third of the least, or more than three times the most, is a drift.",
    )
    .default_note("not compared"),
    key(
        "fields",
        Kind::Named { what: "field", value: &Kind::Map(FIELD), pipeline: false },
        "What each field looks like, by its path. A field that is not named is not compared.",
    )
    .required(),
];

const COUNT: Kind = Kind::Int {
    min: 0,
    max: u64::MAX,
};

const SPAN: &[Key] = &[
    key("least", Kind::Number, "In the slowest window.").required(),
    key("most", Kind::Number, "In the fastest window.").required(),
];

const FIELD: &[Key] = &[
    key("then", Kind::Choice(THEN), "What becomes of a drift of the field.")
        .default_note("`then` of the file"),
    key("nulls", Kind::Map(SHARE), "Values that are null.").default_note("none"),
    key(
        "defaults",
        Kind::Map(SHARE),
        "Values that are the contract's default, null aside: also those that the contract filled in.",
    )
    .default_note("none"),
    key("distinct", Kind::Map(DISTINCT), "How many different values there are.")
        .default_note("not compared"),
    key(
        "values",
        Kind::Map(SHARES),
        "The values, of a field that has few: symbols, flags, short lists of texts.",
    )
    .default_note("not compared"),
    key(
        "formats",
        Kind::Map(SHARES),
        "The formats of texts: `9` is a digit, `a` and `A` are letters, `…` is a longer run. Of a field that is tagged as \
         personal, only what kind of text it is.",
    )
    .default_note("not compared"),
    key(
        "day_month",
        Kind::Map(SHARES),
        "How large the first two numbers of two digits are: what tells DD/MM from MM/DD.",
    )
    .default_note("not compared"),
    key("value", Kind::Map(NUMBERS), "Of a number: the values themselves.").default_note("not compared"),
    key(
        "age_seconds",
        Kind::Map(NUMBERS),
        "Of a time: seconds from it to the time of its record.",
    )
    .default_note("not compared"),
    key("length", Kind::Map(NUMBERS), "Of a text: its characters.").default_note("not compared"),
    key("size", Kind::Map(NUMBERS), "Of bytes, arrays and maps: bytes, elements, entries.")
        .default_note("not compared"),
];

const THEN: &[Word] = &[
    word("allow", "it is shown, and is no finding"),
    word(
        "warn",
        "it is a finding of `driftgate drift diff`; a running instance tells it, and records go on",
    ),
    word(
        "quarantine",
        "the same, and records of the topic and writer schema are dead letters, with the reason `value_drift`, until the \
         values look right again",
    ),
    word(
        "halt",
        "the same as `warn`, and the partitions of the topic pause until `driftgate resume`",
    ),
];

const SHARE: &[Key] = &[
    key("all", Kind::Ratio, "The part of all records.").required(),
    key(
        "most",
        Kind::Ratio,
        "The most of any window; what is compared.",
    )
    .required(),
];

const DISTINCT: &[Key] = &[
    key("all", COUNT, "Different values in all, estimated.").required(),
    key(
        "least",
        Kind::Ratio,
        "The least part of a window's values that were different.",
    )
    .required(),
];

const SHARES: &[Key] = &[
    key(
        "spread",
        Kind::Number,
        "The largest population stability index of any window; what is compared, with a margin.",
    )
    .required(),
    key(
        "of",
        Kind::Named {
            what: "value",
            value: &Kind::Ratio,
            pipeline: false,
        },
        "The part of each; what is missing to 100% is all others.",
    )
    .required(),
];

const NUMBERS: &[Key] = &[
    key("mean", Kind::Number, "The mean of all.").default_note("not known"),
    key(
        "spread",
        Kind::Ratio,
        "How far a decile of the most unusual window lay away, as a part of the values; what is compared, with a margin.",
    )
    .required(),
    key(
        "deciles",
        Kind::List { item: &Kind::Number, max: 11 },
        "Eleven numbers from the least to the greatest, a tenth of the values between two.",
    )
    .required(),
];
