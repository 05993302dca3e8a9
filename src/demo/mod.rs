//! `driftgate demo`: the main job against a broker and a registry in this process, with a stream of orders in which
//! things go wrong one at a time. What is printed at the end is recounted from the topics by a consumer of its own,
//! never taken from the processor's counters.

pub mod crm;
pub mod recount;
pub mod story;
pub mod stream;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use self::crm::Crm;
use self::recount::{Recount, Summary};
use self::story::{Chapter, Story};
use crate::config;
use crate::config::diagnose;
use crate::embedded::broker::EmbeddedBroker;
use crate::embedded::registry::EmbeddedRegistry;
use crate::instance::Instance;

/// Partitions of every topic.
const PARTITIONS: i32 = 4;
/// How long the end waits for retries that are still due, beyond the duration.
const PATIENCE: Duration = Duration::from_secs(20);

const FILES: [(&str, &str); 5] = [
    ("driftgate.yaml", include_str!("files/driftgate.yaml")),
    ("orders-value.avsc", include_str!("files/orders-value.avsc")),
    (
        "orders-value.rules.yaml",
        include_str!("files/orders-value.rules.yaml"),
    ),
    (
        "orders.clean-value.avsc",
        include_str!("files/orders.clean-value.avsc"),
    ),
    ("customer.avsc", include_str!("files/customer.avsc")),
];

/// How the demo runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long orders are made and things go wrong, 15 s or more.
    pub duration: Duration,
    /// Seed of the stream.
    pub seed: u64,
    /// Orders a second.
    pub rate: u32,
}

/// What the screen is told. Implemented by the command; tests pass one that keeps quiet.
pub trait Screen: Send + Sync {
    /// Something of the story happened, `at` after the start.
    fn tell(&self, at: Duration, text: &str);
    /// The counts so far.
    fn counts(&self, at: Duration, summary: &Summary);
}

/// Runs the demo and returns the recount.
pub async fn run(
    options: &Options,
    screen: Arc<dyn Screen>,
    stop: CancellationToken,
) -> anyhow::Result<Summary> {
    let start = Instant::now();
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let (broker, registry, crm) = (
        EmbeddedBroker::start()?,
        EmbeddedRegistry::start()?,
        Crm::start().await?,
    );
    let config = configuration(folder.path(), &broker, &registry, &crm)?;
    for pipeline in &config.pipelines {
        broker.create_topics(pipeline, PARTITIONS)?;
    }
    screen.tell(
        start.elapsed(),
        "a broker, a registry and a CRM server run in this process",
    );
    let recount = Recount::start(
        &broker.bootstrap_servers(),
        &config.pipelines[0],
        PARTITIONS,
    )?;
    let shutdown = CancellationToken::new();
    let instance = Instance::new(shutdown.clone());
    let running = instance.run(&config, &|_| None, Some(&broker));
    tokio::pin!(running);
    let cast = Cast {
        story: Story::new(options.duration),
        stream: stream::Stream::start(&broker.bootstrap_servers(), &registry.url(), options)
            .await?,
        crm: &crm,
        recount: &recount,
        screen: screen.as_ref(),
        start,
    };
    let produced = tokio::select! {
        ended = &mut running => {
            ended?;
            anyhow::bail!("the processor ended before the demo did");
        }
        produced = cast.play(options.duration, &stop) => produced?,
    };
    shutdown.cancel();
    running.await?;
    let summary = recount.finish(produced)?;
    screen.counts(start.elapsed(), &summary);
    Ok(summary)
}

fn configuration(
    folder: &Path,
    broker: &EmbeddedBroker,
    registry: &EmbeddedRegistry,
    crm: &Crm,
) -> anyhow::Result<config::model::Config> {
    for (name, text) in FILES {
        std::fs::write(folder.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    let vars = |name: &str| match name {
        "DEMO_BROKER" => Some(broker.bootstrap_servers()),
        "DEMO_REGISTRY" => Some(registry.url()),
        "DEMO_CRM" => Some(crm.url()),
        _ => None,
    };
    match config::load(&folder.join("driftgate.yaml"), &vars) {
        Ok(loaded) => Ok(loaded.config),
        Err(faults) => anyhow::bail!("{}", diagnose::render(&faults, false)),
    }
}

/// Everybody in the story.
struct Cast<'a> {
    story: Story,
    stream: stream::Stream,
    crm: &'a Crm,
    recount: &'a Recount,
    screen: &'a dyn Screen,
    start: Instant,
}

impl Cast<'_> {
    /// Plays the story to its end and waits until every record has its outcome. Returns how many orders there were.
    async fn play(self, duration: Duration, stop: &CancellationToken) -> anyhow::Result<u64> {
        self.tell(stop).await?;
        // Whatever was broken works again, or retries would wait for ever.
        self.crm.up().await?;
        let produced = self.stream.finish().await?;
        let until = (self.start + duration).max(Instant::now()) + PATIENCE;
        let mut next_counts = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            let summary = self.recount.summary(produced);
            if summary.is_complete() {
                break;
            }
            if Instant::now() >= next_counts {
                next_counts += Duration::from_secs(1);
                self.screen.counts(self.start.elapsed(), &summary);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(produced)
    }

    /// Plays the chapters at their times, and reports the counts once a second.
    async fn tell(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut chapters = self.story.chapters().iter().peekable();
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        let mut next_counts = Duration::from_secs(1);
        while begin.elapsed() < self.story.end() {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => {
                    let text = "stopping: no more orders; what is in retry is waited for";
                    self.screen.tell(self.start.elapsed(), text);
                    return Ok(());
                }
            }
            let at = begin.elapsed();
            while let Some(chapter) = chapters.next_if(|chapter| chapter.at <= at) {
                self.change(chapter).await?;
                self.screen.tell(self.start.elapsed(), chapter.text);
            }
            if at >= next_counts {
                next_counts += Duration::from_secs(1);
                let summary = self.recount.summary(self.stream.produced());
                self.screen.counts(self.start.elapsed(), &summary);
            }
        }
        for chapter in chapters {
            self.screen.tell(self.start.elapsed(), chapter.text);
        }
        Ok(())
    }

    async fn change(&self, chapter: &Chapter) -> anyhow::Result<()> {
        use story::Event;
        match chapter.event {
            Event::Calm => self.stream.play(stream::Kind::Good),
            Event::OptionalField => self.stream.play(stream::Kind::OptionalField),
            Event::NumericStatus => self.stream.play(stream::Kind::NumericStatus),
            Event::Truncated => self.stream.play(stream::Kind::Truncated),
            Event::LookupDown => self.crm.down().await,
            Event::LookupUp => self.crm.up().await?,
        }
        Ok(())
    }
}
