//! Topic names across all pipelines: what would read its own output, read the same records twice, or mix two purposes
//! in one topic.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::model::{MAX_TIERS, Pipeline, Place};
use super::scalar::MAX_TOPIC;
use super::tree::Node;

/// What a topic is for, and in which pipeline.
struct Use<'a> {
    pipeline: &'a Pipeline,
    place: Place,
    text: String,
}

pub(crate) fn check(pipelines: &[(Pipeline, &Node)], faults: &mut Vec<Fault>) {
    let mut sources: BTreeMap<&str, Vec<Use<'_>>> = BTreeMap::new();
    let mut sinks: BTreeMap<&str, &Pipeline> = BTreeMap::new();
    for (pipeline, node) in pipelines {
        for sink in pipeline.sinks() {
            if !sink.topic.is_empty() {
                sinks.insert(&sink.topic, pipeline);
            }
        }
        let items = node
            .get("source")
            .and_then(|source| source.get("topics"))
            .map_or(&[][..], Node::items);
        let mut own: BTreeMap<&str, &Node> = BTreeMap::new();
        for item in items {
            let Some(topic) = item.text().filter(|topic| !topic.is_empty()) else {
                continue;
            };
            if let Some(first) = own.insert(topic, item) {
                let message = format!("`{topic}` is read twice");
                faults.push(
                    Fault::new(&item.place, &item.raw, message)
                        .hint(format!("it is on line {} already", first.place.line)),
                );
                continue;
            }
            check_length(pipeline, topic, item, faults);
            sources.entry(topic).or_default().push(Use {
                pipeline,
                place: item.place.clone(),
                text: item.raw.clone(),
            });
        }
        check_loop(pipeline, node, &own, faults);
    }
    check_groups(&sources, faults);
    check_derived(pipelines, &sources, &sinks, faults);
}

fn check_length(pipeline: &Pipeline, topic: &str, item: &Node, faults: &mut Vec<Fault>) {
    let longest = pipeline.retry_topic(topic, pipeline.failure.tiers.len().max(1));
    // A name that is too long by itself has been reported.
    if longest.len() > MAX_TOPIC && topic.len() <= MAX_TOPIC && pipeline.group.len() <= MAX_TOPIC {
        let message = format!(
            "the retry topic `{longest}` would have {} characters",
            longest.len()
        );
        faults.push(
            Fault::new(&item.place, &item.raw, message)
                .hint(format!("Kafka allows {MAX_TOPIC}; a shorter `group` helps")),
        );
    }
}

fn check_loop(
    pipeline: &Pipeline,
    node: &Node,
    own: &BTreeMap<&str, &Node>,
    faults: &mut Vec<Fault>,
) {
    let sink = &pipeline.sink.topic;
    if own.contains_key(sink.as_str())
        && let Some(at) = node.get("sink").and_then(|sink| sink.get("topic"))
    {
        let message = format!(
            "the sink `{sink}` is a source of the same pipeline: it would read what it writes"
        );
        faults.push(Fault::new(&at.place, &at.raw, message));
    }
    for routed in pipeline.sinks() {
        if routed.topic != *sink && own.contains_key(routed.topic.as_str()) {
            let topic = &routed.topic;
            let message = format!(
                "the routed topic `{topic}` is a source of the same pipeline: it would read what it writes"
            );
            faults.push(Fault::new(&routed.place, topic, message));
        }
    }
}

/// Two pipelines of one group on one topic would share its partitions, each seeing a part.
fn check_groups(sources: &BTreeMap<&str, Vec<Use<'_>>>, faults: &mut Vec<Fault>) {
    for (topic, uses) in sources {
        for (index, second) in uses.iter().enumerate() {
            let first = uses[..index]
                .iter()
                .find(|first| first.pipeline.group == second.pipeline.group);
            let Some(first) = first else { continue };
            let message = format!(
                "`{topic}` is read by `{}` in the same group `{}`: each would see a part of it",
                first.pipeline.name, second.pipeline.group
            );
            faults.push(
                Fault::new(&second.place, &second.text, message)
                    .hint("give one of them a `group` of its own"),
            );
        }
    }
}

