//! Avro bytes → [`Value`]. Input: the bytes behind the frame and their writer schema. Output: the value, or
//! `malformed_data` with field path and byte offset. Knows nothing of the contract's schema.
//!
//! Strict: every byte is accounted for. Nothing is allocated by a length or count that the bytes claim before the
//! bytes are there, and what takes no bytes is counted against a budget.

use super::decimal;
use super::path::Trail;
use super::schema::{Kind, Logical, NodeId, Schema};
use super::value::Value;
use crate::error::{Reason, RecordError};

/// Bounds on one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records, arrays and maps inside one another. A recursive type would otherwise exhaust the stack.
    pub depth: usize,
    /// Array items, map entries and values that take no bytes, in all. Ten million empty records fit in five bytes.
    pub elements: usize,
    /// Bytes of the whole value.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            depth: 64,
            elements: 1_000_000,
            bytes: 64 * 1024 * 1024,
        }
    }
}

/// The value that `bytes` are, all of them. Offsets in errors count from the beginning of `bytes`.
pub fn decode(schema: &Schema, bytes: &[u8], limits: &Limits) -> Result<Value, RecordError> {
    let mut decoder = Decoder::new(schema, bytes, limits);
    if bytes.len() > limits.bytes {
        let found = format!(
            "expected at most {} bytes, found {}",
            limits.bytes,
            bytes.len()
        );
        return Err(decoder.error(0, found));
    }
    let value = decoder.node(schema.root)?;
    if decoder.position < bytes.len() {
        let trailing = bytes.len() - decoder.position;
        let found = format!("expected the end, found {trailing} trailing bytes");
        return Err(decoder.error(decoder.position, found));
    }
    Ok(value)
}

