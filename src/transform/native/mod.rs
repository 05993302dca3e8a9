//! `native: { name, params }`: a step that a program which uses the library brings along, in Rust.
//!
//! At start a [`Native`] is told the event's type and the step's parameters, and says which fields its work reads, which
//! it writes and of which types ([`Bound`]), or refuses. What it then makes, a [`Work`] for each worker, gets the values
//! of the fields, record by record, and answers with values or a [`NativeError`].
//!
//! **Threads.** A [`Native`] is shared, and only asked while pipelines are compiled. A [`Work`] is made on the worker's
//! thread when its first record comes, and stays there: `&mut self`, no lock needed. A pipeline has as many as it has
//! workers.
//!
//! **Time.** It runs on the thread that polls the broker, so it must not block: no request, no file, no wait for a lock
//! that another thread holds for long. What has to be asked is a `lookup`. A step that takes long holds up its whole
//! batch, and past `max.poll.interval.ms` the broker gives its partitions to others.
//!
//! **How often.** A record may come more than once: when a lookup behind the step has its answer, after a retry, after a
//! crash. So what is written depends on the input alone; the state of a [`Work`] is for caches and buffers.
//!
//! **Memory.** What [`Input`] gives lies in the record or in its arena, and what [`Output`] makes lies in that arena. It
//! lives until the record is done, and the borrow checker does not let it out. The arena is reset, not freed.
//!
//! **Values.** What is written is held against the declared type and encoded exactly, or the record is a dead letter with
//! the reason `transform_failed` and the field's path. Nothing is rounded, and a field that was left unset is an error.
//!
//! **Panics.** A panic is caught: the record is a dead letter (`transform_failed`, with the step's name), the [`Work`] is
//! dropped and the next record gets a new one. The panic's own text goes to the panic hook and not into the dead letter,
//! for it may hold values. A program that is built with `panic = "abort"` ends instead.

mod call;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) use call::{Call, Works, compile};
pub use value::{Input, Output, Value};

use crate::config::model::Placed;
use crate::contract::schema::{NodeId, Schema};
use crate::expr::path::type_name;

/// A step that a program brings along, under the name that [`Natives::with`] gives it. The module says what it may do.
pub trait Native: Send + Sync {
    /// Says what the step reads and writes in a pipeline, or why it cannot be there. Called when the pipeline is
    /// compiled; it may read files.
    fn bind(&self, event: &EventType<'_>, params: &Params<'_>) -> Result<Bound, Refusal>;
}

/// What a native step does with a record.
pub trait Work: Send {
    /// Reads values, in the order of [`Bound::reads`], and writes them, in the order of [`Bound::writes`].
    fn run<'a>(
        &mut self,
        input: &Input<'_, 'a>,
        output: &mut Output<'a>,
    ) -> Result<(), NativeError>;
}

impl<F> Work for F
where
    F: for<'a> FnMut(&Input<'_, 'a>, &mut Output<'a>) -> Result<(), NativeError> + Send,
{
    fn run<'a>(
        &mut self,
        input: &Input<'_, 'a>,
        output: &mut Output<'a>,
    ) -> Result<(), NativeError> {
        self(input, output)
    }
}

/// The steps that a program registers, by name.
#[derive(Clone, Default)]
pub struct Natives(BTreeMap<String, Arc<dyn Native>>);

impl Natives {
    /// None.
    pub fn new() -> Natives {
        Natives::default()
    }

    /// These and one more. One of the same name is replaced.
    #[must_use]
    pub fn with(mut self, name: &str, native: impl Native + 'static) -> Natives {
        self.0.insert(name.to_owned(), Arc::new(native));
        self
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn get(&self, name: &str) -> Option<&Arc<dyn Native>> {
        self.0.get(name)
    }
}

impl fmt::Debug for Natives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The event as it stands where the step stands.
#[derive(Debug, Clone, Copy)]
pub struct EventType<'s> {
    schema: &'s Schema,
    root: NodeId,
}

impl EventType<'_> {
    /// Its fields, each with its type in words: `nullable string`, `decimal(9,2)`.
    pub fn fields(&self) -> Vec<(&str, String)> {
        let record = match &self.schema.node(self.root).kind {
            crate::contract::schema::Kind::Record(record) => record,
            _ => return Vec::new(),
        };
        let fields = record.fields.iter();
        fields
            .map(|field| (field.name.as_str(), type_name(self.schema, field.node)))
            .collect()
    }

    /// The type of a field, in words.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut fields = self.fields().into_iter();
        fields.find(|(own, _)| *own == name).map(|(_, ty)| ty)
    }
}

