//! Deliberate bugs. Each stands for one that an engine or a client could have, and breaks one of the invariants; a test
//! holds that the simulation notices.

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// An offset is committed before its record's outcome is acknowledged.
    CommitAhead,
    /// An offset is committed over a newer one.
    CommitBack,
    /// The counts in a commit's metadata are not those of its records.
    WrongCounts,
    /// A record is acknowledged and not written.
    DropAppend,
    /// A record is written twice.
    AppendTwice,
    /// Two records of a partition are written in the wrong order.
    SwapRecords,
    /// A retry is due before the one in front of it.
    DueBefore,
    /// A retry is taken for one that is due.
    DueNow,
    /// Our headers pile up.
    PileHeaders,
    /// A produced value is not what it should be.
    ChangeBytes,
    /// A delivery report never comes.
    LoseReport,
    /// Nothing bounds what the producer queues.
    NoQueueLimit,
    /// Nothing bounds what an engine begins behind a record that is not acknowledged.
    NoWindow,
    /// The bytes of records that are not acknowledged have no bound.
    NoRoom,
    /// A commit is taken for answered as soon as it is sent.
    AnswerEarly,
    /// The engine does not give up what it has lost.
    RevokeUntold,
    /// A seek does nothing: what a pause has discarded is skipped.
    SeekNowhere,
    /// Offsets count as soon as they are sent, whatever becomes of their transaction.
    OffsetsAtOnce,
    /// A record is written outside of the transaction that it belongs to.
    OutsideTransaction,
    /// What an aborted transaction has written is read like any other.
    AbortedIsRead,
    /// Retries that are not committed are read.
    ReadUncommitted,
    /// Nobody keeps a producer out whose id another one has.
    ZombieWrites,
    /// An outage is taken for bad data.
    OutageIsPoison,
    /// Records are in no order per key, though that is configured.
    NoOrder,
    /// Followers of a dead letter are not held, though that is configured.
    HoldNobody,
    /// Nothing bounds what is in retry.
    NoBounds,
    /// A new owner does not know what is in retry.
    ForgetParked,
    /// An entry of the ledger is acknowledged and not written.
    DropEntry,
    /// An entry of the ledger is taken for acknowledged as soon as it is handed over.
    EntryAtOnce,
    /// Nobody knows a copy.
    NoDedup,
    /// Nobody knows a version.
    NoStale,
    /// A new owner does not know what was seen.
    ForgetSeen,
    /// A block of what was seen is acknowledged and not written.
    DropBlock,
    /// Breakers never trip.
    NoBreaker,
    /// Breakers trip at the second dead letter in a row, whatever their limit is.
    HastyBreaker,
    /// A new owner does not know of the pause of a breaker.
    ForgetPause,
    /// Operators' orders do not come through.
    LoseOrders,
    /// An operator's pause does nothing.
    DeafToPause,
}

impl Bug {
    /// Each with the invariant that notices it: the first word of the violation.
    pub(super) const ALL: [(Bug, &'static [&'static str]); 38] = [
        (Bug::CommitAhead, &["acknowledgement", "commit"]),
        (Bug::CommitBack, &["commit"]),
        (Bug::WrongCounts, &["counts"]),
        (Bug::DropAppend, &["conservation"]),
        (Bug::AppendTwice, &["duplicate"]),
        (Bug::SwapRecords, &["order"]),
        (Bug::DueBefore, &["due"]),
        (Bug::DueNow, &["early"]),
        (Bug::PileHeaders, &["content"]),
        (Bug::ChangeBytes, &["content"]),
        (Bug::LoseReport, &["progress"]),
        (Bug::NoQueueLimit, &["memory"]),
        (Bug::NoWindow, &["memory"]),
        (Bug::NoRoom, &["memory"]),
        (Bug::AnswerEarly, &["duplicate"]),
        (Bug::RevokeUntold, &["ownership"]),
        (
            Bug::SeekNowhere,
            &["acknowledgement", "conservation", "counts"],
        ),
        (
            Bug::OffsetsAtOnce,
            &[
                "conservation",
                "counts",
                "acknowledgement",
                "commit",
                "ledger",
            ],
        ),
        (Bug::OutsideTransaction, &["atomic"]),
        (Bug::AbortedIsRead, &["exactly once", "order"]),
        (
            Bug::ReadUncommitted,
            &[
                "exactly once",
                "conservation",
                "counts",
                "commit",
                "acknowledgement",
            ],
        ),
        (Bug::ZombieWrites, &["exactly once", "order", "atomic"]),
        (Bug::OutageIsPoison, &["content"]),
        (Bug::NoOrder, &["key order"]),
        (Bug::HoldNobody, &["key order"]),
        (Bug::NoBounds, &["memory"]),
        (Bug::ForgetParked, &["key order"]),
        (Bug::DropEntry, &["ledger"]),
        (Bug::EntryAtOnce, &["ledger"]),
        (Bug::NoDedup, &["copies"]),
        (Bug::NoStale, &["versions"]),
        (Bug::ForgetSeen, &["copies", "versions"]),
        (Bug::DropBlock, &["copies", "versions"]),
        (Bug::NoBreaker, &["breaker: "]),
        (Bug::HastyBreaker, &["breaker without a reason"]),
        (Bug::ForgetPause, &["breaker: "]),
        (Bug::LoseOrders, &["progress"]),
        (Bug::DeafToPause, &["operator"]),
    ];
}
