//! Flux: sources, Kustomization, HelmRelease, HelmChart.

#![allow(missing_docs, reason = "fields without a comment carry the names and meaning of the Kubernetes API")]

use jiff::Timestamp;

use super::{Condition, ObjectRef, Revision};

/// A source of `source.toolkit.fluxcd.io`; its kind is the object's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    pub url: Option<String>,
    pub reference: SourceRef,
    pub suspend: bool,
    /// As written, e.g. `1m0s`.
    pub interval: Option<String>,
    /// `spec.ignore`: patterns of files that the artifact leaves out.
    pub ignore: Option<String>,
    /// `spec.sparseCheckout`.
    pub sparse_checkout: Vec<String>,
    /// Whether `spec.include` includes other repositories.
    pub has_include: bool,
    pub observed_generation: Option<i64>,
    pub artifact: Option<Artifact>,
    pub conditions: Vec<Condition>,
}

/// `spec.ref`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceRef {
    pub branch: Option<String>,
    pub tag: Option<String>,
    pub semver: Option<String>,
    pub commit: Option<String>,
    /// A full Git reference such as `refs/pull/1/head`.
    pub name: Option<String>,
    /// OCI only.
    pub digest: Option<String>,
}

/// `status.artifact`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifact {
    pub revision: Revision,
    pub digest: Option<String>,
    pub last_update: Option<Timestamp>,
}

/// `kustomize.toolkit.fluxcd.io` Kustomization.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kustomization {
    pub source_ref: ObjectRef,
    pub path: Option<String>,
    pub components: Vec<String>,
    /// These override what Git declares below `path`.
    pub images: Vec<ImageOverride>,
    pub suspend: bool,
    pub wait: bool,
    pub has_health_checks: bool,
    pub has_post_build: bool,
    pub has_patches: bool,
    pub interval: Option<String>,
    pub timeout: Option<String>,
    pub depends_on: Vec<ObjectRef>,
    /// Whether `spec.kubeConfig` applies the objects to another cluster.
    pub is_remote: bool,
    pub target_namespace: Option<String>,
    pub observed_generation: Option<i64>,
    /// Set only after health checks have passed.
    pub last_applied: Option<Revision>,
    /// Set before anything is built.
    pub last_attempted: Option<Revision>,
    /// For an OCI source: the Git revision that the artifact says it was made from.
    pub last_applied_origin: Option<Revision>,
    pub last_attempted_origin: Option<Revision>,
    /// `None` if the field is absent.
    pub inventory: Option<Vec<InventoryEntry>>,
    /// Newest first.
    pub history: Vec<KustomizationHistory>,
    pub conditions: Vec<Condition>,
}

/// An entry of `spec.images`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageOverride {
    pub name: String,
    pub new_name: Option<String>,
    pub new_tag: Option<String>,
    pub digest: Option<String>,
}

/// An entry of `status.inventory.entries`, from its id `namespace_name_group_kind`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InventoryEntry {
    pub group: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
}

/// An entry of `status.history`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KustomizationHistory {
    pub status: Option<String>,
    pub revision: Option<Revision>,
    pub last_reconciled: Option<Timestamp>,
}

/// `helm.toolkit.fluxcd.io` HelmRelease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HelmRelease {
    pub chart: Option<ChartSpec>,
    pub chart_ref: Option<ObjectRef>,
    pub values_from: Vec<ObjectRef>,
    pub has_values: bool,
    pub has_post_renderers: bool,
    /// Whether a release counts only once its tests have passed.
    pub is_tested: bool,
    pub release_name: Option<String>,
    pub target_namespace: Option<String>,
    pub suspend: bool,
    pub interval: Option<String>,
    pub timeout: Option<String>,
    pub depends_on: Vec<ObjectRef>,
    pub is_remote: bool,
    pub observed_generation: Option<i64>,
    /// The version of the chart, never a commit.
    pub last_attempted: Option<Revision>,
    pub last_attempted_generation: Option<i64>,
    pub last_attempted_config_digest: Option<String>,
    /// Newest first.
    pub history: Vec<ReleaseSnapshot>,
    pub upgrade_failures: Option<i64>,
    pub install_failures: Option<i64>,
    /// `namespace/name` of its HelmChart.
    pub helm_chart: Option<String>,
    pub conditions: Vec<Condition>,
}

/// `spec.chart.spec`, and the specification of a HelmChart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChartSpec {
    pub chart: String,
    pub version: Option<String>,
    pub source_ref: ObjectRef,
    /// If absent, `ChartVersion`: a chart whose version does not change is not repackaged.
    pub reconcile_strategy: Option<String>,
    pub values_files: Vec<String>,
}

/// An entry of a HelmRelease's `status.history`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseSnapshot {
    pub chart_version: Option<String>,
    pub config_digest: Option<String>,
    /// `deployed`, `superseded`, `failed`, …
    pub status: Option<String>,
    pub version: Option<i64>,
    pub last_deployed: Option<Timestamp>,
}

/// `source.toolkit.fluxcd.io` HelmChart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HelmChart {
    pub spec: ChartSpec,
    pub suspend: bool,
    pub observed_generation: Option<i64>,
    /// The revision of the source that the chart was last packaged from.
    pub observed_source_revision: Option<Revision>,
    pub artifact: Option<Artifact>,
    pub conditions: Vec<Condition>,
}
