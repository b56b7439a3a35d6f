//! The basis for judging a merge: the reviews of a pull request, the checks of a commit.
//!
//! Invariants: an approval counts only if its author is one of the repository's default reviewers or may write to it,
//! and only for what the branch was when it was given. Bitbucket does not say for which commit an approval is (and keeps
//! it when the branch moves, unless told to reset approvals), so that its time is compared with those of the branch's
//! versions. People are told apart by their ids: a nickname may be several people's, and changes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::IgnoredAny;
use url::form_urlencoded::Serializer;

use super::wire::{CloudActivity, CloudCommit, CloudHash, CloudHolder, CloudPerson, CloudStatus, CloudUpdate};
use super::{BitbucketApi, encoded};
use crate::forge::error::ForgeError;
use crate::forge::hosted::{
    Api as _, Ask, ForgePull as _, Judges, Listed, PushedTip, Writer, may_be_unknown, to_weigh_by_key,
};
use crate::model::{Checks, CommitId, Review, ReviewState, Reviews, Weight};

/// How many commits are looked up by their first digits: more approvals than this are enough anyway.
const LOOKED_UP: usize = 20;

impl Judges for BitbucketApi {
    async fn reviews(&self, number: u64) -> Result<Reviews, ForgeError> {
        let there = self.one(number).await?;
        let said = there.participants.iter().filter(|it| it.approved || it.state.is_some());
        let said: Vec<_> = said.collect();
        if said.is_empty() {
            return Ok(Reviews::default());
        }
        let history = self.versions(number).await?;
        let mut known: BTreeMap<String, Option<CommitId>> = BTreeMap::new();
        let mut given = Vec::new();
        let people: BTreeMap<&str, &CloudPerson> = said.iter().map(|it| (it.user.uuid.as_str(), &it.user)).collect();
        for participant in &said {
            // A nickname need not be one person's alone.
            let shared = |other: &&&super::wire::CloudParticipant| {
                other.user.name().to_lowercase() == participant.user.name().to_lowercase()
                    && other.user.uuid != participant.user.uuid
            };
            let by = match said.iter().any(|other| shared(&other)) {
                true => format!("{} {}", participant.user.name(), participant.user.uuid),
                false => participant.user.name().to_owned(),
            };
            let state = match participant.state.as_deref() {
                Some("approved") | None if participant.approved => ReviewState::Approved,
                Some("changes_requested") => ReviewState::ChangesRequested,
                Some(word) => ReviewState::Unknown(crate::model::one_line(word, 40)),
                None => continue,
            };
            let hash = history.approved_by(&participant.user).filter(|_| state == ReviewState::Approved);
            let commit = match (hash, &there.tip) {
                (None, _) => None,
                (Some(hash), Some(tip)) if tip.as_str().starts_with(&hash) => Some(tip.clone()),
                (Some(hash), _) if known.contains_key(&hash) => known[&hash].clone(),
                (Some(_), _) if known.len() >= LOOKED_UP => None,
                (Some(hash), _) => {
                    let found = self.in_full(&hash).await?;
                    known.entry(hash).or_insert(found).clone()
                }
            };
            given.push((participant.user.uuid.clone(), Review { by, state, commit, weight: Weight::Counts }));
        }
        let mut reviews = Reviews::by_key(given);
        let approvals = to_weigh_by_key(&mut reviews);
        if !approvals.is_empty() {
            let defaults = may_be_unknown(self.default_people().await)?.unwrap_or_default();
            for (uuid, review) in approvals {
                if let Some(person) = people.get(uuid) {
                    review.weight = self.weight(person, &defaults).await?;
                }
            }
        }
        Ok(reviews)
    }

    /// Whoever changed what a pull request shows, pushed it. Who pushed what it was created with, is not told.
    async fn pushes(&self, number: u64, reviews: &Reviews) -> Result<Vec<PushedTip>, ForgeError> {
        let history = self.versions(number).await?;
        let commits: Vec<&CommitId> = reviews.standing().filter_map(|review| review.commit.as_ref()).collect();
        let mut pushes = Vec::new();
        for pair in history.updates.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let (Some(hash), Some(author)) = (after.hash(), &after.author) else { continue };
            if before.hash() == Some(hash) {
                continue;
            }
            for commit in commits.iter().filter(|commit| commit.as_str().starts_with(hash)) {
                pushes.push(PushedTip { tip: commit.as_str().to_owned(), by: author.uuid.clone() });
            }
        }
        Ok(pushes)
    }

    async fn writers(&self, number: u64) -> Result<Vec<Writer>, ForgeError> {
        let commits: Vec<CloudCommit> = self.api.list(format!("pullrequests/{number}/commits?pagelen=100")).await?;
        let nobody = || Writer::Address(String::new());
        let writers = commits.into_iter().flat_map(|CloudCommit { author, committer, .. }| {
            let author = author.map_or_else(nobody, super::wire::CloudSignature::writer);
            std::iter::once(author).chain(committer.map(super::wire::CloudSignature::writer))
        });
        Ok(writers.collect())
    }

    async fn checks(&self, commit: &CommitId) -> Result<Checks, ForgeError> {
        let mut checks = Checks::default();
        for status in self.api.list::<CloudStatus>(format!("commit/{commit}/statuses?pagelen=100")).await? {
            checks.add(status.name(), status.state());
        }
        Ok(checks)
    }

    async fn is_behind(&self, number: u64, tip: &CommitId) -> Result<bool, ForgeError> {
        let there = self.one(number).await?;
        if there.tip.as_ref() != Some(tip) || !there.wants_all_of_base() {
            return Ok(false);
        }
        let Some(base) = self.tip_of(there.base()).await? else { return Ok(false) };
        let query =
            Serializer::new(String::new()).append_pair("exclude", tip.as_str()).append_pair("pagelen", "1").finish();
        let more: Listed<IgnoredAny> = self.api.ask(Ask::get(format!("commits/{base}?{query}"))).await?;
        Ok(!more.values.is_empty())
    }
}

