//! Dead letters, read again: triage and redrive. [`dialect`] reads what the headers say, [`filter`] picks, [`tally`] counts,
//! [`decide`] says what is sent back and with which headers, and [`progress`] what of it may be committed; all of these are
//! pure. [`read`] reads topics to the end that they had at the start, and [`redrive`] sends.
//!
//! Nothing here changes a dead-letter topic: what is sent back stays where it was.

pub mod decide;
pub mod dialect;
pub mod filter;
pub mod progress;
pub mod read;
pub mod redrive;
pub mod send;
pub mod tally;

use crate::quiet::UNSEEN;

/// Why a tool could not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// What was asked for is wrong; asking again gives the same.
    #[error("{0}")]
    Asked(String),
    /// None of these topics is there.
    #[error("there is no topic {}, {UNSEEN}", .0.join(", nor "))]
    Missing(Vec<String>),
    /// A broker could not be reached, or failed.
    #[error("{0}")]
    Unreachable(String),
}
