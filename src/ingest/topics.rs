//! The topics of a pipeline before it starts: which there are, which are missing, which are too small. Retry and
//! dead-letter topics have every partition of their source, and room for its largest record with our headers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::types::RDKafkaErrorCode;

use super::properties::{BROKER_MESSAGE_BYTES, HEADER_ROOM, Properties};
use crate::config::model::{LookupSource, Pipeline, Step};
use crate::error::FatalError;
use crate::quiet::{Quiet, UNSEEN, cluster};

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
        names.extend(
            (1..=pipeline.failure.tiers.len()).map(|tier| pipeline.retry_topic(source, tier)),
        );
    }
    names.extend(pipeline.sinks().iter().map(|sink| sink.topic.clone()));
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
        for (topic, config) in retries.chain([dead_letter]) {
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
            companions.insert(topic, entry);
        }
    }
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
                if facts.forgets.is_some_and(|forgets| forgets.older_of_key) {
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
             (max.message.bytes), and whether they are compacted or delete what is still needed (cleanup.policy, retention.ms)",
            topics.join(", ")
        )
    });
    texts.collect()
}

/// Topics that are made by one request.
const AT_ONCE: usize = 50;

/// How long is between two questions whether brokers tell of what was changed.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Asks until the broker tells of all that was done, for at most `limit`. It answers that a topic is made or has grown when the
/// controller has noted it; for a moment longer, metadata may be what it was. Who began with that would take the partitions
/// that were just added for some that nobody has. `there` are the topics that [`TopicAdmin::apply`] found to be there.
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

