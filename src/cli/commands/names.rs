//! Errors for unknown names on the command line.

use super::CliError;
use crate::model::instead;

/// The error for an unknown name; the hint suggests what was probably meant, or lists what exists.
pub(super) fn unknown<'k>(what: &str, name: &str, known: impl IntoIterator<Item = &'k str>) -> CliError {
    let error = CliError::new(format!("there is no {what} `{name}`"));
    match instead(name, known) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
