//! Random schemas and values for property tests, and the properties of encode and decode that hold for all of them.
//! Everything follows from a seed, so a failure can be run again.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value as Json, json};

use super::decimal;
use super::encode::encode_node;
use super::schema::{Kind, Logical, NodeId, Schema};
use super::value::Value;

/// What a random schema may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Logical types.
    pub(crate) logical: bool,
    /// Unions of more than null and one type.
    pub(crate) wide_unions: bool,
}

pub(crate) const ANY: Shape = Shape {
    logical: true,
    wide_unions: true,
};

pub(crate) struct Generator {
    rng: StdRng,
    shape: Shape,
    names: Vec<String>,
    count: usize,
}

/// The bytes of a value with every array and map in blocks that state their size: two where there are several elements.
pub(crate) fn sized_blocks(schema: &Schema, node: NodeId, value: &Value, out: &mut Vec<u8>) {
    let blocks = |elements: Vec<Vec<u8>>, out: &mut Vec<u8>| {
        let (first, rest) = elements.split_at(elements.len().div_ceil(2));
        for block in [first, rest].into_iter().filter(|block| !block.is_empty()) {
            let bytes = block.concat();
            super::varint::write(-i64::try_from(block.len()).expect("few"), out);
            super::varint::write(i64::try_from(bytes.len()).expect("few"), out);
            out.extend(bytes);
        }
        out.push(0);
    };
    match (&schema.node(node).kind, value) {
        (Kind::Union(branches), Value::Union(branch, inner)) => {
            super::varint::write(i64::try_from(*branch).expect("few"), out);
            sized_blocks(schema, branches[*branch], inner, out);
        }
        (Kind::Record(record), Value::Record(values)) => {
            for (field, value) in record.fields.iter().zip(values) {
                sized_blocks(schema, field.node, value, out);
            }
        }
        (Kind::Array(item), Value::Array(items)) => {
            let element = |value| {
                let mut bytes = Vec::new();
                sized_blocks(schema, *item, value, &mut bytes);
                bytes
            };
            blocks(items.iter().map(element).collect(), out);
        }
        (Kind::Map(of), Value::Map(entries)) => {
            let element = |(key, value): &(String, Value)| {
                let mut bytes = Vec::new();
                super::varint::write(i64::try_from(key.len()).expect("few"), &mut bytes);
                bytes.extend(key.as_bytes());
                sized_blocks(schema, *of, value, &mut bytes);
                bytes
            };
            blocks(entries.iter().map(element).collect(), out);
        }
        _ => encode_node(schema, node, value, out).expect("fits"),
    }
}

/// Random changes to a schema, from writer to reader.
pub(crate) struct Evolution {
    rng: StdRng,
    count: usize,
}

impl Evolution {
    pub(crate) fn new(seed: u64) -> Self {
        Evolution {
            rng: StdRng::seed_from_u64(!seed),
            count: 0,
        }
    }

    /// The schema with changes here and there.
    pub(crate) fn evolve(&mut self, text: &str) -> String {
        let mut json = serde_json::from_str(text).expect("JSON");
        self.node(&mut json);
        json.to_string()
    }

    fn node(&mut self, node: &mut Json) {
        match node {
            Json::String(word) => {
                let wider: &[&str] = match word.as_str() {
                    "int" => &["long", "float", "double"],
                    "long" => &["float", "double"],
                    "float" => &["double"],
                    "string" => &["bytes"],
                    "bytes" => &["string"],
                    _ => &[],
                };
                if !wider.is_empty() && self.rng.random_bool(0.2) {
                    *word = wider[self.rng.random_range(0..wider.len())].to_owned();
                }
            }
            Json::Array(branches) => {
                for branch in branches.iter_mut() {
                    self.node(branch);
                }
                if self.rng.random_bool(0.3) {
                    branches.reverse();
                }
                if self.rng.random_bool(0.1) {
                    branches.pop();
                }
                return;
            }
            Json::Object(object) => {
                for key in ["items", "values"] {
                    if let Some(inner) = object.get_mut(key) {
                        self.node(inner);
                    }
                }
                if let Some(Json::Array(symbols)) = object.get_mut("symbols")
                    && self.rng.random_bool(0.4)
                {
                    symbols.reverse();
                    if self.rng.random_bool(0.5) {
                        symbols.pop();
                        symbols.push(json!("Other"));
                        object.insert("default".to_owned(), json!("Other"));
                    }
                }
                if let Some(Json::Array(fields)) = object.get_mut("fields") {
                    self.fields(fields);
                }
            }
            _ => {}
        }
        let is_null = node.as_str() == Some("null");
        if !is_null && self.rng.random_bool(0.05) {
            *node = json!(["null", node.clone()]);
        }
    }