/// Retry and dead-letter topics are for nothing else.
fn check_derived(
    pipelines: &[(Pipeline, &Node)],
    sources: &BTreeMap<&str, Vec<Use<'_>>>,
    sinks: &BTreeMap<&str, &Pipeline>,
    faults: &mut Vec<Fault>,
) {
    let mut retries: BTreeMap<String, (&str, &str, bool)> = BTreeMap::new();
    for (source, uses) in sources {
        for reader in uses {
            // Those beyond its tiers as well: what an earlier configuration has left in them is read.
            for tier in 1..=MAX_TIERS {
                let topic = reader.pipeline.retry_topic(source, tier);
                let taken = taken_by(&topic, sources, sinks);
                // `orders.a` in group `b` and `orders` in group `a.b` name the same topics. One source in one group
                // twice does too, and has been reported.
                let is_written = tier <= reader.pipeline.failure.tiers.len();
                let name = reader.pipeline.name.as_str();
                let shared = retries
                    .insert(topic.clone(), (name, source, is_written))
                    .filter(|(_, first, written)| first != source && (*written || is_written))
                    .map(|(name, first, _)| {
                        format!("a retry topic of `{first}` in the pipeline `{name}`")
                    });
                if let Some(what) = taken.or(shared) {
                    let message = format!("its retry topic `{topic}` is {what}");
                    faults.push(
                        Fault::new(&reader.place, &reader.text, message)
                            .hint("another `group` gives it another name"),
                    );
                }
            }
        }
    }
    for (source, uses) in sources {
        for reader in uses
            .iter()
            .filter(|reader| reader.pipeline.failure.dead_letter.topic.is_none())
        {
            let topic = reader.pipeline.dead_letter_topic(source);
            if let Some(what) = taken_by(&topic, sources, sinks) {
                let message = format!("its dead-letter topic `{topic}` is {what}");
                faults.push(
                    Fault::new(&reader.place, &reader.text, message)
                        .hint("name another one under failure.dead_letter.topic"),
                );
            }
        }
    }
    for (pipeline, node) in pipelines {
        let control = pipeline.control_topic();
        let mut own = pipeline.source_topics.iter().flat_map(|source| {
            let ledger = pipeline.ledger_topic(source).map(|topic| (topic, "ledger"));
            let state = pipeline.state_topic(source);
            ledger
                .into_iter()
                .chain(state.map(|topic| (topic, "state topic")))
        });
        let dead_letter = pipeline.failure.dead_letter.topic.as_ref();
        if let (Some((topic, what)), Some(at)) = (
            own.find(|(topic, _)| dead_letter == Some(topic)),
            dead_letter_at(node),
        ) {
            let message = format!("the dead-letter topic `{topic}` is the pipeline's own {what}");
            faults.push(
                Fault::new(&at.place, &at.raw, message)
                    .hint("dead letters need a topic of their own"),
            );
        }
        let dead_letter = (pipeline.failure.dead_letter.topic.as_ref() == Some(&control))
            .then(|| "its dead-letter topic".to_owned());
        if let Some(what) = taken_by(&control, sources, sinks).or(dead_letter) {
            let message = format!("the control topic `{control}` is {what}");
            faults.push(
                Fault::new(&node.place, "", message)
                    .hint("it holds what operators ask for, and nothing else; another `group` gives it another name"),
            );
        }
        for (name, topic) in pipeline.asides() {
            let taken = taken_aside(pipeline, &topic.value);
            if let Some(what) = taken.or_else(|| taken_by(&topic.value, sources, sinks)) {
                let message = format!("`{name}`: {} is {what}", topic.value);
                let fault = Fault::new(&topic.place, topic.value.clone(), message);
                faults.push(fault.hint("what is set aside needs a topic of its own"));
            }
        }
        let Some(topic) = &pipeline.failure.dead_letter.topic else {
            continue;
        };
        let at = dead_letter_at(node);
        let retry = retries.get(topic).map(|(name, source, _)| {
            format!("a retry topic of `{source}` in the pipeline `{name}`")
        });
        if let (Some(what), Some(at)) = (taken_by(topic, sources, sinks).or(retry), at) {
            let message = format!("the dead-letter topic `{topic}` is {what}");
            faults.push(
                Fault::new(&at.place, &at.raw, message)
                    .hint("dead letters need a topic of their own"),
            );
        }
    }
}

/// What else of its pipeline a topic is that records are to be set aside in.
fn taken_aside(pipeline: &Pipeline, topic: &str) -> Option<String> {
    let mut sources = pipeline.source_topics.iter();
    sources.find_map(|source| {
        let is_retry = (1..=MAX_TIERS).any(|tier| pipeline.retry_topic(source, tier) == topic);
        let what = match () {
            () if is_retry => "a retry topic",
            () if pipeline.dead_letter_topic(source) == topic => "the dead-letter topic",
            () if pipeline.ledger_topic(source).as_deref() == Some(topic) => "the ledger",
            () if pipeline.state_topic(source).as_deref() == Some(topic) => "the state topic",
            () if pipeline.control_topic() == topic => "the control topic",
            () => return None,
        };
        Some(format!("{what} of the pipeline itself"))
    })
}

fn dead_letter_at(node: &Node) -> Option<&Node> {
    node.get("failure")?.get("dead_letter")?.get("topic")
}

fn taken_by(
    topic: &str,
    sources: &BTreeMap<&str, Vec<Use<'_>>>,
    sinks: &BTreeMap<&str, &Pipeline>,
) -> Option<String> {
    if let Some(reader) = sources.get(topic).and_then(|uses| uses.first()) {
        return Some(format!(
            "a source of the pipeline `{}`",
            reader.pipeline.name
        ));
    }
    let writer = sinks.get(topic)?;
    Some(format!("the sink of the pipeline `{}`", writer.name))
}
