//! Records of many flat fields, for what a large contract costs: schemas, rules and bytes from a number of fields, and what
//! must come out, written by hand. Knows nothing of the engine.

use std::fmt::Write as _;

/// The types of fields, in turns.
const TYPES: [&str; 5] = [
    r#""string""#,
    r#""long""#,
    r#""double""#,
    r#""boolean""#,
    r#"["null","string"]"#,
];

/// What each record of the sink ends with: a field that the contract adds.
const ADDED: &str = "new";

/// The schema that they are written with; with `added`, the contract's and the sink's, which has one field more.
pub fn schema(fields: usize, added: bool) -> String {
    let mut text = String::from(r#"{"type":"record","name":"Wide","namespace":"bench","fields":["#);
    for field in 0..fields {
        let comma = if field > 0 { "," } else { "" };
        let of = TYPES[field % TYPES.len()];
        write!(text, r#"{comma}{{"name":"f{field:03}","type":{of}}}"#).expect("a String takes it");
    }
    if added {
        let field = format!(r#",{{"name":"added","type":"string","default":"{ADDED}"}}"#);
        text.push_str(&field);
    }
    text.push_str("]}");
    text
}

/// The value of a field, as it is written and as it must come out.
fn field(out: &mut Vec<u8>, number: u64, field: usize, is_output: bool) {
    let seed = number.wrapping_mul(31).wrapping_add(field as u64);
    match field % TYPES.len() {
        0 if field == 0 && is_output => text(out, &format!("VALUE-{number}")),
        0 => text(out, &format!("value-{number}")),
        1 => long(out, i64::try_from(seed % 1_000_000).unwrap_or(0) + 1),
        2 => out.extend_from_slice(&(seed as f64 / 8.0).to_le_bytes()),
        3 => out.push(u8::from(seed.is_multiple_of(2))),
        _ if seed.is_multiple_of(3) => out.push(0),
        _ => {
            out.push(2);
            text(out, "some text");
        }
    }
}

/// A record, framed with a schema's id: as it is written, or as it must come out at the sink.
pub fn value(number: u64, fields: usize, id: u32, is_output: bool) -> Vec<u8> {
    let mut out = vec![0];
    out.extend_from_slice(&id.to_be_bytes());
    for index in 0..fields {
        field(&mut out, number, index, is_output);
    }
    if is_output {
        text(&mut out, ADDED);
    }
    out
}

/// Four rules over it.
pub const RULES: &str = "rules:
  - { name: some-text, expr: \"size(f000) > 0\" }
  - { name: positive, expr: \"f001 > 0\" }
  - { name: also-positive, expr: \"f006 > 0\" }
  - { name: finite, expr: \"f002 >= 0.0\" }
";

fn long(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

fn text(out: &mut Vec<u8>, value: &str) {
    long(out, i64::try_from(value.len()).expect("small"));
    out.extend_from_slice(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::decode::{Limits, decode};
    use crate::contract::schema::Schema;

    #[test]
    fn records_are_of_their_schemas() {
        for (is_output, number) in [(false, 0), (true, 1), (true, 999)] {
            let schema = Schema::parse(&schema(200, is_output), &[]).expect("a schema");
            let bytes = value(number, 200, 7, is_output);
            decode(&schema, &bytes[5..], &Limits::default()).expect("a value of it");
        }
    }
}
