//! Avro bytes → what each of them is. Input: the bytes behind the frame and their writer schema. Output: calls of a
//! [`Visitor`] in the order of the bytes, which cover every byte once, and the error that
//! [`decode`](crate::contract::decode::decode) would give, at the byte where it would give it. Knows nothing of the
//! contract.

use crate::contract::decode::{Limits, prefix};
use crate::contract::path::Trail;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::value::Value;
use crate::error::{Reason, RecordError};

/// What some bytes are.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A value of a type without parts.
    Value(Value),
    /// The index of a union's branch; the value follows.
    Branch(usize),
    /// So many items or entries follow, if known with the bytes that they take.
    Block(usize, Option<usize>),
    /// No further block.
    End,
    /// The key of a map's entry; the value follows.
    Key(String),
}

/// So many bytes, and what they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Where they begin.
    pub offset: usize,
    /// How many; none for what takes no bytes.
    pub length: usize,
    /// The writer's type: of a branch the union, of a block or key the array or map.
    pub node: NodeId,
    /// What they are.
    pub what: What,
}

/// Hears of every span, and of the way through records, arrays and maps.
pub trait Visitor {
    /// Some bytes.
    fn span(&mut self, span: Span);
    /// Into a field of the record at `node`.
    fn field(&mut self, node: NodeId, position: usize);
    /// Into an item or entry of the array or map at `node`.
    fn item(&mut self, node: NodeId, position: usize);
    /// Out of the field or item.
    fn leave(&mut self);
    /// The last field of the record at `node` is done.
    fn done(&mut self, node: NodeId);
}

/// Walks all of `bytes`.
pub fn walk(
    schema: &Schema,
    bytes: &[u8],
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<(), RecordError> {
    let mut walker = Walker {
        schema,
        bytes,
        position: 0,
        depth: 0,
        elements: 0,
        limits,
        trail: Trail::default(),
        visitor,
    };
    if bytes.len() > limits.bytes {
        let (most, found) = (limits.bytes, bytes.len());
        let found = format!("expected at most {most} bytes, found {found}");
        return Err(walker.error(0, found));
    }
    walker.node(schema.root)?;
    if walker.position < bytes.len() {
        let trailing = bytes.len() - walker.position;
        let found = format!("expected the end, found {trailing} trailing bytes");
        return Err(walker.error(walker.position, found));
    }
    Ok(())
}

struct Walker<'s, 'b, 'v> {
    schema: &'s Schema,
    bytes: &'b [u8],
    position: usize,
    depth: usize,
    elements: usize,
    limits: &'b Limits,
    trail: Trail<'s>,
    visitor: &'v mut dyn Visitor,
}

