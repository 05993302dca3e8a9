//! Bugs that were found, each by its symptom.

mod support;

use support::live::{self, Job, Shape};
use support::topics::{self, Write};

/// A batch is entered first and finished afterwards. A retry that is not due stops its partition between the two, and
/// the records in front of it, which are in the books already, were thrown away with those behind it: they were
/// neither emitted nor read again.
#[test]
fn a_later_record_that_stops_its_retry_partition_keeps_the_earlier_ones() {
    const DUE: i64 = 8;
    const LATER: i64 = 4;
    let embedded = live::Embedded::start();
    let shape = Shape {
        partitions: 1,
        retry: "{ tiers: [1s] }",
        ..Shape::default()
    };
    let job = Job::new(&embedded.bed, Some(&embedded.broker), shape);
    let retries = job.retry_topic(1);
    let soon = now() + 10_000;
    let writes: Vec<Write> = (0..DUE + LATER)
        .map(|id| {
            let due = if id < DUE { soon - 60_000 } else { soon };
            Write::new("key", job.parcel(id, ""))
                .to(0)
                .header("driftgate.source.topic", job.source.as_str())
                .header("driftgate.source.partition", "0")
                .header("driftgate.source.offset", id.to_string())
                .header("driftgate.attempt", "1")
                .header("driftgate.due_at", due.to_string())
        })
        .collect();
    topics::produce(&job.client, &retries, &writes);
    job.live(Some(&embedded.broker), |live| {
        // Before the others are due: a partition that is read again from its start would hide the loss.
        live.eventually("the due ones are emitted and committed", || {
            job.count(&job.sink) == DUE && job.committed(&retries) == DUE
        });
        assert!(now() < soon);
        live.eventually("the others follow when they are due", || {
            job.committed(&retries) == DUE + LATER
        });
        assert!(now() >= soon);
    });
    let mut ids = job.emitted();
    ids.sort_unstable();
    assert_eq!(ids, (0..DUE + LATER).collect::<Vec<_>>());
}

#[expect(
    clippy::disallowed_methods,
    reason = "due times are in milliseconds since the epoch"
)]
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
