//! What is shipped to install Landfall with: manifests, chart, unit, image, and the script for pipelines.

mod chart;
mod kubernetes;
mod manifest;
mod pipeline;
mod systemd;

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A program that `tests/install` builds, or one that is there anyway.
fn tool(name: &str) -> Option<PathBuf> {
    let own = root().join("tests/.cache/tools").join(name);
    #[expect(clippy::disallowed_methods, reason = "where programs are")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).map(|folder| folder.join(name));
    std::iter::once(own).chain(there).find(|program| program.is_file())
}
