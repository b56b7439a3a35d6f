//! OCI distribution client: tags, digests and manifests of container registries.
//!
//! Promise: an answer is complete and checked, or it is an error that says which host, repository and request failed,
//! why, and what to do. A listing that fails on any page fails as a whole. Nothing that a registry sends makes a
//! request go where credentials do not belong, takes more time, memory or requests than [`Limits`] allow, or causes a
//! panic.
//!
//! Invariants:
//! - `Authorization` for a registry goes only to its own scheme, host and port, and to a token realm only if
//!   `realm::trusted_realm` holds; redirects and links never carry it elsewhere
//! - a host that the configuration does not name must be public, and so must everything a registry names, unless the
//!   registry itself is in a private network; this holds for every connection
//! - plain HTTP is used only if the settings say so, and https never turns into http
//! - hosts share nothing but a connection pool: concurrency, tokens and health belong to one host, and no lock that two
//!   hosts could need is held while waiting
//! - only GET and HEAD are sent, except to exchange tokens, so every request can be repeated
//!
//! Design: pure parts decide (`realm`, `challenge`, `token`; [`crate::http`] has what all edges need), `exchange`
//! sends, `authorization` logs in with what a `login` provides, `listing` and `manifest` know what to request.
//! oci-client provides the manifest types; its client does not page, retry or limit what it reads.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use crate::model::{ChartFiles, Digest, ImageName, Interest, Manifest, Quota, Scheme, SignatureDocument, Tag};

mod accepted;
mod authorization;
mod budget;
mod challenge;
mod error;
mod exchange;
mod helm;
mod host;
mod listing;
mod login;
mod manifest;
mod realm;
mod settings;
mod signatures;
mod token;

pub use crate::model::Validators;
pub use error::{Cause, RegistryError, RequestError};
pub(crate) use login::LoginConfig;
pub use login::{
    BasicLogin, LoginOpening, LoginSettings, LoginTools, NoPullSecret, PullSecretName, PullSecretReader, RegistryLogin,
    TokenLogin,
};
pub use settings::{HostSettings, Limits, TagsAnswer};
pub use signatures::SoughtDocuments;

use crate::http::{address, link, retry};
use exchange::Session;
use helm::{Chart, Indexes};
use host::{Clients, Failure, Host, Named};

/// A client for all registries. It can be used from many tasks at once; each host has its own limit of concurrent
/// operations.
#[derive(Debug)]
pub struct RegistryClient {
    limits: Limits,
    /// Hosts by canonical name; hosts without configuration are added when they are first used.
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    /// Those of them that the configuration names.
    configured: HashSet<String>,
    /// How to log in to hosts that have no login of their own.
    login: Option<RegistryLogin>,
    /// The only hosts used besides those configured; `None`: every public one.
    allowed: Option<HashSet<String>>,
    /// Mirror (`host` or `host/path`) → the mirrored host.
    mirrors: HashMap<String, String>,
    /// Clients for hosts without certificates of their own, by how the host became known and whether it is this
    /// machine.
    shared: Mutex<Vec<((Named, bool), Clients)>>,
    requests: AtomicU64,
    /// The indexes of Helm repositories.
    indexes: Indexes,
}

impl RegistryClient {
    /// A client with these hosts configured; all others are used over https, anonymously.
    ///
    /// # Errors
    /// If a host's settings cannot be used: an invalid or duplicate host name, unreadable certificates.
    pub fn new(hosts: Vec<HostSettings>, limits: Limits) -> Result<Self, RegistryError> {
        let mut client = Self {
            limits,
            hosts: Mutex::default(),
            configured: HashSet::new(),
            login: None,
            allowed: None,
            mirrors: HashMap::new(),
            shared: Mutex::default(),
            requests: AtomicU64::new(0),
            indexes: Indexes::default(),
        };
        for settings in hosts {
            let bad = |reason: &str| RegistryError::Settings { host: settings.host.clone(), reason: reason.to_owned() };
            // Names of images are canonical, and hosts are looked up by them.
            let name = ImageName::image(&format!("{}/a/b", settings.host)).ok();
            let name = name.filter(|name| name.repository() == "a/b");
            let name = name.ok_or_else(|| bad("it is not a registry host (such as registry.example.com:5000)"))?;
            let host = client.build(
                &HostSettings { host: name.registry().to_owned(), ..settings.clone() },
                Named::ByConfiguration,
            )?;
            let mirrors = settings.mirrors.into_iter().map(|mirror| (mirror, name.registry().to_owned()));
            client.mirrors.extend(mirrors);
            client.configured.insert(name.registry().to_owned());
            if client.lock().insert(name.registry().to_owned(), Arc::new(host)).is_some() {
                return Err(bad("it is configured twice"));
            }
        }
        Ok(client)
    }

