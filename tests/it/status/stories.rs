//! Whole stories: a repository, a registry, a cluster, and what `status` says of them.

use serde_json::{Value, json};

use super::cluster::{Cluster, TIME, jiff_now, tip};
use crate::registry::real::{CHART, push_artifact};
use crate::support::world::World;

pub(super) fn rows(world: &World, code: i32) -> Vec<Value> {
    let ran = world.landfall(&["status", "-o", "json"]).ends(code);
    ran.json()["updates"].as_array().unwrap().clone()
}

/// The only row of an app in an environment.
fn row(rows: &[Value], app: &str, environment: &str) -> Value {
    let found: Vec<&Value> = rows.iter().filter(|row| row["app"] == app && row["environment"] == environment).collect();
    assert_eq!(found.len(), 1, "{rows:#?}");
    found[0].clone()
}

#[test]
fn what_runs_has_landed_and_says_who_brought_it() {
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &format!("{}/acme/web:1.2.3", world.host), None);
    let rows = rows(&world, 0);
    let dev = row(&rows, "web", "dev");
    assert_eq!(
        (&dev["state"], &dev["rung"], &dev["cluster"]),
        (&json!("landed"), &Value::Null, &json!("eu-1")),
        "{dev:#}"
    );
    assert_eq!(dev["declared"]["tag"], "1.2.3");
    assert_eq!(dev["live"][0]["tag"], "1.2.3");
    assert_eq!(dev["declared"]["commit"], tip(&world).as_str(), "the commit that brought it");
    // No cluster is configured for prod: nothing is known, and nothing is claimed.
    let prod = row(&rows, "web", "prod");
    assert_eq!((&prod["state"], &prod["cause"]["code"]), (&json!("unknown"), &json!("unproven")), "{prod:#}");
}

/// The chart of an Application that another Application applies: its own status says which version it has.
#[test]
fn the_version_of_a_chart_has_landed_once_its_application_has_it() {
    const APPLICATION: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: web}\nspec:\n  source:\n    \
        repoURL: REG/charts\n    chart: web\n    targetRevision: 1.2.3\n";
    let policies = "policies:\n  - { name: dev, paths: [\"apps/*/dev/**\"], environment: dev, write: commit, tags: { semver: \"*\" } }\n";
    let world = World::setup().policies(policies).file("apps/web/dev/application.yaml", APPLICATION).start();
    let base = world.text("http://REG/").trim_end_matches('/').to_owned();
    world.block_on(push_artifact(&base, "charts/web", "1.2.3", CHART));
    let cluster = Cluster::start(&world);
    let child = |version: &str, compared: &str, health: &str| {
        let source =
            |version: &str| json!({ "repoURL": world.text("REG/charts"), "chart": "web", "targetRevision": version });
        cluster.put(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": { "name": "web", "namespace": "argocd" },
            "spec": { "project": "default", "source": source(version), "syncPolicy": { "automated": {} },
                "destination": { "server": "https://kubernetes.default.svc", "namespace": "web" } },
            "status": {
                "sync": { "status": "Synced", "revision": compared, "comparedTo": { "source": source(compared) } },
                "health": { "status": health }, "reconciledAt": jiff_now(),
                "operationState": { "phase": "Succeeded", "startedAt": TIME, "finishedAt": TIME,
                    "operation": { "sync": { "revision": compared } }, "syncResult": { "revision": compared } },
                "history": [{ "id": 1, "revision": compared, "deployedAt": TIME }],
            },
        }));
    };
    cluster.application_at(&world, "root", "apps/web/dev", &tip(&world));
    child("1.2.3", "1.2.3", "Healthy");
    let found = row(&rows(&world, 0), "web", "dev");
    assert_eq!((&found["state"], &found["live"][0]["tag"]), (&json!("landed"), &json!("1.2.3")), "{found:#}");

    world.block_on(push_artifact(&base, "charts/web", "1.3.0", CHART));
    world.apply();
    assert!(world.read("main", "apps/web/dev/application.yaml").contains("1.3.0"));
    let found = row(&rows(&world, 0), "web", "dev");
    assert_eq!((&found["state"], &found["live"][0]["tag"]), (&json!("pending"), &json!("1.2.3")), "{found:#}");
    cluster.application_at(&world, "root", "apps/web/dev", &tip(&world));
    child("1.3.0", "1.2.3", "Healthy");
    let found = row(&rows(&world, 0), "web", "dev");
    assert_eq!((&found["state"], &found["rung"]), (&json!("pending"), &json!("fetched")), "{found:#}");
    child("1.3.0", "1.3.0", "Healthy");
    let found = row(&rows(&world, 0), "web", "dev");
    assert_eq!((&found["state"], &found["live"][0]["tag"]), (&json!("landed"), &json!("1.3.0")), "{found:#}");
}

