//! Typed diagnostics: what went wrong, where, what was expected and found, and a way out.
//!
//! Every layer returns [`Result`]; nothing but the CLI prints. A [`Diag`] says in one paragraph what a user
//! needs to go on: a lower-case phrase, the place (file, layer, tensor, byte offset or line), the expected
//! and found values with units, and help.

use std::fmt;

/// The result type of every fallible function in fratc.
pub type Result<T> = std::result::Result<T, Box<Diag>>;

/// What a failed run means to the caller, and so its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The run worked and the answer is no (does not fit, mismatch, under the gate): exit code 1.
    No,
    /// Usage, input or environment failure: exit code 2.
    Failure,
}

/// One diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diag {
    /// Stable code, `layer/kebab-name`, for example `load/unsupported-op`.
    pub code: &'static str,
    /// Lower-case phrase: what is wrong.
    pub what: String,
    /// File, layer, tensor, byte offset or line.
    pub place: Option<String>,
    /// What would have been right, with units.
    pub expected: Option<String>,
    /// What was there, with units.
    pub found: Option<String>,
    /// The next step for the user.
    pub help: Option<String>,
    /// Exit class.
    pub answer: Answer,
}

impl Diag {
    /// An input, usage or environment failure (exit code 2).
    pub fn new(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), place: None, expected: None, found: None, help: None, answer: Answer::Failure }
    }

    /// A run that worked and whose answer is no (exit code 1).
    pub fn no(code: &'static str, what: impl Into<String>) -> Self {
        Self { answer: Answer::No, ..Self::new(code, what) }
    }

    /// Adds where it happened.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.place = Some(place.to_string());
        self
    }

    /// Adds what was expected and what was found.
    #[must_use]
    pub fn expected(mut self, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        self.expected = Some(expected.to_string());
        self.found = Some(found.to_string());
        self
    }

    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, help: impl fmt::Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// `Err(self)`, boxed.
    pub fn err<T>(self) -> Result<T> {
        Err(Box::new(self))
    }
}

impl fmt::Display for Diag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if let Some(place) = &self.place {
            write!(f, " in {place}")?;
        }
        if let (Some(expected), Some(found)) = (&self.expected, &self.found) {
            write!(f, ": expected {expected}, found {found}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        write!(f, " [{}]", self.code)
    }
}

impl std::error::Error for Diag {}
