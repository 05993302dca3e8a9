//! Two schemas → the steps between them, or all that can never work.

use std::collections::HashMap;

use super::{Action, ActionId, Mismatch, Promotion, Resolution};
use crate::contract::default;
use crate::contract::schema::{EnumType, Kind, Logical, Node, NodeId, RecordType, Schema};

/// Compiles the steps from `writer` to `reader`, or lists all that can never work.
pub(super) fn compile(writer: &Schema, reader: &Schema) -> Result<Resolution, Vec<Mismatch>> {
    let mut compiler = Compiler {
        writer,
        reader,
        actions: Vec::new(),
        known: HashMap::new(),
        units: Vec::new(),
        depth: 0,
    };
    let result = compiler.pair(writer.root, reader.root, "");
    let mut found = compiler.units;
    let root = match result {
        Ok(root) => root,
        Err(more) => {
            found.extend(
                more.into_iter()
                    .filter(|m| !found.contains(m))
                    .collect::<Vec<_>>(),
            );
            return Err(found);
        }
    };
    if !found.is_empty() {
        return Err(found);
    }
    Ok(Resolution {
        actions: compiler.actions,
        root,
    })
}

fn promotion(writer: &Kind, reader: &Kind) -> Option<Promotion> {
    Some(match (writer, reader) {
        (Kind::Int, Kind::Long) => Promotion::IntLong,
        (Kind::Int, Kind::Float) => Promotion::IntFloat,
        (Kind::Int, Kind::Double) => Promotion::IntDouble,
        (Kind::Long, Kind::Float) => Promotion::LongFloat,
        (Kind::Long, Kind::Double) => Promotion::LongDouble,
        (Kind::Float, Kind::Double) => Promotion::FloatDouble,
        (Kind::String, Kind::Bytes) => Promotion::StringBytes,
        (Kind::Bytes, Kind::String) => Promotion::BytesString,
        _ => return None,
    })
}

/// How well two types of the same kind go by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Fit {
    None,
    Unqualified,
    Exact,
}

fn name_fit(writer: &Kind, reader: &Kind) -> Fit {
    match (writer.name(), reader.name()) {
        (Some(w), Some(r)) if w.full == r.full || r.aliases.contains(&w.full) => Fit::Exact,
        (Some(w), Some(r)) if w.unqualified() == r.unqualified() => Fit::Unqualified,
        (None, None) => Fit::Exact,
        _ => Fit::None,
    }
}

fn say(logical: Logical) -> String {
    match logical {
        Logical::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        other => other.word().to_owned(),
    }
}

fn same_type(writer: &Kind, reader: &Kind) -> bool {
    std::mem::discriminant(writer) == std::mem::discriminant(reader)
}

struct Compiler<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    actions: Vec<Action>,
    /// Pairs of named types seen so far. A pair that is still being compiled counts as fine, which is what makes
    /// recursive types end; should it fail later, its action refuses.
    known: HashMap<(NodeId, NodeId), Result<ActionId, Vec<Mismatch>>>,
    /// Logical types that disagree, kept apart because they fail the whole pair even inside a union branch that some
    /// records never take.
    units: Vec<Mismatch>,
    depth: usize,
}

/// Bound on record types inside one another, so that a hostile schema cannot exhaust the stack. Data nests less:
/// see [`Limits`](crate::contract::decode::Limits).
const DEPTH_LIMIT: usize = 100;

type Compiled = Result<ActionId, Vec<Mismatch>>;

