//! Fields: names against the types, where each lies, and which of them may be null where they stand.

use cel::common::ast::{Expr as Cel, SelectExpr};
use cel::parser::Expression;

use super::{Checker, Facts, Known, Typed};
use crate::contract::schema::{Kind, NodeId};
use crate::expr::ir::{Const, Field, Index, Ir, Root, Spot, Start};
use crate::expr::path::{listed, suggest};
use crate::expr::scope::Place;
use crate::expr::types::{Base, Class, Type};

/// A name, with what was selected from it so far.
struct Walked {
    typed: Typed,
    /// What must not be null at run time, with the words for it.
    below: Option<(Ir, String)>,
}

impl Checker<'_> {
    /// `has(a.b)`: neither `a` nor `a.b` is null; of a map, that the key is there.
    pub(super) fn has(
        &mut self,
        expr: &Expression,
        select: &SelectExpr,
        known: &Known,
    ) -> Option<Typed> {
        let above = self.walk(&select.operand, known, true)?;
        if let Class::Map(_) = self.class(&above.typed) {
            let nullable = above.typed.ty.nullable;
            let map = self.finish(above);
            let key = Ir::Const(Const::Text(select.field.as_str().into()));
            let there = Ir::Within(Box::new((key, map.ir.clone())));
            let present = Ir::Not(Box::new(Ir::IsNull(Box::new(map.ir))));
            let ir = match nullable {
                true => Ir::And(Box::new((present, there))),
                false => there,
            };
            return Some(Typed::boolean(ir, Facts::default()));
        }
        let walked = self.select(expr, above, select, known, true)?;
        let typed = self.finish(walked);
        let mut facts = Facts::default();
        if let Ir::Field(field) = &typed.ir {
            let Spot { root, positions } = &field.spot;
            let prefixes = (0..=positions.len()).map(|end| Spot {
                root: *root,
                positions: positions[..end].to_vec(),
            });
            facts.if_true.extend(prefixes);
        }
        let absent = Ir::IsNull(Box::new(typed.ir));
        Some(Typed::boolean(Ir::Not(Box::new(absent)), facts))
    }

    /// A name, and what is selected from it. With `through`, nullable records on the way need no guard: the whole is
    /// null with them.
    pub(super) fn field(
        &mut self,
        expr: &Expression,
        known: &Known,
        through: bool,
    ) -> Option<Typed> {
        let walked = self.walk(expr, known, through)?;
        Some(self.finish(walked))
    }

    fn walk(&mut self, expr: &Expression, known: &Known, through: bool) -> Option<Walked> {
        match &expr.expr {
            Cel::Ident(name) => {
                let typed = self.name(expr, name, known)?;
                Some(Walked { typed, below: None })
            }
            Cel::Select(select) if !select.test => self.deeper(expr, |checker| {
                let above = checker.walk(&select.operand, known, through)?;
                checker.select(expr, above, select, known, through)
            }),
            _ => {
                let typed = self.check(expr, known)?;
                Some(Walked { typed, below: None })
            }
        }
    }

    /// A bare name: of a comprehension, a variable, a field.
    fn name(&mut self, expr: &Expression, name: &str, known: &Known) -> Option<Typed> {
        let mut slots = self.locals.iter().enumerate().rev();
        let local = slots.find(|(_, local)| local.name == name);
        let mut variables = self.scope.variables.iter().enumerate();
        let (root, positions, start, ty) = if let Some((slot, local)) = local {
            let root = Root::Local(local.id);
            (root, Vec::new(), Start::Local(slot), local.ty.clone())
        } else if let Some((nth, variable)) = variables.find(|(_, one)| one.name == name) {
            let start = start(variable.place, variable.node);
            let ty = Type::of(self.schema, variable.node);
            (Root::Variable(nth), Vec::new(), start, ty)
        } else {
            let position = self
                .event()
                .and_then(|record| record.index.get(name).copied());
            let Some(position) = position else {
                return self.unknown(expr, name);
            };
            let declared = self.event()?.fields[position].node;
            let ty = Type::of(self.schema, declared);
            // Where it lies is asked once it is known how far the path goes.
            (Root::Event, vec![position], Start::Local(usize::MAX), ty)
        };
        let spot = Spot { root, positions };
        let nullable = ty.nullable && !known.contains(&spot);
        let field = Field {
            spot,
            start,
            walk: Vec::new(),
            shown: name.to_owned(),
        };
        Some(Typed::new(
            Ir::Field(Box::new(field)),
            Type { nullable, ..ty },
        ))
    }

    /// The event's type, where its fields are named bare.
    fn event(&self) -> Option<&crate::contract::schema::RecordType> {
        if self.run_time {
            return None;
        }
        match &self.schema.node(self.scope.root?).kind {
            Kind::Record(record) => Some(record),
            _ => None,
        }
    }

    fn unknown<T>(&mut self, expr: &Expression, name: &str) -> Option<T> {
        let scope = self.scope;
        let locals = self.locals.iter().map(|local| local.name.as_str());
        let variables = scope.variables.iter().map(|one| one.name.as_str());
        let names: Vec<&str> = locals.chain(variables).collect();
        let fields = self.event().into_iter();
        let fields = fields.flat_map(|record| record.fields.iter().map(|f| f.name.as_str()));
        let near = suggest(name, names.iter().copied().chain(fields));
        let hint = match (near, self.event()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(record)) => format!("its fields are {}", listed(record)),
            (None, None) if names.is_empty() => {
                "no record is at hand here; constants and functions are".to_owned()
            }
            (None, None) => format!("there are: {}", names.join(", ")),
        };
        let message = match self.event() {
            Some(record) => format!("{} has no field `{name}`", record.name.full),
            None => format!("there is no variable `{name}`"),
        };
        let fault = self.source.fault(expr, message).hint(hint);
        self.refuse(fault)
    }

    fn select(
        &mut self,
        expr: &Expression,
        above: Walked,
        select: &SelectExpr,
        known: &Known,
        through: bool,
    ) -> Option<Walked> {
        let Walked {
            mut typed,
            mut below,
        } = above;
        let name = select.field.as_str();
        let node = match self.class(&typed) {
            Class::Record(node) => node,
            Class::Map(_) => {
                let map = self.finish(Walked { typed, below });
                let map = self.present(&select.operand, map)?;
                let typed = self.value_of(map, Ir::Const(Const::Text(name.into())));
                return Some(Walked { typed, below: None });
            }
            _ => {
                let above = self.written(&select.operand);
                let what = typed.ty.base.describe(self.schema);
                let message = format!("`{above}` is {what}; it has no field `{name}`");
                let fault = self.source.fault(expr, message);
                return self.refuse(fault);
            }
        };
        if typed.ty.nullable && !through {
            let shown = self.written(&select.operand);
            if self.run_time {
                below = Some((typed.ir.clone(), format!("`{shown}` is null")));
            } else {
                let message = format!("`{shown}` may be null, so it may have no `{name}`");
                let fault = self.source.fault(expr, message);
                return self.refuse(fault.hint(match typed.ir {
                    Ir::Field(_) => format!(
                        "guard it: `{shown} != null && …`, or `has({shown}.{name})` in a condition, or `{shown}.{name}.orValue(…)`"
                    ),
                    _ => format!("give it another value then: `{shown}.{name}.orValue(…)`"),
                }));
            }
        }
        let position = self.position(expr, node, name)?;
        let Kind::Record(record) = &self.schema.node(node).kind else {
            return None;
        };
        let ty = Type::of(self.schema, record.fields[position].node);
        let mut nullable = ty.nullable || (typed.ty.nullable && through);
        typed.ir = match typed.ir {
            Ir::Field(mut field) => {
                field.spot.positions.push(position);
                field.walk.push(position);
                field.shown = format!("{}.{name}", field.shown);
                nullable &= !known.contains(&field.spot);
                Ir::Field(field)
            }
            other => Ir::Select(Box::new(other), position),
        };
        typed.ty = Type { nullable, ..ty };
        Some(Walked { typed, below })
    }

    fn position(&mut self, expr: &Expression, node: NodeId, name: &str) -> Option<usize> {
        let Kind::Record(record) = &self.schema.node(node).kind else {
            return None;
        };
        if let Some(position) = record.index.get(name) {
            return Some(*position);
        }
        let near = suggest(name, record.fields.iter().map(|field| field.name.as_str()));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its fields are {}", listed(record)),
        };
        let message = format!("{} has no field `{name}`", record.name.full);
        let fault = self.source.fault(expr, message).hint(hint);
        self.refuse(fault)
    }

    /// The whole path is known: finds out where it lies, and lists it.
    fn finish(&mut self, walked: Walked) -> Typed {
        let Walked { mut typed, below } = walked;
        if let Ir::Field(field) = &mut typed.ir {
            let listed = match field.spot.root {
                Root::Event => Some(field.shown.as_str()),
                // Fields are below variables there.
                Root::Variable(_) if self.run_time => {
                    field.shown.split_once('.').map(|(_, rest)| rest)
                }
                Root::Variable(_) | Root::Local(_) => None,
            };
            if let Some(listed) = listed
                && !self.fields.iter().any(|known| known == listed)
            {
                self.fields.push(listed.to_owned());
            }
            if field.spot.root == Root::Event {
                let positions = &field.spot.positions;
                let located = (self.scope.locate)(positions);
                let depth = located.depth.min(positions.len());
                field.walk = positions[depth..].to_vec();
                let node = self.declared(&positions[..depth]);
                field.start = start(located.place, node);
            }
        }
        if let Some((above, message)) = below {
            typed.ir = Ir::Below(Box::new((above, typed.ir, message)));
        }
        typed
    }

    /// The node of a field of the event, as declared.
    fn declared(&self, positions: &[usize]) -> NodeId {
        let mut node = self.scope.root.unwrap_or_default();
        for position in positions {
            let inner = self.schema.non_null(node).unwrap_or(node);
            if let Kind::Record(record) = &self.schema.node(inner).kind {
                node = record.fields[*position].node;
            }
        }
        node
    }

    /// The value of a map's key, which is an error if it is not there.
    pub(super) fn value_of(&self, map: Typed, key: Ir) -> Typed {
        let ty = match self.class(&map) {
            Class::Map(Some(ty)) => ty,
            // An empty map has no value of any type.
            _ => Type::exactly(Base::Null),
        };
        let path = map.ir.path().unwrap_or_default().to_owned();
        let index = Index {
            of: map.ir,
            by: key,
            path,
        };
        Typed::new(Ir::Index(Box::new(index)), ty)
    }
}

fn start(place: Place, node: NodeId) -> Start {
    match place {
        Place::Mark(mark) => Start::Mark(mark, node),
        Place::Register(register) => Start::Register(register),
    }
}
