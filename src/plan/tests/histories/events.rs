//! What can happen: to registries, clusters and the bot, and by the hand of people.

use super::bot::{self, Luck};
use super::oracle::{self, Fault};
use super::rules::{ENVIRONMENTS, VARIATIONS, minutes, one, rarely};
use super::world::{APPS, Change, Ver, World};
use crate::message::{DecidedBy, release_message};
use crate::model::{About, Decision, Held, PullState, Version};
use crate::plan::{Gate, Update};

/// One thing that happens. Places are counted round, so that every event means something in every world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Event {
    /// A newer tag: a patch, a minor or a major version.
    Newer {
        app: usize,
        part: usize,
    },
    /// A tag that is older than the newest.
    Older {
        app: usize,
    },
    Prerelease {
        app: usize,
    },
    /// A tag is pushed again as another image.
    Moved {
        app: usize,
        nth: usize,
    },
    Deleted {
        app: usize,
        nth: usize,
    },
    Registry {
        app: usize,
        up: bool,
    },
    Lands {
        spot: usize,
        site: usize,
    },
    AllLand,
    Fails {
        spot: usize,
        site: usize,
    },
    Silent {
        spot: usize,
        site: usize,
    },
    /// A person merges the pull request; a squash may lose the trailers, and a branch may be left behind.
    Merge {
        spot: usize,
        squash: bool,
        lost: bool,
        kept: bool,
    },
    Close {
        spot: usize,
        kept: bool,
    },
    /// A person pushes to the bot's branch.
    Edit {
        spot: usize,
    },
    /// A person takes the last change of the bot back.
    Revert {
        spot: usize,
    },
    /// A person writes another version.
    Pick {
        spot: usize,
        nth: usize,
    },
    /// A person freezes an environment, or holds an app there; for so many minutes, or until they say otherwise.
    Freeze {
        spot: usize,
        minutes: Option<i64>,
    },
    Hold {
        spot: usize,
        minutes: Option<i64>,
    },
    /// The oldest freeze or hold goes.
    Thaw,
    /// A person lets a place go on.
    Release {
        spot: usize,
    },
    Restart {
        caches_lost: bool,
    },
    Policies {
        variation: usize,
    },
    /// Two replicas at once.
    Two,
    /// A cycle that ends in the middle.
    Dies,
    Nothing,
}

/// An event after some minutes; a clock may also be set back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) wait: i64,
    pub(super) event: Event,
}

pub(super) fn step(rng: &mut fastrand::Rng, apps: usize) -> Step {
    let wait = match rng.usize(..40) {
        0 => -one(rng, &[1, 7, 25]),
        1..=24 => one(rng, &[0, 1, 3, 12, 45]),
        25..=36 => one(rng, &[60, 100, 240, 400]),
        _ => one(rng, &[1440, 2000, 4000]),
    };
    Step { wait, event: event(rng, apps) }
}

fn event(rng: &mut fastrand::Rng, apps: usize) -> Event {
    let (app, spot, nth) = (rng.usize(..apps), rng.usize(..apps * ENVIRONMENTS.len()), rng.usize(..16));
    let site = rng.usize(..2);
    match rng.usize(..100) {
        0..=21 => Event::Newer { app, part: rng.usize(..6) },
        22..=23 => Event::Older { app },
        24..=25 => Event::Prerelease { app },
        26..=27 => Event::Moved { app, nth },
        28..=29 => Event::Deleted { app, nth },
        30 => Event::Registry { app, up: false },
        31..=33 => Event::Registry { app, up: true },
        34..=37 => Event::Lands { spot, site },
        38..=57 => Event::AllLand,
        58..=61 => Event::Fails { spot, site },
        62 => Event::Silent { spot, site },
        63..=74 => Event::Merge { spot, squash: rng.bool(), lost: rarely(rng, 3), kept: rng.bool() },
        75..=77 => Event::Close { spot, kept: rng.bool() },
        78 => Event::Edit { spot },
        79..=82 => Event::Revert { spot },
        83..=85 => Event::Pick { spot, nth },
        86 => Event::Freeze { spot, minutes: one(rng, &[None, Some(30), Some(1440)]) },
        87 => Event::Hold { spot, minutes: one(rng, &[None, Some(30), Some(1440)]) },
        88 => Event::Thaw,
        89..=90 => Event::Release { spot },
        91 => Event::Restart { caches_lost: rng.bool() },
        92 => Event::Policies { variation: rng.usize(..VARIATIONS) },
        93..=94 => Event::Two,
        95 => Event::Dies,
        _ => Event::Nothing,
    }
}

