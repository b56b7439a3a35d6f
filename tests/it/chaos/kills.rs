//! kill -9 at every step between edit and pull request: at random times, and at every kind of request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::oracle::{converges, judge};
use super::{apply, apps, merge_open_pull, started};
use crate::support::process::{Target, Victims};
use crate::support::trip::{Point, Reply, When, Where};
use crate::support::world::{Setup, World};

/// Kills at random times, per forge.
const RANDOM: usize = 50;
/// Kills at requests, per forge; some points are met more than once.
const AIMED: usize = 54;

/// What the bot asks of whom on its way from a new tag to a pull request.
const POINTS: &[Point] = &[
    Point::on(Where::Git, "GET", "service=git-upload-pack", When::Before),
    Point::on(Where::Git, "GET", "service=git-upload-pack", When::After),
    Point::on(Where::Git, "POST", "git-upload-pack", When::Before),
    Point::on(Where::Git, "POST", "git-upload-pack", When::After),
    Point::on(Where::Git, "GET", "service=git-receive-pack", When::Before),
    Point::on(Where::Git, "GET", "service=git-receive-pack", When::After),
    Point::on(Where::Git, "POST", "git-receive-pack", When::Before),
    Point::on(Where::Git, "POST", "git-receive-pack", When::After),
    Point::on(Where::Registry, "GET", "/tags/list", When::Before),
    Point::on(Where::Registry, "GET", "/tags/list", When::After),
    Point::on(Where::Registry, "GET", "/manifests/", When::After),
    Point::on(Where::Forge, "GET", "/pulls", When::Before),
    Point::on(Where::Forge, "POST", "/pulls", When::Before),
    Point::on(Where::Forge, "POST", "/pulls", When::After),
    Point::on(Where::Forge, "PATCH", "/pulls", When::Before),
    Point::on(Where::Forge, "PATCH", "/pulls", When::After),
    Point::on(Where::Forge, "POST", "/labels", When::Before),
    Point::on(Where::Forge, "POST", "/labels", When::After),
];

struct Rounds {
    world: World,
    config: String,
    random: fastrand::Rng,
    version: usize,
}

impl Rounds {
    fn new(forge: fn(Setup) -> Setup, seed: u64) -> Self {
        let world = started(forge(apps(&["web", "api"])), &["web", "api"]);
        let config = world.config("state");
        Self { world, config, random: fastrand::Rng::with_seed(seed), version: 0 }
    }

    /// New tags, so that there is work.
    fn new_work(&mut self) {
        self.version += 1;
        let app = if self.version.is_multiple_of(2) { "api" } else { "web" };
        self.world.push(&format!("acme/{app}"), &format!("1.{}.0", self.version));
    }

    fn victims(&mut self) -> Victims {
        if self.random.bool() { Victims::All } else { Victims::Alone }
    }

    /// Once in a while a person merges, so that the next update opens a pull request anew.
    fn merge_sometimes(&mut self) {
        if self.random.u8(..).is_multiple_of(4) {
            self.merge();
        }
    }

    /// A person merges what is open.
    fn merge(&mut self) {
        match &self.world.github {
            None => {
                let open = super::oracle::local_records(&self.world.bare());
                if let Some(pull) = open.iter().find(|record| record["state"] == "open") {
                    let number = pull["number"].to_string();
                    self.world.landfall(&["pr", "merge", &number]);
                }
            }
            Some(github) => {
                if github.pulls().iter().any(|pull| pull.state == "open") {
                    merge_open_pull(&self.world);
                }
            }
        }
    }

    /// Kills at random moments of the time that a cycle takes. How many it hit.
    fn at_random(&mut self, count: usize) -> usize {
        self.new_work();
        let whole = apply(&self.world, &self.config).took;
        let mut hit = 0;
        while hit < count {
            self.new_work();
            let victims = self.victims();
            let running = self.world.start(&["apply"]);
            std::thread::sleep(whole.mul_f64(self.random.f64()));
            running.target().kill(victims);
            hit += usize::from(running.finish().code.is_none());
            self.merge_sometimes();
        }
        hit
    }

    /// Kills at requests. How many it hit.
    fn aimed(&mut self, count: usize) -> usize {
        let points: Vec<&Point> = POINTS.iter().filter(|point| self.applies(point)).collect();
        let (mut hit, mut at) = (0, 0);
        let mut met = BTreeSet::new();
        while hit < count || met.len() < points.len() {
            let point = points[at % points.len()];
            // Most of Git and of the registry is asked more than once in a cycle.
            let skip = if point.server == Where::Forge { 0 } else { at / points.len() % 3 };
            at += 1;
            assert!(at < count * 4, "the kills do not go off; met so far: {met:#?}");
            match point.method {
                // Only a new pull request is made and labelled,
                "POST" if point.server == Where::Forge => self.merge(),
                // and only an open one, which each app then has, is updated.
                "PATCH" => {
                    self.new_work();
                    self.new_work();
                    apply(&self.world, &self.config).ends(0);
                }
                _ => {}
            }
            self.new_work();
            if self.kill_at(*point, skip) {
                hit += 1;
                met.insert(point.to_string());
            }
            self.merge_sometimes();
        }
        hit
    }

    fn applies(&self, point: &Point) -> bool {
        point.server != Where::Forge || self.world.github.is_some()
    }

    fn kill_at(&mut self, point: Point, skip: usize) -> bool {
        let victims = self.victims();
        let fired = Arc::new(AtomicBool::new(false));
        let target = Arc::new(std::sync::OnceLock::<Target>::new());
        let (going_off, who) = (fired.clone(), target.clone());
        self.world.wire.set(point, skip, 1, move || {
            going_off.store(true, Ordering::SeqCst);
            who.wait().kill(victims);
            Reply::GoesOn
        });
        let running = self.world.start(&["apply"]);
        target.set(running.target()).ok();
        let ran = running.finish();
        self.world.wire.clear();
        fired.load(Ordering::SeqCst) && ran.code.is_none()
    }
}

fn hundred_kills(name: &str, forge: fn(Setup) -> Setup, seed: u64) {
    let mut rounds = Rounds::new(forge, seed);
    let begin = std::time::Instant::now();
    let random = rounds.at_random(RANDOM);
    judge(&rounds.world, &[]);
    let aimed = rounds.aimed(AIMED);
    eprintln!("{name}: {random} kills at random and {aimed} at requests in {:?}", begin.elapsed());
    judge(&rounds.world, &[]);
    converges(&rounds.world, &rounds.config, 4);
    judge(&rounds.world, &[]);
    let last = |remainder: usize| (rounds.version - usize::from(rounds.version % 2 != remainder)).to_string();
    assert_eq!(rounds.world.tag("web", "dev"), format!("1.{}.0", last(1)));
    assert_eq!(rounds.world.tag("api", "dev"), format!("1.{}.0", last(0)));
}

#[test]
fn a_hundred_kills_with_the_local_forge() {
    hundred_kills("local", |setup| setup, 7);
}

#[test]
fn a_hundred_kills_with_github() {
    hundred_kills("GitHub", |setup| setup.github(""), 11);
}
