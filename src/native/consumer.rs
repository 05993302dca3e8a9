//! The consumer: batches of borrowed records from `rd_kafka_consume_batch_queue`, and rebalances told to a handler
//! inside that call.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

pub use super::list::Entry;
use super::list::List;
use super::{ClientError, Errors, Handle, Opaque, code, create, take_error, text};
use crate::error::FatalError;
use crate::record::{Header, Record};

/// How often a close looks whether it is done.
const CLOSE_STEP: Duration = Duration::from_millis(50);

/// librdkafka's "start at the beginning".
pub const OFFSET_BEGINNING: i64 = -2;
/// librdkafka's "start at the end".
pub const OFFSET_END: i64 = -1;
/// librdkafka's "no offset".
pub const OFFSET_INVALID: i64 = -1001;

/// Told of rebalances, inside [`Consumer::poll`] and [`Consumer::close`], on the calling thread.
pub trait Rebalance {
    /// Partitions of the subscribed topics are given to us. Returns what to start, with offsets: these and whatever
    /// travels with them.
    fn assign(&mut self, client: &Client<'_>, partitions: &[Entry]) -> Vec<Entry>;
    /// Partitions are taken away; with `lost` they may already be somebody else's and nothing may be committed.
    /// Returns what to stop: these and whatever travels with them.
    fn revoke(&mut self, client: &Client<'_>, partitions: &[Entry], lost: bool) -> Vec<Entry>;
}

/// The consumer's handle without its queue: what may be called inside a rebalance.
pub struct Client<'a> {
    pub(super) rk: *mut sys::rd_kafka_t,
    /// The handle is live for `'a`.
    live: PhantomData<&'a Handle>,
}

/// Calls a handler of a type that only the caller knows.
type Call = unsafe fn(*mut c_void, &Client<'_>, &[Entry], Event) -> Vec<Entry>;

/// The answer to a commit: what was wrong, if anything, and the offsets.
type Commit = (Option<RDKafkaErrorCode>, Vec<Entry>);

struct Shared {
    /// The handler of the call under way, and how to call it; `None` outside of one.
    handler: Cell<Option<(*mut c_void, Call)>>,
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    errors: Errors,
    commits: RefCell<Vec<Commit>>,
}

#[derive(Clone, Copy)]
enum Event {
    Assign,
    Revoke { lost: bool },
}

/// A consumer of one group.
pub struct Consumer {
    // Field order is drop order: the queue reference goes before the handle, the callbacks' state last.
    queue: Queue,
    handle: Handle,
    shared: Opaque<Shared>,
    slots: Vec<*mut sys::rd_kafka_message_t>,
    closed: bool,
}

struct Queue(*mut sys::rd_kafka_queue_t);

// SAFETY: as for `Handle`: used from one thread at a time, which owns the whole consumer, its callbacks' state included.
// A handler is noted only for the length of a call, so none travels with it.
unsafe impl Send for Consumer {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: our own reference, given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.0) };
    }
}

impl Consumer {
    /// Makes the consumer and subscribes it. `batch` is the most records of one call.
    pub fn subscribe(
        properties: &BTreeMap<String, String>,
        topics: &[String],
        batch: usize,
    ) -> Result<Consumer, FatalError> {
        let shared = Opaque::new(Shared {
            handler: Cell::new(None),
            panic: RefCell::new(None),
            errors: Errors::default(),
            commits: RefCell::default(),
        });
        let handle = create(
            sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
            properties,
            shared.pointer(),
            // SAFETY: `conf` is live while it is being prepared.
            |conf| unsafe {
                sys::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
                sys::rd_kafka_conf_set_error_cb(conf, Some(on_error));
                sys::rd_kafka_conf_set_offset_commit_cb(conf, Some(on_commit));
            },
        )?;
        // SAFETY: the handle is live. poll_set_consumer sends the client's events (errors, commit results) to the
        // consumer queue, so that one call serves all.
        let queue = unsafe {
            if let Some(code) = code(sys::rd_kafka_poll_set_consumer(handle.rk)) {
                return Err(FatalError::Kafka(format!("consumer queue: {code}")));
            }
            Queue(sys::rd_kafka_queue_get_consumer(handle.rk))
        };
        let list = List::new(
            topics
                .iter()
                .map(|topic| (topic.as_str(), -1, OFFSET_INVALID, None)),
        );
        // SAFETY: handle and list are live; librdkafka copies the list.
        if let Some(code) = code(unsafe { sys::rd_kafka_subscribe(handle.rk, list.0) }) {
            return Err(FatalError::Kafka(format!("subscribe: {code}")));
        }
        Ok(Consumer {
            queue,
            handle,
            shared,
            slots: vec![std::ptr::null_mut(); batch.max(1)],
            closed: false,
        })
    }

