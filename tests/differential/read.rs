//! Running a compiled pair: bytes → a value of the reader's schema.

use super::{Act, Action, JAVA_ITEMS, Pair, Refused, Taken, digits, logical};
use crate::difference::Difference;
use crate::types::{Id, Kind, Schema};
use crate::value::Value;

const ELEMENTS: i64 = 1_000_000;
const DEPTH: usize = 64;

/// A map key as Java has it: what is not UTF-8 replaced by U+FFFD, once for the bytes of a surrogate.
fn replaced(key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some((first, after)) = rest.split_first() {
        let surrogate = match rest {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
            [0xED, 0xA0..=0xBF, ..] => 2,
            _ => 0,
        };
        if surrogate > 0 {
            bytes.extend_from_slice("\u{FFFD}".as_bytes());
            rest = &rest[surrogate..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into_bytes()
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Writer,
    Reader,
}

pub(super) struct Reading<'p, 'b> {
    pub(super) pair: &'p Pair,
    pub(super) bytes: &'b [u8],
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) elements: i64,
}

impl<'p> Reading<'p, '_> {
    fn keeps(&self, rule: Difference) -> bool {
        self.pair.rules.keeps(rule)
    }

    fn schema(&self, side: Side) -> &'p Schema {
        match side {
            Side::Writer => &self.pair.writer,
            Side::Reader => &self.pair.reader,
        }
    }

    pub(super) fn act(&mut self, act: Act, w: Id, r: Id) -> Taken<Value> {
        let pair = self.pair;
        let (from, to) = (pair.writer.kind(w), pair.reader.kind(r));
        match &pair.actions[act] {
            Action::Pending | Action::Error => Err(Refused),
            Action::Same => self.read(Side::Writer, w),
            Action::AsReader => self.read(Side::Reader, r),
            Action::Promote(to) => {
                let value = self.read(Side::Writer, w)?;
                self.promote(value, to)
            }
            Action::Enum(symbols, count) => {
                let index = self.int()?;
                let index = usize::try_from(index).map_err(|_| Refused)?;
                let prefix = symbols.len() <= *count
                    && symbols.iter().enumerate().all(|(i, s)| *s == Some(i));
                if prefix && !self.keeps(Difference::EnumIndex) && index < *count {
                    return Ok(Value::Enum(index));
                }
                symbols
                    .get(index)
                    .copied()
                    .flatten()
                    .map(Value::Enum)
                    .ok_or(Refused)
            }
            Action::Array(inner) => {
                let (Kind::Array(w), Kind::Array(r)) = (from, to) else {
                    return Err(Refused);
                };
                self.collection(|reading, items: &mut Vec<Value>| {
                    items.push(reading.act(*inner, *w, *r)?);
                    Ok(())
                })
                .map(Value::Array)
            }
            Action::Map(inner) => {
                let (Kind::Map(w), Kind::Map(r)) = (from, to) else {
                    return Err(Refused);
                };
                self.map(|reading| reading.act(*inner, *w, *r))
            }
            Action::Record {
                fields,
                defaults,
                width,
            } => {
                let (Kind::Record(_, from), Kind::Record(_, to)) = (from, to) else {
                    return Err(Refused);
                };
                self.enter()?;
                let mut values = vec![Value::Null; *width];
                for (field, target) in from.iter().zip(fields) {
                    let before = self.at;
                    match target {
                        Some((position, act)) => {
                            values[*position] = self.act(*act, field.node, to[*position].node)?;
                        }
                        None => self.skip(field.node)?,
                    }
                    self.empty(before)?;
                }
                for (position, value) in defaults {
                    values[*position] = value.clone();
                }
                self.depth -= 1;
                Ok(Value::Record(values))
            }
            Action::Branches(branches) => {
                let Kind::Union(nodes) = from else {
                    return Err(Refused);
                };
                let branch = usize::try_from(self.int()?).map_err(|_| Refused)?;
                let (act, dead) = *branches.get(branch).ok_or(Refused)?;
                if dead && self.keeps(Difference::NeverReadable) {
                    return Err(Refused);
                }
                self.act(act, nodes[branch], r)
            }
            Action::Into(branch, inner) => {
                let Kind::Union(nodes) = to else {
                    return Err(Refused);
                };
                let value = self.act(*inner, w, nodes[*branch])?;
                Ok(Value::Union(*branch, Box::new(value)))
            }
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the specification promotes them so"
    )]
    fn promote(&self, value: Value, to: &Kind) -> Taken<Value> {
        let float = |f: f32| Value::Float(f.to_bits());
        let double = |d: f64| Value::Double(d.to_bits());
        Ok(match (value, to) {
            (Value::Int(n), Kind::Long) => Value::Long(i64::from(n)),
            (Value::Int(n), Kind::Float) => float(n as f32),
            (Value::Int(n), Kind::Double) => double(f64::from(n)),
            (Value::Long(n), Kind::Float) => float(n as f32),
            (Value::Long(n), Kind::Double) => double(n as f64),
            (Value::Float(bits), Kind::Double) => double(f64::from(f32::from_bits(bits))),
            (Value::String(text), Kind::Bytes) => Value::Bytes(text),
            (Value::Bytes(bytes), Kind::String) => Value::String(self.text(bytes)?),
            _ => return Err(Refused),
        })
    }

    fn text(&self, bytes: Vec<u8>) -> Taken<Vec<u8>> {
        match self.keeps(Difference::Utf8) && std::str::from_utf8(&bytes).is_err() {
            true => Err(Refused),
            false => Ok(bytes),
        }
    }

    fn decimal(&self, side: Side, id: Id, bytes: Vec<u8>) -> Taken<Vec<u8>> {
        let node = &self.schema(side).nodes[id];
        let fits =
            logical(node).is_none_or(|l| l.word != "decimal" || digits(&bytes) <= l.precision);
        match fits || !self.keeps(Difference::DecimalDigits) {
            true => Ok(bytes),
            false => Err(Refused),
        }
    }

    fn read(&mut self, side: Side, id: Id) -> Taken<Value> {
        let schema = self.schema(side);
        Ok(match schema.kind(id) {
            Kind::Null => Value::Null,
            Kind::Boolean => {
                let byte = self.take(1)?[0];
                if byte > 1 && self.keeps(Difference::Boolean) {
                    return Err(Refused);
                }
                Value::Boolean(byte == 1)
            }
            Kind::Int => Value::Int(self.int()?),
            Kind::Long => Value::Long(self.long()?),
            Kind::Float => {
                let bytes = self.take(4)?;
                Value::Float(u32::from_le_bytes(bytes.try_into().expect("four")))
            }
            Kind::Double => {
                let bytes = self.take(8)?;
                Value::Double(u64::from_le_bytes(bytes.try_into().expect("eight")))
            }
            Kind::Bytes => {
                let bytes = self.sized()?;
                Value::Bytes(self.decimal(side, id, bytes)?)
            }
            Kind::String => {
                let bytes = self.sized()?;
                Value::String(self.text(bytes)?)
            }
            Kind::Fixed(_, size) => {
                let bytes = self.take(*size)?.to_vec();
                Value::Fixed(self.decimal(side, id, bytes)?)
            }
            Kind::Enum(_, symbols, _) => {
                let index = usize::try_from(self.int()?).map_err(|_| Refused)?;
                match index < symbols.len() {
                    true => Value::Enum(index),
                    false => return Err(Refused),
                }
            }
            Kind::Array(item) => Value::Array(self.collection(|reading, items| {
                items.push(reading.read(side, *item)?);
                Ok(())
            })?),
            Kind::Map(value) => self.map(|reading| reading.read(side, *value))?,
            Kind::Record(_, fields) => {
                self.enter()?;
                let mut values = Vec::new();
                for field in fields {
                    let before = self.at;
                    values.push(self.read(side, field.node)?);
                    self.empty(before)?;
                }
                self.depth -= 1;
                Value::Record(values)
            }
            Kind::Union(branches) => {
                let branch = usize::try_from(self.int()?).map_err(|_| Refused)?;
                let node = *branches.get(branch).ok_or(Refused)?;
                Value::Union(branch, Box::new(self.read(side, node)?))
            }
        })
    }

    /// Steps over a value of the writer.
    fn skip(&mut self, id: Id) -> Taken<()> {
        if self.keeps(Difference::SkippedData) {
            return self.read(Side::Writer, id).map(drop);
        }
        match self.pair.writer.kind(id) {
            Kind::Boolean => self.take(1).map(drop),
            Kind::Enum(..) => self.int().map(drop),
            Kind::String | Kind::Bytes => {
                let length = self.long()?;
                self.step(length)
            }
            Kind::Array(item) => self.skip_items(|reading| reading.skip(*item)),
            Kind::Map(value) => self.skip_items(|reading| {
                let length = reading.long()?;
                reading.step(length)?;
                reading.skip(*value)
            }),
            Kind::Record(_, fields) => fields.iter().try_for_each(|f| self.skip(f.node)),
            Kind::Union(branches) => {
                let branch = usize::try_from(self.int()?).map_err(|_| Refused)?;
                self.skip(*branches.get(branch).ok_or(Refused)?)
            }
            _ => self.read(Side::Writer, id).map(drop),
        }
    }

    fn step(&mut self, length: i64) -> Taken<()> {
        match usize::try_from(length) {
            Ok(length) => self.take(length).map(drop),
            Err(_) => Ok(()),
        }
    }

    fn skip_items(&mut self, mut each: impl FnMut(&mut Self) -> Taken<()>) -> Taken<()> {
        loop {
            let mut count = self.long()?;
            while count < 0 {
                let size = self.long()?;
                self.step(size)?;
                count = self.long()?;
            }
            if count == 0 {
                return Ok(());
            }
            if count > JAVA_ITEMS {
                return Err(Refused);
            }
            for _ in 0..count {
                each(self)?;
            }
        }
    }

    fn map(&mut self, mut each: impl FnMut(&mut Self) -> Taken<Value>) -> Taken<Value> {
        let keep = self.keeps(Difference::DuplicateKeys);
        self.collection(|reading, entries: &mut Vec<(Vec<u8>, Value)>| {
            let mut key = reading.sized()?;
            if reading.keeps(Difference::Utf8) {
                key = reading.text(key)?;
            } else {
                key = replaced(&key);
            }
            let value = each(reading)?;
            match entries.iter_mut().find(|(known, _)| !keep && *known == key) {
                Some((_, slot)) => *slot = value,
                None => entries.push((key, value)),
            }
            Ok(())
        })
        .map(Value::Map)
    }

    fn collection<T>(
        &mut self,
        mut each: impl FnMut(&mut Self, &mut Vec<T>) -> Taken<()>,
    ) -> Taken<Vec<T>> {
        self.enter()?;
        let (mut items, mut total, mut first) = (Vec::new(), 0i64, true);
        loop {
            let mut count = self.long()?;
            let mut end = None;
            if count < 0 {
                let size = self.long()?;
                if self.keeps(Difference::BlockSize) {
                    let size = usize::try_from(size).map_err(|_| Refused)?;
                    end = Some(self.at.checked_add(size).ok_or(Refused)?);
                }
                if count == i64::MIN {
                    if self.keeps(Difference::BlockCount) || !first {
                        return Err(Refused);
                    }
                    count = 0;
                }
                count = -count;
            }
            first = false;
            if count == 0 {
                self.depth -= 1;
                return Ok(items);
            }
            if self.keeps(Difference::Elements) {
                self.elements = self.elements.checked_add(count).ok_or(Refused)?;
                if self.elements > ELEMENTS {
                    return Err(Refused);
                }
            } else {
                total = total.checked_add(count).ok_or(Refused)?;
                if total > JAVA_ITEMS {
                    return Err(Refused);
                }
            }
            for _ in 0..count {
                each(self, &mut items)?;
            }
            if end.is_some_and(|end| end != self.at) {
                return Err(Refused);
            }
        }
    }

    fn enter(&mut self) -> Taken<()> {
        self.depth += 1;
        match self.depth > DEPTH && self.keeps(Difference::Depth) {
            true => Err(Refused),
            false => Ok(()),
        }
    }

    /// What takes no bytes counts as an element.
    fn empty(&mut self, before: usize) -> Taken<()> {
        if self.at == before {
            self.elements += 1;
        }
        match self.elements > ELEMENTS && self.keeps(Difference::Elements) {
            true => Err(Refused),
            false => Ok(()),
        }
    }

    fn take(&mut self, count: usize) -> Taken<&[u8]> {
        let end = self.at.checked_add(count).ok_or(Refused)?;
        let taken = self.bytes.get(self.at..end).ok_or(Refused)?;
        self.at = end;
        Ok(taken)
    }

    fn sized(&mut self) -> Taken<Vec<u8>> {
        let length = usize::try_from(self.long()?).map_err(|_| Refused)?;
        Ok(self.take(length)?.to_vec())
    }

    fn int(&mut self) -> Taken<i32> {
        let number = self.varint(5, u64::from(u32::MAX))?;
        let number = u32::try_from(number).map_err(|_| Refused)?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn long(&mut self) -> Taken<i64> {
        let number = self.varint(10, u64::MAX)?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn varint(&mut self, limit: u32, mask: u64) -> Taken<u64> {
        let mut number = 0u128;
        for nth in 0..limit {
            let byte = self.take(1)?[0];
            number |= u128::from(byte & 0x7f) << (7 * nth);
            if byte & 0x80 == 0 {
                let kept = u64::try_from(number & u128::from(mask)).expect("masked");
                let lost = u128::from(kept) != number;
                return match lost && self.keeps(Difference::NumberTooLarge) {
                    true => Err(Refused),
                    false => Ok(kept),
                };
            }
        }
        Err(Refused)
    }
}