/// A ledger is a history: nothing of it may be compacted away. Some 400 bytes a second and busy partition: without a
/// retention of its own it is kept, since an audit reaches no further back than it does.
fn ledger_config() -> TopicConfig {
    vec![
        ("cleanup.policy", "delete".to_owned()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("retention.ms", "-1".to_owned()),
    ]
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

/// Asks the broker and changes what is to be changed.
pub struct TopicAdmin {
    client: AdminClient<DefaultClientContext>,
    /// Asks for metadata. The admin client never serves its queue of errors, and a refused login is told nowhere else:
    /// the question itself only says that no broker answered.
    probe: BaseConsumer<Quiet>,
    /// `bootstrap.servers`, for messages.
    servers: String,
    timeout: Duration,
}

impl TopicAdmin {
    /// A client with the given properties. `timeout` bounds each question.
    pub fn new(properties: &Properties, timeout: Duration) -> Result<Self, FatalError> {
        let mut config = ClientConfig::new();
        for (name, value) in properties {
            config.set(name, value);
        }
        let client = config
            .create()
            .map_err(|error| FatalError::Kafka(error.to_string()))?;
        let probe = config
            .create_with_context(Quiet::default())
            .map_err(|error| FatalError::Kafka(error.to_string()))?;
        Ok(TopicAdmin {
            client,
            probe,
            servers: config
                .get("bootstrap.servers")
                .unwrap_or_default()
                .to_owned(),
            timeout,
        })
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout))
    }

    /// What the broker knows of these topics. Blocks; never creates one.
    pub fn partitions(&self, topics: &[String]) -> Result<BTreeMap<String, i32>, FatalError> {
        let mut all = self.all()?;
        all.retain(|topic, _| topics.contains(topic));
        Ok(all)
    }

    /// Every topic that we may see, with its partitions. Blocks.
    pub fn all(&self) -> Result<BTreeMap<String, i32>, FatalError> {
        let metadata =
            cluster(&self.probe, &self.servers, self.timeout).map_err(FatalError::Kafka)?;
        let topics = metadata.topics().iter();
        let topics = topics.filter(|topic| topic.error().is_none());
        let counted = topics.map(|topic| {
            let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            (topic.name().to_owned(), count)
        });
        Ok(counted.collect())
    }

    /// Whether the cluster is librdkafka's mock cluster, which gives itself a name; a real one has a random id. Known
    /// without a question, once metadata has been fetched.
    fn is_embedded(&self) -> bool {
        let id = self.client.inner().fetch_cluster_id(self.timeout);
        id.is_some_and(|id| id.starts_with("mockCluster"))
    }

    /// Partitions and sizes of these topics.
    pub async fn known(&self, topics: &[String]) -> Result<Known, FatalError> {
        let partitions = tokio::task::block_in_place(|| self.partitions(topics))?;
        let specifiers: Vec<_> = partitions
            .keys()
            .map(|topic| ResourceSpecifier::Topic(topic))
            .collect();
        // librdkafka's mock cluster never answers, and asking costs the whole time-out.
        let (described, untold) = match specifiers.is_empty() || self.is_embedded() {
            true => (Vec::new(), None),
            false => {
                let described = self.client.describe_configs(&specifiers, &self.options());
                match described.await {
                    Ok(described) => (described, Some(Untold::Refused)),
                    Err(error) => {
                        let code = error.rdkafka_error_code();
                        let code = code.unwrap_or(RDKafkaErrorCode::Unknown);
                        (Vec::new(), Some(Untold::Failed(code)))
                    }
                }
            }
        };
        // By name: nothing says that the answers come in the order of the questions.
        let configs: HashMap<String, ConfigResource> = described
            .into_iter()
            .filter_map(|resource| {
                let resource = resource.ok()?;
                let OwnedResourceSpecifier::Topic(topic) = &resource.specifier else {
                    return None;
                };
                let topic = topic.clone();
                // What is refused comes without an error, and without any setting.
                (!resource.entries.is_empty()).then_some((topic, resource))
            })
            .collect();
        let facts = partitions.into_iter().map(|(topic, partitions)| {
            let config = configs.get(&topic);
            let facts = Facts {
                partitions,
                max_message_bytes: config.and_then(size),
                forgets: config.map(forgets),
                untold: untold.filter(|_| config.is_none()),
            };
            (topic, facts)
        });
        Ok(facts.collect())
    }

    /// Creates what is missing, many topics with one request, since each request takes the controller a moment, and adds
    /// partitions. The topics that were there when they were to be created: another instance was first, or we may not see them.
    pub async fn apply(&self, findings: &[Finding]) -> Result<Vec<String>, FatalError> {
        let new: Vec<NewTopic<'_>> = findings.iter().filter_map(new_topic).collect();
        let mut there = Vec::new();
        for some in new.chunks(AT_ONCE) {
            let names: Vec<&str> = some.iter().map(|topic| topic.name).collect();
            let result = self.client.create_topics(some, &self.options()).await;
            for (topic, answer) in some
                .iter()
                .zip(answers(&names, "created", result, &CREATE)?)
            {
                let (topic, partitions) = (topic.name, topic.num_partitions);
                if answer {
                    tracing::info!(topic, partitions, "topic created");
                } else {
                    tracing::info!(
                        topic,
                        "the topic is there already: another instance was first, {UNSEEN}"
                    );
                    there.push(topic.to_owned());
                }
            }
        }
        for finding in findings {
            let Finding::Grow { topic, from, to } = finding else {
                continue;
            };
            let count = usize::try_from(*to).unwrap_or(0);
            let result = self
                .client
                .create_partitions([&NewPartitions::new(topic, count)], &self.options())
                .await;
            if answers(&[topic], "given more partitions", result, &GROW)? == [true] {
                tracing::info!(topic, from, to, "partitions added");
            }
        }
        Ok(there)
    }
}

/// The topic that a finding asks for.
fn new_topic(finding: &Finding) -> Option<NewTopic<'_>> {
    let Finding::Create {
        topic,
        partitions,
        config,
    } = finding
    else {
        return None;
    };
    let new = NewTopic::new(topic, *partitions, TopicReplication::Fixed(-1));
    Some(
        config
            .iter()
            .fold(new, |new, (name, value)| new.set(name, value)),
    )
}

