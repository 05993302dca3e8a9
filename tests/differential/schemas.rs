//! Random schemas: every type, logical type, union form and kind of alias, with names in namespaces.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value as Json, json};

use super::types::{Field, Id, Kind, Logical, Name, Node, Schema};

/// Bytes or size of a base and the logical types that it can have.
pub(crate) const LOGICAL: [(&str, &str); 15] = [
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
    ("fixed", "decimal"),
    ("fixed", "uuid"),
    ("fixed", "duration"),
    ("string", "money"),
];

pub(crate) struct Builder<'r> {
    pub rng: &'r mut SmallRng,
    pub schema: Schema,
    spaces: &'static [&'static str],
    /// Records being built, to which a field may refer, and named types that are finished.
    open: Vec<Id>,
    done: Vec<Id>,
    names: usize,
}

/// A random schema.
pub(crate) fn schema(rng: &mut SmallRng) -> Schema {
    let spaces: &[&str] = if rng.random_bool(0.4) {
        &[""]
    } else {
        &["shop", "shop.eu", "crm"]
    };
    let mut builder = Builder {
        rng,
        schema: Schema {
            nodes: Vec::new(),
            root: 0,
        },
        spaces,
        open: Vec::new(),
        done: Vec::new(),
        names: 0,
    };
    let depth = builder.rng.random_range(1..4);
    builder.schema.root = match builder.rng.random_range(0..10) {
        0 => builder.node(depth),
        1 => builder.union(depth),
        _ => builder.record(depth),
    };
    let mut schema = builder.schema;
    set_defaults(&mut schema, rng, 0.3);
    schema
}

/// Gives some fields a default that fits.
fn set_defaults(schema: &mut Schema, rng: &mut SmallRng, share: f64) {
    for id in schema.reached() {
        let Kind::Record(_, fields) = schema.kind(id) else {
            continue;
        };
        let mut fields = fields.clone();
        for field in &mut fields {
            if rng.random_bool(share) {
                field.default = default(schema, field.node, rng, 0);
            }
        }
        if let Kind::Record(_, slot) = &mut schema.nodes[id].kind {
            *slot = fields;
        }
    }
}