/// Lets it happen, and then the bot look at it.
pub(super) fn happen(world: &mut World, step: Step) -> Result<(), Fault> {
    // Commits know whole seconds only: within one of them nobody can tell what came first.
    world.now += minutes(step.wait) + jiff::SignedDuration::from_secs(1);
    match step.event {
        Event::Newer { .. } | Event::Older { .. } | Event::Prerelease { .. } => pushed(world, step.event),
        Event::Moved { app, nth } => changed(world, app, nth, false),
        Event::Deleted { app, nth } => changed(world, app, nth, true),
        Event::Registry { app, up } => {
            world.registries[app].up = up;
            world.registry_changed(app);
        }
        Event::Lands { spot, site } => report(world, spot, site, true, false),
        Event::Fails { spot, site } => report(world, spot, site, false, false),
        Event::Silent { spot, site } => report(world, spot, site, false, true),
        Event::AllLand => all_land(world),
        Event::Merge { spot, squash, lost, kept } => merge(world, spot, (squash, lost, kept))?,
        Event::Close { spot, kept } => close(world, spot, kept),
        Event::Edit { spot } => edit(world, spot),
        Event::Revert { spot } => revert(world, spot),
        Event::Pick { spot, nth } => pick(world, spot, nth),
        Event::Freeze { spot, minutes } => {
            let environment = Some(ENVIRONMENTS[world.spots[spot].environment].to_owned());
            decide(world, About::Freeze { environment }, minutes);
        }
        Event::Hold { spot, minutes } => {
            let environment = Some(ENVIRONMENTS[world.spots[spot].environment].to_owned());
            let of = Held::App(APPS[world.spots[spot].app].to_owned());
            decide(world, About::Hold { of, environment, version: None }, minutes);
        }
        Event::Thaw => drop((!world.decisions.is_empty()).then(|| world.decisions.remove(0))),
        Event::Release { spot } => release(world, spot)?,
        Event::Restart { caches_lost } => bot::restart(world, caches_lost),
        Event::Policies { variation } => world.variation = variation,
        Event::Two => bot::two(world)?,
        Event::Dies => drop(bot::cycle(world, Luck::Dies)?),
        Event::Nothing => {}
    }
    bot::cycle(world, Luck::Good)?;
    Ok(())
}

fn pushed(world: &mut World, event: Event) {
    let (Event::Newer { app, .. } | Event::Older { app } | Event::Prerelease { app }) = event else { return };
    let count = u32::try_from(world.registries[app].images.len()).unwrap();
    let Ver([major, minor, patch], _) = world.registries[app].images.iter().map(|image| image.ver).max().unwrap();
    let ver = match event {
        Event::Newer { part: 0, .. } => Ver([major + 1, 0, 0], Ver::RELEASE),
        Event::Newer { part: 1 | 2, .. } => Ver([major, minor + 1, 0], Ver::RELEASE),
        Event::Newer { .. } => Ver([major, minor, patch + 1], Ver::RELEASE),
        Event::Prerelease { .. } => Ver([major, minor + 1, 0], count),
        _ if minor > 0 => Ver([major, minor - 1, 50 + count], Ver::RELEASE),
        _ => Ver([0, 9, count], Ver::RELEASE),
    };
    let image = world.image(ver, world.now);
    world.registries[app].images.push(image);
    world.registry_changed(app);
}

/// An image of the registry is replaced, or goes.
fn changed(world: &mut World, app: usize, nth: usize, deleted: bool) {
    world.memory.trouble();
    let at = world.registries[app].images.len().saturating_sub(1 + nth % 4);
    let fresh = world.image(world.registries[app].images[at].ver, world.now);
    let image = &mut world.registries[app].images[at];
    if deleted {
        image.deleted = true;
    } else {
        *image = fresh;
    }
    world.registry_changed(app);
}

fn report(world: &mut World, spot: usize, site: usize, well: bool, silent: bool) {
    let site = site % world.spots[spot].sites.len();
    world.report(spot, site, well, silent);
}

pub(super) fn all_land(world: &mut World) {
    for spot in 0..world.spots.len() {
        for site in 0..world.spots[spot].sites.len() {
            world.report(spot, site, true, false);
        }
    }
}

fn open_pull(world: &World, spot: usize) -> Option<usize> {
    let head = world.head_of(spot);
    world.pulls.iter().position(|pull| pull.head == head && pull.state == PullState::Open)
}

