//! Which keys a run may have, in memory, so that a key that is new costs no read: a Bloom filter of which each key has six bits of one
//! word. Asking for a key is one access to memory, with a mask that is the same for all runs, so that what the processor fetches for
//! one run does not wait for what it fetches for another. With 24 bits for each key, about one of a thousand keys that are not there
//! is taken for one that may be.

use crate::state::digest::Digest;

/// Bits for each key.
const BITS: usize = 24;
/// Bytes of a word.
pub(super) const WORD: usize = 8;

/// A key to ask filters for.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Says which word, by one half of the key.
    place: u64,
    /// The bits of it, by the other one.
    mask: u64,
}

impl Probe {
    /// Of a key.
    #[inline]
    pub fn of(digest: Digest) -> Probe {
        let (place, bits) = digest.halves();
        let bit = |at: u32| 1 << ((bits >> (6 * at)) & 63);
        Probe {
            place,
            mask: (0..6).fold(0, |mask, at| mask | bit(at)),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// Of nothing yet, for so many keys.
    pub fn new(keys: usize) -> Filter {
        Filter {
            words: vec![0; Filter::words(keys)],
        }
    }

    /// How many words there are for so many keys.
    pub fn words(keys: usize) -> usize {
        (keys * BITS).div_ceil(64).max(1)
    }

    #[inline]
    fn at(&self, probe: Probe) -> usize {
        ((u128::from(probe.place) * self.words.len() as u128) >> 64) as usize
    }

    /// Adds a key.
    pub fn insert(&mut self, probe: Probe) {
        let at = self.at(probe);
        self.words[at] |= probe.mask;
    }

    /// Whether the key may be one of those that were added; each of those is.
    #[inline]
    pub fn may_have(&self, probe: Probe) -> bool {
        self.words[self.at(probe)] & probe.mask == probe.mask
    }

    /// Appends it.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        for word in &self.words {
            bytes.extend(word.to_le_bytes());
        }
    }

    /// Reads what [`Self::put`] wrote; `None` if that is not whole words.
    pub fn get(bytes: &[u8]) -> Option<Filter> {
        let (words, rest) = bytes.as_chunks::<WORD>();
        if words.is_empty() || !rest.is_empty() {
            return None;
        }
        Some(Filter {
            words: words.iter().map(|word| u64::from_le_bytes(*word)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(key: u64) -> Probe {
        Probe::of(Digest::of(&[Some(&key.to_le_bytes())]))
    }

    #[test]
    fn it_has_all_that_were_added_and_few_others() {
        let mut filter = Filter::new(10_000);
        (0..10_000).for_each(|key| filter.insert(probe(key)));
        let mut bytes = Vec::new();
        filter.put(&mut bytes);
        assert_eq!(bytes.len(), Filter::words(10_000) * WORD);
        let read = Filter::get(&bytes).expect("its own bytes");
        for filter in [&filter, &read] {
            assert!((0..10_000).all(|key| filter.may_have(probe(key))));
            let wrong = (10_000..110_000).filter(|key| filter.may_have(probe(*key)));
            assert!(wrong.count() < 200, "more than two of a thousand");
        }
        assert!(Filter::get(&bytes[1..]).is_none() && Filter::get(&[]).is_none());
    }
}
