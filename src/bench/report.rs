//! What a run came to: medians over rounds, ratios within a round, and whether they are what we promise. As a table, as JSON
//! and as the page `BENCHMARKS.md`. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Options;
use super::contestant::Contestant;
use super::latency::Latency;
use super::machine::Machine;
use super::run::{Measured, Round};
use super::text::{columns, line, markdown, thousands};

/// Above this, the best passthrough is not good enough to be measured against.
const VALID: f64 = 0.75;

/// A report, as its JSON has it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Each is the median of the rounds' ratios; `None` where one of the two did not run.
    pub ratios: Ratios,
    /// The most memory of the job in any round, in MB of a million bytes.
    pub peak_memory_mb: Option<f64>,
    /// Whether every output of every round is right.
    pub verified: bool,
    /// Whether the best passthrough is good enough to be measured against.
    pub valid: bool,
    /// Day of the run.
    pub date: String,
    /// What it ran on.
    pub machine: Machine,
    /// What it was asked to do.
    pub method: Method,
    /// What each contestant came to.
    pub contestants: BTreeMap<&'static str, Figures>,
}

/// Ratios of processor time per record, or of records per second.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ratios {
    /// Processor time of the job to that of the naive passthrough.
    pub job_cpu_vs_naive: Option<f64>,
    /// To that of the best one.
    pub job_cpu_vs_best: Option<f64>,
    /// Of exactly_once to at_least_once.
    pub exactly_once_cpu: Option<f64>,
    /// Of `provenance: header` to `ledger`.
    pub provenance_header_cpu: Option<f64>,
    /// Records a second of the job to those of the naive passthrough.
    pub throughput_vs_naive: Option<f64>,
    /// To those of the best one.
    pub throughput_vs_best: Option<f64>,
    /// Processor time of the best passthrough to that of the naive one.
    pub best_cpu_vs_naive: Option<f64>,
}

/// What was run.
#[derive(Debug, Clone, Serialize)]
pub struct Method {
    /// Records of the input.
    pub records: u64,
    /// Its seed.
    pub seed: u64,
    /// Rounds.
    pub rounds: usize,
    /// Partitions of each topic.
    pub partitions: i32,
    /// Workers of the job.
    pub workers: usize,
    /// `linger.ms`
    pub linger_ms: u64,
    /// Records a second while latencies were measured.
    pub latency_rate: u64,
    /// For so long, in seconds.
    pub latency_seconds: f64,
    /// `linger.ms` then.
    pub latency_linger_ms: u64,
    /// Whether the passthroughs ran in a program of their own, with the system's allocator.
    pub plain_passthroughs: bool,
}

/// A median and what was best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stat {
    /// Of the rounds.
    pub median: f64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
}

/// What a contestant came to.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Processor seconds for a million records.
    pub cpu_seconds_per_million: Stat,
    /// Records a second.
    pub records_per_second: Stat,
    /// The most memory in any round, in MB of a million bytes.
    pub peak_memory_mb: f64,
    /// In milliseconds.
    pub latency_ms: Option<Latency>,
    /// Whether every output is right.
    pub verified: bool,
    /// Each round.
    pub rounds: Vec<RoundFigures>,
}

/// One round of a contestant.
#[derive(Debug, Clone, Serialize)]
pub struct RoundFigures {
    /// Which, from 1.
    pub round: usize,
    /// Records.
    pub records: u64,
    /// From the first record to the last acknowledgement.
    pub seconds: f64,
    /// Processor time in that.
    pub cpu_seconds: f64,
    /// The most memory, in MB of a million bytes.
    pub peak_memory_mb: f64,
    /// What was found in its topics.
    pub outputs: super::verify::Verdict,
}

fn cpu(round: &Round) -> f64 {
    round.ran.cpu_seconds / round.ran.records.max(1) as f64 * 1e6
}

fn rate(round: &Round) -> f64 {
    round.ran.records as f64 / round.ran.seconds.max(1e-9)
}

fn megabytes(round: &Round) -> f64 {
    (round.ran.peak_memory_bytes as f64 / 1e5).round() / 10.0
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even.is_multiple_of(2) => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}

