//! Argo CD: Applications for web (Kustomize) and api (a chart with values from Git), with automated sync but without
//! self-heal.
//!
//! As in real Argo CD, the branch's tip is compared; automated sync tries a revision once, so a refused revision stays
//! refused until somebody syncs by hand or commits; a manual change makes an Application `OutOfSync` and nothing more.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::declared::{self, DeclaredTree};
use super::meta::{StatusWriter, managed, number, text, time};
use super::{CHART, CHARTS, Reconciler};
use crate::demo::files::ENVIRONMENTS;
use crate::demo::kube::StubError;
use crate::demo::world::BRANCH;
use crate::model::CommitId;

/// Argo CD's namespace.
pub(super) const NAMESPACE: &str = "argocd";
/// Argo CD's field manager.
const MANAGER: &str = "argocd-controller";

/// The apps that Argo CD runs.
const APPS: [&str; 2] = ["web", "api"];

/// One Application and the app it belongs to.
struct App {
    app: &'static str,
    declared: DeclaredTree,
    /// The Application's name, e.g. `web-dev`.
    name: String,
    /// The Deployment that it declares.
    deployment: String,
}

impl App {
    fn new(app: &'static str, declared: DeclaredTree) -> Self {
        let environment = declared.environment;
        // The overlays of web add a prefix to object names; a chart names objects after its release.
        let deployment = if app == "web" { format!("{environment}-web") } else { app.to_owned() };
        Self { app, name: format!("{app}-{environment}"), declared, deployment }
    }

    fn namespace(&self) -> &'static str {
        self.declared.environment
    }
}

/// The result of a sync attempt.
struct Sync {
    phase: &'static str,
    message: String,
    /// The result for the Deployment.
    resource: (&'static str, String),
}

impl Reconciler {
    /// Creates the Applications, as an administrator would.
    pub(super) fn install_argo(&self) -> Result<(), StubError> {
        for app in APPS {
            for environment in ENVIRONMENTS {
                let mut spec = json!({
                    "project": "default",
                    "destination": { "server": "https://kubernetes.default.svc", "namespace": environment },
                    "syncPolicy": { "automated": { "prune": true } }
                });
                if app == "web" {
                    let path = format!("apps/web/overlays/{environment}");
                    spec["source"] = json!({ "repoURL": self.url, "targetRevision": BRANCH, "path": path });
                } else {
                    let values = format!("$deploys/{}", declared::path(app, environment));
                    spec["sources"] = json!([
                        { "repoURL": CHARTS, "chart": "service", "targetRevision": CHART, "helm": { "valueFiles": [values] } },
                        { "repoURL": self.url, "targetRevision": BRANCH, "ref": "deploys" }
                    ]);
                }
                drop(self.kube.apply(json!({
                    "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                    "metadata": {
                        "namespace": NAMESPACE, "name": format!("{app}-{environment}"), "creationTimestamp": time(self.now())
                    },
                    "spec": spec
                }))?);
            }
        }
        Ok(())
    }

    /// Compares every Application with the branch's tip, and syncs those that are due.
    pub(super) fn sync_argo(&self, tip: &CommitId) -> anyhow::Result<()> {
        for app in APPS {
            for declared in declared::read(&self.mirror, tip, app)? {
                self.sync(&App::new(app, declared), &tip.to_string())?;
            }
        }
        Ok(())
    }

    fn sync(&self, app: &App, tip: &str) -> anyhow::Result<()> {
        let object =
            self.kube.object("applications.argoproj.io", NAMESPACE, &app.name).context("no such Application")?;
        let by_hand = self.asked().sync.remove(&app.name);
        let last = object.pointer("/status/operationState/syncResult");
        let tried = last.is_some_and(|result| text(result, "/revision") == tip || text(result, "/revisions/1") == tip);
        if !by_hand && (tried || self.is_as_declared(app)) {
            return Ok(());
        }
        let sync = match self.asked().refused.get(app.namespace()).cloned() {
            Some(refusal) => refused(&refusal),
            None => self.apply_deployment(app)?,
        };
        let now = time(self.now());
        let (result, message) = sync.resource;
        let entry = json!({
            "group": "apps", "version": "v1", "kind": "Deployment", "namespace": app.namespace(), "name": app.deployment,
            "status": result, "message": message, "hookPhase": if result == "Synced" { "Running" } else { "Failed" },
            "syncPhase": "Sync", "images": [app.declared.image]
        });
        let by = if by_hand { json!({ "username": "ada" }) } else { json!({ "automated": true }) };
        let at = Self::revisions(app, tip);
        let mut result = Self::sources(&object);
        extend(&mut result, &at);
        result["resources"] = json!([entry]);
        let operation = json!({
            "phase": sync.phase, "message": sync.message, "startedAt": now, "finishedAt": now, "syncResult": result,
            "operation": { "initiatedBy": by, "retry": {}, "sync": at }
        });
        let mut status = json!({ "operationState": operation, "conditions": null });
        if sync.phase == "Succeeded" {
            status["history"] = history(&object, &at, &now, &by);
        } else {
            let error = format!("Failed last sync attempt to [{tip}]: {}", sync.message);
            status["conditions"] = json!([{ "type": "SyncError", "message": error, "lastTransitionTime": now }]);
        }
        drop(self.kube.patch_status("applications.argoproj.io", NAMESPACE, &app.name, &status)?);
        Ok(())
    }

