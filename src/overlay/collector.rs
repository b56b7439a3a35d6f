//! Turns scalars that look like a pin into a [`Pin`], or into the reason why they are left alone.
//!
//! Promise: every pin can be edited in place: each of its scalars is on one line, is neither shared by an alias nor
//! templated, and ends (inside its quotes) with exactly the tag and digest that the pin reports.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use granit_parser::ScalarStyle;

use super::compose::Interpolated;
use super::kinds::{PlainKeys, VersionKey};
use super::literal::Literal;
use super::referred::ChartOf;
use super::tree::{Id, Lock, MAX_KEY_PATH, NodeKind, Scalar, Spelling, Tree, Unclear};
use super::{pin_text, skipped_text, weight};
use crate::model::{
    DeclaredValue, Digest, ImageError, ImageName, ImageReference, MissingKeys, Pin, PinAlias, PinKind, PinLocation,
    PinRole, RangePins, RepoPath, Scheme, SkipReason, Skipped, Span, Tag, Version, is_exact_version,
};

/// Maximum number of pins and reasons kept for one file: a bound on memory, far above any real file. One with a long text counts as
/// several, as in [`FileScan::places`](super::FileScan::places).
pub(super) const MAX_PLACES: usize = 100_000;

/// A pin and the scalars it was made from.
#[derive(Debug)]
pub(super) struct Draft {
    /// The pin.
    pub(super) pin: Pin,
    /// The scalar with the full reference.
    pub(super) reference: Option<Id>,
    /// The scalar with the tag.
    pub(super) tag: Option<Id>,
    /// The scalar with the digest.
    pub(super) digest: Option<Id>,
    /// Whether it counts only if the file is a Helm values file.
    pub(super) values: bool,
    /// The chart that it is about, if its repository is not written beside it: the pin's name says nothing then.
    pub(super) of: Option<ChartOf>,
}

/// Something left alone, and the scalar it is about.
#[derive(Debug)]
pub(super) struct Skip {
    /// What is reported.
    pub(super) skipped: Skipped,
    /// The scalar, if there is one.
    pub(super) node: Option<Id>,
    /// Whether it counts only if the file is a Helm values file.
    pub(super) values: bool,
}

/// The scalars of a pin that is spread over several of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'t> {
    /// The image's name as text.
    pub(super) image: &'t str,
    /// The scalar that contains only that name, if it may be changed.
    pub(super) name: Option<Id>,
    /// The scalar with the tag.
    pub(super) tag: Option<Id>,
    /// The scalar with the digest.
    pub(super) digest: Option<Id>,
    /// The name that selects it, if different.
    pub(super) alias: Option<(&'t str, Id)>,
    /// What may be added next to the tag.
    pub(super) missing: MissingKeys,
}

/// Whether a reference may be preceded by an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReferenceForm {
    /// `name[:tag][@digest]`.
    Plain,
    /// Also `alias=name[:tag][@digest]`.
    Aliased,
}

/// Where a tree's text is in the file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Frame<'t> {
    /// It is the whole file.
    File,
    /// It is the text of a literal block scalar whose first line is `line` (from 1) of the file, at the key path `key` of the
    /// document of that number.
    Literal { literal: &'t Literal, line: usize, key: &'t str, document: usize },
}

/// What has been collected from one tree.
#[derive(Debug)]
pub(super) struct Collector<'t, 'a> {
    pub(super) path: &'t RepoPath,
    pub(super) tree: &'t Tree<'a>,
    pub(super) frame: Frame<'t>,
    /// What policies declare of the file.
    pub(super) declared: &'t [DeclaredValue<'t>],
    /// What a range of versions in it is.
    pub(super) ranges: RangePins,
    /// Whether what is found now counts only if the file is a Helm values file.
    pub(super) values: bool,
    pub(super) drafts: Vec<Draft>,
    pub(super) skips: Vec<Skip>,
    /// Images with variables in them, in a Compose file.
    pub(super) interpolated: Vec<Interpolated>,
    /// Scalars that have been handled: nothing more is reported about them.
    pub(super) seen: HashSet<Id>,
    /// How many places are kept, by the length of their texts.
    pub(super) kept: usize,
    /// Whether there was more than is kept for one file.
    pub(super) overflow: bool,
    /// Of mappings that were looked through: their keys, so that each is looked through once.
    pub(super) plain_keys: HashMap<Id, Rc<PlainKeys>>,
    /// The same: their versions.
    pub(super) versions: HashMap<Id, Rc<[VersionKey]>>,
    /// How many versions have been compared with tags.
    pub(super) compared: usize,
}

