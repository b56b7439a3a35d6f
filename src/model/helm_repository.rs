//! Helm repositories that objects of Flux declare. A chart is named through one, which is often in another file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The name of a `HelmRepository`, as it is declared or as a `sourceRef` has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HelmRepositoryName {
    /// Its namespace, if the file says it; otherwise whatever applies the file does.
    pub namespace: Option<String>,
    /// Its name in that namespace.
    pub name: String,
}

impl fmt::Display for HelmRepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        write!(f, "{}{}", namespace.escape_debug(), self.name.escape_debug())
    }
}

/// One `HelmRepository`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmRepository {
    /// Its name.
    pub name: HelmRepositoryName,
    /// Its address without a slash at the end; not checked.
    pub address: String,
}

/// A namespace, if it is known, and an address there.
type Place = (Option<String>, String);

/// All that are declared. Cheap to clone and, as a rule, to compare.
#[derive(Debug, Clone, Default)]
pub struct HelmRepositories {
    by_name: Arc<BTreeMap<String, BTreeSet<Place>>>,
}

impl HelmRepositories {
    /// These.
    #[must_use]
    pub fn of<'r>(all: impl IntoIterator<Item = &'r HelmRepository>) -> Self {
        let mut by_name: BTreeMap<String, BTreeSet<Place>> = BTreeMap::new();
        for HelmRepository { name, address } in all {
            by_name.entry(name.name.clone()).or_default().insert((name.namespace.clone(), address.clone()));
        }
        Self { by_name: Arc::new(by_name) }
    }

    /// These and others.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        if others.by_name.is_empty() {
            return self.clone();
        }
        let mut by_name = BTreeMap::clone(&self.by_name);
        for (name, places) in &*others.by_name {
            by_name.entry(name.clone()).or_default().extend(places.iter().cloned());
        }
        Self { by_name: Arc::new(by_name) }
    }

    /// The addresses that a name may mean: those of that name and namespace; where one of both has no namespace, those of that
    /// name, wherever they are.
    #[must_use]
    pub fn addresses(&self, wanted: &HelmRepositoryName) -> BTreeSet<&str> {
        let Some(places) = self.by_name.get(&wanted.name) else { return BTreeSet::new() };
        let exact =
            || places.iter().filter(|(namespace, _)| wanted.namespace.is_some() && *namespace == wanted.namespace);
        let is_open = || wanted.namespace.is_none() || places.iter().any(|(namespace, _)| namespace.is_none());
        if exact().next().is_none() && is_open() {
            return places.iter().map(|(_, address)| address.as_str()).collect();
        }
        exact().map(|(_, address)| address.as_str()).collect()
    }

    /// A text that differs where declarations differ; empty for none.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.by_name.iter().map(|(name, places)| format!("{name:?} {places:?}\n")).collect()
    }
}

impl PartialEq for HelmRepositories {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.by_name, &other.by_name) || self.by_name == other.by_name
    }
}

impl Eq for HelmRepositories {}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HelmRepositoryName {
        let (namespace, name) = text.split_once('/').map_or((None, text), |(namespace, name)| (Some(namespace), name));
        HelmRepositoryName { namespace: namespace.map(str::to_owned), name: name.to_owned() }
    }

    #[test]
    fn a_name_means_its_namespace_s_own_and_without_one_all_of_it() {
        for (declared, wanted, addresses) in [
            ("", "flux/x", ""),
            ("flux/x=A other/x=B", "flux/x", "A"),
            ("flux/x=A flux/x=A", "flux/x", "A"),
            ("flux/x=A flux/x=B", "flux/x", "A B"),
            ("flux/x=A x=B", "flux/x", "A"),
            ("other/x=A", "flux/x", ""),
            ("other/x=A x=B", "flux/x", "A B"),
            ("x=A x=A", "flux/x", "A"),
            ("flux/x=A", "x", "A"),
            ("flux/x=A other/x=A", "x", "A"),
            ("flux/x=A other/x=B", "x", "A B"),
            ("flux/y=A", "flux/x", ""),
        ] {
            let all: Vec<HelmRepository> = declared
                .split_whitespace()
                .filter_map(|one| one.split_once('='))
                .map(|(it, address)| HelmRepository { name: name(it), address: address.to_owned() })
                .collect();
            let (first, rest) = all.split_at(all.len() / 2);
            let merged = HelmRepositories::of(first).and(&HelmRepositories::of(rest));
            assert!(merged == HelmRepositories::of(&all));
            let found: Vec<&str> = merged.addresses(&name(wanted)).into_iter().collect();
            assert_eq!(found.join(" "), addresses, "{wanted} in {declared}");
        }
    }
}
