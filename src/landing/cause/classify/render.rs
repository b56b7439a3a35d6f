//! Why a controller could not fetch, render, compare or hydrate a revision, or what its health check waited for.

use crate::model::CauseCode;

use super::words::{has, words};

/// Why Argo CD or Flux could not compare or render a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::landing) enum RenderFailure {
    /// The destination cluster does not answer, or refuses Argo CD's credentials.
    Cluster,
    /// No such cluster is registered.
    ClusterUnknown,
    /// Argo CD's repo-server, which renders, does not answer.
    RepoServer,
    /// Argo CD's own cache (Redis) refuses it or does not answer.
    Cache,
    /// The AppProject does not exist.
    ProjectMissing,
    /// The AppProject does not allow the source, the destination or a kind.
    ProjectForbids,
    /// The source could not be fetched.
    Fetch,
    /// The fetched files do not build.
    Build,
}

/// Why a controller could not compare or render a revision.
pub(in crate::landing) fn render(message: &str) -> RenderFailure {
    let text = words(message);
    let has = |phrases: &[&str]| has(&text, phrases);
    if has(&["which does not exist", "project * does not exist", "appproject * not found", "referencing project"]) {
        RenderFailure::ProjectMissing
    } else if has(&[
        "do not match any of the allowed destinations",
        "does not match any of the allowed destinations",
        "is not permitted in project",
        "not permitted in project",
        "not allowed in project",
        "is not permitted to use",
    ]) {
        RenderFailure::ProjectForbids
    } else if has(&[
        "there are no clusters with this name",
        "there are 0 clusters with this name",
        "unable to find destination server",
        "error validating destination",
        "cluster * not found",
        "has not been configured",
        "can't have both name and server defined",
        "destination server missing",
    ]) {
        RenderFailure::ClusterUnknown
    } else if has(&[
        "failed to load live state",
        "failed to get cluster info",
        "error synchronizing cache state",
        "failed to sync cluster",
        "failed to get server version",
        "the server has asked for the client to provide credentials",
        "failed to get api group resources",
        "failed to list resources",
        "cluster cache",
    ]) {
        RenderFailure::Cluster
    } else if has(&["noauth", "wrongpass", "redis:", "error getting cached app managed resources"]) {
        RenderFailure::Cache
    } else if has(&["code = unavailable", "code = deadlineexceeded", "code = resourceexhausted", "code = canceled"])
        || message.contains("argocd-repo-server")
    {
        RenderFailure::RepoServer
    } else if has(FETCH) {
        RenderFailure::Fetch
    } else {
        RenderFailure::Build
    }
}

const FETCH: &[&str] = &[
    "authentication required",
    "authorization failed",
    "repository not found",
    "unable to resolve",
    "unable to ls-remote",
    "ls-remote",
    "could not read username",
    "ssh: handshake",
    "knownhosts",
    "unknown revision",
    "failed to list refs",
    "failed to fetch",
    "failed to checkout",
    "failed to clone",
    "error creating ssh",
    "dial tcp",
    "couldn't find remote ref",
    "connection refused",
    "i/o timeout",
    "no such host",
    "failed to initialize repository",
    "error fetching",
    "permission denied (publickey)",
    "invalid credentials",
];

impl RenderFailure {
    /// Its cause code.
    pub(in crate::landing) fn code(self) -> CauseCode {
        match self {
            Self::Cluster | Self::RepoServer | Self::Cache => CauseCode::Dependency,
            Self::ClusterUnknown | Self::ProjectMissing => CauseCode::ConfigError,
            Self::ProjectForbids => CauseCode::Forbidden,
            Self::Fetch => CauseCode::FetchFailed,
            Self::Build => CauseCode::BuildFailed,
        }
    }

    /// Whether it recovers on its own after an outage.
    pub(in crate::landing) fn mends_by_waiting(self) -> bool {
        matches!(self, Self::Cluster | Self::RepoServer | Self::Cache)
    }
}

/// At which step Argo CD's hydrator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::landing) enum Hydration {
    /// It could not push what it rendered.
    Push,
    /// It could not render.
    Build,
}

/// At which step Argo CD's hydrator failed.
pub(in crate::landing) fn hydration(message: &str) -> Hydration {
    let text = words(message);
    let pushes = ["permission to * denied", "protected branch", "pre-receive hook declined", "not allowed to push"];
    if has(&text, &pushes) { Hydration::Push } else { Hydration::Build }
}

/// What a timed-out health check says about the objects it waited for.
pub(in crate::landing) fn health(message: &str) -> CauseCode {
    let text = message.to_lowercase();
    let failed = ["status: 'failed'", "stalled resources"].iter().any(|phrase| text.contains(phrase));
    if failed { CauseCode::ProgressDeadline } else { CauseCode::NotReady }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_to_render_are_told_apart() {
        for (message, failure) in [
            ("failed to generate manifest for source 1 of 1: kustomize build failed", RenderFailure::Build),
            ("unable to resolve 'main' to a commit SHA", RenderFailure::Fetch),
            (
                "Failed to load live state: failed to get cluster info for \"https://10.0.0.1\": dial tcp 10.0.0.1:443: i/o timeout",
                RenderFailure::Cluster,
            ),
            (
                "failed to generate manifest: rpc error: code = Unavailable desc = connection error: dial tcp 10.96.1.1:8081: connect: connection refused",
                RenderFailure::RepoServer,
            ),
            (
                "application repo https://git.example/x is not permitted in project 'team-a'",
                RenderFailure::ProjectForbids,
            ),
            ("Application referencing project team-a which does not exist", RenderFailure::ProjectMissing),
            ("there are no clusters with this name: eu-9", RenderFailure::ClusterUnknown),
        ] {
            assert_eq!(render(message), failure, "{message}");
        }
    }
}
