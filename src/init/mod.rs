//! What `landfall init` proposes for a repository that it has never seen: where its environments are, and the files that say so.
//!
//! Promise: it decides as data; nothing is read or written here. The texts it proposes load without errors, and a policy never writes
//! more freely than the stage of its environment allows: commits for what is tried out, pull requests for everything else.
//!
//! Design: `stage` knows the words by which people name environments, `layout` finds them in the places of pins, `files` writes the
//! configuration, the policies and the ignore file.

mod files;
mod layout;
mod stage;
#[cfg(test)]
mod tests;

pub use files::{Host, Origin, PoliciesAt, Proposal, Surroundings, propose};
pub use layout::{EnvironmentLayout, Layout};
pub use stage::Stage;
