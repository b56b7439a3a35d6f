//! The shell around the pure core: reads, queries, plans, executes, verifies, and reports.
//!
//! Promise: every cycle ends in a report in which each update is done and verified, held with a reason, or a problem.
//! Invariants: decisions are made in `plan`, never here; the clock is read in `clock`; each repository cycles on its
//! own.

mod clock;
mod clusters;
mod decisions;
mod execute;
mod history;
mod outcome;
mod pull_secrets;
mod pulls;
mod queries;
mod reload;
mod replicas;
mod report;
mod repository;
mod rollback;
mod run;
mod setup;
mod sinks;
mod tracker;
mod unbroken;
mod vitals;
mod wake;
mod webhooks;

pub use clock::Clock;
pub use clusters::clusters;
pub use decisions::{DecideError, Decided, Deciding, NewDecision};
pub use execute::ATTEMPTS;
pub use history::{
    AuditEvent, AuditedBranch, AuditedThing, ChangeFilter, Dora, LeadFrom, LeadTime, Median, VersionChange, dora,
};
pub use outcome::{ActionFailure, ActionFailureCode, ActionOutcome, CycleOutcome, CycleProblem, Done, Step};
pub use pulls::Pulls;
pub use queries::{Lookup, PATIENCE};
pub use reload::Fingerprint;
pub use replicas::{Holder, Replicas, ReplicasView, Sharing};
pub use report::{ReportedBranch, Reports, ReportsByName, RepositoryReport};
pub use repository::{Reader, Repository, RepositoryError, RepositoryPlan, Timing};
pub use rollback::{RollbackAsk, RollbackOutcome};
pub use run::{Bot, OnOutcome};
pub use setup::{SetupError, bot, check, lookup, repository, sharing, state_dir, tracker, tracker_of, trusted_root};
pub use sinks::{heartbeat, incident_rules, sinks};
pub use tracker::{Landed, Rows, SoakPlace, Tracker, TrackerSetup, View, landed};
pub use vitals::{CYCLE_BUCKETS, RepositoryVitals, Vitals};
pub use wake::{Heard, Waker};
pub use webhooks::{server_token, webhook_source, webhook_sources};

/// How a receiver of notices is, as the tracker tells it.
pub use crate::notify::SinkHealth;
