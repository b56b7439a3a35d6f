//! Remotes and registries that take a connection and never answer: the cycle ends in its time, and who does not ask them
//! is not delayed (G6).

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::oracle::judge;
use super::trip::{Point, Reply, When, Where};
use super::world::{ForgeKind, POLICIES, World};
use crate::git::world::git;

/// How long the sick one is given; far more than a healthy cycle needs.
const TIMEOUT: &str = "12s";

/// Two repositories with an app each; of `deploys`, the remote or registry may be sick.
fn two_repositories(sick_host: Option<&str>) -> World {
    let world = World::new(ForgeKind::None);
    world.bare("healthy");
    let policies = (".landfall/policies.yaml", POLICIES.replace("pull-request", "never"));
    let path = |app: &str| format!("apps/{app}/overlays/dev/kustomization.yaml");
    let overlay = |app: &str| (path(app), world.overlay(app));
    let (web, api) = (overlay("web"), overlay("api"));
    let sick = sick_host.map(|host| (path("sick"), world.overlay("sick").replace(&world.host, host)));
    let mut files = vec![policies.clone(), (web.0.as_str(), web.1.clone())];
    files.extend(sick.as_ref().map(|(path, text)| (path.as_str(), text.clone())));
    world.commit("deploys", &files);
    world.commit("healthy", &[policies, (api.0.as_str(), api.1.clone())]);
    for app in ["web", "api"] {
        world.push_tag(app, "1.0.0");
        world.push_tag(app, "1.1.0");
    }
    world
}

fn tag_in(world: &World, repository: &str, app: &str) -> bool {
    let dir = world.path(&format!("remotes/{repository}.git"));
    git(&dir, &["show", &format!("main:apps/{app}/overlays/dev/kustomization.yaml")]).contains("newTag: 1.1.0")
}

/// Runs a cycle and returns the report of `deploys` once these apps of these repositories have their update, which must be
/// before the sick one's time is up.
fn run(world: &World, registries: &str, quick: &[(&str, &str)]) -> serde_json::Value {
    let deploys = world
        .repository("deploys", &world.url("deploys"))
        .replace("    author", &format!("    timeout: {TIMEOUT}\n    author"));
    let healthy = world.repository("healthy", &world.url("healthy"));
    let config = world.config_of("state", &(deploys + &healthy), registries);
    let begin = Instant::now();
    let mut running = world.start(&config, &["apply"]);
    while !quick.iter().all(|(repository, app)| tag_in(world, repository, app)) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the healthy waits for the sick");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(running.runs(), "the sick one was given up too early, so that this shows nothing");
    let ran = running.finish(Duration::from_secs(60));
    assert!(ran.code == Some(0) || ran.code == Some(2), "{}", ran.text());
    let all = ran.json();
    assert_eq!(all["repositories"][1]["actions"][0]["result"]["verified"], true, "{all}");
    assert_eq!(all["repositories"][1]["problems"], serde_json::json!([]), "{all}");
    all["repositories"][0].clone()
}

#[test]
fn a_silent_git_remote_delays_no_other() {
    for (part, method) in [
        ("deploys.git/info/refs?service=git-upload-pack", "GET"),
        ("deploys.git/git-upload-pack", "POST"),
        ("deploys.git/git-receive-pack", "POST"),
    ] {
        let world = two_repositories(None);
        let point = Point::on(Where::Git, method, part, When::Before);
        world.wire.set(point, 0, usize::MAX, || Reply::Silence);
        let report = run(&world, "", &[("healthy", "api")]);
        let told = report.to_string();
        assert!(
            told.contains("within 12 s") || told.contains("timed out") || told.contains("too slow"),
            "{part}: {told}"
        );
        assert!(!tag_in(&world, "deploys", "web"));
        world.wire.clear();
        let ran = world.apply(&world.path("state.yaml"));
        assert_eq!(ran.code, Some(0), "{}", ran.text());
        assert!(tag_in(&world, "deploys", "web"));
        judge(&world, &[]);
    }
}

#[test]
fn a_silent_registry_delays_no_other() {
    // Connections are taken by the system and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let world = two_repositories(Some(&host));
    let registries = format!("  - {{ host: \"{host}\", plainHttp: true, timeout: {TIMEOUT} }}\n");
    // In the same repository, what does not come from there does not wait either.
    let report = run(&world, &registries, &[("healthy", "api"), ("deploys", "web")]);
    assert_eq!(report["actions"][0]["result"]["verified"], true, "{report}");
    assert!(tag_in(&world, "deploys", "web"));
    let message = report["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains("12s") && message.contains(&host), "{report}");
    judge(&world, &[]);
}
