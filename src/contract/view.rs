//! Reading bytes that a plan has validated: where a value ends, where a field begins, what an index says. Input: bytes of
//! a schema's node. Output: positions. Bytes that are not of the node are an error here, never a panic.

use super::schema::{Kind, NodeId, Schema};

/// The bytes are not of the schema. A plan has validated them, so this is a fault of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not of the type that was checked, which is a fault of this program")]
pub struct Broken;

/// A varint and the position after it.
#[inline]
pub fn long(bytes: &[u8], at: usize) -> Result<(i64, usize), Broken> {
    let mut number = 0u64;
    for nth in 0..10 {
        let byte = *bytes.get(at + nth).ok_or(Broken)?;
        number |= u64::from(byte & 0x7f) << (7 * nth);
        if byte < 0x80 {
            let value = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
            return Ok((value, at + nth + 1));
        }
    }
    Err(Broken)
}

/// A varint that is no less than 0.
#[inline]
pub fn index(bytes: &[u8], at: usize) -> Result<(usize, usize), Broken> {
    let (number, next) = long(bytes, at)?;
    Ok((usize::try_from(number).map_err(|_| Broken)?, next))
}

/// A length and that many bytes; the position after them.
#[inline]
pub fn sized(bytes: &[u8], at: usize) -> Result<(&[u8], usize), Broken> {
    let (length, start) = index(bytes, at)?;
    let end = start.checked_add(length).ok_or(Broken)?;
    Ok((bytes.get(start..end).ok_or(Broken)?, end))
}

/// So many bytes.
#[inline]
pub fn fixed(bytes: &[u8], at: usize, size: usize) -> Result<(&[u8], usize), Broken> {
    let end = at.checked_add(size).ok_or(Broken)?;
    Ok((bytes.get(at..end).ok_or(Broken)?, end))
}

/// Where the value of `node` that begins at `at` ends.
pub fn skip(schema: &Schema, node: NodeId, bytes: &[u8], at: usize) -> Result<usize, Broken> {
    match &schema.node(node).kind {
        Kind::Null => Ok(at),
        Kind::Boolean => Ok(fixed(bytes, at, 1)?.1),
        Kind::Int | Kind::Long | Kind::Enum(_) => Ok(long(bytes, at)?.1),
        Kind::Float => Ok(fixed(bytes, at, 4)?.1),
        Kind::Double => Ok(fixed(bytes, at, 8)?.1),
        Kind::Bytes | Kind::String => Ok(sized(bytes, at)?.1),
        Kind::Fixed(named) => Ok(fixed(bytes, at, named.size)?.1),
        Kind::Union(branches) => {
            let (branch, next) = index(bytes, at)?;
            skip(schema, *branches.get(branch).ok_or(Broken)?, bytes, next)
        }
        Kind::Record(record) => {
            let mut at = at;
            for field in &record.fields {
                at = skip(schema, field.node, bytes, at)?;
            }
            Ok(at)
        }
        Kind::Array(_) | Kind::Map(_) => {
            let mut elements = Elements::new(schema, node, bytes, at)?;
            while let Some(element) = elements.next()? {
                // A type whose values take no bytes: there may be any number of them.
                if element.end == element.start && !elements.keyed {
                    elements.left = 0;
                }
            }
            Ok(elements.at)
        }
    }
}

/// How many elements an array or map has.
pub fn count(schema: &Schema, node: NodeId, bytes: &[u8]) -> Result<usize, Broken> {
    let mut elements = Elements::new(schema, node, bytes, 0)?;
    let mut count = 0usize;
    while let Some(element) = elements.next()? {
        count += 1;
        if element.end == element.start && !elements.keyed {
            count = count.saturating_add(usize::try_from(elements.left).unwrap_or(usize::MAX));
            elements.left = 0;
        }
    }
    Ok(count)
}

/// The type of a record's field, as declared.
pub fn field_type(schema: &Schema, record: NodeId, position: usize) -> Result<NodeId, Broken> {
    match &schema.node(record).kind {
        Kind::Record(record) => Ok(record.fields.get(position).ok_or(Broken)?.node),
        _ => Err(Broken),
    }
}

/// Where the field begins of a record (no union) that begins at `at`.
pub fn field(
    schema: &Schema,
    record: NodeId,
    position: usize,
    bytes: &[u8],
    at: usize,
) -> Result<usize, Broken> {
    let Kind::Record(record) = &schema.node(record).kind else {
        return Err(Broken);
    };
    let mut at = at;
    for field in record.fields.get(..position).ok_or(Broken)? {
        at = skip(schema, field.node, bytes, at)?;
    }
    Ok(at)
}

