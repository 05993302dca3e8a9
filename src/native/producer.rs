//! The producer: one produce call a record, delivery reports collected and handed out in [`Producer::poll`].

mod held;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use self::held::Held;
use super::{ClientError, Errors, Handle, Opaque, code, create, text};
use crate::error::FatalError;

/// What to produce. Everything is copied by librdkafka before the call returns.
#[derive(Debug, Clone, Default)]
pub struct Produce<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition; `None` lets the partitioner choose by key, as Java clients do.
    pub partition: Option<i32>,
    /// Milliseconds since the epoch; `None` is now.
    pub timestamp: Option<i64>,
    /// Key; `None` is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Whether it may wait some 50 ms for others like it, so that they go to the broker together. In a transaction none does.
    pub patient: bool,
}

impl Produce<'_> {
    /// What librdkafka takes for a record until it is acknowledged, beside its bytes: the message, what it points to, and the
    /// allocator's share, as seen in a heap.
    const AROUND: usize = 400;
    const AROUND_HEADER: usize = 96;

    /// What the producer keeps for this record until it is acknowledged, in bytes, about.
    pub fn kept(&self) -> usize {
        let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let header = |(name, value): &(&str, Option<&[u8]>)| {
            Self::AROUND_HEADER + name.len() + bytes(*value)
        };
        let headers: usize = self.headers.iter().map(header).sum();
        Self::AROUND + bytes(self.key) + bytes(self.value) + headers
    }
}

/// What became of a produced record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The token that the record was produced with.
    pub token: usize,
    /// Why it was not acknowledged, if it was not.
    pub error: Option<RDKafkaErrorCode>,
    /// Its offset in its partition; negative where that is not known.
    pub offset: i64,
}

pub(super) struct Shared {
    pub(super) deliveries: RefCell<Vec<Delivery>>,
    errors: Errors,
}

/// An idempotent producer.
pub struct Producer {
    // Field order is drop order: what uses topic handles, the handles before the client, the callbacks' state last.
    held: Held,
    topics: Topics,
    pub(super) handle: Handle,
    pub(super) shared: Opaque<Shared>,
    properties: BTreeMap<String, String>,
}

// SAFETY: as for `Handle`: used from one thread at a time, which owns the whole producer, its callbacks' state and the
// pointers of what is held included.
unsafe impl Send for Producer {}

/// Handles by name. Records come in runs of one topic: the one asked for last is kept at hand.
#[derive(Default)]
struct Topics {
    known: HashMap<Arc<str>, *mut sys::rd_kafka_topic_t>,
    last: Option<(Arc<str>, *mut sys::rd_kafka_topic_t)>,
}

impl Drop for Topics {
    fn drop(&mut self) {
        for topic in self.known.values() {
            // SAFETY: our own references, given back once.
            unsafe { sys::rd_kafka_topic_destroy(*topic) };
        }
    }
}

impl Producer {
    /// Makes the producer.
    pub fn new(properties: &BTreeMap<String, String>) -> Result<Producer, FatalError> {
        let shared = Opaque::new(Shared {
            deliveries: RefCell::default(),
            errors: Errors::default(),
        });
        let handle = create(
            sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
            properties,
            shared.pointer(),
            // SAFETY: `conf` is live while it is being prepared.
            |conf| unsafe {
                sys::rd_kafka_conf_set_dr_msg_cb(conf, Some(on_delivery));
                sys::rd_kafka_conf_set_error_cb(conf, Some(on_error));
            },
        )?;
        Ok(Producer {
            held: Held::new(properties),
            topics: Topics::default(),
            handle,
            shared,
            properties: properties.clone(),
        })
    }

    /// Puts a new client with the same properties in the place of this one, which has met its end. What was queued here
    /// is given up; no report of it comes any more.
    pub fn renew(&mut self) -> Result<(), FatalError> {
        let new = Producer::new(&self.properties)?;
        self.purge();
        *self = new;
        Ok(())
    }

