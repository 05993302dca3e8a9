//! `audit --verify`: each source record is run through the pipeline once more, and what it comes to is noted, so that an
//! output which is another record's, or was changed, does not match.

use std::sync::Arc;

use super::Verifier;
use super::found::{Found, print};
use crate::config::model::{Pipeline, Step};
use crate::failure::envelope::Origin;
use crate::lookup::Lookups;
use crate::pipeline::{Gate, Output, Stages, Verdict};
use crate::record::Record;

/// Why records of a pipeline do not come to the same a second time; `None` where they do.
pub fn unverifiable(pipeline: &Pipeline) -> Option<String> {
    let mut steps = pipeline.prepare.iter().chain(&pipeline.transform);
    steps.find_map(|step| match step {
        Step::Lookup(_) => Some("a lookup may answer something else by now".to_owned()),
        Step::Native(_) => {
            Some("nobody but its author knows what a native step depends on".to_owned())
        }
        _ => None,
    })
}

/// Runs records once more.
pub(super) struct Again {
    stages: Stages,
}

impl Again {
    pub(super) fn new(verifier: &Verifier) -> Again {
        let contract = &verifier.compiled.config.contract;
        let gate = Gate::new(contract.drift, contract.schema.subject(), |_| {});
        let stages = Stages::new(
            Arc::clone(&verifier.compiled),
            Arc::clone(&verifier.schemas),
            Arc::new(Lookups::none(verifier.runtime.clone())),
            Arc::new(gate),
        );
        Again { stages }
    }

    /// Notes what a source record comes to.
    pub(super) fn note(&mut self, record: &Record<'_>, timed: bool, found: &mut Found) {
        let offset = record.offset;
        let origin = Origin::of_source(record);
        match self.stages.process(record.topic, record, None) {
            Verdict::Emit(output) => {
                found.to_emit.insert(offset);
                let print = printed(record, &origin, &output, timed);
                found.prints.set(offset, 0, print);
            }
            Verdict::EmitAll(outputs) if !outputs.is_empty() => {
                found.to_emit.insert(offset);
                for (index, output) in (0..).zip(&outputs) {
                    let print = printed(record, &origin, output, timed);
                    found.prints.set(offset, index, print);
                }
            }
            Verdict::Filtered | Verdict::EmitAll(_) => {
                found.to_filter.insert(offset);
            }
            // What failed may have passed later, by another contract or when something was there again.
            Verdict::Failed(_) | Verdict::LookUp(_) => {}
        }
    }
}

fn printed(record: &Record<'_>, origin: &Origin, output: &Output, timed: bool) -> u32 {
    let timestamp = output.timestamp.or(origin.timestamp);
    let timestamp = timestamp.map(i64::to_be_bytes);
    let timestamp = timestamp.as_ref().map(<[u8; 8]>::as_slice);
    print(&[
        output.key(record.key),
        timestamp.filter(|_| timed),
        output.value.as_deref(),
    ])
}
