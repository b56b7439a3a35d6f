//! Branches that the remote does not take as they should be: not to be rewritten, or with another branch in the way.

use serde_json::{Value, json};

use crate::support::git::{fsck, git};
use crate::support::world::{Setup, World};

use super::merges::{prod, started};

/// The actions of a cycle, as words.
fn did(world: &World) -> Vec<String> {
    let report = world.apply();
    let word = |action: &Value| {
        assert_eq!(action["result"]["verified"], true, "{report:#}");
        let url = action["result"]["pullRequest"].as_str().unwrap();
        format!("{} {}", action["kind"].as_str().unwrap(), url.rsplit(['#', '/']).next().unwrap())
    };
    report["actions"].as_array().unwrap().iter().map(word).collect()
}

/// How every pull request stands, the first one first, by the local forge.
fn states(world: &World) -> Vec<String> {
    let all = world.landfall(&["pr", "list", "--all", "-o", "json"]).json();
    let state = |pull: &Value| pull["state"].as_str().unwrap().to_owned();
    all["pullRequests"].as_array().unwrap().iter().rev().map(state).collect()
}

fn waits(world: &World) -> String {
    let report = world.apply();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    report["holds"][0]["reason"].as_str().unwrap().to_owned()
}

/// A world whose pull request is open, and whose remote takes no force push.
fn rigid(setup: Setup) -> World {
    let world = started(setup.over_http());
    world.git(&["config", "receive.denyNonFastForwards", "true"]);
    world
}

#[test]
fn a_branch_that_cannot_be_rewritten_is_left_for_the_next_one() {
    let world = rigid(prod("labels: [release]"));
    let first = world.heads()[0].clone();
    let second = format!("{first}-2");
    world.push("acme/web", "1.4.0");
    assert_eq!(did(&world), ["pull-request 2", "close 1"]);
    assert_eq!((world.heads(), states(&world)), (vec![second.clone()], vec!["closed".to_owned(), "open".to_owned()]));
    // One commit on the base, as every branch of the bot.
    assert_eq!(world.git(&["rev-list", "--count", &format!("main..{second}")]), "1");
    assert_eq!(world.tag_at(&second, "web", "prod"), "1.4.0");
    let show = |number: &str| {
        let shown = world.landfall(&["pr", "show", number, "-o", "json"]).ends(0).json();
        shown["body"].as_str().unwrap().to_owned()
    };
    let said = format!("This pull request is on branch {second}, since the remote does not let the one before it be");
    assert!(show("2").contains(&said) && show("2").contains("A newer tag opens another pull request"), "{}", show("2"));
    assert!(
        show("1").contains("local:deploys#2 replaces it, because the remote does not allow rewriting"),
        "{}",
        show("1")
    );
    // The next processes find it, say where it is, and do nothing twice.
    let tip = world.tip(&second);
    for _ in 0..2 {
        let reason = waits(&world);
        assert!(reason.starts_with("pull request #2 waits to be merged"), "{reason}");
        assert!(reason.contains(&format!("on branch {second}, since the remote does not let")), "{reason}");
    }
    assert_eq!(world.tip(&second), tip);

    // The next one again, and after the merge nothing is left behind.
    world.push("acme/web", "1.5.0");
    let planned = world.landfall(&["plan"]).ends(0);
    assert!(planned.stdout.contains(&format!("(on branch {second}, since")), "{planned:?}");
    assert_eq!(did(&world), ["pull-request 3", "close 2"]);
    assert_eq!(world.heads(), [format!("{first}-3")]);
    world.landfall(&["pr", "merge", "3"]).ends(0);
    assert_eq!((world.tag("web", "prod").as_str(), world.heads()), ("1.5.0", vec![]));
    assert_eq!(did(&world), Vec::<String>::new());
    world.push("acme/web", "1.6.0");
    assert_eq!(did(&world), ["pull-request 4"]);
    assert_eq!(world.heads(), [first]);
    fsck(&world.bare());
}

#[test]
fn a_person_who_closes_the_one_that_went_on_is_heard() {
    let world = rigid(prod("labels: [release]"));
    world.push("acme/web", "1.4.0");
    assert_eq!(did(&world), ["pull-request 2", "close 1"]);
    world.landfall(&["pr", "close", "2"]).ends(0);
    for _ in 0..2 {
        assert!(waits(&world).starts_with("pull request #2 was closed without a merge"));
    }
    assert_eq!(states(&world), ["closed", "closed"]);
    // What the bot itself closed holds nothing: only the later version was rejected.
    world.push("acme/web", "1.5.0");
    assert_eq!(did(&world).len(), 1);
}

#[test]
fn a_squash_of_the_one_that_went_on_is_nobodys_choice_after_its_branch_is_gone() {
    let world = rigid(prod("labels: [release]").github(""));
    let github = world.github();
    // What the bot itself has written here makes a version of somebody else a decision.
    world.work("main", |folder| {
        git(folder, &["fetch", "--quiet", "origin", &world.heads()[0]]);
        git(folder, &["merge", "--quiet", "--no-ff", "-m", "merge", "FETCH_HEAD"]);
    });
    github.merge(1);
    let gone = |world: &World| {
        for head in world.heads() {
            world.git(&["update-ref", "-d", &format!("refs/heads/{head}")]);
        }
    };
    gone(&world);
    for version in ["1.4.0", "1.5.0"] {
        world.push("acme/web", version);
        world.apply();
    }
    let second = world.heads()[0].clone();
    assert!(second.ends_with("-2"), "{second}");
    // While it waits, the next version is there already.
    world.push("acme/web", "1.6.0");
    world.plan();
    world.work("main", |folder| {
        git(folder, &["fetch", "--quiet", "origin", &second]);
        git(folder, &["merge", "--squash", "--quiet", "FETCH_HEAD"]);
        git(folder, &["commit", "--quiet", "-m", "web 1.5.0 (#3)"]);
    });
    gone(&world);
    let then = world.git(&["log", "-1", "--format=%cI", "main"]);
    github.edit(3, |pull| (pull.state, pull.updated) = ("closed", then.leak()));
    assert!(waits(&world).contains("was set by hand to 1.5.0"), "if no pull request brought it");
    github.merge(3);
    let report = world.apply();
    assert_eq!(report["holds"], json!([]), "{report:#}");
    assert_eq!(report["actions"][0]["updates"][0]["to"]["tag"], "1.6.0", "{report:#}");
}

