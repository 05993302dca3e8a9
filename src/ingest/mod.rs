//! Reading: which partitions are ours, where each of them stands, and what may be committed. Knows nothing of contracts
//! or of what a record means.

pub mod assignment;
pub mod offsets;
pub mod properties;
pub mod standing;
pub mod topics;
