//! Typed reading of a mapping that has been checked: value or default, by the table. What does not parse has been
//! reported by then, so the default stands in for it, and every later check still runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::{Key, Kind, list_default};
use super::model::{Place, Placed, Secret};
use super::tree::{Body, Entry, Node};
use super::units::{parse_duration, parse_ratio, parse_size};

/// A mapping, possibly an absent one, and its part of the table.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    node: Option<&'a Node>,
    keys: &'static [Key],
    /// Where a fault about the whole mapping stands.
    at: &'a Place,
    /// Whether its key stands in the file, if with nothing behind it.
    present: bool,
}

impl<'a> View<'a> {
    pub(crate) fn new(node: Option<&'a Node>, keys: &'static [Key], at: &'a Place) -> Self {
        View {
            node,
            keys,
            at,
            present: node.is_some(),
        }
    }

    /// The key that the mapping stands behind, or the mapping itself.
    pub(crate) fn at(&self) -> &'a Place {
        self.at
    }

    pub(crate) fn node(&self, name: &str) -> Option<&'a Node> {
        self.key(name);
        self.node.and_then(|node| node.get(name))
    }

    /// The entry of a key, also where null stands behind it.
    pub(crate) fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.key(name);
        self.node.and_then(|node| node.entry(name))
    }

    /// The keys of the table that it may have.
    pub(crate) fn keys(&self) -> &'static [Key] {
        self.keys
    }

    pub(crate) fn is_present(&self) -> bool {
        self.present
    }

    fn key(&self, name: &str) -> &'static Key {
        self.keys
            .iter()
            .find(|key| key.name == name)
            .expect("only keys of the table are read")
    }

    /// The place of a key, or of the mapping when it is absent.
    pub(crate) fn place(&self, name: &str) -> &'a Place {
        self.node
            .and_then(|node| node.entry(name))
            .map_or(self.at, |entry| &entry.key.place)
    }

    /// The place of a value, or of the mapping when it is absent.
    pub(crate) fn value_place(&self, name: &str) -> &'a Place {
        self.node(name).map_or(self.at, |node| &node.place)
    }

    /// A value as written, for a fault.
    pub(crate) fn raw(&self, name: &str) -> &'a str {
        self.node(name).map_or("", |node| &node.raw)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    pub(crate) fn map(&self, name: &str) -> View<'a> {
        View {
            node: self.node(name),
            keys: self.key(name).kind.keys(),
            at: self.place(name),
            present: self.node.is_some_and(|node| node.entry(name).is_some()),
        }
    }

    /// The mapping of a key that may also be its first key's value alone, which is the second of the pair.
    pub(crate) fn map_or(&self, name: &str) -> (View<'a>, Option<&'a str>) {
        let view = self.map(name);
        let short = self.node(name).and_then(Node::text);
        (view, short)
    }

    pub(crate) fn items(&self, name: &str) -> &'a [Node] {
        self.node(name).map_or(&[], Node::items)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.scalar(name).map(str::to_owned)
    }

    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.scalar(name).map(Secret::new)
    }

    /// A text with its place; an empty one at the mapping's when it is absent.
    pub(crate) fn placed(&self, name: &str) -> Placed<String> {
        match self.node(name) {
            Some(node) => placed(node),
            None => Placed {
                value: String::new(),
                place: self.at.clone(),
            },
        }
    }

    pub(crate) fn path(&self, name: &str, base: &Path) -> Option<PathBuf> {
        self.scalar(name).map(|text| base.join(text))
    }

    pub(crate) fn bool(&self, name: &str) -> bool {
        self.parsed(name, |text| text.parse().ok()).unwrap_or(false)
    }

    pub(crate) fn int(&self, name: &str) -> Option<u64> {
        let Kind::Int { min, max } = self.key(name).kind else {
            return None;
        };
        self.parsed(name, |text| {
            text.parse()
                .ok()
                .filter(|value| (min..=max).contains(value))
        })
    }

    pub(crate) fn duration(&self, name: &str) -> Duration {
        self.parsed(name, |text| parse_duration(text).ok())
            .unwrap_or_default()
    }

    /// A duration that may be absent and then has no default.
    pub(crate) fn optional_duration(&self, name: &str) -> Option<Duration> {
        self.parsed(name, |text| parse_duration(text).ok())
    }

    pub(crate) fn size(&self, name: &str) -> u64 {
        self.parsed(name, |text| parse_size(text).ok())
            .unwrap_or_default()
    }

    pub(crate) fn ratio(&self, name: &str) -> f64 {
        self.parsed(name, |text| parse_ratio(text).ok())
            .unwrap_or_default()
    }

    /// Durations of a list, each with the item that it was written as; the default's have none.
    pub(crate) fn durations(&self, name: &str) -> Vec<(Duration, Option<&'a Node>)> {
        match self.node(name) {
            Some(node) => node
                .items()
                .iter()
                .filter_map(|item| Some((parse_duration(item.text()?).ok()?, Some(item))))
                .collect(),
            None => list_default(self.key(name).default.unwrap_or_default())
                .filter_map(|text| Some((parse_duration(text).ok()?, None)))
                .collect(),
        }
    }

    /// Whether `null` stands there as a word, rather than nothing.
    pub(crate) fn is_null_word(&self, name: &str) -> bool {
        self.node
            .and_then(|node| node.entry(name))
            .is_some_and(|entry| {
                matches!(entry.value.body, Body::Null)
                    && entry.value.raw.eq_ignore_ascii_case("null")
            })
    }

    /// The value of a scalar key or its default.
    pub(crate) fn scalar(&self, name: &str) -> Option<&'a str> {
        self.node(name)
            .and_then(Node::text)
            .or(self.key(name).default)
    }

    fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let written = self.node(name).and_then(Node::text).and_then(&parse);
        written.or_else(|| self.key(name).default.and_then(&parse))
    }
}

/// A scalar with the place where its text begins.
pub(crate) fn placed(node: &Node) -> Placed<String> {
    let value = match &node.body {
        Body::Scalar(scalar) => scalar.text.clone(),
        _ => String::new(),
    };
    Placed {
        value,
        place: node.content_place(),
    }
}
