//! A constraint on a field that lies at a mark, judged by the field's bytes: most records keep their rules, and need no walk
//! and no value to be found good. Input: the record at hand. Output: whether the constraint surely holds; where it may not,
//! the walk finds out, which alone knows what to say.

use super::{Allowed, FieldTest, within};
use crate::expr::Cx;
use crate::expr::lean::characters;
use crate::expr::lean::field::{Field, Shape};

impl FieldTest {
    pub(super) fn surely_holds(&self, field: Field, cx: &Cx<'_>) -> bool {
        self.holds(field, cx).unwrap_or(false)
    }

    fn holds(&self, field: Field, cx: &Cx<'_>) -> Option<bool> {
        Some(match (self, field.shape()) {
            (FieldTest::Required, Shape::Text) => {
                field.text(cx)?.0.is_some_and(|text| !text.is_empty())
            }
            (FieldTest::Required, _) => !field.is_null(cx)?,
            (FieldTest::Whole { min, max, .. }, Shape::Whole) => {
                let number = field.whole(cx)?.0;
                number.is_none_or(|number| {
                    within(&number.to_be_bytes(), min.as_deref(), max.as_deref())
                })
            }
            (FieldTest::OneOf { allowed, .. }, Shape::Text) => {
                let text = field.text(cx)?.0;
                text.is_none_or(|text| {
                    let same =
                        |one: &Allowed| matches!(one, Allowed::Text(one) if one.as_bytes() == text);
                    allowed.iter().any(same)
                })
            }
            (FieldTest::OneOf { allowed, .. }, Shape::Symbol) => {
                let symbol = field.symbol(cx)?.0;
                symbol.is_none_or(|symbol| allowed.contains(&Allowed::Symbol(symbol)))
            }
            (FieldTest::OneOf { allowed, .. }, Shape::Whole) => {
                let number = field.whole(cx)?.0;
                number.is_none_or(|number| allowed.contains(&Allowed::Whole(number)))
            }
            (FieldTest::Length { min, max }, Shape::Text) => {
                let length = field.text(cx)?.0.map(characters);
                length.is_none_or(|length| {
                    min.is_none_or(|min| min <= length) && max.is_none_or(|max| length <= max)
                })
            }
            _ => return None,
        })
    }
}
