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
//! - [`in_process`]: a pipeline inside a program, without Kafka.
//! - [`control`]: what operators ask of a running group: pause, resume.
//! - [`profile`]: what the fields of records look like, and what differs from a baseline.
//! - [`worker`]: the poll loop.
//! - [`build`], [`instance`]: from the configuration to compiled pipelines, and to a running instance.
//! - [`native`]: librdkafka's C interface, the only unsafe code.
//! - [`metrics`], [`health`], [`admin`], [`telemetry`], [`failure_log`], [`status`], [`alerts`]: what is seen from
//!   outside.
//! - [`embedded`]: an in-process broker and registry for the demo and the tests.
//! - [`demo`], [`produce`]: the demo's story, and rows of CSV or JSON lines as records.
//! - [`explain`]: a record's bytes, value by value.
//! - [`dlq`]: dead letters, read, counted and sent back.
//! - [`trial`]: one record through a pipeline without a broker, held against what a case expects.
//! - [`scan`], [`audit`], [`compare`], [`drift`]: ranges of topics read from beside; whether every record has its outcome; two
//!   topics by key; values against a baseline.
//! - [`bench`]: the end-to-end benchmark, beside a plain passthrough.
//! - [`review`]: registration and review of schemas.
//! - [`cli`]: one file per command.
//!
//! [`record`], [`headers`] and [`error`] are the words all of them share.
//!
//! # In a program
//!
//! The library is usable without the binary. [`InProcess`] runs a pipeline in the caller's thread, without Kafka and
//! without a registry; a step that expressions cannot say is written in Rust and registered with [`Natives`]. What such a
//! step may do (threads, errors, memory, panics) is said in [`transform::native`].
//!
//! ```
//! use driftgate::InProcess;
//! use driftgate::transform::native::{
//!     Bound, EventType, Input, Native, NativeError, Output, Params, Refusal,
//! };
//! use serde_json::json;
//!
//! /// `native: { name: initials }`: the first letters of a name.
//! struct Initials;
//!
//! impl Native for Initials {
//!     fn bind(&self, _: &EventType<'_>, params: &Params<'_>) -> Result<Bound, Refusal> {
//!         params.only(&[])?;
//!         Ok(Bound::new(|| initials).reads("name").writes("initials", "string"))
//!     }
//! }
//!
//! fn initials<'a>(input: &Input<'_, 'a>, output: &mut Output<'a>) -> Result<(), NativeError> {
//!     let name = input.get(0).text().ok_or(NativeError::record("no text").at("name"))?;
//!     let letters: String = name.split_whitespace().filter_map(|word| word.chars().next()).collect();
//!     output.set_text(0, &letters);
//!     Ok(())
//! }
//!
//! let mut pipeline = InProcess::builder("people")
//!     .contract(r#"{"type": "record", "name": "Person", "fields": [{"name": "name", "type": "string"}]}"#)
//!     .sink(r#"{"type": "record", "name": "Person", "fields": [{"name": "initials", "type": "string"}]}"#)
//!     .steps("- native: { name: initials }\n- drop: [name]")
//!     .native("initials", Initials)
//!     .build()?;
//! let ended = pipeline.process_json(&json!({"name": "Ada Lovelace"}))?;
//! assert_eq!(ended.output(), Some(json!({"initials": "AL"})));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With Kafka, [`instance::Instance::with_natives`] runs what `driftgate run` runs; `examples/native-step` is such a program.

pub mod admin;
pub mod alerts;
pub mod audit;
pub mod bench;
mod beside;
pub mod build;
pub mod cli;
pub mod compare;
pub mod config;
pub mod contract;
pub mod control;
pub mod demo;
pub mod dlq;
pub mod drift;
pub mod embedded;
pub mod emit;
pub mod error;
pub mod explain;
pub mod expr;
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
pub mod profile;
mod quiet;
pub mod record;
pub mod review;
pub mod scan;
pub mod state;
pub mod status;
pub mod telemetry;
pub mod transform;
pub mod trial;
mod words;
pub mod worker;

pub use in_process::InProcess;
pub use transform::native::Natives;
