//! The bot of a history: it plans from a snapshot and does what the plan says, as the daemon does.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::oracle::{self, Fault};
use super::rules::ENVIRONMENTS;
use super::world::{APPS, Branch, Change, Seen, Site, Spot, World};
use crate::message::{commit_message, pull_body};
use crate::model::{Answer, PullRequest, PullState, State, UpdateId};
use crate::plan::{
    Action, ActionKind, Decisions, Gate, Head, Ledger, PastSoak, Plan, PullAction, Snapshot, SoakHealth, SoakState,
    SoakStates, carried, plan,
};

/// How far a cycle gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
    Good,
    /// It ends after its branches were pushed, before any pull request was opened.
    Dies,
}

/// Plans and does it, with every check before, between and after. Gives how many actions came about, and when a gate opens
/// next by itself.
pub(super) fn cycle(world: &mut World, luck: Luck) -> Result<(usize, Option<Timestamp>), Fault> {
    let plan = look(world)?;
    let next = plan.holds.iter().filter_map(|hold| hold.until).min();
    Ok((carry_out(world, &plan, luck)?, next))
}

/// Two replicas plan from the same state, and both do what they planned.
pub(super) fn two(world: &mut World) -> Result<(), Fault> {
    let (one, other) = (look(world)?, look(world)?);
    carry_out(world, &one, Luck::Good)?;
    carry_out(world, &other, Luck::Good)?;
    Ok(())
}

/// A plan of the world as it is, checked.
pub(super) fn look(world: &mut World) -> Result<Plan, Fault> {
    let (heads, soaks) = (heads(world), soaks(world));
    let now = world.now;
    for listing in world.answers.listings.values_mut() {
        // The cycle has asked.
        if let Answer::Known(listing) = listing {
            listing.at = now;
        }
    }
    let decisions = Decisions::new(world.decisions.clone(), Vec::new());
    let mut pins: Vec<_> = world.spots.iter().flat_map(|spot| spot.pins.iter().cloned()).collect();
    pins.sort_by(|a, b| a.path.cmp(&b.path));
    let planned = plan(&Snapshot {
        repository: "deploys",
        skipped: &[],
        branch: &world.base,
        revision: &world.tip,
        main: &world.base,
        rules: &world.tip,
        pins: &pins,
        policies: &world.rules[world.variation].set,
        answers: &world.answers,
        ledger: &world.ledger,
        refs: &BTreeMap::new(),
        heads: &heads,
        soaks: &soaks,
        decisions: &decisions,
        request: None,
        gathered: Some(&world.gathered),
        failed: None,
        tags: None,
        filter_time: None,
        now: world.now,
    });
    if !planned.queries.is_empty() {
        return Err(Fault::new("questions", format!("everything is answered, and it asks {:?}", planned.queries)));
    }
    if world.traced {
        trace(world, &planned.plan);
    }
    oracle::plan(world, &planned.plan)?;
    remember(world, &planned.plan);
    world.looked = true;
    Ok(planned.plan)
}

/// A line per update, for who replays one history.
fn trace(world: &World, plan: &Plan) {
    println!("{}", world.now);
    for update in plan.actions.iter().flat_map(|action| &action.updates) {
        println!("    writes {} {} to {}", update.overlay, update.from, update.to);
    }
    for hold in &plan.holds {
        println!("    holds {} to {}: {} until {:?}", hold.update.overlay, hold.update.to, hold.reason, hold.until);
    }
    for problem in &plan.problems {
        println!("    problem {problem:?}");
    }
}

/// What is being gathered, as the daemon keeps it.
fn remember(world: &mut World, plan: &Plan) {
    let gathering = plan.holds.iter().filter(|hold| hold.gate == Gate::Rate).map(|hold| &hold.update);
    let planned = plan.actions.iter().flat_map(|action| &action.updates);
    let before = std::mem::take(&mut world.gathered);
    for update in gathering.chain(planned) {
        let first = before.get(&update.id).copied();
        let fresh = crate::plan::Gathered { at: world.now, first: world.now };
        world.gathered.insert(update.id.clone(), first.unwrap_or(fresh));
    }
}

