use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::config::model::AlertKind;

const AFTER: Duration = Duration::from_secs(10);

fn now(second: u64) -> Now {
    Now {
        wall: 1_700_000_000_000 + i64::try_from(second).expect("small") * 1000,
        at: Duration::from_secs(second),
    }
}

fn sign(subject: &str, partitions: &[i32]) -> Sign {
    let place = |partition: &i32| Place {
        topic: "orders".to_owned(),
        partition: *partition,
    };
    Sign {
        key: (AlertKind::Paused, subject.to_owned()),
        reason: subject.to_owned(),
        text: format!("paused by {subject}"),
        detail: String::new(),
        places: partitions.iter().map(|one| (place(one), 5)).collect(),
        happened: None,
        count: 1,
        topic: None,
        details: serde_json::Map::new(),
    }
}

/// Incidents whose receiver takes everything that is told, unless it is away.
struct Watch {
    incidents: Incidents,
    told: Vec<String>,
    delivery: Delivery,
}

impl Watch {
    fn new(remind_every: Option<Duration>) -> Watch {
        Watch {
            incidents: Incidents::new(AFTER, remind_every),
            told: Vec::new(),
            delivery: Delivery::Taken,
        }
    }

    fn look(&mut self, second: u64, signs: Vec<Sign>) {
        self.incidents.look(now(second), signs, &|_| true);
        self.tell(second);
    }

    /// What is told at that second, each as `state subject xcount`.
    fn tell(&mut self, second: u64) {
        while let Some((ticket, notice)) = self.incidents.next(now(second)) {
            let state = notice.state.as_str();
            self.told.push(format!(
                "{second} {state} {} x{}",
                notice.subject, notice.count
            ));
            self.incidents.told(&ticket, self.delivery, now(second));
            if self.delivery != Delivery::Taken {
                break;
            }
        }
    }

    #[track_caller]
    fn check(&mut self, expect: &[&str]) {
        assert_eq!(std::mem::take(&mut self.told), expect);
    }
}

#[test]
fn what_lasts_is_told_once_and_once_when_it_is_over() {
    let mut watch = Watch::new(None);
    for second in 0..60 {
        watch.look(second, vec![sign("a", &[0, 1])]);
    }
    watch.check(&["10 open a x2"]);
    for second in 60..90 {
        watch.look(second, vec![]);
    }
    watch.check(&["69 resolved a x2"]);
    assert!(watch.incidents.known.is_empty(), "and forgotten");
}

#[test]
fn what_passes_soon_wakes_nobody() {
    let mut watch = Watch::new(None);
    for second in 0..9 {
        watch.look(second, vec![sign("a", &[0])]);
    }
    for second in 9..40 {
        watch.look(second, vec![]);
    }
    watch.check(&[]);
    assert!(watch.incidents.known.is_empty());
}

/// Nine seconds on, nine off: one incident, whose count says how often.
#[test]
fn what_comes_and_goes_is_one_incident() {
    let mut watch = Watch::new(None);
    for second in 0..180 {
        let is_on = (second / 9) % 2 == 0;
        watch.look(second, if is_on { vec![sign("a", &[0])] } else { vec![] });
    }
    watch.check(&["18 open a x2"]);
    watch.look(200, vec![]);
    watch.check(&["200 resolved a x10"]);
}

#[test]
fn a_receiver_that_was_away_is_told_how_things_stand_and_no_history() {
    let mut watch = Watch::new(None);
    watch.delivery = Delivery::Refused;
    for second in 0..3600 {
        let mut signs = vec![sign("lasts", &[0])];
        if (second / 60) % 2 == 0 {
            signs.push(sign("comes and goes", &[1]));
        }
        if second < 600 {
            signs.push(sign("was", &[2]));
        }
        watch.look(second, signs);
    }
    watch.told.clear();
    watch.delivery = Delivery::Taken;
    watch.look(3600, vec![sign("lasts", &[0])]);
    watch.check(&["3600 open lasts x1"]);
}

/// The answer to the first notice got lost, so its end is told too, in case it was taken.
#[test]
fn an_answer_that_got_lost_is_asked_for_again() {
    let mut watch = Watch::new(None);
    watch.look(0, vec![sign("a", &[0])]);
    watch.delivery = Delivery::Unknown;
    watch.look(10, vec![sign("a", &[0])]);
    watch.delivery = Delivery::Taken;
    watch.look(30, vec![]);
    watch.check(&["10 open a x1", "30 resolved a x1"]);

    watch.look(40, vec![sign("b", &[0])]);
    watch.delivery = Delivery::Unknown;
    watch.look(50, vec![sign("b", &[0])]);
    watch.delivery = Delivery::Taken;
    watch.look(51, vec![sign("b", &[0])]);
    watch.look(52, vec![sign("b", &[0])]);
    watch.check(&["50 open b x1", "51 open b x1"]);
}

