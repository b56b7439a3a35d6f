//! Pull requests that merge themselves, and those that have nothing left to do: on GitHub and on the local forge.

use serde_json::{Value, json};

use crate::support::git::{fsck, git};
use crate::support::world::{Setup, World, overlay};

const PROD: &str = r#"policies:
  - name: prod
    paths: ["apps/{app}/overlays/prod/**"]
    environment: prod
    write: pull-request
    tags: { semver: "*" }
    pullRequest: { SETTINGS }
"#;

/// One app in prod, whose pull requests have these settings.
pub(super) fn prod(settings: &str) -> Setup {
    World::setup().app("web", "1.2.3", &["prod"]).policies(&PROD.replace("SETTINGS", settings))
}

/// That world once its first pull request is open.
pub(super) fn started(setup: Setup) -> World {
    let world = setup.start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    assert_eq!(world.apply()["actions"][0]["kind"], "pull-request");
    world
}

/// A cycle that does nothing; why the only update waits.
#[track_caller]
pub(super) fn waits(world: &World) -> String {
    let report = world.apply();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    let hold = &report["holds"][0];
    format!("{}: {}", hold["gate"].as_str().unwrap(), hold["reason"].as_str().unwrap())
}

/// A cycle that does one thing.
#[track_caller]
pub(super) fn does(world: &World, kind: &str) -> Value {
    let report = world.apply();
    assert_eq!(report["actions"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert_eq!(report["actions"][0]["kind"], kind, "{report:#}");
    report["actions"][0].clone()
}

#[test]
fn github_merges_when_the_check_turns_green_and_not_before() {
    let world = started(prod("automerge: true, mergeMethod: squash, checks: [ci]").over_http().github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    let body = github.pull(1).body.unwrap();
    assert!(body.contains("Landfall merges it once `ci` passed and no gate holds it"), "{body}");
    assert!(waits(&world).contains("approval: pull request #1 waits: the forge shows no check ci yet"));
    github.run(&branch, "ci", "in_progress", None);
    assert!(waits(&world).contains("check ci has not finished"));
    github.run(&branch, "ci", "completed", Some("failure"));
    assert!(waits(&world).contains("check ci failed"));
    assert_eq!(github.merges().len(), 0);
    github.run(&branch, "ci", "completed", Some("success"));
    let plan = world.plan();
    assert_eq!((&plan["actions"][0]["kind"], github.merges().len()), (&json!("merge"), 0), "{plan:#}");

    let merged = does(&world, "merge");
    assert_eq!(merged["result"]["verified"], true, "{merged:#}");
    assert_eq!(
        (merged["result"]["commit"].as_str().unwrap(), world.tag("web", "prod").as_str()),
        (world.tip("main").as_str(), "1.3.0")
    );
    assert_eq!((world.heads(), github.merges()[0].method.as_str()), (vec![], "squash"));
    assert_eq!(world.git(&["log", "-1", "--format=%s", "main"]), "prod: bump web to 1.3.0 (#1)");
    let trailers = world.trailers("main");
    assert!(trailers.iter().any(|(key, value)| key == "Landfall-To" && value == "1.3.0"), "{trailers:?}");
    fsck(&world.bare());
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"], &report["upToDate"]), (&json!([]), &json!([]), &json!(1)));

    // The squash is the record: what a person takes back now stays back.
    world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
    assert!(waits(&world).starts_with("hold: "));
}

#[test]
fn changes_requested_and_approvals_of_earlier_commits_hold() {
    let world = started(prod("automerge: true, approvals: 1, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    github.run(&branch, "ci", "completed", Some("success"));
    assert!(waits(&world).contains("it has 0 of 1 approvals"));
    github.review(1, "ann", "APPROVED");
    github.review(1, "ben", "CHANGES_REQUESTED");
    assert!(waits(&world).contains("ben asked for changes"));
    github.review(1, "ben", "DISMISSED");
    // Another version comes before anybody merges: nobody has approved of that.
    world.push("acme/web", "1.4.0");
    does(&world, "pull-request");
    assert!(waits(&world).contains("ann approved an earlier commit"));
    github.review(1, "ann", "APPROVED");
    assert!(waits(&world).contains("the forge shows no check ci yet"));
    github.run(&branch, "ci", "completed", Some("success"));
    does(&world, "merge");
    assert_eq!(world.tag("web", "prod"), "1.4.0");
    assert_eq!(world.log("main")[1], "Landfall: prod: bump web to 1.4.0", "the bot's commit is in the history");
}

#[test]
fn what_github_refuses_waits_with_its_words() {
    let world = started(prod("automerge: true, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    github.run(&branch, "ci", "completed", Some("success"));
    github.rule(Some((405, "2 of 2 required status checks are expected")));
    let reason = waits(&world);
    assert!(
        reason.starts_with("approval: pull request #1 is not mergeable: GitHub says: 2 of 2 required status checks"),
        "{reason}"
    );
    assert_eq!(world.tag("web", "prod"), "1.2.3");
    github.rule(None);
    does(&world, "merge");
    assert_eq!(world.tag("web", "prod"), "1.3.0");
}

#[test]
fn an_approving_label_is_for_what_it_was_put_on() {
    let world = started(prod("automerge: true, approvalLabel: ship it, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    github.run(&branch, "ci", "completed", Some("success"));
    assert!(waits(&world).contains("nobody has added the label `ship it`"));
    github.edit(1, |pull| pull.labels.push("ship it".to_owned()));
    world.push("acme/web", "1.4.0");
    does(&world, "pull-request");
    assert_eq!(github.pull(1).labels, Vec::<String>::new(), "taken off with the new version");
    github.run(&branch, "ci", "completed", Some("success"));
    assert!(waits(&world).contains("nobody has added the label"));
    github.edit(1, |pull| pull.labels.push("Ship It".to_owned()));
    does(&world, "merge");
}

#[test]
fn a_branch_that_moved_after_the_judgement_is_not_merged() {
    let world = started(prod("automerge: true, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    github.run(&branch, "ci", "completed", Some("success"));
    world.edit_on(&branch, &overlay("web", "prod"), "images:", "# mine\nimages:");
    github.run(&branch, "ci", "completed", Some("success"));
    assert!(waits(&world).contains("has commits by Ada"));
    assert_eq!(github.merges().len(), 0);
}

#[test]
fn the_local_forge_merges_once_somebody_approves() {
    let world = started(prod("automerge: true, approvals: 1").over_http());
    assert!(waits(&world).contains("it has 0 of 1 approvals"));
    world.landfall(&["pr", "approve", "7", "--by", "ann"]).ends(2).says("there is no open pull request #7");
    world.landfall(&["pr", "approve", "1", "--by", "ann"]).ends(0).says("✔ ann approves of #1");
    world.push("acme/web", "1.4.0");
    does(&world, "pull-request");
    assert!(waits(&world).contains("ann approved an earlier commit"));
    world.landfall(&["pr", "approve", "1", "--by", "ann"]).ends(0);
    let merged = does(&world, "merge");
    assert_eq!((&merged["pullRequest"], &merged["result"]["verified"]), (&json!("local:deploys#1"), &json!(true)));
    assert_eq!((world.tag("web", "prod").as_str(), world.heads()), ("1.4.0", vec![]));
    let shown = world.landfall(&["pr", "show", "1", "-o", "json"]).json();
    assert_eq!(shown["state"], "merged");
    fsck(&world.bare());
    assert_eq!(world.apply()["upToDate"], 1);
}

#[test]
fn checks_that_the_local_forge_cannot_have_are_waited_for_aloud() {
    let world = started(prod("automerge: true, checks: [ci]"));
    assert!(
        waits(&world).contains("check ci cannot pass: repository deploys uses the local forge, which has no checks")
    );
}

#[test]
fn without_terms_the_local_forge_merges_in_the_next_cycle() {
    let world = started(prod("automerge: true"));
    let ran = world.landfall(&["apply"]).ends(0);
    ran.says("✔ merged prod: web 1.2.3 → 1.3.0 into main: local:deploys#1").says("1 merged");
    assert_eq!(world.tag("web", "prod"), "1.3.0");
}

#[test]
fn one_that_was_overtaken_by_hand_is_closed_with_the_reason() {
    let world = started(prod("automerge: true, approvals: 1").github(""));
    let github = world.github();
    world.edit(&overlay("web", "prod"), "1.2.3", "1.3.0");
    let closed = does(&world, "close");
    assert_eq!(closed["result"]["verified"], true, "{closed:#}");
    assert_eq!((github.pull(1).state, github.pull(1).merged, world.heads()), ("closed", false, vec![]));
    let (_, comment) = github.comments().remove(0);
    assert!(comment.contains("`web 1.3.0: apps/web/overlays/prod has it already`"), "{comment}");
    world.push("acme/web", "1.4.0");
    does(&world, "pull-request");
    assert_eq!(world.github().pulls().len(), 2);
}

#[test]
fn nothing_is_closed_while_the_registry_is_silent_or_a_policy_is_broken() {
    let world = started(prod("draft: false"));
    let branch = world.heads();
    world.write(&[(".landfall/policies.yaml", "policies: [oops\n")]);
    world.landfall(&["apply"]).ends(2);
    assert_eq!(world.heads(), branch);
    world.write(&[(".landfall/policies.yaml", &PROD.replace("SETTINGS", "draft: false"))]);
    world.delete("acme/web", "1.3.0");
    world.delete("acme/web", "1.2.3");
    world.landfall(&["apply"]).ends(2);
    assert_eq!(world.heads(), branch, "a list without any tag says nothing");
    world.push("acme/web", "1.2.3");
    let closed = does(&world, "close");
    assert!(closed["note"].as_str().unwrap().contains("its registry does not list that any more"), "{closed:#}");
    assert_eq!(world.heads(), Vec::<String>::new());
    assert_eq!(world.landfall(&["pr", "show", "1", "-o", "json"]).json()["state"], "closed");
}

#[test]
fn a_limit_says_what_waits_and_goes_on_by_itself() {
    let setup = prod("limit: 1").app("api", "1.2.3", &["prod"]);
    let world = setup.start();
    for app in ["api", "web"] {
        world.push_all(&format!("acme/{app}"), &["1.2.3", "1.3.0"]);
    }
    let report = world.apply();
    assert_eq!(report["actions"].as_array().map(Vec::len), Some(1), "{report:#}");
    let report = world.apply();
    let rate = report["holds"].as_array().unwrap().iter().find(|hold| hold["gate"] == "rate").unwrap();
    assert!(rate["reason"].as_str().unwrap().ends_with("pull requests (1): #1; merge or close one"), "{rate:#}");
    world.landfall(&["pr", "merge", "1"]).ends(0);
    let proposed = does(&world, "pull-request");
    assert_eq!(proposed["updates"][0]["app"], "web");
}

#[test]
fn reviewers_come_from_the_owners_of_the_files() {
    let world = prod("reviewers: [ann], codeOwners: true")
        .file(".github/CODEOWNERS", "* @nobody\napps/ @ben @acme/sre mail@example.com\n")
        .github("")
        .start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    let pull = world.github().pull(1);
    assert_eq!((pull.reviewers, pull.teams), (vec!["ann".to_owned(), "ben".to_owned()], vec!["sre".to_owned()]));
}

#[test]
fn the_text_shows_what_changed_in_the_source() {
    let world = started(prod("draft: false"));
    world.landfall(&["pr", "merge", "1"]).ends(0);
    world.push("acme/web", "1.4.0");
    does(&world, "pull-request");
    let shown = world.landfall(&["pr", "show", "2"]).ends(0);
    // The version that is replaced was read when it was proposed itself.
    shown.says("[`changes`](https://git.example.com/acme/web/compare/").says("Merge it to apply the change.");
}
