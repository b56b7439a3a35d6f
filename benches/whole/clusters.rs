//! A cluster with 20,000 objects: from nothing to a complete snapshot, and from one change to the next one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use landfall::cluster::{Access, Cluster, Kind, Now, Pace, Settings, Snapshot};
use landfall::demo::kube::KubeStub;
use landfall::landing::{Contains, Git, Question, RevisionFact, Scope, World, judge};
use landfall::model::{ImageReference, State};
use serde_json::{Value, json};

use crate::measure::{Run, count, figure, within};

const APPS: usize = 2_000;
/// Per application: itself, a Deployment, two ReplicaSets and six pods.
const OBJECTS: usize = APPS * 10;
const SHA: &str = "7f3c0d5b9a1e4c2d8b6f0a9e3d1c5b7a2f4e6d8c";

/// The API server in a process of its own, so that its memory is not counted.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What the child process runs: it prints its kubeconfig as one line of JSON and waits to be killed.
pub(crate) async fn api_server() -> anyhow::Result<()> {
    let stub = KubeStub::start().await?;
    for app in 0..APPS {
        for object in objects(app) {
            stub.load(object)?;
        }
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!([stub.url(), stub.kubeconfig()]))?;
    out.flush()?;
    std::future::pending().await
}

pub(crate) async fn clusters() -> anyhow::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a bench starts the server it measures against")]
    let mut command = Command::new(std::env::current_exe()?);
    let mut server = Server(command.args(["--bench", "api-server"]).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    let out = server.0.stdout.take().context("no output of the API server")?;
    std::io::BufReader::new(out).read_line(&mut line)?;
    let (url, kubeconfig): (String, String) = serde_json::from_str(&line)?;

    count("resident before a cluster is watched, MiB", memory("VmRSS")?);
    let mut starts = Vec::new();
    let mut cluster = None;
    for _ in 0..3 {
        drop(cluster.take());
        let settings = Settings {
            name: "bench".to_owned(),
            access: Access::Text(kubeconfig.clone().into()),
            context: None,
            environments: Vec::new(),
            namespaces: Vec::new(),
            pace: Pace::default(),
        };
        #[expect(clippy::disallowed_methods, reason = "a bench has no clock to be given")]
        let now = Now::new(Timestamp::now);
        let started = Cluster::start(settings, now);
        let (run, ()) = within(async {
            let mut snapshot = started.snapshot();
            while snapshot.gaps().next().is_some() {
                started.changed(snapshot.generation).await;
                snapshot = started.snapshot();
            }
        })
        .await;
        anyhow::ensure!(started.snapshot().objects().count() == OBJECTS, "not all objects are there");
        if starts.is_empty() {
            count("... resident after one start, MiB", memory("VmRSS")?);
        }
        starts.push(run);
        cluster = Some(started);
    }
    let cluster = cluster.context("no cluster")?;
    figure("20,000 objects of a cluster, start to complete snapshot", "5 s with judging", &starts);
    let judging = (0..5).map(|_| judge_all(&cluster.snapshot())).collect::<anyhow::Result<Vec<Run>>>()?;
    figure("... and the verdict of every one of the 2,000 images", "5 s together", &judging);
    count("... resident after three starts, MiB", memory("VmRSS")?);
    count("... peak, MiB", memory("VmHWM")?);

    let http = http()?;
    let mut changes = Vec::new();
    for number in 0..50_usize {
        let name = format!("app-{}", number * 37);
        let patch = json!({ "status": { "observedGeneration": 1000 + number } });
        let address = format!("{url}/apis/apps/v1/namespaces/{}/deployments/{name}/status", namespace(number * 37));
        let old = cluster.snapshot().get(Kind::Deployment, &namespace(number * 37), &name).cloned();
        let request =
            http.patch(address).header("content-type", "application/merge-patch+json").body(patch.to_string());
        let begin = Instant::now();
        let answer = tokio::spawn(request.send());
        loop {
            let snapshot = cluster.snapshot();
            if snapshot.get(Kind::Deployment, &namespace(number * 37), &name) != old.as_ref() {
                break;
            }
            tokio::time::timeout(Duration::from_secs(5), cluster.changed(snapshot.generation)).await?;
        }
        changes.push(Run { wall: begin.elapsed(), cpu: 0.0, peak: 0.0 });
        anyhow::ensure!(answer.await??.status().is_success(), "the change was refused");
    }
    figure("one changed object among them to a snapshot with it", "50 ms with judging", &changes);
    Ok(())
}

