//! What a dedup key comes to: 16 bytes of a SHA-256. Short enough to keep millions of them, and long enough that no two keys
//! share one: of 50 million, with odds of one in 10²³. A shorter or a faster hash would make a false duplicate of a record
//! some day, or on the day when somebody wants one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use sha2::{Digest as _, Sha256};

/// A dedup key, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u64; 2]);

impl Hash for Digest {
    /// Half of it is as good as all of it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// A digest is as good as its hash.
#[derive(Debug, Default)]
pub struct Own(u64);

impl Hasher for Own {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }
}

/// A table by digests.
pub type ByDigest<T> = HashMap<Digest, T, BuildHasherDefault<Own>>;

impl Digest {
    /// Bytes of one.
    pub const LEN: usize = 16;

    /// Of the parts of a key, in their order. Each counts with its length, so that no two rows of parts come to the same
    /// bytes; an absent part is not an empty one.
    pub fn of(parts: &[Option<&[u8]>]) -> Digest {
        let mut hash = Sha256::new();
        for part in parts {
            match part {
                None => hash.update([0]),
                Some(bytes) => {
                    hash.update([1]);
                    hash.update((bytes.len() as u64).to_le_bytes());
                    hash.update(bytes);
                }
            }
        }
        let hash = hash.finalize();
        let mut bytes = [0; Digest::LEN];
        bytes.copy_from_slice(&hash[..Digest::LEN]);
        Digest::from_bytes(bytes)
    }

    /// As [`Self::to_bytes`] wrote it.
    pub fn from_bytes(bytes: [u8; Digest::LEN]) -> Digest {
        let number = u128::from_le_bytes(bytes);
        Digest([number as u64, (number >> 64) as u64])
    }

    /// As it is written.
    pub fn to_bytes(self) -> [u8; Digest::LEN] {
        (u128::from(self.0[0]) | u128::from(self.0[1]) << 64).to_le_bytes()
    }

    /// Half of it: enough to tell keys apart that may be confused at the price of a wait.
    pub fn short(self) -> u64 {
        self.0[0]
    }

    /// Both halves of it, in the order in which digests are compared.
    pub fn halves(self) -> (u64, u64) {
        (self.0[0], self.0[1])
    }

    /// `0123…ef`, 32 digits: as headers have it.
    pub fn to_hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.to_bytes()))
    }

    /// Reads what [`Self::to_hex`] wrote.
    pub fn from_hex(text: &[u8]) -> Option<Digest> {
        let digits = text.len() == 2 * Digest::LEN && text.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(text).ok().filter(|_| digits)?;
        let number = u128::from_str_radix(text, 16).ok()?;
        Some(Digest::from_bytes(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let digests = [
            Digest::of(&[Some(b"ab"), Some(b"c")]),
            Digest::of(&[Some(b"a"), Some(b"bc")]),
            Digest::of(&[Some(b"abc")]),
            Digest::of(&[None, Some(b"abc")]),
            Digest::of(&[Some(b""), Some(b"abc")]),
        ];
        for (at, one) in digests.iter().enumerate() {
            for other in &digests[at + 1..] {
                assert_ne!(one, other);
            }
        }
        assert_eq!(Digest::of(&[Some(b"ab"), Some(b"c")]), digests[0]);
    }

    #[test]
    fn it_is_written_and_read() {
        let digest = Digest::of(&[Some(b"order-1")]);
        assert_eq!(digest.to_hex(), "b63af7018ce20f28f2beac348c8c5d5c");
        assert_eq!(Digest::from_hex(digest.to_hex().as_bytes()), Some(digest));
        assert_eq!(Digest::from_bytes(digest.to_bytes()), digest);
        for bad in [&b"8d0b"[..], b"", b"zz3af7018ce20f28f2beac348c8c5d5c"] {
            assert_eq!(Digest::from_hex(bad), None);
        }
    }
}
