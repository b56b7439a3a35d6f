//! Repository addresses, normalised so that two spellings of one repository compare equal.
//!
//! Promise: [`Address::parse`] never panics, never keeps user information (which often contains a token), and is
//! idempotent: a displayed address parses to itself.
//!
//! Rules:
//! - `https`, `http`, `ssh`, `git` and the scp form (`git@host:path`) are equivalent: a forge serves the same
//!   repository over all of them
//! - user names are dropped, and so are ports of ssh and git, and 80 and 443 of http(s); other http(s) ports are kept
//! - `ssh.github.com`, `altssh.gitlab.com`, `altssh.bitbucket.org` are replaced by their main hosts; in Azure DevOps,
//!   `ssh.dev.azure.com:v3/org/project/repo` and `org.visualstudio.com/project/_git/repo` are
//!   `dev.azure.com/org/project/_git/repo`
//! - the host is lower case, and so is the path on forges that ignore case: hosts with a label that equals, starts with
//!   or ends with GitHub, GitLab, Bitbucket, Gitea, Forgejo, Codeberg or Azure DevOps. Plain Git servers distinguish
//!   case
//! - trailing `/` and `.git`, empty components, queries and fragments are dropped
//! - `oci://` is kept: a repository in a registry is never a Git repository

use std::fmt;

/// Longer than any address that a tool accepts.
const MAX_ADDRESS: usize = 2_048;

/// Forges that ignore the case of paths.
const CASELESS: [&str; 7] = ["github", "gitlab", "bitbucket", "gitea", "forgejo", "codeberg", "azure"];

/// How many rounds of normalisation an address may take.
const ROUNDS: usize = 8;

/// A normalised address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(String);

impl Address {
    /// Normalises an address. Returns `None` if it is not one: empty, relative, with control characters, or too long.
    ///
    /// The result is stable under normalisation. Odd texts (blanks before a `?`, `.git` after `.git`) may take several
    /// rounds; a text that never settles is not an address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut address = Self::once(text)?;
        for _ in 0..ROUNDS {
            let again = Self::once(&address.0)?;
            if again == address {
                return Some(address);
            }
            address = again;
        }
        None
    }

    fn once(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_ADDRESS || text.chars().any(char::is_control) {
            return None;
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "https" | "http" => located("https://", rest, Ports::Http),
                "ssh" | "git" | "git+ssh" | "ssh+git" | "git+https" | "git+http" => {
                    located("https://", rest, Ports::Dropped)
                }
                "oci" => located("oci://", rest, Ports::Http),
                "file" => local(rest.strip_prefix("localhost").unwrap_or(rest)),
                _ => None,
            };
        }
        if text.starts_with('/') {
            return local(text);
        }
        let first = text.split('/').next().unwrap_or(text);
        // A colon before the first slash separates host and path, as in the scp form.
        if let Some(colon) = first.rfind("]:").map(|at| at + 1).or_else(|| first.find(':')) {
            let (authority, path) = (&text[..colon], &text[colon + 1..]);
            let port = path.split('/').next().is_some_and(|first| first.parse::<u16>().is_ok());
            // Without a user, `host:8443/path` is a URL without its scheme.
            if port && !authority.contains('@') {
                return located("https://", text, Ports::Http);
            }
            return located("https://", &format!("{authority}/{path}"), Ports::Dropped);
        }
        (first.contains('.') && !first.starts_with('.')).then(|| located("https://", text, Ports::Http)).flatten()
    }

    /// The address, safe to display.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last two components in lower case: they stay the same if a repository is reached through another host.
    #[must_use]
    pub(super) fn tail(&self) -> String {
        let parts: Vec<&str> = self.0.rsplit('/').take(2).collect();
        parts.into_iter().rev().collect::<Vec<_>>().join("/").to_lowercase()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports {
    Http,
    Dropped,
}

/// `[user@]host[:port]/path`.
fn located(scheme: &str, rest: &str, ports: Ports) -> Option<Address> {
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let (host, port) = split_port(&authority);
    if host.is_empty() || host.contains(char::is_whitespace) || host.contains(':') && !host.starts_with('[') {
        return None;
    }
    let port = port.filter(|port| ports == Ports::Http && !matches!(*port, "" | "80" | "443"));
    let (host, path) = forge(host, path);
    let mut path = plain(&path);
    if scheme == "https://" {
        path = without_git(path);
    }
    if path.is_empty() {
        return None;
    }
    let label = |label: &str| CASELESS.iter().any(|forge| label.starts_with(forge) || label.ends_with(forge));
    if host.split('.').any(label) {
        path = path.to_lowercase();
    }
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    Some(Address(format!("{scheme}{host}{port}/{path}")))
}

fn local(path: &str) -> Option<Address> {
    let path = path.strip_prefix('/').map(|path| without_git(plain(path))).filter(|path| !path.is_empty())?;
    Some(Address(format!("file:///{path}")))
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Replaces hosts that are aliases of others.
fn forge(host: &str, path: &str) -> (String, String) {
    let as_is = |host: &str| (host.to_owned(), path.to_owned());
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match (host, parts.as_slice()) {
        ("ssh.github.com", _) => as_is("github.com"),
        ("altssh.gitlab.com", _) => as_is("gitlab.com"),
        ("altssh.bitbucket.org", _) => as_is("bitbucket.org"),
        ("ssh.dev.azure.com" | "vs-ssh.visualstudio.com", ["v3", org, project, repo]) => {
            ("dev.azure.com".to_owned(), format!("{org}/{project}/_git/{repo}"))
        }
        (_, [rest @ .., project, "_git", repo]) if host.ends_with(".visualstudio.com") && rest.len() <= 1 => {
            let org = host.trim_end_matches(".visualstudio.com");
            ("dev.azure.com".to_owned(), format!("{org}/{project}/_git/{repo}"))
        }
        _ => as_is(host),
    }
}

/// Drops empty components.
fn plain(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

fn without_git(mut path: String) -> String {
    while let Some(shorter) = path.strip_suffix(".git") {
        path = shorter.trim_end_matches('/').to_owned();
    }
    path
}
