//! A Kafka record, borrowed from the batch that it arrived in.

/// One header: a name and a value, either of which may be any bytes; a value may be null.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// A record as read. Borrows from librdkafka's buffer; never outlives its batch, never crosses a thread.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// Topic it was read from (a source topic or one of our retry topics).
    pub topic: &'a str,
    /// Partition number.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch, if the record has a timestamp.
    pub timestamp: Option<i64>,
    /// Key bytes; `None` is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in their order.
    pub headers: Vec<Header<'a>>,
}

impl Record<'_> {
    /// The last header of that name, as Kafka's own clients read it.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .rev()
            .find(|(n, _)| *n == name)
            .and_then(|(_, value)| *value)
    }
}

/// How a record ended. Every record read ends in exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Produced to the sink and acknowledged.
    Emitted,
    /// A filter said no.
    Filtered,
    /// Seen before.
    Duplicate,
    /// Older than the newest of its key.
    Stale,
    /// Written to a retry topic and acknowledged there.
    Retried,
    /// Written to the dead-letter topic and acknowledged there.
    DeadLettered,
}

impl Outcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Outcome; 6] = [
        Outcome::Emitted,
        Outcome::Filtered,
        Outcome::Duplicate,
        Outcome::Stale,
        Outcome::Retried,
        Outcome::DeadLettered,
    ];

    /// The stable word: metric label and documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Emitted => "emitted",
            Outcome::Filtered => "filtered",
            Outcome::Duplicate => "duplicate",
            Outcome::Stale => "stale",
            Outcome::Retried => "retried",
            Outcome::DeadLettered => "dead_lettered",
        }
    }
}
