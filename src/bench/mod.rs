//! `driftgate bench`: the benchmark's job beside a plain passthrough, on the broker that it is pointed at, with outputs that
//! are verified independently of the engine. In the order of a run: [`run`] says who runs when, on [`topics`] of their own;
//! [`order`] makes the input and [`input`] writes it; each contestant ([`naive`], [`best`], [`job`]) runs in a process of its
//! own ([`contestant`]), which measures itself ([`measure`]); [`verify`] reads what came out, by [`clean`]; [`latency`] does
//! the same at a fixed rate; [`report`] says what it came to, on which [`machine`].
//!
//! Beside that comparison there are parts that measure one thing each, and come to a [`section`] of the same [`page`]:
//! [`scale`] and [`wide`] run the job in other layouts, [`burst`] and [`soak`] hold an instance ([`served`]) under a [`load`]
//! that follows a [`schedule`], [`idle`] and [`start`] look at one by [`probe`] and by its log. All stand on one [`ground`].

pub mod best;
pub mod burst;
pub mod clean;
pub mod contestant;
pub mod fields;
pub mod ground;
pub mod idle;
pub mod input;
pub mod job;
pub mod latency;
pub mod load;
pub mod machine;
pub mod measure;
pub mod naive;
pub mod order;
pub mod page;
pub mod probe;
pub mod report;
pub mod run;
pub mod scale;
pub mod schedule;
pub mod section;
pub mod served;
pub mod soak;
pub mod start;
mod text;
pub mod topics;
pub mod verify;
pub mod wide;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use self::contestant::Contestant;
use self::ground::Place;

/// How the benchmark runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the brokers are, `host:port,…`.
    pub brokers: String,
    /// What the report calls them.
    pub broker_name: Option<String>,
    /// librdkafka properties for every client: security.
    pub properties: BTreeMap<String, String>,
    /// The registry; one in this process without.
    pub registry: Option<String>,
    /// Records of the input.
    pub records: u64,
    /// Its seed.
    pub seed: u64,
    /// Partitions of each topic.
    pub partitions: i32,
    /// How often each contestant runs.
    pub rounds: usize,
    /// Who runs.
    pub contestants: Vec<Contestant>,
    /// `linger.ms` of every producer.
    pub linger: u64,
    /// Workers of the job.
    pub workers: usize,
    /// Records a second while the latency is measured.
    pub rate: u64,
    /// How long that is; zero leaves it out.
    pub rate_for: Duration,
    /// `linger.ms` then.
    pub rate_linger: u64,
    /// Whether topics stay.
    pub keep: bool,
    /// Doctors one output before it is verified, so that a test sees the verifier say no.
    pub plant: bool,
    /// This program, which contestants are run by.
    pub program: PathBuf,
}

impl Options {
    /// Where it runs.
    pub fn place(&self) -> Place {
        Place {
            brokers: self.brokers.clone(),
            broker_name: self.broker_name.clone(),
            properties: self.properties.clone(),
            registry: self.registry.clone(),
            seed: self.seed,
            keep: self.keep,
            program: self.program.clone(),
        }
    }
}

/// Is told how far the benchmark has come.
pub trait Progress {
    /// A part of it begins, with so many steps.
    fn part(&mut self, name: &str, steps: u64);
    /// So many steps are done.
    fn done(&mut self, steps: u64);
}
