//! An output of the job, decoded: the verifier's own reader of the sink's schema, written by hand, which shares nothing
//! with the engine. Input: Avro bytes. Output: the fields, and a checksum of them. Strict: what is left over is an error.

use std::hash::Hasher;

/// What the sink has of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Clean {
    pub(super) order_id: String,
    pub(super) customer: i64,
    pub(super) email: String,
    pub(super) phone: Option<String>,
    pub(super) country: String,
    pub(super) status: i64,
    pub(super) currency: String,
    pub(super) amount: i64,
    pub(super) placed_at: i64,
    pub(super) items: Vec<Item>,
    /// In the order of their names.
    pub(super) attributes: Vec<(String, String)>,
    pub(super) note: Option<String>,
    pub(super) weight: f64,
    pub(super) source: String,
    pub(super) tenant: String,
    pub(super) revision: i64,
}

/// One item of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub(super) sku: String,
    pub(super) quantity: i64,
    pub(super) price: f64,
}

impl Clean {
    /// Reads bytes of the sink's schema, without their frame; `None` if they are not of it.
    pub fn read(bytes: &[u8]) -> Option<Clean> {
        let mut left = bytes;
        let input = &mut left;
        let clean = Clean {
            order_id: text(input)?,
            customer: long(input)?,
            email: text(input)?,
            phone: optional(input)?,
            country: text(input)?,
            status: long(input)?,
            currency: text(input)?,
            amount: long(input)?,
            placed_at: long(input)?,
            items: blocks(input, |input| {
                Some(Item {
                    sku: text(input)?,
                    quantity: long(input)?,
                    price: double(input)?,
                })
            })?,
            attributes: {
                let mut all = blocks(input, |input| Some((text(input)?, text(input)?)))?;
                all.sort();
                all
            },
            note: optional(input)?,
            weight: double(input)?,
            source: text(input)?,
            tenant: text(input)?,
            revision: long(input)?,
        };
        left.is_empty().then_some(clean)
    }

    /// A checksum over key and fields.
    pub fn checksum(&self, key: &[u8]) -> u64 {
        let mut sum = Sum(std::hash::DefaultHasher::new());
        sum.bytes(key);
        sum.bytes(self.order_id.as_bytes());
        sum.number(self.customer);
        sum.bytes(self.email.as_bytes());
        sum.optional(self.phone.as_deref());
        sum.bytes(self.country.as_bytes());
        sum.number(self.status);
        sum.bytes(self.currency.as_bytes());
        sum.number(self.amount);
        sum.number(self.placed_at);
        sum.0.write_usize(self.items.len());
        for item in &self.items {
            sum.bytes(item.sku.as_bytes());
            sum.number(item.quantity);
            sum.0.write_u64(item.price.to_bits());
        }
        sum.0.write_usize(self.attributes.len());
        for (name, value) in &self.attributes {
            sum.bytes(name.as_bytes());
            sum.bytes(value.as_bytes());
        }
        sum.optional(self.note.as_deref());
        sum.0.write_u64(self.weight.to_bits());
        sum.bytes(self.source.as_bytes());
        sum.bytes(self.tenant.as_bytes());
        sum.number(self.revision);
        sum.0.finish()
    }
}

struct Sum(std::hash::DefaultHasher);

impl Sum {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
    }

    fn number(&mut self, value: i64) {
        self.0.write_i64(value);
    }

    fn optional(&mut self, text: Option<&str>) {
        self.0.write_u8(u8::from(text.is_some()));
        self.bytes(text.unwrap_or_default().as_bytes());
    }
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(count)?;
    *input = rest;
    Some(taken)
}

fn long(input: &mut &[u8]) -> Option<i64> {
    let mut zigzag = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(input, 1)?[0];
        zigzag |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
        }
    }
    None
}

fn text(input: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(long(input)?).ok()?;
    String::from_utf8(take(input, length)?.to_vec()).ok()
}

fn optional(input: &mut &[u8]) -> Option<Option<String>> {
    match long(input)? {
        0 => Some(None),
        1 => Some(Some(text(input)?)),
        _ => None,
    }
}

fn double(input: &mut &[u8]) -> Option<f64> {
    Some(f64::from_le_bytes(take(input, 8)?.try_into().ok()?))
}

