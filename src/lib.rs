//! Driftgate reads Kafka topics, holds every record to an Avro contract, transforms it and emits it; what fails for a
//! passing reason goes to retry topics, what can never pass goes to a dead-letter topic.
//!
//! The modules, in the order in which a record meets them:
//!
//! - [`config`]: the YAML file, as written and as validated; every fault with line and column.
//! - [`ingest`]: the consumer, rebalances, and which offset may be committed.
//! - [`contract`]: Confluent framing, the registry, Avro schemas, resolution, rules.
//! - [`expr`]: expressions over an event, checked against its schema.
//! - [`transform`]: the steps, one file each.
//! - [`lookup`]: asks what the lookup steps want to know: HTTP services, and tables kept from topics.
//! - [`emit`]: encoding to the sink's schema and the producer.
//! - [`failure`]: what becomes of an error: retry tier, dead letter, pause.
//! - [`pipeline`]: the one file that names the stages in order.
//! - [`worker`]: the poll loop.
//! - [`build`], [`instance`]: from the configuration to compiled pipelines, and to a running instance.
//! - [`native`]: librdkafka's C interface, the only unsafe code.
//! - [`metrics`], [`health`], [`admin`], [`telemetry`], [`failure_log`], [`status`]: what is seen from outside.
//! - [`embedded`]: an in-process broker and registry for the demo and the tests.
//! - [`demo`], [`produce`]: the demo's story, and rows of CSV or JSON lines as records.
//! - [`explain`]: a record's bytes, value by value.
//! - [`trial`]: one record through a pipeline without a broker, held against what a case expects.
//! - [`review`]: registration and review of schemas.
//! - [`cli`]: one file per command.
//!
//! [`record`], [`headers`] and [`error`] are the words all of them share.

pub mod admin;
pub mod alert;
pub mod build;
pub mod cli;
pub mod config;
pub mod contract;
pub mod demo;
pub mod embedded;
pub mod emit;
pub mod error;
pub mod explain;
pub mod expr;
pub mod expression;
pub mod failure;
pub mod failure_log;
pub mod headers;
pub mod health;
pub mod in_process;
pub mod ingest;
pub mod instance;
pub mod lookup;
pub mod metrics;
pub mod native;
pub mod pipeline;
pub mod produce;
pub mod record;
pub mod review;
pub mod status;
pub mod telemetry;
pub mod transform;
pub mod trial;
pub mod worker;

pub use in_process::InProcess;
pub use transform::native::Natives;
