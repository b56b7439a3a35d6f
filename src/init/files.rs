//! The files that are proposed, with comments for the person who reads them next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::from::Translation;
use super::layout::Layout;
use super::policies::{policies, rest_name};
use super::stage::Stage;
use crate::model::Pin;
use crate::overlay::Ignore;

/// Folders whose files usually run nowhere: tests, examples, and what is copied from elsewhere.
const ASIDE: &[&str] = &[
    "test",
    "tests",
    "e2e",
    "testdata",
    "fixtures",
    "example",
    "examples",
    "sample",
    "samples",
    "docs",
    "hack",
    "upstream",
    "vendor",
    "third_party",
    "third-party",
    ".github",
];
/// What `flux bootstrap` writes, and the next bootstrap overwrites.
const FLUX_COMPONENTS: &str = "gotk-components.yaml";
/// What is known besides the files.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The remote that the checkout came from.
    pub origin: Option<Origin>,
    /// The contexts of the kubeconfig.
    pub contexts: Vec<String>,
    /// Where the policies are read.
    pub policies: PoliciesAt,
    /// What another tool was told: nothing else is written.
    pub from: Option<Translation>,
}

/// Where the bot reads the proposed policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PoliciesAt {
    /// Beside the configuration: they are not in the repository yet.
    #[default]
    Checkout,
    /// In the repository.
    Repository,
}

/// A remote.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its address, without credentials.
    pub url: String,
    /// The branch that its `HEAD` names.
    pub branch: Option<String>,
    /// What serves it.
    pub host: Host,
    /// `owner/name` there.
    pub repository: String,
}

/// What serves a remote, judging by its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// github.com.
    GitHub,
    /// GitLab, at this address of its pages.
    GitLab(String),
    /// Gitea or Forgejo, at this address of its pages.
    Gitea(String),
    /// Bitbucket Cloud.
    Bitbucket,
    /// Bitbucket Data Center, at this address of its pages.
    BitbucketDc(String),
    /// Azure DevOps Services.
    AzureDevOps,
    /// Something else, or nobody knows.
    Other,
}

impl Host {
    /// Judges by the words in the host's name.
    fn of(host: &str, scheme: &str) -> Self {
        let lower = host.to_ascii_lowercase();
        let name = lower.split(':').next().unwrap_or_default();
        // The port of ssh is not the one of the pages.
        let site = if scheme.starts_with("http") { format!("{scheme}://{lower}") } else { format!("https://{name}") };
        let has = |word: &str| name.split('.').any(|label| label == word);
        match name {
            "github.com" | "ssh.github.com" => Self::GitHub,
            _ if has("gitlab") => Self::GitLab(site),
            "codeberg.org" => Self::Gitea(site),
            _ if has("gitea") || has("forgejo") => Self::Gitea(site),
            "bitbucket.org" | "altssh.bitbucket.org" => Self::Bitbucket,
            _ if has("bitbucket") => Self::BitbucketDc(site),
            "dev.azure.com" | "ssh.dev.azure.com" => Self::AzureDevOps,
            _ => Self::Other,
        }
    }

    /// The environment variable in which its token is expected.
    fn variable(&self) -> &'static str {
        match self {
            Self::GitHub => "GITHUB_TOKEN",
            Self::GitLab(_) => "GITLAB_TOKEN",
            Self::Gitea(_) => "GITEA_TOKEN",
            Self::Bitbucket | Self::BitbucketDc(_) => "BITBUCKET_TOKEN",
            Self::AzureDevOps => "AZURE_DEVOPS_TOKEN",
            Self::Other => "GIT_TOKEN",
        }
    }

    /// The name that Git gives the token with, where it is not one for all.
    fn username(&self) -> Option<&'static str> {
        match self {
            Self::Bitbucket => Some("x-token-auth"),
            Self::BitbucketDc(_) | Self::AzureDevOps => Some("landfall"),
            Self::GitHub | Self::GitLab(_) | Self::Gitea(_) | Self::Other => None,
        }
    }

    /// The forge as it is configured.
    pub(super) fn forge(&self, repository: &str) -> Option<String> {
        let of = |name: &str| format!("repository: {}, token: {{ env: {} }}", quoted(name), self.variable());
        let rest = of(repository);
        match self {
            Self::Bitbucket => Some(format!("{{ kind: bitbucket, {rest} }}")),
            Self::BitbucketDc(site) => {
                let name = repository.strip_prefix("scm/").unwrap_or(repository);
                let is_one = name.split('/').count() == 2;
                is_one.then(|| format!("{{ kind: bitbucket-dc, url: {}, {} }}", quoted(site), of(name)))
            }
            Self::AzureDevOps => {
                let (organization, name) = azure_names(repository)?;
                let url = quoted(&format!("https://dev.azure.com/{organization}"));
                Some(format!("{{ kind: azure-devops, url: {url}, {} }}", of(&name)))
            }
            Self::GitHub => Some(format!("{{ kind: github, {rest} }}")),
            Self::GitLab(site) if site == "https://gitlab.com" => Some(format!("{{ kind: gitlab, {rest} }}")),
            Self::GitLab(site) => Some(format!("{{ kind: gitlab, url: {}, {rest} }}", quoted(site))),
            Self::Gitea(site) => Some(format!("{{ kind: gitea, url: {}, {rest} }}", quoted(site))),
            Self::Other => None,
        }
    }
}