/// What a pull request was over time, oldest first, and when it was approved.
pub(super) struct Versions {
    pub(super) updates: Vec<CloudUpdate>,
    approvals: Vec<(String, Timestamp)>,
}

impl Versions {
    /// The first digits of what somebody approved last; `None` if that is unknown.
    fn approved_by(&self, person: &CloudPerson) -> Option<String> {
        let at = self.approvals.iter().filter(|(uuid, _)| *uuid == person.uuid).map(|(_, at)| *at).max()?;
        let then = self.updates.iter().rfind(|update| update.at().is_some_and(|since| since <= at))?;
        then.hash().map(str::to_owned)
    }
}

impl BitbucketApi {
    pub(super) async fn versions(&self, number: u64) -> Result<Versions, ForgeError> {
        let all: Vec<CloudActivity> = self.api.list(format!("pullrequests/{number}/activity?pagelen=50")).await?;
        let (mut updates, mut approvals) = (Vec::new(), Vec::new());
        for activity in all {
            approvals.extend(activity.approval.and_then(|it| Some((it.user.uuid.clone(), it.at()?))));
            updates.extend(activity.update);
        }
        // They come newest first; what has no time is not put between others.
        updates.reverse();
        updates.sort_by_key(|update| update.at().unwrap_or(Timestamp::MAX));
        Ok(Versions { updates, approvals })
    }

    /// A commit of which only the first digits are known.
    pub(super) async fn in_full(&self, hash: &str) -> Result<Option<CommitId>, ForgeError> {
        if hash.len() < 12 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let found = may_be_unknown(self.api.ask::<CloudHash>(Ask::get(format!("commit/{hash}"))).await)?;
        Ok(found.filter(|it| it.hash.starts_with(hash)).and_then(|it| CommitId::parse(&it.hash).ok()))
    }

    /// Whether somebody's approval counts. Who may write, only administrators of the repository may read.
    async fn weight(&self, person: &CloudPerson, defaults: &[CloudPerson]) -> Result<Weight, ForgeError> {
        let no = |reason: &str| Weight::DoesNotCount(reason.to_owned());
        if person.is_gone() {
            return Ok(no("the account was deleted"));
        }
        if defaults.iter().any(|default| default.uuid == person.uuid) {
            return Ok(Weight::Counts);
        }
        let filter = format!("user.uuid=\"{}\"", person.uuid.replace(['"', '\\'], ""));
        let rights = may_be_unknown(self.rights(&filter).await)?;
        let Some(rights) = rights else {
            return Ok(no("they are no default reviewer, and the token may not read who may write to the repository"));
        };
        let right = rights.into_iter().find(|right| right.user.uuid == person.uuid).and_then(|right| right.permission);
        Ok(match right.as_deref() {
            Some("write" | "admin") => Weight::Counts,
            _ => no("they may not write to the repository"),
        })
    }

    /// Who may do what in the repository.
    pub(super) async fn rights(&self, filter: &str) -> Result<Vec<CloudHolder>, ForgeError> {
        let full = self.api.name();
        let (workspace, name) = full.split_once('/').unwrap_or((&full, ""));
        let query = Serializer::new(String::new()).append_pair("q", filter).append_pair("pagelen", "100").finish();
        let ask = Ask::get(format!("workspaces/{workspace}/permissions/repositories/{name}?{query}")).of_api();
        Ok(self.api.ask::<Listed<CloudHolder>>(ask).await?.values)
    }

    /// The repository's default reviewers.
    pub(super) async fn default_people(&self) -> Result<Vec<CloudPerson>, ForgeError> {
        let all: Vec<CloudHolder> = self.api.list("effective-default-reviewers?pagelen=100".to_owned()).await?;
        Ok(all.into_iter().map(|holder| holder.user).filter(|person| !person.is_gone()).collect())
    }

    /// The tip of a branch; `None` if there is none.
    pub(super) async fn tip_of(&self, branch: &str) -> Result<Option<CommitId>, ForgeError> {
        let ask = Ask::get(format!("refs/branches/{}", encoded(branch)));
        let found = may_be_unknown(self.api.ask::<super::wire::CloudTip>(ask).await)?;
        Ok(found.and_then(|tip| CommitId::parse(&tip.target.hash).ok()))
    }
}
