//! Jobs and pipelines in GitLab's JSON.

use serde::Deserialize;

use crate::model::{CheckState, one_line};

/// A job, or a status that something outside reported.
#[derive(Debug, Deserialize)]
pub(super) struct WireJobStatus {
    pub(super) name: String,
    status: String,
    #[serde(default)]
    allow_failure: bool,
}

impl WireJobStatus {
    pub(super) fn state(&self) -> CheckState {
        match state_of(&self.status) {
            CheckState::Failed if self.allow_failure => CheckState::Passed,
            // A job that a person may start, and need not.
            _ if self.allow_failure && self.status == "manual" => CheckState::Passed,
            state => state,
        }
    }
}

/// A pipeline.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WirePipeline {
    /// Greater than the id of every earlier one.
    pub(super) id: u64,
    status: String,
    #[serde(default)]
    source: Option<String>,
    #[serde(default, rename = "ref")]
    branch: Option<String>,
    /// What it ran on.
    #[serde(default)]
    pub(super) sha: Option<String>,
}

impl WirePipeline {
    /// Identifies what a later one replaces.
    pub(super) fn place(&self) -> (Option<String>, Option<String>) {
        (self.source.clone(), self.branch.clone())
    }

    pub(super) fn state(&self) -> CheckState {
        state_of(&self.status)
    }
}

fn state_of(word: &str) -> CheckState {
    match word {
        "success" | "skipped" => CheckState::Passed,
        "failed" | "canceled" => CheckState::Failed,
        "created"
        | "waiting_for_resource"
        | "preparing"
        | "pending"
        | "running"
        | "scheduled"
        | "manual"
        | "canceling"
        | "waiting_for_callback" => CheckState::Pending,
        word => CheckState::Unknown(one_line(word, 40)),
    }
}
