//! The arms of `route`, from the checked tree to [`RouteArm`]. What an arm does not say of its sink is as in the pipeline's
//! own. Expressions stay texts with their places.

use super::fault::Fault;
use super::keys::transform::ROUTE;
use super::lower::{Lowering, schema_source, sub};
use super::model::{RouteArm, SchemaSource, Sink};
use super::tree::Node;
use super::view::View;

/// The arms. `at` is the step's name, `main` the pipeline's own sink.
pub(crate) fn lower(node: &Node, at: &Node, main: &Sink, cx: &mut Lowering<'_>) -> Vec<RouteArm> {
    let items = node.items();
    let mut arms: Vec<RouteArm> = Vec::new();
    let mut ends = false;
    for (index, item) in items.iter().enumerate() {
        let view = sub(item, ROUTE, &item.place);
        let otherwise = view.bool("else");
        if view.has("else") && !otherwise && view.scalar("else") == Some("false") {
            let fault = Fault::new(view.place("else"), "else", "`else` is `true` or not there");
            cx.faults
                .push(fault.hint("an arm with a condition has `when`"));
        } else if view.has("else") && view.has("when") {
            let message = "`when` and `else` exclude each other";
            let fault = Fault::new(view.place("when"), "when", message);
            cx.faults
                .push(fault.hint("the last arm has `else: true`, every other one `when`"));
        } else if !view.has("else") && !view.has("when") && cx.complete {
            let fault = Fault::new(&item.place, "", "an arm without a condition");
            cx.faults
                .push(fault.hint("write `when: …`, or `else: true` for the last one"));
        }
        if otherwise && index + 1 < items.len() {
            let message = "`else` stands in front of other arms, which would have no record";
            let fault = Fault::new(view.place("else"), "else", message);
            cx.faults.push(fault.hint("put it at the end"));
        }
        ends |= otherwise;
        let sink = sink(view, main, cx);
        let others = arms.iter().map(|arm| &arm.sink).chain([main]);
        if let Some(other) = others.into_iter().find(|other| clash(other, &sink)) {
            let message = format!(
                "subject {} is that of {} too",
                sink.subject,
                path(&other.schema)
            );
            let fault = Fault::new(view.value_place("schema"), view.raw("schema"), message);
            cx.faults.push(fault.hint("name another one: subject: …"));
        }
        arms.push(RouteArm {
            when: view.node("when").map(super::view::placed),
            sink,
        });
    }
    if !ends && cx.complete {
        let fault = Fault::new(&at.place, &at.raw, "`route` has no `else`");
        cx.faults.push(fault.hint(
            "every record goes somewhere: end it with `{ else: true }` for the pipeline's sink, or with another topic",
        ));
    }
    arms
}

fn sink(view: View<'_>, main: &Sink, cx: &mut Lowering<'_>) -> Sink {
    let topic = view.text("topic").unwrap_or_else(|| main.topic.clone());
    let own = view.has("schema") || view.has("subject");
    let schema = match own {
        true => schema_source(&view, "route", cx),
        false => main.schema.clone(),
    };
    let usual = |topic: &str| format!("{topic}-value");
    let subject = match (&schema, view.text("subject")) {
        (_, Some(subject)) => subject,
        (SchemaSource::Subject { subject, .. }, None) => subject.clone(),
        // A subject that does not go by the topic is the schema's, wherever it is written to.
        (SchemaSource::File { .. }, None) if !own && main.subject != usual(&main.topic) => {
            main.subject.clone()
        }
        (SchemaSource::File { .. }, None) => usual(&topic),
    };
    Sink {
        topic,
        auto_register: main.auto_register && matches!(schema, SchemaSource::File { .. }),
        schema,
        subject,
        place: match view.has("topic") {
            true => view.value_place("topic").clone(),
            false => view.at().clone(),
        },
    }
}

/// Whether two files would be registered under one subject.
fn clash(one: &Sink, other: &Sink) -> bool {
    match (&one.schema, &other.schema) {
        (SchemaSource::File { path: first }, SchemaSource::File { path: second }) => {
            one.subject == other.subject && first != second
        }
        _ => false,
    }
}

fn path(schema: &SchemaSource) -> String {
    match schema {
        SchemaSource::File { path } => path.display().to_string(),
        SchemaSource::Subject { subject, .. } => subject.clone(),
    }
}
