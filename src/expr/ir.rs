//! A checked expression as it is evaluated: every field a place, every name resolved, every literal of the type that it
//! is compared with. Made by the checker, read by the evaluator and by coercion.

use std::cmp::Ordering;

use jiff::SignedDuration;

use super::functions::Call;
use super::instant::Instant;
use super::types::Base;
use super::value::Val;
use crate::contract::schema::NodeId;
use crate::expr::number::Decimal;

/// A value that is known when the expression is compiled.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Const {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Decimal(Box<[u8]>, u32),
    Timestamp(Instant),
    Duration(SignedDuration),
    Date(i32),
    Time(i64),
    Enum(u32),
}

impl Const {
    pub(super) fn val(&self) -> Val<'_> {
        match self {
            Const::Null => Val::Null,
            Const::Bool(b) => Val::Bool(*b),
            Const::Int(i) => Val::Int(*i),
            Const::Double(d) => Val::Double(*d),
            Const::Text(text) => Val::Text(text),
            Const::Bytes(bytes) => Val::Bytes(bytes),
            Const::Decimal(bytes, scale) => Val::Decimal(bytes, *scale),
            Const::Timestamp(at) => Val::Timestamp(*at),
            Const::Duration(length) => Val::Duration(*length),
            Const::Date(days) => Val::Date(*days),
            Const::Time(nanos) => Val::Time(*nanos),
            Const::Enum(index) => Val::Enum(*index),
        }
    }

    /// Nothing for collections and records.
    pub(super) fn of(value: Val<'_>) -> Option<Const> {
        Some(match value {
            Val::Null => Const::Null,
            Val::Bool(b) => Const::Bool(b),
            Val::Int(i) => Const::Int(i),
            Val::Double(d) => Const::Double(d),
            Val::Text(text) => Const::Text(text.into()),
            Val::Bytes(bytes) => Const::Bytes(bytes.into()),
            Val::Decimal(bytes, scale) => Const::Decimal(bytes.into(), scale),
            Val::Timestamp(at) => Const::Timestamp(at),
            Val::Duration(length) => Const::Duration(length),
            Val::Date(days) => Const::Date(days),
            Val::Time(nanos) => Const::Time(nanos),
            Val::Enum(index) => Const::Enum(index),
            Val::Unread(_) | Val::Avro(..) | Val::List(_) | Val::Map(_) => return None,
        })
    }

    pub(super) fn decimal(number: &Decimal) -> Const {
        let scale = u32::try_from(number.scale).expect("literals have few digits");
        Const::Decimal(number.unscaled.to_signed_bytes_be().into(), scale)
    }
}

/// A checked expression.
#[derive(Debug, Clone)]
pub(super) enum Ir {
    Const(Const),
    /// A number as it is written, for the one that it is coerced to.
    Number(Const, Box<Decimal>),
    Field(Box<Field>),
    /// The field at this position of a record that is no field itself.
    Select(Box<Ir>, usize),
    IsNull(Box<Ir>),
    Not(Box<Ir>),
    And(Box<(Ir, Ir)>),
    Or(Box<(Ir, Ir)>),
    /// `&&` (true) or `||`, where an error on one side counts only if the other does not decide.
    Absorbing(bool, Box<(Ir, Ir)>),
    Choose(Box<Choose>),
    Compare(Op, Box<(Ir, Ir)>),
    /// `in` a list that is written out.
    In(Box<Ir>, Vec<Ir>),
    /// A literal `in` such a list: one pair an element, the literal turned into what that is.
    AnyEqual(Vec<(Ir, Ir)>),
    /// `in` any other list, or the keys of a map.
    Within(Box<(Ir, Ir)>),
    /// The first, or the second where that is null.
    OrValue(Box<OrValue>),
    Arith(Box<Arith>),
    /// Two lists as one.
    Join(Box<(Ir, Ir)>),
    Negate(Box<(Ir, String)>),
    TextTest(TextTest, Box<(Ir, Ir)>),
    Size(Box<Ir>),
    /// An element of a list, or the value of a key.
    Index(Box<Index>),
    List(Vec<Ir>),
    Map(Vec<(Ir, Ir)>),
    Each(Box<Each>),
    /// An enum's symbol as text.
    Symbol(Box<Ir>, NodeId),
    /// An array or map of the record, made a list or map.
    Made(Box<Ir>),
    Call(Box<Called>),
    /// What is an error when it is null, with its words.
    Present(Box<Ir>, String),
    /// What lies below a record, which is an error when that is null.
    Below(Box<(Ir, Ir, String)>),
}

