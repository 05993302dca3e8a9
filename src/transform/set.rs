//! `set: { field: expression }`. All values of one `set` are computed on the event as it was before the step.
//!
//! A new name is appended to its record, with the type of its expression (a constant whole number is a `long`). An
//! existing field keeps its type where the expression's values all have an exact counterpart there: a text in an enum
//! (its symbol is checked), a constant number in an `int` or a decimal, anything in its own nullable union. Otherwise the
//! field takes the expression's type.
//!
//! Inside of arrays and maps (`items[].total`) the expression can name the element: `this.price * this.quantity`.

use super::flow::{Flow, Frame, Target};
use super::layout::Layout;
use super::run::Op;
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, NodeId};
use crate::expr::path::{Segment, peel, suggest};
use crate::expr::{Base, Expr, Type};

/// A field to be set, or a new one.
struct Entry<'e> {
    name: &'e Placed<String>,
    text: &'e Placed<String>,
    container: Vec<Segment>,
    container_text: String,
    to: To,
}

enum To {
    /// Positions in the frame, and the type as declared.
    Existing(Vec<usize>, NodeId),
    /// Appended to the frame's record.
    New(String),
}

pub(super) fn compile(
    entries: &[(Placed<String>, Placed<String>)],
    flow: &mut Flow,
    faults: &mut Vec<Fault>,
) -> Vec<String> {
    let mut untyped = Vec::new();
    let mut found: Vec<Entry<'_>> = Vec::new();
    let mut touched = Vec::new();
    for (name, text) in entries {
        match target(flow, name) {
            Ok((entry, target)) => {
                touched.extend(target.map(|target| (name, target)));
                found.push(Entry {
                    name,
                    text,
                    ..entry
                });
            }
            Err(fault) => faults.push(fault),
        }
    }
    let borrowed: Vec<_> = touched
        .iter()
        .map(|(name, target)| (*name, target))
        .collect();
    let before = faults.len();
    shape::overlap(&borrowed, faults);
    if faults.len() > before {
        return untyped;
    }
    // One frame after another; what is computed in each is computed on the event as it was.
    let mut frames: Vec<Vec<Entry<'_>>> = Vec::new();
    for entry in found {
        let same = |others: &&mut Vec<Entry<'_>>| {
            others.iter().any(|other| {
                other.container == entry.container && other.is_leaf() == entry.is_leaf()
            })
        };
        match frames.iter_mut().find(same) {
            Some(others) => others.push(entry),
            None => frames.push(vec![entry]),
        }
    }
    flow.freeze();
    for entries in frames {
        let first = &entries[0];
        let container = (first.container.as_slice(), first.container_text.as_str());
        flow.inside(container, first.is_leaf(), |flow, frame| {
            untyped.extend(in_frame(&entries, flow, frame, faults));
        });
    }
    flow.thaw();
    untyped
}

impl Entry<'_> {
    fn is_leaf(&self) -> bool {
        matches!(&self.to, To::Existing(positions, _) if positions.is_empty())
    }
}

/// The field that is set, if it exists; a new one must be a plain name, or one of an element.
fn target<'e>(flow: &Flow, name: &'e Placed<String>) -> Result<(Entry<'e>, Option<Target>), Fault> {
    let entry = |container, container_text: &str, to| Entry {
        name,
        text: name,
        container,
        container_text: container_text.to_owned(),
        to,
    };
    match flow.target(name) {
        Ok(target) => {
            if target.optional {
                let message = format!("a record above `{}` may be null", name.value);
                let fault = Fault::new(&name.place, name.value.clone(), message);
                return Err(fault.hint(
                    "a field below a null cannot be set; filter such events first, or `default` the record",
                ));
            }
            let to = To::Existing(target.inner.clone(), target.declared);
            let text = target.container_text().to_owned();
            Ok((entry(target.container.clone(), &text, to), Some(target)))
        }
        Err(_) if !name.value.contains(['.', '[', '{']) => {
            shape::check_name(name)?;
            Ok((entry(Vec::new(), "", To::New(name.value.clone())), None))
        }
        // A new field of an element; elsewhere, a nested field that does not exist is more likely misspelt than meant.
        Err(fault) => {
            let Some((above, last)) = name.value.rsplit_once('.') else {
                return Err(fault);
            };
            let parent = Placed {
                value: above.to_owned(),
                place: name.place.clone(),
            };
            let element = match flow.target(&parent) {
                Ok(target) if target.is_leaf() => target,
                _ => return Err(fault),
            };
            let is_record = flow.record(element.declared).is_some();
            let plain = shape::check_name(&Placed {
                value: last.to_owned(),
                place: name.place.clone(),
            });
            match (is_record, plain) {
                (true, Ok(())) => {
                    let to = To::New(last.to_owned());
                    let target = Target {
                        // Where no field is yet: only what the element lies in overlaps with it.
                        inner: vec![usize::MAX],
                        ..element
                    };
                    let container = target.container.clone();
                    Ok((entry(container, above, to), Some(target)))
                }
                _ => Err(fault),
            }
        }
    }
}