/// The blocks of an array or map; a negative count is followed by the block's size.
fn blocks<T>(input: &mut &[u8], one: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let mut all = Vec::new();
    loop {
        let count = long(input)?;
        if count == 0 {
            return Some(all);
        }
        if count < 0 {
            long(input)?;
        }
        for _ in 0..count.unsigned_abs() {
            all.push(one(input)?);
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! What the sink has of an order, written by the tree encoder, which has apache-avro as its oracle.

    use std::sync::LazyLock;

    use super::Clean;
    use crate::contract::encode::encode;
    use crate::contract::schema::Schema;
    use crate::contract::value::Value;

    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let text = include_str!("files/orders.clean-value.avsc");
        Schema::parse(text, &[]).expect("a schema")
    });

    /// As bytes of the sink's schema, without their frame.
    pub(in crate::bench) fn bytes(clean: &Clean) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&SCHEMA, &value(clean), &mut bytes).expect("of the schema");
        bytes
    }

    fn value(clean: &Clean) -> Value {
        let text = |text: &str| Value::String(text.to_owned());
        let optional = |value: &Option<String>| match value {
            Some(value) => Value::Union(1, Box::new(text(value))),
            None => Value::Union(0, Box::new(Value::Null)),
        };
        let int = |value: i64| Value::Int(i32::try_from(value).expect("small"));
        let items = clean.items.iter().map(|item| {
            Value::Record(vec![
                text(&item.sku),
                int(item.quantity),
                Value::Double(item.price),
            ])
        });
        let attributes = clean.attributes.iter();
        Value::Record(vec![
            text(&clean.order_id),
            Value::Record(vec![
                Value::Long(clean.customer),
                text(&clean.email),
                optional(&clean.phone),
                text(&clean.country),
            ]),
            Value::Enum(usize::try_from(clean.status).expect("an index")),
            text(&clean.currency),
            Value::Long(clean.amount),
            Value::Long(clean.placed_at),
            Value::Array(items.collect()),
            Value::Map(
                attributes
                    .map(|(name, value)| (name.clone(), text(value)))
                    .collect(),
            ),
            optional(&clean.note),
            Value::Double(clean.weight),
            text(&clean.source),
            text(&clean.tenant),
            int(clean.revision),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::order::{Kind, Order};

    #[test]
    fn reads_what_is_of_the_sinks_schema_and_nothing_else() {
        for number in 0..500 {
            let order = Order::new(3, number);
            if order.kind != Kind::Good {
                continue;
            }
            let clean = order.clean();
            let mut bytes = testing::bytes(&clean);
            assert_eq!(Clean::read(&bytes).as_ref(), Some(&clean));
            for cut in 0..bytes.len() {
                assert_eq!(Clean::read(&bytes[..cut]), None, "cut at {cut}");
            }
            bytes.push(0);
            assert_eq!(Clean::read(&bytes), None);
        }
    }

    #[test]
    fn a_change_of_any_field_changes_the_checksum() {
        let order = (0..)
            .map(|number| Order::new(3, number))
            .find(|order| order.kind == Kind::Good);
        let clean = order.expect("most are").clean();
        let before = clean.checksum(b"key");
        let check = |change: &dyn Fn(&mut Clean)| {
            let mut other = clean.clone();
            change(&mut other);
            assert_ne!(other.checksum(b"key"), before, "{other:?}");
        };
        assert_ne!(clean.checksum(b"yek"), before);
        check(&|clean| clean.order_id.push('x'));
        check(&|clean| clean.customer += 1);
        check(&|clean| clean.email.push('x'));
        check(&|clean| clean.phone = Some("other".into()));
        check(&|clean| clean.country.push('x'));
        check(&|clean| clean.status += 1);
        check(&|clean| clean.currency.push('x'));
        check(&|clean| clean.amount += 1);
        check(&|clean| clean.placed_at += 1);
        check(&|clean| clean.items.swap(0, 1));
        check(&|clean| clean.items[2].price += 1.0);
        check(&|clean| clean.items[0].quantity += 1);
        check(&|clean| clean.attributes[0].1.push('x'));
        check(&|clean| clean.note = Some("other".into()));
        check(&|clean| clean.weight += 1.0);
        check(&|clean| clean.source.push('x'));
        check(&|clean| clean.tenant.push('x'));
        check(&|clean| clean.revision += 1);
    }
}
