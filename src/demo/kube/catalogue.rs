//! What the server serves: kinds with their groups, versions and status rules.

/// Who may write the status of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusRule {
    /// A subresource: an ordinary write silently drops the status.
    Subresource,
    /// The same, and a new object starts with `observedGeneration: -1`, the default in Flux's CRDs.
    SubresourceOfFlux,
    /// No subresource: an ordinary write sets the status, and every change outside the metadata is a new generation.
    Ordinary,
}

/// One kind that is served. All of them are namespaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The group; empty for the core group.
    pub group: String,
    /// Versions, with the preferred one first.
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

    /// Workloads, Argo CD, Argo Rollouts, Flagger, Flux and Crossplane's packages.
    #[must_use]
    pub fn all() -> Vec<Self> {
        use StatusRule::{Ordinary, Subresource, SubresourceOfFlux};
        let (argo, source, package) = ("argoproj.io", "source.toolkit.fluxcd.io", "pkg.crossplane.io");
        [
            ("", "v1", "Pod", "pods", Subresource),
            ("", "v1", "Event", "events", Ordinary),
            ("", "v1", "Secret", "secrets", Ordinary),
            ("apps", "v1", "Deployment", "deployments", Subresource),
            ("apps", "v1", "ReplicaSet", "replicasets", Subresource),
            ("apps", "v1", "StatefulSet", "statefulsets", Subresource),
            ("apps", "v1", "DaemonSet", "daemonsets", Subresource),
            ("batch", "v1", "Job", "jobs", Subresource),
            ("batch", "v1", "CronJob", "cronjobs", Subresource),
            // As observed on a real server: the CRD of Application has no status subresource.
            (argo, "v1alpha1", "Application", "applications", Ordinary),
            (argo, "v1alpha1", "ApplicationSet", "applicationsets", Subresource),
            (argo, "v1alpha1", "AppProject", "appprojects", Ordinary),
            (argo, "v1alpha1", "Rollout", "rollouts", Subresource),
            ("flagger.app", "v1beta1", "Canary", "canaries", Subresource),
            ("serving.knative.dev", "v1", "Revision", "revisions", Subresource),
            (package, "v1", "Provider", "providers", Subresource),
            (package, "v1", "ProviderRevision", "providerrevisions", Subresource),
            (package, "v1", "Function", "functions", Subresource),
            (package, "v1", "FunctionRevision", "functionrevisions", Subresource),
            (package, "v1", "Configuration", "configurations", Subresource),
            (package, "v1", "ConfigurationRevision", "configurationrevisions", Subresource),
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

    /// The resource with its group, as in RBAC messages: `pods`, `deployments.apps`.
    #[must_use]
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `v1`, `apps/v1`.
    pub(super) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// Whether items of a list lack `kind` and `apiVersion`, like those of all built-in kinds on a real server.
    pub(super) fn bare_items(&self) -> bool {
        matches!(self.group.as_str(), "" | "apps" | "batch")
    }
}
