//! Versions of charts whose repository is declared elsewhere, and the `HelmRepository` objects that declare them.
//!
//! Sources: Flux, "Helm Repositories" (`spec.url`, `oci://` for those of `spec.type: oci`), "Helm Releases" and "Helm
//! Charts" (`sourceRef`, whose namespace is by default that of the object itself). The namespace of what does not say it is that of the
//! kustomization that lists its file (kustomize: `namespace`).

use std::collections::HashMap;

use super::collector::{Collector, MAX_PLACES, is_template, not_an_image};
use super::kinds::chart_name;
use super::tree::Id;
use super::{FileScan, pin_text, weight};
use crate::model::observation::group_of;
use crate::model::{
    HelmRepositories, HelmRepository, HelmRepositoryName, KeyPaths, MeantRepository, Pin, SkipReason, Skipped,
    shown_address,
};

/// How many addresses a name may have so that each makes a pin: that of the tree, and those from before and after a change of it.
const MAX_ADDRESSES: usize = 4;
/// Maximum number of repositories of one file, and length of a name or an address.
const MAX_REPOSITORIES: usize = 2_000;
const MAX_TEXT: usize = 1_000;

/// The version of a chart that becomes a pin when its repository is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferredChart {
    /// The pin, but for the name of what it is about.
    pub(super) pin: Pin,
    /// Which chart of which repository.
    pub(super) of: ChartOf,
}

/// A chart of a repository that is referred to by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChartOf {
    /// The chart.
    pub(super) chart: String,
    /// The repository.
    pub(super) repository: HelmRepositoryName,
}

impl ReferredChart {
    /// The pin, if these repositories say which one it is; `namespace` is that of the object where the file does not say it.
    pub(super) fn pin(&self, known: &HelmRepositories, namespace: Option<&str>) -> Result<Pin, SkipReason> {
        let wanted = in_namespace(self.of.repository.clone(), namespace);
        match known.meant(&wanted, self.pin.path.parent()) {
            MeantRepository::At(address) => self.at(address),
            MeantRepository::None => Err(SkipReason::NoHelmRepository { name: wanted.to_string() }),
            MeantRepository::OneOf(one, other) => Err(SkipReason::HelmRepositories {
                name: wanted.to_string(),
                one: shown_address(one),
                other: shown_address(other),
            }),
            MeantRepository::Perhaps { folder } => Err(SkipReason::HelmRepositoryOpen {
                name: wanted.to_string(),
                folder: folder.escape_debug().to_string(),
            }),
        }
    }

    /// Each pin that it may be. With more addresses than that, it is none in whatever tree the file is, unless one is certain.
    fn pins(&self, known: &HelmRepositories, addresses: &[&str]) -> Vec<Result<Pin, SkipReason>> {
        match addresses.len() {
            1..=MAX_ADDRESSES => addresses.iter().map(|it| self.at(it)).collect(),
            _ => vec![self.pin(known, None)],
        }
    }

    fn at(&self, address: &str) -> Result<Pin, SkipReason> {
        if is_template(address) {
            return Err(SkipReason::Template);
        }
        let name = chart_name(address, &self.of.chart).map_err(|error| not_an_image(&error))?;
        Ok(Pin { image: name.to_string(), name, ..self.pin.clone() })
    }

    /// What is said of it where it is no pin.
    pub(super) fn skipped(&self, reason: SkipReason) -> Skipped {
        Skipped { path: self.pin.path.to_string(), line: Some(self.pin.line), image: None, reason }
    }

    pub(super) fn text(&self) -> usize {
        let namespace = self.of.repository.namespace.as_ref().map_or(0, String::len);
        self.of.chart.len() + self.of.repository.name.len() + namespace
    }
}

/// A name in the namespace that something else says, where the file itself says none.
pub(super) fn in_namespace(name: HelmRepositoryName, namespace: Option<&str>) -> HelmRepositoryName {
    let namespace = name.namespace.or_else(|| namespace.map(str::to_owned));
    HelmRepositoryName { namespace, ..name }
}