/// What a path begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Root {
    Event,
    /// This one of the scope's variables.
    Variable(usize),
    /// This one of all the variables of comprehensions.
    Local(usize),
}

/// A path: what it begins with, and positions from there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) root: Root,
    pub(super) positions: Vec<usize>,
}

/// Where the walk to a field begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At a mark of the contract's plan, where a value of that node lies.
    Mark(u32, NodeId),
    Register(u32),
    /// At a variable of a comprehension.
    Local(usize),
}

/// A field, or a variable.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) spot: Spot,
    pub(super) start: Start,
    /// Positions from there.
    pub(super) walk: Vec<usize>,
    /// As written, for messages.
    pub(super) shown: String,
}

/// A ternary.
#[derive(Debug, Clone)]
pub(super) struct Choose {
    pub(super) test: Ir,
    pub(super) yes: Ir,
    pub(super) no: Ir,
    /// What either side is by itself.
    pub(super) bases: (Base, Base),
}

/// What may be null, and what stands for null then.
#[derive(Debug, Clone)]
pub(super) struct OrValue {
    pub(super) value: Ir,
    pub(super) default: Ir,
    /// What either is by itself.
    pub(super) bases: (Base, Base),
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Op {
    /// Whether it holds of what is so ordered.
    #[inline]
    pub(super) const fn of(self, order: Ordering) -> bool {
        match self {
            Op::Equal => order.is_eq(),
            Op::NotEqual => order.is_ne(),
            Op::Less => order.is_lt(),
            Op::LessOrEqual => order.is_le(),
            Op::Greater => order.is_gt(),
            Op::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// An arithmetic operator; `+` is also that of texts, bytes and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Sum {
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Sum::Add => "+",
            Sum::Subtract => "-",
            Sum::Multiply => "*",
            Sum::Divide => "/",
            Sum::Remainder => "%",
        }
    }
}

/// Two operands and what is done with them.
#[derive(Debug, Clone)]
pub(super) struct Arith {
    pub(super) op: Sum,
    pub(super) left: Ir,
    pub(super) right: Ir,
    /// The first field among them.
    pub(super) path: String,
}

/// What is asked of a text about another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

/// `of[by]`
#[derive(Debug, Clone)]
pub(super) struct Index {
    pub(super) of: Ir,
    pub(super) by: Ir,
    /// That of `of`.
    pub(super) path: String,
}

/// A comprehension.
#[derive(Debug, Clone)]
pub(super) struct Each {
    pub(super) kind: EachKind,
    pub(super) range: Ir,
    /// Where the element lies, which is how many comprehensions are around this one.
    pub(super) slot: usize,
    /// What it is about: the condition, or what `map` makes of an element.
    pub(super) body: Ir,
    /// What keeps an element, in `filter` and in `map` with a condition.
    pub(super) keep: Option<Ir>,
    /// Whether errors count only if no other element decides.
    pub(super) absorbing: bool,
}

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EachKind {
    All,
    Exists,
    ExistsOne,
    Map,
}

/// A call of a function of the table.
#[derive(Debug, Clone)]
pub(super) struct Called {
    pub(super) name: &'static str,
    pub(super) call: Call,
    pub(super) args: Vec<Ir>,
}

impl Ir {
    /// The value of a literal or of what was computed when the expression was compiled.
    pub(super) fn constant(&self) -> Option<&Const> {
        match self {
            Ir::Const(value) | Ir::Number(value, _) => Some(value),
            _ => None,
        }
    }

    /// The path of a field.
    pub(super) fn path(&self) -> Option<&str> {
        match self {
            Ir::Field(field) => Some(&field.shown),
            Ir::Present(inner, _) | Ir::Made(inner) | Ir::Symbol(inner, _) => inner.path(),
            Ir::Below(parts) => parts.1.path(),
            Ir::Select(inner, _) => inner.path(),
            Ir::Index(index) => index.of.path(),
            _ => None,
        }
    }
}
