//! A forge that fails, or says nothing, just while a pull request is opened or merged: what is waited for, until when without
//! an alarm, and that nothing is done twice. The bot runs in this process, by a clock of the test's own.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use jiff::SignedDuration;
use landfall::daemon::{Clock, Rows};
use landfall::model::{CauseCode, State, Tracked, TrackedThing};
use serde_json::Value;
use tokio::sync::watch;

use crate::support::server::Server;
use crate::support::trip::{Point, Reply, When, Where};
use crate::support::world::{InProcess, Setup, World};

const POLICIES: &str = r#"policies:
  - name: prod
    paths: ["apps/{app}/overlays/prod/**"]
    environment: prod
    write: pull-request
    tags: { semver: "*" }
    landWithin: 30m
    pullRequest: { automerge: true, checks: [ci] }
"#;

const OPENING: Point = Point::on(Where::Forge, "POST", "/pulls", When::Before);
const MERGING: Point = Point::on(Where::Forge, "PUT", "/merge", When::Before);

/// One app in prod with an update to propose, and a receiver of alarms.
struct Scene {
    world: World,
    told: Arc<Mutex<Vec<Value>>>,
    _receiver: Server,
    /// How many minutes the bot's clock is ahead.
    ahead: Arc<AtomicI64>,
}

/// The bot at work; it ends with this.
struct Running<'s> {
    scene: &'s Scene,
    bot: InProcess,
    rows: watch::Receiver<Arc<Rows>>,
}

impl Scene {
    fn start() -> Self {
        Self::of(World::setup().app("web", "1.2.3", &["prod"]).policies(POLICIES).github(""))
    }

    fn of(setup: Setup) -> Self {
        let world = setup.wired().interval("1s").start();
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&told);
        let receiver = Server::start(Router::new().fallback(move |body: axum::body::Bytes| {
            keep.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            async { http::StatusCode::NO_CONTENT }
        }));
        let hook = format!(
            "notify:\n  - {{ name: hook, kind: webhook, url: \"{}/hook\", landings: false }}\nregistries:",
            receiver.origin
        );
        world.configure("registries:", &hook);
        // Whoever is silent is given up soon.
        world.configure("    branch: main", "    branch: main\n    timeout: 3s");
        world.push_all("acme/web", &["1.2.3", "1.3.0"]);
        Self { world, told, _receiver: receiver, ahead: Arc::default() }
    }

    /// The same with the pull request open and its check passed.
    fn mergeable() -> Self {
        let scene = Self::start();
        scene.world.apply();
        scene.world.github().run(&scene.world.heads()[0], "ci", "completed", Some("success"));
        scene
    }

    fn run(&self) -> Running<'_> {
        let ahead = Arc::clone(&self.ahead);
        let clock =
            Clock::from_fn(move || Clock::system().now() + SignedDuration::from_mins(ahead.load(Ordering::Relaxed)));
        let bot = self.world.run_in_process(clock);
        Running { scene: self, rows: bot.tracker.rows(), bot }
    }

    /// The alarms so far: their kinds.
    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().iter().map(|notice| notice["kind"].as_str().unwrap().to_owned()).collect()
    }
}

impl Running<'_> {
    /// Waits until the rows are so.
    #[track_caller]
    fn until(&mut self, what: &str, is: impl FnMut(&Arc<Rows>) -> bool) {
        let waited = self
            .scene
            .world
            .block_on(async { tokio::time::timeout(Duration::from_secs(60), self.rows.wait_for(is)).await.map(drop) });
        assert!(waited.is_ok(), "not {what}: {:#?}", self.rows.borrow());
    }

    /// Waits until the receiver was told so.
    #[track_caller]
    fn until_told(&mut self, kind: &str) -> String {
        let scene = self.scene;
        self.until(kind, |_| scene.told().iter().any(|told| told == kind));
        let told = scene.told.lock().unwrap();
        told.iter().find(|notice| notice["kind"] == kind).unwrap().to_string()
    }

    fn ahead(&self, minutes: i64) {
        self.scene.ahead.store(minutes, Ordering::Relaxed);
    }
}

/// The row of the update, where it waits for the forge.
fn waiting(rows: &Rows) -> Option<&Tracked> {
    let fetch = |row: &&Tracked| row.landing.cause.as_ref().is_some_and(|cause| cause.code == CauseCode::FetchFailed);
    rows.rows.iter().find(|row| row.app == "web" && row.landing.state == State::Pending && fetch(row))
}

/// While the forge does so at this point the update waits, without an alarm before its deadline; then it goes on by itself.
fn waits_for_the_forge<'s>(
    scene: &'s Scene,
    (point, reply): (Point, Reply),
    is_done: impl Fn(&World) -> bool,
) -> Running<'s> {
    scene.world.wire.set(point, 0, usize::MAX, move || reply);
    let mut running = scene.run();
    running.until("waiting", |rows| waiting(rows).is_some());
    let deadline = waiting(&running.rows.borrow()).and_then(|row| row.deadline);
    assert!(deadline.is_some(), "{:#?}", running.rows.borrow());
    // One minute before its deadline nobody has been told.
    running.ahead(28);
    let soon = running.rows.borrow().at + SignedDuration::from_mins(27);
    running.until("waiting later on", |rows| rows.at > soon && waiting(rows).is_some());
    assert_eq!(scene.told(), Vec::<String>::new(), "{reply:?}");
    running.ahead(31);
    let raised = running.until_told("raised");
    assert!(raised.contains("fetch-failed"), "{raised}");
    assert!(!is_done(&scene.world));

    scene.world.wire.clear();
    let world = &scene.world;
    running.until("done", |_| is_done(world));
    running
}

