//! A whole world in one process, using the same protocols as the real one.
//!
//! Promise: no other code has special cases for the demo. What works here works on real systems, because the demo
//! speaks their protocols on loopback sockets. Design: `registry`, `git_http` and `kube` are servers (also used by
//! tests), `reconciler` plays the controllers of a cluster, `receiver` takes alerts, `files` is the content of the
//! repository, `world` starts everything, `story` plays people and CI, and `clock` lets time pass.

mod clock;
mod files;
pub mod git_http;
pub mod kube;
mod receiver;
mod reconciler;
pub mod registry;
mod serve;
mod story;
mod world;

pub use clock::StoryClock;
pub use receiver::{Received, Receiver};
pub use reconciler::{Reconciler, Suspended};
pub use story::{Detail, Tale, Teller, tell};
pub use world::DemoWorld;
