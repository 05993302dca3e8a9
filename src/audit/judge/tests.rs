use super::super::chain;
use super::super::expired::MARGIN;
use super::super::found::{Redriven, Stranger};
use super::*;
use crate::ingest::ledger::{Book, Page};

/// A partition of ten records: 0 to 5 emitted, 6 and 7 filtered, 8 a dead letter, 9 retried and emitted from there.
struct Case {
    family: Family,
    seen: Vec<Seen>,
    terms: Terms,
}

const HOUR: i64 = 3_600_000;

fn pages(outcomes: &[Outcome], every: usize) -> (Vec<Page>, Counts) {
    let mut book = Book::new(Some(0), Counts::default(), None, true);
    let mut counts = Counts::default();
    let mut pages = Vec::new();
    for (offset, outcome) in (0_i64..).zip(outcomes) {
        counts = counts.plus(Counts::of_each(|other| u64::from(other == *outcome)));
        book.add(offset, *outcome, counts);
        if (offset.unsigned_abs() as usize + 1).is_multiple_of(every) {
            pages.extend(book.take());
        }
    }
    pages.extend(book.take());
    (pages, counts)
}

fn side(topic: &str, outcomes: &[Outcome]) -> Side {
    let (pages, counts) = pages(outcomes, 4);
    let end = i64::try_from(outcomes.len()).expect("few");
    // Each entry an hour after the one before it, when nothing behind it had been taken.
    let written = pages
        .iter()
        .zip(1..)
        .map(|(page, hour)| (page, hour * HOUR, Some(page.to)));
    let times = Times::of(written);
    Side {
        times,
        topic: topic.to_owned(),
        end,
        to: end,
        commit: Some(Commit {
            offset: end,
            counts: Some(counts),
            begins: Some(0),
        }),
        chain: chain::lead(&pages, end, Some(counts)),
        universe: (0..end).collect(),
        ..Side::default()
    }
}

impl Case {
    fn new() -> Case {
        use Outcome::{DeadLettered, Emitted, Filtered, Retried};
        let outcomes = [
            Emitted,
            Emitted,
            Emitted,
            Emitted,
            Emitted,
            Emitted,
            Filtered,
            Filtered,
            DeadLettered,
            Retried,
        ];
        let mut found = Found {
            universe: (0..10).collect(),
            ..Found::default()
        };
        for offset in [0, 1, 2, 3, 4, 5, 9] {
            found.output(offset, None);
        }
        found.silent.add(6);
        found.silent.add(7);
        found.dead.add(8);
        found.retried.add(9);
        let line = |outcome, count| Seen {
            outcome: Some(outcome),
            topics: vec!["t".to_owned()],
            before: count,
            after: count,
            found: count,
            why: None,
        };
        Case {
            family: Family {
                source: side("orders", &outcomes),
                retries: vec![side("orders.gate.retry.1", &[Emitted])],
                found,
                ..Family::default()
            },
            seen: vec![line(Emitted, 7), line(Retried, 1), line(DeadLettered, 1)],
            terms: Terms {
                exactly_once: false,
                header: true,
                ledger: true,
                examples: 3,
                gaps: false,
            },
        }
    }

    fn report(self) -> Report {
        let mut report = Report::default();
        judge(&[self.family], &self.seen, self.terms, &mut report);
        report
    }
}

/// The findings, each as its kind and offsets, and how many records are unaccounted for.
#[track_caller]
fn check(change: impl FnOnce(&mut Case), expect: &[(Kind, &[i64])], unaccounted: u64) -> Report {
    let mut case = Case::new();
    change(&mut case);
    let report = case.report();
    let found: Vec<(Kind, &[i64])> = report
        .findings
        .iter()
        .map(|finding| (finding.kind, finding.offsets.as_slice()))
        .collect();
    assert_eq!(found, expect, "{report:#?}");
    assert_eq!(report.unaccounted, unaccounted);
    report
}