/// The bot's branches, as the daemon reads them.
fn heads(world: &World) -> BTreeMap<String, Head> {
    let head = |branch: &Branch| {
        let mut updates: Vec<UpdateId> = branch.updates.iter().map(|(.., id)| id.clone()).collect();
        updates.sort();
        let moved = |change: &Change| world.spots[change.spot].pins[change.pin].version != change.from;
        match branch.merged {
            true => Head::merged(&branch.tip),
            // What a person pushed on top has no trailers.
            false => Head {
                updates: if branch.foreign { Vec::new() } else { updates },
                carries: if branch.foreign { Vec::new() } else { carried(&branch.message) },
                made: Some(branch.made),
                since: Some(branch.made),
                foreign: branch.foreign.then(|| "Ada <ada@example.com>".to_owned()),
                stale: branch.changes.iter().any(moved),
                ..Head::merged(&branch.tip)
            },
        }
    };
    world.branches.iter().map(|(name, branch)| (name.to_string(), head(branch))).collect()
}

fn soaks(world: &World) -> SoakStates {
    if !world.looked {
        return SoakStates::default();
    }
    let all = world.spots.iter().flat_map(|spot| spot.sites.iter().map(|site| standing(spot, site)));
    SoakStates::new(all, world.now)
}

fn standing(spot: &Spot, site: &Site) -> SoakState {
    let not = |state, since| SoakHealth::Not {
        state,
        cause: None,
        blame: crate::model::Blame::Platform,
        message: "as it is".to_owned(),
        since,
    };
    let (stand, well) = match site.seen {
        Seen::Well(since) => (SoakHealth::Healthy { since }, true),
        Seen::Moving => (not(State::Pending, None), false),
        Seen::Failing => (not(State::Stuck, None), false),
        Seen::Silent => (not(State::Unknown, None), false),
    };
    let before = site.before.iter().rev().filter(|good| good.version != *spot.version()).map(|good| PastSoak {
        end: crate::plan::SoakEnd::MadeRoom,
        version: good.version.clone(),
        from: good.from,
        until: good.until,
        commit: None,
        digests: vec![good.digest.clone()],
    });
    SoakState {
        repository: "deploys".to_owned(),
        app: APPS[spot.app].to_owned(),
        environment: ENVIRONMENTS[spot.environment].to_owned(),
        overlay: spot.overlay.clone(),
        image: spot.pins[0].name.clone(),
        cluster: Some(site.cluster.clone()),
        id: UpdateId::parse("0123456789abcdef").unwrap(),
        version: spot.version().clone(),
        commit: None,
        committed: Some(spot.changed),
        anew: None,
        stand,
        digests: site.digest.iter().filter(|_| well).cloned().collect(),
        before: before.collect(),
    }
}

