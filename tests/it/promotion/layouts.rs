//! Every way to lay environments out in Git. Nothing but Git proves here: `require: committed`.

use serde_json::Value;

use crate::support::world::World;

fn held(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let holds = report["holds"].as_array().unwrap();
    holds.iter().map(|hold| (text(&hold["update"]["environment"]), text(&hold["reason"]))).collect()
}

#[test]
fn a_values_file_per_environment() {
    let policies = r#"policies:
  - name: all
    paths: ["charts/{app}/values-{env}.yaml"]
    write: commit
    tags: { semver: "*" }
  - name: prod
    paths: ["charts/{app}/values-prod.yaml"]
    promoteFrom: { environment: dev, require: committed }
"#;
    let values = "image:\n  repository: REG/acme/web\n  tag: 1.2.3\n";
    let world = World::setup()
        .policies(policies)
        .file("charts/web/values-dev.yaml", values)
        .file("charts/web/values-prod.yaml", values)
        .start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    // The same command takes what the first commit has made a candidate.
    world.apply();
    assert!(world.read("main", "charts/web/values-dev.yaml").contains("1.3.0"));
    assert!(world.read("main", "charts/web/values-prod.yaml").contains("1.3.0"));
    let commits = world.log("main");
    assert!(commits[0].contains("prod: bump web to 1.3.0") && commits[1].contains("dev: bump web"), "{commits:?}");
}

#[test]
fn a_branch_per_environment() {
    let policies = r#"policies:
  - name: dev
    paths: ["apps/{app}/**"]
    branch: main
    environment: dev
    write: commit
    tags: { semver: "*" }
  - name: prod
    paths: ["apps/{app}/**"]
    branch: env/prod
    environment: prod
    write: commit
    tags: { semver: "*" }
    promoteFrom: { environment: dev, require: committed, soakTime: 1h }
"#;
    let world = World::setup()
        .policies(policies)
        .file("apps/web/kustomization.yaml", "images:\n- name: web\n  newName: REG/acme/web\n  newTag: 1.2.3\n")
        .start();
    world.git(&["branch", "env/prod", "main"]);
    world.configure("    branch: main", "    branch: main\n    branches: [env/prod]");
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let report = world.apply();
    assert!(world.read("main", "apps/web/kustomization.yaml").contains("1.3.0"));
    assert!(world.read("env/prod", "apps/web/kustomization.yaml").contains("1.2.3"));
    let held = held(&report);
    assert_eq!(held.len(), 1, "{report:#}");
    assert!(held[0].0 == "prod" && held[0].1.contains("declared in dev for"), "{held:?}");
    // Without the soak it goes on.
    world.edit(".landfall/policies.yaml", ", soakTime: 1h", "");
    world.apply();
    assert!(world.read("env/prod", "apps/web/kustomization.yaml").contains("1.3.0"));
}

#[test]
fn what_somebody_asks_for_by_hand_says_so() {
    let policies = r#"policies:
  - name: dev
    paths: ["apps/{app}/overlays/dev/**"]
    environment: dev
    write: commit
    tags: { semver: "*" }
  - name: prod
    paths: ["apps/{app}/overlays/prod/**"]
    environment: prod
    write: commit
    tags: { semver: "*" }
    promoteFrom: { environment: dev, require: committed, soakTime: 1d }
"#;
    let world = World::web().policies(policies).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    let ran = world.landfall(&["promote", "web", "--to", "prod", "-o", "json"]).ends(1);
    assert!(held(&ran.report())[0].1.contains("of 1d"), "{ran:#?}");
    world.landfall(&["promote", "web", "--to", "prod", "--override", "promotion"]).ends(2).says("--reason");
    world.landfall(&["promote", "web", "--to", "mars"]).ends(2).says("it is in dev, prod");
    world.landfall(&["promote", "wep", "--to", "prod"]).ends(2).says("did you mean `web`?");
    let asked =
        ["promote", "web", "--to", "prod", "--override", "promotion", "--reason", "fixes the outage", "--by", "Ada"];
    world.landfall(&[&asked[..], &["--dry-run"]].concat()).ends(0).says("1.3.0");
    assert_eq!(world.tag("web", "prod"), "1.2.3");
    world.landfall(&asked).ends(0);
    assert_eq!(world.tag("web", "prod"), "1.3.0");
    world.landfall(&asked).ends(1);
}
