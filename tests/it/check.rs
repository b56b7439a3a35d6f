//! `landfall check`, `explain` and `schema` as people and scripts run them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::process::{run, tree};

const CONFIG: &str = r#"
repositories:
  - name: deploys
    url: ./deploys.git
    policies: { file: policies }
    caps:
      - { paths: ["**/prod/**"], write: [pull-request, never] }
"#;
const POLICIES: &str = r#"
policies:
  - name: all
    paths: ["apps/{app}/{env}/**"]
    environment: "{env}"
    write: commit
    landWithin: 1h30m
  - name: web
    paths: ["apps/web/**"]
    images: ["ghcr.io/**"]
    tags: { semver: "^1", prereleases: true }
"#;

/// A folder with a configuration and policies, and the program in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tree(&[("landfall.yaml", CONFIG), ("policies/a.yaml", POLICIES)]))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path().join(path), text).unwrap();
    }

    /// Exit code, standard output, standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let ran = run(self.path(), args);
        (ran.code.unwrap(), ran.stdout, ran.stderr)
    }

    fn json(&self, args: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.run(&[args, &["-o", "json"]].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
    }
}

#[test]
fn check_is_content_with_what_is_right() {
    let folder = Folder::new();
    assert_eq!(folder.run(&["check"]), (0, "0 errors, 0 warnings in 2 files\n".to_owned(), String::new()));
    assert_eq!(folder.json(&["check"]), (0, serde_json::json!({ "diagnostics": [], "policies": [] })));
}

