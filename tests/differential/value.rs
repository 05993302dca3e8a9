//! Values and their bytes: a writer of our own, so that a fault in the encoder under test cannot hide itself.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::SmallRng;

use super::types::{Id, Kind, Schema};

/// A value. Floats are their bits and strings their bytes, so that equal means equal to the last bit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Int(i32),
    Long(i64),
    Float(u32),
    Double(u64),
    Bytes(Vec<u8>),
    String(Vec<u8>),
    Fixed(Vec<u8>),
    Enum(usize),
    Array(Vec<Value>),
    Map(Vec<(Vec<u8>, Value)>),
    Record(Vec<Value>),
    Union(usize, Box<Value>),
}

/// What stands at a place in the bytes, for corruption that knows where to strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Int,
    Long,
    Boolean,
    Text,
    Length,
    Count,
    BlockSize,
    Enum,
    Union,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub at: usize,
    pub len: usize,
    pub place: Place,
}

#[derive(Default)]
pub(crate) struct Encoded {
    pub bytes: Vec<u8>,
    pub sites: Vec<Site>,
}

/// The bytes in the one layout that has a single block.
pub(crate) fn plain(value: &Value) -> Vec<u8> {
    let mut encoded = Encoded::default();
    encoded.value(value, None);
    encoded.bytes
}

/// The bytes in a random layout of blocks, and what stands where.
pub(crate) fn laid_out(value: &Value, rng: &mut SmallRng) -> Encoded {
    let mut encoded = Encoded::default();
    encoded.value(value, Some(rng));
    encoded
}

pub(crate) fn varint(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}

fn small(number: usize) -> i64 {
    i64::try_from(number).expect("generated sizes are small")
}

impl Encoded {
    fn site(&mut self, place: Place, bytes: &[u8]) {
        self.sites.push(Site {
            at: self.bytes.len(),
            len: bytes.len(),
            place,
        });
        self.bytes.extend_from_slice(bytes);
    }

    fn sized(&mut self, bytes: &[u8], place: Place) {
        self.site(Place::Length, &varint(small(bytes.len())));
        self.site(place, bytes);
    }

    fn blocks<T>(
        &mut self,
        items: &[T],
        mut rng: Option<&mut SmallRng>,
        each: impl Fn(&mut Encoded, &T, Option<&mut SmallRng>),
    ) {
        let mut rest = items;
        while !rest.is_empty() {
            let (mut count, mut sized) = (rest.len(), false);
            if let Some(rng) = rng.as_deref_mut() {
                if rng.random_bool(0.4) {
                    count = rng.random_range(1..=rest.len());
                }
                sized = rng.random_bool(0.4);
            }
            let (block, after) = rest.split_at(count);
            rest = after;
            if !sized {
                self.site(Place::Count, &varint(small(count)));
                for item in block {
                    each(self, item, rng.as_deref_mut());
                }
                continue;
            }
            let mut inner = Encoded::default();
            for item in block {
                each(&mut inner, item, rng.as_deref_mut());
            }
            self.site(Place::Count, &varint(-small(count)));
            self.site(Place::BlockSize, &varint(small(inner.bytes.len())));
            let base = self.bytes.len();
            let moved = inner.sites.iter().map(|s| Site {
                at: s.at + base,
                ..*s
            });
            self.sites.extend(moved);
            self.bytes.extend_from_slice(&inner.bytes);
        }
        self.site(Place::Count, &[0]);
    }

    fn value(&mut self, value: &Value, mut rng: Option<&mut SmallRng>) {
        match value {
            Value::Null => {}
            Value::Boolean(on) => self.site(Place::Boolean, &[u8::from(*on)]),
            Value::Int(n) => self.site(Place::Int, &varint(i64::from(*n))),
            Value::Long(n) => self.site(Place::Long, &varint(*n)),
            Value::Float(bits) => self.bytes.extend_from_slice(&bits.to_le_bytes()),
            Value::Double(bits) => self.bytes.extend_from_slice(&bits.to_le_bytes()),
            Value::Bytes(bytes) => self.sized(bytes, Place::Long),
            Value::String(text) => self.sized(text, Place::Text),
            Value::Fixed(bytes) => self.bytes.extend_from_slice(bytes),
            Value::Enum(index) => self.site(Place::Enum, &varint(small(*index))),
            Value::Array(items) => self.blocks(items, rng, |out, item, rng| out.value(item, rng)),
            Value::Map(entries) => self.blocks(entries, rng, |out, (key, value), rng| {
                out.sized(key, Place::Text);
                out.value(value, rng);
            }),
            Value::Record(fields) => {
                for field in fields {
                    self.value(field, rng.as_deref_mut());
                }
            }
            Value::Union(branch, value) => {
                self.site(Place::Union, &varint(small(*branch)));
                self.value(value, rng);
            }
        }
    }
}

