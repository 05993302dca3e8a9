//! The metric families: every name, help text, unit and label set, in one place. What is counted when is said in the
//! parent module.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

/// From a millisecond, a record that flows, to an hour, one that went through the longest usual retry tiers.
const LATENCY_BUCKETS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0, 3600.0,
];

/// A batch takes microseconds when it is small and seconds when a lookup answers slowly.
const BATCH_SECONDS_BUCKETS: [f64; 12] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// From a neighbour's answer to the longest time-out in use.
const LOOKUP_BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

const BATCH_RECORDS_BUCKETS: [f64; 8] = [1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0];

const PARTITION: [&str; 3] = ["pipeline", "topic", "partition"];

#[derive(Debug)]
pub(super) struct Families {
    pub(super) read: IntCounterVec,
    pub(super) outcomes: IntCounterVec,
    pub(super) outputs: IntCounterVec,
    pub(super) discarded: IntCounterVec,
    pub(super) expired: IntCounterVec,
    pub(super) failures: IntCounterVec,
    pub(super) rule_warnings: IntCounterVec,
    pub(super) foreign_fields: IntCounterVec,
    pub(super) schemas: IntCounterVec,
    pub(super) drift: IntCounterVec,
    pub(super) value_drift: IntGaugeVec,
    pub(super) value_drifts: IntCounterVec,
    pub(super) profiled: IntCounterVec,
    pub(super) profile_windows: IntCounterVec,
    pub(super) not_profiled: IntCounterVec,
    pub(super) plan_evictions: IntCounterVec,
    pub(super) emit_latency: HistogramVec,
    pub(super) dead_letter_last: GaugeVec,
    pub(super) lag: IntGaugeVec,
    pub(super) in_flight: IntGaugeVec,
    pub(super) committed: IntGaugeVec,
    pub(super) retries_pending: IntGaugeVec,
    pub(super) parked_keys: IntGaugeVec,
    pub(super) parked_records: IntGaugeVec,
    pub(super) seen_keys: IntGaugeVec,
    pub(super) forgotten_early: IntCounterVec,
    pub(super) newest_keys: IntGaugeVec,
    pub(super) newest_forgotten_early: IntCounterVec,
    pub(super) stale_passed: IntCounterVec,
    pub(super) reordered: IntCounterVec,
    pub(super) state_remaining: IntGaugeVec,
    pub(super) state_restored: IntCounterVec,
    pub(super) state_bytes: IntGaugeVec,
    pub(super) state_failures: IntCounterVec,
    pub(super) paused: IntGaugeVec,
    pub(super) stuck: IntGaugeVec,
    pub(super) unaccounted: IntGaugeVec,
    pub(super) unproved: IntGaugeVec,
    pub(super) audits: IntCounterVec,
    pub(super) pauses: IntCounterVec,
    pub(super) batch_seconds: HistogramVec,
    pub(super) batch_records: HistogramVec,
    pub(super) rebalances: IntCounterVec,
    pub(super) commits: IntCounterVec,
    pub(super) cache_hits: IntCounter,
    pub(super) cache_misses: IntCounter,
    pub(super) cache_fetches: IntCounter,
    pub(super) cache_failures: IntCounter,
    pub(super) cache_evictions: IntCounter,
    pub(super) cache_entries: IntGauge,
    pub(super) lookups: Lookups,
    pub(super) alerts_sent: IntCounterVec,
    pub(super) alerts_waiting: IntGaugeVec,
    pub(super) alert_webhook_up: IntGaugeVec,
    pub(super) dependency_up: IntGaugeVec,
    pub(super) ready: Gauge,
    pub(super) build_info: IntGaugeVec,
}

/// Those of lookups.
#[derive(Debug)]
pub(super) struct Lookups {
    pub(super) requests: IntCounterVec,
    pub(super) seconds: HistogramVec,
    pub(super) not_asked: IntCounterVec,
    pub(super) cache_hits: IntCounterVec,
    pub(super) cache_misses: IntCounterVec,
    pub(super) cache_evictions: IntCounterVec,
    pub(super) cache_entries: IntGaugeVec,
    pub(super) cache_bytes: IntGaugeVec,
    pub(super) limit_share: GaugeVec,
    pub(super) breaker: IntGaugeVec,
    pub(super) table_loaded: IntGaugeVec,
    pub(super) table_rows: IntGaugeVec,
    pub(super) table_bytes: IntGaugeVec,
    pub(super) table_lag: IntGaugeVec,
    pub(super) table_unreadable: IntGaugeVec,
    pub(super) table_unreadable_seen: IntCounterVec,
}

const LOOKUP: [&str; 2] = ["pipeline", "lookup"];

