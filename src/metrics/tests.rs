use super::*;
use crate::error::Reason;
use crate::health::PauseReason;
use proptest::prelude::*;

/// The value of the one sample whose line begins with `series`.
fn sample(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.render();
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .map(|value| value.parse().expect("a number"));
    let value = values.next();
    assert_eq!(values.next(), None, "{series} is there twice");
    value
}

/// The sum of a family's samples for one topic partition.
fn sum(metrics: &Metrics, family: &str, labels: &[&str]) -> f64 {
    let text = metrics.render();
    text.lines()
        .filter(|line| line.starts_with(&format!("{family}{{")))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[test]
fn the_page_that_prometheus_scrapes() {
    let metrics = Metrics::new();
    let orders = metrics.partition("clean-orders", "orders", 3);
    orders.read(14);
    orders.emitted(6);
    orders.filtered(1);
    orders.duplicate(1);
    orders.stale(1);
    orders.retried(Reason::LookupUnavailable);
    orders.dead_lettered(Reason::MalformedData);
    orders.dead_lettered(Reason::RuleViolation);
    orders.discarded(1);
    orders.set_in_flight(1);
    orders.schema(7);
    orders.schema(7);
    orders.schema(8);
    orders.rule_warned("known-currency");
    orders.foreign_field("email", "shop", "ignore");
    orders.set_lag(42);
    orders.set_committed(1012);
    orders.set_paused(Some(&PauseReason::RegistryUnavailable));
    orders.set_stuck(false);
    orders.emit_latency(0.004);
    orders.emit_latency(7.0);
    orders.set_last_dead_letter(1_700_000_000.0);
    orders.flush();
    let retry = metrics.partition("clean-orders", "orders.gate.retry.1", 3);
    retry.set_retries_pending(5);
    let pipeline = metrics.pipeline("clean-orders");
    pipeline.batch(0.002, 14);
    pipeline.rebalance();
    pipeline.commit(true);
    pipeline.commit(false);
    metrics.set_schema_cache(&CacheStats {
        hits: 12,
        misses: 2,
        fetches: 2,
        failures: 1,
        evictions: 0,
        entries: 1,
    });
    let lookup = metrics.lookup("clean-orders", "customer");
    lookup.asked(LookupResult::Found, 0.03);
    lookup.asked(LookupResult::Missing, 0.02);
    lookup.asked(LookupResult::Unavailable, 2.0);
    lookup.asked(LookupResult::Misconfigured, 0.01);
    lookup.not_asked(NotAsked::Breaker);
    lookup.not_asked(NotAsked::Limit);
    lookup.cache_hit();
    lookup.cache_miss();
    lookup.evicted();
    lookup.cache_size(1, 200);
    lookup.limit_share(25.0);
    metrics.breaker("crm:8080").open();
    let table = metrics.table("clean-orders", "country");
    table.loaded(true);
    table.rows(240, 24_000);
    table.lag(3);
    table.unreadable(1);
    table.unreadable_seen();
    let health = Health::new();
    health.dependency(Dependency::Registry, Err("timed out".into()));
    health.dependency(Dependency::Lookup("customer".into()), Ok(()));
    metrics.observe_health(&health);

    let page = metrics.render();
    if cfg!(target_os = "linux") {
        assert!(page.contains("process_resident_memory_bytes"));
    }
    let ours: String = page
        .lines()
        .filter(|line| !line.contains("process_"))
        .map(|line| line.replace(env!("CARGO_PKG_VERSION"), "VERSION") + "\n")
        .collect();
    insta::assert_snapshot!(ours);
}

#[test]
fn every_family_has_help_and_a_name_of_ours() {
    let metrics = Metrics::new();
    for family in metrics.registry.gather() {
        assert!(!family.help().is_empty(), "{}", family.name());
        let name = family.name();
        assert!(
            name.starts_with("driftgate_") || name.starts_with("process_"),
            "{name}"
        );
    }
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Emitted,
    Filtered,
    Duplicate,
    Stale,
    Retried(usize),
    DeadLettered(usize),
    Discarded,
    InFlight,
}

fn fate() -> impl Strategy<Value = Fate> {
    let reason = 0..Reason::ALL.len();
    prop_oneof![
        Just(Fate::Emitted),
        Just(Fate::Filtered),
        Just(Fate::Duplicate),
        Just(Fate::Stale),
        reason.clone().prop_map(Fate::Retried),
        reason.prop_map(Fate::DeadLettered),
        Just(Fate::Discarded),
        Just(Fate::InFlight),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The identity of the module's head, on what is scraped and on the totals, over several partitions and
    /// reassignments between the records.
    #[test]
    fn outcomes_partition_the_input(records in prop::collection::vec((0..3_i32, fate(), any::<bool>()), 0..60)) {
        let metrics = Metrics::new();
        let mut owned: Vec<_> = (0..3).map(|p| (metrics.partition("gate", "orders", p), 0_usize)).collect();
        for (partition, fate, reassigned) in &records {
            let (handles, in_flight) = &mut owned[*partition as usize];
            if *reassigned {
                // What is in flight at a revoke is discarded: its next owner reads it again.
                handles.discarded(*in_flight as u64);
                metrics.forget_partition(handles);
                *handles = metrics.partition("gate", "orders", *partition);
                *in_flight = 0;
            }
            handles.read(1);
            match fate {
                Fate::Emitted => handles.emitted(1),
                Fate::Filtered => handles.filtered(1),
                Fate::Duplicate => handles.duplicate(1),
                Fate::Stale => handles.stale(1),
                Fate::Retried(reason) => handles.retried(Reason::ALL[*reason]),
                Fate::DeadLettered(reason) => handles.dead_lettered(Reason::ALL[*reason]),
                Fate::Discarded => handles.discarded(1),
                Fate::InFlight => *in_flight += 1,
            }
            handles.set_in_flight(*in_flight);
        }
        for (handles, _) in &owned {
            handles.flush();
        }

        for partition in 0..3 {
            let label = format!("partition=\"{partition}\"");
            let of = |family: &str| sum(&metrics, family, &[&label]);
            let read_here = records.iter().filter(|(p, _, _)| *p == partition).count();
            prop_assert_eq!(of("driftgate_records_read_total"), read_here as f64);
            prop_assert_eq!(
                of("driftgate_records_read_total"),
                of("driftgate_records_total") + of("driftgate_records_discarded_total") + of("driftgate_records_in_flight")
            );
        }
        let failed = |outcome: &str| sum(&metrics, "driftgate_records_total", &[&format!("outcome=\"{outcome}\"")]);
        let by_reason = |d: &str| sum(&metrics, "driftgate_failures_total", &[&format!("disposition=\"{d}\"")]);
        prop_assert_eq!(by_reason("retried"), failed("retried"));
        prop_assert_eq!(by_reason("dead_lettered"), failed("dead_lettered"));
        let totals = metrics.totals();
        prop_assert_eq!(totals.read, totals.outcomes() + totals.in_flight);
    }
}

#[test]
fn a_revoked_partition_keeps_its_counters_and_loses_its_gauges() {
    let metrics = Metrics::new();
    let handles = metrics.partition("gate", "orders", 0);
    handles.read(3);
    handles.emitted(3);
    handles.set_lag(9);
    handles.set_committed(3);
    handles.set_paused(Some(&PauseReason::BrokerRefused));
    metrics.forget_partition(&handles);

    let labels = r#"{partition="0",pipeline="gate",topic="orders"}"#;
    let read = format!("driftgate_records_read_total{labels}");
    assert_eq!(sample(&metrics, &read), Some(3.0));
    for gauge in [
        "lag_records",
        "records_in_flight",
        "committed_offset",
        "partition_stuck",
    ] {
        assert_eq!(
            sample(&metrics, &format!("driftgate_{gauge}{labels}")),
            None,
            "{gauge}"
        );
    }
    assert!(!metrics.render().contains("driftgate_partition_paused{"));
    assert_eq!(metrics.totals().lag, 0);

    // A late write through the old handles is not seen, and a new assignment goes on counting.
    handles.set_lag(9);
    handles.set_retries_pending(9);
    handles.set_paused(Some(&PauseReason::Backpressure));
    assert!(
        !metrics
            .render()
            .contains("driftgate_retries_pending_records{")
    );
    assert!(!metrics.render().contains("driftgate_partition_paused{"));
    assert_eq!(metrics.totals().lag, 0);
    metrics.partition("gate", "orders", 0).read(2);
    assert_eq!(sample(&metrics, &read), Some(5.0));
}

#[test]
fn what_is_counted_is_told_by_a_flush_and_by_the_end() {
    let metrics = Metrics::new();
    let read = r#"driftgate_records_read_total{partition="0",pipeline="gate",topic="orders"}"#;
    let handles = metrics.partition("gate", "orders", 0);
    handles.read(3);
    assert_eq!(sample(&metrics, read), Some(0.0));
    handles.flush();
    handles.flush();
    assert_eq!(sample(&metrics, read), Some(3.0));
    handles.read(1);
    // Whatever is told at once comes behind what was read before it.
    handles.discarded(1);
    assert_eq!(sample(&metrics, read), Some(4.0));
    handles.read(1);
    drop(handles);
    assert_eq!(sample(&metrics, read), Some(5.0));
}

#[test]
fn a_late_forget_does_not_take_the_next_owners_gauges() {
    let metrics = Metrics::new();
    let lost = metrics.partition("gate", "orders", 0);
    lost.set_paused(Some(&PauseReason::BrokerRefused));
    let owner = metrics.partition("gate", "orders", 0);
    owner.set_lag(4);
    metrics.forget_partition(&lost);
    assert!(!metrics.render().contains("driftgate_partition_paused{"));
    assert_eq!(metrics.totals().lag, 4);
    metrics.forget_partition(&owner);
    assert_eq!(metrics.totals().lag, 0);
}

#[test]
fn schema_ids_are_bounded_and_none_is_lost() {
    let metrics = Metrics::new();
    let first = metrics.partition("gate", "orders", 0);
    let second = metrics.partition("gate", "orders", 1);
    for id in 0..1500 {
        first.schema(id);
        // The other partition meets them in another order: the bound is the topic's.
        second.schema(1499 - id);
    }
    first.flush();
    second.flush();
    metrics.partition("gate", "payments", 0).schema(1499);

    let page = metrics.render();
    let series = page
        .lines()
        .filter(|line| line.starts_with("driftgate_schema_records_total{"));
    let of_orders = series
        .clone()
        .filter(|line| line.contains("\"orders\""))
        .count();
    assert_eq!(of_orders, MAX_SCHEMA_IDS + 1);
    assert_eq!(series.count(), MAX_SCHEMA_IDS + 2);
    assert_eq!(
        sum(&metrics, "driftgate_schema_records_total", &["\"orders\""]),
        3000.0
    );
    let other =
        r#"driftgate_schema_records_total{pipeline="gate",schema_id="other",topic="orders"}"#;
    assert_eq!(sample(&metrics, other), Some(1000.0));
}

#[test]
fn a_pause_is_counted_once_and_tells_one_reason() {
    let metrics = Metrics::new();
    let handles = metrics.partition("gate", "orders", 0);
    let paused = |reason: &str| {
        let series = format!(
            r#"driftgate_partition_paused{{partition="0",pipeline="gate",reason="{reason}",topic="orders"}}"#
        );
        sample(&metrics, &series)
    };
    handles.set_paused(Some(&PauseReason::RegistryUnavailable));
    handles.set_paused(Some(&PauseReason::RegistryUnavailable));
    assert_eq!(paused("registry_unavailable"), Some(1.0));
    handles.set_paused(Some(&PauseReason::BrokerRefused));
    assert_eq!(paused("registry_unavailable"), Some(0.0));
    assert_eq!(paused("broker_refused"), Some(1.0));
    handles.set_paused(None);
    assert_eq!(sum(&metrics, "driftgate_partition_paused", &[]), 0.0);
    assert_eq!(sum(&metrics, "driftgate_partition_pauses_total", &[]), 2.0);
}

#[test]
fn cache_figures_are_absolute_and_never_fall() {
    let metrics = Metrics::new();
    let hits = "driftgate_schema_cache_hits_total";
    for (told, expect) in [(5, 5.0), (9, 9.0), (7, 9.0), (12, 12.0)] {
        metrics.set_schema_cache(&CacheStats {
            hits: told,
            entries: told,
            ..CacheStats::default()
        });
        assert_eq!(sample(&metrics, hits), Some(expect));
        let entries = sample(&metrics, "driftgate_schema_cache_entries");
        assert_eq!(entries, Some(told as f64));
    }
}

#[test]
fn clocks_that_disagree_do_not_make_negative_latencies_or_ages() {
    let metrics = Metrics::new();
    let handles = metrics.partition("gate", "orders", 0);
    handles.emit_latency(-5.0);
    handles.flush();
    handles.set_last_dead_letter(100.0);
    metrics
        .partition("gate", "orders", 1)
        .set_last_dead_letter(90.0);
    let labels = r#"{pipeline="gate",topic="orders"}"#;
    let of = |name: &str| sample(&metrics, &format!("driftgate_{name}{labels}"));
    assert_eq!(of("emit_latency_seconds_sum"), Some(0.0));
    assert_eq!(of("emit_latency_seconds_count"), Some(1.0));
    assert_eq!(of("dead_letter_last_timestamp_seconds"), Some(100.0));
}

#[test]
fn alerts_see_the_dead_letters_of_one_pipeline_and_whose_a_partition_is() {
    let metrics = Metrics::new();
    let orders = metrics.partition("p", "orders", 0);
    orders.dead_lettered(Reason::MalformedData);
    orders.dead_lettered(Reason::MalformedData);
    orders.retried(Reason::LookupUnavailable);
    let more = metrics.partition("p", "orders", 1);
    more.dead_lettered(Reason::MalformedData);
    metrics
        .partition("q", "orders", 0)
        .dead_lettered(Reason::Drift);
    let expected = [(("orders".to_owned(), "malformed_data".to_owned()), 3)];
    assert_eq!(metrics.dead_letters("p"), expected.into());
    assert_eq!(metrics.dead_letters("nobody"), DeadLetters::new());
    assert!(metrics.owns("p", "orders", 0) && !metrics.owns("p", "orders", 2));
    metrics.forget_partition(&orders);
    assert!(!metrics.owns("p", "orders", 0), "it was revoked");

    let webhook = metrics.alert("p", 2, &["drift"]);
    assert!(
        !metrics.render().contains("driftgate_alert_webhook_up{"),
        "unknown"
    );
    webhook.sent("drift", false);
    webhook.waiting(3);
    let page = metrics.render();
    for line in [
        r#"driftgate_alerts_sent_total{kind="drift",pipeline="p",result="failed"} 1"#,
        r#"driftgate_alerts_sent_total{kind="drift",pipeline="p",result="ok"} 0"#,
        r#"driftgate_alerts_waiting{pipeline="p",webhook="2"} 3"#,
        r#"driftgate_alert_webhook_up{pipeline="p",webhook="2"} 0"#,
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    webhook.sent("drift", true);
    assert!(
        metrics
            .render()
            .contains(r#"webhook_up{pipeline="p",webhook="2"} 1"#)
    );
}
