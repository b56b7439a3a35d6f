//! What a Docker `config.json` says of registries: also a pull secret of Kubernetes (`.dockerconfigjson`), mounted as a file.
//!
//! Keys are matched as the kubelet matches them (pkg/credentialprovider/keyring.go): by host, with `*` within a label, and by a plain
//! prefix of the path, the longest first; all that match are tried in turn. Helpers (`credHelpers`, `credsStore`) come before them, as
//! with Docker.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use futures::TryFutureExt as _;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::secret::{Secret, SecretSource};
use crate::model::DOCKER_HUB;
use crate::model::glob::{Glob, Separators};
use crate::registry::exchange::Session;
use crate::registry::host::Failure;

use super::helper::{self, Helper};
use super::renewed::Renewed;
use super::{LoginOpening, LogsIn, Proof};

/// The host by which Docker's files know Docker Hub.
const DOCKER_HUB_KEY: &str = "index.docker.io";

/// The keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DockerConfig {
    /// A Docker `config.json`, or the `.dockerconfigjson` of a pull secret.
    docker_config: At<Secret>,
}

impl DockerConfig {
    pub(super) fn check(&self, check: &mut Check<'_, '_>) -> Option<DockerSettings> {
        check.secret(&self.docker_config).map(|file| DockerSettings { file })
    }
}

/// Where the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerSettings {
    file: SecretSource,
}

impl DockerSettings {
    /// A file for every registry that has no credentials of its own.
    pub(crate) fn new(file: SecretSource) -> Self {
        Self { file }
    }
}

/// What the file says. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct DockerLogin {
    /// In the order in which they are tried.
    entries: Arc<[Entry]>,
    /// By registry; `None`: none is to be asked.
    helpers: Arc<BTreeMap<String, Option<Helper>>>,
    store: Option<Helper>,
    /// What helpers said, by registry.
    kept: Arc<Mutex<HashMap<String, Arc<Renewed>>>>,
}

/// What is said under one key of `auths`.
#[derive(Debug)]
struct Entry {
    host: String,
    /// Empty, or with a slash before it.
    path: String,
    proof: Said,
}

#[derive(Debug)]
enum Said {
    Pair { username: String, password: SecretString },
    Identity(SecretString),
    Registry(SecretString),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    auths: Option<BTreeMap<String, Lenient<Auth>>>,
    cred_helpers: Option<BTreeMap<String, Lenient<String>>>,
    creds_store: Option<Lenient<String>>,
}

/// One that is wrong does not take the others with it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Fits(T),
    Else(IgnoredAny),
}

impl<T> Lenient<T> {
    fn fits(self) -> Result<T, String> {
        match self {
            Self::Fits(value) => Ok(value),
            Self::Else(_) => Err("it is not what it should be".to_owned()),
        }
    }
}

impl Lenient<String> {
    /// The helper of this name; an empty one is none.
    fn helper(self) -> Result<Option<Helper>, String> {
        let name = self.fits()?;
        if name.is_empty() { Ok(None) } else { helper::name(&name).map(|name| Some(Helper::new(name))) }
    }
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    username: String,
    password: Option<SecretString>,
    auth: Option<SecretString>,
    identitytoken: Option<SecretString>,
    registrytoken: Option<SecretString>,
}

