//! Repository addresses, so normalised that two spellings of one repository compare equal.
//!
//! Promise: [`Address::parse`] never panics, never keeps user information (a token is often written there), and is
//! idempotent: an address that is shown parses to itself.
//!
//! Rules:
//! - `https`, `http`, `ssh`, `git` and the form of scp (`git@host:path`) are one: a forge serves the same repository by all
//! - user names are dropped; so are ports of ssh and git, and 80 and 443 of http(s). Other http(s) ports stay
//! - `ssh.github.com`, `altssh.gitlab.com`, `altssh.bitbucket.org` are the hosts that they stand in for; of Azure DevOps,
//!   `ssh.dev.azure.com:v3/org/project/repo` and `org.visualstudio.com/project/_git/repo` are
//!   `dev.azure.com/org/project/_git/repo`
//! - the host is lower case. So is the path where the forge does not tell upper from lower case: hosts one of whose labels
//!   is, or begins or ends with, the name of GitHub, GitLab, Bitbucket, Gitea, Forgejo, Codeberg or Azure DevOps. Plain Git
//!   servers do tell them apart
//! - trailing `/` and `.git`, empty components, queries and fragments are dropped
//! - `oci://` stays what it is: a registry's repository is never a Git one

use std::fmt;

/// Longer than any address that a tool takes.
const MAX_ADDRESS: usize = 2_048;

/// Forges that take paths in any case.
const CASELESS: [&str; 7] = ["github", "gitlab", "bitbucket", "gitea", "forgejo", "codeberg", "azure"];

/// How often an address is normalised before it is none.
const ROUNDS: usize = 8;

/// A normalised address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(String);

impl Address {
    /// Normalises an address; `None` for what is none: empty, relative, with control characters, or endless.
    ///
    /// What was normalised stays as it is when it is normalised again; odd texts (blanks before a `?`, `.git` after `.git`)
    /// may take several rounds, and what never settles is no address.
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
        // A colon before the first slash: host and path, as scp writes them.
        if let Some(colon) = first.rfind("]:").map(|at| at + 1).or_else(|| first.find(':')) {
            let (authority, path) = (&text[..colon], &text[colon + 1..]);
            let port = path.split('/').next().is_some_and(|first| first.parse::<u16>().is_ok());
            // Without a user, `host:8443/path` is an address that lost its scheme.
            if port && !authority.contains('@') {
                return located("https://", text, Ports::Http);
            }
            return located("https://", &format!("{authority}/{path}"), Ports::Dropped);
        }
        (first.contains('.') && !first.starts_with('.')).then(|| located("https://", text, Ports::Http)).flatten()
    }

    /// The address, fit to be shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last two components, lower case: what stays the same when a repository is reached by another host.
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

/// Hosts that stand in for others.
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

/// Without empty components.
fn plain(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

fn without_git(mut path: String) -> String {
    while let Some(shorter) = path.strip_suffix(".git") {
        path = shorter.trim_end_matches('/').to_owned();
    }
    path
}
