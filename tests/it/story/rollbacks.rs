//! A rollback goes back all at once, and sticks: the bad version does not come again, a newer one does.

use serde_json::{Value, json};

use crate::support::git::fsck;
use crate::support::world::{World, overlay};

/// dev has come from 1.2.3 to 1.3.0 and then to 1.4.0, by the bot.
fn moved() -> World {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    for tag in ["1.3.0", "1.4.0"] {
        world.push_all("acme/web", &["1.2.3", tag]);
        world.apply();
        assert_eq!(world.tag("web", "dev"), tag);
    }
    world
}

#[track_caller]
fn roll_back(world: &World, args: &[&str]) -> Value {
    let all: Vec<&str> =
        ["rollback", "web"].iter().chain(args).chain(&["--by", "Ada", "-o", "json"]).copied().collect();
    world.landfall(&all).ends(0).json()
}

#[track_caller]
fn held(world: &World, version: &str) {
    let report = world.apply();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    let hold = &report["holds"][0];
    assert_eq!((&hold["gate"], &hold["update"]["to"]["tag"]), (&json!("hold"), &json!(version)), "{report:#}");
    let reason = hold["reason"].as_str().unwrap();
    let commit = &world.git(&["log", "-1", "--grep", "Landfall-Rollback", "--format=%H", "main"])[..7];
    let words = format!(" was rolled back by Ada in {commit} on ");
    assert!(reason.starts_with(version) && reason.contains(&words), "{words}: {reason}");
}

#[test]
fn a_rollback_sticks_until_something_newer() {
    let world = moved();
    let before = world.tip("main");
    let done = roll_back(&world, &["--environment", "dev", "--reason", "it leaks"]);
    let action = &done["actions"][0];
    assert_eq!((&action["kind"], &action["result"]["verified"]), (&json!("commit"), &json!(true)), "{done:#}");
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    assert_eq!(world.git(&["rev-parse", "main^"]), before);
    assert_eq!(world.log("main")[0], "Ada: dev: roll web back to 1.3.0");
    let message = world.git(&["log", "-1", "--format=%B", "main"]);
    assert!(message.contains("Rolled back by Ada: it leaks"), "{message}");
    assert!(message.contains("it was declared there before, since "), "nobody was there to see it land: {message}");
    let trailers = world.trailers("main");
    let keys: Vec<&str> = trailers.iter().map(|(key, _)| key.as_str()).collect();
    for key in ["Landfall-Update", "Landfall-Rollback", "Landfall-By", "Landfall-Reason"] {
        assert!(keys.contains(&key), "{trailers:?}");
    }
    for _ in 0..2 {
        held(&world, "1.4.0");
    }
    std::fs::remove_dir_all(world.path("state")).unwrap();
    held(&world, "1.4.0");
    world.push("acme/web", "1.4.1");
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.4.1");
    // The next one passes over what was taken back.
    roll_back(&world, &["--environment", "dev"]);
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    held(&world, "1.4.1");
    fsck(&world.bare());
}

#[test]
fn what_was_rolled_back_comes_again_by_release() {
    let world = moved();
    roll_back(&world, &["--environment", "dev"]);
    held(&world, "1.4.0");
    world.landfall(&["release", "web", "--by", "Grace", "--reason", "it was the database"]).ends(0);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.4.0");
    assert_eq!(world.apply()["actions"], json!([]));
}

#[test]
fn a_version_by_name() {
    let world = moved();
    roll_back(&world, &["--environment", "dev", "--to", "1.2.3"]);
    assert_eq!(world.tag("web", "dev"), "1.2.3");
    held(&world, "1.4.0");
    let tip = world.tip("main");
    let ran = |args: &[&str]| world.landfall(&[&["rollback", "web", "--by", "Ada"], args].concat());
    ran(&["--environment", "dev", "--to", "1.2.3"]).ends(1).says("is already at that version");
    ran(&["--environment", "dev", "--to", "9.9.9"]).ends(1).says("was never at 9.9.9");
    ran(&["--environment", "qa"]).ends(2).says("no environment `qa`; there are dev");
    world
        .landfall(&["rollback", "shop", "--environment", "dev", "--by", "Ada"])
        .ends(2)
        .says("no app `shop`; there is only web");
    assert_eq!(world.tip("main"), tip);
}

#[test]
fn nothing_before_is_no_guess() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    let ran = world.landfall(&["rollback", "web", "--environment", "dev", "--by", "Ada"]).ends(1);
    ran.says("the history has no version").says("--to TAG");
}

