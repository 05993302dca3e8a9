//! The handles of one webhook, and what alerts are made of: the dead letters of a pipeline so far.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge, IntGaugeVec};

use super::{Metrics, signed};

/// Dead letters by source or retry topic and reason.
pub type DeadLetters = BTreeMap<(String, String), u64>;

/// The handles of one webhook.
#[derive(Debug)]
pub struct AlertMetrics {
    labels: [String; 2],
    waiting: IntGauge,
    up: IntGaugeVec,
    /// By kind: taken, and not.
    sent: BTreeMap<&'static str, [IntCounter; 2]>,
}

impl Metrics {
    /// The handles of a pipeline's webhook, by its number from 1, for these kinds of alerts.
    pub fn alert(&self, pipeline: &str, webhook: usize, kinds: &[&'static str]) -> AlertMetrics {
        let families = &self.families;
        let labels = [pipeline.to_owned(), webhook.to_string()];
        let sent = |kind: &&'static str| {
            let counters = ["ok", "failed"].map(|result| {
                let labels = [pipeline, *kind, result];
                families.alerts_sent.with_label_values(&labels)
            });
            (*kind, counters)
        };
        AlertMetrics {
            waiting: families.alerts_waiting.with_label_values(&labels),
            up: families.alert_webhook_up.clone(),
            sent: kinds.iter().map(sent).collect(),
            labels,
        }
    }

    /// The dead letters of a pipeline that brokers have acknowledged to this instance so far.
    pub fn dead_letters(&self, pipeline: &str) -> DeadLetters {
        let mut found = DeadLetters::new();
        for family in self.families.failures.collect() {
            for metric in family.get_metric() {
                let label = |name: &str| {
                    let mut pairs = metric.get_label().iter();
                    let pair = pairs.find(|pair| pair.name() == name);
                    pair.map_or("", |pair| pair.value())
                };
                if label("pipeline") == pipeline && label("disposition") == "dead_lettered" {
                    let key = (label("topic").to_owned(), label("reason").to_owned());
                    found.insert(key, metric.get_counter().get_value() as u64);
                }
            }
        }
        found
    }

    /// Whether this instance has a partition now.
    pub fn owns(&self, pipeline: &str, topic: &str, partition: i32) -> bool {
        let key = (pipeline.to_owned(), topic.to_owned(), partition);
        let state = self.lock();
        let series = state.partitions.get(&key);
        series.is_some_and(|series| series.gauges.is_some())
    }
}

impl AlertMetrics {
    /// A webhook was sent an alert, and took it or not.
    pub fn sent(&self, kind: &str, taken: bool) {
        if let Some(counters) = self.sent.get(kind) {
            counters[usize::from(!taken)].inc();
        }
        self.up
            .with_label_values(&self.labels)
            .set(i64::from(taken));
    }

    /// How many it has yet to take.
    pub fn waiting(&self, alerts: usize) {
        self.waiting.set(signed(alerts as u64));
    }
}
