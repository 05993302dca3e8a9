//! For random pairs of schemas: our verdict against what resolution does, and the diff against the verdict.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use serde_json::{Value as Json, json};

use super::reading::{Site, issues};
use super::*;
use crate::contract::arbitrary::{ANY, Generator};
use crate::contract::resolve::Resolution;
use crate::contract::schema::Kind;

/// All types, fields and unions of a schema's JSON, to be changed in place.
fn places<'a>(json: &'a mut Json, visit: &mut dyn FnMut(&mut Json)) {
    match json {
        Json::Array(branches) => branches.iter_mut().for_each(|b| places(b, visit)),
        Json::Object(object) => {
            for key in ["items", "values"] {
                if let Some(inner) = object.get_mut(key) {
                    places(inner, visit);
                }
            }
            if let Some(Json::Array(fields)) = object.get_mut("fields") {
                for field in fields {
                    places(&mut field["type"], visit);
                }
            }
        }
        _ => {}
    }
    visit(json);
}

fn default_of(json: &Json) -> Option<Json> {
    let word = json.as_str().or_else(|| json["type"].as_str())?;
    Some(match word {
        "null" => Json::Null,
        "boolean" => json!(true),
        "int" | "long" => json!(7),
        "float" | "double" => json!(1.5),
        "string" | "bytes" if json.is_string() => json!("x"),
        "array" => json!([]),
        "map" => json!({}),
        _ => return None,
    })
}

const WORDS: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

fn mutate(json: &mut Json, rng: &mut StdRng, fresh: &mut u32) {
    *fresh += 1;
    let number = *fresh;
    let chosen = rng.random_range(0..18);
    let record = json["fields"].is_array();
    let named = json["name"].is_string();
    match chosen {
        0 | 1 => {
            let word = *WORDS.choose(rng).expect("words");
            if json.is_string() {
                *json = json!(word);
            }
        }
        2 if !json.is_array() => *json = json!(["null", json.take()]),
        3 => {
            if let Json::Array(branches) = json {
                branches.push(json!(WORDS.choose(rng).expect("words")));
            }
        }
        4 => {
            if let Json::Array(branches) = json {
                let at = rng.random_range(0..branches.len());
                if branches.len() > 1 {
                    branches.remove(at);
                } else {
                    *json = branches.remove(at);
                }
            }
        }
        5 => {
            if let Json::Array(branches) = json {
                branches.rotate_left(1);
            }
        }
        6 if record => {
            let mut field = json!({"name": format!("n{number}"), "type": WORDS.choose(rng)});
            if rng.random_bool(0.5) {
                field["default"] = default_of(&field["type"]).expect("a primitive has one");
            }
            let fields = json["fields"].as_array_mut().expect("a record");
            fields.insert(rng.random_range(0..=fields.len()), field);
        }
        7..=9 if record => {
            let fields = json["fields"].as_array_mut().expect("a record");
            if fields.is_empty() {
                return;
            }
            let at = rng.random_range(0..fields.len());
            match chosen {
                7 => drop(fields.remove(at)),
                8 => {
                    if rng.random_bool(0.6) {
                        fields[at]["aliases"] = json!([fields[at]["name"]]);
                    }
                    fields[at]["name"] = json!(format!("n{number}"));
                }
                _ => {
                    if let Some(default) = default_of(&fields[at]["type"]) {
                        fields[at]["default"] = default;
                    }
                }
            }
        }
        10 | 11 if named => {
            let name = json["name"].as_str().expect("named").to_owned();
            if rng.random_bool(0.6) {
                json["aliases"] = json!([name]);
            }
            let (space, last) = name.rsplit_once('.').unwrap_or(("", &name));
            json["name"] = match chosen {
                10 => json!(format!("moved.{last}")),
                _ => json!(format!("{space}.M{number}")),
            };
        }
        12 => {
            if let Some(Json::Array(symbols)) = json.get_mut("symbols") {
                if rng.random_bool(0.5) || symbols.len() < 2 {
                    symbols.insert(0, json!(format!("T{number}")));
                } else {
                    symbols.pop();
                }
                if rng.random_bool(0.3) {
                    json["default"] = json["symbols"][0].clone();
                }
            } else if json["size"].is_u64() && rng.random_bool(0.3) {
                json["size"] = json!(16);
            }
        }
        13..=17 if json["logicalType"].is_string() => {
            let words = [
                "timestamp-micros",
                "timestamp-millis",
                "date",
                "time-millis",
                "none",
            ];
            match rng.random_range(0..3) {
                0 => json["logicalType"] = json!(words.choose(rng)),
                1 => json["scale"] = json!(rng.random_range(0..5)),
                _ => json["precision"] = json!(rng.random_range(19..23)),
            }
        }
        _ => {}
    }
}

/// Changes the schema at one to four random places.
fn evolve(json: &mut Json, rng: &mut StdRng, fresh: &mut u32) {
    for _ in 0..rng.random_range(1..=4) {
        // Not every change applies everywhere.
        for _ in 0..8 {
            let mut count = 0;
            places(json, &mut |_| count += 1);
            let target = rng.random_range(0..count);
            let before = json.clone();
            let mut at = 0;
            places(json, &mut |place| {
                if at == target {
                    mutate(place, rng, fresh);
                }
                at += 1;
            });
            if *json != before {
                break;
            }
        }
    }
}

