//! The one table of keys: name, kind, default, documentation, availability. It drives the checks, the defaults, the JSON
//! Schema and the reference page, so that the four cannot disagree. [`main`] is `driftgate.yaml`, [`rules`] a rules file.

pub(crate) mod baseline;
pub(crate) mod cases;
pub(crate) mod main;
pub(crate) mod pipeline;
pub(crate) mod rules;
pub(crate) mod transform;

use std::time::Duration;

/// One key of a mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// As written.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As it would be written; parsed by the same code as the file's values.
    pub(crate) default: Option<&'static str>,
    /// The default in words, where it depends on something.
    pub(crate) default_note: Option<&'static str>,
    pub(crate) required: bool,
    /// Meaning, why this default, what breaks.
    pub(crate) doc: &'static str,
    /// The librdkafka or topic property behind it.
    pub(crate) kafka: Option<&'static str>,
    /// Stands beside the one key of a [`Kind::OneOf`], and is not itself that one.
    pub(crate) beside: bool,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Any text that is not empty.
    Text,
    /// An expression or field path; its own parser looks at it later.
    Expression,
    /// An expression, or the word `null`.
    ExpressionOrNull,
    /// A text that no fault repeats.
    Secret,
    Bool,
    Int {
        min: u64,
        max: u64,
    },
    /// A decimal number, kept as text.
    Number,
    /// A text, number or boolean, kept as text.
    Literal,
    /// Bounds inclusive.
    Duration {
        min: Duration,
        max: Duration,
    },
    Size {
        min: u64,
    },
    Ratio,
    Choice(&'static [Word]),
    /// `address:port` or `off`.
    Listen,
    /// An HTTP URL; with `base`, one that paths are added to.
    Url {
        base: bool,
    },
    /// An HTTP URL that is a secret as a whole.
    SecretUrl,
    /// An existing file, relative to the configuration file.
    File,
    /// A legal topic name.
    Topic,
    /// A consumer group, which is part of topic names.
    Group,
    /// `latest` or a number.
    Version,
    /// A regular expression.
    Regex,
    /// librdkafka properties.
    Properties,
    /// A mapping with these keys.
    Map(&'static [Key]),
    /// A mapping with exactly one of these keys, and with those that stand beside it.
    OneOf(&'static [Key]),
    /// A mapping with names of the user's own.
    Named {
        what: &'static str,
        value: &'static Kind,
        pipeline: bool,
    },
    List {
        item: &'static Kind,
        max: usize,
    },
    /// So many in a time: `50/s`.
    Rate,
    /// A ratio within a time: `20%/1m`.
    RatioIn,
    /// A mapping, or one value in its place, most often its first key's.
    MapOr {
        short: &'static Kind,
        keys: &'static [Key],
    },
    /// Not looked into here.
    Anything,
}

/// One word of a choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    pub(crate) word: &'static str,
    pub(crate) doc: &'static str,
}

pub(crate) const fn word(word: &'static str, doc: &'static str) -> Word {
    Word { word, doc }
}

/// A key; the builder below says what else there is to it.
pub(crate) const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        default: None,
        default_note: None,
        required: false,
        doc,
        kafka: None,
        beside: false,
    }
}

impl Key {
    pub(crate) const fn default(mut self, text: &'static str) -> Key {
        self.default = Some(text);
        self
    }

    pub(crate) const fn default_note(mut self, text: &'static str) -> Key {
        self.default_note = Some(text);
        self
    }

    pub(crate) const fn beside(mut self) -> Key {
        self.beside = true;
        self
    }

    pub(crate) const fn required(mut self) -> Key {
        self.required = true;
        self
    }

    pub(crate) const fn kafka(mut self, text: &'static str) -> Key {
        self.kafka = Some(text);
        self
    }
}

