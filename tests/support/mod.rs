//! What the integration tests stand on: a real Kafka and real schema registries that they may stop, restart and kill, a
//! TCP proxy that fails on command, topics to write and read, and waiting with a deadline.
//!
//! `make test` fetches the real parts and starts shared ones; without them a test calls [`skip()`] by way of the
//! constructors here, says so loudly and passes, except where `CI=true`: there it fails.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test program compiles this module and uses its own part of it"
)]

pub mod acl;
pub mod bed;
pub mod certificates;
pub mod cluster;
pub mod hook;
pub mod http;
pub mod job;
pub mod kafka;
pub mod live;
pub mod lookup;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod registry;
pub mod scram;
pub mod skip;
pub mod topics;
pub mod wait;

pub use bed::{Bed, Environment};
pub use cluster::Cluster;
pub use hook::Hook;
pub use job::{Job, Runner, Shape};
pub use kafka::{Login, Options, RealKafka, SecureKafka};
pub use lookup::{LookupServer, Reply, ScriptedServer};
pub use proxy::Proxy;
pub use registry::{Kind, Registry};
pub use skip::skip;
pub use wait::eventually;

use std::sync::atomic::{AtomicU32, Ordering};

/// The bootstrap servers of the Kafka that `make test` shares among the tests; `None`, and a skip, without it.
pub fn kafka() -> Option<String> {
    let shared = std::env::var("DRIFTGATE_TEST_KAFKA").ok();
    if shared.is_none() {
        skip("no shared Kafka: `make test` starts one");
    }
    shared
}

/// A name that no other test, run or process uses: for topics, groups and subjects on shared servers.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let run = uuid::Uuid::new_v4().simple().to_string();
    format!("{name}-{}-{next}", &run[..8])
}