#[test]
fn what_adds_up_is_right() {
    let report = check(|_| {}, &[], 0);
    assert!(report.is_right() && report.duplicates.is_empty() && report.notes.is_empty());
    assert!(
        report
            .counts
            .iter()
            .all(|line| line.standing == Standing::Equal)
    );
    assert_eq!(report.partitions[0].records, 10);
    check(|case| case.terms.exactly_once = true, &[], 0);
}

#[test]
fn a_lost_output_is_named() {
    let lose = |case: &mut Case| {
        case.family.found.plain = Default::default();
        for offset in [0, 1, 3, 4, 5, 9] {
            case.family.found.output(offset, None);
        }
        case.seen[0].found = 6;
    };
    let expect: &[(Kind, &[i64])] = &[(Kind::Lost, &[2]), (Kind::Count, &[])];
    check(lose, expect, 1);
    // The sink is compacted: nobody can say.
    let report = check(
        |case| {
            lose(case);
            case.terms.gaps = true;
            case.seen[0].why = Some("t is compacted".to_owned());
        },
        &[],
        0,
    );
    assert_eq!(report.unproved, 1);
    assert!(report.notes[0].contains("offsets 2"), "{:?}", report.notes);
    // Without headers there is the count alone.
    check(
        |case| {
            lose(case);
            case.terms.header = false;
        },
        &[(Kind::Count, &[])],
        1,
    );
}

/// Loses the outputs of records.
fn lose(case: &mut Case, lost: &[i64]) {
    case.family.found.plain = Default::default();
    for offset in [0, 1, 2, 3, 4, 5, 9] {
        if !lost.contains(&offset) {
            case.family.found.output(offset, None);
        }
    }
    case.seen[0].why = Some("t-0 begins at offset 3 by now".to_owned());
}

#[test]
fn what_was_written_behind_all_that_expired_is_lost_and_what_may_have_expired_is_not() {
    let short = |sinks: Front, lost: &'static [i64]| {
        move |case: &mut Case| {
            lose(case, lost);
            case.family.sinks = sinks;
        }
    };
    // 4 to 7 were not taken before the first hour.
    let before = |time| Front::Before(time);
    let report = check(
        short(before(HOUR / 2), &[1, 2, 5]),
        &[(Kind::Lost, &[5])],
        1,
    );
    assert_eq!(report.unproved, 2);
    assert!(
        report.notes[0].contains("offsets 1 2"),
        "{:?}",
        report.notes
    );
    for (front, lost) in [
        (before(HOUR - MARGIN - 1), &[5_i64][..]),
        // Clocks may differ by as much.
        (before(HOUR - MARGIN), &[]),
        (before(HOUR * 2), &[]),
        (Front::Unknown, &[]),
    ] {
        let expect: &[(Kind, &[i64])] = &[(Kind::Lost, lost)];
        let expect = &expect[..lost.len()];
        let report = check(short(front, &[5]), expect, lost.len() as u64);
        assert_eq!(report.unproved, 1 - lost.len() as u64, "{front:?}");
    }
    // What is compacted or held back may be anything.
    let report = check(
        |case| {
            short(before(HOUR / 2), &[5])(case);
            case.terms.gaps = true;
        },
        &[],
        0,
    );
    assert_eq!(report.unproved, 1);
}