impl Compiler<'_> {
    fn add(&mut self, action: Action) -> ActionId {
        self.actions.push(action);
        self.actions.len() - 1
    }

    fn pair(&mut self, w: NodeId, r: NodeId, path: &str) -> Compiled {
        let (writer, reader) = (self.writer.node(w), self.reader.node(r));
        let named = matches!(
            (&writer.kind, &reader.kind),
            (Kind::Record(_), Kind::Record(_))
        );
        if !named {
            return self.plain(w, r, path);
        }
        if let Some(known) = self.known.get(&(w, r)) {
            return known.clone();
        }
        if self.depth >= DEPTH_LIMIT {
            return Err(one(
                path,
                format!("nests deeper than {DEPTH_LIMIT} record types"),
            ));
        }
        let id = self.add(Action::Same);
        self.known.insert((w, r), Ok(id));
        self.depth += 1;
        let result = self.plain(w, r, path);
        self.depth -= 1;
        match result {
            Ok(compiled) => {
                // Its own slot takes the action, because recursive parts point there.
                self.actions[id] = self.actions[compiled].clone();
                Ok(id)
            }
            Err(mismatches) => {
                let why = mismatches
                    .first()
                    .map_or("cannot be read", |m| m.message.as_str());
                self.actions[id] = Action::Refuse(why.to_owned());
                self.known.insert((w, r), Err(mismatches.clone()));
                Err(mismatches)
            }
        }
    }

    fn plain(&mut self, w: NodeId, r: NodeId, path: &str) -> Compiled {
        let (writer, reader) = (self.writer, self.reader);
        let (from, to) = (writer.node(w), reader.node(r));
        if let Kind::Union(branches) = &from.kind {
            return self.writer_union(branches, r, path);
        }
        if let Kind::Union(branches) = &to.kind {
            return self.reader_union(w, branches, r, path);
        }
        self.check_units(from, to, path);
        if let Some(promotion) = promotion(&from.kind, &to.kind) {
            return Ok(self.add(Action::Promote(promotion)));
        }
        if !same_type(&from.kind, &to.kind) {
            return self.mismatch(w, r, path);
        }
        if name_fit(&from.kind, &to.kind) == Fit::None {
            let message = format!(
                "the writer's {} and the reader's {} differ in name, and no alias joins them",
                writer.describe(w),
                reader.describe(r)
            );
            return Err(one(path, message));
        }
        match (&from.kind, &to.kind) {
            (Kind::Array(from), Kind::Array(to)) => {
                let item = self.pair(*from, *to, &format!("{path}[]"))?;
                Ok(self.add(Action::Items(item)))
            }
            (Kind::Map(from), Kind::Map(to)) => {
                let value = self.pair(*from, *to, &format!("{path}[]"))?;
                Ok(self.add(Action::Entries(value)))
            }
            (Kind::Record(from), Kind::Record(to)) => self.record(from, to, path),
            (Kind::Enum(from), Kind::Enum(to)) => self.enumeration(from, to, path),
            (Kind::Fixed(from), Kind::Fixed(to)) if from.size != to.size => {
                let message = format!(
                    "fixed {} has {} bytes in the writer schema and {} in the reader schema",
                    to.name.full, from.size, to.size
                );
                Err(one(path, message))
            }
            _ => Ok(self.add(match (from.logical, to.logical) {
                (None, Some(Logical::Decimal { precision, .. })) => Action::Digits(precision),
                _ => Action::Same,
            })),
        }
    }

    fn mismatch(&self, w: NodeId, r: NodeId, path: &str) -> Compiled {
        let message = format!(
            "{} cannot be read as {}",
            self.writer.describe(w),
            self.reader.describe(r)
        );
        Err(one(path, message))
    }

    fn check_units(&mut self, writer: &Node, reader: &Node, path: &str) {
        let promoted = promotion(&writer.kind, &reader.kind).is_some();
        let (w, r) = match (writer.logical, reader.logical) {
            (Some(w), Some(r)) => (w, r),
            // Text and an unscaled number share nothing but their bytes.
            (Some(decimal @ Logical::Decimal { .. }), None)
            | (None, Some(decimal @ Logical::Decimal { .. }))
                if promoted =>
            {
                let (from, to) = match writer.logical {
                    Some(_) => (say(decimal), "text".to_owned()),
                    None => ("text".to_owned(), say(decimal)),
                };
                return self.unit(
                    path,
                    format!("the writer's {from} would be misread as {to}"),
                );
            }
            _ => return,
        };
        let fine = match (w, r) {
            (
                Logical::Decimal {
                    precision: from,
                    scale: a,
                },
                Logical::Decimal {
                    precision: to,
                    scale: b,
                },
            ) => a == b && from <= to,
            (w, r) => w == r,
        };
        let related = same_type(&writer.kind, &reader.kind) || promoted;
        if fine || !related {
            return;
        }
        let message = format!(
            "the writer's {} {} would be misread as {} {}",
            writer.kind.word(),
            say(w),
            reader.kind.word(),
            say(r)
        );
        self.unit(path, message);
    }

    fn unit(&mut self, path: &str, message: String) {
        let mismatch = Mismatch {
            path: path.to_owned(),
            message,
        };
        if !self.units.contains(&mismatch) {
            self.units.push(mismatch);
        }
    }

    fn record(&mut self, from: &RecordType, to: &RecordType, path: &str) -> Compiled {
        let mut fields: Vec<(String, Option<(usize, ActionId)>)> =
            from.fields.iter().map(|f| (f.name.clone(), None)).collect();
        let mut defaults = Vec::new();
        let mut found = Vec::new();
        for (position, field) in to.fields.iter().enumerate() {
            let at = if path.is_empty() {
                field.name.clone()
            } else {
                format!("{path}.{}", field.name)
            };
            // By name first. An alias takes only a field that no reader field has by name.
            let source = from.index.get(&field.name).copied().or_else(|| {
                let free = |alias: &&String| !to.index.contains_key(*alias);
                let candidates = field.aliases.iter().filter(free);
                let mut known = candidates.filter_map(|alias| from.index.get(alias).copied());
                known.find(|index| fields[*index].1.is_none())
            });
            match (source, &field.default) {
                (Some(source), _) => match self.pair(from.fields[source].node, field.node, &at) {
                    Ok(action) => fields[source].1 = Some((position, action)),
                    Err(more) => found.extend(more),
                },
                (None, Some(json)) => match default::value(self.reader, field.node, json) {
                    Ok(value) => defaults.push((position, value)),
                    Err(e) => {
                        found.extend(one(&at, format!("its default does not fit: {}", e.message)))
                    }
                },
                (None, None) => {
                    let message =
                        "the writer schema has no such field, and the reader's has no default";
                    found.extend(one(&at, message.to_owned()));
                }
            }
        }
        if !found.is_empty() {
            return Err(found);
        }
        let width = to.fields.len();
        Ok(self.add(Action::Record {
            fields,
            defaults,
            width,
        }))
    }

    fn enumeration(&mut self, from: &EnumType, to: &EnumType, path: &str) -> Compiled {
        let symbol = |name: &String| {
            let position = to.symbols.iter().position(|s| s == name).or(to.default);
            position.ok_or_else(|| name.clone())
        };
        let symbols: Vec<_> = from.symbols.iter().map(symbol).collect();
        if !symbols.is_empty() && symbols.iter().all(Result::is_err) {
            let message = format!(
                "no symbol of the writer's enum {} is known to the reader",
                from.name.full
            );
            return Err(one(path, message));
        }
        Ok(self.add(Action::Enum(symbols)))
    }

    fn writer_union(&mut self, branches: &[NodeId], r: NodeId, path: &str) -> Compiled {
        let mut actions = Vec::with_capacity(branches.len());
        let mut found = Vec::new();
        let mut any = false;
        for branch in branches {
            match self.pair(*branch, r, path) {
                Ok(action) => {
                    any = true;
                    actions.push(action);
                }
                Err(mismatches) => {
                    let why = mismatches.first().map_or_else(String::new, |m| {
                        if m.path == path {
                            m.message.clone()
                        } else {
                            format!("{}: {}", m.path, m.message)
                        }
                    });
                    actions.push(self.add(Action::Refuse(why)));
                    found.extend(mismatches);
                }
            }
        }
        if !any {
            return Err(found);
        }
        Ok(self.add(Action::Branches(actions)))
    }

    fn reader_union(&mut self, w: NodeId, branches: &[NodeId], r: NodeId, path: &str) -> Compiled {
        let from = &self.writer.node(w).kind;
        let reader = self.reader;
        let kind = |branch: NodeId| &reader.node(branch).kind;
        let alike: Vec<(usize, NodeId, Fit)> = (branches.iter().enumerate())
            .filter(|(_, b)| same_type(from, kind(**b)))
            .map(|(i, b)| (i, *b, name_fit(from, kind(*b))))
            .collect();
        let exact = alike.iter().find(|(_, _, fit)| *fit == Fit::Exact);
        if let Some((position, branch, _)) = exact {
            let inner = self.pair(w, *branch, path)?;
            return Ok(self.add(Action::Into(*position, inner)));
        }
        let mut first_error = None;
        for (position, branch, _) in alike.iter().filter(|(_, _, fit)| *fit == Fit::Unqualified) {
            let (units, known) = (self.units.len(), self.known.clone());
            match self.pair(w, *branch, path) {
                Ok(inner) => return Ok(self.add(Action::Into(*position, inner))),
                Err(e) => {
                    // This branch is not taken, so what it would misread does not count. Pairs first seen in it are
                    // forgotten too: met again elsewhere, they must tell what they misread once more.
                    self.units.truncate(units);
                    self.known = known;
                    first_error = first_error.or(Some(e));
                }
            }
        }
        if let Some(e) = first_error {
            return Err(e);
        }
        let promoted =
            (branches.iter().enumerate()).find(|(_, b)| promotion(from, kind(**b)).is_some());
        match promoted {
            Some((position, branch)) => {
                let inner = self.pair(w, *branch, path)?;
                Ok(self.add(Action::Into(position, inner)))
            }
            None => self.mismatch(w, r, path),
        }
    }
}

fn one(path: &str, message: String) -> Vec<Mismatch> {
    vec![Mismatch {
        path: path.to_owned(),
        message,
    }]
}