    fn fields(&mut self, fields: &mut Vec<Json>) {
        for field in fields.iter_mut() {
            self.node(&mut field["type"]);
            if self.rng.random_bool(0.1) {
                field["aliases"] = json!([field["name"]]);
                field["name"] = json!(format!("renamed_{}", field["name"].as_str().expect("text")));
            }
        }
        if self.rng.random_bool(0.15) {
            fields.pop();
        }
        if self.rng.random_bool(0.2) {
            fields.reverse();
        }
        if self.rng.random_bool(0.3) {
            self.count += 1;
            let added = [
                ("string", json!("none")),
                ("long", json!(-5)),
                ("double", json!(0.5)),
            ];
            let (of, default) = added[self.rng.random_range(0..added.len())].clone();
            let place = self.rng.random_range(0..=fields.len());
            let name = format!("added_{}", self.count);
            let field = match self.rng.random_bool(0.3) {
                false => json!({"name": name, "type": of, "default": default}),
                true => {
                    let inner = json!({"type": "record", "name": format!("Added{}", self.count), "fields": [
                        {"name": "a", "type": "string"}, {"name": "b", "type": ["null", "int"], "default": null}]});
                    json!({"name": name, "type": inner, "default": {"a": "x"}})
                }
            };
            fields.insert(place, field);
        }
    }
}

impl Generator {
    pub(crate) fn new(seed: u64, shape: Shape) -> Self {
        Generator {
            rng: StdRng::seed_from_u64(seed),
            shape,
            names: Vec::new(),
            count: 0,
        }
    }

    /// A schema's text, always a record at the top.
    pub(crate) fn schema(&mut self) -> String {
        self.record(3).to_string()
    }

    fn name(&mut self) -> String {
        self.count += 1;
        let space = ["a.", "a.b.", "b."][self.rng.random_range(0..3)];
        format!("{space}N{}", self.count)
    }

    fn node(&mut self, depth: usize) -> Json {
        match self.rng.random_range(0..if depth == 0 { 9 } else { 14 }) {
            0..=7 => self.scalar(),
            8 => match self.names.as_slice() {
                [] => self.scalar(),
                names => json!(names[self.rng.random_range(0..names.len())]),
            },
            9 => json!({"type": "array", "items": self.node(depth - 1)}),
            10 => json!({"type": "map", "values": self.node(depth - 1)}),
            11 => self.record(depth - 1),
            12 => self.named_scalar(),
            _ => self.union(depth - 1),
        }
    }

    fn scalar(&mut self) -> Json {
        let plain = [
            "null", "boolean", "int", "long", "float", "double", "bytes", "string",
        ];
        if !self.shape.logical || self.rng.random_bool(0.6) {
            return json!(plain[self.rng.random_range(0..plain.len())]);
        }
        let logical = [
            ("int", "date"),
            ("int", "time-millis"),
            ("long", "time-micros"),
            ("long", "timestamp-millis"),
            ("long", "timestamp-micros"),
            ("long", "timestamp-nanos"),
            ("long", "local-timestamp-millis"),
            ("long", "local-timestamp-micros"),
            ("long", "local-timestamp-nanos"),
            ("string", "uuid"),
            ("bytes", "decimal"),
        ];
        let (base, word) = logical[self.rng.random_range(0..logical.len())];
        json!({"type": base, "logicalType": word, "precision": 20, "scale": self.rng.random_range(0..5)})
    }

