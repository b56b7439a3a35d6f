//! `landfall version`: the version, and how this program was built.

use serde::Serialize;

use super::{CliError, Context, Exit};

/// How this program was built.
#[derive(Debug, Serialize)]
struct BuildFacts {
    version: &'static str,
    /// The commit it was built from, where the build says so (`LANDFALL_COMMIT`).
    commit: Option<&'static str>,
    os: &'static str,
    arch: &'static str,
    /// The C library, or what stands in its place.
    environment: &'static str,
    profile: &'static str,
    /// The oldest Rust that builds it.
    rust: &'static str,
}

/// Prints them.
pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let facts = BuildFacts {
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("LANDFALL_COMMIT"),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        environment: if cfg!(target_env = "musl") { "musl" } else { "gnu" },
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        rust: env!("CARGO_PKG_RUST_VERSION"),
    };
    context.output.data(&facts, |facts| {
        let commit = facts.commit.map_or(String::new(), |commit| format!(", commit {commit}"));
        format!(
            "landfall {} ({}-{}, {}, {}{commit}; Rust {} or newer)\n",
            facts.version, facts.os, facts.arch, facts.environment, facts.profile, facts.rust
        )
    })?;
    Ok(Exit::Done)
}
