//! What all instances of a run are configured with.

use std::sync::{Arc, OnceLock};

use super::log::{GROUP, source_name};
use super::operator::PIPELINE;
use super::plan::Plan;
use super::sabotage::Bug;
use crate::config::{self, model};
use crate::contract::schema::Schema;
use crate::failure::envelope::Stamp;
use crate::pipeline::{Checked, Sink};

/// What all instances of a run share and nothing changes.
const KEPT: model::Kept = model::Kept {
    window: None,
    max_keys: 1_000_000,
    on_disk: false,
    begin_empty: false,
};

pub(super) struct Scene {
    pub(super) config: model::Pipeline,
    pub(super) stamp: Stamp,
    pub(super) sinks: Vec<Sink>,
}

impl Scene {
    pub(super) fn new(plan: &Plan, bug: Option<Bug>) -> Scene {
        static BASE: OnceLock<model::Pipeline> = OnceLock::new();
        let base = BASE.get_or_init(|| {
            let text = format!(
                "pipelines: {{ {PIPELINE}: {{ owner: {{ team: t, contact: c }}, group: {GROUP}, source: {{ topics: [orders] }}, \
                 contract: {{ subject: a }}, sink: {{ topic: out, subject: a }} }} }}"
            );
            let base = std::path::Path::new("");
            let loaded = config::load_text(&text, "simulation", base, &|_| None);
            let loaded = loaded.expect("a configuration without faults");
            loaded.config.pipelines[0].clone()
        });
        let mut config = base.clone();
        config.source_topics = (0..plan.sources).map(source_name).collect();
        config.failure.tiers = plan.tiers.clone();
        config.failure.jitter = plan.jitter;
        config.failure.budget = plan.budget;
        config.provenance = plan.provenance;
        config.failure.per_key = match bug {
            Some(Bug::NoOrder) => None,
            _ => plan.per_key,
        };
        if let Some(per_key) = &mut config.failure.per_key {
            if bug == Some(Bug::HoldNobody) {
                per_key.on_dead = model::OnDead::Release;
            }
            if bug == Some(Bug::NoBounds) {
                (per_key.max_keys, per_key.max_records) = (usize::MAX / 4, usize::MAX / 4);
            }
        }
        config.dedup = plan.copies.map(|_| model::Dedup {
            by: model::KeyBy::RecordKey,
            kept: KEPT,
            then: model::Then::Drop,
            parked: model::PerKey {
                on_dead: model::OnDead::Release,
                max_keys: usize::MAX / 4,
                max_records: usize::MAX / 4,
            },
        });
        config.stale = plan.versions.map(|_| model::Stale {
            by: model::KeyBy::RecordKey,
            version: model::Placed {
                value: "version".to_owned(),
                place: model::Place::default(),
            },
            kept: KEPT,
            then: model::Then::Drop,
            reorder: plan.reorder.map(|wait| model::Reorder {
                wait,
                max_records: 20,
            }),
        });
        if let Some(breakers) = plan.breakers.filter(|_| bug != Some(Bug::NoBreaker)) {
            config.failure.dead_letter.pause_after = breakers.after;
            config.failure.dead_letter.pause_above = breakers.above;
            if bug == Some(Bug::HastyBreaker) {
                config.failure.dead_letter.pause_after = breakers.after.map(|_| 1);
            }
        }
        if let Some(of) = plan.transactions {
            config.delivery = model::Delivery::ExactlyOnce(model::Transaction {
                interval: of.interval,
                records: of.records,
                timeout: of.timeout,
            });
        }
        let schema = Arc::new(Schema::parse("\"string\"", &[]).expect("a schema"));
        let sink = |topic: &str| Sink {
            topic: topic.to_owned(),
            schema: schema.clone(),
            id: 1,
            rules: Checked::default(),
        };
        Scene {
            config,
            stamp: Stamp {
                pipeline: PIPELINE.to_owned(),
                group: GROUP.to_owned(),
                owner: "t <c>".to_owned(),
                contract: "a@1".to_owned(),
                ..Stamp::default()
            },
            sinks: vec![sink("out"), sink("other")],
        }
    }
}
