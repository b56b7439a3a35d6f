//! One story over the wire alone, with nothing of the stub's own: on the stub always, and on a real API server where
//! `USE_EXISTING_CLUSTER=true` says that the cluster of `KUBECONFIG` may be used. It leaves nothing behind there.

use std::path::PathBuf;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use landfall::cluster::{Access, Cluster, Kind, KindState, Settings, Snapshot};
use landfall::model::observation::Body;
use serde_json::json;

use super::support::*;

async fn story(kubeconfig: PathBuf, settings: Settings) {
    let name = format!("landfall-it-{}", std::process::id());
    let config = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    let api: Api<DynamicObject> = Api::namespaced_with(client, "default", &resource);
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
    let cluster = watch(settings);
    until(&cluster, "all known", all_known).await;
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let told = tell(&cluster, &api, &name).await;
    drop(api.delete(&name, &DeleteParams::default()).await);
    told.unwrap();
    until(&cluster, "gone", |now| now.get(Kind::Deployment, "default", &name).is_none()).await;
}

/// Every kind is synced, or not installed, or not permitted, and built-in kinds are synced.
fn all_known(now: &Snapshot) -> bool {
    let known = |state: &KindState| state.is_complete() || matches!(state, KindState::Forbidden { .. });
    is_synced(now, Kind::Deployment) && now.kinds.values().all(|status| known(&status.state))
}

async fn tell(cluster: &Cluster, api: &Api<DynamicObject>, name: &str) -> Result<(), kube::Error> {
    let image = |now: &Snapshot| match &now.get(Kind::Deployment, "default", name)?.body {
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

#[tokio::test]
async fn the_story_on_the_stub() {
    let stub = stub().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), stub.kubeconfig()).unwrap();
    story(file.path().to_owned(), settings(&stub)).await;
}

#[tokio::test]
async fn the_story_on_a_real_api_server() {
    #[expect(clippy::disallowed_methods, reason = "opt-in, as envtest users know it")]
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let wanted = set("USE_EXISTING_CLUSTER").is_some_and(|value| value == "true");
    let Some(path) = set("KUBECONFIG").filter(|_| wanted) else {
        eprintln!("SKIPPED: no real API server (set USE_EXISTING_CLUSTER=true and KUBECONFIG to a file)");
        return;
    };
    let stub = stub().await;
    let settings = Settings { access: Access::File(path.clone().into()), ..settings(&stub) };
    story(path.into(), settings).await;
}
