//! Expressions over an event, in CEL: parsed by the `cel` crate, type-checked here against Avro types, evaluated on the
//! event's bytes without making a tree of values. Input: text and a [`Scope`]. Output: a [`Val`]. Pure: no clock, no I/O,
//! and no word of steps, rules or topics.

pub mod cx;
pub mod functions;
pub mod scope;
pub mod value;

pub use cx::Cx;
pub use scope::{Place, Scope};
pub use value::Val;
