//! Two thousand applications with everything that a real cluster keeps of them, at an API server in a process of its own.

use std::io::{BufRead as _, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use landfall::demo::kube::KubeStub;
use serde_json::{Value, json};

/// How many applications.
pub(crate) const APPS: usize = 2_000;
/// Per application: itself, a Deployment, two ReplicaSets and six pods.
pub(crate) const OBJECTS: usize = APPS * 10;

/// What the applications are made from.
pub(crate) struct Fleet {
    /// The host of their images.
    pub(crate) registry: String,
    /// The address of their repository.
    pub(crate) repository: String,
    /// The commit that all of them have synced.
    pub(crate) revision: String,
    /// When Argo CD last looked at them.
    pub(crate) time: String,
}

/// The API server in a process of its own, so that neither its memory nor its time is counted.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) kubeconfig: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    pub(crate) fn start(fleet: &Fleet) -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "a bench starts the server it measures against")]
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--bench", "api-server", &fleet.registry, &fleet.repository, &fleet.revision, &fleet.time]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no output of the API server")?;
        let mut server = Self { child, url: String::new(), kubeconfig: String::new() };
        let mut line = String::new();
        std::io::BufReader::new(out).read_line(&mut line)?;
        (server.url, server.kubeconfig) = serde_json::from_str(&line)?;
        Ok(server)
    }
}

/// What the child process runs: it prints its address and kubeconfig as one line of JSON and waits to be killed.
pub(crate) async fn api_server(arguments: &[&str]) -> anyhow::Result<()> {
    let [registry, repository, revision, time] = arguments else { anyhow::bail!("REGISTRY REPOSITORY REVISION TIME") };
    let [registry, repository, revision, time] = [registry, repository, revision, time].map(|it| (*it).to_owned());
    let fleet = Fleet { registry, repository, revision, time };
    let stub = KubeStub::start().await?;
    for app in 0..APPS {
        for object in fleet.objects(app) {
            stub.load(object)?;
        }
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!([stub.url(), stub.kubeconfig()]))?;
    out.flush()?;
    std::future::pending().await
}

/// An application's name.
pub(crate) fn name(app: usize) -> String {
    format!("app-{app:04}")
}

/// The namespace in which it runs.
pub(crate) fn namespace(app: usize) -> String {
    format!("team-{}", app % 40)
}

impl Fleet {
    fn image(&self, name: &str) -> String {
        format!("{}/acme/{name}:1.0.0", self.registry)
    }

    /// One application with everything that a real cluster keeps of it, most of which nobody reads.
    pub(crate) fn objects(&self, app: usize) -> Vec<Value> {
        let (name, namespace) = (name(app), namespace(app));
        let mut objects = vec![self.application(&name, &namespace), self.deployment(&name, &namespace)];
        for (number, replicas) in [(1, 0), (2, 6)] {
            objects.push(self.replica_set(&name, &namespace, number, replicas));
        }
        objects.extend((0..6).map(|number| self.pod(&name, &namespace, number)));
        objects
    }