#[test]
fn where_nothing_may_be_rewritten_or_deleted_the_bot_still_merges_what_it_wrote() {
    let world = rigid(prod("automerge: true, mergeMethod: squash, checks: [ci]").github(""));
    world.git(&["config", "receive.denyDeletes", "true"]);
    let first = world.heads()[0].clone();
    let second = format!("{first}-2");
    world.push("acme/web", "1.4.0");
    let report = world.apply();
    let kinds: Vec<&Value> = report["actions"].as_array().unwrap().iter().map(|action| &action["kind"]).collect();
    assert_eq!(kinds, [&json!("pull-request"), &json!("close")], "{report:#}");
    // The old branch stays, and no cycle does anything about it.
    assert_eq!(world.heads(), [first.clone(), second.clone()]);
    assert!(waits(&world).starts_with("pull request #2 waits: the forge shows no check ci yet"));
    let states: Vec<&str> = world.github().pulls().iter().map(|pull| pull.state).collect();
    assert_eq!(states, ["closed", "open"]);
    // A stranger's commit under that name is not merged, whatever it says.
    let own = world.tip(&second);
    let message = world.git(&["log", "-1", "--format=%B", &second]);
    world.git(&["config", "receive.denyNonFastForwards", "false"]);
    let stranger = world.work(&second, |folder| {
        std::fs::write(folder.join("evil"), "x").unwrap();
        git(folder, &["add", "evil"]);
        git(
            folder,
            &["-c", "user.name=Landfall", "-c", "user.email=landfall@example.com", "commit", "--quiet", "-m", &message],
        );
    });
    world.github().run(&second, "ci", "completed", Some("success"));
    assert!(waits(&world).contains("has commits by somebody else"), "{stranger}");
    assert_eq!(world.github().merges().len(), 0);
    world.git(&["update-ref", &format!("refs/heads/{second}"), &own]);
    world.github().run(&second, "ci", "completed", Some("success"));
    world.git(&["config", "receive.denyNonFastForwards", "true"]);
    let merged = world.apply();
    assert_eq!(merged["actions"][0]["kind"], "merge", "{merged:#}");
    assert_eq!(world.tag("web", "prod"), "1.4.0");
    assert_eq!(waits_for_nothing(&world), 1);
    // Branches that may not be deleted are no reason to stop.
    world.push("acme/web", "1.5.0");
    let report = world.apply();
    assert_eq!(report["actions"][0]["head"], json!(format!("{first}-3")), "{report:#}");
    assert_eq!(report["actions"][0]["result"]["verified"], true, "{report:#}");
}

/// How many are up to date where there is nothing to do.
fn waits_for_nothing(world: &World) -> u64 {
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"]), (&json!([]), &json!([])), "{report:#}");
    report["upToDate"].as_u64().unwrap()
}

#[test]
fn with_a_branch_in_the_way_the_pull_request_has_another_name() {
    for in_the_way in ["landfall", "landfall/prod"] {
        let world = prod("labels: [release]").over_http().start();
        world.git(&["branch", in_the_way, "main"]);
        world.push_all("acme/web", &["1.2.3", "1.3.0"]);
        let planned = world.landfall(&["plan"]).ends(0);
        planned.says("since another branch is in the way of landfall/prod/web-");
        assert_eq!(did(&world), ["pull-request 1"]);
        let heads = || world.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/landfall-bot/"]);
        let head = heads();
        assert!(head.starts_with("landfall-bot/prod/web-") && head.lines().count() == 1, "{head}");
        assert_eq!(world.git(&["rev-parse", in_the_way]), world.tip("main"), "it is somebody else's");
        let tip = world.tip(&head);
        assert!(waits(&world).contains("another branch is in the way"));
        // A newer tag goes into the same one, also after the name has become free.
        world.git(&["branch", "-D", in_the_way]);
        world.push("acme/web", "1.4.0");
        assert_eq!(did(&world), ["pull-request 1"]);
        assert_ne!(world.tip(&head), tip);
        assert_eq!(states(&world), ["open"]);
        world.landfall(&["pr", "merge", "1"]).ends(0);
        assert_eq!((world.tag("web", "prod").as_str(), heads().as_str()), ("1.4.0", ""));
        assert_eq!(waits_for_nothing(&world), 1);
    }
}

#[test]
fn what_may_neither_be_rewritten_nor_made_is_told_in_the_servers_words() {
    let world = rigid(prod("labels: [release]"));
    world.hook("pre-receive", "#!/bin/sh\necho 'GH013: creations are restricted'; exit 1\n");
    let tip = world.tip(&world.heads()[0]);
    world.push("acme/web", "1.4.0");
    for _ in 0..2 {
        let ran = world.landfall(&["apply", "-o", "json"]).ends(2);
        let report = ran.report();
        let error = &report["actions"][0]["result"]["error"];
        assert_eq!(error["code"], "push-rejected", "{report:#}");
        assert!(error["message"].as_str().unwrap().contains("GH013: creations are restricted"), "{report:#}");
    }
    assert_eq!((world.tip(&world.heads()[0]), states(&world)), (tip, vec!["open".to_owned()]));
}
