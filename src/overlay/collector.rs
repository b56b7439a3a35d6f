//! From scalars that look like a pin to a [`Pin`], or to the reason why it is left alone.
//!
//! Promise: whatever becomes a pin can be edited in place: each of its scalars is written in one line, is not shared by
//! an alias, not templated, and ends (inside its quotes) with exactly the tag and digest that the pin reports.

use granit_parser::ScalarStyle;

use super::literal::Literal;
use super::tree::{Id, Lock, NodeKind, Scalar, Tree};
use crate::model::{
    Digest, ImageError, ImageName, ImageReference, Pin, PinKind, PinLocation, RepoPath, Skipped, Span, Tag, Version,
};

/// Most pins and reasons that are kept of one file: a bound on memory, far above any file that people keep.
pub(super) const MAX_PLACES: usize = 100_000;

/// A pin and the scalars that it came from.
#[derive(Debug)]
pub(super) struct Draft {
    /// The pin.
    pub(super) pin: Pin,
    /// The scalar with the whole reference.
    pub(super) reference: Option<Id>,
    /// The scalar with the tag.
    pub(super) tag: Option<Id>,
    /// The scalar with the digest.
    pub(super) digest: Option<Id>,
    /// Whether it counts only if the file is a Helm values file.
    pub(super) values: bool,
}

/// Something left alone, and the scalar it is about.
#[derive(Debug)]
pub(super) struct Skip {
    /// What is reported.
    pub(super) skipped: Skipped,
    /// The scalar, where there is one.
    pub(super) node: Option<Id>,
    /// Whether it counts only if the file is a Helm values file.
    pub(super) values: bool,
}

/// The scalars of a pin that is spread over several.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'t> {
    /// The image's name as text.
    pub(super) image: &'t str,
    /// The scalar that alone holds that name, where it may be changed.
    pub(super) name: Option<Id>,
    /// The scalar with the tag.
    pub(super) tag: Option<Id>,
    /// The scalar with the digest.
    pub(super) digest: Option<Id>,
}

/// Where a tree's text stands in the file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Frame<'t> {
    /// It is the file.
    File,
    /// It is the text of a literal block scalar whose first line is `line` (from 1) of the file, at the key path `key`.
    Literal { literal: &'t Literal, line: usize, key: &'t str },
}

/// What is gathered from one tree.
#[derive(Debug)]
pub(super) struct Collector<'t, 'a> {
    pub(super) path: &'t RepoPath,
    pub(super) tree: &'t Tree<'a>,
    pub(super) frame: Frame<'t>,
    /// Whether what is found now counts only if the file is a Helm values file.
    pub(super) values: bool,
    pub(super) drafts: Vec<Draft>,
    pub(super) skips: Vec<Skip>,
    /// Whether there was more than is kept of one file.
    pub(super) overflow: bool,
}

impl<'t, 'a> Collector<'t, 'a> {
    /// Nothing gathered yet.
    pub(super) fn new(path: &'t RepoPath, tree: &'t Tree<'a>, frame: Frame<'t>) -> Self {
        Self { path, tree, frame, values: false, drafts: Vec::new(), skips: Vec::new(), overflow: false }
    }

    /// Leaves a node alone and says why.
    pub(super) fn skip(&mut self, node: Id, reason: impl Into<String>) {
        self.push_skip(self.line(node), reason.into(), Some(node));
    }

    /// Reports a setter marker that is about nothing; it stands whatever becomes of its line.
    pub(super) fn broken_marker(&mut self, line: u32, reason: String) {
        self.push_skip(self.file_line(line), reason, None);
    }

    fn push_skip(&mut self, line: usize, reason: String, node: Option<Id>) {
        if self.has_room() {
            let skipped = Skipped { path: self.path.to_string(), line: Some(line), reason };
            self.skips.push(Skip { skipped, node, values: self.values });
        }
    }

    fn push_draft(&mut self, draft: Draft) {
        if self.has_room() {
            self.drafts.push(draft);
        }
    }

    fn has_room(&mut self) -> bool {
        self.overflow |= self.drafts.len() + self.skips.len() >= MAX_PLACES;
        !self.overflow
    }

    /// A scalar that holds `name[:tag][@digest]`, or with `alias` also `alias=name[:tag][@digest]`.
    pub(super) fn reference(&mut self, kind: PinKind, node: Id, alias: bool) {
        if let Err(reason) = self.try_reference(kind, node, alias) {
            self.skip(node, reason);
        }
    }

