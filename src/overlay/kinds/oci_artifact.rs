//! OCI artifacts that a controller fetches by their tag: `spec.url` and `spec.ref` of a Flux `OCIRepository`, and sources of Argo
//! CD whose `repoURL` is an address `oci://` without a `chart`.
//!
//! Of an OCIRepository's `ref`, Flux takes `digest` before `semver` before `tag` (Flux, "OCI Repositories").

use super::{Claim, Document, Form, Recognizer, nothing_more};
use crate::model::{ImageName, MissingKeys, PinKind, PinRole, Scheme, SkipReason, is_exact_version};
use crate::overlay::collector::{Collector, Parts, is_empty, is_template, not_an_image};
use crate::overlay::tree::{Id, Spelling};

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "oci-artifact",
        summary: "an OCI artifact in a Flux OCIRepository, or in an Argo CD source with an address `oci://`",
        role: PinRole::Artifact,
    },
    document,
    file: nothing_more,
};

fn document(collector: &mut Collector<'_, '_>, document: &Document<'_>) -> Claim {
    match (document.form, document.group, document.kind) {
        (Form::Object, "source.toolkit.fluxcd.io", "OCIRepository") => collector.oci_repository(document.root),
        _ => return Claim::Passed,
    }
    Claim::Taken
}

impl Collector<'_, '_> {
    fn oci_repository(&mut self, root: Id) {
        let tree = self.tree;
        let Some(reference) = tree.at(root, &["spec", "ref"]) else { return };
        let written = |key| tree.get(reference, key).filter(|node| !is_empty(tree, *node));
        let (tag, digest, range) = (written("tag"), written("digest"), written("semver"));
        let range_text = range.and_then(|node| tree.scalar(node)).map_or("", |scalar| scalar.value.as_ref());
        let tag = match range {
            Some(node) if is_exact_version(range_text) || is_template(range_text) => Some(node),
            Some(node) if digest.is_none() => {
                let name = tree.at(root, &["spec"]).and_then(|spec| tree.text_at(spec, "url"));
                let name = name.and_then(|url| ImageName::parse(url).ok());
                return self.skip_image(node, SkipReason::OciRange, name);
            }
            // The digest decides, and a range beside it means nothing.
            Some(_) => None,
            None => tag,
        };
        let Some(node) = tag.or(digest) else { return };
        let spec = tree.get(root, "spec").and_then(|spec| self.unclear(spec, &["url", "ref"], Spelling::Exact));
        let unclear = spec.or_else(|| self.unclear(reference, &["tag", "digest", "semver"], Spelling::Exact));
        if let Some(reason) = unclear {
            return self.skip(node, reason);
        }
        let url = tree.at(root, &["spec"]).and_then(|spec| tree.text_at(spec, "url"));
        match url {
            Some(url) => self.oci_address(url, (node, tag, digest)),
            None => self.skip(node, SkipReason::NoRepository),
        }
    }

    /// A source of Argo CD without a chart, whose revision is a tag or a digest of an artifact.
    pub(super) fn oci_source(&mut self, url: &str, revision: Id) {
        let is_digest = self.tree.scalar(revision).is_some_and(|scalar| scalar.value.starts_with("sha256:"));
        let (tag, digest) = if is_digest { (None, Some(revision)) } else { (Some(revision), None) };
        let text = self.tree.scalar(revision).map_or("", |scalar| scalar.value.as_ref());
        // Argo CD takes constraints of Semantic Versioning, too.
        if is_range(text) && !is_template(text) {
            return self.skip_image(revision, SkipReason::OciRange, ImageName::parse(url).ok());
        }
        self.oci_address(url, (revision, tag, digest));
    }

    fn oci_address(&mut self, url: &str, (node, tag, digest): (Id, Option<Id>, Option<Id>)) {
        match ImageName::parse(url) {
            Ok(name) if name.scheme() == Scheme::Oci => {
                let missing = MissingKeys::Refused;
                let parts = Parts { image: url, name: None, tag, digest, alias: None, missing };
                self.named_parts(KIND.kind, name, parts);
            }
            Ok(_) => self.skip(node, SkipReason::NoRepository),
            Err(error) => self.skip(node, not_an_image(&error)),
        }
    }
}

/// Whether Argo CD would choose a version itself: a constraint of Semantic Versioning (Argo CD, "Tracking Strategies", Helm).
fn is_range(text: &str) -> bool {
    let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.contains(['*', '<', '>', '^', '~', '|', ' ', ','])
        || parts.clone().all(|part| is_number(part) || matches!(part, "x" | "X"))
            && parts.any(|part| matches!(part, "x" | "X"))
}
