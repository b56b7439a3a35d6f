//! Images in Kubernetes objects of any kind.
//!
//! Images are recognised by their position, not by a list of kinds, so that a CRD needs no support of its own: items of
//! `containers` and similar lists; values of keys that end in `image` or `imageName` (Argo Workflows, Tekton, the
//! operators' `spec.image`); `{repository|name, tag|digest}` under such a key; `image.reference` (image volumes). An
//! object's `status` is a report and is never changed.
//!
//! Operators may have the version a second time, in `version` or `sparkVersion` next to the image or above it. If that
//! repeats the tag, changing only the image would be inconsistent, so it is left alone.

use std::rc::Rc;

use super::helm_values::{ends_in_image, names_image};
use super::{Claim, Document, Form, Recognizer, nothing_more};
use crate::model::{PinKind, PinRole, SkipReason, Tag};
use crate::overlay::collector::{Collector, ReferenceForm, is_empty};
use crate::overlay::tree::{Id, NodeKind};

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "container",
        summary: "an image in a Kubernetes object: of a container, or under a key such as `image` or `imageName`",
        role: PinRole::Object,
    },
    document,
    file: nothing_more,
};

fn document(collector: &mut Collector<'_, '_>, document: &Document<'_>) -> Claim {
    if document.form != Form::Object {
        return Claim::Passed;
    }
    collector.object_images(document.root);
    Claim::Taken
}

impl Collector<'_, '_> {
    /// Images anywhere in an object except in its status.
    pub(super) fn object_images(&mut self, root: Id) {
        let tree = self.tree;
        let status = tree.get(root, "status");
        let mut id = root;
        while id < tree.node(root).last {
            if Some(id) == status {
                id = tree.node(id).last;
                continue;
            }
            match tree.node(id).kind {
                NodeKind::Sequence(_) if is_containers(tree.key(id)) => self.containers(id),
                NodeKind::Mapping(_) => self.object_mapping(id),
                _ => {}
            }
            id += 1;
        }
    }

    /// A list of containers. These must have images, so anything unreadable is reported.
    fn containers(&mut self, list: Id) {
        let tree = self.tree;
        for container in tree.items(list) {
            // A patch may name a container without its image.
            let Some(image) = tree.get(*container, "image") else { continue };
            if is_empty(tree, image) {
                self.skip(image, SkipReason::EmptyImage);
            } else {
                self.object_reference(image);
            }
        }
    }

    fn object_mapping(&mut self, id: Id) {
        let tree = self.tree;
        if self.overflow {
            return;
        }
        if tree.key(id).is_some_and(ends_in_image) {
            if let Some(reference) = tree.get(id, "reference").filter(|node| tree.scalar(*node).is_some()) {
                self.object_reference(reference);
            } else {
                self.image_block(KIND.kind, id);
            }
        }
        for (key, value) in tree.entries(id) {
            let named = tree.scalar(key).is_some_and(|key| names_image(&key.value));
            if !named || self.seen.contains(&value) || self.image_pair(KIND.kind, id, (key, value)) {
                continue;
            }
            let text = tree.scalar(tree.target(value)).map(|scalar| scalar.value.as_ref());
            if text.is_some_and(may_be_image) && !is_empty(tree, value) {
                self.object_reference(value);
            }
        }
    }

    fn object_reference(&mut self, node: Id) {
        let reference = self.referenced(node, ReferenceForm::Plain);
        let tag = reference.as_ref().and_then(|reference| reference.version.tag.as_ref());
        if let Some((key, line)) = tag.and_then(|tag| self.repeated_version(node, tag)) {
            let image = reference.map(|reference| reference.name);
            self.skip_image(node, SkipReason::VersionRepeated { key, line }, image);
        } else if !self.seen.contains(&node) {
            self.reference(KIND.kind, node, ReferenceForm::Plain);
        }
    }

