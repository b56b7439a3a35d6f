//! The way back, with a cluster that says what runs: to what landed, by hand and by itself.

use jiff::SignedDuration;
use landfall::model::State;

use super::scene::{Cache, Scene, hold};

const POLICIES: &str = r#"policies:
  - name: everywhere
    paths: ["apps/{app}/overlays/{env}/**"]
    environment: "{env}"
    write: never
    tags: { semver: ">=0.9.0" }
  - name: dev
    paths: ["apps/*/overlays/dev/**"]
    write: commit
    rollback: { after: 30m }
"#;

/// web in dev has come to 1.3.0 and runs; then comes 1.4.0, and nobody can pull it.
fn broken(policies: &str) -> Scene {
    let mut scene = Scene::start(policies);
    scene.push("web", "1.3.0");
    drop(scene.cycle());
    scene.cluster_goes_on();
    scene.until("web", "dev", "1.3.0", State::Landed);
    scene.push("web", "1.4.0");
    drop(scene.cycle());
    assert_eq!(scene.declared("web", "dev"), "1.4.0");
    scene.world.delete("web", "1.4.0").unwrap();
    scene.cluster_goes_on();
    scene.until("web", "dev", "1.4.0", State::Stuck);
    scene
}

#[test]
fn what_cannot_run_goes_back_by_itself_once() {
    let mut scene = broken(POLICIES);
    drop(scene.cycle());
    assert_eq!(scene.declared("web", "dev"), "1.4.0", "not at once");
    scene.pass(SignedDuration::from_mins(31));
    let report = scene.cycle();
    assert_eq!(scene.declared("web", "dev"), "1.3.0", "{report:#?}");
    let message = scene.message();
    for words in [
        "dev: roll web back to 1.3.0",
        "Rolled back by the bot itself: stuck in eu-1 since 2026-01-05",
        "image-not-found",
        "1.3.0 ran there from 2026-01-05",
        "Landfall-Rollback: ",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    scene.cluster_goes_on();
    scene.until("web", "dev", "1.3.0", State::Landed);
    // Whoever pushes it again: it has been rolled back, and a lost cache changes nothing.
    scene.push("web", "1.4.0");
    let report = scene.cycle();
    assert!(hold(&report, "web", "dev").reason.starts_with("1.4.0 was rolled back by the bot in "), "{report:#?}");
    scene.restart(Cache::Lost);
    assert_eq!(hold(&scene.cycle(), "web", "dev").gate, landfall::plan::Gate::Hold);
    scene.push("web", "1.4.1");
    drop(scene.cycle());
    assert_eq!(scene.declared("web", "dev"), "1.4.1");
}

#[test]
fn a_rollback_by_hand_goes_to_what_landed() {
    let mut scene = broken(&POLICIES.replace("    rollback: { after: 30m }\n", ""));
    // Never landed, and so nothing to go back to.
    scene.push("web", "1.4.1");
    drop(scene.cycle());
    assert_eq!(scene.declared("web", "dev"), "1.4.1");
    let done = scene.roll_back("web", "dev");
    assert!(done.len() == 1 && done[0].is_done(), "{done:#?}");
    assert_eq!(scene.declared("web", "dev"), "1.3.0", "1.4.0 was never seen running");
    let message = scene.message();
    assert!(
        message.contains("Rolled back by Ada: it leaks") && message.contains("it landed there on 2026-01-05"),
        "{message}"
    );
    assert!(hold(&scene.cycle(), "web", "dev").reason.starts_with("1.4.1 was rolled back by Ada in "));
}
