//! Whether a changed object may change what watches a file.

use crate::model::observation::{Application, Body, HelmChart, HelmRelease, Kustomization, Object, Revision, Source};

/// Whether an object reads the same files from the same places as before; its status may differ. Objects of kinds that
/// read nothing are always unchanged.
#[must_use]
pub fn spec_unchanged(before: Option<&Object>, after: Option<&Object>) -> bool {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (one, other) => return !one.or(other).is_some_and(reads),
    };
    if !reads(before) && !reads(after) {
        return true;
    }
    let bodies = match (&before.body, &after.body) {
        (Body::Application(a), Body::Application(b)) => application(a) == application(b),
        (Body::Kustomization(a), Body::Kustomization(b)) => kustomization(a) == kustomization(b),
        (Body::HelmRelease(a), Body::HelmRelease(b)) => release(a) == release(b),
        (Body::Source(a), Body::Source(b)) => source(a) == source(b),
        (Body::HelmChart(a), Body::HelmChart(b)) => chart(a) == chart(b),
        // Only its name counts.
        (Body::ApplicationSet(_), Body::ApplicationSet(_)) => true,
        _ => false,
    };
    bodies
        && before.key() == after.key()
        && before.labels == after.labels
        && annotations(before).eq(annotations(after))
        && before.owners == after.owners
        && before.malformed == after.malformed
}

fn reads(object: &Object) -> bool {
    matches!(
        object.body,
        Body::Application(_)
            | Body::Kustomization(_)
            | Body::HelmRelease(_)
            | Body::Source(_)
            | Body::HelmChart(_)
            | Body::ApplicationSet(_)
    )
}

/// The annotations, without those that ask controllers to refresh.
fn annotations(object: &Object) -> impl Iterator<Item = (&'static str, &str)> {
    let asks = |key: &str| matches!(key, "argocd.argoproj.io/refresh" | "reconcile.fluxcd.io/requestedAt");
    object.annotations.iter().filter(move |(key, _)| !asks(key))
}

// Clears everything that controllers report, so that a new field in a specification counts without being listed.

fn application(app: &Application) -> Application {
    Application {
        requested: None,
        sync_status: None,
        sync_revisions: Vec::new(),
        compared_to: None,
        health_status: None,
        health_message: None,
        health_since: None,
        reconciled_at: None,
        operation: None,
        history: Vec::new(),
        conditions: Vec::new(),
        resources: None,
        hydration: None,
        ..app.clone()
    }
}

fn kustomization(it: &Kustomization) -> Kustomization {
    // An origin means that the artifact was made from Git; which commit it was does not matter.
    let origin = it.last_applied_origin.is_some() || it.last_attempted_origin.is_some();
    Kustomization {
        observed_generation: None,
        last_applied: None,
        last_attempted: None,
        last_applied_origin: origin.then(Revision::default),
        last_attempted_origin: None,
        inventory: None,
        history: Vec::new(),
        conditions: Vec::new(),
        ..it.clone()
    }
}

fn release(release: &HelmRelease) -> HelmRelease {
    HelmRelease {
        observed_generation: None,
        last_attempted: None,
        last_attempted_generation: None,
        last_attempted_config_digest: None,
        history: Vec::new(),
        upgrade_failures: None,
        install_failures: None,
        conditions: Vec::new(),
        ..release.clone()
    }
}

fn source(source: &Source) -> Source {
    Source { observed_generation: None, artifact: None, conditions: Vec::new(), ..source.clone() }
}

fn chart(chart: &HelmChart) -> HelmChart {
    HelmChart {
        observed_generation: None,
        observed_source_revision: None,
        artifact: None,
        conditions: Vec::new(),
        ..chart.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::object;

    fn application() -> Value {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": { "name": "web", "namespace": "argocd", "labels": {}, "annotations": {} },
            "spec": { "project": "default", "source": { "repoURL": "https://git.example.com/a/b", "path": "web" } },
            "status": { "sync": { "status": "Synced", "revision": "1" }, "health": { "status": "Healthy" } },
        })
    }

    #[test]
    fn only_what_is_read_counts() {
        for (path, value, alike) in [
            ("/status/sync/status", json!("OutOfSync"), true),
            ("/status/history", json!([{ "id": 1, "revision": "2" }]), true),
            ("/metadata/annotations/argocd.argoproj.io~1refresh", json!("normal"), true),
            ("/metadata/annotations/argocd.argoproj.io~1manifest-generate-paths", json!("."), false),
            ("/metadata/labels/app.kubernetes.io~1instance", json!("root"), false),
            ("/spec/source/path", json!("api"), false),
            ("/spec/source/targetRevision", json!("main"), false),
            ("/spec/project", json!("team"), false),
            ("/spec/source/path", json!(5), false),
        ] {
            let (before, mut changed) = (application(), application());
            let (parent, key) = path.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[key.replace("~1", "/")] = value;
            let (before, after) = (object::read(&before).unwrap(), object::read(&changed).unwrap());
            assert_eq!(spec_unchanged(Some(&before), Some(&after)), alike, "{path}");
        }
        let it = object::read(&application()).unwrap();
        assert!(!spec_unchanged(Some(&it), None) && !spec_unchanged(None, Some(&it)));
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": "web" } });
        assert!(spec_unchanged(None, Some(&object::read(&pod).unwrap())), "pods read nothing");
    }
}
