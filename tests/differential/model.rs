//! A second, slow and plain reading of Avro, in which each [`Difference`] can be switched. With all rules kept it must
//! do what our engine does, with none what Java does; then a case on which those two differ is explained by the rules
//! that change the model's mind. It shares no code with the engine.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::difference::{Difference, Rules};
use super::types::{Field, Id, Kind, Logical, Name, Node, Schema};
use super::value::{Value, plain};

/// Items of one collection that Java is told to take, in tests/oracle.
pub(crate) const JAVA_ITEMS: i64 = 1_100_000;
const ELEMENTS: i64 = 1_000_000;
const DEPTH: usize = 64;

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
fn digits(bytes: &[u8]) -> usize {
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
fn logical(node: &Node) -> Option<Logical> {
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
        let (Some(w), Some(r)) = (logical(from), logical(to)) else {
            return;
        };
        let related = std::mem::discriminant(&from.kind) == std::mem::discriminant(&to.kind)
            || promotes(&from.kind, &to.kind);
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

/// The writer schema with the reader's aliases put in, as Java does it before it resolves.
fn renamed(writer: &Schema, reader: &Schema) -> Taken<Schema> {
    let mut result = writer.clone();
    if writer.shape() == reader.shape() {
        return Ok(result);
    }
    let mut types: HashMap<String, String> = HashMap::new();
    let mut fields: HashMap<String, HashMap<String, String>> = HashMap::new();
    for id in reader.reached() {
        if let Some(name) = reader.kind(id).name() {
            for alias in name.full_aliases() {
                types.insert(alias, name.full.clone());
            }
        }
        if let Kind::Record(name, list) = reader.kind(id) {
            for field in list {
                for alias in &field.aliases {
                    let of = fields.entry(name.full.clone()).or_default();
                    of.insert(alias.clone(), field.name.clone());
                }
            }
        }
    }
    if types.is_empty() && fields.is_empty() {
        return Ok(result);
    }
    for id in writer.reached() {
        let kind = &mut result.nodes[id].kind;
        if let Some(name) = kind.name_mut()
            && let Some(new) = types.get(&name.full)
        {
            name.full.clone_from(new);
        }
        if let Kind::Record(name, list) = kind
            && let Some(aliases) = fields.get(&name.full)
        {
            for field in list {
                if let Some(new) = aliases.get(&field.name) {
                    field.name.clone_from(new);
                }
            }
        }
    }
    // Java makes new records and unions, which refuse what stands twice. Two types of one name it does not notice.
    let twice = |id: Id| match result.kind(id) {
        Kind::Record(_, fields) => repeats(fields.iter().map(|f| f.name.as_str())),
        Kind::Union(branches) => repeats(branches.iter().map(|b| result.label(*b))),
        _ => false,
    };
    // New fields also have their defaults checked again, against the renamed types.
    match result.reached().into_iter().any(twice) || !defaults_check(&result) {
        true => Err(Refused),
        false => Ok(result),
    }
}

/// Whether Java takes the defaults of a schema, which it checks field by field while the record is incomplete.
fn defaults_check(schema: &Schema) -> bool {
    fn walk(schema: &Schema, id: Id, state: &mut [State]) -> bool {
        let Kind::Record(_, fields) = schema.kind(id) else {
            return schema
                .kind(id)
                .parts()
                .into_iter()
                .all(|p| walk(schema, p, state));
        };
        if state[id] != State::New {
            return true;
        }
        state[id] = State::Open;
        let fine = fields.iter().all(|f| {
            walk(schema, f.node, state)
                && (f.default.as_ref())
                    .is_none_or(|json| java_default(schema, f.node, json, state) == Ok(true))
        });
        state[id] = State::Done;
        fine
    }
    walk(
        schema,
        schema.root,
        &mut vec![State::New; schema.nodes.len()],
    )
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

/// Java's check of a default, which throws at an incomplete record.
fn java_default(schema: &Schema, id: Id, json: &Json, state: &[State]) -> Taken<bool> {
    let inner = |id: Id, json: &Json| java_default(schema, id, json, state);
    let all = |id: Id, parts: &mut dyn Iterator<Item = &Json>| {
        for part in parts {
            if !inner(id, part)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(match (schema.kind(id), json) {
        (Kind::String | Kind::Bytes | Kind::Enum(..) | Kind::Fixed(..), _) => json.is_string(),
        (Kind::Int, _) => json.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        (Kind::Long, _) => json.is_i64(),
        (Kind::Float | Kind::Double, _) => json.is_number(),
        (Kind::Boolean, _) => json.is_boolean(),
        (Kind::Null, _) => json.is_null(),
        (Kind::Array(item), Json::Array(items)) => all(*item, &mut items.iter())?,
        (Kind::Map(value), Json::Object(entries)) => all(*value, &mut entries.values())?,
        (Kind::Record(_, fields), Json::Object(entries)) => {
            if state[id] == State::Open {
                return Err(Refused);
            }
            for field in fields {
                match entries.get(&field.name).or(field.default.as_ref()) {
                    Some(json) if inner(field.node, json)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Kind::Union(branches), _) => {
            for branch in branches {
                if inner(*branch, json)? {
                    return Ok(true);
                }
            }
            false
        }
        _ => false,
    })
}

fn repeats<'a>(words: impl Iterator<Item = &'a str>) -> bool {
    let mut words: Vec<_> = words.collect();
    let count = words.len();
    words.sort_unstable();
    words.dedup();
    words.len() < count
}

/// Whether a default is one by the specification.
pub(crate) fn default_fits(schema: &Schema, id: Id, json: &Json) -> bool {
    read_default(schema, id, json, true, 0).is_ok()
}

fn latin(text: &str) -> Taken<Vec<u8>> {
    (text.chars())
        .map(|c| u8::try_from(u32::from(c)).map_err(|_| Refused))
        .collect()
}

fn read_default(schema: &Schema, id: Id, json: &Json, careful: bool, depth: usize) -> Taken<Value> {
    if depth > 40 {
        return Err(Refused);
    }
    let inner = |id: Id, json: &Json| read_default(schema, id, json, careful, depth + 1);
    Ok(match (schema.kind(id), json) {
        (Kind::Null, Json::Null) => Value::Null,
        (Kind::Boolean, Json::Bool(on)) => Value::Boolean(*on),
        #[expect(clippy::cast_possible_truncation, reason = "Java cuts it, too")]
        (Kind::Int, Json::Number(n)) if !careful => Value::Int(match n.as_i64() {
            Some(n) => n as i32,
            None => n.as_f64().ok_or(Refused)? as i32,
        }),
        #[expect(clippy::cast_possible_truncation, reason = "Java cuts it, too")]
        (Kind::Long, Json::Number(n)) if !careful && !n.is_i64() => {
            Value::Long(n.as_f64().ok_or(Refused)? as i64)
        }
        (Kind::Int, Json::Number(n)) => {
            let n = n.as_i64().ok_or(Refused)?;
            Value::Int(i32::try_from(n).map_err(|_| Refused)?)
        }
        (Kind::Long, Json::Number(n)) => Value::Long(n.as_i64().ok_or(Refused)?),
        #[expect(clippy::cast_possible_truncation, reason = "the nearest float")]
        (Kind::Float, Json::Number(n)) => {
            Value::Float((n.as_f64().ok_or(Refused)? as f32).to_bits())
        }
        (Kind::Double, Json::Number(n)) => Value::Double(n.as_f64().ok_or(Refused)?.to_bits()),
        (Kind::Bytes, Json::String(text)) => Value::Bytes(latin(text)?),
        (Kind::String, Json::String(text)) => Value::String(text.as_bytes().to_vec()),
        (Kind::Fixed(_, size), Json::String(text)) => {
            let mut bytes = latin(text)?;
            if careful && bytes.len() != *size {
                return Err(Refused);
            }
            bytes.resize(*size, 0);
            Value::Fixed(bytes)
        }
        (Kind::Enum(_, symbols, _), Json::String(text)) => {
            Value::Enum(symbols.iter().position(|s| s == text).ok_or(Refused)?)
        }
        (Kind::Array(item), Json::Array(items)) => Value::Array(
            items
                .iter()
                .map(|json| inner(*item, json))
                .collect::<Taken<_>>()?,
        ),
        (Kind::Map(value), Json::Object(entries)) => Value::Map(
            (entries.iter())
                .map(|(key, json)| Ok((key.clone().into_bytes(), inner(*value, json)?)))
                .collect::<Taken<_>>()?,
        ),
        (Kind::Record(_, fields), _) if json.is_object() || !careful => Value::Record(
            (fields.iter())
                .map(|f| {
                    let json = json.get(&f.name).or(f.default.as_ref()).ok_or(Refused)?;
                    inner(f.node, json)
                })
                .collect::<Taken<_>>()?,
        ),
        // Java takes any JSON for a branch of these types: what is in it, if anything.
        (Kind::Array(item), Json::Object(entries)) if !careful => Value::Array(
            (entries.values())
                .map(|json| inner(*item, json))
                .collect::<Taken<_>>()?,
        ),
        (Kind::Map(_), Json::Array(items)) if !items.is_empty() => return Err(Refused),
        (Kind::Array(_), _) if !careful => Value::Array(Vec::new()),
        (Kind::Map(_), _) if !careful => Value::Map(Vec::new()),
        (Kind::Union(branches), _) => {
            for (position, branch) in branches.iter().enumerate() {
                let found = inner(*branch, json);
                let by_type = match schema.kind(*branch) {
                    Kind::Fixed(..) | Kind::String | Kind::Bytes => json.is_string(),
                    Kind::Int | Kind::Long | Kind::Float | Kind::Double => json.is_number(),
                    Kind::Boolean => json.is_boolean(),
                    Kind::Null => json.is_null(),
                    _ => true,
                };
                if if careful { found.is_ok() } else { by_type } {
                    return Ok(Value::Union(position, Box::new(found?)));
                }
            }
            return Err(Refused);
        }
        _ => return Err(Refused),
    })
}

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

struct Reading<'p, 'b> {
    pair: &'p Pair,
    bytes: &'b [u8],
    at: usize,
    depth: usize,
    elements: i64,
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

    fn act(&mut self, act: Act, w: Id, r: Id) -> Taken<Value> {
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
            Kind::Bytes => Value::Bytes(self.sized()?),
            Kind::String => {
                let bytes = self.sized()?;
                Value::String(self.text(bytes)?)
            }
            Kind::Fixed(_, size) => Value::Fixed(self.take(*size)?.to_vec()),
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
