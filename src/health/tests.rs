use super::*;

fn pause(partition: i32, reason: PauseReason) -> PauseEntry {
    PauseEntry {
        pipeline: "gate".into(),
        topic: "orders".into(),
        partition,
        reason,
        detail: "connection refused".into(),
        since: 1_700_000_000_000,
        until: None,
    }
}

fn running() -> Arc<Health> {
    let health = Health::new();
    health.worker_alive("gate", 0);
    health.worker_joined("gate", 0);
    health.set_running();
    health
}

/// `expect`: the readiness reasons after `act`; none means ready.
fn check(act: impl FnOnce(&Health), expect: &[&str]) {
    let health = running();
    act(&health);
    let readiness = health.readiness();
    assert_eq!(readiness.reasons, expect);
    assert_eq!(readiness.ready, expect.is_empty());
    let report = health.report();
    assert_eq!(report["ready"], expect.is_empty());
    assert_eq!(report["reasons"], json!(expect));
}

#[test]
fn readiness_table() {
    check(|_| (), &[]);
    check(
        |h| h.start_up("checking topics"),
        &["starting: checking topics"],
    );
    check(Health::shutting_down, &["shutting down"]);
    check(
        |h| {
            h.shutting_down();
            h.set_running();
        },
        &["shutting down"],
    );
    check(
        |h| h.worker_alive("gate", 1),
        &["worker 1 of gate has not joined its consumer group yet"],
    );
    check(
        |h| {
            h.worker_alive("gate", 1);
            h.worker_joined("gate", 1);
        },
        &[],
    );
    check(
        |h| h.worker_ended("gate", 0, Err("panicked".into())),
        &["worker 0 of gate ended: panicked"],
    );
    check(|h| h.worker_ended("gate", 0, Ok(())), &[]);
    check(|h| h.pause(pause(0, PauseReason::RetryNotDue)), &[]);
    check(|h| h.pause(pause(0, PauseReason::Backpressure)), &[]);
    check(
        |h| h.pause(pause(0, PauseReason::RegistryUnavailable)),
        &["gate: orders[0] paused, registry_unavailable: connection refused"],
    );
    check(
        |h| {
            h.pause(pause(0, PauseReason::RegistryUnavailable));
            h.resume("gate", "orders", 0);
        },
        &[],
    );
    check(
        |h| {
            h.pause(pause(0, PauseReason::BrokerRefused));
            h.release("gate", "orders", 0);
        },
        &[],
    );
    check(
        |h| {
            h.pause(pause(0, PauseReason::BrokerRefused));
            h.pause(pause(0, PauseReason::RetryNotDue));
        },
        &[],
    );
    check(
        |h| h.dependency(Dependency::Registry, Err("timed out".into())),
        &["registry is unavailable: timed out"],
    );
    check(
        |h| h.dependency(Dependency::Broker, Err("all brokers down".into())),
        &["broker is unavailable: all brokers down"],
    );
    check(
        |h| {
            h.dependency(Dependency::Registry, Err("timed out".into()));
            h.dependency(Dependency::Registry, Ok(()));
        },
        &[],
    );
    check(
        |h| h.dependency(Dependency::Lookup("customer".into()), Err("503".into())),
        &[],
    );
    check(
        |h| {
            h.dependency(
                Dependency::Table("gate.customer".into()),
                Err("not loaded".into()),
            )
        },
        &["lookup gate.customer: not loaded"],
    );
    check(
        |h| h.dependency(Dependency::Topic("orders".into()), Err("it is gone".into())),
        &["topic orders: it is gone"],
    );
    let health = running();
    health.dependency(Dependency::Lookup("crm:80".into()), Err("503".into()));
    assert_eq!(health.readiness().degraded, ["lookup:crm:80: 503"]);
}

#[test]
fn many_paused_partitions_are_one_reason() {
    let health = running();
    for partition in 0..500 {
        health.pause(pause(partition, PauseReason::RegistryUnavailable));
    }
    health.pause(pause(500, PauseReason::RetryNotDue));
    let readiness = health.readiness();
    assert_eq!(
        readiness.reasons,
        [
            "gate: orders[0], orders[1], orders[2], 497 more paused, registry_unavailable: connection refused"
        ]
    );
    assert_eq!(readiness.paused, 500);
}

#[test]
fn every_fault_makes_unready_and_no_other_pause_does() {
    for reason in PauseReason::ALL {
        let health = running();
        health.pause(pause(0, reason));
        assert_eq!(health.readiness().ready, !reason.is_fault(), "{reason}");
    }
}

#[test]
fn a_silent_or_dead_worker_is_not_alive() {
    let health = Health::new();
    let start = Instant::now();
    health.worker_alive_at("gate", 0, start);
    health.worker_alive_at("gate", 1, start);
    assert!(health.liveness_at(start + WORKER_SILENCE).alive);

    let late = start + WORKER_SILENCE + Duration::from_secs(1);
    health.worker_alive_at("gate", 1, late);
    let liveness = health.liveness_at(late);
    assert!(!liveness.alive);
    assert_eq!(
        liveness.reasons,
        ["worker 0 of gate has been silent for 61 s"]
    );

    health.worker_alive_at("gate", 0, late);
    assert!(health.liveness_at(late).alive);
    health.worker_ended("gate", 0, Err("panicked".into()));
    assert_eq!(
        health.liveness_at(late).reasons,
        ["worker 0 of gate ended: panicked"]
    );
}

