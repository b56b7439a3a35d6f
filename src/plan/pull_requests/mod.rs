//! The life of pull requests, as data: proposed, updated, merged by the bot, closed when nothing is left, limited, and
//! their reviewers reminded.
//!
//! Invariants: a pull request that a person pushed to, closed or converted to a draft is left to that person. An open
//! pull request keeps an update that a gate now holds, so that a closed window neither empties nor rewrites it, but the
//! bot does not merge it in the meantime. Nothing is closed while anything about it is unknown.

mod answers;
mod behind;
mod carried;
mod ended;
mod limit;
mod queue;
mod rejected;
mod terms;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::{Answer, BranchName, CommitId, FailureCode, PullRequest, PullState, UpdateId};
use crate::policy::Effective;

use super::branches::{next_head, why_other_name};
use super::candidates::{Choices, Chosen};
use super::{Action, ActionKind, ForgeQuery, Gate, Head, HeldBy, Hold, Problem, PullAction, Snapshot, Update};

pub use answers::body_ids;
pub(super) use answers::{of_series, take_out_answered};
use behind::{BaseState, base_state};
pub use behind::{UpdateAction, UpdateWay};
pub use carried::{CarriedUpdate, carried};
pub use ended::replaced_by;
pub(super) use ended::{Before, ended};
pub(super) use limit::PullRequestLimits;
pub use queue::DequeueAction;
pub(super) use queue::leave_queue;
use rejected::Rejection;
pub use terms::Terms;
use terms::TermsJudgement;

/// Maximum number of updates in one pull request: its text names each, and forges limit its length.
const MAX_UPDATES: usize = 2_000;

/// An open pull request that the bot acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPull {
    /// Its number.
    pub number: u64,
    /// Where a person reads it.
    pub url: String,
    /// Its text.
    pub body: String,
    /// The branch that carries it.
    pub head: BranchName,
    /// That branch's tip, as it was judged.
    pub tip: CommitId,
}

impl OpenPull {
    /// Combines it with the tip of its branch.
    #[must_use]
    pub fn of(pull: &PullRequest, tip: &CommitId) -> Self {
        let PullRequest { number, url, body, head, .. } = pull.clone();
        Self { number, url, body, head, tip: tip.clone() }
    }
}

/// A merge by the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeAction {
    /// What is merged.
    pub pull: OpenPull,
    /// The terms.
    pub terms: Terms,
    /// How long a review may take before somebody is notified, if the forge refuses.
    pub review_within: Option<Duration>,
}

/// A pull request that has nothing left to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseAction {
    /// What is closed.
    pub pull: OpenPull,
    /// Why, with one sentence for each of its updates.
    pub reasons: Vec<String>,
}

/// A pull request that has waited for its reviewers for a long time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemindAction {
    /// What is waiting.
    pub pull: OpenPull,
    /// Since when.
    pub since: Timestamp,
    /// Who was asked to review.
    pub reviewers: Vec<String>,
    /// What it waits for.
    pub reason: String,
}

/// One pull request's worth of updates.
pub(super) struct PullRequestGroup {
    pub(super) policy: String,
    pub(super) environment: Option<String>,
    pub(super) group: String,
    pub(super) head: BranchName,
    /// Updates that may be written.
    pub(super) free: Vec<Chosen>,
    /// Updates that a gate holds and that the branch already carries.
    pub(super) kept: Vec<Kept>,
}

/// An update that an open pull request carries and that a gate now holds.
pub(super) struct Kept {
    pub(super) update: Update,
    pub(super) effective: Arc<Effective>,
    pub(super) gate: Gate,
}

/// Everything known about the pull request of a group.
struct GroupView<'a> {
    branch: Option<&'a Head>,
    open: Option<&'a PullRequest>,
    effective: Arc<Effective>,
    terms: Option<Terms>,
}

