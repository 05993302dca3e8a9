//! What the demo and the tests run against instead of servers: all in this process, on loopback.

pub mod broker;
pub mod registry;
