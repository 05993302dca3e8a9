//! Steps that put fields elsewhere and leave their values alone: `move: { from: to }`, `flatten: { field }` and
//! `nest: { into, fields }`. Nothing is computed but where a record above may be null: what is lifted out of it is nullable.

use super::flow::{Flow, Frame, Target};
use super::layout::Layout;
use super::leaf::Leaf;
use super::run::Op;
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, Name, NodeId, RecordType};
use crate::expr::path::{Segment, type_name};
use crate::expr::types::nullable;

/// The names of records that steps make begin with this: they take the name that the sink's schema has for them.
pub(super) const MADE: char = '(';

/// Whether the way to a field leads through arrays or maps.
fn many(target: &Target) -> bool {
    let mut container = target.container.iter();
    container.any(|segment| !matches!(segment, Segment::Field(..)))
}

pub(super) fn movement(
    entries: &[(Placed<String>, Placed<String>)],
    flow: &mut Flow,
    faults: &mut Vec<Fault>,
) {
    for (from, to) in entries {
        if let Err(fault) = moved(from, to, flow) {
            faults.push(fault);
        }
    }
}

fn moved(from: &Placed<String>, to: &Placed<String>, flow: &mut Flow) -> Result<(), Fault> {
    let fault = |text: &Placed<String>, message: String| {
        Fault::new(&text.place, text.value.clone(), message)
    };
    let source = flow.target(from)?;
    if source.is_leaf() || many(&source) {
        let message = format!(
            "`{}` is a part of each element, and can only be moved inside of it",
            from.value
        );
        return Err(fault(from, message).hint(
            "`set` the new field of the element from the old one (`this.…`), then drop that",
        ));
    }
    if flow.target(to).is_ok() {
        return Err(shape::taken(to));
    }
    let (above, last) = to.value.rsplit_once('.').unwrap_or(("", &to.value));
    let name = Placed {
        value: last.to_owned(),
        place: to.place.clone(),
    };
    shape::check_name(&name)?;
    let parent = match above {
        "" => None,
        above => {
            let written = Placed {
                value: above.to_owned(),
                place: to.place.clone(),
            };
            let parent = flow.target(&written)?;
            if flow.record(parent.declared).is_none() {
                let what = type_name(&flow.schema, parent.declared);
                return Err(fault(
                    to,
                    format!("`{above}` is {what}; it can have no field `{last}`"),
                ));
            }
            if !parent.container.is_empty() || flow.is_union(parent.declared) {
                let message = format!("`{above}` may be null or many");
                return Err(fault(to, message)
                    .hint("a field can be moved into a record that is always there"));
            }
            if parent.segments().starts_with(&source.segments()) {
                return Err(fault(to, "a record cannot be moved into itself".to_owned()));
            }
            Some(written)
        }
    };
    let (layout, node) = lifted(&source, flow);
    super::drop::remove(vec![source], flow);
    // Where the parent is now: what was taken away may have stood in front of it.
    let positions = match &parent {
        Some(parent) => flow.target(parent)?.inner,
        None => Vec::new(),
    };
    flow.inside((&[], ""), false, |flow, frame| {
        flow.parts(frame, &positions).push(layout);
        frame.node = shape::edited(&mut flow.schema, frame.node, &positions, &mut |record| {
            record.fields.push(shape::field(last, node));
        });
    });
    Ok(())
}

/// Where the value of a field lies for somebody outside of the record that holds it, and its type there: nullable where
/// that record is.
fn lifted(target: &Target, flow: &mut Flow) -> (Layout, NodeId) {
    let positions: Vec<usize> = target
        .segments()
        .iter()
        .map(|segment| match segment {
            Segment::Field(position, _) => *position,
            Segment::Elements | Segment::Values => unreachable!("the way leads through records"),
        })
        .collect();
    if target.container.is_empty() {
        return (flow.top.layout.below(&positions), target.declared);
    }
    let node = nullable(&mut flow.schema, target.declared);
    let into = flow.register(&target.text);
    let declared = target.declared;
    flow.inside((&[], ""), false, |flow, frame| {
        let source = flow.source(frame, &positions, declared);
        frame.ops.push(Op::Leaf {
            source,
            leaf: Leaf::Same,
            into,
        });
    });
    (Layout::register(into), node)
}

