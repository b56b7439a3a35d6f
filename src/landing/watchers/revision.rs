//! Which revision of a repository a controller asks for, and whether a branch's new commits ever reach it.

use std::fmt;

use crate::model::BranchName;
use crate::model::observation::SourceRef;

use super::say::shown;

/// The revision that a controller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FollowedRevision {
    /// `HEAD`, or nothing if that means the same.
    Head,
    Branch(String),
    /// A range of versions: the newest tag in it.
    Versions(String),
    Tag(String),
    Commit(String),
    /// A branch or a tag.
    Name(String),
    /// Another full reference.
    Reference(String),
    /// A tag or a digest of an artifact in a registry.
    Artifact,
}

/// How a branch's commits reach a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follows {
    /// It reads this branch.
    Branch,
    /// It reads the repository's default branch, which is this one.
    DefaultBranch,
    /// It reads the default branch, and it is not known which one that is. It is taken to be this one, because a wrong
    /// guess shows in the revision that the controller reports.
    AssumedDefault,
    /// It reads the newest tag in a range: a commit arrives when it, or a later one, is tagged.
    Versions(String),
    /// It reads an artifact that is made from the repository.
    Artifact,
}

impl FollowedRevision {
    /// `targetRevision` of an Argo CD source (argo-cd: `util/git/client.go`, `LsRemote`).
    pub(super) fn argo(text: Option<&str>) -> Self {
        let text = text.map(str::trim).unwrap_or_default();
        match text {
            "" | "HEAD" => Self::Head,
            _ if is_commit(text) => Self::Commit(text.to_owned()),
            _ if text.starts_with("refs/") => Self::reference(text),
            _ if is_range(text) => Self::Versions(text.to_owned()),
            _ => Self::Name(text.to_owned()),
        }
    }

    /// `spec.ref` of a GitRepository. The precedence is `commit`, `name`, `semver`, `tag`, `branch`; without any of
    /// them it is the branch `master` (source-controller API, `GitRepositoryRef`).
    pub(super) fn flux(reference: &SourceRef) -> Self {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        if let Some(commit) = filled(&reference.commit) {
            return Self::Commit(commit);
        }
        if let Some(name) = filled(&reference.name) {
            return Self::reference(&name);
        }
        if let Some(range) = filled(&reference.semver) {
            return Self::Versions(range);
        }
        if let Some(tag) = filled(&reference.tag) {
            return Self::Tag(tag);
        }
        Self::Branch(filled(&reference.branch).unwrap_or_else(|| "master".to_owned()))
    }

    fn reference(text: &str) -> Self {
        if let Some(branch) = text.strip_prefix("refs/heads/") {
            Self::Branch(branch.to_owned())
        } else if let Some(tag) = text.strip_prefix("refs/tags/") {
            Self::Tag(tag.to_owned())
        } else {
            Self::Reference(text.to_owned())
        }
    }

    /// Whether new commits of a branch arrive.
    pub(super) fn follows(&self, branch: &BranchName, default: Option<&BranchName>) -> Option<Follows> {
        match self {
            Self::Head => match default {
                Some(default) => (default == branch).then_some(Follows::DefaultBranch),
                None => Some(Follows::AssumedDefault),
            },
            Self::Branch(name) | Self::Name(name) => (name == branch.as_str()).then_some(Follows::Branch),
            // A branch may have a name that looks like a version range; Git's own lookup then finds the branch.
            Self::Versions(range) if range == branch.as_str() => Some(Follows::Branch),
            Self::Commit(short) if short == branch.as_str() && short.len() < 40 => Some(Follows::Branch),
            Self::Versions(range) => Some(Follows::Versions(shown(range))),
            Self::Tag(_) | Self::Commit(_) | Self::Reference(_) => None,
            Self::Artifact => Some(Follows::Artifact),
        }
    }
}

impl fmt::Display for FollowedRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("the default branch"),
            Self::Branch(name) => write!(f, "the branch `{}`", shown(name)),
            Self::Versions(range) => write!(f, "tags in the range `{}`", shown(range)),
            Self::Tag(tag) => write!(f, "the tag `{}`", shown(tag)),
            Self::Commit(commit) => write!(f, "the commit `{}`", shown(commit)),
            Self::Name(name) => write!(f, "the branch or tag `{}`", shown(name)),
            Self::Reference(name) => write!(f, "`{}`", shown(name)),
            Self::Artifact => f.write_str("an artifact in a registry"),
        }
    }
}

/// A full commit id, or an abbreviated one as Argo CD accepts it: at least seven digits.
fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A semver constraint that may match several versions. A plain version (`v1.2.3`) is one tag, and could just as well
/// be the name of a branch.
fn is_range(text: &str) -> bool {
    let wild = |part: &str| matches!(part, "x" | "X" | "*");
    let bare = text.trim_start_matches(['v', 'V']);
    text.starts_with(['^', '~', '>', '<', '=', '!'])
        || text.contains('*')
        || text.contains("||")
        || text.contains(" - ")
        || bare.starts_with(|c: char| c.is_ascii_digit()) && bare.split('.').any(wild)
}
