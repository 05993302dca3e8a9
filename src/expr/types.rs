//! The types of expressions: what a field's node, a literal or a function's result is, when two of them are the same, and
//! which Avro type a new field of such a type gets.

use std::sync::Arc;

use crate::contract::schema::{Kind, Logical, Node, NodeId, Schema};
use crate::expr::path::{peel, type_name};

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
    /// `int` with logical type `time-millis`
    TimeMillis,
    /// `long` with logical type `time-micros`
    TimeMicros,
    /// `long` with logical type `timestamp-millis`
    TimestampMillis,
    /// `long` with logical type `timestamp-micros`
    TimestampMicros,
    /// `long` with logical type `timestamp-nanos`
    TimestampNanos,
    /// A length of time, which no field has.
    Duration,
    /// A decimal that was computed, with what is known of its size.
    Decimal {
        /// Digits in all, at most.
        precision: Option<usize>,
        /// Digits after the point, at most.
        scale: Option<usize>,
    },
    /// A list that was made; with nothing in it if the type is not known.
    List(Option<Arc<Type>>),
    /// A map that was made, with texts as keys; with nothing in it if the type of its values is not known.
    Map(Option<Arc<Type>>),
    /// Any other type of the schema: named types, collections, other logical types, unions of several types.
    Node(NodeId),
}

/// What a type can be compared with, and computed with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Class {
    Null,
    Boolean,
    Integer,
    Floating,
    Decimal,
    Text,
    Bytes,
    Enum(NodeId),
    Date,
    Time,
    Timestamp,
    Duration,
    /// Of elements of that type; none if it is empty.
    List(Option<Type>),
    /// Of values of that type; none if it is empty.
    Map(Option<Type>),
    Record(NodeId),
    /// What CEL has no meaning for, with its word.
    Foreign(&'static str),
    /// A union of several types.
    Several,
}

/// Precision of a decimal whose digits are not bounded by what it is computed from.
const PRECISION: usize = 38;

impl Type {
    /// The type without null.
    pub fn exactly(base: Base) -> Type {
        Type {
            base,
            nullable: false,
        }
    }

