//! Helm repositories that objects of Flux declare. A chart is named through one, which is often in another file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The name of a `HelmRepository`, as it is declared or as a `sourceRef` has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// The folder of the file that declares it; empty for the repository's root.
    pub folder: String,
    /// Its address without a slash at the end; not checked.
    pub address: String,
}

/// Where one is declared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    namespace: Option<String>,
    folder: String,
    address: String,
}

impl Place {
    /// Whether a name in a file of this folder means it.
    fn is_meant_by(&self, wanted: &HelmRepositoryName, folder: &str) -> Meant {
        match (&self.namespace, &wanted.namespace) {
            (Some(own), Some(wanted)) if own == wanted => Meant::Certainly,
            (Some(_), Some(_)) => Meant::Not,
            // What applies one file of a folder applies the others.
            (None, _) | (_, None) if self.folder == folder => Meant::Certainly,
            (None, _) | (_, None) => Meant::Perhaps,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meant {
    Certainly,
    /// One of both does not say its namespace.
    Perhaps,
    Not,
}

/// Which declared repository a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeantRepository<'r> {
    /// None is declared.
    None,
    /// The one at this address.
    At(&'r str),
    /// One of at least these addresses.
    OneOf(&'r str, &'r str),
    /// Perhaps one that is declared in this folder: one of both does not say its namespace.
    Perhaps {
        /// The folder; empty for the repository's root.
        folder: &'r str,
    },
}

/// All that are declared. Cheap to clone and, as a rule, to compare.
#[derive(Debug, Clone, Default)]
pub struct HelmRepositories {
    by_name: Arc<BTreeMap<String, BTreeSet<Place>>>,
}

impl HelmRepositories {
    /// These.
    #[must_use]
    pub fn of(all: impl IntoIterator<Item = HelmRepository>) -> Self {
        let mut by_name: BTreeMap<String, BTreeSet<Place>> = BTreeMap::new();
        for HelmRepository { name, folder, address } in all {
            by_name.entry(name.name).or_default().insert(Place { namespace: name.namespace, folder, address });
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

    /// The one that a name in a file of this folder means. A namespace that is written on both sides decides; where one is missing, only
    /// what is in the same folder is meant: anybody may declare the same name in a folder of their own. What may be meant besides counts
    /// as far as to make it uncertain.
    #[must_use]
    pub fn meant(&self, wanted: &HelmRepositoryName, folder: &str) -> MeantRepository<'_> {
        let places = || self.by_name.get(&wanted.name).into_iter().flatten();
        let of = |meant| places().filter(move |place| place.is_meant_by(wanted, folder) == meant);
        let perhaps = of(Meant::Perhaps).next();
        let Some(first) = of(Meant::Certainly).next() else {
            return perhaps.map_or(MeantRepository::None, |it| MeantRepository::Perhaps { folder: &it.folder });
        };
        let other = |it: &&Place| it.address != first.address;
        match of(Meant::Certainly).find(other).or_else(|| of(Meant::Perhaps).find(other)) {
            Some(other) => MeantRepository::OneOf(&first.address, &other.address),
            None => MeantRepository::At(&first.address),
        }
    }

    /// Every address that a name in a file of this folder could mean.
    #[must_use]
    pub fn possible(&self, wanted: &HelmRepositoryName, folder: &str) -> BTreeSet<&str> {
        let places = self.by_name.get(&wanted.name).into_iter().flatten();
        places.filter(|it| it.is_meant_by(wanted, folder) != Meant::Not).map(|it| it.address.as_str()).collect()
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
    fn a_name_means_its_namespace_s_own_and_without_one_only_what_is_in_its_folder() {
        // In folder `a` unless another is in front: `folder:namespace/name=address`.
        for (declared, wanted, meant, possible) in [
            ("", "flux/x", "", ""),
            ("b:flux/x=A b:other/x=B", "flux/x", "A", "A"),
            ("b:flux/x=A c:flux/x=A", "flux/x", "A", "A"),
            ("b:flux/x=A c:flux/x=B", "flux/x", "A or B", "A B"),
            ("b:flux/x=A c:x=B", "flux/x", "A or B", "A B"),
            ("b:flux/x=A c:x=A", "flux/x", "A", "A"),
            ("other/x=A", "flux/x", "", ""),
            ("b:other/x=A b:x=B", "flux/x", "in b?", "B"),
            ("b:x=A", "flux/x", "in b?", "A"),
            ("x=A", "flux/x", "A", "A"),
            ("x=A b:x=B", "flux/x", "A or B", "A B"),
            ("flux/x=A", "x", "A", "A"),
            ("b:flux/x=A", "x", "in b?", "A"),
            ("x=A b:flux/x=A", "x", "A", "A"),
            ("x=A b:flux/x=B", "x", "A or B", "A B"),
            ("flux/y=A", "flux/x", "", ""),
        ] {
            let all: Vec<HelmRepository> = declared
                .split_whitespace()
                .filter_map(|one| one.split_once('='))
                .map(|(it, address)| {
                    let (folder, it) = it.split_once(':').unwrap_or(("a", it));
                    HelmRepository { name: name(it), folder: folder.to_owned(), address: address.to_owned() }
                })
                .collect();
            let (first, rest) = all.split_at(all.len() / 2);
            let merged = HelmRepositories::of(first.to_vec()).and(&HelmRepositories::of(rest.to_vec()));
            assert!(merged == HelmRepositories::of(all));
            let found = match merged.meant(&name(wanted), "a") {
                MeantRepository::None => String::new(),
                MeantRepository::At(address) => address.to_owned(),
                MeantRepository::OneOf(one, other) => format!("{one} or {other}"),
                MeantRepository::Perhaps { folder } => format!("in {folder}?"),
            };
            assert_eq!(found, meant, "{wanted} in {declared}");
            let found: Vec<&str> = merged.possible(&name(wanted), "a").into_iter().collect();
            assert_eq!(found.join(" "), possible, "{wanted} in {declared}");
        }
    }
}
