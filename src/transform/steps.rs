//! Compiles the steps of a pipeline, in order, into a [`Transform`]. Faults are collected: what follows a step with a fault
//! is checked against the type that the step would have left, as well as that is known.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::assemble::{Origins, Target};
use super::flow::{Flow, Frame};
use super::layout::Layout;
use super::native::Natives;
use super::run::Op;
use super::{
    Ask, CompiledArm, LookupSpec, Stage, Transform, attributes, cast, default, drop, explode,
    filter, lookup, map_values, mask, native, rearrange, rename, set, shape,
};
use crate::config::fault::Fault;
use crate::config::model::{Placed, Step};
use crate::contract::resolve::Resolution;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::expr::Expr;
use crate::expr::path;
use crate::expr::scope::{Event, Scope, Secrets};

/// Steps on their way to a [`Transform`].
#[derive(Debug)]
pub struct Builder {
    flow: Flow,
    stages: Vec<Stage>,
    /// What is done before the rules, once it is known where they stand.
    prepare: Option<Vec<Op>>,
    /// The event as the rules see it.
    at_rules: Option<(NodeId, Layout)>,
    lookups: Vec<Arc<LookupSpec>>,
    natives: Natives,
    types: Vec<(String, NodeId)>,
    /// Names that were to be new and have no type because of a fault: later complaints about them would only mislead.
    untyped: BTreeSet<String>,
    steps: usize,
}

/// A sink that events go to.
#[derive(Debug)]
pub struct Arm<'a> {
    /// When; `None` for whatever came to no arm before it. The last has none.
    pub when: Option<&'a Placed<String>>,
    /// Index into the pipeline's sinks.
    pub sink: usize,
    /// The sink's schema.
    pub schema: &'a Schema,
    /// From the last step's type to it.
    pub resolution: Resolution,
}

impl Builder {
    /// No steps yet.
    pub fn new(contract: &Schema, secrets: Secrets) -> Builder {
        let flow = Flow::new(contract, secrets);
        Builder {
            types: vec![("contract".to_owned(), flow.root())],
            flow,
            stages: Vec::new(),
            prepare: None,
            at_rules: None,
            lookups: Vec::new(),
            natives: Natives::default(),
            untyped: BTreeSet::new(),
            steps: 0,
        }
    }

    /// The same, with the native steps that the program has.
    #[must_use]
    pub fn with_natives(mut self, natives: &Natives) -> Builder {
        self.natives = natives.clone();
        self
    }

