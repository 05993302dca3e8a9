//! What was handed to the producer and is not acknowledged. A token names an entry for librdkafka, which hands it back
//! with the delivery report: exactly one per token.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;

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

impl InFlight {
    /// The outcome for those that wait for it: what is stale has not failed, wherever it is written.
    pub fn ends_as(&self) -> Outcome {
        match self.reason {
            Some(Reason::Stale) => Outcome::Stale,
            _ => self.outcome,
        }
    }
}

/// The same in one line of a processor's cache: there are tens of thousands, each touched twice.
#[derive(Debug, Clone, Copy)]
struct Entry {
    sequence: Sequence,
    offset: i64,
    epoch: u64,
    /// [`NONE`] for none.
    timestamp: i64,
    written: i64,
    /// An index into [`InFlights::parked`].
    parked: Option<NonZeroU32>,
    slot: u32,
    size: u32,
    sink: u16,
    tier: u16,
    outcome: Outcome,
    reason: Option<Reason>,
    alone: bool,
    extra: bool,
}

const _: () = assert!(size_of::<Option<Entry>>() <= 64);

/// In place of a time that there is not.
const NONE: i64 = i64::MIN;

/// Below this many, it is not worth the trouble to put any apart.
const FEW: usize = 1024;

/// Entries by token. Tokens count up and answers come nearly in their order, so entries lie in a row: those behind the
/// oldest one that waits. One that waits long does not keep the row: when most of it is answered, the oldest are put apart.
#[derive(Debug, Default)]
pub struct InFlights {
    row: VecDeque<Option<Entry>>,
    /// The token of the row's first entry.
    first: usize,
    /// How many of the row wait.
    waiting: usize,
    apart: HashMap<usize, Entry>,
    /// By index less one. Few records have one.
    parked: Vec<(u64, i64)>,
    free: Vec<NonZeroU32>,
    size: usize,
}

impl InFlights {
    /// Adds an entry and returns its token.
    pub fn insert(&mut self, entry: InFlight) -> usize {
        self.size += entry.size;
        let entry = self.pack(&entry);
        let token = self.first + self.row.len();
        self.row.push_back(Some(entry));
        self.waiting += 1;
        while self.row.len() > FEW && self.row.len() > 4 * self.waiting {
            if let Some(Some(entry)) = self.row.pop_front() {
                self.waiting -= 1;
                self.apart.insert(self.first, entry);
            }
            self.first += 1;
        }
        token
    }

    /// Takes the entry of a token out.
    pub fn remove(&mut self, token: usize) -> Option<InFlight> {
        let entry = match token.checked_sub(self.first) {
            Some(index) => {
                let entry = self.row.get_mut(index)?.take()?;
                self.waiting -= 1;
                while let Some(None) = self.row.front() {
                    self.row.pop_front();
                    self.first += 1;
                }
                entry
            }
            None => self.apart.remove(&token)?,
        };
        self.free.extend(entry.parked);
        let entry = self.unpack(&entry);
        self.size -= entry.size;
        Some(entry)
    }

    /// What the producer keeps for the entry of a token, in bytes, about; 0 without one.
    pub fn size_of(&self, token: usize) -> usize {
        let entry = match token.checked_sub(self.first) {
            Some(index) => self.row.get(index).and_then(Option::as_ref),
            None => self.apart.get(&token),
        };
        entry.map_or(0, |entry| entry.size as usize)
    }

    /// What the producer keeps for all of them, in bytes, about.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Those that wait.
    pub fn iter(&self) -> impl Iterator<Item = InFlight> {
        let entries = self.apart.values().chain(self.row.iter().flatten());
        entries.map(|entry| self.unpack(entry))
    }

