//! The values that expressions work on. Input: Avro bytes of a schema's node. Output: a [`Val`], whose text and bytes lie
//! in the record or in the arena of the record being worked on. And back: a [`Val`] as bytes of a node.
//!
//! A `Val` is small and `Copy`. Records, arrays and maps stay bytes until somebody asks for their parts.

use std::cmp::Ordering;

use jiff::SignedDuration;

use crate::contract::decimal;
use crate::contract::schema::{Kind, Logical, NodeId, Schema};
use crate::contract::varint;
use crate::contract::view::{self, Broken};
use crate::expr::instant::Instant;
use crate::expr::types::same_node;

/// A value.
#[derive(Debug, Clone, Copy)]
pub enum Val<'a> {
    /// `null`.
    Null,
    /// `boolean`.
    Bool(bool),
    /// `int` and `long`.
    Int(i64),
    /// `float` and `double`.
    Double(f64),
    /// `string`, `uuid` on a string.
    Text(&'a str),
    /// A text that nobody has looked at yet, in UTF-8. Registers alone hold it, and [`Cx::register`](super::Cx::register)
    /// hands it out as [`Val::Text`].
    Unread(&'a [u8]),
    /// `bytes` and `fixed` without another meaning.
    Bytes(&'a [u8]),
    /// `decimal`: the unscaled number as Avro has it (two's complement, big-endian, no bytes are 0), and its scale.
    Decimal(&'a [u8], u32),
    /// `timestamp-millis`, `-micros` and `-nanos`.
    Timestamp(Instant),
    /// A length of time, which no field has.
    Duration(SignedDuration),
    /// `date`: days since the epoch.
    Date(i32),
    /// `time-millis` and `time-micros`: nanoseconds since midnight.
    Time(i64),
    /// `enum`: the index of the symbol in the node of its type.
    Enum(u32),
    /// A value that stays as it is, exactly these bytes of this node: record, array, map, a union of several types
    /// (with its index), `local-timestamp-*`, Avro's `duration`.
    Avro(NodeId, &'a [u8]),
    /// A list that an expression made.
    List(&'a [Val<'a>]),
    /// A map that an expression made, in its order; keys are unique.
    Map(&'a [(Val<'a>, Val<'a>)]),
}

/// Why a value could not be read or written. The text is for a person and holds no value.
pub type Failure = String;

impl<'a> Val<'a> {
    /// Whether it is null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Val::Null)
    }

    /// The word of its kind.
    pub const fn word(&self) -> &'static str {
        match self {
            Val::Null => "null",
            Val::Bool(_) => "boolean",
            Val::Int(_) => "int",
            Val::Double(_) => "double",
            Val::Text(_) | Val::Unread(_) => "string",
            Val::Bytes(_) => "bytes",
            Val::Decimal(..) => "decimal",
            Val::Timestamp(_) => "timestamp",
            Val::Duration(_) => "duration",
            Val::Date(_) => "date",
            Val::Time(_) => "time",
            Val::Enum(_) => "enum",
            Val::Avro(..) => "value",
            Val::List(_) => "list",
            Val::Map(_) => "map",
        }
    }
}

fn broken(error: Broken) -> Failure {
    error.to_string()
}

/// The value of `node` that begins at `at`, and where it ends. A union of null and one type is null or that type's.
#[inline]
pub fn read<'a>(
    schema: &Schema,
    node: NodeId,
    bytes: &'a [u8],
    at: usize,
) -> Result<(Val<'a>, usize), Failure> {
    let written = schema.node(node);
    if let Some(logical) = written.logical {
        return read_logical(schema, node, logical, bytes, at);
    }
    Ok(match &written.kind {
        Kind::Null => (Val::Null, at),
        Kind::Boolean => {
            let (byte, next) = view::fixed(bytes, at, 1).map_err(broken)?;
            (Val::Bool(byte == [1]), next)
        }
        Kind::Int | Kind::Long => {
            let (number, next) = view::long(bytes, at).map_err(broken)?;
            (Val::Int(number), next)
        }
        Kind::Float => {
            let (four, next) = view::fixed(bytes, at, 4).map_err(broken)?;
            let four = four.try_into().map_err(|_| broken(Broken))?;
            (Val::Double(f64::from(f32::from_le_bytes(four))), next)
        }
        Kind::Double => {
            let (eight, next) = view::fixed(bytes, at, 8).map_err(broken)?;
            let eight = eight.try_into().map_err(|_| broken(Broken))?;
            (Val::Double(f64::from_le_bytes(eight)), next)
        }
        Kind::Bytes => {
            let (bytes, next) = view::sized(bytes, at).map_err(broken)?;
            (Val::Bytes(bytes), next)
        }
        Kind::String => read_text(bytes, at)?,
        Kind::Fixed(named) => {
            let (bytes, next) = view::fixed(bytes, at, named.size).map_err(broken)?;
            (Val::Bytes(bytes), next)
        }
        Kind::Enum(_) => {
            let (index, next) = view::index(bytes, at).map_err(broken)?;
            let index = u32::try_from(index).map_err(|_| broken(Broken))?;
            (Val::Enum(index), next)
        }
        Kind::Union(branches) => {
            let (branch, next) = view::index(bytes, at).map_err(broken)?;
            let chosen = *branches.get(branch).ok_or_else(|| broken(Broken))?;
            match schema.non_null(node) {
                Some(_) => return read(schema, chosen, bytes, next),
                None if schema.node(chosen).kind == Kind::Null => (Val::Null, next),
                None => raw(schema, node, bytes, at)?,
            }
        }
        Kind::Record(_) | Kind::Array(_) | Kind::Map(_) => raw(schema, node, bytes, at)?,
    })
}

fn raw<'a>(
    schema: &Schema,
    node: NodeId,
    bytes: &'a [u8],
    at: usize,
) -> Result<(Val<'a>, usize), Failure> {
    let end = view::skip(schema, node, bytes, at).map_err(broken)?;
    let own = bytes.get(at..end).ok_or_else(|| broken(Broken))?;
    Ok((Val::Avro(node, own), end))
}