    /// The same client, restricted to the configured hosts and these.
    #[must_use]
    pub fn allowing(self, hosts: impl IntoIterator<Item = String>) -> Self {
        Self { allowed: Some(hosts.into_iter().collect()), ..self }
    }

    /// The same client, with a login for hosts without configuration.
    #[must_use]
    pub fn logging_in(self, login: Option<RegistryLogin>) -> Self {
        Self { login, ..self }
    }

    /// Forgets what was learnt of every image but these: tokens, challenges, indexes, and hosts that only other images named.
    pub fn forget(&self, named: &BTreeSet<ImageName>) {
        let named: Vec<Cow<'_, ImageName>> = named.iter().map(|image| self.origin(image)).collect();
        self.indexes.forget(&named.iter().filter_map(|image| image.helm_repository()).collect());
        let mut by_host: HashMap<&str, HashSet<&str>> = HashMap::new();
        for image in &named {
            by_host.entry(image.registry()).or_default().insert(image.repository());
        }
        let none = HashSet::new();
        self.lock().retain(|name, host| {
            let repositories = by_host.get(name.as_str());
            host.forget(repositories.unwrap_or(&none));
            repositories.is_some() || self.configured.contains(name) || Arc::strong_count(host) > 1
        });
    }

    /// All tags of a repository; with `previous`, only checks whether they have changed, if the registry supports that.
    ///
    /// # Errors
    /// If there is no complete answer; [`RegistryError::is_absent`] if there is no such repository.
    pub async fn tags(&self, image: &ImageName, previous: Option<&Validators>) -> Result<TagsAnswer, RegistryError> {
        let (image, asked) = (&*self.origin(image), Instant::now());
        let host = self.host(image)?;
        let operation = Operation::begin(self, &host, image, "listing its tags".to_owned()).await?;
        let session = &operation.session;
        if let Some(repository) = image.helm_repository() {
            let chart = Chart { repository: &repository, name: image.short() };
            return operation.finish(helm::tags((session, &self.indexes), chart, (previous, asked))).await;
        }
        let answer = operation.finish(listing::tags(session, previous)).await?;
        Ok(if image.scheme() == Scheme::Oci { of_charts(answer) } else { answer })
    }

    /// The digest that a tag refers to now.
    ///
    /// # Errors
    /// If there is no valid answer; [`RegistryError::is_absent`] if there is no such tag.
    pub async fn resolve(&self, image: &ImageName, tag: &Tag) -> Result<Digest, RegistryError> {
        let image = &*self.origin(image);
        if image.helm_repository().is_some() {
            return Ok(self.manifest(image, tag).await?.digest);
        }
        let (host, tag) = (self.host(image)?, &tag.in_registry());
        let operation = Operation::begin(self, &host, image, format!("resolving tag {tag}")).await?;
        operation.finish(manifest::resolve(&operation.session, tag)).await
    }

    /// What a tag refers to now: this takes two to three requests, so use it only if a policy needs it.
    ///
    /// # Errors
    /// If there is no valid answer; [`RegistryError::is_absent`] if there is no such tag.
    pub async fn manifest(&self, image: &ImageName, tag: &Tag) -> Result<Manifest, RegistryError> {
        let (image, asked) = (&*self.origin(image), Instant::now());
        let host = self.host(image)?;
        let operation = Operation::begin(self, &host, image, format!("reading the manifest of tag {tag}")).await?;
        if let Some(repository) = image.helm_repository() {
            let chart = Chart { repository: &repository, name: image.short() };
            return operation.finish(helm::manifest((&operation.session, &self.indexes), chart, (tag, asked))).await;
        }
        let tag = &tag.in_registry();
        operation.finish(manifest::manifest(&operation.session, tag)).await
    }