    /// What may be called at any time.
    pub fn client(&self) -> Client<'_> {
        Client {
            rk: self.handle.rk,
            live: PhantomData,
        }
    }

    /// Waits up to `timeout` for a first record, then takes what is there, up to the batch size. librdkafka's call
    /// returns only when its array is full or the time is over, hence the two calls: one slot with the time-out, the
    /// rest with none.
    pub fn poll<H: Rebalance>(&mut self, timeout: Duration, handler: &mut H) -> Batch<'_> {
        let milliseconds = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        let queue = self.queue.0;
        let mut count =
            self.with_handler(handler, |consumer| consumer.fill(queue, 0, 1, milliseconds));
        if count == 1 && self.slots.len() > 1 {
            let room = self.slots.len() - 1;
            count += self.with_handler(handler, |consumer| consumer.fill(queue, 1, room, 0));
        }
        Batch {
            client: Client {
                rk: self.handle.rk,
                live: PhantomData,
            },
            slots: &mut self.slots[..count],
            named: Cell::new(None),
        }
    }

    fn fill(
        &mut self,
        queue: *mut sys::rd_kafka_queue_t,
        from: usize,
        room: usize,
        milliseconds: c_int,
    ) -> usize {
        // SAFETY: `slots[from..from + room]` is in bounds and the queue is live, by the callers: `poll` and `close`.
        // librdkafka writes at most `room` owned messages; a negative count means none.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(
                queue,
                milliseconds,
                self.slots.as_mut_ptr().add(from),
                room,
            )
        };
        usize::try_from(count).unwrap_or(0).min(room)
    }

    fn with_handler<H: Rebalance, T>(
        &mut self,
        handler: &mut H,
        body: impl FnOnce(&mut Self) -> T,
    ) -> T {
        unsafe fn call<H: Rebalance>(
            handler: *mut c_void,
            client: &Client<'_>,
            partitions: &[Entry],
            event: Event,
        ) -> Vec<Entry> {
            // SAFETY: `handler` is the `&mut H` that `with_handler` holds for the length of the call, and nothing
            // else uses it meanwhile: `body` only gets `self`.
            let handler = unsafe { &mut *handler.cast::<H>() };
            match event {
                Event::Assign => handler.assign(client, partitions),
                Event::Revoke { lost } => handler.revoke(client, partitions, lost),
            }
        }
        let noted = (std::ptr::from_mut(handler).cast(), call::<H> as Call);
        self.shared.handler.set(Some(noted));
        let result = body(self);
        self.shared.handler.set(None);
        if let Some(panic) = self.shared.panic.take() {
            resume_unwind(panic);
        }
        result
    }

    /// Errors of the client since the last call.
    pub fn take_errors(&mut self) -> Vec<ClientError> {
        self.shared.errors.take()
    }

    /// Results of asynchronous commits since the last call.
    pub fn take_commits(&mut self) -> Vec<Commit> {
        self.shared.commits.take()
    }

    /// Leaves the group: a revoke of everything, told to the handler. A coordinator that does not answer is waited for
    /// until `patience` has passed; then it finds out by itself, when the session times out.
    pub fn close<H: Rebalance>(mut self, handler: &mut H, patience: Duration) {
        self.closed = true;
        let until = Instant::now() + patience;
        let gone = self.with_handler(handler, |consumer| {
            let rk = consumer.handle.rk;
            // SAFETY: the handle is live; no batch is alive, since it would borrow `self`. The queue is our own, and
            // librdkafka drops what comes to it later. Rebalances are told while it is served.
            let queue = unsafe {
                let queue = Queue(sys::rd_kafka_queue_new(rk));
                if take_error(sys::rd_kafka_consumer_close_queue(rk, queue.0)).is_err() {
                    // A client that has met its fatal error cannot be closed, only destroyed.
                    return true;
                }
                queue
            };
            let room = consumer.slots.len();
            // SAFETY: the handle is live.
            while unsafe { sys::rd_kafka_consumer_closed(rk) } == 0 {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return false;
                }
                // The queue gets the records too that were fetched and not polled: thrown away, they are read again
                // by whoever has their partition next. `rd_kafka_queue_poll_callback` would abort the process.
                let step = millis(left.min(CLOSE_STEP)).max(1);
                let count = consumer.fill(queue.0, 0, room, step);
                drop(Batch {
                    client: Client {
                        rk,
                        live: PhantomData,
                    },
                    slots: &mut consumer.slots[..count],
                    named: Cell::new(None),
                });
            }
            true
        });
        if !gone {
            // Destroying the handle waits for the same answer, or five seconds. Nothing else of ours needs that, and
            // the end of the process does not wait for the thread. Should there be no thread, it is waited for here.
            let end = std::thread::Builder::new().name("leaving".into());
            drop(end.spawn(move || drop(self)));
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        // Without a handler, the rebalance callback gives everything back and commits nothing.
        // SAFETY: the handle is live and has not been closed.
        unsafe { sys::rd_kafka_consumer_close(self.handle.rk) };
    }
}

