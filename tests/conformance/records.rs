//! Random records, by a seed.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::data::{Data, Shape};

/// The fields of the random records: those of each type, nested ones by their path.
pub(crate) fn record_shape(rng: &mut StdRng) -> Shape {
    let list = |inner| Shape::List(Box::new(inner));
    let map = |inner| Shape::Map(Box::new(inner));
    let nullable = |inner| Shape::Nullable(Box::new(inner));
    let named = |name: &str, shape| (name.to_owned(), shape);
    let item = Shape::Record(vec![
        named("n", Shape::Int),
        named("s", Shape::Text),
        named("d", Shape::Double),
    ]);
    let deep = Shape::Record(vec![named("p", Shape::Bool), named("i", Shape::Int)]);
    let mut inner = vec![
        named("i", Shape::Int),
        named("s", Shape::Text),
        named("d", Shape::Double),
        named("l", list(Shape::Int)),
        named("m", map(Shape::Text)),
        named("deep", deep),
    ];
    inner.shuffle(rng);
    let mut fields = vec![
        named("i", Shape::Int),
        named("j", Shape::Int),
        named("d", Shape::Double),
        named("e", Shape::Double),
        named("s", Shape::Text),
        named("t", Shape::Text),
        named("b", Shape::Bytes),
        named("c", Shape::Bytes),
        named("p", Shape::Bool),
        named("q", Shape::Bool),
        named("at", Shape::Timestamp { nanos: false }),
        named("bt", Shape::Timestamp { nanos: true }),
        named("li", list(Shape::Int)),
        named("ld", list(Shape::Double)),
        named("ls", list(Shape::Text)),
        named("ll", list(list(Shape::Int))),
        named("items", list(item)),
        named("mi", map(Shape::Int)),
        named("ms", map(Shape::Text)),
        named("r", Shape::Record(inner)),
        named("ni", nullable(Shape::Int)),
        named("ns", nullable(Shape::Text)),
    ];
    fields.shuffle(rng);
    Shape::Record(fields)
}

const TEXTS: [&str; 14] = [
    "",
    "a",
    "b",
    "ab",
    "abc",
    "ABC",
    "x y",
    "ä",
    "日本",
    "😀",
    "1",
    "-17",
    "2.5",
    "2026-02-28T12:00:00Z",
];
pub(crate) const KEYS: [&str; 4] = ["a", "b", "k", ""];
const INTS: [i64; 12] = [
    0,
    1,
    2,
    3,
    5,
    7,
    -1,
    -2,
    100,
    i64::MAX,
    i64::MIN,
    4_294_967_296,
];
const DOUBLES: [f64; 12] = [
    0.0,
    -0.0,
    1.0,
    0.5,
    -2.5,
    3.0,
    1e300,
    -1e-300,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    9_007_199_254_740_993.0,
];
const BYTES: [&[u8]; 6] = [b"", b"a", b"ab", b"\x00", b"\xff", "ä".as_bytes()];

/// A random text.
pub(crate) fn text(rng: &mut StdRng) -> String {
    match rng.random_range(0..4) {
        0 => (0..rng.random_range(0..6))
            .map(|_| {
                *['a', 'b', 'B', ' ', 'ß', '1', '\u{301}']
                    .choose(rng)
                    .expect("some")
            })
            .collect(),
        _ => (*TEXTS.choose(rng).expect("some")).to_owned(),
    }
}

/// A random value of a shape.
pub(crate) fn value(rng: &mut StdRng, shape: &Shape) -> Data {
    match shape {
        Shape::Null => Data::Null,
        Shape::Bool => Data::Bool(rng.random()),
        Shape::Int => Data::Int(match rng.random_range(0..4) {
            0 => rng.random_range(-20..20),
            1 if rng.random_bool(0.3) => rng.random(),
            _ => *INTS.choose(rng).expect("some"),
        }),
        Shape::Double => Data::Double(match rng.random_range(0..4) {
            0 => f64::from(rng.random_range(-40..40)) / 4.0,
            _ => *DOUBLES.choose(rng).expect("some"),
        }),
        Shape::Text => Data::Text(text(rng)),
        Shape::Bytes => Data::Bytes(BYTES.choose(rng).expect("some").to_vec()),
        Shape::Timestamp { nanos } => {
            let seconds = match rng.random_range(0..5) {
                0 => 0,
                1 => -1,
                // Inside of what nanoseconds since the epoch can say, and of the years for which the other side knows the
                // changes of a zone.
                _ => rng.random_range(-9_000_000_000_i64..4_000_000_000),
            };
            let unit = if *nanos { 1 } else { 1000 };
            Data::Timestamp(seconds, rng.random_range(0..1_000_000_000 / unit) * unit)
        }
        Shape::List(inner) => {
            let count = rng.random_range(0..4);
            Data::List((0..count).map(|_| value(rng, inner)).collect())
        }
        Shape::Map(inner) => {
            let keys = KEYS.iter().filter(|_| rng.random_bool(0.5));
            let keys: Vec<&str> = keys.copied().collect();
            let entries = keys
                .iter()
                .map(|key| (Data::Text((*key).to_owned()), value(rng, inner)));
            Data::Map(entries.collect())
        }
        Shape::Record(fields) => {
            let values = fields
                .iter()
                .map(|(name, shape)| (name.clone(), value(rng, shape)));
            Data::Record(values.collect())
        }
        Shape::Nullable(inner) => match rng.random_bool(0.4) {
            true => Data::Null,
            false => value(rng, inner),
        },
    }
}
