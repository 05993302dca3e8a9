//! A native step as an operation: what it reads are sources, what it writes are registers.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bumpalo::collections::Vec as ArenaVec;

use super::{Bound, EventType, Input, NativeError, Natives, Output, Params, Refusal, Value, Work};
use crate::config::fault::Fault;
use crate::config::model::{NativeStep, Placed};
use crate::contract::decode::{Limits, decode};
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::error::{Reason, RecordError};
use crate::expr::path::suggest;
use crate::expr::value::{read, write};
use crate::expr::{Cx, Val};
use crate::transform::flow::{Flow, Target};
use crate::transform::layout::Layout;
use crate::transform::run::{Op, Source, find, within};
use crate::transform::shape;

/// A native step in its place.
#[derive(Debug)]
pub(in crate::transform) struct Call {
    bound: Arc<Bound>,
    sources: Vec<Source>,
    writes: Vec<Written>,
    /// The step, for errors.
    label: String,
}

/// A field that is written.
#[derive(Debug)]
struct Written {
    path: String,
    /// As a schema of its own.
    declared: Schema,
    /// The same type among those of the steps.
    node: NodeId,
    into: u32,
}

/// The work of one worker, for each step that had a record.
#[derive(Default)]
pub(in crate::transform) struct Works(Vec<(Arc<Bound>, Box<dyn Work>)>);

impl fmt::Debug for Works {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Works").field(&self.0.len()).finish()
    }
}

/// Where a field goes.
enum To {
    Existing(Vec<usize>),
    /// Appended to the record at these positions.
    New(Vec<usize>, String),
}

