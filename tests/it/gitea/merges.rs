//! Merges on a real Gitea: by approval and status, and against its rules.

use reqwest::Method;
use serde_json::{Value, json};

use super::Scene;

const AUTOMERGE: &str = "automerge: true, approvals: 1, checks: [build]";

fn open(settings: &str) -> Scene {
    let scene = Scene::prod(settings);
    scene.push("1.3.0");
    scene.does("pull-request");
    scene.computed(1);
    scene
}

/// A rule of `main`.
fn rule(scene: &Scene, keys: &Value) {
    let mut rule = json!({ "rule_name": "main" });
    for (key, value) in keys.as_object().unwrap() {
        rule[key] = value.clone();
    }
    scene.post("branch_protections", &rule);
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn it_is_merged_once_it_is_approved_and_the_status_is_there() {
    for method in ["", ", mergeMethod: squash", ", mergeMethod: rebase"] {
        let scene = open(&format!("{AUTOMERGE}{method}"));
        let waits = |for_what: &str| {
            let reason = scene.waits();
            assert!(reason.contains(for_what), "{reason}");
        };
        waits("it has 0 of 1 approvals");
        scene.review(1, &scene.ann, "REQUEST_CHANGES");
        waits("asked for changes");
        // A comment takes nothing back.
        scene.review(1, &scene.ann, "COMMENT");
        waits("asked for changes");
        scene.review(1, &scene.ann, "APPROVED");
        waits("the forge shows no check build yet");
        for (state, for_what) in
            [("pending", "has not finished"), ("failure", "check build failed"), ("warning", "check build failed")]
        {
            scene.status(1, "build", state);
            waits(for_what);
        }
        scene.status(1, "build", "success");
        let merged = scene.merges();
        assert_eq!(merged["result"]["verified"], true, "{merged:#}");
        let pull = scene.pull(1);
        assert_eq!(
            (&pull["merged"], &merged["result"]["commit"]),
            (&json!(true), &pull["merge_commit_sha"]),
            "{method}"
        );
        assert_eq!(pull["merged_by"]["login"], scene.bot.as_str());
        assert_eq!((scene.tag("web", "prod").as_str(), scene.heads()), ("1.3.0", vec!["main".to_owned()]));
        let report = scene.apply();
        assert_eq!((&report["actions"], &report["upToDate"]), (&json!([]), &json!(1)), "{method}: {report:#}");
        // The merge is the record: what a person takes back now stays back.
        let parent = if method.is_empty() { &["-m", "1"][..] } else { &[] };
        scene.work("main", |folder| {
            let revert = [&["revert", "--no-edit"], parent, &["HEAD"]].concat();
            crate::support::git::git(folder, &revert);
        });
        assert!(scene.waits().starts_with("hold: "), "{method}: {}", scene.waits());
    }
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn an_approval_is_for_what_it_was_given_to_and_from_who_may() {
    let scene = open(AUTOMERGE);
    scene.status(1, "build", "success");
    scene.may(&scene.ben, "read");
    scene.review(1, &scene.ben, "APPROVED");
    assert!(scene.waits().contains("it has 0 of 1 approvals"), "{}", scene.waits());
    scene.review(1, &scene.ann, "APPROVED");
    scene.push("1.4.0");
    scene.does("pull-request");
    scene.computed(1);
    scene.status(1, "build", "success");
    assert!(scene.waits().contains("approved an earlier commit"), "{}", scene.waits());
    scene.review(1, &scene.ann, "APPROVED");
    scene.merges();
    assert_eq!(scene.tag("web", "prod"), "1.4.0");
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn who_is_deleted_approves_nothing() {
    let scene = open(AUTOMERGE);
    scene.status(1, "build", "success");
    scene.review(1, &scene.ann, "APPROVED");
    scene.gitea.does(super::By::Admin, Method::DELETE, &format!("admin/users/{}?purge=false", scene.ann), &Value::Null);
    assert!(scene.waits().contains("it has 0 of 1 approvals"), "{}", scene.waits());
    scene.review(1, &scene.ben, "APPROVED");
    scene.merges();
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn what_a_rule_of_the_branch_refuses_waits_with_its_words() {
    for (keys, said, then) in [
        (json!({ "required_approvals": 2 }), "Does not have enough approvals", "approve"),
        (
            json!({ "enable_status_check": true, "status_check_contexts": ["other"] }),
            "Not all required status checks",
            "status",
        ),
        (json!({ "block_on_official_review_requests": true }), "There are official review requests", "answer"),
        (json!({ "protected_file_patterns": "apps/**" }), "Changed protected files", ""),
        (
            json!({ "enable_merge_whitelist": true, "merge_whitelist_usernames": [] }),
            "User not allowed to merge PR",
            "",
        ),
    ] {
        let scene = open(AUTOMERGE);
        rule(&scene, &keys);
        if then == "answer" {
            scene.by(&scene.ann, Method::POST, "pulls/1/requested_reviewers", &json!({ "reviewers": [scene.ben] }));
        }
        scene.status(1, "build", "success");
        scene.review(1, &scene.ann, "APPROVED");
        // Gitea looks again after a rule has changed.
        scene.computed(1);
        let reason = scene.waits();
        assert!(reason.starts_with("approval: ") && reason.contains(said), "{keys}: {reason}");
        assert_eq!(scene.tag("web", "prod"), "1.2.3");
        match then {
            "approve" | "answer" => scene.review(1, &scene.ben, "APPROVED"),
            "status" => scene.status(1, "other", "success"),
            _ => continue,
        }
        scene.merges();
        assert_eq!(scene.tag("web", "prod"), "1.3.0", "{keys}");
    }
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_code_owner_is_asked_by_gitea_and_the_merge_waits_for_them() {
    let scene = Scene::prod("automerge: true, checks: [build]");
    let owners = format!("apps/.* @{}\n", scene.ben);
    scene.write(&[("CODEOWNERS", &owners)]);
    rule(&scene, &json!({ "block_on_official_review_requests": true, "enable_push": true }));
    scene.push("1.3.0");
    scene.does("pull-request");
    scene.computed(1);
    assert_eq!(scene.pull(1)["requested_reviewers"][0]["login"], scene.ben.as_str(), "{:#}", scene.pull(1));
    scene.status(1, "build", "success");
    assert!(scene.waits().contains("There are official review requests"), "{}", scene.waits());
    scene.review(1, &scene.ben, "APPROVED");
    scene.merges();
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_branch_that_is_behind_is_brought_up_to_date_where_the_bot_may_see_the_rule() {
    for right in ["admin", "write"] {
        let scene = open("automerge: true, checks: [build]");
        scene.may(&scene.bot, right);
        rule(&scene, &json!({ "block_on_outdated_branch": true, "enable_push": true }));
        scene.write(&[("docs/note.md", "a note\n")]);
        scene.status(1, "build", "success");
        let before = scene.pull(1)["head"]["sha"].clone();
        if right == "write" {
            let reason = scene.waits();
            assert!(reason.contains("The head branch is behind the base branch"), "{reason}");
            continue;
        }
        scene.does("update");
        assert_ne!(scene.pull(1)["head"]["sha"], before);
        scene.computed(1);
        scene.status(1, "build", "success");
        scene.merges();
    }
}

/// Gitea says "try again later" of a conflict, too; the bot makes its branch anew on the base.
#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_conflict_is_solved_by_a_branch_that_is_made_anew() {
    let scene = open("automerge: true, checks: [build]");
    let path = crate::support::world::overlay("web", "prod");
    scene.work("main", |folder| {
        let file = folder.join(&path);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("newTag: 1.2.3", "newTag: 1.2.4")).unwrap();
    });
    scene.push("1.2.4");
    scene.status(1, "build", "success");
    let report = scene.apply();
    assert_eq!(report["actions"][0]["kind"], "pull-request", "{report:#}");
    scene.computed(1);
    scene.status(1, "build", "success");
    scene.merges();
    assert_eq!(scene.tag("web", "prod"), "1.3.0");
}

/// What comes between the look and the merge.
#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn what_people_end_themselves_is_no_failure() {
    let scene = open(AUTOMERGE);
    scene.status(1, "build", "success");
    scene.review(1, &scene.ann, "APPROVED");
    let merge = json!({ "Do": "merge" });
    scene.by(&scene.ann, Method::POST, "pulls/1/merge", &merge);
    let report = scene.apply();
    assert_eq!((&report["problems"], scene.tag("web", "prod").as_str()), (&json!([]), "1.3.0"), "{report:#}");
    assert_eq!(scene.apply()["actions"], json!([]));
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_protected_branch_refuses_commits_in_its_own_words() {
    let policy = "policies:\n  - name: dev\n    paths: [\"apps/{app}/overlays/dev/**\"]\n    environment: dev\n    write: commit\n    \
                  tags: { semver: \"*\" }\n";
    let scene = Scene::with(policy, &["dev"]);
    rule(&scene, &json!({ "enable_push": false }));
    scene.push("1.3.0");
    let ran = scene.landfall(&["apply"]);
    assert!(ran.text().contains("protected"), "{}", ran.text());
    assert_eq!(scene.tag("web", "dev"), "1.2.3");
    let whitelist =
        json!({ "enable_push": true, "enable_push_whitelist": true, "push_whitelist_usernames": [scene.bot] });
    scene.patch("branch_protections/main", &whitelist);
    scene.does("commit");
    assert_eq!(scene.tag("web", "dev"), "1.3.0");
}

/// Where branches of the bot's may not be rewritten, it goes on with another.
#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_branch_that_may_not_be_rewritten_gets_a_successor() {
    let scene = Scene::prod("");
    scene.post(
        "branch_protections",
        &json!({ "rule_name": "landfall/**", "enable_push": true, "enable_force_push": false }),
    );
    scene.push("1.3.0");
    scene.does("pull-request");
    scene.push("1.4.0");
    let report = scene.landfall(&["apply", "-o", "json"]).report();
    let open: Vec<Value> = scene.pulls().into_iter().filter(|pull| pull["state"] == "open").collect();
    assert_eq!(open.len(), 1, "{report:#}");
    let branch = open[0]["head"]["ref"].as_str().unwrap();
    assert_eq!(scene.tag_at(branch, "web", "prod"), "1.4.0", "{report:#}");
}