#[inline]
fn read_text(bytes: &[u8], at: usize) -> Result<(Val<'_>, usize), Failure> {
    let (text, next) = view::sized(bytes, at).map_err(broken)?;
    let text = std::str::from_utf8(text).map_err(|_| broken(Broken))?;
    Ok((Val::Text(text), next))
}

fn read_logical<'a>(
    schema: &Schema,
    node: NodeId,
    logical: Logical,
    bytes: &'a [u8],
    at: usize,
) -> Result<(Val<'a>, usize), Failure> {
    let range = || "the timestamp is outside of the years -9999 to 9999".to_owned();
    let long = || view::long(bytes, at).map_err(broken);
    Ok(match logical {
        Logical::Decimal { scale, .. } => {
            let (unscaled, next) = match &schema.node(node).kind {
                Kind::Fixed(named) => view::fixed(bytes, at, named.size).map_err(broken)?,
                _ => view::sized(bytes, at).map_err(broken)?,
            };
            let scale = u32::try_from(scale).map_err(|_| broken(Broken))?;
            (Val::Decimal(unscaled, scale), next)
        }
        Logical::Uuid => match &schema.node(node).kind {
            Kind::Fixed(named) => {
                let (bytes, next) = view::fixed(bytes, at, named.size).map_err(broken)?;
                (Val::Bytes(bytes), next)
            }
            _ => read_text(bytes, at)?,
        },
        Logical::Date => {
            let (days, next) = long()?;
            let days = i32::try_from(days).map_err(|_| broken(Broken))?;
            (Val::Date(days), next)
        }
        Logical::TimeMillis => {
            let (millis, next) = long()?;
            (Val::Time(millis.saturating_mul(1_000_000)), next)
        }
        Logical::TimeMicros => {
            let (micros, next) = long()?;
            let nanos = micros.checked_mul(1_000);
            let nanos =
                nanos.ok_or("the time is outside of a day, and of all that can be counted")?;
            (Val::Time(nanos), next)
        }
        Logical::TimestampMillis => {
            let (millis, next) = long()?;
            let instant = Instant::from_millisecond(millis).ok_or_else(range)?;
            (Val::Timestamp(instant), next)
        }
        Logical::TimestampMicros => {
            let (micros, next) = long()?;
            let instant = Instant::from_microsecond(micros).ok_or_else(range)?;
            (Val::Timestamp(instant), next)
        }
        Logical::TimestampNanos => {
            let (nanos, next) = long()?;
            let instant = Instant::from_nanosecond(i128::from(nanos)).ok_or_else(range)?;
            (Val::Timestamp(instant), next)
        }
        Logical::LocalTimestampMillis
        | Logical::LocalTimestampMicros
        | Logical::LocalTimestampNanos
        | Logical::Duration => raw(schema, node, bytes, at)?,
    })
}

fn put_index(index: usize, out: &mut Vec<u8>) {
    varint::write(i64::try_from(index).unwrap_or(i64::MAX), out);
}

