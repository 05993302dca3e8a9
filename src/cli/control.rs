//! `driftgate pause` and `driftgate resume`: an order in the group's control topic, and then a wait until the instances that
//! own the partitions have acted on it, as their commits tell.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, complain_of, environment, print};
use crate::config::{
    self,
    units::{format_duration, parse_duration},
};
use crate::control::desk::{Desk, DeskError, Paused, Target};

/// Between two looks at what the group has committed.
const LOOK: Duration = Duration::from_millis(500);

/// Arguments of `pause`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate pause clean-orders --reason 'the CRM is being moved'
  driftgate pause clean-orders --topic orders --partition 3

The order stays in the topic <group>.control, so it holds across restarts and rebalances, until
`driftgate resume`. What was taken before is finished; nothing more is taken.

Exit codes: 0 every partition that has commits is paused, 1 some are not paused yet when the time
is over (the order stands: an instance that owns them takes it up), 2 wrong usage or a
configuration that `run` refuses, 3 the broker could not be reached.")]
pub struct PauseArgs {
    #[command(flatten)]
    order: OrderArgs,
}

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate resume clean-orders --reason 'the producer is fixed'
  driftgate resume clean-orders --topic orders --partition 3

Lifts the pauses that stand now: those of breakers, those of `driftgate pause`, and those for a
writer schema that drifted, which is accepted by it from now on, on its topic. A breaker that
trips again later is another pause.

Exit codes: 0 nothing is paused any more, 1 something is still paused, or paused again, when the
time is over (the order stands: an instance that owns the partition takes it up), 2 wrong usage or
a configuration that `run` refuses, 3 the broker could not be reached.")]
pub struct ResumeArgs {
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, clap::Args)]
struct OrderArgs {
    /// The pipeline, by its name in the configuration.
    pipeline: String,
    /// One partition only: of this source topic.
    #[arg(long, requires = "partition")]
    topic: Option<String>,
    /// One partition only: this one.
    #[arg(long, requires = "topic")]
    partition: Option<i32>,
    /// Why, for whoever reads the log.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// How long to wait for the instances.
    #[arg(long, default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// The configuration file.
    #[arg(short, long, default_value = "driftgate.yaml")]
    config: PathBuf,
    /// The form of the result.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Pauses, and waits until the pause is taken up.
pub fn pause(args: PauseArgs) -> anyhow::Result<ExitCode> {
    let nothing = "nothing has been committed yet that could be paused; the order stands, and who takes a partition \
                   heeds it";
    args.order.run(nothing, |desk, target, timeout| {
        desk.pause(target)?;
        let wait = Wait::new("waiting for the instances to pause", timeout);
        loop {
            let now = desk.pauses(target)?;
            if now.running.is_empty() || wait.is_over() {
                let paused = now.paused.into_iter().map(|one| (one, "paused"));
                let missing = now.running.into_iter().map(|(topic, partition)| Row {
                    topic,
                    partition,
                    why: None,
                    state: "not paused yet",
                });
                return Ok(paused.map(Row::of).chain(missing).collect());
            }
            wait.look();
        }
    })
}

/// Resumes, and waits until nothing that was paused is paused any more.
pub fn resume(args: ResumeArgs) -> anyhow::Result<ExitCode> {
    let nothing = "nothing is paused, as far as the group's commits tell; an order to pause that nobody has heeded yet is \
                   lifted";
    args.order.run(nothing, |desk, target, timeout| {
        let found = desk.resume(target)?.paused;
        let wait = Wait::new("waiting for the instances to go on", timeout);
        loop {
            let now = match found.is_empty() {
                true => Vec::new(),
                false => desk.pauses(target)?.paused,
            };
            if !found.iter().any(|one| now.contains(one)) || wait.is_over() {
                let state = |one: &Paused| match now.contains(one) {
                    true => "still paused",
                    false => "resumed",
                };
                let again = now.iter().filter(|one| !found.contains(one));
                let again = again.map(|one| (one.clone(), "paused again"));
                let before = found.iter().map(|one| (one.clone(), state(one)));
                return Ok(before.chain(again).map(Row::of).collect());
            }
            wait.look();
        }
    })
}

impl OrderArgs {
    fn run(
        self,
        nothing: &str,
        order: impl FnOnce(&Desk, &Target, Duration) -> Result<Vec<Row>, DeskError>,
    ) -> anyhow::Result<ExitCode> {
        let config = match config::load(&self.config, &environment) {
            Ok(loaded) => loaded.config,
            Err(faults) => {
                complain_of(&faults);
                return Ok(ExitCode::from(USAGE));
            }
        };
        let target = Target {
            pipeline: self.pipeline,
            topic: self.topic,
            partition: self.partition,
            by: operator(),
            reason: self.reason,
        };
        let rows = match order(&Desk::new(&config), &target, self.timeout) {
            Ok(rows) => rows,
            Err(DeskError::Unknown(text)) => {
                complain(&format!("driftgate: {text}"));
                return Ok(ExitCode::from(USAGE));
            }
            Err(DeskError::Broker(text)) => {
                complain(&format!("driftgate: {text}"));
                return Ok(ExitCode::from(COULD_NOT_RUN));
            }
        };
        match self.output {
            Output::Json => {
                let rows: Vec<_> = rows.iter().map(Row::json).collect();
                let body = json!({ "pipeline": target.pipeline, "partitions": rows });
                print(&format!("{body:#}\n"))?;
            }
            Output::Table if rows.is_empty() => {
                print(&format!("{}: {nothing}\n", target.pipeline))?
            }
            Output::Table => print(&table(&rows))?,
        }
        let is_done = rows
            .iter()
            .all(|row| matches!(row.state, "paused" | "resumed"));
        if !is_done {
            complain(&advice(&rows, &target.pipeline, self.timeout));
        }
        Ok(match is_done {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(FINDINGS),
        })
    }
}

/// What to do about partitions that are not as they were told to be.
fn advice(rows: &[Row], pipeline: &str, waited: Duration) -> String {
    if rows.iter().any(|row| row.state == "paused again") {
        return format!(
            "driftgate: what paused them is still there: `driftgate dlq list --pipeline {pipeline}` and the log say what it is"
        );
    }
    format!(
        "driftgate: no instance has heeded the order within {}; it stands, and whoever has or gets the partitions heeds it: \
         does one run, and is it ready?",
        format_duration(waited)
    )
}

/// One partition, and how it stands.
struct Row {
    topic: String,
    partition: i32,
    why: Option<Paused>,
    state: &'static str,
}

impl Row {
    fn of((paused, state): (Paused, &'static str)) -> Row {
        Row {
            topic: paused.topic.clone(),
            partition: paused.partition,
            why: Some(paused),
            state,
        }
    }

    fn json(&self) -> serde_json::Value {
        let mut row = json!({ "topic": self.topic, "partition": self.partition });
        if let Some(why) = &self.why {
            row["cause"] = json!(why.cause);
            if let Some(id) = why.schema_id {
                row["schema_id"] = json!(id);
            }
            row["since"] = json!(timestamp(why.since));
        }
        row["state"] = json!(self.state);
        row
    }
}

fn table(rows: &[Row]) -> String {
    let cells: Vec<[String; 4]> = rows
        .iter()
        .map(|row| {
            let why = row.why.as_ref();
            let cause = why.map_or_else(String::new, |why| match why.schema_id {
                Some(id) => format!("{} of schema {id}", why.cause),
                None => why.cause.to_owned(),
            });
            let since = why.map_or_else(String::new, |why| timestamp(why.since));
            let place = format!("{}[{}]", row.topic, row.partition);
            [place, cause, since, row.state.to_owned()]
        })
        .collect();
    let head = ["PARTITION", "CAUSE", "SINCE", "STATE"].map(str::to_owned);
    let lines: Vec<&[String; 4]> = std::iter::once(&head).chain(&cells).collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let (place, cause, since) = (width(0), width(1), width(2));
    let line = |[one, two, three, four]: &[String; 4]| {
        format!("{one:place$}  {two:cause$}  {three:since$}  {four}\n")
    };
    lines.into_iter().map(line).collect()
}

fn timestamp(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |at| at.to_string())
}

/// `user@host`.
fn operator() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(environment);
    let host = environment("HOSTNAME").or_else(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned())
    });
    let or_unknown = |name: Option<String>| name.unwrap_or_else(|| "unknown".to_owned());
    format!("{}@{}", or_unknown(user), or_unknown(host))
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|problem| match problem.hint {
        Some(hint) => format!("{}: {hint}", problem.message),
        None => problem.message,
    })
}

