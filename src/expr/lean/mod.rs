//! What is asked of most records is small: a field is compared with a constant, tested for null, handed to a function.
//! Such an expression becomes a short program over the field's bytes, which the plan has validated: no [`Val`] is made of
//! what is only looked at, and no schema is walked. Input: checked [`Ir`]. Output: the evaluator's answer and the
//! evaluator's steps, or none; then the evaluator is asked, which alone knows what errors say.
//!
//! Texts are compared, searched and counted as the bytes that they are: UTF-8 orders as its code points do, and the plan
//! has let nothing else through.
//!
//! `lower` makes the programs, `run` runs them, `field` reads fields. That all agree with the evaluator, step by step, is
//! tested in `tests`.

pub(crate) mod field;
mod lower;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use super::functions::{OfOctets, OfText};
use super::ir::{Const, Op, TextTest};
use field::Field;

pub(super) use lower::lower;
pub(crate) use run::characters;

/// A program for an expression.
#[derive(Debug, Clone)]
pub(super) enum Lean {
    /// Of what is true or false.
    Test(Test),
    /// Of any value.
    Make(Make),
}

/// What is true or false.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// A text against a constant.
    Text(Field, Op, Box<str>),
    /// An int or long against a constant.
    Whole(Field, Op, i64),
    /// Whether it is, or is not, this symbol of its enum.
    Symbol(Field, Op, u32),
    /// The characters of a text against a constant.
    Size(Field, Op, i64),
    /// A text for a part of it.
    Part(Field, TextTest, Box<str>),
    /// Whether a text is one of these.
    OneOf(Field, Box<[Box<str>]>),
    /// A boolean field.
    Flag(Field),
    IsNull(Field),
    Not(Box<Test>),
    Both(Box<(Test, Test)>),
    Either(Box<(Test, Test)>),
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Make {
    /// Neither a text nor bytes.
    Const(Const),
    Choose(Box<(Test, Make, Make)>),
    Text(Text),
}

/// A text that is not null.
#[derive(Clone)]
pub(super) enum Text {
    Const(Box<str>),
    Field(Field),
    /// What stands for a text where it is null.
    OrValue(Field, Box<Text>),
    /// A function of a text, with the steps that the evaluator takes for the call and its other arguments.
    Of(Box<Text>, Arc<OfText>, u64),
    /// The same, of its bytes.
    OfOctets(Box<Text>, Arc<OfOctets>, u64),
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::Const(text) => text.fmt(f),
            Text::Field(field) => field.fmt(f),
            Text::OrValue(field, default) => write!(f, "{field:?} or {default:?}"),
            Text::Of(text, ..) | Text::OfOctets(text, ..) => write!(f, "of {text:?}"),
        }
    }
}
