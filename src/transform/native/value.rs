//! The values that a native step reads and writes.

use bumpalo::Bump;

use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::view::Elements;
use crate::expr::Val;
use crate::expr::number::Decimal;
use crate::expr::path::peel;
use crate::expr::value::read;

/// The values of the fields that a step reads.
#[derive(Debug)]
pub struct Input<'s, 'a> {
    pub(super) values: &'s [Value<'a>],
}

impl<'a> Input<'_, 'a> {
    /// The value of a field, by its place among [`Bound::reads`](super::Bound::reads).
    ///
    /// # Panics
    ///
    /// When there is no such place.
    pub fn get(&self, at: usize) -> Value<'a> {
        self.values[at]
    }
}

/// A value with its type.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    schema: &'a Schema,
    /// Without null.
    node: NodeId,
    val: Val<'a>,
}

impl<'a> Value<'a> {
    pub(super) fn new(schema: &'a Schema, declared: NodeId, val: Val<'a>) -> Value<'a> {
        Value {
            schema,
            node: peel(schema, declared).node,
            val,
        }
    }

    /// The value, which [`Output::set`] takes as it is.
    pub fn val(&self) -> Val<'a> {
        self.val
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.val.is_null()
    }

    /// A string, or the symbol of an enum.
    pub fn text(&self) -> Option<&'a str> {
        match (self.val, &self.schema.node(self.node).kind) {
            (Val::Text(text), _) => Some(text),
            (Val::Enum(index), Kind::Enum(named)) => {
                named.symbols.get(index as usize).map(String::as_str)
            }
            _ => None,
        }
    }

    /// An `int` or `long`.
    pub fn int(&self) -> Option<i64> {
        match self.val {
            Val::Int(value) => Some(value),
            _ => None,
        }
    }

    /// A `float` or `double`.
    pub fn double(&self) -> Option<f64> {
        match self.val {
            Val::Double(value) => Some(value),
            _ => None,
        }
    }

    /// A boolean.
    pub fn bool(&self) -> Option<bool> {
        match self.val {
            Val::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A decimal, in digits: `-12.30`.
    pub fn decimal(&self) -> Option<String> {
        match self.val {
            Val::Decimal(unscaled, scale) => {
                Some(Decimal::from_avro(unscaled, scale as usize).to_text())
            }
            _ => None,
        }
    }

    /// A field of a record.
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        let Kind::Record(record) = &self.schema.node(self.node).kind else {
            return None;
        };
        let Val::Avro(node, bytes) = self.val else {
            return None;
        };
        let position = *record.index.get(name)?;
        let at = crate::contract::view::field(self.schema, node, position, bytes, 0).ok()?;
        self.below(record.fields[position].node, bytes, at)
    }

    /// The elements of an array, or the values of a map; none of anything else.
    pub fn elements(&self) -> Vec<Value<'a>> {
        let entries = self.entries().into_iter();
        entries.map(|(_, value)| value).collect()
    }

    /// The entries of a map; the elements of an array, with empty keys.
    pub fn entries(&self) -> Vec<(&'a str, Value<'a>)> {
        let (Kind::Array(inner) | Kind::Map(inner)) = self.schema.node(self.node).kind else {
            return Vec::new();
        };
        let made = |val: Val<'a>| Value::new(self.schema, inner, val);
        match self.val {
            Val::List(items) => items.iter().map(|item| ("", made(*item))).collect(),
            Val::Map(entries) => entries
                .iter()
                .filter_map(|(key, value)| match key {
                    Val::Text(key) => Some((*key, made(*value))),
                    _ => None,
                })
                .collect(),
            Val::Avro(node, bytes) => {
                let mut found = Vec::new();
                let Ok(mut elements) = Elements::new(self.schema, node, bytes, 0) else {
                    return found;
                };
                // The bytes were validated: there is no error to meet.
                while let Ok(Some(element)) = elements.next() {
                    let key = std::str::from_utf8(element.key).unwrap_or_default();
                    let value = self.below(inner, bytes, element.start);
                    found.extend(value.map(|value| (key, value)));
                }
                found
            }
            _ => Vec::new(),
        }
    }

    fn below(&self, node: NodeId, bytes: &'a [u8], at: usize) -> Option<Value<'a>> {
        let (val, _) = read(self.schema, node, bytes, at).ok()?;
        Some(Value::new(self.schema, node, val))
    }
}

/// The values of the fields that a step writes, and what makes them.
#[derive(Debug)]
pub struct Output<'a> {
    pub(super) arena: &'a Bump,
    pub(super) values: &'a mut [Option<Val<'a>>],
}

impl<'a> Output<'a> {
    /// Writes a field, by its place among [`Bound::writes`](super::Bound::writes). An enum is written as the text of its
    /// symbol.
    ///
    /// # Panics
    ///
    /// When there is no such place.
    pub fn set(&mut self, at: usize, value: Val<'a>) {
        self.values[at] = Some(value);
    }

    /// Writes a text.
    pub fn set_text(&mut self, at: usize, text: &str) {
        let text = self.text(text);
        self.set(at, text);
    }

    /// A text.
    pub fn text(&self, text: &str) -> Val<'a> {
        Val::Text(self.arena.alloc_str(text))
    }

    /// Bytes.
    pub fn bytes(&self, bytes: &[u8]) -> Val<'a> {
        Val::Bytes(self.arena.alloc_slice_copy(bytes))
    }

    /// A decimal from its digits, `-12.30`; `None` if they are none.
    pub fn decimal(&self, digits: &str) -> Option<Val<'a>> {
        let number = Decimal::parse(digits)?;
        let unscaled = number.unscaled.to_signed_bytes_be();
        let scale = u32::try_from(number.scale).ok()?;
        Some(Val::Decimal(self.arena.alloc_slice_copy(&unscaled), scale))
    }

    /// An array.
    pub fn list(&self, items: &[Val<'a>]) -> Val<'a> {
        Val::List(self.arena.alloc_slice_copy(items))
    }

    /// A map; keys are unique.
    pub fn map(&self, entries: &[(&str, Val<'a>)]) -> Val<'a> {
        let entries = entries.iter();
        let entries = entries.map(|(key, value)| (self.text(key), *value));
        Val::Map(
            self.arena
                .alloc_slice_fill_iter(entries.collect::<Vec<_>>()),
        )
    }
}
