//! One run: the input, then the contestants in turns, each on topics of its own, verified before the next; then their
//! latencies. In each round somebody else begins, so that none always has the broker in the same state.

use std::collections::BTreeMap;
use std::time::Duration;

use super::contestant::{Contestant, Ran, Running, Task};
use super::ground::Ground;
use super::latency::{self, Latency};
use super::verify::{self, Expected, Verdict};
use super::{Options, Progress, input};
use crate::error::FatalError;

/// One run of one contestant.
#[derive(Debug, Clone)]
pub struct Round {
    /// Which round, from 0.
    pub round: usize,
    /// Who.
    pub contestant: Contestant,
    /// What it used.
    pub ran: Ran,
    /// Whether its outputs are right.
    pub verdict: Verdict,
}

/// Everything that was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// In the order in which they ran.
    pub rounds: Vec<Round>,
    /// By contestant.
    pub latencies: BTreeMap<Contestant, Latency>,
}

/// Runs the benchmark.
pub fn run(options: &Options, progress: &mut dyn Progress) -> Result<Measured, FatalError> {
    let ground = Ground::new(&options.place())?;
    let schema = ground.register_orders()?;
    let stage = Stage {
        options,
        source: ground.topics.name("orders"),
        ground,
        schema,
    };
    let topics = &stage.ground.topics;
    topics.create(&stage.source, options.partitions)?;
    let seeded = (options.seed, options.records);
    input::write(
        &stage.ground.client,
        &stage.source,
        seeded,
        schema,
        progress,
    )?;
    let expected = Expected::of(options.seed, options.records, schema);
    let mut rounds = Vec::new();
    let mut plant = options.plant;
    for round in 0..options.rounds {
        for index in 0..options.contestants.len() {
            let turn = (index + round) % options.contestants.len();
            let contestant = options.contestants[turn];
            let plant = !contestant.is_passthrough() && std::mem::take(&mut plant);
            let (ran, verdict) = stage.play(round, contestant, &expected, plant, progress)?;
            rounds.push(Round {
                round,
                contestant,
                ran,
                verdict,
            });
        }
    }
    drop(expected);
    let mut latencies = BTreeMap::new();
    if options.rate_for > Duration::ZERO {
        for &contestant in &options.contestants {
            latencies.insert(contestant, stage.time(contestant, progress)?);
        }
    }
    Ok(Measured { rounds, latencies })
}

/// What all contestants share.
struct Stage<'o> {
    options: &'o Options,
    ground: Ground,
    source: String,
    schema: u32,
}

impl Stage<'_> {
    fn task(&self, contestant: Contestant, group: &str, source: &str) -> Task {
        Task {
            contestant,
            brokers: self.options.brokers.clone(),
            properties: self.options.properties.clone(),
            registry: self.ground.registry.clone(),
            source: source.to_owned(),
            beside: Vec::new(),
            sink: format!("{group}.out"),
            group: group.to_owned(),
            records: None,
            linger: self.options.linger,
            workers: self.options.workers,
        }
    }

    fn play(
        &self,
        round: usize,
        contestant: Contestant,
        expected: &Expected,
        plant: bool,
        progress: &mut dyn Progress,
    ) -> Result<(Ran, Verdict), FatalError> {
        let name = format!("round-{}.{}", round + 1, contestant.name());
        let group = self.ground.topics.name(&name);
        let mut task = self.task(contestant, &group, &self.source);
        task.records = Some(self.options.records);
        self.ground
            .topics
            .create(&task.sink, self.options.partitions)?;
        let title = format!(
            "round {} of {}: {}",
            round + 1,
            self.options.rounds,
            contestant.title()
        );
        progress.part(&title, 0);
        let ran = Running::start(&self.options.program, &task)?.wait()?;
        let verdict = verify::verify(&self.ground.kafka(), &task, &ran, expected, plant, progress)?;
        self.ground.topics.remove(&group);
        Ok((ran, verdict))
    }

    fn time(
        &self,
        contestant: Contestant,
        progress: &mut dyn Progress,
    ) -> Result<Latency, FatalError> {
        let group = self
            .ground
            .topics
            .name(&format!("rate.{}", contestant.name()));
        let mut task = self.task(contestant, &group, &format!("{group}.in"));
        task.linger = self.options.rate_linger;
        for topic in [&task.source, &task.sink] {
            self.ground.topics.create(topic, self.options.partitions)?;
        }
        let (options, client) = (self.options, &self.ground.client);
        let latency = latency::measure(options, client, &task, self.schema, progress)?;
        self.ground.topics.remove(&group);
        Ok(latency)
    }
}
