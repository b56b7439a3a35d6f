//! Merge trains: GitLab merges by itself, one after the other.
//!
//! Promise: a merge request is put onto the train once for each tip; what the train or a person has taken off again is not
//! put back, until its branch has another tip. What the bot took off it may put back, but what a person put back stays.
//! Where there are no merge trains, or a token may not see them, there are none.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use serde_json::json;

use super::merge::outcome_of;
use super::wire::{WireCar, WireCarOf, WireNote, WirePerson};
use super::{GitLabApi, encoded};
use crate::forge::PullError;
use crate::forge::error::ForgeError;
use crate::forge::hosted::{Ask, Repeat, may_be_unknown, not_merged};
use crate::model::{Answer, BranchName, DequeueOutcome, Merge, MergeOutcome, one_line};

impl GitLabApi {
    pub(super) async fn is_on_train(&self, number: u64) -> Result<bool, ForgeError> {
        let car = self.api.ask::<WireCar>(Ask::get(format!("merge_trains/merge_requests/{number}"))).await;
        // Where there are no merge trains, this is answered with 403 or 404, as is what is on none.
        Ok(may_be_unknown(car)?.is_some_and(|car| car.is_waiting()))
    }

    pub(super) async fn train_of(&self, base: &BranchName) -> Answer<BTreeSet<u64>> {
        let path = format!("merge_trains/{}?scope=active&per_page=100", encoded(base.as_str()));
        match self.api.list::<WireCarOf>(path).await.map_err(|error| (may_be_unknown::<()>(Err(error.clone())), error))
        {
            Ok(cars) => Answer::Known(cars.into_iter().map(|car| car.merge_request.iid).collect()),
            Err((Ok(_), error)) => Answer::Absent { message: error.to_string() },
            Err((Err(_), error)) => PullError::from(error).answer(),
        }
    }

    /// Puts a merge request onto the merge train, once for each tip.
    pub(super) async fn board(&self, merge: &Merge) -> Result<MergeOutcome, ForgeError> {
        let queued = || MergeOutcome::Queued { reason: "it is on GitLab's merge train".to_owned() };
        if self.is_on_train(merge.number).await? {
            return Ok(queued());
        }
        if self.has_boarded(merge) || self.was_taken_off(merge).await? {
            let reason = "its merge train no longer has it: something failed there, or somebody removed it; see its page, and add it again by hand";
            return Ok(not_merged(reason));
        }
        let path = format!("merge_trains/merge_requests/{}", merge.number);
        let ask = Ask::post(path, json!({ "sha": merge.tip.as_str() }), Repeat::LookFirst);
        match self.api.tell(ask).await {
            Ok(()) => {
                let mut boarded = self.boarded.lock().unwrap_or_else(PoisonError::into_inner);
                boarded.insert(merge.number, merge.tip.clone());
                Ok(queued())
            }
            Err(error) => outcome_of(error),
        }
    }

    /// Takes a merge request off the train, unless somebody has put it back after the bot had done so.
    pub(super) async fn take_off(&self, number: u64) -> Result<DequeueOutcome, ForgeError> {
        if !self.is_on_train(number).await? {
            return Ok(DequeueOutcome::NotThere);
        }
        let (notes, me) = (self.notes(number).await?, self.me().await?);
        let mut newest = notes.iter().rev().filter(|note| is_added(note) || is_removed(note));
        if let (Some(added), Some(removed)) = (newest.next(), newest.next())
            && is_added(added)
            && !added.is_by(&me)
            && is_removed(removed)
            && removed.is_by(&me)
        {
            return Ok(DequeueOutcome::PutBack { by: one_line(added.name().unwrap_or("somebody"), 100) });
        }
        let path = format!("merge_requests/{number}/cancel_merge_when_pipeline_succeeds");
        self.api.tell(Ask::post(path, json!({}), Repeat::LookFirst)).await?;
        self.boarded.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if self.is_on_train(number).await? {
            return Err(self.api.nonsense("POST cancel", "it says that this is done, and it is still on the train"));
        }
        Ok(DequeueOutcome::Out)
    }

    fn has_boarded(&self, merge: &Merge) -> bool {
        let boarded = self.boarded.lock().unwrap_or_else(PoisonError::into_inner);
        boarded.get(&merge.number) == Some(&merge.tip)
    }

    /// Whether somebody else has taken it off the train since its branch got this tip.
    async fn was_taken_off(&self, merge: &Merge) -> Result<bool, ForgeError> {
        let notes = self.notes(merge.number).await?;
        let later = |note: &&WireNote| note.at().is_none_or(|at| at.as_second() >= merge.made.as_second());
        let removed: Vec<&WireNote> = notes.iter().filter(|note| is_removed(note)).filter(later).collect();
        if removed.is_empty() {
            return Ok(false);
        }
        let me = self.me().await?;
        Ok(removed.into_iter().any(|note| !note.is_by(&me)))
    }

    /// The account that the token belongs to.
    async fn me(&self) -> Result<WirePerson, ForgeError> {
        self.api.ask(Ask::get("user").of_api()).await
    }
}

/// GitLab's lines of the history.
fn is_removed(note: &WireNote) -> bool {
    note.event().is_some_and(|text| text.starts_with("removed this merge request from the merge train"))
}

fn is_added(note: &WireNote) -> bool {
    let added =
        |text: &str| text.starts_with("started a merge train") || text.starts_with("added this merge request to");
    note.event().is_some_and(added)
}
