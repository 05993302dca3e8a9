//! The contract: what a record must be. Input: a record's value bytes. Output: an event of the contract's schema, or
//! a [`RecordError`](crate::error::RecordError). Knows nothing of topics, partitions or offsets.

pub mod cache;
pub mod compat;
pub mod decimal;
pub mod decode;
pub mod default;
pub mod drift;
pub mod encode;
pub mod json;
mod parse;
pub mod path;
pub mod plan;
pub mod registry;
mod render;
pub mod resolve;
pub mod rules;
pub mod schema;
pub(crate) mod utc;
pub mod value;
pub mod varint;
pub mod view;
pub mod wire;

#[cfg(test)]
pub(crate) mod arbitrary;
