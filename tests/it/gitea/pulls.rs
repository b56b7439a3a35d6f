//! What becomes of a pull request on a real Gitea: opened, kept up to date, closed by people and by the bot.

use reqwest::Method;
use serde_json::json;

use super::{Scene, Value};

const ASKED: &str = "labels: [release], reviewers: [ANN, OWNER/sre], draft: true";

fn names(of: &Value, key: &str, name: &str) -> Vec<String> {
    let all = of[key].as_array().cloned().unwrap_or_default();
    all.iter().map(|one| one[name].as_str().unwrap().to_owned()).collect()
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_pull_request_is_as_the_policy_asks_and_updated_in_place() {
    let scene = Scene::prod(ASKED);
    scene.team("sre", &[&scene.ben]);
    scene.label("release");
    scene.push("1.3.0");
    assert_eq!(scene.warns(&scene.token), "");
    let pull = scene.pull(1);
    assert_eq!(pull["title"], "WIP: prod: bump web to 1.3.0");
    assert_eq!((&pull["draft"], &pull["base"]["ref"]), (&json!(true), &json!("main")));
    assert_eq!(pull["user"]["login"], scene.bot.as_str());
    assert_eq!(names(&pull, "labels", "name"), ["release"]);
    assert_eq!(names(&pull, "requested_reviewers", "login"), [scene.ann.as_str()]);
    assert_eq!(names(&pull, "requested_reviewers_teams", "name"), ["sre"]);
    let branch = pull["head"]["ref"].as_str().unwrap().to_owned();
    assert_eq!(scene.tag_at(&branch, "web", "prod"), "1.3.0");
    assert_eq!(scene.apply()["actions"], json!([]), "there is nothing to do");

    // People take the label and the reviewers away, and say that it is ready: all of it stays so.
    let label = pull["labels"][0]["id"].clone();
    scene.by(&scene.ann, Method::DELETE, &format!("issues/1/labels/{label}"), &Value::Null);
    let asked = json!({ "reviewers": [scene.ann], "team_reviewers": ["sre"] });
    scene.by(&scene.ben, Method::DELETE, "pulls/1/requested_reviewers", &asked);
    scene.by(&scene.ann, Method::PATCH, "pulls/1", &json!({ "title": "prod: bump web to 1.3.0" }));
    scene.push("1.4.0");
    assert_eq!(scene.warns(&scene.token), "");
    let pull = scene.pull(1);
    assert_eq!(
        (scene.pulls().len(), &pull["title"], &pull["draft"]),
        (1, &json!("prod: bump web to 1.4.0"), &json!(false))
    );
    assert_eq!(names(&pull, "labels", "name"), [""; 0]);
    assert_eq!(names(&pull, "requested_reviewers", "login"), [""; 0]);
    assert_eq!(names(&pull, "requested_reviewers_teams", "name"), [""; 0]);
    assert_eq!(scene.tag_at(&branch, "web", "prod"), "1.4.0");
    assert!(pull["body"].as_str().unwrap().contains("1.4.0"), "{pull:#}");
    assert_eq!(scene.apply()["actions"], json!([]));
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn what_cannot_be_added_is_told_and_the_rest_is_there() {
    let scene = Scene::prod("labels: [release, unheard-of], reviewers: [nobody-at-all, ANN, stranger, OWNER/none]");
    // A stranger exists, and may not see the repository.
    if scene.gitea.call(super::By::Admin, Method::GET, "users/stranger", &Value::Null).0 == 404 {
        scene.gitea.person("stranger");
    }
    scene.label("release");
    scene.push("1.3.0");
    let told = scene.warns(&scene.token);
    for part in ["`unheard-of` does not exist", "nobody-at-all", "stranger", &format!("{}/none", scene.owner)] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let pull = scene.pull(1);
    assert_eq!(names(&pull, "labels", "name"), ["release"]);
    assert_eq!(names(&pull, "requested_reviewers", "login"), [scene.ann.as_str()], "{told}");
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_label_of_the_organization_is_found_where_the_token_may_read_it_and_told_where_not() {
    let scene = Scene::prod("labels: [everywhere]");
    let label = json!({ "name": "everywhere", "color": "#ededed" });
    scene.gitea.post(&format!("orgs/{}/labels", scene.owner), &label);
    scene.team("bots", &[&scene.bot]);
    scene.push("1.3.0");
    let told = scene.warns(&scene.token);
    assert!(told.contains("the scope `read:organization`"), "{told}");
    assert_eq!(names(&scene.pull(1), "labels", "name"), [""; 0]);
    let token = scene.gitea.token(&scene.bot, &["write:repository", "write:issue", "read:organization"]);
    scene.push("1.4.0");
    let told = scene.warns(&token);
    assert!(!told.contains("label"), "{told}");
    assert_eq!(names(&scene.pull(1), "labels", "name"), ["everywhere"]);
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn what_a_person_closed_is_held_until_something_newer_appears() {
    let scene = Scene::prod("");
    scene.push("1.3.0");
    scene.does("pull-request");
    scene.by(&scene.ann, Method::PATCH, "pulls/1", &json!({ "state": "closed" }));
    assert!(scene.waits().starts_with("hold: "));
    assert!(scene.waits().contains("closed"), "{}", scene.waits());
    // Nor does a bot that remembers nothing open it again, where the branch is gone as well.
    let branch = scene.pull(1)["head"]["label"].as_str().unwrap().to_owned();
    if scene.heads().contains(&branch) {
        scene.by(&scene.ann, Method::DELETE, &format!("branches/{}", branch.replace('/', "%2F")), &Value::Null);
    }
    std::fs::remove_dir_all(scene.path("state")).unwrap();
    assert!(scene.waits().starts_with("hold: "));
    scene.push("1.4.0");
    scene.does("pull-request");
    let pulls = scene.pulls();
    assert_eq!((pulls.len(), &pulls[0]["state"], &pulls[1]["state"]), (2, &json!("closed"), &json!("open")));
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn what_has_nothing_left_to_do_is_closed_with_a_word() {
    let scene = Scene::prod("");
    scene.push("1.3.0");
    scene.does("pull-request");
    let path = crate::support::world::overlay("web", "prod");
    scene.work("main", |folder| {
        let file = folder.join(&path);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("1.2.3", "1.3.0")).unwrap();
    });
    scene.does("close");
    let said = scene.comments(1);
    assert_eq!(
        (scene.pull(1)["state"].as_str(), said.len(), scene.heads()),
        (Some("closed"), 1, vec!["main".to_owned()])
    );
    assert_eq!(scene.apply()["actions"], json!([]));
    assert_eq!(scene.comments(1), said, "it is said once");
}

/// Somebody deletes the branch of an open pull request: Gitea closes it, and that is a decision.
#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_branch_that_somebody_deletes_closes_its_pull_request() {
    let scene = Scene::prod("");
    scene.push("1.3.0");
    scene.does("pull-request");
    let branch = scene.pull(1)["head"]["ref"].as_str().unwrap().to_owned();
    scene.by(&scene.ann, Method::DELETE, &format!("branches/{}", branch.replace('/', "%2F")), &Value::Null);
    super::until("Gitea closes it", || scene.pull(1)["state"] == "closed");
    assert!(scene.waits().starts_with("hold: "));
    scene.push("1.4.0");
    scene.does("pull-request");
    assert_eq!(scene.pulls().len(), 2);
}

/// Many are listed to the end, and closed ones are known again.
#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn more_than_a_page_of_pull_requests_is_read() {
    let scene = Scene::prod("");
    let tip = scene.tip("main");
    scene.work("main", |folder| {
        for number in 0..60 {
            let branch = format!("feature-{number}");
            crate::support::git::git(folder, &["checkout", "--quiet", "-b", &branch, &tip]);
            std::fs::write(folder.join("note"), branch.as_bytes()).unwrap();
            crate::support::git::git(folder, &["add", "note"]);
            crate::support::git::git(folder, &["commit", "--quiet", "-m", "a note"]);
            crate::support::git::git(folder, &["push", "--quiet", "origin", &branch]);
        }
        crate::support::git::git(folder, &["checkout", "--quiet", "main"]);
    });
    scene.push("1.3.0");
    scene.does("pull-request");
    for number in 0..60 {
        let body = json!({ "title": format!("feature {number}"), "head": format!("feature-{number}"), "base": "main" });
        scene.by(&scene.ann, Method::POST, "pulls", &body);
    }
    std::fs::remove_dir_all(scene.path("state")).unwrap();
    assert_eq!(scene.apply()["actions"], json!([]));
    scene.by(&scene.ann, Method::PATCH, "pulls/1", &json!({ "state": "closed" }));
    for number in 2..62 {
        scene.by(&scene.ann, Method::PATCH, &format!("pulls/{number}"), &json!({ "state": "closed" }));
    }
    assert!(scene.waits().starts_with("hold: "));
}
