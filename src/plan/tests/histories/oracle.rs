//! What must hold whatever happens, decided anew from the world's own record and not as the planner does it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::rules::{ENVIRONMENTS, Promote, minutes};
use super::world::{APPS, Seen, Site, Ver, World};
use crate::model::{About, Decision, Digest, Held, PullState, UpdateId, Version};
use crate::plan::{Action, ActionKind, Gate, OpenPull, Plan, PullAction, Update};

/// A promise that was broken.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) check: &'static str,
    pub(super) told: String,
}

impl Fault {
    pub(super) fn new(check: &'static str, told: String) -> Self {
        Self { check, told }
    }
}

/// What was done and decided so far.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Every update that came to the base by the bot's doing, and that nobody has released.
    made: Vec<Made>,
    /// Versions that a person does not want in a place: closed, or written by the bot and taken away.
    refused: Vec<(usize, Version)>,
    /// What a person wrote a place's present version against.
    against: BTreeMap<usize, Against>,
    /// Whether something happened after which not everything needs to come to the newest version.
    troubled: bool,
}

/// One update that came to the base.
#[derive(Debug)]
struct Made {
    spot: usize,
    to: Version,
    at: Timestamp,
    released: bool,
}

/// What a person did not choose.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Against {
    /// They went back from this one: it, and what is older.
    UpTo(Ver),
    /// They chose among what was there then.
    Before(Timestamp),
}

impl Memory {
    /// A person says no to a version.
    pub(super) fn refuse(&mut self, spot: usize, version: &Version) {
        self.troubled = true;
        self.refused.push((spot, version.clone()));
    }

    /// Something that has no good end happens.
    pub(super) fn trouble(&mut self) {
        self.troubled = true;
    }

    /// A person says that a place may go on.
    pub(super) fn release(&mut self, spot: usize) {
        self.refused.retain(|(at, _)| *at != spot);
        self.against.remove(&spot);
        self.made.iter_mut().filter(|made| made.spot == spot).for_each(|made| made.released = true);
    }
}

/// A person has written another version in the place of this one.
pub(super) fn left(world: &mut World, spot: usize, before: &Version) {
    let now = world.spots[spot].ver();
    let was = Ver::of(before.tag.as_ref().unwrap());
    let memory = &mut world.memory;
    memory.troubled = true;
    let mut made = memory.made.iter().filter(|made| made.spot == spot).peekable();
    let against = match made.peek() {
        _ if was > now => Some(Against::UpTo(was)),
        Some(_) => Some(Against::Before(world.now)),
        None => None,
    };
    if made.any(|made| made.to == *before) {
        memory.refuse(spot, before);
    }
    match against {
        Some(against) => drop(memory.against.insert(spot, against)),
        None => drop(memory.against.remove(&spot)),
    }
}

/// Whether a freeze or a hold is about a place.
fn decided(world: &World, spot: usize) -> Option<&str> {
    let (app, environment) = (APPS[world.spots[spot].app], ENVIRONMENTS[world.spots[spot].environment]);
    let about = |decision: &&Decision| match &decision.about {
        About::Freeze { environment: there } => there.as_deref().is_none_or(|there| there == environment),
        About::Hold { of: Held::App(held), environment: there, .. } => {
            held == app && there.as_deref().is_none_or(|there| there == environment)
        }
        About::Hold { .. } | About::Release { .. } => false,
    };
    let in_force = |decision: &&Decision| decision.until.is_none_or(|until| world.now < until);
    world.decisions.iter().filter(about).find(in_force).map(|decision| decision.file.as_str())
}

pub(super) fn spot_of(world: &World, update: &Update) -> Result<usize, Fault> {
    let here = |overlay: &str| world.spots.iter().position(|spot| spot.overlay == overlay);
    here(&update.overlay).ok_or_else(|| Fault::new("G2", format!("there is no overlay {}", update.overlay)))
}

