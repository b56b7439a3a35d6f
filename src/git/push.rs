//! Pushing: what is checked beforehand, and what the answer means.
//!
//! Invariants: a push names the id that each ref must have (the lease); a ref with [`Force::No`] only moves to a
//! descendant of that id, which is proven here, since Git forces a push whose lease holds; no refspec has a `+`, which
//! would override the lease. Where several replicas share the work, each push first asks whether this one still may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::CommitId;

use super::error::GitError;
use super::mirror::Mirror;
use super::output::{self, PushLine, PushStatus};

/// The maximum number of refs in one push.
const MAX_UPDATES: usize = 1000;

/// One ref to be changed on the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// The full name, `refs/heads/…` or `refs/landfall/…`.
    pub name: String,
    /// What the remote's ref must be for the change to happen; `None`: it must not exist.
    pub expected: Option<CommitId>,
    /// Its new value; `None`: delete it.
    pub new: Option<CommitId>,
    /// Whether history may be rewritten.
    pub force: Force,
}

/// Whether a ref may move to a commit that does not descend from the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Only forward: every branch other than the bot's own.
    No,
    /// Rewriting and deleting are allowed if the ref is as expected: the bot's own branches.
    WithLease,
}

/// The outcome of one [`RefUpdate`]. Verify with [`Mirror::ls_remote`] before relying on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefResult {
    /// The remote confirmed the change.
    Updated,
    /// The ref already had this value.
    UpToDate,
    /// The ref is, or was during the push, not as expected: fetch, decide again, push again.
    LostRace {
        /// What was found, for a person.
        message: String,
    },
    /// The ref is as expected, but the remote refuses the update: pushing it again will not help.
    Rejected {
        /// What about the update is refused, as far as the refs show.
        kind: RefusalKind,
        /// The remote's message and the next step, safe to show.
        message: String,
    },
}

/// What about an update the remote refuses: derived from the refs and the request. Only whether it refuses that a branch
/// is rewritten is read from its words: of a lock or a failure of its own, the next push may know nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalKind {
    /// Another branch has the name of one of the folders of this one, or the other way round.
    NameConflict {
        /// The full name of the other ref.
        with: String,
    },
    /// The update rewrites the branch; the same content as an additional commit may be accepted.
    Rewrite,
    /// The update deletes the branch.
    Deletion,
    /// Anything else: a hook, a protected branch, a rule about authors, a stale lock.
    Other,
}

/// How often a push is tried that the remote refuses although the ref has not moved: another push may be in progress
/// and hold the lock, or a stale lock may have been left behind.
const TRIES: u32 = 3;
/// The pause before the second try; before the third, three times as long.
const PAUSE: Duration = Duration::from_millis(200);

impl Mirror {
    /// Pushes, one result per update in their order; each ref is independent.
    ///
    /// # Errors
    /// If the outcome is unknown: read the remote again. Also [`GitError::Refused`], before anything is sent, for an
    /// update that would rewrite or delete a ref with [`Force::No`].
    pub async fn push(&self, updates: &[RefUpdate]) -> Result<Vec<RefResult>, GitError> {
        self.push_refs(updates, false).await
    }

    /// As [`Mirror::push`], but all or nothing: refs that are held back because another one was rejected count as lost
    /// races or rejections themselves.
    ///
    /// # Errors
    /// As there.
    pub async fn push_atomic(&self, updates: &[RefUpdate]) -> Result<Vec<RefResult>, GitError> {
        self.push_refs(updates, true).await
    }

    /// Checks whether a ref may be pushed as it is, without changing anything. Refusals by hooks and rules of the
    /// remote show only in a real push.
    ///
    /// # Errors
    /// If the remote does not answer, or refuses.
    pub async fn try_push(&self, name: &str, tip: &CommitId) -> Result<(), GitError> {
        let options = ["--dry-run", "--porcelain", "--no-verify", "--no-progress"].map(str::to_owned);
        let done = self.invoke("push", &options, &[format!("{tip}:{name}")]).ended().await?;
        if done.success { Ok(()) } else { Err(self.failed(&done.stderr)) }
    }