#[test]
fn an_image_that_cannot_be_pulled_is_stuck_with_what_the_registry_says() {
    let world = World::web().start();
    world.push("acme/web", "1.2.4");
    let cluster = Cluster::start(&world);
    cluster.application(&world, "web", "dev", &tip(&world));
    let message = "Back-off pulling image: manifest unknown: manifest tagged by \"1.2.3\" is not found";
    cluster.workload("web", &format!("{}/acme/web:1.2.3", world.host), Some(("ImagePullBackOff", message)));
    let ran = world.landfall(&["status", "web", "--environment", "dev", "--exit-code"]).ends(1);
    let text = ran.stdout.clone();
    assert!(text.contains("image-not-found") && text.contains("stuck"), "{text}");
    assert!(text.contains("the bot cannot find it in the registry either"), "{text}");
    let stuck: Vec<Value> = rows(&world, 0).into_iter().filter(|row| row["state"] == "stuck").collect();
    assert_eq!((stuck.len(), &stuck[0]["rung"]), (1, &json!("running")), "{stuck:#?}");
    assert!(stuck[0]["cause"]["next"].as_str().unwrap().len() > 10, "{stuck:#?}");
}

#[test]
fn a_revision_that_is_not_synced_yet_is_not_landed() {
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &format!("{}/acme/web:1.2.3", world.host), None);
    world.push("acme/web", "1.3.0");
    world.apply();
    let dev = row(&rows(&world, 0), "web", "dev");
    assert_eq!((&dev["state"], &dev["rung"]), (&json!("pending"), &json!("fetched")), "{dev:#}");
    assert_eq!((&dev["declared"]["tag"], &dev["live"][0]["tag"]), (&json!("1.3.0"), &json!("1.2.3")));
    assert_eq!(dev["declared"]["by"], "Landfall");
}

#[test]
fn a_cluster_that_is_silent_or_forbids_proves_nothing() {
    use landfall::demo::kube::{Effect, Quirk};
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &format!("{}/acme/web:1.2.3", world.host), None);
    cluster.stub.quirk(Quirk::new(Effect::Forbidden).resource("pods"));
    let ran = world.landfall(&["status", "-o", "json"]);
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    let dev = row(ran.json()["updates"].as_array().unwrap(), "web", "dev");
    assert_eq!((&dev["state"], &dev["cause"]["code"]), (&json!("unknown"), &json!("forbidden")), "{dev:#}");
    assert!(dev["cause"]["next"].as_str().unwrap().contains("pods"), "the rule to add: {dev:#}");
}

#[test]
fn what_waits_for_a_review_or_nobody_watches_is_said() {
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    let _cluster = Cluster::start(&world);
    world.push("acme/web", "1.3.0");
    world.apply();
    let rows = rows(&world, 0);
    let waiting: Vec<&Value> = rows.iter().filter(|row| row["cause"]["code"] == "review-pending").collect();
    assert_eq!(waiting.len(), 1, "{rows:#?}");
    assert_eq!((&waiting[0]["rung"], &waiting[0]["environment"]), (&json!("merged"), &json!("prod")), "{rows:#?}");
    assert!(waiting[0]["pullRequest"].is_string() && waiting[0]["since"].is_string(), "{rows:#?}");
    // The cluster is there, and nothing in it watches dev's overlay; the commit is fresh, so that this may still come.
    let dev: Vec<&Value> = rows.iter().filter(|row| row["environment"] == "dev").collect();
    assert_eq!((&dev[0]["state"], &dev[0]["cause"]["code"]), (&json!("pending"), &json!("orphan")), "{rows:#?}");
}

#[test]
fn history_says_who_brought_what_and_when() {
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    world.landfall(&["pr", "merge", "1"]).ends(0);
    let ran = world.landfall(&["history", "web", "-o", "json"]).ends(0);
    let history = ran.json()["history"].as_array().unwrap().clone();
    let line = |change: &Value| {
        let tag = |version: &Value| version["tag"].as_str().unwrap_or("-").to_owned();
        (
            change["environment"].as_str().unwrap().to_owned(),
            tag(&change["from"]),
            tag(&change["to"]),
            change["by"].as_str().unwrap().to_owned(),
        )
    };
    let mut lines: Vec<_> = history.iter().map(line).collect();
    lines.sort();
    let text = |parts: [&str; 4]| {
        let [a, b, c, d] = parts.map(str::to_owned);
        (a, b, c, d)
    };
    assert_eq!(
        lines,
        [
            text(["dev", "-", "1.2.3", "Ada"]),
            text(["dev", "1.2.3", "1.3.0", "Landfall"]),
            text(["prod", "-", "1.2.3", "Ada"]),
            text(["prod", "1.2.3", "1.3.0", "Landfall"]),
        ]
    );
    world.landfall(&["history", "nothing"]).ends(2).says("there is no app `nothing`").says("there is only web");
    world.landfall(&["history", "web", "--environment", "prod", "--limit", "1"]).ends(0).says("1.3.0");
}