/// One look at a snapshot: indexes it and judges every image that Git declares, as the tracking does after each change.
fn judge_all(snapshot: &Snapshot) -> anyhow::Result<Run> {
    let begin = Instant::now();
    let now: Timestamp = "2026-01-05T08:01:00Z".parse()?;
    let world = World::new(snapshot.objects().map(AsRef::as_ref), now);
    let contained = BTreeMap::from([(SHA.to_owned(), RevisionFact { contains: Contains::Yes, declares: None })]);
    for app in 0..APPS {
        let name = format!("app-{app}");
        let image = ImageReference::parse(&format!("registry.example.com/acme/{name}:1.4.0"))?;
        let application = snapshot.get(Kind::Application, &namespace(app), &name).context("no Application")?.key();
        let scope = Scope { controllers: Some(vec![application]), ..Scope::default() };
        let question = Question { git: Git::Facts(contained.clone()), scope, ..Question::new(image) };
        let landing = judge(&world, &question).landing;
        anyhow::ensure!(landing.state == State::Landed, "{name} is {landing:?}");
    }
    Ok(Run { wall: begin.elapsed(), cpu: 0.0, peak: 0.0 })
}

#[expect(clippy::disallowed_methods, reason = "a bench changes an object as its controller would")]
fn http() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// A figure of this process in mebibytes.
fn memory(what: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(what)).context("no such figure")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kibibytes / 1024)
}

fn namespace(app: usize) -> String {
    format!("team-{}", app % 40)
}

/// One application with everything that a real cluster keeps of it, most of which nobody reads.
fn objects(app: usize) -> Vec<Value> {
    let (name, namespace) = (format!("app-{app}"), namespace(app));
    let mut objects = vec![application(&name, &namespace), deployment(&name, &namespace)];
    for (number, replicas) in [(1, 0), (2, 6)] {
        objects.push(replica_set(&name, &namespace, number, replicas));
    }
    objects.extend((0..6).map(|number| pod(&name, &namespace, number)));
    objects
}

fn metadata(name: &str, namespace: &str, app: &str) -> Value {
    let fields: serde_json::Map<String, Value> = (0..30)
        .map(|number| {
            (format!("k:{{\"name\":\"VARIABLE_{number}\"}}"), json!({ ".": {}, "f:name": {}, "f:value": {} }))
        })
        .collect();
    json!({
        "name": name, "namespace": namespace, "uid": format!("uid-of-{name}"), "generation": 3,
        "creationTimestamp": "2026-01-05T08:00:00Z",
        "labels": {
            "app.kubernetes.io/name": app, "app.kubernetes.io/instance": app, "app.kubernetes.io/managed-by": "argocd",
            "pod-template-hash": "7d9c5b8f66", "team": namespace, "cost-center": "4711"
        },
        "annotations": {
            "argocd.argoproj.io/tracking-id": format!("{app}:apps/Deployment:{namespace}/{app}"),
            "kubectl.kubernetes.io/last-applied-configuration": "x".repeat(1500)
        },
        "managedFields": [{
            "manager": "argocd-controller", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-01-05T08:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:template": { "f:spec": { "f:containers": {
                "k:{\"name\":\"web\"}": { "f:image": {}, "f:env": fields }
            } } } } }
        }]
    })
}

fn containers(app: &str) -> Value {
    let env: Vec<Value> =
        (0..30).map(|number| json!({ "name": format!("VARIABLE_{number}"), "value": "some-value-of-it" })).collect();
    json!([{
        "name": "web", "image": format!("registry.example.com/acme/{app}:1.4.0"), "env": env,
        "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
        "livenessProbe": { "httpGet": { "path": "/healthz", "port": 8080 } },
        "readinessProbe": { "httpGet": { "path": "/readyz", "port": 8080 } }
    }])
}

