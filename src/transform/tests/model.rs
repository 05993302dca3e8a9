//! Steps over trees, as an independent model of what the flow does with bytes: types are expanded where a path leads, and
//! values are changed in place. Nothing here knows of positions, registers or pieces.

use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::value::Value;

/// A type: one of the contract's, or one that steps took apart or made.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ty {
    Node(NodeId),
    Record(Vec<(String, Ty)>),
    Array(Box<Ty>),
    Map(Box<Ty>),
    Union(Vec<Ty>),
    Null,
    Text,
    Long,
    Bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seg {
    Field(String),
    Items,
    Values,
}

/// A place in a type.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) way: Vec<Seg>,
    pub(super) ty: Ty,
    /// Whether a record above it may be null, or is in a union.
    pub(super) optional: bool,
    /// Whether it is in a collection.
    pub(super) many: bool,
    /// Whether the optional record is the last above it that is no element.
    pub(super) below_null: bool,
}

impl Spot {
    pub(super) fn text(&self) -> String {
        text(&self.way)
    }
}

pub(super) fn text(way: &[Seg]) -> String {
    let mut out = String::new();
    for seg in way {
        match seg {
            Seg::Field(name) if out.is_empty() => out.push_str(name),
            Seg::Field(name) => out.push_str(&format!(".{name}")),
            Seg::Items => out.push_str("[]"),
            Seg::Values => out.push_str("{}"),
        }
    }
    out
}

pub(super) struct Model<'s> {
    pub(super) contract: &'s Schema,
    pub(super) ty: Ty,
}

/// The step failed for the record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fails;

pub(super) type Change<'c> = dyn FnMut(&mut Value) -> Result<(), Fails> + 'c;

