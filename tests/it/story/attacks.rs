//! Strangers who may push branches, but not to main: nothing of theirs gets there through the bot.

use std::path::Path;

use serde_json::json;

use crate::support::forge_stub::Speech;
use crate::support::git::{fsck, git};
use crate::support::world::{Setup, World};

use super::merges::{prod, started};

/// Git under the bot's own name and address.
fn as_bot(folder: &Path, arguments: &[&str]) -> String {
    let name = ["-c", "user.name=Landfall", "-c", "user.email=landfall@example.com"];
    git(folder, &[&name, arguments].concat())
}

/// A commit of a stranger's file on what is checked out.
fn commit_a_file(folder: &Path) -> String {
    std::fs::write(folder.join("apps/web/overlays/prod/evil.yaml"), "evil: true\n").unwrap();
    git(folder, &["add", "-A"]);
    as_bot(folder, &["commit", "--quiet", "-m", "a file"]);
    git(folder, &["rev-parse", "HEAD"])
}

/// The bot's tip again, with this tree and these parents and its own message.
fn retell(folder: &Path, tip: &str, tree: &str, parents: &[&str]) {
    let message = git(folder, &["log", "-1", "--format=%B", tip]);
    let parents: Vec<&str> = parents.iter().flat_map(|parent| ["-p", parent]).collect();
    let made = as_bot(folder, &[&["commit-tree", tree, "-m", &message], &parents[..]].concat());
    git(folder, &["reset", "--quiet", "--hard", &made]);
}

