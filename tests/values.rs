//! Values against the reviewed baseline on running instances: what is found and how soon, what the baseline makes of it, and
//! what of it outlasts a restart.

mod support;

use std::process::Command;

use rdkafka::ClientConfig;
use support::job::{Job, LIMIT, Shape, beds_with, count, payment, prepare, register};
use support::topics::{self, Write};
use support::{Bed, Runner, wait};

/// A payment's `id` is taken for an amount in euros, and its `currency` for a status.
const STATUS: [&str; 4] = ["New", "Paid", "Shipped", "Cancelled"];

/// What a producer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Producer {
    Usual,
    /// Euros become cents.
    Cents,
    /// `Shipped` becomes `3`.
    Numeric,
}

/// Writes payments, always other ones and always alike.
struct Till {
    schema: u32,
    topic: String,
    client: ClientConfig,
    written: u64,
}

impl Till {
    fn new(bed: &Bed, job: &Job) -> Till {
        Till {
            schema: register(bed, &job.source),
            topic: job.source.clone(),
            client: bed.client(),
            written: 0,
        }
    }

    /// So many payments, over all partitions.
    fn write(&mut self, payments: u64, producer: Producer) {
        let writes = (0..payments).map(|_| {
            self.written += 1;
            // Mixed well enough for amounts and statuses that have nothing to do with each other.
            let mixed = self.written.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let amount = 1 + i64::try_from((mixed >> 33) % 5_000).expect("small");
            let status = STATUS[usize::try_from(mixed >> 61).expect("small") % 4];
            let (amount, status) = match producer {
                Producer::Usual => (amount, status),
                Producer::Cents => (amount * 100, status),
                Producer::Numeric if status == "Shipped" => (amount, "3"),
                Producer::Numeric => (amount, status),
            };
            let partition = i32::try_from(self.written % 4).expect("small");
            let value = payment(self.schema, amount, status);
            let mut write = Write::new(format!("{}", self.written), value).to(partition);
            write.timestamp = Some(1_790_000_000_000 + i64::try_from(self.written).expect("small"));
            write
        });
        topics::produce(&self.client, &self.topic, &writes.collect::<Vec<_>>());
    }
}

fn change(job: &Job, name: &str, changes: &[(&str, &str)]) {
    let file = job.folder.path().join(name);
    let mut text = std::fs::read_to_string(&file).expect("the file");
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in {text}");
        text = text.replace(from, to);
    }
    std::fs::write(&file, text).expect("written");
}

fn driftgate(job: &Job, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftgate"));
    let file = job.folder.path().join("driftgate.yaml");
    let done = command.args(arguments).arg("-c").arg(file);
    let done = done
        .env("NO_COLOR", "1")
        .output()
        .expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = done.status.code().expect("an exit code");
    (code, text(done.stdout), text(done.stderr))
}

/// A job that was run without a baseline over its first payments, of which then one was made.
fn reviewed(
    bed: &Bed,
    broker: Option<&driftgate::embedded::broker::EmbeddedBroker>,
) -> (Job, Till) {
    let shape = Shape {
        workers: 2,
        ..Shape::quick()
    };
    let job = Job::new(&bed.bootstrap, &bed.registry_url, &shape);
    prepare(bed, &job, broker);
    let mut till = Till::new(bed, &job);
    till.write(10_000, Producer::Usual);
    let (code, _, said) = driftgate(&job, &["drift", "baseline"]);
    assert_eq!(code, 0, "{said}");
    let named = "contract: { baseline: payment.baseline.yaml,";
    change(&job, "driftgate.yaml", &[("contract: {", named)]);
    (job, till)
}

/// The sum of a metric's samples that have these labels.
fn metric(runner: &mut Runner, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = runner.metrics();
    let samples = samples.iter().filter(|sample| {
        let has =
            |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|is| is == value);
        sample.name == name && labels.iter().all(has)
    });
    samples.map(|sample| sample.value).sum()
}

fn drifts(runner: &mut Runner, field: &str) -> f64 {
    metric(runner, "driftgate_value_drift", &[("field", field)])
}

#[track_caller]
fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let done = wait::within(LIMIT, || probe().then_some(()));
    assert!(done.is_some(), "not seen: {what}");
}

