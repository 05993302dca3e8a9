//! An instance as anybody runs it: `driftgate run` with a configuration file, in a process of its own. What it does is seen
//! from outside: its log, the topics, and what the kernel says of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ground::Ground;
use super::job;
use super::measure;
use crate::error::FatalError;
use crate::instance;
use crate::native::signal;

/// What is logged: what an operator sees, and the stages of a start.
const LOG: &str = "warn,driftgate=info,driftgate::health=debug,driftgate::worker::assign=debug";
/// How long a stop may take: the instance's own grace, and what a slow machine adds.
const STOP: Duration = Duration::from_secs(40);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);
/// Complaints that are kept.
const KEPT: usize = 20;

/// What an instance is to run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Its configuration file, with the variables `BENCH_…`.
    pub text: String,
    /// Other files beside it: name and text.
    pub files: Vec<(String, String)>,
    /// What it reads.
    pub sources: Vec<String>,
    /// What it writes.
    pub sink: String,
    /// Its group.
    pub group: String,
    /// Its workers.
    pub workers: usize,
}

impl Setup {
    /// The benchmark's job, with the defaults of everything else.
    pub fn job(sources: Vec<String>, group: &str) -> Setup {
        let file = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        let mut files: Vec<_> = job::FILES.into_iter().map(file).collect();
        let (_, text) = files.remove(0);
        Setup {
            text,
            files,
            sources,
            sink: format!("{group}.out"),
            group: group.to_owned(),
            workers: 1,
        }
    }

    /// The configuration file as it is written. The values of properties may be secret: they come by variables.
    fn text(&self, properties: &[&String]) -> String {
        let properties = properties.iter().enumerate();
        let properties: serde_json::Map<String, Value> = properties
            .map(|(index, name)| {
                let value = format!("${{BENCH_PROPERTY_{index}}}");
                ((*name).clone(), Value::String(value))
            })
            .collect();
        let text = self.text.replace(
            "{ linger.ms: \"${BENCH_LINGER}\" }",
            &Value::Object(properties).to_string(),
        );
        let text = text.replace("[\"${BENCH_SOURCE}\"]", &json!(self.sources).to_string());
        text.replace("listen: off", "listen: \"127.0.0.1:0\"")
    }

    /// Topics with its dead letters.
    pub fn dead_letters(&self) -> Vec<String> {
        let sources = self.sources.iter();
        sources
            .map(|source| job::dead_letters(source, &self.group))
            .collect()
    }
}

/// A line of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When: milliseconds since the epoch, with a part behind the point.
    pub micros: i64,
    /// What.
    pub message: String,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<Line>,
    complaints: Vec<String>,
}

/// One that runs.
pub struct Served {
    child: Child,
    log: Arc<Mutex<Log>>,
    reader: Option<JoinHandle<()>>,
    /// When it was started, in microseconds since the epoch.
    pub began: i64,
    // Its files go when it does.
    _folder: tempfile::TempDir,
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> FatalError {
    FatalError::Start(format!("{what}: {error}"))
}

impl Served {
    /// Starts it.
    pub fn start(ground: &Ground, setup: &Setup) -> Result<Served, FatalError> {
        let place = &ground.place;
        let folder = tempfile::tempdir().map_err(|error| failed("a temporary folder", &error))?;
        let properties: Vec<_> = place.properties.keys().collect();
        let own = ("driftgate.yaml".to_owned(), setup.text(&properties));
        for (name, text) in std::iter::once(&own).chain(&setup.files) {
            std::fs::write(folder.path().join(name), text)
                .map_err(|error| failed(&format!("writing {name}"), &error))?;
        }
        let mut command = Command::new(&place.program);
        command
            .args(["--log-format", "json", "run", "-c"])
            .arg(folder.path().join("driftgate.yaml"))
            .env("RUST_LOG", LOG)
            .env("BENCH_BROKERS", &place.brokers)
            .env("BENCH_REGISTRY", &ground.registry)
            .env("BENCH_GROUP", &setup.group)
            .env("BENCH_SINK", &setup.sink)
            .env("BENCH_WORKERS", setup.workers.to_string())
            .env("BENCH_DELIVERY", "at_least_once")
            .env("BENCH_PROVENANCE", "ledger")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        for (index, value) in place.properties.values().enumerate() {
            command.env(format!("BENCH_PROPERTY_{index}"), value);
        }
        let began = instance::now() * 1000;
        let mut child = command
            .spawn()
            .map_err(|error| failed(&place.program.display().to_string(), &error))?;
        let log = Arc::new(Mutex::new(Log::default()));
        let (words, into) = (child.stderr.take(), Arc::clone(&log));
        let reader = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || words.into_iter().for_each(|words| read(words, &into)))
            .map_err(|error| failed("a thread", &error))?;
        Ok(Served {
            child,
            log,
            reader: Some(reader),
            began,
            _folder: folder,
        })
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    pub fn lines(&self) -> Vec<Line> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.lines.clone()
    }

