//! Files → validated settings and policies.
//!
//! Promise: what is loaded is valid as a whole, and what is wrong is said all at once, each thing at its
//! file:line:column with its line, a reason and, where there is one, a next step. Nothing is ignored: an unknown key is an
//! error, with the nearest known one.
//!
//! Invariants: only [`load`](mod@load) reads files and the environment; everything else works on text. No secret is in a
//! value of this module (only where it is to be found), in a message or in a line that is shown.
//!
//! Design: YAML text → a tree with places (`yaml`) → raw types, which are also the JSON Schema (`decode`, `raw`,
//! `raw_notify`, `raw_policy`) → settings (`build`, `build_notify`, `settings`) and policies (`policies`), freezes and holds (`decisions`), value by value (`value`).

mod at;
mod build;
mod build_notify;
mod coverage;
pub mod decisions;
mod decode;
mod diagnostic;
mod fault;
pub mod load;
mod policies;
mod raw;
mod raw_decision;
mod raw_notify;
mod raw_policy;
mod schema;
mod settings;
mod value;
mod yaml;

pub use coverage::coverage;
pub use decisions::{DecisionKind, MAX_DECISION, decision_text, decision_warning, parse_decision};
pub use diagnostic::{Diagnostic, Severity, render_all};
pub use load::{ConfigError, Environment, Loaded, SecretError, SecretSource, default_path, default_state_dir, load};
pub use policies::{parse_policies, parse_policy_files, policy_warnings};
pub use schema::{FileKind, kind_of, schema};
pub use settings::{
    Address, ClusterSettings, CredentialSource, ForgeSettings, HeartbeatSettings, NotifySettings, NotifyTarget,
    PayloadFormat, PolicySource, RegistrySettings, RepositorySettings, ServerSettings, Settings, Trigger,
};

#[cfg(test)]
mod tests;
