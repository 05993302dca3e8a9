//! The configuration: one YAML file, read as written, then validated into [`model::Config`]. Every fault is reported
//! at once, each with its place.
//!
//! The way of a file: `tree` (YAML with positions) → `interpolate` → `check` (against `keys`, the one table of keys) →
//! `lower` (the typed model, and what keys mean together).

mod alerts;
mod amend;
pub mod baseline;
pub mod cases;
mod check;
mod dedup;
pub mod diagnose;
pub mod fault;
mod interpolate;
mod kept;
mod keys;
mod load;
mod lower;
pub mod model;
mod origin;
mod ownership;
mod properties;
mod redact;
mod reference;
mod retry;
mod route;
pub mod rules;
pub(crate) mod scalar;
pub mod schema;
pub mod source;
mod stale;
mod steps;
mod topics;
mod tree;
pub mod units;
mod view;

pub use load::{Loaded, load, load_text};
pub use redact::redacted;
pub(crate) use redact::{bare_url, delivery};
pub use reference::reference;
