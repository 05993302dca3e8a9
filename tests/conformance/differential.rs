//! Random well-typed expressions on random records: our value is that of the `cel` crate's interpreter, or both are errors.
//! Under Confluent's profile the texts are the same; under ours, where `&&` and `||` go in order, the other side gets
//! them as conditionals. What the crate does differently from CEL is listed, and the list is held to be so.
//!
//! A failure prints its seed; `DRIFTGATE_TEST_SEED=… cargo test --test conformance` runs that one alone.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bumpalo::Bump;
use cel::Env;
use driftgate::expr::scope::Profile;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::data::{Data, Shape};
use super::engine::{Outcome, Subject};
use super::maker::Maker;
use super::oracle::{self, Oracle};
use super::part::{Part, Style, Ty, What};
use super::records::{record_shape, value};

/// Each seed makes a type of record, and this many expressions over it, …
const EXPRESSIONS: usize = 25;
/// … each evaluated on this many records, under both profiles.
const RECORDS: usize = 5;
const SEEDS: u64 = 450;

/// What both sides came to: `Err` is an error of evaluation.
type Both = (Result<Data, String>, Result<Data, String>);

/// Something that the `cel` crate does otherwise than CEL, or than we may.
struct Known {
    why: &'static str,
    /// An expression over nothing that shows it.
    witness: &'static str,
    /// Whether a difference is that one.
    is: fn(&Part, &Both) -> bool,
}

const KNOWN: [Known; 5] = [
    Known {
        why: "a NaN compared by order is an error there; CEL says false, as IEEE 754 does",
        witness: "0.0 / 0.0 < 1.0",
        is: |_, (ours, theirs)| {
            let order = ["'_<_'", "'_<=_'", "'_>_'", "'_>=_'"];
            let theirs = theirs.as_ref().err();
            let theirs = theirs.filter(|error| error.contains("no matching overload"));
            ours.is_ok()
                && theirs.is_some_and(|error| order.iter().any(|sign| error.contains(sign)))
        },
    },
    Known {
        why: "an integer and a double are compared as doubles there; CEL compares the numbers",
        witness: "9007199254740993 == 9007199254740992.0",
        is: |part, both| {
            let orders = ["<", "<=", ">", ">=", "==", "!="];
            let is = |part: &Part| {
                matches!(part.what, What::Infix(sign) if orders.contains(&sign))
                    && part.args[0].ty != part.args[1].ty
            };
            matches!(both, (Ok(_), Ok(_))) && part.any(&is)
        },
    },
    Known {
        why: "parts of a timestamp are those at the offset that it was written with there; CEL says UTC",
        witness: "timestamp('2024-02-29T23:30:00+02:00').getHours()",
        is: |part, _| {
            let offset =
                |part: &Part| matches!(&part.what, What::Atom(text) if text.contains("+02:00"));
            let parts = |part: &Part| {
                matches!(part.what, What::Method(name) if name.starts_with("get"))
                    && part.any(&offset)
            };
            part.any(&parts)
        },
    },
    Known {
        why: "`getMilliseconds()` of a duration is all of it there; a conformance case says the part below a second",
        witness: "duration('1.5s').getMilliseconds()",
        is: |part, _| {
            let is = |part: &Part| {
                part.what == What::Method("getMilliseconds") && part.args[0].ty == Ty::Duration
            };
            part.any(&is)
        },
    },
    Known {
        why: "`string(double)` is written otherwise there: infinities without a sign, large numbers without an exponent",
        witness: "string(1e300)",
        is: |part, _| {
            let is =
                |part: &Part| part.what == What::Call("string") && part.args[0].ty == Ty::Double;
            part.any(&is)
        },
    },
];

/// What the checker refuses of what CEL would only find when it is evaluated, or never.
const REFUSED: [&str; 1] = ["the first element is that at 0"];

fn excused(part: &Part, both: &Both, profile: Profile) -> bool {
    // Ours stop at the first element that is an error; CEL's go on to find one that decides.
    let in_order = |part: &Part| matches!(part.what, What::Macro("all" | "exists", _));
    let stopped = profile == Profile::Checked && matches!(both, (Err(_), Ok(_)));
    (stopped && part.any(&in_order)) || KNOWN.iter().any(|known| (known.is)(part, both))
}

fn style(profile: Profile) -> Style {
    Style {
        before: match profile {
            Profile::Checked => "",
            Profile::Confluent => "message.",
        },
        ..Style::default()
    }
}

/// The two sides of a comparison.
struct Sides<'s> {
    env: &'s Arc<Env>,
    subject: &'s mut Subject,
    shape: &'s Shape,
    profile: Profile,
    mistake: Option<(&'static str, &'static str)>,
}

