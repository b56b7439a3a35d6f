//! From settings to a bot that can run: reads secrets, creates clients and mirrors.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use crate::cluster::{Leases, Now};
use crate::config::{
    ClientCertificateSource, ClusterSettings, ConfigError, CredentialSource, Environment, PolicySource, Registries,
    RegistrySettings, RepositorySettings, SecretError, SecretSource, Settings, SigningKind, default_state_dir, load,
    parse_policy_files,
};
use crate::document::secret::ReadSecrets;
use crate::forge::{Forge, LenderOpening, Opening, PullError};
use crate::git::{
    ClientCertificate, CommitSigner, GitCredentials, GitError, KeyError, KeyFile, LendsToken, Mirror, RemoteSettings,
    RemoteUrl,
};
use crate::model::{NameError, one_line};
use crate::notify::SinkSettings;
use crate::policy::Policy;
use crate::registry::{
    HostSettings, Limits, LoginOpening, LoginSettings, LoginTools, RegistryClient, RegistryError, RegistryLogin,
};
use crate::store::{Store, StoreError};
use crate::verify::{TrustedRoot, TrustedRootError};
use crate::webhooks::SourceError;

use crate::daemon::clock::Clock;
use crate::daemon::pull_secrets::ClusterSecrets;
use crate::daemon::pulls::Pulls;
use crate::daemon::queries::Lookup;
use crate::daemon::replicas::{Replicas, Sharing};
use crate::daemon::repository::Repository;
use crate::daemon::run::Bot;
use crate::daemon::tracker::{Tracker, TrackerSetup};

/// Maximum time for one Git operation on a remote; a first fetch brings the whole history.
const GIT_TIMEOUT: Duration = Duration::from_secs(600);

