//! The comparison. Ours must be the model with all our rules, Java the model with none of them, and where the two differ
//! a rule must be found that makes the difference.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::cases::{Case, Coverage};
use super::difference::{Difference, Rules};
use super::java::{Answer, Kind as AnswerKind, Oracle};
use super::model::{Pair, Refused};
use super::schemas::field;
use super::subject::{Engine, Refusal, Run};
use super::types::{Kind, Name, Node, Schema};

type Compiled = (&'static str, Result<Run, Refusal>);

#[derive(Default)]
pub(crate) struct Judge {
    pub coverage: Coverage,
    pub failures: Vec<String>,
}

/// The models of one pair, compiled when they are asked for.
struct Models<'c> {
    case: &'c Case,
    known: HashMap<Rules, Pair>,
}

impl Models<'_> {
    fn run(&mut self, rules: Rules, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let compile = || Pair::compile(&self.case.writer, &self.case.reader, rules);
        self.known.entry(rules).or_insert_with(compile).run(bytes)
    }

    /// The rules that, each on its own, change what one of the two does.
    fn reasons(&mut self, bytes: &[u8]) -> Vec<Difference> {
        let (ours, java) = (self.run(Rules::OURS, bytes), self.run(Rules::JAVA, bytes));
        let one: Vec<_> = (Difference::ALL.into_iter())
            .filter(|d| {
                self.run(Rules::OURS.without(*d), bytes) != ours
                    || self.run(Rules::JAVA.with(*d), bytes) != java
            })
            .collect();
        if !one.is_empty() {
            return one;
        }
        // Two reasons at once hide one another.
        for (i, a) in Difference::ALL.into_iter().enumerate() {
            for b in Difference::ALL.into_iter().skip(i + 1) {
                if self.run(Rules::OURS.without(a).without(b), bytes) != ours {
                    return vec![a, b];
                }
            }
        }
        Vec::new()
    }
}

impl Judge {
    /// Judges some cases; without an oracle, ours against the model alone.
    pub(crate) fn batch(
        &mut self,
        cases: &[Case],
        mut oracle: Option<&mut Oracle>,
        engines: &[Engine],
    ) {
        let texts: Vec<_> = cases
            .iter()
            .map(|c| (c.writer.text(), c.reader.text()))
            .collect();
        if let Some(oracle) = oracle.as_deref_mut() {
            let questions: Vec<_> = (cases.iter().zip(&texts))
                .map(|(case, (writer, reader))| {
                    let data = case
                        .data
                        .iter()
                        .map(|(bytes, _)| bytes.as_slice())
                        .collect();
                    (writer.as_str(), reader.as_str(), data)
                })
                .collect();
            oracle.ask(&questions);
        }
        let compiled = |(writer, reader): &(String, String)| -> Vec<Compiled> {
            (engines.iter())
                .map(|(name, compile)| (*name, compile(writer, reader)))
                .collect()
        };
        let runs: Vec<_> = texts.iter().map(compiled).collect();
        for ((case, engines), texts) in cases.iter().zip(&runs).zip(&texts) {
            self.coverage.pair(case);
            let mut faulty = false;
            let mut models = Models {
                case,
                known: HashMap::new(),
            };
            for (bytes, _) in &case.data {
                let java = oracle.as_deref_mut().map(Oracle::answer);
                if let Some(fault) = self.datum(&mut models, engines, bytes, java.as_ref())
                    && !std::mem::replace(&mut faulty, true)
                {
                    // One of a pair is enough to read.
                    self.failures.push(describe(case, texts, bytes, &fault));
                }
            }
        }
    }

    fn datum(
        &mut self,
        models: &mut Models<'_>,
        engines: &[Compiled],
        bytes: &[u8],
        java: Option<&Answer>,
    ) -> Option<String> {
        let resolved = |(_, run): &Compiled| match run {
            Ok(run) => run(bytes),
            Err(refusal) => Err(*refusal),
        };
        let all: Vec<_> = engines.iter().map(resolved).collect();
        let ours = &all[0];
        self.coverage.add("cases", 1);
        if let Err(refusal) = ours {
            self.coverage.add("refused by us", 1);
            self.coverage.add(format!("refused by us: {refusal:?}"), 1);
        }
        let strict = models.run(Rules::OURS, bytes);
        let lax = models.run(Rules::JAVA, bytes);
        let show = || {
            format!(
                "ours  {}\njava  {}\nmodel of ours {}\nmodel of java {}",
                shown(ours),
                match java {
                    Some(Answer::Read(bytes, consumed)) =>
                        format!("{} of {consumed} bytes", hex(bytes)),
                    Some(Answer::Refused(kind, why)) => format!("refused: {kind:?} {why}"),
                    None => "not asked".to_owned(),
                },
                shown(&strict),
                shown(&lax)
            )
        };
        for (engine, (name, _)) in all.iter().zip(engines) {
            if engine.as_ref().ok() != strict.as_ref().ok() {
                let found = shown(engine);
                return Some(format!(
                    "{name} is not what our rules say: {found}\n{}",
                    show()
                ));
            }
        }
        if let Some(java) = java {
            let read = match java {
                Answer::Read(resolved, consumed) => {
                    if *consumed < bytes.len() && strict.is_ok() {
                        return Some(format!("Java read {consumed} bytes only\n{}", show()));
                    }
                    Some(resolved)
                }
                Answer::Refused(kind, _) => {
                    self.coverage.add(format!("refused by Java: {kind:?}"), 1);
                    None
                }
            };
            // A fault of Java that no rule describes: known by its message.
            if matches!(java, Answer::Refused(AnswerKind::Unexpected, why) if why.contains("\"top\" is null"))
                && lax.is_ok()
                && models.case.writer.is_recursive()
            {
                self.coverage
                    .add(format!("difference: {:?}", Difference::SkippedRecursion), 1);
            } else if read != lax.as_ref().ok() {
                return Some(format!(
                    "Java is not what the list of differences says\n{}",
                    show()
                ));
            }
        }
        if strict == lax {
            self.coverage.add("agree", 1);
            return None;
        }
        let reasons = models.reasons(bytes);
        if reasons.is_empty() {
            return Some(format!("no rule makes this difference\n{}", show()));
        }
        for reason in reasons {
            self.coverage.add(format!("difference: {reason:?}"), 1);
        }
        None
    }
}

