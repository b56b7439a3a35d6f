//! Values that may be secrets: what a `Secret` and a `.env` hold.
//!
//! Promise: no reason shows such a value, and in a `Secret` only what is certainly a version is a pin.

use std::ops::Range;

use super::kinds::is_numbered;
use super::tree::{Id, Tree};
use super::value::{ReadValue, read_value};
use crate::model::{SkipReason, Tag};

/// Whether a value may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// Everybody who reads the repository's pins may read it.
    Open,
    /// A variable, which may be a secret as well as a version.
    Variable,
    /// A value of a `Secret`.
    Secret,
}

impl Secrecy {
    /// Reads a value as [`read_value`] does.
    pub(super) fn read(self, value: &str, declared: Option<&str>) -> Result<ReadValue, SkipReason> {
        let read = read_value(value, declared).map_err(|reason| self.hides(reason))?;
        let certain =
            read.version.digest.is_some() || read.version.tag.as_ref().map(Tag::as_str).is_some_and(is_numbered);
        if self == Self::Secret && !certain { Err(SkipReason::NotShown) } else { Ok(read) }
    }

    /// The reason without the value.
    pub(super) fn hides(self, reason: SkipReason) -> SkipReason {
        match reason {
            SkipReason::NotAnImage { .. } | SkipReason::OtherImage { .. } | SkipReason::NoVersion { .. }
                if self != Self::Open =>
            {
                SkipReason::NotShown
            }
            reason => reason,
        }
    }
}

/// Which values of a file may be secrets.
#[derive(Debug, Clone, Default)]
pub(super) enum Secrets {
    /// None.
    #[default]
    None,
    /// Those of a `.env`.
    Variables,
    /// Those in these bytes, in their order.
    Within(Vec<Range<usize>>),
    /// All of a file that could not be read as YAML and names the kind `Secret`.
    Everywhere,
}

impl Secrets {
    /// Those of a file's objects.
    pub(super) fn of_tree(tree: &Tree<'_>) -> Self {
        let mut within: Vec<Range<usize>> = Vec::new();
        for root in &tree.roots {
            let mut id: Id = *root;
            let last = tree.node(id).last;
            while id < last {
                let is_secret =
                    tree.get(id, "kind").and_then(|kind| tree.scalar(kind)).is_some_and(|it| it.value == "Secret");
                let next = if is_secret { tree.node(id).last } else { id + 1 };
                if is_secret {
                    let (first, end) = (tree.node(id), tree.node(next - 1));
                    within.push(first.start as usize..end.end.max(first.end) as usize);
                }
                id = next;
            }
        }
        if within.is_empty() { Self::None } else { Self::Within(within) }
    }

    /// Those of a file that is not YAML as it stands.
    pub(super) fn of_text(text: &str) -> Self {
        let is_comment = |line: &&str| line.trim_start().starts_with('#');
        match text.lines().filter(|line| !is_comment(line)).any(names_secret) {
            true => Self::Everywhere,
            false => Self::None,
        }
    }

    /// Whether the value at a byte may be one.
    pub(super) fn at(&self, byte: usize) -> Secrecy {
        match self {
            Self::None => Secrecy::Open,
            Self::Variables => Secrecy::Variable,
            Self::Everywhere => Secrecy::Secret,
            Self::Within(ranges) => {
                let before = ranges.partition_point(|range| range.start <= byte);
                let last = before.checked_sub(1).and_then(|last| ranges.get(last));
                if last.is_some_and(|range| byte < range.end) { Secrecy::Secret } else { Secrecy::Open }
            }
        }
    }
}

/// Whether a line gives the kind `Secret`, anywhere in it: in JSON and in a flow mapping, the key is not the first.
fn names_secret(line: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let quote = ['"', '\''];
    line.match_indices("kind").any(|(at, key)| {
        let before = line[..at].chars().next_back();
        let value = line[at + key.len()..].trim_start_matches(quote).trim_start().strip_prefix(':');
        let value = value.map(|rest| rest.trim_start().trim_start_matches(quote));
        let rest = value.and_then(|value| value.strip_prefix("Secret"));
        !before.is_some_and(is_word) && rest.is_some_and(|rest| !rest.starts_with(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_names_the_kind_secret_may_hold_some() {
        for text in [
            "a: {{ b }}\nkind: Secret\n",
            "kind: \"Secret\"",
            "kind: 'Secret' # why",
            "  kind:  Secret # why",
            "- kind: Secret\r\n",
            "{\"kind\": \"Secret\", {{ x }}",
            "kind : Secret",
            "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"data\":{{ x }}",
        ] {
            assert!(matches!(Secrets::of_text(text), Secrets::Everywhere), "{text}");
        }
        for text in [
            "kind: SecretStore",
            "kind: Secret-like",
            "# of kind: Secret",
            "kinds: Secret",
            "mankind: Secret",
            "kind: ConfigMap",
        ] {
            assert!(matches!(Secrets::of_text(text), Secrets::None), "{text}");
        }
    }
}
