//! One Kustomization that applies a thousand apps: what is asked of it by every one of them must not be answered a thousand times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use landfall::cluster::object;
use landfall::landing::{Contains, Git, QueryIndex, Question, RevisionFact, Scope, World, judge};
use landfall::model::observation::{Object, ObjectKey};
use landfall::model::{ImageReference, State};
use serde_json::{Value, json};

use crate::fleet::name;
use crate::measure::{Run, figure};

const APPS: usize = 1_000;
const OLD: &str = "1111111111111111111111111111111111111111";
const TIME: &str = "2026-01-05T08:00:00Z";

pub(crate) async fn monorepo() -> anyhow::Result<()> {
    let objects = (0..APPS).flat_map(app).chain(flux()).map(|value| object::read(&value).map(Arc::new));
    let objects: Vec<Arc<Object>> = objects.collect::<Result<_, _>>()?;
    let index = QueryIndex::of(objects);
    for (contains, state, what) in [
        (Contains::Yes, State::Landed, "1,000 apps of one Kustomization judged"),
        (Contains::No, State::Pending, "... while none of their changes has been applied"),
    ] {
        let runs = (0..5).map(|_| judge_all(&index, contains, state)).collect::<anyhow::Result<Vec<Run>>>()?;
        figure(what, "", &runs);
    }
    Ok(())
}

fn judge_all(index: &QueryIndex, contains: Contains, state: State) -> anyhow::Result<Run> {
    let begin = Instant::now();
    let now: Timestamp = "2026-01-05T08:01:00Z".parse()?;
    let world = World::new(index, now);
    let facts = BTreeMap::from([(OLD.to_owned(), RevisionFact { contains, declares: None })]);
    let controller = ObjectKey::new("kustomize.toolkit.fluxcd.io", "Kustomization", Some("flux-system"), "apps");
    let tag = if contains == Contains::Yes { "1.0.0" } else { "1.1.0" };
    for app in 0..APPS {
        let image = ImageReference::parse(&format!("registry.example.com/acme/{}:{tag}", name(app)))?;
        let scope = Scope { controllers: Some(vec![controller.clone()]), ..Scope::default() };
        let question = Question { git: Git::Facts(facts.clone()), scope, ..Question::new(image) };
        world.note();
        let landing = judge(&world, &question).landing;
        let _reads = world.noted();
        anyhow::ensure!(landing.state == state, "{} is {landing:?}", name(app));
    }
    Ok(Run { wall: begin.elapsed(), cpu: 0.0, peak: 0.0 })
}

fn app(app: usize) -> [Value; 3] {
    let name = name(app);
    let image = format!("registry.example.com/acme/{name}:1.0.0");
    let template = json!({ "spec": { "containers": [{ "name": "web", "image": image }] } });
    let labels =
        json!({ "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system" });
    let owner = |kind: &str, owner: &str| json!([{ "kind": kind, "name": owner, "uid": format!("uid-of-{owner}") }]);
    let metadata =
        |name: &str| json!({ "name": name, "namespace": "apps", "uid": format!("uid-of-{name}"), "generation": 1 });
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(&name),
        "spec": { "replicas": 1, "template": template },
        "status": {
            "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
            "conditions": [{ "type": "Available", "status": "True" }, { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" }]
        }
    });
    deployment["metadata"]["labels"] = labels;
    let set = format!("{name}-5d");
    let mut replica_set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata(&set),
        "spec": { "replicas": 1, "template": template },
        "status": { "observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1 }
    });
    replica_set["metadata"]["ownerReferences"] = owner("Deployment", &name);
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata(&format!("{set}-x")),
        "spec": { "containers": [{ "name": "web", "image": image }] },
        "status": {
            "phase": "Running", "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": TIME }],
            "containerStatuses": [{
                "name": "web", "ready": true, "restartCount": 0, "image": image, "state": { "running": { "startedAt": TIME } },
                "imageID": format!("registry.example.com/acme/{name}@sha256:{}", "5".repeat(64))
            }]
        }
    });
    pod["metadata"]["ownerReferences"] = owner("ReplicaSet", &set);
    [deployment, replica_set, pod]
}

fn flux() -> [Value; 2] {
    let ready = json!([{ "type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "observedGeneration": 1, "lastTransitionTime": TIME }]);
    let entries: Vec<Value> =
        (0..APPS).map(|app| json!({ "id": format!("apps_{}_apps_Deployment", name(app)), "v": "v1" })).collect();
    let revision = format!("main@sha1:{OLD}");
    [
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": { "name": "apps", "namespace": "flux-system", "generation": 1 },
            "spec": { "url": "https://git.example.com/acme/deploys.git", "ref": { "branch": "main" }, "interval": "1m0s" },
            "status": { "observedGeneration": 1, "conditions": ready, "artifact": { "revision": revision, "lastUpdateTime": TIME } }
        }),
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": { "name": "apps", "namespace": "flux-system", "generation": 1 },
            "spec": { "sourceRef": { "kind": "GitRepository", "name": "apps" }, "path": "./apps", "interval": "1m0s", "prune": true },
            "status": {
                "observedGeneration": 1, "conditions": ready, "lastAppliedRevision": revision, "lastAttemptedRevision": revision,
                "inventory": { "entries": entries }
            }
        }),
    ]
}
