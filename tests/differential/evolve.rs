//! One change from a writer schema to a reader schema.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::model::default_fits;
use super::schemas::{Builder, default, field};
use super::types::{Id, Kind, Logical, Name, Schema};

/// Kinds of change, as they are counted.
pub(crate) const EVOLUTIONS: [&str; 41] = [
    "none",
    "add with default",
    "add without default",
    "remove",
    "reorder",
    "rename with alias",
    "rename without alias",
    "alias of a field that stays",
    "promote int to long",
    "promote int to float",
    "promote int to double",
    "promote long to float",
    "promote long to double",
    "promote float to double",
    "promote string to bytes",
    "promote bytes to string",
    "narrow",
    "other type",
    "union wrap",
    "union unwrap",
    "union reorder",
    "union add branch",
    "union remove branch",
    "union look-alike renamed",
    "enum add symbol",
    "enum remove symbol with default",
    "enum remove symbol without default",
    "enum reorder",
    "enum default",
    "fixed size",
    "record renamed",
    "enum renamed",
    "fixed renamed",
    "record renamed with alias",
    "enum renamed with alias",
    "fixed renamed with alias",
    "namespace",
    "logical added or dropped",
    "logical changed",
    "decimal precision",
    "decimal scale",
];

/// Where a type stands, so that another can be put there.
enum Slot {
    Root,
    Field(Id, usize),
    Part(Id),
}

/// Applies a change in some place where it can be applied; false if there is none.
pub(crate) fn evolve(schema: &mut Schema, what: &str, rng: &mut SmallRng) -> bool {
    let before = schema.clone();
    let done = change(schema, what, rng).is_some();
    // Where a type changed, a default may no longer fit.
    for id in schema.reached() {
        let Kind::Record(_, mut fields) = schema.kind(id).clone() else {
            continue;
        };
        for field in &mut fields {
            let fits = |json| default_fits(schema, field.node, json);
            if field.default.as_ref().is_some_and(|json| !fits(json)) {
                field.default = None;
            }
        }
        if let Kind::Record(_, slot) = &mut schema.nodes[id].kind {
            *slot = fields;
        }
    }
    if !done || !schema.valid() || !schema.defaults_fit() {
        *schema = before;
        return false;
    }
    true
}

impl Schema {
    fn defaults_fit(&self) -> bool {
        self.reached().into_iter().all(|id| match self.kind(id) {
            Kind::Record(_, fields) => (fields.iter()).all(|f| {
                f.default
                    .as_ref()
                    .is_none_or(|json| default_fits(self, f.node, json))
            }),
            _ => true,
        })
    }
}

fn pick(schema: &Schema, rng: &mut SmallRng, fits: impl Fn(Id) -> bool) -> Option<Id> {
    let ids: Vec<Id> = schema
        .reached()
        .into_iter()
        .filter(|id| fits(*id))
        .collect();
    ids.choose(rng).copied()
}

fn slot(schema: &Schema, rng: &mut SmallRng, fits: impl Fn(&Kind) -> bool) -> Option<(Slot, Id)> {
    let mut slots = vec![(Slot::Root, schema.root)];
    for id in schema.reached() {
        match schema.kind(id) {
            Kind::Record(_, fields) => {
                slots
                    .extend((fields.iter().enumerate()).map(|(i, f)| (Slot::Field(id, i), f.node)));
            }
            Kind::Array(part) | Kind::Map(part) => slots.push((Slot::Part(id), *part)),
            _ => {}
        }
    }
    slots.retain(|(_, id)| fits(schema.kind(*id)));
    slots.shuffle(rng);
    slots.pop()
}

fn put(schema: &mut Schema, slot: &Slot, new: Id) {
    match slot {
        Slot::Root => schema.root = new,
        Slot::Field(record, position) => {
            if let Kind::Record(_, fields) = &mut schema.nodes[*record].kind {
                fields[*position].node = new;
            }
        }
        Slot::Part(id) => {
            if let Kind::Array(part) | Kind::Map(part) = &mut schema.nodes[*id].kind {
                *part = new;
            }
        }
    }
}

fn record_with(schema: &Schema, rng: &mut SmallRng, least: usize) -> Option<Id> {
    pick(
        schema,
        rng,
        |id| matches!(schema.kind(id), Kind::Record(_, f) if f.len() >= least),
    )
}