#[test]
fn what_comes_back_before_its_end_was_told_was_never_over() {
    let mut watch = Watch::new(None);
    watch.look(0, vec![sign("a", &[0])]);
    watch.look(10, vec![sign("a", &[0])]);
    watch.delivery = Delivery::Refused;
    watch.look(30, vec![]);
    watch.told.clear();
    watch.look(31, vec![sign("a", &[0])]);
    watch.delivery = Delivery::Taken;
    watch.look(32, vec![sign("a", &[0])]);
    watch.check(&[]);
}

#[test]
fn what_comes_back_while_its_end_is_being_told_begins_anew() {
    let mut watch = Watch::new(None);
    watch.look(0, vec![sign("a", &[0])]);
    watch.look(10, vec![sign("a", &[0])]);
    watch.incidents.look(now(30), vec![], &|_| true);
    let (ticket, _) = watch.incidents.next(now(30)).expect("its end");
    watch
        .incidents
        .look(now(31), vec![sign("a", &[0])], &|_| true);
    watch.incidents.told(&ticket, Delivery::Taken, now(31));
    watch.told.clear();
    watch.look(32, vec![sign("a", &[0])]);
    watch.check(&["32 open a x2"]);
}

#[test]
fn what_comes_to_hold_up_partitions_is_told_again() {
    let mut watch = Watch::new(None);
    for second in 0..30 {
        let partitions: &[i32] = if second < 20 { &[] } else { &[0, 1, 2] };
        watch.look(second, vec![sign("a", partitions)]);
    }
    watch.check(&["10 open a x1", "20 open a x4"]);
}

/// A partition that waits for something is let go for a moment now and then, to see whether it would get on.
#[test]
fn what_holds_up_partitions_between_probes_is_told_once_with_them() {
    for probed in 10..14 {
        let mut watch = Watch::new(None);
        for second in 0..30 {
            let held: &[i32] = if second % 20 == probed { &[] } else { &[0, 1] };
            if let Some((_, notice)) = {
                watch
                    .incidents
                    .look(now(second), vec![sign("a", held)], &|_| true);
                watch.incidents.next(now(second))
            } {
                assert_eq!(notice.partitions_in_all, 2);
            }
            watch.tell(second);
        }
        watch.check(&["10 open a x2"]);
    }
}

#[test]
fn what_goes_on_is_told_again_where_that_is_wanted() {
    let mut watch = Watch::new(Some(Duration::from_secs(60)));
    for second in 0..150 {
        watch.look(second, vec![sign("a", &[0])]);
    }
    watch.check(&["10 open a x1", "70 reminder a x1", "130 reminder a x1"]);
}

#[test]
fn partitions_that_went_to_another_instance_are_released_and_not_resolved() {
    let mut incidents = Incidents::new(Duration::ZERO, None);
    incidents.look(now(0), vec![sign("a", &[0, 1])], &|_| true);
    let (ticket, _) = incidents.next(now(0)).expect("open");
    incidents.told(&ticket, Delivery::Taken, now(0));
    incidents.look(now(1), vec![], &|_| false);
    let (_, notice) = incidents.next(now(1)).expect("its end");
    assert_eq!(notice.state, State::Released);
}

#[test]
fn an_instance_that_leaves_tells_what_was_not_told_and_lets_go_of_the_rest() {
    let mut watch = Watch::new(None);
    watch.look(0, vec![sign("told", &[0])]);
    watch.look(10, vec![sign("told", &[0])]);
    watch.delivery = Delivery::Refused;
    watch.look(20, vec![sign("told", &[0]), sign("untold", &[1])]);
    let signs = vec![
        sign("told", &[0]),
        sign("untold", &[1]),
        sign("too new", &[2]),
    ];
    watch.look(30, signs);
    watch.told.clear();
    watch.incidents.leave();
    watch.delivery = Delivery::Taken;
    watch.tell(31);
    watch.check(&[
        "31 open untold x1",
        "31 released told x1",
        "31 released untold x1",
    ]);
}

#[test]
fn an_event_is_told_once_and_of_too_many_the_oldest_are_dropped() {
    let mut watch = Watch::new(None);
    let event = |number: usize| Notice {
        state: State::Event,
        ..Notice::plain(AlertKind::Drift, &number.to_string(), "warn", "drifted", 0)
    };
    let dropped = (0..100)
        .filter(|number| {
            let has_room = watch.incidents.happened(number.to_string(), event(*number));
            // Each worker may meet it.
            assert!(watch.incidents.happened(number.to_string(), event(*number)));
            !has_room
        })
        .count();
    assert_eq!(dropped, 36);
    assert_eq!(watch.incidents.waiting(now(0)), EVENTS);
    watch.tell(0);
    assert_eq!(watch.told.len(), EVENTS);
    assert_eq!(watch.told[0], "0 event 36 x1");
    assert_eq!(watch.incidents.waiting(now(0)), 0);
}