/// Whether the generator's values end: each circle of types goes through null, an array or a map.
fn ends(schema: &Schema) -> bool {
    fn visit(schema: &Schema, id: usize, open: &mut Vec<usize>) -> bool {
        if open.contains(&id) {
            return false;
        }
        open.push(id);
        let passes = match &schema.node(id).kind {
            Kind::Union(branches) if !schema.is_nullable(id) => {
                branches.iter().all(|b| visit(schema, *b, open))
            }
            Kind::Record(record) => record.fields.iter().all(|f| visit(schema, f.node, open)),
            _ => true,
        };
        open.pop();
        passes
    }
    (0..schema.nodes.len()).all(|id| visit(schema, id, &mut Vec::new()))
}

/// A schema, what became of it, and the generator of its values. None if a change made one invalid.
fn pair(seed: u64, change: u64) -> Option<(Schema, Schema, Generator)> {
    let mut generator = Generator::new(seed, ANY);
    let mut json: Json = serde_json::from_str(&generator.schema()).expect("JSON");
    let mut rng = StdRng::seed_from_u64(change);
    let mut fresh = 0;
    let parse = |json: &Json| Schema::parse(&json.to_string(), &[]).ok().filter(ends);
    // The old one too has defaults and aliases, which the generator knows nothing of.
    evolve(&mut json, &mut rng, &mut fresh);
    let old = parse(&json)?;
    evolve(&mut json, &mut rng, &mut fresh);
    Some((old, parse(&json)?, generator))
}

/// The schema as one sees it who looks at nothing but the bytes.
fn bare(schema: &Schema) -> Schema {
    let mut bare = schema.clone();
    for node in &mut bare.nodes {
        node.logical = None;
    }
    bare
}

/// Whether some value of many fails, or the pair does not compile. Half of the values are as the generator makes them,
/// and a pair that only rare values refute needs many.
fn refuted(writer: &Schema, reader: &Schema, generator: &mut Generator, tries: usize) -> bool {
    let Ok(resolution) = Resolution::compile(writer, reader) else {
        return true;
    };
    (0..tries).any(|_| {
        let value = generator.value(writer, writer.root, 0);
        resolution.apply(value).is_err()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// What we call compatible by specification and meaning, resolution takes, for every value.
    #[test]
    fn a_compatible_verdict_holds_for_every_value(seed: u64, change: u64) {
        let Some((old, new, mut generator)) = pair(seed, change) else { return Ok(()) };
        for (writer, reader) in [(&old, &new), (&new, &old)] {
            if issues(writer, reader).is_empty() {
                prop_assert!(!refuted(writer, reader, &mut generator, 20));
            }
        }
    }

    /// The specification's part alone, by schemas without logical types: bytes that are no text are the one thing that
    /// the specification promises and data can break.
    #[test]
    fn an_incompatible_verdict_has_a_value_or_a_refusal_that_shows_it(seed: u64, change: u64) {
        let Some((old, new, mut generator)) = pair(seed, change) else { return Ok(()) };
        let (old, new) = (bare(&old), bare(&new));
        for (writer, reader) in [(&old, &new), (&new, &old)] {
            let found = issues(writer, reader);
            let hard = found.iter().any(|issue| issue.site != Site::Text);
            if found.is_empty() {
                prop_assert!(!refuted(writer, reader, &mut generator, 20));
            } else if hard {
                prop_assert!(refuted(writer, reader, &mut generator, 4000), "{:?}", found);
            }
        }
    }

    /// The diff tells every failure, and nothing breaks that does not fail.
    #[test]
    fn the_diff_breaks_exactly_where_reading_fails(seed: u64, change: u64) {
        let Some((old, new, _)) = pair(seed, change) else { return Ok(()) };
        let changes = diff(&old, &new);
        for (direction, found) in [
            (Direction::Backward, issues(&old, &new)),
            (Direction::Forward, issues(&new, &old)),
        ] {
            prop_assert_eq!(changes.iter().any(|c| c.breaks(direction)), !found.is_empty());
        }
        let unchanged = old.fingerprint() == new.fingerprint();
        prop_assert!(unchanged || !changes.is_empty());
        prop_assert!(diff(&new, &new).is_empty());
    }
}

/// The random pairs are of all sorts: a property over pairs that never break would say nothing.
#[test]
fn random_pairs_are_of_all_sorts() {
    let (mut compatible, mut broken, mut kinds) = (0, 0, std::collections::BTreeMap::new());
    let (mut owned, mut unresolved) = (0, 0);
    for seed in 0..3000 {
        let Some((old, new, _)) = pair(seed, seed * 7 + 1) else {
            continue;
        };
        for change in diff(&old, &new) {
            *kinds.entry(format!("{:?}", change.kind)).or_insert(0) += 1;
            match change.kind {
                ChangeKind::Unresolved => unresolved += change.breaks.len(),
                _ => owned += change.breaks.len(),
            }
        }
        match issues(&old, &new).is_empty() {
            true => compatible += 1,
            false => broken += 1,
        }
    }
    assert!(compatible > 300 && broken > 300, "{compatible} {broken}");
    assert!(kinds.len() >= 25, "{} kinds: {kinds:?}", kinds.len());
    assert!(
        unresolved * 50 < owned,
        "{unresolved} of {owned}: {kinds:?}"
    );
}
