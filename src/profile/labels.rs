//! Texts by their hash, a fixed number of them, the first that come: what a count by hash is called.

use super::shape::LONGEST;

/// Bytes of a text that are kept.
const BYTES: usize = LONGEST + 7;

/// A few texts.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    hashes: Vec<u64>,
    texts: Vec<Text>,
}

#[derive(Debug, Clone, Copy)]
struct Text {
    length: u8,
    bytes: [u8; BYTES],
}

impl Labels {
    /// Room for so many.
    pub(super) fn with_capacity(most: usize) -> Labels {
        Labels {
            hashes: Vec::with_capacity(most),
            texts: Vec::with_capacity(most),
        }
    }

    pub(super) fn clear(&mut self) {
        self.hashes.clear();
        self.texts.clear();
    }

    /// Keeps a text, if there is room. One that is too long is kept up to a letter's end.
    #[inline]
    pub(super) fn keep(&mut self, hash: u64, text: &[u8]) {
        if self.hashes.len() == self.hashes.capacity() || self.hashes.contains(&hash) {
            return;
        }
        let mut length = text.len().min(BYTES);
        while length < text.len() && length > 0 && text[length] & 0xc0 == 0x80 {
            length -= 1;
        }
        let mut bytes = [0; BYTES];
        bytes[..length].copy_from_slice(&text[..length]);
        self.hashes.push(hash);
        self.texts.push(Text {
            length: u8::try_from(length).expect("a few bytes"),
            bytes,
        });
    }

    pub(super) fn merge(&mut self, other: &Labels) {
        for (hash, text) in other.iter() {
            self.keep(hash, text);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let texts = self.texts.iter();
        let texts = texts.map(|text| &text.bytes[..usize::from(text.length)]);
        self.hashes.iter().copied().zip(texts)
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        8 * self.hashes.capacity() + size_of::<Text>() * self.texts.capacity()
    }
}