/// What to do about one group; an update that the state of its pull request holds back becomes a hold.
pub(super) fn plan_group(
    snapshot: &Snapshot<'_>,
    group: PullRequestGroup,
    limits: &mut PullRequestLimits,
    actions: &mut Vec<Action>,
    out: &mut Choices,
) {
    let pulls = match snapshot.answers.pulls.get(&group.head) {
        None => {
            out.queries.forge.insert(ForgeQuery::Pulls(group.head));
            return;
        }
        Some(Answer::Known(pulls)) => pulls.as_slice(),
        // There is no forge, so the policy cannot be carried out.
        Some(Answer::Absent { message }) => return problem(out, message.clone(), FailureCode::ConfigError),
        Some(Answer::Failed { message, code, .. }) => return problem(out, message.clone(), *code),
    };
    let PullRequestGroup { policy, environment, group, head, free, kept } = group;
    let open = pulls.iter().find(|pull| pull.state == PullState::Open);
    // A branch left behind after a merge or a close keeps nothing: its updates may have been reverted.
    let kept = if open.is_some() { kept } else { Vec::new() };
    let all = free.iter().map(|member| &member.effective).chain(kept.iter().map(|member| &member.effective));
    let Some(effective) = all.clone().next().map(Arc::clone) else { return };
    let terms = Terms::of(all.map(Arc::as_ref));
    let view = GroupView { branch: snapshot.heads.get(head.as_str()), open, effective, terms };
    say_where_kept(&kept, open, out);
    let Some(updates) = bounded(free.into_iter().map(|member| member.update).collect(), &kept, out) else { return };
    if let Some(other) = view.branch.and_then(|branch| not_asked_for(snapshot, branch, &updates)) {
        let reason = format!("branch {head} also carries {other}, which was not requested; merge or close that first");
        hold_free(updates, &kept, out, |update| held(update, Gate::Approval, reason.clone()));
        return;
    }
    let ids = ids_of(&updates);
    let pushed = view.branch.is_some_and(|branch| branch.updates == ids && !branch.stale);
    if let (Some(open), Some(branch), true) = (open, view.branch, pushed)
        && same_ids(open, &ids)
    {
        let busy = actions.iter().any(|action| matches!(action.kind, ActionKind::Update(_)));
        let action = standing(snapshot, &view, (open, branch), (&updates, &kept, busy), out);
        actions.extend(action.map(|(kind, updates)| Action { kind, policy, environment, group, updates }));
        return;
    }
    if let (Some(open), Some(branch), false) = (open, view.branch, adds(view.branch, &ids))
        && let Some(unknown) = not_known(branch, out)
    {
        let reason = format!("pull request #{} waits: {unknown}: {}", open.number, open.url);
        hold_free(updates, &kept, out, |update| Hold {
            pull: Some(HeldBy::from(open)),
            ..held(update, Gate::Approval, reason.clone())
        });
        return;
    }
    if open.is_none()
        && let Some(limit) = &view.effective.fields.pull_request.limit
    {
        match limits.room(snapshot, &policy, limit.value, out) {
            limit::Room::Yes => {}
            limit::Room::Unknown => return,
            limit::Room::No(reason) => {
                hold_free(updates, &kept, out, |update| held(update, Gate::Rate, reason.clone()));
                return;
            }
        }
    }
    let kind = ActionKind::PullRequest(pull_action(snapshot, &view, head, pushed));
    actions.push(Action { kind, policy, environment, group, updates });
}

/// The updates that the pull request should have: the free ones and those that it keeps; `None` if none is free.
fn bounded(mut free: Vec<Update>, kept: &[Kept], out: &mut Choices) -> Option<Vec<Update>> {
    let room = MAX_UPDATES.saturating_sub(kept.len());
    if free.len() > room {
        let reason = format!(
            "the pull request of this group already has the maximum number of updates ({MAX_UPDATES}); this one follows later"
        );
        let rest = free.split_off(room);
        out.holds.extend(rest.into_iter().map(|update| held(update, Gate::Approval, reason.clone())));
    }
    if free.is_empty() {
        return None;
    }
    // What is not proved is not written again: a branch that is made anew is made without it.
    let proved = kept.iter().filter(|kept| kept.gate != Gate::Signature);
    free.extend(proved.map(|kept| kept.update.clone()));
    free.sort_by(|a, b| (&a.overlay, &a.name).cmp(&(&b.overlay, &b.name)));
    Some(free)
}

