//! What is said where a name on the command line is not known.

use super::CliError;
use crate::model::instead;

/// There is no such thing; the hint names the one that was probably meant, or what there is.
pub(super) fn unknown<'k>(what: &str, name: &str, known: impl IntoIterator<Item = &'k str>) -> CliError {
    let error = CliError::new(format!("there is no {what} `{name}`"));
    match instead(name, known) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