fn in_frame(
    entries: &[Entry<'_>],
    flow: &mut Flow,
    frame: &mut Frame,
    faults: &mut Vec<Fault>,
) -> Vec<String> {
    let mut untyped = Vec::new();
    let this = frame.element();
    for entry in entries {
        let asked = flow.asked();
        let compiled = flow.with_scope(this.clone(), |scope| Expr::compile(entry.text, scope));
        let expr = match compiled {
            Ok(expr) => expr,
            Err(found) => {
                faults.extend(found);
                if let To::New(name) = &entry.to {
                    untyped.push(name.clone());
                }
                continue;
            }
        };
        let done = match &entry.to {
            To::Existing(positions, declared) => {
                existing((entry, positions, *declared), expr, flow, frame)
            }
            To::New(name) => new((entry, name), expr, asked, flow, frame),
        };
        if let Err(fault) = done {
            faults.push(fault);
        }
    }
    untyped
}

fn new(
    (entry, name): (&Entry<'_>, &str),
    expr: Expr,
    asked: usize,
    flow: &mut Flow,
    frame: &mut Frame,
) -> Result<(), Fault> {
    let text = entry.text;
    let fault = |message: String| Fault::new(&text.place, text.value.clone(), message);
    if expr.ty().base == Base::Null {
        let message = format!(
            "`{}` would always be null, and of no type",
            entry.name.value
        );
        let fields = flow.record(frame.node).map(|record| record.fields.iter());
        let near = fields.and_then(|fields| suggest(name, fields.map(|f| f.name.as_str())));
        return Err(match near {
            Some(near) => fault(message).hint(format!("did you mean `{near}`?")),
            None => fault(message),
        });
    }
    // A plain copy of a field is its bytes.
    let (seen, before) = flow.seen();
    let (layout, node) = match expr.plain_field() {
        Some(positions) if frame.this.is_none() && flow.is_plain(seen, positions) => {
            flow.forget(asked);
            (before.below(positions), flow.node_at(seen, positions))
        }
        _ => {
            let node = expr.ty().intern(&mut flow.schema).map_err(fault)?;
            let into = flow.register(&entry.name.value);
            frame.ops.push(Op::Set { expr, into });
            (Layout::register(into), node)
        }
    };
    flow.parts(frame, &[]).push(layout);
    frame.node = shape::appended(&mut flow.schema, frame.node, name, node);
    Ok(())
}

fn existing(
    (entry, positions, declared): (&Entry<'_>, &[usize], NodeId),
    expr: Expr,
    flow: &mut Flow,
    frame: &mut Frame,
) -> Result<(), Fault> {
    let text = entry.text;
    let fault = |message: String| Fault::new(&text.place, text.value.clone(), message);
    let peeled = peel(&flow.schema, declared);
    let fits = peeled.nullable || !expr.ty().nullable;
    if expr.ty().base == Base::Null && !fits {
        return Err(fault("this field is never null".to_owned()).hint("drop it instead"));
    }
    let coerced = expr
        .coerced(&flow.schema, peeled.node)
        .map_err(|no_symbol| {
            let Kind::Enum(named) = &flow.schema.node(peeled.node).kind else {
                return fault("not a symbol".to_owned());
            };
            let symbol = &no_symbol.0;
            let fault = fault(format!("enum {} has no symbol `{symbol}`", named.name.full));
            match suggest(symbol, named.symbols.iter().map(String::as_str)) {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault.hint(format!("its symbols are {}", named.symbols.join(", "))),
            }
        })?;
    let (expr, node) = match coerced {
        Some(expr) if fits => (expr, declared),
        // The type fits and only null does not: the field becomes nullable around its own type.
        Some(expr) => (
            expr,
            crate::expr::types::nullable(&mut flow.schema, declared),
        ),
        None => {
            let node = own_type(expr.ty(), flow).map_err(fault)?;
            (expr, node)
        }
    };
    let into = flow.register(&entry.name.value);
    frame.ops.push(Op::Set { expr, into });
    flow.put(frame, positions, Layout::register(into));
    if node != declared {
        frame.node = shape::retyped_at(&mut flow.schema, frame.node, positions, node);
    }
    Ok(())
}

fn own_type(ty: &Type, flow: &mut Flow) -> Result<NodeId, String> {
    ty.intern(&mut flow.schema)
}
