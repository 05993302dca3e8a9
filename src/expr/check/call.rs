//! Calls: finds the function and the form of it that takes the arguments, prepares what is known already, and says what
//! is wrong with the rest.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr as Cel};
use cel::parser::Expression;

use super::unify::{to_decimal, to_double};
use super::{Checker, Facts, Known, Typed};
use crate::expr::functions::{self, Constants, Form, Function, Ty};
use crate::expr::ir::{Called, Const, Ir, TextTest};
use crate::expr::path::suggest;
use crate::expr::types::{Base, Class, Type};

impl Checker<'_> {
    pub(super) fn function(
        &mut self,
        expr: &Expression,
        call: &CallExpr,
        known: &Known,
    ) -> Option<Typed> {
        let qualified = qualified(call);
        let name = qualified.as_deref().unwrap_or(&call.func_name);
        let Some(function) = functions::named(name) else {
            return self.no_function(expr, name);
        };
        if function.group == "record" && !self.scope.record {
            let message =
                format!("`{name}` asks the record around the event, and there is none here");
            let fault = self.source.fault(expr, message);
            return self.refuse(fault);
        }
        let target = call.target.as_ref().filter(|_| qualified.is_none());
        let method = target.is_some();
        let at: Vec<&Expression> = target
            .into_iter()
            .map(AsRef::as_ref)
            .chain(&call.args)
            .collect();
        let fitting: Vec<&'static Form> = function
            .forms
            .iter()
            .filter(|form| form.method == method && form.params.len() == at.len())
            .collect();
        if fitting.is_empty() {
            return self.no_form(expr, function, method, at.len());
        }
        let before = self.faults.len();
        let args: Vec<Option<Typed>> = at
            .iter()
            .map(|arg| {
                let typed = self.check(arg, known)?;
                self.present(arg, typed)
            })
            .collect();
        if self.faults.len() > before {
            return None;
        }
        let args: Vec<Typed> = args.into_iter().collect::<Option<_>>()?;
        for form in &fitting {
            let converted: Option<Vec<Typed>> = (args.iter().zip(form.params))
                .map(|(arg, (_, ty))| self.argument(arg, *ty))
                .collect();
            if let Some(args) = converted {
                return self.prepared(expr, &at, function, form, args);
            }
        }
        self.no_such_form(expr, function, &at, &args, &fitting)
    }

    /// The argument as the parameter takes it; nothing if it does not.
    fn argument(&self, arg: &Typed, wanted: Ty) -> Option<Typed> {
        let class = self.class(arg);
        let mut arg = arg.clone();
        let fits = match (wanted, &class) {
            (Ty::Bool, Class::Boolean)
            | (Ty::Int, Class::Integer)
            | (Ty::Double, Class::Floating)
            | (Ty::Decimal, Class::Decimal)
            | (Ty::Text | Ty::NullableText, Class::Text)
            | (Ty::Bytes, Class::Bytes)
            | (Ty::Date, Class::Date)
            | (Ty::Timestamp | Ty::TimestampMillis | Ty::NullableTimestamp, Class::Timestamp)
            | (Ty::Duration, Class::Duration)
            | (Ty::Time, Class::Time) => true,
            (Ty::Double, Class::Integer) => to_double(&mut arg),
            (Ty::Decimal, Class::Integer | Class::Floating) => to_decimal(&mut arg),
            (Ty::Enum, Class::Enum(node)) => {
                arg.ir = Ir::Symbol(Box::new(arg.ir), *node);
                true
            }
            (Ty::Texts, Class::List(element)) => {
                let texts = element.as_ref().is_none_or(|element| {
                    !element.nullable && element.base.class(self.schema) == Class::Text
                });
                arg.ir = Ir::Made(Box::new(arg.ir));
                texts
            }
            (Ty::List, Class::List(_)) | (Ty::Map, Class::Map(_)) => {
                arg.ir = Ir::Made(Box::new(arg.ir));
                true
            }
            _ => false,
        };
        fits.then_some(arg)
    }

    fn prepared(
        &mut self,
        expr: &Expression,
        at: &[&Expression],
        function: &'static Function,
        form: &'static Form,
        args: Vec<Typed>,
    ) -> Option<Typed> {
        let known: Vec<_> = args
            .iter()
            .map(|arg| arg.ir.constant().map(Const::val))
            .collect();
        let constants = Constants {
            args: &known,
            secrets: self.scope.secrets,
        };
        let call = match (form.make)(&constants) {
            Ok(call) => call,
            Err((nth, message)) => {
                let fault = self.source.fault(at.get(nth).unwrap_or(&expr), message);
                return self.refuse(fault);
            }
        };
        let constant = known.iter().all(Option::is_some);
        let scale = form.params.iter().position(|(name, _)| *name == "scale");
        let scale = scale.and_then(|nth| match known.get(nth)? {
            Some(crate::expr::Val::Int(scale)) => usize::try_from(*scale).ok(),
            _ => None,
        });
        let mut args: Vec<Ir> = args.into_iter().map(|arg| arg.ir).collect();
        // The few that rules are made of take no detour through the table.
        let quick = match (function.name, args.as_mut_slice()) {
            ("contains", [text, part]) => Some((TextTest::Contains, text, part)),
            ("startsWith", [text, part]) => Some((TextTest::StartsWith, text, part)),
            ("endsWith", [text, part]) => Some((TextTest::EndsWith, text, part)),
            _ => None,
        };
        if let Some((test, text, part)) = quick
            && form.result == Ty::Bool
        {
            let sides = (taken(text), taken(part));
            let ir = Ir::TextTest(test, Box::new(sides));
            return Some(Typed::boolean(ir, Facts::default()));
        }
        let ir = match (function.name, args.as_mut_slice()) {
            ("size", [Ir::Made(of)]) => Ir::Size(Box::new(taken(of))),
            ("size", [of]) => Ir::Size(Box::new(taken(of))),
            _ => Ir::Call(Box::new(Called {
                name: function.name,
                call,
                args,
            })),
        };
        let ir = match constant && function.group != "record" {
            true => self.fold(ir),
            false => ir,
        };
        let ty = result(form.result, &ir, scale);
        Some(Typed::new(ir, ty))
    }

    fn no_function<T>(&mut self, expr: &Expression, name: &str) -> Option<T> {
        let message = format!("there is no function `{name}`");
        let fault = self.source.fault(expr, message);
        let hint = match name {
            "type" => "the types are known when the expression is checked; `driftgate check --explain` prints them".to_owned(),
            "dyn" => "every value has one type; make the one that is needed: `string(…)`, `int(…)`, `double(…)`".to_owned(),
            "uint" => "Avro has no unsigned numbers; `int(…)` makes a long".to_owned(),
            "quote" => "there is `strings.quote(text)`".to_owned(),
            "has" => "it takes one field: `has(customer.email)`".to_owned(),
            "orValue" => "it is called on what may be null, with one argument: `note.orValue('none')`".to_owned(),
            "all" | "exists" | "exists_one" | "existsOne" | "filter" => {
                format!("it takes a name and a condition: `items.{name}(x, x > 0)`")
            }
            "map" => "it takes a name and what to make of it: `items.map(x, x + 1)`".to_owned(),
            _ => match suggest(name, functions::all().map(|function| function.name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`driftgate functions` lists what there is".to_owned(),
            },
        };
        self.refuse(fault.hint(hint))
    }

    /// Called in a way that no form of it is.
    fn no_form<T>(
        &mut self,
        expr: &Expression,
        function: &Function,
        method: bool,
        given: usize,
    ) -> Option<T> {
        let name = function.name;
        let of_kind = function.callable().filter(|form| form.method == method);
        let mut counts: Vec<usize> = of_kind.map(|form| form.params.len()).collect();
        counts.sort_unstable();
        counts.dedup();
        let shown = |count: &usize| (count - usize::from(method)).to_string();
        let message = match (counts.is_empty(), method) {
            (true, true) => format!("`{name}` is not a method"),
            (true, false) => format!("`{name}` is called on its first argument"),
            (false, _) => format!(
                "`{name}` takes {} arguments; here are {}",
                counts.iter().map(shown).collect::<Vec<_>>().join(" or "),
                given - usize::from(method)
            ),
        };
        let fault = self.source.fault(expr, message);
        self.refuse(fault.hint(format!("write {}", signatures(function))))
    }

    /// Called as it can be, but with arguments of other types.
    fn no_such_form<T>(
        &mut self,
        expr: &Expression,
        function: &Function,
        at: &[&Expression],
        args: &[Typed],
        forms: &[&Form],
    ) -> Option<T> {
        let name = function.name;
        for ((arg, typed), nth) in at.iter().zip(args).zip(0..) {
            if let Class::Foreign(what) = self.class(typed) {
                return self.foreign(arg, what);
            }
            let Some(form) = forms.first().filter(|_| forms.len() == 1) else {
                continue;
            };
            let (parameter, wanted) = form.params[nth];
            if self.argument(typed, wanted).is_none() {
                let what = typed.ty.describe(self.schema);
                let message = format!("{parameter} must be {}; this is {what}", word(wanted));
                let fault = self.source.fault(arg, message);
                return self.refuse(match conversion(wanted, &self.class(typed)) {
                    Some(hint) => fault.hint(hint),
                    None => fault,
                });
            }
        }
        let given: Vec<String> = args
            .iter()
            .map(|arg| arg.ty.describe(self.schema))
            .collect();
        let message = format!("`{name}` does not take {}", given.join(", "));
        let fault = self.source.fault(expr, message);
        self.refuse(fault.hint(format!("there is {}", signatures(function))))
    }
}

