//! The steps that the configuration knows and that are not compiled yet: each is refused where it stands, so that none is
//! skipped.

use crate::config::fault::Fault;
use crate::config::model::{Place, Step};

/// Whether a step is one of these.
pub(super) fn is(step: &Step) -> bool {
    refuse(step).is_some()
}

/// The fault of such a step.
pub(super) fn refuse(step: &Step) -> Option<Fault> {
    let (name, place): (_, Option<&Place>) = match step {
        Step::Set(_)
        | Step::Filter(_)
        | Step::Mask { .. }
        | Step::Rename(_)
        | Step::Drop(_)
        | Step::Cast(_)
        | Step::MapValues(_)
        | Step::Lookup(_) => return None,
        Step::Move(entries) => ("move", entries.first().map(|(from, _)| &from.place)),
        Step::Keep(fields) => ("keep", fields.first().map(|field| &field.place)),
        Step::Default(entries) => ("default", entries.first().map(|(field, _)| &field.place)),
        Step::Flatten { field, .. } => ("flatten", Some(&field.place)),
        Step::Nest { into, .. } => ("nest", Some(&into.place)),
        Step::Explode { field, .. } => ("explode", Some(&field.place)),
        Step::Header(entries) => ("header", entries.first().map(|(name, _)| &name.place)),
        Step::Key(expression) => ("key", Some(&expression.place)),
        Step::Timestamp(expression) => ("timestamp", Some(&expression.place)),
        Step::Route(arms) => (
            "route",
            arms.first().map(|arm| {
                arm.when
                    .as_ref()
                    .map_or(&arm.sink.place, |when| &when.place)
            }),
        ),
    };
    let place = place.cloned().unwrap_or_default();
    let fault = Fault::new(
        &place,
        "",
        format!("the step `{name}` is not available yet"),
    );
    Some(fault.hint("take it out until then"))
}