impl Stat {
    fn of(values: Vec<f64>) -> Stat {
        let minimum = values.iter().copied().fold(f64::INFINITY, f64::min);
        let maximum = values.iter().copied().fold(0.0, f64::max);
        Stat {
            median: rounded(median(values).unwrap_or(0.0)),
            minimum: rounded(minimum),
            maximum: rounded(maximum),
        }
    }
}

/// To four digits behind the point: more would be noise.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

impl Report {
    /// Of what was measured.
    pub fn new(options: &Options, measured: &Measured, machine: Machine, date: String) -> Report {
        let ratio = |of: Contestant, to: Contestant, figure: fn(&Round) -> f64| {
            let find = |round: usize, who: Contestant| {
                let mut rounds = measured.rounds.iter();
                rounds.find(|one| one.round == round && one.contestant == who)
            };
            let pairs = (0..options.rounds).filter_map(|round| {
                let (of, to) = (figure(find(round, of)?), figure(find(round, to)?));
                (to > 0.0).then_some(of / to)
            });
            median(pairs.collect()).map(rounded)
        };
        use Contestant::{Best, ExactlyOnce, Header, Job, Naive};
        let ratios = Ratios {
            job_cpu_vs_naive: ratio(Job, Naive, cpu),
            job_cpu_vs_best: ratio(Job, Best, cpu),
            exactly_once_cpu: ratio(ExactlyOnce, Job, cpu),
            provenance_header_cpu: ratio(Header, Job, cpu),
            throughput_vs_naive: ratio(Job, Naive, rate),
            throughput_vs_best: ratio(Job, Best, rate),
            best_cpu_vs_naive: ratio(Best, Naive, cpu),
        };
        let contestants: BTreeMap<_, _> = options
            .contestants
            .iter()
            .map(|&who| (who.name(), figures(measured, who)))
            .collect();
        Report {
            ratios,
            peak_memory_mb: contestants.get(Job.name()).map(|job| job.peak_memory_mb),
            verified: contestants.values().all(|figures| figures.verified),
            valid: ratios.best_cpu_vs_naive.is_some_and(|ratio| ratio <= VALID),
            date,
            machine,
            method: Method {
                records: options.records,
                seed: options.seed,
                rounds: options.rounds,
                partitions: options.partitions,
                workers: options.workers,
                linger_ms: options.linger,
                latency_rate: options.rate,
                latency_seconds: options.rate_for.as_secs_f64(),
                latency_linger_ms: options.rate_linger,
                plain_passthroughs: Contestant::Naive.program(&options.program) != options.program,
            },
            contestants,
        }
    }

    /// What is promised: name, figure, bound, and whether the figure is to lie below it.
    fn promises(&self) -> [(&'static str, Option<f64>, f64, bool); 7] {
        let Ratios {
            job_cpu_vs_naive,
            job_cpu_vs_best,
            exactly_once_cpu,
            throughput_vs_naive,
            throughput_vs_best,
            best_cpu_vs_naive,
            ..
        } = self.ratios;
        [
            (
                "CPU per record, the job / naive passthrough",
                job_cpu_vs_naive,
                1.0,
                true,
            ),
            (
                "CPU per record, the job / best passthrough",
                job_cpu_vs_best,
                1.5,
                true,
            ),
            (
                "CPU per record, exactly_once / at_least_once",
                exactly_once_cpu,
                1.15,
                true,
            ),
            (
                "records/s, the job / naive passthrough",
                throughput_vs_naive,
                2.5,
                false,
            ),
            (
                "records/s, the job / best passthrough",
                throughput_vs_best,
                0.6,
                false,
            ),
            (
                "peak memory of the job, MB",
                self.peak_memory_mb,
                150.0,
                true,
            ),
            (
                "CPU per record, best / naive passthrough (the run is valid)",
                best_cpu_vs_naive,
                VALID,
                true,
            ),
        ]
    }

    /// The words before the figures, where something is to be said.
    fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        if !self.verified {
            all.push(
                "NOT VERIFIED: the outputs are not what they must be, and the figures say nothing."
                    .to_owned(),
            );
        }
        if !self.valid {
            all.push(format!(
                "NOT VALID: the best passthrough did not run at {VALID} of the naive one's CPU or less, in this run."
            ));
        }
        if self.machine.build == "debug" {
            all.push(
                "A debug build: its figures say nothing. Use `make bench`, or a release build."
                    .to_owned(),
            );
        }
        all
    }

