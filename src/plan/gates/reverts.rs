//! People's decisions about versions, as shown by Git: a version that was reverted, abandoned for an older one, or
//! replaced by hand stays held (G8).
//!
//! Rules, in order:
//!
//! 1. A version that was rolled back through the bot is held.
//! 2. A version that the bot wrote once and that the file no longer has is held: somebody removed it.
//! 3. If the current version replaced a newer one, by hand or by a rollback, everything up to the abandoned version is
//!    held, whoever wrote it.
//! 4. If the bot wrote here before, and then somebody else chose a version, all versions available at that time are
//!    held. If the bot never wrote here, no choice was made against it: an existing repository is simply taken over.
//!
//! A newer version ends the last two (`resume: newer`), unless only `landfall release` does (`resume: manual`); a
//! release ends all of them. "Here" and "this version" survive renames (`recognise`). Machines that write to the
//! repository count as people. An unreadable history holds, visibly.

use jiff::{SignedDuration, Timestamp};

use crate::model::{Answer, ImageName, Pin, PullRequest, PullState, Tag, UpdateId, Version};
use crate::policy::{Effective, Resume, Write};
use crate::select::{Order, TagEntry, TagPolicy, VersionRange, select};

use super::GateHold;
use crate::plan::branches::group_head;
use crate::plan::pull_requests::{body_ids, of_series};
use crate::plan::queries::{Brought, Origin, Writer};
use crate::plan::recognise::Recognition;
use crate::plan::{ForgeQuery, Gate, HistoryQuery, Queries, RegistryQuery, Snapshot, Subject, Update};

/// Maximum difference between the time of a merge and that of the commit it created.
const SAME_MERGE: SignedDuration = SignedDuration::from_mins(10);

/// How far a build machine's clock may be ahead of ours.
const CLOCKS: SignedDuration = SignedDuration::from_hours(1);

/// What the history of a place says about an update.
#[derive(Debug)]
pub(in crate::plan) enum PastDecision {
    /// Nobody decided against it.
    None,
    /// Somebody did.
    Held(GateHold),
    /// This is not known yet; the query has been made.
    Pending,
}

/// Freezes (or holds) that exist as files in the repository.
pub(in crate::plan) fn written(snapshot: &Snapshot<'_>, gate: Gate, update: &Update) -> Option<GateHold> {
    let subject =
        Subject { app: &update.app, image: &update.name, environment: update.environment.as_deref(), to: &update.to };
    let (reason, until) = snapshot.decisions.holding(gate, &subject, snapshot.now)?;
    Some(GateHold::new(gate, reason, until))
}

/// What the history of the place says. `scope` is the scope of the update's id.
pub(in crate::plan) fn past_decision(
    snapshot: &Snapshot<'_>,
    scope: &str,
    effective: &Effective,
    update: &Update,
    queries: &mut Queries,
) -> PastDecision {
    let mut origins: Vec<(&Pin, &Brought)> = Vec::new();
    let mut failed = None;
    for pin in &update.pins {
        let place = HistoryQuery::from(pin.as_ref());
        match snapshot.answers.origins.get(&place) {
            None => drop(queries.history.insert(place)),
            Some(Answer::Known(Origin::Commit(brought))) => origins.push((pin, brought)),
            Some(Answer::Known(Origin::Older)) => {}
            Some(Answer::Absent { message } | Answer::Failed { message, .. }) => failed = Some(message),
        }
    }
    if update.pins.iter().any(|pin| queries.history.contains(&HistoryQuery::from(pin.as_ref()))) {
        return PastDecision::Pending;
    }
    let recognition = Recognition::of(snapshot, update);
    let ids = recognition.ids();
    let case = Case { snapshot, scope, effective, update, recognition, ids };
    if let Some(reason) = case.rolled_back().or_else(|| case.taken_back(&origins)) {
        return PastDecision::Held(GateHold::new(Gate::Hold, reason, None));
    }
    if let Some(message) = failed {
        let reason = format!(
            "who brought {} here cannot be read, so the update is held in case that was a person's decision: {message}",
            update.from
        );
        return PastDecision::Held(GateHold::new(Gate::Hold, reason, None));
    }
    for (pin, brought) in origins {
        match case.decided(pin, brought, queries) {
            PastDecision::None => {}
            word => return word,
        }
    }
    PastDecision::None
}

/// One update, and what is needed to judge it.
struct Case<'a> {
    snapshot: &'a Snapshot<'a>,
    scope: &'a str,
    effective: &'a Effective,
    update: &'a Update,
    recognition: Recognition<'a>,
    /// The ids that the update has, or had under other names.
    ids: Vec<UpdateId>,
}

