//! Dead letters sent back to the first retry topic of the pipeline that failed them, where it judges them anew. Input: a
//! [`Job`]. Output: a [`Report`] that adds up. Progress is committed behind acknowledged records only: a run that is
//! stopped or killed is gone on with by the next, which may repeat a few and leaves none out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::decide::{self, Decision, Refusal, Target};
use super::filter::Filter;
use super::progress::Progress;
use super::read::{Next, Owned, Reader};
use super::send::{Flight, Landed, Sender};
use super::tally::Tally;
use super::{Failure, dialect};
use crate::config::model::Kafka;
use crate::ingest::properties::Properties;
use crate::produce::send::Rate;

/// One wait, so that an interruption is noticed between two.
const WAIT: Duration = Duration::from_millis(100);
/// How often progress is committed.
const COMMIT: Duration = Duration::from_secs(1);

/// What is to be sent back.
#[derive(Debug, Clone)]
pub struct Job {
    /// The cluster.
    pub kafka: Kafka,
    /// The producer's properties.
    pub producer: Properties,
    /// Dead-letter topics.
    pub topics: Vec<String>,
    /// Which of their records.
    pub filter: Filter,
    /// Whose they must be.
    pub target: Target,
    /// The first retry topic of each source topic.
    pub retries: BTreeMap<String, String>,
    /// The group that progress is kept in.
    pub group: String,
    /// What the names of such groups begin with, whatever the filter.
    pub family: String,
    /// Begin anew, whatever an earlier run has done.
    pub from_start: bool,
    /// At most so many.
    pub limit: Option<u64>,
    /// At most so many in a time.
    pub rate: Option<Rate>,
    /// Send nothing and commit nothing.
    pub dry_run: bool,
}

/// What became of the dead letters. Each that was read is in exactly one of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Read.
    pub read: u64,
    /// Sent back and acknowledged; in a dry run, what would be sent.
    pub redriven: u64,
    /// Left out by the filter.
    pub filtered: u64,
    /// Of other groups or pipelines.
    pub elsewhere: u64,
    /// Sent back as often as they may be.
    pub capped: u64,
    /// Cannot be sent back.
    pub refused: u64,
    /// Sent and not acknowledged when the run ended; the next run sends them again.
    pub unacknowledged: u64,
}

impl Counts {
    /// Whether every record that was read is accounted for.
    pub fn add_up(&self) -> bool {
        let parts = [
            self.redriven,
            self.filtered,
            self.elsewhere,
            self.capped,
            self.refused,
            self.unacknowledged,
        ];
        self.read == parts.iter().sum::<u64>()
    }
}

/// Why a run ended before the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// So many were asked for.
    Limit,
    /// Somebody asked for it.
    Interrupted,
    /// A broker failed.
    Failed(String),
}

/// How a run went.
#[derive(Debug, Clone)]
pub struct Report {
    /// What became of them.
    pub counts: Counts,
    /// Those that were sent back, or would be.
    pub tally: Tally,
    /// Why some cannot be.
    pub refusals: BTreeMap<Refusal, u64>,
    /// How many went to which topic.
    pub topics: BTreeMap<String, u64>,
    /// Dead-letter topics that are not there.
    pub missing: Vec<String>,
    /// Whether it went on where an earlier run had stopped.
    pub resumed: bool,
    /// Why it ended early, if it did.
    pub stopped: Option<Stop>,
}

/// What is told while it runs.
pub trait Watch {
    /// So far, of so many offsets.
    fn progress(&mut self, counts: &Counts, passed: u64, total: u64);
    /// Whether to stop.
    fn interrupted(&self) -> bool;
    /// Whether to stop without waiting for answers.
    fn abandoned(&self) -> bool;
    /// These groups have progress of other filters: what they have sent may be sent again.
    fn others(&mut self, groups: &[String]);
    /// Now, in milliseconds since the epoch.
    fn now(&self) -> i64;
}

/// Sends dead letters back.
pub fn redrive(job: &Job, watch: &mut dyn Watch) -> Result<Report, Failure> {
    let reader = Reader::open(
        &job.kafka,
        &job.topics,
        &job.filter,
        Some(&job.group),
        job.from_start,
    )?;
    if !reader.resumed() {
        let mut others = reader.groups(&job.family);
        others.retain(|group| *group != job.group);
        if !others.is_empty() {
            watch.others(&others);
        }
    }
    let sender = Sender::new(&job.producer, job.rate)
        .map_err(|error| Failure::Unreachable(error.to_string()))?;
    let run = Run {
        job,
        report: Report {
            counts: Counts::default(),
            tally: Tally::default(),
            refusals: BTreeMap::new(),
            topics: BTreeMap::new(),
            missing: reader.missing().to_vec(),
            resumed: reader.resumed(),
            stopped: None,
        },
        reader,
        sender,
        progress: Progress::default(),
        committed_at: Instant::now(),
    };
    run.go(watch)
}

struct Run<'j> {
    job: &'j Job,
    reader: Reader,
    sender: Sender,
    progress: Progress,
    report: Report,
    committed_at: Instant,
}

