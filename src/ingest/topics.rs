//! The topics of a pipeline before it starts: which there are, which are missing, which are too small. Retry and
//! dead-letter topics have every partition of their source, and room for its largest record with our headers.

pub mod admin;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use super::properties::{BROKER_MESSAGE_BYTES, HEADER_ROOM};
use crate::config::model::{LookupSource, Pipeline, Step};
use crate::error::FatalError;

/// What the broker says of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Number of partitions.
    pub partitions: i32,
    /// `max.message.bytes`; `None` when the broker does not tell (no permission, or an embedded one).
    pub max_message_bytes: Option<u64>,
    /// What it forgets; `None` when the broker does not tell.
    pub forgets: Option<Forgets>,
    /// Why the broker did not tell of its settings, where it was asked for them.
    pub untold: Option<Untold>,
}

/// Why a broker does not tell of a topic's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untold {
    /// It told of none. The client does not say more, and a broker does so where a right is missing.
    Refused,
    /// The question as a whole came to nothing.
    Failed(RDKafkaErrorCode),
}

/// What a topic forgets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgets {
    /// It is compacted: of the records of one key it keeps the last.
    pub older_of_key: bool,
    /// It deletes what is old enough.
    pub old: bool,
    /// How old a record is goes by its own time, which is the event's, and not by that of writing.
    pub by_event_time: bool,
}

/// What is wrong with a topic of [`unread`].
pub const UNREAD: &str =
    "no pipeline of the group reads its source any more: what waits in it is read by nobody";

/// Facts by topic; a topic that does not exist is not in it.
pub type Known = BTreeMap<String, Facts>;

/// Settings of a topic that is created.
pub type TopicConfig = Vec<(&'static str, String)>;

/// Something that has to be done, or is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A source topic does not exist: nobody but its owner can make it.
    MissingSource(String),
    /// A topic of ours does not exist.
    Create {
        /// Its name.
        topic: String,
        /// Partitions that it needs.
        partitions: i32,
        /// Settings that it is made with.
        config: TopicConfig,
    },
    /// A retry or dead-letter topic has fewer partitions than its source.
    Grow {
        /// Its name.
        topic: String,
        /// Partitions that it has.
        from: i32,
        /// Partitions that it needs.
        to: i32,
    },
    /// A retry or dead-letter topic does not take the source's largest record with our headers.
    TooSmall {
        /// Its name.
        topic: String,
        /// Its `max.message.bytes`.
        has: u64,
        /// What it needs.
        needs: u64,
    },
    /// A topic deletes what is still needed.
    Forgets {
        /// Its name.
        topic: String,
        /// What, and what to do.
        why: &'static str,
    },
    /// A retry, dead-letter or ledger topic is compacted: of the records of one key it keeps the last.
    Compacted {
        /// Its name.
        topic: String,
    },
}

/// Every topic that a pipeline's records are in. Beside them there is its control topic.
pub fn names(pipeline: &Pipeline) -> Vec<String> {
    let mut names = BTreeSet::new();
    for source in &pipeline.source_topics {
        names.insert(source.clone());
        names.insert(pipeline.dead_letter_topic(source));
        names.extend(pipeline.ledger_topic(source));
        names.extend(pipeline.state_topic(source));
        names.extend(
            (1..=pipeline.failure.tiers.len()).map(|tier| pipeline.retry_topic(source, tier)),
        );
    }
    names.extend(pipeline.sinks().iter().map(|sink| sink.topic.clone()));
    names.extend(pipeline.asides().map(|(_, topic)| topic.value.clone()));
    names.into_iter().collect()
}

/// Topics of retry tiers that the pipeline may have had in an earlier configuration. Those that are there are read.
pub fn former(pipeline: &Pipeline) -> Vec<String> {
    let sources = pipeline.source_topics.iter();
    let former = sources.flat_map(|source| pipeline.former_retry_topics(source));
    former.map(|(_, topic)| topic).collect()
}

/// Of all topics of a cluster, the retry topics of a group whose source no pipeline of the group reads any more: what waits
/// in them is read by nobody. By their names alone.
pub fn unread(all: &[String], pipelines: &[Pipeline], group: &str) -> Vec<String> {
    let marker = format!(".{group}.retry.");
    let source = |topic: &'_ String| -> Option<String> {
        let (source, tier) = topic.split_once(&marker)?;
        let is_tier = tier.parse::<usize>().is_ok_and(|tier| tier > 0);
        (is_tier && !source.is_empty()).then(|| source.to_owned())
    };
    let is_read = |source: &String| {
        let mut of_group = pipelines.iter().filter(|one| one.group == group);
        of_group.any(|one| one.source_topics.contains(source))
    };
    let unread = all
        .iter()
        .filter(|topic| source(topic).is_some_and(|source| !is_read(&source)));
    unread.cloned().collect()
}

