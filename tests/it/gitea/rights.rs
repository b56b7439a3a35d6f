//! What `landfall doctor` says of tokens and accounts on a real Gitea: the good one, and each that lacks something.

use reqwest::Method;
use serde_json::{Value, json};

use super::{SCOPES, Scene};

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn the_documented_scopes_are_enough_and_without_each_doctor_names_it() {
    let scene = Scene::prod("");
    scene.reconfigure("registries:", "notify:\n  - { name: landings, kind: forge }\nregistries:");
    scene.landfall(&["doctor"]).ends(0).says("0 open pull requests of ours");
    scene.landfall(&["doctor", "--notify", "landings"]).ends(0).says("accepted the test message");
    for (scopes, said) in [
        (&["write:repository"][..], "required=[read:issue]|required=[write:issue]"),
        (&["write:issue"], "required=[read:repository]"),
        (&["read:repository", "write:issue"], "required=[write:repository]"),
        (&["write:repository", "read:issue"], "required=[write:issue]"),
        (&["read:user"], "required=[read:repository]"),
        (&["public-only", "write:repository", "write:issue"], "limited to public"),
    ] {
        let token = scene.gitea.token(&scene.bot, scopes);
        let text = scene.landfall_as(&token, &["doctor"]).ends(4).text();
        assert!(said.split('|').any(|said| text.contains(said)), "{scopes:?}: {text}");
        assert!(text.contains("next: ") || text.contains("give the token the scopes"), "{scopes:?}: {text}");
    }
    // What was asked in order to know has changed nothing.
    assert_eq!(scene.pulls(), Vec::<Value>::new());
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn a_token_that_lacks_a_scope_is_told_where_it_is_needed() {
    let scene = Scene::prod("labels: [release]");
    scene.label("release");
    scene.push("1.3.0");
    let token = scene.gitea.token(&scene.bot, &["read:repository", "write:issue"]);
    let ran = scene.landfall_as(&token, &["apply"]).ends(4);
    assert_eq!((scene.pulls().len(), scene.heads().len()), (0, 1), "{}", ran.text());
    // The pull request is there, its label is not, and why is said.
    let token = scene.gitea.token(&scene.bot, &["write:repository"]);
    let told = scene.warns(&token);
    assert!(told.contains("labels not added") && told.contains("issue]"), "{told}");
    assert_eq!(scene.pulls().len(), 1, "{told}");
    scene.push("1.4.0");
    assert_eq!(scene.warns(&scene.token), "");
    assert_eq!(scene.pull(1)["labels"][0]["name"], "release");
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn an_account_or_a_repository_that_cannot_do_is_told() {
    let scene = Scene::prod("");
    scene.landfall_as("0123456789012345678901234567890123456789", &["doctor"]).ends(4).says("token refused or expired");
    scene.may(&scene.bot, "read");
    scene.landfall(&["doctor"]).ends(4).says("may not push");
    scene.gitea.does(
        super::By::Admin,
        Method::DELETE,
        &format!("{}/collaborators/{}", scene.repository(), scene.bot),
        &Value::Null,
    );
    scene.landfall(&["doctor"]).ends(4).says("not found or no permission");
    scene.may(&scene.bot, "write");
    scene.landfall(&["doctor"]).ends(0);
    scene.patch("", &json!({ "archived": true }));
    scene.landfall(&["doctor"]).says("archived");
    scene.patch("", &json!({ "archived": false }));
    scene.patch("", &json!({ "has_pull_requests": false }));
    scene.landfall(&["doctor"]).says("has no pull requests");
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn an_account_that_is_deleted_is_told_and_its_successor_goes_on() {
    let scene = Scene::prod("");
    scene.push("1.3.0");
    scene.does("pull-request");
    scene.gitea.does(super::By::Admin, Method::DELETE, &format!("admin/users/{}", scene.bot), &Value::Null);
    scene.push("1.4.0");
    let text = scene.landfall(&["apply"]).ends(4).text();
    assert!(text.contains("refused"), "{text}");
    scene.landfall(&["doctor"]).ends(4).says("token refused or expired");
    assert_eq!(
        (scene.pulls().len(), scene.pull(1)["state"].as_str()),
        (1, Some("open")),
        "nothing is done twice, nothing is lost"
    );
    let next = format!("next-{}", scene.bot);
    scene.gitea.person(&next);
    scene.may(&next, "write");
    let token = scene.gitea.token(&next, &SCOPES);
    scene.landfall_as(&token, &["apply"]).ends(0);
    let pull = scene.pull(1);
    assert_eq!((scene.pulls().len(), &pull["title"]), (1, &json!("prod: bump web to 1.4.0")));
    scene.landfall_as(&token, &["doctor"]).ends(0).says("1 open pull requests of ours");
}
