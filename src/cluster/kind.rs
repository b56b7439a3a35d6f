//! The watched kinds; `deploy/kubernetes/rbac.yaml` permits exactly these.

use std::fmt;

use crate::model::observation::CROSSPLANE;

/// A kind that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are those of the Kubernetes API")]
pub enum WatchedKind {
    Application,
    ApplicationSet,
    AppProject,
    Rollout,
    Canary,
    Revision,
    GitRepository,
    OciRepository,
    HelmRepository,
    HelmChart,
    Kustomization,
    HelmRelease,
    Provider,
    ProviderRevision,
    Function,
    FunctionRevision,
    Configuration,
    ConfigurationRevision,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
    Pod,
}

/// Whether a server may lack a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KindOrigin {
    /// Built in: served by every API server, in one version for years.
    BuiltIn,
    /// A custom resource: it may be absent, or served in another version.
    Defined,
}

/// The RBAC verbs of a watcher.
pub(super) const VERBS: [&str; 3] = ["get", "list", "watch"];

impl WatchedKind {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::Application,
        Self::ApplicationSet,
        Self::AppProject,
        Self::Rollout,
        Self::Canary,
        Self::Revision,
        Self::GitRepository,
        Self::OciRepository,
        Self::HelmRepository,
        Self::HelmChart,
        Self::Kustomization,
        Self::HelmRelease,
        Self::Provider,
        Self::ProviderRevision,
        Self::Function,
        Self::FunctionRevision,
        Self::Configuration,
        Self::ConfigurationRevision,
        Self::Deployment,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Job,
        Self::CronJob,
        Self::Pod,
    ];

    /// Group, version, kind and plural. The version is used if discovery is forbidden.
    const fn facts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        const ARGO: &str = "argoproj.io";
        const SOURCE: &str = "source.toolkit.fluxcd.io";
        match self {
            Self::Application => (ARGO, "v1alpha1", "Application", "applications"),
            Self::ApplicationSet => (ARGO, "v1alpha1", "ApplicationSet", "applicationsets"),
            Self::AppProject => (ARGO, "v1alpha1", "AppProject", "appprojects"),
            Self::Rollout => (ARGO, "v1alpha1", "Rollout", "rollouts"),
            Self::Canary => ("flagger.app", "v1beta1", "Canary", "canaries"),
            Self::Revision => ("serving.knative.dev", "v1", "Revision", "revisions"),
            Self::GitRepository => (SOURCE, "v1", "GitRepository", "gitrepositories"),
            Self::OciRepository => (SOURCE, "v1", "OCIRepository", "ocirepositories"),
            Self::HelmRepository => (SOURCE, "v1", "HelmRepository", "helmrepositories"),
            Self::HelmChart => (SOURCE, "v1", "HelmChart", "helmcharts"),
            Self::Kustomization => ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations"),
            Self::HelmRelease => ("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
            Self::Provider => (CROSSPLANE, "v1", "Provider", "providers"),
            Self::ProviderRevision => (CROSSPLANE, "v1", "ProviderRevision", "providerrevisions"),
            Self::Function => (CROSSPLANE, "v1", "Function", "functions"),
            Self::FunctionRevision => (CROSSPLANE, "v1", "FunctionRevision", "functionrevisions"),
            Self::Configuration => (CROSSPLANE, "v1", "Configuration", "configurations"),
            Self::ConfigurationRevision => (CROSSPLANE, "v1", "ConfigurationRevision", "configurationrevisions"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::ReplicaSet => ("apps", "v1", "ReplicaSet", "replicasets"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::DaemonSet => ("apps", "v1", "DaemonSet", "daemonsets"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::CronJob => ("batch", "v1", "CronJob", "cronjobs"),
            Self::Pod => ("", "v1", "Pod", "pods"),
        }
    }

    /// Whether all judgements about a cluster depend on this kind.
    #[must_use]
    pub fn is_essential(self) -> bool {
        match self {
            Self::ApplicationSet | Self::AppProject | Self::HelmRepository => false,
            // Few apps use these kinds; the others can be judged without them.
            Self::Rollout | Self::Canary | Self::Revision | Self::CronJob => false,
            _ if self.is_crossplane() => false,
            _ => true,
        }
    }

    /// Whether it is a package of Crossplane, or a revision of one.
    #[must_use]
    pub fn is_crossplane(self) -> bool {
        self.group() == CROSSPLANE
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        self.facts().0
    }

    /// The name in manifests, e.g. `OCIRepository`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().2
    }

    /// The name in URLs and RBAC rules, e.g. `ocirepositories`.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        self.facts().3
    }

    pub(super) const fn default_version(self) -> &'static str {
        self.facts().1
    }

    pub(super) fn origin(self) -> KindOrigin {
        if matches!(self.group(), "" | "apps" | "batch") { KindOrigin::BuiltIn } else { KindOrigin::Defined }
    }

    /// The plural with its group, as in the API server's messages: `pods`, `deployments.apps`.
    #[must_use]
    pub fn resource(self) -> String {
        if self.group().is_empty() { self.plural().to_owned() } else { format!("{}.{}", self.plural(), self.group()) }
    }

    /// The rule that a ClusterRole, or a Role in one namespace, must have, as YAML for its list of `rules`.
    #[must_use]
    pub fn rule(self) -> String {
        rule(self.group(), self.plural(), &VERBS)
    }
}

impl fmt::Display for WatchedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One rule of a ClusterRole or Role.
pub(super) fn rule(group: &str, plural: &str, verbs: &[&str]) -> String {
    let verbs: Vec<String> = verbs.iter().map(|verb| format!("{verb:?}")).collect();
    format!("- apiGroups: [{group:?}]\n  resources: [{plural:?}]\n  verbs: [{}]\n", verbs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_yaml_that_can_be_pasted() {
        assert_eq!(
            WatchedKind::Deployment.rule(),
            "- apiGroups: [\"apps\"]\n  resources: [\"deployments\"]\n  verbs: [\"get\", \"list\", \"watch\"]\n"
        );
        assert_eq!(WatchedKind::Pod.resource(), "pods");
        assert_eq!(WatchedKind::Kustomization.resource(), "kustomizations.kustomize.toolkit.fluxcd.io");
    }
}
