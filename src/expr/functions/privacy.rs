//! Making texts unreadable: digests, keyed digests, parts.

use bumpalo::collections::String as BumpString;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::args::{Made, call, declared, function, of_octets, of_text, text};
use super::{CallError, Constants, Example, Function, Ty};
use crate::expr::cx::Cx;
use crate::expr::value::Val;

/// The functions of this file.
pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "sha256",
        group: "privacy",
        doc: "The SHA-256 digest of a text (its UTF-8 bytes) or of bytes, as 64 lower-case hexadecimal digits. \
              **Pseudonymous, not anonymous**: the same text gives the same digest everywhere, and whoever has a list of \
              e-mail addresses or phone numbers computes their digests in seconds and knows who is who. For personal data \
              use `hmac`; a digest without a key still counts as personal data.",
        errors: "",
        forms: &[
            function(&[("text", Ty::Text)], Ty::Text, |_| of_octets(sha256)),
            function(&[("bytes", Ty::Bytes)], Ty::Text, |_| of_octets(sha256)),
        ],
        examples: &[
            Example {
                expr: "sha256('abc')",
                result: "'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'",
            },
            Example {
                expr: "sha256(b'')",
                result: "'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
            },
        ],
    },
    Function {
        name: "hmac",
        group: "privacy",
        doc: "The HMAC-SHA-256 of a text or of bytes under a secret, as 64 lower-case hexadecimal digits: **the recommended \
              way** to replace an identifier. The same text gives the same result, so it can still be joined and counted; \
              without the secret nobody can try out who it was. `secret` is a constant, the name of a secret, never the \
              secret itself. Still pseudonymous for whoever holds the secret; with another secret nothing joins any more.",
        errors: "A name that is no secret's is an error at `check`.",
        forms: &[
            function(&[("text", Ty::Text), ("secret", Ty::Text)], Ty::Text, hmac),
            function(
                &[("bytes", Ty::Bytes), ("secret", Ty::Text)],
                Ty::Text,
                hmac,
            ),
        ],
        examples: &[
            // The secret `example` of the examples is the text `key`.
            Example {
                expr: "hmac('The quick brown fox jumps over the lazy dog', 'example')",
                result: "'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8'",
            },
            Example {
                expr: "hmac('a', 'exmaple')",
                result: "error: there is no secret `exmaple`",
            },
        ],
    },
    Function {
        name: "last4",
        group: "privacy",
        doc: "A `*` for each character but the last four; a text of four or fewer is all `*`. Its length stays visible, and \
              four digits are often enough to tell a person among a few: for people who must recognise their own card or \
              phone, not for data sets that are handed on.",
        errors: "",
        forms: &[function(&[("text", Ty::Text)], Ty::Text, |_| {
            of_text(last4)
        })],
        examples: &[
            Example {
                expr: "last4('4111111111111111')",
                result: "'************1111'",
            },
            Example {
                expr: "last4('123')",
                result: "'***'",
            },
        ],
    },
    Function {
        name: "redact",
        group: "privacy",
        doc: "`'***'`, whatever the text is: nothing of it is left, not even its length or whether two were the same. What \
              is nullable stays visible as null or not.",
        errors: "",
        forms: &[function(&[("text", Ty::Text)], Ty::Text, |_| {
            call(|_, args| text(args, 0).map(|_| Val::Text("***")))
        })],
        examples: &[
            Example {
                expr: "redact('Jane Doe')",
                result: "'***'",
            },
            Example {
                expr: "redact('')",
                result: "'***'",
            },
        ],
    },
];

/// Bytes as lower-case hexadecimal digits in ASCII, without the formatting machinery, which takes longer than the digest of a short
/// text.
pub(crate) fn hex<'a>(cx: &Cx<'a>, digest: &[u8]) -> &'a [u8] {
    let out = cx.arena.alloc_slice_fill_copy(digest.len() * 2, 0u8);
    // Without a table, so that many digits are computed at once.
    let digit = |half: u8| half + b'0' + u8::from(half > 9) * (b'a' - b'0' - 10);
    for (pair, byte) in out.chunks_exact_mut(2).zip(digest) {
        pair[0] = digit(byte >> 4);
        pair[1] = digit(byte & 15);
    }
    out
}

/// The first 32 bits of the fractional parts of the square roots of the first eight primes (FIPS 180-4, 5.3.3).
const SHA256: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Bytes that fit in one block of SHA-256, beside a byte for the bit that ends them and eight for their length.
const ONE_BLOCK: usize = 64 - 9;

/// The SHA-256 digest. What most fields hold fits in one block, which needs no hasher around it.
pub(crate) fn digest(octets: &[u8]) -> [u8; 32] {
    if octets.len() > ONE_BLOCK {
        return Sha256::digest(octets).into();
    }
    let mut block = [0u8; 64];
    block[..octets.len()].copy_from_slice(octets);
    block[octets.len()] = 0x80;
    block[56..].copy_from_slice(&(octets.len() as u64 * 8).to_be_bytes());
    let mut state = SHA256;
    sha2::compress256(&mut state, &[block.into()]);
    let mut out = [0u8; 32];
    for (four, word) in out.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    out
}

fn sha256<'a>(cx: &mut Cx<'a>, octets: &[u8]) -> Result<&'a [u8], CallError> {
    Ok(hex(cx, &digest(octets)))
}

fn hmac(constants: &Constants<'_>) -> Made {
    let name = declared(constants, 1, "the name of a secret")?;
    let Some(secret) = constants.secrets.get(name) else {
        let known: Vec<&str> = constants.secrets.names().collect();
        let known = match known.is_empty() {
            true => "none is configured".to_owned(),
            false => format!("there are {}", known.join(", ")),
        };
        return Err((1, format!("there is no secret `{name}`; {known}")));
    };
    // The key is worked in once.
    let keyed = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    of_octets(move |cx, octets| {
        let mut mac = keyed.clone();
        mac.update(octets);
        Ok(hex(cx, &mac.finalize().into_bytes()))
    })
}

fn last4<'a>(cx: &mut Cx<'a>, text: &'a str) -> Result<&'a str, CallError> {
    Ok(all_but_four(cx, text))
}

/// A `*` for each character but the last four; for each of them where there are no more.
pub(crate) fn all_but_four<'a>(cx: &Cx<'a>, text: &str) -> &'a str {
    let characters = text.chars().count();
    let hidden = match characters {
        0..=4 => characters,
        _ => characters - 4,
    };
    let mut out = BumpString::with_capacity_in(text.len(), cx.arena);
    out.extend(std::iter::repeat_n('*', hidden));
    out.extend(text.chars().skip(hidden));
    out.into_bump_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One block, one block with its padding in a second, several.
    #[test]
    fn digests_of_all_lengths_are_the_hashers() {
        let octets: Vec<u8> = (0..300u16).map(|n| n.to_le_bytes()[0]).collect();
        for length in 0..=octets.len() {
            let expect: [u8; 32] = Sha256::digest(&octets[..length]).into();
            assert_eq!(digest(&octets[..length]), expect, "{length}");
        }
    }

    #[test]
    fn all_bytes_have_their_digits() {
        let (schema, arena) = (
            crate::expr::testing::schema("\"null\""),
            bumpalo::Bump::new(),
        );
        let cx = Cx::of_constants(&schema, &arena);
        let octets: Vec<u8> = (0..=255).collect();
        let expect: String = octets.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex(&cx, &octets), expect.as_bytes());
    }
}