fn shown<E: std::fmt::Debug>(result: &Result<Vec<u8>, E>) -> String {
    match result {
        Ok(bytes) => hex(bytes),
        Err(refusal) => format!("refused: {refusal:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in bytes.iter().take(400) {
        write!(text, "{byte:02x}").expect("a String takes all");
    }
    text
}

fn describe(case: &Case, (writer, reader): &(String, String), bytes: &[u8], fault: &str) -> String {
    format!(
        "{fault}\nwriter {writer}\nreader {reader}\nchanges {:?}\nbytes {}\n\
         DRIFTGATE_TEST_SEED={} DRIFTGATE_TEST_PAIRS=1 make test TEST_ARGS='--test differential every_case'",
        case.evolutions,
        hex(bytes),
        case.seed
    )
}

/// The counters, a line each.
pub(crate) fn report(coverage: &Coverage) -> String {
    let mut text = String::new();
    for (what, count) in &coverage.0 {
        writeln!(text, "{count:>9}  {what}").expect("a String takes all");
    }
    text
}

/// `TrailingBytes` as `Trailing bytes.`
pub(crate) fn title(difference: Difference) -> String {
    let mut text = String::new();
    for c in format!("{difference:?}").chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push(' ');
            text.extend(c.to_lowercase());
        } else {
            text.push(c);
        }
    }
    text.replace("Utf8", "UTF-8") + "."
}

/// Data at our bounds, which chance does not find.
pub(crate) fn at_the_bounds() -> Vec<Case> {
    let node = |kind| Node {
        kind,
        logical: None,
    };
    let name = Name {
        full: "L".into(),
        aliases: Vec::new(),
    };
    let list = Schema {
        nodes: vec![
            node(Kind::Record(name, vec![field("next".into(), 2)])),
            node(Kind::Null),
            node(Kind::Union(vec![1, 0])),
        ],
        root: 0,
    };
    let nulls = Schema {
        nodes: vec![node(Kind::Array(1)), node(Kind::Null)],
        root: 0,
    };
    let deep = |levels: usize| {
        let mut bytes = vec![2; levels];
        bytes.push(0);
        (bytes, "valid")
    };
    let many = |count: i64| {
        let mut bytes = super::value::varint(count);
        bytes.push(0);
        (bytes, "valid")
    };
    let case = |schema: Schema, data| Case {
        seed: 0,
        reader: schema.clone(),
        writer: schema,
        evolutions: Vec::new(),
        data,
    };
    // A reader that lacks the field in which a record recurs, and a map inside that field.
    let record = |full: &str, fields| {
        let aliases = Vec::new();
        Kind::Record(
            Name {
                full: full.into(),
                aliases,
            },
            fields,
        )
    };
    let recursive = Schema {
        nodes: vec![
            node(record(
                "L",
                vec![field("gone".into(), 1), field("rest".into(), 4)],
            )),
            node(record("G", vec![field("up".into(), 2)])),
            node(Kind::Union(vec![3, 0])),
            node(Kind::Null),
            node(Kind::Map(0)),
        ],
        root: 0,
    };
    let mut without = recursive.clone();
    without.nodes[0].kind = record("L", vec![field("rest".into(), 4)]);
    let skipped = Case {
        reader: without,
        ..case(
            recursive,
            vec![(vec![2, 0, 2, 2, b'k', 0, 0, 0, 0], "valid")],
        )
    };
    vec![
        skipped,
        case(
            list,
            vec![deep(10), deep(63), deep(64), deep(65), deep(300)],
        ),
        case(
            nulls,
            vec![
                many(0),
                many(1_000_000),
                many(1_000_001),
                many(1_100_000),
                many(1_100_001),
            ],
        ),
    ]
}
