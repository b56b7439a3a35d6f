//! `landfall status --watch`: it goes on, shows what has changed, and ends when it is told to.

use crate::support::process::Signal;
use crate::support::world::{World, overlay};

#[test]
fn what_changes_is_shown_below_until_it_is_stopped() {
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3", "1.2.0"]);
    let mut watching = world.start(&["status", "--watch", "--all", "-e", "dev"]);
    watching.until_said("1.2.3");
    world.edit(&overlay("web", "dev"), "1.2.3", "1.2.0");
    watching.until_said("1.2.0");
    let ran = watching.stop(Signal::TERM);
    // Not a terminal: nothing is cleared, and what was shown first is still there.
    assert!(ran.stdout.find("1.2.3") < ran.stdout.find("1.2.0"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'), "{:?}", ran.stdout);
    assert!(!ran.stdout.contains("prod"), "{}", ran.stdout);
    world.landfall(&["status", "--watch", "-o", "json"]).ends(2).says("--watch is for people");
}
