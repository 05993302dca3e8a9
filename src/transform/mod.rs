//! The steps of a pipeline, one file each. Input: an event of the contract's schema. Output: an event of
//! [`Transform::output`], or "filtered", or a lookup that the caller answers. Pure: the HTTP client of
//! [`lookup::LookupClient`] is driven by the caller, between [`Transform::run`] and [`Transform::resume`]. Knows
//! nothing of topics and partitions.
//!
//! The type flows through the steps: each is compiled against the schema that the one before it leaves.

mod cast;
mod convert;
mod drop;
mod filter;
mod later;
pub mod lookup;
mod map_values;
mod mask;
mod rename;
mod set;
mod shape;
mod sink;
#[cfg(test)]
mod tests;

pub use lookup::{LookupClient, LookupSpec};
pub use sink::{check_sink, sink_resolution};

use crate::config::fault::Fault;
use crate::config::model::Step;
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use crate::error::RecordError;
use std::collections::BTreeSet;
use std::path::Path;

/// The compiled steps of a pipeline.
#[derive(Debug)]
pub struct Transform {
    input: Schema,
    steps: Vec<Compiled>,
    lookups: Vec<LookupSpec>,
    /// Steps of the configuration's list that run before these.
    before: usize,
}

#[derive(Debug)]
struct Compiled {
    kind: &'static str,
    action: Action,
    output: Schema,
}

#[derive(Debug)]
enum Action {
    Set(set::Set),
    Filter(filter::Filter),
    Mask(mask::Masking),
    Rename,
    Drop(drop::Drop),
    Cast(Vec<cast::Cast>),
    MapValues(map_values::Table),
    /// Index into [`Transform::lookups`].
    Lookup(usize),
}

/// Where an event stands.
#[derive(Debug, PartialEq)]
pub enum Progress {
    /// All steps are done.
    Done(Value),
    /// A filter did not keep it.
    Filtered,
    /// A lookup has to be made first.
    Lookup(PendingLookup),
}

/// An event that waits for an answer.
#[derive(Debug, PartialEq)]
pub struct PendingLookup {
    /// What to ask, filled in. It holds values of the event: never log it.
    pub url: String,
    /// Index into [`Transform::lookups`].
    pub lookup: usize,
    event: Value,
    step: usize,
}

/// What compiling a step leaves: the type after it, and what could not be typed.
struct Outcome<T> {
    /// `None` when there are faults.
    compiled: Option<T>,
    /// The type after the step, as well as it is known.
    output: Schema,
    /// New fields whose type is unknown because of a fault: later complaints about them would only mislead.
    untyped: Vec<String>,
}

impl Transform {
    /// Compiles the steps against the contract's schema. `schemas` reads the schema files that lookups name.
    pub fn compile(
        steps: &[Step],
        input: &Schema,
        schemas: &dyn Fn(&Path) -> Result<Schema, String>,
    ) -> Result<Transform, Vec<Fault>> {
        let mut transform = Transform {
            input: input.clone(),
            steps: Vec::with_capacity(steps.len()),
            lookups: Vec::new(),
            before: 0,
        };
        let mut current = input.clone();
        let mut faults = Vec::new();
        let mut untyped = BTreeSet::new();
        for step in steps {
            let mut found = Vec::new();
            let outcome = transform.step(step, &current, schemas, &mut found);
            faults.extend(found.into_iter().filter(|fault| {
                let root = fault.text.split(['.', '[']).next().unwrap_or_default();
                !untyped.contains(root)
            }));
            untyped.extend(outcome.untyped);
            current = outcome.output.clone();
            if later::is(step) {
                // What it would have left is unknown: every complaint after it would only mislead.
                break;
            }
            if let Some((kind, action)) = outcome.compiled {
                transform.steps.push(Compiled {
                    kind,
                    action,
                    output: outcome.output,
                });
            }
        }
        match faults.is_empty() {
            true => Ok(transform),
            false => Err(faults),
        }
    }

    /// The same, whose first step is called by another number than 1: so many are in front of it.
    #[must_use]
    pub fn numbered_after(mut self, before: usize) -> Transform {
        self.before = before;
        self
    }