#[test]
fn check_shows_every_mistake_at_its_line() {
    let folder = Folder::new();
    folder.write("policies/a.yaml", &POLICIES.replace("write: commit", "wirte: commit").replace("1h30m", "90"));
    let (code, out, _) = folder.run(&["check"]);
    assert_eq!(code, 1);
    let file = folder.path().join("policies/a.yaml");
    let out = out.replace(file.to_str().unwrap(), "FILE");
    insta::assert_snapshot!(out, @r#"
    error: unknown key `wirte`
     --> FILE:6:5
      |
    6 |     wirte: commit
      |     ^^^^^
      |
      = help: did you mean `write`?

    error: `90` is not a duration: it has no unit; write 30s, 10m, 24h or 3d
     --> FILE:7:17
      |
    7 |     landWithin: 90
      |                 ^^

    2 errors, 0 warnings in 2 files
    "#);
    let (code, json) = folder.json(&["check", "policies"]);
    assert_eq!(code, 1);
    let first = &json["diagnostics"][0];
    assert_eq!(
        *first,
        serde_json::json!({
            "severity": "error", "file": "policies/a.yaml", "line": 6, "column": 5,
            "message": "unknown key `wirte`", "hint": "did you mean `write`?"
        })
    );
}

#[test]
fn warnings_are_problems_only_when_asked() {
    let folder = Folder::new();
    let gates = "    rate: { updates: 1, per: 1d }\n    windows: [{ cron: \"0 9 * * *\", duration: 1h }]";
    let promote = format!("{gates}\n    write: pull-request\n");
    folder.write("policies/b.yaml", &format!("policies:\n  - name: prod\n    paths: [\"**\"]\n{promote}"));
    let (code, out, _) = folder.run(&["check"]);
    assert_eq!(code, 0);
    assert!(out.contains("fit into one window") && out.contains("has no forge"), "{out}");
    assert!(out.ends_with("0 errors, 2 warnings in 3 files\n"), "{out}");
    assert_eq!(folder.run(&["check", "--strict"]).0, 1);
}

#[test]
fn check_knows_files_by_what_they_hold() {
    let folder = Folder::new();
    folder.write("other.yaml", "repositories: []\n");
    folder.write("policy.yaml", "policies: []\n");
    fs::create_dir_all(folder.path().join("checkout/.landfall")).unwrap();
    folder.write("checkout/.landfall/a.yaml", "policies: [{ name: a, paths: [\"x//y\"] }]\n");
    for (path, message) in [
        ("other.yaml", "at least one repository is needed"),
        ("policy.yaml", "the file has no policies"),
        ("checkout", "it has an empty segment (//)"),
        ("checkout/.landfall", "it has an empty segment (//)"),
    ] {
        let (code, json) = folder.json(&["check", path]);
        let text = json["diagnostics"][0]["message"].as_str().unwrap();
        assert!(code == 1 && text.contains(message), "{path}: {json}");
        assert_eq!(json["diagnostics"].as_array().unwrap().len(), 1, "{path}: {json}");
    }
}

#[test]
fn a_current_tag_that_its_policy_would_not_choose_is_told_before_any_plan() {
    let kustomization = |tag: &str| {
        format!("kind: Kustomization\nimages:\n  - {{ name: web, newName: ghcr.io/acme/web, newTag: {tag} }}\n")
    };
    let policy = |name: &str, more: &str| {
        format!(
            "  - {{ name: {name}, paths: [\"apps/web/{name}/**\"], environment: {name}, write: commit, {more} \
             tags: {{ filter: '^prod-(\\d+)-', extract: '$1', numerical: asc }} }}\n"
        )
    };
    let policies = ["dev", "test", "prod"].map(|name| policy(name, if name == "test" { "adopt: true," } else { "" }));
    let folder = tree(&[
        ("a/.landfall/p.yaml", &format!("policies:\n{}", policies.concat())),
        ("a/apps/web/dev/kustomization.yaml", &kustomization("pr-1207-abc")),
        ("a/apps/web/test/kustomization.yaml", &kustomization("pr-1207-abc")),
        ("a/apps/web/prod/kustomization.yaml", &kustomization("prod-120-abc")),
    ]);
    let ran = run(folder.path(), &["check", "a"]).ends(0);
    let ran = ran.says("policy `dev` would not choose the current tag ghcr.io/acme/web:pr-1207-abc (apps/web/dev/kustomization.yaml:3)");
    drop(ran.says("adopt: true").says("p.yaml:2").says("0 errors, 1 warning"));
    let root = folder.path().join("a");
    for (place, held) in [("dev", true), ("test", false), ("prod", false)] {
        let path = format!("apps/web/{place}/kustomization.yaml");
        let ran = run(&root, &["explain", &path, "ghcr.io/acme/web"]).ends(0);
        assert_eq!(ran.stdout.contains("pr-1207-abc is no tag that this policy would choose"), held, "{}", ran.text());
        let json = run(&root, &["explain", &path, "-o", "json"]).ends(0).json();
        assert_eq!(json["held"].as_array().map_or(0, Vec::len), usize::from(held), "{json:#}");
    }
    let text = run(&root, &["explain", "web"]).ends(0).stdout;
    assert_eq!(text.matches("adopt: true").count(), 1, "{text}");
}

#[test]
fn a_branch_that_may_be_the_default_one_is_no_error() {
    let folder = Folder::new();
    let config = |branch: &str| CONFIG.replace("    policies: { file: policies }\n", branch);
    let policy = "policies:\n  - { name: all, paths: [\"**\"], environment: dev, branch: master }\n";
    fs::create_dir(folder.path().join(".landfall")).unwrap();
    folder.write(".landfall/a.yaml", policy);
    let severity = |branch: &str| {
        folder.write("landfall.yaml", &config(branch));
        let (code, json) = folder.json(&["check", ".", "--config", "landfall.yaml"]);
        let all = json["diagnostics"].as_array().unwrap();
        let found = all.iter().find(|it| it["message"].as_str().unwrap().contains("names branch `master`"));
        (code, found.map(|it| it["severity"].as_str().unwrap().to_owned()))
    };
    assert_eq!(severity(""), (0, Some("warning".to_owned())));
    assert_eq!(severity("    branch: main\n"), (1, Some("error".to_owned())));
    assert_eq!(severity("    branch: master\n"), (0, None));
}

#[test]
fn what_cannot_be_read_is_an_error_with_its_cause() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for args in [
        &["check", "none.yaml"][..],
        &["check", "empty"],
        &["check", "--config", "none.yaml"],
        &["explain", "apps/x", "--policies", "none"],
        &["explain", "/etc/passwd"],
        &["explain", "apps/x", "Not An Image"],
        &["schema", "nothing"],
    ] {
        let (code, out, err) = folder.run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.starts_with("error: "), "{args:?}: {err}");
    }
    let (_, _, err) = folder.run(&["check", "none.yaml"]);
    assert!(err.contains("none.yaml") && err.contains("caused by: No such file"), "{err}");
    fs::remove_file(folder.path().join("landfall.yaml")).unwrap();
    let (code, _, err) = folder.run(&["check"]);
    assert!(code == 2 && err.contains("landfall.yaml") && err.contains("next: "), "{err}");
}