impl Walker<'_, '_, '_> {
    fn error(&self, offset: usize, message: String) -> RecordError {
        RecordError::new(Reason::MalformedData, message)
            .at(self.trail.render())
            .at_byte(offset)
    }

    fn told(&mut self, from: usize, node: NodeId, what: What) {
        self.visitor.span(Span {
            offset: from,
            length: self.position - from,
            node,
            what,
        });
    }

    fn node(&mut self, id: NodeId) -> Result<(), RecordError> {
        let schema = self.schema;
        let at = self.position;
        match &schema.node(id).kind {
            Kind::Union(branches) => {
                let index = self.number(5, "a union index")?;
                let branch = usize::try_from(index).ok().filter(|i| *i < branches.len());
                let Some(branch) = branch else {
                    let count = branches.len();
                    let found = format!(
                        "expected one of the {count} branches of the union, found index {index}"
                    );
                    return Err(self.error(at, found));
                };
                self.told(at, id, What::Branch(branch));
                self.node(branches[branch])
            }
            Kind::Record(record) => {
                self.enter()?;
                for (position, field) in record.fields.iter().enumerate() {
                    let before = self.position;
                    self.trail.push_field(&field.name);
                    self.visitor.field(id, position);
                    self.node(field.node)?;
                    self.visitor.leave();
                    if self.position == before {
                        self.count(1)?;
                    }
                    self.trail.pop();
                }
                self.visitor.done(id);
                self.depth -= 1;
                Ok(())
            }
            Kind::Array(item) => self.blocks(id, *item, false),
            Kind::Map(value) => self.blocks(id, *value, true),
            _ => {
                let (value, length) =
                    prefix(schema, id, &self.bytes[at..], self.limits).map_err(|error| {
                        self.error(at + error.byte_offset.unwrap_or(0), error.message)
                    })?;
                self.position += length;
                self.told(at, id, What::Value(value));
                Ok(())
            }
        }
    }

    fn blocks(&mut self, id: NodeId, inner: NodeId, keys: bool) -> Result<(), RecordError> {
        self.enter()?;
        let mut position = 0;
        loop {
            let at = self.position;
            let count = self.number(10, "a block count")?;
            if count == 0 {
                self.told(at, id, What::End);
                self.depth -= 1;
                return Ok(());
            }
            let mut size = None;
            if count < 0 {
                let size_at = self.position;
                let claimed = self.number(10, "a block size")?;
                size = Some(self.length(claimed, size_at, "a block")?);
            }
            let end = size.map(|size| self.position + size);
            let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            if let Err(error) = self.count(count) {
                return Err(error.at_byte(at));
            }
            self.told(at, id, What::Block(count, size));
            for _ in 0..count {
                self.trail.push_index(position);
                self.visitor.item(id, position);
                if keys {
                    let key_at = self.position;
                    let key = self.key()?;
                    self.told(key_at, id, What::Key(key));
                }
                self.node(inner)?;
                self.visitor.leave();
                self.trail.pop();
                position += 1;
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
            let most = self.limits.elements;
            let found = format!("expected at most {most} elements in all, found more");
            return Err(self.error(self.position, found));
        }
        Ok(())
    }

    fn key(&mut self) -> Result<String, RecordError> {
        let at = self.position;
        let length = self.number(10, "a length")?;
        let length = self.length(length, at, "a map key")?;
        let start = self.position;
        self.position += length;
        match std::str::from_utf8(&self.bytes[start..self.position]) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                let found = "expected a map key in UTF-8, found bytes that are not".to_owned();
                Err(self.error(start + error.valid_up_to(), found))
            }
        }
    }

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

    /// A number of at most five bytes (32 bits) or ten (64 bits).
    fn number(&mut self, limit: usize, what: &str) -> Result<i64, RecordError> {
        let at = self.position;
        let mut number = 0_u64;
        for nth in 0..limit {
            let Some(byte) = self.bytes.get(at + nth).copied() else {
                return Err(self.error(at, format!("expected {what}, found the end")));
            };
            if nth == 9 && byte > 1 {
                return Err(self.error(at, format!("expected {what} of 64 bits, found more")));
            }
            number |= u64::from(byte & 0x7f) << (7 * nth);
            if byte & 0x80 == 0 {
                if limit == 5 && number > u64::from(u32::MAX) {
                    return Err(self.error(at, format!("expected {what} of 32 bits, found more")));
                }
                self.position = at + nth + 1;
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        let found = format!("expected {what} of at most {limit} bytes, found more");
        Err(self.error(at, found))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contract::arbitrary;
    use crate::contract::decode::decode;
    use crate::contract::encode::encode;

    #[derive(Default)]
    struct Cover {
        next: usize,
        depth: usize,
        gap: bool,
    }

    impl Visitor for Cover {
        fn span(&mut self, span: Span) {
            self.gap |= span.offset != self.next;
            self.next = span.offset + span.length;
        }
        fn field(&mut self, _: NodeId, _: usize) {
            self.depth += 1;
        }
        fn item(&mut self, _: NodeId, _: usize) {
            self.depth += 1;
        }
        fn leave(&mut self) {
            self.depth -= 1;
        }
        fn done(&mut self, _: NodeId) {}
    }

    /// Whether both take the bytes, or refuse them for the same reason at the same place.
    fn agree(schema: &Schema, bytes: &[u8], limits: &Limits) -> Result<(), TestCaseError> {
        let mut cover = Cover::default();
        let walked = walk(schema, bytes, limits, &mut cover);
        let decoded = decode(schema, bytes, limits).map(drop);
        prop_assert_eq!(&walked, &decoded);
        prop_assert!(!cover.gap, "a byte was told twice or not at all");
        match walked {
            Ok(()) => prop_assert_eq!((cover.next, cover.depth), (bytes.len(), 0)),
            // What was told ends where the trouble begins, or inside the block that it is in.
            Err(_) => prop_assert!(cover.next <= bytes.len()),
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]

        #[test]
        fn takes_and_refuses_what_decode_does_and_covers_every_byte_once(
            seed in any::<u64>(),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in prop::option::of(any::<prop::sample::Index>()),
            more in prop::collection::vec(any::<u8>(), 0..2),
        ) {
            let (_, schema, value) = arbitrary::Generator::pair(seed, arbitrary::ANY);
            let mut bytes = Vec::new();
            encode(&schema, &value, &mut bytes).expect("a value of its schema");
            let limits = Limits::default();
            agree(&schema, &bytes, &limits)?;
            let tight = Limits { depth: 2, elements: 3, bytes: 64 };
            agree(&schema, &bytes, &tight)?;
            for (at, byte) in flips {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            bytes.extend(more);
            agree(&schema, &bytes, &limits)?;
            agree(&schema, &bytes, &tight)?;
        }

        #[test]
        fn agrees_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = r#"{"type":"record","name":"R","fields":[
                {"name":"m","type":{"type":"map","values":["null","int","R"]}},
                {"name":"a","type":{"type":"array","items":{"type":"enum","name":"E","symbols":["A","B"]}}}]}"#;
            let schema = Schema::parse(text, &[]).expect("a schema");
            agree(&schema, &bytes, &Limits::default())?;
        }
    }
}
