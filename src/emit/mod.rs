//! Writing: what was handed to the producer and waits for its acknowledgement.

pub mod in_flight;