/// An open pull request that is as it should be: it is merged, brought up to date, or waits; `None` if there is nothing
/// to do. `busy`: another one is brought up to date in this cycle.
fn standing(
    snapshot: &Snapshot<'_>,
    view: &GroupView<'_>,
    (open, branch): (&PullRequest, &Head),
    (updates, kept, busy): (&[Update], &[Kept], bool),
    out: &mut Choices,
) -> Option<(ActionKind, Vec<Update>)> {
    let fields = &view.effective.fields;
    let pull = OpenPull::of(open, &branch.tip);
    let own = fields.pull_request.labels.as_ref().map_or(&[][..], |labels| labels.value.as_slice());
    let judgement = match (&view.terms, kept) {
        (None, _) => TermsJudgement::Wait { reason: String::new(), until: None },
        (Some(_), [first, ..]) => {
            let overlay = if first.update.overlay.is_empty() { "." } else { &first.update.overlay };
            let reason = format!("{} in {overlay} is held ({})", first.update.name.short(), first.gate.as_str());
            TermsJudgement::Wait { reason, until: None }
        }
        (Some(terms), []) => {
            terms.judge(snapshot.answers, open, own, (branch, settled_since(branch, open)), snapshot.now)
        }
    };
    let review_within = fields.review_within.as_ref().map(|within| within.value);
    let ready = kept.is_empty() && (view.terms.is_none() || matches!(judgement, TermsJudgement::Merge));
    let base = match ready {
        true => base_state(snapshot, (open, branch), view.terms.as_ref(), &mut out.queries),
        false => BaseState::Enough,
    };
    let judgement = match base {
        BaseState::Enough => judgement,
        BaseState::Asked => return None,
        BaseState::Behind(_) if busy => TermsJudgement::Wait { reason: follows(snapshot), until: None },
        BaseState::Behind(way) => {
            if let Some(hold) = refused(snapshot, &view.effective, updates, out) {
                out.holds.extend(hold);
                return None;
            }
            return Some((ActionKind::Update(UpdateAction { pull, way }), updates.to_vec()));
        }
    };
    let (why, until) = match judgement {
        TermsJudgement::Merge => {
            if let Some(hold) = refused(snapshot, &view.effective, updates, out) {
                out.holds.extend(hold);
                return None;
            }
            let terms = view.terms.clone().unwrap_or_default();
            return Some((ActionKind::Merge(MergeAction { pull, terms, review_within }), updates.to_vec()));
        }
        TermsJudgement::Ask(query) => {
            out.queries.forge.insert(query);
            return None;
        }
        TermsJudgement::Unknown { message, code } => {
            problem(out, message.clone(), code);
            (format!("it is unknown whether it may be merged: {message}"), None)
        }
        TermsJudgement::Wait { reason, until } => (reason, until),
    };
    let mut reason = match why.is_empty() {
        true => format!("pull request #{} waits to be merged: {}", open.number, open.url),
        false => format!("pull request #{} waits: {why}: {}", open.number, open.url),
    };
    if let Some(why) = why_other_name(&open.head) {
        reason.push_str(&format!(" ({why})"));
    }
    hold_free(updates.to_vec(), kept, out, |update| Hold {
        pull: Some(HeldBy::from(open)),
        review_within,
        until,
        ..held(update, Gate::Approval, reason.clone())
    });
    let remind = reminder(snapshot, view, pull, branch.since?, why, out)?;
    Some((ActionKind::Remind(remind), Vec::new()))
}

fn follows(snapshot: &Snapshot<'_>) -> String {
    let base = snapshot.branch;
    format!(
        "it is behind {base}, and its forge requires it to be up to date; another pull request is brought up to date first"
    )
}

/// Holds, before a merge, what a person has in the meantime rejected in another pull request; holds nothing if that is
/// not known yet; `None` if nobody has.
fn refused(snapshot: &Snapshot<'_>, effective: &Effective, updates: &[Update], out: &mut Choices) -> Option<Vec<Hold>> {
    let manual = answers::manual_resume(effective);
    let mut waits = None;
    for update in updates {
        let word = rejected::rejection(snapshot, update, manual.is_some(), &mut out.queries);
        if matches!(word, Rejection::Pending) {
            waits.get_or_insert_with(Vec::new);
        }
        if let Some((reason, pull)) = word.reason(&answers::ends(update, manual.as_deref())) {
            let hold = Hold { pull, ..held(update.clone(), Gate::Hold, reason) };
            waits.get_or_insert_with(Vec::new).push(hold);
        }
    }
    waits
}

/// No earlier than when the branch got its tip: neither the bot nor the forge can have seen it before that. The forge's
/// time is used only if the tip existed before the bot first saw it.
fn settled_since(branch: &Head, open: &PullRequest) -> Option<Timestamp> {
    let forge = open.updated_at.filter(|_| branch.met && open.head_commit.as_ref() == Some(&branch.tip));
    branch.made.map(|seen| forge.map_or(seen, |forge| forge.min(seen)))
}

/// The reminder for a pull request that has waited long enough and has had none.
fn reminder(
    snapshot: &Snapshot<'_>,
    view: &GroupView<'_>,
    pull: OpenPull,
    since: Timestamp,
    reason: String,
    out: &mut Choices,
) -> Option<RemindAction> {
    let fields = &view.effective.fields.pull_request;
    let due = since.checked_add(fields.remind_after.as_ref()?.value).ok()?;
    if snapshot.now < due || view.open.is_some_and(|open| open.draft) {
        return None;
    }
    match snapshot.answers.reminded.get(&pull.number) {
        None => {
            out.queries.forge.insert(ForgeQuery::Reminded(pull.number));
            None
        }
        Some(Answer::Known(false)) => {
            let reviewers = fields.reviewers.as_ref().map(|reviewers| reviewers.value.clone()).unwrap_or_default();
            Some(RemindAction { pull, since, reviewers, reason })
        }
        // Reminders are not guaranteed: if it is unknown whether one was sent, none is sent again.
        Some(_) => None,
    }
}

