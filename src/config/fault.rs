//! One thing that is wrong with what the user wrote.

use super::model::Place;

/// A fault or a warning, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where the offending text begins.
    pub place: Place,
    /// The offending text as written, on one line; secrets never stand here.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to do, or what was likely meant.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault without a hint.
    pub fn new(place: &Place, text: impl Into<String>, message: impl Into<String>) -> Self {
        Fault {
            place: place.clone(),
            text: text.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// The same fault, with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
