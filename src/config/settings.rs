//! The checked configuration, with every default filled in.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{BranchName, Identity, RepoPath, Severity};
use crate::policy::{Cap, DeclaredBy, MessageTemplates, Policy, Schedule, Window};

use super::diagnostic::Diagnostic;
use crate::document::secret::{Address, CredentialSource, SecretSource};
use crate::forge::ForgeSettings;
use crate::notify::SinkKind;
use crate::registry::LoginSettings;
use crate::webhooks::SourceSettings;

/// The bot's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// When cycles start.
    pub interval: Trigger,
    /// The folder for the cache; `None`: [`default_state_dir`](super::load::default_state_dir).
    pub state_dir: Option<PathBuf>,
    /// The GitOps repositories, at least one, with unique names.
    pub repositories: Vec<RepositorySettings>,
    /// Where images may come from.
    pub registries: Registries,
    /// The file with the authorities of keyless signatures; `None`: those of Sigstore's public instance.
    pub trusted_root: Option<PathBuf>,
    /// Clusters to watch.
    pub clusters: Vec<ClusterSettings>,
    /// The Leases by which replicas share the repositories; `None`: there is one replica.
    pub replicas: Option<ReplicaSettings>,
    /// Where alerts go.
    pub notify: Vec<NotifySettings>,
    /// Where the instructions for a cause are; `{code}` stands for its code.
    pub runbooks: Option<String>,
    /// The dead man's switch.
    pub heartbeat: Option<HeartbeatSettings>,
    /// The web server; `None`: there is none.
    pub server: Option<ServerSettings>,
}

/// When cycles start.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// At this interval.
    Every(Duration),
    /// By a cron schedule in UTC.
    Cron(Schedule),
}

/// A GitOps repository.
#[derive(Debug, Clone, PartialEq)]
pub struct RepositorySettings {
    /// Its short name.
    pub name: String,
    /// The address given to `git`: https, http, ssh, scp form, or an absolute path. Without a password.
    pub url: String,
    /// Other addresses that controllers use for it.
    pub aliases: Vec<String>,
    /// The branch that is read and written unless a policy names another.
    pub branch: BranchName,
    /// Other branches that the repository's policies may name.
    pub branches: BTreeSet<BranchName>,
    /// Whether the configuration names that branch; otherwise it is the remote's default branch, once that is known.
    pub branch_given: bool,
    /// How to log in; `None`: no login.
    pub credentials: Option<CredentialSource>,
    /// Certificates to trust for this remote.
    pub ca_file: Option<PathBuf>,
    /// A certificate to show where a server asks for one.
    pub client_certificate: Option<ClientCertificateSource>,
    /// Maximum time for one operation on the remote or the forge; `None`: each has its own default.
    pub timeout: Option<Duration>,
    /// Author and committer of commits.
    pub author: Identity,
    /// The committer of its commits.
    pub committer: Identity,
    /// What commits and pull requests say.
    pub messages: MessageTemplates,
    /// What commits are signed with; `None`: nothing.
    pub signing: Option<SigningSettings>,
    /// Where pull requests are opened.
    pub forge: ForgeSettings,
    /// Where the policies are.
    pub policies: PolicySource,
    /// What the policies may never exceed.
    pub caps: Vec<Cap>,
}

/// A certificate that says who the bot is, and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificateSource {
    /// The certificate with its chain, in PEM format.
    pub file: PathBuf,
    /// The private key, in PEM format.
    pub key: SecretSource,
}

/// The kind of key that commits are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningKind {
    /// OpenSSH's.
    Ssh,
    /// OpenPGP's.
    Gpg,
}

/// What commits are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningSettings {
    /// The kind of key.
    pub kind: SigningKind,
    /// The private key.
    pub key: SecretSource,
    /// Public keys that were used before.
    pub former: Vec<String>,
}

/// How a repository's own branch is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnBranch {
    /// The configuration or the remote says so.
    Known,
    /// Neither has said so yet: `main` is assumed.
    Assumed,
}

impl RepositorySettings {
    /// Whether policies may write to a branch: the repository's own, one that the configuration lists, or any branch if
    /// the policies are next to the configuration.
    #[must_use]
    pub fn lets_write(&self, branch: &BranchName) -> bool {
        *branch == self.branch || self.branches.contains(branch) || matches!(self.policies, PolicySource::File(_))
    }

    /// The policies that name a branch they may not write to. These are errors, but only warnings while the
    /// repository's own branch is assumed, since the remote's default branch may be the one.
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
                        .with_hint("add it to `branches` in landfall.yaml, if that is intended");
                }
                Diagnostic::warning(&branch.origin, format!("{unlisted}, unless it is the remote's default branch"))
                    .with_hint("set `branch:` in landfall.yaml, add it to `branches`, or let `landfall check --remote` ask the remote")
            })
            .collect()
    }
}

/// Where a repository's policies are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySource {
    /// A folder in the repository, read at the planned revision.
    InRepository {
        /// The folder.
        path: RepoPath,
    },
    /// A file or a folder of files on this machine.
    File(PathBuf),
}

