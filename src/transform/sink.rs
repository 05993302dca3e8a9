//! Whether what the steps produce fits the sink's schema, told before the first record is read.

use super::Transform;
use crate::config::fault::Fault;
use crate::config::model::Place;
use crate::contract::resolve::{Mismatch, Resolution};
use crate::contract::schema::{Kind, Schema};

/// How an event after the last step becomes a value of the sink's schema. The top records are taken for one another
/// whatever they are called: the steps have no way to name their output.
pub fn sink_resolution(output: &Schema, sink: &Schema) -> Result<Resolution, Vec<Mismatch>> {
    let mut named = output.clone();
    if let (Kind::Record(record), Some(wanted)) =
        (&mut named.nodes[output.root].kind, sink.record())
    {
        record.name = wanted.name.clone();
    }
    Resolution::compile(&named, sink)
}

/// Checks the output of the steps against the sink's schema. A mismatch names the field, and the step that last
/// brought it out of agreement, if there is one. `place` is where the sink's schema is named, `written` what stands
/// there.
pub fn check_sink(
    transform: &Transform,
    sink: &Schema,
    place: &Place,
    written: &str,
) -> Result<(), Vec<Fault>> {
    let Err(mismatches) = sink_resolution(transform.output(), sink) else {
        return Ok(());
    };
    let faults = mismatches.iter().map(|mismatch| {
        let message = match mismatch.path.as_str() {
            "" => format!("the output does not fit the sink: {}", mismatch.message),
            path => format!(
                "the output's `{path}` does not fit the sink: {}",
                mismatch.message
            ),
        };
        let fault = Fault::new(place, written, message);
        match breaking_step(transform, sink, mismatch) {
            Some(step) => fault.hint(format!("it did fit before {step}")),
            None => fault,
        }
    });
    Err(faults.collect())
}

/// The step after which a mismatch is there for good.
fn breaking_step(transform: &Transform, sink: &Schema, mismatch: &Mismatch) -> Option<String> {
    let mut broken_by = None;
    let mut fitted = false;
    for (name, schema) in transform.types() {
        let fits = match sink_resolution(schema, sink) {
            Ok(_) => true,
            Err(found) => found.iter().all(|other| other.path != mismatch.path),
        };
        if fitted && !fits {
            broken_by = Some(name);
        }
        fitted = fits;
    }
    broken_by
}
