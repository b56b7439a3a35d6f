//! What holds on every API server, over the wire alone: on the stub always; on a real server of the test's own where
//! `KUBEBUILDER_ASSETS` names a folder with `kube-apiserver` and `etcd`; and on the cluster of `KUBECONFIG` where
//! `USE_EXISTING_CLUSTER=true` says that it may be used. Nothing is left behind there.
//!
//! One list of checks, [`SUITE`], so that the stub cannot pass what a real server would not.

use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use landfall::cluster::{Access, Cluster, KindState, Settings, Snapshot, WatchedKind};
use landfall::demo::kube::{Effect, KubeOptions, KubeStub, Quirk, Served};
use landfall::model::observation::Body;
use serde_json::{Value, json};

use super::assets::Assets;
use super::support::*;

/// The kind that is not there at first.
const LATE: WatchedKind = WatchedKind::Rollout;

/// An API server that the suite runs on.
pub(super) struct Server {
    /// An account that may do everything.
    kubeconfig: PathBuf,
    client: kube::Client,
    own: Own,
    _folder: Option<tempfile::TempDir>,
}

/// Whose server it is, and what follows from that.
enum Own {
    Stub(KubeStub),
    Real(Assets),
    /// Somebody's cluster, in which no kind is installed.
    Existing,
}

type Check = for<'s> fn(&'s Server) -> BoxFuture<'s, ()>;

/// Everything that is checked.
const SUITE: &[(&str, Check)] = &[
    ("changes arrive one by one", |server| changes_arrive(server).boxed()),
    ("initial events end with a bookmark", |server| initial_events_end_with_a_bookmark(server).boxed()),
    ("a status is what the kind's definition makes of it", |server| statuses(server).boxed()),
    ("a version that is too old is told in the stream", |server| too_old(server).boxed()),
    ("what is not permitted names its rule", |server| a_limited_account(server).boxed()),
    ("a kind that is not installed is found when it comes", |server| a_late_kind(server).boxed()),
];

impl Server {
    async fn new(kubeconfig: PathBuf, own: Own, folder: Option<tempfile::TempDir>) -> Self {
        let config = kube::config::Kubeconfig::read_from(&kubeconfig).unwrap();
        let client = kube::Client::try_from(config).unwrap();
        Self { kubeconfig, client, own, _folder: folder }
    }

    async fn of_stub() -> Self {
        let served = Served::all().into_iter().filter(|served| served.kind != LATE.name()).collect();
        let stub = stub_with(KubeOptions { served, ..KubeOptions::default() }).await;
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, stub.kubeconfig()).unwrap();
        Self::new(kubeconfig, Own::Stub(stub), Some(folder)).await
    }

    async fn of_assets(folder: &Path) -> Self {
        let assets = Assets::start(folder).await;
        let server = Self::new(assets.kubeconfig(), Own::Real(assets), None).await;
        for kind in WatchedKind::ALL.into_iter().filter(|kind| *kind != LATE) {
            server.install(kind).await;
        }
        server
    }

    fn settings(&self, kubeconfig: &Path) -> Settings {
        Settings {
            name: "eu-1".to_owned(),
            access: Access::File(kubeconfig.to_owned()),
            context: None,
            environments: Vec::new(),
            namespaces: Vec::new(),
            pace: pace(),
        }
    }

    fn watch(&self) -> Cluster {
        watch(self.settings(&self.kubeconfig))
    }

    fn api(&self, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), "default", &resource)
    }

    fn everywhere(&self, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::all_with(self.client.clone(), &resource)
    }

    /// Installs a kind that is not built in.
    async fn install(&self, kind: WatchedKind) {
        match &self.own {
            Own::Stub(stub) => {
                stub.install(Served::all().into_iter().find(|served| served.kind == kind.name()).unwrap());
            }
            Own::Real(assets) => assets.install(&self.client, kind).await,
            Own::Existing => {}
        }
    }

    /// A kubeconfig of an account that may read everything but pods.
    async fn limited(&self, name: &str, folder: &Path) -> PathBuf {
        if let Own::Stub(stub) = &self.own {
            stub.quirk(Quirk::new(Effect::Forbidden).resource("pods"));
            return self.kubeconfig.clone();
        }
        let rules: Vec<Value> = WatchedKind::ALL
            .into_iter()
            .filter(|kind| *kind != WatchedKind::Pod)
            .flat_map(|kind| serde_saphyr::from_str::<Vec<Value>>(&kind.rule()).unwrap())
            .collect();
        let meta = json!({ "name": name });
        let parts = [
            (
                self.api("", "v1", "ServiceAccount"),
                json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta }),
            ),
            (
                self.everywhere(RBAC, "v1", "ClusterRole"),
                json!({ "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": meta, "rules": rules }),
            ),
            (
                self.everywhere(RBAC, "v1", "ClusterRoleBinding"),
                json!({
                    "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": meta,
                    "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": name },
                    "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": "default" }],
                }),
            ),
        ];
        for (api, object) in parts {
            api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        }
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "expirationSeconds": 600 },
        });
        let request = http::Request::post(format!("/api/v1/namespaces/default/serviceaccounts/{name}/token"))
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&request).unwrap())
            .unwrap();
        let token: Value = self.client.request(request).await.unwrap();
        let mut config = kube::config::Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let user = kube::config::AuthInfo {
            token: Some(token["status"]["token"].as_str().unwrap().to_owned().into()),
            ..Default::default()
        };
        config.auth_infos.iter_mut().for_each(|named| named.auth_info = Some(user.clone()));
        let path = folder.join("limited");
        std::fs::write(&path, serde_saphyr::to_string(&config).unwrap()).unwrap();
        path
    }

    async fn unlimited(&self, name: &str) {
        if let Own::Stub(stub) = &self.own {
            return stub.clear_all();
        }
        for kind in ["ClusterRoleBinding", "ClusterRole"] {
            drop(self.everywhere(RBAC, "v1", kind).delete(name, &DeleteParams::default()).await);
        }
        drop(self.api("", "v1", "ServiceAccount").delete(name, &DeleteParams::default()).await);
    }

    /// Whether a kind is installed.
    async fn has(&self, kind: WatchedKind) -> bool {
        let cluster = self.watch();
        let snapshot = until(&cluster, "all known", all_known).await;
        snapshot.kinds[&kind].state != KindState::NotInstalled
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// A name that no other run uses.
fn unique(what: &str) -> String {
    format!("landfall-it-{what}-{}", std::process::id())
}

fn deployment(name: &str) -> DynamicObject {
    let labels = json!({ "app": name });
    // No replicas: where there are controllers, they have nothing to do.
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": labels }, "paused": true,
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "web", "image": "registry.example.com/acme/web:1.0.0" }] }
            }
        }
    });
    serde_json::from_value(object).unwrap()
}