#[test]
fn what_only_an_event_tells_is_told() {
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &format!("{}/acme/web:1.2.3", world.host), Some(("ContainerCreating", "")));
    let pods = cluster.stub.objects();
    let pod = pods.iter().find(|object| object["kind"] == "Pod").unwrap();
    cluster
        .stub
        .load(json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": "web.1", "namespace": "web" },
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod", "namespace": "web",
                "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"],
            },
            "type": "Warning", "reason": "FailedMount", "count": 7, "lastTimestamp": "2026-01-05T08:05:00Z",
            "message": "MountVolume.SetUp failed for volume \"settings\" : configmap \"web-settings\" not found",
        }))
        .unwrap();
    let dev = row(&rows(&world, 0), "web", "dev");
    assert_eq!(dev["rung"], "running", "{dev:#}");
    assert!(dev["cause"].to_string().contains("web-settings"), "{dev:#}");
    // The same from the file's side.
    let path = "apps/web/overlays/dev/kustomization.yaml";
    world.landfall(&["explain", "--landing", path]).ends(0).says("web-settings");
}

#[test]
fn two_places_with_one_version_are_as_well_as_the_worse_of_them() {
    let values = |name: &str| format!("image:\n  repository: REG/acme/{name}\n  tag: 1.2.3\n");
    let world = World::web()
        .file("apps/web/overlays/dev/second/kustomization.yaml", "images:\n  - name: REG/acme/web\n    newTag: 1.2.3\n")
        .file("apps/api/overlays/dev/values.yaml", values("api"))
        .start();
    world.push("acme/web", "1.2.3");
    world.push("acme/api", "1.2.3");
    let cluster = Cluster::start(&world);
    let image = format!("{}/acme/web:1.2.3", world.host);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &image, None);
    // The second folder has an Application of its own, whose pods do not come up.
    cluster.application_at(&world, "second", "apps/web/overlays/dev/second", &tip(&world));
    cluster.workload("second", &image, Some(("ImagePullBackOff", "429 Too Many Requests")));
    let rows = rows(&world, 0);
    let web: Vec<&Value> = rows.iter().filter(|row| row["app"] == "web" && row["environment"] == "dev").collect();
    assert!(web.iter().any(|row| row["state"] != "landed"), "{web:#?}");
    assert!(web.iter().any(|row| row["cause"]["code"] == "image-rate-limited"), "{web:#?}");
}

#[test]
fn what_keeps_a_repository_from_being_read_is_a_row_of_its_own() {
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    let _cluster = Cluster::start(&world);
    world.write(&[(".landfall/broken.yaml", "policies: [\n")]);
    let found = rows(&world, 0);
    let whole: Vec<&Value> = found.iter().filter(|row| row["app"] == "deploys").collect();
    assert_eq!(whole.len(), 1, "{found:#?}");
    assert_eq!((&whole[0]["state"], &whole[0]["cause"]["code"]), (&json!("unknown"), &json!("config-error")));
}

/// The parts of an Application that a test changes.
fn application(cluster: &Cluster, change: impl FnOnce(&mut Value)) {
    let objects = cluster.stub.objects();
    let found = objects.iter().find(|object| object["kind"] == "Application").unwrap();
    let mut object = Value::clone(found);
    change(&mut object);
    cluster.stub.load(object).unwrap();
}

#[test]
fn what_is_taken_on_trust_is_said_without_doubting_what_runs() {
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    cluster.application(&world, "web", "dev", &tip(&world));
    let image = format!("{}/acme/web:1.2.3", world.host);
    cluster.workload("web", &image, None);
    application(&cluster, |app| {
        app["spec"]["source"]["plugin"] = json!({ "name": "cue" });
        app["status"]["sync"]["comparedTo"]["source"]["plugin"] = json!({ "name": "cue" });
        app["metadata"]["annotations"] = json!({ "argocd.argoproj.io/manifest-generate-paths": "/elsewhere" });
    });
    let dev = row(&rows(&world, 0), "web", "dev");
    assert_eq!((&dev["state"], &dev["cause"]), (&json!("landed"), &Value::Null), "{dev:#}");
    let notes = dev["notes"].to_string();
    assert!(notes.contains("config management plugin") && notes.contains("manifest-generate-paths"), "{dev:#}");
    world.landfall(&["status", "web"]).ends(0).says("config management plugin");
    // Where there is a cause, they are part of its evidence.
    cluster.workload("web", &image, Some(("ImagePullBackOff", "429 Too Many Requests")));
    let dev = row(&rows(&world, 0), "web", "dev");
    assert!(dev["cause"]["evidence"].to_string().contains("config management plugin"), "{dev:#}");
}

