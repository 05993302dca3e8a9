//! Resolved schemas → [`Program`]. Input: the writer schema, the steps that resolve it to the reader schema, and the
//! reader's fields whose positions are wanted. Each value of the writer becomes the instructions that step over it,
//! and those that put something else in its place where the reader's bytes differ.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::program::{NO_SYMBOL, Op, Order, Program};
use crate::contract::encode::encode_node;
use crate::contract::resolve::{Action, ActionId, Promotion, Resolution};
use crate::contract::schema::{Kind, Logical, NodeId, RecordType, Schema};
use crate::contract::value::Value;
use crate::contract::varint;

/// Past so many instructions a record that is met again becomes a procedure, so that types used in many places do not
/// multiply.
const INLINE: usize = 16_384;

/// So many records inside one another are put in place; deeper ones become procedures, so that no schema can exhaust the
/// stack here. Data nests less.
const INSIDE: usize = 64;

/// Fields that are wanted, as a tree of positions in the reader's records.
#[derive(Debug, Default, Clone)]
pub(super) struct Wanted {
    marks: Vec<u32>,
    below: BTreeMap<usize, Wanted>,
}

impl Wanted {
    /// From the paths: field positions from the top record downwards.
    pub(super) fn new(paths: &[Vec<usize>]) -> Wanted {
        let mut root = Wanted::default();
        for (mark, path) in (0..).zip(paths) {
            let mut at = &mut root;
            for position in path {
                at = at.below.entry(*position).or_default();
            }
            at.marks.push(mark);
        }
        root
    }

    fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.below.is_empty()
    }

    fn all(&self, found: &mut Vec<u32>) {
        found.extend(&self.marks);
        for below in self.below.values() {
            below.all(found);
        }
    }
}

/// How a value goes on.
#[derive(Debug, Clone, Copy)]
struct Way {
    action: ActionId,
    reader: NodeId,
}

pub(super) fn lower(
    writer: &Schema,
    reader: &Schema,
    resolution: &Resolution,
    paths: &[Vec<usize>],
) -> Program {
    let wanted = Wanted::new(paths);
    let mut lowering = Lowering {
        writer,
        reader,
        resolution,
        program: Program {
            marks: paths.len(),
            ..Program::default()
        },
        open: Vec::new(),
        known: HashMap::new(),
        pending: Vec::new(),
        depth: 0,
        empty: HashMap::new(),
        label: 0,
    };
    let root = Way {
        action: resolution.root,
        reader: reader.root,
    };
    lowering.value(writer.root, Some(root), &wanted);
    lowering.program.main = lowering.here();
    while let Some((procedure, node, way)) = lowering.pending.pop() {
        let first = lowering.here();
        lowering.label = first;
        lowering.depth = 0;
        lowering.open.clear();
        lowering.record(node, way, &Wanted::default());
        lowering.program.procedures[procedure] = (first, lowering.here());
    }
    lowering.program.same = lowering.same(writer.root, Some(root));
    lowering.program
}

type Procedure = (NodeId, Option<ActionId>);

struct Lowering<'a> {
    writer: &'a Schema,
    reader: &'a Schema,
    resolution: &'a Resolution,
    program: Program,
    /// Records that the present place is inside of, within the same procedure.
    open: Vec<Procedure>,
    known: HashMap<Procedure, u32>,
    pending: Vec<(usize, NodeId, Option<Way>)>,
    depth: u16,
    /// Records of the writer, and whether their values take no bytes.
    empty: HashMap<NodeId, bool>,
    /// The last address that something jumps to: what is before it must stay.
    label: u32,
}

