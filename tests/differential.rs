//! The contract engine against other readings of Avro: Java's `org.apache.avro` 1.12, a plain model of our own that says
//! where the two must differ, and apache-avro where that is right. Cases are random, of a seed that is printed:
//!
//! - `DRIFTGATE_TEST_SEED`: the seed of the first pair of schemas; the next pair has the next number.
//! - `DRIFTGATE_TEST_PAIRS`: how many pairs, of 28 data each.
//! - `DRIFTGATE_TEST_SOAK=1`: ten times as many, from a new seed each time.

#[path = "differential/cases.rs"]
mod cases;
#[path = "differential/difference.rs"]
mod difference;
#[path = "differential/evolve.rs"]
mod evolve;
#[path = "differential/java.rs"]
mod java;
#[path = "differential/judge.rs"]
mod judge;
#[path = "differential/model.rs"]
mod model;
#[path = "differential/mutants.rs"]
mod mutants;
#[path = "differential/schemas.rs"]
mod schemas;
#[path = "support/skip.rs"]
#[expect(
    unreachable_pub,
    reason = "other tests reach it through tests/support/mod.rs"
)]
mod skip;
#[path = "differential/subject.rs"]
mod subject;
#[path = "differential/texts.rs"]
mod texts;
#[path = "differential/types.rs"]
mod types;
#[path = "differential/value.rs"]
mod value;

use std::time::Instant;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use cases::{Coverage, DATA, case, wanted};
use difference::{Difference, Rules};
use java::{Answer, Oracle};
use judge::{Judge, report};
use model::Pair;
use mutants::MUTANTS;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use subject::{ENGINES, Refusal, engine};

/// Pairs of schemas in `make test`: 210,000 cases.
const PAIRS: u64 = 7_500;
const SEED: u64 = 20_261_121;
/// Each type, promotion, logical type, form of union, change and corruption stands in at least so many cases.
const LEAST: u64 = 1_000;
const BATCH: u64 = 50;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
    })
}

#[test]
fn every_case_is_read_as_java_reads_it_or_as_the_list_of_differences_says() {
    let soak = std::env::var_os("DRIFTGATE_TEST_SOAK").is_some();
    let seed = number("DRIFTGATE_TEST_SEED").unwrap_or(if soak {
        u64::from(SmallRng::from_os_rng().random::<u32>())
    } else {
        SEED
    });
    let whole = number("DRIFTGATE_TEST_PAIRS").is_none();
    let pairs = number("DRIFTGATE_TEST_PAIRS").unwrap_or(if soak { PAIRS * 10 } else { PAIRS });
    eprintln!("seed {seed}, {pairs} pairs of schemas");
    let began = Instant::now();
    let classes = java::prepare();
    let with_java = classes.is_some();
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .clamp(1, 4) as u64;
    let mut coverage = Coverage::default();
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let work: Vec<_> = (0..threads)
            .map(|nth| {
                let classes = classes.as_deref();
                scope.spawn(move || {
                    let mut oracle = classes.map(Oracle::start);
                    let mut judge = Judge::default();
                    let mut batch = nth * BATCH;
                    while batch < pairs && judge.failures.len() < 3 {
                        let cases: Vec<_> = (batch..(batch + BATCH).min(pairs))
                            .map(|i| case(seed.wrapping_add(i)))
                            .collect();
                        judge.batch(&cases, oracle.as_mut(), ENGINES);
                        batch += threads * BATCH;
                    }
                    if nth == 0 {
                        judge.batch(&judge::at_the_bounds(), oracle.as_mut(), ENGINES);
                    }
                    judge
                })
            })
            .collect();
        for judge in work {
            let judge = judge.join().expect("a judge");
            coverage.merge(judge.coverage);
            failures.extend(judge.failures);
        }
    });
    let text = report(&coverage);
    eprintln!("{text}\n{:?}", began.elapsed());
    assert!(
        failures.is_empty(),
        "{} faults:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
    if !whole {
        return;
    }
    let cases = coverage.get("cases");
    assert!(cases >= 200_000, "{cases} cases");
    assert!(
        coverage.get("refused by us") * 10 >= cases * 3,
        "too few refused:\n{text}"
    );
    let rare: Vec<_> = wanted()
        .into_iter()
        .filter(|what| coverage.get(what) < LEAST)
        .collect();
    assert!(
        rare.is_empty(),
        "less than {LEAST} times: {rare:#?}\n{text}"
    );
    if with_java {
        let missing: Vec<_> = (Difference::ALL.into_iter())
            .filter(|d| coverage.get(&format!("difference: {d:?}")) == 0)
            .collect();
        assert!(
            missing.is_empty(),
            "these differences never occur: {missing:?}\n{text}"
        );
    }
}