    /// The type of a field that is declared as `node`.
    pub fn of(schema: &Schema, node: NodeId) -> Type {
        let peeled = peel(schema, node);
        Type {
            base: Base::of(schema, peeled.node),
            nullable: peeled.nullable && !peeled.several,
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

    /// The node for a new field of this type: one that is there, or one that is added to the schema. Nullable types
    /// become `[null, T]`. The error says why there is no such Avro type, and what to do.
    pub fn intern(&self, schema: &mut Schema) -> Result<NodeId, String> {
        let base = self.base.intern(schema)?;
        if !self.nullable || self.base == Base::Null {
            return Ok(base);
        }
        Ok(nullable(schema, base))
    }
}

/// The node `[null, base]`; a union that has null already is itself.
pub fn nullable(schema: &mut Schema, base: NodeId) -> NodeId {
    if peel(schema, base).nullable {
        return base;
    }
    let null = there(schema, Kind::Null, None);
    let mut branches = vec![null];
    match &schema.node(base).kind {
        Kind::Union(others) => branches.extend(others),
        _ => branches.push(base),
    }
    there(schema, Kind::Union(branches), None)
}

/// The node of that kind, added to the schema if it is not there.
fn there(schema: &mut Schema, kind: Kind, logical: Option<Logical>) -> NodeId {
    let mut nodes = schema.nodes.iter();
    let found = nodes.position(|node| node.kind == kind && node.logical == logical);
    found.unwrap_or_else(|| {
        schema.nodes.push(Node { kind, logical });
        schema.nodes.len() - 1
    })
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
            (_, Some(Logical::Date)) => Base::Date,
            (_, Some(Logical::TimeMillis)) => Base::TimeMillis,
            (_, Some(Logical::TimeMicros)) => Base::TimeMicros,
            (_, Some(Logical::TimestampMillis)) => Base::TimestampMillis,
            (_, Some(Logical::TimestampMicros)) => Base::TimestampMicros,
            (_, Some(Logical::TimestampNanos)) => Base::TimestampNanos,
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
            Base::TimeMillis => (Kind::Int, Some(Logical::TimeMillis)),
            Base::TimeMicros => (Kind::Long, Some(Logical::TimeMicros)),
            Base::TimestampMillis => (Kind::Long, Some(Logical::TimestampMillis)),
            Base::TimestampMicros => (Kind::Long, Some(Logical::TimestampMicros)),
            Base::TimestampNanos => (Kind::Long, Some(Logical::TimestampNanos)),
            Base::Duration
            | Base::Decimal { .. }
            | Base::List(_)
            | Base::Map(_)
            | Base::Node(_) => return None,
        })
    }

    /// The node of this type; see [`Type::intern`].
    pub fn intern(&self, schema: &mut Schema) -> Result<NodeId, String> {
        if let Some((kind, logical)) = self.plain() {
            return Ok(there(schema, kind, logical));
        }
        match self {
            Base::Node(node) => Ok(*node),
            Base::Decimal { precision, scale } => {
                let Some(scale) = *scale else {
                    let why = "a decimal needs a known number of digits after the point; `round(…, 2)` gives it one";
                    return Err(why.to_owned());
                };
                let precision = precision.unwrap_or(PRECISION).max(scale).max(1);
                let logical = Logical::Decimal { precision, scale };
                Ok(there(schema, Kind::Bytes, Some(logical)))
            }
            Base::List(Some(element)) => {
                let element = element.intern(schema)?;
                Ok(there(schema, Kind::Array(element), None))
            }
            Base::Map(Some(value)) => {
                let value = value.intern(schema)?;
                Ok(there(schema, Kind::Map(value), None))
            }
            Base::List(None) => Err("nothing says what an empty list is a list of".to_owned()),
            Base::Map(None) => Err("nothing says what an empty map is a map of".to_owned()),
            _ => Err(
                "no field can hold a duration; `string(…)`, or `int(….getSeconds())`, makes one that can".to_owned(),
            ),
        }
    }

    /// For messages.
    pub fn describe(&self, schema: &Schema) -> String {
        match (self, self.plain()) {
            (_, Some((_, Some(logical)))) => logical.word().to_owned(),
            (_, Some((kind, None))) => kind.word().to_owned(),
            (Base::Node(node), _) => type_name(schema, *node),
            (
                Base::Decimal {
                    precision: Some(precision),
                    scale: Some(scale),
                },
                _,
            ) => {
                format!("decimal({precision},{scale})")
            }
            (Base::Decimal { .. }, _) => "decimal".to_owned(),
            (Base::List(Some(element)), _) => format!("array of {}", element.describe(schema)),
            (Base::Map(Some(value)), _) => format!("map of {}", value.describe(schema)),
            (Base::List(None), _) => "empty list".to_owned(),
            (Base::Map(None), _) => "empty map".to_owned(),
            _ => "duration".to_owned(),
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
            Base::Date => Class::Date,
            Base::TimeMillis | Base::TimeMicros => Class::Time,
            Base::TimestampMillis | Base::TimestampMicros | Base::TimestampNanos => {
                Class::Timestamp
            }
            Base::Duration => Class::Duration,
            Base::Decimal { .. } => Class::Decimal,
            Base::List(element) => Class::List(element.as_deref().cloned()),
            Base::Map(value) => Class::Map(value.as_deref().cloned()),
            Base::Node(node) => {
                let written = schema.node(*node);
                match (&written.kind, written.logical) {
                    (_, Some(Logical::Decimal { .. })) => Class::Decimal,
                    (Kind::String, Some(Logical::Uuid)) => Class::Text,
                    (Kind::Fixed(_), None | Some(Logical::Uuid)) => Class::Bytes,
                    (_, Some(logical)) => Class::Foreign(logical.word()),
                    (Kind::Enum(_), _) => Class::Enum(*node),
                    (Kind::Array(inner), _) => Class::List(Some(Type::of(schema, *inner))),
                    (Kind::Map(inner), _) => Class::Map(Some(Type::of(schema, *inner))),
                    (Kind::Record(_), _) => Class::Record(*node),
                    _ => Class::Several,
                }
            }
        }
    }

    /// Digits in all and after the point, of a number that can stand for a decimal.
    pub(super) fn digits(&self, schema: &Schema) -> (Option<usize>, Option<usize>) {
        match self {
            Base::Int => (Some(10), Some(0)),
            Base::Long => (Some(19), Some(0)),
            Base::Decimal { precision, scale } => (*precision, *scale),
            Base::Node(node) => match schema.node(*node).logical {
                Some(Logical::Decimal { precision, scale }) => (Some(precision), Some(scale)),
                _ => (None, None),
            },
            _ => (None, None),
        }
    }

    /// Whether two types are one and the same, however often the schema spells it.
    pub(super) fn same(&self, other: &Base, schema: &Schema) -> bool {
        match (self, other) {
            (Base::Node(a), Base::Node(b)) => same_node(schema, *a, *b),
            (a, b) if a == b => true,
            (a, b) => match (a.class(schema), b.class(schema)) {
                (Class::List(Some(a)), Class::List(Some(b)))
                | (Class::Map(Some(a)), Class::Map(Some(b))) => {
                    a.nullable == b.nullable && a.base.same(&b.base, schema)
                }
                (Class::Decimal, Class::Decimal) => a.digits(schema) == b.digits(schema),
                _ => false,
            },
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
