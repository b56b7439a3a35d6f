//! The settings of a remote: address, credentials, certificate authority, timeout.

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use super::error::GitError;
use super::url::{RemoteUrl, Transport};

/// Somebody who has a token that ends, and makes another one in time.
pub trait LendsToken: fmt::Debug + Send + Sync {
    /// A token that is good for at least a minute.
    fn token(&self) -> BoxFuture<'_, Result<SecretString, NoToken>>;

    /// Called when a token was refused: the next one is another, unless this one was quite new.
    fn refused(&self) -> BoxFuture<'_, ()>;
}

/// Why there is no token. No text has a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoToken {
    /// A person has to do something.
    Refused(String),
    /// It may be there the next time.
    Unavailable(String),
}

/// How the bot authenticates to the remote.
///
/// User name, password and token reach Git through the environment of its process and a credential helper that is bound
/// to the address's scheme, host and port: they are in no argument, address or file, and a redirect to another host
/// does not get them. Over `http://` they travel unencrypted.
#[derive(Debug, Clone)]
pub enum GitCredentials {
    /// None; for ssh, whatever the user's own ssh configuration and agent offer.
    None,
    /// A user name and password.
    Basic {
        /// The user name.
        username: String,
        /// The password, or a token if the forge expects a specific user name with it.
        password: SecretString,
    },
    /// Only a token: sent with the user name `x-access-token`, which GitHub, GitLab and Gitea accept.
    Token(SecretString),
    /// A token that somebody lends for a time, used as [`Self::Token`].
    Lent(Arc<dyn LendsToken>),
    /// A private key without a passphrase.
    SshKey {
        /// The private key.
        key: KeyFile,
        /// The only file of host keys to trust; without it, the user's and the system's.
        known_hosts: Option<PathBuf>,
    },
}

impl GitCredentials {
    /// User name and password for http(s).
    pub(super) fn basic(&self) -> Option<(&str, &SecretString)> {
        match self {
            Self::Basic { username, password } => Some((username, password)),
            Self::Token(token) => Some(("x-access-token", token)),
            Self::None | Self::SshKey { .. } | Self::Lent(_) => None,
        }
    }

    /// Every text that must not be shown, in each form in which a server might repeat it.
    pub(super) fn secrets(&self) -> Vec<String> {
        let Some((username, password)) = self.basic() else { return Vec::new() };
        let password = password.expose_secret();
        let pair = format!("{username}:{password}");
        let encoded: String = url::form_urlencoded::byte_serialize(password.as_bytes()).collect();
        let mut secrets = vec![
            base64::engine::general_purpose::STANDARD.encode(&pair),
            base64::engine::general_purpose::STANDARD.encode(password),
            encoded.replace('+', "%20"),
            encoded,
            password.to_owned(),
        ];
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        secrets
    }
}

/// A private key in a file, because ssh reads keys only from files.
#[derive(Debug, Clone)]
pub struct KeyFile {
    pub(super) path: PathBuf,
    /// Holds the key's anonymous file; dropped with the last clone.
    _held: Option<Arc<HeldKey>>,
}

#[cfg(target_os = "linux")]
type HeldKey = std::fs::File;
#[cfg(not(target_os = "linux"))]
type HeldKey = tempfile::NamedTempFile;

impl KeyFile {
    /// A key in memory: on Linux in an anonymous file, elsewhere in a temporary one. On Linux, nothing remains if this
    /// process is killed, and nobody can put a link in its way.
    ///
    /// # Errors
    /// If there is no memory, or no temporary folder, for it.
    pub fn holding(key: &SecretString) -> io::Result<Self> {
        // OpenSSH refuses a key without a line break at its end.
        let text = format!("{}\n", key.expose_secret().trim_end());
        let (path, mut file) = held_key()?;
        file.write_all(text.as_bytes())?;
        Ok(Self { path, _held: Some(Arc::new(file)) })
    }
}

/// A path that other programs of this user can read, and the file that exists while this is open.
#[cfg(target_os = "linux")]
fn held_key() -> io::Result<(PathBuf, HeldKey)> {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt as _;
    let file = std::fs::File::from(rustix::fs::memfd_create("key", rustix::fs::MemfdFlags::CLOEXEC)?);
    // ssh refuses a key that others can read.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    // Through our own process: ssh closes the descriptors it inherits.
    let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
    Ok((path, file))
}

#[cfg(not(target_os = "linux"))]
fn held_key() -> io::Result<(PathBuf, HeldKey)> {
    let file = tempfile::NamedTempFile::new()?;
    Ok((file.path().to_owned(), file))
}

impl<P: Into<PathBuf>> From<P> for KeyFile {
    fn from(path: P) -> Self {
        Self { path: path.into(), _held: None }
    }
}

/// A certificate to show to a server, and its private key, both in PEM format.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The file with the certificate and its chain, read anew by each command.
    pub certificate: PathBuf,
    /// The key.
    pub key: KeyFile,
}

/// A remote and how to reach it.
#[derive(Debug, Clone)]
pub struct RemoteSettings {
    /// Its address.
    pub url: RemoteUrl,
    /// How the bot authenticates.
    pub credentials: GitCredentials,
    /// Certificate authorities to trust instead of the system's, for https.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show where the server asks for one, for https.
    pub client_certificate: Option<ClientCertificate>,
    /// The time limit of one fetch, push or listing. A first fetch loads the whole history.
    pub timeout: Duration,
}

impl RemoteSettings {
    /// Refuses what cannot work, or would inject a line into the credential protocol.
    pub(super) fn check(&self) -> Result<(), GitError> {
        let refuse = |reason: &str| {
            Err(GitError::Refused { what: format!("the credentials for {}", self.url), reason: reason.to_owned() })
        };
        let transport = self.url.transport();
        match &self.credentials {
            GitCredentials::None => {}
            GitCredentials::SshKey { key, known_hosts } => {
                if transport != Transport::Ssh {
                    return refuse("an ssh key only works with an ssh address");
                }
                let files = [Some(&key.path), known_hosts.as_ref()];
                // In ssh's options `%` starts a token, and `"` cannot be escaped.
                let odd = |path: &PathBuf| {
                    path.to_str().is_none_or(|s| s.contains(['%', '"', '\\']) || s.contains(char::is_control))
                };
                if files.into_iter().flatten().any(odd) {
                    return refuse("the path of the key or of the known hosts has a character that ssh would misread");
                }
            }
            GitCredentials::Basic { .. } | GitCredentials::Token(_) | GitCredentials::Lent(_) => {
                if !matches!(transport, Transport::Https | Transport::Http) {
                    return refuse("a password or token only works with an https or http address");
                }
                let lines = |text: &str| text.contains(['\n', '\r', '\0']);
                if self.credentials.basic().is_some_and(|(name, word)| lines(name) || lines(word.expose_secret())) {
                    return refuse("they contain a line break; check for one at the end of the file or variable");
                }
                if self.credentials.basic().is_some_and(|(_, word)| word.expose_secret().is_empty()) {
                    return refuse("the password or token is empty");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_memory_is_a_file_that_ends_with_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let key = KeyFile::holding(&SecretString::from("-----BEGIN\nk\n\n")).unwrap();
        let path = key.path.clone();
        let clone = key.clone();
        drop(key);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "-----BEGIN\nk\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(clone);
        assert!(std::fs::read_to_string(&path).map_or(true, |text| !text.contains("BEGIN")));
    }
}
