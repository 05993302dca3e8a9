//! An Avro schema as a flat arena of nodes: recursive types are indices, so that walking one needs no reference
//! counting and no look-up by name.

use std::collections::BTreeMap;

/// Index of a node in its [`Schema`].
pub type NodeId = usize;

/// A parsed schema with all names resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// All nodes; a named type stands here once.
    pub nodes: Vec<Node>,
    /// The top one.
    pub root: NodeId,
}

/// One type.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The type and its parts.
    pub kind: Kind,
    /// The logical type, if it is one that is known and valid for `kind`; others are ignored, as the specification says.
    pub logical: Option<Logical>,
}

/// The type of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `null`
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
    /// `bytes`
    Bytes,
    /// `string`
    String,
    /// `array` of the node.
    Array(NodeId),
    /// `map` with values of the node.
    Map(NodeId),
    /// `union` of the nodes, in order.
    Union(Vec<NodeId>),
    /// `record`
    Record(RecordType),
    /// `enum`
    Enum(EnumType),
    /// `fixed`
    Fixed(FixedType),
}

/// The name of a record, enum or fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// With namespace: `shop.Order`.
    pub full: String,
    /// Full names of its aliases.
    pub aliases: Vec<String>,
}

impl Name {
    /// Without the namespace.
    pub fn unqualified(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or(&self.full)
    }
}

/// A record type.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordType {
    /// Its name.
    pub name: Name,
    /// Its doc.
    pub doc: Option<String>,
    /// Fields in order.
    pub fields: Vec<Field>,
    /// Field name → position.
    pub index: BTreeMap<String, usize>,
}

/// A field of a record type.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its aliases.
    pub aliases: Vec<String>,
    /// Its doc.
    pub doc: Option<String>,
    /// Its type.
    pub node: NodeId,
    /// Its default as JSON, as written in the schema.
    pub default: Option<serde_json::Value>,
}

/// An enum type.
#[derive(Debug, Clone, PartialEq)]
pub struct EnumType {
    /// Its name.
    pub name: Name,
    /// Its doc.
    pub doc: Option<String>,
    /// Symbols in order.
    pub symbols: Vec<String>,
    /// Position of the default symbol.
    pub default: Option<usize>,
}

/// A fixed type.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedType {
    /// Its name.
    pub name: Name,
    /// Its doc.
    pub doc: Option<String>,
    /// Length in bytes.
    pub size: usize,
}

/// The logical types of Avro 1.12.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logical {
    /// `decimal` on bytes or fixed.
    Decimal {
        /// Digits in all.
        precision: usize,
        /// Digits after the point.
        scale: usize,
    },
    /// `uuid` on string or fixed(16).
    Uuid,
    /// `date` on int: days since the epoch.
    Date,
    /// `time-millis` on int.
    TimeMillis,
    /// `time-micros` on long.
    TimeMicros,
    /// `timestamp-millis` on long.
    TimestampMillis,
    /// `timestamp-micros` on long.
    TimestampMicros,
    /// `timestamp-nanos` on long.
    TimestampNanos,
    /// `local-timestamp-millis` on long.
    LocalTimestampMillis,
    /// `local-timestamp-micros` on long.
    LocalTimestampMicros,
    /// `local-timestamp-nanos` on long.
    LocalTimestampNanos,
    /// `duration` on fixed(12).
    Duration,
}

impl Schema {
    /// The node at `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The top node.
    pub fn root(&self) -> &Node {
        &self.nodes[self.root]
    }

    /// The top record type, if the schema is a record.
    pub fn record(&self) -> Option<&RecordType> {
        match &self.root().kind {
            Kind::Record(record) => Some(record),
            _ => None,
        }
    }
}