    fn try_reference(&mut self, kind: PinKind, node: Id, alias: bool) -> Result<(), String> {
        let scalar = self.changeable(node)?;
        let text = match scalar.value.split_once('=') {
            Some((_, text)) if alias => text,
            _ => scalar.value.as_ref(),
        };
        let reference = ImageReference::parse(text).map_err(|error| not_an_image(&error))?;
        let version = reference.version;
        if version.tag.is_none() && version.digest.is_none() {
            return Err(format!("no tag or digest is written for the image {}", reference.written));
        }
        let at = self.tail(node, &version.to_string())?;
        let location = PinLocation::Reference(self.span(node));
        let pin = self.pin(kind, node, at, reference.written, reference.name, version, location);
        self.push_draft(Draft { pin, reference: Some(node), tag: None, digest: None, values: self.values });
        Ok(())
    }

    /// Scalars that hold name, tag and digest apart.
    pub(super) fn parts(&mut self, kind: PinKind, parts: Parts<'_>) {
        let Some(node) = parts.tag.or(parts.digest) else { return };
        if let Err((node, reason)) = self.try_parts(kind, parts, node) {
            self.skip(node, reason);
        }
    }

    fn try_parts(&mut self, kind: PinKind, parts: Parts<'_>, node: Id) -> Result<(), (Id, String)> {
        let at = |node: Id| move |reason: String| (node, reason);
        let name = ImageName::parse(parts.image).map_err(|error| (node, not_an_image(&error)))?;
        let (mut version, mut tag) = (Version { tag: None, digest: None }, None);
        if let Some(node) = parts.tag.filter(|node| !is_empty(self.tree, *node)) {
            version = written_version(&self.changeable(node).map_err(at(node))?.value).map_err(at(node))?;
            tag = Some(node);
        }
        if let Some(node) = parts.digest.filter(|node| !is_empty(self.tree, *node)) {
            let digest = Digest::parse(&self.changeable(node).map_err(at(node))?.value)
                .map_err(|error| (node, not_an_image(&error)))?;
            if version.digest.is_some() {
                return Err((node, "the digest is written twice: beside the tag and by itself".to_owned()));
            }
            version.digest = Some(digest);
        }
        // An empty digest scalar is where a digest goes when one is wanted; it must be as changeable as a full one.
        let digest = parts.digest.filter(|node| self.changeable(*node).is_ok());
        let Some(first) = tag.or(digest.filter(|_| version.digest.is_some())) else {
            return Err((node, empty_reason(self.tree, parts)));
        };
        let written = self.tree.scalar(first).map_or("", |scalar| scalar.value.as_ref());
        let start = self.tail(first, written).map_err(at(first))?;
        let name_span = parts.name.filter(|node| self.changeable(*node).is_ok()).map(|node| self.span(node));
        let location = PinLocation::Fields {
            name: name_span,
            tag: tag.map(|node| self.span(node)),
            digest: digest.map(|node| self.span(node)),
        };
        let pin = self.pin(kind, first, start, parts.image.to_owned(), name, version, location);
        self.push_draft(Draft { pin, reference: None, tag, digest, values: self.values });
        Ok(())
    }

    /// The scalar, where changing it changes just it; otherwise the reason why not.
    pub(super) fn changeable(&self, node: Id) -> Result<&'t Scalar<'a>, String> {
        let tree = self.tree;
        let scalar = match &tree.node(node).kind {
            NodeKind::Scalar(scalar) => scalar,
            NodeKind::Alias(_) => {
                let line = self.line(tree.target(node));
                return Err(format!("an alias: the value stands at the anchor in line {line}"));
            }
            NodeKind::Mapping(_)
                if tree.text.get(tree.node(node).start as usize..).is_some_and(|t| t.starts_with("{{")) =>
            {
                return Err("a template, not a fixed value".to_owned());
            }
            NodeKind::Mapping(_) | NodeKind::Sequence(_) => return Err("not a single value".to_owned()),
        };
        if let Some(lock) = tree.lock_of(node) {
            return Err(self.locked(lock));
        }
        if is_template(&scalar.value) {
            return Err("a template, not a fixed value".to_owned());
        }
        if let Some(tag) = &scalar.tag {
            return Err(format!("the value carries the YAML tag {}", tag.escape_debug()));
        }
        if !scalar.one_line {
            return Err("written over several lines or as a block scalar".to_owned());
        }
        Ok(scalar)
    }

