//! The arena as it leaves the parser.

use std::collections::HashMap;

use super::{DEPTH_LIMIT, error};
use crate::contract::schema::{Kind, Node, NodeId, Schema, SchemaError};

/// The same schema with nodes numbered in the order of the text and nothing that the root does not reach, so that
/// equal schemas are equal values.
pub(super) fn compact(schema: &Schema) -> Result<Schema, SchemaError> {
    let mut compactor = Compactor {
        schema,
        nodes: Vec::new(),
        ids: HashMap::new(),
    };
    let root = compactor.visit(schema.root, 0)?;
    let schema = Schema {
        nodes: compactor.nodes,
        root,
    };
    // A visit counts from where a type was met first; types defined one after the other nest deeper than that.
    if height(&schema) > NESTING_LIMIT {
        return error("", format!("nests deeper than {NESTING_LIMIT} types"));
    }
    Ok(schema)
}

/// Types inside one another, records that contain themselves counted once. Whoever walks a schema afterwards does so by
/// recursion, on a worker's stack. Data nests less: see [`Limits`](crate::contract::decode::Limits).
const NESTING_LIMIT: usize = 200;

/// The longest way from the root down. Without recursion, for it is what tells whether there may be any.
fn height(schema: &Schema) -> usize {
    let mut heights: Vec<Option<usize>> = vec![None; schema.nodes.len()];
    let mut entered = vec![false; schema.nodes.len()];
    let mut open = vec![schema.root];
    while let Some(id) = open.last().copied() {
        let parts = parts(schema, id);
        if !entered[id] {
            entered[id] = true;
            open.extend(parts.iter().copied().filter(|part| !entered[*part]));
            continue;
        }
        open.pop();
        // A part that is still open is the record that this one lies in.
        let below = parts.iter().filter_map(|part| heights[*part]).max();
        heights[id] = Some(1 + below.unwrap_or(0));
    }
    heights[schema.root].unwrap_or(0)
}

fn parts(schema: &Schema, id: NodeId) -> Vec<NodeId> {
    match &schema.node(id).kind {
        Kind::Array(part) | Kind::Map(part) => vec![*part],
        Kind::Union(branches) => branches.clone(),
        Kind::Record(record) => record.fields.iter().map(|field| field.node).collect(),
        _ => Vec::new(),
    }
}

struct Compactor<'s> {
    schema: &'s Schema,
    nodes: Vec<Node>,
    ids: HashMap<NodeId, NodeId>,
}

impl Compactor<'_> {
    fn visit(&mut self, id: NodeId, depth: usize) -> Result<NodeId, SchemaError> {
        if let Some(done) = self.ids.get(&id) {
            return Ok(*done);
        }
        // One text is bounded already; a chain of references is not.
        if depth > DEPTH_LIMIT {
            return error("", format!("nests deeper than {DEPTH_LIMIT} types"));
        }
        let target = self.nodes.len();
        let mut node = self.schema.node(id).clone();
        self.nodes.push(node.clone());
        self.ids.insert(id, target);
        match &mut node.kind {
            Kind::Array(part) | Kind::Map(part) => *part = self.visit(*part, depth + 1)?,
            Kind::Union(branches) => {
                for branch in branches {
                    *branch = self.visit(*branch, depth + 1)?;
                }
            }
            Kind::Record(record) => {
                for field in &mut record.fields {
                    field.node = self.visit(field.node, depth + 1)?;
                }
            }
            _ => {}
        }
        self.nodes[target] = node;
        Ok(target)
    }
}