impl<'t, 'a> Collector<'t, 'a> {
    /// An empty collector.
    pub(super) fn new(path: &'t RepoPath, tree: &'t Tree<'a>, frame: Frame<'t>) -> Self {
        Self {
            path,
            tree,
            frame,
            declared: &[],
            ranges: RangePins::LeftAlone,
            values: false,
            drafts: Vec::new(),
            skips: Vec::new(),
            interpolated: Vec::new(),
            seen: HashSet::new(),
            kept: 0,
            overflow: false,
            plain_keys: HashMap::new(),
            versions: HashMap::new(),
            compared: 0,
        }
    }

    /// Leaves a node alone and records why.
    pub(super) fn skip(&mut self, node: Id, reason: SkipReason) {
        self.skip_image(node, reason, None);
    }

    /// The same, with the image if it is known.
    pub(super) fn skip_image(&mut self, node: Id, reason: SkipReason, image: Option<ImageName>) {
        self.seen.insert(node);
        self.push_skip(self.line(node), reason, image, Some(node));
    }

    /// Reports a line of a node's text.
    pub(super) fn skip_line(&mut self, (node, line): (Id, usize), reason: SkipReason, image: Option<ImageName>) {
        self.seen.insert(node);
        self.push_skip(line, reason, image, Some(node));
    }

    /// Reports a setter marker that belongs to nothing, whatever happens to its line.
    pub(super) fn broken_marker(&mut self, line: u32, reason: SkipReason) {
        self.push_skip(self.file_line(line), reason, None, None);
    }

    /// Reports a declaration at the value that is too much, whatever else is said of that.
    pub(super) fn broken_declaration(&mut self, node: Id, reason: SkipReason) {
        self.push_skip(self.line(node), reason, None, None);
    }

    /// Reports something about the file as a whole.
    pub(super) fn skip_file(&mut self, reason: SkipReason) {
        let skipped = Skipped::file(self.path.as_str(), reason);
        if self.has_room(skipped_text(&skipped)) {
            self.skips.push(Skip { skipped, node: None, values: false });
        }
    }

    fn push_skip(&mut self, line: usize, reason: SkipReason, image: Option<ImageName>, node: Option<Id>) {
        if self.overflow {
            return;
        }
        let skipped = Skipped { path: self.path.to_string(), line: Some(line), image, reason };
        if self.has_room(skipped_text(&skipped)) {
            self.skips.push(Skip { skipped, node, values: self.values });
        }
    }

    fn push_draft(&mut self, draft: Draft) {
        if self.has_room(pin_text(&draft.pin)) {
            self.seen.extend([draft.reference, draft.tag, draft.digest].into_iter().flatten());
            self.drafts.push(draft);
        }
    }

    /// Whether another place with so long a text may be kept of this file, which takes its room then; that there was none is
    /// remembered.
    pub(super) fn has_room(&mut self, text: usize) -> bool {
        self.kept += weight(text);
        self.overflow |= self.kept > MAX_PLACES;
        !self.overflow
    }

    /// A scalar that holds a reference.
    pub(super) fn reference(&mut self, kind: PinKind, node: Id, form: ReferenceForm) {
        if let Err(reason) = self.try_reference(kind, node, form) {
            let image = self.referenced(node, form).map(|reference| reference.name);
            self.skip_image(node, reason, image);
        }
    }

    /// The reference in a scalar, or in the anchor of an alias.
    pub(super) fn referenced(&self, node: Id, form: ReferenceForm) -> Option<ImageReference> {
        let scalar = self.tree.scalar(self.tree.target(node))?;
        ImageReference::parse(reference_text(&scalar.value, form)).ok()
    }

