//! Tiny but valid OCI images.

use std::collections::BTreeMap;

use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::content::{Content, digest_of};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The parts of an image to push; its only layer is an empty archive.
#[derive(Debug, Clone)]
pub struct DemoImage {
    /// Its creation time.
    pub created: Timestamp,
    /// Labels of its configuration.
    pub labels: BTreeMap<String, String>,
    /// Annotations of its manifest, or of its index where it has several platforms.
    pub annotations: BTreeMap<String, String>,
    /// Its platforms as `os/arch[/variant]`; with more than one it becomes an index.
    pub platforms: Vec<String>,
}

impl DemoImage {
    /// An image for `linux/amd64` without labels and annotations.
    #[must_use]
    pub fn new(created: Timestamp) -> Self {
        Self {
            created,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            platforms: vec!["linux/amd64".to_owned()],
        }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets the platforms.
    #[must_use]
    pub fn platforms(mut self, platforms: &[&str]) -> Self {
        self.platforms = platforms.iter().map(ToString::to_string).collect();
        self
    }

    /// Stores the image's parts in a repository; returns the media type and bytes of what its tag should refer to.
    pub(super) fn build(&self, into: &mut Content) -> (&'static str, Bytes) {
        match self.platforms.as_slice() {
            [] => (MANIFEST, self.manifest(into, "linux/amd64", &self.annotations)),
            [one] => (MANIFEST, self.manifest(into, one, &self.annotations)),
            several => {
                let entries: Vec<_> = several
                    .iter()
                    .map(|platform| {
                        let manifest = self.manifest(into, platform, &BTreeMap::new());
                        let size = manifest.len();
                        let digest = into.put_manifest(MANIFEST, manifest);
                        json!({ "mediaType": MANIFEST, "digest": digest, "size": size, "platform": split(platform) })
                    })
                    .collect();
                let index = json!({
                    "schemaVersion": 2,
                    "mediaType": INDEX,
                    "manifests": entries,
                    "annotations": self.annotations,
                });
                (INDEX, index.to_string().into())
            }
        }
    }

    fn manifest(&self, into: &mut Content, platform: &str, annotations: &BTreeMap<String, String>) -> Bytes {
        // Two zero blocks end an archive; an empty archive consists of nothing else.
        let layer = Bytes::from_static(&[0; 1024]);
        let mut config = json!({
            "created": self.created.to_string(),
            "config": { "Labels": self.labels },
            "rootfs": { "type": "layers", "diff_ids": [digest_of(&layer)] },
        });
        if let (Some(config), Some(platform)) = (config.as_object_mut(), split(platform).as_object()) {
            config.extend(platform.clone());
        }
        let config = Bytes::from(config.to_string());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": digest_of(&config), "size": config.len() },
            "layers": [{ "mediaType": LAYER, "digest": digest_of(&layer), "size": layer.len() }],
            "annotations": annotations,
        });
        into.put_blob(config);
        into.put_blob(layer);
        manifest.to_string().into()
    }
}

fn split(platform: &str) -> serde_json::Value {
    let mut parts = platform.split('/');
    let (os, architecture) = (parts.next().unwrap_or("linux"), parts.next().unwrap_or("amd64"));
    match parts.next() {
        Some(variant) => json!({ "os": os, "architecture": architecture, "variant": variant }),
        None => json!({ "os": os, "architecture": architecture }),
    }
}
