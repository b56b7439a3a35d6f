//! A repository that moves on a real Gitea while the bot works with its old name.

use reqwest::Method;
use serde_json::{Value, json};

use super::{By, Scene};

/// What is asked under the new name.
fn pulls(scene: &Scene, owner: &str, name: &str) -> Vec<Value> {
    let all = scene.gitea.get(&format!("repos/{owner}/{name}/pulls?state=all&sort=oldest"));
    all.as_array().unwrap().clone()
}

fn goes_on(scene: &Scene, owner: &str, name: &str) {
    scene.push("1.4.0");
    let ran = scene.landfall(&["apply", "-o", "json", "--log-level", "warn"]).ends(0);
    assert!(ran.stderr.contains("renamed") && ran.stderr.contains(&format!("{owner}/{name}")), "{}", ran.text());
    let there = pulls(scene, owner, name);
    assert_eq!((there.len(), &there[0]["title"]), (1, &json!("prod: bump web to 1.4.0")), "{}", ran.text());
    assert_eq!(there[0]["state"], "open");
    scene.landfall(&["doctor"]).ends(0);
    // Under its new name it is the same.
    let (old, new) = (format!("repository: {}/deploys", scene.owner), format!("repository: {owner}/{name}"));
    let text = std::fs::read_to_string(scene.path("landfall.yaml")).unwrap();
    let text =
        text.replace(&format!("/{}/deploys.git", scene.owner), &format!("/{owner}/{name}.git")).replace(&old, &new);
    std::fs::write(scene.path("landfall.yaml"), text).unwrap();
    let ran = scene.landfall(&["apply", "-o", "json", "--log-level", "warn"]).ends(0);
    assert!(!ran.stderr.contains("renamed"), "{}", ran.text());
    assert_eq!((ran.report()["actions"].clone(), pulls(scene, owner, name).len()), (json!([]), 1));
}

fn open() -> Scene {
    let scene = Scene::prod("");
    scene.push("1.3.0");
    scene.does("pull-request");
    scene
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_repository_that_is_renamed_is_followed() {
    let scene = open();
    scene.patch("", &json!({ "name": "gitops" }));
    goes_on(&scene, &scene.owner, "gitops");
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_repository_that_is_transferred_is_followed() {
    let scene = open();
    let owner = format!("umbrella-of-{}", scene.owner);
    scene.gitea.post("orgs", &json!({ "username": owner, "visibility": "public" }));
    scene.post("transfer", &json!({ "new_owner": owner }));
    let right = json!({ "permission": "write" });
    scene.gitea.does(By::Admin, Method::PUT, &format!("repos/{owner}/deploys/collaborators/{}", scene.bot), &right);
    goes_on(&scene, &owner, "deploys");
}

/// Gitea's API knows an owner by its former name, its Git does not.
#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn an_owner_that_is_renamed_is_followed_once_the_address_is_changed() {
    let scene = open();
    let owner = format!("new-{}", scene.owner);
    scene.gitea.post(&format!("orgs/{}/rename", scene.owner), &json!({ "new_name": owner }));
    scene.landfall(&["apply"]).ends(4).says("is not found, or these credentials may not see it");
    scene.reconfigure(&format!("/{}/deploys.git", scene.owner), &format!("/{owner}/deploys.git"));
    goes_on(&scene, &owner, "deploys");
}

/// Another repository takes the old name: that one is not the bot's, and nothing is written there.
#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn another_repository_under_the_old_name_gets_nothing() {
    let scene = open();
    scene.patch("", &json!({ "name": "gitops" }));
    scene.gitea.post(
        &format!("orgs/{}/repos", scene.owner),
        &json!({ "name": "deploys", "private": true, "auto_init": true }),
    );
    scene.push("1.4.0");
    let ran = scene.landfall(&["apply"]);
    let text = ran.text();
    assert!(
        text.contains("not found or no permission") || text.contains("refused") || text.contains("cannot be read"),
        "{text}"
    );
    assert_eq!(pulls(&scene, &scene.owner, "deploys").len(), 0, "{text}");
    assert_eq!(scene.heads(), ["main"], "{text}");
}
