//! Values against the reviewed baseline on running instances: what is found and how soon, what the baseline makes of it, and
//! what of it outlasts a restart.

mod support;

use std::process::Command;

use rdkafka::ClientConfig;
use serde_json::{Value as Json, json};
use support::job::{Job, LIMIT, Shape, beds_with, count, payment, prepare, register};
use support::topics::{self, Write};
use support::{Bed, Hook, Runner, wait};

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

/// Says in the baseline what becomes of a drift of a field.
fn then(job: &Job, field: &str, action: &str) {
    let (from, to) = (
        format!("  {field}:\n"),
        format!("  {field}:\n    then: {action}\n"),
    );
    change(job, "payment.baseline.yaml", &[(&from, &to)]);
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
        let hook = Hook::start();
        let told = format!(
            "alerts: [ {{ webhook: \"{}\", after: 1s }} ]\n    sink:",
            hook.url()
        );
        change(&job, "driftgate.yaml", &[("sink:", &told)]);
        let rules = "fields:\n  id: { owner: price-desk }\nrules:";
        change(&job, "payment.rules.yaml", &[("rules:", rules)]);
        let mut runner = job.start("one");
        counted(&mut runner, 13.0);
        assert_eq!(
            drifts(&mut runner, "id") + drifts(&mut runner, "currency"),
            0.0
        );

        till.write(2_000, Producer::Cents);
        eventually("cents are found", || drifts(&mut runner, "id") == 1.0);
        assert_eq!(drifts(&mut runner, "currency"), 0.0, "and nothing else");
        let told = |state: &str| {
            let found = wait::within(LIMIT, || hook.find(state, "drift"));
            found.unwrap_or_else(|| panic!("{state} is not told: {:?}", hook.taken()))
        };
        let open = told("open");
        assert_eq!(open["reason"], "values", "{open:#}");
        let id = format!("payments/drift/{}/{}/id", job.source, till.schema);
        assert_eq!(
            (&open["id"], &open["topic"]),
            (&json!(id), &json!(job.source))
        );
        assert_eq!(
            (&open["field"], &open["field_owner"], &open["action"]),
            (&json!("id"), &json!("price-desk"), &json!("warn"))
        );
        assert_eq!(open["owner"]["team"], "billing");
        let test = &open["tests"][0];
        assert_eq!(test["test"], "numbers");
        assert!(test["found"].as_f64() > test["limit"].as_f64(), "{open:#}");
        let instance = format!("http://{}", runner.address());
        let show = |more: &[&str]| {
            let ask = ["drift", "show", "payments", "--instance", &instance];
            driftgate(&job, &[&ask[..], more].concat())
        };
        let (code, out, said) = show(&["--output", "json"]);
        assert_eq!(code, 1, "{out}{said}");
        let shown: Json = serde_json::from_str(&out).expect("JSON");
        let shown = &shown["instances"][0]["pipelines"][0]["topics"][0];
        assert_eq!(shown["topic"], json!(job.source));
        assert_eq!(shown["fields"][0]["field"], "id");
        assert_eq!(shown["fields"][0]["drifts"]["tests"][0]["test"], "numbers");
        let (code, out, _) = show(&["--drifting"]);
        assert_eq!(code, 1, "{out}");
        assert!(out.contains("  id     warn") && out.contains('▁'), "{out}");
        assert!(!out.contains("currency"), "{out}");
        till.write(6_000, Producer::Usual);
        eventually("its end", || drifts(&mut runner, "id") == 0.0);
        let (code, out, _) = show(&[]);
        assert!(code == 0 && out.contains("currency"), "{out}");
        assert_eq!(told("resolved")["field"], "id");
        till.write(2_000, Producer::Numeric);
        eventually("3 is found", || drifts(&mut runner, "currency") == 1.0);
        assert_eq!(drifts(&mut runner, "id"), 0.0);
        // Records go on, whatever is told of their values.
        job.wait_for_all(&till.client, 20_000);
        let begun = metric(
            &mut runner,
            "driftgate_value_drifts_total",
            &[("action", "warn")],
        );
        assert_eq!(begun, 2.0);
        eventually("both are told", || hook.taken().len() == 3);
        let states = hook.states();
        assert_eq!(states, ["open drift", "resolved drift", "open drift"]);
        runner.stop();
        assert_eq!(show(&[]).0, 3, "nobody answers");
        let without = driftgate(&job, &["drift", "show"]);
        assert!(
            without.0 == 2 && without.2.contains("--instance"),
            "{without:?}"
        );
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
            "owner=\"price-desk\"",
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

/// Whether the group has committed such a word for so many partitions of the source.
fn words(till: &Till, job: &Job, word: &str) -> usize {
    let committed = topics::committed(&till.client, &job.group, &job.source);
    let committed = committed.iter().flatten();
    committed
        .filter(|(_, metadata)| metadata.contains(word))
        .count()
}

#[test]
fn quarantine_ends_by_itself_and_redrive_brings_its_records_through_a_corrected_baseline() {
    beds_with(|bed, broker| {
        let (job, mut till) = reviewed(bed, broker);
        then(&job, "currency", "quarantine");
        let mut runner = job.start("one");
        counted(&mut runner, 13.0);
        till.write(2_000, Producer::Numeric);
        eventually("3 is found", || drifts(&mut runner, "currency") == 1.0);
        // Good ones too: nobody can tell which of the values are wrong.
        till.write(1_000, Producer::Usual);
        eventually("dead letters", || count(&till.client, &job.dlq()) >= 1_000);
        till.write(8_000, Producer::Usual);
        eventually("its end", || drifts(&mut runner, "currency") == 0.0);
        till.write(500, Producer::Usual);
        let all = |till: &Till| count(&till.client, &job.sink) + count(&till.client, &job.dlq());
        eventually("each has an outcome", || all(&till) >= 21_500);
        let dead = topics::consume_all(&till.client, &job.dlq());
        assert!(dead.len() < 6_000, "{}: it ended", dead.len());
        for read in &dead {
            let header = |name: &str| read.header(name).unwrap_or_default().to_owned();
            let told = (header("driftgate.reason"), header("driftgate.path"));
            assert_eq!(told, ("value_drift".to_owned(), "currency".to_owned()));
            assert!(
                header("driftgate.error").contains("values "),
                "{}",
                header("driftgate.error")
            );
        }
        runner.stop();

        // The new status is right: what people review now has it.
        till.write(4_000, Producer::Numeric);
        let arguments = ["drift", "baseline", "--force", "--last", "6000"];
        let (code, _, said) = driftgate(&job, &arguments);
        assert_eq!(code, 0, "{said}");
        let file = job.folder.path().join("payment.baseline.yaml");
        let file = std::fs::read_to_string(file).expect("the file");
        assert!(
            file.contains("  currency:\n    then: quarantine\n"),
            "{file}"
        );
        let mut runner = job.start("two");
        let arguments = ["dlq", "redrive", "--reason", "value_drift"];
        let (code, out, said) = driftgate(&job, &arguments);
        assert_eq!(code, 0, "{out}{said}");
        job.wait_for_all(&till.client, 25_500);
        assert_eq!(count(&till.client, &job.dlq()), dead.len() as i64);
        assert_eq!(drifts(&mut runner, "currency"), 0.0);
        runner.stop();
    });
}

#[test]
fn a_halt_outlasts_a_restart_and_what_was_let_go_halts_again_only_once_it_was_right() {
    beds_with(|bed, broker| {
        let (job, mut till) = reviewed(bed, broker);
        then(&job, "id", "halt");
        let mut runner = job.start("one");
        counted(&mut runner, 13.0);
        till.write(2_000, Producer::Cents);
        let said = ["drift", "the values of id", "driftgate resume payments"];
        runner.wait_ready(503, &said);
        eventually("each partition says so", || {
            words(&till, &job, "paused=values:") == 4
        });
        let paused = metric(
            &mut runner,
            "driftgate_partition_paused",
            &[("topic", &job.source), ("reason", "drift")],
        );
        assert_eq!(paused, 4.0);
        let before = count(&till.client, &job.sink);
        till.write(1_000, Producer::Cents);
        runner.stop();

        let mut runner = job.start("two");
        runner.wait_ready(503, &said);
        let still = count(&till.client, &job.sink);
        assert_eq!(
            (still, count(&till.client, &job.dlq())),
            (before, 0),
            "nothing is lost or read"
        );

        let (code, out, said_to) = driftgate(
            &job,
            &["resume", "payments", "--reason", "a new price list"],
        );
        assert_eq!(code, 0, "{out}{said_to}");
        assert_eq!(out.matches("values of schema").count(), 4, "{out}");
        job.wait_for_all(&till.client, 13_000);
        // The same values drift on, which this process sees for itself, and the next one too.
        till.write(2_500, Producer::Cents);
        eventually("it is found again", || drifts(&mut runner, "id") == 1.0);
        job.wait_for_all(&till.client, 15_500);
        runner.stop();
        assert_eq!(words(&till, &job, "resumed=values:"), 4);
        let mut runner = job.start("three");
        till.write(3_000, Producer::Cents);
        eventually("it is found again", || drifts(&mut runner, "id") == 1.0);
        job.wait_for_all(&till.client, 18_500);

        // Right for a whole window: the next time is another one.
        till.write(8_000, Producer::Usual);
        eventually("its end", || drifts(&mut runner, "id") == 0.0);
        eventually("nothing is let go any more", || {
            words(&till, &job, "resumed=values:") == 0
        });
        till.write(3_000, Producer::Cents);
        runner.wait_ready(503, &["drift", "the values of id"]);
        runner.stop();
    });
}
