//! Changes to a record's type. A nested record is copied along the path, so that other fields of the same type keep
//! it; nodes that are no longer reached stay in the arena, which harms nobody.

use super::flow::Target;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Field, Kind, Node, NodeId, RecordType, Schema};
use crate::expr::Base;
use crate::expr::path::{Segment, peel};

/// The record type that holds a path's last field, changed: the node that takes the place of `node`. `parents` leads to it
/// from `node`, through nullable records too.
pub(super) fn edited(
    schema: &mut Schema,
    node: NodeId,
    parents: &[usize],
    change: &mut dyn FnMut(&mut RecordType),
) -> NodeId {
    let mut copy: Node = schema.node(node).clone();
    match &mut copy.kind {
        Kind::Union(branches) => {
            let inner = peel(schema, node).node;
            let new = edited(schema, inner, parents, change);
            for branch in branches {
                if *branch == inner {
                    *branch = new;
                }
            }
        }
        Kind::Record(record) => match parents.split_first() {
            Some((first, rest)) => {
                let field = &mut record.fields[*first];
                field.node = edited(schema, field.node, rest, change);
                field.default = None;
            }
            None => {
                change(record);
                record.index = index(&record.fields);
            }
        },
        _ => unreachable!("a resolved path leads through records"),
    }
    schema.nodes.push(copy);
    schema.nodes.len() - 1
}

fn index(fields: &[Field]) -> std::collections::BTreeMap<String, usize> {
    let positions = fields.iter().enumerate();
    positions
        .map(|(position, field)| (field.name.clone(), position))
        .collect()
}

/// Gives the field at a path below `root` another type; `root` itself for no path. Its default goes, for it was of the old
/// one.
pub(super) fn retyped_at(
    schema: &mut Schema,
    root: NodeId,
    positions: &[usize],
    node: NodeId,
) -> NodeId {
    let Some((last, parents)) = positions.split_last() else {
        return node;
    };
    edited(schema, root, parents, &mut |record| {
        record.fields[*last].node = node;
        record.fields[*last].default = None;
    })
}

/// The type of what lies at the end of segments from a declared type on, as declared.
pub(super) fn element(schema: &Schema, declared: NodeId, segments: &[Segment]) -> NodeId {
    let mut node = declared;
    for segment in segments {
        let peeled = peel(schema, node).node;
        node = match (segment, &schema.node(peeled).kind) {
            (Segment::Field(position, _), Kind::Record(record)) => record.fields[*position].node,
            (Segment::Elements, Kind::Array(inner)) | (Segment::Values, Kind::Map(inner)) => *inner,
            _ => unreachable!("the path was resolved"),
        };
    }
    node
}

/// `declared` with another type at the end of the segments: `old`, which may be the branch of a union there, is replaced by
/// `new`.
pub(super) fn replaced(
    schema: &mut Schema,
    declared: NodeId,
    segments: &[Segment],
    (old, new): (NodeId, NodeId),
) -> NodeId {
    if old == new {
        return declared;
    }
    if segments.is_empty() && declared == old {
        return new;
    }
    let mut copy: Node = schema.node(declared).clone();
    match (&mut copy.kind, segments.split_first()) {
        (Kind::Union(branches), _) => {
            let inner = peel(schema, declared).node;
            let changed = replaced(schema, inner, segments, (old, new));
            for branch in branches {
                if *branch == inner {
                    *branch = changed;
                }
            }
        }
        (Kind::Record(record), Some((Segment::Field(position, _), rest))) => {
            let field = &mut record.fields[*position];
            field.node = replaced(schema, field.node, rest, (old, new));
            field.default = None;
        }
        (Kind::Array(inner), Some((Segment::Elements, rest)))
        | (Kind::Map(inner), Some((Segment::Values, rest))) => {
            *inner = replaced(schema, *inner, rest, (old, new));
        }
        _ => unreachable!("the path was resolved"),
    }
    schema.nodes.push(copy);
    schema.nodes.len() - 1
}

/// Puts another type under the nullable union of a field, if it has one.
pub(super) fn retyped(schema: &mut Schema, declared: NodeId, inner: NodeId) -> NodeId {
    let peeled = peel(schema, declared);
    let Kind::Union(branches) = &schema.node(declared).kind else {
        return inner;
    };
    let branches = branches
        .iter()
        .map(|branch| {
            if *branch == peeled.node {
                inner
            } else {
                *branch
            }
        })
        .collect();
    push(schema, Kind::Union(branches))
}

