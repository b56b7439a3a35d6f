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

/// The repository that is meant among the configuration's: the named one, or the only one.
pub(super) fn chosen<'k>(
    name: Option<&str>,
    known: impl Iterator<Item = &'k str> + Clone,
) -> Result<&'k str, CliError> {
    let mut all = known.clone();
    match (name, all.next(), all.next()) {
        (Some(name), ..) => known.clone().find(|it| *it == name).ok_or_else(|| unknown("repository", name, known)),
        (None, Some(only), None) => Ok(only),
        (None, ..) => Err(CliError::new("the configuration has several repositories")
            .hint(format!("choose one with --repository: {}", known.collect::<Vec<_>>().join(", ")))),
    }
}
