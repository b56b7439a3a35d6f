//! What a registry says of one tag.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Digest;

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
    /// The kind of thing it is where that is no container image: a chart, an SBOM, a signature. Its artifact type, or the
    /// media type of its configuration.
    #[serde(default)]
    pub artifact: Option<String>,
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
