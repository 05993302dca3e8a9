//! One contestant in a process of its own, so that its processor time and its memory are nobody else's. The parent hands it
//! a [`Task`] in the first line of its standard input, since properties may be secret, and reads a [`Ran`] from its standard
//! output; when the parent closes the standard input, it ends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::{best, job, naive};
use crate::error::FatalError;

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contestant {
    /// A passthrough that looks at nothing, as it is usually written: one poll and one send a record.
    Naive,
    /// The best passthrough that librdkafka allows.
    Best,
    /// The job.
    Job,
    /// The job with `delivery: exactly_once`.
    ExactlyOnce,
    /// The job with `provenance: header`.
    Header,
}

impl Contestant {
    /// All, in the order of the report.
    pub const ALL: [Contestant; 5] = [
        Contestant::Naive,
        Contestant::Best,
        Contestant::Job,
        Contestant::ExactlyOnce,
        Contestant::Header,
    ];

    /// Its name in arguments, topics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Contestant::Naive => "naive",
            Contestant::Best => "best",
            Contestant::Job => "job",
            Contestant::ExactlyOnce => "exactly_once",
            Contestant::Header => "header",
        }
    }

    /// What it is, for a person.
    pub fn title(self) -> &'static str {
        match self {
            Contestant::Naive => "passthrough, naive",
            Contestant::Best => "passthrough, best",
            Contestant::Job => "the job",
            Contestant::ExactlyOnce => "the job, exactly_once",
            Contestant::Header => "the job, provenance: header",
        }
    }

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Contestant> {
        Contestant::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The program that it runs in: the passthroughs have one of their own beside `own`, whose allocator is the system's. Without
    /// that one, as where only `driftgate` is installed, they run in `own`.
    pub fn program(self, own: &Path) -> PathBuf {
        let mut plain = own.with_file_name("driftgate-passthrough");
        plain.set_extension(own.extension().unwrap_or_default());
        match self.is_passthrough() && plain.is_file() {
            true => plain,
            false => own.to_owned(),
        }
    }

    /// Whether records come out as they went in.
    pub fn is_passthrough(self) -> bool {
        matches!(self, Contestant::Naive | Contestant::Best)
    }
}

/// What a contestant is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Who it is.
    pub contestant: Contestant,
    /// Where the brokers are.
    pub brokers: String,
    /// librdkafka properties for every client.
    pub properties: BTreeMap<String, String>,
    /// The registry.
    pub registry: String,
    /// What it reads.
    pub source: String,
    /// Topics that a job reads besides.
    pub beside: Vec<String>,
    /// What it writes.
    pub sink: String,
    /// Its group.
    pub group: String,
    /// Records until it is done; `None` until its standard input is closed.
    pub records: Option<u64>,
    /// `linger.ms`
    pub linger: u64,
    /// Workers of the job.
    pub workers: usize,
}

/// What it used, from the first record that it had to the last acknowledgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// Records in that time.
    pub records: u64,
    /// How long it took.
    pub seconds: f64,
    /// Processor time of all its threads in that time.
    pub cpu_seconds: f64,
    /// The most memory that was resident, since it began.
    pub peak_memory_bytes: u64,
    /// Of a job: what it says that became of the records.
    pub outcomes: Option<Outcomes>,
}

/// What a job says that became of its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// To the sink.
    pub emitted: u64,
    /// Dropped by the filter.
    pub filtered: u64,
    /// To the dead-letter topic.
    pub dead_lettered: u64,
    /// To a retry topic: nothing of the benchmark should be.
    pub retried: u64,
}

impl Task {
    /// What the parent wants of this process.
    pub fn receive() -> Result<Task, FatalError> {
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| FatalError::Start(error.to_string()))?;
        serde_json::from_str(&line)
            .map_err(|error| FatalError::Start(format!("no task on standard input: {error}")))
    }

    /// Runs it in this process.
    pub fn run(&self) -> Result<Ran, FatalError> {
        let stop = Stop::new()?;
        match self.contestant {
            Contestant::Naive => naive::run(self, &stop),
            Contestant::Best => best::run(self, &stop),
            Contestant::Job | Contestant::ExactlyOnce | Contestant::Header => job::run(self, &stop),
        }
    }

    /// All that it reads.
    pub fn sources(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.source).chain(&self.beside)
    }

    /// Properties that every client of it has.
    pub fn client(&self) -> BTreeMap<String, String> {
        let mut client = self.properties.clone();
        client.insert("bootstrap.servers".into(), self.brokers.clone());
        client
    }
}

/// Whether the parent wants it to end.
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Waits for the end of the standard input on a thread of its own, which nobody waits for.
    fn new() -> Result<Stop, FatalError> {
        let flag = Arc::new(AtomicBool::new(false));
        let on_end = Arc::clone(&flag);
        std::thread::Builder::new()
            .name("stop".into())
            .spawn(move || {
                let mut nothing = [0; 64];
                while matches!(std::io::stdin().read(&mut nothing), Ok(count) if count > 0) {}
                on_end.store(true, Ordering::Relaxed);
            })
            .map_err(|error| FatalError::Start(format!("a thread: {error}")))?;
        Ok(Stop(flag))
    }

    /// Whether it is to end.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A contestant that runs.
pub struct Running {
    child: Child,
    who: Contestant,
}

impl Running {
    /// Starts it. `own` is this program.
    pub fn start(own: &Path, task: &Task) -> Result<Running, FatalError> {
        let program = task.contestant.program(own);
        let text = serde_json::to_string(task).expect("a task is plain data");
        let failed =
            |error: std::io::Error| FatalError::Start(format!("{}: {error}", program.display()));
        let child = Command::new(&program)
            .args(["--log-level", "error", "bench", "--contestant"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut running = Running {
            child,
            who: task.contestant,
        };
        if let Some(input) = &mut running.child.stdin {
            writeln!(input, "{text}").map_err(failed)?;
        }
        Ok(running)
    }

    /// Whether it has ended by itself, which none does whose task has no end.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and waits for what it says.
    pub fn stop(mut self) -> Result<Ran, FatalError> {
        drop(self.child.stdin.take());
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<Ran, FatalError> {
        let name = self.who.name();
        let failed = |what: String| FatalError::Start(format!("{name}: {what}"));
        let mut said = String::new();
        if let Some(out) = &mut self.child.stdout {
            out.read_to_string(&mut said)
                .map_err(|error| failed(error.to_string()))?;
        }
        let status = self
            .child
            .wait()
            .map_err(|error| failed(error.to_string()))?;
        if !status.success() {
            return Err(failed(format!("ended with {status}; its words are above")));
        }
        let last = said.lines().last().unwrap_or_default();
        serde_json::from_str(last).map_err(|error| failed(format!("said no result: {error}")))
    }
}

impl Drop for Running {
    /// None outlives the benchmark: the child sees its standard input end, too.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
