//! Random histories: whatever happens in whatever order, the guarantees hold.
//!
//! A history is a shape of policies and a list of events, both from a seed. After every event the bot makes a cycle, and
//! an oracle that reads the world's own record, not the planner's, checks what it plans and does. At the end of some
//! histories nothing more happens but that reviewers merge and clusters land: then everything must come to rest, and in
//! an untroubled world at the newest version. A history that fails is shrunk and printed with its seed:
//!
//! ```sh
//! LANDFALL_HISTORY=1234 cargo test --lib random_histories
//! ```

mod bot;
mod events;
mod oracle;
mod rules;
mod world;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bot::Luck;
use events::{Event, Step};
use oracle::Fault;
use rules::{Rules, minutes, variations};
use world::World;

/// How many histories one run tries; `LANDFALL_HISTORIES=100000` tries more.
const HISTORIES: u64 = 3_000;
/// How many shapes of policies they share.
const SHAPES: u64 = 64;
/// One in so many goes on until it is at rest.
const TO_THE_END: u64 = 64;
/// Rounds within which that must be so.
const ROUNDS: usize = 80;

static RULES: LazyLock<Vec<Vec<Rules>>> = LazyLock::new(|| (0..SHAPES).map(variations).collect());

/// A history to be.
#[derive(Debug, Clone)]
struct History {
    shape: usize,
    apps: usize,
    copies: usize,
    clusters: usize,
    to_the_end: bool,
    /// Whether it is printed as it goes.
    traced: bool,
    steps: Vec<Step>,
}

impl History {
    fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let shape = rng.usize(..RULES.len());
        let (apps, copies, clusters) = (rng.usize(1..=2), rng.usize(1..=2), rng.usize(1..=2));
        let count = rng.usize(3..=8);
        let steps = (0..count).map(|_| events::step(&mut rng, apps)).collect();
        Self { shape, apps, copies, clusters, to_the_end: seed.is_multiple_of(TO_THE_END), traced: false, steps }
    }

    /// Plays it; a panic is a fault as well.
    fn run(&self) -> Result<(), Fault> {
        std::panic::catch_unwind(|| self.play()).unwrap_or_else(|_| Err(Fault::new("panic", "see above".to_owned())))
    }

    fn play(&self) -> Result<(), Fault> {
        let mut world = World::new(&RULES[self.shape], (self.apps, self.copies, self.clusters));
        world.traced = self.traced;
        for step in &self.steps {
            if self.traced {
                println!("{step:?}");
            }
            events::happen(&mut world, *step)?;
        }
        if self.to_the_end { end(&mut world) } else { Ok(()) }
    }

    /// The same fault with as few events as can be found by leaving one after the other away.
    fn shrunk(mut self, fault: Fault) -> (Self, Fault) {
        let mut least = fault;
        let mut at = 0;
        while at < self.steps.len() {
            let mut less = self.clone();
            less.steps.remove(at);
            // Time goes on all the same, where that keeps the fault.
            match less.run() {
                Err(fault) if fault.check == least.check => {
                    (self, least) = (less, fault);
                    at = 0;
                }
                _ => at += 1,
            }
        }
        (self, least)
    }
}

/// Nothing more happens, and everybody does their part.
fn end(world: &mut World) -> Result<(), Fault> {
    for app in 0..world.registries.len() {
        world.registries[app].up = true;
        world.registry_changed(app);
    }
    let mut idle = 0;
    for _ in 0..ROUNDS {
        let (done, next) = bot::cycle(world, Luck::Good)?;
        for spot in 0..world.spots.len() {
            events::merge(world, spot, (false, false, false))?;
        }
        events::all_land(world);
        world.now = next.unwrap_or(world.now).clamp(world.now + minutes(1), world.now + minutes(1440));
        idle = if done == 0 && next.is_none() { idle + 1 } else { 0 };
        if idle == 3 {
            break;
        }
    }
    let plan = bot::look(world)?;
    oracle::settled(world, &plan)
}

fn told(seed: u64, history: &History, fault: &Fault) -> String {
    let steps: Vec<String> =
        history.steps.iter().map(|Step { wait, event }| format!("  {wait:+5} min  {event:?}")).collect();
    let History { shape, apps, copies, clusters, .. } = history;
    let rules: Vec<&str> = RULES[*shape].iter().map(|rules| rules.text.as_str()).collect();
    let used = if history.steps.iter().any(|step| matches!(step.event, Event::Policies { .. })) { 3 } else { 1 };
    format!(
        "{}: {}\nseed {seed} (shape {shape}, {apps} apps, {copies} pins, {clusters} clusters)\n{}\n{}",
        fault.check,
        fault.told,
        steps.join("\n"),
        rules[..used].join("\n---\n")
    )
}

/// Tries these seeds, one after the other, until one fails.
fn try_all(next: &AtomicU64, until: u64, only: bool) -> Option<String> {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= until {
            return None;
        }
        let history = History::of(seed);
        if let Err(fault) = history.run() {
            next.store(until, Ordering::Relaxed);
            let (history, fault) = history.shrunk(fault);
            if only {
                drop(History { traced: true, ..history.clone() }.run());
            }
            return Some(told(seed, &history, &fault));
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a seed to replay, and where to begin, come from who runs the test")]
fn random_histories_keep_every_guarantee() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, until) = match number("LANDFALL_HISTORY") {
        Some(seed) => (seed, seed + 1),
        None => (0, number("LANDFALL_HISTORIES").unwrap_or(HISTORIES)),
    };
    println!("histories {first} to {}", until - 1);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let failed = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| try_all(&next, until, until == first + 1))).collect();
        all.into_iter().find_map(|thread| thread.join().unwrap())
    });
    assert!(failed.is_none(), "{}", failed.unwrap());
}