/// Commits in one push, then each pull request; gives how many of them came about.
fn carry_out(world: &mut World, plan: &Plan, luck: Luck) -> Result<usize, Fault> {
    if world.tip != plan.revision {
        // The push was overtaken: the next cycle plans again.
        return Ok(0);
    }
    // All of it is judged by what was there when it was planned.
    let mut all = Vec::new();
    for action in plan.actions.iter().filter(|action| is_written(action)) {
        oracle::write(world, action)?;
        all.extend(changes(world, action)?.into_iter().map(|change| (change.spot, change.pin)));
    }
    let merges = plan.actions.iter().filter(|action| !is_written(action));
    if let Some(other) = merges.into_iter().find(|action| !matches!(action.kind, ActionKind::Close(_))) {
        return Err(Fault::new("review", format!("nobody asked for {:?}", other.kind)));
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    if all.len() < count {
        return Err(Fault::new("G1", "one plan writes the same pin twice".to_owned()));
    }
    let mut count = 0;
    for action in plan.actions.iter().filter(|action| action.kind == ActionKind::Commit) {
        let changes = changes(world, action)?;
        let message = commit_message(&action.policy, action.environment.as_deref(), &action.updates);
        world.commit(world.now, message, true, changes);
        oracle::written(world, action.updates.iter().map(|update| (update.overlay.as_str(), &update.to)))?;
        count += 1;
    }
    for action in &plan.actions {
        match &action.kind {
            ActionKind::PullRequest(pull) => count += usize::from(pull_request(world, action, pull, luck)?),
            ActionKind::Close(close) => count += usize::from(oracle::close(world, &close.pull)?),
            _ => {}
        }
    }
    Ok(count)
}

/// Whether an action writes versions.
fn is_written(action: &Action) -> bool {
    matches!(action.kind, ActionKind::Commit | ActionKind::PullRequest(_))
}

/// What an action changes; the plan must know the pins as they are.
fn changes(world: &World, action: &Action) -> Result<Vec<Change>, Fault> {
    let mut changes = Vec::new();
    for update in &action.updates {
        let spot = oracle::spot_of(world, update)?;
        for pin in &update.pins {
            let at = world.spots[spot].pins.iter().position(|own| own.path == pin.path);
            let Some(at) = at.filter(|at| *world.spots[spot].pins[*at] == **pin) else {
                return Err(Fault::new("G2", format!("{}: the plan has another pin than the file", pin.path)));
            };
            changes.push(Change { spot, pin: at, from: pin.version.clone(), to: update.to.clone() });
        }
    }
    Ok(changes)
}

/// Pushes the branch under its lease, then finds or makes the pull request.
fn pull_request(world: &mut World, action: &Action, pull: &PullAction, luck: Luck) -> Result<bool, Fault> {
    let there = world.branches.get(&pull.head);
    if there.map(|branch| &branch.tip) != pull.replaces.as_ref() {
        return Ok(false);
    }
    if there.is_some_and(|branch| branch.foreign) {
        return Err(Fault::new("G2", format!("{} has commits of a person, and is written", pull.head)));
    }
    let changes = changes(world, action)?;
    if !pull.pushed {
        let updates = action.updates.iter().map(|update| {
            let spot = oracle::spot_of(world, update)?;
            Ok((spot, update.to.clone(), update.id.clone()))
        });
        let updates = updates.collect::<Result<_, Fault>>()?;
        let branch = Branch {
            tip: world.commit_id(),
            made: world.now,
            message: commit_message(&action.policy, action.environment.as_deref(), &action.updates),
            changes,
            updates,
            foreign: false,
            merged: false,
        };
        drop(world.branches.insert(pull.head.clone(), branch));
    }
    if luck == Luck::Good {
        ensure(world, action, pull)?;
    }
    Ok(true)
}

fn ensure(world: &mut World, action: &Action, pull: &PullAction) -> Result<(), Fault> {
    let body = pull_body(&action.updates, None, &pull.head);
    let tip = world.branches.get(&pull.head).map(|branch| branch.tip.clone());
    let open = |it: &&mut PullRequest| it.head == pull.head && it.state == PullState::Open;
    match world.pulls.iter_mut().find(open) {
        Some(open) => (open.body, open.head_commit) = (body, tip),
        None => {
            if let Some(number) = pull.open.as_ref().map(|open| open.number) {
                return Err(Fault::new("G1", format!("pull request #{number} is not open, and is updated")));
            }
            let number = u64::try_from(world.pulls.len()).unwrap() + 1;
            world.pulls.push(PullRequest {
                number,
                url: format!("https://forge.example.com/{number}"),
                state: PullState::Open,
                title: String::new(),
                body,
                head: pull.head.clone(),
                base: world.base.clone(),
                head_commit: tip,
                draft: false,
                labels: Vec::new(),
                closed_at: None,
                updated_at: None,
            });
        }
    }
    world.pulls_changed();
    Ok(())
}

/// The bot begins anew: what it knows is what Git says, and what is left of its caches.
pub(super) fn restart(world: &mut World, caches_lost: bool) {
    let mut ledger = Ledger::default();
    for commit in &world.log {
        ledger.record_unproven(&commit.id, commit.at, &commit.message);
    }
    world.ledger = ledger;
    world.gathered.clear();
    world.looked = false;
    if !caches_lost {
        return;
    }
    for app in 0..world.registries.len() {
        let name = world.registries[app].name.clone();
        drop(world.answers.listings.remove(&name));
        world.registry_changed(app);
    }
    for site in world.spots.iter_mut().flat_map(|spot| &mut spot.sites) {
        site.before.clear();
        if let Seen::Well(since) = &mut site.seen {
            *since = world.now;
        }
    }
}
