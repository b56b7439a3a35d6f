//! Helm values: `image: {registry, repository, tag, digest}` blocks and `image: name:tag` strings, at any depth; and the
//! values in a helmfile.
//!
//! Charts are free to name their values; the forms recognised here are those that charts in use share. A block is
//! recognised by a `repository` with a `tag` or `digest` next to it, or by a key above it that ends in `image`. Some
//! charts write `image` (ingress-nginx) or `name` instead of `repository`, or `imageTag` instead of `tag`; others have
//! two adjacent keys (`sidecarImage` and `sidecarImageTag`). Keys such as `global.imageRegistry` are never read: which
//! images a chart prefixes with that registry is its own business.

use std::rc::Rc;

use super::{Claim, Document, Form, Recognizer, nothing_more};
use crate::model::{ImageName, MissingKeys, PinKind, PinRole, SkipReason};
use crate::overlay::collector::{Collector, Parts, ReferenceForm, is_empty};
use crate::overlay::tree::{Id, NodeKind, Spelling, Tree};

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
        let repositories = self.helmfile_repositories(root);
        for release in tree.get(root, "releases").map_or(&[][..], |releases| tree.items(releases)) {
            self.helmfile_chart(&repositories, *release);
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
            if self.overflow {
                return;
            }
            if matches!(tree.node(id).kind, NodeKind::Mapping(_)) {
                self.values_mapping(kind, id);
            }
        }
    }

    fn values_mapping(&mut self, kind: PinKind, id: Id) {
        let tree = self.tree;
        let source = self.image_block(kind, id);
        for (key, value) in tree.entries(id) {
            if self.overflow {
                return;
            }
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
            Some(named) if versioned => self.values_block(kind, (id, &block), &named, above),
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

    fn values_block(&mut self, kind: PinKind, (id, block): (Id, &Block), named: &Named, above: bool) {
        let tree = self.tree;
        if named.image.contains("://") {
            return; // A repository of charts or of Git, not of images.
        }
        let version = block.tag.or(block.digest).unwrap_or(named.source);
        let second = || [block.image, block.name].into_iter().flatten().any(|node| !is_empty(tree, node));
        let image = || ImageName::image(&named.image).ok();
        if let Some(reason) = self.unclear_block(id, block, named, above) {
            return self.skip_image(version, reason, image());
        }
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

    /// Why a block may be about another image or version to what reads it. Its versions are told with it.
    fn unclear_block(&mut self, id: Id, block: &Block, named: &Named, above: bool) -> Option<SkipReason> {
        let mut keys = vec!["registry", "repository", "tag", "imageTag", "digest", "sha"];
        keys.extend((above || block.image == Some(named.source)).then_some("image"));
        keys.extend((above || block.name == Some(named.source)).then_some("name"));
        let reason = self.unclear(id, &keys, Spelling::AnyCase)?;
        let tree = self.tree;
        let is_version = |key: Id| {
            let text = tree.scalar(key).map_or("", |key| key.value.as_ref());
            ["tag", "imagetag", "digest"].iter().any(|version| text.eq_ignore_ascii_case(version))
        };
        self.seen.extend(tree.entries(id).filter(|(key, _)| is_version(*key)).map(|(_, value)| value));
        Some(reason)
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
        let keys = self.plain_keys(mapping);
        let beside = |ends| self.beside(&keys, stem, ends);
        let versions = beside(["imagetag", "tag"]).and_then(|tag| Ok([tag, beside(["imagedigest", "digest"])?]));
        let versions = match versions {
            Ok(versions) => versions,
            Err(reason) => {
                self.skip_image(value, reason, ImageName::image(name).ok());
                return true;
            }
        };
        let [tag, digest] = versions.map(|entry| entry.map(|(_, value)| value));
        if tag.is_some() || digest.is_some() {
            if let Err(reason) = self.clear_pair(&keys, key, versions) {
                self.seen.extend([tag, digest].into_iter().flatten());
                self.skip_image(value, reason, ImageName::image(name).ok());
                return true;
            }
            let named = Named { image: name.to_owned(), scalar: Some(value), source: value };
            self.name_and_version(kind, &named, tag, digest);
            return true;
        }
        let version = beside(["imageversion", "version"]).ok().flatten();
        let elsewhere = version.and_then(|entry| self.elsewhere(entry));
        if let Some(reason) = elsewhere {
            self.skip_image(value, reason, ImageName::image(name).ok());
            return true;
        }
        // A key that only ends in `name` is not an image on its own.
        !key_text.ends_with("image")
    }

    /// The first entry whose key is the stem with one of these ends, and which is of no image yet; or why it is not known which of
    /// several counts.
    fn beside(&self, keys: &PlainKeys, stem: &str, ends: [&str; 2]) -> Result<Option<(Id, Id)>, SkipReason> {
        let mut wanted = ends.map(|end| (stem, end)).to_vec();
        // The Prometheus operator's `baseImage` has a plain `tag` next to it.
        wanted.extend((stem == "base").then_some(("", ends[1])));
        let mut first: Option<(Id, Id)> = None;
        for (stem, end) in wanted {
            match keys.at(self.tree, stem, end) {
                [(one, _), (other, _), ..] => return Err(self.two_keys(*one, *other)),
                [entry] if !self.seen.contains(&entry.1) => first = first.into_iter().chain([*entry]).min(),
                _ => {}
            }
        }
        Ok(first)
    }

    /// Whether a name and its versions are the only ones of their keys, whatever what reads them makes of case and `<<`.
    fn clear_pair(&self, keys: &PlainKeys, name: Id, versions: [Option<(Id, Id)>; 2]) -> Result<(), SkipReason> {
        let tree = self.tree;
        let versions: Vec<Id> = versions.into_iter().flatten().map(|(key, _)| key).collect();
        let text = tree.scalar(name).map_or("", |key| key.value.as_ref());
        if let [(one, _), (other, _), ..] = keys.at(tree, &plain_key(text), "") {
            return Err(self.two_keys(*one, *other));
        }
        let Some(merge) = keys.merge else { return Ok(()) };
        let all: Vec<Id> = versions.into_iter().chain([name]).collect();
        self.clear_of_merged(merge, &all)
    }

    /// The same of one value and its key, which is meant whatever else there is.
    pub(super) fn clear_key(&mut self, node: Id) -> Result<(), SkipReason> {
        let tree = self.tree;
        let mapping = tree.parent(node).filter(|parent| tree.is_mapping(*parent));
        let Some((mapping, text)) = mapping.zip(tree.key(node)) else { return Ok(()) };
        let keys = self.plain_keys(mapping);
        let same = keys.at(tree, &plain_key(text), "").iter().take(MAX_SAME);
        let same = same.filter(|(key, _)| tree.scalar(*key).is_some_and(|key| key.value.eq_ignore_ascii_case(text)));
        let same: Vec<(Id, Id)> = same.copied().collect();
        match (same.as_slice(), keys.merge) {
            ([(one, _), (other, _), ..], _) => Err(self.two_keys(*one, *other)),
            ([(key, _)], Some(merge)) => self.clear_of_merged(merge, &[*key]),
            _ => Ok(()),
        }
    }

    /// Whether what `<<` merges in leaves these keys of the mapping what they are.
    fn clear_of_merged(&self, merge: (Id, Id), keys: &[Id]) -> Result<(), SkipReason> {
        let tree = self.tree;
        let texts: Vec<&str> = keys.iter().map(|key| tree.scalar(*key).map_or("", |key| key.value.as_ref())).collect();
        let before = keys.iter().enumerate().filter(|(_, key)| **key < merge.0).map(|(number, _)| 1 << number).sum();
        tree.unclear_below(merge, &texts, before).map_or(Ok(()), |unclear| Err(self.unclear_reason(&unclear)))
    }

    /// Why neither of two keys is taken.
    fn two_keys(&self, one: Id, other: Id) -> SkipReason {
        let text = |key: Id| self.tree.scalar(key).map_or(String::new(), |key| key.value.escape_debug().to_string());
        let (key, again, line) = (text(one), text(other), self.line(other));
        if key == again { SkipReason::DuplicateKey { key, line } } else { SkipReason::OtherSpelling { key, other: again, line } }
    }

    /// The keys of a mapping, which is looked through once.
    fn plain_keys(&mut self, mapping: Id) -> Rc<PlainKeys> {
        let tree = self.tree;
        Rc::clone(self.plain_keys.entry(mapping).or_insert_with(|| Rc::new(PlainKeys::of(tree, mapping))))
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
        let mut beside = || {
            let stem = tree.key(block).map(plain_key)?;
            let keys = self.plain_keys(tree.parent(block)?);
            let entries = |end: &str| keys.at(tree, &stem, end).iter().take(MAX_SAME).copied();
            let entries = ["tag", "version", "digest"].into_iter().flat_map(entries);
            entries.filter(|(_, value)| !is_empty(tree, *value)).min()
        };
        own.or_else(&mut beside).and_then(|entry| self.elsewhere(entry))
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

/// How many entries with one key are looked at for what is only told.
const MAX_SAME: usize = 10;

/// The keys of a mapping in the order of their plain forms, so that one is found without looking through all.
#[derive(Debug)]
pub(in crate::overlay) struct PlainKeys {
    entries: Vec<(Id, Id)>,
    /// Its `<<`.
    merge: Option<(Id, Id)>,
}

impl PlainKeys {
    fn of(tree: &Tree<'_>, mapping: Id) -> Self {
        let mut entries: Vec<(Id, Id)> = tree.entries(mapping).filter(|(key, _)| tree.scalar(*key).is_some()).collect();
        let merge = entries.iter().copied().find(|(key, _)| tree.scalar(*key).is_some_and(|key| key.value == "<<"));
        entries.sort_by(|(one, _), (other, _)| plain_of(tree, *one).cmp(plain_of(tree, *other)));
        Self { entries, merge }
    }

    /// The entries with a key of this plain form, in the file's order.
    fn at(&self, tree: &Tree<'_>, stem: &str, end: &str) -> &[(Id, Id)] {
        let wanted = || stem.chars().chain(end.chars());
        let start = self.entries.partition_point(|(key, _)| plain_of(tree, *key).lt(wanted()));
        let rest = self.entries.get(start..).unwrap_or_default();
        let count = rest.partition_point(|(key, _)| plain_of(tree, *key).eq(wanted()));
        rest.get(..count).unwrap_or_default()
    }
}

fn plain_of(tree: &Tree<'_>, key: Id) -> impl Iterator<Item = char> {
    plain_chars(tree.scalar(key).map_or("", |key| key.value.as_ref()))
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
    plain_chars(key).collect()
}

fn plain_chars(key: &str) -> impl Iterator<Item = char> {
    key.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase())
}
