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
    Ok(Schema {
        nodes: compactor.nodes,
        root,
    })
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