impl Sides<'_> {
    /// What is different on one of the records, if anything is.
    fn differ(&mut self, part: &Part, records: &[Data]) -> Option<String> {
        let text = part.print(style(self.profile));
        let theirs = part.print(Style {
            in_order: self.profile == Profile::Checked,
            mistake: self.mistake,
            ..style(self.profile)
        });
        let expr = match self.subject.compile(&text, self.profile) {
            Ok(expr) => expr,
            Err(faults) if REFUSED.iter().any(|part| faults.contains(part)) => return None,
            Err(faults) if faults.contains("there is no function") => return None,
            Err(faults) => return Some(format!("{text}\n    does not compile: {faults}")),
        };
        let theirs = match Oracle::new(self.env, &theirs) {
            Ok(theirs) => theirs,
            Err(error) => return Some(format!("{theirs}\n    does not parse: {error}")),
        };
        for record in records {
            self.subject.set(self.shape, record);
            let arena = Bump::new();
            let ours = match self.subject.evaluate(&expr, &arena) {
                Outcome::Value(value) => Ok(value),
                Outcome::Failed(error) | Outcome::Refused(error) => Err(error),
            };
            let variables = match (self.profile, record) {
                (Profile::Checked, Data::Record(fields)) => fields.clone(),
                _ => vec![("message".to_owned(), record.clone())],
            };
            let answer = theirs.evaluate(&variables);
            let same = match (&ours, &answer) {
                (Ok(ours), Ok(theirs)) => ours.is(theirs),
                (Err(_), Err(_)) => true,
                _ => false,
            };
            let both = (ours, answer);
            if !same && !excused(part, &both, self.profile) {
                let (ours, answer) = both;
                return Some(format!(
                    "{text}\n    ours: {ours:?}\n    theirs: {answer:?}\n    on {record:?}"
                ));
            }
        }
        None
    }

    /// The difference of the smallest expression that has one.
    fn smallest(&mut self, part: Part, records: &[Data], difference: String) -> String {
        let (mut part, mut difference) = (part, difference);
        'smaller: loop {
            for way in part.smaller() {
                if let Some(found) = self.differ(&way, records) {
                    (part, difference) = (way, found);
                    continue 'smaller;
                }
            }
            return difference;
        }
    }
}

/// All cases of a seed: how many, and the first difference.
fn run(
    env: &Arc<Env>,
    seed: u64,
    mistake: Option<(&'static str, &'static str)>,
) -> (usize, Option<String>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let shape = record_shape(&mut rng);
    let records: Vec<Data> = (0..RECORDS).map(|_| value(&mut rng, &shape)).collect();
    let mut subject = Subject::new(&shape, &records[0]);
    let mut cases = 0;
    for _ in 0..EXPRESSIONS {
        let depth = rng.random_range(1..=4);
        let part = Maker::new(&mut rng).any(depth);
        for profile in [Profile::Checked, Profile::Confluent] {
            let mut sides = Sides {
                env,
                subject: &mut subject,
                shape: &shape,
                profile,
                mistake,
            };
            if let Some(difference) = sides.differ(&part, &records) {
                let difference = match mistake {
                    None => sides.smallest(part, &records, difference),
                    Some(_) => difference,
                };
                return (
                    cases,
                    Some(format!("seed {seed}, {profile:?}: {difference}")),
                );
            }
            cases += RECORDS;
        }
    }
    (cases, None)
}

#[test]
fn random_expressions_are_what_another_interpreter_says() {
    let env = oracle::environment();
    let given = std::env::var("DRIFTGATE_TEST_SEED").ok();
    if let Some(seed) = given.and_then(|seed| seed.parse().ok()) {
        let (_, difference) = run(&env, seed, None);
        assert!(difference.is_none(), "{}", difference.unwrap_or_default());
        return;
    }
    let first = match std::env::var_os("DRIFTGATE_TEST_SOAK").is_some() {
        true => StdRng::from_os_rng().random_range(1_000_000..u64::MAX / 2),
        false => 1,
    };
    let (next, cases) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let mut found = Vec::new();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed) as u64;
            if nth >= SEEDS {
                return found;
            }
            let (count, difference) = run(&env, first + nth, None);
            cases.fetch_add(count, Ordering::Relaxed);
            found.extend(difference);
        }
    };
    let found: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        let found = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        found.flatten().collect()
    });
    let cases = cases.into_inner();
    assert!(
        found.is_empty(),
        "{} differences: {}",
        found.len(),
        found.join("\n")
    );
    assert!(cases >= 100_000, "{cases} cases were compared");
}

/// The comparison sees what it must: each mistake, made on one side, is found.
#[test]
fn deliberate_mistakes_are_found() {
    let env = oracle::environment();
    for mistake in [
        ("<", "<="),
        ("<=", "<"),
        (">", ">="),
        (">=", ">"),
        ("==", "!="),
        ("&&", "||"),
        ("||", "&&"),
        ("+", "-"),
        ("/", "*"),
        ("%", "/"),
        ("all", "exists"),
        ("exists", "all"),
        ("exists_one", "exists"),
        ("map", "filter"),
        ("startsWith", "endsWith"),
        ("contains", "startsWith"),
        ("indexOf", "lastIndexOf"),
        ("upperAscii", "lowerAscii"),
        ("getDate", "getDayOfMonth"),
        ("getMinutes", "getSeconds"),
        ("size", "int"),
    ] {
        let found = (1..400).find_map(|seed| run(&env, seed, Some(mistake)).1);
        assert!(found.is_some(), "nothing is seen of {mistake:?}");
    }
}

/// Each listed difference is one.
#[test]
fn the_differences_of_the_other_interpreter_are_still_there() {
    let env = oracle::environment();
    let empty = (Shape::Record(Vec::new()), Data::Record(Vec::new()));
    let subject = Subject::new(&empty.0, &empty.1);
    for known in KNOWN {
        let theirs = Oracle::new(&env, known.witness).expect("it parses");
        let theirs = theirs.evaluate(&[]);
        let arena = Bump::new();
        let ours = subject.compile(known.witness, Profile::Checked);
        let ours = ours.map(|expr| subject.evaluate(&expr, &arena));
        let same = match (&ours, &theirs) {
            (Ok(Outcome::Value(ours)), Ok(theirs)) => ours.is(theirs),
            (Ok(Outcome::Value(_)), Err(_)) | (_, Ok(_)) => false,
            _ => true,
        };
        assert!(
            !same,
            "{}: `{}` is {ours:?} for both",
            known.why, known.witness
        );
    }
}
