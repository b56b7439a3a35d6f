//! `deploy/systemd`.

use super::{root, text, tool};
use crate::support::git::command;
use crate::support::process::Ran;
use crate::support::skip;

const UNIT: &str = "deploy/systemd/landfall.service";

/// The most that `systemd-analyze security` may find exposed, in tenths: its own bound for "OK" is 50.
const EXPOSURE: &str = "--threshold=20";

#[test]
fn the_unit_is_valid_and_shut_in() {
    let Some(analyze) = tool("systemd-analyze") else { return skip("systemd-analyze is not installed") };
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("landfall.service");
    // It looks whether the program is there.
    std::fs::write(&unit, text(UNIT).replace("/usr/local/bin/landfall", env!("CARGO_BIN_EXE_landfall"))).unwrap();
    let run = |arguments: &[&str]| {
        let mut program = command(analyze.to_str().unwrap());
        program.current_dir(root()).args(arguments).arg(&unit);
        Ran::of(program, "").ends(0)
    };
    let verified = run(&["verify", "--man=no"]);
    assert!(!verified.stderr.contains("landfall"), "{}", verified.text());
    run(&["security", "--offline=true", "--no-pager", EXPOSURE]);
}