/// Merges the pull request about a place, where its files are still what it was made from.
pub(super) fn merge(world: &mut World, spot: usize, (squash, lost, kept): (bool, bool, bool)) -> Result<(), Fault> {
    let Some(pull) = open_pull(world, spot) else { return Ok(()) };
    let head = world.head_of(spot);
    let Some(branch) = world.branches.get(&head).cloned() else { return Ok(()) };
    let version = |change: &Change| &world.spots[change.spot].pins[change.pin].version;
    if branch.changes.iter().any(|change| *version(change) != change.from) {
        return Ok(());
    }
    world.pulls[pull].state = PullState::Merged;
    world.pulls[pull].closed_at = Some(world.now);
    let message = if squash && lost { "merged".to_owned() } else { branch.message.clone() };
    let at = if squash { world.now } else { branch.made };
    world.commit(at, message, true, branch.changes.clone());
    if squash && lost {
        world.memory.trouble();
    }
    if kept {
        world.branches.get_mut(&head).unwrap().merged = !squash;
    } else {
        drop(world.branches.remove(&head));
    }
    world.pulls_changed();
    let made: Vec<(String, Version)> =
        branch.updates.iter().map(|(spot, to, _)| (world.spots[*spot].overlay.clone(), to.clone())).collect();
    oracle::written(world, made.iter().map(|(overlay, to)| (overlay.as_str(), to)))
}

fn close(world: &mut World, spot: usize, kept: bool) {
    let Some(pull) = open_pull(world, spot) else { return };
    let head = world.head_of(spot);
    world.pulls[pull].state = PullState::Closed;
    world.pulls[pull].closed_at = Some(world.now);
    let branch = world.branches.get(&head).cloned();
    for (spot, to, _) in branch.into_iter().flat_map(|branch| branch.updates) {
        world.memory.refuse(spot, &to);
    }
    if !kept {
        drop(world.branches.remove(&head));
    }
    world.pulls_changed();
}

fn edit(world: &mut World, spot: usize) {
    let head = world.head_of(spot);
    let tip = world.commit_id();
    if let Some(branch) = world.branches.get_mut(&head) {
        branch.tip = tip;
        branch.foreign = true;
        branch.merged = false;
        world.memory.trouble();
    }
}

fn revert(world: &mut World, spot: usize) {
    let last = world.log.iter().rev().find(|commit| commit.changes.iter().any(|change| change.spot == spot));
    let Some(last) = last.filter(|last| last.bot) else { return };
    let mut changes: Vec<Change> = last.changes.iter().filter(|change| change.spot == spot).cloned().collect();
    for change in &mut changes {
        std::mem::swap(&mut change.from, &mut change.to);
    }
    by_hand(world, spot, changes, "Revert");
}

fn pick(world: &mut World, spot: usize, nth: usize) {
    let images = &world.registries[world.spots[spot].app].images;
    let to = Version { tag: Some(images[nth % images.len()].ver.tag()), digest: None };
    let pins = world.spots[spot].pins.iter().enumerate();
    let changes = pins.map(|(pin, now)| Change { spot, pin, from: now.version.clone(), to: to.clone() });
    let changes: Vec<Change> = changes.filter(|change| change.from.tag != change.to.tag).collect();
    if !changes.is_empty() {
        by_hand(world, spot, changes, "by hand");
    }
}

fn by_hand(world: &mut World, spot: usize, changes: Vec<Change>, message: &str) {
    let before = world.spots[spot].version().clone();
    world.commit(world.now, message.to_owned(), false, changes);
    oracle::left(world, spot, &before);
}

fn decide(world: &mut World, about: About, lasts: Option<i64>) {
    world.memory.trouble();
    world.decisions.push(Decision {
        file: format!(".landfall/{}.yaml", world.decisions.len()),
        about,
        reason: "as we agreed".to_owned(),
        author: "Ada".to_owned(),
        since: world.now,
        until: lasts.map(|lasts| world.now + minutes(lasts)),
    });
}

/// `landfall release APP --environment ENVIRONMENT`: the app's holds go, and what else a person holds there may go on.
fn release(world: &mut World, spot: usize) -> Result<(), Fault> {
    let (app, environment) = (APPS[world.spots[spot].app], ENVIRONMENTS[world.spots[spot].environment]);
    world.decisions.retain(|decision| match &decision.about {
        About::Hold { of: Held::App(held), environment: there, .. } => {
            held != app || there.as_deref() != Some(environment)
        }
        _ => true,
    });
    let plan = bot::look(world)?;
    let here =
        plan.holds.iter().filter(|hold| hold.gate == Gate::Hold && hold.update.overlay == world.spots[spot].overlay);
    let released: Vec<&Update> = here.map(|hold| &hold.update).collect();
    if released.is_empty() {
        return Ok(());
    }
    let message = release_message(app, &[], &released, DecidedBy { by: "Ada", reason: None });
    world.commit(world.now, message, false, Vec::new());
    world.memory.release(spot);
    Ok(())
}