impl Lowering<'_> {
    fn here(&self) -> u32 {
        position(self.program.code.len())
    }

    fn emit(&mut self, op: Op) {
        let code = &mut self.program.code;
        let may_join = code.len() > self.label as usize;
        match (code.last_mut(), op) {
            // A run that was just begun has nothing in it.
            (Some(Op::Resume), Op::Flush) if may_join => {
                code.pop();
            }
            (Some(Op::Constant(_, end)), Op::Constant(from, to)) if may_join && *end == from => {
                *end = to;
            }
            _ => code.push(op),
        }
    }

    fn constant(&mut self, bytes: &[u8]) {
        let from = self.program.constants.len();
        self.program.constants.extend_from_slice(bytes);
        self.emit(Op::Constant(
            position(from),
            position(self.program.constants.len()),
        ));
    }

    /// Remembers that something jumps to here.
    fn land(&mut self) -> u32 {
        self.label = self.here();
        self.label
    }

    /// A value of the writer's `node`; without a way it is stepped over, between `Flush` and `Resume`.
    fn value(&mut self, node: NodeId, way: Option<Way>, wanted: &Wanted) {
        let resolution = self.resolution;
        let Some(way) = way else {
            return self.step(node, None, wanted);
        };
        match &resolution.actions[way.action] {
            Action::Into(branch, inner) => {
                let Kind::Union(branches) = &self.reader.node(way.reader).kind else {
                    unreachable!("only a union has branches");
                };
                let inner = Way {
                    action: *inner,
                    reader: branches[*branch],
                };
                let mut index = Vec::new();
                varint::write(signed(*branch), &mut index);
                self.constant(&index);
                self.value(node, Some(inner), wanted);
            }
            Action::Branches(actions) => self.union(node, actions, way, wanted),
            Action::Promote(promotion) => self.promoted(node, *promotion),
            Action::Digits(precision) => self.digits(node, *precision),
            Action::Enum(symbols) => self.symbols(symbols),
            Action::Refuse(_) => self.emit(Op::Refuse),
            Action::Same | Action::Items(_) | Action::Entries(_) | Action::Record { .. } => {
                self.step(node, Some(way), wanted);
            }
        }
    }

    /// A value whose own bytes stay, though those of its parts may not.
    fn step(&mut self, node: NodeId, way: Option<Way>, wanted: &Wanted) {
        let writer = self.writer;
        match &writer.node(node).kind {
            Kind::Null => {}
            Kind::Boolean => self.emit(Op::Boolean),
            Kind::Int => self.emit(Op::Int),
            Kind::Long => self.emit(Op::Long),
            Kind::Float => self.emit(Op::Skip(4)),
            Kind::Double => self.emit(Op::Skip(8)),
            Kind::Bytes => self.emit(match writer.node(node).logical {
                Some(Logical::Decimal { precision, .. }) => Op::Decimal(position(precision)),
                _ => Op::Bytes,
            }),
            Kind::String => self.emit(Op::Text),
            Kind::Fixed(fixed) => {
                let size = position(fixed.size);
                self.emit(match writer.node(node).logical {
                    Some(Logical::Decimal { precision, .. }) => Op::FixedDecimal {
                        size,
                        precision: position(precision),
                    },
                    _ => Op::Skip(size),
                });
            }
            Kind::Enum(symbols) => self.emit(Op::Enum(position(symbols.symbols.len()))),
            Kind::Array(item) => self.elements(*item, way, false),
            Kind::Map(value) => self.elements(*value, way, true),
            Kind::Union(branches) => {
                self.branches(branches, &vec![None; branches.len()], wanted, false);
            }
            Kind::Record(_) => self.nested(node, way, wanted),
        }
    }

    fn promoted(&mut self, node: NodeId, promotion: Promotion) {
        if let Some(Logical::Decimal { precision, .. }) = self.writer.node(node).logical {
            self.emit(Op::DecimalAhead(position(precision)));
        }
        self.emit(match promotion {
            // The same varint; the same length and bytes.
            Promotion::IntLong => Op::Int,
            Promotion::StringBytes | Promotion::BytesString => Op::Text,
            Promotion::IntFloat => Op::IntFloat,
            Promotion::IntDouble => Op::IntDouble,
            Promotion::LongFloat => Op::LongFloat,
            Promotion::LongDouble => Op::LongDouble,
            Promotion::FloatDouble => Op::FloatDouble,
        });
    }

    /// Bytes or fixed that only the reader takes for a decimal.
    fn digits(&mut self, node: NodeId, precision: usize) {
        let precision = position(precision);
        self.emit(match &self.writer.node(node).kind {
            Kind::Fixed(fixed) => Op::FixedDecimal {
                size: position(fixed.size),
                precision,
            },
            _ => Op::Decimal(precision),
        });
    }

    fn symbols(&mut self, symbols: &[Result<usize, String>]) {
        let count = position(symbols.len());
        if keeps_symbols(symbols) {
            return self.emit(Op::Enum(count));
        }
        let table = position(self.program.symbols.len());
        let reader = symbols.iter().map(|symbol| match symbol {
            Ok(symbol) => position(*symbol),
            Err(_) => NO_SYMBOL,
        });
        self.program.symbols.extend(reader);
        self.emit(Op::Symbol { table, count });
    }

    fn elements(&mut self, inner: NodeId, way: Option<Way>, keyed: bool) {
        let way = way.map(|way| match &self.resolution.actions[way.action] {
            Action::Items(action) | Action::Entries(action) => {
                let (Kind::Array(reader) | Kind::Map(reader)) = self.reader.node(way.reader).kind
                else {
                    unreachable!("a collection is resolved to a collection");
                };
                Way {
                    action: *action,
                    reader,
                }
            }
            _ => unreachable!("a collection is resolved element by element"),
        });
        let same = self.same(inner, way);
        let at = self.program.code.len();
        self.depth += 1;
        let depth = self.depth;
        self.program.code.push(Op::Jump(0));
        self.land();
        self.value(inner, way, &Wanted::default());
        self.depth -= 1;
        // Nothing that follows may be joined with what is inside.
        let body = self.land() - position(at) - 1;
        self.program.code[at] = match keyed {
            true => Op::Map { body, same, depth },
            false => Op::Array { body, same, depth },
        };
    }

    /// The writer's union where it is resolved branch by branch.
    fn union(&mut self, node: NodeId, actions: &[ActionId], way: Way, wanted: &Wanted) {
        let Kind::Union(branches) = &self.writer.node(node).kind else {
            unreachable!("only a union is resolved branch by branch");
        };
        let resolution = self.resolution;
        let reader = &self.reader.node(way.reader).kind;
        // The index stays if each branch that can be read has the same place on both sides.
        let keeps =
            actions
                .iter()
                .enumerate()
                .all(|(place, action)| match &resolution.actions[*action] {
                    Action::Into(branch, _) => *branch == place,
                    Action::Refuse(_) => true,
                    _ => false,
                });
        let ways: Vec<Option<Way>> = actions
            .iter()
            .map(|action| {
                Some(match (&resolution.actions[*action], reader) {
                    (Action::Into(branch, inner), Kind::Union(branches)) if keeps => Way {
                        action: *inner,
                        reader: branches[*branch],
                    },
                    _ => Way {
                        action: *action,
                        reader: way.reader,
                    },
                })
            })
            .collect();
        if !keeps {
            self.emit(Op::Flush);
        }
        self.branches(branches, &ways, wanted, !keeps);
    }

    /// The index and the branches; with `resume`, each branch begins a new run, so that the index is left out.
    fn branches(
        &mut self,
        branches: &[NodeId],
        ways: &[Option<Way>],
        wanted: &Wanted,
        resume: bool,
    ) {
        let null = branches
            .iter()
            .position(|branch| self.writer.node(*branch).kind == Kind::Null);
        let refused = |way: &Option<Way>| {
            way.is_some_and(|way| matches!(self.resolution.actions[way.action], Action::Refuse(_)))
        };
        if let (2, Some(null), false) = (branches.len(), null, resume)
            && !refused(&ways[null])
        {
            let at = self.program.code.len();
            self.program.code.push(Op::Jump(0));
            self.land();
            self.value(branches[1 - null], ways[1 - null], wanted);
            let over = self.land() - position(at) - 1;
            let null = u8::from(null == 1);
            self.program.code[at] = Op::Nullable { null, over };
            return;
        }
        let table = self.program.tables.len();
        self.program
            .tables
            .extend(std::iter::repeat_n(0, branches.len()));
        self.program.code.push(Op::Union {
            table: position(table),
            count: position(branches.len()),
        });
        let mut exits = Vec::with_capacity(branches.len());
        for (place, (branch, way)) in branches.iter().zip(ways).enumerate() {
            self.program.tables[table + place] = self.land();
            if resume {
                self.emit(Op::Resume);
            }
            self.value(*branch, *way, wanted);
            exits.push(self.program.code.len());
            self.program.code.push(Op::Jump(0));
        }
        let end = self.land();
        for exit in exits {
            self.program.code[exit] = Op::Jump(end);
        }
    }

    /// A record: here, or as a procedure if it contains itself.
    fn nested(&mut self, node: NodeId, way: Option<Way>, wanted: &Wanted) {
        let key = (node, way.map(|way| way.action));
        let again = self.open.contains(&key)
            || self.open.len() >= INSIDE
            || self.program.code.len() > INLINE;
        // A field that is wanted has one place, which a procedure has not. Paths are finite, so this ends.
        if !again || !wanted.is_empty() {
            return self.record(node, way, wanted);
        }
        let procedure = match self.known.get(&key) {
            Some(procedure) => *procedure,
            None => {
                let procedure = self.program.procedures.len();
                self.program.procedures.push((0, 0));
                self.pending.push((procedure, node, way));
                self.known.insert(key, position(procedure));
                position(procedure)
            }
        };
        let depth = self.depth;
        self.emit(Op::Call { procedure, depth });
    }

    fn record(&mut self, node: NodeId, way: Option<Way>, wanted: &Wanted) {
        let (writer, resolution) = (self.writer, self.resolution);
        let Kind::Record(record) = &writer.node(node).kind else {
            unreachable!("only records become procedures");
        };
        self.open.push((node, way.map(|way| way.action)));
        self.depth = self.depth.saturating_add(1);
        self.emit(Op::Record(self.depth));
        let empty = record
            .fields
            .iter()
            .filter(|field| self.is_empty(field.node))
            .count();
        if empty > 0 {
            self.emit(Op::Empty(position(empty)));
        }
        match way.map(|way| (way, &resolution.actions[way.action])) {
            Some((
                way,
                Action::Record {
                    fields, defaults, ..
                },
            )) => {
                self.resolved(record, way, fields, defaults, wanted);
            }
            Some(_) => unreachable!("a record is resolved field by field"),
            None => {
                for field in &record.fields {
                    self.value(field.node, None, &Wanted::default());
                }
            }
        }
        self.depth -= 1;
        self.open.pop();
    }

    fn resolved(
        &mut self,
        record: &RecordType,
        way: Way,
        fields: &[(String, Option<(usize, ActionId)>)],
        defaults: &[(usize, Value)],
        wanted: &Wanted,
    ) {
        let Kind::Record(target) = &self.reader.node(way.reader).kind else {
            unreachable!("a record is resolved to a record");
        };
        let taken: Vec<usize> = fields
            .iter()
            .filter_map(|(_, target)| target.map(|(position, _)| position))
            .collect();
        let none = Wanted::default();
        let below = |position: &usize| wanted.below.get(position).unwrap_or(&none);
        let in_order = taken.is_sorted();
        let mut defaults_left = defaults.iter().peekable();
        let mut pieces = Vec::new();
        if !in_order {
            self.emit(Op::Cut);
        }
        for (field, (_, goes)) in record.fields.iter().zip(fields) {
            let Some((position, action)) = goes else {
                self.emit(Op::Flush);
                self.value(field.node, None, &none);
                self.emit(Op::Resume);
                continue;
            };
            if in_order {
                while let Some((at, value)) = defaults_left.next_if(|(at, _)| at < position) {
                    self.default(target.fields[*at].node, value, below(at));
                }
            }
            let wanted = below(position);
            for mark in &wanted.marks {
                self.emit(Op::Mark(*mark));
            }
            let way = Way {
                action: *action,
                reader: target.fields[*position].node,
            };
            self.value(field.node, Some(way), wanted);
            if !in_order {
                self.emit(Op::Cut);
                pieces.push(*position);
            }
        }
        for (position, value) in defaults_left {
            self.default(target.fields[*position].node, value, below(position));
            if !in_order {
                self.emit(Op::Cut);
                pieces.push(*position);
            }
        }
        if !in_order {
            let place = |position: usize| {
                pieces
                    .iter()
                    .position(|piece| *piece == position)
                    .map(self::position)
            };
            let mut order = Order {
                pieces: (0..target.fields.len()).filter_map(place).collect(),
                marks: Vec::new(),
            };
            for (position, wanted) in &wanted.below {
                let mut marks = Vec::new();
                wanted.all(&mut marks);
                let piece = place(*position);
                order
                    .marks
                    .extend(marks.into_iter().zip(piece.into_iter().cycle()));
            }
            self.program.orders.push(order);
            let last = self.program.orders.len() - 1;
            self.emit(Op::Reorder(position(last)));
        }
    }

    /// The default of a reader's field that the writer does not have.
    fn default(&mut self, node: NodeId, value: &Value, wanted: &Wanted) {
        let mut bytes = Vec::new();
        let mut marks = Vec::new();
        self.encoded(node, value, wanted, &mut bytes, &mut marks);
        for (mark, inside) in marks {
            self.emit(match inside {
                0 => Op::Mark(mark),
                inside => Op::MarkInside(mark, inside),
            });
        }
        self.constant(&bytes);
    }

    fn encoded(
        &self,
        node: NodeId,
        value: &Value,
        wanted: &Wanted,
        bytes: &mut Vec<u8>,
        marks: &mut Vec<(u32, u32)>,
    ) {
        let here = position(bytes.len());
        marks.extend(wanted.marks.iter().map(|mark| (*mark, here)));
        match (&self.reader.node(node).kind, value) {
            (Kind::Union(branches), Value::Union(branch, inner)) if !wanted.below.is_empty() => {
                varint::write(signed(*branch), bytes);
                let inside = Wanted {
                    marks: Vec::new(),
                    below: wanted.below.clone(),
                };
                self.encoded(branches[*branch], inner, &inside, bytes, marks);
            }
            (Kind::Record(record), Value::Record(values)) => {
                let none = Wanted::default();
                for (place, (field, value)) in record.fields.iter().zip(values).enumerate() {
                    let below = wanted.below.get(&place).unwrap_or(&none);
                    self.encoded(field.node, value, below, bytes, marks);
                }
            }
            _ => encode_node(self.reader, node, value, bytes)
                .expect("a default was read as a value of its type"),
        }
    }

    /// Whether the reader's bytes of every value are the writer's.
    fn same(&self, node: NodeId, way: Option<Way>) -> bool {
        way.is_none_or(|way| {
            let actions = self.resolution.actions.as_slice();
            keeps(self.writer, actions, node, way.action, &mut HashSet::new())
        })
    }

    /// Whether a value takes no bytes.
    fn is_empty(&mut self, node: NodeId) -> bool {
        let writer = self.writer;
        match &writer.node(node).kind {
            Kind::Null => true,
            Kind::Fixed(fixed) => fixed.size == 0,
            Kind::Record(record) => {
                if let Some(known) = self.empty.get(&node) {
                    return *known;
                }
                // A record in itself without a union has no values at all.
                self.empty.insert(node, false);
                let empty = record.fields.iter().all(|field| self.is_empty(field.node));
                self.empty.insert(node, empty);
                empty
            }
            _ => false,
        }
    }
}