    fn named_scalar(&mut self) -> Json {
        let name = self.name();
        self.names.push(name.clone());
        if self.rng.random_bool(0.5) {
            let symbols: Vec<_> = (0..self.rng.random_range(1..5))
                .map(|i| format!("S{i}"))
                .collect();
            return json!({"type": "enum", "name": name, "symbols": symbols});
        }
        if !self.shape.logical {
            return json!({"type": "fixed", "name": name, "size": self.rng.random_range(0..9)});
        }
        let (size, word) = [(16, "uuid"), (12, "duration"), (9, "decimal"), (3, "none")]
            [self.rng.random_range(0..4)];
        json!({"type": "fixed", "name": name, "size": size, "logicalType": word, "precision": 20, "scale": 2})
    }

    fn record(&mut self, depth: usize) -> Json {
        let name = self.name();
        let mut fields = Vec::new();
        for i in 0..self.rng.random_range(0..6) {
            let of = if self.rng.random_bool(0.1) {
                json!(["null", name])
            } else {
                self.node(depth)
            };
            fields.push(json!({"name": format!("f{i}"), "type": of}));
        }
        self.names.push(name.clone());
        json!({"type": "record", "name": name, "fields": fields})
    }

    fn union(&mut self, depth: usize) -> Json {
        let wanted = if self.shape.wide_unions {
            self.rng.random_range(1..5)
        } else {
            1
        };
        let mut branches = vec![json!("null")];
        let mut labels = vec!["null".to_owned()];
        for _ in 0..wanted {
            let known = self.names.len();
            let branch = self.node(depth);
            let label = match &branch {
                Json::String(word) => Some(word.clone()),
                Json::Array(_) => None,
                other => match other["name"].as_str() {
                    Some(name) => Some(name.to_owned()),
                    None => other["type"].as_str().map(str::to_owned),
                },
            };
            match label.filter(|label| !labels.contains(label)) {
                Some(label) => {
                    labels.push(label);
                    branches.push(branch);
                }
                // A definition that is thrown away must not be referred to.
                None => self.names.truncate(known),
            }
        }
        if branches.len() > 1 && self.rng.random_bool(0.3) {
            branches.rotate_left(1);
        }
        Json::Array(branches)
    }

    /// A value of the node.
    pub(crate) fn value(&mut self, schema: &Schema, id: NodeId, depth: usize) -> Value {
        let node = schema.node(id);
        match &node.kind {
            Kind::Null => Value::Null,
            Kind::Boolean => Value::Boolean(self.rng.random()),
            Kind::Int if self.rng.random_bool(0.3) => Value::Int(self.rng.random()),
            Kind::Int => Value::Int(self.rng.random_range(-200..200)),
            Kind::Long if self.rng.random_bool(0.3) => Value::Long(self.rng.random()),
            Kind::Long => Value::Long(self.rng.random_range(-200..2_000_000_000_000)),
            Kind::Float => Value::Float(self.rng.random_range(-1e9..1e9)),
            Kind::Double => Value::Double(self.rng.random_range(-1e300..1e300)),
            Kind::String if node.logical.is_some() => {
                Value::String(uuid::Uuid::from_u128(self.rng.random()).to_string())
            }
            Kind::String => {
                let length = self.rng.random_range(0..8);
                Value::String((0..length).map(|_| self.rng.random::<char>()).collect())
            }
            Kind::Bytes => match node.logical {
                Some(logical) => Value::Bytes(self.decimal(logical)),
                None => {
                    let length = self.rng.random_range(0..8);
                    Value::Bytes((0..length).map(|_| self.rng.random()).collect())
                }
            },
            Kind::Fixed(fixed) => match node.logical {
                Some(logical @ Logical::Decimal { .. }) => {
                    let bytes = self.decimal(logical);
                    Value::Fixed(decimal::extend(&bytes, fixed.size).expect("fits"))
                }
                _ => Value::Fixed((0..fixed.size).map(|_| self.rng.random()).collect()),
            },
            Kind::Enum(symbols) => Value::Enum(self.rng.random_range(0..symbols.symbols.len())),
            Kind::Array(item) => {
                let length = if depth > 5 {
                    0
                } else {
                    self.rng.random_range(0..4)
                };
                Value::Array(
                    (0..length)
                        .map(|_| self.value(schema, *item, depth + 1))
                        .collect(),
                )
            }
            Kind::Map(item) => {
                let length = if depth > 5 {
                    0
                } else {
                    self.rng.random_range(0..4)
                };
                let entry = |i| (format!("k{i}"), self.value(schema, *item, depth + 1));
                Value::Map((0..length).map(entry).collect())
            }
            Kind::Union(branches) => {
                let null = branches
                    .iter()
                    .position(|b| schema.node(*b).kind == Kind::Null);
                let branch = match null {
                    Some(null) if depth > 5 => null,
                    _ => self.rng.random_range(0..branches.len()),
                };
                let value = self.value(schema, branches[branch], depth + 1);
                Value::Union(branch, Box::new(value))
            }
            Kind::Record(record) => {
                let fields = record.fields.iter();
                Value::Record(
                    fields
                        .map(|f| self.value(schema, f.node, depth + 1))
                        .collect(),
                )
            }
        }
    }