impl Case<'_> {
    fn rolled_back(&self) -> Option<String> {
        let back = self.ids.iter().find_map(|id| self.snapshot.ledger.rolled_back(id))?;
        if self.snapshot.is_released_after(self.update, (back.at, back.nth)) {
            return None;
        }
        let who = back.by.as_deref().unwrap_or("the bot");
        let why = back.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        let (to, commit, day) = (short(&self.update.to), back.commit.short(), day(back.at));
        Some(format!("{to} was rolled back by {who} in {commit} on {day}{why}; {}", self.ends()))
    }

    /// According to the history this very update was made, and according to the file it is no longer there.
    fn taken_back(&self, origins: &[(&Pin, &Brought)]) -> Option<String> {
        let Update { from, to, .. } = self.update;
        let done = self.ids.iter().find_map(|id| self.snapshot.ledger.get(id))?;
        if from.tag == to.tag && done.superseded {
            // A mutable tag may return to an earlier digest; that is the registry's doing, not a person's.
            return None;
        }
        if self.snapshot.is_released_after(self.update, (done.at, done.nth)) {
            return None;
        }
        let who = origins
            .iter()
            .find(|(_, brought)| brought.writer == Writer::Person)
            .map(|(_, brought)| format!(", by {} in {} on {}", brought.by, brought.commit.short(), day(brought.at)));
        Some(format!(
            "{} was written by {} and has since been reverted{}; {}",
            short(to),
            done.commit.short(),
            who.unwrap_or_default(),
            self.ends()
        ))
    }

    /// What the commit that introduced the current version decided against.
    fn decided(&self, pin: &Pin, brought: &Brought, queries: &mut Queries) -> PastDecision {
        let rollback = self.snapshot.ledger.is_rollback(&brought.commit);
        let Some(before) = brought.before.as_ref().filter(|_| rollback || brought.writer == Writer::Person) else {
            return PastDecision::None;
        };
        if self.is_released(brought.at) {
            return PastDecision::None;
        }
        let left = *before == self.update.to || self.is_newer(before, &pin.version) == Some(true);
        if !left && !self.recognition.has_written() {
            return PastDecision::None;
        }
        match self.merged_by_pull((pin, brought.at), queries) {
            None => return PastDecision::Pending,
            Some(true) if !rollback => return PastDecision::None,
            Some(_) => {}
        }
        let verb = match (rollback, left) {
            (true, _) => "rolled back",
            (false, true) => "reverted",
            (false, false) => "set by hand",
        };
        let Brought { by, commit, at, .. } = brought;
        let what = format!(
            "{} was {verb} to {} by {by} in {} on {}",
            short(before),
            short(&pin.version),
            commit.short(),
            day(*at)
        );
        if self.resume() == Resume::Manual {
            return self.held(&what);
        }
        if left {
            // A version that cannot be compared is not newer.
            return match self.is_newer(&self.update.to, before) {
                Some(true) => PastDecision::None,
                _ => self.held(&what),
            };
        }
        self.chosen(&what, pin, brought, queries)
    }

    /// A version that was chosen by hand after the bot had written here.
    fn chosen(&self, what: &str, pin: &Pin, brought: &Brought, queries: &mut Queries) -> PastDecision {
        let to = &self.update.to;
        if to.tag == pin.version.tag && pin.version.digest.is_none() {
            // A new digest of the chosen tag contradicts nobody's decision.
            return PastDecision::None;
        }
        match self.born(queries) {
            None => PastDecision::Pending,
            Some(Some(born)) if born > brought.at => PastDecision::None,
            Some(Some(_)) => self.held(&format!("{what}, when {} was already available", short(to))),
            Some(None) => self.held(&format!("{what}, and the age of {} is unknown", short(to))),
        }
    }

    fn held(&self, what: &str) -> PastDecision {
        PastDecision::Held(GateHold::new(Gate::Hold, format!("{what}; {}", self.ends()), None))
    }

    /// What ends the hold, as text.
    fn ends(&self) -> String {
        let environment = self
            .update
            .environment
            .as_ref()
            .map_or(String::new(), |environment| format!(" --environment {environment}"));
        let release = format!("`landfall release {}{environment}`", self.update.app);
        match (self.resume(), &self.effective.fields.resume) {
            (Resume::Manual, Some(resume)) => format!(
                "it is held until someone runs {release} ({}:{} says `resume: manual`)",
                resume.origin.file, resume.origin.line
            ),
            _ => format!("it is held until a newer version appears or someone runs {release}"),
        }
    }

    fn resume(&self) -> Resume {
        self.effective.fields.resume.as_ref().map_or(Resume::Newer, |resume| resume.value)
    }

    fn is_released(&self, since: Timestamp) -> bool {
        self.snapshot.is_released(self.update, since)
    }

    /// Whether one version comes after another by the policy's order; `None` if that is unknown.
    fn is_newer(&self, version: &Version, than: &Version) -> Option<bool> {
        let (tag, than) = (version.tag.as_ref()?, than.tag.as_ref()?);
        if tag == than {
            return Some(false);
        }
        let entry = |tag: &Tag| TagEntry { tag: tag.clone(), created: self.created(tag) };
        let entries = [entry(tag), entry(than)];
        let policy = self.effective.fields.tags.as_ref().map(|tags| &tags.value);
        // A version chosen by hand may be one that the policy excludes; in that case its numbers count.
        let relaxed = policy.and_then(relaxed);
        let shape = TagPolicy { prereleases: true, ..TagPolicy::new(Order::Shape) };
        let policies = [policy, relaxed.as_ref(), Some(&shape)];
        policies.into_iter().flatten().filter(|policy| policy.order != Order::Digest).find_map(|policy| {
            let selection = select(policy, Some(than), &entries);
            match (selection.candidates.contains(tag), selection.behind.contains(tag)) {
                (true, _) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            }
        })
    }

    /// The creation time of an image, if it has been queried.
    fn created(&self, tag: &Tag) -> Option<Timestamp> {
        let answers = self.snapshot.answers;
        let told = answers.created.get(&(self.update.name.clone(), tag.clone())).and_then(|fact| *fact.best()?);
        told.or_else(|| self.first_seen(tag))
    }

    fn first_seen(&self, tag: &Tag) -> Option<Timestamp> {
        self.snapshot.answers.listings.get(&self.update.name)?.best()?.tags.appeared(tag)
    }

    /// When the image existed at the earliest: created, and seen in the registry. `Some(None)`: unknown.
    fn born(&self, queries: &mut Queries) -> Option<Option<Timestamp>> {
        let Some(tag) = &self.update.to.tag else { return Some(None) };
        let key = (self.update.name.clone(), tag.clone());
        let Some(created) = self.snapshot.answers.created.get(&key) else {
            queries.registry.insert(RegistryQuery::Created(key.0, key.1));
            return None;
        };
        let made = created.best().copied().flatten().filter(|made| *made <= self.snapshot.now + CLOCKS);
        Some(made.max(self.first_seen(tag)))
    }

    /// Whether the current version came from a pull request of the bot: a squash merge may have lost its trailers.
    /// `None` if the forge has to be queried first.
    fn merged_by_pull(&self, (pin, at): (&Pin, Timestamp), queries: &mut Queries) -> Option<bool> {
        if self.effective.write != Write::PullRequest {
            return Some(false);
        }
        let Snapshot { branch, answers, .. } = self.snapshot;
        let name: &ImageName = &pin.name;
        let id = UpdateId::of(branch, &self.update.overlay, self.scope, name, &pin.version);
        let group = self.effective.pull_request_group(name);
        let environment = self.update.environment.as_deref();
        let Some(head) = group_head(self.snapshot, &self.update.policy, environment, &group) else {
            return Some(false);
        };
        match answers.pulls.get(&head) {
            None => {
                queries.forge.insert(ForgeQuery::Pulls(head));
                None
            }
            Some(Answer::Known(pulls)) => {
                // Only the merge that brought the current version counts, not an earlier one: a person can go back to
                // what a pull request once brought.
                let then = |pull: &&PullRequest| {
                    pull.closed_at.is_none_or(|closed| closed.duration_since(at).abs() <= SAME_MERGE)
                };
                let all = of_series(self.snapshot, &head, pulls);
                let mut merged = all.into_iter().filter(|pull| pull.state == PullState::Merged).filter(then);
                let found = merged.any(|pull| body_ids(&pull.body).contains(&id));
                if !found && answers.closed.is_none() {
                    queries.forge.insert(ForgeQuery::Closed);
                    return None;
                }
                Some(found)
            }
            Some(Answer::Absent { .. } | Answer::Failed { .. }) => Some(false),
        }
    }
}

/// The same order for everything it can read: ignoring the range, the name filters and the preference for releases.
fn relaxed(policy: &TagPolicy) -> Option<TagPolicy> {
    let order = match &policy.order {
        Order::Semver(_) => Order::Semver(VersionRange::parse("*").ok()?),
        order => order.clone(),
    };
    Some(TagPolicy { order, filter: policy.filter.clone(), ignore: Vec::new(), prereleases: true })
}

fn day(time: Timestamp) -> impl std::fmt::Display {
    time.strftime("%Y-%m-%d")
}

fn short(version: &Version) -> String {
    match (&version.tag, &version.digest) {
        (Some(tag), Some(digest)) => format!("{tag}@{}", digest.short()),
        (None, Some(digest)) => format!("@{}", digest.short()),
        _ => version.to_string(),
    }
}
