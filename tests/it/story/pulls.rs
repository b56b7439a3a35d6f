//! The life of a pull request: updated, closed, reopened, worked on, merged, in conflict. On the local forge and on GitHub.

use serde_json::{Value, json};

use crate::support::git::{fsck, git};
use crate::support::world::{Setup, World, overlay};

fn prod() -> Setup {
    World::setup().app("web", "1.2.3", &["prod"])
}

fn started(setup: Setup) -> World {
    let world = setup.start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    world
}

fn pull(world: &World, number: u64) -> Value {
    world.landfall(&["pr", "show", &number.to_string(), "-o", "json"]).ends(0).json()
}

fn head(world: &World) -> String {
    let heads = world.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    heads[0].clone()
}

#[test]
fn a_newer_tag_updates_the_same_pull_request() {
    let world = started(prod().over_http());
    let (branch, first) = (head(&world), world.tip(&head(&world)));
    assert_eq!(pull(&world, 1)["title"], "prod: bump web to 1.3.0");
    world.push("acme/web", "1.4.0");
    let report = world.apply();
    assert_eq!(report["actions"][0]["result"]["pullRequest"], "local:deploys#1", "{report:#}");
    let updated = pull(&world, 1);
    assert_eq!((&updated["title"], &updated["state"]), (&json!("prod: bump web to 1.4.0"), &json!("open")));
    assert!(updated["body"].as_str().unwrap().contains("`1.4.0`") && !updated["body"].to_string().contains("1.3.0"));
    assert_eq!(head(&world), branch);
    assert_ne!(world.tip(&branch), first);
    // One commit on top of the base, not one on top of the other.
    assert_eq!(world.git(&["rev-list", "--count", &format!("main..{branch}")]), "1");
    assert_eq!(world.tag_at(&branch, "web", "prod"), "1.4.0");
    assert_eq!(
        world.landfall(&["pr", "list", "--all", "-o", "json"]).json()["pullRequests"].as_array().unwrap().len(),
        1
    );
    fsck(&world.bare());
}

#[test]
fn a_newer_tag_updates_the_same_pull_request_on_github() {
    let world = started(prod().github(""));
    let branch = head(&world);
    assert_eq!(world.github().pulls().len(), 1);
    world.push("acme/web", "1.4.0");
    let report = world.apply();
    let url = report["actions"][0]["result"]["pullRequest"].as_str().unwrap().to_owned();
    assert!(url.ends_with("/acme/deploys/pull/1"), "{url}");
    let pulls = world.github().pulls();
    assert_eq!(pulls.len(), 1);
    assert_eq!((pulls[0].title.as_str(), pulls[0].head.as_str()), ("prod: bump web to 1.4.0", branch.as_str()));
    assert!(pulls[0].body.as_ref().unwrap().contains("`1.4.0`"));
    assert_eq!(world.tag_at(&branch, "web", "prod"), "1.4.0");
    // Nothing to do, nothing written.
    world.github().forget();
    assert_eq!(world.apply()["actions"], json!([]));
    let asked = world.github().asked();
    assert!(asked.iter().all(|asked| asked.starts_with("GET ")), "{asked:?}");
    assert!(asked.len() <= 2, "{asked:?}");
}

#[test]
fn closed_without_a_merge_holds_that_version_and_only_that() {
    let world = started(prod());
    let closed = world.landfall(&["pr", "close", "1"]).ends(0);
    assert_eq!(closed.stdout, "✔ closed #1; its versions are held until newer ones appear\n");
    for _ in 0..2 {
        let report = world.apply();
        assert_eq!(report["actions"], json!([]), "{report:#}");
        assert_eq!(report["holds"][0]["gate"], "hold");
        let reason = report["holds"][0]["reason"].as_str().unwrap();
        assert!(reason.starts_with("pull request #1 was closed without a merge"), "{reason}");
    }
    world.push("acme/web", "1.4.0");
    let report = world.apply();
    assert_eq!(report["actions"][0]["result"]["pullRequest"], "local:deploys#2", "{report:#}");
    let all = world.landfall(&["pr", "list", "--all", "-o", "json"]).json();
    let states: Vec<&Value> = all["pullRequests"].as_array().unwrap().iter().map(|pull| &pull["state"]).collect();
    assert_eq!(states, ["open", "closed"]);
}