fn change(schema: &mut Schema, what: &str, rng: &mut SmallRng) -> Option<()> {
    match what {
        "none" => {}
        "add with default" | "add without default" => {
            let record = record_with(schema, rng, 0)?;
            let with_default = what == "add with default";
            let mut last = None;
            for _ in 0..if with_default {
                rng.random_range(1..4)
            } else {
                1
            } {
                let mut builder = Builder::on(schema.clone(), rng);
                // Two of one type, too: their defaults are then not told apart by type.
                let node = match last {
                    Some(kind) if builder.rng.random_bool(0.3) => builder.push(kind, None),
                    _ => builder.any(),
                };
                *schema = builder.schema;
                last = Some(schema.kind(node).clone()).filter(|k| k.name().is_none());
                let mut new = field(format!("new{}", rng.random_range(0..10_000)), node);
                if with_default {
                    new.default = Some(default(schema, node, rng, 0)?);
                }
                if let Kind::Record(_, fields) = &mut schema.nodes[record].kind {
                    fields.insert(rng.random_range(0..=fields.len()), new);
                }
            }
        }
        "remove"
        | "reorder"
        | "rename with alias"
        | "rename without alias"
        | "alias of a field that stays" => {
            let least = if what.starts_with("re") && what != "reorder" {
                1
            } else {
                2
            };
            let id = record_with(schema, rng, least)?;
            let Kind::Record(_, fields) = &mut schema.nodes[id].kind else {
                return None;
            };
            let at = rng.random_range(0..fields.len());
            match what {
                "remove" => drop(fields.remove(at)),
                "reorder" => fields.rotate_left(at.max(1)),
                "alias of a field that stays" => {
                    let other = fields[(at + 1) % fields.len()].name.clone();
                    fields[at].aliases.push(other);
                }
                _ => {
                    let new = format!("{}_{}", fields[at].name, rng.random_range(0..1000));
                    let old = std::mem::replace(&mut fields[at].name, new);
                    if what == "rename with alias" {
                        fields[at].aliases = vec!["unused".to_owned(), old];
                    }
                }
            }
        }
        _ if what.starts_with("promote") => {
            let (from, to) = what.strip_prefix("promote ")?.split_once(" to ")?;
            let (at, _) = slot(schema, rng, |k| k.word() == from)?;
            let mut builder = Builder::on(schema.clone(), rng);
            let new = builder.push(kind(to)?, None);
            *schema = builder.schema;
            put(schema, &at, new);
        }
        "narrow" => {
            let wide = [
                ("long", "int"),
                ("double", "float"),
                ("float", "long"),
                ("double", "int"),
            ];
            let (from, to) = *wide.choose(rng)?;
            let id = pick(schema, rng, |id| schema.kind(id).word() == from)?;
            schema.nodes[id].kind = kind(to)?;
            schema.nodes[id].logical = None;
        }
        "other type" => {
            let (at, _) = slot(schema, rng, |_| true)?;
            let mut builder = Builder::on(schema.clone(), rng);
            let new = builder.node(1);
            *schema = builder.schema;
            put(schema, &at, new);
        }
        "union wrap" => {
            let (at, old) = slot(schema, rng, |k| !matches!(k, Kind::Union(_) | Kind::Null))?;
            let mut builder = Builder::on(schema.clone(), rng);
            let null = builder.push(Kind::Null, None);
            let branches = match builder.rng.random_range(0..4) {
                0 => vec![null, old],
                1 => vec![old, null],
                2 => vec![null, builder.primitive(), old],
                _ => vec![old],
            };
            let new = builder.push(Kind::Union(branches), None);
            *schema = builder.schema;
            put(schema, &at, new);
        }
        "union unwrap" => {
            let (at, old) = slot(schema, rng, |k| matches!(k, Kind::Union(_)))?;
            let new = *schema.kind(old).parts().choose(rng)?;
            put(schema, &at, new);
        }
        _ if what.starts_with("union") => return union(schema, what, rng),
        _ if what.starts_with("enum ") && !what.contains("renamed") => {
            return symbols(schema, what, rng);
        }
        "fixed size" => {
            let id = pick(schema, rng, |id| matches!(schema.kind(id), Kind::Fixed(..)))?;
            if let Kind::Fixed(_, size) = &mut schema.nodes[id].kind {
                *size += 1;
            }
        }
        _ if what.contains("renamed") => {
            let word = what.split(' ').next()?;
            let id = pick(schema, rng, |id| schema.kind(id).word() == word)?;
            let name = schema.nodes[id].kind.name_mut()?;
            rename(name, what.ends_with("alias"), rng);
        }
        "namespace" => {
            let id = pick(schema, rng, |id| {
                schema
                    .kind(id)
                    .name()
                    .is_some_and(|n| !n.space().is_empty())
            })?;
            let name = schema.nodes[id].kind.name_mut()?;
            name.full = format!("moved.{}", name.short());
        }
        _ => return logical(schema, what, rng),
    }
    Some(())
}

