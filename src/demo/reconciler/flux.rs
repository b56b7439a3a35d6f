//! Flux: one GitRepository, and a Kustomization of the worker per environment.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Reconciler;
use super::declared::{self, DeclaredTree};
use super::meta::{StatusWriter, condition, managed, text, time};
use super::workload::since_before;
use crate::demo::files::ENVIRONMENTS;
use crate::demo::kube::StubError;
use crate::demo::world::BRANCH;
use crate::model::CommitId;

/// Flux's namespace.
pub(super) const NAMESPACE: &str = "flux-system";
const SOURCES: &str = "gitrepositories.source.toolkit.fluxcd.io";
pub(super) const KUSTOMIZATIONS: &str = "kustomizations.kustomize.toolkit.fluxcd.io";

impl Reconciler {
    /// Creates Flux's objects, as an administrator would.
    pub(super) fn install_flux(&self) -> Result<(), StubError> {
        let at = time(self.now());
        drop(self.kube.apply(json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": { "namespace": NAMESPACE, "name": "deploys", "creationTimestamp": at },
            "spec": {
                "url": self.url, "ref": { "branch": BRANCH }, "interval": "1m0s", "timeout": "60s",
                "secretRef": { "name": "deploys" }
            }
        }))?);
        for environment in ENVIRONMENTS {
            drop(self.kube.apply(json!({
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                "metadata": { "namespace": NAMESPACE, "name": format!("worker-{environment}"), "creationTimestamp": at },
                "spec": {
                    "interval": "10m0s", "path": format!("./apps/worker/overlays/{environment}"), "prune": true,
                    "sourceRef": { "kind": "GitRepository", "name": "deploys" }, "targetNamespace": environment
                }
            }))?);
        }
        Ok(())
    }

    /// Fetches the tip, and applies whatever is not suspended.
    pub(super) fn sync_flux(&self, tip: &CommitId) -> anyhow::Result<()> {
        let revision = format!("{BRANCH}@sha1:{tip}");
        let message = format!("stored artifact for revision '{revision}'");
        let digest = format!("sha256:{}{}", tip, "0".repeat(24));
        let artifact = json!({
            "revision": revision, "digest": digest, "lastUpdateTime": time(self.now()), "size": 2_048,
            "path": format!("gitrepository/{NAMESPACE}/deploys/{tip}.tar.gz"),
            "url": format!("http://source-controller.{NAMESPACE}.svc.cluster.local./gitrepository/{NAMESPACE}/deploys/{tip}.tar.gz")
        });
        let kinds = [("Ready", "Succeeded"), ("ArtifactInStorage", "Succeeded")];
        self.say(SOURCES, "deploys", &kinds, &message, json!({ "artifact": artifact }))?;
        for declared in declared::read(&self.mirror, tip, "worker")? {
            let name = format!("worker-{}", declared.environment);
            let object = self.kube.object(KUSTOMIZATIONS, NAMESPACE, &name).context("no such Kustomization")?;
            if object["spec"]["suspend"] == true {
                continue;
            }
            self.apply_cron_job(&declared, &name)?;
            let entry = json!({ "id": format!("{}_worker_batch_CronJob", declared.environment), "v": "v1" });
            let status = json!({
                "lastAppliedRevision": revision, "lastAttemptedRevision": revision, "inventory": { "entries": [entry] }
            });
            let message = format!("Applied revision: {revision}");
            self.say(KUSTOMIZATIONS, &name, &[("Ready", "ReconciliationSucceeded")], &message, status)?;
        }
        Ok(())
    }

    /// A completed status, with conditions for the current generation.
    fn say(
        &self,
        resource: &str,
        name: &str,
        kinds: &[(&str, &str)],
        message: &str,
        mut status: Value,
    ) -> anyhow::Result<()> {
        let object = self.kube.object(resource, NAMESPACE, name).with_context(|| format!("{name} is gone"))?;
        let generation = &object["metadata"]["generation"];
        let at = time(self.now());
        let mut conditions: Vec<Value> =
            kinds.iter().map(|(kind, reason)| condition(kind, "True", reason, message, &at)).collect();
        since_before(&mut conditions, &object);
        for condition in &mut conditions {
            condition["observedGeneration"] = generation.clone();
        }
        status["observedGeneration"] = generation.clone();
        status["conditions"] = conditions.into();
        drop(self.kube.patch_status(resource, NAMESPACE, name, &status)?);
        Ok(())
    }

    fn apply_cron_job(&self, declared: &DeclaredTree, kustomization: &str) -> Result<(), StubError> {
        let namespace = declared.environment;
        if let Some(known) = self.kube.object("cronjobs.batch", namespace, "worker")
            && text(&known, "/spec/jobTemplate/spec/template/spec/containers/0/image") == declared.image
        {
            return Ok(());
        }
        let writer = StatusWriter { manager: "kustomize-controller", operation: "Apply", time: self.now() };
        let path = ["spec", "jobTemplate", "spec", "template", "spec"];
        drop(self.kube.apply(json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {
                "namespace": namespace, "name": "worker", "creationTimestamp": time(self.now()),
                "labels": {
                    "kustomize.toolkit.fluxcd.io/name": kustomization, "kustomize.toolkit.fluxcd.io/namespace": NAMESPACE
                },
                "managedFields": [managed(writer, "batch/v1", &path, "worker")]
            },
            "spec": {
                "schedule": "*/10 * * * *", "concurrencyPolicy": "Allow", "suspend": false,
                "jobTemplate": { "spec": { "template": { "spec": {
                    "restartPolicy": "Never", "containers": [{ "name": "worker", "image": declared.image }]
                } } } }
            }
        }))?);
        Ok(())
    }
}