#[test]
fn an_outage_never_asks_for_a_restart() {
    let health = running();
    health.pause(pause(0, PauseReason::RegistryUnavailable));
    health.dependency(Dependency::Registry, Err("timed out".into()));
    health.shutting_down();
    assert!(!health.readiness().ready);
    assert!(health.liveness().alive);
}

#[test]
fn what_an_operator_has_paused_is_told_and_is_no_fault() {
    let health = running();
    health.pause(pause(3, PauseReason::Operator));
    let readiness = health.readiness();
    assert!(readiness.ready && readiness.paused == 0, "{readiness:?}");
    let told = "gate: orders[3] paused, operator: connection refused";
    assert_eq!(readiness.degraded, [told]);
    health.pause(pause(4, PauseReason::Breaker));
    let readiness = health.readiness();
    assert!(!readiness.ready && readiness.paused == 1, "{readiness:?}");
    assert_eq!(readiness.degraded, [told]);
}

#[test]
fn the_report_tells_pauses_and_dependencies() {
    let health = running();
    health.pause(PauseEntry {
        until: Some(1_700_000_005_000),
        ..pause(2, PauseReason::RetryNotDue)
    });
    health.dependency(Dependency::Lookup("customer".into()), Err("503".into()));
    let report = health.report();
    assert_eq!(report["phase"], "running");
    assert_eq!(report["workers"][0]["joined"], true);
    assert_eq!(
        report["paused"][0],
        json!({
            "pipeline": "gate", "topic": "orders", "partition": 2, "reason": "retry_not_due", "fault": false,
            "detail": "connection refused", "since": "2023-11-14T22:13:20Z", "until": "2023-11-14T22:13:25Z",
        })
    );
    assert_eq!(
        report["dependencies"],
        json!([{ "name": "lookup:customer", "up": false, "for_seconds": 0, "error": "503" }])
    );
}

#[test]
fn what_is_wrong_is_told_for_each_pipeline() {
    let health = running();
    let of = |pipeline: &str, partition| PauseEntry {
        pipeline: pipeline.into(),
        ..pause(partition, PauseReason::RegistryUnavailable)
    };
    health.pause(of("gate", 1));
    health.pause(of("gate-2", 2));
    health.pause(of("a", 3));
    health.pause(pause(4, PauseReason::Backpressure));
    health.stuck("gate", "orders", 5);
    health.stuck("a", "orders", 6);
    health.retry_waits("gate", "orders.gate.retry.1", 7, Some(1_700));
    health.retry_waits("gate", "orders.gate.retry.1", 8, Some(1_800));
    health.retry_waits("gate", "orders.gate.retry.1", 8, None);
    health.dependency(Dependency::Broker, Ok(()));
    health.dependency(Dependency::Registry, Err("refused".into()));
    let drift = |field: &str| Drift {
        topic: "orders".to_owned(),
        schema_id: 7,
        field: field.to_owned(),
        owner: "shop".to_owned(),
        action: "warn",
        since: 5,
        tests: vec![("numbers", 0.9, 0.2)],
    };
    for (pipeline, field) in [("gate", "amount"), ("gate", "status"), ("gate-2", "amount")] {
        health.drifts(pipeline, drift(field));
    }
    health.drifts_no_more("gate", "orders", 7, "status");
    health.drifts_no_more("gate", "orders", 8, "amount");
    let expected = Faults {
        pauses: vec![of("gate", 1)],
        stuck: vec![("orders".into(), 5)],
        retries: vec![("orders.gate.retry.1".into(), 7, 1_700)],
        down: vec![(Dependency::Registry, "refused".into())],
        drifts: vec![drift("amount")],
    };
    assert_eq!(health.faults("gate"), expected);
    health.release("gate", "orders", 1);
    health.release("gate", "orders", 5);
    health.release("gate", "orders.gate.retry.1", 7);
    health.drifts_no_more("gate", "orders", 7, "amount");
    let left = Faults {
        down: expected.down,
        ..Faults::default()
    };
    assert_eq!(health.faults("gate"), left);
    assert_eq!(health.faults("a").pauses.len(), 1);
}

#[test]
fn a_pause_that_goes_on_began_when_it_did() {
    let health = running();
    let at = |since, reason| PauseEntry {
        since,
        ..pause(0, reason)
    };
    let since = || health.faults("gate").pauses[0].since;
    health.pause(at(1_000, PauseReason::RegistryUnavailable));
    health.pause(at(2_000, PauseReason::RegistryUnavailable));
    assert_eq!(since(), 1_000);
    health.pause(at(3_000, PauseReason::BrokerRefused));
    assert_eq!(since(), 3_000, "another reason is another pause");
    health.resume("gate", "orders", 0);
    health.pause(at(4_000, PauseReason::BrokerRefused));
    assert_eq!(since(), 4_000);
}