    /// Adds steps. `schemas` reads the schema files that lookups name.
    pub fn steps(
        &mut self,
        steps: &[Step],
        schemas: &dyn Fn(&Path) -> Result<Schema, String>,
    ) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        let top = &self.flow.schema.node(self.flow.root()).kind;
        if !steps.is_empty() && !matches!(top, Kind::Record(_)) {
            let found = self.flow.schema.describe(self.flow.root());
            let message = format!("steps change fields, and the event has none: it is {found}");
            return Err(vec![Fault::of_file("contract", message)]);
        }
        for step in steps {
            self.steps += 1;
            let mut found = Vec::new();
            self.flow.label = format!("step {} ({})", self.steps, kind(step));
            let untyped = self.step(step, schemas, &mut found);
            for fault in found {
                let root = fault.text.split(['.', '[']).next().unwrap_or_default();
                if !self.untyped.contains(root) {
                    faults.push(match self.gone(&fault) {
                        Some(step) => fault.hint(format!("{step} took it away")),
                        None => fault,
                    });
                }
            }
            self.untyped.extend(untyped);
            let label = std::mem::take(&mut self.flow.label);
            self.types.push((label, self.flow.root()));
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(faults),
        }
    }

    /// The step since which the field is no more that a fault is about, if it was there before.
    fn gone(&self, fault: &Fault) -> Option<String> {
        let text = Placed {
            value: fault.text.clone(),
            place: fault.place.clone(),
        };
        let schema = &self.flow.schema;
        let there = |root: NodeId| path::Path::resolve_from(schema, root, &text).is_ok();
        if there(self.flow.root()) {
            return None;
        }
        let last = self.types.iter().rposition(|(_, root)| there(*root))?;
        self.types.get(last + 1).map(|(step, _)| step.clone())
    }

    fn step(
        &mut self,
        step: &Step,
        schemas: &dyn Fn(&Path) -> Result<Schema, String>,
        faults: &mut Vec<Fault>,
    ) -> Vec<String> {
        let flow = &mut self.flow;
        match step {
            Step::Set(entries) => return set::compile(entries, flow, faults),
            Step::Filter(text) => filter::compile(text, flow, faults),
            Step::Mask { field, with } => mask::compile(field, with, flow, faults),
            Step::Rename(entries) => rename::compile(entries, flow, faults),
            Step::Drop(fields) => drop::compile(fields, flow, faults),
            Step::Keep(fields) => drop::keep(fields, flow, faults),
            Step::Move(entries) => rearrange::movement(entries, flow, faults),
            Step::Flatten {
                field,
                prefix,
                separator,
            } => rearrange::flatten(field, prefix.as_deref(), separator, flow, faults),
            Step::Nest { into, fields } => rearrange::nest(into, fields, flow, faults),
            Step::Cast(entries) => cast::compile(entries, flow, faults),
            Step::Default(entries) => default::compile(entries, flow, faults),
            Step::MapValues(config) => map_values::compile(config, flow, faults),
            Step::Header(entries) => {
                let assigns = attributes::headers(entries, flow, faults);
                assigns.into_iter().for_each(|assign| self.assign(assign));
            }
            Step::Key(text) => {
                let assign = attributes::key(text, flow, faults);
                assign.into_iter().for_each(|assign| self.assign(assign));
            }
            Step::Timestamp(text) => {
                let assign = attributes::timestamp(text, flow, faults);
                assign.into_iter().for_each(|assign| self.assign(assign));
            }
            Step::Explode { field, into } => {
                let explode = explode::compile(field, into.as_ref(), flow, faults);
                self.flush();
                self.stages.extend(explode.map(Stage::Explode));
            }
            Step::Lookup(config) => {
                let input = self.flow.output();
                match lookup::compile(config, &input, schemas, faults) {
                    Some(spec) => self.lookup(spec),
                    None => return vec![config.into.value.clone()],
                }
            }
            Step::Native(config) => native::compile(config, &self.natives, flow, faults),
            // The arms are compiled when the sinks are known.
            Step::Route(_) => {}
        }
        Vec::new()
    }

    fn assign(&mut self, assign: attributes::Assign) {
        self.flow.settle();
        self.flush();
        self.stages.push(Stage::Assign(assign));
    }

    fn lookup(&mut self, spec: LookupSpec) {
        let flow = &mut self.flow;
        let mut sources = Vec::new();
        flow.inside((&[], ""), false, |flow, frame| {
            for field in spec.fields() {
                let node = flow.node_at(frame.node, &field.positions);
                sources.push(flow.source(frame, &field.positions, node));
            }
        });
        let node = shape::import(&mut flow.schema, &spec.answer);
        let declared = match spec.missing == lookup::Missing::Null {
            true => crate::expr::types::nullable(&mut flow.schema, node),
            false => node,
        };
        let into = flow.register(&spec.into);
        flow.inside((&[], ""), false, |flow, frame: &mut Frame| {
            flow.parts(frame, &[]).push(Layout::register(into));
            frame.node = shape::appended(&mut flow.schema, frame.node, &spec.into, declared);
        });
        let label = flow.label.clone();
        self.flush();
        self.stages.push(Stage::Lookup(Ask {
            lookup: self.lookups.len(),
            sources,
            node,
            into,
            label,
        }));
        self.lookups.push(Arc::new(spec));
    }

    /// Operations so far become a stage.
    fn flush(&mut self) {
        self.flow.settle();
        let ops = std::mem::take(&mut self.flow.top.ops);
        if !ops.is_empty() {
            self.stages.push(Stage::Ops(ops));
        }
    }

    /// The rules are checked on the event as it stands now.
    pub fn rules_here(&mut self) {
        self.flow.settle();
        self.prepare = Some(std::mem::take(&mut self.flow.top.ops));
        self.at_rules = Some((self.flow.top.node, self.flow.top.layout.clone()));
    }

    /// Runs `with` on the event as the rules see it. What they need is put in place before they are checked.
    pub fn for_rules<R>(&mut self, with: impl FnOnce(&dyn Event) -> R) -> R {
        self.as_the_rules_see(|flow| with(flow))
    }

    /// Compiles the key that copies of an event are known by, or its versions, on the event as the rules see it.
    pub fn common_key(&mut self, text: &Placed<String>) -> Result<Expr, Vec<Fault>> {
        let mut faults = Vec::new();
        let expr = self.as_the_rules_see(|flow| attributes::common_key(text, flow, &mut faults));
        expr.ok_or(faults)
    }

    /// Compiles what says how old an event is among those of its key, in the same way.
    pub fn version(&mut self, text: &Placed<String>) -> Result<Expr, Vec<Fault>> {
        let mut faults = Vec::new();
        let expr = self.as_the_rules_see(|flow| attributes::version(text, flow, &mut faults));
        expr.ok_or(faults)
    }

    /// Compiles what says which source an event is from, on the event as it stands: before any step, on the contract's.
    pub fn source(&mut self, text: &Placed<String>) -> Result<Expr, Vec<Fault>> {
        let mut faults = Vec::new();
        let expr = attributes::source(text, &self.flow, &mut faults);
        expr.ok_or(faults)
    }

    /// Has the contract's plans mark a field, by its positions from the top: the mark's number.
    pub fn mark(&mut self, positions: &[usize]) -> u32 {
        self.flow.mark(positions)
    }

    fn as_the_rules_see<R>(&mut self, with: impl FnOnce(&Flow) -> R) -> R {
        let Some((node, layout)) = self.at_rules.clone() else {
            return with(&self.flow);
        };
        let frame = Frame {
            node,
            layout,
            ops: Vec::new(),
            this: None,
        };
        let top = std::mem::replace(&mut self.flow.top, frame);
        let result = with(&self.flow);
        self.flow.settle();
        let frame = std::mem::replace(&mut self.flow.top, top);
        if let Some(prepare) = &mut self.prepare {
            prepare.extend(frame.ops);
        }
        result
    }

    /// The type after the last step.
    pub fn output(&self) -> Schema {
        shape::extract(&self.flow.schema, self.flow.root())
    }

    /// The type before the first step and after each: "contract", "step 1 (set)", …
    pub fn types(&self) -> impl Iterator<Item = (&str, Schema)> {
        self.types
            .iter()
            .map(|(label, root)| (label.as_str(), shape::extract(&self.flow.schema, *root)))
    }

    /// Checks the condition of an arm of `route`.
    pub fn check_condition(&self, text: &Placed<String>) -> Result<(), Vec<Fault>> {
        let compiled = self.flow.only_looking(|flow| {
            flow.with_scope(Vec::new(), |scope: &Scope<'_>| {
                Expr::compile_condition(text, scope)
            })
        });
        compiled.map(|_| ())
    }

    /// Compiles the outputs. All rules must have been compiled before.
    pub fn finish(mut self, arms: &[Arm<'_>]) -> Result<Transform, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut compiled = Vec::with_capacity(arms.len());
        self.flow.label = match arms {
            [_] => String::new(),
            _ => format!("step {} (route)", self.steps),
        };
        for arm in arms {
            let when = arm.when.map(|text| {
                self.flow
                    .with_scope(Vec::new(), |scope| Expr::compile_condition(text, scope))
            });
            let when = match when.transpose() {
                Ok(when) => when,
                Err(found) => {
                    faults.extend(found);
                    continue;
                }
            };
            let target = Target {
                schema: arm.schema,
                resolution: &arm.resolution,
            };
            let (layout, node) = (&self.flow.top.layout, self.flow.top.node);
            let pieces = self
                .flow
                .assembler(|assembler| assembler.resolved(layout, node, &target));
            compiled.push(CompiledArm {
                when,
                sink: arm.sink,
                pieces,
                label: self.flow.label.clone(),
            });
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.flush();
        let (schema, wanted, origins): (Schema, Vec<Vec<usize>>, Origins) = self.flow.into_parts();
        Ok(Transform {
            schema,
            wanted,
            origins,
            prepare: self.prepare.unwrap_or_default(),
            stages: self.stages,
            arms: compiled,
            lookups: self.lookups,
        })
    }
}

/// The word of a step in the configuration.
fn kind(step: &Step) -> &'static str {
    match step {
        Step::Set(_) => "set",
        Step::Filter(_) => "filter",
        Step::Mask { .. } => "mask",
        Step::Rename(_) => "rename",
        Step::Drop(_) => "drop",
        Step::Keep(_) => "keep",
        Step::Move(_) => "move",
        Step::Flatten { .. } => "flatten",
        Step::Nest { .. } => "nest",
        Step::Cast(_) => "cast",
        Step::Default(_) => "default",
        Step::MapValues(_) => "map_values",
        Step::Header(_) => "header",
        Step::Key(_) => "key",
        Step::Timestamp(_) => "timestamp",
        Step::Explode { .. } => "explode",
        Step::Lookup(_) => "lookup",
        Step::Native(_) => "native",
        Step::Route(_) => "route",
    }
}