pub(in crate::transform) fn compile(
    config: &NativeStep,
    natives: &Natives,
    flow: &mut Flow,
    faults: &mut Vec<Fault>,
) {
    let name = &config.name;
    let fault = |message: String| Fault::new(&name.place, &name.value, message);
    flow.label = flow
        .label
        .replace("(native)", &format!("(native {})", name.value));
    let Some(native) = natives.get(&name.value) else {
        let message = format!("this program has no native step `{}`", name.value);
        let hint = match suggest(&name.value, natives.names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if natives.0.is_empty() => {
                "native steps come with a program that uses the library: docs/native.md".to_owned()
            }
            None => format!(
                "there are {}",
                natives.names().collect::<Vec<_>>().join(", ")
            ),
        };
        return faults.push(fault(message).hint(hint));
    };
    let event = EventType {
        schema: &flow.schema,
        root: flow.root(),
    };
    let bound = match native.bind(&event, &Params(&config.params)) {
        Ok(bound) => bound,
        Err(refusal) => return faults.push(refused(config, refusal)),
    };
    let told = faults.len();
    let reads = bound.reads.iter();
    let reads: Vec<Target> = reads
        .filter_map(|path| {
            let found = target(flow, name, path);
            found.map_err(|fault| faults.push(fault)).ok()
        })
        .collect();
    let mut writes = Vec::new();
    for (index, (path, avro)) in bound.writes.iter().enumerate() {
        let declared = match Schema::parse(&json(avro), &[]) {
            Ok(declared) => declared,
            Err(error) => {
                let message =
                    format!("the step declares `{path}` as what is no Avro type: {error}");
                faults.push(fault(message));
                continue;
            }
        };
        let others = bound.writes[..index].iter();
        if let Some((other, _)) = others.into_iter().find(|(other, _)| overlap(other, path)) {
            faults.push(fault(format!("the step writes `{other}` and `{path}`")));
            continue;
        }
        match place(flow, name, path) {
            Ok(to) => writes.push((path.clone(), declared, to)),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.len() > told {
        return;
    }
    let mut call = Call {
        bound: Arc::new(bound),
        sources: Vec::with_capacity(reads.len()),
        writes: Vec::with_capacity(writes.len()),
        label: flow.label.clone(),
    };
    let mut places = Vec::with_capacity(writes.len());
    for (path, declared, to) in writes {
        let node = shape::import(&mut flow.schema, &declared);
        let into = flow.register(&path);
        places.push((to, node, into));
        call.writes.push(Written {
            path,
            declared,
            node,
            into,
        });
    }
    flow.inside((&[], ""), false, |flow, frame| {
        for read in &reads {
            let source = flow.source(frame, &read.inner, read.declared);
            call.sources.push(source);
        }
        frame.ops.push(Op::Native(Box::new(call)));
        for (to, node, into) in places {
            let layout = Layout::register(into);
            match to {
                To::Existing(positions) => {
                    flow.put(frame, &positions, layout);
                    frame.node = shape::retyped_at(&mut flow.schema, frame.node, &positions, node);
                }
                To::New(parents, field) => {
                    flow.parts(frame, &parents).push(layout);
                    let push = &mut |record: &mut crate::contract::schema::RecordType| {
                        record.fields.push(shape::field(&field, node));
                    };
                    frame.node = shape::edited(&mut flow.schema, frame.node, &parents, push);
                }
            }
        }
    });
}

fn refused(config: &NativeStep, refusal: Refusal) -> Fault {
    let about = refusal.param.as_deref();
    let mut params = config.params.iter().map(|(name, _)| name);
    let spot = params.find(|name| Some(name.value.as_str()) == about);
    let spot = spot.unwrap_or(&config.name);
    let message = format!("{}: {}", config.name.value, refusal.message);
    let fault = Fault::new(&spot.place, &spot.value, message);
    match refusal.hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

/// A type as JSON: the word of a primitive type may stand alone.
fn json(avro: &str) -> String {
    let is_word = !avro.is_empty() && avro.chars().all(|c| c.is_ascii_lowercase());
    match is_word {
        true => format!("\"{avro}\""),
        false => avro.to_owned(),
    }
}

fn target(flow: &Flow, name: &Placed<String>, path: &str) -> Result<Target, Fault> {
    let text = Placed {
        value: path.to_owned(),
        place: name.place.clone(),
    };
    // The path is the step's and not written in the file: the fault is shown at the step's name.
    let fault = |message: String| Fault::new(&name.place, &name.value, message);
    let found = flow.target(&text).map_err(|found| {
        let fault = fault(format!("the step wants `{path}`: {}", found.message));
        match found.hint {
            Some(hint) => fault.hint(hint.into_string()),
            None => fault,
        }
    })?;
    match found.container.is_empty() {
        true => Ok(found),
        false => {
            let message =
                format!("the step wants `{path}`, which may be missing, or there many times");
            Err(fault(message).hint("a step takes the nullable record, array or map as a whole"))
        }
    }
}

fn place(flow: &Flow, name: &Placed<String>, path: &str) -> Result<To, Fault> {
    let (above, last) = path.rsplit_once('.').unwrap_or(("", path));
    let (node, parents) = match above {
        "" => (flow.root(), Vec::new()),
        above => {
            let above = target(flow, name, above)?;
            (above.declared, above.inner)
        }
    };
    // Behind a null there is no record to write into.
    let record = match &flow.schema.node(node).kind {
        Kind::Record(record) => record,
        _ => {
            let message = format!(
                "the step writes `{path}`, and `{above}` is no record that is always there"
            );
            return Err(Fault::new(&name.place, &name.value, message));
        }
    };
    if let Some(position) = record.index.get(last) {
        let mut positions = parents;
        positions.push(*position);
        return Ok(To::Existing(positions));
    }
    shape::check_name(&Placed {
        value: last.to_owned(),
        place: name.place.clone(),
    })?;
    Ok(To::New(parents, last.to_owned()))
}

fn overlap(one: &str, other: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    inside(one, other) || inside(other, one)
}

impl Call {
    pub(in crate::transform) fn run<'a>(
        &'a self,
        cx: &mut Cx<'a>,
        works: &mut Works,
    ) -> Result<(), RecordError> {
        let mut values = ArenaVec::with_capacity_in(self.sources.len(), cx.arena);
        for source in &self.sources {
            let value = find(cx, source).map_err(|error| within(&self.label, error))?;
            values.push(Value::new(cx.schema, source.node, value));
        }
        let mut output = Output {
            arena: cx.arena,
            values: cx.arena.alloc_slice_fill_copy(self.writes.len(), None),
        };
        let input = Input { values: &values };
        let done = works.run(&self.bound, &input, &mut output);
        done.map_err(|error| self.error(error))?;
        for (written, value) in self.writes.iter().zip(&*output.values) {
            let failed = |why: &str| {
                let message = format!("{}: {why}", self.label);
                RecordError::new(Reason::TransformFailed, message).at(&written.path)
            };
            let value = value.ok_or_else(|| failed("the step left this field unset"))?;
            cx.registers[written.into as usize] =
                written.held(cx, value).map_err(|why| failed(&why))?;
        }
        Ok(())
    }

    fn error(&self, error: NativeError) -> RecordError {
        let message = format!("{}: {}", self.label, error.message);
        let reason = match error.transient {
            None => Reason::TransformFailed,
            Some(_) => Reason::NativeUnavailable,
        };
        RecordError {
            retry_after: error.transient.flatten(),
            ..RecordError::new(reason, message).at(error.path)
        }
    }
}

impl Works {
    fn run<'a>(
        &mut self,
        bound: &Arc<Bound>,
        input: &Input<'_, 'a>,
        output: &mut Output<'a>,
    ) -> Result<(), NativeError> {
        let known = self.0.iter().position(|(of, _)| Arc::ptr_eq(of, bound));
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let at = known.unwrap_or_else(|| {
                self.0.push((Arc::clone(bound), (bound.make)()));
                self.0.len() - 1
            });
            self.0[at].1.run(input, output)
        }));
        ran.unwrap_or_else(|_| {
            // What it left half done must not meet the next record.
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                self.0.retain(|(of, _)| !Arc::ptr_eq(of, bound));
            }));
            let message = match dropped {
                Ok(()) => "the step panicked",
                Err(_) => "the step panicked, and again when it was dropped",
            };
            Err(NativeError::record(message))
        })
    }
}