    /// An error, if it has ended, with the last words that it said.
    pub fn check(&mut self) -> Result<(), FatalError> {
        if matches!(self.child.try_wait(), Ok(None)) {
            return Ok(());
        }
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let words = log.complaints.join("\n");
        Err(failed("the instance ended by itself", &words))
    }

    /// Waits until a line of its log begins so.
    pub fn said(&mut self, what: &str, patience: Duration) -> Result<Line, FatalError> {
        let until = Instant::now() + patience;
        loop {
            let lines = self.lines();
            let found = lines.iter().find(|line| line.message.starts_with(what));
            if let Some(line) = found {
                return Ok(line.clone());
            }
            self.check()?;
            if Instant::now() > until {
                let text = format!("it did not come to {what:?} in {patience:?}");
                return Err(failed("the instance", &text));
            }
            measure::wait(LOOK);
        }
    }

    /// Waits until a worker has its partitions.
    pub fn assigned(&mut self, workers: usize, patience: Duration) -> Result<(), FatalError> {
        let until = Instant::now() + patience;
        loop {
            let lines = self.lines();
            let assigned = lines.iter().filter(|line| line.message == ASSIGNED);
            if assigned.count() >= workers {
                return Ok(());
            }
            self.check()?;
            if Instant::now() > until {
                return Err(failed("the instance", &"it was given no partitions"));
            }
            measure::wait(LOOK);
        }
    }

    /// Ends it as an operator would, and waits: it drains and leaves.
    pub fn stop(mut self) -> Result<(), FatalError> {
        self.check()?;
        signal::terminate(&mut self.child);
        let until = Instant::now() + STOP;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() > until => {
                    return Err(failed(
                        "the instance",
                        &format!("has not ended in {STOP:?}"),
                    ));
                }
                Ok(None) => measure::wait(LOOK),
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(failed("the instance", &format!("ended with {status}")));
                }
                Err(error) => return Err(failed("the instance", &error)),
            }
        }
    }
}

/// What a worker says when it has partitions.
pub const ASSIGNED: &str = "assigned";

impl Drop for Served {
    /// None outlives the benchmark.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

fn read(words: ChildStderr, into: &Mutex<Log>) {
    for text in BufReader::new(words).lines().map_while(Result::ok) {
        let (line, is_complaint) = parse(&text);
        let mut log = into.lock().unwrap_or_else(PoisonError::into_inner);
        log.lines.extend(line);
        if is_complaint && log.complaints.len() < KEPT {
            log.complaints.push(text);
        }
    }
}

/// A line of the log, and whether it is a complaint. What is no JSON is the last word of a process.
fn parse(text: &str) -> (Option<Line>, bool) {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return (None, true);
    };
    let time = value["timestamp"].as_str().unwrap_or_default();
    let time = time.parse::<jiff::Timestamp>();
    let message = value["message"].as_str().unwrap_or_default();
    let line = time.ok().map(|time| Line {
        micros: time.as_microsecond(),
        message: message.to_owned(),
    });
    let is_complaint = matches!(value["level"].as_str(), Some("WARN" | "ERROR"));
    (line, is_complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_all_sources_and_no_secret() {
        let setup = Setup::job(vec!["a".into(), "b".into()], "group");
        let name = "sasl.password".to_owned();
        let text = setup.text(&[&name]);
        assert!(text.contains(r#"topics: ["a","b"]"#), "{text}");
        assert!(
            text.contains(r#"properties: {"sasl.password":"${BENCH_PROPERTY_0}"}"#),
            "{text}"
        );
        assert!(
            !text.contains("linger") && !text.contains("listen: off"),
            "{text}"
        );
        assert_eq!(setup.dead_letters(), ["a.group.dlq", "b.group.dlq"]);
    }

    #[test]
    fn a_line_is_a_time_and_words_and_the_rest_is_a_complaint() {
        let text = r#"{"timestamp":"1970-01-01T00:00:01.000002Z","level":"WARN","message":"m"}"#;
        let line = Line {
            micros: 1_000_002,
            message: "m".into(),
        };
        assert_eq!(parse(text), (Some(line), true));
        assert!(!parse(&text.replace("WARN", "INFO")).1);
        assert_eq!(parse("driftgate: no"), (None, true));
    }
}
