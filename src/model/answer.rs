//! What a registry said: listings and manifests, with their age.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Digest, Tag};

/// One tag of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagEntry {
    /// The tag.
    pub tag: Tag,
    /// When the image was made: its creation time, or when the bot first saw the tag. Unknown for tags seen in the
    /// first listing ever, and where nobody asked.
    pub created: Option<Timestamp>,
}

/// All tags of one repository, as a complete answer of its registry. Never a partial one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The tags, in the registry's order.
    pub tags: Vec<TagEntry>,
    /// How many names were dropped because they are outside the OCI grammar.
    pub dropped: usize,
    /// When the answer was complete.
    pub at: Timestamp,
}

/// What a registry gave to ask "has the listing changed since?" with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// The `ETag`, as sent.
    pub etag: Option<String>,
    /// The `Last-Modified` date, as sent.
    pub last_modified: Option<String>,
}

/// What one manifest or index says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The digest that the tag resolved to (of the index, where it is one).
    pub digest: Digest,
    /// The digests of the images that it lists, where it is an index: what nodes report is one of these, or the index.
    #[serde(default)]
    pub images: Vec<Digest>,
    /// The platforms of the index as `os/arch[/variant]`, or of the image's configuration; empty when nobody asked.
    pub platforms: Vec<String>,
    /// The image's creation time; `None` where unknown, or not trustworthy (before 1990, as reproducible builds write).
    pub created: Option<Timestamp>,
    /// OCI annotations and labels (`org.opencontainers.image.*` only).
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Whether what a node reports as its image's digest is this, or one of the images of this index.
    #[must_use]
    pub fn is(&self, reported: &Digest) -> bool {
        self.digest == *reported || self.images.contains(reported)
    }

    /// `org.opencontainers.image.source`, where it is an http(s) address without a name or password in it: builders have
    /// been seen to write the address they cloned from, token and all.
    #[must_use]
    pub fn source_url(&self) -> Option<&str> {
        self.http("org.opencontainers.image.source")
    }

    /// `org.opencontainers.image.revision`: the source commit, where it is a plain word of hexadecimal digits.
    #[must_use]
    pub fn source_revision(&self) -> Option<&str> {
        let revision = self.annotations.get("org.opencontainers.image.revision")?;
        (revision.len() >= 7 && revision.len() <= 64 && revision.bytes().all(|b| b.is_ascii_hexdigit()))
            .then_some(revision.as_str())
    }

    fn http(&self, key: &str) -> Option<&str> {
        let value = self.annotations.get(key)?;
        let plain = value.len() <= 500
            && value
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'`' | b'(' | b')' | b'|'));
        let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"))?;
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
        (plain && !authority.contains('@')).then_some(value.as_str())
    }
}

/// An answer about something outside: known, absent, or not known and why.
///
/// "Unknown" is a state of its own; it never means "nothing to do".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// A complete answer of this cycle.
    Known(T),
    /// The registry says that it does not exist (or that we may not see it).
    Absent {
        /// What was asked and answered, for a person.
        message: String,
    },
    /// No answer; the last good one stays valid with its age where there is one.
    Failed {
        /// What went wrong, for a person; no secrets.
        message: String,
        /// What kind of failure it is.
        code: FailureCode,
        /// The last good answer.
        last: Option<T>,
    },
}

impl<T> Answer<T> {
    /// The answer of this cycle, or the last good one.
    pub fn best(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent { .. } => None,
            Self::Failed { last, .. } => last.as_ref(),
        }
    }
}

/// Why something outside did not answer (a subset of CLI.md's cause codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// Refused: bad, missing or expired credentials, or no permission.
    Authentication,
    /// Too many requests.
    RateLimited,
    /// Unreachable, slow, or cut off.
    Network,
    /// The answer is not what the protocol says, or hostile.
    Protocol,
    /// The other side reports a fault of its own (5xx).
    Server,
    /// The registry says that there is no such image, or lists nothing for it: gone, misspelt, or hidden from who asks.
    ImageNotFound,
    /// Nothing outside failed: a policy cannot be used as it is written, or asks for something that is not configured.
    ConfigError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_with_a_password_is_none() {
        for (source, taken) in [
            ("https://github.com/acme/web", true),
            ("https://github.com/@acme/web", true),
            ("https://x-access-token:ghs_abc@github.com/acme/web", false),
            ("https://bot@git.example.com\\x/web", false),
            ("javascript:alert(1)", false),
            ("git@github.com:acme/web", false),
        ] {
            let annotations = BTreeMap::from([("org.opencontainers.image.source".to_owned(), source.to_owned())]);
            let digest = Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap();
            let manifest = Manifest { digest, images: Vec::new(), platforms: Vec::new(), created: None, annotations };
            assert_eq!(manifest.source_url().is_some(), taken, "{source}");
        }
    }
}