#[test]
fn retries_and_dead_letters_may_expire_where_a_stretch_has_any() {
    // Of 4 to 7 none failed: only the sinks count. Of 8 and 9 both did.
    let lose = |front: fn(&mut Case, Front), state: Front| {
        move |case: &mut Case| {
            lose(case, &[5, 9]);
            case.family.found.dead = Default::default();
            case.seen[2].why = Some("short".to_owned());
            front(case, state);
        }
    };
    let sides: [fn(&mut Case, Front); 2] = [
        |case, state| case.family.retried = state,
        |case, state| case.family.dead = state,
    ];
    for side in sides {
        let early = Front::Before(HOUR);
        let report = check(lose(side, early), &[(Kind::Lost, &[5, 8, 9])], 3);
        assert_eq!(report.unproved, 0);
        for state in [Front::Before(2 * HOUR), Front::Unknown] {
            let report = check(lose(side, state), &[(Kind::Lost, &[5])], 1);
            assert_eq!(report.unproved, 2);
        }
    }
    // Sent back from a dead letter that expired, whatever its stretch was.
    let report = check(
        |case| {
            case.family.found.redriven.insert(
                5,
                Redriven {
                    times: 1,
                    sent: 1,
                    ..Redriven::default()
                },
            );
            case.family.retried = Front::Unknown;
        },
        &[],
        0,
    );
    assert_eq!(report.unproved, 1);
}

#[test]
fn outputs_of_a_set_may_expire_one_by_one() {
    let part = |case: &mut Case| {
        case.family.found.plain = Default::default();
        for offset in [0, 1, 2, 3, 4, 5, 9] {
            for index in 0..2 {
                if ![(1, 0), (5, 1)].contains(&(offset, index)) {
                    case.family.found.output(offset, Some((index, 2)));
                }
            }
        }
        case.family.sinks = Front::Before(HOUR / 2);
    };
    let report = check(part, &[(Kind::Incomplete, &[5])], 1);
    assert_eq!(report.unproved, 1);
}

#[test]
fn counts_that_cannot_be_compared_prove_nothing_without_headers() {
    let unproved = |change: fn(&mut Case)| {
        let mut case = Case::new();
        case.terms.header = false;
        change(&mut case);
        case.report().unproved
    };
    assert_eq!(unproved(|_| {}), 0);
    assert_eq!(
        unproved(|case| case.seen[0].why = Some("short".to_owned())),
        7
    );
    // No more than are looked at.
    let range = |case: &mut Case| {
        case.seen[0].why = Some("a part".to_owned());
        case.family.source.from = 6;
    };
    assert_eq!(unproved(range), 4);
}

#[test]
fn stretches_without_names_of_what_was_filtered_are_told() {
    let report = check(
        |case| {
            case.family.source.chain.pages[0].silent = None;
            case.family.found.plain = Default::default();
            for offset in [4, 5, 9] {
                case.family.found.output(offset, None);
            }
            case.seen[0].why = Some("older outputs name nothing".to_owned());
        },
        &[],
        0,
    );
    assert_eq!(report.unproved, 4);
}

#[test]
fn a_filtered_record_that_the_ledger_does_not_name_is_lost() {
    check(
        |case| {
            case.family.found.silent = Default::default();
            case.family.found.silent.add(6);
        },
        &[(Kind::Lost, &[7])],
        1,
    );
}

#[test]
fn doubles_are_duplicates_or_faults_by_the_delivery() {
    let double = |case: &mut Case| {
        case.family.found.output(4, None);
        case.family.found.dead.add(3);
        case.seen[0].found = 8;
        case.seen[2].found = 2;
    };
    let report = check(double, &[], 0);
    assert_eq!(report.duplicates[0].offsets, [3, 4]);
    assert_eq!(report.counts[0].standing, Standing::More);
    let exact = |case: &mut Case| {
        double(case);
        case.terms.exactly_once = true;
    };
    let expect: &[(Kind, &[i64])] = &[
        (Kind::TwoOutcomes, &[3, 4]),
        (Kind::Count, &[]),
        (Kind::Count, &[]),
    ];
    check(exact, expect, 2);
}

#[test]
fn what_waits_in_a_retry_topic_is_neither_lost_nor_double() {
    check(
        |case| {
            case.family.found.plain = Default::default();
            for offset in 0..6 {
                case.family.found.output(offset, None);
            }
            case.family.found.pending.insert(9);
            case.seen[0].before = 6;
            case.seen[0].found = 6;
        },
        &[],
        0,
    );
    // Emitted a moment ago, and not committed yet.
    check(
        |case| {
            case.terms.exactly_once = true;
            case.family.found.pending.insert(9);
            case.family.found.dead.add(9);
            case.seen[2].found = 2;
            case.seen[2].after = 2;
        },
        &[],
        0,
    );
}

