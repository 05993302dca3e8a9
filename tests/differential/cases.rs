//! Cases from a seed: a pair of schemas, and data, much of it broken on purpose.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::evolve::{EVOLUTIONS, evolve};
use super::schemas::schema;
use super::types::{Kind, Schema};
use super::value::{Encoded, Place, laid_out, value, varint};

/// What is done to a datum.
pub(crate) const CORRUPTIONS: [&str; 15] = [
    "valid",
    "truncated",
    "bit flipped",
    "byte inserted",
    "byte removed",
    "trailing",
    "over-long number",
    "number too large",
    "boolean",
    "not UTF-8",
    "negative length",
    "huge length or count",
    "block size",
    "enum index",
    "union index",
];

/// Data in one pair.
pub(crate) const DATA: usize = 28;

pub(crate) struct Case {
    pub seed: u64,
    pub writer: Schema,
    pub reader: Schema,
    pub evolutions: Vec<&'static str>,
    pub data: Vec<(Vec<u8>, &'static str)>,
}

/// The case of a seed, always the same.
pub(crate) fn case(seed: u64) -> Case {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (writer, mut reader, first) = pair(&mut rng);
    let mut evolutions = vec![first];
    for _ in 0..[0, 0, 0, 1, 2][rng.random_range(0..5)] {
        let what = *EVOLUTIONS.choose(&mut rng).expect("not empty");
        if evolve(&mut reader, what, &mut rng) {
            evolutions.push(what);
        }
    }
    let mut data = Vec::new();
    while data.len() < DATA {
        let value = value(&writer, writer.root, &mut rng, 0);
        let encoded = laid_out(&value, &mut rng);
        // The same value once as it is, and twice broken.
        for _ in 0..3 {
            if let Some(broken) = corrupt(&encoded, &mut rng) {
                data.push(broken);
            }
        }
        data.push((encoded.bytes, "valid"));
    }
    data.truncate(DATA);
    Case {
        seed,
        writer,
        reader,
        evolutions,
        data,
    }
}

/// Two schemas and the change between them. The change comes first, so that those which few schemas can have are as
/// frequent as the others.
fn pair(rng: &mut SmallRng) -> (Schema, Schema, &'static str) {
    let what = match rng.random_range(0..20) {
        // Once for each type of the default, so to say.
        0 => "add with default",
        _ => *EVOLUTIONS.choose(rng).expect("not empty"),
    };
    loop {
        let writer = schema(rng);
        let mut reader = writer.clone();
        if writer.valid() && evolve(&mut reader, what, rng) {
            return (writer, reader, what);
        }
    }
}

fn corrupt(encoded: &Encoded, rng: &mut SmallRng) -> Option<(Vec<u8>, &'static str)> {
    let mut bytes = encoded.bytes.clone();
    let length = bytes.len();
    let what = *CORRUPTIONS[1..].choose(rng).expect("not empty");
    let mut replace =
        |places: &[Place], rng: &mut SmallRng, make: &dyn Fn(&[u8], &mut SmallRng) -> Vec<u8>| {
            let sites: Vec<_> = (encoded.sites.iter())
                .filter(|s| places.contains(&s.place) && s.len > 0)
                .collect();
            let site = *sites.choose(rng)?;
            let new = make(&encoded.bytes[site.at..site.at + site.len], rng);
            drop(bytes.splice(site.at..site.at + site.len, new));
            Some(())
        };
    use Place::{BlockSize, Boolean, Count, Enum, Int, Length, Long, Text, Union};
    let numbers = [Int, Long, Length, Count, BlockSize, Enum, Union];
    match what {
        "over-long number" => replace(&numbers, rng, &|old, rng| {
            let mut new = old.to_vec();
            let last = new.len() - 1;
            new[last] |= 0x80;
            let most = [5usize, 6, 10, 11][rng.random_range(0..4)];
            while new.len() + 1 < most && rng.random_bool(0.8) {
                new.push(0x80);
            }
            new.push(0);
            new
        })?,
        "number too large" => replace(&numbers, rng, &|old, rng| {
            let mut new = old.to_vec();
            let last = new.len() - 1;
            new[last] |= 0x80;
            let full = if rng.random_bool(0.6) { 5 } else { 10 };
            while new.len() + 1 < full {
                new.push(0x80);
            }
            // Bits that a careless reader shifts out, or keeps.
            new.push([0x10, 0x20, 0x70, 0x0f, 0x02, 0x7f][rng.random_range(0..6)]);
            new
        })?,
        "boolean" => replace(&[Boolean], rng, &|_, rng| vec![rng.random_range(2..=255)])?,
        "not UTF-8" => replace(&[Text], rng, &|old, rng| {
            let mut new = old.to_vec();
            let at = rng.random_range(0..new.len());
            new[at] = [0xff, 0xc0, 0x80, 0xed, 0xf5][rng.random_range(0..5)];
            new
        })?,
        "negative length" => {
            replace(&[Length], rng, &|_, rng| {
                varint([-1, i64::MIN, -64][rng.random_range(0..3)])
            })?;
        }
        "huge length or count" => replace(&[Length, Count], rng, &|_, rng| {
            let huge = [i64::MAX, 1 << 40, 2_000_000, 1 << 31, i64::MIN, -(1 << 40)];
            let mut new = varint(*huge.choose(rng).expect("not empty"));
            if rng.random_bool(0.5) {
                // Where the count became a negative one, the size that goes with it.
                new.push(0);
            }
            new
        })?,
        "block size" => {
            replace(&[BlockSize], rng, &|_, rng| {
                varint(rng.random_range(-2..40))
            })?;
        }
        "enum index" => {
            replace(&[Enum], rng, &|_, rng| {
                varint([-1, 1, 2, 3, 4, 5, 6, 1 << 20][rng.random_range(0..8)])
            })?;
        }
        "union index" => {
            replace(&[Union], rng, &|_, rng| {
                varint([-1, 4, 5, 1 << 20, 2][rng.random_range(0..5)])
            })?;
        }
        "trailing" => bytes.extend((0..rng.random_range(1..4)).map(|_| rng.random::<u8>())),
        _ if length == 0 => return None,
        "truncated" => bytes.truncate(rng.random_range(0..length)),
        "bit flipped" => bytes[rng.random_range(0..length)] ^= 1 << rng.random_range(0..8),
        "byte inserted" => bytes.insert(rng.random_range(0..=length), rng.random()),
        _ => drop(bytes.remove(rng.random_range(0..length))),
    }
    Some((bytes, what))
}

/// How often each thing occurred.
#[derive(Debug, Default)]
pub(crate) struct Coverage(pub BTreeMap<String, u64>);

impl Coverage {
    pub(crate) fn add(&mut self, what: impl Into<String>, count: usize) {
        *self.0.entry(what.into()).or_default() += count as u64;
    }

