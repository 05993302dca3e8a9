//! `driftgate dlq redrive`: arguments and configuration → a job → a summary that adds up.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::list::tell_missing;
use super::select::{Which, names};
use super::stats::{counts, histogram};
use super::{bar, here};
use crate::cli::times::{moves, now};
use crate::cli::{COULD_NOT_RUN, FINDINGS, Output, complain, print, runtime};
use crate::config::model::{Config, Pipeline};
use crate::dlq::Failure;
use crate::dlq::decide::Target;
use crate::dlq::filter::Filter;
use crate::dlq::redrive::{self, Counts, Job, Report, Stop, Watch};
use crate::ingest::properties::{self, BROKER_MESSAGE_BYTES, HEADER_ROOM, Properties};
use crate::ingest::topics::Known;
use crate::ingest::topics::admin::TopicAdmin;
use crate::produce::send::Rate;
use crate::quiet::UNSEEN;
use crate::words::counted;

/// How long the broker may take for one question.
const ASK: Duration = Duration::from_secs(10);
/// What the producer may hold, in bytes.
const MEMORY: u64 = 64 * 1024 * 1024;
/// How often a record goes back unless something else is asked for.
const MAX_REDRIVEN: u32 = 5;

/// Arguments of `dlq redrive`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate dlq redrive --dry-run
  driftgate dlq redrive --reason rule_violation --since 2026-11-21T08:00:00Z --rate 100/s
  driftgate dlq redrive --partition 3 --offsets 100..200
  driftgate dlq redrive --from-start --max-redriven 10

Correct first what they failed for (the contract, a rule, a table), and restart the instances;
`driftgate dlq show` tells what would become of one now. Each filter has its own progress: another
filter begins at the start, and sends again what it shares with an earlier one.
The configuration must be the one that the pipeline runs with. Besides rights on the pipeline's
topics, this needs Read on groups that begin with `<group>.redrive`.

Exit codes: 0 all that the filter takes are sent back, 1 some have gone back as often as they may,
or cannot go back, 2 arguments, topics or configuration are wrong, 3 the broker failed, or it was
interrupted: the next run goes on from there.")]
pub struct RedriveArgs {
    #[command(flatten)]
    pub(super) which: Which,
    /// Send nothing, and count what would be sent
    #[arg(long)]
    dry_run: bool,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// At most so many in a time: 100/s, 30/m, 1000/h
    #[arg(long, value_parser = Rate::parse)]
    rate: Option<Rate>,
    /// Leave out what has gone back so often already
    #[arg(long, value_name = "N", default_value_t = MAX_REDRIVEN, value_parser = clap::value_parser!(u32).range(1..))]
    max_redriven: u32,
    /// Begin anew, whatever an earlier run with this filter has sent
    #[arg(long)]
    from_start: bool,
    /// Form of the summary
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) fn redrive(args: &RedriveArgs, config: &Config) -> Result<ExitCode, Failure> {
    let pipeline = pipeline(args, config)?;
    let filter = args.which.filter(now())?;
    let group = group(args, config, pipeline, &filter)?;
    let runtime = runtime().map_err(here)?;
    let known = known(config, pipeline, runtime.handle())?;
    let target = target(args, config, pipeline, &known);
    let retries = retries(pipeline, &known)?;
    let job = Job {
        producer: producer(config, &retries, &known),
        kafka: config.kafka.clone(),
        topics: args.which.topics(&[pipeline]),
        filter,
        target,
        retries,
        group,
        family: family(pipeline),
        from_start: args.from_start,
        limit: args.limit,
        rate: args.rate,
        dry_run: args.dry_run,
    };
    let mut terminal = Terminal {
        bar: bar(0),
        interrupts: Arc::new(AtomicU32::new(0)),
    };
    let interrupts = Arc::clone(&terminal.interrupts);
    runtime.spawn(async move {
        // Where there can be no handler, they end the process as they always did.
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(interrupt), signal(terminate)) else {
            return;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            interrupts.fetch_add(1, Ordering::Relaxed);
        }
    });
    let result = redrive::redrive(&job, &mut terminal);
    terminal.bar.finish_and_clear();
    runtime.shutdown_background();
    let report = result.map_err(|failure| args.which.missing(&[pipeline], failure))?;
    conclude(args, pipeline, &job, &report)
}

