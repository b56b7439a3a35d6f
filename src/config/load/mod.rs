//! Configuration and policy files, read from this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::build::parse_settings;
use super::diagnostic::{Diagnostic, render_all};
use super::settings::Settings;
use crate::document::secret::{Environment, read_limited};

/// Default locations of the configuration, in order.
pub const DEFAULT_PATHS: [&str; 2] = ["landfall.yaml", "config/landfall.yaml"];
/// Maximum size of a configuration or policy file; the parser has a lower limit with a better message.
const MAX_FILE: u64 = 4 << 20;
/// Maximum number of policy files in one folder.
const MAX_POLICY_FILES: usize = 1_000;

/// A usable configuration.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// The file's text, for displaying lines.
    pub text: String,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read at all.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its content is invalid.
    #[error("{} has {}", path.display(), count(diagnostics))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its text, for displaying lines.
        text: String,
        /// The errors and warnings.
        diagnostics: Vec<Diagnostic>,
    },
}

fn count(diagnostics: &[Diagnostic]) -> String {
    match diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    }
}

impl ConfigError {
    /// The errors and warnings with their places; empty if the file cannot be read.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid { diagnostics, .. } => diagnostics,
        }
    }

    /// The diagnostics, with the lines they are about.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        match self {
            Self::Unreadable { source, .. } => format!("{self}: {source}"),
            Self::Invalid { text, diagnostics, .. } => render_all(diagnostics, Some(text), color),
        }
    }
}

/// Loads a configuration. Relative paths in it start at its folder.
///
/// # Errors
/// If the file cannot be read, or anything in it is wrong.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let text = read_text(path)?;
    // Made absolute, so that changing the working directory later makes no difference.
    let absolute =
        std::path::absolute(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let (settings, diagnostics) = parse_settings(&path.to_string_lossy(), &text, folder);
    match settings {
        Some(settings) => Ok(Loaded { settings, diagnostics, text }),
        None => Err(ConfigError::Invalid { path: path.to_owned(), text, diagnostics }),
    }
}

/// The default configuration file: `landfall.yaml`, otherwise `config/landfall.yaml`, below `folder`.
#[must_use]
pub fn default_path(folder: &Path) -> Option<PathBuf> {
    DEFAULT_PATHS.iter().map(|path| folder.join(path)).find(|path| path.is_file())
}

/// The default folder for the cache: `$XDG_STATE_HOME/landfall`, otherwise `~/.local/state/landfall`.
///
/// `None` if the environment has neither variable; relative values are ignored, as the XDG specification requires.
#[must_use]
pub fn default_state_dir(environment: &Environment) -> Option<PathBuf> {
    let folder = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("landfall"))
}

/// The policy files at a path, as (name, text) in layering order: the file itself, or a folder's `*.yaml` and `*.yml`
/// files in order of name. Hidden files are ignored, because Kubernetes keeps its own links there.
///
/// # Errors
/// If the path or one of the files cannot be read, or there are too many.
pub fn policy_files(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![(path.to_string_lossy().into_owned(), read_text(path)?)]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if is_policy_file_name(&name) && file.is_file() {
            files.push(file);
        }
    }
    if files.len() > MAX_POLICY_FILES {
        let source = io::Error::other(format!("more than {MAX_POLICY_FILES} policy files"));
        return Err(unreadable(source));
    }
    files.sort();
    files.into_iter().map(|file| Ok((file.to_string_lossy().into_owned(), read_text(&file)?))).collect()
}

/// Whether a file in a policy folder is a policy file, by its name: `*.yaml` or `*.yml`, not hidden.
#[must_use]
pub fn is_policy_file_name(name: &str) -> bool {
    let yaml = Path::new(name).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    yaml && !name.starts_with('.')
}

/// Reads a file as text.
///
/// # Errors
/// If it cannot be read, is too large or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let bytes = read_limited(path, MAX_FILE)
        .map_err(unreadable)?
        .ok_or_else(|| unreadable(io::Error::other("the file is larger than 4 MiB")))?;
    String::from_utf8(bytes).map_err(|_| unreadable(io::Error::other("the file is not UTF-8 text")))
}

#[cfg(test)]
mod tests;