    fn try_reference(&mut self, kind: PinKind, node: Id, form: ReferenceForm) -> Result<(), SkipReason> {
        let scalar = self.changeable(node)?;
        let reference =
            ImageReference::parse(reference_text(&scalar.value, form)).map_err(|error| not_an_image(&error))?;
        let version = reference.version;
        if version.tag.is_none() && version.digest.is_none() {
            return Err(SkipReason::NoVersion { image: reference.written });
        }
        let at = self.tail(node, &version.to_string())?;
        let location = PinLocation::Reference(self.span(node));
        let image = (reference.written, reference.name, None);
        let pin = self.pin(kind, (node, at), image, version, location)?;
        self.push_draft(Draft { pin, reference: Some(node), tag: None, digest: None, values: self.values, of: None });
        Ok(())
    }

    /// Scalars that hold name, tag and digest separately.
    pub(super) fn parts(&mut self, kind: PinKind, parts: Parts<'_>) {
        let Some(node) = parts.tag.or(parts.digest).filter(|_| !self.overflow) else { return };
        match ImageName::image(parts.image) {
            Ok(name) => self.named_parts(kind, name, parts),
            Err(error) => self.skip(node, not_an_image(&error)),
        }
    }

    /// The same, for a name that is known: of an image, or of something else.
    pub(super) fn named_parts(&mut self, kind: PinKind, name: ImageName, parts: Parts<'_>) {
        let Some(node) = parts.tag.or(parts.digest) else { return };
        if let Err((node, reason)) = self.try_parts(kind, name.clone(), parts, node) {
            self.skip_image(node, reason, Some(name));
        }
    }

    pub(super) fn try_parts(
        &mut self,
        kind: PinKind,
        name: ImageName,
        parts: Parts<'_>,
        node: Id,
    ) -> Result<(), (Id, SkipReason)> {
        let at = |node: Id| move |reason: SkipReason| (node, reason);
        let (mut version, mut tag) = (Version { tag: None, digest: None }, None);
        if let Some(node) = parts.tag.filter(|node| !is_empty(self.tree, *node)) {
            let text = &self.changeable(node).map_err(at(node))?.value;
            version = match kind.role {
                // Only where a policy has ranges replaced does one get here.
                PinRole::Chart if !is_exact_version(text) => Tag::range(text)
                    .map(|tag| Version { tag: Some(tag), digest: None })
                    .map_err(|error| not_an_image(&error)),
                PinRole::Chart => Tag::parse(text)
                    .map(|tag| Version { tag: Some(tag), digest: None })
                    .map_err(|error| not_an_image(&error)),
                _ => written_version(text),
            }
            .map_err(at(node))?;
            // A registry's tag for a chart's version is that version: its list has it with a `+`, too.
            if name.scheme() == Scheme::Oci && kind.role == PinRole::Artifact {
                version.tag = version.tag.map(|tag| tag.borrowed().of_chart().unwrap_or(tag));
            }
            tag = Some(node);
        }
        if let Some(node) = parts.digest.filter(|node| !is_empty(self.tree, *node)) {
            let digest = Digest::parse(&self.changeable(node).map_err(at(node))?.value)
                .map_err(|error| (node, not_an_image(&error)))?;
            if version.digest.is_some() {
                return Err((node, SkipReason::DigestTwice));
            }
            version.digest = Some(digest);
        }
        // An empty digest scalar is where a new digest goes, so it must be as changeable as a filled one.
        let digest = parts.digest.filter(|node| self.changeable(*node).is_ok());
        let Some(first) = tag.or(digest.filter(|_| version.digest.is_some())) else {
            let empty_tag = parts.tag.is_some_and(|node| is_empty(self.tree, node));
            return Err((node, if empty_tag { SkipReason::EmptyTag } else { SkipReason::EmptyDigest }));
        };
        let written = self.tree.scalar(first).map_or("", |scalar| scalar.value.as_ref());
        let start = self.tail(first, written).map_err(at(first))?;
        let name_span = parts.name.filter(|node| self.changeable(*node).is_ok()).map(|node| self.span(node));
        let location = PinLocation::Fields {
            name: name_span,
            tag: tag.map(|node| self.span(node)),
            digest: digest.map(|node| self.span(node)),
            missing: parts.missing,
        };
        let alias = parts.alias.map(|(name, node)| PinAlias { name: name.into(), line: self.line(node) });
        let image = (parts.image.to_owned(), name, alias);
        let pin = self.pin(kind, (first, start), image, version, location).map_err(at(first))?;
        self.push_draft(Draft { pin, reference: None, tag, digest, values: self.values, of: None });
        Ok(())
    }