/// Waits until all that was written has been counted, as far as it is handed over.
fn counted(runner: &mut Runner, windows: f64) {
    let mut found = (0.0, 0.0);
    let done = wait::within(LIMIT, || {
        let profiled = metric(runner, "driftgate_profiled_records_total", &[]);
        found = (
            profiled,
            metric(runner, "driftgate_profile_windows_total", &[]),
        );
        (found.1 >= windows).then_some(())
    });
    assert!(done.is_some(), "records and windows: {found:?}");
}

#[test]
fn a_drift_is_told_within_a_window_and_once_and_so_is_its_end() {
    beds_with(|bed, broker| {
        let (job, mut till) = reviewed(bed, broker);
        let mut runner = job.start("one");
        counted(&mut runner, 13.0);
        assert_eq!(
            drifts(&mut runner, "id") + drifts(&mut runner, "currency"),
            0.0
        );

        till.write(2_000, Producer::Cents);
        eventually("cents are found", || drifts(&mut runner, "id") == 1.0);
        assert_eq!(drifts(&mut runner, "currency"), 0.0, "and nothing else");
        till.write(6_000, Producer::Usual);
        eventually("its end", || drifts(&mut runner, "id") == 0.0);
        till.write(2_000, Producer::Numeric);
        eventually("3 is found", || drifts(&mut runner, "currency") == 1.0);
        assert_eq!(drifts(&mut runner, "id"), 0.0);
        // Records go on, whatever is told of their values.
        eventually("all are emitted", || {
            count(&till.client, &job.sink) == 20_000
        });
        let begun = metric(
            &mut runner,
            "driftgate_value_drifts_total",
            &[("action", "warn")],
        );
        assert_eq!(begun, 2.0);
        runner.stop();
        let log = runner.log();
        let told = |text: &str| {
            let lines = log.lines().filter(|line| line.contains(text));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let begun = told("the values have drifted from the baseline");
        assert_eq!(begun.len(), 2, "{log}");
        for word in [
            "field=\"id\"",
            "action=\"warn\"",
            "numbers ",
            "limit ",
            "billing <#billing>",
        ] {
            assert!(begun[0].contains(word), "{word}: {}", begun[0]);
        }
        assert!(
            !begun[1].contains("Shipped") && !begun[1].contains("\"3\""),
            "no values: {}",
            begun[1]
        );
        let ended = told("the values look as in the baseline again");
        assert_eq!(ended.len(), 1, "{log}");
    });
}

/// A file that is wrong is found before anything is read, and one that does not fit is told.
#[test]
fn the_baseline_is_checked_before_the_start() {
    beds_with(|bed, broker| {
        let (job, _) = reviewed(bed, broker);
        let check = |expect: i32, words: &[&str]| {
            for command in [&["check"][..], &["check", "--offline"], &["run"]] {
                // A configuration without faults would run.
                if command[0] == "run" && expect == 0 {
                    continue;
                }
                let (code, _, said) = driftgate(&job, command);
                assert_eq!(code, expect, "{command:?}: {said}");
                assert!(
                    words.iter().all(|word| said.contains(word)),
                    "{command:?}: {said}"
                );
            }
        };
        let file = "payment.baseline.yaml";
        change(
            &job,
            file,
            &[("  id:\n", "  gone:\n    then: allow\n  id:\n")],
        );
        let line = std::fs::read_to_string(job.folder.path().join(file)).expect("the file");
        let line = line.lines().position(|line| line == "  gone:").expect("it") + 1;
        let place = format!("{file}:{line}:3");
        let code = driftgate(&job, &["check"]).0;
        for arguments in [&["check"][..], &["check", "--offline"]] {
            let (_, _, said) = driftgate(&job, arguments);
            assert!(
                said.contains(&place) && said.contains("the contract has no field gone any more"),
                "{said}"
            );
        }
        let mut runner = job.start("misfit");
        eventually("the log says so", || {
            runner
                .log()
                .contains("the contract has no field gone any more")
        });
        runner.stop();
        assert!(code < 2, "a warning alone");
        change(&job, file, &[("then: allow", "then: shrug")]);
        check(2, &[&format!("{file}:{}:11", line + 1), "shrug"]);
        std::fs::remove_file(job.folder.path().join(file)).expect("removed");
        check(2, &["payment.baseline.yaml"]);
    });
}
