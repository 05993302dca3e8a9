//! A second, slow and plain reading of Avro, in which each [`Difference`] can be switched. With all rules kept it must
//! do what our engine does, with none what Java does; then a case on which those two differ is explained by the rules
//! that change the model's mind. It shares no code with the engine.

mod defaults;
mod java_schema;
mod read;

use std::collections::HashMap;

pub(crate) use self::defaults::default_fits;
use self::defaults::read_default;
use self::java_schema::{defaults_check, renamed};
use self::read::Reading;
use super::difference::{Difference, Rules};
use super::types::{Field, Id, Kind, Logical, Name, Node, Schema};
use super::value::{Value, plain};

/// Items of one collection that Java is told to take, in tests/oracle.
pub(crate) const JAVA_ITEMS: i64 = 1_100_000;

/// Refused; the model does not say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

type Taken<T> = Result<T, Refused>;
type Act = usize;

enum Action {
    /// Being compiled.
    Pending,
    Error,
    /// As the writer wrote it.
    Same,
    /// By the reader's schema, which is the writer's in all that matters.
    AsReader,
    Promote(Kind),
    /// Symbols' places with the reader, and the number of the reader's symbols.
    Enum(Vec<Option<usize>>, usize),
    Array(Act),
    Map(Act),
    Record {
        fields: Vec<Option<(usize, Act)>>,
        defaults: Vec<(usize, Value)>,
        width: usize,
    },
    Branches(Vec<(Act, bool)>),
    Into(usize, Act),
}

/// A pair of schemas, compiled under some rules.
pub(crate) struct Pair {
    writer: Schema,
    reader: Schema,
    rules: Rules,
    actions: Vec<Action>,
    /// None: refused as a whole.
    root: Option<Act>,
}

impl Pair {
    pub(crate) fn compile(writer: &Schema, reader: &Schema, rules: Rules) -> Pair {
        let mut pair = Pair {
            writer: writer.clone(),
            reader: reader.clone(),
            rules,
            actions: Vec::new(),
            root: None,
        };
        let defaults = defaults_check(writer) && defaults_check(reader);
        if !defaults && !rules.keeps(Difference::RecursiveDefaults) {
            return pair;
        }
        if !rules.keeps(Difference::Aliases) {
            // Once when the pair is prepared and once more when it is resolved, so that chains and swaps go two steps.
            match renamed(writer, reader).and_then(|once| renamed(&once, reader)) {
                Ok(renamed) => pair.writer = renamed,
                Err(Refused) => return pair,
            }
        }
        let mut compiler = Compiler {
            writer: &pair.writer,
            reader,
            rules,
            actions: Vec::new(),
            known: HashMap::new(),
            misread: false,
        };
        if let Ok((act, dead)) = compiler.pair(pair.writer.root, reader.root)
            && !compiler.misread
            && !(dead && rules.keeps(Difference::NeverReadable))
        {
            pair.root = Some(act);
        }
        pair.actions = compiler.actions;
        pair
    }

    /// The datum's bytes in the reader's schema.
    pub(crate) fn run(&self, bytes: &[u8]) -> Taken<Vec<u8>> {
        self.value(bytes).map(|value| plain(&value))
    }

    /// The datum as a value of the reader's schema.
    pub(crate) fn value(&self, bytes: &[u8]) -> Taken<Value> {
        let root = self.root.ok_or(Refused)?;
        let mut reading = Reading {
            pair: self,
            bytes,
            at: 0,
            depth: 0,
            elements: 0,
        };
        let value = reading.act(root, self.writer.root, self.reader.root)?;
        let whole = reading.at == bytes.len() || !self.rules.keeps(Difference::TrailingBytes);
        let digits = !self.rules.keeps(Difference::DecimalDigits)
            || digits_fit(&self.reader, self.reader.root, &value);
        match whole && digits {
            true => Ok(value),
            false => Err(Refused),
        }
    }
}

