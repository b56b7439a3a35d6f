//! What the messages of kubelet, API server and controllers mean.
//!
//! They report only prose; the meaning of each phrase is defined here and nowhere else: [`words`] reads a message without
//! the names in it, and each of the others knows the phrases of one subject.

mod artifact;
mod container;
mod outage;
mod package;
mod pull;
mod refusal;
mod render;
mod subject;
mod words;

pub(in crate::landing) use artifact::{ArtifactFailure, artifact};
pub(in crate::landing) use container::{StartFailure, VolumeFailure, start, volume};
pub(in crate::landing) use outage::may_pass;
pub(in crate::landing) use package::{PackageFailure, package};
pub(in crate::landing) use pull::{pull, pull_may_pass, pulled_image};
pub(in crate::landing) use refusal::{Refusal, apply, refusal};
pub(in crate::landing) use render::{Hydration, RenderFailure, health, hydration, render};
pub(in crate::landing) use subject::{Subject, subject};
