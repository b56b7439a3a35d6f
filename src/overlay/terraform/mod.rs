//! Images in Terraform and OpenTofu: `*.tf`, `*.tofu`, `*.tfvars`, and the same in JSON.
//!
//! As in Kubernetes objects, images are recognised by the name of their attribute, not by a list of resources, so that a provider
//! needs no support of its own: attributes, `locals`, module inputs, defaults of variables and values of `*.tfvars` whose name ends in
//! `image` or the like, and what is in a map of `images`, if they hold a tag or a digest; and a name with its tag in two neighbours (`web_image` and `web_image_tag`,
//! `repository` and `tag`). A `docker_image` has its image in `name`, and a `helm_release` is read by itself ([`helm_release`]).
//!
//! Only texts between quotes on one line are changed. What is put together (`"${var.repository}:1.2.3"`, functions, conditions,
//! heredocs) is left alone and said.

use std::collections::BTreeMap;
use std::ops::Range;

use super::collector::MAX_PLACES;
use super::kinds::TERRAFORM;
use super::outline::{self, Content, OutlineKey, shown};
use super::text::Texts;
use super::value::read_value;
use super::{FileScan, Syntax, weight};
use crate::model::{ImageName, ImageReference, RangePins, RepoPath, SkipReason, Skipped, Tag};

mod helm_release;

use helm_release::Release;

/// Endings of attributes that hold an image, without separators and case.
const IMAGES: [&str; 6] = ["image", "imageuri", "imageurl", "imagename", "imageref", "imageidentifier"];
/// Endings of attributes that hold an image's name beside its tag.
const NAMES: [&str; 7] = ["imagerepository", "imagerepo", "imagename", "repositoryurl", "repository", "repo", "image"];
/// Endings of attributes that hold a tag.
const TAGS: [&str; 3] = ["imagetag", "tag", "imageversion"];
const DIGESTS: [&str; 2] = ["imagedigest", "digest"];

/// What stands before `repository` and `tag` where they are of no image.
const OTHERS: [&str; 5] = ["git", "source", "module", "chart", "helm"];
/// Beginnings of resources whose `image` is that of a machine.
const MACHINES: [&str; 22] = [
    "lxd_",
    "incus_",
    "libvirt_",
    "multipass_",
    "hcloud_",
    "digitalocean_droplet",
    "openstack_",
    "scaleway_instance",
    "linode_",
    "vultr_",
    "proxmox",
    "vsphere_",
    "aws_instance",
    "aws_launch",
    "google_compute_instance",
    "google_compute_disk",
    "azurerm_linux_virtual",
    "equinix_",
    "civo_instance",
    "ibm_is_",
    "yandex_compute",
    "upcloud_",
];

/// One value, with the name that says what it is.
struct Attribute {
    /// The name without separators and case: the attribute's, or that of the variable whose default it is.
    plain: String,
    key: String,
    span: Range<usize>,
    content: Content,
    /// Whether what is around it says that it is an image: a `docker_image`, a map of `images`.
    is_among_images: bool,
}

/// Adds what is found to the scan of the file.
pub(super) fn scan(path: &RepoPath, (syntax, ranges): (Syntax, RangePins), text: &str, scan: &mut FileScan) {
    let mut releases: BTreeMap<String, Release> = BTreeMap::new();
    let mut groups: BTreeMap<Vec<String>, Vec<Attribute>> = BTreeMap::new();
    let mut texts = Texts::new(path, text);
    let mut kept = 0;
    let visited = outline::visit(syntax, text, &mut |leaf| {
        let (group, name) = placed(leaf.path);
        let step = |at: usize| if let Some(OutlineKey::Name(step)) = group.get(at) { step.as_str() } else { "" };
        let plain: String = name.chars().filter(|c| !matches!(c, '_' | '-')).collect::<String>().to_ascii_lowercase();
        let docker_image = plain == "name" && step(1) == "docker_image";
        let is_among_images =
            docker_image || step(group.len().wrapping_sub(1)).to_ascii_lowercase().ends_with("images");
        let of_machine = MACHINES.iter().any(|machine| step(1).starts_with(machine));
        let mut attribute =
            Attribute { plain, key: String::new(), span: leaf.span, content: leaf.content, is_among_images };
        let of_release = helm_release::part(leaf.path);
        if (of_release.is_none() && !attribute.matters()) || of_machine || kept > MAX_PLACES {
            return;
        }
        attribute.key = shown(leaf.path);
        kept += weight(2 * attribute.key.len());
        if let Some((label, part)) = of_release {
            releases.entry(label.to_owned()).or_default().add(part, attribute);
            return;
        }
        groups.entry(group.iter().map(step_text).collect()).or_default().push(attribute);
    });
    if let Err((line, reason)) = visited {
        scan.skipped.push(Skipped { line, ..Skipped::file(path.as_str(), reason) });
        return;
    }
    if kept > MAX_PLACES {
        scan.skipped.push(Skipped::file(path.as_str(), SkipReason::TooManyPins));
        return;
    }
    for group in groups.values() {
        attributes(group, &mut texts);
    }
    for release in releases.values() {
        release.read(ranges, &mut texts);
    }
    texts.into_scan(scan);
}