/// Makes pins of a file's charts where no other file is at hand: with what is known of the repository. Of several
/// addresses that a name may mean, each makes a pin: who looks for a pin of the whole tree finds it among them.
pub(super) fn alone(declared: &KeyPaths, mut scan: FileScan) -> FileScan {
    if scan.charts.is_empty() {
        return scan;
    }
    let known = declared.repositories().and(&HelmRepositories::of(scan.repositories.iter().cloned()));
    let mut addresses: HashMap<HelmRepositoryName, Vec<&str>> = HashMap::new();
    let mut left = MAX_PLACES.saturating_sub(scan.pins.iter().map(pin_text).map(weight).sum());
    for chart in std::mem::take(&mut scan.charts) {
        let addresses = match addresses.get(&chart.of.repository) {
            Some(addresses) => addresses,
            None => {
                let found = known.possible(&chart.of.repository, chart.pin.path.parent());
                let found = found.into_iter().take(MAX_ADDRESSES + 1).collect();
                addresses.entry(chart.of.repository.clone()).or_insert(found)
            }
        };
        for made in chart.pins(&known, addresses) {
            left = left.saturating_sub(made.as_ref().map_or(1, |pin| weight(pin_text(pin))));
            match made {
                Ok(pin) => scan.pins.push(pin),
                Err(reason) => scan.skipped.push(chart.skipped(reason)),
            }
        }
        if left == 0 {
            let skipped = vec![Skipped::file(chart.pin.path.as_str(), SkipReason::TooManyPins)];
            return FileScan { skipped, ..FileScan::default() };
        }
    }
    scan.pins.sort_by(|a, b| (a.line, a.column, &a.key).cmp(&(b.line, b.column, &b.key)));
    scan.skipped.sort();
    scan
}

impl Collector<'_, '_> {
    /// The Helm repositories that a document declares.
    pub(super) fn helm_repositories(&self, root: Id, into: &mut Vec<HelmRepository>) {
        let is_list = self.tree.text_at(root, "kind").is_some_and(|kind| kind.ends_with("List"));
        let lists = if is_list { self.tree.either(root, "items") } else { Vec::new() };
        let items = lists.iter().flat_map(|items| self.tree.items(*items));
        for object in items.chain(std::iter::once(&root)) {
            if into.len() < MAX_REPOSITORIES {
                self.helm_repository(*object, into);
            }
        }
    }

    /// A repository that an object declares. Where a key is written twice, it is each that a reader may take it for: which of them is
    /// meant is uncertain then, and no chart of theirs is a pin.
    fn helm_repository(&self, root: Id, into: &mut Vec<HelmRepository>) {
        let tree = self.tree;
        let is_flux = tree.texts(&[root], "apiVersion").iter().any(|it| group_of(it) == "source.toolkit.fluxcd.io");
        if !is_flux || !tree.texts(&[root], "kind").contains(&"HelmRepository") {
            return;
        }
        let metadata = tree.either(root, "metadata");
        let namespaces = tree.texts(&metadata, "namespace").into_iter().map(Some);
        let namespaces: Vec<Option<&str>> = namespaces.collect();
        let namespaces = if namespaces.is_empty() { vec![None] } else { namespaces };
        for url in tree.texts(&tree.either(root, "spec"), "url") {
            let address = url.trim().trim_end_matches('/');
            if address.is_empty() || address.len() > MAX_TEXT {
                continue;
            }
            for name in tree.texts(&metadata, "name") {
                let names = namespaces.iter().filter_map(|namespace| self.helm_repository_name(*namespace, name));
                let (folder, address) = (self.path.parent(), address);
                into.extend(names.map(|name| HelmRepository {
                    name,
                    folder: folder.to_owned(),
                    address: address.to_owned(),
                }));
            }
        }
    }

    /// A name with a namespace, which is unknown if it is empty or filled in by something else.
    pub(super) fn helm_repository_name(&self, namespace: Option<&str>, name: &str) -> Option<HelmRepositoryName> {
        let namespace = namespace.filter(|namespace| !namespace.is_empty() && !is_template(namespace));
        let fits = !name.is_empty() && name.len() <= MAX_TEXT && namespace.is_none_or(|it| it.len() <= MAX_TEXT);
        fits.then(|| HelmRepositoryName { namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }
}
