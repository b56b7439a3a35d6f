//! Objects of one app as Argo CD and Kubernetes leave them.

use std::fs;

use landfall::demo::kube::KubeStub;
use serde_json::{Value, json};

use crate::support::git::git;
use crate::support::world::World;

/// A cluster that a world's configuration names `eu-1`.
pub(crate) struct Cluster {
    pub(crate) stub: KubeStub,
}

pub(super) const TIME: &str = "2026-01-05T08:00:00Z";

impl Cluster {
    pub(crate) fn start(world: &World) -> Self {
        let stub = world.block_on(KubeStub::start()).unwrap();
        fs::write(world.path("kubeconfig"), stub.kubeconfig()).unwrap();
        world.configure(
            "registries:",
            "clusters:\n  - { name: eu-1, kubeconfig: { file: kubeconfig }, environments: [dev] }\nregistries:",
        );
        Self { stub }
    }

    /// An Application of an app's overlay that has synced this revision.
    pub(crate) fn application(&self, world: &World, app: &str, environment: &str, revision: &str) {
        self.application_at(world, app, &format!("apps/{app}/overlays/{environment}"), revision);
    }

    /// The same of any folder.
    pub(super) fn application_at(&self, world: &World, app: &str, folder: &str, revision: &str) {
        let repository = fs::canonicalize(world.bare()).unwrap();
        self.application_of(repository.to_str().unwrap(), app, folder, revision);
    }

    /// The same of any repository.
    fn application_of(&self, repository: &str, app: &str, folder: &str, revision: &str) {
        let source = json!({ "repoURL": repository, "targetRevision": "main", "path": folder });
        let name = format!("{app}-dev");
        self.put(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": { "name": name, "namespace": "argocd" },
            "spec": {
                "project": "default", "source": source,
                "destination": { "server": "https://kubernetes.default.svc", "namespace": app },
                "syncPolicy": { "automated": { "prune": true, "selfHeal": true } },
            },
            "status": {
                "sync": { "status": "Synced", "revision": revision, "comparedTo": { "source": source } },
                "health": { "status": "Healthy" },
                "reconciledAt": jiff_now(),
                "operationState": {
                    "phase": "Succeeded", "startedAt": TIME, "finishedAt": TIME,
                    "operation": { "sync": { "revision": revision } },
                    "syncResult": { "revision": revision },
                },
                "history": [{ "id": 1, "revision": revision, "deployedAt": TIME }],
                "resources": [
                    { "group": "apps", "version": "v1", "kind": "Deployment", "namespace": app, "name": app, "status": "Synced" },
                ],
            },
        }));
    }

    /// The app's Deployment with one pod, all on this image; `waiting` is why its container does not run.
    pub(crate) fn workload(&self, app: &str, image: &str, waiting: Option<(&str, &str)>) {
        let hash = format!("{:x}", image.len() * 7919 + image.bytes().map(usize::from).sum::<usize>());
        let id = |kind: &str| format!("{kind}-{app}-{hash}");
        let template = json!({
            "metadata": { "labels": { "app": app } },
            "spec": { "containers": [{ "name": app, "image": image }] },
        });
        let ready = i64::from(waiting.is_none());
        let available = if waiting.is_none() { "True" } else { "False" };
        self.put(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": app, "namespace": app, "uid": format!("deployment-{app}"), "generation": 1,
                "annotations": {
                    "argocd.argoproj.io/tracking-id": format!("{app}-dev:apps/Deployment:{app}/{app}"),
                    "deployment.kubernetes.io/revision": "1",
                },
            },
            "spec": { "replicas": 1, "selector": { "matchLabels": { "app": app } }, "template": template },
            "status": {
                "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1,
                "readyReplicas": ready, "availableReplicas": ready, "unavailableReplicas": 1 - ready,
                "conditions": [
                    { "type": "Available", "status": available, "reason": "MinimumReplicas", "message": "", "lastTransitionTime": TIME, "lastUpdateTime": TIME },
                    { "type": "Progressing", "status": "True", "reason": if ready == 1 { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" }, "message": "", "lastTransitionTime": TIME, "lastUpdateTime": TIME },
                ],
            },
        }));
        let set = format!("{app}-{hash}");
        self.put(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": set, "namespace": app, "uid": id("rs"), "generation": 1,
                "labels": { "app": app, "pod-template-hash": hash },
                "annotations": { "deployment.kubernetes.io/revision": "1" },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": app, "uid": format!("deployment-{app}"), "controller": true }],
            },
            "spec": { "replicas": 1, "template": template },
            "status": { "observedGeneration": 1, "replicas": 1, "readyReplicas": ready, "availableReplicas": ready },
        }));
        let digest = format!("sha256:{}", "a".repeat(64));
        let state = match waiting {
            None => json!({ "running": { "startedAt": TIME } }),
            Some((reason, message)) => json!({ "waiting": { "reason": reason, "message": message } }),
        };
        let image_id =
            if waiting.is_none() { format!("{}@{digest}", image.split(':').next().unwrap()) } else { String::new() };
        self.put(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": format!("{set}-x7k2p"), "namespace": app, "uid": id("pod"),
                "labels": { "app": app, "pod-template-hash": hash }, "creationTimestamp": TIME,
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": id("rs"), "controller": true }],
            },
            "spec": { "containers": [{ "name": app, "image": image }] },
            "status": {
                "phase": if ready == 1 { "Running" } else { "Pending" },
                "conditions": [
                    { "type": "PodScheduled", "status": "True" },
                    { "type": "Ready", "status": available },
                ],
                "containerStatuses": [{
                    "name": app, "image": image, "imageID": image_id, "ready": waiting.is_none(),
                    "restartCount": 0, "state": state,
                }],
            },
        }));
    }

    pub(super) fn put(&self, object: Value) {
        self.stub.load(object).unwrap();
    }
}

pub(super) fn jiff_now() -> String {
    #[allow(clippy::disallowed_methods, reason = "the program under test reads the clock, too")]
    jiff::Timestamp::now().to_string()
}

/// The tip of `main`.
pub(crate) fn tip(world: &World) -> String {
    git(&world.bare(), &["rev-parse", "main"]).trim().to_owned()
}
