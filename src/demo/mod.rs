//! A whole world in one process, spoken to over the same wires as the real one.
//!
//! Promise: nothing here is special-cased elsewhere; what works on the demo works on real systems, because the demo
//! speaks their protocols on loopback sockets. Design: `registry`, `git_http` and `kube` are servers (tests use them, too),
//! `files` is what the repository holds, `world` starts it all, `story` plays people and CI.

mod files;
pub mod git_http;
pub mod kube;
pub mod registry;
mod story;
mod world;

pub use story::{Teller, tell};
pub use world::World;