type Attack = (&'static str, fn(&Path, &str));

/// Each is on the bot's branch, whose tip it is given; what it leaves checked out is pushed.
const ATTACKS: [Attack; 12] = [
    ("a file of their own", |folder, _| {
        std::fs::write(folder.join("evil.yaml"), "evil: true\n").unwrap();
        git(folder, &["add", "-A"]);
        as_bot(folder, &["commit", "--quiet", "--amend", "--no-edit"]);
    }),
    ("a commit below the bot's", |folder, tip| {
        git(folder, &["reset", "--quiet", "--hard", "HEAD~1"]);
        commit_a_file(folder);
        as_bot(folder, &["cherry-pick", tip]);
    }),
    ("an equal tree on another parent", |folder, tip| {
        git(folder, &["reset", "--quiet", "--hard", "HEAD~1"]);
        let evil = commit_a_file(folder);
        retell(folder, tip, &format!("{tip}^{{tree}}"), &[&evil]);
    }),
    ("a second parent", |folder, tip| {
        git(folder, &["reset", "--quiet", "--hard", "HEAD~1"]);
        let evil = commit_a_file(folder);
        retell(folder, tip, &format!("{tip}^{{tree}}"), &[&format!("{tip}~1"), &evil]);
    }),
    ("more in the same file", |folder, _| {
        let file = folder.join("apps/web/overlays/prod/kustomization.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}# evil\n")).unwrap();
        as_bot(folder, &["commit", "--quiet", "--all", "--amend", "--no-edit"]);
    }),
    ("another version", |folder, _| {
        let file = folder.join("apps/web/overlays/prod/kustomization.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("1.3.0", "6.6.6")).unwrap();
        as_bot(folder, &["commit", "--quiet", "--all", "--amend", "--no-edit"]);
    }),
    ("another version that the message names", |folder, tip| {
        let file = folder.join("apps/web/overlays/prod/kustomization.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("1.3.0", "6.6.6")).unwrap();
        let message = git(folder, &["log", "-1", "--format=%B", tip]).replace("1.3.0", "6.6.6");
        as_bot(folder, &["commit", "--quiet", "--all", "--amend", "-m", &message]);
    }),
    ("a program", |folder, _| {
        git(folder, &["update-index", "--chmod=+x", "apps/web/overlays/prod/kustomization.yaml"]);
        as_bot(folder, &["commit", "--quiet", "--amend", "--no-edit"]);
    }),
    ("another environment in the record", |folder, tip| {
        let message = git(folder, &["log", "-1", "--format=%B", tip]);
        let other = message.replace("Landfall-Environment: prod", "Landfall-Environment: prod2");
        assert_ne!(other, message);
        as_bot(folder, &["commit", "--quiet", "--amend", "-m", &other]);
    }),
    ("a message that fills the memory", |folder, tip| {
        let message = git(folder, &["log", "-1", "--format=%B", tip]);
        let (file, much) = (folder.join(".git/message"), "x".repeat(79) + "\n");
        std::fs::write(&file, format!("{}\n{message}", much.repeat(250_000))).unwrap();
        as_bot(folder, &["commit", "--quiet", "--amend", "-F", file.to_str().unwrap()]);
    }),
    ("more records than the bot ever writes", |folder, tip| {
        let message = git(folder, &["log", "-1", "--format=%B", tip]);
        let (file, much) = (folder.join(".git/message"), "Landfall-Update: 0123456789abcdef\n".repeat(5_000));
        std::fs::write(&file, format!("{message}\n{much}")).unwrap();
        as_bot(folder, &["commit", "--quiet", "--amend", "-F", file.to_str().unwrap()]);
    }),
    ("a record of something else", |folder, tip| {
        let message = git(folder, &["log", "-1", "--format=%B", tip]);
        as_bot(
            folder,
            &["commit", "--quiet", "--amend", "-m", &format!("{message}\nLandfall-Release: 0123456789abcdef")],
        );
    }),
];

fn repelled(world: &World, prepare: impl Fn()) {
    let branch = world.heads()[0].clone();
    let (tip, main) = (world.tip(&branch), world.tip("main"));
    let push = |attack: &dyn Fn(&Path)| {
        world.work(&branch, |folder| {
            attack(folder);
            git(folder, &["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
        })
    };
    for (what, attack) in ATTACKS {
        let theirs = push(&|folder| attack(folder, &tip));
        assert_ne!(theirs, tip, "{what}");
        prepare();
        let report = world.apply();
        assert_eq!(report["actions"], json!([]), "{what}: {report:#}");
        let reason = report["holds"][0]["reason"].as_str().unwrap();
        let known = ["somebody else", "not what the bot writes", "does not show the last commit"];
        assert!(known.iter().any(|known| reason.contains(known)), "{what}: {reason}");
        assert_eq!((world.tip("main"), world.tip(&branch)), (main.clone(), theirs), "{what}");
        push(&|folder| drop(git(folder, &["reset", "--quiet", "--hard", &tip])));
        assert_eq!(world.tip(&branch), tip);
    }
    prepare();
    let report = world.apply();
    assert_eq!(report["actions"][0]["kind"], "merge", "what the bot wrote itself is merged: {report:#}");
    assert_eq!(world.tag("web", "prod"), "1.3.0");
    fsck(&world.bare());
}

#[test]
fn the_local_forge_merges_nothing_of_a_stranger() {
    let world = started(prod("automerge: true"));
    repelled(&world, || ());
}

fn nothing_of_a_stranger_is_merged_on(speech: Speech) {
    let world = started(prod("automerge: true, checks: [ci]").hosted(speech));
    let branch = world.heads()[0].clone();
    repelled(&world, || world.github().run(&branch, "ci", "completed", Some("success")));
}

#[test]
fn github_merges_nothing_of_a_stranger() {
    nothing_of_a_stranger_is_merged_on(Speech::GitHub);
}

#[test]
fn gitlab_merges_nothing_of_a_stranger() {
    nothing_of_a_stranger_is_merged_on(Speech::GitLab);
}

#[test]
fn gitea_merges_nothing_of_a_stranger() {
    nothing_of_a_stranger_is_merged_on(Speech::Gitea);
}

#[test]
fn bitbucket_merges_nothing_of_a_stranger() {
    nothing_of_a_stranger_is_merged_on(Speech::Bitbucket);
}

#[test]
fn bitbucket_data_center_merges_nothing_of_a_stranger() {
    nothing_of_a_stranger_is_merged_on(Speech::BitbucketDc);
}

#[test]
fn azure_devops_merges_nothing_of_a_stranger() {
    nothing_of_a_stranger_is_merged_on(Speech::Azure);
}

/// web has come to dev, and a pull request brings it on to prod.
fn promoted(checks: &str) -> Setup {
    let policies = format!(
        r#"policies:
  - name: dev
    paths: ["apps/{{app}}/overlays/dev/**"]
    environment: dev
    write: commit
    tags: {{ semver: "*" }}
  - name: prod
    paths: ["apps/{{app}}/overlays/prod/**"]
    environment: prod
    write: pull-request
    tags: {{ semver: "*" }}
    promoteFrom: {{ environment: dev, require: committed }}
    pullRequest: {{ automerge: true{checks} }}
"#
    );
    World::web().policies(&policies)
}

fn promoting(setup: Setup) -> World {
    let world = setup.start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    assert_eq!((world.tag("web", "dev").as_str(), world.heads().len()), ("1.3.0", 1));
    world
}

#[test]
fn the_local_forge_promotes_nothing_of_a_stranger() {
    repelled(&promoting(promoted("")), || ());
}

#[test]
fn github_promotes_nothing_of_a_stranger() {
    let world = promoting(promoted(", checks: [ci]").github(""));
    let branch = world.heads()[0].clone();
    repelled(&world, || world.github().run(&branch, "ci", "completed", Some("success")));
}

#[test]
fn nobody_approves_of_a_promotion_that_they_have_pushed() {
    for speech in [Speech::GitHub, Speech::GitLab, Speech::Gitea, Speech::Bitbucket, Speech::BitbucketDc, Speech::Azure]
    {
        only_others_approve(&promoting(promoted(", checks: [ci], approvals: 1").hosted(speech)));
    }
}

#[test]
fn a_rollback_that_somebody_asked_for_is_merged_by_people_alone() {
    for github in [false, true] {
        let setup = prod("automerge: true");
        let world = started(if github { setup.github("") } else { setup });
        let branch = world.heads()[0].clone();
        world.work("main", |folder| {
            git(folder, &["merge", "--quiet", "--no-ff", "-m", "merged", &format!("origin/{branch}")]);
        });
        world.git(&["branch", "-D", &branch]);
        assert_eq!(world.tag("web", "prod"), "1.3.0");
        world.landfall(&["rollback", "web", "--environment", "prod", "--to", "1.2.3", "--by", "Ada"]).ends(0);
        let heads = world.heads();
        let rollback = heads.iter().find(|head| head.contains("rollback")).unwrap();
        let (tip, main) = (world.tip(rollback), world.tip("main"));
        for (what, attack) in ATTACKS.iter().take(4) {
            world.work(rollback, |folder| {
                git(folder, &["reset", "--quiet", "--hard", &tip]);
                attack(folder, &tip);
                git(folder, &["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{rollback}")]);
            });
            let report = world.apply();
            let merged = report["actions"].as_array().unwrap().iter().any(|action| action["kind"] == "merge");
            assert!(!merged, "{what}: {report:#}");
            assert_eq!(world.tip("main"), main, "{what}");
        }
    }
}

#[test]
fn the_bots_branch_of_a_values_file_is_its_own() {
    let policies = r#"policies:
  - name: all
    paths: ["charts/{app}/values-{env}.yaml"]
    write: pull-request
    tags: { semver: "*" }
    pullRequest: { automerge: true }
"#;
    let values = "image:\n  repository: REG/acme/web\n  tag: 1.2.3\n";
    let world = World::setup().policies(policies).file("charts/web/values-prod.yaml", values).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    assert_eq!(world.apply()["actions"][0]["kind"], "pull-request");
    let report = world.apply();
    assert_eq!(report["actions"][0]["kind"], "merge", "{report:#}");
    assert!(world.read("main", "charts/web/values-prod.yaml").contains("1.3.0"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a stranger's git is not one that Landfall starts")]
fn a_backdated_commit_has_not_settled() {
    let world = started(prod("automerge: true").github(""));
    let branch = world.heads()[0].clone();
    let waits = || {
        let report = world.apply();
        assert_eq!(report["actions"], json!([]), "{report:#}");
        assert!(report["holds"][0]["reason"].as_str().unwrap().contains("it has just been pushed"), "{report:#}");
    };
    waits();
    world.work(&branch, |folder| {
        let old = "2020-01-01T00:00:00Z";
        let tip = git(folder, &["rev-parse", "HEAD"]);
        let message = git(folder, &["log", "-1", "--format=%B"]);
        let mut made = std::process::Command::new("git");
        made.current_dir(folder).args(["commit-tree", &format!("{tip}^{{tree}}"), "-p", "HEAD~1", "-m", &message]);
        for role in ["AUTHOR", "COMMITTER"] {
            made.env(format!("GIT_{role}_NAME"), "Landfall").env(format!("GIT_{role}_EMAIL"), "landfall@example.com");
            made.env(format!("GIT_{role}_DATE"), old);
        }
        let made = String::from_utf8(made.output().unwrap().stdout).unwrap();
        git(folder, &["push", "--quiet", "--force", "origin", &format!("{}:refs/heads/{branch}", made.trim())]);
        git(folder, &["reset", "--quiet", "--hard", made.trim()]);
    });
    waits();
    assert_eq!(world.github().merges().len(), 0);
}

/// Who pushed the branch of the first pull request approves of it in vain; somebody else does not.
#[track_caller]
fn only_others_approve(world: &World) {
    let (github, branch) = (world.github(), world.heads()[0].clone());
    github.run(&branch, "ci", "completed", Some("success"));
    github.pushed_by(&branch, "ann");
    github.review(1, "ann", "APPROVED");
    let report = world.apply();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    let reason = report["holds"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("the approval of ann does not count: they pushed this commit themselves"), "{reason}");
    github.review(1, "ben", "APPROVED");
    assert_eq!(world.apply()["actions"][0]["kind"], "merge");
}

#[test]
fn nobody_approves_of_what_they_have_pushed() {
    only_others_approve(&started(prod("automerge: true, approvals: 1, checks: [ci]").github("")));
}

/// An outsider's commit says that it has rolled something back, or is such a rollback, without a tree that bears it out.
#[test]
fn a_forged_record_of_a_rollback_steers_nothing() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let update = world.plan()["actions"][0]["updates"][0].clone();
    let id = update["id"].as_str().unwrap();
    for author in ["Eve", "Landfall"] {
        world.work("main", |folder| {
            std::fs::write(folder.join(format!("by-{author}")), "x\n").unwrap();
            git(folder, &["add", "-A"]);
            let trailers = format!(
                "Landfall-Update: {id}\nLandfall-Rollback: {id}\nLandfall-Image: {}/acme/web\nLandfall-Overlay: \
                 apps/web/overlays/dev\nLandfall-From: 1.3.0\nLandfall-To: 1.2.3\nLandfall-By: Ada",
                world.host
            );
            let message = format!("dev: roll web back to 1.2.3\n\n{trailers}");
            let run: fn(&Path, &[&str]) -> String = if author == "Landfall" { as_bot } else { git };
            drop(run(folder, &["commit", "--quiet", "-m", &message]));
        });
        let report = world.plan();
        assert_eq!(report["holds"], json!([]), "{author}: {report:#}");
        assert_eq!(report["actions"][0]["updates"][0]["to"]["tag"], "1.3.0", "{author}: {report:#}");
    }
    assert_eq!(world.apply()["actions"][0]["kind"], "commit");
    assert_eq!(world.tag("web", "dev"), "1.3.0");
}

/// Trailers of a record that the bot would write for web in dev.
fn record(world: &World, id: &str, tag: &str, more: &str) -> String {
    format!(
        "Landfall-Update: {id}\nLandfall-Image: {}/acme/web\nLandfall-Overlay: apps/web/overlays/dev\nLandfall-From: 1.2.3\n\
         Landfall-To: {tag}\nLandfall-Policy: dev\nLandfall-Environment: dev\n{more}",
        world.host
    )
}

/// On a branch beside main, web moves to a version and back; only `README` is left of it when somebody merges that.
fn merge_what_was_taken_back(world: &World, (from, to): (&str, &str), message: &str) {
    let overlay = "apps/web/overlays/dev/kustomization.yaml";
    world.work("main", |folder| {
        git(folder, &["checkout", "--quiet", "-b", "side"]);
        let file = folder.join(overlay);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(from, to)).unwrap();
        drop(as_bot(folder, &["commit", "--quiet", "--all", "-m", message]));
        std::fs::write(&file, &text).unwrap();
        std::fs::write(folder.join("README"), "more words\n").unwrap();
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "--quiet", "-m", "better words"]);
        git(folder, &["checkout", "--quiet", "main"]);
        git(folder, &["merge", "--quiet", "--no-ff", "-m", "Merge pull request #7 from eve/words", "side"]);
    });
}

#[test]
fn a_record_whose_merge_brought_nothing_of_it_steers_nothing() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let id = world.plan()["actions"][0]["updates"][0]["id"].as_str().unwrap().to_owned();
    let update = format!("dev: web 1.3.0\n\n{}", record(&world, &id, "1.3.0", ""));
    merge_what_was_taken_back(&world, ("1.2.3", "1.3.0"), &update);
    let report = world.plan();
    assert_eq!(report["holds"], json!([]), "{report:#}");
    assert_eq!(report["actions"][0]["updates"][0]["to"]["tag"], "1.3.0", "{report:#}");
}

/// Somebody pulls main into a branch of their own and pushes that: main's own past is then beside the line of first parents.
#[test]
fn what_was_decided_before_a_pull_stays_decided() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    world.landfall(&["rollback", "web", "--environment", "dev", "--by", "Ada", "--reason", "it leaks"]).ends(0);
    assert_eq!(world.tag("web", "dev"), "1.2.3");
    world.work("main", |folder| {
        git(folder, &["checkout", "--quiet", "-b", "own", "HEAD~2"]);
        std::fs::write(folder.join("README"), "words\n").unwrap();
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "--quiet", "-m", "words"]);
        git(folder, &["pull", "--quiet", "--no-rebase", "--no-edit", "origin", "main"]);
        git(folder, &["branch", "--quiet", "--force", "main", "own"]);
        git(folder, &["checkout", "--quiet", "main"]);
    });
    let report = world.plan();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert!(report["holds"][0]["reason"].as_str().unwrap().contains("was rolled back by Ada"), "{report:#}");
}