/// The parameters of a step, as they are written.
#[derive(Debug, Clone, Copy)]
pub struct Params<'p>(&'p [(Placed<String>, Placed<String>)]);

impl<'p> Params<'p> {
    /// A parameter, if it is there.
    pub fn get(&self, name: &str) -> Option<&'p str> {
        let mut entries = self.0.iter();
        let found = entries.find(|(own, _)| own.value == name);
        found.map(|(_, value)| value.value.as_str())
    }

    /// A parameter that must be there.
    pub fn required(&self, name: &str) -> Result<&'p str, Refusal> {
        self.get(name)
            .ok_or_else(|| Refusal::new(format!("the parameter `{name}` is missing")))
    }

    /// A parameter as what its text stands for, or `default` where it is not there.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, Refusal> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        let word = std::any::type_name::<T>();
        text.parse()
            .map_err(|_| Refusal::new(format!("`{name}` is no {word}")).about(name))
    }

    /// Refuses what is none of these: a name that is misspelt must not pass for one that was left out.
    pub fn only(&self, names: &[&str]) -> Result<(), Refusal> {
        let mut others = self.0.iter().map(|(name, _)| name.value.as_str());
        match others.find(|name| !names.contains(name)) {
            None => Ok(()),
            Some(other) => {
                let message = format!("there is no parameter `{other}`");
                let hint = match names {
                    [] => "the step takes none".to_owned(),
                    names => format!("there are {}", names.join(", ")),
                };
                Err(Refusal::new(message).about(other).hint(hint))
            }
        }
    }
}

/// Why a step cannot be where it stands. Told by `check` and `run` with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    message: String,
    hint: Option<String>,
    param: Option<String>,
}

impl Refusal {
    /// What is wrong.
    pub fn new(message: impl Into<String>) -> Refusal {
        Refusal {
            message: message.into(),
            hint: None,
            param: None,
        }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Refusal {
        self.hint = Some(hint.into());
        self
    }

    /// The same, about a parameter, whose line is shown.
    #[must_use]
    pub fn about(mut self, param: impl Into<String>) -> Refusal {
        self.param = Some(param.into());
        self
    }
}

/// Makes the work of one worker.
type Make = Box<dyn Fn() -> Box<dyn Work> + Send + Sync>;

/// A step in its pipeline: what it reads, what it writes, and what makes its work.
pub struct Bound {
    reads: Vec<String>,
    /// Path and Avro type.
    writes: Vec<(String, String)>,
    make: Make,
}

impl Bound {
    /// A step whose work this makes, once for each worker, and again after a panic.
    pub fn new<W: Work + 'static>(make: impl Fn() -> W + Send + Sync + 'static) -> Bound {
        Bound {
            reads: Vec::new(),
            writes: Vec::new(),
            make: Box::new(move || Box::new(make())),
        }
    }

    /// The same, reading one more field. A path leads through records that are never null and through no array or map;
    /// a field that is one of these is read whole.
    #[must_use]
    pub fn reads(mut self, path: impl Into<String>) -> Bound {
        self.reads.push(path.into());
        self
    }

    /// The same, writing one more field: a new one, or one that is there and gets this type. The type is an Avro schema
    /// (`"long"`, `["null", "string"]`, `{"type": "record", …}`); the word of a primitive type may stand alone.
    #[must_use]
    pub fn writes(mut self, path: impl Into<String>, avro: impl Into<String>) -> Bound {
        self.writes.push((path.into(), avro.into()));
        self
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("reads", &self.reads)
            .field("writes", &self.writes)
            .finish_non_exhaustive()
    }
}

/// Why a record cannot go on. Its text is for a person and stands in headers and logs, so it holds no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeError {
    message: String,
    path: String,
    /// `None`: the record's own fault.
    transient: Option<Option<Duration>>,
}

impl NativeError {
    /// This record can never pass: a dead letter with the reason `transform_failed`.
    pub fn record(message: impl Into<String>) -> NativeError {
        NativeError {
            message: message.into(),
            path: String::new(),
            transient: None,
        }
    }

    /// It may pass later, since something that the step needs is not there: the record goes to the retry tiers with the
    /// reason `native_unavailable`, as one does whose lookup cannot be asked. `retry_after` picks the first tier that is
    /// at least that long.
    pub fn unavailable(message: impl Into<String>, retry_after: Option<Duration>) -> NativeError {
        NativeError {
            transient: Some(retry_after),
            ..NativeError::record(message)
        }
    }

    /// The same, about the field at a path.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> NativeError {
        self.path = path.into();
        self
    }
}