/// The name of a function that has a namespace, as `strings.quote` has: what stands before the point is no value then.
fn qualified(call: &CallExpr) -> Option<String> {
    let Cel::Ident(space) = &call.target.as_ref()?.expr else {
        return None;
    };
    let name = format!("{space}.{}", call.func_name);
    functions::named(&name).map(|_| name)
}

fn taken(ir: &mut Ir) -> Ir {
    std::mem::replace(ir, Ir::Const(Const::Null))
}

/// The calls that there are, as they are written.
fn signatures(function: &Function) -> String {
    let shown = function.signatures();
    let shown: Vec<String> = shown.into_iter().map(|form| format!("`{form}`")).collect();
    match shown.as_slice() {
        [first, second, third, more @ ..] if !more.is_empty() => format!(
            "{first}, {second}, {third} and more: `driftgate functions {}` lists them",
            function.name
        ),
        _ => shown.join(" or "),
    }
}

/// A type of the table in words.
fn word(ty: Ty) -> &'static str {
    match ty {
        Ty::Bool => "true or false",
        Ty::Int => "an int or long",
        Ty::Double => "a float or double",
        Ty::Decimal => "a decimal",
        Ty::Text | Ty::NullableText => "a string",
        Ty::Bytes => "bytes",
        Ty::Date => "a date",
        Ty::Timestamp | Ty::TimestampMillis | Ty::NullableTimestamp => "a timestamp",
        Ty::Duration => "a duration",
        Ty::Time => "a time of day",
        Ty::Texts => "a list of strings",
        Ty::Enum => "an enum",
        Ty::List => "a list",
        Ty::Map => "a map",
    }
}

