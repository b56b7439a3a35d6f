//! The labels and annotations that matter.
//!
//! Memory: a cluster has tens of thousands of objects with two such maps each, holding a handful of entries with known
//! keys. A tree map would take half a kilobyte each.

/// The labels that are kept, in order.
const LABELS: [&str; 12] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "argocd.argoproj.io/instance",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "helm.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/namespace",
    "job-name",
    "kustomize.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/namespace",
    "pod-template-hash",
    "rollouts-pod-template-hash",
];

/// The annotations that are kept, in order.
const ANNOTATIONS: [&str; 16] = [
    "argocd.argoproj.io/hook",
    "argocd.argoproj.io/manifest-generate-paths",
    "argocd.argoproj.io/refresh",
    "argocd.argoproj.io/skip-reconcile",
    "argocd.argoproj.io/sync-wave",
    "argocd.argoproj.io/tracking-id",
    "deployment.kubernetes.io/revision",
    "helm.toolkit.fluxcd.io/driftDetection",
    "kustomize.toolkit.fluxcd.io/reconcile",
    "kustomize.toolkit.fluxcd.io/ssa",
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
    "reconcile.fluxcd.io/requestedAt",
    "rollout.argoproj.io/revision",
    "rollout.argoproj.io/workload-generation",
    "rollouts.kruise.io/in-progressing",
];

/// Maximum length of a value that is kept, in bytes: whoever may annotate their own objects fills one with 256 KiB.
const MAX_VALUE: usize = 4 << 10;

/// A key that is kept.
type Key = &'static str;

/// Some labels or annotations of an object, in order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks(Box<[(Key, Box<str>)]>);

impl Marks {
    /// The labels among these that matter.
    #[must_use]
    pub fn labels<'e>(entries: impl IntoIterator<Item = (&'e str, &'e str)>) -> Self {
        Self::of(&LABELS, entries)
    }

    /// The annotations among these that matter.
    #[must_use]
    pub fn annotations<'e>(entries: impl IntoIterator<Item = (&'e str, &'e str)>) -> Self {
        Self::of(&ANNOTATIONS, entries)
    }

    fn of<'e>(known: &[Key], entries: impl IntoIterator<Item = (&'e str, &'e str)>) -> Self {
        let bounded = |value: &'e str| value[..value.floor_char_boundary(MAX_VALUE)].into();
        let kept = entries
            .into_iter()
            .filter_map(|(key, value)| Some((known[known.binary_search(&key).ok()?], bounded(value))));
        let mut kept: Vec<(Key, Box<str>)> = kept.collect();
        kept.sort_unstable();
        Self(kept.into())
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(kept, _)| *kept == key).map(|(_, value)| value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_no_other() {
        let long = "ä".repeat(MAX_VALUE);
        let kept = Marks::annotations([("argocd.argoproj.io/refresh", long.as_str())]);
        assert_eq!(kept.get("argocd.argoproj.io/refresh").map(str::len), Some(MAX_VALUE));
        for known in [&LABELS[..], &ANNOTATIONS[..]] {
            assert!(known.is_sorted(), "{known:?}");
            let all = known.iter().rev().map(|key| (*key, "it")).chain([("team", "blue"), ("", "")]);
            let marks = Marks::of(known, all);
            assert_eq!(marks.iter().map(|(key, _)| key).collect::<Vec<_>>(), known);
            assert!(known.iter().all(|key| marks.get(key) == Some("it")));
            assert_eq!((marks.get("team"), marks.get("")), (None, None));
        }
    }
}
