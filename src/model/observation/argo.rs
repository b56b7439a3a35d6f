//! Argo CD: Application, AppProject, ApplicationSet.

#![allow(missing_docs, reason = "fields without a comment carry the names and meaning of the Kubernetes API")]

use jiff::Timestamp;

use super::{Condition, Revision};

/// `argoproj.io/v1alpha1` Application.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Application {
    /// `spec.sources`, otherwise `spec.source`. As in Argo CD, `spec.sources` takes precedence.
    pub sources: Vec<AppSource>,
    /// `spec.sourceHydrator`.
    pub hydrator: Option<Hydrator>,
    pub destination: Destination,
    pub project: Option<String>,
    pub auto_sync: AutoSync,
    /// `spec.syncPolicy.retry`.
    pub retry: Option<Retry>,
    /// Whether `spec.ignoreDifferences` has entries.
    pub ignores_differences: bool,
    /// The revision of `.operation`, if an operation is requested (empty if it names none).
    pub requested: Option<Revision>,
    pub sync_status: Option<String>,
    /// `status.sync.revisions`, otherwise `status.sync.revision`: what was compared, not what was applied.
    pub sync_revisions: Vec<Revision>,
    /// `status.sync.comparedTo.source(s)`.
    pub compared_to: Option<Vec<AppSource>>,
    pub health_status: Option<String>,
    pub health_message: Option<String>,
    pub health_since: Option<Timestamp>,
    pub reconciled_at: Option<Timestamp>,
    pub operation: Option<OperationState>,
    /// Oldest first.
    pub history: Vec<HistoryEntry>,
    pub conditions: Vec<AppCondition>,
    /// `status.resources`; `None` if the field is absent.
    pub resources: Option<Vec<ManagedResource>>,
    /// `status.sourceHydrator.currentOperation`.
    pub hydration: Option<Hydration>,
}

/// A source of an Application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppSource {
    pub repo_url: String,
    pub target_revision: Option<String>,
    pub path: Option<String>,
    pub chart: Option<String>,
    /// `ref`: the name by which `$name/…` value files of other sources refer to this repository.
    pub reference: Option<String>,
    pub value_files: Vec<String>,
    pub file_parameters: Vec<String>,
    /// `helm.parameters` as name and value.
    pub parameters: Vec<(String, String)>,
    /// Whether `helm.values` or `helm.valuesObject` have any values; images in them are not read.
    pub has_values: bool,
    /// `kustomize.images`, e.g. `ghcr.io/acme/web:1.2.3` or `old=new:tag`.
    pub kustomize_images: Vec<String>,
    pub directory_recurse: Option<bool>,
    pub directory_include: Option<String>,
    pub directory_exclude: Option<String>,
    /// Whether a config management plugin renders it; what that does cannot be seen in the files.
    pub has_plugin: bool,
}

/// `spec.sourceHydrator`: the dry source that people write, and the rendered source that is applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hydrator {
    pub dry_repo_url: String,
    pub dry_target_revision: Option<String>,
    pub dry_path: Option<String>,
    pub sync_target_branch: Option<String>,
    pub sync_path: Option<String>,
}

/// `status.sourceHydrator`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hydration {
    /// `Hydrating`, `Failed`, `Hydrated`.
    pub phase: Option<String>,
    pub message: Option<String>,
    /// The commit of the dry source.
    pub dry_sha: Option<Revision>,
    pub hydrated_sha: Option<Revision>,
    /// `lastSuccessfulOperation.drySHA`.
    pub last_dry_sha: Option<Revision>,
}

/// `spec.destination`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destination {
    pub server: Option<String>,
    pub name: Option<String>,
    pub namespace: Option<String>,
}

/// `spec.syncPolicy.automated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoSync {
    /// Absent, or `enabled: false`.
    #[default]
    Off,
    /// On; manual changes in the cluster remain until the next commit.
    On,
    /// On with `selfHeal`.
    SelfHeal,
}

/// `spec.syncPolicy.retry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retry {
    /// Negative: unlimited.
    pub limit: Option<i64>,
    /// Whether a retry takes the newest revision; otherwise it stays with the one it started with.
    pub refresh: bool,
}

/// `status.operationState`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperationState {
    /// `Running`, `Terminating`, `Failed`, `Error`, `Succeeded`.
    pub phase: Option<String>,
    pub message: Option<String>,
    pub started_at: Option<Timestamp>,
    /// If set while `Running`, it is waiting to retry.
    pub finished_at: Option<Timestamp>,
    pub retry_count: Option<i64>,
    /// `syncResult.revision(s)`, otherwise `operation.sync.revision(s)`.
    pub revisions: Vec<Revision>,
    /// Whether `operation.sync.resources` names any: such a sync is partial and not in the history.
    pub partial: bool,
    /// `operation.initiatedBy.automated`.
    pub automated: bool,
    /// `operation.initiatedBy.username`.
    pub username: Option<String>,
    pub resources: Vec<ResourceResult>,
}

/// An entry of `status.operationState.syncResult.resources`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceResult {
    pub group: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    /// `Synced`, `SyncFailed`, `Pruned`, `PruneSkipped`.
    pub status: Option<String>,
    pub hook_phase: Option<String>,
    /// `PreSync`, `PostSync`, …; only set for hooks.
    pub hook_type: Option<String>,
    pub message: Option<String>,
    /// The images that were rendered and applied.
    pub images: Vec<String>,
}

/// An entry of `status.history`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryEntry {
    pub id: Option<i64>,
    pub revisions: Vec<Revision>,
    pub deployed_at: Option<Timestamp>,
}

/// A condition of an Application: a type and a message, no status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppCondition {
    pub kind: String,
    pub message: String,
    pub last_transition: Option<Timestamp>,
}

/// An entry of `status.resources`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManagedResource {
    pub group: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    /// `Synced`, `OutOfSync`.
    pub status: Option<String>,
    /// Absent in version 3 unless the controller is configured to keep it.
    pub health: Option<String>,
    pub health_message: Option<String>,
    /// `requiresPruning`: Git no longer declares it, but it still exists.
    pub requires_pruning: bool,
}

/// AppProject: only its sync windows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppProject {
    pub sync_windows: Vec<SyncWindow>,
}

/// An entry of `spec.syncWindows`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncWindow {
    /// `allow` or `deny`.
    pub kind: String,
    /// Five cron fields.
    pub schedule: String,
    /// A Go duration: `1h30m`.
    pub duration: String,
    pub time_zone: Option<String>,
    pub applications: Vec<String>,
    pub namespaces: Vec<String>,
    pub clusters: Vec<String>,
    pub manual_sync: bool,
    /// `andOperator`: applications, namespaces and clusters must all match.
    pub and: bool,
}

/// ApplicationSet: only the status of its progressive syncs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApplicationSet {
    pub conditions: Vec<Condition>,
    pub applications: Vec<ApplicationStep>,
}

/// An entry of `status.applicationStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApplicationStep {
    pub application: String,
    /// `Waiting`, `Pending`, `Progressing`, `Healthy`.
    pub status: String,
    pub message: String,
    pub step: Option<String>,
    pub target_revisions: Vec<Revision>,
    pub last_transition: Option<Timestamp>,
}
