//! The brokers, asked for topics and told to make them: what there is of those in question, and what a pipeline's findings ask for.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use super::{Facts, Finding, Forgets, Known, Untold};
use crate::error::FatalError;
use crate::ingest::properties::Properties;
use crate::quiet::{Quiet, UNSEEN, cluster};

/// Topics that are made by one request.
const AT_ONCE: usize = 50;

/// How often they are asked for, if no answer comes in time.
const TRIES: usize = 6;

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
                        let code = code(&error).unwrap_or(RDKafkaErrorCode::Unknown);
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
            let result =
                until_answered(async || self.client.create_topics(some, &self.options()).await)
                    .await;
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
            let new = NewPartitions::new(topic, count);
            let result = until_answered(async || {
                self.client.create_partitions([&new], &self.options()).await
            })
            .await;
            if answers(&[topic], "given more partitions", result, &GROW)? == [true] {
                tracing::info!(topic, from, to, "partitions added");
            }
        }
        Ok(there)
    }
}

/// What went wrong with a request; rdkafka keeps it for itself where it is an admin's.
fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
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

/// Asks again what was not answered in time, a few times: a busy controller takes as long as it takes. What it did meanwhile is done
/// already when it is asked again.
async fn until_answered(
    mut ask: impl AsyncFnMut() -> KafkaResult<Vec<TopicResult>>,
) -> KafkaResult<Vec<TopicResult>> {
    let is_late = |code| {
        matches!(
            code,
            RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut
        )
    };
    for tries in 1..TRIES {
        let result = ask().await;
        let late = match &result {
            Err(error) => code(error).is_some_and(is_late),
            Ok(answers) => answers
                .iter()
                .any(|answer| answer.as_ref().is_err_and(|(_, code)| is_late(*code))),
        };
        if !late {
            return result;
        }
        tracing::warn!(
            tries,
            of = TRIES,
            "the brokers take long to make topics; asked again"
        );
    }
    ask().await
}

/// Of each topic, whether it was done, or was done already. The first refusal of another kind is the error.
fn answers(
    topics: &[&str],
    what: &str,
    result: KafkaResult<Vec<TopicResult>>,
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
        let lost = answers(&["a", "b"], "created", Err(KafkaError::Canceled), &CREATE);
        let error = lost.expect_err("no answer").to_string();
        assert!(error.contains("topic a, b could not be created"), "{error}");
    }

    #[tokio::test]
    async fn topics_that_are_not_answered_in_time_are_asked_for_again() {
        use RDKafkaErrorCode as Code;
        let there = |code| Ok(vec![Err(("a".to_owned(), code))]);
        let late = || Err(KafkaError::AdminOp(Code::OperationTimedOut));
        let mut script = vec![
            there(Code::TopicAlreadyExists),
            there(Code::RequestTimedOut),
            late(),
        ];
        let result = until_answered(async || script.pop().expect("no more is asked")).await;
        assert_eq!(result, there(Code::TopicAlreadyExists));
        let mut asked = 0;
        let ask = async || {
            asked += 1;
            late()
        };
        assert_eq!(until_answered(ask).await, late());
        assert_eq!(asked, TRIES);
        let refused = until_answered(async || there(Code::TopicAuthorizationFailed)).await;
        assert_eq!(refused, there(Code::TopicAuthorizationFailed));
    }
}
