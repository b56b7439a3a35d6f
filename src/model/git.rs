//! Names inside a Git repository: paths, object ids, branches.

use std::fmt;

use serde::Serialize;

/// A path inside a repository: relative, `/`-separated, no empty, `.` or `..` component, never inside `.git`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RepoPath(String);

impl RepoPath {
    /// Parses a path; a leading `./` is dropped.
    ///
    /// # Errors
    /// When the path is absolute, leaves the repository or names Git's own folder in any spelling
    /// (case-insensitive, as checkouts on other systems would read it).
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bad = |reason| NameError { text: text.chars().take(200).collect(), what: "path", reason };
        let text = text.strip_prefix("./").unwrap_or(text);
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        for part in text.split('/') {
            match part {
                "" => return Err(bad("it is absolute or has an empty component")),
                "." | ".." => return Err(bad("it has a . or .. component")),
                _ if part.eq_ignore_ascii_case(".git") => return Err(bad("it is inside .git")),
                _ if part.contains('\0') => return Err(bad("it has a NUL character")),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether Terraform or OpenTofu reads the file.
    #[must_use]
    pub fn is_terraform(&self) -> bool {
        let name = self.file_name().to_ascii_lowercase();
        let ends = [".tf", ".tofu", ".tfvars", ".tf.json", ".tofu.json", ".tfvars.json"];
        ends.iter().any(|end| name.ends_with(end))
    }

    /// The file name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The file of this name in the same folder; `None` if that is no name of a file.
    #[must_use]
    pub fn beside(&self, name: &str) -> Option<Self> {
        match self.parent() {
            _ if name.contains('/') => None,
            "" => Self::parse(name).ok(),
            folder => Self::parse(&format!("{folder}/{name}")).ok(),
        }
    }

    /// The folder that holds the file, empty for the repository's root.
    #[must_use]
    pub fn parent(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(parent, _)| parent)
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A full SHA-1 object id of a commit: 40 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct CommitId(String);

impl CommitId {
    /// Parses a full id.
    ///
    /// # Errors
    /// When the text is not 40 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.to_ascii_lowercase();
        if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text))
        } else {
            Err(NameError {
                text: text.chars().take(80).collect(),
                what: "commit id",
                reason: "it is not 40 hexadecimal digits",
            })
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A branch name without `refs/heads/`, valid by `git check-ref-format --branch`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct BranchName(String);

impl BranchName {
    /// Parses a short branch name.
    ///
    /// # Errors
    /// If Git would refuse the name (git-check-ref-format(1)), or if it begins with `-` and could be mistaken for an
    /// option.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bad = |reason| NameError { text: text.chars().take(200).collect(), what: "branch name", reason };
        if text.is_empty() || text == "@" || text == "HEAD" {
            return Err(bad("it is empty or reserved"));
        }
        if text.starts_with('-') || text.starts_with("refs/") {
            return Err(bad("it starts with - or refs/"));
        }
        if text.ends_with('.') || text.contains("..") || text.contains("@{") {
            return Err(bad("it ends with a dot or has .. or @{"));
        }
        if text
            .chars()
            .any(|c| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\' | '\u{7f}'))
        {
            return Err(bad("it has a space, a control character or one of ~ ^ : ? * [ \\"));
        }
        if text.split('/').any(|part| {
            let lock = std::path::Path::new(part).extension().is_some_and(|e| e.eq_ignore_ascii_case("lock"));
            part.is_empty() || part.starts_with('.') || lock
        }) {
            return Err(bad("a component is empty, starts with a dot or ends with .lock"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The short name, e.g. `main`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full ref name, e.g. `refs/heads/main`.
    #[must_use]
    pub fn full(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name and address for commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name, one line.
    pub name: String,
    /// The e-mail address, one line.
    pub email: String,
}

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a {what}: {reason}", text.escape_debug())]
pub struct NameError {
    /// The text, shortened.
    pub text: String,
    /// What kind of name it should be.
    pub what: &'static str,
    /// The rule it breaks.
    pub reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_repository() {
        assert_eq!(RepoPath::parse("./apps/web/kustomization.yaml").unwrap().file_name(), "kustomization.yaml");
        assert_eq!(RepoPath::parse("a.yaml").unwrap().parent(), "");
        for text in ["", "/etc/passwd", "a/../b", "a//b", ".GIT/config", "a/.git/x", "a/"] {
            assert!(RepoPath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn branches_are_those_git_accepts() {
        for text in ["main", "landfall/dev/web", "a-b", "ä"] {
            assert!(BranchName::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "-f",
            "a..b",
            "a b",
            "a.lock",
            "a/.b",
            "refs/heads/x",
            "a~1",
            "HEAD",
            "@",
            "a//b",
            "a/",
            "a\\b",
            "a@{1}",
        ] {
            assert!(BranchName::parse(text).is_err(), "{text}");
        }
    }
}