#[test]
fn a_notice_names_few_partitions_and_counts_all() {
    let mut incidents = Incidents::new(Duration::ZERO, None);
    let all: Vec<i32> = (0..1000).collect();
    incidents.look(now(0), vec![sign("a", &all)], &|_| true);
    let (_, notice) = incidents.next(now(0)).expect("open");
    assert_eq!(notice.partitions.len(), NAMED);
    assert_eq!((notice.partitions_in_all, notice.count), (1000, 1000));
    assert_eq!(
        notice.text,
        "paused by a: orders[0], orders[1], orders[2] and 997 more"
    );
    assert_eq!(notice.first_seen, 5, "when the first of them was paused");
    assert_eq!(notice.topic.as_deref(), Some("orders"));
}

#[test]
fn partitions_that_come_out_of_it_one_by_one_are_all_in_its_end() {
    let mut incidents = Incidents::new(Duration::ZERO, None);
    incidents.look(now(0), vec![sign("a", &[0, 1, 2])], &|_| true);
    let (ticket, _) = incidents.next(now(0)).expect("open");
    incidents.told(&ticket, Delivery::Taken, now(0));
    incidents.look(now(1), vec![sign("a", &[2, 3])], &|_| true);
    incidents.look(now(2), vec![], &|_| true);
    let (_, notice) = incidents.next(now(2)).expect("its end");
    assert_eq!((notice.partitions_in_all, notice.count), (4, 4));
}

/// What happens in a second: which causes are seen, and how the receiver behaves.
#[derive(Debug, Clone)]
struct Second {
    seen: BTreeSet<u8>,
    delivery: Delivery,
    /// Whether a notice whose answer got lost was taken all the same.
    arrived: bool,
    posts: usize,
}

fn second() -> impl Strategy<Value = Second> {
    let delivery = prop_oneof![
        4 => Just(Delivery::Taken),
        2 => Just(Delivery::Refused),
        1 => Just(Delivery::Unknown),
    ];
    (
        proptest::collection::btree_set(0u8..4, 0..4),
        delivery,
        any::<bool>(),
        0usize..3,
    )
        .prop_map(|(seen, delivery, arrived, posts)| Second {
            seen,
            delivery,
            arrived,
            posts,
        })
}

proptest! {
    /// Whatever came before: once things stand still and the receiver answers, it believes what is the case, is told no
    /// more, and nothing is kept of what is over. Nobody is told of the end of what they were never told.
    #[test]
    fn a_receiver_comes_to_believe_what_is_the_case(
        seconds in proptest::collection::vec(second(), 0..200),
        last in proptest::collection::btree_set(0u8..4, 0..4),
    ) {
        let mut incidents = Incidents::new(AFTER, None);
        let mut believes: BTreeSet<String> = BTreeSet::new();
        let mut perhaps: BTreeSet<String> = BTreeSet::new();
        let calm = Second { seen: last.clone(), delivery: Delivery::Taken, arrived: true, posts: 10 };
        let calm = std::iter::repeat_n(calm, 30);
        let mut told_late = 0;
        let count = seconds.len();
        for (index, step) in seconds.into_iter().chain(calm).enumerate() {
            let at = now(index as u64);
            let signs = step.seen.iter().map(|one| sign(&one.to_string(), &[i32::from(*one)]));
            incidents.look(at, signs.collect(), &|_| true);
            for _ in 0..step.posts {
                let Some((ticket, notice)) = incidents.next(at) else { break };
                let subject = notice.subject.clone();
                if index > count + 20 {
                    told_late += 1;
                }
                let is_end = notice.state == State::Resolved;
                prop_assert!(!is_end || believes.contains(&subject) || perhaps.contains(&subject));
                let arrived = match step.delivery {
                    Delivery::Taken => true,
                    Delivery::Refused => false,
                    Delivery::Unknown => step.arrived,
                };
                if step.delivery == Delivery::Unknown {
                    perhaps.insert(subject.clone());
                }
                if arrived {
                    if step.delivery == Delivery::Taken {
                        prop_assert!(
                            is_end || !believes.contains(&subject) || perhaps.contains(&subject),
                            "{subject} is told twice"
                        );
                        perhaps.remove(&subject);
                    }
                    match is_end {
                        true => believes.remove(&subject),
                        false => believes.insert(subject),
                    };
                }
                incidents.told(&ticket, step.delivery, at);
            }
        }
        let case: BTreeSet<String> = last.iter().map(u8::to_string).collect();
        prop_assert_eq!(&believes, &case);
        prop_assert_eq!(told_late, 0);
        prop_assert_eq!(incidents.known.len(), case.len());
    }
}
