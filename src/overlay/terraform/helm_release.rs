//! `helm_release` of Terraform's Helm provider: its chart, and the images among the values that it sets.
//!
//! The chart is that of `chart` in the repository at `repository`, or an address `oci://`; `version` is its version (Helm provider,
//! `helm_release`). A value is set by a block `set` or an item of a list `set`, with `name` and `value`; as in Argo CD's
//! parameters, `image.repository` and `image.tag` belong together, and `image` is a whole reference.

use std::collections::{BTreeMap, BTreeSet};

use super::Attribute;
use crate::model::{ImageName, RangePins, SkipReason, Tag, Version, is_exact_version, shown_address};
use crate::overlay::collector::{is_template, not_an_image};
use crate::overlay::kinds::{CHART, TERRAFORM, chart_name, ends_in_image};
use crate::overlay::outline::OutlineKey;
use crate::overlay::text::Texts;
use crate::overlay::value::{ReadValue, read_value};

/// One release, as far as it matters.
#[derive(Default)]
pub(super) struct Release {
    repository: Option<Attribute>,
    chart: Option<Attribute>,
    version: Option<Attribute>,
    set: BTreeMap<usize, Setting>,
}

/// One value that is set.
#[derive(Default)]
struct Setting {
    name: Option<Attribute>,
    value: Option<Attribute>,
}

/// What an attribute says of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReleasePart {
    Repository,
    Chart,
    Version,
    Name(usize),
    Value(usize),
}

/// The release that an attribute belongs to, by the label of its resource, and what it says of that.
pub(super) fn part(path: &[OutlineKey]) -> Option<(&str, ReleasePart)> {
    let [OutlineKey::Name(resource), OutlineKey::Name(kind), OutlineKey::Name(label), rest @ ..] = path else {
        return None;
    };
    if resource != "resource" || kind != "helm_release" {
        return None;
    }
    // In JSON, each block may be a list.
    let rest = match rest {
        [OutlineKey::Item(0), rest @ ..] => rest,
        rest => rest,
    };
    let set = |name: &str, number: usize| match name {
        "name" => Some(ReleasePart::Name(number)),
        "value" => Some(ReleasePart::Value(number)),
        _ => None,
    };
    let part = match rest {
        [OutlineKey::Name(name)] => match name.as_str() {
            "repository" => Some(ReleasePart::Repository),
            "chart" => Some(ReleasePart::Chart),
            "version" => Some(ReleasePart::Version),
            _ => None,
        },
        [OutlineKey::Name(block), OutlineKey::Item(number) | OutlineKey::Nth(number), OutlineKey::Name(name)]
            if block == "set" =>
        {
            set(name, *number)
        }
        [OutlineKey::Name(block), OutlineKey::Name(name)] if block == "set" => set(name, 0),
        _ => None,
    };
    part.map(|part| (label.as_str(), part))
}

impl Release {
    /// Takes in an attribute. Where one is written twice, Terraform refuses the file.
    pub(super) fn add(&mut self, part: ReleasePart, attribute: Attribute) {
        let place = match part {
            ReleasePart::Repository => &mut self.repository,
            ReleasePart::Chart => &mut self.chart,
            ReleasePart::Version => &mut self.version,
            ReleasePart::Name(number) => &mut self.set.entry(number).or_default().name,
            ReleasePart::Value(number) => &mut self.set.entry(number).or_default().value,
        };
        place.get_or_insert(attribute);
    }

    /// Its pins, and what is left alone.
    pub(super) fn read(&self, ranges: RangePins, texts: &mut Texts<'_>) {
        self.version(ranges, texts);
        self.values(texts);
    }

    fn version(&self, ranges: RangePins, texts: &mut Texts<'_>) {
        // Empty, it says as much as none: the newest version.
        let Some(version) = self.version.as_ref().filter(|version| version.text() != Some("")) else { return };
        let at = Some(version.span.start);
        let name = match self.chart_name() {
            Ok(name) => name,
            Err(reason) => return texts.skip(at, reason, None),
        };
        let read = version.changeable().and_then(|(text, start)| {
            let tag = match text {
                _ if is_template(text) => return Err(SkipReason::Template),
                _ if is_exact_version(text) => Tag::parse(text),
                _ if ranges == RangePins::LeftAlone => return Err(SkipReason::ChartRange),
                _ => Tag::range(text),
            };
            let tag = Some(tag.map_err(|error| not_an_image(&error))?);
            let (image, whole) = (name.to_string(), Some(0..text.len()));
            let version = Version { tag, digest: None };
            let name = name.clone();
            Ok((start, ReadValue { image, name, version, written_name: None, tag: whole, digest: None }))
        });
        match read {
            Ok((start, read)) => texts.value(CHART, version.key.clone(), start, read, None),
            Err(reason) => texts.skip(at, reason, Some(name)),
        }
    }

