//! One record into a window. The bytes are those of a plan's view: valid, and read once from front to back.

use super::layout::{Content, Layout, Leaf, Step};
use super::shape;
use super::window::{FieldWindow, Window};
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::view::{self, Broken};

/// Counts a record, and looks at its values where `closely`. `time` is the record's, in milliseconds since the epoch. Returns
/// where it ends.
pub(super) fn record(
    layout: &Layout,
    schema: &Schema,
    bytes: &[u8],
    time: Option<i64>,
    closely: bool,
    window: &mut Window,
) -> Result<usize, Broken> {
    window.records += 1;
    window.looked += u64::from(closely);
    window.at(time);
    let mut at = 0;
    let mut next = 0;
    while let Some(step) = layout.steps.get(next) {
        next += 1;
        match *step {
            Step::Skip(node) => at = view::skip(schema, node, bytes, at)?,
            Step::Enter { node, steps } => {
                if let Some(start) = some(schema, node, bytes, at)? {
                    at = start;
                } else {
                    at = view::skip(schema, node, bytes, at)?;
                    next += steps;
                }
            }
            Step::Leaf { leaf, node } => {
                let (of, into) = (&layout.leaves[leaf], &mut window.fields[leaf]);
                at = field(of, schema, node, (bytes, at), time, closely, into)?;
            }
        }
    }
    Ok(at)
}

/// Where a value begins that may be null: behind the index of a union of null and one type. Nothing for null.
fn some(schema: &Schema, node: NodeId, bytes: &[u8], at: usize) -> Result<Option<usize>, Broken> {
    let Kind::Union(branches) = &schema.node(node).kind else {
        return Ok((schema.node(node).kind != Kind::Null).then_some(at));
    };
    let (branch, next) = view::index(bytes, at)?;
    let branch = *branches.get(branch).ok_or(Broken)?;
    Ok((schema.node(branch).kind != Kind::Null).then_some(next))
}

/// Counts a field, and returns where its value ends.
fn field(
    leaf: &Leaf,
    schema: &Schema,
    node: NodeId,
    (bytes, at): (&[u8], usize),
    time: Option<i64>,
    closely: bool,
    into: &mut FieldWindow,
) -> Result<usize, Broken> {
    into.count += 1;
    let Some(start) = some(schema, node, bytes, at)? else {
        into.nulls += 1;
        return view::skip(schema, node, bytes, at);
    };
    let end = match leaf.content {
        Content::Text => {
            let (text, end) = view::sized(bytes, start)?;
            match leaf.personal {
                true => into.choices[shape::class(text)] += 1,
                false if closely => look_at_text(text, into),
                false => {}
            }
            end
        }
        Content::Choice => {
            let (index, end) = choice(leaf, schema, (node, bytes), at, start)?;
            if !leaf.personal {
                let last = into.choices.len() - 1;
                into.choices[index.min(last)] += 1;
            }
            end
        }
        Content::Number | Content::Time { .. } => {
            let (number, end) = number(leaf, schema, bytes, start)?;
            if !leaf.personal {
                let age = age(leaf.content, number, time);
                into.min = into.min.min(number);
                into.max = into.max.max(number);
                into.sum += number;
                if closely && into.values.len() < into.values.capacity() && age.is_finite() {
                    into.values.push(age);
                    into.hashes.push(mix(number.to_bits()));
                }
            }
            end
        }
        Content::Size => {
            let end = view::skip(schema, node, bytes, at)?;
            if !leaf.personal && closely && into.values.len() < into.values.capacity() {
                into.values
                    .push(size(schema, leaf.inner, bytes, start)? as f64);
            }
            end
        }
    };
    if let Some(default) = &leaf.default {
        into.defaults += u64::from(bytes.get(at..end) == Some(default.as_slice()));
    }
    Ok(end)
}

fn look_at_text(text: &[u8], into: &mut FieldWindow) {
    if into.hashes.len() == into.hashes.capacity() {
        return;
    }
    let hash = hash(text);
    into.hashes.push(hash);
    into.tops.keep(hash, text);
    let letters = text.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    into.values.push(letters as f64);
    let mut room = [0; shape::LONGEST];
    let shape = shape::shape(text, &mut room);
    let of_shape = self::hash(shape);
    into.shapes.push(of_shape);
    into.shape_names.keep(of_shape, shape);
    into.parts[shape::parts(text)] += 1;
}

