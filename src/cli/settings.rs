//! Finds and loads the configuration for a command.

use std::path::{Path, PathBuf};

use crate::config::{self, ConfigError, Environment, Loaded, load::DEFAULT_PATHS};

use super::{CliError, Context};

/// The command's configuration: `--config`, otherwise the first default that exists.
pub(super) fn path(context: &Context) -> Result<PathBuf, CliError> {
    context.config.clone().or_else(|| config::default_path(Path::new(""))).ok_or_else(|| {
        CliError::new(format!("there is no configuration: neither {} exists", DEFAULT_PATHS.join(" nor ")))
            .hint("in a checkout, `landfall init` writes one; otherwise give one with --config FILE")
    })
}

/// Loads it; warnings go to standard error.
pub(super) fn load(context: &Context) -> Result<Loaded, CliError> {
    let path = path(context)?;
    let loaded = config::load(&path).map_err(|error| failed(&error, context))?;
    for warning in &loaded.diagnostics {
        context.output.message(&warning.render(Some(&loaded.text), context.output.color()));
    }
    Ok(loaded)
}

/// Turns an unusable file into an error of the command; the problems and their places are printed first.
pub(super) fn failed(error: &ConfigError, context: &Context) -> CliError {
    if !error.diagnostics().is_empty() {
        context.output.message(&error.render(context.output.color()));
    }
    match std::error::Error::source(error) {
        Some(source) => CliError::caused(error.to_string(), source),
        None => CliError::new(error.to_string()),
    }
}

/// The environment variables that may hold secrets.
pub(super) fn environment() -> Environment {
    Environment::process()
}
