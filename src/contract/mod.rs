//! The contract: what a record must be. Input: a record's value bytes. Output: an event of the contract's schema, or
//! a [`RecordError`](crate::error::RecordError). Knows nothing of topics, partitions or offsets.

pub mod rules;
pub mod schema;
pub mod value;