/// Whether `action` leaves the bytes of every valid value of the writer's `node` as they are, and refuses none: such
/// bytes can be copied without a look at them.
pub fn copies(writer: &Schema, resolution: &Resolution, node: NodeId, action: ActionId) -> bool {
    let actions = resolution.actions.as_slice();
    let looks = actions.iter().any(|action| {
        matches!(
            action,
            Action::Digits(_) | Action::Refuse(_) | Action::Promote(Promotion::BytesString)
        )
    });
    // The whole resolution is searched first: most have nothing to refuse anywhere.
    (!looks || !refuses(actions, action, &mut HashSet::new()))
        && keeps(writer, actions, node, action, &mut HashSet::new())
}

/// Whether some value is refused by this step or one below it.
fn refuses(actions: &[Action], action: ActionId, seen: &mut HashSet<ActionId>) -> bool {
    if !seen.insert(action) {
        return false;
    }
    match &actions[action] {
        Action::Digits(_) | Action::Refuse(_) | Action::Promote(Promotion::BytesString) => true,
        Action::Same | Action::Promote(_) => false,
        Action::Enum(symbols) => symbols.iter().any(Result::is_err),
        Action::Items(inner) | Action::Entries(inner) | Action::Into(_, inner) => {
            refuses(actions, *inner, seen)
        }
        Action::Record { fields, .. } => fields
            .iter()
            .any(|(_, to)| to.is_some_and(|(_, inner)| refuses(actions, inner, seen))),
        Action::Branches(ways) => ways.iter().any(|way| refuses(actions, *way, seen)),
    }
}

