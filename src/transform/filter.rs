//! `filter: expression` keeps the events for which it is true.

use super::Outcome;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use crate::error::RecordError;
use crate::expr::Expr;

#[derive(Debug)]
pub(super) struct Filter(Expr);

pub(super) fn compile(
    text: &Placed<String>,
    input: &Schema,
    faults: &mut Vec<Fault>,
) -> Outcome<Filter> {
    match Expr::compile_condition(text, input) {
        Ok(expr) => Outcome::new(Filter(expr), input.clone()),
        Err(found) => {
            faults.extend(found);
            Outcome::failed(input.clone())
        }
    }
}

impl Filter {
    pub(super) fn keeps(&self, event: &Value) -> Result<bool, RecordError> {
        self.0.eval_bool(event)
    }
}
