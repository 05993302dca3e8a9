//! Expressions held against CEL: the conformance cases of its specification, and the interpreter of the `cel` crate on
//! random expressions. docs/expressions.md counts the cases; this test holds it to what runs.

mod apart;
mod cases;
mod data;
mod differential;
mod engine;
mod maker;
mod operations;
mod oracle;
mod part;
mod records;
mod text;

#[path = "../support/skip.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "other tests reach it through tests/support/mod.rs"
)]
mod skip;

use std::fmt::Write;
use std::path::Path;

use apart::{Reason, assign, reasons};
use bumpalo::Bump;
use cases::{Case, Expect};
use data::{Data, Shape};
use driftgate::expr::scope::Profile;
use engine::{Outcome, Subject};

/// Parts of what is said of something that is not there at all. That such a case "is an error" says nothing of it.
const NOT_THERE: [&str; 8] = [
    "there is no function",
    "there is no variable",
    "R1 has no field",
    "an expression makes no records",
    "Avro has no unsigned numbers",
    "unsupported syntax",
    "no field is",
    "a field's name has no namespace",
];

/// Cases that are about a name that is not there.
const ABOUT_UNKNOWN: [&str; 2] = [
    "basic/variables/self_eval_unbound_lookup",
    "basic/functions/unbound",
];

/// What a case came to.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    /// Evaluated, and the value or the error is the expected one.
    Right,
    /// An error was expected, and the expression does not compile, for a reason of its own.
    RightAtCheck,
    /// Something else came out.
    Wrong(String),
}

/// Runs a case: its bindings are the fields of a record, or variables in Confluent's profile.
fn run(case: &Case, profile: Profile) -> Outcome {
    let mut fields = Vec::new();
    let mut values = Vec::new();
    for (name, shape, value) in &case.bindings {
        let shape = match (shape, Shape::of(value)) {
            (Some(shape), Ok(_)) => shape.clone(),
            (None, Ok(shape)) => shape,
            (_, Err(what)) => return Outcome::Refused(format!("no field is {what}")),
        };
        if name.contains('.') || !case.container.is_empty() {
            return Outcome::Refused("a field's name has no namespace".to_owned());
        }
        fields.push((name.clone(), shape));
        values.push((name.clone(), value.clone()));
    }
    let subject = Subject::new(&Shape::Record(fields), &Data::Record(values));
    let arena = Bump::new();
    match subject.compile(&case.expr, profile) {
        Ok(expr) => subject.evaluate(&expr, &arena),
        Err(faults) => Outcome::Refused(faults),
    }
}

fn judge(case: &Case, outcome: Outcome) -> Verdict {
    match (&case.expect, outcome) {
        (Expect::Error, Outcome::Failed(_)) => Verdict::Right,
        (Expect::Error, Outcome::Refused(faults)) => {
            let missing = NOT_THERE.iter().any(|part| faults.contains(part));
            match missing && !ABOUT_UNKNOWN.contains(&case.name.as_str()) {
                true => Verdict::Wrong(faults),
                false => Verdict::RightAtCheck,
            }
        }
        (Expect::Value(expected), Outcome::Value(value)) if value.is(expected) => Verdict::Right,
        (Expect::Value(Data::Foreign(what)), _) => Verdict::Wrong(format!("expects {what}")),
        (_, outcome) => Verdict::Wrong(format!("{outcome:?}")),
    }
}

/// Holds a list to the verdicts: what is listed is not right, and what is not right is listed.
fn hold(
    cases: &[Case],
    verdicts: &[Verdict],
    listed: impl Fn(&str) -> bool,
    list: &str,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (case, verdict) in cases.iter().zip(verdicts) {
        match (verdict, listed(&case.name)) {
            (Verdict::Right | Verdict::RightAtCheck, false) | (Verdict::Wrong(_), true) => {}
            (Verdict::Right | Verdict::RightAtCheck, true) => {
                faults.push(format!("{} is right, and yet in {list}", case.name));
            }
            (Verdict::Wrong(what), false) => faults.push(format!(
                "{} is wrong, and not in {list}: `{}`: {what}, expected {:?}",
                case.name, case.expr, case.expect
            )),
        }
    }
    faults
}

#[test]
fn a_list_is_held_to_be_complete_and_minimal() {
    let case = |name: &str| Case {
        name: name.to_owned(),
        expr: "1".to_owned(),
        bindings: Vec::new(),
        expect: Expect::Error,
        container: String::new(),
    };
    let cases = ["f/s/listed", "f/s/not", "f/s/right"].map(case);
    let wrong = || Verdict::Wrong("a value".to_owned());
    let held = |verdicts: [Verdict; 3]| {
        hold(&cases, &verdicts, |name| name == "f/s/listed", "the list").len()
    };
    assert_eq!(held([wrong(), Verdict::Right, Verdict::RightAtCheck]), 0);
    assert_eq!(held([Verdict::Right, Verdict::Right, Verdict::Right]), 1);
    assert_eq!(held([Verdict::RightAtCheck, wrong(), Verdict::Right]), 2);
    let unknown = "case:1:1: there is no function `math`".to_owned();
    let judged = judge(&cases[0], Outcome::Refused(unknown));
    assert!(matches!(judged, Verdict::Wrong(_)), "{judged:?}");
}