/// Every kind is synced, or not installed, or not permitted, and Deployments are synced.
fn all_known(now: &Snapshot) -> bool {
    let known = |state: &KindState| state.is_complete() || matches!(state, KindState::Forbidden { .. });
    is_synced(now, WatchedKind::Deployment) && now.kinds.values().all(|status| known(&status.state))
}

async fn changes_arrive(server: &Server) {
    let name = unique("changes");
    let api = server.api("apps", "v1", "Deployment");
    let cluster = server.watch();
    until(&cluster, "all known", all_known).await;
    api.create(&PostParams::default(), &deployment(&name)).await.unwrap();
    let told = tell(&cluster, &api, &name).await;
    drop(api.delete(&name, &DeleteParams::default()).await);
    told.unwrap();
    until(&cluster, "gone", |now| now.get(WatchedKind::Deployment, "default", &name).is_none()).await;
}

async fn tell(cluster: &Cluster, api: &Api<DynamicObject>, name: &str) -> Result<(), kube::Error> {
    let image = |now: &Snapshot| match &now.get(WatchedKind::Deployment, "default", name)?.body {
        Body::Deployment(deployment) => deployment.template.first().map(|container| container.image.clone()),
        _ => None,
    };
    until(cluster, "created", |now| image(now).is_some()).await;
    let patch = json!({ "status": { "observedGeneration": 77 }, "metadata": { "labels": { "x": "y" } } });
    let written = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    // Status in a normal patch is dropped without a word.
    assert_ne!(written.data["status"]["observedGeneration"], 77);
    let generation = written.metadata.generation;
    let container = json!([{ "name": "web", "image": "registry.example.com/acme/web:2.0.0" }]);
    let patch = json!({ "spec": { "template": { "spec": { "containers": container } } } });
    let written = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    assert!(written.metadata.generation > generation);
    until(cluster, "changed", |now| format!("{:?}", image(now)).contains("2.0.0")).await;
    Ok(())
}

async fn initial_events_end_with_a_bookmark(server: &Server) {
    let name = unique("bookmark");
    let api = server.api("apps", "v1", "Deployment");
    api.create(&PostParams::default(), &deployment(&name)).await.unwrap();
    let params = WatchParams::default().initial_events();
    let watched = async {
        let mut stream = std::pin::pin!(api.watch(&params, "0").await.unwrap());
        let mut seen = false;
        loop {
            match stream.next().await.unwrap().unwrap() {
                WatchEvent::Added(object) => seen |= object.metadata.name.as_deref() == Some(&name),
                WatchEvent::Bookmark(bookmark) => break (seen, bookmark),
                other => panic!("{other:?}"),
            }
        }
    };
    let watched = tokio::time::timeout(std::time::Duration::from_secs(20), watched).await;
    drop(api.delete(&name, &DeleteParams::default()).await);
    let (seen, bookmark) = watched.unwrap();
    assert!(seen && !bookmark.metadata.resource_version.is_empty());
    assert_eq!(bookmark.metadata.annotations["k8s.io/initial-events-end"], "true");
}

