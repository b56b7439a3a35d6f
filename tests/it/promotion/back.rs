//! The way back, with a cluster that says what runs: to what landed, by hand and by itself.

use std::path::Path;

use jiff::SignedDuration;
use landfall::model::State;

use super::scene::{Cache, Scene, hold};
use crate::support::git::git;

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

/// What a stranger does to a branch that is checked out.
type Attack<'a> = (&'a str, &'a dyn Fn(&Path));

/// A stranger amends the tip of a branch under the bot's own name, or puts it back.
fn on_branch(scene: &Scene, branch: &str, change: &dyn Fn(&Path)) {
    let (clone, bare) = (tempfile::tempdir().unwrap(), scene.world.folder.join("git/deploys.git"));
    let folder = clone.path();
    git(folder, &["clone", "--quiet", "--branch", branch, bare.to_str().unwrap(), "."]);
    for (key, format) in [("user.name", "%cn"), ("user.email", "%ce")] {
        let own = git(folder, &["log", "-1", &format!("--format={format}")]);
        git(folder, &["config", key, &own]);
    }
    change(folder);
    git(folder, &["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
}

#[test]
fn the_bots_own_rollback_merges_nothing_of_a_stranger() {
    let asked = "rollback: { after: 30m, write: pull-request }\n    pullRequest: { automerge: true }";
    let mut scene = broken(&POLICIES.replace("rollback: { after: 30m }", asked));
    scene.pass(SignedDuration::from_mins(31));
    drop(scene.cycle());
    let branch = scene.open("web").expect("the way back is open").head.to_string();
    assert!(branch.contains("rollback"), "{branch}");
    let tip = git(&scene.world.folder.join("git/deploys.git"), &["rev-parse", &branch]);
    let attacks: [Attack<'_>; 3] = [
        ("a file of their own", &|folder| {
            std::fs::write(folder.join("evil.yaml"), "evil: true\n").unwrap();
            git(folder, &["add", "-A"]);
            git(folder, &["commit", "--quiet", "--amend", "--no-edit"]);
        }),
        ("another version that the message names", &|folder| {
            let file = folder.join("apps/web/overlays/dev/kustomization.yaml");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, text.replace("1.3.0", "1.2.3")).unwrap();
            let message = git(folder, &["log", "-1", "--format=%B"]).replace("1.3.0", "1.2.3");
            git(folder, &["commit", "--quiet", "--all", "--amend", "-m", &message]);
        }),
        ("a commit below the bot's", &|folder| {
            let own = git(folder, &["rev-parse", "HEAD"]);
            git(folder, &["reset", "--quiet", "--hard", "HEAD~1"]);
            std::fs::write(folder.join("evil.yaml"), "evil: true\n").unwrap();
            git(folder, &["add", "-A"]);
            git(folder, &["commit", "--quiet", "-m", "a file"]);
            git(folder, &["cherry-pick", &own]);
        }),
    ];
    for (what, attack) in attacks {
        on_branch(&scene, &branch, attack);
        for _ in 0..2 {
            scene.pass(SignedDuration::from_mins(10));
            let report = scene.cycle();
            assert_eq!(scene.declared("web", "dev"), "1.4.0", "{what}: {report:#?}");
        }
        on_branch(&scene, &branch, &|folder| drop(git(folder, &["reset", "--quiet", "--hard", &tip])));
    }
    for _ in 0..2 {
        scene.pass(SignedDuration::from_mins(10));
        drop(scene.cycle());
    }
    assert_eq!(scene.declared("web", "dev"), "1.3.0", "what the bot wrote itself is merged");
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
