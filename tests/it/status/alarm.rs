//! The running bot raises an alarm when a declared image is stuck, once, and says when it is over.

use std::sync::{Arc, Mutex};

use axum::Router;
use serde_json::{Value, json};

use super::cluster::{Cluster, tip};
use super::stories::rows;
use crate::support::process::Signal;
use crate::support::server::Server;
use crate::support::world::World;

/// A receiver of alarms that keeps what it is sent.
fn receiver() -> (Server, Arc<Mutex<Vec<Value>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&told);
    let server = Server::start(Router::new().fallback(move |body: axum::body::Bytes| {
        keep.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
        async { http::StatusCode::NO_CONTENT }
    }));
    (server, told)
}

fn kinds(told: &Mutex<Vec<Value>>) -> Vec<String> {
    told.lock().unwrap().iter().map(|notice| notice["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_stuck_image_is_told_once_and_its_landing_ends_it() {
    let world = World::web().interval("1s").start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    let (server, told) = receiver();
    let hook = format!(
        "notify:\n  - {{ name: hook, kind: webhook, url: \"{}/hook\", landings: false }}\nregistries:",
        server.origin
    );
    world.configure("registries:", &hook);
    let image = format!("{}/acme/web:1.2.3", world.host);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload(
        "web",
        &image,
        Some(("ImagePullBackOff", "pull access denied, unauthorized: authentication required")),
    );

    let mut running = world.start(&["run"]);
    running.until("somebody is told", || kinds(&told).contains(&"raised".to_owned()));
    let raised = told.lock().unwrap()[0].clone();
    let text = raised.to_string();
    assert!(text.contains("image-unauthorized") && text.contains("eu-1"), "{raised:#}");
    // The registry gives it to the bot, so that the nodes' credentials are what is missing.
    assert!(text.contains("the bot can pull it from the registry"), "{raised:#}");
    // A restart in the middle tells nobody anew.
    running.stop(Signal::TERM);
    let mut running = world.start(&["run"]);
    let looked = cluster.stub.log().len();
    running.until("it looks again", || cluster.stub.log().len() > looked + 20);

    cluster.workload("web", &image, None);
    running.until("its end is told", || kinds(&told).contains(&"resolved".to_owned()));
    running.stop(Signal::TERM);
    assert_eq!(kinds(&told), ["raised", "resolved"], "{:#?}", told.lock().unwrap());
}

#[test]
fn a_command_beside_the_daemon_knows_what_the_daemon_knows() {
    let world = World::web().interval("1s").start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    let image = format!("{}/acme/web:1.2.3", world.host);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &image, None);
    let mut running = world.start(&["run"]);
    running.until("it remembers that the app landed", || world.path("state/tracker.json").exists());
    // Its only pod starts again.
    cluster.workload("web", &image, Some(("ContainerCreating", "")));
    let told = |config: &str| {
        let ran =
            world.landfall(&["status", "web", "--environment", "dev", "-o", "json", "--exit-code", "--config", config]);
        let row = ran.json()["updates"][0].clone();
        (ran.code, row["state"].clone(), row["rung"].clone(), row["since"].clone())
    };
    // What has no memory of its own says the time at which it looks.
    let mut beside = told("landfall.yaml");
    running.until("it says the same twice", || {
        let again = told("landfall.yaml");
        std::mem::replace(&mut beside, again.clone()) == again
    });
    running.stop(Signal::TERM);
    assert_eq!(beside, told("landfall.yaml"), "what it had in its own cache");
    assert_eq!(beside.0, Some(0), "{beside:?}");
    assert_ne!(beside, told(&world.config("second")), "with another memory it would not know");
}

#[test]
fn what_cannot_be_pushed_is_an_alarm_before_there_is_a_commit() {
    let world = World::web().interval("1s").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let (server, told) = receiver();
    let hook = format!("notify:\n  - {{ name: hook, kind: webhook, url: \"{}/hook\" }}\nregistries:", server.origin);
    world.configure("registries:", &hook);
    crate::support::git::hook(&world.bare(), "update", "echo 'protected branch' >&2; exit 1");
    let mut running = world.start(&["run"]);
    running.until("somebody is told", || kinds(&told).contains(&"raised".to_owned()));
    let raised = told.lock().unwrap()[0].clone();
    assert!(raised.to_string().contains("push-rejected"), "{raised:#}");
    assert!(raised.to_string().contains("protected branch"), "the remote's own words: {raised:#}");
    running.stop(Signal::TERM);
}

#[test]
fn an_application_that_is_deleted_in_one_of_two_clusters_is_missed_there() {
    let world = World::web().interval("1s").start();
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    let stubs = ["us-1", "ap-1"].map(|name| {
        let stub = world.block_on(landfall::demo::kube::KubeStub::start()).unwrap();
        std::fs::write(world.path(&format!("kubeconfig-{name}")), stub.kubeconfig()).unwrap();
        world.configure(
            "registries:",
            &format!(
                "  - {{ name: {name}, kubeconfig: {{ file: kubeconfig-{name} }}, environments: [dev] }}\nregistries:"
            ),
        );
        stub
    });
    let image = format!("{}/acme/web:1.2.3", world.host);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &image, None);
    for object in cluster.stub.objects() {
        stubs[0].load(Value::clone(&object)).unwrap();
    }
    // Argo CD is in the third cluster, too, and the app never was.
    let known = |rows: &[Value]| {
        let mut known: Vec<(String, String)> = rows
            .iter()
            .filter(|row| row["environment"] == "dev")
            .map(|row| (row["cluster"].as_str().unwrap_or("-").to_owned(), row["state"].as_str().unwrap().to_owned()))
            .collect();
        known.sort();
        known
    };
    let pair = |cluster: &str, state: &str| (cluster.to_owned(), state.to_owned());
    let pods = stubs[0].objects();
    let mut pod = Value::clone(pods.iter().find(|object| object["kind"] == "Pod").unwrap());
    pod["status"]["containerStatuses"][0]["state"] = json!({ "waiting": { "reason": "ImagePullBackOff" } });
    pod["status"]["containerStatuses"][0]["ready"] = json!(false);
    stubs[0].load(pod).unwrap();
    assert_eq!(known(&rows(&world, 0)), [pair("eu-1", "landed"), pair("us-1", "stuck")]);
    // The alarm says that the bot has looked.
    let (server, told) = receiver();
    let hook = format!("notify:\n  - {{ name: hook, kind: webhook, url: \"{}/hook\" }}\nregistries:", server.origin);
    world.configure("registries:", &hook);
    let mut running = world.start(&["run"]);
    running.until("somebody is told", || kinds(&told).contains(&"raised".to_owned()));
    running.stop(Signal::TERM);
    stubs[0].delete("applications.argoproj.io", "argocd", "web-dev").unwrap();
    let found = rows(&world, 0);
    assert_eq!(known(&found), [pair("eu-1", "landed"), pair("us-1", "orphan")]);
    let gone = found.iter().find(|row| row["cluster"] == "us-1").unwrap();
    assert!(gone["cause"]["message"].as_str().unwrap().contains("in cluster us-1"), "{gone:#}");
    assert!(gone["cause"]["next"].as_str().unwrap().contains("environments"), "{gone:#}");
}
