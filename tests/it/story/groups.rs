//! What shares a commit, and what shares a pull request.

use serde_json::json;

use crate::support::git::fsck;
use crate::support::world::{DEV_PROD, Setup, World};

fn apps(count: usize, policies: &str) -> World {
    let names: Vec<String> = (0..count).map(|n| format!("app{n:02}")).collect();
    let setup = |setup: Setup| names.iter().fold(setup, |setup, app| setup.app(app, "1.0.0", &["dev", "prod"]));
    let world = setup(World::setup().policies(policies)).start();
    for app in &names {
        world.push_all(&format!("acme/{app}"), &["1.0.0", "1.1.0"]);
    }
    world
}

#[test]
fn twenty_apps_are_one_commit_and_twenty_pull_requests() {
    let world = apps(20, DEV_PROD);
    let report = world.apply();
    assert_eq!(report["actions"].as_array().unwrap().len(), 21);
    assert_eq!(world.log("main"), ["Landfall: dev: bump app00 and 19 more to 1.1.0", "Ada: Initial commit"]);
    assert_eq!(world.numstat("main").len(), 20);
    assert!(world.numstat("main").iter().all(|line| line.starts_with("1 1 apps/")), "{:?}", world.numstat("main"));
    assert_eq!(world.heads().len(), 20);
    fsck(&world.bare());
    // What is the same for all stands once, and Git and the ledger read it.
    let trailers = world.trailers("main");
    let count = |key: &str| trailers.iter().filter(|(it, _)| it == key).count();
    assert_eq!(
        ["Update", "Overlay", "Policy", "Environment"].map(|key| count(&format!("Landfall-{key}"))),
        [20, 20, 1, 1]
    );
    world.edit("apps/app03/overlays/dev/kustomization.yaml", "1.1.0", "1.0.0");
    let report = world.apply();
    let held: Vec<_> = report["holds"].as_array().unwrap().iter().filter(|hold| hold["gate"] == "hold").collect();
    assert_eq!((held.len(), &held[0]["update"]["app"]), (1, &json!("app03")), "{report:#}");
}

#[test]
fn a_change_of_one_image_in_many_overlays_is_one_line() {
    let overlays = (0..30).fold(World::setup(), |setup, n| {
        let path = format!("apps/app{n:02}/overlays/dev/kustomization.yaml");
        setup.file(&path, "images:\n  - { name: web, newName: REG/acme/web, newTag: 1.0.0 }\n")
    });
    let world = overlays.start();
    world.push_all("acme/web", &["1.0.0", "1.1.0"]);
    world.apply();
    let message = world.git(&["log", "-1", "--format=%B", "main"]);
    let body: Vec<&str> = message.split("\n\n").collect();
    assert_eq!(body[1], format!("- 30 overlays: {}/acme/web 1.0.0 → 1.1.0", world.host), "{message}");
    assert_eq!(world.landfall(&["apply", "-o", "json"]).ends(0).report()["actions"], json!([]));
}

#[test]
fn a_group_per_app_is_a_commit_per_app_in_one_push() {
    let policies = DEV_PROD.replace("    write: commit\n", "    write: commit\n    group: \"{app}\"\n");
    let world = apps(5, &policies);
    let report = world.apply();
    let commits: Vec<_> =
        report["actions"].as_array().unwrap().iter().filter(|action| action["kind"] == "commit").collect();
    assert_eq!(commits.len(), 5);
    for commit in &commits {
        let id = commit["result"]["commit"].as_str().unwrap();
        assert_eq!(world.numstat(id).len(), 1, "{commit:#}");
        assert_eq!(commit["result"]["verified"], true);
        assert_eq!(world.trailers(id).iter().filter(|(key, _)| key == "Landfall-Update").count(), 1);
    }
    assert_eq!(world.log("main").len(), 6);
    assert_eq!(world.log("main")[0], "Landfall: dev: bump app04 to 1.1.0");
    fsck(&world.bare());
}

#[test]
fn one_pull_request_can_be_for_all() {
    let policies =
        DEV_PROD.replace("    write: pull-request\n", "    write: pull-request\n    pullRequest: { group: all }\n");
    let world = apps(4, &policies);
    world.apply();
    let heads = world.heads();
    let [head] = heads.as_slice() else { panic!("{heads:?}") };
    assert!(head.starts_with("landfall/prod/all-"), "{head}");
    assert_eq!(world.numstat(head).len(), 4);
    let pull = world.landfall(&["pr", "show", "1", "-o", "json"]).ends(0).json();
    assert_eq!(pull["title"], "prod: bump app00 and 3 more to 1.1.0");
    assert_eq!(pull["body"].as_str().unwrap().matches("| `1.0.0` | `1.1.0` |").count(), 4);
    // One of them has something newer: the same pull request, all four still in it.
    world.push("acme/app02", "1.2.0");
    let report = world.apply();
    assert_eq!(report["actions"].as_array().unwrap().len(), 2, "{report:#}");
    assert_eq!(world.heads(), heads);
    let pull = world.landfall(&["pr", "show", "1", "-o", "json"]).ends(0).json();
    assert_eq!(pull["title"], "prod: bump app00 and 3 more (4 updates)");
    assert_eq!(world.tag_at(head, "app02", "prod"), "1.2.0");
    assert_eq!(world.tag_at(head, "app03", "prod"), "1.1.0");
    assert_eq!(
        world.landfall(&["pr", "list", "--all", "-o", "json"]).json()["pullRequests"].as_array().unwrap().len(),
        1
    );
    // A person says no to the lot: the newest of app02 comes again when there is one, and only that.
    world.landfall(&["pr", "close", "1"]).ends(0);
    world.push("acme/app02", "1.3.0");
    let report = world.apply();
    let pull = report["actions"].as_array().unwrap().iter().find(|action| action["kind"] == "pull-request").unwrap();
    assert_eq!(pull["updates"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(pull["updates"][0]["to"], json!({ "tag": "1.3.0", "digest": null }));
    assert_eq!(pull["result"]["pullRequest"], "local:deploys#2");
    assert_eq!(report["holds"].as_array().unwrap().len(), 3, "{report:#}");
}
