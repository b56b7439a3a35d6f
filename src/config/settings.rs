//! What the configuration means: every value checked, every default filled in.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{BranchName, Identity, RepoPath, Severity};
use crate::policy::{Cap, Policy, Schedule, Window};

use super::diagnostic::Diagnostic;
use crate::document::secret::{Address, CredentialSource, SecretSource};
use crate::forge::ForgeSettings;
use crate::notify::SinkKind;
use crate::registry::LoginSettings;

/// The bot's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// When cycles begin.
    pub interval: Trigger,
    /// The folder for the cache; `None`: [`default_state_dir`](super::load::default_state_dir).
    pub state_dir: Option<PathBuf>,
    /// The GitOps repositories, at least one, with names of their own.
    pub repositories: Vec<RepositorySettings>,
    /// Where images are looked for.
    pub registries: Registries,
    /// Clusters to watch.
    pub clusters: Vec<ClusterSettings>,
    /// Where alerts go.
    pub notify: Vec<NotifySettings>,
    /// Who is told that all is well.
    pub heartbeat: Option<HeartbeatSettings>,
}

/// When cycles begin.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// After this time.
    Every(Duration),
    /// By a cron schedule in UTC.
    Cron(Schedule),
}

/// A GitOps repository.
#[derive(Debug, Clone, PartialEq)]
pub struct RepositorySettings {
    /// Its short name.
    pub name: String,
    /// What `git` is given: https, http, ssh, scp form, or an absolute path. No password in it.
    pub url: String,
    /// Other addresses by which controllers know it.
    pub aliases: Vec<String>,
    /// The branch that is read and written unless a policy names another.
    pub branch: BranchName,
    /// Other branches that policies of the repository may name.
    pub branches: BTreeSet<BranchName>,
    /// Whether the configuration names that branch; otherwise it is the remote's default branch, as soon as that is known.
    pub branch_given: bool,
    /// How to log in; `None`: not at all.
    pub credentials: Option<CredentialSource>,
    /// Certificates to trust for this remote.
    pub ca_file: Option<PathBuf>,
    /// Most time for one conversation with the remote or the forge; `None`: each has its own default.
    pub timeout: Option<Duration>,
    /// Author and committer of commits.
    pub author: Identity,
    /// Where pull requests are made.
    pub forge: ForgeSettings,
    /// Where the policies are.
    pub policies: PolicySource,
    /// What the policies may never exceed.
    pub caps: Vec<Cap>,
}

/// How it is known which branch is a repository's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnBranch {
    /// The configuration or the remote says so.
    Known,
    /// Neither has said so: `main` until then.
    Assumed,
}

impl RepositorySettings {
    /// Whether policies may have anything written to a branch: the repository's own, one that the configuration lists, or any
    /// where the policies stand beside the configuration.
    #[must_use]
    pub fn lets_write(&self, branch: &BranchName) -> bool {
        *branch == self.branch || self.branches.contains(branch) || matches!(self.policies, PolicySource::File(_))
    }

    /// The policies that name a branch which they may not have anything written to: errors, but warnings while the
    /// repository's own branch is only assumed, since the remote's default branch may be the one.
    #[must_use]
    pub fn beyond_branches(&self, policies: &[Policy], own: OwnBranch) -> Vec<Diagnostic> {
        let named = policies.iter().filter_map(|policy| Some((policy, policy.fields.branch.as_ref()?)));
        let beyond = named.filter(|(_, branch)| !self.lets_write(&branch.value));
        beyond
            .map(|(policy, branch)| {
                let (name, repository) = (&policy.name.value, &self.name);
                let unlisted = format!(
                    "policy `{name}` names branch `{}`, which `branches` of repository `{repository}` in the configuration does not list: nothing is written there",
                    branch.value
                );
                if own == OwnBranch::Known {
                    return Diagnostic::error(&branch.origin, unlisted)
                        .with_hint("add it to `branches` in landfall.yaml, if that is meant");
                }
                Diagnostic::warning(&branch.origin, format!("{unlisted}, unless it is the remote's default branch"))
                    .with_hint("say `branch:` in landfall.yaml, add it to `branches`, or let `landfall check --remote` ask the remote")
            })
            .collect()
    }
}

/// Where a repository's policies are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySource {
    /// A folder in the repository, read at the revision that is planned.
    InRepository {
        /// The folder.
        path: RepoPath,
    },
    /// A file or a folder of files on this machine.
    File(PathBuf),
}

impl PolicySource {
    /// The folder of the policies, where they are in the repository.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        match self {
            Self::InRepository { path } => Some(path.as_str()),
            Self::File(_) => None,
        }
    }

    /// The folder of the repository that the folders of freezes and holds are in.
    #[must_use]
    pub fn decision_folder(&self) -> &str {
        self.folder().unwrap_or(".landfall")
    }
}

/// Where images are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registries {
    /// Registries of which something is said, with hosts of their own.
    pub hosts: Vec<RegistrySettings>,
    /// The only hosts besides them that are asked; `None`: every public one.
    pub allowed: Option<Vec<String>>,
}

/// A registry of which something is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The host as [`ImageName::registry`](crate::model::ImageName::registry) gives it.
    pub host: String,
    /// Mirrors of it: `host` or `host/path`.
    pub mirrors: Vec<String>,
    /// HTTP without TLS.
    pub plain_http: bool,
    /// Certificates to trust for this host.
    pub ca_file: Option<PathBuf>,
    /// How to log in; `None`: anonymously.
    pub login: Option<LoginSettings>,
    /// Hosts, besides the registry's own, that may be sent the credentials.
    pub token_realms: Vec<String>,
    /// Most requests at one time.
    pub max_requests: usize,
    /// Most time for one question; `None`: the client's own.
    pub timeout: Option<Duration>,
}

/// A cluster to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Its short name.
    pub name: String,
    /// The kubeconfig; `None`: the service account of the pod that the bot runs in.
    pub kubeconfig: Option<SecretSource>,
    /// The context in it; `None`: its current one.
    pub context: Option<String>,
    /// The environments that run there; empty: any.
    pub environments: Vec<String>,
    /// The only namespaces that are read, each once; empty: all.
    pub namespaces: Vec<String>,
}

/// A receiver of alerts.
#[derive(Debug, Clone, PartialEq)]
pub struct NotifySettings {
    /// Its short name.
    pub name: String,
    /// What it is and where.
    pub kind: SinkKind,
    /// Certificates to trust for it.
    pub ca_file: Option<PathBuf>,
    /// Only alerts of these environments; empty: all.
    pub environments: Vec<String>,
    /// Only alerts about what these policies cover; empty: all.
    pub policies: Vec<String>,
    /// Only alerts as bad as this.
    pub minimum_severity: Severity,
    /// When it is not disturbed; several windows are alternatives.
    pub mute: Vec<Window>,
    /// Time between two reminders; `None`: the usual.
    pub reminder: Option<Duration>,
    /// Whether it is told of landings, too.
    pub landings: bool,
}

/// Who is told that all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// The address that is asked for after each good cycle.
    pub url: Address,
    /// Certificates to trust for it.
    pub ca_file: Option<PathBuf>,
}
