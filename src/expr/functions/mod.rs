//! The functions that expressions can call, as a table: names, types, documentation, examples, and what they do. The
//! checker reads the types, `driftgate functions` prints the rest, and a test runs every example.
//!
//! A function is pure: its result depends on its arguments alone. Its failure is a record error and holds no value.

mod args;
mod codes;
mod dates;
#[cfg(test)]
mod examples;
mod format;
mod money;
mod numbers;
mod phones;
pub(in crate::expr) mod printf;
pub(crate) mod privacy;
mod record;
pub mod reference;
mod standard;
mod strings;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use super::cx::{Cx, TooLong};
use super::scope::Secrets;
use super::value::Val;

/// Every function, by the files that they are written in.
static ALL: &[&[Function]] = &[
    standard::FUNCTIONS,
    standard::convert::FUNCTIONS,
    standard::time::FUNCTIONS,
    strings::FUNCTIONS,
    printf::FUNCTIONS,
    text::FUNCTIONS,
    numbers::FUNCTIONS,
    dates::FUNCTIONS,
    phones::FUNCTIONS,
    codes::FUNCTIONS,
    privacy::FUNCTIONS,
    record::FUNCTIONS,
];

/// Every function.
pub fn all() -> impl Iterator<Item = &'static Function> {
    ALL.iter().flat_map(|file| file.iter())
}

/// The function of that name.
pub fn named(name: &str) -> Option<&'static Function> {
    all().find(|function| function.name == name)
}

/// A function, or a group of forms of one name.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// What it belongs to, for listings: `text`, `numbers`, `dates`, `phones`, `privacy`, `codes`, `collections`, `record`.
    pub group: &'static str,
    /// What it does, for a person: a few sentences; Markdown.
    pub doc: &'static str,
    /// When it fails, for a person; empty if never.
    pub errors: &'static str,
    /// Its forms, tried in order.
    pub forms: &'static [Form],
    /// Expressions over no record, and their results.
    pub examples: &'static [Example],
}

/// One way to call a function.
#[derive(Debug)]
pub struct Form {
    /// Whether it is called as `argument.name(…)` with the first parameter in front. It is then called in no other way.
    pub method: bool,
    /// Names and types of the parameters.
    pub params: &'static [(&'static str, Ty)],
    /// The type of the result.
    pub result: Ty,
    /// What makes the call: given the constants among the arguments (a regular expression, a zone, a format), it
    /// prepares them once. A constant that can never do is an error here, at `check`, with the number of its parameter; one behind the last means the call as a whole.
    pub make: fn(&Constants<'_>) -> Result<Call, (usize, String)>,
}

/// An expression and its result.
#[derive(Debug)]
pub struct Example {
    /// The expression.
    pub expr: &'static str,
    /// Its result as an expression of constants, such as `'abc'` or `date('2026-01-31')`; or, behind `error: `, a part of
    /// its message.
    pub result: &'static str,
}

/// The type of a parameter or result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    /// `boolean`
    Bool,
    /// `int` or `long`
    Int,
    /// `float` or `double`
    Double,
    /// A decimal of any precision. As a result, its scale is known at `check` only if `round` gives it one.
    Decimal,
    /// `string`
    Text,
    /// `bytes` or `fixed`
    Bytes,
    /// `date`
    Date,
    /// A timestamp of any unit. As a result, one in microseconds.
    Timestamp,
    /// A timestamp of any unit; as a result, one in milliseconds.
    TimestampMillis,
    /// A length of time.
    Duration,
    /// A time of day.
    Time,
    /// `array` of texts
    Texts,
    /// Any enum, as a parameter; handed over as its symbol, a [`Val::Text`].
    Enum,
    /// An array of anything, as a parameter; handed over as [`Val::List`].
    List,
    /// A map with texts as keys, as a parameter; handed over as [`Val::Map`].
    Map,
    /// A text or null, as a result.
    NullableText,
    /// A timestamp in milliseconds or null, as a result.
    NullableTimestamp,
}

type OfArgs = dyn for<'a> Fn(&mut Cx<'a>, &[Val<'a>]) -> Result<Val<'a>, CallError> + Send + Sync;
/// Small enough to be handed back in registers.
type Text<'a> = Result<&'a str, Box<CallError>>;
pub(super) type OfText = dyn for<'a> Fn(&mut Cx<'a>, &'a str) -> Text<'a> + Send + Sync;
type Octets<'a> = Result<&'a [u8], Box<CallError>>;
pub(super) type OfOctets = dyn for<'a> Fn(&mut Cx<'a>, &'a [u8]) -> Octets<'a> + Send + Sync;

/// What a call does. Arguments are of the types that were checked, and never null.
#[derive(Clone)]
pub enum Call {
    /// With all arguments.
    Args(Arc<OfArgs>),
    /// A text of a text; what other arguments there are, it has already as constants.
    Text(Arc<OfText>),
    /// The same of the bytes of a text, or of bytes; the result is in UTF-8.
    Octets(Arc<OfOctets>),
}

impl Call {
    /// The result for these arguments.
    pub fn run<'a>(&self, cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
        let text = match self {
            Call::Args(run) => return run(cx, args),
            Call::Text(run) => run(cx, args::text(args, 0)?),
            Call::Octets(run) => run(cx, args::octets(args, 0)?).map(args::utf8),
        };
        text.map(Val::Text).map_err(|error| *error)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Call::Args(_) => "of arguments",
            Call::Text(_) => "of a text",
            Call::Octets(_) => "of octets",
        })
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// For a person, without values: `the calendar has no such day`.
    Failed(String),
    /// The same, where one argument is at fault: its number.
    Argument(usize, String),
    /// It would take too long.
    TooLong,
}

impl From<TooLong> for CallError {
    fn from(_: TooLong) -> Self {
        CallError::TooLong
    }
}

impl From<TooLong> for Box<CallError> {
    #[cold]
    fn from(error: TooLong) -> Self {
        Box::new(error.into())
    }
}

impl From<String> for CallError {
    fn from(message: String) -> Self {
        CallError::Failed(message)
    }
}

impl From<&str> for CallError {
    fn from(message: &str) -> Self {
        CallError::Failed(message.to_owned())
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Failed(message) | CallError::Argument(_, message) => f.write_str(message),
            CallError::TooLong => TooLong.fmt(f),
        }
    }
}

/// What is known of a call before any record is read.
#[derive(Debug)]
pub struct Constants<'c> {
    /// For each argument, its value if it is a literal.
    pub args: &'c [Option<Val<'c>>],
    /// Secrets by name.
    pub secrets: &'c Secrets,
}

impl Constants<'_> {
    /// The text of an argument that is a constant.
    pub fn text(&self, argument: usize) -> Option<&str> {
        match self.args.get(argument) {
            Some(Some(Val::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// The whole number of an argument that is a constant.
    pub fn int(&self, argument: usize) -> Option<i64> {
        match self.args.get(argument) {
            Some(Some(Val::Int(number))) => Some(*number),
            _ => None,
        }
    }
}
