//! What a record comes to at the sinks: one output, or several that stand and fall together.

use crate::error::{Reason, RecordError};

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

    /// Why no broker could keep it as it is. To Kafka a timestamp of 0 is the time of writing, and one below 0 none.
    pub fn fault(&self) -> Option<RecordError> {
        let timestamp = self.timestamp.filter(|timestamp| *timestamp <= 0)?;
        let text = format!(
            "a record's timestamp is later than 1970-01-01, and this one is {timestamp} ms after it"
        );
        Some(RecordError::new(Reason::TransformFailed, text))
    }
}