    /// The files of a chart that say what it is and which values it has; inside, why its archive cannot be read. Advisory: what becomes of
    /// the archive says nothing of the registry.
    ///
    /// # Errors
    /// If there is no valid answer about the version.
    pub async fn chart_files(&self, image: &ImageName, tag: &Tag) -> Result<Result<ChartFiles, String>, RegistryError> {
        let (image, asked) = (&*self.origin(image), Instant::now());
        let host = self.host(image)?;
        let operation = Operation::begin(self, &host, image, format!("reading the chart {tag}")).await?;
        let session = &operation.session;
        let archive = match image.helm_repository() {
            Some(repository) => {
                let chart = Chart { repository: &repository, name: image.short() };
                operation.finish(helm::archive((session, &self.indexes), chart, (tag, asked))).await?
            }
            None => operation.finish(manifest::chart(session, &tag.in_registry())).await?,
        };
        let Ok(archive) = archive else { return Ok(archive.map(|_| ChartFiles::default())) };
        let files = tokio::task::spawn_blocking(move || helm::files(&archive)).await;
        Ok(files.unwrap_or_else(|_| Err("reading its archive failed".to_owned())))
    }

    /// Hands what the registry holds of an image's signatures to `take`, until that wants no more. Nothing of it is checked but that
    /// each document has the digest by which it is named.
    ///
    /// # Errors
    /// If the registry does not answer: whether there are any is unknown then.
    pub async fn signatures(
        &self,
        image: &ImageName,
        (digest, sought): (&Digest, SoughtDocuments),
        take: &mut (dyn FnMut(&SignatureDocument) -> Interest + Send),
    ) -> Result<(), RegistryError> {
        let image = &*self.origin(image);
        let host = self.host(image)?;
        if image.helm_repository().is_some() {
            // A chart of an index has no referrers; what is not there is not signed.
            return Ok(());
        }
        let request = format!("looking for signatures of {}", digest.short());
        let operation = Operation::begin(self, &host, image, request).await?;
        operation.finish(signatures::signatures(&operation.session, (digest, sought), take)).await
    }

    /// HTTP requests sent so far, including those to token services, redirects and retries.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What this host said last about how many requests it still accepts.
    #[must_use]
    pub fn quota(&self, image: &ImageName) -> Option<Quota> {
        let image = self.origin(image);
        self.lock().get(image.registry())?.left()
    }

    /// Where to look up an image: in the registry that is mirrored, by the longest known mirror path.
    #[must_use]
    pub fn origin<'a>(&self, image: &'a ImageName) -> Cow<'a, ImageName> {
        if self.mirrors.is_empty() {
            return Cow::Borrowed(image);
        }
        let name = image.place();
        let origin = name.rmatch_indices('/').find_map(|(at, _)| {
            let host = self.mirrors.get(&name[..at])?;
            image.moved(&format!("{host}/{}", &name[at + 1..])).ok()
        });
        origin.map_or(Cow::Borrowed(image), Cow::Owned)
    }

    fn host(&self, image: &ImageName) -> Result<Arc<Host>, RegistryError> {
        let name = image.registry();
        if let Some(host) = self.lock().get(name) {
            return Ok(Arc::clone(host));
        }
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(name)) {
            return Err(RegistryError::Settings {
                host: name.to_owned(),
                reason: "it is not in `allowedRegistries`, so it is not queried; next: add it there".to_owned(),
            });
        }
        let host = Arc::new(
            self.build(&HostSettings { login: self.login.clone(), ..HostSettings::new(name) }, Named::ByImage)?,
        );
        // Nothing vouches for this name except the file in which the image is written.
        address::check_target(&host.base, false, false, None).map_err(|reason| RegistryError::Settings {
            host: name.to_owned(),
            reason: format!(
                "{reason}, which is queried only if the configuration names it; next: add it to `registries`"
            ),
        })?;
        Ok(Arc::clone(self.lock().entry(name.to_owned()).or_insert(host)))
    }

    fn build(&self, settings: &HostSettings, named: Named) -> Result<Host, RegistryError> {
        let bad = |reason| RegistryError::Settings { host: settings.host.clone(), reason };
        let loopback = host::is_loopback(&settings.host);
        let limits = self.limits.within(settings.timeout);
        let tls = (settings.ca_pem.as_deref(), settings.identity_pem.as_deref());
        let made =
            |limits: &Limits, tls| Clients::new(limits, tls, named, loopback).map_err(|error| bad(error.to_string()));
        let clients = match (tls, settings.timeout) {
            ((None, None), None) => {
                let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                match shared.iter().find(|(key, _)| *key == (named, loopback)) {
                    Some((_, clients)) => clients.clone(),
                    None => {
                        let clients = made(&self.limits, tls)?;
                        shared.push(((named, loopback), clients.clone()));
                        clients
                    }
                }
            }
            (tls, _) => made(&limits, tls)?,
        };
        Host::new(settings, limits, clients).map_err(bad)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Host>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One public call: waits for its turn at the host, runs with a deadline, and records how it ended.
struct Operation<'a> {
    session: Session<'a>,
    request: String,
    _turn: SemaphorePermit<'a>,
}

