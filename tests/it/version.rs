//! `landfall version`: what was built, for people and for programs.

use crate::support::process::{run, tree};

#[test]
fn the_version_says_how_the_program_was_built() {
    // It needs no configuration.
    let folder = tree(&[]);
    let facts = run(folder.path(), &["version", "-o", "json"]).ends(0).json();
    assert_eq!(facts["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&facts["os"], &facts["arch"]), (&std::env::consts::OS.into(), &std::env::consts::ARCH.into()));
    assert_eq!(facts["rust"], env!("CARGO_PKG_RUST_VERSION"));
    let told = run(folder.path(), &["version"]).ends(0).stdout;
    assert!(told.starts_with(&format!("landfall {} (", env!("CARGO_PKG_VERSION"))) && told.ends_with('\n'), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}
