//! A tag's whole life, and what may stand in its way.

use jiff::SignedDuration;
use landfall::model::State;
use landfall::plan::Gate;

use super::scene::{Cache, Scene, hold};

const CHAIN: &str = r#"policies:
  - name: everywhere
    paths: ["apps/{app}/overlays/{env}/**"]
    environment: "{env}"
    tags: { semver: ">=0.9.0" }
  - name: dev
    paths: ["apps/*/overlays/dev/**"]
    write: commit
  - name: staging
    paths: ["apps/*/overlays/staging/**"]
    write: commit
    promoteFrom: { environment: dev, soakTime: 1h }
  - name: prod
    paths: ["apps/*/overlays/prod/**"]
    write: pull-request
    promoteFrom: { environment: staging, soakTime: 24h }
    windows: [{ cron: "0 9 * * 1-5", duration: 7h, timeZone: Europe/Berlin }]
"#;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The app web in dev with a version that has just landed there.
fn landed_in_dev(scene: &mut Scene, tag: &str) {
    scene.push("web", tag);
    drop(scene.cycle());
    assert_eq!(scene.declared("web", "dev"), tag);
    scene.cluster_goes_on();
    scene.until("web", "dev", tag, State::Landed);
}

fn landed_in_staging(scene: &mut Scene, tag: &str) {
    landed_in_dev(scene, tag);
    scene.pass(HOUR);
    drop(scene.cycle());
    assert_eq!(scene.declared("web", "staging"), tag);
    scene.cluster_goes_on();
    scene.until("web", "staging", tag, State::Landed);
}

#[test]
fn a_tag_goes_from_dev_to_prod_as_it_proves_itself() {
    let mut scene = Scene::start(CHAIN);
    landed_in_dev(&mut scene, "1.3.0");
    let report = scene.cycle();
    let held = hold(&report, "web", "staging");
    assert_eq!(held.gate, Gate::Promotion);
    assert!(held.reason.contains("healthy in dev/eu-1 for") && held.reason.contains("of 1h"), "{}", held.reason);
    let until = held.until.unwrap();
    assert!(until <= scene.now() + HOUR, "{until}");
    assert_eq!(scene.declared("web", "staging"), "1.2.3");

    scene.pass(HOUR);
    drop(scene.cycle());
    assert_eq!(scene.declared("web", "staging"), "1.3.0", "the soak is over");
    scene.cluster_goes_on();
    scene.until("web", "staging", "1.3.0", State::Landed);
    assert!(hold(&scene.cycle(), "web", "prod").reason.contains("of 1d"));

    // The registry's newest is of no interest to prod.
    scene.push("web", "1.4.0");
    scene.pass(HOUR * 20);
    drop(scene.cycle());
    assert_eq!(scene.declared("web", "dev"), "1.4.0");
    assert_eq!(hold(&scene.cycle(), "web", "prod").update.to.tag.as_ref().unwrap().as_str(), "1.3.0");

    // Tuesday, 09:03 in Berlin: proved for a day, and the window is open.
    scene.pass(HOUR * 5);
    let report = scene.cycle();
    assert!(scene.open("web").is_some(), "{report:#?}");
    let pull = scene.open("web").unwrap();
    assert!(pull.title.contains("1.3.0"), "{}", pull.title);
    scene.merge(pull.number);
    scene.cluster_goes_on();
    scene.until("web", "prod", "1.3.0", State::Landed);
    assert_eq!(scene.declared("web", "prod"), "1.3.0");
}

#[test]
fn a_closed_window_is_the_last_gate() {
    let mut scene = Scene::start(CHAIN);
    landed_in_staging(&mut scene, "1.3.0");
    // Tuesday, 20:00 in Berlin.
    scene.pass(HOUR * 34);
    let report = scene.cycle();
    let held = hold(&report, "web", "prod");
    assert_eq!((held.gate, held.until), (Gate::Window, Some("2026-01-07T08:00:00Z".parse().unwrap())));
    assert!(scene.open("web").is_none());
}

#[test]
fn a_change_by_hand_upstream_begins_the_soak_anew() {
    let mut scene = Scene::start(CHAIN);
    landed_in_staging(&mut scene, "1.3.0");
    scene.pass(HOUR * 20);
    let image = format!("{}/acme/web:1.2.3", scene.world.registry.host());
    scene.world.cluster.kubectl_set_image("staging", "staging-web", "web", &image).unwrap();
    scene.cluster_goes_on();
    scene.until("web", "staging", "1.3.0", State::Drifted);
    let report = scene.cycle();
    let held = hold(&report, "web", "prod");
    assert!(held.reason.contains("drifted in staging/eu-1"), "{}", held.reason);
    scene.world.cluster.argocd_sync("web-staging");
    scene.cluster_goes_on();
    scene.until("web", "staging", "1.3.0", State::Landed);
    // More than a day after it first came, less than one after it came back.
    scene.pass(HOUR * 5);
    let report = scene.cycle();
    assert!(hold(&report, "web", "prod").reason.contains("for 5h"), "{report:#?}");
    // Wednesday, after nine in Berlin.
    scene.pass(HOUR * 22);
    drop(scene.cycle());
    assert!(scene.open("web").is_some());
}

#[test]
fn a_restart_keeps_the_soak_and_a_lost_cache_never_shortens_it() {
    let mut scene = Scene::start(CHAIN);
    landed_in_staging(&mut scene, "1.3.0");
    scene.pass(HOUR * 20);
    drop(scene.cycle());
    scene.restart(Cache::Kept);
    assert!(hold(&scene.cycle(), "web", "prod").reason.contains("for 20h"));
    scene.restart(Cache::Lost);
    // Its pods say since when they are ready.
    let report = scene.cycle();
    assert!(hold(&report, "web", "prod").reason.contains("for 20h"), "{report:#?}");
    scene.pass(HOUR * 5);
    drop(scene.cycle());
    assert!(scene.open("web").is_some());
}

#[test]
fn a_version_that_upstream_has_gone_back_from_is_not_promoted() {
    let mut scene = Scene::start(CHAIN);
    landed_in_staging(&mut scene, "1.3.0");
    scene.pass(HOUR * 20);
    drop(scene.cycle());
    let path = "apps/web/overlays/staging/kustomization.yaml";
    scene.edit(path, "1.3.0", "1.2.3", "staging: web back to 1.2.3");
    scene.cluster_goes_on();
    scene.until("web", "staging", "1.2.3", State::Landed);
    scene.pass(HOUR * 26);
    let report = scene.cycle();
    assert!(scene.open("web").is_none(), "{report:#?}");
    assert_eq!(hold(&report, "web", "staging").gate, Gate::Hold, "and staging itself holds it");
}