/// Maximum time for one call to a forge.
const FORGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a bot cannot be set up from these settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A secret is not where the configuration says.
    #[error("the {what} cannot be read")]
    Secret {
        /// What it is for.
        what: String,
        /// Why.
        source: SecretError,
    },
    /// A file named in the configuration cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key that is not in a file cannot be passed to ssh.
    #[error("the ssh key of repository {repository} cannot be held in memory")]
    Key {
        /// The repository's name.
        repository: String,
        /// Why.
        source: std::io::Error,
    },
    /// There is no folder for the cache.
    #[error("there is no folder for the cache: set `stateDir` in the configuration")]
    NoStateDir,
    /// The address of a repository is invalid.
    #[error("repository {repository} cannot be used")]
    Address {
        /// The repository's name.
        repository: String,
        /// Why.
        source: NameError,
    },
    /// Policies next to the configuration cannot be used.
    #[error("the policies of repository {repository} cannot be used")]
    Policies {
        /// The repository's name.
        repository: String,
        /// Why.
        source: Box<ConfigError>,
    },
    /// The mirror of a repository cannot be opened.
    #[error("the mirror of repository {repository} cannot be opened")]
    Mirror {
        /// The repository's name.
        repository: String,
        /// Why.
        source: Box<GitError>,
    },
    /// A registry cannot be logged in to.
    #[error("the credentials for {of} cannot be used: {reason}")]
    Login {
        /// Which registry.
        of: String,
        /// Why.
        reason: String,
    },
    /// A key cannot sign.
    #[error("the {what} cannot be used")]
    Signing {
        /// Whose key.
        what: String,
        /// Why.
        source: KeyError,
    },
    /// A source of webhooks cannot be used.
    #[error("webhook source {name} cannot be used")]
    Webhook {
        /// Its name.
        name: String,
        /// Why.
        source: SourceError,
    },
    /// The client for registries cannot be created.
    #[error("the registry client cannot be made")]
    Registry(#[source] Box<RegistryError>),
    /// The client for a forge cannot be created.
    #[error("the forge of repository {repository} cannot be used")]
    Forge {
        /// The repository's name.
        repository: String,
        /// Why.
        source: Box<PullError>,
    },
    /// The trusted root of keyless signatures cannot be used.
    #[error("signatures cannot be checked against {}", path.display())]
    TrustedRoot {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TrustedRootError,
    },
    /// The cache cannot be opened.
    #[error("the cache cannot be opened")]
    Store(#[source] StoreError),
}

/// Sets up the bot of a configuration. No remote is contacted yet.
///
/// # Errors
/// If a secret or file is missing, or the state folder cannot be used.
pub async fn bot(settings: &Settings, environment: &Environment, clock: Clock) -> Result<Bot, SetupError> {
    let state = state_dir(settings, environment)?;
    let lookup = lookup(&settings.registries, &settings.clusters, Some(&state), environment, clock.clone())?;
    let lookup = lookup.trusting(trusted_root(settings)?);
    let mut repositories = Vec::new();
    for repository in &settings.repositories {
        repositories.push(self::repository(repository, &state, environment).await?);
    }
    let debounce = settings.server.as_ref().map_or(Duration::ZERO, |server| server.debounce);
    Ok(Bot::new(repositories, lookup, clock).gathering_hints(debounce))
}

/// Starts the tracker, which watches clusters and notifies `sinks`, with the bot's own client of the registries.
///
/// # Errors
/// If a secret or certificate cannot be read.
pub fn tracker(
    settings: &Settings,
    environment: &Environment,
    clock: Clock,
    lookup: Arc<Lookup>,
    sinks: Vec<SinkSettings>,
) -> Result<Arc<Tracker>, SetupError> {
    tracker_of(settings, environment, clock, (lookup, None), sinks)
}

/// As [`tracker`], of one of several replicas.
///
/// # Errors
/// As there.
pub fn tracker_of(
    settings: &Settings,
    environment: &Environment,
    clock: Clock,
    (lookup, replicas): (Arc<Lookup>, Option<Arc<Replicas>>),
    sinks: Vec<SinkSettings>,
) -> Result<Arc<Tracker>, SetupError> {
    Ok(Tracker::start(TrackerSetup {
        clusters: super::clusters::clusters(&settings.clusters, environment)?,
        sinks,
        heartbeat: super::sinks::heartbeat(settings, environment)?,
        rules: super::sinks::incident_rules(settings),
        lookup,
        clock,
        state: state_dir(settings, environment).ok(),
        replicas,
    }))
}

/// This process as one of several replicas, if the configuration says that there are several. Nothing is contacted yet.
///
/// # Errors
/// If the environment variable of a kubeconfig is not set.
pub fn sharing(settings: &Settings, environment: &Environment, clock: &Clock) -> Result<Option<Sharing>, SetupError> {
    let Some(replicas) = &settings.replicas else { return Ok(None) };
    let named = ClusterSettings {
        name: "the replicas".to_owned(),
        kubeconfig: replicas.kubeconfig.clone(),
        context: replicas.context.clone(),
        environments: Vec::new(),
        namespaces: Vec::new(),
    };
    let access = super::clusters::cluster(&named, environment)?;
    let clock = clock.clone();
    let leases = Leases::new(&access, replicas.namespace.clone(), Now::new(move || clock.now()));
    // In a pod, the name of the machine is the pod's; the rest tells a restarted container from the one before.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(one_line(host.trim(), 200)).filter(|host| !host.is_empty());
    let identity = format!("{}-{:08x}", host.as_deref().unwrap_or("landfall"), fastrand::u32(..));
    let repositories = settings.repositories.iter().map(|it| (it.name.as_str(), it.url.as_str()));
    Ok(Some(Sharing { replicas: Replicas::new(identity, replicas.duration, repositories), leases }))
}

/// The client of all registries; without a state folder, nothing is cached across restarts.
///
/// # Errors
/// If a secret or certificate cannot be read, or the cache cannot be opened.
pub fn lookup(
    registries: &Registries,
    clusters: &[ClusterSettings],
    state: Option<&Path>,
    environment: &Environment,
    clock: Clock,
) -> Result<Lookup, SetupError> {
    let (time, clusters) = (clock.clone(), super::clusters::clusters(clusters, environment)?);
    let of_clusters = clock.clone();
    let secrets = ClusterSecrets::new(clusters, &Now::new(move || of_clusters.now()));
    let tools = LoginTools::new(move || time.now(), secrets);
    let login = registries.login.as_ref().map(|login| self::login(login, "", environment, &tools)).transpose()?;
    let made = |registry| {
        let mut host = host(registry, environment, &tools)?;
        host.login = host.login.or_else(|| login.clone());
        Ok(host)
    };
    let hosts = registries.hosts.iter().map(made).collect::<Result<Vec<_>, SetupError>>()?;
    let client =
        RegistryClient::new(hosts, Limits::default()).map_err(|error| SetupError::Registry(Box::new(error)))?;
    let client = client.logging_in(login);
    let client = match &registries.allowed {
        Some(allowed) => client.allowing(allowed.iter().cloned()),
        None => client,
    };
    let store = match state {
        None => Store::in_memory(),
        Some(state) => match Store::open(&state.join("cache.redb")) {
            // Another instance uses the same folder, a directory is in its place, permission is missing: everything
            // works without a cache, only slower.
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
                tracing::warn!("{error}{cause}; continuing without a cache of its own");
                Store::in_memory()
            }
            opened => opened,
        },
    };
    let store = store.map_err(SetupError::Store)?;
    if let Some(note) = store.note() {
        tracing::warn!("{note}");
    }
    Ok(Lookup::new(client, store, clock))
}

