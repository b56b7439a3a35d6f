//! Objects of a cluster → verdicts; what Git declares + objects → how far it has come.
//!
//! Promise: `landed` is said only with proof. What is absent, stale, contradictory or unreadable makes a verdict `unknown`
//! or keeps it `progressing`, never fine; every cause names the thing, the place, what was seen and the next step.
//!
//! Three proofs make a landing: the revision that the controller synced contains the change, the live template carries the
//! image, and pods of that template are up. Each alone is deceived: the first by overrides and re-labelled caches, the
//! second by edits by hand, the third by pods of the version before.
//!
//! Design: [`QueryIndex`] indexes the objects of one cluster, [`World`] is that at one time. [`assess()`] judges one object
//! with its children; [`judge()`] ties workloads to controllers and answers a [`Question`]. Text from the cluster passes
//! [`clean()`] once, where a cause is made.

mod cause;
mod chain;
pub mod clocks;
pub mod flapping;
mod health;
mod image;
pub mod incidents;
mod judge;
pub mod orphan;
pub mod pre_merge;
mod query_index;
mod question;
pub mod row;
pub mod soak;
mod tie;
mod uses;
pub mod watchers;
mod window;
mod world;

pub use cause::clean;
pub use health::{Assessment, assess};
pub use image::{SameImage, same_image};
pub use judge::{Judgement, judge};
pub use query_index::{DirtyKeys, ObjectChange, QueryIndex, Reads};
pub use question::{Contains, Git, Question, RevisionFact, Scope};
pub use world::World;