impl Auth {
    /// What is to be shown; `None`: the entry is empty, as Docker leaves it where a helper has the secret.
    fn said(self) -> Result<Option<Said>, String> {
        let filled = |secret: Option<SecretString>| secret.filter(|secret| !secret.expose_secret().is_empty());
        if let Some(token) = filled(self.registrytoken) {
            return Ok(Some(Said::Registry(token)));
        }
        if let Some(token) = filled(self.identitytoken) {
            return Ok(Some(Said::Identity(token)));
        }
        if let Some(auth) = filled(self.auth) {
            let engine = GeneralPurpose::new(
                &alphabet::STANDARD,
                GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
            );
            let pair = engine.decode(auth.expose_secret().trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = pair.ok_or("`auth` is not base64")?;
            // A name has no colon; a password may. Docker pads the password with NUL in old files.
            let (username, password) = pair.split_once(':').ok_or("`auth` has no colon between name and password")?;
            let (username, password) = (username.to_owned(), password.trim_matches('\0').into());
            return Ok(Some(Said::Pair { username, password }));
        }
        Ok(filled(self.password).map(|password| Said::Pair { username: self.username, password }))
    }
}

/// A key of `auths` as host and path.
fn key(text: &str) -> (String, String) {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let path = path
        .strip_prefix("/v1")
        .or_else(|| path.strip_prefix("/v2"))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path);
    let host = host.to_ascii_lowercase();
    (host, if path == "/" { String::new() } else { path.to_owned() })
}

impl Entry {
    fn matches(&self, host: &str, repository: &str) -> bool {
        let path = format!("/{repository}");
        let hub =
            host == DOCKER_HUB && matches!(self.host.as_str(), DOCKER_HUB_KEY | DOCKER_HUB | "registry-1.docker.io");
        (hub || host_matches(&self.host, host)) && path.starts_with(&self.path)
    }
}

/// Whether a host is one of those that a pattern stands for: the same port, as many labels, `*` within each.
fn host_matches(pattern: &str, host: &str) -> bool {
    let split = |text: &str| match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name.to_owned(), port.to_owned()),
        _ => (text.to_owned(), String::new()),
    };
    let ((pattern, pattern_port), (host, port)) = (split(pattern), split(host));
    let (patterns, labels): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), host.split('.').collect());
    let fits = |(pattern, label): (&&str, &&str)| {
        pattern == label
            || pattern.contains(['*', '?', '['])
                && Glob::new(pattern, Separators::Cross).is_ok_and(|glob| glob.is_match(label))
    };
    pattern_port == port && patterns.len() == labels.len() && patterns.iter().zip(&labels).all(fits)
}

impl DockerLogin {
    /// What can be used of a file, and what of it cannot be, each with the reason.
    pub(super) fn read(text: &SecretString) -> Result<(Self, Vec<String>), String> {
        // The text of the error may quote what stands there.
        let file: File = serde_json::from_str(text.expose_secret()).map_err(|error| {
            format!(
                "the Docker configuration is not what it should be (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        let mut dropped = Vec::new();
        let mut entries = Vec::new();
        // Longer paths come before shorter ones of the same host.
        for (name, auth) in file.auths.into_iter().flatten().rev() {
            let (host, path) = key(&name);
            match auth.fits().and_then(Auth::said) {
                Ok(said) => entries.extend(said.map(|proof| Entry { host, path, proof })),
                Err(reason) => dropped.push(format!("`{name}`: {reason}")),
            }
        }
        entries.sort_by(|a, b| (&b.host, &b.path).cmp(&(&a.host, &a.path)));
        let mut helpers = BTreeMap::new();
        for (host, name) in file.cred_helpers.into_iter().flatten() {
            match name.helper() {
                Ok(helper) => drop(helpers.insert(key(&host).0, helper)),
                Err(reason) => dropped.push(format!("`credHelpers` for {host}: {reason}")),
            }
        }
        let store = file.creds_store.map_or(Ok(None), Lenient::helper).unwrap_or_else(|reason| {
            dropped.push(format!("`credsStore`: {reason}"));
            None
        });
        Ok((Self { entries: entries.into(), helpers: Arc::new(helpers), store, kept: Arc::default() }, dropped))
    }

    /// The same, of which only what stands in it is used.
    pub(super) fn without_helpers(self) -> Self {
        Self { helpers: Arc::default(), store: None, ..self }
    }

    /// The helper of a registry: its own, or the one for all.
    fn helper(&self, host: &str) -> Option<&Helper> {
        let own = self.helpers.get(host);
        let own = own.or_else(|| self.helpers.get(DOCKER_HUB_KEY).filter(|_| host == DOCKER_HUB));
        own.unwrap_or(&self.store).as_ref()
    }

    fn kept(&self, host: &str) -> Arc<Renewed> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kept.entry(host.to_owned()).or_default())
    }
}

impl LogsIn for DockerLogin {
    type Settings = DockerSettings;

