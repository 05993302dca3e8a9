//! The commands, one file each.

pub mod schema;
//! The commands, one file each. They turn arguments into calls and results into exit codes; `anyhow` ends here.
pub mod flow;
pub mod init;
pub mod produce;
