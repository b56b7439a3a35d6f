//! Gitea's own registry: images that are pushed by plain HTTP calls are listed, chosen and committed, by tokens of the
//! registry's own token service.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{By, SCOPES, Scene};
use crate::registry::real::{http, push};
use crate::support::world::overlay;

const DEV: &str = "policies:\n  - name: dev\n    paths: [\"apps/{app}/overlays/dev/**\"]\n    environment: dev\n    write: commit\n    \
                   tags: { semver: \"*\" }\n";

/// Somebody pushes an image of the organization's.
pub(super) fn pushes(scene: &Scene, tag: &str) {
    let name = format!("{}/web", scene.owner);
    drop(super::server::blocking(push(&http(), &scene.gitea.url, &name, tag, Some(&scene.gitea.basic()))));
}

/// An app in dev whose image is on Gitea at 1.2.3, with 1.3.0 beside it; the bot logs in by these credentials.
pub(super) fn scene(credentials: &str) -> Scene {
    let scene = Scene::new();
    scene.team("bots", &[&scene.bot]);
    let image =
        format!("images:\n  - name: web\n    newName: {}/{}/web\n    newTag: 1.2.3\n", scene.gitea.host(), scene.owner);
    scene.begin(&[(overlay("web", "dev"), image), (".landfall/policies.yaml".to_owned(), DEV.to_owned())]);
    let registry =
        format!("registries:\n  - host: {}\n    plainHttp: true\n    credentials: {credentials}\n", scene.gitea.host());
    scene.reconfigure("registries:\n", &registry.replace("BOT", &scene.bot));
    pushes(&scene, "1.2.3");
    pushes(&scene, "1.3.0");
    scene
}

fn package_token(scene: &Scene) -> String {
    scene.gitea.token(&scene.bot, &[&SCOPES[..], &["read:package"]].concat())
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn an_image_is_listed_chosen_and_committed_by_a_token_with_the_scope_for_packages() {
    let scene = scene("{ username: BOT, password: { env: GITEA_TOKEN } }");
    let image = format!("{}/{}/web", scene.gitea.host(), scene.owner);
    let text = scene.landfall(&["apply"]).ends(4).text();
    assert!(text.contains("token service") && text.contains("401"), "without the scope: {text}");
    assert_eq!(scene.tag("web", "dev"), "1.2.3");
    scene.landfall(&["doctor"]).ends(4);

    let token = package_token(&scene);
    let listed = scene.landfall_as(&token, &["tags", &image, "--semver", "*", "-o", "json"]).ends(0).text();
    assert!(listed.contains("1.2.3") && listed.contains("1.3.0"), "{listed}");
    scene.landfall_as(&token, &["doctor"]).ends(0);
    scene.landfall_as(&token, &["apply"]).ends(0);
    assert_eq!(scene.tag("web", "dev"), "1.3.0");
    for number in 0..30 {
        pushes(&scene, &format!("1.4.{number}"));
    }
    scene.landfall_as(&token, &["apply"]).ends(0);
    assert_eq!(scene.tag("web", "dev"), "1.4.29", "the list is read to its end");
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn what_docker_login_leaves_is_a_login() {
    let scene = scene("{ dockerConfig: { file: config.json } }");
    let token = package_token(&scene);
    let auth = STANDARD.encode(format!("{}:{token}", scene.bot));
    let config = json!({ "auths": { scene.gitea.host(): { "auth": auth } } });
    fs::write(scene.path("config.json"), config.to_string()).unwrap();
    scene.landfall_as(&token, &["apply"]).ends(0);
    assert_eq!(scene.tag("web", "dev"), "1.3.0");
    let auth = STANDARD.encode(format!("{}:0123456789012345678901234567890123456789", scene.bot));
    fs::write(scene.path("config.json"), json!({ "auths": { scene.gitea.host(): { "auth": auth } } }).to_string())
        .unwrap();
    fs::remove_dir_all(scene.path("state")).unwrap();
    scene.landfall_as(&token, &["apply"]).ends(4).says("401");
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn policies_that_need_more_than_names_are_served() {
    let scene = scene("{ username: BOT, password: { env: GITEA_TOKEN } }");
    let token = package_token(&scene);
    // Its digest, and what it runs on.
    let policy = DEV.replace("{ semver: \"*\" }", "{ semver: \"*\", platforms: [linux/amd64] }\n    pin: digest");
    scene.write(&[(".landfall/policies.yaml", &policy)]);
    let ran = scene.landfall_as(&token, &["apply", "-o", "json"]);
    let text = ran.text();
    let clone = scene.clone_of("main");
    let file = fs::read_to_string(clone.path().join(overlay("web", "dev"))).unwrap();
    assert!(file.contains("1.3.0") && file.contains("digest: sha256:"), "{file}\n{text}");
}

#[test]
#[ignore = "needs a built Gitea: tests/gitea/run"]
fn an_image_that_is_not_there_or_not_to_be_seen_is_told() {
    let scene = scene("{ username: BOT, password: { env: GITEA_TOKEN } }");
    let token = package_token(&scene);
    let host = scene.gitea.host();
    let missing = format!("{host}/{}/missing", scene.owner);
    scene.landfall_as(&token, &["tags", &missing, "--semver", "*"]).says("404");
    // Another organization's.
    let other = format!("others-of-{}", scene.owner);
    scene.gitea.post("orgs", &json!({ "username": other, "visibility": "private" }));
    let name = format!("{other}/web");
    drop(super::server::blocking(push(&http(), &scene.gitea.url, &name, "1.0.0", Some(&scene.gitea.basic()))));
    let text = scene.landfall_as(&token, &["tags", &format!("{host}/{name}"), "--semver", "*"]).text();
    assert!(!text.contains("1.0.0"), "{text}");
    // What is deleted is no candidate any more.
    let path = format!("packages/{}/container/web/1.3.0", scene.owner);
    scene.gitea.does(By::Admin, Method::DELETE, &path, &Value::Null);
    let report = scene.landfall_as(&token, &["apply", "-o", "json"]).ends(0).report();
    assert_eq!(report["actions"], json!([]), "{report:#}");
}