/// Every topic that lookups of a pipeline ask. They are others' to create.
pub fn asked(pipeline: &Pipeline) -> Vec<String> {
    let steps = pipeline.prepare.iter().chain(&pipeline.transform);
    let asked = steps.filter_map(|step| match step {
        Step::Lookup(lookup) => match &lookup.from {
            LookupSource::Topic(topic) => Some(topic.topic.clone()),
            LookupSource::Http(_) => None,
        },
        _ => None,
    });
    asked.collect::<BTreeSet<_>>().into_iter().collect()
}

/// What is to be done before a pipeline can start, given what there is. Pure.
pub fn findings(pipeline: &Pipeline, known: &Known) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut sink_partitions = 1;
    let forgets = |topic: &str| known.get(topic)?.forgets;
    // One dead-letter topic may serve several sources: it needs the most that any of them needs.
    let mut companions: BTreeMap<String, (i32, u64, TopicConfig)> = BTreeMap::new();
    for source in &pipeline.source_topics {
        let Some(facts) = known.get(source) else {
            findings.push(Finding::MissingSource(source.clone()));
            continue;
        };
        sink_partitions = sink_partitions.max(facts.partitions);
        let needs = facts.max_message_bytes.unwrap_or(BROKER_MESSAGE_BYTES) + HEADER_ROOM;
        let retries = (1..=pipeline.failure.tiers.len())
            .map(|tier| (pipeline.retry_topic(source, tier), retry_config(pipeline)));
        let dead_letter = (
            pipeline.dead_letter_topic(source),
            dead_letter_config(pipeline),
        );
        let asides = pipeline.asides();
        let asides = asides.map(|(_, topic)| (topic.value.clone(), aside_config()));
        for (topic, config) in retries.chain([dead_letter]).chain(asides) {
            let entry = companions.entry(topic).or_insert((0, 0, config));
            entry.0 = entry.0.max(facts.partitions);
            entry.1 = entry.1.max(needs);
        }
        for tier in 1..=pipeline.failure.tiers.len() {
            let topic = pipeline.retry_topic(source, tier);
            if forgets(&topic).is_some_and(|forgets| forgets.old && forgets.by_event_time) {
                let why = "a retry of an old event can be deleted before it is due: set message.timestamp.type=LogAppendTime";
                findings.push(Finding::Forgets { topic, why });
            }
        }
        let topic = pipeline.dead_letter_topic(source);
        let is_meant = pipeline.failure.dead_letter.retention.is_some();
        if !is_meant && forgets(&topic).is_some_and(|forgets| forgets.old) {
            let why = "dead letters are deleted by the time of their event, which may be long ago: set retention.ms=-1, or \
                       failure.dead_letter.retention if that is meant";
            let finding = Finding::Forgets { topic, why };
            // Sources may share it.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        // Its entries are small, whatever the source's records are. Less than the default would make every batch smaller.
        if let Some(topic) = pipeline.ledger_topic(source) {
            let entry = (facts.partitions, BROKER_MESSAGE_BYTES, ledger_config());
            if forgets(&topic).is_some_and(|forgets| forgets.old) {
                let why = "an audit reaches no further back than the ledger, which is deleted by age: set retention.ms=-1";
                let topic = topic.clone();
                findings.push(Finding::Forgets { topic, why });
            }
            companions.insert(topic, entry);
        }
        if let Some(topic) = pipeline.state_topic(source) {
            let entry = (facts.partitions, BROKER_MESSAGE_BYTES, state_config());
            if forgets(&topic).is_some_and(|forgets| forgets.old) {
                let why = "what was seen is forgotten when it is deleted by age, and copies of it pass: set cleanup.policy=compact";
                let topic = topic.clone();
                findings.push(Finding::Forgets { topic, why });
            }
            companions.insert(topic, entry);
        }
    }
    let sources = pipeline.source_topics.iter();
    let states: Vec<String> = sources
        .filter_map(|source| pipeline.state_topic(source))
        .collect();
    for (topic, (partitions, needs, mut config)) in companions {
        match known.get(&topic) {
            None => {
                config.push(("max.message.bytes", needs.to_string()));
                findings.push(Finding::Create {
                    topic,
                    partitions,
                    config,
                });
            }
            Some(facts) => {
                if facts.partitions < partitions {
                    findings.push(Finding::Grow {
                        topic: topic.clone(),
                        from: facts.partitions,
                        to: partitions,
                    });
                }
                let is_state = states.contains(&topic);
                if facts
                    .forgets
                    .is_some_and(|forgets| forgets.older_of_key && !is_state)
                {
                    let topic = topic.clone();
                    findings.push(Finding::Compacted { topic });
                }
                if let Some(has) = facts.max_message_bytes.filter(|has| *has < needs) {
                    findings.push(Finding::TooSmall { topic, has, needs });
                }
            }
        }
    }
    let control = pipeline.control_topic();
    if forgets(&control).is_some_and(|forgets| forgets.old) {
        let why = "a pause that an operator asked for is forgotten when it is deleted: set cleanup.policy=compact";
        let topic = control.clone();
        findings.push(Finding::Forgets { topic, why });
    }
    if !known.contains_key(&control) {
        // The newest order of each subject is what counts, however old it is; all stand in one sequence.
        findings.push(Finding::Create {
            topic: control,
            partitions: 1,
            config: vec![("cleanup.policy", "compact".to_owned())],
        });
    }
    let mut sinks = Vec::new();
    for sink in pipeline.sinks() {
        if !known.contains_key(&sink.topic) && !sinks.contains(&&sink.topic) {
            sinks.push(&sink.topic);
            findings.push(Finding::Create {
                topic: sink.topic.clone(),
                partitions: sink_partitions,
                config: Vec::new(),
            });
        }
    }
    findings
}

