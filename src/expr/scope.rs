//! What an expression can name, and where each of it lies when the expression is evaluated. Given by whoever compiles the
//! expression: a rule, a step, a command.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use crate::contract::schema::{NodeId, Schema};

/// Where a value lies while a record is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Where this mark of the contract's plan is, in [`Cx::bytes`](super::Cx). A mark that was not met is null.
    Mark(u32),
    /// In this one of [`Cx::registers`](super::Cx).
    Register(u32),
}

/// A field of the event, as far as somebody knows a place for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Where the value of the first `depth` positions lies.
    pub place: Place,
    /// How many positions of the path lead to `place`; the rest is walked from there.
    pub depth: usize,
}

/// A name that is no field of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its type.
    pub node: NodeId,
    /// Where it lies.
    pub place: Place,
}

/// Whose rules an expression follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Ours: bare field names; that a null is met must be ruled out when the expression is checked.
    #[default]
    Checked,
    /// Confluent's: variables only, nulls met at run time are errors, `&&` and `||` absorb errors as CEL says.
    Confluent,
}

/// A secret by its name. Its text is in no `Debug`.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, Vec<u8>>);

impl Secrets {
    /// From names and texts.
    pub fn new(secrets: impl IntoIterator<Item = (String, Vec<u8>)>) -> Secrets {
        Secrets(secrets.into_iter().collect())
    }

    /// The secret of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What an expression can name.
pub struct Scope<'s> {
    /// Every type; nodes are only ever added, so that an id stays what it is.
    pub schema: &'s Schema,
    /// The event's type, whose fields are named bare; none where there are only variables.
    pub root: Option<NodeId>,
    /// Where a field of the event lies, by its positions from the top; at least one. Asked for each field that is named.
    pub locate: &'s dyn Fn(&[usize]) -> Located,
    /// Names besides the fields; a variable hides a field of its name.
    pub variables: Vec<Variable>,
    /// Names whose text (or list of texts) is known already.
    pub constants: Vec<(String, Constant)>,
    /// What `hmac` and the like can name.
    pub secrets: &'s Secrets,
    /// Whose rules hold.
    pub profile: Profile,
    /// Whether there is a record around the event, so that `header(…)` and the like can be called.
    pub record: bool,
}

/// A variable that is known when the expression is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constant {
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// The first text, or the second where the variable `value` is null.
    UnlessNull(String, String),
}

/// An event that expressions and rules are about: its type, and where its parts lie.
pub trait Event {
    /// Every type.
    fn schema(&self) -> &Schema;
    /// The event's own.
    fn root(&self) -> NodeId;
    /// Where the field at these positions lies; the whole event, for no positions.
    fn locate(&self, positions: &[usize]) -> Located;
    /// A register that nobody else uses.
    fn register(&self) -> u32;
    /// What expressions can name.
    fn secrets(&self) -> &Secrets;
    /// Whether there is a record around it.
    fn has_record(&self) -> bool;
}

/// Runs `with` on what an expression over an event can name.
pub fn with_scope<R>(event: &dyn Event, with: impl FnOnce(Scope<'_>) -> R) -> R {
    let locate = |positions: &[usize]| event.locate(positions);
    with(Scope {
        schema: event.schema(),
        root: Some(event.root()),
        locate: &locate,
        variables: Vec::new(),
        constants: Vec::new(),
        secrets: event.secrets(),
        profile: Profile::Checked,
        record: event.has_record(),
    })
}

/// A value that lies in register 0 as a whole: a key, an output, a record of a command.
#[derive(Debug)]
pub struct Plain<'s> {
    schema: &'s Schema,
    registers: Cell<u32>,
    secrets: Secrets,
}

impl<'s> Plain<'s> {
    /// A value of the schema's top.
    pub fn new(schema: &'s Schema) -> Plain<'s> {
        Plain {
            schema,
            registers: Cell::new(1),
            secrets: Secrets::default(),
        }
    }

    /// How many registers were given out.
    pub fn registers(&self) -> usize {
        self.registers.get() as usize
    }
}

impl Event for Plain<'_> {
    fn schema(&self) -> &Schema {
        self.schema
    }

    fn root(&self) -> NodeId {
        self.schema.root
    }

    fn locate(&self, _: &[usize]) -> Located {
        Located {
            place: Place::Register(0),
            depth: 0,
        }
    }

    fn register(&self) -> u32 {
        self.registers.replace(self.registers.get() + 1)
    }

    fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    fn has_record(&self) -> bool {
        false
    }
}
