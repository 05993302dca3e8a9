//! One thing that is wrong with what the user wrote.

use super::model::Place;

/// A fault or a warning, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where the offending text begins. Line 0 means the file as a whole.
    pub place: Place,
    /// The offending text as written, on one line; secrets never stand here.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to do, or what was likely meant.
    pub hint: Option<Box<str>>,
    /// Where in a text of the configuration it stands: where that text begins, and how many of its characters come
    /// before. In a text over several lines only the [`Source`](super::source::Source) knows the place of each.
    pub within: Option<Box<(Place, usize)>>,
    /// The line it stands on, once a [`Source`](super::source::Source) has added it.
    pub snippet: Option<Box<Snippet>>,
}

/// A source line for a terminal, secrets already taken out, and what to underline in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The line.
    pub line: String,
    /// Where the underlining begins, in characters from 0.
    pub start: usize,
    /// How many characters are underlined.
    pub width: usize,
}

/// On one line, for where there is no room for its own.
impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place.line {
            0 => write!(f, "{}: {}", self.place.file, self.message)?,
            _ => write!(f, "{}: {}", self.place, self.message)?,
        }
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl Fault {
    /// A fault without a hint.
    pub fn new(place: &Place, text: impl Into<String>, message: impl Into<String>) -> Self {
        Fault {
            place: place.clone(),
            text: text.into(),
            message: message.into(),
            hint: None,
            within: None,
            snippet: None,
        }
    }

    /// A fault of the file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        let place = Place {
            file: file.to_owned(),
            line: 0,
            column: 0,
        };
        Fault::new(&place, "", message)
    }

    /// The same fault, known to stand behind so many characters of the text that begins at a place.
    #[must_use]
    pub fn within(mut self, text: &Place, offset: usize) -> Self {
        self.within = Some(Box::new((text.clone(), offset)));
        self
    }

    /// The same fault, with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }
}

/// Why a file or folder cannot be used, in words.
pub(crate) fn cannot(what: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "its permissions keep this user out".to_owned(),
        std::io::ErrorKind::IsADirectory => "this is a folder, not a file".to_owned(),
        std::io::ErrorKind::NotADirectory => "this is a file, not a folder".to_owned(),
        _ => format!("cannot {what} it: {error}"),
    }
}