/// The index of a choice, and where the value ends.
fn choice(
    leaf: &Leaf,
    schema: &Schema,
    (node, bytes): (NodeId, &[u8]),
    at: usize,
    start: usize,
) -> Result<(usize, usize), Broken> {
    match &schema.node(leaf.inner).kind {
        Kind::Boolean => {
            let (byte, end) = view::fixed(bytes, start, 1)?;
            Ok((usize::from(byte[0] != 0), end))
        }
        Kind::Enum(_) => view::index(bytes, start),
        // A union of several types: which of them it is.
        _ => {
            let (branch, _) = view::index(bytes, at)?;
            Ok((branch, view::skip(schema, node, bytes, at)?))
        }
    }
}

/// A number, and where it ends.
fn number(leaf: &Leaf, schema: &Schema, bytes: &[u8], at: usize) -> Result<(f64, usize), Broken> {
    let wide = |digits: &[u8]| decimal(digits) / 10_f64.powi(leaf.scale);
    Ok(match &schema.node(leaf.inner).kind {
        Kind::Float => {
            let (four, end) = view::fixed(bytes, at, 4)?;
            let four = four.try_into().map_err(|_| Broken)?;
            (f64::from(f32::from_le_bytes(four)), end)
        }
        Kind::Double => {
            let (eight, end) = view::fixed(bytes, at, 8)?;
            (
                f64::from_le_bytes(eight.try_into().map_err(|_| Broken)?),
                end,
            )
        }
        Kind::Bytes => {
            let (digits, end) = view::sized(bytes, at)?;
            (wide(digits), end)
        }
        Kind::Fixed(named) => {
            let (digits, end) = view::fixed(bytes, at, named.size)?;
            (wide(digits), end)
        }
        _ => {
            let (number, end) = view::long(bytes, at)?;
            (number as f64, end)
        }
    })
}

/// A whole number in two's complement, the highest byte first.
fn decimal(digits: &[u8]) -> f64 {
    let negative = digits.first().is_some_and(|first| first & 0x80 != 0);
    let flip = if negative { 0xff } else { 0 };
    let fold = |sum: f64, byte: &u8| sum * 256.0 + f64::from(byte ^ flip);
    let whole = digits.iter().fold(0.0, fold);
    match negative {
        true => -whole - 1.0,
        false => whole,
    }
}

/// What is looked at of a number: of a time, how many seconds it lies before its record.
fn age(content: Content, number: f64, time: Option<i64>) -> f64 {
    let Content::Time { per_second } = content else {
        return number;
    };
    let Some(time) = time else { return f64::NAN };
    let seconds = match per_second {
        0 => number * 86_400.0,
        per_second => number / f64::from(per_second),
    };
    time as f64 / 1_000.0 - seconds
}

fn size(schema: &Schema, node: NodeId, bytes: &[u8], at: usize) -> Result<usize, Broken> {
    match schema.node(node).kind {
        Kind::Bytes => Ok(view::sized(bytes, at)?.0.len()),
        Kind::Array(_) | Kind::Map(_) => view::count(schema, node, bytes.get(at..).ok_or(Broken)?),
        _ => Ok(view::skip(schema, node, bytes, at)? - at),
    }
}

/// A hash for counting, the same on every machine.
#[inline]
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = PRIME ^ bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(fold(hash ^ u64::from_le_bytes(last)))
}

const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of a product: a difference in the highest bits reaches all others.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn fold(word: u64) -> u64 {
    let product = u128::from(word) * u128::from(PRIME);
    product as u64 ^ (product >> 64) as u64
}

fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_numbers() {
        for (digits, expect) in [
            (&[][..], 0.0),
            (&[0x7f], 127.0),
            (&[0xff], -1.0),
            (&[0x80], -128.0),
            (&[0x01, 0x00], 256.0),
            (&[0xfe, 0xff], -257.0),
            (&[0; 40], 0.0),
        ] {
            assert!((decimal(digits) - expect).abs() < 1e-9, "{digits:?}");
        }
    }

    #[test]
    fn other_texts_have_other_hashes() {
        let texts: Vec<String> = (0..20_000).map(|n| format!("order-{n}")).collect();
        let hashes: std::collections::HashSet<u64> =
            texts.iter().map(|text| hash(text.as_bytes())).collect();
        assert_eq!(hashes.len(), texts.len());
        assert_ne!(hash(b""), hash(b"\0"));
    }
}
