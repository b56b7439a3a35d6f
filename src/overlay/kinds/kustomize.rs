//! `images:` entries of Kustomize, as in a kustomization, a Flux `Kustomization` or a post-renderer.
//!
//! Rules: the image transformer of Kustomize: `name` selects, `newName`, `newTag` and `digest` replace. An entry
//! without `newName` keeps the selected name.

use super::{Claim, Document, Form, Recognizer, nothing_more};
use crate::model::{ImageName, MissingKeys, PinKind, PinRole, SkipReason};
use crate::overlay::collector::{Collector, Parts, is_empty};
use crate::overlay::tree::{Id, Spelling};

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "kustomize",
        summary: "an entry of `images` in a kustomization, or of an ImageTagTransformer",
        role: PinRole::Override,
    },
    document,
    file: nothing_more,
};

fn document(collector: &mut Collector<'_, '_>, document: &Document<'_>) -> Claim {
    let tree = collector.tree;
    match (document.form, document.group, document.kind) {
        (Form::Kustomization, ..) | (Form::Object, "kustomize.config.k8s.io", _) => {
            collector.kustomization(document.root);
        }
        (Form::Object, "kustomize.toolkit.fluxcd.io", "Kustomization") => {
            if let Some(images) = tree.at(document.root, &["spec", "images"]) {
                collector.kustomize_images(images);
            }
        }
        (Form::Object, _, "ImageTagTransformer") => {
            if let Some(entry) = tree.get(document.root, "imageTag") {
                collector.kustomize_entry(entry);
            }
        }
        _ => return Claim::Passed,
    }
    Claim::Taken
}

/// File names that `kustomize build` accepts (kustomize: `pkg/konfig`).
pub(in crate::overlay) const FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Whether a file of this name is always a kustomization, whatever its content.
pub(in crate::overlay) fn is_kustomization_file(name: &str) -> bool {
    FILES.contains(&name)
}

impl Collector<'_, '_> {
    /// A kustomization or component.
    pub(in crate::overlay) fn kustomization(&mut self, root: Id) {
        if let Some(images) = self.tree.get(root, "images") {
            self.kustomize_images(images);
        }
        let charts = self.tree.get(root, "helmCharts").map_or(&[][..], |charts| self.tree.items(charts));
        for chart in charts {
            self.written_chart(*chart, ["repo", "name", "version"]);
            if let Some(values) = self.tree.get(*chart, "valuesInline") {
                self.helm_values(super::helm_values::KIND.kind, values);
            }
        }
        for key in ["patches", "patchesJson6902", "patchesStrategicMerge"] {
            let Some(patches) = self.tree.get(root, key) else { continue };
            for item in self.tree.items(patches) {
                self.inline_patch(self.tree.get(*item, "patch").unwrap_or(*item));
            }
        }
    }

    /// A list of `{name, newName, newTag, digest}`.
    pub(in crate::overlay) fn kustomize_images(&mut self, images: Id) {
        let tree = self.tree;
        let target = tree.target(images);
        if target != images {
            self.skip(images, SkipReason::ImagesAlias);
            return;
        }
        for entry in tree.items(images) {
            if !tree.is_mapping(*entry) {
                self.skip(*entry, SkipReason::NotAnEntry);
                continue;
            }
            self.kustomize_entry(*entry);
        }
    }

    fn kustomize_entry(&mut self, entry: Id) {
        let tree = self.tree;
        let (tag, digest) = (tree.get(entry, "newTag"), tree.get(entry, "digest"));
        // An empty one is none to kustomize.
        let is_name = |node: &Id| !is_empty(tree, tree.target(*node));
        let new_name = tree.get(entry, "newName").filter(is_name);
        let merged = || tree.read(entry, "newName").filter(is_name);
        let written = new_name.or_else(merged).or_else(|| tree.read(entry, "name"));
        let image = written.and_then(|node| tree.scalar(tree.target(node))).map(|scalar| scalar.value.as_ref());
        let Some(image) = image.filter(|image| !image.is_empty()) else {
            self.skip(tag.or(digest).unwrap_or(entry), SkipReason::EntryWithoutName);
            return;
        };
        if tag.is_none() && digest.is_none() {
            let reason = SkipReason::NoVersion { image: image.escape_debug().to_string() };
            self.skip_image(entry, reason, ImageName::image(image).ok());
            return;
        }
        if let Some(reason) = self.unclear(entry, &["name", "newName", "newTag", "digest"], Spelling::Exact) {
            return self.skip_image(tag.or(digest).unwrap_or(entry), reason, ImageName::image(image).ok());
        }
        let alias = tree.text_at(entry, "name").filter(|name| *name != image).zip(tree.get(entry, "name"));
        let missing = MissingKeys::KustomizeEntry;
        self.parts(KIND.kind, Parts { image, name: new_name, tag, digest, alias, missing });
    }

    /// A patch written as text: its images are not pins, but somebody may expect them to be.
    fn inline_patch(&mut self, patch: Id) {
        let mentions = self.tree.scalar(patch).is_some_and(|scalar| {
            scalar.value.contains("image:") || scalar.value.contains("/image") || scalar.value.contains("\"image\"")
        });
        if mentions {
            self.skip(patch, SkipReason::TextPatch);
        }
    }
}