    fn secrets(settings: &DockerSettings) -> Vec<(&'static str, &SecretSource)> {
        vec![("Docker configuration", &settings.file)]
    }

    fn open(settings: &DockerSettings, opening: &LoginOpening<'_>) -> Result<Self, String> {
        let (login, dropped) = Self::read(&opening.secret(&settings.file)?)?;
        for reason in dropped {
            tracing::warn!("the Docker configuration in {} is used without {reason}", settings.file);
        }
        Ok(login)
    }

    fn who(settings: &DockerSettings) -> String {
        format!("as the Docker configuration in {} says", settings.file)
    }

    async fn proofs(&self, session: &Session<'_>) -> Result<Vec<Proof>, Failure> {
        let host = session.host.name.as_str();
        let (mut proofs, mut failed) = (Vec::new(), None);
        if let Some(helper) = self.helper(host) {
            let asked = helper.ask(host).inspect_err(|failure| {
                tracing::warn!(host, ?failure.cause, "a credential helper failed; going on without it");
            });
            match self.kept(host).proofs(session, asked).await {
                Ok(said) => proofs = said,
                Err(failure) => failed = Some(failure),
            }
        }
        for entry in self.entries.iter().filter(|entry| entry.matches(host, session.repository)) {
            proofs.push(match &entry.proof {
                Said::Pair { username, password } => Proof::pair(username, password)?,
                Said::Identity(token) => Proof::Refresh(token.clone()),
                Said::Registry(token) => Proof::bearer(token)?,
            });
        }
        proofs.extend(failed.map(Proof::Unavailable));
        Ok(proofs)
    }

    async fn forget(&self, session: &Session<'_>) -> bool {
        self.kept(&session.host.name).forget(session).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_as_the_kubelet_matches_them() {
        for (name, host, repository, matches) in [
            ("ghcr.io", "ghcr.io", "acme/web", true),
            ("https://ghcr.io", "ghcr.io", "acme/web", true),
            ("https://ghcr.io/v2/", "ghcr.io", "acme/web", true),
            ("ghcr.io/acme", "ghcr.io", "acme/web", true),
            ("ghcr.io/acme", "ghcr.io", "acmes/web", true), // a plain prefix
            ("ghcr.io/acme/", "ghcr.io", "acmes/web", false),
            ("ghcr.io/other", "ghcr.io", "acme/web", false),
            ("ghcr.io", "ghcr.io:443", "acme/web", false),
            ("registry.example.com:5000", "registry.example.com:5000", "a", true),
            ("registry.example.com", "registry.example.com:5000", "a", false),
            ("*.azurecr.io", "acme.azurecr.io", "a", true),
            ("*.azurecr.io", "a.b.azurecr.io", "a", false),
            ("*.io", "ghcr.io", "a", true),
            ("*", "ghcr.io", "a", false),
            ("prefix-*.example.com", "prefix-7.example.com", "a", true),
            ("https://index.docker.io/v1/", "docker.io", "library/nginx", true),
            ("docker.io", "docker.io", "library/nginx", true),
            ("index.docker.io/acme", "docker.io", "library/nginx", false),
            ("https://index.docker.io/v1/", "ghcr.io", "acme/web", false),
            ("ghcr.io.evil.example", "ghcr.io", "acme/web", false),
            ("", "ghcr.io", "acme/web", false),
        ] {
            let (key_host, path) = key(name);
            let entry = Entry { host: key_host, path, proof: Said::Registry(SecretString::from("t")) };
            assert_eq!(entry.matches(host, repository), matches, "{name} for {host}/{repository}");
        }
    }

    fn shown(text: &str, host: &str, repository: &str) -> Vec<String> {
        let (login, _) = DockerLogin::read(&SecretString::from(text)).unwrap();
        let matching = login.entries.iter().filter(|entry| entry.matches(host, repository));
        let said = |entry: &Entry| match &entry.proof {
            Said::Pair { username, password } => format!("{username}:{}", password.expose_secret()),
            Said::Identity(token) => format!("identity {}", token.expose_secret()),
            Said::Registry(token) => format!("registry {}", token.expose_secret()),
        };
        matching.map(said).collect()
    }

    #[test]
    fn every_form_of_an_entry_is_read_and_longer_paths_come_first() {
        let text = r#"{
            "auths": {
                "ghcr.io": { "auth": "Ym90OnBhc3M6d29yZA" },
                "ghcr.io/acme": { "username": "ann", "password": "x", "email": "a@example.com" },
                "ghcr.io/acme/web": { "auth": "Ym90OmQ=" },
                "acme.azurecr.io": { "auth": "MDAwOg==", "identitytoken": "idt" },
                "quay.io": { "registrytoken": "reg" },
                "kept.example.com": {}
            },
            "HttpHeaders": { "User-Agent": "Docker" }
        }"#;
        assert_eq!(shown(text, "ghcr.io", "acme/web"), ["bot:d", "ann:x", "bot:pass:word"]);
        assert_eq!(shown(text, "ghcr.io", "other"), ["bot:pass:word"]);
        assert_eq!(shown(text, "acme.azurecr.io", "a"), ["identity idt"]);
        assert_eq!(shown(text, "quay.io", "a"), ["registry reg"]);
        assert_eq!(shown(text, "kept.example.com", "a"), [""; 0]);
    }