#[test]
fn sets_of_outputs_must_be_whole() {
    check(
        |case| {
            case.family.found.plain = Default::default();
            for offset in [0, 1, 2, 3, 4, 5, 9] {
                for index in 0..3 {
                    if (offset, index) != (5, 2) {
                        case.family.found.output(offset, Some((index, 3)));
                    }
                }
            }
        },
        &[(Kind::Incomplete, &[5])],
        1,
    );
}

#[test]
fn a_record_that_was_sent_back_ends_once_more_each_time() {
    let sent_back = |times, dead| {
        move |case: &mut Case| {
            let sent = times;
            let entry = Redriven {
                times,
                sent,
                dead,
                ..Redriven::default()
            };
            case.family.found.redriven.insert(8, entry);
        }
    };
    // Sent back, and nothing came of it.
    check(sent_back(1, 0), &[(Kind::Lost, &[8])], 1);
    // It failed again.
    check(sent_back(1, 1), &[], 0);
    let emitted = |case: &mut Case| {
        sent_back(1, 0)(case);
        case.family.found.output(8, None);
        case.seen[0].found = 8;
        case.seen[0].before = 8;
    };
    check(emitted, &[], 0);
    let again = |case: &mut Case| {
        sent_back(1, 1)(case);
        case.family.found.output(8, None);
    };
    let report = check(again, &[], 0);
    assert_eq!(report.duplicates[0].offsets, [8]);
    // One dead letter went back twice, and both times something came of it: no fault of the pipeline, and told.
    let twice = |outputs: usize| {
        move |case: &mut Case| {
            case.terms.exactly_once = true;
            let entry = Redriven {
                times: 1,
                sent: 2,
                ..Redriven::default()
            };
            case.family.found.redriven.insert(8, entry);
            for _ in 0..outputs {
                case.family.found.output(8, None);
            }
        }
    };
    let report = check(twice(2), &[], 0);
    assert_eq!(report.duplicates[0].offsets, [8]);
    assert!(report.duplicates[0].text.contains("sent back"));
    check(twice(1), &[(Kind::Lost, &[8])], 1);
    check(twice(3), &[(Kind::TwoOutcomes, &[8])], 1);
}

#[test]
fn what_an_open_transaction_hides_of_a_ledger_is_no_hole() {
    let lacks = |hidden| {
        move |case: &mut Case| {
            case.family.source.chain.faults = vec![Fault::Hole(5..10)];
            case.family.source.is_hidden = hidden;
        }
    };
    check(lacks(false), &[(Kind::LedgerHole, &[])], 5);
    let report = check(lacks(true), &[], 0);
    assert!(report.notes[0].contains("an open transaction hides"));
}

#[test]
fn strays_and_strangers_are_named() {
    check(
        |case| {
            case.family.source.from = 0;
            case.family.found.universe = (0..9).collect();
            case.family.source.chain.pages.pop();
        },
        &[(Kind::Stray, &[9])],
        1,
    );
    let report = check(
        |case| {
            let found = &mut case.family.found;
            found.prints.set(1, 0, 11);
            found.prints.set(2, 0, 22);
            for (names, print) in [(1, 22), (2, 11)] {
                let at = format!("sink-0@{names}");
                found.stranger(Stranger { at, names, print });
            }
        },
        &[(Kind::Altered, &[1, 2])],
        2,
    );
    let text = &report.findings[0].text;
    assert!(text.contains("sink-0@1 names 1 and looks like 2"), "{text}");
}

#[test]
fn a_record_that_the_pipeline_emits_was_not_filtered() {
    check(
        |case| {
            case.family.found.to_emit = [6, 0].into_iter().collect();
            case.family.found.to_filter = [7, 1].into_iter().collect();
        },
        &[(Kind::LedgerClaims, &[6]), (Kind::Altered, &[1])],
        2,
    );
}

