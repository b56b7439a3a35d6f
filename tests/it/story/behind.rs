//! Branches of pull requests that the base has left behind, whoever brings them up to date; and merge queues.

use std::path::Path;

use serde_json::json;

use super::merges::{does, prod, started, waits};
use crate::support::forge_stub::Fault;
use crate::support::git::{fsck, git};
use crate::support::world::{World, overlay};

/// A person presses "Update branch": a merge of the base, and what else they do in it.
fn press_update(world: &World, branch: &str, also: impl FnOnce(&Path)) {
    world.work(branch, |folder| {
        git(folder, &["fetch", "--quiet", "origin", "main"]);
        git(folder, &["merge", "--quiet", "--no-ff", "--no-commit", "FETCH_HEAD"]);
        also(folder);
        git(folder, &["commit", "--quiet", "--no-edit"]);
    });
}

fn parents(world: &World, branch: &str) -> usize {
    world.git(&["rev-list", "--parents", "-1", branch]).split(' ').count() - 1
}

#[test]
fn a_branch_that_is_only_behind_is_brought_up_to_date_once_its_checks_have_ended() {
    for (terms, expected) in [("checks: [ci]", 1), ("approvals: 1, checks: [ci]", 2)] {
        let world = started(prod(&format!("automerge: true, {terms}")).github(""));
        let (github, branch) = (world.github(), world.heads()[0].clone());
        github.strict();
        github.review(1, "ann", "APPROVED");
        github.run(&branch, "ci", "in_progress", None);
        world.write(&[("docs/a.md", "a\n")]);
        assert!(waits(&world).contains("check ci has not finished"), "a base that moves gives checks their time");
        github.run(&branch, "ci", "completed", Some("success"));
        let told = world.landfall(&["status", "-o", "json"]).json();
        let words = told["updates"].to_string();
        assert!(words.contains("its branch is behind main, and its forge requires it to be up to date"), "{told:#}");
        let updated = does(&world, "update");
        assert_eq!(updated["result"]["verified"], true, "{updated:#}");
        assert_eq!(world.git(&["diff", "--name-only", "main", &branch]), overlay("web", "prod"));
        assert_eq!(parents(&world, &branch), expected, "a merge keeps what people approved of");
        assert!(waits(&world).contains("the forge shows no check ci yet"), "{terms}");
        github.run(&branch, "ci", "completed", Some("success"));
        does(&world, "merge");
        assert_eq!(world.tag("web", "prod"), "1.3.0");
        fsck(&world.bare());
        assert_eq!(world.apply()["upToDate"], 1);
    }
}

#[test]
fn those_that_people_merge_are_brought_up_to_date_one_in_a_cycle() {
    let world = prod("draft: false").app("api", "1.2.3", &["prod"]).github("").start();
    for app in ["api", "web"] {
        world.push_all(&format!("acme/{app}"), &["1.2.3", "1.3.0"]);
    }
    world.apply();
    let github = world.github();
    world.write(&[("docs/a.md", "a\n")]);
    assert_eq!(world.apply()["actions"], json!([]), "nobody asks for it");
    github.strict();
    for heads in world.heads() {
        github.run(&heads, "ci", "in_progress", None);
    }
    assert_eq!(world.apply()["actions"], json!([]), "checks have not ended");
    for heads in world.heads() {
        github.run(&heads, "ci", "completed", Some("success"));
    }
    does(&world, "update");
    does(&world, "update");
    assert_eq!(world.apply()["actions"], json!([]));
    for branch in world.heads() {
        assert_eq!(parents(&world, &branch), 2);
        assert_eq!(world.git(&["rev-list", "--count", &format!("{branch}..main")]), "0");
    }
}

