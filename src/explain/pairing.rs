//! Which part of the contract's schema takes a part of the writer's, for the annotation. The rules are those of
//! [`resolve`](crate::contract::resolve), told for one place at a time; whether the record passes is decided there and
//! not here.

use crate::contract::schema::{Field, Kind, NodeId, RecordType, Schema};

/// The contract's field that takes a field of the writer: the one of its name, or the one that has it as an alias and
/// does not find its own name.
pub(super) fn counterpart<'r>(
    from: &RecordType,
    to: &'r RecordType,
    name: &str,
) -> Option<&'r Field> {
    if let Some(position) = to.index.get(name) {
        return to.fields.get(*position);
    }
    to.fields.iter().find(|field| {
        let by_alias = || {
            field
                .aliases
                .iter()
                .find(|alias| from.index.contains_key(*alias))
        };
        !from.index.contains_key(&field.name) && by_alias().is_some_and(|alias| alias == name)
    })
}

/// The type of the contract that takes a type of the writer: `declared`, or a branch of it. None if nothing does.
pub(super) fn pick(
    writer: &Schema,
    node: NodeId,
    contract: &Schema,
    declared: NodeId,
) -> Option<NodeId> {
    let Kind::Union(branches) = &contract.node(declared).kind else {
        return (fit(writer, node, contract, declared) < NO_FIT).then_some(declared);
    };
    let fits = branches
        .iter()
        .map(|branch| (fit(writer, node, contract, *branch), *branch));
    let best = fits.min_by_key(|(fit, _)| *fit);
    best.filter(|(fit, _)| *fit < NO_FIT)
        .map(|(_, branch)| branch)
}

const NO_FIT: u8 = 9;

/// How well a type takes another: by full name, by kind, by promotion.
fn fit(writer: &Schema, node: NodeId, contract: &Schema, reader: NodeId) -> u8 {
    let (from, to) = (&writer.node(node).kind, &contract.node(reader).kind);
    if let (Some(one), Some(other)) = (from.name(), to.name()) {
        return match from.word() == to.word() {
            false => NO_FIT,
            true if one.full == other.full => 0,
            true if other.aliases.contains(&one.full) => 1,
            true if one.unqualified() == other.unqualified() => 2,
            true => NO_FIT,
        };
    }
    match (from, to) {
        _ if from.word() == to.word() => 3,
        (Kind::Int, Kind::Long) | (Kind::Float, Kind::Double) => 4,
        (Kind::Int | Kind::Long, Kind::Float) => 5,
        (Kind::Int | Kind::Long, Kind::Double) => 6,
        (Kind::String, Kind::Bytes) | (Kind::Bytes, Kind::String) => 4,
        _ => NO_FIT,
    }
}