/// A pull request that a person requested: the bot does not merge it.
pub(super) fn plain_pull_action(snapshot: &Snapshot<'_>, effective: &Arc<Effective>, head: BranchName) -> PullAction {
    let branch = snapshot.heads.get(head.as_str());
    let view = GroupView { branch, open: None, effective: Arc::clone(effective), terms: None };
    pull_action(snapshot, &view, head, false)
}

fn pull_action(snapshot: &Snapshot<'_>, view: &GroupView<'_>, head: BranchName, pushed: bool) -> PullAction {
    let fields = &view.effective.fields.pull_request;
    let approving = view.terms.iter().flat_map(|terms| &terms.labels);
    let withdraw = view.open.into_iter().flat_map(|open| {
        let on = |label: &&String| open.labels.iter().any(|on| on.eq_ignore_ascii_case(label));
        approving.clone().filter(on).cloned().collect::<Vec<_>>()
    });
    PullAction {
        replaces: view.branch.map(|branch| branch.tip.clone()),
        next: next_head(snapshot, &head),
        head,
        pushed,
        open: view.open.cloned().map(Box::new),
        labels: fields.labels.as_ref().map(|labels| labels.value.clone()).unwrap_or_default(),
        reviewers: fields.reviewers.as_ref().map(|reviewers| reviewers.value.clone()).unwrap_or_default(),
        code_owners: fields.code_owners.as_ref().is_some_and(|owners| owners.value),
        draft: fields.draft.as_ref().is_some_and(|draft| draft.value),
        withdraw: withdraw.collect(),
        automerge: view.terms.clone(),
    }
}

/// Holds the updates that are not held already.
fn hold_free(updates: Vec<Update>, kept: &[Kept], out: &mut Choices, hold: impl Fn(Update) -> Hold) {
    let free = updates.into_iter().filter(|update| !kept.iter().any(|kept| kept.update.id == update.id));
    out.holds.extend(free.map(hold));
}

/// Whether the pull request would get something that its branch does not have, or has on an older base.
fn adds(branch: Option<&Head>, ids: &[UpdateId]) -> bool {
    branch.is_none_or(|branch| branch.stale || ids.iter().any(|id| !branch.updates.contains(id)))
}

/// Something that a branch carries and that may still be wanted: a missing answer removes nothing.
fn not_known(branch: &Head, out: &Choices) -> Option<String> {
    let undecided = |carried: &&CarriedUpdate| {
        out.undecided.iter().any(|(overlay, name)| *overlay == carried.overlay && name.to_string() == carried.image)
    };
    let carried = branch.carries.iter().find(undecided)?;
    Some(format!("whether {} in {} still goes to {} is unknown", carried.image, carried.overlay, carried.to))
}

/// What a branch carries besides the updates that a person requested: a request for one thing removes no other.
fn not_asked_for(snapshot: &Snapshot<'_>, branch: &Head, updates: &[Update]) -> Option<String> {
    snapshot.request?;
    let same = |carried: &CarriedUpdate, update: &Update| {
        carried.overlay == update.overlay && carried.image == update.name.to_string()
    };
    let other = branch.carries.iter().find(|carried| !updates.iter().any(|update| same(carried, update)))?;
    Some(format!("{} in {}", other.image, other.overlay))
}

/// Makes the holds of kept updates name their pull request.
fn say_where_kept(kept: &[Kept], open: Option<&PullRequest>, out: &mut Choices) {
    let Some(open) = open else { return };
    for hold in out.holds.iter_mut().filter(|hold| kept.iter().any(|kept| kept.update.id == hold.update.id)) {
        hold.pull.get_or_insert_with(|| HeldBy::from(open));
    }
}

pub(super) fn held(update: Update, gate: Gate, reason: String) -> Hold {
    Hold::new(update, gate, reason, None)
}

fn problem(out: &mut Choices, message: String, code: FailureCode) {
    out.problems.push(Problem { path: None, image: None, line: None, message, code: Some(code) });
}

fn ids_of(updates: &[Update]) -> Vec<UpdateId> {
    let mut ids: Vec<UpdateId> = updates.iter().map(|update| update.id.clone()).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn same_ids(pull: &PullRequest, ids: &[UpdateId]) -> bool {
    let mut there = body_ids(&pull.body);
    there.sort();
    there == ids
}
