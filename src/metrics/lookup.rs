//! The handles of lookups, resolved once when a pipeline starts.

use prometheus::{Gauge, Histogram, IntCounter, IntGauge};

use super::{Metrics, signed};

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupResult {
    /// An answer.
    Found,
    /// A 404.
    Missing,
    /// A failure that may pass.
    Unavailable,
    /// An answer that no record can cause.
    Misconfigured,
}

/// Why a request was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAsked {
    /// The server had failed too often.
    Breaker,
    /// The server had said when to come back.
    RetryAfter,
    /// The rate limit had no room.
    Limit,
    /// The requests before it took too long.
    Patience,
}

/// The handles of one lookup at an HTTP service, cheap to clone.
#[derive(Debug, Clone)]
pub struct LookupMetrics {
    results: [IntCounter; 4],
    seconds: Histogram,
    not_asked: [IntCounter; 4],
    cache_hits: IntCounter,
    cache_misses: IntCounter,
    cache_evictions: IntCounter,
    cache_entries: IntGauge,
    cache_bytes: IntGauge,
    limit_share: Gauge,
}

/// The handles of one table.
#[derive(Debug, Clone)]
pub struct TableMetrics {
    loaded: IntGauge,
    rows: IntGauge,
    bytes: IntGauge,
    lag: IntGauge,
    unreadable: IntGauge,
    unreadable_seen: IntCounter,
}

/// The handle of one server's circuit breaker.
#[derive(Debug, Clone)]
pub struct Breaker(IntGauge);

impl Metrics {
    /// The handles of a lookup, by the field that it fills.
    pub fn lookup(&self, pipeline: &str, into: &str) -> LookupMetrics {
        let families = &self.families.lookups;
        let labels = [pipeline, into];
        let result = |result| {
            families
                .requests
                .with_label_values(&[pipeline, into, result])
        };
        let not_asked = |why| families.not_asked.with_label_values(&[pipeline, into, why]);
        LookupMetrics {
            results: ["found", "missing", "unavailable", "misconfigured"].map(result),
            seconds: families.seconds.with_label_values(&labels),
            not_asked: ["breaker", "retry_after", "limit", "patience"].map(not_asked),
            cache_hits: families.cache_hits.with_label_values(&labels),
            cache_misses: families.cache_misses.with_label_values(&labels),
            cache_evictions: families.cache_evictions.with_label_values(&labels),
            cache_entries: families.cache_entries.with_label_values(&labels),
            cache_bytes: families.cache_bytes.with_label_values(&labels),
            limit_share: families.limit_share.with_label_values(&labels),
        }
    }

    /// The handles of a table, by the field that it fills.
    pub fn table(&self, pipeline: &str, into: &str) -> TableMetrics {
        let families = &self.families.lookups;
        let labels = [pipeline, into];
        TableMetrics {
            loaded: families.table_loaded.with_label_values(&labels),
            rows: families.table_rows.with_label_values(&labels),
            bytes: families.table_bytes.with_label_values(&labels),
            lag: families.table_lag.with_label_values(&labels),
            unreadable: families.table_unreadable.with_label_values(&labels),
            unreadable_seen: families.table_unreadable_seen.with_label_values(&labels),
        }
    }

    /// The handle of a server's breaker.
    pub fn breaker(&self, host: &str) -> Breaker {
        Breaker(self.families.lookups.breaker.with_label_values(&[host]))
    }
}

impl LookupMetrics {
    /// A request was made.
    pub fn asked(&self, result: LookupResult, seconds: f64) {
        self.results[result as usize].inc();
        self.seconds.observe(seconds);
    }

    /// A request was not made.
    pub fn not_asked(&self, why: NotAsked) {
        self.not_asked[why as usize].inc();
    }

    /// An answer was at hand, or somebody was asking for it.
    pub fn cache_hit(&self) {
        self.cache_hits.inc();
    }

    /// It was not.
    pub fn cache_miss(&self) {
        self.cache_misses.inc();
    }

    /// An answer went to make room.
    pub fn evicted(&self) {
        self.cache_evictions.inc();
    }

    /// What the cache holds, roughly.
    pub fn cache_size(&self, entries: u64, bytes: u64) {
        self.cache_entries.set(signed(entries));
        self.cache_bytes.set(signed(bytes));
    }

    /// This instance's part of the limit, in requests a second.
    pub fn limit_share(&self, per_second: f64) {
        self.limit_share.set(per_second);
    }
}

impl TableMetrics {
    /// Whether the table answers.
    pub fn loaded(&self, is_loaded: bool) {
        self.loaded.set(i64::from(is_loaded));
    }

    /// What it holds.
    pub fn rows(&self, rows: usize, bytes: usize) {
        self.rows.set(signed(rows as u64));
        self.bytes.set(signed(bytes as u64));
    }

    /// Records in it that cannot be read.
    pub fn unreadable(&self, records: usize) {
        self.unreadable.set(signed(records as u64));
    }

    /// A record that cannot be read has come.
    pub fn unreadable_seen(&self) {
        self.unreadable_seen.inc();
    }

    /// Offsets that it is behind its topic.
    pub fn lag(&self, offsets: i64) {
        self.lag.set(offsets);
    }
}

impl Breaker {
    /// Requests are made.
    pub fn closed(&self) {
        self.0.set(0);
    }

    /// One request is made to see.
    pub fn probing(&self) {
        self.0.set(1);
    }

    /// None is.
    pub fn open(&self) {
        self.0.set(2);
    }
}