impl Client<'_> {
    /// Committed offsets, with their metadata; [`OFFSET_INVALID`] where there is none.
    pub fn committed(
        &self,
        partitions: &[(String, i32)],
        timeout: Duration,
    ) -> Result<Vec<Entry>, RDKafkaErrorCode> {
        let list = List::new(
            partitions
                .iter()
                .map(|(topic, partition)| (topic.as_str(), *partition, OFFSET_INVALID, None)),
        );
        // SAFETY: handle and list are live for the call.
        match code(unsafe { sys::rd_kafka_committed(self.rk, list.0, millis(timeout)) }) {
            Some(code) => Err(code),
            None => Ok(List::read(list.0)),
        }
    }

    /// Commits the entries' offsets (the next to read) and metadata. The answer arrives in [`Consumer::take_commits`].
    pub(crate) fn commit(&self, entries: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        let list = entries_list(entries);
        // SAFETY: handle and list are live; librdkafka copies the list.
        match code(unsafe { sys::rd_kafka_commit(self.rk, list.0, 1) }) {
            Some(code) => Err(code),
            None => Ok(()),
        }
    }

    /// The same, and waits for the answer, at most `timeout`: then it is `OperationTimedOut`, and the commit may still
    /// take place. librdkafka's own call that waits is bounded only by its session and socket time-outs, together more
    /// than a minute and a half.
    pub(crate) fn commit_within(
        &self,
        entries: &[Entry],
        timeout: Duration,
    ) -> Result<(), RDKafkaErrorCode> {
        let list = entries_list(entries);
        // SAFETY: handle and list are live, and librdkafka copies the list. The queue is our own; librdkafka holds a
        // reference of its own to it until the answer, which it throws away once we have destroyed ours. Without a
        // callback the answer is an event, which is ours to destroy.
        unsafe {
            let queue = Queue(sys::rd_kafka_queue_new(self.rk));
            let sent =
                sys::rd_kafka_commit_queue(self.rk, list.0, queue.0, None, std::ptr::null_mut());
            if let Some(code) = code(sent) {
                return Err(code);
            }
            let event = sys::rd_kafka_queue_poll(queue.0, millis(timeout));
            if event.is_null() {
                return Err(RDKafkaErrorCode::OperationTimedOut);
            }
            let answer = code(sys::rd_kafka_event_error(event));
            sys::rd_kafka_event_destroy(event);
            match answer {
                Some(code) => Err(code),
                None => Ok(()),
            }
        }
    }

    /// Whether a broker answers within `timeout`: asks one for the list of brokers.
    pub fn reachable(&self, timeout: Duration) -> bool {
        let mut answer = std::ptr::null();
        // SAFETY: the handle is live. On success the answer is ours to destroy.
        unsafe {
            let error = sys::rd_kafka_metadata(
                self.rk,
                0,
                std::ptr::null_mut(),
                &mut answer,
                millis(timeout),
            );
            if code(error).is_some() {
                return false;
            }
            sys::rd_kafka_metadata_destroy(answer);
        }
        true
    }

    /// Whether a topic exists; `None` without an answer within `timeout`. The whole cluster is asked, because a question by
    /// name can create the topic.
    pub fn has_topic(&self, topic: &str, timeout: Duration) -> Option<bool> {
        let mut answer = std::ptr::null();
        // SAFETY: the handle is live. On success the answer is ours to destroy, and until then its topics are an array
        // of the length that it tells, with names that end with NUL.
        unsafe {
            let error = sys::rd_kafka_metadata(
                self.rk,
                1,
                std::ptr::null_mut(),
                &mut answer,
                millis(timeout),
            );
            if code(error).is_some() {
                return None;
            }
            let count = usize::try_from((*answer).topic_cnt).unwrap_or(0);
            let found = (0..count).any(|index| {
                let found = &*(*answer).topics.add(index);
                code(found.err).is_none()
                    && CStr::from_ptr(found.topic).to_bytes() == topic.as_bytes()
            });
            sys::rd_kafka_metadata_destroy(answer);
            Some(found)
        }
    }

    /// Stops fetching the partitions; what was fetched and not returned is thrown away.
    pub fn pause(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        let list = entries_list(partitions);
        // SAFETY: handle and list are live for the call.
        match code(unsafe { sys::rd_kafka_pause_partitions(self.rk, list.0) }) {
            Some(code) => Err(code),
            None => Ok(()),
        }
    }

    /// Fetches the partitions again.
    pub fn resume(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        let list = entries_list(partitions);
        // SAFETY: handle and list are live for the call.
        match code(unsafe { sys::rd_kafka_resume_partitions(self.rk, list.0) }) {
            Some(code) => Err(code),
            None => Ok(()),
        }
    }

    /// Moves the position of the partitions to the entries' offsets.
    pub fn seek(&self, partitions: &[Entry], timeout: Duration) -> Result<(), ClientError> {
        let list = entries_list(partitions);
        // SAFETY: handle and list are live for the call.
        take_error(unsafe { sys::rd_kafka_seek_partitions(self.rk, list.0, millis(timeout)) })?;
        // SAFETY: the list is live and holds one result per element.
        let failed = unsafe {
            (0..(*list.0).cnt).find_map(|index| code((*(*list.0).elems.add(index as usize)).err))
        };
        match failed {
            Some(code) => Err(ClientError {
                code,
                message: format!("seek: {code}"),
            }),
            None => Ok(()),
        }
    }

    /// Begins anew at the entries' offsets with partitions that are assigned and that librdkafka has given up reading, as
    /// it does when their offset is out of range: then a seek is refused.
    pub fn restart(&self, partitions: &[Entry]) -> Result<(), ClientError> {
        let list = entries_list(partitions);
        // SAFETY: handle and list are live for the calls. The partitions leave the assignment and enter it again, which
        // is no rebalance of the group.
        unsafe {
            take_error(sys::rd_kafka_incremental_unassign(self.rk, list.0))?;
            take_error(sys::rd_kafka_incremental_assign(self.rk, list.0))
        }
    }

    /// Low and high watermark, asked of the broker; `None` without an answer within `timeout`.
    pub fn range(&self, topic: &str, partition: i32, timeout: Duration) -> Option<(i64, i64)> {
        let name = CString::new(topic).ok()?;
        let (mut low, mut high) = (OFFSET_INVALID, OFFSET_INVALID);
        // SAFETY: handle, name and both integers are live for the call.
        let error = unsafe {
            sys::rd_kafka_query_watermark_offsets(
                self.rk,
                name.as_ptr(),
                partition,
                &mut low,
                &mut high,
                millis(timeout),
            )
        };
        (code(error).is_none() && low >= 0 && high >= low).then_some((low, high))
    }

    /// Where the partition is read next, as far as it has been handed out: past control markers, which end transactions
    /// and are handed to nobody. `None` where nothing has been.
    pub fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let list = List::new([(topic, partition, OFFSET_INVALID, None)]);
        // SAFETY: handle and list are live for the call.
        if code(unsafe { sys::rd_kafka_position(self.rk, list.0) }).is_some() {
            return None;
        }
        let offset = List::read(list.0).first()?.offset;
        (offset >= 0).then_some(offset)
    }

    /// Low and high watermark as last seen in a fetch; `None` before the first one.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let name = CString::new(topic).ok()?;
        let (mut low, mut high) = (OFFSET_INVALID, OFFSET_INVALID);
        // SAFETY: handle, name and both integers are live for the call.
        let error = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.rk,
                name.as_ptr(),
                partition,
                &mut low,
                &mut high,
            )
        };
        (code(error).is_none() && high >= 0).then_some((low.max(0), high))
    }

    /// The group's member id, empty before the first join.
    pub fn member_id(&self) -> String {
        // SAFETY: the handle is live; the text is ours to free, with librdkafka's allocator.
        unsafe {
            let pointer = sys::rd_kafka_memberid(self.rk);
            let id = text(pointer);
            if !pointer.is_null() {
                sys::rd_kafka_mem_free(self.rk, pointer.cast());
            }
            id
        }
    }
}