    pub(crate) fn merge(&mut self, other: Coverage) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub(crate) fn get(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Counts what a pair has in it, once a datum.
    pub(crate) fn pair(&mut self, case: &Case) {
        let mut found: Vec<String> = Vec::new();
        for (side, schema) in [("writer", &case.writer), ("reader", &case.reader)] {
            features(side, schema, &mut found);
        }
        let old: Vec<_> = field_names(&case.writer);
        for id in case.reader.reached() {
            if let Kind::Record(_, fields) = case.reader.kind(id) {
                for field in fields
                    .iter()
                    .filter(|f| f.default.is_some() && !old.contains(&f.name))
                {
                    found.push(format!(
                        "default of {}",
                        case.reader.kind(field.node).word()
                    ));
                }
            }
        }
        found.extend(case.evolutions.iter().map(|e| format!("evolution: {e}")));
        found.sort_unstable();
        found.dedup();
        for what in found {
            self.add(what, case.data.len());
        }
        for (_, what) in &case.data {
            self.add(format!("datum: {what}"), 1);
        }
    }
}

fn field_names(schema: &Schema) -> Vec<String> {
    let fields = |id| match schema.kind(id) {
        Kind::Record(_, fields) => fields.iter().map(|f| f.name.clone()).collect(),
        _ => Vec::new(),
    };
    schema.reached().into_iter().flat_map(fields).collect()
}

fn features(side: &str, schema: &Schema, found: &mut Vec<String>) {
    for (place, id) in schema.reached().into_iter().enumerate() {
        let node = &schema.nodes[id];
        let word = node.kind.word();
        found.push(format!("type {word}"));
        if let Some(logical) = node.logical {
            found.push(format!("logical {} on {word}", logical.word));
        }
        if side == "reader" {
            if node.kind.name().is_some_and(|n| !n.aliases.is_empty()) {
                found.push(format!("alias of a {word}"));
            }
            if let Kind::Record(_, fields) = &node.kind
                && fields.iter().any(|f| !f.aliases.is_empty())
            {
                found.push("alias of a field".into());
            }
        }
        if node.kind.name().is_some_and(|n| !n.space().is_empty()) {
            found.push("namespace".into());
        }
        let Kind::Union(branches) = &node.kind else {
            if let Kind::Record(_, fields) = &node.kind
                && fields.iter().any(|f| reaches(schema, f.node, id, 0))
            {
                found.push("recursive record".into());
            }
            continue;
        };
        let is = |b: &usize, word: &str| schema.kind(*b).word() == word;
        let count = |word: &str| branches.iter().filter(|b| is(b, word)).count();
        let form = match branches.as_slice() {
            [_] => "one branch",
            [a, _] if is(a, "null") => "null first",
            [_, b] if is(b, "null") => "null last",
            _ if count("record") > 1 => "several records",
            _ if count("string") + count("bytes") > 1 => "string and bytes",
            _ if branches
                .iter()
                .all(|b| ["int", "long", "float", "double"].contains(&schema.kind(*b).word())) =>
            {
                "numbers"
            }
            _ => "wide",
        };
        found.push(format!("union: {form}, {side}"));
        if place == 0 {
            found.push(format!("union as the {side}'s root"));
        }
    }
}

fn reaches(schema: &Schema, from: usize, to: usize, depth: usize) -> bool {
    from == to
        || depth < 4
            && schema
                .kind(from)
                .parts()
                .into_iter()
                .any(|p| reaches(schema, p, to, depth + 1))
}

/// What must have occurred, and how often at least.
pub(crate) fn wanted() -> Vec<String> {
    let mut wanted: Vec<String> = Vec::new();
    let types = [
        "null", "boolean", "int", "long", "float", "double", "bytes", "string", "array", "map",
        "union", "record", "enum", "fixed",
    ];
    wanted.extend(types.iter().map(|t| format!("type {t}")));
    wanted.extend(types.iter().map(|t| format!("default of {t}")));
    wanted.extend(
        super::schemas::LOGICAL
            .iter()
            .map(|(base, word)| format!("logical {word} on {base}")),
    );
    for side in ["writer", "reader"] {
        let forms = [
            "one branch",
            "null first",
            "null last",
            "several records",
            "string and bytes",
            "numbers",
            "wide",
        ];
        wanted.extend(forms.iter().map(|form| format!("union: {form}, {side}")));
        wanted.push(format!("union as the {side}'s root"));
    }
    wanted.extend(["record", "enum", "fixed", "field"].map(|kind| format!("alias of a {kind}")));
    wanted.extend(["namespace", "recursive record"].map(String::from));
    wanted.extend(EVOLUTIONS.iter().map(|e| format!("evolution: {e}")));
    wanted.extend(CORRUPTIONS.iter().map(|c| format!("datum: {c}")));
    wanted
}