/// Silence: whatever is not as new as it could be is spoken of, and every hold has its reason and an end to come.
pub(super) fn plan(world: &World, plan: &Plan) -> Result<(), Fault> {
    for hold in &plan.holds {
        let what = format!("{} of {} is held by {}", hold.update.to, hold.update.overlay, hold.gate.as_str());
        if hold.reason.trim().is_empty() {
            return Err(Fault::new("silence", format!("{what} without a reason")));
        }
        if hold.until.is_some_and(|until| until <= world.now) {
            return Err(Fault::new("silence", format!("{what} until {:?}, which is over", hold.until)));
        }
    }
    if world.registries.iter().any(|registry| !registry.up) && plan.problems.is_empty() {
        return Err(Fault::new("silence", "a registry is down, and nothing is said about it".to_owned()));
    }
    let updates = || plan.actions.iter().flat_map(|action| &action.updates);
    for spot in &world.spots {
        let spoken = updates().chain(plan.holds.iter().map(|hold| &hold.update)).any(|it| it.overlay == spot.overlay)
            || plan.problems.iter().any(|it| it.path.as_ref().is_some_and(|path| path.starts_with(&spot.overlay)));
        let wanted = wanted(world, spot.app, spot.environment);
        if let Some(wanted) = wanted.filter(|wanted| *wanted > spot.ver() && !spoken) {
            let told = format!("{} stays at {}, and nothing is said of {wanted}", spot.overlay, spot.version());
            return Err(Fault::new("silence", told));
        }
    }
    Ok(())
}

/// The newest version that a place may come to: of the registry, or of what is declared upstream.
pub(super) fn wanted(world: &World, app: usize, environment: usize) -> Option<Ver> {
    match &world.rule(world.at(app, environment)).promote {
        None => world.newest(app).filter(|_| world.registries[app].up),
        Some(promote) => {
            let upstream = promote.from.iter().map(|from| world.spots[world.at(app, *from)].ver());
            upstream.filter(|ver| ver.is_release()).max()
        }
    }
}

/// Before an action is carried out.
pub(super) fn write(world: &World, action: &Action) -> Result<(), Fault> {
    for update in &action.updates {
        // An open pull request keeps what a gate holds by now; it is merged by a person, or not at all.
        let kept = match &action.kind {
            ActionKind::PullRequest(pull) => carries(world, pull, update),
            _ => false,
        };
        may(world, update, action.kind == ActionKind::Commit, kept)
            .map_err(|fault| Fault { told: format!("{} to {}: {}", update.overlay, update.to, fault.told), ..fault })?;
    }
    if action.kind == ActionKind::Commit {
        pace(world, action)?;
    }
    Ok(())
}

/// Whether the open pull request of a branch has an update already.
fn carries(world: &World, pull: &PullAction, update: &Update) -> bool {
    let open = world.pulls.iter().any(|it| it.head == pull.head && it.state == PullState::Open);
    let branch = world.branches.get(&pull.head).filter(|branch| open && !branch.merged);
    branch.is_some_and(|branch| branch.updates.iter().any(|(.., id)| *id == update.id))
}

fn may(world: &World, update: &Update, commit: bool, kept: bool) -> Result<(), Fault> {
    let fault = |check, told: String| Err(Fault::new(check, told));
    let at = spot_of(world, update)?;
    let (spot, rule) = (&world.spots[at], world.rule(at));
    let Some(tag) = &update.to.tag else { return fault("G9", "no tag is written".to_owned()) };
    let ver = Ver::of(tag);
    if commit == rule.pulls {
        return fault("review", "it is not written as the policy says".to_owned());
    }
    for pin in &update.pins {
        let now = Ver::of(pin.version.tag.as_ref().unwrap());
        let only_digest = ver == now && pin.version.digest.is_none() && update.to.digest.is_some();
        if ver <= now && !only_digest {
            return fault("G9", format!("{} is there", pin.version));
        }
    }
    if !ver.is_release() && ver != spot.ver() {
        return fault("G9", "it is a pre-release".to_owned());
    }
    let mut made = world.memory.made.iter();
    if let Some(made) = made.find(|made| made.spot == at && made.to == update.to && !made.released) {
        return fault("G1", format!("it was written at {} before", made.at));
    }
    if world.memory.refused.contains(&(at, update.to.clone())) {
        return fault("G8", "a person took it back".to_owned());
    }
    if kept {
        return Ok(());
    }
    if let Some(file) = decided(world, at) {
        return fault("G8", format!("{file} is in force"));
    }
    if !rule.is_open(world.now) {
        return fault("window", format!("it is {}", world.now));
    }
    let Some(image) = world.served(spot.app, ver).filter(|_| world.registries[spot.app].up) else {
        return fault("registry", "it is not there".to_owned());
    };
    // The digest of the very version that they chose is none of this.
    match world.memory.against.get(&at).filter(|_| ver != spot.ver()) {
        Some(Against::UpTo(left)) if ver <= *left => return fault("G8", format!("a person went back from {left}")),
        Some(Against::Before(when)) if image.pushed <= *when => {
            return fault("G8", format!("at {when} a person chose another one"));
        }
        _ => {}
    }
    if rule.age.is_some_and(|age| world.now < image.pushed + minutes(age)) {
        return fault("age", format!("it was made at {}", image.pushed));
    }
    if update.to.digest.as_ref().is_some_and(|digest| *digest != image.digest) {
        return fault("digest", format!("the registry has {}", image.digest));
    }
    match &rule.promote {
        Some(promote) => promoted(world, promote, spot.app, (ver, &image.digest)),
        None => Ok(()),
    }
}

