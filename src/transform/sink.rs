//! Whether what the steps produce fits the sink's schema, told before the first record is read.

use std::collections::BTreeSet;

use super::Builder;
use super::rearrange::MADE;
use crate::config::fault::Fault;
use crate::config::model::Place;
use crate::contract::resolve::{Mismatch, Resolution};
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::expr::path::peel;

/// How an event after the last step becomes a value of the sink's schema. The top records are taken for one another
/// whatever they are called, and so are the records that steps made: the steps have no way to name them.
fn sink_resolution(output: &Schema, sink: &Schema) -> Result<Resolution, Vec<Mismatch>> {
    let mut named = output.clone();
    let mut seen = BTreeSet::new();
    adopt(&mut named, output.root, sink, sink.root, true, &mut seen);
    Resolution::compile(&named, sink)
}

/// Gives records without a name of their own the name that the sink's schema has in their place.
fn adopt(
    schema: &mut Schema,
    node: NodeId,
    sink: &Schema,
    place: NodeId,
    top: bool,
    seen: &mut BTreeSet<(NodeId, NodeId)>,
) {
    let (node, place) = (peel(schema, node).node, peel(sink, place).node);
    if !seen.insert((node, place)) {
        return;
    }
    let below: Vec<(NodeId, NodeId)> = match (&mut schema.nodes[node].kind, &sink.node(place).kind)
    {
        (Kind::Record(record), Kind::Record(wanted)) => {
            if top || record.name.full.starts_with(MADE) {
                record.name = wanted.name.clone();
            }
            let fields = record.fields.iter().filter_map(|field| {
                let there = wanted.index.get(&field.name)?;
                Some((field.node, wanted.fields[*there].node))
            });
            fields.collect()
        }
        (Kind::Array(inner), Kind::Array(wanted)) | (Kind::Map(inner), Kind::Map(wanted)) => {
            vec![(*inner, *wanted)]
        }
        _ => Vec::new(),
    };
    for (node, place) in below {
        adopt(schema, node, sink, place, false, seen);
    }
}

/// Checks the output of the steps against a sink's schema. A mismatch names the field, and the step that last
/// brought it out of agreement, if there is one. `place` is where the sink's schema is named, `written` what stands
/// there.
pub fn check_sink(
    builder: &Builder,
    sink: &Schema,
    place: &Place,
    written: &str,
) -> Result<Resolution, Vec<Fault>> {
    let mismatches = match sink_resolution(&builder.output(), sink) {
        Ok(resolution) => return Ok(resolution),
        Err(mismatches) => mismatches,
    };
    let known: Vec<_> = builder
        .types()
        .map(|(step, schema)| (step.to_owned(), sink_resolution(&schema, sink).err()))
        .collect();
    let faults = mismatches.iter().map(|mismatch| {
        let message = match mismatch.path.as_str() {
            "" => format!("the output does not fit the sink: {}", mismatch.message),
            path => format!(
                "the output's `{path}` does not fit the sink: {}",
                mismatch.message
            ),
        };
        let fault = Fault::new(place, written, message);
        match breaking_step(&known, mismatch) {
            Some(step) => fault.hint(format!("it did fit before {step}")),
            None => fault,
        }
    });
    Err(faults.collect())
}

/// The step after which a mismatch is there for good.
fn breaking_step<'k>(
    known: &'k [(String, Option<Vec<Mismatch>>)],
    mismatch: &Mismatch,
) -> Option<&'k str> {
    let mut broken_by = None;
    let mut fitted = false;
    for (name, found) in known {
        let mut found = found.iter().flatten();
        let fits = found.all(|other| other.path != mismatch.path);
        if fitted && !fits {
            broken_by = Some(name.as_str());
        }
        fitted = fits;
    }
    broken_by
}