/// Whether every decimal has at most the digits of its precision.
fn digits_fit(schema: &Schema, id: Id, value: &Value) -> bool {
    let node = &schema.nodes[id];
    match (&node.kind, value) {
        (Kind::Bytes | Kind::Fixed(..), Value::Bytes(bytes) | Value::Fixed(bytes)) => {
            logical(node).is_none_or(|l| l.word != "decimal" || digits(bytes) <= l.precision)
        }
        (Kind::Array(item), Value::Array(items)) => {
            items.iter().all(|v| digits_fit(schema, *item, v))
        }
        (Kind::Map(of), Value::Map(entries)) => {
            (entries.iter()).all(|(_, v)| digits_fit(schema, *of, v))
        }
        (Kind::Record(_, fields), Value::Record(values)) => {
            (fields.iter().zip(values)).all(|(f, v)| digits_fit(schema, f.node, v))
        }
        (Kind::Union(branches), Value::Union(branch, value)) => {
            digits_fit(schema, branches[*branch], value)
        }
        _ => true,
    }
}

/// Digits of a two's complement number; more than any precision here where it is long.
pub(crate) fn digits(bytes: &[u8]) -> usize {
    let sign = if bytes.first().is_some_and(|b| *b > 0x7f) {
        0xff
    } else {
        0
    };
    let rest: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == sign).collect();
    if rest.len() > 15 {
        return usize::MAX;
    }
    let mut wide = [sign; 16];
    wide[16 - rest.len()..].copy_from_slice(&rest);
    match i128::from_be_bytes(wide).unsigned_abs() {
        0 => 0,
        n => n.to_string().len(),
    }
}

/// The logical type, if it is valid where it stands.
pub(crate) fn logical(node: &Node) -> Option<Logical> {
    node.logical.filter(|l| match (&node.kind, l.word) {
        (Kind::Fixed(_, size), "uuid") => *size == 16,
        (Kind::Fixed(_, size), "duration") => *size == 12,
        (Kind::String, "uuid") => true,
        (Kind::Int, "date" | "time-millis") => true,
        (Kind::Long, word) => word.contains("time") && word != "time-millis",
        (Kind::Bytes | Kind::Fixed(..), "decimal") => l.precision > 0 && l.scale <= l.precision,
        _ => false,
    } && l.known())
}

fn promotes(writer: &Kind, reader: &Kind) -> bool {
    matches!(
        (writer, reader),
        (Kind::Int, Kind::Long | Kind::Float | Kind::Double)
            | (Kind::Long, Kind::Float | Kind::Double)
            | (Kind::Float, Kind::Double)
            | (Kind::String, Kind::Bytes)
            | (Kind::Bytes, Kind::String)
    )
}

/// 2: the same name or an alias; 1: the same without namespace; 0: another name.
fn name_fit(writer: &Kind, reader: &Kind, rules: Rules) -> u8 {
    match (writer.name(), reader.name()) {
        (Some(w), Some(r)) => {
            let alias = rules.keeps(Difference::Aliases) && r.full_aliases().contains(&w.full);
            match () {
                () if w.full == r.full || alias => 2,
                () if w.short() == r.short() => 1,
                () => 0,
            }
        }
        _ => 2,
    }
}

struct Compiler<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    rules: Rules,
    actions: Vec<Action>,
    known: HashMap<(Id, Id), (Act, bool)>,
    misread: bool,
}

/// An action, and whether nothing can ever come through it. Refused: Java's compiler throws.
type Compiled = Taken<(Act, bool)>;