/// The way from a record down through fields, past the index of a union where a record may be null: the type of the last
/// field as declared and where it begins, nothing where a record on the way is null.
pub fn descend(
    schema: &Schema,
    (mut node, mut at): (NodeId, usize),
    positions: &[usize],
    bytes: &[u8],
) -> Result<Option<(NodeId, usize)>, Broken> {
    for position in positions {
        if let Kind::Union(branches) = &schema.node(node).kind {
            let (branch, next) = index(bytes, at)?;
            node = *branches.get(branch).ok_or(Broken)?;
            at = next;
        }
        if schema.node(node).kind == Kind::Null {
            return Ok(None);
        }
        at = field(schema, node, *position, bytes, at)?;
        node = field_type(schema, node, *position)?;
    }
    Ok(Some((node, at)))
}

/// The elements of an array, or the entries of a map, one after another.
#[derive(Debug, Clone)]
pub struct Elements<'s, 'a> {
    schema: &'s Schema,
    inner: NodeId,
    keyed: bool,
    bytes: &'a [u8],
    /// Position after what was given out; after the last one, that after the collection.
    at: usize,
    left: u64,
    done: bool,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// The key, in a map.
    pub key: &'a [u8],
    /// Where its value begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl<'s, 'a> Elements<'s, 'a> {
    /// Of the array or map (no union) that begins at `at`.
    pub fn new(
        schema: &'s Schema,
        node: NodeId,
        bytes: &'a [u8],
        at: usize,
    ) -> Result<Elements<'s, 'a>, Broken> {
        let (inner, keyed) = match schema.node(node).kind {
            Kind::Array(inner) => (inner, false),
            Kind::Map(inner) => (inner, true),
            _ => return Err(Broken),
        };
        Ok(Elements {
            schema,
            inner,
            keyed,
            bytes,
            at,
            left: 0,
            done: false,
        })
    }

    /// The node of an element's value.
    pub fn node(&self) -> NodeId {
        self.inner
    }

    /// The position after the collection, once there is no next element.
    pub fn end(&self) -> usize {
        self.at
    }

    /// The next one.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error ends it, which an iterator would only say once"
    )]
    pub fn next(&mut self) -> Result<Option<Element<'a>>, Broken> {
        if self.done {
            return Ok(None);
        }
        if self.left == 0 {
            let (count, next) = long(self.bytes, self.at)?;
            self.at = next;
            if count == 0 {
                self.done = true;
                return Ok(None);
            }
            if count < 0 {
                self.at = long(self.bytes, self.at)?.1;
            }
            self.left = count.unsigned_abs();
        }
        let mut key: &[u8] = &[];
        if self.keyed {
            (key, self.at) = sized(self.bytes, self.at)?;
        }
        let start = self.at;
        self.at = skip(self.schema, self.inner, self.bytes, start)?;
        self.left -= 1;
        Ok(Some(Element {
            key,
            start,
            end: self.at,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::arbitrary::{ANY, Generator};
    use crate::contract::encode::encode;
    use crate::contract::value::Value;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn skips_exactly_a_value(seed: u64) {
            let (_, schema, value) = Generator::pair(seed, ANY);
            let mut bytes = Vec::new();
            encode(&schema, &value, &mut bytes).expect("a value of its schema");
            let end = bytes.len();
            bytes.extend([0xaa; 3]);
            prop_assert_eq!(skip(&schema, schema.root, &bytes, 0), Ok(end));
            if let (Kind::Record(record), Value::Record(values)) = (&schema.root().kind, &value) {
                let mut at = 0;
                for (position, (of, value)) in record.fields.iter().zip(values).enumerate() {
                    prop_assert_eq!(field(&schema, schema.root, position, &bytes, 0), Ok(at));
                    let mut own = Vec::new();
                    crate::contract::encode::encode_node(&schema, of.node, value, &mut own).expect("a value");
                    at += own.len();
                }
            }
        }

        #[test]
        fn no_bytes_panic(seed: u64, bytes: Vec<u8>) {
            let (_, schema, _) = Generator::pair(seed, ANY);
            if let Ok(end) = skip(&schema, schema.root, &bytes, 0) {
                prop_assert!(end <= bytes.len());
            }
        }
    }
}
