//! What is remembered, on disk, so that it need not fit into memory: the entries of each part of the window as a sorted file (`run`)
//! with a filter in memory. A part is forgotten as a whole, and so is its file; nothing is ever changed in place.
//!
//! The state topic is the truth, and a file is a copy of what was read or written there. A `manifest` says which files there are and
//! up to which block of the topic they have everything; what it does not name, or is not as it says, is thrown away and read again.

pub mod filter;
pub mod folder;
pub mod manifest;
pub mod run;