/// What stands together with a value, and the value's name. Defaults of variables stand together, each with its variable's name.
fn placed(path: &[OutlineKey]) -> (&[OutlineKey], &str) {
    match path {
        [OutlineKey::Name(block), OutlineKey::Name(variable), OutlineKey::Name(default)]
            if block == "variable" && default == "default" =>
        {
            (path.get(..1).unwrap_or_default(), variable)
        }
        // In JSON, each block may be a list.
        [OutlineKey::Name(block), OutlineKey::Name(variable), OutlineKey::Item(_), OutlineKey::Name(default)]
            if block == "variable" && default == "default" =>
        {
            (path.get(..1).unwrap_or_default(), variable)
        }
        [before @ .., OutlineKey::Name(last)] => (before, last),
        _ => (path, ""),
    }
}

fn step_text(key: &OutlineKey) -> String {
    match key {
        OutlineKey::Name(name) => name.clone(),
        OutlineKey::Item(number) | OutlineKey::Nth(number) => number.to_string(),
    }
}

impl Attribute {
    /// Whether it may have to do with an image; the others are not kept.
    fn matters(&self) -> bool {
        let ends = |ends: &[&str]| ends.iter().any(|end| self.plain.ends_with(end));
        let names = self.is_among_images || ends(&IMAGES) || ends(&NAMES) || ends(&TAGS) || ends(&DIGESTS);
        names
            || self.plain.ends_with("registry")
            || self.is_of_containers()
            || self.text().is_some_and(|text| text.contains('/') && text.contains(':'))
    }

    fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text, _) => Some(text),
            Content::Other(_) => None,
        }
    }

    /// The bytes between its quotes.
    fn changeable(&self) -> Result<(&str, usize), SkipReason> {
        match &self.content {
            Content::Text(text, Ok(inner)) => Ok((text, inner.start)),
            Content::Text(_, Err(reason)) => Err(reason.clone()),
            Content::Other(reason) => Err(reason.clone()),
        }
    }

    /// Whether it describes containers: `container_definitions` of ECS, which may be a heredoc or a file.
    fn is_of_containers(&self) -> bool {
        self.plain.ends_with("containerdefinitions") && !matches!(self.content, Content::Text(..))
    }

    fn is_image(&self) -> bool {
        !self.plain.starts_with("ami") && self.names_image()
    }

    fn names_image(&self) -> bool {
        self.is_among_images || IMAGES.iter().any(|end| self.plain.ends_with(end))
    }
}

/// What stands together: pairs of a name and a tag, whole references, and what must be said.
fn attributes(group: &[Attribute], texts: &mut Texts<'_>) {
    let mut done = vec![false; group.len()];
    for (at, tag) in group.iter().enumerate() {
        let Some(name) = pair(group, tag) else { continue };
        done[at] = true;
        done[name] = true;
        if let Some(name) = group.get(name) {
            paired(group, name, tag, texts);
        }
    }
    for (attribute, done) in group.iter().zip(done) {
        if !done {
            alone(attribute, texts);
        }
    }
}

