//! The order that the benchmarks share.

use driftgate::contract::encode::encode;
use driftgate::contract::schema::Schema;
use driftgate::contract::value::Value;

pub(crate) fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// 196 bytes: 13 fields, a nested record, an array of three records and a map.
pub(crate) fn order() -> Value {
    let item = |sku: &str, quantity, price| {
        Value::Record(vec![text(sku), Value::Int(quantity), Value::Double(price)])
    };
    let some = |value| Value::Union(1, Box::new(value));
    Value::Record(vec![
        text("ord-2026-00418331"),
        Value::Record(vec![
            Value::Long(7_340_912),
            text("jane.doe@example.com"),
            some(text("+49 30 9018200")),
            text("DE"),
        ]),
        Value::Enum(1),
        text("EUR"),
        // Cents: the other library refuses valid short decimals.
        Value::Long(1_000_000),
        Value::Long(1_789_992_000_000),
        Value::Array(vec![
            item("SKU-10442", 2, 19.99),
            item("SKU-99120", 1, 249.0),
            item("SKU-00017", 12, 0.35),
        ]),
        Value::Map(vec![
            ("campaign".to_owned(), text("autumn")),
            ("device".to_owned(), text("mobile")),
        ]),
        some(text("leave at the door")),
        Value::Float(3.25),
        Value::Boolean(false),
        text("web"),
        Value::Int(3),
    ])
}

/// The same as bytes of the writer schema.
#[allow(dead_code, reason = "not every benchmark needs it")]
pub(crate) fn bytes(writer: &Schema) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(writer, &order(), &mut bytes).expect("fits");
    bytes
}