/// The value of one node that `bytes` begin with, and how many of them it is.
pub fn prefix(
    schema: &Schema,
    node: NodeId,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(Value, usize), RecordError> {
    let mut decoder = Decoder::new(schema, bytes, limits);
    let value = decoder.node(node)?;
    Ok((value, decoder.position))
}

struct Decoder<'s, 'b> {
    schema: &'s Schema,
    bytes: &'b [u8],
    position: usize,
    depth: usize,
    elements: usize,
    limits: &'b Limits,
    trail: Trail<'s>,
}

impl<'s, 'b> Decoder<'s, 'b> {
    fn new(schema: &'s Schema, bytes: &'b [u8], limits: &'b Limits) -> Self {
        Decoder {
            schema,
            bytes,
            position: 0,
            depth: 0,
            elements: 0,
            limits,
            trail: Trail::default(),
        }
    }

    fn error(&self, offset: usize, message: String) -> RecordError {
        RecordError::new(Reason::MalformedData, message)
            .at(self.trail.render())
            .at_byte(offset)
    }

    fn node(&mut self, id: NodeId) -> Result<Value, RecordError> {
        let schema = self.schema;
        Ok(match &schema.node(id).kind {
            Kind::Null => Value::Null,
            Kind::Boolean => {
                let at = self.position;
                match self.take(1, "a boolean")? {
                    [0] => Value::Boolean(false),
                    [1] => Value::Boolean(true),
                    other => {
                        let found =
                            format!("expected a boolean (0 or 1), found 0x{:02X}", other[0]);
                        return Err(self.error(at, found));
                    }
                }
            }
            Kind::Int => Value::Int(self.int("an int")?),
            Kind::Long => Value::Long(self.long("a long")?),
            Kind::Float => Value::Float(f32::from_le_bytes(self.array("a float")?)),
            Kind::Double => Value::Double(f64::from_le_bytes(self.array("a double")?)),
            Kind::Bytes => {
                let bytes = self.sized("bytes")?;
                Value::Bytes(self.decimal(id, bytes)?.to_vec())
            }
            Kind::String => Value::String(self.string("a string")?),
            Kind::Fixed(fixed) => {
                let bytes = self.take(fixed.size, "a fixed")?;
                Value::Fixed(self.decimal(id, bytes)?.to_vec())
            }
            Kind::Enum(symbols) => {
                let at = self.position;
                let index = self.int("an enum index")?;
                match usize::try_from(index) {
                    Ok(index) if index < symbols.symbols.len() => Value::Enum(index),
                    _ => {
                        let count = symbols.symbols.len();
                        let name = &symbols.name.full;
                        let found = format!(
                            "expected one of the {count} symbols of {name}, found index {index}"
                        );
                        return Err(self.error(at, found));
                    }
                }
            }
            Kind::Union(branches) => {
                let at = self.position;
                let index = self.int("a union index")?;
                let branch = usize::try_from(index).ok().filter(|i| *i < branches.len());
                let Some(branch) = branch else {
                    let found = format!(
                        "expected one of the {} branches of the union, found index {index}",
                        branches.len()
                    );
                    return Err(self.error(at, found));
                };
                Value::Union(branch, Box::new(self.node(branches[branch])?))
            }
            Kind::Record(record) => {
                self.enter()?;
                let mut fields = Vec::with_capacity(record.fields.len());
                for field in &record.fields {
                    let before = self.position;
                    // The trail is pushed by hand: a closure would borrow the decoder twice.
                    self.trail.push_field(&field.name);
                    fields.push(self.node(field.node)?);
                    if self.position == before {
                        self.count(1)?;
                    }
                    self.trail.pop();
                }
                self.depth -= 1;
                Value::Record(fields)
            }
            Kind::Array(item) => {
                self.enter()?;
                let mut items = Vec::new();
                self.blocks(|decoder, room| {
                    items.reserve(room);
                    decoder.trail.push_index(items.len());
                    items.push(decoder.node(*item)?);
                    decoder.trail.pop();
                    Ok(())
                })?;
                self.depth -= 1;
                Value::Array(items)
            }
            Kind::Map(value) => {
                self.enter()?;
                let mut entries = Vec::new();
                self.blocks(|decoder, room| {
                    entries.reserve(room);
                    decoder.trail.push_index(entries.len());
                    let key = decoder.string("a map key")?;
                    entries.push((key, decoder.node(*value)?));
                    decoder.trail.pop();
                    Ok(())
                })?;
                self.depth -= 1;
                Value::Map(entries)
            }
        })
    }

    /// Holds the bytes of a decimal to its precision: one with more digits is no value of its schema.
    fn decimal(&self, id: NodeId, bytes: &'b [u8]) -> Result<&'b [u8], RecordError> {
        match self.schema.node(id).logical {
            Some(Logical::Decimal { precision, .. }) if !decimal::fits(bytes, precision) => {
                let found = format!("expected a decimal of at most {precision} digits, found more");
                Err(self.error(self.position - bytes.len(), found))
            }
            _ => Ok(bytes),
        }
    }

    fn enter(&mut self) -> Result<(), RecordError> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            let found = format!("expected at most {} levels, found more", self.limits.depth);
            return Err(self.error(self.position, found));
        }
        Ok(())
    }

    fn count(&mut self, more: usize) -> Result<(), RecordError> {
        self.elements = self.elements.saturating_add(more);
        if self.elements > self.limits.elements {
            let found = format!(
                "expected at most {} elements in all, found more",
                self.limits.elements
            );
            return Err(self.error(self.position, found));
        }
        Ok(())
    }

    /// Reads the blocks of an array or map: a count and that many elements, until a count of 0. A negative count is
    /// followed by the block's size in bytes, which must agree with what its elements take. `element` is told how many
    /// elements to make room for: at most what the remaining bytes can hold.
    fn blocks(
        &mut self,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        loop {
            let at = self.position;
            let count = self.long("a block count")?;
            if count == 0 {
                return Ok(());
            }
            let mut end = None;
            if count < 0 {
                let size_at = self.position;
                let size = self.long("a block size")?;
                let size = self.length(size, size_at, "a block")?;
                end = Some(self.position + size);
            }
            let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            if let Err(e) = self.count(count) {
                return Err(e.at_byte(at));
            }
            let room = count.min(self.bytes.len() - self.position).min(1024);
            for nth in 0..count {
                element(self, if nth == 0 { room } else { 0 })?;
            }
            if let Some(end) = end.filter(|end| *end != self.position) {
                let found = format!(
                    "expected a block to end at byte {end}, found that its elements end at byte {}",
                    self.position
                );
                return Err(self.error(at, found));
            }
        }
    }

    fn take(&mut self, count: usize, what: &str) -> Result<&'b [u8], RecordError> {
        let rest = &self.bytes[self.position..];
        if rest.len() < count {
            let found = format!(
                "expected {what} of {count} bytes, found the end after {}",
                rest.len()
            );
            return Err(self.error(self.position, found));
        }
        self.position += count;
        Ok(&rest[..count])
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], RecordError> {
        let bytes = self.take(N, what)?;
        Ok(bytes.try_into().expect("take gives as many bytes as asked"))
    }

    /// A length that must not be negative or pass the end.
    fn length(&self, length: i64, at: usize, what: &str) -> Result<usize, RecordError> {
        let rest = self.bytes.len() - self.position;
        match usize::try_from(length) {
            Ok(length) if length <= rest => Ok(length),
            Ok(length) => {
                let found =
                    format!("expected {what} of {length} bytes, found the end after {rest}");
                Err(self.error(at, found))
            }
            Err(_) => Err(self.error(at, format!("expected {what}, found a negative length"))),
        }
    }

    fn sized(&mut self, what: &str) -> Result<&'b [u8], RecordError> {
        let at = self.position;
        let length = self.long("a length")?;
        let length = self.length(length, at, what)?;
        self.take(length, what)
    }

    fn string(&mut self, what: &str) -> Result<String, RecordError> {
        let bytes = self.sized(what)?;
        let start = self.position - bytes.len();
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(e) => {
                let found = format!("expected {what} in UTF-8, found bytes that are not");
                Err(self.error(start + e.valid_up_to(), found))
            }
        }
    }

    fn int(&mut self, what: &str) -> Result<i32, RecordError> {
        let at = self.position;
        let number = self.varint(5, what)?;
        let number = u32::try_from(number)
            .map_err(|_| self.error(at, format!("expected {what} of 32 bits, found more")))?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn long(&mut self, what: &str) -> Result<i64, RecordError> {
        let number = self.varint(10, what)?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn varint(&mut self, limit: usize, what: &str) -> Result<u64, RecordError> {
        let at = self.position;
        let mut number = 0u64;
        for nth in 0..limit {
            let Some(byte) = self.bytes.get(at + nth).copied() else {
                return Err(self.error(at, format!("expected {what}, found the end")));
            };
            if nth == 9 && byte > 1 {
                return Err(self.error(at, format!("expected {what} of 64 bits, found more")));
            }
            number |= u64::from(byte & 0x7f) << (7 * nth);
            if byte & 0x80 == 0 {
                self.position = at + nth + 1;
                return Ok(number);
            }
        }
        Err(self.error(
            at,
            format!("expected {what} of at most {limit} bytes, found more"),
        ))
    }
}

#[cfg(test)]
mod tests;
