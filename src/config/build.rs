//! From the raw configuration to [`Settings`], collecting everything that is wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::model::{BranchName, Identity, RepoPath};
use crate::policy::{Cap, ImagePattern, MessageTemplate, MessageTemplates, PathPattern, Schedule, TemplateUse, Write};

use super::at::At;
use super::decode::decode;
use super::diagnostic::Diagnostic;
use super::fault::{Mark, Sink};
use super::policies::{promote_from, verify, windows};
use super::settings::{
    ClientCertificateSource, ClusterSettings, PolicySource, Registries, RegistrySettings, ReplicaSettings,
    RepositorySettings, Settings, SigningKind, SigningSettings, Trigger,
};
use super::{raw, value, yaml};
use crate::document::check::{Check, optional};
use crate::document::secret::CredentialSource;
use crate::document::word_or::WordOr;
use crate::forge::ForgeSettings;
use crate::notify::{Deployments, StatusNeed};
use crate::registry::LoginSettings;

/// How long a replica may be silent unless the configuration says otherwise: as long as Kubernetes' own controllers.
const DEFAULT_LEASE: Duration = Duration::from_secs(15);
/// The bounds of it: with less, an API server that is slow for a moment would stop the bot.
const LEASE: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(600);

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_BRANCH: &str = "main";
const DEFAULT_POLICIES: &str = ".landfall";
const DEFAULT_REQUESTS: usize = 8;
const MAX_REQUESTS: u32 = 256;

/// Parses the text of a configuration; `file_name` is its name in diagnostics, `folder` the base of relative paths.
///
/// The settings are returned only if no diagnostic is an error.
pub(super) fn parse_settings(file_name: &str, text: &str, folder: &Path) -> (Option<Settings>, Vec<Diagnostic>) {
    let mut sink = Sink::new(file_name);
    let settings = match yaml::parse(text) {
        Ok(root) => {
            let (config, faults) = decode::<raw::Config>(&root);
            sink.shape(faults);
            config.and_then(|config| Check { sink: &mut sink, folder }.settings(&config))
        }
        Err(fault) => {
            sink.fault(fault);
            None
        }
    };
    let diagnostics = sink.finish();
    let usable = !diagnostics.iter().any(Diagnostic::is_error);
    (settings.filter(|_| usable), diagnostics)
}

impl Check<'_, '_> {
    fn settings(&mut self, raw: &raw::Config) -> Option<Settings> {
        if raw.repositories.value.is_empty() {
            self.sink.absent(raw.repositories.mark, "at least one repository is needed");
        }
        self.unique("repository", raw.repositories.value.iter().map(|at| &at.value.name), str::to_owned);
        self.unique("registry", raw.registries.iter().map(|at| &at.value.host), |host| {
            value::registry_host(host).unwrap_or_else(|_| host.to_owned())
        });
        self.unique("cluster", raw.clusters.iter().map(|at| &at.value.name), str::to_owned);
        self.unique("receiver", raw.notify.iter().map(|at| &at.value.common.name), str::to_owned);
        let interval = self.trigger(raw);
        let state_dir = self.path(raw.state_dir.as_ref());
        let repositories = raw.repositories.value.iter().filter_map(|at| self.repository(at)).collect();
        let registries = self.registries(raw);
        let clusters = raw.clusters.iter().filter_map(|at| self.cluster(at)).collect();
        let replicas = optional(raw.replicas.as_ref(), |at| self.replicas(at));
        let notify = raw.notify.iter().filter_map(|at| self.receiver(at)).collect();
        let runbooks = raw.runbooks.as_ref().and_then(|at| self.text(at, value::runbooks));
        let heartbeat = raw.heartbeat.as_ref().and_then(|at| self.heartbeat(at));
        let server = raw.server.as_ref().and_then(|at| self.server(at));
        let trusted_root = raw.signatures.as_ref().and_then(|at| self.path(at.value.trusted_root.as_ref()));
        let (interval, replicas) = (interval?, replicas?);
        let settings = Settings {
            interval,
            state_dir,
            repositories,
            registries,
            trusted_root,
            clusters,
            replicas,
            notify,
            runbooks,
            heartbeat,
            server,
        };
        self.somewhere_to_post(raw, &settings);
        Some(settings)
    }