    /// The scalar, if changing it changes nothing else; otherwise the reason.
    pub(super) fn changeable(&self, node: Id) -> Result<&'t Scalar<'a>, SkipReason> {
        let tree = self.tree;
        match &tree.node(node).kind {
            NodeKind::Mapping(_)
                if tree.text.get(tree.node(node).start as usize..).is_some_and(|t| t.starts_with("{{")) =>
            {
                Err(SkipReason::Template)
            }
            NodeKind::Scalar(scalar) if tree.lock_of(node).is_none() && is_template(&scalar.value) => {
                Err(SkipReason::Template)
            }
            _ => self.unlocked(node),
        }
    }

    /// The same of a scalar that may have variables in it.
    pub(super) fn unlocked(&self, node: Id) -> Result<&'t Scalar<'a>, SkipReason> {
        let tree = self.tree;
        let scalar = match &tree.node(node).kind {
            NodeKind::Scalar(scalar) => scalar,
            NodeKind::Alias(_) => return Err(SkipReason::Alias { anchor: self.line(tree.target(node)) }),
            NodeKind::Mapping(_) | NodeKind::Sequence(_) => return Err(SkipReason::NotSingle),
        };
        if let Some(lock) = tree.lock_of(node) {
            return Err(self.locked(lock));
        }
        if let Some(tag) = &scalar.tag {
            return Err(SkipReason::YamlTag { tag: tag.escape_debug().to_string() });
        }
        if !scalar.one_line {
            return Err(SkipReason::SeveralLines);
        }
        Ok(scalar)
    }

    fn locked(&self, lock: &Lock) -> SkipReason {
        match lock {
            Lock::Shared { anchor, alias } => {
                SkipReason::SharedAnchor { anchor: self.file_line(*anchor), alias: self.file_line(*alias) }
            }
            Lock::Key => SkipReason::MappingKey,
            Lock::Duplicate { key, line } => {
                SkipReason::DuplicateKey { key: key.escape_debug().to_string(), line: self.file_line(*line) }
            }
        }
    }

    /// Why what is read of a mapping at these keys may be something else to another reader: whatever a pin's name or version is read
    /// from must not be.
    pub(super) fn unclear(&self, mapping: Id, keys: &[&str], spelling: Spelling) -> Option<SkipReason> {
        self.tree.unclear(mapping, keys, spelling).map(|unclear| self.unclear_reason(&unclear))
    }

    pub(super) fn unclear_reason(&self, unclear: &Unclear) -> SkipReason {
        let shown = |key: &str| key.escape_debug().to_string();
        match unclear {
            Unclear::Twice { key, line } => SkipReason::DuplicateKey { key: shown(key), line: self.file_line(*line) },
            Unclear::Other { key, other, line } => {
                SkipReason::OtherSpelling { key: shown(key), other: shown(other), line: self.file_line(*line) }
            }
            Unclear::More { line } => SkipReason::MergedMore { line: self.file_line(*line) },
        }
    }

    /// The byte at which `tail` starts; it must end the scalar as written, before the closing quote.
    fn tail(&self, node: Id, tail: &str) -> Result<usize, SkipReason> {
        let inner = unquoted(self.tree.raw(node));
        let start = self.tree.node(node).start as usize + usize::from(inner.len() < self.tree.raw(node).len());
        // A reference with only a digest is written `name@digest`, and `Version` displays it with the `@`.
        let tail = tail.strip_prefix('@').unwrap_or(tail);
        if inner.ends_with(tail) { Ok(start + inner.len() - tail.len()) } else { Err(SkipReason::Escaped) }
    }