/// The one pipeline that is meant: dead letters go back to where one group reads.
fn pipeline<'c>(args: &RedriveArgs, config: &'c Config) -> Result<&'c Pipeline, Failure> {
    let pipelines = args.which.pipelines(config)?;
    let [pipeline] = pipelines.as_slice() else {
        return Err(Failure::Asked(format!(
            "--pipeline is needed: one of {}",
            names(config)
        )));
    };
    if pipeline.failure.tiers.is_empty() {
        return Err(Failure::Asked(format!(
            "pipeline {} has no retry tier (failure.retry.tiers is []), and dead letters go back by way of its first retry \
             topic, never to the source that others read too; give it one, as [5s], restart its instances, and try again",
            pipeline.name
        )));
    }
    for topic in &args.which.topic {
        if let Some(what) = own(pipeline, topic) {
            return Err(Failure::Asked(format!(
                "{topic} is {what} of pipeline {}, and holds no dead letters; nothing of it is sent",
                pipeline.name
            )));
        }
    }
    Ok(pipeline)
}

/// What a topic is to the pipeline, if it is one that it reads or writes and no dead letters are in. What waits in a retry
/// topic is tried when it is due: sent back, it would be there twice.
fn own(pipeline: &Pipeline, topic: &str) -> Option<&'static str> {
    let is_sink = pipeline.sinks().iter().any(|sink| sink.topic == topic);
    let is_retry = |source: &String| {
        let now = (1..=pipeline.failure.tiers.len()).map(|tier| pipeline.retry_topic(source, tier));
        let former = pipeline.former_retry_topics(source).map(|(_, topic)| topic);
        now.chain(former).any(|retry| retry == topic)
    };
    let mut sources = pipeline.source_topics.iter();
    let is_ledger = |source: &String| pipeline.ledger_topic(source).as_deref() == Some(topic);
    let is_state = |source: &String| pipeline.state_topic(source).as_deref() == Some(topic);
    match () {
        () if pipeline.source_topics.iter().any(|source| source == topic) => Some("a source"),
        () if is_sink => Some("a sink"),
        () if topic == pipeline.control_topic() => Some("the control topic"),
        () if sources.clone().any(is_retry) => Some("a retry topic"),
        () if sources.clone().any(is_ledger) => Some("the ledger"),
        () if sources.any(is_state) => Some("the state topic"),
        () => None,
    }
}

/// The group that keeps the progress of this filter.
fn group(
    args: &RedriveArgs,
    config: &Config,
    pipeline: &Pipeline,
    filter: &Filter,
) -> Result<String, Failure> {
    if let Some(until) = args.which.until.as_deref().filter(|until| moves(until)) {
        return Err(Failure::Asked(format!(
            "--until {until} is another time in each run, and what was too new for one would be left out by the next; \
             write the time itself, as 2026-11-21T08:00:00Z"
        )));
    }
    let mut filter = filter.clone();
    let mut more = Vec::new();
    if let Some(since) = args.which.since.as_deref().filter(|since| moves(since)) {
        // What was too old once stays too old: a run may go on for another of the same words.
        filter.since = None;
        more.push(("since", since.to_owned()));
    }
    if args.max_redriven != MAX_REDRIVEN {
        more.push(("max_redriven", args.max_redriven.to_string()));
    }
    let mut others = config.pipelines.iter();
    if others.any(|other| other.name != pipeline.name && other.group == pipeline.group) {
        // They may share a dead-letter topic, and what this one leaves to another has not been sent.
        more.push(("pipeline", pipeline.name.clone()));
    }
    let group = family(pipeline);
    Ok(match filter.fingerprint(&more) {
        Some(fingerprint) => format!("{group}.{fingerprint}"),
        None => group,
    })
}