    /// Which chart it is.
    fn chart_name(&self) -> Result<ImageName, SkipReason> {
        let chart = self.chart.as_ref().ok_or(SkipReason::NoRepository)?.fixed()?;
        let repository = self.repository.as_ref().map(Attribute::fixed).transpose()?.unwrap_or_default();
        let name = match (repository, chart.rsplit_once('/')) {
            ("", Some((folder, name))) if folder.starts_with("oci://") => ImageName::chart(folder, name),
            ("", _) if chart.starts_with(['.', '/']) || chart.contains("://") => return Err(SkipReason::LocalChart),
            ("", Some((folder, _))) => return Err(SkipReason::ChartAlias { name: shown_address(folder) }),
            ("", None) => return Err(SkipReason::LocalChart),
            (repository, _) => chart_name(repository, chart),
        };
        name.map_err(|error| not_an_image(&error))
    }

    /// Images among the values that it sets.
    fn values(&self, texts: &mut Texts<'_>) {
        let mut blocks: BTreeMap<&str, BTreeMap<&str, &Attribute>> = BTreeMap::new();
        let mut twice: BTreeSet<&str> = BTreeSet::new();
        for Setting { name, value } in self.set.values() {
            let (Some(Ok(name)), Some(value)) = (name.as_ref().map(Attribute::fixed), value) else { continue };
            let (block, last) = name.rsplit_once('.').unwrap_or(("", name));
            if matches!(last, "registry" | "repository" | "tag" | "digest") {
                if blocks.entry(block).or_default().insert(last, value).is_some() {
                    let name = name.escape_debug().to_string();
                    texts.skip(Some(value.span.start), SkipReason::ParameterTwice { name }, None);
                    twice.insert(block);
                }
            } else if ends_in_image(last) {
                whole(value, texts);
            }
        }
        for (block, of) in blocks.iter().filter(|(block, _)| !twice.contains(*block)) {
            parted(block, of, texts);
        }
    }
}

impl Attribute {
    /// Its text, if it is a fixed one.
    fn fixed(&self) -> Result<&str, SkipReason> {
        match self.text() {
            Some(text) if is_template(text) => Err(SkipReason::Template),
            Some(text) => Ok(text),
            None => Err(self.changeable().err().unwrap_or(SkipReason::NotText)),
        }
    }
}

/// A value that holds a whole reference.
fn whole(value: &Attribute, texts: &mut Texts<'_>) {
    if value.text() == Some("") {
        return;
    }
    match value.changeable().and_then(|(text, start)| Ok((start, read_value(text, None)?))) {
        Ok((start, read)) => texts.value(TERRAFORM, value.key.clone(), start, read, None),
        Err(reason) => texts.skip(Some(value.span.start), reason, None),
    }
}

/// A name and a tag or digest in values of their own.
fn parted(block: &str, of: &BTreeMap<&str, &Attribute>, texts: &mut Texts<'_>) {
    let written = |key: &str| of.get(key).copied().filter(|value| value.text() != Some(""));
    let (tag, digest) = (written("tag"), written("digest"));
    let Some(version) = tag.or(digest) else { return };
    let at = Some(version.span.start);
    let Some(repository) = of.get("repository") else {
        // The chart's own values say which image it is.
        if ends_in_image(block) {
            texts.skip(at, SkipReason::NoRepositoryParameter, None);
        }
        return;
    };
    let registry = of.get("registry").map(|registry| registry.fixed()).transpose();
    let image = match (registry, repository.fixed()) {
        (Err(reason), _) | (_, Err(reason)) => return texts.skip(at, reason, None),
        (_, Ok(repository)) if repository.contains("://") => return,
        (Ok(Some(registry)), Ok(repository)) if !registry.is_empty() => {
            format!("{}/{repository}", registry.trim_end_matches('/'))
        }
        (Ok(_), Ok(repository)) => repository.to_owned(),
    };
    let name = ImageName::image(&image).ok();
    if tag.is_some() && digest.is_some() {
        return texts.skip(at, SkipReason::DigestTwice, name);
    }
    match version.changeable().and_then(|(text, start)| Ok((start, read_value(text, Some(&image))?))) {
        Ok((start, read)) => texts.value(TERRAFORM, version.key.clone(), start, read, None),
        Err(reason) => texts.skip(at, reason, name),
    }
}
