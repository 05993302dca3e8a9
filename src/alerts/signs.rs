//! What is wrong with a pipeline → signs, one for each cause: a thousand partitions behind one registry are one sign.
//! Pure. A pause comes through by its reason: the registry's and the breaker's have a kind, every other fault is `paused`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::notice::{Place, bounded};
use super::window::TooMany;
use crate::config::model::{AlertKind, Lookup, LookupSource, Pipeline, Step};
use crate::config::units::{Rate, format_duration};
use crate::health::{Dependency, Drift, Faults, PauseReason};
use crate::words::counted;

/// Drifts of values that are told each by itself.
const MOST_DRIFTS: usize = 20;

/// Kind and subject: what an incident is known by.
pub(super) type Key = (AlertKind, String);

/// One thing that is wrong at the moment of a look.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sign {
    pub(super) key: Key,
    /// The stable word of the cause.
    pub(super) reason: String,
    /// What is wrong, without the partitions.
    pub(super) text: String,
    pub(super) detail: String,
    /// The partitions that it is about, each with the time since when, in milliseconds since the epoch.
    pub(super) places: BTreeMap<Place, i64>,
    /// How often it has happened since the last look, where that is not a matter of partitions.
    pub(super) happened: Option<u64>,
    /// Dead letters in the time of their rate; 1 of everything else.
    pub(super) count: u64,
    /// The topic of one that is about no partition.
    pub(super) topic: Option<String>,
    /// What belongs to the kind, for programs.
    pub(super) details: Map<String, Value>,
}

impl Sign {
    fn new(kind: AlertKind, subject: &str, reason: &str, text: &str, detail: &str) -> Sign {
        Sign {
            key: (kind, subject.to_owned()),
            reason: reason.to_owned(),
            text: text.to_owned(),
            detail: bounded(detail),
            places: BTreeMap::new(),
            happened: None,
            count: 1,
            topic: None,
            details: Map::new(),
        }
    }
}

/// What of an instance's state concerns a pipeline.
#[derive(Debug, Clone)]
pub(super) struct Concern {
    /// Servers and tables of its lookups, and the topics that it reads.
    uses: BTreeSet<Dependency>,
    budget: Duration,
    /// Beyond the budget: a record that is over it becomes a dead letter when its wait in a tier ends, and not before.
    grace: Duration,
}

impl Concern {
    pub(super) fn of(pipeline: &Pipeline) -> Concern {
        let failure = &pipeline.failure;
        let longest = failure.tiers.iter().max().copied().unwrap_or_default();
        let steps = pipeline.prepare.iter().chain(&pipeline.transform);
        let lookups = steps.filter_map(|step| match step {
            Step::Lookup(lookup) => Some(&**lookup),
            _ => None,
        });
        let dependency = |lookup: &Lookup| match &lookup.from {
            LookupSource::Topic(_) => {
                let table = format!("{}.{}", pipeline.name, lookup.into.value);
                Some(Dependency::Table(table))
            }
            LookupSource::Http(http) => host(&http.url.value).map(Dependency::Lookup),
        };
        let sources = pipeline.source_topics.iter();
        let topics = sources.flat_map(|source| {
            let tiers = 1..=failure.tiers.len();
            let retries = tiers.map(|tier| pipeline.retry_topic(source, tier));
            retries.chain([source.clone()]).map(Dependency::Topic)
        });
        Concern {
            uses: lookups.filter_map(dependency).chain(topics).collect(),
            budget: failure.budget,
            grace: longest.mul_f64(1.0 + failure.jitter) + Duration::from_secs(60),
        }
    }
}

/// Host and port of a lookup's URL, as its [`Dependency`] is named.
fn host(url: &str) -> Option<String> {
    let url = url::Url::parse(&url.replace(['{', '}'], "")).ok()?;
    let origin = url.origin().ascii_serialization();
    let (_, host) = origin.split_once("://")?;
    Some(host.to_owned())
}

