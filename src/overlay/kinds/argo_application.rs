//! Argo CD `Application` and `ApplicationSet`: Helm and Kustomize settings of their sources.
//!
//! A source may stand at `spec.source`, in `spec.sources`, and in an ApplicationSet below any `template`. Helm values
//! come as a mapping (`valuesObject`), as text (`values`, YAML in a block scalar) and as `parameters`.

use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::ScalarStyle;

use super::helm_values::ends_in_image;
use crate::model::PinKind;
use crate::overlay::collector::{Collector, Draft, Frame, MAX_PLACES, Parts, Skip, is_empty};
use crate::overlay::literal::Literal;
use crate::overlay::tree::{self, Id};

/// One helm parameter's value by its last component: `image.tag` is (`image`, `tag`).
type Parameters<'t> = BTreeMap<&'t str, BTreeMap<&'t str, Id>>;

impl Collector<'_, '_> {
    /// An Argo CD Application.
    pub(super) fn application(&mut self, root: Id) {
        if let Some(spec) = self.tree.get(root, "spec") {
            self.application_spec(spec);
        }
    }

    /// An Argo CD ApplicationSet: every `template` in it, those of generators included.
    pub(super) fn application_set(&mut self, root: Id) {
        let tree = self.tree;
        for id in root..tree.node(root).last {
            if tree.key(id) == Some("template")
                && let Some(spec) = tree.get(id, "spec")
            {
                self.application_spec(spec);
            }
        }
        let patch = tree.at(root, &["spec", "templatePatch"]);
        if let Some(patch) = patch
            && tree.scalar(patch).is_some_and(|scalar| scalar.value.contains("image"))
        {
            self.skip(patch, "a template patch written as text mentions an image: only images in YAML are edited");
        }
    }

    fn application_spec(&mut self, spec: Id) {
        for source in sources(self.tree, spec) {
            if let Some(images) = self.tree.at(source, &["kustomize", "images"]) {
                for image in self.tree.items(images) {
                    self.reference(PinKind::ArgoApplication, *image, true);
                }
            }
            if let Some(helm) = self.tree.get(source, "helm") {
                self.helm(helm);
            }
        }
    }

    fn helm(&mut self, helm: Id) {
        let tree = self.tree;
        if let Some(values) = tree.get(helm, "valuesObject") {
            self.helm_values(PinKind::ArgoApplication, values);
        }
        if let Some(values) = tree.get(helm, "values") {
            self.values_text(values);
        }
        if let Some(parameters) = tree.get(helm, "parameters") {
            self.parameters(parameters);
        }
    }

    /// Values as text. Only a literal block scalar has a byte in the file for each of its own.
    fn values_text(&mut self, node: Id) {
        let tree = self.tree;
        let Some(scalar) = tree.scalar(tree.target(node)) else { return };
        let mentions = ["image", "tag", "repository"].iter().any(|word| scalar.value.contains(word));
        if !mentions {
            return; // Nothing in it can be a pin.
        }
        if scalar.style != ScalarStyle::Literal || tree.scalar(node).is_none() || tree.lock_of(node).is_some() {
            self.skip(node, "values as text are edited only in a literal block scalar (`values: |`) of their own");
            return;
        }
        let range: Range<usize> = tree.node(node).start as usize..tree.node(node).end as usize;
        let Some(literal) = Literal::new(tree.text, &range, &scalar.value) else {
            self.skip(node, "the block scalar is indented in a way that does not map to bytes");
            return;
        };
        match tree::parse(&literal.text, "\0") {
            Ok(inner) => self.values_within(node, &literal, &inner),
            Err(error) => {
                let line = self.line(node) + error.line - 1;
                self.skip(node, format!("the values in it are not YAML: {} (line {line})", error.reason));
            }
        }
    }

    fn values_within(&mut self, node: Id, literal: &Literal, inner: &tree::Tree<'_>) {
        let key = self.key(node);
        let frame = Frame::Literal { literal, line: self.line(node), key: &key };
        let mut within = Collector::new(self.path, inner, frame);
        // Helm reads the first document only.
        if let Some(root) = inner.roots.first() {
            within.helm_values(PinKind::ArgoApplication, *root);
        }
        self.overflow |= within.overflow || self.drafts.len() + within.drafts.len() >= MAX_PLACES;
        // Nodes of the inner tree mean nothing in this one.
        self.skips.extend(within.skips.into_iter().map(|skip| Skip { node: None, ..skip }));
        let drafts = within.drafts.into_iter();
        self.drafts.extend(drafts.map(|draft| Draft { reference: None, tag: None, digest: None, ..draft }));
    }

    /// `helm.parameters`: `image.repository` and `image.tag` as pairs, `image` as a whole reference.
    fn parameters(&mut self, list: Id) {
        let tree = self.tree;
        let mut blocks: Parameters<'_> = BTreeMap::new();
        for parameter in tree.items(list) {
            let (Some(name), Some(value)) = (tree.text_at(*parameter, "name"), tree.get(*parameter, "value")) else {
                continue;
            };
            let (block, last) = name.rsplit_once('.').unwrap_or(("", name));
            if matches!(last, "registry" | "repository" | "tag" | "digest") {
                if blocks.entry(block).or_default().insert(last, value).is_some() {
                    self.skip(value, format!("the parameter {} is there twice", name.escape_debug()));
                }
            } else if ends_in_image(last) && !is_empty(tree, value) {
                self.reference(PinKind::ArgoApplication, value, false);
            }
        }
        for (block, of) in &blocks {
            self.parameter_block(block, of);
        }
    }

    fn parameter_block(&mut self, block: &str, of: &BTreeMap<&str, Id>) {
        let tree = self.tree;
        let (tag, digest) = (of.get("tag").copied(), of.get("digest").copied());
        let Some(version) = tag.or(digest) else { return };
        let text = |key| of.get(key).and_then(|node| tree.scalar(tree.target(*node))).map(|s| s.value.as_ref());
        let Some(repository) = text("repository") else {
            if ends_in_image(block) {
                let reason = "no `repository` parameter beside the tag: which image it is for is not written here";
                self.skip(version, reason);
            }
            return;
        };
        if repository.contains("://") {
            return;
        }
        let image = match text("registry").filter(|registry| !registry.is_empty()) {
            Some(registry) => format!("{}/{repository}", registry.trim_end_matches('/')),
            None => repository.to_owned(),
        };
        let name = of.get("repository").copied().filter(|_| image == repository);
        self.parts(PinKind::ArgoApplication, Parts { image: &image, name, tag, digest });
    }
}

/// The sources of an Application's `spec`.
pub(in crate::overlay) fn sources(tree: &tree::Tree<'_>, spec: Id) -> Vec<Id> {
    let mut sources: Vec<Id> = tree.get(spec, "source").into_iter().collect();
    if let Some(list) = tree.get(spec, "sources") {
        sources.extend(tree.items(list));
    }
    sources
}
