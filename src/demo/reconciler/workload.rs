//! The workload controllers: Deployment → ReplicaSet → pods, CronJob → Job → pod.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Reconciler;
use super::kubelet::{Run, is_up};
use super::meta::{condition, count, hash, is_child, number, owner, text, time};
use crate::demo::kube::StubError;

/// `deployment.kubernetes.io/revision`: the highest one marks the ReplicaSet of the current template.
const REVISION: &str = "deployment.kubernetes.io/revision";

impl Reconciler {
    /// All workloads in the cluster, whoever declared them.
    pub(super) fn workloads(&self) -> Result<(), StubError> {
        for object in self.kube.objects() {
            match text(&object, "/kind") {
                "Deployment" => self.deployment(&object)?,
                "CronJob" => self.cron_job(&object)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What an object owns.
    fn children(&self, kind: &str, of: &Value) -> Vec<Arc<Value>> {
        self.kube.objects().into_iter().filter(|object| is_child(object, kind, of)).collect()
    }

    /// A rolling update with the defaults: one pod of the new ReplicaSet first (`maxSurge` 25 % is one pod), and the
    /// old one goes only when the new one is up.
    fn deployment(&self, deployment: &Value) -> Result<(), StubError> {
        let replicas = number(deployment, "/spec/replicas").max(1);
        let new = self.new_set(deployment)?;
        let uid = &new["metadata"]["uid"];
        let sets = self.children("ReplicaSet", deployment);
        let old: Vec<&Arc<Value>> = sets.iter().filter(|set| set["metadata"]["uid"] != *uid).collect();
        let serving = old.iter().any(|set| self.children("Pod", set).iter().any(|pod| is_up(pod)));
        self.scale(&new, if serving { 1 } else { replicas })?;
        let surge_is_up = self.children("Pod", &new).iter().all(|pod| is_up(pod));
        if serving && surge_is_up {
            self.scale(&new, replicas)?;
        }
        for set in &old {
            let keep = if surge_is_up { 0 } else { self.children("Pod", set).iter().filter(|pod| is_up(pod)).count() };
            self.scale(set, i64::try_from(keep).unwrap_or_default())?;
        }
        self.deployment_status(deployment, &new, replicas)
    }

    /// The ReplicaSet of the current template, with the highest revision.
    fn new_set(&self, deployment: &Value) -> Result<Arc<Value>, StubError> {
        let (namespace, parent) = (text(deployment, "/metadata/namespace"), text(deployment, "/metadata/name"));
        let template = &deployment["spec"]["template"];
        let pod_hash = hash(&[&template.to_string()], 10);
        let name = format!("{parent}-{pod_hash}");
        let revision = |set: &Value| text(&set["metadata"]["annotations"], &pointer(REVISION)).parse().unwrap_or(0_u64);
        let sets = self.children("ReplicaSet", deployment);
        let others = sets.iter().filter(|set| set["metadata"]["name"] != name.as_str());
        let highest = others.map(|set| revision(set)).max().unwrap_or(0);
        let known = self.kube.object("replicasets.apps", namespace, &name);
        if let Some(known) = known.filter(|set| revision(set) > highest) {
            return Ok(known);
        }
        let mut labelled = template.clone();
        labelled["metadata"]["labels"]["pod-template-hash"] = pod_hash.as_str().into();
        let next = (highest + 1).to_string();
        let set = self.kube.apply(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "namespace": namespace, "name": name, "creationTimestamp": time(self.now()),
                "labels": labelled["metadata"]["labels"], "annotations": { REVISION: next },
                "ownerReferences": owner(deployment)
            },
            "spec": {
                "replicas": 0, "template": labelled,
                "selector": { "matchLabels": labelled["metadata"]["labels"] }
            }
        }))?;
        drop(self.kube.apply(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "namespace": namespace, "name": parent, "annotations": { REVISION: next } }
        }))?);
        Ok(set)
    }

    /// Scales a ReplicaSet to this many pods.
    fn scale(&self, set: &Value, replicas: i64) -> Result<(), StubError> {
        let (namespace, name) = (text(set, "/metadata/namespace"), text(set, "/metadata/name"));
        let spec = json!({ "replicas": replicas });
        let metadata = json!({ "namespace": namespace, "name": name });
        let set = self
            .kube
            .apply(json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec }))?;
        let wanted = usize::try_from(replicas).unwrap_or_default();
        for number in 0..wanted {
            self.pod(&set, &set["spec"]["template"], number, Run::Forever)?;
        }
        let mut pods = self.children("Pod", &set);
        // Pods that are not up are removed first.
        pods.sort_by_key(|pod| !is_up(pod));
        for pod in pods.drain(wanted.min(pods.len())..) {
            self.kube.delete("pods", namespace, text(&pod, "/metadata/name"))?;
        }
        let up = pods.iter().filter(|pod| is_up(pod)).count();
        let (all, up) = (i64::try_from(pods.len()).unwrap_or_default(), i64::try_from(up).unwrap_or_default());
        let status = Self::set_status(all, up, number(&set, "/metadata/generation"));
        drop(self.kube.patch_status("replicasets.apps", namespace, name, &status)?);
        Ok(())
    }

    fn deployment_status(&self, deployment: &Value, new: &Value, replicas: i64) -> Result<(), StubError> {
        let (namespace, name) = (text(deployment, "/metadata/namespace"), text(deployment, "/metadata/name"));
        let Some(now) = self.kube.object("deployments.apps", namespace, name) else { return Ok(()) };
        let (mut all, mut up) = (0, 0);
        for set in self.children("ReplicaSet", deployment) {
            all += number(&set, "/status/replicas");
            up += number(&set, "/status/readyReplicas");
        }
        let updated = i64::try_from(self.children("Pod", new).len()).unwrap_or_default();
        let new_up = self.children("Pod", new).iter().filter(|pod| is_up(pod)).count();
        let done = updated == replicas && i64::try_from(new_up) == Ok(replicas) && all == replicas;
        let at = time(self.now());
        let set = text(new, "/metadata/name");
        let progressing = match done {
            true => ("NewReplicaSetAvailable", format!("ReplicaSet \"{set}\" has successfully progressed.")),
            false => ("ReplicaSetUpdated", format!("ReplicaSet \"{set}\" is progressing.")),
        };
        let mut conditions = vec![
            condition(
                "Available",
                if up >= replicas { "True" } else { "False" },
                if up >= replicas { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" },
                if up >= replicas {
                    "Deployment has minimum availability."
                } else {
                    "Deployment does not have minimum availability."
                },
                &at,
            ),
            condition("Progressing", "True", progressing.0, &progressing.1, &at),
        ];
        since_before(&mut conditions, &now);
        let status = json!({
            "observedGeneration": now["metadata"]["generation"], "replicas": count(all), "updatedReplicas": count(updated),
            "readyReplicas": count(up), "availableReplicas": count(up), "unavailableReplicas": count(all - up),
            "conditions": conditions
        });
        drop(self.kube.patch_status("deployments.apps", namespace, name, &status)?);
        Ok(())
    }

    /// Runs a CronJob once for each template: the demo's schedule is always due.
    fn cron_job(&self, cron: &Value) -> Result<(), StubError> {
        let (namespace, parent) = (text(cron, "/metadata/namespace"), text(cron, "/metadata/name"));
        let template = &cron["spec"]["jobTemplate"]["spec"]["template"];
        let runs = self.children("Job", cron);
        let same = |job: &&Arc<Value>| text(job, IMAGE) == text(template, "/spec/containers/0/image");
        let job = match runs.iter().rfind(same) {
            Some(job) => Arc::clone(job),
            None => {
                // Named after the minute in which it was due, as by the real controller.
                let mut minute = self.now().as_second() / 60;
                while self.kube.object("jobs.batch", namespace, &format!("{parent}-{minute}")).is_some() {
                    minute += 1;
                }
                self.kube.apply(json!({
                    "apiVersion": "batch/v1", "kind": "Job",
                    "metadata": {
                        "namespace": namespace, "name": format!("{parent}-{minute}"),
                        "creationTimestamp": time(self.now()), "ownerReferences": owner(cron)
                    },
                    "spec": { "backoffLimit": 6, "completions": 1, "parallelism": 1, "template": template }
                }))?
            }
        };
        if number(&job, "/status/succeeded") > 0 {
            return Ok(());
        }
        self.pod(&job, template, 0, Run::Once)?;
        let done = self.children("Pod", &job).iter().any(|pod| is_up(pod));
        let at = time(self.now());
        let status = match done {
            true => json!({
                "startTime": at, "completionTime": at, "succeeded": 1, "active": null, "ready": 0,
                "conditions": [condition("Complete", "True", "CompletionsReached", "Reached expected number of succeeded pods", &at)]
            }),
            false => json!({ "startTime": at, "active": 1, "ready": 0 }),
        };
        drop(self.kube.patch_status("jobs.batch", namespace, text(&job, "/metadata/name"), &status)?);
        let times = match done {
            true => json!({ "lastScheduleTime": at, "lastSuccessfulTime": at }),
            false => json!({ "lastScheduleTime": at }),
        };
        drop(self.kube.patch_status("cronjobs.batch", namespace, parent, &times)?);
        Ok(())
    }
}

/// The image of a Job's or Deployment's first container.
const IMAGE: &str = "/spec/template/spec/containers/0/image";

/// A key as a JSON pointer.
fn pointer(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Keeps the transition time of conditions that have not changed.
pub(super) fn since_before(conditions: &mut [Value], object: &Value) {
    let before = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for condition in conditions {
        let same = |other: &&Value| other["type"] == condition["type"] && other["status"] == condition["status"];
        if let Some(same) = before.iter().find(same) {
            condition["lastTransitionTime"] = same["lastTransitionTime"].clone();
        }
    }
}