#[test]
fn kinds_that_are_not_permitted_put_in_doubt_only_what_may_be_one_of_them() {
    use landfall::demo::kube::{Effect, Quirk};
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &format!("{}/acme/web:1.2.3", world.host), None);
    cluster.stub.quirk(Quirk::new(Effect::Forbidden).resource("cronjobs.batch"));
    let dev = |ran: &crate::support::world::Ran| row(ran.json()["updates"].as_array().unwrap(), "web", "dev");
    let found = dev(&world.landfall(&["status", "-o", "json"]));
    assert_eq!(found["state"], "landed", "a Deployment is up: {found:#}");
    cluster.stub.delete("deployments.apps", "web", "web").unwrap();
    let pods: Vec<Value> = cluster.stub.objects().iter().map(|object| Value::clone(object)).collect();
    for object in pods.iter().filter(|object| object["kind"] == "Pod" || object["kind"] == "ReplicaSet") {
        let resource = if object["kind"] == "Pod" { "pods" } else { "replicasets.apps" };
        cluster.stub.delete(resource, "web", object["metadata"]["name"].as_str().unwrap()).unwrap();
    }
    let found = dev(&world.landfall(&["status", "-o", "json"]));
    assert_eq!(found["state"], "unknown", "{found:#}");
    assert!(found["cause"].to_string().contains("CronJob is only partly visible"), "{found:#}");
    assert!(found["cause"]["next"].as_str().unwrap().contains("cronjobs"), "the rule to add: {found:#}");
}