async fn statuses(server: &Server) {
    if !server.has(WatchedKind::Kustomization).await || !server.has(WatchedKind::Application).await {
        return eprintln!("SKIPPED: Flux or Argo CD is not installed there");
    }
    let name = unique("status");
    let api = server.api("kustomize.toolkit.fluxcd.io", "v1", "Kustomization");
    // Suspended, so that a controller has nothing to do.
    let object = json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": { "name": name },
        "spec": {
            "suspend": true, "interval": "1h", "prune": false, "path": "./apps",
            "sourceRef": { "kind": "GitRepository", "name": name },
        },
        "status": { "observedGeneration": 5 },
    });
    let cluster = server.watch();
    until(&cluster, "all known", all_known).await;
    let made = api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    assert_ne!(made.data["status"]["observedGeneration"], 5, "it has a status subresource");
    let patch = json!({ "status": { "lastAppliedRevision": "main@sha1:abc" } });
    let written = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
    let applied = |now: &Snapshot| {
        now.get(WatchedKind::Kustomization, "default", &name)
            .is_some_and(|object| format!("{object:?}").contains("sha1:abc"))
    };
    until(&cluster, "its status", applied).await;
    drop(api.delete(&name, &DeleteParams::default()).await);
    written.unwrap();
    let api = server.api("argoproj.io", "v1alpha1", "Application");
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": { "name": name },
        "spec": { "project": "none", "destination": {}, "source": { "repoURL": "https://git.example.com/none" } },
        "status": { "reconciledAt": "2026-01-05T08:00:00Z" },
    });
    let made = api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await;
    let there = |now: &Snapshot| now.get(WatchedKind::Application, "default", &name).is_some();
    until(&cluster, "the Application", there).await;
    drop(api.delete(&name, &DeleteParams::default()).await);
    assert_eq!(made.unwrap().data["status"]["reconciledAt"], "2026-01-05T08:00:00Z", "it has none");
}

async fn too_old(server: &Server) {
    if let Own::Stub(stub) = &server.own {
        stub.compact();
    }
    // The server's own memory of a built-in kind may begin with its very first version; that of one that came later cannot.
    let api = match server.has(WatchedKind::Application).await {
        true => server.everywhere("argoproj.io", "v1alpha1", "Application"),
        false => server.everywhere("apps", "v1", "Deployment"),
    };
    let watched = async {
        match api.watch(&WatchParams::default(), "1").await {
            Err(kube::Error::Api(status)) => status.code,
            Err(other) => panic!("{other}"),
            Ok(stream) => match std::pin::pin!(stream).next().await {
                Some(Ok(WatchEvent::Error(status))) => status.code,
                other => panic!("{other:?}"),
            },
        }
    };
    assert_eq!(tokio::time::timeout(std::time::Duration::from_secs(20), watched).await.unwrap(), 410);
}

async fn a_limited_account(server: &Server) {
    let (name, folder) = (unique("limited"), tempfile::tempdir().unwrap());
    let kubeconfig = server.limited(&name, folder.path()).await;
    let cluster = watch(server.settings(&kubeconfig));
    let forbidden = |now: &Snapshot| matches!(now.kinds[&WatchedKind::Pod].state, KindState::Forbidden { .. });
    // Rights take a moment to come into force.
    let alone = |now: &Snapshot| now.gaps().map(|(kind, _)| kind).eq([WatchedKind::Pod]);
    let snapshot = until(&cluster, "pods forbidden, the rest known", |now| forbidden(now) && alone(now)).await;
    server.unlimited(&name).await;
    let KindState::Forbidden { rule, resource, .. } = &snapshot.kinds[&WatchedKind::Pod].state else { panic!() };
    assert_eq!((rule.as_str(), resource.as_str()), (WatchedKind::Pod.rule().as_str(), "pods"));
}

async fn a_late_kind(server: &Server) {
    if matches!(server.own, Own::Existing) {
        return eprintln!("SKIPPED: no kind is installed in somebody's cluster");
    }
    let cluster = server.watch();
    let absent = |now: &Snapshot| now.kinds[&LATE].state == KindState::NotInstalled;
    until(&cluster, "not installed", absent).await;
    server.install(LATE).await;
    until(&cluster, "installed", |now| is_synced(now, LATE)).await;
}

async fn suite(server: &Server) {
    for (what, check) in SUITE {
        eprintln!("{what}");
        check(server).await;
    }
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    #[expect(clippy::disallowed_methods, reason = "opt-in, as envtest users know it")]
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[tokio::test]
async fn the_suite_on_the_stub() {
    suite(&Server::of_stub().await).await;
}

#[tokio::test]
async fn the_suite_on_a_real_api_server() {
    let Some(folder) = variable("KUBEBUILDER_ASSETS") else {
        eprintln!("SKIPPED: no real API server (set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd)");
        return;
    };
    suite(&Server::of_assets(Path::new(&folder)).await).await;
}

#[tokio::test]
async fn the_suite_on_an_existing_cluster() {
    let wanted = variable("USE_EXISTING_CLUSTER").is_some_and(|value| value == "true");
    let Some(path) = variable("KUBECONFIG").filter(|_| wanted) else {
        eprintln!("SKIPPED: no existing cluster (set USE_EXISTING_CLUSTER=true and KUBECONFIG to a file)");
        return;
    };
    suite(&Server::new(path.into(), Own::Existing, None).await).await;
}
