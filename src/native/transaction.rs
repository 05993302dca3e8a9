//! Transactions: librdkafka's calls on a producer with a `transactional.id`, and the group metadata of a consumer that they
//! need. Each call that waits is bounded; what it comes to is in [`TransactionError`].

use std::ffi::{CString, c_int};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::consumer::{Client, Entry};
use super::list::List;
use super::producer::{Delivery, Producer};
use super::text;

/// A member of a consumer group: who commits offsets. A broker refuses them when the group has gone on without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `group.id`
    pub group: String,
    /// The group's generation, which the member has joined.
    pub generation: i32,
    /// Its id.
    pub id: String,
    /// `group.instance.id`, under static membership.
    pub instance: Option<String>,
}

/// Why a call of a transaction failed, and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionError {
    /// librdkafka's code.
    pub code: RDKafkaErrorCode,
    /// Its words.
    pub message: String,
    /// What can be done.
    pub then: Then,
}

/// What can be done after a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The same call again: it goes on where it stopped.
    Again,
    /// The transaction can only be aborted.
    Abort,
    /// The producer has met its end.
    Fatal,
    /// Nothing: the call was not allowed or is refused for good.
    Refused,
}

impl TransactionError {
    /// Whether another producer with the same id has taken its place, or the coordinator has given its transaction up,
    /// which it does when the time-out has passed. It cannot be told which.
    pub fn is_fenced(&self) -> bool {
        is_fenced(self.code)
    }
}

/// See [`TransactionError::is_fenced`].
pub fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::ProducerFenced
    )
}

type Outcome = Result<(), TransactionError>;

/// Takes an error apart and frees it. Null means no error.
fn outcome(error: *mut sys::rd_kafka_error_t) -> Outcome {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, owned by us, destroyed once, not used after.
    unsafe {
        let then = if sys::rd_kafka_error_is_fatal(error) != 0 {
            Then::Fatal
        } else if sys::rd_kafka_error_txn_requires_abort(error) != 0 {
            Then::Abort
        } else if sys::rd_kafka_error_is_retriable(error) != 0 {
            Then::Again
        } else {
            Then::Refused
        };
        let result = TransactionError {
            code: sys::rd_kafka_error_code(error).into(),
            message: text(sys::rd_kafka_error_string(error)),
            then,
        };
        sys::rd_kafka_error_destroy(error);
        Err(result)
    }
}

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

/// The consumer's metadata of its group, as librdkafka takes it. Freed when dropped.
struct Metadata(*mut sys::rd_kafka_consumer_group_metadata_t);

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: made by librdkafka for us, not null (by `of` and `Client::member`), freed only here.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0) };
    }
}

impl Metadata {
    fn of(member: &Member) -> Option<Metadata> {
        let group = CString::new(member.group.as_str()).ok()?;
        let id = CString::new(member.id.as_str()).ok()?;
        let instance = member.instance.as_deref().map(CString::new);
        let instance = instance.transpose().ok()?;
        // SAFETY: all texts are live for the call and copied; a null instance id means none.
        let metadata = unsafe {
            sys::rd_kafka_consumer_group_metadata_new_with_genid(
                group.as_ptr(),
                member.generation,
                id.as_ptr(),
                instance.as_ref().map_or(std::ptr::null(), |id| id.as_ptr()),
            )
        };
        (!metadata.is_null()).then_some(Metadata(metadata))
    }
}

impl Client<'_> {
    /// Its membership of the group; `None` while it has none, or its assignment is lost. A broker takes offsets from one
    /// who names no generation, as it does from a client outside of any group: so they must not be sent then.
    pub fn member(&self) -> Option<Member> {
        // SAFETY: the handle is live. The metadata is ours until it is dropped, and its texts live as long.
        unsafe {
            if sys::rd_kafka_assignment_lost(self.rk) != 0 {
                return None;
            }
            let metadata = sys::rd_kafka_consumer_group_metadata(self.rk);
            if metadata.is_null() {
                return None;
            }
            let metadata = Metadata(metadata);
            let instance = sys::rd_kafka_consumer_group_metadata_group_instance_id(metadata.0);
            let member = Member {
                group: text(sys::rd_kafka_consumer_group_metadata_group_id(metadata.0)),
                generation: sys::rd_kafka_consumer_group_metadata_generation_id(metadata.0),
                id: text(sys::rd_kafka_consumer_group_metadata_member_id(metadata.0)),
                instance: (!instance.is_null()).then(|| text(instance)),
            };
            (member.generation >= 0 && !member.id.is_empty()).then_some(member)
        }
    }
}