#[test]
fn where_a_review_is_asked_for_it_is_a_pull_request() {
    let world = World::setup().app("web", "1.2.3", &["prod"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    world.landfall(&["pr", "merge", "1"]).ends(0);
    assert_eq!(world.tag("web", "prod"), "1.3.0");
    let done = roll_back(&world, &["--environment", "prod", "--reason", "it leaks"]);
    assert_eq!(done["actions"][0]["result"]["pullRequest"], "local:deploys#2", "{done:#}");
    assert!(done["actions"][0]["head"].as_str().unwrap().starts_with("landfall/rollback/prod/web"), "{done:#}");
    assert_eq!(world.tag("web", "prod"), "1.3.0");
    let again = roll_back(&world, &["--environment", "prod", "--reason", "it leaks"]);
    assert_eq!(again["actions"][0]["result"]["pullRequest"], "local:deploys#2", "asked for twice: {again:#}");
    world.landfall(&["pr", "merge", "2"]).ends(0);
    assert_eq!(world.tag("web", "prod"), "1.2.3");
    held(&world, "1.3.0");
    world.push("acme/web", "1.3.1");
    assert_eq!(world.apply()["actions"][0]["updates"][0]["to"]["tag"], "1.3.1");
}

#[test]
fn all_pins_of_an_app_move_together_with_their_digests() {
    let policies = "policies:\n  - name: dev\n    paths: [\"apps/{app}/overlays/dev/**\"]\n    environment: dev\n    \
                    write: commit\n    pin: digest\n    tags: { semver: \"*\" }\n";
    let job = "apps/web/overlays/dev/job.yaml";
    let pod = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: REG/acme/web:1.2.3\n    - image: REG/acme/side:1.0.0\n";
    let world = World::setup().policies(policies).app("web", "1.2.3", &["dev"]).file(job, pod).start();
    let read = |path: &str| world.git(&["show", &format!("main:{path}")]);
    for tag in ["1.3.0", "1.4.0"] {
        world.push_all("acme/web", &["1.2.3", tag]);
        world.push_all("acme/side", &["1.0.0"]);
        world.apply();
    }
    let before = [overlay("web", "dev"), job.to_owned()].map(|path| world.git(&["show", &format!("main^:{path}")]));
    let image = world.text("REG/acme/web");
    let done = roll_back(&world, &["--environment", "dev", "--image", &image]);
    assert_eq!(done["actions"][0]["updates"][0]["files"].as_array().unwrap().len(), 2, "{done:#}");
    assert_eq!([read(&overlay("web", "dev")), read(job)], before);
    held(&world, "1.4.0");
}

#[test]
fn the_history_tells_bumps_from_rollbacks_and_measures_them() {
    let world = moved();
    roll_back(&world, &["--environment", "dev"]);
    let history = world.landfall(&["history", "web", "-o", "json"]).ends(0).json();
    let kinds: Vec<&str> =
        history["history"].as_array().unwrap().iter().map(|change| change["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["rollback", "bump", "bump", "by-hand"], "{history:#}");
    assert_eq!(history["history"][0]["leadTime"], json!(null), "nobody saw it land");
    let dora = world.landfall(&["history", "--dora", "--since", "3650d", "-o", "json"]).ends(0).json();
    let dev = &dora["dora"][0];
    assert_eq!((&dev["environment"], &dev["deployments"]), (&json!("dev"), &json!(2)), "{dora:#}");
    assert_eq!((&dev["changeFailureRate"], &dev["leadTime"]), (&json!(0.5), &json!(null)), "{dora:#}");
    assert_eq!(dev["timeToRestore"]["count"], 1);
    let told = world.landfall(&["history", "--dora", "--since", "3650d"]).ends(0);
    told.says("FREQUENCY").says("50 %");
    world.landfall(&["history", "--dora", "--since", "often"]).ends(2).says("--since");
}

#[test]
fn of_several_images_those_with_a_past_go_back_and_the_others_are_listed() {
    let overlay = "images:\n  - { name: web, newName: REG/acme/web, newTag: 1.2.3 }\n  \
                   - { name: agent, newName: REG/acme/agent, newTag: 1.0.0 }\n";
    let world = World::setup().file("apps/shop/overlays/dev/kustomization.yaml", overlay).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.push("acme/agent", "1.0.0");
    world.apply();
    let ran = world.landfall(&["rollback", "shop", "--environment", "dev", "--by", "Ada", "-o", "json"]).ends(0);
    let report = ran.json();
    assert_eq!(report["actions"][0]["updates"].as_array().unwrap().len(), 1, "{report:#}");
    let left = report["left"][0].as_str().unwrap();
    assert!(left.contains("acme/agent in apps/shop/overlays/dev before 1.0.0"), "{left}");
    let text = world.read("main", "apps/shop/overlays/dev/kustomization.yaml");
    assert!(text.contains("newTag: 1.2.3") && text.contains("newTag: 1.0.0"), "{text}");
}

#[test]
fn an_image_names_its_app_and_its_last_part_is_enough() {
    let overlay = "images:\n  - { name: web, newName: REG/acme/web, newTag: 1.2.3 }\n";
    let world = World::setup().file("apps/shop/overlays/dev/kustomization.yaml", overlay).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    world.landfall(&["rollback", "shpo", "--environment", "dev", "--by", "Ada"]).ends(2).says("did you mean `shop`?");
    world.landfall(&["rollback", "web", "--environment", "dev", "--by", "Ada"]).ends(0).says("1.3.0 → 1.2.3");
}
