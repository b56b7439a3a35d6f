//! A fault at a place of a file, before the file's name is known; and the collection of them.

use crate::policy::{SourceLocation, Sourced};

use super::at::At;
use super::diagnostic::{Diagnostic, Severity};

/// A place in a text; line and column count from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// The number of characters it covers, at least 1.
    pub(crate) width: usize,
}

impl Mark {
    /// The start of a file, for faults that concern all of it.
    pub(crate) const START: Self = Self { line: 1, column: 1, width: 1 };

    /// The place of byte `offset` within `text`, the value that a YAML reader got from this place. It is known only if
    /// the text is written there verbatim, with or without quotes, on one line; otherwise it is the whole place.
    pub(crate) fn inside(self, text: &str, offset: Option<usize>) -> Self {
        let length = text.chars().count();
        let quote = match self.width.checked_sub(length) {
            Some(0) => 0,
            Some(2) => 1,
            _ => return self,
        };
        match offset.and_then(|offset| text.get(..offset)) {
            Some(before) if !text.contains('\n') && before.len() < text.len() => {
                Self { column: self.column + quote + before.chars().count(), width: 1, ..self }
            }
            _ => self,
        }
    }
}

/// What is wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) mark: Mark,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Whether the line must not be shown.
    pub(crate) secret: bool,
    /// Whether everything around it could still be read.
    pub(crate) harmless: bool,
}

impl Fault {
    pub(crate) fn new(mark: Mark, message: impl Into<String>) -> Self {
        Self { mark, message: message.into(), hint: None, secret: false, harmless: false }
    }

    /// Keeps the line from being shown.
    #[must_use]
    pub(crate) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Collects all faults of one file, so that they are reported in one run.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    file: &'a str,
    diagnostics: Vec<Diagnostic>,
    /// Whether parts of the file could not be read, so that something seemingly absent may only be invalid.
    incomplete: bool,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(file: &'a str) -> Self {
        Self { file, diagnostics: Vec::new(), incomplete: false }
    }

    /// Adds any error.
    pub(crate) fn fault(&mut self, fault: Fault) {
        self.push(Severity::Error, fault);
    }

    /// Adds the faults found while decoding the file's shape.
    pub(crate) fn shape(&mut self, faults: Vec<Fault>) {
        self.incomplete |= faults.iter().any(|fault| !fault.harmless);
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    /// Adds an error about something absent. It is dropped if parts of the file could not be read, where it would often
    /// only repeat another error.
    pub(crate) fn absent(&mut self, mark: Mark, message: impl Into<String>) {
        if !self.incomplete {
            self.error(mark, message);
        }
    }

    pub(crate) fn error(&mut self, mark: Mark, message: impl Into<String>) {
        self.fault(Fault::new(mark, message));
    }

    pub(crate) fn error_with_hint(&mut self, mark: Mark, message: impl Into<String>, hint: impl Into<String>) {
        self.fault(Fault::new(mark, message).hint(hint));
    }

    /// Adds what will work, but not as somebody may expect.
    pub(crate) fn warning(&mut self, mark: Mark, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Warning, Fault::new(mark, message).hint(hint));
    }

    fn push(&mut self, severity: Severity, fault: Fault) {
        self.diagnostics.push(Diagnostic {
            severity,
            file: self.file.to_owned(),
            line: fault.mark.line,
            column: fault.mark.column,
            width: fault.mark.width,
            message: fault.message,
            hint: fault.hint,
            secret: fault.secret,
        });
    }

    pub(crate) fn origin(&self, mark: Mark) -> SourceLocation {
        SourceLocation { file: self.file.to_owned(), line: mark.line, column: mark.column }
    }

    /// A value with its origin, if `read` accepts it; errors of `read` are collected.
    pub(crate) fn read<T, U, E: std::fmt::Display>(
        &mut self,
        at: &At<T>,
        read: impl FnOnce(&T) -> Result<U, E>,
    ) -> Option<Sourced<U>> {
        match read(&at.value) {
            Ok(value) => Some(Sourced { value, origin: self.origin(at.mark) }),
            Err(error) => {
                self.error(at.mark, error.to_string());
                None
            }
        }
    }

    /// The same for an optional value.
    pub(crate) fn read_opt<T, U, E: std::fmt::Display>(
        &mut self,
        at: Option<&At<T>>,
        read: impl FnOnce(&T) -> Result<U, E>,
    ) -> Option<Sourced<U>> {
        at.and_then(|at| self.read(at, read))
    }

    /// A value that needs no check.
    pub(crate) fn keep<T: Clone>(&self, at: Option<&At<T>>) -> Option<Sourced<T>> {
        at.map(|at| Sourced { value: at.value.clone(), origin: self.origin(at.mark) })
    }

    /// The collected diagnostics, in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|d| (d.line, d.column));
        self.diagnostics.dedup();
        self.diagnostics
    }
}
