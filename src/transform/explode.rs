//! `explode: { field, into }`: one event for each element of an array, which stands in the array's place, under the name
//! `into` (its own by default). An array that is empty or null gives none.

use super::flow::Flow;
use super::layout::Layout;
use super::run::Source;
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, NodeId};
use crate::expr::path::{peel, type_name};

/// Where the elements are, and where one at a time is put.
#[derive(Debug)]
pub(super) struct Explode {
    pub(super) source: Source,
    /// The element's type as declared.
    pub(super) element: NodeId,
    pub(super) into: u32,
}

pub(super) fn compile(
    field: &Placed<String>,
    into: Option<&Placed<String>>,
    flow: &mut Flow,
    faults: &mut Vec<Fault>,
) -> Option<Explode> {
    let fault = |message: String| Fault::new(&field.place, field.value.clone(), message);
    let target = match flow.target(field) {
        Ok(target) => target,
        Err(fault) => {
            faults.push(fault);
            return None;
        }
    };
    if !target.container.is_empty() {
        faults.push(
            fault(format!(
                "`{}` may be missing, or there many times",
                field.value
            ))
            .hint("explode the outer array first, or `default` what may be null"),
        );
        return None;
    }
    let Kind::Array(element) = flow
        .schema
        .node(peel(&flow.schema, target.declared).node)
        .kind
    else {
        let what = type_name(&flow.schema, target.declared);
        faults.push(fault(format!("`{}` is {what}, not an array", field.value)));
        return None;
    };
    let (last, parents) = target.inner.split_last().expect("a field has a position");
    if let Some(into) = into {
        if let Err(fault) = shape::check_name(into) {
            faults.push(fault);
            return None;
        }
        let holder = flow.node_at(flow.root(), parents);
        let fields = flow.record(holder).map(|record| record.fields.as_slice());
        let others = fields.unwrap_or_default().iter().enumerate();
        if others
            .clone()
            .any(|(at, other)| at != *last && other.name == into.value)
        {
            faults.push(shape::taken(into));
            return None;
        }
    }
    let register = flow.register(&field.value);
    let mut source = None;
    flow.inside((&[], ""), false, |flow, frame| {
        source = Some(flow.source(frame, &target.inner, target.declared));
        flow.put(frame, &target.inner, Layout::register(register));
        frame.node = shape::edited(&mut flow.schema, frame.node, parents, &mut |record| {
            let field = &mut record.fields[*last];
            field.node = element;
            field.default = None;
            if let Some(into) = into {
                field.name.clone_from(&into.value);
                field.aliases.clear();
            }
        });
    });
    source.map(|source| Explode {
        source,
        element,
        into: register,
    })
}
