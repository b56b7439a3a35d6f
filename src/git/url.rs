//! A repository's address: the four accepted forms.
//!
//! Promise: the text of a [`RemoteUrl`] contains no secret, no control character and nothing that Git or ssh could read
//! as an option or as a helper program (`ext::sh -c …`), so it may be printed and passed as an argument.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::model::NameError;

/// How a remote is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `https://`
    Https,
    /// `http://`: nothing is encrypted, not even credentials; for loopback and closed networks.
    Http,
    /// `ssh://` or `user@host:path`
    Ssh,
    /// A folder on this machine.
    File,
}

impl Transport {
    /// Whether a fetch may leave out large files: on this machine there is nothing to save.
    pub(super) fn filters(self) -> bool {
        self != Self::File
    }

    /// Its name in Git's `protocol.<name>.allow` and `GIT_ALLOW_PROTOCOL`.
    pub(super) fn git_name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::File => "file",
        }
    }
}

/// The address of a repository: `https://…`, `http://…`, `ssh://…`, `user@host:path`, a path, or `file:///…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteUrl {
    transport: Transport,
    text: String,
    /// Scheme, host and port, for http(s) only: credentials are bound to it.
    origin: Option<String>,
}

impl RemoteUrl {
    /// Parses an address.
    ///
    /// # Errors
    /// For every other transport (`git://`, `ext::`, …), for user information in an http(s) address (it belongs in the
    /// credentials; a token in place of the user name is common), and for names that could be read as an option. The
    /// error never repeats user information.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bad = |reason| NameError { text: shown(text), what: "Git remote", reason };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(bad("it has a control character"));
        }
        if text.starts_with('-') {
            return Err(bad("it starts with - and could be read as an option"));
        }
        match text.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => match scheme.to_ascii_lowercase().as_str() {
                "https" => http(text, Transport::Https).map_err(bad),
                "http" => http(text, Transport::Http).map_err(bad),
                "ssh" => ssh_url(rest).map_err(bad),
                "file" => file_url(rest).map_err(bad),
                _ => Err(bad("only https, http, ssh and file addresses, user@host:path, and paths are accepted")),
            },
            _ => scp_or_path(text).map_err(bad),
        }
    }

    /// How it is reached.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The address in the form that Git accepts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same address, with a relative path resolved against `folder` (that of the configuration file).
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        if self.transport == Transport::File
            && let Some(joined) = folder.join(&self.text).to_str()
        {
            joined.clone_into(&mut self.text);
        }
        self
    }

    /// The folder, if it is one.
    #[must_use]
    pub fn as_path(&self) -> Option<PathBuf> {
        (self.transport == Transport::File).then(|| PathBuf::from(&self.text))
    }

    /// Scheme, host and port of an http(s) address.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The text for an error message: anything before an `@` of the authority may be a secret.
fn shown(text: &str) -> String {
    let text: String = text.chars().take(200).collect();
    let (scheme, rest) = text.split_once("://").map_or(("", text.as_str()), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("…@{host}"));
    if text.contains("://") { format!("{scheme}://{rest}") } else { rest }
}

fn http(text: &str, transport: Transport) -> Result<RemoteUrl, &'static str> {
    if text.contains(char::is_whitespace) {
        return Err("it has a space");
    }
    if text.split_once("://").is_some_and(|(_, rest)| rest.starts_with(['/', '\\'])) {
        return Err("it has no valid host");
    }
    let url = url::Url::parse(text).map_err(|_| "it is not a valid address")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user name or password; put them into the repository's `credentials`");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or fragment");
    }
    if url.host_str().is_none_or(|host| host.is_empty() || host.starts_with('-')) {
        return Err("it has no valid host");
    }
    let origin = url.origin().ascii_serialization();
    Ok(RemoteUrl { transport, text: url.to_string(), origin: Some(origin) })
}

fn ssh_url(rest: &str) -> Result<RemoteUrl, &'static str> {
    let (authority, path) = rest.split_once('/').ok_or("it has no path")?;
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if user.is_some_and(|user| user.contains(':')) {
        return Err("it has a password; ssh takes a key, see the repository's `credentials`");
    }
    if let Some((host, port)) = host.rsplit_once(':').filter(|_| !host.ends_with(']')) {
        if port.parse::<u16>().is_err() {
            return Err("its port is not a number");
        }
        check_ssh(user, host)?;
    } else {
        check_ssh(user, host)?;
    }
    if path.is_empty() || path.starts_with('-') {
        return Err("it has no valid path");
    }
    Ok(RemoteUrl { transport: Transport::Ssh, text: format!("ssh://{rest}"), origin: None })
}