    async fn push_refs(&self, updates: &[RefUpdate], atomic: bool) -> Result<Vec<RefResult>, GitError> {
        self.check_updates(updates)?;
        if updates.is_empty() {
            return Ok(Vec::new());
        }
        let mut outcomes = self.push_once(updates, atomic).await?;
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            let again: Vec<usize> = (0..updates.len()).filter(|at| atomic || outcomes[*at].may_pass).collect();
            if !outcomes.iter().any(|outcome| outcome.may_pass) {
                break;
            }
            tokio::time::sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            pause *= 3;
            // If the ref has moved in the meantime, Git's own lease check reports it.
            let rest: Vec<RefUpdate> = again.iter().map(|at| updates[*at].clone()).collect();
            for (at, outcome) in again.into_iter().zip(self.push_once(&rest, atomic).await?) {
                outcomes[at] = outcome;
            }
        }
        let results: Vec<RefResult> = outcomes.into_iter().map(|outcome| outcome.result).collect();
        self.follow(updates, &results);
        Ok(results)
    }

    async fn push_once(&self, updates: &[RefUpdate], atomic: bool) -> Result<Vec<PushOutcome>, GitError> {
        let mut options = vec!["--porcelain".to_owned(), "--no-verify".to_owned(), "--no-progress".to_owned()];
        options.extend(atomic.then(|| "--atomic".to_owned()));
        let id = |id: &Option<CommitId>| id.as_ref().map_or("", CommitId::as_str).to_owned();
        options.extend(updates.iter().map(|u| format!("--force-with-lease={}:{}", u.name, id(&u.expected))));
        // Never a `+`: it would override the lease.
        let refspecs: Vec<String> = updates.iter().map(|u| format!("{}:{}", id(&u.new), u.name)).collect();
        self.may_write()?;
        let done = self.invoke("push", &options, &refspecs).ended().await?;
        let lines = output::pushed(&String::from_utf8_lossy(&done.stdout));
        let status = |update: &RefUpdate| {
            let line = lines.iter().find(|line| line.name == update.name);
            line.map(|PushLine { status, .. }| status).filter(|status| **status != PushStatus::Unreported)
        };
        let Some(statuses) = updates.iter().map(status).collect::<Option<Vec<_>>>() else {
            return Err(self.failed(&done.stderr));
        };
        let done_or_same = |status: &&PushStatus| matches!(status, PushStatus::Updated | PushStatus::UpToDate);
        let now = if statuses.iter().all(done_or_same) { BTreeMap::new() } else { self.ls_remote().await? };
        let mut outcomes = Vec::with_capacity(updates.len());
        for (update, status) in updates.iter().zip(statuses) {
            outcomes.push(self.outcome(update, status, &now, &done.stderr));
        }
        if atomic {
            all_or_nothing(&mut outcomes);
        }
        Ok(outcomes)
    }

    /// Moves the mirror's refs to what the remote confirmed: the commits are here, so they need not be fetched. If the
    /// remote's next listing differs, the fetch corrects them, so a failure here costs nothing more.
    fn follow(&self, updates: &[RefUpdate], results: &[RefResult]) {
        use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit};
        let confirmed = |result: &RefResult| matches!(result, RefResult::Updated | RefResult::UpToDate);
        let moved = updates.iter().zip(results).filter(|(_, result)| confirmed(result));
        let edits = moved.filter_map(|(update, _)| {
            let new = gix::refs::Target::Object(super::read::object_id(update.new.as_ref()?));
            let change = Change::Update { log: LogChange::default(), expected: PreviousValue::Any, new };
            Some(RefEdit { change, name: update.name.as_str().try_into().ok()?, deref: false })
        });
        let edits: Vec<RefEdit> = edits.collect();
        if edits.is_empty() {
            return;
        }
        let edited = self.repo().map(|repo| repo.edit_references(edits).map(drop));
        if !matches!(edited, Ok(Ok(()))) {
            tracing::debug!(remote = self.remote(), ?edited, "the mirror does not follow the push");
        }
    }

    /// A refusal is a lost race if the ref is not as expected: now, or when Git checked the lease. Otherwise the remote
    /// refuses the update itself.
    fn outcome(
        &self,
        update: &RefUpdate,
        status: &PushStatus,
        now: &BTreeMap<String, CommitId>,
        stderr: &str,
    ) -> PushOutcome {
        let settled = |result| PushOutcome { result, may_pass: false, with_others: false };
        let (reason, lease_broken) = match status {
            PushStatus::Updated => return settled(RefResult::Updated),
            PushStatus::UpToDate => return settled(RefResult::UpToDate),
            PushStatus::Unreported => ("the remote did not report the outcome", false),
            PushStatus::LeaseBroken(reason) => (reason.as_str(), true),
            PushStatus::WithOthers(reason) | PushStatus::Refused(reason) => (reason.as_str(), false),
        };
        let found = now.get(&update.name);
        if found == update.new.as_ref() {
            return settled(RefResult::UpToDate);
        }
        let reason = output::clean(reason.as_bytes(), &self.settings().credentials.secrets());
        if found != update.expected.as_ref() {
            let found = found.map_or("gone", CommitId::short);
            return settled(RefResult::LostRace { message: format!("{} is now {found}: {reason}", update.name) });
        }
        if lease_broken {
            return settled(RefResult::LostRace {
                message: format!("{} moved and was moved back: {reason}", update.name),
            });
        }
        let said = output::server_text(stderr);
        let kind = self.refusal(update, now, output::is_about_rewriting(&reason, &said));
        let said = if said.is_empty() { reason.clone() } else { format!("{reason}: {said}") };
        let message = format!("{said}; {}", kind.next_step(&update.name));
        // A wrong guess costs one try more or less, never a wrong result.
        let may_pass = matches!(kind, RefusalKind::Other | RefusalKind::Rewrite) && !output::is_a_decision(&reason);
        let with_others = matches!(status, PushStatus::WithOthers(_));
        PushOutcome { result: RefResult::Rejected { kind, message }, may_pass, with_others }
    }

    fn refusal(&self, update: &RefUpdate, now: &BTreeMap<String, CommitId>, no_rewriting: bool) -> RefusalKind {
        let below = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
        match (&update.expected, &update.new) {
            (_, None) => RefusalKind::Deletion,
            (None, Some(_)) => {
                let conflict = now.keys().find(|other| below(&update.name, other) || below(other, &update.name));
                conflict.map_or(RefusalKind::Other, |with| RefusalKind::NameConflict { with: with.clone() })
            }
            // A commit that the mirror does not have cannot be an ancestor of the new one.
            (Some(expected), Some(new)) if no_rewriting && !self.is_ancestor(expected, new).unwrap_or(false) => {
                RefusalKind::Rewrite
            }
            (Some(_), Some(_)) => RefusalKind::Other,
        }
    }

    /// The rules for every push.
    fn check_updates(&self, updates: &[RefUpdate]) -> Result<(), GitError> {
        if updates.len() > MAX_UPDATES {
            return Err(GitError::refused("the push", format!("it has more than {MAX_UPDATES} refs")));
        }
        let mut names = BTreeSet::new();
        for update in updates {
            let refuse = |reason: &str| {
                Err(GitError::refused(format!("pushing `{}` to {}", update.name.escape_debug(), self.remote()), reason))
            };
            if !output::is_full_name(&update.name) {
                return refuse("it is not a full ref name");
            }
            if !names.insert(&update.name) {
                return refuse("it is named twice");
            }
            if let Some(new) = &update.new
                && !self.has_commit(new)?
            {
                return Err(GitError::UnknownCommit { commit: new.clone() });
            }
            match (update.force, &update.expected, &update.new) {
                (Force::WithLease, None, None) => return refuse("it must not exist and would be deleted"),
                (Force::No, _, None) => return refuse("it would be deleted"),
                (Force::No, Some(expected), Some(new)) if !self.is_ancestor(expected, new)? => {
                    return refuse("commits would be lost: the new commit does not descend from them");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What one push reports about one ref.
struct PushOutcome {
    result: RefResult,
    /// Whether the same push may succeed in a moment.
    may_pass: bool,
    /// Whether the ref was only held back because another one failed.
    with_others: bool,
}

/// In an atomic push, a ref held back because of another one shares that one's fate.
fn all_or_nothing(outcomes: &mut [PushOutcome]) {
    let cause = outcomes.iter().find(|outcome| {
        !outcome.with_others && matches!(outcome.result, RefResult::LostRace { .. } | RefResult::Rejected { .. })
    });
    let Some(PushOutcome { result, may_pass, .. }) = cause else { return };
    let (result, may_pass) = (result.clone(), *may_pass);
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.with_others) {
        (outcome.result, outcome.may_pass) = (result.clone(), may_pass);
    }
}

impl RefusalKind {
    fn next_step(&self, name: &str) -> String {
        match self {
            Self::NameConflict { with } => {
                format!("`{with}` is in the way of `{name}`: rename or delete it on the remote")
            }
            Self::Rewrite => {
                format!("the remote does not allow `{name}` to be force-pushed: allow it for the bot's own branches")
            }
            Self::Deletion => format!("the remote does not allow `{name}` to be deleted: delete it there, or allow it"),
            Self::Other => format!(
                "`{name}` has not moved, so this is the remote's own decision: change its rules, or what they complain about; if it names a lock, remove it there: a crashed process left it"
            ),
        }
    }
}