    #[test]
    fn only_what_cannot_be_read_is_dropped_and_told_without_its_text() {
        let error = DockerLogin::read(&SecretString::from("hunter2")).unwrap_err();
        assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
        for (broken, reason) in [
            (r#""auths": { "a.example": { "auth": "hunter2!" }, GOOD }"#, "`a.example`: `auth` is not base64"),
            (r#""auths": { "a.example": { "auth": "aHVudGVyMg==" }, GOOD }"#, "`a.example`: `auth` has no colon"),
            (r#""auths": { "a.example": "hunter2", GOOD }"#, "`a.example`: it is not what"),
            (r#""auths": { GOOD }, "credHelpers": { "a.example": 7 }"#, "`credHelpers` for a.example: it is not what"),
            (r#""auths": { GOOD }, "credsStore": "../hunter2" "#, "`credsStore`: this is not the name"),
        ] {
            let text = format!("{{ {} }}", broken.replace("GOOD", r#""ghcr.io": { "registrytoken": "reg" }"#));
            let (login, dropped) = DockerLogin::read(&SecretString::from(text.as_str())).unwrap();
            assert_eq!(login.entries.len(), 1, "{text}");
            assert_eq!(dropped.len(), 1, "{text}");
            assert!(dropped[0].contains(reason) && !dropped[0].contains("hunter2"), "{dropped:?}");
        }
    }

    #[test]
    fn a_registry_has_its_own_helper_or_the_one_for_all() {
        let text = r#"{ "credHelpers": { "public.ecr.aws": "ecr-login", "https://index.docker.io/v1/": "hub", "quay.io": "" }, "credsStore": "pass" }"#;
        let (login, _) = DockerLogin::read(&SecretString::from(text)).unwrap();
        let helper = |host: &str| format!("{:?}", login.helper(host).unwrap());
        for (host, name) in [("public.ecr.aws", "ecr-login"), ("docker.io", "hub"), ("ghcr.io", "pass")] {
            assert!(helper(host).contains(name), "{host}: {}", helper(host));
        }
        assert!(login.helper("quay.io").is_none());
    }
}