    fn held(&self) -> Vec<[String; 4]> {
        let row = |(name, figure, bound, below): (&str, Option<f64>, f64, bool)| {
            let sign = if below { "≤" } else { "≥" };
            let holds = figure.map(|figure| {
                if below {
                    figure <= bound
                } else {
                    figure >= bound
                }
            });
            [
                name.to_owned(),
                figure.map_or("not run".to_owned(), |figure| format!("{figure:.2}")),
                format!("{sign} {bound}"),
                match holds {
                    Some(true) => "yes".to_owned(),
                    Some(false) => "no".to_owned(),
                    None => String::new(),
                },
            ]
        };
        let mut rows: Vec<_> = self.promises().into_iter().map(row).collect();
        let header = self.ratios.provenance_header_cpu;
        rows.push([
            "CPU per record, provenance header / ledger".to_owned(),
            header.map_or("not run".to_owned(), |figure| format!("{figure:.2}")),
            "reported".to_owned(),
            String::new(),
        ]);
        rows
    }

    fn rows(&self) -> Vec<[String; 9]> {
        let named = Contestant::ALL
            .into_iter()
            .filter_map(|who| Some((who, self.contestants.get(who.name())?)));
        let row = |(who, figures): (Contestant, &Figures)| {
            let (cpu, rate) = (figures.cpu_seconds_per_million, figures.records_per_second);
            let latency = figures.latency_ms;
            let millis = |of: fn(&Latency) -> f64| {
                latency
                    .as_ref()
                    .map_or("–".to_owned(), |latency| format!("{:.1}", of(latency)))
            };
            [
                who.title().to_owned(),
                format!("{:.2} ({:.2})", cpu.median, cpu.minimum),
                format!("{} ({})", thousands(rate.median), thousands(rate.maximum)),
                format!("{:.0}", figures.peak_memory_mb),
                millis(|latency| latency.p50),
                millis(|latency| latency.p99),
                millis(|latency| latency.p99_9),
                latency.map_or("–".to_owned(), |latency| {
                    format!("{:.1} %", latency.cpu_percent)
                }),
                if figures.verified { "yes" } else { "NO" }.to_owned(),
            ]
        };
        named.map(row).collect()
    }

    /// For a person.
    pub fn table(&self) -> String {
        let mut out = String::new();
        for warning in self.warnings() {
            line(&mut out, &format!("{warning}\n"));
        }
        let ratios = ["", "measured", "must be", "holds"].map(str::to_owned);
        let held = self.held().into_iter().map(Vec::from);
        columns(&mut out, std::iter::once(ratios.to_vec()).chain(held));
        out.push('\n');
        let (head, rows) = (HEAD.map(str::to_owned), self.rows().into_iter());
        columns(
            &mut out,
            std::iter::once(head.to_vec()).chain(rows.map(Vec::from)),
        );
        line(&mut out, &format!("\n{}", self.method_text()));
        for (name, figures) in &self.contestants {
            for round in &figures.rounds {
                for finding in &round.outputs.findings {
                    line(
                        &mut out,
                        &format!("{name}, round {}: {finding}", round.round),
                    );
                }
            }
        }
        out
    }

    fn method_text(&self) -> String {
        let Method {
            records,
            rounds,
            partitions,
            linger_ms,
            latency_rate,
            latency_linger_ms,
            plain_passthroughs,
            ..
        } = self.method;
        let allocator = match plain_passthroughs {
            true => {
                "The passthroughs have the system's allocator, as a program has that does nothing about it."
            }
            false => {
                "The passthroughs have this program's allocator, since driftgate-passthrough is not beside it: they are cheaper so."
            }
        };
        format!(
            "{} records, {partitions} partitions, {rounds} rounds in turns, linger {linger_ms} ms: medians, in brackets what was best.\n\
             Ratios are medians of the ratios within each round. CPU is that of the contestant's process alone.\n\
             Latency, and CPU of one core beside it, at {latency_rate} records/s with linger {latency_linger_ms} ms, from before the send to after the read.\n\
             {allocator}",
            thousands(records as f64)
        )
    }

