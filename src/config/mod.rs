//! The configuration: one YAML file, read as written, then validated into [`model::Config`]. Every fault is reported
//! at once, each with its place.

pub mod fault;
pub mod model;