/// What keyless signatures are checked against: the operator's file, or Sigstore's public instance as this version knows it.
///
/// # Errors
/// If the file cannot be read, or is no trusted root.
pub fn trusted_root(settings: &Settings) -> Result<TrustedRoot, SetupError> {
    let Some(path) = &settings.trusted_root else {
        let path = PathBuf::from("trusted_root.json of this version");
        return TrustedRoot::public().map_err(|source| SetupError::TrustedRoot { path, source });
    };
    let wrong = |source| SetupError::File { path: path.clone(), source };
    let text = String::from_utf8(file(path)?).map_err(|_| wrong(std::io::Error::other("it is not UTF-8 text")))?;
    TrustedRoot::parse(&text).map_err(|source| SetupError::TrustedRoot { path: path.clone(), source })
}

/// One repository, with its mirror below the state folder.
///
/// # Errors
/// If a secret or file is missing, or the mirror cannot be opened.
pub async fn repository(
    settings: &RepositorySettings,
    state: &Path,
    environment: &Environment,
) -> Result<Repository, SetupError> {
    let name = settings.name.clone();
    let url =
        RemoteUrl::parse(&settings.url).map_err(|source| SetupError::Address { repository: name.clone(), source })?;
    let credentials = match &settings.credentials {
        None => lent(settings, &url, environment)?,
        Some(source) => git_credentials(source, &name, state, environment)?,
    };
    let remote = RemoteSettings {
        url,
        credentials,
        ca_file: settings.ca_file.clone(),
        client_certificate: git_certificate(settings, environment)?,
        timeout: settings.timeout.unwrap_or(GIT_TIMEOUT),
    };
    let mirror = Mirror::open(&state.join("repositories").join(&name), remote)
        .await
        .map_err(|source| SetupError::Mirror { repository: name.clone(), source: Box::new(source) })?
        .signing(signer(settings, environment)?);
    let repository = equipped(settings, mirror, environment)?;
    repository.mirror().made_by(repository.pulls().forge().maker());
    Ok(repository)
}

/// Without credentials of its own, Git has the tokens that an app of the forge lends, if the forge serves this very address.
fn lent(
    settings: &RepositorySettings,
    url: &RemoteUrl,
    environment: &Environment,
) -> Result<GitCredentials, SetupError> {
    let page = settings.forge.commit_page().and_then(|page| RemoteUrl::parse(&page).ok());
    if page.as_ref().and_then(RemoteUrl::origin).is_none_or(|served| url.origin() != Some(served)) {
        return Ok(GitCredentials::None);
    }
    Ok(lender(settings, environment)?.map_or(GitCredentials::None, GitCredentials::Lent))
}

/// Who lends tokens for the forge of a repository, where the bot comes as an app.
pub(in crate::daemon) fn lender(
    settings: &RepositorySettings,
    environment: &Environment,
) -> Result<Option<Arc<dyn LendsToken>>, SetupError> {
    let secrets = forge_secrets(settings, environment)?;
    let ca_pem = settings.ca_file.as_deref().map(file).transpose()?;
    let timeout = settings.timeout.unwrap_or(FORGE_TIMEOUT).min(FORGE_TIMEOUT);
    let identity_pem = identity(settings.client_certificate.as_ref(), &settings.name, environment)?;
    let (ca_pem, identity_pem) = (ca_pem.as_deref(), identity_pem.as_deref());
    let opening = LenderOpening { secrets: &secrets, environment, ca_pem, identity_pem, timeout };
    let lender = settings.forge.lender(&opening);
    lender.map_err(|source| SetupError::Forge { repository: settings.name.clone(), source: Box::new(source) })
}

fn forge_secrets(settings: &RepositorySettings, environment: &Environment) -> Result<ReadSecrets, SetupError> {
    ReadSecrets::read(settings.forge.secrets(), environment).map_err(|(what, source)| SetupError::Secret {
        what: format!("{what} of repository {}", settings.name),
        source,
    })
}