pub(super) fn flatten(
    field: &Placed<String>,
    prefix: Option<&str>,
    separator: &str,
    flow: &mut Flow,
    faults: &mut Vec<Fault>,
) {
    let fault = |message: String| Fault::new(&field.place, field.value.clone(), message);
    let target = match flow.target(field) {
        Ok(target) => target,
        Err(fault) => return faults.push(fault),
    };
    if target.is_leaf() || many(&target) || !target.container.is_empty() {
        return faults.push(
            fault(format!("`{}` is not always there once", field.value))
                .hint("a record of the event, or of a record in it, can be flattened"),
        );
    }
    let Some(record) = flow.record(target.declared).cloned() else {
        let what = type_name(&flow.schema, target.declared);
        return faults.push(fault(format!("`{}` is {what}, not a record", field.value)));
    };
    let (last, parents) = target.inner.split_last().expect("a field has a position");
    let own = field.value.rsplit('.').next().unwrap_or(&field.value);
    let prefix = prefix.map_or_else(|| format!("{own}{separator}"), str::to_owned);
    let names: Vec<String> = record
        .fields
        .iter()
        .map(|below| format!("{prefix}{}", below.name))
        .collect();
    let holder = flow.node_at(flow.root(), parents);
    let others = flow.record(holder).map(|record| record.fields.clone());
    for name in &names {
        let others = others.iter().flatten().enumerate();
        if others
            .clone()
            .any(|(at, other)| at != *last && other.name == *name)
        {
            faults.push(
                fault(format!("there is a field `{name}` already"))
                    .hint("choose another `prefix`, or drop or rename that one first"),
            );
            return;
        }
        let written = Placed {
            value: name.clone(),
            place: field.place.clone(),
        };
        if let Err(fault) = shape::check_name(&written) {
            return faults.push(fault);
        }
    }
    let mut parts = Vec::with_capacity(names.len());
    for below in &record.fields {
        let path = Placed {
            value: format!("{}.{}", field.value, below.name),
            place: field.place.clone(),
        };
        match flow.target(&path) {
            Ok(inner) => parts.push(lifted(&inner, flow)),
            Err(fault) => return faults.push(fault),
        }
    }
    flow.inside((&[], ""), false, |flow, frame| {
        let layouts: Vec<Layout> = parts.iter().map(|(layout, _)| layout.clone()).collect();
        flow.parts(frame, parents).splice(*last..=*last, layouts);
        frame.node = shape::edited(&mut flow.schema, frame.node, parents, &mut |holder| {
            let fields = names
                .iter()
                .zip(&parts)
                .map(|(name, (_, node))| shape::field(name, *node));
            holder
                .fields
                .splice(*last..=*last, fields.collect::<Vec<_>>());
        });
    });
}

pub(super) fn nest(
    into: &Placed<String>,
    fields: &[Placed<String>],
    flow: &mut Flow,
    faults: &mut Vec<Fault>,
) {
    let before = faults.len();
    if let Err(fault) = shape::check_name(into) {
        faults.push(fault);
    }
    let mut targets = Vec::new();
    for field in fields {
        match flow.target(field) {
            Ok(target) if target.is_leaf() || many(&target) => {
                let message = format!("`{}` is a part of each element", field.value);
                faults.push(Fault::new(&field.place, field.value.clone(), message));
            }
            Ok(target) => targets.push((field, target)),
            Err(fault) => faults.push(fault),
        }
    }
    let borrowed: Vec<_> = targets
        .iter()
        .map(|(field, target)| (*field, target))
        .collect();
    shape::overlap(&borrowed, faults);
    let mut names: Vec<&str> = Vec::new();
    for (field, _) in &targets {
        let name = field.value.rsplit('.').next().unwrap_or(&field.value);
        if names.contains(&name) {
            let message = format!("two of the fields are called `{name}`");
            faults.push(
                Fault::new(&field.place, field.value.clone(), message)
                    .hint("rename one of them first"),
            );
        }
        names.push(name);
    }
    let moves = |name: &str| fields.iter().any(|field| field.value == name);
    if flow.target(into).is_ok() && !moves(&into.value) {
        faults.push(shape::taken(into));
    }
    if faults.len() > before {
        return;
    }
    let parts: Vec<_> = targets
        .iter()
        .map(|(_, target)| lifted(target, flow))
        .collect();
    let inner: Vec<_> = names
        .iter()
        .zip(&parts)
        .map(|(name, (_, node))| shape::field(name, *node))
        .collect();
    let index = inner.iter().enumerate();
    let index = index.map(|(at, field)| (field.name.clone(), at)).collect();
    let record = shape::push(
        &mut flow.schema,
        Kind::Record(RecordType {
            name: Name {
                full: format!("{MADE}{})", into.value),
                aliases: Vec::new(),
            },
            doc: None,
            fields: inner,
            index,
        }),
    );
    super::drop::remove(
        targets.into_iter().map(|(_, target)| target).collect(),
        flow,
    );
    let layout = Layout::Record(parts.into_iter().map(|(layout, _)| layout).collect());
    flow.inside((&[], ""), false, |flow: &mut Flow, frame: &mut Frame| {
        flow.parts(frame, &[]).push(layout);
        frame.node = shape::appended(&mut flow.schema, frame.node, &into.value, record);
    });
}