const DOC: &str = "docs/expressions.md";
const BEGIN: &str = "<!-- conformance: begin -->\n";
const END: &str = "<!-- conformance: end -->\n";

#[test]
fn the_conformance_cases_hold() {
    let Some(folder) = skip::real_part("cel") else {
        return;
    };
    let cases = cases::read(&folder);
    assert!(cases.len() > 2000, "the files are read: {}", cases.len());
    let apart = reasons(include_str!("apart.txt"));
    let stricter = reasons(include_str!("stricter.txt"));
    let is_apart = assign(&apart, &cases);
    let is_stricter = assign(&stricter, &cases);

    let judged = |profile| {
        let verdicts = cases.iter().map(|case| judge(case, run(case, profile)));
        verdicts.collect::<Vec<Verdict>>()
    };
    let confluent = judged(Profile::Confluent);
    let checked = judged(Profile::Checked);
    let mut faults = hold(
        &cases,
        &confluent,
        |name| is_apart.contains_key(name),
        "apart.txt",
    );
    let in_both = |name: &str| is_apart.contains_key(name) || is_stricter.contains_key(name);
    faults.extend(hold(&cases, &checked, in_both, "stricter.txt"));
    faults.extend(
        is_stricter
            .keys()
            .filter(|name| is_apart.contains_key(*name))
            .map(|name| format!("{name} is in both lists")),
    );
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());

    let section = section(
        &cases,
        &confluent,
        &apart,
        &is_apart,
        &stricter,
        &is_stricter,
    );
    hold_page(&section);
}

type Assigned<'c> = std::collections::BTreeMap<&'c str, usize>;

fn section(
    cases: &[Case],
    verdicts: &[Verdict],
    apart: &[Reason],
    is_apart: &Assigned<'_>,
    stricter: &[Reason],
    is_stricter: &Assigned<'_>,
) -> String {
    let mut out = String::new();
    let right = verdicts
        .iter()
        .filter(|verdict| **verdict == Verdict::Right)
        .count();
    let applying: Vec<bool> = cases
        .iter()
        .map(|case| !is_apart.contains_key(case.name.as_str()))
        .collect();
    let at_check = verdicts
        .iter()
        .zip(&applying)
        .filter(|(verdict, applies)| **applies && **verdict == Verdict::RightAtCheck)
        .count();
    let put = |out: &mut String, line: String| writeln!(out, "{line}").expect("memory");
    put(
        &mut out,
        format!(
            "Of the {} cases, {} apply and hold: {right} by what they are evaluated to, {at_check} that must be errors because they\n\
             do not compile. {} do not apply:\n",
            cases.len(),
            right + at_check,
            is_apart.len(),
        ),
    );
    put(
        &mut out,
        "| why a case does not apply | cases |\n|---|---:|".to_owned(),
    );
    let count =
        |assigned: &Assigned<'_>, number| assigned.values().filter(|of| **of == number).count();
    for (number, reason) in apart.iter().enumerate() {
        put(
            &mut out,
            format!("| {} | {} |", reason.text, count(is_apart, number)),
        );
    }
    put(
        &mut out,
        "\n| file of the cases | cases | hold | do not apply |\n|---|---:|---:|---:|".to_owned(),
    );
    let file = |case: &Case| case.name.split('/').next().unwrap_or_default().to_owned();
    let mut files: Vec<String> = cases.iter().map(file).collect();
    files.dedup();
    for name in files {
        let of = cases
            .iter()
            .zip(&applying)
            .filter(|(case, _)| file(case) == name);
        let (all, hold) = of.fold((0, 0), |(all, hold), (_, applies)| {
            (all + 1, hold + usize::from(*applies))
        });
        put(
            &mut out,
            format!("| `{name}` | {all} | {hold} | {} |", all - hold),
        );
    }
    put(
        &mut out,
        "\nUnder our own rules, with checked nulls and errors in order, these hold no more:\n\n\
         | what is stricter | cases |\n|---|---:|"
            .to_owned(),
    );
    for (number, reason) in stricter.iter().enumerate() {
        put(
            &mut out,
            format!("| {} | {} |", reason.text, count(is_stricter, number)),
        );
    }
    out
}

fn hold_page(section: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOC);
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("where the counts begin");
    let (counts, after) = rest.split_once(END).expect("where the counts end");
    if std::env::var_os("DRIFTGATE_UPDATE_DOCS").is_some() {
        let page = format!("{before}{BEGIN}{section}{END}{after}");
        std::fs::write(&path, page).expect("written");
        return;
    }
    assert_eq!(
        counts, section,
        "the counts of {DOC} are not what the cases say (left: the page); DRIFTGATE_UPDATE_DOCS=1 writes them anew"
    );
}
