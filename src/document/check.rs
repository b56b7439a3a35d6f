//! From raw values to checked ones, collecting everything that is wrong.

use std::fmt;
use std::path::{Path, PathBuf};

use super::at::At;
use super::fault::{Fault, Mark, Sink};
use super::secret::{Address, CredentialSource, Credentials, Secret, SecretSource};
use super::value;

/// Checks the values of one file.
pub(crate) struct Check<'a, 'b> {
    /// Receives the errors.
    pub(crate) sink: &'a mut Sink<'b>,
    /// The folder for relative paths.
    pub(crate) folder: &'a Path,
}

/// A key that may be absent: `None` only if it is there and wrong.
pub(crate) fn optional<T, U>(at: Option<&T>, read: impl FnOnce(&T) -> Option<U>) -> Option<Option<U>> {
    match at {
        None => Some(None),
        Some(at) => read(at).map(Some),
    }
}

impl Check<'_, '_> {
    /// The value of a text, if `read` accepts it.
    pub(crate) fn text<U, E: fmt::Display>(
        &mut self,
        at: &At<String>,
        read: impl FnOnce(&str) -> Result<U, E>,
    ) -> Option<U> {
        self.sink.read(at, |text| read(text)).map(|sourced| sourced.value)
    }

    pub(crate) fn path(&mut self, at: Option<&At<String>>) -> Option<PathBuf> {
        let folder = self.folder;
        self.text(at?, |text| value::file_path(text, folder))
    }

    pub(crate) fn secret(&mut self, at: &At<Secret>) -> Option<SecretSource> {
        match (&at.value.env, &at.value.file) {
            (Some(name), None) if value::is_variable(&name.value) => Some(SecretSource::Env(name.value.clone())),
            (Some(name), None) => {
                // Somebody may have written the secret itself here.
                let message = "this is not the name of an environment variable (letters, digits and _)";
                self.sink.fault(Fault::new(name.mark, message).secret());
                None
            }
            (None, Some(_)) => self.path(at.value.file.as_ref()).map(SecretSource::File),
            _ => {
                self.sink.absent(at.mark, "a secret comes from exactly one of `env` and `file`");
                None
            }
        }
    }

    /// A user name for basic authentication, which cannot contain a colon (RFC 7617).
    pub(crate) fn username(&mut self, at: &At<String>) -> Option<String> {
        let colon = "`username` has a colon, which basic authentication cannot carry";
        self.text(at, |text| if text.contains(':') { Err(colon.to_owned()) } else { value::line(text) })
    }

    pub(crate) fn credentials(&mut self, at: &At<Credentials>) -> Option<CredentialSource> {
        let raw = &at.value;
        let found = match (&raw.username, &raw.password, &raw.token, &raw.ssh_key) {
            (Some(username), Some(password), None, None) => {
                let (username, password) = (self.username(username), self.secret(password));
                Some(CredentialSource::Basic { username: username?, password: password? })
            }
            (None, None, Some(token), None) => self.secret(token).map(CredentialSource::Token),
            (None, None, None, Some(key)) => {
                let (key, known_hosts) = (self.secret(key), self.path(raw.known_hosts.as_ref()));
                return Some(CredentialSource::SshKey { key: key?, known_hosts });
            }
            _ => {
                let message = "credentials are either `username` and `password`, or `token`, or `sshKey`";
                self.sink.absent(at.mark, message);
                return None;
            }
        };
        if let Some(known_hosts) = &raw.known_hosts {
            self.sink.error(known_hosts.mark, "`knownHosts` is only valid with `sshKey`");
        }
        found
    }

    /// Credentials for an HTTP service: `what` cannot use an SSH key.
    pub(crate) fn login(&mut self, at: Option<&At<Credentials>>, what: &str) -> Option<CredentialSource> {
        let at = at?;
        let found = self.credentials(at)?;
        if matches!(found, CredentialSource::SshKey { .. }) {
            self.sink.error(at.mark, format!("{what} cannot use `sshKey`"));
        }
        Some(found)
    }

    /// A key that is required for this kind.
    pub(crate) fn required<'c, T>(&mut self, at: Mark, kind: &str, key: &str, value: Option<&'c T>) -> Option<&'c T> {
        if value.is_none() {
            self.sink.absent(at, format!("`kind: {kind}` needs the key `{key}`"));
        }
        value
    }

    pub(crate) fn names(&mut self, names: &[At<String>]) -> Vec<String> {
        names.iter().filter_map(|at| self.text(at, value::name)).collect()
    }

    pub(crate) fn address(
        &mut self,
        mark: Mark,
        plain: Option<&At<String>>,
        secret: Option<&At<Secret>>,
    ) -> Option<Address> {
        match (plain, secret) {
            (Some(url), None) => self.text(url, value::http_url).map(Address::Plain),
            (None, Some(url)) => self.secret(url).map(Address::Secret),
            _ => {
                self.sink
                    .absent(mark, "the address is in exactly one of `url` and, where it is a secret, `webhookUrl`");
                None
            }
        }
    }

    pub(crate) fn url_or(&mut self, url: Option<&At<String>>, default: &str) -> Option<String> {
        match url {
            None => Some(default.to_owned()),
            Some(at) => self.text(at, value::http_url),
        }
    }
}
