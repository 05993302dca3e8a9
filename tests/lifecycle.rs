//! The life of an instance: signals, a stop that cannot finish, an assignment that is lost.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rustix::process::Signal;
use support::live::{self, Embedded, Job, LIMIT, Shape, real};
use support::process::Server;
use support::topics::{self, Write};
use support::{Bed, Options, RealKafka, Registry, eventually, http};

fn writes(job: &Job, ids: std::ops::Range<i64>) -> Vec<Write> {
    ids.map(|id| Write::new(format!("{id}"), job.parcel(id, "")))
        .collect()
}

fn ready(job: &Job, name: &str) {
    let url = format!("http://{}/readyz", job.admin(name));
    eventually(LIMIT, "ready", || {
        http::get(&url)
            .send()
            .is_ok_and(|(status, _)| status == 200)
    });
}

fn ids(job: &Job) -> BTreeSet<i64> {
    job.emitted().into_iter().collect()
}

/// What the program counts as in flight.
fn in_flight(job: &Job, name: &str) -> f64 {
    let url = format!("http://{}/metrics", job.admin(name));
    let (_, page) = http::get(url).send().expect("the program answers");
    live::sum(&page, "driftgate_records_in_flight", &[])
}

/// SIGINT as SIGTERM: what was read is finished and committed, and the exit code is 0.
#[test]
fn either_signal_drains_commits_and_ends_with_0() {
    let embedded = Embedded::start();
    let cases = [Signal::TERM, Signal::INT].map(|signal| {
        let job = Job::new(&embedded.bed, Some(&embedded.broker), Shape::default());
        let program = job.start("run", "program");
        (signal, job, program)
    });
    for (signal, job, mut program) in cases {
        ready(&job, "program");
        topics::produce(&job.client, &job.source, &writes(&job, 0..2_000));
        eventually(LIMIT, "some are emitted", || job.count(&job.sink) > 0);
        program.signal(signal);
        let status = program.ended(LIMIT).expect("it ends");
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", program.tail());
        // Drained: everything that was emitted is committed, and nothing else.
        let emitted = job.emitted();
        let committed = job.committed(&job.source);
        assert_eq!(i64::try_from(emitted.len()).expect("few"), committed);
        assert_eq!(ids(&job).len(), emitted.len(), "{signal:?}: no repeats");
    }
}

/// A broker that takes connections and answers nothing, with records in flight.
struct Stalled {
    kafka: RealKafka,
    job: Job,
    program: Server,
    /// What keeps the registry.
    _registry: Registry,
}

/// `None`, and a skip, without a real Kafka.
fn stalled(grace: &'static str) -> Option<Stalled> {
    let kafka = RealKafka::start(Options::default())?;
    let registry = Registry::axonops()?;
    let bed = Bed::of(
        support::Environment::KafkaAndAxonOps,
        kafka.bootstrap(),
        registry.url(),
        (),
    );
    let shape = Shape {
        grace,
        // So that records are still at the producer when the broker stalls.
        properties: "linger.ms: 2000, session.timeout.ms: 6000",
        ..Shape::default()
    };
    let job = Job::new(&bed, None, shape);
    let program = job.start("run", "program");
    ready(&job, "program");
    topics::produce(&job.client, &job.source, &writes(&job, 0..500));
    eventually(LIMIT, "records in flight", || {
        in_flight(&job, "program") > 0.0
    });
    kafka.pause();
    Some(Stalled {
        kafka,
        job,
        program,
        _registry: registry,
    })
}

impl Stalled {
    /// The broker answers again, and another start brings every record to the sink.
    fn nothing_is_lost(self) {
        let Stalled { kafka, job, .. } = self;
        kafka.resume();
        let again = job.start("run", "again");
        eventually(LIMIT, "every record in the sink", || ids(&job).len() == 500);
        eventually(LIMIT, "all is committed", || {
            job.committed(&job.source) == 500
        });
        assert_eq!(again.stop(LIMIT).code(), Some(0));
        assert_eq!(ids(&job), (0..500).collect());
    }
}

/// Drains after a first signal, and ends at once, in its own words, after the second.
fn second_signal(job: &Job, program: &mut Server) {
    program.signal(Signal::TERM);
    eventually(LIMIT, "it drains", || {
        job.log("program").contains("draining")
    });
    let early = program.ended(Duration::from_secs(2));
    assert_eq!(early, None, "the first signal waits for what is in flight");
    let second = Instant::now();
    program.signal(Signal::TERM);
    let status = program.ended(Duration::from_secs(5));
    assert_eq!(status.and_then(|status| status.code()), Some(130));
    assert!(second.elapsed() < Duration::from_secs(5));
    assert!(job.log("program").contains("second signal"));
}

