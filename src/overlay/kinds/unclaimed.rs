//! Reports what looks like an image but was read by no kind, so that no image is skipped silently.
//!
//! Four things are recognised: a value that is a full reference with a host or a numbered tag, also as the value of a
//! flag (`--image=ghcr.io/acme/web:1.2.3`); a multi-line text that contains such a reference or an image block (a
//! ConfigMap's manifests, a script); a `hub` with a `tag`, which several images share; and an `imageTag` that belongs to
//! no image beside it. Precise rather than clever:
//! anything that is not certainly an image is not reported, because nobody reads a list full of false alarms.

use std::collections::BTreeSet;

use super::{Document, Form};
use crate::model::{ImageName, ImageReference, SkipReason, Tag};
use crate::overlay::collector::{Collector, is_empty, is_template};
use crate::overlay::tree::{Id, NodeKind};

/// Maximum number of images that are reported of one text.
const MAX_IN_TEXT: usize = 50;

/// Maximum length of a text that may be a reference.
const MAX_REFERENCE: usize = 400;

impl Collector<'_, '_> {
    /// Looks through what a document's kind did not read.
    pub(super) fn unclaimed(&mut self, document: &Document<'_>) {
        let tree = self.tree;
        let status = (document.form == Form::Object).then(|| tree.get(document.root, "status")).flatten();
        let mut id = document.root;
        while id < tree.node(document.root).last {
            if Some(id) == status {
                id = tree.node(id).last;
                continue;
            }
            match &tree.node(id).kind {
                NodeKind::Scalar(scalar) if !scalar.one_line || is_text(&scalar.value) => {
                    self.unclaimed_text(id, &scalar.value, !scalar.one_line);
                }
                NodeKind::Scalar(scalar) => self.unclaimed_value(id, &scalar.value),
                NodeKind::Mapping(_) => self.hub(id),
                _ => {}
            }
            id += 1;
        }
    }

    fn unclaimed_value(&mut self, id: Id, text: &str) {
        // `imageTag` beside nothing that names an image: a tag for the images that templates name.
        let is_tag = self.tree.key(id).is_some_and(is_image_tag) && !self.seen.contains(&id);
        if is_tag && !is_empty(self.tree, id) && Tag::parse(text).is_ok() {
            return self.skip(id, SkipReason::NoRepository);
        }
        if !text.contains('/') || self.seen.contains(&id) || self.tree.is_key(id) {
            return;
        }
        // The name by which a kustomization selects has no version; a reference anywhere else does.
        if let Some(reference) = certain_reference(text) {
            self.skip_image(id, SkipReason::UnknownKey, Some(reference.name));
        }
    }

    /// Text of several lines, or JSON: reports each image that it names, at its first line, if it is written over `lines`.
    fn unclaimed_text(&mut self, id: Id, text: &str, lines: bool) {
        if self.seen.contains(&id) {
            return;
        }
        let mut named = BTreeSet::new();
        let line_of = |number: usize| if lines { number } else { 0 };
        let found =
            text.lines().enumerate().flat_map(|(number, line)| images_in(line).map(move |image| (number, image)));
        for (number, image) in found {
            if named.len() < MAX_IN_TEXT && named.insert(image.name.clone()) {
                self.skip_line((id, self.line(id) + line_of(number)), SkipReason::InText, Some(image.name));
            }
        }
        if !named.is_empty() {
            return;
        }
        let first = |word: &str| {
            text.lines().enumerate().find_map(|(number, line)| {
                let rest = line.trim_start_matches([' ', '-']).strip_prefix(word)?;
                Some((number, rest.trim().trim_matches(['"', '\''])))
            })
        };
        if let (Some((_, repository)), Some((number, _))) = (first("repository:"), first("tag:")) {
            let image = ImageName::image(repository).ok();
            self.skip_line((id, self.line(id) + line_of(number)), SkipReason::InText, image);
        }
    }

    /// `hub: docker.io/istio` and `tag: 1.23.0`, as in Istio.
    fn hub(&mut self, id: Id) {
        let tree = self.tree;
        let (Some(hub), Some(tag)) = (tree.get(id, "hub"), tree.get(id, "tag")) else { return };
        let is_text = |node: Id| tree.scalar(node).is_some() && !is_empty(tree, node);
        if is_text(hub) && is_text(tag) && !self.seen.contains(&tag) {
            self.skip(tag, SkipReason::HubAndTag);
        }
    }
}

/// Whether a key says that its value is the tag of an image: `imageTag`, `sidecar_image_tag`.
fn is_image_tag(key: &str) -> bool {
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    plain.len() >= "imagetag".len() && plain.to_ascii_lowercase().ends_with("imagetag")
}