fn keeps(
    writer: &Schema,
    actions: &[Action],
    node: NodeId,
    action: ActionId,
    seen: &mut HashSet<(NodeId, ActionId)>,
) -> bool {
    // A pair that is being looked at is as good as the rest of it.
    if !seen.insert((node, action)) {
        return true;
    }
    let mut keeps = |node, action| keeps(writer, actions, node, action, seen);
    match (&actions[action], &writer.node(node).kind) {
        // What is refused leaves no bytes.
        (Action::Same | Action::Digits(_) | Action::Refuse(_), _) => true,
        (Action::Promote(promotion), _) => matches!(
            promotion,
            Promotion::IntLong | Promotion::StringBytes | Promotion::BytesString
        ),
        (Action::Into(..), _) => false,
        (Action::Enum(symbols), _) => keeps_symbols(symbols),
        (Action::Items(inner) | Action::Entries(inner), Kind::Array(item) | Kind::Map(item)) => {
            keeps(*item, *inner)
        }
        (Action::Record { fields, width, .. }, Kind::Record(record)) => {
            fields.len() == *width
                && fields.iter().zip(&record.fields).enumerate().all(
                    |(place, ((_, target), field))| {
                        target.is_some_and(|(to, action)| to == place && keeps(field.node, action))
                    },
                )
        }
        (Action::Branches(ways), Kind::Union(branches)) => ways
            .iter()
            .zip(branches)
            .enumerate()
            .all(|(place, (way, branch))| match &actions[*way] {
                Action::Refuse(_) => true,
                Action::Into(to, inner) => *to == place && keeps(*branch, *inner),
                _ => false,
            }),
        _ => false,
    }
}

fn position(number: usize) -> u32 {
    u32::try_from(number).expect("a schema has fewer than 2³² parts")
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).expect("a schema has fewer than 2³² parts")
}

fn keeps_symbols(symbols: &[Result<usize, String>]) -> bool {
    symbols
        .iter()
        .enumerate()
        .all(|(place, symbol)| *symbol == Ok(place))
}
