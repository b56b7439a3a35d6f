//! Helm values: `image: {registry, repository, tag, digest}` blocks and `image: name:tag` strings, at any depth.
//!
//! Charts are free to name their values; what is taken here is what charts in use agree on. A block is recognised by a
//! `repository` with a `tag` or `digest` beside it, or by a key that ends in `image` above it. Some charts write `image`
//! (ingress-nginx) or `name` in the place of `repository`, or `imageTag` in the place of `tag`. Keys such as
//! `global.imageRegistry` are never read: which of its images a chart puts that registry before is its own affair.

use crate::model::{ImageName, PinKind};
use crate::overlay::collector::{Collector, Parts, is_empty};
use crate::overlay::tree::{Id, NodeKind};

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
}

/// What names a block's image.
#[derive(Debug)]
struct Named {
    image: String,
    /// The scalar that alone holds the name.
    scalar: Option<Id>,
    /// The scalar that holds it, alone or after a registry.
    source: Id,
}

impl Collector<'_, '_> {
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
        // The keys of an image above: of this mapping itself, not of the values' root.
        let above = tree.key(id).is_some_and(ends_in_image);
        let block = self.block(id);
        let named = self.block_name(&block, above);
        let source = named.as_ref().map(|named| named.source);
        let versioned = block.tag.is_some() || block.digest.is_some();
        match named {
            Some(_) if above && !versioned => {
                self.skip(source.unwrap_or(id), "no tag or digest beside the repository, so a default applies");
            }
            Some(named) if versioned => self.values_block(kind, &block, &named, above),
            None if above && versioned => self.nameless(&block),
            _ => {}
        }
        for (key, value) in tree.entries(id) {
            if tree.scalar(key).is_some_and(|key| ends_in_image(&key.value)) && Some(value) != source {
                self.values_string(kind, value);
            }
        }
    }

    fn block(&self, id: Id) -> Block {
        let mut block = Block::default();
        let mut image_tag = None;
        for (key, value) in self.tree.entries(id) {
            let Some(key) = self.tree.scalar(key) else { continue };
            let slot = match key.value.as_ref() {
                "registry" => &mut block.registry,
                "repository" => &mut block.repository,
                "image" => &mut block.image,
                "name" => &mut block.name,
                "tag" => &mut block.tag,
                "imageTag" => &mut image_tag,
                "digest" => &mut block.digest,
                "sha" => &mut block.sha,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        block.tag = block.tag.or(image_tag);
        // A name merged in by `<<` names the image as well as an own one; its tag would be the anchor's, not this one's.
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
        let bare = |pair: &(Id, &str)| ImageName::parse(pair.1).is_ok();
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
        if above && block.repository == Some(named.source) && second() {
            self.skip(version, "both `repository` and a second name are there: how the chart joins them is not known");
            return;
        }
        if block.sha.is_some_and(|sha| !is_empty(tree, sha)) {
            self.skip(version, "a digest is written as `sha`, which would be left behind");
            return;
        }
        let parts = Parts { image: &named.image, name: named.scalar, tag: block.tag, digest: block.digest };
        self.parts(kind, parts);
    }

    fn nameless(&mut self, block: &Block) {
        let tree = self.tree;
        let Some(node) = [block.tag, block.digest].into_iter().flatten().find(|node| !is_empty(tree, *node)) else {
            return; // Nothing is fixed here.
        };
        self.skip(node, "no repository beside the tag: which image it is for is not written here");
    }

    fn values_string(&mut self, kind: PinKind, value: Id) {
        let tree = self.tree;
        match &tree.node(value).kind {
            NodeKind::Mapping(_) if tree.raw(value).starts_with("{{") => {
                self.skip(value, "a template, not a fixed value");
            }
            NodeKind::Mapping(_) | NodeKind::Sequence(_) => {}
            NodeKind::Alias(_) if tree.scalar(tree.target(value)).is_none() => {}
            NodeKind::Scalar(scalar) => {
                let switch = matches!(scalar.value.as_ref(), "true" | "false");
                if !is_empty(tree, value) && !switch && !scalar.value.contains("://") {
                    self.reference(kind, value, false);
                }
            }
            NodeKind::Alias(_) => self.reference(kind, value, false),
        }
    }
}

/// Whether a key names an image: `image`, `sidecarImage`, `proxy_image`, …
pub(super) fn ends_in_image(key: &str) -> bool {
    key.len() >= 5 && key.get(key.len() - 5..).is_some_and(|end| end.eq_ignore_ascii_case("image"))
}