    fn locked(&self, lock: &Lock) -> String {
        match lock {
            Lock::Shared { anchor, alias } => {
                let (anchor, alias) = (self.file_line(*anchor), self.file_line(*alias));
                format!(
                    "shared through the anchor in line {anchor}: a change would also move its alias in line {alias}"
                )
            }
            Lock::Key => "inside the key of a mapping".to_owned(),
            Lock::Duplicate { key, line } => {
                let (key, line) = (key.escape_debug(), self.file_line(*line));
                format!("the key `{key}` is there twice (again in line {line}), and readers differ in which one counts")
            }
        }
    }

    /// The byte where `tail` begins, which must end the scalar as written, before the closing quote.
    fn tail(&self, node: Id, tail: &str) -> Result<usize, String> {
        let inner = unquoted(self.tree.raw(node));
        let start = self.tree.node(node).start as usize + usize::from(inner.len() < self.tree.raw(node).len());
        // A reference with only a digest is written `name@digest`, and `Version` shows it with the `@`.
        let tail = tail.strip_prefix('@').unwrap_or(tail);
        if inner.ends_with(tail) {
            Ok(start + inner.len() - tail.len())
        } else {
            Err("the tag is written with escape sequences".to_owned())
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is one field of the pin, known only to the caller")]
    fn pin(
        &self,
        kind: PinKind,
        node: Id,
        at: usize,
        image: String,
        name: ImageName,
        version: Version,
        location: PinLocation,
    ) -> Pin {
        let start = self.tree.node(node).start as usize;
        let before = self.tree.text.get(start..at).map_or(0, |text| text.chars().count());
        let column = self.tree.node(node).column as usize + before + 1;
        let indent = match self.frame {
            Frame::File => 0,
            Frame::Literal { literal, .. } => literal.indent,
        };
        Pin {
            path: self.path.clone(),
            line: self.line(node),
            column: column + indent,
            kind,
            key: self.key(node),
            image,
            name,
            version,
            location,
        }
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

    /// Where a node stands, as `scan` prints it.
    pub(super) fn key(&self, node: Id) -> String {
        let path = self.tree.path(node);
        let path = match self.tree.roots.partition_point(|root| *root <= node) {
            documents @ 2.. => format!("[{}].{path}", documents - 1),
            _ => path,
        };
        match self.frame {
            Frame::File => path,
            Frame::Literal { key, .. } => format!("{key}.{path}"),
        }
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

/// Whether a value is absent in all but name: an empty string, or a plain null.
pub(super) fn is_empty(tree: &Tree<'_>, node: Id) -> bool {
    tree.scalar(node).is_some_and(|scalar| is_empty_scalar(&scalar.value, scalar.style))
}

/// The same for a scalar's text and style.
pub(super) fn is_empty_scalar(value: &str, style: ScalarStyle) -> bool {
    value.is_empty() || (style == ScalarStyle::Plain && matches!(value, "~" | "null" | "Null" | "NULL"))
}

/// Whether a text is filled in by another tool: Helm, Argo CD and Go templates, Flux and shell substitution, Kubernetes
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

/// What a tag scalar says: `tag`, or `tag@digest` as some charts take it.
fn written_version(text: &str) -> Result<Version, String> {
    let (tag, digest) = match text.split_once('@') {
        Some((tag, digest)) => (tag, Some(Digest::parse(digest).map_err(|error| not_an_image(&error))?)),
        None => (text, None),
    };
    Ok(Version { tag: Some(Tag::parse(tag).map_err(|error| not_an_image(&error))?), digest })
}

fn empty_reason(tree: &Tree<'_>, parts: Parts<'_>) -> String {
    match parts.tag {
        Some(node) if is_empty(tree, node) => "no tag or digest: the tag is empty, so a default applies".to_owned(),
        _ => "no tag or digest: the digest is empty".to_owned(),
    }
}

/// An [`ImageError`] as a reason; templates are called by their name.
pub(super) fn not_an_image(error: &ImageError) -> String {
    if is_template(&error.text) {
        return "a template, not a fixed value".to_owned();
    }
    error.to_string()
}
