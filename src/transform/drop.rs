//! `drop: [field]` removes fields. Below a null record there is nothing to remove.

use super::{Outcome, shape};
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use crate::expr::path::{slot, unwrapped};

/// Positions, deeper and later ones first, so that removing one does not shift the next.
#[derive(Debug)]
pub(super) struct Drop(Vec<Vec<usize>>);

pub(super) fn compile(
    fields: &[Placed<String>],
    input: &Schema,
    faults: &mut Vec<Fault>,
) -> Outcome<Drop> {
    let before = faults.len();
    let mut found = Vec::new();
    for field in fields {
        match shape::plain_path(input, field) {
            Ok((_, positions)) => found.push((field, positions)),
            Err(fault) => faults.push(fault),
        }
    }
    shape::overlap(&found, faults);
    let mut output = input.clone();
    if faults.len() > before {
        return Outcome::failed(output);
    }
    let mut paths: Vec<Vec<usize>> = found.into_iter().map(|(_, positions)| positions).collect();
    paths.sort_by(|a, b| b.cmp(a));
    for path in &paths {
        let (last, parents) = path.split_last().expect("a path has a segment");
        shape::edit(&mut output, parents, |record| {
            record.fields.remove(*last);
        });
    }
    Outcome::new(Drop(paths), output)
}

impl Drop {
    pub(super) fn apply(&self, event: &mut Value) {
        for path in &self.0 {
            let (last, parents) = path.split_last().expect("a path has a segment");
            if let Some(parent) = slot(event, parents)
                && let Value::Record(fields) = unwrapped(parent)
            {
                fields.remove(*last);
            }
        }
    }
}