#[test]
fn update_branch_pressed_by_a_person_leaves_it_the_bots() {
    let world = started(prod("automerge: true, approvals: 1, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    github.review(1, "ann", "APPROVED");
    for file in ["docs/a.md", "docs/b.md"] {
        world.write(&[(file, "text\n")]);
        press_update(&world, &branch, |_| {});
        assert!(waits(&world).contains("the forge shows no check ci yet"), "approved, and nobody else's");
    }
    // Another version takes its place as it always does.
    world.push("acme/web", "1.4.0");
    does(&world, "pull-request");
    assert!(waits(&world).contains("ann approved an earlier commit"));
    world.write(&[("docs/c.md", "text\n")]);
    press_update(&world, &branch, |_| {});
    github.review(1, "ben", "APPROVED");
    github.run(&branch, "ci", "completed", Some("success"));
    does(&world, "merge");
    assert_eq!(world.tag("web", "prod"), "1.4.0");
    let trailers = world.landfall(&["history", "web", "-o", "json"]).ends(0).json();
    assert_eq!(trailers["history"][0]["kind"], "bump", "{trailers:#}");
}

#[test]
fn a_merge_that_brings_something_of_its_own_is_not_the_bots() {
    let own = |folder: &Path| {
        std::fs::write(folder.join("own.txt"), "mine\n").unwrap();
        git(folder, &["add", "own.txt"]);
    };
    let tag = |folder: &Path| {
        let file = folder.join(overlay("web", "prod"));
        let text = std::fs::read_to_string(&file).unwrap().replace("1.3.0", "1.2.9");
        std::fs::write(&file, text).unwrap();
        git(folder, &["add", "--all"]);
    };
    for (what, also) in [("a file", &own as &dyn Fn(&Path)), ("another version", &tag)] {
        let world = started(prod("automerge: true, checks: [ci]").github(""));
        let (github, branch) = (world.github(), world.heads()[0].clone());
        world.write(&[("docs/a.md", "a\n")]);
        press_update(&world, &branch, also);
        github.run(&branch, "ci", "completed", Some("success"));
        let said = waits(&world);
        assert!(said.contains("has commits by A Person"), "{what}: {said}");
        assert_eq!(github.merges().len(), 0, "{what}");
    }
    // Nor does a clean merge hide what stands below it, or another branch that it brings in.
    let world = started(prod("automerge: true, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    world.work(&branch, |folder| {
        own(folder);
        git(folder, &["commit", "--quiet", "-m", "own"]);
        git(folder, &["revert", "--no-edit", "HEAD"]);
    });
    world.write(&[("docs/a.md", "a\n")]);
    press_update(&world, &branch, |_| {});
    github.run(&branch, "ci", "completed", Some("success"));
    assert!(waits(&world).contains("has commits by A"));
    let world = started(prod("automerge: true, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    world.work(&branch, |folder| {
        git(folder, &["fetch", "--quiet", "origin", "main"]);
        git(folder, &["checkout", "--quiet", "--detach", "FETCH_HEAD"]);
        git(folder, &["commit", "--quiet", "--allow-empty", "-m", "not on main"]);
        let side = git(folder, &["rev-parse", "HEAD"]);
        git(folder, &["checkout", "--quiet", &branch]);
        git(folder, &["merge", "--quiet", "--no-ff", "-m", "merge", &side]);
    });
    github.run(&branch, "ci", "completed", Some("success"));
    assert!(waits(&world).contains("somebody else below the bot's"));
    assert_eq!(github.merges().len(), 0);
}

#[test]
fn a_merge_of_an_older_base_is_not_the_bots() {
    // It has that base's tree and the planned pins, and merged it would take back what came to the base in between.
    for updated in [false, true] {
        let world = prod("automerge: true, checks: [ci]").github("").start();
        let old = world.tip("main");
        world.write(&[("docs/fix.md", "fixed\n")]);
        world.push_all("acme/web", &["1.2.3", "1.3.0"]);
        does(&world, "pull-request");
        let (github, branch) = (world.github(), world.heads()[0].clone());
        if updated {
            world.write(&[("docs/a.md", "a\n")]);
            press_update(&world, &branch, |_| {});
        }
        world.work(&branch, |folder| {
            let pins = overlay("web", "prod");
            git(folder, &["read-tree", &old]);
            git(folder, &["add", &pins]);
            let tree = git(folder, &["write-tree"]);
            // In the bot's own name and words, so that what is said of it is the proof's.
            let who = "--format=author %an <%ae> %ad%ncommitter %cn <%ce> %cd%n%n%B";
            let who = git(folder, &["log", "-1", "--grep=Landfall-Update", "--date=raw", who]);
            let below = git(folder, &["rev-parse", "HEAD"]);
            let merge = format!("tree {tree}\nparent {below}\nparent {old}\n{who}\n");
            std::fs::write(folder.join(".git/merge"), merge).unwrap();
            let merge = git(folder, &["hash-object", "-t", "commit", "-w", ".git/merge"]);
            git(folder, &["reset", "--quiet", "--hard", &merge]);
        });
        assert_eq!(parents(&world, &branch), 2);
        github.run(&branch, "ci", "completed", Some("success"));
        let said = waits(&world);
        assert!(said.contains("somebody else in the name of") && said.contains("which lacks"), "{said}");
        assert_eq!(github.merges().len(), 0);
        assert!(world.git(&["ls-tree", "-r", "--name-only", "main"]).contains("docs/fix.md"));
    }
}

#[test]
fn a_merge_queue_gets_it_once_and_its_own_commit_is_the_merge() {
    let world = started(prod("automerge: true, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    github.queue();
    github.run(&branch, "ci", "completed", Some("success"));
    for _ in 0..2 {
        assert!(waits(&world).contains("pull request #1 waits: it is in GitHub's merge queue, at place 1"));
    }
    assert_eq!(github.enqueued(), [1]);
    let tip = world.tip(&branch);
    world.push("acme/web", "1.4.0");
    assert!(waits(&world).contains("pull request #1 is in the merge queue of its forge, so nothing is pushed"));
    assert_eq!(world.tip(&branch), tip);
    github.queue_merges();
    assert_eq!(world.tag("web", "prod"), "1.3.0");
    // GitHub's own squash has no trailers; the pull request has them.
    assert_eq!(world.trailers("main"), []);
    let history = world.landfall(&["history", "web", "-o", "json"]).ends(0).json();
    assert_eq!(
        (&history["history"][0]["kind"], &history["history"][0]["to"]["tag"]),
        (&json!("bump"), &json!("1.3.0"))
    );
    let next = does(&world, "pull-request");
    assert_eq!(next["updates"][0]["from"]["tag"], "1.3.0", "what the queue merged is nobody's decision against 1.4.0");
}

#[test]
fn what_the_queue_lets_go_is_not_put_in_again() {
    let world = started(prod("automerge: true, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    github.queue();
    github.run(&branch, "ci", "completed", Some("success"));
    assert!(waits(&world).contains("merge queue"));
    github.unqueue(1);
    assert!(waits(&world).contains("GitHub's merge queue no longer has it"));
    assert_eq!(github.enqueued(), [1]);
}

#[test]
fn what_comes_under_a_freeze_leaves_the_queue_and_returns_after_it() {
    let world = started(prod("automerge: true, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    github.queue();
    github.run(&branch, "ci", "completed", Some("success"));
    assert!(waits(&world).contains("merge queue"));
    // A newer version is held, too; what is in the queue is still the older one.
    world.push("acme/web", "1.4.0");
    world.landfall(&["freeze", "prod", "--by", "Ada", "--reason", "incident 4711"]).ends(0);
    let left = does(&world, "dequeue");
    assert_eq!(left["pullRequest"], json!(github.pull_url(1)), "{left:#}");
    assert_eq!((github.queued(), github.comments().len()), (vec![], 1));
    let (number, said) = github.comments()[0].clone();
    assert!(
        number == 1 && said.contains("took this out of the merge queue: `web in apps/web/overlays/prod waits (freeze)")
    );
    assert!(said.contains("incident 4711"), "{said}");
    let report = world.apply();
    assert_eq!((&report["actions"], github.comments().len()), (&json!([]), 1), "said once: {report:#}");
    // Whoever puts it back means it.
    github.requeue(1, "ann");
    assert_eq!((&world.apply()["actions"], github.queued()), (&json!([]), vec![1]));
    github.unqueue(1);
    world.landfall(&["unfreeze", "prod", "--by", "Ada", "--reason", "over"]).ends(0);
    world.delete("acme/web", "1.4.0");
    assert!(waits(&world).contains("no longer has it"), "but what the queue let go stays out");
}

#[test]
fn what_the_bot_took_out_it_puts_back() {
    let world = started(prod("automerge: true, checks: [ci]").github(""));
    let (github, branch) = (world.github(), world.heads()[0].clone());
    github.queue();
    github.run(&branch, "ci", "completed", Some("success"));
    assert!(waits(&world).contains("merge queue"));
    world.landfall(&["hold", "web", "--by", "Ada", "--reason", "load test"]).ends(0);
    let plan = world.plan();
    assert_eq!(plan["actions"][0]["kind"], "dequeue", "{plan:#}");
    does(&world, "dequeue");
    world.landfall(&["release", "web", "--by", "Ada", "--reason", "done"]).ends(0);
    assert!(waits(&world).contains("it is in GitHub's merge queue, at place 1"));
    assert_eq!((github.enqueued(), github.queued()), (vec![1, 1], vec![1]));
}

#[test]
fn who_may_not_see_queues_writes_as_if_there_were_none() {
    let world = started(prod("automerge: true, checks: [ci]").github(""));
    let github = world.github();
    let refused = |data: &str, kind: &str, message: &str| {
        format!(r#"{{"data":{data},"errors":[{{"type":"{kind}","message":"{message}"}}]}}"#)
    };
    let none = r#"{"repository":{"pullRequest":{"isInMergeQueue":null}}}"#;
    let mut minor = 4;
    let mut newer = || {
        minor += 1;
        world.push("acme/web", &format!("1.{minor}.0"));
    };
    for (status, body) in [
        (403, r#"{"message":"Resource not accessible by personal access token"}"#.to_owned()),
        (404, r#"{"message":"Not Found"}"#.to_owned()),
        (200, refused("null", "", "Field 'isInMergeQueue' doesn't exist on type 'PullRequest'")),
        (200, refused(none, "FORBIDDEN", "Resource not accessible by integration")),
        (200, refused(r#"{"repository":null}"#, "NOT_FOUND", "Could not resolve to a Repository")),
        (200, refused("null", "", "Something went wrong while executing your query")),
    ] {
        newer();
        github.fault(Fault::on("POST", "/graphql").times(50).answer(status, &[], &body));
        does(&world, "pull-request");
        let told = world.landfall(&["doctor"]);
        assert!(told.stdout.contains("merge queues cannot be read"), "{body}: {told:?}");
        github.no_faults();
    }
    newer();
    let partly = refused(r#"{"repository":{"pullRequest":{"isInMergeQueue":true}}}"#, "FORBIDDEN", "no");
    github.fault(Fault::on("POST", "/graphql").answer(200, &[], &partly));
    assert!(waits(&world).contains("is in the merge queue of its forge"), "what was answered counts");
    // A GitHub that is down may have one.
    github.fault(Fault::on("POST", "/graphql").times(50).message(502, "Bad Gateway"));
    let ran = world.landfall(&["apply", "-o", "json"]).ends(2);
    assert!(
        ran.report()["actions"][0]["result"]["error"]["message"].as_str().unwrap().contains("it is unknown whether")
    );
    github.no_faults();
    world.landfall(&["doctor"]).says("open pull requests of ours");
}
