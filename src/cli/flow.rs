//! The flow of topics, contracts, owners and rules, for `driftgate check`. Input: a configuration, and the rules that it
//! was compiled to. Output: text; nothing is asked of a broker or registry.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::build::RuleLine;
use crate::config::delivery;
use crate::config::model::{Config, Delivery, Pipeline, SchemaSource, Sink};
use crate::config::units::{format_duration, format_ratio};

/// One row a topic, grouped by pipeline.
pub fn table(config: &Config) -> String {
    let header = ["PIPELINE", "OWNER", "GROUP", "ROLE", "TOPIC", "WHAT"].map(str::to_owned);
    let mut rows = vec![header];
    for pipeline in &config.pipelines {
        let mut first = [
            pipeline.name.clone(),
            pipeline.owner.to_string(),
            pipeline.group.clone(),
        ];
        for (role, topic, what) in topics(pipeline) {
            let [name, owner, group] = std::mem::take(&mut first);
            rows.push([name, owner, group, role, topic, what]);
        }
    }
    aligned(&rows)
}

/// A rule of a pipeline, with where it comes from.
#[derive(Debug)]
pub struct Rule {
    row: [String; 6],
}

impl Rule {
    /// A row.
    pub fn new(pipeline: &str, line: &RuleLine<'_>) -> Rule {
        let rule = line.rule;
        let [pipeline, on, name] = [pipeline, line.on, &rule.rule].map(str::to_owned);
        let [does, origin, checks] = [&rule.does, &rule.origin, &rule.checks].map(String::clone);
        Rule {
            row: [pipeline, on, name, does, origin, checks],
        }
    }

    /// The same as data.
    pub fn json(&self) -> Value {
        let [pipeline, on, name, does, origin, checks] = &self.row;
        json!({ "pipeline": pipeline, "on": on, "rule": name, "does": does, "origin": origin, "checks": checks })
    }
}