/// The neighbour that names the image of a tag.
fn pair(group: &[Attribute], tag: &Attribute) -> Option<usize> {
    let stems = TAGS.iter().filter_map(|end| tag.plain.strip_suffix(end));
    let stems = stems.filter(|stem| !OTHERS.iter().any(|other| stem.ends_with(other)));
    let names = stems.flat_map(|stem| NAMES.iter().map(move |end| format!("{stem}{end}")));
    let is_name = |attribute: &Attribute| match attribute.text() {
        // A name without a version, and no address of a Helm repository or a Git repository.
        Some(text) => ImageName::image(text).is_ok(),
        None => !matches!(attribute.content, Content::Other(SkipReason::NotText)),
    };
    names.into_iter().find_map(|name| group.iter().position(|other| other.plain == name && is_name(other)))
}

fn paired(group: &[Attribute], name: &Attribute, tag: &Attribute, texts: &mut Texts<'_>) {
    let Some(written) = name.text() else {
        // Put together somewhere else; only a tag that is written here is worth a word.
        if tag.text().is_some_and(|text| Tag::parse(text).is_ok()) && tag.plain.ends_with("imagetag") {
            texts.skip(Some(tag.span.start), SkipReason::NoRepository, None);
        }
        return;
    };
    let stem = NAMES.iter().find_map(|end| name.plain.strip_suffix(end)).unwrap_or_default();
    let registry = group
        .iter()
        .find(|other| other.plain == format!("{stem}registry") || other.plain == format!("{stem}imageregistry"));
    let image = match registry.map(|registry| registry.text()) {
        Some(Some(registry)) if !registry.is_empty() => format!("{}/{written}", registry.trim_end_matches('/')),
        Some(None) => return texts.skip(Some(tag.span.start), SkipReason::Template, None),
        _ => written.to_owned(),
    };
    let parsed = ImageName::image(&image).ok();
    let digest = group.iter().find(|other| DIGESTS.iter().any(|end| other.plain == format!("{stem}{end}")));
    if digest.is_some_and(|digest| digest.text().is_none_or(|text| !text.is_empty())) {
        return texts.skip(Some(tag.span.start), SkipReason::DigestTwice, parsed);
    }
    if tag.text().is_some_and(str::is_empty) {
        return texts.skip(Some(tag.span.start), SkipReason::EmptyTag, parsed);
    }
    match tag.changeable().and_then(|(text, start)| Ok((start, read_value(text, Some(&image))?))) {
        Ok((start, read)) => texts.value(TERRAFORM, tag.key.clone(), start, read, None),
        Err(reason) => texts.skip(Some(tag.span.start), reason, parsed),
    }
}

/// A value that has no neighbour.
fn alone(attribute: &Attribute, texts: &mut Texts<'_>) {
    let at = Some(attribute.span.start);
    if let (true, Content::Other(reason)) = (attribute.is_of_containers(), &attribute.content) {
        return texts.skip(at, reason.clone(), None);
    }
    let is_tag = attribute.plain.ends_with("imagetag") && attribute.text().is_some_and(|text| Tag::parse(text).is_ok());
    if is_tag {
        return texts.skip(at, SkipReason::NoRepository, None);
    }
    if !attribute.is_image() {
        // An image under another name is said, if it certainly is one.
        if let Some(reference) = attribute.text().and_then(super::kinds::certain_reference) {
            texts.skip(at, SkipReason::UnknownKey, Some(reference.name));
        }
        return;
    }
    let (text, start) = match attribute.changeable() {
        Ok(found) => found,
        Err(SkipReason::Template) => {
            // `image = var.image`, `"${var.repository}:1.2.3"`: where it comes from is not followed.
            return texts.skip(at, SkipReason::Template, None);
        }
        Err(reason) => return texts.skip(at, reason, None),
    };
    // A machine's image, an icon, a name alone: nothing with a version.
    let versioned = |reference: &ImageReference| reference.version.tag.is_some() || reference.version.digest.is_some();
    let is_reference = ImageReference::parse(text).is_ok_and(|reference| versioned(&reference));
    if !is_reference || text.starts_with("aws/codebuild/") {
        return;
    }
    match read_value(text, None) {
        Ok(read) => texts.value(TERRAFORM, attribute.key.clone(), start, read, None),
        Err(reason) => texts.skip(at, reason, None),
    }
}
