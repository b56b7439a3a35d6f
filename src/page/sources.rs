//! What is asked or heard outside, and when it last went well.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::tone::Tone;

/// Everything outside.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sources {
    /// The sources, by kind and name.
    pub sources: Vec<SourceView>,
}

/// Kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A GitOps repository.
    Repository,
    /// A host of registries, of a forge, of Git, of receivers of alerts.
    Host,
    /// A cluster.
    Cluster,
    /// A source of webhooks.
    Webhook,
}

impl SourceKind {
    /// All, in the order in which they are shown, with their headings.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Repository, "Repositories"),
        (Self::Host, "Registries and other hosts"),
        (Self::Cluster, "Clusters"),
        (Self::Webhook, "Webhooks"),
    ];
}

/// Something outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceView {
    /// What it is.
    pub kind: SourceKind,
    /// Its name.
    pub name: String,
    /// What more there is to say: an address, what is asked of it.
    pub detail: String,
    /// When it last went well.
    pub last_success: Option<Timestamp>,
    /// How it stands, in a word or two.
    pub word: String,
    /// Its colour.
    pub tone: Tone,
    /// What is wrong.
    pub problems: Vec<String>,
    /// Counts since the bot was started, in words.
    pub counts: Vec<String>,
}
