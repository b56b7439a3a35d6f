//! `landfall init` in real checkouts: what it writes, what it leaves alone, and the first plan.

use std::fs;
use std::path::Path;

use crate::support::git::git;
use crate::support::process::{Ran, landfall, tree};
use crate::support::world::{World, kustomization, overlay};

fn init(folder: &Path, args: &[&str]) -> Ran {
    let args: Vec<&str> = ["init"].iter().chain(args).copied().collect();
    Ran::of(landfall(folder, &args), "")
}

/// A clone of a remote with an app in two environments, whose image has a newer version.
fn clone(world: &World) -> std::path::PathBuf {
    let clone = world.path("clone");
    git(
        world.path("").as_path(),
        &["clone", "--quiet", &world.bare().display().to_string(), &clone.display().to_string()],
    );
    clone
}

fn world() -> World {
    let world = World::setup()
        .file(&overlay("web", "dev"), kustomization("web", "1.0.0"))
        .file(&overlay("web", "prod"), kustomization("web", "1.0.0"))
        .no_forge()
        .start();
    world.push_all("acme/web", &["1.0.0", "1.1.0"]);
    world
}

fn committed(folder: &Path) -> String {
    git(folder, &["status", "--porcelain", "--untracked-files=all"])
}

#[test]
fn it_writes_files_with_which_the_bot_runs_and_shows_the_first_plan() {
    let world = world();
    let clone = clone(&world);
    fs::remove_dir_all(clone.join(".landfall")).ok();
    let tip = world.tip("main");
    let ran = init(&clone, &[]).ends(0);
    let said = ran.says("wrote landfall.yaml").says("wrote .landfall/policies.yaml").says("1.1.0").stdout.clone();
    assert!(said.contains("apps/{app}/overlays/prod/**") || said.contains("apps/web/overlays/prod/**"), "{said}");
    assert_eq!(world.tip("main"), tip, "nothing is pushed");
    // The bot runs with them: dev is a commit, prod a pull request.
    let config = clone.join("landfall.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("stateDir: {}\n{text}", world.path("init-state").display())).unwrap();
    Ran::of(landfall(&clone, &["check"]), "").ends(0);
    let plan = Ran::of(landfall(&clone, &["plan", "-o", "json"]), "").ends(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
    let kinds: Vec<&str> = plan["repositories"][0]["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| action["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["commit", "pull-request"], "{plan}");
}

#[test]
fn nothing_that_exists_is_changed_and_a_dry_run_writes_nothing() {
    let world = world();
    let clone = clone(&world);
    fs::remove_dir_all(clone.join(".landfall")).ok();
    let before = committed(&clone);
    init(&clone, &["--dry-run"]).ends(0).says("policies: { file: .landfall }");
    assert_eq!(committed(&clone), before);
    fs::write(clone.join("landfall.yaml"), "mine").unwrap();
    fs::create_dir(clone.join(".landfall")).unwrap();
    init(&clone, &["--no-plan"]).ends(0).says("kept as it is: landfall.yaml").says("kept as it is: .landfall\n");
    init(&clone, &["--dry-run"]).ends(0).says("# ---- landfall.yaml (exists, and would stay as it is) ----");
    init(&clone, &[]).ends(0).says("landfall.yaml already existed");
    assert_eq!(fs::read_to_string(clone.join("landfall.yaml")).unwrap(), "mine");
    assert!(fs::read_dir(clone.join(".landfall")).unwrap().next().is_none());
}

#[test]
fn what_flux_was_told_is_translated_and_nothing_else_is_written() {
    let world = world();
    let marker = "1.0.0 # {\"$imagepolicy\": \"flux-system:web:tag\"}";
    world.edit(&overlay("web", "dev"), "1.0.0", marker);
    let flux = format!(
        "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {{ name: web, namespace: flux-system }}\nspec: {{ image: \"{}/acme/web\", secretRef: {{ name: pull }} }}\n---\napiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{ name: web, namespace: flux-system }}\nspec: {{ imageRepositoryRef: {{ name: web }}, policy: {{ semver: {{ range: 1.x }} }} }}\n---\napiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageUpdateAutomation\nmetadata: {{ name: all, namespace: flux-system }}\nspec: {{ git: {{ checkout: {{ ref: {{ branch: main }} }} }}, update: {{ path: ./apps }} }}\n",
        world.host
    );
    world.write(&[("clusters/flux.yaml", &flux)]);
    let clone = clone(&world);
    fs::remove_dir_all(clone.join(".landfall")).ok();
    init(&clone, &["--from", "renovate"]).ends(2).says("nothing of renovate was found");
    assert!(!clone.join("landfall.yaml").exists(), "nothing was written");
    let ran = init(&clone, &["--from", "flux"]).ends(0);
    let ran = ran
        .says("policy flux-flux-system-web")
        .says("clusters/flux.yaml:4")
        .says("not translated: the login is configured");
    let planned = |environment: &str| {
        ran.stdout.lines().any(|line| line.contains("1.1.0") && line.split_whitespace().any(|word| word == environment))
    };
    assert!(planned("dev") && !planned("prod"), "{}", ran.stdout);
    let report = Ran::of(landfall(&clone, &["init", "--from", "flux", "--dry-run", "-o", "json"]), "").ends(0);
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["translated"][0]["path"], "clusters/flux.yaml", "{report:#}");
}

#[test]
fn the_first_plan_is_that_of_the_policies_that_are_there() {
    let world = world();
    let clone = clone(&world);
    fs::remove_dir_all(clone.join(".landfall")).ok();
    fs::create_dir(clone.join(".landfall")).unwrap();
    let own = "policies:\n  - { name: own, paths: [\"**\"], environment: own, write: never }\n";
    fs::write(clone.join(".landfall/own.yaml"), own).unwrap();
    init(&clone, &[]).ends(0).says("wrote landfall.yaml").says("kept as it is: .landfall\n").says("0 to update");
}

#[test]
fn what_is_no_checkout_or_holds_no_image_is_said() {
    let folder = tree(&[("apps/web/a.yaml", "image: ghcr.io/acme/web:1.0.0\n")]);
    init(folder.path(), &[]).ends(2).says("not in a Git checkout");
    git(folder.path(), &["init", "--quiet"]);
    fs::write(folder.path().join("apps/web/a.yaml"), "a: 1\n").unwrap();
    init(folder.path(), &[]).ends(2).says("no image version was found");
    assert!(!folder.path().join("landfall.yaml").exists());
}