    /// Statuses need a repository whose forge takes them.
    fn somewhere_to_post(&mut self, raw: &raw::Config, settings: &Settings) {
        let apis = || settings.repositories.iter().filter_map(|it| Some((&it.name, it.forge.statuses()?.deployments)));
        for receiver in &settings.notify {
            let Some(at) = raw.notify.iter().find(|at| at.value.common.name.value == receiver.name) else { continue };
            match receiver.kind.needs() {
                StatusNeed::Statuses | StatusNeed::StatusesAndDeployments if apis().next().is_none() => {
                    self.sink.absent(
                        at.value.said,
                        "`kind: forge` needs a repository with a forge that takes statuses of commits",
                    );
                }
                StatusNeed::OwnDeployments if !apis().any(|(_, has)| matches!(has, Deployments::OfItsReceiver)) => {
                    self.sink.absent(at.value.said, "`kind: github` needs a repository with `forge: { kind: github }`");
                }
                StatusNeed::StatusesAndDeployments => {
                    for (name, has) in apis() {
                        let (why, hint) = match has {
                            Deployments::Posted(_) => continue,
                            Deployments::OfItsReceiver => {
                                ("needs `kind: github` for deployments", "add a receiver `kind: github`")
                            }
                            Deployments::None => ("has no deployments of others", "only statuses are posted there"),
                        };
                        self.sink.warning(at.value.said, format!("the forge of repository `{name}` {why}"), hint);
                    }
                }
                StatusNeed::None | StatusNeed::Statuses | StatusNeed::OwnDeployments => {}
            }
        }
    }