impl<'a> Operation<'a> {
    async fn begin(
        client: &'a RegistryClient,
        host: &'a Host,
        image: &'a ImageName,
        request: String,
    ) -> Result<Self, RegistryError> {
        let failed = |failure| describe(host, image.repository(), &request, failure);
        // The semaphore is never closed; if it were, the host would be as good as sick.
        let turn = host.turns.acquire().await;
        let turn = turn.map_err(|_| failed(Failure::protocol("the client is shutting down")))?;
        // After the wait: earlier operations may have found out that the host is sick.
        host.check(&host.limits).map_err(failed)?;
        let session = Session {
            host,
            limits: &host.limits,
            repository: image.repository(),
            deadline: Instant::now() + host.limits.total_timeout,
            requests: &client.requests,
            presented: std::sync::Mutex::default(),
        };
        Ok(Self { session, request, _turn: turn })
    }

    async fn finish<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, RegistryError> {
        let Session { host, limits, repository, deadline, .. } = self.session;
        let result = match tokio::time::timeout_at(deadline, work).await {
            Ok(result) => result,
            Err(_) => Err(Cause::TimedOut(format!("not complete within {:?}", limits.total_timeout)).into()),
        };
        host.record(result.as_ref().err(), limits);
        result.map_err(|failure| describe(host, repository, &self.request, failure))
    }
}

/// A listing in which the versions of charts are written as their charts write them.
fn of_charts(answer: TagsAnswer) -> TagsAnswer {
    match answer {
        TagsAnswer::Fresh { tags, dropped, validators } => {
            let changed = tags.iter().any(|tag| tag.of_chart().is_some());
            let written = |tag: crate::model::TagRef<'_>| tag.of_chart().unwrap_or_else(|| tag.to_tag());
            let tags = if changed { tags.iter().map(written).collect() } else { tags };
            TagsAnswer::Fresh { tags, dropped, validators }
        }
        TagsAnswer::NotModified => TagsAnswer::NotModified,
    }
}