    /// Queues a record. Its [`Delivery`] carries `token`. An error means that it was not queued: `QueueFull` passes,
    /// `MessageSizeTooLarge` is the record's own.
    pub fn send(&mut self, record: &Produce<'_>, token: usize) -> Result<(), RDKafkaErrorCode> {
        let topic = self.topic(record.topic)?;
        if record.patient && self.hold(topic, record, token)? {
            return Ok(());
        }
        let message = Message {
            topic,
            partition: record.partition,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
        };
        self.queue(&message, &mut Headers::new(record.headers), token)
    }

    /// Hands a record to librdkafka, which takes the headers if it takes the record.
    fn queue(
        &mut self,
        message: &Message<'_>,
        headers: &mut Option<Headers>,
        token: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        use sys::rd_kafka_vtype_t as kind;
        let mut parts = [value(kind::RD_KAFKA_VTYPE_END, |_| {}); 8];
        parts[0] = value(kind::RD_KAFKA_VTYPE_RKT, |u| u.rkt = message.topic);
        parts[1] = value(kind::RD_KAFKA_VTYPE_PARTITION, |u| {
            u.i32_ = message.partition.unwrap_or(-1)
        });
        parts[2] = value(kind::RD_KAFKA_VTYPE_MSGFLAGS, |u| {
            u.i = sys::RD_KAFKA_MSG_F_COPY
        });
        parts[3] = value(kind::RD_KAFKA_VTYPE_VALUE, |u| {
            u.mem = memory(message.value)
        });
        parts[4] = value(kind::RD_KAFKA_VTYPE_KEY, |u| u.mem = memory(message.key));
        parts[5] = value(kind::RD_KAFKA_VTYPE_TIMESTAMP, |u| {
            u.i64_ = message.timestamp.unwrap_or(0)
        });
        parts[6] = value(kind::RD_KAFKA_VTYPE_OPAQUE, |u| {
            u.ptr = token as *mut c_void
        });
        let mut count = 7;
        if let Some(headers) = headers {
            parts[7] = value(kind::RD_KAFKA_VTYPE_HEADERS, |u| u.headers = headers.0);
            count = 8;
        }
        // SAFETY: `parts[..count]` are filled with live pointers; RD_KAFKA_MSG_F_COPY makes librdkafka copy key and
        // value before it returns. The headers are taken over on success only.
        let error = unsafe { sys::rd_kafka_produceva(self.handle.rk, parts.as_ptr(), count) };
        super::take_error(error).map_err(|error| error.code)?;
        std::mem::forget(headers.take());
        Ok(())
    }

    pub(super) fn topic(
        &mut self,
        name: &str,
    ) -> Result<*mut sys::rd_kafka_topic_t, RDKafkaErrorCode> {
        if let Some((last, topic)) = &self.topics.last
            && **last == *name
        {
            return Ok(*topic);
        }
        if let Some((name, topic)) = self.topics.known.get_key_value(name) {
            let topic = *topic;
            self.topics.last = Some((Arc::clone(name), topic));
            return Ok(topic);
        }
        let text = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidArgument)?;
        // SAFETY: the handle is live; the name is copied; a null configuration means the handle's default.
        let topic =
            unsafe { sys::rd_kafka_topic_new(self.handle.rk, text.as_ptr(), std::ptr::null_mut()) };
        if topic.is_null() {
            return Err(RDKafkaErrorCode::InvalidArgument);
        }
        self.topics.known.insert(name.into(), topic);
        Ok(topic)
    }

    /// Serves callbacks for up to `timeout` and moves the delivery reports into `out`.
    pub fn poll(&mut self, mut timeout: Duration, out: &mut Vec<Delivery>) {
        if let Some(left) = self.may_hold() {
            if left.is_zero() {
                self.release();
            } else {
                timeout = timeout.min(left);
            }
        }
        // SAFETY: the handle is live; callbacks run inside and borrow the deliveries, which nobody has borrowed now.
        unsafe {
            sys::rd_kafka_poll(
                self.handle.rk,
                c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX),
            )
        };
        out.append(&mut self.shared.deliveries.borrow_mut());
    }

    /// Asks librdkafka to send what waits for its linger time now.
    pub fn flush(&mut self, timeout: Duration, out: &mut Vec<Delivery>) {
        self.release();
        // SAFETY: as in `poll`.
        unsafe {
            sys::rd_kafka_flush(
                self.handle.rk,
                c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX),
            )
        };
        out.append(&mut self.shared.deliveries.borrow_mut());
    }

    /// Gives up what is queued and in flight. Only before the producer is dropped: an idempotent one cannot go on.
    pub fn purge(&mut self) {
        // SAFETY: the handle is live.
        unsafe {
            sys::rd_kafka_purge(
                self.handle.rk,
                (sys::RD_KAFKA_PURGE_F_QUEUE
                    | sys::RD_KAFKA_PURGE_F_INFLIGHT
                    | sys::RD_KAFKA_PURGE_F_NON_BLOCKING) as c_int,
            );
        }
    }

    /// The error that ended the producer, if one did.
    pub fn fatal_error(&self) -> Option<ClientError> {
        let mut words = [0 as c_char; 512];
        // SAFETY: the handle is live and `words` as long as said.
        let code = code(unsafe {
            sys::rd_kafka_fatal_error(self.handle.rk, words.as_mut_ptr(), words.len())
        })?;
        Some(ClientError {
            code,
            message: text(words.as_ptr()),
        })
    }

    /// Errors of the client since the last call.
    pub fn take_errors(&mut self) -> Vec<ClientError> {
        self.shared.errors.take()
    }
}

