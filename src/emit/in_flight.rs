//! What was handed to the producer and is not acknowledged. A token names an entry for librdkafka, which hands it back
//! with the delivery report: exactly one per token, so entries are reused without allocation.

use crate::error::Reason;
use crate::ingest::offsets::Sequence;
use crate::record::Outcome;

/// One produced record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// Slot of the partition that the record was read from.
    pub slot: usize,
    /// That partition's epoch when it was produced.
    pub epoch: u64,
    /// The record that it is the outcome of.
    pub sequence: Sequence,
    /// Offset of that record.
    pub offset: i64,
    /// The outcome, once it is acknowledged.
    pub outcome: Outcome,
    /// The sink of an emitted output, as the pipeline counts them.
    pub sink: usize,
    /// The tier of a retry, counted from 0.
    pub tier: usize,
    /// Whether it was produced in a batch of its own.
    pub alone: bool,
    /// Why, for a retry or a dead letter.
    pub reason: Option<Reason>,
    /// Timestamp of the source record, milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// Timestamp that it was produced with; `None` is the time of writing.
    pub written: Option<i64>,
    /// With an order per key, of a record in retry: the hash of its key, and its offset in the source.
    pub parked: Option<(u64, i64)>,
    /// Whether it only goes with the outcome, on a retry topic, and is not the record itself.
    pub extra: bool,
    /// What its producer keeps for it until then, in bytes, about.
    pub size: usize,
}

/// Entries by token.
#[derive(Debug, Default)]
pub struct InFlights {
    entries: Vec<Option<InFlight>>,
    size: usize,
    free: Vec<usize>,
}

impl InFlights {
    /// Adds an entry and returns its token.
    pub fn insert(&mut self, entry: InFlight) -> usize {
        self.size += entry.size;
        match self.free.pop() {
            Some(token) => {
                self.entries[token] = Some(entry);
                token
            }
            None => {
                self.entries.push(Some(entry));
                self.entries.len() - 1
            }
        }
    }

    /// Takes the entry of a token out.
    pub fn remove(&mut self, token: usize) -> Option<InFlight> {
        let entry = self.entries.get_mut(token)?.take()?;
        self.free.push(token);
        self.size -= entry.size;
        Some(entry)
    }

    /// The entry of a token.
    pub fn get(&self, token: usize) -> Option<&InFlight> {
        self.entries.get(token)?.as_ref()
    }

    /// What the producer keeps for all of them, in bytes, about.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Those that wait.
    pub fn iter(&self) -> impl Iterator<Item = &InFlight> {
        self.entries.iter().flatten()
    }

    /// Forgets all: their producer is gone, and no report of them comes any more.
    pub fn clear(&mut self) {
        *self = InFlights::default();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_once_and_reused() {
        let entry = |offset| InFlight {
            slot: 0,
            epoch: 1,
            sequence: 0,
            offset,
            outcome: Outcome::Emitted,
            sink: 0,
            tier: 0,
            alone: false,
            reason: None,
            timestamp: None,
            written: None,
            parked: None,
            extra: false,
            size: 100,
        };
        let mut in_flights = InFlights::default();
        let (a, b) = (in_flights.insert(entry(1)), in_flights.insert(entry(2)));
        assert_eq!(in_flights.remove(a).map(|entry| entry.offset), Some(1));
        assert_eq!(in_flights.remove(a), None);
        assert_eq!(in_flights.insert(entry(3)), a);
        assert_eq!((in_flights.len(), in_flights.size()), (2, 200));
        assert_eq!(in_flights.remove(b).map(|entry| entry.offset), Some(2));
        assert_eq!(in_flights.get(b), None);
        assert_eq!((in_flights.len(), in_flights.size()), (1, 100));
    }
}
