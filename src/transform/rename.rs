//! `rename: { old: new }`. The old name may be a path; the new one is the last segment's. Values stay where they are:
//! only the type changes.

use super::flow::Flow;
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::Placed;

pub(super) fn compile(
    entries: &[(Placed<String>, Placed<String>)],
    flow: &mut Flow,
    faults: &mut Vec<Fault>,
) {
    let mut found = Vec::new();
    for (old, new) in entries {
        let target = match flow.target(old) {
            Ok(target) if target.is_leaf() => {
                let message = format!("`{}` are elements, which have no name", old.value);
                faults.push(Fault::new(&old.place, old.value.clone(), message));
                continue;
            }
            Ok(target) => target,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        if let Err(fault) = shape::check_name(new) {
            faults.push(match new.value.contains('.') {
                true => fault.hint(
                    "a field is renamed in its place: write the last name only, or use `move`",
                ),
                false => fault,
            });
            continue;
        }
        found.push((target, new));
    }
    // Only once all are renamed is it known what clashes, so that two names can be swapped.
    for (target, new) in &found {
        let (last, parents) = target.inner.split_last().expect("a field has a position");
        flow.inside(
            (&target.container, target.container_text()),
            false,
            |flow, frame| {
                frame.node = shape::edited(&mut flow.schema, frame.node, parents, &mut |record| {
                    let field = &mut record.fields[*last];
                    field.name.clone_from(&new.value);
                    // Aliases named the old field.
                    field.aliases.clear();
                });
            },
        );
    }
    for (target, new) in &found {
        let (last, parents) = target.inner.split_last().expect("a field has a position");
        let mut clash = false;
        flow.look_inside(&target.container, |flow, node| {
            let node = flow.node_at(node, parents);
            let fields = flow.record(node).map(|record| record.fields.as_slice());
            let others = fields.unwrap_or_default().iter().enumerate();
            clash = others
                .clone()
                .any(|(at, field)| at != *last && field.name == new.value);
        });
        if clash {
            faults.push(shape::taken(new));
        }
    }
}