#[test]
fn github_closed_holds_and_reopened_goes_on() {
    let world = started(prod().github(""));
    world.github().close(1);
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"][0]["gate"]), (&json!([]), &json!("hold")), "{report:#}");
    world.github().edit(1, |pull| pull.state = "open");
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"][0]["gate"]), (&json!([]), &json!("approval")), "{report:#}");
    world.github().close(1);
    world.push("acme/web", "1.4.0");
    world.apply();
    let pulls = world.github().pulls();
    assert_eq!(pulls.iter().map(|pull| pull.state).collect::<Vec<_>>(), ["closed", "open"]);
    assert_eq!(pulls[1].title, "prod: bump web to 1.4.0");
    assert_eq!(pulls[0].title, "prod: bump web to 1.3.0", "a closed one is not touched");
}

#[test]
fn a_branch_that_a_person_pushed_to_is_left_alone() {
    let world = started(prod());
    let branch = head(&world);
    let tip = world.edit_on(&branch, &overlay("web", "prod"), "images:", "# checked by Ada\nimages:");
    world.push("acme/web", "1.4.0");
    let report = world.apply();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert_eq!(world.tip(&branch), tip);
    let told = world.landfall(&["plan"]).ends(0);
    let told =
        told.says("⏸ held prod: web 1.2.3 → 1.4.0: ").says("has commits by Ada <ada@example.com>, so it is left alone");
    assert!(told.stdout.contains(&branch), "{told:?}");
    // What Ada made of it can be merged, and then the newer one comes.
    world.landfall(&["pr", "merge", "1"]).ends(0);
    assert!(world.read("main", &overlay("web", "prod")).contains("# checked by Ada"));
    let report = world.apply();
    assert_eq!(report["actions"][0]["result"]["pullRequest"], "local:deploys#2", "{report:#}");
}

#[test]
fn a_merge_leaves_nothing_behind() {
    let world = started(prod().over_http());
    let branch = head(&world);
    let before = world.tip("main");
    let list = world.landfall(&["pr", "list"]).ends(0);
    let cells: Vec<&str> = list.stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(cells.join(" "), format!("#1 open prod: bump web to 1.3.0 {branch} → main"));
    let shown = world.landfall(&["pr", "show", "1"]).ends(0);
    assert!(shown.stdout.starts_with(&format!("#1 prod: bump web to 1.3.0 (open)\n{branch} → main\n")), "{shown:?}");
    let change = world.tip(&branch);
    let merged = world.landfall(&["pr", "merge", "1", "-o", "json"]).ends(0).json();
    assert_eq!(merged["pullRequest"]["state"], "merged");
    assert_eq!(merged["mergedCommit"], world.tip("main"));
    assert_eq!(world.heads(), Vec::<String>::new());
    assert_eq!(world.git(&["log", "-1", "--format=%P", "main"]), format!("{before} {change}"));
    assert_eq!(world.tag("web", "prod"), "1.3.0");
    fsck(&world.bare());
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"], &report["upToDate"]), (&json!([]), &json!([]), &json!(1)));
    assert_eq!(world.landfall(&["pr", "list"]).ends(0).stdout, "no open pull requests\n");
    for (args, text) in [
        (["pr", "merge", "1"], "there is no open pull request #1"),
        (["pr", "close", "1"], "pull request 1 is no longer open"),
        (["pr", "show", "7"], "there is no pull request #7"),
    ] {
        world.landfall(&args).ends(2).says(text);
    }
}

#[test]
fn a_conflict_is_said_and_mended_by_the_next_cycle() {
    let world = started(prod());
    let branch = head(&world);
    let tip = world.tip(&branch);
    world.push("acme/web", "1.2.4");
    world.edit(&overlay("web", "prod"), "1.2.3", "1.2.4");
    let main = world.tip("main");
    world
        .landfall(&["pr", "merge", "1"])
        .ends(2)
        .says("conflicts with main in apps/web/overlays/prod/kustomization.yaml");
    assert_eq!((world.tip("main"), world.tip(&branch)), (main, tip.clone()));
    let report = world.apply();
    assert_eq!(report["actions"][0]["result"]["pullRequest"], "local:deploys#1", "{report:#}");
    assert_ne!(world.tip(&branch), tip);
    world.landfall(&["pr", "merge", "1"]).ends(0);
    assert_eq!(world.tag("web", "prod"), "1.3.0");
}

#[test]
fn an_update_that_came_by_hand_ends_its_pull_request() {
    let world = started(prod());
    world.edit(&overlay("web", "prod"), "1.2.3", "1.3.0");
    let ran = world.landfall(&["apply"]).ends(0);
    ran.says("✔ closed prod: there is nothing left to do: web 1.3.0: apps/web/overlays/prod has it already")
        .says("1 closed");
    assert_eq!(pull(&world, 1)["state"], "closed");
    assert_eq!(world.tag("web", "prod"), "1.3.0");
    assert_eq!(world.heads(), Vec::<String>::new());
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"], &report["upToDate"]), (&json!([]), &json!([]), &json!(1)));
}

#[test]
fn a_branch_that_was_deleted_is_made_again() {
    let world = started(prod());
    let branch = head(&world);
    git(&world.bare(), &["update-ref", "-d", &format!("refs/heads/{branch}")]);
    let report = world.apply();
    assert_eq!(report["actions"][0]["result"]["pullRequest"], "local:deploys#1", "{report:#}");
    assert_eq!(world.tag_at(&branch, "web", "prod"), "1.3.0");
}
