//! Secrets: how a file says where they are, and how they are read.
//!
//! They are read every time they are needed, so that a rotated secret takes effect without a restart. They are held in
//! [`SecretString`], which does not print. No error contains a secret's text.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::at::At;

/// Largest secret read: the largest usual ones are SSH keys of some kilobytes.
const MAX_SECRET: u64 = 64 << 10;
/// Largest file with a token of a cluster or a cloud that is read.
const MAX_TOKEN_FILE: u64 = 256 << 10;

/// A secret is never written in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "`{ env: NAME }` or `{ file: PATH }` (a secret is never written in this file)"
)]
pub(crate) struct Secret {
    /// The environment variable that holds it.
    pub(crate) env: Option<At<String>>,
    /// The file that holds it; read again when it changes.
    pub(crate) file: Option<At<String>>,
}

/// Either `username` and `password`, or `token`, or `sshKey` and `knownHosts`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "credentials as a mapping (`username` and `password`, or `token`, or `sshKey`)"
)]
pub(crate) struct Credentials {
    /// The user's name.
    pub(crate) username: Option<At<String>>,
    /// The user's password.
    pub(crate) password: Option<At<Secret>>,
    /// A token, used alone.
    pub(crate) token: Option<At<Secret>>,
    /// A private SSH key.
    pub(crate) ssh_key: Option<At<Secret>>,
    /// The file of known hosts for the SSH key; by default the user's.
    pub(crate) known_hosts: Option<At<String>>,
}

/// Looks up a variable.
type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The environment variables of the process, or of a test.
pub struct Environment(Box<Lookup>);

impl Environment {
    /// The variables of this process. A variable that is not valid UTF-8 counts as not set.
    #[must_use]
    pub fn process() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "secrets and the state folder come from the environment here only"
        )]
        Self(Box::new(|name| std::env::var(name).ok()))
    }

    /// Variables looked up by a function.
    #[must_use]
    pub fn from_fn(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Box::new(lookup))
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(PathBuf),
}

/// Why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or empty.
    #[error("the environment variable {0}, which should hold a secret, is not set or empty")]
    Unset(String),
    /// The file cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is empty, too large, or not text.
    #[error("the file {}, which should hold a secret, {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        reason: &'static str,
    },
}

impl SecretSource {
    /// Reads the secret. Final line breaks, which editors and `echo` leave, are not part of it.
    ///
    /// # Errors
    /// If it does not exist, is empty, too large or not text.
    pub fn read(&self, environment: &Environment) -> Result<SecretString, SecretError> {
        match self {
            Self::Env(name) => match environment.get(name).as_deref().map(trim) {
                Some(secret) if !secret.is_empty() => Ok(SecretString::from(secret)),
                _ => Err(SecretError::Unset(name.clone())),
            },
            Self::File(path) => {
                let content = |reason| SecretError::Content { path: path.clone(), reason };
                let bytes = read_limited(path, MAX_SECRET)
                    .map_err(|source| SecretError::File { path: path.clone(), source })?
                    .ok_or_else(|| content("is larger than 64 KiB"))?;
                let text = String::from_utf8(bytes).map_err(|_| content("is not UTF-8 text"))?;
                match trim(&text) {
                    "" => Err(content("is empty")),
                    secret => Ok(SecretString::from(secret)),
                }
            }
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

fn trim(secret: &str) -> &str {
    secret.trim_end_matches(['\n', '\r'])
}

/// The content of a file, or `None` if it has more than `limit` bytes.
pub(crate) fn read_limited(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((read as u64 <= limit).then_some(bytes))
}

/// The token in a small file that another program replaces now and then: read anew each time, and aside, so that nothing
/// else waits for a slow disk.
///
/// # Errors
/// As those of [`read_token`].
pub(crate) async fn token_file(path: &str) -> Result<SecretString, String> {
    let path = PathBuf::from(path);
    let read = tokio::task::spawn_blocking(move || read_token(&path)).await;
    read.unwrap_or_else(|error| Err(format!("cannot be read: {error}")))
}

/// The token in a small file, without the spaces around it.
///
/// # Errors
/// Why there is none, as the end of a sentence that begins with the file; without its text.
pub(crate) fn read_token(path: &Path) -> Result<SecretString, String> {
    let bytes = read_limited(path, MAX_TOKEN_FILE).map_err(|error| format!("cannot be read: {error}"))?;
    let bytes = bytes.ok_or_else(|| format!("is larger than {} KiB", MAX_TOKEN_FILE >> 10))?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    match text.trim() {
        "" => Err("is empty".to_owned()),
        token => Ok(token.into()),
    }
}

/// How to log in, with secrets not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: SecretSource,
    },
    /// A token alone.
    Token(SecretSource),
    /// A private SSH key.
    SshKey {
        /// The key.
        key: SecretSource,
        /// The file of known hosts; `None`: the user's.
        known_hosts: Option<PathBuf>,
    },
}

impl CredentialSource {
    /// The source of its secret.
    #[must_use]
    pub fn secret(&self) -> &SecretSource {
        match self {
            Self::Basic { password: secret, .. } | Self::Token(secret) | Self::SshKey { key: secret, .. } => secret,
        }
    }
}

/// An address that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Written in the file.
    Plain(String),
    /// Stored elsewhere.
    Secret(SecretSource),
}

