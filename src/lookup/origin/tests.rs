//! The states of a server, with a clock of the test's own.

use super::*;

fn stands(state: &mut State, now: Instant) -> &'static str {
    match state.next(now, now + Duration::from_secs(5), false) {
        Next::Go => "go",
        Next::Wait(_) => "wait",
        Next::Refuse(refusal) if refusal.is_told_to_wait => "told",
        Next::Refuse(_) => "open",
    }
}

#[test]
fn it_opens_after_failures_in_a_row_and_one_probe_decides() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut state = State::default();
    for _ in 1..FAILURES {
        state.failed(start);
    }
    assert_eq!(stands(&mut state, start), "go");
    state.close();
    for _ in 1..FAILURES {
        state.failed(start);
        assert_eq!(
            stands(&mut state, start),
            "go",
            "not in a row with those before"
        );
    }
    state.failed(start);
    assert_eq!(stands(&mut state, start), "open");
    // Those under way do not make the wait longer.
    state.failed(at(500));
    assert_eq!(stands(&mut state, at(999)), "open");
    let late = at(1000);
    assert!(matches!(state.next(late, at(9000), true), Next::Go));
    assert_eq!(stands(&mut state, late), "wait", "one probe at a time");
    state.failed(late);
    assert_eq!(stands(&mut state, at(2999)), "open", "twice the wait");
    assert!(matches!(state.next(at(3000), at(9000), true), Next::Go));
    state.close();
    assert_eq!(stands(&mut state, at(3000)), "go");
}

#[test]
fn waits_grow_to_a_bound() {
    let mut now = Instant::now();
    let mut state = State::default();
    for _ in 0..FAILURES {
        state.failed(now);
    }
    let mut waits = Vec::new();
    for _ in 0..8 {
        let Stand::Open { until } = state.stand else {
            panic!("open");
        };
        waits.push(until.duration_since(now).as_secs());
        now = until;
        assert!(matches!(state.next(now, now, true), Next::Go));
        state.failed(now);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
}

fn origin() -> (Arc<Origin>, Arc<Health>) {
    let health = Health::new();
    let origin = Origins::default().of("http://crm:8080", &health, &Metrics::new());
    (origin, health)
}

#[tokio::test]
async fn it_is_left_alone_when_it_says_so() {
    let (origin, health) = origin();
    let late = || Instant::now() + Duration::from_secs(20);
    let pass = origin.enter(late()).await.expect("closed");
    pass.report(Outcome::ToldToWait("answered 429", Duration::from_secs(60)));
    let refused = origin.enter(late()).await.err().expect("left alone");
    assert!(refused.is_told_to_wait);
    let wait = refused.wait.expect("known");
    assert!(
        wait > Duration::from_secs(50) && wait <= Duration::from_secs(60),
        "{wait:?}"
    );
    assert!(origin.peek().is_err());
    assert_eq!(
        health.dependencies(),
        [(Dependency::Lookup("crm:8080".to_owned()), false)]
    );
    // A date in a far future is a mistake.
    origin.report(&Outcome::ToldToWait(
        "answered 503",
        Duration::from_secs(1 << 30),
    ));
    let refused = origin.enter(late()).await.err().expect("left alone");
    assert!(refused.wait.expect("known") <= LONGEST_RETRY_AFTER);
}

#[tokio::test]
async fn a_short_wait_is_waited_out() {
    let (origin, _) = origin();
    origin.report(&Outcome::ToldToWait(
        "answered 429",
        Duration::from_millis(80),
    ));
    let begun = Instant::now();
    let late = begun + Duration::from_secs(20);
    origin
        .enter(late)
        .await
        .expect("let in")
        .report(Outcome::Answered);
    assert!(begun.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn those_who_wait_for_the_probe_learn_of_its_outcome() {
    let (origin, health) = origin();
    origin.lock().stand = Stand::Open {
        until: Instant::now(),
    };
    let late = Instant::now() + Duration::from_secs(20);
    let probe = origin.enter(late).await.expect("the probe");
    let waiting = {
        let origin = Arc::clone(&origin);
        tokio::spawn(async move {
            origin
                .enter(late)
                .await
                .map(|pass| pass.report(Outcome::Answered))
                .is_ok()
        })
    };
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    probe.report(Outcome::Answered);
    assert!(waiting.await.expect("no panic"), "let in");
    assert_eq!(
        health.dependencies(),
        [(Dependency::Lookup("crm:8080".to_owned()), true)]
    );
    // A probe that is given up does not lock the door.
    origin.lock().stand = Stand::Open {
        until: Instant::now(),
    };
    drop(origin.enter(late).await.expect("the probe"));
    assert!(matches!(origin.lock().stand, Stand::Open { .. }));
}
