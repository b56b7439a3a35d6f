//! Versions of charts.
//!
//! In `spec.chart.spec` of a Flux HelmRelease and `spec` of a HelmChart: `chart`, `version`, and `sourceRef`, which names a
//! HelmRepository in any file. Of other sources Flux ignores the version (Flux, "Helm Charts").
//!
//! In `dependencies` of a `Chart.yaml` (or a `requirements.yaml`, where Helm 2 had them), `helmCharts` of a kustomization, `releases` of a helmfile: with the address of the
//! repository beside them, or in the helmfile's `repositories`.
//!
//! In a source of an Argo CD Application or ApplicationSet: `chart`, `targetRevision`, and `repoURL`, which is the address of a Helm
//! repository, or has no scheme for a container registry (Argo CD, "Helm"). Only whole versions are pins: of a range, the
//! controller itself chooses one. Where a policy has ranges replaced (`ranges: pin`), they are pins, too.

use std::collections::HashMap;

use super::{Claim, Document, Form, Recognizer, nothing_more};
use crate::model::{ImageError, ImageName, MissingKeys, PinKind, PinRole, RangePins, SkipReason, is_exact_version, shown_address};
use crate::overlay::collector::{Collector, Parts, is_empty, is_template, not_an_image};
use crate::overlay::referred::ChartOf;
use crate::overlay::tree::{Id, Spelling};

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "chart",
        summary: "the version of a chart in a Flux HelmRelease or HelmChart, in an Argo CD Application or ApplicationSet, a Chart.yaml, a kustomization, a helmfile or a helm_release of Terraform",
        role: PinRole::Chart,
    },
    document,
    file: nothing_more,
};

fn document(collector: &mut Collector<'_, '_>, document: &Document<'_>) -> Claim {
    match (document.form, document.group, document.kind) {
        (Form::Object, "source.toolkit.fluxcd.io", "HelmChart") => {
            if let Some(spec) = collector.tree.get(document.root, "spec") {
                collector.flux_chart(document.root, spec);
            }
            Claim::Taken
        }
        (Form::Mapping, ..) if is_chart_file(collector.path.file_name()) => {
            let list = collector.tree.get(document.root, "dependencies");
            for dependency in list.map_or(&[][..], |list| collector.tree.items(list)) {
                collector.written_chart(*dependency, ["repository", "name", "version"]);
            }
            Claim::Passed
        }
        _ => Claim::Passed,
    }
}

/// Whether a file of this name declares the dependencies of a chart.
pub(in crate::overlay) fn is_chart_file(name: &str) -> bool {
    matches!(name, "Chart.yaml" | "requirements.yaml")
}

/// The repositories of a helmfile by their names: the entry, or why it is not known which one counts.
pub(super) type DeclaredRepositories<'t> = HashMap<&'t str, Result<Id, SkipReason>>;

/// In place of the name of a chart whose repository is not known yet.
const UNKNOWN: &str = "https://repository.invalid";