/// The organization, and `project/repository`, of a path on Azure DevOps: `acme/Ops/_git/deploys`, or by ssh
/// `v3/acme/Ops/deploys`. A project of the repository's name may be left out.
fn azure_names(path: &str) -> Option<(&str, String)> {
    let plain = |part: &&str| !part.is_empty() && !part.contains('%');
    let (organization, project, name) = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["v3", organization, project, name] | [organization, project, "_git", name] => (*organization, *project, *name),
        [organization, "_git", name] => (*organization, *name, *name),
        _ => return None,
    };
    let all_plain = [organization, project, name].iter().all(plain);
    all_plain.then(|| (organization, format!("{project}/{name}")))
}

impl Origin {
    /// Reads an address as `git remote get-url` prints it. What may be a secret in it is left out: the user of http, every
    /// password, and a query, which no repository has.
    #[must_use]
    pub fn parse(address: &str, branch: Option<String>) -> Self {
        let address = address.trim();
        let (scheme, rest) = match address.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => (String::new(), address),
        };
        let web = scheme.starts_with("http");
        let (before_path, _) = rest.split_once('/').unwrap_or((rest, ""));
        // A password may have an `@` of its own.
        let (user, rest) = match before_path.rfind('@') {
            Some(at) if !scheme.is_empty() => (&rest[..at], &rest[at + 1..]),
            _ => ("", rest),
        };
        let user = if web { "" } else { user.split(':').next().unwrap_or_default() };
        let rest = if web { rest.split(['?', '#']).next().unwrap_or_default() } else { rest };
        let url = match (scheme.as_str(), user) {
            ("", _) => rest.to_owned(),
            (_, "") => format!("{scheme}://{rest}"),
            _ => format!("{scheme}://{user}@{rest}"),
        };
        let (host, path) = match scheme.as_str() {
            "" => rest.split_once('@').map_or(rest, |(_, rest)| rest).split_once(':').unwrap_or(("", rest)),
            _ => rest.split_once('/').unwrap_or((rest, "")),
        };
        let host = Host::of(host, &scheme);
        let path = path.trim_matches('/');
        Self { url, branch, host, repository: path.strip_suffix(".git").unwrap_or(path).to_owned() }
    }

    /// A short name for the repository.
    fn name(&self) -> String {
        let last = self.repository.rsplit('/').next().unwrap_or_default();
        let plain = last.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let fits =
            !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if fits && plain.len() <= 50 { plain.to_owned() } else { "deploys".to_owned() }
    }
}

/// The files, each complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// `landfall.yaml`.
    pub config: String,
    /// `.landfall/policies.yaml`.
    pub policies: String,
    /// `.landfallignore`, if there is anything to leave alone.
    pub ignore: Option<String>,
    /// What was found.
    pub layout: Layout,
}

/// Proposes files for a repository with these pins.
#[must_use]
pub fn propose(pins: &[Pin], around: &Surroundings) -> Proposal {
    let ignore = ignored(pins);
    let (mut rules, _) = Ignore::parse(ignore.as_deref().unwrap_or_default());
    let kept: Vec<Pin> = pins.iter().filter(|pin| !rules.matches(&pin.path)).cloned().collect();
    let layout = Layout::of(&kept);
    let policies = policies(&layout, &kept, around.from.as_ref());
    Proposal { config: config(&layout, &kept, around), policies, ignore, layout }
}

