//! Where policies come from, what caps them, and what happens when they are wrong.

use std::fs;

use serde_json::json;

use crate::support::world::{DEV_PROD, World, kustomization, overlay};

const STAGING: &str = r#"  - name: staging
    paths: ["apps/{app}/overlays/staging/**"]
    environment: staging
    write: commit
    tags: { semver: "~1.3" }
"#;

#[test]
fn a_policy_takes_effect_with_the_commit_that_brings_it() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0", "1.4.0"]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.4.0");
    // Another environment and its policy, and dev stops, in one push.
    let policies = DEV_PROD.replacen("write: commit", "write: never", 1) + STAGING;
    let staging = overlay("web", "staging");
    world.write(&[(".landfall/policies.yaml", &policies), (&staging, &kustomization("web", "1.2.3"))]);
    world.push_all("acme/web", &["1.3.9", "1.5.0"]);
    let report = world.apply();
    assert_eq!(report["actions"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!((&report["actions"][0]["policy"], &report["unmanaged"]), (&json!("staging"), &json!(1)));
    assert_eq!((world.tag("web", "staging"), world.tag("web", "dev")), ("1.3.9".to_owned(), "1.4.0".to_owned()));
    // And back.
    world.write(&[(".landfall/policies.yaml", DEV_PROD)]);
    let report = world.apply();
    assert_eq!(world.tag("web", "dev"), "1.5.0");
    assert_eq!(report["unmanaged"], 1, "{report:#}");
}

#[test]
fn policies_can_stand_beside_the_configuration() {
    let world = World::web()
        .policies("policies: [{ name: mine, paths: [\"**\"], write: commit }]\n")
        .policies_at("{ file: policies }")
        .start();
    fs::create_dir(world.path("policies")).unwrap();
    fs::write(world.path("policies/10-ours.yaml"), DEV_PROD).unwrap();
    fs::write(
        world.path("policies/20-later.yaml"),
        "policies:\n  - { name: slow, paths: [\"**/dev/**\"], tags: { semver: \"1.2.x\" } }\n",
    )
    .unwrap();
    world.push_all("acme/web", &["1.2.3", "1.2.4", "1.3.0"]);
    let report = world.apply();
    assert_eq!(world.tag("web", "dev"), "1.2.4", "the later file wins");
    assert_eq!(report["actions"][1]["kind"], "pull-request", "{report:#}");
    assert_eq!(world.tag("web", "prod"), "1.2.3", "what the repository says itself does not count");
    fs::write(world.path("policies/20-later.yaml"), "policies:\n  - { name: slow, path: [] }\n").unwrap();
    let ran = world.landfall(&["apply"]).ends(2);
    assert!(ran.stderr.contains("20-later.yaml:2:") && ran.stderr.contains("`paths`"), "{ran:?}");
    fs::remove_dir_all(world.path("policies")).unwrap();
    world.landfall(&["apply"]).ends(2).says("policies");
}

#[test]
fn caps_are_stronger_than_policies() {
    let all = "policies:\n  - name: all\n    paths: [\"apps/{app}/overlays/{env}/**\"]\n    write: commit\n    tags: { semver: \"*\" }\n";
    let world = World::setup()
        .app("web", "1.2.3", &["dev", "prod", "locked"])
        .policies(all)
        .caps("[{ paths: [\"**/prod/**\"], write: [pull-request, never] }, { paths: [\"**/locked/**\"], write: [never] }]")
        .start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let report = world.apply();
    let tags = ["dev", "prod", "locked"].map(|environment| world.tag("web", environment));
    assert_eq!(tags, ["1.3.0", "1.2.3", "1.2.3"]);
    let actions = report["actions"].as_array().unwrap();
    let kinds: Vec<_> =
        actions.iter().map(|a| (a["environment"].as_str().unwrap(), a["kind"].as_str().unwrap())).collect();
    assert_eq!(kinds, [("dev", "commit"), ("prod", "pull-request")]);
    assert_eq!(report["unmanaged"], 1);
    let told = world.landfall(&["explain", &overlay("web", "prod")]).ends(0);
    assert!(told.stdout.contains("landfall.yaml:") && told.stdout.contains("pull-request"), "{told:?}");
}

#[test]
fn caps_bound_gates_and_registries_and_check_says_what_is_beyond() {
    let asking = r#"policies:
  - name: prod
    paths: ["apps/{app}/overlays/{env}/**"]
    write: pull-request
    tags: { semver: "*" }
    rollback: { after: 30m }
    promoteFrom: { environment: dev, soakTime: 1h }
    windows: [{ cron: "* * * * *", duration: 1m }]
    pullRequest: { automerge: true }
"#;
    let caps = "[{ paths: [\"**/prod/**\"], write: [pull-request], registries: [quay.io, REGISTRY], rollback: false, \
                promoteFrom: { environments: [dev, stage], soakTime: 24h }, \
                windows: [{ cron: \"0 0 29 2 *\", duration: 1h }] }, { paths: [\"**/far/**\"], write: [commit], registries: [quay.io] }]";
    let world = World::setup().app("web", "1.2.3", &["prod", "far"]).policies(asking).start();
    let caps = caps.replace("REGISTRY", &world.host);
    world.configure(
        "    policies: { path: .landfall }",
        &format!("    policies: {{ path: .landfall }}\n    caps: {caps}"),
    );
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let told = world.landfall(&["explain", &overlay("web", "prod"), "-o", "json"]).ends(0).stdout;
    for words in ["landed from dev", "stage", "windows of a cap", "0 0 29 2 *"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("\"rollback\""), "{told}");
    let checked = world.landfall(&["check", "--remote"]);
    for beyond in [
        "`promoteFrom` requires less proof",
        "`rollback` is not allowed there",
        "`automerge: true` is not allowed there",
        "`write: pull-request` is not allowed there",
    ] {
        assert!(format!("{}{}", checked.stdout, checked.stderr).contains(beyond), "{beyond}: {checked:?}");
    }
    let report = world.apply();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert_eq!(report["unmanaged"], 1, "its registry is not one of those: {report:#}");
}

#[test]
fn under_a_cap_a_repository_s_own_policies_declare_no_values() {
    let operator = "policies:\n  - { name: prod, paths: [\"prod/**\"], environment: prod, write: commit, tags: { semver: \"*\" } }\n";
    let tenant = r#"policies:
  - name: tenant
    paths: ["**"]
    keyPaths:
      - { files: ["prod/**"], pattern: 'auth: "(?P<tag>\S+)"', image: "HOST/acme/web" }
"#;
    let caps = "caps: [{ paths: [\"prod/**\"], write: [commit] }]";
    for (allowed, policies) in [(false, "path: .landfall"), (true, "path: .landfall"), (true, "file: policies")] {
        let file = "kind: ConfigMap\nmetadata: { name: gateway }\ndata:\n  config: |\n    auth: \"1.2.3\"\n";
        let world = World::setup().policies(operator).file("prod/cm.yaml", file).start();
        world.push_all("acme/web", &["1.2.3", "1.3.0"]);
        let tenant = tenant.replace("HOST", &world.host);
        let mut caps = caps.to_owned();
        if policies.starts_with("file") {
            std::fs::create_dir(world.path("policies")).unwrap();
            std::fs::write(world.path("policies/a.yaml"), operator).unwrap();
            std::fs::write(world.path("policies/z.yaml"), &tenant).unwrap();
        } else {
            world.write(&[(".landfall/z-tenant.yaml", &tenant)]);
            if allowed {
                caps = caps.replace("write:", "keyPaths: true, write:");
            }
        }
        let to = format!("    policies: {{ {policies} }}\n    {caps}");
        world.configure("    policies: { path: .landfall }", &to);
        let report = world.landfall(&["apply", "-o", "json"]).report();
        let text = world.read("main", "prod/cm.yaml");
        assert_eq!(text.contains("1.3.0"), allowed, "{policies}: {text} {report:#}");
        let said = "which the cap at landfall.yaml:";
        assert_eq!(report["problems"].to_string().contains(said), !allowed, "{policies}: {report:#}");
        let checked = world.landfall(&["check", "--remote"]);
        let told = format!("{}{}", checked.stdout, checked.stderr);
        assert_eq!(told.contains(said) && told.contains("`keyPaths: true`"), !allowed, "{policies}: {told}");
    }
}

#[test]
fn while_a_policy_file_is_broken_nothing_is_written() {
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.write(&[(".landfall/zz.yaml", "policies:\n  - name: typo\n    paths: [\"**\"]\n    wirte: never\n")]);
    let refs = world.refs();
    let ran = world.landfall(&["apply", "-o", "json"]).ends(2);
    let report = ran.report();
    assert_eq!((&report["actions"], &report["problems"].as_array().unwrap().len()), (&json!([]), &1), "{report:#}");
    let problem = &report["problems"][0];
    assert_eq!((&problem["path"], &problem["line"]), (&json!(".landfall/zz.yaml"), &json!(4)), "{report:#}");
    assert_eq!(problem["code"], "config-error");
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("wirte") && message.contains("no policy applies until this is fixed"), "{message}");
    assert_eq!(world.refs(), refs);
    world.landfall(&["plan"]).ends(2).says("⚠ problem .landfall/zz.yaml:4: ");
    world.write(&[(".landfall/zz.yaml", "policies:\n  - name: typo\n    paths: [\"none/**\"]\n    write: never\n")]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
}

#[test]
fn two_files_cannot_have_a_policy_of_the_same_name() {
    let world = World::web()
        .file(".landfall/two.yaml", "policies:\n  - { name: dev, paths: [\"**\"], write: never }\n")
        .start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let report = world.landfall(&["apply", "-o", "json"]).ends(2).report();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    let message = report["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("another policy is named `dev`, at .landfall/policies.yaml:2"), "{report:#}");
}

#[test]
fn without_policies_nothing_is_written_and_that_is_said() {
    let world = World::web().file(".landfall/policies.yaml", "").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let world2 = World::web().policies_at("{ path: deploy/policies }").start();
    world2.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let ran = world2.landfall(&["apply"]).ends(2);
    assert!(ran.stdout.contains("deploy/policies: the repository has no policy file here"), "{ran:?}");
    assert_eq!(world2.tag("web", "dev"), "1.2.3");
    let ran = world.landfall(&["apply", "-o", "json"]);
    assert_eq!(ran.report()["actions"], json!([]), "{ran:?}");
}

#[test]
fn a_policy_without_a_forge_says_what_is_missing() {
    let world = World::web().no_forge().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let ran = world.landfall(&["apply"]).ends(2).says("repository deploys has no forge; add `forge:` to it");
    assert!(ran.stdout.starts_with("✔ committed dev"), "{ran:?}");
    assert_eq!(world.heads(), Vec::<String>::new());
    world.landfall(&["pr", "list"]).ends(2).says("`forge: { kind: local }` in the configuration adds one");
}

#[test]
fn a_branch_can_be_an_environment() {
    let policies = r#"policies:
  - name: dev
    paths: ["apps/{app}/**"]
    environment: dev
    write: commit
    tags: { semver: "*" }
  - name: prod
    paths: ["apps/{app}/**"]
    branch: env/prod
    environment: prod
    write: pull-request
    tags: { semver: "~1.3" }
"#;
    let world = World::setup().app("web", "1.2.3", &["x"]).policies(policies).start();
    world.git(&["update-ref", "refs/heads/env/prod", "main"]);
    world.push_all("acme/web", &["1.2.3", "1.3.0", "1.4.0"]);
    // A branch that the operator has not named is none of the policies' business.
    let ran = world.landfall(&["plan", "-o", "json"]).ends(2).report();
    assert_eq!(ran["actions"].as_array().unwrap().len(), 1, "{ran:#}");
    let problem = &ran["problems"][0];
    assert_eq!(
        (&problem["path"], &problem["line"], &problem["code"]),
        (&json!(".landfall/policies.yaml"), &json!(9), &json!("config-error"))
    );
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("names branch `env/prod`, which `branches` of repository `deploys`"), "{message}");
    world.landfall(&["check", "--remote"]).ends(1).says("names branch `env/prod`");
    // What is declared there is not read, so a freeze of it is not one of something that was renamed.
    let freeze = "environment: prod\nauthor: Ada\nreason: sale\nsince: 2026-01-01T00:00:00Z\n";
    world.write(&[(".landfall/freezes/prod.yaml", freeze)]);
    let ran = world.landfall(&["plan", "-o", "json"]).ends(2).report();
    assert_eq!(ran["actions"].as_array().unwrap().len(), 1, "{ran:#}");
    world.work("main", |folder| {
        std::fs::remove_file(folder.join(".landfall/freezes/prod.yaml")).unwrap();
        let commit = ["commit", "--quiet", "--all", "-m", "the sale is over"];
        crate::support::git::git(folder, &commit);
    });
    world.configure("    branch: main", "    branch: main\n    branches: [env/prod]");
    world.landfall(&["check", "--remote"]).ends(0);
    let report = world.apply();
    let actions = report["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 2, "{report:#}");
    assert_eq!((&actions[0]["branch"], &actions[1]["branch"]), (&json!("main"), &json!("env/prod")));
    assert_eq!((world.tag("web", "x"), world.tag_at("env/prod", "web", "x")), ("1.4.0".to_owned(), "1.2.3".to_owned()));
    world.landfall(&["pr", "merge", "1"]).ends(0).says("✔ merged #1 into env/prod");
    assert_eq!((world.tag("web", "x"), world.tag_at("env/prod", "web", "x")), ("1.4.0".to_owned(), "1.3.0".to_owned()));
    let report = world.apply();
    assert_eq!((&report["actions"], &report["upToDate"]), (&json!([]), &json!(2)), "{report:#}");
}

#[test]
fn a_branch_that_is_not_there_is_a_problem() {
    let world = World::web()
        .policies(&DEV_PROD.replace("    environment: prod\n", "    environment: prod\n    branch: nowhere\n"))
        .start();
    world.configure("    branch: main", "    branch: main\n    branches: [nowhere]");
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let ran = world.landfall(&["apply", "-o", "json"]).ends(2);
    let report = ran.report();
    assert_eq!(world.tag("web", "dev"), "1.3.0", "the rest goes on");
    let message = report["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("branch `nowhere`"), "{report:#}");
    world.configure("branch: main", "branch: trunk");
    world.landfall(&["apply"]).ends(2).says("repository deploys has no branch `trunk`; it has main");
}

#[test]
fn without_a_branch_the_remotes_default_branch_is_meant() {
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.git(&["branch", "--move", "main", "trunk"]);
    world.git(&["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    let config = std::fs::read_to_string(world.path("landfall.yaml")).unwrap();
    if config.contains("    branch: main\n") {
        world.configure("    branch: main\n", "");
    }
    let report = world.apply();
    assert_eq!(report["actions"][0]["branch"], "trunk", "{report:#}");
    assert_eq!(world.tag_at("trunk", "web", "dev"), "1.3.0");
}

#[test]
fn a_pull_request_names_no_folder_of_the_bots_machine() {
    let world = World::web().policies_at("{ file: rules }").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    std::fs::create_dir(world.path("rules")).unwrap();
    std::fs::write(world.path("rules/all.yaml"), crate::support::world::DEV_PROD).unwrap();
    world.apply();
    let pull = world.landfall(&["pr", "show", "1", "-o", "json"]).ends(0).json();
    let body = pull["body"].as_str().unwrap();
    assert!(body.contains("`rules/all.yaml:"), "{body}");
    let folder = world.path("").display().to_string();
    assert!(!body.contains(folder.trim_end_matches('/')), "{body}");
}