impl Model<'_> {
    /// One level of a type.
    pub(super) fn expand(&self, ty: &Ty) -> Ty {
        let Ty::Node(node) = ty else {
            return ty.clone();
        };
        match &self.contract.node(*node).kind {
            Kind::Record(record) => Ty::Record(
                record
                    .fields
                    .iter()
                    .map(|field| (field.name.clone(), Ty::Node(field.node)))
                    .collect(),
            ),
            Kind::Array(inner) => Ty::Array(Box::new(Ty::Node(*inner))),
            Kind::Map(inner) => Ty::Map(Box::new(Ty::Node(*inner))),
            Kind::Union(branches) => {
                Ty::Union(branches.iter().map(|branch| Ty::Node(*branch)).collect())
            }
            Kind::Null => Ty::Null,
            Kind::String if self.contract.node(*node).logical.is_none() => Ty::Text,
            Kind::Long if self.contract.node(*node).logical.is_none() => Ty::Long,
            Kind::Boolean => Ty::Bool,
            _ => ty.clone(),
        }
    }

    /// Which branch is the one that is not null, and whether null is another.
    pub(super) fn only(&self, ty: &Ty) -> Option<(Option<usize>, Ty, bool)> {
        match self.expand(ty) {
            Ty::Union(branches) => {
                let is_null = |ty: &Ty| self.expand(ty) == Ty::Null;
                let mut others = branches.iter().enumerate().filter(|(_, ty)| !is_null(ty));
                match (others.next(), others.next()) {
                    (Some((at, only)), None) => {
                        let nullable = branches.len() > 1;
                        Some((Some(at), self.expand(only), nullable))
                    }
                    _ => None,
                }
            }
            other => Some((None, other, false)),
        }
    }

    /// Every place, to a depth.
    pub(super) fn spots(&self, depth: usize) -> Vec<Spot> {
        let mut out = Vec::new();
        let top = Spot {
            way: Vec::new(),
            ty: self.ty.clone(),
            optional: false,
            many: false,
            below_null: false,
        };
        self.below(&top, depth, &mut out);
        out
    }

    fn below(&self, spot: &Spot, depth: usize, out: &mut Vec<Spot>) {
        if depth == 0 {
            return;
        }
        let Some((at, inner, nullable)) = self.only(&spot.ty) else {
            return;
        };
        let wrapped = at.is_some();
        let is_field = matches!(spot.way.last(), Some(Seg::Field(_)));
        let mut next = |seg: Seg, ty: Ty, many: bool, below_null: bool| {
            let mut way = spot.way.clone();
            way.push(seg);
            let spot = Spot {
                way,
                ty,
                optional: spot.optional || wrapped,
                many: spot.many || many,
                below_null,
            };
            self.below(&spot, depth - 1, out);
            out.push(spot);
        };
        match inner {
            Ty::Record(fields) => {
                let below = match (wrapped, spot.way.is_empty()) {
                    (true, _) => is_field && nullable,
                    (false, true) => false,
                    (false, false) => is_field && spot.below_null,
                };
                for (name, ty) in fields {
                    next(Seg::Field(name), ty, false, below);
                }
            }
            Ty::Array(inner) => next(Seg::Items, *inner, true, false),
            Ty::Map(inner) => next(Seg::Values, *inner, true, false),
            _ => {}
        }
    }

    /// The type at a way, taken apart so that it can be changed.
    pub(super) fn open<'t>(&self, ty: &'t mut Ty, way: &[Seg]) -> &'t mut Ty {
        let Some((seg, rest)) = way.split_first() else {
            return ty;
        };
        let at = self.only(ty).expect("the way exists").0;
        *ty = self.expand(ty);
        let inner = match (at, ty) {
            (Some(at), Ty::Union(branches)) => &mut branches[at],
            (_, ty) => ty,
        };
        *inner = self.expand(inner);
        let below = match (seg, inner) {
            (Seg::Field(name), Ty::Record(fields)) => {
                let found = fields.iter_mut().find(|(own, _)| own == name);
                &mut found.expect("the field exists").1
            }
            (Seg::Items, Ty::Array(inner)) | (Seg::Values, Ty::Map(inner)) => &mut **inner,
            (seg, ty) => panic!("{seg:?} of {ty:?}"),
        };
        self.open(below, rest)
    }

    /// Changes the fields of the record at a way.
    pub(super) fn edit(&mut self, way: &[Seg], edit: impl FnOnce(&mut Vec<(String, Ty)>)) {
        let mut ty = std::mem::replace(&mut self.ty, Ty::Null);
        let found = self.open(&mut ty, way);
        let at = self.only(found).expect("a record").0;
        *found = self.expand(found);
        let inner = match (at, found) {
            (Some(at), Ty::Union(branches)) => &mut branches[at],
            (_, ty) => ty,
        };
        *inner = self.expand(inner);
        let Ty::Record(fields) = inner else {
            panic!("{inner:?} is no record")
        };
        edit(fields);
        self.ty = ty;
    }

    /// Gives the place at a way another type.
    pub(super) fn retype(&mut self, way: &[Seg], new: Ty) {
        let mut ty = std::mem::replace(&mut self.ty, Ty::Null);
        *self.open(&mut ty, way) = new;
        self.ty = ty;
    }

    /// Puts another type under the union of a place, if it has one.
    pub(super) fn retype_inner(&mut self, way: &[Seg], new: Ty) {
        let mut ty = std::mem::replace(&mut self.ty, Ty::Null);
        let found = self.open(&mut ty, way);
        match self.only(found).expect("one type").0 {
            Some(at) => {
                *found = self.expand(found);
                let Ty::Union(branches) = found else {
                    unreachable!("it was one")
                };
                branches[at] = new;
            }
            None => *found = new,
        }
        self.ty = ty;
    }

    /// Changes every value at a way; nulls above it are passed by.
    pub(super) fn each(
        &self,
        ty: &Ty,
        value: &mut Value,
        way: &[Seg],
        change: &mut Change<'_>,
    ) -> Result<(), Fails> {
        let Some((seg, rest)) = way.split_first() else {
            return change(value);
        };
        let (at, inner, _) = self.only(ty).expect("the way exists");
        let value = match (at, value) {
            (Some(at), Value::Union(branch, inner)) if *branch == at => inner.as_mut(),
            (Some(_), _) => return Ok(()),
            (None, value) => value,
        };
        match (seg, inner, value) {
            (Seg::Field(name), Ty::Record(fields), Value::Record(values)) => {
                let at = fields.iter().position(|(own, _)| own == name);
                let at = at.expect("the field exists");
                self.each(&fields[at].1, &mut values[at], rest, change)
            }
            (Seg::Items, Ty::Array(inner), Value::Array(values)) => values
                .iter_mut()
                .try_for_each(|value| self.each(&inner, value, rest, change)),
            (Seg::Values, Ty::Map(inner), Value::Map(entries)) => entries
                .iter_mut()
                .try_for_each(|(_, value)| self.each(&inner, value, rest, change)),
            (seg, ty, value) => panic!("{seg:?} of {ty:?}: {value:?}"),
        }
    }

    /// Changes the fields of every record at a way.
    pub(super) fn each_record(
        &self,
        value: &mut Value,
        way: &[Seg],
        change: &mut dyn FnMut(&mut Vec<Value>),
    ) {
        let mut in_record = |value: &mut Value| {
            let inner = match value {
                Value::Union(_, inner) => inner.as_mut(),
                value => value,
            };
            if let Value::Record(fields) = inner {
                change(fields);
            }
            Ok(())
        };
        let done = self.each(&self.ty, value, way, &mut in_record);
        done.expect("nothing fails");
    }

    /// Changes every value at a way that is not null, under its union.
    pub(super) fn each_inner(
        &self,
        value: &mut Value,
        way: &[Seg],
        change: &mut Change<'_>,
    ) -> Result<(), Fails> {
        let mut inside = |value: &mut Value| match value {
            Value::Union(_, inner) if **inner == Value::Null => Ok(()),
            Value::Union(_, inner) => change(inner),
            value => change(value),
        };
        self.each(&self.ty, value, way, &mut inside)
    }

    /// The value at a way of fields, `None` below a null.
    pub(super) fn get(&self, value: &Value, way: &[Seg]) -> Option<Value> {
        let mut found = None;
        let mut copy = value.clone();
        let mut take = |value: &mut Value| {
            found = Some(value.clone());
            Ok(())
        };
        let done = self.each(&self.ty, &mut copy, way, &mut take);
        done.expect("nothing fails");
        found
    }

    /// The type of a value that is lifted out of a record that may be null, and how its values are wrapped then.
    pub(super) fn nullable(&self, ty: &Ty) -> (Ty, Wrap) {
        match self.expand(ty) {
            Ty::Union(branches) => match branches.iter().position(|ty| self.expand(ty) == Ty::Null)
            {
                Some(null) => (ty.clone(), Wrap::Same(null)),
                None => {
                    let all = [Ty::Null].into_iter().chain(branches).collect();
                    (Ty::Union(all), Wrap::Shift)
                }
            },
            Ty::Null => (ty.clone(), Wrap::Never),
            _ => (Ty::Union(vec![Ty::Null, ty.clone()]), Wrap::Into),
        }
    }
}

/// See [`Model::nullable`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Wrap {
    /// It is nullable already: where null stands.
    Same(usize),
    /// Into `[null, T]`.
    Into,
    /// A union that gets a null in front.
    Shift,
    /// `null` itself.
    Never,
}

impl Wrap {
    pub(super) fn value(self, value: Option<Value>) -> Value {
        let null = |at| Value::Union(at, Box::new(Value::Null));
        match (self, value) {
            (Wrap::Never, _) => Value::Null,
            (Wrap::Same(at), None) => null(at),
            (Wrap::Into | Wrap::Shift, None) => null(0),
            (Wrap::Same(_), Some(value)) => value,
            (Wrap::Into, Some(value)) => Value::Union(1, Box::new(value)),
            (Wrap::Shift, Some(Value::Union(at, value))) => Value::Union(at + 1, value),
            (Wrap::Shift, Some(value)) => panic!("{value:?} is in no union"),
        }
    }
}
