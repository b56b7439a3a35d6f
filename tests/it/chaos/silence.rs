//! Remotes and registries that take a connection and never answer: the cycle ends in its time, and who does not ask them
//! is not delayed (G6).

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use landfall::demo::registry::{DemoImage, DemoRegistry, RegistryOptions};
use landfall::model::Tag;
use rustix::process::Signal;
use serde_json::json;

use super::oracle::judge;
use super::{apply, empty, kustomization, only_dev, started};
use crate::support::git::{command, git};
use crate::support::process::{Ran, Running};
use crate::support::trip::{Point, Reply, When, Where};
use crate::support::world::{Setup, World, overlay};

/// How long the sick one is given: the test itself ends its silence.
const TIMEOUT: &str = "timeout: 30m";

/// Every request of the first repository on its way from a look to a push.
const STEPS: [(&str, &str); 3] = [
    ("deploys.git/info/refs?service=git-upload-pack", "GET"),
    ("deploys.git/git-upload-pack", "POST"),
    ("deploys.git/git-receive-pack", "POST"),
];

fn dev(setup: Setup, app: &str, host: &str) -> Setup {
    setup.file(&overlay(app, "dev"), kustomization(app).replace("REG", host))
}

/// Two repositories with an app each; of `deploys`, the remote or a registry may be sick.
fn two_repositories(sick: Option<&str>) -> World {
    let setup = dev(empty().policies(&only_dev()).no_forge(), "web", "REG");
    let setup = sick.into_iter().fold(setup, |setup, host| dev(setup, "sick", host));
    let world = started(dev(setup.beside("healthy"), "api", "REG").interval("1s"), &["web", "api"]);
    for app in ["web", "api"] {
        world.push(&format!("acme/{app}"), "1.1.0");
    }
    world
}

fn has(world: &World, repository: &str, app: &str, tag: &str) -> bool {
    let dir = world.path(&format!("remotes/{repository}.git"));
    git(&dir, &["show", &format!("main:{}", overlay(app, "dev"))]).contains(&format!("newTag: {tag}"))
}

/// Runs a cycle in which these apps of these repositories get their update while the sick one is silent; then its silence
/// is ended. The report of `deploys`.
fn run(world: &World, quick: &[(&str, &str)], end: impl FnOnce()) -> serde_json::Value {
    let mut running = world.start(&["apply", "-o", "json", "--timeout", "30m"]);
    running.until("the healthy lands", || quick.iter().all(|(repository, app)| has(world, repository, app, "1.1.0")));
    assert!(running.runs(), "the sick one was given up too early, so that this shows nothing");
    end();
    let ran = running.finish();
    assert!(ran.code == Some(0) || ran.code == Some(2), "{}", ran.text());
    let all = ran.json();
    assert_eq!(all["repositories"][1]["actions"][0]["result"]["verified"], true, "{all}");
    assert_eq!(all["repositories"][1]["problems"], json!([]), "{all}");
    all["repositories"][0].clone()
}

#[test]
fn a_silent_git_remote_delays_no_other() {
    for (part, method) in STEPS {
        let world = two_repositories(None);
        world.configure("    author", &format!("    {TIMEOUT}\n    author"));
        world.wire.set(Point::on(Where::Git, method, part, When::Before), 0, usize::MAX, || Reply::Silence);
        let first = world.tip("main");
        run(&world, &[("healthy", "api")], || {
            assert_eq!(world.tip("main"), first, "{part}");
            world.wire.clear();
        });
        apply(&world, "landfall.yaml").ends(0);
        assert!(has(&world, "deploys", "web", "1.1.0"));
        judge(&world, &[]);
    }
}

#[test]
fn a_silent_git_remote_is_given_up_in_its_time() {
    for (part, method) in STEPS {
        let world = two_repositories(None);
        world.configure("    author", "    timeout: 2s\n    author");
        world.wire.set(Point::on(Where::Git, method, part, When::Before), 0, usize::MAX, || Reply::Silence);
        let told = apply(&world, "landfall.yaml").ends(2).report().to_string();
        assert!(told.contains("within 2 s"), "{part}: {told}");
        assert!(!has(&world, "deploys", "web", "1.1.0"));
    }
}

#[test]
fn a_silent_registry_delays_no_other() {
    // Connections are taken by the system and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let world = two_repositories(Some(&host));
    let entry = format!("registries:\n  - {{ host: \"{host}\", plainHttp: true, {TIMEOUT} }}\n");
    world.configure("registries:\n", &entry);
    // In the same repository, what does not come from there does not wait either.
    let report = run(&world, &[("healthy", "api"), ("deploys", "web")], || drop(silent));
    assert_eq!(report["actions"][0]["result"]["verified"], true, "{report}");
    let message = report["problems"][0]["message"].as_str().unwrap();
    assert!(message.contains(&host), "{report}");
    judge(&world, &[]);
}