/// The promotion gate, from the clusters' journals.
fn promoted(world: &World, promote: &Promote, app: usize, wanted: (Ver, &Digest)) -> Result<(), Fault> {
    let proved = |from: usize, soak: i64, committed: bool| -> Result<(), String> {
        let spot = &world.spots[world.at(app, from)];
        let name = ENVIRONMENTS[from];
        let declared = spot.ver();
        if declared == wanted.0 && committed {
            let other = spot.version().digest.as_ref().is_some_and(|digest| digest != wanted.1);
            let young = world.now < spot.changed + minutes(soak);
            return if other || young { Err(format!("{name} has it since {}", spot.changed)) } else { Ok(()) };
        }
        let well = |site: &Site| well(site, wanted, (declared, minutes(soak)), world.now);
        match spot.sites.iter().find(|site| !well(site)) {
            Some(site) => Err(format!("it was not well in {} for {soak}m: {:?}", site.cluster, site.journal)),
            None => Ok(()),
        }
    };
    let mut upstream = promote.from.iter().map(|from| proved(*from, promote.soak, promote.committed));
    let enough = match promote.any {
        true => upstream.find(Result::is_ok).unwrap_or_else(|| Err("no upstream has proved it".to_owned())),
        false => upstream.find(Result::is_err).unwrap_or(Ok(())),
    };
    enough.map_err(|told| Fault::new("promotion", told))?;
    match promote.after {
        Some((wave, soak)) => proved(wave, soak, false).map_err(|told| Fault::new("wave", told)),
        None => Ok(()),
    }
}

/// Whether a cluster ran a version well for so long: now, or, where it went on to a newer one, at some time before.
fn well(
    site: &Site,
    (ver, digest): (Ver, &Digest),
    (declared, soak): (Ver, jiff::SignedDuration),
    now: Timestamp,
) -> bool {
    let ends = site.journal.iter().skip(1).map(|(at, ..)| (*at, true)).chain([(now, false)]);
    let mut spans = site.journal.iter().zip(ends);
    spans.any(|((from, tag, ran, is_well), (until, over))| {
        let same = *is_well && *tag == ver && ran.as_ref() == Some(digest);
        let counts = if declared == ver { !over } else { declared > ver };
        same && counts && until.duration_since(*from) >= soak
    })
}

/// Rates, storms and bursts.
fn pace(world: &World, action: &Action) -> Result<(), Fault> {
    let Some(first) = action.updates.first() else { return Ok(()) };
    let at = spot_of(world, first)?;
    let (rule, environment) = (world.rule(at), world.spots[at].environment);
    let since = |from: Timestamp, span: i64| world.now < from + minutes(span);
    if let Some((limit, per)) = rule.rate {
        let here = |spot: usize| world.spots[spot].environment == environment;
        let recent = world.memory.made.iter().filter(|made| here(made.spot) && since(made.at, per)).count();
        if recent + action.updates.len() > limit {
            let told = format!("{recent} and {} updates in {per}m, and {limit} are allowed", action.updates.len());
            return Err(Fault::new("rate", told));
        }
    }
    for update in &action.updates {
        let at = spot_of(world, update)?;
        let here = world.memory.made.iter().filter(|made| made.spot == at && since(made.at, 60)).count();
        if here >= 6 {
            return Err(Fault::new("storm", format!("{} moves for the seventh time in an hour", update.overlay)));
        }
    }
    Ok(())
}

