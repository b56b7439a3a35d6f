//! `images:` entries of Kustomize, as in a kustomization, a Flux `Kustomization` or a post-renderer.
//!
//! Rules: the image transformer of Kustomize: `name` selects, `newName`, `newTag` and `digest` replace. An entry without
//! `newName` keeps the name that it selects.

use crate::model::PinKind;
use crate::overlay::collector::{Collector, Parts, is_empty};
use crate::overlay::tree::Id;

/// File names that `kustomize build` takes (kustomize: `pkg/konfig`).
pub(in crate::overlay) const FILES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Whether a file of this name is a kustomization whatever it says of itself.
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
            if let Some(values) = self.tree.get(*chart, "valuesInline") {
                self.helm_values(PinKind::HelmValues, values);
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
            self.skip(images, "the list of images is an alias: a change would also move its anchor");
            return;
        }
        for entry in tree.items(images) {
            if !tree.is_mapping(*entry) {
                self.skip(*entry, "not an entry with a name and a tag of its own");
                continue;
            }
            self.kustomize_entry(*entry);
        }
    }

    fn kustomize_entry(&mut self, entry: Id) {
        let tree = self.tree;
        let (tag, digest) = (tree.get(entry, "newTag"), tree.get(entry, "digest"));
        let new_name = tree.get(entry, "newName").filter(|node| !is_empty(tree, tree.target(*node)));
        let written = new_name.or_else(|| tree.read(entry, "newName")).or_else(|| tree.read(entry, "name"));
        let image = written.and_then(|node| tree.scalar(tree.target(node))).map(|scalar| scalar.value.as_ref());
        let Some(image) = image.filter(|image| !image.is_empty()) else {
            self.skip(tag.or(digest).unwrap_or(entry), "the entry names no image: it has neither `name` nor `newName`");
            return;
        };
        if tag.is_none() && digest.is_none() {
            self.skip(entry, format!("no tag or digest is written for the image {}", image.escape_debug()));
            return;
        }
        self.parts(PinKind::Kustomize, Parts { image, name: new_name, tag, digest });
    }

    /// A patch written as text: its images are not pins, but somebody may expect them to be.
    fn inline_patch(&mut self, patch: Id) {
        let mentions = self.tree.scalar(patch).is_some_and(|scalar| {
            scalar.value.contains("image:") || scalar.value.contains("/image") || scalar.value.contains("\"image\"")
        });
        if mentions {
            self.skip(patch, "a patch written as text sets an image: only images in YAML of its own are edited");
        }
    }
}