fn check_ssh(user: Option<&str>, host: &str) -> Result<(), &'static str> {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_ok = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.starts_with('-') && plain(host),
    };
    if !host_ok {
        return Err("it has no valid host");
    }
    if user.is_some_and(|user| user.is_empty() || user.starts_with('-') || !plain(user)) {
        return Err("its user name is not a plain word");
    }
    Ok(())
}

fn file_url(rest: &str) -> Result<RemoteUrl, &'static str> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err("a file address has three slashes: file:///folder");
    }
    let url = url::Url::parse(&format!("file://{path}")).map_err(|_| "it is not a valid address")?;
    let path = url.to_file_path().map_err(|()| "it is not a path of this machine")?;
    let text = path.to_str().ok_or("it is not UTF-8")?.to_owned();
    if text.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    Ok(RemoteUrl { transport: Transport::File, text, origin: None })
}

/// Git's own rule: a colon before the first slash makes it `host:path`, and `name::` asks for a helper program.
fn scp_or_path(text: &str) -> Result<RemoteUrl, &'static str> {
    let head = text.split('/').next().unwrap_or(text);
    let host_end = if head.contains("[") { head.find("]:").map(|at| at + 1) } else { head.find(':') };
    let Some(colon) = host_end else {
        return Ok(RemoteUrl { transport: Transport::File, text: text.to_owned(), origin: None });
    };
    let (authority, path) = (&text[..colon], &text[colon + 1..]);
    if path.starts_with(':') {
        return Err("helper programs (`name::…`) are not accepted");
    }
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    // Git would take `user:password@host:path` for the path `password@host:path` on the host `user`.
    if user.is_none() && path.split('/').next().is_some_and(|first| first.contains('@')) {
        return Err("it seems to have a password; ssh takes a key, see the repository's `credentials`");
    }
    check_ssh(user, host)?;
    if path.is_empty() || path.starts_with('-') {
        return Err("it has no valid path");
    }
    Ok(RemoteUrl { transport: Transport::Ssh, text: text.to_owned(), origin: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_write_a_remote() {
        for (text, transport) in [
            ("https://git.example.com/acme/deploys.git", Transport::Https),
            ("HTTPS://git.example.com:8443/acme/deploys", Transport::Https),
            ("http://127.0.0.1:3000/r.git", Transport::Http),
            ("ssh://git@git.example.com:2222/acme/deploys.git", Transport::Ssh),
            ("ssh://[::1]/r.git", Transport::Ssh),
            ("git@git.example.com:acme/deploys.git", Transport::Ssh),
            ("git.example.com:deploys.git", Transport::Ssh),
            ("/srv/git/deploys.git", Transport::File),
            ("/srv/a:b/with space.git", Transport::File),
            ("../deploys.git", Transport::File),
            ("./a:b", Transport::File),
            ("file:///srv/git/deploys.git", Transport::File),
        ] {
            let url = RemoteUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url.transport(), transport, "{text}");
        }
        assert_eq!(RemoteUrl::parse("file:///srv/a%20b").unwrap().as_str(), "/srv/a b");
        let url = RemoteUrl::parse("../r.git").unwrap().relative_to(Path::new("/etc/landfall"));
        assert_eq!(url.as_str(), "/etc/landfall/../r.git");
        let url = RemoteUrl::parse("https://Git.Example.com:443/x").unwrap();
        assert_eq!(url.origin(), Some("https://git.example.com"));
    }

    #[test]
    fn what_could_run_or_leak_something_is_refused() {
        for text in [
            "",
            "ext::sh -c touch% /tmp/x",
            "EXT::sh",
            "fd::17",
            "transport::https://x",
            "git://git.example.com/r.git",
            "ftp://git.example.com/r.git",
            "git+ssh://git.example.com/r.git",
            "-oProxyCommand=x:y",
            "--upload-pack=x",
            "ssh://-oProxyCommand=x/r.git",
            "ssh://git@-oProxyCommand=x/r.git",
            "ssh://-l@git.example.com/r.git",
            "ssh://git.example.com/-x",
            "git.example.com:-x",
            "-x@git.example.com:r",
            "git@git example.com:r",
            "ssh://git@host/r\nx",
            "ssh://user:secret@host/r",
            "user:secret@host:r",
            "https://git.example.com/r.git?x=1",
            "https://git.example.com/r.git#x",
            "https:///r.git",
            "file://elsewhere/srv/git",
            "file:///srv/a%0ab",
            "a\u{1b}[31mb",
        ] {
            assert!(RemoteUrl::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn errors_never_repeat_user_information() {
        for text in [
            "https://bot:hunter2@git.example.com/r.git",
            "https://hunter2@git.example.com/r.git",
            "https://hunter2@git.example.com/a@b",
            "ssh://git:hunter2@host/r",
            "bot:hunter2@host:r",
            "ftp://bot:hunter2@host/r",
        ] {
            let error = RemoteUrl::parse(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
