//! Kubernetes objects: which finder each kind is for, and containers in all others.
//!
//! Containers are recognised by where they stand and not by a list of kinds: items of `containers`, `initContainers` or
//! `ephemeralContainers` anywhere in an object, so that a CRD with a pod template needs no support of its own.

mod argo_application;
mod helm_values;
mod kustomize;
mod setter;

pub(super) use argo_application::sources;
pub(super) use kustomize::{FILES as KUSTOMIZATION_FILES, is_kustomization_file};
pub(super) use setter::WORD as SETTER;

use super::collector::{Collector, is_empty};
use super::tree::{Id, NodeKind};
use crate::model::{ImageReference, PinKind};

/// How deep Lists in Lists are followed.
const MAX_LISTS: u8 = 4;

impl Collector<'_, '_> {
    /// One document of a file.
    pub(in crate::overlay) fn document(&mut self, root: Id) {
        if is_kustomization_file(self.path.file_name()) {
            self.kustomization(root);
        } else if self.is_object(root) {
            self.object(root, MAX_LISTS);
        } else if self.tree.is_mapping(root) {
            self.values = true;
            self.helm_values(PinKind::HelmValues, root);
            self.values = false;
        } else {
            self.json_patch(root);
        }
    }

    /// Whether a document is a Kubernetes object: it has `apiVersion` and `kind`.
    pub(super) fn is_object(&self, root: Id) -> bool {
        self.tree.text_at(root, "apiVersion").is_some() && self.tree.text_at(root, "kind").is_some()
    }

    fn object(&mut self, root: Id, lists: u8) {
        let tree = self.tree;
        let kind = tree.text_at(root, "kind").unwrap_or("");
        let group = tree.text_at(root, "apiVersion").unwrap_or("").split('/').next().unwrap_or("");
        match (group, kind) {
            (_, "SealedSecret") => self.skip(root, "a SealedSecret: only its controller can read it"),
            ("kustomize.config.k8s.io", _) => self.kustomization(root),
            ("kustomize.toolkit.fluxcd.io", "Kustomization") => {
                if let Some(images) = tree.at(root, &["spec", "images"]) {
                    self.kustomize_images(images);
                }
            }
            ("helm.toolkit.fluxcd.io" | "helm.fluxcd.io", "HelmRelease") => self.helm_release(root),
            ("argoproj.io", "Application") => self.application(root),
            ("argoproj.io", "ApplicationSet") => self.application_set(root),
            _ if kind.ends_with("List") && tree.get(root, "items").is_some() => {
                let items = tree.get(root, "items").map_or(&[][..], |items| tree.items(items));
                for item in items {
                    if lists > 0 && self.is_object(*item) {
                        self.object(*item, lists - 1);
                    } else {
                        self.containers(*item);
                    }
                }
            }
            _ => self.containers(root),
        }
    }

    /// Images of containers anywhere below a node.
    fn containers(&mut self, root: Id) {
        let tree = self.tree;
        for id in root..tree.node(root).last {
            let is_list = matches!(tree.node(id).kind, NodeKind::Sequence(_))
                && matches!(tree.key(id), Some("containers" | "initContainers" | "ephemeralContainers"));
            if !is_list {
                continue;
            }
            for container in tree.items(id) {
                // A patch may name a container and leave its image alone.
                let Some(image) = tree.get(*container, "image") else { continue };
                if is_empty(tree, image) {
                    self.skip(image, "no tag or digest: the image is empty");
                } else {
                    self.reference(PinKind::Container, image, false);
                }
            }
        }
    }

    /// A Flux HelmRelease: its values, and the images of its Kustomize post-renderers.
    fn helm_release(&mut self, root: Id) {
        let tree = self.tree;
        if let Some(values) = tree.at(root, &["spec", "values"]) {
            self.helm_values(PinKind::HelmRelease, values);
        }
        let renderers = tree.at(root, &["spec", "postRenderers"]).map_or(&[][..], |list| tree.items(list));
        for renderer in renderers {
            if let Some(images) = tree.at(*renderer, &["kustomize", "images"]) {
                self.kustomize_images(images);
            }
        }
    }

    /// A JSON patch (RFC 6902) in a file of its own: said, because somebody may expect it to be a pin.
    fn json_patch(&mut self, root: Id) {
        let tree = self.tree;
        for operation in tree.items(root) {
            let about_image = tree.text_at(*operation, "path").is_some_and(|path| path.ends_with("/image"));
            let Some(value) = tree.get(*operation, "value").filter(|_| about_image) else { continue };
            let image = tree.scalar(value).is_some_and(|scalar| ImageReference::parse(&scalar.value).is_ok());
            if image && tree.get(*operation, "op").is_some() {
                self.skip(value, "a JSON patch sets an image: only images in objects are edited");
            }
        }
    }
}