impl<'t> Collector<'t, '_> {
    /// The chart or OCI artifact of a source of Argo CD; of a Git repository nothing is taken.
    pub(super) fn argo_chart(&mut self, source: Id) {
        let tree = self.tree;
        let Some(revision) = tree.get(source, "targetRevision").filter(|node| !is_empty(tree, *node)) else { return };
        let address = tree.text_at(source, "repoURL");
        if let Some(reason) = self.unclear(source, &["repoURL", "chart", "targetRevision"], Spelling::Exact) {
            return self.skip(revision, reason);
        }
        match (tree.text_at(source, "chart").filter(|chart| !chart.is_empty()), address) {
            (Some(chart), Some(address)) => {
                let oci = !address.contains("://") && !is_template(address);
                let address = if oci { format!("oci://{address}") } else { address.to_owned() };
                self.chart_version(&address, chart, revision);
            }
            (Some(_), None) => self.skip(revision, SkipReason::NoRepository),
            (None, Some(address)) if address.starts_with("oci://") => self.oci_source(address, revision),
            (None, _) => {}
        }
    }

    /// The chart of a HelmRelease or HelmChart, whose repository is named beside it.
    pub(super) fn flux_chart(&mut self, root: Id, spec: Id) {
        let tree = self.tree;
        let Some(version) = tree.get(spec, "version").filter(|node| !is_empty(tree, *node)) else { return };
        let source = tree.read(spec, "sourceRef");
        let of_source = |key| source.and_then(|source| tree.text_at(source, key)).filter(|text| !text.is_empty());
        if let Some(reason) = self.unclear_chart(root, spec) {
            return self.skip(version, reason);
        }
        if of_source("kind").is_some_and(|kind| kind != "HelmRepository") {
            return self.skip(version, SkipReason::ChartInSource);
        }
        let text = self.tree.scalar(tree.target(version)).map_or("", |scalar| scalar.value.as_ref());
        if self.is_left_range(text) {
            return self.skip(version, SkipReason::ChartRange);
        }
        let (Some(chart), Some(name)) = (tree.text_at(spec, "chart"), of_source("name")) else {
            return self.skip(version, SkipReason::ChartWithoutSource);
        };
        if is_template(chart) || is_template(name) {
            return self.skip(version, SkipReason::Template);
        }
        let own = || tree.read(root, "metadata").and_then(|metadata| tree.text_at(metadata, "namespace"));
        let repository = self.helm_repository_name(of_source("namespace").or_else(own), name);
        let Some(repository) = repository else { return self.skip(version, SkipReason::ChartWithoutSource) };
        self.referred_chart(ChartOf { chart: chart.to_owned(), repository }, version);
    }

    /// Whether a text is a range of versions that is left to what reads it.
    fn is_left_range(&self, text: &str) -> bool {
        self.ranges == RangePins::LeftAlone && !is_exact_version(text) && !is_template(text)
    }

    /// Why the chart of a HelmRelease or HelmChart may be another one to another reader.
    fn unclear_chart(&self, root: Id, spec: Id) -> Option<SkipReason> {
        let (metadata, source) = (self.tree.read(root, "metadata"), self.tree.read(spec, "sourceRef"));
        let unclear = |mapping: Option<Id>, keys: &[&str]| self.unclear(mapping?, keys, Spelling::Exact);
        unclear(Some(spec), &["chart", "version", "sourceRef"])
            .or_else(|| unclear(source, &["kind", "name", "namespace"]))
            .or_else(|| unclear(Some(root), &["metadata"]))
            .or_else(|| unclear(metadata, &["namespace"]))
    }

    fn referred_chart(&mut self, of: ChartOf, version: Id) {
        // In a container registry, a chart may have a path.
        let name = match ImageName::chart(UNKNOWN, of.chart.rsplit('/').next().unwrap_or("")) {
            Ok(name) => name,
            Err(error) => return self.skip(version, not_an_image(&error)),
        };
        let (number, missing) = (self.drafts.len(), MissingKeys::Refused);
        let parts = Parts { image: &of.chart, name: None, tag: Some(version), digest: None, alias: None, missing };
        if let Err((node, reason)) = self.try_parts(KIND.kind, name, parts, version) {
            return self.skip(node, reason);
        }
        if let Some(draft) = self.drafts.get_mut(number) {
            draft.of = Some(of);
        }
    }

    /// A chart with its repository, name and version under these keys.
    pub(super) fn written_chart(&mut self, of: Id, keys: [&str; 3]) {
        let (tree, [repository, name, version]) = (self.tree, keys);
        let Some(version) = tree.get(of, version).filter(|node| !is_empty(tree, *node)) else { return };
        let address = tree.text_at(of, repository).unwrap_or("");
        if let Some(reason) = self.unclear(of, &keys, Spelling::Exact) {
            return self.skip(version, reason);
        }
        match tree.text_at(of, name) {
            _ if is_template(address) => self.skip(version, SkipReason::Template),
            _ if address.is_empty() || address.starts_with("file://") => self.skip(version, SkipReason::LocalChart),
            _ if !address.contains("://") => self.skip(version, SkipReason::ChartAlias { name: shown_address(address) }),
            Some(name) => self.chart_version(address, name, version),
            None => self.skip(version, SkipReason::NoRepository),
        }
    }

    /// The repositories that a helmfile declares.
    pub(super) fn helmfile_repositories(&self, root: Id) -> DeclaredRepositories<'t> {
        let tree = self.tree;
        let unclear = self.unclear(root, &["repositories", "releases"], Spelling::Exact);
        let mut declared = DeclaredRepositories::new();
        for list in tree.either(root, "repositories") {
            for entry in tree.items(list) {
                let unclear = unclear.clone().or_else(|| self.unclear(*entry, &["name", "url", "oci"], Spelling::Exact));
                for name in tree.texts(&[*entry], "name") {
                    let one = unclear.clone().map_or(Ok(*entry), Err);
                    let one = match declared.get(name) {
                        None => one,
                        Some(first) => first.clone().and_then(|first| self.same_address(name, first, one?)),
                    };
                    declared.insert(name, one);
                }
            }
        }
        declared
    }

    /// The first of two repositories with one name, if they are at one address.
    fn same_address(&self, name: &str, one: Id, other: Id) -> Result<Id, SkipReason> {
        let address = |entry: Id| (self.tree.text_at(entry, "url").unwrap_or(""), self.tree.text_at(entry, "oci"));
        if address(one) == address(other) {
            return Ok(one);
        }
        Err(SkipReason::RepositoryTwice {
            name: shown_address(name),
            one: shown_address(address(one).0),
            other: shown_address(address(other).0),
        })
    }

    /// The chart of a helmfile's release: `NAME/chart` of a repository that the file declares, or an address `oci://`.
    pub(super) fn helmfile_chart(&mut self, declared: &DeclaredRepositories<'_>, release: Id) {
        let tree = self.tree;
        let Some(version) = tree.get(release, "version").filter(|node| !is_empty(tree, *node)) else { return };
        if let Some(reason) = self.unclear(release, &["chart", "version"], Spelling::Exact) {
            return self.skip(version, reason);
        }
        let Some((repository, chart)) = tree.text_at(release, "chart").and_then(|chart| chart.rsplit_once('/')) else {
            return self.skip(version, SkipReason::LocalChart);
        };
        if repository.starts_with("oci://") {
            return self.chart_version(repository, chart, version);
        }
        if repository.starts_with(['.', '/']) {
            return self.skip(version, SkipReason::LocalChart);
        }
        let (repository, folder) = repository.split_once('/').unwrap_or((repository, ""));
        let declared = match declared.get(repository) {
            Some(Err(reason)) => return self.skip(version, reason.clone()),
            Some(Ok(declared)) => Some(*declared),
            None => None,
        };
        let Some((declared, url)) = declared.and_then(|it| Some((it, tree.text_at(it, "url")?))) else {
            return self.skip(version, SkipReason::ChartAlias { name: shown_address(repository) });
        };
        let is_oci = tree.text_at(declared, "oci") == Some("true") && !url.contains("://");
        let address = format!("{}{}", if is_oci { "oci://" } else { "" }, url.trim_end_matches('/'));
        let address = if folder.is_empty() { address } else { format!("{address}/{folder}") };
        self.chart_version(&address, chart, version);
    }

    /// The version of the chart of that name in the repository at an address.
    pub(super) fn chart_version(&mut self, address: &str, chart: &str, version: Id) {
        if is_template(address) || is_template(chart) {
            return self.skip(version, SkipReason::Template);
        }
        let name = match chart_name(address, chart) {
            Ok(name) => name,
            Err(error) => return self.skip(version, not_an_image(&error)),
        };
        let text = self.tree.scalar(self.tree.target(version)).map_or("", |scalar| scalar.value.as_ref());
        if self.is_left_range(text) {
            return self.skip_image(version, SkipReason::ChartRange, Some(name));
        }
        let image = name.to_string();
        let missing = MissingKeys::Refused;
        let parts = Parts { image: &image, name: None, tag: Some(version), digest: None, alias: None, missing };
        self.named_parts(KIND.kind, name, parts);
    }
}

/// The chart of that name in the repository at an address; below one of a container registry, it may have a path.
pub(in crate::overlay) fn chart_name(address: &str, chart: &str) -> Result<ImageName, ImageError> {
    match chart.rsplit_once('/') {
        Some((folder, chart)) if address.starts_with("oci://") => {
            ImageName::chart(&format!("{}/{folder}", address.trim_end_matches('/')), chart)
        }
        _ => ImageName::chart(address, chart),
    }
}