impl Compiler<'_> {
    fn add(&mut self, action: Action) -> Act {
        self.actions.push(action);
        self.actions.len() - 1
    }

    fn error(&mut self) -> Compiled {
        Ok((self.add(Action::Error), true))
    }

    fn pair(&mut self, w: Id, r: Id) -> Compiled {
        let (from, to) = (&self.writer.nodes[w], &self.reader.nodes[r]);
        if let Kind::Union(branches) = &from.kind {
            return self.writer_union(w, branches, r);
        }
        if let Kind::Union(branches) = &to.kind {
            return self.reader_union(w, branches);
        }
        if self.rules.keeps(Difference::Units) {
            self.units(from, to);
        }
        if promotes(&from.kind, &to.kind) {
            return Ok((self.add(Action::Promote(to.kind.clone())), false));
        }
        let fit = name_fit(&from.kind, &to.kind, self.rules);
        match (&from.kind, &to.kind) {
            (Kind::Array(from), Kind::Array(to)) => {
                let (inner, dead) = self.pair(*from, *to)?;
                Ok((self.add(Action::Array(inner)), dead))
            }
            (Kind::Map(from), Kind::Map(to)) => {
                let (inner, dead) = self.pair(*from, *to)?;
                Ok((self.add(Action::Map(inner)), dead))
            }
            (Kind::Record(..), Kind::Record(..)) => {
                if fit == 0 && self.rules.keeps(Difference::RecordNames) {
                    return self.error();
                }
                self.record(w, r)
            }
            (Kind::Enum(_, from, _), Kind::Enum(_, to, default)) if fit > 0 => {
                let place = |symbol: &String| to.iter().position(|s| s == symbol);
                let default = default.as_ref().and_then(place);
                let symbols: Vec<_> = from.iter().map(|s| place(s).or(default)).collect();
                let dead = symbols.iter().all(Option::is_none);
                Ok((self.add(Action::Enum(symbols, to.len())), dead))
            }
            (Kind::Fixed(_, from), Kind::Fixed(_, to)) if fit > 0 && from == to => {
                Ok((self.add(Action::Same), false))
            }
            (Kind::Enum(..) | Kind::Fixed(..), _) => self.error(),
            (from, to) if from == to => Ok((self.add(Action::Same), false)),
            _ => self.error(),
        }
    }

    fn units(&mut self, from: &Node, to: &Node) {
        let promoted = promotes(&from.kind, &to.kind);
        let decimal = |node| logical(node).is_some_and(|l| l.word == "decimal");
        let (Some(w), Some(r)) = (logical(from), logical(to)) else {
            self.misread |= promoted && decimal(from) != decimal(to);
            return;
        };
        let related =
            std::mem::discriminant(&from.kind) == std::mem::discriminant(&to.kind) || promoted;
        let fine = match (w.word, r.word) {
            ("decimal", "decimal") => w.scale == r.scale && w.precision <= r.precision,
            (w, r) => w == r,
        };
        self.misread |= related && !fine;
    }

    fn record(&mut self, w: Id, r: Id) -> Compiled {
        if let Some(known) = self.known.get(&(w, r)) {
            return Ok(*known);
        }
        let (Kind::Record(_, from), Kind::Record(_, to)) =
            (self.writer.kind(w), self.reader.kind(r))
        else {
            return Err(Refused);
        };
        let id = self.add(Action::Pending);
        self.known.insert((w, r), (id, false));
        let mut fields = vec![None; from.len()];
        let mut defaults = Vec::new();
        let (mut dead, mut missing) = (false, false);
        for (position, field) in to.iter().enumerate() {
            let source = self.source(from, to, field, &fields);
            if let Some(source) = source {
                let (act, inner) = self.pair(from[source].node, field.node)?;
                dead |= inner;
                fields[source] = Some((position, act));
            } else if let Some(json) = &field.default {
                let careful = self.rules.keeps(Difference::UnionDefaults);
                defaults.push((
                    position,
                    read_default(self.reader, field.node, json, careful, 0)?,
                ));
            } else {
                missing = true;
            }
        }
        self.actions[id] = match missing {
            true => Action::Error,
            false => Action::Record {
                fields,
                defaults,
                width: to.len(),
            },
        };
        if dead && self.rules.keeps(Difference::NeverReadable) {
            self.actions[id] = Action::Error;
        }
        self.known.insert((w, r), (id, dead || missing));
        Ok((id, dead || missing))
    }

    fn source(
        &self,
        from: &[Field],
        to: &[Field],
        field: &Field,
        taken: &[Option<(usize, Act)>],
    ) -> Option<usize> {
        let named = |name: &String| from.iter().position(|f| f.name == *name);
        named(&field.name).or_else(|| {
            if !self.rules.keeps(Difference::Aliases) {
                return None;
            }
            (field.aliases.iter())
                .filter(|alias| !to.iter().any(|f| f.name == **alias))
                .filter_map(named)
                .find(|position| taken[*position].is_none())
        })
    }

    fn writer_union(&mut self, w: Id, branches: &[Id], r: Id) -> Compiled {
        let (writer, reader) = (self.writer, self.reader);
        if !self.rules.keeps(Difference::UnionPositions)
            && alike(writer, w, reader, r, &mut HashMap::new())
        {
            return Ok((self.add(Action::AsReader), false));
        }
        let mut acts = Vec::new();
        for branch in branches {
            acts.push(self.pair(*branch, r)?);
        }
        let dead = acts.iter().all(|(_, dead)| *dead);
        Ok((self.add(Action::Branches(acts)), dead))
    }

    fn reader_union(&mut self, w: Id, branches: &[Id]) -> Compiled {
        let from = self.writer.kind(w);
        let reader = self.reader;
        let record = matches!(from, Kind::Record(..));
        let named = from.name().is_some();
        let by_name = match record {
            true => self.rules.keeps(Difference::RecordNames),
            false => self.rules.keeps(Difference::UnionNames),
        };
        let alike: Vec<(usize, Id, u8)> = (branches.iter().enumerate())
            .filter(|(_, b)| {
                std::mem::discriminant(from) == std::mem::discriminant(reader.kind(**b))
            })
            .map(|(i, b)| (i, *b, name_fit(from, reader.kind(*b), self.rules)))
            .collect();
        let mut chosen = None;
        if !named {
            chosen = alike.first().map(|(i, b, _)| (*i, *b));
        } else if by_name {
            chosen = alike
                .iter()
                .find(|(_, _, fit)| *fit == 2)
                .map(|(i, b, _)| (*i, *b));
            let mut tried = false;
            for (i, b, _) in alike.iter().filter(|(_, _, fit)| *fit == 1) {
                if chosen.is_some() {
                    break;
                }
                let (misread, known) = (self.misread, self.known.clone());
                let (act, dead) = self.pair(w, *b)?;
                if !dead {
                    return Ok((self.add(Action::Into(*i, act)), false));
                }
                tried = true;
                self.misread = misread;
                self.known = known;
            }
            if chosen.is_none() && tried {
                return self.error();
            }
        } else {
            let mut structure = None;
            for (i, b, _) in &alike {
                let (mine, theirs) = (from.name(), reader.kind(*b).name());
                if mine.map(|n| &n.full) == theirs.map(|n| &n.full) {
                    chosen = Some((*i, *b));
                    break;
                }
                if record {
                    let (act, _) = self.record(w, *b)?;
                    let short = mine.map(Name::short) == theirs.map(Name::short);
                    if !self.fails_at_once(act) && (structure.is_none() || short) {
                        structure = Some((*i, *b));
                    }
                }
            }
            chosen = chosen.or(structure);
        }
        let chosen = chosen.or_else(|| {
            (branches.iter().enumerate())
                .find(|(_, b)| promotes(from, reader.kind(**b)))
                .map(|(i, b)| (i, *b))
        });
        match chosen {
            Some((position, branch)) => {
                let (inner, dead) = self.pair(w, branch)?;
                Ok((self.add(Action::Into(position, inner)), dead))
            }
            None => self.error(),
        }
    }

    /// Java's notion of a record that does not match: one of its own fields is an error, deeper ones do not count.
    fn fails_at_once(&self, act: Act) -> bool {
        match &self.actions[act] {
            Action::Error => true,
            Action::Record { fields, .. } => (fields.iter().flatten())
                .any(|(_, act)| matches!(self.actions[*act], Action::Error)),
            _ => false,
        }
    }
}