/// The signs of a moment, `now` in milliseconds since the epoch.
pub(super) fn signs(
    concern: &Concern,
    faults: &Faults,
    dead_letters: Option<(Rate, TooMany)>,
    now: i64,
) -> Vec<Sign> {
    let mut found: BTreeMap<Key, Sign> = BTreeMap::new();
    let mut add = |sign: Sign| {
        let there = found
            .entry(sign.key.clone())
            .or_insert_with(|| sign.clone());
        there.places.extend(sign.places);
    };
    // First, so that what a dependency said itself stands before what a partition heard of it.
    for (dependency, fault) in &faults.down {
        if let Some(sign) = down(concern, dependency, fault) {
            add(sign);
        }
    }
    for pause in &faults.pauses {
        let mut sign = paused(pause.reason, &pause.detail);
        sign.places
            .insert(place(&pause.topic, pause.partition), pause.since);
        add(sign);
    }
    for (topic, partition) in &faults.stuck {
        let text = "records are there to read, and make no progress";
        let detail = "no pause or fault explains it: look at the log and at the broker";
        let mut sign = Sign::new(AlertKind::Stuck, "", "stuck", text, detail);
        sign.places.insert(place(topic, *partition), 0);
        add(sign);
    }
    let over = concern.budget + concern.grace;
    let over = i64::try_from(over.as_millis()).unwrap_or(i64::MAX);
    for (topic, partition, since) in &faults.retries {
        if now.saturating_sub(*since) <= over {
            continue;
        }
        let text = format!(
            "records wait in retry for longer than their budget of {}",
            format_duration(concern.budget)
        );
        let detail = "their retry partitions are not read, or too slowly";
        let mut sign = Sign::new(AlertKind::Retries, "", "retry_over_budget", &text, detail);
        sign.places.insert(place(topic, *partition), 0);
        add(sign);
    }
    for drift in faults.drifts.iter().take(MOST_DRIFTS) {
        add(drifted(drift));
    }
    if let Some(more) = faults.drifts.len().checked_sub(MOST_DRIFTS)
        && more > 0
    {
        let more = counted(more, "more field");
        let text = format!("the values of {more} have drifted from the baseline");
        let detail = "look at /metrics: driftgate_value_drift has all of them";
        add(Sign::new(
            AlertKind::Drift,
            "values",
            "values",
            &text,
            detail,
        ));
    }
    if let Some((limit, found)) = dead_letters {
        let text = format!("{}, more than {limit}", counted(found.count, "dead letter"));
        let detail = format!("most of them: {}", found.most.join(", "));
        let mut sign = Sign::new(
            AlertKind::DeadLetters,
            "",
            "dead_letters_above",
            &text,
            &detail,
        );
        sign.happened = Some(found.new);
        sign.count = found.count;
        add(sign);
    }
    found.into_values().collect()
}

fn place(topic: &str, partition: i32) -> Place {
    Place {
        topic: topic.to_owned(),
        partition,
    }
}

fn drifted(drift: &Drift) -> Sign {
    let Drift {
        topic,
        schema_id,
        field,
        owner,
        action,
        since,
        tests,
    } = drift;
    let subject = format!("{topic}/{schema_id}/{field}");
    let text = format!("the values of {field} on {topic} have drifted from the baseline");
    let figures = tests.iter().map(|(test, found, limit)| {
        let short = |number: &f64| format!("{number:.3}");
        format!("{test} {}, limit {}", short(found), short(limit))
    });
    let figures: Vec<String> = figures.collect();
    let detail = format!("{}; owner of the field: {owner}", figures.join("; "));
    let tests: Vec<Value> = tests
        .iter()
        .map(|(test, found, limit)| json!({ "test": test, "found": found, "limit": limit }))
        .collect();
    let details = json!({
        "schema_id": schema_id, "field": field, "field_owner": owner, "action": action, "tests": tests, "began": since,
    });
    Sign {
        topic: Some(topic.clone()),
        details: details.as_object().cloned().unwrap_or_default(),
        ..Sign::new(AlertKind::Drift, &subject, "values", &text, &detail)
    }
}

fn down(concern: &Concern, dependency: &Dependency, fault: &str) -> Option<Sign> {
    let sign = match dependency {
        Dependency::Broker => {
            let text = "no broker can be reached";
            Sign::new(AlertKind::Broker, "", "broker_unavailable", text, fault)
        }
        Dependency::Registry => registry(fault),
        Dependency::Lookup(host) if concern.uses.contains(dependency) => {
            let text = format!("the server {host} of a lookup fails");
            Sign::new(AlertKind::Lookup, host, "lookup_unavailable", &text, fault)
        }
        Dependency::Table(name) if concern.uses.contains(dependency) => {
            let text = format!("the table of lookup {name} is not loaded");
            Sign::new(AlertKind::Lookup, name, "lookup_not_loaded", &text, fault)
        }
        Dependency::Topic(name) if concern.uses.contains(dependency) => {
            let text = format!("topic {name} does not exist any more");
            Sign::new(AlertKind::Broker, name, "topic_gone", &text, fault)
        }
        Dependency::Lookup(_) | Dependency::Table(_) | Dependency::Topic(_) => return None,
    };
    Some(sign)
}

fn registry(fault: &str) -> Sign {
    let text = "the registry cannot be asked";
    Sign::new(AlertKind::Registry, "", "registry_unavailable", text, fault)
}

fn paused(reason: PauseReason, detail: &str) -> Sign {
    let word = reason.as_str();
    match word {
        _ if reason == PauseReason::RegistryUnavailable => registry(detail),
        "breaker" => {
            let text = "a breaker has tripped: partitions wait until somebody has looked";
            Sign::new(AlertKind::Breaker, "", word, text, detail)
        }
        _ => {
            let text = format!("partitions wait because of {word}");
            Sign::new(AlertKind::Paused, word, word, &text, detail)
        }
    }
}

#[cfg(test)]
mod tests;