fn application(name: &str, namespace: &str) -> Value {
    let history: Vec<Value> = (0..10)
        .map(
            |id| json!({ "id": id, "revision": SHA, "deployedAt": "2026-01-05T08:00:00Z", "source": { "path": name } }),
        )
        .collect();
    let kinds = ["Deployment", "ReplicaSet", "Service", "ConfigMap", "Ingress", "HorizontalPodAutoscaler"];
    let resources: Vec<Value> = kinds
        .iter()
        .map(|kind| json!({ "kind": kind, "namespace": namespace, "name": name, "status": "Synced", "version": "v1" }))
        .collect();
    let source = json!({ "repoURL": "https://git.example.com/acme/deploys.git", "path": format!("apps/{name}"), "targetRevision": "main" });
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata(name, namespace, name),
        "spec": {
            "project": "default", "source": source, "destination": { "namespace": namespace },
            "syncPolicy": { "automated": { "prune": true, "selfHeal": true } }
        },
        "status": {
            "sync": { "status": "Synced", "revision": SHA, "comparedTo": { "source": source } },
            "health": { "status": "Healthy" }, "reconciledAt": "2026-01-05T08:00:00Z", "history": history,
            "resources": resources, "summary": { "images": [format!("registry.example.com/acme/{name}:1.4.0")] },
            "operationState": {
                "phase": "Succeeded", "startedAt": "2026-01-05T08:00:00Z", "finishedAt": "2026-01-05T08:00:01Z",
                "message": "successfully synced (all tasks run)", "operation": { "sync": { "revision": SHA } },
                "syncResult": { "revision": SHA, "resources": resources, "source": source }
            }
        }
    })
}

fn template(name: &str) -> Value {
    json!({ "metadata": { "labels": { "app.kubernetes.io/name": name } }, "spec": { "containers": containers(name) } })
}

fn deployment(name: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(name, namespace, name),
        "spec": {
            "replicas": 6, "selector": { "matchLabels": { "app.kubernetes.io/name": name } }, "template": template(name)
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

fn replica_set(name: &str, namespace: &str, number: usize, replicas: usize) -> Value {
    let mut metadata = metadata(&format!("{name}-{number}"), namespace, name);
    metadata["ownerReferences"] = json!([{ "kind": "Deployment", "name": name, "uid": format!("uid-of-{name}") }]);
    metadata["annotations"]["deployment.kubernetes.io/revision"] = number.to_string().into();
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata,
        "spec": { "replicas": replicas, "template": template(name) },
        "status": { "replicas": replicas, "readyReplicas": replicas, "observedGeneration": 3 }
    })
}

fn pod(name: &str, namespace: &str, number: usize) -> Value {
    let mut metadata = metadata(&format!("{name}-2-{number}"), namespace, name);
    metadata["ownerReferences"] =
        json!([{ "kind": "ReplicaSet", "name": format!("{name}-2"), "uid": format!("uid-of-{name}-2") }]);
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"];
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": { "containers": containers(name), "nodeName": "node-7", "serviceAccountName": "default" },
        "status": {
            "phase": "Running", "podIP": "10.0.0.7", "hostIP": "10.1.0.7", "startTime": "2026-01-05T08:00:00Z",
            "conditions": conditions.map(|kind| json!({ "type": kind, "status": "True", "lastTransitionTime": "2026-01-05T08:00:00Z" })),
            "containerStatuses": [{
                "name": "web", "ready": true, "started": true, "restartCount": 0,
                "image": format!("registry.example.com/acme/{name}:1.4.0"),
                "imageID": format!("registry.example.com/acme/{name}@sha256:{}", "5".repeat(64)),
                "state": { "running": { "startedAt": "2026-01-05T08:00:00Z" } }
            }]
        }
    })
}