/// The value with its maps in the order of their keys, and of equal keys the last.
pub(crate) fn sorted(value: Value) -> Value {
    let all = |values: Vec<Value>| values.into_iter().map(sorted).collect();
    match value {
        Value::Array(items) => Value::Array(all(items)),
        Value::Record(fields) => Value::Record(all(fields)),
        Value::Union(branch, value) => Value::Union(branch, Box::new(sorted(*value))),
        Value::Map(entries) => {
            let unique: BTreeMap<_, _> = (entries.into_iter())
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            Value::Map(unique.into_iter().collect())
        }
        other => other,
    }
}

const TEXTS: [&str; 8] = [
    "",
    "a",
    "Shipped",
    "é",
    "日本語",
    "😀",
    "\u{0}",
    "\u{10ffff}z",
];

/// A random value of a node. Recursive types end at a depth.
pub(crate) fn value(schema: &Schema, id: Id, rng: &mut SmallRng, depth: usize) -> Value {
    let node = &schema.nodes[id];
    let length = |rng: &mut SmallRng| {
        if depth > 5 { 0 } else { rng.random_range(0..4) }
    };
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Boolean => Value::Boolean(rng.random()),
        Kind::Int => Value::Int(match rng.random_range(0..8) {
            0 => i32::MIN,
            1 => i32::MAX,
            2 => rng.random(),
            _ => rng.random_range(-130..130),
        }),
        Kind::Long => Value::Long(match rng.random_range(0..8) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => rng.random(),
            3 => (1 << 53) + 1,
            4 => 1_700_000_000_123,
            _ => rng.random_range(-130..130),
        }),
        Kind::Float => Value::Float(match rng.random_range(0..8) {
            0 => f32::NAN.to_bits(),
            1 => 0xffc0_1234,
            2 => 0x7f80_0001,
            3 => (-0.0f32).to_bits(),
            4 => f32::NEG_INFINITY.to_bits(),
            5 => 0.1f32.to_bits(),
            _ => rng.random(),
        }),
        Kind::Double => Value::Double(match rng.random_range(0..8) {
            0 => f64::NAN.to_bits(),
            1 => 0xfff8_0000_0000_1234,
            2 => 0x7ff0_0000_0000_0001,
            3 => (-0.0f64).to_bits(),
            4 => 0.1f64.to_bits(),
            _ => rng.random(),
        }),
        Kind::Bytes | Kind::Fixed(..) if node.logical.is_some_and(|l| l.word == "decimal") => {
            decimal(&node.kind, rng)
        }
        Kind::Bytes => {
            let length = rng.random_range(0..6);
            Value::Bytes((0..length).map(|_| rng.random_range(0..0x90)).collect())
        }
        Kind::String => Value::String(text(rng)),
        Kind::Fixed(_, size) => Value::Fixed((0..*size).map(|_| rng.random()).collect()),
        Kind::Enum(_, symbols, _) => Value::Enum(rng.random_range(0..symbols.len())),
        Kind::Array(item) => {
            let length = length(rng);
            Value::Array(
                (0..length)
                    .map(|_| value(schema, *item, rng, depth + 1))
                    .collect(),
            )
        }
        Kind::Map(part) => {
            let length = length(rng);
            let key = |i: usize, rng: &mut SmallRng| match rng.random_range(0..12) {
                0 => b"k0".to_vec(),
                1 => text(rng),
                _ => format!("k{i}").into_bytes(),
            };
            Value::Map(
                (0..length)
                    .map(|i| (key(i, rng), value(schema, *part, rng, depth + 1)))
                    .collect(),
            )
        }
        Kind::Union(branches) => {
            let null = (branches.iter()).position(|b| *schema.kind(*b) == Kind::Null);
            let branch = match null {
                Some(null) if depth > 5 => null,
                _ => rng.random_range(0..branches.len()),
            };
            let inner = value(schema, branches[branch], rng, depth + 1);
            Value::Union(branch, Box::new(inner))
        }
        Kind::Record(_, fields) => Value::Record(
            (fields.iter())
                .map(|f| value(schema, f.node, rng, depth + 1))
                .collect(),
        ),
    }
}

/// Mostly of few digits, in more bytes than needed; sometimes more digits than the precision has.
fn decimal(kind: &Kind, rng: &mut SmallRng) -> Value {
    let number: i64 = match rng.random_range(0..20) {
        0 => rng.random(),
        1 => 99_999,
        2 => -99_999,
        _ => rng.random_range(-5_000..5_000),
    };
    let wide = number.to_be_bytes();
    match kind {
        Kind::Fixed(_, size) => {
            let fill = wide[0] & 0x80 != 0;
            let mut bytes = vec![if fill { 0xff } else { 0 }; size.saturating_sub(8)];
            bytes.extend_from_slice(&wide[8 - size.min(&8)..]);
            Value::Fixed(bytes)
        }
        _ => Value::Bytes(wide[rng.random_range(0..5)..].to_vec()),
    }
}

fn text(rng: &mut SmallRng) -> Vec<u8> {
    match rng.random_range(0..20) {
        0 => "long ".repeat(rng.random_range(10..80)).into_bytes(),
        1 => (0..5)
            .map(|_| rng.random::<char>())
            .collect::<String>()
            .into_bytes(),
        n => TEXTS[n % TEXTS.len()].as_bytes().to_vec(),
    }
}