    /// The key and line of a version, next to a node or above it in its object, that repeats the tag.
    pub(super) fn repeated_version(&mut self, node: Id, tag: &Tag) -> Option<(String, usize)> {
        let tree = self.tree;
        let tag = plain_version(tag.as_str());
        for mapping in std::iter::successors(tree.parent(node), |id| tree.parent(*id)) {
            let versions = self.versions_in(mapping);
            self.compared += versions.len();
            self.overflow |= self.compared > MAX_COMPARED;
            if self.overflow {
                return None;
            }
            if let Some(version) = versions.iter().find(|version| is_part(&version.text, &tag)) {
                let name = tree.scalar(version.key).map_or("", |key| key.value.as_ref());
                return Some((name.escape_debug().to_string(), self.line(version.value)));
            }
        }
        None
    }

    /// The versions in a mapping that may repeat a tag.
    fn versions_in(&mut self, mapping: Id) -> Rc<[VersionKey]> {
        if let Some(known) = self.versions.get(&mapping) {
            return Rc::clone(known);
        }
        let tree = self.tree;
        let versions = tree.entries(mapping).filter_map(|(key, value)| {
            let name = tree.scalar(key)?.value.as_ref();
            let is_version = name == "version" || (name.ends_with("Version") && name != "apiVersion");
            let text = tree.scalar(value).filter(|_| is_version)?.value.as_ref();
            let text = plain_version(text);
            // No longer one can be in a tag.
            (text.len() <= MAX_TAG).then_some(VersionKey { key, value, text })
        });
        let versions: Rc<[VersionKey]> = versions.collect();
        self.versions.insert(mapping, Rc::clone(&versions));
        versions
    }
}

/// Maximum length of a tag.
const MAX_TAG: usize = 128;
/// How many versions are compared with tags in one file: far more than in any real one. Beyond, the file is left alone.
const MAX_COMPARED: usize = 1_000_000;

/// A version in a mapping.
#[derive(Debug)]
pub(in crate::overlay) struct VersionKey {
    key: Id,
    value: Id,
    /// Without what makes no difference.
    text: String,
}

fn is_containers(key: Option<&str>) -> bool {
    matches!(key, Some("containers" | "initContainers" | "ephemeralContainers"))
}

/// Whether the value of a key that ends in `image` may be one: not a URL, a boolean, a pattern or a sentence.
fn may_be_image(text: &str) -> bool {
    !text.contains("://")
        && !text.contains(char::is_whitespace)
        && !text.contains('*')
        && text != "true"
        && text != "false"
}

fn plain_version(text: &str) -> String {
    text.trim_start_matches(['v', 'V']).replace('+', "-").to_ascii_lowercase()
}

/// Whether a version repeats a tag, both plain: it is the same, a part of it between separators, or its first numbers.
fn is_part(version: &str, tag: &str) -> bool {
    let numbers = version.bytes().any(|b| b.is_ascii_digit());
    if version.is_empty() || !numbers {
        return false;
    }
    let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
    tag.match_indices(version).any(|(at, found)| {
        let before = tag[..at].chars().next_back();
        let after = tag[at + found.len()..].chars().next();
        // `1.2` is a part of `1.2.3` only at its start.
        boundary(before.filter(|c| *c != 'v')) && boundary(after) && (before != Some('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::{is_part, plain_version};

    #[test]
    fn a_version_repeats_a_tag_in_whole_parts_only() {
        for (version, tag, expected) in [
            ("v2.54.1", "v2.54.1", true),
            ("2.54.1", "v2.54.1", true),
            ("v1.30.4+k3s1", "v1.30.4-k3s1", true),
            ("3.5.0", "3.5.0-scala2.12-java11", true),
            ("16", "ubi8-16.4-2", true),
            ("16", "16.4", true),
            ("3.8.0", "1.4.0", false),
            ("8.1", "8.15.0", false),
            ("5.0", "3.5.0", false),
            ("latest", "latest", false),
            ("", "1.0", false),
        ] {
            assert_eq!(is_part(&plain_version(version), &plain_version(tag)), expected, "{version} in {tag}");
        }
    }
}
