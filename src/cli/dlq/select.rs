//! Which dead letters a command is about: arguments and configuration → topics and a filter.

use std::path::PathBuf;
use std::time::Duration;

use crate::build;
use crate::cli::{environment, explain, natives, times};
use crate::config::model::{self, Config, Pipeline};
use crate::contract::path::closest;
use crate::contract::registry::RegistryClient;
use crate::dlq::Failure;
use crate::dlq::filter::{Filter, Offsets};
use crate::error::Reason;
use crate::explain::Lineage;
use crate::explain::lineage::TAG;

/// How long the registry may take to say which fields it tags.
const TAGS: Duration = Duration::from_secs(5);

/// What `list`, `stats` and `redrive` have in common.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The configuration file
    #[arg(short, long, default_value = "driftgate.yaml")]
    pub(super) config: PathBuf,
    /// Dead letters of this pipeline [default: of all; of the only one]
    #[arg(long, value_name = "NAME")]
    pub(super) pipeline: Option<String>,
    /// Another topic with dead letters, also of other tools; may be given several times [default: the pipeline's]
    #[arg(long, value_name = "TOPIC")]
    pub(super) topic: Vec<String>,
    /// In this partition
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) partition: Option<i32>,
    /// Between these offsets of each partition, the end left out: 100..200, 100.. or ..200
    #[arg(long, value_name = "FROM..TO", value_parser = Offsets::parse)]
    pub(super) offsets: Option<Offsets>,
    /// Failed for this reason; may be given several times
    #[arg(long, value_name = "REASON")]
    pub(super) reason: Vec<String>,
    /// Failed at this time or later: 2026-11-21T08:00:00Z, 2026-11-21 (UTC), or 2h for two hours ago
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Failed before this time
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
    /// With this key, as text, or in hexadecimal as hex:00ff
    #[arg(long, value_name = "KEY")]
    pub(super) key: Option<String>,
    /// Written with this schema; may be given several times
    #[arg(long, value_name = "ID")]
    pub(super) schema_id: Vec<u32>,
}

impl Which {
    /// The pipelines that are meant.
    pub(super) fn pipelines<'c>(&self, config: &'c Config) -> Result<Vec<&'c Pipeline>, Failure> {
        let Some(name) = &self.pipeline else {
            return Ok(config.pipelines.iter().collect());
        };
        let pipeline = model::named(&config.pipelines, name).map_err(Failure::Asked)?;
        Ok(vec![pipeline])
    }

    /// Their topics, or those that are named.
    pub(super) fn topics(&self, pipelines: &[&Pipeline]) -> Vec<String> {
        let mut topics: Vec<String> = Vec::new();
        let mut add = |topic: String| {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        };
        if !self.topic.is_empty() {
            self.topic.iter().cloned().for_each(add);
            return topics;
        }
        for pipeline in pipelines {
            for source in &pipeline.source_topics {
                add(pipeline.dead_letter_topic(source));
            }
        }
        topics
    }

    /// What to say where none of the topics is there.
    pub(super) fn missing(&self, pipelines: &[&Pipeline], failure: Failure) -> Failure {
        let Failure::Missing(_) = &failure else {
            return failure;
        };
        let hint = match self.topic.is_empty() {
            true => "an instance of the pipeline creates it when it starts".to_owned(),
            false => {
                let all = pipelines.iter().flat_map(|pipeline| {
                    let sources = pipeline.source_topics.iter();
                    sources.map(|source| pipeline.dead_letter_topic(source))
                });
                let mut all: Vec<String> = all.collect();
                all.dedup();
                format!(
                    "without --topic, the dead letters in {} are read",
                    all.join(", ")
                )
            }
        };
        Failure::Asked(format!("{failure}: {hint}"))
    }

    /// The filter. `now` is in milliseconds since the epoch.
    pub(super) fn filter(&self, now: i64) -> Result<Filter, Failure> {
        // Other tools have reasons of their own.
        if self.topic.is_empty() {
            for reason in &self.reason {
                known(reason)?;
            }
        }
        let (since, until) = times::range(self.since.as_deref(), self.until.as_deref(), now)
            .map_err(Failure::Asked)?;
        Ok(Filter {
            reasons: self.reason.clone(),
            since,
            until,
            key: self.key.as_deref().map(key).transpose()?,
            schema_ids: self.schema_id.clone(),
            offsets: self.offsets.unwrap_or_default(),
            partition: self.partition,
        })
    }
}

/// The names of all pipelines.
pub(super) fn names(config: &Config) -> String {
    let names: Vec<_> = config.pipelines.iter().map(|p| p.name.as_str()).collect();
    names.join(", ")
}

fn known(reason: &str) -> Result<(), Failure> {
    if Reason::parse(reason).is_some() {
        return Ok(());
    }
    let words = || Reason::ALL.iter().map(|reason| reason.as_str());
    let hint = match closest(reason, words()) {
        Some(word) => format!("did you mean {word}?"),
        None => format!("there are {}", words().collect::<Vec<_>>().join(", ")),
    };
    Err(Failure::Asked(format!(
        "there is no reason {reason}; {hint}"
    )))
}

fn key(text: &str) -> Result<Vec<u8>, Failure> {
    let Some(hex) = text.strip_prefix("hex:") else {
        return Ok(text.as_bytes().to_vec());
    };
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair)
            .ok()
            .filter(|text| text.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.map(byte).collect();
    bytes.ok_or_else(|| {
        Failure::Asked(format!(
            "--key {text}: two hexadecimal digits a byte, as hex:00ff"
        ))
    })
}

/// Whether keys of these pipelines may repeat what is tagged. Where nobody can tell, they may.
pub(super) fn may_be_tagged(
    pipelines: &[&Pipeline],
    config: &Config,
    runtime: &tokio::runtime::Handle,
) -> bool {
    let by_rules = |pipeline: &&Pipeline| {
        let rules = explain::rules_of(pipeline);
        Lineage::new(&rules, (&[], 0), &[], &[]).has_tags()
    };
    if pipelines.iter().any(by_rules) {
        return true;
    }
    let Ok(registry) = RegistryClient::new(&config.registry) else {
        return true;
    };
    let ask = async {
        for pipeline in pipelines {
            let compiled =
                build::compile_with(pipeline, Some(&registry), &environment, natives()).await;
            let Ok(Some(parts)) = compiled else {
                return true;
            };
            let schema = &pipeline.contract.schema;
            let tagged = build::tagged(&parts.contract, schema, &registry, TAG).await;
            if tagged.map_or(true, |paths| !paths.is_empty()) {
                return true;
            }
        }
        false
    };
    runtime
        .block_on(async { tokio::time::timeout(TAGS, ask).await })
        .unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_or_bytes() {
        let check = |text: &str, expect: Option<&[u8]>| {
            assert_eq!(key(text).ok().as_deref(), expect, "{text}");
        };
        check("C-1", Some(b"C-1"));
        check("", Some(b""));
        check("hex:00ff", Some(&[0, 255]));
        check("hex:", Some(&[]));
        for wrong in ["hex:0", "hex:0g", "hex:é"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_reason_that_there_is_not_is_refused_with_the_nearest() {
        assert!(known("rule_violation").is_ok());
        let told = known("rule_violatoin").expect_err("misspelt").to_string();
        assert!(told.contains("did you mean rule_violation?"), "{told}");
    }
}
