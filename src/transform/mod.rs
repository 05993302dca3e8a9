//! The steps of a pipeline, one file each. Input: an event in the contract's bytes, with the positions of the fields that
//! somebody needs. Output: events in the sinks' bytes, or "filtered", or questions for lookups that the caller asks. Pure:
//! knows nothing of topics and partitions.
//!
//! The type flows through the steps: each is compiled against the type that the one before it leaves. What they come down
//! to is in `run` (operations that fill registers), `layout` (where each part of the event lies) and `assemble` (putting
//! the output together): a field that no step touches is copied with its neighbours in one run, and one that is set is
//! encoded once. No tree of values is made.

mod append;
mod assemble;
mod attributes;
mod cast;
mod convert;
mod default;
mod drop;
mod explode;
mod filter;
mod flow;
mod layout;
mod leaf;
pub mod lookup;
mod map_values;
mod mask;
pub mod native;
mod passage;
mod rearrange;
mod rename;
mod run;
mod set;
mod shape;
mod sink;
mod steps;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod walk;

pub use append::Buffers;
pub use attributes::Attributes;
pub use lookup::LookupSpec;
pub use sink::check_sink;
pub use steps::{Arm, Builder};

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use assemble::{Origins, Piece};
use explode::Explode;
use passage::Passage;
use run::{Goes, Machine, Op, Source};

use crate::config::fault::Fault;
use crate::config::model::Step;
use crate::contract::resolve::Resolution;
use crate::contract::schema::{NodeId, Schema};
use crate::error::RecordError;
use crate::expr::scope::Secrets;
use crate::expr::{Cx, Expr};

/// The compiled steps of a pipeline.
#[derive(Debug)]
pub struct Transform {
    schema: Schema,
    wanted: Vec<Vec<usize>>,
    origins: Origins,
    /// Before the rules.
    prepare: Vec<Op>,
    stages: Vec<Stage>,
    arms: Vec<CompiledArm>,
    lookups: Vec<Arc<LookupSpec>>,
}

/// A stretch of operations, or what changes the record's way.
#[derive(Debug)]
enum Stage {
    Ops(Vec<Op>),
    Explode(Explode),
    Assign(attributes::Assign),
    Lookup(Ask),
}

/// A lookup in its place.
#[derive(Debug)]
struct Ask {
    /// Index into [`Transform::lookups`].
    lookup: usize,
    /// For each of its fields.
    sources: Vec<Source>,
    /// The answer's type, without null.
    node: NodeId,
    into: u32,
    label: String,
}

/// A sink, and when an event goes there.
#[derive(Debug)]
struct CompiledArm {
    /// `None`: whatever came to no arm before it.
    when: Option<Expr>,
    sink: usize,
    pieces: Vec<Piece>,
    label: String,
}

/// An event for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// Index into the sinks that the steps were compiled for.
    pub sink: usize,
    /// Its frame, then the event in the sink's bytes.
    pub value: Vec<u8>,
    /// What it has otherwise than the source record, if anything.
    pub attributes: Option<Box<Attributes>>,
    /// Which of the record's outputs it is, if that was exploded.
    pub index: Option<usize>,
}

/// A question that has to be answered before the record can go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Index into [`Transform::lookups`].
    pub lookup: usize,
    /// What to ask. It holds values of the event: never log it.
    pub text: String,
}

/// Answers to questions: the bytes of the lookup's type, `None` where nothing was found.
pub type Answers = HashMap<Question, Result<Option<lookup::Bytes>, RecordError>>;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It goes to a sink.
    Done(Emitted),
    /// It became several, each with its index; at least one.
    Exploded(Vec<Emitted>),
    /// No filter kept any of it.
    Filtered,
    /// These must be asked; the event is run again with the answers.
    Ask(Vec<Question>),
}

impl Transform {
    /// Steps by themselves, whose output is of the type that they leave: for programs and tests. `schemas` reads the schema
    /// files that lookups name.
    pub fn compile(
        steps: &[Step],
        contract: &Schema,
        schemas: &dyn Fn(&Path) -> Result<Schema, String>,
    ) -> Result<Transform, Vec<Fault>> {
        let mut builder = Builder::new(contract, Secrets::default());
        builder.rules_here();
        builder.steps(steps, schemas)?;
        let output = builder.output();
        let arm = Arm {
            when: None,
            sink: 0,
            schema: &output,
            resolution: Resolution::compile(&output, &output).expect("a type reads itself"),
        };
        builder.finish(&[arm])
    }

    /// Every type that the steps or the rules met; the nodes that their expressions name.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The fields of the contract's schema whose positions are needed, for its plan.
    pub fn wanted(&self) -> &[Vec<usize>] {
        &self.wanted
    }

    /// How many registers a [`Cx`] must have.
    pub fn registers(&self) -> usize {
        self.origins.0.len()
    }

    /// The lookups, in the order of their steps.
    pub fn lookups(&self) -> &[Arc<LookupSpec>] {
        &self.lookups
    }

    /// Runs the steps before the rules; `false` when one of them filtered the event. Must come first: it also puts in
    /// place what the rules look at.
    pub fn prepare<'a>(
        &'a self,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<bool, RecordError> {
        buffers.begin();
        let mut machine = Machine {
            cx,
            origins: &self.origins,
            buffers,
        };
        Ok(machine.run(&self.prepare)? == Goes::On)
    }

    /// Runs the steps after the rules. Each output begins with the frame of its sink.
    pub fn run<'a>(
        &'a self,
        cx: &mut Cx<'a>,
        answers: &Answers,
        frames: &[Vec<u8>],
        buffers: &mut Buffers,
    ) -> Result<Progress, RecordError> {
        Passage::new(self, answers, frames).run(cx, buffers)
    }
}
