//! What the tracker needs to know about a repository after a cycle, as one value.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::git::Mirror;
use crate::landing::watchers::RepositoryAddresses;
use crate::model::{BranchName, CommitId, Pin, UpdateId};
use crate::overlay::Reach;
use crate::plan::Declared;

use super::super::outcome::CycleOutcome;
use super::pre_merge::HeadTimes;

/// A repository as of its last cycle.
#[derive(Debug, Clone)]
pub struct View {
    /// Its name in the configuration.
    pub(in crate::daemon) name: String,
    /// Its addresses, as controllers may write them.
    pub(in crate::daemon) repository: Arc<RepositoryAddresses>,
    /// Its address, without secrets.
    pub(in crate::daemon) address: String,
    /// Where its history is.
    pub(in crate::daemon) mirror: Mirror,
    /// Its branches, main branch first.
    pub(in crate::daemon) branches: Vec<BranchView>,
    /// What the cycle did, and what it could not do.
    pub(in crate::daemon) outcome: CycleOutcome,
    /// When the tips of the bot's branches were made.
    pub(in crate::daemon) heads: HeadTimes,
    /// Which pull request brought an update, if known.
    pub(in crate::daemon) pulls: Arc<HashMap<UpdateId, String>>,
    /// When the cycle ended.
    pub(in crate::daemon) at: Timestamp,
}

/// One branch at its tip.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct BranchView {
    /// The branch.
    pub(in crate::daemon) name: BranchName,
    /// Its tip.
    pub(in crate::daemon) tip: CommitId,
    /// What it declares.
    pub(in crate::daemon) declared: Arc<Vec<Declared>>,
    /// The pins, for the history.
    pub(in crate::daemon) pins: Arc<Vec<Pin>>,
    /// The text of the `.sourceignore` at the root, which Flux reads; empty if there is none.
    pub(in crate::daemon) source_ignore: Arc<str>,
    /// What is built from what.
    pub(in crate::daemon) reach: Arc<Reach>,
}
