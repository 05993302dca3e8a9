//! What makes one value of another, whatever field it stands in: a cast, a mask, a table of values, a default for null.

use super::cast::Cast;
use super::map_values::Table;
use super::mask::Masking;
use crate::error::RecordError;
use crate::expr::{Cx, Expr, Val};

#[derive(Debug)]
pub(super) enum Leaf {
    Cast(Cast),
    Mask(Masking),
    Table(Table),
    Default(Expr),
    /// The value as it is.
    Same,
}

impl Leaf {
    /// The new value. Errors have no path: whoever knows the field adds it.
    pub(super) fn apply<'a>(
        &'a self,
        cx: &mut Cx<'a>,
        value: Val<'a>,
    ) -> Result<Val<'a>, RecordError> {
        match self {
            Leaf::Default(expr) if value.is_null() => expr.eval(cx),
            _ if value.is_null() => Ok(value),
            Leaf::Default(_) | Leaf::Same => Ok(value),
            Leaf::Cast(cast) => cast.apply(cx, value),
            Leaf::Mask(mask) => Ok(mask.apply(cx, value)),
            Leaf::Table(table) => table.apply(cx, value),
        }
    }
}
