//! Lists and maps: written out, and indexed.

use std::collections::BTreeSet;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, ListExpr, MapExpr};
use cel::parser::Expression;

use super::{Checker, Known, Typed};
use crate::expr::ir::{Const, Index, Ir};
use crate::expr::types::{Base, Class};

impl Checker<'_> {
    pub(super) fn list(
        &mut self,
        expr: &Expression,
        list: &ListExpr,
        known: &Known,
    ) -> Option<Typed> {
        let parts: Vec<_> = list
            .elements
            .iter()
            .map(|part| self.check(part, known))
            .collect();
        let mut parts: Vec<Typed> = parts.into_iter().collect::<Option<_>>()?;
        let mut both: Vec<_> = list.elements.iter().zip(&mut parts).collect();
        let element = match both.is_empty() {
            true => None,
            false => Some(Arc::new(self.unify(expr, &mut both, "elements")?)),
        };
        let parts = parts.into_iter().map(|part| part.ir).collect();
        Some(Typed::exactly(Ir::List(parts), Base::List(element)))
    }

    pub(super) fn map(&mut self, expr: &Expression, map: &MapExpr, known: &Known) -> Option<Typed> {
        let mut keys = Vec::new();
        let mut values = Vec::new();
        let mut seen = BTreeSet::new();
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                let fault = self.source.fault(expr, "this is no map");
                return self.refuse(fault);
            };
            let key = self.check(&entry.key, known);
            let key = key.and_then(|key| self.present(&entry.key, key));
            let value = self.check(&entry.value, known);
            let (Some(key), Some(value)) = (key, value) else {
                continue;
            };
            if self.class(&key) != Class::Text {
                let what = key.ty.describe(self.schema);
                let message = format!("keys of a map are texts; this is {what}");
                let fault = self.source.fault(&entry.key, message);
                self.faults
                    .push(fault.hint("Avro's maps have no other keys; `string(…)` makes one"));
                continue;
            }
            if let Ir::Const(Const::Text(text)) = &key.ir
                && !seen.insert(text.clone())
            {
                let fault = self
                    .source
                    .fault(&entry.key, "this key stands in the map twice");
                self.faults.push(fault);
                continue;
            }
            keys.push(key.ir);
            values.push((&entry.value, value));
        }
        if keys.len() < map.entries.len() {
            return None;
        }
        let mut parts: Vec<_> = values.iter_mut().map(|(at, value)| (*at, value)).collect();
        let value = match parts.is_empty() {
            true => None,
            false => Some(Arc::new(self.unify(expr, &mut parts, "values")?)),
        };
        let values = values.into_iter().map(|(_, value)| value.ir);
        let entries = keys.into_iter().zip(values).collect();
        Some(Typed::exactly(Ir::Map(entries), Base::Map(value)))
    }

    /// `of[by]`
    pub(super) fn index(
        &mut self,
        of: &Expression,
        by: &Expression,
        known: &Known,
    ) -> Option<Typed> {
        let list = self.check(of, known);
        let list = list.and_then(|list| self.present(of, list));
        let at = self.check(by, known);
        let at = at.and_then(|at| self.present(by, at));
        let (list, at) = (list?, at?);
        match (self.class(&list), self.class(&at)) {
            (Class::List(None), Class::Integer) => {
                let fault = self.source.fault(of, "an empty list has no elements");
                self.refuse(fault)
            }
            (Class::List(_), Class::Integer) if matches!(at.ir.constant(), Some(Const::Int(index)) if *index < 0) =>
            {
                let fault = self.source.fault(by, "the first element is that at 0");
                let list = self.written(of);
                self.refuse(fault.hint(format!("the last one is `{list}[size({list}) - 1]`")))
            }
            (Class::List(Some(element)), Class::Integer) => {
                let path = list.ir.path().unwrap_or_default().to_owned();
                let index = Index {
                    of: list.ir,
                    by: at.ir,
                    path,
                };
                Some(Typed::new(Ir::Index(Box::new(index)), element))
            }
            (Class::Map(None), Class::Text) => {
                let fault = self.source.fault(of, "an empty map has no values");
                self.refuse(fault)
            }
            (Class::Map(Some(_)), Class::Text) => Some(self.value_of(list, at.ir)),
            (Class::List(_), _) => {
                let what = at.ty.describe(self.schema);
                let message = format!("elements of a list have numbers; this is {what}");
                let fault = self.source.fault(by, message);
                self.refuse(fault.hint("the first one is `[0]`"))
            }
            (Class::Map(_), _) => {
                let what = at.ty.describe(self.schema);
                let message = format!("keys of a map are texts; this is {what}");
                let fault = self.source.fault(by, message);
                self.refuse(fault)
            }
            (Class::Record(_), _) => {
                let fault = self.source.fault(by, "a record's fields are not indexed");
                let of = self.written(of);
                self.refuse(fault.hint(format!("write `{of}.field`")))
            }
            _ => {
                let what = list.ty.describe(self.schema);
                let message = format!("only lists and maps have parts; this is {what}");
                let fault = self.source.fault(of, message);
                self.refuse(fault)
            }
        }
    }
}