    fn step(
        &mut self,
        step: &Step,
        input: &Schema,
        schemas: &dyn Fn(&Path) -> Result<Schema, String>,
        faults: &mut Vec<Fault>,
    ) -> Outcome<(&'static str, Action)> {
        match step {
            Step::Set(entries) => set::compile(entries, input, faults).named("set", Action::Set),
            Step::Filter(text) => {
                filter::compile(text, input, faults).named("filter", Action::Filter)
            }
            Step::Mask { field, with } => {
                mask::compile(field, with, input, faults).named("mask", Action::Mask)
            }
            Step::Rename(entries) => {
                rename::compile(entries, input, faults).named("rename", |()| Action::Rename)
            }
            Step::Drop(fields) => drop::compile(fields, input, faults).named("drop", Action::Drop),
            Step::Cast(entries) => {
                cast::compile(entries, input, faults).named("cast", Action::Cast)
            }
            Step::MapValues(config) => {
                map_values::compile(config, input, faults).named("map_values", Action::MapValues)
            }
            Step::Lookup(config) => {
                let outcome = lookup::compile(config, input, schemas, faults);
                outcome.named("lookup", |spec| {
                    self.lookups.push(spec);
                    Action::Lookup(self.lookups.len() - 1)
                })
            }
            Step::Move(_)
            | Step::Keep(_)
            | Step::Default(_)
            | Step::Flatten { .. }
            | Step::Nest { .. }
            | Step::Explode { .. }
            | Step::Header(_)
            | Step::Key(_)
            | Step::Timestamp(_)
            | Step::Route(_) => {
                faults.extend(later::refuse(step));
                Outcome::failed(input.clone())
            }
        }
    }

    /// The type after the last step.
    pub fn output(&self) -> &Schema {
        self.steps.last().map_or(&self.input, |step| &step.output)
    }

    /// The type before the first step and after each: "contract", "step 1 (set)", …
    pub fn types(&self) -> impl Iterator<Item = (String, &Schema)> {
        let steps = self.steps.iter().enumerate();
        std::iter::once(("contract".to_owned(), &self.input))
            .chain(steps.map(|(index, step)| (step.name(self.before + index), &step.output)))
    }

    /// The lookups, in the order of their steps.
    pub fn lookups(&self) -> &[LookupSpec] {
        &self.lookups
    }

    /// Runs the steps, up to the first lookup.
    pub fn run(&self, event: Value) -> Result<Progress, RecordError> {
        self.run_from(0, event)
    }

    /// Goes on behind a lookup with its answer; `None` is a 404. The answer must be a value of the lookup's
    /// [`LookupSpec::answer`].
    pub fn resume(
        &self,
        pending: PendingLookup,
        answer: Option<Value>,
    ) -> Result<Progress, RecordError> {
        let PendingLookup {
            lookup,
            mut event,
            step,
            ..
        } = pending;
        self.lookups[lookup]
            .fill(&mut event, answer)
            .map_err(|error| self.steps[step].explain(self.before + step, error))?;
        self.run_from(step + 1, event)
    }

    fn run_from(&self, first: usize, mut event: Value) -> Result<Progress, RecordError> {
        for (index, step) in self.steps.iter().enumerate().skip(first) {
            let explain = |error| step.explain(self.before + index, error);
            match &step.action {
                Action::Set(set) => set.apply(&mut event).map_err(explain)?,
                Action::Filter(filter) => {
                    if !filter.keeps(&event).map_err(explain)? {
                        return Ok(Progress::Filtered);
                    }
                }
                Action::Mask(masking) => masking.apply(&mut event),
                Action::Rename => {}
                Action::Drop(drop) => drop.apply(&mut event),
                Action::Cast(casts) => {
                    for cast in casts {
                        cast.apply(&mut event).map_err(explain)?;
                    }
                }
                Action::MapValues(table) => table.apply(&mut event).map_err(explain)?,
                Action::Lookup(lookup) => {
                    let url = self.lookups[*lookup].url(&event).map_err(explain)?;
                    return Ok(Progress::Lookup(PendingLookup {
                        url,
                        lookup: *lookup,
                        event,
                        step: index,
                    }));
                }
            }
        }
        Ok(Progress::Done(event))
    }
}

impl Compiled {
    fn name(&self, index: usize) -> String {
        format!("step {} ({})", index + 1, self.kind)
    }

    fn explain(&self, index: usize, error: RecordError) -> RecordError {
        RecordError {
            message: format!("{}: {}", self.name(index), error.message),
            ..error
        }
    }
}

impl<T> Outcome<T> {
    /// A step that leaves this type.
    fn new(compiled: T, output: Schema) -> Outcome<T> {
        Outcome {
            compiled: Some(compiled),
            output,
            untyped: Vec::new(),
        }
    }

    /// A step with faults that would have left this type.
    fn failed(output: Schema) -> Outcome<T> {
        Outcome {
            compiled: None,
            output,
            untyped: Vec::new(),
        }
    }

    fn named(
        self,
        kind: &'static str,
        action: impl FnOnce(T) -> Action,
    ) -> Outcome<(&'static str, Action)> {
        Outcome {
            compiled: self.compiled.map(|compiled| (kind, action(compiled))),
            output: self.output,
            untyped: self.untyped,
        }
    }
}
