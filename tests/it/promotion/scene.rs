//! A whole world in this process (registry, repository, cluster with its controllers) under a clock that a story turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use landfall::config::{self, Environment};
use landfall::daemon::{self, ActionOutcome, Bot, Clock, CycleOutcome, RollbackAsk, Rows, Timing, Tracker};
use landfall::demo::DemoWorld;
use landfall::forge::LocalForge;
use landfall::model::{PullRequest, PullState, State};
use landfall::plan::Hold;

use crate::support::process::PATIENCE;

/// A story with its own time.
pub(super) struct Scene {
    runtime: tokio::runtime::Runtime,
    pub(super) world: DemoWorld,
    time: Arc<AtomicI64>,
    bot: Bot,
    tracker: Arc<Tracker>,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// Three apps in dev, staging and prod under these policies; it begins on a Monday at 08:00 UTC.
    pub(super) fn start(policies: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let begin: Timestamp = "2026-01-05T08:00:00Z".parse().unwrap();
        let time = Arc::new(AtomicI64::new(begin.as_millisecond()));
        let read = Arc::clone(&time);
        let clock = Clock::from_fn(move || Timestamp::from_millisecond(read.load(Ordering::SeqCst)).unwrap());
        let (world, bot, tracker) = runtime.block_on(async {
            let world = DemoWorld::create(folder.path(), &clock).await.unwrap();
            for (app, tag) in [("web", "1.2.3"), ("api", "2.0.0"), ("worker", "v0.9.0")] {
                world.push(app, tag, clock.now()).unwrap();
            }
            world.write(".landfall/policies.yaml", policies, "policies", clock.now()).await.unwrap();
            let (bot, tracker) = start(&world, &clock).await;
            (world, bot, tracker)
        });
        let mut scene = Self { runtime, world, time, bot, tracker, _folder: folder };
        scene.cluster_goes_on();
        drop(scene.cycle());
        scene
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.time.load(Ordering::SeqCst)).unwrap()
    }

    /// Time passes, in which the controllers look once and nothing else happens.
    pub(super) fn pass(&mut self, span: SignedDuration) {
        let later = self.now().checked_add(span).unwrap();
        self.runtime.block_on(self.world.cluster.reconcile(later)).unwrap();
        self.time.store(later.as_millisecond(), Ordering::SeqCst);
    }

    /// The cluster's controllers take what is in Git.
    pub(super) fn cluster_goes_on(&mut self) {
        for _ in 0..3 {
            self.pass(SignedDuration::from_secs(20));
        }
    }

    /// CI pushes a tag, a second after whatever was asked last.
    pub(super) fn push(&self, app: &str, tag: &str) {
        self.time.fetch_add(1000, Ordering::SeqCst);
        self.world.push(app, tag, self.now()).unwrap();
    }

    /// One cycle of the bot, with a look at the cluster before it.
    pub(super) fn cycle(&mut self) -> CycleOutcome {
        let (bot, tracker) = (&mut self.bot, &self.tracker);
        self.runtime.block_on(async {
            bot.prove(tracker, PATIENCE).await;
            bot.apply().await.remove(0)
        })
    }

    /// Cycles until the bot has seen what the cluster says of an image.
    #[track_caller]
    pub(super) fn until(&mut self, app: &str, environment: &str, tag: &str, state: State) {
        let is_so = |rows: &Rows| {
            rows.rows.iter().any(|row| {
                row.app == app
                    && row.environment.as_deref() == Some(environment)
                    && row.cluster.is_some()
                    && row.landing.state == state
                    && row.declared.version.tag.as_ref().is_some_and(|declared| declared.as_str() == tag)
            })
        };
        let (bot, tracker) = (&mut self.bot, &self.tracker);
        let seen = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, async {
                loop {
                    bot.view(tracker).await;
                    if tracker.look().await.is_some_and(|rows| is_so(&rows)) {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            })
            .await
        });
        let there = self.tracker.rows().borrow().rows.clone();
        assert!(seen.is_ok(), "{app} {tag} does not come to be {state} in {environment}: {there:#?}");
    }

    /// The version that the repository declares.
    pub(super) fn declared(&self, app: &str, environment: &str) -> String {
        let (file, key) = match app {
            "web" => ("kustomization.yaml", "newTag: "),
            "api" => ("values.yaml", "tag: "),
            _ => ("cronjob.yaml", "worker:"),
        };
        let path = format!("apps/{app}/overlays/{environment}/{file}");
        let text = self.runtime.block_on(self.world.read(&path)).unwrap();
        let line = text.lines().find(|line| line.contains(key)).unwrap_or_else(|| panic!("{text}"));
        let value = line.split(key).nth(1).unwrap().split_whitespace().next().unwrap();
        value.trim_matches(['"', '\'']).to_owned()
    }

    fn forge(&self) -> &LocalForge {
        self.bot.repositories[0].pulls().forge().local().unwrap()
    }

    /// The open pull request of an app.
    pub(super) fn open(&self, app: &str) -> Option<PullRequest> {
        let pulls = self.runtime.block_on(self.forge().list()).unwrap();
        pulls.into_iter().find(|pull| pull.state == PullState::Open && pull.title.contains(app))
    }

    pub(super) fn merge(&self, number: u64) {
        self.runtime.block_on(self.forge().merge(number, self.now())).unwrap();
    }

    /// The bot starts anew; its cache is kept or lost.
    pub(super) fn restart(&mut self, cache: Cache) {
        let read = Arc::clone(&self.time);
        let clock = Clock::from_fn(move || Timestamp::from_millisecond(read.load(Ordering::SeqCst)).unwrap());
        self.runtime.block_on(self.tracker.keep());
        let folder = self.world.folder.clone();
        let spare = folder.join("spare");
        // The old ones hold the cache's file.
        let (bot, tracker) = self.runtime.block_on(idle(&self.world, &clock, &spare));
        drop(std::mem::replace(&mut self.bot, bot));
        drop(std::mem::replace(&mut self.tracker, tracker));
        if cache == Cache::Lost {
            std::fs::remove_file(folder.join("state/cache.redb")).unwrap();
        }
        let (bot, tracker) = self.runtime.block_on(start(&self.world, &clock));
        self.bot = bot;
        self.tracker = tracker;
    }
}

