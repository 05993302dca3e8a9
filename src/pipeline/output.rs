//! What a record comes to at the sinks: one output, or several that stand and fall together.

use std::borrow::Cow;

use crate::config::model::Provenance;
use crate::contract::wire;
use crate::error::{Reason, RecordError};
use crate::headers;
use crate::record::Header;

/// One record for a sink.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Index into [`Compiled::sinks`](super::Compiled); 0 is the pipeline's own.
    pub sink: usize,
    /// The framed value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The key.
    pub key: OutputKey,
    /// Headers set, in place of all of that name, or taken away (`None`), in order, on the source's own.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The timestamp, milliseconds since the epoch; `None` keeps the source's.
    pub timestamp: Option<i64>,
    /// Where the newer event of its key was read, if it goes on although it is stale.
    pub newer: Option<String>,
    /// The fields that it sets and its source does not own, if it goes on with them.
    pub foreign: Option<String>,
}

/// The key of an output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OutputKey {
    /// The source's, byte for byte.
    #[default]
    Source,
    /// Another one; `None` is no key.
    Other(Option<Vec<u8>>),
}

impl Output {
    /// For the pipeline's own sink, with key, headers and timestamp of the source.
    pub fn of(value: Option<Vec<u8>>) -> Output {
        Output {
            value,
            ..Output::default()
        }
    }

    /// Its key, where the source's is `source`.
    pub fn key<'o>(&'o self, source: Option<&'o [u8]>) -> Option<&'o [u8]> {
        match &self.key {
            OutputKey::Source => source,
            OutputKey::Other(key) => key.as_deref(),
        }
    }

    /// Takes out the changes to the source's headers, with ours for the fields that it is flagged for.
    pub fn take_headers(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let mut changes = std::mem::take(&mut self.headers);
        if let Some(fields) = self.foreign.take() {
            let name = headers::FOREIGN.to_owned();
            changes.push((name, Some(fields.into_bytes())));
        }
        changes
    }

    /// All its headers: the source's `own` with the changes to them, and behind them ours. The writer's schema id in a
    /// header would win over the sink's, which stands in front of the value, so it is left out.
    pub fn merged<'h>(&'h self, own: &'h [Header<'h>], added: &'h Added) -> Cow<'h, [Header<'h>]> {
        let names_schema = own.iter().any(|(name, _)| *name == wire::VALUE_HEADER);
        if added.count == 0 && self.headers.is_empty() && !names_schema {
            return Cow::Borrowed(own);
        }
        let most = own.len() + self.headers.len() + added.count;
        let mut all: Vec<Header<'h>> = Vec::with_capacity(most);
        all.extend_from_slice(own);
        for (name, value) in &self.headers {
            all.retain(|(other, _)| other != name);
            if let Some(value) = value {
                all.push((name, Some(value)));
            }
        }
        all.retain(|(name, _)| *name != wire::VALUE_HEADER);
        for (name, _) in &mut all {
            if let Some(ours) = added.ours().iter().find(|ours| ours.name == *name) {
                *name = ours.prior;
            }
        }
        let ours = added.ours().iter();
        all.extend(ours.map(|ours| (ours.name, Some(ours.value.as_bytes()))));
        Cow::Owned(all)
    }

    /// Why no broker could keep it as it is. To Kafka a timestamp of 0 is the time of writing, and one below 0 none.
    pub fn fault(&self) -> Option<RecordError> {
        let timestamp = self.timestamp.filter(|timestamp| *timestamp <= 0)?;
        let text = format!(
            "a record's timestamp is later than 1970-01-01, and this one is {timestamp} ms after it"
        );
        Some(RecordError::new(Reason::TransformFailed, text))
    }
}

/// Which of a record's outputs one is.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// From 0.
    pub index: usize,
    /// Of so many.
    pub count: usize,
}

/// Headers of ours that an output gets.
#[derive(Debug, Default)]
pub struct Added {
    ours: [Ours; 5],
    count: usize,
}

#[derive(Debug, Default)]
struct Ours {
    name: &'static str,
    /// The name under which a source's header is kept whose own name it is.
    prior: &'static str,
    value: String,
}

impl Added {
    /// For an output of a record that lies at this position.
    pub fn new(
        provenance: Provenance,
        position: impl FnOnce() -> String,
        part: Option<Part>,
    ) -> Added {
        let mut added = Added::default();
        match provenance {
            Provenance::None | Provenance::Ledger => {}
            Provenance::Header => added.add(headers::SOURCE, headers::PRIOR_SOURCE, position()),
        }
        if let Some(Part { index, count }) = part {
            added.add(headers::INDEX, headers::PRIOR_INDEX, index.to_string());
            added.add(headers::COUNT, headers::PRIOR_COUNT, count.to_string());
        }
        added
    }

    /// The same, of an event that is stale.
    #[must_use]
    pub fn stale(mut self, newer: Option<&str>) -> Added {
        if let Some(newer) = newer {
            self.add(headers::STALE, headers::PRIOR_STALE, newer.to_owned());
        }
        self
    }

    /// The same, of an event that sets fields which its source does not own.
    #[must_use]
    pub fn foreign(mut self, fields: Option<&str>) -> Added {
        if let Some(fields) = fields {
            let prior = headers::PRIOR_FOREIGN;
            self.add(headers::FOREIGN, prior, fields.to_owned());
        }
        self
    }

    fn add(&mut self, name: &'static str, prior: &'static str, value: String) {
        self.ours[self.count] = Ours { name, prior, value };
        self.count += 1;
    }

    fn ours(&self) -> &[Ours] {
        &self.ours[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_set_taken_away_and_ours_put_behind_them() {
        let own: Vec<Header<'_>> = vec![
            ("a", Some(b"1")),
            ("b", Some(b"2")),
            ("a", Some(b"3")),
            ("driftgate.index", Some(b"7")),
            ("driftgate.reason", Some(b"kept")),
            (wire::VALUE_HEADER, Some(b"id")),
        ];
        let set = |name: &str, value: Option<&str>| {
            (
                name.to_owned(),
                value.map(|value| value.as_bytes().to_vec()),
            )
        };
        let headers = vec![
            set("a", Some("new")),
            set("b", None),
            set("c", Some("")),
            set("c", Some("last")),
        ];
        let output = Output {
            headers,
            ..Output::default()
        };
        let part = Some(Part { index: 0, count: 2 });
        let added = Added::new(Provenance::None, String::new, part);
        let expect: Vec<Header<'_>> = vec![
            ("driftgate.prior.index", Some(b"7")),
            ("driftgate.reason", Some(b"kept")),
            ("a", Some(b"new")),
            ("c", Some(b"last")),
            ("driftgate.index", Some(b"0")),
            ("driftgate.count", Some(b"2")),
        ];
        assert_eq!(*output.merged(&own, &added), expect);
    }

    #[test]
    fn without_a_change_the_source_s_own_headers_are_passed_on_as_they_lie() {
        let own: Vec<Header<'_>> = vec![("a", Some(b"1")), ("driftgate.source", None)];
        let output = Output::default();
        let added = Added::new(Provenance::None, String::new, None);
        assert!(matches!(output.merged(&own, &added), Cow::Borrowed(all) if all == own));
        let added = Added::new(Provenance::Header, || "t-0@7".to_owned(), None);
        let expect: Vec<Header<'_>> = vec![
            ("a", Some(b"1")),
            ("driftgate.prior.source", None),
            ("driftgate.source", Some(b"t-0@7")),
        ];
        assert_eq!(*output.merged(&own, &added), expect);
    }
}
