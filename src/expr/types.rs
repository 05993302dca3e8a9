//! The types of expressions: what a field's node or a literal is, and what may be compared with what.

use super::path::{peel, type_name};
use crate::contract::schema::{Kind, Logical, Node, NodeId, Schema};

/// The type of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// The type of its values that are not null.
    pub base: Base,
    /// Whether it may be null.
    pub nullable: bool,
}

/// A type without null.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// Always null.
    Null,
    /// `boolean`
    Boolean,
    /// `int`
    Int,
    /// `long`
    Long,
    /// `float`
    Float,
    /// `double`
    Double,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// `int` with logical type `date`
    Date,
    /// `long` with logical type `timestamp-millis`
    TimestampMillis,
    /// Any other type of the schema: named types, collections, other logical types.
    Node(NodeId),
}

/// What a type can be compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Class {
    Null,
    Boolean,
    Integer,
    Floating,
    Decimal { scale: usize },
    Text,
    Bytes,
    Enum(NodeId),
    Temporal(&'static str),
    Other,
}

impl Type {
    pub(super) fn exactly(base: Base) -> Type {
        Type {
            base,
            nullable: false,
        }
    }

    /// For messages: `nullable long`.
    pub fn describe(&self, schema: &Schema) -> String {
        let base = self.base.describe(schema);
        match self.nullable && self.base != Base::Null {
            true => format!("nullable {base}"),
            false => base,
        }
    }

    /// The node of this type: an existing one, or one that is added to the schema. Nullable types become
    /// `[null, T]`.
    pub fn intern(&self, schema: &mut Schema) -> NodeId {
        let base = self.base.intern(schema);
        if !self.nullable || self.base == Base::Null {
            return base;
        }
        nullable(schema, base)
    }
}

/// The node `[null, base]`; a union that has null already is itself.
pub(crate) fn nullable(schema: &mut Schema, base: NodeId) -> NodeId {
    if peel(schema, base).nullable {
        return base;
    }
    let null = Base::Null.intern(schema);
    let mut branches = vec![null];
    match &schema.node(base).kind {
        Kind::Union(others) => branches.extend(others),
        _ => branches.push(base),
    }
    push(schema, Kind::Union(branches), None)
}

fn push(schema: &mut Schema, kind: Kind, logical: Option<Logical>) -> NodeId {
    schema.nodes.push(Node { kind, logical });
    schema.nodes.len() - 1
}

impl Base {
    /// The type of a node that is not a nullable union.
    pub fn of(schema: &Schema, node: NodeId) -> Base {
        match (&schema.node(node).kind, schema.node(node).logical) {
            (Kind::Null, None) => Base::Null,
            (Kind::Boolean, None) => Base::Boolean,
            (Kind::Int, None) => Base::Int,
            (Kind::Long, None) => Base::Long,
            (Kind::Float, None) => Base::Float,
            (Kind::Double, None) => Base::Double,
            (Kind::String, None) => Base::String,
            (Kind::Bytes, None) => Base::Bytes,
            (Kind::Int, Some(Logical::Date)) => Base::Date,
            (Kind::Long, Some(Logical::TimestampMillis)) => Base::TimestampMillis,
            _ => Base::Node(node),
        }
    }

    fn plain(&self) -> Option<(Kind, Option<Logical>)> {
        Some(match self {
            Base::Null => (Kind::Null, None),
            Base::Boolean => (Kind::Boolean, None),
            Base::Int => (Kind::Int, None),
            Base::Long => (Kind::Long, None),
            Base::Float => (Kind::Float, None),
            Base::Double => (Kind::Double, None),
            Base::String => (Kind::String, None),
            Base::Bytes => (Kind::Bytes, None),
            Base::Date => (Kind::Int, Some(Logical::Date)),
            Base::TimestampMillis => (Kind::Long, Some(Logical::TimestampMillis)),
            Base::Node(_) => return None,
        })
    }

    /// The node of this type, added to the schema if it is not there.
    pub fn intern(&self, schema: &mut Schema) -> NodeId {
        match (self, self.plain()) {
            (Base::Node(node), _) => *node,
            (_, Some((kind, logical))) => {
                let there = schema
                    .nodes
                    .iter()
                    .position(|node| node.kind == kind && node.logical == logical);
                there.unwrap_or_else(|| push(schema, kind, logical))
            }
            (_, None) => unreachable!("every base but Node is plain"),
        }
    }

    /// For messages.
    pub fn describe(&self, schema: &Schema) -> String {
        match (self, self.plain()) {
            (Base::Node(node), _) => type_name(schema, *node),
            (_, Some((_, Some(logical)))) => logical.word().to_owned(),
            (other, _) => format!("{other:?}").to_lowercase(),
        }
    }

    pub(super) fn class(&self, schema: &Schema) -> Class {
        match self {
            Base::Null => Class::Null,
            Base::Boolean => Class::Boolean,
            Base::Int | Base::Long => Class::Integer,
            Base::Float | Base::Double => Class::Floating,
            Base::String => Class::Text,
            Base::Bytes => Class::Bytes,
            Base::Date => Class::Temporal("date"),
            Base::TimestampMillis => Class::Temporal("timestamp-millis"),
            Base::Node(node) => {
                let written = schema.node(*node);
                match (&written.kind, written.logical) {
                    (_, Some(Logical::Decimal { scale, .. })) => Class::Decimal { scale },
                    (Kind::String, Some(Logical::Uuid)) => Class::Text,
                    (Kind::Fixed(_), None | Some(Logical::Uuid)) => Class::Bytes,
                    (Kind::Enum(_), _) => Class::Enum(*node),
                    (_, Some(logical)) => Class::Temporal(logical.word()),
                    _ => Class::Other,
                }
            }
        }
    }

    /// Whether two types are one and the same, however often the schema spells it.
    pub(super) fn same(&self, other: &Base, schema: &Schema) -> bool {
        match (self, other) {
            (Base::Node(a), Base::Node(b)) => same_node(schema, *a, *b),
            (a, b) => a == b,
        }
    }
}

/// Whether two nodes are the same type. Named types are compared by their definition.
pub(crate) fn same_node(schema: &Schema, a: NodeId, b: NodeId) -> bool {
    if a == b || schema.node(a) == schema.node(b) {
        return true;
    }
    match (&schema.node(a).kind, &schema.node(b).kind) {
        (Kind::Array(a), Kind::Array(b)) | (Kind::Map(a), Kind::Map(b)) => {
            same_node(schema, *a, *b)
        }
        (Kind::Union(a), Kind::Union(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_node(schema, *a, *b))
        }
        _ => false,
    }
}