/// Checks that a bot, its tracker and its receivers could be set up from the inputs as they are now, next to one that runs with these
/// mirrors; nothing is opened that only one of them may have.
///
/// # Errors
/// As [`bot`] would fail.
pub fn check(
    settings: &Settings,
    environment: &Environment,
    clock: Clock,
    mirrors: &[Mirror],
) -> Result<(), SetupError> {
    drop(lookup(&settings.registries, &settings.clusters, None, environment, clock)?);
    drop(trusted_root(settings)?);
    for (repository, mirror) in settings.repositories.iter().zip(mirrors) {
        drop(signer(repository, environment)?);
        drop(equipped(repository, mirror.clone(), environment)?);
    }
    drop(super::sinks::sinks(settings, environment)?);
    drop(super::sinks::heartbeat(settings, environment)?);
    drop(super::webhooks::webhook_sources(settings, environment)?);
    drop(super::webhooks::server_token(settings, environment)?);
    super::clusters::clusters(&settings.clusters, environment).map(drop)
}

/// A repository with its mirror, its forge and the policies next to the configuration.
fn equipped(
    settings: &RepositorySettings,
    mirror: Mirror,
    environment: &Environment,
) -> Result<Repository, SetupError> {
    let name = settings.name.clone();
    let secrets = forge_secrets(settings, environment)?;
    let ca_pem = settings.ca_file.as_deref().map(file).transpose()?;
    let identity_pem = identity(settings.client_certificate.as_ref(), &name, environment)?;
    let opening = Opening {
        repository: &name,
        secrets: &secrets,
        environment,
        ca_pem: ca_pem.as_deref(),
        identity_pem: identity_pem.as_deref(),
        timeout: settings.timeout.unwrap_or(FORGE_TIMEOUT).min(FORGE_TIMEOUT),
        mirror: &mirror,
        author: &settings.author,
        committer: &settings.committer,
    };
    let forge = Forge::open(&settings.forge, &opening)
        .map_err(|source| SetupError::Forge { repository: name.clone(), source: Box::new(source) })?;
    let given = given_policies(settings)?;
    Ok(Repository::new(settings.clone(), mirror, Pulls::new(forge, &name), given))
}

/// The folder for the cache; it is created if it is missing.
///
/// # Errors
/// If there is none, or it cannot be created.
pub fn state_dir(settings: &Settings, environment: &Environment) -> Result<PathBuf, SetupError> {
    let state = settings.state_dir.clone().or_else(|| default_state_dir(environment)).ok_or(SetupError::NoStateDir)?;
    make_private(&state).map_err(|source| SetupError::File { path: state.clone(), source })?;
    Ok(state)
}

/// Makes the folder private: it holds mirrors of private repositories and answers of registries. A folder that is meant
/// to be shared (with its sticky or group bit set, or owned by another user, such as a volume) keeps its mode; what the
/// bot creates in it is private in any case.
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};

    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let there = std::fs::metadata(folder)?;
    let mode = there.permissions().mode();
    let is_shared = mode & 0o3000 != 0 || there.uid() != rustix::process::geteuid().as_raw();
    if mode & 0o077 != 0
        && !is_shared
        && let Err(error) = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
    {
        tracing::warn!("others can read {}: {error}; next: make it the bot's own, mode 700", folder.display());
    }
    Ok(())
}

/// What signs the commits of a repository.
fn signer(settings: &RepositorySettings, environment: &Environment) -> Result<Option<CommitSigner>, SetupError> {
    let Some(signing) = &settings.signing else { return Ok(None) };
    let what = format!("signing key of repository {}", settings.name);
    let key = secret(&signing.key, &what, environment)?;
    let made = match signing.kind {
        SigningKind::Ssh => CommitSigner::ssh(&key, &signing.former),
        SigningKind::Gpg => CommitSigner::pgp(&key, &signing.former),
    };
    made.map(Some).map_err(|source| SetupError::Signing { what, source })
}

fn given_policies(settings: &RepositorySettings) -> Result<Option<Vec<Policy>>, SetupError> {
    let PolicySource::File(path) = &settings.policies else { return Ok(None) };
    let failed = |source| SetupError::Policies { repository: settings.name.clone(), source: Box::new(source) };
    let files = load::policy_files(path).map_err(failed)?;
    let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let (policies, diagnostics) = parse_policy_files(texts);
    if diagnostics.iter().any(crate::config::Diagnostic::is_error) {
        let text = files.iter().find(|(name, _)| diagnostics.iter().any(|d| d.file == *name));
        let text = text.map(|(_, text)| text.clone()).unwrap_or_default();
        return Err(failed(ConfigError::Invalid { path: path.clone(), text, diagnostics }));
    }
    // Pull requests name the files as people know them, without the bot's own folders.
    let public: Vec<(String, &str)> =
        files.iter().map(|(name, text)| (public_name(path, name), text.as_str())).collect();
    drop(policies);
    Ok(Some(parse_policy_files(public.iter().map(|(name, text)| (name.as_str(), *text))).0))
}

