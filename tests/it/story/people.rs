//! A person's decision wins (G8): reverts, downgrades, versions chosen by hand.

use serde_json::json;

use crate::support::git::{fsck, git};
use crate::support::world::{World, overlay};

/// dev has been brought to 1.3.0 by the bot.
fn bumped() -> World {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.2.9", "1.3.0"]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    world
}

/// 1.3.0 is held, twice; 1.4.0 ends that.
fn held_until_newer(world: &World, stays: &str) {
    let tip = world.tip("main");
    for _ in 0..2 {
        let report = world.apply();
        assert_eq!(report["actions"], json!([]), "{report:#}");
        let hold = &report["holds"][0];
        assert_eq!((&hold["gate"], &hold["until"]), (&json!("hold"), &json!(null)), "{report:#}");
        assert_eq!(hold["update"]["to"]["tag"], "1.3.0");
        assert!(hold["reason"].as_str().unwrap().contains("reverted"), "{hold:#}");
    }
    assert_eq!(world.tip("main"), tip);
    assert_eq!(world.tag("web", "dev"), stays);
    let told = world.landfall(&["plan"]).ends(0);
    let told = told.says(&format!("⏸ held dev: web {stays} → 1.3.0: 1.3.0 was written by "));
    assert!(told.stdout.contains("it is held until a newer version appears"), "{told:?}");
    // Without the cache the answer is the same: Git is the database.
    std::fs::remove_dir_all(world.path("state")).unwrap();
    assert_eq!(world.apply()["holds"][0]["gate"], "hold");
    world.push("acme/web", "1.4.0");
    let report = world.apply();
    assert_eq!(report["actions"][0]["result"]["verified"], true, "{report:#}");
    assert_eq!(world.tag("web", "dev"), "1.4.0");
    assert_eq!(world.apply()["actions"], json!([]));
    fsck(&world.bare());
}

#[test]
fn a_revert_holds_the_version() {
    let world = bumped();
    world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
    held_until_newer(&world, "1.2.3");
}

#[test]
fn a_downgrade_by_hand_holds_the_version() {
    let world = bumped();
    world.edit(&overlay("web", "dev"), "1.3.0", "1.2.3");
    held_until_newer(&world, "1.2.3");
}

#[test]
fn a_version_chosen_by_hand_stays() {
    let world = bumped();
    world.edit(&overlay("web", "dev"), "1.3.0", "1.2.9");
    held_until_newer(&world, "1.2.9");
}

#[test]
fn a_version_taken_back_elsewhere_is_not_held_here() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).app("shop", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.push_all("acme/shop", &["1.2.3", "1.3.0"]);
    world.apply();
    world.edit(&overlay("web", "dev"), "1.3.0", "1.2.3");
    world.push("acme/shop", "1.4.0");
    let report = world.apply();
    assert_eq!((report["actions"].as_array().unwrap().len(), report["holds"].as_array().unwrap().len()), (1, 1));
    assert_eq!((world.tag("web", "dev"), world.tag("shop", "dev")), ("1.2.3".to_owned(), "1.4.0".to_owned()));
}

#[test]
fn what_is_newer_than_everything_is_left_where_it_is() {
    let world = bumped();
    world.edit(&overlay("web", "dev"), "1.3.0", "2.0.0-beta.1");
    let report = world.apply();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert_eq!(world.tag("web", "dev"), "2.0.0-beta.1");
    assert!(report["problems"].to_string().contains("not in the registry's list"), "{report:#}");
    assert!(!report["problems"].to_string().contains("any more"), "it may never have been there: {report:#}");
}

#[test]
fn a_merged_version_taken_back_is_held_in_prod() {
    let world = World::setup().app("web", "1.2.3", &["prod"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    world.landfall(&["pr", "merge", "1"]).ends(0);
    assert_eq!(world.tag("web", "prod"), "1.3.0");
    assert_eq!(world.apply()["upToDate"], 1);
    world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "-m", "1", "HEAD"])));
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"][0]["gate"]), (&json!([]), &json!("hold")), "{report:#}");
    assert_eq!(world.tag("web", "prod"), "1.2.3");
    world.push("acme/web", "1.3.1");
    let report = world.apply();
    assert_eq!(report["actions"][0]["result"]["pullRequest"], "local:deploys#2", "{report:#}");
}

#[test]
fn nobody_speaks_for_the_bot_in_a_commit_message() {
    // A stranger's commit says that 1.3.0 was made in dev already: it moved nothing, so it counts for nothing.
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let id = world.plan()["actions"][0]["updates"][0]["id"].as_str().unwrap().to_owned();
    let record = |key: &str| {
        format!(
            "docs: a word\n\n{key}: {id}\nLandfall-Image: {}\nLandfall-Overlay: apps/web/overlays/dev\n\
             Landfall-To: 1.3.0\nLandfall-Policy: dev\nLandfall-Environment: dev\n",
            world.text("REG/acme/web")
        )
    };
    let says = |message: &str, email: &str| {
        world.work("main", |folder| {
            let email = format!("user.email={email}");
            git(
                folder,
                &["-c", "user.name=Landfall", "-c", &email, "commit", "--allow-empty", "--quiet", "-m", message],
            );
        });
    };
    says(&record("Landfall-Update"), "stranger@example.com");
    let report = world.apply();
    assert_eq!(report["actions"][0]["result"]["verified"], true, "{report:#}");
    assert_eq!(world.tag("web", "dev"), "1.3.0");

    // Reverted, and a stranger's commit says that it is released: that is for whoever may push to the branch as the bot.
    world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
    says(&record("Landfall-Release"), "stranger@example.com");
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"][0]["gate"]), (&json!([]), &json!("hold")), "{report:#}");
    // Brought by a merge, the bot's own address does not help.
    world.work("main", |folder| {
        git(folder, &["checkout", "--quiet", "-b", "topic"]);
        let release = record("Landfall-Release");
        git(folder, &["-c", "user.email=landfall@example.com", "commit", "--allow-empty", "--quiet", "-m", &release]);
        git(folder, &["checkout", "--quiet", "main"]);
        git(folder, &["merge", "--quiet", "--no-ff", "-m", "merge", "topic"]);
    });
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"][0]["gate"]), (&json!([]), &json!("hold")), "{report:#}");
}
