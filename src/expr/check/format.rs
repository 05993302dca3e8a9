//! `'…'.format([…])`: the one list whose elements may be of several types. Each is held to its clause of the format, and
//! becomes an argument of its own.

use cel::common::ast::Expr as Cel;
use cel::parser::Expression;

use super::{Checker, Known, Typed};
use crate::expr::functions::printf::{Clause, Format};
use crate::expr::ir::{Called, Const, Ir};
use crate::expr::types::{Base, Class};

impl Checker<'_> {
    pub(super) fn format(
        &mut self,
        target: &Expression,
        values: &Expression,
        known: &Known,
    ) -> Option<Typed> {
        let text = self.check(target, known)?;
        let text = self.present(target, text)?;
        let Some(Const::Text(constant)) = text.ir.constant() else {
            let what = text.ty.describe(self.schema);
            let message = match self.class(&text) {
                Class::Text => "expected a constant: a format such as '%s: %.2f'".to_owned(),
                _ => format!("a format must be a string; this is {what}"),
            };
            let fault = self.source.fault(target, message);
            return self.refuse(fault);
        };
        let format = match Format::parse(constant) {
            Ok(format) => format,
            Err(message) => {
                let fault = self.source.fault(target, message);
                return self.refuse(fault);
            }
        };
        let Cel::List(list) = &values.expr else {
            let message = "the values of a format are written out as a list: `[name, amount]`";
            let fault = self.source.fault(values, message);
            return self.refuse(fault);
        };
        let (places, given) = (format.clauses().len(), list.elements.len());
        // As CEL has it, what is too much is not looked at.
        if places > given || (places < given && !self.run_time) {
            let plural = |count: usize| if count == 1 { "" } else { "s" };
            let message = format!(
                "the format has {places} place{}, and the list {given} value{}",
                plural(places),
                plural(given)
            );
            let fault = self.source.fault(values, message);
            return self.refuse(fault);
        }
        let before = self.faults.len();
        let clauses = format.clauses().map(Some).chain(std::iter::repeat(None));
        let parts: Vec<Option<Ir>> = clauses
            .zip(&list.elements)
            .map(|(clause, value)| self.placed(clause, value, known))
            .collect();
        if self.faults.len() > before {
            return None;
        }
        let mut args = vec![text.ir];
        args.extend(parts.into_iter().collect::<Option<Vec<_>>>()?);
        let constant = args.iter().all(|arg| arg.constant().is_some());
        let ir = Ir::Call(Box::new(Called {
            name: "format",
            call: format.call(),
            args,
        }));
        let ir = if constant { self.fold(ir) } else { ir };
        Some(Typed::exactly(ir, Base::String))
    }

    /// A value as its clause takes it.
    fn placed(&mut self, clause: Option<Clause>, value: &Expression, known: &Known) -> Option<Ir> {
        let typed = self.check(value, known)?;
        let Some(clause) = clause else {
            return Some(typed.ir);
        };
        let symbol = matches!(self.class(&typed), Class::Enum(_));
        // CEL writes `null` for it; ours is not to do that unasked.
        let typed = match self.run_time && clause == Clause::Text && !symbol {
            true => typed,
            false => self.present(value, typed)?,
        };
        let class = self.class(&typed);
        let parts = match &class {
            Class::List(Some(of)) | Class::Map(Some(of)) => {
                let of = of.base.class(self.schema);
                let nested = matches!(of, Class::Enum(_) | Class::List(_) | Class::Map(_));
                clause == Clause::Text && !nested && clause.takes(&of)
            }
            class => clause.takes(class),
        };
        if !parts {
            let what = typed.ty.describe(self.schema);
            let message = format!("{}; this is {what}", clause.word());
            let fault = self.source.fault(value, message);
            return self.refuse(fault);
        }
        Some(match class {
            Class::Enum(node) => Ir::Symbol(Box::new(typed.ir), node),
            Class::List(_) | Class::Map(_) => Ir::Made(Box::new(typed.ir)),
            _ => typed.ir,
        })
    }
}