/// One row a rule: what it is checked on, what it does, and whether it is the file's or a subject's.
pub fn rules(rules: &[Rule]) -> String {
    let header = ["PIPELINE", "ON", "RULE", "DOES", "ORIGIN", "CHECKS"].map(str::to_owned);
    let rows = rules.iter().map(|rule| rule.row.clone());
    aligned(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

/// A flowchart in Mermaid.
pub fn mermaid(config: &Config) -> String {
    let mut chart = Chart {
        out: "flowchart LR\n".to_owned(),
        topics: BTreeMap::new(),
    };
    for (index, pipeline) in config.pipelines.iter().enumerate() {
        // Writing to a String does not fail.
        let _infallible = chart.pipeline(index, pipeline);
    }
    chart.out
}

/// The same as data.
pub fn json(config: &Config) -> Value {
    let pipelines: Vec<Value> = config.pipelines.iter().map(pipeline_json).collect();
    json!({ "pipelines": pipelines })
}

/// Role, topic and what there is to say of it.
fn topics(pipeline: &Pipeline) -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    let contract = contract(pipeline);
    for source in &pipeline.source_topics {
        rows.push((
            "source".to_owned(),
            source.clone(),
            format!("held to {contract}"),
        ));
    }
    for sink in pipeline.sinks() {
        rows.push((
            "sink".to_owned(),
            sink.topic.clone(),
            format!("subject {}", sink_subject(sink)),
        ));
    }
    let jitter = match pipeline.failure.jitter {
        0.0 => String::new(),
        jitter => format!(", up to {} more", format_ratio(jitter)),
    };
    for source in &pipeline.source_topics {
        for (index, delay) in pipeline.failure.tiers.iter().enumerate() {
            rows.push((
                format!("retry {}", index + 1),
                pipeline.retry_topic(source, index + 1),
                format!("after {}{jitter}", format_duration(*delay)),
            ));
        }
    }
    for topic in dead_letter_topics(pipeline) {
        let retention = pipeline.failure.dead_letter.retention;
        let kept = retention.map_or("for ever".to_owned(), format_duration);
        let what = if pipeline.create_topics {
            format!("kept {kept} if created here")
        } else {
            String::new()
        };
        rows.push(("dead letter".to_owned(), topic, what));
    }
    for (name, topic) in pipeline.asides() {
        let what = format!("what {} sets aside", name.trim_end_matches(".topic"));
        rows.push(("set aside".to_owned(), topic.value.clone(), what));
    }
    if let Some(prefix) = transactional_ids(pipeline) {
        let what = "transactional ids that begin so: needs Write and Describe on them";
        rows.push((
            "transactions".to_owned(),
            format!("{prefix}*"),
            what.to_owned(),
        ));
    }
    for topic in ledgers(pipeline) {
        rows.push(("ledger".to_owned(), topic, "what audits go by".to_owned()));
    }
    for topic in states(pipeline) {
        let what = "what is remembered: needs Read and Write".to_owned();
        rows.push(("state".to_owned(), topic, what));
    }
    rows
}

/// What the transactional ids of a pipeline begin with, for whoever grants rights; `None` without transactions.
fn transactional_ids(pipeline: &Pipeline) -> Option<String> {
    matches!(pipeline.delivery, Delivery::ExactlyOnce(_)).then(|| format!("{}-", pipeline.group))
}

fn ledgers(pipeline: &Pipeline) -> Vec<String> {
    let sources = pipeline.source_topics.iter();
    sources
        .filter_map(|source| pipeline.ledger_topic(source))
        .collect()
}

fn states(pipeline: &Pipeline) -> Vec<String> {
    let sources = pipeline.source_topics.iter();
    sources
        .filter_map(|source| pipeline.state_topic(source))
        .collect()
}

/// Each once, in the order of the sources.
fn dead_letter_topics(pipeline: &Pipeline) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    for source in &pipeline.source_topics {
        let topic = pipeline.dead_letter_topic(source);
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    topics
}

fn contract(pipeline: &Pipeline) -> String {
    let schema = schema(&pipeline.contract.schema);
    let key = pipeline.contract.key.as_ref();
    let key = key.map_or_else(String::new, |key| {
        format!(", key {}", self::schema(&key.schema))
    });
    match &pipeline.contract.rules {
        Some(rules) => format!("{schema} and {}{key}", rules.display()),
        None => format!("{schema}{key}"),
    }
}

fn schema(source: &SchemaSource) -> String {
    match source {
        SchemaSource::File { path } => path.display().to_string(),
        SchemaSource::Subject { subject, version } => match version {
            Some(version) => format!("{subject} version {version}"),
            None => format!("{subject} latest"),
        },
    }
}

fn sink_subject(sink: &Sink) -> String {
    match &sink.schema {
        SchemaSource::File { path } => format!("{} from {}", sink.subject, path.display()),
        source @ SchemaSource::Subject { .. } => schema(source),
    }
}

fn pipeline_json(pipeline: &Pipeline) -> Value {
    let retries: Vec<Value> = pipeline
        .source_topics
        .iter()
        .flat_map(|source| {
            pipeline
                .failure
                .tiers
                .iter()
                .enumerate()
                .map(move |(index, delay)| {
                    json!({
                        "source": source,
                        "tier": index + 1,
                        "topic": pipeline.retry_topic(source, index + 1),
                        "delay_ms": u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                    })
                })
        })
        .collect();
    json!({
        "name": pipeline.name,
        "owner": { "team": pipeline.owner.team, "contact": pipeline.owner.contact },
        "group": pipeline.group,
        "workers": pipeline.workers,
        "delivery": delivery(pipeline.delivery),
        "sources": pipeline.source_topics,
        "contract": {
            "schema": schema(&pipeline.contract.schema),
            "subject": pipeline.contract.schema.subject(),
            "rules": pipeline.contract.rules.as_ref().map(|path| path.display().to_string()),
            "key": pipeline.contract.key.as_ref().map(|key| schema(&key.schema)),
        },
        "sink": sink(&pipeline.sink),
        "routed": pipeline.sinks().into_iter().skip(1).map(sink).collect::<Vec<_>>(),
        "retry": retries,
        "dead_letter": dead_letter_topics(pipeline),
        "set_aside": pipeline.asides().map(|(_, topic)| &topic.value).collect::<Vec<_>>(),
        "state": states(pipeline),
        "transactional_ids": transactional_ids(pipeline),
        "ledger": ledgers(pipeline),
    })
}

fn sink(sink: &Sink) -> Value {
    json!({ "topic": sink.topic, "schema": schema(&sink.schema), "subject": sink.subject })
}

struct Chart {
    out: String,
    /// Topic → its node, so that the sink of one pipeline and the source of the next are one.
    topics: BTreeMap<String, usize>,
}

impl Chart {
    fn pipeline(&mut self, index: usize, pipeline: &Pipeline) -> std::fmt::Result {
        let node = format!("p{index}");
        let mut label = vec![pipeline.name.clone()];
        label.push(format!("contract {}", pipeline.contract.schema.subject()));
        let owner = pipeline.owner.to_string();
        if !owner.is_empty() {
            label.push(owner);
        }
        let label: Vec<String> = label.iter().map(|line| escape(line)).collect();
        writeln!(self.out, "    {node}[\"{}\"]", label.join("<br>"))?;
        for source in &pipeline.source_topics {
            let topic = self.topic(source)?;
            writeln!(self.out, "    {topic} --> {node}")?;
            for (tier, delay) in pipeline.failure.tiers.iter().enumerate() {
                let retry = self.topic(&pipeline.retry_topic(source, tier + 1))?;
                writeln!(
                    self.out,
                    "    {node} -. \"retry after {}\" .-> {retry}",
                    format_duration(*delay)
                )?;
                writeln!(self.out, "    {retry} -.-> {node}")?;
            }
        }
        let mut drawn: Vec<&str> = Vec::new();
        for sink in pipeline.sinks() {
            if !drawn.contains(&sink.topic.as_str()) {
                drawn.push(&sink.topic);
                let sink = self.topic(&sink.topic)?;
                writeln!(self.out, "    {node} --> {sink}")?;
            }
        }
        for topic in dead_letter_topics(pipeline) {
            let topic = self.topic(&topic)?;
            writeln!(self.out, "    {node} -- \"dead letter\" --> {topic}")?;
        }
        for (name, topic) in pipeline.asides() {
            let topic = self.topic(&topic.value)?;
            let what = match name {
                "dedup.topic" => "copies",
                _ => "stale",
            };
            writeln!(self.out, "    {node} -- \"{what}\" --> {topic}")?;
        }
        Ok(())
    }

    /// The node of a topic, drawn when it first comes up.
    fn topic(&mut self, name: &str) -> Result<String, std::fmt::Error> {
        let next = self.topics.len();
        if let Some(index) = self.topics.get(name) {
            return Ok(format!("t{index}"));
        }
        self.topics.insert(name.to_owned(), next);
        writeln!(self.out, "    t{next}[(\"{}\")]", escape(name))?;
        Ok(format!("t{next}"))
    }
}

/// Mermaid's own escapes inside quoted labels: entities with `#` in place of `&`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '#' => out.push_str("#35;"),
            '"' => out.push_str("#quot;"),
            '&' => out.push_str("#amp;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            other => out.push(other),
        }
    }
    out
}

/// Columns as wide as their widest cell, the last one ragged.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            let blanks = width - cell.chars().count() + 2;
            line.extend(std::iter::repeat_n(' ', blanks));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