impl Address {
    /// The source of the secret, if it is one.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretSource> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(source) => Some(source),
        }
    }
}

/// Secrets that have been read, by their source.
#[derive(Debug, Clone, Default)]
pub struct ReadSecrets(HashMap<SecretSource, SecretString>);

impl ReadSecrets {
    /// Reads all of these, each given with its purpose.
    ///
    /// # Errors
    /// The purpose of the first secret that cannot be read, and the error.
    pub fn read<'a, T>(
        sources: impl IntoIterator<Item = (T, &'a SecretSource)>,
        environment: &Environment,
    ) -> Result<Self, (T, SecretError)> {
        let mut read = HashMap::new();
        for (what, source) in sources {
            drop(read.insert(source.clone(), source.read(environment).map_err(|error| (what, error))?));
        }
        Ok(Self(read))
    }

    /// A secret; `None` if it was not read.
    #[must_use]
    pub fn get(&self, source: &SecretSource) -> Option<SecretString> {
        self.0.get(source).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::ExposeSecret as _;

    use super::*;

    fn environment(name: &'static str, value: &'static str) -> Environment {
        Environment::from_fn(move |asked| (asked == name).then(|| value.to_owned()))
    }

    /// A file that has nothing yet: whoever reads it waits. Others go on, and one of them writes it.
    #[tokio::test]
    async fn a_slow_token_file_keeps_nobody_else_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let modes = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, modes, 0).unwrap();
        // If everything waits, it ends the wait: a failure and not a standstill.
        let (late, ended) = (path.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let is_ended = std::sync::Arc::clone(&ended);
        let watch = std::thread::spawn(move || {
            std::thread::park_timeout(std::time::Duration::from_secs(30));
            if !is_ended.load(std::sync::atomic::Ordering::SeqCst) {
                fs::write(late, "too late").unwrap();
            }
        });
        let other = async {
            let path = path.clone();
            tokio::task::spawn_blocking(move || fs::write(path, "t0ken\n").unwrap()).await.unwrap();
        };
        let (read, ()) = tokio::join!(token_file(path.to_str().unwrap()), other);
        ended.store(true, std::sync::atomic::Ordering::SeqCst);
        watch.thread().unpark();
        watch.join().unwrap();
        assert_eq!(read.unwrap().expose_secret(), "t0ken");
    }

    #[tokio::test]
    async fn a_token_file_without_a_token_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let told = async || token_file(path.to_str().unwrap()).await.map(|token| token.expose_secret().to_owned());
        assert!(told().await.unwrap_err().starts_with("cannot be read: "));
        for (content, said) in [
            (b" \n".to_vec(), Err("is empty")),
            (vec![0xff], Err("is not UTF-8 text")),
            (vec![b'x'; (256 << 10) + 1], Err("is larger than 256 KiB")),
            (b" t0ken\r\n".to_vec(), Ok("t0ken")),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(told().await.as_deref().map_err(String::as_str), said);
        }
    }

    #[test]
    fn secrets_come_without_their_final_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let none = environment("X", "");
        for (content, secret) in
            [("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), (" a b \n", " a b "), ("k1\nk2\n\n", "k1\nk2")]
        {
            fs::write(&path, content).unwrap();
            assert_eq!(SecretSource::File(path.clone()).read(&none).unwrap().expose_secret(), secret);
        }
        let set = environment("TOKEN", "s3cret\n");
        assert_eq!(SecretSource::Env("TOKEN".to_owned()).read(&set).unwrap().expose_secret(), "s3cret");
    }

    #[test]
    fn a_secret_that_is_not_there_says_which_and_where() {
        let folder = tempfile::tempdir().unwrap();
        let none = environment("X", "");
        let error = |source: SecretSource| source.read(&none).unwrap_err().to_string();
        assert!(error(SecretSource::Env("X".to_owned())).contains("variable X"));
        assert!(error(SecretSource::Env("Y".to_owned())).contains("variable Y"));
        let path = folder.path().join("secret");
        assert!(error(SecretSource::File(path.clone())).contains("cannot read"));
        for (content, reason) in
            [(vec![], "empty"), (b"\n".to_vec(), "empty"), (vec![0xff], "UTF-8"), (vec![b'x'; 70_000], "64 KiB")]
        {
            fs::write(&path, content).unwrap();
            assert!(error(SecretSource::File(path.clone())).contains(reason), "{reason}");
        }
    }

    #[test]
    fn a_secret_is_read_anew_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let source = SecretSource::File(path.clone());
        for secret in ["old", "new"] {
            fs::write(&path, secret).unwrap();
            assert_eq!(source.read(&environment("X", "")).unwrap().expose_secret(), secret);
        }
    }
}