fn rename(name: &mut Name, with_alias: bool, rng: &mut SmallRng) {
    let new = format!("{}_{}", name.full, rng.random_range(0..1000));
    let old = std::mem::replace(&mut name.full, new);
    if with_alias {
        // An alias may be written short when it is of the same namespace.
        let short = old.rsplit('.').next().unwrap_or(&old).to_owned();
        name.aliases = vec![if rng.random_bool(0.5) { old } else { short }];
    }
}

fn union(schema: &mut Schema, what: &str, rng: &mut SmallRng) -> Option<()> {
    if what == "union look-alike renamed" {
        let record = schema
            .reached()
            .into_iter()
            .filter_map(|id| match schema.kind(id) {
                Kind::Union(b) => (b.iter().copied()).find(|b| schema.kind(*b).word() == "record"),
                _ => None,
            });
        let id = *record.collect::<Vec<_>>().choose(rng)?;
        rename(schema.nodes[id].kind.name_mut()?, false, rng);
        return Some(());
    }
    let least = if what == "union add branch" { 1 } else { 2 };
    let id = pick(
        schema,
        rng,
        |id| matches!(schema.kind(id), Kind::Union(b) if b.len() >= least),
    )?;
    let added = if what == "union add branch" {
        let mut builder = Builder::on(schema.clone(), rng);
        let new = builder.node(1);
        *schema = builder.schema;
        Some(new)
    } else {
        None
    };
    let Kind::Union(branches) = &mut schema.nodes[id].kind else {
        return None;
    };
    let at = rng.random_range(0..branches.len());
    match added {
        Some(new) => branches.insert(at, new),
        None if what == "union reorder" => branches.rotate_left(at.max(1)),
        None => drop(branches.remove(at)),
    }
    Some(())
}

fn symbols(schema: &mut Schema, what: &str, rng: &mut SmallRng) -> Option<()> {
    let least = if what.contains("remove") || what.contains("reorder") {
        2
    } else {
        1
    };
    let id = pick(
        schema,
        rng,
        |id| matches!(schema.kind(id), Kind::Enum(_, s, _) if s.len() >= least),
    )?;
    let Kind::Enum(_, symbols, default) = &mut schema.nodes[id].kind else {
        return None;
    };
    let at = rng.random_range(0..symbols.len());
    match what {
        "enum add symbol" if rng.random_bool(0.5) => symbols.push("NEW".into()),
        "enum add symbol" => symbols.insert(at, "NEW".into()),
        "enum reorder" => symbols.rotate_left(at.max(1)),
        "enum default" => *default = symbols.choose(rng).cloned(),
        _ => {
            drop(symbols.remove(at));
            *default = (what.ends_with("with default")).then(|| symbols[0].clone());
        }
    }
    Some(())
}

fn logical(schema: &mut Schema, what: &str, rng: &mut SmallRng) -> Option<()> {
    let decimal = |id: Id| {
        schema.nodes[id]
            .logical
            .is_some_and(|l| l.word == "decimal")
    };
    match what {
        "logical added or dropped" => {
            let id = pick(schema, rng, |id| {
                matches!(schema.kind(id).word(), "int" | "long")
            })?;
            let node = &mut schema.nodes[id];
            let word = if node.kind == Kind::Int {
                "date"
            } else {
                "timestamp-millis"
            };
            node.logical = match node.logical {
                Some(_) => None,
                None => Some(Logical {
                    word,
                    precision: 0,
                    scale: 0,
                }),
            };
        }
        "logical changed" => {
            let id = pick(schema, rng, |id| {
                schema.nodes[id].logical.is_some()
                    && matches!(schema.kind(id).word(), "int" | "long")
            })?;
            let words: &[&str] = match schema.kind(id) {
                Kind::Int => &["date", "time-millis"],
                _ => &[
                    "timestamp-millis",
                    "timestamp-micros",
                    "local-timestamp-millis",
                ],
            };
            let old = schema.nodes[id].logical?;
            let word = *words.iter().find(|w| **w != old.word)?;
            schema.nodes[id].logical = Some(Logical { word, ..old });
        }
        _ => {
            let id = pick(schema, rng, decimal)?;
            let logical = schema.nodes[id].logical.as_mut()?;
            match what {
                "decimal precision" if rng.random_bool(0.5) => logical.precision += 1,
                "decimal precision" => logical.precision -= 1,
                _ => logical.scale += 1,
            }
        }
    }
    Some(())
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}