/// What could not be looked at, where brokers do not tell of settings: one text for each reason, with the topics. Pure.
pub fn untold(known: &Known) -> Vec<String> {
    let mut topics: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (topic, facts) in known {
        let why = match facts.untold {
            Some(Untold::Refused) => {
                "the broker told of none, as where the principal has no right to them (DescribeConfigs)".to_owned()
            }
            Some(Untold::Failed(code)) => code.to_string(),
            None => continue,
        };
        topics.entry(why).or_default().push(topic);
    }
    let texts = topics.into_iter().map(|(why, topics)| {
        format!(
            "the settings of {} cannot be read: {why}. Not checked: whether they take the source's largest record with our headers \
             (max.message.bytes), and whether they are compacted or delete what is still needed (cleanup.policy, retention.ms). If they \
             take records above Kafka's default of {BROKER_MESSAGE_BYTES} bytes, say how large in kafka.properties (message.max.bytes): \
             larger ones are not sent to them",
            topics.join(", ")
        )
    });
    texts.collect()
}

/// How long is between two questions whether brokers tell of what was changed.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Asks until the broker tells of all that was done, for at most `limit`. It answers that a topic is made or has grown when the
/// controller has noted it; for a moment longer, metadata may be what it was. Who began with that would take the partitions
/// that were just added for some that nobody has. `there` are the topics that [`admin::TopicAdmin::apply`] found to be there.
pub async fn told(
    pipeline: &Pipeline,
    there: &[String],
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<Known, FatalError>,
) -> Result<Known, FatalError> {
    let until = tokio::time::Instant::now() + limit;
    loop {
        let known = ask().await?;
        let open = findings(pipeline, &known);
        let missing = open.iter().find_map(|finding| match finding {
            Finding::Create { topic, .. } if there.contains(topic) => Some(format!(
                "topic {topic} is there (to create it was answered with {})",
                RDKafkaErrorCode::TopicAlreadyExists
            )),
            Finding::Create { topic, .. } => Some(format!("topic {topic} was created")),
            Finding::Grow { topic, to, .. } => {
                Some(format!("topic {topic} was given {to} partitions"))
            }
            Finding::MissingSource(_)
            | Finding::TooSmall { .. }
            | Finding::Forgets { .. }
            | Finding::Compacted { .. } => None,
        });
        let Some(missing) = missing else {
            return Ok(known);
        };
        if tokio::time::Instant::now() >= until {
            return Err(FatalError::Kafka(format!(
                "{missing}, and after {limit:?} the brokers do not tell of it: look whether they are well and the principal has the \
                 right to see it (Describe), and start again"
            )));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Retries are kept by the time that they were written, not by the time of the event: an old event must not be deleted
/// before it is due. Twice the budget and the longest wait together, and at least a week.
fn retry_config(pipeline: &Pipeline) -> TopicConfig {
    let week = Duration::from_secs(7 * 86_400);
    let longest = pipeline.failure.tiers.last().copied().unwrap_or_default();
    let retention = ((pipeline.failure.budget + longest) * 2).max(week);
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("retention.ms", retention.as_millis().to_string()),
    ]
}

/// Dead letters keep the record's timestamp, by which brokers delete: so only an explicit retention deletes any.
fn dead_letter_config(pipeline: &Pipeline) -> TopicConfig {
    let retention = match pipeline.failure.dead_letter.retention {
        Some(retention) => retention.as_millis().to_string(),
        None => "-1".to_owned(),
    };
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", retention),
    ]
}

/// What is set aside is looked at soon or never. It keeps the record's timestamp in its headers, so that it is not deleted for that.
fn aside_config() -> TopicConfig {
    let week = Duration::from_secs(7 * 86_400);
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("retention.ms", week.as_millis().to_string()),
    ]
}