    pub(super) fn unique<'c>(
        &mut self,
        what: &str,
        names: impl Iterator<Item = &'c At<String>>,
        canonical: impl Fn(&str) -> String,
    ) {
        let mut seen: BTreeMap<String, Mark> = BTreeMap::new();
        for name in names {
            if let Some(first) = seen.insert(canonical(&name.value), name.mark) {
                self.sink.error(name.mark, format!("another {what} is named `{}`, in line {}", name.value, first.line));
            }
        }
    }

    fn trigger(&mut self, raw: &raw::Config) -> Option<Trigger> {
        match (&raw.interval, &raw.schedule) {
            (Some(_), Some(schedule)) => {
                let message = "`schedule` and `interval` are both set";
                self.sink.error_with_hint(schedule.mark, message, "keep one of them");
                None
            }
            (None, Some(at)) => {
                Some(Trigger::Cron(self.sink.read(at, |text| Schedule::parse(text, TimeZone::UTC))?.value))
            }
            (Some(at), None) => Some(Trigger::Every(self.sink.read(at, |text| value::duration(text))?.value)),
            (None, None) => Some(Trigger::Every(DEFAULT_INTERVAL)),
        }
    }

    fn repository(&mut self, at: &At<raw::Repository>) -> Option<RepositorySettings> {
        let raw = &at.value;
        let folder = self.folder;
        let name = self.text(&raw.name, value::name);
        let url = self.text(&raw.url, |text| value::remote(text, folder));
        let branch = match &raw.branch {
            None => BranchName::parse(DEFAULT_BRANCH).ok(),
            Some(at) => self.text(at, BranchName::parse),
        };
        let branches = raw.branches.iter().filter_map(|at| self.text(at, BranchName::parse)).collect();
        let credentials = raw.credentials.as_ref().and_then(|at| {
            let credentials = self.credentials(at)?;
            self.suits(&credentials, url.as_deref()?, at.mark);
            Some(credentials)
        });
        let aliases = raw.aliases.iter().filter_map(|at| self.text(at, value::alias)).collect();
        let ca_file = self.path(raw.ca_file.as_ref());
        let client_certificate = optional(raw.client_certificate.as_ref(), |at| self.client_certificate(&at.value));
        let timeout = raw.timeout.as_ref().and_then(|at| self.text(at, value::duration));
        let author = self.author(raw.author.as_ref());
        let forge = raw.forge.as_ref().map_or(Some(ForgeSettings::default()), |at| at.value.kind.check(at.mark, self));
        let by_forge = forge.as_ref().and_then(ForgeSettings::commits_as);
        if by_forge.is_some() {
            self.made_by_forge(raw);
        }
        let committer = match &raw.committer {
            Some(at) => self.author(Some(at)),
            None => by_forge.or_else(|| author.clone()),
        };
        let messages = raw.messages.as_ref().map(|at| self.messages(&at.value)).unwrap_or_default();
        let signing = optional(raw.signing.as_ref(), |at| self.signing(at));
        let policies = self.policies(raw.policies.as_ref());
        let caps = raw.caps.iter().filter_map(|at| self.cap(at)).collect();
        Some(RepositorySettings {
            name: name?,
            url: url?,
            aliases,
            branch: branch?,
            branches,
            branch_given: raw.branch.is_some(),
            credentials,
            ca_file,
            client_certificate: client_certificate?,
            timeout,
            author: author?,
            committer: committer?,
            messages,
            signing: signing?,
            forge: forge?,
            policies: policies?,
            caps,
        })
    }

    /// What goes with commits that the forge makes: whose they are is known by the author's address, and the forge signs.
    fn made_by_forge(&mut self, raw: &raw::Repository) {
        if raw.author.is_none()
            && let Some(forge) = &raw.forge
        {
            self.sink.absent(
                forge.mark,
                "`commits: api` needs the repository's `author`: the name and address that the forge gives to the bot's commits, as { name: \"landfall-acme[bot]\", email: \"ID+landfall-acme[bot]@users.noreply.github.com\" }",
            );
        }
        if let Some(signing) = &raw.signing {
            self.sink.error(
                signing.mark,
                "`signing` and `commits: api` are both set: commits have one signature; leave out one of them",
            );
        }
    }

    /// Credentials that the remote's transport cannot use are a mistake that would look like a refused login.
    fn suits(&mut self, credentials: &CredentialSource, url: &str, mark: Mark) {
        let http = url.starts_with("http://") || url.starts_with("https://");
        let key = matches!(credentials, CredentialSource::SshKey { .. });
        if url.starts_with('/') {
            self.sink.error(mark, "`url` is a path, which needs no credentials");
        } else if http && key {
            self.sink
                .error(mark, "`sshKey` is for ssh, but `url` is http(s): use `username` and `password`, or `token`");
        } else if !http && !key {
            self.sink.error(mark, "`url` is ssh: use `sshKey`");
        }
    }

    fn author(&mut self, at: Option<&At<raw::Author>>) -> Option<Identity> {
        let Some(at) = at else {
            return Some(Identity { name: "Landfall".to_owned(), email: "landfall@localhost".to_owned() });
        };
        let name = self.text(&at.value.name, value::identity);
        let email = self.text(&at.value.email, value::identity);
        Some(Identity { name: name?, email: email? })
    }

    fn messages(&mut self, raw: &WordOr<raw::MessageStyle, raw::Messages>) -> MessageTemplates {
        let raw = match raw {
            WordOr::Word(raw::MessageStyle::Conventional) => return MessageTemplates::conventional(),
            WordOr::Keys(raw) => raw,
        };
        let mut read = |at: Option<&At<String>>, to| self.text(at?, |text| MessageTemplate::parse(text, to));
        MessageTemplates {
            commit: read(raw.commit.as_ref(), TemplateUse::Commit),
            title: read(raw.title.as_ref(), TemplateUse::Title),
            body: read(raw.body.as_ref(), TemplateUse::Body),
            sign_off: raw.sign_off.as_ref().is_some_and(|at| at.value),
        }
    }

    fn client_certificate(&mut self, raw: &raw::ClientCertificate) -> Option<ClientCertificateSource> {
        let (file, key) = (self.path(Some(&raw.file)), self.secret(&raw.key));
        Some(ClientCertificateSource { file: file?, key: key? })
    }

    fn signing(&mut self, at: &At<raw::Signing>) -> Option<SigningSettings> {
        let raw = &at.value;
        let (kind, key) = match (&raw.ssh_key, &raw.gpg_key) {
            (Some(key), None) => (SigningKind::Ssh, key),
            (None, Some(key)) => (SigningKind::Gpg, key),
            _ => {
                self.sink.error(at.mark, "name one key to sign with: `sshKey` or `gpgKey`");
                return None;
            }
        };
        let key = self.secret(key);
        let former = raw.former_keys.iter();
        let former = match kind {
            SigningKind::Ssh => former.filter_map(|at| self.text(at, value::line)).collect(),
            // Armour has lines; what is in it is checked where it is read.
            SigningKind::Gpg => former.map(|at| at.value.clone()).collect(),
        };
        Some(SigningSettings { kind, key: key?, former })
    }

    fn policies(&mut self, at: Option<&At<raw::Policies>>) -> Option<PolicySource> {
        let in_repository = |path: RepoPath| PolicySource::InRepository { path };
        let Some(at) = at else {
            return RepoPath::parse(DEFAULT_POLICIES).ok().map(in_repository);
        };
        match (&at.value.path, &at.value.file) {
            (Some(path), None) => self.text(path, value::repo_folder).map(in_repository),
            (None, Some(_)) => self.path(at.value.file.as_ref()).map(PolicySource::File),
            _ => {
                let message =
                    "policies are in exactly one place: `path` in the repository, or `file` next to this file";
                self.sink.absent(at.mark, message);
                None
            }
        }
    }

    fn cap(&mut self, at: &At<raw::Cap>) -> Option<Cap> {
        let raw = &at.value;
        for (empty, mark) in
            [(raw.paths.value.is_empty(), raw.paths.mark), (raw.write.value.is_empty(), raw.write.mark)]
        {
            if empty {
                self.sink.error_with_hint(mark, "the list is empty", "to forbid all writing, use `write: [never]`");
            }
        }
        let paths: Vec<_> = raw.paths.value.iter().filter_map(|at| self.text(at, PathPattern::parse)).collect();
        let write = raw.write.value.clone();
        let images = raw.images.as_ref().map(|images| {
            if images.value.is_empty() {
                let hint = "to forbid all writing, use `write: [never]`";
                self.sink.error_with_hint(images.mark, "the list is empty", hint);
            }
            images.value.iter().filter_map(|at| self.text(at, ImagePattern::parse)).collect()
        });
        let registries = raw.registries.as_ref().map(|registries| {
            if registries.value.is_empty() {
                let hint = "to forbid all writing, use `write: [never]`";
                self.sink.error_with_hint(registries.mark, "the list is empty", hint);
            }
            registries.value.iter().filter_map(|at| self.text(at, value::registry_host)).collect()
        });
        let promote = raw.promote_from.as_ref().and_then(|at| promote_from(at, self.sink)).map(|promote| promote.value);
        let windows = raw.windows.as_ref().map(|at| windows(at, self.sink).value);
        let verify = raw.verify.as_ref().and_then(|at| verify(at, self.sink));
        let automerge = raw.automerge.as_ref().map_or(write.contains(&Write::Commit), |at| at.value);
        let minimum_release_age = raw.minimum_release_age.as_ref().and_then(|at| self.text(at, value::duration));
        Some(Cap {
            paths,
            write,
            automerge,
            approvals: raw.approvals.as_ref().map_or(0, |at| at.value),
            minimum_release_age,
            images: images.unwrap_or_default(),
            registries: registries.unwrap_or_default(),
            promote_from: promote,
            windows,
            rollback: raw.rollback.as_ref().is_none_or(|at| at.value),
            verify,
            key_paths: raw.key_paths.as_ref().is_some_and(|at| at.value),
            origin: self.sink.origin(at.mark),
        })
    }

    fn registries(&mut self, raw: &raw::Config) -> Registries {
        let hosts: Vec<_> = raw.registries.iter().filter_map(|at| self.registry(&at.value)).collect();
        let mirrors = || raw.registries.iter().flat_map(|at| &at.value.mirrors);
        self.unique("mirror", mirrors(), |mirror| value::mirror(mirror).unwrap_or_else(|_| mirror.to_owned()));
        for at in mirrors() {
            if hosts.iter().any(|registry| value::mirror(&at.value).is_ok_and(|mirror| mirror == registry.host)) {
                let message = "this host is a registry of its own in `registries`, so it cannot mirror all of another";
                self.sink.error_with_hint(at.mark, message, "add the path below which it mirrors, as in host/path");
            }
        }
        let allowed = raw.allowed_registries.as_ref();
        let allowed = allowed.map(|at| at.value.iter().filter_map(|at| self.text(at, value::registry_host)).collect());
        let login = raw.docker_config.as_ref().and_then(|at| self.secret(at)).map(LoginSettings::docker_config);
        Registries { hosts, login, allowed }
    }

    fn registry(&mut self, raw: &raw::Registry) -> Option<RegistrySettings> {
        let host = self.text(&raw.host, value::registry_host);
        let login = raw.credentials.as_ref().and_then(|at| at.value.0.check(self));
        let max_requests = match &raw.max_requests {
            None => DEFAULT_REQUESTS,
            Some(at) if (1..=MAX_REQUESTS).contains(&at.value) => at.value as usize,
            Some(at) => {
                self.sink.error(at.mark, format!("`maxRequests` must be from 1 to {MAX_REQUESTS}"));
                DEFAULT_REQUESTS
            }
        };
        let ca_file = self.path(raw.ca_file.as_ref());
        let client_certificate = optional(raw.client_certificate.as_ref(), |at| self.client_certificate(&at.value));
        if let (true, Some(at)) = (raw.plain_http, &raw.ca_file) {
            self.sink.error(at.mark, "`caFile` has no effect with `plainHttp: true`");
        }
        if let (true, Some(at)) = (raw.plain_http, &raw.client_certificate) {
            self.sink.error(at.mark, "`clientCertificate` has no effect with `plainHttp: true`");
        }
        let timeout = raw.timeout.as_ref().and_then(|at| self.text(at, value::duration));
        let mirrors = raw.mirrors.iter().filter_map(|at| self.text(at, value::mirror)).collect();
        let token_realms = raw.token_realms.iter().filter_map(|at| self.text(at, value::registry_host)).collect();
        Some(RegistrySettings {
            host: host?,
            mirrors,
            plain_http: raw.plain_http,
            ca_file,
            client_certificate: client_certificate?,
            login,
            token_realms,
            max_requests,
            timeout,
        })
    }

    fn replicas(&mut self, at: &At<raw::Replicas>) -> Option<ReplicaSettings> {
        let raw = &at.value;
        let namespace = optional(raw.namespace.as_ref(), |at| self.text(at, value::namespace));
        let duration = match &raw.duration {
            None => Some(DEFAULT_LEASE),
            Some(at) => self.text(at, |text| {
                value::duration(text).and_then(|time| match LEASE.contains(&time) {
                    true => Ok(time),
                    false => Err("`duration` must be from 5s to 10m".to_owned()),
                })
            }),
        };
        let kubeconfig = optional(raw.kubeconfig.as_ref(), |at| self.secret(at));
        let context = raw.context.as_ref().and_then(|at| self.text(at, value::line));
        if let (None, Some(context)) = (&raw.kubeconfig, &raw.context) {
            let hint = "without a kubeconfig the Leases are in the cluster that the bot runs in";
            self.sink.error_with_hint(context.mark, "`context` is only valid with `kubeconfig`", hint);
        }
        Some(ReplicaSettings { namespace: namespace?, duration: duration?, kubeconfig: kubeconfig?, context })
    }

    fn cluster(&mut self, at: &At<raw::Cluster>) -> Option<ClusterSettings> {
        let raw = &at.value;
        let name = self.text(&raw.name, value::name);
        // An invalid kubeconfig must not become the cluster that the bot runs in.
        let kubeconfig = optional(raw.kubeconfig.as_ref(), |at| self.secret(at));
        let context = raw.context.as_ref().and_then(|at| self.text(at, value::line));
        if let (None, Some(context)) = (&raw.kubeconfig, &raw.context) {
            let hint = "without a kubeconfig the bot watches the cluster that it runs in";
            self.sink.error_with_hint(context.mark, "`context` is only valid with `kubeconfig`", hint);
        }
        let environments = self.names(&raw.environments);
        self.unique("namespace", raw.namespaces.iter(), str::to_owned);
        let namespaces = raw.namespaces.iter().filter_map(|at| self.text(at, value::namespace)).collect();
        Some(ClusterSettings { name: name?, kubeconfig: kubeconfig?, context, environments, namespaces })
    }
}
