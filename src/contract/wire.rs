//! Confluent framing. Input: a record's key or value and its headers. Output: the writer schema id and the Avro bytes.
//! Knows nothing of schemas.
//!
//! | form | layout | here |
//! |---|---|---|
//! | id in front | `00`, id as 4 bytes big endian, Avro | read and written |
//! | id in a header | header `__value_schema_id` / `__key_schema_id` = `00` + 4 bytes; the whole value is Avro | read |
//! | GUID in front | `01`, 16 bytes, Avro | refused by name |
//! | GUID in a header | the header = `01` + 16 bytes; the whole value is Avro | refused by name |
//!
//! A header wins over what the value begins with, as in Confluent's own deserializers. Whoever copies headers to a
//! record that is framed in front must therefore leave [`VALUE_HEADER`] out, or its readers take the frame for data.

use crate::error::{Reason, RecordError};
use crate::record::Header;

/// Bytes in front of the Avro data: the magic byte and the id.
pub const HEADER_LEN: usize = 5;
/// The header that carries the value's schema id or GUID.
pub const VALUE_HEADER: &str = "__value_schema_id";
/// The header that carries the key's schema id or GUID.
pub const KEY_HEADER: &str = "__key_schema_id";

const MAGIC_ID: u8 = 0;
const MAGIC_GUID: u8 = 1;
const GUID_LEN: usize = 16;

/// The writer schema id of a record's value, and its Avro bytes.
pub fn read<'a>(value: &'a [u8], headers: &[Header<'_>]) -> Result<(u32, &'a [u8]), RecordError> {
    read_part(value, headers, VALUE_HEADER)
}

/// The writer schema id of a record's key, and its Avro bytes.
pub fn read_key<'a>(key: &'a [u8], headers: &[Header<'_>]) -> Result<(u32, &'a [u8]), RecordError> {
    read_part(key, headers, KEY_HEADER)
}

/// Appends the magic byte and the id.
pub fn write_header(id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC_ID);
    out.extend_from_slice(&id.to_be_bytes());
}

fn read_part<'a>(
    bytes: &'a [u8],
    headers: &[Header<'_>],
    name: &str,
) -> Result<(u32, &'a [u8]), RecordError> {
    // The last one, as Kafka's clients read headers.
    if let Some((_, header)) = headers.iter().rev().find(|(n, _)| *n == name) {
        return read_header(header.unwrap_or_default(), name).map(|id| (id, bytes));
    }
    match bytes {
        [MAGIC_ID, a, b, c, d, payload @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), payload)),
        [MAGIC_GUID, rest @ ..] if rest.len() >= GUID_LEN => Err(RecordError::new(
            Reason::UnsupportedFraming,
            format!(
                "begins with a schema GUID ({}); only schema ids are supported",
                guid(&rest[..GUID_LEN])
            ),
        )),
        _ => Err(RecordError::new(
            match is_json(bytes) {
                true => Reason::UnframedJson,
                false => Reason::Unframed,
            },
            format!(
                "expected the magic byte 0 and a schema id, found {}",
                looks_like(bytes)
            ),
        )),
    }
}

fn read_header(header: &[u8], name: &str) -> Result<u32, RecordError> {
    let message = match header {
        [MAGIC_ID, a, b, c, d] => return Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        [MAGIC_GUID, rest @ ..] if rest.len() == GUID_LEN => format!(
            "the header {name} holds a schema GUID ({}); only schema ids are supported",
            guid(rest)
        ),
        other => format!(
            "the header {name} holds {} bytes that are neither a schema id nor a GUID",
            other.len()
        ),
    };
    Err(RecordError::new(Reason::UnsupportedFraming, message))
}