/// A ledger is a history: nothing of it may be compacted away. Some 400 bytes a second and busy partition: without a
/// retention of its own it is kept, since an audit reaches no further back than it does.
fn ledger_config() -> TopicConfig {
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("retention.ms", "-1".to_owned()),
    ]
}

/// What is remembered is in blocks, each under a key of its own, and a block goes with its tombstone.
fn state_config() -> TopicConfig {
    vec![("cleanup.policy", "compact".to_owned())]
}

/// The largest record that any topic of the pipeline takes, in bytes: what the producer must be able to send.
pub fn largest(pipeline: &Pipeline, known: &Known) -> u64 {
    let sizes = names(pipeline).into_iter().map(|topic| {
        known
            .get(&topic)
            .and_then(|facts| facts.max_message_bytes)
            .unwrap_or(BROKER_MESSAGE_BYTES)
    });
    sizes.max().unwrap_or(BROKER_MESSAGE_BYTES) + HEADER_ROOM
}

/// The smallest limit of a topic that the pipeline writes to, where the broker tells. A batch above it is refused whole,
/// small records and all, so that is the most that the producer may put into one.
pub fn largest_batch(pipeline: &Pipeline, known: &Known) -> Option<u64> {
    let written = names(pipeline)
        .into_iter()
        .filter(|topic| !pipeline.source_topics.contains(topic));
    written
        .filter_map(|topic| known.get(&topic)?.max_message_bytes)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn what_brokers_do_not_tell_is_said_once_for_each_reason() {
        let facts = |untold| Facts {
            partitions: 1,
            max_message_bytes: None,
            forgets: None,
            untold,
        };
        let known: Known = [
            ("a", Some(Untold::Refused)),
            ("b", None),
            (
                "c",
                Some(Untold::Failed(RDKafkaErrorCode::OperationTimedOut)),
            ),
            ("d", Some(Untold::Refused)),
        ]
        .map(|(topic, untold)| (topic.to_owned(), facts(untold)))
        .into();
        let told = untold(&known);
        assert_eq!(told.len(), 2, "{told:?}");
        let says = |words: [&str; 2]| {
            told.iter()
                .any(|text| words.iter().all(|w| text.contains(w)))
        };
        assert!(says(["of a, d cannot", "(DescribeConfigs)"]), "{told:?}");
        assert!(says(["of c cannot", "Timed out"]), "{told:?}");
        assert!(
            says(["of a, d cannot", "kafka.properties (message.max.bytes)"]),
            "{told:?}"
        );
    }

    #[test]
    fn retry_topics_that_nobody_reads_any_more_are_found_by_their_names() {
        let file = "pipelines:
  p:
    owner: { team: t }
    group: g
    source: { topics: [orders] }
    contract: { subject: orders-value }
    sink: { topic: out, subject: out-value }
";
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("driftgate.yaml");
        std::fs::write(&path, file).expect("a file");
        let config = config::load(&path, &|_| None).expect("no fault").config;
        let all = [
            "orders",
            "orders.g.retry.1",
            "orders.g.retry.9",
            "orders.g.dlq",
            "returns.g.retry.2",
            "returns.g.retry.0",
            "returns.g.retry.x",
            "returns.h.retry.1",
            ".g.retry.1",
        ]
        .map(str::to_owned);
        let found = unread(&all, &config.pipelines, "g");
        assert_eq!(found, ["returns.g.retry.2"]);
    }
}
