//! The shell around the pure core: reads, asks, plans, does, looks again, and says so.
//!
//! Promise: every cycle ends in a report in which each update is done and verified, held with a reason, or a problem.
//! Invariants: decisions are made in `plan`, never here; the clock is read in `clock`; each repository cycles on its own.

mod apply;
mod bot;
mod clock;
mod clusters;
mod conclude;
mod decide;
mod decisions;
mod diff;
mod dora;
mod local_forge;
mod lookup;
mod origins;
mod overtaken;
mod past;
mod propose;
mod pulls;
mod questions;
mod read;
mod report;
mod repository;
mod rollback;
mod setup;
mod sinks;
mod sources;
mod track;
mod watch;

pub use apply::{ATTEMPTS, Timing};
pub use bot::Bot;
pub use clock::Clock;
pub use clusters::clusters;
pub use decide::{DecideError, Decided, Deciding, Verdict};
pub use dora::{Dora, Median, dora};
pub use local_forge::{LocalForge, RECORDS};
pub use lookup::{Lookup, PATIENCE};
pub use past::{Change, LeadFrom, LeadTime};
pub use pulls::{Ensured, Forge, PullError, Pulls};
pub use report::{ActionError, ActionReport, ActionResult, HoldReport, ProblemReport, RepositoryReport, UpdateReport};
pub use repository::{Repository, RepositoryError, RepositoryPlan};
pub use rollback::RollbackAsk;
pub use setup::{SetupError, bot, lookup, repository, state_dir, tracker};
pub use sinks::{heartbeat, incident_rules, sinks};
pub use track::{Landed, LandedPlace, Rows, Tracker, TrackerSetup, View, landed};
pub use watch::Fingerprint;
