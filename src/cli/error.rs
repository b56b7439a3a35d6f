//! Errors as shown at a terminal: what, where, why, and the next step; and the exit code.

use std::fmt;

/// What kind of failure ends a command, which determines the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// Usage, configuration or I/O: exit code 2.
    Failure,
    /// Refused by a registry, forge, Git remote or cluster: exit code 4.
    Authentication,
}

/// An error that ends a command.
#[derive(Debug)]
pub struct CliError {
    kind: ErrorKind,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl CliError {
    /// A failure of usage, configuration or I/O.
    pub fn new(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Failure, message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// A failure with the error that caused it and that error's own causes.
    pub fn caused(message: impl Into<String>, cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut error = Self::new(message);
        let mut next = Some(cause);
        while let Some(cause) = next {
            let text = cause.to_string();
            if error.causes.last() != Some(&text) {
                error.causes.push(text);
            }
            next = cause.source();
        }
        error
    }

    /// The same error, marked as a refusal of access.
    #[must_use]
    pub fn authentication(mut self) -> Self {
        self.kind = ErrorKind::Authentication;
        self
    }

    /// Adds a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The error and its causes on one line, for tables and diagnostics.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).cloned().collect::<Vec<_>>().join(": ")
    }

    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Failure => 2,
            ErrorKind::Authentication => 4,
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for cause in &self.causes {
            write!(f, "\n  caused by: {cause}")?;
        }
        for hint in &self.hints {
            write!(f, "\n  next: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}