#[test]
fn a_forge_that_fails_while_a_pull_request_is_opened_is_waited_for() {
    for reply in [Reply::Status(502), Reply::Silence] {
        let scene = Scene::start();
        let mut running = waits_for_the_forge(&scene, (OPENING, reply), |world| !world.github().pulls().is_empty());
        // It waits for its check now, and has for a while.
        running.ahead(90);
        running.until_told("resolved");
        assert_eq!(scene.told(), ["raised", "resolved"]);
        running.bot.stop(&scene.world);
        assert_eq!(scene.world.github().pulls().len(), 1);
        assert_eq!(scene.world.heads().len(), 1);
    }
}

#[test]
fn a_forge_that_fails_while_a_pull_request_is_merged_is_waited_for() {
    for reply in [Reply::Status(502), Reply::Silence] {
        let scene = Scene::mergeable();
        let running = waits_for_the_forge(&scene, (MERGING, reply), |world| world.tag("web", "prod") == "1.3.0");
        running.bot.stop(&scene.world);
        assert_eq!(scene.world.github().merges().len(), 1);
    }
}

#[test]
fn what_was_done_although_the_forge_failed_is_done_once() {
    for (point, scene) in [(OPENING, Scene::start()), (MERGING, Scene::mergeable())] {
        // It is done, the answer is lost, and from then on nothing can be looked up.
        let down = Arc::new(AtomicBool::new(false));
        let sets = Arc::clone(&down);
        scene.world.wire.set(Point { when: When::After, ..point }, 0, 1, move || {
            sets.store(true, Ordering::Relaxed);
            Reply::Status(502)
        });
        let is = Arc::clone(&down);
        scene.world.wire.set(Point::on(Where::Forge, "", "", When::Before), 0, usize::MAX, move || {
            if is.load(Ordering::Relaxed) { Reply::Status(502) } else { Reply::GoesOn }
        });
        let mut running = scene.run();
        running.until("cut off", |_| down.load(Ordering::Relaxed));
        let said = |row: &Tracked, text: &str| row.landing.cause.as_ref().is_some_and(|it| it.message.contains(text));
        running.until("not known", |rows| rows.rows.iter().any(|row| said(row, "502")));
        scene.world.wire.clear();
        let (world, merging) = (&scene.world, point == MERGING);
        running.until("going on", |rows| match merging {
            true => rows.rows.iter().all(|row| {
                row.thing == TrackedThing::Image && row.declared.version.to_string() == "1.3.0" && !said(row, "502")
            }),
            false => rows.rows.iter().any(|row| said(row, "pull request #1 waits: the forge shows no check ci yet")),
        });
        assert_eq!(scene.told(), Vec::<String>::new());
        running.bot.stop(world);
        let report = world.apply();
        assert_eq!(report["actions"], serde_json::json!([]), "{report:#}");
        assert_eq!(world.github().pulls().len(), 1);
        let created = world
            .github()
            .requests()
            .iter()
            .filter(|asked| asked.method == "POST" && asked.target.ends_with("/pulls"))
            .count();
        assert_eq!((created, world.github().merges().len()), (1, usize::from(merging)));
    }
}

#[test]
fn an_image_whose_list_never_comes_is_told_after_its_time_and_keeps_no_other_waiting() {
    let policies =
        POLICIES.replace("pull-request", "commit").replace("    pullRequest: { automerge: true, checks: [ci] }\n", "");
    let scene =
        Scene::of(World::setup().app("web", "1.2.3", &["prod"]).app("shop", "1.2.3", &["prod"]).policies(&policies));
    scene.world.push_all("acme/shop", &["1.2.3", "1.3.0"]);
    let list = Point::on(Where::Registry, "GET", "/v2/acme/web/tags/list", When::Before);
    scene.world.wire.set(list, 0, usize::MAX, || Reply::Silence);
    let mut running = scene.run();
    let world = &scene.world;
    running.until("the other image", |_| world.tag("shop", "prod") == "1.3.0");
    running.ahead(28);
    let soon = running.rows.borrow().at + SignedDuration::from_mins(27);
    running.until("waiting later on", |rows| rows.at > soon);
    assert_eq!(scene.told(), Vec::<String>::new());
    running.ahead(60);
    let raised = running.until_told("raised");
    assert!(raised.contains("acme/web") && !raised.contains("acme/shop"), "{raised}");
    world.push("acme/shop", "1.4.0");
    running.until("the other image again", |_| world.tag("shop", "prod") == "1.4.0");
    world.wire.clear();
    running.until("the image itself", |_| world.tag("web", "prod") == "1.3.0");
    running.bot.stop(world);
}
