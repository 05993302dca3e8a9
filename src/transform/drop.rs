//! `drop: [field]` removes fields, and `keep: [field]` all others. Below a null record there is nothing to remove.

use std::collections::BTreeMap;

use super::flow::{Flow, Target};
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::expr::path::{Segment, peel};

pub(super) fn compile(fields: &[Placed<String>], flow: &mut Flow, faults: &mut Vec<Fault>) {
    let before = faults.len();
    let mut found = Vec::new();
    for field in fields {
        match flow.target(field) {
            Ok(target) if target.is_leaf() => {
                let message = format!("`{}` are elements, not a field", field.value);
                let name = field.value.trim_end_matches(['[', ']', '{', '}']);
                faults.push(
                    Fault::new(&field.place, field.value.clone(), message).hint(format!(
                        "drop `{name}`, or choose among them: `set: {{ {name}: \"{name}.filter(x, …)\" }}`"
                    )),
                );
            }
            Ok(target) => found.push((field, target)),
            Err(fault) => faults.push(fault),
        }
    }
    let touched: Vec<_> = found
        .iter()
        .map(|(field, target)| (*field, target))
        .collect();
    shape::overlap(&touched, faults);
    if faults.len() == before {
        remove(found.into_iter().map(|(_, target)| target).collect(), flow);
    }
}

/// Removes fields that do not overlap.
pub(super) fn remove(targets: Vec<Target>, flow: &mut Flow) {
    let mut frames: Vec<(Vec<Segment>, String, Vec<Vec<usize>>)> = Vec::new();
    for target in targets {
        let same = |(container, ..): &&mut (Vec<Segment>, _, _)| *container == target.container;
        match frames.iter_mut().find(same) {
            Some((_, _, paths)) => paths.push(target.inner),
            None => {
                let text = target.container_text().to_owned();
                frames.push((target.container, text, vec![target.inner]));
            }
        }
    }
    // Inner frames first: what is removed further up would shift the way to them.
    frames.sort_by_key(|(container, ..)| std::cmp::Reverse(container.len()));
    for (container, text, mut paths) in frames {
        // Later ones first, so that removing one does not shift the next.
        paths.sort_by(|a, b| b.cmp(a));
        flow.inside((&container, &text), false, |flow, frame| {
            for path in &paths {
                let (last, parents) = path.split_last().expect("a field has a position");
                flow.parts(frame, parents).remove(*last);
                frame.node = shape::edited(&mut flow.schema, frame.node, parents, &mut |record| {
                    record.fields.remove(*last);
                });
            }
        });
    }
}

/// What is kept of a record: all of a field, or parts of it.
#[derive(Default)]
struct Kept {
    whole: bool,
    below: BTreeMap<String, Kept>,
}

/// `keep` is the removal of everything else.
pub(super) fn keep(fields: &[Placed<String>], flow: &mut Flow, faults: &mut Vec<Fault>) {
    let before = faults.len();
    let mut kept = Kept::default();
    for field in fields {
        if let Err(fault) = flow.target(field) {
            faults.push(fault);
            continue;
        }
        let mut at = &mut kept;
        // `items[].price` keeps a part of `items`; the brackets are the type's affair.
        for name in field.value.split('.') {
            at = at
                .below
                .entry(name.trim_end_matches(['[', ']', '{', '}']).to_owned())
                .or_default();
        }
        at.whole = true;
    }
    if faults.len() > before {
        return;
    }
    let mut others = Vec::new();
    rest(&flow.schema, flow.root(), &kept, "", &mut others);
    let place = &fields
        .first()
        .expect("a list without entries is refused before")
        .place;
    let targets = others.into_iter().map(|path| {
        let written = Placed {
            value: path,
            place: place.clone(),
        };
        flow.target(&written).expect("it was read from the type")
    });
    let targets = targets.collect();
    remove(targets, flow);
}

/// The paths of everything that is not kept.
fn rest(schema: &Schema, node: NodeId, kept: &Kept, path: &str, out: &mut Vec<String>) {
    let node = peel(schema, node).node;
    match &schema.node(node).kind {
        Kind::Array(inner) => rest(schema, *inner, kept, &format!("{path}[]"), out),
        Kind::Map(inner) => rest(schema, *inner, kept, &format!("{path}{{}}"), out),
        Kind::Record(record) => {
            for field in &record.fields {
                let point = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{point}{}", field.name);
                match kept.below.get(&field.name) {
                    None => out.push(path),
                    Some(kept) if kept.whole => {}
                    Some(kept) => rest(schema, field.node, kept, &path, out),
                }
            }
        }
        _ => {}
    }
}