#[test]
fn a_mirror_is_known_by_its_alias_and_head_is_what_the_remote_calls_so() {
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &format!("{}/acme/web:1.2.3", world.host), None);
    let mirror = "https://mirror.example.com/acme/deploys.git";
    application(&cluster, |app| {
        for source in ["/spec/source", "/status/sync/comparedTo/source"] {
            let source = app.pointer_mut(source).unwrap();
            source["repoURL"] = json!(mirror);
            source["targetRevision"] = json!("HEAD");
        }
    });
    let dev = row(&rows(&world, 0), "web", "dev");
    assert_eq!(dev["cause"]["code"], "orphan", "nothing says that this is the same repository: {dev:#}");
    world.configure("    branch: main", &format!("    aliases: [{mirror}]\n    branch: main"));
    let dev = row(&rows(&world, 0), "web", "dev");
    assert_eq!(dev["state"], "landed", "{dev:#}");
    world.git(&["update-ref", "refs/heads/trunk", "main"]);
    world.git(&["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    let dev = row(&rows(&world, 0), "web", "dev");
    assert_eq!(dev["cause"]["code"], "orphan", "{dev:#}");
    assert!(dev["cause"]["evidence"].to_string().contains("reads the default branch"), "{dev:#}");
}

#[test]
fn an_image_of_an_app_of_apps_is_followed_through_the_application_that_holds_it() {
    let child = |tag: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{ name: child, namespace: argocd }}\nspec:\n  \
             project: default\n  destination: {{ server: https://kubernetes.default.svc, namespace: web }}\n  source:\n    \
             repoURL: https://git.example.com/bases.git\n    path: web\n    targetRevision: main\n    \
             kustomize:\n      images:\n        - REG/acme/web:{tag}\n"
        )
    };
    let world = World::setup().file("apps/web/overlays/dev/application.yaml", child("1.2.3")).start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    let image = format!("{}/acme/web:1.2.3", world.host);
    cluster.application(&world, "web", "dev", &tip(&world));
    application(&cluster, |app| {
        app["status"]["resources"] = json!([
            { "group": "argoproj.io", "version": "v1alpha1", "kind": "Application", "namespace": "argocd", "name": "child", "status": "Synced" },
        ]);
    });
    // The child reads another repository, of which nothing is known.
    let source = json!({
        "repoURL": "https://git.example.com/bases.git", "path": "web", "targetRevision": "main",
        "kustomize": { "images": [&image] },
    });
    let mut object = Value::clone(cluster.stub.objects().iter().find(|it| it["kind"] == "Application").unwrap());
    let other = "b".repeat(40);
    object["metadata"] = json!({ "name": "child", "namespace": "argocd", "annotations": {
        "argocd.argoproj.io/tracking-id": "web-dev:argoproj.io/Application:argocd/child",
    } });
    object["spec"]["source"] = source.clone();
    object["status"]["sync"] = json!({ "status": "Synced", "revision": other, "comparedTo": { "source": source } });
    object["status"]["operationState"]["syncResult"]["revision"] = json!(other);
    object["status"]["history"][0]["revision"] = json!(other);
    object["status"]["resources"] = json!([
        { "group": "apps", "version": "v1", "kind": "Deployment", "namespace": "web", "name": "web", "status": "Synced" },
    ]);
    cluster.stub.load(object).unwrap();
    cluster.workload("web", &image, None);
    let mut deployment = Value::clone(cluster.stub.objects().iter().find(|it| it["kind"] == "Deployment").unwrap());
    deployment["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!("child:apps/Deployment:web/web");
    cluster.stub.load(deployment).unwrap();
    let dev = row(&rows(&world, 0), "web", "dev");
    assert_eq!((&dev["state"], &dev["live"][0]["tag"]), (&json!("landed"), &json!("1.2.3")), "{dev:#}");
    // The next one waits for the parent, which has not read it.
    world.push("acme/web", "1.3.0");
    world.apply();
    let dev = row(&rows(&world, 0), "web", "dev");
    assert_eq!((&dev["declared"]["tag"], &dev["live"][0]["tag"]), (&json!("1.3.0"), &json!("1.2.3")), "{dev:#}");
    assert_eq!((&dev["state"], &dev["rung"]), (&json!("pending"), &json!("fetched")), "{dev:#}");
    assert!(dev["cause"]["message"].as_str().unwrap().contains("web-dev"), "{dev:#}");
}

#[test]
fn a_helm_release_that_never_came_up_is_not_hidden_by_the_kustomization_that_applied_it() {
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: { name: web, namespace: web }\n\
                   spec:\n  interval: 5m\n  chart: { spec: { chart: web, sourceRef: { kind: HelmRepository, name: charts } } }\n  \
                   values:\n    image:\n      repository: REG/acme/web\n      tag: 1.2.3\n";
    let world = World::setup().file("apps/web/overlays/dev/release.yaml", release).start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    let revision = format!("main@sha1:{}", tip(&world));
    let url = std::fs::canonicalize(world.bare()).unwrap();
    let ready = |status: &str, reason: &str, message: &str| {
        json!([{
            "type": "Ready", "status": status, "reason": reason, "message": message, "observedGeneration": 1,
            "lastTransitionTime": "2026-01-05T08:00:00Z",
        }])
    };
    for object in [
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": { "name": "deploys", "namespace": "flux-system", "generation": 1 },
            "spec": { "interval": "1m", "url": url, "ref": { "branch": "main" } },
            "status": {
                "observedGeneration": 1, "artifact": { "revision": revision },
                "conditions": ready("True", "Succeeded", "stored artifact"),
            },
        }),
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": { "name": "web", "namespace": "flux-system", "generation": 1 },
            "spec": {
                "interval": "10m", "prune": true, "path": "./apps/web/overlays/dev",
                "sourceRef": { "kind": "GitRepository", "name": "deploys" },
            },
            "status": {
                "observedGeneration": 1, "lastAppliedRevision": revision, "lastAttemptedRevision": revision,
                "conditions": ready("True", "ReconciliationSucceeded", "Applied revision"),
                "inventory": { "entries": [{ "id": "web_web_helm.toolkit.fluxcd.io_HelmRelease", "v": "v2" }] },
            },
        }),
        json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {
                "name": "web", "namespace": "web", "generation": 1,
                "labels": {
                    "kustomize.toolkit.fluxcd.io/name": "web", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
                },
            },
            "spec": { "interval": "5m", "values": { "image": { "tag": "1.2.3" } } },
            "status": {
                "observedGeneration": 1, "lastAttemptedRevision": "0.1.0",
                "conditions": ready(
                    "False", "InstallFailed",
                    "Helm install failed for release web/web: admission webhook \"policy.example.com\" denied the request",
                ),
            },
        }),
    ] {
        cluster.stub.load(object).unwrap();
    }
    let dev = row(&rows(&world, 0), "web", "dev");
    assert_eq!((&dev["state"], &dev["cause"]["code"]), (&json!("stuck"), &json!("admission-denied")), "{dev:#}");
    assert!(dev["cause"]["message"].as_str().unwrap().contains("HelmRelease web/web"), "{dev:#}");
}
