//! What Flux' Kustomizations and HelmReleases read, through their sources.

use crate::model::RepoPath;
use crate::model::observation::{Body, ChartSpec, HelmRelease, Kustomization, Object, ObjectRef, Source};
use crate::overlay::{Ignore, normal_folder};

use super::Via;
use super::address::Address;
use super::argo::is_below;
use super::index::{EntryInput, EntryOrigin, WatchEntry, WatcherIndex};
use super::revision::FollowedRevision;
use super::say::Miss;

/// Maximum number of value files and components of one object.
const MAX_FILES: usize = 1_000;

/// What a Kustomization builds.
pub(super) fn kustomization<'a>(
    index: &WatcherIndex<'a>,
    object: &'a Object,
    it: &'a Kustomization,
) -> Vec<WatchEntry<'a>> {
    let (origin, target) = origin(index, object, &it.source_ref);
    let folder = secure(it.path.as_deref().unwrap_or("."));
    let components = it.components.iter().take(MAX_FILES);
    let components = components.map(|component| secure(&format!("{folder}/{component}")));
    let components = components.map(|folder| EntryInput::Flux { folder, component: true });
    let own = EntryInput::Flux { folder: folder.clone(), component: false };
    let entry = |reads| WatchEntry { object, source: None, origin: origin.clone(), target: target.clone(), reads };
    std::iter::once(own).chain(components).map(entry).collect()
}

/// What the chart of a HelmRelease is made from, if that is in Git.
pub(super) fn release<'a>(
    index: &WatcherIndex<'a>,
    object: &'a Object,
    release: &'a HelmRelease,
) -> Vec<WatchEntry<'a>> {
    let Some((holder, spec)) = chart_of(index, object, release) else { return Vec::new() };
    // A chart of a Helm or OCI registry is not in Git.
    if spec.source_ref.kind.as_deref().is_some_and(|kind| kind == "HelmRepository") {
        return Vec::new();
    }
    let (origin, target) = origin(index, holder, &spec.source_ref);
    let folder = secure(&spec.chart);
    let files = spec.values_files.iter().take(MAX_FILES).map(|file| secure(file));
    let files = files.map(|path| EntryInput::File { path, via: Via::ValueFile });
    // Value files listed here replace the chart's own (helmchart API, `valuesFiles`).
    let own = EntryInput::Chart { folder, own_values: spec.values_files.is_empty() };
    let entry = |reads| WatchEntry { object, source: None, origin: origin.clone(), target: target.clone(), reads };
    std::iter::once(own).chain(files).map(entry).collect()
}

/// The chart's specification, and the object that its references are resolved from.
fn chart_of<'a>(
    index: &WatcherIndex<'a>,
    object: &'a Object,
    release: &'a HelmRelease,
) -> Option<(&'a Object, &'a ChartSpec)> {
    if let Some(chart) = &release.chart {
        return Some((object, chart));
    }
    let chart_ref = release.chart_ref.as_ref().filter(|to| to.kind.as_deref() == Some("HelmChart"))?;
    let holder = index.referred(object, chart_ref, "HelmChart").ok()?;
    match &holder.body {
        Body::HelmChart(chart) => Some((holder, &chart.spec)),
        _ => None,
    }
}

fn origin<'a>(index: &WatcherIndex<'a>, object: &'a Object, to: &ObjectRef) -> (EntryOrigin<'a>, FollowedRevision) {
    match index.referred(object, to, "GitRepository") {
        Ok(source) => match located(source) {
            Some((spec, address)) if source.kind == "GitRepository" => {
                (EntryOrigin::Source(source, address), FollowedRevision::flux(&spec.reference))
            }
            Some((_, address)) => (EntryOrigin::Source(source, address), FollowedRevision::Artifact),
            None => (EntryOrigin::Missing(source.key()), FollowedRevision::Artifact),
        },
        Err(missing) => (EntryOrigin::Missing(missing), FollowedRevision::Artifact),
    }
}

fn located(source: &Object) -> Option<(&Source, Address)> {
    let Body::Source(spec) = &source.body else { return None };
    Some((spec, Address::parse(spec.url.as_deref()?)?))
}

/// A path inside an artifact. Flux joins it so that `..` stops at the root (`securejoin` in its controllers).
fn secure(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a source's artifact contains a file. The repository's `.sourceignore` comes first, then `spec.ignore`; the
/// last matching pattern decides (source-controller: `sourceignore`).
pub(super) fn carries(source: &Object, path: &RepoPath, source_ignore: &str) -> Result<(), Miss> {
    let Body::Source(spec) = &source.body else { return Ok(()) };
    let patterns = format!("{source_ignore}\n{}", spec.ignore.as_deref().unwrap_or_default());
    if !patterns.trim().is_empty() {
        let (mut ignore, _) = Ignore::parse(&patterns);
        if ignore.matches(path) && !ignore.is_closed() {
            return Err(Miss::Ignored(source.key()));
        }
    }
    let mut folders = spec.sparse_checkout.iter().filter_map(|folder| normal_folder(folder));
    if !spec.sparse_checkout.is_empty() && !folders.any(|folder| is_below(&folder, path.as_str())) {
        return Err(Miss::NotCheckedOut(source.key()));
    }
    Ok(())
}