    /// Forgets all: their producer is gone, and no report of them comes any more.
    pub fn clear(&mut self) {
        *self = InFlights {
            first: self.first + self.row.len(),
            ..InFlights::default()
        };
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting + self.apart.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn pack(&mut self, entry: &InFlight) -> Entry {
        let narrow = "fewer partitions, sinks and tiers, and smaller records";
        let parked = entry.parked.map(|parked| match self.free.pop() {
            Some(index) => {
                self.parked[place(index)] = parked;
                index
            }
            None => {
                self.parked.push(parked);
                let index = u32::try_from(self.parked.len()).ok();
                index.and_then(NonZeroU32::new).expect("fewer in flight")
            }
        });
        Entry {
            sequence: entry.sequence,
            offset: entry.offset,
            epoch: entry.epoch,
            timestamp: entry.timestamp.unwrap_or(NONE),
            written: entry.written.unwrap_or(NONE),
            parked,
            slot: u32::try_from(entry.slot).expect(narrow),
            size: u32::try_from(entry.size).expect(narrow),
            sink: u16::try_from(entry.sink).expect(narrow),
            tier: u16::try_from(entry.tier).expect(narrow),
            outcome: entry.outcome,
            reason: entry.reason,
            alone: entry.alone,
            extra: entry.extra,
        }
    }

    fn unpack(&self, entry: &Entry) -> InFlight {
        InFlight {
            slot: entry.slot as usize,
            epoch: entry.epoch,
            sequence: entry.sequence,
            offset: entry.offset,
            outcome: entry.outcome,
            sink: usize::from(entry.sink),
            tier: usize::from(entry.tier),
            alone: entry.alone,
            reason: entry.reason,
            timestamp: Some(entry.timestamp).filter(|time| *time != NONE),
            written: Some(entry.written).filter(|time| *time != NONE),
            parked: entry.parked.map(|index| self.parked[place(index)]),
            extra: entry.extra,
            size: entry.size as usize,
        }
    }
}

fn place(index: NonZeroU32) -> usize {
    index.get() as usize - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(offset: i64) -> InFlight {
        let even = offset % 2 == 0;
        InFlight {
            slot: 3,
            epoch: 1,
            sequence: 7,
            offset,
            outcome: Outcome::Retried,
            sink: 2,
            tier: 1,
            alone: even,
            reason: even.then_some(Reason::TransformFailed),
            timestamp: even.then_some(offset),
            written: (!even).then_some(offset),
            parked: even.then_some((offset as u64, offset)),
            extra: !even,
            size: 100,
        }
    }

    #[test]
    fn a_token_is_answered_once_with_what_was_sent() {
        let mut in_flights = InFlights::default();
        let (a, b) = (in_flights.insert(entry(1)), in_flights.insert(entry(2)));
        assert_eq!(in_flights.remove(a), Some(entry(1)));
        assert_eq!((in_flights.remove(a), in_flights.size_of(a)), (None, 0));
        let c = in_flights.insert(entry(4));
        assert!(c != a && c != b);
        assert_eq!((in_flights.len(), in_flights.size()), (2, 200));
        assert_eq!(in_flights.size_of(b), 100);
        assert_eq!(in_flights.remove(b), Some(entry(2)));
        assert_eq!(in_flights.iter().collect::<Vec<_>>(), [entry(4)]);
        in_flights.clear();
        assert_eq!((in_flights.remove(c), in_flights.len()), (None, 0));
        assert!(in_flights.insert(entry(6)) > c, "a late answer is nobody's");
    }

    /// A broker is away for an hour, and the others go on.
    #[test]
    fn those_that_wait_long_cost_no_room_for_those_that_do_not() {
        let mut in_flights = InFlights::default();
        let slow: Vec<usize> = (0..5000)
            .map(|offset| in_flights.insert(entry(offset)))
            .collect();
        for offset in 0..1_000_000 {
            let token = in_flights.insert(entry(offset));
            assert_eq!(in_flights.remove(token), Some(entry(offset)));
            assert!(in_flights.row.len() <= 4 * 5001);
        }
        assert!(in_flights.row.len() <= FEW);
        assert!(in_flights.parked.len() <= 2501);
        for (token, offset) in slow.into_iter().zip(0..) {
            assert_eq!(in_flights.remove(token), Some(entry(offset)));
        }
        assert!(in_flights.is_empty());
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((any::<bool>(), 0usize..40), 0..4000)) {
            let mut in_flights = InFlights::default();
            let mut model: Vec<(usize, i64)> = Vec::new();
            for (offset, (adds, which)) in (0..).zip(steps) {
                if adds || model.is_empty() {
                    model.push((in_flights.insert(entry(offset)), offset));
                } else {
                    let (token, offset) = model.remove(which.min(model.len() - 1));
                    prop_assert_eq!(in_flights.remove(token), Some(entry(offset)));
                }
                prop_assert_eq!(in_flights.len(), model.len());
                prop_assert_eq!(in_flights.size(), 100 * model.len());
            }
            let mut left: Vec<i64> = in_flights.iter().map(|entry| entry.offset).collect();
            left.sort_unstable();
            prop_assert_eq!(left, model.iter().map(|(_, offset)| *offset).collect::<Vec<_>>());
        }
    }
}