    /// Its section of the page `BENCHMARKS.md`.
    pub fn markdown(&self) -> String {
        let mut out = String::from("## The job beside a passthrough\n\n");
        for warning in self.warnings() {
            line(&mut out, &format!("**{warning}**\n"));
        }
        markdown(
            &mut out,
            &["", "measured", "must be", "holds"],
            &self.held(),
        );
        out.push('\n');
        markdown(&mut out, &HEAD, &self.rows());
        let method = self.method_text().replace('\n', " ");
        line(
            &mut out,
            &format!("\n{method}\n\n{}\n", self.machine.sentence(&self.date)),
        );
        out.push_str(METHOD);
        out
    }
}

const HEAD: [&str; 9] = [
    "",
    "CPU-s per million",
    "records/s",
    "peak MB",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "CPU at that rate",
    "verified",
];

const METHOD: &str = "
### What is measured

The job: `orders` of about 200 bytes, Confluent-framed Avro, lz4; 13 fields, a nested record, an array of three records, a map.
The contract has one field added with a default, one renamed by alias, one promoted and one dropped; four rules (amount > 0,
currency in a set, `@` in the e-mail, a country of two letters); SHA-256 of the e-mail, the currency in upper case, the
phone reduced to digits and `+`; currency `TEST` filtered (1 %); 0.5 % poison in four kinds to the dead-letter topic, with headers; a
sink with a schema of its own. at_least_once, acks=all, idempotent. Nothing else is set: the configuration is
`src/bench/files/driftgate.yaml`.

Beside it, two programs that look at nothing and pass key and value on. *Naive* is rdkafka as it is usually written: one
`BaseConsumer::poll` and one `BaseProducer::send` a record, defaults, with the same acks, idempotence, linger and compression; its
callbacks are served after each record, as rdkafka's documentation does it. *Best* takes batches of 1000 with `rd_kafka_consume_batch_queue`, produces
with `rd_kafka_produce` on a topic's handle, serves callbacks once a batch and sets `fetch.queue.backoff.ms=1`,
`queued.min.messages=20000` and `batch.size=100000`: what takes less room in the processor's caches takes less of its time.

Each runs in a process of its own, in turns, on topics of its own. It measures itself (`getrusage`) from its first record to its
last acknowledgement; the broker and the input's producer are other processes, on the same cores. Outputs are read back in every
round as a committed reader sees them, decoded by a reader that shares nothing with the engine, and held against what the
generator says: every record once, in the right topic, with the right fields, and every dead letter with its reason. A run that does not
verify exits with 1.

### Repeat it

    make bench                                         # starts Apache Kafka, builds, runs, writes this section
    make bench BENCH_ARGS='--records 5000000 --rounds 5 --output json'
    driftgate bench --bootstrap-servers HOST:PORT      # on your own brokers
";

