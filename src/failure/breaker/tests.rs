use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn ratio(above: f64, at_least: u64) -> Ratio {
    Ratio {
        above,
        window: MINUTE,
        at_least,
    }
}

fn limits() -> Limits {
    Limits {
        dead_letters: Some(ratio(0.2, 20)),
        in_a_row: Some(5),
        quarantined: Some(ratio(0.5, 10)),
    }
}

fn tally(passed: u64, dead: u64, quarantined: u64) -> Tally {
    Tally {
        passed,
        dead,
        quarantined,
    }
}

#[test]
fn one_dead_letter_more_is_too_many_or_is_not() {
    let check = |tally: Tally, in_a_row, decided, careful, expect: bool| {
        let seen = Seen {
            dead_letters: tally,
            quarantined: tally,
            in_a_row,
        };
        let found = trips(&limits(), &seen, decided, careful);
        assert_eq!(
            found.is_some(),
            expect,
            "{seen:?} {decided:?} {careful}: {found:?}"
        );
    };
    use Decided::{Dead, Passed, Quarantined};
    // 20% is the limit, and more than it is too many; with the record itself.
    check(tally(80, 19, 0), 0, Dead, false, false);
    check(tally(79, 20, 0), 0, Dead, false, true);
    // Fewer than 20 say nothing.
    check(tally(15, 3, 0), 0, Dead, false, false);
    check(tally(15, 4, 0), 0, Dead, false, true);
    check(tally(0, 18, 0), 0, Dead, false, false);
    check(tally(0, 19, 0), 0, Dead, false, true);
    // After a resume, half of them do.
    check(tally(0, 8, 0), 0, Dead, true, false);
    check(tally(0, 9, 0), 0, Dead, true, true);
    // But one alone says nothing then, whatever the limit: a resumed partition gets past the record that stopped it.
    let strict = Limits {
        dead_letters: Some(ratio(0.0, 1)),
        ..Limits::default()
    };
    let alone = |careful| trips(&strict, &Seen::default(), Dead, careful).is_some();
    assert!(alone(false) && !alone(true));
    // Quarantine is outside of it, above and below the line.
    check(tally(0, 10, 500), 0, Dead, false, false);
    check(tally(10, 9, 500), 0, Dead, false, true);
    // In a row.
    check(tally(1000, 4, 0), 4, Dead, false, false);
    check(tally(1000, 5, 0), 5, Dead, false, true);
    check(tally(1000, 3, 0), 2, Dead, true, false);
    check(tally(1000, 3, 0), 3, Dead, true, true);
    // Quarantine's own limit, against all.
    check(tally(5, 5, 9), 0, Quarantined, false, false);
    check(tally(5, 4, 9), 0, Quarantined, false, true);
    check(tally(0, 0, 8), 0, Quarantined, false, false);
    check(tally(0, 0, 9), 0, Quarantined, false, true);
    check(tally(0, 0, 4), 0, Quarantined, true, true);
    check(tally(0, 500, 500), 500, Passed, false, false);
    let seen = Seen {
        in_a_row: u64::MAX / 2,
        dead_letters: tally(0, 1 << 40, 0),
        quarantined: tally(0, 0, 1 << 40),
    };
    for decided in [Dead, Quarantined] {
        assert_eq!(
            trips(&Limits::default(), &seen, decided, true),
            None,
            "no limits"
        );
    }
}

#[test]
fn all_of_it_may_be_dead_letters_where_the_limit_says_so() {
    let limits = Limits {
        dead_letters: Some(ratio(1.0, 1)),
        ..Limits::default()
    };
    let seen = Seen {
        dead_letters: tally(0, 1_000_000, 0),
        ..Seen::default()
    };
    assert_eq!(trips(&limits, &seen, Decided::Dead, false), None);
}

#[test]
fn a_rewind_takes_back_what_was_not_final() {
    let now = Instant::now();
    let mut decisions = Decisions::new(&limits(), now);
    for offset in 0..10 {
        decisions.add(offset, Decided::Dead, now);
    }
    decisions.settle(4);
    assert_eq!(decisions.seen(now).in_a_row, 10);
    // Back to a record that is final: that one stays what it is.
    decisions.rewind_to(2);
    let seen = decisions.seen(now);
    assert_eq!((seen.dead_letters, seen.in_a_row), (tally(0, 4, 0), 4));
    decisions.add(4, Decided::Passed, now);
    decisions.add(5, Decided::Dead, now);
    decisions.add(6, Decided::Quarantined, now);
    decisions.rewind_to(7);
    let seen = decisions.seen(now);
    assert_eq!((seen.dead_letters, seen.in_a_row), (tally(1, 5, 1), 1));
}

