//! Helm values: `image: {registry, repository, tag, digest}` blocks and `image: name:tag` strings, at any depth; and the
//! values in a helmfile.
//!
//! Charts are free to name their values; the forms recognised here are those that charts in use share. A block is
//! recognised by a `repository` with a `tag` or `digest` next to it, or by a key above it that ends in `image`. Some
//! charts write `image` (ingress-nginx) or `name` instead of `repository`, or `imageTag` instead of `tag`; others have
//! two adjacent keys (`sidecarImage` and `sidecarImageTag`). Keys such as `global.imageRegistry` are never read: which
//! images a chart prefixes with that registry is its own business.

use super::{Claim, Document, Form, Recognizer, nothing_more};
use crate::model::{ImageName, MissingKeys, PinKind, PinRole, SkipReason};
use crate::overlay::collector::{Collector, Parts, ReferenceForm, is_empty};
use crate::overlay::tree::{Id, NodeKind};

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "helm-values",
        summary: "an image in a Helm values file, a kustomization's `valuesInline` or a helmfile",
        role: PinRole::Input,
    },
    document,
    file: nothing_more,
};

fn document(collector: &mut Collector<'_, '_>, document: &Document<'_>) -> Claim {
    if document.form != Form::Mapping {
        return Claim::Passed;
    }
    if is_helmfile(collector, document.root) {
        collector.helmfile(document.root);
    } else {
        collector.values = true;
        collector.helm_values(KIND.kind, document.root);
        collector.values = false;
    }
    Claim::Taken
}

/// Whether a mapping is a helmfile: it has `releases`, each with a `chart`.
pub(in crate::overlay) fn is_helmfile(collector: &Collector<'_, '_>, root: Id) -> bool {
    let tree = collector.tree;
    let releases = tree.get(root, "releases").map_or(&[][..], |releases| tree.items(releases));
    !releases.is_empty() && releases.iter().all(|release| tree.get(*release, "chart").is_some())
}

/// The keys of a mapping that may make it an image block.
#[derive(Debug, Default)]
struct Block {
    registry: Option<Id>,
    repository: Option<Id>,
    image: Option<Id>,
    name: Option<Id>,
    tag: Option<Id>,
    digest: Option<Id>,
    sha: Option<Id>,
    version: Option<Id>,
}

/// The name of a block's image.
#[derive(Debug)]
struct Named {
    image: String,
    /// The scalar that contains only the name.
    scalar: Option<Id>,
    /// The scalar that contains the name, alone or after a registry.
    source: Id,
}

impl Collector<'_, '_> {
    fn helmfile(&mut self, root: Id) {
        let tree = self.tree;
        for release in tree.get(root, "releases").map_or(&[][..], |releases| tree.items(releases)) {
            self.helmfile_chart(root, *release);
            for key in ["values", "set"] {
                let Some(list) = tree.get(*release, key) else { continue };
                if key == "set" {
                    self.parameters(KIND.kind, list);
                    continue;
                }
                for values in tree.items(list).iter().filter(|values| tree.is_mapping(**values)) {
                    self.helm_values(KIND.kind, *values);
                }
            }
        }
    }

    /// Values anywhere below a node.
    pub(super) fn helm_values(&mut self, kind: PinKind, root: Id) {
        let tree = self.tree;
        for id in root..tree.node(root).last {
            if matches!(tree.node(id).kind, NodeKind::Mapping(_)) {
                self.values_mapping(kind, id);
            }
        }
    }

    fn values_mapping(&mut self, kind: PinKind, id: Id) {
        let tree = self.tree;
        let source = self.image_block(kind, id);
        for (key, value) in tree.entries(id) {
            let Some(key_text) = tree.scalar(key).map(|key| key.value.as_ref()) else { continue };
            if !names_image(key_text) || Some(value) == source || self.image_pair(kind, id, (key, value)) {
                continue;
            }
            let versioned = |reference: crate::model::ImageReference| reference.version.tag.is_some();
            if ends_in_image(key_text) || self.referenced(value, ReferenceForm::Plain).is_some_and(versioned) {
                self.values_string(kind, value);
            }
        }
    }

    /// A mapping that may be an image block; returns the scalar that names its image.
    pub(super) fn image_block(&mut self, kind: PinKind, id: Id) -> Option<Id> {
        let tree = self.tree;
        // Keys such as `image` above it: those of this mapping, not of the values' root.
        let above = tree.key(id).is_some_and(ends_in_image);
        let block = self.block(id);
        let named = self.block_name(&block, above);
        let source = named.as_ref().map(|named| named.source);
        let versioned = block.tag.is_some() || block.digest.is_some();
        match named {
            Some(named) if above && !versioned => {
                let reason = self.tag_elsewhere(id, block.version).unwrap_or(SkipReason::DefaultVersion);
                self.skip_image(named.source, reason, ImageName::image(&named.image).ok());
            }
            Some(named) if versioned => self.values_block(kind, &block, &named, above),
            None if above && versioned => self.nameless(&block),
            _ => {}
        }
        source
    }

