//! Turns the objects of a cluster into verdicts, and what Git declares plus those objects into a landing.
//!
//! Promise: `landed` needs proof. Anything absent, stale, contradictory or unreadable makes a verdict `unknown` or
//! leaves it `progressing`, and is never reported as fine. Every cause names the thing, the place, the evidence and the
//! next step.
//!
//! A landing needs three proofs: the revision that the controller synced contains the change, the live template carries
//! the image, and pods of that template are up. Each of them alone can mislead: the first because of overrides and
//! relabelled caches, the second because of manual edits, the third because of pods of the previous version.
//!
//! Design: [`QueryIndex`] indexes the objects of one cluster; a [`World`] is that index at one point in time.
//! [`assess()`] judges one object with its children; [`judge()`] ties workloads to controllers and answers a
//! [`Question`]. Text from the cluster passes through [`clean()`] once, where a cause is made.

mod artifact;
mod cause;
mod chain;
pub mod clocks;
pub mod flapping;
mod health;
mod image;
pub mod incidents;
mod judge;
mod knative;
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
