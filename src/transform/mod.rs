//! The steps of a pipeline, one file each. Input: an event in the contract's bytes, with the positions of the fields that
//! somebody needs. Output: events in the sinks' bytes, or "filtered", or questions for lookups that the caller asks. Pure:
//! knows nothing of topics and partitions.
//!
//! The type flows through the steps: each is compiled against the type that the one before it leaves. What they come down
//! to is in `run` (operations that fill registers), `layout` (where each part of the event lies) and `assemble` (putting
//! the output together): a field that no step touches is copied with its neighbours in one run, and one that is set is
//! encoded once. No tree of values is made.

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

pub use assemble::Buffers;
pub use attributes::Attributes;
pub use lookup::LookupSpec;
pub use sink::check_sink;
pub use steps::{Arm, Builder};

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use assemble::{Origins, Piece, assemble};
use explode::Explode;
use run::{Goes, Machine, Op, Source, find};

use crate::config::fault::Fault;
use crate::config::model::Step;
use crate::contract::resolve::Resolution;
use crate::contract::schema::{NodeId, Schema};
use crate::contract::view;
use crate::error::{Reason, RecordError};
use crate::expression::scope::Secrets;
use crate::expression::value::read;
use crate::expression::{Cx, Expr, Val};

/// What one record may explode into, in bytes of output: an array of a thousand elements repeats the rest of its record a
/// thousand times.
const EXPLODED: usize = 32 * 1024 * 1024;

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
    /// What it has otherwise than the source record.
    pub attributes: Attributes,
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
    /// It goes to sinks: to one, but for an event that was exploded.
    Done(Vec<Emitted>),
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
        let mut run = Run {
            transform: self,
            answers,
            frames,
            outputs: Vec::new(),
            questions: Vec::new(),
            asked: HashSet::new(),
            exploded: false,
            size: 0,
        };
        run.from(0, &Attributes::default(), cx, buffers)?;
        Ok(match (run.questions.is_empty(), run.outputs.is_empty()) {
            (false, _) => Progress::Ask(run.questions),
            (true, true) => Progress::Filtered,
            (true, false) => Progress::Done(run.outputs),
        })
    }
}

struct Run<'r, 'a> {
    transform: &'a Transform,
    answers: &'r Answers,
    frames: &'r [Vec<u8>],
    outputs: Vec<Emitted>,
    questions: Vec<Question>,
    /// The same, to find them.
    asked: HashSet<Question>,
    exploded: bool,
    size: usize,
}

impl<'a> Run<'_, 'a> {
    fn from(
        &mut self,
        first: usize,
        attributes: &Attributes,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<(), RecordError> {
        let transform = self.transform;
        let mut changed = None;
        for (at, stage) in transform.stages.iter().enumerate().skip(first) {
            match stage {
                Stage::Ops(ops) => {
                    let mut machine = Machine {
                        cx,
                        origins: &transform.origins,
                        buffers,
                    };
                    if machine.run(ops)? == Goes::Filtered {
                        return Ok(());
                    }
                }
                Stage::Assign(assign) => {
                    assign.apply(cx, changed.get_or_insert_with(|| attributes.clone()))?;
                    buffers.charge_expression(cx)?;
                }
                Stage::Explode(explode) => {
                    let attributes = changed.as_ref().unwrap_or(attributes);
                    return self.explode(explode, at + 1, attributes, cx, buffers);
                }
                Stage::Lookup(ask) => {
                    if !self
                        .ask(ask, cx)
                        .map_err(|error| run::within(&ask.label, error))?
                    {
                        return Ok(());
                    }
                }
            }
        }
        self.emit(changed.unwrap_or_else(|| attributes.clone()), cx, buffers)
    }

    fn explode(
        &mut self,
        explode: &'a Explode,
        next: usize,
        attributes: &Attributes,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<(), RecordError> {
        let failed = |why: String| RecordError::new(Reason::TransformFailed, why);
        self.exploded = true;
        let mut one = |run: &mut Self, value: Val<'a>, cx: &mut Cx<'a>| {
            buffers.charge(cx, 0)?;
            cx.registers[explode.into as usize] = value;
            run.from(next, attributes, cx, buffers)
        };
        match find(cx, &explode.source)? {
            Val::Null => {}
            Val::List(items) => {
                for item in items {
                    one(self, *item, cx)?;
                }
            }
            Val::Avro(node, bytes) => {
                let broken = |_| assemble::broken();
                let mut elements =
                    view::Elements::new(cx.schema, node, bytes, 0).map_err(broken)?;
                while let Some(element) = elements.next().map_err(broken)? {
                    let (value, _) =
                        read(cx.schema, explode.element, bytes, element.start).map_err(failed)?;
                    one(self, value, cx)?;
                }
            }
            _ => return Err(assemble::broken()),
        }
        Ok(())
    }

    /// Puts the answer in its place, or notes the question: `false`.
    fn ask(&mut self, ask: &'a Ask, cx: &mut Cx<'a>) -> Result<bool, RecordError> {
        let spec = &self.transform.lookups[ask.lookup];
        let mut failed = None;
        let mut sources = ask.sources.iter();
        let text = spec.question(&mut |_| {
            let found = sources.next().map(|source| find(cx, source));
            match found {
                Some(Ok(value)) => lookup::piece(value),
                Some(Err(error)) => {
                    failed = Some(error);
                    lookup::Piece::Null
                }
                None => lookup::Piece::Null,
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let answer = match text? {
            None => spec.when_missing()?,
            Some(text) => {
                let question = Question {
                    lookup: ask.lookup,
                    text,
                };
                match self.answers.get(&question) {
                    Some(Ok(Some(bytes))) => Some(bytes.clone()),
                    Some(Ok(None)) => spec.when_missing()?,
                    Some(Err(error)) => return Err(error.clone()),
                    None => {
                        if self.asked.insert(question.clone()) {
                            self.questions.push(question);
                        }
                        return Ok(false);
                    }
                }
            }
        };
        cx.registers[ask.into as usize] = match answer {
            None => Val::Null,
            Some(bytes) => Val::Avro(ask.node, cx.arena.alloc_slice_copy(&bytes)),
        };
        Ok(true)
    }

    fn emit(
        &mut self,
        attributes: Attributes,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<(), RecordError> {
        for arm in &self.transform.arms {
            if let Some(when) = &arm.when
                && !when
                    .eval_bool(cx)
                    .map_err(|error| run::within(&arm.label, error))?
            {
                buffers.charge_expression(cx)?;
                continue;
            }
            let frame = &self.frames[arm.sink];
            // Many small outputs of a large record must not each reserve its size.
            let likely = if self.exploded { 0 } else { cx.bytes.len() };
            let mut value = Vec::with_capacity(likely + frame.len() + 64);
            value.extend_from_slice(frame);
            assemble(
                &arm.pieces,
                cx,
                &self.transform.origins,
                buffers,
                &mut value,
            )?;
            self.size += value.len() + attributes.size();
            buffers.charge(cx, value.len())?;
            if self.exploded && self.size > EXPLODED {
                let message = format!("the record explodes into more than {EXPLODED} bytes");
                return Err(RecordError::new(Reason::TransformFailed, message));
            }
            let index = self.exploded.then_some(self.outputs.len());
            self.outputs.push(Emitted {
                sink: arm.sink,
                value,
                attributes,
                index,
            });
            return Ok(());
        }
        unreachable!("the last arm takes what is left")
    }
}
