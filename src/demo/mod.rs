//! A whole world in one process, spoken to over the same wires as the real one.
//!
//! Promise: nothing here is special-cased elsewhere; what works on the demo works on real systems, because the demo
//! speaks their protocols on loopback sockets. Design: `registry`, `git_http` and `kube` are servers (tests use them, too),
//! `reconciler` plays the controllers of a cluster, `receiver` takes alerts, `files` is what the repository holds, `world`
//! starts it all, `story` plays people and CI, and `clock` lets time pass.

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
pub use story::{Detail, Teller, tell};
pub use world::DemoWorld;
