//! Pull requests where they live: GitHub (github.com and Enterprise Server), and the `local` forge's record format.
//!
//! Promise: [`GitHub::ensure`] never makes a second pull request for one branch, whatever crashes, repeats or runs at
//! the same time; what a person did to a pull request (closed it, took a label or a reviewer away) is not undone; a
//! listing is complete or an error; no token appears in any error, log or address.
//!
//! Invariants:
//! - every request goes through one client (`client`), to the configured host only; links and redirects that
//!   the other side sends are reduced to their path, and refused when they name another host
//! - a request that creates something is never sent again before looking whether it was done
//! - pull requests from forks are never ours, even when their branch has our name
//! - unknown is an error, never an empty list
//!
//! Design: the forge says what is there and makes it so; which pull request should exist is decided elsewhere. The local
//! forge has no server: [`LocalPulls`] is pure, and the caller keeps its files in Git.

mod error;
pub mod github;
mod local;

pub use error::ForgeError;
pub use github::{GitHub, GitHubSettings};
pub use local::{LocalError, LocalPull, LocalPulls};