/// A record as librdkafka takes it, but for its headers.
struct Message<'a> {
    topic: *mut sys::rd_kafka_topic_t,
    partition: Option<i32>,
    timestamp: Option<i64>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

struct Headers(*mut sys::rd_kafka_headers_t);

impl Headers {
    fn new(headers: &[(&str, Option<&[u8]>)]) -> Option<Headers> {
        if headers.is_empty() {
            return None;
        }
        // SAFETY: the list is live; name and value are copied, with their lengths given.
        unsafe {
            let list = Headers(sys::rd_kafka_headers_new(headers.len()));
            for (name, value) in headers {
                let (pointer, size) = match value {
                    Some(value) => (value.as_ptr().cast(), value.len() as isize),
                    None => (std::ptr::null(), 0),
                };
                sys::rd_kafka_header_add(
                    list.0,
                    name.as_ptr().cast(),
                    name.len() as isize,
                    pointer,
                    size,
                );
            }
            Some(list)
        }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: still ours: a produced list is forgotten instead.
        unsafe { sys::rd_kafka_headers_destroy(self.0) };
    }
}

fn value(
    vtype: sys::rd_kafka_vtype_t,
    set: impl FnOnce(&mut sys::rd_kafka_vu_s__bindgen_ty_1),
) -> sys::rd_kafka_vu_t {
    let mut u = sys::rd_kafka_vu_s__bindgen_ty_1 { _pad: [0; 64] };
    set(&mut u);
    sys::rd_kafka_vu_t { vtype, u }
}

/// A null pointer is Kafka's null; an empty slice keeps a pointer, so that empty stays empty.
fn memory(bytes: Option<&[u8]>) -> sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
    sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
        ptr: bytes.map_or(std::ptr::null_mut(), |bytes| {
            bytes.as_ptr().cast_mut().cast()
        }),
        size: bytes.map_or(0, <[u8]>::len),
    }
}

/// Runs inside `rd_kafka_poll` or `rd_kafka_flush`, on the thread that called it.
unsafe extern "C" fn on_delivery(
    _rk: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: `opaque` is the producer's `Shared`, which outlives the handle and of which only shared references are
    // made (`Opaque`); the message is live.
    let (shared, message) = unsafe { (&*opaque.cast::<Shared>(), &*message) };
    shared.deliveries.borrow_mut().push(Delivery {
        token: message._private as usize,
        error: code(message.err),
        offset: message.offset,
    });
}

unsafe extern "C" fn on_error(
    _rk: *mut sys::rd_kafka_t,
    error: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: as in `on_delivery`. `error` is one of librdkafka's codes.
    let shared = unsafe { &*opaque.cast::<Shared>() };
    let code = unsafe { std::mem::transmute::<c_int, sys::rd_kafka_resp_err_t>(error) };
    shared.errors.push(ClientError {
        code: code.into(),
        message: text(reason),
    });
}