/// After something came to the base.
pub(super) fn written<'a>(
    world: &mut World,
    updates: impl Iterator<Item = (&'a str, &'a Version)>,
) -> Result<(), Fault> {
    for (overlay, to) in updates {
        let Some(at) = world.spots.iter().position(|spot| spot.overlay == overlay) else { continue };
        if world.spots[at].pins.iter().any(|pin| pin.version != *to) {
            return Err(Fault::new("G2", format!("{overlay} is not wholly at {to} after it was written")));
        }
        world.memory.made.push(Made { spot: at, to: to.clone(), at: world.now, released: false });
        world.memory.against.remove(&at);
    }
    let open = |head: &crate::model::BranchName| {
        world.pulls.iter().filter(|pull| pull.head == *head && pull.state == PullState::Open).count()
    };
    match world.branches.keys().find(|head| open(head) > 1) {
        Some(head) => Err(Fault::new("G1", format!("{head} has two open pull requests"))),
        None => Ok(()),
    }
}

/// The bot closes a pull request of its own: only one whose every version is there already, or was overtaken.
pub(super) fn close(world: &mut World, pull: &OpenPull) -> Result<bool, Fault> {
    let Some(branch) = world.branches.get(&pull.head).filter(|branch| branch.tip == pull.tip) else { return Ok(false) };
    if branch.foreign {
        return Err(Fault::new("G2", format!("{} has commits of a person, and is closed", pull.head)));
    }
    let wanted = |(at, to, _): &&(usize, Version, UpdateId)| {
        let spot = &world.spots[*at];
        let ver = Ver::of(to.tag.as_ref().unwrap());
        let pushed = world.served(spot.app, ver).is_some();
        spot.version() != to && ver > spot.ver() && pushed && wanted(world, spot.app, spot.environment) == Some(ver)
    };
    if let Some((at, to, _)) = branch.updates.iter().find(wanted) {
        let told = format!("{} still wants {to}, and its pull request is closed", world.spots[*at].overlay);
        return Err(Fault::new("silence", told));
    }
    let open = world.pulls.iter_mut().find(|it| it.number == pull.number && it.state == PullState::Open);
    let Some(open) = open else { return Err(Fault::new("G1", format!("#{} is not open", pull.number))) };
    // The daemon takes the hidden list out: that was nobody's decision.
    (open.state, open.closed_at) = (PullState::Closed, Some(world.now));
    open.body.clear();
    drop(world.branches.remove(&pull.head));
    world.pulls_changed();
    Ok(true)
}

/// At the end, when nothing more happens and everything that can land does: nothing is done any more, and what waits waits
/// for a person or for what cannot come.
pub(super) fn settled(world: &World, plan: &Plan) -> Result<(), Fault> {
    if let Some(action) = plan.actions.first() {
        return Err(Fault::new("termination", format!("it still wants {action:?}")));
    }
    if let Some(hold) = plan.holds.iter().find(|hold| hold.until.is_some() || hold.gate == Gate::Approval) {
        return Err(Fault::new("starvation", format!("{}: {}", hold.update.overlay, hold.reason)));
    }
    if world.memory.troubled {
        return Ok(());
    }
    for spot in &world.spots {
        let newest = world.newest(spot.app);
        let well = spot.sites.iter().all(|site| matches!(site.seen, Seen::Well(_)));
        if Some(spot.ver()) != newest || !well {
            let waits = plan.holds.iter().find(|hold| hold.update.overlay == spot.overlay);
            let why = waits.map_or("nothing holds it", |hold| hold.reason.as_str());
            let told =
                format!("{} of {} is at {} and not at {newest:?}: {why}", spot.overlay, APPS[spot.app], spot.ver());
            return Err(Fault::new("starvation", told));
        }
    }
    Ok(())
}