    fn decimal(&mut self, logical: Logical) -> Vec<u8> {
        let Logical::Decimal { precision, scale } = logical else {
            return Vec::new();
        };
        let unscaled: i64 = self.rng.random();
        let text = decimal::to_text(&unscaled.to_be_bytes(), scale).expect("short");
        decimal::from_text(&text, precision, scale).expect("19 digits fit")
    }

    /// A schema's text, the schema, and a value of it.
    pub(crate) fn pair(seed: u64, shape: Shape) -> (String, Schema, Value) {
        let mut generator = Generator::new(seed, shape);
        let text = generator.schema();
        let schema = Schema::parse(&text, &[]).expect("a generated schema is valid");
        let value = generator.value(&schema, schema.root, 0);
        (text, schema, value)
    }
}

mod properties {
    use std::collections::HashMap;

    use apache_avro::reader::datum::GenericDatumReader;
    use apache_avro::types::Value as Theirs;
    use apache_avro::writer::datum::GenericDatumWriter;
    use proptest::prelude::*;

    use super::*;
    use crate::contract::decode::{Limits, decode};
    use crate::contract::encode::encode;
    use crate::contract::json::{FromJson, from_json, to_json};
    use crate::contract::plan::Plan;
    use crate::contract::resolve::Resolution;

    fn bytes(schema: &Schema, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode(schema, value, &mut out).expect("a generated value fits its schema");
        out
    }