/// SIGTERM; whoever stops a bot waits ten seconds at most.
fn stop(running: Running) {
    let begin = Instant::now();
    drop(running.stop(Signal::TERM));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

/// The running bot, with one thread for all that does not block, as on a machine with one core.
fn daemon(world: &World) -> Running {
    world.start_with(&["run"], &[("TOKIO_WORKER_THREADS", "1")])
}

#[test]
fn a_repository_that_blocks_delays_no_other_and_no_shutdown() {
    let world = two_repositories(None);
    let mut running = daemon(&world);
    let both = || has(&world, "deploys", "web", "1.1.0") && has(&world, "healthy", "api", "1.1.0");
    running.until("both land", both);
    // Whoever reads this ref of the mirror waits for a writer, in a call of the system that nothing interrupts.
    let (pipe, head) = (world.path("pipe"), world.path("state/repositories/deploys/mirror.git/refs/heads/main"));
    assert!(command("mkfifo").arg(&pipe).status().unwrap().success());
    fs::rename(&pipe, &head).unwrap();
    let mut writer = None;
    running.until("somebody reads the pipe", || {
        // Fails while nobody does; once it is open, the reader waits for what is never written.
        const NONBLOCKING: i32 = 0o4000;
        writer = fs::OpenOptions::new().write(true).custom_flags(NONBLOCKING).open(&head).ok();
        writer.is_some()
    });
    world.push("acme/api", "1.2.0");
    running.until("the other one lands again", || has(&world, "healthy", "api", "1.2.0"));
    stop(running);
    drop(writer);
}

#[test]
fn a_silent_git_remote_delays_no_shutdown() {
    let world = two_repositories(None);
    let (part, method) = STEPS[0];
    world.wire.set(Point::on(Where::Git, method, part, When::Before), 0, usize::MAX, || Reply::Silence);
    let mut running = daemon(&world);
    running.until("the healthy one lands", || has(&world, "healthy", "api", "1.1.0"));
    stop(running);
    crate::support::process::quiet(&world.path(""));
}

/// How long an `apply` takes to land a tag of these apps; then it ends by itself.
fn landing(world: &World, config: &str, apps: &[&str], tag: &str, timeout: Duration) -> (Duration, Ran) {
    let begin = Instant::now();
    let timeout = format!("{}s", timeout.as_secs());
    let mut running = world.start(&["--config", config, "apply", "-o", "json", "--timeout", &timeout]);
    running.until("all land", || apps.iter().all(|app| has(world, "deploys", app, tag)));
    (begin.elapsed(), running.finish())
}

#[test]
fn one_dark_registry_of_five_costs_the_other_four_little() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let registries = [(); 4].map(|()| runtime.block_on(DemoRegistry::start(RegistryOptions::default())).unwrap());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dark = silent.local_addr().unwrap().to_string();
    let apps = ["a", "b", "c", "d"];
    let push = |tag: &str| {
        for (registry, app) in registries.iter().zip(apps) {
            let image = DemoImage::new(jiff::Timestamp::from_second(1_790_000_000).unwrap()).label("tag", tag);
            registry.push_image(&format!("acme/{app}"), &Tag::parse(tag).unwrap(), &image).unwrap();
        }
    };
    let setup = empty().policies(&only_dev()).no_forge();
    let setup = registries.iter().zip(apps).fold(setup, |setup, (registry, app)| dev(setup, app, registry.host()));
    let world = setup.start();
    for host in registries.iter().map(DemoRegistry::host).chain([dark.as_str()]) {
        let entry = format!("registries:\n  - {{ host: \"{host}\", plainHttp: true, {TIMEOUT} }}\n");
        world.configure("registries:\n", &entry);
    }
    push("1.0.0");
    push("1.1.0");
    let (normal, ran) = landing(&world, "landfall.yaml", &apps, "1.1.0", Duration::from_secs(200));
    ran.ends(0);
    // Half as long again, and what a busy machine may take; a fixed patience of five seconds would not pass.
    let limit = normal * 3 / 2 + Duration::from_secs(3);
    let deadline = normal * 5 + Duration::from_secs(2);
    world.write(&[(&overlay("e", "dev"), &kustomization("e").replace("REG", &dark))]);
    // From nothing, as the first was.
    let sick = world.config("sick");
    push("1.2.0");
    let (first, ran) = landing(&world, &sick, &apps, "1.2.0", deadline);
    assert!(first < limit, "{first:?} for {normal:?}");
    // It ended by its deadline, before the registry's own time was up, and says what is unknown.
    let unknown = ran.ends(2).report()["problems"].clone();
    let problem = unknown[0]["message"].as_str().unwrap();
    assert!(problem.contains("has not answered yet") && problem.contains(&dark), "{problem}");
    // The next process knows which registry is silent.
    push("1.3.0");
    let (second, ran) = landing(&world, &sick, &apps, "1.3.0", deadline);
    assert!(second < limit, "{second:?} for {normal:?}");
    assert_eq!(ran.report()["problems"], unknown, "silent since the same time");
}