/// Records of one call, destroyed together.
pub struct Batch<'a> {
    slots: &'a mut [*mut sys::rd_kafka_message_t],
    /// The topic that was named last, with its name: records come in runs of one topic.
    named: Cell<Option<(*mut sys::rd_kafka_topic_t, &'a str)>>,
    /// The consumer's calls, usable while the batch is alive.
    pub client: Client<'a>,
}

/// One entry of a batch: a record, or an error that the consumer reports for a partition or topic.
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// An error.
    Error {
        /// Topic, empty where the error is about none.
        topic: &'a str,
        /// Partition, -1 where the error is about none.
        partition: i32,
        /// librdkafka's code.
        code: RDKafkaErrorCode,
        /// Its words.
        message: String,
    },
}

impl Batch<'_> {
    /// The messages as they are.
    pub(super) fn slots(&self) -> &[*mut sys::rd_kafka_message_t] {
        self.slots
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The entry at `index`, borrowed from librdkafka's buffer.
    pub fn get(&self, index: usize) -> Item<'_> {
        // SAFETY: every slot holds an owned message until the batch is dropped, and the results borrow from `self`.
        // Key and payload are `len` bytes or null; the topic name lives as long as the message's topic handle.
        unsafe {
            let raw = self.slots[index];
            let message = &*raw;
            let topic = match self.named.get() {
                _ if message.rkt.is_null() => "",
                Some((rkt, name)) if rkt == message.rkt => name,
                _ => {
                    let name = CStr::from_ptr(sys::rd_kafka_topic_name(message.rkt))
                        .to_str()
                        .unwrap_or("");
                    self.named.set(Some((message.rkt, name)));
                    name
                }
            };
            if let Some(code) = code(message.err) {
                return Item::Error {
                    topic,
                    partition: message.partition,
                    code,
                    message: text(sys::rd_kafka_message_errstr(raw)),
                };
            }
            let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            let timestamp = sys::rd_kafka_message_timestamp(raw, &mut kind);
            let known = kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
            Item::Record(Record {
                topic,
                partition: message.partition,
                offset: message.offset,
                timestamp: (known && timestamp >= 0).then_some(timestamp),
                key: bytes(message.key, message.key_len),
                value: bytes(message.payload, message.len),
                headers: headers(raw),
            })
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for slot in self.slots.iter_mut() {
            // SAFETY: owned by the batch, destroyed once: the slot is cleared.
            unsafe { sys::rd_kafka_message_destroy(*slot) };
            *slot = std::ptr::null_mut();
        }
    }
}