    fn metadata(&self, name: &str, namespace: &str, app: &str) -> Value {
        let fields: serde_json::Map<String, Value> = (0..30)
            .map(|number| {
                (format!("k:{{\"name\":\"VARIABLE_{number}\"}}"), json!({ ".": {}, "f:name": {}, "f:value": {} }))
            })
            .collect();
        json!({
            "name": name, "namespace": namespace, "uid": format!("uid-of-{name}"), "generation": 3,
            "creationTimestamp": self.time,
            "labels": {
                "app.kubernetes.io/name": app, "app.kubernetes.io/instance": app, "app.kubernetes.io/managed-by": "argocd",
                "pod-template-hash": "7d9c5b8f66", "team": namespace, "cost-center": "4711"
            },
            "annotations": {
                "argocd.argoproj.io/tracking-id": format!("{app}:apps/Deployment:{namespace}/{app}"),
                "kubectl.kubernetes.io/last-applied-configuration": "x".repeat(1500)
            },
            "managedFields": [{
                "manager": "argocd-controller", "operation": "Apply", "apiVersion": "apps/v1", "time": self.time,
                "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:template": { "f:spec": { "f:containers": {
                    "k:{\"name\":\"web\"}": { "f:image": {}, "f:env": fields }
                } } } } }
            }]
        })
    }

    fn containers(&self, app: &str) -> Value {
        let env: Vec<Value> = (0..30)
            .map(|number| json!({ "name": format!("VARIABLE_{number}"), "value": "some-value-of-it" }))
            .collect();
        json!([{
            "name": "web", "image": self.image(app), "env": env,
            "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
            "livenessProbe": { "httpGet": { "path": "/healthz", "port": 8080 } },
            "readinessProbe": { "httpGet": { "path": "/readyz", "port": 8080 } }
        }])
    }

    fn application(&self, name: &str, namespace: &str) -> Value {
        let history: Vec<Value> = (0..10)
            .map(
                |id| json!({ "id": id, "revision": self.revision, "deployedAt": self.time, "source": { "path": name } }),
            )
            .collect();
        let kinds = ["Deployment", "ReplicaSet", "Service", "ConfigMap", "Ingress", "HorizontalPodAutoscaler"];
        let resources: Vec<Value> = kinds
            .iter()
            .map(|kind| json!({ "kind": kind, "namespace": namespace, "name": name, "status": "Synced", "version": "v1" }))
            .collect();
        let source = json!({ "repoURL": self.repository, "path": format!("apps/{name}/overlays/env-0"), "targetRevision": "main" });
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": self.metadata(name, namespace, name),
            "spec": {
                "project": "default", "source": source, "destination": { "namespace": namespace },
                "syncPolicy": { "automated": { "prune": true, "selfHeal": true } }
            },
            "status": {
                "sync": { "status": "Synced", "revision": self.revision, "comparedTo": { "source": source } },
                "health": { "status": "Healthy" }, "reconciledAt": self.time, "history": history,
                "resources": resources, "summary": { "images": [self.image(name)] },
                "operationState": {
                    "phase": "Succeeded", "startedAt": self.time, "finishedAt": self.time,
                    "message": "successfully synced (all tasks run)", "operation": { "sync": { "revision": self.revision } },
                    "syncResult": { "revision": self.revision, "resources": resources, "source": source }
                }
            }
        })
    }

    fn template(&self, name: &str) -> Value {
        json!({ "metadata": { "labels": { "app.kubernetes.io/name": name } }, "spec": { "containers": self.containers(name) } })
    }

    fn deployment(&self, name: &str, namespace: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": self.metadata(name, namespace, name),
            "spec": {
                "replicas": 6, "selector": { "matchLabels": { "app.kubernetes.io/name": name } }, "template": self.template(name)
            },
            "status": {
                "observedGeneration": 3, "replicas": 6, "updatedReplicas": 6, "readyReplicas": 6, "availableReplicas": 6,
                "conditions": [
                    { "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "it is" },
                    { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "it has" }
                ]
            }
        })
    }

    fn replica_set(&self, name: &str, namespace: &str, number: usize, replicas: usize) -> Value {
        let mut metadata = self.metadata(&format!("{name}-{number}"), namespace, name);
        metadata["ownerReferences"] = json!([{ "kind": "Deployment", "name": name, "uid": format!("uid-of-{name}") }]);
        metadata["annotations"]["deployment.kubernetes.io/revision"] = number.to_string().into();
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata,
            "spec": { "replicas": replicas, "template": self.template(name) },
            "status": { "replicas": replicas, "readyReplicas": replicas, "observedGeneration": 3 }
        })
    }

    fn pod(&self, name: &str, namespace: &str, number: usize) -> Value {
        let mut metadata = self.metadata(&format!("{name}-2-{number}"), namespace, name);
        metadata["ownerReferences"] =
            json!([{ "kind": "ReplicaSet", "name": format!("{name}-2"), "uid": format!("uid-of-{name}-2") }]);
        let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"];
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": { "containers": self.containers(name), "nodeName": "node-7", "serviceAccountName": "default" },
            "status": {
                "phase": "Running", "podIP": "10.0.0.7", "hostIP": "10.1.0.7", "startTime": self.time,
                "conditions": conditions.map(|kind| json!({ "type": kind, "status": "True", "lastTransitionTime": self.time })),
                "containerStatuses": [{
                    "name": "web", "ready": true, "started": true, "restartCount": 0,
                    "image": self.image(name),
                    "imageID": format!("{}/acme/{name}@sha256:{}", self.registry, "5".repeat(64)),
                    "state": { "running": { "startedAt": self.time } }
                }]
            }
        })
    }
}