/// Java's notion of unions that need no resolution.
fn alike(w: &Schema, wid: Id, r: &Schema, rid: Id, seen: &mut HashMap<(Id, Id), bool>) -> bool {
    let (from, to) = (w.kind(wid), r.kind(rid));
    if std::mem::discriminant(from) != std::mem::discriminant(to)
        || from.name().map(Name::short) != to.name().map(Name::short)
    {
        return false;
    }
    match (from, to) {
        (Kind::Array(a), Kind::Array(b)) | (Kind::Map(a), Kind::Map(b)) => {
            alike(w, *a, r, *b, seen)
        }
        (Kind::Fixed(_, a), Kind::Fixed(_, b)) => a == b,
        (Kind::Enum(_, a, _), Kind::Enum(_, b, _)) => a == b,
        (Kind::Union(a), Kind::Union(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(w, *a, r, *b, seen))
        }
        (Kind::Record(_, a), Kind::Record(_, b)) => {
            if let Some(known) = seen.get(&(wid, rid)) {
                return *known;
            }
            seen.insert((wid, rid), true);
            let same = a.len() == b.len()
                && (a.iter().zip(b))
                    .all(|(a, b)| a.name == b.name && alike(w, a.node, r, b.node, seen));
            if !same {
                seen.insert((wid, rid), false);
            }
            seen[&(wid, rid)]
        }
        _ => true,
    }
}
