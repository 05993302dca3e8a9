//! Changes to a record's type. A nested record is copied along the path, so that other fields of the same type keep
//! it; nodes that are no longer reached stay in the arena, which harms nobody.

use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Field, Kind, Node, NodeId, RecordType, Schema};
use crate::expr::path::{Path, peel};

/// Resolves a path that a step can work on: fields only.
pub(super) fn plain_path(
    schema: &Schema,
    text: &Placed<String>,
) -> Result<(Path, Vec<usize>), Fault> {
    let path = Path::resolve(schema, text)?;
    match path.positions() {
        Some(positions) => Ok((path, positions)),
        None => Err(Fault::new(
            &text.place,
            text.value.clone(),
            "not available yet: elements of arrays and maps in transform steps",
        )),
    }
}

/// Changes the record type that holds a path's last field. `parents` leads to it from the top.
pub(super) fn edit(schema: &mut Schema, parents: &[usize], change: impl FnOnce(&mut RecordType)) {
    schema.root = edited(schema, schema.root, parents, change);
}

fn edited(
    schema: &mut Schema,
    node: NodeId,
    parents: &[usize],
    change: impl FnOnce(&mut RecordType),
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

/// Gives the field at a path another type. Its default goes, for it was of the old one.
pub(super) fn retype(schema: &mut Schema, positions: &[usize], node: NodeId) {
    let Some((last, parents)) = positions.split_last() else {
        return;
    };
    edit(schema, parents, |record| {
        record.fields[*last].node = node;
        record.fields[*last].default = None;
    });
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

/// Appends a field to the top record.
pub(super) fn append(schema: &mut Schema, name: &str, node: NodeId) {
    edit(schema, &[], |record| {
        record.fields.push(Field {
            name: name.to_owned(),
            aliases: Vec::new(),
            doc: None,
            node,
            default: None,
        });
    });
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

/// The fault of two entries of one step that touch the same field.
pub(super) fn overlap(paths: &[(&Placed<String>, Vec<usize>)], faults: &mut Vec<Fault>) {
    for (at, (text, positions)) in paths.iter().enumerate() {
        let earlier = paths[..at].iter().find(|(_, other)| {
            let shared = positions.len().min(other.len());
            positions[..shared] == other[..shared]
        });
        if let Some((other, _)) = earlier {
            let message = format!("`{}` and `{}` overlap", other.value, text.value);
            let fault = Fault::new(&text.place, text.value.clone(), message);
            faults.push(fault.hint("make two steps of them, in the order that is meant"));
        }
    }
}