/// A text as YAML that is read as this very text.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

fn ignored(pins: &[Pin]) -> Option<String> {
    let layout = Layout::of(pins);
    let environments: BTreeSet<&str> =
        layout.environments.iter().map(|environment| environment.name.as_str()).collect();
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    let mut components = 0;
    for pin in pins {
        let mut segments = pin.path.as_str().split('/').rev();
        components += usize::from(segments.next() == Some(FLUX_COMPONENTS));
        let aside = segments.find(|name| ASIDE.contains(name) && !environments.contains(name));
        if let Some(name) = aside {
            *folders.entry(name).or_default() += 1;
        }
    }
    let mut text = String::new();
    if components > 0 {
        text.push_str("# Written by `flux bootstrap`, which brings its own versions.\n");
        text.push_str(FLUX_COMPONENTS);
        text.push('\n');
    }
    if !folders.is_empty() {
        text.push_str("# Not deployed, or copied from elsewhere.\n");
        for name in folders.keys() {
            text.push_str(name);
            text.push_str("/\n");
        }
    }
    if text.is_empty() {
        None
    } else {
        Some(format!("# What Landfall leaves alone; the syntax of .gitignore.\n{text}"))
    }
}

fn config(layout: &Layout, pins: &[Pin], around: &Surroundings) -> String {
    let mut text = "\
# Where things are. `landfall check` checks this file and the policies, `landfall doctor` every connection. All keys are in the
# reference of the configuration; `landfall schema config` prints the schema for an editor.
interval: 1m

repositories:
"
    .to_owned();
    repository(&mut text, layout, around);
    registries(&mut text, pins);
    clusters(&mut text, layout, &around.contexts);
    text
}

fn repository(text: &mut String, layout: &Layout, Surroundings { origin, policies, from, .. }: &Surroundings) {
    let origin = origin.as_ref();
    let name = origin.map_or_else(|| "deploys".to_owned(), Origin::name);
    _ = writeln!(text, "  - name: {}", quoted(&name));
    match origin {
        Some(origin) => {
            _ = writeln!(text, "    url: {}", quoted(&origin.url));
            if let Some(branch) = &origin.branch {
                _ = writeln!(text, "    branch: {}", quoted(branch));
            }
        }
        None => text.push_str("    # The checkout has no remote `origin`: write the address of the repository here.\n    url: \"https://git.example.com/acme/deploys.git\"\n"),
    }
    let variable = origin.map_or("GIT_TOKEN", |origin| origin.host.variable());
    match origin.map(|origin| origin.url.as_str()) {
        Some(url) if url.starts_with("http") => {
            text.push_str("    # A token that may push; it is never written into a file.\n");
            _ = match origin.and_then(|origin| origin.host.username()) {
                Some(name) => writeln!(text, "    credentials: {{ username: {name}, password: {{ env: {variable} }} }}"),
                None => writeln!(text, "    credentials: {{ token: {{ env: {variable} }} }}"),
            };
        }
        Some(url) if !url.starts_with('/') && !url.starts_with("file:") => text.push_str(
            "    # Without these, the keys of the user who runs the bot are used.\n    # credentials: { sshKey: { file: /run/secrets/deploy-key }, knownHosts: /run/secrets/known_hosts }\n",
        ),
        _ => {}
    }
    match origin.and_then(|origin| origin.host.forge(&origin.repository)) {
        Some(forge) => _ = writeln!(text, "    forge: {forge}"),
        None => text.push_str(
            "    # Pull requests are kept in Git itself and merged with `landfall pr merge`, until a forge is named here.\n    forge: { kind: local }\n",
        ),
    }
    text.push_str(match policies {
        PoliciesAt::Checkout => {
            "    # Read from this folder until it is in the repository; then write `policies: { path: .landfall }`.\n    policies: { file: .landfall }\n"
        }
        PoliciesAt::Repository => "    policies: { path: .landfall }\n",
    });
    if from.as_ref().is_some_and(|from| from.conventional) {
        text.push_str("    messages: conventional\n");
    }
    // A tool that commits to production would be stopped by it.
    let commits = |from: &Translation| {
        from.policies.iter().any(|policy| policy.fields.iter().any(|(key, value)| *key == "write" && value == "commit"))
    };
    if from.as_ref().is_some_and(commits) {
        return;
    }
    let production = layout.environments.iter().filter(|environment| environment.stage == Stage::Production);
    let patterns: BTreeSet<&str> =
        production.flat_map(|environment| &environment.patterns).map(String::as_str).collect();
    if !patterns.is_empty() {
        _ = write!(
            text,
            "    # Whatever the policies say, production changes only by pull requests that people merge.\n    caps:\n      - paths: {}\n        write: [pull-request, never]\n",
            list(patterns)
        );
    }
}

