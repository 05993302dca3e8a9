//! What a [`Watch`] tells: the log, the metrics, and the state that alerts are made of.
//!
//! [`Watch`]: super::Watch

use std::sync::Arc;

use super::{Counted, Listener, Reviewed, Told};
use crate::config::model::{DriftAction, Pipeline};
use crate::health::{Drift, Health};
use crate::metrics::Metrics;
use crate::profile::Drifted;

/// Tells for a pipeline.
pub struct Teller {
    pipeline: String,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl Teller {
    /// For a pipeline that is held to a baseline. Its metrics exist from now on.
    pub fn new(
        pipeline: &Pipeline,
        reviewed: &Reviewed,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Teller {
        let fields = reviewed.baseline.fields.iter();
        let fields = fields.filter(|field| field.then != DriftAction::Allow);
        for field in fields {
            for topic in &pipeline.source_topics {
                metrics.value_drift(&pipeline.name, topic, &field.path, 0);
            }
        }
        for topic in &pipeline.source_topics {
            metrics.expect_profiles(&pipeline.name, topic);
        }
        Teller {
            pipeline: pipeline.name.clone(),
            metrics,
            health,
        }
    }
}

impl Listener for Teller {
    fn told(&self, told: &Told<'_>) {
        let Told {
            topic,
            schema_id,
            field,
            owner,
            verdict,
            is_over,
            standing,
        } = told;
        let (pipeline, path) = (self.pipeline.as_str(), field.path.as_str());
        let action = field.then.as_str();
        self.metrics.value_drift(pipeline, topic, path, *standing);
        let figures: Vec<String> = verdict.drifted.iter().map(Drifted::figures).collect();
        let figures = figures.join("; ");
        if *is_over {
            self.health
                .drifts_no_more(pipeline, topic, *schema_id, path);
            tracing::info!(
                pipeline,
                owner,
                topic,
                schema = schema_id,
                field = path,
                "the values look as in the baseline again (last: {figures})"
            );
            return;
        }
        self.metrics.value_drift_begun(pipeline, topic, action);
        let tests = verdict.drifted.iter();
        let tests = tests.map(|one| (one.test.as_str(), one.found, one.limit));
        let drift = Drift {
            topic: (*topic).to_owned(),
            schema_id: *schema_id,
            field: path.to_owned(),
            owner: (*owner).to_owned(),
            action,
            since: verdict.since,
            tests: tests.collect(),
        };
        self.health.drifts(pipeline, drift);
        tracing::warn!(
            pipeline,
            owner,
            topic,
            schema = schema_id,
            field = path,
            action,
            "the values have drifted from the baseline: {figures}"
        );
    }

    fn counted(&self, counted: Counted<'_>) {
        match counted {
            Counted::Part {
                topic,
                records,
                is_window,
            } => self
                .metrics
                .profiled(&self.pipeline, topic, records, is_window),
            Counted::LeftOut(records) => self.metrics.not_profiled(&self.pipeline, records),
        }
    }
}