    /// Our value as apache-avro's, for schemas without logical types.
    fn theirs(schema: &Schema, id: NodeId, value: &Value) -> Theirs {
        match (&schema.node(id).kind, value) {
            (_, Value::Null) => Theirs::Null,
            (_, Value::Boolean(v)) => Theirs::Boolean(*v),
            (_, Value::Int(v)) => Theirs::Int(*v),
            (_, Value::Long(v)) => Theirs::Long(*v),
            (_, Value::Float(v)) => Theirs::Float(*v),
            (_, Value::Double(v)) => Theirs::Double(*v),
            (_, Value::Bytes(v)) => Theirs::Bytes(v.clone()),
            (_, Value::String(v)) => Theirs::String(v.clone()),
            (_, Value::Fixed(v)) => Theirs::Fixed(v.len(), v.clone()),
            (Kind::Enum(of), Value::Enum(i)) => {
                Theirs::Enum(u32::try_from(*i).expect("small"), of.symbols[*i].clone())
            }
            (Kind::Array(item), Value::Array(items)) => {
                Theirs::Array(items.iter().map(|v| theirs(schema, *item, v)).collect())
            }
            (Kind::Map(item), Value::Map(entries)) => {
                let entry = |(k, v): &(String, Value)| (k.clone(), theirs(schema, *item, v));
                Theirs::Map(entries.iter().map(entry).collect::<HashMap<_, _>>())
            }
            (Kind::Record(of), Value::Record(values)) => {
                let fields = of.fields.iter().zip(values);
                Theirs::Record(
                    fields
                        .map(|(f, v)| (f.name.clone(), theirs(schema, f.node, v)))
                        .collect(),
                )
            }
            (Kind::Union(of), Value::Union(i, v)) => {
                let value = theirs(schema, of[*i], v);
                Theirs::Union(u32::try_from(*i).expect("small"), Box::new(value))
            }
            (kind, value) => panic!("{kind:?} {value:?}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn what_is_encoded_decodes_to_itself(seed: u64) {
            let (_, schema, value) = Generator::pair(seed, ANY);
            let bytes = bytes(&schema, &value);
            prop_assert_eq!(decode(&schema, &bytes, &Limits::default()), Ok(value));
        }

        #[test]
        fn no_prefix_and_nothing_longer_decodes(seed: u64, more: u8) {
            let (_, schema, value) = Generator::pair(seed, ANY);
            let mut bytes = bytes(&schema, &value);
            let limits = Limits::default();
            for end in 0..bytes.len() {
                let error = decode(&schema, &bytes[..end], &limits).expect_err("cut short");
                prop_assert!(error.byte_offset.is_some_and(|at| at <= end));
            }
            bytes.push(more);
            let error = decode(&schema, &bytes, &limits).expect_err("trailing");
            prop_assert_eq!(error.byte_offset, Some(bytes.len() - 1));
        }

        #[test]
        fn corrupt_and_random_bytes_never_panic(seed: u64, noise: Vec<u8>, at: usize, flip in 1u8..) {
            let (_, schema, value) = Generator::pair(seed, ANY);
            let limits = Limits { elements: 10_000, ..Limits::default() };
            let mut bytes = bytes(&schema, &value);
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] ^= flip;
            }
            for input in [&bytes, &noise] {
                match decode(&schema, input, &limits) {
                    Ok(value) => drop(to_json(&schema, schema.root, &value)),
                    Err(e) => prop_assert_eq!(e.reason, crate::error::Reason::MalformedData),
                }
            }
        }

        #[test]
        fn a_schema_resolves_to_itself_without_change(seed: u64) {
            let (_, schema, value) = Generator::pair(seed, ANY);
            let resolution = Resolution::compile(&schema, &schema).expect("itself");
            prop_assert!(Plan::compile(&schema, &schema, &[]).expect("itself").is_same());
            prop_assert_eq!(resolution.apply(value.clone()), Ok(value));
        }

        #[test]
        fn a_schema_survives_its_own_json(seed: u64) {
            let (_, schema, _) = Generator::pair(seed, ANY);
            let text = schema.to_json().to_string();
            let again = Schema::parse(&text, &[]).expect("own JSON");
            prop_assert_eq!(again.fingerprint(), schema.fingerprint());
            prop_assert_eq!(again, schema);
        }

        #[test]
        fn a_value_survives_its_own_json(seed: u64) {
            let shape = Shape { logical: true, wide_unions: false };
            let (_, schema, value) = Generator::pair(seed, shape);
            let json = to_json(&schema, schema.root, &value);
            let text = FromJson::default().text(&schema, schema.root, &json.to_string());
            prop_assert_eq!(text, Ok(value.clone()));
            prop_assert_eq!(from_json(&schema, schema.root, &json), Ok(value));
        }

        #[test]
        fn apache_avro_reads_and_writes_the_same_bytes(seed: u64) {
            let shape = Shape { logical: false, wide_unions: true };
            let (text, schema, value) = Generator::pair(seed, shape);
            let known = apache_avro::Schema::parse_str(&text).expect("their parser takes it");
            let ours = bytes(&schema, &value);
            let expect = theirs(&schema, schema.root, &value);
            let read = GenericDatumReader::builder(&known)
                .build()
                .and_then(|reader| reader.read_value(&mut &ours[..]))
                .expect("reads ours");
            prop_assert_eq!(&read, &expect);
            let written = GenericDatumWriter::builder(&known)
                .build()
                .and_then(|writer| writer.write_value_to_vec(expect.clone()))
                .expect("writes");
            let back = decode(&schema, &written, &Limits::default()).expect("reads theirs");
            prop_assert_eq!(theirs(&schema, schema.root, &back), expect);
        }
    }
}