#[test]
fn what_is_old_says_nothing_even_where_nothing_came_after_it() {
    let now = Instant::now();
    let mut decisions = Decisions::new(&limits(), now);
    for offset in 0..19 {
        decisions.add(offset, Decided::Dead, now);
    }
    decisions.settle(19);
    assert_eq!(decisions.seen(now + MINUTE / 2).dead_letters.dead, 19);
    assert_eq!(decisions.seen(now + MINUTE).dead_letters.dead, 0);
    assert_eq!(
        decisions.seen(now + MINUTE).in_a_row,
        19,
        "a row has no age"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Add(Decided),
    Settle(usize),
    Rewind(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let decided = prop_oneof![
        3 => Just(Decided::Passed),
        3 => Just(Decided::Dead),
        1 => Just(Decided::Quarantined)
    ];
    let step = prop_oneof![
        8 => decided.prop_map(Step::Add),
        2 => (0usize..10).prop_map(Step::Settle),
        1 => (0usize..10).prop_map(Step::Rewind),
        3 => (0u64..20_000).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..150)
}

proptest! {
    /// Against a model that keeps every record with its time.
    #[test]
    fn counts_are_those_of_the_window(steps in steps()) {
        let start = Instant::now();
        let mut decisions = Decisions::new(&limits(), start);
        let (mut now, mut committable) = (start, 0);
        let mut model: Vec<(Decided, Instant)> = Vec::new();
        for step in steps {
            match step {
                Step::Add(decided) => {
                    decisions.add(model.len() as i64, decided, now);
                    model.push((decided, now));
                }
                Step::Settle(count) => {
                    committable = (committable + count).min(model.len());
                    decisions.settle(committable as i64);
                }
                Step::Rewind(count) => {
                    let to = (committable + count).min(model.len());
                    decisions.rewind_to(to as i64);
                    model.truncate(to);
                }
                Step::Wait(millis) => now += Duration::from_millis(millis),
            }
            let row = model.iter().rev()
                .filter(|(decided, _)| *decided != Decided::Quarantined)
                .take_while(|(decided, _)| *decided == Decided::Dead)
                .count() as u64;
            let seen = decisions.seen(now);
            prop_assert_eq!(seen.in_a_row, row);
            let count = |within: Duration| {
                let mut tally = Tally::default();
                for (index, (decided, at)) in model.iter().enumerate() {
                    // What is not final has no age yet.
                    if index >= committable || now.duration_since(*at) < within {
                        tally.add(*decided);
                    }
                }
                tally
            };
            let (least, most) = (count(MINUTE - MINUTE / STEPS as u32), count(MINUTE));
            for (found, least, most) in [
                (seen.dead_letters.passed, least.passed, most.passed),
                (seen.dead_letters.dead, least.dead, most.dead),
                (seen.quarantined.quarantined, least.quarantined, most.quarantined),
            ] {
                prop_assert!(least <= found && found <= most, "{least} <= {found} <= {most}");
            }
        }
    }

    /// Whatever comes: what is written as dead letters stays within the limit, but for the few that say nothing yet.
    #[test]
    fn dead_letters_stay_within_the_limit(flood in proptest::collection::vec(any::<bool>(), 1..500)) {
        let now = Instant::now();
        let limits = Limits { in_a_row: None, ..limits() };
        let mut decisions = Decisions::new(&limits, now);
        let (mut dead, mut all) = (0_u64, 0_u64);
        for (offset, bad) in (0..).zip(flood) {
            let decided = if bad { Decided::Dead } else { Decided::Passed };
            if trips(&limits, &decisions.seen(now), decided, false).is_some() {
                prop_assert!((dead + 1) as f64 > 0.2 * (all + 1) as f64 && all + 1 >= 20);
                return Ok(());
            }
            decisions.add(offset, decided, now);
            all += 1;
            dead += u64::from(bad);
            prop_assert!(all < 20 || !bad || dead as f64 <= 0.2 * all as f64);
        }
    }
}