impl Lookups {
    fn register(registry: &Registry) -> Lookups {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            keep(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            keep(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let seconds = HistogramOpts::new(
            "driftgate_lookup_request_seconds",
            "Seconds from a lookup's request to its answer or failure.",
        );
        let share = Opts::new(
            "driftgate_lookup_limit_share",
            "Requests a second that this instance may make of a lookup's limit; 0 while the group's members are not known.",
        );
        Lookups {
            requests: counter(
                "driftgate_lookup_requests_total",
                "Requests of lookups by result: found, missing (404), unavailable, misconfigured.",
                &["pipeline", "lookup", "result"],
            ),
            seconds: keep(
                registry,
                HistogramVec::new(seconds.buckets(LOOKUP_BUCKETS.to_vec()), &LOOKUP),
            ),
            not_asked: counter(
                "driftgate_lookup_not_asked_total",
                "Requests of lookups that were not made: breaker (the server had failed too often), retry_after (it had said when to come back), limit (no room in time), patience (those before it in its batch took too long).",
                &["pipeline", "lookup", "why"],
            ),
            cache_hits: counter(
                "driftgate_lookup_cache_hits_total",
                "Questions of lookups answered from the cache, or by a request that was under way.",
                &LOOKUP,
            ),
            cache_misses: counter(
                "driftgate_lookup_cache_misses_total",
                "Questions of lookups that the cache had no answer to.",
                &LOOKUP,
            ),
            cache_evictions: counter(
                "driftgate_lookup_cache_evictions_total",
                "Answers of lookups dropped from the cache to make room.",
                &LOOKUP,
            ),
            cache_entries: gauge(
                "driftgate_lookup_cache_entries",
                "Answers of lookups in the cache, roughly.",
                &LOOKUP,
            ),
            cache_bytes: gauge(
                "driftgate_lookup_cache_bytes",
                "Bytes that the answers of lookups in the cache take, roughly.",
                &LOOKUP,
            ),
            limit_share: keep(registry, GaugeVec::new(share, &LOOKUP)),
            breaker: gauge(
                "driftgate_lookup_breaker_state",
                "Circuit breaker of a lookup's server: 0 closed, 1 one request is made to see, 2 open.",
                &["host"],
            ),
            table_loaded: gauge(
                "driftgate_lookup_table_loaded",
                "1 if the table of a lookup in a topic is loaded, else 0.",
                &LOOKUP,
            ),
            table_rows: gauge(
                "driftgate_lookup_table_rows",
                "Keys in the table of a lookup in a topic.",
                &LOOKUP,
            ),
            table_bytes: gauge(
                "driftgate_lookup_table_bytes",
                "Bytes that the table of a lookup in a topic takes, roughly.",
                &LOOKUP,
            ),
            table_lag: gauge(
                "driftgate_lookup_table_lag_records",
                "Offsets that the table of a lookup is behind its topic, measured every few seconds.",
                &LOOKUP,
            ),
            table_unreadable: gauge(
                "driftgate_lookup_table_unreadable_records",
                "Keys and values in the table of a lookup that cannot be read: lookups of them pause their partition.",
                &LOOKUP,
            ),
            table_unreadable_seen: counter(
                "driftgate_lookup_table_unreadable_total",
                "Records read into the table of a lookup that could not be read.",
                &LOOKUP,
            ),
        }
    }
}

impl Families {
    pub(super) fn register(registry: &Registry) -> Families {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            keep(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let plain_counter =
            |name: &str, help: &str| keep(registry, IntCounter::with_opts(Opts::new(name, help)));
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            keep(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            keep(registry, HistogramVec::new(options, labels))
        };
        Families {
            read: counter(
                "driftgate_records_read_total",
                "Records taken from a source or retry partition.",
                &PARTITION,
            ),
            outcomes: counter(
                "driftgate_records_total",
                "Records by outcome, counted when the broker has acknowledged it. The sum over outcomes is driftgate_records_read_total minus driftgate_records_discarded_total minus driftgate_records_in_flight.",
                &["pipeline", "topic", "partition", "outcome"],
            ),
            outputs: counter(
                "driftgate_outputs_total",
                "Records acknowledged on a sink topic. A record that is emitted has one or several; those of one that was rewound meanwhile are counted too.",
                &["pipeline", "topic", "sink"],
            ),
            discarded: counter(
                "driftgate_records_discarded_total",
                "Records dropped without an outcome because they are read again: after a pause, a rewind or a revoke.",
                &PARTITION,
            ),
            expired: counter(
                "driftgate_records_expired_total",
                "Offsets that the topic's retention deleted before they were read: retention is shorter than the lag.",
                &PARTITION,
            ),
            failures: counter(
                "driftgate_failures_total",
                "Records that were retried or dead-lettered, by reason and disposition.",
                &["pipeline", "topic", "reason", "disposition"],
            ),
            rule_warnings: counter(
                "driftgate_rule_warnings_total",
                "Records that failed a contract rule of on_fail: warn and went on.",
                &["pipeline", "topic", "rule"],
            ),
            foreign_fields: counter(
                "driftgate_foreign_fields_total",
                "Fields that events set whose source does not own them, by that source and by what was done.",
                &["pipeline", "topic", "field", "source", "then"],
            ),
            schemas: counter(
                "driftgate_schema_records_total",
                "Records by writer schema id; ids past the first 1000 of a topic count as other.",
                &["pipeline", "topic", "schema_id"],
            ),
            drift: counter(
                "driftgate_drift_total",
                "Differences of a writer schema from the contract, counted once per schema id and topic, by class and by what is done.",
                &["pipeline", "topic", "class", "action"],
            ),
            value_drift: gauge(
                "driftgate_value_drift",
                "Writer schemas of a topic of which the values of this field look otherwise than in the baseline now; fields of then: allow are left out.",
                &["pipeline", "topic", "field"],
            ),
            value_drifts: counter(
                "driftgate_value_drifts_total",
                "Drifts of values that began, by what the baseline says is done.",
                &["pipeline", "topic", "action"],
            ),
            profiled: counter(
                "driftgate_profiled_records_total",
                "Records whose values were counted for the comparison with the baseline: each one up to 10000 a second and worker, above that a sample.",
                &["pipeline", "topic"],
            ),
            profile_windows: counter(
                "driftgate_profile_windows_total",
                "Windows of records that were compared with the baseline.",
                &["pipeline", "topic"],
            ),
            not_profiled: counter(
                "driftgate_profile_left_out_records_total",
                "Records whose values were not looked at, since there is no room for more topics and writer schemas.",
                &["pipeline"],
            ),
            plan_evictions: counter(
                "driftgate_plan_evictions_total",
                "Plans of writer schemas dropped for want of room and compiled again when needed.",
                &["pipeline"],
            ),
            emit_latency: histogram(
                "driftgate_emit_latency_seconds",
                "Seconds from the source record's timestamp to the acknowledged emit.",
                &["pipeline", "topic"],
                &LATENCY_BUCKETS,
            ),
            dead_letter_last: keep(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "driftgate_dead_letter_last_timestamp_seconds",
                        "Unix time in seconds at which the newest dead letter of a topic was acknowledged.",
                    ),
                    &["pipeline", "topic"],
                ),
            ),
            lag: gauge(
                "driftgate_lag_records",
                "Records between the position and the end of the partition.",
                &PARTITION,
            ),
            in_flight: gauge(
                "driftgate_records_in_flight",
                "Records read whose outcome is not acknowledged yet.",
                &PARTITION,
            ),
            committed: gauge(
                "driftgate_committed_offset",
                "Offset committed last: the next one to read after a restart.",
                &PARTITION,
            ),
            retries_pending: gauge(
                "driftgate_retries_pending_records",
                "Records that wait in a retry partition.",
                &PARTITION,
            ),
            parked_keys: gauge(
                "driftgate_parked_keys",
                "With ordering: per_key, keys of a source partition that have a record in retry.",
                &PARTITION,
            ),
            parked_records: gauge(
                "driftgate_parked_records",
                "With ordering: per_key, records of a source partition that are in retry, those that wait for another one included.",
                &PARTITION,
            ),
            seen_keys: gauge(
                "driftgate_dedup_keys",
                "With dedup, keys of a source partition that are remembered.",
                &PARTITION,
            ),
            forgotten_early: counter(
                "driftgate_dedup_forgotten_early_total",
                "With dedup.window, keys that were forgotten before their time, since there were more than dedup.max_keys. Copies of them pass.",
                &["pipeline", "topic"],
            ),
            newest_keys: gauge(
                "driftgate_stale_keys",
                "With stale, keys of a source partition whose newest version is remembered.",
                &PARTITION,
            ),
            newest_forgotten_early: counter(
                "driftgate_stale_forgotten_early_total",
                "With stale, keys that were forgotten since there were more than stale.max_keys. Older events of them pass.",
                &["pipeline", "topic"],
            ),
            reordered: counter(
                "driftgate_reordered_total",
                "With stale.reorder, events that went on in front of a newer one of their key that had come before them.",
                &["pipeline", "topic"],
            ),
            state_remaining: gauge(
                "driftgate_state_restore_remaining",
                "With dedup or stale, offsets of the state topic that are to be read before anything of a source partition is taken.",
                &PARTITION,
            ),
            state_restored: counter(
                "driftgate_state_restored_keys_total",
                "With dedup or stale, keys that were read from state topics.",
                &["pipeline", "topic"],
            ),
            state_bytes: gauge(
                "driftgate_state_disk_bytes",
                "With store: disk, bytes of a source partition's files below state_dir.",
                &PARTITION,
            ),
            state_failures: counter(
                "driftgate_state_disk_failures_total",
                "With store: disk, how often something could not be written below state_dir, or not be read. Nothing is forgotten by that.",
                &["pipeline", "topic"],
            ),
            stale_passed: counter(
                "driftgate_stale_passed_total",
                "With stale.then: pass, events that went on although a newer one of their key had.",
                &["pipeline", "topic"],
            ),
            paused: gauge(
                "driftgate_partition_paused",
                "1 while the partition is not read for this reason, else 0.",
                &["pipeline", "topic", "partition", "reason"],
            ),
            stuck: gauge(
                "driftgate_partition_stuck",
                "1 while the partition has lag and makes no progress without being paused, else 0.",
                &PARTITION,
            ),
            unaccounted: gauge(
                "driftgate_unaccounted_records",
                "Records without exactly one outcome, by the last audit of `driftgate audit --watch`.",
                &["pipeline"],
            ),
            unproved: gauge(
                "driftgate_unproved_records",
                "Records of which nothing is proved, by the last audit of `driftgate audit --watch`: their outcomes may have been deleted.",
                &["pipeline"],
            ),
            audits: counter(
                "driftgate_audits_total",
                "Audits by result: right, findings, failed (broker or registry could not be asked).",
                &["pipeline", "result"],
            ),
            pauses: counter(
                "driftgate_partition_pauses_total",
                "Pauses of partitions, by reason.",
                &["pipeline", "topic", "reason"],
            ),
            batch_seconds: histogram(
                "driftgate_batch_seconds",
                "Seconds that a worker spent on one batch, from its records' arrival to their hand-over to the producer.",
                &["pipeline"],
                &BATCH_SECONDS_BUCKETS,
            ),
            batch_records: histogram(
                "driftgate_batch_records",
                "Records in one batch.",
                &["pipeline"],
                &BATCH_RECORDS_BUCKETS,
            ),
            rebalances: counter(
                "driftgate_rebalances_total",
                "Rebalances that a worker took part in.",
                &["pipeline"],
            ),
            commits: counter(
                "driftgate_commits_total",
                "Offset commits by result: ok or failed. Under exactly_once, transactions: committed or aborted.",
                &["pipeline", "result"],
            ),
            cache_hits: plain_counter(
                "driftgate_schema_cache_hits_total",
                "Schema ids answered from the cache.",
            ),
            cache_misses: plain_counter(
                "driftgate_schema_cache_misses_total",
                "Schema ids that were not in the cache.",
            ),
            cache_fetches: plain_counter(
                "driftgate_schema_cache_fetches_total",
                "Requests to the schema registry for a schema by id.",
            ),
            cache_failures: plain_counter(
                "driftgate_schema_cache_failures_total",
                "Requests to the schema registry that brought neither a schema nor the answer that the id is unknown.",
            ),
            cache_evictions: plain_counter(
                "driftgate_schema_cache_evictions_total",
                "Schemas dropped from the cache to make room.",
            ),
            cache_entries: keep(
                registry,
                IntGauge::new("driftgate_schema_cache_entries", "Schemas in the cache."),
            ),
            lookups: Lookups::register(registry),
            alerts_sent: counter(
                "driftgate_alerts_sent_total",
                "Alerts posted to webhooks, resolved notices and reminders among them, by result: ok, or failed (posted again later).",
                &["pipeline", "kind", "result"],
            ),
            alerts_waiting: gauge(
                "driftgate_alerts_waiting",
                "Alerts that a webhook has yet to take; by the webhook's number in the pipeline's alerts.",
                &["pipeline", "webhook"],
            ),
            alert_webhook_up: gauge(
                "driftgate_alert_webhook_up",
                "1 if a webhook took the last alert that it was sent, else 0; absent until it was sent one.",
                &["pipeline", "webhook"],
            ),
            dependency_up: gauge(
                "driftgate_dependency_up",
                "1 if the last use of the broker, the registry or a lookup's server succeeded, or a lookup's table is loaded, else 0.",
                &["dependency"],
            ),
            ready: keep(
                registry,
                Gauge::new("driftgate_ready", "1 if /readyz answers 200, else 0."),
            ),
            build_info: gauge(
                "driftgate_build_info",
                "Always 1; the version is in the label.",
                &["version"],
            ),
        }
    }
}

/// Registers a new collector and hands it back.
fn keep<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("the names and labels in this file are valid");
    registry
        .register(Box::new(collector.clone()))
        .expect("the names in this file are distinct");
    collector
}
