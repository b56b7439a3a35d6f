//! What the server serves: the kinds with their groups, versions and the way they keep their status.

/// Who may write the status of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusRule {
    /// A subresource: an ordinary write drops it without a word.
    Subresource,
    /// The same, and a new object starts with `observedGeneration: -1`, which the definitions of Flux set as a default.
    SubresourceOfFlux,
    /// None: an ordinary write sets it, and every change of anything but the metadata is a new generation.
    Ordinary,
}

/// One kind as it is served. All of them are namespaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The group; empty for the core.
    pub group: String,
    /// Versions, the preferred one first.
    pub versions: Vec<String>,
    /// The kind, e.g. `Deployment`.
    pub kind: String,
    /// The plural, e.g. `deployments`.
    pub plural: String,
    /// Who may write its status.
    pub status: StatusRule,
}

impl Served {
    /// A kind in the versions of one group.
    #[must_use]
    pub fn new(group: &str, versions: &[&str], kind: &str, plural: &str, status: StatusRule) -> Self {
        Self {
            group: group.to_owned(),
            versions: versions.iter().map(|&version| version.to_owned()).collect(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            status,
        }
    }

    /// Workloads, Argo CD, Argo Rollouts, Flagger and Flux.
    #[must_use]
    pub fn all() -> Vec<Self> {
        use StatusRule::{Ordinary, Subresource, SubresourceOfFlux};
        let (argo, source) = ("argoproj.io", "source.toolkit.fluxcd.io");
        [
            ("", "v1", "Pod", "pods", Subresource),
            ("", "v1", "Event", "events", Ordinary),
            ("apps", "v1", "Deployment", "deployments", Subresource),
            ("apps", "v1", "ReplicaSet", "replicasets", Subresource),
            ("apps", "v1", "StatefulSet", "statefulsets", Subresource),
            ("apps", "v1", "DaemonSet", "daemonsets", Subresource),
            ("batch", "v1", "Job", "jobs", Subresource),
            ("batch", "v1", "CronJob", "cronjobs", Subresource),
            // Seen on a real server: the definition of Application has no status subresource.
            (argo, "v1alpha1", "Application", "applications", Ordinary),
            (argo, "v1alpha1", "ApplicationSet", "applicationsets", Subresource),
            (argo, "v1alpha1", "AppProject", "appprojects", Ordinary),
            (argo, "v1alpha1", "Rollout", "rollouts", Subresource),
            ("flagger.app", "v1beta1", "Canary", "canaries", Subresource),
            (source, "v1", "GitRepository", "gitrepositories", SubresourceOfFlux),
            (source, "v1", "OCIRepository", "ocirepositories", SubresourceOfFlux),
            (source, "v1", "HelmRepository", "helmrepositories", SubresourceOfFlux),
            (source, "v1", "HelmChart", "helmcharts", SubresourceOfFlux),
            ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations", SubresourceOfFlux),
            ("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases", SubresourceOfFlux),
        ]
        .map(|(group, version, kind, plural, status)| Self::new(group, &[version], kind, plural, status))
        .into()
    }

    /// The resource with its group as RBAC messages have it: `pods`, `deployments.apps`.
    #[must_use]
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `v1`, `apps/v1`.
    pub(super) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// Whether items of a list come without `kind` and `apiVersion`: so do all compiled-in kinds of a real server.
    pub(super) fn bare_items(&self) -> bool {
        matches!(self.group.as_str(), "" | "apps" | "batch")
    }
}