impl PolicySource {
    /// The folder of the policies, if they are in the repository.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        match self {
            Self::InRepository { path } => Some(path.as_str()),
            Self::File(_) => None,
        }
    }

    /// Whose policies they are.
    #[must_use]
    pub fn declared_by(&self) -> DeclaredBy {
        match self {
            Self::InRepository { .. } => DeclaredBy::Repository,
            Self::File(_) => DeclaredBy::Configuration,
        }
    }

    /// The folder of the repository that contains the folders of freezes and holds.
    #[must_use]
    pub fn decision_folder(&self) -> &str {
        self.folder().unwrap_or(".landfall")
    }
}

/// Where images may come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registries {
    /// Registries with settings of their own, with unique hosts.
    pub hosts: Vec<RegistrySettings>,
    /// How to log in to registries that have no login of their own.
    pub login: Option<LoginSettings>,
    /// The only other hosts that are queried; `None`: every public one.
    pub allowed: Option<Vec<String>>,
}

/// A registry with settings of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The host, as [`ImageName::registry`](crate::model::ImageName::registry) returns it.
    pub host: String,
    /// Mirrors of it: `host` or `host/path`.
    pub mirrors: Vec<String>,
    /// Whether to use HTTP without TLS.
    pub plain_http: bool,
    /// Certificates to trust for this host.
    pub ca_file: Option<PathBuf>,
    /// A certificate to show where a server asks for one.
    pub client_certificate: Option<ClientCertificateSource>,
    /// How to log in; `None`: anonymously.
    pub login: Option<LoginSettings>,
    /// Hosts, besides the registry's own, that may be sent the credentials.
    pub token_realms: Vec<String>,
    /// Maximum number of concurrent requests.
    pub max_requests: usize,
    /// Maximum time for one query; `None`: the client's default.
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
    /// The only namespaces to read, without duplicates; empty: all.
    pub namespaces: Vec<String>,
}

/// The Leases by which replicas share the repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSettings {
    /// Their namespace; `None`: that of the pod, or of the context.
    pub namespace: Option<String>,
    /// How long a replica may be silent before others take its repositories.
    pub duration: Duration,
    /// The kubeconfig; `None`: the service account of the pod that the bot runs in.
    pub kubeconfig: Option<SecretSource>,
    /// The context in it; `None`: its current one.
    pub context: Option<String>,
}

/// A receiver of alerts.
#[derive(Debug, Clone, PartialEq)]
pub struct NotifySettings {
    /// Its short name.
    pub name: String,
    /// Its kind and where it is.
    pub kind: SinkKind,
    /// Certificates to trust for it.
    pub ca_file: Option<PathBuf>,
    /// Only alerts of these environments; empty: all.
    pub environments: Vec<String>,
    /// Only alerts about apps that these policies cover; empty: all.
    pub policies: Vec<String>,
    /// Only alerts of at least this severity.
    pub minimum_severity: Severity,
    /// When it is muted; any of the windows is enough.
    pub mute: Vec<Window>,
    /// Time between two reminders; `None`: the default.
    pub reminder: Option<Duration>,
    /// Whether it is also notified of landings.
    pub landings: bool,
}

/// The web server of `landfall run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The token for what not everybody may read; `None`: only this machine may.
    pub token: Option<SecretSource>,
    /// A proxy that has logged people in, and may vouch for them.
    pub trusted_proxy: Option<TrustedProxySettings>,
    /// Who may read badges.
    pub badges: Audience,
    /// How long webhooks are gathered before a registry or repository is asked.
    pub debounce: Duration,
    /// Who may send webhooks, with unique names.
    pub webhooks: Vec<SourceSettings>,
}

impl ServerSettings {
    /// A server that only this machine reaches, on any free port, and without webhooks.
    #[must_use]
    pub fn on_loopback() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: None,
            trusted_proxy: None,
            badges: Audience::Private,
            debounce: Duration::from_secs(1),
            webhooks: Vec::new(),
        }
    }
}

/// A proxy in front of the web server that logs people in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxySettings {
    /// The header in which it says whom it has logged in, in lower case. It must remove the header from what it is sent.
    pub header: String,
    /// Where it sends from; at least one.
    pub networks: Vec<Network>,
}

/// Addresses with a common beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The first of them.
    pub address: IpAddr,
    /// How many bits are common.
    pub bits: u8,
}

impl Network {
    /// Whether an address is one of them. An IPv4 address within IPv6 counts as what it stands for.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(four) => (u128::from(u32::from(four)) << 96, 32),
            IpAddr::V6(six) => (u128::from(six), 128),
        };
        let ((own, size), (other, other_size)) = (bits(self.address), bits(address));
        let apart = u32::from(self.bits);
        size == other_size && (own ^ other).checked_shr(128 - apart).unwrap_or(0) == 0
    }
}

/// Who may read something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// Whoever may read the page.
    #[default]
    Private,
    /// Everybody who reaches the server.
    Public,
}

/// The dead man's switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// The URL to request after each good cycle.
    pub url: Address,
    /// Certificates to trust for it.
    pub ca_file: Option<PathBuf>,
}
