//! The page: what the bot knows, as one read model; as HTML, JSON and badges.
//!
//! Promise: the same facts give the same page. Every view is a value ([`Matrix`], [`AppView`], [`Waits`], …) that the HTML and
//! the JSON are both made from, so that the two cannot disagree. Text from outside is shown as text: escaped, with invisible
//! and reordering characters written out ([`html`] does that for the whole document at once); only http(s) addresses on the
//! host of a repository's forge become links.
//!
//! Invariants: no I/O, no clock. Making any view costs time in proportion to the facts, never to their square. The page
//! decides nothing and changes nothing: what a person may do is shown as a command to copy, or as a link to the forge.

mod app;
mod badge;
mod chronicle;
mod facts;
mod filter;
pub mod html;
mod incidents;
mod live;
mod matrix;
mod openapi;
mod policy;
mod sources;
#[cfg(test)]
mod tests;
mod tone;
mod update;
mod version;
mod waits;

pub use app::{AppPlace, AppView, PlaceFile, app_view};
pub use badge::{Badge, badge};
pub use chronicle::{Chronicle, EventKind, PageEvent, Timeline, timeline};
pub use facts::{BranchFacts, Facts, RepositoryFacts, beyond_sight};
pub use filter::{RowFilter, RowGroup};
pub use incidents::{IncidentView, IncidentsView, incidents};
pub use live::{CellPatch, Changes, LiveCells};
pub use matrix::{AppRow, Banner, Behind, Cell, Matrix, Next, StateCount, matrix};
pub use openapi::{ApiError, ApiPath, PATHS, openapi};
pub use policy::{PolicyFieldView, PolicyMatchView, PolicyView, policy_view};
pub use sources::{SourceKind, SourceView, Sources};
pub use tone::Tone;
pub use update::{CauseView, DeclaredView, LadderStep, StepState, UpdateView, Updates, VersionView, updates};
pub use waits::{AwaitedParty, WaitView, Waits, waits};