impl Kind {
    /// What is expected, for a message: "expected …".
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Kind::Text | Kind::Secret => "a text",
            Kind::Expression => "an expression or field path",
            Kind::ExpressionOrNull => "an expression or null",
            Kind::Bool => "true or false",
            Kind::Int { .. } => "a whole number",
            Kind::Number => "a number",
            Kind::Literal => "a text, number or boolean",
            Kind::Duration { .. } => "a duration",
            Kind::Size { .. } => "a size",
            Kind::Ratio => "a ratio",
            Kind::Choice(_) => "one of the listed words",
            Kind::Listen => "an address and port, or off",
            Kind::Url { .. } | Kind::SecretUrl => "an HTTP URL",
            Kind::File => "a path",
            Kind::Topic => "a topic name",
            Kind::Group => "a consumer group",
            Kind::Version => "latest or a version number",
            Kind::Regex => "a regular expression",
            Kind::Properties | Kind::Map(_) | Kind::OneOf(_) | Kind::Named { .. } => "a mapping",
            Kind::List { .. } => "a list",
            Kind::Rate => "a rate",
            Kind::RatioIn => "a ratio within a time",
            Kind::MapOr { short, .. } => short.expected(),
            Kind::Anything => "anything",
        }
    }

    /// The keys below, if the kind has fixed ones.
    pub(crate) fn keys(&self) -> &'static [Key] {
        match self {
            Kind::Map(keys) | Kind::OneOf(keys) | Kind::MapOr { keys, .. } => keys,
            Kind::Named { value, .. } => value.keys(),
            Kind::List { item, .. } => item.keys(),
            _ => &[],
        }
    }
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

const DAY: u64 = 86_400;

/// A duration from a millisecond to a day.
pub(crate) const TIMEOUT: Kind = Kind::Duration {
    min: millis(1),
    max: secs(DAY),
};

pub(crate) const OWNER: &[Key] = &[
    key(
        "team",
        Kind::Text,
        "The team that answers for it. Stands in the `driftgate.owner` header of every dead letter.",
    ),
    key(
        "contact",
        Kind::Text,
        "Where to reach them: a channel, an address, a rota.",
    ),
];

/// A limit on what part of the records may end in some way.
pub(crate) const RATIO_LIMIT: &[Key] = &[
    key("ratio", Kind::Ratio, "More than this part of the records is too many.").required(),
    key(
        "window",
        Kind::Duration {
            min: secs(1),
            max: secs(DAY),
        },
        "Of the records of the last so long. It slides in steps of a twentieth.",
    )
    .default("1m"),
    key(
        "at_least",
        Kind::Int {
            min: 1,
            max: 1_000_000,
        },
        "Fewer records than this within the window say nothing: with 20, and every record a dead letter, the 20th is the \
         one that pauses.",
    )
    .default("20"),
];

/// The items of a list's default, which is written `[a, b]`.
pub(crate) fn list_default(text: &str) -> impl Iterator<Item = &str> {
    text.trim_start_matches('[')
        .trim_end_matches(']')
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::scalar::scalar_problem;
    use std::path::Path;

    fn walk(keys: &'static [Key], visit: &mut dyn FnMut(&'static Key)) {
        for key in keys {
            visit(key);
            walk(key.kind.keys(), visit);
        }
    }

    #[test]
    fn every_default_is_a_legal_value_and_every_key_is_documented() {
        for table in [main::ROOT, rules::ROOT, baseline::ROOT] {
            walk(table, &mut |key| {
                assert!(key.doc.len() > 15, "{}: no documentation", key.name);
                assert!(
                    !(key.required && key.default.is_some()),
                    "{}: required with a default",
                    key.name
                );
                let Some(default) = key.default else { return };
                match key.kind {
                    Kind::List { item, .. } => {
                        for part in list_default(default) {
                            assert_eq!(
                                scalar_problem(item, part, Path::new(".")),
                                None,
                                "{}",
                                key.name
                            );
                        }
                    }
                    kind => assert_eq!(
                        scalar_problem(&kind, default, Path::new(".")),
                        None,
                        "{}",
                        key.name
                    ),
                }
            });
        }
    }

    #[test]
    fn names_are_unique_in_their_mapping() {
        fn unique(keys: &'static [Key]) {
            for (index, key) in keys.iter().enumerate() {
                assert!(
                    keys[..index].iter().all(|other| other.name != key.name),
                    "{}",
                    key.name
                );
                unique(key.kind.keys());
            }
        }
        unique(main::ROOT);
        unique(rules::ROOT);
        unique(baseline::ROOT);
    }
}