#[test]
fn ten_deliberate_bugs_are_each_caught() {
    for mutant @ (name, _) in MUTANTS {
        let mut judge = Judge::default();
        let mut at = 0;
        while judge.failures.is_empty() && at < 2_000 {
            judge.batch(&[case(SEED + at)], None, &[mutant]);
            at += 1;
        }
        assert!(
            !judge.failures.is_empty(),
            "{name} was not caught in {} cases",
            at * DATA as u64
        );
        eprintln!("{name}: caught in pair {at}");
    }
}

/// Without Java, and where apache-avro is right: data that is whole, in its own schema, without logical types.
#[test]
fn apache_avro_reads_what_is_valid_to_the_same_values() {
    let mut compared = 0;
    for seed in SEED..SEED + 1_500 {
        let case = case(seed);
        let text = case.writer.text();
        if text.contains("logicalType") {
            continue;
        }
        // It refuses some defaults that are fine: those that hold a record of a type that is still being defined.
        let Ok(theirs) = apache_avro::Schema::parse_str(&text) else {
            continue;
        };
        let ours = engine(&text, &text).expect("a schema reads itself");
        let model = Pair::compile(&case.writer, &case.writer, Rules::OURS);
        for (bytes, _) in case.data.iter().filter(|(_, what)| *what == "valid") {
            let read = GenericDatumReader::builder(&theirs)
                .build()
                .and_then(|reader| reader.read_value(&mut &bytes[..]))
                .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            let written = GenericDatumWriter::builder(&theirs)
                .build()
                .and_then(|writer| writer.write_value_to_vec(read))
                .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            // Their maps have neither an order nor equal keys.
            let by_key = |bytes: &[u8]| model.value(bytes).map(value::sorted);
            let resolved = ours(bytes).unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
            assert_eq!(by_key(&resolved), by_key(&written), "seed {seed}: {text}");
            compared += 1;
        }
    }
    assert!(compared > 3_000, "{compared} data");
}

#[test]
fn texts_are_schemas_to_us_and_to_java_as_listed() {
    let classes = java::prepare();
    let mut oracle = classes.as_deref().map(Oracle::start);
    let mut wrong = Vec::new();
    for (text, ours, java) in texts::TEXTS {
        let found = !matches!(engine(text, text), Err(Refusal::Schema));
        let mut their = *java;
        if let Some(oracle) = oracle.as_mut() {
            oracle.ask(&[(text, text, vec![&[]])]);
            their = !matches!(oracle.answer(), Answer::Refused(java::Kind::Schema, _));
        }
        if ours != java && !include_str!("../docs/avro.md").contains(&format!("| `{text}` |")) {
            wrong.push(format!("{text}: not in docs/avro.md"));
        }
        if (found, their) != (*ours, *java) {
            wrong.push(format!("{text}: ours {found}, java {their}"));
        }
    }
    assert!(wrong.is_empty(), "not as listed:\n{}", wrong.join("\n"));
}

#[test]
fn java_s_stack_ends_before_ours() {
    let Some(classes) = java::prepare() else {
        return;
    };
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let mut deep = vec![2; 200_000];
    deep.push(0);
    assert!(engine(list, list).expect("compiles")(&deep).is_err());
    let mut oracle = Oracle::start(&classes);
    oracle.ask(&[(list, list, vec![&deep, &[2, 0]])]);
    let first = oracle.answer();
    assert!(
        matches!(first, Answer::Refused(java::Kind::Stack, _)),
        "{first:?}"
    );
    assert_eq!(oracle.answer(), Answer::Read(vec![2, 0], 2), "it goes on");
}

#[test]
fn the_documented_differences_are_those_of_the_test() {
    let text = include_str!("../docs/avro.md");
    let (_, rest) = text
        .split_once("<!-- differences -->\n")
        .expect("the list's begin");
    let (found, _) = rest.split_once("<!-- end -->").expect("the list's end");
    let expect: String = (Difference::ALL.iter())
        .map(|d| format!("- **{}** {}\n", judge::title(*d), d.doc()))
        .collect();
    assert_eq!(
        found.trim(),
        expect.trim(),
        "docs/avro.md should list:\n{expect}"
    );
}