impl Run<'_> {
    fn go(mut self, watch: &mut dyn Watch) -> Result<Report, Failure> {
        // What goes wrong from here on ends the run, with what has been done until then.
        let stopped = match self.read(watch) {
            Ok(stopped) => stopped,
            Err(failure) => Some(Stop::Failed(failure.to_string())),
        };
        while self.sender.open() > 0 && self.sender.failed().is_none() && !watch.abandoned() {
            let landed = self.sender.finish(WAIT);
            self.land(landed);
            self.tell(watch);
        }
        let landed = self.sender.collect(Duration::ZERO);
        self.land(landed);
        self.report.counts.unacknowledged = self.sender.open() as u64;
        if self.sender.open() > 0 {
            self.sender.abandon();
        }
        let failed = self.sender.failed().map(|why| Stop::Failed(why.to_owned()));
        self.report.stopped = failed.or(stopped);
        if let Err(failure) = self.commit() {
            // The next run repeats what this one has sent since the last commit.
            let stop = Stop::Failed(failure.to_string());
            self.report.stopped.get_or_insert(stop);
        }
        self.tell(watch);
        Ok(self.report)
    }

    fn read(&mut self, watch: &mut dyn Watch) -> Result<Option<Stop>, Failure> {
        loop {
            if watch.interrupted() {
                return Ok(Some(Stop::Interrupted));
            }
            if self.sender.failed().is_some() {
                return Ok(None);
            }
            let landed = self.sender.collect(Duration::ZERO);
            self.land(landed);
            if self.committed_at.elapsed() >= COMMIT {
                self.commit()?;
                self.tell(watch);
            }
            if let Some(wait) = self.sender.wait() {
                let landed = self.sender.collect(wait);
                self.land(landed);
                continue;
            }
            if self.is_enough() {
                return Ok(Some(Stop::Limit));
            }
            match self.reader.next(WAIT)? {
                Next::End => return Ok(None),
                Next::Nothing => {}
                Next::Record(owned) => self.take(owned, watch.now()),
            }
        }
    }

    /// Whether as many are sent as were asked for. Those on their way count: they are not called back.
    fn is_enough(&self) -> bool {
        let sent = self.report.counts.redriven + self.sender.open() as u64;
        self.job.limit.is_some_and(|limit| sent >= limit)
    }

    fn take(&mut self, owned: Owned, now: i64) {
        let record = owned.record();
        let letter = dialect::read(&record);
        let counts = &mut self.report.counts;
        counts.read += 1;
        self.progress
            .begin(&owned.topic, owned.partition, owned.offset);
        let decision = match self.job.filter.takes(&record, &letter) {
            true => decide::decide(&letter, &record, &self.job.target),
            false => {
                counts.filtered += 1;
                return self.done(&owned);
            }
        };
        match decision {
            Decision::Elsewhere => counts.elsewhere += 1,
            Decision::Capped => counts.capped += 1,
            Decision::Refused(why) => self.refuse(why),
            Decision::Send { source, partition } => {
                let Some(topic) = self.job.retries.get(&source).cloned() else {
                    self.refuse(Refusal::SourceNotRead(source));
                    return self.done(&owned);
                };
                self.report.tally.add(&letter, letter.moment(&record), now);
                if self.job.dry_run {
                    *self.report.topics.entry(topic).or_default() += 1;
                    self.report.counts.redriven += 1;
                    return;
                }
                let headers = decide::headers(&letter, &record, now);
                self.sender
                    .send(Flight::new(owned, topic, partition, headers));
                return;
            }
        }
        self.done(&owned);
    }

    fn refuse(&mut self, why: Refusal) {
        self.report.counts.refused += 1;
        *self.report.refusals.entry(why).or_default() += 1;
    }

    fn done(&mut self, letter: &Owned) {
        self.progress
            .done(&letter.topic, letter.partition, letter.offset);
    }

    fn land(&mut self, landed: Vec<Landed>) {
        for landed in landed {
            let flight = match landed {
                Landed::Sent(flight) => {
                    self.report.counts.redriven += 1;
                    *self.report.topics.entry(flight.topic.clone()).or_default() += 1;
                    flight
                }
                Landed::TooLarge(flight) => {
                    self.refuse(Refusal::TooLarge(flight.topic.clone()));
                    flight
                }
            };
            self.done(&flight.letter);
        }
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.committed_at = Instant::now();
        if self.job.dry_run {
            return Ok(());
        }
        let offsets = self.progress.committable();
        if !offsets.is_empty() {
            self.reader.commit(&offsets)?;
            self.progress.committed(&offsets);
        }
        Ok(())
    }

    fn tell(&mut self, watch: &mut dyn Watch) {
        if let Some(error) = self.sender.last_error() {
            tracing::debug!("producer: {error}");
        }
        let (passed, total) = (self.reader.passed(), self.reader.total());
        watch.progress(&self.report.counts, passed, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_adds_up_or_says_that_it_does_not() {
        let mut counts = Counts {
            read: 21,
            redriven: 1,
            filtered: 2,
            elsewhere: 3,
            capped: 4,
            refused: 5,
            unacknowledged: 6,
        };
        assert!(counts.add_up());
        counts.read += 1;
        assert!(!counts.add_up());
    }
}