impl Written {
    /// The value as one of the declared type, exactly.
    fn held<'a>(&self, cx: &Cx<'a>, value: Val<'a>) -> Result<Val<'a>, String> {
        let opaque = opaque(cx.schema, self.node, value)?;
        let mut bytes = Vec::new();
        write(cx.schema, self.node, value, &mut bytes)?;
        if opaque {
            // Bytes that came through a step are looked at again before anybody trusts them.
            decode(&self.declared, &bytes, &Limits::default())
                .map_err(|_| "bytes that are no value of its type".to_owned())?;
        }
        let bytes = cx.arena.alloc_slice_copy(&bytes);
        Ok(read(cx.schema, self.node, bytes, 0)?.0)
    }
}

/// Whether a value has parts that are bytes of a type; an error if that type is another one.
fn opaque(schema: &Schema, node: NodeId, value: Val<'_>) -> Result<bool, String> {
    let Val::Avro(own, _) = value else {
        return match (value, &schema.node(node).kind) {
            (Val::List(_) | Val::Map(_), Kind::Union(branches)) => {
                let mut failure = None;
                for branch in branches {
                    match opaque(schema, *branch, value) {
                        Ok(opaque) => return Ok(opaque),
                        Err(why) => failure = Some(why),
                    }
                }
                Err(failure.unwrap_or_else(|| "no branch of the union takes it".to_owned()))
            }
            (Val::List(items), Kind::Array(inner)) => items
                .iter()
                .try_fold(false, |any, item| Ok(opaque(schema, *inner, *item)? | any)),
            (Val::Map(entries), Kind::Map(inner)) => {
                entries.iter().try_fold(false, |any, (_, value)| {
                    Ok(opaque(schema, *inner, *value)? | any)
                })
            }
            (Val::List(_) | Val::Map(_), _) => Err(format!(
                "expected {}, found {}",
                schema.describe(node),
                value.word()
            )),
            _ => Ok(false),
        };
    };
    let mut fits = same(schema, own, node, &mut Vec::new());
    if let Kind::Union(branches) = &schema.node(node).kind {
        let mut branches = branches.iter();
        fits |= branches.any(|branch| same(schema, own, *branch, &mut Vec::new()));
    }
    match fits {
        true => Ok(true),
        false => {
            let (wants, found) = (schema.describe(node), schema.describe(own));
            Err(format!("expected {wants}, found another {found}"))
        }
    }
}

/// Whether two nodes are one type, defined alike.
fn same(schema: &Schema, a: NodeId, b: NodeId, seen: &mut Vec<(NodeId, NodeId)>) -> bool {
    if a == b || seen.contains(&(a, b)) {
        return true;
    }
    seen.push((a, b));
    let (one, other) = (schema.node(a), schema.node(b));
    if one.logical != other.logical {
        return false;
    }
    let mut all = |a: &[NodeId], b: &[NodeId]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(schema, *a, *b, seen))
    };
    match (&one.kind, &other.kind) {
        (Kind::Record(a), Kind::Record(b)) => {
            let names = |fields: &[crate::contract::schema::Field]| -> Vec<String> {
                fields.iter().map(|field| field.name.clone()).collect()
            };
            let nodes = |fields: &[crate::contract::schema::Field]| -> Vec<NodeId> {
                fields.iter().map(|field| field.node).collect()
            };
            a.name == b.name
                && names(&a.fields) == names(&b.fields)
                && all(&nodes(&a.fields), &nodes(&b.fields))
        }
        (Kind::Array(a), Kind::Array(b)) | (Kind::Map(a), Kind::Map(b)) => all(&[*a], &[*b]),
        (Kind::Union(a), Kind::Union(b)) => all(a, b),
        (Kind::Enum(a), Kind::Enum(b)) => a.name == b.name && a.symbols == b.symbols,
        (Kind::Fixed(a), Kind::Fixed(b)) => a.name == b.name && a.size == b.size,
        (a, b) => a == b,
    }
}