/// What becomes of the cache at a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cache {
    Kept,
    Lost,
}

async fn start(world: &DemoWorld, clock: &Clock) -> (Bot, Arc<Tracker>) {
    let environment = Environment::from_fn(|_| None);
    let loaded = config::load(&world.config).unwrap();
    let bot = daemon::bot(&loaded.settings, &environment, clock.clone()).await.unwrap();
    let lookup = Arc::clone(bot.lookup());
    let tracker = daemon::tracker(&loaded.settings, &environment, clock.clone(), lookup, Vec::new()).unwrap();
    (bot, tracker)
}

/// A bot that does nothing, with a state folder of its own.
async fn idle(world: &DemoWorld, clock: &Clock, state: &std::path::Path) -> (Bot, Arc<Tracker>) {
    let environment = Environment::from_fn(|_| None);
    let mut loaded = config::load(&world.config).unwrap();
    loaded.settings.state_dir = Some(state.to_owned());
    loaded.settings.clusters.clear();
    let bot = daemon::bot(&loaded.settings, &environment, clock.clone()).await.unwrap();
    let lookup = Arc::clone(bot.lookup());
    let tracker = daemon::tracker(&loaded.settings, &environment, clock.clone(), lookup, Vec::new()).unwrap();
    (bot, tracker)
}

/// The hold of an app's update in an environment.
#[track_caller]
pub(super) fn hold<'r>(report: &'r CycleOutcome, app: &str, environment: &str) -> &'r Hold {
    let is_it = |hold: &&Hold| hold.update.app == app && hold.update.environment.as_deref() == Some(environment);
    report.holds.iter().find(is_it).unwrap_or_else(|| panic!("nothing holds {app} in {environment}: {report:#?}"))
}

impl Scene {
    /// A person changes a file.
    pub(super) fn edit(&self, path: &str, from: &str, to: &str, message: &str) {
        self.runtime.block_on(self.world.edit(path, from, to, message, self.now())).unwrap();
    }
}

impl Scene {
    /// Ada wants an app back where it was.
    pub(super) fn roll_back(&mut self, app: &str, environment: &str) -> Vec<ActionOutcome> {
        let ask = RollbackAsk {
            app: app.to_owned(),
            environment: environment.to_owned(),
            image: None,
            to: None,
            by: "Ada".to_owned(),
            reason: Some("it leaks".to_owned()),
        };
        self.runtime.block_on(self.tracker.keep());
        let now = self.now();
        let lookup = Arc::clone(self.bot.lookup());
        let timing = Timing { now, since: now, pause: Duration::from_millis(1) };
        let repository = &mut self.bot.repositories[0];
        self.runtime.block_on(repository.roll_back(&ask, &lookup, timing)).unwrap().actions
    }

    /// The message of the newest commit.
    pub(super) fn message(&self) -> String {
        crate::support::git::git(&self.world.folder.join("git/deploys.git"), &["log", "-1", "--format=%B", "main"])
    }
}
