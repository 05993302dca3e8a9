//! Expressions over an event, in CEL: parsed by the `cel` crate, type-checked here against the record's Avro schema,
//! evaluated on the event's value. Input: text and a [`Schema`]; output: a [`Value`]. Pure: no clock, no I/O, and no
//! word of steps, rules or topics.
//!
//! What an expression can be, now:
//!
//! - fields and nested fields (`amount`, `customer.email`), literals, parentheses;
//! - `== != < <= > >=`, `in [ … ]`, `&& || !`, `condition ? a : b`, `has(customer.email)`;
//! - the functions of [`functions`]: `date` and `localTime`.
//!
//! Everything else of CEL is refused where it stands, with "not available yet".
//!
//! **Nulls** are checked, not guessed. A nullable field can be compared with `null`, tested by `has()`, or copied;
//! for everything else the expression must have established that it is not null (`x != null && x > 1`, or the
//! right side of `x == null || …`, or a branch of a ternary). `has(a.b)` is true when neither `a` nor `a.b` is null.
//!
//! **Numbers** compare by value: `int`, `long`, `float` and `double` without a lossy cast in between, decimals with
//! decimals, integers and number literals (as the literal is written: `0.1` is exactly a tenth). A decimal field is
//! never compared with a floating-point field. A NaN is unequal to everything.
//!
//! **Text** is ordered by code point. **Enums** are compared with their symbols, written as text; one that does not
//! exist is a fault. Dates and timestamps can be copied and passed to functions; comparing them comes later.
//!
//! `&&` and `||` go from left to right and stop once they are decided; an error on the left is the result (CEL would
//! let the right side absorb it, but then the right side's null checks would not hold).

mod check;
mod coerce;
mod eval;
pub mod functions;
pub mod number;
pub mod path;
mod source;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod types;
pub(crate) mod variables;

use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{NodeId, Schema};
use crate::contract::value::Value;
use crate::error::{Reason, RecordError};
use check::Ir;
use types::{Base, Type};
use variables::Variables;

/// A compiled expression. Belongs to the schema it was compiled against.
#[derive(Debug, Clone)]
pub struct Expr {
    ir: Ir,
    ty: Type,
    fields: Vec<String>,
    text: String,
}

impl Expr {
    /// Parses and type-checks. Every fault points at its spot inside the text.
    pub fn compile(text: &Placed<String>, schema: &Schema) -> Result<Expr, Vec<Fault>> {
        check::compile(text, schema).map(|checked| Expr {
            ir: checked.ir,
            ty: checked.ty,
            fields: checked.fields,
            text: text.value.trim().to_owned(),
        })
    }

    /// The same, for an expression that must be true or false, never null.
    pub fn compile_condition(text: &Placed<String>, schema: &Schema) -> Result<Expr, Vec<Fault>> {
        let expr = Expr::compile(text, schema)?;
        if expr.ty.base == Base::Boolean && !expr.ty.nullable {
            return Ok(expr);
        }
        let message = format!(
            "a condition must be true or false; this is {}",
            expr.ty.describe(schema)
        );
        let fault = Fault::new(&text.place, expr.text.clone(), message);
        Err(vec![match expr.ty.base {
            Base::Boolean => fault.hint("compare it: `… == true` behind a check for null"),
            _ => fault.hint("compare it with something: `… == …`, `… != null`"),
        }])
    }

    /// A condition over variables, which is evaluated on what they stand for; nulls are errors at run time. See
    /// [`variables`].
    pub(crate) fn compile_over(
        text: &Placed<String>,
        variables: &Variables,
    ) -> Result<Expr, Vec<Fault>> {
        let checked = check::compile_over(text, variables)?;
        let written = text.value.trim().to_owned();
        if checked.ty.base != Base::Boolean {
            let what = checked.ty.describe(&variables.schema);
            let message = format!("a condition must be true or false; this is {what}");
            return Err(vec![Fault::new(&text.place, written, message)]);
        }
        let ir = match checked.ty.nullable {
            true => Ir::Present(Box::new(checked.ir), format!("`{written}` is null")),
            false => checked.ir,
        };
        Ok(Expr {
            ir,
            ty: Type::exactly(Base::Boolean),
            fields: checked.fields,
            text: written,
        })
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

    /// The same expression with its result as a value of `target` (a node of the same schema, no union), if every
    /// value it can have has an exact counterpart there. A text that is no symbol of an enum is an error.
    pub(crate) fn coerced(
        &self,
        schema: &Schema,
        target: NodeId,
    ) -> Result<Option<Expr>, coerce::NoSymbol> {
        let ir = coerce::to(&self.ir, &self.ty.base, schema, target)?;
        Ok(ir.map(|ir| Expr {
            ir,
            ty: Type {
                base: Base::of(schema, target),
                nullable: self.ty.nullable,
            },
            ..self.clone()
        }))
    }

    /// Evaluates. The result is bare: [`Value::Null`] or a value of [`Type::base`], never wrapped in a union of the
    /// expression's own.
    pub fn eval(&self, event: &Value) -> Result<Value, RecordError> {
        eval::eval(&self.ir, event).map(std::borrow::Cow::into_owned)
    }

    /// Evaluates a condition.
    pub fn eval_bool(&self, event: &Value) -> Result<bool, RecordError> {
        match eval::eval(&self.ir, event)?.as_ref() {
            Value::Boolean(answer) => Ok(*answer),
            _ => Err(RecordError::new(
                Reason::TransformFailed,
                format!("`{}` is neither true nor false", self.text),
            )),
        }
    }
}
