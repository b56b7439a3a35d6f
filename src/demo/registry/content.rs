//! The content of a repository in the demo's registry.

use std::collections::{BTreeMap, HashMap};

use axum::body::Bytes;

use crate::model::Tag;

/// One repository: manifests and blobs by digest, and tags.
#[derive(Debug, Default)]
pub(super) struct Content {
    manifests: HashMap<String, (String, Bytes)>,
    blobs: HashMap<String, Bytes>,
    tags: BTreeMap<String, String>,
}

impl Content {
    pub(super) fn put_blob(&mut self, bytes: Bytes) -> String {
        let digest = digest_of(&bytes);
        self.blobs.insert(digest.clone(), bytes);
        digest
    }

    pub(super) fn blob(&self, digest: &str) -> Option<Bytes> {
        self.blobs.get(digest).cloned()
    }

    pub(super) fn put_manifest(&mut self, media_type: &str, bytes: Bytes) -> String {
        let digest = digest_of(&bytes);
        self.manifests.insert(digest.clone(), (media_type.to_owned(), bytes));
        digest
    }

    pub(super) fn tag(&mut self, tag: &Tag, digest: &str) {
        self.tags.insert(tag.as_str().to_owned(), digest.to_owned());
    }

    /// A manifest by tag or digest: its digest, media type and bytes.
    pub(super) fn manifest(&self, reference: &str) -> Option<(String, String, Bytes)> {
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        let (media_type, bytes) = self.manifests.get(digest)?;
        Some((digest.to_owned(), media_type.clone(), bytes.clone()))
    }

    /// The descriptors of all manifests whose subject is this digest.
    pub(super) fn referrers(&self, digest: &str) -> Vec<serde_json::Value> {
        let mut found = Vec::new();
        for (own, (media_type, bytes)) in &self.manifests {
            let Ok(manifest) = serde_json::from_slice::<serde_json::Value>(bytes) else { continue };
            if manifest["subject"]["digest"] == digest {
                let config = &manifest["config"]["mediaType"];
                let kind = manifest.get("artifactType").unwrap_or(config);
                let (size, annotations) = (bytes.len(), &manifest["annotations"]);
                found.push(serde_json::json!({
                    "mediaType": media_type, "digest": own, "size": size, "artifactType": kind, "annotations": annotations
                }));
            }
        }
        found.sort_by_key(|entry| entry["digest"].as_str().map(str::to_owned));
        found
    }

    /// Removes a tag, or a manifest with all its tags.
    pub(super) fn delete(&mut self, reference: &str) -> bool {
        if self.tags.remove(reference).is_some() {
            return true;
        }
        self.tags.retain(|_, digest| digest != reference);
        self.manifests.remove(reference).is_some()
    }

    /// Up to `n` tags after `last`, in byte order, and whether there are more.
    pub(super) fn tags(&self, last: Option<&str>, n: usize) -> (Vec<&str>, bool) {
        let mut names = self.tags.keys().map(String::as_str).filter(|name| last.is_none_or(|last| *name > last));
        let page: Vec<&str> = names.by_ref().take(n).collect();
        let more = names.next().is_some();
        (page, more)
    }

    /// What a pushed manifest refers to that is missing; `None` if it is not a manifest.
    pub(super) fn missing(&self, bytes: &[u8]) -> Option<Vec<String>> {
        let manifest: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        let digest = |value: &serde_json::Value| value["digest"].as_str().map(str::to_owned);
        let list = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
        if manifest["schemaVersion"] != 2 {
            return None;
        }
        let mut missing = Vec::new();
        for child in list("manifests").iter().filter_map(digest) {
            if !self.manifests.contains_key(&child) {
                missing.push(child);
            }
        }
        for blob in list("layers").iter().chain(manifest.get("config")).filter_map(digest) {
            if !self.blobs.contains_key(&blob) {
                missing.push(blob);
            }
        }
        Some(missing)
    }
}

/// The SHA-256 digest of bytes, in registry notation.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