fn value<'r>(resource: &'r ConfigResource, name: &str) -> Option<&'r str> {
    let mut entries = resource.entries.iter();
    entries.find(|entry| entry.name == name)?.value.as_deref()
}

fn size(resource: &ConfigResource) -> Option<u64> {
    value(resource, "max.message.bytes")?.parse().ok()
}

fn forgets(resource: &ConfigResource) -> Forgets {
    let says = |name, word: &str| value(resource, name).is_some_and(|value| value.contains(word));
    Forgets {
        older_of_key: says("cleanup.policy", "compact"),
        old: says("cleanup.policy", "delete")
            && value(resource, "retention.ms").is_some_and(|retention| retention != "-1"),
        by_event_time: says("message.timestamp.type", "CreateTime"),
    }
}

/// What a broker may refuse without harm, and which right is missing where it refuses for that.
struct Refusals {
    /// It is done already, perhaps by an instance that starts at the same time.
    done: RDKafkaErrorCode,
    right: &'static str,
}

const CREATE: Refusals = Refusals {
    done: RDKafkaErrorCode::TopicAlreadyExists,
    right: "if it is there, the principal has no right to see it (Describe); if not, none to create it (Create, on the topic or \
            the cluster)",
};
const GROW: Refusals = Refusals {
    done: RDKafkaErrorCode::InvalidPartitions,
    right: "the principal has no right to change it (Alter)",
};

/// Of each topic, whether it was done, or was done already. The first refusal of another kind is the error.
fn answers(
    topics: &[&str],
    what: &str,
    result: rdkafka::error::KafkaResult<Vec<rdkafka::admin::TopicResult>>,
    refusals: &Refusals,
) -> Result<Vec<bool>, FatalError> {
    let failed = |topic: &str, why: String| {
        FatalError::Topics(format!("topic {topic} could not be {what}: {why}"))
    };
    let results = result.map_err(|error| failed(&topics.join(", "), error.to_string()))?;
    let answer = |topic: &&str| {
        // In the order of the broker's answer, which need not be ours.
        let refused = results.iter().filter_map(|result| result.as_ref().err());
        match refused.clone().find(|(name, _)| name == topic) {
            None => Ok(true),
            Some((_, code)) if *code == refusals.done => Ok(false),
            Some((_, code)) => {
                let right = match code {
                    RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                        format!(": {}", refusals.right)
                    }
                    _ => String::new(),
                };
                Err(failed(topic, format!("{code}{right}")))
            }
        }
    };
    topics.iter().map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn each_topic_of_a_request_has_its_own_answer() {
        use RDKafkaErrorCode as Code;
        let asked = |answered: &[(&str, Option<Code>)]| {
            let answered = answered.iter().map(|(topic, code)| match code {
                None => Ok((*topic).to_owned()),
                Some(code) => Err(((*topic).to_owned(), *code)),
            });
            answers(&["a", "b"], "created", Ok(answered.collect()), &CREATE)
                .map_err(|error| error.to_string())
        };
        assert_eq!(asked(&[("b", None), ("a", None)]), Ok(vec![true, true]));
        let there = Some(Code::TopicAlreadyExists);
        assert_eq!(asked(&[("b", there), ("a", None)]), Ok(vec![true, false]));
        let error = asked(&[("a", there), ("b", Some(Code::TopicAuthorizationFailed))]);
        let error = error.expect_err("a refusal");
        assert!(error.contains("topic b could not be created"), "{error}");
        assert!(error.contains("(Create, on the topic"), "{error}");
        let lost = answers(
            &["a", "b"],
            "created",
            Err(rdkafka::error::KafkaError::Canceled),
            &CREATE,
        );
        let error = lost.expect_err("no answer").to_string();
        assert!(error.contains("topic a, b could not be created"), "{error}");
    }

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
