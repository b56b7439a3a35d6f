//! What a registry says about one tag.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Digest;

/// The content of one manifest or index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The digest that the tag resolved to (of the index, if it is one).
    pub digest: Digest,
    /// If it is an index, the digests of its images: nodes report one of these, or that of the index.
    #[serde(default)]
    pub images: Vec<Digest>,
    /// The platforms of the index as `os/arch[/variant]`, or of the image's configuration; empty if they were not
    /// requested.
    pub platforms: Vec<String>,
    /// The image's creation time; `None` if unknown or not trustworthy (before 1990, as in reproducible builds).
    pub created: Option<Timestamp>,
    /// What it is if it is not a container image: a chart, an SBOM, a signature. Its artifact type, or the media type
    /// of its configuration.
    #[serde(default)]
    pub artifact: Option<String>,
    /// OCI annotations and labels (`org.opencontainers.image.*` only).
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Whether a digest reported by a node is this one, or that of an image in this index.
    #[must_use]
    pub fn is(&self, reported: &Digest) -> bool {
        self.digest == *reported || self.images.contains(reported)
    }

    /// `org.opencontainers.image.source`, if it is an http(s) address without a name or password: builders have been
    /// seen to write the address they cloned from, including a token.
    #[must_use]
    pub fn source_url(&self) -> Option<&str> {
        self.http("org.opencontainers.image.source")
    }

    /// `org.opencontainers.image.revision`: the source commit, if it is plain hexadecimal.
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
            let manifest = Manifest {
                digest,
                images: Vec::new(),
                platforms: Vec::new(),
                created: None,
                artifact: None,
                annotations,
            };
            assert_eq!(manifest.source_url().is_some(), taken, "{source}");
        }
    }
}