/// What the names of a pipeline's groups for progress begin with.
fn family(pipeline: &Pipeline) -> String {
    format!("{}.redrive", pipeline.group)
}

fn known(
    config: &Config,
    pipeline: &Pipeline,
    runtime: &tokio::runtime::Handle,
) -> Result<Known, Failure> {
    let mut topics = pipeline.source_topics.clone();
    topics.extend(
        pipeline
            .source_topics
            .iter()
            .map(|source| pipeline.retry_topic(source, 1)),
    );
    let admin = TopicAdmin::new(&properties::admin(&config.kafka), ASK);
    let known = admin.and_then(|admin| runtime.block_on(admin.known(&topics)));
    known.map_err(|error| Failure::Unreachable(error.to_string()))
}

fn target(args: &RedriveArgs, config: &Config, pipeline: &Pipeline, known: &Known) -> Target {
    let sources = pipeline.source_topics.iter();
    let others = config.pipelines.iter();
    let others =
        others.filter(|other| other.name != pipeline.name && other.group == pipeline.group);
    Target {
        group: pipeline.group.clone(),
        sources: sources
            .filter_map(|source| Some((source.clone(), known.get(source)?.partitions)))
            .collect(),
        others: others
            .flat_map(|other| other.source_topics.clone())
            .collect(),
        max_redriven: args.max_redriven,
    }
}

/// The first retry topic of each source topic that is there.
fn retries(pipeline: &Pipeline, known: &Known) -> Result<BTreeMap<String, String>, Failure> {
    let mut retries = BTreeMap::new();
    for source in &pipeline.source_topics {
        let retry = pipeline.retry_topic(source, 1);
        let (Some(from), Some(to)) = (known.get(source), known.get(&retry)) else {
            let missing = if known.contains_key(source) {
                &retry
            } else {
                source
            };
            return Err(Failure::Asked(format!(
                "there is no topic {missing}, {UNSEEN}: nobody would read what is sent back; start an instance of {} first",
                pipeline.name
            )));
        };
        if to.partitions < from.partitions {
            return Err(Failure::Asked(format!(
                "{retry} has {} and {source} has {}: restart an instance of {}, which adds them",
                counted(to.partitions, "partition"),
                from.partitions,
                pipeline.name
            )));
        }
        retries.insert(source.clone(), retry);
    }
    Ok(retries)
}

/// A batch that is larger than its topic takes is refused whole, so none is made.
fn producer(config: &Config, retries: &BTreeMap<String, String>, known: &Known) -> Properties {
    let limits = retries
        .values()
        .filter_map(|topic| known.get(topic)?.max_message_bytes);
    let limits: Vec<u64> = limits.collect();
    let largest = limits.iter().copied().max().unwrap_or(BROKER_MESSAGE_BYTES) + HEADER_ROOM;
    let mut producer =
        properties::plain_producer(&config.kafka, "driftgate-redrive", MEMORY, largest);
    let smallest = limits.iter().copied().min();
    let set = producer
        .get("batch.size")
        .and_then(|size| size.parse::<u64>().ok());
    if let (Some(smallest), Some(set)) = (smallest, set)
        && smallest < set
    {
        producer.insert("batch.size".to_owned(), smallest.max(1).to_string());
    }
    producer
}

/// What a person sees while it runs.
struct Terminal {
    bar: ProgressBar,
    interrupts: Arc<AtomicU32>,
}

impl Watch for Terminal {
    fn progress(&mut self, counts: &Counts, passed: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(passed);
        self.bar
            .set_message(format!("{} sent back", counts.redriven));
    }

    fn interrupted(&self) -> bool {
        self.interrupts.load(Ordering::Relaxed) > 0
    }

