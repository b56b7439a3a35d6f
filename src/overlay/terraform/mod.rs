//! Images in Terraform and OpenTofu: `*.tf`, `*.tofu`, `*.tfvars`, and the same in JSON.
//!
//! As in Kubernetes objects, images are recognised by the name of their attribute, not by a list of resources, so that a provider
//! needs no support of its own: attributes, `locals`, module inputs, defaults of variables and values of `*.tfvars` whose name ends in
//! `image` or the like, and what is in a map of `images`, if they hold a tag or a digest; and a name with its tag in two neighbours (`web_image` and `web_image_tag`,
//! `repository` and `tag`). A `docker_image` has its image in `name`, and a `helm_release` is read by itself ([`helm_release`]).
//!
//! Only texts between quotes on one line are changed. What is put together (`"${var.repository}:1.2.3"`, functions, conditions,
//! heredocs) is left alone and said.

use std::collections::{BTreeMap, HashMap};
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
/// Endings of attributes that hold a registry.
const REGISTRIES: [&str; 2] = ["imageregistry", "registry"];
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
    let names = Names::of(group);
    for (at, tag) in group.iter().enumerate() {
        let Some(name) = names.pair(tag) else { continue };
        done[at] = true;
        done[name] = true;
        let Some(name) = group.get(name) else { continue };
        match names.unclear(name, tag) {
            Some((one, other)) => texts.skip(Some(tag.span.start), twice(one, other, texts), None),
            None => paired(&names, name, tag, texts),
        }
    }
    for (attribute, done) in group.iter().zip(done) {
        if !done {
            alone(attribute, texts);
        }
    }
}

/// What stands together, by its plain names.
struct Names<'g>(HashMap<&'g str, Same<'g>>);

/// Attributes with one plain name.
struct Same<'g> {
    first: &'g Attribute,
    /// Another one: which of them counts is not known.
    second: Option<&'g Attribute>,
    /// The number of the first that may name an image.
    name: Option<usize>,
}

impl<'g> Names<'g> {
    fn of(group: &'g [Attribute]) -> Self {
        let mut names: HashMap<&str, Same<'_>> = HashMap::new();
        for (number, attribute) in group.iter().enumerate() {
            let name = is_name(attribute).then_some(number);
            names
                .entry(&attribute.plain)
                .and_modify(|same| {
                    same.second = same.second.or(Some(attribute));
                    same.name = same.name.or(name);
                })
                .or_insert(Same { first: attribute, second: None, name });
        }
        Self(names)
    }

    /// The neighbour that names the image of a tag.
    fn pair(&self, tag: &Attribute) -> Option<usize> {
        let stems = TAGS.iter().filter_map(|end| tag.plain.strip_suffix(end));
        let mut stems = stems.filter(|stem| !OTHERS.iter().any(|other| stem.ends_with(other)));
        stems.find_map(|stem| self.of_stem(stem, &NAMES).find_map(|same| same.name))
    }

    /// What there is with a stem and one of these ends.
    fn of_stem(&self, stem: &str, ends: &[&str]) -> impl Iterator<Item = &Same<'g>> {
        ends.iter().filter_map(move |end| self.0.get(format!("{stem}{end}").as_str()))
    }

    /// Two of what names an image, or gives its version, of which only one can count.
    fn unclear(&self, name: &Attribute, tag: &Attribute) -> Option<(&'g Attribute, &'g Attribute)> {
        let stem = stem(name);
        let registries: Vec<&Same<'_>> = self.of_stem(stem, &REGISTRIES).collect();
        if let [one, other, ..] = registries.as_slice() {
            return Some((one.first, other.first));
        }
        let own = [self.0.get(name.plain.as_str()), self.0.get(tag.plain.as_str())];
        let mut all = own.into_iter().flatten().chain(registries).chain(self.of_stem(stem, &DIGESTS));
        all.find_map(|same| Some((same.first, same.second?)))
    }
}

/// Why neither of two attributes is taken.
fn twice(one: &Attribute, other: &Attribute, texts: &Texts<'_>) -> SkipReason {
    let (key, line) = (one.key.clone(), texts.line(other.span.start));
    match one.key == other.key {
        true => SkipReason::DuplicateKey { key, line },
        false => SkipReason::OtherSpelling { key, other: other.key.clone(), line },
    }
}

/// Whether an attribute may name an image.
fn is_name(attribute: &Attribute) -> bool {
    match attribute.text() {
        // A name without a version, and no address of a Helm repository or a Git repository.
        Some(text) => ImageName::image(text).is_ok(),
        None => !matches!(attribute.content, Content::Other(SkipReason::NotText)),
    }
}

/// A name's name without what says that it is one.
fn stem(name: &Attribute) -> &str {
    NAMES.iter().find_map(|end| name.plain.strip_suffix(end)).unwrap_or_default()
}

fn paired(names: &Names<'_>, name: &Attribute, tag: &Attribute, texts: &mut Texts<'_>) {
    let Some(written) = name.text() else {
        // Put together somewhere else; only a tag that is written here is worth a word.
        if tag.text().is_some_and(|text| Tag::parse(text).is_ok()) && tag.plain.ends_with("imagetag") {
            texts.skip(Some(tag.span.start), SkipReason::NoRepository, None);
        }
        return;
    };
    let stem = stem(name);
    let registry = names.of_stem(stem, &REGISTRIES).next().map(|same| same.first);
    let image = match registry.map(|registry| registry.text()) {
        Some(Some(registry)) if !registry.is_empty() => format!("{}/{written}", registry.trim_end_matches('/')),
        Some(None) => return texts.skip(Some(tag.span.start), SkipReason::Template, None),
        _ => written.to_owned(),
    };
    let parsed = ImageName::image(&image).ok();
    let mut digests = names.of_stem(stem, &DIGESTS).map(|same| same.first);
    if digests.any(|digest| digest.text().is_none_or(|text| !text.is_empty())) {
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
