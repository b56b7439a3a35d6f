//! Remotes and registries that take a connection and never answer: the cycle ends in its time, and who does not ask them
//! is not delayed (G6).

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use landfall::demo::registry::{DemoImage, DemoRegistry, RegistryOptions};
use landfall::model::Tag;

use super::oracle::judge;
use super::process::Ran;
use super::trip::{Point, Reply, When, Where};
use super::world::{ForgeKind, POLICIES, World};
use crate::support::git::git;

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

/// How long an `apply` takes to land 1.1.0, or whatever tag, of these apps; then it ends by itself.
fn landing(world: &World, config: &Path, repository: &str, apps: &[&str], tag: &str) -> (Duration, Ran) {
    let begin = Instant::now();
    let running = world.start(config, &["apply", "--timeout", "1s"]);
    let dir = world.path(&format!("remotes/{repository}.git"));
    let landed = |app: &&str| {
        git(&dir, &["show", &format!("main:apps/{app}/overlays/dev/kustomization.yaml")])
            .contains(&format!("newTag: {tag}"))
    };
    while !apps.iter().all(landed) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{repository} never lands {tag}");
        std::thread::sleep(Duration::from_millis(10));
    }
    (begin.elapsed(), running.finish(Duration::from_secs(60)))
}

#[test]
fn one_dark_registry_of_five_costs_the_other_four_little() {
    let world = World::new(ForgeKind::None);
    let start = || world.runtime.block_on(DemoRegistry::start(RegistryOptions::default())).unwrap();
    let others = [start(), start(), start()];
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dark = silent.local_addr().unwrap().to_string();
    let apps = ["a", "b", "c", "d"];
    let host = |at: usize| at.checked_sub(1).map_or(world.host.clone(), |other| others[other].host().to_owned());
    let push = |tag: &str| {
        for (at, app) in apps.iter().enumerate() {
            let registry = at.checked_sub(1).map_or(&world.registry, |other| &others[other]);
            let image = DemoImage::new(jiff::Timestamp::from_second(1_790_000_000).unwrap()).label("tag", tag);
            registry.push_image(&format!("acme/{app}"), &Tag::parse(tag).unwrap(), &image).unwrap();
        }
    };
    push("1.0.0");
    push("1.1.0");
    let path = |app: &str| format!("apps/{app}/overlays/dev/kustomization.yaml");
    let mut files = vec![(".landfall/policies.yaml".to_owned(), POLICIES.replace("pull-request", "never"))];
    files.extend(
        apps.iter().enumerate().map(|(at, app)| (path(app), world.overlay(app).replace(&world.host, &host(at)))),
    );
    let commit = |name: &str, files: &[(String, String)]| {
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
        world.commit(name, &files);
    };
    world.bare("healthy");
    commit("healthy", &files);
    files.push((path("e"), world.overlay("e").replace(&world.host, &dark)));
    commit("deploys", &files);
    let registries: String = (others.iter().map(|other| other.host().to_owned()).chain([dark.clone()]))
        .map(|host| format!("  - {{ host: \"{host}\", plainHttp: true, timeout: {TIMEOUT} }}\n"))
        .collect();
    let config =
        |state: &str, name: &str| world.config_of(state, &world.repository(name, &world.url(name)), &registries);
    let (normal, ran) = landing(&world, &config("normal", "healthy"), "healthy", &apps, "1.1.0");
    assert_eq!(ran.code, Some(0), "{}", ran.text());
    // Half as long again, and what a busy machine may take; a fixed patience of seconds would not pass.
    let limit = normal * 3 / 2 + Duration::from_secs(1);
    let sick = config("sick", "deploys");
    let (first, ran) = landing(&world, &sick, "deploys", &apps, "1.1.0");
    assert!(first < limit, "{first:?} for {normal:?}");
    // It ended by its deadline, before the registry's own time was up, and says what is unknown.
    assert_eq!(ran.code, Some(2), "{}", ran.text());
    let problem = ran.json()["repositories"][0]["problems"][0]["message"].to_string();
    assert!(problem.contains("has not answered yet") && problem.contains(&dark), "{problem}");
    // The next process knows which registry is silent.
    push("1.2.0");
    let (second, ran) = landing(&world, &sick, "deploys", &apps, "1.2.0");
    assert!(second < limit, "{second:?} for {normal:?}");
    assert_eq!(
        ran.json()["repositories"][0]["problems"][0]["message"].to_string(),
        problem,
        "silent since the same time"
    );
}