/// A policy file's name below the policies' folder.
fn public_name(folder: &Path, file: &str) -> String {
    let below = folder.parent().and_then(|parent| Path::new(file).strip_prefix(parent).ok());
    below.unwrap_or(Path::new(file)).to_string_lossy().into_owned()
}

fn host(
    registry: &RegistrySettings,
    environment: &Environment,
    tools: &LoginTools,
) -> Result<HostSettings, SetupError> {
    let mut host = HostSettings::new(registry.host.clone());
    host.mirrors.clone_from(&registry.mirrors);
    host.plain_http = registry.plain_http;
    host.ca_pem = registry.ca_file.as_deref().map(file).transpose()?;
    host.identity_pem = identity(registry.client_certificate.as_ref(), &registry.host, environment)?;
    host.max_requests = Some(registry.max_requests);
    host.token_realms.clone_from(&registry.token_realms);
    host.timeout = registry.timeout;
    let login = registry.login.as_ref();
    host.login = login.map(|login| self::login(login, &registry.host, environment, tools)).transpose()?;
    Ok(host)
}

/// A certificate and its key, one after the other.
fn identity(
    source: Option<&ClientCertificateSource>,
    of: &str,
    environment: &Environment,
) -> Result<Option<Vec<u8>>, SetupError> {
    let Some(source) = source else { return Ok(None) };
    let key = secret(&source.key, &format!("key of the client certificate for {of}"), environment)?;
    let mut pem = file(&source.file)?;
    pem.push(b'\n');
    pem.extend_from_slice(key.expose_secret().as_bytes());
    Ok(Some(pem))
}

/// The same for Git, which reads both from files.
fn git_certificate(
    settings: &RepositorySettings,
    environment: &Environment,
) -> Result<Option<ClientCertificate>, SetupError> {
    let Some(source) = &settings.client_certificate else { return Ok(None) };
    let what = format!("key of the client certificate for {}", settings.name);
    let key = KeyFile::holding(&secret(&source.key, &what, environment)?);
    let key = key.map_err(|source| SetupError::Key { repository: settings.name.clone(), source })?;
    Ok(Some(ClientCertificate { certificate: source.file.clone(), key }))
}

/// The login of a registry; of all that have none of their own where `host` is empty.
fn login(
    login: &LoginSettings,
    host: &str,
    environment: &Environment,
    tools: &LoginTools,
) -> Result<RegistryLogin, SetupError> {
    let of = if host.is_empty() { "registries".to_owned() } else { format!("registry {host}") };
    let secrets = ReadSecrets::read(login.secrets(), environment)
        .map_err(|(what, source)| SetupError::Secret { what: format!("{what} for {of}"), source })?;
    let opening = LoginOpening { host, secrets: &secrets, environment, tools };
    RegistryLogin::open(login, &opening).map_err(|reason| SetupError::Login { of, reason })
}

fn git_credentials(
    source: &CredentialSource,
    name: &str,
    state: &Path,
    environment: &Environment,
) -> Result<GitCredentials, SetupError> {
    let what = format!("credentials for repository {name}");
    Ok(match source {
        CredentialSource::Basic { username, password } => {
            GitCredentials::Basic { username: username.clone(), password: secret(password, &what, environment)? }
        }
        CredentialSource::Token(token) => GitCredentials::Token(secret(token, &what, environment)?),
        CredentialSource::SshKey { key, known_hosts } => {
            let key = match key {
                SecretSource::File(path) => KeyFile::from(path.clone()),
                SecretSource::Env(_) => {
                    // The place where earlier versions stored it.
                    let _gone = std::fs::remove_file(state.join(format!("{name}.key")));
                    KeyFile::holding(&secret(key, &what, environment)?)
                        .map_err(|source| SetupError::Key { repository: name.to_owned(), source })?
                }
            };
            GitCredentials::SshKey { key, known_hosts: known_hosts.clone() }
        }
    })
}

pub(super) fn secret(
    source: &SecretSource,
    what: &str,
    environment: &Environment,
) -> Result<secrecy::SecretString, SetupError> {
    source.read(environment).map_err(|error| SetupError::Secret { what: what.to_owned(), source: error })
}

pub(super) fn file(path: &Path) -> Result<Vec<u8>, SetupError> {
    std::fs::read(path).map_err(|source| SetupError::File { path: path.to_owned(), source })
}