    fn pin(
        &self,
        kind: PinKind,
        (node, at): (Id, usize),
        (image, name, alias): (String, ImageName, Option<PinAlias>),
        version: Version,
        location: PinLocation,
    ) -> Result<Pin, SkipReason> {
        let key = self.key(node)?;
        let start = self.tree.node(node).start as usize;
        let before = self.tree.text.get(start..at).map_or(0, |text| text.chars().count());
        let column = self.tree.node(node).column as usize + before + 1;
        let (indent, document) = match self.frame {
            Frame::File => (0, self.tree.document_of(node)),
            Frame::Literal { literal, document, .. } => (literal.indent, document),
        };
        Ok(Pin {
            path: self.path.clone(),
            line: self.line(node),
            column: column + indent,
            kind,
            document,
            key,
            image,
            alias,
            name,
            version,
            location,
        })
    }

    /// The line of a node in the file, from 1.
    pub(super) fn line(&self, node: Id) -> usize {
        self.file_line(self.tree.node(node).line)
    }

    fn file_line(&self, line: u32) -> usize {
        match self.frame {
            Frame::File => line as usize,
            Frame::Literal { line: first, .. } => first + line as usize - 1,
        }
    }

    /// The key path of a node, as `scan` prints it.
    ///
    /// # Errors
    /// If it is longer than any real one: it would be kept with each pin below it.
    pub(super) fn key(&self, node: Id) -> Result<String, SkipReason> {
        let path = self.tree.path(node).ok_or(SkipReason::LongKey { bytes: MAX_KEY_PATH })?;
        let path = match self.tree.document_of(node) {
            0 => path,
            document => format!("[{document}].{path}"),
        };
        Ok(match self.frame {
            Frame::File => path,
            Frame::Literal { key, .. } => format!("{key}.{path}"),
        })
    }

    fn span(&self, node: Id) -> Span {
        let node = self.tree.node(node);
        let (start, end) = (node.start as usize, node.end as usize);
        match self.frame {
            Frame::File => Span { start, end },
            Frame::Literal { literal, .. } => {
                let outer = literal.outer(start);
                Span { start: outer, end: outer + (end - start) }
            }
        }
    }
}

/// Whether a value is effectively absent: an empty string or a plain null.
pub(super) fn is_empty(tree: &Tree<'_>, node: Id) -> bool {
    tree.scalar(node).is_some_and(|scalar| is_empty_scalar(&scalar.value, scalar.style))
}

/// The same for a scalar's text and style.
pub(super) fn is_empty_scalar(value: &str, style: ScalarStyle) -> bool {
    value.is_empty() || (style == ScalarStyle::Plain && matches!(value, "~" | "null" | "Null" | "NULL"))
}

/// Whether another tool fills in a text: Helm, Argo CD and Go templates, Flux and shell substitution, Kubernetes
/// variables.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("${") || text.contains("$(") || text.contains("<%")
}

/// The text between a scalar's quotes, still escaped; the whole text of a plain one.
pub(super) fn unquoted(raw: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| raw.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)))
        .unwrap_or(raw)
}

/// The reference in a scalar's text.
fn reference_text(text: &str, form: ReferenceForm) -> &str {
    match text.split_once('=') {
        Some((_, text)) if form == ReferenceForm::Aliased => text,
        _ => text,
    }
}

/// Parses a tag scalar: `tag`, or `tag@digest`, which some charts accept.
pub(super) fn written_version(text: &str) -> Result<Version, SkipReason> {
    let (tag, digest) = match text.split_once('@') {
        Some((tag, digest)) => (tag, Some(Digest::parse(digest).map_err(|error| not_an_image(&error))?)),
        None => (text, None),
    };
    let tag = Tag::parse(tag).map_err(|error| not_an_image(&error))?;
    if tag.borrowed().has_metadata() {
        return Err(SkipReason::NotAnImage { reason: format!("`{tag}` is not a tag: no image has one with a +") });
    }
    Ok(Version { tag: Some(tag), digest })
}

/// An [`ImageError`] as a reason; templates are reported as such.
pub(super) fn not_an_image(error: &ImageError) -> SkipReason {
    if is_template(&error.text) {
        return SkipReason::Template;
    }
    SkipReason::NotAnImage { reason: error.to_string() }
}