fn describe(host: &Host, repository: &str, request: &str, failure: Failure) -> RegistryError {
    RegistryError::Request(Box::new(RequestError {
        host: host.name.clone(),
        repository: repository.to_owned(),
        request: request.to_owned(),
        cause: failure.cause,
        hint: failure.hint,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send<T: Send>(_: &T) {}

    #[test]
    fn operations_can_run_on_any_thread() {
        let client = RegistryClient::new(Vec::new(), Limits::default()).unwrap();
        let (image, tag) = (ImageName::parse("registry.example.com/a").unwrap(), Tag::parse("v1").unwrap());
        is_send(&client.tags(&image, None));
        is_send(&client.resolve(&image, &tag));
        is_send(&client.manifest(&image, &tag));
        let digest = Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap();
        let mut take = |_: &SignatureDocument| Interest::More;
        is_send(&client.signatures(&image, (&digest, SoughtDocuments::Signatures), &mut take));
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused() {
        let host = HostSettings::new;
        for (hosts, reason) in [
            (vec![host("not a host")], "not a registry host"),
            (vec![host("https://registry.example.com")], "not a registry host"),
            (vec![host("registry")], "not a registry host"),
            (vec![host("registry.example.com/path")], "not a registry host"),
            (vec![host("docker.io"), host("index.docker.io")], "twice"),
            (vec![HostSettings { ca_pem: Some(b"nonsense".to_vec()), ..host("r.example.com") }], "certificate"),
            (vec![HostSettings { max_requests: Some(0), ..host("r.example.com") }], "at least 1"),
        ] {
            let error = RegistryClient::new(hosts, Limits::default()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[tokio::test]
    async fn dangerous_hosts_in_image_names_are_not_asked() {
        let client = RegistryClient::new(Vec::new(), Limits::default()).unwrap();
        for name in ["169.254.169.254/a", "0.0.0.0:5000/a", "[fe80::1]:5000/a"] {
            let error = client.tags(&ImageName::parse(name).unwrap(), None).await.unwrap_err();
            assert!(error.to_string().contains("link-local"), "{error}");
        }
        for name in ["127.0.0.1:5000/a", "localhost:5000/a", "10.0.0.1:5000/a", "[fd12::1]:5000/a"] {
            let error = client.tags(&ImageName::parse(name).unwrap(), None).await.unwrap_err();
            assert!(error.to_string().contains("add it to `registries`"), "{error}");
        }
        assert_eq!(client.requests(), 0);
    }

    #[tokio::test]
    async fn hosts_that_are_not_allowed_are_not_asked() {
        let client = RegistryClient::new(vec![HostSettings::new("r.example.com")], Limits::default()).unwrap();
        let client = client.allowing(["ghcr.io".to_owned()]);
        for (image, allowed) in
            [("r.example.com/a", true), ("ghcr.io/a/b", true), ("nginx", false), ("evil.example/a", false)]
        {
            let host = client.host(&ImageName::parse(image).unwrap());
            assert_eq!(host.is_ok(), allowed, "{image}");
        }
        let error = client.tags(&ImageName::parse("nginx").unwrap(), None).await.unwrap_err().to_string();
        assert!(error.contains("`docker.io`") && error.contains("`allowedRegistries`"), "{error}");
    }

    #[test]
    fn what_a_mirror_has_is_asked_for_at_its_origin() {
        let mirrored = |host: &str, mirrors: &[&str]| HostSettings {
            mirrors: mirrors.iter().map(|mirror| (*mirror).to_owned()).collect(),
            ..HostSettings::new(host)
        };
        let hosts = vec![
            mirrored("docker.io", &["mirror.example.com", "harbor.example.com/hub"]),
            mirrored("ghcr.io", &["harbor.example.com/hub/ghcr"]),
        ];
        let client = RegistryClient::new(hosts, Limits::default()).unwrap();
        for (image, origin) in [
            ("mirror.example.com/library/nginx", "docker.io/library/nginx"),
            ("mirror.example.com/nginx", "docker.io/library/nginx"),
            ("harbor.example.com/hub/acme/web", "docker.io/acme/web"),
            ("harbor.example.com/hub/ghcr/acme/web", "ghcr.io/acme/web"),
            ("harbor.example.com/hubs/web", "harbor.example.com/hubs/web"),
            ("harbor.example.com/own/web", "harbor.example.com/own/web"),
            ("nginx", "docker.io/library/nginx"),
            ("oci://harbor.example.com/hub/ghcr/acme/web", "oci://ghcr.io/acme/web"),
        ] {
            let image = ImageName::parse(image).unwrap();
            assert_eq!(client.origin(&image).to_string(), origin);
        }
    }

    #[test]
    fn what_nothing_names_is_forgotten() {
        let client = RegistryClient::new(vec![HostSettings::new("r.example.com")], Limits::default()).unwrap();
        let images = ["r.example.com/a", "nginx", "ghcr.io/a/b"].map(|name| ImageName::parse(name).unwrap());
        for image in &images {
            drop(client.host(image).unwrap());
        }
        let hosts = |client: &RegistryClient| {
            let mut hosts: Vec<String> = client.lock().keys().cloned().collect();
            hosts.sort();
            hosts
        };
        assert_eq!(hosts(&client), ["docker.io", "ghcr.io", "r.example.com"]);
        let used = client.host(&images[2]).unwrap();
        client.forget(&BTreeSet::from([images[1].clone()]));
        assert_eq!(hosts(&client), ["docker.io", "ghcr.io", "r.example.com"], "one that is in use stays");
        drop(used);
        client.forget(&BTreeSet::new());
        assert_eq!(hosts(&client), ["r.example.com"]);
    }

    #[test]
    fn docker_hub_is_served_elsewhere() {
        let client = RegistryClient::new(Vec::new(), Limits::default()).unwrap();
        let host = client.host(&ImageName::parse("nginx").unwrap()).unwrap();
        assert_eq!((host.name.as_str(), host.base.as_str()), ("docker.io", "https://registry-1.docker.io/"));
    }
}