fn figures(measured: &Measured, who: Contestant) -> Figures {
    let rounds: Vec<&Round> = measured
        .rounds
        .iter()
        .filter(|round| round.contestant == who)
        .collect();
    let each = |figure: fn(&Round) -> f64| rounds.iter().map(|round| figure(round)).collect();
    Figures {
        cpu_seconds_per_million: Stat::of(each(cpu)),
        records_per_second: Stat::of(each(rate)),
        peak_memory_mb: rounds
            .iter()
            .map(|round| megabytes(round))
            .fold(0.0, f64::max),
        latency_ms: measured.latencies.get(&who).copied(),
        verified: rounds.iter().all(|round| round.verdict.verified),
        rounds: rounds
            .iter()
            .map(|round| RoundFigures {
                round: round.round + 1,
                records: round.ran.records,
                seconds: round.ran.seconds,
                cpu_seconds: round.ran.cpu_seconds,
                peak_memory_mb: megabytes(round),
                outputs: round.verdict.clone(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::bench::contestant::Ran;
    use crate::bench::verify::Verdict;

    fn options() -> Options {
        Options {
            brokers: "broker:9092".into(),
            broker_name: None,
            properties: BTreeMap::new(),
            registry: None,
            records: 1_000_000,
            seed: 7,
            partitions: 4,
            rounds: 3,
            contestants: Contestant::ALL.to_vec(),
            linger: 20,
            workers: 1,
            rate: 5000,
            rate_for: Duration::from_secs(10),
            rate_linger: 5,
            keep: false,
            plant: false,
            program: PathBuf::new(),
        }
    }

    /// Processor seconds and seconds of a million records, by round.
    fn measured(of: &[(Contestant, [(f64, f64); 3])]) -> Measured {
        let verdict = Verdict {
            verified: true,
            emitted: 1,
            dead_lettered: BTreeMap::new(),
            filtered: 0,
            checksum: String::new(),
            expected_checksum: String::new(),
            findings: Vec::new(),
        };
        let rounds = of.iter().flat_map(|(contestant, rounds)| {
            let verdict = verdict.clone();
            let one = move |(round, (cpu_seconds, seconds)): (usize, &(f64, f64))| Round {
                round,
                contestant: *contestant,
                ran: Ran {
                    records: 1_000_000,
                    seconds: *seconds,
                    cpu_seconds: *cpu_seconds,
                    peak_memory_bytes: 100_000_000,
                    outcomes: None,
                },
                verdict: verdict.clone(),
            };
            rounds.iter().enumerate().map(one).collect::<Vec<_>>()
        });
        Measured {
            rounds: rounds.collect(),
            latencies: BTreeMap::new(),
        }
    }

    fn report(measured: &Measured) -> Report {
        let machine = Machine {
            cpu: "a processor".into(),
            cores: 2,
            memory_gib: 8.0,
            system: "linux x86_64".into(),
            driftgate: "1".into(),
            build: "release".into(),
            librdkafka: "2".into(),
            broker: None,
        };
        Report::new(&options(), measured, machine, "2026-01-01".into())
    }

    /// The machine was twice as slow in the second round, for both: the ratio does not care.
    #[test]
    fn ratios_are_taken_within_a_round() {
        let report = report(&measured(&[
            (Contestant::Naive, [(2.0, 4.0), (4.0, 8.0), (2.0, 4.0)]),
            (Contestant::Best, [(1.4, 1.0), (2.8, 2.0), (1.5, 1.0)]),
            (Contestant::Job, [(1.8, 1.25), (3.6, 2.5), (2.2, 1.25)]),
        ]));
        let ratios = report.ratios;
        assert_eq!(ratios.job_cpu_vs_naive, Some(0.9));
        assert_eq!(ratios.best_cpu_vs_naive, Some(0.7));
        assert_eq!(ratios.throughput_vs_naive, Some(3.2));
        assert_eq!(ratios.throughput_vs_best, Some(0.8));
        assert_eq!(ratios.exactly_once_cpu, None, "it did not run");
        assert!(report.valid && report.verified);
        let job = &report.contestants["job"];
        let cpu = job.cpu_seconds_per_million;
        assert_eq!((cpu.median, cpu.minimum, cpu.maximum), (2.2, 1.8, 3.6));
        assert_eq!(job.records_per_second.median, 800_000.0);
        assert_eq!(report.peak_memory_mb, Some(100.0));
    }

    #[test]
    fn a_run_says_when_it_is_not_valid_or_not_verified() {
        let mut measured = measured(&[
            (Contestant::Naive, [(2.0, 4.0); 3]),
            (Contestant::Best, [(1.6, 1.0); 3]),
            (Contestant::Job, [(1.8, 1.25); 3]),
        ]);
        assert!(!report(&measured).valid);
        assert!(report(&measured).table().contains("NOT VALID"));
        measured.rounds[8].verdict.verified = false;
        measured.rounds[8]
            .verdict
            .findings
            .push("t-0@7 is there twice".into());
        let report = report(&measured);
        assert!(!report.verified);
        for text in [report.table(), report.markdown()] {
            assert!(text.contains("NOT VERIFIED"), "{text}");
        }
        assert!(
            report
                .table()
                .contains("job, round 3: t-0@7 is there twice")
        );
    }

    #[test]
    fn the_table_says_what_is_promised_and_what_holds() {
        let report = report(&measured(&[
            (Contestant::Naive, [(2.0, 4.0); 3]),
            (Contestant::Best, [(1.2, 0.9); 3]),
            (Contestant::Job, [(1.9, 1.25); 3]),
            (Contestant::ExactlyOnce, [(2.0, 1.5); 3]),
            (Contestant::Header, [(2.1, 1.5); 3]),
        ]));
        insta::assert_snapshot!("table", report.table());
        insta::assert_snapshot!("page", report.markdown());
    }
}