/// SAFETY: `pointer` is null or points to `len` bytes that live for `'a`.
unsafe fn bytes<'a>(pointer: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by the contract above.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), len) })
}

/// SAFETY: `message` lives for `'a`.
unsafe fn headers<'a>(message: *const sys::rd_kafka_message_t) -> Vec<Header<'a>> {
    let mut list = std::ptr::null_mut();
    let mut headers = Vec::new();
    // SAFETY: the header list belongs to the message, and names and values to the list; each is read before the next
    // call and nothing changes the list. librdkafka keeps header names NUL-terminated.
    unsafe {
        if code(sys::rd_kafka_message_headers(message, &mut list)).is_some() {
            return headers;
        }
        headers.reserve(sys::rd_kafka_header_cnt(list));
        let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) =
            (std::ptr::null(), std::ptr::null(), 0);
        while code(sys::rd_kafka_header_get_all(
            list,
            headers.len(),
            &mut name,
            &mut value,
            &mut size,
        ))
        .is_none()
        {
            headers.push((
                CStr::from_ptr(name).to_str().unwrap_or("\u{fffd}"),
                bytes(value, size),
            ));
        }
    }
    headers
}

fn entries_list(entries: &[Entry]) -> List {
    List::new(entries.iter().map(|entry| {
        (
            entry.topic.as_str(),
            entry.partition,
            entry.offset,
            entry.metadata.as_deref(),
        )
    }))
}

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

