//! GitHub, from policy to pull request, in good weather and bad; and where its token may never be seen (G5).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::support::forge_stub::Fault;
use crate::support::git::{fsck, git};
use crate::support::world::{DEV_PROD, Setup, World, no_secret, secret_forms};

fn github(prefix: &'static str) -> Setup {
    let policies = DEV_PROD.replace(
        "    write: pull-request\n",
        "    write: pull-request\n    pullRequest: { labels: [release], reviewers: [ann, acme/sre], draft: true }\n",
    );
    World::web().policies(&policies).over_http().registry_login().github(prefix)
}

fn started(setup: Setup) -> World {
    let world = setup.start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world
}

#[test]
fn a_pull_request_is_as_the_policy_asks() {
    let world = started(github("/api/v3"));
    let report = world.apply();
    let url = report["actions"][1]["result"]["pullRequest"].as_str().unwrap();
    assert!(url.ends_with("/acme/deploys/pull/1"), "{url}");
    let pull = world.github().pull(1);
    assert_eq!((pull.state, pull.draft, pull.base.as_str()), ("open", true, "main"));
    assert_eq!(
        (pull.labels, pull.reviewers, pull.teams),
        (vec!["release".into()], vec!["ann".into()], vec!["sre".into()])
    );
    assert_eq!(pull.title, "prod: bump web to 1.3.0");
    assert_eq!(world.git(&["log", "-1", "--format=%s", &pull.head]), pull.title);
    assert_eq!(world.numstat(&pull.head), ["1 1 apps/web/overlays/prod/kustomization.yaml"]);
    let asked = world.github().requests();
    assert!(asked.iter().all(|asked| asked.target.starts_with("/api/v3/repos/acme/deploys/")), "{asked:#?}");
    fsck(&world.bare());
}

#[test]
fn a_merge_on_github_ends_it() {
    let world = started(github(""));
    world.apply();
    let head = world.heads()[0].clone();
    world.work("main", |folder| {
        git(folder, &["fetch", "--quiet", "origin", &head]);
        // A squash merge as GitHub makes one: the message is kept.
        git(folder, &["merge", "--squash", "--quiet", "FETCH_HEAD"]);
        let message = world.git(&["log", "-1", "--format=%B", &head]);
        git(folder, &["commit", "--quiet", "-m", &format!("{message}\n\nCo-authored-by: X <x@example.com>")]);
    });
    world.github().merge(1);
    world.git(&["update-ref", "-d", &format!("refs/heads/{head}")]);
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"], &report["upToDate"]), (&json!([]), &json!([]), &json!(2)));
    assert_eq!(world.github().pulls().len(), 1);
}

#[test]
fn a_bad_gateway_after_the_creation_makes_no_second_one() {
    let world = started(github(""));
    world.github().fault(Fault::on("POST", "/pulls").done_but(502));
    let report = world.apply();
    let url = report["actions"][1]["result"]["pullRequest"].as_str().unwrap();
    assert!(url.ends_with("/acme/deploys/pull/1"), "{url}");
    assert_eq!(world.github().pulls().len(), 1);
    assert_eq!(world.apply()["actions"], json!([]));
    assert_eq!(world.github().pulls().len(), 1);
}

#[test]
fn while_github_is_down_dev_goes_on() {
    let world = started(github(""));
    world.github().fault(Fault::on("", "").times(10_000).message(503, "Service Unavailable"));
    let ran = world.landfall(&["apply", "-o", "json"]).ends(2);
    let report = ran.report();
    assert_eq!(report["actions"][0]["result"]["verified"], true, "{report:#}");
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    assert_eq!(world.heads(), Vec::<String>::new(), "no branch without knowing its pull requests");
    let problem = &report["problems"][0];
    assert_eq!(problem["code"], "server", "{report:#}");
    assert!(problem["message"].as_str().unwrap().contains("503"), "{report:#}");
}

#[test]
fn a_refused_token_is_exit_code_4_and_dev_goes_on() {
    let world = started(github(""));
    world.github().token("another");
    let ran = world.landfall(&["apply"]).ends(4).says("token refused or expired; next: give the bot a valid token");
    assert!(ran.stdout.starts_with("✔ committed dev: web 1.2.3 → 1.3.0"), "{ran:?}");
    assert_eq!(ran.stderr, "error: something was refused; see the problems above\n");
    assert_eq!(world.tag("web", "dev"), "1.3.0");
}

#[test]
fn a_refused_password_is_exit_code_4() {
    let world = started(github(""));
    let wrong = [("GIT_PASSWORD", "wr0ng-Git-Passw0rd")];
    let ran = world.landfall_with(&["apply"], &wrong).ends(4);
    assert!(!format!("{ran:?}").contains("wr0ng"), "{ran:?}");
    let wrong = [("REGISTRY_PASSWORD", "wr0ng-Registry-Passw0rd")];
    let ran = world.landfall_with(&["apply"], &wrong).ends(4);
    assert!(!format!("{ran:?}").contains("wr0ng"), "{ran:?}");
    assert_eq!(world.tag("web", "dev"), "1.2.3");
    let missing = world.landfall_with(&["apply"], &[("GITHUB_TOKEN", "")]).ends(2);
    assert!(missing.stderr.contains("GITHUB_TOKEN"), "the variable is named: {missing:?}");
}

#[test]
fn no_secret_is_anywhere() {
    let world = started(github("/api/v3"));
    // A `git` that notes its arguments.
    let bin = world.path("bin");
    fs::create_dir(&bin).unwrap();
    let shim =
        format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{}'\nexec /usr/bin/git \"$@\"\n", world.path("argv").display());
    fs::write(bin.join("git"), shim).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    for level in ["trace", "debug"] {
        // The outputs are searched by the world itself.
        world
            .landfall_with(&["plan"], &[("LANDFALL_LOG", level), ("GIT_TRACE", "1"), ("GIT_CURL_VERBOSE", "1")])
            .ends(0);
        world.landfall_with(&["apply"], &[("LANDFALL_LOG", level), ("RUST_BACKTRACE", "1")]).ends(0);
    }
    world.github().token("another");
    world.push("acme/web", "1.4.0");
    world.landfall_with(&["apply"], &[("LANDFALL_LOG", "trace")]).ends(4);
    let argv = fs::read_to_string(world.path("argv")).unwrap();
    assert!(argv.contains("push") && argv.contains("fetch"), "the shim was used: {argv}");
    no_secret("a command line", &argv);
    search(&world.path("state"));
    search(&world.bare());
    no_secret("the history", &git(&world.bare(), &["log", "--all", "--patch", "--format=raw"]));
    for pull in world.github().pulls() {
        no_secret("a pull request", &format!("{pull:?}"));
    }
    for asked in world.github().requests() {
        no_secret("a request's address or body", &format!("{} {}", asked.target, asked.body));
    }
}

/// No file below this folder has a secret in it, in any of its forms.
fn search(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for form in secret_forms() {
            let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!found, "{} holds a secret as {form}", path.display());
        }
    }
}