fn conversion(wanted: Ty, given: &Class) -> Option<&'static str> {
    Some(match (wanted, given) {
        (Ty::Text, Class::Integer | Class::Floating | Class::Decimal | Class::Enum(_)) => {
            "make a text of it: `string(…)`"
        }
        (Ty::Int, Class::Text) => "make a number of it: `int(…)`",
        (Ty::Double, Class::Integer | Class::Text) => "make a double of it: `double(…)`",
        (Ty::Decimal, Class::Integer | Class::Text) => "make a decimal of it: `decimal(…)`",
        (Ty::Decimal, Class::Floating) | (Ty::Double, Class::Decimal) => {
            "a floating-point number is not exact, so it is never made into the other unseen"
        }
        (Ty::Date, Class::Text) => "write a date as `date('2026-01-31')`",
        (Ty::Timestamp | Ty::TimestampMillis, Class::Text) => {
            "write a timestamp as `timestamp('2026-01-31T12:00:00Z')`"
        }
        (Ty::Duration, Class::Text) => "write a duration as `duration('1h30m')`",
        _ => return None,
    })
}

fn result(ty: Ty, ir: &Ir, scale: Option<usize>) -> Type {
    let base = match ty {
        Ty::Bool => Base::Boolean,
        Ty::Int => Base::Long,
        Ty::Double => Base::Double,
        Ty::Decimal => match ir.constant() {
            Some(Const::Decimal(bytes, scale)) => {
                let number = crate::expr::number::Decimal::from_avro(bytes, *scale as usize);
                let (precision, scale) = super::unify::size(&number);
                Base::Decimal {
                    precision: Some(precision),
                    scale: Some(scale),
                }
            }
            _ => Base::Decimal {
                precision: None,
                scale,
            },
        },
        Ty::Text | Ty::NullableText | Ty::Enum => Base::String,
        Ty::Bytes => Base::Bytes,
        Ty::Date => Base::Date,
        Ty::Timestamp => Base::TimestampMicros,
        Ty::TimestampMillis | Ty::NullableTimestamp => Base::TimestampMillis,
        Ty::Duration => Base::Duration,
        Ty::Time => Base::TimeMicros,
        Ty::Texts => Base::List(Some(Arc::new(Type::exactly(Base::String)))),
        Ty::List => Base::List(None),
        Ty::Map => Base::Map(None),
    };
    Type {
        base,
        nullable: matches!(ty, Ty::NullableText | Ty::NullableTimestamp),
    }
}