fn put_sized(bytes: &[u8], out: &mut Vec<u8>) {
    put_index(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends `value` as Avro bytes of `node`, exactly or not at all: what has no exact counterpart (a number out of range,
/// a timestamp between two milliseconds, a decimal of more digits) is a failure. Into a union goes null to its null, and
/// any other value to the first branch that takes it. After a failure `out` holds a part; the caller cuts it off.
pub fn write(
    schema: &Schema,
    node: NodeId,
    value: Val<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let written = schema.node(node);
    if let Val::Unread(bytes) = value {
        let text = std::str::from_utf8(bytes).map_err(|_| broken(Broken))?;
        return write(schema, node, Val::Text(text), out);
    }
    if let Val::Avro(own, bytes) = value {
        if own == node {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        if let Kind::Union(from) = &schema.node(own).kind {
            return write_chosen(schema, from, node, bytes, out);
        }
    }
    if let Some(logical) = written.logical {
        return write_logical(schema, node, logical, value, out);
    }
    match (&written.kind, value) {
        (Kind::Null, Val::Null) => {}
        (Kind::Boolean, Val::Bool(value)) => out.push(u8::from(value)),
        (Kind::Int, Val::Int(value)) => {
            let value = i32::try_from(value).map_err(|_| "out of the range of an int")?;
            varint::write(i64::from(value), out);
        }
        (Kind::Long, Val::Int(value)) => varint::write(value, out),
        (Kind::Float, Val::Double(value)) => {
            #[expect(clippy::cast_possible_truncation, reason = "compared right after")]
            let narrow = value as f32;
            if f64::from(narrow) != value && !value.is_nan() {
                return Err("no float has exactly this value".to_owned());
            }
            out.extend_from_slice(&narrow.to_le_bytes());
        }
        (Kind::Double, Val::Double(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Kind::Bytes, Val::Bytes(bytes)) => put_sized(bytes, out),
        (Kind::String, Val::Text(text)) => put_sized(text.as_bytes(), out),
        (Kind::Fixed(named), Val::Bytes(bytes)) => {
            if bytes.len() != named.size {
                return Err(format!(
                    "expected {} bytes, found {}",
                    named.size,
                    bytes.len()
                ));
            }
            out.extend_from_slice(bytes);
        }
        (Kind::Enum(named), Val::Enum(index)) => {
            if index as usize >= named.symbols.len() {
                return Err(broken(Broken));
            }
            varint::write(i64::from(index), out);
        }
        (Kind::Enum(named), Val::Text(text)) => {
            let symbol = named.symbols.iter().position(|symbol| symbol == text);
            let symbol = symbol.ok_or_else(|| format!("no symbol of {}", named.name.full))?;
            put_index(symbol, out);
        }
        (Kind::Union(branches), value) => return write_branch(schema, branches, value, out),
        (Kind::Array(inner), Val::List(items)) => {
            if !items.is_empty() {
                put_index(items.len(), out);
                for item in items {
                    write(schema, *inner, *item, out)?;
                }
            }
            out.push(0);
        }
        (Kind::Map(inner), Val::Map(entries)) => {
            if !entries.is_empty() {
                put_index(entries.len(), out);
                for (key, value) in entries {
                    let Val::Text(key) = key else {
                        return Err("a key that is no text".to_owned());
                    };
                    put_sized(key.as_bytes(), out);
                    write(schema, *inner, *value, out)?;
                }
            }
            out.push(0);
        }
        // Of another node: the same type as it stands elsewhere in the schema, which the compiler has checked.
        (kind, Val::Avro(own, bytes)) if schema.node(own).kind.word() == kind.word() => {
            out.extend_from_slice(bytes);
        }
        (_, value) => return Err(unfit(schema, node, value)),
    }
    Ok(())
}

/// How a text is written into a node that takes one, a string or a union of null and a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextIn {
    /// The union's index, as it is written.
    index: Option<u8>,
}

impl TextIn {
    /// Of the node, if it is one of these.
    pub fn of(schema: &Schema, node: NodeId) -> Option<TextIn> {
        let is = |node: NodeId, kind: Kind| {
            let written = schema.node(node);
            written.kind == kind && written.logical.is_none()
        };
        let index = match &schema.node(node).kind {
            Kind::Union(branches) => match branches[..] {
                [null, text] if is(null, Kind::Null) && is(text, Kind::String) => Some(1 << 1),
                [text, null] if is(null, Kind::Null) && is(text, Kind::String) => Some(0),
                _ => return None,
            },
            _ if is(node, Kind::String) => None,
            _ => return None,
        };
        Some(TextIn { index })
    }

    /// Appends what [`write`] would, of a text in UTF-8.
    #[inline]
    pub fn put(self, text: &[u8], out: &mut Vec<u8>) {
        out.extend(self.index);
        match u8::try_from(text.len()) {
            Ok(length) if length < 64 => out.push(length << 1),
            _ => put_index(text.len(), out),
        }
        out.extend_from_slice(text);
    }
}

fn unfit(schema: &Schema, node: NodeId, value: Val<'_>) -> Failure {
    format!("expected {}, found {}", schema.describe(node), value.word())
}

/// A value of a union of several types as one of another node: the same branch, wherever it stands there.
fn write_chosen(
    schema: &Schema,
    from: &[NodeId],
    node: NodeId,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let (branch, at) = view::index(bytes, 0).map_err(broken)?;
    let chosen = *from.get(branch).ok_or_else(|| broken(Broken))?;
    if let Kind::Union(to) = &schema.node(node).kind {
        let same = |to: &NodeId| same_node(schema, chosen, *to);
        let place = match to.get(branch).filter(|to| same(to)) {
            Some(_) => Some(branch),
            None => to.iter().position(same),
        };
        if let Some(place) = place {
            put_index(place, out);
            out.extend_from_slice(bytes.get(at..).ok_or_else(|| broken(Broken))?);
            return Ok(());
        }
    }
    let (value, _) = read(schema, chosen, bytes, at)?;
    write(schema, node, value, out)
}

fn write_branch(
    schema: &Schema,
    branches: &[NodeId],
    value: Val<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let start = out.len();
    // Two records in one union are told apart by what they are, not by the first that would do.
    if let Val::Avro(own, bytes) = value
        && let Some(index) = branches
            .iter()
            .position(|branch| same_node(schema, own, *branch))
    {
        put_index(index, out);
        out.extend_from_slice(bytes);
        return Ok(());
    }
    let mut failure = None;
    for (index, branch) in branches.iter().enumerate() {
        if (schema.node(*branch).kind == Kind::Null) != value.is_null() {
            continue;
        }
        put_index(index, out);
        match write(schema, *branch, value, out) {
            Ok(()) => return Ok(()),
            Err(why) => {
                out.truncate(start);
                failure.get_or_insert(why);
            }
        }
    }
    Err(failure.unwrap_or_else(|| format!("no branch of the union takes {}", value.word())))
}

fn write_logical(
    schema: &Schema,
    node: NodeId,
    logical: Logical,
    value: Val<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let kind = &schema.node(node).kind;
    let whole = |total: i128, unit: i128, word: &str| -> Result<i64, Failure> {
        if total % unit != 0 {
            return Err(format!("no whole number of {word}"));
        }
        i64::try_from(total / unit).map_err(|_| format!("out of the range of {}", logical.word()))
    };
    match (logical, value) {
        (Logical::Decimal { precision, scale }, Val::Decimal(unscaled, own)) => {
            let scale = u32::try_from(scale).map_err(|_| broken(Broken))?;
            let size = match kind {
                Kind::Fixed(named) => Some(named.size),
                _ => None,
            };
            if own == scale
                && decimal::fits(unscaled, precision)
                && size.is_none_or(|size| size == unscaled.len())
            {
                match size {
                    Some(_) => out.extend_from_slice(unscaled),
                    None => put_sized(unscaled, out),
                }
                return Ok(());
            }
            let number = crate::expr::number::Decimal::from_avro(unscaled, own as usize);
            let number = number
                .at_scale(scale as usize)
                .ok_or_else(|| format!("more than {scale} digits after the point"))?;
            let bytes = crate::expr::number::to_avro(&number, size)
                .filter(|bytes| decimal::fits(bytes, precision))
                .ok_or_else(|| format!("more than {precision} digits"))?;
            match size {
                Some(_) => out.extend_from_slice(&bytes),
                None => put_sized(&bytes, out),
            }
        }
        (Logical::Uuid, Val::Text(text)) if *kind == Kind::String => {
            put_sized(text.as_bytes(), out);
        }
        (Logical::Uuid, Val::Bytes(bytes)) if bytes.len() == 16 => out.extend_from_slice(bytes),
        (Logical::Date, Val::Date(days)) => varint::write(i64::from(days), out),
        (Logical::TimeMillis, Val::Time(nanos)) => {
            varint::write(whole(i128::from(nanos), 1_000_000, "milliseconds")?, out);
        }
        (Logical::TimeMicros, Val::Time(nanos)) => {
            varint::write(whole(i128::from(nanos), 1_000, "microseconds")?, out);
        }
        (Logical::TimestampMillis, Val::Timestamp(instant)) => {
            varint::write(
                whole(instant.as_nanosecond(), 1_000_000, "milliseconds")?,
                out,
            );
        }
        (Logical::TimestampMicros, Val::Timestamp(instant)) => {
            varint::write(whole(instant.as_nanosecond(), 1_000, "microseconds")?, out);
        }
        (Logical::TimestampNanos, Val::Timestamp(instant)) => {
            varint::write(whole(instant.as_nanosecond(), 1, "nanoseconds")?, out);
        }
        (_, Val::Avro(own, bytes)) if schema.node(own).logical == Some(logical) => {
            out.extend_from_slice(bytes);
        }
        (_, value) => return Err(unfit(schema, node, value)),
    }
    Ok(())
}

/// The order of two decimals by value.
pub fn compare_decimals((left, scale): (&[u8], u32), (right, other): (&[u8], u32)) -> Ordering {
    if let (Some(left), Some(right)) = (small(left), small(right)) {
        if scale == other {
            return left.cmp(&right);
        }
        let common = scale.max(other);
        let lift = |number: i128, own: u32| {
            10i128
                .checked_pow(common - own)
                .and_then(|power| number.checked_mul(power))
        };
        if let (Some(left), Some(right)) = (lift(left, scale), lift(right, other)) {
            return left.cmp(&right);
        }
    }
    let left = crate::expr::number::Decimal::from_avro(left, scale as usize);
    let right = crate::expr::number::Decimal::from_avro(right, other as usize);
    left.compare(&right)
}

/// The unscaled number of a decimal, if 128 bits hold it.
#[inline]
pub fn small(bytes: &[u8]) -> Option<i128> {
    if bytes.len() > 16 {
        return None;
    }
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut number: i128 = if negative { -1 } else { 0 };
    for byte in bytes {
        number = (number << 8) | i128::from(*byte);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::arbitrary;
    use proptest::prelude::*;

    /// Whatever the length takes, and whichever branch the text is.
    #[test]
    fn a_text_is_put_where_it_would_be_written() {
        let node = |json: &str| crate::expr::testing::schema(json);
        for takes in [
            r#""string""#,
            r#"["null","string"]"#,
            r#"["string","null"]"#,
        ] {
            let schema = node(takes);
            let text_in = TextIn::of(&schema, schema.root).expect("takes a text");
            for length in [0, 1, 63, 64, 127, 128, 9_000] {
                let text = "x".repeat(length);
                let mut found = b"before".to_vec();
                let mut expect = found.clone();
                text_in.put(text.as_bytes(), &mut found);
                write(&schema, schema.root, Val::Text(&text), &mut expect).expect("fits");
                assert_eq!(found, expect, "{takes} {length}");
                expect.truncate(6);
                write(
                    &schema,
                    schema.root,
                    Val::Unread(text.as_bytes()),
                    &mut expect,
                )
                .expect("fits");
                assert_eq!(found, expect, "{takes} {length}");
            }
        }
        for other in [
            r#""bytes""#,
            r#"["null","string","bytes"]"#,
            r#"{"type":"string","logicalType":"uuid"}"#,
            r#"["null",{"type":"enum","name":"E","symbols":["A"]}]"#,
        ] {
            let schema = node(other);
            assert_eq!(TextIn::of(&schema, schema.root), None, "{other}");
        }
    }

    proptest! {
        /// What is read and written again are the same bytes, but for blocks of collections.
        #[test]
        fn a_value_comes_back(seed: u64) {
            let (_, schema, value) = arbitrary::Generator::pair(seed, arbitrary::ANY);
            let mut bytes = Vec::new();
            crate::contract::encode::encode(&schema, &value, &mut bytes).expect("a value of its schema");
            let Ok((read, end)) = super::read(&schema, schema.root, &bytes, 0) else {
                // A timestamp that no calendar has.
                return Ok(());
            };
            prop_assert_eq!(end, bytes.len());
            let mut back = Vec::new();
            write(&schema, schema.root, read, &mut back).expect("it was read from there");
            prop_assert_eq!(back, bytes);
        }

        #[test]
        fn decimals_compare_by_value(a: i128, b: i128, s in 0u32..40, t in 0u32..40) {
            let number = |n: i128| crate::expr::number::to_avro(&n.into(), None).expect("no size");
            let (left, right) = (number(a), number(b));
            prop_assert_eq!(small(&left), Some(a));
            let expect = crate::expr::number::Decimal::from_avro(&left, s as usize)
                .compare(&crate::expr::number::Decimal::from_avro(&right, t as usize));
            prop_assert_eq!(compare_decimals((&left, s), (&right, t)), expect);
        }
    }
}