    /// Updates what each Application reports; runs after the workloads, so that the report is as new as they are.
    pub(super) fn look_argo(&self, tip: &CommitId) -> anyhow::Result<()> {
        for app in APPS {
            for declared in declared::read(&self.mirror, tip, app)? {
                self.look(&App::new(app, declared), &tip.to_string())?;
            }
        }
        Ok(())
    }

    fn look(&self, app: &App, tip: &str) -> anyhow::Result<()> {
        let object =
            self.kube.object("applications.argoproj.io", NAMESPACE, &app.name).context("no such Application")?;
        let deployment = self.kube.object("deployments.apps", app.namespace(), &app.deployment);
        let sync = if self.is_as_declared(app) { "Synced" } else { "OutOfSync" };
        let conditions = deployment.as_deref().map(|it| it["status"]["conditions"].clone()).unwrap_or_default();
        let available = deployment.as_deref().is_some_and(|it| {
            let counts = ["replicas", "updatedReplicas", "availableReplicas"];
            counts.iter().all(|key| number(it, &format!("/status/{key}")) == number(it, "/spec/replicas"))
        });
        let health = match (deployment.is_some(), available, conditions.is_array()) {
            (false, ..) => "Missing",
            (true, true, true) => "Healthy",
            _ => "Progressing",
        };
        let now = time(self.now());
        let since = match text(&object, "/status/health/status") == health {
            true => object["status"]["health"]["lastTransitionTime"].clone(),
            false => now.as_str().into(),
        };
        let mut compared = Self::revisions(app, tip);
        compared["status"] = sync.into();
        let mut to = Self::sources(&object);
        to["destination"] = object["spec"]["destination"].clone();
        compared["comparedTo"] = to;
        let status = json!({
            "sync": compared, "health": { "status": health, "lastTransitionTime": since }, "reconciledAt": now,
            "sourceType": if app.app == "web" { "Kustomize" } else { "Helm" }, "controllerNamespace": NAMESPACE,
            "resourceHealthSource": "appTree",
            "resources": [{
                "group": "apps", "version": "v1", "kind": "Deployment", "namespace": app.namespace(),
                "name": app.deployment, "status": sync
            }]
        });
        drop(self.kube.patch_status("applications.argoproj.io", NAMESPACE, &app.name, &status)?);
        Ok(())
    }

    fn is_as_declared(&self, app: &App) -> bool {
        let live = self.kube.object("deployments.apps", app.namespace(), &app.deployment);
        live.is_some_and(|live| {
            text(&live, "/spec/template/spec/containers/0/image") == app.declared.image
                && number(&live, "/spec/replicas") == app.declared.replicas
        })
    }

    fn apply_deployment(&self, app: &App) -> Result<Sync, StubError> {
        let (namespace, name, container) = (app.namespace(), &app.deployment, app.app);
        let known = self.kube.object("deployments.apps", namespace, name);
        let labels = json!({ "app": container });
        let template = json!({
            "metadata": { "labels": labels },
            "spec": { "containers": [{ "name": container, "image": app.declared.image, "imagePullPolicy": "IfNotPresent" }] }
        });
        let writer = StatusWriter { manager: MANAGER, operation: "Update", time: self.now() };
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "namespace": namespace, "name": name, "labels": labels, "creationTimestamp": time(self.now()),
                "annotations": { "argocd.argoproj.io/tracking-id": format!("{}:apps/Deployment:{namespace}/{name}", app.name) },
                "managedFields": [managed(writer, "apps/v1", &["spec", "template", "spec"], container)]
            },
            "spec": {
                "replicas": app.declared.replicas, "selector": { "matchLabels": labels }, "template": template,
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
                "progressDeadlineSeconds": 600
            }
        });
        drop(self.kube.apply(object)?);
        let done = if known.is_some() { "configured" } else { "created" };
        Ok(Sync {
            phase: "Succeeded",
            message: "successfully synced (all tasks run)".to_owned(),
            resource: ("Synced", format!("deployment.apps/{name} {done}")),
        })
    }

    /// `revision` or, with several sources, `revisions` in their order.
    fn revisions(app: &App, tip: &str) -> Value {
        match app.app {
            "web" => json!({ "revision": tip }),
            _ => json!({ "revision": "", "revisions": [CHART, tip] }),
        }
    }

    fn sources(object: &Value) -> Value {
        let key = if object["spec"]["source"].is_object() { "source" } else { "sources" };
        json!({ key: object["spec"][key] })
    }
}

fn refused(refusal: &str) -> Sync {
    Sync {
        phase: "Failed",
        message: format!("one or more objects failed to apply, reason: {refusal}"),
        resource: ("SyncFailed", refusal.to_owned()),
    }
}

fn extend(object: &mut Value, with: &Value) {
    if let (Some(object), Some(with)) = (object.as_object_mut(), with.as_object()) {
        object.extend(with.clone());
    }
}

/// Only successful syncs are recorded, newest last; ten are kept.
fn history(object: &Value, at: &Value, now: &str, by: &Value) -> Value {
    let mut all = object["status"]["history"].as_array().cloned().unwrap_or_default();
    let id = all.last().map_or(0, |last| number(last, "/id") + 1);
    let mut entry = json!({ "id": id, "deployedAt": now, "deployStartedAt": now, "initiatedBy": by });
    extend(&mut entry, at);
    all.push(entry);
    let extra = all.len().saturating_sub(10);
    all.drain(..extra);
    all.into()
}