    fn block(&self, id: Id) -> Block {
        let mut block = Block::default();
        let mut image_tag = None;
        for (key, value) in self.tree.entries(id) {
            let Some(key) = self.tree.scalar(key) else { continue };
            let slot = match key.value.to_ascii_lowercase().as_str() {
                "registry" => &mut block.registry,
                "repository" => &mut block.repository,
                "image" => &mut block.image,
                "name" => &mut block.name,
                "tag" => &mut block.tag,
                "imagetag" => &mut image_tag,
                "digest" => &mut block.digest,
                "sha" => &mut block.sha,
                "version" => &mut block.version,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        block.tag = block.tag.or(image_tag);
        // A name merged in by `<<` names the image like one of its own; a merged tag would be the anchor's.
        block.registry = block.registry.or_else(|| self.tree.read(id, "registry"));
        block.repository = block.repository.or_else(|| self.tree.read(id, "repository"));
        block
    }

    fn block_name(&self, block: &Block, above: bool) -> Option<Named> {
        let tree = self.tree;
        let text = |node: Option<Id>| {
            let node = node?;
            let scalar = tree.scalar(tree.target(node))?;
            (!is_empty(tree, tree.target(node))).then(|| (node, scalar.value.as_ref()))
        };
        let bare = |pair: &(Id, &str)| ImageName::image(pair.1).is_ok();
        let (source, name) = text(block.repository)
            .or_else(|| text(block.image).filter(bare).filter(|_| block.tag.is_some() || above))
            .or_else(|| text(block.name).filter(|_| above))?;
        Some(match text(block.registry) {
            None => Named { image: name.to_owned(), scalar: Some(source), source },
            Some((_, registry)) => {
                let image = format!("{}/{name}", registry.trim_end_matches('/'));
                Named { image, scalar: None, source }
            }
        })
    }

    fn values_block(&mut self, kind: PinKind, block: &Block, named: &Named, above: bool) {
        let tree = self.tree;
        if named.image.contains("://") {
            return; // A repository of charts or of Git, not of images.
        }
        let version = block.tag.or(block.digest).unwrap_or(named.source);
        let second = || [block.image, block.name].into_iter().flatten().any(|node| !is_empty(tree, node));
        let image = || ImageName::image(&named.image).ok();
        if above && block.repository == Some(named.source) && second() {
            self.skip_image(version, SkipReason::TwoNames, image());
            return;
        }
        if block.sha.is_some_and(|sha| !is_empty(tree, sha)) {
            self.skip_image(version, SkipReason::ShaBeside, image());
            return;
        }
        self.name_and_version(kind, named, block.tag, block.digest);
    }

    /// A name and a version in separate keys; in an object, only if nothing repeats the version.
    fn name_and_version(&mut self, kind: PinKind, named: &Named, tag: Option<Id>, digest: Option<Id>) {
        let tree = self.tree;
        self.seen.insert(named.source);
        let written =
            tag.and_then(|tag| crate::model::Tag::parse(&tree.scalar(tag)?.value).ok().map(|text| (tag, text)));
        if kind.role == PinRole::Object
            && let Some((node, tag)) = &written
            && let Some((key, line)) = self.repeated_version(*node, tag)
        {
            let image = ImageName::image(&named.image).ok();
            self.skip_image(*node, SkipReason::VersionRepeated { key, line }, image);
            return;
        }
        let missing = MissingKeys::Refused;
        self.parts(kind, Parts { image: &named.image, name: named.scalar, tag, digest, alias: None, missing });
    }

    /// `sidecarImage: name` with `sidecarImageTag` or `sidecarTag` next to it. Returns whether it is one, or was
    /// reported.
    pub(super) fn image_pair(&mut self, kind: PinKind, mapping: Id, (key, value): (Id, Id)) -> bool {
        let tree = self.tree;
        let Some(key_text) = tree.scalar(key).map(|key| plain_key(&key.value)) else { return false };
        let Some(name) = tree.scalar(tree.target(value)).map(|scalar| scalar.value.as_ref()) else { return false };
        if self.seen.contains(&value) || is_empty(tree, value) || ImageName::image(name).is_err() {
            return false; // It names no image, or one with a version of its own.
        }
        let stem = ["imagerepository", "imagename", "image"].iter().find_map(|end| key_text.strip_suffix(end));
        let Some(stem) = stem else { return false };
        let beside = |ends: [&str; 2]| {
            let mut wanted = ends.map(|end| format!("{stem}{end}")).to_vec();
            // The Prometheus operator's `baseImage` has a plain `tag` next to it.
            wanted.extend((stem == "base").then(|| ends[1].to_owned()));
            let mut entries = tree.entries(mapping);
            entries.find(|(key, value)| {
                let text = tree.scalar(*key).map(|key| plain_key(&key.value));
                text.is_some_and(|text| wanted.contains(&text)) && !self.seen.contains(value)
            })
        };
        let tag = beside(["imagetag", "tag"]).map(|(_, tag)| tag);
        let digest = beside(["imagedigest", "digest"]).map(|(_, digest)| digest);
        if tag.is_some() || digest.is_some() {
            let named = Named { image: name.to_owned(), scalar: Some(value), source: value };
            self.name_and_version(kind, &named, tag, digest);
            return true;
        }
        let version = beside(["imageversion", "version"]);
        let elsewhere = version.and_then(|entry| self.elsewhere(entry));
        if let Some(reason) = elsewhere {
            self.skip_image(value, reason, ImageName::image(name).ok());
            return true;
        }
        // A key that only ends in `name` is not an image on its own.
        !key_text.ends_with("image")
    }

    /// Where the version of a block without a tag may be: in its `version`, or next to the block.
    fn tag_elsewhere(&mut self, block: Id, version: Option<Id>) -> Option<SkipReason> {
        let tree = self.tree;
        let key_of = |mapping: Id, wanted: &[&str]| {
            let mut entries = tree.entries(mapping);
            entries.find(|(key, value)| {
                let named = tree.scalar(*key).is_some_and(|key| wanted.contains(&key.value.as_ref()));
                named && tree.scalar(*value).is_some() && !is_empty(tree, *value)
            })
        };
        let own = version.and_then(|_| key_of(block, &["version"]));
        let beside = || {
            let stem = tree.key(block).map(plain_key)?;
            let stem = stem.strip_suffix("image")?.to_owned();
            let mut entries = tree.entries(tree.parent(block)?);
            entries.find(|(key, value)| {
                let text = tree.scalar(*key).map(|key| plain_key(&key.value));
                let wanted = [format!("{stem}imagetag"), format!("{stem}imageversion"), format!("{stem}imagedigest")];
                text.is_some_and(|text| wanted.contains(&text)) && !is_empty(tree, *value)
            })
        };
        own.or_else(beside).and_then(|entry| self.elsewhere(entry))
    }

    /// The entry with the version is told with the image, and not once more by itself.
    fn elsewhere(&mut self, (key, value): (Id, Id)) -> Option<SkipReason> {
        let text = self.tree.scalar(key)?.value.escape_debug().to_string();
        self.seen.insert(value);
        Some(SkipReason::TagElsewhere { key: text, line: self.line(key) })
    }

    fn nameless(&mut self, block: &Block) {
        let tree = self.tree;
        let Some(node) = [block.tag, block.digest].into_iter().flatten().find(|node| !is_empty(tree, *node)) else {
            return; // Nothing is fixed here.
        };
        self.skip(node, SkipReason::NoRepository);
    }

    fn values_string(&mut self, kind: PinKind, value: Id) {
        let tree = self.tree;
        match &tree.node(value).kind {
            NodeKind::Mapping(_) if tree.raw(value).starts_with("{{") => self.skip(value, SkipReason::Template),
            NodeKind::Mapping(_) | NodeKind::Sequence(_) => {}
            NodeKind::Alias(_) if tree.scalar(tree.target(value)).is_none() => {}
            NodeKind::Scalar(scalar) => {
                let switch = matches!(scalar.value.as_ref(), "true" | "false");
                if !is_empty(tree, value) && !switch && !scalar.value.contains("://") {
                    self.reference(kind, value, ReferenceForm::Plain);
                }
            }
            NodeKind::Alias(_) => self.reference(kind, value, ReferenceForm::Plain),
        }
    }
}

/// Whether a key ends in the word `image`: `image`, `sidecarImage`, `proxy_image`, …
pub(in crate::overlay) fn ends_in_image(key: &str) -> bool {
    ends_in(key, "image")
}

/// Whether a key may name an image: also `imageName`, `imageRepository`.
pub(super) fn names_image(key: &str) -> bool {
    ends_in_image(key) || ends_in(key, "imageName") || ends_in(key, "imageRepository")
}

fn ends_in(key: &str, end: &str) -> bool {
    key.len().checked_sub(end.len()).and_then(|at| key.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

/// A key without word separators and case: `sidecar_imageTag` is `sidecarimagetag`.
fn plain_key(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-')).collect::<String>().to_ascii_lowercase()
}