#[test]
fn counts_of_the_ledger_must_be_those_of_the_topic() {
    // A record more than was counted, one less, and one less of a compacted topic.
    let report = check(
        |case| {
            case.terms.header = false;
            case.family.found.universe.insert(10);
            case.family.source.chain.pages[2].to = 11;
            case.family.source.to = 11;
        },
        &[(Kind::Count, &[])],
        1,
    );
    assert!(
        report.findings[0].text.contains("8..11"),
        "{:?}",
        report.findings
    );
    let less = |case: &mut Case| {
        case.terms.header = false;
        case.family.found.universe = [0, 1, 2, 4, 5, 6, 7, 8, 9].into_iter().collect();
    };
    check(less, &[(Kind::Count, &[])], 1);
    let report = check(
        |case| {
            less(case);
            case.family.source.compacted = true;
        },
        &[],
        0,
    );
    assert!(report.notes[0].contains("compacted"), "{:?}", report.notes);
    // Retention has taken the first five.
    let report = check(
        |case| {
            case.terms.header = false;
            case.family.found.universe = (5..10).collect();
            (case.family.source.low, case.family.source.from) = (5, 5);
        },
        &[],
        0,
    );
    assert!(report.notes[0].contains("retention"), "{:?}", report.notes);
}

#[test]
fn holes_other_sums_and_other_commits_are_told() {
    let without = |which: usize| {
        move |case: &mut Case| {
            case.terms.header = false;
            let mut pages = case.family.source.chain.pages.clone();
            pages.remove(which);
            let counts = case.family.source.commit.and_then(|commit| commit.counts);
            case.family.source.chain = chain::lead(&pages, 10, counts);
        }
    };
    for (which, words, count) in [(0, "0..4", 4), (1, "4..8", 4), (2, "8..10", 2)] {
        let report = check(without(which), &[(Kind::LedgerHole, &[])], count);
        let text = &report.findings[0].text;
        assert!(text.contains(words), "{which}: {text}");
    }
    check(
        |case| {
            case.terms.header = false;
            let mut pages = case.family.source.chain.pages.clone();
            let more = |outcome| pages[1].counts.of(outcome) + u64::from(outcome == Outcome::Stale);
            pages[1].counts = Counts::of_each(more);
            let counts = case.family.source.commit.and_then(|commit| commit.counts);
            case.family.source.chain = chain::lead(&pages, 10, counts);
        },
        &[(Kind::LedgerDiffers, &[])],
        1,
    );
    check(
        |case| {
            case.terms.header = false;
            let commit = case.family.source.commit.as_mut().expect("there is one");
            (commit.counts, commit.begins) = (None, None);
        },
        &[(Kind::ForeignCommit, &[])],
        10,
    );
}

#[test]
fn the_bounds_of_a_run_that_goes_on() {
    let seen = |found, why: Option<&str>| Seen {
        outcome: Some(Outcome::Emitted),
        topics: Vec::new(),
        before: 10,
        after: 12,
        found,
        why: why.map(str::to_owned),
    };
    let standing = |seen: &Seen, exactly_once| {
        let terms = Terms {
            exactly_once,
            ..Case::new().terms
        };
        let mut report = Report::default();
        compare(seen, terms, &mut report);
        report.counts[0].standing
    };
    for (found, least, exactly) in [
        (9, Standing::Wrong, Standing::Wrong),
        (10, Standing::Equal, Standing::Equal),
        (12, Standing::More, Standing::InFlight),
        (13, Standing::More, Standing::Wrong),
    ] {
        assert_eq!(standing(&seen(found, None), false), least, "{found}");
        assert_eq!(standing(&seen(found, None), true), exactly, "{found}");
        let other = seen(found, Some("others write to it"));
        assert_eq!(standing(&other, true), Standing::NotComparable);
    }
}
