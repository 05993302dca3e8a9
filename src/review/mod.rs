//! The reviewed schema files and the registry. Input: `.avsc` files as they stand in the repository. Output: what is
//! registered, in an order in which every reference exists; and whether a file goes with the versions before it. Knows nothing of records and topics.

pub mod check;
pub mod files;
mod names;
pub mod register;
