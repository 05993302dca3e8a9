//! Field paths and exact numbers, which expressions, rules and steps share.

pub mod functions;
pub mod number;
pub mod path;
#[cfg(test)]
pub(crate) mod testing;