/// Runs inside `rd_kafka_consume_batch_queue` or `rd_kafka_consumer_close`, on the thread that called it.
unsafe extern "C" fn on_rebalance(
    rk: *mut sys::rd_kafka_t,
    error: sys::rd_kafka_resp_err_t,
    partitions: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: `opaque` is the consumer's `Shared`, which outlives the handle and of which only shared references are
    // made (`Opaque`). Its cells are borrowed here and in methods of `Consumer` for the length of one statement each,
    // none of which calls librdkafka: so no two borrows meet.
    let shared = unsafe { &*opaque.cast::<Shared>() };
    let given = List::read(partitions);
    // SAFETY: `rk` is live.
    let lost = unsafe { sys::rd_kafka_assignment_lost(rk) } != 0;
    let assigning = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    let event = if assigning {
        Event::Assign
    } else {
        Event::Revoke { lost }
    };
    let panicked = shared.panic.borrow().is_some();
    let answer = match shared.handler.get() {
        Some((handler, call)) if !panicked => {
            let client = Client {
                rk,
                live: PhantomData,
            };
            // A panic must not unwind through C. It is kept and goes on once librdkafka's call has returned.
            // SAFETY: `handler` and `call` were set together by `with_handler`, which is still running.
            let called = catch_unwind(AssertUnwindSafe(|| unsafe {
                call(handler, &client, &given, event)
            }));
            called.unwrap_or_else(|panic| {
                shared.panic.replace(Some(panic));
                given.clone()
            })
        }
        // Nobody listens (the consumer is being dropped): take nothing, give everything back.
        _ if assigning => Vec::new(),
        _ => given.clone(),
    };
    if assigning {
        // Ends the call under way. A record that came in the same call as its partition is dropped and sought, for it may be from
        // an earlier assignment; and that seek waits for the fetch under way, half a second where nothing else comes.
        // Not `rd_kafka_yield`: a batch call loses the record behind it.
        // SAFETY: `rk` is live; the reference is our own, given back once. librdkafka holds no lock in a callback.
        unsafe {
            let queue = Queue(sys::rd_kafka_queue_get_consumer(rk));
            sys::rd_kafka_queue_yield(queue.0);
        }
    }
    let list = entries_list(&answer);
    // SAFETY: handle and list are live. Cooperative-sticky is the only strategy that is configured, so the
    // incremental calls are the right ones; librdkafka requires one of them in this callback.
    let result = unsafe {
        if assigning {
            sys::rd_kafka_incremental_assign(rk, list.0)
        } else {
            sys::rd_kafka_incremental_unassign(rk, list.0)
        }
    };
    if let Err(error) = take_error(result) {
        tracing::warn!(code = ?error.code, "rebalance: {}", error.message);
        shared.errors.push(error);
    }
}

unsafe extern "C" fn on_error(
    _rk: *mut sys::rd_kafka_t,
    error: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: as in `on_rebalance`. `error` is one of librdkafka's codes.
    let shared = unsafe { &*opaque.cast::<Shared>() };
    let code = unsafe { std::mem::transmute::<c_int, sys::rd_kafka_resp_err_t>(error) };
    shared.errors.push(ClientError {
        code: code.into(),
        message: text(reason),
    });
}

unsafe extern "C" fn on_commit(
    _rk: *mut sys::rd_kafka_t,
    error: sys::rd_kafka_resp_err_t,
    offsets: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: as in `on_rebalance`.
    let shared = unsafe { &*opaque.cast::<Shared>() };
    let answer = (code(error), List::read(offsets));
    shared.commits.borrow_mut().push(answer);
}

#[cfg(test)]
mod tests;