fn registries(text: &mut String, pins: &[Pin]) {
    let hosts: BTreeSet<&str> = pins.iter().map(|pin| pin.name.registry()).collect();
    let (mut lines, mut comments) = (String::new(), String::new());
    for host in hosts {
        let says = |what: &str| format!("  - {{ host: {}, {what} }}\n", quoted(host));
        match kind_of(host) {
            RegistryKind::Plain => lines.push_str(&says("plainHttp: true")),
            RegistryKind::Aws => lines.push_str(&says("credentials: { aws: {} }")),
            RegistryKind::Azure => lines.push_str(&says("credentials: { azure: {} }")),
            RegistryKind::Google => comments.push_str(&format!("# {}", says("credentials: { google: {} }"))),
            RegistryKind::Private => {
                let login = says("credentials: { username: puller, password: { env: REGISTRY_PASSWORD } }");
                comments.push_str(&format!("# {login}"));
            }
            RegistryKind::Public => {}
        }
    }
    if lines.is_empty() && comments.is_empty() {
        return;
    }
    text.push_str("\n# Only registries that need settings; the others work without.\n");
    text.push_str(if lines.is_empty() { "# registries:\n" } else { "registries:\n" });
    text.push_str(&lines);
    text.push_str(&comments);
}

enum RegistryKind {
    Plain,
    Aws,
    Azure,
    Google,
    Private,
    Public,
}

/// Registries that serve everybody.
const PUBLIC: &[&str] = &[
    "docker.io",
    "ghcr.io",
    "quay.io",
    "registry.k8s.io",
    "k8s.gcr.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
    "lscr.io",
    "registry.gitlab.com",
    "registry.access.redhat.com",
    "registry.redhat.io",
    "gcr.io",
    "docker.elastic.co",
    "nvcr.io",
    "cgr.dev",
    "xpkg.upbound.io",
    "codeberg.org",
    "oci.external-secrets.io",
];

fn kind_of(host: &str) -> RegistryKind {
    let name = host.split(':').next().unwrap_or(host);
    let here = matches!(name, "localhost" | "127.0.0.1") || name.ends_with(".localhost") || name.ends_with(".local");
    if here || name.ends_with(".svc") || !name.contains('.') {
        RegistryKind::Plain
    } else if name.contains(".dkr.ecr.") {
        RegistryKind::Aws
    } else if name.ends_with(".azurecr.io") {
        RegistryKind::Azure
    } else if name.ends_with(".pkg.dev") || name.ends_with(".gcr.io") {
        RegistryKind::Google
    } else if PUBLIC.contains(&name) {
        RegistryKind::Public
    } else {
        RegistryKind::Private
    }
}

fn clusters(text: &mut String, layout: &Layout, contexts: &[String]) {
    text.push_str("\n# The clusters in which Landfall sees whether a version really runs; it only reads there.\n");
    let names: Vec<&str> = match layout.environments.as_slice() {
        [] => vec![rest_name(layout)],
        environments => environments.iter().map(|environment| environment.name.as_str()).collect(),
    };
    if contexts.is_empty() {
        let all = list(names.iter().copied());
        _ = write!(
            text,
            "# clusters:\n#   - {{ name: main, kubeconfig: {{ file: kubeconfig }}, environments: {all} }}\n"
        );
        return;
    }
    text.push_str("# These are the contexts of your kubeconfig: keep those that run this repository, and say which environments each runs.\n# clusters:\n");
    for context in contexts {
        let fits: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| context.split(['-', '_', '.', '/', ':', '@']).any(|part| part == *name))
            .collect();
        let environments = list(if fits.is_empty() { names.clone() } else { fits });
        let name: String = context.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(50).collect();
        let name = name.trim_matches('-');
        _ = writeln!(
            text,
            "#   - {{ name: {}, context: {}, kubeconfig: {{ file: kubeconfig }}, environments: {environments} }}",
            quoted(if name.is_empty() { "main" } else { name }),
            quoted(context)
        );
    }
}
