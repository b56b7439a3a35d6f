//! What `landfall init` proposes for a repository that it has never seen: where its environments are, and the files that say so.
//!
//! Promise: it decides as data; nothing is read or written here. The texts it proposes load without errors, and a policy never writes
//! more freely than the stage of its environment allows: commits for what is tried out, pull requests for everything else.
//!
//! Design: `stage` knows the words by which people name environments, `layout` finds them in the places of pins, `files` writes the
//! configuration and the ignore file, `policies` the policies. `from` reads what another tool of the field was told.

mod files;
mod from;
mod layout;
mod policies;
mod stage;
#[cfg(test)]
mod tests;

use files::quoted;
pub use files::{Host, Origin, PoliciesAt, Proposal, Surroundings, propose};
pub use from::{Fate, Note, TOOLS, Tool, TranslatedPolicy, Translation};
pub use layout::{EnvironmentLayout, Layout};
pub use stage::Stage;
