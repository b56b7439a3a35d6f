//! What the tests stand on: servers and repositories of their own.

pub(crate) mod disk;
pub(crate) mod forge_stub;
pub(crate) mod git;
pub(crate) mod github_prism;
mod github_shape;
pub(crate) mod lease_stub;
pub(crate) mod process;
pub(crate) mod server;
pub(crate) mod signer;
pub(crate) mod trip;
pub(crate) mod world;

/// Says that a test, or a part of one, is skipped because something is not there; where nothing may be missing
/// (`LANDFALL_TIER2=required`, as in CI), that is a failure.
#[track_caller]
pub(crate) fn skip(missing: &str) {
    #[allow(clippy::disallowed_methods, reason = "the switch of the test run")]
    let required = std::env::var("LANDFALL_TIER2").is_ok_and(|value| value == "required");
    assert!(!required, "LANDFALL_TIER2=required, but {missing}");
    without(missing);
}

/// Says that a test is skipped because something is not there that nobody has to have.
pub(crate) fn without(missing: &str) {
    eprintln!("SKIPPED: {missing}");
}
