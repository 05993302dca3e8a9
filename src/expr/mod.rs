//! Expressions over an event, in CEL: parsed by the `cel` crate, type-checked here against Avro types, evaluated on the
//! event's bytes without making a tree of values. Input: text and a [`Scope`]. Output: a [`Val`]. Pure: no clock, no I/O,
//! and no word of steps, rules or topics.
//!
//! All of CEL that has a meaning on Avro's types is there: fields and what lies in them, literals, lists and maps,
//! operators, comprehensions, timestamps and durations, and the functions of [`functions`]. What has none is refused where
//! it stands: unsigned numbers, `dyn`, `type`, messages.
//!
//! **Nulls** are checked, not guessed. A nullable field can be compared with `null`, tested by `has()`, copied, or given a
//! value for null (`note.orValue('none')`); for everything else the expression must have established that it is not null
//! (`x != null && x > 1`, or the right side of `x == null || …`, or a branch of a ternary). `has(a.b)` is true when neither
//! `a` nor `a.b` is null.
//!
//! **Numbers** compare by value: `int`, `long`, `float` and `double` without a lossy cast in between, decimals with
//! decimals, integers and number literals (as the literal is written: `0.1` is exactly a tenth). A decimal never meets a
//! floating-point field. Whole numbers are computed as longs, and what does not fit is an error; decimals are computed
//! exactly. A NaN is unequal to everything.
//!
//! **Text** is ordered by code point. **Enums** are compared with their symbols, written as text; one that does not
//! exist is a fault.
//!
//! `&&` and `||` go from left to right and stop once they are decided; an error on the left is the result (CEL would
//! let the right side absorb it, but then the right side's null checks would not hold).

mod check;
mod coerce;
pub mod cx;
pub mod days;
mod eval;
pub mod functions;
pub mod instant;
mod ir;
pub(crate) mod lean;
pub mod number;
pub mod path;
pub mod scope;
mod source;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod types;
pub mod value;
mod variables;

pub use coerce::NoSymbol;
pub use cx::Cx;
pub use scope::{Place, Scope};
pub use types::{Base, Type};
pub use value::Val;

use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{NodeId, Schema};
use crate::error::{Reason, RecordError};
use check::Checked;
use cx::STEPS;
use eval::{Run, Stop};
use ir::{Const, Ir, Root};
use lean::Lean;
use scope::Profile;

/// A compiled expression. Belongs to the schema and the places that it was compiled for.
#[derive(Debug, Clone)]
pub struct Expr {
    ir: Ir,
    /// The same as a short program, for what is small.
    lean: Option<Lean>,
    ty: Type,
    fields: Vec<String>,
    text: String,
}

impl Expr {
    /// Parses and type-checks. Every fault points at its spot inside the text.
    pub fn compile(text: &Placed<String>, scope: &Scope<'_>) -> Result<Expr, Vec<Fault>> {
        let Checked { ir, ty, fields } = check::compile(text, scope)?;
        Ok(Expr {
            lean: lean::lower(&ir, scope.schema),
            ir,
            ty,
            fields,
            text: text.value.trim().to_owned(),
        })
    }

    /// The same, for an expression that must be true or false, never null. Where nulls are met at run time, a null is an
    /// error then.
    pub fn compile_condition(text: &Placed<String>, scope: &Scope<'_>) -> Result<Expr, Vec<Fault>> {
        let mut expr = Expr::compile(text, scope)?;
        match (&expr.ty.base, expr.ty.nullable) {
            (Base::Boolean, false) => return Ok(expr),
            (Base::Boolean, true) if scope.profile == Profile::Confluent => {
                let message = format!("`{}` is null", expr.text);
                expr.lean = None;
                expr.ir = Ir::Present(Box::new(expr.ir), message);
                expr.ty.nullable = false;
                return Ok(expr);
            }
            _ => {}
        }
        let message = format!(
            "a condition must be true or false; this is {}",
            expr.ty.describe(scope.schema)
        );
        let fault = Fault::new(&text.place, expr.text.clone(), message);
        Err(vec![match expr.ty.base {
            Base::Boolean => fault.hint(
                "compare it: `… == true` behind a check for null, or say what stands for null: `….orValue(false)`",
            ),
            _ => fault.hint("compare it with something: `… == …`, `… != null`"),
        }])
    }

    /// The type of the result.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// The fields it reads, as dotted paths, each once.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// The expression as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The positions of the field, if the whole expression is one bare field of the event.
    pub fn plain_field(&self) -> Option<&[usize]> {
        match &self.ir {
            Ir::Field(field) if field.spot.root == Root::Event => Some(&field.spot.positions),
            _ => None,
        }
    }

    /// Its value, if that is known already.
    pub fn constant(&self) -> Option<Val<'_>> {
        self.ir.constant().map(Const::val)
    }

    /// The same expression with its result as a value of `target` (a node of the same schema, no union), if every
    /// value it can have has an exact counterpart there. A text that is no symbol of an enum is an error. What is
    /// computed takes the size of `target`, an int's or a decimal's precision; what does not fit is an error when it is
    /// written.
    pub fn coerced(&self, schema: &Schema, target: NodeId) -> Result<Option<Expr>, NoSymbol> {
        let ir = coerce::to(&self.ir, &self.ty.base, schema, target)?;
        Ok(ir.map(|ir| Expr {
            lean: lean::lower(&ir, schema),
            ir,
            ty: Type {
                base: Base::of(schema, target),
                nullable: self.ty.nullable,
            },
            ..self.clone()
        }))
    }

    /// Evaluates. The result is bare: [`Val::Null`] or a value of [`Type::base`], never wrapped in a union of the
    /// expression's own.
    pub fn eval<'a>(&self, cx: &mut Cx<'a>) -> Result<Val<'a>, RecordError> {
        cx.steps = STEPS;
        Run::new(cx).eval(&self.ir).map_err(|stop| error(*stop))
    }

    /// The same into a register.
    #[inline]
    pub(crate) fn eval_into(&self, cx: &mut Cx<'_>, into: u32) -> Result<(), RecordError> {
        if let Some(lean) = &self.lean {
            cx.steps = STEPS;
            if lean.put(cx, into as usize) {
                return Ok(());
            }
        }
        cx.registers[into as usize] = self.eval(cx)?;
        Ok(())
    }

    /// Evaluates a condition.
    #[inline]
    pub fn eval_bool(&self, cx: &mut Cx<'_>) -> Result<bool, RecordError> {
        if let Some(Lean::Test(test)) = &self.lean {
            cx.steps = STEPS;
            if let Some(answer) = test.holds(cx) {
                return Ok(answer);
            }
        }
        self.evaluated_bool(cx)
    }

    /// Whether it is seen at once that the condition is true. If it is not, [`Expr::eval_bool`] knows.
    #[inline]
    pub(crate) fn surely_holds(&self, cx: &mut Cx<'_>) -> bool {
        match &self.lean {
            Some(Lean::Test(test)) => {
                cx.steps = STEPS;
                test.holds(cx) == Some(true)
            }
            _ => false,
        }
    }

    #[inline(never)]
    fn evaluated_bool(&self, cx: &mut Cx<'_>) -> Result<bool, RecordError> {
        cx.steps = STEPS;
        Run::new(cx).truth(&self.ir).map_err(|stop| error(*stop))
    }
}

#[cold]
fn error(stop: Stop) -> RecordError {
    RecordError::new(Reason::TransformFailed, stop.message).at(stop.path)
}