fn guid(bytes: &[u8]) -> String {
    let bytes = bytes.try_into().expect("callers hand over 16 bytes");
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// Whether a value is a whole JSON object or array: a producer with the wrong serializer, which is worth a reason of
/// its own.
fn is_json(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// What a value without a frame seems to be. Says its kind, never what is in it.
fn looks_like(bytes: &[u8]) -> String {
    let text = bytes.trim_ascii_start();
    match (bytes, text.first()) {
        ([], _) => "an empty value".to_owned(),
        ([MAGIC_ID, ..], _) => format!("only {} of the {HEADER_LEN} bytes", bytes.len()),
        (_, Some(first @ (b'{' | b'['))) => {
            format!("what looks like JSON: begins with {}", char::from(*first))
        }
        (_, Some(b'<')) => "what looks like XML: begins with <".to_owned(),
        ([b'O', b'b', b'j', 1, ..], _) => "an Avro data file: begins with Obj".to_owned(),
        ([0xC3, 0x01, ..], _) => "Avro's single-object encoding: begins with C3 01".to_owned(),
        _ if bytes
            .iter()
            .take(64)
            .all(|b| (b' '..=b'~').contains(b) || b"\t\r\n".contains(b)) =>
        {
            "what looks like plain text".to_owned()
        }
        _ => format!("first byte 0x{:02X}", bytes[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &[u8], headers: &[Header<'_>], expect: Result<(u32, &[u8]), (Reason, &str)>) {
        match (read(value, headers), expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect),
            (Err(found), Err((reason, part))) => {
                assert_eq!(found.reason, reason, "{found}");
                assert!(found.message.contains(part), "{found}");
            }
            (found, expect) => panic!("{value:?}: {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn an_id_in_front_is_read_and_written() {
        let mut framed = Vec::new();
        write_header(0x0102_0304, &mut framed);
        assert_eq!(framed.len(), HEADER_LEN);
        framed.push(9);
        check(&framed, &[], Ok((0x0102_0304, &[9])));
        check(&[0, 255, 255, 255, 255], &[], Ok((u32::MAX, &[])));
    }

    #[test]
    fn an_id_in_a_header_leaves_the_value_whole() {
        let headers = [
            (VALUE_HEADER, Some(&[0u8, 0, 0, 0, 8][..])),
            (VALUE_HEADER, Some(&[0, 0, 0, 0, 7][..])),
        ];
        check(&[0, 1, 2, 3, 4, 5], &headers, Ok((7, &[0, 1, 2, 3, 4, 5])));
        check(&[], &headers, Ok((7, &[])));
        // The key's header says nothing about the value.
        let key = [(KEY_HEADER, Some(&[0u8, 0, 0, 0, 7][..]))];
        check(&[0, 0, 0, 0, 1, 2], &key, Ok((1, &[2])));
        assert_eq!(read_key(&[2], &key), Ok((7, &[2][..])));
    }

    #[test]
    fn guids_are_refused_by_name() {
        let guid = [
            0x01, 0x89, 0x79, 0x17, 0x62, 0x23, 0x36, 0x41, 0x86, 0x96, 0x74, 0x29, 0x9b, 0x90,
            0xa8, 0x02, 0xe2,
        ];
        let text = "89791762-2336-4186-9674-299b90a802e2";
        check(&guid, &[], Err((Reason::UnsupportedFraming, text)));
        let headers = [(VALUE_HEADER, Some(&guid[..]))];
        check(
            &[0, 0, 0, 0, 1],
            &headers,
            Err((Reason::UnsupportedFraming, text)),
        );
        for header in [
            Some(&[0u8, 0, 0, 1][..]),
            Some(&[2; 5][..]),
            Some(&[][..]),
            None,
        ] {
            let headers = [(VALUE_HEADER, header)];
            check(
                &[0, 0, 0, 0, 1],
                &headers,
                Err((Reason::UnsupportedFraming, "neither")),
            );
        }
    }

    #[test]
    fn what_is_not_framed_is_told_by_its_looks() {
        check(b"", &[], Err((Reason::Unframed, "an empty value")));
        check(
            &[0, 0, 1],
            &[],
            Err((Reason::Unframed, "only 3 of the 5 bytes")),
        );
        check(
            b" {\"a\":1}",
            &[],
            Err((Reason::UnframedJson, "looks like JSON: begins with {")),
        );
        check(
            b"{\"a\":",
            &[],
            Err((Reason::Unframed, "looks like JSON: begins with {")),
        );
        check(b"<a/>", &[], Err((Reason::Unframed, "XML")));
        check(b"Obj\x01xxx", &[], Err((Reason::Unframed, "data file")));
        check(
            &[0xC3, 0x01, 5],
            &[],
            Err((Reason::Unframed, "single-object")),
        );
        check(b"secret text", &[], Err((Reason::Unframed, "plain text")));
        check(&[1, 2, 3], &[], Err((Reason::Unframed, "first byte 0x01")));
        let error = read(b"secret text", &[]).expect_err("refused").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
