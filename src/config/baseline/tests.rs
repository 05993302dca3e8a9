use proptest::prelude::*;

use super::*;

const ACTIONS: [DriftAction; 4] = DriftAction::ALL;

fn shares() -> impl Strategy<Value = Shares> {
    let of = proptest::collection::btree_map(".{0,12}", 0.0..0.05_f64, 1..8);
    (0.0..9.0_f64, of).prop_map(|(spread, of)| Shares {
        spread: rounded(spread),
        of: of
            .into_iter()
            .map(|(name, part)| (name, share(part)))
            .collect(),
    })
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let deciles = proptest::collection::vec(-1e12..1e12_f64, 11);
    let mean = proptest::option::of(-1e9..1e9_f64);
    (0..4_usize, mean, 0.0..1.0_f64, deciles).prop_map(|(of, mean, spread, mut deciles)| {
        deciles.sort_by(f64::total_cmp);
        Numbers {
            of: Measure::ALL[of],
            mean: mean.map(rounded),
            spread: share(spread),
            deciles: deciles.into_iter().map(rounded).collect(),
        }
    })
}

fn part() -> impl Strategy<Value = Share> {
    (0.0..1.0_f64, 0.0..1.0_f64).prop_map(|(all, most)| Share {
        all: share(all),
        most: share(most),
    })
}

fn action() -> impl Strategy<Value = DriftAction> {
    proptest::sample::select(ACTIONS.to_vec())
}

fn field() -> impl Strategy<Value = Field> {
    let option = proptest::option::of::<BoxedStrategy<Shares>>;
    let distinct = (any::<u64>(), 0.0..1.0_f64).prop_map(|(all, least)| Distinct {
        all,
        least: share(least),
    });
    (
        "[a-z_.]{1,20}",
        action(),
        (part(), part()),
        proptest::option::of(distinct),
        (
            option(shares().boxed()),
            option(shares().boxed()),
            option(shares().boxed()),
        ),
        proptest::option::of(numbers()),
    )
        .prop_map(
            |(path, then, (nulls, defaults), distinct, (values, formats, day_month), numbers)| {
                Field {
                    path,
                    then,
                    nulls,
                    defaults,
                    distinct,
                    values,
                    formats,
                    day_month,
                    numbers,
                }
            },
        )
}

proptest! {
    /// What is written is read as the same, and written again letter by letter.
    #[test]
    fn a_baseline_survives_its_file(
        subject in "[a-zA-Z0-9:._-]{1,20}",
        (records, windows) in any::<(u64, u64)>(),
        then in action(),
        from in proptest::option::of("[0-9TZ:-]{1,20}"),
        per_minute in proptest::option::of((0.0..1e3_f64, 1e3..1e9_f64)),
        fields in proptest::collection::vec(field(), 1..4),
    ) {
        let mut seen = std::collections::BTreeSet::new();
        let baseline = Baseline {
            subject,
            records,
            windows,
            then,
            until: from.clone(),
            from,
            per_minute: per_minute.map(|(least, most)| (rounded(least), rounded(most))),
            fields: fields.into_iter().filter(|field| seen.insert(field.path.clone())).collect(),
        };
        let text = baseline.text();
        let read = load_text(&text, "x.baseline.yaml");
        prop_assert_eq!(read.as_ref(), Ok(&baseline), "{}", text);
        prop_assert_eq!(read.expect("read").text(), text);
    }
}

/// Each fault with its line, column and what to do.
#[test]
fn faults_have_places_and_hints() {
    let check = |text: &str, expect: &[&str]| {
        let faults = load_text(text, "b.yaml").expect_err(text);
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(lines, expect, "{text}");
    };
    let head = "subject: s\nrecords: 1\nwindows: 1\n";
    check(
        &format!("{head}fields:\n  a:\n    nulls: {{ all: 1%, most: 0.5 }}\n    valeus: 3\n"),
        &[
            "b.yaml:6:29: `most`: not a ratio (write 50%)",
            "b.yaml:7:5: unknown key `valeus` in `a` (did you mean `values`?)",
        ],
    );
    check(
        &format!("{head}fields:\n  a:\n    value: {{ spread: 1%, deciles: [1, 2] }}\n"),
        &["b.yaml:6:26: 2 numbers; 11 are expected (from the least to the greatest, in ten steps)"],
    );
    check(
        &format!(
            "{head}fields:\n  a:\n    value: {{ spread: 1%, deciles: [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1] }}\n"
        ),
        &["b.yaml:6:26: the numbers do not rise (sort them)"],
    );
    check(
        &format!("{head}fields:\n  a:\n    values: {{ spread: 0, of: {{ x: 60%, y: 41% }} }}\n"),
        &["b.yaml:6:26: the parts are 101.000% together (they are parts of 100%)"],
    );
    check(
        &format!("{head}per_minute: {{ least: 2, most: 1 }}\nfields:\n  a: {{}}\n"),
        &["b.yaml:4:15: `least` is above `most` (swap them)"],
    );
    let deciles = "{ spread: 1%, deciles: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] }";
    check(
        &format!("{head}fields:\n  a:\n    value: {deciles}\n    length: {deciles}\n"),
        &["b.yaml:7:5: `value` and `length` of one field (a field has one of them, by its type)"],
    );
    check(
        "subject: s\nrecords: 1\nfields:\n  a: {}\n",
        &["b.yaml:1:1: `windows` is missing (windows: Windows of those records)"],
    );
}

/// What a file says of all its fields, and of one.
#[test]
fn a_field_says_what_becomes_of_its_drift_or_the_file_does() {
    let read = |then: &str| {
        let text = format!(
            "subject: s\nrecords: 1\nwindows: 1\n{then}fields:\n  a: {{}}\n  b: {{ then: warn }}\n"
        );
        let baseline = load_text(&text, "b.yaml").expect("a baseline");
        let fields = baseline.fields.iter().map(|field| field.then);
        fields.collect::<Vec<_>>()
    };
    assert_eq!(read(""), [DriftAction::Warn, DriftAction::Warn]);
    assert_eq!(
        read("then: allow\n"),
        [DriftAction::Allow, DriftAction::Warn]
    );
}

#[test]
fn what_people_decided_outlasts_the_figures() {
    let read = |text: &str| {
        let head = "subject: s\nrecords: 1\nwindows: 1\n";
        load_text(&format!("{head}{text}"), "b.yaml").expect("a baseline")
    };
    let before = read("then: quarantine\nfields:\n  a: { then: allow }\n  b: {}\n");
    let mut after = read("fields:\n  a: { then: halt }\n  b: {}\n  c: {}\n");
    after.decide_as(&before);
    let expect = read("then: quarantine\nfields:\n  a: { then: allow }\n  b: {}\n  c: {}\n");
    assert_eq!(after, expect);
}

/// A baseline of another contract, and fields that it has lost.
#[test]
fn what_does_not_fit_the_contract_has_a_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("b.yaml");
    let text = "subject: s\nrecords: 1\nwindows: 1\nfields:\n  a: {}\n  gone.b: {}\n";
    std::fs::write(&path, text).expect("a file");
    let placed = load_placed(&path).expect("a baseline");
    assert_eq!(placed.misfits("s", &|_| true), []);
    let found = placed.misfits("t", &|path| path == "a");
    let found: Vec<(usize, usize, &str)> = found
        .iter()
        .map(|fault| (fault.place.line, fault.place.column, &*fault.message))
        .collect();
    let expect = [
        (1, 10, "the contract's subject is t"),
        (6, 3, "the contract has no field gone.b any more"),
    ];
    assert_eq!(found, expect);
}
