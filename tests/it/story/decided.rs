//! What a person has decided stays decided whatever is renamed afterwards (G8).

use serde_json::json;

use crate::support::git::git;
use crate::support::world::{Setup, World, overlay};

use super::merges::{prod, started};

const POLICIES: &str = r#"policies:
  - name: prod
    paths: ["apps/{app}/overlays/prod/**"]
    environment: prod
    write: pull-request
    tags: { semver: "*" }
    pullRequest: { automerge: true, approvals: 1 }
"#;

type Change = fn(&World);

fn policies(world: &World, changes: &[(&str, &str)]) {
    let mut text = POLICIES.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    world.write(&[(".landfall/policies.yaml", &text)]);
}

fn move_apps(world: &World) {
    world.work("main", |folder| {
        git(folder, &["mv", "apps", "services"]);
        let file = folder.join(".landfall/policies.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("apps/", "services/")).unwrap();
        git(folder, &["commit", "--quiet", "--all", "-m", "apps are services now"]);
    });
}

/// Somebody gives the pull request other words.
fn rewrite(world: &World) {
    world.github().edit(1, |pull| {
        pull.title = "not this one".to_owned();
        pull.body = Some("We talked about it on Monday.".to_owned());
    });
}

/// What may be called another name, or written in another way.
const RENAMES: [(&str, Change); 8] = [
    ("the group", |world| policies(world, &[("approvals: 1", "approvals: 1, group: everything")])),
    ("the policy's name", |world| policies(world, &[("name: prod", "name: rules")])),
    ("the environment's name", |world| policies(world, &[("environment: prod", "environment: production")])),
    ("the way of writing", |world| policies(world, &[("write: pull-request", "write: commit")])),
    ("the way of pinning", |world| policies(world, &[("write:", "pin: digest\n    write:")])),
    ("the environment and the group", |world| {
        policies(world, &[("environment: prod", "environment: live"), ("approvals: 1", "approvals: 1, group: all")]);
    }),
    ("the base branch", |world| {
        world.git(&["branch", "live", "main"]);
        world.configure("    branch: main", "    branch: main\n    branches: [live]");
        policies(world, &[("write:", "branch: live\n    write:")]);
    }),
    ("the folder", move_apps),
];

/// The only update is held by what became of pull request #1, cycle for cycle.
#[track_caller]
fn held(world: &World, what: &str) {
    for _ in 0..2 {
        let report = world.apply();
        let close_only = report["actions"].as_array().unwrap().iter().all(|action| action["kind"] == "close");
        assert!(close_only, "{what}: {report:#}");
        let hold = &report["holds"][0];
        assert_eq!(hold["gate"], "hold", "{what}: {report:#}");
        let reason = hold["reason"].as_str().unwrap();
        assert!(reason.contains("pull request #1") && reason.contains("`landfall release web`"), "{what}: {reason}");
    }
}

/// A person's release lets it be proposed.
#[track_caller]
fn released(world: &World, what: &str) {
    world.landfall(&["release", "web", "--by", "Ada"]).ends(0);
    let report = world.apply();
    let action = &report["actions"][0];
    let kind = if what == "the way of writing" { "commit" } else { "pull-request" };
    assert_eq!(
        (&action["kind"], &action["updates"][0]["to"]["tag"]),
        (&json!(kind), &json!("1.3.0")),
        "{what}: {report:#}"
    );
}

fn proposed(setup: Setup) -> World {
    started(setup.policies(POLICIES))
}

#[test]
fn a_closed_pull_request_is_remembered_whatever_is_renamed() {
    for (what, rename) in RENAMES {
        let world = proposed(prod(""));
        world.landfall(&["pr", "close", "1"]).ends(0);
        rename(&world);
        held(&world, what);
        released(&world, what);
    }
}

#[test]
fn a_closed_pull_request_on_github_is_remembered_though_its_branch_is_gone() {
    for (what, rename) in RENAMES {
        let world = proposed(prod("").github(""));
        world.github().close(1);
        world.git(&["branch", "-D", &world.heads()[0]]);
        rename(&world);
        std::fs::remove_dir_all(world.path("state")).unwrap();
        held(&world, what);
        // Something newer is nobody's rejected version.
        world.push("acme/web", "1.4.0");
        let report = world.apply();
        assert_eq!(report["actions"][0]["updates"][0]["to"]["tag"], "1.4.0", "{what}: {report:#}");
    }
}

#[test]
fn a_text_that_a_person_has_rewritten_hides_nothing() {
    for (what, rename) in [("nothing else", (|_| ()) as Change), RENAMES[0], RENAMES[2]] {
        let world = proposed(prod("").github(""));
        world.github().close(1);
        world.git(&["branch", "-D", &world.heads()[0]]);
        rewrite(&world);
        rename(&world);
        held(&world, what);
        released(&world, what);
    }
}

#[test]
fn a_pull_request_that_a_person_has_turned_to_another_branch_is_not_made_again() {
    let world = proposed(prod("").github(""));
    world.git(&["branch", "release", "main"]);
    world.github().edit(1, |pull| pull.base = "release".to_owned());
    held(&world, "open");
    assert_eq!(world.github().pulls().len(), 1);
    world.github().close(1);
    held(&world, "closed");
    released(&world, "closed");
    assert_eq!(world.github().pulls()[1].base, "main");
}

#[test]
fn what_was_decided_elsewhere_holds_nothing_here() {
    // The same image in two apps, and in two environments of one of them; one pull request is closed.
    let text = POLICIES.replace("overlays/prod/**\"]\n    environment: prod", "overlays/{env}/**\"]");
    let setup = World::setup().policies(&text.replace("approvals: 1", "approvals: 1, group: \"{app}-{env}\""));
    let shop = "images:\n  - name: web\n    newName: REG/acme/web\n    newTag: 1.2.3\n";
    let setup = setup.app("web", "1.2.3", &["prod", "stage"]).file(&overlay("shop", "prod"), shop);
    let world = setup.start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    assert_eq!(world.apply()["actions"].as_array().map(Vec::len), Some(3));
    let listed = world.landfall(&["pr", "list", "-o", "json"]).json();
    let pulls = listed["pullRequests"].as_array().unwrap();
    let of_web = pulls.iter().find(|pull| pull["head"].as_str().unwrap().contains("web-prod")).unwrap();
    world.landfall(&["pr", "close", &of_web["number"].to_string()]).ends(0);
    // Everything but the place is called something else.
    let renamed =
        text.replace("name: prod", "name: rules").replace("approvals: 1", "approvals: 1, group: \"{env}-{app}\"");
    world.write(&[(".landfall/policies.yaml", &renamed)]);
    let report = world.apply();
    let mut proposed: Vec<&str> = report["actions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|action| action["kind"] == "pull-request")
        .map(|action| action["group"].as_str().unwrap())
        .collect();
    proposed.sort_unstable();
    assert_eq!(proposed, ["prod-shop", "stage-web"], "{report:#}");
    let held: Vec<&serde_json::Value> =
        report["holds"].as_array().unwrap().iter().filter(|hold| hold["gate"] == "hold").collect();
    assert_eq!(held.len(), 1, "{report:#}");
    assert_eq!(held[0]["update"]["overlay"], "apps/web/overlays/prod");
}

/// dev takes commits; what was taken back there is held under every name.
const MOVES: [(&str, Change); 4] = [
    ("the folder", move_apps),
    ("the environment's name", |world| {
        let text =
            world.read("main", ".landfall/policies.yaml").replace("environment: dev", "environment: development");
        world.write(&[(".landfall/policies.yaml", &text)]);
    }),
    ("the registry", |world| {
        world.push_all("mirror/web", &["1.2.3", "1.3.0"]);
        world.edit(&overlay("web", "dev"), "/acme/web", "/mirror/web");
    }),
    ("the folder, and everything in it", |world| {
        move_apps(world);
        let file = "services/web/overlays/dev/kustomization.yaml";
        world.push_all("mirror/web", &["1.2.3", "1.3.0"]);
        world.edit(file, "/acme/web", "/mirror/web");
        world.work("main", |folder| {
            git(folder, &["mv", "services/web/overlays", "services/web/environments"]);
            let file = folder.join(".landfall/policies.yaml");
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, text.replace("overlays", "environments")).unwrap();
            git(folder, &["commit", "--quiet", "--all", "-m", "overlays are environments now"]);
        });
    }),
];

type TakenBack = (&'static str, fn(&World));

const TAKEN_BACK: [TakenBack; 2] = [
    ("a revert", |world| drop(world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"]))))),
    ("a rollback", |world| {
        drop(world.landfall(&["rollback", "web", "--environment", "dev", "--to", "1.2.3", "--by", "Ada"]).ends(0));
    }),
];

#[test]
fn what_was_taken_back_is_remembered_wherever_it_is_now() {
    for (how, take_back) in TAKEN_BACK {
        for (what, change) in MOVES {
            let world = World::setup().app("web", "1.2.3", &["dev"]).start();
            world.push_all("acme/web", &["1.2.3", "1.3.0"]);
            assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
            take_back(&world);
            change(&world);
            std::fs::remove_dir_all(world.path("state")).unwrap();
            for _ in 0..2 {
                let report = world.apply();
                assert_eq!(report["actions"], json!([]), "{how}, {what}: {report:#}");
                let hold = &report["holds"][0];
                assert_eq!(
                    (&hold["gate"], &hold["update"]["to"]["tag"]),
                    (&json!("hold"), &json!("1.3.0")),
                    "{how}, {what}: {report:#}"
                );
                let reason = hold["reason"].as_str().unwrap();
                assert!(["reverted", "rolled back"].iter().any(|it| reason.contains(it)), "{how}, {what}: {hold:#}");
            }
            world.landfall(&["release", "web", "--by", "Ada"]).ends(0);
            let report = world.apply();
            assert_eq!(report["actions"][0]["updates"][0]["to"]["tag"], "1.3.0", "{how}, {what}: {report:#}");
        }
    }
}
