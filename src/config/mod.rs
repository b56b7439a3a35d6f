//! From files to validated settings and policies.
//!
//! Promise: what is loaded is valid as a whole, and all errors are reported at once, each at its file:line:column with
//! its line, a reason and, if possible, a next step. Nothing is ignored: an unknown key is an error, with the nearest
//! known key.
//!
//! Invariants: only [`load`](mod@load) reads files; everything else works on text. No secret is in a value of this
//! module (only its location), in a message or in a displayed line.
//!
//! Design: YAML text → a tree with places (`yaml`) → raw types, which are also the JSON Schema (`decode`, `raw`,
//! `raw_policy`, and for each kind of receiver and webhook its own) → settings (`build`, `notify`, `server`, `settings`), policies
//! (`policies`), and freezes and holds (`decisions`), value by value (`value`).

use crate::document::{at, decode, diagnostic, fault, value, yaml};

mod build;
mod coverage;
pub mod decisions;
pub mod load;
mod notify;
mod policies;
mod raw;
mod raw_decision;
mod raw_policy;
mod schema;
mod server;
mod settings;

pub use crate::document::secret::{Address, CredentialSource, Environment, SecretError, SecretSource};
pub use coverage::{PolicySelection, coverage, held_for_adoption, passing_over, selections};
pub use decisions::{DecisionKind, MAX_DECISION, decision_text, decision_warning, parse_decision};
pub use diagnostic::{Diagnostic, Severity, render_all};
pub use load::{ConfigError, Loaded, default_path, default_state_dir, load};
pub use policies::{parse_policies, parse_policy_files, policy_warnings};
pub use schema::{FileKind, kind_of, schema};
pub use settings::{
    Audience, ClientCertificateSource, ClusterSettings, HeartbeatSettings, Network, NotifySettings, OwnBranch,
    PolicySource, Registries, RegistrySettings, ReplicaSettings, RepositorySettings, ServerSettings, Settings,
    SigningKind, Trigger, TrustedProxySettings,
};

#[cfg(test)]
mod tests;