/// A wait for others, which a person sees when it takes long.
struct Wait {
    begun: Instant,
    until: Instant,
    bar: ProgressBar,
    text: &'static str,
}

impl Wait {
    fn new(text: &'static str, timeout: Duration) -> Wait {
        let begun = Instant::now();
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        Wait {
            begun,
            until: begun + timeout,
            bar,
            text,
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn look(&self) {
        if self.begun.elapsed() > Duration::from_secs(1) {
            self.bar.set_message(self.text);
            self.bar.tick();
        }
        let left = self.until.saturating_duration_since(Instant::now());
        std::thread::park_timeout(LOOK.min(left));
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_partition_cause_and_state() {
        let paused = |topic: &str, cause, schema_id| Paused {
            topic: topic.to_owned(),
            partition: 3,
            cause,
            schema_id,
            since: 1_763_732_000_000,
            source: topic.to_owned(),
        };
        let rows = [
            Row::of((paused("orders", "breaker", None), "resumed")),
            Row::of((paused("refunds", "drift", Some(17)), "still paused")),
            Row {
                topic: "orders".to_owned(),
                partition: 0,
                why: None,
                state: "not paused yet",
            },
        ];
        let expect = "\
PARTITION   CAUSE               SINCE                 STATE
orders[3]   breaker             2025-11-21T13:33:20Z  resumed
refunds[3]  drift of schema 17  2025-11-21T13:33:20Z  still paused
orders[0]                                             not paused yet
";
        assert_eq!(table(&rows), expect);
    }
}
