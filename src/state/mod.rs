//! What a source partition and its retry partitions remember of records that are through: `worker/remember` notes and
//! writes, `worker/among` asks. Pure but for `disk` and `local`, which keep what does not fit into memory in files.
//!
//! A key is *noted* with its partition while its record is on its way, and is *seen* once nothing can take that back. What is
//! seen is in the state topic as well, a block of it for each commit, acknowledged before the offsets that lead past it. For `dedup`
//! that a key was there is all that is remembered, for `stale` its newest version.

pub mod block;
pub mod digest;
pub mod disk;
pub mod keys;
pub mod local;
pub mod memory;
pub mod noted;
pub mod seen;