    fn abandoned(&self) -> bool {
        self.interrupts.load(Ordering::Relaxed) > 1
    }

    fn others(&mut self, groups: &[String]) {
        complain(&format!(
            "redrives with other filters have gone before ({}): what they have sent is sent again where this filter takes \
             it too",
            groups.join(", ")
        ));
    }

    fn now(&self) -> i64 {
        now()
    }
}

fn conclude(
    args: &RedriveArgs,
    pipeline: &Pipeline,
    job: &Job,
    report: &Report,
) -> Result<ExitCode, Failure> {
    let counts = report.counts;
    tell_missing(&report.missing);
    if report.resumed {
        complain(&format!(
            "went on where an earlier run had stopped ({}); --from-start begins anew",
            job.group
        ));
    }
    for (why, count) in &report.refusals {
        complain(&format!("{count} cannot go back: {why}"));
    }
    if counts.capped > 0 {
        complain(&format!(
            "left out, since they have gone back {} already: {}. What they fail for is not corrected; --max-redriven raises it",
            counted(args.max_redriven, "time"),
            counts.capped
        ));
    }
    let code = match &report.stopped {
        Some(Stop::Failed(why)) => {
            complain(&format!("stopped: {why}; the next run goes on from there"));
            COULD_NOT_RUN
        }
        Some(Stop::Interrupted) => {
            complain("interrupted: the next run goes on from there");
            COULD_NOT_RUN
        }
        Some(Stop::Limit) | None if counts.capped + counts.refused > 0 => FINDINGS,
        Some(Stop::Limit) | None => 0,
    };
    let text = match args.output {
        Output::Table => table(job, report),
        Output::Json => {
            let json = summary(pipeline, job, report);
            serde_json::to_string_pretty(&json).map_err(here)? + "\n"
        }
    };
    print(&text).map_err(here)?;
    Ok(ExitCode::from(code))
}

fn table(job: &Job, report: &Report) -> String {
    let counts = report.counts;
    let redriven = match job.dry_run {
        true => "would be sent back",
        false => "sent back",
    };
    let lines = [
        ("read", counts.read),
        (redriven, counts.redriven),
        ("left out by the filter", counts.filtered),
        ("of other pipelines", counts.elsewhere),
        ("sent back too often", counts.capped),
        ("refused", counts.refused),
        ("not acknowledged", counts.unacknowledged),
    ];
    let width = counts.read.to_string().len();
    let always = |name: &str| ["read", redriven].contains(&name);
    let lines = lines
        .into_iter()
        .filter(|(name, count)| *count > 0 || always(name));
    let mut text: String = lines
        .map(|(name, count)| format!("{name:<24}{count:>width$}\n"))
        .collect();
    for (topic, count) in &report.topics {
        text.push_str(&format!("{:<24}{topic} ({count})\n", "to"));
    }
    if job.dry_run {
        text.push_str(&histogram(&report.tally));
    }
    text
}

fn summary(pipeline: &Pipeline, job: &Job, report: &Report) -> serde_json::Value {
    let Counts {
        read,
        redriven,
        filtered,
        elsewhere,
        capped,
        refused,
        unacknowledged,
    } = report.counts;
    let refusals = report.refusals.iter();
    let refusals: Vec<_> = refusals
        .map(|(why, count)| json!({ "why": why.to_string(), "count": count }))
        .collect();
    let mut json = json!({
        "pipeline": pipeline.name,
        "read": read,
        "redriven": redriven,
        "filtered": filtered,
        "elsewhere": elsewhere,
        "capped": capped,
        "refused": refused,
        "unacknowledged": unacknowledged,
        "complete": report.stopped.is_none(),
        "dry_run": job.dry_run,
        "resumed": report.resumed,
        "group": job.group,
        "topics": report.topics,
        "refusals": refusals,
    });
    if let Some(object) = json.as_object_mut() {
        object.extend(counts(&report.tally));
    }
    json
}