impl Producer {
    /// Makes the producer the only one with its id: an older one is fenced off, and what it left open is aborted.
    pub fn init_transactions(&mut self, timeout: Duration) -> Outcome {
        // SAFETY: the handle is live.
        outcome(unsafe { sys::rd_kafka_init_transactions(self.handle.rk, millis(timeout)) })
    }

    /// Begins a transaction. Asks no broker.
    pub fn begin_transaction(&mut self) -> Outcome {
        // SAFETY: the handle is live.
        outcome(unsafe { sys::rd_kafka_begin_transaction(self.handle.rk) })
    }

    /// Why the open transaction can only be aborted. librdkafka says so when it is asked for what it cannot do then.
    pub fn transaction_failure(&mut self) -> Option<TransactionError> {
        let refused = self.begin_transaction().err()?;
        matches!(refused.then, Then::Abort | Then::Fatal).then_some(refused)
    }

    /// Adds the entries' offsets (the next to read) and metadata to the transaction.
    pub fn send_offsets(
        &mut self,
        entries: &[Entry],
        member: &Member,
        timeout: Duration,
    ) -> Outcome {
        let Some(metadata) = Metadata::of(member) else {
            return Err(TransactionError {
                code: RDKafkaErrorCode::InvalidArgument,
                message: "group metadata with a NUL in it".into(),
                then: Then::Abort,
            });
        };
        let list = List::new(entries.iter().map(|entry| {
            (
                entry.topic.as_str(),
                entry.partition,
                entry.offset,
                entry.metadata.as_deref(),
            )
        }));
        // SAFETY: handle, list and metadata are live for the call, which copies what it keeps.
        outcome(unsafe {
            sys::rd_kafka_send_offsets_to_transaction(
                self.handle.rk,
                list.0,
                metadata.0,
                millis(timeout),
            )
        })
    }

    /// Commits the transaction; delivery reports that come meanwhile go to `out`.
    pub fn commit_transaction(&mut self, timeout: Duration, out: &mut Vec<Delivery>) -> Outcome {
        // SAFETY: the handle is live; callbacks run inside and borrow the deliveries, which nobody has borrowed now.
        let result = unsafe { sys::rd_kafka_commit_transaction(self.handle.rk, millis(timeout)) };
        out.append(&mut self.shared.deliveries.borrow_mut());
        outcome(result)
    }

    /// Aborts the transaction. What is still queued is given up, and reported to `out` as that.
    pub fn abort_transaction(&mut self, timeout: Duration, out: &mut Vec<Delivery>) -> Outcome {
        // SAFETY: as in `commit_transaction`.
        let result = unsafe { sys::rd_kafka_abort_transaction(self.handle.rk, millis(timeout)) };
        out.append(&mut self.shared.deliveries.borrow_mut());
        outcome(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_says_what_can_be_done() {
        let properties = [
            ("bootstrap.servers", "127.0.0.1:1"),
            ("transactional.id", "t"),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut producer = Producer::new(&properties.into()).expect("a producer");
        let error = producer
            .begin_transaction()
            .expect_err("transactions are not initialised");
        assert_eq!(error.code, RDKafkaErrorCode::State);
        assert_eq!(error.then, Then::Refused, "{}", error.message);
        let error = producer
            .init_transactions(Duration::from_millis(50))
            .expect_err("nobody listens");
        assert_eq!(error.then, Then::Again, "{}", error.message);
        assert!(!error.is_fenced());
    }

    #[test]
    fn a_member_of_no_group_has_no_metadata() {
        let properties = [("bootstrap.servers", "127.0.0.1:1"), ("group.id", "g")];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let topics = ["t".to_owned()];
        let consumer = super::super::consumer::Consumer::subscribe(&properties.into(), &topics, 1)
            .expect("a consumer");
        assert_eq!(consumer.client().member(), None);
    }
}