/// A field without alias, doc and default.
pub(super) fn field(name: &str, node: NodeId) -> Field {
    Field {
        name: name.to_owned(),
        aliases: Vec::new(),
        doc: None,
        node,
        default: None,
    }
}

/// A record with another field behind its own.
pub(super) fn appended(schema: &mut Schema, record: NodeId, name: &str, node: NodeId) -> NodeId {
    edited(schema, record, &[], &mut |record| {
        record.fields.push(field(name, node));
    })
}

/// The node of a type that every schema can have.
pub(super) fn plain(schema: &mut Schema, base: &Base) -> NodeId {
    base.intern(schema).expect("Avro has this type")
}

/// Adds a node without a logical type.
pub(super) fn push(schema: &mut Schema, kind: Kind) -> NodeId {
    schema.nodes.push(Node {
        kind,
        logical: None,
    });
    schema.nodes.len() - 1
}

/// Brings a whole schema in and returns its top.
pub(super) fn import(schema: &mut Schema, other: &Schema) -> NodeId {
    let offset = schema.nodes.len();
    for node in &other.nodes {
        let mut node = node.clone();
        match &mut node.kind {
            Kind::Array(inner) | Kind::Map(inner) => *inner += offset,
            Kind::Union(branches) => branches.iter_mut().for_each(|branch| *branch += offset),
            Kind::Record(record) => {
                for field in &mut record.fields {
                    field.node += offset;
                }
            }
            _ => {}
        }
        schema.nodes.push(node);
    }
    other.root + offset
}

/// What is reached from a node, as a schema of its own.
pub(super) fn extract(schema: &Schema, root: NodeId) -> Schema {
    let mut known = std::collections::BTreeMap::from([(root, 0)]);
    let mut order = vec![root];
    let mut next = 0;
    let mut nodes: Vec<Node> = Vec::new();
    while let Some(node) = order.get(next).copied() {
        let mut node = schema.node(node).clone();
        let mut place = |below: &mut NodeId| {
            *below = *known.entry(*below).or_insert_with(|| {
                order.push(*below);
                order.len() - 1
            });
        };
        match &mut node.kind {
            Kind::Array(inner) | Kind::Map(inner) => place(inner),
            Kind::Union(branches) => branches.iter_mut().for_each(place),
            Kind::Record(record) => {
                let fields = record.fields.iter_mut();
                fields.for_each(|field| place(&mut field.node));
            }
            _ => {}
        }
        nodes.push(node);
        next += 1;
    }
    Schema { nodes, root: 0 }
}

/// Whether a name can be that of an Avro field.
pub(super) fn check_name(name: &Placed<String>) -> Result<(), Fault> {
    let mut chars = name.value.chars();
    let first = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    let message = format!("`{}` cannot be the name of a field", name.value);
    let fault = Fault::new(&name.place, name.value.clone(), message);
    Err(fault.hint("letters, digits and `_`, with no digit first"))
}

/// The fault of a name that another field has.
pub(super) fn taken(name: &Placed<String>) -> Fault {
    let message = format!("there is a field `{}` already", name.value);
    Fault::new(&name.place, name.value.clone(), message).hint("drop or rename that one first")
}

/// The fault of two entries of one step that touch the same field.
pub(super) fn overlap(targets: &[(&Placed<String>, &Target)], faults: &mut Vec<Fault>) {
    for (at, (text, target)) in targets.iter().enumerate() {
        let earlier = targets[..at]
            .iter()
            .find(|(_, other)| overlaps(target, other));
        if let Some((other, _)) = earlier {
            let message = format!("`{}` and `{}` overlap", other.value, text.value);
            let fault = Fault::new(&text.place, text.value.clone(), message);
            faults.push(fault.hint("make two steps of them, in the order that is meant"));
        }
    }
}

/// Whether one lies inside of the other, or both are the same.
fn overlaps(one: &Target, other: &Target) -> bool {
    let (one, other) = (one.segments(), other.segments());
    let shared = one.len().min(other.len());
    // Two fields that do not exist yet have other names.
    let is_new = one.last() == Some(&Segment::Field(usize::MAX, String::new()));
    one[..shared] == other[..shared] && !(is_new && one == other)
}