#[test]
fn a_second_signal_ends_at_once_and_loses_nothing() {
    let Some(mut stalled) = stalled("300s") else {
        return;
    };
    second_signal(&stalled.job, &mut stalled.program);
    stalled.nothing_is_lost();
}

/// The same on the embedded broker, which says again and again that it has too few replicas.
#[test]
fn a_second_signal_ends_at_once_and_loses_nothing_embedded() {
    let embedded = Embedded::start();
    let shape = Shape {
        grace: "300s",
        properties: "session.timeout.ms: 6000",
        ..Shape::default()
    };
    let job = Job::new(&embedded.bed, Some(&embedded.broker), shape);
    topics::produce(&job.client, &job.source, &writes(&job, 0..500));
    let busy = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 5_000];
    let cluster = embedded.broker.cluster();
    cluster.request_errors(RDKafkaApiKey::Produce, &busy);
    let mut program = job.start("run", "program");
    eventually(LIMIT, "records in flight", || {
        in_flight(&job, "program") > 0.0
    });
    second_signal(&job, &mut program);
    assert_eq!(job.committed(&job.source), 0);
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
    let again = job.start("run", "again");
    eventually(LIMIT, "all is committed", || {
        job.committed(&job.source) == 500
    });
    assert_eq!(again.stop(LIMIT).code(), Some(0));
    assert_eq!(ids(&job), (0..500).collect());
}

/// Neither the drain, nor the commits, nor leaving the group waits longer than was asked for.
#[test]
fn a_stop_that_cannot_drain_ends_within_its_grace() {
    let Some(mut stalled) = stalled("5s") else {
        return;
    };
    let asked = Instant::now();
    stalled.program.signal(Signal::TERM);
    let status = stalled.program.ended(Duration::from_secs(30));
    let took = asked.elapsed();
    assert!(status.is_some(), "it ends: {}", stalled.program.tail());
    eprintln!("a stop with shutdown_grace of 5 s and a broker that does not answer took {took:?}");
    assert!(took < Duration::from_secs(7), "{took:?}");
    let log = stalled.job.log("program");
    assert!(log.contains("will be read again"), "{log}");
    stalled.nothing_is_lost();
}

/// A process that stood still for longer than its session learns that its partitions are somebody else's.
#[test]
fn a_lost_assignment_loses_nothing_and_the_instance_goes_on() {
    let Some(bed) = real() else { return };
    let shape = Shape {
        properties: "session.timeout.ms: 6000, heartbeat.interval.ms: 500",
        ..Shape::default()
    };
    let job = Job::new(&bed, None, shape);
    let mut first = job.start("run", "first");
    ready(&job, "first");
    topics::produce(&job.client, &job.source, &writes(&job, 0..500));
    eventually(LIMIT, "the first are committed", || {
        job.committed(&job.source) == 500
    });
    first.signal(Signal::STOP);
    topics::produce(&job.client, &job.source, &writes(&job, 500..1_000));
    let second = job.start("run", "second");
    eventually(LIMIT, "the second takes over", || {
        job.committed(&job.source) == 1_000
    });
    first.signal(Signal::CONT);
    eventually(LIMIT, "the first knows", || {
        job.log("first")
            .contains("lost: nothing more is committed for them")
    });
    topics::produce(&job.client, &job.source, &writes(&job, 1_000..1_500));
    eventually(LIMIT, "all is committed", || {
        job.committed(&job.source) == 1_500
    });
    // The second leaves: the first must be a member in good standing to read the rest.
    assert_eq!(second.stop(LIMIT).code(), Some(0));
    topics::produce(&job.client, &job.source, &writes(&job, 1_500..2_000));
    eventually(LIMIT, "the rest is committed", || {
        job.committed(&job.source) == 2_000
    });
    assert!(first.runs(), "{}", first.tail());
    ready(&job, "first");
    assert_eq!(first.stop(LIMIT).code(), Some(0));
    assert_eq!(ids(&job), (0..2_000).collect());
    let emitted = job.emitted();
    let repeated = emitted.len() - ids(&job).len();
    eprintln!("{repeated} repeats");
    assert!(repeated <= 500, "only what was in flight may be repeated");
}
