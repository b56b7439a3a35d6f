//! Repositories with odd contents where a policy looks, and with names that are hard to make a branch of.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use super::oracle::{judge, local_records};
use super::{apply, apps, empty, kustomization, only_dev, started};
use crate::support::git::{command, git, try_git};

/// Adds an entry to the index, whatever a file system would say of its name.
fn add_raw(work: &Path, mode: &str, id: &str, path: &[u8]) {
    let mut child = command("git")
        .current_dir(work)
        .args(["update-index", "-z", "--add", "--index-info"])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let line = [format!("{mode} {id}\t").as_bytes(), path, b"\0"].concat();
    child.stdin.take().unwrap().write_all(&line).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn odd_entries_beside_good_files_are_said_and_hold_up_nothing() {
    let world = started(apps(&["web"]).no_forge(), &["web"]);
    world.push("acme/odd", "1.0.0");
    let work = world.path("work");
    git(&world.path(""), &["clone", "--quiet", world.bare().to_str().unwrap(), work.to_str().unwrap()]);
    let overlay = world.text(&kustomization("odd"));
    let put = |path: &str, text: &str| {
        fs::create_dir_all(work.join(path).parent().unwrap()).unwrap();
        fs::write(work.join(path), text).unwrap();
    };
    put("apps/broken/overlays/dev/kustomization.yaml", "images: [\n  - not: {yaml\n");
    put("apps/binary/overlays/dev/values.yaml", "image:\u{0}\u{1}\n");
    put("apps/ignored/overlays/dev/kustomization.yaml", &overlay);
    put(".landfallignore", "apps/ignored/\n");
    put("apps/ünï çode/overlays/dev/kustomization.yaml", &overlay);
    put("apps/-dash --all/overlays/dev/kustomization.yaml", &overlay);
    put(".landfall/policies.yaml", &only_dev());
    git(&work, &["add", "-A"]);
    let blob = git(&work, &["rev-parse", ":apps/ignored/overlays/dev/kustomization.yaml"]);
    let target = work.join("target");
    fs::write(&target, "../../../web/overlays/dev/kustomization.yaml").unwrap();
    let link = git(&work, &["hash-object", "-w", target.to_str().unwrap()]);
    let commit = git(&work, &["rev-parse", "HEAD"]);
    add_raw(&work, "120000", &link, b"apps/link/overlays/dev/kustomization.yaml");
    add_raw(&work, "160000", &commit, b"apps/sub/overlays/dev");
    add_raw(&work, "100755", &blob, b"apps/executable/overlays/dev/kustomization.yaml");
    add_raw(&work, "100644", &blob, b"apps/back\\slash/overlays/dev/kustomization.yaml");
    add_raw(&work, "100644", &blob, b"apps/web/overlays/dev/new\nline.yaml");
    add_raw(&work, "100644", &blob, b"apps/web/overlays/dev/latin\xe9.yaml");
    add_raw(&work, "100644", &blob, b"apps/bell\x07/overlays/dev/kustomization.yaml");
    add_raw(&work, "100644", &blob, b"docs/bell\x07/kustomization.yaml");
    git(&work, &["commit", "--quiet", "-m", "odd"]);
    git(&work, &["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    for app in ["web", "odd"] {
        world.push(&format!("acme/{app}"), "1.1.0");
    }
    let config = world.config("state");
    let ran = apply(&world, &config);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    let report = ran.report();
    let problems: Vec<(String, String)> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (problem["path"].to_string(), problem["message"].to_string()))
        .collect();
    // Links, submodules and ignored files are left alone by design; what may hide an update is said.
    let expected = [
        ("apps/binary/overlays/dev/values.yaml", "not valid YAML"),
        ("apps/broken/overlays/dev/kustomization.yaml", "not valid YAML"),
        ("latin", "not UTF-8"),
        ("line.yaml", "control character"),
        // Whatever is below it; where no policy writes, nobody is told.
        ("apps/bell", "control character"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (path, word) in expected {
        assert!(problems.iter().any(|(at, why)| at.contains(path) && why.contains(word)), "{path}: {problems:#?}");
    }
    for app in ["web", "executable", "back\\slash", "ünï çode", "-dash --all"] {
        assert_eq!(world.tag(app, "dev"), "1.1.0", "{}", ran.text());
    }
    assert_eq!(world.tag("ignored", "dev"), "1.0.0");
    let tree = git(&world.bare(), &["-c", "core.quotePath=true", "ls-tree", "-r", "main"]);
    for kept in [
        format!("120000 blob {link}\tapps/link/overlays/dev/kustomization.yaml"),
        format!("160000 commit {commit}\tapps/sub/overlays/dev"),
        "100755 blob".to_owned(),
        format!("100644 blob {blob}\t\"apps/web/overlays/dev/latin\\351.yaml\""),
    ] {
        assert!(tree.contains(&kept), "{kept}\n{tree}");
    }
    judge(&world, &[]);
    let again = apply(&world, &config);
    assert_eq!(again.report()["actions"], serde_json::json!([]), "{}", again.text());
}

/// Apps, environments and groups whose names clean up to nothing, to each other, or to what Git refuses.
const APPS: &[&str] =
    &["web", "Web", "web.lock", "web lock", "a..b", ".hidden", "-dash", "x@{1}", "q?*[", "日本", "中文", "~", "end."];

#[test]
fn every_group_gets_a_branch_of_its_own() {
    let policies = r#"policies:
  - name: "release"
    paths: ["{env}/apps/{app}/**"]
    environment: "{env}"
    tags: { semver: "*" }
    write: pull-request
    pullRequest: { group: "{app}" }
  - { name: "second", paths: ["second/{app}/**"], tags: { semver: "*" }, write: pull-request, pullRequest: { group: "x/{app}/" } }
"#;
    let long = "l".repeat(200);
    let apps: Vec<&str> = APPS.iter().copied().chain([long.as_str()]).collect();
    let first =
        ["日本", "prod.lock"].into_iter().flat_map(|env| apps.iter().map(move |app| format!("{env}/apps/{app}")));
    let second = ["one", "日本", "..."].map(|app| format!("second/{app}"));
    let folders: Vec<String> = first.chain(second).collect();
    let count = folders.len();
    let setup = folders.iter().fold(empty().policies(policies), |setup, folder| {
        setup.file(&format!("{folder}/kustomization.yaml"), kustomization("app"))
    });
    let world = started(setup, &["app"]);
    world.push("acme/app", "1.1.0");
    let config = world.config("state");
    let ran = apply(&world, &config);
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    let records = local_records(&world.bare());
    let heads: BTreeSet<String> = records.iter().map(|record| record["head"].as_str().unwrap().to_owned()).collect();
    assert_eq!((records.len(), heads.len()), (count, count), "{}", ran.text());
    for head in &heads {
        assert!(head.starts_with("landfall/"), "{head}");
        assert!(try_git(&world.bare(), &["check-ref-format", "--branch", head]).status.success(), "{head}");
        assert!(head.is_ascii() && head.len() < 200, "{head}");
    }
    judge(&world, &[]);
    // The next cycle finds all of them again.
    let again = apply(&world, &config);
    let report = again.report();
    assert_eq!(report["actions"], serde_json::json!([]), "{}", again.text());
    assert_eq!(report["holds"].as_array().unwrap().len(), count);
}
