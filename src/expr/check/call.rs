//! Calls of functions: their number of arguments, the type of each, and constants that can never do.

use super::super::functions::Function;
use super::super::types::Type;
use super::{Checker, Ir, Known, Typed};
use cel::parser::Expression;

impl Checker<'_> {
    pub(super) fn function(
        &mut self,
        expr: &Expression,
        function: Function,
        args: &[Expression],
        known: &Known,
    ) -> Option<Typed> {
        let wanted = function.arguments();
        if args.len() != wanted.len() {
            let message = format!(
                "`{}` takes {} arguments; here are {}",
                function.name(),
                wanted.len(),
                args.len()
            );
            let fault = self.source.fault(expr, message);
            return self.refuse(fault.hint(format!("write `{}`", function.signature())));
        }
        let mut lowered = Vec::with_capacity(args.len());
        let mut path = String::new();
        for (arg, wanted) in args.iter().zip(wanted) {
            let typed = self.check(arg, known);
            let Some(typed) = typed.and_then(|typed| self.present(arg, typed)) else {
                continue;
            };
            if !wanted.takes(&typed.ty.base) {
                let message = format!(
                    "{} must be {}; this is {}",
                    wanted.name(),
                    wanted.type_name(),
                    typed.ty.describe(self.schema)
                );
                let fault = self.source.fault(arg, message);
                self.faults.push(fault);
                continue;
            }
            if let Err(message) = function.check_constant(*wanted, &typed.ir) {
                let fault = self.source.fault(arg, message);
                self.faults.push(fault);
                continue;
            }
            if let Ir::Field(_) = typed.ir
                && (path.is_empty() || wanted.name_of_failure())
            {
                path = self.source.fault(arg, "").text;
            }
            lowered.push(typed.ir);
        }
        if lowered.len() < args.len() {
            return None;
        }
        let ty = Type::exactly(function.result());
        Some(Typed::new(Ir::Call(function, lowered, path), ty))
    }
}