impl Builder<'_> {
    /// A builder that adds to a schema that is there.
    pub(crate) fn on(schema: Schema, rng: &mut SmallRng) -> Builder<'_> {
        let bare = (schema.nodes.iter())
            .filter_map(|n| n.kind.name())
            .all(|n| n.space().is_empty());
        Builder {
            spaces: if bare { &[""] } else { &["shop", "new"] },
            names: schema.nodes.len() + 100,
            rng,
            schema,
            open: Vec::new(),
            done: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, kind: Kind, logical: Option<Logical>) -> Id {
        self.schema.nodes.push(Node { kind, logical });
        self.schema.nodes.len() - 1
    }

    fn name(&mut self, letter: char) -> Name {
        self.names += 1;
        let space = *self.spaces.choose(self.rng).expect("not empty");
        let short = format!("{letter}{}", self.names);
        let full = if space.is_empty() {
            short
        } else {
            format!("{space}.{short}")
        };
        Name {
            full,
            aliases: Vec::new(),
        }
    }

    pub(crate) fn node(&mut self, depth: usize) -> Id {
        match self.rng.random_range(0..if depth == 0 { 12 } else { 18 }) {
            0..=7 => self.primitive(),
            8 => self.logical(),
            9 => self.enumeration(),
            10 => self.fixed(),
            11 => match self.done.choose(self.rng) {
                Some(id) => *id,
                None => self.primitive(),
            },
            12 | 13 => {
                let item = self.node(depth - 1);
                self.push(Kind::Array(item), None)
            }
            14 => {
                let value = self.node(depth - 1);
                self.push(Kind::Map(value), None)
            }
            15 => self.record(depth - 1),
            _ => self.union(depth - 1),
        }
    }

    /// A new node of any type, each as often.
    pub(crate) fn any(&mut self) -> Id {
        match self.rng.random_range(0..14) {
            0 => self.push(Kind::Null, None),
            1 => self.enumeration(),
            2 => self.fixed(),
            3 => self.record(1),
            4 => self.union(1),
            5 => {
                let item = self.node(1);
                self.push(Kind::Array(item), None)
            }
            6 => {
                let value = self.node(1);
                self.push(Kind::Map(value), None)
            }
            _ => self.primitive(),
        }
    }

    pub(crate) fn primitive(&mut self) -> Id {
        let kinds = [
            Kind::Null,
            Kind::Boolean,
            Kind::Int,
            Kind::Long,
            Kind::Float,
            Kind::Double,
            Kind::Bytes,
            Kind::String,
        ];
        let weighted = if self.rng.random_bool(0.05) {
            0
        } else {
            self.rng.random_range(1..8)
        };
        self.push(kinds[weighted].clone(), None)
    }

    fn logical(&mut self) -> Id {
        let (base, word) = *LOGICAL.choose(self.rng).expect("not empty");
        let logical = Some(Logical {
            word,
            precision: self.rng.random_range(5..9),
            scale: self.rng.random_range(0..3),
        });
        let kind = match base {
            "int" => Kind::Int,
            "long" => Kind::Long,
            "string" => Kind::String,
            "bytes" => Kind::Bytes,
            _ => {
                let size = match word {
                    "uuid" => 16,
                    "duration" => 12,
                    _ => self.rng.random_range(4..9),
                };
                Kind::Fixed(self.name('F'), size)
            }
        };
        let named = kind.name().is_some();
        let id = self.push(kind, logical);
        if named {
            self.done.push(id);
        }
        id
    }

    fn enumeration(&mut self) -> Id {
        let count = self.rng.random_range(1..6);
        let symbols: Vec<String> = (0..count).map(|i| format!("S{i}")).collect();
        let default = (self.rng.random_bool(0.4))
            .then(|| symbols.choose(self.rng).expect("not empty").clone());
        let kind = Kind::Enum(self.name('E'), symbols, default);
        let id = self.push(kind, None);
        self.done.push(id);
        id
    }

    fn fixed(&mut self) -> Id {
        let size = if self.rng.random_bool(0.1) {
            0
        } else {
            self.rng.random_range(1..9)
        };
        let kind = Kind::Fixed(self.name('F'), size);
        let id = self.push(kind, None);
        self.done.push(id);
        id
    }

    pub(crate) fn record(&mut self, depth: usize) -> Id {
        let name = self.name('R');
        let id = self.push(Kind::Record(name, Vec::new()), None);
        self.open.push(id);
        let mut fields = Vec::new();
        for i in 0..self.rng.random_range(0..6) {
            let node = if self.rng.random_bool(0.06) {
                self.recursion()
            } else {
                self.node(depth)
            };
            fields.push(field(format!("f{i}"), node));
        }
        self.open.pop();
        self.done.push(id);
        if let Kind::Record(_, slot) = &mut self.schema.nodes[id].kind {
            *slot = fields;
        }
        id
    }

    /// A way back to a record that is being built, through something that can end it.
    fn recursion(&mut self) -> Id {
        let id = *self.open.choose(self.rng).expect("a record is open");
        match self.rng.random_range(0..4) {
            0 => self.push(Kind::Array(id), None),
            1 => self.push(Kind::Map(id), None),
            _ => {
                let null = self.push(Kind::Null, None);
                self.push(Kind::Union(vec![null, id]), None)
            }
        }
    }

    pub(crate) fn union(&mut self, depth: usize) -> Id {
        let null = self.push(Kind::Null, None);
        let mut branches = match self.rng.random_range(0..6) {
            // Nullable, null first or last.
            0 => vec![null, self.node(depth)],
            1 => vec![self.node(depth), null],
            // One branch.
            2 if self.rng.random_bool(0.3) => vec![self.node(depth)],
            // Numbers, which promote to one another.
            2 => {
                let mut kinds = vec![Kind::Int, Kind::Long, Kind::Float, Kind::Double];
                kinds.rotate_left(self.rng.random_range(0..4));
                kinds.truncate(self.rng.random_range(2..=4));
                kinds.into_iter().map(|k| self.push(k, None)).collect()
            }
            // Records that look alike.
            3 => self.look_alikes(),
            4 => {
                let text = self.push(Kind::String, None);
                let bytes = self.push(Kind::Bytes, None);
                vec![null, text, bytes]
            }
            _ => {
                let mut branches = vec![null];
                for _ in 0..self.rng.random_range(1..4) {
                    branches.push(self.node(depth));
                }
                branches
            }
        };
        let mut labels: Vec<String> = Vec::new();
        branches.retain(|b| {
            let label = self.schema.label(*b).to_owned();
            let fresh = label != "union" && !labels.contains(&label);
            labels.push(label);
            fresh
        });
        if branches.is_empty() {
            branches.push(null);
        }
        self.push(Kind::Union(branches), None)
    }

    fn look_alikes(&mut self) -> Vec<Id> {
        let parts: Vec<Id> = (0..self.rng.random_range(1..3))
            .map(|_| self.primitive())
            .collect();
        (0..self.rng.random_range(2..4))
            .map(|_| {
                let fields = (parts.iter().enumerate())
                    .map(|(i, node)| {
                        let kind = self.schema.kind(*node).clone();
                        field(format!("f{i}"), self.push(kind, None))
                    })
                    .collect();
                let name = self.name('L');
                let id = self.push(Kind::Record(name, fields), None);
                self.done.push(id);
                id
            })
            .collect()
    }
}

