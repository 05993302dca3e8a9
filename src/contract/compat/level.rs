//! The seven compatibility levels. Input: a level, a schema, and the versions before it. Output: which of them it does
//! not go with, by which change, in which direction.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::change::{Break, By, Change, Direction};
use super::diff;
use crate::contract::schema::Schema;

/// A level, as registries name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Anything goes.
    None,
    /// The new schema reads data of the last version.
    Backward,
    /// The new schema reads data of all versions.
    BackwardTransitive,
    /// The last version reads data of the new schema.
    Forward,
    /// All versions read data of the new schema.
    ForwardTransitive,
    /// Both, towards the last version.
    Full,
    /// Both, towards all versions.
    FullTransitive,
}

impl Level {
    /// All of them.
    pub const ALL: [Level; 7] = [
        Level::None,
        Level::Backward,
        Level::BackwardTransitive,
        Level::Forward,
        Level::ForwardTransitive,
        Level::Full,
        Level::FullTransitive,
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Level::None => "NONE",
            Level::Backward => "BACKWARD",
            Level::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Level::Forward => "FORWARD",
            Level::ForwardTransitive => "FORWARD_TRANSITIVE",
            Level::Full => "FULL",
            Level::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Whether it asks for the direction.
    pub const fn asks(self, direction: Direction) -> bool {
        match self {
            Level::None => false,
            Level::Full | Level::FullTransitive => true,
            Level::Backward | Level::BackwardTransitive => {
                matches!(direction, Direction::Backward)
            }
            Level::Forward | Level::ForwardTransitive => matches!(direction, Direction::Forward),
        }
    }

    /// Whether it is about all earlier versions, and not the last one only.
    pub const fn is_transitive(self) -> bool {
        matches!(
            self,
            Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive
        )
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// A word that is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no compatibility level; the levels are NONE, BACKWARD, BACKWARD_TRANSITIVE, FORWARD, FORWARD_TRANSITIVE, FULL and FULL_TRANSITIVE"
)]
pub struct UnknownLevel(pub String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Level, UnknownLevel> {
        let found = Level::ALL
            .into_iter()
            .find(|level| level.word().eq_ignore_ascii_case(word));
        found.ok_or_else(|| UnknownLevel(word.to_owned()))
    }
}

/// An earlier version.
#[derive(Debug, Clone, Copy)]
pub struct Earlier<'a> {
    /// What it is called in the verdict, as `version 3`.
    pub label: &'a str,
    /// It.
    pub schema: &'a Schema,
}

/// A schema against one earlier version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The earlier version.
    pub version: String,
    /// What has changed since.
    pub changes: Vec<Change>,
}

/// A schema against its earlier versions at a level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The level.
    pub level: Level,
    /// The versions that the level is about, the newest first; for `NONE` the last one, which nothing is held against.
    pub compared: Vec<Comparison>,
}

impl Verdict {
    /// What the level forbids: version, change, direction and reason.
    pub fn findings(&self) -> impl Iterator<Item = (&str, &Change, &Break)> {
        let of_change = |change| self.forbidden(change).map(move |found| (change, found));
        self.compared.iter().flat_map(move |comparison| {
            let changes = comparison.changes.iter().flat_map(of_change);
            changes.map(|(change, found)| (comparison.version.as_str(), change, found))
        })
    }

    /// What the level forbids of one change.
    pub fn forbidden<'a>(&self, change: &'a Change) -> impl Iterator<Item = &'a Break> + use<'a> {
        let level = self.level;
        change
            .breaks
            .iter()
            .filter(move |found| level.asks(found.direction))
    }

    /// Whether nothing is forbidden.
    pub fn is_compatible(&self) -> bool {
        self.findings().next().is_none()
    }

    /// Whether a checker that knows the specification and nothing of meanings would let it pass.
    pub fn passes_specification(&self) -> bool {
        self.findings().all(|(_, _, found)| found.by == By::Meaning)
    }
}

/// Holds `new` to the `earlier` versions, oldest first.
pub fn check(level: Level, new: &Schema, earlier: &[Earlier<'_>]) -> Verdict {
    let count = if level.is_transitive() {
        earlier.len()
    } else {
        1
    };
    let compared = earlier.iter().rev().take(count).map(|version| Comparison {
        version: version.label.to_owned(),
        changes: diff(version.schema, new),
    });
    Verdict {
        level,
        compared: compared.collect(),
    }
}
