//! librdkafka by its C interface, and what the kernel tells of this process: the only unsafe code of the project.
//!
//! rdkafka's own consumer puts its handle into event mode, where `rd_kafka_consume_batch_queue` answers a rebalance by
//! giving every partition back and says nothing; so the handles here are our own, with librdkafka's classic callbacks.
//! Callbacks run on the thread that calls into [`consumer::Consumer`] or [`producer::Producer`], never on another,
//! except the log callback, which only writes a log line.
#![expect(
    unsafe_code,
    reason = "the one place that calls C interfaces; each block carries its proof"
)]

pub mod consumer;
mod list;
pub mod passthrough;
pub mod producer;
pub mod signal;
pub mod transaction;
pub mod usage;

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Mutex;

use rdkafka::ClientConfig;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

use crate::error::FatalError;

/// What librdkafka said about the client as a whole: brokers down, authentication refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError {
    /// librdkafka's code.
    pub code: RDKafkaErrorCode,
    /// Its words.
    pub message: String,
}

/// A librdkafka handle. Destroyed when dropped; whoever holds it must have dropped every message and queue of it.
struct Handle {
    rk: *mut sys::rd_kafka_t,
}

// SAFETY: librdkafka's handles may be used from any thread. Our wrappers move between threads whole and are used
// from one at a time (`&mut self`), so the callbacks' state is never shared.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: `rk` came from rd_kafka_new and is destroyed only here.
        unsafe { sys::rd_kafka_destroy(self.rk) };
    }
}

/// State that our callbacks reach through librdkafka's opaque pointer while we reach it through this. Both sides only
/// ever make a shared reference, so `T` changes behind `Cell` and `RefCell`. It is an allocation of its own and not a
/// `Box`: a box asserts, whenever it is moved or used, that nobody else has a pointer into it.
struct Opaque<T>(NonNull<T>);

impl<T> Opaque<T> {
    fn new(state: T) -> Opaque<T> {
        Opaque(NonNull::from(Box::leak(Box::new(state))))
    }

    /// What librdkafka hands to the callbacks.
    fn pointer(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }
}

impl<T> Deref for Opaque<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: made by `new`, freed only in `drop`, and no `&mut T` is ever made.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Opaque<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came out of a box in `new` and is given back once. Whoever owns this and a handle drops
        // the handle first (field order), and no callback runs after `rd_kafka_destroy`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Makes a handle. `opaque` reaches the callbacks and must outlive the handle; `prepare` sets callbacks.
fn create(
    kind: sys::rd_kafka_type_t,
    properties: &BTreeMap<String, String>,
    opaque: *mut c_void,
    prepare: impl FnOnce(*mut sys::rd_kafka_conf_t),
) -> Result<Handle, FatalError> {
    let mut config = ClientConfig::new();
    for (name, value) in properties {
        config.set(name, value);
    }
    let native = config
        .create_native_config()
        .map_err(|error| FatalError::Kafka(error.to_string()))?;
    let conf = native.ptr();
    let mut text = [0 as c_char; 512];
    // SAFETY: `conf` is a live configuration. rd_kafka_new takes it over on success only, so it is forgotten on
    // success and dropped by its owner on failure. `text` is as long as said.
    unsafe {
        sys::rd_kafka_conf_set_opaque(conf, opaque);
        sys::rd_kafka_conf_set_log_cb(conf, Some(on_log));
        prepare(conf);
        let rk = sys::rd_kafka_new(kind, conf, text.as_mut_ptr(), text.len());
        if rk.is_null() {
            let message = CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned();
            return Err(FatalError::Kafka(message));
        }
        std::mem::forget(native);
        let handle = Handle { rk };
        if properties.iter().any(is_oauth) {
            // Calls that block (transactions, the close of a consumer) would keep a token from being renewed on this
            // thread: librdkafka's background thread does it then.
            take_error(sys::rd_kafka_sasl_background_callbacks_enable(rk))
                .map_err(|error| FatalError::Kafka(format!("SASL: {}", error.message)))?;
        }
        Ok(handle)
    }
}

fn is_oauth((name, value): (&String, &String)) -> bool {
    matches!(name.as_str(), "sasl.mechanism" | "sasl.mechanisms")
        && value.eq_ignore_ascii_case("OAUTHBEARER")
}

fn code(error: sys::rd_kafka_resp_err_t) -> Option<RDKafkaErrorCode> {
    (error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
}

fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and every text that librdkafka hands out ends with NUL.
    unsafe { CStr::from_ptr(pointer).to_string_lossy().into_owned() }
}

/// Takes an `rd_kafka_error_t` apart and frees it. Null means no error.
fn take_error(error: *mut sys::rd_kafka_error_t) -> Result<(), ClientError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, owned by us, destroyed once, not used after.
    unsafe {
        let result = ClientError {
            code: sys::rd_kafka_error_code(error).into(),
            message: text(sys::rd_kafka_error_string(error)),
        };
        sys::rd_kafka_error_destroy(error);
        Err(result)
    }
}

/// librdkafka's log lines become ours. Called from librdkafka's own threads.
unsafe extern "C" fn on_log(
    _rk: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    let (facility, line) = (text(facility), text(line));
    match level {
        0..=3 => tracing::warn!(target: "librdkafka", %facility, "{line}"),
        4..=5 => tracing::info!(target: "librdkafka", %facility, "{line}"),
        _ => tracing::debug!(target: "librdkafka", %facility, "{line}"),
    }
}

/// Errors of the client as a whole, kept until somebody asks. Bounded: only the newest few matter.
#[derive(Default)]
struct Errors(Mutex<Vec<ClientError>>);

impl Errors {
    const KEPT: usize = 16;

    fn push(&self, error: ClientError) {
        if let Ok(mut errors) = self.0.lock() {
            if errors.len() == Self::KEPT {
                errors.remove(0);
            }
            errors.push(error);
        }
    }

    fn take(&self) -> Vec<ClientError> {
        self.0
            .lock()
            .map(|mut errors| std::mem::take(&mut *errors))
            .unwrap_or_default()
    }
}
