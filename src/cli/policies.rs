//! Policies as files on this machine: those of a checkout, or those that the command line names.

use std::path::{Path, PathBuf};

use crate::config::{self, RepositorySettings, load};
use crate::model::KeyPaths;
use crate::policy::PolicySet;

use super::{CliError, Context};

/// The folder of a checkout in which policies are expected unless a configuration says otherwise.
pub(super) const POLICY_FOLDER: &str = ".landfall";

/// The nearest checkout with policies around a folder, and the folder's place in it (empty for its root).
pub(super) fn checkout_around(folder: &Path) -> Result<Option<(PathBuf, String)>, CliError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let here = folder.canonicalize();
    let here = here.map_err(|error| CliError::caused(format!("cannot read {}", folder.display()), &error))?;
    let root = here.ancestors().find(|folder| folder.join(POLICY_FOLDER).is_dir());
    Ok(root.map(|root| {
        let below = here.strip_prefix(root).unwrap_or(Path::new("")).to_string_lossy().into_owned();
        (root.to_owned(), below)
    }))
}

/// The checkout that contains these policies; if they are elsewhere, this folder.
pub(super) fn checkout_of(policies: &Path) -> PathBuf {
    let folder = policies.ancestors().take(2).find(|folder| folder.ends_with(POLICY_FOLDER)).and_then(Path::parent);
    folder.filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Reads a policy file or a folder of them, under the caps of a repository. What is wrong with them is told.
pub(super) fn read(
    place: &Path,
    repository: Option<&RepositorySettings>,
    context: &Context,
) -> Result<PolicySet, CliError> {
    let files = load::policy_files(place).map_err(|error| failed(&error, context))?;
    let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let (policies, diagnostics) = config::parse_policy_files(texts.clone());
    if !diagnostics.is_empty() {
        for diagnostic in &diagnostics {
            let source = texts.clone().find(|(name, _)| *name == diagnostic.file).map(|(_, text)| text);
            context.output.message(&format!("{}\n", diagnostic.render(source, context.output.color())));
        }
        return Err(CliError::new("the policies have errors").hint("correct them; `landfall check` shows them again"));
    }
    let caps = repository.map(|repository| repository.caps.clone()).unwrap_or_default();
    let by = repository.map(|repository| repository.policies.declared_by()).unwrap_or_default();
    Ok(PolicySet::new(policies).with_caps(caps).declared_by(by))
}

/// What the policies of the checkout around a PATH declare of the files below it; nothing where there are none. Policies that
/// cannot be used are told, and declare nothing.
pub(super) fn declared_around(path: &Path, context: &Context) -> KeyPaths {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let Ok(Some((root, below))) = checkout_around(folder) else { return KeyPaths::default() };
    let place = root.join(POLICY_FOLDER);
    let unusable = |reason: String| {
        context.output.message(&format!(
            "the policies in {} declare nothing here (`keyPaths`): {reason}; `landfall check` says more",
            place.display()
        ));
        KeyPaths::default()
    };
    let files = match load::policy_files(&place) {
        Ok(files) => files,
        Err(error) => return unusable(error.to_string()),
    };
    let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let (policies, diagnostics) = config::parse_policy_files(texts);
    match diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
        Some(error) => unusable(format!("{}:{}: {}", error.file, error.line, error.message)),
        None => PolicySet::new(policies).key_paths().below(&below),
    }
}

/// The error for files that cannot be used; what is wrong in them is told.
pub(super) fn failed(error: &config::ConfigError, context: &Context) -> CliError {
    if !error.diagnostics().is_empty() {
        context.output.message(&error.render(context.output.color()));
    }
    match std::error::Error::source(error) {
        Some(source) => CliError::caused(error.to_string(), source),
        None => CliError::new(error.to_string()),
    }
}
