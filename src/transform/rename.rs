//! `rename: { old: new }`. The old name may be a path; the new one is the last segment's. Values stay where they are:
//! only the type changes.

use super::{Outcome, shape};
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, Schema};
use crate::expr::path::peel;

pub(super) fn compile(
    entries: &[(Placed<String>, Placed<String>)],
    input: &Schema,
    faults: &mut Vec<Fault>,
) -> Outcome<()> {
    let before = faults.len();
    let mut output = input.clone();
    let mut renamed = Vec::new();
    for (old, new) in entries {
        match shape::plain_path(input, old) {
            Ok((_, positions)) => {
                if let Err(fault) = shape::check_name(new) {
                    faults.push(match new.value.contains('.') {
                        true => {
                            fault.hint("a field is renamed in its place: write the last name only")
                        }
                        false => fault,
                    });
                    continue;
                }
                let (last, parents) = positions.split_last().expect("a path has a segment");
                shape::edit(&mut output, parents, |record| {
                    let field = &mut record.fields[*last];
                    field.name.clone_from(&new.value);
                    // Aliases named the old field.
                    field.aliases.clear();
                });
                renamed.push((new, positions));
            }
            Err(fault) => faults.push(fault),
        }
    }
    // Only once all are renamed, so that two names can be swapped.
    for (new, positions) in renamed {
        let (last, parents) = positions.split_last().expect("a path has a segment");
        if let Some(fault) = clash(&output, parents, *last, new) {
            faults.push(fault);
        }
    }
    match faults.len() == before {
        true => Outcome::new((), output),
        false => Outcome::failed(output),
    }
}

fn clash(
    output: &Schema,
    parents: &[usize],
    position: usize,
    new: &Placed<String>,
) -> Option<Fault> {
    let mut node = output.root;
    for parent in parents {
        let Kind::Record(record) = &output.node(peel(output, node).node).kind else {
            return None;
        };
        node = record.fields[*parent].node;
    }
    let Kind::Record(record) = &output.node(peel(output, node).node).kind else {
        return None;
    };
    let mut fields = record.fields.iter().enumerate();
    fields
        .any(|(at, field)| at != position && field.name == new.value)
        .then(|| {
            let message = format!("there is a field `{}` already", new.value);
            Fault::new(&new.place, new.value.clone(), message).hint("drop or rename that one first")
        })
}
