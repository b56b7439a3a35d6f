//! A Lease of Kubernetes (`coordination.k8s.io/v1`), as far as the bot reads and writes it.

use std::collections::BTreeMap;
use std::time::Duration;

/// A Lease at one version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lease {
    /// Its name in its namespace.
    pub name: String,
    /// The version that the API server gave it; a change is accepted only of the newest one. `None`: it is yet to be created.
    pub version: Option<String>,
    /// Who holds it; `None`: nobody.
    pub holder: Option<String>,
    /// For how long after a renewal nobody else may take it.
    pub duration: Duration,
    /// When it was last taken, by its holder's clock. It is only shown, and never compared with another clock.
    pub acquired: Option<String>,
    /// When it was last renewed, likewise.
    pub renewed: Option<String>,
    /// How often it went to another holder.
    pub transitions: u32,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Everything else in its metadata, which a change leaves as it is.
    pub rest: BTreeMap<String, serde_json::Value>,
}
