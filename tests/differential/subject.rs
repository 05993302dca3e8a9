//! What is held against the oracles. Another engine joins by a line in [`ENGINES`]; each must do the same.

use std::cell::RefCell;

use driftgate::contract::decode::{Limits, decode};
use driftgate::contract::encode::encode;
use driftgate::contract::plan::{Plan, Scratch};
use driftgate::contract::resolve::Resolution;
use driftgate::contract::schema::Schema;

/// Why something is refused, as far as the comparison tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A text is no schema.
    Schema,
    /// The pair can never work.
    Pair,
    /// This datum.
    Datum,
}

/// A compiled pair: a datum of the writer → its bytes in the reader's schema.
pub(crate) type Run = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, Refusal>>;

/// Writer and reader schema → how to read.
pub(crate) type Compile = dyn Fn(&str, &str) -> Result<Run, Refusal> + Sync;

/// An engine and its name.
pub(crate) type Engine = (&'static str, &'static Compile);

/// All engines. The first is the one that the mutants break.
pub(crate) const ENGINES: &[Engine] = &[("plan", &plan), ("tree", &tree)];

/// The first engine.
pub(crate) fn engine(writer: &str, reader: &str) -> Result<Run, Refusal> {
    (ENGINES[0].1)(writer, reader)
}

/// What records go through: a compiled plan. Its bytes are read and written again, so that one value has one spelling:
/// a plan keeps the blocks that a writer has made.
pub(crate) fn plan(writer: &str, reader: &str) -> Result<Run, Refusal> {
    let parse = |text| Schema::parse(text, &[]).map_err(|_| Refusal::Schema);
    let (writer, reader) = (parse(writer)?, parse(reader)?);
    let plan = Plan::compile(&writer, &reader, &[]).map_err(|_| Refusal::Pair)?;
    let limits = Limits::default();
    let scratch = RefCell::new(Scratch::default());
    Ok(Box::new(move |bytes| {
        let mut scratch = scratch.borrow_mut();
        let view = plan.run(bytes, &limits, &mut scratch).map_err(|error| {
            match error.message.contains("fault of this program") {
                true => panic!("plan and tree disagree: {error}"),
                false => Refusal::Datum,
            }
        })?;
        let value = decode(&reader, view.bytes, &limits).expect("a plan's bytes are the reader's");
        let mut out = Vec::new();
        encode(&reader, &value, &mut out).expect("and fit it");
        Ok(out)
    }))
}

/// The tree path: decode, resolve, encode.
pub(crate) fn tree(writer: &str, reader: &str) -> Result<Run, Refusal> {
    let parse = |text| Schema::parse(text, &[]).map_err(|_| Refusal::Schema);
    let (writer, reader) = (parse(writer)?, parse(reader)?);
    let resolution = Resolution::compile(&writer, &reader).map_err(|_| Refusal::Pair)?;
    let limits = Limits::default();
    Ok(Box::new(move |bytes| {
        let value = decode(&writer, bytes, &limits).map_err(|_| Refusal::Datum)?;
        let value = resolution.apply(value).map_err(|_| Refusal::Datum)?;
        let mut out = Vec::new();
        encode(&reader, &value, &mut out).map_err(|_| Refusal::Datum)?;
        Ok(out)
    }))
}
