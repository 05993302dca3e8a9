//! What becomes of a record that failed. Pure: `now` is an argument, nothing is read or written here.

pub mod backoff;
pub mod breaker;
pub mod classify;
pub mod dialect;
pub mod envelope;
pub mod parking;
