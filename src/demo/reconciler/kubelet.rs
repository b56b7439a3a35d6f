//! Pods: a node pulls the images that the demo's registry has, and reports missing ones like a real node.

use serde_json::{Value, json};

use super::Reconciler;
use super::meta::{condition, count, hash, owner, text, time};
use crate::demo::kube::StubError;
use crate::demo::registry::DemoRegistry;

/// How long a pod runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// Until somebody stops it.
    Forever,
    /// Once, to completion.
    Once,
}

/// The digest that a node gets for an image; `None` if the registry does not have it.
pub(super) fn pull(registry: &DemoRegistry, image: &str) -> Option<String> {
    let path = image.strip_prefix(registry.host())?.strip_prefix('/')?;
    let (repository, reference) = match path.split_once('@') {
        Some((name, digest)) => (name.split(':').next().unwrap_or(name), digest),
        None => path.split_once(':').unwrap_or((path, "latest")),
    };
    let digest = registry.resolve(repository, reference)?;
    Some(format!("{}/{repository}@{digest}", registry.host()))
}

/// Whether a pod has reached its intended state.
pub(super) fn is_up(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Running" | "Succeeded")
}

impl Reconciler {
    /// Creates one pod from a template, or updates an existing one.
    pub(super) fn pod(&self, of: &Value, template: &Value, number: usize, run: Run) -> Result<(), StubError> {
        let (namespace, parent) = (text(of, "/metadata/namespace"), text(of, "/metadata/name"));
        let name = format!("{parent}-{}", hash(&[parent, &number.to_string()], 5));
        let known = self.kube.object("pods", namespace, &name);
        if known.as_deref().is_some_and(is_up) {
            return Ok(());
        }
        let image = text(template, "/spec/containers/0/image").to_owned();
        if known.is_none() {
            let mut spec = template["spec"].clone();
            spec["nodeName"] = "node-1".into();
            if spec["restartPolicy"].is_null() {
                spec["restartPolicy"] = "Always".into();
            }
            drop(self.kube.apply(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "namespace": namespace, "name": name, "creationTimestamp": time(self.now()),
                    "labels": template["metadata"]["labels"], "ownerReferences": owner(of)
                },
                "spec": spec
            }))?);
        }
        let status = match (pull(&self.registry, &image), run) {
            (None, _) => self.waiting(template, &image),
            (Some(id), Run::Forever) => self.running(template, &image, &id),
            (Some(id), Run::Once) => self.succeeded(template, &image, &id),
        };
        drop(self.kube.patch_status("pods", namespace, &name, &status)?);
        Ok(())
    }

    fn running(&self, template: &Value, image: &str, id: &str) -> Value {
        let now = time(self.now());
        let container = json!({
            "name": text(template, "/spec/containers/0/name"), "image": image, "imageID": id, "ready": true,
            "started": true, "restartCount": 0, "state": { "running": { "startedAt": now } }, "lastState": {}
        });
        self.status("Running", &container, &["PodScheduled", "Initialized", "ContainersReady", "Ready"], None)
    }

    fn succeeded(&self, template: &Value, image: &str, id: &str) -> Value {
        let now = time(self.now());
        let end = json!({ "exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now });
        let container = json!({
            "name": text(template, "/spec/containers/0/name"), "image": image, "imageID": id, "ready": false,
            "started": false, "restartCount": 0, "state": { "terminated": end }, "lastState": {}
        });
        self.status("Succeeded", &container, &["PodScheduled", "Initialized"], Some("PodCompleted"))
    }

    /// The messages of containerd and of kubelets since Kubernetes 1.31, which repeat the reason while backing off.
    fn waiting(&self, template: &Value, image: &str) -> Value {
        let error = format!(
            "rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": failed to resolve reference \
             \"{image}\": {image}: not found"
        );
        let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {error}");
        let container = json!({
            "name": text(template, "/spec/containers/0/name"), "image": image, "imageID": "", "ready": false,
            "started": false, "restartCount": 0, "lastState": {},
            "state": { "waiting": { "reason": "ImagePullBackOff", "message": message } }
        });
        self.status("Pending", &container, &["PodScheduled", "Initialized"], Some("ContainersNotReady"))
    }

    fn status(&self, phase: &str, container: &Value, met: &[&str], unmet: Option<&str>) -> Value {
        let now = time(self.now());
        let conditions: Vec<Value> = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
            .iter()
            .map(|kind| match met.contains(kind) {
                true => condition(kind, "True", "", "", &now),
                false => condition(kind, "False", unmet.unwrap_or_default(), "containers with unready status", &now),
            })
            .collect();
        json!({
            "phase": phase, "conditions": conditions, "containerStatuses": [container], "hostIP": "10.0.0.11",
            "qosClass": "BestEffort", "startTime": now
        })
    }

    /// The status of a set of pods, in a ReplicaSet's terms.
    pub(super) fn set_status(all: i64, up: i64, generation: i64) -> Value {
        json!({
            "replicas": all, "fullyLabeledReplicas": count(all), "readyReplicas": count(up),
            "availableReplicas": count(up), "observedGeneration": generation
        })
    }
}