/// A bump dated in 2099, reverted by a person: what is released after it is released, and no limit is spent on it for ever.
#[test]
fn a_commit_of_the_future_is_released_like_any_other() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let id = world.plan()["actions"][0]["updates"][0]["id"].as_str().unwrap().to_owned();
    world.work("main", |folder| {
        let file = folder.join("apps/web/overlays/dev/kustomization.yaml");
        std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replace("1.2.3", "1.3.0")).unwrap();
        git(folder, &["add", "-A"]);
        let message = format!("dev: web 1.3.0\n\n{}", record(&world, &id, "1.3.0", ""));
        let mut commit = crate::support::git::command("git");
        commit.current_dir(folder).args(["commit", "--quiet", "-m", &message]);
        commit.env("GIT_AUTHOR_DATE", "4080000000 +0000").env("GIT_COMMITTER_DATE", "4080000000 +0000");
        assert!(commit.status().unwrap().success());
        git(folder, &["revert", "--no-edit", "HEAD"]);
    });
    let held = world.plan();
    assert!(held["holds"][0]["reason"].as_str().unwrap().contains("has since been reverted"), "{held:#}");
    world.landfall(&["release", "web", "--by", "Ada", "--reason", "it was the database"]).ends(0);
    assert_eq!(world.plan()["actions"][0]["updates"][0]["to"]["tag"], "1.3.0");
}
