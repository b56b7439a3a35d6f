//! Pushing: what is checked before, and what the answer means.
//!
//! Invariants: a push names the id that each ref must have (the lease); a ref with [`Force::No`] only moves to a
//! descendant of that id, which is proven here, since Git forces a push whose lease holds; no refspec has a `+`, which
//! would override the lease.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::CommitId;

use super::error::GitError;
use super::mirror::Mirror;
use super::output::{self, PushLine, PushStatus};

/// Most refs of one push.
const MAX_UPDATES: usize = 1000;

/// One ref to be changed on the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// The full name, `refs/heads/…` or `refs/landfall/…`.
    pub name: String,
    /// What the remote's ref must be for the change to happen; `None`: it must not exist.
    pub expected: Option<CommitId>,
    /// What it shall be; `None`: deleted.
    pub new: Option<CommitId>,
    /// Whether history may be rewritten.
    pub force: Force,
}

/// Whether a ref may move to a commit that does not descend from the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Only forward: every branch that is not the bot's own.
    No,
    /// Anywhere, and away, as long as it is what we expect: the bot's own branches.
    WithLease,
}

/// What became of one [`RefUpdate`]. Verify by [`Mirror::ls_remote`] before calling it done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefResult {
    /// The remote confirmed the change.
    Updated,
    /// The ref was already so.
    UpToDate,
    /// Somebody else was faster, or is about to be: fetch, decide again, push again.
    LostRace {
        /// What was found, for a person.
        message: String,
    },
    /// The remote refuses (a hook, a protected branch, an author rule): pushing the same again will not help.
    Rejected {
        /// The remote's words, fit to be shown.
        message: String,
    },
}

impl Mirror {
    /// Pushes, one result per update in their order; each ref by itself.
    ///
    /// # Errors
    /// When nothing is known about the outcome: read the remote again. And [`GitError::Refused`], before anything is
    /// sent, for an update that would rewrite or delete a ref with [`Force::No`].
    pub async fn push(&self, updates: &[RefUpdate]) -> Result<Vec<RefResult>, GitError> {
        self.push_refs(updates, false).await
    }

    /// As [`Mirror::push`], but all of them or none: the refs that one rejection holds back are lost races or rejections
    /// themselves.
    ///
    /// # Errors
    /// As there.
    pub async fn push_atomic(&self, updates: &[RefUpdate]) -> Result<Vec<RefResult>, GitError> {
        self.push_refs(updates, true).await
    }

    async fn push_refs(&self, updates: &[RefUpdate], atomic: bool) -> Result<Vec<RefResult>, GitError> {
        self.check_updates(updates)?;
        if updates.is_empty() {
            return Ok(Vec::new());
        }
        let mut options = vec!["--porcelain".to_owned(), "--no-verify".to_owned(), "--no-progress".to_owned()];
        options.extend(atomic.then(|| "--atomic".to_owned()));
        let id = |id: &Option<CommitId>| id.as_ref().map_or("", CommitId::as_str).to_owned();
        options.extend(updates.iter().map(|u| format!("--force-with-lease={}:{}", u.name, id(&u.expected))));
        // Never a `+`: it would override the lease.
        let refspecs: Vec<String> = updates.iter().map(|u| format!("{}:{}", id(&u.new), u.name)).collect();
        let done = self.invoke("push", &options, &refspecs).ended().await?;
        let lines = output::pushed(&String::from_utf8_lossy(&done.stdout));
        let status = |update: &RefUpdate| {
            let line = lines.iter().find(|line| line.name == update.name);
            line.map(|PushLine { status, .. }| status).filter(|status| **status != PushStatus::Unreported)
        };
        let Some(statuses) = updates.iter().map(status).collect::<Option<Vec<_>>>() else {
            return Err(self.failed(&done.stderr));
        };
        let rejected = statuses.iter().any(|status| matches!(status, PushStatus::Rejected(_)));
        let now = if rejected { self.ls_remote().await? } else { BTreeMap::new() };
        let result = |(update, status): (&RefUpdate, &PushStatus)| self.result(update, status, &now, &done.stderr);
        let results: Vec<RefResult> = updates.iter().zip(statuses).map(result).collect();
        self.follow(updates, &results);
        Ok(results)
    }

    /// Moves the mirror's refs to what the remote confirmed: the commits are here, so they need not be fetched. Should the
    /// remote say otherwise in its next listing, the fetch puts them right; that this fails costs no more.
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

    /// A rejection is a lost race when the ref is not what we expected; where it is, the words decide, since a push that
    /// is under way elsewhere holds the lock before it moves the ref.
    fn result(
        &self,
        update: &RefUpdate,
        status: &PushStatus,
        now: &BTreeMap<String, CommitId>,
        stderr: &str,
    ) -> RefResult {
        let reason = match status {
            PushStatus::Updated => return RefResult::Updated,
            PushStatus::UpToDate => return RefResult::UpToDate,
            PushStatus::Unreported => "the remote did not say what became of it",
            PushStatus::Rejected(reason) => reason,
        };
        let found = now.get(&update.name);
        if found == update.new.as_ref() {
            return RefResult::UpToDate;
        }
        let reason = output::clean(reason.as_bytes(), &self.settings().credentials.secrets());
        if found != update.expected.as_ref() {
            let found = found.map_or("gone", CommitId::short);
            return RefResult::LostRace { message: format!("{} is now {found}: {reason}", update.name) };
        }
        if output::sounds_like_a_race(&reason) {
            return RefResult::LostRace { message: format!("{}: {reason}", update.name) };
        }
        let said = output::server_text(stderr);
        let message = if said.is_empty() { reason } else { format!("{reason}: {said}") };
        RefResult::Rejected { message }
    }

    /// What holds for every push, whoever asks for it.
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
                    return refuse("commits of it would be lost: the new commit does not descend from them");
                }
                _ => {}
            }
        }
        Ok(())
    }
}