pub(crate) fn field(name: String, node: Id) -> Field {
    Field {
        name,
        aliases: Vec::new(),
        node,
        default: None,
    }
}

/// A default for a node as JSON, if one can be had.
pub(crate) fn default(schema: &Schema, id: Id, rng: &mut SmallRng, depth: usize) -> Option<Json> {
    if depth > 4 {
        return None;
    }
    let latin = |rng: &mut SmallRng, n: usize| -> String {
        (0..n).map(|_| char::from(rng.random::<u8>())).collect()
    };
    Some(match schema.kind(id) {
        Kind::Null => Json::Null,
        Kind::Boolean => json!(rng.random::<bool>()),
        Kind::Int => json!([0, 1, -1, i32::MIN, i32::MAX][rng.random_range(0..5)]),
        Kind::Long => json!([0, -7, i64::MIN, i64::MAX, 1i64 << 40][rng.random_range(0..5)]),
        Kind::Float | Kind::Double => match rng.random_range(0..5) {
            0 => json!(3),
            1 => json!(-0.0),
            2 => json!(0.1),
            3 => json!(1e300),
            _ => json!(-12.5),
        },
        // Two characters, which are a number of at most five digits.
        Kind::Bytes if schema.nodes[id].logical.is_some() => json!("\u{1}\u{2}"),
        Kind::Fixed(_, size) if schema.nodes[id].logical.is_some() => {
            json!(format!("{}\u{5}", "\0".repeat(size - 1)))
        }
        Kind::Bytes => {
            let n = rng.random_range(0..4);
            json!(latin(rng, n))
        }
        Kind::Fixed(_, size) => json!(latin(rng, *size)),
        Kind::String => json!(["", "x", "né", "日本"][rng.random_range(0..4)]),
        Kind::Enum(_, symbols, _) => json!(symbols.choose(rng)?),
        Kind::Array(item) => {
            let n = if depth > 2 { 0 } else { rng.random_range(0..3) };
            let items = (0..n).map(|_| default(schema, *item, rng, depth + 1));
            Json::Array(items.collect::<Option<_>>()?)
        }
        Kind::Map(value) => {
            let n = if depth > 2 { 0 } else { rng.random_range(0..3) };
            let mut map = Map::new();
            for i in 0..n {
                map.insert(format!("k{i}"), default(schema, *value, rng, depth + 1)?);
            }
            Json::Object(map)
        }
        Kind::Union(branches) => {
            // Mostly the first, as Avro before 1.12 demands.
            let branch = if rng.random_bool(0.7) {
                branches.first()
            } else {
                branches.choose(rng)
            };
            default(schema, *branch?, rng, depth + 1)?
        }
        Kind::Record(_, fields) => {
            let mut map = Map::new();
            for field in fields {
                if field.default.is_some() && rng.random_bool(0.4) {
                    continue;
                }
                map.insert(
                    field.name.clone(),
                    default(schema, field.node, rng, depth + 1)?,
                );
            }
            Json::Object(map)
        }
    })
}