#[test]
fn explain_prints_the_policy_in_force_with_its_places() {
    let folder = Folder::new();
    let (code, out, _) = folder.run(&["explain", "apps/web/prod/k.yaml", "ghcr.io/acme/web"]);
    assert_eq!(code, 0);
    let out = out.replace(&format!("{}/", folder.path().display()), "");
    insta::assert_snapshot!(out, @r"
    apps/web/prod/k.yaml (ghcr.io/acme/web)
      policy       all
      write        pull-request (asked for commit, capped for **/prod/** at landfall.yaml:7)
      app          web
      environment  prod
      overlay      apps/web/prod

    FIELD        VALUE                   FROM
    environment  prod                    policies/a.yaml:5
    write        commit                  policies/a.yaml:6
    tags         semver ^1, prereleases  policies/a.yaml:11
    landWithin   1h30m                   policies/a.yaml:7

    POLICY  APPLIES  WHY                               FROM
    all     yes      path matches apps/{app}/{env}/**  policies/a.yaml:3
    web     yes      path matches apps/web/**          policies/a.yaml:8
    ");
}

#[test]
fn explain_says_why_a_policy_does_not_apply() {
    let folder = Folder::new();
    let (code, json) = folder.json(&["explain", "apps/web/dev/k.yaml", "nginx"]);
    assert_eq!(code, 0);
    assert_eq!(
        (&json["write"], &json["capped"], &json["image"]),
        (&"commit".into(), &Value::Null, &"docker.io/library/nginx".into())
    );
    let web = &json["policies"][1];
    assert_eq!((&web["name"], &web["matched"]), (&"web".into(), &false.into()));
    assert_eq!(web["reason"], "the path matches, but no image pattern");
    let fields: Vec<&str> =
        json["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(fields, ["environment", "write", "landWithin"]);
    let (_, json) = folder.json(&["explain", "apps/web/dev/k.yaml"]);
    assert_eq!(json["policies"][1]["reason"], "path matches apps/web/**; only for some images");
    let (code, json) = folder.json(&["explain", "other/k.yaml"]);
    assert_eq!((code, &json["policy"], &json["write"]), (1, &Value::Null, &"never".into()));
}

#[test]
fn explain_needs_to_know_whose_policies() {
    let folder = Folder::new();
    let (code, _, _) = folder.run(&["explain", "apps/web/dev/k.yaml", "--policies", "policies/a.yaml"]);
    assert_eq!(code, 0);
    folder.write("policies/a.yaml", "policies: [{}]\n");
    let (code, out, err) = folder.run(&["explain", "apps/web/dev/k.yaml"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("the key `name` is missing here") && err.contains("the policies have errors"), "{err}");
    let two = CONFIG.replace("repositories:\n", "repositories:\n  - { name: other, url: ./other.git }\n");
    folder.write("landfall.yaml", &two);
    let (code, _, err) = folder.run(&["explain", "apps/web/dev/k.yaml"]);
    assert!(code == 2 && err.contains("--repository: other, deploys"), "{err}");
    let (code, _, err) = folder.run(&["explain", "apps/web/dev/k.yaml", "--repository", "other"]);
    assert!(code == 4 && err.contains("--policies .landfall"), "{err}");
    let (code, _, err) = folder.run(&["explain", "apps/web/dev/k.yaml", "--repository", "none"]);
    assert!(code == 2 && err.contains("there are deploys, other"), "{err}");
}

#[test]
fn schema_prints_json_unless_yaml_is_asked_for() {
    let folder = Folder::new();
    for kind in ["config", "policy"] {
        let (code, out, _) = folder.run(&["schema", kind]);
        let schema: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &schema["additionalProperties"]), (0, &false.into()));
        let (_, yaml, _) = folder.run(&["schema", kind, "-o", "yaml"]);
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), schema);
    }
}

#[test]
fn check_says_what_a_forge_has_not() {
    let gitlab = "{ kind: gitlab, repository: acme/deploys, token: { env: T } }";
    let github = "{ kind: github, repository: acme/deploys, token: { env: T } }";
    for (forge, asks, said) in [
        (gitlab, "reviewers: [ann, acme/sre]", Some("a team among `reviewers` on repository")),
        (gitlab, "reviewers: [ann], checks: [ci], remindAfter: 1d", None),
        (github, "reviewers: [ann, acme/sre]", None),
        ("{ kind: local }", "checks: [ci], remindAfter: 1d", Some("`remindAfter` on repository")),
        ("{ kind: local }", "checks: [ci]", Some("`checks` on repository")),
        ("{ kind: local }", "remindAfter: 1d", Some("`remindAfter` on repository")),
    ] {
        let folder = Folder::new();
        let config = CONFIG.replace("url: ./deploys.git", &format!("url: ./deploys.git\n    forge: {forge}"));
        folder.write("landfall.yaml", &config);
        folder.write("policies/a.yaml", &format!("{POLICIES}    pullRequest: {{ {asks} }}\n"));
        let (_, out, error) = folder.run(&["check"]);
        let text = format!("{out}{error}");
        assert_eq!(text.contains("does not support that"), said.is_some(), "{forge} {asks}: {text}");
        assert!(said.is_none_or(|said| text.contains(said) && text.contains("policies/a.yaml:")), "{text}");
    }
}

#[test]
fn check_says_that_readers_may_approve_on_azure_devops_what_is_then_merged() {
    let forge = "{ kind: azure-devops, url: https://x.example.com, repository: acme/deploys, token: { env: T } }";
    for (asks, said) in
        [("approvals: 1, automerge: true", true), ("approvals: 0, automerge: true", false), ("approvals: 1", false)]
    {
        let folder = Folder::new();
        let config = CONFIG.replace("url: ./deploys.git", &format!("url: ./deploys.git\n    forge: {forge}"));
        folder.write("landfall.yaml", &config);
        folder.write("policies/a.yaml", &format!("{POLICIES}    pullRequest: {{ {asks} }}\n"));
        let (code, out, _) = folder.run(&["check"]);
        assert_eq!((code, out.contains("Readers included unless denied")), (0, said), "{asks}: {out}");
    }
}

#[test]
fn check_says_that_names_on_the_local_forge_prove_nobody() {
    let folder = Folder::new();
    folder.write(
        "landfall.yaml",
        &CONFIG.replace("url: ./deploys.git", "url: ./deploys.git\n    forge: { kind: local }"),
    );
    folder.write("policies/a.yaml", &format!("{POLICIES}    pullRequest: {{ approvals: 1 }}\n"));
    let (code, out, _) = folder.run(&["check"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("anybody who may push can write any name there"), "{out}");
    folder.write("policies/a.yaml", POLICIES);
    assert!(!folder.run(&["check"]).1.contains("anybody who may push"));
}

/// A checkout with policies and two apps.
fn checkout(policies: &str) -> Folder {
    let world = Folder::new();
    fs::remove_file(world.path().join("landfall.yaml")).unwrap();
    for folder in [".landfall", "apps/web/dev", "apps/web/prod", "apps/api/prod"] {
        fs::create_dir_all(world.path().join(folder)).unwrap();
    }
    world.write(".landfall/a.yaml", policies);
    let image = |name: &str| format!("  - {{ name: {name}, newName: ghcr.io/acme/{name}, newTag: 1.0.0 }}\n");
    world.write("apps/web/dev/kustomization.yaml", &format!("images:\n{}", image("web")));
    world.write("apps/web/prod/kustomization.yaml", &format!("images:\n{}{}", image("web"), image("envoy")));
    world.write("apps/api/prod/kustomization.yaml", &format!("images:\n{}", image("api")));
    world
}

const LAYERED: &str = r#"policies:
  - { name: prod, paths: ["apps/{app}/prod/**"], environment: prod, write: pull-request }
  - { name: dev, paths: ["apps/{app}/dev/**"], environment: dev, write: commit }
"#;

#[test]
fn check_shows_what_each_policy_selects() {
    let world = checkout(LAYERED);
    let (code, out, _) = world.run(&["check", "."]);
    assert_eq!(code, 0, "{out}");
    insta::assert_snapshot!(out, @r"
    POLICY  WRITE         ENVIRONMENTS  APPS      IMAGES
    prod    pull-request  prod          api, web  3
    dev     commit        dev           web       1

    0 errors, 0 warnings in 1 file
    ");
    let (_, json) = world.json(&["check", "."]);
    assert_eq!(
        json["policies"][0],
        serde_json::json!({
            "policy": "prod", "write": ["pull-request"], "environments": ["prod"], "apps": ["api", "web"], "images": 3
        })
    );
}

#[test]
fn check_warns_of_a_later_policy_that_writes_more_freely() {
    let broad = "  - { name: all, paths: [\"apps/{app}/**\"], write: commit }\n";
    let (_, json) = checkout(&format!("{LAYERED}{broad}")).json(&["check", "."]);
    let said: Vec<&str> =
        json["diagnostics"].as_array().unwrap().iter().map(|it| it["message"].as_str().unwrap()).collect();
    let [one] = said.as_slice() else { panic!("{said:?}") };
    assert!(one.starts_with("`write: commit` of policy `all` replaces `write: pull-request` of `prod`"), "{one}");
    // What is narrower is an exception that was meant, and what comes before is the default.
    let narrow = "  - { name: envoy, paths: [\"apps/{app}/**\"], images: [\"**/envoy\"], write: commit }\n";
    let (_, json) = checkout(&format!("{LAYERED}{narrow}")).json(&["check", "."]);
    assert_eq!(json["diagnostics"], serde_json::json!([]));
    let first = LAYERED.replacen("policies:\n", &format!("policies:\n{broad}"), 1);
    let (_, json) = checkout(&first).json(&["check", "."]);
    assert_eq!(json["diagnostics"], serde_json::json!([]));
}

#[test]
fn check_warns_of_a_policy_that_writes_where_no_environment_is_named() {
    let (_, json) = checkout(&LAYERED.replace("environment: dev, ", "")).json(&["check", "."]);
    assert_eq!(json["diagnostics"][0]["message"], "policy `dev` writes, but sets no `environment` for what it matches");
    assert_eq!(json["diagnostics"].as_array().unwrap().len(), 1, "{json}");
}

#[test]
fn a_repository_that_cannot_be_read_is_an_error_where_it_was_asked_for() {
    let world = Folder::new();
    let config = CONFIG.replace("    policies: { file: policies }\n", "");
    world.write("landfall.yaml", &format!("stateDir: state\n{config}"));
    assert_eq!(world.run(&["check"]).0, 0);
    let (code, json) = world.json(&["check", "--remote"]);
    let found = &json["diagnostics"][0];
    assert_eq!((code, &found["severity"]), (1, &"error".into()), "{json}");
    let message = found["message"].as_str().unwrap();
    assert!(message.starts_with("repository deploys cannot be read: ") && !message.contains('\n'), "{message}");
}

#[test]
fn explain_takes_a_folder_an_app_or_an_image_and_finds_the_policies_by_itself() {
    let world = checkout(LAYERED);
    let places = |args: &[&str]| {
        let (code, json) = world.json(&[&["explain"], args].concat());
        assert_eq!(code, 0, "{json}");
        let of = |it: &Value| format!("{} {}", it["path"].as_str().unwrap(), it["image"].as_str().unwrap_or("-"));
        match json["places"].as_array() {
            Some(places) => places.iter().map(of).collect::<Vec<_>>(),
            None => vec![of(&json)],
        }
    };
    let dev = "apps/web/dev/kustomization.yaml ghcr.io/acme/web";
    let prod = "apps/web/prod/kustomization.yaml";
    let (web, envoy) = (format!("{prod} ghcr.io/acme/web"), format!("{prod} ghcr.io/acme/envoy"));
    assert_eq!(places(&["apps/web/dev"]), [dev]);
    let api = "apps/api/prod/kustomization.yaml ghcr.io/acme/api".to_owned();
    assert_eq!(places(&["."]), [api, dev.to_owned(), envoy.clone(), web.clone()], "all of it");
    assert_eq!(places(&["apps/web/prod/"]), [envoy.clone(), web.clone()], "each image by itself");
    assert_eq!(places(&[prod]), [envoy.clone(), web.clone()], "also of one file");
    assert_eq!(places(&["web"]), [dev.to_owned(), envoy.clone(), web.clone()], "the app");
    assert_eq!(places(&["envoy"]), std::slice::from_ref(&envoy), "the image");
    assert_eq!(places(&["ghcr.io/acme/envoy"]), std::slice::from_ref(&envoy));
    assert_eq!(places(&["web", "envoy"]), [envoy], "of the app this image");
    let (code, _, err) = world.run(&["explain", "wbe"]);
    assert!(code == 2 && err.contains("did you mean `web`?"), "{err}");
    let (_, out, _) = world.run(&["explain", "apps/web/prod"]);
    assert_eq!(out.matches("policy       prod").count(), 1, "what is the same is said once: {out}");
    assert_eq!(places(&[prod, "web"]), [web], "a file's pin by its short name");
    assert_eq!(places(&[prod, "nginx"]), [format!("{prod} docker.io/library/nginx")], "what the file has not");
    let (_, json) = world.json(&["explain", prod]);
    assert_eq!(
        (&json["policy"], &json["write"], &json["path"]),
        (&"prod".into(), &"pull-request".into(), &prod.into())
    );
    assert_eq!(json["fields"], json["places"][0]["fields"], "the first place is what a reader of one place finds");
    // From a folder of the checkout, with paths as they are there.
    let ran = run(&world.path().join("apps/web"), &["explain", "dev", "-o", "json"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["path"], "apps/web/dev/kustomization.yaml");
}