/// Whether a scalar on one line is a text rather than one value: it has lines of its own, or is JSON.
fn is_text(value: &str) -> bool {
    value.trim_end().contains('\n') || (value.starts_with(['{', '[']) && value.contains(':') && !is_template(value))
}

/// The images named in a line of text, which may be a flow mapping or JSON.
fn images_in(line: &str) -> impl Iterator<Item = ImageReference> {
    let flow = !line.trim_start().starts_with('#') && !is_template(line);
    let parts: Vec<&str> = if flow { line.split([',', '{', '}', '[', ']']).collect() } else { vec![line] };
    parts.into_iter().filter_map(image_in)
}

/// The image named in a line of text: as the value of an `image` key, or as a word of its own.
fn image_in(line: &str) -> Option<ImageReference> {
    if !line.contains([':', '@']) {
        return None;
    }
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let quotes = ['"', '\'', ',', '`', ';', ')', '('];
    let start = line.trim_start_matches(['-', ' ']);
    let key = start.split_once("mage:").or_else(|| start.split_once("mage\":")).filter(|(key, _)| key.len() <= 40);
    let valued = key.and_then(|(_, value)| {
        let value = value.trim().trim_matches(quotes);
        let reference = ImageReference::parse(value).ok()?;
        let version = &reference.version;
        (version.tag.is_some() || version.digest.is_some()).then_some(reference)
    });
    // `<image>…</image>`, `WEB="…"`, `run('…')`.
    let apart = |c: char| c.is_whitespace() || quotes.contains(&c) || matches!(c, '<' | '>' | '|');
    valued.or_else(|| line.split(apart).find_map(certain_reference))
}

/// The reference in a text, if it certainly is one.
pub(in crate::overlay) fn certain_reference(text: &str) -> Option<ImageReference> {
    let text = text.rsplit_once('=').map_or(text, |(_, value)| value);
    // As CI systems write it: only images are there.
    if let Some(rest) = text.strip_prefix("docker://") {
        return ImageReference::parse(rest).ok().filter(|_| text.len() <= MAX_REFERENCE && !is_template(text));
    }
    let certain = text.len() <= MAX_REFERENCE
        && text.contains('/')
        && text.contains([':', '@'])
        && !text.contains("://")
        && !text.contains(char::is_whitespace)
        && !is_template(text);
    let reference = ImageReference::parse(text).ok().filter(|_| certain)?;
    if reference.version.digest.is_some() {
        return Some(reference);
    }
    let tag = reference.version.tag.as_ref()?.as_str();
    let host = text.split('/').next().is_some_and(|host| host.contains('.') && host.contains(char::is_alphabetic));
    // `example.com/path:8080` may be a port.
    let port = tag.len() >= 4 && tag.bytes().all(|b| b.is_ascii_digit());
    (is_numbered(tag) || (host && !port)).then_some(reference)
}

/// Whether a tag is a version by its numbers: `1.2`, `v1.2.3-rc1`.
pub(in crate::overlay) fn is_numbered(tag: &str) -> bool {
    tag.trim_start_matches('v').split('.').take(2).filter(|part| starts_with_digit(part)).count() == 2
}

fn starts_with_digit(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{certain_reference, image_in};

    #[test]
    fn only_what_is_certain_is_an_image() {
        for (text, certain) in [
            ("ghcr.io/acme/web:1.2.3", true),
            ("ghcr.io/acme/web:latest", true),
            ("acme/web:v1.2", true),
            ("--sidecar=quay.io/acme/reloader:v0.75.0", true),
            (&format!("acme/web@sha256:{}", "a".repeat(64)), true),
            ("acme/web:latest", false),
            ("example.com/path:8080", false),
            ("https://example.com/a:1.2", false),
            ("oci://ghcr.io/acme/web:1.2.3", false),
            ("docker://alpine:3.20", true),
            ("docker://{{ .image }}", false),
            ("kafka.example.com:9092", false),
            ("/var/lib/x:1.2", false),
            ("{{ .image }}/x:1.2", false),
            ("a sentence / with:1.2", false),
        ] {
            assert_eq!(certain_reference(text).is_some(), certain, "{text}");
        }
        for (line, certain) in [
            ("      image: nginx:1.25", true),
            ("- image: \"nginx:1.25\",", true),
            ("docker run -it ghcr.io/acme/web:1.2.3 sh", true),
            ("<image>ghcr.io/acme/agent:v1.2</image>", true),
            ("WEB=\"ghcr.io/acme/web:1.2.3\" ./start", true),
            ("4.2.1=quay.io/strimzi/kafka:1.2.0-kafka-4.2.1", true),
            ("<a href='https://example.com/a:1.2'>", false),
            ("# image: nginx:1.25", false),
            ("image: {{ .Values.image }}", false),
            ("url: https://example.com/x:1", false),
        ] {
            assert_eq!(image_in(line).is_some(), certain, "{line}");
        }
    }
}
